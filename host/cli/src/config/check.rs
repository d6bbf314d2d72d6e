//! `edgepass config check`.

use std::collections::BTreeSet;
use std::path::Path;

use edgepass::needs::FilePattern;
use edgepass::{
    Config, ConfigError, CredentialRef, CredentialTrial, Environment, process_environment,
};
use edgepass_core::config::ENVIRONMENT_IDENTITY;
use edgepass_rules::http::HttpSettings;
use edgepass_settings::unfilled;

use super::explain::unknown_certificates;
use super::read::read_path;
use super::{
    Document, authorities, builder, environment, explained, located, narrate, not_built, read,
    warn_of_unread,
};
use crate::arguments::CheckArguments;
use crate::failure::{Failure, Mistake, Warnings};
use crate::{mistakes, output, watch};

/// Checks the configuration whole, and says what it means. Files that only a running pod has are worth a warning and
/// not a failure: the check also runs where the configuration is written.
pub(crate) fn check(
    arguments: &CheckArguments,
    quiet: bool,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let document = match &arguments.file {
        Some(path) => Some(read_path(path, arguments.config.config_format)?),
        None => read(&arguments.config)?,
    };
    let checked = check_document(arguments, document.as_ref(), quiet, warnings);
    checked.map_err(|failure| located(failure, document.as_ref()))
}

fn check_document(
    arguments: &CheckArguments,
    document: Option<&Document>,
    quiet: bool,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let json = document.map(|document| document.text.as_str());
    let process = process_environment();
    let environment = environment(document, &process);
    let config = match Config::load(json, &environment) {
        Ok(config) => config,
        Err(_) => {
            if let Some(other) = document.and_then(Document::mistaken) {
                return Err(Failure::Mistakes(vec![other]));
            }
            warn_of_unread(json, &environment, warnings);
            let all = mistakes::all(json, &environment).into_iter();
            return Err(Failure::Mistakes(
                all.map(|error| explained(error, document)).collect(),
            ));
        }
    };
    let rules = config.http.is_some().then(|| HttpSettings::check(&config));
    let rules = match rules.transpose() {
        Ok(rules) => rules,
        Err(error) => return Err(Failure::Mistakes(vec![explained(error, document)])),
    };
    narrate(document, &process, &environment, None);
    let unknown = unknown_certificates(&config);
    if !unknown.is_empty() {
        return Err(Failure::Mistakes(unknown));
    }
    let builder = builder(document, &environment);
    let waiting = authorities(None, json).map(watch::file);
    let host = builder.build_host();
    drop(waiting);
    let host = host.map_err(|error| not_built(error, document, &environment))?;
    // of one whose server hangs the name is known here
    for (path, setting) in files(&config) {
        let _waiting = watch::file(watch::named("file", Path::new(&path), &setting));
        // what is wrong with it is found by whoever reads it
        let _ = std::fs::metadata(path);
    }
    let waiting = watch::file("a file that the configuration names");
    let problems = host.problems();
    drop(waiting);
    let misplaced = misplaced(document, &environment, &config);
    let notes = document.map_or(&[][..], Document::notes);
    let doubts: Vec<String> = [notes, host.warnings(), &problems, &misplaced].concat();
    if arguments.strict && !doubts.is_empty() {
        let mistake = |message| Mistake {
            setting: None,
            place: None,
            message,
            hint: None,
        };
        return Err(Failure::Mistakes(doubts.into_iter().map(mistake).collect()));
    }
    let Tried {
        credentials: trials,
        store,
    } = match arguments.try_credentials {
        true => try_all(&environment, &config, document)?,
        false => Tried::default(),
    };
    let of_store = store.iter().flatten().cloned();
    let of_store = of_store.map(|fault| explained(fault, document));
    let without: Vec<&(String, Vec<CredentialTrial>)> = trials
        .iter()
        .filter(|(_, trials)| !trials.is_empty() && trials.iter().all(|t| t.problem.is_some()))
        .collect();
    let mut failed = Vec::from_iter(of_store);
    if !without.is_empty() {
        let mistakes = without.into_iter().flat_map(|(identity, trials)| {
            trials.iter().filter_map(move |trial| {
                let error = trial.problem.as_ref()?;
                Some(Mistake {
                    setting: None,
                    place: None,
                    message: format!(
                        "identity {identity}: {} is not ready: {error}",
                        trial.credential
                    ),
                    hint: error.detail().hint.clone(),
                })
            })
        });
        failed.extend(mistakes);
    }
    if !failed.is_empty() {
        return Err(Failure::Mistakes(failed));
    }
    if quiet {
        return Ok(());
    }

    let mut out = match &config.default_identity {
        Some(name) => {
            format!("the configuration is good; requests that name no identity use {name}\n")
        }
        None => "the configuration is good; requests must name one of its identities\n".to_owned(),
    };
    for identity in config.identities.values() {
        out.push_str(&format!("identity {}\n", identity.name));
        for (what, value) in identity.describe() {
            out.push_str(&format!("  {what}: {value}\n"));
        }
    }
    let of_users = document.map_or(&[][..], Document::scopes_of_users);
    if !of_users.is_empty() {
        out.push_str(&format!(
            "requests for users that name no scope ask for {}; the app's own name theirs\n",
            of_users.join(" ")
        ));
    }
    for (identity, trials) in &trials {
        for trial in trials {
            out.push_str(&match &trial.problem {
                None => format!("identity {identity}: {} is ready\n", trial.credential),
                Some(error) => {
                    format!(
                        "warning: identity {identity}: {} is not ready: {error:#}\n",
                        trial.credential
                    )
                }
            });
        }
        if trials.is_empty() {
            out.push_str(&format!(
                "identity {identity}: not tried: it asks the platform for each token\n"
            ));
        }
    }
    if store.is_some() {
        out.push_str("the token store is ready: it took an entry and gave it back\n");
    }
    if let Some(rules) = &rules {
        out.push_str("requests of an application get a token by the first rule that fits\n");
        for (index, rule) in rules.describe().enumerate() {
            out.push_str(&format!("  {index}: {rule}\n"));
        }
    }
    let connections = config.needs().connections.into_iter();
    let hosts: BTreeSet<String> = connections.map(|c| c.permission.authority).collect();
    out.push_str(&format!(
        "token requests go to {}\n",
        Vec::from_iter(hosts).join(", ")
    ));
    if let Some(way) = host.proxied() {
        out.push_str(&format!("https goes {way}\n"));
    }
    for doubt in doubts {
        out.push_str(&format!("warning: {doubt}\n"));
    }
    output::write(out.as_bytes())
}

/// What came of trying.
#[derive(Default)]
struct Tried {
    /// Each identity and how ready its credentials are.
    credentials: Vec<(String, Vec<CredentialTrial>)>,
    /// What of the token store does not work, if there is one.
    store: Option<Vec<ConfigError>>,
}

fn try_all(
    environment: &Environment,
    config: &Config,
    document: Option<&Document>,
) -> Result<Tried, Failure> {
    let builder = builder(document, environment);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| Failure::setup(format!("no tokio runtime: {e}")))?;
    let trials = runtime.block_on(async {
        let provider = builder.build().await;
        let provider = provider.map_err(|error| not_built(error, document, environment))?;
        let store = provider.try_token_store().await;
        let mut credentials = Vec::new();
        for name in config.identities.keys() {
            let trials = provider.try_credentials(Some(name)).await;
            // one identity that cannot be tried hides no other
            let trials = trials.unwrap_or_else(|error| {
                vec![CredentialTrial {
                    credential: CredentialRef {
                        kind: "its credentials".to_owned(),
                        name: None,
                    },
                    description: String::new(),
                    problem: Some(error),
                }]
            });
            credentials.push((name.clone(), trials));
        }
        Ok(Tried { credentials, store })
    });
    // do not wait for what still runs: a file system that hangs, for one
    runtime.shutdown_background();
    trials
}

/// The files that the configuration names, each with its setting.
fn files(config: &Config) -> Vec<(String, String)> {
    let needs = config.needs();
    let read = needs.files.into_iter().filter_map(|file| match file.path {
        FilePattern::Exact(path) => Some((path, file.setting)),
        _ => None,
    });
    let certificates = config.certificates.iter().flat_map(|(name, files)| {
        let setting =
            |field: &str| match config.is_of_the_environment() && name == ENVIRONMENT_IDENTITY {
                true => Environment::AZURE_CLIENT_CERTIFICATE_PATH.to_owned(),
                false => format!("certificates.{name}.{field}"),
            };
        let certificate = (files.certificate_file.clone(), setting("certificate_file"));
        let key = files.private_key_file.clone();
        let password = files.password_file.clone();
        std::iter::once(certificate)
            .chain(key.map(|key| (key, setting("private_key_file"))))
            .chain(password.map(|path| (path, setting("password_file"))))
    });
    read.chain(certificates).collect()
}

/// What stands where a value belongs and is most likely none, a line each: the path of a file, a place that nobody has filled
/// in. A secret may look like one, so it is no mistake.
fn misplaced(
    document: Option<&Document>,
    environment: &Environment,
    config: &Config,
) -> Vec<String> {
    let files = files(config);
    let is_misplaced = |value: &str| {
        let path = Path::new(value);
        if !path.is_absolute() || files.iter().any(|(file, _)| file == value) {
            return false;
        }
        let _waiting = watch::file("a file whose path stands where a value belongs");
        path.is_file()
    };
    let doubt = |value: &str| {
        if is_misplaced(value) {
            return Some("is the path of a file, and is taken for the value itself");
        }
        if unfilled::is_place(value) {
            return Some(
                "was never filled in: all of it is the place for a value; write the value itself, and see to it that what \
                 should replace it (shell, Helm, envsubst, App Service) does",
            );
        }
        unfilled::is_in_quotes(value).then_some(
            "is in quotes, which are taken for part of the value: outside of a shell, in an env file for example, write it \
             without",
        )
    };
    let mut found = Vec::new();
    let json = document.map(|document| document.text.as_str());
    if let Some(document) = json.and_then(|json| serde_json::from_str(json).ok()) {
        each_value("", &document, &mut |place, value| {
            if let Some(doubt) = doubt(value) {
                let instead = match is_misplaced(value) {
                    true => ": `file` has a file read",
                    false => "",
                };
                found.push(format!("{place} {doubt}{instead}"));
            }
        });
    }
    let of_certificates = config.certificates.values();
    let mut variables: Vec<String> = of_certificates
        .filter_map(|files| files.password_env.clone())
        .collect();
    let needed = config.needs().variables.into_iter();
    variables.extend(needed.map(|variable| variable.name));
    variables.sort();
    variables.dedup();
    for variable in variables {
        let Some(doubt) = environment.get(&variable).and_then(doubt) else {
            continue;
        };
        // of other settings it is known where the value stands
        let imported = document.and_then(|document| document.imported.as_ref());
        let error = ConfigError::new(variable, doubt);
        let error = match imported {
            Some(imported) => imported.explain(error),
            None => error,
        };
        found.push(format!("{} {doubt}", error.setting));
    }
    found
}

/// Every text in a document whose name is `value`, with its place.
fn each_value(place: &str, document: &serde_json::Value, take: &mut dyn FnMut(&str, &str)) {
    match document {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                let place = match place {
                    "" => name.clone(),
                    place => format!("{place}.{name}"),
                };
                match field.as_str() {
                    Some(text) if name == "value" => take(&place, text),
                    _ => each_value(&place, field, take),
                }
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_value(&format!("{place}[{index}]"), item, take);
            }
        }
        _ => {}
    }
}
