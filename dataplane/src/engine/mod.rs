//! The storage engine: volumes on drives, as `FORMAT.md` lays them out.
//!
//! Reads and overwrites run on any core without a lock, a message or an allocation: a layer's tree leads to a slot,
//! the slot to a frame, the frame's entry to the extent (`read`, `write`, `paging`). Everything else is off that
//! path: a first write takes an extent (`allocate`), changes the entry, and waits for the journal (`journal`);
//! checkpoints (`checkpoint`) carry maps, free map and catalogue to new places and cut the journal; `recovery` is
//! the way back. `claims` keep writers of one block apart, `grace` says when what was freed may be reused.
//!
//! A snapshot freezes a volume's head and puts an empty one on top (`snapshot`); `chain` is what a volume reads
//! through. `reclaim` gives back in the background what nothing refers to any more, and `merge` takes a layer that
//! one other shows alone into that one.
//!
//! `fault` says whom what goes wrong stops. `grow` takes in what a drive's medium has gained.
//!
//! A volume may lie on several drives, with a part on each (`part`): the engine knows the parts, `crate::volume` makes
//! volumes of them. Changes of several drives at one instant meet at a `gathering`. With all that shares data with it,
//! a volume can move to another drive (`moving`).
#![forbid(unsafe_code)]

mod activity;
mod allocate;
mod attachment;
mod backing;
mod catalogue;
mod chain;
mod check;
mod checkpoint;
mod claims;
mod clone;
mod compare;
mod drive;
mod error;
mod evict;
mod fault;
mod flush;
mod format;
mod frames;
mod free_map;
mod gathering;
mod grace;
mod grow;
mod inspect;
mod journal;
mod layer;
mod manage;
mod map;
mod merge;
mod metadata;
mod moving;
mod page_writer;
mod paging;
mod part;
mod read;
mod reclaim;
mod recovery;
mod relocate;
mod resolved;
mod side_record;
mod snapshot;
mod space;
mod structure;
mod superblock;
mod survey;
pub(crate) mod sync;
mod tree;
mod trim;
mod unique;
mod volume;
mod walk;
mod write;

pub(crate) use self::format::crc32c;
pub use self::{
    activity::DriveActivity,
    attachment::ATTACHMENT_BYTES_MAX,
    check::{CheckReport, check},
    clone::NewClone,
    drive::{Drive, DriveOptions, Fault, FormatOptions},
    error::{Corruption, EngineError, OpenError, Probe},
    gathering::Seat,
    inspect::{Dump, GroupDump, LayerDump, MapRange, SectionDump, SuperblockDump, VolumeDump, dump},
    moving::{Meter, Switch, Tree, Undecided, settle_moves},
    part::Part,
    snapshot::Snapshot,
    survey::{Sought, Survey},
    sync::Turns,
    volume::{DriveSpace, Volume},
};
