//! A run: the survey, then every check that was asked for, in the catalogue's order.

use std::{net::SocketAddr, time::Duration};

use nvmeof::Nqn;
use uuid::Uuid;

use crate::{
    auth::Credentials,
    check::{Check, Finding, Need, Outcome},
    facts::{Allowed, Facts},
    lab::{Host, Lab, Target},
    limits, themes,
};

/// What to run against what.
#[derive(Debug, Clone)]
pub struct Options {
    pub address: SocketAddr,
    pub subsystem: Nqn,
    pub host: Nqn,
    pub host_id: Uuid,
    /// What the host proves itself by, where the target asks for that.
    pub credentials: Option<Credentials>,
    /// Another host that the target lets in, for what needs two of them; it has the same credentials.
    pub second_host: Option<(Nqn, Uuid)>,
    /// The namespace to use; otherwise the first.
    pub nsid: Option<u32>,
    /// Only checks whose names contain this.
    pub only: Option<String>,
    /// The last blocks of the namespace may be written to; they are put back.
    pub write: bool,
    /// How long the target may take for each answer.
    pub patience: Duration,
}

impl Options {
    /// All checks that do not write, with the first namespace.
    pub fn new(address: SocketAddr, subsystem: Nqn, host: Nqn, host_id: Uuid) -> Self {
        let patience = limits::PATIENCE;
        Self {
            address,
            subsystem,
            host,
            host_id,
            credentials: None,
            second_host: None,
            nsid: None,
            only: None,
            write: false,
            patience,
        }
    }
}

/// One check's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub theme: String,
    /// With its theme.
    pub name: String,
    pub section: &'static str,
    pub outcome: Outcome,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Row>,
}

/// Why no check was run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRun {
    #[error("no check has a name that contains {0:?}")]
    NoSuchCheck(String),
    #[error("the target cannot be checked: {0}")]
    Target(String),
}

impl Report {
    /// Checks that passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Pass))
    }

    /// Checks that failed, or could not be judged.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Fail { .. } | Outcome::Broken { .. }))
    }

    /// Checks that make no sense with this target or were not allowed.
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skip { .. }))
    }

    fn count(&self, counts: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| counts(&row.outcome)).count()
    }
}

/// Names and sections of the whole catalogue, in its order.
pub fn names() -> Vec<(String, &'static str)> {
    themes::catalogue().into_iter().map(|check| (check.name, check.section)).collect()
}

/// Runs the checks.
///
/// # Errors
/// If nothing can be run: the target does not let us in, or no check has such a name.
pub fn run(options: &Options) -> Result<Report, CannotRun> {
    let mut checks = themes::catalogue();
    if let Some(only) = &options.only {
        checks.retain(|check| check.name.contains(only));
        if checks.is_empty() {
            return Err(CannotRun::NoSuchCheck(only.clone()));
        }
    }
    let target = Target {
        address: options.address,
        subsystem: options.subsystem.clone(),
        host: Host { nqn: options.host.clone(), id: options.host_id },
        credentials: options.credentials.clone(),
        patience: options.patience,
    };
    let second_host = options.second_host.clone().map(|(nqn, id)| Host { nqn, id });
    let allowed = Allowed { nsid: options.nsid, write: options.write, second_host: second_host.is_some() };
    let facts = Facts::survey(&target, allowed).map_err(|finding| CannotRun::Target(words(finding)))?;
    let mut lab = Lab::new(&target, &facts, second_host.as_ref());
    let rows = checks.iter().map(|check| judge(check, &mut lab)).collect();
    Ok(Report { rows })
}

fn judge(check: &Check, lab: &mut Lab<'_>) -> Row {
    let lacking = check.needs.iter().find_map(|&need: &Need| lab.facts.lacks(need));
    let outcome = match lacking {
        Some(why) => Outcome::Skip { why: why.to_owned() },
        None => Outcome::from((check.run)(lab)),
    };
    if matches!(outcome, Outcome::Fail { .. } | Outcome::Broken { .. }) {
        lab.forget();
    }
    Row { theme: check.theme().to_owned(), name: check.name.clone(), section: check.section, outcome }
}

fn words(finding: Finding) -> String {
    match finding {
        Finding::Fail { expected, seen } => format!("it answered {seen} instead of {expected}"),
        Finding::Skip(why) | Finding::Broken(why) => why,
    }
}
