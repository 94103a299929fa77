//! Header and data digests (TCP §3.3.1.2).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        opcode::Cns,
        pdu::{Fes, HDGSTF, PduType},
    },
};

use super::{
    malformed::{pair, status},
    transfers::{hints, hints_data, outgoing},
};
use crate::{
    check::{Check, Need, Verdict, expect, expect_status, expect_success},
    lab::Lab,
    link::{Link, Pdu},
    pdu::{self, H2cData, Wishes},
    queue::{Answer, Data},
};

const HEADER: &str = "TCP §3.3.1.2.1";
const DATA: &str = "TCP §3.3.1.2.2";

const HEADER_ON: Wishes = Wishes { header_digest: true, data_digest: false, hpda_z: 0, maxr2t_z: 0 };
const DATA_ON: Wishes = Wishes { header_digest: false, data_digest: true, hpda_z: 0, maxr2t_z: 0 };
const BOTH_ON: Wishes = Wishes { header_digest: true, data_digest: true, hpda_z: 0, maxr2t_z: 0 };

pub(super) fn checks() -> Vec<Check> {
    let mut checks = right();
    checks.extend(wrong_header_digests());
    checks.extend(wrong_data_digests());
    checks.push(Check::new("digests/both_with_padding", "TCP §3.3.1.1", BOTH, |lab| {
        let answer = identify(lab, Wishes { hpda_z: 31, ..BOTH_ON })?;
        every(&answer, PduType::C2H_DATA, "a right data digest", |pdu| pdu.data_digest == Some(true))
    }));
    checks
}

const BOTH: &[Need] = &[Need::HeaderDigest, Need::DataDigest];

/// Digests of the target's own PDUs.
fn right() -> Vec<Check> {
    type Row = (&'static str, &'static str, &'static [Need], Wishes, PduType, fn(&Pdu) -> bool);
    const HDR: &[Need] = &[Need::HeaderDigest];
    const DAT: &[Need] = &[Need::DataDigest];
    let table: [Row; 10] = [
        ("header_of_capsuleresp", HEADER, HDR, HEADER_ON, PduType::CAPSULE_RESP, header_is_right),
        ("header_of_c2hdata", HEADER, HDR, HEADER_ON, PduType::C2H_DATA, header_is_right),
        ("data_of_c2hdata", DATA, DAT, DATA_ON, PduType::C2H_DATA, |pdu| pdu.data_digest == Some(true)),
        ("no_header_digest_unless_agreed", HEADER, DAT, DATA_ON, PduType::C2H_DATA, no_header_digest),
        (
            "no_header_digest_on_responses_unless_agreed",
            HEADER,
            DAT,
            DATA_ON,
            PduType::CAPSULE_RESP,
            no_header_digest,
        ),
        ("no_data_digest_unless_agreed", DATA, HDR, HEADER_ON, PduType::C2H_DATA, |pdu| {
            pdu.data_digest.is_none()
        }),
        ("both_header_of_capsuleresp", HEADER, BOTH, BOTH_ON, PduType::CAPSULE_RESP, header_is_right),
        ("both_header_of_c2hdata", HEADER, BOTH, BOTH_ON, PduType::C2H_DATA, header_is_right),
        ("both_data_of_c2hdata", DATA, BOTH, BOTH_ON, PduType::C2H_DATA, |pdu| pdu.data_digest == Some(true)),
        ("no_data_digest_without_data", DATA, BOTH, BOTH_ON, PduType::CAPSULE_RESP, |pdu| {
            pdu.data_digest.is_none()
        }),
    ];
    let check = |(name, section, needs, wishes, pdu_type, holds): Row| {
        Check::new(format!("digests/{name}"), section, needs, move |lab| {
            every(&identify(lab, wishes)?, pdu_type, "its digests as agreed, and right", holds)
        })
    };
    let mut checks: Vec<Check> = table.into_iter().map(check).collect();
    for (name, wishes, needs) in [("header", HEADER_ON, HDR_DSM), ("both", BOTH_ON, BOTH_DSM)] {
        checks.push(Check::new(format!("digests/{name}_of_r2t"), HEADER, needs, move |lab| {
            let (sqe, data) = outgoing(lab)?;
            let mut session = lab.fresh_with(wishes)?;
            let answer = session.io()?.command(sqe, Data::Out(&data))?;
            expect_success(&answer)?;
            every(&answer, PduType::R2T, "a right header digest", header_is_right)
        }));
    }
    checks
}

const HDR_DSM: &[Need] = &[Need::HeaderDigest, Need::Namespace, Need::Deallocate];
const DAT_DSM: &[Need] = &[Need::DataDigest, Need::Namespace, Need::Deallocate];
const BOTH_DSM: &[Need] = &[Need::HeaderDigest, Need::DataDigest, Need::Namespace, Need::Deallocate];

fn header_is_right(pdu: &Pdu) -> bool {
    pdu.header_digest == Some(true)
}

fn no_header_digest(pdu: &Pdu) -> bool {
    pdu.flags & HDGSTF == 0
}

fn identify(lab: &Lab<'_>, wishes: Wishes) -> Verdict<Answer> {
    let (mut queue, _) = lab.target.connect_admin(wishes)?;
    crate::lab::enable(&mut queue)?;
    let answer = queue.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
    expect_success(&answer)?;
    Ok(answer)
}

/// All PDUs of a type, of which there has to be one, unless SUCCESS stood for it.
fn every(answer: &Answer, pdu_type: PduType, what: &str, holds: fn(&Pdu) -> bool) -> Verdict {
    let mut of_type = answer.pdus.iter().filter(|pdu| pdu.is(pdu_type)).peekable();
    if of_type.peek().is_none() {
        return crate::check::skip(format_args!("the target sent no {pdu_type:?}"));
    }
    let wrong = of_type.find(|pdu| !holds(pdu));
    let seen = wrong.map_or(String::new(), |pdu| {
        format!(
            "flags {:#04x}, header digest {:?}, data digest {:?}",
            pdu.flags, pdu.header_digest, pdu.data_digest
        )
    });
    expect(wrong.is_none(), format_args!("every {pdu_type:?} with {what}"), seen)
}

/// A wrong header digest ends the connection.
fn wrong_header_digests() -> Vec<Check> {
    const ERROR: &[super::malformed::Fatal] = &[status(Fes::HEADER_DIGEST_ERROR)];
    fn provoke(lab: &mut Lab<'_>, byte: usize) -> Verdict<Link> {
        let mut link = lab.target.open()?;
        link.initialize(HEADER_ON)?;
        let mut capsule = pdu::capsule(&sqe::keep_alive(), &[], &link.agreed);
        capsule[byte] ^= 0x10;
        link.provoke(&capsule);
        Ok(link)
    }
    // A byte of the entry, and each byte of the digest behind it.
    [
        (20, "header_byte"),
        (72, "digest_byte_0"),
        (73, "digest_byte_1"),
        (74, "digest_byte_2"),
        (75, "digest_byte_3"),
    ]
    .into_iter()
    .flat_map(|(byte, name)| {
        let name = format!("digests/wrong_{name}");
        pair(name, HEADER, &[Need::HeaderDigest], ERROR, move |lab| provoke(lab, byte))
    })
    .collect()
}

/// A wrong data digest fails its command, and only that (TCP §3.3.1.2.2).
fn wrong_data_digests() -> Vec<Check> {
    fn in_capsule(lab: &mut Lab<'_>, serves_on: bool) -> Verdict {
        let mut session = lab.fresh_with(DATA_ON)?;
        let (sqe, data) = (hints(lab)?, hints_data());
        let io = session.io()?;
        let (cid, mut capsule) = io.prepare(sqe, Data::Capsule(&data));
        let last = capsule.len() - 1;
        capsule[last] ^= 1;
        io.link.send(&capsule)?;
        let answer = io.answer(cid)?;
        if !serves_on {
            return expect_status(&answer, &[Status::TRANSIENT_TRANSPORT_ERROR]);
        }
        expect_success(&io.command(sqe, Data::Capsule(&data))?)
    }
    fn by_r2t(lab: &mut Lab<'_>, serves_on: bool) -> Verdict {
        let (sqe, data) = outgoing(lab)?;
        let mut session = lab.fresh_with(DATA_ON)?;
        let io = session.io()?;
        let cid = io.issue(sqe, Data::Out(&data))?;
        let r2t = io.requested(cid)?;
        let ttag = r2t.u16_at(10);
        let takes_all = r2t.u32_at(16).min(io.link.agreed.h2c_data_bytes_max) as usize == data.len();
        if !takes_all {
            return crate::check::skip("the target takes the data in several pieces");
        }
        let part = H2cData { cccid: cid, ttag, datao: 0, datal: None, last: true, data: &data };
        let mut bytes = part.encode(&io.link.agreed);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        io.link.send(&bytes)?;
        let answer = io.answer(cid)?;
        if !serves_on {
            return expect_status(&answer, &[Status::TRANSIENT_TRANSPORT_ERROR]);
        }
        expect_success(&io.command(sqe, Data::Out(&data))?)
    }
    vec![
        Check::new("digests/wrong_data_in_capsule", DATA, DAT_DSM, |lab| in_capsule(lab, false)),
        Check::new("digests/wrong_data_in_capsule_ends_nothing", DATA, DAT_DSM, |lab| in_capsule(lab, true)),
        Check::new("digests/wrong_data_by_r2t", DATA, DAT_DSM, |lab| by_r2t(lab, false)),
        Check::new("digests/wrong_data_by_r2t_ends_nothing", DATA, DAT_DSM, |lab| by_r2t(lab, true)),
        Check::new("digests/wrong_digest_of_connect_data", DATA, &[Need::DataDigest], |lab| {
            let mut link = lab.target.open()?;
            link.initialize(DATA_ON)?;
            let mut queue = crate::queue::Queue::new(link);
            let data = lab.target.connect_data(u16::MAX);
            let (cid, mut capsule) = queue.prepare(sqe::connect(0, 32, 0, true), Data::Capsule(&data));
            let last = capsule.len() - 1;
            capsule[last] ^= 1;
            queue.link.send(&capsule)?;
            expect_status(&queue.answer(cid)?, &[Status::TRANSIENT_TRANSPORT_ERROR])
        }),
    ]
}
