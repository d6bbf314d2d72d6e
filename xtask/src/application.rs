//! What an application may import that the provider is plugged into.
//!
//! Composed, the two are one component with one list of imports, and whoever runs it links them for both: the host
//! cannot tell who reads the token file. So what the provider imports to reach the world is the provider's alone, unless
//! the author of the composition says otherwise by name.

use anyhow::{Result, bail};

/// Interfaces that both may import, because what one does with them takes nothing from the other.
const HARMLESS: &[&str] = &[
    // mathematics with public keys
    "edgepass:credentials/signatures",
    "edgepass:credentials/types",
    // what is written there is for whoever runs the composition
    "wasi:cli/stderr",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/timezone",
    "wasi:clocks/types",
    "wasi:clocks/wall-clock",
    // folders and files come from `preopens` alone
    "wasi:filesystem/types",
    "wasi:http/types",
    // of what other interfaces hand out
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Interfaces by which what the provider works with is in reach, whether it imports them or not.
const REACHING: &[(&str, &str)] = &[
    (
        "edgepass:credentials/assertion-source",
        "whose assertions authenticate the provider's clients",
    ),
    (
        "edgepass:credentials/host-certificates",
        "which signs with the provider's certificates and sends on their connections",
    ),
    (
        "edgepass:credentials/token-file",
        "which reads the provider's token files",
    ),
    (
        "edgepass:credentials/token-store",
        "which holds the provider's tokens",
    ),
    (
        "wasi:filesystem/preopens",
        "which opens the folders of whoever runs the composition, token files among them",
    ),
    (
        "wasi:http/client",
        "whose requests leave with the provider's permissions, to the machine's metadata service among others",
    ),
    (
        "wasi:http/outgoing-handler",
        "whose requests leave with the provider's permissions, to the machine's metadata service among others",
    ),
];

/// The environment: that of the composition holds the provider's configuration, and variables with secrets.
const ENVIRONMENT: &str = "wasi:cli/environment";

/// What becomes of an application's imports.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Imports {
    /// The environments (of one or more versions of WASI) that it gets an empty one for.
    pub(crate) emptied: Vec<String>,
}

/// Judges the imports of an application. `exported` is what the provider exports (those are plugged), `needed` what the
/// provider imports, `allowed` what the author lets the application have, with or without version.
pub(crate) fn judge(
    imports: &[String],
    exported: &[String],
    needed: &[String],
    allowed: &[String],
) -> Result<Imports> {
    for name in allowed {
        if !imports.iter().any(|import| means(name, import)) {
            bail!("the application does not import {name}: leave `--allow {name}` out");
        }
    }
    let among =
        |names: &[String], import: &str| names.iter().any(|name| base(name) == base(import));
    if !imports.iter().any(|import| among(exported, import)) {
        bail!(
            "the application imports nothing that the provider exports: {}",
            exported.join(", ")
        );
    }
    let mut judged = Imports::default();
    let mut refused = Vec::new();
    for import in imports {
        if allowed.iter().any(|name| means(name, import))
            || among(exported, import)
            || HARMLESS.contains(&base(import))
        {
            continue;
        }
        if base(import) == ENVIRONMENT {
            judged.emptied.push(import.clone());
            continue;
        }
        let known = REACHING.iter().find(|(name, _)| *name == base(import));
        if let Some((_, why)) = known {
            refused.push(format!("{import}, {why}"));
        } else if among(needed, import) || is_ours(import) {
            refused.push(format!("{import}, which is the provider's to use"));
        }
    }
    if !refused.is_empty() {
        let of = |text: &str| base(text.split(',').next().unwrap_or_default()).to_owned();
        let flags: Vec<String> = refused
            .iter()
            .map(|text| format!("--allow {}", of(text)))
            .collect();
        bail!(
            "the application imports {}: take the import out of its world, or say that it may have what the provider has: `{}`",
            refused.join("; and "),
            flags.join(" ")
        );
    }
    Ok(judged)
}

/// An environment without variables, arguments and folder, exported under that name. It has the functions of every
/// version of WASI; who imports fewer does not mind.
pub(crate) fn empty_environment(name: &str) -> String {
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                ;; memory is zero: an empty list at 0, no text at 8
                (func (export "nothing") (result i32) i32.const 0)
                (func (export "none") (result i32) i32.const 8))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (type $variables (func (result (list (tuple string string)))))
            (type $arguments (func (result (list string))))
            (type $folder (func (result (option string))))
            (func $variables (type $variables) (canon lift (core func $i "nothing") (memory $memory)))
            (func $arguments (type $arguments) (canon lift (core func $i "nothing") (memory $memory)))
            (func $folder (type $folder) (canon lift (core func $i "none") (memory $memory)))
            (instance $environment
                (export "get-environment" (func $variables))
                (export "get-arguments" (func $arguments))
                (export "get-initial-cwd" (func $folder))
                (export "initial-cwd" (func $folder)))
            (export "{name}" (instance $environment)))"#
    )
}

/// Whether that interface has no function: a host need not link it.
pub(crate) fn has_types_alone(import: &str) -> bool {
    matches!(
        base(import),
        "edgepass:credentials/types" | "wasi:cli/types" | "wasi:clocks/types"
    )
}

/// The name without its version.
fn base(name: &str) -> &str {
    name.split_once('@').map_or(name, |(base, _)| base)
}

/// Whether what the author wrote is that import.
fn means(written: &str, import: &str) -> bool {
    let name = base(import);
    // of this project's own package the interface alone says it
    let short = name.strip_prefix("edgepass:credentials/");
    written == import || written == name || Some(written) == short
}

/// Of the packages of these interfaces, over any version of WASI.
fn is_ours(import: &str) -> bool {
    import.starts_with("edgepass:credentials")
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn an_application_that_wants_nothing_of_the_provider_is_none() {
        let refused = judged(&["wasi:cli/environment@0.3.0"], &[]).unwrap_err();
        assert!(refused.contains("credential-provider@0.2.0"), "{refused}");
    }

    #[test]
    fn the_empty_environment_is_a_component() {
        assert!(wat::parse_str(empty_environment("wasi:cli/environment@0.3.0")).is_ok());
    }
}
