//! RFC 7523 section 2.1: a JWT as authorization grant.

use serde_json::{Value, json};

use super::subject::verify;
use super::{Ask, Fault, Issue, issuer};

/// Gives an access token about the assertion's subject.
pub(super) fn exchange(ask: &Ask<'_>) -> Result<Value, Fault> {
    let assertion = ask.form.require("assertion")?;
    let verified = verify(ask, "assertion", "invalid_grant", assertion)?;
    // section 3: it must be meant for this server
    let own = issuer(ask.world);
    let endpoint = format!("{own}/token");
    if !verified
        .audiences
        .iter()
        .any(|one| *one == own || *one == endpoint)
    {
        return Err(Fault::new(
            "invalid_grant",
            format!(
                "assertion: its 'aud' is {:?} and not {own}",
                verified.audiences
            ),
        ));
    }
    let scope = ask.form.get("scope");
    let issue = Issue {
        subject: &verified.subject,
        audience: json!(own),
        scope,
        actor: None,
    };
    let (token, life) = ask.issue(&issue)?;
    let mut answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": life });
    if let (Some(scope), Some(fields)) = (scope, answer.as_object_mut()) {
        fields.insert("scope".into(), json!(scope));
    }
    Ok(answer)
}
