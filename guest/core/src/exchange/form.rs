//! The form that is posted.

use std::borrow::Cow;

use crate::authority::Endpoint;
use crate::effect::HttpRequest;
use crate::limits::{HTTP_TIMEOUT_MS, MAX_RESPONSE_BYTES};
use crate::{Secret, SecretBytes};

/// A form in the order in which the Azure SDKs for Python and Rust write theirs: by name, `claims` last.
#[derive(Default)]
pub(crate) struct Form<'a> {
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    /// Of letters, digits, `.`, `_` and `-`.
    name: &'a str,
    value: Cow<'a, str>,
    /// Its value stands for itself.
    is_plain: bool,
}

impl<'a> Form<'a> {
    /// A secret is borrowed, so that there is no copy of it but the form's.
    pub(crate) fn add(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        self.put(name, value.into(), false);
    }

    /// The same; a value that stands for itself is copied whole.
    pub(crate) fn put(&mut self, name: &'a str, value: Cow<'a, str>, is_plain: bool) {
        fn order(name: &str) -> (bool, &str) {
            (name == "claims", name)
        }
        let before = |field: &&Field<'_>| order(field.name) <= order(name);
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
        let room = |field: &Field<'_>| {
            let value = field.value.len();
            let value = if field.is_plain { value } else { 3 * value };
            field.name.len() + value + 2
        };
        let mut out = String::with_capacity(self.fields.iter().map(room).sum());
        for field in &self.fields {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(field.name);
            out.push('=');
            if field.is_plain {
                out.push_str(&field.value);
            } else {
                out.extend(form_urlencoded::byte_serialize(field.value.as_bytes()));
            }
        }
        SecretBytes::new(out)
    }
}

/// The POST of RFC 6749 section 4.4.2. `x-ms-lib-capability` tells Entra that 429 and Retry-After are honoured here;
/// without it Entra breaks request loops with `invalid_grant` instead.
pub(crate) fn request(
    endpoint: &Endpoint,
    form: Form<'_>,
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_jwt_goes_into_the_form_as_it_is_and_anything_else_encoded() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        // what base64url is made of, all of it
        let all = URL_SAFE_NO_PAD.encode((0..=255).collect::<Vec<u8>>());
        let plain = format!("{}.{}.{all}", part("{}"), part("{}"));
        for (jwt, expected) in [
            (plain.clone(), plain.clone()),
            (format!("{plain}="), format!("{plain}%3D")),
            (
                format!("{}==.{}.c2ln", part("{ }  "), part("{}")),
                format!("{}%3D%3D.{}.c2ln", part("{ }  "), part("{}")),
            ),
        ] {
            let summary = crate::inspect_jwt(&jwt).expect("a JWT");
            let mut form = Form::default();
            form.add("scope", "a&b=c");
            form.put("client_assertion", jwt.as_str().into(), summary.is_plain);
            let encoded = form.encode();
            assert_eq!(
                String::from_utf8_lossy(encoded.expose()),
                format!("client_assertion={expected}&scope=a%26b%3Dc")
            );
            let serialized: String = form_urlencoded::byte_serialize(jwt.as_bytes()).collect();
            assert_eq!(serialized, expected);
        }
    }

    #[test]
    fn the_form_is_sorted_with_claims_last() {
        let mut form = Form::default();
        for name in [
            "scope",
            "claims",
            "client_id",
            "grant_type",
            "client_assertion",
        ] {
            form.add(name, "a b");
        }
        assert_eq!(
            form.encode().expose(),
            b"client_assertion=a+b&client_id=a+b&grant_type=a+b&scope=a+b&claims=a+b"
        );
    }
}
