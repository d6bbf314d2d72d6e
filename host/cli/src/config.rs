//! Where the configuration comes from, and `edgepass config`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use edgepass::limits::CONFIG_BYTES;
use edgepass::needs::FilePattern;
use edgepass::repeat::{NOT_REPEATED, NoPath, PATH_FOR_DOCUMENT, is_path, is_plain_path, no_path};
use edgepass::{
    BuildError, Builder, Config, ConfigError, CredentialRef, CredentialState, CredentialStatus,
    CredentialTrial, Environment, Provider, document_text, dotnet_text, process_environment,
};
use edgepass_core::config::ENVIRONMENT_IDENTITY;
use edgepass_core::inspect_jwt;
use edgepass_rules::http::HttpSettings;
use edgepass_settings::formats::{self, Format};
use edgepass_settings::recognise::Kind;
use edgepass_settings::{File, Imported, appsettings, social_auth};
use zeroize::Zeroizing;

use super::arguments::{
    CheckArguments, ConfigArguments, ConfigFormat, ConvertArguments, ConvertFormat,
};
use super::failure::{Failure, Mistake, Warnings};
use super::{mistakes, output, pipe, repeat, watch};

/// What the engine calls the document.
const WHOLE: &str = "configuration";

/// The options of files of other programs.
const APPSETTINGS: &str = "--appsettings";
const SOCIAL_AUTH: &str = "--social-auth";

/// The argument that means standard input.
const STDIN: &str = "-";

/// A token file, bytes: what is larger is none.
const TOKEN_FILE_BYTES: u64 = 128 * 1024;

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
    let environment = environment(document);
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
    if config.http.is_some()
        && let Err(error) = HttpSettings::check(&config)
    {
        return Err(Failure::Mistakes(vec![explained(error, document)]));
    }
    narrate(document, &environment, None);
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
    let misplaced = misplaced(json, &environment, &config);
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

/// Says which credential of several brought the token, and why others did not: in the log where there is one, and otherwise
/// as warnings, because nothing else tells of a credential that has ended.
///
/// `direct` is what brought it where the identity has no credential of a client.
pub(crate) async fn narrate_credentials(
    provider: &Provider,
    identity: &str,
    direct: &str,
    warnings: &mut Warnings,
) {
    let mut status = provider.status().await.unwrap_or_default().into_iter();
    let status = status.find(|status| status.identity == identity);
    if status
        .as_ref()
        .is_some_and(|status| status.counters.store_ignored > 0)
    {
        warnings.add(&[format!(
            "identity {identity}: what the token store has is ignored: it was got with another certificate or secret than the \
             present one, or by a clock that is wrong, or cannot be read"
        )]);
    }
    let is_of_the_store = status
        .as_ref()
        .is_some_and(|status| status.counters.store_hits > 0);
    if is_of_the_store {
        log::info!("token store: it had the token, so no credential was asked for one");
        return;
    }
    let credentials = status.map_or_else(Vec::new, |status| status.credentials);
    let is_list = credentials.len() > 1;
    let is_logged = log::log_enabled!(log::Level::Info);
    // that of a platform is no client's, and has no status
    if credentials.is_empty() {
        log::info!("credential {direct}: brought the token");
    }
    for CredentialStatus { credential, state } in credentials {
        match state {
            CredentialState::Aside { failure, .. } if is_logged => {
                log::info!("credential {credential}: gave none: {}", failure.message);
            }
            CredentialState::Aside { failure, .. } if is_list => {
                warnings.add(&[format!(
                    "identity {identity}: {credential} gave no token, and another credential was used: {}",
                    failure.message
                )]);
            }
            CredentialState::Untried if is_logged => {
                log::info!("credential {credential}: was not needed");
            }
            CredentialState::Good(_) if is_logged => {
                log::info!("credential {credential}: brought the token");
            }
            _ => {}
        }
    }
}

/// What somebody has named as certification authorities, for people; `None` if nobody has. `json` is the configuration.
pub(crate) fn authorities(option: Option<&Path>, json: Option<&str>) -> Option<String> {
    const KIND: &str = "CA file";

    let document = json.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
    let setting = |field: &str| {
        let document = document.as_ref()?;
        let path = document.get("host")?.get(field)?.as_str()?;
        Some(watch::named(
            KIND,
            Path::new(path),
            &format!("host.{field}"),
        ))
    };
    let option = option.map(|path| watch::named(KIND, path, "--ca-file"));
    let mut named: Vec<String> = match option.or_else(|| setting("ca_file")) {
        Some(named) => vec![named],
        None => [(KIND, "SSL_CERT_FILE"), ("CA folder", "SSL_CERT_DIR")]
            .into_iter()
            .filter_map(|(kind, name)| {
                let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
                Some(watch::named(kind, Path::new(&value), name))
            })
            .collect(),
    };
    named.extend(setting("extra_ca_file"));
    Some(named.join(", or ")).filter(|named| !named.is_empty())
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

/// Paths where the value itself belongs, a line each. A secret may look like one, so it is no mistake.
fn misplaced(json: Option<&str>, environment: &Environment, config: &Config) -> Vec<String> {
    let files = files(config);
    let is_misplaced = |value: &str| {
        let path = Path::new(value);
        if !path.is_absolute() || files.iter().any(|(file, _)| file == value) {
            return false;
        }
        let _waiting = watch::file("a file whose path stands where a value belongs");
        path.is_file()
    };
    let mut found = Vec::new();
    if let Some(document) = json.and_then(|json| serde_json::from_str(json).ok()) {
        each_value("", &document, &mut |place, value| {
            if is_misplaced(value) {
                found.push(format!(
                    "{place} is the path of a file, and is taken for the value itself: `file` has a file read"
                ));
            }
        });
    }
    for variable in config.needs().variables {
        if environment.get(&variable.name).is_some_and(is_misplaced) {
            found.push(format!(
                "{} is the path of a file, and is taken for the value itself",
                variable.name
            ));
        }
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

/// Prints the document in another form. Whether it makes sense is for `check` to say.
pub(crate) fn convert(
    arguments: &ConvertArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let source = arguments.config.or_file(arguments.file.as_ref());
    let document = required(&source)?;
    warnings.add(document.notes());
    warnings.add(&document.held_apart());
    let yaml = match arguments.format {
        ConvertFormat::Json => None,
        ConvertFormat::Yaml => Some(as_yaml(&document.text)?),
    };
    let text = yaml.as_ref().unwrap_or(&document.text);
    output::write(text.as_bytes())?;
    match text.ends_with('\n') {
        true => Ok(()),
        false => output::write(b"\n"),
    }
}

/// A document as YAML that is read as the same document.
fn as_yaml(json: &str) -> Result<Zeroizing<String>, Failure> {
    let cannot = |why: String| {
        Failure::setup(format!(
            "the configuration cannot be written as YAML: {why}"
        ))
    };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| cannot(error.to_string()))?;
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(&value, options);
    let text = Zeroizing::new(text.map_err(|error| cannot(error.to_string()))?);
    // what one writes and another reads otherwise (`no`, `1e3`) is found here, and not by a server
    let read = formats::Document::read(&text, Format::Yaml, None)
        .map_err(|error| cannot(error.to_string()))?;
    match serde_json::from_str::<serde_json::Value>(read.json()) {
        Ok(again) if again == value => Ok(text),
        _ => Err(cannot(
            "it would be read as another one; keep it as JSON".to_owned(),
        )),
    }
}

/// Prints the JSON Schema of the configuration.
pub(crate) fn schema() -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&Config::schema())
        .map_err(|e| Failure::setup(format!("the schema cannot be written: {e}")))?;
    text.push('\n');
    output::write(text.as_bytes())
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
    }
}

/// The configuration of `--config`, or of the file that `EDGEPASS_CONFIG` names, or that in `EDGEPASS_CONFIG_JSON`.
pub(crate) fn read(arguments: &ConfigArguments) -> Result<Option<Document>, Failure> {
    const PATH: &str = Environment::EDGEPASS_CONFIG;
    const TEXT: &str = Environment::EDGEPASS_CONFIG_JSON;

    if let Some(path) = &arguments.config {
        return read_path(path, arguments.config_format).map(Some);
    }
    if let Some(path) = &arguments.appsettings {
        const SETTING: &str = APPSETTINGS;

        let (section, api) = (arguments.section.as_deref(), arguments.api.as_deref());
        let environment = process_environment();
        let file = SettingsFile::read(path, SETTING)?;
        let over = appsettings::over(path, &environment).map_err(not_imported)?;
        // what cannot be looked for is read, which says why
        let over = over.filter(|over| !matches!(over.try_exists(), Ok(false)));
        let over = over.map(|over| SettingsFile::read(&over, SETTING));
        let over = over.transpose()?;
        let over = over.as_ref().map(SettingsFile::file);
        let imported = appsettings::import(&file.file(), over.as_ref(), section, api, &environment);
        let imported = imported.map_err(|error| file.not_imported(error, Kind::AppSettings))?;
        return Ok(Some(Document::imported(imported, SETTING)));
    }
    if let Some(path) = &arguments.social_auth {
        const SETTING: &str = SOCIAL_AUTH;

        let file = SettingsFile::read(path, SETTING)?;
        let imported = social_auth::import(&file.file(), &process_environment());
        let imported = imported.map_err(|error| file.not_imported(error, Kind::SocialAuth))?;
        return Ok(Some(Document::imported(imported, SETTING)));
    }
    let set = |name| {
        let value = std::env::var_os(name);
        value.filter(|value| value.to_str().is_none_or(|text| !text.trim().is_empty()))
    };
    match (set(PATH), set(TEXT)) {
        (None, None) => {
            let imported = social_auth::import_environment(&process_environment());
            let imported = imported.map_err(not_imported)?;
            Ok(imported.map(|imported| Document::imported(imported, "")))
        }
        (Some(path), None) => {
            read_file_of(Path::new(&path), PATH, arguments.config_format).map(Some)
        }
        (None, Some(text)) => {
            if text.to_str().is_some_and(is_path) {
                let NoPath { message, hint } = PATH_FOR_DOCUMENT;
                return Err(Failure::setting(TEXT, message, hint));
            }
            let text = text.into_encoded_bytes();
            let name = format!("the document in {TEXT}");
            Document::of(&text, name, TEXT, Format::Json).map(Some)
        }
        (Some(_), Some(_)) => Err(Failure::setting(
            TEXT,
            format!("is set, and so is {PATH}: only one of them can be meant"),
            "unset one of the two",
        )),
    }
}

/// The same where there must be one.
pub(crate) fn required(arguments: &ConfigArguments) -> Result<Document, Failure> {
    let document = read(arguments)?.ok_or_else(|| {
        Failure::setting(
            "--config",
            "is not given, and there is no configuration without it",
            "give a file with --config, or name one by EDGEPASS_CONFIG",
        )
    })?;
    // what is wrong with the file as a whole is said here, where its name is known
    match Config::load(Some(&document.text), &document.environment()) {
        Err(error) if error.setting == WHOLE => {
            Err(Failure::Mistakes(vec![explained(error, Some(&document))]))
        }
        _ => Ok(document),
    }
}

fn read_path(path: &Path, format: Option<ConfigFormat>) -> Result<Document, Failure> {
    const SETTING: &str = "--config";
    if path.as_os_str() != STDIN {
        return read_file_of(path, SETTING, format);
    }
    let format = format.map_or(Format::Json, Format::from);
    let what = format!("the configuration, {},", format.name());
    let bytes = read_stdin(&what, CONFIG_BYTES)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::setting(
            SETTING,
            "is `-`, and standard input is empty",
            "send the configuration there: edgepass … --config - < edgepass.json",
        ));
    }
    Document::of(&bytes, "standard input".to_owned(), SETTING, format)
}

/// A settings file of another program.
struct SettingsFile {
    text: Zeroizing<String>,
    name: String,
    /// Its path from the root.
    path: PathBuf,
}

impl SettingsFile {
    fn read(path: &Path, setting: &str) -> Result<Self, Failure> {
        const KIND: &str = "settings file";

        let (bytes, name) = if path.as_os_str() == STDIN {
            let bytes = read_stdin("the settings", CONFIG_BYTES)?;
            (bytes, "standard input".to_owned())
        } else {
            let bytes = read_file(path, setting, KIND, CONFIG_BYTES)?;
            (bytes, path.display().to_string())
        };
        let bytes = Zeroizing::new(bytes);
        let text = match setting == APPSETTINGS {
            true => dotnet_text(&bytes),
            false => document_text(&bytes).map(|text| Zeroizing::new(text.to_owned())),
        };
        let text = text.map_err(|reason| {
            Failure::setup(format!("the {KIND} {name} {reason}: write it as UTF-8"))
        })?;
        Ok(Self {
            text,
            name,
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        })
    }

    /// Why nothing was made of it, which should be of that kind.
    fn not_imported(&self, error: ConfigError, expected: Kind) -> Failure {
        let other = mistaken(&self.text, &self.name, expected);
        other.map_or_else(
            || not_imported(error),
            |other| Failure::Mistakes(vec![other]),
        )
    }

    fn file(&self) -> File<'_> {
        File {
            text: &self.text,
            name: &self.name,
            folder: self.path.parent().unwrap_or(Path::new("/")),
        }
    }
}

/// The mistake of a text that looks like another kind of file than the option takes that it was given with, if it does.
fn mistaken(text: &str, name: &str, expected: Kind) -> Option<Mistake> {
    let found = Kind::of(text).filter(|found| *found != expected)?;
    // a module may import the settings, or be written in a way that is not read
    if (found, expected) == (Kind::Python, Kind::SocialAuth) {
        return None;
    }
    let hint = match found {
        Kind::Configuration => "give it with --config".to_owned(),
        Kind::AppSettings => format!("give it with {APPSETTINGS}"),
        Kind::SocialAuth => format!("give it with {SOCIAL_AUTH}"),
        Kind::Python => format!(
            "give the file that has the settings (SOCIAL_AUTH_AZUREAD_…) with {SOCIAL_AUTH}"
        ),
        Kind::Envoy => {
            "give edgepass a configuration of its own; `edgepass envoy-config` makes of it what Envoy needs"
                .to_owned()
        }
    };
    Some(Mistake {
        setting: Some(name.to_owned()),
        place: None,
        message: format!(
            "looks like {}, and not like {}",
            found.name(),
            expected.name()
        ),
        hint: Some(hint),
    })
}

fn not_imported(error: ConfigError) -> Failure {
    Failure::Mistakes(vec![Mistake::from(error.into_detail())])
}

/// The environment that a configuration, if there is one, is to be loaded with.
pub(crate) fn environment(document: Option<&Document>) -> Environment {
    document.map_or_else(process_environment, Document::environment)
}

/// What comes by standard input, and one byte more than the limit if it is larger. `what` is expected, for people.
pub(crate) fn read_stdin(what: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let _waiting = watch::input(what);
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::setup(format!("standard input cannot be read: {e}")))?;
    Ok(bytes)
}

/// The configuration in the file that this setting names.
fn read_file_of(
    path: &Path,
    setting: &'static str,
    format: Option<ConfigFormat>,
) -> Result<Document, Failure> {
    // what is no path may be a configuration with secrets in it, and is not repeated
    if let Some(NoPath { message, hint }) = no_path(&path.to_string_lossy()) {
        return Err(Failure::setting(setting, message, hint));
    }
    let bytes = read_file(path, setting, "configuration", CONFIG_BYTES)?;
    let format = format.map_or_else(|| Format::of_path(path), Format::from);
    Document::of(&bytes, path.display().to_string(), setting, format)
}

impl Document {
    fn of(
        bytes: &[u8],
        name: String,
        setting: &'static str,
        format: Format,
    ) -> Result<Self, Failure> {
        let text = document_text(bytes).map_err(|reason| {
            Failure::setup(format!(
                "the configuration {name} {reason}: write it as UTF-8"
            ))
        })?;
        let source = formats::Document::read(text, format, Some(&name)).map_err(|error| {
            if let Some(other) = mistaken(text, &name, Kind::Configuration) {
                return Failure::Mistakes(vec![other]);
            }
            let mut mistake = Mistake::from(error.into_detail());
            mistake.hint = looks_otherwise(text, format).or(mistake.hint);
            Failure::Mistakes(vec![mistake])
        })?;
        Ok(Self {
            text: Zeroizing::new(source.json().to_owned()),
            source: Some(source),
            name,
            setting,
            imported: None,
        })
    }

    fn imported(imported: Imported, setting: &'static str) -> Self {
        // with -v there are no warnings, because they are in the log
        for note in &imported.notes {
            log::warn!("{note}");
        }
        Self {
            text: imported.document.clone(),
            source: None,
            name: imported.source.clone(),
            setting,
            imported: Some(imported),
        }
    }

    /// The mistake of a file that is none of edgepass's. It was made of JSON, and has its names.
    fn mistaken(&self) -> Option<Mistake> {
        self.source.as_ref()?;
        mistaken(&self.text, &self.name, Kind::Configuration)
    }

    /// The environment that it is to be loaded with.
    pub(crate) fn environment(&self) -> Environment {
        let environment = process_environment();
        match &self.imported {
            Some(imported) => imported.environment(environment),
            None => environment,
        }
    }

    /// What the document itself does not hold: variables that it names and that nobody has set, because other settings have
    /// their values; and what of it no file for others should hold.
    fn held_apart(&self) -> Vec<String> {
        let Some(imported) = &self.imported else {
            return Vec::new();
        };
        let environment = process_environment();
        let names = imported.variables();
        let unset = names.filter(|name| environment.get(name).is_none());
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
        checked.map_err(not_imported)
    }

    /// What people should know of what it was made of.
    pub(crate) fn notes(&self) -> &[String] {
        self.imported
            .as_ref()
            .map_or(&[], |imported| &imported.notes)
    }
}

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

/// What to do about a text that looks like another format than the one that it was read as.
fn looks_otherwise(text: &str, format: Format) -> Option<String> {
    let guessed = Format::guess(text).filter(|guessed| *guessed != format)?;
    let name = guessed.name();
    let word = name.to_lowercase();
    Some(format!(
        "it looks like {name}: give the file the ending .{word}, or say --config-format {word}"
    ))
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
    // the library has read what it was made into, and knows no other places
    let detail = error.into_detail();
    let bare = ConfigError::new(detail.setting, detail.message);
    let bare = match detail.hint {
        Some(hint) => bare.hint(hint),
        None => bare,
    };
    let mut mistake = Mistake::from(source.explain(bare).into_detail());
    if mistake.setting.as_deref() != Some(WHOLE) {
        return mistake;
    }
    let is_json = source.format() == Format::Json;
    match Format::guess(&document.text).filter(|_| is_json) {
        Some(guessed) => {
            let name = guessed.name();
            mistake.message = format!("is {name} by its look, and was read as JSON");
            mistake.hint = Some(match document.setting {
                Environment::EDGEPASS_CONFIG_JSON => {
                    "write it as JSON, or into a file that EDGEPASS_CONFIG names".to_owned()
                }
                _ => format!(
                    "give the file the ending .{word}, or say --config-format {word}",
                    word = name.to_lowercase()
                ),
            });
            mistake.setting = Some(document.name.clone());
        }
        None => mistake.message = format!("{}: {}", document.name, mistake.message),
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
fn unknown_certificates(config: &Config) -> Vec<Mistake> {
    let unknown = config.unresolved_certificates();
    let known: Vec<&str> = config.certificates.keys().map(String::as_str).collect();
    let needs = config.needs().certificates.into_iter();
    needs
        .filter(|need| unknown.contains(&need.name))
        .map(|need| Mistake {
            message: format!("is `{}`, which is not among the certificates", need.name),
            hint: Some(match known.as_slice() {
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

/// Says in the log which configuration, identity and files a command works with.
///
/// Gives the identity's credential in words; nothing where nothing is logged.
pub(crate) fn narrate(
    document: Option<&Document>,
    environment: &Environment,
    identity: Option<&str>,
) -> String {
    if !log::log_enabled!(log::Level::Info) {
        return String::new();
    }
    let json = document.map(|document| document.text.as_str());
    let Ok(config) = Config::load(json, environment) else {
        return String::new();
    };
    let variables: BTreeSet<String> = config
        .needs()
        .variables
        .into_iter()
        .map(|v| v.name)
        .collect();
    let variables = Vec::from_iter(variables).join(", ");
    match document {
        Some(document) if document.name.ends_with(document.setting) => {
            log::info!("configuration: {}", document.name);
        }
        Some(document) => log::info!("configuration: {} ({})", document.name, document.setting),
        None if variables.is_empty() => {
            log::info!("configuration: none, and no variable that says who this is");
        }
        None => log::info!("configuration: none; {variables} say everything"),
    }
    if document.is_some() && !variables.is_empty() {
        log::info!("variables that the configuration takes something from: {variables}");
    }
    let name = identity.or(config.default_identity.as_deref());
    let Some(identity) = name.and_then(|name| config.identities.get(name)) else {
        return String::new();
    };
    let described = identity.describe();
    let about: Vec<String> = described
        .iter()
        .map(|(what, value)| format!("{what} {value}"))
        .collect();
    for passed in identity.passed() {
        log::info!("credential {}: {}", passed.credential, passed.message);
    }
    log::info!("identity {}: {}", identity.name, about.join("; "));
    for file in &identity.needs().files {
        if let FilePattern::Exact(path) = &file.path {
            log::info!(
                "file {path} ({}): {}",
                file.setting,
                about_file(Path::new(path), &file.setting)
            );
        }
    }
    let mut described = described.into_iter();
    let credential = described.find(|(what, _)| *what == "credential");
    credential.map_or_else(String::new, |(_, words)| words)
}

/// What an assertion in a file says of itself, never the assertion. A pipe is left to whoever reads it for good.
fn about_file(path: &Path, setting: &str) -> String {
    let what = watch::named("file", path, setting);
    let waiting = watch::file(what.as_str());
    let metadata = std::fs::metadata(path);
    drop(waiting);
    match metadata {
        Err(error) => return format!("cannot be looked at: {error}"),
        Ok(metadata) if !metadata.is_file() => return "is no regular file".to_owned(),
        Ok(_) => {}
    }
    let bytes = pipe::read(path, TOKEN_FILE_BYTES, &what).unwrap_or_default();
    let Some(token) = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| inspect_jwt(text.trim()))
    else {
        return "holds no assertion to look into".to_owned();
    };
    let said = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let audiences = Some(token.aud.join(" ")).filter(|text| !text.is_empty());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let expiry = token.exp.map(|exp| match exp.checked_sub(now) {
        Some(left) => format!("{exp}, in {left} s"),
        None => format!("{exp}, {} s ago", now.saturating_sub(exp)),
    });
    format!(
        "an assertion of issuer {}, subject {}, audience {}, expiry {}",
        said(token.iss),
        said(token.sub),
        said(audiences),
        said(expiry)
    )
}

/// The whole file of that kind that this setting names.
pub(crate) fn read_file(
    path: &Path,
    setting: &str,
    kind: &str,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let cannot = |reason: &dyn std::fmt::Display| {
        // it may be the secret, or the document, that belongs into the file; a variable is filled by who does not look on
        let is_variable = setting == Environment::EDGEPASS_CONFIG;
        let is_repeated = |text: &&str| {
            if is_variable {
                is_plain_path(text)
            } else {
                repeat::is_harmless(text)
            }
        };
        match path.to_str().filter(is_repeated) {
            Some(path) if path.starts_with("~/") => Failure::setup_with_hint(
                format!("the {kind} {path} cannot be read: {reason}"),
                "only a shell knows `~`, and not in quotes: write the folder's own path, or $HOME in double quotes",
            ),
            Some(path) => Failure::setup(format!("the {kind} {path} cannot be read: {reason}")),
            None => Failure::setting(
                setting,
                format!("what it names cannot be read: {reason}"),
                if is_variable {
                    NOT_REPEATED
                } else {
                    "give the path of a file; what was given does not look like one and is not repeated"
                },
            ),
        }
    };
    let bytes =
        pipe::read(path, limit + 1, &watch::named(kind, path, setting)).map_err(|e| cannot(&e))?;
    if bytes.len() as u64 > limit {
        return Err(cannot(&format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
