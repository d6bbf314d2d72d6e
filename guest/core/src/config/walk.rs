//! The identity that the environment alone describes: the first set of variables that is there, in the order of the Azure
//! SDKs' `DefaultAzureCredential` (`default.py` of azure-identity, "Credential chains" of their documentation), as far as
//! it is for workloads; and what a hint that names a setting says of such an identity, which has none.
//!
//! The SDKs decide by the variables alone which credential it is. One that is chosen and refused hides behind no other:
//! whoever comes next is somebody else. A set of which a part is missing is a mistake here, where the SDKs pass it over:
//! it was meant. Jobs of GitHub Actions and Azure Pipelines, for which the chain of the SDKs has no place, come after
//! workload identity.

#[cfg(feature = "key-vault")]
mod surroundings;

use super::Environment;
use super::document::IdentityFile;
use super::environment::ClientVariables;
use super::error::{ConfigError, ConfigErrorDetail};
use super::parse::OneOrMore;
use super::place::Place;
use crate::credential::CredentialFile;
use crate::{Attempt, CredentialRef, Error, ErrorClass};

/// Those that a task of Azure Pipelines has of its service connection.
const SUBSCRIPTION: ClientVariables = ClientVariables {
    client_id: "AZURESUBSCRIPTION_CLIENT_ID",
    tenant_id: "AZURESUBSCRIPTION_TENANT_ID",
};

const AZURE: &ClientVariables = ClientVariables::AZURE;

const SECRET: &str = Environment::AZURE_CLIENT_SECRET;
const CERTIFICATE: &str = Environment::AZURE_CLIENT_CERTIFICATE_PATH;
const CERTIFICATE_PASSWORD: &str = Environment::AZURE_CLIENT_CERTIFICATE_PASSWORD;
const TOKEN_FILE: &str = Environment::AZURE_FEDERATED_TOKEN_FILE;
const CREDENTIALS: &str = Environment::AZURE_TOKEN_CREDENTIALS;

/// The variables of identity bindings: none of them is for anything else.
const TOKEN_PROXY: &[&str] = &[
    Environment::AZURE_KUBERNETES_TOKEN_PROXY,
    Environment::AZURE_KUBERNETES_SNI_NAME,
    Environment::AZURE_KUBERNETES_CA_FILE,
    Environment::AZURE_KUBERNETES_CA_DATA,
];

const GITHUB: &[&str] = &[
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
];

const PIPELINES: &[&str] = &[
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
];

/// Of these one says that a platform of managed identities started this process, or replaces the metadata service.
const MANAGED: &[&str] = &[
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

/// What the environment describes.
pub(super) struct Found {
    /// In the place of what would be written down.
    pub(super) file: IdentityFile,
    /// The variable that stands for the credential, where it is not in the file.
    pub(super) shortcut: Option<&'static str>,
    pub(super) of: FromEnvironment,
}

/// Of an identity of which nothing is written down.
#[derive(Clone, Debug)]
pub(crate) struct FromEnvironment {
    /// Where its client is named.
    pub(crate) variables: &'static ClientVariables,
    /// The credentials that come before its own, and why it is none of them.
    pub(crate) passed: Vec<Attempt>,
    /// What would give this process a token of its own, where its surroundings say that it could have one.
    #[cfg(feature = "key-vault")]
    pub(crate) likely: Option<&'static str>,
}

/// A step of the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// A secret, or else a certificate.
    Environment,
    WorkloadIdentity,
    /// A job of GitHub Actions or Azure Pipelines.
    Job,
    ManagedIdentity,
}

const STEPS: [Step; 4] = [
    Step::Environment,
    Step::WorkloadIdentity,
    Step::Job,
    Step::ManagedIdentity,
];

/// The names in `AZURE_TOKEN_CREDENTIALS` that are for workloads.
const NAMES: [(&str, Step); 3] = [
    ("EnvironmentCredential", Step::Environment),
    ("WorkloadIdentityCredential", Step::WorkloadIdentity),
    ("ManagedIdentityCredential", Step::ManagedIdentity),
];

/// Those that are for the machines of developers, of all SDKs.
const DEVELOPERS: [&str; 9] = [
    "AzureCliCredential",
    "AzureDeveloperCliCredential",
    "AzurePowerShellCredential",
    "BrokerCredential",
    "IntelliJCredential",
    "InteractiveBrowserCredential",
    "SharedTokenCacheCredential",
    "VisualStudioCodeCredential",
    "VisualStudioCredential",
];

/// What the environment describes. Where nothing is set that is the managed identity of the machine.
///
/// # Errors
///
/// With the first variable that is missing beside others that are nothing without it.
pub(super) fn find(place: &Place<'_>) -> Result<Found, ConfigError> {
    let only = selected(place)?;
    let mut walk = Walk {
        place,
        only,
        passed: Vec::new(),
        #[cfg(feature = "key-vault")]
        likely: None,
    };
    for step in STEPS {
        let chosen = match step {
            Step::Environment => walk.environment()?,
            Step::WorkloadIdentity => walk.workload_identity()?,
            Step::Job => walk.job()?,
            Step::ManagedIdentity => break,
        };
        if let Some(chosen) = chosen {
            return Ok(walk.found(chosen));
        }
    }
    let chosen = walk.managed_identity()?;
    Ok(walk.found(chosen))
}

/// The step that `AZURE_TOKEN_CREDENTIALS` leaves; none if it leaves all.
fn selected(place: &Place<'_>) -> Result<Option<Step>, ConfigError> {
    let Some(value) = place.variable_alone(CREDENTIALS) else {
        return Ok(None);
    };
    let is = |name: &str| name.eq_ignore_ascii_case(value.trim());
    if is("prod") {
        return Ok(None);
    }
    if let Some((_, step)) = NAMES.iter().find(|(name, _)| is(name)) {
        return Ok(Some(*step));
    }
    let mut developers = std::iter::once("dev").chain(DEVELOPERS);
    let message = match developers.find(|name| is(name)) {
        Some(name) => format!("is {name}: the credentials of developers are not for workloads"),
        None => "names no credential".to_owned(),
    };
    Err(ConfigError::new(CREDENTIALS, message).hint(format!(
        "set it to prod or to one of {}, or unset it",
        NAMES.map(|(name, _)| name).join(", ")
    )))
}

/// The credential of a step.
struct Chosen {
    credential: CredentialFile,
    shortcut: Option<&'static str>,
    variables: &'static ClientVariables,
}

impl Chosen {
    fn shortcut(variable: &'static str) -> Self {
        Self {
            credential: CredentialFile::default(),
            shortcut: Some(variable),
            variables: AZURE,
        }
    }
}

struct Walk<'p, 'a> {
    place: &'p Place<'a>,
    only: Option<Step>,
    passed: Vec<Attempt>,
    #[cfg(feature = "key-vault")]
    likely: Option<&'static str>,
}

impl Walk<'_, '_> {
    fn found(self, chosen: Chosen) -> Found {
        let Chosen {
            credential,
            shortcut,
            variables,
        } = chosen;
        let credential = match shortcut {
            Some(_) => None,
            None => Some(OneOrMore::One(credential)),
        };
        Found {
            file: IdentityFile {
                credential,
                ..IdentityFile::default()
            },
            shortcut,
            of: FromEnvironment {
                variables,
                passed: self.passed,
                #[cfg(feature = "key-vault")]
                likely: self.likely,
            },
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.place.has_variable(name)
    }

    fn first<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.is_set(name))
    }

    /// Whether the step is left out, which is noted.
    fn is_left_out(&mut self, step: Step, kinds: &[&'static str]) -> bool {
        let is_out = self.only.is_some_and(|only| only != step);
        if is_out {
            for kind in kinds {
                self.pass(kind, format!("{CREDENTIALS} leaves it out"));
            }
        }
        is_out
    }

    fn pass(&mut self, kind: &str, message: String) {
        self.passed.push(Attempt {
            credential: CredentialRef {
                kind: kind.to_owned(),
                name: None,
            },
            class: ErrorClass::CredentialUnavailable,
            message,
        });
    }

    /// The pair that names the client of a credential. Whether it needs the tenant is the authority's affair.
    fn client(
        &self,
        because: &str,
        otherwise: &str,
        pairs: &[&'static ClientVariables],
    ) -> Result<&'static ClientVariables, ConfigError> {
        let is_touched =
            |pair: &&&ClientVariables| self.is_set(pair.client_id) || self.is_set(pair.tenant_id);
        let pair = pairs.iter().find(is_touched).or(pairs.first());
        let pair = pair.copied().unwrap_or(AZURE);
        if self.is_set(pair.client_id) {
            return Ok(pair);
        }
        Err(missing(pair.client_id, because).hint(format!(
            "set {} and {} to the application that it is for, or {otherwise}",
            pair.client_id, pair.tenant_id
        )))
    }

    /// Secret before certificate: with both the SDKs take the secret.
    fn environment(&mut self) -> Result<Option<Chosen>, ConfigError> {
        if self.is_left_out(Step::Environment, &["client_secret", "certificate"]) {
            return Ok(None);
        }
        if let Some(variable) = self.first(&[SECRET, CERTIFICATE]) {
            if variable == CERTIFICATE {
                self.pass("client_secret", unset(SECRET));
            }
            self.client(variable, &format!("unset {variable}"), &[AZURE])?;
            return Ok(Some(Chosen::shortcut(variable)));
        }
        if self.is_set(CERTIFICATE_PASSWORD) {
            return Err(missing(CERTIFICATE, CERTIFICATE_PASSWORD)
                .hint("set it to the file that the password is for, or unset the password"));
        }
        if self.only.is_some() {
            return Err(selected_and_missing(
                &[SECRET, CERTIFICATE],
                "set one of the two, with AZURE_CLIENT_ID and AZURE_TENANT_ID",
            ));
        }
        self.pass("client_secret", unset(SECRET));
        self.pass("certificate", unset(CERTIFICATE));
        Ok(None)
    }

    fn workload_identity(&mut self) -> Result<Option<Chosen>, ConfigError> {
        if self.is_left_out(Step::WorkloadIdentity, &["federated_token_file"]) {
            return Ok(None);
        }
        if self.is_set(TOKEN_FILE) {
            self.client(
                TOKEN_FILE,
                &format!("unset {TOKEN_FILE}; on Kubernetes they are annotations of the service account, azure.workload.identity/client-id and /tenant-id"),
                &[AZURE],
            )?;
            return Ok(Some(Chosen::shortcut(TOKEN_FILE)));
        }
        if let Some(name) = self.first(TOKEN_PROXY) {
            return Err(missing(TOKEN_FILE, name).hint(
                "the webhook of AKS sets both: look at the pod's label azure.workload.identity/use, or unset all variables AZURE_KUBERNETES_…",
            ));
        }
        if self.only.is_some() {
            return Err(selected_and_missing(
                &[TOKEN_FILE],
                "set it, with AZURE_CLIENT_ID and AZURE_TENANT_ID: on Kubernetes the webhook of workload identity does",
            ));
        }
        self.pass("federated_token_file", unset(TOKEN_FILE));
        Ok(None)
    }

    fn job(&mut self) -> Result<Option<Chosen>, ConfigError> {
        if self.is_left_out(Step::Job, &["github_actions", "azure_pipelines"]) {
            return Ok(None);
        }
        if let Some(name) = self.first(GITHUB) {
            self.whole(
                GITHUB,
                name,
                "a job has both with `permissions: id-token: write`: hand both to the step",
            )?;
            return Ok(Some(Chosen {
                credential: CredentialFile::of_github_actions(),
                shortcut: None,
                variables: self.client(name, NOT_THE_JOB, &[AZURE])?,
            }));
        }
        self.pass("github_actions", unset("ACTIONS_ID_TOKEN_REQUEST_URL"));
        if let Some(name) = self.first(PIPELINES) {
            self.whole(
                PIPELINES,
                name,
                "give the step `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`, and AZURESUBSCRIPTION_SERVICE_CONNECTION_ID the \
                 ID of the service connection",
            )?;
            return Ok(Some(Chosen {
                credential: CredentialFile::of_azure_pipelines(),
                shortcut: None,
                variables: self.client(name, NOT_THE_JOB, &[AZURE, &SUBSCRIPTION])?,
            }));
        }
        self.pass("azure_pipelines", unset("SYSTEM_OIDCREQUESTURI"));
        Ok(None)
    }

    /// That all of them are set, because one is.
    fn whole(&self, names: &[&str], one: &str, hint: &str) -> Result<(), ConfigError> {
        match names.iter().find(|name| !self.is_set(name)) {
            None => Ok(()),
            Some(absent) => Err(missing(absent, one).hint(format!("{hint}; or {NOT_THE_JOB}"))),
        }
    }

    /// The user-assigned one of `AZURE_CLIENT_ID`, or the one that the system has assigned.
    fn managed_identity(&mut self) -> Result<Chosen, ConfigError> {
        const CLIENT: &str = Environment::AZURE_CLIENT_ID;
        const TENANT: &str = Environment::AZURE_TENANT_ID;

        #[cfg(feature = "key-vault")]
        if self.only.is_none() {
            self.likely = surroundings::hint(self.place);
        }
        // what else can be meant by it is not clear; of a platform that says so itself it is
        if self.only.is_none()
            && self.is_set(TENANT)
            && !self.is_set(CLIENT)
            && self.first(MANAGED).is_none()
        {
            #[cfg(feature = "key-vault")]
            let likely = self
                .likely
                .map_or_else(String::new, |likely| format!("; {likely}"));
            #[cfg(not(feature = "key-vault"))]
            let likely = "";
            return Err(missing(CLIENT, TENANT).hint(format!(
                "set it, and one of {TOKEN_FILE}, {SECRET} and {CERTIFICATE}{likely}; or unset {TENANT} for the machine's own managed identity"
            )));
        }
        // a filter has other rules for what the environment says
        let setting = self.place.setting("credential.managed_identity");
        self.place.need_every_credential(setting);
        let client_id = self.place.variable(CLIENT, "client_id", false);
        Ok(Chosen {
            credential: CredentialFile::of_managed_identity(client_id),
            shortcut: None,
            variables: AZURE,
        })
    }
}

/// What to do where another credential than the job's is meant.
const NOT_THE_JOB: &str = "where the job's own token is not meant, name the credential that is in AZURE_TOKEN_CREDENTIALS";

fn unset(name: &str) -> String {
    format!("{name} is not set")
}

fn missing(name: &str, because: &str) -> ConfigError {
    ConfigError::new(name, format!("is not set, and {because} is"))
}

/// Of a credential that somebody has named.
fn selected_and_missing(names: &[&str], hint: &str) -> ConfigError {
    let name = names.first().copied().unwrap_or(CREDENTIALS);
    let others: Vec<&str> = names.iter().skip(1).copied().collect();
    let others = match others.as_slice() {
        [] => String::new(),
        others => format!(", nor is {}", others.join(", nor is ")),
    };
    let message = format!("is not set{others}, and {CREDENTIALS} leaves no other credential");
    ConfigError::new(name, message).hint(hint)
}

/// What to do where nobody is there who gives tokens.
const NOTHING_SET: &str = "set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_SECRET and \
     AZURE_CLIENT_CERTIFICATE_PATH, or name a configuration by EDGEPASS_CONFIG (in a component: EDGEPASS_CONFIG_JSON)";

/// The variables that stand for settings, by the ends of their paths.
const SETTINGS: &[(&str, &str)] = &[
    (
        "additionally_allowed_tenants",
        Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS,
    ),
    ("authority_host", Environment::AZURE_AUTHORITY_HOST),
    ("certificate.name", CERTIFICATE),
    ("certificate_file", CERTIFICATE),
    ("client_id", Environment::AZURE_CLIENT_ID),
    ("credential.client_secret", SECRET),
    ("federated_token_file.path", TOKEN_FILE),
    ("password_env", CERTIFICATE_PASSWORD),
    ("send_x5c", Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN),
    (
        "service_connection_id",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    ),
    ("tenant_id", Environment::AZURE_TENANT_ID),
    ("token_proxy.ca_data", Environment::AZURE_KUBERNETES_CA_DATA),
    ("token_proxy.ca_file", Environment::AZURE_KUBERNETES_CA_FILE),
    (
        "token_proxy.server_name",
        Environment::AZURE_KUBERNETES_SNI_NAME,
    ),
    ("token_proxy.url", Environment::AZURE_KUBERNETES_TOKEN_PROXY),
];

/// What is said of a document, and what is said where there is none.
const PHRASES: &[(&str, &str)] = &[
    (
        "certificate `default`",
        "the certificate of AZURE_CLIENT_CERTIFICATE_PATH",
    ),
    (
        "certificate default ",
        "the certificate of AZURE_CLIENT_CERTIFICATE_PATH ",
    ),
    (
        "certificate default:",
        "the certificate of AZURE_CLIENT_CERTIFICATE_PATH:",
    ),
    (", or federated_token_file.path in the configuration", ""),
    ("client_id, object_id or resource_id", "client_id"),
    (
        "set password_file or password_env beside it",
        "set password_env",
    ),
    ("password_file or password_env", "password_env"),
    (", or put its text into certificate_base64", ""),
    (", or set the identity's scopes", ""),
    (
        "authority_hosts or EDGEPASS_AUTHORITY_HOSTS",
        Environment::EDGEPASS_AUTHORITY_HOSTS,
    ),
    (
        "set use_bound_credential on its certificate",
        "write a configuration whose certificate has use_bound_credential",
    ),
    ("; set `algorithm` accordingly", ": here PS256 it is"),
    (
        "name the file with the private key (private_key_file); perhaps two files are the wrong way round",
        "put the private key into the same file",
    ),
    (" (token_proxy.ca_file, ca_data)", ""),
    (" (token_proxy.server_name)", ""),
    (" (token_proxy.url)", ""),
];

/// The variable that stands for the setting at that path.
pub(super) fn variable_for(path: &str) -> Option<&'static str> {
    let is = |setting: &str| {
        path.strip_suffix(setting)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let mut settings = SETTINGS.iter();
    let found = settings.find(|(setting, _)| is(setting));
    found.map(|(_, variable)| *variable)
}

impl FromEnvironment {
    #[cfg(feature = "key-vault")]
    fn likely(&self) -> Option<&'static str> {
        self.likely
    }

    #[cfg(not(feature = "key-vault"))]
    fn likely(&self) -> Option<&'static str> {
        None
    }

    /// What an error says to do, with variables in the place of settings. A server's words are left as they are.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let is_own = error.detail().http_status.is_none();
        error.edit(|detail| {
            detail.hint = detail.hint.as_deref().map(|hint| self.in_variables(hint));
            if is_own {
                detail.message = self.in_variables(&detail.message);
            }
        })
    }

    /// That error of the last credential, which is not here either.
    pub(crate) fn nothing_there(&self, error: Error) -> Error {
        error.edit(|detail| {
            detail.attempts.clone_from(&self.passed);
            detail.retryable = false;
            let hint = match detail.hint.take() {
                Some(hint) => format!("{hint}; or {NOTHING_SET}"),
                None => NOTHING_SET.to_owned(),
            };
            detail.hint = Some(match self.likely() {
                Some(likely) => format!("{likely}; or {hint}"),
                None => hint,
            });
        })
    }

    /// The same of a configuration.
    pub(super) fn explain_config(&self, error: ConfigError) -> ConfigError {
        let ConfigErrorDetail {
            setting,
            message,
            hint,
            // a place is one of a document, and there is none
            ..
        } = error.into_detail();
        let plain = ConfigError::new(self.in_variables(&setting), self.in_variables(&message));
        match hint {
            Some(hint) => plain.hint(self.in_variables(&hint)),
            None => plain,
        }
    }

    pub(super) fn in_variables(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (setting, variable) in PHRASES {
            text = text.replace(setting, variable);
        }
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "_.[]/-".contains(c);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (between, from) = split(rest, is_of_a_name);
            let (name, after) = split(from, |c| !is_of_a_name(c));
            // the end of a sentence is none of the name
            let path = name.trim_end_matches('.');
            let end = name.strip_prefix(path).unwrap_or_default();
            out.extend([between, self.variable(path).unwrap_or(path), end]);
            rest = after;
        }
        out
    }

    /// As [`variable_for`], with the client's own.
    fn variable(&self, path: &str) -> Option<&'static str> {
        Some(match variable_for(path)? {
            Environment::AZURE_CLIENT_ID => self.variables.client_id,
            Environment::AZURE_TENANT_ID => self.variables.tenant_id,
            other => other,
        })
    }
}

/// What comes before the first of these characters, and the rest.
fn split(text: &str, is: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is).unwrap_or(text.len()))
}

#[cfg(test)]
mod phrases;
