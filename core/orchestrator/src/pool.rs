//! The resources of one offer, taken away piece by piece. Never decides who may have them.

use crate::volumes::{DiskKind, VolumeSpec, owner_of, portion};
use base::Rng;
use model::mesos::{Resource, value};

/// What is left of one offer.
#[derive(Clone, Debug)]
pub struct Pool {
    scalars: Vec<(Resource, i64)>,
    ports: Vec<(Resource, Vec<(u64, u64)>)>,
    /// Disks with a source of their own, for volumes.
    disks: Vec<(Resource, i64)>,
}

/// There is less than wanted, of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Short {
    /// `cpus`, `mem`, `disk`, `gpus` or `ports`.
    pub resource: &'static str,
    /// How much was wanted.
    pub wanted: f64,
    /// How much there is.
    pub available: f64,
}

fn role_of(resource: &Resource) -> &str {
    match resource.reservations.last() {
        Some(reservation) => reservation.role.as_deref().unwrap_or("*"),
        None => resource.role.as_deref().unwrap_or("*"),
    }
}

fn milli(number: f64) -> i64 {
    (number * 1000.0).round() as i64
}

/// What an instance needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Name and amount of each number; nothing of what is zero.
    pub scalars: Vec<(&'static str, f64)>,
    /// Wanted ports, 0 for any.
    pub ports: Vec<u16>,
}

/// What was taken: the resources as the master must see them, and the ports in the order of the needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// For `TaskInfo.resources`.
    pub resources: Vec<Resource>,
    /// One port for each that was needed.
    pub ports: Vec<u16>,
}

impl Pool {
    /// All plain resources of an offer: no volumes, nothing revocable, shared, or kept for an instance with volumes.
    pub fn new(resources: &[Resource]) -> Self {
        let plain: Vec<_> = resources.iter().filter(|r| owner_of(r).is_none()).cloned().collect();
        Self::of_reservation(&plain)
    }

    /// What is reserved for one instance, but for its volumes.
    pub fn of_reservation(resources: &[Resource]) -> Self {
        let mut pool = Self { scalars: Vec::new(), ports: Vec::new(), disks: Vec::new() };
        for resource in resources {
            let made = resource.disk.as_ref().is_some_and(|d| d.persistence.is_some());
            if made || resource.revocable.is_some() || resource.shared.is_some() {
                continue;
            }
            if resource.disk.as_ref().is_some_and(|d| d.source.is_some()) {
                let left = resource.scalar.as_ref().map_or(0, |scalar| milli(scalar.value));
                if role_of(resource) == "*" {
                    pool.disks.push((resource.clone(), left));
                }
                continue;
            }
            if let Some(scalar) = &resource.scalar {
                pool.scalars.push((resource.clone(), milli(scalar.value)));
            } else if let (Some(ranges), "ports") = (&resource.ranges, resource.name.as_str()) {
                let ranges =
                    ranges.range.iter().filter(|r| r.begin <= r.end).map(|r| (r.begin, r.end)).collect();
                pool.ports.push((resource.clone(), ranges));
            }
        }
        // what is reserved goes first: nobody else could use it
        pool.scalars.sort_by_key(|(resource, _)| role_of(resource) == "*");
        pool.ports.sort_by_key(|(resource, _)| role_of(resource) == "*");
        pool
    }

    /// How much of a number is left in these roles.
    pub fn scalar(&self, name: &str, roles: &[String]) -> f64 {
        let mine = |(resource, _): &&(Resource, i64)| resource.name == name && allowed(resource, roles);
        self.scalars.iter().filter(mine).map(|(_, left)| left).sum::<i64>() as f64 / 1000.0
    }

    /// Everything that is missing for these needs.
    pub fn short_of(&self, needs: &Needs, roles: &[String]) -> Vec<Short> {
        let mut all = Vec::new();
        for &(resource, wanted) in &needs.scalars {
            let available = self.scalar(resource, roles);
            if milli(available) < milli(wanted) {
                all.push(Short { resource, wanted, available });
            }
        }
        let any = needs.ports.iter().filter(|port| **port == 0).count();
        let fixed: Vec<u64> =
            needs.ports.iter().filter(|port| **port != 0).map(|port| u64::from(*port)).collect();
        let ranges = || self.ports.iter().filter(|(r, _)| allowed(r, roles)).flat_map(|(_, ranges)| ranges);
        let there = |port: &u64| ranges().any(|(begin, end)| begin <= port && port <= end);
        let count: u64 = ranges().map(|(begin, end)| end - begin + 1).sum();
        if let Some(port) = fixed.iter().find(|port| !there(port)) {
            all.push(Short { resource: "ports", wanted: *port as f64, available: 0.0 });
        } else if (count as usize) < any + fixed.len() {
            all.push(Short {
                resource: "ports",
                wanted: (any + fixed.len()) as f64,
                available: count as f64,
            });
        }
        all
    }

    /// Takes these needs away. Only after `short_of` found nothing missing.
    pub fn take(&mut self, needs: &Needs, roles: &[String], rng: &mut Rng) -> Taken {
        let mut taken = Taken::default();
        for &(name, wanted) in &needs.scalars {
            let mut wanted = milli(wanted);
            for (resource, left) in &mut self.scalars {
                let part = wanted.min(*left);
                if resource.name == name && part > 0 && allowed(resource, roles) {
                    *left -= part;
                    wanted -= part;
                    let scalar = Some(value::Scalar { value: part as f64 / 1000.0 });
                    taken.resources.push(Resource { scalar, ..resource.clone() });
                }
            }
        }
        self.take_ports(&needs.ports, roles, rng, &mut taken);
        taken
    }

    /// The first volume that finds no disk of its kind here.
    pub fn short_of_disks<'a>(&self, volumes: &'a [VolumeSpec]) -> Option<&'a VolumeSpec> {
        if volumes.iter().all(|volume| volume.kind == DiskKind::Root) {
            return None;
        }
        let mut trial = self.clone();
        volumes.iter().find(|v| v.kind != DiskKind::Root && trial.take_disk(v).is_none())
    }

    /// Takes a disk for a volume, the smallest that will do; a mounted one goes as a whole.
    pub fn take_disk(&mut self, volume: &VolumeSpec) -> Option<Resource> {
        let fits = |(_, (disk, left)): &(usize, &(Resource, i64))| volume.fits(disk, *left as f64 / 1000.0);
        let (at, _) = self.disks.iter().enumerate().filter(fits).min_by_key(|(_, (_, left))| *left)?;
        if volume.kind == DiskKind::Mount {
            return Some(self.disks.remove(at).0);
        }
        let (disk, left) = &mut self.disks[at];
        *left -= milli(volume.size);
        Some(portion(disk, volume.size))
    }

    fn take_ports(&mut self, wanted: &[u16], roles: &[String], rng: &mut Rng, taken: &mut Taken) {
        let mut given: Vec<Vec<(u64, u64)>> = vec![Vec::new(); self.ports.len()];
        let mut fixed = |pools: &mut Vec<(Resource, Vec<(u64, u64)>)>, port: u64| {
            let at = pools.iter().position(|(r, ranges)| {
                allowed(r, roles) && ranges.iter().any(|(begin, end)| *begin <= port && port <= *end)
            });
            if let Some(at) = at {
                cut(&mut pools[at].1, port);
                given[at].push((port, port));
            }
        };
        for port in wanted.iter().filter(|port| **port != 0) {
            fixed(&mut self.ports, u64::from(*port));
        }
        let mut next: Option<u64> = None;
        for port in wanted {
            if *port != 0 {
                taken.ports.push(*port);
                continue;
            }
            let Some(free) = self.any_port(roles, next, rng) else { continue };
            fixed(&mut self.ports, free);
            next = Some(free + 1);
            taken.ports.push(free as u16);
        }
        for ((resource, _), mut ports) in self.ports.iter().zip(given) {
            if ports.is_empty() {
                continue;
            }
            ports.sort_unstable();
            let mut merged: Vec<value::Range> = Vec::new();
            for (begin, end) in ports {
                match merged.last_mut() {
                    Some(last) if last.end + 1 == begin => last.end = end,
                    _ => merged.push(value::Range { begin, end }),
                }
            }
            let ranges = Some(value::Ranges { range: merged });
            taken.resources.push(Resource { ranges, ..resource.clone() });
        }
    }

    /// The wished port if it is free, else the first free one at or after a random point.
    fn any_port(&self, roles: &[String], wish: Option<u64>, rng: &mut Rng) -> Option<u64> {
        let ranges = || self.ports.iter().filter(|(r, _)| allowed(r, roles)).flat_map(|(_, ranges)| ranges);
        if let Some(wish) = wish.filter(|wish| ranges().any(|(begin, end)| begin <= wish && wish <= end)) {
            return Some(wish);
        }
        let count: u64 = ranges().map(|(begin, end)| end - begin + 1).sum();
        let mut at = rng.below(count);
        for (begin, end) in ranges() {
            if at <= end - begin {
                return Some(begin + at);
            }
            at -= end - begin + 1;
        }
        None
    }
}

fn allowed(resource: &Resource, roles: &[String]) -> bool {
    roles.iter().any(|role| role == role_of(resource))
}

fn cut(ranges: &mut Vec<(u64, u64)>, port: u64) {
    let Some(at) = ranges.iter().position(|(begin, end)| *begin <= port && port <= *end) else { return };
    let (begin, end) = ranges[at];
    let parts = [(begin, port.wrapping_sub(1)), (port + 1, end)];
    let keep = [begin < port, port < end];
    ranges.splice(at..=at, parts.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(part, _)| part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::resources::{Format, Resources};

    #[test]
    fn takes_ports_and_numbers_until_short() {
        let offered = Resources::scalars([("cpus", 1.0), ("mem", 64.0)]).with_ports([(31000, 31003)]);
        let mut pool = Pool::new(&offered.to_messages_as(Format::Stacked));
        let roles = ["*".to_owned()];
        let needs = Needs { scalars: vec![("cpus", 0.5), ("mem", 32.0)], ports: vec![0, 31001] };
        let mut rng = Rng::from_number(1);
        let mut seen = std::collections::BTreeSet::new();
        assert_eq!(pool.short_of(&needs, &roles), []);
        let first = pool.take(&needs, &roles, &mut rng);
        assert_eq!(first.ports[1], 31001);
        seen.extend(first.ports);
        let short = pool.short_of(&needs, &roles);
        assert_eq!(short, [Short { resource: "ports", wanted: 31001.0, available: 0.0 }]);
        let needs = Needs { ports: vec![0, 0], ..needs };
        let second = pool.take(&needs, &roles, &mut rng);
        seen.extend(second.ports);
        assert_eq!(seen.len(), 4);
        let names: Vec<_> =
            pool.short_of(&needs, &roles).into_iter().map(|s| (s.resource, s.available)).collect();
        assert_eq!(names, [("cpus", 0.0), ("mem", 0.0), ("ports", 0.0)]);
    }
}
