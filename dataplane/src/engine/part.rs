//! What a drive calls its volumes and snapshots. One that lies on several drives has a part on each of them, and the
//! record of the first part says how many there are: a part that it does not count is what an unfinished change left
//! behind, and parts without their first are not served (E14).

use uuid::Uuid;

/// A part to be made: of a volume or snapshot that lies on one drive, the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Of the volume or snapshot.
    pub uuid: Uuid,
    /// Ascending with the offsets that it holds.
    pub index: u8,
    /// Parts in all.
    pub of: u8,
}

impl From<Uuid> for Part {
    fn from(uuid: Uuid) -> Self {
        Self { uuid, index: 0, of: 1 }
    }
}

impl Part {
    pub(super) fn name(self) -> Name {
        Name { uuid: self.uuid, index: self.index }
    }
}

/// Unique on a drive. Several parts of one volume may lie on the same drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) uuid: Uuid,
    pub(crate) index: u8,
}
