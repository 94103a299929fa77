//! A host that judges targets: a catalogue of named checks, each one assertion of the NVMe specifications, run
//! against any NVMe/TCP target over plain sockets.
//!
//! ```text
//! check    what a check is and how it ends
//! themes   the catalogue, one file per theme
//! run      survey of the target, then check after check
//! lab      what checks work with: connections, associations, and what the target said of itself
//! queue    one queue pair: commands and their answers
//! link     one connection: PDUs as they came, judged by nobody
//! auth     authentication of a queue, where the target asks for it
//! pdu      PDUs to send, right or wrong
//! ```
//!
//! It shares layouts and numbers with the target through `nvmeof::wire`, but none of its logic: framing, digests,
//! transfers and authentication are written a second time here, so that a mistake of ours cannot agree with itself.
//!
//! Section tags name these revisions: Base 2.1, NVM command set 1.1, TCP transport 1.1.
#![forbid(unsafe_code)]

mod auth;
mod check;
mod facts;
mod lab;
mod limits;
mod link;
mod markdown;
mod pdu;
mod queue;
mod run;
mod themes;

pub use auth::{Credentials, Secret, SecretError};
pub use check::{Need, Outcome};
pub use run::{CannotRun, Options, Report, Row, names, run};
