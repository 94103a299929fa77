//! The catalogue: one file per theme, each a list of checks or of families of checks.

mod admin;
mod authentication;
mod connect;
mod data;
mod digests;
mod discovery;
mod features;
mod framing;
mod handshake;
mod identify;
mod io;
mod logs;
mod malformed;
mod properties;
mod reservations;
mod termination;
mod transfers;

use crate::check::Check;

/// All checks, in the order in which they run.
pub(crate) fn catalogue() -> Vec<Check> {
    let themes = [
        handshake::checks,
        framing::checks,
        termination::checks,
        digests::checks,
        transfers::checks,
        properties::checks,
        connect::checks,
        admin::checks,
        identify::checks,
        logs::checks,
        features::checks,
        io::checks,
        data::checks,
        reservations::checks,
        discovery::checks,
        authentication::checks,
    ];
    themes.into_iter().flat_map(|theme| theme()).collect()
}
