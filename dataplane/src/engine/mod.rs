//! The storage engine: volumes on drives, as `FORMAT.md` lays them out.
//!
//! Reads and overwrites run on any core without a lock, a message or an allocation: a layer's tree leads to a slot,
//! the slot to a frame, the frame's entry to the extent (`read`, `write`, `paging`). Everything else is off that
//! path: a first write takes an extent (`allocate`), changes the entry, and waits for the journal (`journal`);
//! checkpoints (`checkpoint`) carry maps, free map and catalogue to new places and cut the journal; `recovery` is
//! the way back. `claims` keep writers of one block apart, `grace` says when what was freed may be reused.
//!
//! What it does not do yet: snapshots (layers are in the format and on the read path), changes across drives.
#![forbid(unsafe_code)]

mod allocate;
mod backing;
mod catalogue;
mod check;
mod checkpoint;
mod claims;
mod drive;
mod error;
mod evict;
mod flush;
mod format;
mod frames;
mod free_map;
mod grace;
mod journal;
mod layer;
mod manage;
mod map;
mod metadata;
mod page_writer;
mod paging;
mod read;
mod recovery;
mod relocate;
mod space;
mod superblock;
mod sync;
mod tree;
mod trim;
mod volume;
mod write;

pub use self::{
    check::{CheckReport, check},
    drive::{Drive, DriveOptions, Fault, FormatOptions},
    error::{Corruption, EngineError, OpenError, Probe},
    volume::Volume,
};
