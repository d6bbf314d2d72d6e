//! Which processors a process may run on.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The processors that this process may use.
pub(crate) fn all() -> Result<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("the benchmark needs Linux's /proc")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .context("no Cpus_allowed_list in /proc/self/status")?;
    parse(list.trim()).with_context(|| format!("{list:?} is no list of processors"))
}

/// Binds all threads of a process.
pub(crate) fn bind(pid: u32, processors: &[usize]) -> Result<()> {
    let list: Vec<String> = processors.iter().map(usize::to_string).collect();
    let output = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &list.join(",")])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .output()
        .context("cannot run taskset (of the package util-linux)")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!(
            "a process cannot be bound to a processor: {}",
            reason.trim()
        );
    }
    Ok(())
}

/// `0-2,5`
fn parse(list: &str) -> Option<Vec<usize>> {
    let mut out = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        out.extend(first..=last);
    }
    Some(out)
}

/// A program by its name, as a shell finds it.
pub(crate) fn program(name: &str) -> Option<std::path::PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|file: &std::path::PathBuf| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_of_processors_are_read() {
        for (list, expected) in [
            ("0", Some(vec![0])),
            ("0-2,5", Some(vec![0, 1, 2, 5])),
            ("", None),
            ("a-b", None),
        ] {
            assert_eq!(parse(list), expected, "{list}");
        }
    }
}
