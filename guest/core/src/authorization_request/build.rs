//! Building one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{AuthorizationOptions, AuthorizationRequest};
use crate::authority::{Authority, Endpoint};
use crate::config::{Client, IdentityConfig, rules};
use crate::credential::discovery;
use crate::flow::Io;
use crate::{Error, ErrorClass, Secret, challenge};

/// Parameters of a request besides those that have a field. Servers have a handful of their own.
const MAX_PARAMETERS: usize = 16;

/// A text of a request, bytes: what goes into a URL has to fit into one, and browsers and proxies stop at a few thousand.
const MAX_TEXT_BYTES: usize = 2048;

/// What the builder writes itself, so that no parameter is there twice.
const OWN: [&str; 14] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "resource",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "login_hint",
    "domain_hint",
    "claims",
];

/// Of the identity's own parameters, those that an authorization request has as well: what the token is to be for (RFC 8707
/// section 2.1, and `audience` of Auth0 and others).
const OF_BOTH_REQUESTS: [&str; 2] = ["resource", "audience"];

/// Builds the request of an identity.
pub(crate) async fn build(
    io: &Io,
    identity: Arc<IdentityConfig>,
    options: &AuthorizationOptions,
) -> Result<AuthorizationRequest, Error> {
    let Some(client) = identity.client() else {
        let message = format!(
            "identity `{}` gets its tokens from the platform, where nobody signs in",
            identity.name
        );
        return Err(Error::new(ErrorClass::InvalidRequest, message)
            .hint("name an identity with a client of its own"));
    };
    let tenant = identity.check_tenant_of_sign_in(options.tenant.as_deref())?;
    let scopes = scopes(&identity, options)?;
    let claims = options.claims.as_deref().map(challenge::parse_claims);
    let claims = claims.transpose()?;
    check(options)?;
    let server = Server::find(io, client, tenant.as_deref()).await?;

    let state = random(io);
    let nonce = scopes
        .iter()
        .any(|scope| scope == "openid")
        .then(|| random(io));
    let code_verifier = random(io);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier.expose()));

    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("client_id", &client.client_id)
        .append_pair("response_type", "code")
        .append_pair("redirect_uri", &options.redirect_uri);
    let (resource, scope) = of_version(&client.authority, &scopes);
    let optional = [
        ("response_mode", options.response_mode.as_deref()),
        ("resource", resource),
        (
            "scope",
            Some(scope.as_str()).filter(|scope| !scope.is_empty()),
        ),
        ("state", Some(state.expose())),
        ("nonce", nonce.as_ref().map(Secret::expose)),
        ("code_challenge", Some(challenge.as_str())),
        ("code_challenge_method", Some("S256")),
        ("prompt", options.prompt.as_deref()),
        ("login_hint", options.login_hint.as_deref()),
        ("domain_hint", options.domain_hint.as_deref()),
        ("claims", claims.as_deref()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let of_both = client.parameters.iter();
    let of_both = of_both.filter(|(name, _)| OF_BOTH_REQUESTS.contains(&name.as_str()));
    for (name, value) in of_both.chain(&options.parameters) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    server.check(&query, options)?;
    let url = server.endpoint.url();
    // RFC 6749 section 3.1: a query that it has is kept
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok(AuthorizationRequest {
        url: format!("{url}{joint}{query}"),
        state,
        nonce,
        code_verifier,
        issuer: server.issuer,
        names_issuer: server.names_issuer,
    })
}

/// Where users sign in.
struct Server {
    endpoint: Endpoint,
    /// What its metadata is that of, for messages, if the endpoint is from there.
    described: Option<String>,
    issuer: Option<String>,
    names_issuer: bool,
}

impl Server {
    async fn find(io: &Io, client: &Client, tenant: Option<&str>) -> Result<Self, Error> {
        let description = client.description(tenant);
        if let (None, Some(flow)) = (&client.issuer, client.authority.user_flow()) {
            return Ok(Self {
                endpoint: flow.authorization_endpoint(),
                described: None,
                issuer: None,
                names_issuer: false,
            });
        }
        let mut known = match &client.authority {
            // at the host of all regions: users are not where the servers of an application are
            Authority::Entra { host, .. } => {
                client
                    .token_endpoint(tenant, false)
                    .ok()
                    .map(|token| Endpoint {
                        authority: host.clone(),
                        ..token
                    })
            }
            Authority::Generic { token_endpoint, .. } if client.authority.is_adfs() => {
                Some(token_endpoint.clone())
            }
            _ => None,
        };
        if let Some(endpoint) = &mut known
            && let Some(before) = endpoint.path.strip_suffix("token")
        {
            endpoint.path = format!("{before}authorize");
            return Ok(Self {
                endpoint: endpoint.clone(),
                described: None,
                issuer: None,
                names_issuer: false,
            });
        }
        let Some(description) = description else {
            return Err(Error::new(
                ErrorClass::Configuration,
                "where users sign in is not known: the server is known by its token_endpoint alone",
            )
            .hint("set issuer of the identity beside token_endpoint: the authorization endpoint is in its metadata"));
        };
        let correlation_id = io.uuid();
        let metadata = discovery::authorization_metadata(io, &description, &correlation_id).await?;
        let url = metadata
            .authorization_endpoint
            .as_deref()
            .unwrap_or_default();
        Ok(Self {
            endpoint: discovery::permitted(&description, "authorization_endpoint", url, &[])?,
            described: Some(description.name),
            issuer: Some(metadata.issuer),
            names_issuer: metadata.names_issuer,
        })
    }

    /// Whether each parameter is there once (RFC 6749 section 3.1), of what the endpoint has in its query and of `written`.
    /// Some servers take names in any case. What the identity has several of (`resource`, RFC 8707 section 2) is no mistake.
    fn check(&self, written: &str, options: &AuthorizationOptions) -> Result<(), Error> {
        let names = |query: &str| -> Vec<String> {
            let pairs = form_urlencoded::parse(query.as_bytes());
            pairs.map(|(name, _)| name.into_owned()).collect()
        };
        let has = |names: &[String], wanted: &str| {
            let mut names = names.iter();
            names.any(|name| name.eq_ignore_ascii_case(wanted))
        };
        let (_, own) = self.endpoint.path.split_once('?').unwrap_or_default();
        let (own, written) = (names(own), names(written));
        for (n, name) in written.iter().enumerate() {
            let is_chosen = options.parameters.iter().any(|(chosen, _)| chosen == name);
            if is_chosen && has(written.get(..n).unwrap_or_default(), name) {
                return Err(invalid(
                    &format!("parameter {name} is there twice (RFC 6749 section 3.1)"),
                    "write it once; what the identity has in additional_parameters for its tokens goes there by itself",
                ));
            }
            if !has(&own, name) {
                continue;
            }
            if is_chosen {
                return Err(invalid(
                    &format!(
                        "parameter {name} is in the query of the authorization endpoint already"
                    ),
                    "leave it out: a request has a parameter once (RFC 6749 section 3.1)",
                ));
            }
            let described = self.described.as_deref().unwrap_or("the server");
            let message = format!(
                "{described}: its authorization_endpoint has `{name}` in its query, which each request has of its own, and once \
                 (RFC 6749 section 3.1)"
            );
            return Err(
                Error::new(ErrorClass::InvalidResponse, message).hint("have the metadata mended")
            );
        }
        Ok(())
    }
}

/// The scopes, each once, in their order.
fn scopes(identity: &IdentityConfig, options: &AuthorizationOptions) -> Result<Vec<String>, Error> {
    let asked = match options.scopes.as_slice() {
        [] => identity.scopes.as_slice(),
        asked => asked,
    };
    let mut out: Vec<String> = Vec::new();
    for scope in asked {
        rules::scope(scope)
            .map_err(|refusal| invalid(&format!("scope {}", refusal.message), &refusal.hint))?;
        if !out.contains(scope) {
            out.push(scope.clone());
        }
    }
    if out.is_empty() {
        out.push("openid".to_owned());
    }
    Ok(out)
}

/// Entra's v1 endpoint is told the resource by itself; the rest of them is the scope.
fn of_version<'a>(authority: &Authority, scopes: &'a [String]) -> (Option<&'a str>, String) {
    let is_v1 = authority.is_version_1();
    let is_of_a_resource = |scope: &&String| is_v1 && rules::names_resource(scope);
    let resource = scopes.iter().find(is_of_a_resource);
    let resource = resource.map(|scope| {
        let resource = scope.strip_suffix(rules::DEFAULT_SCOPE);
        resource.unwrap_or(scope)
    });
    let others = scopes.iter().filter(|scope| !is_of_a_resource(scope));
    let others: Vec<&str> = others.map(String::as_str).collect();
    (resource, others.join(" "))
}

/// Of OpenID Connect Core 1.0 section 3.1.2.1, of Initiating User Registration via OpenID Connect 1.0 (`create`), and of Entra
/// ID's first version (`admin_consent`).
const PROMPTS: [&str; 6] = [
    "none",
    "login",
    "consent",
    "select_account",
    "create",
    "admin_consent",
];

fn check(options: &AuthorizationOptions) -> Result<(), Error> {
    let AuthorizationOptions {
        redirect_uri,
        scopes: _,
        tenant: _,
        response_mode,
        prompt,
        login_hint,
        domain_hint,
        claims: _,
        parameters,
    } = options;
    if !rules::is_absolute_uri(redirect_uri) || redirect_uri.contains('#') {
        return Err(invalid(
            "redirect_uri is no absolute URI without a fragment (RFC 6749 section 3.1.2)",
            "write the one that is registered for the client, such as https://app.example/callback",
        ));
    }
    if let Some(mode) = response_mode
        && !matches!(mode.as_str(), "query" | "form_post")
    {
        return Err(invalid(
            "response_mode is neither query nor form_post",
            "a back end sees no other: a fragment stays in the browser",
        ));
    }
    let named = [
        ("redirect_uri", Some(redirect_uri)),
        ("prompt", prompt.as_ref()),
        ("login_hint", login_hint.as_ref()),
        ("domain_hint", domain_hint.as_ref()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let further = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    for (name, value) in named.chain(further) {
        if value.is_empty() || value.len() > MAX_TEXT_BYTES || value.chars().any(char::is_control) {
            return Err(invalid(
                &format!(
                    "{name} is empty, longer than {MAX_TEXT_BYTES} bytes, or has a control character"
                ),
                "leave it out, or write what the server expects",
            ));
        }
    }
    let words = prompt.iter().flat_map(|prompt| prompt.split(' '));
    let words: Vec<&str> = words.collect();
    let is_alone = words.len() < 2 || !words.contains(&"none");
    if !is_alone || !words.iter().all(|word| PROMPTS.contains(word)) {
        return Err(invalid(
            "prompt is not what OpenID Connect knows",
            "write none, or one or more of login, consent, select_account and create with a blank between",
        ));
    }
    if parameters.len() > MAX_PARAMETERS {
        return Err(invalid(
            &format!(
                "there are {} parameters, and {MAX_PARAMETERS} are taken",
                parameters.len()
            ),
            "leave out what the server does not know",
        ));
    }
    for (name, _) in parameters {
        if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(invalid(
                &format!("parameter {name} is written by edgepass"),
                "leave it out: it has an option of its own, or is made for each request",
            ));
        }
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(
                "a parameter has a name that no parameter may have",
                "use letters, digits, `-`, `.` and `_` (RFC 6749 appendix A)",
            ));
        }
    }
    Ok(())
}

fn invalid(what: &str, hint: &str) -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        format!("authorization request: {what}"),
    )
    .hint(hint)
}

/// 256 unguessable bits, as text of 43 characters: as long as a PKCE verifier has to be at least (RFC 7636 section 4.1).
fn random(io: &Io) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(io.random_bytes()))
}
