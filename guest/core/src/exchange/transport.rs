//! Requests that got no response.

use super::asked::Asked;
use crate::effect::{HttpError, HttpErrorKind};
use crate::limits::MAX_RESPONSE_BYTES;
use crate::{Error, ErrorClass, ErrorDetail};

/// Turns a transport failure into an `Error`.
pub(crate) fn no_response(asked: &Asked<'_>, error: &HttpError) -> Error {
    let host = &asked.endpoint.authority;
    let detail = error.detail.trim();
    #[cfg(feature = "every-credential")]
    let (detail, proxy_hint) = match error.kind {
        HttpErrorKind::Proxy | HttpErrorKind::ProxyRefused => {
            detail.split_once("; ").unwrap_or((detail, ""))
        }
        _ => (detail, ""),
    };
    let (class, message, retryable, hint) = match error.kind {
        HttpErrorKind::Dns => (
            ErrorClass::Network,
            format!("the name of {host} does not resolve"),
            true,
            "check the authority host in the configuration or AZURE_AUTHORITY_HOST, and the name server",
        ),
        HttpErrorKind::Connect => (
            ErrorClass::Network,
            format!("no connection to {host}"),
            true,
            "check that the server is up and that nothing blocks the way to it",
        ),
        #[cfg(feature = "every-credential")]
        HttpErrorKind::Proxy | HttpErrorKind::ProxyRefused => (
            ErrorClass::Network,
            format!("no connection to {host}"),
            error.kind == HttpErrorKind::Proxy,
            proxy_hint,
        ),
        HttpErrorKind::Reset => (
            ErrorClass::Network,
            format!("{host} closed the connection before it had answered"),
            true,
            "a server or something on the way to it broke the connection off",
        ),
        HttpErrorKind::ServerCertificate => (
            ErrorClass::Network,
            format!("the certificate of {host} is not trusted"),
            false,
            "give the authority that signed it, or the certificate if it signed itself, by host.ca_file, host.extra_ca_file or SSL_CERT_FILE",
        ),
        HttpErrorKind::ServerName => (
            ErrorClass::Network,
            format!("the certificate of {host} is for another name"),
            false,
            "use a name that is in the certificate, or have the certificate name this one as a subject alternative name",
        ),
        HttpErrorKind::ServerCertificateDate => (
            ErrorClass::Network,
            format!("the certificate of {host} is outside its validity"),
            false,
            "the server needs a new certificate, or the clock of this machine is wrong",
        ),
        HttpErrorKind::ServerCertificateUnfit => (
            ErrorClass::Network,
            format!("the certificate of {host} cannot be accepted"),
            false,
            "the server needs a certificate of its own, for TLS servers, that its authority has signed",
        ),
        HttpErrorKind::ClientCertificate => (
            ErrorClass::CredentialUnavailable,
            format!("{host} refused the client certificate in the TLS handshake"),
            false,
            "check that the certificate is the one registered for this application",
        ),
        HttpErrorKind::NoClientCertificate => (
            ErrorClass::CredentialUnavailable,
            format!("{host} wants a client certificate, and this identity presents none"),
            false,
            "give the identity a bound_certificate, or name the endpoint that takes requests without one",
        ),
        HttpErrorKind::Tls => (
            ErrorClass::Network,
            format!("the TLS handshake with {host} failed"),
            false,
            "check that the server speaks TLS 1.2 or 1.3 on that port, asks for no client certificate, and has one that is trusted here",
        ),
        HttpErrorKind::Timeout => (
            ErrorClass::Timeout,
            format!("{host} did not answer in time"),
            true,
            "the server, or the way to it, is slow; the same request may succeed later",
        ),
        HttpErrorKind::Denied => (
            ErrorClass::Configuration,
            format!(
                "the host does not let this component send requests to {host}; nothing was sent"
            ),
            false,
            "name the host in authority_hosts or EDGEPASS_AUTHORITY_HOSTS",
        ),
        HttpErrorKind::NoAuthorities => (
            ErrorClass::Configuration,
            format!("no certificate of {host} could be checked, and nothing was sent"),
            false,
            "install the system's CA certificates, or name a file with them by host.ca_file or SSL_CERT_FILE",
        ),
        HttpErrorKind::BodyTooLarge => (
            ErrorClass::InvalidResponse,
            format!(
                "{host} answered with more than {MAX_RESPONSE_BYTES} bytes, which no answer of a token server has"
            ),
            false,
            "check that the authority host is a token endpoint",
        ),
        HttpErrorKind::Protocol => (
            ErrorClass::InvalidResponse,
            format!("the answer of {host} is cut short or is not HTTP"),
            true,
            "something on the way to the server breaks answers off",
        ),
        HttpErrorKind::Other => (
            ErrorClass::Network,
            format!("the request to {host} failed"),
            true,
            "the same request may succeed later",
        ),
    };
    let message = if detail.is_empty() {
        message
    } else {
        format!("{message}: {}", asked.clean(detail))
    };
    Error::with_detail(
        class,
        ErrorDetail {
            message,
            hint: Some(hint.to_owned()),
            retryable,
            correlation_id: Some(asked.correlation_id.to_owned()),
            ..ErrorDetail::default()
        },
    )
}
