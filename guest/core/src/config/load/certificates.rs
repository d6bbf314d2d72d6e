//! The certificates of a configuration: that each comes from one place. Nothing is read from there.

#[cfg(feature = "key-vault")]
use std::sync::Arc;

use crate::Table;
#[cfg(feature = "key-vault")]
use crate::config::IdentityConfig;
use crate::config::certificate_files::CertificateFiles;
use crate::config::error::{ConfigError, check};
use crate::config::place::{Loading, Place};
use crate::config::{Environment, rules};

/// Those of the document and those that a variable names.
pub(super) fn all_certificates(
    mut certificates: Table<String, CertificateFiles>,
    loading: &Loading<'_>,
) -> Result<Table<String, CertificateFiles>, ConfigError> {
    #[cfg(feature = "key-vault")]
    for (name, files) in &certificates {
        check_secrets(&format!("certificates.{name}"), files, loading)?;
    }
    for (name, files) in loading.certificates.take() {
        #[cfg(feature = "key-vault")]
        if let Some(variable) = &files.password_env {
            check_variable(variable, variable, loading)?;
        }
        if certificates.insert(name.clone(), files).is_some() {
            return Err(ConfigError::new(
                Environment::AZURE_CLIENT_CERTIFICATE_PATH,
                format!("is set, and the configuration has certificates.{name} as well"),
            )
            .hint("unset it, or write an identity that names the certificate"));
        }
    }
    Ok(certificates)
}

/// The secrets that the host alone takes out of the document or of variables.
#[cfg(feature = "key-vault")]
fn check_secrets(
    path: &str,
    files: &CertificateFiles,
    loading: &Loading<'_>,
) -> Result<(), ConfigError> {
    if let Some(text) = &files.certificate_base64 {
        let refusal = rules::no_reference_to_a_vault(text.expose());
        check(&format!("{path}.certificate_base64"), refusal)?;
    }
    match &files.password_env {
        Some(variable) => check_variable(&format!("{path}.password_env"), variable, loading),
        None => Ok(()),
    }
}

/// That such a variable, if it is set, holds a secret and no reference to one.
#[cfg(feature = "key-vault")]
pub(super) fn check_variable(
    setting: &str,
    variable: &str,
    loading: &Loading<'_>,
) -> Result<(), ConfigError> {
    let value = loading.environment.get(variable).unwrap_or_default();
    check(setting, rules::no_reference_to_a_vault(value))
}

pub(super) fn check_certificate_files(
    name: &str,
    files: &CertificateFiles,
    loading: &Loading<'_>,
) -> Result<(), ConfigError> {
    let place = Place::new(format!("certificates.{name}"), loading);
    check(place.path(), rules::name(name))?;
    let has_file = !files.certificate_file.is_empty();
    // who reads the configuration for a filter has looked at the rest
    #[cfg(feature = "every-credential")]
    check_sources(&place, files)?;
    let paths = [
        (
            "certificate_file",
            Some(&files.certificate_file).filter(|_| has_file),
        ),
        ("private_key_file", files.private_key_file.as_ref()),
        ("password_file", files.password_file.as_ref()),
    ];
    for (field, path) in paths {
        if let Some(path) = path {
            check(&place.at(field), rules::path(path))?;
        }
    }
    Ok(())
}

/// The identities by which the host reads certificates of Key Vault. What they need is noted for all; they are there only
/// where nobody but the host asks: a component that is composed with this one has no business with its keys.
#[cfg(feature = "key-vault")]
pub(super) fn key_vaults(
    certificates: &Table<String, CertificateFiles>,
    loading: &Loading<'_>,
) -> Result<Table<String, Arc<IdentityConfig>>, ConfigError> {
    let host_alone = loading.environment.get(Environment::EDGEPASS_CALLER) == Some("host");
    let mut vaults = Table::new();
    for (name, files) in certificates {
        let Some(vault) = &files.key_vault else {
            continue;
        };
        let place = Place::new(format!("certificates.{name}.key_vault"), loading);
        let identity = vault.check(name, &place)?;
        if host_alone {
            vaults.insert(identity.name.clone(), Arc::new(identity));
        }
    }
    Ok(vaults)
}

/// That certificate and password each come from one place.
#[cfg(feature = "every-credential")]
fn check_sources(place: &Place<'_>, files: &CertificateFiles) -> Result<(), ConfigError> {
    if let Some(socket) = &files.spiffe_socket {
        return check_workload_api(place, files, socket);
    }
    #[cfg(feature = "key-vault")]
    if files.key_vault.is_some() {
        return check_alone(
            place,
            files,
            "key_vault",
            "keep one of them: the vault gives certificate and key",
        );
    }
    if files.spiffe_id.is_some() {
        return Err(
            ConfigError::new(place.at("spiffe_id"), "is set without spiffe_socket")
                .hint("name the socket of the Workload API as well, or leave it out"),
        );
    }
    let given =
        u8::from(!files.certificate_file.is_empty()) + u8::from(files.certificate_base64.is_some());
    if given > 1 {
        return Err(
            ConfigError::new(place.path(), "has certificate_file and certificate_base64")
                .hint("keep one of them"),
        );
    }
    if given == 0 && files.private_key_file.is_none() && files.key_vault.is_none() {
        return Err(
            ConfigError::new(place.path(), "missing field `certificate_file`")
                .hint("set certificate_file"),
        );
    }
    if files.password_file.is_some() && files.password_env.is_some() {
        return Err(
            ConfigError::new(place.path(), "has password_file and password_env")
                .hint("keep one of them"),
        );
    }
    Ok(())
}

/// That a certificate of that source has nothing of another.
#[cfg(feature = "every-credential")]
fn check_alone(
    place: &Place<'_>,
    files: &CertificateFiles,
    source: &str,
    hint: &'static str,
) -> Result<(), ConfigError> {
    let CertificateFiles {
        certificate_file,
        certificate_base64,
        private_key_file,
        password_file,
        password_env,
        spiffe_socket,
        spiffe_id,
        #[cfg(feature = "key-vault")]
        key_vault,
        #[cfg(not(feature = "key-vault"))]
            key_vault: _,
    } = files;
    for (field, is_set) in [
        ("certificate_file", !certificate_file.is_empty()),
        ("certificate_base64", certificate_base64.is_some()),
        ("private_key_file", private_key_file.is_some()),
        ("password_file", password_file.is_some()),
        ("password_env", password_env.is_some()),
        ("spiffe_socket", spiffe_socket.is_some()),
        ("spiffe_id", spiffe_id.is_some()),
        #[cfg(feature = "key-vault")]
        ("key_vault", key_vault.is_some()),
    ] {
        // the one field of the Workload API goes with the other
        let goes_with = field == source || (source, field) == ("spiffe_socket", "spiffe_id");
        if is_set && !goes_with {
            let message = format!("has {field} and {source}");
            return Err(ConfigError::new(place.path(), message).hint(hint));
        }
    }
    Ok(())
}

/// That a certificate of the Workload API is that and nothing else.
#[cfg(feature = "every-credential")]
fn check_workload_api(
    place: &Place<'_>,
    files: &CertificateFiles,
    socket: &str,
) -> Result<(), ConfigError> {
    check_alone(
        place,
        files,
        "spiffe_socket",
        "keep one of them: the Workload API gives certificate and key",
    )?;
    let setting = place.at("spiffe_socket");
    check(&setting, rules::filled_in(socket))?;
    check(&setting, rules::unix_socket(socket))?;
    match &files.spiffe_id {
        Some(id) => check(&place.at("spiffe_id"), rules::spiffe_id(id)),
        None => Ok(()),
    }
}
