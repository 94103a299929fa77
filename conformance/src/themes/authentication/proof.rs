//! DH-HMAC-CHAP_Reply, right and wrong, and messages out of their order.

use super::{NEEDS, ORDER, REPLY, check};
use crate::{
    auth::{
        Challenge, Group, Offer,
        explanation::{FAILED, INCORRECT_MESSAGE, INCORRECT_PAYLOAD},
        success2,
    },
    check::{Check, skip},
};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = wrong();
    checks.extend(exchanges());
    checks.extend(order());
    checks
}

/// Where the response begins.
const RESPONSE: usize = 16;

/// A right reply that is changed in one place, and the explanations that fit the change.
fn wrong() -> Vec<Check> {
    type Row = (&'static str, fn(&mut Vec<u8>, &Challenge), &'static [u8]);
    const FORM: &[u8] = &[INCORRECT_PAYLOAD];
    const UNKNOWN: &[u8] = &[INCORRECT_PAYLOAD, INCORRECT_MESSAGE];
    let table: [Row; 12] = [
        ("wrong_in_its_first_byte", |reply, _| reply[RESPONSE] ^= 1, &[FAILED]),
        ("wrong_in_its_last_byte", |reply, asked| reply[RESPONSE + asked.hash.len() - 1] ^= 0x80, &[FAILED]),
        ("of_zeros", |reply, asked| reply[RESPONSE..][..asked.hash.len()].fill(0), &[FAILED]),
        (
            "that_is_the_challenge",
            |reply, asked| reply[RESPONSE..][..asked.hash.len()].copy_from_slice(&asked.value),
            &[FAILED],
        ),
        ("t_id_of_another", |reply, _| reply[4] ^= 1, UNKNOWN),
        ("auth_type_common", |reply, _| reply[0] = 0, UNKNOWN),
        ("hl_0", |reply, _| reply[6] = 0, FORM),
        ("hl_16", |reply, _| reply[6] = 16, FORM),
        ("hl_255", |reply, _| reply[6] = 255, FORM),
        ("dhvlen_4_more", |reply, _| reply[10] += 4, FORM),
        ("cut_by_a_byte", |reply, _| reply.truncate(reply.len() - 1), FORM),
        ("cut_to_its_head", |reply, _| reply.truncate(6), FORM),
    ];
    let check = |(name, change, explanations): Row| {
        check(format!("reply_{name}"), REPLY, NEEDS, move |host| {
            let challenge = host.until_challenge()?;
            let mut reply = host.reply(&challenge)?.message;
            change(&mut reply, &challenge);
            host.tell(&reply)?;
            host.refused(explanations)
        })
    };
    table.into_iter().map(check).collect()
}

/// DH values that are none, or another than the one that the response was computed with.
fn exchanges() -> Vec<Check> {
    type Row = (&'static str, fn(Group) -> Vec<u8>, &'static [u8]);
    fn below_prime(group: Group, by: u8) -> Vec<u8> {
        let mut value = group.prime();
        if let Some(last) = value.last_mut() {
            *last -= by;
        }
        value
    }
    const KNOWN_SECRET: &[u8] = &[INCORRECT_PAYLOAD, FAILED];
    let table: [Row; 6] = [
        ("0", |group| group.small(0), KNOWN_SECRET),
        ("1", |group| group.small(1), KNOWN_SECRET),
        ("p_minus_1", |group| below_prime(group, 1), KNOWN_SECRET),
        ("p", |group| below_prime(group, 0), KNOWN_SECRET),
        ("of_ones", |group| vec![0xFF; group.len()], KNOWN_SECRET),
        ("of_another_exponent", |group| group.small(2), &[FAILED]),
    ];
    let check = |(name, value, explanations): Row| {
        check(format!("reply_dh_value_{name}"), REPLY, NEEDS, move |host| {
            let challenge = host.until_challenge()?;
            if challenge.group == Group::Null {
                return skip("the target asks for no Diffie-Hellman exchange");
            }
            let mut reply = host.reply(&challenge)?.message;
            let at = reply.len() - challenge.group.len();
            reply[at..].copy_from_slice(&value(challenge.group));
            host.tell(&reply)?;
            host.refused(explanations)
        })
    };
    table.into_iter().map(check).collect()
}

fn order() -> Vec<Check> {
    const WRONG: &[u8] = &[INCORRECT_PAYLOAD, INCORRECT_MESSAGE];
    /// In the form of a reply with SHA-256 and without an exchange.
    fn any_reply(t_id: u16) -> Vec<u8> {
        let mut reply = vec![0; RESPONSE + 2 * 32];
        let [low, high] = t_id.to_le_bytes();
        reply[..7].copy_from_slice(&[1, 2, 0, 0, low, high, 32]);
        reply
    }
    vec![
        // No transaction has an identifier yet.
        check("reply_first", ORDER, NEEDS, |host| {
            host.t_id = 0;
            host.tell(&any_reply(0))?;
            host.refused(WRONG)
        }),
        check("success2_first", ORDER, NEEDS, |host| {
            host.t_id = 0;
            host.tell(&success2(0))?;
            host.refused(WRONG)
        }),
        check("receive_first", ORDER, NEEDS, |host| {
            host.t_id = 0;
            host.refused(&[FAILED, INCORRECT_PAYLOAD, INCORRECT_MESSAGE])
        }),
        check("reply_before_the_challenge", ORDER, NEEDS, |host| {
            host.tell(&host.negotiate(&Offer::all()))?;
            host.tell(&any_reply(host.t_id))?;
            host.refused(WRONG)
        }),
        check("success2_instead_of_a_reply", ORDER, NEEDS, |host| {
            host.until_challenge()?;
            host.tell(&success2(host.t_id))?;
            host.refused(WRONG)
        }),
        check("reply_twice", ORDER, NEEDS, |host| {
            let reply = host.until_reply()?;
            host.tell(&reply.message)?;
            host.tell(&reply.message)?;
            host.refused(WRONG)
        }),
    ]
}
