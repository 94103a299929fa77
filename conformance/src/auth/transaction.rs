//! One authentication of a queue, step by step: a check takes the steps that it wants and sends what it likes between
//! them.

use nvmeof::host::sqe;
use uuid::Uuid;

use super::{
    Credentials, Secret,
    group::EXPONENT_BYTES,
    hash::Hash,
    message::{self, Challenge, Offer, Success1},
};
use crate::{
    check::{Verdict, broken, expect, expect_equal, expect_success},
    lab::Target,
    queue::{Answer, Data, Queue},
};

/// Reason code explanations of AUTH_Failure1 and AUTH_Failure2 (Base §8.3.4.4).
pub(crate) mod explanation {
    pub(crate) const FAILED: u8 = 0x01;
    pub(crate) const PROTOCOL_NOT_USABLE: u8 = 0x02;
    pub(crate) const CONCATENATION_MISMATCH: u8 = 0x03;
    pub(crate) const HASH_NOT_USABLE: u8 = 0x04;
    pub(crate) const GROUP_NOT_USABLE: u8 = 0x05;
    pub(crate) const INCORRECT_PAYLOAD: u8 = 0x06;
    pub(crate) const INCORRECT_MESSAGE: u8 = 0x07;
}

/// Room for the longest message: a challenge of the largest hash function and group has 1,104 bytes.
const RECEIVE_BYTES: u32 = 2048;

/// A queue that authenticates.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) queue: &'a mut Queue,
    pub(crate) t_id: u16,
    target: &'a Target,
    credentials: &'a Credentials,
}

/// A right DH-HMAC-CHAP_Reply, and what the controller has to answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) message: Vec<u8>,
    hash: Hash,
    /// R2, if the controller was asked to prove itself.
    expected: Option<Vec<u8>>,
}

impl<'a> Transaction<'a> {
    /// With a transaction identifier of its own.
    pub(crate) fn new(queue: &'a mut Queue, target: &'a Target) -> Verdict<Self> {
        let Some(credentials) = &target.credentials else {
            return broken("the target asks for authentication (AUTHREQ): give --dhchap-secret");
        };
        let t_id = u16::from_le_bytes([random()[0], random()[1]]);
        Ok(Self { queue, t_id, target, credentials })
    }

    /// Everything at once: afterwards the queue takes commands.
    pub(crate) fn run(&mut self) -> Verdict {
        let reply = self.until_reply()?;
        self.tell(&reply.message)?;
        self.finish(&reply)
    }

    /// Up to a right reply, which is not sent yet.
    pub(crate) fn until_reply(&mut self) -> Verdict<Reply> {
        let challenge = self.until_challenge()?;
        self.reply(&challenge)
    }

    /// Offers everything and takes the challenge.
    pub(crate) fn until_challenge(&mut self) -> Verdict<Challenge> {
        self.tell(&self.negotiate(&Offer::all()))?;
        self.challenge()
    }

    /// Offers this and takes the challenge; `None`: refused, with the explanation `unusable`.
    pub(crate) fn challenge_or_refusal(&mut self, offer: &Offer, unusable: u8) -> Verdict<Option<Challenge>> {
        self.tell(&self.negotiate(offer))?;
        let message = self.receive()?;
        match message::failure1(self.t_id, &message) {
            Ok(seen) => {
                expect_equal("explanation", unusable, seen)?;
                Ok(None)
            }
            Err(_) => Challenge::parse(self.t_id, &message).map(Some),
        }
    }

    /// What follows a right reply that was sent.
    pub(crate) fn finish(&mut self, reply: &Reply) -> Verdict {
        let success = self.success1(reply)?;
        self.believe(reply, &success)?;
        if reply.expected.is_some() { self.tell(&message::success2(self.t_id)) } else { Ok(()) }
    }

    /// AUTH_Negotiate.
    pub(crate) fn negotiate(&self, offer: &Offer) -> Vec<u8> {
        offer.message(self.t_id)
    }

    /// Sends a message, whose command has to succeed whatever the controller thinks of it.
    pub(crate) fn tell(&mut self, message: &[u8]) -> Verdict {
        expect_success(&self.send(message)?)
    }

    /// The same, for the command to be judged by the caller.
    pub(crate) fn send(&mut self, message: &[u8]) -> Verdict<Answer> {
        self.queue.command(sqe::authentication_send(message.len() as u32), Data::Capsule(message))
    }

    /// The controller's next message.
    pub(crate) fn receive(&mut self) -> Verdict<Vec<u8>> {
        let answer =
            self.queue.command(sqe::authentication_receive(RECEIVE_BYTES), Data::In(RECEIVE_BYTES))?;
        expect_success(&answer)?;
        Ok(answer.data)
    }

    pub(crate) fn challenge(&mut self) -> Verdict<Challenge> {
        Challenge::parse(self.t_id, &self.receive()?)
    }

    pub(crate) fn success1(&mut self, reply: &Reply) -> Verdict<Success1> {
        Success1::parse(self.t_id, reply.hash, &self.receive()?)
    }

    /// AUTH_Failure1, with one of these explanations.
    pub(crate) fn refused(&mut self, explanations: &[u8]) -> Verdict {
        let seen = message::failure1(self.t_id, &self.receive()?)?;
        let names: Vec<String> = explanations.iter().map(|code| format!("{code:02x}h")).collect();
        expect(
            explanations.contains(&seen),
            format_args!("AUTH_Failure1 with explanation {}", names.join(" or ")),
            format_args!("explanation {seen:02x}h"),
        )
    }

    /// Success1 proves the controller, if it was asked to.
    pub(crate) fn believe(&self, reply: &Reply, success: &Success1) -> Verdict {
        let words = |response: &Option<Vec<u8>>| match response {
            None => "no response (RVALID 0)".to_owned(),
            Some(response) => format!("response {response:02x?}"),
        };
        expect(reply.expected == success.response, words(&reply.expected), words(&success.response))
    }

    /// The right answer to a challenge, by which the controller is asked for a proof if we can judge it.
    pub(crate) fn reply(&self, challenge: &Challenge) -> Verdict<Reply> {
        let own = [random(), random(), random(), random()].concat();
        self.reply_with(challenge, self.credentials.controller.as_ref(), &own[..challenge.hash.len()])
    }

    /// The same without a question to the controller.
    pub(crate) fn one_way(&self, challenge: &Challenge) -> Verdict<Reply> {
        self.reply_with(challenge, None, &[])
    }

    /// The same with C2 as given.
    pub(crate) fn asking(&self, challenge: &Challenge, own: &[u8]) -> Verdict<Reply> {
        self.reply_with(challenge, self.credentials.controller.as_ref(), own)
    }

    fn reply_with(&self, challenge: &Challenge, controller: Option<&Secret>, own: &[u8]) -> Verdict<Reply> {
        const SEQUENCE: u32 = 0x0102_0304;
        let (group, hash) = (challenge.group, challenge.hash);
        let exponent: [u8; EXPONENT_BYTES] = std::array::from_fn(|_| random()[0]);
        let (public, shared) = if group.len() == 0 {
            (Vec::new(), None)
        } else {
            expect(group.takes(&challenge.public), "a DH value from 2 to p - 2", "another")?;
            (group.public(&exponent), Some(group.power(&challenge.public, &exponent)))
        };
        // Everything that a response is computed from (Base §8.3.4.5.4, §8.3.4.5.5).
        let prove = |key: &[u8], value: &[u8], sequence: u32, role: &str, of: &str, to: &str| {
            let value = match &shared {
                None => value.to_vec(),
                Some(shared) => hash.hmac(&hash.digest(shared), value),
            };
            let (sequence, t_id) = (sequence.to_le_bytes(), self.t_id.to_le_bytes());
            const NO_SECURE_CHANNEL: u8 = 0;
            let text = [role.as_bytes(), of.as_bytes(), &[0], to.as_bytes()].concat();
            hash.hmac(key, &[&value[..], &sequence, &t_id, &[NO_SECURE_CHANNEL], &text].concat())
        };
        let (host, subsystem) = (&self.target.host.nqn, &self.target.subsystem);
        let (h, s) = (host.as_str(), subsystem.as_str());
        let key = self.credentials.host.key_of(host);
        let response = prove(&key, &challenge.value, challenge.fixed.seqnum.get(), "HostHost", h, s);
        let expected =
            controller.map(|secret| prove(&secret.key_of(subsystem), own, SEQUENCE, "Controller", s, h));
        let question = controller.map(|_| (own, SEQUENCE));
        let message = message::reply(self.t_id, &response, question, &public);
        Ok(Reply { message, hash, expected })
    }
}

/// Bytes for exponents, challenges and identifiers: a random UUID's, whose fixed bits do no harm here.
fn random() -> [u8; 16] {
    Uuid::new_v4().into_bytes()
}
