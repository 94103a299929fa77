//! Where one more copy of a volume goes (provisioner D32).

use super::{Broken, Candidate, Place, Wanted, place, racks_of_holders, rules, rules::Rule};
use crate::envelope::{Code, Failure};

/// The backends are narrowed in this order; the first that leaves none gives the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    WithoutCopy,
    InUse,
    Available,
    Topology,
    FreeRack,
    Space,
    Fit,
}

/// A place for one copy more than the holders have.
///
/// # Errors
/// The code of the stage that left no backend.
pub(crate) fn place_further(wanted: Wanted<'_>, candidates: &[Candidate]) -> Result<Place, Failure> {
    let failure = match place(wanted, candidates) {
        Ok(places) => match places.into_iter().next() {
            Some(place) => return Ok(place),
            None => Failure::new(Code::NotEnoughMatchingBackends, "no copy is asked for"),
        },
        Err(failure) => failure,
    };
    // The set is empty after the stage that the backend reached which came farthest.
    let stage = candidates.iter().filter_map(|c| stage_of(wanted, c, candidates)).max();
    let (code, why) = stage.unwrap_or(Stage::WithoutCopy).refusal();
    Err(Failure::new(code, format!("{why}: {}", failure.description)))
}

/// Where this backend is left out.
fn stage_of(wanted: Wanted<'_>, candidate: &Candidate, all: &[Candidate]) -> Option<Stage> {
    let rack = candidate.record.rack.as_deref();
    let is_taken = rack.is_some_and(|rack| racks_of_holders(wanted, all).contains(rack));
    let taken = (is_taken && !wanted.class.same_rack_allowed).then(|| Broken::rack_taken(&candidate.record));
    rules::broken(wanted, candidate).into_iter().chain(taken).map(|broken| Stage::of(broken.rule)).min()
}

impl Stage {
    fn of(rule: Rule) -> Self {
        match rule {
            Rule::Holder | Rule::Directed => Self::WithoutCopy,
            Rule::InUse => Self::InUse,
            Rule::Available => Self::Available,
            Rule::Rack | Rule::Zone | Rule::Region => Self::Topology,
            Rule::RackOfItsOwn => Self::FreeRack,
            Rule::Space => Self::Space,
            Rule::HostId | Rule::LocalHost | Rule::Iops | Rule::Bandwidth | Rule::OwnDrive => Self::Fit,
        }
    }

    fn refusal(self) -> (Code, &'static str) {
        match self {
            Self::WithoutCopy => {
                (Code::NotEnoughMatchingBackends, "every backend that could hold a copy has one")
            }
            Self::InUse => (Code::NotInUse, "no backend without a copy is in use"),
            Self::Available => (Code::NotAvailable, "no backend without a copy is available"),
            Self::Topology => (Code::TopologyConstraints, "no backend is where the copy may be"),
            Self::FreeRack => (Code::SameRackNotAllowed, "no backend is in a rack without a copy"),
            Self::Space => (Code::NoFreeSpace, "no backend has room for the copy"),
            Self::Fit => (Code::NoMatchingBackend, "no backend can give what the class asks for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{candidate, in_rack, wanted},
        *,
    };
    use crate::model::volume::{StorageClass, tests::class};

    #[test]
    fn the_stage_that_leaves_no_backend_gives_the_code() {
        type Change = fn(&mut Candidate, &mut StorageClass);
        // One stage after the other is passed by the second backend; the first one has the copy.
        let table: [(Code, Change); 7] = [
            (Code::NotInUse, |c, _| c.record.in_use = false),
            (Code::NotAvailable, |c, _| c.available = false),
            (Code::TopologyConstraints, |_, s| s.zones = vec!["z".into()]),
            (Code::SameRackNotAllowed, |c, _| c.record.rack = Some("a".into())),
            (Code::NoFreeSpace, |c, _| c.drives = candidate(2, &[1]).drives),
            (Code::NoMatchingBackend, |_, s| s.desired_iops_per_gib = 1000),
            (Code::NoMatchingBackend, |c, s| {
                (s.share_ssd, s.name) = (false, Some("gold".into()));
                c.drives[0].class_names = vec!["gold".into()];
            }),
        ];
        for (index, (code, change)) in table.iter().enumerate() {
            let (mut class, mut other) = (class(), in_rack(2, 50, "b"));
            let holder = in_rack(1, 50, "a");
            let holders = [holder.record.persistent_id.clone()];
            change(&mut other, &mut class);
            // What would be looked at later does not count.
            for (_, later) in &table[(index + 1).min(6)..6] {
                later(&mut other, &mut class);
            }
            let further = Wanted { holders: &holders, ..wanted(&class) };
            let failure = place_further(further, &[holder, other]).unwrap_err();
            assert_eq!(failure.code, *code, "{index}: {}", failure.description);
        }
    }

    #[test]
    fn the_backend_that_comes_farthest_counts() {
        let class = class();
        let holder = in_rack(1, 50, "a");
        let holders = [holder.record.persistent_id.clone()];
        let further = Wanted { holders: &holders, ..wanted(&class) };
        let code = |all: &[Candidate]| place_further(further, all).unwrap_err().code;
        assert_eq!(code(std::slice::from_ref(&holder)), Code::NotEnoughMatchingBackends);
        let (same_rack, full) = (in_rack(2, 50, "a"), in_rack(3, 1, "b"));
        assert_eq!(code(&[holder.clone(), same_rack.clone(), full.clone()]), Code::NoFreeSpace);
        assert_eq!(code(&[holder.clone(), in_rack(2, 1, "a")]), Code::SameRackNotAllowed);
        let found = place_further(further, &[holder, same_rack, full, in_rack(4, 20, "c")]).unwrap();
        assert!(found.backend.ends_with(":04"));
    }
}
