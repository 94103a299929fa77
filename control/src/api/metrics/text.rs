//! The Prometheus text format.

use std::fmt::Write;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// A metric and its series.
#[derive(Debug, Clone)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    /// A gauge. `help` has no line breaks or backslashes.
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help, samples: Vec::new() }
    }

    /// What only grows; by convention its name ends with `_total`.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Counter, ..Self::new(name, help) }
    }

    pub(super) fn sample(&mut self, labels: Vec<(&'static str, String)>, value: u64) {
        // Prometheus knows no other numbers.
        self.sample_real(labels, value as f64);
    }

    pub(super) fn sample_real(&mut self, labels: Vec<(&'static str, String)>, value: f64) {
        self.samples.push((labels, value));
    }

    pub(super) fn text(&self) -> String {
        let Self { name, kind, help, samples } = self;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(text, "{name}{labels} {value}").expect("a String takes all");
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format() {
        let mut family = Family::new("ks_x", "An x.");
        assert_eq!(family.text(), "# HELP ks_x An x.\n# TYPE ks_x gauge\n");
        family.sample(vec![("a", "1".to_owned()), ("b", "q\"\\\n".to_owned())], 7);
        assert_eq!(family.text().lines().nth(2), Some(r#"ks_x{a="1",b="q\"\\\n"} 7"#));
        let mut counter = Family::counter("x_total", "Xs.");
        counter.sample_real(vec![], 0.25);
        assert_eq!(counter.text(), "# HELP x_total Xs.\n# TYPE x_total counter\nx_total 0.25\n");
    }
}
