//! What the rules of a configuration need of Envoy. It follows from what their identities need of any driver; what no
//! Envoy can do is refused.

use edgepass_core::config::CertificateFiles;
use edgepass_core::config::{ConfigError, IdentityConfig};
use edgepass_core::{Algorithm, Config, TokenRequest};

use crate::module::{Module, is_for_full};
use crate::rule::{RuleSettings, check_rules, identity_of};
use crate::settings::refusal;

/// Of what the full module has.
pub(crate) const NOT_HERE: &str = "is not in edgepass-envoy.wasm";

/// What has to be in Envoy's configuration for the rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Requirements<'c> {
    /// The rules; never none.
    pub rules: Vec<RuleSettings>,
    /// The tokens that they need, each once.
    pub tokens: Vec<TokenRequest>,
    /// The identities that those are of, each once. Others of the configuration may be for another driver.
    pub identities: Vec<Required<'c>>,
}

/// What has to be there for one identity, besides what its needs name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Required<'c> {
    /// The identity.
    pub identity: &'c IdentityConfig,
    /// The certificates whose keys sign, by name: the filter reads their files.
    pub signers: Vec<(&'c str, &'c CertificateFiles)>,
}

impl<'c> Requirements<'c> {
    /// Of that configuration, with or without a section `envoy`, of Envoy and of that module.
    ///
    /// # Errors
    ///
    /// With the setting of an identity that asks for what Envoy cannot do, or what that module cannot.
    pub fn of(config: &'c Config, module: Module) -> Result<Self, ConfigError> {
        let mut all = config.identities.values();
        if let Some(setting) = all.find_map(|identity| identity.needs().inline_secrets.first()) {
            return Err(refusal(
                setting,
                "is an inline secret, which Envoy shows in /config_dump",
                "put the secret into a file and name that with `file`",
            ));
        }
        let mut all = config.certificates.iter();
        if let Some((name, _)) = all.find(|(_, files)| files.certificate_base64.is_some()) {
            return Err(refusal(
                &format!("certificates.{name}.certificate_base64"),
                "is an inline private key, which Envoy shows in /config_dump",
                "put it into files and name those",
            ));
        }
        let (rules, tokens) = check_rules(config, module)?;
        let mut identities: Vec<Required<'c>> = Vec::new();
        let callers = rules.iter().filter_map(|rule| rule.caller.as_ref());
        let asked = tokens.iter().chain(callers.map(|caller| &caller.request));
        for identity in asked.filter_map(|token| identity_of(token, config)) {
            if !identities
                .iter()
                .any(|known| known.identity.name == identity.name)
            {
                identities.push(Required::of(identity, config, module)?);
            }
        }
        Ok(Self {
            rules,
            tokens,
            identities,
        })
    }
}

impl<'c> Required<'c> {
    fn of(
        identity: &'c IdentityConfig,
        config: &'c Config,
        module: Module,
    ) -> Result<Self, ConfigError> {
        let needs = identity.needs();
        if let Some(setting) = &needs.assertion_source {
            return Err(refusal(
                setting,
                "there is no assertion source in Envoy",
                "use federated_token_file",
            ));
        }
        if let Some(setting) = &needs.platform {
            return Err(refusal(
                setting,
                "is a source that is not available in Envoy: a process of the platform, of which this machine's variables say where it is",
                "the filter asks the metadata service alone: write imds",
            ));
        }
        let mut beyond = needs.every_credential.iter();
        if let Some(setting) = beyond.find(|setting| !module.has(setting)) {
            return Err(match is_for_full(setting) {
                true => refusal(setting, NOT_HERE, in_full(setting)),
                false => refusal(setting, "is not available in Envoy", in_envoy(setting)),
            });
        }
        let mut signers = Vec::new();
        for signature in &needs.signatures {
            if !signature.by_certificate {
                return Err(refusal(
                    signature.setting.trim_end_matches(".algorithm"),
                    "is not available in Envoy",
                    "use the certificate kind, if the server knows the key by its certificate",
                ));
            }
            match signature.algorithm {
                Algorithm::Rs256 | Algorithm::Es256 => {}
                Algorithm::Ps256 if module == Module::Full => {}
                algorithm => {
                    let what = format!("is {}, which Envoy has no function for", algorithm.name());
                    let hint = match algorithm {
                        Algorithm::Ps256 => {
                            "set it to RS256, which Entra ID takes as well, or load edgepass-envoy-full.wasm, which signs by itself"
                        }
                        _ => "set it to RS256 or ES256",
                    };
                    return Err(refusal(&signature.setting, &what, hint));
                }
            }
            let name = signature.certificate.as_str();
            signers.push((name, certificate_files(config, identity, name)?));
        }
        Ok(Self { identity, signers })
    }
}

/// What to write in the place of a setting that Envoy does without. The command says it; the filter has refused the setting
/// before.
#[cfg(not(target_family = "wasm"))]
fn in_envoy(setting: &str) -> &'static str {
    match setting.rsplit('.').next().unwrap_or_default() {
        "issuer" => "set token_endpoint: Envoy has to know a cluster for it beforehand",
        "AZURE_AUTHORITY_HOST" | "token_endpoint" | "mtls_token_endpoint" => {
            "set token_endpoint, and name its host in authority_hosts"
        }
        "client_capabilities" => {
            "leave it out, or have a component or the library ask for these tokens"
        }
        "audience" => "write the audience itself",
        _ => USE_A_FILE,
    }
}

#[cfg(target_family = "wasm")]
fn in_envoy(_: &str) -> &'static str {
    USE_A_FILE
}

/// The same of what the full module has.
#[cfg(not(target_family = "wasm"))]
fn in_full(setting: &str) -> &'static str {
    match setting.rsplit('.').next().unwrap_or_default() {
        "additional_parameters" | "resources" => {
            "load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that)"
        }
        "authority_host" | "policy" => {
            "load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that), or set token_endpoint, and name its host in authority_hosts"
        }
        "region" | "AZURE_REGIONAL_AUTHORITY_NAME" => {
            "load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that), or write the region's host as authority_host, such as https://westus2.login.microsoft.com, and name it in authority_hosts"
        }
        _ => ANOTHER_MODULE,
    }
}

#[cfg(target_family = "wasm")]
fn in_full(_: &str) -> &'static str {
    ANOTHER_MODULE
}

const ANOTHER_MODULE: &str = if cfg!(target_family = "wasm") {
    "load edgepass-envoy-full.wasm, or use federated_token_file"
} else {
    "load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that), or use federated_token_file"
};

const USE_A_FILE: &str = "use federated_token_file";

/// The files of a certificate that an identity uses.
///
/// # Errors
///
/// When `certificates` does not have it.
pub fn certificate_files<'c>(
    config: &'c Config,
    identity: &IdentityConfig,
    name: &str,
) -> Result<&'c CertificateFiles, ConfigError> {
    let mut signatures = identity.needs().signatures.iter();
    let use_of_it = match signatures.any(|signature| signature.certificate == name) {
        true => "signs with",
        false => "uses",
    };
    let files = config.certificates.get(name).ok_or_else(|| {
        refusal(
            &format!("certificates.{name}"),
            &format!(
                "is missing, but identity `{}` {use_of_it} it",
                identity.name
            ),
            "name its files: {\"certificate_file\": …, \"private_key_file\": …}",
        )
    })?;
    match files.beyond_pem() {
        None => Ok(files),
        Some(field) => Err(refusal(
            &format!("certificates.{name}.{field}"),
            "is not available in Envoy, which reads PEM files of a certificate and its key without a password",
            "write both as PEM, and protect the files by their permissions",
        )),
    }
}
