//! A configuration that is wrong is refused before anything runs, in words that name the setting.

use std::path::Path;
use std::thread;

use edgepass_envoy_tests::{Envoy, Lab, Setup, Upstream, filter_path, get, until, validate};
use serde_json::{Value, json};

fn said(setup: &Setup) -> (bool, String) {
    let wasm = filter_path().unwrap();
    validate(|dir| setup.write(dir, &wasm)).unwrap()
}

#[test]
fn each_mistake_is_named() {
    let lab = Lab::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), 1);
    let (good, text) = said(&setup);
    assert!(good, "{text}");

    let edited = |pointer: &str, value: Value| {
        let mut plugin = lab.plugin(json!({}));
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        plugin.pointer_mut(parent).unwrap()[field] = value;
        plugin.to_string()
    };
    let app = "identities.app";
    let cases = [
        (String::new(), "configuration: ".to_owned()),
        ("{".to_owned(), "configuration: not JSON".to_owned()),
        (
            edited("/envoy/token_cluster", json!({})),
            "envoy.token_cluster: unknown field `token_cluster`".to_owned(),
        ),
        (
            edited("/envoy", Value::Null),
            "envoy: there is no such section".to_owned(),
        ),
        (
            edited("/envoy/token_clusters", json!({})),
            format!("envoy.token_clusters: names no cluster for {}", lab.host()),
        ),
        (
            edited("/envoy/files", Value::Null),
            "envoy.files: is missing, but identity `app` reads a file".to_owned(),
        ),
        (
            edited("/envoy/request_deadline_ms", json!(0)),
            "envoy.request_deadline_ms: is not between 1 and 60000".to_owned(),
        ),
        (
            edited("/envoy/upstreams", json!([{"url": "a.example:80"}])),
            "envoy.upstreams: is for `edgepass envoy-config`".to_owned(),
        ),
        (
            edited("/envoy/inbound_authorization", json!("drop")),
            "envoy.inbound_authorization: is neither".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"identity": "web"}])),
            "envoy.rules[0].identity: names no identity".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"header": "content-length"}])),
            "envoy.rules[0].header: content-length has a meaning".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"format": "Bearer"}])),
            "envoy.rules[0].format: is not".to_owned(),
        ),
        (
            edited("/envoy/rules", json!([{"match": {"path_prefix": "api"}}])),
            "envoy.rules[0].match.path_prefix: does not begin".to_owned(),
        ),
        (
            edited("/identities/app/scopes", json!([])),
            "envoy.rules[0].scopes: there are none".to_owned(),
        ),
        (
            edited(
                "/identities/app/credential",
                json!({"client_secret": {"value": "hunter2"}}),
            ),
            format!("{app}.credential.client_secret.value: is an inline secret"),
        ),
        (
            edited(
                "/identities/app/credential",
                json!({"certificate": {"name": "k"}}),
            ),
            format!("{app}.credential.certificate.algorithm: is PS256"),
        ),
        (
            edited(
                "/identities/app/credential",
                json!({"certificate": {"name": "k", "algorithm": "RS256"}}),
            ),
            "certificates.k: is missing".to_owned(),
        ),
    ];
    each_is_refused(&setup, &cases);
}

/// Starts Envoy with each of the documents, which must be refused in those words.
fn each_is_refused(setup: &Setup, cases: &[(String, String)]) {
    thread::scope(|scope| {
        // a start is V8's work, which has threads of its own; some at once use the time between
        for part in cases.chunks(cases.len().div_ceil(3)) {
            scope.spawn(move || {
                for (plugin, expected) in part {
                    let (good, text) = said(&Setup {
                        plugin: plugin.clone(),
                        ..setup.clone()
                    });
                    assert!(!good, "taken: {plugin}");
                    assert!(
                        text.contains(&format!(" edgepass: {expected}")),
                        "{expected}\n{text}"
                    );
                    assert!(!text.contains("hunter2"), "{text}");
                }
            });
        }
    });
}

#[test]
fn what_is_no_document_is_named() {
    let lab = Lab::start().unwrap();
    let good = lab.plugin(json!({}));
    let mut two = good.clone();
    two["identities"]["second"] = two["identities"]["app"].clone();
    let twice = good
        .to_string()
        .replacen("\"envoy\":", "\"envoy\":{},\"envoy\":", 1);
    let cases = [
        ("[]".to_owned(), "configuration: expected an object"),
        ("null".to_owned(), "configuration: expected an object"),
        ("{}".to_owned(), "configuration: has no identities"),
        (format!("{good} x"), "configuration: not JSON: trailing"),
        (twice, "configuration: duplicate field `envoy`"),
        (two.to_string(), "envoy.rules[0].identity: is missing"),
        (" ".repeat(300_000), "configuration: "),
        ("[".repeat(100_000), "configuration: "),
    ]
    .map(|(plugin, expected)| (plugin, expected.to_owned()));
    each_is_refused(&lab.setup(&good, 1), &cases);
}

#[test]
fn each_setting_of_the_wrong_kind_is_named() {
    let lab = Lab::start().unwrap();
    let secret = json!({"client_assertion": {"value": ["hunter2"]}});
    let cases: Vec<_> = [
        (
            "envoy.request_deadline_ms",
            json!("5000"),
            "expected a number",
        ),
        (
            "envoy.request_deadline_ms",
            json!(60_001),
            "is not between 1 and 60000",
        ),
        (
            "envoy.request_deadline_ms",
            json!(-1),
            "expected a whole number",
        ),
        ("envoy.fail_open", json!("yes"), "expected true or false"),
        (
            "envoy.token_clusters",
            json!([]),
            "expected an object of names",
        ),
        (
            "envoy.sharing",
            json!("per-thread"),
            "is not an allowed value",
        ),
        ("envoy.files", json!({}), "missing field `cluster`"),
        (
            "envoy.files.cluster",
            json!(""),
            "is not the name of a cluster",
        ),
        (
            "envoy.files.strip_prefix",
            json!("x"),
            "does not begin with /",
        ),
        (
            "envoy.files.strip_prefix",
            json!("/y"),
            "is not the beginning of the path",
        ),
        (
            "envoy.files.add_prefix",
            json!("/a b"),
            "does not begin with /, or has a space",
        ),
        (
            "envoy.inbound_authorization",
            json!("keep-as:"),
            "is not the name of a header",
        ),
        (
            "envoy.inbound_authorization",
            json!("keep-as:host"),
            "host has a meaning",
        ),
        ("envoy.rules", json!({}), "expected a list"),
        (
            "envoy.rules",
            json!(vec![json!({}); 257]),
            "has more than 256 rules",
        ),
        (
            "identities.app.tenant_id",
            json!("a/b"),
            "has characters besides",
        ),
        ("identities.app.client_id", json!(7), "expected a string"),
        ("identities.app.client_id", Value::Null, "is not set"),
        (
            "identities.app.authority_host",
            json!("http://localhost"),
            "has the scheme `http`",
        ),
        (
            "identities.app.authority_host",
            json!("https://evil.test"),
            "`evil.test` is neither",
        ),
        ("identities.app.credential", json!({}), "names no kind"),
        (
            "identities.app.credential",
            json!({"client_secret": "hunter2"}),
            "",
        ),
        ("identities.app.credential", secret, ""),
        ("identities.app.scopes", json!("x"), "expected a list"),
        (
            "default_identity",
            json!("other"),
            "is `other`, which is not among",
        ),
    ]
    .into_iter()
    .map(|(setting, value, expected)| {
        let mut plugin = lab.plugin(json!({}));
        let pointer = format!("/{}", setting.replace('.', "/"));
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        plugin.pointer_mut(parent).unwrap()[field] = value;
        let expected = match expected {
            // of a part of it
            "" => format!("{setting}."),
            words => format!("{setting}: {words}"),
        };
        (plugin.to_string(), expected)
    })
    .chain(
        [
            (
                json!({"match": {"path": "/"}}),
                "match.path: unknown field `path`",
            ),
            (
                json!({"match": {"route_metadata": {"filter": "x"}}}),
                "match.route_metadata: missing field `key`",
            ),
            (
                json!({"match": {"host": "https://a.test"}}),
                "match.host: is neither",
            ),
            (
                json!({"header": "x y"}),
                "header: is not the name of a header",
            ),
            (
                json!({"header": "X-Envoy-Retry-On"}),
                "header: x-envoy-retry-on has a meaning",
            ),
            (json!({"format": "{token}{token}"}), "format: is not"),
            (
                json!({"scopes": ["a b"]}),
                "scopes: scope has a blank in it",
            ),
        ]
        .map(|(rule, expected)| {
            let plugin = lab.plugin(json!({"rules": [{}, rule]}));
            (plugin.to_string(), format!("envoy.rules[1].{expected}"))
        }),
    )
    .collect();
    each_is_refused(&lab.setup(&Value::Null, 1), &cases);
}

/// Envoy's configuration with the plugin's part changed.
fn changed(setup: &Setup, dir: &Path, change: impl FnOnce(&mut Value)) -> String {
    let wasm = filter_path().unwrap();
    let mut config: Value = serde_json::from_str(&setup.write(dir, &wasm)).unwrap();
    let plugin = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
    change(config.pointer_mut(plugin).unwrap());
    config.to_string()
}

#[test]
fn what_envoy_was_told_wrongly_about_the_plugin_is_named() {
    let lab = Lab::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), 1);
    let document = lab.plugin(json!({}));
    let as_struct =
        json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": document});
    for (field, value, expected) in [
        (
            "configuration",
            as_struct,
            "configuration: is missing or is not text; give it as google.protobuf.StringValue",
        ),
        ("configuration", Value::Null, "configuration: "),
        (
            "capability_restriction_config",
            json!({"allowed_capabilities": {
                "proxy_on_configure": {}, "proxy_on_context_create": {},
                "proxy_log": {}, "proxy_get_property": {}, "proxy_get_buffer_bytes": {},
                "proxy_get_shared_data": {}, "proxy_set_shared_data": {},
                "proxy_set_tick_period_milliseconds": {}, "environ_get": {},
                "environ_sizes_get": {}, "clock_time_get": {}}}),
            "configuration: there is no source of random numbers; allow random_get",
        ),
    ] {
        let (good, text) =
            validate(|dir| changed(&setup, dir, |plugin| plugin[field] = value)).unwrap();
        assert!(
            !good && text.contains(&format!(" edgepass: {expected}")),
            "{text}"
        );
    }
}

#[test]
fn what_shows_only_at_run_time_is_said_in_the_log() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    for (from, to, expected) in [
        (
            "\"entra\"",
            "\"entrance\"",
            "Envoy has no cluster `entrance`",
        ),
        (
            "\"token_files\"",
            "\"tokens\"",
            "Envoy has no cluster `tokens`",
        ),
    ] {
        let setup = lab.setup(&plugin, upstream.port());
        let setup = Setup {
            plugin: setup.plugin.replace(from, to),
            ..setup
        };
        is_said(&lab.envoy(&setup, 1).unwrap(), expected);
    }
    let setup = lab.setup(&plugin, upstream.port());
    let envoy = Envoy::start(1, |dir| {
        changed(&setup, dir, |plugin| {
            let all = include_str!("../../../../docs/envoy.md");
            let names = all
                .lines()
                .map(str::trim)
                .filter_map(|line| line.strip_suffix(": {}"))
                .filter(|name| *name != "proxy_http_call");
            let allowed: serde_json::Map<String, Value> =
                names.map(|name| (name.to_owned(), json!({}))).collect();
            assert!(allowed.len() > 20);
            plugin["capability_restriction_config"] = json!({"allowed_capabilities": allowed});
        })
    })
    .unwrap();
    is_said(
        &envoy,
        "is proxy_http_call among the plugin's capabilities?",
    );
    assert!(lab.emulator.token_requests().is_empty());
    assert!(upstream.seen().is_empty());
}

fn is_said(envoy: &Envoy, words: &str) {
    until(words, || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 503);
        envoy.log().contains(words)
    })
    .unwrap();
}

#[test]
fn sharing_needs_a_vm_of_its_own() {
    let lab = Lab::start().unwrap();
    let mut setup = lab.setup(&lab.plugin(json!({})), 1);
    setup.vm_id = String::new();
    let (good, text) = said(&setup);
    assert!(
        !good && text.contains("edgepass: vm_config.vm_id: is empty"),
        "{text}"
    );
}
