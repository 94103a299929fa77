//! Connections per core, bounded: each takes a place on its core for as long as it lives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{limits, rt::CoreId};

/// The places of all cores.
#[derive(Debug)]
pub(super) struct Places(Box<[Arc<AtomicUsize>]>);

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) core: CoreId,
    taken: Arc<AtomicUsize>,
}

impl Places {
    pub(super) fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| Arc::default()).collect())
    }

    /// Connections that have one, on all cores.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.iter().map(|taken| taken.load(Ordering::Relaxed)).sum()
    }

    /// A place for queue `qid` of controller `cntlid`: admin and I/O queues of all controllers are spread over the
    /// cores. `None` if the core has no free one.
    pub(super) fn take(&self, cntlid: u16, qid: u16) -> Option<Place> {
        let index = (usize::from(cntlid) + usize::from(qid)) % self.0.len();
        let taken = self.0[index].clone();
        if taken.fetch_add(1, Ordering::Relaxed) >= limits::CONNECTIONS_PER_CORE {
            taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place { core: CoreId(index as u16), taken })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let mut taken: Vec<_> =
            (0..limits::CONNECTIONS_PER_CORE).map(|_| places.take(1, 0).unwrap()).collect();
        assert!(taken.iter().all(|place| place.core == CoreId(1)));
        assert!(places.take(1, 0).is_none());
        assert!(places.take(1, 1).is_some_and(|place| place.core == CoreId(0)));
        taken.pop();
        assert!(places.take(3, 2).is_some());
    }
}
