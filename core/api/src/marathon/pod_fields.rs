//! The fields of a pod, as Marathon's RAML has them. A table only.

use super::{
    fields::{
        AMOUNT, ANY_PORT, ARTIFACTS, COMMAND, COUNT, ENV, EXECUTOR_RESOURCES, FILLED, KILL_SELECTION, LABELS,
        LIMITS, LINUX, MANY, NAME, NAMES, NETWORKS, ON_FAILURE, OPERATORS, PATH_ID, PERSISTENT, PREFERENCES,
        SCHEME, SECONDS, SECRETS, SHARE, SHORT, TEXT, TEXTS, UNREACHABLE,
    },
    shape::{Field, Form, Shape, may, must, omit, or},
};
use Shape::{Either, Flag, List, Number, Object, Text, Whole, Word};

const RESOURCES: Shape = Object(&[
    or("cpus", &Number(0.001, MANY), "1"),
    or("mem", &Number(0.001, MANY), "128"),
    or("disk", &AMOUNT, "0"),
    or("gpus", &COUNT, "0"),
]);
const ENDPOINTS: Shape = List(
    &Object(&[
        must("name", &NAME),
        may("containerPort", &Whole(1.0, 65_535.0)),
        may("hostPort", &ANY_PORT),
        omit("protocol", &List(&NAME, 1, false)),
        omit("labels", &LABELS),
        omit("networkNames", &NAMES),
    ]),
    0,
    false,
);
const HTTP: Shape =
    Object(&[must("endpoint", &NAME), may("path", &SHORT), or("scheme", &SCHEME, "\"HTTP\"")]);
const TCP: Shape = Object(&[must("endpoint", &NAME)]);
const EXEC: Shape = Object(&[must("command", &COMMAND)]);
const HEALTH: Shape = Object(&[
    may("http", &HTTP),
    may("tcp", &TCP),
    may("exec", &EXEC),
    or("gracePeriodSeconds", &COUNT, "300"),
    or("intervalSeconds", &COUNT, "60"),
    or("maxConsecutiveFailures", &COUNT, "3"),
    or("timeoutSeconds", &COUNT, "20"),
    or("delaySeconds", &COUNT, "15"),
]);
const CHECK: Shape = Object(&[
    may("http", &HTTP),
    may("tcp", &TCP),
    may("exec", &EXEC),
    or("intervalSeconds", &COUNT, "60"),
    or("timeoutSeconds", &COUNT, "20"),
    or("delaySeconds", &COUNT, "15"),
]);
const PULL: Shape = Object(&[must("secret", &FILLED)]);
const IMAGE: Shape = Object(&[
    must("kind", &Word(&["DOCKER"])),
    must("id", &SHORT),
    may("pullConfig", &PULL),
    may("forcePull", &Flag),
    omit("labels", &LABELS),
]);
const MOUNTS: Shape =
    List(&Object(&[must("name", &NAME), must("mountPath", &SHORT), may("readOnly", &Flag)]), 0, false);

/// A container of a pod.
const CONTAINER: Shape = Object(&[
    must("name", &NAME),
    may("exec", &Object(&[must("command", &COMMAND), may("overrideEntrypoint", &Flag)])),
    must("resources", &RESOURCES),
    may("resourceLimits", &LIMITS),
    omit("endpoints", &ENDPOINTS),
    may("linuxInfo", &LINUX),
    may("image", &IMAGE),
    omit("environment", &ENV),
    may("user", &TEXT),
    may("healthCheck", &HEALTH),
    may("check", &CHECK),
    omit("volumeMounts", &MOUNTS),
    omit("artifacts", &ARTIFACTS),
    omit("labels", &LABELS),
    may("lifecycle", &Object(&[may("killGracePeriodSeconds", &AMOUNT)])),
    may("tty", &Flag),
]);
const VOLUME: Shape = Either(&[
    &Object(&[must("name", &FILLED), must("persistent", &PERSISTENT)]),
    &Object(&[must("name", &FILLED), must("secret", &FILLED)]),
    &Object(&[must("name", &NAME), must("host", &TEXT)]),
    &Object(&[must("name", &NAME)]),
]);
const CONSTRAINT: Shape =
    Object(&[must("fieldName", &TEXT), must("operator", &Word(OPERATORS)), may("value", &TEXT)]);
const SCHEDULING: Shape = Object(&[
    or(
        "backoff",
        &Object(&[
            or("backoff", &AMOUNT, "1"),
            or("backoffFactor", &AMOUNT, "1.15"),
            or("maxLaunchDelay", &AMOUNT, "300"),
        ]),
        "{}",
    ),
    may(
        "upgrade",
        &Object(&[or("minimumHealthCapacity", &SHARE, "1"), or("maximumOverCapacity", &SHARE, "1")]),
    ),
    or(
        "placement",
        &Object(&[
            omit("constraints", &List(&CONSTRAINT, 0, true)),
            omit("acceptedResourceRoles", &TEXTS),
            omit("preferences", &PREFERENCES),
        ]),
        "{}",
    ),
    or("killSelection", &KILL_SELECTION, "\"YOUNGEST_FIRST\""),
    may("unreachableStrategy", &UNREACHABLE),
    // what Marathon does not have
    may("deploymentTimeoutSeconds", &SECONDS),
    may("maxFailures", &COUNT),
    may("onFailure", &ON_FAILURE),
    may("runOnce", &Flag),
    may("settleSeconds", &COUNT),
    may("stagingTimeoutSeconds", &SECONDS),
]);

/// A pod.
pub(super) const POD: &[Field] = &[
    must("id", &PATH_ID),
    omit("labels", &LABELS),
    may("version", &Shape::Instant),
    may("user", &Text(1, usize::MAX, Form::Any)),
    omit("environment", &ENV),
    must("containers", &List(&CONTAINER, 1, false)),
    omit("secrets", &SECRETS),
    omit("volumes", &List(&VOLUME, 0, false)),
    omit("networks", &NETWORKS),
    or(
        "scaling",
        &Object(&[or("kind", &Word(&["fixed", "every"]), "\"fixed\""), or("instances", &COUNT, "1")]),
        "{}",
    ),
    or("scheduling", &SCHEDULING, "{}"),
    or("executorResources", &EXECUTOR_RESOURCES, "{}"),
    may("role", &FILLED),
    may("linuxInfo", &LINUX),
    may("legacySharedCgroups", &Flag),
];
