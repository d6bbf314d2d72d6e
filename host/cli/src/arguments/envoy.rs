//! What `edgepass envoy-config` takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ConfigArguments;
use super::values::listener;
use crate::envoy_config::Upstream;

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
