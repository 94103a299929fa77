//! Runs a command, shows its output as it comes, and adds up the test results it prints.

use std::{
    io::{BufRead, BufReader},
    ops::AddAssign,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Tally {
    /// A check that is one test in itself.
    pub(crate) fn single(passed: bool) -> Self {
        if passed { Self { passed: 1, failed: 0 } } else { Self { passed: 0, failed: 1 } }
    }
}

/// Runs `command` to its end. Each `test result:` line of its standard output is counted; a command without
/// one counts as a single test. A command that fails has at least one failed test.
pub(crate) fn run(command: &mut Command) -> Result<Tally> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {command:?}"))?;
    let output = child.stdout.take().expect("stdout was asked to be a pipe");
    let mut counted: Option<Tally> = None;
    for line in BufReader::new(output).lines() {
        let line = line.with_context(|| format!("reading the output of {command:?}"))?;
        println!("{line}");
        if let Some(tally) = parse_result(&line) {
            *counted.get_or_insert_default() += tally;
        }
    }
    let success = child.wait().with_context(|| format!("waiting for {command:?}"))?.success();
    let mut tally = counted.unwrap_or_else(|| Tally::single(success));
    if !success && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// `test result: ok. 12 passed; 0 failed; …`, as cargo's test harness and ours print it.
fn parse_result(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut numbers = counts.split("; ").map(|part| part.split_once(' '));
    let passed = numbers.next()??;
    let failed = numbers.next()??;
    if passed.1 != "passed" || failed.1 != "failed" {
        return None;
    }
    Some(Tally { passed: passed.0.parse().ok()?, failed: failed.0.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read_and_others_are_not() {
        let ok =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(parse_result(ok), Some(Tally { passed: 12, failed: 0 }));
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(parse_result(bad), Some(Tally { passed: 3, failed: 2 }));
        for other in ["test result: ok", "test a ... ok", "test result: ok. many passed; 0 failed", ""] {
            assert_eq!(parse_result(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_command_that_dies_after_good_results_has_failed() {
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 1";
        let tally = run(Command::new("sh").args(["-c", script])).expect("sh runs");
        assert_eq!(tally, Tally { passed: 2, failed: 1 });
    }

    #[test]
    fn a_command_without_results_is_one_test() {
        assert_eq!(run(&mut Command::new("true")).expect("true runs"), Tally::single(true));
        assert_eq!(run(&mut Command::new("false")).expect("false runs"), Tally::single(false));
    }
}
