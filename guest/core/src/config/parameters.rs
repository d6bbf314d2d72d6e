//! Parameters of the token request that are the server's own affair: `audience` of Auth0, `fmi_path` of Entra ID, the
//! resources of RFC 8707. What edgepass sends itself is set by a setting of its own, so that no parameter has two values
//! of which one would be lost unseen.

use super::document::IdentityFile;
use super::error::{ConfigError, check};
use super::parse::{OneOrMore, Parameters};
use super::place::Place;
use super::rules;
use crate::authority::Authority;

/// Parameters of a request, those that are repeated counted each time. Servers have a handful of their own, and bound the
/// size of what they read.
pub(super) const MAX_PARAMETERS: usize = 16;

/// Parameters that edgepass sends, or will with the grant that they belong to, and what to set in their place.
pub(super) const OWN: &[(&str, &str)] = &[
    ("client_id", "set client_id of the identity"),
    (
        "scope",
        "set scopes of the identity, or name scopes in the request",
    ),
    (
        "resource",
        "set resources of the identity; at Entra ID write it as the scope <resource>/.default",
    ),
    (
        "claims",
        "hand the claims of a challenge in with the request",
    ),
    ("grant_type", GRANT),
    ("client_secret", CREDENTIAL),
    ("client_assertion", CREDENTIAL),
    ("client_assertion_type", CREDENTIAL),
    ("user_federated_identity_credential", CREDENTIAL),
    (
        "token_type",
        "ask for a token that is bound to a certificate (mtls-pop)",
    ),
    ("assertion", GRANT),
    ("code", GRANT),
    ("code_verifier", GRANT),
    ("redirect_uri", GRANT),
    ("refresh_token", GRANT),
    ("username", GRANT),
    ("user_id", GRANT),
    ("password", GRANT),
    ("requested_token_use", GRANT),
    ("subject_token", GRANT),
    ("subject_token_type", GRANT),
    ("actor_token", GRANT),
    ("actor_token_type", GRANT),
    ("requested_token_type", GRANT),
];

const GRANT: &str = "leave it out: it belongs to the grant, which the request names";

const CREDENTIAL: &str = "set credential of the identity";

/// Names and values in the order in which they are sent.
pub(super) fn of_identity(
    place: &Place<'_>,
    file: &IdentityFile,
    authority: &Authority,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut out = additional(place, &file.additional_parameters)?;
    for (index, resource) in file.resources.iter().enumerate() {
        let setting = place.at(&format!("resources[{index}]"));
        if authority.is_entra() {
            return Err(ConfigError::new(
                place.at("resources"),
                "is for other servers: Entra ID takes one resource, by its scope",
            )
            .hint("write <resource>/.default in scopes"));
        }
        check(&setting, rules::resource(resource))?;
        place.need_every_credential(place.at("resources"));
        let parameter = ("resource".to_owned(), resource.clone());
        if !out.contains(&parameter) {
            out.push(parameter);
        }
    }
    bounded(place, "resources", &out)?;
    Ok(out)
}

/// What the client can do. Another server than Entra ID has no such setting.
pub(super) fn capabilities(
    place: &Place<'_>,
    file: &IdentityFile,
) -> Result<Vec<String>, ConfigError> {
    const FIELD: &str = "client_capabilities";
    let capabilities = &file.client_capabilities;
    if capabilities.is_empty() {
        return Ok(Vec::new());
    }
    place.need_every_credential(place.at(FIELD));
    if capabilities.len() > MAX_PARAMETERS {
        return Err(ConfigError::new(
            place.at(FIELD),
            format!(
                "has {} entries, more than {MAX_PARAMETERS}",
                capabilities.len()
            ),
        )
        .hint("write `cp1`, which is all that there is for applications"));
    }
    for (index, capability) in capabilities.iter().enumerate() {
        let setting = place.at(&format!("{FIELD}[{index}]"));
        check(&setting, rules::capability(capability))?;
    }
    Ok(capabilities.clone())
}

/// Those that are no setting's of their own.
pub(crate) fn additional(
    place: &Place<'_>,
    written: &Parameters,
) -> Result<Vec<(String, String)>, ConfigError> {
    const FIELD: &str = "additional_parameters";
    let inside = place.inside(FIELD);
    let mut out = Vec::new();
    for (name, values) in written {
        let setting = inside.at(name);
        place.need_every_credential(inside.path().to_owned());
        if let Some((_, hint)) = OWN.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            return Err(ConfigError::new(setting, "is sent by edgepass itself").hint(*hint));
        }
        check(&setting, rules::parameter_name(name))?;
        let is_list = matches!(values, OneOrMore::More(_));
        let values = values.as_slice();
        if values.is_empty() {
            return Err(ConfigError::new(setting, "is an empty list")
                .hint("write a value, or leave the parameter out"));
        }
        for (index, value) in values.iter().enumerate() {
            let item = || format!("{setting}[{index}]");
            let item = if is_list { item() } else { setting.clone() };
            check(&item, rules::parameter(value))?;
            out.push((name.clone(), value.clone()));
        }
    }
    bounded(place, FIELD, &out)?;
    Ok(out)
}

fn bounded(
    place: &Place<'_>,
    field: &str,
    parameters: &[(String, String)],
) -> Result<(), ConfigError> {
    if parameters.len() <= MAX_PARAMETERS {
        return Ok(());
    }
    let count = parameters.len();
    Err(ConfigError::new(
        place.at(field),
        format!("makes {count} additional parameters of a request, more than {MAX_PARAMETERS}"),
    )
    .hint("keep those that the server asks for"))
}
