//! The messages of authentication, checked and typed (Base §8.3.4.5).

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{group::DhGroup, hash::HashFunction};
use crate::wire::authentication as wire;

/// Why an authentication fails: the explanation in AUTH_Failure1 and AUTH_Failure2, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    #[error("the secret is not the right one")]
    Failed = 0x01,
    #[error("no authentication protocol in common")]
    ProtocolNotUsable = 0x02,
    #[error("a secure channel was asked for or refused")]
    ConcatenationMismatch = 0x03,
    #[error("no hash function in common")]
    HashNotUsable = 0x04,
    #[error("no Diffie-Hellman group in common")]
    GroupNotUsable = 0x05,
    #[error("a message with a wrong field")]
    IncorrectPayload = 0x06,
    #[error("a message out of order, or an unknown one")]
    IncorrectMessage = 0x07,
}

impl FailureReason {
    const ALL: [Self; 7] = [
        Self::Failed,
        Self::ProtocolNotUsable,
        Self::ConcatenationMismatch,
        Self::HashNotUsable,
        Self::GroupNotUsable,
        Self::IncorrectPayload,
        Self::IncorrectMessage,
    ];

    /// A number that we do not know is the plainest of failures.
    fn from_wire(explanation: u8) -> Self {
        Self::ALL.into_iter().find(|reason| *reason as u8 == explanation).unwrap_or(Self::Failed)
    }
}

/// What a host sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostMessage {
    Negotiate(Offer),
    Reply(Reply),
    Success2,
    Failure2(FailureReason),
}

/// What a host can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) hashes: Vec<HashFunction>,
    pub(super) groups: Vec<DhGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) response: Vec<u8>,
    /// C2 and S2, if the controller shall prove itself.
    pub(super) challenge: Option<(Vec<u8>, u32)>,
    /// Empty without an exchange.
    pub(super) public: Vec<u8>,
}

/// What a controller sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ControllerMessage {
    Challenge(Challenge),
    /// With R2, if it was asked for.
    Success1(Option<Vec<u8>>),
    Failure1(FailureReason),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) hash: HashFunction,
    pub(super) group: DhGroup,
    pub(super) sequence: u32,
    pub(super) value: Vec<u8>,
    /// Empty without an exchange.
    pub(super) public: Vec<u8>,
}

/// Transaction, type and identifier of a message.
pub(super) struct Head {
    pub(super) transaction: u16,
    kind: (wire::AuthType, wire::AuthId),
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, FailureReason> {
        let (head, _) =
            wire::MessageHead::read_from_prefix(bytes).map_err(|_| FailureReason::IncorrectPayload)?;
        let kind = (wire::AuthType(head.auth_type), wire::AuthId(head.auth_id));
        Ok(Self { transaction: head.t_id.get(), kind })
    }

    /// It begins a transaction.
    pub(super) fn is_negotiate(&self) -> bool {
        self.kind == (wire::AuthType::COMMON, wire::AuthId::NEGOTIATE)
    }
}

fn head(kind: (wire::AuthType, wire::AuthId), transaction: u16) -> wire::MessageHead {
    wire::MessageHead { auth_type: kind.0.0, auth_id: kind.1.0, reserved2: [0; 2], t_id: transaction.into() }
}

const NEGOTIATE: (wire::AuthType, wire::AuthId) = (wire::AuthType::COMMON, wire::AuthId::NEGOTIATE);
const FAILURE1: (wire::AuthType, wire::AuthId) = (wire::AuthType::COMMON, wire::AuthId::FAILURE1);
const FAILURE2: (wire::AuthType, wire::AuthId) = (wire::AuthType::COMMON, wire::AuthId::FAILURE2);
const CHALLENGE: (wire::AuthType, wire::AuthId) = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::CHALLENGE);
const REPLY: (wire::AuthType, wire::AuthId) = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::REPLY);
const SUCCESS1: (wire::AuthType, wire::AuthId) = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::SUCCESS1);
const SUCCESS2: (wire::AuthType, wire::AuthId) = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::SUCCESS2);

/// The fixed part of a message, and what follows it.
fn split<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), FailureReason> {
    T::read_from_prefix(bytes).map_err(|_| FailureReason::IncorrectPayload)
}

/// Refuses a message with a field that has a wrong value.
fn ensure(right: bool) -> Result<(), FailureReason> {
    if right { Ok(()) } else { Err(FailureReason::IncorrectPayload) }
}

impl HostMessage {
    /// Reads a message. `hash` and `group` are those of the transaction, which a Reply must keep to.
    pub(super) fn parse(
        bytes: &[u8],
        agreed: Option<(HashFunction, DhGroup)>,
    ) -> Result<Self, FailureReason> {
        match Head::parse(bytes)?.kind {
            NEGOTIATE => Offer::parse(bytes).map(Self::Negotiate),
            REPLY => {
                let (hash, group) = agreed.ok_or(FailureReason::IncorrectMessage)?;
                Reply::parse(bytes, hash, group).map(Self::Reply)
            }
            SUCCESS2 => {
                ensure(bytes.len() == size_of::<wire::Success2>())?;
                Ok(Self::Success2)
            }
            FAILURE2 => {
                let (failure, _) = split::<wire::Failure>(bytes)?;
                Ok(Self::Failure2(FailureReason::from_wire(failure.explanation)))
            }
            _ => Err(FailureReason::IncorrectMessage),
        }
    }

    pub(super) fn encode(&self, transaction: u16) -> Vec<u8> {
        match self {
            Self::Negotiate(offer) => offer.encode(transaction),
            Self::Reply(reply) => reply.encode(transaction),
            Self::Success2 => {
                let head = head(SUCCESS2, transaction);
                wire::Success2 { head, reserved6: [0; 10] }.as_bytes().to_vec()
            }
            Self::Failure2(reason) => failure(FAILURE2, transaction, *reason),
        }
    }
}

impl ControllerMessage {
    /// Reads a message, behind which there may be more of the buffer that it was received into. `hash`: of the
    /// transaction, once there is one.
    pub(super) fn parse(bytes: &[u8], hash: Option<HashFunction>) -> Result<Self, FailureReason> {
        match (Head::parse(bytes)?.kind, hash) {
            (CHALLENGE, _) => Challenge::parse(bytes).map(Self::Challenge),
            (SUCCESS1, Some(hash)) => {
                let (success, rest) = split::<wire::Success1>(bytes)?;
                ensure(usize::from(success.hl) == hash.digest_bytes() && success.rvalid <= 1)?;
                if success.rvalid == 0 {
                    return Ok(Self::Success1(None));
                }
                let response = rest.get(..hash.digest_bytes()).ok_or(FailureReason::IncorrectPayload)?;
                Ok(Self::Success1(Some(response.to_vec())))
            }
            (FAILURE1, _) => {
                let (failure, _) = split::<wire::Failure>(bytes)?;
                Ok(Self::Failure1(FailureReason::from_wire(failure.explanation)))
            }
            _ => Err(FailureReason::IncorrectMessage),
        }
    }

    /// `hash`: of the transaction; Linux looks at the length that follows from it even where no response is.
    pub(super) fn encode(&self, transaction: u16, hash: HashFunction) -> Vec<u8> {
        match self {
            Self::Challenge(challenge) => challenge.encode(transaction),
            Self::Success1(response) => {
                let mut success = wire::Success1::new_zeroed();
                success.head = head(SUCCESS1, transaction);
                success.hl = hash.digest_bytes() as u8;
                success.rvalid = u8::from(response.is_some());
                [success.as_bytes(), response.as_deref().unwrap_or_default()].concat()
            }
            Self::Failure1(reason) => failure(FAILURE1, transaction, *reason),
        }
    }
}

fn failure(kind: (wire::AuthType, wire::AuthId), transaction: u16, reason: FailureReason) -> Vec<u8> {
    let head = head(kind, transaction);
    let explanation = reason as u8;
    wire::Failure { head, reason: wire::REASON_AUTHENTICATION_FAILURE, explanation }.as_bytes().to_vec()
}

impl Offer {
    fn parse(bytes: &[u8]) -> Result<Self, FailureReason> {
        let (negotiate, rest) = split::<wire::Negotiate>(bytes)?;
        ensure(rest.len() == usize::from(negotiate.napd) * size_of::<wire::ProtocolDescriptor>())?;
        if negotiate.sc_c != 0 {
            return Err(FailureReason::ConcatenationMismatch);
        }
        let descriptors = <[wire::ProtocolDescriptor]>::ref_from_bytes(rest)
            .map_err(|_| FailureReason::IncorrectPayload)?;
        let ours = descriptors.iter().find(|descriptor| descriptor.authid == wire::PROTOCOL_DH_HMAC_CHAP);
        let ours = ours.ok_or(FailureReason::ProtocolNotUsable)?;
        let ids = |ids: &'_ [u8; 30], count: u8| ids.get(..usize::from(count)).map(<[u8]>::to_vec);
        let hashes = ids(&ours.hash_ids, ours.halen).ok_or(FailureReason::IncorrectPayload)?;
        let groups = ids(&ours.dh_group_ids, ours.dhlen).ok_or(FailureReason::IncorrectPayload)?;
        Ok(Self {
            hashes: hashes.into_iter().filter_map(HashFunction::from_id).collect(),
            groups: groups.into_iter().filter_map(DhGroup::from_id).collect(),
        })
    }

    fn encode(&self, transaction: u16) -> Vec<u8> {
        let negotiate = wire::Negotiate { head: head(NEGOTIATE, transaction), sc_c: 0, napd: 1 };
        let mut descriptor = wire::ProtocolDescriptor::new_zeroed();
        descriptor.authid = wire::PROTOCOL_DH_HMAC_CHAP;
        descriptor.halen = self.hashes.len() as u8;
        descriptor.dhlen = self.groups.len() as u8;
        for (place, hash) in descriptor.hash_ids.iter_mut().zip(&self.hashes) {
            *place = *hash as u8;
        }
        for (place, group) in descriptor.dh_group_ids.iter_mut().zip(&self.groups) {
            *place = *group as u8;
        }
        [negotiate.as_bytes(), descriptor.as_bytes()].concat()
    }
}

impl Reply {
    fn parse(bytes: &[u8], hash: HashFunction, group: DhGroup) -> Result<Self, FailureReason> {
        let (reply, rest) = split::<wire::Reply>(bytes)?;
        let length = hash.digest_bytes();
        ensure(usize::from(reply.hl) == length)?;
        ensure(usize::from(reply.dhvlen.get()) == group.value_bytes())?;
        ensure(rest.len() == 2 * length + group.value_bytes())?;
        let (response, rest) = rest.split_at(length);
        let (challenge, public) = rest.split_at(length);
        let sequence = reply.seqnum.get();
        let challenge = match reply.cvalid {
            0 => None,
            1 if sequence != 0 => Some((challenge.to_vec(), sequence)),
            _ => return Err(FailureReason::IncorrectPayload),
        };
        Ok(Self { response: response.to_vec(), challenge, public: public.to_vec() })
    }

    fn encode(&self, transaction: u16) -> Vec<u8> {
        let none = (vec![0; self.response.len()], 0);
        let (challenge, sequence) = self.challenge.as_ref().unwrap_or(&none);
        let mut reply = wire::Reply::new_zeroed();
        reply.head = head(REPLY, transaction);
        reply.hl = self.response.len() as u8;
        reply.cvalid = u8::from(self.challenge.is_some());
        reply.dhvlen = (self.public.len() as u16).into();
        reply.seqnum = (*sequence).into();
        [reply.as_bytes(), &self.response, challenge, &self.public].concat()
    }
}

impl Challenge {
    fn parse(bytes: &[u8]) -> Result<Self, FailureReason> {
        let (challenge, rest) = split::<wire::Challenge>(bytes)?;
        let hash = HashFunction::from_id(challenge.hash_id).ok_or(FailureReason::HashNotUsable)?;
        let group = DhGroup::from_id(challenge.dh_group_id).ok_or(FailureReason::GroupNotUsable)?;
        let length = hash.digest_bytes();
        ensure(usize::from(challenge.hl) == length)?;
        ensure(usize::from(challenge.dhvlen.get()) == group.value_bytes())?;
        ensure(rest.len() >= length + group.value_bytes())?;
        let (value, rest) = rest.split_at(length);
        let public = rest[..group.value_bytes()].to_vec();
        Ok(Self { hash, group, sequence: challenge.seqnum.get(), value: value.to_vec(), public })
    }

    fn encode(&self, transaction: u16) -> Vec<u8> {
        let challenge = wire::Challenge {
            head: head(CHALLENGE, transaction),
            hl: self.value.len() as u8,
            reserved7: 0,
            hash_id: self.hash as u8,
            dh_group_id: self.group as u8,
            dhvlen: (self.public.len() as u16).into(),
            seqnum: self.sequence.into(),
        };
        [challenge.as_bytes(), &self.value, &self.public].concat()
    }
}
