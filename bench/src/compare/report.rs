//! Medians over the rounds, and what share of the ceiling they are, as a table or as JSON.

use serde_json::{Value, json};

use super::{loads::Load, machine::Machine, party::Party};
use crate::{measured::Measured, statistics::median};

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    loads: Vec<String>,
    parties: Vec<String>,
    /// By load, by party, by round.
    cells: Vec<Vec<Vec<Measured>>>,
}

/// The ceiling is the first party.
const CEILING: usize = 0;

impl Report {
    pub(super) fn new(loads: &[&Load], parties: &[Party]) -> Self {
        Self {
            loads: loads.iter().map(|load| load.text()).collect(),
            parties: parties.iter().map(|party| party.name.clone()).collect(),
            cells: vec![vec![Vec::new(); parties.len()]; loads.len()],
        }
    }

    pub(super) fn add(&mut self, load: usize, party: usize, measured: Measured) {
        self.cells[load][party].push(measured);
    }

    pub(super) fn text(&self, machine: &Machine) -> String {
        let mut text = machine.text();
        text +=
            "\n\n| load | who | IOPS | of ceiling | p50 us | p99 us | of ceiling | CPU us | of ceiling |\n";
        text += "|---|---|---|---|---|---|---|---|---|\n";
        for (load, cells) in self.loads.iter().zip(&self.cells) {
            let ceiling = middle(&cells[CEILING]);
            for (name, rounds) in self.parties.iter().zip(cells) {
                text += &line(load, name, middle(rounds), ceiling);
            }
        }
        text
    }

    pub(super) fn json(&self, machine: &Machine) -> Value {
        let loads = self.loads.iter().zip(&self.cells).map(|(load, cells)| {
            let ceiling = middle(&cells[CEILING]);
            let parties = self.parties.iter().zip(cells).map(|(name, rounds)| {
                let figures = middle(rounds);
                json!({
                    "who": name,
                    "median": figures_json(figures),
                    "iops_of_ceiling": figures.iops / ceiling.iops,
                    "p99_of_ceiling": figures.p99_us / ceiling.p99_us,
                    "target_cpu_of_ceiling": figures.target_us.zip(ceiling.target_us).map(|(a, b)| a / b),
                    "rounds": rounds.iter().copied().map(figures_json).collect::<Vec<_>>(),
                })
            });
            json!({ "load": load, "parties": parties.collect::<Vec<_>>() })
        });
        json!({ "machine": machine.json(), "loads": loads.collect::<Vec<_>>() })
    }
}

fn figures_json(measured: Measured) -> Value {
    let Measured { iops, p50_us, p99_us, target_us } = measured;
    json!({ "iops": iops, "p50_us": p50_us, "p99_us": p99_us, "target_cpu_us": target_us })
}

/// Each figure's median.
fn middle(rounds: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| median(rounds.iter().map(figure).collect());
    let target_us: Vec<_> = rounds.iter().filter_map(|measured| measured.target_us).collect();
    Measured {
        iops: of(|measured| measured.iops),
        p50_us: of(|measured| measured.p50_us),
        p99_us: of(|measured| measured.p99_us),
        target_us: (!target_us.is_empty()).then(|| median(target_us)),
    }
}

fn line(load: &str, name: &str, figures: Measured, ceiling: Measured) -> String {
    let Measured { iops, p50_us, p99_us, target_us } = figures;
    let (cpu, cpu_ratio) = match (target_us, ceiling.target_us) {
        (Some(us), Some(least)) => (format!("{us:.2}"), format!("{:.2}", us / least)),
        (Some(us), None) => (format!("{us:.2}"), "-".to_owned()),
        (None, _) => ("-".to_owned(), "-".to_owned()),
    };
    let (share, tail) = (iops / ceiling.iops, p99_us / ceiling.p99_us);
    format!(
        "| {load} | {name} | {iops:.0} | {share:.2} | {p50_us:.0} | {p99_us:.0} | {tail:.2} | {cpu} | {cpu_ratio} |\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(iops: f64, target_us: Option<f64>) -> Measured {
        Measured { iops, p50_us: 10.0, p99_us: 30.0, target_us }
    }

    #[test]
    fn ratios_are_of_medians() {
        let rounds = [1.0, 600.0, 500.0].map(|iops| measured(iops, Some(1.5)));
        let ceiling = Measured { p99_us: 20.0, ..measured(1000.0, Some(1.0)) };
        let text = line("randread 4k, 1 x 32", "ours", middle(&rounds), ceiling);
        assert_eq!(text, "| randread 4k, 1 x 32 | ours | 500 | 0.50 | 10 | 30 | 1.50 | 1.50 | 1.50 |\n");
    }

    #[test]
    fn cpu_that_is_not_known_is_left_out() {
        let text = line("x", "other", middle(&[measured(1.0, None)]), measured(2.0, Some(1.0)));
        assert!(text.ends_with("| - | - |\n"), "{text}");
    }
}
