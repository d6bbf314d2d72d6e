//! What an application has beside its requests: the rest of WASI, and interfaces of edgepass that it is not given.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Command as Run, artifact, edgepass_run_bin, memory};

use crate::{World, has_token};

const COMMAND: &str = "target/components/hostile-0-2.wasm";

/// Attempts, options of `edgepass-run`, and what the application is told: a part of it.
type Row<'a> = (String, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_wasi_leads_to_no_token() -> Result<()> {
    let world = World::new("hostile_interfaces").await?;
    let lab = &world.lab;
    let folder = lab.scratch().join("folder");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("own.txt"), "its own")?;
    let token_file = lab.files.token_file();
    let token_file = token_file.to_str().context("no path")?.to_owned();
    std::os::unix::fs::symlink(&token_file, folder.join("link"))?;
    let named = format!("127.0.0.1:{}", world.named.port);
    let tokens = format!("127.0.0.1:{}", lab.emulator.port());
    let url = format!("http://localhost:{}/v1/ok", world.named.port);
    let everywhere: Vec<Row<'_>> = vec![
        ("environment".to_owned(), "[] "),
        // sockets of its own
        (format!("connect {named}"), "access-denied"),
        (format!("connect {tokens}"), "access-denied"),
        ("connect 169.254.169.254:80".to_owned(), "access-denied"),
        (format!("udp {named}"), "access-denied"),
        ("resolve localhost".to_owned(), "refused: "),
        (format!("get {url}"), "200 "),
    ];
    let without_folder: Vec<Row<'_>> = vec![
        ("folders".to_owned(), "[]"),
        (format!("read {token_file}"), "refused: there is no folder"),
    ];
    let with_folder: Vec<Row<'_>> = vec![
        ("folders".to_owned(), "[\"/data\"]"),
        ("read own.txt".to_owned(), "its own"),
        // out of the folder
        (format!("read {token_file}"), "refused: "),
        ("read ../config.json".to_owned(), "refused: "),
        ("read ../emulator/client-secret".to_owned(), "refused: "),
        ("read link".to_owned(), "refused: "),
        ("read /proc/self/environ".to_owned(), "refused: "),
        ("read /proc/self/mem".to_owned(), "refused: "),
    ];
    let dir = format!("{}::/data", folder.display());
    for (options, more) in [
        (vec![], without_folder),
        (vec!["--dir", dir.as_str(), "--writable"], with_folder),
    ] {
        let rows: Vec<_> = everywhere.iter().chain(&more).collect();
        let before = world.mark();
        let mut child = start(&world, &options, &rows)?;
        let stdout = child.0.stdout.take().context("no output")?;
        let lines = BufReader::new(stdout).lines().take(rows.len());
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        for ((attempt, word), line) in rows.iter().zip(&lines) {
            ensure!(line.contains(word), "{attempt} with {options:?}: {line}");
        }
        assert_eq!(lines.len(), rows.len());
        // it waits for the end of its input, with all of it in its memory
        let memories = memory::of_component_of(&child.0, &artifact(COMMAND)?)?;
        ensure!(!memories.is_empty(), "it does not run");
        assert_eq!(world.found_in(&memories), None, "{options:?}");
        let (of_rules, _) = world.since(before);
        let [seen] = of_rules.as_slice() else {
            anyhow::bail!("{of_rules:?}");
        };
        ensure!(has_token(seen));
        drop(child.0.stdin.take());
        ensure!(child.0.wait()?.success());
    }
    Ok(())
}

struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // it has ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(world: &World, options: &[&str], rows: &[&Row<'_>]) -> Result<Started> {
    let lab = &world.lab;
    let config = lab.write("config.json", world.config()?.to_string())?;
    let child = Command::new(edgepass_run_bin()?)
        .args(["run", "--config"])
        .arg(config)
        .arg("--ca-file")
        .arg(lab.files.ca_file())
        .args(options)
        .arg(artifact(COMMAND)?)
        .args(rows.iter().map(|(attempt, _)| attempt))
        .env_clear()
        // of the host, and not of the application
        .env("HOST_SECRET", lab.emulator.client_secret())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(Started(child))
}

/// Interfaces that nobody has given it: it is not started.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_imports_more_is_not_run() -> Result<()> {
    let world = World::new("hostile_imports").await?;
    let lab = &world.lab;
    let config = lab.write("config.json", world.config()?.to_string())?;
    let text = "(param \"text\" string) (result string)";
    for (interface, function) in [
        (
            "edgepass:credentials/credential-provider@0.2.0",
            "cached-token",
        ),
        ("edgepass:credentials/opaque-tokens@0.2.0", "get"),
        ("edgepass:credentials/status@0.2.0", "identities"),
        ("edgepass:credentials/token-file@0.2.0", "read"),
        ("edgepass:credentials/host-certificates@0.2.0", "open"),
        (
            "edgepass:credentials/assertion-source@0.2.0",
            "get-assertion",
        ),
        ("edgepass:credentials/token-store@0.2.0", "get"),
        (
            "edgepass:credentials-p2/credential-provider@0.2.0",
            "get-token",
        ),
        ("wasi:keyvalue/store@0.2.0-draft", "open"),
        ("wasi:config/store@0.2.0-draft", "get"),
        ("wasmcloud:secrets/store@0.1.0-draft", "get"),
    ] {
        let component = wat::parse_str(format!(
            r#"(component
                (import "{interface}" (instance $it (export "{function}" (func {text}))))
                (core module $m (func (export "run") (result i32) i32.const 0))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $exported (export "run" (func $run)))
                (export "wasi:cli/run@0.2.6" (instance $exported)))"#
        ))?;
        let application = lab.write("imports.wasm", component)?;
        let run = Run::other(lab, &edgepass_run_bin()?).without_azure();
        let run = [
            "run",
            "--config",
            &shown(&config),
            "--ca-file",
            &shown(&lab.files.ca_file()),
            &shown(&application),
        ]
        .into_iter()
        .fold(run, Run::arg);
        let ran = run.run()?;
        ensure!(
            ran.code == Some(2) && ran.stderr.contains("cannot be linked"),
            "{interface}: {:?} {}",
            ran.code,
            ran.stderr
        );
        let is_ours = interface.starts_with("edgepass:credentials");
        let is_provided = interface.contains("provider@") || interface.contains("opaque");
        ensure!(
            !is_provided || ran.stderr.contains("--provide credential-provider"),
            "{interface}: {}",
            ran.stderr
        );
        ensure!(
            !is_ours
                || ran
                    .stderr
                    .contains(interface.split('@').next().unwrap_or_default()),
            "{interface}: {}",
            ran.stderr
        );
    }
    ensure!(lab.emulator.token_requests().is_empty());
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
