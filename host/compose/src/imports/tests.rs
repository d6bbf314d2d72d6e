use super::*;

const EXPORTED: &[&str] = &[
    "edgepass:credentials/credential-provider@0.2.0",
    "edgepass:credentials/opaque-tokens@0.2.0",
    "edgepass:credentials/status@0.2.0",
];

const NEEDED: &[&str] = &[
    "edgepass:credentials/types@0.2.0",
    "edgepass:credentials/token-file@0.2.0",
    "edgepass:credentials/host-certificates@0.2.0",
    "edgepass:credentials/assertion-source@0.2.0",
    "edgepass:credentials/signatures@0.2.0",
    "wasi:cli/environment@0.3.0",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:http/types@0.3.0",
    "wasi:http/client@0.3.0",
    "wasi:keyvalue/store@0.3.0",
];

fn judged(imports: &[&str], allowed: &[&str]) -> Result<Imports, String> {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    judge(
        &owned(imports),
        &owned(EXPORTED),
        &owned(NEEDED),
        &owned(allowed),
        false,
    )
    .map_err(|error| error.to_string())
}

#[test]
fn what_the_provider_exports_and_what_takes_nothing_from_it_is_free() {
    let free = [
        EXPORTED,
        &[
            "edgepass:credentials/types@0.2.0",
            "edgepass:credentials/signatures@0.2.0",
            "wasi:clocks/monotonic-clock@0.3.0",
            "wasi:clocks/system-clock@0.3.0",
            "wasi:clocks/wall-clock@0.2.12",
            "wasi:http/types@0.3.0",
            "wasi:io/poll@0.2.12",
            "wasi:random/random@0.3.0",
            "wasi:sockets/types@0.3.0",
            "example:app/database@1.0.0",
        ],
    ]
    .concat();
    assert_eq!(judged(&free, &[]), Ok(Imports::default()));
}

#[test]
fn what_reaches_further_is_refused_by_name_unless_it_is_allowed_by_name() {
    for import in [
        "edgepass:credentials/token-file@0.2.0",
        "edgepass:credentials/token-file@0.2.7",
        "edgepass:credentials/host-certificates@0.2.0",
        "edgepass:credentials/assertion-source@0.2.0",
        "edgepass:credentials-p2/token-file@0.2.0",
        "edgepass:credentials-p2/host-certificates@0.2.0",
        "edgepass:credentials/of-a-later-version@0.9.0",
        "wasi:filesystem/preopens@0.2.6",
        "wasi:filesystem/preopens@0.3.0",
        "wasi:http/client@0.3.0",
        "wasi:http/outgoing-handler@0.2.12",
        "wasi:keyvalue/store@0.3.0",
    ] {
        let all = [EXPORTED, &[import]].concat();
        let refused = judged(&all, &[]).unwrap_err();
        assert!(
            refused.contains(import) && refused.contains(&format!("--allow {}", base(import))),
            "{refused}"
        );
        for allowed in [import, base(import)] {
            assert_eq!(
                judged(&all, &[allowed]),
                Ok(Imports::default()),
                "{allowed}"
            );
        }
    }
}

#[test]
fn all_that_is_refused_is_named_at_once() {
    let refused = judged(
        &[
            "edgepass:credentials/token-file@0.2.0",
            "edgepass:credentials/credential-provider@0.2.0",
            "wasi:http/client@0.3.0",
        ],
        &[],
    )
    .unwrap_err();
    assert!(
        refused.contains("token-file@0.2.0") && refused.contains("client@0.3.0"),
        "{refused}"
    );
}

#[test]
fn the_environment_is_an_empty_one_unless_it_is_allowed() {
    for import in ["wasi:cli/environment@0.3.0", "wasi:cli/environment@0.2.3"] {
        let all = [EXPORTED, &[import]].concat();
        assert_eq!(judged(&all, &[]).unwrap().emptied, [import]);
        let allowed = judged(&all, &["wasi:cli/environment"]);
        assert_eq!(allowed, Ok(Imports::default()));
        // where nobody else reads it, it is the application's
        let import = [import.to_owned()];
        let alone = judge(&import, &[], &import, &[], true).unwrap();
        assert_eq!(alone, Imports::default());
    }
}

#[test]
fn what_is_allowed_must_be_asked_for() {
    let refused = judged(EXPORTED, &["wasi:cli/environment"]).unwrap_err();
    assert!(
        refused.contains("does not import wasi:cli/environment"),
        "{refused}"
    );
}

/// Who writes a part of a name is told the whole.
#[test]
fn what_is_allowed_is_named_as_it_is_imported() {
    let imports = [
        EXPORTED,
        &[
            "wasi:cli/environment@0.3.0",
            "wasi:filesystem/types@0.3.0",
            "wasi:filesystem/preopens@0.3.0",
            "wasi:http/client@0.3.0",
            "edgepass:credentials/token-file@0.2.0",
        ],
    ]
    .concat();
    for (allowed, fix) in [
        (
            "wasi:filesystem",
            "write `--allow wasi:filesystem/preopens`",
        ),
        (
            "wasi:filesystem/",
            "write `--allow wasi:filesystem/preopens`",
        ),
        (
            "wasi:filesystem/*",
            "write `--allow wasi:filesystem/preopens`",
        ),
        (
            "wasi:filesystem@0.3.0",
            "write `--allow wasi:filesystem/preopens`",
        ),
        (
            "filesystem/preopens",
            "write `--allow wasi:filesystem/preopens`",
        ),
        ("preopens", "write `--allow wasi:filesystem/preopens`"),
        ("wasi:http/client@0.2.0", "write `--allow wasi:http/client`"),
        ("wasi:http", "write `--allow wasi:http/client`"),
        ("client", "write `--allow wasi:http/client`"),
        (
            "credentials/token-file",
            "write `--allow edgepass:credentials/token-file`",
        ),
        ("wasi:cli", "write `--allow wasi:cli/environment`"),
        ("wasi:sockets", "leave `--allow wasi:sockets` out"),
        ("lient", "leave `--allow lient` out"),
        ("wasi:htt", "leave `--allow wasi:htt` out"),
        ("wasi:cli/stdout", "leave `--allow wasi:cli/stdout` out"),
    ] {
        let refused = judged(&imports, &[allowed]).unwrap_err();
        assert!(
            refused.contains("does not import") && refused.ends_with(fix),
            "{allowed}: {refused}"
        );
    }
}

#[test]
fn what_is_allowed_must_be_refused_without() {
    let answered = "edgepass:credentials/status@0.2.0";
    for (import, reason) in [
        (answered, "answered by the composition itself"),
        ("wasi:random/random@0.3.0", "refused to no application"),
        ("wasi:sockets/types@0.3.0", "refused to no application"),
        ("example:app/database@1.0.0", "refused to no application"),
    ] {
        for allowed in [import, base(import)] {
            let refused = judged(&[import], &[allowed]).unwrap_err();
            let flag = format!("leave `--allow {allowed}` out");
            assert!(
                refused.contains(reason) && refused.contains(&flag),
                "{refused}"
            );
        }
    }
    // the environment is the application's where the provider reads none
    let import = [String::from("wasi:cli/environment@0.3.0")];
    assert!(judge(&import, &[], &import, &import, true).is_err());
    // one version of two is enough of a reason
    let two = ["wasi:http/client@0.3.0", "wasi:http/client@0.4.0"];
    assert!(judged(&two, &["wasi:http/client"]).is_ok());
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn who_has_a_provider_inside_is_no_application() {
    let of_provider = [
        "edgepass:credentials/assertion-source@0.2.0",
        "edgepass:credentials/host-certificates@0.2.0",
        "edgepass:credentials/token-file@0.2.0",
    ];
    let of_p2 = of_provider.map(|name| name.replace("credentials/", "credentials-p2/"));
    assert!(is_composed(&owned(&of_provider)) && is_composed(&of_p2));
    // one that reaches for all of it and asks for tokens is hostile, and not composed
    let asks = [
        &of_provider[..],
        &["edgepass:credentials/opaque-tokens@0.2.0"],
    ]
    .concat();
    assert!(!is_composed(&owned(&asks)) && !is_composed(&owned(&of_provider[1..])));
    for (export, expected) in [
        ("edgepass:credentials/credential-provider@0.2.0", true),
        ("edgepass:credentials-p2/credential-provider@0.2.0", true),
        ("edgepass:credentials/status@0.2.0", false),
        ("example:app/credential-provider@0.2.0", false),
    ] {
        assert_eq!(is_provider(&owned(&[export])), expected, "{export}");
    }
}

#[test]
fn what_cannot_wait_is_what_has_nothing_else_to_call() {
    for (exports, expected) in [
        (&["wasi:cli/run@0.2.3"][..], true),
        (&["wasi:http/incoming-handler@0.2.0"], true),
        (&["wasi:cli/run@0.3.0"], false),
        (&["wasi:http/handler@0.3.0"], false),
        (&["wasi:cli/run@0.2.3", "example:app/other@1.0.0"], false),
        (&[], false),
    ] {
        assert_eq!(
            cannot_wait(&owned(exports)).is_some(),
            expected,
            "{exports:?}"
        );
    }
}

#[test]
fn who_gets_nothing_is_told_what_would_help() {
    let client = ["wasi:http/client@0.3.0"];
    let asks = ["edgepass:credentials/credential-provider@0.2.0"];
    let other = ["example:app/database@1.0.0"];
    for (imports, has_filter, word) in [
        (&client, false, Some("--http")),
        (&asks, true, Some("leave --http out")),
        (&other, false, None),
        (&other, true, None),
    ] {
        let hint = hint(&owned(imports), has_filter);
        assert_eq!(hint.is_some(), word.is_some(), "{imports:?}");
        assert!(word.is_none_or(|word| hint.is_some_and(|hint| hint.contains(word))));
    }
}

#[test]
fn who_has_come_to_the_wrong_version_is_told_what_to_take() {
    const P2: &[&str] = &[
        "edgepass:credentials-p2/credential-provider@0.2.0",
        "edgepass:credentials-p2/status@0.2.0",
    ];
    let standalone = [EXPORTED, &["wasi:cli/run@0.3.0"]].concat();
    let filter: &[&str] = &["wasi:http/client@0.3.0", "wasi:http/handler@0.3.0"];
    let asks = "edgepass:credentials/credential-provider@0.2.0";
    let asks_p2 = "edgepass:credentials-p2/credential-provider@0.2.0";
    let sends = "wasi:http/client@0.3.0";
    let sends_p2 = "wasi:http/outgoing-handler@0.2.6";
    let both_p2 =
        "edgepass:credentials-p2/credential-provider@0.2.0 wasi:http/outgoing-handler@0.2.10";
    let both = "edgepass:credentials/credential-provider@0.2.0 wasi:http/outgoing-handler@0.2.10";
    for (import, exports, is_filter, words) in [
        (
            asks_p2,
            EXPORTED,
            false,
            &["0.2", "credential-provider-p2.wasm"][..],
        ),
        (both_p2, P2, false, &[]),
        (both, EXPORTED, false, &[]),
        (both_p2, EXPORTED, false, &["credential-provider-p2.wasm"]),
        (both, P2, false, &["0.3", "leave --provider out"]),
        (both_p2, filter, true, &["leave --http out"]),
        (
            asks_p2,
            &standalone,
            false,
            &[
                "0.2",
                "leave --standalone out",
                "credential-provider-p2.wasm",
            ],
        ),
        (
            asks_p2,
            filter,
            true,
            &["0.2", "leave --http out", "credential-provider-p2.wasm"],
        ),
        (asks, P2, false, &["0.3", "leave --provider out"]),
        (
            sends_p2,
            EXPORTED,
            false,
            &["0.2", "asks nobody", "edgepass run"],
        ),
        (sends_p2, filter, true, &["0.2", "edgepass run"]),
        // what is answered, or nothing that the other version has
        (asks_p2, P2, false, &[]),
        (asks, EXPORTED, false, &[]),
        (asks, filter, true, &[]),
        (sends, P2, false, &[]),
        ("edgepass:credentials/types@0.2.0", P2, false, &[]),
    ] {
        let imports: Vec<_> = import.split(' ').collect();
        let (imports, exports) = (owned(&imports), owned(exports));
        let exporter = Exporter {
            exports: &exports,
            is_filter,
        };
        let found = other_version(&imports, &exporter);
        let said = found.map_or_else(String::new, |found| {
            assert_ne!(found.version, found.other);
            format!("{} {}", found.version, found.hint)
        });
        assert_eq!(said.is_empty(), words.is_empty(), "{import}: {said}");
        for word in words {
            assert!(said.contains(word), "{import}: {word}: {said}");
        }
    }
}
