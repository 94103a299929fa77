//! The Prometheus text format.

use std::fmt::Write;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

type Labels = Vec<(&'static str, String)>;

/// A value; `suffix` stands behind the family's name.
#[derive(Debug, Clone)]
struct Sample {
    suffix: &'static str,
    labels: Labels,
    value: f64,
}

/// A metric and its series.
#[derive(Debug, Clone)]
pub(super) struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
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

    /// How many took how long; by convention its name ends with its unit.
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Histogram, ..Self::new(name, help) }
    }

    pub(super) fn sample(&mut self, labels: Labels, value: u64) {
        // Prometheus knows no other numbers.
        self.sample_real(labels, value as f64);
    }

    pub(super) fn sample_real(&mut self, labels: Labels, value: f64) {
        self.samples.push(Sample { suffix: "", labels, value });
    }

    /// Of a histogram: `counts` by bucket, which end at the `bounds`; the last one has none.
    pub(super) fn sample_buckets(&mut self, labels: &Labels, bounds: &[f64], counts: &[u64], sum: f64) {
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        // A bucket counts what is in those before it, too.
        let mut count = 0;
        for (bound, more) in bounds.zip(counts) {
            count += more;
            let mut labels = labels.clone();
            labels.push(("le", bound));
            self.samples.push(Sample { suffix: "_bucket", labels, value: count as f64 });
        }
        self.samples.push(Sample { suffix: "_sum", labels: labels.clone(), value: sum });
        self.samples.push(Sample { suffix: "_count", labels: labels.clone(), value: count as f64 });
    }

    pub(super) fn text(&self) -> String {
        let Self { name, kind, help, samples } = self;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for Sample { suffix, labels, value } in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(text, "{name}{suffix}{labels} {value}").expect("a String takes all");
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

    #[test]
    fn a_bucket_of_a_histogram_counts_those_before_it() {
        let mut family = Family::histogram("x_seconds", "Xs.");
        family.sample_buckets(&vec![("a", "1".to_owned())], &[0.000_016_384, 0.5], &[3, 0, 2], 7.5);
        let lines = [
            r#"x_seconds_bucket{a="1",le="0.000016384"} 3"#,
            r#"x_seconds_bucket{a="1",le="0.5"} 3"#,
            r#"x_seconds_bucket{a="1",le="+Inf"} 5"#,
            r#"x_seconds_sum{a="1"} 7.5"#,
            r#"x_seconds_count{a="1"} 5"#,
        ];
        assert_eq!(family.text().lines().skip(2).collect::<Vec<_>>(), lines);
    }
}
