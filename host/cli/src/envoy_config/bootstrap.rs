//! The text of Envoy's configuration, in pieces that begin at the margin and are moved to their place.

use std::net::IpAddr;

use edgepass_core::limits::MAX_ASSERTION_BYTES;

use super::UPSTREAM_CLUSTER;
use super::capabilities::{CAPABILITIES, SIGNING};
use super::plan::{Certificate, Files, Plan, ServedFile, TokenCluster};
use super::yaml::{indented, scalar};
use crate::arguments::EnvoyConfigArguments;
use crate::failure::Failure;

/// The whole configuration.
pub(super) fn write(plan: &Plan, arguments: &EnvoyConfigArguments) -> String {
    let mut out = String::from(
        "# Envoy with the edgepass filter, as `edgepass envoy-config` prints it.\n\
         # `envoy --mode validate -c FILE` checks it, the filter's own configuration included.\n",
    );
    if !plan.certificates().is_empty() {
        out.push_str(
            "\n# secrets in files are for a node that has a name\nnode:\n  id: edgepass\n  cluster: edgepass\n",
        );
    }
    if let Some(admin) = &arguments.admin {
        let address = address(&admin.ip().to_string(), admin.port());
        out.push_str(&format!("\nadmin:\n  address:\n{}", indented(4, &address)));
    }
    out.push_str("\nstatic_resources:\n  listeners:\n");
    out.push_str(&indented(2, &main_listener(plan, arguments)));
    if let Some(files) = &plan.files {
        out.push('\n');
        out.push_str(&indented(2, &files_listener(files, arguments)));
    }
    out.push_str("\n  clusters:\n");
    out.push_str(&indented(2, &upstream_cluster(plan, arguments)));
    if let Some(files) = &plan.files {
        out.push('\n');
        out.push_str(&indented(2, &files_cluster(files, arguments)));
    }
    for cluster in &plan.token_clusters {
        out.push('\n');
        out.push_str(&indented(2, &token_cluster(cluster, arguments)));
    }
    out
}

/// The file that gives Envoy that client certificate.
pub(super) fn certificate(plan: &Plan, name: &str) -> Result<String, Failure> {
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
    Ok(format!(
        "\
# The client certificate for Envoy, as `edgepass envoy-config --certificate` prints it.
resources:
- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: {name}
  tls_certificate:
    certificate_chain:
      filename: {chain}
    private_key:
      filename: {key}
    # a rotation is seen when something is moved into this folder
    watched_directory:
      path: {folder}
",
        name = scalar(&certificate.name),
        chain = scalar(&certificate.chain),
        key = scalar(&certificate.key),
        folder = scalar(certificate.folder()),
    ))
}

/// The socket between the filter and the listener of its files.
pub(super) fn socket(files: &Files, arguments: &EnvoyConfigArguments) -> String {
    let folder = arguments.socket_dir.trim_end_matches('/');
    format!("{folder}/{}.sock", files.cluster)
}

fn main_listener(plan: &Plan, arguments: &EnvoyConfigArguments) -> String {
    let filter = if arguments.upstream_filter {
        String::new()
    } else {
        filter(plan, arguments)
    };
    let mut route = format!("cluster: {UPSTREAM_CLUSTER}\n");
    if arguments.upstream.tls {
        route.push_str("# the server's own name in place of the one that the caller used\nauto_host_rewrite: true\n");
    }
    if arguments.upstream_filter {
        route.push_str(
            "# the filter has made the token be replaced by then\n\
             retry_policy:\n  retry_on: retriable-status-codes\n  retriable_status_codes: [401]\n  num_retries: 1\n",
        );
    }
    format!(
        "\
# where requests come in
- name: main
  address:
{address}  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        \"@type\": {HTTP_CONNECTION_MANAGER}
        stat_prefix: main
        route_config:
          virtual_hosts:
          - name: all
            domains: [\"*\"]
            routes:
            # no route may take its cluster from a header (cluster_header): it could name any of those below
            - match:
                prefix: /
              route:
{route}        http_filters:
{filter}{router}",
        address = indented(4, &address(
            &arguments.listen.ip().to_string(),
            arguments.listen.port()
        )),
        route = indented(16, &route),
        filter = indented(8, &filter),
        router = indented(8, ROUTER),
    )
}

fn filter(plan: &Plan, arguments: &EnvoyConfigArguments) -> String {
    let mut variables = String::new();
    if !plan.variables.is_empty() {
        variables = format!(
            "  # what the configuration leaves to the environment of Envoy's process\n  environment_variables:\n    host_env_keys: [{}]\n",
            plan.variables.join(", ")
        );
    }
    let signing = if plan.signs { SIGNING } else { &[] };
    let capabilities: String = CAPABILITIES
        .iter()
        .chain(signing)
        .map(|name| format!("{name}: {{}}\n"))
        .collect();
    format!(
        "\
- name: edgepass
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: edgepass
      root_id: edgepass
      # after a fault in the filter its VM is made anew; without this it answers 503 for good
      failure_policy: FAIL_RELOAD
      reload_config:
        backoff:
          base_interval: 0.1s
          max_interval: 1s
      vm_config:
        # no other module may have this name: it could read the tokens
        vm_id: {vm_id}
        runtime: envoy.wasm.runtime.v8
        code:
          local:
            filename: {wasm}
{variables}      # what the filter needs; Envoy refuses it everything else
      capability_restriction_config:
        allowed_capabilities:
{capabilities}      configuration:
        # a StringValue, not a Struct: Envoy gives the filter a Struct as protobuf
        \"@type\": type.googleapis.com/google.protobuf.StringValue
        value: |
{plugin}",
        vm_id = scalar(&arguments.vm_id),
        wasm = scalar(&arguments.wasm),
        variables = indented(6, &variables),
        capabilities = indented(10, &capabilities),
        plugin = indented(10, &plan.plugin),
    )
}

fn files_listener(files: &Files, arguments: &EnvoyConfigArguments) -> String {
    let (routes, filters) = if arguments.file_server {
        (String::new(), file_server(files))
    } else {
        (files.served.iter().map(file_route).collect(), String::new())
    };
    let limit = if arguments.file_server {
        String::new()
    } else {
        format!(
            "# the most that a file may have; and every file must be there when Envoy starts\nmax_direct_response_body_size_bytes: {MAX_ASSERTION_BYTES}\n"
        )
    };
    format!(
        "\
# the filter's files, for this process alone: the socket's mode is 0600
- name: {name}
  address:
    pipe:
      path: {socket}
      mode: 384
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        \"@type\": {HTTP_CONNECTION_MANAGER}
        stat_prefix: {name}
        route_config:
{limit}          virtual_hosts:
          - name: all
            domains: [\"*\"]
            routes:
{routes}            - match:
                prefix: /
              direct_response:
                status: 404
        http_filters:
{filters}{router}",
        name = scalar(&files.cluster),
        socket = scalar(&socket(files, arguments)),
        limit = indented(10, &limit),
        routes = indented(12, &routes),
        filters = indented(8, &filters),
        router = indented(8, ROUTER),
    )
}

fn file_route(file: &ServedFile) -> String {
    format!(
        "\
- match:
    path: {request_path}
  direct_response:
    status: 200
    body:
      filename: {path}
      # without this the file is read once and never again
      watched_directory:
        path: {folder}
",
        request_path = scalar(&file.request_path),
        path = scalar(&file.path),
        folder = scalar(file.folder()),
    )
}

/// Reads the files when they are asked for, and no other file of their folders.
fn file_server(files: &Files) -> String {
    let mut permissions = String::new();
    let mut mappings: Vec<String> = Vec::new();
    for file in &files.served {
        permissions.push_str(&format!(
            "- url_path:\n    path:\n      exact: {}\n",
            scalar(&file.request_path)
        ));
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let asked = file.request_path.strip_suffix(name).unwrap_or_default();
        let kept = file.path.strip_suffix(name).unwrap_or_default();
        let mapping = format!(
            "- request_path_prefix: {}\n  file_path_prefix: {}\n",
            scalar(asked),
            scalar(kept)
        );
        if !mappings.contains(&mapping) {
            mappings.push(mapping);
        }
    }
    format!(
        "\
# these files and nothing else in their folders
- name: envoy.filters.http.rbac
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: ALLOW
      policies:
        files:
          permissions:
{permissions}          principals:
          - any: true
- name: envoy.filters.http.file_server
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig
    manager_config:
      id: edgepass
      thread_pool:
        thread_count: 1
    path_mappings:
{mappings}    default_content_type: text/plain
",
        permissions = indented(10, &permissions),
        mappings = indented(4, &mappings.concat()),
    )
}

fn upstream_cluster(plan: &Plan, arguments: &EnvoyConfigArguments) -> String {
    let upstream = &arguments.upstream;
    let mut out = String::from("# where requests go\n");
    out.push_str(&cluster(UPSTREAM_CLUSTER, &upstream.host, upstream.port));
    if upstream.tls {
        out.push_str(&indented(2, &tls(&upstream.host, &arguments.ca_file, None)));
    }
    if arguments.upstream_filter {
        out.push_str(&format!(
            "  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      \"@type\": {HTTP_PROTOCOL_OPTIONS}
      explicit_http_config:
        http_protocol_options: {{}}
      http_filters:
{filter}      - name: envoy.filters.http.upstream_codec
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
",
            filter = indented(6, &filter(plan, arguments)),
        ));
    }
    out
}

fn files_cluster(files: &Files, arguments: &EnvoyConfigArguments) -> String {
    let name = scalar(&files.cluster);
    format!(
        "\
- name: {name}
  type: STATIC
  load_assignment:
    cluster_name: {name}
    endpoints:
    - lb_endpoints:
      - endpoint:
          address:
            pipe:
              path: {socket}
",
        socket = scalar(&socket(files, arguments)),
    )
}

fn token_cluster(token: &TokenCluster, arguments: &EnvoyConfigArguments) -> String {
    let certificate = token
        .certificate
        .as_ref()
        .map(|certificate| (certificate, arguments.secrets_dir.trim_end_matches('/')));
    format!(
        "\
# where tokens come from
{cluster}{tls}  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      \"@type\": {HTTP_PROTOCOL_OPTIONS}
      common_http_protocol_options:
        # exchanges are rare: a kept connection would be stale, or have an old certificate
        max_requests_per_connection: 1
      explicit_http_config:
        http_protocol_options: {{}}
",
        cluster = cluster(&token.name, &token.host, token.port),
        tls = indented(2, &tls(&token.host, &arguments.ca_file, certificate)),
    )
}

/// The beginning of a cluster of one server.
fn cluster(name: &str, host: &str, port: u16) -> String {
    let name = scalar(name);
    let kind = match ip(host) {
        Some(_) => "type: STATIC\n",
        None => "type: STRICT_DNS\ndns_lookup_family: V4_PREFERRED\n",
    };
    let host = ip(host).map_or_else(|| host.to_owned(), |ip| ip.to_string());
    format!(
        "\
- name: {name}
{kind}  load_assignment:
    cluster_name: {name}
    endpoints:
    - lb_endpoints:
      - endpoint:
          address:
{address}",
        kind = indented(2, kind),
        address = indented(12, &address(&host, port)),
    )
}

/// TLS to a server, which has to be the one that is meant; with a certificate from a folder if there is one.
fn tls(host: &str, ca_file: &str, certificate: Option<(&Certificate, &str)>) -> String {
    let (sni, san) = match ip(host) {
        // RFC 6066: server names are not addresses
        Some(_) => (String::new(), "IP_ADDRESS"),
        None => (format!("    sni: {}\n", scalar(host)), "DNS"),
    };
    let host = ip(host).map_or_else(|| host.to_owned(), |ip| ip.to_string());
    let certificate = certificate.map(|(certificate, folder)| {
        format!(
            "      # `edgepass envoy-config --certificate` prints this file
      tls_certificate_sds_secret_configs:
      - name: {name}
        sds_config:
          path_config_source:
            path: {path}
            watched_directory:
              path: {folder}
          resource_api_version: V3
",
            name = scalar(&certificate.name),
            path = scalar(&format!("{folder}/{}.yaml", certificate.name)),
            folder = scalar(if folder.is_empty() { "/" } else { folder }),
        )
    });
    format!(
        "\
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}    common_tls_context:
      # without both of these Envoy sends tokens to whoever answers
      validation_context:
        trusted_ca:
          filename: {ca_file}
        match_typed_subject_alt_names:
        - san_type: {san}
          matcher:
            exact: {host}
{certificate}",
        ca_file = scalar(ca_file),
        host = scalar(&host),
        certificate = certificate.unwrap_or_default(),
    )
}

fn address(host: &str, port: u16) -> String {
    format!(
        "socket_address:\n  address: {}\n  port_value: {port}\n",
        scalar(host)
    )
}

/// The address that a host is, if it is none with a name.
fn ip(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

const HTTP_CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

const HTTP_PROTOCOL_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

const ROUTER: &str = "\
- name: envoy.filters.http.router
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
";
