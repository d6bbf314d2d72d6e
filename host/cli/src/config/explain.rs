//! What is wrong with a configuration, said of whatever it was given as.

use edgepass::{BuildError, Config, ConfigError, Environment};

use super::{Document, WHOLE};
use crate::failure::{Failure, Mistake};

/// A failure with the places of its settings in the document, and what the document's format has to do with it.
pub(crate) fn located(failure: Failure, document: Option<&Document>) -> Failure {
    let Some(source) = document.and_then(|document| document.source.as_ref()) else {
        return failure;
    };
    failure.with_each(|mistake| {
        if mistake.place.is_none() {
            mistake.place = mistake.setting.as_deref().and_then(|s| source.place(s));
        }
        if mistake.place.is_some() && mistake.hint.is_none() {
            mistake.hint = source.hint(&mistake.message).map(str::to_owned);
        }
    })
}

/// What is wrong, with the place, and with the file's name where it is the file as a whole.
pub(crate) fn explained(error: ConfigError, document: Option<&Document>) -> Mistake {
    let Some(document) = document else {
        return Mistake::from(error.into_detail());
    };
    if let Some(imported) = &document.imported {
        return Mistake::from(imported.explain(error).into_detail());
    }
    let Some(source) = &document.source else {
        return Mistake::from(error.into_detail());
    };
    if let Some(other) = document.mistaken() {
        return other;
    }
    // the library has read what it was made into, and knows no other places
    let detail = error.into_detail();
    let is_whole = detail.setting == WHOLE;
    if let Some(guessed) = source.looks_otherwise().filter(|_| is_whole) {
        let name = guessed.name();
        return Mistake {
            setting: Some(document.name.clone()),
            place: None,
            message: format!("is {name} by its look, and was read as JSON"),
            hint: Some(match document.setting {
                Environment::EDGEPASS_CONFIG_JSON => {
                    "write it as JSON, or into a file that EDGEPASS_CONFIG names".to_owned()
                }
                _ => format!(
                    "give the file the ending .{word}, or say --config-format {word}",
                    word = name.to_lowercase()
                ),
            }),
        };
    }
    let bare = ConfigError::new(detail.setting, detail.message);
    let bare = match detail.hint {
        Some(hint) => bare.hint(hint),
        None => bare,
    };
    let mut mistake = Mistake::from(source.explain(bare).into_detail());
    if is_whole {
        mistake.message = format!("{}: {}", document.name, mistake.message);
    }
    mistake
}

/// Why nothing can be built of a configuration.
pub(crate) fn not_built(
    error: BuildError,
    document: Option<&Document>,
    environment: &Environment,
) -> Failure {
    match error {
        BuildError::Config(error) => {
            let other = document.and_then(Document::mistaken);
            Failure::Mistakes(vec![other.unwrap_or_else(|| explained(error, document))])
        }
        BuildError::Certificate { .. } => {
            let json = document.map(|document| document.text.as_str());
            let unknown =
                Config::load(json, environment).map(|config| unknown_certificates(&config));
            match unknown {
                Ok(unknown) if !unknown.is_empty() => Failure::Mistakes(unknown),
                _ => Failure::setup(error.to_string()),
            }
        }
        other => other.into(),
    }
}

/// Certificates that credentials name and nobody has.
pub(super) fn unknown_certificates(config: &Config) -> Vec<Mistake> {
    let unknown = config.unresolved_certificates();
    let known: Vec<&str> = config.certificates.keys().map(String::as_str).collect();
    let needs = config.needs().certificates.into_iter();
    needs
        .filter(|need| unknown.contains(&need.name))
        .map(|need| Mistake {
            message: format!("is `{}`, which is not among the certificates", need.name),
            hint: Some(match known.as_slice() {
                _ if is_file_name(&need.name) => format!(
                    "write \"certificates\": {{\"NAME\": {{\"certificate_file\": \"/…/{}\"}}}}, and that name here",
                    need.name
                ),
                [] => format!("write its files under certificates.{}", need.name),
                known => format!(
                    "name one of: {}; or write its files under certificates.{}",
                    known.join(", "),
                    need.name
                ),
            }),
            setting: Some(need.setting),
            place: None,
        })
        .collect()
}

/// Whether what should be the name of a certificate is that of a file with one.
fn is_file_name(name: &str) -> bool {
    let endings = [".pem", ".pfx", ".p12", ".crt", ".cer", ".key"];
    endings.iter().any(|ending| name.ends_with(ending))
}
