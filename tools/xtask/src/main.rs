//! `cargo xtask`: what developers and CI run. `cargo xtask ci` is the whole gate on a fresh Debian machine.

#![forbid(unsafe_code)]

mod ci;
mod packages;
mod tally;

use std::process::ExitCode;

use crate::ci::{Part, Plan};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let plan = match parse(&arguments) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("{message}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match ci::run(&plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `ci [--full] [--only PART[,PART…]]`.
fn parse(arguments: &[String]) -> Result<Plan, String> {
    let mut words = arguments.iter();
    match words.next().map(String::as_str) {
        Some("ci") => {}
        Some(other) => return Err(format!("unknown command `{other}`")),
        None => return Err("a command is missing".to_owned()),
    }
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
         \x20 --full runs the models with all their seeds",
        parts.join(", ")
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
        assert_eq!(plan, Plan { parts: Part::ALL.to_vec(), full: false });
    }

    #[test]
    fn only_takes_a_list_of_parts() {
        let plan = parse(&words("ci --full --only fmt,vm")).expect("a valid line");
        assert_eq!(plan, Plan { parts: vec![Part::Fmt, Part::Vm], full: true });
    }

    #[test]
    fn wrong_lines_are_refused_with_the_wrong_word() {
        for (line, word) in
            [("", "command"), ("cj", "cj"), ("ci --fast", "--fast"), ("ci --only dance", "dance")]
        {
            let message = parse(&words(line)).expect_err("a wrong line");
            assert!(message.contains(word), "{line:?} answered {message:?}");
        }
    }
}
