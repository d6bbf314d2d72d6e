//! What `edgepass config` takes, and how every command is given its configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use edgepass_settings::formats::Format;

const CHECK_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass config check edgepass.yaml
  edgepass config check --strict          # in the pod: EDGEPASS_CONFIG, or the variables alone
  kubectl get configmap edgepass -o jsonpath='{.data.edgepass\\.json}' | edgepass config check -";

const INIT_EXAMPLES: &str = "\
\u{1b}[1;4mExamples:\u{1b}[0m
  edgepass config init -o edgepass.yaml && edgepass config check edgepass.yaml
  edgepass config init --format toml";

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

    /// In the place of a configuration, the settings of a program with python-social-auth: JSON, YAML, or a module in Python of
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
