//! The host's side of one queue's authentication.
//!
//! ```text
//! Negotiate -sent-> Asked -Challenge-> Computing -computed-> Reply -sent-> Answered -Success1-> done (one-way)
//!                                                                             |
//!                                         done (two-way) <-sent- Success2 <---+ the controller's response is right
//! anything wrong -> Failure2 -sent-> failed          Failure1 -> failed
//! ```

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Credentials,
    controller::random_sequence,
    group::{DhGroup, EXPONENT_BYTES, Exponent, Work, Worked},
    hash::HashFunction,
    message::{Challenge, ControllerMessage, FailureReason, Head, HostMessage, Offer, Reply},
    response::Transcript,
};
use crate::Nqn;

/// What a host does next.
#[derive(Debug)]
#[must_use]
pub enum HostStep {
    /// Send this with Authentication Send, then [`HostEvent::Sent`].
    Send(Vec<u8>),
    /// Ask with Authentication Receive, then [`HostEvent::Received`].
    Receive,
    /// Compute this, then [`HostEvent::Computed`].
    Compute(Work),
    /// The queue is authenticated.
    Authenticated,
    /// It is not, and the controller ends the queue.
    Failed(HostFailure),
}

/// Why a host did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostFailure {
    #[error("the controller refused us: {0}")]
    ByController(FailureReason),
    #[error("we refused the controller: {0}")]
    ByHost(FailureReason),
}

/// What happened to the last step.
#[derive(Debug)]
pub enum HostEvent<'a> {
    /// The controller took the message.
    Sent,
    /// What it gave, with or without the rest of the buffer.
    Received(&'a [u8]),
    Computed(Worked),
}

/// What a host has and wants.
#[derive(Debug, Clone)]
pub struct HostOptions {
    pub host: Nqn,
    pub subsystem: Nqn,
    /// With a controller's secret, the controller has to prove itself, too.
    pub credentials: Credentials,
    pub hashes: Vec<HashFunction>,
    pub groups: Vec<DhGroup>,
}

/// The machine; begin with [`HostAuthentication::start`].
#[derive(Debug)]
pub struct HostAuthentication {
    options: HostOptions,
    transaction: u16,
    exponent: Exponent,
    /// C2 and S2.
    challenge: (Vec<u8>, u32),
    state: State,
}

#[derive(Debug)]
enum State {
    Negotiating,
    Asked,
    Computing(Challenge),
    /// With the response that the controller has to give, if it has to.
    Replying(HashFunction, Option<Zeroizing<Vec<u8>>>),
    Answered(HashFunction, Option<Zeroizing<Vec<u8>>>),
    Confirming,
    GivingUp(FailureReason),
    Done,
}

impl HostAuthentication {
    /// The first step. `transaction` tells this authentication from others of the queue; `random` fills a buffer with
    /// random bytes.
    pub fn start(
        options: HostOptions,
        transaction: u16,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> (Self, HostStep) {
        let offer = Offer { hashes: options.hashes.clone(), groups: options.groups.clone() };
        let mut exponent = Zeroizing::new([0; EXPONENT_BYTES]);
        random(&mut *exponent);
        let mut challenge = vec![0; HashFunction::Sha512.digest_bytes()];
        random(&mut challenge);
        let challenge = (challenge, random_sequence(random));
        let exponent = Exponent::new(exponent);
        let step = HostStep::Send(HostMessage::Negotiate(offer).encode(transaction));
        (Self { options, transaction, exponent, challenge, state: State::Negotiating }, step)
    }

    /// The next step.
    ///
    /// # Panics
    /// If the event is not the one that the last step asked for: a bug of the caller.
    pub fn next(&mut self, event: HostEvent<'_>) -> HostStep {
        match self.advance(event) {
            Ok(step) => step,
            Err(reason) => {
                self.state = State::GivingUp(reason);
                HostStep::Send(HostMessage::Failure2(reason).encode(self.transaction))
            }
        }
    }

    fn advance(&mut self, event: HostEvent<'_>) -> Result<HostStep, FailureReason> {
        let (state, step) = match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::Negotiating, HostEvent::Sent) => (State::Asked, HostStep::Receive),
            (State::Asked, HostEvent::Received(bytes)) => match self.parse(bytes, None)? {
                ControllerMessage::Challenge(challenge) => self.on_challenge(challenge)?,
                ControllerMessage::Failure1(reason) => (State::Done, refused(reason)),
                ControllerMessage::Success1(_) => return Err(FailureReason::IncorrectMessage),
            },
            (State::Computing(challenge), HostEvent::Computed(worked)) => {
                let shared = worked.shared.ok_or(FailureReason::IncorrectPayload)?;
                self.reply(&challenge, Some(&shared), worked.public)
            }
            (State::Replying(hash, expected), HostEvent::Sent) => {
                (State::Answered(hash, expected), HostStep::Receive)
            }
            (State::Answered(hash, expected), HostEvent::Received(bytes)) => {
                match self.parse(bytes, Some(hash))? {
                    ControllerMessage::Success1(response) => self.on_success(expected, response)?,
                    ControllerMessage::Failure1(reason) => (State::Done, refused(reason)),
                    ControllerMessage::Challenge(_) => return Err(FailureReason::IncorrectMessage),
                }
            }
            (State::Confirming, HostEvent::Sent) => (State::Done, HostStep::Authenticated),
            (State::GivingUp(reason), HostEvent::Sent) => {
                (State::Done, HostStep::Failed(HostFailure::ByHost(reason)))
            }
            (state, event) => panic!("{event:?} is not what {state:?} waits for"),
        };
        self.state = state;
        Ok(step)
    }

    fn parse(&self, bytes: &[u8], hash: Option<HashFunction>) -> Result<ControllerMessage, FailureReason> {
        let message = ControllerMessage::parse(bytes, hash)?;
        let is_ours = Head::parse(bytes)?.transaction == self.transaction;
        // A refusal may come before the controller knew our transaction.
        if is_ours || matches!(message, ControllerMessage::Failure1(_)) {
            return Ok(message);
        }
        Err(FailureReason::IncorrectPayload)
    }

    fn on_challenge(&self, challenge: Challenge) -> Result<(State, HostStep), FailureReason> {
        if !self.options.hashes.contains(&challenge.hash) {
            return Err(FailureReason::HashNotUsable);
        }
        if !self.options.groups.contains(&challenge.group) {
            return Err(FailureReason::GroupNotUsable);
        }
        if challenge.group == DhGroup::Null {
            return Ok(self.reply(&challenge, None, Vec::new()));
        }
        let work = Work {
            group: challenge.group,
            exponent: self.exponent.clone(),
            public: true,
            peer: Some(challenge.public.clone()),
        };
        Ok((State::Computing(challenge), HostStep::Compute(work)))
    }

    fn reply(&self, challenge: &Challenge, shared: Option<&[u8]>, public: Vec<u8>) -> (State, HostStep) {
        let HostOptions { host, subsystem, credentials, .. } = &self.options;
        let hash = challenge.hash;
        let transcript = Transcript { hash, transaction: self.transaction, host, subsystem, shared };
        let response = transcript.of_host(&credentials.host, &challenge.value, challenge.sequence).to_vec();
        let (value, sequence) = (&self.challenge.0[..hash.digest_bytes()], self.challenge.1);
        let expected =
            credentials.controller.as_ref().map(|secret| transcript.of_controller(secret, value, sequence));
        let own = expected.is_some().then(|| (value.to_vec(), sequence));
        let message = HostMessage::Reply(Reply { response, challenge: own, public });
        (State::Replying(hash, expected), HostStep::Send(message.encode(self.transaction)))
    }

    /// A controller that was asked to prove itself and does not is an impostor, whatever else it says.
    fn on_success(
        &self,
        expected: Option<Zeroizing<Vec<u8>>>,
        response: Option<Vec<u8>>,
    ) -> Result<(State, HostStep), FailureReason> {
        let Some(expected) = expected else { return Ok((State::Done, HostStep::Authenticated)) };
        let response = response.ok_or(FailureReason::Failed)?;
        if !bool::from(expected.ct_eq(&response)) {
            return Err(FailureReason::Failed);
        }
        Ok((State::Confirming, HostStep::Send(HostMessage::Success2.encode(self.transaction))))
    }
}

fn refused(reason: FailureReason) -> HostStep {
    HostStep::Failed(HostFailure::ByController(reason))
}
