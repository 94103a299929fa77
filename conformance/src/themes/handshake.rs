//! ICReq and ICResp (TCP §3.6.2.2, §3.6.2.3).

use nvmeof::{
    host::sqe,
    wire::{connect::CNTLID_DYNAMIC, opcode::Cns, pdu::PduType},
};

use crate::{
    check::{Check, Verdict, expect, expect_equal, expect_success, expect_zero},
    lab::Lab,
    limits,
    link::Pdu,
    pdu::{self, Wishes},
    queue::{Data, Queue},
};

const IC_RESP: &str = "TCP §3.6.2.3";
const IC_REQ: &str = "TCP §3.6.2.2";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = response_fields();
    checks.extend(digest_wishes());
    checks.extend([0, 1, 15, 255, u32::MAX].map(|maxr2t_z| {
        let wishes = Wishes { maxr2t_z, ..Wishes::default() };
        Check::new(format!("handshake/maxr2t_{maxr2t_z}_is_taken"), IC_REQ, &[], move |lab| {
            lab.target.open()?.initialize(wishes).map(drop)
        })
    }));
    checks.extend([0, 1, 3, 7, 15, 30, 31].map(|hpda_z| {
        Check::new(format!("handshake/hpda_{hpda_z}_is_kept"), "TCP §3.3.1.1", &[], move |lab| {
            alignment_is_kept(lab, hpda_z)
        })
    }));
    checks.extend([1, 2, 7, 8, 9, 64, 127].map(|piece| {
        Check::new(format!("handshake/bytes_in_pieces_of_{piece}"), "TCP §3.6.2", &[], move |lab| {
            pieces_are_put_together(lab, piece)
        })
    }));
    checks
}

/// Each field of the ICResp to a plain ICReq.
fn response_fields() -> Vec<Check> {
    type Field = (&'static str, fn(&Pdu) -> Verdict);
    let fields: [Field; 12] = [
        ("type", |pdu| expect_equal("PDU-Type", PduType::IC_RESP.0, pdu.pdu_type)),
        ("flags_are_reserved", |pdu| expect_equal("FLAGS", 0, pdu.flags)),
        ("hlen", |pdu| expect_equal("HLEN", 128, pdu.hlen)),
        ("pdo_is_reserved", |pdu| expect_equal("PDO", 0, pdu.pdo)),
        ("plen", |pdu| expect_equal("PLEN", 128, pdu.plen)),
        ("pfv", |pdu| expect_equal("PFV", 0, pdu.u16_at(8))),
        ("cpda_is_at_most_31", |pdu| {
            let cpda = pdu.u16_at(10) as u8;
            expect(cpda <= 31, "CPDA of at most 31", format_args!("CPDA {cpda}"))
        }),
        ("dgst_reserved_bits", |pdu| expect_equal("DGST bits 7:2", 0, pdu.u16_at(10) >> 10)),
        ("digests_off_unless_asked", |pdu| expect_equal("DGST", 0, pdu.u16_at(10) >> 8 & 3)),
        ("maxh2cdata_is_not_zero", |pdu| expect(pdu.u32_at(12) > 0, "MAXH2CDATA above zero", "MAXH2CDATA 0")),
        ("maxh2cdata_is_in_dwords", |pdu| {
            let bytes = pdu.u32_at(12);
            expect(bytes.is_multiple_of(4), "a multiple of four", format_args!("MAXH2CDATA {bytes}"))
        }),
        ("reserved_bytes", |pdu| expect_zero("bytes 127:16", pdu.header.get(16..).unwrap_or(&[]))),
    ];
    let check = |(name, judge): Field| {
        Check::new(format!("handshake/icresp_{name}"), IC_RESP, &[], move |lab| {
            judge(&lab.target.open()?.initialize(Wishes::default())?)
        })
    };
    fields.into_iter().map(check).collect()
}

/// A controller enables no digest that the host did not ask for.
fn digest_wishes() -> Vec<Check> {
    let check = |asked: u8| {
        let wishes =
            Wishes { header_digest: asked & 1 != 0, data_digest: asked & 2 != 0, ..Wishes::default() };
        Check::new(format!("handshake/dgst_{asked}_gets_no_more"), IC_RESP, &[], move |lab| {
            let response = lab.target.open()?.initialize(wishes)?;
            let got = (response.u16_at(10) >> 8) as u8;
            expect(
                got & !asked == 0,
                format_args!("of DGST {asked:#x} at most"),
                format_args!("DGST {got:#x}"),
            )
        })
    };
    [1, 2, 3].map(check).into()
}

/// C2HData begins its data where HPDA says (TCP §3.3.1.1).
fn alignment_is_kept(lab: &mut Lab<'_>, hpda_z: u8) -> Verdict {
    let wishes = Wishes { hpda_z, ..Wishes::default() };
    let (mut queue, _) = lab.target.connect_admin(wishes)?;
    crate::lab::enable(&mut queue)?;
    let answer = queue.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
    expect_success(&answer)?;
    let alignment = (u32::from(hpda_z) + 1) * 4;
    for pdu in answer.pdus.iter().filter(|pdu| pdu.is(PduType::C2H_DATA)) {
        expect(
            u32::from(pdu.pdo).is_multiple_of(alignment),
            format_args!("PDO a multiple of {alignment}"),
            format_args!("PDO {}", pdu.pdo),
        )?;
    }
    Ok(())
}

/// TCP is a stream: where a segment ends means nothing.
fn pieces_are_put_together(lab: &mut Lab<'_>, piece: usize) -> Verdict {
    let mut link = lab.target.open()?;
    for part in pdu::ic_req(Wishes::default()).chunks(piece) {
        link.send(part)?;
    }
    link.expect_pdu(PduType::IC_RESP)?;
    let mut queue = Queue::new(link);
    let connect = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
    let (cid, capsule) = queue.prepare(connect, Data::Capsule(&lab.target.connect_data(CNTLID_DYNAMIC)));
    // The first bytes are cut as finely; the rest of the data in one.
    let (head, tail) = capsule.split_at(128);
    for part in head.chunks(piece) {
        queue.link.send(part)?;
    }
    queue.link.send(tail)?;
    expect_success(&queue.answer(cid)?)
}
