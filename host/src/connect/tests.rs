//! Names, and what is said of connections that do not come about.

use super::*;

#[test]
fn localhost_is_loopback_with_anything_before_it() {
    for name in [
        "localhost",
        "login.localhost",
        "A.B.LOCALHOST",
        "localhost.",
    ] {
        assert!(is_localhost(name), "{name}");
    }
    for name in ["localhost.example", "notlocalhost", ""] {
        assert!(!is_localhost(name), "{name}");
    }
}

/// What is said of a server continues its name, so it begins with a verb, whatever has happened.
#[test]
fn what_is_said_of_a_server_continues_its_name() {
    use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};
    let tcp = |kind: io::ErrorKind| NoConnection::Tcp(io::Error::from(kind).into());
    let tls = |cause: io::Error| NoConnection::Tls {
        cause,
        through: String::new(),
    };
    let of_tls = |error: TlsError| tls(io::Error::other(error));
    let certificate = |error| of_tls(TlsError::InvalidCertificate(error));
    let unresolvable = Unresolvable {
        host: "h".into(),
        reason: "r".into(),
    };
    for (reason, expected) in [
        (
            tcp(io::ErrorKind::ConnectionRefused),
            "refused the connection",
        ),
        (tcp(io::ErrorKind::ConnectionReset), "reset the connection"),
        (tcp(io::ErrorKind::TimedOut), "took no connection in "),
        (tcp(io::ErrorKind::NetworkUnreachable), "cannot be reached"),
        (
            tcp(io::ErrorKind::PermissionDenied),
            "cannot be asked: permission denied",
        ),
        (NoConnection::Tcp("odd".into()), "cannot be asked: odd"),
        (NoConnection::Tcp(unresolvable.into()), "has no address: r"),
        (NoConnection::Slow, "took no connection in "),
        (
            NoConnection::Name("a b is no name of a server".into()),
            "cannot be asked: a b is no name",
        ),
        (
            NoConnection::Shunned(IpAddr::from([169, 254, 169, 254])),
            "is 169.254.169.254, where ",
        ),
        (
            NoConnection::SlowTls {
                through: " (through the proxy p)".into(),
            },
            "did not end the TLS handshake (through the proxy p) in ",
        ),
        (
            tls(io::ErrorKind::UnexpectedEof.into()),
            "closed the connection in the TLS handshake",
        ),
        (
            tls(io::ErrorKind::ConnectionReset.into()),
            "reset the connection in the TLS handshake",
        ),
        (
            tls(io::ErrorKind::BrokenPipe.into()),
            "reset the connection in the TLS handshake",
        ),
        (
            tls(io::Error::other("odd")),
            "cannot be asked: odd in the TLS handshake",
        ),
        (
            of_tls(TlsError::AlertReceived(AlertDescription::HandshakeFailure)),
            "ended the TLS handshake with the alert HandshakeFailure",
        ),
        (
            of_tls(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)),
            "does not speak TLS on that port",
        ),
        (
            of_tls(TlsError::PeerIncompatible(
                rustls::PeerIncompatible::NoCipherSuitesInCommon,
            )),
            "has no version or cipher of TLS in common with this host (NoCipherSuitesInCommon)",
        ),
        (
            of_tls(TlsError::DecryptError),
            "failed in the TLS handshake: ",
        ),
        (
            certificate(CertificateError::UnknownIssuer),
            "has a certificate that is not trusted: it signed itself, or ",
        ),
        (
            certificate(CertificateError::BadSignature),
            "has a certificate that is not trusted: a signature",
        ),
        (
            certificate(CertificateError::NotValidForName),
            "has a certificate for another name",
        ),
        (
            certificate(CertificateError::Expired),
            "has a certificate outside its validity: it has expired",
        ),
        (
            certificate(CertificateError::Revoked),
            "has a certificate that cannot be accepted: it was revoked",
        ),
        (
            certificate(CertificateError::BadEncoding),
            "has a certificate that cannot be accepted: it cannot be read",
        ),
        (
            certificate(CertificateError::UnhandledCriticalExtension),
            "has a certificate that cannot be accepted: ",
        ),
    ] {
        let said = reason.of_a_server();
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.ends_with(": "), "{said}");
    }
}

#[test]
fn the_innermost_cause_is_found() {
    let tcp = |error: Box<dyn StdError + Send + Sync>| NoConnection::Tcp(error).error();
    let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
    assert!(matches!(tcp(refused.into()), Error::ConnectionRefused));
    let unresolvable = Unresolvable {
        host: "h".into(),
        reason: "r".into(),
    };
    assert!(matches!(tcp(unresolvable.into()), Error::DnsError { .. }));
    let tls = NoConnection::Tls {
        cause: io::Error::other(io::Error::other(rustls::Error::NoCertificatesPresented)),
        through: String::new(),
    };
    assert!(
        matches!(tls.error(), Error::InternalError(Some(text)) if text.starts_with("tls-handshake: "))
    );
}
