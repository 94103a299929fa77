//! In-band authentication by DH-HMAC-CHAP (Base §8.3.4), of targets that ask for it.
//!
//! ```text
//! gate      what a queue takes before, and the fields of Authentication Send and Receive
//! offer     AUTH_Negotiate and the challenge that answers it
//! proof     DH-HMAC-CHAP_Reply, right and wrong
//! outcome   success and failure, and what follows
//! ```

mod gate;
mod offer;
mod outcome;
mod proof;

use nvmeof::{
    host::sqe,
    wire::{connect::CNTLID_DYNAMIC, pdu::PduType, property::Property},
};

use crate::{
    auth::Transaction,
    check::{Check, Need, Verdict, expect_success, fail},
    lab::Lab,
    link::{Incoming, describe_incoming},
    pdu::Wishes,
    queue::{Data, Queue},
};

const NEGOTIATE: &str = "Base §8.3.4.5.2";
const CHALLENGE: &str = "Base §8.3.4.5.3";
const REPLY: &str = "Base §8.3.4.5.4";
const SUCCESS1: &str = "Base §8.3.4.5.5";
/// How the messages follow one another.
const ORDER: &str = "Base §8.3.4.5.1";
const FAILURE: &str = "Base §8.3.4.4";

const NEEDS: &[Need] = &[Need::Authentication];
const TWO_WAY: &[Need] = &[Need::Authentication, Need::ControllerSecret];

pub(super) fn checks() -> Vec<Check> {
    [gate::checks(), offer::checks(), proof::checks(), outcome::checks()].into_iter().flatten().collect()
}

/// An admin queue that has connected and not authenticated.
fn asked(lab: &Lab<'_>) -> Verdict<Queue> {
    Ok(lab.target.knock(Wishes::default(), CNTLID_DYNAMIC, 0)?.0)
}

/// A check over an admin queue of its own that has not authenticated.
fn check(
    name: impl Into<String>,
    section: &'static str,
    needs: &'static [Need],
    run: impl Fn(&mut Transaction<'_>) -> Verdict + 'static,
) -> Check {
    Check::new(format!("authentication/{}", name.into()), section, needs, move |lab| {
        let mut queue = asked(lab)?;
        run(&mut Transaction::new(&mut queue, lab.target)?)
    })
}

/// The queue takes commands.
fn served(queue: &mut Queue) -> Verdict {
    expect_success(&queue.command(sqe::property_get(Property::VS), Data::None)?)
}

/// The queue is gone, or takes no commands.
fn barred(queue: &mut Queue) -> Verdict {
    const EXPECTED: &str = "an error status or the end of the connection";
    let (_, capsule) = queue.prepare(sqe::property_get(Property::VS), Data::None);
    queue.link.provoke(&capsule);
    match queue.link.receive()? {
        Incoming::Closed => Ok(()),
        Incoming::Pdu(pdu) if pdu.is(PduType::C2H_TERM_REQ) => Ok(()),
        // The status is in bits 15:1 of the entry's last two bytes.
        Incoming::Pdu(pdu) if pdu.is(PduType::CAPSULE_RESP) && pdu.u16_at(22) >> 1 != 0 => Ok(()),
        Incoming::Pdu(pdu) if pdu.is(PduType::CAPSULE_RESP) => {
            fail(EXPECTED, "a Property Get that succeeded")
        }
        other => fail(EXPECTED, describe_incoming(&other)),
    }
}
