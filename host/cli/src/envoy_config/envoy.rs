//! The messages of Envoy's API (v3) that the configuration is made of, with the fields that it sets. Field names are
//! those of the API; a `oneof` is an enum.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_saphyr::{Commented, FlowSeq, LitString, SpaceAfter};

/// A value with a comment at the end of its line.
pub(super) type Noted<T> = Commented<T>;

/// `envoy.config.bootstrap.v3.Bootstrap`
#[derive(Serialize)]
pub(super) struct Bootstrap {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<SpaceAfter<Node>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) admin: Option<SpaceAfter<Admin>>,
    pub(super) stats_config: SpaceAfter<StatsConfig>,
    pub(super) static_resources: StaticResources,
}

#[derive(Serialize)]
pub(super) struct Node {
    pub(super) id: Noted<&'static str>,
    pub(super) cluster: &'static str,
}

#[derive(Serialize)]
pub(super) struct Admin {
    pub(super) address: Address,
}

/// `envoy.config.metrics.v3.StatsConfig`
#[derive(Serialize)]
pub(super) struct StatsConfig {
    pub(super) stats_tags: [StatsTag; 4],
}

#[derive(Serialize)]
pub(super) struct StatsTag {
    pub(super) tag_name: Noted<&'static str>,
    pub(super) regex: &'static str,
}

#[derive(Serialize)]
pub(super) struct StaticResources {
    pub(super) listeners: Vec<SpaceAfter<Listener>>,
    pub(super) clusters: Vec<SpaceAfter<Cluster>>,
}

/// `envoy.config.core.v3.Address`
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Address {
    SocketAddress {
        address: String,
        port_value: u16,
    },
    Pipe {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<Noted<u32>>,
    },
}

/// A named extension: a filter or a transport socket.
#[derive(Serialize)]
pub(super) struct Extension {
    pub(super) name: Noted<&'static str>,
    pub(super) typed_config: Any,
}

/// `google.protobuf.Any`: a message and the URL of its type.
#[derive(Serialize)]
#[serde(tag = "@type")]
pub(super) enum Any {
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    )]
    HttpConnectionManager(HttpConnectionManager),
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router")]
    Router {},
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    )]
    UpstreamCodec {},
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm")]
    Wasm { config: Box<PluginConfig> },
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC")]
    Rbac { rules: Rbac },
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig"
    )]
    FileServer(FileServer),
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    )]
    UpstreamTlsContext(UpstreamTlsContext),
    #[serde(rename = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret")]
    Secret(Secret),
    #[serde(rename = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions")]
    HttpProtocolOptions(HttpProtocolOptions),
    #[serde(rename = "type.googleapis.com/google.protobuf.StringValue")]
    StringValue { value: Noted<LitString> },
}

/// `envoy.config.listener.v3.Listener`
#[derive(Serialize)]
pub(super) struct Listener {
    pub(super) name: Noted<String>,
    pub(super) address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) per_connection_buffer_limit_bytes: Option<Noted<u32>>,
    pub(super) filter_chains: [FilterChain; 1],
}

#[derive(Serialize)]
pub(super) struct FilterChain {
    pub(super) filters: [Extension; 1],
}

#[derive(Serialize)]
pub(super) struct HttpConnectionManager {
    pub(super) stat_prefix: String,
    #[serde(flatten)]
    pub(super) from_outside: Option<FromOutside>,
    pub(super) route_config: RouteConfiguration,
    pub(super) http_filters: Vec<Extension>,
}

/// What a connection manager needs that takes requests from anybody.
#[derive(Serialize)]
pub(super) struct FromOutside {
    pub(super) normalize_path: Noted<bool>,
    pub(super) merge_slashes: bool,
    pub(super) path_with_escaped_slashes_action: &'static str,
    pub(super) http2_protocol_options: Http2ProtocolOptions,
}

/// `envoy.config.core.v3.Http2ProtocolOptions`
#[derive(Serialize)]
pub(super) struct Http2ProtocolOptions {
    pub(super) max_concurrent_streams: u32,
    pub(super) initial_stream_window_size: Noted<u32>,
    pub(super) initial_connection_window_size: u32,
}

/// `envoy.config.route.v3.RouteConfiguration`
#[derive(Serialize)]
pub(super) struct RouteConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_direct_response_body_size_bytes: Option<Noted<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ignore_port_in_host_matching: Option<bool>,
    pub(super) virtual_hosts: Vec<VirtualHost>,
}

#[derive(Serialize)]
pub(super) struct VirtualHost {
    pub(super) name: String,
    pub(super) domains: FlowSeq<[String; 1]>,
    pub(super) routes: Vec<Route>,
}

#[derive(Serialize)]
pub(super) struct Route {
    #[serde(rename = "match")]
    pub(super) matches: RouteMatch,
    #[serde(flatten)]
    pub(super) action: Action,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RouteMatch {
    Path(String),
    Prefix(Noted<String>),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Route(RouteAction),
    DirectResponse(DirectResponse),
}

#[derive(Serialize)]
pub(super) struct RouteAction {
    pub(super) cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prefix_rewrite: Option<Noted<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auto_host_rewrite: Option<Noted<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_policy: Option<RetryPolicy>,
}

#[derive(Serialize)]
pub(super) struct RetryPolicy {
    pub(super) retry_on: Noted<&'static str>,
    pub(super) retriable_status_codes: FlowSeq<[u16; 1]>,
    pub(super) num_retries: u32,
}

#[derive(Serialize)]
pub(super) struct DirectResponse {
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<DataSource>,
}

/// `envoy.config.core.v3.DataSource` of a file
#[derive(Serialize)]
pub(super) struct DataSource {
    pub(super) filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watched_directory: Option<WatchedDirectory>,
}

#[derive(Serialize)]
pub(super) struct WatchedDirectory {
    pub(super) path: Noted<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watch_modify: Option<Noted<bool>>,
}

/// `envoy.extensions.wasm.v3.PluginConfig`
#[derive(Serialize)]
pub(super) struct PluginConfig {
    pub(super) name: &'static str,
    pub(super) failure_policy: Noted<&'static str>,
    pub(super) reload_config: ReloadConfig,
    pub(super) vm_config: VmConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capability_restriction_config: Option<CapabilityRestriction>,
    pub(super) configuration: Any,
}

#[derive(Serialize)]
pub(super) struct ReloadConfig {
    pub(super) backoff: Backoff,
}

#[derive(Serialize)]
pub(super) struct Backoff {
    pub(super) base_interval: &'static str,
    pub(super) max_interval: &'static str,
}

#[derive(Serialize)]
pub(super) struct VmConfig {
    pub(super) vm_id: Noted<String>,
    pub(super) runtime: &'static str,
    pub(super) code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) environment_variables: Option<EnvironmentVariables>,
}

#[derive(Serialize)]
pub(super) struct Code {
    pub(super) local: DataSource,
}

#[derive(Serialize)]
pub(super) struct EnvironmentVariables {
    pub(super) host_env_keys: FlowSeq<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct CapabilityRestriction {
    #[serde(serialize_with = "as_keys")]
    pub(super) allowed_capabilities: Vec<&'static str>,
}

/// `envoy.config.rbac.v3.RBAC`
#[derive(Serialize)]
pub(super) struct Rbac {
    pub(super) action: &'static str,
    pub(super) policies: BTreeMap<&'static str, Policy>,
}

#[derive(Serialize)]
pub(super) struct Policy {
    pub(super) permissions: Vec<Permission>,
    pub(super) principals: [Principal; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Permission {
    UrlPath { path: StringMatcher },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Principal {
    Any(bool),
}

/// `envoy.type.matcher.v3.StringMatcher`
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StringMatcher {
    Exact(String),
}

#[derive(Serialize)]
pub(super) struct FileServer {
    pub(super) manager_config: FileManager,
    pub(super) path_mappings: Vec<PathMapping>,
    pub(super) default_content_type: &'static str,
}

/// `envoy.extensions.common.async_files.v3.AsyncFileManagerConfig`
#[derive(Serialize)]
pub(super) struct FileManager {
    pub(super) id: &'static str,
    pub(super) thread_pool: ThreadPool,
}

#[derive(Serialize)]
pub(super) struct ThreadPool {
    pub(super) thread_count: u32,
}

#[derive(Eq, PartialEq, Serialize)]
pub(super) struct PathMapping {
    pub(super) request_path_prefix: String,
    pub(super) file_path_prefix: String,
}

/// `envoy.config.cluster.v3.Cluster`
#[derive(Serialize)]
pub(super) struct Cluster {
    pub(super) name: Noted<String>,
    #[serde(rename = "type")]
    pub(super) discovery: Discovery,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dns_lookup_family: Option<&'static str>,
    pub(super) load_assignment: LoadAssignment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport_socket: Option<Extension>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) typed_extension_protocol_options: Option<ProtocolOptions>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Discovery {
    Static,
    StrictDns,
}

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`
#[derive(Serialize)]
pub(super) struct LoadAssignment {
    pub(super) cluster_name: String,
    pub(super) endpoints: [LocalityEndpoints; 1],
}

#[derive(Serialize)]
pub(super) struct LocalityEndpoints {
    pub(super) lb_endpoints: [LbEndpoint; 1],
}

#[derive(Serialize)]
pub(super) struct LbEndpoint {
    pub(super) endpoint: Endpoint,
}

#[derive(Serialize)]
pub(super) struct Endpoint {
    pub(super) address: Address,
}

#[derive(Serialize)]
pub(super) struct ProtocolOptions {
    #[serde(rename = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions")]
    pub(super) http: Any,
}

#[derive(Serialize)]
pub(super) struct HttpProtocolOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) common_http_protocol_options: Option<CommonHttpOptions>,
    pub(super) explicit_http_config: ExplicitHttpConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) http_filters: Vec<Extension>,
}

#[derive(Serialize)]
pub(super) struct CommonHttpOptions {
    pub(super) max_requests_per_connection: Noted<u32>,
}

/// HTTP/1.1, with its defaults.
#[derive(Default, Serialize)]
pub(super) struct ExplicitHttpConfig {
    pub(super) http_protocol_options: Defaults,
}

/// A message that sets nothing.
#[derive(Default, Serialize)]
pub(super) struct Defaults {}

#[derive(Serialize)]
pub(super) struct UpstreamTlsContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sni: Option<String>,
    pub(super) common_tls_context: CommonTlsContext,
}

#[derive(Serialize)]
pub(super) struct CommonTlsContext {
    pub(super) validation_context: ValidationContext,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls_certificate_sds_secret_configs: Option<[SdsSecretConfig; 1]>,
}

#[derive(Serialize)]
pub(super) struct ValidationContext {
    pub(super) trusted_ca: DataSource,
    pub(super) match_typed_subject_alt_names: [SubjectAltNameMatcher; 1],
}

#[derive(Serialize)]
pub(super) struct SubjectAltNameMatcher {
    pub(super) san_type: Noted<&'static str>,
    pub(super) matcher: StringMatcher,
}

#[derive(Serialize)]
pub(super) struct SdsSecretConfig {
    pub(super) name: Noted<String>,
    pub(super) sds_config: ConfigSource,
}

#[derive(Serialize)]
pub(super) struct ConfigSource {
    pub(super) path_config_source: PathConfigSource,
    pub(super) resource_api_version: &'static str,
}

#[derive(Serialize)]
pub(super) struct PathConfigSource {
    pub(super) path: String,
    pub(super) watched_directory: WatchedDirectory,
}

/// The content of a file for SDS: `envoy.service.discovery.v3.DiscoveryResponse`
#[derive(Serialize)]
pub(super) struct Resources {
    pub(super) resources: [Any; 1],
}

#[derive(Serialize)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) tls_certificate: TlsCertificate,
}

#[derive(Serialize)]
pub(super) struct TlsCertificate {
    pub(super) certificate_chain: DataSource,
    pub(super) private_key: DataSource,
    pub(super) watched_directory: WatchedDirectory,
}

/// Names as the keys of a map to messages that set nothing.
fn as_keys<S: Serializer>(names: &[&'static str], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(names.iter().map(|name| (name, Defaults {})))
}
