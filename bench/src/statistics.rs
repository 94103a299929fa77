//! Of figures that repeated: the middle, and the tail.

/// The middle value; of two, the larger. An outlier does not move it.
///
/// # Panics
/// If there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value that one in a hundred exceeds.
///
/// # Panics
/// If there are none.
pub(crate) fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * 99 / 100).min(values.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_ignores_an_outlier_and_the_tail_does_not() {
        assert_eq!(median(vec![1.0, 900.0, 2.0]), 2.0);
        assert_eq!(median(vec![5.0]), 5.0);
        assert_eq!(p99((0..200).map(f64::from).collect()), 198.0);
    }
}
