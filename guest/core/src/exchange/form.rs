//! The form that is posted.

use crate::authority::Endpoint;
use crate::effect::HttpRequest;
use crate::limits::{HTTP_TIMEOUT_MS, MAX_RESPONSE_BYTES};
use crate::{Secret, SecretBytes};

/// A form in the order in which the Azure SDKs for Python and Rust write theirs: by name, `claims` last.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: Vec<(&'static str, Secret)>,
}

impl Form {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Secret>) {
        let order = |name: &'static str| (name == "claims", name);
        let after = self.fields.iter();
        let at = after
            .take_while(|(known, _)| order(known) <= order(name))
            .count();
        self.fields.insert(at, (name, value.into()));
    }

    pub(super) fn encode(self) -> SecretBytes {
        // room for everything at once: growing would leave copies of an assertion behind
        let room = self
            .fields
            .iter()
            .map(|(name, value)| name.len() + 3 * value.expose().len() + 2)
            .sum();
        let mut out = form_urlencoded::Serializer::new(String::with_capacity(room));
        for (name, value) in &self.fields {
            out.append_pair(name, value.expose());
        }
        SecretBytes::new(out.finish())
    }
}

/// The POST of RFC 6749 section 4.4.2. `x-ms-lib-capability` tells Entra that 429 and Retry-After are honoured here;
/// without it Entra breaks request loops with `invalid_grant` instead.
pub(crate) fn request(
    endpoint: &Endpoint,
    form: Form,
    authorization: Option<Secret>,
    correlation_id: &str,
    timeout_ms: u64,
) -> HttpRequest {
    let mut headers: Vec<(&'static str, Secret)> = vec![
        ("accept", Secret::new("application/json")),
        // without it any coding is acceptable (RFC 9110 section 12.5.3), and nothing here can undo one
        ("accept-encoding", Secret::new("identity")),
        ("client-request-id", Secret::new(correlation_id)),
        (
            "content-type",
            Secret::new("application/x-www-form-urlencoded"),
        ),
        ("return-client-request-id", Secret::new("true")),
        (
            "user-agent",
            Secret::new(concat!("edgepass/", env!("CARGO_PKG_VERSION"))),
        ),
        ("x-ms-lib-capability", Secret::new("retry-after, h429")),
    ];
    headers.extend(authorization.map(|value| ("authorization", value)));
    HttpRequest {
        method: "POST",
        scheme: "https",
        authority: endpoint.authority.clone(),
        path: endpoint.path.clone(),
        headers,
        body: form.encode(),
        timeout_ms: timeout_ms.min(HTTP_TIMEOUT_MS),
        max_response_bytes: MAX_RESPONSE_BYTES,
    }
}
