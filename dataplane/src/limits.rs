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
/// Longest block; ends early for completions, messages and timers. What comes meanwhile counts as old as the block
/// (H1, `rt::net::arrival`): a small part of [`WRITE_WAIT_MAX`], and so long that an idle core costs nothing.
pub const BLOCK_MAX: Duration = Duration::from_secs(1);
/// Pieces that one send gathers; the kernel takes at most 1024.
pub const SEND_PIECES: usize = 512;
/// Connections that the kernel may queue before they are accepted.
pub const LISTEN_BACKLOG: i32 = 1024;
/// Cores of one node; small enough for per-core tables.
pub const CORES: usize = 256;
/// Received bytes that wait to be understood, per connection. Large payload does not pass through it.
pub const STREAM_BYTES: usize = 128 << 10;
/// The same for an admin queue.
pub const ADMIN_STREAM_BYTES: usize = 16 << 10;
/// Connections per core: their stream buffers take a quarter of the core's payload memory at most.
pub const CONNECTIONS_PER_CORE: usize = 512;
/// Data per core that hosts were asked for and may let us wait for. With all stream buffers that leaves enough of
/// the payload memory for commands that wait for nobody.
pub const SOLICITED_BYTES: usize = 96 << 20;
/// The same of one host: as much as it fills a fast network with, and a sixth of what there is.
pub const SOLICITED_BYTES_PER_HOST: usize = 16 << 20;
/// Data per core that one host has read and not yet taken from us, as much for the same reasons: a host that stops
/// reading keeps no memory from others until it is cut off.
pub const ANSWER_BYTES_PER_HOST: usize = 16 << 20;
/// From this many missing payload bytes on, they are received straight into the command's own buffer; below, one
/// more copy costs less than one more receive.
pub const RECEIVE_IN_PLACE_BYTES: usize = 16 << 10;
/// Longest time from accept to an answered Connect: a silent peer must not hold a place.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes under way, of TLS or up to an answered Connect: with a capsule's buffer each they take little memory.
pub const HANDSHAKES: usize = 1024;
/// The same of one address: as many as the queues of a whole rack behind one gateway that begin at once, and so few
/// that a flood from a dozen addresses keeps nobody else out.
pub const HANDSHAKES_PER_ADDRESS: usize = 64;
/// Connected queue pairs of one address: eight hosts behind one gateway with 128 I/O queues and an admin queue each.
/// Two cores have about as many places, four cores twice as many.
pub const CONNECTIONS_PER_ADDRESS: usize = 8 * 129;
/// Longest time in which a host has to authenticate a queue, from its Connect or from when it began to do so again.
pub const AUTHENTICATION_MAX: Duration = Duration::from_secs(30);
/// Large powers that wait to be computed; a few KiB and at most some ten milliseconds each.
pub const OFFLOADED: usize = 4096;
/// The same of one host address: as many as a host has queues that authenticate at once, and few enough that hosts at
/// four addresses fill nothing.
pub const OFFLOADED_PER_OWNER: usize = 768;
/// Of a core's thread; only what is used takes memory. A task is moved over the stack when it is made.
pub const CORE_STACK_BYTES: usize = 8 << 20;
/// Controllers of one node.
pub const CONTROLLERS: usize = 4096;
/// Subsystems that are gone and whose counters are still kept, in case they come back.
pub const PAST_SUBSYSTEMS: usize = 1024;
/// A write that may have waited longer before its start is answered with an error, never executed late (H1). How long it
/// may have waited is known up to [`BLOCK_MAX`] and one round of a core's tasks, by which one may be refused early.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// A peer that takes no answer, or sends no data that it was asked for, for this long is cut off (E7).
pub const STALL_MAX: Duration = Duration::from_secs(30);
/// Hosts whose changes discovery counts apart: as many as there can be controllers.
pub const DISCOVERY_HOSTS: usize = CONTROLLERS;
/// Between the notice that a host's last namespace went and the end of its controllers: time to look and let go.
pub const UNPUBLISH_GRACE: Duration = Duration::from_secs(5);
/// How often the drives are looked at for hosts that want to hear of critical warnings.
pub const HEALTH_LOOK: Duration = Duration::from_secs(5);
/// A discovery controller without keep-alive ends after this long without a command.
pub const DISCOVERY_IDLE_MAX: Duration = Duration::from_secs(120);
/// Longest wait for commands under way when the node stops.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// Volumes that one snapshot call holds at once: their records must fit one journal group.
pub const SNAPSHOT_GROUP: usize = 64;
/// Parts of a volume that spans drives: a flush goes to all of them, and each change of it waits for all.
pub const VOLUME_PARTS: usize = 16;
/// Volumes and snapshots that can move to another drive together: the record of that must fit one journal group.
pub const MOVED_TOGETHER: usize = 1024;
/// Layers that a volume may read through. Look-ups of what is not resident walk them.
pub const CHAIN_LAYERS: usize = 1024;
