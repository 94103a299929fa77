//! Which backends and drives the copies of a new volume go to (provisioner §5.2).

mod drives;
mod further;
#[cfg(test)]
mod oracle_test;
mod rules;

use std::{cmp::Reverse, collections::HashSet};

use uuid::Uuid;

pub(crate) use drives::CandidateDrive;
pub(crate) use further::place_further;
pub(crate) use rules::Broken;

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

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) class: &'a StorageClass,
    pub(crate) protocol: Protocol,
    pub(crate) capacity_gib: u64,
    /// Of each copy.
    pub(crate) reserved_bytes: u64,
    /// At least 1.
    pub(crate) copies: usize,
    /// persistentIDs of the backends that hold a copy already. The storage class' hostId is theirs to satisfy.
    pub(crate) holders: &'a [String],
}

/// Of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// persistentID.
    pub(crate) backend: String,
    /// One, or those that the copy may span, the roomiest first.
    pub(crate) drives: Vec<Uuid>,
}

/// A decision with its reasons.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// Per candidate, in their order: what stands against it, nothing if it may have a copy.
    pub(crate) broken: Vec<Vec<Broken>>,
    pub(crate) outcome: Result<Vec<Place>, Failure>,
}

/// A place for every copy, or for none.
///
/// Of the backends that may have a copy, those with most free capacity are taken, then with most IOPS, then with the
/// lowest persistentID (D54), each unless its rack has a copy already; the backend of the class' hostId before all
/// others. A rack excludes only itself, so this finds places wherever there are any, and no valid choice has a better
/// backend where this one has a worse one.
pub(crate) fn place(wanted: Wanted<'_>, candidates: &[Candidate]) -> Result<Vec<Place>, Failure> {
    explain(wanted, candidates).outcome
}

/// As [`place`], with what stood against each candidate.
pub(crate) fn explain(wanted: Wanted<'_>, candidates: &[Candidate]) -> Explanation {
    let mut broken: Vec<Vec<Broken>> = candidates.iter().map(|c| rules::broken(wanted, c)).collect();
    if let Err(failure) = require_host(wanted, candidates.iter().map(|c| &c.record)) {
        return Explanation { broken, outcome: Err(failure) };
    }
    let mut fit: Vec<&Candidate> =
        candidates.iter().zip(&broken).filter(|(_, broken)| broken.is_empty()).map(|(c, _)| c).collect();
    if fit.is_empty() {
        return Explanation { outcome: Err(rules::none_fits(wanted, &broken)), broken };
    }
    fit.sort_by_cached_key(|c| {
        let is_the_host = wanted.needs_host() && c.record.host_id == wanted.class.host_id;
        let free: u64 = c.drives.iter().map(|d| d.unreserved_bytes).sum();
        (!is_the_host, Reverse(free), Reverse(c.free_iops), c.record.persistent_id.clone())
    });
    let chosen = choose(wanted, &fit, candidates);
    let has_host = !wanted.needs_host()
        || chosen.first().is_some_and(|first| first.record.host_id == wanted.class.host_id);
    if chosen.len() == wanted.copies && has_host {
        let place = |c: &Candidate| Place {
            backend: c.record.persistent_id.clone(),
            drives: drives::for_copy(wanted, c),
        };
        return Explanation { broken, outcome: Ok(chosen.into_iter().map(place).collect()) };
    }
    let taken: Vec<&str> = chosen.iter().map(|c| c.record.persistent_id.as_str()).collect();
    for (candidate, broken) in candidates.iter().zip(&mut broken) {
        if broken.is_empty() && !taken.contains(&candidate.record.persistent_id.as_str()) {
            broken.push(Broken::rack_taken(&candidate.record));
        }
    }
    Explanation { broken, outcome: Err(not_enough(wanted, &taken, has_host)) }
}

/// `NoBackendWithHostIdExists` if the class names a host that no backend is.
pub(crate) fn require_host<'a>(
    wanted: Wanted<'_>,
    backends: impl IntoIterator<Item = &'a BackendRecord>,
) -> Result<(), Failure> {
    if !wanted.needs_host() || backends.into_iter().any(|b| b.host_id == wanted.class.host_id) {
        return Ok(());
    }
    let host = wanted.class.host_id.as_deref().unwrap_or_default();
    Err(Failure::new(Code::NoBackendWithHostIdExists, format!("no backend has the hostId {host:?}")))
}

/// As many of those that fit, the best first, as the racks allow.
fn choose<'a>(wanted: Wanted<'_>, fit: &[&'a Candidate], all: &'a [Candidate]) -> Vec<&'a Candidate> {
    let mut racks = racks_of_holders(wanted, all);
    let mut chosen = Vec::new();
    for candidate in fit {
        // Without a rack it stands in one of its own (D53).
        let is_free = wanted.class.same_rack_allowed
            || candidate.record.rack.as_deref().is_none_or(|rack| racks.insert(rack));
        if is_free && chosen.len() < wanted.copies {
            chosen.push(*candidate);
        }
    }
    chosen
}

/// Those that have a copy already.
fn racks_of_holders<'a>(wanted: Wanted<'_>, all: &'a [Candidate]) -> HashSet<&'a str> {
    let holds = |c: &&Candidate| wanted.holders.contains(&c.record.persistent_id);
    all.iter().filter(holds).filter_map(|c| c.record.rack.as_deref()).collect()
}

/// D28: some fit, but too few, or not the one that has to be among them.
fn not_enough(wanted: Wanted<'_>, fit: &[&str], has_host: bool) -> Failure {
    let racks = if wanted.class.same_rack_allowed { "" } else { ", no two in one rack" };
    let why = match has_host {
        true => format!(
            "{} copies need as many backends{racks}; {} can have one: {}",
            wanted.copies,
            fit.len(),
            fit.join(", ")
        ),
        false => "the backend of the hostId cannot have a copy".to_owned(),
    };
    Failure::new(Code::NotEnoughMatchingBackends, why)
}

impl Wanted<'_> {
    /// One of the copies has to be on the backend that is the class' host.
    fn needs_host(&self) -> bool {
        self.holders.is_empty() && self.class.host_id.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{rules::Rule, *};
    use crate::model::{GIB, probe::tests::probe, volume::tests::class};

    pub(in crate::model::placement) fn candidate(id: u8, free_gib: &[u64]) -> Candidate {
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

    pub(in crate::model::placement) fn in_rack(id: u8, free_gib: u64, rack: &str) -> Candidate {
        let mut candidate = candidate(id, &[free_gib]);
        candidate.record.rack = Some(rack.to_owned());
        candidate
    }

    pub(in crate::model::placement) fn wanted(class: &StorageClass) -> Wanted<'_> {
        Wanted {
            class,
            protocol: Protocol::Nvmeof,
            capacity_gib: 10,
            reserved_bytes: 10 * GIB,
            copies: 1,
            holders: &[],
        }
    }

    /// The last digits of the chosen backends' ids.
    fn chosen(wanted: Wanted<'_>, candidates: &[Candidate]) -> Vec<u8> {
        let id = |place: Place| place.backend[15..].parse().unwrap();
        place(wanted, candidates).unwrap().into_iter().map(id).collect()
    }

    fn code(result: Result<Vec<Place>, Failure>) -> Code {
        result.unwrap_err().code
    }

    #[test]
    fn most_free_capacity_then_iops_then_the_lowest_id() {
        let class = class();
        let (a, mut b, c) = (candidate(1, &[20]), candidate(2, &[20]), candidate(3, &[9, 15]));
        assert_eq!(chosen(wanted(&class), &[a.clone(), b.clone(), c.clone()]), [3]);
        assert_eq!(chosen(wanted(&class), &[b.clone(), a.clone()]), [1]);
        b.free_iops += 1;
        assert_eq!(chosen(wanted(&class), &[a, b]), [2]);
        assert_eq!(place(wanted(&class), &[c]).unwrap()[0].drives, [Uuid::from_u128(3 << 8 | 1)]);
    }

    #[test]
    fn each_rule_excludes_and_is_named() {
        type Change = fn(&mut Candidate, &mut StorageClass);
        let excluded: [(Rule, Change); 12] = [
            (Rule::Directed, |c, _| c.record.probe = Some(probe([192, 0, 2, 1]))),
            (Rule::InUse, |c, _| c.record.in_use = false),
            (Rule::Available, |c, _| c.available = false),
            // An unset value is in no list (D52).
            (Rule::Zone, |_, s| s.zones = vec!["nova".into()]),
            (Rule::Region, |c, s| {
                c.record.region = Some("north".into());
                s.regions = vec!["south".into(), "west".into()];
            }),
            (Rule::Rack, |c, s| {
                c.record.rack = Some("r1".into());
                s.racks = vec!["r2".into()];
            }),
            (Rule::Iops, |_, s| s.desired_iops_per_gib = 101),
            (Rule::Bandwidth, |_, s| s.desired_bytes_per_second_per_gib = 101),
            (Rule::Space, |c, _| c.drives = candidate(1, &[6, 3]).drives),
            (Rule::Space, |c, s| {
                s.allow_span = false;
                c.drives = candidate(1, &[6, 6]).drives;
            }),
            (Rule::Space, |c, _| c.drives.clear()),
            (Rule::OwnDrive, |c, s| {
                (s.share_ssd, s.name) = (false, Some("gold".into()));
                c.drives[0].class_names = vec!["gold".into()];
            }),
        ];
        for (rule, change) in excluded {
            let (mut candidate, mut class) = (candidate(1, &[20]), class());
            assert!(place(wanted(&class), std::slice::from_ref(&candidate)).is_ok());
            change(&mut candidate, &mut class);
            let explanation = explain(wanted(&class), &[candidate]);
            assert_eq!(code(explanation.outcome), Code::NoMatchingBackend, "{rule:?}");
            let rules: Vec<Rule> = explanation.broken[0].iter().map(|broken| broken.rule).collect();
            assert_eq!(rules, [rule]);
        }
    }

    #[test]
    fn the_refusal_names_the_rule_that_left_none() {
        let class = StorageClass { zones: vec!["nova".into()], desired_iops_per_gib: 200, ..class() };
        let (mut a, mut b) = (candidate(1, &[20]), candidate(2, &[20]));
        a.record.in_use = false;
        let why = |candidates: &[Candidate]| place(wanted(&class), candidates).unwrap_err().description;
        assert!(why(&[a.clone()]).contains("in use"));
        assert!(why(&[a.clone(), b.clone()]).contains("zones"));
        b.record.zone = Some("nova".into());
        let iops = why(&[a, b]);
        assert!(iops.contains("2000") && iops.contains("1000"), "{iops}");
        assert!(why(&[]).contains("no backend"));
    }

    #[test]
    fn copies_go_to_different_backends_and_racks() {
        let class = class();
        let two = |class| Wanted { copies: 2, ..wanted(class) };
        let all = [in_rack(1, 50, "a"), in_rack(2, 40, "a"), in_rack(3, 30, "b"), candidate(4, &[20])];
        assert_eq!(chosen(two(&class), &all), [1, 3]);
        assert_eq!(chosen(Wanted { copies: 3, ..wanted(&class) }, &all), [1, 3, 4]);
        let same = StorageClass { same_rack_allowed: true, ..class.clone() };
        assert_eq!(chosen(two(&same), &all), [1, 2]);

        let explanation = explain(two(&class), &all[..2]);
        assert_eq!(code(explanation.outcome), Code::NotEnoughMatchingBackends);
        let rules: Vec<Vec<Rule>> =
            explanation.broken.iter().map(|b| b.iter().map(|broken| broken.rule).collect()).collect();
        assert_eq!(rules, [vec![], vec![Rule::RackOfItsOwn]]);
        assert_eq!(code(place(two(&class), &[])), Code::NoMatchingBackend);
        // Without racks each stands in one of its own (D53).
        assert_eq!(chosen(two(&class), &[candidate(1, &[20]), candidate(2, &[20])]), [1, 2]);
    }

    #[test]
    fn a_further_copy_keeps_off_the_holders_and_their_racks() {
        let class = class();
        let mut all = [in_rack(1, 50, "a"), in_rack(2, 40, "a"), in_rack(3, 30, "b")];
        let holders = [all[0].record.persistent_id.clone()];
        let further = |class| Wanted { holders: &holders, ..wanted(class) };
        assert_eq!(chosen(further(&class), &all), [3]);
        let same = StorageClass { same_rack_allowed: true, ..class.clone() };
        assert_eq!(chosen(further(&same), &all), [2]);
        // Where a copy lies counts, whether or not its backend is there now.
        all[0].available = false;
        assert_eq!(chosen(further(&class), &all), [3]);
        assert_eq!(code(place(further(&class), &all[..2])), Code::NotEnoughMatchingBackends);
        let rules: Vec<Rule> =
            explain(further(&class), &all[..1]).broken[0].iter().map(|broken| broken.rule).collect();
        assert_eq!(rules, [Rule::Holder, Rule::Available]);
    }

    #[test]
    fn a_volume_spans_drives_only_if_none_has_room_alone() {
        let class = class();
        let uuid = |index: u128| Uuid::from_u128(1 << 8 | index);
        let drives =
            |free_gib: &[u64]| place(wanted(&class), &[candidate(1, free_gib)]).unwrap().remove(0).drives;
        assert_eq!(drives(&[4, 11, 3]), [uuid(1)]);
        assert_eq!(drives(&[3, 4, 3, 0]), [uuid(1), uuid(0), uuid(2), uuid(3)]);
    }

    #[test]
    fn topology_lists_that_match_admit() {
        let mut class = class();
        (class.zones, class.racks) = (vec!["other".into(), "nova".into()], vec!["r".into()]);
        let mut candidate = in_rack(1, 20, "r");
        candidate.record.zone = Some("nova".into());
        assert!(place(wanted(&class), &[candidate]).is_ok());
    }

    #[test]
    fn host_id_and_local() {
        let mut class = class();
        let (mut a, b) = (candidate(1, &[20]), candidate(2, &[30]));
        let local = |class| Wanted { protocol: Protocol::Local, ..wanted(class) };
        assert_eq!(code(place(local(&class), &[a.clone(), b.clone()])), Code::NoMatchingBackend);
        a.record.host_id = Some("h".into());
        let mut both = [a, b];
        assert_eq!(chosen(local(&class), &both), [1]);
        class.host_id = Some("h".into());
        assert_eq!(chosen(wanted(&class), &both), [1]);
        // Of several copies one has to be there.
        let two = |class| Wanted { copies: 2, ..wanted(class) };
        assert_eq!(chosen(two(&class), &both), [1, 2]);
        both[0].available = false;
        assert_eq!(code(place(two(&class), &both)), Code::NotEnoughMatchingBackends);
        assert_eq!(code(place(wanted(&class), &both)), Code::NoMatchingBackend);
        class.host_id = Some("nobody".into());
        assert_eq!(code(place(wanted(&class), &both)), Code::NoBackendWithHostIdExists);
    }
}
