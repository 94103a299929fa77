//! From a logical extent to its entry: at once if the page is resident, else by reading the page (E10).

use std::sync::Arc;

use zerocopy::FromBytes;

use super::{
    drive::DriveShared,
    error::{Corruption, EngineError},
    format::{Child, ChildPointer, FANOUT, PAGE_BYTES, PageId, page_crc},
    frames::{EntryCell, Owner},
    layer::Layer,
    map::{Entry, LogicalExtent},
    sync::lock,
    tree::{Slot, SlotRef, Tree, lower_of, upper_of},
};
use crate::rt::Buf;

/// Why a page is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Pages that are all absent or all zero need no frame.
    Read,
    /// The page needs a frame, whatever it holds.
    Change,
    /// As `Change`, with the metadata pages kept for what gives space back.
    Merge,
    /// As `Change`, with the frames kept for checkpoints.
    Checkpoint,
}

impl DriveShared {
    /// The entry as it is now; `None` if its page must be brought in first. Within an operation.
    pub(super) fn entry(&self, layer: &Layer, logical: LogicalExtent) -> Option<Entry> {
        match layer.tree.slot(logical.leaf())?.load() {
            Slot::Absent => Some(Entry::ABSENT),
            Slot::Zero => Some(Entry::ZERO),
            Slot::OnDisk | Slot::Loading => None,
            Slot::Resident(frame) | Slot::Evicting(frame) => {
                Some(self.frames.entries(frame).get(logical.index()).load())
            }
        }
    }

    /// Whether every entry of a leaf is absent, by what is known without reading it.
    pub(super) fn is_absent(&self, layer: &Layer, leaf: u32) -> bool {
        layer.tree.slot(leaf).is_some_and(|slot| slot.load() == Slot::Absent)
    }

    /// The entry's cell, for a change; `None` if its page must be brought in first. Within an operation.
    pub(super) fn cell(&self, layer: &Layer, logical: LogicalExtent) -> Option<EntryCell<'_>> {
        let slot = layer.tree.slot(logical.leaf())?;
        loop {
            match slot.load() {
                Slot::Absent | Slot::Zero | Slot::OnDisk | Slot::Loading => return None,
                Slot::Resident(frame) => return Some(self.frames.entries(frame).get(logical.index())),
                // The evictor finds the page resident again and leaves it.
                Slot::Evicting(frame) => slot.change(Slot::Evicting(frame), Slot::Resident(frame)),
            };
        }
    }

    /// Brings in the page of a leaf. Never within an operation: it may wait for a frame. `Offline`: the layer is no
    /// more, and its pages may be others' by now.
    pub(super) async fn page_in(
        &self,
        layer: &Arc<Layer>,
        leaf: u32,
        purpose: Purpose,
    ) -> Result<(), EngineError> {
        match self.try_page_in(layer, leaf, purpose).await {
            Err(EngineError::Corruption(corruption)) => {
                if !lock(&self.layers).contains_key(&layer.id) {
                    return Err(EngineError::Offline);
                }
                self.damage(layer, corruption.clone());
                Err(corruption.into())
            }
            other => other,
        }
    }

    async fn try_page_in(&self, layer: &Arc<Layer>, leaf: u32, purpose: Purpose) -> Result<(), EngineError> {
        self.load_nodes(&layer.tree, leaf).await?;
        let slot = layer.tree.slot(leaf).expect("its nodes were loaded above");
        loop {
            match slot.load() {
                Slot::Resident(_) | Slot::Evicting(_) => return Ok(()),
                Slot::Absent | Slot::Zero if purpose == Purpose::Read => return Ok(()),
                Slot::Loading => {
                    self.paged.wait_until(|| (slot.load() != Slot::Loading).then_some(())).await;
                }
                rest @ (Slot::Absent | Slot::Zero | Slot::OnDisk) => {
                    if matches!(purpose, Purpose::Change | Purpose::Merge) {
                        layer.set_changed();
                        if rest != Slot::OnDisk {
                            self.metadata_charge(purpose == Purpose::Merge)?;
                        }
                    }
                    let frame = match purpose {
                        Purpose::Checkpoint => self.frames.take_reserved().await,
                        Purpose::Read | Purpose::Change | Purpose::Merge => self.frames.take().await,
                    };
                    if !slot.change(rest, Slot::Loading) {
                        self.frames.give_back(frame);
                        continue;
                    }
                    return self.fill(Loading { drive: self, slot, frame, rest }, layer, leaf).await;
                }
            }
        }
    }

    /// Reads the page into its frame and shows it to everybody.
    async fn fill(&self, loading: Loading<'_>, layer: &Arc<Layer>, leaf: u32) -> Result<(), EngineError> {
        let id = PageId { layer: layer.id, level: 0, number: leaf };
        let child = layer.tree.leaf_child(leaf).expect("its nodes are loaded");
        let entries = self.frames.entries(loading.frame);
        match child {
            Child::None => entries.fill(|_| Entry::ABSENT),
            Child::AllZero => entries.fill(|_| Entry::ZERO),
            Child::Page { .. } => {
                let page = self.read_page(id, child).await?;
                for word in page.chunks_exact(8) {
                    self.check_entry(layer, read_entry(word))?;
                }
                entries.fill(|index| read_entry(&page[index * 8..index * 8 + 8]));
            }
        }
        // What recovery found in the journal is newer than the page. The page is counted as dirty already.
        let news = lock(&self.overlay).remove(&(layer.id, leaf));
        for (index, entry) in news.into_iter().flatten() {
            entries.get(usize::from(index)).store_unshared(entry);
        }
        self.frames.set_owner(loading.frame, Owner::Page(layer.clone(), leaf));
        loading.publish();
        Ok(())
    }

    fn check_entry(&self, layer: &Layer, entry: Entry) -> Result<(), Corruption> {
        match entry.extent() {
            Some(extent) if !self.geometry().is_in_pool(extent.0) => {
                Err(Corruption::ExtentOutOfRange { layer: layer.id.0, extent: extent.0 })
            }
            _ => Ok(()),
        }
    }

    /// Loads the index nodes above a leaf.
    pub(super) async fn load_nodes(&self, tree: &Tree, leaf: u32) -> Result<(), EngineError> {
        let lower = lower_of(leaf);
        let upper = upper_of(lower);
        if tree.upper(upper).is_none() {
            let child = lock(&tree.roots)[upper as usize];
            let id = PageId { layer: tree.layer, level: 2, number: upper };
            match self.read_children(id, child).await {
                Ok(children) => tree.put_upper(upper, children),
                // Another loader was quicker, and a checkpoint may have moved the page since.
                Err(_) if tree.upper(upper).is_some() => {}
                Err(error) => {
                    self.damage_by(tree.layer, &error);
                    return Err(error);
                }
            }
        }
        if tree.lower(lower).is_none() {
            let node = tree.upper(upper).expect("loaded above");
            let child = lock(&node.children)[lower as usize % FANOUT];
            let id = PageId { layer: tree.layer, level: 1, number: lower };
            match self.read_children(id, child).await {
                Ok(children) => {
                    let slots = self.slots_at_start(tree, lower, &children);
                    tree.put_lower(lower, children, slots);
                }
                Err(_) if tree.lower(lower).is_some() => {}
                Err(error) => {
                    self.damage_by(tree.layer, &error);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Where the leaves rest when their node is loaded. One that recovery has news of must be looked at.
    fn slots_at_start(&self, tree: &Tree, lower: u32, children: &[Child]) -> Vec<Slot> {
        let overlay = lock(&self.overlay);
        let first = lower * FANOUT as u32;
        (first..)
            .zip(children)
            .map(
                |(leaf, child)| {
                    if overlay.contains_key(&(tree.layer, leaf)) {
                        Slot::OnDisk
                    } else {
                        Slot::at_rest(*child)
                    }
                },
            )
            .collect()
    }

    async fn read_children(&self, id: PageId, child: Child) -> Result<Box<[Child]>, EngineError> {
        match child {
            Child::None => Ok(vec![Child::None; FANOUT].into()),
            Child::AllZero => Err(corrupt(id)),
            Child::Page { .. } => {
                let page = self.read_page(id, child).await?;
                let pointers = <[ChildPointer]>::ref_from_bytes(&page).map_err(|_| corrupt(id))?;
                pointers.iter().map(|pointer| pointer.read().ok_or_else(|| corrupt(id))).collect()
            }
        }
    }

    /// Reads and checks a metadata page.
    pub(super) async fn read_page(&self, id: PageId, child: Child) -> Result<Buf, EngineError> {
        let Child::Page { address_bytes, crc, sequence } = child else {
            unreachable!("only pages are read");
        };
        if address_bytes + PAGE_BYTES as u64 > self.geometry().size_bytes {
            return Err(corrupt(id));
        }
        self.activity.page_read();
        let buf = Buf::alloc(PAGE_BYTES).await;
        let (buf, result) = self.disk.read(buf, address_bytes).await;
        result?;
        if page_crc(id, sequence, &buf) != crc { Err(corrupt(id)) } else { Ok(buf) }
    }
}

fn corrupt(id: PageId) -> EngineError {
    Corruption::Page { layer: id.layer.0, level: id.level, page: id.number }.into()
}

fn read_entry(word: &[u8]) -> Entry {
    Entry(u64::from_le_bytes(word.try_into().expect("entries have eight bytes")))
}

/// A slot in the state `Loading` and the frame that is being filled for it; goes back to rest on failure.
struct Loading<'a> {
    drive: &'a DriveShared,
    slot: SlotRef<'a>,
    frame: u32,
    rest: Slot,
}

impl Loading<'_> {
    fn publish(self) {
        let done = self.slot.change(Slot::Loading, Slot::Resident(self.frame));
        assert!(done, "one loader per page");
        let drive = self.drive;
        std::mem::forget(self);
        drive.paged.raise();
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let done = self.slot.change(Slot::Loading, self.rest);
        assert!(done, "one loader per page");
        self.drive.frames.give_back(self.frame);
        self.drive.paged.raise();
    }
}
