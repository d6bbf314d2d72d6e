//! The configuration of a command: what it was given as, and what is done with it.

mod check;
mod explain;
mod narrate;
mod print;
mod read;

use edgepass::{Builder, Environment, Provider};
use edgepass_settings::recognise::Kind;
use edgepass_settings::{Imported, formats};
use zeroize::Zeroizing;

use super::failure::{Failure, Mistake, Warnings};

pub(crate) use self::check::check;
pub(crate) use self::explain::{explained, located, not_built};
pub(crate) use self::narrate::{authorities, narrate, narrate_credentials};
pub(crate) use self::print::{convert, schema};
pub(crate) use self::read::{read, read_file, read_stdin, required};

/// What the engine calls the document.
const WHOLE: &str = "configuration";

/// A configuration as it was given.
pub(crate) struct Document {
    /// The JSON text, whatever it was written in or made of.
    pub(crate) text: Zeroizing<String>,
    /// What was read, with its places; nothing where it was made of other settings.
    source: Option<formats::Document>,
    /// What it is called: the file, mostly.
    name: String,
    /// What named it.
    setting: &'static str,
    /// What it was made of, if it is no configuration of edgepass itself.
    imported: Option<Imported>,
}

impl Document {
    /// The mistake of a file that is none of edgepass's. It was made of JSON, and has its names.
    fn mistaken(&self) -> Option<Mistake> {
        self.source.as_ref()?;
        read::mistaken(&self.text, &self.name, Kind::Configuration)
    }

    /// The environment that it is to be loaded with, of a process with this one.
    pub(crate) fn environment(&self, process: &Environment) -> Environment {
        match &self.imported {
            Some(imported) => imported.environment(process.clone()),
            None => process.clone(),
        }
    }

    /// What the document itself does not hold: variables that it names and that nobody has set, because other settings have
    /// their values; and what of it no file for others should hold.
    fn held_apart(&self, process: &Environment) -> Vec<String> {
        let Some(imported) = &self.imported else {
            return Vec::new();
        };
        let names = imported.variables();
        let unset = names.filter(|name| process.get(name).is_none());
        let mut lines: Vec<String> = unset
            .map(|name| {
                format!(
                    "the document takes a secret from the variable {name}, which is not set: {} has its value",
                    self.name
                )
            })
            .collect();
        if self.text.contains("certificate_base64") {
            lines.push(
                "the document holds a private key (certificate_base64): keep it as a secret, or write certificate_file"
                    .to_owned(),
            );
        }
        lines
    }

    /// The scopes of requests for users that name none, if those are none of the identity's own.
    pub(crate) fn scopes_of_users(&self) -> &[String] {
        let imported = self.imported.as_ref();
        imported.map_or(&[], Imported::scopes_of_users)
    }

    /// That requests of the app itself which name no scope have one, as far as settings are in the way.
    pub(crate) fn check_scopes_of_app(&self) -> Result<(), Failure> {
        let imported = self.imported.as_ref();
        let checked = imported.map_or(Ok(()), Imported::check_scopes_of_app);
        checked.map_err(read::not_imported)
    }

    /// What people should know of what it was made of.
    pub(crate) fn notes(&self) -> &[String] {
        self.imported
            .as_ref()
            .map_or(&[], |imported| &imported.notes)
    }
}

/// What is to be built of a configuration, in whose names it then speaks.
pub(crate) fn builder(document: Option<&Document>, environment: &Environment) -> Builder {
    let builder = Provider::builder().environment(environment.clone());
    match document {
        None => builder,
        Some(Document {
            imported: Some(imported),
            ..
        }) => builder.imported(imported.clone()),
        Some(document) => builder.config_json(document.text.as_str()),
    }
}

/// The environment that a configuration, if there is one, is to be loaded with, of a process with this one.
pub(crate) fn environment(document: Option<&Document>, process: &Environment) -> Environment {
    document.map_or_else(|| process.clone(), |document| document.environment(process))
}

/// Warnings for who has no working configuration: where nothing is written down, a variable that is not used may be the
/// one that was meant.
pub(crate) fn warn_of_unread(
    json: Option<&str>,
    environment: &Environment,
    warnings: &mut Warnings,
) {
    if json.is_none() {
        warnings.add(&environment.unread());
        warnings.add(&edgepass_settings::unread::of_other_programs(environment));
    }
}
