//! What was measured: named numbers.

use std::fmt;

use serde_json::{Value, json};

use crate::statistics::median;

#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.value.abs() < 10.0 { 3 } else { 0 };
        write!(f, "{:<58} {:>12.digits$} {}", self.name, self.value, self.unit)
    }
}

pub(crate) fn json(figures: &[Figure]) -> Value {
    figures
        .iter()
        .map(|figure| json!({ "name": figure.name, "value": figure.value, "unit": figure.unit }))
        .collect()
}

/// Two loads that took turns: the median rate of each, and how the first compares with the second.
pub(crate) fn ratio(first: (&str, Vec<f64>), second: (&str, Vec<f64>)) -> Vec<Figure> {
    let (a, b) = (median(first.1), median(second.1));
    vec![
        Figure::new(first.0, a, "IOPS"),
        Figure::new(second.0, b, "IOPS"),
        Figure::new(format!("{} / {}", first.0, second.0), a / b, ""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_medians() {
        let figures = ratio(("a", vec![1.0, 100.0, 2.0]), ("b", vec![4.0, 4.0, 0.0]));
        assert_eq!(figures[2].value, 0.5);
    }
}
