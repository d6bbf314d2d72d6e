//! The section `http`: which of a component's own requests get which token. Where the Envoy filter has a proxy's routes to go
//! by, this has the request alone, written by somebody who may want the token elsewhere than its rule says. So whatever
//! could be read in two ways is refused, and nothing is put right.

use edgepass_core::config::ConfigError;
use edgepass_core::config::http::{HttpFile, HttpMatchFile, HttpRuleFile};
use edgepass_core::matching::{
    METHODS_WITHOUT_TOKEN, NoPrefix, RequestPath, Target, canonical, check_prefix, host_fits,
    is_host_pattern, is_method_of_rule,
};
use edgepass_core::needs::{Permission, Scheme};
use edgepass_core::{Config, Error, ErrorClass, GrantKind, TokenRequest};

use crate::rule::{MAX_RULES, Question, check_header};
use crate::settings::refusal;

/// What is kept of a request's body unless the configuration says otherwise, bytes: room for what calls of APIs mostly have.
pub const DEFAULT_REPLAY_BODY_BYTES: usize = 64 * 1024;

/// The most that may be configured, bytes. A filter keeps it for each request under way.
pub const MAX_REPLAY_BODY_BYTES: usize = 1024 * 1024;

/// The section, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpSettings {
    /// How much of a body is kept so that its request can be sent once more.
    pub replay_body_bytes: usize,
    /// The application's name in the records that are written of its requests, if any are wanted.
    pub audit_as: Option<String>,
    rules: Vec<HttpRule>,
    /// Where the provider gets its tokens.
    reserved: Vec<Permission>,
}

/// One rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpRule {
    /// What is asked for.
    pub token: TokenRequest,
    /// The header that carries the token, lower case.
    pub header: String,
    /// Its place in the list, from 0.
    pub place: usize,
    host: String,
    port: Option<u16>,
    path_prefix: Option<String>,
    methods: Vec<String>,
    keep_existing: bool,
    http_on_loopback: bool,
    disabled: bool,
}

/// A request, as far as rules look at it.
pub trait HttpRequest {
    /// In capitals, as RFC 9110 writes them.
    fn method(&self) -> &str;
    /// Nothing where the request leaves it to whoever sends it.
    fn scheme(&self) -> Option<&str>;
    /// Host and port.
    fn authority(&self) -> Option<&str>;
    /// With the query.
    fn path(&self) -> Option<&str>;
    /// The values of a header.
    fn header(&self, name: &str) -> Vec<Vec<u8>>;
}

impl HttpSettings {
    /// Checks the section of a configuration.
    ///
    /// # Errors
    ///
    /// With the first setting that is wrong.
    pub fn check(config: &Config) -> Result<Self, ConfigError> {
        let Some(file) = &config.http else {
            return Err(refusal(
                "http",
                "there is no such section",
                "say which requests get a token: \"http\": {\"rules\": [{\"match\": {\"host\": \"graph.microsoft.com\"}}]}",
            ));
        };
        let rules = file.rules.iter().enumerate();
        let rules: Vec<_> = rules
            .map(|(index, rule)| check_rule(index, rule, config))
            .collect::<Result<_, _>>()?;
        if rules.is_empty() || rules.len() > MAX_RULES {
            return Err(refusal(
                "http.rules",
                &format!("has not 1 to {MAX_RULES} rules"),
                "name each host that gets a token, or `*.` and a domain for all below it",
            ));
        }
        let connections = config.needs().connections.into_iter();
        Ok(Self {
            replay_body_bytes: check_replay(file)?,
            audit_as: check_audit(file)?,
            rules,
            reserved: connections.map(|c| c.permission).collect(),
        })
    }

    /// A line for each rule, in their order: whose requests get which token.
    #[cfg(not(target_family = "wasm"))]
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(HttpRule::describe)
    }

    /// The rule by which a request gets a token. `None`: it is left as it is.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](ErrorClass::InvalidRequest), where the request must not be sent: it says in two ways
    /// where it goes, it would show a token on its way, it goes where the provider gets its tokens.
    pub fn rule_of(&self, request: &impl HttpRequest) -> Result<Option<&HttpRule>, Error> {
        let Some(authority) = request.authority() else {
            // nowhere to go
            return Ok(None);
        };
        let target = Target::of(request.scheme(), authority)?;
        let path = request.path();
        if self.is_reserved(&target, path.unwrap_or_default()) {
            return Err(invalid(
                format!(
                    "a request to {} would go where the provider gets its tokens, with its permissions",
                    target.host
                ),
                "ask for no tokens: the rules of the section http put them on requests",
            ));
        }
        let method = request.method();
        if METHODS_WITHOUT_TOKEN
            .iter()
            .any(|none| none.eq_ignore_ascii_case(method))
        {
            return Ok(None);
        }
        let path = RequestPath::of(path.map(str::to_owned));
        for rule in &self.rules {
            if !rule.fits(&target, method, &path)? {
                continue;
            }
            if rule.disabled || (rule.keep_existing && !request.header(&rule.header).is_empty()) {
                return Ok(None);
            }
            let hosts = request.header("host");
            target.check(hosts.iter().map(Vec::as_slice), rule.http_on_loopback)?;
            return Ok(Some(rule));
        }
        Ok(None)
    }

    /// Whether the provider's permissions let such a request out.
    fn is_reserved(&self, target: &Target, path: &str) -> bool {
        let (scheme, authority) = (target.scheme(), target.authority());
        self.reserved.iter().any(|permission| {
            // who hands out tokens on this machine may read other spellings of a path alike
            let is_service = permission.scheme == Scheme::LinkLocalHttp && scheme == "http";
            (is_service && permission.is_of(&authority))
                || permission.permits(scheme, &authority, path)
        })
    }
}

impl HttpRule {
    #[cfg(not(target_family = "wasm"))]
    fn describe(&self) -> String {
        let mut out = self.host.clone();
        if let Some(port) = self.port {
            out.push_str(&format!(":{port}"));
        }
        out.push_str(self.path_prefix.as_deref().unwrap_or_default());
        if !self.methods.is_empty() {
            out.push_str(&format!(" ({})", self.methods.join(", ")));
        }
        if self.disabled {
            return format!("{out}: no token");
        }
        let scopes = match self.token.scopes.as_slice() {
            [] => "the scopes".to_owned(),
            scopes => scopes.join(" "),
        };
        // the default one has been put into its place
        let identity = self.token.identity.as_deref().unwrap_or_default();
        out.push_str(&format!(
            ": {scopes} of identity {identity}, in {}",
            self.header
        ));
        if self.keep_existing {
            out.push_str(" if there is none");
        }
        out
    }

    fn fits(&self, target: &Target, method: &str, path: &RequestPath) -> Result<bool, Error> {
        if !host_fits(&self.host, &target.host)
            || self.port.unwrap_or(target.default_port()) != target.port
            || !(self.methods.is_empty() || self.methods.iter().any(|known| known == method))
        {
            return Ok(false);
        }
        let Some(prefix) = &self.path_prefix else {
            return Ok(true);
        };
        path.is_below(prefix).ok_or_else(|| {
            invalid(
                format!("servers may read the path of a request to {} in several ways, and a rule looks at it", target.host),
                "write it without dot segments, doubled or encoded slashes, `;`, and letters in another case than the rule's",
            )
        })
    }
}

fn check_rule(index: usize, file: &HttpRuleFile, config: &Config) -> Result<HttpRule, ConfigError> {
    let place = &format!("http.rules[{index}]");
    let HttpMatchFile {
        host,
        port,
        path_prefix,
        methods,
    } = &file.matching;
    check_host(place, host)?;
    let port = port.map(|port| {
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        port.ok_or_else(|| {
            let hint = "write a number, or leave it out for the scheme's own";
            refusal(&format!("{place}.match.port"), "is not 1 to 65535", hint)
        })
    });
    if let Some(prefix) = path_prefix {
        check_prefix(prefix).map_err(|NoPrefix { message, hint, .. }| {
            refusal(&format!("{place}.match.path_prefix"), message, &hint)
        })?;
    }
    if !methods.iter().all(|method| is_method_of_rule(method)) {
        return Err(refusal(
            &format!("{place}.match.methods"),
            "has what is no method that a token goes with",
            "write GET, POST and the like in capitals; CONNECT and TRACE get none",
        ));
    }
    let mut token = TokenRequest::default();
    if !file.disabled {
        let question = Question {
            identity: file.identity.as_ref(),
            scopes: &file.scopes,
            kind: GrantKind::ClientCredentials,
            may_be_without_scopes: false,
        };
        token = question.check(place, config)?;
    }
    Ok(HttpRule {
        token,
        header: check_header(&format!("{place}.header"), file.header.as_deref())?,
        place: index,
        host: canonical(host),
        port: port.transpose()?,
        path_prefix: path_prefix.clone(),
        methods: methods.clone(),
        keep_existing: file.keep_existing,
        http_on_loopback: file.http_on_loopback,
        disabled: file.disabled,
    })
}

fn check_host(place: &str, host: &str) -> Result<(), ConfigError> {
    let setting = format!("{place}.match.host");
    if host.is_empty() {
        return Err(refusal(
            &setting,
            "is missing",
            "name the host whose requests get the token, api.example or *.example",
        ));
    }
    if is_host_pattern(host) {
        return Ok(());
    }
    Err(refusal(
        &setting,
        "is neither a host nor `*.` and a domain",
        "leave scheme and path out, give a port by itself, an IPv6 address in brackets, and other letters than ASCII as `xn--`",
    ))
}

fn check_replay(file: &HttpFile) -> Result<usize, ConfigError> {
    let Some(bytes) = file.replay_body_bytes else {
        return Ok(DEFAULT_REPLAY_BODY_BYTES);
    };
    let bytes = usize::try_from(bytes).ok();
    let bytes = bytes.filter(|bytes| *bytes <= MAX_REPLAY_BODY_BYTES);
    bytes.ok_or_else(|| {
        refusal(
            "http.replay_body_bytes",
            &format!("is more than {MAX_REPLAY_BODY_BYTES}"),
            "write bytes, 65536 for example, or 0 to keep nothing",
        )
    })
}

fn check_audit(file: &HttpFile) -> Result<Option<String>, ConfigError> {
    let name = file.audit_as.clone();
    if name.as_deref() == Some("") {
        return Err(refusal(
            "http.audit_as",
            "is empty",
            "write the application's name as records are to have it, or leave it out where none are wanted",
        ));
    }
    Ok(name)
}

/// A request that must not be sent, and what to do about it.
fn invalid(message: String, hint: &str) -> Error {
    Error::new(ErrorClass::InvalidRequest, message).hint(hint)
}
