//! An answer before it is sent.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// Status, headers and body.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A JSON answer that must not be stored.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        // A value made here always has a text: its keys are strings.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::text(status, "application/json; charset=utf-8", body)
    }

    /// Any other answer.
    pub(crate) fn text(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        reply.set(CONTENT_TYPE, content_type);
        reply.set(CACHE_CONTROL, "no-store, no-cache");
        reply.set(PRAGMA, "no-cache");
        reply
    }

    /// Sets a header, unless the value cannot be one.
    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}
