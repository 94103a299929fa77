//! Reading the journal back: which groups count after a crash (E2, E4, E5).

use super::{
    Point,
    group::{self, GROUP_MAX_BYTES, ParsedGroup, Place},
};
use crate::{
    engine::{
        error::Corruption,
        format::{Geometry, LayerId},
    },
    rt::{Buf, Disk, DiskError},
};

/// The groups that count, in order.
#[derive(Debug)]
pub(in crate::engine) struct Scan {
    pub(in crate::engine) groups: Vec<ParsedGroup>,
    /// Where the next group goes.
    pub(in crate::engine) next: Point,
    /// Volumes that lost records below the mark.
    pub(in crate::engine) damaged: Vec<(LayerId, Corruption)>,
    /// Records below the mark are lost and nobody knows whose.
    pub(in crate::engine) broken: Option<Corruption>,
}

/// Follows the chain from `cut`. Up to the flush mark every group must be there; behind it groups count while they
/// are whole and of this boot: the process that wrote them died, the drive kept power.
pub(in crate::engine) async fn scan(
    disk: &Disk,
    geometry: &Geometry,
    drive: [u8; 16],
    cut: Point,
    marked: u64,
) -> Result<Scan, DiskError> {
    let boot = disk.boot_id();
    let mut reader = RingReader::new(disk, geometry, cut);
    let mut scan = Scan { groups: Vec::new(), next: cut, damaged: Vec::new(), broken: None };
    loop {
        let sequence = scan.next.sequence;
        let group = reader.group_at(drive, scan.next).await?;
        let Some(group) = group else {
            if sequence <= marked {
                scan.broken = Some(Corruption::Group(sequence));
            }
            return Ok(scan);
        };
        if sequence > marked && (!group.damaged.is_empty() || group.header.boot != boot) {
            return Ok(scan);
        }
        for &(layer, kind) in &group.damaged {
            match kind {
                Some(group::SectionKind::Map | group::SectionKind::Freed) => {
                    scan.damaged.push((layer, Corruption::Section { group: sequence, layer: layer.0 }));
                }
                _ => scan.broken = Some(Corruption::Group(sequence)),
            }
        }
        scan.next = Point {
            position_bytes: group.header.position_bytes.get() + group.length_bytes,
            sequence: sequence + 1,
            previous_crc: group.crc,
        };
        scan.groups.push(group);
    }
}

/// Reads the ring ahead in large steps.
struct RingReader<'a> {
    disk: &'a Disk,
    offset_bytes: u64,
    size_bytes: u64,
    /// The ring is full here.
    limit_bytes: u64,
    /// Ring offset of the window's start.
    window_at: u64,
    window: Option<Buf>,
}

const WINDOW_BYTES: u64 = 1 << 20;

impl<'a> RingReader<'a> {
    fn new(disk: &'a Disk, geometry: &Geometry, cut: Point) -> Self {
        Self {
            disk,
            offset_bytes: geometry.journal_offset_bytes(),
            size_bytes: geometry.journal_bytes(),
            limit_bytes: cut.position_bytes + geometry.journal_bytes(),
            window_at: 0,
            window: None,
        }
    }

    /// The group that belongs at `point`; or at the start of the ring, if it did not fit before its end.
    async fn group_at(&mut self, drive: [u8; 16], point: Point) -> Result<Option<ParsedGroup>, DiskError> {
        let position = point.position_bytes;
        let lap_start = position.next_multiple_of(self.size_bytes);
        for position_bytes in [position, lap_start] {
            if position_bytes >= self.limit_bytes {
                break;
            }
            let place =
                Place { drive, sequence: point.sequence, position_bytes, previous_crc: point.previous_crc };
            let bytes = self.bytes_at(position_bytes % self.size_bytes).await?;
            if let Some(group) = group::parse(bytes, place) {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// As many bytes from a ring offset on as a group can have, or up to the end of the ring.
    async fn bytes_at(&mut self, at: u64) -> Result<&[u8], DiskError> {
        let wanted = (GROUP_MAX_BYTES as u64).min(self.size_bytes - at);
        let loaded = self.window.as_ref().map_or(0, |window| window.len() as u64);
        if at < self.window_at || at + wanted > self.window_at + loaded {
            let len = WINDOW_BYTES.min(self.size_bytes - at);
            let (buf, result) = self.disk.read(Buf::alloc(len as usize).await, self.offset_bytes + at).await;
            result?;
            self.window = Some(buf);
            self.window_at = at;
        }
        let start = (at - self.window_at) as usize;
        let window = self.window.as_ref().expect("loaded above");
        Ok(&window[start..start + wanted as usize])
    }
}
