//! Configurations that are made of other programs' settings.

use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};
use edgepass_settings::{File, Imported, Names, appsettings, formats, social_auth};
use zeroize::Zeroizing;

use crate::document::{self, Document, NoText};

/// The settings file of a .NET program with Microsoft.Identity.Web, `appsettings.json`.
#[derive(Clone, Debug)]
pub struct AppSettings {
    file: PathBuf,
    section: Option<String>,
    api: Option<String>,
}

impl AppSettings {
    /// That file, and of it the section `AzureAd`. With an `appsettings.json` the file of the environment beside it is read,
    /// if there is one, and its settings go before: `appsettings.Production.json`, or as `DOTNET_ENVIRONMENT` and
    /// `ASPNETCORE_ENVIRONMENT` have it. A file of another name is read alone.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            file: path.into(),
            section: None,
            api: None,
        }
    }

    /// Another section than `AzureAd`, `:` between the parts of its path.
    #[must_use]
    pub fn section(mut self, name: impl Into<String>) -> Self {
        self.section = Some(name.into());
        self
    }

    /// One of the `DownstreamApis`: its scopes are those of requests that name none.
    #[must_use]
    pub fn api(mut self, name: impl Into<String>) -> Self {
        self.api = Some(name.into());
        self
    }
}

impl From<PathBuf> for AppSettings {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for AppSettings {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<&str> for AppSettings {
    fn from(path: &str) -> Self {
        Self::file(path)
    }
}

/// What a builder was given as its configuration.
pub(crate) enum Given {
    Document(Document),
    /// What was made of other settings already.
    Imported(Imported),
    AppSettings(AppSettings),
    /// A settings file of python-social-auth.
    SocialAuth(PathBuf),
}

/// A configuration that has been read.
#[derive(Default)]
pub(crate) struct Loaded {
    document: Option<formats::Document>,
    imported: Option<Imported>,
}

impl Loaded {
    /// Reads what was given. Without anything the variables may be those of python-social-auth.
    pub(crate) fn of(given: Option<Given>, environment: &Environment) -> Result<Self, ConfigError> {
        let imported = match given {
            Some(Given::Document(document)) => {
                return Ok(Self {
                    document: Some(document.load()?),
                    imported: None,
                });
            }
            Some(Given::Imported(imported)) => {
                return Ok(Self {
                    document: None,
                    imported: Some(imported),
                });
            }
            Some(Given::AppSettings(settings)) => {
                let AppSettings { file, section, api } = settings;
                let over = appsettings::over(&file, environment)?;
                // what cannot be looked for is read, which says why
                let over = over.filter(|over| !matches!(over.try_exists(), Ok(false)));
                let import = |file: &File<'_>, over: Option<&File<'_>>| {
                    let (section, api) = (section.as_deref(), api.as_deref());
                    appsettings::import(file, over, section, api, environment)
                };
                let read = document::read_dotnet;
                let imported = with_file(&file, read, |file| match &over {
                    Some(over) => with_file(over, read, |over| import(file, Some(over))),
                    None => import(file, None),
                })?;
                // requests of a program name the scopes of its users themselves
                imported.check_scopes_of_app()?;
                Some(imported)
            }
            Some(Given::SocialAuth(file)) => Some(with_file(&file, document::read, |file| {
                social_auth::import(file, environment)
            })?),
            None => social_auth::import_environment(environment)?,
        };
        if let Some(imported) = &imported {
            log::info!("configuration: {}", imported.source);
        }
        Ok(Self {
            document: None,
            imported,
        })
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.imported {
            Some(imported) => Some(imported.document.as_str()),
            None => self.document.as_ref().map(formats::Document::json),
        }
    }

    /// The environment that it is to be loaded with.
    pub(crate) fn environment(&self, environment: Environment) -> Environment {
        match &self.imported {
            Some(imported) => imported.environment(environment),
            None => environment,
        }
    }

    /// Where the rules of so many stand, each whole and by its settings: settings and their places.
    pub(crate) fn rule_places(&self, rules: usize) -> Vec<(String, String)> {
        const FIELDS: [&str; 9] = [
            "",
            ".match",
            ".match.host",
            ".match.port",
            ".match.path_prefix",
            ".match.methods",
            ".header",
            ".identity",
            ".scopes",
        ];
        let Some(document) = &self.document else {
            return Vec::new();
        };
        let settings = (0..rules)
            .flat_map(|index| FIELDS.map(|field| format!("http.rules[{index}]{field}")))
            .chain(["http.rules".to_owned()]);
        let placed = settings.filter_map(|setting| {
            let place = document.place(&setting)?;
            Some((setting, place))
        });
        placed.collect()
    }

    /// What the settings are called that it was made of.
    pub(crate) fn names(&self) -> Option<&Names> {
        self.imported.as_ref().map(Imported::names)
    }

    /// What people should be told of what it was made of.
    pub(crate) fn notes(&self) -> Vec<String> {
        let imported = self.imported.as_ref();
        imported.map_or_else(Vec::new, |imported| imported.notes.clone())
    }

    /// What is wrong with it, in terms of what it was made of or with its place. Without one it is what the environment
    /// lacks.
    pub(crate) fn explain(
        &self,
        error: ConfigError,
        of_environment: impl FnOnce(ConfigError) -> ConfigError,
    ) -> ConfigError {
        match (&self.imported, &self.document) {
            (Some(imported), _) => imported.explain(error),
            (None, Some(document)) => document.explain(error),
            (None, None) => of_environment(error),
        }
    }
}

fn with_file<T>(
    path: &Path,
    read: fn(&Path) -> Result<Zeroizing<String>, NoText>,
    import: impl FnOnce(&File<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let name = path.display().to_string();
    let text =
        read(path).map_err(|NoText { reason, hint }| ConfigError::new(&name, reason).hint(hint))?;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    import(&File {
        text: &text,
        name: &name,
        folder: whole.parent().unwrap_or(Path::new("/")),
    })
}
