//! What a resource is, apart from how much: its name and, where there is more to say, its reservations, disk and flags.
//!
//! Two amounts are added only if their kinds are equal. Never holds `allocation_info`: who was given it is the caller's.

use crate::mesos;
use prost::Message;
use std::{cmp::Ordering, sync::Arc};

/// The name of a resource. Upstream's own names come first, in the order in which people list them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// `cpus`
    Cpus,
    /// `gpus`
    Gpus,
    /// `mem`, in megabytes
    Mem,
    /// `disk`, in megabytes
    Disk,
    /// `ports`
    Ports,
    /// Any other.
    Other(Arc<str>),
}

impl Name {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Cpus => "cpus",
            Self::Gpus => "gpus",
            Self::Mem => "mem",
            Self::Disk => "disk",
            Self::Ports => "ports",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        match name {
            "cpus" => Self::Cpus,
            "gpus" => Self::Gpus,
            "mem" => Self::Mem,
            "disk" => Self::Disk,
            "ports" => Self::Ports,
            other => Self::Other(other.into()),
        }
    }
}

/// What is said of a resource beside name and amount. Built once, shared by every copy.
#[derive(Debug)]
struct Meta {
    reservations: Vec<mesos::resource::ReservationInfo>,
    disk: Option<Box<mesos::resource::DiskInfo>>,
    provider: Option<String>,
    revocable: bool,
    shared: bool,
    /// The above as bytes: equality and a stable order in one comparison.
    order: Box<[u8]>,
}

/// Everything about a resource but its amount.
#[derive(Clone, Debug)]
pub struct Kind {
    name: Name,
    meta: Option<Arc<Meta>>,
}

impl Kind {
    /// Unreserved, not on a disk of its own, neither revocable nor shared.
    pub fn plain(name: impl Into<Name>) -> Self {
        Self { name: name.into(), meta: None }
    }
    /// Of a message in the post-refinement format.
    pub(super) fn of(message: &mesos::Resource) -> Self {
        // What most resources are: a name.
        if message.disk.is_none()
            && message.revocable.is_none()
            && message.shared.is_none()
            && message.provider_id.is_none()
            && message.reservations.is_empty()
        {
            return Self::plain(message.name.as_str());
        }
        let bare = mesos::Resource {
            disk: message.disk.clone(),
            revocable: message.revocable,
            shared: message.shared,
            provider_id: message.provider_id.clone(),
            reservations: message.reservations.clone(),
            ..Default::default()
        };
        // How a volume is mounted and who made it is no part of what it is (upstream's operator== of DiskInfo).
        let mut identity = bare.clone();
        if let Some(disk) = &mut identity.disk {
            disk.volume = None;
            if let Some(persistence) = &mut disk.persistence {
                persistence.principal = None;
            }
        }
        let meta = Arc::new(Meta {
            order: identity.encode_to_vec().into(),
            revocable: bare.revocable.is_some(),
            shared: bare.shared.is_some(),
            provider: bare.provider_id.map(|id| id.value),
            disk: bare.disk,
            reservations: bare.reservations,
        });
        Self { name: message.name.as_str().into(), meta: Some(meta) }
    }
    /// The message without amount, in the post-refinement format.
    pub(super) fn to_message(&self) -> mesos::Resource {
        let mut message = mesos::Resource { name: self.name.as_str().to_owned(), ..Default::default() };
        if let Some(meta) = &self.meta {
            message.reservations.clone_from(&meta.reservations);
            message.disk.clone_from(&meta.disk);
            message.provider_id = meta.provider.clone().map(|value| mesos::ResourceProviderId { value });
            message.revocable = meta.revocable.then(Default::default);
            message.shared = meta.shared.then(Default::default);
        }
        message
    }
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }
    /// Whether it is nothing but a name: what every role may use.
    pub fn is_plain(&self) -> bool {
        self.meta.is_none()
    }
    /// The stack of reservations, outermost first; empty if unreserved.
    pub fn reservations(&self) -> &[mesos::resource::ReservationInfo] {
        self.meta.as_ref().map_or(&[], |meta| &meta.reservations)
    }
    /// The role it is reserved to (the innermost reservation's).
    pub fn reserved_to(&self) -> Option<&str> {
        self.reservations().last().map(|reservation| reservation.role())
    }
    /// Whether `role` may use it: unreserved, or reserved to `role` or one of its ancestors.
    pub fn usable_by(&self, role: &str) -> bool {
        self.reserved_to().is_none_or(|to| {
            role.strip_prefix(to).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
    /// Its disk.
    pub fn disk(&self) -> Option<&mesos::resource::DiskInfo> {
        self.meta.as_ref().and_then(|meta| meta.disk.as_deref())
    }
    /// Whether it may be taken back at any time.
    pub fn is_revocable(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.revocable)
    }
    /// Whether several may use it at once.
    pub fn is_shared(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.shared)
    }
    /// Whether it is a thing that can't be divided or merged: a persistent volume, a mounted or block disk, a shared one.
    pub fn is_whole(&self) -> bool {
        use mesos::resource::disk_info::source::Type;
        let Some(meta) = &self.meta else { return false };
        let disk = meta.disk.as_ref();
        meta.shared
            || disk.is_some_and(|disk| disk.persistence.is_some())
            || disk.and_then(|disk| disk.source.as_ref()).is_some_and(|source| match source.r#type() {
                Type::Mount | Type::Block => true,
                Type::Raw => source.id.is_some(),
                Type::Path | Type::Unknown => false,
            })
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name).then_with(|| match (&self.meta, &other.meta) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => Ordering::Equal,
            (Some(a), Some(b)) => a.order.cmp(&b.order),
        })
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kind {}
