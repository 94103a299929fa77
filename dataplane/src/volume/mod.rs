//! Volumes as hosts see them: one or several parts, each an engine's volume on some drive, one after the other.
//!
//! `io` sends each operation to the part that holds its range. Which parts there are may change while hosts read and
//! write: every handle of a volume sees it with its next operation.

mod io;
mod spread;
mod whole;

use std::sync::{Arc, OnceLock};

use uuid::Uuid;

pub(crate) use self::{
    spread::{Room, share, spread},
    whole::Whole,
};
use crate::{engine, mirror::MirrorHandle, node::VolumeState};

/// An open volume. Cheap to clone; its operations run on whichever core calls them, and must be polled to their end
/// as the engine's must.
#[derive(Debug, Clone)]
pub struct Volume {
    /// As it was when this handle was made. A list and not a lock: who looks for the newest form pays one load.
    form: Arc<Form>,
    /// Set: operations go to its replica, and what it keeps for itself is not seen.
    mirror: Option<MirrorHandle>,
}

#[derive(Debug)]
struct Form {
    parts: Box<[Placed]>,
    next: OnceLock<Arc<Self>>,
}

#[derive(Debug, Clone)]
struct Placed {
    start_bytes: u64,
    part: engine::Volume,
}

impl From<engine::Volume> for Volume {
    fn from(whole: engine::Volume) -> Self {
        Self::of_parts(vec![whole])
    }
}

impl Volume {
    /// The parts in the order of what they hold. All but the last keep their size for good.
    pub(crate) fn of_parts(parts: Vec<engine::Volume>) -> Self {
        Self { form: Form::of(parts), mirror: None }
    }

    /// The same volume as hosts use it: through its replica.
    pub(crate) fn through(&self, mirror: MirrorHandle) -> Self {
        Self { form: self.form.clone(), mirror: Some(mirror) }
    }

    /// Whether other nodes hold replicas of it.
    pub fn is_mirrored(&self) -> bool {
        self.mirror.is_some()
    }

    /// Ascending.
    pub(crate) fn parts(&self) -> impl ExactSizeIterator<Item = &engine::Volume> {
        self.form().parts.iter().map(|placed| &placed.part)
    }

    /// Makes other parts count from the next operation on, in every handle. One change at a time.
    pub(crate) fn set_parts(&self, parts: Vec<engine::Volume>) {
        let next = Form::of(parts);
        let set = self.form().next.set(next);
        assert!(set.is_ok(), "parts change one at a time");
    }

    /// The newest form; it lives as long as this handle.
    fn form(&self) -> &Form {
        let mut form = &*self.form;
        while let Some(next) = form.next.get() {
            form = next;
        }
        form
    }

    fn first(&self) -> &engine::Volume {
        &self.form().parts[0].part
    }

    pub fn uuid(&self) -> Uuid {
        self.first().uuid()
    }

    /// 512 or 4096.
    pub fn block_bytes(&self) -> u32 {
        self.first().block_bytes()
    }

    /// May grow at any time, never shrinks.
    pub fn size_bytes(&self) -> u64 {
        match &self.mirror {
            Some(mirror) => mirror.usable_bytes(),
            None => self.form().size_bytes(),
        }
    }

    /// False for a read-only snapshot volume, whatever state it is in.
    pub fn is_writable(&self) -> bool {
        self.first().is_writable()
    }

    /// Space that is guaranteed to it.
    pub fn reserved_bytes(&self) -> u64 {
        self.parts().map(engine::Volume::reserved_bytes).sum()
    }

    /// Extents that its heads own, in bytes (E13). Exact when no write is under way.
    pub fn used_bytes(&self) -> u64 {
        self.parts().map(engine::Volume::used_bytes).sum()
    }

    /// That of the part which is worst off.
    pub fn state(&self) -> VolumeState {
        worst(self.parts().map(engine::Volume::state))
    }

    /// Whether a power cut never tears an aligned 4 KiB write (E8): then 512-byte volumes may promise it too.
    pub fn atomic_4k(&self) -> bool {
        self.parts().all(engine::Volume::atomic_4k)
    }

    /// Whether hosts must flush. Not with write-through (E2).
    pub fn has_volatile_cache(&self) -> bool {
        self.parts().any(engine::Volume::has_volatile_cache)
    }
}

impl Form {
    fn of(parts: Vec<engine::Volume>) -> Arc<Self> {
        assert!(!parts.is_empty(), "a volume has a part");
        let mut start_bytes = 0;
        let place = |part: engine::Volume| {
            let placed = Placed { start_bytes, part };
            start_bytes += placed.part.size_bytes();
            placed
        };
        Arc::new(Self { parts: parts.into_iter().map(place).collect(), next: OnceLock::new() })
    }

    fn size_bytes(&self) -> u64 {
        let last = &self.parts[self.parts.len() - 1];
        last.start_bytes + last.part.size_bytes()
    }
}

/// The state of a whole, from those of its parts.
pub(crate) fn worst(states: impl Iterator<Item = VolumeState>) -> VolumeState {
    let badness = |state: &VolumeState| match state {
        VolumeState::Online => 0,
        VolumeState::ReadOnly(_) => 1,
        VolumeState::Offline(_) => 2,
        VolumeState::Deleting => 3,
    };
    states.max_by_key(badness).unwrap_or(VolumeState::Online)
}
