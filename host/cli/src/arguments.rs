//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::envoy_config::Upstream;
use super::failure::Format;

/// Access tokens for workloads that hold no secret.
///
/// The identity comes from the configuration (--config, or the path in EDGEPASS_CONFIG), or from AZURE_TENANT_ID,
/// AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE alone, as a Kubernetes pod with workload identity has them. Variables of
/// the Azure SDKs that are set and have no effect are named in a warning.
///
/// Of an option that is given twice the last one counts.
///
/// Exit status: 0 done, 1 the token could not be acquired, 2 usage or configuration.
#[derive(Parser)]
// of an option that is given twice the last one counts: wrapper scripts have options of their own and add a caller's
#[command(
    name = "edgepass",
    version,
    max_term_width = 100,
    args_override_self = true
)]
pub(crate) struct Arguments {
    /// Logs to standard error; given twice, in more detail. Never a secret.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Acquires an access token and prints it.
    Token(TokenArguments),
    /// Checks the configuration, or prints its schema.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the configuration of an Envoy that runs the filter with a configuration.
    ///
    /// What it prints is complete: the filter, the listener that gives it the token files, and a cluster for each token
    /// endpoint that checks the server's certificate. What the configuration leaves out and the environment has
    /// (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST, EDGEPASS_AUTHORITY_HOSTS)
    /// is left to the variables of Envoy's process.
    EnvoyConfig(EnvoyConfigArguments),
    /// Prints a man page: that of edgepass, or of a command of it.
    #[command(hide = true)]
    Man {
        /// The command, in as many words as it has.
        command: Vec<String>,
    },
    /// Prints the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct TokenArguments {
    /// Scopes; for Entra ID one resource with `/.default`. The identity's configured scopes if left out.
    #[arg(long, value_name = "SCOPE", num_args = 1..)]
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

    /// Asks the token endpoint even when a cached token is still good.
    #[arg(long)]
    pub(crate) force_refresh: bool,

    /// CA bundle (PEM) that token endpoints are verified with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Runs this component instead of the one inside. It is compiled first, which takes about a second.
    ///
    /// A command without the compiler refuses it, and says how to build one that has it.
    #[arg(long, value_name = "FILE", hide = cfg!(not(feature = "compiler")))]
    pub(crate) component: Option<PathBuf>,

    /// What is printed.
    #[arg(long, value_enum, default_value_t = TokenFormat::Json)]
    pub(crate) format: TokenFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TokenFormat {
    /// `access_token`, `token_type`, `expires_on`, `refresh_on`, `scope` and `identity`; errors are JSON as well.
    Json,
    /// The `Authorization` header, for `curl --header`.
    Header,
    /// The token alone.
    Token,
}

impl TokenFormat {
    pub(crate) fn of_errors(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Header | Self::Token => Format::Text,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validates the configuration and the files that it names, and describes it.
    Check(ConfigArguments),
    /// Prints the JSON Schema of the configuration.
    Schema,
}

#[derive(Args)]
pub(crate) struct ConfigArguments {
    /// The configuration, a JSON file; the path in EDGEPASS_CONFIG if left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct EnvoyConfigArguments {
    /// The configuration, a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,

    /// Where Envoy listens for requests.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Where the requests go: HOST:PORT, or https://HOST:PORT (443 if left out) for a server with a certificate.
    #[arg(long, value_name = "UPSTREAM", default_value = "upstream.example:80", value_parser = Upstream::parse)]
    pub(crate) upstream: Upstream,

    /// Envoy's admin interface; none if left out.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,

    /// Path of the filter's module on Envoy's machine.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/envoy/edgepass-envoy.wasm"
    )]
    pub(crate) wasm: String,

    /// CA bundle (PEM) for TLS to token endpoints and the upstream.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    pub(crate) ca_file: String,

    /// Folder of the socket over which the filter reads token files. Envoy must be able to write there.
    #[arg(long, value_name = "FOLDER", default_value = "/run/envoy")]
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

    /// Folder of the files that `--certificate` prints, on Envoy's machine.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/envoy")]
    pub(crate) secrets_dir: String,

    /// Prints the file that gives Envoy this certificate instead. A rotated certificate is only taken from such a
    /// file.
    #[arg(long, value_name = "NAME")]
    pub(crate) certificate: Option<String>,
}
