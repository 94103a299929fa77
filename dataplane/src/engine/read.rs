//! Reads: no lock, no claim, no message (design invariant 3).

use std::sync::Arc;

use super::{
    chain::Chain,
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::{BLOCK_BYTES, BLOCKS_PER_EXTENT},
    grace::Operation,
    layer::Layer,
    map::{BlockState, LogicalExtent},
    paging::Purpose,
    volume::Volume,
};
use crate::rt::Buf;

/// Where a block's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Zeros,
    /// Byte address of the block on the drive.
    Drive(u64),
    /// The same of one whose place holds a side record.
    Beside(u64),
    Unreadable,
}

impl Source {
    /// Whether `next` goes on where this block, `blocks` blocks later, ends.
    fn continues(self, next: Self, blocks: u64) -> bool {
        match (self, next) {
            (Self::Zeros, Self::Zeros) => true,
            (Self::Drive(start), Self::Drive(address)) => start + blocks * BLOCK_BYTES == address,
            _ => false,
        }
    }
}

/// A page that must be brought in before an answer is possible.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    pub(super) layer: Arc<Layer>,
    pub(super) logical: LogicalExtent,
}

impl Volume {
    /// Fills `buf`; both ends lie within the volume and on its blocks.
    pub(super) async fn read_range(
        &self,
        mut offset_bytes: u64,
        mut rest: Buf,
    ) -> (Buf, Result<(), EngineError>) {
        let mut done: Option<Buf> = None;
        loop {
            let run = match self.next_run(offset_bytes, rest.len()).await {
                Ok(run) => run,
                Err(error) => return (join(done, rest), Err(error)),
            };
            let len = run.len_bytes;
            let part = rest.split_to(len);
            let (part, result) = self.read_source(run.source, part).await;
            drop(run);
            done = Some(join(done, part));
            if result.is_err() || rest.is_empty() {
                return (join(done, rest), result);
            }
            offset_bytes += len as u64;
        }
    }

    /// The longest run at the start of a range that one drive read (or none) answers, with the operation that keeps
    /// it valid.
    pub(super) async fn next_run(&self, offset_bytes: u64, len_bytes: usize) -> Result<Run<'_>, EngineError> {
        loop {
            let operation = self.drive.grace.enter();
            // Asked within the operation: a deleted volume's layers are emptied only after it.
            self.volume.check_here()?;
            match self.find_run(offset_bytes, len_bytes as u64) {
                Ok((source, found_bytes)) => {
                    return Ok(Run { _operation: operation, source, len_bytes: found_bytes as usize });
                }
                Err(missing) => {
                    drop(operation);
                    self.bring_in(missing, Purpose::Read).await?;
                }
            }
        }
    }

    /// Source of the first byte, and how many bytes go on from there.
    pub(super) fn find_run(&self, offset_bytes: u64, len_bytes: u64) -> Result<(Source, u64), Missing> {
        let chain = self.volume.chain();
        let mut block = offset_bytes / BLOCK_BYTES;
        let within = offset_bytes % BLOCK_BYTES;
        let end = (offset_bytes + len_bytes).div_ceil(BLOCK_BYTES);
        let first = self.block_source(&chain, block)?;
        let mut blocks = 1;
        block += 1;
        // Behind the first block a missing page only ends the run.
        while block < end && self.block_source(&chain, block).is_ok_and(|next| first.continues(next, blocks))
        {
            blocks += 1;
            block += 1;
        }
        let source = match first {
            Source::Drive(address) => Source::Drive(address + within),
            Source::Beside(address) => Source::Beside(address + within),
            other => other,
        };
        Ok((source, (blocks * BLOCK_BYTES - within).min(len_bytes)))
    }

    fn block_source(&self, chain: &Chain, block: u64) -> Result<Source, Missing> {
        let logical = LogicalExtent((block / u64::from(BLOCKS_PER_EXTENT)) as u32);
        let index = (block % u64::from(BLOCKS_PER_EXTENT)) as u32;
        self.drive.source(chain.layers(), logical, index)
    }

    /// The caller looks again afterwards: the layer may have left the chain meanwhile.
    pub(super) async fn bring_in(&self, missing: Missing, purpose: Purpose) -> Result<(), EngineError> {
        match self.drive.page_in(&missing.layer, missing.logical.leaf(), purpose).await {
            Err(EngineError::Offline) => self.volume.check_here(),
            other => other,
        }
    }

    /// Fills `part` from one source. Within an operation.
    pub(super) async fn read_source(&self, source: Source, mut part: Buf) -> (Buf, Result<(), EngineError>) {
        match source {
            Source::Zeros => {
                part.fill(0);
                (part, Ok(()))
            }
            Source::Drive(address) => self.drive.read_bytes(part, address).await,
            Source::Beside(address) => self.drive.read_beside(part, address).await,
            Source::Unreadable => (part, Err(Corruption::Unreadable.into())),
        }
    }
}

/// One read's worth.
pub(super) struct Run<'a> {
    /// Held until the drive answered.
    _operation: Operation<'a>,
    pub(super) source: Source,
    pub(super) len_bytes: usize,
}

fn join(front: Option<Buf>, back: Buf) -> Buf {
    match front {
        Some(front) => Buf::unsplit(front, back),
        None => back,
    }
}

impl DriveShared {
    /// The newest layer that knows the block answers. Within an operation.
    pub(super) fn source(
        &self,
        layers: &[Arc<Layer>],
        logical: LogicalExtent,
        block: u32,
    ) -> Result<Source, Missing> {
        for (depth, layer) in layers.iter().enumerate() {
            // Below the first layer, several are as quick as one (E11).
            if depth == 1
                && layers.len() > 2
                && let Some(source) = self.resolved(layer, logical, block)
            {
                return Ok(source);
            }
            let missing = || Missing { layer: layer.clone(), logical };
            let entry = self.entry(layer, logical).ok_or_else(missing)?;
            match (entry.state(block), entry.extent()) {
                (BlockState::Absent, _) => {}
                (BlockState::Zero, _) => return Ok(Source::Zeros),
                (BlockState::Data, Some(extent)) => return Ok(Source::Drive(extent.block_bytes(block))),
                (BlockState::SideRecord, Some(extent)) => {
                    return Ok(Source::Beside(extent.block_bytes(block)));
                }
                (BlockState::Data | BlockState::SideRecord, None) => return Ok(Source::Unreadable),
            }
        }
        Ok(Source::Zeros)
    }

    /// Reads from any 512-byte multiple, whatever the drive's own unit is.
    pub(super) async fn read_bytes(&self, mut part: Buf, address: u64) -> (Buf, Result<(), EngineError>) {
        let unit = u64::from(self.disk.block_bytes());
        let len = part.len() as u64;
        if address.is_multiple_of(unit) && len.is_multiple_of(unit) {
            let (part, result) = self.disk.read(part, address).await;
            return (part, result.map_err(EngineError::Disk));
        }
        let start = address / unit * unit;
        let wide = Buf::alloc(((address + len).next_multiple_of(unit) - start) as usize).await;
        let (wide, result) = self.disk.read(wide, start).await;
        if result.is_ok() {
            let skip = (address - start) as usize;
            part.copy_from_slice(&wide[skip..skip + len as usize]);
        }
        (part, result.map_err(EngineError::Disk))
    }
}
