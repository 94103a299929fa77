//! What a command does to its volume, in bytes, checked against the volume's size.

use nvmeof::{
    Status,
    command::{BlockRange, CopyFormat, NvmCommand, ReplicaCommand, ReservationRequest},
    limits::{VERIFY_BYTES_MAX, WRITE_ZEROES_BYTES_MAX},
    reservation::Access,
};

use crate::volume::Volume;

/// A checked command.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Read {
        offset_bytes: u64,
        len_bytes: u32,
        fua: bool,
    },
    Write {
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    },
    WriteZeroes {
        offset_bytes: u64,
        len_bytes: u64,
        deallocate: bool,
        fua: bool,
    },
    WriteUncorrectable {
        offset_bytes: u64,
        len_bytes: u64,
    },
    Compare {
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    },
    Verify {
        offset_bytes: u64,
        len_bytes: u64,
        fua: bool,
    },
    Copy {
        destination_lba: u64,
        format: CopyFormat,
        fua: bool,
    },
    Deallocate {
        ranges: u32,
    },
    /// Dataset Management hints that we do not use.
    Ignore,
    Flush,
    FlushAll,
    Reservation(ReservationRequest),
    ReservationReport {
        len_bytes: u32,
    },
    /// Of another node, about the replica with that number.
    Replica {
        number: u32,
        command: ReplicaCommand,
    },
}

impl Operation {
    /// Ranges in bytes, lengths checked against the data pointer.
    pub(super) fn of(command: NvmCommand, volume: &Volume) -> Result<Self, Status> {
        let bytes = |range: BlockRange| range.to_bytes(blocks(volume), volume.block_bytes());
        Ok(match command {
            NvmCommand::Read { range, fua, data } => {
                let (offset_bytes, len) = bytes(range)?;
                let len_bytes = u32::try_from(len).map_err(|_| Status::INVALID_FIELD)?;
                data.check_to_host(len_bytes)?;
                Self::Read { offset_bytes, len_bytes, fua }
            }
            NvmCommand::Write { range, fua, data } => {
                let (offset_bytes, len_bytes) = bytes(range)?;
                check_length(data.len_bytes(), len_bytes)?;
                Self::Write { offset_bytes, len_bytes, fua }
            }
            NvmCommand::WriteZeroes { range, deallocate, fua } => {
                let (offset_bytes, len_bytes) = bytes(range)?;
                if len_bytes > WRITE_ZEROES_BYTES_MAX {
                    return Err(Status::INVALID_FIELD);
                }
                Self::WriteZeroes { offset_bytes, len_bytes, deallocate, fua }
            }
            NvmCommand::WriteUncorrectable { range } => {
                let (offset_bytes, len_bytes) = bytes(range)?;
                Self::WriteUncorrectable { offset_bytes, len_bytes }
            }
            NvmCommand::Compare { range, fua, data } => {
                let (offset_bytes, len_bytes) = bytes(range)?;
                check_length(data.len_bytes(), len_bytes)?;
                Self::Compare { offset_bytes, len_bytes, fua }
            }
            NvmCommand::Verify { range, fua } => {
                let (offset_bytes, len_bytes) = bytes(range)?;
                if len_bytes > VERIFY_BYTES_MAX {
                    return Err(Status::INVALID_FIELD);
                }
                Self::Verify { offset_bytes, len_bytes, fua }
            }
            NvmCommand::Copy { destination_lba, format, fua, .. } => {
                Self::Copy { destination_lba, format, fua }
            }
            NvmCommand::DatasetManagement { ranges, deallocate: true, .. } => Self::Deallocate { ranges },
            NvmCommand::DatasetManagement { .. } => Self::Ignore,
            NvmCommand::Flush => Self::Flush,
            NvmCommand::Reservation { request, .. } => Self::Reservation(request),
            NvmCommand::ReservationReport { len_bytes } => Self::ReservationReport { len_bytes },
            NvmCommand::Disconnect => unreachable!("answered before a namespace is looked for"),
        })
    }

    /// Whether it stays within what a Compare and Write may take: one aligned 4 KiB where that cannot tear, else one
    /// block.
    pub(super) fn check_atomic(&self, volume: &Volume) -> Result<(), Status> {
        const ATOMIC_BYTES: u64 = 4096;
        let (Self::Compare { offset_bytes, len_bytes, .. } | Self::Write { offset_bytes, len_bytes, .. }) =
            self
        else {
            unreachable!("only Compare and Write are fused")
        };
        let unit = if volume.atomic_4k() { ATOMIC_BYTES } else { u64::from(volume.block_bytes()) };
        let fits = offset_bytes % unit + len_bytes <= unit;
        if fits { Ok(()) } else { Err(Status::ATOMIC_WRITE_UNIT_EXCEEDED) }
    }

    /// Whether it changes something, so that executing it late could undo what the host did meanwhile (H1).
    pub(super) fn is_write(&self) -> bool {
        match self {
            Self::Write { .. }
            | Self::WriteZeroes { .. }
            | Self::WriteUncorrectable { .. }
            | Self::Copy { .. }
            | Self::Deallocate { .. }
            | Self::Ignore
            | Self::Reservation(_)
            | Self::Replica {
                command: ReplicaCommand::Write { .. } | ReplicaCommand::WriteZeroes { .. },
                ..
            } => true,
            Self::Read { .. }
            | Self::Compare { .. }
            | Self::Verify { .. }
            | Self::Flush
            | Self::FlushAll
            | Self::ReservationReport { .. }
            | Self::Replica { .. } => false,
        }
    }

    /// What a reservation may keep it from (Base, Command Behavior in the Presence of a Reservation). `None`: it is
    /// about reservations, and judged by the state itself.
    pub(super) fn access(&self) -> Option<Access> {
        match self {
            Self::Read { .. } | Self::Compare { .. } | Self::Verify { .. } => Some(Access::Read),
            // Copy reads, too; who may write may also read. Other namespaces are asked when their ranges are known.
            Self::Write { .. }
            | Self::WriteZeroes { .. }
            | Self::WriteUncorrectable { .. }
            | Self::Copy { .. }
            | Self::Deallocate { .. }
            | Self::Ignore
            | Self::Flush
            | Self::FlushAll => Some(Access::Write),
            // Other nodes have asked for whom they act.
            Self::Reservation(_) | Self::ReservationReport { .. } | Self::Replica { .. } => None,
        }
    }
}

/// Blocks of a volume as it is now.
pub(super) fn blocks(volume: &Volume) -> u64 {
    volume.size_bytes() / u64::from(volume.block_bytes())
}

fn check_length(data_bytes: u32, len_bytes: u64) -> Result<(), Status> {
    if u64::from(data_bytes) == len_bytes { Ok(()) } else { Err(Status::DATA_SGL_LENGTH_INVALID) }
}
