//! Grants: what each puts into the form, and whose token it brings.

#[cfg(feature = "every-credential")]
pub(crate) mod agent;
#[cfg(feature = "every-credential")]
mod authorization_code;
#[cfg(feature = "every-credential")]
mod jwt_bearer;
#[cfg(feature = "every-credential")]
mod on_behalf_of;
#[cfg(feature = "every-credential")]
mod refresh_token;
#[cfg(feature = "every-credential")]
mod subject;
#[cfg(feature = "every-credential")]
mod token_exchange;

#[cfg(feature = "every-credential")]
use crate::TokenRequest;
#[cfg(not(feature = "every-credential"))]
use crate::TokenType;
#[cfg(feature = "every-credential")]
use crate::UserReference;
use crate::authority::{Authority, EndpointVersion};
#[cfg(feature = "every-credential")]
use crate::config::IdentityConfig;
#[cfg(feature = "every-credential")]
use crate::distinction::{Digested, Distinction};
use crate::exchange::Form;
#[cfg(feature = "every-credential")]
use crate::secret::hex;
use crate::{Error, ErrorClass, Grant, GrantKind, Secret};

/// `grant_type` of RFC 7523 section 2.1.
#[cfg(feature = "every-credential")]
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What tells the tokens of two grants apart: the kind, and a digest of the subject and the options. Never a token
/// itself, so that a key may be kept, compared and printed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct GrantKey {
    pub(crate) kind: GrantKind,
    /// `None` for the application's own token, which has no subject.
    sha256: Option<[u8; 32]>,
}

impl GrantKey {
    /// A build that has one grant alone has the key of that one.
    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn of(_: &Grant) -> Self {
        let (kind, sha256) = (GrantKind::ClientCredentials, None);
        Self { kind, sha256 }
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn of(grant: &Grant) -> Self {
        let mut digest = Digested::default();
        // all by name, so that a new option is not forgotten here
        let kind = match grant {
            Grant::ClientCredentials => {
                return Self {
                    kind: GrantKind::ClientCredentials,
                    sha256: None,
                };
            }
            Grant::OnBehalfOf {
                assertion,
                session_key,
            } => {
                digest.add_optional(assertion.as_ref().map(Secret::expose));
                digest.add_optional(session_key.as_ref().map(Secret::expose));
                GrantKind::OnBehalfOf
            }
            Grant::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                nonce,
            } => {
                digest.add(code.expose());
                digest.add(redirect_uri);
                digest.add_optional(code_verifier.as_ref().map(Secret::expose));
                digest.add_optional(nonce.as_ref().map(Secret::expose));
                GrantKind::AuthorizationCode
            }
            Grant::RefreshToken(token) => {
                digest.add(token.expose());
                GrantKind::RefreshToken
            }
            Grant::JwtBearer(assertion) => {
                digest.add(assertion.expose());
                GrantKind::JwtBearer
            }
            Grant::TokenExchange {
                subject_token,
                subject_token_type,
                actor,
                audience,
                resource,
                requested_token_type,
            } => {
                digest.add(subject_token.expose());
                digest.add(subject_token_type);
                let actor = actor.as_ref();
                digest.add_optional(actor.map(|(token, _)| token.expose()));
                digest.add_optional(actor.map(|(_, kind)| kind.as_str()));
                digest.add_all(audience);
                digest.add_all(resource);
                digest.add_optional(requested_token_type.as_deref());
                GrantKind::TokenExchange
            }
            // Entra ID compares these without regard to case
            Grant::Agent(agent) => {
                digest.add(&agent.to_ascii_lowercase());
                GrantKind::Agent
            }
            Grant::AgentUser { agent, user } => {
                digest.add(&agent.to_ascii_lowercase());
                let (kind, name) = match user {
                    UserReference::Username(name) => ("username", name),
                    UserReference::ObjectId(id) => ("object-id", id),
                };
                digest.add(kind);
                digest.add(&name.to_ascii_lowercase());
                GrantKind::AgentUser
            }
        };
        Self {
            kind,
            sha256: Some(digest.sha256()),
        }
    }

    /// The same within a session: what was cached in another one with the same key is none of it.
    #[cfg(feature = "every-credential")]
    pub(crate) fn in_session(self, name: &[u8; 32]) -> Self {
        let mut all = Distinction::default();
        all.add_optional(self.sha256.map(|digest| hex(&digest)).as_deref());
        all.add(&hex(name));
        Self {
            sha256: Some(all.sha256()),
            ..self
        }
    }

    /// Adds what tells it apart from others, for another instance as for this one.
    #[cfg(feature = "every-credential")]
    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        out.add(self.kind.name());
        out.add_optional(self.sha256.map(|digest| hex(&digest)).as_deref());
    }

    /// Whether it is the application's own token, and nobody else's.
    pub(crate) fn is_own(&self) -> bool {
        self.sha256.is_none()
    }
}

/// Checks what a grant presents, and that the server has it. Nothing has been sent then.
#[cfg(feature = "every-credential")]
pub(crate) fn check(request: &TokenRequest, identity: &IdentityConfig) -> Result<(), Error> {
    #[cfg(test)]
    if tests::every_grant() {
        return Ok(());
    }
    let Some(client) = identity.client() else {
        // the platform's own tokens; who asks for others is told so elsewhere
        return Ok(());
    };
    let grant = &request.grant;
    check_server(grant.kind(), &client.authority)?;
    match grant {
        Grant::ClientCredentials => Ok(()),
        Grant::OnBehalfOf {
            assertion,
            session_key,
        } => on_behalf_of::check(assertion.as_ref(), session_key.as_ref()),
        Grant::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
            nonce,
        } => {
            let (verifier, nonce) = (code_verifier.as_ref(), nonce.as_ref());
            authorization_code::check(code, redirect_uri, verifier, nonce)
        }
        Grant::RefreshToken(token) => refresh_token::check(token),
        Grant::JwtBearer(assertion) => jwt_bearer::check(assertion),
        Grant::TokenExchange { .. } => match token_exchange_of(grant) {
            Some(exchange) => exchange.check(),
            None => Ok(()),
        },
        Grant::Agent(agent) => agent::check(request, identity, client, agent, None),
        Grant::AgentUser { agent, user } => {
            agent::check(request, identity, client, agent, Some(user))
        }
    }
}

/// Whether such a server has that grant.
///
/// # Errors
///
/// Of the class `unsupported`, with what the server has in its place.
#[cfg(feature = "every-credential")]
pub(crate) fn check_server(kind: GrantKind, authority: &Authority) -> Result<(), Error> {
    let (message, hint) = match (kind, authority.is_entra()) {
        (GrantKind::OnBehalfOf, false) => (
            "the on-behalf-of grant is Entra ID's, and the identity's server is another",
            "use the token-exchange grant (RFC 8693), or jwt-bearer (RFC 7523), as the server has it",
        ),
        (GrantKind::Agent | GrantKind::AgentUser, false) => (
            "agent identities are Entra ID's, and the identity's server is another",
            "use the token-exchange grant (RFC 8693) with an actor token, if the server has it",
        ),
        (GrantKind::JwtBearer, true) => (
            "Entra ID has the jwt-bearer grant for on-behalf-of alone",
            "use the on-behalf-of grant",
        ),
        (GrantKind::TokenExchange, true) => (
            "Entra ID has no token exchange (RFC 8693)",
            "use the on-behalf-of grant for a user's token, and a federated credential for a workload's",
        ),
        _ => return Ok(()),
    };
    Err(Error::new(ErrorClass::Unsupported, message).hint(hint))
}

/// A build that needs the application's own bearer tokens alone has the form of those alone.
#[cfg(not(feature = "every-credential"))]
pub(crate) fn check_supported(grant: &Grant, token_type: TokenType) -> Result<(), Error> {
    #[cfg(test)]
    if tests::every_grant() {
        return Ok(());
    }
    match (grant, token_type) {
        (Grant::ClientCredentials, TokenType::Bearer) => Ok(()),
        (Grant::ClientCredentials, TokenType::MtlsPop) => {
            Err(unsupported("the mtls-pop token type"))
        }
        _ => Err(unsupported("any grant but client-credentials")),
    }
}

impl GrantKind {
    /// Its name, as the interface for components has it. Keys of the token store are made of it, so it stays what it is.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client-credentials",
            Self::OnBehalfOf => "on-behalf-of",
            Self::AuthorizationCode => "authorization-code",
            Self::RefreshToken => "refresh-token",
            Self::JwtBearer => "jwt-bearer",
            Self::TokenExchange => "token-exchange",
            Self::Agent => "agent",
            Self::AgentUser => "agent-user",
        }
    }

    /// Whether its token is a user's. An agent's own token is an application's.
    pub fn is_of_a_user(self) -> bool {
        !matches!(self, Self::ClientCredentials | Self::Agent)
    }

    /// Whether what it sends is spent by being sent: an authorization code (RFC 6749 section 4.1.2), and a refresh token
    /// that the server rotates (RFC 9700 section 4.14.2). Such an exchange is not made again by itself, neither after a
    /// failure nor to renew its token, and its token is not cached: who presents the same again is told by the server.
    pub fn is_single_use(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::RefreshToken)
    }
}

/// The tokens inside a grant: they are sent, and must not come back in a message.
pub(crate) fn secrets(grant: &Grant) -> Vec<Secret> {
    match grant {
        Grant::ClientCredentials | Grant::Agent(_) | Grant::AgentUser { .. } => Vec::new(),
        Grant::OnBehalfOf {
            assertion,
            session_key,
        } => assertion.iter().chain(session_key).cloned().collect(),
        Grant::RefreshToken(token) | Grant::JwtBearer(token) => {
            vec![token.clone()]
        }
        Grant::AuthorizationCode {
            code,
            code_verifier,
            ..
        } => std::iter::once(code)
            .chain(code_verifier)
            .cloned()
            .collect(),
        Grant::TokenExchange {
            subject_token,
            actor,
            ..
        } => std::iter::once(subject_token)
            .chain(actor.as_ref().map(|(token, _)| token))
            .cloned()
            .collect(),
    }
}

/// The grant's part of the form.
pub(crate) fn add_to<'a>(
    form: &mut Form<'a>,
    grant: &'a Grant,
    authority: &Authority,
    scopes: &[String],
) {
    #[cfg(not(feature = "every-credential"))]
    {
        // there is no other
        let _ = grant;
        client_credentials(form, authority, scopes);
    }
    #[cfg(feature = "every-credential")]
    match grant {
        Grant::OnBehalfOf { assertion, .. } => {
            on_behalf_of::add_to(form, assertion.as_ref(), authority, scopes);
        }
        Grant::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
            ..
        } => {
            let verifier = code_verifier.as_ref();
            authorization_code::add_to(form, code, redirect_uri, verifier, authority, scopes);
        }
        Grant::RefreshToken(token) => refresh_token::add_to(form, token, authority, scopes),
        Grant::JwtBearer(assertion) => jwt_bearer::add_to(form, assertion, authority, scopes),
        Grant::TokenExchange { .. } => {
            if let Some(exchange) = token_exchange_of(grant) {
                exchange.add_to(form, authority, scopes);
            }
        }
        Grant::AgentUser { user, .. } => agent::add_to(form, user, authority, scopes),
        Grant::ClientCredentials | Grant::Agent(_) => client_credentials(form, authority, scopes),
    }
}

#[cfg(feature = "every-credential")]
fn token_exchange_of(grant: &Grant) -> Option<token_exchange::TokenExchange<'_>> {
    let Grant::TokenExchange {
        subject_token,
        subject_token_type,
        actor,
        audience,
        resource,
        requested_token_type,
    } = grant
    else {
        return None;
    };
    Some(token_exchange::TokenExchange {
        subject: (subject_token, subject_token_type),
        actor: actor.as_ref(),
        audience,
        resource,
        requested_token_type: requested_token_type.as_deref(),
    })
}

/// The part of a refresh token that is kept for a session.
#[cfg(feature = "every-credential")]
pub(crate) fn refresh<'a>(
    form: &mut Form<'a>,
    token: &'a Secret,
    authority: &Authority,
    scopes: &[String],
) {
    refresh_token::add_to(form, token, authority, scopes);
}

/// RFC 6749 section 4.4.2.
fn client_credentials(form: &mut Form<'_>, authority: &Authority, scopes: &[String]) {
    form.add("grant_type", "client_credentials");
    add_scopes(form, authority, scopes);
}

/// `scope`; `resource` in its place at Entra's v1 endpoint.
fn add_scopes(form: &mut Form<'_>, authority: &Authority, scopes: &[String]) {
    let scope = scopes.join(" ");
    match authority {
        _ if scope.is_empty() => {}
        Authority::Entra {
            version: EndpointVersion::V1,
            ..
        } => {
            let resource = scope.strip_suffix("/.default").unwrap_or(&scope);
            form.add("resource", resource.to_owned());
        }
        _ => form.add("scope", scope),
    }
}

/// A platform's tokens are the workload's own.
pub(crate) fn not_of_a_platform(identity: &str) -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        format!(
            "identity `{identity}` gets its tokens from the platform, which gives none for others"
        ),
    )
    .hint("name an identity with a client of its own")
}

#[cfg(not(feature = "every-credential"))]
fn unsupported(name: &str) -> Error {
    Error::new(
        ErrorClass::Unsupported,
        format!("{name} is not supported by this version"),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn names_are_those_of_the_interface() {
        const INTERFACE: &str = include_str!("../../../wit/types.wit");
        let (_, kinds) = INTERFACE.split_once("enum grant-kind {").unwrap();
        let (kinds, _) = kinds.split_once('}').unwrap();
        let lines = kinds.lines().map(str::trim);
        let named: Vec<&str> = lines.filter_map(|line| line.strip_suffix(',')).collect();
        let known = [
            GrantKind::ClientCredentials,
            GrantKind::OnBehalfOf,
            GrantKind::AuthorizationCode,
            GrantKind::RefreshToken,
            GrantKind::JwtBearer,
            GrantKind::TokenExchange,
            GrantKind::Agent,
            GrantKind::AgentUser,
        ];
        assert_eq!(known.map(GrantKind::name).as_slice(), named);
    }

    thread_local! {
        static EVERY_GRANT: Cell<bool> = const { Cell::new(false) };
    }

    /// Lets this thread's engines take every grant.
    pub(crate) fn allow_every_grant() {
        EVERY_GRANT.set(true);
    }

    pub(super) fn every_grant() -> bool {
        EVERY_GRANT.get()
    }

    /// A grant out of few texts, so that two are often nearly the same.
    pub(crate) fn any_grant(random: &mut ChaCha8Rng) -> Grant {
        const TEXTS: [&str; 6] = ["", "a", "aa", "b", "alice's token", "bob's token"];
        let mut below = |bound: u64| random.next_u64() % bound;
        let kind = below(8);
        let mut text = || TEXTS[usize::try_from(below(6)).unwrap()].to_owned();
        match kind {
            0 => Grant::ClientCredentials,
            1 => Grant::OnBehalfOf {
                assertion: Some(text().into()),
                session_key: None,
            },
            2 => Grant::RefreshToken(text().into()),
            3 => Grant::JwtBearer(text().into()),
            4 => Grant::AuthorizationCode {
                code: text().into(),
                redirect_uri: text(),
                code_verifier: Some(text()).filter(|text| text != "a").map(Secret::new),
                nonce: Some(text()).filter(|text| text != "b").map(Secret::new),
            },
            5 => Grant::Agent(text()),
            6 => Grant::AgentUser {
                agent: text(),
                user: match text().as_str() {
                    "a" => UserReference::Username(text()),
                    _ => UserReference::ObjectId(text()),
                },
            },
            _ => Grant::TokenExchange {
                subject_token: text().into(),
                subject_token_type: text(),
                actor: None,
                audience: vec![text(), text()],
                resource: vec![text()],
                requested_token_type: Some(text()).filter(|text| text != "a"),
            },
        }
    }

    #[test]
    fn two_grants_have_one_key_only_if_they_are_the_same() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..20_000 {
            let (one, other) = (any_grant(&mut random), any_grant(&mut random));
            assert_eq!(
                GrantKey::of(&one) == GrantKey::of(&other),
                one == other,
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn every_option_counts() {
        let exchange = || TokenExchange {
            actor: None,
            audience: vec!["x"],
            resource: Vec::new(),
            requested: None,
        };
        let grants = [
            exchange(),
            TokenExchange {
                actor: Some(("", "")),
                ..exchange()
            },
            TokenExchange {
                actor: Some(("a", "k")),
                ..exchange()
            },
            TokenExchange {
                audience: vec!["x", "x"],
                ..exchange()
            },
            TokenExchange {
                audience: Vec::new(),
                resource: vec!["x"],
                ..exchange()
            },
            TokenExchange {
                requested: Some(""),
                ..exchange()
            },
        ];
        let keys = grants.map(|grant| GrantKey::of(&grant.into()));
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|other| other != key), "{n}");
        }
    }

    struct TokenExchange {
        actor: Option<(&'static str, &'static str)>,
        audience: Vec<&'static str>,
        resource: Vec<&'static str>,
        requested: Option<&'static str>,
    }

    impl From<TokenExchange> for Grant {
        fn from(exchange: TokenExchange) -> Self {
            let texts = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
            Self::TokenExchange {
                subject_token: "t".into(),
                subject_token_type: "k".into(),
                actor: exchange
                    .actor
                    .map(|(token, kind)| (token.into(), kind.to_owned())),
                audience: texts(exchange.audience),
                resource: texts(exchange.resource),
                requested_token_type: exchange.requested.map(str::to_owned),
            }
        }
    }
}
