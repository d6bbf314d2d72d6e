//! From what users wrote to what the engine runs on. Everything that can be known to be wrong before the first request
//! is an error here, and each names its setting and the fix.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::file::{
    AssertionAlgorithm, BoundCertificateFile, BoundMode, CertificateFile, CertificateFiles,
    ConfigFile, CredentialFile, EndpointVersion, IdentityFile, SecretMethod,
};
use super::request::check_scopes;
use super::{
    Audience, CertificateCredential, Config, Credential, Environment, IdentityConfig, SecretValue,
    rules,
};
use crate::assertion::JWT_BEARER;
use crate::authority::{Authority, Endpoint, PUBLIC_HOST, Refusal, TrustedHosts};
use crate::limits::MAX_ASSERTION_BYTES;
use crate::needs::{CertificateNeed, Needs, SignatureNeed};
use crate::{Algorithm, Error, ErrorClass, Secret, Table};

/// Name of the identity, and of its certificate, that the environment alone describes.
pub const ENVIRONMENT_IDENTITY: &str = "default";

/// A client secret, bytes. Entra's have 40 characters; what is longer than this is another kind of file.
const MAX_CLIENT_SECRET_BYTES: usize = 4096;

/// What is wrong with the configuration. Never repeats a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// Where: a path such as `identities.app.credential`, or the name of an environment variable.
    pub setting: String,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(super) fn new(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn refused(setting: impl Into<String>, refusal: Refusal) -> Self {
        Self {
            setting: setting.into(),
            message: refusal.message,
            hint: Some(refusal.hint),
        }
    }

    fn from_error(setting: impl Into<String>, error: &Error) -> Self {
        Self {
            setting: setting.into(),
            message: error.to_string(),
            hint: error.detail().hint.clone(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let plain = Self::new(
            ErrorClass::Configuration,
            format!("{}: {}", error.setting, error.message),
        );
        match error.hint {
            Some(hint) => plain.hint(hint),
            None => plain,
        }
    }
}

impl Config {
    /// Checks a configuration whole: JSON text, with the environment for what it leaves out. Without a text, or with
    /// one that has no identities, the environment alone describes one identity, which is called `default`.
    // for the sake of those who compile it, as the reader of objects
    #[inline(never)]
    pub fn load(json: Option<&str>, environment: &Environment) -> Result<Self, ConfigError> {
        let file = json.map_or_else(|| Ok(ConfigFile::default()), ConfigFile::parse)?;
        let secrets_in_document = secrets_in_document(&file);
        let mut certificates = file.certificates;
        for (name, files) in &certificates {
            check_certificate_files(name, files)?;
        }
        if let Some(path) = &file.host.ca_file {
            check("host.ca_file", rules::path(path))?;
        }
        let loader = Loader {
            environment,
            trusted: trusted_hosts(&file.authority_hosts, environment)?,
            needs: RefCell::default(),
        };
        if environment
            .get(Environment::EDGEPASS_AUTHORITY_HOSTS)
            .is_some()
        {
            loader.needs.borrow_mut().add_variable(
                Environment::EDGEPASS_AUTHORITY_HOSTS,
                "authority_hosts".to_owned(),
                false,
            );
        }
        let identities = if file.identities.is_empty() {
            loader.require_any_source(json.is_some())?;
            loader.environment_certificate(&mut certificates)?;
            let needs = loader.needs.take();
            let place = Place::environment();
            let identity =
                loader.identity(&place, ENVIRONMENT_IDENTITY, &IdentityFile::default())?;
            loader.needs.replace(needs);
            Table::from_iter([(ENVIRONMENT_IDENTITY.to_owned(), Arc::new(identity))])
        } else {
            let needs = loader.needs.take();
            let mut identities = Table::new();
            for (name, identity) in &file.identities {
                let place = Place::identity(name);
                check(&place.path, rules::name(name))?;
                identities.insert(
                    name.clone(),
                    Arc::new(loader.identity(&place, name, identity)?),
                );
            }
            loader.needs.replace(needs);
            identities
        };
        let default_identity = default_identity(file.default_identity, &identities)?;
        Ok(Self {
            default_identity,
            identities,
            certificates,
            host: file.host,
            envoy: file.envoy,
            secrets_in_document,
            needs: loader.needs.take(),
        })
    }
}

fn secrets_in_document(file: &ConfigFile) -> Vec<String> {
    let mut found = Vec::new();
    for (name, identity) in &file.identities {
        let Some(credential) = &identity.credential else {
            continue;
        };
        let assertion = credential.client_assertion.as_ref();
        if assertion.is_some_and(|assertion| assertion.value.is_some()) {
            found.push(format!(
                "identities.{name}.credential.client_assertion.value"
            ));
        }
        let secret = credential.client_secret.as_ref();
        if secret.is_some_and(|secret| secret.value.is_some()) {
            found.push(format!("identities.{name}.credential.client_secret.value"));
        }
    }
    found
}

/// Where in the configuration something is, for the names in errors.
struct Place {
    path: String,
    /// Nothing is written anywhere: only variables can be at fault.
    environment_only: bool,
}

impl Place {
    fn environment() -> Self {
        Self {
            path: String::new(),
            environment_only: true,
        }
    }

    fn identity(name: &str) -> Self {
        Self {
            path: format!("identities.{name}"),
            environment_only: false,
        }
    }

    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    /// Where in a document it could be written.
    fn setting(&self, field: &str) -> String {
        if self.environment_only {
            format!("identities.{ENVIRONMENT_IDENTITY}{}.{field}", self.path)
        } else {
            self.at(field)
        }
    }

    fn inside(&self, field: &str) -> Self {
        Self {
            path: self.at(field),
            environment_only: self.environment_only,
        }
    }
}

/// A text and the name of the place that it came from.
struct Setting<'a> {
    name: String,
    value: &'a str,
}

impl Setting<'_> {
    fn check(&self, rule: impl FnOnce(&str) -> Result<(), Refusal>) -> Result<(), ConfigError> {
        check(&self.name, rule(self.value))
    }
}

struct Loader<'a> {
    environment: &'a Environment,
    trusted: TrustedHosts,
    /// Of what is being read: found out while it is checked, so that none is forgotten.
    needs: RefCell<Needs>,
}

impl Loader<'_> {
    fn identity(
        &self,
        place: &Place,
        name: &str,
        file: &IdentityFile,
    ) -> Result<IdentityConfig, ConfigError> {
        let (authority, tenant) = match &file.token_endpoint {
            Some(token_endpoint) => (self.generic(place, file, token_endpoint)?, None),
            None => self.entra(place, file)?,
        };
        let variable = authority.is_entra().then_some(Environment::AZURE_CLIENT_ID);
        let client_id = self.required(place, "client_id", file.client_id.as_deref(), variable)?;
        client_id.check(rules::client_id)?;
        for (index, tenant) in file.additionally_allowed_tenants.iter().enumerate() {
            if tenant != "*" {
                check(
                    &place.at(&format!("additionally_allowed_tenants[{index}]")),
                    rules::tenant(tenant),
                )?;
            }
        }
        let scopes = if file.scopes.is_empty() {
            Vec::new()
        } else {
            check_scopes(&authority, &file.scopes)
                .map_err(|error| ConfigError::from_error(place.at("scopes"), &error))?
        };
        let credential = match &file.credential {
            Some(credential) => {
                self.credential(&place.inside("credential"), credential, &authority)?
            }
            None => self.environment_credential(place, &authority)?,
        };
        check_mtls(place, file, &credential, &authority, tenant.as_deref())?;
        let mut identity = IdentityConfig {
            name: name.to_owned(),
            authority,
            client_id: client_id.value.to_owned(),
            tenant,
            additionally_allowed_tenants: file.additionally_allowed_tenants.clone(),
            scopes,
            credential,
            needs: self.needs.take(),
        };
        identity.needs.connections = identity.connections();
        Ok(identity)
    }

    fn entra(
        &self,
        place: &Place,
        file: &IdentityFile,
    ) -> Result<(Authority, Option<String>), ConfigError> {
        if file.mtls_token_endpoint.is_some() {
            return Err(ConfigError::new(
                place.at("mtls_token_endpoint"),
                "stands without token_endpoint",
            )
            .hint("leave it out for Entra ID, whose mTLS host is known, or set token_endpoint"));
        }
        let variable = Some(Environment::AZURE_TENANT_ID);
        let tenant = self.required(place, "tenant_id", file.tenant_id.as_deref(), variable)?;
        tenant.check(rules::tenant)?;
        let public = format!("https://{PUBLIC_HOST}");
        let host = self
            .optional(
                place,
                "authority_host",
                file.authority_host.as_deref(),
                Some(Environment::AZURE_AUTHORITY_HOST),
            )
            .unwrap_or(Setting {
                name: String::new(),
                value: &public,
            });
        let authority = check(
            &host.name,
            Authority::entra(host.value, file.endpoint_version),
        )?;
        if let Authority::Entra {
            host: authority, ..
        } = &authority
        {
            check(&host.name, self.trusted.check(authority))?;
        }
        Ok((authority, Some(tenant.value.to_owned())))
    }

    fn generic(
        &self,
        place: &Place,
        file: &IdentityFile,
        url: &str,
    ) -> Result<Authority, ConfigError> {
        let entra_only = [
            ("tenant_id", file.tenant_id.is_some()),
            ("authority_host", file.authority_host.is_some()),
            (
                "endpoint_version",
                file.endpoint_version != EndpointVersion::default(),
            ),
            (
                "additionally_allowed_tenants",
                !file.additionally_allowed_tenants.is_empty(),
            ),
        ];
        if let Some((field, _)) = entra_only.into_iter().find(|(_, is_set)| *is_set) {
            return Err(ConfigError::new(
                place.at(field),
                "is for Entra ID, but the identity has a token_endpoint",
            )
            .hint(format!("keep either {field} or token_endpoint")));
        }
        let token_endpoint = self.endpoint(&place.at("token_endpoint"), url)?;
        let mtls_token_endpoint = file
            .mtls_token_endpoint
            .as_ref()
            .map(|url| self.endpoint(&place.at("mtls_token_endpoint"), url))
            .transpose()?;
        Ok(Authority::Generic {
            token_endpoint,
            mtls_token_endpoint,
        })
    }

    fn endpoint(&self, setting: &str, url: &str) -> Result<Endpoint, ConfigError> {
        let endpoint = check(setting, Endpoint::parse(url))?;
        check(setting, self.trusted.check(&endpoint.authority))?;
        Ok(endpoint)
    }

    fn credential(
        &self,
        place: &Place,
        file: &CredentialFile,
        authority: &Authority,
    ) -> Result<Credential, ConfigError> {
        let kinds = [
            ("federated_token_file", file.federated_token_file.is_some()),
            ("client_assertion", file.client_assertion.is_some()),
            ("assertion_source", file.assertion_source.is_some()),
            ("client_secret", file.client_secret.is_some()),
            ("certificate", file.certificate.is_some()),
            ("bound_certificate", file.bound_certificate.is_some()),
        ];
        let present: Vec<&str> = kinds
            .iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(kind, _)| *kind)
            .collect();
        if present.len() > 1 {
            return Err(ConfigError::new(
                &place.path,
                format!("has {} kinds: {}", present.len(), present.join(", ")),
            )
            .hint("keep one; for two kinds make two identities"));
        }
        if let Some(kind) = &file.federated_token_file {
            let place = place.inside("federated_token_file");
            let variable = authority
                .is_entra()
                .then_some(Environment::AZURE_FEDERATED_TOKEN_FILE);
            let path = self.required(&place, "path", kind.path.as_deref(), variable)?;
            path.check(rules::path)?;
            self.needs
                .borrow_mut()
                .add_file(place.setting("path"), path.value);
            let assertion_type = assertion_type(&place, kind.assertion_type.as_deref())?;
            return Ok(Credential::FederatedTokenFile {
                path: path.value.to_owned(),
                assertion_type,
            });
        }
        if let Some(kind) = &file.client_assertion {
            let place = place.inside("client_assertion");
            let source = SecretSource {
                value: kind.value.as_ref(),
                env: kind.env.as_deref(),
                file: kind.file.as_deref(),
            };
            let value = self.secret(&place, &source, MAX_ASSERTION_BYTES)?;
            let assertion_type = assertion_type(&place, kind.assertion_type.as_deref())?;
            return Ok(Credential::ClientAssertion {
                value,
                assertion_type,
            });
        }
        if let Some(kind) = &file.assertion_source {
            let place = place.inside("assertion_source");
            if let Some(audience) = &kind.audience {
                check(&place.at("audience"), rules::audience(audience))?;
            }
            let assertion_type = assertion_type(&place, kind.assertion_type.as_deref())?;
            self.needs.borrow_mut().assertion_source = Some(place.path);
            return Ok(Credential::AssertionSource {
                assertion_type,
                audience: kind.audience.clone(),
            });
        }
        if let Some(kind) = &file.client_secret {
            let place = place.inside("client_secret");
            let source = SecretSource {
                value: kind.value.as_ref(),
                env: kind.env.as_deref(),
                file: kind.file.as_deref(),
            };
            let value = self.secret(&place, &source, MAX_CLIENT_SECRET_BYTES)?;
            return Ok(Credential::ClientSecret {
                value,
                method: kind.method,
            });
        }
        if let Some(kind) = &file.certificate {
            let place = place.inside("certificate");
            let certificate = certificate(&place, &CertificateText::from(kind), authority)?;
            self.add_certificate(&place, &certificate, true);
            return Ok(Credential::Certificate(certificate));
        }
        if let Some(kind) = &file.bound_certificate {
            let place = place.inside("bound_certificate");
            let certificate = certificate(&place, &CertificateText::from(kind), authority)?;
            self.add_certificate(&place, &certificate, kind.mode == BoundMode::WithAssertion);
            return Ok(Credential::BoundCertificate {
                certificate,
                mode: kind.mode,
            });
        }
        let names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        Err(ConfigError::new(&place.path, "names no kind")
            .hint(format!("set exactly one of {}", names.join(", "))))
    }

    /// The credential of an identity that writes none down.
    fn environment_credential(
        &self,
        place: &Place,
        authority: &Authority,
    ) -> Result<Credential, ConfigError> {
        if !authority.is_entra() {
            return Err(ConfigError::new(place.at("credential"), "is not set").hint(
                "set it: with a token_endpoint nothing is taken from the AZURE_… variables",
            ));
        }
        let mut kinds = vec![
            Environment::AZURE_FEDERATED_TOKEN_FILE,
            Environment::AZURE_CLIENT_SECRET,
        ];
        if place.environment_only {
            kinds.push(Environment::AZURE_CLIENT_CERTIFICATE_PATH);
        }
        let mut present = kinds
            .iter()
            .filter_map(|kind| self.environment.get(kind).map(|value| (*kind, value)));
        let Some((kind, value)) = present.next() else {
            let setting = if place.environment_only {
                Environment::AZURE_FEDERATED_TOKEN_FILE.to_owned()
            } else {
                place.at("credential")
            };
            return Err(
                ConfigError::new(setting, "is not set, and no other credential is there").hint(
                    format!(
                        "set exactly one of {}, or a credential in the configuration",
                        kinds.join(", ")
                    ),
                ),
            );
        };
        if let Some((other, _)) = present.next() {
            return Err(ConfigError::new(
                other,
                format!("is set, and so is {kind}: only one of them can be meant"),
            )
            .hint("unset one of the two, or name the credential in the configuration"));
        }
        let credential = place.inside("credential");
        match kind {
            Environment::AZURE_FEDERATED_TOKEN_FILE => {
                check(kind, rules::path(value))?;
                let setting = credential.setting("federated_token_file.path");
                let mut needs = self.needs.borrow_mut();
                needs.add_variable(kind, setting.clone(), false);
                needs.add_file(setting, value);
                Ok(Credential::FederatedTokenFile {
                    path: value.to_owned(),
                    assertion_type: JWT_BEARER.to_owned(),
                })
            }
            Environment::AZURE_CLIENT_SECRET => {
                self.needs.borrow_mut().add_variable(
                    kind,
                    credential.setting("client_secret"),
                    true,
                );
                let value = SecretValue::Inline(secret_text(kind, value, MAX_CLIENT_SECRET_BYTES)?);
                Ok(Credential::ClientSecret {
                    value,
                    method: SecretMethod::default(),
                })
            }
            _ => {
                let certificate = CertificateCredential {
                    name: ENVIRONMENT_IDENTITY.to_owned(),
                    algorithm: Algorithm::Ps256,
                    send_x5c: false,
                    audience: Audience::TokenEndpoint,
                };
                self.add_certificate(&credential.inside("certificate"), &certificate, true);
                Ok(Credential::Certificate(certificate))
            }
        }
    }

    /// `AZURE_CLIENT_CERTIFICATE_PATH` as an entry of `certificates`.
    fn environment_certificate(
        &self,
        certificates: &mut Table<String, CertificateFiles>,
    ) -> Result<(), ConfigError> {
        let variable = Environment::AZURE_CLIENT_CERTIFICATE_PATH;
        let Some(path) = self.environment.get(variable) else {
            return Ok(());
        };
        check(variable, rules::path(path))?;
        self.needs.borrow_mut().add_variable(
            variable,
            format!("certificates.{ENVIRONMENT_IDENTITY}.certificate_file"),
            false,
        );
        let files = CertificateFiles {
            certificate_file: path.to_owned(),
            private_key_file: None,
        };
        match certificates.insert(ENVIRONMENT_IDENTITY.to_owned(), files) {
            None => Ok(()),
            Some(_) => Err(ConfigError::new(
                variable,
                "is set, and the configuration has certificates.default as well",
            )
            .hint("unset it, or write an identity that names the certificate")),
        }
    }

    fn add_certificate(&self, place: &Place, certificate: &CertificateCredential, signs: bool) {
        let mut needs = self.needs.borrow_mut();
        needs.certificates.push(CertificateNeed {
            setting: place.setting("name"),
            name: certificate.name.clone(),
        });
        if signs {
            needs.signatures.push(SignatureNeed {
                setting: place.setting("algorithm"),
                certificate: certificate.name.clone(),
                algorithm: certificate.algorithm,
            });
        }
    }

    fn require_any_source(&self, has_document: bool) -> Result<(), ConfigError> {
        let starters = [
            Environment::AZURE_TENANT_ID,
            Environment::AZURE_CLIENT_ID,
            Environment::AZURE_FEDERATED_TOKEN_FILE,
            Environment::AZURE_CLIENT_SECRET,
            Environment::AZURE_CLIENT_CERTIFICATE_PATH,
        ];
        if starters
            .iter()
            .any(|name| self.environment.get(name).is_some())
        {
            return Ok(());
        }
        let error = if has_document {
            ConfigError::new(
                "configuration",
                "has no identities, and no AZURE_… variables are set either",
            )
            .hint("write one under identities, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE")
        } else {
            ConfigError::new("configuration", "there is none: neither a file nor variables").hint(
                "give a file with --config (EDGEPASS_CONFIG), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
                 AZURE_FEDERATED_TOKEN_FILE",
            )
        };
        Err(error)
    }

    fn optional<'v>(
        &'v self,
        place: &Place,
        field: &str,
        value: Option<&'v str>,
        variable: Option<&'static str>,
    ) -> Option<Setting<'v>> {
        value
            .map(|value| Setting {
                name: place.at(field),
                value,
            })
            .or_else(|| {
                let variable = variable?;
                let value = self.environment.get(variable)?;
                self.needs
                    .borrow_mut()
                    .add_variable(variable, place.setting(field), false);
                Some(Setting {
                    name: variable.to_owned(),
                    value,
                })
            })
    }

    fn required<'v>(
        &'v self,
        place: &Place,
        field: &str,
        value: Option<&'v str>,
        variable: Option<&'static str>,
    ) -> Result<Setting<'v>, ConfigError> {
        self.optional(place, field, value, variable).ok_or_else(|| match variable {
            Some(variable) if place.environment_only => ConfigError::new(variable, "is not set")
                .hint(format!("set it, or give a configuration with --config (EDGEPASS_CONFIG) that has {field}")),
            Some(variable) => ConfigError::new(place.at(field), "is not set")
                .hint(format!("set it, or {variable} in the environment")),
            None => ConfigError::new(place.at(field), "is not set")
                .hint("set it: with a token_endpoint nothing is taken from the AZURE_… variables"),
        })
    }

    fn secret(
        &self,
        place: &Place,
        source: &SecretSource<'_>,
        max_bytes: usize,
    ) -> Result<SecretValue, ConfigError> {
        match (source.value, source.env, source.file) {
            (Some(value), None, None) => {
                let mut needs = self.needs.borrow_mut();
                needs.inline_secrets.push(place.at("value"));
                secret_text(&place.at("value"), value.expose(), max_bytes).map(SecretValue::Inline)
            }
            (None, Some(variable), None) => {
                let setting = place.at("env");
                let value = self
                    .environment
                    .get(variable)
                    .ok_or_else(|| unset(&setting, variable))?;
                self.needs
                    .borrow_mut()
                    .add_variable(variable, setting.clone(), true);
                secret_text(&setting, value, max_bytes).map(SecretValue::Inline)
            }
            (None, None, Some(path)) => {
                check(&place.at("file"), rules::path(path))?;
                self.needs.borrow_mut().add_file(place.at("file"), path);
                Ok(SecretValue::File(path.to_owned()))
            }
            (None, None, None) => Err(ConfigError::new(
                &place.path,
                "says nothing about where the secret is",
            )
            .hint("set exactly one of value, env and file")),
            _ => Err(
                ConfigError::new(&place.path, "has more than one of value, env and file")
                    .hint("keep one of them"),
            ),
        }
    }
}

/// The three ways to give a secret.
struct SecretSource<'a> {
    value: Option<&'a Secret>,
    env: Option<&'a str>,
    file: Option<&'a str>,
}

/// What the two certificate kinds have in common.
struct CertificateText<'a> {
    name: &'a str,
    algorithm: AssertionAlgorithm,
    send_x5c: bool,
    audience: Option<&'a str>,
}

impl<'a> From<&'a CertificateFile> for CertificateText<'a> {
    fn from(file: &'a CertificateFile) -> Self {
        let CertificateFile {
            name,
            algorithm,
            send_x5c,
            audience,
        } = file;
        Self {
            name,
            algorithm: *algorithm,
            send_x5c: *send_x5c,
            audience: audience.as_deref(),
        }
    }
}

impl<'a> From<&'a BoundCertificateFile> for CertificateText<'a> {
    fn from(file: &'a BoundCertificateFile) -> Self {
        let BoundCertificateFile {
            name,
            mode: _,
            algorithm,
            send_x5c,
            audience,
        } = file;
        Self {
            name,
            algorithm: *algorithm,
            send_x5c: *send_x5c,
            audience: audience.as_deref(),
        }
    }
}

fn certificate(
    place: &Place,
    text: &CertificateText<'_>,
    authority: &Authority,
) -> Result<CertificateCredential, ConfigError> {
    check(&place.at("name"), rules::name(text.name))?;
    if let Some(audience) = text.audience {
        check(&place.at("audience"), rules::audience(audience))?;
    }
    let algorithm = match text.algorithm {
        AssertionAlgorithm::Ps256 => Algorithm::Ps256,
        AssertionAlgorithm::Rs256 => Algorithm::Rs256,
        AssertionAlgorithm::Es256 if authority.is_entra() => {
            return Err(ConfigError::new(
                place.at("algorithm"),
                "is ES256, which Entra ID does not take",
            )
            .hint("use an RSA certificate and leave algorithm out (PS256)"));
        }
        AssertionAlgorithm::Es256 => Algorithm::Es256,
    };
    Ok(CertificateCredential {
        name: text.name.to_owned(),
        algorithm,
        send_x5c: text.send_x5c,
        audience: text.audience.map_or(Audience::TokenEndpoint, |audience| {
            Audience::Literal(audience.to_owned())
        }),
    })
}

fn check_mtls(
    place: &Place,
    file: &IdentityFile,
    credential: &Credential,
    authority: &Authority,
    tenant: Option<&str>,
) -> Result<(), ConfigError> {
    if let Credential::BoundCertificate { .. } = credential {
        authority.token_endpoint(tenant, true).map_err(|error| {
            ConfigError::from_error(place.at("credential.bound_certificate"), &error)
        })?;
    }
    // an assertion source may name the certificate that its assertion is bound to
    let may_be_bound = matches!(
        credential,
        Credential::BoundCertificate { .. } | Credential::AssertionSource { .. }
    );
    if file.mtls_token_endpoint.is_some() && !may_be_bound {
        return Err(ConfigError::new(
            place.at("mtls_token_endpoint"),
            "is never used: the credential has no certificate for the connection",
        )
        .hint("remove it, or use the credential kind bound_certificate"));
    }
    Ok(())
}

fn check_certificate_files(name: &str, files: &CertificateFiles) -> Result<(), ConfigError> {
    let place = Place {
        path: format!("certificates.{name}"),
        environment_only: false,
    };
    check(&place.path, rules::name(name))?;
    check(
        &place.at("certificate_file"),
        rules::path(&files.certificate_file),
    )?;
    files.private_key_file.as_ref().map_or(Ok(()), |path| {
        check(&place.at("private_key_file"), rules::path(path))
    })
}

fn trusted_hosts(named: &[String], environment: &Environment) -> Result<TrustedHosts, ConfigError> {
    let mut trusted = TrustedHosts::default();
    for (index, entry) in named.iter().enumerate() {
        check(&format!("authority_hosts[{index}]"), trusted.add(entry))?;
    }
    let variable = Environment::EDGEPASS_AUTHORITY_HOSTS;
    let entries = environment
        .get(variable)
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        check(variable, trusted.add(entry))?;
    }
    Ok(trusted)
}

fn default_identity(
    named: Option<String>,
    identities: &Table<String, Arc<IdentityConfig>>,
) -> Result<Option<String>, ConfigError> {
    match named {
        Some(name) if !identities.contains_key(&name) => {
            let known: Vec<&str> = identities.keys().map(String::as_str).collect();
            let known = known.join(", ");
            Err(ConfigError::new(
                "default_identity",
                format!("is `{name}`, which is not among the identities"),
            )
            .hint(format!("name one of: {known}")))
        }
        Some(name) => Ok(Some(name)),
        None if identities.len() == 1 => Ok(identities.keys().next().cloned()),
        None => Ok(None),
    }
}

fn assertion_type(place: &Place, configured: Option<&str>) -> Result<String, ConfigError> {
    if let Some(uri) = configured {
        check(&place.at("assertion_type"), rules::assertion_type(uri))?;
    }
    Ok(configured.unwrap_or(JWT_BEARER).to_owned())
}

/// Line ends at the end are how files and shells deliver a value, and part of no secret; any other control character
/// is a sign that this is something else.
fn secret_text(setting: &str, text: &str, max_bytes: usize) -> Result<Secret, ConfigError> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(ConfigError::new(setting, "is empty").hint("set it to the secret"));
    }
    if text.len() > max_bytes {
        return Err(
            ConfigError::new(setting, format!("is longer than {max_bytes} bytes"))
                .hint("check that it is what it should be"),
        );
    }
    if text.chars().any(char::is_control) {
        return Err(ConfigError::new(
            setting,
            "has a line break or another control character inside",
        )
        .hint("give the value on one line"));
    }
    Ok(Secret::new(text))
}

/// Somebody may have written the secret where its variable's name belongs, so only what has the usual form of a name
/// is repeated.
fn unset(setting: &str, variable: &str) -> ConfigError {
    let is_usual = variable.starts_with(|c: char| c.is_ascii_uppercase())
        && variable
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    let error = if is_usual {
        ConfigError::new(
            setting,
            format!("names the environment variable {variable}, which is not set"),
        )
    } else {
        ConfigError::new(setting, "names an environment variable that is not set")
    };
    error.hint("set the variable; in env stands its name, not the secret")
}

fn check<T>(setting: &str, result: Result<T, Refusal>) -> Result<T, ConfigError> {
    result.map_err(|refusal| ConfigError::refused(setting, refusal))
}
