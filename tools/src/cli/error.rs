//! What can go wrong with a command, by whose fault it is, and the exit code that says so.

use std::{
    io,
    path::{Path, PathBuf},
};

use dataplane::offline::OfflineError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The arguments make no sense together; nothing was asked of the server.
    #[error("{0}")]
    Usage(String),
    #[error("there is no {what} `{name}`{hint}")]
    NotFound { what: &'static str, name: String, hint: String },
    #[error("`{name}` could be any of these {what}s, write more of it or the whole id:\n{}", .candidates.join("\n"))]
    Ambiguous { what: &'static str, name: String, candidates: Vec<String> },
    /// The server understood and said no; the code is the API's own.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    #[error("not all volumes left {name}, which serves on: {reason}")]
    Evacuation { name: String, reason: String },
    #[error("the server at {url} does not accept these credentials: {message}")]
    Unauthorized { url: String, message: String },
    #[error(
        "no server is known: {} does not exist. Run this where `basalt serve` runs, or name its \
         directory with --data-dir, or the server with --url and --token", .0.display()
    )]
    NoServer(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Credentials { path: PathBuf, source: io::Error },
    #[error("cannot use {}: {reason}", path.display())]
    BadCredentials { path: PathBuf, reason: String },
    #[error("no server answers at {url}: {reason}. Is `basalt serve` running there?")]
    Unreachable { url: String, reason: String },
    #[error(
        "the server at {url} is not trusted: {reason}. Give the ca.pem of its credentials directory with \
         --ca, or trust anybody with --insecure"
    )]
    Untrusted { url: String, reason: String },
    #[error("the server at {url} broke off: {reason}")]
    Broken { url: String, reason: String },
    #[error("the answer of {url} is not Basalt's: {reason}")]
    BadAnswer { url: String, reason: String },
    #[error("{}: {source}", path.display())]
    Offline { path: PathBuf, source: OfflineError },
    #[error(transparent)]
    Conformance(conformance::CannotRun),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("cannot print: {0}")]
    Output(io::Error),
    #[error("cannot read what is typed: {0}")]
    Input(io::Error),
}

impl CliError {
    pub(crate) fn offline(path: &Path, source: OfflineError) -> Self {
        Self::Offline { path: path.to_owned(), source }
    }

    /// 1 refused by the server, 2 wrong usage (as clap) or a target that cannot be checked, 3 no or no single such object, 4 no server or no
    /// answer, 5 not let in.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. }
            | Self::Evacuation { .. }
            | Self::Offline { .. }
            | Self::Runtime(_)
            | Self::Output(_)
            | Self::Input(_) => 1,
            Self::Usage(_) | Self::Conformance(_) => 2,
            Self::NotFound { .. } | Self::Ambiguous { .. } => 3,
            Self::NoServer(_)
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::BadAnswer { .. } => 4,
            Self::Unauthorized { .. } | Self::Credentials { .. } | Self::BadCredentials { .. } => 5,
        }
    }

    /// The code in `--json` errors: the API's own for what the server refused.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Evacuation { .. } => "Evacuation",
            Self::Usage(_) => "Usage",
            Self::Conformance(_) => "CannotRun",
            Self::NotFound { .. } => "NotFound",
            Self::Ambiguous { .. } => "Ambiguous",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Credentials { .. } | Self::BadCredentials { .. } => "Credentials",
            Self::NoServer(_) | Self::Unreachable { .. } | Self::Untrusted { .. } => "Unreachable",
            Self::Broken { .. } | Self::BadAnswer { .. } => "BadAnswer",
            Self::Offline { .. } | Self::Runtime(_) | Self::Output(_) | Self::Input(_) => "Local",
        }
    }
}
