//! The Prometheus text format.

use std::fmt::Write;

/// A gauge and its series.
#[derive(Debug, Clone)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Family {
    /// `help` has no line breaks or backslashes.
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, samples: Vec::new() }
    }

    pub(super) fn sample(&mut self, labels: Vec<(&'static str, String)>, value: u64) {
        self.samples.push((labels, value));
    }

    pub(super) fn text(&self) -> String {
        let Self { name, help, samples } = self;
        let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            writeln!(text, "{name}{{{}}} {value}", labels.join(",")).expect("a String takes all");
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
    }
}
