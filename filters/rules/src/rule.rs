//! The rules: which requests each is for, whose token they get, and in which header.

use edgepass_core::config::envoy::{EnvoyMatchFile, EnvoyRuleFile};
use edgepass_core::config::{ConfigError, IdentityConfig};
use edgepass_core::{Config, TokenRequest};

use crate::inbound::AUTHORIZATION;
use crate::path::is_plain;
use crate::settings::{MAX_TEXT_CHARS, refusal};

/// Rules. Each request tries them in order, so a list longer than this is a mistake rather than a policy.
pub const MAX_RULES: usize = 256;

/// The place of the token in `format`.
const TOKEN: &str = "{token}";

/// Headers that decide where a request goes or how long it is; a token in one of them would break it.
const RESERVED_HEADERS: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// One rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleSettings {
    /// The requests it is for.
    pub matching: EnvoyMatchFile,
    /// Index into the tokens; `None` leaves the requests as they are.
    pub token: Option<usize>,
    /// The header that carries the token, lower case.
    pub header: String,
    /// What stands before the token.
    pub before: String,
    /// What stands after it.
    pub after: String,
}

/// The rules of the section, never none, and the tokens that they need, each once.
pub(crate) fn check_rules(
    config: &Config,
) -> Result<(Vec<RuleSettings>, Vec<TokenRequest>), ConfigError> {
    let everything = [EnvoyRuleFile::default()];
    let rules = match &config.envoy {
        Some(file) if !file.rules.is_empty() => file.rules.as_slice(),
        _ => &everything,
    };
    if rules.len() > MAX_RULES {
        return Err(refusal(
            "envoy.rules",
            &format!("has more than {MAX_RULES} rules"),
            "write them into several filters",
        ));
    }
    let mut checked = Vec::new();
    let mut tokens = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let place = format!("envoy.rules[{index}]");
        check_match(&place, &rule.matching)?;
        let (before, after) = format_of(&place, rule.format.as_deref())?;
        let token = if rule.disabled {
            None
        } else {
            let request = request_of(&place, rule, config)?;
            let known = tokens.iter().position(|known| *known == request);
            Some(known.unwrap_or_else(|| {
                tokens.push(request);
                tokens.len() - 1
            }))
        };
        checked.push(RuleSettings {
            matching: rule.matching.clone(),
            token,
            header: check_header(&format!("{place}.header"), rule.header.as_deref())?,
            before,
            after,
        });
    }
    Ok((checked, tokens))
}

/// The identity that a request is for.
pub(crate) fn identity_of<'a>(
    request: &TokenRequest,
    config: &'a Config,
) -> Option<&'a IdentityConfig> {
    let name = request.identity.as_ref()?;
    config.identities.get(name).map(AsRef::as_ref)
}

pub(crate) fn check_header(setting: &str, name: Option<&str>) -> Result<String, ConfigError> {
    let name = name.unwrap_or(AUTHORIZATION).to_ascii_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > MAX_TEXT_CHARS || !name.bytes().all(is_token) {
        return Err(refusal(
            setting,
            "is not the name of a header",
            "use letters, digits and `-`",
        ));
    }
    if RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with("x-envoy-") {
        return Err(refusal(
            setting,
            &format!("{name} has a meaning of its own in HTTP or to Envoy"),
            "choose another header",
        ));
    }
    Ok(name)
}

fn request_of(
    place: &str,
    rule: &EnvoyRuleFile,
    config: &Config,
) -> Result<TokenRequest, ConfigError> {
    let name = rule.identity.as_ref().or(config.default_identity.as_ref());
    let Some(name) = name else {
        return Err(refusal(
            &format!("{place}.identity"),
            "is missing, and there are several identities with none marked as default",
            "name one, or set default_identity",
        ));
    };
    let Some(identity) = config.identities.get(name) else {
        let known: Vec<&str> = config.identities.keys().map(String::as_str).collect();
        return Err(refusal(
            &format!("{place}.identity"),
            "names no identity of this configuration",
            &format!("there are: {}", known.join(", ")),
        ));
    };
    let scopes = if rule.scopes.is_empty() {
        &identity.scopes
    } else {
        &rule.scopes
    };
    if scopes.is_empty() {
        return Err(refusal(
            &format!("{place}.scopes"),
            &format!("there are none, neither here nor in identities.{name}.scopes"),
            "name the scopes of the resource, https://graph.microsoft.com/.default for example",
        ));
    }
    let scopes = identity
        .check_scopes(scopes)
        .map_err(|error| ConfigError::from_error(format!("{place}.scopes"), &error))?;
    Ok(TokenRequest {
        identity: Some(name.clone()),
        scopes,
        ..TokenRequest::default()
    })
}

fn format_of(place: &str, format: Option<&str>) -> Result<(String, String), ConfigError> {
    let format = format.unwrap_or("Bearer {token}");
    let parts: Vec<&str> = format.split(TOKEN).collect();
    let plain =
        format.len() <= MAX_TEXT_CHARS && format.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    match parts.as_slice() {
        [before, after] if plain => Ok(((*before).to_owned(), (*after).to_owned())),
        _ => Err(refusal(
            &format!("{place}.format"),
            "is not a printable text with {token} in it once",
            "write for example \"Bearer {token}\"",
        )),
    }
}

fn check_match(place: &str, matching: &EnvoyMatchFile) -> Result<(), ConfigError> {
    let path = matching.path_prefix.as_deref();
    if path.is_some_and(|path| !path.starts_with('/')) {
        return Err(refusal(
            &format!("{place}.match.path_prefix"),
            "does not begin with /",
            "write what the path begins with, /api/ for example",
        ));
    }
    if path.is_some_and(|path| !is_plain(path)) {
        return Err(refusal(
            &format!("{place}.match.path_prefix"),
            "has something in it that servers read in different ways: % \\ ; ? #, a space, //, a segment . or .., or what is not ASCII",
            "end it before that; the query is not looked at",
        ));
    }
    let Some(host) = matching.host.as_deref() else {
        return Ok(());
    };
    let rest = host.strip_prefix("*.").unwrap_or(host);
    if rest.is_empty() || rest.contains(['*', '/']) || rest.contains(char::is_whitespace) {
        return Err(refusal(
            &format!("{place}.match.host"),
            "is neither a host nor `*.` and a domain",
            "write api.example or *.example, without scheme and port",
        ));
    }
    Ok(())
}
