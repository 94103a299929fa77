//! AUTH_Negotiate and the challenge that answers it.

use super::{CHALLENGE, FAILURE, NEEDS, NEGOTIATE, asked, check, served};
use crate::{
    auth::{
        Group, Hash, Offer, Transaction,
        explanation::{
            CONCATENATION_MISMATCH, GROUP_NOT_USABLE, HASH_NOT_USABLE, INCORRECT_MESSAGE, INCORRECT_PAYLOAD,
            PROTOCOL_NOT_USABLE,
        },
    },
    check::{Check, Verdict, expect, expect_equal, expect_zero},
};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = wrong();
    checks.extend(choices());
    checks.extend(challenges());
    checks
}

/// A number that is reserved for hash functions and groups.
const RESERVED: u8 = 0x7F;

/// Messages with one wrong field, and the explanations that fit it.
fn wrong() -> Vec<Check> {
    type Row = (&'static str, fn(&mut Vec<u8>), &'static [u8]);
    const FORM: &[u8] = &[INCORRECT_PAYLOAD];
    const UNKNOWN: &[u8] = &[INCORRECT_PAYLOAD, INCORRECT_MESSAGE];
    const HASH_LIST: std::ops::Range<usize> = 12..42;
    const GROUP_LIST: std::ops::Range<usize> = 42..72;
    let table: [Row; 13] = [
        ("cut_in_its_descriptor", |message| message.truncate(40), FORM),
        ("without_its_descriptor", |message| message.truncate(8), FORM),
        ("napd_2_with_one_descriptor", |message| message[7] = 2, FORM),
        ("napd_0", |message| message[7] = 0, &[INCORRECT_PAYLOAD, PROTOCOL_NOT_USABLE]),
        ("authid_unknown", |message| message[8] = 0x7F, &[PROTOCOL_NOT_USABLE]),
        ("halen_31", |message| message[10] = 31, FORM),
        ("dhlen_31", |message| message[11] = 31, FORM),
        ("halen_0", |message| message[10] = 0, &[INCORRECT_PAYLOAD, HASH_NOT_USABLE]),
        ("dhlen_0", |message| message[11] = 0, &[INCORRECT_PAYLOAD, GROUP_NOT_USABLE]),
        ("hashes_reserved", |message| message[HASH_LIST].fill(RESERVED), &[HASH_NOT_USABLE]),
        ("groups_reserved", |message| message[GROUP_LIST].fill(RESERVED), &[GROUP_NOT_USABLE]),
        ("auth_type_reserved", |message| message[0] = 0x42, UNKNOWN),
        ("auth_id_reserved", |message| message[1] = 0x42, UNKNOWN),
    ];
    let check = |(name, change, explanations): Row| {
        check(format!("negotiate_{name}"), NEGOTIATE, NEEDS, move |host| {
            // The transaction that has this identifier has to exist where the change makes it another message.
            host.t_id = 0;
            let mut message = host.negotiate(&Offer::all());
            change(&mut message);
            host.tell(&message)?;
            host.refused(explanations)
        })
    };
    let mut checks: Vec<Check> = table.into_iter().map(check).collect();
    checks.push(super::check("negotiate_sc_c_reserved", NEGOTIATE, NEEDS, |host| {
        let mut message = host.negotiate(&Offer::all());
        message[6] = 0xFF;
        host.tell(&message)?;
        host.refused(&[INCORRECT_PAYLOAD, CONCATENATION_MISMATCH])
    }));
    checks
}

/// What the target makes of an offer: it authenticates the host with what is offered, or says that it cannot.
fn choose(host: &mut Transaction<'_>, offer: &Offer, unusable: u8) -> Verdict {
    let Some(challenge) = host.challenge_or_refusal(offer, unusable)? else { return Ok(()) };
    let (hash, group) = (challenge.hash as u8, challenge.group as u8);
    expect(
        offer.hashes.contains(&hash) && offer.groups.contains(&group),
        format_args!("one of the hash functions {:02x?} and groups {:02x?}", offer.hashes, offer.groups),
        format_args!("HashID {hash:02x}h, DHgID {group:02x}h"),
    )?;
    let reply = host.reply(&challenge)?;
    host.tell(&reply.message)?;
    host.finish(&reply)?;
    served(host.queue)
}

fn choices() -> Vec<Check> {
    let mut checks = Vec::new();
    for hash in Hash::ALL {
        checks.push(check(
            format!("offer_of_{hash:?}_alone").to_lowercase(),
            CHALLENGE,
            NEEDS,
            move |host| choose(host, &Offer { hashes: vec![hash as u8], ..Offer::all() }, HASH_NOT_USABLE),
        ));
    }
    for group in Group::ALL {
        checks.push(check(
            format!("offer_of_{group:?}_alone").to_lowercase(),
            CHALLENGE,
            NEEDS,
            move |host| choose(host, &Offer { groups: vec![group as u8], ..Offer::all() }, GROUP_NOT_USABLE),
        ));
    }
    checks.push(check("offer_with_reserved_numbers_too", NEGOTIATE, NEEDS, |host| {
        let Offer { mut hashes, mut groups } = Offer::all();
        hashes.insert(0, RESERVED);
        groups.insert(0, RESERVED);
        host.tell(&host.negotiate(&Offer { hashes, groups }))?;
        let challenge = host.challenge()?;
        let reply = host.reply(&challenge)?;
        host.tell(&reply.message)?;
        host.finish(&reply)
    }));
    for t_id in [0, u16::MAX] {
        checks.push(check(format!("t_id_{t_id:04x}h"), FAILURE, NEEDS, move |host| {
            host.t_id = t_id;
            host.run()?;
            served(host.queue)
        }));
    }
    checks
}

fn challenges() -> Vec<Check> {
    vec![
        check("challenge_has_the_lengths_of_its_numbers", CHALLENGE, NEEDS, |host| {
            host.until_challenge().map(drop)
        }),
        check("challenge_seqnum_is_not_0", CHALLENGE, NEEDS, |host| {
            let seqnum = host.until_challenge()?.fixed.seqnum.get();
            expect(seqnum != 0, "a SEQNUM", "0")
        }),
        check("challenge_reserved_bytes", CHALLENGE, NEEDS, |host| {
            let fixed = host.until_challenge()?.fixed;
            expect_zero("bytes 3:2", &fixed.head.reserved2)?;
            expect_equal("byte 7", 0, fixed.reserved7)
        }),
        check("challenge_dh_value_is_in_its_group", CHALLENGE, NEEDS, |host| {
            let challenge = host.until_challenge()?;
            expect(
                challenge.group == Group::Null || challenge.group.takes(&challenge.public),
                "a DH value from 2 to p - 2",
                format_args!("{:02x?}", challenge.public),
            )
        }),
        Check::new("authentication/challenge_is_another_each_time", CHALLENGE, NEEDS, |lab| {
            let (mut one, mut two) = (asked(lab)?, asked(lab)?);
            let one = Transaction::new(&mut one, lab.target)?.until_challenge()?;
            let two = Transaction::new(&mut two, lab.target)?.until_challenge()?;
            expect(one.value != two.value, "two challenges", "one of them twice")?;
            expect(one.group == Group::Null || one.public != two.public, "two DH values", "one of them twice")
        }),
    ]
}
