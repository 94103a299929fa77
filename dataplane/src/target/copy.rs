//! Copy (NVM §3.3.2): source ranges of namespaces, one after another, to one range of a namespace.
//!
//! Piece by piece through memory: a copy holds nothing of its sources while it writes, so no two wait for each other.

use std::sync::atomic::Ordering;

use nvmeof::{
    Status,
    command::{BlockRange, CopyFormat},
    limits::{COPY_BYTES_MAX, COPY_RANGE_BYTES_MAX, TRANSFER_BYTES_MAX},
    reservation::Access,
};

use super::{
    exports_view::ExportsView,
    io_command::{Caller, Direction, status_of},
    operation::blocks,
    queue::Answer,
    read::read_piece,
};
use crate::{engine::EngineError, volume::Volume};

/// Where the blocks go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination {
    /// Its index in the view.
    pub(super) namespace: usize,
    pub(super) lba: u64,
    pub(super) fua: bool,
}

/// A source range whose namespace is known.
#[derive(Debug)]
struct Source {
    /// Its index in the view.
    namespace: usize,
    /// Blocks of that namespace, and bytes of each.
    blocks: u64,
    block_bytes: u32,
    /// It has the blocks that are written to.
    is_destination: bool,
    range: BlockRange,
}

/// A status, and the first range that it is about.
type Refusal = (Status, u64);

/// What a copy takes from volumes, whether or not it can be made: all of it from its destination's, then of each range
/// from its source's, if that is another one. The index of the namespace, and bytes; `None`: that was all.
pub(super) fn charge(
    view: &ExportsView,
    destination: usize,
    format: CopyFormat,
    data: &[u8],
    index: usize,
) -> Option<(usize, u64)> {
    let block_bytes = view.namespaces()[destination].volume.block_bytes();
    let bytes = |range: BlockRange| u64::from(range.blocks) * u64::from(block_bytes);
    let Some(index) = index.checked_sub(1) else {
        return Some((destination, format.sources(data).map(|source| bytes(source.range)).sum()));
    };
    let mut foreign = format.sources(data).filter_map(|source| {
        let namespace = view.index_of(source.nsid?).ok()?;
        (namespace != destination).then(|| (namespace, bytes(source.range)))
    });
    foreign.nth(index)
}

/// Copies, after all ranges were checked. A failure names the first range that was not copied.
pub(super) async fn copy(
    view: &ExportsView,
    to: Destination,
    format: CopyFormat,
    data: &[u8],
    caller: &Caller<'_>,
) -> Answer {
    let across = caller.association.copies_across.load(Ordering::Relaxed);
    if format == CopyFormat::AcrossNamespaces && !across {
        return Answer::status(Status::INVALID_FIELD);
    }
    let refuse = |(status, index): Refusal| Answer { status, result: index, data: None };
    let sources = match sources(view, to, format, data, caller) {
        Ok(sources) => sources,
        Err(refusal) => return refuse(refusal),
    };
    let volume = &view.namespaces()[to.namespace].volume;
    let block_bytes = u64::from(volume.block_bytes());
    if let Err(refusal) = check(&sources, to.lba, blocks(volume), volume.block_bytes()) {
        return refuse(refusal);
    }
    let mut to_bytes = to.lba * block_bytes;
    for (index, source) in (0..).zip(&sources) {
        let from = &view.namespaces()[source.namespace].volume;
        let from_bytes = source.range.lba * block_bytes;
        let len_bytes = u64::from(source.range.blocks) * block_bytes;
        let copied = copy_range((from, from_bytes), (volume, to_bytes), len_bytes, to.fua).await;
        if let Err((error, direction)) = copied {
            return Answer { result: index, ..status_of(Err(error), direction, caller.counters) };
        }
        to_bytes += len_bytes;
    }
    Answer::status(Status::SUCCESS)
}

/// Finds the namespaces of all ranges, and asks their reservations.
fn sources(
    view: &ExportsView,
    to: Destination,
    format: CopyFormat,
    data: &[u8],
    caller: &Caller<'_>,
) -> Result<Vec<Source>, Refusal> {
    let namespaces = view.namespaces();
    let destination = namespaces[to.namespace].volume.uuid();
    let mut sources = Vec::new();
    for (index, source) in (0..).zip(format.sources(data)) {
        if source.fast_only {
            return Err((Status::FAST_COPY_NOT_POSSIBLE, index));
        }
        let namespace = match source.nsid {
            None => to.namespace,
            Some(nsid) => view.index_of(nsid).map_err(|status| (status, index))?,
        };
        let found = &namespaces[namespace];
        if let Some(status) = found.path.refusal() {
            return Err((status, index));
        }
        if !found.reservations.allows(caller.association.host.id, Access::Read) {
            return Err((Status::RESERVATION_CONFLICT, index));
        }
        sources.push(Source {
            namespace,
            blocks: blocks(&found.volume),
            block_bytes: found.volume.block_bytes(),
            is_destination: found.volume.uuid() == destination,
            range: source.range,
        });
    }
    Ok(sources)
}

/// From a volume and offset to another.
async fn copy_range(
    (from, from_bytes): (&Volume, u64),
    (to, to_bytes): (&Volume, u64),
    len_bytes: u64,
    fua: bool,
) -> Result<(), (EngineError, Direction)> {
    let mut done_bytes = 0;
    while done_bytes < len_bytes {
        let piece_bytes = (len_bytes - done_bytes).min(u64::from(TRANSFER_BYTES_MAX));
        let piece = read_piece(from, from_bytes + done_bytes, piece_bytes as usize, false).await;
        let piece = piece.map_err(|error| (error, Direction::Read))?;
        let (_, written) = to.write(to_bytes + done_bytes, piece, fua).await;
        written.map_err(|error| (error, Direction::Write))?;
        done_bytes += piece_bytes;
    }
    Ok(())
}

/// The status of the first range that makes the command impossible, and its index. `blocks` and `block_bytes` are the
/// destination's.
fn check(sources: &[Source], destination_lba: u64, blocks: u64, block_bytes: u32) -> Result<(), Refusal> {
    let mut destination = BlockRange { lba: destination_lba, blocks: 0 };
    for (index, source) in (0..).zip(sources) {
        let refuse = |status: Status| (status, index);
        if source.block_bytes != block_bytes {
            return Err(refuse(Status::INCOMPATIBLE_NAMESPACE_OR_FORMAT));
        }
        // Each range fits in 32 bits of bytes only after its limit was checked.
        destination.blocks += source.range.blocks;
        if source.range.blocks > COPY_RANGE_BYTES_MAX / block_bytes
            || destination.blocks > COPY_BYTES_MAX / block_bytes
        {
            return Err(refuse(Status::COMMAND_SIZE_LIMIT_EXCEEDED));
        }
        source.range.to_bytes(source.blocks, block_bytes).map_err(refuse)?;
        destination.to_bytes(blocks, block_bytes).map_err(refuse)?;
    }
    let overlaps = |source: &Source| {
        source.is_destination
            && source.range.lba < destination.lba + u64::from(destination.blocks)
            && destination.lba < source.range.lba + u64::from(source.range.blocks)
    };
    match sources.iter().position(overlaps) {
        Some(index) => Err((Status::OVERLAPPING_IO_RANGE, index as u64)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First LBA and blocks.
    type Range = (u64, u32);

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
            let source = |&(lba, blocks): &Range| Source {
                namespace: 0,
                blocks: end,
                block_bytes: 4096,
                is_destination: true,
                range: BlockRange { lba, blocks },
            };
            let sources: Vec<Source> = ranges.iter().map(source).collect();
            let refused = check(&sources, destination_lba, end, 4096).err();
            assert_eq!(refused, expected, "{ranges:?} to {destination_lba}");
        }
    }
}
