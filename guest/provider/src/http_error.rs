//! Why there was no HTTP response: the host's codes as the engine's kinds, and in words for people.

use edgepass_core::{HttpError, HttpErrorKind, Via};

use crate::bindings::wasi::http::types::{ErrorCode, TlsAlertReceivedPayload};

/// TLS alerts (RFC 8446 section 6) by which a server refuses a client's certificate. Where none was presented they mean
/// something else, but for `handshake_failure` and `bad_certificate`, with which some TLS 1.2 servers answer the lack of
/// one.
const CLIENT_CERTIFICATE_ALERTS: [(u8, &str); 8] = [
    (40, "handshake failure"),
    (42, "bad certificate"),
    (43, "unsupported certificate"),
    (44, "certificate revoked"),
    (45, "certificate expired"),
    (46, "certificate unknown"),
    (48, "unknown certificate authority"),
    (49, "access denied"),
];

/// `certificate_required`, which only TLS 1.3 has: the one alert that says that no certificate was sent.
const CERTIFICATE_REQUIRED: u8 = 116;

/// What the host reported about a request. The kind says most of it, and the engine puts the server's name to it; the
/// detail is what the host knows beyond that, often nothing.
pub(crate) fn describe(code: &ErrorCode, via: Via) -> HttpError {
    let (kind, detail) = match code {
        ErrorCode::DnsTimeout => (HttpErrorKind::Dns, "the name server did not answer in time"),
        ErrorCode::DnsError(payload) => {
            return HttpError {
                kind: HttpErrorKind::Dns,
                detail: payload.rcode.clone().unwrap_or_default(),
            };
        }

        ErrorCode::ConnectionRefused => (HttpErrorKind::Connect, "connection refused"),
        ErrorCode::DestinationNotFound => (HttpErrorKind::Connect, "destination not found"),
        ErrorCode::DestinationUnavailable => (HttpErrorKind::Connect, "destination unavailable"),
        ErrorCode::DestinationIpUnroutable => (HttpErrorKind::Connect, "no route to its address"),
        ErrorCode::ConnectionLimitReached => {
            (HttpErrorKind::Connect, "the host has too many connections")
        }

        // no request has left
        ErrorCode::ConnectionTimeout => (HttpErrorKind::Connect, "nothing answered in time"),

        ErrorCode::ConnectionTerminated => (HttpErrorKind::Reset, ""),

        ErrorCode::ConnectionReadTimeout => (HttpErrorKind::Timeout, "nothing came back in time"),
        ErrorCode::ConnectionWriteTimeout => (HttpErrorKind::Timeout, "nothing was taken in time"),
        ErrorCode::HttpResponseTimeout => (HttpErrorKind::Timeout, "no response in time"),

        ErrorCode::TlsCertificateError => (HttpErrorKind::ServerCertificate, ""),
        ErrorCode::TlsAlertReceived(payload) => return alert(payload, via),
        ErrorCode::TlsProtocolError => (HttpErrorKind::Tls, ""),

        ErrorCode::HttpRequestDenied => (HttpErrorKind::Denied, ""),
        ErrorCode::DestinationIpProhibited => (HttpErrorKind::Denied, "its address is prohibited"),

        ErrorCode::HttpResponseBodySize(_) => (HttpErrorKind::BodyTooLarge, ""),

        ErrorCode::HttpProtocolError => (HttpErrorKind::Protocol, "not valid HTTP"),
        ErrorCode::HttpResponseIncomplete => (HttpErrorKind::Protocol, "cut short"),
        ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => {
            (HttpErrorKind::Protocol, "its headers are too large")
        }
        ErrorCode::HttpResponseTransferCoding(_) | ErrorCode::HttpResponseContentCoding(_) => {
            (HttpErrorKind::Protocol, "its coding is unknown")
        }
        ErrorCode::HttpUpgradeFailed => (HttpErrorKind::Protocol, "it wants another protocol"),

        ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => {
            (HttpErrorKind::Other, "the host cannot send such a request")
        }
        ErrorCode::LoopDetected => (HttpErrorKind::Other, "the host detected a loop"),
        ErrorCode::ConfigurationError => (
            HttpErrorKind::Other,
            "the host's HTTP client is misconfigured",
        ),
        ErrorCode::InternalError(message) => {
            let message = message.as_deref().unwrap_or("no reason given");
            let reason = HttpErrorKind::REASONS.iter().find_map(|(word, kind)| {
                let detail = message.strip_prefix(word)?.strip_prefix(": ")?.to_owned();
                Some(HttpError {
                    kind: *kind,
                    detail,
                })
            });
            if let Some(reason) = reason {
                return reason;
            }
            return HttpError {
                kind: HttpErrorKind::Other,
                detail: format!("the host's HTTP client failed: {message}"),
            };
        }
    };
    HttpError {
        kind,
        detail: detail.to_owned(),
    }
}

fn alert(payload: &TlsAlertReceivedPayload, via: Via) -> HttpError {
    let Some(id) = payload.alert_id else {
        return HttpError {
            kind: HttpErrorKind::Tls,
            detail: "the server ended it".to_owned(),
        };
    };
    let name = CLIENT_CERTIFICATE_ALERTS
        .iter()
        .find(|(alert, _)| *alert == id)
        .map(|(_, name)| *name);
    let presented = matches!(via, Via::Certificate(_));
    let (kind, meaning) = match (id, name) {
        (CERTIFICATE_REQUIRED, _) if presented => (
            HttpErrorKind::ClientCertificate,
            ", certificate required: the server got none, although this identity has one",
        ),
        (CERTIFICATE_REQUIRED, _) => (HttpErrorKind::NoClientCertificate, ", certificate required"),
        (_, Some(_)) if presented => (HttpErrorKind::ClientCertificate, ""),
        (40 | 42, _) => (
            HttpErrorKind::Tls,
            "; it has no version or cipher in common with this host, or wants a client certificate",
        ),
        _ => (HttpErrorKind::Tls, ""),
    };
    let name = name.map(|name| format!(", {name}")).unwrap_or_default();
    HttpError {
        kind,
        detail: format!("TLS alert {id}{name}{meaning}"),
    }
}

#[cfg(test)]
mod tests {
    use edgepass_core::CertificateHandle;

    use super::*;
    use crate::bindings::wasi::http::types::DnsErrorPayload;

    fn received(alert_id: u8) -> ErrorCode {
        ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some(alert_id),
            alert_message: None,
        })
    }

    #[test]
    fn each_code_has_its_kind() {
        let table = [
            (ErrorCode::DnsTimeout, HttpErrorKind::Dns),
            (
                ErrorCode::DnsError(DnsErrorPayload {
                    rcode: None,
                    info_code: None,
                }),
                HttpErrorKind::Dns,
            ),
            (ErrorCode::ConnectionRefused, HttpErrorKind::Connect),
            (ErrorCode::DestinationUnavailable, HttpErrorKind::Connect),
            (ErrorCode::ConnectionTimeout, HttpErrorKind::Connect),
            (ErrorCode::ConnectionTerminated, HttpErrorKind::Reset),
            (
                ErrorCode::TlsCertificateError,
                HttpErrorKind::ServerCertificate,
            ),
            (ErrorCode::TlsProtocolError, HttpErrorKind::Tls),
            (ErrorCode::ConnectionReadTimeout, HttpErrorKind::Timeout),
            (ErrorCode::HttpResponseTimeout, HttpErrorKind::Timeout),
            (ErrorCode::HttpRequestDenied, HttpErrorKind::Denied),
            (
                ErrorCode::HttpResponseBodySize(Some(7)),
                HttpErrorKind::BodyTooLarge,
            ),
            (ErrorCode::HttpProtocolError, HttpErrorKind::Protocol),
            (ErrorCode::HttpResponseIncomplete, HttpErrorKind::Protocol),
            (ErrorCode::InternalError(None), HttpErrorKind::Other),
            (received(80), HttpErrorKind::Tls),
        ];
        for (code, kind) in table {
            assert_eq!(describe(&code, Via::Public).kind, kind, "{code:?}");
        }
    }

    #[test]
    fn no_certificate_is_blamed_that_was_not_presented() {
        let certificate = Via::Certificate(CertificateHandle(1));
        for id in 0..=u8::MAX {
            let (public, bound) = (
                describe(&received(id), Via::Public).kind,
                describe(&received(id), certificate).kind,
            );
            assert_ne!(public, HttpErrorKind::ClientCertificate, "{id}");
            assert_ne!(bound, HttpErrorKind::NoClientCertificate, "{id}");
            let of_certificates = matches!(id, 40 | 42..=46 | 48 | 49 | 116);
            assert_eq!(
                bound == HttpErrorKind::ClientCertificate,
                of_certificates,
                "{id}"
            );
            assert_eq!(
                public == HttpErrorKind::NoClientCertificate,
                id == 116,
                "{id}"
            );
        }
        let told = describe(&received(40), Via::Public).detail;
        assert!(
            told.starts_with("TLS alert 40, handshake failure; it has"),
            "{told}"
        );
    }

    #[test]
    fn a_host_may_say_why_a_handshake_failed() {
        for &(word, kind) in HttpErrorKind::REASONS {
            let code = ErrorCode::InternalError(Some(format!("{word}: because")));
            let error = describe(&code, Via::Public);
            assert_eq!((error.kind, error.detail.as_str()), (kind, "because"));
        }
        let code = ErrorCode::InternalError(Some("tls-unheard-of: x".to_owned()));
        assert_eq!(describe(&code, Via::Public).kind, HttpErrorKind::Other);
    }

    #[test]
    fn the_detail_is_in_words() {
        let code = ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("NXDOMAIN".to_owned()),
            info_code: None,
        });
        assert_eq!(describe(&code, Via::Public).detail, "NXDOMAIN");
        assert_eq!(
            describe(&received(42), Via::Certificate(CertificateHandle(1))).detail,
            "TLS alert 42, bad certificate"
        );
        assert_eq!(
            describe(&ErrorCode::ConnectionRefused, Via::Public).detail,
            "connection refused"
        );
        assert_eq!(
            describe(&ErrorCode::TlsCertificateError, Via::Public).detail,
            "",
            "its kind says it all"
        );
    }
}
