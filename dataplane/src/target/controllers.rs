//! The controllers that hosts have, and the identifiers they get.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use nvmeof::command::Instance;

use super::association::Association;
use crate::rt;

/// Controller identifiers that are not reserved (Base §5.1.13.2.1).
pub const CONTROLLER_IDS: RangeInclusive<u16> = 1..=0xFFEF;

/// All of one node.
#[derive(Debug)]
pub(super) struct Controllers {
    pub(super) by_id: BTreeMap<u16, Arc<Association>>,
    /// Nobody is let in any more.
    pub(super) stopping: bool,
    /// Those that this node may give: nodes that share subsystems must give different ones.
    ids: RangeInclusive<u16>,
    /// Its operator said which.
    are_given: bool,
    last_id: u16,
    last_ciu: u8,
}

impl Controllers {
    pub(super) fn new(ids: RangeInclusive<u16>) -> Self {
        // The first identifier is the one behind the last.
        let last_id = *ids.end();
        let are_given = ids != CONTROLLER_IDS;
        Self { by_id: BTreeMap::new(), stopping: false, ids, are_given, last_id, last_ciu: 0 }
    }

    /// Gives identifiers of this range from now on, unless the operator gave one. Controllers keep theirs.
    pub(super) fn assign_ids(&mut self, ids: RangeInclusive<u16>) {
        if !self.are_given && self.ids != ids {
            self.last_id = *ids.end();
            self.ids = ids;
        }
    }

    /// Tells a controller from its forerunners under the same identifier. Who does not know it cannot reset the
    /// controller, so nobody shall guess it from his own.
    pub(super) fn next_instance(&mut self) -> Instance {
        self.last_ciu = self.last_ciu.checked_add(1).unwrap_or(1);
        let mut cirn = [0; 8];
        rt::random_bytes(&mut cirn);
        Instance { ciu: self.last_ciu, cirn: u64::from_le_bytes(cirn) }
    }

    /// An identifier that no controller has, `None` if all are taken; the longest unused one, so that none is confused
    /// with its forerunner.
    pub(super) fn next_id(&mut self) -> Option<u16> {
        let (first, last) = (*self.ids.start(), *self.ids.end());
        let behind = self.last_id.saturating_add(1);
        let is_free = |id: &u16| !self.by_id.contains_key(id);
        let id = (behind..=last).chain(first..=self.last_id).find(is_free)?;
        self.last_id = id;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assigned_range_counts_unless_the_operator_gave_one() {
        let mut free = Controllers::new(CONTROLLER_IDS);
        assert_eq!(free.next_id(), Some(1));
        free.assign_ids(100..=101);
        assert_eq!([free.next_id(), free.next_id(), free.next_id()], [Some(100), Some(101), Some(100)]);
        free.assign_ids(100..=101);
        assert_eq!(free.next_id(), Some(101), "the same range again changes nothing");
        let mut given = Controllers::new(7..=9);
        given.assign_ids(100..=101);
        assert_eq!(given.next_id(), Some(7));
    }
}
