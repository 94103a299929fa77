//! The Telemetry logs (Base §5.1.12.1.8, §5.1.12.1.9): what the target was like when the host asked for a capture. The
//! controller makes none by itself, and its own log says so.

use zerocopy::{FromZeros, IntoBytes};

use crate::{
    limits::TELEMETRY_BYTES_MAX,
    wire::{
        log_page::{TELEMETRY_SCOPE_SUBSYSTEM, TelemetryHeader},
        opcode::LogPageId,
    },
};

const BLOCK_BYTES: usize = size_of::<TelemetryHeader>();

/// The newest capture of one controller; windows that are read later are all of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Telemetry {
    generation: u8,
    /// Whole blocks.
    data: Vec<u8>,
}

impl Telemetry {
    /// Keeps a new capture, filled up with zeros to whole blocks; what is beyond the limit is cut off.
    pub(super) fn capture(&mut self, content: &[u8]) {
        self.generation = self.generation.wrapping_add(1);
        self.data = content[..content.len().min(TELEMETRY_BYTES_MAX)].to_vec();
        self.data.resize(self.data.len().next_multiple_of(BLOCK_BYTES), 0);
    }

    /// Telemetry Host-Initiated: everything is in data area 1, which the others contain.
    pub(super) fn host_page(&self) -> Vec<u8> {
        let last_block = (self.data.len() / BLOCK_BYTES) as u16;
        let mut header = TelemetryHeader::new_zeroed();
        header.lid = LogPageId::TELEMETRY_HOST.0;
        header.area1_last_block = last_block.into();
        header.area2_last_block = last_block.into();
        header.area3_last_block = last_block.into();
        header.host_scope = TELEMETRY_SCOPE_SUBSYSTEM;
        header.host_generation = self.generation;
        [header.as_bytes(), &self.data].concat()
    }

    /// Telemetry Controller-Initiated: never any data.
    pub(super) fn controller_page(&self) -> Vec<u8> {
        let mut header = TelemetryHeader::new_zeroed();
        header.lid = LogPageId::TELEMETRY_CONTROLLER.0;
        header.as_bytes().to_vec()
    }
}

const _: () = assert!(TELEMETRY_BYTES_MAX / BLOCK_BYTES < u16::MAX as usize, "block numbers have 16 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_stays_until_the_next_and_is_counted() {
        let mut telemetry = Telemetry::default();
        let page = telemetry.host_page();
        assert_eq!((page.len(), page[0], page[8], page[381]), (512, 7, 0, 0));
        telemetry.capture(&[b'x'; 513]);
        let page = telemetry.host_page();
        assert_eq!((page.len(), page[8], page[10], page[12], page[381]), (512 * 3, 2, 2, 2, 1));
        assert_eq!((page[512], page[1024], page[1025]), (b'x', b'x', 0));
        telemetry.capture(&vec![b'y'; TELEMETRY_BYTES_MAX + 1]);
        let page = telemetry.host_page();
        assert_eq!((page.len(), page[381]), (512 + TELEMETRY_BYTES_MAX, 2));
        assert_eq!(telemetry.controller_page()[..16], [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
