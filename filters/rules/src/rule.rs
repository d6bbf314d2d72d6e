//! The rules: which requests each is for, whose token they get, and in which header.

use edgepass_core::config::envoy::{EnvoyGrant, EnvoyMatchFile, EnvoyRuleFile};
use edgepass_core::config::{ConfigError, IdentityConfig};
use edgepass_core::matching::{NoPrefix, RESERVED_HEADERS, check_prefix, is_plain};
use edgepass_core::{Config, GrantKind, TokenRequest};

use crate::callers::{CallerGrant, CallerRequest};
use crate::inbound::AUTHORIZATION;
use crate::module::{HAS_CALLERS, Module};
use crate::requirements::NOT_HERE;
use crate::settings::{MAX_TEXT_CHARS, refusal};

/// Rules. Each request tries them in order, so a list longer than this is a mistake rather than a policy.
pub const MAX_RULES: usize = 256;

/// The place of the token in `format`.
const TOKEN: &str = "{token}";

/// What callers bring unless it is said otherwise (RFC 8693 section 3).
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// One rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuleSettings {
    /// The requests it is for.
    pub matching: EnvoyMatchFile,
    /// Index into the tokens; `None` leaves the requests as they are, or their tokens are those of their callers.
    pub token: Option<usize>,
    /// What is asked for each caller.
    pub caller: Option<CallerRequest>,
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
    module: Module,
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
        let (mut token, mut caller) = (None, None);
        let grant = grant_of(&place, rule, module)?;
        if !rule.disabled {
            let request = request_of(&place, rule, grant.as_ref(), config)?;
            match grant {
                Some(grant) => {
                    let asked = CallerRequest { request, grant };
                    #[cfg(any(feature = "callers", not(target_family = "wasm")))]
                    asked.check(&place, config)?;
                    caller = Some(asked);
                }
                None => {
                    let known = tokens.iter().position(|known| *known == request);
                    token = Some(known.unwrap_or_else(|| {
                        tokens.push(request);
                        tokens.len() - 1
                    }));
                }
            }
        }
        checked.push(RuleSettings {
            matching: rule.matching.clone(),
            token,
            caller,
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
    grant: Option<&CallerGrant>,
    config: &Config,
) -> Result<TokenRequest, ConfigError> {
    let question = Question {
        identity: rule.identity.as_ref(),
        scopes: &rule.scopes,
        kind: match grant {
            None => GrantKind::ClientCredentials,
            Some(CallerGrant::OnBehalfOf) => GrantKind::OnBehalfOf,
            Some(CallerGrant::TokenExchange { .. }) => GrantKind::TokenExchange,
        },
        may_be_without_scopes: matches!(grant, Some(CallerGrant::TokenExchange { .. })),
    };
    question.check(place, config)
}

/// What a rule asks for.
pub(crate) struct Question<'a> {
    pub(crate) identity: Option<&'a String>,
    pub(crate) scopes: &'a [String],
    pub(crate) kind: GrantKind,
    pub(crate) may_be_without_scopes: bool,
}

impl Question<'_> {
    pub(crate) fn check(&self, place: &str, config: &Config) -> Result<TokenRequest, ConfigError> {
        let kind = self.kind;
        let name = self.identity.or(config.default_identity.as_ref());
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
        #[cfg(any(feature = "callers", not(target_family = "wasm")))]
        identity
            .check_grant(kind)
            .map_err(|error| ConfigError::from_error(format!("{place}.grant"), &error))?;
        let scopes = if self.scopes.is_empty() {
            identity.scopes.as_slice()
        } else {
            self.scopes
        };
        if scopes.is_empty() && !self.may_be_without_scopes {
            return Err(refusal(
                &format!("{place}.scopes"),
                &format!("there are none, neither here nor in identities.{name}.scopes"),
                "name the scopes of the resource, https://graph.microsoft.com/.default for example",
            ));
        }
        let scopes = identity
            .check_scopes_of(kind, scopes)
            .map_err(|error| ConfigError::from_error(format!("{place}.scopes"), &error))?;
        Ok(TokenRequest {
            identity: Some(name.clone()),
            scopes,
            ..TokenRequest::default()
        })
    }
}

/// What to do about a grant that the default module is without; it has no room for more of it.
const THE_FULL_MODULE: &str = if cfg!(target_family = "wasm") {
    "load edgepass-envoy-full.wasm"
} else {
    "load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that)"
};

/// The grant of a rule whose tokens are those of its callers.
fn grant_of(
    place: &str,
    rule: &EnvoyRuleFile,
    module: Module,
) -> Result<Option<CallerGrant>, ConfigError> {
    if rule.grant != EnvoyGrant::ClientCredentials && !module.has_callers() {
        return Err(refusal(
            &format!("{place}.grant"),
            NOT_HERE,
            THE_FULL_MODULE,
        ));
    }
    let exchange = rule.token_exchange.clone();
    if exchange.is_some() && rule.grant != EnvoyGrant::TokenExchange {
        return Err(refusal(
            &format!("{place}.token_exchange"),
            "is for the grant token-exchange",
            "set grant to token-exchange, or leave this out",
        ));
    }
    Ok(match rule.grant {
        EnvoyGrant::ClientCredentials => None,
        EnvoyGrant::OnBehalfOf => Some(CallerGrant::OnBehalfOf),
        EnvoyGrant::TokenExchange => {
            let exchange = exchange.unwrap_or_default();
            let own = exchange.subject_token_type;
            Some(CallerGrant::TokenExchange {
                subject_token_type: own.unwrap_or_else(|| ACCESS_TOKEN_TYPE.to_owned()),
                audience: exchange.audience,
                resource: exchange.resource,
                requested_token_type: exchange.requested_token_type,
            })
        }
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
    // the default module, which has no room for more words, says less of it
    if HAS_CALLERS && let Some(path) = path {
        check_prefix(path).map_err(|NoPrefix { message, hint, .. }| {
            refusal(&format!("{place}.match.path_prefix"), message, &hint)
        })?;
    }
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
