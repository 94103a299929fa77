//! What both sides compute from a challenge (Base §8.3.4.5.4 and .5).

use zeroize::Zeroizing;

use super::{hash::HashFunction, secret::Secret};
use crate::Nqn;

/// Everything of one transaction that both responses are computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transcript<'a> {
    pub(super) hash: HashFunction,
    pub(super) transaction: u16,
    pub(super) host: &'a Nqn,
    pub(super) subsystem: &'a Nqn,
    /// From the Diffie-Hellman exchange; `None` without one.
    pub(super) shared: Option<&'a [u8]>,
}

/// No secure channel follows.
const SC_C: u8 = 0;

impl Transcript<'_> {
    /// R1: the host proves its secret.
    pub(super) fn of_host(&self, secret: &Secret, challenge: &[u8], sequence: u32) -> Zeroizing<Vec<u8>> {
        let key = secret.key_of(self.host);
        self.response(&key, challenge, sequence, b"HostHost", (self.host, self.subsystem))
    }

    /// R2: the controller proves its own.
    pub(super) fn of_controller(
        &self,
        secret: &Secret,
        challenge: &[u8],
        sequence: u32,
    ) -> Zeroizing<Vec<u8>> {
        let key = secret.key_of(self.subsystem);
        self.response(&key, challenge, sequence, b"Controller", (self.subsystem, self.host))
    }

    fn response(
        &self,
        key: &[u8],
        challenge: &[u8],
        sequence: u32,
        role: &[u8],
        (own, other): (&Nqn, &Nqn),
    ) -> Zeroizing<Vec<u8>> {
        let challenge = self.augmented(challenge);
        self.hash.hmac(
            key,
            &[
                &challenge,
                &sequence.to_le_bytes(),
                &self.transaction.to_le_bytes(),
                &[SC_C],
                role,
                own.as_str().as_bytes(),
                &[0],
                other.as_str().as_bytes(),
            ],
        )
    }

    /// The challenge bound to the exchange: an observer without the shared secret cannot try secrets out.
    fn augmented(&self, challenge: &[u8]) -> Zeroizing<Vec<u8>> {
        match self.shared {
            None => Zeroizing::new(challenge.to_vec()),
            Some(shared) => self.hash.hmac(&self.hash.digest(shared), &[challenge]),
        }
    }
}
