//! `bench engine`: what snapshots, clones and size cost the engine itself, without network, on a file with O_DIRECT.
//! Every figure that matters is a ratio of loads that ran in turns.

mod history;
mod load;
mod memory;
mod report;
mod site;
mod startup;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use self::report::Figure;
use crate::size::Size;

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// 4 KiB random writes right after a snapshot, against overwrites
    FirstWrites,
    /// 4 KiB random reads under 64 snapshots, against none
    DeepReads,
    /// 4 KiB random overwrites while snapshots come and go, against none
    Churn,
    /// The longest write around each snapshot
    Pause,
    /// What deleting a snapshot merges per second
    Merge,
    /// Metadata written for a GiB of first writes
    Metadata,
    /// Resident memory of 100 volumes with 10 snapshots each
    Volumes,
    /// Opening a drive with that much mapped (--mapped)
    Startup,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// An empty directory on the file system to measure; its files are removed afterwards
    #[arg(long, value_name = "DIRECTORY")]
    path: PathBuf,
    /// What to measure [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// The volume under load
    #[arg(long, default_value = "2G")]
    size: Size,
    /// Operations in flight
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    qd: u16,
    /// Seconds of each load
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=600))]
    time: u16,
    /// How often the loads of a ratio take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Bytes mapped on the drive that `startup` opens; several make it several drives, opened together
    #[arg(long, default_value = "1T", value_delimiter = ',')]
    mapped: Vec<Size>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.path.is_dir(), "--path: {} is not a directory", options.path.display());
    let chosen = |measure: &Measure| options.only.is_empty() || options.only.contains(measure);
    let mut figures = Vec::new();
    for measure in Measure::value_variants().iter().filter(|measure| chosen(measure)) {
        let found = measure.take(options)?;
        if !options.json {
            found.iter().for_each(|figure| println!("{figure}"));
        }
        figures.extend(found);
    }
    if options.json {
        println!("{}", report::json(&figures));
    }
    Ok(())
}

impl Measure {
    fn take(self, options: &Options) -> Result<Vec<Figure>> {
        match self {
            Self::FirstWrites => history::first_writes(options),
            Self::DeepReads => history::deep_reads(options),
            Self::Churn => history::churn(options),
            Self::Pause => history::pause(options),
            Self::Merge => history::merge(options),
            Self::Metadata => memory::metadata(options),
            Self::Volumes => memory::volumes(options),
            Self::Startup => startup::run(options),
        }
    }
}
