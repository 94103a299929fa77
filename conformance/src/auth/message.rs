//! Messages: a host's as bytes, which checks change before they go out; a controller's taken apart.

use nvmeof::wire::authentication as wire;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{group::Group, hash::Hash};
use crate::check::{Verdict, expect, expect_equal, fail};

/// What AUTH_Negotiate offers, by numbers that a target need not know; at most 30 of each.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) hashes: Vec<u8>,
    pub(crate) groups: Vec<u8>,
}

impl Offer {
    /// Everything that there is.
    pub(crate) fn all() -> Self {
        let (hashes, groups) = (Hash::ALL.map(|hash| hash as u8), Group::ALL.map(|group| group as u8));
        Self { hashes: hashes.to_vec(), groups: groups.to_vec() }
    }

    /// AUTH_Negotiate.
    pub(super) fn message(&self, t_id: u16) -> Vec<u8> {
        let head = head(wire::AuthType::COMMON, wire::AuthId::NEGOTIATE, t_id);
        let negotiate = wire::Negotiate { head, sc_c: 0, napd: 1 };
        let mut descriptor = wire::ProtocolDescriptor::new_zeroed();
        descriptor.authid = wire::PROTOCOL_DH_HMAC_CHAP;
        (descriptor.halen, descriptor.dhlen) = (self.hashes.len() as u8, self.groups.len() as u8);
        descriptor.hash_ids[..self.hashes.len()].copy_from_slice(&self.hashes);
        descriptor.dh_group_ids[..self.groups.len()].copy_from_slice(&self.groups);
        [negotiate.as_bytes(), descriptor.as_bytes()].concat()
    }
}

fn head(auth_type: wire::AuthType, auth_id: wire::AuthId, t_id: u16) -> wire::MessageHead {
    wire::MessageHead { auth_type: auth_type.0, auth_id: auth_id.0, reserved2: [0; 2], t_id: t_id.into() }
}

/// DH-HMAC-CHAP_Reply; `challenge` is C2 and S2.
pub(super) fn reply(t_id: u16, response: &[u8], challenge: Option<(&[u8], u32)>, public: &[u8]) -> Vec<u8> {
    let mut reply = wire::Reply::new_zeroed();
    reply.head = head(wire::AuthType::DH_HMAC_CHAP, wire::AuthId::REPLY, t_id);
    reply.hl = response.len() as u8;
    reply.cvalid = u8::from(challenge.is_some());
    reply.dhvlen = (public.len() as u16).into();
    let none = vec![0; response.len()];
    let (value, sequence) = challenge.unwrap_or((&none, 0));
    reply.seqnum = sequence.into();
    [reply.as_bytes(), response, value, public].concat()
}

/// DH-HMAC-CHAP_Success2.
pub(crate) fn success2(t_id: u16) -> Vec<u8> {
    let head = head(wire::AuthType::DH_HMAC_CHAP, wire::AuthId::SUCCESS2, t_id);
    wire::Success2 { head, reserved6: [0; 10] }.as_bytes().to_vec()
}

/// AUTH_Failure2: we do not believe the controller.
pub(crate) fn failure2(t_id: u16) -> Vec<u8> {
    let head = head(wire::AuthType::COMMON, wire::AuthId::FAILURE2, t_id);
    let reason = wire::REASON_AUTHENTICATION_FAILURE;
    wire::Failure { head, reason, explanation: super::explanation::FAILED }.as_bytes().to_vec()
}

/// DH-HMAC-CHAP_Challenge, whose parts have the lengths that its numbers ask for.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) fixed: wire::Challenge,
    pub(crate) hash: Hash,
    pub(crate) group: Group,
    /// C1.
    pub(crate) value: Vec<u8>,
    /// Empty without an exchange.
    pub(crate) public: Vec<u8>,
}

/// DH-HMAC-CHAP_Success1.
#[derive(Debug, Clone)]
pub(crate) struct Success1 {
    pub(crate) fixed: wire::Success1,
    /// R2, if RVALID says that there is one.
    pub(crate) response: Option<Vec<u8>>,
}

/// A message that has to be of this kind and transaction, as its fixed part and what follows.
fn take<'a, T: FromBytes>(
    what: &str,
    kind: (wire::AuthType, wire::AuthId),
    t_id: u16,
    bytes: &'a [u8],
) -> Verdict<(T, &'a [u8])> {
    let Ok((head, _)) = wire::MessageHead::read_from_prefix(bytes) else {
        return fail(what, format_args!("a message of {} bytes", bytes.len()));
    };
    let seen = (wire::AuthType(head.auth_type), wire::AuthId(head.auth_id));
    expect(seen == kind, what, describe(bytes))?;
    expect_equal("T_ID", t_id, head.t_id.get())?;
    match T::read_from_prefix(bytes) {
        Ok(parts) => Ok(parts),
        Err(_) => fail(what, format_args!("{} bytes of it", bytes.len())),
    }
}

/// A message of a controller in a few words.
fn describe(bytes: &[u8]) -> String {
    match bytes {
        [0, 0xF1, _, _, _, _, _, explanation, ..] => {
            format!("AUTH_Failure1 with explanation {explanation:02x}h")
        }
        [auth_type, auth_id, ..] => format!("AUTH_TYPE {auth_type:02x}h, AUTH_ID {auth_id:02x}h"),
        _ => "no message".to_owned(),
    }
}

impl Challenge {
    pub(super) fn parse(t_id: u16, bytes: &[u8]) -> Verdict<Self> {
        let kind = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::CHALLENGE);
        let (fixed, rest) = take::<wire::Challenge>("DH-HMAC-CHAP_Challenge", kind, t_id, bytes)?;
        let Some(hash) = Hash::from_id(fixed.hash_id) else {
            return fail("a known HashID", format_args!("{:02x}h", fixed.hash_id));
        };
        let Some(group) = Group::from_id(fixed.dh_group_id) else {
            return fail("a known DHgID", format_args!("{:02x}h", fixed.dh_group_id));
        };
        expect_equal("HL", hash.len(), usize::from(fixed.hl))?;
        expect_equal("DHVLEN", group.len(), usize::from(fixed.dhvlen.get()))?;
        let expected = hash.len() + group.len();
        expect(
            rest.len() >= expected,
            format_args!("{expected} bytes of challenge and DH value"),
            rest.len(),
        )?;
        let (value, public) = rest[..expected].split_at(hash.len());
        Ok(Self { fixed, hash, group, value: value.to_vec(), public: public.to_vec() })
    }
}

impl Success1 {
    pub(super) fn parse(t_id: u16, hash: Hash, bytes: &[u8]) -> Verdict<Self> {
        let kind = (wire::AuthType::DH_HMAC_CHAP, wire::AuthId::SUCCESS1);
        let (fixed, rest) = take::<wire::Success1>("DH-HMAC-CHAP_Success1", kind, t_id, bytes)?;
        if fixed.rvalid == 0 {
            return Ok(Self { fixed, response: None });
        }
        expect_equal("RVALID", 1, fixed.rvalid)?;
        expect_equal("HL", hash.len(), usize::from(fixed.hl))?;
        match rest.get(..hash.len()) {
            Some(response) => Ok(Self { fixed, response: Some(response.to_vec()) }),
            None => fail("a response as long as the hash", format_args!("{} bytes", rest.len())),
        }
    }
}

/// The reason code explanation of an AUTH_Failure1.
pub(super) fn failure1(t_id: u16, bytes: &[u8]) -> Verdict<u8> {
    let kind = (wire::AuthType::COMMON, wire::AuthId::FAILURE1);
    let (failure, _) = take::<wire::Failure>("AUTH_Failure1", kind, t_id, bytes)?;
    expect_equal("reason code", wire::REASON_AUTHENTICATION_FAILURE, failure.reason)?;
    Ok(failure.explanation)
}
