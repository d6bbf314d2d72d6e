//! The keys that a server publishes, kept for a while.

use crate::authority::Endpoint;
use crate::credential::discovery::check_in_confidence;
use crate::credential::kept::{self, Fresh};
use crate::credential::platform::{Question, Server};
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{
    KEY_SET_PAUSE_MS, MAX_KEY_SETS, MAX_KEYS, METADATA_LIFETIME_MS, METADATA_RENEWAL_MS,
};
use crate::needs::{Purpose, Scheme};
use crate::retry::{Attempts, Next};
use crate::{Error, ErrorClass, Secret, SecretBytes};

/// What to do where nothing more is known.
const CHECK: &str =
    "check the server's jwks_uri and the way to its host; redirects are not followed";

/// How the keys of what is kept here begin.
const KEYS: &str = "keys";

/// How often it is asked for where that fails.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Tries {
    /// Whoever asks comes again by himself.
    One,
    /// Whoever waits has an answer that need not come twice.
    Several,
}

/// The set there, as text.
pub(crate) async fn kept(
    io: &Io,
    endpoint: &Endpoint,
    correlation_id: &str,
    secrets: &[Secret],
    tries: Tries,
) -> Result<Secret, Error> {
    let key = key(endpoint);
    io.bound_shelves(KEYS, &key, MAX_KEY_SETS);
    let ask = Box::pin(async { Ok(asked(io, endpoint, correlation_id, secrets, tries).await?) });
    let kept = kept::kept(io, &key, None, ask).await;
    kept.map(|kept| kept.text().clone())
        .map_err(|failure| failure.error)
}

/// The same anew, because a key is missing in it; `None` if that was done a moment ago.
pub(crate) async fn kept_anew(
    io: &Io,
    endpoint: &Endpoint,
    correlation_id: &str,
    secrets: &[Secret],
) -> Option<Result<Secret, Error>> {
    let tries = Tries::Several;
    let ask = Box::pin(async { Ok(asked(io, endpoint, correlation_id, secrets, tries).await?) });
    let kept = kept::kept_anew(io, &key(endpoint), KEY_SET_PAUSE_MS, ask).await?;
    Some(
        kept.map(|kept| kept.text().clone())
            .map_err(|failure| failure.error),
    )
}

fn key(endpoint: &Endpoint) -> String {
    format!("{KEYS} {endpoint}")
}

/// Asks for it, again where that may help.
async fn asked(
    io: &Io,
    endpoint: &Endpoint,
    correlation_id: &str,
    secrets: &[Secret],
    tries: Tries,
) -> Result<Fresh, Error> {
    let mut attempts = Attempts::default();
    loop {
        let error = match once(io, endpoint, correlation_id, secrets).await {
            Ok(fresh) => return Ok(fresh),
            Err(error) if tries == Tries::One => return Err(error),
            Err(error) => error,
        };
        let Next::After(ms) = attempts.next(&error, io) else {
            return Err(error);
        };
        io.sleep_ms(ms).await;
    }
}

async fn once(
    io: &Io,
    endpoint: &Endpoint,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<Fresh, Error> {
    let Endpoint { authority, path } = endpoint;
    let question = Question {
        who: "the keys of the server",
        server: &Server {
            scheme: Scheme::Https,
            authority: authority.clone(),
        },
        purpose: Purpose::KeySet,
        path: path.clone(),
        headers: vec![("accept", Secret::new("application/json"))],
        body: SecretBytes::default(),
        secrets,
        correlation_id,
        hint: CHECK,
    };
    let response = match question.ask(io).await {
        Ok(response) => response,
        Err(failure) if failure.error.class() == ErrorClass::CredentialUnavailable => {
            return Err(failure.error.reclassify(ErrorClass::InvalidResponse));
        }
        Err(failure) => return Err(failure.error.hint(CHECK)),
    };
    let invalid = |what: &str| {
        let message = format!("{authority}{path} {what}");
        Error::new(ErrorClass::InvalidResponse, message)
            .hint(CHECK)
            .edit(|detail| detail.http_status = Some(response.status))
    };
    let body = response.body.expose();
    check(body).map_err(|what| invalid(&what))?;
    let text = std::str::from_utf8(body).map_err(|_| invalid("is no text"))?;
    check_in_confidence(&format!("{authority}{path}"), text, secrets)?;
    Ok(Fresh {
        text: Secret::new(text),
        lifetime_ms: METADATA_LIFETIME_MS,
        refresh_in_ms: Some(METADATA_RENEWAL_MS),
        bound_to: None,
    })
}

/// Whether a text is a key set: an object with a list of keys, of which there are not too many.
fn check(text: &[u8]) -> Result<(), String> {
    let Ok(parsed) = Json::parse_answer(text) else {
        return Err("is no JSON".to_owned());
    };
    match parsed.get("keys") {
        Some(Json::List(keys)) if keys.len() <= MAX_KEYS => Ok(()),
        Some(Json::List(keys)) => Err(format!("has {} keys, and {MAX_KEYS} are taken", keys.len())),
        _ => Err("has no list `keys` (RFC 7517 section 5)".to_owned()),
    }
}
