//! Whom a replica obeys, and when it says so.

use std::time::Duration;

use super::{Bench, EXTENTS, GRANT, led_by_other};
use crate::{BlockRange, Boot, Command, CommandId, Durable, Membership, Message, NodeId, Session, Work};

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Fenced,
    Refused,
    Nothing,
}

fn reply(bench: &mut Bench) -> Reply {
    match bench.sent().last() {
        Some((_, Message::Fenced { .. })) => Reply::Fenced,
        Some((_, Message::Refused { .. })) => Reply::Refused,
        _ => Reply::Nothing,
    }
}

/// A replica that obeys node 0 in epoch 1, session 5, and has granted it to read if `granted`.
fn obedient(granted: bool) -> Bench {
    let mut bench = Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 1);
    bench.pass(GRANT * 2);
    bench.fence(NodeId(0), 5, &led_by_other());
    assert_eq!(reply(&mut bench), Reply::Fenced);
    if granted {
        let session = Session { incarnation: 1, number: 5 };
        bench.hear(NodeId(0), Message::GrantRequest { session, asked: Duration::ZERO });
        assert!(matches!(bench.sent()[..], [(_, Message::Grant { .. })]));
    }
    bench
}

fn led_by(node: u16, epochs: u64) -> Membership {
    let mut membership = Membership::first(NodeId(node), [NodeId(0), NodeId(1), NodeId(2)]);
    for _ in 1..epochs {
        membership = membership.led_by(NodeId(node));
    }
    membership
}

#[test]
fn fences_by_epoch_session_and_grant() {
    // Who fences, in which epoch, with which session; whether node 0 may be reading; at once, and after its grant.
    let table = [
        (0, 1, 6, false, Reply::Fenced, Reply::Fenced),
        (0, 1, 6, true, Reply::Fenced, Reply::Fenced), // itself, after a reconnect
        (0, 1, 5, false, Reply::Nothing, Reply::Nothing), // late
        (0, 1, 4, false, Reply::Nothing, Reply::Nothing),
        (0, 2, 9, true, Reply::Fenced, Reply::Fenced), // itself, with another set
        (2, 2, 1, false, Reply::Fenced, Reply::Fenced),
        (2, 2, 1, true, Reply::Nothing, Reply::Fenced), // another primary waits for the grant
    ];
    for (from, epoch, session, granted, at_once, later) in table {
        let mut bench = obedient(granted);
        bench.fence(NodeId(from), session, &led_by(from, epoch));
        let first = reply(&mut bench);
        assert_eq!(first, at_once, "{from} {epoch} {session} {granted}");
        bench.pass(GRANT * 2);
        let second = if first == Reply::Fenced { first } else { reply(&mut bench) };
        assert_eq!(second, later, "{from} {epoch} {session} {granted}, later");
    }
}

#[test]
fn an_older_epoch_is_refused_with_the_newer_one() {
    let mut bench = obedient(false);
    bench.fence(NodeId(2), 1, &led_by(2, 3));
    assert_eq!(reply(&mut bench), Reply::Fenced);
    bench.fence(NodeId(0), 9, &led_by(0, 2));
    assert_eq!(bench.sent(), [(NodeId(0), Message::Refused { newer: led_by(2, 3), of: None })]);
}

#[test]
fn a_returned_grant_need_not_run_out() {
    let mut bench = obedient(true);
    bench.fence(NodeId(2), 1, &led_by(2, 2));
    assert_eq!(reply(&mut bench), Reply::Nothing);
    bench.hear(NodeId(0), Message::GrantReturn { session: Session { incarnation: 1, number: 5 } });
    assert_eq!(reply(&mut bench), Reply::Fenced);
}

#[test]
fn a_replica_that_has_just_started_may_have_granted() {
    let mut bench = Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 1);
    bench.fence(NodeId(2), 1, &led_by(2, 2));
    assert_eq!(reply(&mut bench), Reply::Nothing);
    bench.pass(GRANT * 2);
    assert_eq!(reply(&mut bench), Reply::Fenced);
}

#[test]
fn older_writes_end_before_a_fence_is_answered_and_are_refused_after() {
    let mut bench = obedient(false);
    bench.hold = |work| matches!(work, Work::Write { .. });
    let write = |id| Message::Command {
        session: Session { incarnation: 1, number: 5 },
        id: CommandId(id),
        command: Command::Write(BlockRange { first: 0, count: 1 }),
    };
    bench.hear(NodeId(0), write(1));
    bench.fence(NodeId(2), 1, &led_by(2, 2));
    assert_eq!(reply(&mut bench), Reply::Nothing);
    bench.hear(NodeId(0), write(2));
    assert_eq!(reply(&mut bench), Reply::Refused);
    bench.end_held();
    assert_eq!(reply(&mut bench), Reply::Fenced);
    bench.hear(NodeId(0), write(3));
    assert_eq!(reply(&mut bench), Reply::Refused);
    assert!(bench.held.is_empty());
}
