//! The Error Information log (Base §5.1.12.1.2).

use std::collections::VecDeque;

use zerocopy::{FromZeros, IntoBytes};

use crate::{
    Status,
    command::effects,
    wire::{
        log_page::{ErrorEntry, TRTYPE_TCP},
        opcode::NvmOpcode,
    },
};

/// Entries of the log (ELPE + 1).
pub(super) const ERROR_ENTRIES: usize = 64;

/// A command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRecord {
    /// The admin queue is 0.
    pub sqid: u16,
    pub cid: u16,
    pub status: Status,
    pub opcode: u8,
    pub nsid: u32,
    /// Dwords 10 and 11: the first LBA of commands that have one.
    pub lba: u64,
}

/// Of one controller.
#[derive(Debug, Clone, Default)]
pub(super) struct ErrorLog {
    /// Newest first.
    entries: VecDeque<ErrorEntry>,
    count: u64,
}

impl ErrorLog {
    pub(super) fn record(&mut self, record: &ErrorRecord) {
        self.count += 1;
        let mut entry = ErrorEntry::new_zeroed();
        entry.error_count = self.count.into();
        entry.sqid = record.sqid.into();
        entry.cid = record.cid.into();
        entry.status = (record.status.0 << 1).into();
        entry.parameter_error_location = record.parameter_error_location().into();
        if record.has_lba() {
            entry.lba = record.lba.into();
        }
        entry.nsid = record.nsid.into();
        entry.trtype = TRTYPE_TCP;
        entry.opcode = record.opcode;
        self.entries.truncate(ERROR_ENTRIES - 1);
        self.entries.push_front(entry);
    }

    pub(super) fn page(&self) -> Vec<u8> {
        let mut page: Vec<u8> = self.entries.iter().flat_map(|entry| entry.as_bytes()).copied().collect();
        page.resize(ERROR_ENTRIES * size_of::<ErrorEntry>(), 0);
        page
    }
}

impl ErrorRecord {
    fn has_lba(&self) -> bool {
        self.sqid != 0 && effects::has_lba(NvmOpcode(self.opcode))
    }

    /// The byte of the command in bits 7:0, the bit in it in 10:8, where the status leaves no doubt which field was
    /// wrong.
    fn parameter_error_location(&self) -> u16 {
        const UNKNOWN: u16 = 0xFFFF;
        const OPCODE: u16 = 0;
        const NSID: u16 = 4;
        const SGL_ADDRESS: u16 = 24;
        const SGL_LENGTH: u16 = 32;
        const SGL_IDENTIFIER: u16 = 39;
        const CDW10: u16 = 40;
        const SAVE: u16 = 43 | 7 << 8;
        match self.status {
            Status::INVALID_OPCODE => OPCODE,
            Status::INVALID_NAMESPACE_OR_FORMAT | Status::FEATURE_NOT_NAMESPACE_SPECIFIC => NSID,
            Status::SGL_OFFSET_INVALID => SGL_ADDRESS,
            Status::DATA_SGL_LENGTH_INVALID => SGL_LENGTH,
            Status::SGL_DESCRIPTOR_TYPE_INVALID => SGL_IDENTIFIER,
            Status::INVALID_LOG_PAGE | Status::FEATURE_NOT_CHANGEABLE => CDW10,
            Status::FEATURE_NOT_SAVEABLE => SAVE,
            // A Copy may mean one of its source ranges, which are data.
            Status::LBA_OUT_OF_RANGE if self.has_lba() && NvmOpcode(self.opcode) != NvmOpcode::COPY => CDW10,
            _ => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromBytes;

    use super::*;
    use crate::wire::opcode::AdminOpcode;

    fn record(sqid: u16, opcode: u8, status: Status) -> ErrorRecord {
        ErrorRecord { sqid, cid: 7, status, opcode, nsid: 1, lba: 99 }
    }

    fn newest(log: &ErrorLog) -> ErrorEntry {
        ErrorEntry::read_from_bytes(&log.page()[..size_of::<ErrorEntry>()]).unwrap()
    }

    #[test]
    fn the_newest_are_kept_newest_first() {
        let mut log = ErrorLog::default();
        for cid in 0..70 {
            log.record(&ErrorRecord { cid, ..record(1, 2, Status::LBA_OUT_OF_RANGE) });
        }
        let entry = newest(&log);
        assert_eq!((entry.error_count.get(), entry.cid.get(), entry.lba.get()), (70, 69, 99));
        let page = log.page();
        let oldest = ErrorEntry::read_from_bytes(&page[63 * 64..]).unwrap();
        assert_eq!(oldest.error_count.get(), 7);
    }

    #[test]
    fn entries_name_the_wrong_field_and_an_lba_only_where_there_is_one() {
        let (read, copy, dsm) = (NvmOpcode::READ.0, NvmOpcode::COPY.0, NvmOpcode::DATASET_MANAGEMENT.0);
        let get_log = AdminOpcode::GET_LOG_PAGE.0;
        let table = [
            (record(1, read, Status::LBA_OUT_OF_RANGE), 40, 99),
            (record(1, read, Status::INVALID_NAMESPACE_OR_FORMAT), 4, 99),
            (record(1, read, Status::DATA_SGL_LENGTH_INVALID), 32, 99),
            (record(1, read, Status::INVALID_FIELD), 0xFFFF, 99),
            (record(1, copy, Status::LBA_OUT_OF_RANGE), 0xFFFF, 99),
            (record(1, dsm, Status::LBA_OUT_OF_RANGE), 0xFFFF, 0),
            (record(1, 0xEE, Status::INVALID_OPCODE), 0, 0),
            (record(0, get_log, Status::INVALID_LOG_PAGE), 40, 0),
            (record(0, AdminOpcode::SET_FEATURES.0, Status::FEATURE_NOT_SAVEABLE), 43 | 7 << 8, 0),
        ];
        for (record, location, lba) in table {
            let mut log = ErrorLog::default();
            log.record(&record);
            let entry = newest(&log);
            let seen = (entry.parameter_error_location.get(), entry.lba.get());
            assert_eq!(seen, (location, lba), "{record:?}");
            assert_eq!((entry.opcode, entry.status.get()), (record.opcode, record.status.0 << 1));
        }
    }
}
