//! How much each address has of what all of them share, so that one cannot take it all.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Shares of one thing: so many in all, and so many of one address.
#[derive(Debug)]
pub(super) struct ByAddress {
    in_all_max: usize,
    per_address_max: usize,
    /// Locked when connections come and go. Only addresses that have a share stand here.
    taken: Mutex<BTreeMap<IpAddr, usize>>,
}

/// One share, given back when dropped.
#[derive(Debug)]
pub(super) struct AddressShare {
    of: Arc<ByAddress>,
    owner: IpAddr,
}

impl ByAddress {
    pub(super) fn new(in_all_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { in_all_max, per_address_max, taken: Mutex::default() })
    }

    /// A share for a peer, `None` if its address or all together have as many as they may.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<AddressShare> {
        let owner = owner(peer);
        let mut taken = self.taken();
        let own = taken.get(&owner).copied().unwrap_or_default();
        if own >= self.per_address_max || taken.values().sum::<usize>() >= self.in_all_max {
            return None;
        }
        taken.insert(owner, own + 1);
        Some(AddressShare { of: self.clone(), owner })
    }

    /// Shares of all addresses.
    #[cfg(test)]
    pub(super) fn in_all(&self) -> usize {
        self.taken().values().sum()
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AddressShare {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        let own = taken.get(&self.owner).copied().unwrap_or_default();
        if own > 1 {
            taken.insert(self.owner, own - 1);
        } else {
            taken.remove(&self.owner);
        }
    }
}

/// Who counts as one: an IPv4 address, whichever way it came in, and a /64 network of IPv6, of which a machine can take
/// any address.
pub(super) fn owner(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_its_part_and_leaves_the_others() {
        let shares = ByAddress::new(5, 2);
        let take = |peer: &str| shares.take(peer.parse().unwrap());
        let mut held = vec![take("198.18.0.1"), take("::ffff:198.18.0.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("198.18.0.1").is_none(), "one address, whichever way it came in");
        held.extend([take("2001:db8::1"), take("2001:db8::2")]);
        assert!(take("2001:db8:0:0:ffff::3").is_none(), "one network");
        held.push(take("2001:db8:0:1::1"));
        assert!(held.iter().all(Option::is_some));
        assert!(take("198.18.0.2").is_none(), "all are taken");
        held.remove(0);
        held.push(take("198.18.0.2"));
        assert!(held.iter().all(Option::is_some));
        drop(held);
        assert!(shares.taken().is_empty(), "no address is remembered for nothing");
    }
}
