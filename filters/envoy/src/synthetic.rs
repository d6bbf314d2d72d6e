//! Envoy's own answers to a call. A call that failed on the way is not reported as such: the filter gets a response
//! with a status and a text of Envoy's making, and must not take it for the token server's.

use edgepass_core::{HttpError, HttpErrorKind};

/// What Envoy writes, and what it means; the first that fits counts. The detail is what is known beyond the kind.
///
/// Since 1.38 the text of a connection that was not made leaves out whether that was TCP or TLS, and why.
const TEXTS: [(&str, HttpErrorKind, &str); 17] = [
    (
        "certificate has expired",
        HttpErrorKind::ServerCertificateDate,
        "it has expired",
    ),
    (
        "certificate is not yet valid",
        HttpErrorKind::ServerCertificateDate,
        "it is not valid yet",
    ),
    ("verify SAN list", HttpErrorKind::ServerName, ""),
    (
        "certificate purpose",
        HttpErrorKind::ServerCertificateUnfit,
        "it is not for TLS servers",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        HttpErrorKind::ServerCertificate,
        "",
    ),
    ("verify cert failed", HttpErrorKind::ServerCertificate, ""),
    (
        "CERTIFICATE_REQUIRED",
        HttpErrorKind::NoClientCertificate,
        "",
    ),
    ("SSLV3_ALERT", HttpErrorKind::ClientCertificate, ""),
    ("ALERT_UNKNOWN_CA", HttpErrorKind::ClientCertificate, ""),
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
/// are on it, `is_bound` whether a client certificate was presented.
pub(crate) fn failure(
    status: u16,
    from_server: bool,
    is_bound: bool,
    body: &[u8],
) -> Option<HttpError> {
    if from_server || !matches!(status, 502..=504) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let known = TEXTS.iter().find(|(what, ..)| text.contains(what));
    let (kind, detail) = match known.map(|(_, kind, detail)| (*kind, *detail)) {
        // no certificate is blamed that was not presented
        Some((HttpErrorKind::ClientCertificate, _)) if !is_bound => (
            HttpErrorKind::Tls,
            "the server ended it; it may want a client certificate",
        ),
        Some((HttpErrorKind::NoClientCertificate, _)) if is_bound => {
            (HttpErrorKind::ClientCertificate, "")
        }
        Some(known) => known,
        None => (HttpErrorKind::Other, "Envoy could not complete the call"),
    };
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
        assert_eq!(failure(503, true, false, b"no healthy upstream"), None);
        assert_eq!(failure(400, false, false, b"no healthy upstream"), None);
    }

    #[test]
    fn envoys_texts_have_their_kinds() {
        let of =
            |text: &str, is_bound| failure(503, false, is_bound, text.as_bytes()).unwrap().kind;
        let kind = |text: &str| of(text, false);
        let reset = "upstream connect error or disconnect/reset before headers. reset reason: ";
        for (reason, expected) in [
            (
                "remote connection failure, transport failure reason: TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
                HttpErrorKind::ServerCertificate,
            ),
            (
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: X509_verify_cert: certificate verification error at depth 0: certificate has expired:TLS_error_end",
                HttpErrorKind::ServerCertificateDate,
            ),
            (
                "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: verify SAN list:TLS_error_end",
                HttpErrorKind::ServerName,
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
        for (alert, public, bound) in [
            (
                "SSLV3_ALERT_HANDSHAKE_FAILURE",
                HttpErrorKind::Tls,
                HttpErrorKind::ClientCertificate,
            ),
            (
                "TLSV1_ALERT_UNKNOWN_CA",
                HttpErrorKind::Tls,
                HttpErrorKind::ClientCertificate,
            ),
            (
                "TLSV1_ALERT_CERTIFICATE_REQUIRED",
                HttpErrorKind::NoClientCertificate,
                HttpErrorKind::ClientCertificate,
            ),
        ] {
            let text = format!("{reset}TLS_error:|268436496:SSL routines:OPENSSL_internal:{alert}");
            assert_eq!(
                (of(&text, false), of(&text, true)),
                (public, bound),
                "{alert}"
            );
        }
        assert_eq!(kind("upstream request timeout"), HttpErrorKind::Timeout);
        assert_eq!(kind("no healthy upstream"), HttpErrorKind::Connect);
        assert_eq!(kind("something new"), HttpErrorKind::Other);
    }
}
