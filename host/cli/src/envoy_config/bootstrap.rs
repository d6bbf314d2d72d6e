//! Envoy's configuration for a plan: the messages are filled in here, and written as YAML with a comment where a value
//! does not explain itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use edgepass_core::limits::MAX_ASSERTION_BYTES;
use serde::Serialize;
use serde_saphyr::{CommentPosition, FlowSeq, LitString, SpaceAfter, ser_options};

use super::UPSTREAM_CLUSTER;
use super::capabilities::{CAPABILITIES, SIGNING};
use super::envoy::{
    Action, Address, Admin, Any, Backoff, Bootstrap, CapabilityRestriction, Cluster, Code,
    CommonHttpOptions, CommonTlsContext, ConfigSource, DataSource, DirectResponse, Discovery,
    Endpoint, EnvironmentVariables, ExplicitHttpConfig, Extension, FileManager, FileServer,
    FilterChain, FromOutside, Http2ProtocolOptions, HttpConnectionManager, HttpProtocolOptions,
    LbEndpoint, Listener, LoadAssignment, LocalityEndpoints, Node, Noted, PathConfigSource,
    PathMapping, Permission, PluginConfig, Policy, Principal, ProtocolOptions, Rbac, ReloadConfig,
    Resources, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, SdsSecretConfig,
    Secret, StaticResources, StringMatcher, SubjectAltNameMatcher, ThreadPool, TlsCertificate,
    UpstreamTlsContext, ValidationContext, VirtualHost, VmConfig, WatchedDirectory,
};
use super::plan::{Certificate, Files, Plan, ServedFile, TokenCluster};
use super::volume::watched_folder;
use crate::arguments::EnvoyConfigArguments;
use crate::failure::Failure;

/// The whole configuration.
pub(super) fn write(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<String, Failure> {
    let mut head = String::from(
        "# Envoy with the edgepass filter, as `edgepass envoy-config` prints it.\n\
         # `envoy --mode validate -c FILE` checks it, the filter's own configuration included.\n\
         # allowed_capabilities lists the calls that the filter needs; Envoy refuses it all others.\n",
    );
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
    let mut clusters = vec![upstream_cluster(plan, arguments)];
    if let Some(files) = &plan.files {
        listeners.push(files_listener(files, arguments));
        clusters.push(files_cluster(files, arguments));
    }
    let token_clusters = plan.token_clusters.iter();
    clusters.extend(token_clusters.map(|cluster| token_cluster(cluster, arguments)));
    yaml(
        &head,
        &Bootstrap {
            node,
            admin,
            static_resources: StaticResources {
                listeners: listeners.into_iter().map(SpaceAfter).collect(),
                clusters: clusters.into_iter().map(SpaceAfter).collect(),
            },
        },
    )
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
    let retry_policy = arguments.upstream_filter.then(|| RetryPolicy {
        retry_on: note(
            "retriable-status-codes",
            "by then the filter has replaced the token",
        ),
        retriable_status_codes: FlowSeq([401]),
        num_retries: 1,
    });
    let auto_host_rewrite = arguments
        .upstream
        .tls
        .then(|| note(true, "the upstream's own name in place of the caller's"));
    let filter = (!arguments.upstream_filter).then(|| filter(plan, arguments));
    let route = Route {
        matches: RouteMatch::Prefix(note(
            "/",
            "no route may take its cluster from a header (cluster_header): it could name any of those below",
        )),
        action: Action::Route(RouteAction {
            cluster: UPSTREAM_CLUSTER,
            auto_host_rewrite,
            retry_policy,
        }),
    };
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
            vec![route],
            filter.into_iter().collect(),
        ),
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
        matches: RouteMatch::Prefix(plain("/")),
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
        filter_chains: http(&files.cluster, None, limit, routes, filters),
    }
}

/// HTTP to these routes, through these filters and the router.
fn http(
    stat_prefix: &str,
    from_outside: Option<FromOutside>,
    longest_file: Option<Noted<usize>>,
    routes: Vec<Route>,
    mut filters: Vec<Extension>,
) -> [FilterChain; 1] {
    filters.push(extension("envoy.filters.http.router", Any::Router {}));
    let manager = HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        from_outside,
        route_config: RouteConfiguration {
            max_direct_response_body_size_bytes: longest_file,
            virtual_hosts: [VirtualHost {
                name: "all",
                domains: FlowSeq(["*"]),
                routes,
            }],
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
        root_id: "edgepass",
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
        capability_restriction_config: CapabilityRestriction {
            allowed_capabilities: CAPABILITIES.iter().chain(signing).copied().collect(),
        },
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

fn upstream_cluster(plan: &Plan, arguments: &EnvoyConfigArguments) -> Cluster {
    let upstream = &arguments.upstream;
    let name = note(UPSTREAM_CLUSTER.to_owned(), "where requests go");
    let mut cluster = server_cluster(name, &upstream.host, upstream.port);
    if upstream.tls {
        cluster.transport_socket = Some(tls(&upstream.host, None, arguments));
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
