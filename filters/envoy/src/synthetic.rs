//! Envoy's own answers to a call. A call that failed on the way is not reported as such: the filter gets a response
//! with a status and a text of Envoy's making, and must not take it for the token server's.

use edgepass_core::{HttpError, HttpErrorKind};

/// What Envoy writes, and what it means. The first that fits counts.
const TEXTS: [(&str, HttpErrorKind, &str); 12] = [
    (
        "CERTIFICATE_VERIFY_FAILED",
        HttpErrorKind::ServerCertificate,
        "its certificate is not trusted, or is for another name",
    ),
    (
        "verify cert failed",
        HttpErrorKind::ServerCertificate,
        "its certificate is not trusted, or is for another name",
    ),
    (
        "CERTIFICATE_REQUIRED",
        HttpErrorKind::ClientCertificate,
        "it requires a client certificate",
    ),
    (
        "SSLV3_ALERT",
        HttpErrorKind::ClientCertificate,
        "it refused the TLS handshake with an alert",
    ),
    ("TLS_error", HttpErrorKind::Tls, "the TLS handshake failed"),
    ("TLS error", HttpErrorKind::Tls, "the TLS handshake failed"),
    (
        "upstream request timeout",
        HttpErrorKind::Timeout,
        "no response in time",
    ),
    (
        "connection timeout",
        HttpErrorKind::Timeout,
        "no connection in time",
    ),
    (
        "connection failure",
        HttpErrorKind::Connect,
        "the connection was refused or cannot be made",
    ),
    (
        "no healthy upstream",
        HttpErrorKind::Connect,
        "the cluster has no healthy endpoint; does its name resolve?",
    ),
    (
        "protocol error",
        HttpErrorKind::Protocol,
        "the response is not valid HTTP",
    ),
    (
        "upstream connect error or disconnect/reset before headers",
        HttpErrorKind::Reset,
        "the connection broke off",
    ),
];

/// The failure that a response stands for, if it is one of Envoy's own. `from_upstream` is whether a server's headers
/// are on it.
pub(crate) fn failure(
    peer: &str,
    status: u16,
    from_upstream: bool,
    body: &[u8],
) -> Option<HttpError> {
    if from_upstream || !matches!(status, 502..=504) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let known = TEXTS.iter().find(|(what, ..)| text.contains(what));
    let (kind, cause) = known.map_or(
        (HttpErrorKind::Other, "Envoy could not complete the call"),
        |(_, kind, cause)| (*kind, *cause),
    );
    Some(HttpError {
        kind,
        detail: format!("{peer}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_own_503_is_an_answer() {
        assert_eq!(failure("h", 503, true, b"no healthy upstream"), None);
        assert_eq!(failure("h", 400, false, b"no healthy upstream"), None);
    }

    #[test]
    fn envoys_texts_have_their_kinds() {
        let kind = |text: &str| {
            let error = failure("login.example", 503, false, text.as_bytes()).unwrap();
            assert!(
                error.detail.starts_with("login.example: "),
                "{}",
                error.detail
            );
            error.kind
        };
        let reset = "upstream connect error or disconnect/reset before headers. reset reason: ";
        for (reason, expected) in [
            (
                "remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
                HttpErrorKind::ServerCertificate,
            ),
            (
                "remote connection failure, transport failure reason: delayed connect error: Connection refused",
                HttpErrorKind::Connect,
            ),
            ("connection termination", HttpErrorKind::Reset),
            ("protocol error", HttpErrorKind::Protocol),
            ("connection timeout", HttpErrorKind::Timeout),
        ] {
            assert_eq!(kind(&format!("{reset}{reason}")), expected, "{reason}");
        }
        assert_eq!(kind("upstream request timeout"), HttpErrorKind::Timeout);
        assert_eq!(kind("no healthy upstream"), HttpErrorKind::Connect);
        assert_eq!(kind("something new"), HttpErrorKind::Other);
    }
}
