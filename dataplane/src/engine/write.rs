//! Writes. A piece of a command, at most one extent long, goes its own way:
//!
//! ```text
//! claim -> look up -> all blocks there? -> write in place -> answer
//!                  \-> extent (the entry's or a spare) -> write -> install -> note -> group written -> answer
//!                  \-> what the extent holds must not be overwritten? -> move it (`relocate`) -> note -> ...
//! ```

use std::sync::Arc;

use super::{
    allocate::Spare,
    claims::Claim,
    drive::{DriveShared, Fault},
    error::{Corruption, EngineError},
    format::{BLOCK_BYTES, BLOCKS_PER_EXTENT},
    frames::EntryCell,
    journal::{Admission, Ticket},
    layer::Layer,
    map::{BlockMask, BlockState, Entry, Extent, Piece},
    paging::Purpose,
    read::{Missing, Source},
    side_record::{self, Sectors},
    sync::join4,
    volume::Volume,
};
use crate::rt::{self, Buf, Durability};

/// What is to be done to a piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct PieceWrite {
    pub(super) piece: Piece,
    pub(super) kind: WriteKind,
    pub(super) durable: bool,
}

/// What the written sectors are afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteKind {
    Bytes,
    /// The bytes that come with it are zeros, which nobody reads.
    Uncorrectable,
}

impl Volume {
    /// Writes `buf`; both ends lie within the volume and on its blocks.
    pub(super) async fn write_range(
        &self,
        offset_bytes: u64,
        buf: Buf,
        durable: bool,
    ) -> (Buf, Result<(), EngineError>) {
        let piece = Piece::first_of(offset_bytes, buf.len() as u64);
        if piece.len_bytes as usize == buf.len() {
            return self.write_piece(PieceWrite { piece, kind: WriteKind::Bytes, durable }, buf).await;
        }
        self.write_pieces(offset_bytes, buf, durable).await
    }

    /// Four pieces at a time.
    async fn write_pieces(
        &self,
        mut offset_bytes: u64,
        mut rest: Buf,
        durable: bool,
    ) -> (Buf, Result<(), EngineError>) {
        let mut done: Option<Buf> = None;
        let mut outcome = Ok(());
        while !rest.is_empty() && outcome.is_ok() {
            let mut next = || {
                let piece = Piece::first_of(offset_bytes, rest.len() as u64);
                offset_bytes += u64::from(piece.len_bytes);
                let part = rest.split_to(piece.len_bytes as usize);
                self.write_part(piece, part, durable)
            };
            for (part, result) in join4([next(), next(), next(), next()]).await {
                done = Some(match done {
                    Some(done) => Buf::unsplit(done, part),
                    None => part,
                });
                outcome = outcome.and(result);
            }
        }
        let whole = match done {
            Some(done) => Buf::unsplit(done, rest),
            None => rest,
        };
        (whole, outcome)
    }

    async fn write_part(&self, piece: Piece, part: Buf, durable: bool) -> (Buf, Result<(), EngineError>) {
        if part.is_empty() {
            return (part, Ok(()));
        }
        self.write_piece(PieceWrite { piece, kind: WriteKind::Bytes, durable }, part).await
    }

    pub(super) async fn write_piece(&self, write: PieceWrite, buf: Buf) -> (Buf, Result<(), EngineError>) {
        let claim = self.volume.claims().take(write.piece.logical, self.claimed(write)).await;
        self.write_claimed(write, buf, claim).await
    }

    /// Writes a piece whose claim is held, and lets go of it. In between only if it has to claim the whole extent and
    /// does not yet.
    pub(super) async fn write_claimed<'a>(
        &'a self,
        write: PieceWrite,
        mut buf: Buf,
        mut claim: Claim<'a>,
    ) -> (Buf, Result<(), EngineError>) {
        let PieceWrite { piece, durable, .. } = write;
        let mut held = Held::default();
        let ticket = loop {
            let step;
            (buf, step) = self.write_once(write, buf, &claim, &mut held).await;
            match step {
                Ok(Step::Overwritten) => break None,
                Ok(Step::Noted(ticket)) => break Some(ticket),
                Ok(Step::LostRace) => {}
                Ok(Step::Blocked(Need::WholeClaim)) => {
                    // Nobody may wait for more while holding some.
                    drop(claim);
                    claim = self.volume.claims().take(piece.logical, BlockMask::ALL).await;
                }
                Ok(Step::Blocked(need)) => {
                    if let Err(error) = self.provide(piece, need, &mut held).await {
                        return (buf, Err(error));
                    }
                }
                Err(error) => return (buf, Err(error)),
            }
        };
        // The claim is kept until the record is on the drive: an overwrite of this block, answered sooner, would be
        // lost with the mapping if the process died.
        let result = match ticket {
            Some(_) if self.drive.fault == Some(Fault::EarlyAnswer) => Ok(()),
            Some(ticket) => self.drive.journal.written(ticket).await,
            None => Ok(()),
        };
        drop(claim);
        let result = match (result, ticket) {
            (Ok(()), Some(_)) if durable => self.drive.flush().await,
            (Ok(()), None) if durable => self.drive.settle().await,
            (result, _) => result,
        };
        (buf, result)
    }

    /// One attempt, as one operation. The claim is held.
    async fn write_once<'a>(
        &'a self,
        write: PieceWrite,
        buf: Buf,
        claim: &Claim<'_>,
        held: &mut Held<'a>,
    ) -> (Buf, Result<Step, EngineError>) {
        let drive = &*self.drive;
        let piece = write.piece;
        let operation = drive.grace.enter();
        // Asked within the operation: the walk that empties a deleted volume waits for it, and must miss nothing.
        if let Err(error) = self.volume.check_here() {
            return (buf, Err(error));
        }
        let (head, cell) = match self.look_up(write) {
            LookUp::Overwrite(address) => {
                let durability = if write.durable { Durability::Durable } else { Durability::Cached };
                let (buf, result) = drive.write_bytes(buf, address, durability).await;
                // The head is the same: a snapshot waits for this operation.
                self.volume.chain().head().note_written(piece.logical);
                return (buf, result.map(|()| Step::Overwritten));
            }
            LookUp::Blocked(need) => return (buf, Ok(Step::Blocked(need))),
            LookUp::Change(head, cell) => (head, cell),
        };
        let entry = cell.load();
        let moves = self.must_move(write, entry);
        if moves && !claim.is_whole() {
            return (buf, Ok(Step::Blocked(Need::WholeClaim)));
        }
        held.admission = held.admission.take().or_else(|| drive.try_admit_write());
        if held.admission.is_none() {
            return (buf, Ok(Step::Blocked(Need::Room)));
        }
        if moves {
            // Rare and large: unboxed, every write under way would carry it.
            let moved = Box::pin(self.relocate(write, buf, &head, cell, held)).await;
            head.note_written(piece.logical);
            return moved;
        }
        // One that was taken for a head that is frozen by now is of no use.
        let own = held.spare.as_ref().filter(|spare| spare.is_for(&head)).map(|spare| spare.extent);
        let Some(extent) = entry.extent().or(own) else {
            return (buf, Ok(Step::Blocked(Need::Extent)));
        };
        let (buf, written) = self.write_new(write, buf, extent).await;
        let side_records = match written {
            Ok(Ok(side_records)) => side_records,
            Ok(Err(missing)) => return (buf, Ok(Step::Blocked(Need::OlderPage(missing)))),
            Err(error) => return (buf, Err(error)),
        };
        if !install(cell, piece, side_records, extent, entry.extent().is_none()) {
            return (buf, Ok(Step::LostRace));
        }
        head.note_written(piece.logical);
        if entry.extent().is_none()
            && let Some(spare) = held.spare.take()
        {
            spare.keep();
        }
        let admission = held.admission.take().expect("got above");
        let ticket = drive.journal.note(&head, piece.logical, admission);
        drop(operation);
        (buf, Ok(Step::Noted(ticket)))
    }

    /// What a write has to do, by the head's entry. Within an operation.
    fn look_up(&self, write: PieceWrite) -> LookUp<'_> {
        let piece = write.piece;
        let in_place = write.kind == WriteKind::Bytes && !self.drive.torn_safe;
        let chain = self.volume.chain();
        if chain.is_held() {
            return LookUp::Blocked(Need::Release);
        }
        let Some(cell) = self.drive.cell(chain.head(), piece.logical) else {
            return LookUp::Blocked(Need::Page);
        };
        let entry = cell.load();
        match entry.extent() {
            Some(extent) if in_place && entry.has_data(piece.mask()) => {
                LookUp::Overwrite(piece.address_bytes(extent))
            }
            _ => LookUp::Change(chain.head().clone(), cell),
        }
    }

    /// Gets what an attempt lacked, outside any operation.
    async fn provide<'a>(&'a self, piece: Piece, need: Need, held: &mut Held<'a>) -> Result<(), EngineError> {
        match need {
            Need::Release => {
                self.volume.released().await;
                Ok(())
            }
            Need::Page => {
                let missing = Missing { layer: self.volume.head(), logical: piece.logical };
                self.bring_in(missing, Purpose::Change).await
            }
            Need::OlderPage(missing) => self.bring_in(missing, Purpose::Read).await,
            Need::WholeClaim => unreachable!("the writer claims it"),
            Need::Room => {
                held.admission = Some(self.drive.admit_write().await?);
                Ok(())
            }
            Need::Replacement => {
                held.replacement = Some(self.drive.take_replacement().await?);
                Ok(())
            }
            Need::Extent => {
                held.spare = Some(self.drive.take_extent(self.volume.head()).await?);
                Ok(())
            }
        }
    }

    /// Writes whole blocks to an extent, none over one that may be there when another is meant. Answers which of them
    /// are side records.
    async fn write_new(
        &self,
        write: PieceWrite,
        buf: Buf,
        extent: Extent,
    ) -> (Buf, Result<Result<BlockMask, Missing>, EngineError>) {
        if write.is_plain() {
            let address = write.piece.address_bytes(extent);
            let (buf, result) = self.drive.disk.write(buf, address, Durability::Cached).await;
            return (buf, result.map(|()| Ok(BlockMask::NONE)).map_err(EngineError::Disk));
        }
        let Blocks { whole, bytes, side_records } = match self.compose(write, &buf).await {
            Ok(Ok(blocks)) => blocks,
            Ok(Err(missing)) => return (buf, Ok(Err(missing))),
            Err(error) => return (buf, Err(error)),
        };
        let (_, result) = self.drive.disk.write(bytes, whole.address_bytes(extent), Durability::Cached).await;
        (buf, result.map(|()| Ok(side_records)).map_err(EngineError::Disk))
    }

    /// All blocks that a write touches as they will be: partly covered ones are filled up with what they held.
    pub(super) async fn compose(
        &self,
        write: PieceWrite,
        buf: &Buf,
    ) -> Result<Result<Blocks, Missing>, EngineError> {
        let (piece, unit) = (write.piece, BLOCK_BYTES as usize);
        let whole = piece.widened(unit as u32);
        let mut bytes = Buf::alloc(whole.len_bytes as usize).await;
        let mut uncorrectable = [Sectors::NONE; BLOCKS_PER_EXTENT as usize];
        let blocks = piece.first_block()..=piece.last_block();
        for (block, bytes) in blocks.clone().zip(bytes.chunks_exact_mut(unit)) {
            let covered = Sectors::covered_by(piece, block);
            let mut lost = Sectors::NONE;
            if covered != Sectors::ALL {
                let (old, old_lost) = match self.read_block(piece, block).await? {
                    Ok(old) => old,
                    Err(missing) => return Ok(Err(missing)),
                };
                bytes.copy_from_slice(&old);
                lost = old_lost;
            }
            uncorrectable[block as usize] = match write.kind {
                WriteKind::Bytes => lost.without(covered),
                WriteKind::Uncorrectable => lost.or(covered),
            };
        }
        let skip = (piece.start_bytes - whole.start_bytes) as usize;
        bytes[skip..skip + buf.len()].copy_from_slice(buf);
        let mut side_records = BlockMask::NONE;
        for (block, bytes) in blocks.zip(bytes.chunks_exact_mut(unit)) {
            let lost = uncorrectable[block as usize];
            if !lost.is_empty() {
                side_record::encode(bytes, lost);
                side_records = side_records.or(BlockMask::span(block, block));
            }
        }
        Ok(Ok(Blocks { whole, bytes, side_records }))
    }

    /// The present bytes of one block, and which of its sectors have none.
    async fn read_block(
        &self,
        piece: Piece,
        block: u32,
    ) -> Result<Result<(Buf, Sectors), Missing>, EngineError> {
        let source = self.drive.source(self.volume.chain().layers(), piece.logical, block);
        match source {
            Err(missing) => Ok(Err(missing)),
            Ok(Source::Zeros) => Ok(Ok((Buf::zeroed(BLOCK_BYTES as usize).await, Sectors::NONE))),
            Ok(Source::Unreadable) => Err(Corruption::Unreadable.into()),
            Ok(Source::Beside(address)) => self.drive.read_side_record(address).await.map(Ok),
            Ok(Source::Drive(address)) => {
                let buf = Buf::alloc(BLOCK_BYTES as usize).await;
                let (buf, result) = self.drive.disk.read(buf, address).await;
                result?;
                Ok(Ok((buf, Sectors::NONE)))
            }
        }
    }
}

impl PieceWrite {
    /// Whether its bytes go to the drive as they are.
    pub(super) fn is_plain(self) -> bool {
        self.kind == WriteKind::Bytes && self.piece.is_aligned(BLOCK_BYTES as u32)
    }
}

/// The blocks that a write touches, as they go to the drive.
pub(super) struct Blocks {
    pub(super) whole: Piece,
    pub(super) bytes: Buf,
    /// Those that are side records.
    pub(super) side_records: BlockMask,
}

/// What a writer got for its attempts; what it does not use goes back.
#[derive(Default)]
pub(super) struct Held<'a> {
    pub(super) spare: Option<Spare<'a>>,
    pub(super) replacement: Option<Spare<'a>>,
    pub(super) admission: Option<Admission<'a>>,
}

/// What the head's entry says.
enum LookUp<'a> {
    /// All blocks are there: a byte address.
    Overwrite(u64),
    /// The head and its entry's cell.
    Change(Arc<Layer>, EntryCell<'a>),
    Blocked(Need),
}

/// How an attempt ended.
pub(super) enum Step {
    Overwritten,
    /// Data written, entry changed; the record is on its way.
    Noted(Ticket),
    /// Another writer installed an extent first, or a trim took it away: write again.
    LostRace,
    Blocked(Need),
}

/// What an attempt lacks.
pub(super) enum Need {
    /// The end of a snapshot's hold.
    Release,
    /// The head's map page.
    Page,
    /// Another layer's.
    OlderPage(Missing),
    /// The claim of all blocks of the extent, to move it.
    WholeClaim,
    /// Journal space.
    Room,
    Extent,
    /// An extent to move to.
    Replacement,
}

/// Puts written blocks into the entry. False if its extent is no longer the one that was written to.
fn install(
    cell: EntryCell<'_>,
    piece: Piece,
    side_records: BlockMask,
    extent: Extent,
    is_spare: bool,
) -> bool {
    let mut entry = cell.load();
    loop {
        let expected = if is_spare { None } else { Some(extent) };
        if entry.extent() != expected {
            return false;
        }
        let changed = written(entry, piece, side_records, extent);
        match cell.change(entry, changed) {
            Ok(()) => return true,
            Err(now) => entry = now,
        }
    }
}

/// The entry after a write of that piece to that extent.
pub(super) fn written(entry: Entry, piece: Piece, side_records: BlockMask, extent: Extent) -> Entry {
    let entry = entry.with_extent(Some(extent)).with(piece.mask(), BlockState::Data);
    entry.with(side_records, BlockState::SideRecord)
}

/// First writes are slowed from here on, and wait from there on (E12): the rest of the journal belongs to trims,
/// deletes and checkpoints.
const SLOW_SIXTEENTHS: u64 = 10;
const STOP_SIXTEENTHS: u64 = 12;
/// A checkpoint is asked for from here on.
const CHECKPOINT_SIXTEENTHS: u64 = 8;
const SLOW_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

impl DriveShared {
    /// Leave for a first write; asks for a checkpoint in time.
    pub(super) fn try_admit_write(&self) -> Option<Admission<'_>> {
        if self.journal.fill_sixteenths() >= CHECKPOINT_SIXTEENTHS {
            self.checkpoints.nudge();
        }
        self.journal.try_admit(STOP_SIXTEENTHS)
    }

    async fn admit_write(&self) -> Result<Admission<'_>, EngineError> {
        if self.journal.fill_sixteenths() >= SLOW_SIXTEENTHS {
            rt::sleep(SLOW_PAUSE).await;
        }
        self.journal
            .admit(STOP_SIXTEENTHS, || {
                self.checkpoints.ask();
            })
            .await
    }

    /// Writes at any 512-byte multiple, whatever the drive's own unit is. The caller holds the claims of the blocks
    /// around.
    async fn write_bytes(
        &self,
        buf: Buf,
        address: u64,
        durability: Durability,
    ) -> (Buf, Result<(), EngineError>) {
        let unit = u64::from(self.disk.block_bytes());
        let len = buf.len() as u64;
        if address.is_multiple_of(unit) && len.is_multiple_of(unit) {
            let (buf, result) = self.disk.write(buf, address, durability).await;
            return (buf, result.map_err(EngineError::Disk));
        }
        let start = address / unit * unit;
        let wide = Buf::alloc(((address + len).next_multiple_of(unit) - start) as usize).await;
        let (mut wide, result) = self.disk.read(wide, start).await;
        if let Err(error) = result {
            return (buf, Err(error.into()));
        }
        let skip = (address - start) as usize;
        wide[skip..skip + buf.len()].copy_from_slice(&buf);
        let (_, result) = self.disk.write(wide, start, durability).await;
        (buf, result.map_err(EngineError::Disk))
    }
}
