//! A machine elsewhere that Azure Arc manages. Its agent wants to see that whoever asks may read a file that it has just
//! written: the 401 names the file, and the second request has what is in it.
//!
//! The name comes over http, so it is taken for nothing but one of the agent's own files.

use super::beside::{IDENTITY_ENDPOINT, Platform};
use super::source::SourceName;
use crate::config::place::Place;
use crate::credential::Failure;
use crate::effect::{HttpResponse, ReadError};
use crate::flow::Io;
use crate::needs::{FilePattern, Purpose, Scheme};
use crate::{Error, ErrorClass, Secret};

pub(super) const IMDS_ENDPOINT: &str = "IMDS_ENDPOINT";

pub(super) const PLATFORM: Platform = Platform {
    name: SourceName::AzureArc,
    title: "Azure Arc",
    endpoint: IDENTITY_ENDPOINT,
    usual_endpoint: Some("http://localhost:40342/metadata/identity/oauth2/token"),
    scheme: Scheme::LinkLocalHttp,
    purpose: Purpose::ManagedIdentity,
    api_version: Some("2020-06-01"),
    metadata: true,
    secret: None,
    ids: &[],
    usual_client_id: None,
    // an agent that does not know the parameter ignores it, and gives the token of another identity
    limits: "has the system-assigned identity alone",
    thumbprint: None,
    challenges: true,
    stranger: "the agent did not take what its own file says: look at the log of the service himds, and restart it",
};

/// The folder of the agent's files on Linux.
const LINUX_DIRECTORY: &str = "/var/opt/azcmagent/tokens";

/// The same on Windows, below the folder that this variable names, which Windows alone has.
const WINDOWS_VARIABLE: &str = "ProgramData";
const WINDOWS_DIRECTORY: &str = r"\AzureConnectedMachineAgent\Tokens";

/// How their names end.
const SUFFIX: &str = ".key";

/// The longest of them, bytes: MSAL's and the Azure SDKs' bound.
const MAX_KEY_BYTES: usize = 4096;

/// The files that a challenge may name.
pub(super) fn keys(place: &Place<'_>) -> FilePattern {
    let directory = match place.variable_alone(WINDOWS_VARIABLE) {
        Some(folder) => format!(
            "{}{WINDOWS_DIRECTORY}",
            folder.trim_end_matches(['/', '\\'])
        ),
        None => LINUX_DIRECTORY.to_owned(),
    };
    FilePattern::Directory {
        directory,
        suffix: SUFFIX.to_owned(),
    }
}

/// What a challenge is answered with.
pub(super) struct Key {
    pub(super) header: Secret,
    pub(super) content: Secret,
}

/// Why there is none, after "Azure Arc's agent".
struct NoKey {
    why: String,
    hint: Option<&'static str>,
    retryable: bool,
}

impl NoKey {
    fn new(why: impl Into<String>, hint: Option<&'static str>) -> Self {
        Self {
            why: why.into(),
            hint,
            retryable: false,
        }
    }
}

/// The content of the file that the challenge names.
pub(super) async fn key(
    io: &Io,
    keys: &FilePattern,
    challenge: &HttpResponse,
) -> Result<Key, Failure> {
    let NoKey {
        why,
        hint,
        retryable,
    } = match content(io, keys, challenge).await {
        Ok(content) => {
            return Ok(Key {
                header: Secret::new(format!("Basic {}", content.expose())),
                content,
            });
        }
        Err(none) => none,
    };
    let message = format!("Azure Arc's agent {why}");
    let error = Error::new(ErrorClass::CredentialUnavailable, message);
    Err(error
        .edit(|detail| {
            detail.hint = hint.map(str::to_owned);
            detail.retryable = retryable;
        })
        .into())
}

async fn content(io: &Io, keys: &FilePattern, challenge: &HttpResponse) -> Result<Secret, NoKey> {
    let headers = challenge.headers.iter();
    let mut challenges = headers.filter(|(name, _)| name == "www-authenticate");
    let Some(path) = challenges.find_map(|(_, value)| realm(value)) else {
        return Err(NoKey::new(
            "refused, and named no file to prove the caller by",
            Some(
                "look at what listens at IDENTITY_ENDPOINT: the agent answers 401 with `WWW-Authenticate: Basic realm=<file>`",
            ),
        ));
    };
    if !keys.matches(path) {
        return Err(NoKey::new(
            "named a file that is none of its own, which was not read",
            Some(
                "look at what listens at IDENTITY_ENDPOINT: the agent's files are *.key in /var/opt/azcmagent/tokens, on Windows in %ProgramData%\\AzureConnectedMachineAgent\\Tokens",
            ),
        ));
    }
    let too_large = || {
        let why = format!("named a file that is larger than {MAX_KEY_BYTES} bytes");
        NoKey::new(why, None)
    };
    let bytes = io.read_file(path).await.map_err(|error| {
        let (reason, hint, retryable) = match error {
            ReadError::TooLarge(_) => return too_large(),
            ReadError::NotFound => (
                "there is no such file".to_owned(),
                Some("the agent and this process must see the same files: a container needs the folder mounted"),
                true,
            ),
            ReadError::Denied(reason) => (
                reason,
                Some("make the user of this process a member of the group himds, on Windows of Hybrid agent extension applications"),
                false,
            ),
            ReadError::Other(reason) => (reason, None, true),
        };
        NoKey {
            why: format!("named a file that cannot be read: {reason}"),
            hint,
            retryable,
        }
    })?;
    if bytes.len() > MAX_KEY_BYTES {
        return Err(too_large());
    }
    let text = std::str::from_utf8(bytes.expose()).unwrap_or_default();
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NoKey::new("named a file with no key in it", None));
    }
    Ok(Secret::new(key))
}

/// The file of the first `Basic realm=<file>` among the challenges of a header (RFC 9110 section 11.6.1). No name of a file of
/// the agent's has a comma in it, and on Windows each has what a quoted string would take for an escape.
fn realm(challenges: &str) -> Option<&str> {
    challenges.split(',').find_map(realm_of_one)
}

fn realm_of_one(challenge: &str) -> Option<&str> {
    const BEFORE: &str = "basic realm=";
    let challenge = challenge.trim();
    let (before, path) = challenge.split_at_checked(BEFORE.len())?;
    let path = path.trim();
    let bare = path
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    before
        .eq_ignore_ascii_case(BEFORE)
        .then_some(bare.unwrap_or(path))
        .filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_one_file() {
        for (challenge, file) in [
            ("Basic realm=/a/b.key", Some("/a/b.key")),
            ("basic REALM=\"/a/b.key\"", Some("/a/b.key")),
            (" Basic realm=/a/b=c.key ", Some("/a/b=c.key")),
            ("Negotiate, Basic realm=/a/b.key", Some("/a/b.key")),
            ("Basic realm=/a/b.key,Negotiate", Some("/a/b.key")),
            (
                r#"Bearer realm="x", error="y", Basic realm="C:\a\b.key", charset="UTF-8""#,
                Some(r"C:\a\b.key"),
            ),
            ("Basic realm=, Basic realm=/a/b.key", Some("/a/b.key")),
            ("Negotiate", None),
            ("Basic realm=", None),
            ("Basic realm", None),
            ("Bearer realm=/a/b.key", None),
            ("", None),
        ] {
            assert_eq!(realm(challenge), file, "{challenge:?}");
        }
    }
}
