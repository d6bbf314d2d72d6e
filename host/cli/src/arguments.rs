//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use edgepass_settings::formats::Format;

use super::envoy_config::Upstream;
use super::failure;
use super::grant::TokenTypeName;

// Headings look as clap's own do at a terminal, and are plain wherever it prints them plain.

const EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass token --scope https://graph.microsoft.com/.default
  edgepass config check edgepass.yaml
  edgepass help token";

const TOKEN_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass token --scope https://graph.microsoft.com/.default
  edgepass token --config edgepass.json --identity billing -o token
  edgepass token --appsettings appsettings.json --api graph
  edgepass token -s api://orders/.default --grant on-behalf-of --assertion-file - < caller.token
  h=$(edgepass token -s api://app/.default -o header) && curl -H \"$h\" https://app.example/";

const AUTHORIZATION_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass authorization-url --redirect-uri https://app.example/callback -s openid profile offline_access";

const CHECK_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass config check edgepass.yaml
  edgepass config check --strict          # in the pod: EDGEPASS_CONFIG, or the variables alone
  kubectl get configmap edgepass -o jsonpath='{.data.edgepass\\.json}' | edgepass config check -";

const INIT_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass config init -o edgepass.yaml && edgepass config check edgepass.yaml
  edgepass config init --format toml";

const COMPLETIONS_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass completions bash > /etc/bash_completion.d/edgepass
  source <(edgepass completions zsh)
  edgepass completions fish > ~/.config/fish/completions/edgepass.fish";

const ENVOY_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass envoy-config --config edgepass.json --upstream https://api.example > envoy.yaml
  edgepass envoy-config --config edgepass.json --certificate billing-cert > billing-cert.yaml";

/// Access tokens for workloads that hold no secret.
///
/// The identity comes from the configuration (--config, or the path in EDGEPASS_CONFIG), or from AZURE_TENANT_ID,
/// AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE alone, as a Kubernetes pod with workload identity has them. Variables of
/// the Azure SDKs that are set and have no effect are named in a warning. The settings of programs with Microsoft.Identity.Web
/// (--appsettings) or python-social-auth (--social-auth, SOCIAL_AUTH_AZUREAD_…) are taken as they are.
///
/// Of an option that is given twice the last one counts. Nothing is kept between two runs.
///
/// Errors are text for people at a terminal; otherwise those of `token` are JSON, as its output is: see --error-format.
///
/// Exit status: 0 done, 1 the token could not be acquired, 2 usage or configuration.
#[derive(Parser)]
// of an option that is given twice the last one counts: wrapper scripts have options of their own and add a caller's
#[command(
    name = "edgepass",
    version,
    max_term_width = 100,
    args_override_self = true,
    after_help = EXAMPLES
)]
pub(crate) struct Arguments {
    /// Says on standard error which configuration, identity and token file are used; given twice, each request, too.
    /// Never a secret.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// No warnings, and no description of a configuration that is good. Errors are printed all the same.
    #[arg(short, long, global = true, overrides_with = "verbose")]
    pub(crate) quiet: bool,

    /// How errors and warnings are printed. If left out: text, but JSON where the output is JSON and standard error is no
    /// terminal, or `--format json` is given.
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) error_format: Option<failure::Format>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Acquires an access token and prints it.
    ///
    /// Nothing is kept between two runs: each asks the token endpoint once. In a loop, take a token and use it until its
    /// `expires_on`; a program with the library, or the filter, keeps and renews tokens by itself.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(Box<TokenArguments>),
    /// Prints the address at which a user signs in, and what the back end has to keep until the code comes.
    ///
    /// `url` is for the user's browser. `state`, `nonce` and `code_verifier` are for the back end alone, one set for each
    /// sign-in: the answer must have the state, and `edgepass token --grant authorization-code` takes the other two.
    #[command(after_help = AUTHORIZATION_EXAMPLES)]
    AuthorizationUrl(Box<AuthorizationUrlArguments>),
    /// Checks the configuration, or prints its schema.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the configuration of an Envoy that runs the filter with a configuration.
    ///
    /// What it prints is complete: the filter, the listener that gives it the token files, and a cluster for each token
    /// endpoint that checks the server's certificate. What the configuration leaves out and the environment has
    /// (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST, EDGEPASS_AUTHORITY_HOSTS)
    /// is left to the variables of Envoy's process.
    #[command(after_help = ENVOY_EXAMPLES)]
    EnvoyConfig(Box<EnvoyConfigArguments>),
    /// Runs a WebAssembly application whose requests get tokens that it never holds. `edgepass run --help` has the options.
    ///
    /// The program edgepass-run does it, which carries a compiler: the one beside this program, or in PATH.
    #[command(disable_help_flag = true)]
    Run(HandedOver),
    /// Serves HTTP by such an application. `edgepass serve-http --help` has the options.
    ///
    /// The program edgepass-run does it, which carries a compiler: the one beside this program, or in PATH.
    #[command(disable_help_flag = true)]
    ServeHttp(HandedOver),
    /// Makes one component of an application and the credential provider. `edgepass compose --help` has the options.
    ///
    /// The program edgepass-run does it: the one beside this program, or in PATH.
    #[command(disable_help_flag = true)]
    Compose(HandedOver),
    /// Prints the version, as --version does.
    #[command(hide = true)]
    Version,
    /// Prints a man page: that of edgepass, or of a command of it.
    #[command(hide = true)]
    Man {
        /// The command, in as many words as it has.
        command: Vec<String>,
    },
    /// Prints the completion script of a shell.
    #[command(visible_alias = "completion", after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct HandedOver {
    /// What edgepass-run takes.
    #[arg(value_name = "ARGUMENT", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

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
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
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
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
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

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validates the configuration and the files that it names, and describes it.
    ///
    /// All mistakes are named at once. A file that is not there is worth a warning, because the check also runs where the
    /// configuration is written; with --strict it is a mistake.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Writes a configuration to begin with, with comments, made of what the environment shows.
    ///
    /// Tenant and client of the AZURE_… variables, and the credential that this machine, pod or job has. A secret is named
    /// by its variable and never written. Where nothing is shown it is a template.
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArguments),
    /// Prints the configuration as JSON, whatever it is written in: for who reads nothing else, such as a component by
    /// EDGEPASS_CONFIG_JSON.
    ///
    /// A secret that stands in the document is in what is printed.
    Convert(ConvertArguments),
    /// Prints the JSON Schema of the configuration, whatever it is written in.
    Schema,
    /// Prints the reference of the configuration, as docs/configuration.md has it.
    #[command(hide = true)]
    Reference,
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The configuration, `-` for standard input; as with --config.
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "appsettings", "social_auth"])]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) config: ConfigArguments,

    /// Takes warnings for mistakes: files that are not there, variables that are not used.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Tries what can be tried without an exchange. The token store first: connects, logs in, puts, gets and deletes an entry;
    /// fails where that does not work. Then loads each credential as for an exchange, and asks the identity's own token endpoint
    /// for nothing (the first of the two exchanges of oidc_federation, at another issuer, is made): reads token files, opens
    /// certificates, asks for assertions. Says of each whether it is ready; fails where an identity has none that is.
    #[arg(long = "try")]
    pub(crate) try_credentials: bool,
}

#[derive(Args)]
pub(crate) struct ConvertArguments {
    /// The configuration, `-` for standard input; as with --config.
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "appsettings", "social_auth"])]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) config: ConfigArguments,

    /// How it is written. What was read is good in any form; only a host other than edgepass needs JSON.
    #[arg(
        short = 'o',
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json"
    )]
    pub(crate) format: ConvertFormat,
}

/// How a configuration is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ConvertFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Args)]
pub(crate) struct InitArguments {
    /// How it is written: by the ending of the file's name if left out, and YAML where that says nothing. JSON has no comments.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ConfigFormat>,

    /// The file to write; standard output if left out.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Writes over a file that is there.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

#[derive(Args, Clone)]
pub(crate) struct ConfigArguments {
    /// The configuration, a file: YAML where its name ends in .yaml or .yml, TOML where it ends in .toml, and JSON otherwise;
    /// `-` for standard input. If left out, the file that EDGEPASS_CONFIG names, or the JSON text in EDGEPASS_CONFIG_JSON.
    #[arg(short, long, value_name = "FILE", alias = "from")]
    pub(crate) config: Option<PathBuf>,

    /// How the configuration is written, whatever the name of its file says; for standard input JSON if left out.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) config_format: Option<ConfigFormat>,

    /// In the place of a configuration, the settings of a .NET program with Microsoft.Identity.Web, its appsettings.json; `-`
    /// for standard input. As .NET has it, appsettings.Production.json beside it goes over it (or that of DOTNET_ENVIRONMENT or
    /// ASPNETCORE_ENVIRONMENT), and variables before both (AzureAd__ClientId).
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) appsettings: Option<PathBuf>,

    /// The section of the appsettings.json that describes the client; AzureAd if left out.
    #[arg(long, value_name = "NAME", requires = "appsettings", conflicts_with_all = ["config", "social_auth"])]
    pub(crate) section: Option<String>,

    /// The API among the DownstreamApis of the appsettings.json whose scopes are asked for where no scope is given. A single
    /// one with an app's scopes need not be named.
    #[arg(long, value_name = "NAME", requires = "appsettings", conflicts_with_all = ["config", "social_auth"])]
    pub(crate) api: Option<String>,

    /// In the place of a configuration, the settings of a program with python-social-auth: JSON, or a module in Python of
    /// plain assignments, as Django has it, which is read and never run; `-` for standard input. Each backend is an identity
    /// of the backend's name. As variables (SOCIAL_AUTH_AZUREAD_…) the settings need no option.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "appsettings"])]
    pub(crate) social_auth: Option<PathBuf>,
}

impl ConfigArguments {
    /// The same of a command that takes the file as its argument, too.
    pub(crate) fn or_file(&self, file: Option<&PathBuf>) -> Self {
        Self {
            config: file.or(self.config.as_ref()).cloned(),
            ..self.clone()
        }
    }
}

/// How a configuration is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ConfigFormat {
    /// YAML 1.2.
    #[value(alias = "yml")]
    Yaml,
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl From<ConfigFormat> for Format {
    fn from(format: ConfigFormat) -> Self {
        match format {
            ConfigFormat::Yaml => Self::Yaml,
            ConfigFormat::Toml => Self::Toml,
            ConfigFormat::Json => Self::Json,
        }
    }
}

#[derive(Args, Clone)]
pub(crate) struct EnvoyConfigArguments {
    /// The configuration, `-` for standard input; as with --config.
    #[arg(value_name = "FILE", conflicts_with_all = ["config", "appsettings", "social_auth"])]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) config: ConfigArguments,

    /// Where Envoy listens for requests.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = listener)]
    pub(crate) listen: SocketAddr,

    /// Where requests go: HOST:PORT, or https://HOST:PORT (443 if left out) for a server with a certificate.
    ///
    /// May be given several times, each for the requests whose path begins so (/PREFIX=URL), for a host (HOST=URL) or both
    /// (HOST/PREFIX=URL). A path at the end of URL, as in `/graph/=https://graph.microsoft.com/`, replaces the prefix. Which
    /// token each gets is said under `envoy.upstreams` or `envoy.rules` of the configuration; an upstream for the same host
    /// and path as one of `envoy.upstreams` replaces its server. Left out, it is upstream.example:80.
    #[arg(long, value_name = "[HOST][/PREFIX=]URL")]
    pub(crate) upstream: Vec<Upstream>,

    /// Envoy's admin interface; none if left out.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listener)]
    pub(crate) admin: Option<SocketAddr>,

    /// Which of the filter's modules Envoy runs: `full`, edgepass-envoy-full.wasm, signs PS256 and has the credentials
    /// github_actions, azure_pipelines and google_metadata as well; it takes Envoy longer to start.
    #[arg(long, value_name = "MODULE", value_enum, default_value_t = EnvoyModule::Default)]
    pub(crate) module: EnvoyModule,

    /// Path of the filter's module on Envoy's machine; with `--module full` it is /etc/envoy/edgepass-envoy-full.wasm if
    /// left out.
    #[arg(
        long,
        value_name = "FILE",
        default_value = Self::WASM
    )]
    pub(crate) wasm: String,

    /// CA bundle (PEM) for TLS to token endpoints and the upstream.
    #[arg(
        long,
        value_name = "FILE",
        default_value = Self::CA_FILE
    )]
    pub(crate) ca_file: String,

    /// Folder of the socket over which the filter reads token files. Envoy must be able to write there.
    #[arg(long, value_name = "FOLDER", default_value = Self::SOCKET_DIR)]
    pub(crate) socket_dir: String,

    /// Name of the filter's virtual machines. A module with the same name could read the tokens.
    #[arg(long, value_name = "NAME", default_value = "edgepass", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) vm_id: String,

    /// Runs the filter as an upstream filter, where a request that the upstream answers with 401 is retried with a
    /// new token.
    #[arg(long)]
    pub(crate) upstream_filter: bool,

    /// Reads token files at each request, for those that may not be there when Envoy starts. Envoy calls this feature
    /// a work in progress; it has it from 1.38 on.
    #[arg(long)]
    pub(crate) file_server: bool,

    /// Where a volume of Kubernetes is mounted whose files are in folders of it. Rotations are looked for there, because
    /// the kubelet swaps a link at the root of the volume. Found out where the files are there when this runs, and known
    /// of the Azure Workload Identity webhook. May be given several times.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) volume: Vec<String>,

    /// Leaves `watch_modify` out, which Envoy has from 1.39 on: a file that is written in place is then not read again.
    #[arg(long)]
    pub(crate) no_watch_modify: bool,

    /// Leaves `capability_restriction_config` out, which lets the filter make only the calls that it needs. Envoy warns of it at
    /// each start: the setting will go one day.
    #[arg(long)]
    pub(crate) no_capability_restriction: bool,

    /// What is printed: Envoy's own configuration, or complete manifests with that.
    #[arg(long, value_enum, default_value_t = EnvoyFormat::Envoy, conflicts_with_all = ["only", "check", "certificate"])]
    pub(crate) format: EnvoyFormat,

    /// The image with the filter, in manifests; with `--module full` it is that of edgepass-envoy-full if left out.
    #[arg(long, value_name = "REFERENCE", default_value = Self::IMAGE)]
    pub(crate) image: String,

    /// The name of the application, of its service account and of what belongs to it, in manifests.
    #[arg(long, value_name = "NAME", default_value = "app")]
    pub(crate) app: String,

    /// The namespace, in manifests.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) namespace: String,

    /// Prints one part alone, to be put into a configuration of your own. Its first line says where it belongs.
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) only: Option<Part>,

    /// Compares that configuration of Envoy, YAML or JSON, with what would be printed, instead of printing it: names of
    /// clusters, addresses, TLS, paths, files, calls. What stands there besides is left alone. Each difference is a line,
    /// with what to do about it; the exit status is 2 if there is one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "certificate"])]
    pub(crate) check: Option<PathBuf>,

    /// Blanks before each line of that part.
    #[arg(long, value_name = "COLUMNS", default_value_t = 0, requires = "only")]
    pub(crate) indent: u8,

    /// Folder of the files that `--certificate` prints, on Envoy's machine.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/envoy")]
    pub(crate) secrets_dir: String,

    /// Prints the file that gives Envoy this certificate instead. A rotated certificate is only taken from such a
    /// file.
    #[arg(long, value_name = "NAME", conflicts_with = "only")]
    pub(crate) certificate: Option<String>,
}

impl EnvoyConfigArguments {
    /// Where an image of Envoy would have the filter.
    pub(crate) const WASM: &str = "/etc/envoy/edgepass-envoy.wasm";
    pub(crate) const FULL_WASM: &str = "/etc/envoy/edgepass-envoy-full.wasm";
    pub(crate) const IMAGE: &str = concat!(
        "oci://registry.example/edgepass-envoy:",
        env!("CARGO_PKG_VERSION")
    );
    pub(crate) const FULL_IMAGE: &str = concat!(
        "oci://registry.example/edgepass-envoy-full:",
        env!("CARGO_PKG_VERSION")
    );
    /// Where Debian has it.
    pub(crate) const CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";
    pub(crate) const SOCKET_DIR: &str = "/run/envoy";
}

/// A module of the filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum EnvoyModule {
    /// edgepass-envoy.wasm.
    Default,
    /// edgepass-envoy-full.wasm.
    Full,
}

/// What `envoy-config` prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum EnvoyFormat {
    /// The whole configuration of an Envoy.
    Envoy,
    /// A workload with Envoy beside it: Deployment, ConfigMap, Service, ServiceAccount.
    Kubernetes,
    /// Istio's sidecars: WasmPlugin, EnvoyFilter, ServiceEntry, DestinationRule.
    Istio,
    /// Envoy Gateway: Gateway, HTTPRoute, Backend, BackendTLSPolicy, EnvoyExtensionPolicy, EnvoyPatchPolicy.
    Gateway,
}

/// A part of Envoy's configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Part {
    /// The filter, an item of `http_filters`.
    Filter,
    /// The listener of the files that the filter reads, an item of `listeners`.
    Listener,
    /// The clusters of token endpoints and of that listener, items of `clusters`.
    TokenClusters,
    /// The clusters of the upstreams, items of `clusters`.
    Upstreams,
    /// The routes to them, items of `virtual_hosts`.
    Routes,
    /// Labels for the filter's numbers, the value of `stats_config`.
    Stats,
}

impl Part {
    /// Where it belongs.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::Filter => {
                "an item of http_filters of the connection manager, before envoy.filters.http.router"
            }
            Self::Listener => "items of static_resources.listeners",
            Self::TokenClusters | Self::Upstreams => "items of static_resources.clusters",
            Self::Routes => "items of virtual_hosts of the connection manager's route_config",
            Self::Stats => "the value of stats_config",
        }
    }
}

/// A parameter of a request. Its value may have any `=` but the first.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is not NAME=VALUE, as ui_locales=de is".to_owned()),
    }
}

/// A duration in seconds, which may have decimals, or in another unit that is named.
fn seconds(text: &str) -> Result<Duration, String> {
    /// A day: nobody waits longer, and what is more was meant in milliseconds.
    const MOST: f64 = 86_400.0;
    /// Those that other commands take, "ms" before what ends it.
    const UNITS: [(&str, f64); 3] = [("ms", 0.001), ("s", 1.0), ("m", 60.0)];

    let unit = UNITS
        .into_iter()
        .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, seconds)));
    let (number, unit) = unit.unwrap_or((text, 1.0));
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| is_number);
    let seconds = seconds.map(|number| number * unit);
    // what is less than that is none
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| !time.is_zero() && time.as_secs_f64() <= MOST)
        .ok_or_else(|| {
            format!("give seconds, more than 0 and at most {MOST}: 10, or 0.5 for half a second")
        })
}

/// An address of this machine with a port.
fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "give ADDRESS:PORT, 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 for all who reach it, or [::1]:8080".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn parameters_have_a_name_and_a_value() {
        for (text, name, value) in [("a=b", "a", "b"), ("a=b=c", "a", "b=c"), ("a=", "a", "")] {
            assert_eq!(
                parameter(text).unwrap(),
                (name.to_owned(), value.to_owned())
            );
        }
        for bad in ["", "a", "=b"] {
            assert!(parameter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("1", 1000),
            ("0.5", 500),
            ("2s", 2000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1.5m", 90_000),
            ("86400", 86_400_000),
        ] {
            assert_eq!(seconds(text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in [
            "", "0", "-1", "+1", "1e3", "inf", "NaN", "x", "5h", "86401", ".", "s", "ms", "0ms",
            "-1s", "2000m",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
