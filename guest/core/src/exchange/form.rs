//! The form that is posted.

use crate::authority::Endpoint;
use crate::effect::HttpRequest;
use crate::limits::{HTTP_TIMEOUT_MS, MAX_RESPONSE_BYTES};
use crate::{Secret, SecretBytes};

/// A form in the order in which the Azure SDKs for Python and Rust write theirs: by name, `claims` last.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    /// Of letters and `_`.
    name: &'static str,
    value: Secret,
    /// Its value stands for itself.
    is_plain: bool,
}

impl Form {
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Secret>) {
        self.put(name, value.into(), false);
    }

    /// The same of a text in which [`inspect_jwt`](crate::inspect_jwt) has found a JWT: unless it is padded, nothing of
    /// it has to be encoded.
    pub(crate) fn add_jwt(&mut self, name: &'static str, value: Secret) {
        let is_plain = !value.expose().contains('=');
        self.put(name, value, is_plain);
    }

    fn put(&mut self, name: &'static str, value: Secret, is_plain: bool) {
        let order = |name: &'static str| (name == "claims", name);
        let before = |field: &&Field| order(field.name) <= order(name);
        let at = self.fields.iter().take_while(before).count();
        let field = Field {
            name,
            value,
            is_plain,
        };
        self.fields.insert(at, field);
    }

    pub(super) fn encode(self) -> SecretBytes {
        // room for everything at once: growing would leave copies of an assertion behind
        let mut room = 0;
        self.pieces(&mut |piece| room += piece.len());
        let mut out = String::with_capacity(room);
        self.pieces(&mut |piece| out.push_str(piece));
        SecretBytes::new(out)
    }

    fn pieces(&self, out: &mut dyn FnMut(&str)) {
        for (n, field) in self.fields.iter().enumerate() {
            out(if n == 0 { "" } else { "&" });
            out(field.name);
            out("=");
            let value = field.value.expose();
            if field.is_plain {
                out(value);
            } else {
                form_urlencoded::byte_serialize(value.as_bytes()).for_each(&mut *out);
            }
        }
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
