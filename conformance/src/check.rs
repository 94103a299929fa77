//! What a check is, what it needs, and how it ends.

use std::fmt::{Debug, Display};

use nvmeof::{Status, wire::status::DNR};

use crate::{lab::Lab, queue::Answer};

/// One assertion of a specification about targets.
pub(crate) struct Check {
    /// `theme/what_is_asserted`, the same in every run.
    pub(crate) name: String,
    /// The section that demands it, such as `TCP §3.6.2.2`.
    pub(crate) section: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: Box<dyn Fn(&mut Lab<'_>) -> Verdict>,
}

/// What a target has to offer, or the user to allow, before a check makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The user said that the namespace may be written to.
    Write,
    /// A controller for I/O, not for discovery.
    Io,
    /// A namespace without metadata.
    Namespace,
    Compare,
    Verify,
    WriteZeroes,
    Deallocate,
    Copy,
    /// Fused Compare and Write.
    Fused,
    Reservations,
    /// The user named a second host.
    SecondHost,
    Ana,
    /// The address has a discovery subsystem too.
    Discovery,
    /// The target agrees to header digests.
    HeaderDigest,
    DataDigest,
    /// The Commands Supported and Effects log.
    Effects,
    /// The Supported Log Pages log.
    SupportedPages,
    /// The target asks the host to authenticate, which it can.
    Authentication,
    /// The user gave the controller's secret too.
    ControllerSecret,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail {
        expected: String,
        seen: String,
    },
    /// The target does not offer it, or the user did not allow it.
    Skip {
        why: String,
    },
    /// It could not be judged, which is no pass: the target fell silent, hung up, or broke the protocol.
    Broken {
        why: String,
    },
}

/// Why a check does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Fail { expected: String, seen: String },
    Skip(String),
    Broken(String),
}

/// What a check's function returns.
pub(crate) type Verdict<T = ()> = Result<T, Finding>;

impl Check {
    pub(crate) fn new(
        name: impl Into<String>,
        section: &'static str,
        needs: &'static [Need],
        run: impl Fn(&mut Lab<'_>) -> Verdict + 'static,
    ) -> Self {
        Self { name: name.into(), section, needs, run: Box::new(run) }
    }

    /// The part of the name before the slash.
    pub(crate) fn theme(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Ok(()) => Self::Pass,
            Err(Finding::Fail { expected, seen }) => Self::Fail { expected, seen },
            Err(Finding::Skip(why)) => Self::Skip { why },
            Err(Finding::Broken(why)) => Self::Broken { why },
        }
    }
}

/// Something else than expected was seen.
pub(crate) fn fail<T>(expected: impl Display, seen: impl Display) -> Verdict<T> {
    Err(Finding::Fail { expected: expected.to_string(), seen: seen.to_string() })
}

/// The check makes no sense here.
pub(crate) fn skip<T>(why: impl Display) -> Verdict<T> {
    Err(Finding::Skip(why.to_string()))
}

/// It cannot be judged.
pub(crate) fn broken<T>(why: impl Display) -> Verdict<T> {
    Err(Finding::Broken(why.to_string()))
}

/// Fails unless `holds`.
pub(crate) fn expect(holds: bool, expected: impl Display, seen: impl Display) -> Verdict {
    if holds { Ok(()) } else { fail(expected, seen) }
}

/// Fails unless `what` is as expected.
pub(crate) fn expect_equal<T: PartialEq + Debug>(what: &str, expected: T, seen: T) -> Verdict {
    expect(expected == seen, format_args!("{what} {expected:x?}"), format_args!("{what} {seen:x?}"))
}

/// Fails unless every byte is zero; `what` names the field.
pub(crate) fn expect_zero(what: &str, bytes: &[u8]) -> Verdict {
    match bytes.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => {
            fail(format_args!("{what} zero"), format_args!("{what} with {:#04x} in its byte {at}", bytes[at]))
        }
    }
}

/// Fails unless the command succeeded.
pub(crate) fn expect_success(answer: &Answer) -> Verdict {
    expect_status(answer, &[Status::SUCCESS])
}

/// Fails unless the command ended with one of these, by code type and code alone.
pub(crate) fn expect_status(answer: &Answer, allowed: &[Status]) -> Verdict {
    let seen = answer.status();
    let names: Vec<String> = allowed.iter().map(|&status| status_name(status)).collect();
    expect(allowed.iter().any(|status| status.code() == seen.code()), names.join(" or "), status_name(seen))
}

/// Fails if the command succeeded, with whatever other status it ended.
pub(crate) fn expect_refused(answer: &Answer) -> Verdict {
    expect(!answer.status().is_success(), "an error status", status_name(answer.status()))
}

/// A status by its name and number, whatever its retry bits say.
pub(crate) fn status_name(status: Status) -> String {
    let code = status.code();
    let named = [Status(code), Status(code | DNR)].map(|status| format!("{status:?}"));
    match named.iter().find(|name| !name.starts_with("Status(")) {
        Some(name) => format!("{name} ({code:03x}h)"),
        None => format!("status {code:03x}h"),
    }
}
