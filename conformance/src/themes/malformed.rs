//! Families of PDUs that are wrong in one place: each is one check of the fatal error that the target tells, and one
//! that it ends the connection.

use nvmeof::wire::pdu::{Fes, PduType};

use crate::{
    check::{Check, Need, Verdict, broken, expect, fail},
    lab::Lab,
    link::{Incoming, Link, describe_incoming},
};

/// A wrong PDU, sent over a connection that was brought to the right point.
#[derive(Clone, Copy)]
pub(super) struct Wrong {
    /// `theme/what_is_wrong`.
    pub(super) name: &'static str,
    pub(super) section: &'static str,
    pub(super) needs: &'static [Need],
    /// Brings a connection to the point and sends the PDU.
    pub(super) send: fn(&mut Lab<'_>) -> Verdict<Link>,
    /// What the C2HTermReq may say: any of these.
    pub(super) errors: &'static [Fatal],
}

/// A fatal error status, and the offset of the wrong field where the status has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fatal {
    pub(super) fes: Fes,
    pub(super) fei: Option<u32>,
}

/// Invalid PDU Header Field at that offset.
pub(super) const fn field(offset: u32) -> Fatal {
    Fatal { fes: Fes::INVALID_PDU_HEADER_FIELD, fei: Some(offset) }
}

/// A status whose information is of no importance here.
pub(super) const fn status(fes: Fes) -> Fatal {
    Fatal { fes, fei: None }
}

/// The two checks of one wrong PDU.
pub(super) fn checks(wrong: &Wrong) -> [Check; 2] {
    let Wrong { name, section, needs, send, errors } = *wrong;
    pair(name.to_owned(), section, needs, errors, send)
}

/// The same for a way of breaking a connection that knows more than its name.
pub(super) fn pair(
    name: String,
    section: &'static str,
    needs: &'static [Need],
    errors: &'static [Fatal],
    send: impl Fn(&mut Lab<'_>) -> Verdict<Link> + Copy + 'static,
) -> [Check; 2] {
    let key = name.clone();
    [
        Check::new(name.clone(), section, needs, move |lab| {
            told(&lab.end_of(&name, |lab| send(lab)?.end())?, errors)
        }),
        Check::new(format!("{key}_ends"), "TCP §3.5", needs, move |lab| {
            is_end(&lab.end_of(&key, |lab| send(lab)?.end())?)
        }),
    ]
}

/// A C2HTermReq came that says one of these.
pub(super) fn told(end: &Incoming, errors: &[Fatal]) -> Verdict {
    let expected: Vec<String> = errors.iter().map(words).collect();
    let expected = format!("C2HTermReq with {}", expected.join(" or "));
    match end {
        Incoming::Pdu(pdu) if pdu.is(PduType::C2H_TERM_REQ) => {
            let (fes, fei) = pdu.fatal_error();
            let fits = |error: &Fatal| error.fes == fes && error.fei.is_none_or(|at| at == fei);
            expect(errors.iter().any(fits), expected, describe_incoming(end))
        }
        other => fail(expected, describe_incoming(other)),
    }
}

/// The target said C2HTermReq, after which the host closes, or closed itself.
pub(super) fn ended(link: &mut Link) -> Verdict {
    is_end(&link.end()?)
}

/// The same of what came.
pub(super) fn is_end(end: &Incoming) -> Verdict {
    match end {
        Incoming::Silence => fail("C2HTermReq or the end of the connection", "silence"),
        Incoming::Pdu(_) | Incoming::Closed => Ok(()),
    }
}

/// The C2HTermReq to a PDU that no target can take.
pub(super) fn provoked(lab: &mut Lab<'_>, pdu: &[u8]) -> Verdict<crate::link::Pdu> {
    let mut link = lab.initialized()?;
    link.provoke(pdu);
    match link.end()? {
        Incoming::Pdu(pdu) => Ok(pdu),
        Incoming::Closed => {
            crate::check::skip("the target closes without a C2HTermReq, as other checks tell")
        }
        Incoming::Silence => broken("neither a C2HTermReq nor the end of the connection"),
    }
}

fn words(error: &Fatal) -> String {
    let Fatal { fes, fei } = error;
    match fei {
        Some(fei) => format!("FES {:02x}h, FEI {fei:#x}", fes.0),
        None => format!("FES {:02x}h", fes.0),
    }
}
