//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::failure::Format;

/// Access tokens for workloads that hold no secret.
///
/// The identity comes from the configuration (--config, or the path in EDGEPASS_CONFIG), or from AZURE_TENANT_ID,
/// AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE alone, as a Kubernetes pod with workload identity has them.
///
/// Exit status: 0 done, 1 the token could not be acquired, 2 usage or configuration.
#[derive(Parser)]
#[command(name = "edgepass", version, max_term_width = 100)]
pub(super) struct Arguments {
    /// Says what happens, on standard error; twice says more. Never a secret.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Acquires an access token and prints it.
    Token(TokenArguments),
    /// Looks at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(super) struct TokenArguments {
    /// Scopes; for Entra ID one resource with `/.default`. The identity's configured scopes if left out.
    #[arg(long, value_name = "SCOPE", num_args = 1..)]
    pub(super) scope: Vec<String>,

    #[command(flatten)]
    pub(super) config: ConfigArguments,

    /// The configured identity; the default one if left out.
    #[arg(long, value_name = "NAME")]
    pub(super) identity: Option<String>,

    /// Another tenant than the identity's own, as far as the configuration allows it.
    #[arg(long, value_name = "TENANT")]
    pub(super) tenant: Option<String>,

    /// A claims challenge: JSON, or the base64 of it as `WWW-Authenticate` carries it.
    #[arg(long, value_name = "JSON")]
    pub(super) claims: Option<String>,

    /// Asks the token endpoint even when a cached token is still good.
    #[arg(long)]
    pub(super) force_refresh: bool,

    /// PEM file of the certification authorities that token endpoints are checked with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,

    /// Runs this component instead of the one inside. It is compiled first, which takes about a second.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "FILE")]
    pub(super) component: Option<PathBuf>,

    /// What is printed.
    #[arg(long, value_enum, default_value_t = TokenFormat::Json)]
    pub(super) format: TokenFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum TokenFormat {
    /// `access_token`, `token_type`, `expires_on`, `refresh_on`, `scope` and `identity`; errors are JSON as well.
    Json,
    /// The `Authorization` header, for `curl --header`.
    Header,
    /// The token alone.
    Token,
}

impl TokenFormat {
    pub(super) fn of_errors(self) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Header | Self::Token => Format::Text,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Checks the configuration and the files that it names, and says what it means.
    Check(ConfigArguments),
    /// Prints the JSON Schema of the configuration.
    Schema,
}

#[derive(Args)]
pub(super) struct ConfigArguments {
    /// The configuration, a JSON file; the path in EDGEPASS_CONFIG if left out.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}
