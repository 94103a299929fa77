//! Copies of a volume, and how far each is usable (provisioner §4.2).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One physical copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replica {
    /// The namespace's UUID, and the volume's name on its node (D22).
    pub(crate) uuid: Uuid,
    /// persistentID of its backend; empty once that was removed by force (D12).
    pub(crate) backend: String,
    /// What the host's agent says of it. Of a simple volume's only copy nobody says anything.
    #[serde(default)]
    pub(crate) state: ReplicaState,
    /// Since when it is in that state, in milliseconds since the epoch.
    #[serde(default)]
    pub(crate) since_ms: u64,
}

/// The contract's states of a copy; which follow which stands in `may_become`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum ReplicaState {
    /// Nobody has reported on it yet.
    #[default]
    Unknown,
    Available,
    /// Its data is old or gone.
    Missing,
    Synchronizing,
    /// About to be removed: exported still, so that its host can let go of it first.
    Terminating,
}

impl ReplicaState {
    /// Nothing goes back to Unknown, and nothing leaves Terminating.
    pub(crate) fn may_become(self, next: Self) -> bool {
        self != Self::Terminating && next != Self::Unknown
    }
}

impl Replica {
    pub(crate) fn new(uuid: Uuid, backend: &str, now_ms: u64) -> Self {
        Self { uuid, backend: backend.to_owned(), state: ReplicaState::Unknown, since_ms: now_ms }
    }

    /// Moves to another state; the same one goes on.
    pub(crate) fn enter(&mut self, next: ReplicaState, now_ms: u64) {
        if self.state == next {
            return;
        }
        assert!(self.state.may_become(next), "replica {}: {:?} -> {next:?}", self.uuid, self.state);
        (self.state, self.since_ms) = (next, now_ms);
    }

    /// Its backend was removed by force: whatever it holds is out of reach (D12).
    pub(crate) fn lose(&mut self, now_ms: u64) {
        self.backend.clear();
        if self.state.may_become(ReplicaState::Missing) {
            self.enter(ReplicaState::Missing, now_ms);
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.backend.is_empty()
    }

    /// A host could go on with this one alone, if its backend is there (D33, D36).
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.state, ReplicaState::Available | ReplicaState::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [ReplicaState; 5] = [
        ReplicaState::Unknown,
        ReplicaState::Available,
        ReplicaState::Missing,
        ReplicaState::Synchronizing,
        ReplicaState::Terminating,
    ];

    fn replica(state: ReplicaState) -> Replica {
        Replica { state, ..Replica::new(Uuid::from_u128(1), "b", 5) }
    }

    #[test]
    fn states_by_states() {
        //            Unknown Available Missing Synchronizing Terminating
        let table = [
            [false, true, true, true, true],     // Unknown
            [false, true, true, true, true],     // Available
            [false, true, true, true, true],     // Missing
            [false, true, true, true, true],     // Synchronizing
            [false, false, false, false, false], // Terminating
        ];
        for (from, row) in STATES.into_iter().zip(table) {
            for (next, allowed) in STATES.into_iter().zip(row) {
                assert_eq!(from.may_become(next), allowed, "{from:?} -> {next:?}");
            }
        }
    }

    #[test]
    fn the_time_of_a_state_is_that_of_its_beginning() {
        let mut replica = replica(ReplicaState::Unknown);
        replica.enter(ReplicaState::Available, 7);
        assert_eq!((replica.state, replica.since_ms), (ReplicaState::Available, 7));
        replica.enter(ReplicaState::Available, 9);
        assert_eq!(replica.since_ms, 7);
    }

    #[test]
    fn what_is_lost_is_missing_unless_it_was_to_go() {
        for state in STATES {
            let mut lost = replica(state);
            lost.lose(9);
            let expected = match state {
                ReplicaState::Terminating => ReplicaState::Terminating,
                _ => ReplicaState::Missing,
            };
            assert_eq!((lost.state, lost.is_lost()), (expected, true), "{state:?}");
        }
    }

    #[test]
    fn older_records_know_no_state() {
        let old: Replica =
            serde_json::from_str(r#"{"uuid":"00000000-0000-0000-0000-000000000001","backend":"b"}"#).unwrap();
        assert_eq!(old, Replica { since_ms: 0, ..replica(ReplicaState::Unknown) });
    }
}
