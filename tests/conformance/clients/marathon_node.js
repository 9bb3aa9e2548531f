// npm `marathon-node`: its methods on apps, groups, tasks, versions, deployments, queue, events, info, leader, ping.
"use strict";

const assert = require("assert");
const marathon = require("marathon-node")(process.env.MARATHON);

async function until(what, look) {
    for (const end = Date.now() + 30000; Date.now() < end;) {
        const seen = await look();
        if (seen) return seen;
        await new Promise((again) => setTimeout(again, 20));
    }
    throw new Error(`${what}: not within 30 s`);
}
const settled = (id) => until(`${id} settles`, async () => {
    const { app } = await marathon.app.getOne(id);
    return app.deployments.length === 0 && app.tasksRunning === app.instances && app;
});
const refused = async (status, call) => {
    try { await call; } catch (error) { assert.strictEqual(error.statusCode, status, error.message); return error; }
    throw new Error(`not refused with ${status}`);
};

async function main() {
    assert.strictEqual((await marathon.misc.ping()).trim(), "pong");
    assert.strictEqual((await marathon.info.get()).name, "marathon");
    assert.ok((await marathon.leader.get()).leader);

    const events = marathon.events.createEventSource({ eventType: ["status_update_event", "deployment_success"] });
    const heard = { status_update_event: 0, deployment_success: 0 };
    await new Promise((open, failed) => { events.on("open", open); events.on("error", failed); });
    for (const type of Object.keys(heard)) {
        events.addEventListener(type, (event) => { JSON.parse(event.data); heard[type] += 1; });
    }

    const created = await marathon.app.create({ id: "/node/sleeper", cmd: "sleep 600", cpus: 0.1, mem: 32, instances: 1 });
    assert.strictEqual(created.id, "/node/sleeper");
    await settled("node/sleeper");
    await refused(409, marathon.app.create({ id: "/node/sleeper", cmd: "true" }));
    await refused(422, marathon.app.create({ id: "/node/Wrong!", cmd: "true" }));
    await refused(404, marathon.app.getOne("node/none"));

    const changed = await marathon.app.update("node/sleeper", { instances: 2 }, true);
    assert.ok(changed.deploymentId);
    await settled("node/sleeper");
    assert.strictEqual((await marathon.app.getList({ cmd: "sleep" })).apps.length, 1);
    const { versions } = await marathon.app.getVersions("node/sleeper");
    assert.ok(versions.length >= 2, versions);
    assert.strictEqual((await marathon.app.getVersion("node/sleeper", created.version)).instances, 1);

    const { tasks } = await marathon.app.getTasks("node/sleeper");
    assert.strictEqual(tasks.length, 2);
    await marathon.app.killTask("node/sleeper", tasks[0].id, true);
    await settled("node/sleeper");
    assert.strictEqual((await marathon.app.getOne("node/sleeper")).app.instances, 1);
    assert.strictEqual((await marathon.tasks.getList()).tasks.length, 1);
    await marathon.tasks.kill({ ids: [(await marathon.tasks.getList()).tasks[0].id] }, true);
    await settled("node/sleeper");
    await marathon.app.update("node/sleeper", { instances: 1 });
    const before = await settled("node/sleeper");
    await marathon.app.killTasks("node/sleeper", { scale: false });
    await until("a new task", async () => {
        const { app } = await marathon.app.getOne("node/sleeper");
        return app.tasksRunning === 1 && app.tasks[0].id !== before.tasks[0].id;
    });
    await marathon.app.restart("node/sleeper", true);
    await settled("node/sleeper");

    await marathon.app.create({ id: "/node/huge", cmd: "true", cpus: 1000 });
    await until("it waits", async () => (await marathon.queue.get()).queue.some((one) => one.app.id === "/node/huge"));
    await marathon.queue.resetDelay("node/huge");
    const waiting = (await marathon.deployments.getList()).find((one) => one.affectedApps.includes("/node/huge"));
    await marathon.deployments.destroy(waiting.id, true);
    await until("it stops", async () => (await marathon.deployments.getList()).length === 0);
    await marathon.app.destroy("node/huge").catch((error) => assert.strictEqual(error.statusCode, 404));

    assert.ok(Array.isArray((await marathon.groups.getList()).groups));
    const member = { id: "one", cmd: "sleep 600", cpus: 0.1, mem: 32, instances: 1 };
    await marathon.groups.create({ id: "/node/group", apps: [member] });
    await settled("node/group/one");
    const group = await marathon.groups.getOne("node/group");
    assert.deepStrictEqual(group.apps.map((app) => app.id), ["/node/group/one"]);
    await marathon.groups.update("node/group", { apps: [{ ...member, instances: 2 }] }, true);
    await settled("node/group/one");
    assert.strictEqual((await marathon.app.getOne("node/group/one")).app.instances, 2);
    await marathon.groups.destroy("node/group", true);
    await until("the group is gone", async () => !(await marathon.groups.getOne("node")).groups.length);
    // Marathon has no callbacks any more.
    await refused(404, marathon.subscriptions.getList());
    await marathon.app.destroy("node/sleeper");
    await until("all is gone", async () => (await marathon.tasks.getList()).tasks.length === 0);
    await until("events", async () => heard.status_update_event >= 4 && heard.deployment_success >= 3);
    events.close();
    assert.ok((await marathon.leader.abdicate()).message);
    await until("it leads again", async () => (await marathon.leader.get()).leader);
    console.log("OK");
    process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
