//! From being named to answering hosts.

use std::{collections::BTreeSet, time::Duration};

use super::{Bench, GRANT, ME, led_by_other};
use crate::{
    Boot, Command, Durable, Event, HostAnswer, Membership, Message, NodeId, OpId, Outcome, Region, Session,
    Standing, Stored, Superset,
};

const PEER: NodeId = NodeId(0);

/// What a replica does that was named: who obeys it, and whether copies are intact.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Serves,
    Fetches,
    RemovesPeer,
    Waits,
}

/// Named primary in epoch 2 of {0, 1}; `intact` is its own copy, `peer` what the other says, if it obeys.
fn named(intact: bool, peer: Option<bool>) -> Bench {
    let mut durable = Durable::new(led_by_other(), Boot(1));
    durable.record = Superset::from(Region(0)..Region(1));
    let mut bench = Bench::new(durable, if intact { 1 } else { 2 });
    bench.pass(GRANT * 2);
    if peer.is_some() {
        bench.on(Event::PeerUp(PEER));
    }
    bench.on(Event::Learned(led_by_other().led_by(ME)));
    if let Some(intact) = peer {
        let session = fence_session(&mut bench);
        let record = Superset::default();
        bench.hear(PEER, Message::Fenced { session, replica: Standing { intact, complete: true, record } });
    }
    bench
}

fn fence_session(bench: &mut Bench) -> Session {
    let fence = bench.sent().into_iter().find_map(|(_, message)| match message {
        Message::Fence { session, .. } => Some(session),
        _ => None,
    });
    fence.expect("the peer is fenced")
}

/// Answers every command and grant until nothing is asked any more; whether blocks were fetched.
fn obey(bench: &mut Bench) -> bool {
    let mut fetched = false;
    loop {
        let sent = bench.sent();
        if sent.is_empty() {
            return fetched;
        }
        for (to, message) in sent {
            match message {
                Message::Command { session, id, command } => {
                    fetched |= matches!(command, Command::Fetch(_));
                    bench.hear(to, Message::Done { session, id, outcome: Outcome::Ok });
                }
                Message::GrantRequest { session, asked } => bench.hear(to, Message::Grant { session, asked }),
                _ => {}
            }
        }
    }
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

/// Leads {0, 1} in epoch 2, with everything equal.
fn leading() -> Bench {
    let mut bench = named(true, Some(true));
    obey(&mut bench);
    assert!(bench.replica.is_serving());
    bench
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
    let mut bench = Bench::new(Durable::new(alone.clone(), Boot(1)), 1);
    bench.on(Event::Learned(alone.clone()));
    assert!(!bench.replica.is_serving());
    assert_eq!(bench.store, [alone.led_by(ME)]);
    bench.stored(Stored::Ok);
    assert!(bench.replica.is_serving());
}
