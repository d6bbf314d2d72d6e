//! The third leg of an agent's user account: the agent identity, proved by the
//! first leg's token, brings the second leg's for the user.
//!
//! What Entra says to most mistakes here is not known: the codes are the
//! nearest ones that it has, where no other source is named.

use serde_json::Value;

use super::delegated::{Delegation, find_user, respond};
use super::on_behalf_of::{check_expiry, check_signature, scopes};
use crate::encoding::is_guid;
use crate::errors::Refusal;
use crate::jose::Jws;
use crate::metadata::TOKEN_EXCHANGE;
use crate::request::{TokenCall, Version};
use crate::sessions::Granted;
use crate::verify::authenticate;

/// Gives the token of the agent's user account.
pub(super) fn exchange(mut ask: TokenCall<'_>) -> Result<Value, Refusal> {
    let client = authenticate(&mut ask)?;
    let client_id = client.app.client_id.clone();
    if ask.version == Version::V1 || client.app.agent_of.is_none() {
        return Err(Refusal::new(
            70_003,
            format!("The app '{client_id}' requested an unsupported grant type 'user_fic'."),
        ));
    }
    let assertion = ask
        .form
        .require("user_federated_identity_credential")?
        .to_owned();
    let token = Jws::parse(&assertion).ok_or_else(|| Refusal::plain(50_027))?;
    check_signature(&ask, &token)?;
    check_expiry(&ask, &token)?;
    if !token.audiences().contains(&TOKEN_EXCHANGE) {
        return Err(Refusal::new(
            500_131,
            format!(
                "Assertion audience does not match the Client app presenting the assertion. The \
                 audience in the assertion was '{}' and the expected audience is '{TOKEN_EXCHANGE}'.",
                token.audiences().join(" ")
            ),
        ));
    }
    if token.claim("azp") != Some(&client_id) || token.claim("tid") != Some(&ask.tenant.id) {
        return Err(Refusal::new(
            50_013,
            "Assertion is invalid: it was not issued to the agent identity that presents it.",
        ));
    }
    let name = match (ask.form.get("username"), ask.form.get("user_id")) {
        (Some(name), None) => name.to_owned(),
        (None, Some(id)) if is_guid(id) => id.to_owned(),
        // so says Entra of a user principal name here
        (None, Some(_)) => return Err(Refusal::plain(50_000)),
        (None, None) => return Err(Refusal::missing("username")),
        (Some(_), Some(_)) => {
            return Err(Refusal::new(
                9_002_313,
                "Invalid request. Request is malformed or invalid: it has 'username' and 'user_id'; one of them names the user.",
            ));
        }
    };
    let (asked, oidc) = scopes(&ask, &client_id)?;
    let user = find_user(&ask, &name, None)?;
    let agent = user.agent.as_deref().unwrap_or_default();
    if !agent.eq_ignore_ascii_case(&client_id) {
        return Err(Refusal::new(
            50_034,
            format!("The user account {name} is not one of the agent identity '{client_id}'."),
        ));
    }
    let granted = Granted {
        client_id,
        user: user.object_id.clone(),
        tenant: ask.tenant.id.clone(),
        asked: vec![asked.clone()],
        oidc,
        nonce: None,
        policy: None,
        second_factor: false,
        at: ask.call.now,
    };
    let of = Delegation {
        user,
        granted,
        asked: Some(asked),
        code: None,
    };
    respond(&ask, &client, of)
}
