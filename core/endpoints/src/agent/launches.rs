//! What launches by the agent's API must look like. Never whether there is room for them (the agent decides).
//!
//! Order and texts: apache/mesos@c1b42f79:src/slave/validation.cpp.

use master::{validate_command, validate_container};
use model::{
    mesos::{CommandInfo, ContainerId, ContainerInfo, Resource, agent::call::LaunchContainer},
    resources::{Resources, upgrade},
};

fn is_nested_twice(id: &ContainerId) -> bool {
    id.parent.as_ref().is_some_and(|parent| parent.parent.is_some())
}

/// What it says of the groups of the container around it.
fn shares(container: Option<&ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

/// The parts that all launches have.
fn parts(name: &str, command: Option<&CommandInfo>, container: Option<&ContainerInfo>) -> Option<String> {
    let command = command.and_then(validate_command).map(|why| format!("'{name}.command' is invalid: {why}"));
    command.or_else(|| {
        let why = container.and_then(validate_container)?;
        Some(format!("'{name}.container' is invalid: {why}"))
    })
}

/// LAUNCH_NESTED_CONTAINER.
pub(super) fn nested(
    id: &ContainerId,
    command: Option<&CommandInfo>,
    container: Option<&ContainerInfo>,
) -> Option<String> {
    parts("launch_nested_container", command, container).or_else(|| {
        let apart = is_nested_twice(id) && shares(container) == Some(false);
        apart.then(|| TWICE.replace("{name}", "launch_nested_container"))
    })
}

/// LAUNCH_NESTED_CONTAINER_SESSION.
pub(super) fn session(command: Option<&CommandInfo>, container: Option<&ContainerInfo>) -> Option<String> {
    parts("launch_nested_container_session", command, container).or_else(|| {
        let apart = shares(container) == Some(false);
        apart.then(|| {
            "'launch_nested_container_session.container.linux_info' is invalid: 'share_cgroups' cannot be set to \
             'false' for nested container sessions"
                .to_owned()
        })
    })
}

const TWICE: &str = "'{name}' is invalid: containers nested at the second level or greater cannot set 'share_cgroups' \
                     to 'false'";

/// LAUNCH_CONTAINER.
pub(super) fn standing(launch: &LaunchContainer) -> Option<String> {
    let id = &launch.container_id;
    if let Some(error) = Resources::from_messages(&launch.resources).err() {
        return Some(format!("Invalid resources: {error}"));
    }
    let gpus = launch.resources.iter().filter(|r| r.name == "gpus").filter_map(|r| r.scalar.as_ref());
    // Upstream looks at thousandths and cuts off the rest.
    if (gpus.map(|s| s.value).sum::<f64>() * 1000.0) as i64 % 1000 != 0 {
        return Some("Invalid GPU resources: The 'gpus' resource must be an unsigned integer".to_owned());
    }
    if let Some(why) = id.parent.is_none().then(|| alone(&launch.resources)).flatten() {
        return Some(why.to_owned());
    }
    let container = launch.container.as_ref();
    let share = shares(container);
    parts("launch_container", launch.command.as_ref(), container).or_else(|| {
        let twice = is_nested_twice(id);
        let more =
            "'launch_container' is invalid: containers nested at the second level or greater cannot specify";
        if twice && !launch.resources.is_empty() {
            Some(format!("{more} resources"))
        } else if twice && !launch.limits.is_empty() {
            Some(format!("{more} resource limits"))
        } else if twice && share == Some(false) {
            Some(TWICE.replace("{name}", "launch_container"))
        } else if id.parent.is_none() && share == Some(true) {
            let why = "containers without a parent cannot set 'share_cgroups' to 'true'";
            Some(format!("'launch_container' is invalid: {why}"))
        } else {
            None
        }
    })
}

/// What no master knows of may not be anybody's.
fn alone(resources: &[Resource]) -> Option<&'static str> {
    let mut resources = resources.to_vec();
    upgrade(&mut resources);
    resources.iter().find_map(|resource| {
        let persistent = resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
        if !resource.reservations.is_empty() {
            Some("'launch_container.resources' must be unreserved")
        } else if persistent {
            Some("'launch_container.resources' may not use persistent volumes")
        } else if resource.revocable.is_some() {
            Some("'launch_container.resources' must be non-revocable")
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::{
        Environment, LinuxInfo, Volume, container_info,
        environment::Variable,
        resource::{DiskInfo, ReservationInfo, RevocableInfo, disk_info::Persistence, reservation_info},
        value::Scalar,
    };

    fn id(depth: usize) -> ContainerId {
        let parent = (depth > 0).then(|| Box::new(id(depth - 1)));
        ContainerId { value: "c".into(), parent }
    }

    fn launch(depth: usize) -> LaunchContainer {
        LaunchContainer { container_id: id(depth), ..Default::default() }
    }

    fn of(name: &str, amount: f64) -> Resource {
        Resources::scalars([(name, amount)]).to_messages().remove(0)
    }

    fn sharing(share_cgroups: bool) -> ContainerInfo {
        let linux_info = Some(LinuxInfo { share_cgroups: Some(share_cgroups), ..Default::default() });
        let mut info = ContainerInfo { linux_info, ..Default::default() };
        info.set_type(container_info::Type::Mesos);
        info
    }

    #[test]
    fn what_stands_alone_takes_nothing_of_anybodys() {
        let with = |depth: usize, resource: Resource| {
            standing(&LaunchContainer { resources: vec![resource], ..launch(depth) })
        };
        let mut reservation = ReservationInfo { role: Some("r".into()), ..Default::default() };
        reservation.set_type(reservation_info::Type::Dynamic);
        let reserved = Resource { role: None, reservations: vec![reservation], ..of("cpus", 1.0) };
        let of_role = Resource { role: Some("r".into()), ..of("cpus", 1.0) };
        let unreserved = "'launch_container.resources' must be unreserved";
        assert_eq!(with(0, reserved.clone()).as_deref(), Some(unreserved));
        assert_eq!(with(0, of_role).as_deref(), Some(unreserved));
        assert_eq!(with(1, reserved), None, "inside another it is that one's");
        let persistence = Some(Persistence { id: "v".into(), ..Default::default() });
        let mut volume = Volume { container_path: "v".into(), ..Default::default() };
        volume.set_mode(model::mesos::volume::Mode::Rw);
        let disk = Some(Box::new(DiskInfo { persistence, volume: Some(volume), ..Default::default() }));
        let why = with(0, Resource { disk, ..of("disk", 1.0) }).expect("a fault");
        assert!(why.contains("persistent volumes") || why.starts_with("Invalid resources"), "{why}");
        let revocable = Resource { revocable: Some(RevocableInfo::default()), ..of("cpus", 1.0) };
        assert_eq!(with(0, revocable).as_deref(), Some("'launch_container.resources' must be non-revocable"));
        let half = Resource { scalar: Some(Scalar { value: 0.5 }), ..of("gpus", 1.0) };
        let why = "Invalid GPU resources: The 'gpus' resource must be an unsigned integer";
        assert_eq!(with(0, half).as_deref(), Some(why));
        assert_eq!(with(0, of("gpus", 2.0)), None);
        assert_eq!(with(0, of("cpus", 0.5)), None);
    }

    #[test]
    fn commands_containers_and_levels_are_looked_at() {
        let variable = Variable { name: "A".into(), ..Default::default() };
        let command = CommandInfo {
            environment: Some(Environment { variables: vec![variable] }),
            ..Default::default()
        };
        let why = "Environment variable 'A' of type 'VALUE' must have a value set";
        let is = |name: &str| Some(format!("'{name}.command' is invalid: {why}"));
        assert_eq!(nested(&id(1), Some(&command), None), is("launch_nested_container"));
        assert_eq!(session(Some(&command), None), is("launch_nested_container_session"));
        let wrong = LaunchContainer { command: Some(command), ..launch(0) };
        assert_eq!(standing(&wrong), is("launch_container"));
        let mut docker = ContainerInfo::default();
        docker.set_type(container_info::Type::Docker);
        let why = "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo";
        let is = Some(format!("'launch_nested_container.container' is invalid: {why}"));
        assert_eq!(nested(&id(1), None, Some(&docker)), is);

        let twice = "containers nested at the second level or greater cannot";
        let says = |why: Option<String>, text: &str| {
            assert!(why.as_ref().is_some_and(|w| w.contains(text)), "{why:?}")
        };
        let apart = "set 'share_cgroups' to 'false'";
        says(nested(&id(2), None, Some(&sharing(false))), &format!("{twice} {apart}"));
        assert_eq!(nested(&id(1), None, Some(&sharing(false))), None);
        assert_eq!(nested(&id(2), None, Some(&sharing(true))), None);
        says(session(None, Some(&sharing(false))), "cannot be set to 'false' for nested container sessions");
        assert_eq!(session(None, Some(&sharing(true))), None);
        let own = |depth, container| LaunchContainer { container: Some(container), ..launch(depth) };
        says(standing(&own(2, sharing(false))), &format!("{twice} {apart}"));
        says(
            standing(&own(0, sharing(true))),
            "containers without a parent cannot set 'share_cgroups' to 'true'",
        );
        assert_eq!(standing(&own(0, sharing(false))), None);
        let resources = LaunchContainer { resources: vec![of("cpus", 1.0)], ..launch(2) };
        says(standing(&resources), &format!("{twice} specify resources"));
        let limits = [("cpus".to_owned(), Scalar { value: 1.0 })].into();
        says(standing(&LaunchContainer { limits, ..launch(2) }), &format!("{twice} specify resource limits"));
    }
}
