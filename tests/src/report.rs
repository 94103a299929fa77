//! Names, times and outcomes of scenarios, printed the way cargo's test harness prints them.

use std::time::Instant;

use anyhow::Result;

/// Counts what ran and names what failed at the end.
#[derive(Debug)]
pub struct Report {
    start: Instant,
    passed: usize,
    failures: Vec<String>,
}

impl Report {
    pub fn begin() -> Self {
        Self { start: Instant::now(), passed: 0, failures: Vec::new() }
    }

    /// Runs one scenario and prints its line.
    pub fn scenario(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let outcome = run();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.0} s)", start.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                println!("{error:#}");
                self.failures.push(name.to_owned());
            }
        }
    }

    /// Prints the names of the failures and the closing line; true if there was none.
    pub fn end(self) -> bool {
        for name in &self.failures {
            println!("failed: {name}");
        }
        let word = if self.failures.is_empty() { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.0}s",
            self.passed,
            self.failures.len(),
            self.start.elapsed().as_secs_f64()
        );
        self.failures.is_empty()
    }
}
