//! Which backend and drive a new volume goes to (provisioner §5.2).

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use dataplane::{
    limits::VOLUME_PARTS,
    node::{DriveInfo, DriveState, VolumeInfo},
};
use uuid::Uuid;

use super::{
    backend::BackendRecord,
    volume::{Protocol, StorageClass, VolumeRecord},
};
use crate::envelope::{Code, Failure};

/// A backend as placement sees it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) record: BackendRecord,
    pub(crate) available: bool,
    pub(crate) free_iops: u64,
    pub(crate) free_bytes_per_second: u64,
    /// Those that take new volumes.
    pub(crate) drives: Vec<CandidateDrive>,
}

#[derive(Debug, Clone)]
pub(crate) struct CandidateDrive {
    pub(crate) uuid: Uuid,
    pub(crate) unreserved_bytes: u64,
    /// Storage class names of the volumes on it.
    pub(crate) class_names: Vec<String>,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) class: &'a StorageClass,
    pub(crate) protocol: Protocol,
    pub(crate) capacity_gib: u64,
    pub(crate) reserved_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// persistentID.
    pub(crate) backend: String,
    /// One, or those that the volume may span, the roomiest first.
    pub(crate) drives: Vec<Uuid>,
}

/// Whether a backend may have the volume.
type Rule<'a> = &'a dyn Fn(&Candidate) -> bool;

/// The place for a single copy: the eligible backend with most free capacity, then IOPS, then the lowest
/// persistentID (D54), and on it the drive with most room, or several if it may span and none has room alone. The
/// failure says which rule left no backend.
pub(crate) fn place(wanted: Wanted<'_>, candidates: &[Candidate]) -> Result<Place, Failure> {
    let class = wanted.class;
    if let Some(host) = &class.host_id
        && !candidates.iter().any(|c| c.record.host_id.as_ref() == Some(host))
    {
        let why = format!("no backend has the hostId {host:?}");
        return Err(Failure::new(Code::NoBackendWithHostIdExists, why));
    }
    let room =
        if class.allow_span { "with enough free space" } else { "with enough free space on one drive" };
    let rules: [(&str, Rule<'_>); 7] = [
        ("in use", &|c| c.record.in_use),
        ("available", &|c| c.available),
        ("in the given racks, zones and regions", &|c| in_topology(class, &c.record)),
        ("of the given hostId", &|c| class.host_id.is_none() || c.record.host_id == class.host_id),
        ("a host as well, as protocol Local needs", &|c| {
            wanted.protocol == Protocol::Nvmeof || c.record.host_id.is_some()
        }),
        ("able to give the desired IOPS and bandwidth", &|c| has_rates(wanted, c)),
        (room, &|c| !drives(wanted, c).is_empty()),
    ];
    let mut left: Vec<&Candidate> = candidates.iter().collect();
    for (rule, holds) in rules {
        left.retain(|c| holds(c));
        if left.is_empty() {
            return Err(Failure::new(Code::NoMatchingBackend, format!("no backend is {rule}")));
        }
    }
    let best = left.into_iter().max_by_key(|c| {
        let free: u64 = c.drives.iter().map(|d| d.unreserved_bytes).sum();
        (free, c.free_iops, Reverse(c.record.persistent_id.clone()))
    });
    let best = best.expect("a rule that leaves none has returned");
    Ok(Place { backend: best.record.persistent_id.clone(), drives: drives(wanted, best) })
}

/// AND over the three lists; an unset value is in no list (D52).
fn in_topology(class: &StorageClass, backend: &BackendRecord) -> bool {
    [(&class.racks, &backend.rack), (&class.zones, &backend.zone), (&class.regions, &backend.region)]
        .iter()
        .all(|(allowed, value)| {
            allowed.is_empty() || value.as_ref().is_some_and(|value| allowed.contains(value))
        })
}

fn has_rates(wanted: Wanted<'_>, candidate: &Candidate) -> bool {
    let needs = |per_gib: u64| per_gib.saturating_mul(wanted.capacity_gib);
    candidate.free_iops >= needs(wanted.class.desired_iops_per_gib)
        && candidate.free_bytes_per_second >= needs(wanted.class.desired_bytes_per_second_per_gib)
}

/// The drives of a backend that can take the volume, see [`Place`]; none if they have too little room.
fn drives(wanted: Wanted<'_>, candidate: &Candidate) -> Vec<Uuid> {
    let mut drives = wanted.class.eligible(&candidate.drives);
    drives.sort_by_key(|d| (Reverse(d.unreserved_bytes), d.uuid));
    let room = |most: usize| -> u64 { drives.iter().take(most).map(|d| d.divisible_bytes()).sum() };
    match drives.first() {
        Some(best) if best.unreserved_bytes >= wanted.reserved_bytes => vec![best.uuid],
        Some(_) if wanted.class.allow_span && room(VOLUME_PARTS) >= wanted.reserved_bytes => {
            drives.iter().map(|d| d.uuid).collect()
        }
        _ => Vec::new(),
    }
}

impl StorageClass {
    /// The drives that may hold a volume of this class, however much room they have.
    fn eligible<'a>(&self, drives: &'a [CandidateDrive]) -> Vec<&'a CandidateDrive> {
        let own = |d: &&CandidateDrive| {
            self.share_ssd || self.name.as_ref().is_none_or(|name| !d.class_names.contains(name))
        };
        drives.iter().filter(own).collect()
    }

    /// The drives over which a volume may span when it grows.
    pub(crate) fn may_span(&self, drives: &[CandidateDrive]) -> Vec<Uuid> {
        if self.allow_span { self.eligible(drives).iter().map(|d| d.uuid).collect() } else { Vec::new() }
    }
}

impl CandidateDrive {
    /// Parts end on whole MiB.
    fn divisible_bytes(&self) -> u64 {
        self.unreserved_bytes >> 20 << 20
    }

    /// The drives that take new volumes, with what lies on them; `except` is not counted.
    pub(crate) fn list<'a>(
        drives: &[DriveInfo],
        on_node: &HashMap<Uuid, VolumeInfo>,
        volumes: impl Iterator<Item = &'a VolumeRecord>,
        except: Option<Uuid>,
    ) -> Vec<Self> {
        let mut class_names: HashMap<Uuid, HashSet<&str>> = HashMap::new();
        for volume in volumes.filter(|volume| Some(volume.uuid) != except) {
            let Some(name) = &volume.class.name else { continue };
            for on in volume.replicas.iter().filter_map(|replica| on_node.get(&replica.uuid)) {
                for part in &on.parts {
                    class_names.entry(part.drive).or_default().insert(name);
                }
            }
        }
        let names = |drive| class_names.get(&drive).into_iter().flatten().map(|name| (*name).to_owned());
        let online = drives.iter().filter(|d| d.state == DriveState::Online);
        let list = online.map(|d| Self {
            uuid: d.uuid,
            unreserved_bytes: d.unreserved_bytes,
            class_names: names(d.uuid).collect(),
        });
        list.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GIB, volume::tests::class};

    fn candidate(id: u8, free_gib: &[u64]) -> Candidate {
        let drives = free_gib.iter().enumerate().map(|(i, gib)| CandidateDrive {
            uuid: Uuid::from_u128(u128::from(id) << 8 | i as u128),
            unreserved_bytes: gib * GIB,
            class_names: Vec::new(),
        });
        Candidate {
            record: BackendRecord::new(&format!("02:00:00:00:00:{id:02x}")),
            available: true,
            free_iops: 1000,
            free_bytes_per_second: 1000,
            drives: drives.collect(),
        }
    }

    fn wanted(class: &StorageClass) -> Wanted<'_> {
        Wanted { class, protocol: Protocol::Nvmeof, capacity_gib: 10, reserved_bytes: 10 * GIB }
    }

    fn code(result: Result<Place, Failure>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn most_free_capacity_then_iops_then_the_lowest_id() {
        let class = class();
        let (a, mut b, c) = (candidate(1, &[20]), candidate(2, &[20]), candidate(3, &[9, 15]));
        let chosen = |cs: &[Candidate]| place(wanted(&class), cs).unwrap().backend;
        assert_eq!(chosen(&[a.clone(), b.clone(), c.clone()]), "02:00:00:00:00:03");
        assert_eq!(chosen(&[b.clone(), a.clone()]), "02:00:00:00:00:01");
        b.free_iops += 1;
        assert_eq!(chosen(&[a, b]), "02:00:00:00:00:02");
        assert_eq!(place(wanted(&class), &[c]).unwrap().drives, [Uuid::from_u128(3 << 8 | 1)]);
    }

    #[test]
    fn each_rule_excludes() {
        type Change = fn(&mut Candidate, &mut StorageClass);
        let excluded: [(&str, Change); 9] = [
            ("not in use", |c, _| c.record.in_use = false),
            ("unavailable", |c, _| c.available = false),
            ("an unset zone is in no list", |_, s| s.zones = vec!["nova".into()]),
            ("another rack", |c, s| {
                c.record.rack = Some("r1".into());
                s.racks = vec!["r2".into()];
            }),
            ("IOPS", |_, s| s.desired_iops_per_gib = 101),
            ("bandwidth", |_, s| s.desired_bytes_per_second_per_gib = 101),
            ("space", |c, _| c.drives = candidate(1, &[6, 3]).drives),
            ("space on one drive", |c, s| {
                s.allow_span = false;
                c.drives = candidate(1, &[6, 6]).drives;
            }),
            ("a drive of its own class", |c, s| {
                (s.share_ssd, s.name) = (false, Some("gold".into()));
                c.drives[0].class_names = vec!["gold".into()];
            }),
        ];
        for (what, change) in excluded {
            let (mut candidate, mut class) = (candidate(1, &[20]), class());
            assert!(place(wanted(&class), std::slice::from_ref(&candidate)).is_ok());
            change(&mut candidate, &mut class);
            assert_eq!(code(place(wanted(&class), &[candidate])), Code::NoMatchingBackend, "{what}");
        }
    }

    #[test]
    fn a_volume_spans_drives_only_if_none_has_room_alone() {
        let class = class();
        let uuid = |index: u128| Uuid::from_u128(1 << 8 | index);
        let drives = |free_gib: &[u64]| place(wanted(&class), &[candidate(1, free_gib)]).unwrap().drives;
        assert_eq!(drives(&[4, 11, 3]), [uuid(1)]);
        assert_eq!(drives(&[3, 4, 3, 0]), [uuid(1), uuid(0), uuid(2), uuid(3)]);
    }

    #[test]
    fn topology_lists_that_match_admit() {
        let mut class = class();
        (class.zones, class.racks) = (vec!["other".into(), "nova".into()], vec!["r".into()]);
        let mut candidate = candidate(1, &[20]);
        (candidate.record.zone, candidate.record.rack) = (Some("nova".into()), Some("r".into()));
        assert!(place(wanted(&class), &[candidate]).is_ok());
    }

    #[test]
    fn host_id_and_local() {
        let mut class = class();
        let (mut a, b) = (candidate(1, &[20]), candidate(2, &[30]));
        let local = |class| Wanted { protocol: Protocol::Local, ..wanted(class) };
        assert_eq!(code(place(local(&class), &[a.clone(), b.clone()])), Code::NoMatchingBackend);
        a.record.host_id = Some("h".into());
        let both = [a, b];
        assert_eq!(place(local(&class), &both).unwrap().backend, "02:00:00:00:00:01");
        class.host_id = Some("h".into());
        assert_eq!(place(wanted(&class), &both).unwrap().backend, "02:00:00:00:00:01");
        class.host_id = Some("nobody".into());
        assert_eq!(code(place(wanted(&class), &both)), Code::NoBackendWithHostIdExists);
    }

    #[test]
    fn nowhere_at_all() {
        assert_eq!(code(place(wanted(&class()), &[])), Code::NoMatchingBackend);
    }
}
