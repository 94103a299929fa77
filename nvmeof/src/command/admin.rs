//! Admin commands (Base §5).

use zerocopy::transmute;

use super::{DataPointer, FabricsCommand, GetLbaStatus, effects};
use crate::{
    Status, limits,
    wire::{
        Sqe,
        admin::{
            AbortSqe, CrossControllerResetSqe, FeaturesSqe, GetLogPageSqe, IdentifySqe, OFFSET_IS_INDEX, RAE,
            SAVE,
        },
        opcode::{AdminOpcode, Cns, FeatureId, LogPageId},
    },
};

/// A command of the admin queue that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminCommand {
    Fabrics(FabricsCommand),
    Identify(Identify),
    GetLogPage(GetLogPage),
    /// `value` is dword 11, with which some features choose among several values.
    GetFeatures {
        feature: FeatureId,
        select: FeatureSelect,
        nsid: u32,
        value: u32,
        data: DataPointer,
    },
    /// `value` is dword 11; features that are more than a number are in the command's data.
    SetFeatures {
        feature: FeatureId,
        save: bool,
        nsid: u32,
        value: u32,
        data: DataPointer,
    },
    AsyncEventRequest,
    KeepAlive,
    Abort {
        sqid: u16,
        cid: u16,
    },
    GetLbaStatus(GetLbaStatus),
    /// Ends another controller of the same host, whose path has failed.
    CrossControllerReset {
        cntlid: u16,
        instance: Instance,
    },
}

/// Which of the controllers that have had one identifier, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instance {
    /// Controller Instance Uniquifier; not zero.
    pub ciu: u8,
    /// Controller Instance Random Number.
    pub cirn: u64,
}

/// Identify; the answer has 4096 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identify {
    pub cns: Cns,
    pub nsid: u32,
    pub csi: u8,
    /// CNS Specific Identifier.
    pub cnssid: u16,
}

/// Get Log Page; offset and length in bytes, the length a multiple of four and within MDTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetLogPage {
    pub page: LogPageId,
    pub nsid: u32,
    /// Log Specific Parameter.
    pub lsp: u8,
    /// Retain Asynchronous Event: reading does not re-arm the event.
    pub retain_event: bool,
    pub csi: u8,
    /// Log Specific Identifier.
    pub lsi: u16,
    pub offset_bytes: u64,
    pub len_bytes: u32,
}

/// Which value of a feature Get Features asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureSelect {
    Current,
    Default,
    Saved,
    SupportedCapabilities,
}

/// Bytes of every Identify structure.
const IDENTIFY_BYTES: u32 = 4096;

impl AdminCommand {
    /// Parses an entry of the admin queue.
    pub fn parse(sqe: &Sqe) -> Result<Self, Status> {
        if !effects::has_admin(AdminOpcode(sqe.opcode)) {
            return Err(Status::INVALID_OPCODE);
        }
        let data = DataPointer::parse(sqe);
        match AdminOpcode(sqe.opcode) {
            AdminOpcode::FABRICS => Ok(Self::Fabrics(FabricsCommand::parse(sqe)?)),
            AdminOpcode::IDENTIFY => {
                data?.check_to_host(IDENTIFY_BYTES)?;
                let identify: IdentifySqe = transmute!(*sqe);
                Ok(Self::Identify(Identify {
                    cns: Cns(identify.cns),
                    nsid: identify.nsid.get(),
                    csi: identify.csi,
                    cnssid: identify.cnssid.get(),
                }))
            }
            AdminOpcode::GET_LOG_PAGE => Ok(Self::GetLogPage(GetLogPage::parse(sqe, data?)?)),
            AdminOpcode::GET_FEATURES => {
                let get: FeaturesSqe = transmute!(*sqe);
                let select = match get.sel & 0x7 {
                    0 => FeatureSelect::Current,
                    1 => FeatureSelect::Default,
                    2 => FeatureSelect::Saved,
                    3 => FeatureSelect::SupportedCapabilities,
                    _ => return Err(Status::INVALID_FIELD),
                };
                Ok(Self::GetFeatures {
                    feature: FeatureId(get.fid),
                    select,
                    nsid: get.nsid.get(),
                    value: get.value.get(),
                    data: data?,
                })
            }
            AdminOpcode::SET_FEATURES => {
                let set: FeaturesSqe = transmute!(*sqe);
                Ok(Self::SetFeatures {
                    feature: FeatureId(set.fid),
                    save: set.save & SAVE != 0,
                    nsid: set.nsid.get(),
                    value: set.value.get(),
                    data: data?,
                })
            }
            AdminOpcode::ASYNC_EVENT_REQUEST => data.map(|_| Self::AsyncEventRequest),
            AdminOpcode::KEEP_ALIVE => data.map(|_| Self::KeepAlive),
            AdminOpcode::CROSS_CONTROLLER_RESET => {
                data?;
                let reset: CrossControllerResetSqe = transmute!(*sqe);
                let instance = Instance { ciu: reset.ciu, cirn: reset.cirn.get() };
                Ok(Self::CrossControllerReset { cntlid: reset.icid.get(), instance })
            }
            AdminOpcode::GET_LBA_STATUS => Ok(Self::GetLbaStatus(GetLbaStatus::parse(sqe, data?)?)),
            AdminOpcode::ABORT => {
                data?;
                let abort: AbortSqe = transmute!(*sqe);
                Ok(Self::Abort { sqid: abort.sqid.get(), cid: abort.abort_cid.get() })
            }
            _ => Err(Status::INVALID_OPCODE),
        }
    }

    /// Data that has to come from the host before the command can be executed.
    pub fn data_from_host(&self) -> Option<DataPointer> {
        match *self {
            Self::SetFeatures { data, .. } if data.len_bytes() > 0 => Some(data),
            _ => None,
        }
    }
}

impl GetLogPage {
    fn parse(sqe: &Sqe, data: DataPointer) -> Result<Self, Status> {
        let get: GetLogPageSqe = transmute!(*sqe);
        let dwords = (u64::from(get.numdu.get()) << 16 | u64::from(get.numdl_z.get())) + 1;
        let len_bytes = u32::try_from(dwords * 4).map_err(|_| Status::INVALID_FIELD)?;
        let offset_bytes = get.lpo.get();
        if get.ot & OFFSET_IS_INDEX != 0
            || !offset_bytes.is_multiple_of(4)
            || len_bytes > limits::TRANSFER_BYTES_MAX
        {
            return Err(Status::INVALID_FIELD);
        }
        data.check_to_host(len_bytes)?;
        Ok(Self {
            page: LogPageId(get.lid),
            nsid: get.nsid.get(),
            lsp: get.lsp & 0x7F,
            retain_event: get.lsp & RAE != 0,
            csi: get.csi,
            lsi: get.lsi.get(),
            offset_bytes,
            len_bytes,
        })
    }
}
