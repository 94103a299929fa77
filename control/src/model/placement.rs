//! Which backend and drive a new volume goes to (provisioner §5.2).

use std::cmp::Reverse;

use uuid::Uuid;

use super::{
    backend::BackendRecord,
    volume::{Protocol, StorageClass},
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
    pub(crate) drive: Uuid,
}

/// Whether a backend may have the volume.
type Rule<'a> = &'a dyn Fn(&Candidate) -> bool;

/// The place for a single copy: the eligible backend with most free capacity, then IOPS, then the lowest
/// persistentID (D54), and on it the drive with most room. The failure says which rule left no backend.
pub(crate) fn place(wanted: Wanted<'_>, candidates: &[Candidate]) -> Result<Place, Failure> {
    let class = wanted.class;
    if let Some(host) = &class.host_id
        && !candidates.iter().any(|c| c.record.host_id.as_ref() == Some(host))
    {
        let why = format!("no backend has the hostId {host:?}");
        return Err(Failure::new(Code::NoBackendWithHostIdExists, why));
    }
    let rules: [(&str, Rule<'_>); 7] = [
        ("in use", &|c| c.record.in_use),
        ("available", &|c| c.available),
        ("in the given racks, zones and regions", &|c| in_topology(class, &c.record)),
        ("of the given hostId", &|c| class.host_id.is_none() || c.record.host_id == class.host_id),
        ("a host as well, as protocol Local needs", &|c| {
            wanted.protocol == Protocol::Nvmeof || c.record.host_id.is_some()
        }),
        ("able to give the desired IOPS and bandwidth", &|c| has_rates(wanted, c)),
        ("with enough free space on one drive", &|c| best_drive(wanted, c).is_some()),
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
    let drive = best_drive(wanted, best).expect("the last rule holds");
    Ok(Place { backend: best.record.persistent_id.clone(), drive: drive.uuid })
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

/// A volume lives on one drive, whether or not its class would let it span several.
fn best_drive<'a>(wanted: Wanted<'_>, candidate: &'a Candidate) -> Option<&'a CandidateDrive> {
    let class = wanted.class;
    let own = |d: &&CandidateDrive| {
        class.share_ssd || class.name.as_ref().is_none_or(|name| !d.class_names.contains(name))
    };
    let room = |d: &&CandidateDrive| d.unreserved_bytes >= wanted.reserved_bytes;
    candidate.drives.iter().filter(own).filter(room).max_by_key(|d| (d.unreserved_bytes, Reverse(d.uuid)))
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
        assert_eq!(place(wanted(&class), &[c]).unwrap().drive, Uuid::from_u128(3 << 8 | 1));
    }

    #[test]
    fn each_rule_excludes() {
        type Change = fn(&mut Candidate, &mut StorageClass);
        let excluded: [(&str, Change); 8] = [
            ("not in use", |c, _| c.record.in_use = false),
            ("unavailable", |c, _| c.available = false),
            ("an unset zone is in no list", |_, s| s.zones = vec!["nova".into()]),
            ("another rack", |c, s| {
                c.record.rack = Some("r1".into());
                s.racks = vec!["r2".into()];
            }),
            ("IOPS", |_, s| s.desired_iops_per_gib = 101),
            ("bandwidth", |_, s| s.desired_bytes_per_second_per_gib = 101),
            ("space on one drive", |c, _| c.drives = candidate(1, &[6, 6]).drives),
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
