//! Every bound of the protocol side, with its reason.

/// Data that a host may put into a command capsule, on every queue. The specification fixes it for Fabrics and
/// admin commands (TCP §3.3.1.3); I/O queues get the same so that two 4 KiB writes never need an R2T.
pub const IN_CAPSULE_BYTES_MAX: u32 = 8192;

/// Largest data transfer of one command, as 2^n memory pages of 4 KiB: 256 KiB.
pub const MDTS: u8 = 6;
/// [`MDTS`] in bytes.
pub const TRANSFER_BYTES_MAX: u32 = 4096 << MDTS;

/// Largest H2CData payload: one PDU may carry a whole command, so a large write needs one header.
pub const MAXH2CDATA: u32 = TRANSFER_BYTES_MAX;

/// Entries of the largest queue (CAP.MQES + 1): twice what Linux asks for by default. With one slot each this
/// bounds a connection's memory.
pub const QUEUE_ENTRIES_MAX: u16 = 256;
/// Entries of the largest admin queue; Linux asks for 32.
pub const ADMIN_QUEUE_ENTRIES_MAX: u16 = 128;
/// I/O queues per controller: one for each processor of a large host.
pub const IO_QUEUES_MAX: u16 = 128;

/// NN = MNAN = NANAGRPID (H2): one ANA group per namespace, and the whole ANA log stays below [`MDTS`].
pub const NAMESPACES_MAX: u32 = 1024;

/// Hosts that can be registered with one namespace's reservations: twice the nodes of the largest clusters that fence
/// with them, and so few that the whole state is one small document.
pub const REGISTRANTS_MAX: usize = 128;
/// Reservation notifications that a controller keeps for its host, of which the oldest go first.
pub const RESERVATION_NOTICES_MAX: usize = 64;

/// Asynchronous Event Request commands held per controller (AERL + 1).
pub const ASYNC_EVENTS_MAX: u8 = 4;

/// Abort commands under way per controller (ACL + 1), as the specification recommends.
pub const ABORTS_MAX: u8 = 4;

/// Telemetry that a controller keeps for its host: text about some hundred namespaces.
pub const TELEMETRY_BYTES_MAX: usize = 64 << 10;

/// Ranges in one Dataset Management command; the field cannot say more.
pub const DSM_RANGES_MAX: u32 = 256;

/// Recommended ranges of one Dataset Management (DMRL): as many as the field can say.
pub const DMRL: u8 = u8::MAX;
/// Recommended logical blocks of a range of Dataset Management (DMRSL), and of all of them (DMSL): 16 GiB of 4 KiB
/// blocks are given back in a second, well before a host loses its patience. More is done, too: ONCS.NVMDSMSV makes
/// them recommendations.
pub const DMRSL: u32 = 1 << 22;

/// Largest Write Zeroes, as 2^n memory pages: 32 MiB. Beyond, one command would hold its blocks too long.
pub const WZSL: u8 = 13;
/// [`WZSL`] in bytes.
pub const WRITE_ZEROES_BYTES_MAX: u64 = 4096 << WZSL;

/// Recommended largest Write Uncorrectable, as 2^n memory pages: 1 MiB, since each 64 KiB of it that hold something
/// are written anew. Longer ones are done, too: ONCS.NVMWUSV makes it a recommendation.
pub const WUSL: u8 = 8;

/// Largest Verify, as 2^n memory pages: 32 MiB, which a drive reads in well under a second.
pub const VSL: u8 = 13;
/// [`VSL`] in bytes.
pub const VERIFY_BYTES_MAX: u64 = 4096 << VSL;

/// Source ranges of one Copy: 4 KiB of them, which fit a capsule.
pub const COPY_RANGES_MAX: u32 = 128;
/// Longest source range of a Copy (MSSRL).
pub const COPY_RANGE_BYTES_MAX: u32 = 1 << 20;
/// Longest Copy (MCL): beyond, one command would take as long as a host waits for many.
pub const COPY_BYTES_MAX: u32 = 8 << 20;

/// Cross-Controller Resets under way per controller (CCRL).
pub const CROSS_CONTROLLER_RESETS_MAX: u8 = 4;

/// Largest message of in-band authentication, either way: thrice what the largest group and hash need, and what Linux
/// offers to receive.
pub const AUTHENTICATION_BYTES_MAX: u32 = 4096;

/// Keep Alive granularity in units of 100 ms (KAS).
pub const KEEP_ALIVE_GRANULARITY: u16 = 10;

/// Shift of the largest data alignment a peer may ask of us: HPDA and CPDA are 0..=31 dwords, 0's based.
pub const PDA_Z_MAX: u8 = 31;

const _: () = assert!(COPY_RANGES_MAX * 32 <= IN_CAPSULE_BYTES_MAX, "all ranges of a Copy fit a capsule");
const _: () = assert!(AUTHENTICATION_BYTES_MAX <= IN_CAPSULE_BYTES_MAX, "messages come within the capsule");
const _: () = assert!(MAXH2CDATA >= 4096, "TCP §3.6.2.3 asks for 4 KiB at least");
const _: () =
    assert!(16 + NAMESPACES_MAX * (32 + 4) <= TRANSFER_BYTES_MAX, "Linux reads the ANA log in one piece");
