//! `edgepass envoy-config`: prints the configuration of an Envoy that runs the filter with a configuration.

mod bootstrap;
mod capabilities;
mod check;
mod document;
mod envoy;
mod manifests;
mod plan;
mod upstream;
mod volume;

use std::path::{Path, PathBuf};

use edgepass::{Environment, process_environment};

use self::plan::{Given, Plan};
pub(crate) use self::upstream::Upstream;
use super::arguments::{EnvoyConfigArguments, EnvoyFormat};
use super::failure::{Failure, Warnings};
use super::{config, output, watch};

/// The cluster of the listener that serves files to the filter, unless the configuration names one.
const FILES_CLUSTER: &str = "token_files";

/// A configuration of Envoy, bytes: far more than anybody writes.
const ENVOY_BYTES: u64 = 16 * 1024 * 1024;

/// The longest name that a socket can have, bytes (`sun_path` of Linux with its end).
const SOCKET_NAME_BYTES: usize = 107;

/// Prints it.
pub(crate) fn run(
    arguments: &EnvoyConfigArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let source = arguments.config.or_file(arguments.file.as_ref());
    let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if is_stdin(&source.config) && is_stdin(&arguments.check) {
        return Err(Failure::setting(
            "--check",
            "is standard input, and so is the configuration",
            "give one of the two as a file",
        ));
    }
    let document = config::required(&source)?;
    warnings.add(document.notes());
    let environment = document.environment(&process_environment());
    let done = run_with(&document.text, &environment, arguments, warnings);
    done.map_err(|failure| config::located(failure, Some(&document)))
}

fn run_with(
    json: &str,
    environment: &Environment,
    arguments: &EnvoyConfigArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let arguments = &manifests::usual(arguments);
    let given = Given {
        upstreams: &arguments.upstream,
        naming: manifests::naming(arguments),
        module: manifests::module(arguments),
        as_upstream_filter: arguments.upstream_filter,
    };
    // it is looked for where volumes are mounted
    let _waiting = watch::file("a file or folder that the configuration names");
    if let Some(file) = &arguments.check {
        return compare(json, environment, file, arguments);
    }
    let plan = Plan::of(json, environment, given)?;
    warnings.add(&plan.warnings);
    let text = match &arguments.certificate {
        Some(name) => bootstrap::certificate(&plan, name, arguments)?,
        None => {
            check(&plan, arguments)?;
            if !arguments.file_server {
                warnings.add(&all_at_start(&plan));
            }
            match (arguments.only, arguments.format) {
                (Some(part), _) => {
                    warnings.add(&absent(&plan, arguments));
                    bootstrap::part(&plan, part, arguments)?
                }
                (None, EnvoyFormat::Envoy) => {
                    warnings.add(&absent(&plan, arguments));
                    bootstrap::write(&plan, arguments)?
                }
                (None, _) => manifests::write(&plan, arguments)?,
            }
        }
    };
    output::write(text.as_bytes())
}

/// Says what of a file that is there does not fit.
fn compare(
    json: &str,
    environment: &Environment,
    file: &Path,
    arguments: &EnvoyConfigArguments,
) -> Result<(), Failure> {
    let text = if file.as_os_str() == "-" {
        config::read_stdin("Envoy's configuration", ENVOY_BYTES)?
    } else {
        config::read_file(file, "--check", "configuration of Envoy", ENVOY_BYTES)?
    };
    let text = String::from_utf8(text).map_err(|_| {
        Failure::setting(
            "--check",
            "is not UTF-8 text",
            "give the file that Envoy is started with",
        )
    })?;
    let found = check::findings(json, environment, arguments, &text)?;
    if found.is_empty() {
        return output::write(b"it fits the configuration\n");
    }
    let lines: String = found.iter().map(|line| format!("{line}\n")).collect();
    output::write(lines.as_bytes())?;
    Err(Failure::setting(
        "--check",
        format!(
            "the file does not fit the configuration in {} place{}",
            found.len(),
            if found.len() == 1 { "" } else { "s" }
        ),
        "standard output says where",
    ))
}

/// What Envoy would refuse without saying why.
fn check(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<(), Failure> {
    let Some(files) = &plan.files else {
        return Ok(());
    };
    let socket = bootstrap::socket(files, arguments);
    if socket.len() > SOCKET_NAME_BYTES {
        return Err(Failure::setting(
            "--socket-dir",
            format!("makes the name of the socket longer than {SOCKET_NAME_BYTES} bytes"),
            "choose a folder with a shorter path",
        ));
    }
    let moved = |file: &&plan::ServedFile| {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        name(&file.path) != name(&file.request_path)
    };
    if arguments.file_server && files.served.iter().any(|file| moved(&file)) {
        return Err(Failure::setting(
            "envoy.files",
            "its prefixes change the name of a file, and with --file-server only its folder can change",
            "end strip_prefix and add_prefix at a folder, or leave them out",
        ));
    }
    Ok(())
}

/// The files of lists of credentials, of which one may be meant to be missing: Envoy does not start without a file that a
/// listener serves by a route of its own.
fn all_at_start(plan: &Plan) -> Vec<String> {
    let warn = |(identity, files): &(String, Vec<(String, String)>)| {
        let files = files.iter();
        let files: Vec<_> = files
            .map(|(setting, path)| format!("{setting} ({path})"))
            .collect();
        format!(
            "identity {identity} has several credentials, and Envoy does not start unless all of their files are there: {}; with --file-server they are read when they are needed",
            files.join(", ")
        )
    };
    plan.files_of_lists.iter().map(warn).collect()
}

/// What nobody has said, and is not there: Envoy may run on another machine, or it will not start.
fn absent(plan: &Plan, arguments: &EnvoyConfigArguments) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |option: &str, value: &str, usual: &[&str]| {
        let _waiting = watch::file(watch::named("file", Path::new(value), option));
        if usual.contains(&value) && !Path::new(value).exists() {
            found.push(format!("{option} ({value})"));
        }
    };
    look(
        "--wasm",
        &arguments.wasm,
        &[EnvoyConfigArguments::WASM, EnvoyConfigArguments::FULL_WASM],
    );
    look(
        "--ca-file",
        &arguments.ca_file,
        &[EnvoyConfigArguments::CA_FILE],
    );
    if plan.files.is_some() {
        look(
            "--socket-dir",
            &arguments.socket_dir,
            &[EnvoyConfigArguments::SOCKET_DIR],
        );
    }
    if found.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "this machine does not have what is meant where an option is left out: {}; give the paths of Envoy's machine",
        found.join(", ")
    )]
}

#[cfg(test)]
mod tests {
    use edgepass::Environment;

    use super::*;

    #[test]
    fn the_files_of_a_list_are_named_that_have_to_be_there() {
        let json = r#"{"identities": {"app": {"tenant_id": "t.example", "client_id": "c", "credential": CREDENTIAL}},
            "certificates": {"k": {"certificate_file": "/k.pem", "private_key_file": "/k.key"}},
            "envoy": {"rules": [{"scopes": ["https://graph.microsoft.com/.default"]}]}}"#;
        let token = r#"{"federated_token_file": {"path": "/t"}}"#;
        let key = r#"{"certificate": {"name": "k", "algorithm": "RS256"}}"#;
        let secret = r#"{"client_secret": {"file": "/s"}}"#;
        let environment = Environment::default();
        for (credentials, named) in [
            (vec![token], vec![]),
            (vec![key], vec![]),
            (
                vec![token, secret],
                vec![
                    "identities.app.credential[0].federated_token_file.path (/t)",
                    "identities.app.credential[1].client_secret.file (/s)",
                ],
            ),
            (
                vec![key, token],
                vec![
                    "identities.app.credential[1].federated_token_file.path (/t)",
                    "certificates.k.certificate_file (/k.pem)",
                    "certificates.k.private_key_file (/k.key)",
                ],
            ),
        ] {
            let list = format!("[{}]", credentials.join(","));
            let json = json.replace("CREDENTIAL", &list);
            let plan = Plan::of(&json, &environment, Given::default());
            let plan = plan.unwrap_or_else(|error| panic!("{list}: {:?}", error.exit_status()));
            let found = all_at_start(&plan).concat();
            assert_eq!(found.is_empty(), named.is_empty(), "{list}: {found}");
            for name in named {
                assert!(found.contains(name), "{list}: {found}");
            }
        }
    }
}
