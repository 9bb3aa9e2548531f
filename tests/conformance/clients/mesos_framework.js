// npm `mesos-framework` as a scheduler: it keeps two instances of a task running, restarts one that fails, reconciles,
// kills, and tears itself down.
"use strict";

const { Scheduler, Mesos } = require("mesos-framework");
const mesos = Mesos.getMesos();
const [host, port] = process.env.MASTER.split(":");

const die = (what) => { console.error(what); process.exit(1); };
setTimeout(() => die("not within 60 s"), 60000);

const command = (words) => new mesos.CommandInfo(null, null, true, words, null, null);
const scheduler = new Scheduler({
    masterUrl: host,
    port,
    frameworkName: "npm",
    logging: { level: "error" },
    restartStates: ["TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR"],
    tasks: {
        sleepers: { priority: 1, instances: 2, commandInfo: command("sleep 600"),
                    resources: { cpus: 0.1, mem: 32, ports: 1, disk: 0 } },
        brief: { priority: 2, instances: 1, commandInfo: command("test \"$PORT0\" -o -n \"$HOST\""),
                 resources: { cpus: 0.1, mem: 32, ports: 0, disk: 0 } },
    },
});

const running = new Map();
const seen = { heartbeats: 0, offers: 0, finished: 0, killed: 0 };
let leaving = false;
let killing = null;

scheduler.on("error", (error) => {
    // The end of its own stream, after its teardown, is an error to it.
    if (!leaving) die(`ERROR: ${error.message || JSON.stringify(error)}`);
});
scheduler.on("subscribed", (info) => {
    if (!info.frameworkId || !info.mesosStreamId) die(`subscribed without ids: ${JSON.stringify(info)}`);
});
scheduler.on("heartbeat", () => { seen.heartbeats += 1; });
scheduler.on("offers", () => { seen.offers += 1; });
scheduler.on("update", ({ status }) => {
    const id = status.task_id.value;
    if (status.state === "TASK_RUNNING") running.set(id, status.agent_id.value);
    if (status.state === "TASK_FINISHED") seen.finished += 1;
    if (status.state === "TASK_KILLED") seen.killed += 1;
    if (status.state !== "TASK_RUNNING") running.delete(id);
    const sleepers = [...running.keys()].filter((name) => name.includes("sleepers"));
    if (!killing && sleepers.length === 2 && seen.finished === 1) {
        killing = sleepers[0];
        scheduler.kill(killing, running.get(killing));
    }
    // Killed once, and its successor runs.
    if (killing && seen.killed === 1 && sleepers.length === 2 && !sleepers.includes(killing) && !leaving) {
        if (seen.heartbeats < 1 || seen.offers < 1) die(`missed: ${JSON.stringify(seen)}`);
        leaving = true;
        scheduler.teardown();
    }
});
scheduler.on("sent_teardown", () => { console.log("OK"); process.exit(0); });
scheduler.on("ready", () => scheduler.subscribe());
