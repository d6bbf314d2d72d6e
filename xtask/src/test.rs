//! `cargo xtask test`: everything that CI runs but formatting, lints and docs.

use crate::peers::Peers;
use crate::programs::Programs;
use crate::sh::{Cmd, step};
use crate::suites::{self, Suite};
use crate::{
    build, bundle, consumer, demo, interfaces, newcomers, package, peers, shipped, template,
    vendor_wit, workspace,
};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::fs;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::Stdio;
use std::time::Instant;

#[derive(Args)]
pub(crate) struct Options {
    /// List the stages and stop
    #[arg(long)]
    list: bool,
    /// Run one stage only; those before it must have run
    #[arg(long, value_name = "STAGE")]
    only: Option<String>,
    /// Arguments for `cargo test` in the stage `tests`: a name, or `--test acceptance`. The stages `units` and `envoy` take
    /// them with `--only`
    #[arg(last = true)]
    rest: Vec<String>,
}

/// A stage: name, what it proves, how.
struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Run<'_>) -> Result<()>,
}

/// What a run of stages has begun.
struct Run<'o> {
    options: &'o Options,
    programs: Option<Programs>,
    suites: Vec<Suite>,
    peers: Option<Peers>,
}

impl Run<'_> {
    /// What the tests compare with.
    fn peers(&mut self) -> Result<Peers> {
        match &self.peers {
            Some(peers) => Ok(peers.clone()),
            None => Ok(self.peers.insert(peers::ensure()?).clone()),
        }
    }
}

const STAGES: &[Stage] = &[
    Stage {
        name: "wit",
        about: "the vendored WIT is what the crate that ships WASI has, and the page of the interfaces what wit/ says",
        run: |_| {
            vendor_wit::check()?;
            interfaces::check()
        },
    },
    Stage {
        name: "purity",
        about: "the engine's dependencies have no runtime, clock, random or environment",
        run: |_| purity(),
    },
    Stage {
        name: "components",
        about: "the guests, and the provider compiled for this machine; the programs that users get are begun",
        run: |run| {
            build::component()?;
            if run.options.only.is_none() {
                run.programs = Some(Programs::begin()?);
            }
            Ok(())
        },
    },
    Stage {
        name: "peers",
        about: "the SDKs, servers and runtimes that the tests compare with are installed",
        run: |run| run.peers().map(|_| ()),
    },
    Stage {
        name: "xtask",
        about: "the tests of the build tasks themselves",
        run: |_| xtask(),
    },
    Stage {
        name: "units",
        about: "cargo test over the native packages, but for the end-to-end tests",
        run: units,
    },
    Stage {
        name: "guests",
        about: "the tests of the components' own packages",
        run: |_| guests(),
    },
    Stage {
        name: "tests",
        about: "the end-to-end tests, with the Python and Node peers",
        run: tests,
    },
    Stage {
        name: "envoy",
        about: "the filter's own tests, the example manifests, and the filter in the real Envoy",
        run: |run| envoy(run.options),
    },
    Stage {
        name: "programs",
        about: "the programs that users get",
        run: |run| match run.programs.take() {
            Some(begun) => begun.finish(),
            None => build::all(),
        },
    },
    Stage {
        name: "pages",
        about: "what README and the other pages show: their commands and configurations",
        run: pages,
    },
    Stage {
        name: "shipped",
        about: "what users get is small, and has no compiler in it",
        run: |_| {
            shipped::check()?;
            bundle::check()
        },
    },
    Stage {
        name: "package",
        about: "the crates pack, and a program outside this tree is built from what was packed, and runs",
        run: |_| {
            package::crates()?;
            consumer::check(consumer::Code::Named)
        },
    },
    Stage {
        name: "newcomers",
        about: "README's and docs/install.md's ways in, outside of this tree: cargo install, a git dependency, the release",
        run: |_| newcomers::check(),
    },
    Stage {
        name: "demo",
        about: "the demonstrations that README promises, the one in Envoy too",
        run: |_| demo::test(),
    },
];

/// Crates that would give the engine a runtime, a clock, randomness, the
/// environment or the network behind the drivers' back. Not `libc`: the digests
/// ask it for processor features on some machines.
const IMPURE: &[&str] = &[
    "async-std",
    "chrono",
    "fastrand",
    "futures-executor",
    "getrandom",
    "hyper",
    "instant",
    "js-sys",
    "mio",
    "proxy-wasm",
    "rand",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "tokio",
    "wasi",
    "wasip2",
    "wasip3",
    "wasm-bindgen",
    "wasmtime",
    "web-time",
    "windows-sys",
    "wit-bindgen",
];

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for stage in STAGES {
            println!("{:10} {}", stage.name, stage.about);
        }
        return Ok(());
    }
    let chosen: Vec<&Stage> = STAGES
        .iter()
        .filter(|stage| {
            options
                .only
                .as_deref()
                .is_none_or(|only| only == stage.name)
        })
        .collect();
    if chosen.is_empty() {
        bail!(
            "there is no stage `{}`: `cargo xtask test --list` names them",
            options.only.as_deref().unwrap_or_default()
        );
    }
    let _lock = workspace::lock()?;
    let mut run = Run {
        options,
        programs: None,
        suites: Vec::new(),
        peers: None,
    };
    for stage in chosen {
        let started = Instant::now();
        let result = (stage.run)(&mut run).with_context(|| format!("stage {}", stage.name));
        if let Err(error) = &result
            && run.programs.is_some()
        {
            // it is told again when what goes on beside it has ended
            eprintln!("{error:#}");
        }
        result?;
        eprintln!(
            "--- {} ({:.1} s)",
            stage.name,
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// The engine may be given time and randomness; it may not take them.
fn purity() -> Result<()> {
    step("checking what the engine depends on", || {
        let tree = Cmd::cargo()
            .args(["tree", "--locked", "--package", "edgepass-core"])
            .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
            .args(["--target", "all", "--all-features"])
            .read()?;
        let found = shipped::named(&tree, IMPURE);
        if found.is_empty() {
            return Ok(());
        }
        bail!(
            "edgepass-core depends on {}: the engine gets time, randomness and environment as values (`cargo tree -p edgepass-core -i {}` shows the way)",
            found.join(", "),
            found.first().copied().unwrap_or_default()
        )
    })
}

/// What the end-to-end tests printed, and the secrets that they used.
const RECORDS: [&str; 2] = ["e2e-output", "e2e-secrets"];

fn xtask() -> Result<()> {
    let packages = ["-p", "xtask", "-p", "edgepass-compose"];
    let cmd = Cmd::cargo().args(["test", "--locked", "--quiet"]);
    cargo_test(cmd.args(packages))
}

/// The package of the end-to-end tests: they run the programs that users get, and peers.
const END_TO_END: &str = "edgepass-e2e";

fn units(run: &mut Run<'_>) -> Result<()> {
    let peers = run.peers()?;
    let options = run.options;
    if !options.rest.is_empty() {
        // in a whole run the stage `tests` takes them, with all packages
        return match &options.only {
            Some(_) => cargo_test(peers.apply(build::native("test")).args(&options.rest)),
            None => Ok(()),
        };
    }
    let suites = suites(run)?.iter();
    suites::run(suites.filter(|suite| suite.package != END_TO_END), |cmd| {
        peers.apply(cmd)
    })?;
    cargo_test(build::native("test").args(["--doc", "--no-fail-fast"]))
}

/// The native packages' programs of tests.
fn suites<'r>(run: &'r mut Run<'_>) -> Result<&'r [Suite]> {
    if run.suites.is_empty() {
        run.suites = step("compiling the tests of the native packages", || {
            suites::compile(build::native("test"))
        })?;
    }
    Ok(&run.suites)
}

fn guests() -> Result<()> {
    // by itself: in one selection with the host its bindings would get the host's features
    let cmd = Cmd::cargo().args(["test", "--locked", "--quiet"]);
    cargo_test(
        cmd.args(
            [
                "edgepass-provider",
                "edgepass-provider-p2",
                "edgepass-bindings",
                "edgepass-keyvalue",
                "edgepass-standalone-adapters",
                "edgepass-standalone-command",
                "edgepass-secrets",
                "edgepass-http",
            ]
            .iter()
            .flat_map(|package| ["-p", package]),
        ),
    )
}

fn tests(run: &mut Run<'_>) -> Result<()> {
    let peers = run.peers()?;
    if let Some(begun) = &mut run.programs {
        begun.tested()?;
    }
    template::build()?;
    step("building the program that runs applications", || {
        build::binaries(&[build::RUN.1]).run()
    })?;
    if !run.options.rest.is_empty() {
        let cmd = peers.apply(build::native("test"));
        return cargo_test(cmd.args(&run.options.rest));
    }
    for record in RECORDS {
        let folder = workspace::target().join(record);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", workspace::shown(&folder)))?;
        }
    }
    end_to_end(run, &peers, |source| source != PAGES)
}

/// The source file of the tests that do what the pages say, with all that users get.
const PAGES: &str = "tests/docs.rs";

fn pages(run: &mut Run<'_>) -> Result<()> {
    if run.options.only.is_none() && !run.options.rest.is_empty() {
        // the stage `tests` has had what was asked for
        return Ok(());
    }
    let peers = run.peers()?;
    end_to_end(run, &peers, |source| source == PAGES)
}

/// Runs the end-to-end tests of some source files.
fn end_to_end(run: &mut Run<'_>, peers: &Peers, are: fn(&str) -> bool) -> Result<()> {
    let suites = suites(run)?.iter();
    let chosen = suites.filter(|suite| suite.package == END_TO_END && are(&suite.source));
    suites::run(chosen, |cmd| peers.apply(cmd))?;
    step("searching what the tests printed for their secrets", || {
        Cmd::new(build::built().join("scan-secrets")).run()
    })
}

/// Tests in the real Envoy at once. Each has some ten threads of its own, which sleep; on two cores more of them at once
/// begin to disturb each other's timing.
const ENVOY_TEST_THREADS: &str = "5";

fn envoy(options: &Options) -> Result<()> {
    let program = peers::envoy()?;
    let filter = ["test", "--locked", "--quiet", "-p", "edgepass-envoy"];
    // what both modules have is the same code
    cargo_test(Cmd::cargo().args(filter).arg("--all-features"))?;
    let manifests = Cmd::cargo().args(["test", "--locked", "--quiet", "-p", "edgepass-manifests"]);
    cargo_test(manifests.env("EDGEPASS_HELM", peers::helm()?))?;
    // selected with all the others, so that the emulator is built with the same features
    let mut cmd = build::native("test")
        .args(["-p", "edgepass-envoy-tests", "--test", "envoy"])
        .env("EDGEPASS_ENVOY", &program);
    for (variable, program) in peers::older_envoys()? {
        cmd = cmd.env(variable, program);
    }
    if options.only.is_some() && !options.rest.is_empty() {
        return cargo_test(cmd.args(&options.rest));
    }
    // they wait for most of their time: for tokens to end, for servers that do not answer
    cargo_test(cmd.args(["--", "--test-threads", ENVOY_TEST_THREADS]))
}

/// Runs `cargo test`, and ends with a line of how much that was.
fn cargo_test(cmd: Cmd) -> Result<()> {
    let mut total = Total::default();
    let succeeded = counted(cmd, &mut total)?;
    total.say()?;
    if !succeeded {
        bail!("tests failed");
    }
    total.some()
}

/// Runs tests, lets their output through and adds up what it says. Says whether all is well.
pub(crate) fn counted(mut cmd: Cmd, total: &mut Total) -> Result<bool> {
    if std::io::stdout().is_terminal() {
        cmd = cmd.env("CARGO_TERM_COLOR", "always");
    }
    cmd.inner().stdout(Stdio::piped());
    let mut child = cmd.spawn()?;
    let mut out = std::io::stdout();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines() {
            let line = line.context("cannot read what the tests print")?;
            total.add(&line);
            writeln!(out, "{line}").context("cannot print")?;
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    Ok(status.success())
}

/// What libtest counts.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    pub(crate) fn say(&self) -> Result<()> {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        writeln!(
            std::io::stdout(),
            "\n{passed} passed, {failed} failed, {ignored} skipped"
        )
        .context("cannot print")
    }

    /// No test at all is a mistake.
    pub(crate) fn some(&self) -> Result<()> {
        if self.passed == 0 {
            bail!("no test ran: does the name exist?");
        }
        Ok(())
    }

    /// Takes in a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests_of_this {
    use super::Total;

    #[test]
    fn adds_up_what_libtest_prints() {
        let mut total = Total::default();
        total.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        total.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s");
        total.add("test some::test_result ... ok");
        assert_eq!(
            total,
            Total {
                passed: 5,
                failed: 1,
                ignored: 1
            }
        );
    }
}
