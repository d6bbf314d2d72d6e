//! Several upstreams, and parts of the configuration in somebody's own, as `edgepass envoy-config` prints them.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_envoy_tests::{
    Envoy, Lab, Seen, Upstream, Version, filter_path, folder, get, get_with, until, validate,
};
use serde_json::{Value, json};

use super::generated::{edgepass, envoy_config, plain, printed, root, text};

const PAGE: &str = include_str!("../../../../docs/envoy.md");

const DEMO: &str = "api://edgepass-demo/.default";
const GRAPH: &str = "https://graph.microsoft.com/.default";

/// For whom the token of a request is; `None` if it has none.
fn audience(seen: &Seen) -> Option<String> {
    let payload = seen.bearer()?.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    Some(claims["aud"].as_str().unwrap().to_owned())
}

fn start(lab: &Lab, config: &Value, more: &[&str]) -> Envoy {
    let write = |dir: &Path| printed(lab, dir, config, more);
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    Envoy::start(2, write).unwrap()
}

#[test]
fn each_upstream_gets_its_own_token() {
    let lab = Lab::start().unwrap();
    let upstreams = [(); 4].map(|()| Upstream::start().unwrap());
    let url = |index: usize| format!("http://127.0.0.1:{}", upstreams[index].port());
    let mut config = plain(&lab);
    config["envoy"]["upstreams"] = json!([
        {"path_prefix": "/graph/", "url": format!("{}/", url(0)), "scopes": [GRAPH]},
        {"path_prefix": "/graph/demo/", "url": url(1), "identity": "app"},
        {"host": "*.open.example", "url": url(2), "disabled": true},
        // the command line says where
        {"host": "graph.example", "path_prefix": "/v1/", "url": "nowhere.example:80", "scopes": [GRAPH]},
    ]);
    let graph = "https://graph.microsoft.com";
    let demo = "api://edgepass-demo";
    let there = format!("graph.example/v1/={}/v2/", url(3));
    for mode in [&[][..], &["--upstream-filter"]] {
        let envoy = start(&lab, &config, &[&["--upstream", &there], mode].concat());
        for (host, path, index, arrives, expected) in [
            (
                "any.example",
                "/graph/me?x=/graph/",
                0,
                "/me?x=/graph/",
                Some(graph),
            ),
            (
                "any.example",
                "/graph/demo/x",
                1,
                "/graph/demo/x",
                Some(demo),
            ),
            (
                "any.example",
                "/graph/../graph/demo/y",
                1,
                "/graph/demo/y",
                Some(demo),
            ),
            ("a.open.example:8080", "/x", 2, "/x", None),
            ("a.open.example", "/graph/me", 2, "/graph/me", None),
            ("graph.example", "/v1/me", 3, "/v2/me", Some(graph)),
            ("graph.example:81", "/graph/me", 0, "/me", Some(graph)),
        ] {
            let before = upstreams[index].seen().len();
            let headers = [("host", host)];
            let status = get_with(envoy.port(), path, &headers).unwrap().status;
            assert_eq!(status, 200, "{host}{path} {mode:?}");
            let seen = upstreams[index].seen();
            assert_eq!(seen.len(), before + 1, "{host}{path} {mode:?}");
            assert_eq!(seen[before].path, arrives, "{host}{path} {mode:?}");
            let audience = audience(&seen[before]);
            assert_eq!(audience.as_deref(), expected, "{host}{path} {mode:?}");
        }
        for (host, path) in [
            ("any.example", "/x"),
            ("open.example", "/"),
            ("graph.example", "/v2/"),
        ] {
            let status = get_with(envoy.port(), path, &[("host", host)])
                .unwrap()
                .status;
            assert_eq!(status, 404, "{host}{path} {mode:?}");
        }
    }
}

/// What is printed for older Envoys runs in them.
#[test]
fn older_envoys_take_several_upstreams() {
    let lab = Lab::start().unwrap();
    for version in [Version::V1_39, Version::V1_37] {
        let upstream = Upstream::start().unwrap();
        let url = format!("http://127.0.0.1:{}/", upstream.port());
        let mut config = plain(&lab);
        config["envoy"]["upstreams"] = json!([
            {"path_prefix": "/graph/", "url": url, "scopes": [GRAPH]},
            {"host": "demo.example", "url": url, "scopes": [DEMO]},
        ]);
        let write = |dir: &Path| printed(&lab, dir, &config, &["--no-watch-modify"]);
        let envoy = Envoy::start_version(version, 2, write).unwrap();
        for (host, path, expected) in [
            ("any.example", "/graph/x", "https://graph.microsoft.com"),
            ("demo.example", "/x", "api://edgepass-demo"),
        ] {
            let status = get_with(envoy.port(), path, &[("host", host)])
                .unwrap()
                .status;
            assert_eq!(status, 200, "{host} {version:?}");
            let seen = upstream.seen();
            let last = &seen[seen.len() - 1];
            assert_eq!(last.path, "/x", "{host} {version:?}");
            let audience = audience(last);
            assert_eq!(audience.as_deref(), Some(expected), "{host} {version:?}");
        }
        let shown = envoy.admin("/stats/prometheus").unwrap();
        assert!(
            shown.contains("edgepass_token_expires_on{edgepass_identity=\"app\",edgepass_scope="),
            "{version:?}"
        );
    }
}

/// One sees for which API there is no token.
#[test]
fn numbers_and_log_name_the_scope() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    let url = format!("127.0.0.1:{}", upstream.port());
    config["envoy"]["upstreams"] = json!([
        {"path_prefix": "/graph/", "url": url, "scopes": [GRAPH]},
        {"path_prefix": "/demo/", "url": url, "scopes": [DEMO]},
        {"path_prefix": "/unknown/", "url": url, "scopes": ["https://unknown.example/.default"]},
    ]);
    let envoy = start(&lab, &config, &[]);
    for scope in [GRAPH, DEMO] {
        let line = format!("wasm log edgepass: identity app, {scope}: a new access token");
        envoy.until_logged(&line).unwrap();
    }
    let line =
        "wasm log edgepass: identity app, https://unknown.example/.default: no new access token";
    envoy.until_logged(line).unwrap();
    let labels = |scope: &str| format!("edgepass_identity=\"app\",edgepass_scope=\"{scope}\"");
    let expected = [
        format!(
            "edgepass_token_expires_on{{{}}}",
            labels("https_//graph.microsoft.com/.default")
        ),
        format!(
            "edgepass_token_expires_on{{{}}}",
            labels("api_//edgepass-demo/.default")
        ),
        format!(
            "edgepass_refreshes_failed{{edgepass_class=\"refused\",{}}}",
            labels("https_//unknown.example/.default")
        ),
        "edgepass_aadsts{edgepass_code=\"500011\"}".to_owned(),
    ];
    let mut shown = String::new();
    let found = until("all have their labels", || {
        shown = envoy.admin("/stats/prometheus").unwrap();
        expected.iter().all(|name| shown.contains(name.as_str()))
    });
    let own: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("edgepass"))
        .collect();
    assert!(found.is_ok(), "{own:#?}");
}

/// The parts and the commands of the page make an Envoy of one that was there before.
#[test]
fn parts_fit_a_configuration_of_ones_own() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let own = fs::read_to_string(root().join("docs/examples/envoy/own.yaml")).unwrap();
    let block = PAGE
        .split("```sh\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("--only"))
        .unwrap();
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    let ca_file = lab.dir().join("ca.pem");
    let write = |dir: &Path| {
        let mut here = own.clone();
        for (there, replaced) in [
            ("port_value: 9901", "port_value: 0".to_owned()),
            ("port_value: 8080", "port_value: 0".to_owned()),
            ("address: api.example", "address: 127.0.0.1".to_owned()),
            (
                "port_value: 80\n",
                format!("port_value: {}\n", upstream.port()),
            ),
        ] {
            assert!(here.contains(there), "{there}");
            here = here.replace(there, &replaced);
        }
        fs::write(dir.join("own.yaml"), here).unwrap();
        fs::write(dir.join("config.json"), plain(&lab).to_string()).unwrap();
        let options = format!(
            "--wasm '{}' --ca-file '{}' --socket-dir '{}' --only",
            wasm.display(),
            ca_file.display(),
            dir.display()
        );
        let mut script = block.to_owned();
        for (there, replaced) in [
            ("dist/edgepass ", format!("'{}' ", edgepass().display())),
            (
                "docs/examples/envoy/webhook.json",
                dir.join("config.json").display().to_string(),
            ),
            (
                "docs/examples/envoy/own.yaml",
                dir.join("own.yaml").display().to_string(),
            ),
            ("target/try", dir.display().to_string()),
            ("--only", options),
        ] {
            assert!(script.contains(there), "{there}\n{script}");
            script = script.replace(there, &replaced);
        }
        let shell = Command::new("sh").args(["-ec", &script]).output().unwrap();
        assert!(
            shell.status.success(),
            "{script}\n{}",
            String::from_utf8_lossy(&shell.stderr)
        );
        fs::read_to_string(dir.join("envoy.yaml")).unwrap()
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert_eq!(
        audience(&upstream.seen()[0]).as_deref(),
        Some("api://edgepass-demo")
    );
}

/// Every part is what the whole has there.
#[test]
fn parts_are_those_of_the_whole() {
    let lab = Lab::start().unwrap();
    let dir = folder().unwrap();
    let config = plain(&lab);
    let whole = text(&envoy_config(&dir, &config, &[], &[]));
    for (part, indent) in [
        ("filter", "10"),
        ("listener", "2"),
        ("token-clusters", "2"),
        ("upstreams", "2"),
        ("routes", "12"),
        ("stats", "2"),
    ] {
        let printed = text(&envoy_config(
            &dir,
            &config,
            &["--only", part, "--indent", indent],
            &[],
        ));
        let (head, body) = printed.split_once("\n\n").unwrap();
        assert!(head.trim_start().starts_with("# edgepass: "), "{head}");
        assert!(whole.contains(body.trim_end()), "{part}\n{body}");
    }
    fs::remove_dir_all(dir).unwrap();
}

/// The warning of Envoy's own that nobody can do anything about can be avoided.
#[test]
fn without_the_restriction_envoy_warns_of_nothing() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let url = format!("127.0.0.1:{}", upstream.port());
    for (more, warns) in [(&[][..], true), (&["--no-capability-restriction"], false)] {
        let envoy = start(&lab, &plain(&lab), &[&["--upstream", &url], more].concat());
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        // the log is written behind what happens, and this comes after all that is said at the start
        envoy.until_logged("a new access token").unwrap();
        assert_eq!(envoy.log().contains("deprecated"), warns, "{}", envoy.log());
    }
}
