//! What a figure says nothing without: the machine, its kernel, and how busy it was.

use std::{fs, thread::available_parallelism};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Facts of this machine.
#[derive(Debug)]
pub(super) struct Machine {
    processor: String,
    processors: usize,
    memory_mib: u64,
    kernel: String,
    /// Tasks that wanted a processor, a minute's mean, before and after.
    load_average: (f64, f64),
}

impl Machine {
    pub(super) fn look() -> Result<Self> {
        let facts = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let load = load_average()?;
        Ok(Self {
            processor: field(&facts, "model name").unwrap_or("unknown processor").to_owned(),
            processors: available_parallelism()?.get(),
            memory_mib: field(&memory, "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            load_average: (load, load),
        })
    }

    pub(super) fn look_again(&mut self) -> Result<()> {
        self.load_average.1 = load_average()?;
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let Self { processor, processors, memory_mib, kernel, load_average: (before, after) } = self;
        format!(
            "{processors} x {processor}, {memory_mib} MiB, Linux {kernel}, load average {before} before and {after} after"
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "processor": self.processor,
            "processors": self.processors,
            "memory_mib": self.memory_mib,
            "kernel": self.kernel,
            "load_average": [self.load_average.0, self.load_average.1],
        })
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn load_average() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("/proc/loadavg has another form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\n\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 3.00GHz"));
        assert_eq!(field(text, "flags"), None);
        assert!(Machine::look().expect("this is Linux").memory_mib > 0);
    }
}
