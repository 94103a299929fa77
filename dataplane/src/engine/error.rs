//! What can go wrong in the engine, by whose fault it is.

use uuid::Uuid;

use crate::rt::DiskError;

/// Why an operation on a volume or drive could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The caller's range ends behind the volume.
    #[error("the range lies outside the volume")]
    OutOfRange,
    /// The caller's request cannot be met as it stands; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    #[error("there is such a volume already")]
    AlreadyExists,
    /// This write found no space; others may.
    #[error("the drive has no free space for this write")]
    CapacityExceeded,
    /// A promise of space was asked for that the drive cannot keep.
    #[error("{needed_bytes} bytes needed, {available_bytes} available")]
    NoFreeSpace { needed_bytes: u64, available_bytes: u64 },
    /// The drive or volume takes no writes any more; its state says why.
    #[error("no writes are taken any more")]
    ReadOnly,
    /// Another drive could not take part in this change, so it was not made here either.
    #[error("another drive could not take part")]
    Abandoned,
    /// The volume is on another drive now; the operation did nothing here.
    #[error("the volume has moved to another drive")]
    Moved,
    /// The volume is being deleted or its drive is closed.
    #[error("the volume is offline")]
    Offline,
    /// This node does not lead the replicated volume: another path does, or will. Whether a write was done is open until
    /// its host asks there.
    #[error("another node leads the volume")]
    Elsewhere,
    /// A host marked blocks of this range uncorrectable, and they were not written since.
    #[error("the range was marked uncorrectable")]
    Uncorrectable,
    /// The disk failed.
    #[error("disk: {0}")]
    Disk(#[from] DiskError),
    /// Stored bytes are wrong.
    #[error("corruption: {0}")]
    Corruption(#[from] Corruption),
}

/// Stored bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    #[error("map page {page} (level {level}) of layer {layer} does not match its checksum")]
    Page { layer: u32, level: u8, page: u32 },
    #[error("journal group {0} is damaged below a flush mark")]
    Group(u64),
    #[error("journal group {group} holds a damaged section of layer {layer}")]
    Section { group: u64, layer: u32 },
    #[error("the journal speaks of an unknown layer {0}")]
    UnknownLayer(u32),
    #[error("a map entry of layer {layer} points outside the drive: extent {extent}")]
    ExtentOutOfRange { layer: u32, extent: u32 },
    #[error("the catalogue or a journal record makes no sense")]
    Catalogue,
    #[error("the superblock is not the one written last: something else writes to this drive")]
    Superblock,
    #[error("a map entry has data nowhere")]
    Unreadable,
    #[error("the side record of a block is not what was written")]
    SideRecord,
    #[error("the durable fields of a replica are not there or make no sense")]
    Replica,
}

/// Why a drive was not opened or formatted. Nothing was changed on it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("it is not formatted")]
    Blank,
    #[error("it holds something else ({0}); name it with --format to overwrite it")]
    Foreign(String),
    #[error("it was formatted with {formatted_bytes} bytes but has only {found_bytes}: it was cut off")]
    Truncated { formatted_bytes: u64, found_bytes: u64 },
    #[error("format version {found} is unknown here (this is version {known})")]
    Version { found: u32, known: u32 },
    #[error("it uses features unknown here ({0:#x}): a newer version wrote it")]
    Features(u64),
    #[error("{found_bytes} bytes are too few, at least {needed_bytes} are needed")]
    TooSmall { found_bytes: u64, needed_bytes: u64 },
    #[error("{found_bytes} bytes are too many, at most {max_bytes} can be used")]
    TooLarge { found_bytes: u64, max_bytes: u64 },
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Corruption(#[from] Corruption),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("recovery: {0}")]
    Recovery(EngineError),
}

/// What a medium holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nothing but zeros where formats leave their marks.
    Blank,
    Ours {
        uuid: Uuid,
        size_bytes: u64,
        /// Of the newest superblock; grows with every checkpoint.
        sequence: u64,
    },
    /// The text says what it looks like.
    Foreign(String),
}
