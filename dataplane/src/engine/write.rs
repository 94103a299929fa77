//! Writes. A piece of a command, at most one extent long, goes its own way:
//!
//! ```text
//! claim -> look up -> all blocks there? -> write in place -> answer
//!                  \-> extent (the entry's or a spare) -> write -> install -> note -> group written -> answer
//! ```

use std::sync::Arc;

use super::{
    allocate::Spare,
    claims::Claim,
    drive::{DriveShared, Fault},
    error::{Corruption, EngineError},
    format::BLOCK_BYTES,
    frames::EntryCell,
    journal::{Admission, Ticket},
    layer::Layer,
    map::{BlockState, Extent, Piece},
    paging::Purpose,
    read::{Missing, Source},
    sync::join4,
    volume::Volume,
};
use crate::rt::{self, Buf, Durability};

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
            return self.write_piece(piece, buf, durable).await;
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
        if part.is_empty() { (part, Ok(())) } else { self.write_piece(piece, part, durable).await }
    }

    async fn write_piece(&self, piece: Piece, buf: Buf, durable: bool) -> (Buf, Result<(), EngineError>) {
        let claim = self.claim(piece).await;
        self.write_claimed(piece, buf, durable, claim).await
    }

    /// Waits for what a write of that piece must hold.
    pub(super) async fn claim(&self, piece: Piece) -> Claim<'_> {
        self.volume.claims().take(piece.logical, self.claimed(piece)).await
    }

    /// Writes a piece whose claim is held, and lets go of it.
    pub(super) async fn write_claimed(
        &self,
        piece: Piece,
        mut buf: Buf,
        durable: bool,
        claim: Claim<'_>,
    ) -> (Buf, Result<(), EngineError>) {
        let mut held = Held::default();
        let ticket = loop {
            let step;
            (buf, step) = self.write_once(piece, buf, durable, &mut held).await;
            match step {
                Ok(Step::Overwritten) => break None,
                Ok(Step::Noted(ticket)) => break Some(ticket),
                Ok(Step::LostRace) => {}
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
        piece: Piece,
        buf: Buf,
        durable: bool,
        held: &mut Held<'a>,
    ) -> (Buf, Result<Step, EngineError>) {
        let drive = &*self.drive;
        let operation = drive.grace.enter();
        // Asked within the operation: the walk that empties a deleted volume waits for it, and must miss nothing.
        if let Err(error) = self.volume.check_here() {
            return (buf, Err(error));
        }
        let (head, cell) = match self.look_up(piece) {
            LookUp::Overwrite(address) => {
                let durability = if durable { Durability::Durable } else { Durability::Cached };
                let (buf, result) = drive.write_bytes(buf, address, durability).await;
                // The head is the same: a snapshot waits for this operation.
                self.volume.chain().head().note_written(piece.logical);
                return (buf, result.map(|()| Step::Overwritten));
            }
            LookUp::Blocked(need) => return (buf, Ok(Step::Blocked(need))),
            LookUp::Change(head, cell) => (head, cell),
        };
        held.admission = held.admission.take().or_else(|| drive.try_admit_write());
        if held.admission.is_none() {
            return (buf, Ok(Step::Blocked(Need::Room)));
        }
        let entry = cell.load();
        if drive.torn_safe && entry.extent().is_some() {
            let moved = self.relocate(piece, buf, &head, cell, held).await;
            head.note_written(piece.logical);
            return moved;
        }
        // One that was taken for a head that is frozen by now is of no use.
        let own = held.spare.as_ref().filter(|spare| spare.is_for(&head)).map(|spare| spare.extent);
        let Some(extent) = entry.extent().or(own) else {
            return (buf, Ok(Step::Blocked(Need::Extent)));
        };
        let (buf, written) = self.write_new(piece, buf, extent).await;
        match written {
            Ok(None) => {}
            Ok(Some(missing)) => return (buf, Ok(Step::Blocked(Need::OlderPage(missing)))),
            Err(error) => return (buf, Err(error)),
        }
        if !install(cell, piece, extent, entry.extent().is_none()) {
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

    /// What a write of this piece has to do, by the head's entry. Within an operation.
    fn look_up(&self, piece: Piece) -> LookUp<'_> {
        let chain = self.volume.chain();
        if chain.is_held() {
            return LookUp::Blocked(Need::Release);
        }
        let Some(cell) = self.drive.cell(chain.head(), piece.logical) else {
            return LookUp::Blocked(Need::Page);
        };
        let entry = cell.load();
        match entry.extent() {
            Some(extent) if entry.has_data(piece.mask()) && !self.drive.torn_safe => {
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

    /// Writes whole blocks to an extent, of which at least one is new there. Partly covered blocks are filled up
    /// with what they held. `Some`: an older layer's page is missing for that.
    async fn write_new(
        &self,
        piece: Piece,
        buf: Buf,
        extent: Extent,
    ) -> (Buf, Result<Option<Missing>, EngineError>) {
        let unit = BLOCK_BYTES as u32;
        if piece.is_aligned(unit) {
            let address = piece.address_bytes(extent);
            let (buf, result) = self.drive.disk.write(buf, address, Durability::Cached).await;
            return (buf, result.map(|()| None).map_err(EngineError::Disk));
        }
        let wide = piece.widened(unit);
        let mut filled = Buf::alloc(wide.len_bytes as usize).await;
        let skip = (piece.start_bytes - wide.start_bytes) as usize;
        let mut edges = [Some(piece.first_block()), Some(piece.last_block())];
        if edges[0] == edges[1] {
            edges[1] = None;
        }
        for block in edges.into_iter().flatten() {
            let old = match self.read_block(piece, block).await {
                Ok(Ok(old)) => old,
                Ok(Err(missing)) => return (buf, Ok(Some(missing))),
                Err(error) => return (buf, Err(error)),
            };
            let at = (block * unit - wide.start_bytes) as usize;
            filled[at..at + BLOCK_BYTES as usize].copy_from_slice(&old);
        }
        filled[skip..skip + buf.len()].copy_from_slice(&buf);
        let (_, result) = self.drive.disk.write(filled, wide.address_bytes(extent), Durability::Cached).await;
        (buf, result.map(|()| None).map_err(EngineError::Disk))
    }

    /// The present bytes of one block.
    async fn read_block(&self, piece: Piece, block: u32) -> Result<Result<Buf, Missing>, EngineError> {
        let source = self.drive.source(self.volume.chain().layers(), piece.logical, block);
        match source {
            Err(missing) => Ok(Err(missing)),
            Ok(Source::Zeros) => Ok(Ok(Buf::zeroed(BLOCK_BYTES as usize).await)),
            Ok(Source::Unreadable) => Err(Corruption::Unreadable.into()),
            Ok(Source::Drive(address)) => {
                let buf = Buf::alloc(BLOCK_BYTES as usize).await;
                let (buf, result) = self.drive.disk.read(buf, address).await;
                result?;
                Ok(Ok(buf))
            }
        }
    }
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
    /// Journal space.
    Room,
    Extent,
    /// An extent to move to.
    Replacement,
}

/// Puts written blocks into the entry. False if its extent is no longer the one that was written to.
fn install(cell: EntryCell<'_>, piece: Piece, extent: Extent, is_spare: bool) -> bool {
    let mut entry = cell.load();
    loop {
        let expected = if is_spare { None } else { Some(extent) };
        if entry.extent() != expected {
            return false;
        }
        let changed = entry.with_extent(Some(extent)).with(piece.mask(), BlockState::Data);
        match cell.change(entry, changed) {
            Ok(()) => return true,
            Err(now) => entry = now,
        }
    }
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
