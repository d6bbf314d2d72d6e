//! Agent identities of Entra ID: applications without a credential of their own, for which their *blueprint* vouches. The
//! identity of the configuration is the blueprint.
//!
//! 1. The blueprint proves itself and names the agent (`fmi_path`): what it gets is the agent's client assertion.
//! 2. With that the agent asks for its own token. Where it acts as a user account of its own, it asks for one that stands
//!    for it at the token endpoint instead;
//! 3. and brings both for the user (`user_fic`).
//!
//! The first two are tokens of applications, which serve until shortly before they end: for each agent they are kept, and
//! asked for once however many ask for its users.

use super::{add_scopes, subject};
use crate::authority::{Authority, Endpoint, EndpointVersion, TenantPath, is_guid};
use crate::config::{Client, IdentityConfig, rules};
use crate::credential::{ClientAuth, Credential, Failure, OidcFederation, Purpose};
use crate::exchange::Form;
use crate::flow::Io;
use crate::{Error, ErrorClass, Grant, TokenRequest, TokenType, UserReference};

/// The parameter by which a blueprint names the agent.
const FMI_PATH: &str = "fmi_path";

/// Agents' assertions that are kept, two for each agent that acts as a user. One is some 2 KiB.
const MAX_AGENT_ASSERTIONS: usize = 512;

/// What the keys of these begin with.
const PREFIX: &str = "agent ";

/// A user principal name, characters: Entra ID's longest are 113.
const MAX_USERNAME_CHARS: usize = 256;

/// No user's: what is left where somebody forgot to set it.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Checks a request for an agent. Nothing has been sent then.
pub(super) fn check(
    request: &TokenRequest,
    identity: &IdentityConfig,
    client: &Client,
    agent: &str,
    user: Option<&UserReference>,
) -> Result<(), Error> {
    check_id("the agent's client ID", agent)?;
    if agent.eq_ignore_ascii_case(&client.client_id) {
        return Err(subject::invalid(
            "the agent's client ID is that of the identity, which is its blueprint".to_owned(),
        )
        .hint("name the agent identity; for the blueprint's own token leave the grant out"));
    }
    user.map_or(Ok(()), check_user)?;
    let unsupported =
        |message: &str, hint: &str| Err(Error::new(ErrorClass::Unsupported, message).hint(hint));
    match &client.authority {
        Authority::Entra {
            version: EndpointVersion::V2,
            path: TenantPath::Plain,
            ..
        } => {}
        Authority::Entra {
            path: TenantPath::Plain,
            ..
        } => {
            return unsupported(
                "agent identities get their tokens at the v2.0 endpoint alone",
                "leave endpoint_version of the identity out",
            );
        }
        _ => {
            return unsupported(
                "agent identities are Entra ID's, and a user flow or dSTS has none",
                "name an identity of a tenant of Entra ID",
            );
        }
    }
    if request.token_type == TokenType::MtlsPop {
        return unsupported(
            "an agent's token cannot be bound to a certificate: the agent has none",
            "ask for a bearer token",
        );
    }
    if client.parameters.iter().any(|(name, _)| name == FMI_PATH) {
        return Err(subject::invalid(format!(
            "the identity's additional_parameters have {FMI_PATH}, which names the agent of this request"
        ))
        .hint("leave it out of the configuration"));
    }
    let is_plain = |credential: &Credential| {
        credential.certificate().is_none() && credential.proxy().is_none()
    };
    match identity.credentials() {
        Some(credentials) if !credentials.iter().any(is_plain) => unsupported(
            "the agent's own requests have no way out: the blueprint's go to a token proxy, or show its certificate on the connection",
            "give the blueprint a credential without these; a certificate without use_bound_credential signs an assertion",
        ),
        _ => Ok(()),
    }
}

fn check_id(what: &str, id: &str) -> Result<(), Error> {
    match is_guid(id) && id != NO_ID {
        true => Ok(()),
        false => Err(subject::invalid(format!("{what} is no ID of Entra ID"))
            .hint("write its GUID, as 66666666-7777-8888-9999-000000000000")),
    }
}

fn check_user(user: &UserReference) -> Result<(), Error> {
    match user {
        UserReference::ObjectId(id) => check_id("the user's object ID", id),
        UserReference::Username(name) => {
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
            let is_fit = name.contains('@')
                && name.chars().count() <= MAX_USERNAME_CHARS
                && name.chars().all(is_plain);
            match is_fit {
                true => Ok(()),
                false => Err(subject::invalid(
                    "the user's name is no user principal name".to_owned(),
                )
                .hint("write it as agent@contoso.example, or give the object ID")),
            }
        }
    }
}

/// An agent, for one acquisition with one of its blueprint's credentials.
pub(crate) struct Agent {
    /// The agent as a client.
    client: Client,
    blueprint: String,
    /// How its assertion is got.
    first: OidcFederation,
    /// How what stands for it is got, where it acts as a user.
    second: Option<OidcFederation>,
}

impl Agent {
    /// Of a grant that is an agent's.
    pub(crate) fn of(
        grant: &Grant,
        blueprint: &Client,
        tenant: Option<&str>,
        credential: &Credential,
    ) -> Option<Box<Self>> {
        let (agent, is_user) = match grant {
            Grant::Agent(agent) => (agent, false),
            Grant::AgentUser { agent, .. } => (agent, true),
            _ => return None,
        };
        let id = agent.to_ascii_lowercase();
        let audience = blueprint.authority.federation_audience();
        let scope = format!("{audience}{}", rules::DEFAULT_SCOPE);
        let own = |client_id: &str| Client {
            client_id: client_id.to_owned(),
            tenant: tenant.map(str::to_owned),
            ..blueprint.clone()
        };
        let mut vouching = own(&blueprint.client_id);
        vouching.parameters.push((FMI_PATH.to_owned(), id.clone()));
        let client = own(&id);
        let first = OidcFederation::of(vouching, &scope, credential.clone(), PREFIX);
        let second = is_user.then(|| {
            let by_first = Credential::OidcFederation(first.clone());
            OidcFederation::of(client.clone(), &scope, by_first, PREFIX)
        });
        Some(Box::new(Self {
            client,
            blueprint: blueprint.client_id.clone(),
            first,
            second,
        }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where the agent asks. Its blueprint's certificate and proxy are not its own.
    pub(crate) fn token_endpoint(&self) -> Result<Endpoint, Error> {
        let tenant = self.client.tenant.as_deref();
        self.client.token_endpoint(tenant, false)
    }

    /// Gathers what the agent proves itself with.
    pub(crate) async fn authenticate(
        &self,
        io: &Io,
        purpose: &Purpose<'_>,
    ) -> Result<ClientAuth, Failure> {
        self.first.make_room(io, PREFIX, MAX_AGENT_ASSERTIONS);
        let auth = self.first.client_auth(io, purpose).await;
        auth.map_err(|failure| {
            let has = |code| failure.error.detail().aadsts.contains(&code);
            let error = match has(9_002_313) {
                // the one field of it that other apps' requests have not
                true => failure.error.hint(format!(
                    "check that {} is a blueprint of agent identities: other apps vouch for none",
                    self.blueprint
                )),
                false => failure.error,
            };
            Failure { error, ..failure }
        })
    }

    /// Adds what stands for the agent where it acts as a user.
    pub(crate) async fn stand_in(
        &self,
        io: &Io,
        purpose: &Purpose<'_>,
        auth: &mut ClientAuth,
    ) -> Result<(), Failure> {
        let Some(second) = &self.second else {
            return Ok(());
        };
        second.make_room(io, PREFIX, MAX_AGENT_ASSERTIONS);
        match second.client_auth(io, purpose).await {
            Ok(other) => {
                auth.echoes.extend(other.echoes);
                auth.for_user = other.read;
                Ok(())
            }
            Err(failure) => Err(Failure {
                error: self.explain(failure.error),
                ..failure
            }),
        }
    }

    /// What a refusal means where an agent has asked.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let has = |code| error.detail().aadsts.contains(&code);
        let agent = &self.client.client_id;
        if error.class() == ErrorClass::FederationMismatch {
            let blueprint = &self.blueprint;
            return error.hint(format!(
                "check that {agent} is an agent identity of the blueprint {blueprint}, in this tenant"
            ));
        }
        if has(50034) {
            return error.hint(format!(
                "check that the user is there, and is the user account of the agent identity {agent}"
            ));
        }
        error
    }
}

/// The form of the last leg.
pub(super) fn add_to<'a>(
    form: &mut Form<'a>,
    user: &'a UserReference,
    authority: &Authority,
    scopes: &[String],
) {
    form.add("grant_type", "user_fic");
    match user {
        UserReference::Username(name) => form.add("username", name.as_str()),
        UserReference::ObjectId(id) => form.add("user_id", id.as_str()),
    }
    add_scopes(form, authority, scopes);
}
