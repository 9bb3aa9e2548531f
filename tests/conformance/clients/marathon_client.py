"""PyPI `marathon` against a running cluster: every method of its client, and what comes back.

A method in NOT_YET may be refused, but only cleanly: a status of 4xx or 501 and a message. All others must work.
"""

import collections
import collections.abc
import json
import os
import threading
import time
import urllib.request

# The client is older than Python 3.10, which took this name away.
collections.Iterable = collections.abc.Iterable

from marathon import MarathonClient
from marathon.exceptions import ConflictError, MarathonHttpError, NotFoundError
from marathon.models import MarathonApp, MarathonGroup
from marathon.models.app import MarathonHealthCheck
from marathon.models.constraint import MarathonConstraint
from marathon.models.events import MarathonDeploymentSuccess, MarathonStatusUpdateEvent

NOT_YET = {
    "rollback_group", "list_event_subscriptions", "create_event_subscription", "delete_event_subscription",
}
client = MarathonClient(os.environ["MARATHON"])
called = set()


def call(method, *args, **kwargs):
    called.add(method)
    return getattr(client, method)(*args, **kwargs)


def attempt(method, *args, **kwargs):
    """A method that need not work yet: its result, or None after a clean refusal."""
    try:
        return call(method, *args, **kwargs)
    except MarathonHttpError as refused:
        assert method in NOT_YET, f"{method}: {refused}"
        assert 400 <= refused.status_code < 500 or refused.status_code == 501, f"{method}: {refused}"
        assert refused.error_message, f"{method}: no message"
        print(f"not yet: {method}: {refused}")
        return None


def eventually(what, look, patience=30):
    end = time.time() + patience
    while True:
        seen = look()
        if seen:
            return seen
        assert time.time() < end, f"{what}: not within {patience} s"
        time.sleep(0.02)


def queue():
    """The queue, where something waits: the client cannot read the role that Marathon 1.11 says of each item."""
    return client._do_request("GET", "/v2/queue", params={"embed": "lastUnusedOffers"}).json()["queue"]


def settled(app_id, running):
    def look():
        app = call("get_app", app_id, embed_counts=True, embed_deployments=True)
        return app if app.tasks_running == running and not app.deployments and app.instances == running else None
    return eventually(f"{app_id} runs {running}", look)


# who answers
assert call("ping") == b'"pong"'  # the client asks for JSON
info = call("get_info")
assert info.name == "marathon" and info.framework_id and info.leader, info
assert call("get_leader")["leader"]
eventually("a framework id", lambda: client.get_info().framework_id)

# events, read beside the rest
seen, raw = [], []


def listen(into, **kwargs):
    for event in client.event_stream(**kwargs):
        into.append(event)


called.add("event_stream")
for into, kwargs in ((seen, {"event_types": [MarathonStatusUpdateEvent, MarathonDeploymentSuccess]}), (raw, {"raw": True})):
    threading.Thread(target=listen, args=(into,), kwargs=kwargs, daemon=True).start()
eventually("the stream is attached", lambda: any("event_stream_attached" in e for e in raw))

# create, read
created = call("create_app", "web", MarathonApp(
    cmd="exec sleep 1000", mem=16, cpus=0.1, instances=2, labels={"tier": "front"}, env={"COLOUR": "blue"},
    constraints=[MarathonConstraint("hostname", "LIKE", ".*")],
    health_checks=[MarathonHealthCheck(protocol="COMMAND", command="true", interval_seconds=1, grace_period_seconds=5,
                                       delay_seconds=0)],
))
assert created.id == "/web" and created.instances == 2 and created.version and created.deployments, created
app = settled("web", 2)
assert app.cmd == "exec sleep 1000" and app.mem == 16 and app.labels == {"tier": "front"} and app.env == {"COLOUR": "blue"}
assert app.health_checks[0].protocol == "COMMAND" and app.constraints[0].operator == "LIKE"
eventually("both are healthy", lambda: client.get_app("web").tasks_healthy == 2)
try:
    client.create_app("web", MarathonApp(cmd="true"))
    raise AssertionError("an app was created twice")
except ConflictError as refused:
    assert "already exists" in refused.error_message, refused
try:
    client.get_app("nothing")
    raise AssertionError("an app that is not there was found")
except NotFoundError as refused:
    assert refused.error_message == "App '/nothing' does not exist", refused
try:
    client.create_app("bad", MarathonApp(cmd="true", mem=-1))
    raise AssertionError("a negative amount was taken")
except MarathonHttpError as refused:
    assert refused.status_code == 422 and "/mem" in str(refused.error_details), refused
# not embed_task_stats: the client cannot read Marathon's own answer to it, whose key is tasksStats
listed = call("list_apps", embed_tasks=True, embed_counts=True, embed_deployments=True, embed_readiness=True,
              embed_last_task_failure=True, embed_failures=True)
assert [a.id for a in listed] == ["/web"] and len(listed[0].tasks) == 2, listed
assert [a.id for a in client.list_apps(label="tier==front")] == ["/web"]
assert client.list_apps(label="tier==back") == [] and client.list_apps(cmd="nothing") == []
assert [a.id for a in client.list_apps(app_id="we", cmd="sleep")] == ["/web"]

# tasks
tasks = call("list_tasks", "web")
assert len(tasks) == 2 and all(t.app_id == "/web" and t.host and t.ports and t.started_at and t.staged_at for t in tasks)
assert {t.id for t in client.list_tasks()} == {t.id for t in tasks}
endpoints = call("list_endpoints")
assert {e.task_id for e in endpoints} == {t.id for t in tasks} and all(e.host and e.task_port for e in endpoints)
assert call("list_queue") == []

# kill: one, some, all of a host, in batches
victim = tasks[0].id
assert call("kill_task", "web", victim).id == victim
eventually("another one runs", lambda: victim not in {t.id for t in client.list_tasks("web")} and settled("web", 2))
ids = [t.id for t in client.list_tasks("web")]
assert call("kill_given_tasks", ids[:1]) is True
eventually("it is gone", lambda: ids[0] not in {t.id for t in client.list_tasks("web")})
settled("web", 2)
killed = call("kill_tasks", "web", host=client.list_tasks("web")[0].host)
assert len(killed) == 2, killed
eventually("new ones run", lambda: not {t.id for t in killed} & {t.id for t in client.list_tasks("web")})
settled("web", 2)
assert "deploymentId" in client.kill_tasks("web", scale=True) and settled("web", 0)

# change
assert call("scale_app", "web", instances=3)["deploymentId"]
settled("web", 3)
assert client.scale_app("web", delta=-1)["version"]
settled("web", 2)
versions = call("list_versions", "web")
assert len(versions) >= 4 and versions == sorted(versions, reverse=True), versions
first = call("get_version", "web", versions[-1])
assert first.instances == 2 and first.cmd == "exec sleep 1000", first
before = {t.id for t in client.list_tasks("web")}
assert call("update_app", "web", MarathonApp(env={"COLOUR": "green"}))["deploymentId"]
app = settled("web", 2)
assert app.env == {"COLOUR": "green"} and not before & {t.id for t in client.list_tasks("web")}
assert call("rollback_app", "web", versions[0])["deploymentId"]
assert settled("web", 2).env == {"COLOUR": "blue"}
before = {t.id for t in client.list_tasks("web")}
assert call("restart_app", "web")["deploymentId"]
settled("web", 2)
assert not before & {t.id for t in client.list_tasks("web")}
answer = call("update_apps", [
    MarathonApp(id="/web", instances=1), MarathonApp(id="/second", cmd="exec sleep 1000", mem=16, cpus=0.1, instances=1),
])
assert answer["deploymentId"], answer
settled("web", 1)
settled("second", 1)

# what waits, and what is under way
client.create_app("huge", MarathonApp(cmd="true", cpus=500, mem=16, instances=1))
item = eventually("it is queued", queue)[0]
assert item["app"]["id"] == "/huge" and item["count"] == 1 and item["delay"]["overdue"] is True, item
plan = eventually("its deployment", lambda: call("list_deployments"))[0]
assert plan.affected_apps == ["/huge"] and plan.current_step <= plan.total_steps == 2 and plan.current_actions, plan
try:
    client.update_app("huge", MarathonApp(instances=2))
    raise AssertionError("an app under deployment was changed without force")
except ConflictError as refused:
    assert plan.id in str(refused.content if hasattr(refused, "content") else refused) or refused.status_code == 409
assert call("delete_deployment", plan.id)["deploymentId"]
eventually("it is rolled back", lambda: client.list_deployments() == [] and "/huge" not in [a.id for a in client.list_apps()])
client.create_app("crash", MarathonApp(cmd="exit 3", mem=16, cpus=0.1, instances=1, backoff_seconds=60, backoff_factor=2))
eventually("it backs off", lambda: any(not i["delay"]["overdue"] for i in queue()))
failure = client.get_app("crash", embed_last_task_failure=True).last_task_failure
assert failure.state == "TASK_FAILED" and "3" in failure.message, failure
call("reset_delay", "crash")
eventually("it was tried again", lambda: client.get_app("crash").last_task_failure.task_id != failure.task_id)
assert call("delete_app", "crash", force=True)["deploymentId"]
client.create_app("huge", MarathonApp(cmd="true", cpus=500, mem=16, instances=1))
plan = eventually("its deployment", lambda: [d for d in client.list_deployments() if d.affected_apps == ["/huge"]])[0]
assert client.delete_deployment(plan.id, force=True) == {}
eventually("it is stopped, and the app stays", lambda: client.list_deployments() == [] and client.get_app("huge"))
assert client.delete_app("huge")["deploymentId"]
assert call("get_metrics")

# groups
def app(name, **more):
    return MarathonApp(id=name, cmd="exec sleep 1000", mem=16, cpus=0.1, **more)


assert isinstance(call("list_groups"), list)
made = call("create_group", MarathonGroup(id="/prod", apps=[app("one")], groups=[MarathonGroup(id="db", apps=[app("two")])]))
assert made["deploymentId"] and made["version"]
prod = eventually("the group", lambda: call("get_group", "prod"))
assert [a.id for a in prod.apps] == ["/prod/one"] and [g.id for g in prod.groups] == ["/prod/db"], prod
assert [a.id for a in prod.groups[0].apps] == ["/prod/db/two"]
eventually("its apps run", lambda: client.get_app("prod/db/two").tasks_running == 1 and not client.list_deployments())
assert call("update_group", "prod", MarathonGroup(apps=[app("one"), app("three")]), force=True)["deploymentId"]
assert {a.id for a in client.list_apps() if a.id.startswith("/prod")} == {"/prod/one", "/prod/three", "/prod/db/two"}
eventually("they run", lambda: not client.list_deployments())
assert call("scale_group", "prod", 2)["version"]
eventually("twice as many", lambda: client.get_app("prod/one").tasks_running == 2 and not client.list_deployments())
# the client sends this to a path that Marathon gave up long ago
attempt("rollback_group", "prod", made["version"])
assert call("delete_group", "prod", force=True)["deploymentId"]
eventually("all of it is gone", lambda: not [a for a in client.list_apps() if a.id.startswith("/prod")])
attempt("list_event_subscriptions")
attempt("create_event_subscription", "http://127.0.0.1:9/")
attempt("delete_event_subscription", "http://127.0.0.1:9/")

# delete, and what was heard meanwhile
for name in ("web", "second"):
    assert client.delete_app(name, force=True)["deploymentId"]
eventually("nothing runs", lambda: client.list_tasks() == [] and client.list_apps() == [])
assert {type(e) for e in seen} == {MarathonStatusUpdateEvent, MarathonDeploymentSuccess}, {type(e) for e in seen}
states = {e.task_status for e in seen if isinstance(e, MarathonStatusUpdateEvent)}
assert {"TASK_RUNNING", "TASK_KILLED", "TASK_FAILED"} <= states, states

# what others use that Marathon does not have is nothing that this client knows: it is not told of it
def others(method, path, body):
    data = json.dumps(body).encode()
    ask = urllib.request.Request(os.environ["MARATHON"] + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(ask) as answer:
        return json.load(answer)


plain = {"cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16}
others("PUT", "/v2/groups/more", {"defaults": {"env": {"A": "b"}}, "apps": [
    {"id": "bound", **plain, "maxFailures": 3, "onFailure": "rollback", "settleSeconds": 1},
    {"id": "every", **plain, "instances": "every"},
    {"id": "scales", **plain, "autoscale": {"maxInstances": 2, "cpu": 0.9}},
    {"id": "spreads", **plain, "preferences": [{"field": "hostname", "operator": "GROUP_BY"}]},
    {"id": "once", **plain, "cmd": "true", "runOnce": True}]})
waits = others("POST", "/v2/apps?maxFailures=5", {"id": "/more/waits", **plain, "cpus": 1000})
assert [a.id for a in client.list_apps() if a.id.startswith("/more")], "the list is read"
assert len(client.get_group("more").apps) == 6 and client.get_group("/").groups
assert client.list_groups()
assert [d.id for d in client.list_deployments()].count(waits["deployments"][0]["id"]) == 1
for name in ("bound", "every", "scales", "spreads", "once", "waits"):
    one = client.get_app(f"more/{name}")
    assert client.get_version(one.id, client.list_versions(one.id)[0]).cmd == one.cmd
assert client.update_app("more/bound", MarathonApp(env={"C": "d"}), force=True)["deploymentId"]
with urllib.request.urlopen(os.environ["MARATHON"] + "/v2/apps/more/bound") as answer:
    assert json.load(answer)["app"]["maxFailures"] == 3, "and takes nothing away"
assert client.delete_group("more", force=True)["deploymentId"]
eventually("it is gone", lambda: not client.list_apps() and not client.list_deployments())

assert call("delete_leader")["message"] == "Leadership abdicated"
eventually("it leads again", lambda: client.ping() and client.get_info().framework_id)
public = {name for name in dir(client) if not name.startswith("_") and callable(getattr(client, name))}
assert public == called, f"never called: {public - called}"
print("OK")
