"""PyPI `pymesos` as a scheduler: subscribe, offers, launch, updates, acknowledgements, kill, reconcile, failover."""

import os
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler

MASTER = os.environ["MASTER"]


class Recorder(Scheduler):
    """Keeps all that it is told."""

    def __init__(self):
        self.lock = threading.Condition()
        self.events = []

    def tell(self, *event):
        with self.lock:
            self.events.append(event)
            self.lock.notify_all()

    def registered(self, driver, framework_id, master_info):
        self.tell("registered", framework_id["value"], master_info)

    def reregistered(self, driver, master_info):
        self.tell("reregistered", None, master_info)

    def resourceOffers(self, driver, offers):
        for offer in offers:
            self.tell("offer", offer)

    def offerRescinded(self, driver, offer_id):
        self.tell("rescinded", offer_id)

    def statusUpdate(self, driver, status):
        self.tell("status", status)

    def error(self, driver, message):
        self.tell("error", message)

    def processHeartBeat(self, driver):
        self.tell("heartbeat")

    def wait(self, what, right, patience=30):
        """The first event that is right; it is taken out."""
        end = time.time() + patience
        with self.lock:
            while True:
                for event in self.events:
                    if right(event):
                        self.events.remove(event)
                        return event
                left = end - time.time()
                assert left > 0, f"{what}: not within {patience} s; there is {self.events}"
                self.lock.wait(left)

    def offer(self):
        return self.wait("an offer", lambda e: e[0] == "offer")[1]

    def status(self, task, state):
        right = lambda e: e[0] == "status" and e[1]["task_id"]["value"] == task and e[1]["state"] == state
        return self.wait(f"{task} {state}", right)[1]


def scalar(offer, name):
    return sum(r["scalar"]["value"] for r in offer["resources"] if r["name"] == name)


def task(name, offer, command, cpus=0.1):
    return {
        "name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"],
        "command": {"shell": True, "value": command},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
    }


def start(framework, failover=False, explicit=True):
    recorder = Recorder()
    driver = MesosSchedulerDriver(recorder, framework, MASTER, failover=failover, implicit_acknowledgements=not explicit)
    driver.start()
    return recorder, driver


framework = {"user": "root", "name": "conformance", "checkpoint": True, "failover_timeout": 60, "roles": ["*"],
             "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]}
told, driver = start(framework)
_, framework_id, master = told.wait("registered", lambda e: e[0] == "registered")
assert framework_id and driver.framework_id == framework_id
assert master["port"] == int(MASTER.split(":")[1]) and master["version"], master
told.wait("a heartbeat", lambda e: e[0] == "heartbeat")

# an offer, whole
offer = told.offer()
assert offer["framework_id"]["value"] == framework_id and offer["hostname"] and offer["agent_id"]["value"]
assert offer["allocation_info"]["role"] == "*" and all(r["allocation_info"]["role"] == "*" for r in offer["resources"])
assert scalar(offer, "cpus") == 8 and scalar(offer, "mem") == 4096
ports = [r for r in offer["resources"] if r["name"] == "ports"][0]
assert ports["type"] == "RANGES" and ports["ranges"]["range"] == [{"begin": 31000, "end": 32000}], ports

# declined, it comes back when offers are revived
driver.declineOffer([offer["id"]], {"refuse_seconds": 3600})
driver.reviveOffers()
offer = told.offer()

# launch two of one offer; updates are repeated until they are acknowledged
driver.launchTasks([offer["id"]], [task("long", offer, "exec sleep 1000"), task("short", offer, "exit 4")],
                   {"refuse_seconds": 3600})
for state in ("TASK_STARTING", "TASK_RUNNING"):
    update = told.status("long", state)
    assert update["uuid"] and update["source"] == "SOURCE_EXECUTOR" and update["agent_id"] == offer["agent_id"], update
    driver.acknowledgeStatusUpdate(update)
for state in ("TASK_STARTING", "TASK_RUNNING"):
    driver.acknowledgeStatusUpdate(told.status("short", state))
failed = told.status("short", "TASK_FAILED")
assert failed["message"] == "Command exited with status 4" and "reason" not in failed, failed
again = told.status("short", "TASK_FAILED")
assert again["uuid"] == failed["uuid"], "an update that nobody acknowledged comes again, as it was"
driver.acknowledgeStatusUpdate(again)

# a task that cannot be
driver.reviveOffers()
offer = told.offer()
assert abs(scalar(offer, "cpus") - 7.9) < 1e-6, offer
driver.launchTasks([offer["id"]], [task("huge", offer, "true", cpus=100)])
error = told.status("huge", "TASK_ERROR")
assert error["reason"] == "REASON_TASK_INVALID" and error["message"], error
driver.launchTasks([offer["id"]], [task("stale", offer, "true")])
lost = told.wait("the stale offer", lambda e: e[0] == "status" and e[1]["task_id"]["value"] == "stale")[1]
assert lost["state"] == "TASK_DROPPED" and lost["reason"] == "REASON_INVALID_OFFERS", lost

# reconcile: one, one that nobody knows, all
driver.reconcileTasks([{"task_id": {"value": "long"}}])
answer = told.status("long", "TASK_RUNNING")
assert answer["reason"] == "REASON_RECONCILIATION" and answer["source"] == "SOURCE_MASTER" and "uuid" not in answer
driver.reconcileTasks([{"task_id": {"value": "nobody"}}])
assert told.wait("nobody", lambda e: e[0] == "status" and e[1]["task_id"]["value"] == "nobody")[1]["state"] == "TASK_UNKNOWN"
driver.reconcileTasks([])
assert told.status("long", "TASK_RUNNING")["reason"] == "REASON_RECONCILIATION"

# this scheduler goes, the next one takes its place
driver.suppressOffers()
driver.stop(failover=True)
driver.join()
told, driver = start(dict(framework, id={"value": framework_id}))
told.wait("registered again", lambda e: e[0] in ("registered", "reregistered"))
assert driver.framework_id == framework_id
driver.reconcileTasks([])
assert told.status("long", "TASK_RUNNING")["agent_id"] == offer["agent_id"]

# kill
driver.killTask({"value": "long"})
killed = told.wait("killed", lambda e: e[0] == "status" and e[1]["state"] == "TASK_KILLED")[1]
assert killed["task_id"]["value"] == "long", killed
driver.acknowledgeStatusUpdate(killed)
driver.killTask({"value": "never was"})
unknown = told.wait("never was", lambda e: e[0] == "status" and e[1]["task_id"]["value"] == "never was")[1]
assert unknown["state"] in ("TASK_UNKNOWN", "TASK_DROPPED", "TASK_LOST"), unknown

# teardown; afterwards its id is refused
driver.stop()
driver.join()
told, driver = start({"user": "root", "name": "late", "id": {"value": framework_id}})
refused = told.wait("refused", lambda e: e[0] == "error")[1]
assert "removed" in refused, refused
driver.stop(failover=True)

# the same as most people use it: acknowledged by itself
told, driver = start({"user": "root", "name": "implicit"}, explicit=False)
told.wait("registered", lambda e: e[0] == "registered")
offer = told.offer()
driver.launchTasks([offer["id"]], [task("simple", offer, "echo hello")])
for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
    told.status("simple", state)
driver.stop()
driver.join()
print("OK")
