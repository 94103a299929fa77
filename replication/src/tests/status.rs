//! What people see, role by role.

use std::time::Duration;

use super::{Bench, EXTENTS, GRANT, ME, PEER, leadership, leading, led_by_other, obey};
use crate::{
    BlockRange, Boot, Durable, Event, HostRequest, LinkState, OpId, Phase, Role, Status, Stored, TakenOut,
    TakenOutFor,
};

#[test]
fn roles_from_start_to_leading() {
    let mut bench = Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 2);
    let idle = Status {
        membership: led_by_other(),
        role: Role::Idle,
        intact: false,
        complete: true,
        record_regions: 0,
    };
    assert_eq!(bench.replica.status(), idle);
    bench.pass(GRANT * 2);
    bench.fence(PEER, 5, &led_by_other());
    assert_eq!(bench.replica.status().role, Role::Following { primary: PEER });
    let session = crate::Session { incarnation: 1, number: 5 };
    bench.hear(PEER, crate::Message::GrantRequest { session, asked: Duration::ZERO });
    bench.on(Event::Learned(led_by_other().led_by(ME)));
    assert_eq!(bench.replica.status().role, Role::Named);
    bench.pass(GRANT * 2);
    let leadership = leadership(&bench);
    assert_eq!((leadership.phase, leadership.serving), (Phase::Fencing, false));
}

#[test]
fn a_peer_that_left_is_shown_with_what_it_misses_and_why() {
    let mut bench = leading();
    let peer = leadership(&bench).peers[&PEER].clone();
    assert_eq!((peer.member, peer.state, peer.left_to_copy_extents), (true, LinkState::Equal, Some(0)));
    assert_eq!(bench.replica.status().record_regions, 1);
    bench.on(Event::PeerDown(PEER));
    let lost = bench.now;
    bench.pass(Duration::from_millis(60));
    let taking = leadership(&bench);
    assert_eq!(taking.asked_for.map(|target| target.in_sync.len()), Some(1));
    assert_eq!(taking.peers[&PEER].since, Some(lost));
    bench.stored(Stored::Ok);
    // The recorded region, of two extents, and one written since.
    let request = HostRequest::Write(BlockRange { first: 4, count: 1 });
    bench.on(Event::Host { op: OpId(1), request });
    let away = leadership(&bench).peers[&PEER].clone();
    assert!(!away.member);
    assert_eq!(away.missing_extents, 3);
    assert_eq!(away.taken_out, Some(TakenOut { because: TakenOutFor::Silence, at: bench.now }));
    // It comes back, and joins.
    bench.on(Event::PeerUp(PEER));
    let session = super::fence_session(&mut bench);
    let replica = crate::Standing {
        intact: true,
        complete: true,
        record: crate::Superset::default(),
        extents: EXTENTS,
    };
    bench.hear(PEER, crate::Message::Fenced { session, replica });
    let back = leadership(&bench).peers[&PEER].clone();
    assert_eq!((back.state, back.left_to_copy_extents), (LinkState::Copying, Some(3)));
    obey(&mut bench);
    bench.stored(Stored::Ok);
    obey(&mut bench);
    let joined = leadership(&bench).peers[&PEER].clone();
    assert_eq!((joined.member, joined.missing_extents, joined.taken_out), (true, 0, None));
}
