//! Medians and percentiles, and comparisons within a round.

/// Measured values of one kind, by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Vec<f64>>);

impl Samples {
    pub(crate) fn add(&mut self, round: usize, values: impl IntoIterator<Item = f64>) {
        if self.0.len() <= round {
            self.0.resize(round + 1, Vec::new());
        }
        if let Some(of_round) = self.0.get_mut(round) {
            of_round.extend(values);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    pub(crate) fn median(&self) -> Option<f64> {
        percentile(self.0.iter().flatten().copied().collect(), 50)
    }

    pub(crate) fn p99(&self) -> Option<f64> {
        percentile(self.0.iter().flatten().copied().collect(), 99)
    }

    /// The median, over the rounds, of what `compare` says of the two medians of a round: whatever else the machine did
    /// in a round met both.
    pub(crate) fn compared(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let of_rounds = self.0.iter().zip(&other.0).filter_map(|(own, others)| {
            Some(compare(
                percentile(own.clone(), 50)?,
                percentile(others.clone(), 50)?,
            ))
        });
        percentile(of_rounds.collect(), 50)
    }
}

/// The smallest value that so many percent do not exceed.
fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn percentiles_are_measured_values() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), None);
        for n in (1..=200).rev() {
            samples.add(usize::from(n > 100), [f64::from(n)]);
        }
        assert_eq!(
            (samples.median(), samples.p99(), samples.len()),
            (Some(100.0), Some(198.0), 200)
        );
        let mut one = Samples::default();
        one.add(0, [7.0]);
        assert_eq!((one.median(), one.p99()), (Some(7.0), Some(7.0)));
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        let (mut a, mut b) = (Samples::default(), Samples::default());
        // the machine was half as fast in the second round, and busy for a moment in the third
        for (round, (own, others)) in [
            ([9.0, 9.0, 50.0], [10.0, 10.0, 10.0]),
            ([18.0, 18.0, 18.0], [20.0, 20.0, 20.0]),
            ([90.0, 90.0, 90.0], [10.0, 10.0, 10.0]),
        ]
        .into_iter()
        .enumerate()
        {
            a.add(round, own);
            b.add(round, others);
        }
        assert_eq!(a.compared(&b, |a, b| a / b), Some(0.9));
        assert_eq!(a.compared(&b, |a, b| a - b), Some(-1.0));
        assert_eq!(a.compared(&Samples::default(), |a, b| a / b), None);
    }
}
