//! Why there was no HTTP response: the host's codes as the engine's kinds, and in words for people.

use edgepass_core::{HttpError, HttpErrorKind};

use crate::bindings::wasi::http::types::{ErrorCode, TlsAlertReceivedPayload};

/// TLS alerts (RFC 8446 section 6) by which a server refuses a client's certificate or the lack of one.
///
/// `handshake_failure` is among them because TLS 1.2 servers answer a missing client certificate with it.
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
pub(crate) fn describe(code: &ErrorCode) -> HttpError {
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

        ErrorCode::ConnectionTerminated => (HttpErrorKind::Reset, ""),

        ErrorCode::ConnectionTimeout => (HttpErrorKind::Timeout, "no connection in time"),
        ErrorCode::ConnectionReadTimeout => (HttpErrorKind::Timeout, "nothing came back in time"),
        ErrorCode::ConnectionWriteTimeout => (HttpErrorKind::Timeout, "nothing was taken in time"),
        ErrorCode::HttpResponseTimeout => (HttpErrorKind::Timeout, "no response in time"),

        ErrorCode::TlsCertificateError => (HttpErrorKind::ServerCertificate, ""),
        ErrorCode::TlsAlertReceived(payload) => return alert(payload),
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

fn alert(payload: &TlsAlertReceivedPayload) -> HttpError {
    let (kind, detail) = match payload.alert_id {
        Some(CERTIFICATE_REQUIRED) => (
            HttpErrorKind::ClientCertificate,
            "TLS alert 116, certificate required".to_owned(),
        ),
        Some(id) => match CLIENT_CERTIFICATE_ALERTS
            .iter()
            .find(|(alert, _)| *alert == id)
        {
            Some((_, name)) => (
                HttpErrorKind::ClientCertificate,
                format!("TLS alert {id}, {name}"),
            ),
            None => (HttpErrorKind::Tls, format!("TLS alert {id}")),
        },
        None => (HttpErrorKind::Tls, "the server ended it".to_owned()),
    };
    HttpError { kind, detail }
}

#[cfg(test)]
mod tests {
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
            (received(116), HttpErrorKind::ClientCertificate),
            (received(48), HttpErrorKind::ClientCertificate),
            (received(80), HttpErrorKind::Tls),
        ];
        for (code, kind) in table {
            assert_eq!(describe(&code).kind, kind, "{code:?}");
        }
    }

    #[test]
    fn the_detail_is_in_words() {
        let code = ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("NXDOMAIN".to_owned()),
            info_code: None,
        });
        assert_eq!(describe(&code).detail, "NXDOMAIN");
        assert_eq!(
            describe(&received(42)).detail,
            "TLS alert 42, bad certificate"
        );
        assert_eq!(
            describe(&ErrorCode::ConnectionRefused).detail,
            "connection refused"
        );
        assert_eq!(
            describe(&ErrorCode::TlsCertificateError).detail,
            "",
            "its kind says it all"
        );
    }
}
