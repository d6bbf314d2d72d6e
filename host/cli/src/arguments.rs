//! The command line.

mod config;
mod envoy;
mod token;
mod values;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::config::{
    CheckArguments, ConfigArguments, ConfigCommand, ConfigFormat, ConvertArguments, ConvertFormat,
    InitArguments,
};
pub(crate) use self::envoy::{EnvoyConfigArguments, EnvoyFormat, EnvoyModule, Part};
pub(crate) use self::token::{
    AuthorizationUrlArguments, GrantArguments, GrantName, PlainFormat, TokenArguments, TokenFormat,
};
use super::failure;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
