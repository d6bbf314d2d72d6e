//! A token that the platform rotates in a file: a Kubernetes projected service-account token, for example.
//!
//! The file is read at every exchange, so a rotation is seen at once and no watcher is needed. While a new token is
//! being written, or if something else stands there, the last good one serves on until it expires.

use crate::credential::{ClientAuth, Purpose, read_text};
use crate::flow::Io;
use crate::inspect::{JwtSummary, inspect_jwt};
use crate::limits::EXPIRED_ASSERTION_GRACE_MS;
use crate::{ClientAssertion, Error, ErrorClass, Secret};

const WHAT: &str = "the federated token file";

pub(super) async fn authenticate(
    io: &Io,
    path: &str,
    assertion_type: &str,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let (assertion, summary) = match read(io, path, purpose).await {
        Ok(good) => {
            io.keep_good_file(path, &good.0);
            good
        }
        Err(error) => last_good(io, path, purpose).ok_or(error)?,
    };
    Ok(ClientAuth {
        fingerprint: Some(assertion.sha256_hex()),
        assertion: Some(ClientAssertion {
            assertion,
            assertion_type: assertion_type.to_owned(),
            expires_on: summary.exp,
        }),
        presented: Some(summary),
        ..ClientAuth::default()
    })
}

async fn read(io: &Io, path: &str, purpose: &Purpose<'_>) -> Result<(Secret, JwtSummary), Error> {
    let text = read_text(io, path, WHAT).await?;
    let Some(summary) = inspect_jwt(text.expose()) else {
        return Err(Error::new(
            ErrorClass::CredentialUnavailable,
            format!("{WHAT} {path} does not hold a JWT"),
        )
        .hint("three base64url parts with dots between are expected, as Kubernetes writes them"));
    };
    if let Some(ago_s) = expired_for_s(io, &summary, purpose)
        && ago_s.saturating_mul(1000) > EXPIRED_ASSERTION_GRACE_MS
    {
        return Err(Error::new(
            ErrorClass::CredentialUnavailable,
            format!(
                "the token in {path} expired {} ago and nobody has rotated it",
                duration(ago_s)
            ),
        )
        .hint("the kubelet, or whoever writes it, has stopped; or this machine's clock is wrong"));
    }
    Ok((text, summary))
}

/// How many seconds ago it expired, by the best knowledge of the server's clock.
fn expired_for_s(io: &Io, summary: &JwtSummary, purpose: &Purpose<'_>) -> Option<u64> {
    let now = io.now();
    let server_unix_s = io
        .server_clock(&purpose.endpoint.authority)
        .estimate_ms(now)
        / 1000;
    summary
        .exp
        .filter(|exp| *exp <= server_unix_s)
        .map(|exp| server_unix_s - exp)
}

fn last_good(io: &Io, path: &str, purpose: &Purpose<'_>) -> Option<(Secret, JwtSummary)> {
    let text = io.last_good_file(path)?;
    let summary = inspect_jwt(text.expose())?;
    expired_for_s(io, &summary, purpose)
        .is_none()
        .then_some((text, summary))
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
