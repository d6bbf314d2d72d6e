//! Why a TLS handshake failed, in words for people. The codes of `wasi:http` say that it did and not why, and a log that
//! nobody reads is no place for what somebody has to repair.

use std::time::Duration;

use edgepass_core::HttpErrorKind;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use wasmtime_wasi_http::Error;

/// Names of a certificate that are listed.
const MAX_NAMES: usize = 5;

/// The error that a component gets: [`HttpErrorKind::REASONS`] says in which form.
pub(crate) fn error(failure: &TlsError) -> Error {
    let (kind, reason) = match failure {
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => (
            HttpErrorKind::Tls,
            "the server does not speak HTTP/1.1, by which requests go out".to_owned(),
        ),
        TlsError::AlertReceived(alert) => {
            return Error::TlsAlertReceived {
                alert_id: Some(u8::from(*alert)),
                alert_message: Some(format!("{alert:?}")),
            };
        }
        TlsError::InvalidCertificate(reason) => certificate(reason),
        TlsError::InvalidMessage(_) => (
            HttpErrorKind::Tls,
            "what answers there does not speak TLS".to_owned(),
        ),
        TlsError::PeerIncompatible(reason) => (
            HttpErrorKind::Tls,
            format!("this host and the server have no version or cipher in common ({reason:?})"),
        ),
        other => (HttpErrorKind::Tls, other.to_string()),
    };
    let words = HttpErrorKind::REASONS.iter();
    let word = words
        .filter(|(_, known)| *known == kind)
        .map(|(word, _)| word)
        .next_back();
    Error::InternalError(Some(format!(
        "{}: {reason}",
        word.unwrap_or(&"tls-handshake")
    )))
}

/// The same in words that continue the name of the server.
pub(crate) fn of_a_server(failure: &TlsError) -> String {
    match failure {
        TlsError::AlertReceived(alert) => {
            format!("ended the TLS handshake with the alert {alert:?}")
        }
        TlsError::InvalidCertificate(reason) => {
            let (kind, reason) = certificate(reason);
            let what = match kind {
                HttpErrorKind::ServerName => "for another name",
                HttpErrorKind::ServerCertificate => "that is not trusted",
                HttpErrorKind::ServerCertificateDate => "outside its validity",
                _ => "that cannot be accepted",
            };
            let joint = if reason.is_empty() { "" } else { ": " };
            format!("has a certificate {what}{joint}{reason}")
        }
        TlsError::InvalidMessage(_) => "does not speak TLS on that port".to_owned(),
        TlsError::PeerIncompatible(reason) => {
            format!("has no version or cipher of TLS in common with this host ({reason:?})")
        }
        other => format!("failed in the TLS handshake: {other}"),
    }
}

fn certificate(reason: &CertificateError) -> (HttpErrorKind, String) {
    use CertificateError as E;
    use HttpErrorKind as Kind;
    let unfit = |what: &str| (Kind::ServerCertificateUnfit, what.to_owned());
    match reason {
        E::ExpiredContext { time, not_after } => (
            Kind::ServerCertificateDate,
            format!("it expired {} ago", since(*not_after, *time)),
        ),
        E::Expired => (Kind::ServerCertificateDate, "it has expired".to_owned()),
        E::NotValidYetContext { time, not_before } => (
            Kind::ServerCertificateDate,
            format!("it becomes valid in {}", since(*time, *not_before)),
        ),
        E::NotValidYet => (
            Kind::ServerCertificateDate,
            "it is not valid yet".to_owned(),
        ),
        E::NotValidForNameContext { presented, .. } => (Kind::ServerName, names(presented)),
        E::NotValidForName => (Kind::ServerName, String::new()),
        E::UnknownIssuer => (
            Kind::ServerCertificate,
            "it signed itself, or an authority that this host does not know signed it".to_owned(),
        ),
        E::BadSignature => (
            Kind::ServerCertificate,
            "a signature in its chain is wrong: an authority of that name has another key"
                .to_owned(),
        ),
        E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            Kind::ServerCertificate,
            "a signature in its chain is of another kind than the key of its authority here: an authority of that name has \
             another key"
                .to_owned(),
        ),
        E::UnsupportedSignatureAlgorithmContext { .. } => unfit(
            "a signature in its chain was made in a way that is not taken here, as those with SHA-1 are not",
        ),
        E::Revoked => unfit("it was revoked"),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            unfit("its extended key usage is not that of TLS servers")
        }
        E::BadEncoding => unfit("it cannot be read"),
        // the errors of the verifier's own have no type that could be named here
        E::Other(other) => match format!("{other:?}") {
            text if text.contains("CaUsedAsEndEntity") => unfit(
                "it is the certificate of an authority (CA:TRUE), which no server may present as its own",
            ),
            text if text.contains("UnsupportedCertVersion") => {
                unfit("it is of X.509 version 1, which has no names of servers")
            }
            _ => unfit(&reason.to_string()),
        },
        other => {
            // some of them are only there to be debugged, with all that is in them
            let text = other.to_string();
            unfit(text.split([' ', '{', '(']).next().unwrap_or_default())
        }
    }
}

fn names(presented: &[String]) -> String {
    let mut names: Vec<&str> = presented
        .iter()
        .take(MAX_NAMES)
        .map(|name| plain(name))
        .collect();
    if presented.len() > MAX_NAMES {
        names.push("more");
    }
    match names.as_slice() {
        [] => "it has no subject alternative name, and the common name does not count".to_owned(),
        names => format!("it is for {}", names.join(", ")),
    }
}

/// A name is shown by its verifier as `DnsName("login.example")` or the like.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn since(from: UnixTime, to: UnixTime) -> String {
    between(
        Duration::from_secs(from.as_secs()),
        Duration::from_secs(to.as_secs()),
    )
}

/// The time between two moments of the Unix epoch, for people.
pub(crate) fn between(from: Duration, to: Duration) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{InvalidMessage, PeerIncompatible};

    use super::*;

    fn text(failure: &TlsError) -> String {
        match error(failure) {
            Error::InternalError(Some(text)) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_reason_is_said_in_the_form_that_the_component_reads() {
        use CertificateError as E;
        let at = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
        for (reason, expected) in [
            (E::Expired, "tls-certificate-date: it has expired"),
            (
                E::ExpiredContext {
                    time: at(1_000_000),
                    not_after: at(1_000_000 - 3 * 86_400),
                },
                "tls-certificate-date: it expired 3 days ago",
            ),
            (
                E::NotValidYetContext {
                    time: at(1_000_000),
                    not_before: at(1_000_000 + 600),
                },
                "tls-certificate-date: it becomes valid in 10 min",
            ),
            (
                E::NotValidForNameContext {
                    expected: ServerName::try_from("login.example").unwrap(),
                    presented: vec![r#"DnsName("a.example")"#.into(), "b.example".into()],
                },
                "tls-certificate-name: it is for a.example, b.example",
            ),
            (
                E::NotValidForNameContext {
                    expected: ServerName::try_from("login.example").unwrap(),
                    presented: Vec::new(),
                },
                "tls-certificate-name: it has no subject alternative name",
            ),
            (
                E::UnknownIssuer,
                "tls-certificate-untrusted: it signed itself, or",
            ),
            (E::BadSignature, "tls-certificate-untrusted: a signature"),
            (
                E::UnsupportedSignatureAlgorithmForPublicKeyContext {
                    signature_algorithm_id: vec![6, 8],
                    public_key_algorithm_id: vec![6, 9],
                },
                "tls-certificate-untrusted: a signature in its chain is of another kind",
            ),
            (
                E::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: vec![6, 8],
                    supported_algorithms: Vec::new(),
                },
                "tls-certificate-unfit: a signature in its chain was made",
            ),
            (E::Revoked, "tls-certificate-unfit: it was revoked"),
            (
                E::InvalidPurpose,
                "tls-certificate-unfit: its extended key usage",
            ),
            (E::BadEncoding, "tls-certificate-unfit: it cannot be read"),
            (E::UnhandledCriticalExtension, "tls-certificate-unfit: "),
        ] {
            let text = text(&TlsError::InvalidCertificate(reason));
            assert!(text.starts_with(expected), "{text}");
        }
        for (failure, expected) in [
            (
                TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
                "tls-handshake: what answers there does not speak TLS",
            ),
            (
                TlsError::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "tls-handshake: this host and the server have no version",
            ),
            (TlsError::NoCertificatesPresented, "tls-handshake: "),
            (
                TlsError::AlertReceived(AlertDescription::HandshakeFailure),
                "TlsAlertReceived",
            ),
            (
                TlsError::AlertReceived(AlertDescription::NoApplicationProtocol),
                "tls-handshake: the server does not speak HTTP/1.1",
            ),
        ] {
            let text = text(&failure);
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
