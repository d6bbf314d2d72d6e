//! What `edgepass envoy-config` prints works in Envoy as it stands.
//!
//! The command is the one that `EDGEPASS_BIN` names, otherwise `dist/edgepass`.

mod credentials;
mod section;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use edgepass_envoy_tests::{
    Envoy, Lab, Reply, Upstream, filter_path, get, get_with, post, until, validate,
};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../../docs/envoy.md");

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn edgepass() -> PathBuf {
    std::env::var_os("EDGEPASS_BIN").map_or_else(|| root().join("dist/edgepass"), PathBuf::from)
}

/// Runs the command with a configuration, in an environment of these variables alone.
pub(crate) fn envoy_config(
    dir: &Path,
    config: &Value,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Output {
    let path = dir.join("edgepass.json");
    fs::write(&path, config.to_string()).unwrap();
    Command::new(edgepass())
        .args(["envoy-config", "--from"])
        .arg(&path)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it prints for the emulator and an upstream, for an Envoy that may write into `dir`.
pub(crate) fn generated(
    lab: &Lab,
    upstream: u16,
    dir: &Path,
    config: &Value,
    more: &[&str],
) -> String {
    let upstream = format!("127.0.0.1:{upstream}");
    printed(
        lab,
        dir,
        config,
        &[&["--upstream", &upstream], more].concat(),
    )
}

/// The same with whatever upstreams the configuration has.
pub(crate) fn printed(lab: &Lab, dir: &Path, config: &Value, more: &[&str]) -> String {
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    let ca_file = lab.dir().join("ca.pem");
    let mut arguments = vec![
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--wasm",
        wasm.to_str().unwrap(),
        "--ca-file",
        ca_file.to_str().unwrap(),
        "--socket-dir",
        dir.to_str().unwrap(),
    ];
    arguments.extend_from_slice(more);
    text(&envoy_config(dir, config, &arguments, &[]))
}

/// An Envoy that runs what was printed.
pub(crate) fn start(lab: &Lab, upstream: &Upstream, config: &Value, more: &[&str]) -> Envoy {
    let write = |dir: &Path| generated(lab, upstream.port(), dir, config, more);
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    Envoy::start(2, write).unwrap()
}

/// A configuration as a user has it, without anything that is Envoy's.
pub(crate) fn plain(lab: &Lab) -> Value {
    let mut config = lab.plugin(json!({}));
    config.as_object_mut().unwrap().remove("envoy");
    config
}

fn with_secret(lab: &Lab, file: &Path) -> Value {
    let secret = json!({"client_secret": {"file": file}});
    let mut config = plain(lab);
    config["identities"]["app"]["credential"] = secret;
    config
}

/// An identity whose assertions the filter signs itself.
fn signing(lab: &Lab) -> Value {
    let volume = lab.dir().join("identity");
    let mut config = plain(lab);
    config["identities"]["app"]["credential"] =
        json!({"certificate": {"name": "app", "algorithm": "RS256"}});
    config["certificates"]["app"] = json!({
        "certificate_file": volume.join("client.pem"),
        "private_key_file": volume.join("client.key"),
    });
    config
}

/// The listing of that kind on the page.
pub(crate) fn listing(kind: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{kind}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The one of them that has this in it.
pub(crate) fn listing_with(kind: &str, word: &str) -> &'static str {
    let begin = format!("```{kind}\n");
    let listings = PAGE.split(&begin).skip(1);
    let mut texts = listings.map(|rest| rest.split_once("```").unwrap().0);
    texts.find(|text| text.contains(word)).unwrap()
}

#[test]
fn the_page_shows_what_is_printed() {
    let dir = std::env::temp_dir().join(format!("edgepass-generated-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let config: Value = serde_json::from_str(listing("json")).unwrap();
    fs::write(dir.join("as-written.json"), listing("json")).unwrap();
    let output = Command::new(edgepass())
        .args(["envoy-config", "--from"])
        .arg(dir.join("as-written.json"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(text(&output), listing("yaml"));

    // and what it shows works, with the names of a test in place of the example's
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut here = config;
    let app = &mut here["identities"]["app"];
    app["tenant_id"] = json!(lab.emulator.tenant());
    app["client_id"] = json!(lab.emulator.client_id());
    app["authority_host"] = json!(lab.emulator.authority());
    app["credential"]["federated_token_file"]["path"] =
        json!(lab.dir().join("token/azure-identity-token"));
    here["authority_hosts"] = json!([lab.host()]);
    let envoy = start(&lab, &upstream, &here, &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert!(upstream.seen()[0].bearer().is_some());
    fs::remove_dir_all(dir).unwrap();
}

/// Envoy takes what stands in the manifest for Kubernetes. That it is what the command prints is a test of
/// `tests/manifests`.
#[test]
fn envoy_takes_the_example_for_kubernetes() {
    let lab = Lab::start().unwrap();
    let path = root().join("docs/examples/envoy/kubernetes.yaml");
    let manifest = fs::read_to_string(path).unwrap();
    let (_, rest) = manifest.split_once("  envoy.yaml: |\n").unwrap();
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let mut yaml: String = lines
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or_default()))
        .collect();
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    for (there, here) in [
        ("/opt/edgepass/edgepass-envoy.wasm", wasm),
        (
            "/etc/ssl/certs/ca-certificates.crt",
            lab.dir().join("ca.pem"),
        ),
        ("/var/run/secrets/azure/tokens", lab.dir().join("token")),
        ("/run/envoy", lab.dir().clone()),
    ] {
        assert!(yaml.contains(there), "{there}");
        yaml = yaml.replace(there, here.to_str().unwrap());
    }
    let (good, said) = validate(|_| yaml).unwrap();
    assert!(good, "{said}");
}

#[test]
fn it_prints_the_same_twice() {
    let lab = Lab::start().unwrap();
    let config = plain(&lab);
    let print = || generated(&lab, 1, lab.dir(), &config, &["--upstream-filter"]);
    assert_eq!(print(), print());
}

/// The path that the upstream gets is the one that the rules have judged.
#[test]
fn nobody_gets_the_token_of_another_path() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["envoy"] = json!({"rules": [
        {"match": {"path_prefix": "/admin/"}, "scopes": ["https://graph.microsoft.com/.default"]},
        {"match": {"path_prefix": "/open/"}, "disabled": true},
        {},
    ]});
    let envoy = start(&lab, &upstream, &config, &[]);
    let caller = ("authorization", "Basic Y2FsbGVy");
    let ask = |path: &str| get_with(envoy.port(), path, &[caller]).unwrap();
    for path in ["/admin/x", "/open/x", "/x"] {
        assert_eq!(ask(path).status, 200, "{path}");
    }
    let of = |path: &str| {
        let seen = upstream.seen();
        let found = seen.iter().find(|seen| seen.path == path).unwrap();
        found.header("authorization").unwrap().to_owned()
    };
    let (admin, open, app) = (of("/admin/x"), of("/open/x"), of("/x"));
    assert_eq!(open, caller.1);
    assert!(admin != app && admin.starts_with("Bearer ") && app.starts_with("Bearer "));

    for (path, arrives) in [
        ("/admin/../y", Some("/y")),
        ("/y/../admin/z", Some("/admin/z")),
        ("//admin/z", Some("/admin/z")),
        ("/%61dmin/z", Some("/admin/z")),
        ("/open/../y", Some("/y")),
        ("/open/%2e%2e/y", Some("/y")),
        ("/open/\\..\\..\\y", Some("/y")),
        ("/open/\\..\\y", Some("/open/y")),
        ("/admin%2fz", None),
        ("/open/..%5cy", None),
        ("/open/..;/y", Some("/y")),
        ("/ADMIN/z", None),
        ("/admin;v=1/z", None),
        ("/open/%252e%252e/y", None),
    ] {
        let before = upstream.seen().len();
        let status = ask(path).status;
        let seen = upstream.seen();
        let Some(expected) = arrives else {
            assert_eq!((status, seen.len()), (400, before), "{path}");
            continue;
        };
        assert_eq!((status, seen.len()), (200, before + 1), "{path}");
        assert_eq!(seen[before].path, expected, "{path}");
        let token = match expected.split('/').nth(1) {
            Some("admin") => &admin,
            Some("open") => &open,
            _ => &app,
        };
        let given = seen[before].header("authorization");
        assert_eq!(given, Some(token.as_str()), "{path}");
    }
    let answer = ask("/ADMIN/z");
    assert_eq!(answer.header("x-edgepass-error"), Some("ambiguous-path"));
    assert!(
        answer.body.starts_with("edgepass: servers read the path"),
        "{answer:?}"
    );
}

#[test]
fn as_an_upstream_filter_it_retries_a_401() {
    let lab = Lab::start().unwrap();
    // refuses the token of the first request that it gets
    let first = std::sync::Mutex::new(None);
    let upstream = Upstream::answering(move |request| {
        let token = request.bearer().unwrap_or_default().to_owned();
        let mut first = first.lock().unwrap();
        let refused = first.get_or_insert_with(|| token.clone());
        Reply::status(if *refused == token { 401 } else { 200 })
    })
    .unwrap();
    let envoy = start(&lab, &upstream, &plain(&lab), &["--upstream-filter"]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2, "the request and its repetition");
    assert_ne!(seen[0].bearer(), seen[1].bearer());
    assert_eq!(lab.emulator.token_requests().len(), 2);
}

/// What is longer than the buffer of the listener cannot be sent again: the caller gets the 401.
#[test]
fn a_body_is_repeated_up_to_the_limit_of_the_listener() {
    for (length, status, seen) in [(48 * 1024, 200, 2), (256 * 1024, 401, 1)] {
        let lab = Lab::start().unwrap();
        let first = std::sync::Mutex::new(None);
        let upstream = Upstream::answering(move |request| {
            let token = request.bearer().unwrap_or_default().to_owned();
            let mut first = first.lock().unwrap();
            let refused = first.get_or_insert_with(|| token.clone());
            Reply::status(if *refused == token { 401 } else { 200 })
        })
        .unwrap();
        let envoy = start(&lab, &upstream, &plain(&lab), &["--upstream-filter"]);
        // so that nothing of it is held
        envoy.until_logged("a new access token").unwrap();
        let answer = post(envoy.port(), "/", &vec![b'x'; length]).unwrap();
        assert_eq!((answer.status, upstream.seen().len()), (status, seen));
    }
}

#[test]
fn with_the_file_server_a_file_may_be_late() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let late = lab.dir().join("late");
    fs::create_dir(&late).unwrap();
    fs::write(late.join("other"), "not for the filter").unwrap();
    let config = with_secret(&lab, &late.join("secret"));
    let envoy = start(&lab, &upstream, &config, &["--file-server"]);
    let secret = lab.emulator.client_secret().to_owned();
    fs::write(late.join("secret"), &secret).unwrap();
    until("it is found", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
    assert!(upstream.seen()[0].bearer().is_some());

    let socket = envoy.dir().join("token_files.sock");
    let asked = |name: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let path = late.join(name);
        write!(
            stream,
            "GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            path.display()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(asked("secret").contains(&secret), "what the filter gets");
    let other = asked("other");
    assert!(
        other.starts_with("HTTP/1.1 403") && !other.contains("not for"),
        "{other}"
    );
}
