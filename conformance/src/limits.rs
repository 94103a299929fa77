//! Every bound of the kit, with its reason.

use std::time::Duration;

/// How long a target may take for each answer unless the user says otherwise: far more than any takes, and so little
/// that a silent one does not make a run endless.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Largest PDU taken from a target. None of our commands asks for more data at once.
pub(crate) const PDU_BYTES_MAX: u32 = 2 << 20;

/// Entries of the queues that we connect: enough for every check, few enough for every target.
pub(crate) const QUEUE_ENTRIES: u16 = 32;

/// Largest transfer that a check asks for where it has a choice.
pub(crate) const TRANSFER_BYTES: u32 = 64 << 10;

/// Blocks at a namespace's end that writing checks use, in bytes. They are put back.
pub(crate) const SCRATCH_BYTES: u64 = 256 << 10;

/// Entries of a discovery log that are looked at, whatever the target says how many there are.
pub(crate) const LIST_ENTRIES: usize = 64;
