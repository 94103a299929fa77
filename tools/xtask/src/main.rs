//! `cargo xtask`: what developers and CI run. `cargo xtask ci` is the whole gate on a fresh Debian machine,
//! `cargo xtask crash` the engine's crash points, `cargo xtask release` makes a package for updates.

#![forbid(unsafe_code)]

mod ci;
mod crash;
mod packages;
mod release;
mod tally;

use std::process::ExitCode;

use crate::{
    ci::{Part, Plan},
    crash::CrashPlan,
    release::ReleasePlan,
};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Ci(Plan),
    Crash(CrashPlan),
    Release(ReleasePlan),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = match parse(&arguments) {
        Ok(task) => task,
        Err(message) => {
            eprintln!("{message}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    let outcome = match task {
        Task::Ci(plan) => ci::run(&plan),
        Task::Crash(plan) => crash::run(&plan),
        Task::Release(plan) => release::run(&plan),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Task, String> {
    let (command, words) = arguments.split_first().ok_or("a command is missing")?;
    match command.as_str() {
        "ci" => parse_ci(words.iter()).map(Task::Ci),
        "crash" => CrashPlan::parse(words.iter()).map(Task::Crash),
        "release" => ReleasePlan::parse(words.iter()).map(Task::Release),
        other => Err(format!("unknown command `{other}`")),
    }
}

/// `ci [--full] [--only PART[,PART…]]`.
fn parse_ci<'a>(mut words: impl Iterator<Item = &'a String>) -> Result<Plan, String> {
    let mut plan = Plan { parts: Part::ALL.to_vec(), full: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--full" => plan.full = true,
            "--only" => {
                let names = words.next().ok_or("--only needs the name of a part")?;
                plan.parts = names.split(',').map(parse_part).collect::<Result<_, _>>()?;
            }
            other => return Err(format!("unknown option `{other}`")),
        }
    }
    Ok(plan)
}

fn parse_part(name: &str) -> Result<Part, String> {
    Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| format!("there is no part `{name}`"))
}

fn usage() -> String {
    let parts: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
    format!(
        "usage: cargo xtask ci [--full] [--only PART[,PART…]]\n\
         \x20 parts, in this order: {}\n\
         \x20 --full runs the models with all their seeds\n\n{}\n\n{}",
        parts.join(", "),
        crash::USAGE,
        release::USAGE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn ci_alone_runs_every_part_once() {
        let plan = parse(&words("ci")).expect("a valid line");
        assert_eq!(plan, Task::Ci(Plan { parts: Part::ALL.to_vec(), full: false }));
    }

    #[test]
    fn only_takes_a_list_of_parts() {
        let plan = parse(&words("ci --full --only fmt,vm")).expect("a valid line");
        assert_eq!(plan, Task::Ci(Plan { parts: vec![Part::Fmt, Part::Vm], full: true }));
    }

    #[test]
    fn a_replayed_crash_is_one_seed_and_one_point() {
        let plan = parse(&words("crash --workload trim --seed 7 --point 12")).expect("a valid line");
        let expected = [("WORKLOAD", "trim"), ("SEED", "7"), ("POINT", "12")];
        assert_eq!(plan, Task::Crash(CrashPlan::of(&expected)));
    }

    #[test]
    fn wrong_lines_are_refused_with_the_wrong_word() {
        for (line, word) in [
            ("", "command"),
            ("cj", "cj"),
            ("ci --fast", "--fast"),
            ("ci --only dance", "dance"),
            ("crash --seeds", "--seeds"),
            ("crash --seeds many", "many"),
            ("crash --loud", "--loud"),
            ("release --key k --sign s", "--out"),
            ("release --quick x", "--quick"),
        ] {
            let message = parse(&words(line)).expect_err("a wrong line");
            assert!(message.contains(word), "{line:?} answered {message:?}");
        }
    }
}
