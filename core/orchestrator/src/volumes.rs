//! Persistent volumes as data: what a definition asks for, what an instance has, and how reservations and volumes are
//! said to Mesos. Pure. Never decides when a volume is made, used or destroyed (`residents`).
//!
//! Labels and ids are Marathon's (TaskLabels, LocalVolume), so that it and this find each other's.

use crate::{
    constraints::{Constraint, Counts},
    read::{flag, list, number, text},
};
use model::{
    mesos::{
        Label, Labels, Resource, Volume,
        offer::{Operation, operation},
        resource::{
            DiskInfo, ReservationInfo,
            disk_info::{Persistence, source},
            reservation_info,
        },
        value, volume,
    },
    resources::{downgrade, upgrade},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Whose reservation it is: the framework.
const FRAMEWORK_LABEL: &str = "marathon_framework_id";
/// And the instance; the name is of a time when tasks had no instances.
const INSTANCE_LABEL: &str = "marathon_task_id";

/// What kind of disk a volume is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskKind {
    /// The agent's own.
    #[default]
    Root,
    /// A directory that is offered as a disk; it may be divided.
    Path,
    /// A file system that is offered as a disk; only as a whole.
    Mount,
}

/// A persistent volume that a definition asks for.
#[derive(Clone, Debug, Default)]
pub struct VolumeSpec {
    /// Where an app sees it, in its sandbox; the name, if it is a pod's.
    pub path: String,
    /// MiB.
    pub size: f64,
    /// On what.
    pub kind: DiskKind,
    /// A whole disk may be as large as this.
    pub size_max: Option<f64>,
    /// On the paths of disks.
    pub constraints: Vec<Constraint>,
    /// Only on disks of this profile; none = on those that have none.
    pub profile: Option<String>,
    /// Whether it can't be written.
    pub read_only: bool,
}

impl VolumeSpec {
    /// Those of an app.
    pub(crate) fn of_app(app: &Value) -> Vec<Self> {
        let volumes = app.get("container").map_or(&[][..], |container| list(container, "volumes"));
        volumes.iter().filter_map(|volume| Self::read(volume, "containerPath")).collect()
    }
    /// Those of a pod, by name.
    pub(crate) fn of_pod(pod: &Value) -> Vec<Self> {
        list(pod, "volumes").iter().filter_map(|volume| Self::read(volume, "name")).collect()
    }
    fn read(volume: &Value, path: &str) -> Option<Self> {
        let info = volume.get("persistent").filter(|info| info.is_object())?;
        let constraints = list(info, "constraints").iter().map(|constraint| {
            let part = |at: usize| constraint.get(at).and_then(Value::as_str);
            Constraint::parse(part(0).unwrap_or_default(), part(1).unwrap_or_default(), part(2))
        });
        Some(Self {
            path: text(volume, path)?,
            size: number(info, "size", 0.0),
            kind: match text(info, "type").as_deref() {
                Some("path") => DiskKind::Path,
                Some("mount") => DiskKind::Mount,
                // disks with profiles are mounted ones (VolumeConversion)
                None if info.get("profileName").is_some_and(Value::is_string) => DiskKind::Mount,
                _ => DiskKind::Root,
            },
            size_max: info.get("maxSize").and_then(Value::as_f64),
            constraints: constraints.collect(),
            profile: text(info, "profileName"),
            read_only: text(volume, "mode").as_deref() == Some("RO") || flag(volume, "readOnly", false),
        })
    }
    /// Whether this disk with so much left will do.
    pub(crate) fn fits(&self, disk: &Resource, left: f64) -> bool {
        let source = disk.disk.as_ref().and_then(|disk| disk.source.as_ref());
        let Some(source) = source else { return false };
        let (kind, root) = match source.r#type() {
            source::Type::Path => (DiskKind::Path, source.path.as_ref().and_then(|p| p.root.as_deref())),
            source::Type::Mount => (DiskKind::Mount, source.mount.as_ref().and_then(|m| m.root.as_deref())),
            _ => return false,
        };
        let large = self.size_max.is_some_and(|most| kind == DiskKind::Mount && left > most);
        let refused = || self.constraints.iter().any(|c| c.refuses(root, &Counts::new(), 1).is_some());
        let profile = source.profile.as_deref().filter(|profile| !profile.is_empty());
        kind == self.kind && profile == self.profile.as_deref() && left >= self.size && !large && !refused()
    }
}

/// A volume that an instance has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalVolume {
    /// Where an app sees it, or its name in a pod.
    pub path: String,
    /// Makes it unlike all others.
    pub uuid: String,
}

impl LocalVolume {
    /// `prod_db#data#<uuid>`.
    pub fn id(&self, app: &str) -> String {
        format!("{}#{}#{}", app.trim_start_matches('/').replace('/', "_"), self.path, self.uuid)
    }
    /// As clients see it.
    pub(crate) fn shown(&self, app: &str) -> Value {
        json!({
            "runSpecId": app, "containerPath": self.path, "uuid": self.uuid, "persistenceId": self.id(app),
        })
    }
}

/// Who reserves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub framework: &'a str,
    pub instance: &'a str,
    pub role: &'a str,
    pub principal: Option<&'a str>,
}

/// Framework and instance that a resource is reserved for, if Marathon or this reserved it.
pub(crate) fn owner_of(resource: &Resource) -> Option<(&str, &str)> {
    let reservation = resource.reservations.last().or(resource.reservation.as_deref())?;
    let labels = &reservation.labels.as_ref()?.labels;
    let label = |key: &str| labels.iter().find(|l| l.key == key).and_then(|l| l.value.as_deref());
    Some((label(FRAMEWORK_LABEL)?, label(INSTANCE_LABEL)?))
}

/// The id of the persistent volume that a resource is.
pub(crate) fn persistence_of(resource: &Resource) -> Option<&str> {
    Some(resource.disk.as_ref()?.persistence.as_ref()?.id.as_str())
}

/// Changes a resource in the form of today, and gives it back in the form that it had.
#[allow(deprecated, reason = "masters offer the flat form to frameworks that know no other")]
fn in_its_form(resource: Resource, change: impl FnOnce(&mut Resource)) -> Resource {
    let flat = resource.role.is_some();
    let mut all = [resource];
    upgrade(&mut all);
    change(&mut all[0]);
    if flat {
        downgrade(&mut all);
    }
    let [resource] = all;
    resource
}

impl Owner<'_> {
    /// What was free, as it is when it is reserved.
    pub fn reserved(&self, resource: Resource) -> Resource {
        let label = |key: &str, value: &str| Label { key: key.to_owned(), value: Some(value.to_owned()) };
        in_its_form(resource, |resource| {
            resource.reservations.push(ReservationInfo {
                r#type: Some(reservation_info::Type::Dynamic as i32),
                role: Some(self.role.to_owned()),
                principal: self.principal.map(str::to_owned),
                labels: Some(Labels {
                    labels: vec![
                        label(FRAMEWORK_LABEL, self.framework),
                        label(INSTANCE_LABEL, self.instance),
                    ],
                }),
            });
        })
    }
    /// A reserved disk, as it is when a volume is made of it.
    pub fn volume(&self, disk: Resource, id: String, spec: &VolumeSpec) -> Resource {
        let source = disk.disk.as_ref().and_then(|disk| disk.source.clone());
        let mode = if spec.read_only { volume::Mode::Ro } else { volume::Mode::Rw };
        let info = DiskInfo {
            persistence: Some(Persistence { id, principal: self.principal.map(str::to_owned) }),
            volume: Some(Volume {
                mode: mode as i32,
                container_path: spec.path.clone(),
                ..Default::default()
            }),
            source,
        };
        Resource { disk: Some(info.into()), ..disk }
    }
}

/// As much of a number as this.
pub(crate) fn portion(resource: &Resource, amount: f64) -> Resource {
    Resource { scalar: Some(value::Scalar { value: amount }), ..resource.clone() }
}

/// Reserves, and makes volumes of what is reserved.
pub(crate) fn reserve(resources: Vec<Resource>, volumes: Vec<Resource>) -> [Operation; 2] {
    let reserve = operation::Reserve { resources, ..Default::default() };
    [
        Operation {
            r#type: Some(operation::Type::Reserve as i32),
            reserve: Some(reserve),
            ..Default::default()
        },
        Operation {
            r#type: Some(operation::Type::Create as i32),
            create: Some(operation::Create { volumes }),
            ..Default::default()
        },
    ]
}

/// Destroys the volumes among these, and frees all of them.
pub(crate) fn unreserve(held: Vec<Resource>) -> impl Iterator<Item = Operation> {
    let volumes: Vec<_> = held.iter().filter(|r| persistence_of(r).is_some()).cloned().collect();
    let bare = |mut resource: Resource| {
        resource.disk = resource
            .disk
            .filter(|disk| disk.source.is_some())
            .map(|disk| DiskInfo { persistence: None, volume: None, source: disk.source }.into());
        resource.shared = None;
        resource
    };
    let destroy = (!volumes.is_empty()).then(|| Operation {
        r#type: Some(operation::Type::Destroy as i32),
        destroy: Some(operation::Destroy { volumes }),
        ..Default::default()
    });
    let resources = held.into_iter().map(bare).collect();
    destroy.into_iter().chain([Operation {
        r#type: Some(operation::Type::Unreserve as i32),
        unreserve: Some(operation::Unreserve { resources }),
        ..Default::default()
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::resources::{Conversion, Format, Resources};

    #[test]
    fn what_is_reserved_and_made_can_be_undone_in_both_forms() {
        let owner = Owner { framework: "f", instance: "a.instance-1", role: "dev", principal: Some("p") };
        for form in [Format::Flat, Format::Stacked] {
            let offered = Resources::scalars([("cpus", 1.0), ("disk", 64.0)]);
            let all: Vec<_> = offered.allocate("dev", form);
            let reserved: Vec<_> = all.iter().cloned().map(|r| owner.reserved(r)).collect();
            let spec = VolumeSpec { path: "data".into(), size: 64.0, ..VolumeSpec::default() };
            let volume = LocalVolume { path: "data".into(), uuid: "u".into() };
            assert_eq!(volume.id("/prod/db"), "prod_db#data#u");
            let disk = reserved.iter().find(|r| r.name == "disk").unwrap().clone();
            let made = owner.volume(disk, volume.id("/prod/db"), &spec);
            assert_eq!(owner_of(&made), Some(("f", "a.instance-1")), "{form:?}");
            assert_eq!(persistence_of(&made), Some("prod_db#data#u"));
            let mut now = Resources::from_messages(&all).unwrap();
            let held = vec![reserved[0].clone(), made.clone()];
            let operations = reserve(reserved, vec![made]).into_iter().chain(unreserve(held));
            for operation in operations {
                let change = Conversion::of(&operation).unwrap();
                assert!(now.contains(&change.consumed), "{form:?} {operation:?}");
                now.cut(&change.consumed);
                now += &change.converted;
            }
            assert_eq!(now, Resources::from_messages(&all).unwrap(), "{form:?}");
        }
    }

    #[test]
    fn a_disk_fits_by_kind_size_path_and_profile() {
        let disk = |kind: source::Type, root: &str| Resource {
            name: "disk".into(),
            disk: Some(Box::new(DiskInfo {
                source: Some(model::mesos::resource::disk_info::Source {
                    r#type: kind as i32,
                    path: Some(source::Path { root: Some(root.into()) }),
                    mount: Some(source::Mount { root: Some(root.into()) }),
                    ..Default::default()
                }),
                ..Default::default()
            })),
            ..Default::default()
        };
        let read = |info: Value| {
            let app = json!({ "container": { "volumes": [{ "containerPath": "d", "persistent": info }] } });
            let of_app = VolumeSpec::of_app(&app).remove(0);
            let pod = json!({ "volumes": [{ "name": "d", "persistent": app["container"]["volumes"][0]["persistent"] }] });
            assert_eq!(
                format!("{of_app:?}"),
                format!("{:?}", VolumeSpec::of_pod(&pod)[0]),
                "pods say it alike"
            );
            of_app
        };
        let mount = read(json!({ "type": "mount", "size": 10, "maxSize": 20 }));
        let on_ssd = read(json!({ "type": "path", "size": 10, "constraints": [["path", "LIKE", "/ssd.*"]] }));
        let fast = read(json!({ "size": 10, "profileName": "fast" }));
        let of_profile = |name: &str| {
            let mut disk = disk(source::Type::Mount, "/m");
            let source = disk.disk.as_mut().and_then(|disk| disk.source.as_mut());
            source.unwrap().profile = Some(name.to_owned());
            disk
        };
        for (spec, disk, left, fits) in [
            (&fast, of_profile("fast"), 15.0, true),
            (&fast, of_profile("slow"), 15.0, false),
            (&fast, disk(source::Type::Mount, "/m"), 15.0, false),
            (&mount, of_profile("fast"), 15.0, false),
            (&mount, of_profile(""), 15.0, true),
            (&mount, disk(source::Type::Mount, "/m"), 15.0, true),
            (&mount, disk(source::Type::Mount, "/m"), 25.0, false),
            (&mount, disk(source::Type::Mount, "/m"), 5.0, false),
            (&mount, disk(source::Type::Path, "/m"), 15.0, false),
            (&on_ssd, disk(source::Type::Path, "/ssd1"), 100.0, true),
            (&on_ssd, disk(source::Type::Path, "/hdd"), 100.0, false),
        ] {
            assert_eq!(spec.fits(&disk, left), fits, "{spec:?} {left}");
        }
    }
}
