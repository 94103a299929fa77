//! Authentication Send and Receive, on every queue (Base §6.1, §6.2).

use zerocopy::transmute;

use super::DataPointer;
use crate::{
    Status,
    limits::AUTHENTICATION_BYTES_MAX,
    wire::{
        Sqe,
        authentication::{AuthenticationSqe, SECP_NVME, SPSP},
        opcode::{AdminOpcode, FabricsType},
    },
};

/// A command of in-band authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationCommand {
    /// A message from the host.
    Send(DataPointer),
    /// A message for the host, into so many bytes.
    Receive { room_bytes: u32 },
}

impl AuthenticationCommand {
    /// Whether the entry is such a command, right or wrong.
    pub fn is_one(sqe: &Sqe) -> bool {
        sqe.opcode == AdminOpcode::FABRICS.0
            && matches!(
                FabricsType(sqe.fctype()),
                FabricsType::AUTHENTICATION_SEND | FabricsType::AUTHENTICATION_RECEIVE
            )
    }

    /// Parses an entry that [is one](Self::is_one); `in_capsule_len` bytes of data came with it.
    pub fn parse(sqe: &Sqe, in_capsule_len: u32) -> Result<Self, Status> {
        let data = DataPointer::parse(sqe)?;
        let command: AuthenticationSqe = transmute!(*sqe);
        let len_bytes = command.length.get();
        let is_nvme = (command.secp, command.spsp0, command.spsp1) == (SECP_NVME, SPSP, SPSP);
        if !is_nvme || len_bytes == 0 || len_bytes > AUTHENTICATION_BYTES_MAX {
            return Err(Status::INVALID_FIELD);
        }
        if FabricsType(sqe.fctype()) == FabricsType::AUTHENTICATION_SEND {
            data.check_from_host(len_bytes, in_capsule_len)?;
            return Ok(Self::Send(data));
        }
        data.check_to_host(len_bytes)?;
        Ok(Self::Receive { room_bytes: len_bytes })
    }
}
