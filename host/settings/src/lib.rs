//! Settings that people already have, as configuration of edgepass.
//!
//! Each source is a module that reads text and variables and gives an [`Imported`]: the configuration document, which the
//! engine then checks as it checks any other, and what its user should know. Nothing here opens a file or a connection.
//!
//! - [`appsettings`]: Microsoft.Identity.Web's sections of a .NET program's `appsettings.json`
//! - [`social_auth`]: python-social-auth's settings, as variables or as a settings file
//! - [`formats`]: the configuration itself in YAML, TOML and JSON, with the place of each setting
//! - [`init`]: a configuration to begin with, made of what the environment shows
//! - [`place`]: places of settings, of which one may be inside of another
//! - [`recognise`]: what a file is that was given in the place of another
//! - [`unfilled`]: texts in whose place somebody should have put a value
//! - [`unread`]: variables that describe an identity to another program

pub mod appsettings;
pub mod formats;
pub mod init;
pub mod place;
pub mod recognise;
pub mod social_auth;
pub mod unfilled;
pub mod unread;

mod cloud;
mod draft;
mod json;
mod layers;
mod names;
mod python;

use std::path::Path;

use edgepass_core::{ConfigError, Environment, Secret};
use zeroize::Zeroizing;

pub use self::names::Names;

/// A settings file that has been read.
#[derive(Clone, Copy)]
pub struct File<'a> {
    /// Its text.
    pub text: &'a str,
    /// What errors and notes call it.
    pub name: &'a str,
    /// The folder that relative paths in it begin at.
    pub folder: &'a Path,
}

/// A configuration that was made of other settings.
#[derive(Clone)]
pub struct Imported {
    /// The configuration document, JSON. It may hold secrets (`certificate_base64`); those that need not stand in it are
    /// variables that it names.
    pub document: Zeroizing<String>,
    /// What its user should know of it, a line each: settings that were left out, and why.
    pub notes: Vec<String>,
    /// What it was made of, for people.
    pub source: String,
    /// The variables that the document names, with values that other settings have given.
    variables: Vec<(String, Secret)>,
    /// For places in the document, and for those variables, where they come from.
    names: Names,
    /// Scopes of users' tokens, which no identity has as its own.
    of_users: Option<OfUsers>,
}

/// What requests for users ask for where they name no scope.
#[derive(Clone)]
struct OfUsers {
    scopes: Vec<String>,
    /// Why an app does not ask for them.
    refusal: ConfigError,
}

impl Imported {
    /// The environment that the document is to be loaded with: that one, with the values that the document names.
    #[must_use]
    pub fn environment(&self, environment: Environment) -> Environment {
        environment.with(self.variables.iter().cloned())
    }

    /// The variables that the document names and whose values other settings have given.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// The scopes of requests for users that name none (on-behalf-of, a code, a refresh token), where the settings have such
    /// as no app has: `User.Read`. The document leaves them out.
    pub fn scopes_of_users(&self) -> &[String] {
        let of_users = self.of_users.as_ref();
        of_users.map_or(&[], |of_users| of_users.scopes.as_slice())
    }

    /// That an app's own requests which name no scope have one.
    ///
    /// # Errors
    ///
    /// With the setting that has [scopes of users](Self::scopes_of_users) in its place.
    pub fn check_scopes_of_app(&self) -> Result<(), ConfigError> {
        let of_users = self.of_users.as_ref();
        of_users.map_or(Ok(()), |of_users| Err(of_users.refusal.clone()))
    }

    /// What is wrong with the document, said of the settings that it was made of.
    #[must_use]
    pub fn explain(&self, error: ConfigError) -> ConfigError {
        let identity = self.names.identity(&error.setting).map(str::to_owned);
        let say = |text: &str| self.names.say(text, identity.as_deref());
        let place = self.names.place(&error.setting).map(str::to_owned);
        let detail = error.into_detail();
        let explained = ConfigError::new(place.unwrap_or(detail.setting), say(&detail.message));
        match detail.hint {
            // they have no such setting, and the variable counts for them too
            Some(hint) => explained.hint(say(&hint.replace("authority_hosts or ", ""))),
            None => explained,
        }
    }

    /// What the settings are called.
    pub fn names(&self) -> &Names {
        &self.names
    }
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("source", &self.source)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}
