//! Envoy's own answers to a call. A call that failed on the way is not reported as such: the filter gets a response
//! with a status and a text of Envoy's making, and must not take it for the token server's.

use edgepass_core::{HttpError, HttpErrorKind};

/// What Envoy writes, and what it means; the first that fits counts. The detail is what is known beyond the kind.
///
/// Since 1.38 the text of a connection that was not made leaves out whether that was TCP or TLS, and why.
const TEXTS: [(&str, HttpErrorKind, &str); 11] = [
    (
        "CERTIFICATE_VERIFY_FAILED",
        HttpErrorKind::ServerCertificate,
        "",
    ),
    ("verify cert failed", HttpErrorKind::ServerCertificate, ""),
    ("SSLV3_ALERT", HttpErrorKind::ClientCertificate, ""),
    ("TLS_error", HttpErrorKind::Tls, ""),
    ("TLS error", HttpErrorKind::Tls, ""),
    ("upstream request timeout", HttpErrorKind::Timeout, ""),
    (
        "connection timeout",
        HttpErrorKind::Timeout,
        "no connection in time",
    ),
    (
        "connection failure",
        HttpErrorKind::Connect,
        "Envoy does not say whether TCP or TLS failed, but the counters `ssl` and `upstream_cx_connect_fail` of its cluster do",
    ),
    (
        "no healthy upstream",
        HttpErrorKind::Connect,
        "the cluster has no healthy endpoint; its name may not resolve",
    ),
    ("protocol error", HttpErrorKind::Protocol, "not valid HTTP"),
    (
        "upstream connect error or disconnect/reset before headers",
        HttpErrorKind::Reset,
        "",
    ),
];

/// The failure that a response stands for, if it is one of Envoy's own. `from_server` is whether a server's headers
/// are on it.
pub(crate) fn failure(status: u16, from_server: bool, body: &[u8]) -> Option<HttpError> {
    if from_server || !matches!(status, 502..=504) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let known = TEXTS.iter().find(|(what, ..)| text.contains(what));
    let (kind, detail) = known.map_or(
        (HttpErrorKind::Other, "Envoy could not complete the call"),
        |(_, kind, detail)| (*kind, *detail),
    );
    Some(HttpError {
        kind,
        detail: detail.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_own_503_is_an_answer() {
        assert_eq!(failure(503, true, b"no healthy upstream"), None);
        assert_eq!(failure(400, false, b"no healthy upstream"), None);
    }

    #[test]
    fn envoys_texts_have_their_kinds() {
        let kind = |text: &str| failure(503, false, text.as_bytes()).unwrap().kind;
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
