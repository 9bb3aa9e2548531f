//! The fields of an app, as Marathon's RAML has them (mesosphere/marathon@90619da70:docs/docs/rest-api/public/api/v2/types).
//!
//! A table only; what is wrong with values together is in `validate`.

use super::shape::{Field, Form, Shape, may, must, omit, or};
use Shape::{Either, Flag, Instant, Keyed, List, Number, Object, Table, Tagged, Text, Whole, Word};

/// No number is larger. Upstream names no bound; what the kernel can count ends here.
pub(super) const MANY: f64 = model::resources::SCALAR_MAX;
/// Upstream reads 32-bit integers.
const INT: f64 = 2_147_483_647.0;
const LONG: usize = usize::MAX;

pub(super) const TEXT: Shape = Text(0, LONG, Form::Any);
pub(super) const FILLED: Shape = Text(1, LONG, Form::Any);
pub(super) const TEXTS: Shape = List(&TEXT, 0, false);
pub(super) const SET: Shape = List(&TEXT, 0, true);
pub(super) const LABELS: Shape = Table(&TEXT);
pub(super) const COUNT: Shape = Whole(0.0, INT);
pub(super) const AMOUNT: Shape = Number(0.0, MANY);
pub(super) const SHARE: Shape = Number(0.0, 1.0);
pub(super) const ANY_PORT: Shape = Whole(0.0, 65_535.0);
pub(super) const PATH_ID: Shape = Text(1, LONG, Form::Path);
pub(super) const PATH_IDS: Shape = List(&PATH_ID, 0, true);
pub(super) const SHORT: Shape = Text(1, 1024, Form::Any);
pub(super) const NAME: Shape = Text(1, 63, Form::Name);
pub(super) const LEGACY_NAME: Shape = Text(1, LONG, Form::Name);
pub(super) const NAMES: Shape = List(&NAME, 0, false);
const PROTOCOL: Shape = Word(&["tcp", "udp", "udp,tcp"]);
pub(super) const SCHEME: Shape = Word(&["HTTP", "HTTPS"]);
pub(super) const OPERATORS: &[&str] = &["UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"];
pub(super) const KILL_SELECTION: Shape = Word(&["YOUNGEST_FIRST", "OLDEST_FIRST"]);
const AUTOSCALE: Shape = Object(&[
    or("minInstances", &COUNT, "1"),
    must("maxInstances", &COUNT),
    may("cpu", &Number(0.01, 100.0)),
    may("mem", &Number(0.01, 100.0)),
    may("requests", &Number(0.001, MANY)),
    or("cooldownSeconds", &COUNT, "120"),
]);
pub(super) const PREFERENCES: Shape = List(
    &Object(&[
        must("field", &FILLED),
        must("operator", &Word(OPERATORS)),
        may("value", &TEXT),
        or("weight", &Whole(1.0, 1_000_000.0), "1"),
    ]),
    0,
    false,
);
pub(super) const ON_FAILURE: Shape = Word(&["pause", "rollback"]);
pub(super) const SECONDS: Shape = Whole(1.0, INT);
const MODE: Shape = Word(&["RO", "RW"]);

pub(super) const ENV: Shape = Table(&Either(&[&TEXT, &Object(&[must("secret", &TEXT)])]));
pub(super) const SECRETS: Shape = Table(&Object(&[must("source", &FILLED)]));
pub(super) const ARTIFACTS: Shape = List(
    &Object(&[
        must("uri", &SHORT),
        or("extract", &Flag, "true"),
        or("executable", &Flag, "false"),
        or("cache", &Flag, "false"),
        may("destPath", &SHORT),
    ]),
    0,
    false,
);
pub(super) const NETWORKS: Shape = List(
    &Object(&[
        may("name", &Text(1, 63, Form::NetworkName)),
        or("mode", &Word(&["container", "container/bridge", "host"]), "\"container\""),
        omit("labels", &LABELS),
    ]),
    0,
    false,
);
pub(super) const LIMITS: Shape = Object(&[
    may("cpus", &Either(&[&Number(-MANY, MANY), &TEXT])),
    may("mem", &Either(&[&Number(-MANY, MANY), &TEXT])),
]);
pub(super) const EXECUTOR_RESOURCES: Shape = Object(&[
    or("cpus", &Number(0.1, MANY), "0.1"),
    or("mem", &Number(32.0, MANY), "32"),
    or("disk", &Number(10.0, MANY), "10"),
]);
pub(super) const UNREACHABLE: Shape = Either(&[
    &Object(&[or("inactiveAfterSeconds", &COUNT, "0"), or("expungeAfterSeconds", &COUNT, "0")]),
    &Word(&["disabled"]),
]);
pub(super) const COMMAND: Shape =
    Either(&[&Object(&[must("shell", &FILLED)]), &Object(&[must("argv", &List(&TEXT, 1, false))])]);
pub(super) const LINUX: Shape = Object(&[
    may("seccomp", &Object(&[may("profileName", &TEXT), or("unconfined", &Flag, "false")])),
    may("ipcInfo", &Object(&[must("mode", &Word(&["PRIVATE", "SHARE_PARENT"])), may("shmSize", &AMOUNT)])),
]);
pub(super) const PERSISTENT: Shape = Object(&[
    may("type", &Word(&["root", "path", "mount"])),
    must("size", &Whole(0.0, 9e15)),
    may("maxSize", &Whole(0.0, 9e15)),
    may("profileName", &TEXT),
    or("constraints", &List(&List(&TEXT, 2, false), 0, true), "[]"),
]);

const PORT_DEFINITIONS: Shape = List(
    &Object(&[
        or("port", &ANY_PORT, "0"),
        omit("labels", &LABELS),
        may("name", &LEGACY_NAME),
        or("protocol", &PROTOCOL, "\"tcp\""),
    ]),
    0,
    false,
);
const PORT_MAPPINGS: Shape = List(
    &Object(&[
        or("containerPort", &ANY_PORT, "0"),
        may("hostPort", &ANY_PORT),
        or("labels", &LABELS, "{}"),
        may("name", &LEGACY_NAME),
        or("protocol", &PROTOCOL, "\"tcp\""),
        or("servicePort", &ANY_PORT, "0"),
        omit("networkNames", &NAMES),
    ]),
    0,
    false,
);
const DOCKER: Shape = Object(&[
    may("credential", &Object(&[must("principal", &TEXT), may("secret", &TEXT)])),
    may("pullConfig", &Object(&[must("secret", &FILLED)])),
    or("forcePullImage", &Flag, "false"),
    must("image", &TEXT),
    may("network", &Word(&["BRIDGE", "HOST", "NONE", "USER"])),
    or("parameters", &List(&Object(&[must("key", &FILLED), must("value", &TEXT)]), 0, false), "[]"),
    may("portMappings", &PORT_MAPPINGS),
    or("privileged", &Flag, "false"),
]);
const CSI: Shape = Object(&[
    must("name", &TEXT),
    must("provider", &Word(&["csi"])),
    must(
        "options",
        &Object(&[
            must("pluginName", &FILLED),
            must(
                "capability",
                &Object(&[
                    must(
                        "accessMode",
                        &Word(&[
                            "SINGLE_NODE_WRITER",
                            "SINGLE_NODE_READER_ONLY",
                            "MULTI_NODE_READER_ONLY",
                            "MULTI_NODE_SINGLE_WRITER",
                            "MULTI_NODE_MULTI_WRITER",
                        ]),
                    ),
                    must("accessType", &Word(&["block", "mount"])),
                    may("fsType", &TEXT),
                    omit("mountFlags", &TEXTS),
                ]),
            ),
            omit("nodeStageSecret", &LABELS),
            omit("nodePublishSecret", &LABELS),
            omit("volumeContext", &LABELS),
        ]),
    ),
]);
const DVDI: Shape = Object(&[
    may("size", &Whole(0.0, INT)),
    may("name", &TEXT),
    may("provider", &TEXT),
    omit("options", &LABELS),
    or("shared", &Flag, "false"),
]);
/// A volume is what it has a field for; upstream tries its readers in this order.
const VOLUME: Shape = Keyed(&[
    (
        "persistent",
        &Object(&[
            must("containerPath", &FILLED),
            must("persistent", &PERSISTENT),
            or("mode", &MODE, "\"RW\""),
        ]),
    ),
    (
        "external",
        &Object(&[
            must("containerPath", &FILLED),
            must("external", &Tagged("provider", "csi", &CSI, &DVDI)),
            or("mode", &MODE, "\"RW\""),
        ]),
    ),
    ("secret", &Object(&[must("containerPath", &FILLED), must("secret", &FILLED)])),
    ("hostPath", &Object(&[must("containerPath", &FILLED), must("hostPath", &FILLED), must("mode", &MODE)])),
]);
const CONTAINER: Shape = Object(&[
    or("type", &Word(&["MESOS", "DOCKER"]), "\"DOCKER\""),
    may("docker", &DOCKER),
    may("linuxInfo", &LINUX),
    or("volumes", &List(&VOLUME, 0, false), "[]"),
    may("portMappings", &PORT_MAPPINGS),
]);

const HEALTH_CHECK: Shape = Object(&[
    may("command", &Object(&[must("value", &TEXT)])),
    or("gracePeriodSeconds", &COUNT, "300"),
    may("ignoreHttp1xx", &Flag),
    or("intervalSeconds", &COUNT, "60"),
    or("maxConsecutiveFailures", &COUNT, "3"),
    may("path", &TEXT),
    may("port", &ANY_PORT),
    may("portIndex", &ANY_PORT),
    or(
        "protocol",
        &Word(&["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS"]),
        "\"HTTP\"",
    ),
    or("ipProtocol", &Word(&["IPv4", "IPv6"]), "\"IPv4\""),
    or("timeoutSeconds", &COUNT, "20"),
    or("delaySeconds", &COUNT, "15"),
]);
const CHECK: Shape = Object(&[
    may(
        "http",
        &Object(&[
            may("portIndex", &ANY_PORT),
            may("port", &ANY_PORT),
            may("path", &SHORT),
            or("scheme", &SCHEME, "\"HTTP\""),
        ]),
    ),
    may("tcp", &Object(&[may("portIndex", &ANY_PORT), may("port", &ANY_PORT)])),
    may("exec", &Object(&[must("command", &COMMAND)])),
    or("intervalSeconds", &COUNT, "60"),
    or("timeoutSeconds", &COUNT, "20"),
    or("delaySeconds", &COUNT, "15"),
]);
const READINESS: Shape = Object(&[
    or("name", &FILLED, "\"readinessCheck\""),
    or("protocol", &SCHEME, "\"HTTP\""),
    or("path", &SHORT, "\"/\""),
    or("portName", &LEGACY_NAME, "\"http-api\""),
    or("intervalSeconds", &COUNT, "30"),
    or("timeoutSeconds", &Whole(1.0, INT), "10"),
    or("httpStatusCodesForReady", &List(&Whole(0.0, 999.0), 0, true), "[200]"),
    or("preserveLastResponse", &Flag, "false"),
]);
const IP_ADDRESS: Shape = Object(&[
    may(
        "discovery",
        &Object(&[or(
            "ports",
            &List(
                &Object(&[
                    or("number", &ANY_PORT, "0"),
                    must("name", &LEGACY_NAME),
                    or("protocol", &PROTOCOL, "\"tcp\""),
                    or("labels", &LABELS, "{}"),
                ]),
                0,
                false,
            ),
            "[]",
        )]),
    ),
    omit("groups", &SET),
    or("labels", &LABELS, "{}"),
    may("networkName", &Text(1, 63, Form::NetworkName)),
]);

/// An app, old forms and new ones.
pub(super) const APP: &[Field] = &[
    must("id", &PATH_ID),
    may("acceptedResourceRoles", &SET),
    omit("args", &TEXTS),
    or("backoffFactor", &Number(1.0, MANY), "1.15"),
    or("backoffSeconds", &COUNT, "1"),
    may("cmd", &FILLED),
    omit("constraints", &List(&List(&TEXT, 0, false), 0, true)),
    may("container", &CONTAINER),
    or("cpus", &Number(0.001, MANY), "1"),
    omit("dependencies", &PATH_IDS),
    or("disk", &AMOUNT, "0"),
    omit("env", &ENV),
    or("executor", &Text(0, LONG, Form::Executor), "\"\""),
    may("executorResources", &EXECUTOR_RESOURCES),
    omit("fetch", &ARTIFACTS),
    omit("healthChecks", &List(&HEALTH_CHECK, 0, true)),
    may("check", &CHECK),
    or("instances", &Either(&[&COUNT, &Word(&["every"])]), "1"),
    or("labels", &LABELS, "{}"),
    or("maxLaunchDelaySeconds", &COUNT, "300"),
    or("mem", &AMOUNT, "128"),
    or("gpus", &COUNT, "0"),
    may("ipAddress", &IP_ADDRESS),
    may("networks", &NETWORKS),
    may("ports", &List(&ANY_PORT, 0, false)),
    may("portDefinitions", &PORT_DEFINITIONS),
    omit("readinessChecks", &List(&READINESS, 0, false)),
    may(
        "residency",
        &Object(&[
            or("relaunchEscalationTimeoutSeconds", &COUNT, "3600"),
            or("taskLostBehavior", &Word(&["WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT"]), "\"WAIT_FOREVER\""),
        ]),
    ),
    may("resourceLimits", &LIMITS),
    or("requirePorts", &Flag, "false"),
    omit("secrets", &SECRETS),
    may("taskKillGracePeriodSeconds", &COUNT),
    may(
        "upgradeStrategy",
        &Object(&[must("maximumOverCapacity", &SHARE), must("minimumHealthCapacity", &SHARE)]),
    ),
    may("uris", &List(&SHORT, 0, false)),
    may("user", &TEXT),
    may("version", &Instant),
    may("versionInfo", &Object(&[must("lastScalingAt", &Instant), must("lastConfigChangeAt", &Instant)])),
    or("killSelection", &KILL_SELECTION, "\"YOUNGEST_FIRST\""),
    may("unreachableStrategy", &UNREACHABLE),
    may("tty", &Flag),
    may("role", &FILLED),
    // what Marathon does not have
    may("autoscale", &AUTOSCALE),
    may("deploymentTimeoutSeconds", &SECONDS),
    may("everyNode", &Flag),
    may("maxFailures", &COUNT),
    omit("preferences", &PREFERENCES),
    may("onFailure", &ON_FAILURE),
    may("runOnce", &Flag),
    may("settleSeconds", &COUNT),
    may("stagingTimeoutSeconds", &SECONDS),
];

/// Fields that say how an app is brought about, not what runs: a change of them replaces no task. Those of a pod stand in its
/// `scheduling`.
pub const RULES: [&str; 9] = [
    "autoscale",
    "deploymentTimeoutSeconds",
    "everyNode",
    "inherited",
    "maxFailures",
    "onFailure",
    "preferences",
    "settleSeconds",
    "stagingTimeoutSeconds",
];
