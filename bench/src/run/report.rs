//! What was measured, as a few lines or as JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Latencies in nanoseconds, reads and writes apart.
#[derive(Debug)]
pub(crate) struct Latencies {
    pub(crate) read: Histogram<u64>,
    pub(crate) write: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = || {
            Histogram::new_with_max(LONGEST_NS, SIGNIFICANT_DIGITS)
                .expect("the bounds are constants that fit")
        };
        Self { read: histogram(), write: histogram() }
    }

    pub(crate) fn record(&mut self, write: bool, nanoseconds: u64) {
        let histogram = if write { &mut self.write } else { &mut self.read };
        histogram.saturating_record(nanoseconds);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let same = "all histograms have the same bounds";
        self.read.add(&other.read).expect(same);
        self.write.add(&other.write).expect(same);
    }

    fn count(&self) -> u64 {
        self.read.len() + self.write.len()
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Report {
    /// The options that matter for comparing, as one line.
    pub(crate) load: String,
    pub(crate) seconds: f64,
    pub(crate) io_bytes: u32,
    pub(crate) latencies: Latencies,
    /// CPU seconds of the target within `seconds`, if its pid was given.
    pub(crate) target_cpu_seconds: Option<f64>,
    /// CPU seconds of the load generator.
    pub(crate) own_cpu_seconds: f64,
}

impl Report {
    /// Commands per second, reads and writes together.
    pub(crate) fn total_iops(&self) -> f64 {
        self.iops(self.latencies.count())
    }

    /// Microseconds that one command in a hundred exceeded, in the direction that ran (the slower one of a mix).
    pub(crate) fn p99_us(&self) -> f64 {
        self.quantile_us(0.99)
    }

    /// Microseconds that half of the commands exceeded, in the direction that ran (the slower one of a mix).
    pub(crate) fn p50_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    fn quantile_us(&self, quantile: f64) -> f64 {
        let value = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64 / 1e3;
        value(&self.latencies.read).max(value(&self.latencies.write))
    }

    fn iops(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }

    /// Microseconds of target CPU per command.
    pub(crate) fn target_us_per_io(&self) -> Option<f64> {
        self.target_cpu_seconds.map(|seconds| seconds * 1e6 / self.latencies.count().max(1) as f64)
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}, {:.1} s\n", self.load, self.seconds);
        for (name, histogram) in [("read", &self.latencies.read), ("write", &self.latencies.write)] {
            if histogram.is_empty() {
                continue;
            }
            let iops = self.iops(histogram.len());
            let mib = iops * f64::from(self.io_bytes) / f64::from(1 << 20);
            text += &format!("{name:<6} {iops:>10.0} IOPS {mib:>9.1} MiB/s  latency us:");
            for (quantile, value) in quantiles(histogram) {
                text += &format!("  {quantile} {value:.1}");
            }
            text.push('\n');
        }
        if let (Some(cpu), Some(per_io)) = (self.target_cpu_seconds, self.target_us_per_io()) {
            text += &format!("target {cpu:.2} CPU seconds, {per_io:.2} us per command\n");
        }
        text += &format!("bench  {:.2} CPU seconds\n", self.own_cpu_seconds);
        text
    }

    pub(crate) fn json(&self) -> Value {
        let direction = |histogram: &Histogram<u64>| {
            let latency: serde_json::Map<_, _> =
                quantiles(histogram).map(|(name, value)| (name.to_owned(), json!(value))).collect();
            json!({ "count": histogram.len(), "iops": self.iops(histogram.len()), "latency_us": latency })
        };
        json!({
            "load": self.load,
            "seconds": self.seconds,
            "io_bytes": self.io_bytes,
            "read": direction(&self.latencies.read),
            "write": direction(&self.latencies.write),
            "target_cpu_seconds": self.target_cpu_seconds,
            "target_cpu_us_per_io": self.target_us_per_io(),
            "bench_cpu_seconds": self.own_cpu_seconds,
        })
    }
}

fn quantiles(histogram: &Histogram<u64>) -> impl Iterator<Item = (&'static str, f64)> {
    let named = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    named.into_iter().map(|(name, quantile)| (name, histogram.value_at_quantile(quantile) as f64 / 1e3))
}

/// A minute: whoever is slower than that is broken, not slow.
const LONGEST_NS: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.record(false, micros * 1000);
        }
        let mut more = Latencies::new();
        more.record(true, u64::MAX);
        latencies.add(&more);
        Report {
            load: "randrw 4k".to_owned(),
            seconds: 2.0,
            io_bytes: 4096,
            latencies,
            target_cpu_seconds: Some(0.002002),
            own_cpu_seconds: 1.0,
        }
    }

    #[test]
    fn rates_and_quantiles_are_computed_from_what_was_recorded() {
        let json = report().json();
        assert_eq!(json["read"]["count"], 1000);
        assert_eq!(json["read"]["iops"], 500.0);
        assert_eq!(json["write"]["count"], 1);
        let p50 = json["read"]["latency_us"]["p50"].as_f64().expect("a number");
        assert!((p50 - 500.0).abs() < 1.0, "{p50}");
        let per_io = json["target_cpu_us_per_io"].as_f64().expect("a number");
        assert!((per_io - 2.0).abs() < 1e-6, "{per_io}");
    }

    #[test]
    fn the_text_leaves_out_what_did_not_happen() {
        let mut report = report();
        report.latencies.write.clear();
        report.target_cpu_seconds = None;
        let text = report.text();
        assert!(text.contains("read") && !text.contains("write ") && !text.contains("target"), "{text}");
    }
}
