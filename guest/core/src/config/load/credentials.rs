//! The credentials that an identity writes down, or the one that the environment has for it. What is inside of each is
//! checked by its kind.

use crate::config::Client;
#[cfg(not(feature = "every-credential"))]
use crate::config::Environment;
use crate::config::document::IdentityFile;
use crate::config::error::ConfigError;
use crate::config::parse::OneOrMore;
use crate::config::place::Place;
use crate::credential::{Credential, CredentialFile, SHORTCUTS};
use crate::limits::MAX_CREDENTIALS;

/// The credentials that are written down, each with its place: one that is no list's, or those of a list.
pub(super) fn written_credentials<'a, 'f>(
    place: &Place<'a>,
    file: &'f IdentityFile,
) -> Result<Vec<(Place<'a>, &'f CredentialFile)>, ConfigError> {
    let whole = place.inside("credential");
    let Some(written) = &file.credential else {
        return Ok(Vec::new());
    };
    let is_list = matches!(written, OneOrMore::More(_));
    let written = written.as_slice();
    if written.is_empty() {
        return Err(ConfigError::new(whole.path(), "is an empty list")
            .hint("write a credential, or leave the field out to have that of the environment"));
    }
    if written.len() > MAX_CREDENTIALS {
        let message = format!(
            "has {} credentials, more than {MAX_CREDENTIALS}",
            written.len()
        );
        return Err(ConfigError::new(whole.path(), message)
            .hint("each of them may be tried within one call: keep those that can be meant"));
    }
    let mut out = Vec::new();
    for (index, credential) in written.iter().enumerate() {
        let place = if is_list {
            whole.item(index)
        } else {
            whole.clone()
        };
        credential.check_one(&place)?;
        out.push((place, credential));
    }
    Ok(out)
}

/// One that is there twice would be refused twice, and the second costs an attempt that cannot help.
#[cfg(feature = "every-credential")]
pub(super) fn check_different(
    credentials: &[Credential],
    written: &[(Place<'_>, &CredentialFile)],
) -> Result<(), ConfigError> {
    for (index, (credential, (place, _))) in credentials.iter().zip(written).enumerate() {
        let mut earlier = credentials.iter().zip(written).take(index);
        if let Some((_, (first, _))) = earlier.find(|(earlier, _)| earlier.is_same(credential)) {
            return Err(ConfigError::new(
                place.path(),
                format!("is the same credential as {}", first.path()),
            )
            .hint("remove one of the two"));
        }
    }
    Ok(())
}

/// A credential of a client.
pub(super) fn in_list(
    written: &CredentialFile,
    place: &Place<'_>,
    client: &Client,
) -> Result<Credential, ConfigError> {
    Credential::check(written, place, client)?.ok_or_else(|| {
        let kind = written.present().join(", ");
        ConfigError::new(
            place.at(&kind),
            "gets its tokens from the platform: it cannot be one of several credentials of a client",
        )
        .hint("use managed_identity_assertion, by which the client proves itself, or make another identity of it")
    })
}

/// The credential of an identity that writes none down.
pub(super) fn environment_credential(
    place: &Place<'_>,
    credential: &Place<'_>,
    file: &IdentityFile,
    only: Option<&'static str>,
) -> Result<Option<Credential>, ConfigError> {
    if file.is_of_another_server() {
        return Err(ConfigError::new(credential.path(), "is not set")
            .hint("set it: with a token_endpoint or an issuer nothing is taken from the AZURE_… variables"));
    }
    let known = || {
        let all = SHORTCUTS.iter().flatten();
        all.filter(|known| place.is_environment_only() || !known.environment_only)
            .filter(|known| only.is_none_or(|only| known.variable == only))
    };
    let mut present = known().filter(|known| place.has_variable(known.variable));
    let Some(shortcut) = present.next() else {
        let names: Vec<&str> = known().map(|known| known.variable).collect();
        let setting = if place.is_environment_only() {
            names.first().copied().unwrap_or_default()
        } else {
            credential.path()
        };
        return Err(
            ConfigError::new(setting, "is not set, and no other credential is there").hint(
                format!(
                    "set exactly one of {}, or a credential in the configuration",
                    names.join(", ")
                ),
            ),
        );
    };
    if let Some(other) = present.next() {
        return Err(ConfigError::new(
            other.variable,
            format!(
                "is set, and so is {}: only one of them can be meant",
                shortcut.variable
            ),
        )
        .hint("unset one of the two, or name the credential in the configuration"));
    }
    shortcut.credential(credential)
}

#[cfg(not(feature = "every-credential"))]
pub(super) fn require_any_source(place: &Place<'_>, has_document: bool) -> Result<(), ConfigError> {
    let mut starters = SHORTCUTS.iter().flatten().map(|known| known.variable);
    if place.has_variable(Environment::AZURE_TENANT_ID)
        || place.has_variable(Environment::AZURE_CLIENT_ID)
        || starters.any(|name| place.has_variable(name))
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
        ConfigError::new(
            "configuration",
            "there is none: neither a file nor variables",
        )
        .hint(
            "name a file by EDGEPASS_CONFIG (in a component: the document in EDGEPASS_CONFIG_JSON), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
             AZURE_FEDERATED_TOKEN_FILE",
        )
    };
    Err(error)
}
