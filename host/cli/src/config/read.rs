//! Where the configuration comes from.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use edgepass::files::FileError;
use edgepass::limits::CONFIG_BYTES;
use edgepass::repeat::{NOT_REPEATED, NoPath, PATH_FOR_DOCUMENT, is_path, is_plain_path, no_path};
use edgepass::{Config, ConfigError, Environment, document_text, dotnet_text, process_environment};
use edgepass_settings::formats::{self, Format};
use edgepass_settings::recognise::{Kind, Mistaken, Reader};
use edgepass_settings::{File, Imported, appsettings, social_auth};
use zeroize::Zeroizing;

use super::{Document, WHOLE, explained};
use crate::arguments::{ConfigArguments, ConfigFormat};
use crate::failure::{Failure, Mistake};
use crate::{pipe, repeat, watch};

/// The options of files of other programs.
const APPSETTINGS: &str = "--appsettings";
const SOCIAL_AUTH: &str = "--social-auth";

/// The argument that means standard input.
const STDIN: &str = "-";

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
        let environment = process_environment();
        let imported = social_auth::import(&file.file(), &environment);
        let imported = imported.map_err(|error| {
            let other = mistaken(&file.text, &file.name, Kind::SocialAuth);
            let all = || {
                let mut all = social_auth::mistakes(&file.file(), &environment);
                if all.is_empty() {
                    all.push(error);
                }
                all.into_iter()
                    .map(|error| Mistake::from(error.into_detail()))
            };
            Failure::Mistakes(other.map_or_else(|| all().collect(), |other| vec![other]))
        })?;
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
    match Config::load(
        Some(&document.text),
        &document.environment(&process_environment()),
    ) {
        Err(error) if error.setting == WHOLE => {
            Err(Failure::Mistakes(vec![explained(error, Some(&document))]))
        }
        _ => Ok(document),
    }
}

pub(super) fn read_path(path: &Path, format: Option<ConfigFormat>) -> Result<Document, Failure> {
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
            Failure::setting(
                setting,
                format!("the {KIND} {name} {reason}"),
                "write it as UTF-8",
            )
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
pub(super) fn mistaken(text: &str, name: &str, expected: Kind) -> Option<Mistake> {
    let Mistaken { message, hint } = Mistaken::of(text, expected, Reader::Command)?;
    Some(Mistake {
        setting: Some(name.to_owned()),
        place: None,
        message,
        hint: Some(hint.to_owned()),
    })
}

pub(super) fn not_imported(error: ConfigError) -> Failure {
    Failure::Mistakes(vec![Mistake::from(error.into_detail())])
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
            Failure::setting(
                setting,
                format!("the configuration {name} {reason}"),
                "write it as UTF-8",
            )
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

/// The whole file of that kind that this setting names.
pub(crate) fn read_file(
    path: &Path,
    setting: &str,
    kind: &str,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let cannot = |reason: &dyn std::fmt::Display, fix: &str| {
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
            Some(path) => Failure::setting(
                setting,
                format!("the {kind} {path} cannot be read: {reason}"),
                match path.starts_with("~/") {
                    true => {
                        "only a shell knows `~`, and not in quotes: write the folder's own path, or $HOME in double quotes"
                    }
                    false => fix,
                },
            ),
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
    let unreadable = |error: &FileError| cannot(error, error.fix());
    let bytes =
        pipe::read(path, limit + 1, &watch::named(kind, path, setting)).map_err(|error| {
            // the command alone waits for who writes to a pipe
            match error.kind() == ErrorKind::TimedOut {
                true => cannot(&error, "give a file, or have something write into the pipe"),
                false => unreadable(&FileError::of(path, error)),
            }
        })?;
    if bytes.len() as u64 > limit {
        return Err(unreadable(&FileError::TooLarge { limit }));
    }
    Ok(bytes)
}
