//! Get Log Page (Base §5.1.12). A page is built whole, then cut to what was asked for: none is long.

use std::collections::{BTreeSet, VecDeque};

use zerocopy::{FromZeros, IntoBytes, little_endian::U32};

use super::{ControllerKind, View, discovery, feature_table, reservation_log::ReservationLog};
use crate::{
    Status,
    command::GetLogPage,
    limits,
    wire::{
        log_page::{
            ANA_RGO, AnaGroup, AnaHeader, CSUPP, CommandEffects, ErrorEntry, FirmwareSlots, LBCC, Smart,
            WARNING_READ_ONLY, WARNING_SPARE,
        },
        opcode::{AdminOpcode, CSI_NVM, LogPageId, NSID_ALL, NvmOpcode},
    },
};

/// Entries of the Error Information log (ELPE + 1).
pub(super) const ERROR_ENTRIES: usize = 64;
/// NSIDs that fit the Changed Attached Namespace List.
const CHANGED_MAX: usize = 1024;

/// What a controller itself remembers for its log pages.
#[derive(Debug, Clone, Default)]
pub(super) struct Logs {
    /// Newest first.
    errors: VecDeque<ErrorEntry>,
    error_count: u64,
    /// NSIDs that came, went or changed since the list was read.
    changed: BTreeSet<u32>,
}

/// A command that failed, for the Error Information log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRecord {
    pub sqid: u16,
    pub cid: u16,
    pub status: Status,
    pub opcode: u8,
    pub nsid: u32,
    /// First LBA, where the command had one.
    pub lba: u64,
}

impl Logs {
    pub(super) fn record_error(&mut self, record: &ErrorRecord) {
        const TRTYPE_TCP: u8 = 3;
        self.error_count += 1;
        let mut entry = ErrorEntry::new_zeroed();
        entry.error_count = self.error_count.into();
        entry.sqid = record.sqid.into();
        entry.cid = record.cid.into();
        entry.status = (record.status.0 << 1).into();
        entry.parameter_error_location = 0xFFFF.into();
        entry.lba = record.lba.into();
        entry.nsid = record.nsid.into();
        entry.trtype = TRTYPE_TCP;
        entry.opcode = record.opcode;
        self.errors.truncate(ERROR_ENTRIES - 1);
        self.errors.push_front(entry);
    }

    pub(super) fn namespace_changed(&mut self, nsid: u32) {
        self.changed.insert(nsid);
    }

    /// Appends the part of a page that `command` asks for; beyond its end come zeros.
    pub(super) fn read(
        &mut self,
        command: &GetLogPage,
        kind: ControllerKind,
        view: &View<'_>,
        reservations: &ReservationLog,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let page = match (command.page, kind) {
            (LogPageId::RESERVATION_NOTIFICATION, ControllerKind::Io) => reservations.page(),
            _ => self.build(command, kind, view)?,
        };
        let offset = usize::try_from(command.offset_bytes).map_err(|_| Status::INVALID_FIELD)?;
        if offset > page.len() {
            return Err(Status::INVALID_FIELD);
        }
        let len = command.len_bytes as usize;
        let start = out.len();
        out.extend(page[offset..].iter().take(len));
        out.resize(start + len, 0);
        if command.page == LogPageId::CHANGED_NAMESPACES && !command.retain_event {
            self.changed.clear();
        }
        Ok(())
    }

    fn build(&self, command: &GetLogPage, kind: ControllerKind, view: &View<'_>) -> Result<Vec<u8>, Status> {
        if kind == ControllerKind::Discovery {
            return match command.page {
                LogPageId::DISCOVERY => Ok(discovery::log(view)),
                LogPageId::SUPPORTED_LOG_PAGES => {
                    Ok(supported(&[LogPageId::SUPPORTED_LOG_PAGES, LogPageId::ERROR, LogPageId::DISCOVERY]))
                }
                LogPageId::ERROR => Ok(self.errors()),
                _ => Err(Status::INVALID_LOG_PAGE),
            };
        }
        match command.page {
            LogPageId::SUPPORTED_LOG_PAGES => Ok(supported(&IO_PAGES)),
            LogPageId::ERROR => Ok(self.errors()),
            // The counters are the controller's: there is no page per namespace (LPA bit 0).
            LogPageId::SMART if matches!(command.nsid, 0 | NSID_ALL) => Ok(self.smart(view)),
            LogPageId::SMART => Err(Status::INVALID_FIELD),
            LogPageId::FIRMWARE_SLOT => Ok(firmware(view)),
            LogPageId::CHANGED_NAMESPACES => Ok(self.changed()),
            LogPageId::COMMAND_EFFECTS if command.csi == CSI_NVM => Ok(command_effects()),
            LogPageId::COMMAND_EFFECTS => Err(Status::INVALID_FIELD),
            LogPageId::ANA => Ok(ana(command.lsp & ANA_RGO != 0, view)),
            LogPageId::FEATURE_EFFECTS => Ok(feature_table::effects_log()),
            // No management interface commands: all zero says so.
            LogPageId::MI_COMMAND_EFFECTS => Ok(vec![0; 4096]),
            _ => Err(Status::INVALID_LOG_PAGE),
        }
    }

    fn errors(&self) -> Vec<u8> {
        let mut page: Vec<u8> = self.errors.iter().flat_map(|entry| entry.as_bytes()).copied().collect();
        page.resize(ERROR_ENTRIES * size_of::<ErrorEntry>(), 0);
        page
    }

    fn smart(&self, view: &View<'_>) -> Vec<u8> {
        let health = &view.health;
        let number = |value: u64| u128::from(value).to_le_bytes();
        let units = |bytes: u64| number(bytes.div_ceil(512).div_ceil(1000));
        let mut page = Smart::new_zeroed();
        page.critical_warning =
            (u8::from(health.spare_low) * WARNING_SPARE) | (u8::from(health.read_only) * WARNING_READ_ONLY);
        page.temperature = health.temperature_kelvins.into();
        page.available_spare = health.spare_percent.min(100);
        page.available_spare_threshold = 10;
        page.data_units_read = units(health.bytes_read);
        page.data_units_written = units(health.bytes_written);
        page.host_reads = number(health.host_reads);
        page.host_writes = number(health.host_writes);
        page.controller_busy_time = number(health.busy_minutes);
        page.power_cycles = number(health.power_cycles);
        page.power_on_hours = number(health.power_on_hours);
        page.unsafe_shutdowns = number(health.unsafe_shutdowns);
        page.media_errors = number(health.media_errors);
        page.error_log_entries = number(self.error_count);
        page.as_bytes().to_vec()
    }

    fn changed(&self) -> Vec<u8> {
        let mut page = vec![0; CHANGED_MAX * 4];
        if self.changed.len() > CHANGED_MAX {
            page[..4].copy_from_slice(&[0xFF; 4]);
        } else {
            for (entry, &nsid) in page.chunks_exact_mut(4).zip(&self.changed) {
                entry.copy_from_slice(U32::new(nsid).as_bytes());
            }
        }
        page
    }
}

/// The log pages of an I/O controller.
const IO_PAGES: [LogPageId; 10] = [
    LogPageId::SUPPORTED_LOG_PAGES,
    LogPageId::ERROR,
    LogPageId::SMART,
    LogPageId::FIRMWARE_SLOT,
    LogPageId::CHANGED_NAMESPACES,
    LogPageId::COMMAND_EFFECTS,
    LogPageId::ANA,
    LogPageId::FEATURE_EFFECTS,
    LogPageId::MI_COMMAND_EFFECTS,
    LogPageId::RESERVATION_NOTIFICATION,
];

fn supported(pages: &[LogPageId]) -> Vec<u8> {
    /// LSUPP in each page's four bytes.
    const LSUPP: u8 = 1;
    let mut page = vec![0; 1024];
    for id in pages {
        page[usize::from(id.0) * 4] = LSUPP;
    }
    page
}

fn firmware(view: &View<'_>) -> Vec<u8> {
    let mut page = FirmwareSlots::new_zeroed();
    page.afi = 1;
    page.frs[0] = [b' '; 8];
    for (byte, character) in page.frs[0].iter_mut().zip(view.subsystem.firmware.bytes()) {
        *byte = character;
    }
    page.as_bytes().to_vec()
}

fn command_effects() -> Vec<u8> {
    let mut page = CommandEffects::new_zeroed();
    for opcode in [
        AdminOpcode::GET_LOG_PAGE,
        AdminOpcode::IDENTIFY,
        AdminOpcode::ABORT,
        AdminOpcode::SET_FEATURES,
        AdminOpcode::GET_FEATURES,
        AdminOpcode::ASYNC_EVENT_REQUEST,
        AdminOpcode::KEEP_ALIVE,
        AdminOpcode::CROSS_CONTROLLER_RESET,
    ] {
        page.admin[usize::from(opcode.0)] = CSUPP.into();
    }
    for opcode in [
        NvmOpcode::FLUSH,
        NvmOpcode::READ,
        NvmOpcode::COMPARE,
        NvmOpcode::VERIFY,
        NvmOpcode::RESERVATION_REGISTER,
        NvmOpcode::RESERVATION_REPORT,
        NvmOpcode::RESERVATION_ACQUIRE,
        NvmOpcode::RESERVATION_RELEASE,
    ] {
        page.io[usize::from(opcode.0)] = CSUPP.into();
    }
    for opcode in [NvmOpcode::WRITE, NvmOpcode::WRITE_ZEROES, NvmOpcode::DATASET_MANAGEMENT, NvmOpcode::COPY]
    {
        page.io[usize::from(opcode.0)] = (CSUPP | LBCC).into();
    }
    page.as_bytes().to_vec()
}

fn ana(groups_only: bool, view: &View<'_>) -> Vec<u8> {
    let header = AnaHeader {
        change_count: view.ana_changes.into(),
        groups: (view.namespaces.len() as u16).into(),
        reserved: [0; 6],
    };
    let mut page = header.as_bytes().to_vec();
    for namespace in view.namespaces {
        let group = AnaGroup {
            group_id: namespace.nsid.into(),
            namespaces: u32::from(!groups_only).into(),
            change_count: view.ana_changes.into(),
            state: namespace.ana_state.code(),
            reserved: [0; 15],
        };
        page.extend_from_slice(group.as_bytes());
        if !groups_only {
            page.extend_from_slice(U32::new(namespace.nsid).as_bytes());
        }
    }
    // nvme-cli reads, in pieces, as much as NANAGRPID and MNAN allow: that is the page, its end zeros.
    let per_namespace = size_of::<AnaGroup>() + size_of::<U32>();
    page.resize(size_of::<AnaHeader>() + limits::NAMESPACES_MAX as usize * per_namespace, 0);
    page
}
