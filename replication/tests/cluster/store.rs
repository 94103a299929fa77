//! The store: one membership, changed by compare-and-set, and not always to be reached.

use replication::{Epoch, Membership, Stored};

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) membership: Membership,
    pub(crate) reachable: bool,
}

impl Store {
    pub(crate) fn compare_and_set(&mut self, expected: Epoch, target: Membership) -> Stored {
        if self.membership.epoch == expected {
            assert_eq!(target.epoch, expected.next(), "epochs count changes");
            self.membership = target;
            Stored::Ok
        } else {
            Stored::Conflict(self.membership.clone())
        }
    }
}
