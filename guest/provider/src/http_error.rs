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

/// What the host reported about a request to `authority`.
pub(crate) fn describe(authority: &str, code: &ErrorCode) -> HttpError {
    let (kind, cause) = classify(code);
    HttpError {
        kind,
        detail: format!("{authority}: {cause}"),
    }
}

fn classify(code: &ErrorCode) -> (HttpErrorKind, String) {
    let (kind, cause) = match code {
        ErrorCode::DnsTimeout => (HttpErrorKind::Dns, "the name server did not answer in time"),
        ErrorCode::DnsError(payload) => {
            let rcode = payload
                .rcode
                .as_deref()
                .map(|rcode| format!(" ({rcode})"))
                .unwrap_or_default();
            return (
                HttpErrorKind::Dns,
                format!("the name does not resolve{rcode}"),
            );
        }

        ErrorCode::ConnectionRefused => (HttpErrorKind::Connect, "the connection was refused"),
        ErrorCode::DestinationNotFound => (HttpErrorKind::Connect, "the destination was not found"),
        ErrorCode::DestinationUnavailable => {
            (HttpErrorKind::Connect, "the destination is unavailable")
        }
        ErrorCode::DestinationIpUnroutable => {
            (HttpErrorKind::Connect, "there is no route to its address")
        }
        ErrorCode::ConnectionLimitReached => {
            (HttpErrorKind::Connect, "the host has too many connections")
        }

        ErrorCode::ConnectionTerminated => (HttpErrorKind::Reset, "the connection broke off"),

        ErrorCode::ConnectionTimeout => (HttpErrorKind::Timeout, "no connection in time"),
        ErrorCode::ConnectionReadTimeout => (
            HttpErrorKind::Timeout,
            "the server sent nothing for too long",
        ),
        ErrorCode::ConnectionWriteTimeout => (
            HttpErrorKind::Timeout,
            "the server accepted nothing for too long",
        ),
        ErrorCode::HttpResponseTimeout => (HttpErrorKind::Timeout, "no response in time"),

        ErrorCode::TlsCertificateError => (
            HttpErrorKind::ServerCertificate,
            "its certificate is not trusted, or is for another name",
        ),
        ErrorCode::TlsAlertReceived(payload) => return alert(payload),
        ErrorCode::TlsProtocolError => (HttpErrorKind::Tls, "the TLS handshake failed"),

        ErrorCode::HttpRequestDenied => (
            HttpErrorKind::Denied,
            "the host's policy forbids the request",
        ),
        ErrorCode::DestinationIpProhibited => (
            HttpErrorKind::Denied,
            "the host's policy forbids its address",
        ),

        ErrorCode::HttpResponseBodySize(_) => {
            (HttpErrorKind::BodyTooLarge, "the response is too large")
        }

        ErrorCode::HttpProtocolError => (HttpErrorKind::Protocol, "the response is not valid HTTP"),
        ErrorCode::HttpResponseIncomplete => (HttpErrorKind::Protocol, "the response is cut short"),
        ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => (
            HttpErrorKind::Protocol,
            "the headers of the response are too large",
        ),
        ErrorCode::HttpResponseTransferCoding(_) | ErrorCode::HttpResponseContentCoding(_) => (
            HttpErrorKind::Protocol,
            "the coding of the response is unknown",
        ),
        ErrorCode::HttpUpgradeFailed => {
            (HttpErrorKind::Protocol, "the server wants another protocol")
        }

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
            return (
                HttpErrorKind::Other,
                format!("the host's HTTP client failed: {message}"),
            );
        }
    };
    (kind, cause.to_owned())
}

fn alert(payload: &TlsAlertReceivedPayload) -> (HttpErrorKind, String) {
    match payload.alert_id {
        Some(CERTIFICATE_REQUIRED) => {
            let cause = "the server requires a client certificate (TLS alert 116)";
            (HttpErrorKind::ClientCertificate, cause.to_owned())
        }
        Some(id) => match CLIENT_CERTIFICATE_ALERTS
            .iter()
            .find(|(alert, _)| *alert == id)
        {
            Some((_, name)) => (
                HttpErrorKind::ClientCertificate,
                format!("the server refused the client certificate (TLS alert {id}, {name})"),
            ),
            None => (
                HttpErrorKind::Tls,
                format!("the server ended the TLS handshake (TLS alert {id})"),
            ),
        },
        None => (
            HttpErrorKind::Tls,
            "the server ended the TLS handshake".to_owned(),
        ),
    }
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
            assert_eq!(describe("login.example", &code).kind, kind, "{code:?}");
        }
    }

    #[test]
    fn the_text_names_host_and_cause() {
        let code = ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("NXDOMAIN".to_owned()),
            info_code: None,
        });
        assert_eq!(
            describe("login.example:8443", &code).detail,
            "login.example:8443: the name does not resolve (NXDOMAIN)"
        );
        assert_eq!(
            describe("login.example", &received(42)).detail,
            "login.example: the server refused the client certificate (TLS alert 42, bad certificate)"
        );
    }
}
