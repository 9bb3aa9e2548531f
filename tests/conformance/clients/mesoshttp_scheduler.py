"""PyPI `mesoshttp` as a scheduler: subscribe, offers, accept, decline, updates, kill, reconcile, teardown."""

import os
import threading
import time

from mesoshttp.client import MesosClient

EVENTS = []
LOCK = threading.Condition()


def tell(kind):
    def told(event):
        with LOCK:
            EVENTS.append((kind, event))
            LOCK.notify_all()

    return told


def wait(what, right, patience=30):
    """The first event that is right; it is taken out."""
    end = time.time() + patience
    with LOCK:
        while True:
            for event in EVENTS:
                if right(*event):
                    EVENTS.remove(event)
                    return event[1]
            left = end - time.time()
            assert left > 0, f"{what}: not within {patience} s; there is {EVENTS}"
            LOCK.wait(left)


def status(task, state):
    return wait(f"{task} {state}", lambda kind, event: kind == "update"
                and event["status"]["task_id"]["value"] == task and event["status"]["state"] == state)


def task(name, offer, command):
    return {
        "name": name, "task_id": {"value": name}, "agent_id": offer.get_offer()["agent_id"],
        "command": {"shell": True, "value": command},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
    }


client = MesosClient(mesos_urls=["http://" + os.environ["MASTER"]], frameworkName="mesoshttp", frameworkUser="root")
client.set_failover_timeout(60)
for name in ("SUBSCRIBED", "OFFERS", "UPDATE", "ERROR", "RESCIND", "HEARTBEAT", "DISCONNECTED"):
    client.on(getattr(MesosClient, name), tell(name.lower()))
thread = threading.Thread(target=client.register, daemon=True)
thread.start()

driver = wait("subscribed", lambda kind, _: kind == "subscribed")
assert client.get_master_info()["port"] == int(os.environ["MASTER"].split(":")[1])
wait("heartbeat", lambda kind, _: kind == "heartbeat")

offer = wait("offers", lambda kind, _: kind == "offers")[0]
offer.decline(options={"filters": {"refuse_seconds": 0}})
offer = wait("offers after a decline", lambda kind, _: kind == "offers")[0]
offer.accept([task("brief", offer, "true"), task("long", offer, "sleep 600")],
             options={"filters": {"refuse_seconds": 0}})
status("brief", "TASK_FINISHED")
running = status("long", "TASK_RUNNING")
agent = running["status"]["agent_id"]["value"]

driver.reconcile([{"agent_id": {"value": agent}, "task_id": {"value": "long"}},
                  {"agent_id": {"value": agent}, "task_id": {"value": "never"}}])
reconciled = wait("reconciled", lambda kind, event: kind == "update"
                  and event["status"].get("reason") == "REASON_RECONCILIATION"
                  and event["status"]["task_id"]["value"] == "long")
assert reconciled["status"]["state"] == "TASK_RUNNING", reconciled
gone = wait("what was never there", lambda kind, event: kind == "update"
            and event["status"]["task_id"]["value"] == "never")
assert gone["status"]["state"] in ("TASK_LOST", "TASK_GONE"), gone

driver.revive()
driver.kill(agent, "long")
status("long", "TASK_KILLED")
assert not [event for event in EVENTS if event[0] in ("error", "disconnected")], EVENTS
driver.tearDown()
client.disconnect_framework()
print("OK")
