//! What the engine asks its driver to do, and what the driver answers.

use std::fmt;

use crate::{Secret, SecretBytes};

/// Names one effect, so that its outcome finds its flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EffectId(pub(crate) u64);

/// A certificate of the host as it was when it was opened. The driver keeps what it stands for until [`Effect::CloseCertificate`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CertificateHandle(pub u64);

/// Something that only the driver can do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Send an HTTP request. Never follow a redirect: it would carry the credential elsewhere. Answered by
    /// [`Outcome::Http`].
    Http {
        /// The request.
        request: HttpRequest,
        /// The connection to use.
        via: Via,
    },
    /// Read a whole small file now. Answered by [`Outcome::File`].
    ReadFile {
        /// Its path, as configured.
        path: String,
    },
    /// Open a certificate of the host as it is now. Answered by [`Outcome::Certificate`].
    OpenCertificate {
        /// Its configured name.
        name: String,
    },
    /// Sign with an opened certificate. Answered by [`Outcome::Signature`].
    Sign {
        /// The certificate.
        certificate: CertificateHandle,
        /// The JWS algorithm.
        algorithm: Algorithm,
        /// What to sign.
        input: Vec<u8>,
    },
    /// Ask the assertion source. Answered by [`Outcome::Assertion`].
    Assert {
        /// What the assertion is for.
        options: AssertionOptions,
    },
    /// Check a signature with a public key. Answered by [`Outcome::Verified`].
    #[cfg(feature = "every-credential")]
    Verify {
        /// The JWS algorithm.
        algorithm: Algorithm,
        /// The key, of the kind that the algorithm takes.
        key: PublicKey,
        /// What was signed.
        input: Vec<u8>,
        /// The signature as it is in a JWS: that of ECDSA is the two numbers one after the other (RFC 7518 section 3.4).
        signature: Vec<u8>,
    },
    /// Ask the store that several instances share. Answered by [`Outcome::Store`]. Only of an engine that was told that
    /// there is one ([`Engine::use_token_store`](crate::Engine::use_token_store)).
    #[cfg(feature = "every-credential")]
    Store {
        /// What of it.
        request: StoreRequest,
    },
    /// The certificate is not needed any more. Has no outcome.
    CloseCertificate {
        /// The certificate.
        certificate: CertificateHandle,
    },
    /// Nobody waits for that effect any more; an outcome would be ignored. Has no outcome.
    Cancel {
        /// The effect.
        effect: EffectId,
    },
}

/// A question to the token store. Keys are 64 hexadecimal digits.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreRequest {
    /// What is kept under that key. Answered by [`StoreAnswer::Value`].
    Get {
        /// The key.
        key: String,
    },
    /// Keep this. Answered by [`StoreAnswer::Kept`].
    Put {
        /// The key.
        key: String,
        /// What to keep.
        value: SecretBytes,
        /// The store forgets it after this long, seconds.
        ttl_s: u64,
        /// Only if there is nothing under that key.
        only_if_absent: bool,
    },
    /// Forget it. Answered by [`StoreAnswer::Deleted`].
    Delete {
        /// The key.
        key: String,
    },
}

/// An answer of the token store.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreAnswer {
    /// What is kept, if something is.
    Value(Option<SecretBytes>),
    /// Whether it was kept: not where it was to be only if absent, and something was there.
    Kept(bool),
    /// It is not there any more.
    Deleted,
}

/// Why the token store gave no answer.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there, or not in time; in words.
    Unavailable(String),
}

/// The connection that a request goes out on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Via {
    /// Any, without a client certificate.
    Public,
    /// One that is authenticated with this certificate.
    Certificate(CertificateHandle),
}

/// An HTTP POST, GET or PUT.
#[derive(Clone)]
pub struct HttpRequest {
    /// `POST`, `GET` or `PUT`.
    pub method: &'static str,
    /// Always `https` for token endpoints.
    pub scheme: &'static str,
    /// Host, and port if it is not the scheme's own.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Header names in lower case. `content-length` is the driver's.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body.
    pub body: SecretBytes,
    /// The driver gives up after this long, milliseconds, and reports [`HttpErrorKind::Timeout`].
    pub timeout_ms: u64,
    /// The driver stops reading a response body here and reports [`HttpErrorKind::BodyTooLarge`].
    pub max_response_bytes: usize,
}

impl HttpRequest {
    /// The URL without its query, for messages.
    pub fn url(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{}://{}{path}", self.scheme, self.authority)
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

/// An HTTP response.
#[derive(Clone)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case. Only `date`, `retry-after`, `content-encoding`, `content-type`, `location`,
    /// `metadata-flavor`, `server`, `x-vss-e2eid` and, of a 401, `www-authenticate` are looked at.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: SecretBytes,
}

impl HttpResponse {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How a host begins what it says of a path that leads to a folder, a pipe or a device: no reading again makes a file of it.
#[cfg(feature = "key-vault")]
pub const NOT_A_FILE: &str = "it is not a regular file";

/// Why there is no HTTP response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpError {
    /// What kind of failure.
    pub kind: HttpErrorKind,
    /// In words, for people: the cause beyond its kind, if there is more to say; never content.
    pub detail: String,
}

/// Kinds of HTTP failures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The name does not resolve.
    Dns,
    /// Nothing listens there, or it cannot be reached.
    Connect,
    /// The connection broke off.
    Reset,
    /// The server's certificate is not trusted: nobody who is trusted has signed it, or the driver does not say why.
    ServerCertificate,
    /// The server's certificate is for another name.
    ServerName,
    /// The server's certificate has expired, or is not valid yet.
    ServerCertificateDate,
    /// The server's certificate is none for a server, was revoked, or cannot be read: the detail says which.
    ServerCertificateUnfit,
    /// The server refused the client's certificate that was presented.
    ClientCertificate,
    /// The server wants a client's certificate, and none was presented.
    NoClientCertificate,
    /// Any other TLS failure.
    Tls,
    /// No answer in time.
    Timeout,
    /// The driver's own policy forbids the request; nothing was sent.
    Denied,
    /// A proxy on the way opened none, and time may cure that. The detail is the reason and, after `; `, what to do.
    #[cfg(feature = "every-credential")]
    Proxy,
    /// The same, and time does not cure it: it wants credentials, or does not let anybody there.
    #[cfg(feature = "every-credential")]
    ProxyRefused,
    /// The driver has no certification authorities to check a server's certificate with; nothing was sent.
    NoAuthorities,
    /// The response is larger than was allowed.
    BodyTooLarge,
    /// The response is not HTTP, or is cut short.
    Protocol,
    /// Anything else.
    Other,
}

impl HttpErrorKind {
    /// The words with which a host tells its component why a connection or a TLS handshake failed, and what they mean. The
    /// codes of `wasi:http` for it have no place for a reason, so it is an `internal-error` of the text `WORD: reason`.
    pub const REASONS: &[(&'static str, Self)] = &[
        #[cfg(feature = "every-credential")]
        (Self::PROXY, Self::Proxy),
        #[cfg(feature = "every-credential")]
        (Self::PROXY_REFUSED, Self::ProxyRefused),
        (Self::NOT_CONNECTED, Self::Connect),
        (Self::NO_AUTHORITIES, Self::NoAuthorities),
        ("tls-certificate-untrusted", Self::ServerCertificate),
        ("tls-certificate-name", Self::ServerName),
        ("tls-certificate-date", Self::ServerCertificateDate),
        ("tls-certificate-unfit", Self::ServerCertificateUnfit),
        ("tls-handshake", Self::Tls),
    ];

    /// Whether the server may have ended a handshake because of the certificate that it was shown.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_of_a_handshake(self) -> bool {
        matches!(
            self,
            Self::ClientCertificate | Self::NoClientCertificate | Self::Reset | Self::Tls
        )
    }

    /// The one for a proxy that opens no way now.
    #[cfg(feature = "every-credential")]
    pub const PROXY: &'static str = "proxy";

    /// The one for a proxy that will not open it later either.
    #[cfg(feature = "every-credential")]
    pub const PROXY_REFUSED: &'static str = "proxy-refused";

    /// The one for a connection that did not come about: this machine does not let it happen (no permission, no free port,
    /// too many open files), or something on the way ends it before TLS is there.
    pub const NOT_CONNECTED: &'static str = "not-connected";

    /// The one for a host that trusts nobody: time does not cure it.
    pub const NO_AUTHORITIES: &'static str = "no-certification-authorities";
}

/// JWS algorithms (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// EdDSA with Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA, P-256, SHA-256.
    Es256,
    /// ECDSA, P-384, SHA-384.
    Es384,
    /// RSASSA-PSS, SHA-256.
    Ps256,
    /// RSASSA-PKCS1-v1_5, SHA-256.
    Rs256,
}

impl Algorithm {
    /// The `alg` header value.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A public key, by the members of its JWK, decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublicKey {
    /// RSA (RFC 7518 section 6.3.1): modulus and exponent, without leading zeros.
    Rsa {
        /// `n`.
        n: Vec<u8>,
        /// `e`.
        e: Vec<u8>,
    },
    /// A point of the curve of the algorithm (RFC 7518 section 6.2.1): each coordinate as long as the curve has it.
    Ec {
        /// `x`.
        x: Vec<u8>,
        /// `y`.
        y: Vec<u8>,
    },
    /// Ed25519 (RFC 8037 section 2).
    Ed25519 {
        /// `x`.
        x: Vec<u8>,
    },
}

/// A certificate of the host that was opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenedCertificate {
    /// The driver's name for it.
    pub handle: CertificateHandle,
    /// DER, leaf first; empty if there is a private key alone.
    pub certificate_chain: Vec<Vec<u8>>,
    /// What the platform said that issued it, if one did.
    pub issuance: Option<Issuance>,
}

/// What a platform says with a certificate that it issues for a key of the host: for whom it is, and who takes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issuance {
    /// `client_id` of the managed identity.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// URL of the token service that takes the certificate, without tenant and path.
    pub token_service: String,
}

/// What a requested assertion is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssertionOptions {
    /// The configured identity.
    pub identity: String,
    /// `client_id`.
    pub client_id: String,
    /// Tenant, where there is one.
    pub tenant: Option<String>,
    /// Where the assertion will be posted.
    pub token_endpoint: String,
    /// The audience it should name, if configured.
    pub audience: Option<String>,
    /// Claims of the request, JSON.
    pub claims: Option<String>,
    /// Correlation id of the exchange.
    pub correlation_id: String,
    /// What the client can do (`xms_cc`), as configured: `cp1` for claims challenges.
    pub client_capabilities: Vec<String>,
    /// The path of a federated managed identity, as configured.
    pub fmi_path: Option<String>,
    /// Which of the host's own sources is meant, by the setting of its credential; `None` for the assertion source.
    pub source: Option<String>,
}

/// An assertion from the assertion source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SuppliedAssertion {
    /// The compact JWS.
    pub token: Secret,
}

/// Why a file was not read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// No such file.
    NotFound,
    /// Not allowed, in words.
    Denied(String),
    /// Larger than this many bytes.
    TooLarge(u64),
    /// Anything else, in words.
    Other(String),
}

/// Why a certificate was not opened or did not sign.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CertificateError {
    /// No certificate of that name.
    NotFound,
    /// It cannot be loaded, in words.
    Unavailable(String),
    /// The key cannot do that algorithm.
    UnsupportedAlgorithm,
    /// Anything else, in words.
    Other(String),
}

/// Why the assertion source gave nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AssertionError {
    /// There is no assertion source.
    NotConfigured,
    /// Not now, in words.
    Temporary(String),
    /// Anything else, in words.
    Other(String),
}

/// What became of an effect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Of [`Effect::Http`].
    Http(Result<HttpResponse, HttpError>),
    /// Of [`Effect::ReadFile`].
    File(Result<SecretBytes, ReadError>),
    /// Of [`Effect::OpenCertificate`].
    Certificate(Result<OpenedCertificate, CertificateError>),
    /// Of [`Effect::Sign`].
    Signature(Result<Vec<u8>, CertificateError>),
    /// Of [`Effect::Assert`].
    Assertion(Result<SuppliedAssertion, AssertionError>),
    /// Of [`Effect::Verify`]: whether the signature is that of the key, or why the driver cannot tell, in words: the key is
    /// malformed, or it does not know the algorithm.
    #[cfg(feature = "every-credential")]
    Verified(Result<bool, String>),
    /// Of [`Effect::Store`].
    #[cfg(feature = "every-credential")]
    Store(Result<StoreAnswer, StoreError>),
}
