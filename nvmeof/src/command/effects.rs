//! Which commands there are and what they do: what is accepted and what the Commands Supported and Effects log says
//! come from these tables (Base §5.1.12.1.6). Fabrics commands stand outside: every queue has them.

use crate::wire::opcode::{AdminOpcode, NvmOpcode};

/// What a command may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changes {
    Nothing,
    /// Logical block content (LBCC).
    Blocks,
}

/// What a command acts on (Command Scope).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespace,
    Controller,
    Subsystem,
}

const ADMIN: [(AdminOpcode, Scope); 9] = [
    (AdminOpcode::GET_LOG_PAGE, Scope::Controller),
    (AdminOpcode::IDENTIFY, Scope::Controller),
    (AdminOpcode::ABORT, Scope::Controller),
    (AdminOpcode::SET_FEATURES, Scope::Controller),
    (AdminOpcode::GET_FEATURES, Scope::Controller),
    (AdminOpcode::ASYNC_EVENT_REQUEST, Scope::Controller),
    (AdminOpcode::KEEP_ALIVE, Scope::Controller),
    (AdminOpcode::CROSS_CONTROLLER_RESET, Scope::Subsystem),
    (AdminOpcode::GET_LBA_STATUS, Scope::Namespace),
];

/// With what they change, and whether dwords 10 and 11 are an LBA. All act on a namespace.
const NVM: [(NvmOpcode, Changes, bool); 13] = [
    (NvmOpcode::FLUSH, Changes::Nothing, false),
    (NvmOpcode::WRITE, Changes::Blocks, true),
    (NvmOpcode::READ, Changes::Nothing, true),
    (NvmOpcode::WRITE_UNCORRECTABLE, Changes::Blocks, true),
    (NvmOpcode::COMPARE, Changes::Nothing, true),
    (NvmOpcode::WRITE_ZEROES, Changes::Blocks, true),
    (NvmOpcode::DATASET_MANAGEMENT, Changes::Blocks, false),
    (NvmOpcode::VERIFY, Changes::Nothing, true),
    (NvmOpcode::RESERVATION_REGISTER, Changes::Nothing, false),
    (NvmOpcode::RESERVATION_REPORT, Changes::Nothing, false),
    (NvmOpcode::RESERVATION_ACQUIRE, Changes::Nothing, false),
    (NvmOpcode::RESERVATION_RELEASE, Changes::Nothing, false),
    (NvmOpcode::COPY, Changes::Blocks, true),
];

/// Whether an admin queue takes the command.
pub(super) fn has_admin(opcode: AdminOpcode) -> bool {
    opcode == AdminOpcode::FABRICS || ADMIN.iter().any(|&(known, _)| known == opcode)
}

/// Whether an I/O queue takes the command.
pub(super) fn has_nvm(opcode: NvmOpcode) -> bool {
    opcode == NvmOpcode::FABRICS || NVM.iter().any(|&(known, ..)| known == opcode)
}

/// Whether the command's dwords 10 and 11 are an LBA.
pub(crate) fn has_lba(opcode: NvmOpcode) -> bool {
    NVM.iter().any(|&(known, _, has_lba)| known == opcode && has_lba)
}

/// The log's dword of each admin command that there is.
pub(crate) fn admin() -> impl Iterator<Item = (AdminOpcode, u32)> {
    ADMIN.iter().map(|&(opcode, scope)| (opcode, dword(Changes::Nothing, scope)))
}

/// The log's dword of each I/O command that there is.
pub(crate) fn nvm() -> impl Iterator<Item = (NvmOpcode, u32)> {
    NVM.iter().map(|&(opcode, changes, _)| (opcode, dword(changes, Scope::Namespace)))
}

fn dword(changes: Changes, scope: Scope) -> u32 {
    const CSUPP: u32 = 1 << 0;
    const LBCC: u32 = 1 << 1;
    let changes = match changes {
        Changes::Nothing => 0,
        Changes::Blocks => LBCC,
    };
    let scope = match scope {
        Scope::Namespace => 1 << 20,
        Scope::Controller => 1 << 21,
        Scope::Subsystem => 1 << 25,
    };
    CSUPP | changes | scope
}
