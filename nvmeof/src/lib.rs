//! The NVMe over TCP protocol, for both ends, without I/O.
//!
//! ```text
//! wire        layouts as the specifications print them: little-endian, unaligned, size-asserted
//! command     a submission queue entry as a typed value, or the status that refuses it
//! transport   one TCP connection = one queue pair: capsules above, PDUs below
//! controller  the target's state: Connect, CC/CSTS, admin commands, events, keep-alive, discovery
//! reservation who is registered with a namespace, who holds it, who may do what
//! auth        in-band authentication: secrets, messages, both sides' state
//! host        the initiator's state: bring-up and command builders
//! tls         keys for TLS: how they are written down, and what is derived from them
//! ```
//!
//! The capsule is the seam: `transport` never sees an opcode, `controller` never sees a PDU.
//! The crate owns no payload and copies none: it says where the next bytes belong and encodes headers that the
//! caller gathers with its own buffers. Time is passed in. Nothing here allocates per command.
//!
//! Not here: TLS itself, metadata and protection information.
//!
//! Section tags in comments name these revisions: Base 2.1, NVM command set 1.1, TCP transport 1.1.
#![forbid(unsafe_code)]

pub mod auth;
pub mod command;
pub mod controller;
pub mod fuzz;
pub mod host;
pub mod key_text;
pub mod limits;
mod nqn;
pub mod reservation;
pub mod tls;
pub mod transport;
pub mod wire;

pub use nqn::{Nqn, NqnError};
pub use wire::status::Status;
