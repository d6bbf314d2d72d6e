//! Medians, and comparisons within a round.

/// The smallest value that so many percent do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    percentile(values, 50)
}

/// What `compare` says of the two values of each round.
pub(crate) fn paired(
    values: &[f64],
    others: &[f64],
    compare: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    values
        .iter()
        .zip(others)
        .map(|(value, other)| compare(*value, *other))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{median, paired, percentile};

    #[test]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(median(&values), Some(100.0));
        assert_eq!(percentile(&values, 25), Some(50.0));
        assert_eq!(median(&[]), None);
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        // the machine was half as fast in the second round
        let ratios = paired(&[90.0, 45.0], &[100.0, 50.0], |a, b| a / b);
        assert_eq!(ratios, [0.9, 0.9]);
    }
}
