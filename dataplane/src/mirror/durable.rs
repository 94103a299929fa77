//! A replica's durable fields, at the front of its volume: two slots, each a whole copy of the fields and the changes since.
//!
//! ```text
//! slot:  [copy of all fields | record of changes | record of changes | ... | free ]
//! ```
//! A record is a header and a body, padded to pages, written through to the drive (FUA). It counts if it is whole, of the
//! copy's generation, and next in number; so what a crash tore ends the list. When a slot is full the other one begins with
//! a copy of the next generation, while nothing is written to the old one: there is always one whole list.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use replication::{Change, Durable, Grain, NodeId, WorkId};
use serde::{Deserialize, Serialize};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{META_BYTES, encoding};
use crate::{
    engine::{Corruption, EngineError, crc32c},
    rt::Buf,
    volume::Volume,
};

const SLOT_BYTES: u64 = META_BYTES / 2;
const PAGE_BYTES: usize = 4096;
const MAGIC: u32 = 0x4C50_5242;
/// Changes of one record: what waited while the one before was written.
const CHANGES_MAX: usize = 64;

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Header {
    magic: U32,
    /// CRC-32C of the rest of the header and the body.
    crc: U32,
    /// Of the slot's copy: the greater of two slots counts.
    generation: U64,
    /// 0 is the copy.
    number: U32,
    body_bytes: U32,
}

/// The body of record 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Copy {
    incarnation: u64,
    fields: Durable,
}

/// The fields of an open replica, and what waits to be written. One task writes.
#[derive(Debug)]
pub(super) struct DurableLog {
    me: NodeId,
    grain: Grain,
    incarnation: u64,
    /// With all changes that were written.
    fields: RefCell<Durable>,
    place: Cell<Place>,
    waiting: RefCell<VecDeque<(WorkId, Change)>>,
    /// Somebody writes, until nothing waits any more.
    is_written: Cell<bool>,
}

/// Where the next record goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    generation: u64,
    number: u32,
    /// Within the slot.
    offset_bytes: u64,
}

impl Place {
    fn slot_bytes(&self) -> u64 {
        self.generation % 2 * SLOT_BYTES
    }
}

impl DurableLog {
    /// Gives a volume that was just made its first fields.
    pub(super) async fn format(volume: &Volume, fields: Durable) -> Result<(), EngineError> {
        write_copy(volume, 1, &Copy { incarnation: 0, fields }).await.map(drop)
    }

    /// Reads the fields; this start of the process is noted before anything else.
    pub(super) async fn open(volume: &Volume, me: NodeId, grain: Grain) -> Result<Self, EngineError> {
        let mut lists = Vec::new();
        for slot in 0..2 {
            lists.extend(read_slot(volume, slot, me, &grain).await?);
        }
        let newest = lists.into_iter().max_by_key(|(generation, _)| *generation);
        let (generation, copy) = newest.ok_or(Corruption::Replica)?;
        let copy = Copy { incarnation: copy.incarnation + 1, ..copy };
        let place = write_copy(volume, generation + 1, &copy).await?;
        Ok(Self {
            me,
            grain,
            incarnation: copy.incarnation,
            fields: RefCell::new(copy.fields),
            place: Cell::new(place),
            waiting: RefCell::default(),
            is_written: Cell::new(false),
        })
    }

    /// Greater at each start.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(super) fn fields(&self) -> Durable {
        self.fields.borrow().clone()
    }

    /// Where the next record goes, from the volume's beginning.
    #[cfg(test)]
    pub(super) fn end_bytes(&self) -> u64 {
        let place = self.place.get();
        place.slot_bytes() + place.offset_bytes
    }

    /// Puts a change behind those that wait; whether nobody writes now, so that the caller has to.
    pub(super) fn push(&self, id: WorkId, change: Change) -> bool {
        self.waiting.borrow_mut().push_back((id, change));
        !self.is_written.replace(true)
    }

    /// Writes some of what waits; what is durable now, in order. Empty: nothing waits any more, and the next to push writes.
    pub(super) async fn write_next(&self, volume: &Volume) -> Result<Vec<WorkId>, EngineError> {
        let (ids, changes): (Vec<_>, Vec<_>) =
            self.waiting.borrow().iter().take(CHANGES_MAX).cloned().unzip();
        if ids.is_empty() {
            self.is_written.set(false);
            return Ok(ids);
        }
        for change in &changes {
            self.fields.borrow_mut().apply(change, self.me, &self.grain);
        }
        let record = encoding::encode(&changes);
        let place = self.place.get();
        let next = if place.offset_bytes + padded(record.len()) > SLOT_BYTES {
            let copy = Copy { incarnation: self.incarnation, fields: self.fields() };
            write_copy(volume, place.generation + 1, &copy).await?
        } else {
            write_record(volume, place, &record).await?
        };
        self.place.set(next);
        self.waiting.borrow_mut().drain(..ids.len());
        Ok(ids)
    }
}

fn padded(body_bytes: usize) -> u64 {
    (size_of::<Header>() + body_bytes).next_multiple_of(PAGE_BYTES) as u64
}

async fn write_copy(volume: &Volume, generation: u64, copy: &Copy) -> Result<Place, EngineError> {
    write_record(volume, Place { generation, number: 0, offset_bytes: 0 }, &encoding::encode(copy)).await
}

/// The place behind it.
async fn write_record(volume: &Volume, place: Place, body: &[u8]) -> Result<Place, EngineError> {
    let len_bytes = padded(body.len());
    assert!(place.offset_bytes + len_bytes <= SLOT_BYTES, "sets of runs are bounded, and so is a copy");
    let mut header = Header {
        magic: MAGIC.into(),
        crc: 0.into(),
        generation: place.generation.into(),
        number: place.number.into(),
        body_bytes: u32::try_from(body.len()).expect("a slot is small").into(),
    };
    header.crc = crc_of(&header, body).into();
    let mut buf = Buf::zeroed(len_bytes as usize).await;
    buf[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    buf[size_of::<Header>()..][..body.len()].copy_from_slice(body);
    volume.write(place.slot_bytes() + place.offset_bytes, buf, true).await.1?;
    Ok(Place { number: place.number + 1, offset_bytes: place.offset_bytes + len_bytes, ..place })
}

/// The fields that a slot holds, with its generation; `None` if it holds none.
async fn read_slot(
    volume: &Volume,
    slot: u64,
    me: NodeId,
    grain: &Grain,
) -> Result<Option<(u64, Copy)>, EngineError> {
    let start = Place { generation: slot, number: 0, offset_bytes: 0 };
    let Some((generation, mut next, body)) = read_record(volume, start, None).await? else { return Ok(None) };
    let mut copy: Copy = parse(&body)?;
    while let Some((_, behind, body)) = read_record(volume, next, Some(generation)).await? {
        for change in parse::<Vec<Change>>(&body)? {
            copy.fields.apply(&change, me, grain);
        }
        next = behind;
    }
    Ok(Some((generation, copy)))
}

/// A whole record: its generation, the place behind it, and its body.
async fn read_record(
    volume: &Volume,
    place: Place,
    generation: Option<u64>,
) -> Result<Option<(u64, Place, Vec<u8>)>, EngineError> {
    if place.offset_bytes + PAGE_BYTES as u64 > SLOT_BYTES {
        return Ok(None);
    }
    let at_bytes = place.slot_bytes() + place.offset_bytes;
    let (page, read) = volume.read(at_bytes, Buf::alloc(PAGE_BYTES).await).await;
    read?;
    let (header, _) = Header::read_from_prefix(&page).expect("a page is larger");
    let found = header.generation.get();
    let body_bytes = header.body_bytes.get() as usize;
    let len_bytes = padded(body_bytes);
    if header.magic.get() != MAGIC
        || header.number.get() != place.number
        || generation.is_some_and(|generation| generation != found)
        || found % 2 != place.generation % 2
        || place.offset_bytes + len_bytes > SLOT_BYTES
    {
        return Ok(None);
    }
    let (bytes, read) = volume.read(at_bytes, Buf::alloc(len_bytes as usize).await).await;
    read?;
    let body = bytes[size_of::<Header>()..][..body_bytes].to_vec();
    if header.crc.get() != crc_of(&header, &body) {
        return Ok(None);
    }
    let next =
        Place { generation: found, number: place.number + 1, offset_bytes: place.offset_bytes + len_bytes };
    Ok(Some((found, next, body)))
}

fn crc_of(header: &Header, body: &[u8]) -> u32 {
    const COVERED: usize = std::mem::offset_of!(Header, generation);
    crc32c(&[&header.as_bytes()[COVERED..], body].concat())
}

/// The checksum was right, so this was written by another version.
fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, EngineError> {
    Ok(encoding::decode(body).map_err(|_| Corruption::Replica)?)
}
