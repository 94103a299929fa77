//! NVM commands on volumes: the one place where a command becomes a volume operation and an engine's error a status.

use std::{rc::Rc, sync::atomic::Ordering};

use nvmeof::{
    Status,
    command::{DataPointer, NvmCommand, ReplicaCommand, dsm_ranges},
    wire::{Sqe, opcode::NSID_ALL},
};

use super::{
    Shared,
    association::Association,
    copy::{Destination, charge, copy},
    counters::QueueCounters,
    exports_view::ExportsView,
    operation::{Operation, blocks},
    qos::Lane,
    queue::{Answer, Half},
    read::{compare, read, verify},
    replicas, reservations,
    subsystem::TargetNamespace,
    volume_io::{Timed, UnderWay},
};
use crate::{
    engine::EngineError,
    rt::{self, Buf, Nanos},
    volume::Volume,
};

/// What to do with a command that came.
#[derive(Debug)]
pub(super) enum Prepared {
    Begin(IoWork),
    /// Begin when all `len_bytes` of its data have come: those of its capsule, or of an R2T.
    AfterData {
        work: IoWork,
        len_bytes: u32,
    },
    Disconnect,
}

/// A checked command, ready for its volume.
#[derive(Debug)]
pub(super) struct IoWork {
    view: Rc<ExportsView>,
    /// The namespace in `view`; not used by a Flush of all.
    namespace: usize,
    operation: Operation,
    /// Of a Flush of all there is none.
    under_way: Option<UnderWay>,
    /// Of a fused Compare and Write.
    half: Option<Half>,
    /// How many of its charges the limits of its volumes have let in, see `charge`.
    let_in: usize,
}

/// For whom a command is executed.
pub(super) struct Caller<'a> {
    pub(super) shared: &'a Shared,
    pub(super) association: &'a Association,
    pub(super) counters: &'a QueueCounters,
}

impl IoWork {
    /// Checks a command against its namespace. Everything that can be refused is, before any data is asked for.
    pub(super) fn prepare(
        view: &Rc<ExportsView>,
        sqe: &Sqe,
        in_capsule_len: u32,
        half: Option<Half>,
    ) -> Result<Prepared, Status> {
        if view.serves_replicas() {
            return Self::prepare_replica(view, sqe, in_capsule_len);
        }
        let command = NvmCommand::parse(sqe)?;
        let nsid = sqe.nsid.get();
        let data_len = match command {
            NvmCommand::Write { data, .. }
            | NvmCommand::Compare { data, .. }
            | NvmCommand::Copy { data, .. }
            | NvmCommand::DatasetManagement { data, .. }
            | NvmCommand::Reservation { data, .. } => {
                check_capsule(data, in_capsule_len)?;
                data.len_bytes()
            }
            _ if in_capsule_len > 0 => return Err(Status::INVALID_FIELD),
            _ => 0,
        };
        if command == NvmCommand::Disconnect {
            return Ok(Prepared::Disconnect);
        }
        if command == NvmCommand::Flush && nsid == NSID_ALL {
            return Ok(Prepared::Begin(Self::new(view, 0, Operation::FlushAll)));
        }
        let index = view.index_of(nsid)?;
        // Judged again when it is executed; here it spares the host its data.
        if let Some(status) = view.namespaces()[index].path.refusal() {
            return Err(status);
        }
        let volume = &view.namespaces()[index].volume;
        if volume.is_mirrored() && is_for_one_node(&command, half.is_some()) {
            return Err(Status::INVALID_OPCODE);
        }
        let operation = Operation::of(command, volume)?;
        if half.is_some() {
            operation.check_atomic(volume)?;
        }
        let under_way = Some(UnderWay::new(view, index));
        let work = Self { half, under_way, ..Self::new(view, index, operation) };
        Ok(match data_len {
            0 => Prepared::Begin(work),
            len_bytes => Prepared::AfterData { work, len_bytes },
        })
    }

    /// A command of another node.
    fn prepare_replica(view: &Rc<ExportsView>, sqe: &Sqe, in_capsule_len: u32) -> Result<Prepared, Status> {
        if matches!(NvmCommand::parse(sqe), Ok(NvmCommand::Disconnect)) && in_capsule_len == 0 {
            return Ok(Prepared::Disconnect);
        }
        let (number, command) = replicas::parse(sqe)?;
        let data = replicas::data_of(&command);
        check_capsule(data, in_capsule_len)?;
        let work = Self::new(view, 0, Operation::Replica { number, command });
        Ok(match data.len_bytes() {
            0 => Prepared::Begin(work),
            len_bytes => Prepared::AfterData { work, len_bytes },
        })
    }

    fn new(view: &Rc<ExportsView>, namespace: usize, operation: Operation) -> Self {
        Self { view: view.clone(), namespace, operation, under_way: None, half: None, let_in: 0 }
    }

    /// As [`Operation::is_write`].
    pub(super) fn is_write(&self) -> bool {
        self.operation.is_write()
    }

    /// Data that it reads for the host.
    pub(super) fn answer_bytes(&self) -> usize {
        match self.operation {
            Operation::Read { len_bytes, .. }
            | Operation::Replica { command: ReplicaCommand::Fetch { len_bytes, .. }, .. } => {
                len_bytes as usize
            }
            _ => 0,
        }
    }

    /// Whether it waits, like a command that has not begun, for a message to another node.
    pub(super) fn awaits_mail(&self) -> bool {
        matches!(self.operation, Operation::Replica { command: ReplicaCommand::Receive { .. }, .. })
    }

    /// Whether who takes rights away waits for its end.
    pub(super) fn is_fenced(&self) -> bool {
        self.operation.access().is_some()
    }

    /// Where it waits next for a volume's leave, and the bytes that it counts for there. `None`: it need not, because
    /// its volumes are unlimited, it has waited before, or it moves no data; or not yet, because `data` has to tell
    /// how much.
    pub(super) fn next_lane(&mut self, data: Option<&[u8]>) -> Option<(Rc<Lane>, u64)> {
        loop {
            let (namespace, bytes) = self.charge(self.let_in, data)?;
            self.let_in += 1;
            if self.view.namespaces()[namespace].limiter.is_limited() {
                return Some((self.view.lane(namespace), bytes));
            }
        }
    }

    /// What it takes from volumes, one after another: the index of the namespace, and bytes.
    fn charge(&self, index: usize, data: Option<&[u8]>) -> Option<(usize, u64)> {
        let bytes = match self.operation {
            Operation::Copy { format, .. } => {
                return charge(&self.view, self.namespace, format, data?, index);
            }
            _ if index > 0 => return None,
            Operation::Read { len_bytes, .. } => u64::from(len_bytes),
            Operation::Write { len_bytes, .. }
            | Operation::WriteZeroes { len_bytes, .. }
            | Operation::WriteUncorrectable { len_bytes, .. }
            | Operation::Compare { len_bytes, .. }
            | Operation::Verify { len_bytes, .. } => len_bytes,
            Operation::Deallocate { .. }
            | Operation::Ignore
            | Operation::Flush
            | Operation::FlushAll
            | Operation::Reservation(_)
            | Operation::ReservationReport { .. }
            | Operation::Replica { .. } => return None,
        };
        Some((self.namespace, bytes))
    }

    /// Does it, and notes how long it took since the command `came`. `data` is what came from the host.
    pub(super) async fn execute(mut self, caller: &Caller<'_>, data: Option<Buf>, came: Nanos) -> Answer {
        let (timed, under_way) = (self.timed(), self.under_way.take());
        let answer = self.act(caller, data).await;
        if let (Some((timed, bytes)), Some(under_way)) = (timed, under_way) {
            under_way.took(timed, bytes, rt::now().since(came));
        }
        answer
    }

    /// What is told of it, with its bytes.
    fn timed(&self) -> Option<(Timed, u64)> {
        match self.operation {
            Operation::Read { len_bytes, .. } => Some((Timed::Read, len_bytes.into())),
            Operation::Write { len_bytes, .. } => Some((Timed::Write, len_bytes)),
            _ => None,
        }
    }

    /// Reservations are looked at now, not when the command came.
    async fn act(mut self, caller: &Caller<'_>, data: Option<Buf>) -> Answer {
        let counters = caller.counters;
        if let Operation::Replica { number, command } = self.operation {
            return replicas::execute(caller, number, command, data).await;
        }
        if let Some(status) = self.meant().iter().find_map(|namespace| namespace.path.refusal()) {
            return Answer::status(status);
        }
        if self.is_kept_away(caller) {
            return Answer::status(Status::RESERVATION_CONFLICT);
        }
        if let Some(half) = self.half.take() {
            return self.execute_half(half, caller, data.expect("its data has come")).await;
        }
        if let Operation::FlushAll = self.operation {
            return status_of(flush_all(self.view.namespaces()).await, Direction::Write, counters);
        }
        let namespace = &self.view.namespaces()[self.namespace];
        let volume = &namespace.volume;
        // With the volatile write cache switched off, nothing may be volatile after its answer.
        let fua_always = !caller.association.write_cache.load(Ordering::Relaxed);
        match self.operation {
            Operation::Read { offset_bytes, len_bytes, fua } => {
                read(volume, offset_bytes, len_bytes, fua, counters).await
            }
            Operation::Write { offset_bytes, len_bytes, fua } => {
                let data = data.expect("a write begins when its data has come");
                let (_, result) = volume.write(offset_bytes, data, fua || fua_always).await;
                if result.is_ok() {
                    counters.writes.add(1);
                    counters.bytes_written.add(len_bytes);
                }
                status_of(result, Direction::Write, counters)
            }
            Operation::WriteZeroes { offset_bytes, len_bytes, deallocate, fua } => {
                let fua = fua || fua_always;
                let result = volume.write_zeroes(offset_bytes, len_bytes, deallocate, fua).await;
                status_of(result, Direction::Write, counters)
            }
            Operation::WriteUncorrectable { offset_bytes, len_bytes } => {
                let result = volume.write_uncorrectable(offset_bytes, len_bytes, fua_always).await;
                status_of(result, Direction::Write, counters)
            }
            Operation::Compare { offset_bytes, fua, .. } => {
                let data = data.expect("its data has come");
                compare(volume, offset_bytes, &data, fua, counters).await
            }
            Operation::Verify { offset_bytes, len_bytes, fua } => {
                verify(volume, offset_bytes, len_bytes, fua, counters).await
            }
            Operation::Copy { destination_lba, format, fua } => {
                let data = data.expect("its ranges have come");
                let to =
                    Destination { namespace: self.namespace, lba: destination_lba, fua: fua || fua_always };
                copy(&self.view, to, format, &data, caller).await
            }
            Operation::Deallocate { ranges } => {
                let data = data.expect("its ranges have come");
                deallocate(volume, &data, ranges, counters).await
            }
            Operation::Reservation(request) => {
                let data = data.expect("its keys have come");
                reservations::change(caller, namespace, request, &data).await
            }
            Operation::ReservationReport { len_bytes } => namespace.reservations.report(len_bytes).await,
            Operation::Flush => status_of(volume.flush().await, Direction::Write, counters),
            Operation::Ignore => Answer::status(Status::SUCCESS),
            Operation::FlushAll | Operation::Replica { .. } => unreachable!("handled above"),
        }
    }

    /// A half of Compare and Write: the second does it, and tells the first how it went.
    async fn execute_half(&self, half: Half, caller: &Caller<'_>, data: Buf) -> Answer {
        let second = match half {
            Half::First(first) => return Answer::status(first.done(data).await),
            Half::Second(second) => second,
        };
        let Operation::Write { offset_bytes, len_bytes, fua } = self.operation else {
            unreachable!("a second half is a write")
        };
        let Some(expected) = second.expected().await else {
            return Answer::status(Status::ABORTED_FAILED_FUSED);
        };
        let fua = fua || !caller.association.write_cache.load(Ordering::Relaxed);
        let volume = &self.view.namespaces()[self.namespace].volume;
        let written = volume.compare_and_write(offset_bytes, &expected, data, fua).await;
        if let Ok(is_equal) = written {
            caller.counters.reads.add(1);
            caller.counters.bytes_read.add(len_bytes);
            second.first_ends(if is_equal { Status::SUCCESS } else { Status::COMPARE_FAILURE });
        }
        match written {
            Ok(true) => {
                caller.counters.writes.add(1);
                caller.counters.bytes_written.add(len_bytes);
                Answer::status(Status::SUCCESS)
            }
            Ok(false) => Answer::status(Status::ABORTED_FAILED_FUSED),
            Err(error) => status_of(Err(error), Direction::Write, caller.counters),
        }
    }

    fn meant(&self) -> &[TargetNamespace] {
        let namespaces = self.view.namespaces();
        match self.operation {
            Operation::FlushAll => namespaces,
            _ => std::slice::from_ref(&namespaces[self.namespace]),
        }
    }

    fn is_kept_away(&self, caller: &Caller<'_>) -> bool {
        let Some(access) = self.operation.access() else { return false };
        self.meant()
            .iter()
            .any(|namespace| !namespace.reservations.allows(caller.association.host.id, access))
    }
}

/// What replicas do not agree on yet, so that a replicated volume does not have it.
fn is_for_one_node(command: &NvmCommand, is_fused: bool) -> bool {
    is_fused
        || matches!(
            command,
            NvmCommand::Reservation { .. }
                | NvmCommand::ReservationReport { .. }
                | NvmCommand::WriteUncorrectable { .. }
        )
}

/// Data must be where the descriptor says: all of the capsule's, or none in the capsule.
fn check_capsule(data: DataPointer, in_capsule_len: u32) -> Result<(), Status> {
    data.check_capsule(in_capsule_len)?;
    match data {
        DataPointer::InCapsule { len, .. } if len != in_capsule_len => Err(Status::DATA_SGL_LENGTH_INVALID),
        DataPointer::Transport { .. } if in_capsule_len > 0 => Err(Status::INVALID_FIELD),
        DataPointer::InCapsule { .. } | DataPointer::Transport { .. } => Ok(()),
    }
}

/// All ranges are checked before the first one is deallocated.
async fn deallocate(volume: &Volume, data: &[u8], ranges: u32, counters: &QueueCounters) -> Answer {
    let (blocks, block_bytes) = (blocks(volume), volume.block_bytes());
    for range in dsm_ranges(data, ranges) {
        if let Err(status) = range.to_bytes(blocks, block_bytes) {
            return Answer::status(status);
        }
    }
    for range in dsm_ranges(data, ranges).filter(|range| range.blocks > 0) {
        let Ok((offset_bytes, len_bytes)) = range.to_bytes(blocks, block_bytes) else {
            unreachable!("checked above")
        };
        let result = volume.deallocate(offset_bytes, len_bytes).await;
        if result.is_err() {
            return status_of(result, Direction::Write, counters);
        }
    }
    Answer::status(Status::SUCCESS)
}

async fn flush_all(namespaces: &[TargetNamespace]) -> Result<(), EngineError> {
    for namespace in namespaces {
        namespace.volume.flush().await?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

/// What the host hears of an engine's error.
pub(super) fn status_of(
    result: Result<(), EngineError>,
    direction: Direction,
    counters: &QueueCounters,
) -> Answer {
    let Err(error) = result else { return Answer::status(Status::SUCCESS) };
    if matches!(error, EngineError::Disk(_) | EngineError::Corruption(_)) {
        counters.media_errors.add(1);
        tracing::warn!(%error, ?direction, "a command failed");
    }
    Answer::status(match (error, direction) {
        (EngineError::OutOfRange, _) => Status::LBA_OUT_OF_RANGE,
        (EngineError::CapacityExceeded, _) => Status::CAPACITY_EXCEEDED,
        (EngineError::ReadOnly, _) => Status::NAMESPACE_IS_WRITE_PROTECTED,
        (EngineError::Offline | EngineError::Moved, _) => Status::NAMESPACE_NOT_READY,
        (EngineError::Elsewhere, _) => Status::INTERNAL_PATH_ERROR,
        (EngineError::Uncorrectable, _) => Status::MARKED_UNCORRECTABLE,
        (EngineError::Disk(_) | EngineError::Corruption(_), Direction::Read) => {
            Status::UNRECOVERED_READ_ERROR
        }
        (EngineError::Disk(_) | EngineError::Corruption(_), Direction::Write) => Status::WRITE_FAULT,
        // Management errors, which no I/O operation gives.
        (
            EngineError::Invalid(_)
            | EngineError::AlreadyExists
            | EngineError::NoFreeSpace { .. }
            | EngineError::Abandoned,
            Direction::Read | Direction::Write,
        ) => Status::INTERNAL_ERROR,
    })
}
