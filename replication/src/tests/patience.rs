//! How long hosts wait for a peer that does not come back as it should.

use std::{collections::BTreeSet, time::Duration};

use super::{Bench, EXTENTS, ME, PEER, leading};
use crate::{Command, Event, Message, Outcome, Standing, Superset};

/// What a peer does after each of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Nothing: its process is stopped, and its machine still accepts connections.
    Silent,
    /// It obeys, and nothing more.
    Obeys,
    /// It obeys, and takes one copy of many.
    TakesACopy,
}

/// Answers what was sent as such a peer does.
fn answer(bench: &mut Bench, peer: Peer) {
    let mut copied = false;
    loop {
        let sent = bench.sent();
        if sent.is_empty() || peer == Peer::Silent {
            return;
        }
        for (_, message) in sent {
            match message {
                Message::Fence { session, .. } => {
                    let replica = Standing {
                        intact: false,
                        complete: true,
                        record: Superset::default(),
                        extents: EXTENTS,
                    };
                    bench.hear(PEER, Message::Fenced { session, replica });
                }
                Message::Command { session, id, command: Command::Write(_) }
                    if peer == Peer::TakesACopy && !copied =>
                {
                    copied = true;
                    bench.hear(PEER, Message::Done { session, id, outcome: Outcome::Ok });
                }
                _ => {}
            }
        }
    }
}

/// Whether the peer is taken out although it connects again every 20 ms of the 50 for which a primary waits.
fn is_taken_out(peer: Peer) -> bool {
    let mut bench = leading();
    bench.replica.config.copies_max = 1;
    // It lost power: what is recorded is copied to it again.
    bench.on(Event::PeerDown(PEER));
    bench.on(Event::PeerUp(PEER));
    for _ in 0..4 {
        answer(&mut bench, peer);
        bench.pass(Duration::from_millis(10));
        bench.on(Event::PeerDown(PEER));
        bench.pass(Duration::from_millis(10));
        bench.on(Event::PeerUp(PEER));
    }
    bench.store.last().is_some_and(|target| target.in_sync == BTreeSet::from([ME]))
}

#[test]
fn a_peer_that_connects_again_and_again_is_waited_for_only_while_it_gets_on() {
    for (peer, taken_out) in [(Peer::Silent, true), (Peer::Obeys, true), (Peer::TakesACopy, false)] {
        assert_eq!(is_taken_out(peer), taken_out, "{peer:?}");
    }
}
