//! One rule: which requests it is for, and the token that they get.

use crate::repeat::quoted;

use edgepass_core::config::http::HttpRuleFile;
use edgepass_core::matching::{
    NoPrefix, RESERVED_HEADERS, RequestPath, Target, canonical, check_prefix, host_fits,
    is_host_pattern, is_method_of_rule,
};
use edgepass_core::{ConfigError, Error, GrantKind, TokenRequest, TokenType};
use http::header::{AUTHORIZATION, HeaderName};
use http::{Method, Uri};

use super::invalid;
use crate::context::Host;

/// Rules. Each request tries them in order, so a list longer than this is a mistake rather than a policy.
pub(super) const MAX_RULES: usize = 256;

/// Which requests get which token. Without more than a host: every request to it over https on its usual port, a token
/// of the default identity with its configured scopes, as `authorization`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    host: String,
    port: Option<u16>,
    path_prefix: Option<String>,
    methods: Vec<Method>,
    header_name: Option<String>,
    pub(super) header: HeaderName,
    pub(super) request: TokenRequest,
    pub(super) on_behalf_of: bool,
    pub(super) keep_existing: bool,
    pub(super) http_on_loopback: bool,
    pub(super) disabled: bool,
}

impl Rule {
    /// For requests to that host, or with `*.` and a domain to every host below it. Letter case and a dot at the end make
    /// no difference; an IPv6 address stands in brackets.
    pub fn host(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: None,
            path_prefix: None,
            methods: Vec::new(),
            header_name: None,
            header: AUTHORIZATION,
            request: TokenRequest::default(),
            on_behalf_of: false,
            keep_existing: false,
            http_on_loopback: false,
            disabled: false,
        }
    }

    /// As the configuration says it.
    pub(super) fn of_configuration(place: &str, file: &HttpRuleFile) -> Result<Self, ConfigError> {
        let mut rule = Self::host(file.matching.host.as_str());
        if let Some(port) = file.matching.port {
            let port = u16::try_from(port).ok().filter(|port| *port > 0);
            rule.port = Some(port.ok_or_else(|| {
                let setting = format!("{place}.match.port");
                refusal(
                    &setting,
                    "is not between 1 and 65535",
                    "leave it out for the scheme's own",
                )
            })?);
        }
        rule.path_prefix.clone_from(&file.matching.path_prefix);
        for name in &file.matching.methods {
            let method = Method::from_bytes(name.as_bytes()).ok();
            let method = method.filter(|method| is_method_of_rule(method.as_str()));
            rule.methods.push(method.ok_or_else(|| {
                let setting = format!("{place}.match.methods");
                let message = format!("{} is no method that a token goes with", quoted(name));
                refusal(
                    &setting,
                    message,
                    "write GET, POST and the like in capitals; CONNECT and TRACE get none",
                )
            })?);
        }
        rule.request.identity.clone_from(&file.identity);
        rule.request.scopes.clone_from(&file.scopes);
        rule.header_name.clone_from(&file.header);
        rule.keep_existing = file.keep_existing;
        rule.http_on_loopback = file.http_on_loopback;
        rule.disabled = file.disabled;
        Ok(rule)
    }

    /// On that port, in place of the scheme's own (443).
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Whose path is that one or is below it, by whole segments: `/v1` is for `/v1` and `/v1/x`, and not for `/v10`. A
    /// request whose path servers read in several ways is refused.
    #[must_use]
    pub fn path_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.path_prefix = Some(prefix.into());
        self
    }

    /// With one of these methods. Of all methods, if there is none.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// The configured identity, in place of the default one.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.request.identity = Some(identity.into());
        self
    }

    /// The scopes, in place of the identity's configured ones.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.request.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Another tenant than the identity's own, which the configuration must allow.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.request.tenant = Some(tenant.into());
        self
    }

    /// The kind of token.
    #[must_use]
    pub fn token_type(mut self, token_type: TokenType) -> Self {
        self.request.token_type = token_type;
        self
    }

    /// The header that carries it, with the token's scheme before it, in place of `authorization`. Clients that follow
    /// redirects know of `authorization` alone that it must not go to another host.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header_name = Some(name.into());
        self
    }

    /// A token for the user of the request, whose own token is in its extensions ([`OnBehalfOf`](super::OnBehalfOf)). A
    /// request that has none is refused.
    #[must_use]
    pub fn on_behalf_of(mut self) -> Self {
        self.on_behalf_of = true;
        self
    }

    /// A request that has the header already keeps it, and gets no token.
    #[must_use]
    pub fn keep_existing(mut self) -> Self {
        self.keep_existing = true;
        self
    }

    /// Over plain http too, where the host is this machine by its name (`localhost`, names below it, 127.0.0.0/8, `[::1]`).
    #[must_use]
    pub fn http_on_loopback(mut self) -> Self {
        self.http_on_loopback = true;
        self
    }

    /// Requests that are left as they are, before a rule that would be for them.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// The same with its texts as they are compared. `of_match` is where a configuration has what a request must have.
    pub(super) fn checked(
        mut self,
        place: &str,
        of_match: &str,
        has_identity: &dyn Fn(&str) -> bool,
    ) -> Result<Self, ConfigError> {
        self.host = check_host(&format!("{of_match}.host"), &self.host)?;
        if let Some(prefix) = &self.path_prefix {
            check_prefix(prefix).map_err(|NoPrefix { message, hint, .. }| {
                let message = format!("{} {message}", quoted(prefix));
                refusal(&format!("{of_match}.path_prefix"), message, &hint)
            })?;
        }
        if let Some(name) = self.header_name.take() {
            self.header = check_header(place, &name)?;
        }
        if let Some(identity) = self
            .request
            .identity
            .as_deref()
            .filter(|name| !has_identity(name))
        {
            return Err(refusal(
                &format!("{place}.identity"),
                format!("{} is no configured identity", quoted(identity)),
                "name one of `identities`",
            ));
        }
        Ok(self)
    }

    /// Refuses what it asks for if no request could be answered: by what judges each request.
    pub(super) fn check_request(&self, place: &str, host: &Host) -> Result<(), ConfigError> {
        if self.disabled {
            return Ok(());
        }
        let named = self.request.identity.as_deref();
        let name = named.or_else(|| host.default_identity());
        let Some(identity) = name.and_then(|name| host.identity(name)) else {
            return Err(refusal(
                &format!("{place}.identity"),
                "is missing, and there are several identities with none marked as default",
                "name one, or set default_identity",
            ));
        };
        let at =
            |field: &str, error: &Error| ConfigError::from_error(format!("{place}.{field}"), error);
        let kind = match self.on_behalf_of {
            true => GrantKind::OnBehalfOf,
            false => GrantKind::ClientCredentials,
        };
        let is_served = identity.check_grant(kind);
        is_served.map_err(|error| at("on_behalf_of", &error))?;
        let tenant = identity.check_tenant(self.request.tenant.as_deref());
        tenant.map_err(|error| at("tenant", &error))?;
        let scopes = match self.request.scopes.is_empty() {
            true => &identity.scopes,
            false => &self.request.scopes,
        };
        let scopes = identity.check_scopes_of(kind, scopes);
        scopes.map_err(|error| at("scopes", &error)).map(drop)
    }

    /// Whether its host and port are those.
    pub(super) fn is_at(&self, target: &Target) -> bool {
        host_fits(&self.host, &target.host)
            && self.port.unwrap_or(target.default_port()) == target.port
    }

    /// Whether its host is that one, by no pattern.
    #[cfg(feature = "tower")]
    pub(super) fn is_host(&self, host: &str) -> bool {
        self.host == host
    }

    /// Whether it is for that request.
    pub(super) fn fits(&self, target: &Target, method: &Method, uri: &Uri) -> Result<bool, Error> {
        if !self.is_at(target) || !(self.methods.is_empty() || self.methods.contains(method)) {
            return Ok(false);
        }
        let Some(prefix) = &self.path_prefix else {
            return Ok(true);
        };
        let path = RequestPath::of(Some(uri.path().to_owned()));
        path.is_below(prefix).ok_or_else(|| {
            invalid(
                format!("servers may read the path of a request to {} in several ways, and a rule looks at it", target.host),
                "write it without dot segments, doubled or encoded slashes, `;`, and letters in another case than the rule's",
            )
        })
    }
}

pub(super) fn check_host(place: &str, host: &str) -> Result<String, ConfigError> {
    if is_host_pattern(host) {
        return Ok(canonical(host));
    }
    if host.is_empty() {
        return Err(refusal(
            place,
            "is missing",
            "name the host whose requests get the token, api.example or *.example",
        ));
    }
    Err(refusal(
        place,
        format!("{} is neither a host nor `*.` and a domain", quoted(host)),
        "leave scheme and path out, give a port by itself, an IPv6 address in brackets ([2001:db8::1]), and other letters than ASCII as `xn--`",
    ))
}

fn check_header(place: &str, name: &str) -> Result<HeaderName, ConfigError> {
    let setting = format!("{place}.header");
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        let message = format!("{} is not the name of a header", quoted(name));
        refusal(&setting, message, "use letters, digits and `-`")
    })?;
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return Err(refusal(
            &setting,
            format!("{header} has a meaning of its own in HTTP"),
            "choose another header",
        ));
    }
    Ok(header)
}

/// A rule that cannot be.
pub(super) fn refusal(setting: &str, message: impl Into<String>, hint: &str) -> ConfigError {
    ConfigError::new(setting, message.into()).hint(hint)
}
