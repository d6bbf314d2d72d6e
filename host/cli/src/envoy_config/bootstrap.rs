//! Envoy's configuration for a plan: the messages are filled in here, and written as YAML with a comment where a value
//! does not explain itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use edgepass_core::limits::MAX_ASSERTION_BYTES;
use serde::Serialize;
use serde_saphyr::{CommentPosition, FlowSeq, LitString, SpaceAfter, ser_options};

use super::capabilities::{CAPABILITIES, SIGNING};
use super::envoy::{
    Action, Address, Admin, Any, Backoff, Bootstrap, CapabilityRestriction, Cluster, Code,
    CommonHttpOptions, CommonTlsContext, ConfigSource, DataSource, DirectResponse, Discovery,
    Endpoint, EnvironmentVariables, ExplicitHttpConfig, Extension, FileManager, FileServer,
    FilterChain, FromOutside, Http2ProtocolOptions, HttpConnectionManager, HttpProtocolOptions,
    LbEndpoint, Listener, LoadAssignment, LocalityEndpoints, Node, Noted, PathConfigSource,
    PathMapping, Permission, PluginConfig, Policy, Principal, ProtocolOptions, Rbac, ReloadConfig,
    Resources, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, SdsSecretConfig,
    Secret, StaticResources, StatsConfig, StatsTag, StringMatcher, SubjectAltNameMatcher,
    ThreadPool, TlsCertificate, UpstreamTlsContext, ValidationContext, VirtualHost, VmConfig,
    WatchedDirectory,
};
use super::plan::{Certificate, Files, Plan, ServedFile, TokenCluster};
use super::upstream::{Target, covers};
use super::volume::watched_folder;
use crate::arguments::{EnvoyConfigArguments, Part};
use crate::failure::Failure;

/// The whole configuration.
pub(super) fn write(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<String, Failure> {
    let mut head = String::from(
        "# Envoy with the edgepass filter, as `edgepass envoy-config` prints it.\n\
         # `envoy --mode validate -c FILE` checks it, the filter's own configuration included.\n",
    );
    if !arguments.no_capability_restriction {
        head.push_str(
            "# allowed_capabilities lists the calls that the filter needs; Envoy refuses it all others. Envoy warns at its start that\n\
             # capability_restriction_config will go one day: --no-capability-restriction leaves it out.\n",
        );
    }
    if !plan.variables.is_empty() {
        head.push_str(
            "# host_env_keys lists the variables of Envoy's process that complete the filter's configuration.\n",
        );
    }
    let node = (!plan.certificates().is_empty()).then(|| {
        SpaceAfter(Node {
            id: note("edgepass", "required for secrets in files"),
            cluster: "edgepass",
        })
    });
    let admin = arguments.admin.map(|admin| {
        SpaceAfter(Admin {
            address: socket_address(&admin.ip().to_string(), admin.port()),
        })
    });
    let mut listeners = vec![main_listener(plan, arguments)];
    listeners.extend(
        plan.files
            .iter()
            .map(|files| files_listener(files, arguments)),
    );
    let mut clusters = upstream_clusters(plan, arguments);
    clusters.extend(own_clusters(plan, arguments));
    yaml(
        &head,
        &Bootstrap {
            node,
            admin,
            stats_config: SpaceAfter(stats_config()),
            static_resources: StaticResources {
                listeners: spaced(listeners),
                clusters: spaced(clusters),
            },
        },
    )
}

/// One part of it, for a configuration of somebody's own.
pub(super) fn part(
    plan: &Plan,
    part: Part,
    arguments: &EnvoyConfigArguments,
) -> Result<String, Failure> {
    let head = format!("# edgepass: {}\n", part.place());
    let text = match part {
        Part::Filter => yaml(&head, &[filter(plan, arguments)]),
        Part::Listener => {
            let files = plan.files.iter();
            yaml(
                &head,
                &spaced(
                    files
                        .map(|files| files_listener(files, arguments))
                        .collect(),
                ),
            )
        }
        Part::TokenClusters => yaml(&head, &spaced(own_clusters(plan, arguments))),
        Part::Upstreams => yaml(&head, &spaced(upstream_clusters(plan, arguments))),
        Part::Routes => yaml(&head, &virtual_hosts(plan, arguments)),
        Part::Stats => yaml(&head, &stats_config()),
    }?;
    let indent = " ".repeat(usize::from(arguments.indent));
    let lines = text.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{indent}{line}\n"),
    });
    Ok(lines.collect())
}

/// Each listener or cluster of a part by itself.
pub(super) fn items(
    plan: &Plan,
    part: Part,
    arguments: &EnvoyConfigArguments,
) -> Result<Vec<String>, Failure> {
    let alone = |text: String| text.trim_start().to_owned();
    match part {
        Part::Listener => {
            let listeners = plan
                .files
                .iter()
                .map(|files| files_listener(files, arguments));
            listeners.map(|item| yaml("", &item).map(alone)).collect()
        }
        _ => {
            let clusters = own_clusters(plan, arguments).into_iter();
            clusters.map(|item| yaml("", &item).map(alone)).collect()
        }
    }
}

/// The filter, whole, for those who read it again.
pub(super) fn filter_alone(
    plan: &Plan,
    arguments: &EnvoyConfigArguments,
) -> Result<String, Failure> {
    yaml("", &[filter(plan, arguments)])
}

/// The folder in which a change of that file is seen.
pub(super) fn served(file: &ServedFile, arguments: &EnvoyConfigArguments) -> String {
    watched_folder(&file.path, &arguments.volume)
}

fn spaced<T>(items: Vec<T>) -> Vec<SpaceAfter<T>> {
    items.into_iter().map(SpaceAfter).collect()
}

/// The clusters that the filter itself sends requests to.
fn own_clusters(plan: &Plan, arguments: &EnvoyConfigArguments) -> Vec<Cluster> {
    let files = plan.files.iter();
    let tokens = plan.token_clusters.iter();
    files
        .map(|files| files_cluster(files, arguments))
        .chain(tokens.map(|cluster| token_cluster(cluster, arguments)))
        .collect()
}

/// What makes labels of the ends of the filter's names, for Prometheus for example.
fn stats_config() -> StatsConfig {
    let tag = |tag_name, note_text, regex| StatsTag {
        tag_name: note(tag_name, note_text),
        regex,
    };
    StatsConfig {
        stats_tags: [
            tag(
                "edgepass_class",
                "labels for the numbers of the filter",
                r"^wasmcustom\.edgepass_refreshes_failed(\.([^.]+))",
            ),
            tag(
                "edgepass_code",
                "",
                r"^wasmcustom\.edgepass_aadsts(\.(.+))$",
            ),
            tag(
                "edgepass_identity",
                "",
                r"^wasmcustom\.edgepass_(?:refreshes_failed\.[^.]+|token_expires_on)(\.([^.]*))",
            ),
            tag(
                "edgepass_scope",
                "",
                r"^wasmcustom\.edgepass_(?:refreshes_failed\.[^.]+|token_expires_on)\.[^.]*(\.(.+))$",
            ),
        ],
    }
}

/// The file that gives Envoy that client certificate.
pub(super) fn certificate(
    plan: &Plan,
    name: &str,
    arguments: &EnvoyConfigArguments,
) -> Result<String, Failure> {
    let certificates = plan.certificates();
    let Some(certificate) = certificates.iter().find(|known| known.name == name) else {
        let known: Vec<&str> = certificates
            .iter()
            .map(|known| known.name.as_str())
            .collect();
        return Err(Failure::setting(
            "--certificate",
            format!("no identity of Envoy's authenticates its connections with `{name}`"),
            match known.as_slice() {
                [] => "leave it out: there is no bound_certificate".to_owned(),
                known => format!("there are: {}", known.join(", ")),
            },
        ));
    };
    yaml(
        "# The client certificate for Envoy, as `edgepass envoy-config --certificate` prints it.\n",
        &Resources {
            resources: [Any::Secret(Secret {
                name: certificate.name.clone(),
                tls_certificate: TlsCertificate {
                    certificate_chain: file(&certificate.chain),
                    private_key: file(&certificate.key),
                    watched_directory: watched(&certificate.chain, arguments),
                },
            })],
        },
    )
}

/// The socket between the filter and the listener of its files.
pub(super) fn socket(files: &Files, arguments: &EnvoyConfigArguments) -> String {
    let folder = arguments.socket_dir.trim_end_matches('/');
    format!("{folder}/{}.sock", files.cluster)
}

/// A document that ends with one line feed, whatever its last value is.
fn yaml(head: &str, document: &impl Serialize) -> Result<String, Failure> {
    let options = ser_options! {
        comment_position: CommentPosition::Inline,
        // long texts are URLs of types and paths, which have no blanks to fold at
        prefer_block_scalars: false,
    };
    let body = serde_saphyr::to_string_with_options(document, options)
        .map_err(|error| Failure::setup(format!("the configuration cannot be written: {error}")))?;
    Ok(format!("{head}\n{}\n", body.trim_end_matches('\n')))
}

fn main_listener(plan: &Plan, arguments: &EnvoyConfigArguments) -> Listener {
    let filter = (!arguments.upstream_filter).then(|| filter(plan, arguments));
    Listener {
        name: note("main".to_owned(), "where requests come in"),
        address: socket_address(&arguments.listen.ip().to_string(), arguments.listen.port()),
        per_connection_buffer_limit_bytes: Some(note(
            BUFFER_BYTES,
            "how much of its body a request may hold that waits for a token, or may have to be repeated",
        )),
        filter_chains: http(
            "main",
            Some(from_outside()),
            None,
            virtual_hosts(plan, arguments),
            filter.into_iter().collect(),
        ),
    }
}

/// The routes to the upstreams: of each host those that it has, the longest prefix first.
fn virtual_hosts(plan: &Plan, arguments: &EnvoyConfigArguments) -> Vec<VirtualHost> {
    let mut upstreams: Vec<&Target> = plan.upstreams.iter().collect();
    upstreams.sort_by_key(|upstream| {
        let host = upstream.place.host.as_deref().unwrap_or_default();
        // a name before a domain, a long domain before a short one, both before every host
        let rank = (!host.is_empty(), !host.starts_with('*'), host.len());
        std::cmp::Reverse((rank, upstream.place.prefix.len()))
    });
    let mut hosts: Vec<Option<&str>> = Vec::new();
    for upstream in &upstreams {
        let host = upstream.place.host.as_deref();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let mut virtual_hosts = Vec::new();
    let mut text = "no route may take its cluster from a header (cluster_header): it could name any of those below";
    for host in hosts {
        let fits = |upstream: &&&Target| match (upstream.place.host.as_deref(), host) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(pattern), Some(host)) => covers(pattern, host),
        };
        let mut routes = Vec::new();
        for upstream in upstreams.iter().filter(fits) {
            routes.push(route(upstream, std::mem::take(&mut text), arguments));
            if upstream.place.prefix == "/" {
                // nothing gets past it
                break;
            }
        }
        virtual_hosts.push(VirtualHost {
            name: host.unwrap_or("all").to_owned(),
            domains: FlowSeq([host.unwrap_or("*").to_owned()]),
            routes,
        });
    }
    virtual_hosts
}

fn route(upstream: &Target, text: &str, arguments: &EnvoyConfigArguments) -> Route {
    let retry_policy = arguments.upstream_filter.then(|| RetryPolicy {
        retry_on: note(
            "retriable-status-codes",
            "by then the filter has replaced the token",
        ),
        retriable_status_codes: FlowSeq([401]),
        num_retries: 1,
    });
    let auto_host_rewrite = upstream
        .server
        .tls
        .then(|| note(true, "the upstream's own name in place of the caller's"));
    let rewrite = upstream.rewrite();
    Route {
        matches: RouteMatch::Prefix(note(upstream.place.prefix.clone(), text)),
        action: Action::Route(RouteAction {
            cluster: upstream.cluster.clone(),
            prefix_rewrite: rewrite.map(|path| note(path.to_owned(), "in place of the prefix")),
            auto_host_rewrite,
            retry_policy,
        }),
    }
}

fn files_listener(files: &Files, arguments: &EnvoyConfigArguments) -> Listener {
    let mut routes = Vec::new();
    let mut filters = Vec::new();
    let mut limit = None;
    if arguments.file_server {
        filters.extend(file_server(files));
    } else {
        let served = files.served.iter();
        routes.extend(served.map(|file| file_route(file, arguments)));
        limit = Some(note(
            MAX_ASSERTION_BYTES,
            "the longest file; and every file must be there when Envoy starts",
        ));
    }
    routes.push(Route {
        matches: RouteMatch::Prefix(plain("/".to_owned())),
        action: Action::DirectResponse(DirectResponse {
            status: 404,
            body: None,
        }),
    });
    Listener {
        name: note(
            files.cluster.clone(),
            "the filter's files, for this process alone",
        ),
        address: Address::Pipe {
            path: socket(files, arguments),
            mode: Some(note(SOCKET_MODE, "0600")),
        },
        per_connection_buffer_limit_bytes: None,
        filter_chains: http(
            &files.cluster,
            None,
            limit,
            vec![VirtualHost {
                name: "all".to_owned(),
                domains: FlowSeq(["*".to_owned()]),
                routes,
            }],
            filters,
        ),
    }
}

/// HTTP to these routes, through these filters and the router.
fn http(
    stat_prefix: &str,
    from_outside: Option<FromOutside>,
    longest_file: Option<Noted<usize>>,
    virtual_hosts: Vec<VirtualHost>,
    mut filters: Vec<Extension>,
) -> [FilterChain; 1] {
    filters.push(extension("envoy.filters.http.router", Any::Router {}));
    let of_hosts = virtual_hosts.iter().any(|host| host.name != "all");
    let manager = HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        from_outside,
        route_config: RouteConfiguration {
            max_direct_response_body_size_bytes: longest_file,
            ignore_port_in_host_matching: of_hosts.then_some(true),
            virtual_hosts,
        },
        http_filters: filters,
    };
    [FilterChain {
        filters: [extension(
            "envoy.filters.network.http_connection_manager",
            Any::HttpConnectionManager(manager),
        )],
    }]
}

/// Rules and routes look at the path that the upstream will see, and nobody can send more than is read.
fn from_outside() -> FromOutside {
    FromOutside {
        normalize_path: note(
            true,
            "rules and routes judge the path that the upstream gets",
        ),
        merge_slashes: true,
        path_with_escaped_slashes_action: "REJECT_REQUEST",
        http2_protocol_options: Http2ProtocolOptions {
            max_concurrent_streams: 100,
            initial_stream_window_size: note(
                BUFFER_BYTES,
                "more would be sent whether or not it is read",
            ),
            initial_connection_window_size: 16 * BUFFER_BYTES,
        },
    }
}

fn filter(plan: &Plan, arguments: &EnvoyConfigArguments) -> Extension {
    let signing = if plan.signs { SIGNING } else { &[] };
    let environment_variables = (!plan.variables.is_empty()).then(|| EnvironmentVariables {
        host_env_keys: FlowSeq(plan.variables.clone()),
    });
    let config = PluginConfig {
        name: "edgepass",
        failure_policy: note(
            "FAIL_RELOAD",
            "a new VM after a fault in the filter; without this it answers 503 for good",
        ),
        reload_config: ReloadConfig {
            backoff: Backoff {
                base_interval: "0.1s",
                max_interval: "1s",
            },
        },
        vm_config: VmConfig {
            vm_id: note(
                arguments.vm_id.clone(),
                "no other module may have this name: it could read the tokens",
            ),
            runtime: "envoy.wasm.runtime.v8",
            code: Code {
                local: file(&arguments.wasm),
            },
            environment_variables,
        },
        capability_restriction_config: (!arguments.no_capability_restriction).then(|| {
            CapabilityRestriction {
                allowed_capabilities: CAPABILITIES.iter().chain(signing).copied().collect(),
            }
        }),
        configuration: Any::StringValue {
            value: note(
                LitString(format!("{}\n", plan.plugin)),
                "a StringValue: Envoy would give the filter a Struct as protobuf",
            ),
        },
    };
    let config = Box::new(config);
    extension("edgepass", Any::Wasm { config })
}

fn file_route(served: &ServedFile, arguments: &EnvoyConfigArguments) -> Route {
    Route {
        matches: RouteMatch::Path(served.request_path.clone()),
        action: Action::DirectResponse(DirectResponse {
            status: 200,
            body: Some(DataSource {
                filename: served.path.clone(),
                watched_directory: Some(watched(&served.path, arguments)),
            }),
        }),
    }
}

/// Reads the files when they are asked for, and no other file of their folders.
fn file_server(files: &Files) -> [Extension; 2] {
    let mut permissions = Vec::new();
    let mut path_mappings: Vec<PathMapping> = Vec::new();
    for file in &files.served {
        permissions.push(Permission::UrlPath {
            path: StringMatcher::Exact(file.request_path.clone()),
        });
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let folder = |path: &str| path.strip_suffix(name).unwrap_or_default().to_owned();
        let mapping = PathMapping {
            request_path_prefix: folder(&file.request_path),
            file_path_prefix: folder(&file.path),
        };
        if !path_mappings.contains(&mapping) {
            path_mappings.push(mapping);
        }
    }
    let policy = Policy {
        permissions,
        principals: [Principal::Any(true)],
    };
    [
        Extension {
            name: note(
                "envoy.filters.http.rbac",
                "these files and nothing else in their folders",
            ),
            typed_config: Any::Rbac {
                rules: Rbac {
                    action: "ALLOW",
                    policies: BTreeMap::from([("files", policy)]),
                },
            },
        },
        extension(
            "envoy.filters.http.file_server",
            Any::FileServer(FileServer {
                manager_config: FileManager {
                    id: "edgepass",
                    thread_pool: ThreadPool { thread_count: 1 },
                },
                path_mappings,
                default_content_type: "text/plain",
            }),
        ),
    ]
}

fn upstream_clusters(plan: &Plan, arguments: &EnvoyConfigArguments) -> Vec<Cluster> {
    let upstreams = plan.upstreams.iter();
    upstreams
        .map(|upstream| upstream_cluster(upstream, plan, arguments))
        .collect()
}

fn upstream_cluster(upstream: &Target, plan: &Plan, arguments: &EnvoyConfigArguments) -> Cluster {
    let name = note(upstream.cluster.clone(), "where requests go");
    let server = &upstream.server;
    let mut cluster = server_cluster(name, &server.host, server.port);
    if server.tls {
        cluster.transport_socket = Some(tls(&server.host, None, arguments));
    }
    if arguments.upstream_filter {
        cluster.typed_extension_protocol_options = Some(ProtocolOptions {
            http: Any::HttpProtocolOptions(HttpProtocolOptions {
                common_http_protocol_options: None,
                explicit_http_config: ExplicitHttpConfig::default(),
                http_filters: vec![
                    filter(plan, arguments),
                    extension("envoy.filters.http.upstream_codec", Any::UpstreamCodec {}),
                ],
            }),
        });
    }
    cluster
}

fn files_cluster(files: &Files, arguments: &EnvoyConfigArguments) -> Cluster {
    let address = Address::Pipe {
        path: socket(files, arguments),
        mode: None,
    };
    cluster(plain(files.cluster.clone()), Discovery::Static, address)
}

fn token_cluster(token: &TokenCluster, arguments: &EnvoyConfigArguments) -> Cluster {
    let name = note(token.name.clone(), "where tokens come from");
    let mut cluster = server_cluster(name, &token.host, token.port);
    cluster.transport_socket = token
        .tls
        .then(|| tls(&token.host, token.certificate.as_ref(), arguments));
    cluster.typed_extension_protocol_options = Some(ProtocolOptions {
        http: Any::HttpProtocolOptions(HttpProtocolOptions {
            common_http_protocol_options: Some(CommonHttpOptions {
                max_requests_per_connection: note(
                    1,
                    "exchanges are rare: a kept connection would be stale, or have an old certificate",
                ),
            }),
            explicit_http_config: ExplicitHttpConfig::default(),
            http_filters: Vec::new(),
        }),
    });
    cluster
}

/// The cluster of one server, by its name or address.
fn server_cluster(name: Noted<String>, host: &str, port: u16) -> Cluster {
    match ip(host) {
        Some(ip) => {
            let address = socket_address(&ip.to_string(), port);
            cluster(name, Discovery::Static, address)
        }
        None => Cluster {
            dns_lookup_family: Some("V4_PREFERRED"),
            ..cluster(name, Discovery::StrictDns, socket_address(host, port))
        },
    }
}

fn cluster(name: Noted<String>, discovery: Discovery, address: Address) -> Cluster {
    let cluster_name = name.0.clone();
    Cluster {
        name,
        discovery,
        dns_lookup_family: None,
        load_assignment: LoadAssignment {
            cluster_name,
            endpoints: [LocalityEndpoints {
                lb_endpoints: [LbEndpoint {
                    endpoint: Endpoint { address },
                }],
            }],
        },
        transport_socket: None,
        typed_extension_protocol_options: None,
    }
}

/// TLS to a server, which has to be the one that is meant; with a certificate if there is one.
fn tls(
    host: &str,
    certificate: Option<&Certificate>,
    arguments: &EnvoyConfigArguments,
) -> Extension {
    // RFC 6066: server names are not addresses
    let (sni, san_type, host) = match ip(host) {
        Some(ip) => (None, "IP_ADDRESS", ip.to_string()),
        None => (Some(host.to_owned()), "DNS", host.to_owned()),
    };
    let folder = arguments.secrets_dir.trim_end_matches('/');
    let sds = certificate.map(|certificate| {
        [SdsSecretConfig {
            name: note(
                certificate.name.clone(),
                "`edgepass envoy-config --certificate` prints the file below",
            ),
            sds_config: ConfigSource {
                path_config_source: PathConfigSource {
                    path: format!("{folder}/{}.yaml", certificate.name),
                    watched_directory: WatchedDirectory {
                        path: plain(if folder.is_empty() { "/" } else { folder }.to_owned()),
                        watch_modify: watch_modify(arguments),
                    },
                },
                resource_api_version: "V3",
            },
        }]
    });
    let context = UpstreamTlsContext {
        sni,
        common_tls_context: CommonTlsContext {
            validation_context: ValidationContext {
                trusted_ca: file(&arguments.ca_file),
                match_typed_subject_alt_names: [SubjectAltNameMatcher {
                    san_type: note(
                        san_type,
                        "without this and trusted_ca Envoy sends tokens to whoever answers",
                    ),
                    matcher: StringMatcher::Exact(host),
                }],
            },
            tls_certificate_sds_secret_configs: sds,
        },
    };
    extension(
        "envoy.transport_sockets.tls",
        Any::UpstreamTlsContext(context),
    )
}

fn extension(name: &'static str, typed_config: Any) -> Extension {
    Extension {
        name: plain(name),
        typed_config,
    }
}

fn socket_address(host: &str, port: u16) -> Address {
    Address::SocketAddress {
        address: host.to_owned(),
        port_value: port,
    }
}

/// A file that Envoy reads once.
fn file(path: &str) -> DataSource {
    DataSource {
        filename: path.to_owned(),
        watched_directory: None,
    }
}

/// Where Envoy looks whether that file has changed.
fn watched(path: &str, arguments: &EnvoyConfigArguments) -> WatchedDirectory {
    WatchedDirectory {
        path: note(
            watched_folder(path, &arguments.volume),
            "the file is read again when something is moved to here, and otherwise never",
        ),
        watch_modify: watch_modify(arguments),
    }
}

fn watch_modify(arguments: &EnvoyConfigArguments) -> Option<Noted<bool>> {
    (!arguments.no_watch_modify).then(|| note(true, "or is written here; from Envoy 1.39 on"))
}

fn note<T>(value: T, text: &str) -> Noted<T> {
    serde_saphyr::Commented(value, text.to_owned())
}

/// A value that explains itself.
fn plain<T>(value: T) -> Noted<T> {
    note(value, "")
}

/// The address that a host is, if it is none with a name.
fn ip(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// How much Envoy reads of a body that nobody takes yet, bytes: tokens are asked for by small requests, and whoever
/// uploads more goes on as soon as the token is there.
const BUFFER_BYTES: u32 = 64 * 1024;

/// Read and write for the owner. YAML's octal numbers are read in two ways, so it is written in decimal.
const SOCKET_MODE: u32 = 0o600;
