//! Every bound of the control plane, with its reason.

use std::time::Duration;

/// API connections at once, over all listeners: far more than any orchestrator opens, far fewer than file
/// descriptors; the data path's connections must never starve because of API clients.
pub(crate) const CONNECTIONS: usize = 512;

/// The largest request body: the contract's largest real one is under 4 KiB.
pub(crate) const BODY_BYTES: usize = 64 << 10;

/// Of a body that is too long so much more is received and thrown away, for the client to read the answer: what a
/// mistake sends fits, and it takes no memory.
pub(crate) const DISCARDED_BODY_BYTES: usize = 8 << 20;

/// A client has this long to send the head of a request, and again as long for its body.
pub(crate) const READ: Duration = Duration::from_secs(30);

/// Requests in progress get this long at shutdown.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// A node that does not answer within this is not there; clients give up after 60 s (provisioner §1.1).
pub(crate) const NODE_ANSWER: Duration = Duration::from_secs(20);

/// A check walks all maps of a drive.
pub(crate) const NODE_CHECK: Duration = Duration::from_secs(3600);

/// A request to a node: what all hosts have to prove, some 500 bytes each, is the largest.
pub(crate) const NODE_BODY_BYTES: usize = 16 << 20;

/// A node's answer: all its volumes and snapshots, some 500 bytes each, are the largest.
pub(crate) const NODE_ANSWER_BYTES: usize = 64 << 20;

/// Connections to one node that are kept for later requests.
pub(crate) const NODE_CONNECTIONS: usize = 8;

/// An invite is used within a day or not at all.
pub(crate) const INVITE_MS: u64 = 24 * 3600 * 1000;

/// Text fields whose length the contract leaves open (names, ids).
pub(crate) const NAME_CHARS: usize = 255;

/// Namespaces of one subsystem (H2): more cannot be published to one host.
pub(crate) const NAMESPACES: u32 = 1024;

/// A transaction that lost a race is tried again this often before the request fails.
pub(crate) const TXN_TRIES: usize = 32;

/// Changes in progress at once; more wait. Each holds a task and at most one volume.
pub(crate) const CHANGES: usize = 64;

/// Snapshots' maps that one request has the node walk at once: enough to overlap their reads, too few to crowd out
/// the hosts' I/O.
pub(crate) const WALKS: usize = 8;

/// Volumes whose snapshots are taken at one instant: their writes are held together meanwhile.
pub(crate) const GROUP: usize = 64;

/// Events that are kept; older ones go. Every reader gets all of them, some 200 bytes each.
pub(crate) const EVENTS: u64 = 2048;

/// Pages of the store in memory. Thousands of volumes take a few MiB; redb's own default is 1 GiB.
pub(crate) const STORE_CACHE_BYTES: usize = 16 << 20;

/// Operations of the store at a time; each has a thread that may block. More wait for their turn.
pub(crate) const STORE_OPERATIONS: u32 = 64;

/// Users and groups together: they are one document, read at every request that brings a bearer.
pub(crate) const ACCOUNTS: usize = 1024;

/// Sessions of one user; the oldest goes. Nobody is logged in from more places at once.
pub(crate) const SESSIONS_OF_USER: usize = 64;

/// Access tokens of one user (session.md §7).
pub(crate) const ACCESS_TOKENS_OF_USER: usize = 2;

/// Passwords that are hashed at once: each takes 19 MiB and a processor for tens of milliseconds.
pub(crate) const HASHES: usize = 2;

/// Sources and user names whose failed logins are remembered, for a minute each.
pub(crate) const THROTTLED: usize = 4096;

/// Characters of a password.
pub(crate) const PASSWORD_CHARS: usize = 256;

/// Internal tasks that have ended and are kept; they expire after half an hour anyway.
pub(crate) const INTERNAL_TASKS: usize = 256;

/// Characters of what an agent reports on its task.
pub(crate) const TASK_TEXT_CHARS: usize = 1024;

/// Entries of a task's configuration; a migration has three.
pub(crate) const TASK_SETTINGS: usize = 64;

/// Tokens that are issued and have not expired: far more than there are services that need one.
pub(crate) const ISSUED_TOKENS: usize = 1024;

/// Characters of a field of an authorization server's settings: a PEM key of 4096 bits has 800.
pub(crate) const AUTH_SERVER_CHARS: usize = 8192;

/// Characters of a license.
pub(crate) const LICENSE_CHARS: usize = 8192;

/// Messages that wait for one syslog server; more are dropped and counted. A burst fits, and half a MiB is no loss.
pub(crate) const SYSLOG_QUEUE: usize = 1024;

/// Characters of a message that a client forwards; many receivers cut at 8 KiB.
pub(crate) const LOG_CHARS: usize = 4096;

/// Parameters of such a message.
pub(crate) const LOG_PARAMETERS: usize = 64;

/// Attempts to set the administration token that may wait for their turn; each waits two seconds for every one before.
pub(crate) const SETUP_ATTEMPTS: usize = 8;

/// Bytes of a form's field: a certificate with its chain has some 10 KiB.
pub(crate) const FORM_FIELD_BYTES: usize = 256 << 10;

/// Fields of a form: the contract's largest has three.
pub(crate) const FORM_FIELDS: usize = 32;

/// Bytes of a log before it becomes the older half of what is kept.
pub(crate) const LOG_FILE_BYTES: u64 = 4 << 20;

/// Bytes of a backup of the metadata, which is held in memory: 100,000 volumes take some 100 MiB.
pub(crate) const BACKUP_BYTES: u64 = 256 << 20;

/// User tokens of one user; the oldest goes. Scripts of the role API take a new one at every run.
pub(crate) const USER_TOKENS_OF_USER: usize = 256;

/// Roles, policies and resources of one tenant, of each kind: all are read when a permission is judged.
pub(crate) const NAMED_OF_TENANT: usize = 4096;

/// Entries of a list of the role API (policies, aliases, resources, hosts of one role).
pub(crate) const ROLE_LIST: usize = 1024;

/// Role tokens of one role that have not ended.
pub(crate) const TOKENS_OF_ROLE: usize = 1024;

/// Bytes of a release package: an unstripped program has some 100 MiB.
pub(crate) const UPDATE_BYTES: u64 = 512 << 20;

/// Bytes of all that is in a release, unpacked.
pub(crate) const RELEASE_BYTES: u64 = 1 << 30;

/// Entries of a release: there are five.
pub(crate) const RELEASE_FILES: usize = 256;

/// Backends of other makes: their probes come at least 60 s apart, so that these are some four changes a second.
pub(crate) const FOREIGN_BACKENDS: usize = 256;

/// Management addresses of one of them.
pub(crate) const MANAGEMENT_ADDRESSES: usize = 64;

/// Tags in its probe (provisioner §2, op 7).
pub(crate) const BACKEND_TAGS: usize = 100;
