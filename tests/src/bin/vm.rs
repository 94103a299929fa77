//! Runs the scenarios of a Linux host in virtual machines: `vm [--kernel 6.1|6.12] [PART-OF-A-NAME]`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use basalt_tests::{
    lab::{Bootable, Lab},
    report::Report,
    scenarios::{self, Scenario},
    vm::Kernel,
};

fn main() -> ExitCode {
    match run_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if every scenario passed.
fn run_all() -> Result<bool> {
    let (kernels, filter) = parse(std::env::args().skip(1))?;
    let lab = Lab::open()?;
    let mut report = Report::begin();
    for kernel in kernels {
        let bootable = lab.prepare(kernel)?;
        run(&lab, &bootable, &filter, &mut report)?;
    }
    Ok(report.end())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(Vec<Kernel>, String)> {
    let (mut kernels, mut filter) = (vec![Kernel::V6_12, Kernel::V6_1], String::new());
    while let Some(argument) = arguments.next() {
        if argument == "--kernel" {
            let name = arguments.next().context("--kernel needs a version")?;
            let kernel = Kernel::ALL.into_iter().find(|kernel| kernel.name() == name);
            kernels = vec![kernel.with_context(|| format!("there is no kernel {name}"))?];
        } else if argument.starts_with('-') {
            bail!("unknown option {argument}; usage: vm [--kernel 6.1|6.12] [PART-OF-A-NAME]");
        } else {
            filter = argument;
        }
    }
    Ok((kernels, filter))
}

/// The newest kernel runs everything, the others what they have of the protocol.
fn run(lab: &Lab, bootable: &Bootable, filter: &str, report: &mut Report) -> Result<()> {
    let prefix = format!("linux-{}", bootable.kernel.name());
    let is_newest = bootable.kernel == Kernel::V6_12;
    let shared: &[Scenario] = if is_newest { &scenarios::ALL } else { &scenarios::OLDER };
    let shared: Vec<Scenario> = shared.iter().copied().filter(|(name, _)| name.contains(filter)).collect();
    if !shared.is_empty() {
        let guest = lab.boot(bootable, &lab.directory(&format!("{prefix}-guest"))?)?;
        scenarios::run_shared(lab, &guest, &prefix, &shared, report)?;
    }
    if is_newest {
        for (name, scenario) in scenarios::POWER.iter().filter(|(name, _)| name.contains(filter)) {
            let directory = lab.directory(&format!("{prefix}-{name}"))?;
            report.scenario(&format!("{prefix}::{name}"), || scenario(lab, bootable, &directory));
        }
    }
    Ok(())
}
