//! How a connection is given up: H2CTermReq, and what a C2HTermReq looks like (TCP §3.6.2.4, §3.6.2.5).

use nvmeof::wire::pdu::{Fes, TERM_REQ_BYTES_MAX};

use super::malformed::{ended, provoked};
use crate::{
    check::{Check, Verdict, expect, expect_equal, expect_zero, fail, skip},
    link::{Incoming, Pdu, describe_incoming},
    pdu,
};

const C2H_TERM_REQ: &str = "TCP §3.6.2.5";
const H2C_TERM_REQ: &str = "TCP §3.6.2.4";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = fields();
    for fes in 1..=6 {
        checks.push(Check::new(
            format!("termination/host_gives_up_with_fes_{fes}"),
            H2C_TERM_REQ,
            &[],
            move |lab| {
                let mut link = lab.initialized()?;
                link.provoke(&pdu::term_req(Fes(fes), 0, &pdu::bare(5, 24, 24)));
                ended(&mut link)
            },
        ));
    }
    checks.push(Check::new("termination/host_gives_up_without_a_copy", H2C_TERM_REQ, &[], |lab| {
        let mut link = lab.initialized()?;
        link.provoke(&pdu::term_req(Fes::PDU_SEQUENCE_ERROR, 0, &[]));
        ended(&mut link)
    }));
    checks.push(Check::new("termination/nothing_is_answered_afterwards", "TCP §3.5", &[], |lab| {
        let mut link = lab.initialized()?;
        // A PDU of no type, and right behind it a command.
        let mut bytes = pdu::bare(0xFF, 24, 24);
        bytes.extend(pdu::capsule(&nvmeof::host::sqe::keep_alive(), &[], &link.agreed));
        link.provoke(&bytes);
        loop {
            match link.receive()? {
                Incoming::Pdu(pdu) if pdu.is(nvmeof::wire::pdu::PduType::C2H_TERM_REQ) => {}
                Incoming::Closed | Incoming::Silence => return Ok(()),
                other @ Incoming::Pdu(_) => return fail("no further PDU", describe_incoming(&other)),
            }
        }
    }));
    checks
}

/// Each field of the C2HTermReq to a PDU of no type.
fn fields() -> Vec<Check> {
    type Field = (&'static str, fn(&Pdu) -> Verdict);
    let fields: [Field; 8] = [
        ("flags_are_reserved", |pdu| expect_equal("FLAGS", 0, pdu.flags)),
        ("hlen", |pdu| expect_equal("HLEN", 24, pdu.hlen)),
        ("pdo_is_reserved", |pdu| expect_equal("PDO", 0, pdu.pdo)),
        ("plen_is_at_most_152", |pdu| {
            let plen = pdu.plen;
            expect(plen <= TERM_REQ_BYTES_MAX, "PLEN of at most 152", format_args!("PLEN {plen}"))
        }),
        ("fes_is_not_reserved", |pdu| {
            let (fes, _) = pdu.fatal_error();
            expect((1..=6).contains(&fes.0), "a defined FES", format_args!("FES {:02x}h", fes.0))
        }),
        ("reserved_bytes", |pdu| expect_zero("bytes 23:14", pdu.header.get(14..24).unwrap_or(&[]))),
        ("carries_the_wrong_header", |pdu| {
            let sent = unknown();
            let copied = pdu.data.len().min(sent.len());
            expect(
                copied >= 8 && pdu.data[..copied] == sent[..copied],
                "the first bytes of the PDU that was wrong",
                format_args!("{:02x?}", pdu.data),
            )
        }),
        ("carries_no_more_than_a_header", |pdu| {
            let len = pdu.data.len();
            expect(len <= 128, "at most 128 bytes of header", format_args!("{len} bytes"))
        }),
    ];
    let check = |(name, judge): Field| {
        Check::new(format!("termination/c2htermreq_{name}"), C2H_TERM_REQ, &[], move |lab| {
            let pdu = provoked(lab, &unknown())?;
            if pdu.header.len() < 24 {
                return skip("its HLEN is wrong, as another check tells");
            }
            judge(&pdu)
        })
    };
    fields.into_iter().map(check).collect()
}

/// A PDU of no type.
fn unknown() -> Vec<u8> {
    pdu::bare(0xFF, 24, 24)
}
