//! The upstream: an Envoy that answers by itself, and by which requests can be looked at.
//!
//! It answers 200 only to requests with a token, so that a variant that stops putting one on shows in what wrk counts.

use anyhow::Result;
use edgepass_envoy_tests::{Upstream, cluster, http_listener};
use serde_json::json;

use crate::proxy::{OTHERS, Proxy};

/// For requests with a token.
pub(crate) const WITH: &str = "/";

/// For requests without one.
pub(crate) const WITHOUT: &str = "/without-token";

/// For requests that are to be recorded.
pub(crate) const RECORDED: &str = "/recorded";

pub(crate) struct Answerer {
    proxy: Proxy,
    recorder: Upstream,
}

impl Answerer {
    pub(crate) fn start() -> Result<Self> {
        let recorder = Upstream::start()?;
        let address =
            |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let ok = json!({"status": 200, "body": {"inline_string": "ok\n"}});
        let routes = json!([
            {"match": {"path": WITH, "headers": [
                {"name": "authorization", "string_match": {"prefix": "Bearer "}}]}, "direct_response": ok},
            {"match": {"path": WITHOUT}, "direct_response": ok},
            {"match": {"path": RECORDED}, "route": {"cluster": "recorder"}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 401}},
        ]);
        let host = json!({"name": "all", "domains": ["*"], "routes": routes});
        let config = json!({
            "admin": {"address": address(0)},
            "static_resources": {
                "listeners": [http_listener("main", &address(0), &host, Vec::new())],
                "clusters": [cluster("recorder", &address(recorder.port()))],
            },
        });
        let proxy = Proxy::start(OTHERS, |_| Ok(config.to_string()))?;
        Ok(Self { proxy, recorder })
    }

    pub(crate) fn port(&self) -> u16 {
        self.proxy.port()
    }

    /// The `authorization` header of the last request to [`RECORDED`].
    pub(crate) fn last_authorization(&self) -> Option<String> {
        let seen = self.recorder.seen();
        Some(seen.last()?.header("authorization")?.to_owned())
    }
}
