//! A layer's page tree in memory: index nodes, loaded when first needed and kept, and one slot per leaf page.
//!
//! A slot says where the leaf's entries are. Reads look at slots and frames without a lock; the pointers beside
//! them change only when a checkpoint publishes what it wrote.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use super::{
    format::{Child, FANOUT, LayerId, ROOT_CHILDREN},
    sync::lock,
};

/// One layer's map, or the free map's tree (which has no use for slots).
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) layer: LayerId,
    pub(super) roots: Mutex<Vec<Child>>,
    nodes: Box<[OnceLock<Box<Upper>>]>,
}

/// A level-two node: covers 2 TiB of a volume.
#[derive(Debug)]
pub(super) struct Upper {
    pub(super) children: Mutex<Box<[Child]>>,
    nodes: Box<[OnceLock<Box<Lower>>]>,
}

/// A level-one node: covers 8 GiB of a volume.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) children: Mutex<Box<[Child]>>,
    slots: Box<[AtomicU64]>,
}

/// Where the entries of a leaf page are.
///
/// ```text
/// Absent, Zero, OnDisk --> Loading --> Resident <--> Evicting --> Absent, Zero, OnDisk
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nowhere: all are absent.
    Absent,
    /// Nowhere: all are zero.
    Zero,
    OnDisk,
    /// Someone reads the page.
    Loading,
    /// In that frame.
    Resident(u32),
    /// Still in that frame, and valid; who wants to change an entry first makes it resident again.
    Evicting(u32),
}

impl Slot {
    fn pack(self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Zero => 1,
            Self::OnDisk => 2,
            Self::Loading => 3,
            Self::Resident(frame) => u64::from(frame) << 8 | 4,
            Self::Evicting(frame) => u64::from(frame) << 8 | 5,
        }
    }

    fn unpack(word: u64) -> Self {
        let frame = (word >> 8) as u32;
        match word & 0xFF {
            0 => Self::Absent,
            1 => Self::Zero,
            2 => Self::OnDisk,
            3 => Self::Loading,
            4 => Self::Resident(frame),
            5 => Self::Evicting(frame),
            _ => unreachable!("slots are packed by us"),
        }
    }

    /// Where a page rests that has no frame.
    pub(super) fn at_rest(child: Child) -> Self {
        match child {
            Child::None => Self::Absent,
            Child::AllZero => Self::Zero,
            Child::Page { .. } => Self::OnDisk,
        }
    }
}

/// Index of a level-one node within the layer, and of a level-two node.
pub(super) fn lower_of(leaf: u32) -> u32 {
    leaf / FANOUT as u32
}

pub(super) fn upper_of(lower: u32) -> u32 {
    lower / FANOUT as u32
}

impl Tree {
    pub(super) fn new(layer: LayerId, mut roots: Vec<Child>) -> Self {
        roots.resize(ROOT_CHILDREN, Child::None);
        Self { layer, roots: Mutex::new(roots), nodes: (0..ROOT_CHILDREN).map(|_| OnceLock::new()).collect() }
    }

    /// The slot of a leaf, if the nodes above it are loaded.
    pub(super) fn slot(&self, leaf: u32) -> Option<SlotRef<'_>> {
        let lower = self.lower(lower_of(leaf))?;
        Some(SlotRef { word: &lower.slots[leaf as usize % FANOUT] })
    }

    pub(super) fn lower(&self, lower: u32) -> Option<&Lower> {
        let upper = self.upper(upper_of(lower))?;
        Some(&**upper.nodes[lower as usize % FANOUT].get()?)
    }

    pub(super) fn upper(&self, upper: u32) -> Option<&Upper> {
        Some(&**self.nodes[upper as usize].get()?)
    }

    /// Puts a loaded node in place; the first one stays.
    pub(super) fn put_upper(&self, upper: u32, children: Box<[Child]>) {
        self.nodes[upper as usize].get_or_init(|| {
            Box::new(Upper {
                children: Mutex::new(children),
                nodes: (0..FANOUT).map(|_| OnceLock::new()).collect(),
            })
        });
    }

    /// Puts a loaded node in place; the first one stays. `slots` are where its leaves rest.
    ///
    /// # Panics
    /// If the node above is not loaded.
    pub(super) fn put_lower(&self, lower: u32, children: Box<[Child]>, slots: Vec<Slot>) {
        let upper = self.upper(upper_of(lower)).expect("nodes are loaded from the top");
        upper.nodes[lower as usize % FANOUT].get_or_init(|| {
            Box::new(Lower {
                children: Mutex::new(children),
                slots: slots.into_iter().map(|slot| AtomicU64::new(slot.pack())).collect(),
            })
        });
    }

    /// What the parent says about a page, if the parent is loaded.
    pub(super) fn child(&self, level: u8, number: u32) -> Option<Child> {
        if level == 2 {
            return Some(lock(&self.roots)[number as usize]);
        }
        Some(self.children_of(level + 1, number / FANOUT as u32)?[number as usize % FANOUT])
    }

    /// The children of an index page, if it is loaded.
    pub(super) fn children_of(&self, level: u8, number: u32) -> Option<Box<[Child]>> {
        let children = match level {
            1 => &self.lower(number)?.children,
            _ => &self.upper(number)?.children,
        };
        Some(lock(children).clone())
    }

    /// A checkpoint put a page in a new place.
    ///
    /// # Panics
    /// If the parent is not loaded.
    pub(super) fn set_child(&self, level: u8, number: u32, child: Child) {
        let within = number as usize % FANOUT;
        let parent = number / FANOUT as u32;
        match level {
            0 => lock(&self.lower(parent).expect("loaded for the change").children)[within] = child,
            1 => lock(&self.upper(parent).expect("loaded for the change").children)[within] = child,
            _ => lock(&self.roots)[number as usize] = child,
        }
    }

    /// Every page of the tree that loaded nodes and the root know of.
    pub(super) fn children(&self) -> Vec<Child> {
        let mut all = lock(&self.roots).clone();
        for upper in self.nodes.iter().filter_map(|node| node.get()) {
            all.extend_from_slice(&lock(&upper.children));
            for lower in upper.nodes.iter().filter_map(|node| node.get()) {
                all.extend_from_slice(&lock(&lower.children));
            }
        }
        all
    }

    /// What the parent says about a leaf, if the nodes above it are loaded.
    pub(super) fn leaf_child(&self, leaf: u32) -> Option<Child> {
        Some(lock(&self.lower(lower_of(leaf))?.children)[leaf as usize % FANOUT])
    }
}

/// A leaf's slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotRef<'a> {
    word: &'a AtomicU64,
}

impl SlotRef<'_> {
    pub(super) fn load(self) -> Slot {
        Slot::unpack(self.word.load(Ordering::Acquire))
    }

    /// Changes `from` into `to`; false if it was something else by then.
    pub(super) fn change(self, from: Slot, to: Slot) -> bool {
        let legal = matches!(
            (from, to),
            (Slot::Absent | Slot::Zero | Slot::OnDisk, Slot::Loading)
                | (Slot::Loading, Slot::Resident(_) | Slot::Absent | Slot::Zero | Slot::OnDisk)
                | (Slot::Resident(_), Slot::Evicting(_))
                | (Slot::Evicting(_), Slot::Resident(_) | Slot::Absent | Slot::Zero | Slot::OnDisk)
        );
        assert!(legal, "no way leads from {from:?} to {to:?}");
        self.word.compare_exchange(from.pack(), to.pack(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_pack() {
        for slot in [
            Slot::Absent,
            Slot::Zero,
            Slot::OnDisk,
            Slot::Loading,
            Slot::Resident(0),
            Slot::Resident(u32::MAX),
            Slot::Evicting(17),
        ] {
            assert_eq!(Slot::unpack(slot.pack()), slot);
        }
    }

    /// Every state by every state: exactly the ways of the diagram are open.
    #[test]
    fn slot_changes() {
        let states =
            [Slot::Absent, Slot::Zero, Slot::OnDisk, Slot::Loading, Slot::Resident(1), Slot::Evicting(1)];
        let rest = [Slot::Absent, Slot::Zero, Slot::OnDisk];
        for from in states {
            for to in states {
                let word = AtomicU64::new(from.pack());
                let outcome =
                    std::panic::catch_unwind(|| SlotRef { word: &word }.change(from, to)).unwrap_or(false);
                let expected = match from {
                    Slot::Absent | Slot::Zero | Slot::OnDisk => to == Slot::Loading,
                    Slot::Loading => matches!(to, Slot::Resident(_)) || rest.contains(&to),
                    Slot::Resident(_) => matches!(to, Slot::Evicting(_)),
                    Slot::Evicting(_) => matches!(to, Slot::Resident(_)) || rest.contains(&to),
                };
                assert_eq!(outcome, expected, "{from:?} -> {to:?}");
            }
        }
    }
}
