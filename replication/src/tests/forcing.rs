//! An operator's word that others are off for good.

use std::collections::BTreeSet;

use super::{Bench, EXTENTS, GRANT, ME, PEER, leadership, led_by_other, named, obey};
use crate::{Boot, CannotForce, Durable, Event, LinkState, Membership, NodeId, Phase, Stored, TakenOutFor};

const THIRD: NodeId = NodeId(2);

fn dead(nodes: &[NodeId]) -> BTreeSet<NodeId> {
    nodes.iter().copied().collect()
}

/// A follower that has lost power, and knows that the store says so.
fn follower(membership: &Membership, durable: Durable) -> Bench {
    let mut bench = Bench::new(durable, 2);
    bench.on(Event::Learned(membership.clone()));
    bench
}

#[test]
fn a_copy_that_lost_power_leads_without_the_dead() {
    let membership = led_by_other();
    let mut bench = follower(&membership, Durable::new(membership.clone(), Boot(1), EXTENTS));
    bench.on(Event::Force { dead: dead(&[PEER]) });
    let target = bench.store[0].clone();
    assert_eq!((target.primary, target.epoch, &target.in_sync), (ME, membership.epoch.next(), &dead(&[ME])));
    bench.stored(Stored::Ok);
    assert!(!bench.replica.is_serving(), "it may have granted the dead to read just before it stopped");
    bench.pass(GRANT * 2);
    assert!(bench.replica.is_serving());
    assert!(bench.replica.status().intact);
}

#[test]
fn a_primary_that_waits_for_the_dead_stops_waiting() {
    let mut bench = named(false, None);
    assert_eq!(leadership(&bench).phase, Phase::Fencing);
    bench.on(Event::Force { dead: dead(&[PEER]) });
    bench.stored(Stored::Ok);
    assert!(bench.replica.is_serving());
    let peer = leadership(&bench).peers[&PEER].clone();
    assert_eq!(peer.taken_out.unwrap().because, TakenOutFor::Force);
    assert_eq!((peer.state, peer.missing_extents), (LinkState::Down, 2));
    assert!(bench.store.is_empty(), "once");
}

#[test]
fn only_those_named_are_left_out() {
    let membership = Membership::first(PEER, [PEER, ME, THIRD]);
    let mut bench = follower(&membership, Durable::new(membership.clone(), Boot(1), EXTENTS));
    bench.on(Event::Force { dead: dead(&[PEER]) });
    assert_eq!(bench.store[0].in_sync, dead(&[ME, THIRD]));
    bench.stored(Stored::Ok);
    bench.pass(GRANT * 2);
    // The third was a member when both lost power: it must obey.
    assert!(!bench.replica.is_serving());
    bench.on(Event::PeerUp(THIRD));
    obey(&mut bench);
    assert!(!bench.replica.is_serving());
}

#[test]
fn a_wrong_word_changes_nothing_and_says_why() {
    let ours = led_by_other();
    let alone = Membership::first(PEER, [PEER]);
    let complete = Durable::new(ours.clone(), Boot(1), EXTENTS);
    let table = [
        (&ours, Durable::blank(ours.clone(), EXTENTS), dead(&[PEER]), CannotForce::Incomplete),
        (&alone, complete.clone(), dead(&[PEER]), CannotForce::NotInSync),
        (&ours, complete.clone(), dead(&[]), CannotForce::NobodyInSync),
        (&ours, complete.clone(), dead(&[THIRD, ME]), CannotForce::NobodyInSync),
    ];
    for (membership, durable, dead, reason) in table {
        let mut bench = follower(membership, durable);
        assert_eq!(bench.replica.can_force(&dead), Err(reason));
        bench.on(Event::Force { dead });
        bench.pass(GRANT * 2);
        assert!(bench.store.is_empty(), "{reason}");
    }
    let bench = Bench::new(complete, 2);
    assert_eq!(bench.replica.can_force(&dead(&[PEER])), Err(CannotForce::StoreUnknown));
}

#[test]
fn nobody_is_forced_out_again_who_came_back() {
    let membership = led_by_other();
    let mut bench = follower(&membership, Durable::new(membership.clone(), Boot(1), EXTENTS));
    bench.on(Event::Force { dead: dead(&[PEER]) });
    bench.stored(Stored::Unknown);
    assert!(bench.store.is_empty(), "the store is looked at first");
    // Somebody else took it out, and it joined again.
    let mut without = membership.led_by(ME);
    without.in_sync.remove(&PEER);
    bench.on(Event::Learned(without.clone()));
    bench.on(Event::Learned(without.with(PEER)));
    bench.pass(GRANT * 2);
    assert!(bench.store.is_empty());
}
