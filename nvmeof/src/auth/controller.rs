//! The controller's side of one queue's authentication.
//!
//! ```text
//! Idle -Negotiate-> Choosing -computed-> Offered -receive-> Challenged -Reply-> Judging -computed-> Accepted
//!  ^                                                                                                   |
//!  +------------------------------------ receive (one-way) ------------------------------------------- +
//!  +-- Success2 -- Confirming <--------- receive (two-way) --------------------------------------------+
//!
//! anything wrong -> Refused -receive-> Over          Failure2 -> Over
//! ```
//! Without a Diffie-Hellman exchange nothing is computed, and Choosing and Judging are passed at once. A Negotiate begins
//! anew wherever nothing is being computed: a host whose own timeout struck may try again, and one that is
//! authenticated may do it again at any time.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Credentials,
    group::{DhGroup, EXPONENT_BYTES, Exponent, Work, Worked},
    hash::HashFunction,
    message::{Challenge, ControllerMessage, FailureReason, Head, HostMessage, Offer, Reply},
    response::Transcript,
};
use crate::Nqn;

/// How a host has to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub credentials: Credentials,
    /// The one to use: a host that does not offer it is refused.
    pub hash: HashFunction,
    /// Likewise.
    pub group: DhGroup,
}

/// What a sent message led to. The Send command itself succeeds in any case, once what is to be computed was.
#[derive(Debug)]
#[must_use]
pub enum Sent {
    /// The host may receive the answer.
    Taken,
    /// Compute this, then call [`ControllerAuthentication::computed`]; the answer is ready after that.
    Compute(Work),
    /// Both sides know each other.
    Authenticated,
    /// The host gave up; nothing follows but the end of the queue.
    Over(FailureReason),
}

/// A message for the host, and what it means.
#[derive(Debug)]
#[must_use]
pub enum Received {
    Message(Vec<u8>),
    /// The host is known once it has this.
    Authenticated(Vec<u8>),
    /// The last message: the queue ends after it.
    Over(Vec<u8>, FailureReason),
}

/// One queue's authentication, as often as the host begins it.
#[derive(Debug)]
pub struct ControllerAuthentication {
    host: Nqn,
    subsystem: Nqn,
    /// T_ID of the last Negotiate.
    transaction: u16,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle,
    Choosing(Transaction),
    Offered(Transaction, Vec<u8>),
    Challenged(Transaction),
    Judging(Transaction, Reply),
    Accepted { hash: HashFunction, response: Option<Vec<u8>> },
    Confirming,
    Refused(FailureReason),
    Over,
}

/// What is agreed on and asked.
#[derive(Debug)]
struct Transaction {
    requirement: Arc<Requirement>,
    exponent: Exponent,
    /// C1 and S1.
    challenge: Vec<u8>,
    sequence: u32,
}

impl ControllerAuthentication {
    /// Of a queue that `host` has connected to `subsystem`.
    pub fn new(host: Nqn, subsystem: Nqn) -> Self {
        Self { host, subsystem, transaction: 0, state: State::Idle }
    }

    /// Whether a host has begun and not ended.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.state, State::Idle | State::Over)
    }

    /// An Authentication Send brought this message. `requirement`: the host's, if it has one; `random` fills a
    /// buffer with random bytes.
    pub fn send(
        &mut self,
        message: &[u8],
        requirement: Option<&Arc<Requirement>>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Sent {
        // Whatever goes wrong below, what was under way is over.
        let state = std::mem::replace(&mut self.state, State::Over);
        match self.take(state, message, requirement, random) {
            Ok((state, sent)) => {
                self.state = state;
                sent
            }
            Err(reason) => {
                self.state = State::Refused(reason);
                Sent::Taken
            }
        }
    }

    fn take(
        &mut self,
        state: State,
        message: &[u8],
        requirement: Option<&Arc<Requirement>>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(State, Sent), FailureReason> {
        let head = Head::parse(message)?;
        match state {
            State::Over => return Ok((State::Over, Sent::Over(FailureReason::IncorrectMessage))),
            State::Refused(reason) => return Err(reason),
            _ if head.is_negotiate() => self.transaction = head.transaction,
            _ if head.transaction != self.transaction => return Err(FailureReason::IncorrectPayload),
            _ => {}
        }
        let agreed = match &state {
            State::Challenged(transaction) => {
                Some((transaction.requirement.hash, transaction.requirement.group))
            }
            _ => None,
        };
        match (state, HostMessage::parse(message, agreed)?) {
            (State::Choosing(_) | State::Judging(..), HostMessage::Negotiate(_)) => {
                Err(FailureReason::IncorrectMessage)
            }
            (_, HostMessage::Negotiate(offer)) => choose(&offer, requirement, random),
            (State::Challenged(transaction), HostMessage::Reply(reply)) => Ok(self.judge(transaction, reply)),
            (State::Confirming, HostMessage::Success2) => Ok((State::Idle, Sent::Authenticated)),
            (State::Idle, HostMessage::Failure2(_)) => Err(FailureReason::IncorrectMessage),
            (_, HostMessage::Failure2(reason)) => Ok((State::Over, Sent::Over(reason))),
            _ => Err(FailureReason::IncorrectMessage),
        }
    }

    fn judge(&self, transaction: Transaction, reply: Reply) -> (State, Sent) {
        let group = transaction.requirement.group;
        if group == DhGroup::Null {
            return (self.verdict(&transaction, &reply, None), Sent::Taken);
        }
        let work = Work {
            group,
            exponent: transaction.exponent.clone(),
            public: false,
            peer: Some(reply.public.clone()),
        };
        (State::Judging(transaction, reply), Sent::Compute(work))
    }

    /// What [`Sent::Compute`] asked for is there.
    pub fn computed(&mut self, worked: Worked) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Choosing(transaction) => State::Offered(transaction, worked.public),
            State::Judging(transaction, reply) => match worked.shared {
                Some(shared) => self.verdict(&transaction, &reply, Some(&shared)),
                None => State::Refused(FailureReason::IncorrectPayload),
            },
            // The host sent something else meanwhile, and was refused for it.
            other => other,
        };
    }

    fn verdict(&self, transaction: &Transaction, reply: &Reply, shared: Option<&[u8]>) -> State {
        let Transaction { requirement, challenge, sequence, .. } = transaction;
        let Requirement { credentials, hash, .. } = &**requirement;
        let transcript = Transcript {
            hash: *hash,
            transaction: self.transaction,
            host: &self.host,
            subsystem: &self.subsystem,
            shared,
        };
        let expected = transcript.of_host(&credentials.host, challenge, *sequence);
        if !bool::from(expected.ct_eq(&reply.response)) {
            return State::Refused(FailureReason::Failed);
        }
        let response = match (&reply.challenge, &credentials.controller) {
            (None, _) => None,
            // Our own challenge sent back would make us a calculator of answers.
            (Some((value, _)), _) if value == challenge => return State::Refused(FailureReason::Failed),
            (Some(_), None) => return State::Refused(FailureReason::Failed),
            (Some((value, sequence)), Some(secret)) => {
                Some(transcript.of_controller(secret, value, *sequence).to_vec())
            }
        };
        State::Accepted { hash: *hash, response }
    }

    /// An Authentication Receive asks for the next message, which may have `room_bytes`. `None` if it has more:
    /// the command is refused, and the message stays.
    pub fn receive(&mut self, room_bytes: usize) -> Option<Received> {
        let (message, next) = match &self.state {
            State::Offered(transaction, public) => (transaction.message(public), Next::Challenged),
            State::Accepted { response: None, .. } => {
                (ControllerMessage::Success1(None), Next::Authenticated)
            }
            State::Accepted { response, .. } => {
                (ControllerMessage::Success1(response.clone()), Next::Confirming)
            }
            State::Refused(reason) => (ControllerMessage::Failure1(*reason), Next::Over(*reason)),
            // There is nothing to receive.
            State::Idle
            | State::Choosing(_)
            | State::Challenged(_)
            | State::Judging(..)
            | State::Confirming
            | State::Over => {
                let reason = FailureReason::IncorrectMessage;
                (ControllerMessage::Failure1(reason), Next::Over(reason))
            }
        };
        let hash = match &self.state {
            State::Accepted { hash, .. } => *hash,
            // Only a Success1 depends on it.
            _ => HashFunction::Sha256,
        };
        let bytes = message.encode(self.transaction, hash);
        (bytes.len() <= room_bytes).then(|| self.hand_over(bytes, next))
    }

    fn hand_over(&mut self, bytes: Vec<u8>, next: Next) -> Received {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (next, state) {
            (Next::Challenged, State::Offered(transaction, _)) => {
                self.state = State::Challenged(transaction);
                Received::Message(bytes)
            }
            (Next::Authenticated, _) => {
                self.state = State::Idle;
                Received::Authenticated(bytes)
            }
            (Next::Confirming, _) => {
                self.state = State::Confirming;
                Received::Message(bytes)
            }
            (Next::Over(reason), _) => Received::Over(bytes, reason),
            (Next::Challenged, _) => unreachable!("a challenge is handed over where it was offered"),
        }
    }

    #[cfg(test)]
    pub(super) fn state_name(&self) -> &'static str {
        match self.state {
            State::Idle => "Idle",
            State::Choosing(_) => "Choosing",
            State::Offered(..) => "Offered",
            State::Challenged(_) => "Challenged",
            State::Judging(..) => "Judging",
            State::Accepted { .. } => "Accepted",
            State::Confirming => "Confirming",
            State::Refused(_) => "Refused",
            State::Over => "Over",
        }
    }
}

/// Where the message that is handed over leads.
#[derive(Debug, Clone, Copy)]
enum Next {
    Challenged,
    Authenticated,
    Confirming,
    Over(FailureReason),
}

impl Transaction {
    fn message(&self, public: &[u8]) -> ControllerMessage {
        ControllerMessage::Challenge(Challenge {
            hash: self.requirement.hash,
            group: self.requirement.group,
            sequence: self.sequence,
            value: self.challenge.clone(),
            public: public.to_vec(),
        })
    }
}

/// Begins a transaction with what the host can do and we ask for.
fn choose(
    offer: &Offer,
    requirement: Option<&Arc<Requirement>>,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<(State, Sent), FailureReason> {
    let requirement = requirement.ok_or(FailureReason::ProtocolNotUsable)?;
    if !offer.hashes.contains(&requirement.hash) {
        return Err(FailureReason::HashNotUsable);
    }
    let group = requirement.group;
    if !offer.groups.contains(&group) {
        return Err(FailureReason::GroupNotUsable);
    }
    let mut challenge = vec![0; requirement.hash.digest_bytes()];
    random(&mut challenge);
    let mut exponent = Zeroizing::new([0; EXPONENT_BYTES]);
    random(&mut *exponent);
    let exponent = Exponent::new(exponent);
    let sequence = random_sequence(random);
    let transaction =
        Transaction { requirement: requirement.clone(), exponent: exponent.clone(), challenge, sequence };
    if group == DhGroup::Null {
        return Ok((State::Offered(transaction, Vec::new()), Sent::Taken));
    }
    let work = Work { group, exponent, public: true, peer: None };
    Ok((State::Choosing(transaction), Sent::Compute(work)))
}

/// A sequence number, which is never zero.
pub(super) fn random_sequence(random: &mut dyn FnMut(&mut [u8])) -> u32 {
    let mut bytes = [0; 4];
    random(&mut bytes);
    u32::from_le_bytes(bytes).max(1)
}
