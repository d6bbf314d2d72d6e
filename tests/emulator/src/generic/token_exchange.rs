//! RFC 8693: token exchange.

use serde_json::{Value, json};

use super::subject::{Verified, verify};
use super::{Ask, Fault, Issue, issuer};
use crate::lock;

/// The types of section 3 that a token can be here, without their prefix.
const TYPES: &[&str] = &["access_token", "id_token", "jwt"];

const PREFIX: &str = "urn:ietf:params:oauth:token-type:";

/// Gives a token about the subject, for whom the actor may act.
pub(super) fn exchange(ask: &Ask<'_>) -> Result<Value, Fault> {
    let subject = presented(ask, "subject_token")?
        .ok_or_else(|| Fault::new("invalid_request", "subject_token is missing"))?;
    let actor = presented(ask, "actor_token")?;
    let wanted = match ask.form.get("requested_token_type") {
        None => "access_token",
        Some(wanted) => known_type("requested_token_type", wanted)?,
    };
    let scope = ask.form.get("scope");
    let issue = Issue {
        subject: &subject.subject,
        audience: audience(ask)?,
        scope,
        actor: actor.map(|actor| json!({ "sub": actor.subject, "iss": actor.issuer })),
    };
    let (token, life) = ask.issue(&issue)?;
    // section 2.2.1: what is no access token has no type of access tokens
    let token_type = if wanted == "access_token" {
        "Bearer"
    } else {
        "N_A"
    };
    let mut answer = json!({
        "access_token": token,
        "issued_token_type": format!("{PREFIX}{wanted}"),
        "token_type": token_type,
        "expires_in": life,
    });
    if let (Some(scope), Some(fields)) = (scope, answer.as_object_mut()) {
        fields.insert("scope".into(), json!(scope));
    }
    Ok(answer)
}

/// A token that the request shows, with its type.
fn presented(ask: &Ask<'_>, name: &str) -> Result<Option<Verified>, Fault> {
    let type_name = format!("{name}_type");
    let token = match (ask.form.get(name), ask.form.get(&type_name)) {
        (None, None) => return Ok(None),
        (Some(token), Some(kind)) => {
            known_type(&type_name, kind)?;
            token
        }
        // section 2.1: the one without the other is an error
        (Some(_), None) => {
            let text = format!("{type_name} is missing: {name} needs it");
            return Err(Fault::new("invalid_request", text));
        }
        (None, Some(_)) => {
            let text = format!("{type_name} is there without {name}");
            return Err(Fault::new("invalid_request", text));
        }
    };
    verify(ask, name, "invalid_request", token).map(Some)
}

fn known_type<'t>(name: &str, kind: &'t str) -> Result<&'t str, Fault> {
    let short = kind
        .strip_prefix(PREFIX)
        .filter(|short| TYPES.contains(short));
    short.ok_or_else(|| {
        Fault::new(
            "invalid_request",
            format!("{name}: the type {kind} is not supported"),
        )
    })
}

/// The `aud` of the token: the targets that the request names, each of which
/// must be known here.
fn audience(ask: &Ask<'_>) -> Result<Value, Fault> {
    let registry = lock(&ask.world.registry);
    let mut named = Vec::new();
    for (name, value) in &ask.targets {
        // section 2.1: a resource is an absolute URI without fragment
        let is_uri = url::Url::parse(value).is_ok_and(|url| url.fragment().is_none());
        if name == "resource" && !is_uri {
            return Err(Fault::new(
                "invalid_target",
                format!("resource: {value} is not an absolute URI without fragment"),
            ));
        }
        if registry.resource(value).is_none() {
            return Err(Fault::new(
                "invalid_target",
                format!("{name}: {value} is not known here"),
            ));
        }
        named.push(value.clone());
    }
    Ok(match named.as_slice() {
        [] => json!(issuer(ask.world)),
        [one] => json!(one),
        many => json!(many),
    })
}
