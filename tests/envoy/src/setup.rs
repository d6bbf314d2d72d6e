//! Envoy's configuration for a test. JSON is YAML, so it is built as a value.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// What differs between tests.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The plugin's configuration.
    pub plugin: String,
    /// Ports of the upstreams, by cluster.
    pub upstreams: Vec<(&'static str, u16)>,
    /// Where requests go; the first upstream if empty.
    pub routes: Vec<Value>,
    /// The port of the token server.
    pub token_port: u16,
    /// The name in its certificate that is asked for.
    pub token_name: String,
    /// Its certification authority.
    pub ca_file: PathBuf,
    /// The client certificate for the token server.
    pub certificate: Option<ClientTls>,
    /// The folder of the token file.
    pub token_dir: PathBuf,
    /// The token file's name.
    pub token_name_in_dir: String,
    /// Further files that are served: the request's path, and the file.
    pub more_files: Vec<(String, PathBuf)>,
    /// Serve the files with `file_server`, for which they need not be there yet.
    pub file_server: bool,
    /// `vm_id`.
    pub vm_id: String,
    /// Put the filter into the upstream's filter chain, with a retry on 401.
    pub as_upstream_filter: bool,
    /// The file in which Envoy finds the filter ([`Setup::discovered`]), watched; it is part of the configuration if
    /// there is none.
    pub discovery: Option<PathBuf>,
    /// Further listeners.
    pub listeners: Vec<Value>,
    /// Further clusters.
    pub clusters: Vec<Value>,
}

/// Where Envoy takes its certificate for the token server from.
#[derive(Clone, Debug)]
pub enum ClientTls {
    /// Files of the certificate and the key, read once.
    Files(PathBuf, PathBuf),
    /// A file with an SDS secret of that name.
    Sds(&'static str, PathBuf),
}

impl Setup {
    /// The configuration for an Envoy that may write into `dir`.
    pub fn write(&self, dir: &Path, wasm: &Path) -> String {
        let socket = dir.join("files.sock");
        let mut listeners = vec![self.main_listener(wasm), self.file_listener(&socket)];
        listeners.extend(self.listeners.iter().cloned());
        let mut clusters = self.clusters(wasm, &socket);
        clusters.extend(self.clusters.iter().cloned());
        json!({
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": address(0)},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        })
        .to_string()
    }

    /// What the file [`Setup::discovery`] must hold.
    pub fn discovered(&self, wasm: &Path) -> String {
        json!({"resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": FILTER,
            "typed_config": self.typed_config(wasm),
        }]})
        .to_string()
    }

    fn main_listener(&self, wasm: &Path) -> Value {
        let default = self.upstreams.first().map_or("", |(name, _)| *name);
        let routes = if self.routes.is_empty() {
            vec![json!({"match": {"prefix": "/"}, "route": {"cluster": default}})]
        } else {
            self.routes.clone()
        };
        let mut virtual_host = json!({"name": "all", "domains": ["*"], "routes": routes});
        let mut filters = Vec::new();
        if self.as_upstream_filter {
            merge(
                &mut virtual_host,
                json!({"retry_policy": {"retry_on": "retriable-status-codes",
                    "retriable_status_codes": [401], "num_retries": 1}}),
            );
        } else {
            filters.push(self.filter(wasm));
        }
        http_listener("main", &address(0), &virtual_host, filters)
    }

    fn file_listener(&self, socket: &Path) -> Value {
        let name = &self.token_name_in_dir;
        let mut files = vec![(format!("/{name}"), self.token_dir.join(name))];
        files.extend(self.more_files.iter().cloned());
        let at = json!({"pipe": {"path": socket, "mode": 0o600}});
        if self.file_server {
            let mappings: Vec<Value> = files
                .iter()
                .filter_map(|(path, file)| {
                    let (prefix, _) = path.rsplit_once('/')?;
                    let prefix = if prefix.is_empty() { "/" } else { prefix };
                    let folder = file.parent()?.join("");
                    Some(json!({"request_path_prefix": prefix, "file_path_prefix": folder}))
                })
                .collect();
            let server = json!({"name": "file_server", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig",
                "manager_config": {"id": "token_files", "thread_pool": {"thread_count": 1}},
                "path_mappings": mappings,
                "default_content_type": "text/plain"}});
            let host = json!({"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 404}}]});
            return http_listener("token_files", &at, &host, vec![server]);
        }
        let mut routes: Vec<Value> = files
            .iter()
            .map(|(path, file)| {
                json!({"match": {"path": path}, "direct_response": {"status": 200, "body": {
                    "filename": file, "watched_directory": {"path": file.parent()}}}})
            })
            .collect();
        routes.push(json!({"match": {"prefix": "/"}, "direct_response": {"status": 404}}));
        let host = json!({"name": "all", "domains": ["*"], "routes": routes});
        http_listener("token_files", &at, &host, Vec::new())
    }

    fn clusters(&self, wasm: &Path, socket: &Path) -> Vec<Value> {
        let mut clusters = vec![
            cluster("token_files", &json!({"pipe": {"path": socket}})),
            self.token_cluster(),
        ];
        for (name, port) in &self.upstreams {
            let mut upstream = cluster(name, &address(*port));
            // the tests start hundreds of requests at once, and the point is not Envoy's own limit
            merge(
                &mut upstream,
                json!({"circuit_breakers": {"thresholds": [
                    {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 4096}]}}),
            );
            if self.as_upstream_filter {
                let codec = json!({"name": "codec", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}});
                merge(
                    &mut upstream,
                    json!({"typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": HTTP_OPTIONS,
                            "explicit_http_config": {"http_protocol_options": {}},
                            "http_filters": [self.filter(wasm), codec]}}}),
                );
            }
            clusters.push(upstream);
        }
        clusters
    }

    fn token_cluster(&self) -> Value {
        let mut tls = tls_context(&self.token_name, &self.ca_file);
        if let Some(common) = tls.pointer_mut("/typed_config/common_tls_context") {
            match &self.certificate {
                None => {}
                Some(ClientTls::Files(certificate, key)) => merge(
                    common,
                    json!({"tls_certificates": [{
                        "certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}]}),
                ),
                Some(ClientTls::Sds(name, file)) => merge(
                    common,
                    json!({"tls_certificate_sds_secret_configs": [{"name": name, "sds_config": {
                        "path_config_source": {"path": file}, "resource_api_version": "V3"}}]}),
                ),
            }
        }
        let mut token = cluster("entra", &address(self.token_port));
        merge(
            &mut token,
            json!({
                "connect_timeout": "2s",
                "transport_socket": tls,
                // a rotated certificate is used on the next connection
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": HTTP_OPTIONS,
                        "common_http_protocol_options": {"max_requests_per_connection": 1},
                        "explicit_http_config": {"http_protocol_options": {}}}},
            }),
        );
        token
    }

    fn filter(&self, wasm: &Path) -> Value {
        match &self.discovery {
            None => json!({"name": FILTER, "typed_config": self.typed_config(wasm)}),
            Some(file) => json!({"name": FILTER, "config_discovery": {
                "config_source": {
                    "path_config_source": {"path": file, "watched_directory": {"path": file.parent()}},
                    "resource_api_version": "V3"},
                "type_urls": [WASM]}}),
        }
    }

    fn typed_config(&self, wasm: &Path) -> Value {
        json!({
            "@type": WASM,
            "config": {
                "name": FILTER, "root_id": "edgepass",
                "failure_policy": "FAIL_RELOAD",
                "reload_config": {"backoff": {"base_interval": "0.1s", "max_interval": "1s"}},
                "vm_config": {
                    "vm_id": self.vm_id,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": wasm}}},
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": self.plugin},
            },
        })
    }
}

/// The compiled filter.
pub fn filter_path() -> Result<PathBuf> {
    module("edgepass-envoy.wasm", "EDGEPASS_ENVOY_WASM")
}

/// The same with every credential.
pub fn full_filter_path() -> Result<PathBuf> {
    module("edgepass-envoy-full.wasm", "EDGEPASS_ENVOY_FULL_WASM")
}

fn module(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../dist")
        .join(name);
    if path.exists() {
        return Ok(path);
    }
    bail!("there is no dist/{name}: run `cargo xtask build`, or set {variable} to the module")
}

/// A listener at `address` with one virtual host. The router comes after `filters`.
pub fn http_listener(
    name: &str,
    address: &Value,
    virtual_host: &Value,
    mut filters: Vec<Value>,
) -> Value {
    filters.push(json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}));
    json!({
        "name": name,
        "address": address,
        "filter_chains": [{"filters": [{
            "name": "hcm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "route_config": {
                    "max_direct_response_body_size_bytes": 16384,
                    "virtual_hosts": [virtual_host]},
                "http_filters": filters,
            },
        }]}],
    })
}

/// A cluster with one endpoint, where `address` says.
pub fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name, "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

/// A cluster's transport socket: TLS to the server of that name.
pub fn tls_context(name: &str, ca_file: &Path) -> Value {
    json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": name,
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": ca_file},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}]}},
    }})
}

/// The filter's name, in the chain and as a plugin.
const FILTER: &str = "edgepass";

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
