// npm `marathon-event-bus-client`: every event of a deployment reaches its handlers, by name.
"use strict";

const http = require("http");
const Client = require("marathon-event-bus-client");
const url = new URL(process.env.MARATHON);

const die = (what) => { console.error(what); process.exit(1); };
setTimeout(() => die(`not within 60 s; heard ${JSON.stringify([...heard])}`), 60000);

const wanted = ["deployment_info", "deployment_step_success", "deployment_success", "group_change_success",
    "status_update_event", "instance_changed_event"];
const heard = new Set();
const client = new Client({ marathonHost: url.hostname, marathonPort: url.port, eventTypes: wanted,
    handlers: Object.fromEntries(wanted.map((type) => [type, () => {}])) });

client.on("error", (error) => die(error));
for (const type of wanted) {
    client.on(type, (data) => {
        if (data.eventType !== type || !data.timestamp) die(`${type}: ${JSON.stringify(data)}`);
        heard.add(type);
        if (heard.size === wanted.length) {
            client.unsubscribe();
            console.log("OK");
            process.exit(0);
        }
    });
}
client.on("subscribed", () => {
    const request = http.request(`${process.env.MARATHON}/v2/apps`,
        { method: "POST", headers: { "Content-Type": "application/json" } },
        (answer) => answer.statusCode === 201 || die(`status ${answer.statusCode}`));
    request.end(JSON.stringify({ id: "/bus", cmd: "sleep 600", cpus: 0.1, mem: 32, instances: 1 }));
});
client.subscribe();
