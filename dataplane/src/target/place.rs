//! Connections per core and per address, bounded: each takes a place on its core for as long as it lives.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::by_address::{AddressShare, ByAddress};
use crate::{limits, rt::CoreId};

/// The places of all cores.
#[derive(Debug)]
pub(super) struct Places {
    taken: Box<[Arc<AtomicUsize>]>,
    by_address: Arc<ByAddress>,
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) core: CoreId,
    taken: Arc<AtomicUsize>,
    _share: AddressShare,
}

impl Places {
    pub(super) fn new(cores: usize, per_address: usize) -> Self {
        // All addresses together are bounded by the cores' places.
        let by_address = ByAddress::new(usize::MAX, per_address);
        Self { taken: (0..cores).map(|_| Arc::default()).collect(), by_address }
    }

    /// Connections that have one, on all cores.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.iter().map(|taken| taken.load(Ordering::Relaxed)).sum()
    }

    /// A place for queue `qid` of controller `cntlid`: admin and I/O queues of all controllers are spread over the
    /// cores. `None` if the core has no free one, or the peer's address has all that it may.
    pub(super) fn take(&self, cntlid: u16, qid: u16, peer: IpAddr) -> Option<Place> {
        let share = self.by_address.take(peer)?;
        let index = (usize::from(cntlid) + usize::from(qid)) % self.taken.len();
        let taken = self.taken[index].clone();
        if taken.fetch_add(1, Ordering::Relaxed) >= limits::CONNECTIONS_PER_CORE {
            taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place { core: CoreId(index as u16), taken, _share: share })
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
        let places = Places::new(2, usize::MAX);
        let take = |cntlid, qid| places.take(cntlid, qid, IpAddr::from([198, 18, 0, 1]));
        let mut taken: Vec<_> = (0..limits::CONNECTIONS_PER_CORE).map(|_| take(1, 0).unwrap()).collect();
        assert!(taken.iter().all(|place| place.core == CoreId(1)));
        assert!(take(1, 0).is_none());
        assert!(take(1, 1).is_some_and(|place| place.core == CoreId(0)));
        taken.pop();
        assert!(take(3, 2).is_some());
    }
}
