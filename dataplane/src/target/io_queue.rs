//! NVM commands of an I/O queue, carried out on the volumes behind the subsystem's namespaces.

use std::{rc::Rc, sync::Arc};

use nvmeof::{
    Status,
    command::{BlockRange, DataPointer, NvmCommand, dsm_ranges},
    controller::ErrorRecord,
    limits as protocol_limits,
    transport::Slot,
    wire::Sqe,
};

use super::{
    association::{Association, Counters, QueueShared},
    qpair::{Command, Execute, Qpair},
    registry::{Export, ExportCache},
};
use crate::{
    engine::{EngineError, Volume},
    limits,
    rt::{self, Buf},
};

/// What an I/O queue's commands share.
pub(super) struct IoQueue {
    pub(super) exports: ExportCache,
    pub(super) association: Arc<Association>,
    pub(super) shared: Arc<QueueShared>,
}

/// What a command came to: a status, with data if it returns some.
enum Outcome {
    Status(Status),
    Data(Buf),
    /// The connection ended first; nobody waits for an answer.
    Gone,
    /// Disconnect: answer, then end this connection.
    Disconnect,
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl IoQueue {
    fn note_failure(&self, sqe: &Sqe, status: Status) {
        if matches!(status, Status::UNRECOVERED_READ_ERROR | Status::WRITE_FAULT) {
            self.shared.counters.media_errors.add(1);
        }
        self.association.tell_error(ErrorRecord {
            sqid: self.shared.qid,
            cid: sqe.cid.get(),
            status,
            opcode: sqe.opcode,
            nsid: sqe.nsid.get(),
            lba: u64::from(sqe.cdw11.get()) << 32 | u64::from(sqe.cdw10.get()),
        });
    }
}

impl Execute for IoQueue {
    async fn execute(self: Rc<Self>, qpair: Rc<Qpair>, slot: Slot, command: Command) {
        let counters = &self.shared.counters;
        counters.commands.add(1);
        let export = self.exports.get();
        let sqe = command.sqe;
        let durable = !self.association.write_cache();
        let outcome = match run(&qpair, slot, command, &export, counters, durable).await {
            Ok(outcome) | Err(outcome) => outcome,
        };
        match outcome {
            Outcome::Status(status) => {
                if !status.is_success() {
                    self.note_failure(&sqe, status);
                }
                qpair.respond(slot, status, 0);
            }
            Outcome::Data(data) => qpair.respond_with_data(slot, data, 0),
            Outcome::Gone => {}
            Outcome::Disconnect => {
                qpair.respond(slot, Status::SUCCESS, 0);
                qpair.outbox.drained().await;
                qpair.close();
            }
        }
    }
}

async fn run(
    qpair: &Qpair,
    slot: Slot,
    command: Command,
    export: &Export,
    counters: &Counters,
    durable: bool,
) -> Result<Outcome, Outcome> {
    if !command.intact {
        // TCP §3.3.1.2.1: the command may be sent again.
        return Err(Status::TRANSIENT_TRANSPORT_ERROR.into());
    }
    let parsed = NvmCommand::parse(&command.sqe).map_err(Outcome::Status)?;
    if parsed == NvmCommand::Disconnect {
        return Ok(Outcome::Disconnect);
    }
    let nsid = command.sqe.nsid.get();
    if nsid == NSID_ALL {
        return Ok(if parsed == NvmCommand::Flush {
            flush_all(export).await.into()
        } else {
            Status::INVALID_NAMESPACE_OR_FORMAT.into()
        });
    }
    let namespace = export.namespaces.get(nsid).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?;
    let volume = &namespace.volume;
    match parsed {
        NvmCommand::Read { range, data, .. } => read(volume, range, data, counters).await,
        NvmCommand::Write { range, fua, data } => {
            let range = bytes_of(volume, range)?;
            let arrived = command.arrived;
            let payload = payload(qpair, slot, command, data, range.1).await?;
            if rt::now().since(arrived) > limits::WRITE_PATIENCE {
                // H1: the host has given up on it and may have written newer data by another path.
                return Err(Status::ABORT_REQUESTED.into());
            }
            counters.writes.add(1);
            counters.written_bytes.add(range.1);
            let (_, written) = volume.write(range.0, payload, fua || durable).await;
            Ok(status(written).into())
        }
        NvmCommand::WriteZeroes { range, deallocate, fua } => {
            let (offset, len) = bytes_of(volume, range)?;
            if len > protocol_limits::WRITE_ZEROES_BYTES_MAX {
                return Err(Status::INVALID_FIELD.into());
            }
            counters.writes.add(1);
            Ok(status(volume.write_zeroes(offset, len, deallocate, fua || durable).await).into())
        }
        NvmCommand::DatasetManagement { ranges, deallocate, data } => {
            let len = u64::from(data.len_bytes());
            let payload = payload(qpair, slot, command, data, len).await?;
            if !deallocate {
                // Hints about future use change nothing here, which the specification allows.
                return Ok(Status::SUCCESS.into());
            }
            Ok(deallocate_ranges(volume, &payload, ranges).await.into())
        }
        NvmCommand::Flush => Ok(status(volume.flush().await).into()),
        NvmCommand::Disconnect => unreachable!("answered above"),
    }
}

/// NSID FFFFFFFFh: every namespace (Base §3.2.1.3).
const NSID_ALL: u32 = u32::MAX;

async fn read(
    volume: &Volume,
    range: BlockRange,
    data: DataPointer,
    counters: &Counters,
) -> Result<Outcome, Outcome> {
    let (offset, len) = bytes_of(volume, range)?;
    if len > u64::from(protocol_limits::TRANSFER_BYTES_MAX) {
        return Err(Status::INVALID_FIELD.into());
    }
    let len = u32::try_from(len).expect("at most MDTS");
    data.check_to_host(len)?;
    counters.reads.add(1);
    counters.read_bytes.add(u64::from(len));
    let (buf, result) = volume.read(offset, Buf::alloc(len as usize).await).await;
    match result {
        Ok(()) => Ok(Outcome::Data(buf)),
        Err(error) => Err(read_status(&error).into()),
    }
}

/// The data of a command: from its capsule, or asked for now.
async fn payload(
    qpair: &Qpair,
    slot: Slot,
    command: Command,
    data: DataPointer,
    want: u64,
) -> Result<Buf, Outcome> {
    let want = u32::try_from(want).map_err(|_| Status::INVALID_FIELD)?;
    data.check_from_host(want, command.in_capsule_len)?;
    match data {
        DataPointer::InCapsule { .. } => {
            let mut whole = command.data.ok_or(Status::DATA_SGL_LENGTH_INVALID)?;
            Ok(whole.split_to(want as usize))
        }
        DataPointer::Transport { .. } => match qpair.solicit(slot, want).await {
            Some((buf, true)) => Ok(buf),
            Some((_, false)) => Err(Status::TRANSIENT_TRANSPORT_ERROR.into()),
            None => Err(Outcome::Gone),
        },
    }
}

async fn deallocate_ranges(volume: &Volume, payload: &[u8], ranges: u32) -> Status {
    for range in dsm_ranges(payload, ranges) {
        let (offset, len) = match bytes_of(volume, range) {
            Ok(bytes) => bytes,
            Err(status) => return status,
        };
        if let Err(error) = volume.deallocate(offset, len).await {
            return write_status(&error);
        }
    }
    Status::SUCCESS
}

async fn flush_all(export: &Export) -> Status {
    for namespace in export.namespaces.iter() {
        if let Err(error) = namespace.volume.flush().await {
            return write_status(&error);
        }
    }
    Status::SUCCESS
}

/// Offset and length in bytes, within the volume's present size.
fn bytes_of(volume: &Volume, range: BlockRange) -> Result<(u64, u64), Status> {
    let block_bytes = volume.block_bytes();
    range.to_bytes(volume.size_bytes() / u64::from(block_bytes), block_bytes)
}

fn status(result: Result<(), EngineError>) -> Status {
    result.map_or_else(|error| write_status(&error), |()| Status::SUCCESS)
}

/// The one table from what the engine says to what a host reads, for commands that change blocks.
fn write_status(error: &EngineError) -> Status {
    match error {
        EngineError::OutOfRange => Status::LBA_OUT_OF_RANGE,
        EngineError::CapacityExceeded | EngineError::NoFreeSpace { .. } => Status::CAPACITY_EXCEEDED,
        EngineError::ReadOnly => Status::NAMESPACE_IS_WRITE_PROTECTED,
        EngineError::Offline => Status::NAMESPACE_NOT_READY,
        EngineError::Disk(_) | EngineError::Corruption(_) => Status::WRITE_FAULT,
        EngineError::AlreadyExists | EngineError::Invalid(_) => Status::INTERNAL_ERROR,
    }
}

/// As [`write_status`], for reads: unreadable and damaged blocks have a status of their own.
fn read_status(error: &EngineError) -> Status {
    match error {
        EngineError::Disk(_) | EngineError::Corruption(_) => Status::UNRECOVERED_READ_ERROR,
        other => write_status(other),
    }
}
