use super::*;
use serde_json::{Value, json};

fn identity(credential: &Value) -> Value {
    json!({
        "tenant_id": "contoso.example",
        "client_id": "c",
        "scopes": ["https://graph.microsoft.com/.default"],
        "credential": credential,
    })
}

fn federated(path: &str) -> Value {
    identity(&json!({"federated_token_file": {"path": path}}))
}

fn bound(name: &str) -> Value {
    identity(&json!({"bound_certificate": {"name": name, "mode": "certificate-only"}}))
}

fn plan(config: &Value) -> Result<Plan, Failure> {
    Plan::of(
        &config.to_string(),
        &Environment::default(),
        Given::default(),
    )
}

/// Setting and message.
fn refused(config: &Value) -> (String, String) {
    match plan(config) {
        Err(Failure::Setup {
            setting,
            message,
            hint: Some(_),
        }) => (setting.unwrap_or_default(), message),
        Err(_) => panic!("refused without a hint"),
        Ok(_) => panic!("not refused: {config}"),
    }
}

/// For the full module, in an environment.
fn full(config: &Value, variables: &[(&str, &str)]) -> Result<Plan, Failure> {
    let given = Given {
        module: Module::Full,
        ..Given::default()
    };
    let environment = Environment::from_pairs(variables.iter().copied());
    Plan::of(&config.to_string(), &environment, given)
}

#[test]
fn the_full_module_signs_ps256_by_itself() {
    let mut config = json!({
        "identities": {"app": identity(&json!({"certificate": {"name": "k"}}))},
        "certificates": {"k": {"certificate_file": "/v/k.pem"}},
    });
    let (setting, message) = refused(&config);
    assert_eq!(setting, "identities.app.credential.certificate.algorithm");
    assert!(message.contains("PS256"), "{message}");
    let plan = full(&config, &[]).ok().unwrap();
    assert!(!plan.signs && plan.files.is_some());
    config["identities"]["app"]["credential"]["certificate"]["algorithm"] = json!("RS256");
    assert!(full(&config, &[]).ok().unwrap().signs);
}

/// What is printed for a platform is for where it is printed: whom to ask, and what is passed on to be shown there.
#[test]
fn a_job_s_variables_are_passed_on_and_no_other_secret_is() {
    const URL: &str = "https://run-actions.example/42//idtoken/7?api-version=2.0";
    let job = [
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2.of.job"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", URL),
    ];
    let github = json!({"github_actions": {}});
    let config = json!({"identities": {"app": identity(&github)}});
    let plan = full(&config, &job).ok().unwrap();
    let hosts: Vec<&str> = plan
        .token_clusters
        .iter()
        .map(|c| c.host.as_str())
        .collect();
    assert_eq!(hosts, ["login.microsoftonline.com", "run-actions.example"]);
    assert_eq!(plan.variables, job.map(|(name, _)| name));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert!(!plan.plugin.contains("hunter2") && !plan.plugin.contains("run-actions.example/"));

    // outside of the job, and where half of it is missing
    for variables in [&[][..], &job[1..]] {
        let plan = full(&config, variables).ok().unwrap();
        assert_eq!(plan.token_clusters.len(), 1);
        assert!(
            plan.warnings[0].starts_with("identities.app.credential.github_actions: "),
            "{:?}",
            plan.warnings
        );
    }

    let secret = json!([{"client_secret": {"env": "SECRET"}}, github]);
    let config = json!({"identities": {"app": identity(&secret)}});
    match full(&config, &[job[0], job[1], ("SECRET", "hunter2")]) {
        Err(Failure::Setup { setting, .. }) => assert_eq!(
            setting.as_deref(),
            Some("identities.app.credential[0].client_secret.env")
        ),
        _ => panic!("a secret of the environment is passed on"),
    }
    // the other module is given nothing of it, because it asks nobody
    let config = json!({
        "default_identity": "used",
        "identities": {"used": federated("/a"), "app": identity(&github)},
    });
    let given = Given::default();
    let environment = Environment::from_pairs(job);
    let plan = Plan::of(&config.to_string(), &environment, given)
        .ok()
        .unwrap();
    assert!(plan.variables.is_empty());
}

#[test]
fn clusters_are_named_after_their_hosts() {
    let mut config = json!({
        "authority_hosts": ["idp.example:8443", "idp-example", "[::1]:9443"],
        "identities": {"a": federated("/a"), "b": federated("/b"), "c": federated("/c"), "d": federated("/d")},
        "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}, {"identity": "c"}, {"identity": "d"}]},
    });
    for (name, host) in [
        ("b", "idp.example:8443"),
        ("c", "idp-example"),
        ("d", "[::1]:9443"),
    ] {
        config["identities"][name]["authority_host"] = json!(format!("https://{host}"));
    }
    config["envoy"]["token_clusters"] = json!({"idp-example": "idp_idp_example_8443"});
    let plan = plan(&config).ok().unwrap();
    let clusters: Vec<_> = plan
        .token_clusters
        .iter()
        .map(|cluster| (cluster.name.as_str(), cluster.host.as_str(), cluster.port))
        .collect();
    assert_eq!(
        clusters,
        [
            ("idp____1__9443", "[::1]", 9443),
            ("idp_idp_example_8443", "idp-example", 443),
            ("idp_idp_example_8443_2", "idp.example", 8443),
            (
                "idp_login_microsoftonline_com",
                "login.microsoftonline.com",
                443
            ),
        ]
    );
    let plugin: Value = serde_json::from_str(&plan.plugin).unwrap();
    assert_eq!(
        plugin["envoy"]["token_clusters"]["[::1]:9443"],
        "idp____1__9443"
    );
    assert!(plan.variables.is_empty() && !plan.signs);
}

#[test]
fn a_cluster_is_for_one_thing() {
    let of =
        |envoy: Value| refused(&json!({"identities": {"app": federated("/t")}, "envoy": envoy}));
    let host = "login.microsoftonline.com";
    for envoy in [
        json!({"token_clusters": {host: "upstream"}}),
        json!({"token_clusters": {host: "f"}, "files": {"cluster": "f"}}),
        json!({"token_clusters": {host: ""}}),
    ] {
        let (setting, _) = of(envoy);
        assert_eq!(setting, "envoy.token_clusters.login.microsoftonline.com");
    }
    let (setting, _) = of(json!({"files": {"cluster": "upstream"}}));
    assert_eq!(setting, "envoy.files.cluster");
}

#[test]
fn rules_of_applications_are_told_from_those_of_envoy() {
    let http = json!({"rules": [{"match": {"host": "api.example"}}]});
    let own = json!({"rules": [{}]});
    for (http, own, is_warned) in [
        (Some(&http), None, true),
        (Some(&http), Some(&own), false),
        (None, None, false),
        (Some(&json!({})), None, false),
    ] {
        let mut config = json!({"identities": {"app": federated("/a")}});
        for (name, section) in [("http", http), ("envoy", own)] {
            if let Some(section) = section {
                config[name] = section.clone();
            }
        }
        let plan = plan(&config).ok().unwrap();
        let is_said = plan
            .warnings
            .iter()
            .any(|said| said.contains("envoy.rules"));
        assert_eq!(is_said, is_warned, "{config}: {:?}", plan.warnings);
    }
}

#[test]
fn a_host_gets_one_certificate() {
    let files =
        |name: &str| json!({"certificate_file": format!("/{name}.crt"), "private_key_file": "/k"});
    let mut config = json!({
        "identities": {"a": bound("one"), "b": bound("one")},
        "certificates": {"one": files("one"), "two": files("two")},
        "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}]},
    });
    let good = plan(&config).ok().unwrap();
    assert_eq!(good.certificates().len(), 1);
    assert!(good.files.is_none(), "Envoy reads them, not the filter");
    config["identities"]["b"] = bound("three");
    assert_eq!(refused(&config).0, "certificates.three");
}

/// Which connections have a certificate, and which, is the cluster's: each kind has its own.
#[test]
fn a_cluster_has_one_certificate_or_none() {
    let files =
        |name: &str| json!({"certificate_file": format!("/{name}.crt"), "private_key_file": "/k"});
    let generic = |credential: Value| {
        json!({
            "token_endpoint": "https://idp.example/token",
            "client_id": "c",
            "scopes": ["s"],
            "credential": credential,
        })
    };
    let bound = |name: &str| {
        generic(json!({"bound_certificate": {"name": name, "mode": "certificate-only"}}))
    };
    let plain = generic(json!({"client_secret": {"file": "/secret"}}));
    let of = |identities: Value, token_clusters: Value| {
        let rules: Vec<Value> = identities
            .as_object()
            .unwrap()
            .keys()
            .map(|name| json!({"identity": name}))
            .collect();
        plan(&json!({
            "authority_hosts": ["idp.example"],
            "identities": identities,
            "certificates": {"one": files("one"), "two": files("two")},
            "envoy": {"rules": rules, "token_clusters": token_clusters},
        }))
    };
    type Expected = &'static [(&'static str, &'static str, Option<&'static str>)];
    let own: Expected = &[("idp.example", "idp_idp_example", Some("one"))];
    let mixed: Expected = &[
        ("idp.example", "idp_idp_example", None),
        ("one@idp.example", "idp_idp_example_one", Some("one")),
    ];
    let two: Expected = &[
        ("one@idp.example", "idp_idp_example_one", Some("one")),
        ("two@idp.example", "idp_idp_example_two", Some("two")),
    ];
    let three: Expected = &[
        ("idp.example", "idp_idp_example", None),
        ("one@idp.example", "idp_idp_example_one", Some("one")),
        ("two@idp.example", "idp_idp_example_two", Some("two")),
    ];
    let named: Expected = &[
        ("idp.example", "mine", None),
        ("one@idp.example", "his", Some("one")),
    ];
    let nothing = json!({});
    for (identities, token_clusters, expected) in [
        (json!({"a": bound("one"), "b": bound("one")}), &nothing, own),
        (json!({"a": bound("one"), "b": plain}), &nothing, mixed),
        (json!({"a": plain, "b": bound("one")}), &nothing, mixed),
        (json!({"a": bound("two"), "b": bound("one")}), &nothing, two),
        (
            json!({"a": bound("two"), "b": bound("one"), "c": plain}),
            &nothing,
            three,
        ),
        (
            json!({"a": bound("one"), "b": plain}),
            &json!({"idp.example": "mine", "one@idp.example": "his"}),
            named,
        ),
    ] {
        let plan = of(identities.clone(), token_clusters.clone()).ok().unwrap();
        let plugin: Value = serde_json::from_str(&plan.plugin).unwrap();
        let clusters: Vec<_> = plan
            .token_clusters
            .iter()
            .map(|cluster| {
                assert_eq!((cluster.host.as_str(), cluster.port), ("idp.example", 443));
                let named = &plugin["envoy"]["token_clusters"][&cluster.key];
                assert_eq!(*named, json!(cluster.name));
                let certificate = cluster.certificate.as_ref();
                let certificate = certificate.map(|certificate| certificate.name.as_str());
                (cluster.key.as_str(), cluster.name.as_str(), certificate)
            })
            .collect();
        assert_eq!(clusters, expected, "{identities}");
    }
    let shared = json!({"idp.example": "mine", "one@idp.example": "mine"});
    let refused = of(json!({"a": bound("one"), "b": plain}), shared);
    assert!(refused.is_err());
}

#[test]
fn what_signs_reads_its_key() {
    let signing = |kind: &str, mode: Value| {
        let mut credential = json!({kind: {"name": "c", "algorithm": "RS256"}});
        if !mode.is_null() {
            credential[kind]["mode"] = mode;
        }
        json!({
            "identities": {"app": identity(&credential)},
            "certificates": {"c": {"certificate_file": "/v/tls.crt", "private_key_file": "/v/tls.key"}},
        })
    };
    for config in [
        signing("certificate", Value::Null),
        signing("bound_certificate", json!("with-assertion")),
    ] {
        let plan = plan(&config).ok().unwrap();
        assert!(plan.signs);
        let paths: Vec<_> = plan
            .files
            .iter()
            .flat_map(|files| &files.served)
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths, ["/v/tls.crt", "/v/tls.key"]);
    }
    let mut config = signing("certificate", Value::Null);
    config["identities"]["app"]["credential"]["certificate"]["algorithm"] = json!("PS256");
    assert_eq!(
        refused(&config).0,
        "identities.app.credential.certificate.algorithm"
    );
}

#[test]
fn paths_are_what_the_filter_can_ask_for() {
    for path in ["/a b", "/a?b", "/a#b", "/a%20b", "/é", "/a/", "C:\\t"] {
        let config = json!({"identities": {"app": federated(path)}});
        assert_eq!(
            refused(&config).0,
            "identities.app.credential.federated_token_file.path",
            "{path}"
        );
    }
    let config = json!({
        "identities": {"a": federated("/x/t"), "b": federated("/y/t")},
        "envoy": {"rules": [{"identity": "a"}, {"identity": "b"}]},
    });
    let files = plan(&config).ok().unwrap().files.unwrap();
    assert_eq!(files.served.len(), 2);
}

#[test]
fn nobody_is_guessed() {
    let config = json!({"identities": {"a": federated("/a"), "b": federated("/b")}});
    assert_eq!(refused(&config).0, "envoy.rules[0].identity");
    let mut config = json!({"identities": {"a": federated("/a")}});
    config["identities"]["a"]["scopes"] = json!([]);
    assert_eq!(refused(&config).0, "envoy.rules[0].scopes");
}

#[test]
fn each_upstream_has_one_place_and_one_rule() {
    let with = |section: Value| {
        json!({"identities": {"app": federated("/a"), "b": federated("/b")},
                "default_identity": "app", "envoy": section})
    };
    let graph = json!({"path_prefix": "/g/", "url": "https://g.example/", "identity": "b"});
    let open = json!({"host": "o.example", "url": "o:80", "disabled": true});
    let bare = json!({"path_prefix": "/x/", "url": "x:80"});
    let changed = |upstream: &Value, field: &str, value: Value| {
        let mut upstream = upstream.clone();
        upstream[field] = value;
        upstream
    };
    for (upstreams, rules, given, setting, words) in [
        (
            json!([changed(&graph, "url", json!("g"))]),
            json!([]),
            &[][..],
            "envoy.upstreams[0].url",
            "has no port",
        ),
        (
            json!([changed(&graph, "url", json!("https://g/v1"))]),
            json!([]),
            &[],
            "envoy.upstreams[0].url",
            "ends with /",
        ),
        (
            json!([changed(&graph, "path_prefix", json!("g"))]),
            json!([]),
            &[],
            "envoy.upstreams[0].path_prefix",
            "begin with /",
        ),
        (
            json!([changed(&graph, "path_prefix", json!("/%67/"))]),
            json!([]),
            &[],
            "envoy.upstreams[0].path_prefix",
            "different ways",
        ),
        (
            json!([graph, changed(&open, "host", json!("a/b"))]),
            json!([]),
            &[],
            "envoy.upstreams[1].host",
            "neither a host",
        ),
        (
            json!([graph, changed(&open, "scopes", json!(["s"]))]),
            json!([]),
            &[],
            "envoy.upstreams[1].disabled",
            "is set",
        ),
        (
            json!([graph, graph]),
            json!([]),
            &[],
            "envoy.upstreams[1]",
            "same host and path",
        ),
        (
            json!([graph]),
            json!([]),
            &["/y/=y:1", "/y/=y:2"],
            "--upstream",
            "same host and path",
        ),
        (
            json!([graph, changed(&open, "identity", json!("nobody"))]),
            json!([]),
            &[],
            "envoy.upstreams[1].disabled",
            "is set",
        ),
        (
            json!([open, changed(&graph, "identity", json!("nobody"))]),
            json!([]),
            &[],
            "envoy.upstreams[1].identity",
            "names no identity",
        ),
        (
            json!([open, changed(&graph, "scopes", json!(["a", "b"]))]),
            json!([{"match": {"path_prefix": "/y"}}]),
            &[],
            "envoy.upstreams[1].scopes",
            "",
        ),
        (
            json!([
                changed(&graph, "cluster", json!("token_files")),
                changed(&open, "cluster", json!("token_files"))
            ]),
            json!([]),
            &[],
            "envoy.upstreams[1].cluster",
            "something else",
        ),
        (
            json!([changed(&graph, "cluster", json!("token_files"))]),
            json!([]),
            &[],
            "envoy.files.cluster",
            "of an upstream",
        ),
        (
            json!([bare, open]),
            json!([]),
            &[],
            "envoy.upstreams[0]",
            "no rule is for",
        ),
        (
            json!([]),
            json!([]),
            &["/y/=y:1", "/z/=z:2"],
            "envoy.rules",
            "which token",
        ),
        (
            json!([bare, changed(&bare, "path_prefix", json!("/y"))]),
            json!([]),
            &[],
            "envoy.upstreams[0]",
            "which token",
        ),
        (
            json!([graph]),
            json!([]),
            &["/y/=y:1"],
            "--upstream",
            "no rule is for",
        ),
        (
            json!([graph, bare]),
            json!([{"match": {"path_prefix": "/xy"}}]),
            &[],
            "envoy.upstreams[1]",
            "no rule is for",
        ),
        (
            json!([graph, bare]),
            json!([{"match": {"host": "*.z", "cluster": "y"}}]),
            &[],
            "envoy.upstreams[1]",
            "no rule is for",
        ),
        (
            json!([graph, bare]),
            json!([{"match": {"path_prefix": "/x/"}}, {}]),
            &[],
            "envoy.rules[1]",
            "would never count",
        ),
        (
            json!([graph]),
            json!([{"match": {"path_prefix": "/g"}}]),
            &[],
            "envoy.rules[0]",
            "would never count",
        ),
    ] {
        let config = with(json!({"upstreams": upstreams, "rules": rules}));
        let given: Vec<Upstream> = given.iter().map(|text| text.parse().unwrap()).collect();
        let given = Given {
            upstreams: &given,
            ..Given::default()
        };
        match Plan::of(&config.to_string(), &Environment::default(), given) {
            Err(Failure::Setup {
                setting: Some(at),
                message,
                hint: Some(_),
            }) => {
                assert_eq!(at, setting, "{config}\n{message}");
                assert!(message.contains(words), "{config}\n{message}");
            }
            Err(_) => panic!("refused without a setting or hint: {config}"),
            Ok(_) => panic!("not refused: {config}"),
        }
    }
}

/// As an upstream filter it sees what the route has made of the request.
#[test]
fn rules_are_held_against_what_the_filter_sees() {
    let config = json!({"identities": {"app": federated("/a")}, "envoy": {
        "upstreams": [
            {"path_prefix": "/g/", "url": "https://g.example/v1/"},
            {"path_prefix": "/x/", "url": "x:80", "disabled": true},
        ],
        "rules": [{"match": {"path_prefix": "/g/"}}],
    }});
    let mut changed = config.clone();
    changed["envoy"]["rules"][0]["match"] = json!({"path_prefix": "/v1/", "host": "g.example"});
    for (config, before, behind) in [(&config, true, false), (&changed, false, true)] {
        for (as_upstream_filter, good) in [(false, before), (true, behind)] {
            let given = Given {
                as_upstream_filter,
                ..Given::default()
            };
            let plan = Plan::of(&config.to_string(), &Environment::default(), given);
            assert_eq!(plan.is_ok(), good, "{config} {as_upstream_filter}");
        }
    }
}
