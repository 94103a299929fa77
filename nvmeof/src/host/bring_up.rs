//! The steps from an open admin connection to a ready controller (Base §3.5.1).
//!
//! ```text
//! Connect -> ReadCap -> Enable -> ReadStatus -+-> SetQueues -> Ready
//!                                    ^        | not yet ready
//!                                    +--------+
//! ```

use uuid::Uuid;
use zerocopy::IntoBytes;

use super::sqe;
use crate::{
    Nqn, Status, limits,
    transport::HostTransfer,
    wire::{
        Cqe, Sqe,
        connect::CNTLID_DYNAMIC,
        opcode::FeatureId,
        property::{Capabilities, ControllerConfiguration, ControllerStatus, Property},
    },
};

/// What a host asks of a controller.
#[derive(Debug, Clone)]
pub struct Association {
    pub subsystem: Nqn,
    pub host: Nqn,
    pub host_id: Uuid,
    /// Entries of the admin queue.
    pub admin_entries: u16,
    /// Keep Alive Timeout; zero is off.
    pub kato_ms: u32,
    /// Zero for a discovery controller.
    pub io_queues: u16,
}

/// Why a controller did not come up; the controller's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BringUpError {
    #[error("the controller answered {step} with {status:?} (result {result:#x})")]
    Refused { step: &'static str, status: Status, result: u64 },
    #[error("the controller reports a fatal status")]
    Fatal,
}

/// What to do next.
#[derive(Debug)]
pub enum BringUpStep {
    /// Send this command, and give its response to [`BringUp::next`].
    Send { sqe: Sqe, transfer: HostTransfer, payload: Vec<u8> },
    /// Send the same as [`BringUpStep::Send`] after a short wait: the controller is not ready yet.
    SendLater { sqe: Sqe },
    /// The controller is ready for I/O queues.
    Ready { cntlid: u16, queue_entries_max: u32, io_queues: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connect,
    ReadCap,
    Enable,
    ReadStatus,
    SetQueues,
}

/// The machine; begin with [`BringUp::start`].
#[derive(Debug)]
pub struct BringUp {
    state: State,
    association: Association,
    cntlid: u16,
    queue_entries_max: u32,
}

impl BringUp {
    /// The first step, Connect.
    pub fn start(association: Association) -> (Self, BringUpStep) {
        let connect = sqe::connect(0, association.admin_entries, association.kato_ms, true);
        let data =
            sqe::connect_data(&association.host, association.host_id, &association.subsystem, CNTLID_DYNAMIC);
        let step = BringUpStep::Send {
            sqe: connect,
            transfer: HostTransfer::InCapsule(size_of_val(&data) as u32),
            payload: data.as_bytes().to_vec(),
        };
        (Self { state: State::Connect, association, cntlid: 0, queue_entries_max: 0 }, step)
    }

    /// The next step after the response to the last.
    pub fn next(&mut self, response: &Cqe) -> Result<BringUpStep, BringUpError> {
        let result = response.result.get();
        if !response.status().is_success() {
            return Err(BringUpError::Refused { step: self.name(), status: response.status(), result });
        }
        let (state, step) = match self.state {
            State::Connect => {
                self.cntlid = (result & 0xFFFF) as u16;
                (State::ReadCap, send(sqe::property_get(Property::CAP)))
            }
            State::ReadCap => {
                self.queue_entries_max = u32::from(Capabilities::mqes_z(result)) + 1;
                let enable = sqe::property_set(Property::CC, ControllerConfiguration::USUAL);
                (State::Enable, send(enable))
            }
            State::Enable => (State::ReadStatus, send(sqe::property_get(Property::CSTS))),
            State::ReadStatus => {
                let csts = ControllerStatus::from_bits_truncate(result as u32);
                if csts.contains(ControllerStatus::FATAL) {
                    return Err(BringUpError::Fatal);
                }
                if !csts.contains(ControllerStatus::READY) {
                    return Ok(BringUpStep::SendLater { sqe: sqe::property_get(Property::CSTS) });
                }
                if self.association.io_queues == 0 {
                    // A discovery controller has no I/O queues and no feature to ask for them.
                    return Ok(self.ready(0));
                }
                let queues_z = u32::from(self.association.io_queues.min(limits::IO_QUEUES_MAX) - 1);
                let set = sqe::set_features(FeatureId::NUMBER_OF_QUEUES, queues_z << 16 | queues_z);
                (State::SetQueues, send(set))
            }
            State::SetQueues => {
                let granted = ((result & 0xFFFF).min(result >> 16 & 0xFFFF) as u16).saturating_add(1);
                return Ok(self.ready(granted.min(self.association.io_queues)));
            }
        };
        self.state = state;
        Ok(step)
    }

    fn ready(&self, io_queues: u16) -> BringUpStep {
        BringUpStep::Ready { cntlid: self.cntlid, queue_entries_max: self.queue_entries_max, io_queues }
    }

    fn name(&self) -> &'static str {
        match self.state {
            State::Connect => "Connect",
            State::ReadCap => "Property Get CAP",
            State::Enable => "Property Set CC",
            State::ReadStatus => "Property Get CSTS",
            State::SetQueues => "Set Features Number of Queues",
        }
    }
}

fn send(sqe: Sqe) -> BringUpStep {
    BringUpStep::Send { sqe, transfer: HostTransfer::None, payload: Vec::new() }
}
