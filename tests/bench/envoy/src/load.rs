//! Load, by wrk.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::proxy::{OTHERS, pinned};

/// What wrk saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Sends as many requests as get answered. Each must be answered with 200.
pub(crate) fn run(port: u16, path: &str, connections: usize, seconds: usize) -> Result<Load> {
    let output = pinned(OTHERS, Path::new(WRK))
        .args(["-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(format!("http://127.0.0.1:{port}{path}"))
        .stdin(Stdio::null())
        .output()
        .context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "wrk ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    parse(&text)
}

/// Whether there is all that is needed.
pub(crate) fn check() -> Result<()> {
    for (program, package) in [(WRK, "wrk"), ("taskset", "util-linux")] {
        let found = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        if found.is_err() {
            bail!("{program} is not installed: run `apt-get install {package}`");
        }
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors <= OTHERS {
        bail!("this needs two processors: one for what is measured, one for the load");
    }
    Ok(())
}

const WRK: &str = "wrk";

fn parse(text: &str) -> Result<Load> {
    // these lines are there only if there is something to tell
    if let Some(line) = text
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("not every request was answered with 200: {}", line.trim());
    }
    let word_after = |label: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .map(str::trim)
    };
    let read = || {
        Some(Load {
            requests: text
                .lines()
                .find_map(|line| line.trim().split_once(" requests in "))?
                .0
                .parse()
                .ok()?,
            per_second: word_after("Requests/sec:")?.parse().ok()?,
            p50_ms: milliseconds(word_after("50%")?)?,
            p99_ms: milliseconds(word_after("99%")?)?,
        })
    };
    read().with_context(|| format!("wrk printed something else than expected:\n{text}"))
}

fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 1e-3), ("ms", 1.0), ("s", 1e3)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * factor);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::parse;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:1/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   629.40us  361.27us   9.55ms   98.73%
    Req/Sec    26.07k   610.65    26.71k    90.91%
  Latency Distribution
     50%  602.00us
     75%  617.00us
     90%  662.00us
     99%    1.50ms
  28540 requests in 1.10s, 3.40MB read
Requests/sec:  25949.27
Transfer/sec:      3.09MB
";

    #[test]
    fn what_wrk_prints_is_read() {
        let load = parse(PRINTED).unwrap();
        assert_eq!(load.requests, 28540);
        assert!((load.per_second - 25949.27).abs() < 1e-9);
        assert!((load.p50_ms - 0.602).abs() < 1e-9);
        assert!((load.p99_ms - 1.5).abs() < 1e-9);
    }

    #[test]
    fn requests_that_failed_fail_the_run() {
        let text = format!("{PRINTED}  Non-2xx or 3xx responses: 3\n");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("Non-2xx or 3xx responses: 3"), "{error}");
        assert!(parse("Requests/sec: 1").is_err());
    }
}
