//! Instructions in user space, counted by valgrind's callgrind. They do not depend on what else the machine does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::emulator::Emulator;
use crate::measure::{Effort, Figure};
use crate::peers::{Once, Programs, Who};
use crate::processors;

/// Of one operation each.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) operations: BTreeMap<(Figure, Who), f64>,
    pub(crate) starts: BTreeMap<Once, f64>,
}

/// The counts, if valgrind is there.
pub(crate) fn all(
    programs: &Programs,
    emulator: &Emulator,
    effort: Effort,
    starts: &[Once],
) -> Result<Option<Counts>> {
    let Some(valgrind) = processors::program("valgrind") else {
        return Ok(None);
    };
    eprintln!("counting instructions");
    let mut counts = Counts::default();
    // an interpreter's are not worth its minutes
    for who in [Who::Edgepass, Who::Azure] {
        let client = |questions: &str| {
            let command = programs.command(who, emulator);
            counted(&valgrind, &command, questions)
        };
        for (figure, question, few) in [
            (Figure::Cached, "cached 1", 100),
            (Figure::Inner, "inner 1", 100),
            (Figure::Exchange, "exchange", 5),
        ] {
            if figure == Figure::Inner && who != Who::Edgepass {
                continue;
            }
            let more = few * effort.counted;
            // what both have in common is the start and the end of the process
            let a = client(&format!("{question} {few}\n"))?;
            let b = client(&format!("{question} {}\n", few + more))?;
            counts
                .operations
                .insert((figure, who), (b - a) / f64::from(more));
        }
    }
    for &what in starts {
        if what != Once::Client(Who::Python) {
            let command = programs.once(what, emulator);
            counts
                .starts
                .insert(what, counted(&valgrind, &command, "")?);
        }
    }
    Ok(Some(counts))
}

/// All instructions of a process.
fn counted(valgrind: &Path, command: &Command, stdin: &str) -> Result<f64> {
    let mut counting = Command::new(valgrind);
    counting
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            counting.env(name, value);
        }
    }
    let mut child = counting
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run valgrind")?;
    child
        .stdin
        .take()
        .context("no pipe to valgrind")?
        .write_all(stdin.as_bytes())
        .context("valgrind is gone")?;
    let output = child
        .wait_with_output()
        .context("cannot wait for valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let program = PathBuf::from(command.get_program());
    if !output.status.success() {
        bail!(
            "{} failed under valgrind: {}",
            program.display(),
            said.trim()
        );
    }
    collected(&said).with_context(|| format!("valgrind counted nothing of {}", program.display()))
}

/// `==123== Collected : 456`
fn collected(said: &str) -> Option<f64> {
    let count = said.split_once("Collected :")?.1;
    count.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn the_count_is_what_callgrind_says() {
        let said = "==7== Callgrind\n==7== \n==7== Collected : 13469437\n==7== \n==7== I refs: 1\n";
        assert_eq!(collected(said), Some(13_469_437.0));
        assert_eq!(collected("==7== Callgrind"), None);
    }
}
