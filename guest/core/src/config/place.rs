//! Where in the configuration something is, what the environment adds there, and what is found to be needed for it.

use std::cell::RefCell;

use super::certificate_files::CertificateFiles;
use super::environment::{ENVIRONMENT_IDENTITY, Environment};
use super::error::{ConfigError, check};
use crate::Table;
#[cfg(feature = "every-credential")]
use crate::authority::{Authority, TrustedHosts};
use crate::needs::Needs;
use crate::refusal::Refusal;

/// How the settings of certificates begin.
#[cfg(feature = "every-credential")]
const CERTIFICATES: &str = "certificates.";

/// What is shared while a configuration is loaded.
pub(super) struct Loading<'a> {
    pub(super) environment: &'a Environment,
    /// Of what is being checked: found out on the way, so that none is forgotten.
    pub(super) needs: RefCell<Needs>,
    /// Certificates that variables name.
    pub(super) certificates: RefCell<Table<String, CertificateFiles>>,
    /// The hosts that credentials may be sent to.
    #[cfg(feature = "every-credential")]
    pub(super) trusted: std::cell::OnceCell<TrustedHosts>,
}

impl<'a> Loading<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            needs: RefCell::default(),
            certificates: RefCell::default(),
            #[cfg(feature = "every-credential")]
            trusted: std::cell::OnceCell::new(),
        }
    }
}

/// A place in the configuration.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    path: String,
    /// Nothing is written anywhere: only variables can be at fault.
    environment_only: bool,
    loading: &'a Loading<'a>,
}

/// A text and the name of the place that it came from.
pub(crate) struct Setting<'a> {
    name: String,
    pub(crate) value: &'a str,
}

impl Setting<'_> {
    pub(crate) fn check(
        &self,
        rule: impl FnOnce(&str) -> Result<(), Refusal>,
    ) -> Result<(), ConfigError> {
        check(&self.name, rule(self.value))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl<'a> Place<'a> {
    pub(super) fn environment(loading: &'a Loading<'a>) -> Self {
        Self {
            path: String::new(),
            environment_only: true,
            loading,
        }
    }

    pub(super) fn new(path: String, loading: &'a Loading<'a>) -> Self {
        Self {
            path,
            environment_only: false,
            loading,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn is_environment_only(&self) -> bool {
        self.environment_only
    }

    pub(crate) fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    pub(crate) fn inside(&self, field: &str) -> Self {
        Self {
            path: self.at(field),
            ..self.clone()
        }
    }

    /// An item of the list that is here.
    pub(super) fn item(&self, index: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            ..self.clone()
        }
    }

    /// Where in a document a field could be written, also if nothing is.
    pub(crate) fn setting(&self, field: &str) -> String {
        if !self.environment_only {
            return self.at(field);
        }
        let path = format!("identities.{ENVIRONMENT_IDENTITY}{}.{field}", self.path);
        #[cfg(feature = "every-credential")]
        if let Some(variable) = super::walk::variable_for(&path) {
            return variable.to_owned();
        }
        path
    }

    /// Whether credentials may be sent to that host and port.
    #[cfg(feature = "every-credential")]
    pub(crate) fn trusts(&self, authority: &str) -> Result<(), Refusal> {
        let trusted = self.loading.trusted.get();
        trusted.map_or_else(
            || TrustedHosts::default().check(authority),
            |t| t.check(authority),
        )
    }

    /// The server of that issuer, and where its endpoints may be.
    #[cfg(feature = "every-credential")]
    pub(crate) fn discovered(&self, issuer: &str) -> Result<Authority, Refusal> {
        let trusted = self.loading.trusted.get();
        trusted.map_or_else(
            || Authority::discovered(issuer, &TrustedHosts::default()),
            |trusted| Authority::discovered(issuer, trusted),
        )
    }

    /// A field that must be there and that no variable stands for.
    #[cfg(feature = "every-credential")]
    pub(crate) fn required_alone<'v>(
        &self,
        field: &str,
        value: Option<&'v str>,
    ) -> Result<Setting<'v>, ConfigError>
    where
        'a: 'v,
    {
        self.optional(field, value, None)
            .ok_or_else(|| ConfigError::new(self.at(field), "is not set").hint("set it"))
    }

    /// Notes what is needed.
    pub(crate) fn need(&self, note: impl FnOnce(&mut Needs)) {
        note(&mut self.loading.needs.borrow_mut());
    }

    /// Notes a setting that a build without every credential refuses.
    #[cfg(feature = "every-credential")]
    pub(crate) fn need_every_credential(&self, setting: String) {
        self.need(|needs| needs.every_credential.push(setting));
    }

    /// What has been noted since the last time.
    pub(super) fn take_needs(&self) -> Needs {
        self.loading.needs.take()
    }

    /// The files of a certificate that a variable names. A configuration that has one of that name is in conflict.
    pub(crate) fn add_certificate(&self, name: &str, files: CertificateFiles) {
        let mut certificates = self.loading.certificates.borrow_mut();
        certificates.insert(name.to_owned(), files);
    }

    /// A variable and what it was asked for.
    pub(crate) fn variable(&self, name: &str, field: &str, is_secret: bool) -> Option<&'a str> {
        let value = self.loading.environment.get(name)?;
        self.need(|needs| needs.add_variable(name, self.setting(field), is_secret));
        Some(value)
    }

    /// Whether a variable is set that the host alone reads, for a certificate. It is told to nobody else.
    #[cfg(feature = "every-credential")]
    pub(crate) fn variable_of_the_host(&self, name: &str, certificate: &str, field: &str) -> bool {
        let is_set = self.has_variable(name);
        if is_set {
            let setting = format!("{CERTIFICATES}{certificate}.{field}");
            self.need(|needs| needs.add_variable(name, setting, true));
        }
        is_set
    }

    /// The value of a variable for which there is no field.
    pub(crate) fn variable_alone(&self, name: &str) -> Option<&'a str> {
        self.variable_of_platform(name, false)
    }

    /// The same of a variable that may hold a secret.
    pub(crate) fn variable_of_platform(&self, name: &str, is_secret: bool) -> Option<&'a str> {
        let value = self.loading.environment.get(name)?;
        self.need(|needs| needs.add_variable(name, name.to_owned(), is_secret));
        Some(value)
    }

    /// A variable that says yes or no as the Azure SDKs' do. Unset it is no.
    pub(crate) fn flag(&self, name: &str, field: &str) -> Result<bool, ConfigError> {
        let value = self.variable(name, field, false).map_or("0", str::trim);
        let is = |words: [&str; 2]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        if is(["true", "1"]) {
            return Ok(true);
        }
        if is(["false", "0"]) {
            return Ok(false);
        }
        Err(ConfigError::new(name, "is neither true nor false")
            .hint("set it to true or false, or unset it"))
    }

    /// Whether there is such a variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.loading.environment.get(name).is_some()
    }

    /// The field's text, or else that of the variable.
    pub(crate) fn optional<'v>(
        &self,
        field: &str,
        value: Option<&'v str>,
        variable: Option<&'static str>,
    ) -> Option<Setting<'v>>
    where
        'a: 'v,
    {
        if let Some(value) = value {
            return Some(Setting {
                name: self.at(field),
                value,
            });
        }
        let name = variable?;
        let value = self.variable(name, field, false)?;
        Some(Setting {
            name: name.to_owned(),
            value,
        })
    }

    /// The same of a field that must be there.
    pub(crate) fn required<'v>(
        &self,
        field: &str,
        value: Option<&'v str>,
        variable: Option<&'static str>,
    ) -> Result<Setting<'v>, ConfigError>
    where
        'a: 'v,
    {
        self.optional(field, value, variable)
            .ok_or_else(|| self.missing(field, variable))
    }

    /// That a field is not there.
    pub(super) fn missing(&self, field: &str, variable: Option<&'static str>) -> ConfigError {
        match variable {
            #[cfg(feature = "every-credential")]
            Some(variable) if self.environment_only => {
                ConfigError::new(variable, "is not set").hint(
                    "set it to what the credential of the other variables belongs to, or name a configuration by EDGEPASS_CONFIG",
                )
            }
            #[cfg(not(feature = "every-credential"))]
            Some(variable) if self.environment_only => ConfigError::new(variable, "is not set")
                .hint("set it, or write an identity in the configuration"),
                Some(variable) => ConfigError::new(self.at(field), "is not set")
                    .hint(format!("set it, or {variable} in the environment")),
                None => ConfigError::new(self.at(field), "is not set").hint(
                    "set it: with a token_endpoint or an issuer nothing is taken from the AZURE_… variables",
                ),
        }
    }
}
