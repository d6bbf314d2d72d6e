//! What `edgepass token` and `edgepass authorization-url` take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ConfigArguments;
use super::values::{parameter, seconds};
use crate::grant::TokenTypeName;

#[derive(Args)]
pub(crate) struct TokenArguments {
    /// Scopes; for Entra ID one resource with `/.default`. The identity's configured scopes if left out.
    #[arg(short, long, value_name = "SCOPE", num_args = 1..)]
    pub(crate) scope: Vec<String>,

    #[command(flatten)]
    pub(crate) config: ConfigArguments,

    /// The configured identity; the default one if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,

    /// Another tenant than the identity's own, as far as the configuration allows it.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,

    /// A claims challenge: JSON, or the base64 of it as `WWW-Authenticate` carries it.
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,

    /// Nothing is kept between two runs, so every run asks the token endpoint, with this and without.
    #[arg(long, hide = true)]
    pub(crate) force_refresh: bool,

    /// Gives up after so many seconds, 0.5 for example; 500ms and 2m are understood, too. Without it an answer is waited for some 30 s, retries included.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,

    /// CA bundle (PEM) that token endpoints are verified with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Runs this component instead of the one inside. It is compiled first, which takes about a second.
    ///
    /// A command without the compiler refuses it, and says how to build one that has it.
    #[arg(long, value_name = "FILE", hide = cfg!(not(feature = "compiler")))]
    pub(crate) component: Option<PathBuf>,

    /// What is printed; `json` if left out.
    #[arg(short = 'o', long, visible_alias = "output", value_enum)]
    pub(crate) format: Option<TokenFormat>,

    // the last, because what comes after it would be under its heading
    #[command(flatten)]
    pub(crate) grant: GrantArguments,
}

#[derive(Args)]
pub(crate) struct AuthorizationUrlArguments {
    /// Where the server sends the user back to, with the code. It is registered there, letter for letter.
    #[arg(long, value_name = "URI")]
    pub(crate) redirect_uri: String,

    /// Scopes: `openid` for an ID token, `offline_access` for a refresh token. The identity's configured scopes if left out.
    #[arg(short, long, value_name = "SCOPE", num_args = 1..)]
    pub(crate) scope: Vec<String>,

    #[command(flatten)]
    pub(crate) config: ConfigArguments,

    /// The configured identity; the default one if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,

    /// Another tenant than the identity's own, as far as the configuration allows it.
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,

    /// Who is about to sign in, as far as that is known.
    #[arg(long, value_name = "USER")]
    pub(crate) login_hint: Option<String>,

    /// What the user is to be asked: none, or one or more of login, consent, select_account and create.
    #[arg(long, value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,

    /// Where the user's account is (Entra ID): a domain.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain_hint: Option<String>,

    /// How the answer comes back: query (which servers take by themselves), or form_post.
    #[arg(long, value_name = "MODE")]
    pub(crate) response_mode: Option<String>,

    /// One more parameter of the request, which is the server's own affair. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) parameter: Vec<(String, String)>,

    /// The claims of a challenge: JSON, or the base64 of it.
    #[arg(long, value_name = "JSON")]
    pub(crate) claims: Option<String>,

    /// Gives up after so many seconds, as `edgepass token` does. Most servers are asked nothing for this.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,

    /// CA bundle (PEM) that servers are verified with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// What is printed; `json` if left out.
    #[arg(short = 'o', long, visible_alias = "output", value_enum)]
    pub(crate) format: Option<PlainFormat>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum PlainFormat {
    /// `url`, `state`, `nonce`, `code_verifier`, and `issuer` where the server has said who it is; with `names_issuer` where it
    /// names itself in each answer (`iss`).
    Json,
    /// The same, a line each.
    Text,
}

/// What `--grant` needs. Tokens, codes and verifiers come from files or standard input alone: a command line is seen by every
/// process of the machine, and kept by shells.
#[derive(Args, Default)]
#[command(next_help_heading = "Grant")]
pub(crate) struct GrantArguments {
    /// How the token is granted; `client-credentials`, the application's own token, if left out.
    #[arg(long, value_enum, value_name = "GRANT")]
    pub(crate) grant: Option<GrantName>,

    /// The file with the token that a user has sent (on-behalf-of), or with the assertion that is exchanged (jwt-bearer); `-`
    /// for standard input, here and for the other files of a grant.
    #[arg(long, value_name = "FILE")]
    pub(crate) assertion_file: Option<PathBuf>,

    /// The file with the code that the authorization endpoint has sent (authorization-code).
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,

    /// The redirect URI to which the code was sent (authorization-code).
    #[arg(long, value_name = "URI")]
    pub(crate) redirect_uri: Option<String>,

    /// The file with the PKCE code verifier of the authorization request (authorization-code).
    #[arg(long, value_name = "FILE")]
    pub(crate) code_verifier_file: Option<PathBuf>,

    /// The nonce of the authorization request, which the ID token must have (authorization-code).
    #[arg(long, value_name = "NONCE", allow_hyphen_values = true)]
    pub(crate) nonce: Option<String>,

    /// The file with the refresh token (refresh-token). A server may replace it: the new one is printed with `-o json` alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) refresh_token_file: Option<PathBuf>,

    /// The file with the token that is exchanged (token-exchange).
    #[arg(long, value_name = "FILE")]
    pub(crate) subject_token_file: Option<PathBuf>,

    /// What the subject token is (token-exchange): access-token, refresh-token, id-token, jwt, saml1, saml2, or the URI of
    /// another type.
    #[arg(long, value_name = "TYPE")]
    pub(crate) subject_token_type: Option<TokenTypeName>,

    /// The file with the token of who acts for the subject (token-exchange).
    #[arg(long, value_name = "FILE")]
    pub(crate) actor_token_file: Option<PathBuf>,

    /// What the actor token is, as for the subject token (token-exchange).
    #[arg(long, value_name = "TYPE")]
    pub(crate) actor_token_type: Option<TokenTypeName>,

    /// The name of the service that the token is for (token-exchange). May be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Vec<String>,

    /// The URI of the service that the token is for (token-exchange). May be given several times.
    #[arg(long, value_name = "URI")]
    pub(crate) resource: Vec<String>,

    /// What the issued token shall be, as for the subject token (token-exchange).
    #[arg(long, value_name = "TYPE")]
    pub(crate) requested_token_type: Option<TokenTypeName>,

    /// The client ID of the agent identity; the identity is its blueprint (agent, agent-user).
    #[arg(long, value_name = "CLIENT_ID")]
    pub(crate) agent: Option<String>,

    /// The user for whom the agent acts: a user name, or an object ID (agent-user).
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// A grant, as `--grant` names it; those that the standards name otherwise are known by those names, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum GrantName {
    /// The application's own token.
    #[value(alias = "client_credentials")]
    ClientCredentials,
    /// A user's token for another API, for the token that the user has sent (Entra ID).
    #[value(aliases = ["on_behalf_of", "obo"])]
    OnBehalfOf,
    /// Tokens of a user who has just signed in.
    #[value(aliases = ["authorization_code", "code"])]
    AuthorizationCode,
    /// Tokens of a user who has signed in before.
    #[value(alias = "refresh_token")]
    RefreshToken,
    /// A token for an assertion (RFC 7523).
    #[value(aliases = ["jwt_bearer", "urn:ietf:params:oauth:grant-type:jwt-bearer"])]
    JwtBearer,
    /// A token for another token (RFC 8693).
    #[value(aliases = ["token_exchange", "urn:ietf:params:oauth:grant-type:token-exchange"])]
    TokenExchange,
    /// The own token of an agent identity (Entra ID).
    Agent,
    /// A user's token for an agent identity (Entra ID).
    #[value(alias = "agent_user")]
    AgentUser,
    /// Refused, with the reason.
    #[value(hide = true, aliases = ["device_code", "device", "urn:ietf:params:oauth:grant-type:device_code"])]
    DeviceCode,
    /// Refused, with the reason.
    #[value(hide = true, alias = "ropc")]
    Password,
    /// Refused, with the reason.
    #[value(hide = true)]
    Implicit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum TokenFormat {
    /// `access_token`, `token_type`, `expires_on`, `refresh_on` (unix seconds), `scope` and `identity`; `refresh_token`,
    /// `id_token` and `issued_token_type` where a grant brings them, which are printed in this format alone.
    Json,
    /// The `Authorization` header, for `curl --header`.
    Header,
    /// The token alone.
    Token,
}
