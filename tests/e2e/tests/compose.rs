//! Acceptance: `edgepass compose` makes the components that the build makes, from what a release has, and says what is wrong
//! with what it cannot compose. `edgepass` itself is small, and hands its commands over to the program that has a compiler.

#![cfg(test)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Command, Lab, Ran, artifact, edgepass_bin, edgepass_run_bin};
use serde_json::json;

/// A folder as the archive of a release is unpacked.
struct Release<'l> {
    lab: &'l Lab,
    folder: PathBuf,
}

impl<'l> Release<'l> {
    fn unpacked(lab: &'l Lab) -> Result<Self> {
        let folder = lab.scratch().join("release");
        for (from, to) in [
            (edgepass_bin()?, "bin/edgepass"),
            (edgepass_run_bin()?, "bin/edgepass-run"),
            (
                artifact("dist/credential-provider.wasm")?,
                "wasm/credential-provider.wasm",
            ),
            (
                artifact("dist/edgepass-http.wasm")?,
                "wasm/edgepass-http.wasm",
            ),
            (
                artifact("dist/token-store-keyvalue.wasm")?,
                "wasm/token-store-keyvalue.wasm",
            ),
            (
                artifact("dist/edgepass-standalone.wasm")?,
                "wasm/edgepass-standalone.wasm",
            ),
        ] {
            place(&from, &folder.join(to))?;
        }
        Ok(Self { lab, folder })
    }

    fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = Command::other(self.lab, &self.folder.join("bin/edgepass")).bare();
        for argument in arguments {
            command = command.arg(*argument);
        }
        command.run()
    }
}

/// A file in another place, under another name.
fn place(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    // what an earlier run has left may be of another build
    if to.exists() {
        fs::remove_file(to)?;
    }
    // a link is as good, where both are on one disk
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    Ok(())
}

fn component(name: &str) -> Result<String> {
    let path = artifact(&format!("target/components/{name}"))?;
    Ok(path.display().to_string())
}

/// One implementation: what the build composed is what the command composes.
#[test]
fn a_release_composes_what_the_build_composes() -> Result<()> {
    let lab = Lab::new("compose")?;
    let release = Release::unpacked(&lab)?;
    let output = release.folder.join("composed.wasm").display().to_string();
    for (application, options, built) in [
        ("consumer.wasm", &[][..], "consumer-composed.wasm"),
        (
            "consumer.wasm",
            &["--token-store"],
            "consumer-keyvalue.wasm",
        ),
        ("plain-app.wasm", &["--http"], "plain-app-composed.wasm"),
    ] {
        let application = component(application)?;
        let mut arguments = vec!["compose", &application, "--output", &output];
        arguments.extend(options);
        let ran = release.run(&arguments)?;
        ensure!(ran.code == Some(0), "{built}: {}", ran.stderr);
        ensure!(
            ran.stdout.contains(&format!("wrote {output}")),
            "{}",
            ran.stdout
        );
        let same = fs::read(&output)? == fs::read(component(built)?)?;
        ensure!(same, "{built} is another one");
    }
    // parts by their names, and the module that cargo leaves
    let module = artifact("target/wasm32-unknown-unknown/release/consumer.wasm")?;
    let module = module.display().to_string();
    let provider = artifact("dist/credential-provider.wasm")?
        .display()
        .to_string();
    let ran = release.run(&["compose", &module, "-o", &output, "--provider", &provider])?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    ensure!(fs::read(&output)? == fs::read(component("consumer-composed.wasm")?)?);
    Ok(())
}

#[test]
fn what_cannot_be_composed_is_said_with_what_to_do() -> Result<()> {
    let lab = Lab::new("compose-refused")?;
    let release = Release::unpacked(&lab)?;
    let output = release.folder.join("composed.wasm").display().to_string();
    let text = lab.write("text.wasm", "hello")?.display().to_string();
    let module = lab.write("module.wasm", b"\0asm\x01\0\0\0")?;
    let damaged = lab.write("damaged.wasm", b"\0asm\x0d\0\x01\0\x01\xff")?;
    let (module, damaged) = (module.display().to_string(), damaged.display().to_string());
    let other = wat(
        &lab,
        "other.wasm",
        r#"(component (import "example:app/database@1.0.0" (instance)))"#,
    )?;
    let of_0_2 = wat(
        &lab,
        "p2.wasm",
        r#"(component (import "edgepass:credentials-p2/credential-provider@0.2.0" (instance)))"#,
    )?;
    let waits = wat(
        &lab,
        "waits.wasm",
        r#"(component
            (import "edgepass:credentials/status@0.2.0" (instance
                (export "next-notice" (func async (result (option string))))))
            (instance $run)
            (export "wasi:cli/run@0.2.3" (instance $run)))"#,
    )?;
    // the interface that waits need not be the first
    let waits_later = wat(
        &lab,
        "waits-later.wasm",
        r#"(component
            (import "edgepass:credentials/status@0.2.0" (instance
                (export "warnings" (func (result (list string))))))
            (import "edgepass:credentials/opaque-tokens@0.2.0" (instance
                (export "wait" (func async))))
            (instance $run)
            (export "wasi:cli/run@0.2.3" (instance $run)))"#,
    )?;
    let differs = wat(
        &lab,
        "differs.wasm",
        r#"(component (import "edgepass:credentials/status@0.2.0" (instance
            (export "next-notice" (func (result u32))))))"#,
    )?;
    let provider = artifact("dist/credential-provider.wasm")?
        .display()
        .to_string();
    let (consumer, composed) = (
        component("consumer.wasm")?,
        component("consumer-composed.wasm")?,
    );
    let (plain, plain_composed) = (
        component("plain-app.wasm")?,
        component("plain-app-composed.wasm")?,
    );
    let (plain_0_2, hostile) = (component("plain-0-2.wasm")?, component("hostile.wasm")?);
    let no_rules = lab.write("no-rules.json", r#"{"identities": {"app": {"tenant_id": "a.example", "client_id": "66666666-7777-8888-9999-000000000000", "credential": {"federated_token_file": {"path": "/t"}}}}}"#)?;
    let secret = lab.write("secret.json", r#"{"identities": {"app": {"tenant_id": "a.example", "client_id": "66666666-7777-8888-9999-000000000000", "credential": {"client_secret": {"value": "of-the-test-alone"}}}}}"#)?;
    let certificate = lab.write("certificate.json", r#"{"certificates": {"c": {"certificate_file": "/c.pem"}}, "identities": {"app": {"tenant_id": "a.example", "client_id": "66666666-7777-8888-9999-000000000000", "credential": {"certificate": {"name": "c"}}}}}"#)?;
    let no_client = lab.write("no-client.json", r#"{"identities": {"app": {"tenant_id": "a.example", "credential": {"federated_token_file": {"path": "/t"}}}}}"#)?;
    let misspelt = lab.write("misspelt.json", r#"{"identities": {"app": {"tenant_id": "a.example", "scope": [], "client_id": "c", "credential": {"federated_token_file": {"path": "/t"}}}}}"#)?;
    let [certificate, no_client, misspelt] =
        [certificate, no_client, misspelt].map(|path| path.display().to_string());
    let provider_p2 = artifact("dist/credential-provider-p2.wasm")?
        .display()
        .to_string();
    let (no_rules, secret) = (no_rules.display().to_string(), secret.display().to_string());
    for (arguments, words) in [
        (
            vec!["/nowhere.wasm"],
            vec!["/nowhere.wasm cannot be read: there is no such file"],
        ),
        (
            vec![&*text],
            vec!["neither a WebAssembly component nor a module"],
        ),
        (
            vec![&module],
            vec!["does not say which world", "wasm32-wasip2"],
        ),
        (
            vec![&damaged],
            vec!["damaged.wasm is not a valid component"],
        ),
        (
            vec![&other],
            vec!["imports nothing that", "credential-provider@0.2.0"],
        ),
        (vec![&plain], vec!["imports nothing that", "with --http"]),
        (
            vec![&consumer, "--http"],
            vec!["imports nothing that", "leave --http out"],
        ),
        (vec![&plain_0_2], vec!["WASI 0.2", "edgepass run"]),
        (
            vec![&plain_0_2, "--http"],
            vec!["WASI 0.2", "edgepass serve-http"],
        ),
        (
            vec![&of_0_2],
            vec![
                "over WASI 0.2",
                "--provider wasm/credential-provider-p2.wasm",
            ],
        ),
        (
            vec![&of_0_2, "--standalone"],
            vec!["leave --standalone out", "credential-provider-p2.wasm"],
        ),
        (
            vec![&of_0_2, "--http"],
            vec!["leave --http out", "credential-provider-p2.wasm"],
        ),
        (
            vec![&consumer, "--provider", &provider_p2],
            vec!["over WASI 0.3", "leave --provider out"],
        ),
        (
            vec![&plain, "--http", "--provider", &provider_p2],
            vec!["edgepass-http.wasm imports", "leave --provider out"],
        ),
        (
            vec![&consumer, "--allow", "credential-provider"],
            vec!["answered by the composition itself", "leave `--allow"],
        ),
        (
            vec![&plain, "--http", "--allow", "wasi:http/client"],
            vec!["answered by the composition itself", "leave `--allow"],
        ),
        (
            vec![&consumer, "--standalone", "--config", &certificate],
            vec![
                "identities.app.credential.certificate",
                "leave --standalone out",
            ],
        ),
        (
            vec![&consumer, "--config", &no_client],
            vec!["identities.app.client_id", "reads no variables"],
        ),
        (
            vec![&consumer, "--config", &misspelt],
            vec!["did you mean `scopes`"],
        ),
        (
            vec![&waits],
            vec!["wasi:cli/run@0.2.3", "trap", "cached-token"],
        ),
        (
            vec![&waits_later],
            vec!["opaque-tokens@0.2.0", "trap", "cached-token"],
        ),
        (vec![&differs], vec!["is not as", "exports it"]),
        (vec![&composed], vec!["is composed already"]),
        (vec![&plain_composed, "--http"], vec!["is composed already"]),
        (vec![&provider], vec!["is a provider itself"]),
        (
            vec![&hostile],
            vec!["--allow edgepass:credentials/token-file"],
        ),
        (
            vec![&consumer, "--allow", "wasi:http/client"],
            vec!["does not import wasi:http/client"],
        ),
        (
            vec![&consumer, "--provider", &plain],
            vec!["imports nothing that"],
        ),
        (
            vec![&consumer, "--provider", "/nowhere"],
            vec!["/nowhere cannot be read"],
        ),
        (
            vec![&*consumer, "--token-store=/nowhere"],
            vec!["/nowhere cannot be read"],
        ),
        (
            vec![&consumer, "--token-store", "/nowhere"],
            vec!["/nowhere cannot be read"],
        ),
        (
            vec![&consumer, "--token-store", &plain],
            vec!["exports no edgepass:credentials/token-store"],
        ),
        (vec![&consumer, "--filter", &plain], vec!["--http"]),
        (
            vec![&consumer, "--standalone", "--token-store"],
            vec!["--standalone", "--token-store"],
        ),
        (vec![&plain, "--http", "--config", &no_rules], vec!["http"]),
        (
            vec![&consumer, "--config", &secret],
            vec!["client_secret.value is a secret"],
        ),
        (vec![&consumer, "--config", &text], vec!["text.wasm"]),
    ] {
        let mut all = vec!["compose", "-o", &output];
        all.extend(&arguments);
        let ran = release.run(&all)?;
        ensure!(
            ran.code == Some(2),
            "{arguments:?}: {:?} {}",
            ran.code,
            ran.stderr
        );
        for word in words {
            ensure!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
        }
        ensure!(!ran.stderr.contains("of-the-test-alone"));
        // what is said of variables is said where they would help
        let is_of_variables = ran.stderr.contains("reads no variables");
        ensure!(
            is_of_variables == arguments.contains(&&*no_client),
            "{arguments:?}: {}",
            ran.stderr
        );
        ensure!(
            !Path::new(&output).exists(),
            "{arguments:?} wrote something"
        );
    }
    // where its parts are not
    let alone = lab.scratch().join("alone/bin/edgepass-run");
    place(&edgepass_run_bin()?, &alone)?;
    let ran = Command::other(&lab, &alone).bare();
    let ran = ran
        .arg("compose")
        .arg(&consumer)
        .arg("-o")
        .arg(&output)
        .run()?;
    for word in [
        "credential-provider.wasm is not there",
        "release archive",
        "--provider",
    ] {
        ensure!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    Ok(())
}

/// The first process of a container gets no signal that it does not handle. Where the machine has no namespaces for its
/// users, it is no first process, and handles its signals all the same.
#[test]
fn a_container_whose_first_process_runs_an_application_can_be_stopped() -> Result<()> {
    const TERMINATE: u32 = 15;
    const PATIENCE: Duration = Duration::from_secs(120);

    let container = [
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
    ];
    let tried = std::process::Command::new("unshare")
        .args(container)
        .arg("true")
        .output();
    let is_first = tried.is_ok_and(|tried| tried.status.success());
    let lab = Lab::new("compose-first-process")?;
    let release = Release::unpacked(&lab)?;
    // it is connected to, and never answers
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = silent.local_addr()?;
    let config = lab.config(&json!({ "client_secret": { "env": "SECRET" } }));
    let config = lab
        .write("config.json", config.to_string())?
        .display()
        .to_string();
    let program = release.folder.join("bin/edgepass").display().to_string();
    let (application, allowed) = (component("plain-0-3.wasm")?, address.to_string());
    let url = format!("http://{address}/");
    let command = if is_first {
        let command = Command::other(&lab, Path::new("unshare")).bare();
        let command = container.into_iter().fold(command, Command::arg);
        command.arg(&program)
    } else {
        Command::other(&lab, Path::new(&program)).bare()
    };
    let command = command.env("SECRET", "of-the-test-alone");
    let command = [
        "run",
        "--config",
        &config,
        "--allow-host",
        &allowed,
        &application,
        "GET",
        &url,
    ]
    .into_iter()
    .fold(command, Command::arg);
    let mut child = command.spawn()?;
    // from then on the application waits for it
    silent.set_nonblocking(true)?;
    let begun = Instant::now();
    let _connection = loop {
        match silent.accept() {
            Ok(connection) => break connection,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        let ended = child.try_wait()?;
        ensure!(ended.is_none(), "it has ended: {ended:?}");
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            anyhow::bail!("nobody has connected");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let first = if is_first {
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id()))?
    } else {
        child.id().to_string()
    };
    let first = first.trim();
    let status = fs::read_to_string(format!("/proc/{first}/status"))?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.context("no signals")?.trim(), 16)?;
    ensure!(
        caught & (1 << (TERMINATE - 1)) != 0,
        "SIGTERM is not handled"
    );
    let sent = std::process::Command::new("kill")
        .args(["-s", "TERM", first])
        .status()?;
    ensure!(sent.success());
    let ended = child.wait()?.code();
    ensure!(ended == Some(128 + TERMINATE.cast_signed()), "{ended:?}");
    Ok(())
}

/// What is composed for a host that answers the provider's imports is not what a program runs that answers WASI.
#[test]
fn a_composition_that_needs_more_than_wasi_is_named_as_such() -> Result<()> {
    let lab = Lab::new("compose-run")?;
    let release = Release::unpacked(&lab)?;
    let output = release.folder.join("composed.wasm").display().to_string();
    let application = component("plain-0-3.wasm")?;
    let made = release.run(&["compose", "--http", &application, "-o", &output])?;
    ensure!(made.code == Some(0), "{}", made.stderr);
    let config = lab.config(&json!({ "client_secret": { "env": "SECRET" } }));
    let config = lab.write("config.json", config.to_string())?;
    let run = Command::other(&lab, &release.folder.join("bin/edgepass")).bare();
    let run = run.env("SECRET", "of-the-test-alone").arg("run");
    let run = run.arg("--config").arg(config.display().to_string());
    let ran = run.arg(&output).run()?;
    ensure!(ran.code == Some(2), "{:?}", ran.code);
    ensure!(
        ran.stderr.contains("compose it with --standalone"),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// A component in its text form.
fn wat(lab: &Lab, name: &str, text: &str) -> Result<String> {
    let path = lab.write(name, &wat::parse_str(text)?)?;
    Ok(path.display().to_string())
}

/// A program in the place of the one that has a compiler: it says what it got, and ends as it is told.
const PLAYED: &str = r#"#!/bin/sh
echo "$# $*"
cat
case "$2" in
    killed) kill -TERM $$ ;;
    *) exit 42 ;;
esac
"#;

#[test]
fn the_command_becomes_the_program_that_has_a_compiler() -> Result<()> {
    let lab = Lab::new("compose-hand-over")?;
    let (folder, elsewhere) = (lab.scratch().join("bin"), lab.scratch().join("elsewhere"));
    fs::create_dir_all(&folder)?;
    let played = lab.write("bin/edgepass-run", PLAYED)?;
    fs::set_permissions(&played, fs::Permissions::from_mode(0o755))?;
    place(&edgepass_bin()?, &folder.join("edgepass"))?;
    place(&edgepass_bin()?, &elsewhere.join("edgepass"))?;
    let path = format!("{}:/usr/bin:/bin", folder.display());
    // beside it, and in PATH
    for (program, path) in [
        (folder.join("edgepass"), "/usr/bin:/bin"),
        (elsewhere.join("edgepass"), &path),
    ] {
        for (line, said, code) in [
            (
                "run app.wasm -v --help",
                "4 run app.wasm -v --help",
                Some(42),
            ),
            (
                "serve-http --listen 127.0.0.1:0 x",
                "4 serve-http --listen 127.0.0.1:0 x",
                Some(42),
            ),
            ("compose --http", "2 compose --http", Some(42)),
            ("run --help", "2 run --help", Some(42)),
            ("help compose", "2 help compose", Some(42)),
            ("-v run -- app.wasm", "3 -v run app.wasm", Some(42)),
            ("run killed", "2 run killed", None),
        ] {
            let command = Command::other(&lab, &program).bare().env("PATH", path);
            let command = line
                .split(' ')
                .fold(command, Command::arg)
                .input("of standard input");
            let ran = command.run()?;
            ensure!(
                ran.stdout == format!("{said}\nof standard input"),
                "{line}: {}{}",
                ran.stdout,
                ran.stderr
            );
            ensure!(ran.code == code, "{line}: {:?}", ran.code);
        }
    }
    // options that it does not have are not lost on the way
    for (line, option) in [
        ("--quiet run app.wasm", "--quiet"),
        ("-q serve-http app.wasm", "--quiet"),
        ("--error-format json run app.wasm", "--error-format"),
        ("--error-format text -v compose app.wasm", "--error-format"),
    ] {
        let command = Command::other(&lab, &folder.join("edgepass")).bare();
        let ran = line.split(' ').fold(command, Command::arg).run()?;
        ensure!(ran.code == Some(2), "{line}: {:?}", ran.code);
        ensure!(ran.stdout.is_empty(), "{line}: {}", ran.stdout);
        let words = format!("has no option {option}");
        ensure!(ran.stderr.contains(&words), "{line}: {}", ran.stderr);
    }
    // and neither
    let alone = Command::other(&lab, &elsewhere.join("edgepass")).bare();
    let ran = alone
        .env("PATH", "/nowhere")
        .arg("run")
        .arg("app.wasm")
        .run()?;
    ensure!(ran.code == Some(2), "{:?}", ran.code);
    for word in [
        "edgepass-run",
        "neither beside edgepass nor in PATH",
        "release archive",
        "cargo install",
    ] {
        ensure!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    let help = Command::other(&lab, &elsewhere.join("edgepass"))
        .bare()
        .arg("--help")
        .run()?;
    for command in ["run", "serve-http", "compose"] {
        ensure!(
            help.stdout.contains(&format!("\n  {command} ")),
            "{}",
            help.stdout
        );
    }
    Ok(())
}
