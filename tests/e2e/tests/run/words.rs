//! What the program says of what it cannot use.

use std::path::Path;
use std::process::Command as Program;

use anyhow::{Result, ensure};
use edgepass_e2e::{Command, Lab, artifact, edgepass_bin, edgepass_run_bin};

use crate::{edgepass_run, rules};

/// Made up, and of no other text.
const SECRET: &str = "Hunter2Hunter2Hunter2x9Q";

/// A secret in the wrong place is not repeated, whatever else is said of it.
#[test]
fn what_may_be_a_secret_is_not_repeated() -> Result<()> {
    let lab = Lab::new("run-secrets")?;
    let application = crate::application()?.display().to_string();
    let with = |before: &str, after: &str| format!("{before}{SECRET}{after}");
    for arguments in [
        vec![with("", "")],
        vec![with("--", "")],
        vec![with("--", "=x")],
        vec!["run".to_owned(), with("--", ""), application.clone()],
        vec![
            "run".to_owned(),
            with("--client-secret=", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            with("--timeout=", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--env".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--max-memory".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--provide".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--allow-host".to_owned(),
            with("https://u:", "@h"),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--dir".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--audit".to_owned(),
            with("https://u:", "@h/v1/logs"),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--audit".to_owned(),
            with("ftp://u:", "@h"),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--audit".to_owned(),
            with("/nowhere/", ""),
            application.clone(),
        ],
        vec![
            "run".to_owned(),
            "--config".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec!["run".to_owned(), with("", "")],
        vec![
            "serve-http".to_owned(),
            "--listen".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec![
            "serve-http".to_owned(),
            "--write-timeout".to_owned(),
            with("", ""),
            application.clone(),
        ],
        vec!["serve-http".to_owned(), application.clone(), with("", "")],
        vec![
            "compose".to_owned(),
            with("", ""),
            "--output".to_owned(),
            "/nowhere/x".to_owned(),
        ],
        vec![
            "compose".to_owned(),
            application,
            with("--allow=", ""),
            with("--outptu=", ""),
        ],
        vec!["help".to_owned(), with("", "")],
    ] {
        let command = Command::other(&lab, &edgepass_run_bin()?).without_azure();
        let ran = arguments.iter().fold(command, Command::arg).run()?;
        ensure!(
            ran.code == Some(2),
            "{arguments:?}: {:?} {}",
            ran.code,
            ran.stderr
        );
        let said = format!("{}{}", ran.stdout, ran.stderr);
        ensure!(
            !said.contains(SECRET) && !said.is_empty(),
            "{arguments:?}: {said}"
        );
    }
    Ok(())
}

/// `-` is no file, and no standard stream either: nothing is read by it, and nothing of that name is written.
#[test]
fn a_standard_stream_is_no_file() -> Result<()> {
    let lab = Lab::new("run-streams")?;
    let application = crate::application()?.display().to_string();
    let output = lab.scratch().join("composed.wasm").display().to_string();
    for (option, line) in [
        ("--config", vec!["run", "--config", "-", &application]),
        ("--ca-file", vec!["run", "--ca-file", "-", &application]),
        (
            "--config",
            vec!["serve-http", "--config", "-", &application],
        ),
        ("cannot read it", vec!["run", "-"]),
        ("cannot read it", vec!["serve-http", "-"]),
        ("cannot read it", vec!["compose", "-", "--output", &output]),
        (
            "cannot read it",
            vec![
                "compose",
                &application,
                "--output",
                &output,
                "--config",
                "-",
            ],
        ),
        (
            "cannot read it",
            vec![
                "compose",
                &application,
                "--output",
                &output,
                "--provider",
                "-",
            ],
        ),
        ("--output", vec!["compose", &application, "--output", "-"]),
        ("--output", vec!["compose", &application, "-o", "-"]),
    ] {
        let command = Command::other(&lab, &edgepass_run_bin()?).without_azure();
        let command = line
            .iter()
            .fold(command, |command, word| command.arg(*word));
        let ran = command.run()?;
        ensure!(
            ran.code == Some(2),
            "{line:?}: {:?} {}",
            ran.code,
            ran.stderr
        );
        for word in [option, "`-` is no file", "./-"] {
            ensure!(ran.stderr.contains(word), "{line:?}: {}", ran.stderr);
        }
        ensure!(!Path::new("-").exists(), "{line:?}");
    }
    Ok(())
}

/// What has no end is not read: a pipe would wait for who writes to it.
#[test]
fn files_are_regular_files() -> Result<()> {
    let lab = Lab::new("run-files")?;
    let config = rules(&lab, 1);
    let pipe = lab.scratch().join("a.pipe").display().to_string();
    ensure!(Program::new("mkfifo").arg(&pipe).status()?.success());
    let folder = lab.scratch().join("a-folder").display().to_string();
    std::fs::create_dir(&folder)?;
    let application = crate::application()?.display().to_string();
    let output = lab.scratch().join("composed.wasm").display().to_string();
    let provider = artifact("dist/credential-provider.wasm")?;
    let provider = provider.display().to_string();
    for (path, reason) in [
        (&*pipe, "it is a pipe"),
        (&*folder, "it is a folder"),
        ("/dev/zero", "it is not a regular file"),
    ] {
        let rows = [
            edgepass_run(&lab, &config, &["run", path])?,
            edgepass_run(
                &lab,
                &config,
                &["serve-http", "--listen", "127.0.0.1:0", path],
            )?,
        ];
        let own = [
            vec!["run", "--config", path, &application],
            vec!["run", "--ca-file", path, &application],
            vec!["compose", path, "--output", &output],
            vec![
                "compose",
                &application,
                "--output",
                &output,
                "--provider",
                path,
            ],
            vec![
                "compose",
                &application,
                "--output",
                &output,
                "--config",
                path,
            ],
            vec![
                "compose",
                &application,
                "--output",
                &output,
                "--provider",
                &provider,
                "--http",
                "--filter",
                path,
            ],
        ];
        let program = edgepass_run_bin()?;
        let own = own.iter().map(|arguments| {
            let command = Command::other(&lab, &program).without_azure();
            arguments
                .iter()
                .fold(command, |command, word| command.arg(*word))
        });
        for (row, command) in rows.into_iter().chain(own).enumerate() {
            let ran = command.run()?;
            ensure!(
                ran.code == Some(2),
                "{row}, {path}: {:?} {}",
                ran.code,
                ran.stderr
            );
            ensure!(
                ran.stderr
                    .contains(&format!("{path} cannot be read: {reason}\n")),
                "{row}, {path}: {}",
                ran.stderr
            );
        }
    }
    Ok(())
}

/// A program of that name which is the command itself, linked or copied, would become itself for ever.
#[test]
fn the_command_does_not_become_itself() -> Result<()> {
    let lab = Lab::new("run-itself")?;
    let command = edgepass_bin()?;
    let folder = |name: &str| -> Result<_> {
        let folder = lab.scratch().join(name);
        std::fs::create_dir(&folder)?;
        std::fs::copy(&command, folder.join("edgepass"))?;
        Ok(folder)
    };
    let (copied, linked) = (folder("copied")?, folder("linked")?);
    std::fs::copy(&command, copied.join("edgepass-run"))?;
    std::os::unix::fs::symlink("edgepass", linked.join("edgepass-run"))?;
    let run = |folder: &Path, path: &str| {
        let run = Command::other(&lab, &folder.join("edgepass")).bare();
        run.env("PATH", path).arg("run").arg("app.wasm").run()
    };
    let alone = folder("alone")?;
    for (folder, path) in [
        (&copied, "/nowhere"),
        (&linked, "/nowhere"),
        // found by its name
        (&alone, copied.to_str().unwrap_or_default()),
    ] {
        let ran = run(folder, path)?;
        ensure!(ran.code != Some(0), "{}", ran.stdout);
        ensure!(ran.stderr.contains("edgepass itself"), "{}", ran.stderr);
    }
    Ok(())
}
