//! What an application may import that the provider is plugged into.
//!
//! Composed, the two are one component with one list of imports, and whoever runs it links them for both: the host
//! cannot tell who reads the token file. So what the provider imports to reach the world is the provider's alone, unless
//! the author of the composition says otherwise by name.

use wac_graph::types::are_semver_compatible;

use crate::Error;

/// Interfaces that both may import, because what one does with them takes nothing from the other.
const HARMLESS: &[&str] = &[
    // mathematics with public keys
    "edgepass:credentials/signatures",
    "edgepass:credentials/types",
    // what is written there is for whoever runs the composition
    "wasi:cli/stderr",
    "wasi:cli/stdout",
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

/// What becomes of an import that nobody has said anything about.
enum Verdict {
    /// It is answered, or takes nothing from the provider.
    Free,
    /// The application gets an empty one.
    Emptied,
    /// It reaches what the provider has, with the reason.
    Refused(&'static str),
}

/// Judges the imports of an application. `exported` is what the provider exports (those are plugged), `needed` what the
/// provider imports, `allowed` what the author lets the application have, with or without version. `has_settings` says that
/// the provider has its configuration from elsewhere than the environment, which then is the application's.
pub(crate) fn judge(
    imports: &[String],
    exported: &[String],
    needed: &[String],
    allowed: &[String],
    has_settings: bool,
) -> Result<Imports, Error> {
    let among =
        |names: &[String], import: &str| names.iter().any(|name| base(name) == base(import));
    let verdict = |import: &str| {
        if among(exported, import) || HARMLESS.contains(&base(import)) {
            return Verdict::Free;
        }
        if is_environment(import) {
            return match has_settings {
                true => Verdict::Free,
                false => Verdict::Emptied,
            };
        }
        let known = REACHING.iter().find(|(name, _)| *name == base(import));
        match known {
            Some((_, why)) => Verdict::Refused(why),
            None if among(needed, import) || is_ours(import) => {
                Verdict::Refused("which is the provider's to use")
            }
            None => Verdict::Free,
        }
    };
    for name in allowed {
        let mut meant = imports.iter().filter(|import| means(name, import));
        let Some(first) = meant.next() else {
            let mut near = imports.iter().filter(|import| is_near(name, import));
            let near = near.find(|import| !matches!(verdict(import), Verdict::Free));
            return Err(Error::NotImported {
                allowed: name.clone(),
                fix: match near {
                    Some(import) => format!("write `--allow {}`", base(import)),
                    None => format!("leave `--allow {name}` out"),
                },
            });
        };
        let is_free = |import: &String| matches!(verdict(import), Verdict::Free);
        if is_free(first) && meant.all(is_free) {
            return Err(Error::Free {
                import: first.clone(),
                allowed: name.clone(),
                reason: if among(exported, first) {
                    "is answered by the composition itself"
                } else {
                    "is refused to no application"
                },
            });
        }
    }
    let mut judged = Imports::default();
    let mut refused = Vec::new();
    for import in imports {
        if allowed.iter().any(|name| means(name, import)) {
            continue;
        }
        match verdict(import) {
            Verdict::Free => {}
            Verdict::Emptied => judged.emptied.push(import.clone()),
            Verdict::Refused(why) => refused.push(format!("{import}, {why}")),
        }
    }
    if !refused.is_empty() {
        let of = |text: &str| base(text.split(',').next().unwrap_or_default()).to_owned();
        let flags: Vec<String> = refused
            .iter()
            .map(|text| format!("--allow {}", of(text)))
            .collect();
        return Err(Error::Reaching { refused, flags });
    }
    Ok(judged)
}

/// Whether that is the environment, of any version of WASI.
pub(crate) fn is_environment(import: &str) -> bool {
    base(import) == ENVIRONMENT
}

/// Interfaces of this package that a provider imports, and applications have no use for.
const OF_PROVIDERS: &[&str] = &["assertion-source", "host-certificates", "token-file"];

/// Interfaces of this package that applications import.
const OF_APPLICATIONS: &[&str] = &["credential-provider", "opaque-tokens", "status"];

/// What applications of WASI 0.2 export, whose functions return before anything else runs.
const WITHOUT_WAITING: &[&str] = &["wasi:cli/run", "wasi:http/incoming-handler"];

/// Whether somebody who exports that is a provider.
pub(crate) fn is_provider(exports: &[String]) -> bool {
    let mut names = exports.iter().filter_map(|export| ours(export));
    names.any(|name| name == "credential-provider")
}

/// Whether somebody who imports that has a provider inside.
pub(crate) fn is_composed(imports: &[String]) -> bool {
    let ours: Vec<_> = imports.iter().filter_map(|import| ours(import)).collect();
    OF_PROVIDERS.iter().all(|name| ours.contains(name))
        && !OF_APPLICATIONS.iter().any(|name| ours.contains(name))
}

/// The imports that are among the exports, of a version that fits.
pub(crate) fn answered<'i>(imports: &'i [String], exported: &[String]) -> Vec<&'i String> {
    let fits = |import: &String, export: &String| {
        import == export || are_semver_compatible(import, export)
    };
    let answered = |import: &&String| exported.iter().any(|export| fits(import, export));
    imports.iter().filter(answered).collect()
}

/// Somebody whose exports are to answer an application, and what was asked for beside it.
pub(crate) struct Exporter<'a> {
    pub(crate) exports: &'a [String],
    /// It is the HTTP filter, in front of a provider.
    pub(crate) is_filter: bool,
}

/// An import over one version of WASI, where the exporter has the like over the other alone.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct OtherVersion<'a> {
    pub(crate) import: &'a String,
    /// That of the import.
    pub(crate) version: &'static str,
    /// That of the exporter.
    pub(crate) other: &'static str,
    /// What helps.
    pub(crate) hint: &'static str,
}

/// Why an application has come to the wrong version of WASI, if it has.
pub(crate) fn other_version<'i>(
    imports: &'i [String],
    exporter: &Exporter<'_>,
) -> Option<OtherVersion<'i>> {
    let find = |is: &dyn Fn(&str) -> bool| imports.iter().find(|import| is(import));
    let exports = |is: &dyn Fn(&str) -> bool| exporter.exports.iter().any(|export| is(export));
    let of_0_2 = |import, hint| {
        Some(OtherVersion {
            import,
            version: "0.2",
            other: "0.3",
            hint,
        })
    };
    if let Some(import) = find(&is_of_p2).filter(|_| !exports(&is_of_p2)) {
        let hint = if exporter.is_filter {
            "leave --http out: it asks for tokens itself; and take the provider over WASI 0.2, --provider wasm/credential-provider-p2.wasm of the release (dist/ in a clone)"
        } else if exports(&|export| base(export) == RUN) {
            "there is no standalone provider over WASI 0.2: leave --standalone out, and take --provider wasm/credential-provider-p2.wasm of the release (dist/ in a clone)"
        } else {
            "take the provider over WASI 0.2, --provider wasm/credential-provider-p2.wasm of the release (dist/ in a clone)"
        };
        return of_0_2(import, hint);
    }
    let asks_over_0_3 =
        |import: &str| import.starts_with(OURS) && OF_APPLICATIONS.contains(&name_of(import));
    if let Some(import) = find(&asks_over_0_3).filter(|_| exports(&is_of_p2)) {
        return Some(OtherVersion {
            import,
            version: "0.3",
            other: "0.2",
            hint: PROVIDER_OF_0_3,
        });
    }
    // one that asks for tokens itself is answered, whatever else it sends
    if !exporter.is_filter && imports.iter().any(|import| asks(import)) {
        return None;
    }
    let import = find(&|import| base(import) == "wasi:http/outgoing-handler")?;
    of_0_2(
        import,
        if exporter.is_filter {
            "run it by `edgepass run` or `edgepass serve-http`, which put tokens on the requests of both"
        } else {
            "it asks nobody for tokens; `edgepass run` and `edgepass serve-http` put them on its requests"
        },
    )
}

/// Whether an application that imports that asks for tokens itself.
pub(crate) fn asks(import: &str) -> bool {
    ours(import).is_some_and(|name| OF_APPLICATIONS.contains(&name))
}

/// What to take in the place of a provider over WASI 0.2.
const PROVIDER_OF_0_3: &str =
    "leave --provider out: that of the release, credential-provider.wasm, is over WASI 0.3";

/// What a standalone provider exports beside what every provider does.
const RUN: &str = "wasi:cli/run";

/// The package over WASI 0.3, before the name of an interface.
const OURS: &str = "edgepass:credentials/";

/// Whether that is an interface of the package over WASI 0.2.
fn is_of_p2(name: &str) -> bool {
    name.starts_with("edgepass:credentials-p2/")
}

/// The name of an interface without its package and version.
fn name_of(import: &str) -> &str {
    base(import).split_once('/').map_or("", |(_, name)| name)
}

/// What would help an application none of whose imports is answered.
pub(crate) fn hint(imports: &[String], has_filter: bool) -> Option<&'static str> {
    let has = |name: &str| imports.iter().any(|import| base(import) == name);
    let asks = imports.iter().any(|import| asks(import));
    if !has_filter && has("wasi:http/client") {
        Some("with --http its own requests get tokens")
    } else if has_filter && asks {
        Some("it asks for tokens itself, so leave --http out")
    } else {
        None
    }
}

/// An export whose functions cannot wait, if it is all that there is to call.
pub(crate) fn cannot_wait(exports: &[String]) -> Option<&String> {
    let is = |export: &&String| {
        let version = export.split_once('@').map_or("", |(_, version)| version);
        WITHOUT_WAITING.contains(&base(export)) && version.starts_with("0.2")
    };
    let found = exports.iter().find(is)?;
    exports.iter().all(|export| is(&export)).then_some(found)
}

/// The name of an interface of these packages, over any version of WASI.
fn ours(import: &str) -> Option<&str> {
    let (package, name) = base(import).split_once('/')?;
    is_ours(package).then_some(name)
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

/// Whether what the author wrote is a part of the name of that import: its package, with the version or without, or the
/// interface without the whole of that.
fn is_near(written: &str, import: &str) -> bool {
    let (written, import) = (base(written), base(import));
    let written = written.trim_end_matches(['/', '*']);
    let before = import.strip_suffix(written);
    let behind = import.strip_prefix(written);
    !written.is_empty()
        && (behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || before.is_some_and(|rest| rest.ends_with([':', '/'])))
}

/// Of the packages of these interfaces, over any version of WASI.
fn is_ours(import: &str) -> bool {
    import.starts_with("edgepass:credentials")
}

#[cfg(test)]
mod tests;
