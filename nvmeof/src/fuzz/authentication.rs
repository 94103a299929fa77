//! Authentication against a peer that knows no secret.

use std::sync::Arc;

use crate::{
    Nqn,
    auth::{
        ControllerAuthentication, Credentials, DhGroup, HashFunction, HostAuthentication, HostEvent,
        HostOptions, HostStep, Received, Requirement, Secret, Sent,
    },
};

/// Large powers that one input may ask for: they are slow, and one after another they are all alike.
const POWERS: usize = 2;

/// Both machines, each alone with a peer that makes messages up: neither panics, and neither believes it.
///
/// The input is a list of events: a byte whose lowest bit tells a message (0) from an answer to give (1), the
/// message's length in two bytes, and the message.
pub fn authentication(input: &[u8]) {
    let group = if input.len().is_multiple_of(2) { DhGroup::Null } else { DhGroup::Ffdhe2048 };
    controller(input, group);
    host(input, group);
}

fn messages(input: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = input;
    std::iter::from_fn(move || {
        let (&[kind, low, high], behind) = rest.split_first_chunk()?;
        if kind & 1 == 1 {
            rest = &rest[1..];
            return Some(None);
        }
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let (message, behind) = behind.split_at(len);
        rest = behind;
        Some(Some(message))
    })
}

fn credentials() -> Credentials {
    let secret = |byte| Secret::generate(HashFunction::Sha256, |key: &mut [u8]| key.fill(byte));
    Credentials { host: secret(1), controller: Some(secret(2)) }
}

fn names() -> [Nqn; 2] {
    ["nqn.x:host", "nqn.x:subsystem"].map(|name| Nqn::new(name).expect("a good name"))
}

fn controller(input: &[u8], group: DhGroup) {
    let [host, subsystem] = names();
    let mut controller = ControllerAuthentication::new(host, subsystem);
    let requirement = Arc::new(Requirement { credentials: credentials(), hash: HashFunction::Sha256, group });
    let mut powers = 0;
    for message in messages(input) {
        let Some(message) = message else {
            match controller.receive(4096) {
                Some(Received::Message(_) | Received::Over(..)) => continue,
                Some(Received::Authenticated(_)) => panic!("a host without the secret was let in"),
                None => panic!("no message has 4096 bytes"),
            }
        };
        match controller.send(message, Some(&requirement), &mut |bytes| bytes.fill(0x5A)) {
            Sent::Taken | Sent::Over(_) => {}
            Sent::Compute(work) if powers < POWERS => {
                powers += 1;
                controller.computed(work.compute());
            }
            Sent::Compute(_) => return,
            Sent::Authenticated => panic!("a host without the secret was let in"),
        }
    }
}

fn host(input: &[u8], group: DhGroup) {
    let [host, subsystem] = names();
    let options = HostOptions {
        host,
        subsystem,
        credentials: credentials(),
        hashes: HashFunction::ALL.to_vec(),
        groups: vec![group],
    };
    let (mut host, mut step) = HostAuthentication::start(options, 7, &mut |bytes| bytes.fill(0xA5));
    let mut messages = messages(input).flatten();
    loop {
        step = match step {
            HostStep::Send(_) => host.next(HostEvent::Sent),
            HostStep::Receive => match messages.next() {
                Some(message) => host.next(HostEvent::Received(message)),
                None => return,
            },
            HostStep::Compute(work) => host.next(HostEvent::Computed(work.compute())),
            HostStep::Authenticated => panic!("a controller without the secret was believed"),
            HostStep::Failed(_) => return,
        };
    }
}
