//! Get Log Page (Base §5.1.12). A page is built whole, then cut to what was asked for: none is long.

use std::collections::BTreeSet;

use zerocopy::{FromZeros, IntoBytes, little_endian::U32};

use super::{
    ControllerKind, View, ana::AnaLog, description::SPARE_THRESHOLD_PERCENT, discovery, endurance,
    error_log::ErrorLog, feature_table, reservation_log::ReservationLog, telemetry::Telemetry,
};
use crate::{
    Status,
    command::{GetLogPage, effects},
    wire::{
        log_page::{ANA_RGO, CommandEffects, FirmwareSlots, Smart, TELEMETRY_CREATE},
        opcode::{CSI_NVM, LogPageId, NSID_ALL},
    },
};

/// NSIDs that fit the Changed Attached Namespace List.
const CHANGED_MAX: usize = 1024;

/// What a controller itself remembers for its log pages.
#[derive(Debug, Clone, Default)]
pub(super) struct Logs {
    pub(super) errors: ErrorLog,
    telemetry: Telemetry,
    /// NSIDs that came, went or changed since the list was read.
    changed: BTreeSet<u32>,
}

impl Logs {
    pub(super) fn namespace_changed(&mut self, nsid: u32) {
        self.changed.insert(nsid);
    }

    /// Appends the part of a page that `command` asks for; beyond its end come zeros.
    pub(super) fn read(
        &mut self,
        command: &GetLogPage,
        kind: ControllerKind,
        view: &View<'_>,
        (reservations, ana): (&ReservationLog, &AnaLog),
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        let page = match (command.page, kind) {
            (LogPageId::RESERVATION_NOTIFICATION, ControllerKind::Io) => reservations.page(),
            (LogPageId::TELEMETRY_HOST, ControllerKind::Io) => {
                if command.lsp & TELEMETRY_CREATE != 0 {
                    self.telemetry.capture(view.telemetry);
                }
                self.telemetry.host_page()
            }
            (LogPageId::ANA, ControllerKind::Io) => ana.page(command.lsp & ANA_RGO != 0),
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
                LogPageId::ERROR => Ok(self.errors.page()),
                _ => Err(Status::INVALID_LOG_PAGE),
            };
        }
        match command.page {
            LogPageId::SUPPORTED_LOG_PAGES => Ok(supported(&IO_PAGES)),
            LogPageId::ERROR => Ok(self.errors.page()),
            // The counters are the controller's: there is no page per namespace (LPA bit 0).
            LogPageId::SMART if matches!(command.nsid, 0 | NSID_ALL) => Ok(self.smart(view)),
            LogPageId::SMART => Err(Status::INVALID_FIELD),
            LogPageId::FIRMWARE_SLOT => Ok(firmware(view)),
            LogPageId::CHANGED_NAMESPACES => Ok(self.changed()),
            LogPageId::COMMAND_EFFECTS if command.csi == CSI_NVM => Ok(command_effects()),
            LogPageId::COMMAND_EFFECTS => Err(Status::INVALID_FIELD),
            LogPageId::TELEMETRY_CONTROLLER => Ok(self.telemetry.controller_page()),
            LogPageId::ENDURANCE_GROUP => endurance::log(command.lsi, &view.health),
            LogPageId::FEATURE_EFFECTS => Ok(feature_table::effects_log()),
            // No management interface commands: all zero says so.
            LogPageId::MI_COMMAND_EFFECTS => Ok(vec![0; 4096]),
            _ => Err(Status::INVALID_LOG_PAGE),
        }
    }

    fn smart(&self, view: &View<'_>) -> Vec<u8> {
        let health = &view.health;
        let number = |value: u64| u128::from(value).to_le_bytes();
        let units = |bytes: u64| number(bytes.div_ceil(512).div_ceil(1000));
        let mut page = Smart::new_zeroed();
        page.critical_warning = health.critical_warning();
        page.temperature = health.temperature_kelvins.into();
        page.available_spare = health.spare_percent.min(100);
        page.available_spare_threshold = SPARE_THRESHOLD_PERCENT;
        page.data_units_read = units(health.bytes_read);
        page.data_units_written = units(health.bytes_written);
        page.host_reads = number(health.host_reads);
        page.host_writes = number(health.host_writes);
        page.controller_busy_time = number(health.busy_minutes);
        page.power_cycles = number(health.power_cycles);
        page.power_on_hours = number(health.power_on_hours);
        page.unsafe_shutdowns = number(health.unsafe_shutdowns);
        page.media_errors = number(health.media_errors);
        page.error_log_entries = number(health.error_log_entries);
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
const IO_PAGES: [LogPageId; 13] = [
    LogPageId::SUPPORTED_LOG_PAGES,
    LogPageId::ERROR,
    LogPageId::SMART,
    LogPageId::FIRMWARE_SLOT,
    LogPageId::CHANGED_NAMESPACES,
    LogPageId::COMMAND_EFFECTS,
    LogPageId::TELEMETRY_HOST,
    LogPageId::TELEMETRY_CONTROLLER,
    LogPageId::ENDURANCE_GROUP,
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
    for (opcode, effects) in effects::admin() {
        page.admin[usize::from(opcode.0)] = effects.into();
    }
    for (opcode, effects) in effects::nvm() {
        page.io[usize::from(opcode.0)] = effects.into();
    }
    page.as_bytes().to_vec()
}
