//! NVM command set commands (NVM §3).

use zerocopy::{FromBytes, transmute};

use super::{
    DataPointer, effects,
    reservation::{self, ReservationRequest},
};
use crate::{
    Status, limits,
    wire::{
        Sqe,
        nvm::{
            CONTROL_DEAC, CONTROL_FUA, CONTROL_PRINFO, CONTROL_STC, COPY_CONTROL_UNSUPPORTED,
            COPY_FORMAT_MASK, COPY_SOPT_FCO, CopyRange, CopySqe, DSM_DEALLOCATE, DsmRange, DsmSqe, RwSqe,
        },
        opcode::NvmOpcode,
    },
};

/// A command of an I/O queue that we know. Ranges are not yet checked against a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NvmCommand {
    Flush,
    Read {
        range: BlockRange,
        fua: bool,
        data: DataPointer,
    },
    Write {
        range: BlockRange,
        fua: bool,
        data: DataPointer,
    },
    WriteZeroes {
        range: BlockRange,
        deallocate: bool,
        fua: bool,
    },
    WriteUncorrectable {
        range: BlockRange,
    },
    Compare {
        range: BlockRange,
        fua: bool,
        data: DataPointer,
    },
    Verify {
        range: BlockRange,
        fua: bool,
    },
    /// `ranges` structures of 16 bytes in the command's data; without `deallocate` they are hints that we
    /// may ignore, though their data still comes.
    DatasetManagement {
        ranges: u32,
        deallocate: bool,
        data: DataPointer,
    },
    /// Copies `ranges` structures' worth of blocks to `destination` and on, in their order; see [`CopyFormat::sources`].
    Copy {
        destination_lba: u64,
        format: CopyFormat,
        ranges: u32,
        fua: bool,
        data: DataPointer,
    },
    /// Register, Acquire or Release; the keys are in the command's data.
    Reservation {
        request: ReservationRequest,
        data: DataPointer,
    },
    /// The answer has `len_bytes` of data: the report, cut or filled up with zeros.
    ReservationReport {
        len_bytes: u32,
    },
    /// Disconnect may come on an I/O queue; other Fabrics commands are refused.
    Disconnect,
}

/// Descriptor format of a Copy command (NVM §3.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// 0h: all sources are in the destination's namespace.
    WithinNamespace,
    /// 2h: each source names its namespace. Only for hosts that said they know it (CDFE).
    AcrossNamespaces,
}

/// One source range of a Copy command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopySource {
    /// `None`: the destination's namespace.
    pub nsid: Option<u32>,
    pub range: BlockRange,
    /// The command shall fail rather than copy no faster than the host could (FCO).
    pub fast_only: bool,
}

/// Consecutive logical blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    pub lba: u64,
    pub blocks: u32,
}

impl BlockRange {
    /// Offset and length in bytes, or why the namespace does not have them.
    pub fn to_bytes(self, namespace_blocks: u64, block_bytes: u32) -> Result<(u64, u64), Status> {
        let end = self.lba.checked_add(u64::from(self.blocks)).ok_or(Status::LBA_OUT_OF_RANGE)?;
        if end > namespace_blocks {
            return Err(Status::LBA_OUT_OF_RANGE);
        }
        Ok((self.lba * u64::from(block_bytes), u64::from(self.blocks) * u64::from(block_bytes)))
    }
}

impl NvmCommand {
    /// Parses an entry of an I/O queue.
    pub fn parse(sqe: &Sqe) -> Result<Self, Status> {
        if !effects::has_nvm(NvmOpcode(sqe.opcode)) {
            return Err(Status::INVALID_OPCODE);
        }
        let data = DataPointer::parse(sqe);
        match NvmOpcode(sqe.opcode) {
            NvmOpcode::FLUSH => data.map(|_| Self::Flush),
            NvmOpcode::READ => {
                let rw = read_write(sqe)?;
                Ok(Self::Read { range: rw.range, fua: rw.fua, data: data? })
            }
            NvmOpcode::WRITE => {
                let rw = read_write(sqe)?;
                Ok(Self::Write { range: rw.range, fua: rw.fua, data: data? })
            }
            NvmOpcode::WRITE_ZEROES => {
                data?;
                let rw = read_write(sqe)?;
                Ok(Self::WriteZeroes { range: rw.range, deallocate: rw.deallocate, fua: rw.fua })
            }
            NvmOpcode::WRITE_UNCORRECTABLE => {
                data?;
                Ok(Self::WriteUncorrectable { range: read_write(sqe)?.range })
            }
            NvmOpcode::COMPARE => {
                let rw = read_write(sqe)?;
                Ok(Self::Compare { range: rw.range, fua: rw.fua, data: data? })
            }
            NvmOpcode::VERIFY => {
                data?;
                let rw = read_write(sqe)?;
                Ok(Self::Verify { range: rw.range, fua: rw.fua })
            }
            NvmOpcode::DATASET_MANAGEMENT => {
                let dsm: DsmSqe = transmute!(*sqe);
                let ranges = u32::from(dsm.nr_z) + 1;
                let data = data?;
                let len = data.len_bytes();
                // Linux always describes a buffer for all 256 ranges, however few it fills.
                if len < ranges * size_of::<DsmRange>() as u32
                    || len > limits::DSM_RANGES_MAX * size_of::<DsmRange>() as u32
                {
                    return Err(Status::DATA_SGL_LENGTH_INVALID);
                }
                let deallocate = dsm.attributes.get() & DSM_DEALLOCATE != 0;
                Ok(Self::DatasetManagement { ranges, deallocate, data })
            }
            NvmOpcode::COPY => copy(sqe, data?),
            NvmOpcode::RESERVATION_REGISTER => with_keys(ReservationRequest::parse_register(sqe)?, data?),
            NvmOpcode::RESERVATION_ACQUIRE => with_keys(ReservationRequest::parse_acquire(sqe)?, data?),
            NvmOpcode::RESERVATION_RELEASE => with_keys(ReservationRequest::parse_release(sqe)?, data?),
            NvmOpcode::RESERVATION_REPORT => {
                Ok(Self::ReservationReport { len_bytes: reservation::parse_report(sqe, data?)? })
            }
            NvmOpcode::FABRICS => match super::FabricsCommand::parse(sqe)? {
                super::FabricsCommand::Disconnect => Ok(Self::Disconnect),
                super::FabricsCommand::Connect(_) => Err(Status::COMMAND_SEQUENCE_ERROR),
                _ => Err(Status::INVALID_FIELD),
            },
            _ => Err(Status::INVALID_OPCODE),
        }
    }
}

/// The ranges of a Dataset Management command from its data; `data` may be longer than they are.
pub fn dsm_ranges(data: &[u8], ranges: u32) -> impl Iterator<Item = BlockRange> + '_ {
    data.chunks_exact(size_of::<DsmRange>()).take(ranges as usize).map(|chunk| {
        let range = DsmRange::read_from_bytes(chunk).expect("chunks have the size of a range");
        BlockRange { lba: range.slba.get(), blocks: range.length.get() }
    })
}

fn copy(sqe: &Sqe, data: DataPointer) -> Result<NvmCommand, Status> {
    let copy: CopySqe = transmute!(*sqe);
    let control = copy.control.get();
    let format = match copy.format & COPY_FORMAT_MASK {
        0 => CopyFormat::WithinNamespace,
        2 => CopyFormat::AcrossNamespaces,
        _ => return Err(Status::INVALID_FIELD),
    };
    if copy.format & !COPY_FORMAT_MASK != 0 || control & COPY_CONTROL_UNSUPPORTED != 0 {
        return Err(Status::INVALID_FIELD);
    }
    let ranges = u32::from(copy.nr_z) + 1;
    if ranges > limits::COPY_RANGES_MAX {
        return Err(Status::COMMAND_SIZE_LIMIT_EXCEEDED);
    }
    if data.len_bytes() != ranges * size_of::<CopyRange>() as u32 {
        return Err(Status::DATA_SGL_LENGTH_INVALID);
    }
    let fua = control & CONTROL_FUA != 0;
    Ok(NvmCommand::Copy { destination_lba: copy.sdlba.get(), format, ranges, fua, data })
}

fn with_keys(request: ReservationRequest, data: DataPointer) -> Result<NvmCommand, Status> {
    if data.len_bytes() != request.data_bytes() {
        return Err(Status::DATA_SGL_LENGTH_INVALID);
    }
    Ok(NvmCommand::Reservation { request, data })
}

impl CopyFormat {
    /// The source ranges of a Copy command from its data.
    pub fn sources(self, data: &[u8]) -> impl Iterator<Item = CopySource> + '_ {
        data.chunks_exact(size_of::<CopyRange>()).map(move |chunk| self.source(chunk))
    }

    fn source(self, chunk: &[u8]) -> CopySource {
        let source = CopyRange::read_from_bytes(chunk).expect("chunks have the size of a range");
        let range = BlockRange { lba: source.slba.get(), blocks: u32::from(source.nlb_z.get()) + 1 };
        match self {
            Self::WithinNamespace => CopySource { nsid: None, range, fast_only: false },
            Self::AcrossNamespaces => CopySource {
                nsid: Some(source.snsid.get()),
                range,
                fast_only: source.sopt.get() & COPY_SOPT_FCO != 0,
            },
        }
    }
}

struct ReadWrite {
    range: BlockRange,
    fua: bool,
    deallocate: bool,
}

fn read_write(sqe: &Sqe) -> Result<ReadWrite, Status> {
    let rw: RwSqe = transmute!(*sqe);
    let control = rw.control.get();
    if control & (CONTROL_PRINFO | CONTROL_STC) != 0 {
        // No namespace here is formatted with protection information.
        return Err(Status::INVALID_FIELD);
    }
    Ok(ReadWrite {
        range: BlockRange { lba: rw.slba.get(), blocks: u32::from(rw.nlb_z.get()) + 1 },
        fua: control & CONTROL_FUA != 0,
        deallocate: control & CONTROL_DEAC != 0,
    })
}
