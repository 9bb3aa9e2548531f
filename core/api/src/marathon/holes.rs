//! Which complaints only follow from what could not be read. Rules are asked of a definition with holes in it: what they
//! miss there is not missing, and must not be complained of.
//!
//! Never reads or judges a definition itself. A rule that complains of what is absent has its texts in one of these tables.

use super::errors::Violation;

/// Complaints of what is there, wherever there is a hole in the same place.
const PRESENT: &[&str] = &[
    "Bridge networks may not have names",
    "Host networks may not have names",
    "May specify a single host network",
    "Port names must be unique",
    "Ports must be unique",
    "Volume names must be unique",
    "cannot specify both portMappings",
    "container names must be unique",
    "volume names must be unique",
];
/// What a complaint at another place looks at, by how its text begins. With a star: whatever is below it, too.
const RELIES: &[(&str, &[&str])] = &[
    ("A resident app must have", &["/role"]),
    ("AppDefinition can contain at most one Mesos health check", &["/healthChecks*"]),
    (
        "AppDefinition must either contain",
        &["/cmd", "/args", "/container/type", "/container/docker", "/ipAddress"],
    ),
    ("DCOS_PACKAGE_FRAMEWORK_NAME", &["/labels*"]),
    ("Health check port indices", PORTS),
    ("IPv6 can only be used", &["/container/type"]),
    ("No port definition reference", PORT_NAMES),
    ("Referenced Volume in VolumeMount", &["/volumes*"]),
    ("acceptedResourceRoles can only contain", &["/role"]),
    ("cannot specify both ports and port definitions", &["/ports*", "/portDefinitions*"]),
    ("contained in the container endpoints", &["/containers*"]),
    ("is not one of (", &["/networks*"]),
    ("must address one of the", PORTS),
    ("must be empty", &["/container/type"]),
    ("networkNames must be", &["/networks*"]),
    ("portDefinitions are only allowed", NETWORKS),
    ("portMappings are not allowed", NETWORKS),
    ("pullConfig.secret must refer", &["/secrets*"]),
    ("references an undefined secret", &["/secrets*"]),
    ("volume must be referenced", &["/containers*"]),
    ("volume.secret must refer", &["/secrets*"]),
];
const NETWORKS: &[&str] = &["/networks*", "/container/docker/network", "/ipAddress"];
const PORTS: &[&str] = &[
    "/container/docker/network",
    "/container/docker/portMappings",
    "/container/portMappings",
    "/ipAddress*",
    "/networks*",
    "/portDefinitions",
    "/ports",
];
const PORT_NAMES: &[&str] = &[
    "/container/docker/network",
    "/container/docker/portMappings*",
    "/container/portMappings*",
    "/ipAddress*",
    "/networks*",
    "/portDefinitions*",
    "/ports",
];

/// Leaves out what only follows from holes.
pub(super) fn without_followers(mut found: Vec<Violation>, holes: &[String]) -> Vec<Violation> {
    found.retain(|violation| !holes.iter().any(|hole| follows(violation, hole)));
    found
}

fn follows(violation: &Violation, hole: &str) -> bool {
    let path = violation.path.as_str();
    let starts = |text: &&str| violation.error.starts_with(*text);
    let relies = RELIES.iter().filter(|(text, _)| starts(text)).flat_map(|(_, paths)| paths.iter());
    let mut relies = relies.map(|path| match path.strip_suffix('*') {
        Some(path) => covers(hole, path) || covers(path, hole),
        None => covers(hole, path),
    });
    // compared with the interval beside it
    let timeout = path.strip_suffix("/timeoutSeconds").is_some_and(|check| covers(check, hole));
    if timeout || relies.any(|relies| relies) {
        return true;
    }
    path != "/" && (covers(hole, path) || (covers(path, hole) && !PRESENT.iter().any(starts)))
}

/// Whether a path is another or stands above it.
fn covers(upper: &str, path: &str) -> bool {
    path.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '(']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_hole() {
        for (path, error, hole, follows) in [
            ("/", "AppDefinition must either contain one", "/cmd", true),
            ("/", "AppDefinition must either contain one", "/container", true),
            ("/", "AppDefinition must either contain one", "/container/volumes(0)/mode", false),
            ("/", "AppDefinition must either contain one", "/args(1)", false),
            ("/constraints(0)", "operator must be", "/cpus", false),
            ("/constraints(0)", "operator must be", "/constraints(0)(1)", true),
            ("/constraints(0)", "operator must be", "/constraints(1)(1)", false),
            ("/constraints(1)", "operator must be", "/constraints(10)", false),
            ("/readinessChecks(0)/timeoutSeconds", "got 10", "/readinessChecks(0)/intervalSeconds", true),
            ("/readinessChecks(0)/timeoutSeconds", "got 10", "/readinessChecks(1)/intervalSeconds", false),
            ("/env(A)", "references an undefined secret", "/secrets/s/source", true),
            ("/networks", "Host networks may not have names or labels", "/networks(1)/name", false),
            ("/networks", "Duplicate networks are not allowed", "/networks(1)/name", true),
            ("/apps", "anything", "", true),
        ] {
            let found = vec![Violation::new(path, error)];
            let left = without_followers(found, &[hole.to_owned()]);
            assert_eq!(left.is_empty(), follows, "{path} {error} with a hole at {hole}");
        }
    }
}
