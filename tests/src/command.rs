//! Runs a program on this machine and takes its word: its output, or an error that quotes it.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `command` to its end; the error holds what it printed.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}\n{printed}{complaint}", output.status);
    }
    Ok(printed)
}
