//! Get LBA Status (NVM §4.2.1): parsing, and the list that answers it.

use zerocopy::{FromZeros, IntoBytes, transmute};

use super::DataPointer;
use crate::{
    Status,
    wire::{
        Sqe,
        nvm::{
            CMPC_COMPLETE, CMPC_INCOMPLETE, GetLbaStatusSqe, LBARS_ALLOCATED, LBARS_UNRECOVERABLE,
            LbaStatusDescriptor, LbaStatusHeader,
        },
        opcode::LbaStatusAction,
    },
};

/// A Get LBA Status command. Its range is not yet checked against the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetLbaStatus {
    pub nsid: u32,
    pub lba: u64,
    /// `None`: up to the end of the namespace.
    pub blocks: Option<u16>,
    pub wanted: LbaStatusWanted,
    /// Of the answer.
    pub len_bytes: u32,
}

/// Which blocks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbaStatusWanted {
    Allocated,
    /// Those that cannot be read. All of them are tracked, so a scan for others finds no more.
    Unrecoverable,
}

impl GetLbaStatus {
    /// Parses an entry of the admin queue.
    pub(super) fn parse(sqe: &Sqe, data: DataPointer) -> Result<Self, Status> {
        let get: GetLbaStatusSqe = transmute!(*sqe);
        let wanted = match LbaStatusAction(get.atype) {
            LbaStatusAction::ALLOCATED => LbaStatusWanted::Allocated,
            LbaStatusAction::SCAN_UNRECOVERABLE | LbaStatusAction::TRACKED_UNRECOVERABLE => {
                LbaStatusWanted::Unrecoverable
            }
            _ => return Err(Status::INVALID_FIELD),
        };
        let len_bytes = data.len_bytes();
        // MNDW is a maximum: the answer is as long as the host has room for, if that is enough for its header.
        let most_bytes = (u64::from(get.mndw_z.get()) + 1) * 4;
        if (len_bytes as usize) < size_of::<LbaStatusHeader>() || u64::from(len_bytes) > most_bytes {
            return Err(Status::DATA_SGL_LENGTH_INVALID);
        }
        data.check_to_host(len_bytes)?;
        let blocks = (get.rl.get() > 0).then_some(get.rl.get());
        Ok(Self { nsid: get.nsid.get(), lba: get.slba.get(), blocks, wanted, len_bytes })
    }

    /// Descriptors that fit the answer.
    pub fn descriptors_max(&self) -> usize {
        (self.len_bytes as usize).saturating_sub(size_of::<LbaStatusHeader>())
            / size_of::<LbaStatusDescriptor>()
    }

    /// The answer: first LBA and number of blocks of each range, of which there are at most
    /// [`descriptors_max`](Self::descriptors_max), none empty or of more than 2^32 blocks.
    pub fn encode(&self, ranges: &[(u64, u64)], is_complete: bool) -> Vec<u8> {
        let mut header = LbaStatusHeader::new_zeroed();
        header.nlsd = (ranges.len() as u32).into();
        header.cmpc = if is_complete { CMPC_COMPLETE } else { CMPC_INCOMPLETE };
        let mut out = header.as_bytes().to_vec();
        for &(lba, blocks) in ranges {
            let mut descriptor = LbaStatusDescriptor::new_zeroed();
            descriptor.dslba = lba.into();
            descriptor.nlb_z = u32::try_from(blocks - 1).expect("no more than 2^32 blocks").into();
            descriptor.status = match self.wanted {
                LbaStatusWanted::Allocated => LBARS_ALLOCATED,
                LbaStatusWanted::Unrecoverable => LBARS_UNRECOVERABLE,
            };
            out.extend_from_slice(descriptor.as_bytes());
        }
        out.resize(self.len_bytes as usize, 0);
        out
    }
}
