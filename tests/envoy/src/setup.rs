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
    /// The client certificate and key for the token server.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The folder of the token file.
    pub token_dir: PathBuf,
    /// The token file's name.
    pub token_name_in_dir: String,
    /// `vm_id`.
    pub vm_id: String,
    /// Put the filter into the upstream's filter chain, with a retry on 401.
    pub as_upstream_filter: bool,
}

impl Setup {
    /// The configuration for an Envoy that may write into `dir`.
    pub fn write(&self, dir: &Path, wasm: &Path) -> String {
        let socket = dir.join("files.sock");
        let config = json!({
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": address(0)},
            "static_resources": {
                "listeners": [self.main_listener(wasm), self.file_listener(&socket)],
                "clusters": self.clusters(wasm, &socket),
            },
        });
        config.to_string()
    }

    fn main_listener(&self, wasm: &Path) -> Value {
        let default = self.upstreams.first().map_or("", |(name, _)| *name);
        let routes = if self.routes.is_empty() {
            vec![json!({"match": {"prefix": "/"}, "route": {"cluster": default}})]
        } else {
            self.routes.clone()
        };
        let mut virtual_host = json!({"name": "all", "domains": ["*"], "routes": routes});
        let mut filters = vec![router()];
        if self.as_upstream_filter {
            merge(
                &mut virtual_host,
                json!({"retry_policy": {"retry_on": "retriable-status-codes",
                    "retriable_status_codes": [401], "num_retries": 1}}),
            );
        } else {
            filters.insert(0, self.filter(wasm));
        }
        json!({
            "name": "main",
            "address": address(0),
            "filter_chains": [{"filters": [{
                "name": "hcm",
                "typed_config": {
                    "@type": HCM, "stat_prefix": "main",
                    "route_config": {"virtual_hosts": [virtual_host]},
                    "http_filters": filters,
                },
            }]}],
        })
    }

    fn file_listener(&self, socket: &Path) -> Value {
        let name = &self.token_name_in_dir;
        json!({
            "name": "token_files",
            "address": {"pipe": {"path": socket, "mode": 0o600}},
            "filter_chains": [{"filters": [{
                "name": "hcm",
                "typed_config": {
                    "@type": HCM, "stat_prefix": "token_files",
                    "route_config": {
                        "max_direct_response_body_size_bytes": 16384,
                        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                            {"match": {"path": format!("/{name}")}, "direct_response": {"status": 200, "body": {
                                "filename": self.token_dir.join(name),
                                "watched_directory": {"path": self.token_dir}}}},
                            {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
                        ]}],
                    },
                    "http_filters": [router()],
                },
            }]}],
        })
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
        let mut tls = json!({
            "validation_context": {
                "trusted_ca": {"filename": self.ca_file},
                "match_typed_subject_alt_names": [
                    {"san_type": "DNS", "matcher": {"exact": self.token_name}}],
            },
        });
        if let Some((certificate, key)) = &self.certificate {
            merge(
                &mut tls,
                json!({"tls_certificates": [{
                    "certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}]}),
            );
        }
        let mut token = cluster("entra", &address(self.token_port));
        merge(
            &mut token,
            json!({
                "connect_timeout": "2s",
                "transport_socket": {"name": "tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                    "sni": self.token_name, "common_tls_context": tls}},
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
        json!({
            "name": "edgepass",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": "edgepass", "root_id": "edgepass",
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
            },
        })
    }
}

/// The compiled filter.
pub fn filter_path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("EDGEPASS_ENVOY_WASM") {
        return Ok(path.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist/edgepass-envoy.wasm");
    if path.exists() {
        return Ok(path);
    }
    bail!(
        "there is no dist/edgepass-envoy.wasm: run `cargo xtask build`, or set EDGEPASS_ENVOY_WASM to the module"
    )
}

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn router() -> Value {
    json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}})
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name, "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
