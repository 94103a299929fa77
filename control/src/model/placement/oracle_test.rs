//! Placement against an oracle that tries every set of backends of a small pool.

use std::cmp::Reverse;

use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use super::*;
use crate::model::{GIB, volume::tests::class};

const CAPACITY_GIB: u64 = 4;
const HOST: &str = "h";

/// Everything that one decision depends on.
#[derive(Debug, Clone)]
struct Case {
    candidates: Vec<Candidate>,
    class: StorageClass,
    protocol: Protocol,
    reserved_bytes: u64,
    copies: usize,
    holders: Vec<String>,
}

impl Case {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            class: &self.class,
            protocol: self.protocol,
            capacity_gib: CAPACITY_GIB,
            reserved_bytes: self.reserved_bytes,
            copies: self.copies,
            holders: &self.holders,
        }
    }
}

fn drive() -> impl Strategy<Value = CandidateDrive> {
    // Now and then a part of a MiB, which a volume that spans cannot use.
    (0..10u64, 0..2u64, any::<bool>()).prop_map(|(halves, odd, gold)| CandidateDrive {
        uuid: Uuid::nil(),
        unreserved_bytes: halves * GIB / 2 + odd * 4096,
        class_names: if gold { vec!["gold".to_owned()] } else { Vec::new() },
    })
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let likely = || prop::bool::weighted(0.9);
    let place = (option::of(0..3u8), option::weighted(0.7, 0..2u8));
    (likely(), likely(), place, 0..12u64, 0..12u64, vec(drive(), 0..4)).prop_map(
        |(in_use, available, (rack, zone), free_iops, free_bytes_per_second, drives)| {
            let mut record = BackendRecord::new("");
            record.in_use = in_use;
            record.rack = rack.map(|rack| format!("r{rack}"));
            record.zone = zone.map(|zone| format!("z{zone}"));
            Candidate { record, available, free_iops, free_bytes_per_second, drives }
        },
    )
}

fn storage_class() -> impl Strategy<Value = StorageClass> {
    let places = (option::weighted(0.2, 0..3u8), option::weighted(0.2, 0..2u8));
    (any::<bool>(), places, 0..3u64, 0..3u64, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(same_rack_allowed, (rack, zone), iops, bandwidth, allow_span, share_ssd, host)| {
            StorageClass {
                name: Some("gold".to_owned()),
                same_rack_allowed,
                racks: rack.map(|rack| format!("r{rack}")).into_iter().collect(),
                zones: zone.map(|zone| format!("z{zone}")).into_iter().collect(),
                desired_iops_per_gib: iops,
                desired_bytes_per_second_per_gib: bandwidth,
                allow_span,
                share_ssd,
                host_id: host.then(|| HOST.to_owned()),
                ..class()
            }
        })
}

fn case() -> impl Strategy<Value = Case> {
    let more = (prop::bool::weighted(0.1), 1..5u64, 1..4usize, option::of(0..6usize), vec(0..6usize, 0..2));
    (vec(candidate(), 0..6), storage_class(), more).prop_map(
        |(mut candidates, class, (local, reserved_gib, copies, host, holders))| {
            for (i, candidate) in candidates.iter_mut().enumerate() {
                candidate.record.persistent_id = format!("02:00:00:00:00:0{i}");
                // One backend at most is a certain host.
                candidate.record.host_id = (host == Some(i)).then(|| HOST.to_owned());
                for (n, drive) in candidate.drives.iter_mut().enumerate() {
                    drive.uuid = Uuid::from_u128((i * 16 + n) as u128);
                }
            }
            let holders = holders.into_iter().filter_map(|i| candidates.get(i));
            Case {
                holders: holders.map(|c| c.record.persistent_id.clone()).collect(),
                candidates,
                class,
                protocol: if local { Protocol::Local } else { Protocol::Nvmeof },
                reserved_bytes: reserved_gib * GIB,
                copies,
            }
        },
    )
}

/// Whether the drives of that class have room together, or one of them alone.
fn has_room(case: &Case, candidate: &Candidate, among: impl Fn(&CandidateDrive) -> bool) -> bool {
    let class = &case.class;
    let usable = |d: &&CandidateDrive| among(d) && (class.share_ssd || d.class_names.is_empty());
    let sizes: Vec<u64> = candidate.drives.iter().filter(usable).map(|d| d.unreserved_bytes).collect();
    let together: u64 = sizes.iter().map(|bytes| bytes / (1 << 20) * (1 << 20)).sum();
    sizes.iter().any(|bytes| *bytes >= case.reserved_bytes)
        || (class.allow_span && together >= case.reserved_bytes)
}

fn may_have_a_copy(case: &Case, c: &Candidate) -> bool {
    let class = &case.class;
    let listed = |list: &[String], value: &Option<String>| {
        list.is_empty() || value.as_ref().is_some_and(|v| list.contains(v))
    };
    c.record.in_use
        && c.available
        && !case.holders.contains(&c.record.persistent_id)
        && listed(&class.racks, &c.record.rack)
        && listed(&class.zones, &c.record.zone)
        && (case.protocol == Protocol::Nvmeof || c.record.host_id.is_some())
        && c.free_iops >= class.desired_iops_per_gib * CAPACITY_GIB
        && c.free_bytes_per_second >= class.desired_bytes_per_second_per_gib * CAPACITY_GIB
        && has_room(case, c, |_| true)
}

fn needs_host(case: &Case) -> bool {
    case.class.host_id.is_some() && case.holders.is_empty()
}

fn is_valid(case: &Case, set: &[&Candidate]) -> bool {
    let holders = case.candidates.iter().filter(|c| case.holders.contains(&c.record.persistent_id));
    let held: Vec<&String> = holders.filter_map(|c| c.record.rack.as_ref()).collect();
    let racks: Vec<&String> = set.iter().filter_map(|c| c.record.rack.as_ref()).collect();
    let no_rack_twice =
        racks.iter().enumerate().all(|(i, rack)| !held.contains(rack) && !racks[..i].contains(rack));
    set.len() == case.copies
        && set.iter().all(|c| may_have_a_copy(case, c))
        && (case.class.same_rack_allowed || no_rack_twice)
        && (!needs_host(case) || set.iter().any(|c| c.record.host_id.is_some()))
}

/// The valid set that is best by D54: its best backend first, then the next.
fn best(case: &Case) -> Option<Vec<String>> {
    let rank = |c: &Candidate| {
        let free: u64 = c.drives.iter().map(|d| d.unreserved_bytes).sum();
        (Reverse(free), Reverse(c.free_iops), c.record.persistent_id.clone())
    };
    let sets = (0..1u32 << case.candidates.len()).map(|mask| {
        let chosen = case.candidates.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
        chosen.map(|(_, c)| c).collect::<Vec<_>>()
    });
    let ranks = sets.filter(|set| is_valid(case, set)).map(|set| {
        let mut ranks: Vec<_> = set.into_iter().map(rank).collect();
        ranks.sort();
        ranks
    });
    Some(ranks.min()?.into_iter().map(|(.., id)| id).collect())
}

fn expected_code(case: &Case) -> Code {
    let is_host = |c: &&Candidate| c.record.host_id.is_some();
    if needs_host(case) && !case.candidates.iter().any(|c| is_host(&c)) {
        return Code::NoBackendWithHostIdExists;
    }
    let only_host = needs_host(case) && case.copies == 1;
    let eligible = |c: &&Candidate| may_have_a_copy(case, c) && (!only_host || is_host(c));
    match case.candidates.iter().any(|c| eligible(&c)) {
        true => Code::NotEnoughMatchingBackends,
        false => Code::NoMatchingBackend,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_rule_is_broken_nothing_is_missed_and_the_best_is_taken(case in case()) {
        let found = place(case.wanted(), &case.candidates);
        match (&found, best(&case)) {
            (Ok(places), Some(best)) => {
                let mut backends: Vec<_> = places.iter().map(|p| p.backend.clone()).collect();
                backends.sort();
                let mut best = best;
                best.sort();
                prop_assert_eq!(backends, best);
                for place in places {
                    let on = case.candidates.iter().find(|c| c.record.persistent_id == place.backend);
                    prop_assert!(has_room(&case, on.unwrap(), |d| place.drives.contains(&d.uuid)));
                }
            }
            (Err(failure), None) => prop_assert_eq!(failure.code, expected_code(&case)),
            (found, best) => prop_assert!(false, "found {:?}, the oracle {:?}", found, best),
        }
        let mut reversed = case.clone();
        reversed.candidates.reverse();
        prop_assert_eq!(place(reversed.wanted(), &reversed.candidates).ok(), found.ok());
    }
}
