//! From being named to answering hosts.

use std::{collections::BTreeSet, time::Duration};

use super::{Bench, EXTENTS, GRANT, ME, PEER, leading, led_by_other, named, obey};
use crate::{
    BlockRange, Boot, Durable, Event, HostAnswer, HostRequest, LinkState, Membership, Message, OpId, Outcome,
    Payload, Session, Standing, Stored, Superset, Work,
};

/// What a replica does that was named: who obeys it, and whether copies are intact.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Serves,
    Fetches,
    RemovesPeer,
    Waits,
}

#[test]
fn takeover_by_who_obeys_and_who_is_intact() {
    let table = [
        (true, Some(true), Next::Serves),
        (true, Some(false), Next::Serves),
        (true, None, Next::RemovesPeer),
        (false, Some(true), Next::Fetches),
        (false, Some(false), Next::Serves),
        (false, None, Next::Waits),
    ];
    for (intact, peer, expected) in table {
        let mut bench = named(intact, peer);
        let fetched = obey(&mut bench);
        bench.pass(Duration::from_millis(60));
        let removes = bench.store.last().is_some_and(|target| target.in_sync == BTreeSet::from([ME]));
        let next = match (bench.replica.is_serving(), fetched, removes) {
            (true, true, false) => Next::Fetches,
            (true, false, false) => Next::Serves,
            (false, false, true) => Next::RemovesPeer,
            (false, false, false) => Next::Waits,
            other => panic!("{other:?}"),
        };
        assert_eq!(next, expected, "intact {intact}, peer {peer:?}");
    }
}

#[test]
fn a_write_is_answered_when_the_peer_has_it() {
    let mut bench = leading();
    bench.write(1);
    assert!(bench.answers.is_empty());
    obey(&mut bench);
    assert_eq!(bench.answers, [(OpId(1), HostAnswer::Done(None))]);
}

#[test]
fn a_lost_peer_is_recorded_before_anybody_is_answered() {
    let mut bench = leading();
    bench.write(1);
    bench.sent();
    bench.on(Event::PeerDown(PEER));
    bench.pass(Duration::from_millis(60));
    assert_eq!(bench.store.len(), 1);
    assert!(bench.answers.is_empty());
    bench.stored(Stored::Ok);
    assert_eq!(bench.answers, [(OpId(1), HostAnswer::Done(None))]);
}

#[test]
fn nobody_is_answered_while_nobody_knows_what_the_store_did() {
    let mut bench = leading();
    bench.write(1);
    bench.on(Event::PeerDown(PEER));
    bench.pass(Duration::from_millis(60));
    let target = bench.store[0].clone();
    bench.stored(Stored::Unknown);
    assert!(bench.answers.is_empty());
    // The store still has the old one: asked again, for the same.
    bench.on(Event::Learned(led_by_other().led_by(ME)));
    assert_eq!(bench.store.last(), Some(&target));
    // It was the first that was stored, late.
    bench.on(Event::Stored { target: target.clone(), stored: Stored::Conflict(target) });
    assert_eq!(bench.answers, [(OpId(1), HostAnswer::Done(None))]);
}

#[test]
fn a_primary_that_was_replaced_sends_hosts_elsewhere() {
    let newer = led_by_other().led_by(ME).led_by(PEER);
    let session = Session { incarnation: 9, number: 1 };
    let ends = [
        Event::Learned(newer.clone()),
        Event::Message { from: PEER, message: Message::Refused { newer: newer.clone(), of: None } },
        Event::Message { from: PEER, message: Message::Fence { session, membership: newer } },
    ];
    for end in ends {
        let mut bench = leading();
        bench.write(1);
        bench.on(end.clone());
        assert_eq!(bench.answers, [(OpId(1), HostAnswer::Path)], "{end:?}");
        assert!(!bench.replica.is_serving());
    }
}

#[test]
fn reads_need_the_grant_of_every_member() {
    let mut bench = leading();
    bench.read(1);
    assert!(matches!(bench.answers[..], [(OpId(1), HostAnswer::Done(Some(_)))]));
    bench.on(Event::PeerDown(PEER));
    bench.read(2);
    assert_eq!(bench.answers.len(), 2, "the grant outlives the connection");
    bench.pass(GRANT);
    bench.read(3);
    assert_eq!(bench.answers.len(), 2);
    bench.stored(Stored::Ok);
    assert_eq!(bench.answers.len(), 3, "alone it needs none");
}

#[test]
fn a_process_that_starts_again_leads_under_a_new_epoch() {
    let alone = Membership::first(ME, [ME]);
    let mut bench = Bench::new(Durable::new(alone.clone(), Boot(1), EXTENTS), 1);
    bench.on(Event::Learned(alone.clone()));
    assert!(!bench.replica.is_serving());
    assert_eq!(bench.store, [alone.led_by(ME)]);
    bench.stored(Stored::Ok);
    assert!(bench.replica.is_serving());
}

/// Leads alone, and its drive has not ended anything yet.
fn alone_with_a_slow_drive() -> Bench {
    let alone = Membership::first(ME, [ME]);
    let mut bench = Bench::new(Durable::new(alone.clone(), Boot(1), EXTENTS), 1);
    bench.on(Event::Learned(alone));
    bench.stored(Stored::Ok);
    bench.hold = |work| matches!(work, Work::Write { .. } | Work::Read(_));
    bench
}

#[test]
fn what_waits_begins_when_the_write_before_it_ends_and_not_later() {
    let mut bench = alone_with_a_slow_drive();
    bench.write(1);
    bench.write(2);
    bench.read(3);
    let under_way = |bench: &Bench| bench.held.iter().map(|(_, work)| work.clone()).collect::<Vec<_>>();
    let write =
        |op| Work::Write { range: BlockRange { first: 0, count: 1 }, payload: Payload::Host(OpId(op)) };
    assert_eq!(under_way(&bench), [write(1)]);
    bench.end_held();
    assert_eq!(under_way(&bench), [write(2)]);
    bench.end_held();
    assert_eq!(under_way(&bench), [Work::Read(BlockRange { first: 0, count: 1 })]);
    bench.end_held();
    assert_eq!(bench.answers.len(), 3);
    assert_eq!(bench.released, [1, 2, 3].map(OpId));
}

#[test]
fn leadership_is_handed_over_when_the_last_operation_ends() {
    let mut bench = leading();
    bench.hold = |work| matches!(work, Work::Write { .. });
    bench.write(1);
    obey(&mut bench);
    bench.on(Event::HandOver(PEER));
    assert!(bench.store.is_empty());
    bench.end_held();
    assert_eq!(bench.store.last().map(|target| target.primary), Some(PEER));
}

#[test]
fn every_operation_is_released_once_however_it_ends() {
    let mut bench = leading();
    bench.write(1);
    bench.read(2);
    assert!(bench.released.is_empty(), "the peer has not written yet, and the read waits for that");
    obey(&mut bench);
    assert_eq!(bench.released, [1, 2].map(OpId));
    bench.on(Event::Host { op: OpId(3), request: HostRequest::Flush });
    obey(&mut bench);
    bench.write(4);
    bench.on(Event::Learned(led_by_other().led_by(ME).led_by(PEER)));
    bench.write(5);
    assert_eq!(bench.released, [1, 2, 3, 4, 5].map(OpId));
    assert_eq!(bench.answers.len(), 5);
}

#[test]
fn a_copy_that_cannot_be_read_is_tried_again_later() {
    let mut bench = leading();
    bench.hold = |work| matches!(work, Work::Read(_));
    bench.on(Event::PeerDown(PEER));
    bench.on(Event::PeerUp(PEER));
    let session = super::fence_session(&mut bench);
    let replica = Standing { intact: false, complete: true, record: Superset::default(), extents: EXTENTS };
    bench.hear(PEER, Message::Fenced { session, replica });
    let reads = bench.held.len();
    assert_eq!(reads, 2, "the recorded region has two extents");
    for (id, _) in std::mem::take(&mut bench.held) {
        bench.on(Event::WorkDone { id, outcome: Outcome::Failed });
    }
    assert!(bench.held.is_empty());
    while bench.held.is_empty() {
        let next = bench.replica.next_deadline().expect("it is tried again");
        bench.pass(next - bench.now);
    }
    assert_eq!(bench.held.len(), reads);
}

#[test]
fn what_the_last_copy_could_not_write_is_copied_to_who_joins() {
    let mut bench = alone_with_a_slow_drive();
    bench.hold = |_| false;
    bench.on(Event::PeerUp(PEER));
    let session = super::fence_session(&mut bench);
    let replica = Standing { intact: true, complete: false, record: Superset::default(), extents: EXTENTS };
    bench.hear(PEER, Message::Fenced { session, replica });
    obey(&mut bench);
    assert_eq!(bench.store.len(), 1, "it has everything, and is to join");
    bench.hold = |work| matches!(work, Work::Write { .. });
    bench.write(1);
    bench.reads.clear();
    let (id, _) = bench.held[0].clone();
    bench.on(Event::WorkDone { id, outcome: Outcome::Failed });
    obey(&mut bench);
    assert_eq!(bench.reads, [BlockRange { first: 0, count: 2 }]);
    assert_eq!(bench.answers, [(OpId(1), HostAnswer::Media)]);
    bench.stored(Stored::Ok);
    obey(&mut bench);
    assert_eq!(super::leadership(&bench).peers[&PEER].state, LinkState::Equal);
}
