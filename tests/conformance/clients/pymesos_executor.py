"""PyPI `pymesos` as an executor: it registers, runs two tasks, is told of a kill and of the shutdown.

The same file is the framework, which asserts what comes back, and with the word `executor` the executor.
"""

import base64
import os
import sys
import threading
import time

from pymesos import Executor, MesosExecutorDriver, MesosSchedulerDriver, Scheduler


class Sleeper(Executor):
    """Says that tasks run; a task ends by itself or when it is killed."""

    def __init__(self):
        self.over = threading.Event()

    def registered(self, driver, executor_info, framework_info, agent_info):
        self.agent = agent_info["id"]["value"]

    def update(self, driver, task_id, state, message=""):
        driver.sendStatusUpdate({"task_id": task_id, "state": state, "message": message})

    def launchTask(self, driver, task):
        self.update(driver, task["task_id"], "TASK_RUNNING", f"on {self.agent}")
        if task["task_id"]["value"] == "short":
            said = base64.b64decode(task["data"]).decode()
            self.update(driver, task["task_id"], "TASK_FINISHED", said)

    def killTask(self, driver, task_id):
        self.update(driver, task_id, "TASK_KILLED", "as asked")

    def shutdown(self, driver):
        with open("shutdown", "w") as file:
            file.write("heard")
        self.over.set()


def executor():
    driver = MesosExecutorDriver(Sleeper())
    driver.run()


class Framework(Scheduler):
    def __init__(self):
        self.lock = threading.Condition()
        self.offers, self.statuses, self.lost = [], [], []

    def note(self, where, what):
        with self.lock:
            where.append(what)
            self.lock.notify_all()

    def resourceOffers(self, driver, offers):
        for offer in offers:
            self.note(self.offers, offer)

    def statusUpdate(self, driver, status):
        self.note(self.statuses, status)

    def executorLost(self, driver, executor_id, agent_id, status):
        self.note(self.lost, (executor_id["value"], status))

    def wait(self, what, look, patience=30):
        end = time.time() + patience
        with self.lock:
            while True:
                found = look()
                if found:
                    return found
                left = end - time.time()
                assert left > 0, f"{what}: not within {patience} s; there is {self.statuses} {self.lost}"
                self.lock.wait(left)

    def roomy(self):
        """An offer with a processor to spare; it is taken out."""
        cpus = lambda o: sum(r["scalar"]["value"] for r in o["resources"] if r["name"] == "cpus")
        offer = self.wait("an offer", lambda: next(filter(lambda o: cpus(o) >= 1, self.offers), None))
        self.offers.remove(offer)
        return offer

    def state(self, task, state):
        right = lambda s: s["task_id"]["value"] == task and s["state"] == state
        return self.wait(f"{task} {state}", lambda: next(filter(right, self.statuses), None))


def scalar(name, value):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}}


def framework():
    told = Framework()
    info = {"user": "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody"), "name": "executor-test"}
    driver = MesosSchedulerDriver(told, dict(info, checkpoint=True), os.environ["MASTER"])
    driver.start()
    offer = told.roomy()
    command = f"exec {sys.executable} {os.path.abspath(__file__)} executor"
    brought = {
        "executor_id": {"value": "sleeper"},
        "name": "sleeper",
        "command": {"value": command},
        "resources": [scalar("cpus", 0.1), scalar("mem", 64)],
    }

    def task(name):
        return {
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "name": name,
            "executor": brought,
            "data": base64.b64encode(b"payload").decode(),
            "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        }

    driver.launchTasks(offer["id"], [task("short"), task("long")])
    running = told.state("long", "TASK_RUNNING")
    assert running["message"] == f"on {offer['agent_id']['value']}", running
    assert running["container_status"]["executor_pid"] > 0, running
    finished = told.state("short", "TASK_FINISHED")
    assert finished["message"] == "payload" and finished["source"] == "SOURCE_EXECUTOR", finished
    driver.killTask({"value": "long"})
    killed = told.state("long", "TASK_KILLED")
    assert killed["message"] == "as asked", killed
    driver.reviveOffers()
    # The executor lives on without tasks and takes another one.
    offer = told.roomy()
    driver.launchTasks(offer["id"], [task("again")])
    told.state("again", "TASK_RUNNING")
    driver.stop()
    driver.join()


if sys.argv[1:] == ["executor"]:
    executor()
else:
    framework()
    print("OK")
