//! The map's unit: what one layer knows about one logical extent, in 64 bits.

use super::format::{BLOCK_BYTES, BLOCKS_PER_EXTENT, ENTRIES_PER_PAGE, EXTENT_BYTES};

/// A physical 64 KiB extent, counted from the start of the drive. 0 is the first superblock's, so it means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Extent(pub(crate) u32);

impl Extent {
    pub(crate) fn offset_bytes(self) -> u64 {
        u64::from(self.0) * EXTENT_BYTES
    }

    /// Byte address of one of its blocks.
    pub(crate) fn block_bytes(self, block: u32) -> u64 {
        self.offset_bytes() + u64::from(block) * BLOCK_BYTES
    }
}

/// A 64 KiB extent of a volume's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogicalExtent(pub(crate) u32);

impl LogicalExtent {
    /// The leaf page that holds its entry.
    pub(crate) fn leaf(self) -> u32 {
        self.0 / ENTRIES_PER_PAGE as u32
    }

    /// Its place in that page.
    pub(crate) fn index(self) -> usize {
        self.0 as usize % ENTRIES_PER_PAGE
    }
}

/// What a layer knows about one 4 KiB block. The values are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockState {
    /// Nothing: an older layer answers, or it reads as zeros.
    Absent = 0,
    Data = 1,
    Zero = 2,
    /// Its place holds a side record: some of it is uncorrectable (E15).
    SideRecord = 3,
}

/// Some of the sixteen blocks of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMask(pub(crate) u16);

impl BlockMask {
    /// Blocks `first..=last`.
    pub(crate) fn span(first: u32, last: u32) -> Self {
        debug_assert!(first <= last && last < BLOCKS_PER_EXTENT);
        Self((u16::MAX >> (BLOCKS_PER_EXTENT - 1 - (last - first))) << first)
    }

    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u16::MAX);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Runs of neighbouring blocks: first and last.
    pub(crate) fn runs(self) -> impl Iterator<Item = (u32, u32)> {
        let mut rest = u32::from(self.0);
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let first = rest.trailing_zeros();
            let last = first + (rest >> first).trailing_ones() - 1;
            rest &= !(((1 << (last - first + 1)) - 1) << first);
            Some((first, last))
        })
    }

    /// The blocks whose two-bit state has its low bit set.
    fn gather(states: u32) -> Self {
        let mut bits = states & 0x5555_5555;
        bits = (bits | bits >> 1) & 0x3333_3333;
        bits = (bits | bits >> 2) & 0x0F0F_0F0F;
        bits = (bits | bits >> 4) & 0x00FF_00FF;
        Self((bits | bits >> 8) as u16)
    }

    /// The low bit of every chosen block's two-bit state.
    fn spread(self) -> u32 {
        let mut bits = u32::from(self.0);
        bits = (bits | bits << 8) & 0x00FF_00FF;
        bits = (bits | bits << 4) & 0x0F0F_0F0F;
        bits = (bits | bits << 2) & 0x3333_3333;
        (bits | bits << 1) & 0x5555_5555
    }
}

/// One map entry: the extent number in the low half, sixteen two-bit states in the high half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    pub(crate) const ABSENT: Self = Self(0);
    pub(crate) const ZERO: Self = Self(0xAAAA_AAAA_0000_0000);

    pub(crate) fn extent(self) -> Option<Extent> {
        let number = self.0 as u32;
        (number != 0).then_some(Extent(number))
    }

    pub(crate) fn state(self, block: u32) -> BlockState {
        match self.states() >> (2 * block) & 3 {
            0 => BlockState::Absent,
            1 => BlockState::Data,
            2 => BlockState::Zero,
            _ => BlockState::SideRecord,
        }
    }

    /// Whether all chosen blocks hold data here.
    pub(crate) fn has_data(self, mask: BlockMask) -> bool {
        let low = mask.spread();
        self.states() & (low * 3) == low
    }

    /// The blocks that it says something about.
    pub(crate) fn known(self) -> BlockMask {
        BlockMask::gather(self.states() | self.states() >> 1)
    }

    /// The blocks whose bytes, or side record, it has.
    pub(crate) fn stored(self) -> BlockMask {
        BlockMask::gather(self.states())
    }

    /// The blocks whose places hold side records.
    pub(crate) fn side_records(self) -> BlockMask {
        BlockMask::gather(self.states() & self.states() >> 1)
    }

    /// The same with the chosen blocks' states taken from another.
    pub(crate) fn with_states_of(self, other: Self, mask: BlockMask) -> Self {
        let chosen = mask.spread() * 3;
        let states = self.states() & !chosen | other.states() & chosen;
        Self((u64::from(states) << 32) | (self.0 & u64::from(u32::MAX)))
    }

    /// Whether any block of the extent still needs it.
    pub(crate) fn needs_extent(self) -> bool {
        self.states() & 0x5555_5555 != 0
    }

    pub(crate) fn with(self, mask: BlockMask, state: BlockState) -> Self {
        let low = mask.spread();
        let states = (self.states() & !(low * 3)) | (low * state as u32);
        Self((u64::from(states) << 32) | (self.0 & u64::from(u32::MAX)))
    }

    pub(crate) fn with_extent(self, extent: Option<Extent>) -> Self {
        Self((self.0 & !u64::from(u32::MAX)) | u64::from(extent.map_or(0, |e| e.0)))
    }

    fn states(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A part of a command that lies within one extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) logical: LogicalExtent,
    /// From the start of the extent.
    pub(crate) start_bytes: u32,
    pub(crate) len_bytes: u32,
}

impl Piece {
    /// The first piece of a range; never longer than an extent.
    pub(crate) fn first_of(offset_bytes: u64, len_bytes: u64) -> Self {
        let start_bytes = (offset_bytes % EXTENT_BYTES) as u32;
        let len_bytes = len_bytes.min(EXTENT_BYTES - u64::from(start_bytes)) as u32;
        Self { logical: LogicalExtent((offset_bytes / EXTENT_BYTES) as u32), start_bytes, len_bytes }
    }

    /// Where it begins in the volume.
    pub(crate) fn offset_bytes(self) -> u64 {
        u64::from(self.logical.0) * EXTENT_BYTES + u64::from(self.start_bytes)
    }

    pub(crate) fn first_block(self) -> u32 {
        self.start_bytes / BLOCK_BYTES as u32
    }

    pub(crate) fn last_block(self) -> u32 {
        (self.start_bytes + self.len_bytes - 1) / BLOCK_BYTES as u32
    }

    /// Every block it touches.
    pub(crate) fn mask(self) -> BlockMask {
        BlockMask::span(self.first_block(), self.last_block())
    }

    /// Whether it starts and ends at multiples of `unit_bytes`.
    pub(crate) fn is_aligned(self, unit_bytes: u32) -> bool {
        self.start_bytes.is_multiple_of(unit_bytes) && self.len_bytes.is_multiple_of(unit_bytes)
    }

    /// The smallest piece around it that starts and ends at multiples of `unit_bytes`.
    pub(crate) fn widened(self, unit_bytes: u32) -> Self {
        let start_bytes = self.start_bytes / unit_bytes * unit_bytes;
        let end_bytes = (self.start_bytes + self.len_bytes).next_multiple_of(unit_bytes);
        Self { start_bytes, len_bytes: end_bytes - start_bytes, ..self }
    }

    /// Where it lies on the drive if `extent` holds its logical extent.
    pub(crate) fn address_bytes(self, extent: Extent) -> u64 {
        extent.offset_bytes() + u64::from(self.start_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_change_alone() {
        for first in 0..16 {
            for last in first..16 {
                let mask = BlockMask::span(first, last);
                let entry = Entry::ZERO.with_extent(Some(Extent(77))).with(mask, BlockState::Data);
                for block in 0..16 {
                    let expected =
                        if (first..=last).contains(&block) { BlockState::Data } else { BlockState::Zero };
                    assert_eq!(entry.state(block), expected);
                }
                assert!(entry.has_data(mask));
                assert_eq!(entry.has_data(BlockMask::ALL), first == 0 && last == 15);
                assert_eq!(entry.extent(), Some(Extent(77)));
                assert!(!entry.with(mask, BlockState::Absent).needs_extent());
                assert_eq!((entry.stored(), entry.known()), (mask, BlockMask::ALL));
                assert_eq!(entry.with(mask, BlockState::Absent).known(), BlockMask::ALL.without(mask));
                assert_eq!(mask.runs().collect::<Vec<_>>(), [(first, last)]);
                assert_eq!(Entry::ABSENT.with_states_of(entry, mask).known(), mask);
                let marked = entry.with(mask, BlockState::SideRecord);
                assert_eq!((marked.side_records(), entry.side_records()), (mask, BlockMask::NONE));
                assert_eq!((marked.stored(), marked.has_data(mask)), (mask, false));
            }
        }
    }

    #[test]
    fn pieces_cover_a_range_once() {
        let (mut offset, end) = (61_952_u64, 300_000_u64);
        while offset < end {
            let piece = Piece::first_of(offset, end - offset);
            assert_eq!(u64::from(piece.logical.0) * EXTENT_BYTES + u64::from(piece.start_bytes), offset);
            assert!(u64::from(piece.start_bytes + piece.len_bytes) <= EXTENT_BYTES);
            offset += u64::from(piece.len_bytes);
        }
        assert_eq!(offset, end);
    }
}
