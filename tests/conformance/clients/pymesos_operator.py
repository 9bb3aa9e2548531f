"""PyPI `pymesos` as an operator: every method of its drivers for master and agent, and the master's event stream."""

import base64
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.request

from pymesos import MesosOperatorAgentDriver, MesosOperatorMasterDriver, OperatorMaster

MASTER, AGENT, MARATHON = os.environ["MASTER"], os.environ["AGENT"], os.environ["MARATHON"]
SECOND = 10**9


class Recorder(OperatorMaster):
    """Keeps all that it is told."""

    def __init__(self):
        self.lock = threading.Condition()
        self.events = []

    def tell(self, *event):
        with self.lock:
            self.events.append(event)
            self.lock.notify_all()

    def wait(self, kind, right, patience=30):
        """The first event of a kind that is right; it is taken out."""
        end = time.time() + patience
        with self.lock:
            while True:
                for event in self.events:
                    if event[0] == kind and right(event[1]):
                        self.events.remove(event)
                        return event[1]
                left = end - time.time()
                assert left > 0, f"{kind}: not within {patience} s; there is {self.events}"
                self.lock.wait(left)


for kind in ("taskAdded", "taskUpdated", "frameworkAdded", "frameworkUpdated", "frameworkRemoved", "agentAdded",
             "agentRemoved"):
    setattr(Recorder, kind, lambda self, what, kind=kind: self.tell(kind, what))


def methods(kind):
    """What a driver can be asked: all of its methods but those that run its event stream."""
    stream = {"init", "start", "stop", "abort", "join", "run", "aborted", "connected", "master", "stream_id",
              "change_master", "gen_request", "process_event"}
    return {name for name in dir(kind) if not name.startswith(("_", "on_")) and name not in stream}


class Asked:
    """A driver, and which of its methods were asked."""

    def __init__(self, driver):
        self.driver, self.asked = driver, set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self.driver, name)

    def all(self):
        left = methods(type(self.driver)) - self.asked
        assert not left, f"not asked yet: {left}"


def refused(code, ask, *words):
    try:
        ask(*words)
    except RuntimeError as error:
        assert f"code={code}" in str(error), error
    else:
        raise AssertionError(f"{ask}{words} is not refused")


def eventually(what, look, patience=30):
    end = time.time() + patience
    while True:
        seen = look()
        if seen:
            return seen
        assert time.time() < end, f"{what}: not within {patience} s"
        time.sleep(0.05)


def common(driver, port):
    """What both daemons answer."""
    assert driver.getHealth() == {"type": "GET_HEALTH", "get_health": {"healthy": True}}
    flags = {flag["name"]: flag.get("value") for flag in driver.getFlags()["get_flags"]["flags"]}
    assert "work_dir" in flags and "port" in flags, flags
    assert driver.getVersion()["get_version"]["version_info"]["version"].count(".") == 2
    names = {metric["name"] for metric in driver.getMetrics(5 * SECOND)["get_metrics"]["metrics"]}
    assert f"{port}/uptime_secs" in names, sorted(names)
    before = driver.getLoggingLevel()["get_logging_level"]["level"]
    driver.setLoggingLevel(before + 1, SECOND)
    assert driver.getLoggingLevel()["get_logging_level"]["level"] >= before
    assert driver.getState()["type"] == "GET_STATE"
    for ask, key in ((driver.getFrameworks, "get_frameworks"), (driver.getExecutors, "get_executors"),
                     (driver.getTasks, "get_tasks")):
        assert isinstance(ask().get(key, {}), dict)


recorder = Recorder()
events = MesosOperatorMasterDriver(MASTER, recorder)
events.start()
master = Asked(MesosOperatorMasterDriver(MASTER))
agent = Asked(MesosOperatorAgentDriver(AGENT))
eventually("the event stream", lambda: events.connected)
common(master, "master")
common(agent, "slave")
told = master.getMaster()["get_master"]
assert told["master_info"]["port"] == int(MASTER.split(":")[1]) and told["start_time"] > 0, told

# a framework comes, comes again, and goes
info = {"user": "root", "name": "seen", "roles": ["ops"], "capabilities": [{"type": "MULTI_ROLE"}], "failover_timeout": 60}


def call(body, stream=None):
    connection = http.client.HTTPConnection(*MASTER.split(":"))
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    headers.update({"Mesos-Stream-Id": stream} if stream else {})
    connection.request("POST", "/api/v1/scheduler", json.dumps(body), headers)
    return connection.getresponse()


first = call({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}})
assert first.status == 200
added = recorder.wait("frameworkAdded", lambda f: f["framework_info"]["name"] == "seen")
framework_id = added["framework_info"]["id"]
assert added["active"] and added["connected"], added
again = call({"type": "SUBSCRIBE", "framework_id": framework_id,
              "subscribe": {"framework_info": dict(info, id=framework_id, webui_url="http://here/")}})
recorder.wait("frameworkUpdated", lambda f: f["framework_info"].get("webui_url") == "http://here/")
call({"type": "TEARDOWN", "framework_id": framework_id}, again.getheader("Mesos-Stream-Id"))
gone = recorder.wait("frameworkRemoved", lambda f: f["name"] == "seen")
assert gone["id"] == framework_id, gone

# an app's task: its events, and what it is for master and agent
app = {"id": "/seen", "cmd": "echo written > file; exec sleep 1000", "cpus": 0.1, "mem": 32}
request = urllib.request.Request(f"{MARATHON}/v2/apps", json.dumps(app).encode(), {"Content-Type": "application/json"})
assert urllib.request.urlopen(request).status == 201
task = recorder.wait("taskAdded", lambda t: t["name"] == "seen")
running = recorder.wait("taskUpdated", lambda t: t["state"] == "TASK_RUNNING")
assert running["status"]["task_id"] == task["task_id"] and running["framework_id"] == task["framework_id"]
tasks = master.getTasks()["get_tasks"]["tasks"]
assert [t["task_id"] for t in tasks] == [task["task_id"]] and tasks[0]["state"] == "TASK_RUNNING", tasks
launched = agent.getTasks()["get_tasks"]["launched_tasks"]
assert [t["task_id"] for t in launched] == [task["task_id"]], launched
containers = agent.getContainers()["get_containers"]["containers"]
assert len(containers) == 1 and containers[0]["executor_id"] == task["task_id"], containers
parent = containers[0]["container_id"]["value"]

# its sandbox
sandbox = f"/frameworks/{task['framework_id']['value']}/executors/{task['task_id']['value']}/runs/latest"
listed = eventually("the file", lambda: [f for f in agent.listFiles(sandbox)["list_files"]["file_infos"]
                                         if f["path"].endswith("/file") and f["size"] == 8])
assert len(listed) == 1, listed
read = agent.readFile(f"{sandbox}/file", 100, 2)["read_file"]
assert base64.b64decode(read["data"]) == b"itten\n" and read["size"] == 8, read
refused(404, master.listFiles, "/nothing")
refused(404, master.readFile, "/nothing", 100, 0)

# containers in its container
inside = lambda: {c["container_id"]["value"] for c in
                  agent.getContainers(show_nested=True, show_standalone=True)["get_containers"]["containers"]
                  if "parent" in c["container_status"]["container_id"]}
nested = lambda name, command: {"container_id": {"value": name, "parent": {"value": parent}}, "command": {"value": command}}
agent.launchNestedContainer(nested("one", "exit 3"))
agent.waitNestedContainer("one", parent)
agent.removeNestedContainer("one", parent)
refused(404, agent.waitNestedContainer, "one", parent)
agent.launchNestedContainer(nested("two", "exec sleep 1000"))
assert inside() == {"two"}, inside()
refused(500, agent.removeNestedContainer, "two", parent)
agent.killNestedContainer("two", parent)
agent.waitNestedContainer("two", parent)
refused(404, agent.killNestedContainer, "two", parent)
agent.launchNestedContainerSession(nested("three", "echo said"))
eventually("the session's container is gone", lambda: "three" not in inside())
# This client can name neither a nested container here, nor send what this call takes: it quotes the records as one text.
refused(500, agent.attachContainerOutput, "nobody")
refused(400, agent.attachContainerInput, parent, [{"type": "DATA", "data": {"type": "STDIN", "data": "eA=="}}])
agent.pruneImages()
agent.pruneImages([])
provider = {"type": "org.apache.mesos.rp.local.storage", "name": "none"}
for ask in (agent.addResourceProviderConfig, agent.updateResourceProviderConfig):
    refused(501, ask, provider)
refused(501, agent.removeResourceProviderConfig, provider["type"], provider["name"])
agent.all()

# a second agent comes
directory = tempfile.TemporaryDirectory()
other = subprocess.Popen([os.environ["MESOLITE"], "agent", f"--master={MASTER}", "--port=0", "--kill-tasks-on-exit",
                          f"--work_dir={directory.name}", "--resources=cpus:1;mem:256;disk:256;ports:[]", "--quiet"])
try:
    joined = recorder.wait("agentAdded", lambda a: a["agent_info"]["port"] != int(AGENT.split(":")[1]))
    other_id = joined["agent_info"]["id"]["value"]
    agents = master.getAgents()["get_agents"]["agents"]
    assert other_id in [a["agent_info"]["id"]["value"] for a in agents] and len(agents) == 2, agents

    # reservations and volumes on it
    def total():
        one = [a for a in master.getAgents()["get_agents"]["agents"] if a["agent_info"]["id"]["value"] == other_id]
        return json.dumps(one[0]["total_resources"])

    disk = {"name": "disk", "type": "SCALAR", "scalar": {"value": 64},
            "reservations": [{"type": "DYNAMIC", "role": "ops", "principal": "p"}]}
    volume = dict(disk, disk={"persistence": {"id": "kept", "principal": "p"},
                              "volume": {"container_path": "data", "mode": "RW"}})
    master.reserveResources(other_id, [disk])
    assert '"ops"' in total()
    master.createVolumes(other_id, [volume])
    assert '"kept"' in total()
    master.destroyVolumes(other_id, [volume])
    eventually("the volume is gone", lambda: '"kept"' not in total())
    master.unreserveResources(other_id, [disk])
    assert '"ops"' not in total()

    # it is gone for good
    master.markAgentGone(other_id)
    assert recorder.wait("agentRemoved", lambda id: id == other_id)
    assert other_id not in json.dumps(master.getAgents()["get_agents"]["agents"])
finally:
    other.terminate()
    other.wait()
    directory.cleanup()

# weights, quota, roles
master.updateWeights([{"role": "ops", "weight": 2.5}])
assert {"role": "ops", "weight": 2.5} in master.getWeights()["get_weights"]["weight_infos"]
master.setQuota({"role": "ops", "force": True, "guarantee": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}]})
quota = master.getQuota()["get_quota"]["status"]["infos"]
assert [q["role"] for q in quota] == ["ops"] and quota[0]["guarantee"][0]["scalar"]["value"] == 1, quota
roles = {role["name"]: role for role in master.getRoles()["get_roles"]["roles"]}
assert roles["ops"]["weight"] == 2.5, roles
master.removeQuota("ops")
assert not master.getQuota()["get_quota"]["status"].get("infos")

# maintenance of a machine without agents
machine = {"hostname": "elsewhere", "ip": "10.1.2.3"}
begin = int(time.time() + 3600) * SECOND
window = {"machine_ids": [machine], "unavailability": {"start": {"nanoseconds": begin}, "duration": {"nanoseconds": SECOND}}}
master.updateMaintenanceSchedule([window])
assert master.getMaintenanceSchedule()["get_maintenance_schedule"]["schedule"]["windows"] == [window]
status = lambda: master.getMaintenanceStatus()["get_maintenance_status"]["status"]
assert status()["draining_machines"] == [{"id": machine}], status()
master.startMaintenance([machine])
assert status()["down_machines"] == [machine], status()
refused(400, master.startMaintenance, [machine])
master.stopMaintenance([machine])
assert not status().get("down_machines") and not status().get("draining_machines"), status()
master.all()
events.stop()
events.join()
print("OK")
