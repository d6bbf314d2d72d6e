//! What `edgepass envoy-config` prints works in Envoy as it stands.
//!
//! The command is the one that `EDGEPASS_BIN` names, otherwise `dist/edgepass`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use edgepass_envoy_tests::{
    Envoy, Lab, Reply, Upstream, filter_path, get, get_with, post, until, validate,
};
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

const PAGE: &str = include_str!("../../../../docs/envoy.md");

/// What the SDK that the filter is built with imports beside, and the filter does not call: Envoy refuses it.
const NOT_CALLED: [&str; 17] = [
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_remove_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_set_buffer_bytes",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
];

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
fn a_workload_token_becomes_the_request_s_token() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, None);
    let upstream = Upstream::start().unwrap();
    let envoy = start(&lab, &upstream, &plain(&lab), &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert!(upstream.seen()[0].bearer().is_some());

    let socket = envoy.dir().join("token_files.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    lab.emulator.rotate_token().unwrap();
    let rotated = lab.workload_token().unwrap();
    until("the new file is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        asked[asked.len() - 1].field("client_assertion").as_ref() == Some(&rotated)
    })
    .unwrap();
}

#[test]
fn it_prints_the_same_twice() {
    let lab = Lab::start().unwrap();
    let config = plain(&lab);
    let print = || generated(&lab, 1, lab.dir(), &config, &["--upstream-filter"]);
    assert_eq!(print(), print());
}

#[test]
fn a_secret_in_a_file_becomes_the_request_s_token() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = with_secret(&lab, &lab.dir().join("client.secret"));
    let envoy = start(&lab, &upstream, &config, &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(
        asked[0].field("client_secret").as_deref(),
        Some(lab.emulator.client_secret())
    );
    let shown = envoy.admin("/config_dump?include_eds").unwrap();
    assert!(shown.contains("client.secret"));
    assert!(!shown.contains(lab.emulator.client_secret()));
}

#[test]
fn two_identities_read_two_folders() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["default_identity"] = json!("app");
    let secret = with_secret(&lab, &lab.dir().join("client.secret"));
    config["identities"]["partner"] = secret["identities"]["app"].clone();
    config["identities"]["partner"]["scopes"] = json!(["https://graph.microsoft.com/.default"]);
    // for another driver: no rule uses it, so nobody minds that Envoy cannot do it
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["identities"]["other"]["credential"] = json!({"assertion_source": {}});
    config["envoy"] = json!({"rules": [
        {"match": {"path_prefix": "/partner"}, "identity": "partner"},
        {"match": {"path_prefix": "/open"}, "disabled": true},
        {},
    ]});
    let envoy = start(&lab, &upstream, &config, &[]);
    for path in ["/", "/partner/x", "/open"] {
        assert_eq!(get(envoy.port(), path).unwrap().status, 200, "{path}");
    }
    let tokens: Vec<_> = upstream
        .seen()
        .iter()
        .map(|seen| seen.bearer().map(str::to_owned))
        .collect();
    assert!(tokens[0].is_some() && tokens[1].is_some() && tokens[0] != tokens[1]);
    assert_eq!(tokens[2], None);
    let mut asked: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("client_secret").is_some())
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [false, true], "one each");
}

#[test]
fn a_bound_certificate_is_the_cluster_s_and_rotates() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, None);
    let upstream = Upstream::start().unwrap();
    let port = lab.emulator.port();
    // the folder of the emulator that is swapped as a whole
    let volume = lab.dir().join("identity");
    let mut config = plain(&lab);
    config["authority_hosts"] = json!([
        format!("login.localhost:{port}"),
        format!("mtlsauth.localhost:{port}")
    ]);
    config["identities"]["app"]["authority_host"] = json!(lab.emulator.login_authority());
    config["identities"]["app"]["credential"] =
        json!({"bound_certificate": {"name": "envoy", "mode": "certificate-only"}});
    config["certificates"]["envoy"] = json!({
        "certificate_file": volume.join("client.pem"),
        "private_key_file": volume.join("client.key"),
    });
    let write = |dir: &Path| {
        let folder = dir.to_str().unwrap();
        let secret = envoy_config(dir, &config, &["--certificate", "envoy"], &[]);
        fs::write(dir.join("envoy.yaml.new"), text(&secret)).unwrap();
        fs::create_dir_all(dir.join("secrets")).unwrap();
        fs::rename(dir.join("envoy.yaml.new"), dir.join("secrets/envoy.yaml")).unwrap();
        let secrets = format!("{folder}/secrets");
        let more = ["--secrets-dir", secrets.as_str()];
        generated(&lab, upstream.port(), dir, &config, &more)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("tls-certificate"));
    let before = asked[0].client_certificate.clone();
    assert!(before.is_some());

    let rotated = lab.emulator.rotate_certificate().unwrap();
    until("the new one is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        asked[asked.len() - 1].client_certificate.as_ref() == Some(&rotated)
    })
    .unwrap();
    assert_ne!(before, Some(rotated));
}

#[test]
fn a_key_in_a_file_signs() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let envoy = start(&lab, &upstream, &signing(&lab), &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].field("client_assertion").is_some());
    assert_eq!(asked[0].client_certificate, None);
    let shown = envoy.admin("/config_dump?include_eds").unwrap();
    assert!(shown.contains("client.key") && !shown.contains("PRIVATE KEY"));
}

/// Where two identities ask one server, each connection shows the certificate of its own identity, or none.
#[test]
fn who_has_no_certificate_shows_nobody_else_s() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let host = lab.host();
    let volume = lab.dir().join("identity");
    let generic = |credential: Value| {
        json!({
            "token_endpoint": format!("https://{host}/{}/oauth2/v2.0/token", lab.emulator.tenant()),
            "client_id": lab.emulator.client_id(),
            "scopes": ["api://edgepass-demo/.default"],
            "credential": credential,
        })
    };
    let bound = json!({"bound_certificate": {
        "name": "app", "mode": "with-assertion", "algorithm": "RS256"}});
    let secret = json!({"client_secret": {"file": lab.dir().join("client.secret")}});
    let config = json!({
        "authority_hosts": [host],
        "identities": {"bound": generic(bound), "plain": generic(secret)},
        "certificates": {"app": {
            "certificate_file": volume.join("client.pem"),
            "private_key_file": volume.join("client.key"),
        }},
        "envoy": {"rules": [
            {"match": {"path_prefix": "/bound"}, "identity": "bound"},
            {"identity": "plain"},
        ]},
    });
    let write = |dir: &Path| {
        let secret = envoy_config(dir, &config, &["--certificate", "app"], &[]);
        fs::write(dir.join("app.yaml"), text(&secret)).unwrap();
        let more = ["--secrets-dir", dir.to_str().unwrap()];
        generated(&lab, upstream.port(), dir, &config, &more)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    until("both have asked", || {
        lab.emulator.token_requests().len() > 1
    })
    .unwrap();
    for asked in lab.emulator.token_requests() {
        let secret = asked.field("client_secret");
        let shown = asked.client_certificate.as_ref();
        assert_eq!(secret.is_none(), shown.is_some(), "{asked:?}");
    }
    assert_eq!(get(envoy.port(), "/bound").unwrap().status, 200);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
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

/// A machine's own identity: no file, no certificate, and the only cluster without TLS.
#[test]
fn a_managed_identity_gets_its_token_from_the_metadata_service() {
    let lab = Lab::start_with_metadata().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = json!({"identities": {"app": {
        "scopes": ["https://graph.microsoft.com/.default"],
        "credential": {"managed_identity": {}},
    }}});
    // the address is the same on every machine, and on none of ours
    let there = "address: \"169.254.169.254\"\n                port_value: 80\n";
    let authority = lab.emulator.metadata_authority().unwrap();
    let (_, port) = authority.rsplit_once(':').unwrap();
    let here = format!("address: \"127.0.0.1\"\n                port_value: {port}\n");
    let write = |dir: &Path| {
        let printed = generated(&lab, upstream.port(), dir, &config, &[]);
        assert!(printed.contains(there), "{printed}");
        assert!(!printed.contains("token_files") && !printed.contains("tls"));
        printed.replace(there, &here)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    assert!(upstream.seen()[0].bearer().is_some());
    let asked = lab.emulator.metadata_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].status, Some(200));
    assert!(lab.emulator.token_requests().is_empty());
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

#[test]
fn what_the_section_says_is_kept() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["envoy"] = json!({
        "token_clusters": {lab.host(): "my_entra"},
        "files": {"cluster": "my_files", "strip_prefix": lab.dir(), "add_prefix": "/mine"},
        "inbound_authorization": "keep-as:x-caller",
    });
    for more in [&[][..], &["--file-server"]] {
        let envoy = start(&lab, &upstream, &config, more);
        let headers = [("authorization", "Basic eDp5")];
        let answer = get_with(envoy.port(), "/", &headers).unwrap();
        assert_eq!(answer.status, 200, "{more:?}");
        let seen = upstream.seen();
        let last = &seen[seen.len() - 1];
        assert_eq!(last.header("x-caller"), Some("Basic eDp5"));
        assert!(last.bearer().is_some());
        assert!(envoy.dir().join("my_files.sock").exists());
        let clusters = envoy.admin("/clusters").unwrap();
        assert!(clusters.contains("my_entra::") && clusters.contains("my_files::"));
    }
}

#[test]
fn what_the_environment_has_is_left_to_it() {
    let lab = Lab::start().unwrap();
    let config = json!({
        "authority_hosts": [lab.host()],
        "identities": {"app": {"scopes": ["api://edgepass-demo/.default"]}},
    });
    let authority = lab.emulator.authority();
    let token_file = lab.dir().join("token/azure-identity-token");
    let variables = [
        ("AZURE_TENANT_ID", lab.emulator.tenant()),
        ("AZURE_CLIENT_ID", lab.emulator.client_id()),
        ("AZURE_AUTHORITY_HOST", &authority),
        ("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap()),
    ];
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    let arguments = ["--wasm", wasm.to_str().unwrap()];
    let dir = lab.dir();
    let ca_file = dir.join("ca.pem");
    let arguments = [&arguments[..], &["--ca-file", ca_file.to_str().unwrap()]].concat();
    let printed = text(&envoy_config(dir, &config, &arguments, &variables));
    assert!(printed.contains(
        "host_env_keys: [AZURE_AUTHORITY_HOST, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID]"
    ));
    assert!(!printed.contains(lab.emulator.client_id()));
    let path = dir.join("generated.yaml");
    fs::write(&path, printed).unwrap();
    let validated = |variables: &[(&str, &str)]| {
        let output = Command::new(envoy_program())
            .args(["--mode", "validate", "-c"])
            .arg(&path)
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (good, said) = validated(&variables);
    assert!(good, "{said}");
    let (good, said) = validated(&[]);
    assert!(!good && said.contains("AZURE_TENANT_ID"), "{said}");

    let refused = envoy_config(dir, &config, &arguments, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("AZURE_"));
}

fn envoy_program() -> PathBuf {
    std::env::var_os("EDGEPASS_ENVOY").map_or_else(
        || root().join("target/peers/envoy/envoy/_bin/envoy"),
        PathBuf::from,
    )
}

// The checks are the filter's own (`edgepass-rules`), so that the words are the same is nothing to be tested.
#[test]
fn it_refuses_what_the_filter_refuses() {
    let lab = Lab::start().unwrap();
    let with = |pointer: &str, value: Value| {
        let mut config = plain(&lab);
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[field] = value;
        config
    };
    let credential = |value: Value| with("/identities/app/credential", value);
    let cases = [
        credential(json!({"assertion_source": {}})),
        credential(json!({"bound_certificate": {"name": "c", "mode": "with-assertion"}})),
        credential(json!({"certificate": {"name": "c", "algorithm": "RS256"}})),
        credential(json!({"client_secret": {"value": "hunter2hunter2"}})),
        credential(json!({"client_assertion": {"value": "hunter2.hunter2.hunter2"}})),
        with("/identities/app/scopes", json!([])),
        with("/envoy", json!({"rules": [{"identity": "nobody"}]})),
        with("/envoy", json!({"rules": [{"scopes": ["a", "b"]}]})),
        with(
            "/envoy",
            json!({"files": {"cluster": "f", "strip_prefix": "/elsewhere"}}),
        ),
        with("/envoy", json!({"unknown": 1})),
        with("/identities/app/tenant_id", json!("common")),
    ];
    for config in cases {
        let output = envoy_config(lab.dir(), &config, &[], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{config}\n{said}");
        assert!(output.stdout.is_empty());
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.starts_with("edgepass: error: "), "{said}");
        assert!(said.contains("\n  hint: "), "{said}");
    }
}

#[test]
fn a_secret_from_a_variable_is_refused() {
    let lab = Lab::start().unwrap();
    let mut config = plain(&lab);
    let variables = [
        ("SECRET", "hunter2hunter2"),
        ("AZURE_CLIENT_SECRET", "hunter2hunter2"),
    ];
    // whether or not it is set where the command runs, and a rule uses the identity
    config["default_identity"] = json!("app");
    config["identities"]["other"] = config["identities"]["app"].clone();
    for (name, credential, variables) in [
        (
            "app",
            json!({"client_secret": {"env": "SECRET"}}),
            &variables[..],
        ),
        (
            "app",
            json!({"client_assertion": {"env": "SECRET"}}),
            &variables,
        ),
        ("app", json!({"client_secret": {"env": "SECRET"}}), &[]),
        ("app", json!({"client_assertion": {"env": "SECRET"}}), &[]),
        (
            "other",
            json!({"client_secret": {"env": "SECRET"}}),
            &variables,
        ),
        ("other", json!({"client_secret": {"env": "SECRET"}}), &[]),
        ("app", Value::Null, &variables),
        ("other", Value::Null, &variables),
    ] {
        let mut config = config.clone();
        config["identities"][name]["credential"] = credential;
        let output = envoy_config(lab.dir(), &config, &[], variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty());
        assert!(
            said.contains(&format!("identities.{name}.credential.client_"))
                && said.contains("put the secret into a file")
                && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn the_filter_may_call_what_it_calls_and_no_more() {
    let lab = Lab::start().unwrap();
    let allowed = |config: &Value| -> BTreeSet<String> {
        let printed = generated(&lab, 1, lab.dir(), config, &[]);
        let (_, rest) = printed.split_once("allowed_capabilities:\n").unwrap();
        let (list, _) = rest.split_once("configuration:").unwrap();
        list.lines()
            .filter_map(|line| line.trim().strip_suffix(": {}"))
            .map(str::to_owned)
            .collect()
    };
    // one that signs needs the most
    let unsigned = allowed(&plain(&lab));
    let allowed = allowed(&signing(&lab));
    assert_eq!(
        allowed.difference(&unsigned).collect::<Vec<_>>(),
        ["proxy_call_foreign_function"]
    );

    let module = fs::read(filter_path().unwrap()).unwrap();
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(&module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports.insert(import.unwrap().name.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.insert(export.unwrap().name.to_owned());
                }
            }
            _ => {}
        }
    }
    let called: BTreeSet<String> = imports
        .iter()
        .filter(|name| !NOT_CALLED.contains(&name.as_str()))
        .cloned()
        .collect();
    assert_eq!(
        called.difference(&allowed).collect::<Vec<_>>(),
        [""; 0],
        "imported and not allowed"
    );
    let callbacks: BTreeSet<String> = allowed.difference(&called).cloned().collect();
    let exported: BTreeSet<String> = exports
        .into_iter()
        // Envoy's own way in, which no restriction is about
        .filter(|name| name.starts_with("proxy_on_") && name != "proxy_on_memory_allocate")
        .collect();
    assert_eq!(callbacks, exported, "what is not imported is exported");
}
