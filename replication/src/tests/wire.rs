//! What arrives from elsewhere: as it was sent, or refused.

use super::{EXTENTS, led_by_other};
use crate::{
    BlockRange, Boot, Change, Command, CommandId, Durable, Extent, Membership, Message, NodeId, Outcome,
    Region, Session, Standing, Superset,
};

#[test]
fn messages_and_changes_arrive_as_they_were_sent() {
    let (session, id) = (Session { incarnation: 3, number: 1 << 33 }, CommandId(7));
    let membership = led_by_other();
    let record = Superset::from(Region(1)..Region(3));
    let missing = [(NodeId(2), Superset::from(Extent(0)..Extent(9)))].into();
    let command = |command| Message::Command { session, id, command };
    for message in [
        Message::Fence { session, membership: membership.clone() },
        Message::Fenced {
            session,
            replica: Standing { intact: true, complete: false, record: record.clone(), extents: EXTENTS },
        },
        Message::Refused { newer: membership.clone(), of: Some(id) },
        command(Command::Write(BlockRange { first: 8, count: 1 })),
        command(Command::Certify { missing }),
        command(Command::Adopt(membership.clone())),
        Message::Done { session, id, outcome: Outcome::Failed },
        Message::GrantRequest { session, asked: super::GRANT },
        Message::Flushed { session, flush: id, except: record.clone() },
    ] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message, "{text}");
    }
    let mut durable = Durable::new(membership, Boot(4), EXTENTS);
    durable.record = record;
    let text = serde_json::to_string(&durable).unwrap();
    assert_eq!(serde_json::from_str::<Durable>(&text).unwrap(), durable);
    let change = Change::Mark(BlockRange { first: 0, count: 3 });
    let text = serde_json::to_string(&change).unwrap();
    assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
}

#[test]
fn what_cannot_be_is_refused() {
    for (text, reason) in [
        (r#"{"first": 5, "count": 0}"#, "0 blocks from 5 are no range"),
        (r#"{"first": 18446744073709551615, "count": 2}"#, "are no range"),
    ] {
        let error = serde_json::from_str::<BlockRange>(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = serde_json::from_str::<Membership>(r#"{"epoch": 1, "primary": 0, "in_sync": [1, 2]}"#);
    assert!(error.unwrap_err().to_string().contains("the primary 0 is not in sync"));
}

#[test]
fn a_refusal_names_the_command_that_it_ends() {
    let mut bench = super::Bench::new(Durable::new(led_by_other(), Boot(1), EXTENTS), 1);
    let session = Session { incarnation: 1, number: 5 };
    bench.hear(NodeId(0), Message::Command { session, id: CommandId(9), command: Command::Flush });
    assert_eq!(
        bench.sent(),
        [(NodeId(0), Message::Refused { newer: led_by_other(), of: Some(CommandId(9)) })]
    );
}
