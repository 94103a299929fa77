//! Submission queue entries as typed values.
//!
//! Parsing undoes zero's-based counts, refuses reserved or unsupported values with the status the specification
//! names, and keeps the logic above free of dwords.

mod admin;
mod authentication;
pub(crate) mod effects;
mod fabrics;
mod lba_status;
mod nvm;
mod replica;
mod reservation;
#[cfg(test)]
mod tests;

pub use admin::{AdminCommand, FeatureSelect, GetLogPage, Identify, Instance};
pub use authentication::AuthenticationCommand;
pub use fabrics::{Connect, FabricsCommand, PropertyWidth};
pub use lba_status::{GetLbaStatus, LbaStatusWanted};
pub use nvm::{BlockRange, CopyFormat, CopySource, NvmCommand, dsm_ranges};
pub use replica::{ReplicaBlocks, ReplicaCommand, ReplicaTag};
pub use reservation::ReservationRequest;

use crate::{
    Status, limits,
    wire::{
        Sqe,
        sqe::{FUSE_MASK, PSDT_MASK, PSDT_SGL, SGL_IN_CAPSULE, SGL_TRANSPORT},
    },
};

/// Where a command's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPointer {
    /// Behind the entry in the same capsule; bytes.
    InCapsule { offset: u32, len: u32 },
    /// Moved by H2CData or C2HData PDUs; bytes.
    Transport { len: u32 },
}

/// A command's part in a fused operation (Base §3.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fuse {
    Alone,
    First,
    Second,
}

impl Fuse {
    /// Reads and clears it: what is left of the entry is a command like any other.
    pub fn take(sqe: &mut Sqe) -> Result<Self, Status> {
        let fuse = match sqe.flags & FUSE_MASK {
            0b00 => Self::Alone,
            0b01 => Self::First,
            0b10 => Self::Second,
            _ => return Err(Status::INVALID_FIELD),
        };
        sqe.flags &= !FUSE_MASK;
        Ok(fuse)
    }
}

impl DataPointer {
    /// Reads the SGL descriptor; also refuses PRPs, which no Fabrics command may use, and fused commands: those that
    /// may be fused have lost the mark by then ([`Fuse::take`]).
    pub fn parse(sqe: &Sqe) -> Result<Self, Status> {
        if sqe.flags & PSDT_MASK != PSDT_SGL || sqe.flags & FUSE_MASK != 0 {
            return Err(Status::INVALID_FIELD);
        }
        let len = sqe.sgl.length.get();
        match sqe.sgl.sgl_id {
            SGL_TRANSPORT if len <= limits::TRANSFER_BYTES_MAX => Ok(Self::Transport { len }),
            SGL_TRANSPORT => Err(Status::INVALID_FIELD),
            SGL_IN_CAPSULE => {
                // ICDOFF is zero and so are the offsets that Linux uses; SGLS offers no others.
                let offset = u32::try_from(sqe.sgl.address.get()).map_err(|_| Status::SGL_OFFSET_INVALID)?;
                let end = offset.checked_add(len).ok_or(Status::SGL_OFFSET_INVALID)?;
                if end > limits::IN_CAPSULE_BYTES_MAX {
                    return Err(Status::SGL_OFFSET_INVALID);
                }
                Ok(Self::InCapsule { offset, len })
            }
            _ => Err(Status::SGL_DESCRIPTOR_TYPE_INVALID),
        }
    }

    /// Bytes of data, wherever they are.
    pub fn len_bytes(self) -> u32 {
        match self {
            Self::InCapsule { len, .. } | Self::Transport { len } => len,
        }
    }

    /// Data that goes to the host: `want` bytes exactly, and never by way of the command's own capsule.
    pub fn check_to_host(self, want: u32) -> Result<(), Status> {
        match self {
            Self::InCapsule { .. } => Err(Status::SGL_DESCRIPTOR_TYPE_INVALID),
            Self::Transport { len } if len == want => Ok(()),
            Self::Transport { .. } => Err(Status::DATA_SGL_LENGTH_INVALID),
        }
    }

    /// Data that comes from the host: `want` bytes exactly, and all of it within the capsule if any is.
    pub fn check_from_host(self, want: u32, in_capsule_len: u32) -> Result<(), Status> {
        if self.len_bytes() != want {
            return Err(Status::DATA_SGL_LENGTH_INVALID);
        }
        self.check_capsule(in_capsule_len)
    }

    /// Whether the capsule carries what the descriptor says is in it.
    pub fn check_capsule(self, in_capsule_len: u32) -> Result<(), Status> {
        match self {
            Self::InCapsule { offset, len }
                if u64::from(offset) + u64::from(len) > u64::from(in_capsule_len) =>
            {
                Err(Status::DATA_SGL_LENGTH_INVALID)
            }
            Self::InCapsule { offset, .. } if offset != 0 => Err(Status::SGL_OFFSET_INVALID),
            Self::InCapsule { .. } | Self::Transport { .. } => Ok(()),
        }
    }
}
