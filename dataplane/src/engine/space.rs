//! Who may take how many extents (E13). Promises are counted here; which extents fulfil them is the free map's
//! business. What is counted here always exists, so a volume below its reserve never fails for space.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use super::{error::EngineError, format::EXTENT_BYTES, sync::lock};

/// The drive's side: extents promised, which are the larger of reserve and ownership of every layer, plus what
/// metadata took beyond its own share.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Grows with the drive. Changed only under the lock of `promised`.
    capacity_extents: AtomicU64,
    promised: Mutex<u64>,
}

/// A layer's side; only heads have a reserve. Changed only under the ledger's lock.
#[derive(Debug, Default)]
pub(super) struct Account {
    owned: AtomicU64,
    reserved: AtomicU64,
}

impl Account {
    pub(super) fn new(owned: u64, reserved: u64) -> Self {
        Self { owned: AtomicU64::new(owned), reserved: AtomicU64::new(reserved) }
    }

    /// Extents that the layer owns or is about to.
    pub(super) fn owned(&self) -> u64 {
        self.owned.load(Ordering::Relaxed)
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Before the ledger counts it in.
    pub(super) fn set_reserve(&self, extents: u64) {
        self.reserved.store(extents, Ordering::Relaxed);
    }

    fn promised(&self) -> u64 {
        self.owned().max(self.reserved())
    }
}

impl Ledger {
    pub(super) fn new(capacity_extents: u64) -> Self {
        Self { capacity_extents: AtomicU64::new(capacity_extents), promised: Mutex::new(0) }
    }

    fn capacity_extents(&self) -> u64 {
        self.capacity_extents.load(Ordering::Relaxed)
    }

    /// The drive has so many extents more.
    pub(super) fn grow(&self, extents: u64) {
        let _promised = lock(&self.promised);
        self.capacity_extents.fetch_add(extents, Ordering::Relaxed);
    }

    /// Whether so many extents beyond the capacity have been promised, too.
    pub(super) fn is_over_promised_by(&self, extents: u64) -> bool {
        *lock(&self.promised) >= self.capacity_extents() + extents
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_extents() * EXTENT_BYTES
    }

    pub(super) fn unreserved_bytes(&self) -> u64 {
        self.capacity_extents().saturating_sub(*lock(&self.promised)) * EXTENT_BYTES
    }

    /// Extents promised to layers, and to metadata beyond its share.
    pub(super) fn promised(&self) -> u64 {
        *lock(&self.promised)
    }

    /// Counts a layer in that recovery found, even if the drive is over-promised.
    pub(super) fn admit(&self, account: &Account) {
        *lock(&self.promised) += account.promised();
    }

    /// The layer will own one more extent.
    pub(super) fn charge(&self, account: &Account) -> Result<(), EngineError> {
        let mut promised = lock(&self.promised);
        if account.owned() >= account.reserved() {
            if *promised >= self.capacity_extents() {
                return Err(EngineError::CapacityExceeded);
            }
            *promised += 1;
        }
        account.owned.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The layer owns one extent less.
    pub(super) fn refund(&self, account: &Account) {
        let mut promised = lock(&self.promised);
        let owned = account.owned.fetch_sub(1, Ordering::Relaxed);
        if owned > account.reserved() {
            *promised -= 1;
        }
    }

    /// One extent changes its owner.
    pub(super) fn transfer(&self, from: &Account, to: &Account) {
        let mut promised = lock(&self.promised);
        let others = *promised - from.promised() - to.promised();
        from.owned.fetch_sub(1, Ordering::Relaxed);
        to.owned.fetch_add(1, Ordering::Relaxed);
        *promised = others + from.promised() + to.promised();
    }

    /// What more would be promised if new heads took over the reserves of these.
    pub(super) fn cost_of_new_heads<'a>(&self, heads: impl Iterator<Item = &'a Account>) -> u64 {
        let _promised = lock(&self.promised);
        heads.map(|head| head.owned().min(head.reserved())).sum()
    }

    /// Snapshots (E13): each new head takes over the reserve of the old one, which keeps what it owns. All or none;
    /// false if more would be promised than the `backed_extents` that exist underneath.
    pub(super) fn take_over(
        &self,
        heads: &[(&Account, &Account)],
        backed_extents: u64,
    ) -> Result<bool, EngineError> {
        let mut promised = lock(&self.promised);
        let more: u64 = heads.iter().map(|(old, _)| old.owned().min(old.reserved())).sum();
        if more > 0 && *promised + more > self.capacity_extents() {
            return Err(EngineError::NoFreeSpace {
                needed_bytes: more * EXTENT_BYTES,
                available_bytes: self.capacity_extents().saturating_sub(*promised) * EXTENT_BYTES,
            });
        }
        if more > 0 && *promised + more > backed_extents {
            return Ok(false);
        }
        for (old, new) in heads {
            new.reserved.store(old.reserved.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        *promised += more;
        Ok(true)
    }

    /// Changes a head's reserve.
    pub(super) fn reserve(&self, account: &Account, extents: u64) -> Result<(), EngineError> {
        let mut promised = lock(&self.promised);
        let others = *promised - account.promised();
        let wanted = account.owned().max(extents);
        if extents > account.reserved() && others + wanted > self.capacity_extents() {
            let available = self.capacity_extents().saturating_sub(*promised);
            return Err(EngineError::NoFreeSpace {
                needed_bytes: (wanted - account.promised()) * EXTENT_BYTES,
                available_bytes: available * EXTENT_BYTES,
            });
        }
        *promised = others + wanted;
        account.reserved.store(extents, Ordering::Relaxed);
        Ok(())
    }

    /// Metadata needs one extent more than its share; false if there is none.
    pub(super) fn charge_metadata(&self) -> bool {
        let mut promised = lock(&self.promised);
        let free = *promised < self.capacity_extents();
        *promised += u64::from(free);
        free
    }

    /// Counts in what metadata took beyond its share before.
    pub(super) fn admit_metadata(&self, extents: u64) {
        *lock(&self.promised) += extents;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept() {
        let ledger = Ledger::new(10);
        let (thick, thin) = (Account::default(), Account::default());
        ledger.reserve(&thick, 6).expect("six of ten");
        for _ in 0..4 {
            ledger.charge(&thin).expect("unreserved");
        }
        assert_eq!(ledger.charge(&thin), Err(EngineError::CapacityExceeded));
        for _ in 0..6 {
            ledger.charge(&thick).expect("reserved");
        }
        assert_eq!(ledger.charge(&thick), Err(EngineError::CapacityExceeded));
        ledger.refund(&thick);
        assert_eq!(ledger.charge(&thin), Err(EngineError::CapacityExceeded), "still the other's reserve");
        ledger.reserve(&thick, 0).expect("less is always possible");
        ledger.charge(&thin).expect("given up above");
        assert_eq!(
            ledger.reserve(&thick, 6),
            Err(EngineError::NoFreeSpace { needed_bytes: EXTENT_BYTES, available_bytes: 0 })
        );
    }

    #[test]
    fn a_snapshot_reserves_anew() {
        let ledger = Ledger::new(10);
        let (old, new) = (Account::default(), Account::default());
        ledger.reserve(&old, 6).expect("six of ten");
        for _ in 0..4 {
            ledger.charge(&old).expect("reserved");
        }
        assert_eq!(ledger.cost_of_new_heads([&old].into_iter()), 4);
        assert_eq!(ledger.take_over(&[(&old, &new)], 9), Ok(false), "one extent more than what exists");
        assert_eq!(ledger.take_over(&[(&old, &new)], 10), Ok(true));
        assert_eq!((old.reserved(), new.reserved(), ledger.promised()), (0, 6, 10));
        ledger.charge(&new).expect("reserved");
        let third = Account::default();
        assert_eq!(
            ledger.take_over(&[(&new, &third)], 99),
            Err(EngineError::NoFreeSpace { needed_bytes: EXTENT_BYTES, available_bytes: 0 })
        );
        // Merged back, it counts against the reserve again.
        ledger.transfer(&old, &new);
        assert_eq!((old.owned(), new.owned(), ledger.promised()), (3, 2, 9));
    }
}
