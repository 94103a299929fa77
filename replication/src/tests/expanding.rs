//! A volume that grows, and replicas that hear of it late or from each other.

use super::{Bench, EXTENTS, GRANT, PEER, fence_session, led_by_other, named, obey};
use crate::{
    BlockRange, Boot, Change, Command, CommandId, Durable, Event, Message, Outcome, Region, Session,
    Standing, Superset, Work,
};

/// Of the first extent behind the volume's end.
const BEYOND: BlockRange = BlockRange { first: EXTENTS * 2, count: 2 };

fn extents(bench: &Bench) -> u64 {
    bench.replica.standing().extents
}

#[test]
fn a_volume_grows_and_never_shrinks() {
    let mut bench = Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 1);
    for (told, known) in [(EXTENTS + 3, EXTENTS + 3), (EXTENTS, EXTENTS + 3), (EXTENTS + 4, EXTENTS + 4)] {
        bench.on(Event::Expanded { extents: told });
        assert_eq!(extents(&bench), known);
    }
}

/// What is on its way to the drive first when a primary commands something behind the end of what a replica knows.
fn first_work(command: Command) -> Work {
    let mut bench = Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 1);
    bench.pass(GRANT * 2);
    bench.fence(PEER, 5, &led_by_other());
    bench.hold = |_| true;
    let session = Session { incarnation: 1, number: 5 };
    bench.hear(PEER, Message::Command { session, id: CommandId(1), command });
    let first = bench.held[0].1.clone();
    bench.hold = |_| false;
    bench.end_held();
    assert_eq!(extents(&bench), EXTENTS + 1);
    let done = Message::Done { session, id: CommandId(1), outcome: Outcome::Ok };
    assert_eq!(bench.sent().last(), Some(&(PEER, done)));
    first
}

#[test]
fn a_follower_makes_room_before_it_works_beyond_its_end() {
    assert_eq!(first_work(Command::Write(BEYOND)), Work::Persist(Change::Mark(BEYOND)));
    assert_eq!(first_work(Command::Fetch(BEYOND)), Work::Persist(Change::Expand(EXTENTS + 1)));
}

#[test]
fn a_primary_makes_room_for_what_a_peer_has_before_it_judges_what_differs() {
    let mut bench = named(true, None);
    bench.on(Event::PeerUp(PEER));
    let session = fence_session(&mut bench);
    bench.hold = |_| true;
    // It was written to behind our end, by a primary that did not live to tell us.
    let record = Superset::from(Region(2)..Region(3));
    let replica = Standing { intact: true, complete: true, record, extents: EXTENTS + 1 };
    bench.hear(PEER, Message::Fenced { session, replica });
    assert_eq!(bench.held.len(), 1);
    assert_eq!(bench.held[0].1, Work::Persist(Change::Expand(EXTENTS + 1)));
    bench.hold = |_| false;
    bench.reads.clear();
    bench.end_held();
    obey(&mut bench);
    assert!(bench.replica.is_serving());
    // Our zeros are the truth: the region that we recorded, and the one extent of the other that the volume has.
    assert_eq!(bench.reads, [0, 2, BEYOND.first].map(|first| BlockRange { first, count: 2 }));
}
