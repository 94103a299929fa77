//! Every bound of the data plane, with its reason.

use std::time::Duration;

/// Entries that one tick may queue before it must enter the kernel.
pub const RING_SUBMISSIONS: u32 = 512;
/// Completions that may wait; the kernel keeps more aside, this only spares it that.
pub const RING_COMPLETIONS: u32 = 4096;
/// Tasks polled in one tick before completions are looked at again: bounds how long a send waits.
pub const TICK_TASKS: usize = 512;
/// Longest watch of the ring before blocking (rule H4).
pub const SPIN_MAX: Duration = Duration::from_micros(50);
/// Longest block; ends early for completions, messages and timers. A safety net, not a poll.
pub const BLOCK_MAX: Duration = Duration::from_secs(60);
/// Pieces that one send gathers; the kernel takes at most 1024.
pub const SEND_PIECES: usize = 512;
/// Connections that the kernel may queue before they are accepted.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Cores of one node; small enough for per-core tables.
pub const CORES: usize = 256;
