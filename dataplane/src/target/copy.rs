//! Copy (NVM §3.3.2): source ranges of a volume, one after another, to one range of the same volume.

use nvmeof::{
    Status,
    command::{BlockRange, copy_ranges},
    limits::{COPY_BYTES_MAX, COPY_RANGE_BYTES_MAX, TRANSFER_BYTES_MAX},
};

use super::{
    counters::QueueCounters,
    io_command::{Direction, status_of},
    queue::Answer,
    read::read_piece,
};
use crate::{engine::EngineError, volume::Volume};

/// What the ranges come to, whether or not they can be copied.
pub(super) fn total_bytes(data: &[u8], block_bytes: u32) -> u64 {
    copy_ranges(data).map(|range| u64::from(range.blocks) * u64::from(block_bytes)).sum()
}

/// Copies, after all ranges were checked. A failure names the first range that was not copied.
pub(super) async fn copy(
    volume: &Volume,
    destination_lba: u64,
    data: &[u8],
    fua: bool,
    counters: &QueueCounters,
) -> Answer {
    if let Err((status, index)) = check(data, destination_lba, volume.size_bytes(), volume.block_bytes()) {
        return Answer { status, result: index, data: None };
    }
    let block_bytes = u64::from(volume.block_bytes());
    let mut to_bytes = destination_lba * block_bytes;
    for (index, range) in (0..).zip(copy_ranges(data)) {
        let (from_bytes, len_bytes) = (range.lba * block_bytes, u64::from(range.blocks) * block_bytes);
        if let Err((error, direction)) = copy_range(volume, from_bytes, to_bytes, len_bytes, fua).await {
            return Answer { result: index, ..status_of(Err(error), direction, counters) };
        }
        to_bytes += len_bytes;
    }
    Answer::status(Status::SUCCESS)
}

async fn copy_range(
    volume: &Volume,
    from_bytes: u64,
    to_bytes: u64,
    len_bytes: u64,
    fua: bool,
) -> Result<(), (EngineError, Direction)> {
    let mut done_bytes = 0;
    while done_bytes < len_bytes {
        let piece_bytes = (len_bytes - done_bytes).min(u64::from(TRANSFER_BYTES_MAX));
        let piece = read_piece(volume, from_bytes + done_bytes, piece_bytes as usize, false).await;
        let piece = piece.map_err(|error| (error, Direction::Read))?;
        let (_, written) = volume.write(to_bytes + done_bytes, piece, fua).await;
        written.map_err(|error| (error, Direction::Write))?;
        done_bytes += piece_bytes;
    }
    Ok(())
}

/// The status of the first range that makes the command impossible, and its index.
fn check(data: &[u8], destination_lba: u64, size_bytes: u64, block_bytes: u32) -> Result<(), (Status, u64)> {
    let blocks = size_bytes / u64::from(block_bytes);
    let mut destination = BlockRange { lba: destination_lba, blocks: 0 };
    for (index, range) in (0..).zip(copy_ranges(data)) {
        let refuse = |status: Status| (status, index);
        // Each range fits in 32 bits of bytes only after its limit was checked.
        destination.blocks += range.blocks;
        if range.blocks > COPY_RANGE_BYTES_MAX / block_bytes
            || destination.blocks > COPY_BYTES_MAX / block_bytes
        {
            return Err(refuse(Status::COMMAND_SIZE_LIMIT_EXCEEDED));
        }
        range.to_bytes(blocks, block_bytes).map_err(refuse)?;
        destination.to_bytes(blocks, block_bytes).map_err(refuse)?;
    }
    let overlaps = |range: BlockRange| {
        range.lba < destination.lba + u64::from(destination.blocks)
            && destination.lba < range.lba + u64::from(range.blocks)
    };
    match copy_ranges(data).position(overlaps) {
        Some(index) => Err((Status::OVERLAPPING_IO_RANGE, index as u64)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use nvmeof::host::sqe::copy_range;

    use super::*;

    /// First LBA and blocks.
    type Range = (u64, u32);
    type Refusal = (Status, u64);

    #[test]
    fn what_cannot_be_copied_names_the_range() {
        // Destination, ranges, and what is wrong with which of them; on 1 GiB of 4 KiB blocks.
        let end = 1 << 18;
        let limit = Status::COMMAND_SIZE_LIMIT_EXCEEDED;
        let table: [(u64, &[Range], Option<Refusal>); 11] = [
            (0, &[(1000, 1), (2000, 256)], None),
            (end - 2, &[(10, 1), (20, 1)], None),
            (0, &[(end - 1, 1)], None),
            (0, &[(10_000, 1), (20_000, 257)], Some((limit, 1))),
            (0, &[(10_000, 256); 8], None),
            (0, &[(10_000, 256); 9], Some((limit, 8))),
            (0, &[(10, 1), (end - 1, 2)], Some((Status::LBA_OUT_OF_RANGE, 1))),
            (0, &[(u64::MAX, 1)], Some((Status::LBA_OUT_OF_RANGE, 0))),
            (end - 2, &[(10, 1), (20, 2)], Some((Status::LBA_OUT_OF_RANGE, 1))),
            (u64::MAX, &[(10, 1)], Some((Status::LBA_OUT_OF_RANGE, 0))),
            (100, &[(10, 90), (100, 1), (120, 20)], Some((Status::OVERLAPPING_IO_RANGE, 1))),
        ];
        for (destination_lba, ranges, expected) in table {
            let data: Vec<u8> = ranges.iter().flat_map(|&(lba, blocks)| copy_range(lba, blocks)).collect();
            let refused = check(&data, destination_lba, 1 << 30, 4096).err();
            assert_eq!(refused, expected, "{ranges:?} to {destination_lba}");
        }
    }
}
