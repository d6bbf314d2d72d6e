//! How much is measured.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "usage: edgepass-bench-envoy [--quick] [--rounds N] [--single-rounds N] [--seconds N] [--starts N] [--svg FILE]";

/// Counts; none is zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Options {
    /// Rounds with [`MANY`] connections.
    pub(crate) rounds: usize,
    /// Rounds with one.
    pub(crate) single_rounds: usize,
    /// Seconds of load that a variant gets in a round.
    pub(crate) seconds: usize,
    /// Starts of each variant.
    pub(crate) starts: usize,
}

/// What is measured, and where to write the picture.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) options: Options,
    pub(crate) svg: Option<PathBuf>,
}

/// Connections at once: enough that the one worker of Envoy always has something to do.
pub(crate) const MANY: usize = 16;

impl Options {
    /// Some minutes.
    const FULL: Self = Self {
        rounds: 25,
        single_rounds: 15,
        seconds: 1,
        starts: 7,
    };

    /// Half a minute, to see that it works.
    const QUICK: Self = Self {
        rounds: 2,
        single_rounds: 1,
        seconds: 1,
        starts: 1,
    };

    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments> {
        let mut options = Self::FULL;
        let mut svg = None;
        while let Some(argument) = arguments.next() {
            let count = match argument.as_str() {
                "--quick" => {
                    options = Self::QUICK;
                    continue;
                }
                "--svg" => {
                    svg = Some(arguments.next().context(USAGE)?.into());
                    continue;
                }
                "--rounds" => &mut options.rounds,
                "--single-rounds" => &mut options.single_rounds,
                "--seconds" => &mut options.seconds,
                "--starts" => &mut options.starts,
                _ => bail!("{USAGE}"),
            };
            *count = arguments
                .next()
                .and_then(|n| n.parse().ok())
                .filter(|&n| n > 0)
                .context(USAGE)?;
        }
        Ok(Arguments { options, svg })
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Options};

    fn parse(line: &str) -> Option<Arguments> {
        Options::parse(line.split_whitespace().map(str::to_owned)).ok()
    }

    #[test]
    fn counts_are_taken_and_nonsense_is_not() {
        let without = |options| Some(Arguments { options, svg: None });
        assert_eq!(parse(""), without(Options::FULL));
        let quick = Options {
            rounds: 9,
            ..Options::QUICK
        };
        assert_eq!(parse("--quick --rounds 9"), without(quick));
        let svg = parse("--svg a.svg").and_then(|arguments| arguments.svg);
        assert_eq!(svg, Some("a.svg".into()));
        for wrong in ["--rounds", "--rounds 0", "--starts x", "--fast", "--svg"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
