//! Medians and percentiles.

/// Measured values of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn extend(&mut self, values: impl IntoIterator<Item = f64>) {
        self.0.extend(values);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> Option<f64> {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> Option<f64> {
        self.percentile(99)
    }

    /// The smallest value that so many percent do not exceed.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn percentiles_are_measured_values() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), None);
        samples.extend((1..=200).rev().map(f64::from));
        assert_eq!(
            (samples.median(), samples.p99(), samples.len()),
            (Some(100.0), Some(198.0), 200)
        );
        let mut one = Samples::default();
        one.extend([7.0]);
        assert_eq!((one.median(), one.p99()), (Some(7.0), Some(7.0)));
    }
}
