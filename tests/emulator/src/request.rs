//! A request as the endpoints see it.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::errors::Refusal;
use crate::journal::Findings;
use crate::registry::{Certificate, Tenant};
use crate::world::World;

/// A request with everything known about its connection.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The certificate that authenticated the connection.
    pub(crate) certificate: Option<Certificate>,
    /// The endpoint is one that demands a certificate.
    pub(crate) mtls: bool,
    pub(crate) trace_id: String,
    pub(crate) correlation_id: String,
    pub(crate) now: i64,
}

impl Call {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `https://` and the host the client called.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}", self.host)
    }

    /// A parameter of the query that is not empty.
    pub(crate) fn query_parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// The path's segments, the empty one before the first slash left out.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.trim_start_matches('/').split('/').collect()
    }
}

/// A token request under examination.
pub(crate) struct TokenCall<'a> {
    pub(crate) world: &'a World,
    pub(crate) call: &'a Call,
    pub(crate) tenant: &'a Tenant,
    pub(crate) version: Version,
    /// The user flow of Azure AD B2C, if one was called.
    pub(crate) policy: Option<String>,
    pub(crate) form: Form,
    pub(crate) found: &'a mut Findings,
}

/// Which generation of the token endpoint was called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    V1,
    V2,
}

impl TokenCall<'_> {
    /// Notes a departure from a specification that Entra lets pass.
    pub(crate) fn nonconforming(&mut self, what: impl Into<String>) {
        self.found.nonconforming.push(what.into());
    }
}

/// Names with their values, as they came.
pub(crate) type Fields = Vec<(String, String)>;

/// Form fields, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: Fields,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        Self::parse_but(body, &[]).map(|(form, _)| form)
    }

    /// The same, and apart from it those fields, which may be there several
    /// times.
    pub(crate) fn parse_but(body: &[u8], repeated: &[&str]) -> Result<(Self, Fields), Refusal> {
        let (apart, fields): (Fields, Fields) = url::form_urlencoded::parse(body)
            .into_owned()
            .partition(|(name, _)| repeated.contains(&name.as_str()));
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b);
        if let Some((name, _)) = twice {
            return Err(Refusal::new(
                9_002_313,
                format!(
                    "Invalid request. Request is malformed or invalid: the parameter '{name}' is duplicated."
                ),
            ));
        }
        Ok((Self { fields }, apart))
    }

    /// A field that is present and not empty: RFC 6749 treats the two alike.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A field that must be present.
    pub(crate) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}

/// The `claims` parameter, which must be a JSON object.
pub(crate) fn parse_claims(form: &Form) -> Result<Option<Value>, Refusal> {
    let Some(text) = form.get("claims") else {
        return Ok(None);
    };
    match serde_json::from_str(text) {
        Ok(claims @ Value::Object(_)) => Ok(Some(claims)),
        _ => Err(Refusal::new(
            9_002_313,
            "Invalid request. Request is malformed or invalid: the 'claims' parameter is not a JSON object.",
        )),
    }
}
