//! What the program writes is none of what it reads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Command, Lab, artifact, edgepass_run_bin};
use serde_json::json;

use crate::{edgepass_run, rules};

/// A file that is read, under another name.
type Named = (&'static str, fn(&PathBuf, &PathBuf) -> std::io::Result<()>);

/// Ways to name a file by another path than its own.
const NAMES: [Named; 3] = [
    ("itself", |_, _| Ok(())),
    ("a link", |file, other| symlink(file, other)),
    ("a second name", |file, other| fs::hard_link(file, other)),
];

#[test]
fn records_go_into_no_file_that_is_read() -> Result<()> {
    let lab = Lab::new("run-inputs")?;
    let own = |name: &str, text: &[u8]| lab.write(name, text);
    let secret = own("secret", lab.emulator.client_secret().as_bytes())?;
    let token = own("token", b"a.b.c")?;
    let keys = own("keys", b"k")?;
    let authorities = own("ca.pem", &fs::read(lab.files.ca_file())?)?;
    let application = own("app.wasm", &fs::read(crate::application()?)?)?;
    let further = own("further.pem", &fs::read(lab.files.ca_file())?)?;
    let mut config = rules(&lab, 1);
    config["identities"]["app"]["credential"] = json!([
        { "client_secret": { "file": secret } },
        { "federated_token_file": { "path": token } },
    ]);
    config["host"]["extra_ca_file"] = json!(further);
    config["certificates"]["unused"] = json!({ "certificate_file": keys });
    let path = own("given.json", config.to_string().as_bytes())?;
    let elsewhere = lab.scratch().join("elsewhere");
    fs::create_dir(&elsewhere)?;
    for (file, named_by) in [
        (&path, "--config"),
        (&authorities, "--ca-file"),
        (&application, "the application"),
        (&secret, "client_secret.file"),
        (&token, "federated_token_file.path"),
        (&further, "host.extra_ca_file"),
        (&keys, "certificates.unused.certificate_file"),
    ] {
        let before = fs::read(file)?;
        for (name, make) in NAMES {
            let other = elsewhere.join("records.jsonl");
            make(file, &other)?;
            let audit = if name == "itself" { file } else { &other };
            let run = Command::other(&lab, &edgepass_run_bin()?).without_azure();
            let words = [
                ("run", None),
                ("--config", Some(&path)),
                ("--ca-file", Some(&authorities)),
                ("--audit", Some(audit)),
            ];
            let run = words.into_iter().fold(run, |run, (option, path)| {
                let run = run.arg(option);
                match path {
                    Some(path) => run.arg(path.display().to_string()),
                    None => run,
                }
            });
            let ran = run.arg(application.display().to_string()).run()?;
            ensure!(ran.code == Some(2), "{named_by}, {name}: {}", ran.stderr);
            for word in ["--audit", named_by, &file.display().to_string()] {
                ensure!(
                    ran.stderr.contains(word),
                    "{named_by}, {name}: {}",
                    ran.stderr
                );
            }
            ensure!(
                fs::read(file)? == before,
                "{named_by}, {name}: it is another"
            );
            let _ = fs::remove_file(&other);
        }
    }
    Ok(())
}

#[test]
fn a_composition_is_written_over_none_of_its_parts() -> Result<()> {
    let lab = Lab::new("compose-inputs")?;
    let copy = |name: &str, of: PathBuf| lab.write(name, fs::read(of)?);
    let application = copy("app.wasm", artifact("target/components/consumer.wasm")?)?;
    let provider = copy("provider.wasm", artifact("dist/credential-provider.wasm")?)?;
    let token = lab.write("token", "a.b.c")?;
    let mut config = lab.config(&json!({ "federated_token_file": { "path": token } }));
    let config = config.as_object_mut().context("no object")?;
    config.remove("certificates");
    let path = lab.write("given.json", json!(config).to_string())?;
    for (file, named_by) in [
        (&application, "a component of the composition"),
        (&provider, "a component of the composition"),
        (&path, "--config"),
        (&token, "federated_token_file.path"),
    ] {
        let before = fs::read(file)?;
        let link = lab.scratch().join("link");
        symlink(file, &link)?;
        for output in [file, &link] {
            let words =
                [&application, &provider, &path, output].map(|path| path.display().to_string());
            let [application, provider, config, output] = &words;
            let command = Command::other(&lab, &edgepass_run_bin()?).bare();
            let ran = [
                "compose",
                application,
                "--provider",
                provider,
                "--config",
                config,
                "--output",
                output,
            ]
            .into_iter()
            .fold(command, Command::arg)
            .run()?;
            ensure!(ran.code == Some(2), "{named_by}: {}", ran.stderr);
            for word in ["--output", named_by, &file.display().to_string()] {
                ensure!(ran.stderr.contains(word), "{named_by}: {}", ran.stderr);
            }
            ensure!(fs::read(file)? == before, "{named_by}: it is another");
        }
        fs::remove_file(&link)?;
    }
    Ok(())
}

/// Rules whose requests nobody could answer are known at the start, by the judge of requests.
#[test]
fn rules_are_judged_before_anything_is_run() -> Result<()> {
    let lab = Lab::new("run-judged")?;
    let application = crate::application()?.display().to_string();
    for (scopes, word) in [
        (json!([]), "no scope:"),
        (
            json!(["https://a.example/.default", "https://b.example/.default"]),
            "one resource",
        ),
        (json!(["User.Read"]), "User.Read"),
    ] {
        let mut config = rules(&lab, 1);
        config["identities"]["app"]["scopes"] = json!([]);
        config["http"]["rules"][1]["scopes"] = scopes.clone();
        let ran = edgepass_run(&lab, &config, &["run", &application])?.run()?;
        ensure!(
            ran.code == Some(2),
            "{scopes}: {:?} {}",
            ran.code,
            ran.stderr
        );
        for word in ["http.rules[1].scopes", word] {
            ensure!(ran.stderr.contains(word), "{scopes}: {}", ran.stderr);
        }
        // what gets no token asks for nothing
        config["http"]["rules"][1]["disabled"] = json!(true);
        let ran = edgepass_run(&lab, &config, &["run", &application])?.run()?;
        ensure!(ran.code != Some(2), "{scopes}: {}", ran.stderr);
    }
    Ok(())
}
