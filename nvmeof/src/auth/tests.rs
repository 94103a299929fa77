//! Both machines joined in memory, and the controller's against every event in every state.

use std::sync::Arc;

use super::*;
use crate::Nqn;

pub(super) fn host_nqn() -> Nqn {
    Nqn::new("nqn.x:host").unwrap()
}

pub(super) fn subsystem_nqn() -> Nqn {
    Nqn::new("nqn.x:subsystem").unwrap()
}

fn secret(byte: u8) -> Secret {
    Secret::generate(HashFunction::Sha256, |key| key.fill(byte))
}

/// Different bytes at each call; not random, so that a failure comes again.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 1u8;
    move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(7);
        }
    }
}

fn requirement(hash: HashFunction, group: DhGroup) -> Arc<Requirement> {
    let credentials = Credentials { host: secret(1), controller: Some(secret(2)) };
    Arc::new(Requirement { credentials, hash, group })
}

fn options(host: u8, controller: Option<u8>) -> HostOptions {
    HostOptions {
        host: host_nqn(),
        subsystem: subsystem_nqn(),
        credentials: Credentials { host: secret(host), controller: controller.map(secret) },
        hashes: HashFunction::ALL.to_vec(),
        groups: DhGroup::ALL.to_vec(),
    }
}

fn controller() -> ControllerAuthentication {
    ControllerAuthentication::new(host_nqn(), subsystem_nqn())
}

/// How both sides ended.
type Ends = (Result<(), HostFailure>, Option<Result<(), FailureReason>>);

/// Runs both sides until the host's ends.
fn join(
    controller: &mut ControllerAuthentication,
    options: HostOptions,
    required: &Arc<Requirement>,
) -> Ends {
    let mut random = counting();
    let (mut host, mut step) = HostAuthentication::start(options, 7, &mut random);
    let mut verdict = None;
    loop {
        step = match step {
            HostStep::Send(message) => {
                match controller.send(&message, Some(required), &mut random) {
                    Sent::Taken => {}
                    Sent::Compute(work) => controller.computed(work.compute()),
                    Sent::Authenticated => verdict = Some(Ok(())),
                    Sent::Over(reason) => verdict = Some(Err(reason)),
                }
                host.next(HostEvent::Sent)
            }
            HostStep::Receive => {
                let message = match controller.receive(2048).expect("there is room") {
                    Received::Message(message) => message,
                    Received::Authenticated(message) => {
                        verdict = Some(Ok(()));
                        message
                    }
                    Received::Over(message, reason) => {
                        verdict = Some(Err(reason));
                        message
                    }
                };
                host.next(HostEvent::Received(&message))
            }
            HostStep::Compute(work) => host.next(HostEvent::Computed(work.compute())),
            HostStep::Authenticated => return (Ok(()), verdict),
            HostStep::Failed(failure) => return (Err(failure), verdict),
        };
    }
}

#[test]
fn who_knows_the_secrets_gets_through() {
    let pairs = [
        (HashFunction::Sha256, DhGroup::Null),
        (HashFunction::Sha384, DhGroup::Null),
        (HashFunction::Sha512, DhGroup::Null),
        (HashFunction::Sha256, DhGroup::Ffdhe2048),
        (HashFunction::Sha384, DhGroup::Ffdhe3072),
        (HashFunction::Sha512, DhGroup::Ffdhe4096),
        (HashFunction::Sha256, DhGroup::Ffdhe6144),
        (HashFunction::Sha512, DhGroup::Ffdhe8192),
    ];
    for (hash, group) in pairs {
        let required = requirement(hash, group);
        let mut controller = controller();
        // One after another on one queue: the second is an authentication anew.
        for two_way in [None, Some(2)] {
            let ends = join(&mut controller, options(1, two_way), &required);
            assert_eq!(ends, (Ok(()), Some(Ok(()))), "{hash:?} {group:?} {two_way:?}");
            assert!(!controller.is_under_way());
        }
    }
}

#[test]
fn who_does_not_is_refused() {
    use FailureReason::{Failed, GroupNotUsable, HashNotUsable};
    let by_controller = |reason| (Err(HostFailure::ByController(reason)), Some(Err(reason)));
    let by_host = |reason| (Err(HostFailure::ByHost(reason)), Some(Err(reason)));
    for group in [DhGroup::Null, DhGroup::Ffdhe2048] {
        let required = requirement(HashFunction::Sha256, group);
        assert_eq!(join(&mut controller(), options(9, None), &required), by_controller(Failed));
        assert_eq!(join(&mut controller(), options(9, Some(2)), &required), by_controller(Failed));
        assert_eq!(join(&mut controller(), options(1, Some(9)), &required), by_host(Failed));
        let one_way = Requirement {
            credentials: Credentials { controller: None, ..required.credentials.clone() },
            ..*required
        };
        assert_eq!(join(&mut controller(), options(1, Some(2)), &Arc::new(one_way)), by_controller(Failed));
    }
    let required = requirement(HashFunction::Sha512, DhGroup::Ffdhe2048);
    let weak = HostOptions { hashes: vec![HashFunction::Sha256], ..options(1, None) };
    assert_eq!(join(&mut controller(), weak, &required), by_controller(HashNotUsable));
    let weak = HostOptions { groups: vec![DhGroup::Null], ..options(1, None) };
    assert_eq!(join(&mut controller(), weak, &required), by_controller(GroupNotUsable));
}

#[test]
fn the_host_of_another_name_is_refused() {
    let required = requirement(HashFunction::Sha256, DhGroup::Null);
    let other = HostOptions { host: Nqn::new("nqn.x:other").unwrap(), ..options(1, None) };
    let failed = FailureReason::Failed;
    let expected = (Err(HostFailure::ByController(failed)), Some(Err(failed)));
    assert_eq!(join(&mut controller(), other, &required), expected);
}

/// Messages of a host that runs its side honestly up to there, for each event of the table.
struct Script {
    negotiate: Vec<u8>,
    reply: Vec<u8>,
    success2: Vec<u8>,
    failure2: Vec<u8>,
    controller: ControllerAuthentication,
    /// Work that was handed out and not computed.
    work: Option<Work>,
}

const GROUP: DhGroup = DhGroup::Ffdhe2048;

impl Script {
    /// A controller brought into a state by a host that proves itself both ways.
    fn reach(state: &str) -> Self {
        let required = requirement(HashFunction::Sha256, GROUP);
        let mut random = counting();
        let (mut host, step) = HostAuthentication::start(options(1, Some(2)), 7, &mut random);
        let HostStep::Send(negotiate) = step else { unreachable!() };
        let failure = |id| [&[0, id, 0, 0, 7, 0][..], &[1, 1]].concat();
        let mut script = Self {
            negotiate,
            reply: Vec::new(),
            success2: [&[1, 4, 0, 0, 7, 0][..], &[0; 10]].concat(),
            failure2: failure(0xF0),
            controller: controller(),
            work: None,
        };
        let at = |script: &Self| script.controller.state_name() == state;
        if state == "Refused" {
            script.send(&[0; 3], &required);
        }
        if at(&script) {
            return script;
        }
        let negotiate = script.negotiate.clone();
        script.send(&negotiate, &required);
        if at(&script) {
            return script;
        }
        script.compute();
        if at(&script) {
            return script;
        }
        let Some(Received::Message(challenge)) = script.controller.receive(2048) else { unreachable!() };
        assert!(matches!(host.next(HostEvent::Sent), HostStep::Receive));
        let HostStep::Compute(work) = host.next(HostEvent::Received(&challenge)) else { unreachable!() };
        let HostStep::Send(reply) = host.next(HostEvent::Computed(work.compute())) else { unreachable!() };
        script.reply = reply;
        if at(&script) {
            return script;
        }
        let reply = script.reply.clone();
        script.send(&reply, &required);
        if at(&script) {
            return script;
        }
        script.compute();
        if at(&script) {
            return script;
        }
        let _ = script.controller.receive(2048);
        if !at(&script) {
            let failure2 = script.failure2.clone();
            script.send(&failure2, &required);
        }
        assert!(at(&script), "{state}");
        script
    }

    fn send(&mut self, message: &[u8], required: &Arc<Requirement>) {
        if let Sent::Compute(work) = self.controller.send(message, Some(required), &mut counting()) {
            self.work = Some(work);
        }
    }

    fn compute(&mut self) {
        let work = self.work.take().expect("work was handed out");
        self.controller.computed(work.compute());
    }
}

#[test]
fn every_state_by_every_event() {
    // Events: Negotiate, Reply, Success2, Failure2, garbage, Receive, computed.
    let table = [
        ("Idle", ["Choosing", "Refused", "Refused", "Refused", "Refused", "Over", "Idle"]),
        ("Choosing", ["Refused", "Refused", "Refused", "Over", "Refused", "Over", "Offered"]),
        ("Offered", ["Choosing", "Refused", "Refused", "Over", "Refused", "Challenged", "Offered"]),
        ("Challenged", ["Choosing", "Judging", "Refused", "Over", "Refused", "Over", "Challenged"]),
        ("Judging", ["Refused", "Refused", "Refused", "Over", "Refused", "Over", "Accepted"]),
        ("Accepted", ["Choosing", "Refused", "Refused", "Over", "Refused", "Confirming", "Accepted"]),
        ("Confirming", ["Choosing", "Refused", "Idle", "Over", "Refused", "Over", "Confirming"]),
        ("Refused", ["Refused", "Refused", "Refused", "Refused", "Refused", "Over", "Refused"]),
        ("Over", ["Over", "Over", "Over", "Over", "Refused", "Over", "Over"]),
    ];
    let required = requirement(HashFunction::Sha256, GROUP);
    for (state, ends) in table {
        for (event, end) in ends.into_iter().enumerate() {
            let mut script = Script::reach(state);
            match event {
                0 => script.send(&script.negotiate.clone(), &required),
                1 if script.reply.is_empty() => {
                    script.send(&[&[1, 2, 0, 0, 7, 0][..], &[0; 100]].concat(), &required);
                }
                1 => script.send(&script.reply.clone(), &required),
                2 => script.send(&script.success2.clone(), &required),
                3 => script.send(&script.failure2.clone(), &required),
                4 => script.send(&[0xFF; 5], &required),
                5 => drop(script.controller.receive(2048)),
                _ if script.work.is_some() => script.compute(),
                _ => script.controller.computed(stray()),
            }
            assert_eq!(script.controller.state_name(), end, "{state} by event {event}");
        }
    }
}

/// A result that nobody waits for.
fn stray() -> Worked {
    Worked { public: Vec::new(), shared: None }
}

/// Changes bytes of the message that a state waits for, and says how that is refused.
#[test]
fn each_wrong_field_is_refused_by_its_reason() {
    use FailureReason::{
        ConcatenationMismatch, Failed, GroupNotUsable, HashNotUsable, IncorrectMessage, IncorrectPayload,
        ProtocolNotUsable,
    };
    // The state that waits for the message; byte, value; reason.
    let table = [
        ("Idle", 0, 9, IncorrectMessage),
        ("Idle", 1, 0x55, IncorrectPayload), // No Negotiate, so of a transaction that was not begun.
        ("Idle", 6, 1, ConcatenationMismatch),
        ("Idle", 7, 2, IncorrectPayload),
        ("Idle", 8, 2, ProtocolNotUsable),
        ("Idle", 10, 31, IncorrectPayload),
        ("Idle", 10, 0, HashNotUsable),
        ("Idle", 11, 31, IncorrectPayload),
        ("Idle", 11, 1, GroupNotUsable),
        ("Challenged", 0, 0, IncorrectMessage),
        ("Challenged", 4, 8, IncorrectPayload),
        ("Challenged", 6, 48, IncorrectPayload),
        ("Challenged", 8, 2, IncorrectPayload),
        ("Challenged", 10, 1, IncorrectPayload),
        ("Challenged", 16, 0, Failed),
        ("Confirming", 1, 3, IncorrectMessage),
        ("Confirming", 4, 8, IncorrectPayload),
    ];
    let required = requirement(HashFunction::Sha256, GROUP);
    for (state, byte, value, reason) in table {
        let mut script = Script::reach(state);
        let mut message = match state {
            "Idle" => script.negotiate.clone(),
            "Challenged" => script.reply.clone(),
            _ => script.success2.clone(),
        };
        assert_ne!(message[byte], value, "{state} byte {byte} changes");
        message[byte] = value;
        // The transaction of a message that begins none is not looked at first.
        if (state, byte) == ("Idle", 0) {
            message[4] = 0;
        }
        script.send(&message, &required);
        if script.work.is_some() {
            script.compute();
        }
        assert_eq!(refusal(&mut script.controller), reason, "{state} byte {byte}");
    }
}

/// The reason in the Failure1 that follows.
fn refusal(controller: &mut ControllerAuthentication) -> FailureReason {
    let Some(Received::Over(message, reason)) = controller.receive(2048) else {
        panic!("it was not refused")
    };
    assert_eq!((message[1], message[6], message[7]), (0xF1, 1, reason as u8));
    reason
}

#[test]
fn messages_cut_short_are_refused() {
    let required = requirement(HashFunction::Sha256, GROUP);
    for state in ["Idle", "Challenged", "Confirming"] {
        let whole = Script::reach(state);
        let whole = [("Idle", whole.negotiate), ("Challenged", whole.reply), ("Confirming", whole.success2)]
            .into_iter()
            .find_map(|(name, message)| (name == state).then_some(message))
            .unwrap();
        for len in [0, 5, 6, 7, 8, 15, whole.len() - 1] {
            let mut script = Script::reach(state);
            script.send(&whole[..len.min(whole.len() - 1)], &required);
            assert_eq!(refusal(&mut script.controller), FailureReason::IncorrectPayload, "{state} {len}");
        }
    }
}

#[test]
fn our_own_challenge_sent_back_is_refused() {
    let required = requirement(HashFunction::Sha256, DhGroup::Null);
    let mut controller = controller();
    let mut random = counting();
    let (mut host, step) = HostAuthentication::start(options(1, Some(2)), 7, &mut random);
    let HostStep::Send(negotiate) = step else { unreachable!() };
    let _ = controller.send(&negotiate, Some(&required), &mut random);
    let Some(Received::Message(challenge)) = controller.receive(2048) else { unreachable!() };
    let _ = host.next(HostEvent::Sent);
    let HostStep::Send(mut reply) = host.next(HostEvent::Received(&challenge)) else { unreachable!() };
    reply[16 + 32..16 + 64].copy_from_slice(&challenge[16..16 + 32]);
    let _ = controller.send(&reply, Some(&required), &mut random);
    assert_eq!(refusal(&mut controller), FailureReason::Failed);
}

#[test]
fn a_controller_that_does_not_prove_itself_is_left() {
    let mut random = counting();
    let required = requirement(HashFunction::Sha256, DhGroup::Null);
    let mut controller = controller();
    let (mut host, step) = HostAuthentication::start(options(1, Some(2)), 7, &mut random);
    let HostStep::Send(negotiate) = step else { unreachable!() };
    let _ = controller.send(&negotiate, Some(&required), &mut random);
    let Some(Received::Message(challenge)) = controller.receive(2048) else { unreachable!() };
    let _ = host.next(HostEvent::Sent);
    let HostStep::Send(_) = host.next(HostEvent::Received(&challenge)) else { unreachable!() };
    let _ = host.next(HostEvent::Sent);
    // Success1 without a response.
    let success = [&[1, 3, 0, 0, 7, 0, 32, 0, 0][..], &[0; 7]].concat();
    let HostStep::Send(failure) = host.next(HostEvent::Received(&success)) else { panic!("it was believed") };
    assert_eq!(failure[1], 0xF0);
    let failed = HostFailure::ByHost(FailureReason::Failed);
    assert!(matches!(host.next(HostEvent::Sent), HostStep::Failed(failure) if failure == failed));
}

#[test]
fn a_message_that_does_not_fit_stays() {
    let required = requirement(HashFunction::Sha256, DhGroup::Null);
    let mut controller = controller();
    let (_, step) = HostAuthentication::start(options(1, None), 7, &mut counting());
    let HostStep::Send(negotiate) = step else { unreachable!() };
    let _ = controller.send(&negotiate, Some(&required), &mut counting());
    assert!(controller.receive(47).is_none());
    assert!(matches!(controller.receive(48), Some(Received::Message(_))));
}

#[test]
fn a_host_without_a_secret_here_cannot_authenticate() {
    let mut controller = controller();
    let (_, step) = HostAuthentication::start(options(1, None), 7, &mut counting());
    let HostStep::Send(negotiate) = step else { unreachable!() };
    let _ = controller.send(&negotiate, None, &mut counting());
    assert_eq!(refusal(&mut controller), FailureReason::ProtocolNotUsable);
}
