//! `bench matrix`: 4 KiB random reads and writes at three depths on one and on four connections, as one table.
//!
//! Rounds are interleaved and medians shown, because machines get slower and faster by themselves.

use anyhow::Result;

use super::{IoBytes, Options, Pattern, Target, report, seconds};

#[derive(Debug, clap::Args)]
pub(crate) struct MatrixOptions {
    #[command(flatten)]
    target: Target,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    time: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
}

/// One cell, measured in every round.
#[derive(Debug)]
struct Cell {
    rw: Pattern,
    conns: u16,
    qd: u16,
    iops: Vec<f64>,
    p99_us: Vec<f64>,
    /// Empty without `--pid`.
    target_us: Vec<f64>,
}

/// Measures and prints a Markdown table.
pub(crate) fn run(options: &MatrixOptions) -> Result<()> {
    let mut cells = cells();
    for round in 0..options.rounds {
        for (index, cell) in cells.iter_mut().enumerate() {
            // Every block must be there, or reads would be of nothing and first writes would count as overwrites.
            cell.measure(options, round == 0 && index == 0)?;
        }
    }
    println!("| 4 KiB | connections | depth of each | IOPS | p99 us | target CPU us per command |");
    println!("|---|---|---|---|---|---|");
    for cell in &cells {
        println!("{}", cell.line());
    }
    Ok(())
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rw in [Pattern::RandRead, Pattern::RandWrite] {
        for conns in [1, 4] {
            for qd in [1, 32, 128] {
                let (iops, p99_us, target_us) = Default::default();
                cells.push(Cell { rw, conns, qd, iops, p99_us, target_us });
            }
        }
    }
    cells
}

impl Cell {
    fn measure(&mut self, matrix: &MatrixOptions, fill: bool) -> Result<()> {
        let options = Options {
            target: matrix.target.clone(),
            rw: self.rw,
            rwmixread: 0,
            bs: IoBytes(4096),
            qd: self.qd,
            conns: self.conns,
            threads: 1,
            time: matrix.time,
            warm_up: WARM_UP_SECONDS,
            fill,
            json: false,
        };
        let report = report(&options)?;
        self.iops.push(report.total_iops());
        self.p99_us.push(report.p99_us());
        self.target_us.extend(report.target_us_per_io());
        Ok(())
    }

    fn line(&self) -> String {
        let rw = if self.rw == Pattern::RandRead { "random read" } else { "random write" };
        let target = match self.target_us.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.2}", median(&self.target_us)),
        };
        let (iops, p99) = (median(&self.iops), median(&self.p99_us));
        format!("| {rw} | {} | {} | {iops:.0} | {p99:.0} | {target} |", self.conns, self.qd)
    }
}

/// The middle value; of two, the larger.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

const WARM_UP_SECONDS: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ignore_an_outlier() {
        assert_eq!(median(&[1.0, 900.0, 2.0]), 2.0);
        assert_eq!(median(&[5.0]), 5.0);
    }

    #[test]
    fn a_line_has_every_column() {
        let mut cell = cells().remove(4);
        cell.iops = vec![1000.4];
        cell.p99_us = vec![80.2];
        assert_eq!(cell.line(), "| random read | 4 | 32 | 1000 | 80 | - |");
        cell.target_us = vec![3.456];
        assert_eq!(cell.line(), "| random read | 4 | 32 | 1000 | 80 | 3.46 |");
    }
}
