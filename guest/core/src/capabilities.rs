//! What a client can do (`xms_cc`), told to Entra ID as claims of every token request. With `cp1` it says that it can handle
//! claims challenges, and gets tokens that live longer and may be refused before they end
//! ([Microsoft: client capabilities](https://learn.microsoft.com/entra/identity-platform/claims-challenge#how-to-communicate-client-capabilities-to-microsoft-entra-id)).

use std::fmt::Write as _;

use crate::Secret;
use crate::json::Json;
use crate::secret::same;

/// The claims of a request: what the client can do, merged with what a challenge asks for. Objects are merged member by
/// member, lists are united, and where both have another value it is the challenge's, as MSAL does it. Claims that are no
/// object stay as they are.
pub(crate) fn merged(capabilities: &[String], claims: Option<&str>) -> Option<String> {
    if capabilities.is_empty() {
        return claims.map(str::to_owned);
    }
    let values = capabilities
        .iter()
        .map(|one| Json::Text(Secret::new(one.as_str())));
    let mut all = object("xms_cc", object("values", Json::List(values.collect())));
    all = object("access_token", all);
    if let Some(claims) = claims {
        let Ok(asked @ Json::Object(_)) = Json::parse(claims.as_bytes()) else {
            return Some(claims.to_owned());
        };
        all = merge(asked, all);
    }
    let mut out = String::new();
    write(&all, &mut out);
    Some(out)
}

fn object(name: &str, value: Json) -> Json {
    Json::Object(vec![(name.to_owned(), value)])
}

/// The first with what of the second is not in it.
fn merge(first: Json, second: Json) -> Json {
    match (first, second) {
        (Json::Object(mut fields), Json::Object(others)) => {
            for (name, other) in others {
                // the last of a repeated name counts
                match fields
                    .iter_mut()
                    .rev()
                    .find(|(known, _)| same(known, &name))
                {
                    Some((_, value)) => {
                        let before = std::mem::replace(value, Json::Null);
                        *value = merge(before, other);
                    }
                    None => fields.push((name, other)),
                }
            }
            Json::Object(fields)
        }
        (Json::List(mut items), Json::List(others)) => {
            for other in others {
                if !items.iter().any(|item| written(item) == written(&other)) {
                    items.push(other);
                }
            }
            Json::List(items)
        }
        // `null` of a claim is a request for it with no more to say (OpenID Connect Core section 5.5.1)
        (Json::Null, second) => second,
        (first, _) => first,
    }
}

fn written(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // writing into a text does not fail
        Json::Whole(number) => _ = write!(out, "{number}"),
        Json::Number(number) => _ = write!(out, "{number}"),
        Json::Text(text) => write_text(text.expose(), out),
        Json::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                separate(at, out);
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                separate(at, out);
                write_text(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn separate(at: usize, out: &mut String) {
    if at > 0 {
        out.push(',');
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases are those of MSAL's and the Azure SDKs' own tests.
    #[test]
    fn claims_are_merged() {
        const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;
        for (capabilities, claims, expected) in [
            ("", None, None),
            ("", Some(r#"{ "a": 1 }"#), Some(r#"{ "a": 1 }"#)),
            ("cp1", None, Some(CP1)),
            ("cp1", Some("{}"), Some(CP1)),
            ("cp1", Some(CP1), Some(CP1)),
            (
                "cp1 cp2",
                None,
                Some(r#"{"access_token":{"xms_cc":{"values":["cp1","cp2"]}}}"#),
            ),
            // beside others of the same part
            (
                "cp1",
                Some(r#"{"access_token":{"nbf":{"essential":true, "value":"1702682181"}}}"#),
                Some(
                    r#"{"access_token":{"nbf":{"essential":true,"value":"1702682181"},"xms_cc":{"values":["cp1"]}}}"#,
                ),
            ),
            // other parts
            (
                "cp1",
                Some(
                    r#"{"userinfo":{"given_name":{"essential":true},"email":null},"id_token":{"acr":{"values":["x"]}}}"#,
                ),
                Some(
                    r#"{"userinfo":{"given_name":{"essential":true},"email":null},"id_token":{"acr":{"values":["x"]}},"access_token":{"xms_cc":{"values":["cp1"]}}}"#,
                ),
            ),
            // lists are united, the challenge's first
            (
                "cp1",
                Some(r#"{"access_token":{"xms_cc":{"values":["foo","cp1","bar"]}}}"#),
                Some(r#"{"access_token":{"xms_cc":{"values":["foo","cp1","bar"]}}}"#),
            ),
            (
                "cp1 cp2",
                Some(r#"{"access_token":{"xms_cc":{"essential":false,"values":["foo"]}}}"#),
                Some(
                    r#"{"access_token":{"xms_cc":{"essential":false,"values":["foo","cp1","cp2"]}}}"#,
                ),
            ),
            // of other kinds the challenge's counts
            (
                "cp1",
                Some(r#"{"access_token":{"xms_cc":{"values":"foo"}}}"#),
                Some(r#"{"access_token":{"xms_cc":{"values":"foo"}}}"#),
            ),
            (
                "cp1",
                Some(r#"{"access_token":[1]}"#),
                Some(r#"{"access_token":[1]}"#),
            ),
            ("cp1", Some(r#"{"access_token":null}"#), Some(CP1)),
            // whatever stands in a value stays
            (
                "cp1",
                Some(r#"{"a":[-1,1.5,true,null,"\"\\\u0001é😀/"],"a\"b":{}}"#),
                Some(
                    r#"{"a":[-1,1.5,true,null,"\"\\\u0001é😀/"],"a\"b":{},"access_token":{"xms_cc":{"values":["cp1"]}}}"#,
                ),
            ),
        ] {
            let capabilities: Vec<_> = capabilities.split_whitespace().map(str::to_owned).collect();
            let merged = merged(&capabilities, claims);
            assert_eq!(merged.as_deref(), expected, "{claims:?}");
            if let Some(merged) = &merged {
                assert!(crate::challenge::parse_claims(merged).is_ok(), "{merged}");
            }
        }
    }
}
