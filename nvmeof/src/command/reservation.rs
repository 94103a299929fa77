//! Reservation commands (Base §7.2 to §7.5).

use zerocopy::{FromBytes, transmute};

use super::DataPointer;
use crate::{
    Status, limits,
    reservation::{AcquireAction, RegisterAction, ReleaseAction, ReservationCommand, ReservationType},
    wire::{
        Sqe,
        reservation::{EDS, IEKEY, ReservationKeys, ReservationReportSqe, ReservationSqe},
    },
};

/// A reservation command's entry; its keys are in its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationRequest {
    Register {
        action: RegisterAction,
        ignore_existing_key: bool,
        /// What CPTPL makes of Persist Through Power Loss.
        persistence: Option<bool>,
    },
    Acquire {
        action: AcquireAction,
        kind: ReservationType,
    },
    Release {
        action: ReleaseAction,
        /// Of no meaning to Clear.
        kind: Option<ReservationType>,
    },
}

impl ReservationRequest {
    pub(super) fn parse_register(sqe: &Sqe) -> Result<Self, Status> {
        let register: ReservationSqe = transmute!(*sqe);
        let action = match register.action & 0x7 {
            0 => RegisterAction::Register,
            1 => RegisterAction::Unregister,
            2 => RegisterAction::Replace,
            _ => return Err(Status::INVALID_FIELD),
        };
        let persistence = match register.cptpl >> 6 {
            0b00 => None,
            0b10 => Some(false),
            0b11 => Some(true),
            _ => return Err(Status::INVALID_FIELD),
        };
        Ok(Self::Register { action, ignore_existing_key: register.action & IEKEY != 0, persistence })
    }

    pub(super) fn parse_acquire(sqe: &Sqe) -> Result<Self, Status> {
        let acquire: ReservationSqe = transmute!(*sqe);
        let action = match checked_action(&acquire)? {
            0 => AcquireAction::Acquire,
            1 => AcquireAction::Preempt,
            2 => AcquireAction::PreemptAndAbort,
            _ => return Err(Status::INVALID_FIELD),
        };
        let kind = ReservationType::from_code(acquire.rtype).ok_or(Status::INVALID_FIELD)?;
        Ok(Self::Acquire { action, kind })
    }

    pub(super) fn parse_release(sqe: &Sqe) -> Result<Self, Status> {
        let release: ReservationSqe = transmute!(*sqe);
        let action = match checked_action(&release)? {
            0 => ReleaseAction::Release,
            1 => ReleaseAction::Clear,
            _ => return Err(Status::INVALID_FIELD),
        };
        Ok(Self::Release { action, kind: ReservationType::from_code(release.rtype) })
    }

    /// Bytes of data that belong to it.
    pub fn data_bytes(self) -> u32 {
        match self {
            Self::Register { .. } | Self::Acquire { .. } => size_of::<ReservationKeys>() as u32,
            Self::Release { .. } => size_of::<u64>() as u32,
        }
    }

    /// The whole command, with the keys from its data.
    ///
    /// # Errors
    /// If there is less data than [`data_bytes`](Self::data_bytes).
    pub fn with_data(self, data: &[u8]) -> Result<ReservationCommand, Status> {
        let keys = || ReservationKeys::read_from_prefix(data).map(|(keys, _)| keys);
        let too_short = |_| Status::DATA_SGL_LENGTH_INVALID;
        Ok(match self {
            Self::Register { action, ignore_existing_key, persistence } => {
                let keys = keys().map_err(too_short)?;
                ReservationCommand::Register {
                    action,
                    current_key: (!ignore_existing_key).then_some(keys.crkey.get()),
                    new_key: keys.other.get(),
                    persistence,
                }
            }
            Self::Acquire { action, kind } => {
                let keys = keys().map_err(too_short)?;
                let (current_key, preempted_key) = (keys.crkey.get(), keys.other.get());
                ReservationCommand::Acquire { action, kind, current_key, preempted_key }
            }
            Self::Release { action, kind } => {
                let key = data.first_chunk().ok_or(Status::DATA_SGL_LENGTH_INVALID)?;
                ReservationCommand::Release { action, kind, current_key: u64::from_le_bytes(*key) }
            }
        })
    }
}

/// The length of a report in bytes.
///
/// # Errors
/// Hosts of a fabric always have 128-bit identifiers, which only the extended data structure holds.
pub(super) fn parse_report(sqe: &Sqe, data: DataPointer) -> Result<u32, Status> {
    let report: ReservationReportSqe = transmute!(*sqe);
    if report.eds & EDS == 0 {
        return Err(Status::HOST_IDENTIFIER_INCONSISTENT_FORMAT);
    }
    let len_bytes = (u64::from(report.numd_z.get()) + 1) * 4;
    if len_bytes > u64::from(limits::TRANSFER_BYTES_MAX) {
        return Err(Status::INVALID_FIELD);
    }
    let len_bytes = len_bytes as u32;
    data.check_to_host(len_bytes)?;
    Ok(len_bytes)
}

/// RACQA or RRELA, of a command that may not ignore the existing key.
fn checked_action(sqe: &ReservationSqe) -> Result<u8, Status> {
    if sqe.action & IEKEY != 0 { Err(Status::INVALID_FIELD) } else { Ok(sqe.action & 0x7) }
}
