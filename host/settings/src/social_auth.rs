//! python-social-auth's settings for Microsoft's identity platform (social-core 7.0.0): as variables, or as a settings
//! file, which is JSON, YAML, or a module in Python of plain assignments, as Django has it.
//!
//! The sources are `azuread.py`, `azuread_tenant.py`, `azuread_b2c.py` and `strategy.py` of social-core. Each backend that
//! has settings becomes an identity of the backend's name. What concerns the signing in of people has no part in getting
//! tokens for the program itself, and is left alone.

mod backends;
mod importer;
mod mistakes;
mod source;

use edgepass_core::{Config, ConfigError, Environment};

use self::backends::{BACKENDS, Backend, PREFIX, PREFIX_OF_AZURE, SETTINGS, check_names};
use self::importer::Importer;
pub use self::mistakes::mistakes;
use self::source::{
    BACKENDS_SETTING, Names, Settings, is_json, is_yaml, of_json, of_python, of_yaml,
};
use crate::python::Value;
use crate::recognise::is_of_variables;
use crate::{File, Imported};

/// The variables of the Azure SDKs that describe who asks, and where. That of a token file is not among them: it is one of
/// [`importer::TOKEN_FILES`], and is said with those.
const OF_SDKS: [&str; 19] = [
    Environment::AZURE_CLIENT_ID,
    Environment::AZURE_TENANT_ID,
    Environment::AZURE_AUTHORITY_HOST,
    Environment::AZURE_CLIENT_SECRET,
    Environment::AZURE_CLIENT_CERTIFICATE_PATH,
    Environment::AZURE_CLIENT_CERTIFICATE_PASSWORD,
    Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN,
    Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS,
    Environment::AZURE_REGIONAL_AUTHORITY_NAME,
    Environment::AZURE_TOKEN_CREDENTIALS,
    Environment::AZURE_KUBERNETES_TOKEN_PROXY,
    Environment::AZURE_KUBERNETES_SNI_NAME,
    Environment::AZURE_KUBERNETES_CA_FILE,
    Environment::AZURE_KUBERNETES_CA_DATA,
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_IDENTITY_DISABLE_MULTITENANTAUTH",
    "AZURE_IDENTITY_DISABLE_CP1",
];

/// Makes a configuration of the variables alone; `None` if none of a backend is set.
///
/// # Errors
///
/// With the first setting that is wrong, that is no backend's (`SOCIAL_AUTH_AZUREAD_TENANT_V2_OAUTH2_KEY`), or that the
/// variables of the Azure SDKs name differently.
pub fn import_environment(environment: &Environment) -> Result<Option<Imported>, ConfigError> {
    check_names(environment.pairs().map(|(name, _)| name), str::to_owned)?;
    let is_set = |backend: &&Backend| {
        let mut names = SETTINGS.iter().map(|setting| backend.own(setting));
        names.any(|name| environment.get(&name).is_some())
    };
    let backends: Vec<&Backend> = BACKENDS.iter().filter(is_set).collect();
    if backends.is_empty() {
        return Ok(None);
    }
    let settings = Settings::Variables(environment);
    let importer = Importer::new(&settings, environment);
    let said = importer.check_conflicts(&backends)?;
    let names = backends.iter().map(|backend| backend.name);
    let source = format!(
        "the variables {PREFIX}… of python-social-auth ({})",
        Vec::from_iter(names).join(", ")
    );
    let mut imported = importer.import(&backends, source)?;
    let note = note_unused(&imported, environment, &said);
    imported.notes.extend(note);
    Ok(Some(imported))
}

/// Names the variables of the SDKs that are set and have no effect: alone they would describe an identity, and whoever set
/// them may mean that one. Not those that settings have said as well.
fn note_unused(imported: &Imported, environment: &Environment, said: &[&str]) -> Option<String> {
    let whole = imported.environment(environment.clone());
    // what is wrong with it is said where it is loaded for use
    let config = Config::load(Some(&imported.document), &whole).ok()?;
    let needs = config.needs();
    let is_used = |name: &str| needs.variables.iter().any(|variable| variable.name == name);
    let unused = OF_SDKS
        .into_iter()
        .filter(|name| environment.get(name).is_some() && !said.contains(name) && !is_used(name));
    let unused: Vec<&str> = unused.collect();
    let (verb, them) = match unused.as_slice() {
        [] => return None,
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    Some(format!(
        "{} {verb} not used: the variables {PREFIX}… describe who asks; unset {them}, or the others if the Azure SDKs' are meant",
        unused.join(", ")
    ))
}

/// The line that names a setting of Azure's, where that is: in a class, in a dictionary, in small letters.
fn named_elsewhere(text: &str) -> Option<usize> {
    let has = |line: &str| line.to_ascii_uppercase().contains(PREFIX_OF_AZURE);
    text.lines()
        .position(|line| !line.trim_start().starts_with('#') && has(line))
        .map(|before| before + 1)
}

/// Makes a configuration of a settings file: JSON, YAML, or a module in Python, which is read and never run.
///
/// # Errors
///
/// With the first setting that is wrong, or that is no backend's, by its name, file and line; also where a variable of the
/// same name says something else.
pub fn import(file: &File<'_>, environment: &Environment) -> Result<Imported, ConfigError> {
    let read = Read::of(file, environment);
    let imported = read.and_then(|read| import_read(file, read, environment));
    imported.map_err(|error| said(file, error))
}

/// The same error, with what helps where the file is no module but a list of variables.
fn said(file: &File<'_>, error: ConfigError) -> ConfigError {
    if !is_of_variables(file.text) {
        return error;
    }
    error.hint(
        "these are the lines of an env file: set them as variables of the environment, and give no file (--env-file of a \
         container, `set -a; . FILE` of a shell)",
    )
}

/// What a settings file assigns.
#[derive(Clone)]
struct Read {
    names: Names,
    added: Vec<Value>,
    star_imports: Vec<usize>,
}

impl Read {
    fn of(file: &File<'_>, environment: &Environment) -> Result<Self, ConfigError> {
        let names = match (is_json(file), is_yaml(file)) {
            (true, _) => Some(of_json(file)?),
            (_, true) => Some(of_yaml(file)?),
            _ => None,
        };
        if let Some(names) = names {
            return Ok(Self {
                names,
                added: Vec::new(),
                star_imports: Vec::new(),
            });
        }
        let mut module = of_python(file, environment)?;
        Ok(Self {
            added: module.added.remove(BACKENDS_SETTING).unwrap_or_default(),
            names: module.names,
            star_imports: module.star_imports,
        })
    }
}

fn import_read(
    file: &File<'_>,
    read: Read,
    environment: &Environment,
) -> Result<Imported, ConfigError> {
    let Read {
        names,
        added,
        star_imports,
    } = read;
    check_names(names.keys().map(String::as_str), |name| {
        let line = names.get(name).map_or(1, |assigned| assigned.line);
        format!("{name} ({}, line {line})", file.name)
    })?;
    let settings = Settings::File {
        file,
        names,
        added,
        environment,
    };
    let backends = settings.backends();
    if backends.is_empty() {
        return Err(no_settings(file, &settings, &star_imports));
    }
    settings.check_variables(environment)?;
    let names = backends.iter().map(|backend| backend.name);
    let source = format!(
        "{}, python-social-auth ({})",
        file.name,
        Vec::from_iter(names).join(", ")
    );
    let mut imported = Importer::new(&settings, environment).import(&backends, source)?;
    imported.notes.extend(settings.by_variables(&backends));
    Ok(imported)
}

/// There is nothing of a backend in the file.
fn no_settings(file: &File<'_>, settings: &Settings<'_>, star_imports: &[usize]) -> ConfigError {
    let error = ConfigError::new(
        file.name,
        "has no settings of python-social-auth's Azure backends (SOCIAL_AUTH_AZUREAD_…)",
    );
    if let Some((name, line)) = settings.of_all_backends() {
        let own = name.replacen(PREFIX, "SOCIAL_AUTH_AZUREAD_TENANT_OAUTH2_", 1);
        return error.hint(format!(
            "{name} (line {line}) is for all backends, and AUTHENTICATION_BACKENDS names none of Azure's: begin it as the \
             settings of one, {own}, or name the backend's class there"
        ));
    }
    error.hint(match (star_imports.first(), named_elsewhere(file.text)) {
        (Some(line), _) => format!(
            "line {line} takes in all names of another file, which is not looked at: give the file that has them, or set the \
             settings as variables of these names and leave --social-auth away"
        ),
        (None, Some(line)) if !settings.has_azures() => format!(
            "line {line} has such a name, and gives it no value: write NAME = value there, in capitals and not in a string, a \
             class, a function or a dictionary; or set the settings as variables of these names and leave --social-auth away"
        ),
        (None, _) => "give the file that has them".to_owned(),
    })
}
