//! A certificate whose key the host keeps: it signs an assertion that is built here, authenticates the connection
//! (RFC 8705), or does both.

use crate::config::error::{ConfigError, check};
use crate::config::parse::{Choice, object};
use crate::config::place::Place;
use crate::config::{CertificateFiles, Client, ENVIRONMENT_IDENTITY, Environment, rules};
use crate::credential::signed_assertion::{
    AssertionAlgorithm, KeyName, SignedAssertion, SignedText,
};
use crate::credential::{Authenticate, ClientAuth, Credential, Failure, Kind, Purpose, Shortcut};
use crate::distinction::Distinction;
use crate::flow::Io;

object! {
    /// An assertion signed with a certificate's key.
    #[derive(Clone, Debug)]
    pub(crate) struct CertificateFile {
        /// A name out of `certificates`, or one that the embedding host knows.
        name: String = text,
        /// `PS256` with `x5t#S256` (Entra ID), or `RS256` with `x5t` (AD FS and older servers); `ES256`, `ES384` and `EdDSA`
        /// for keys on curves, with servers other than Entra ID.
        #[cfg_attr(feature = "schema", schemars(default))]
        algorithm: AssertionAlgorithm = choice,
        /// Put the certificate chain into the header, for subject-name-and-issuer apps. On by default with
        /// `use_bound_credential`, because Entra ID wants the chain there.
        send_x5c: Option<bool> = optional_flag,
        /// `aud`; the token endpoint by default.
        audience: Option<String> = optional_text,
        /// Show the certificate on the TLS connection to the authority's mTLS endpoint. Microsoft.Identity.Web calls it
        /// `UseBoundCredential`.
        #[cfg_attr(feature = "schema", schemars(default))]
        use_bound_credential: bool = flag(false),
        /// With `use_bound_credential`: what goes into the form beside the certificate on the connection.
        #[cfg_attr(feature = "schema", schemars(default))]
        mode: BoundMode = choice,
    }
}

/// What goes into the form beside the certificate on the connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "kebab-case"))]
pub(crate) enum BoundMode {
    /// Nothing: the certificate alone authenticates the client (RFC 8705 section 2).
    CertificateOnly,
    /// An assertion signed with the same key; what Entra ID requires today.
    #[default]
    WithAssertion,
}

impl Choice for BoundMode {
    const CHOICES: &[(&str, Self)] = &[
        ("certificate-only", Self::CertificateOnly),
        ("with-assertion", Self::WithAssertion),
    ];
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    signed: SignedAssertion,
    /// Set if it authenticates the connection.
    bound: Option<BoundMode>,
}

/// What both of its documents say.
pub(crate) struct CertificateText<'a> {
    pub(crate) name: &'a str,
    pub(crate) algorithm: AssertionAlgorithm,
    pub(crate) send_x5c: bool,
    pub(crate) audience: Option<&'a str>,
    pub(crate) bound: Option<BoundMode>,
}

impl Kind for Certificate {
    type Document = CertificateFile;
    type Of = Client;

    /// The variable is at once an entry of `certificates`, under the name of the environment's identity.
    const SHORTCUT: Option<Shortcut> = Some(Shortcut {
        variable: Environment::AZURE_CLIENT_CERTIFICATE_PATH,
        field: "certificate.name",
        is_secret: false,
        environment_only: true,
        check: |path, place| {
            check(
                Environment::AZURE_CLIENT_CERTIFICATE_PATH,
                rules::path(path),
            )?;
            place.add_certificate(
                ENVIRONMENT_IDENTITY,
                CertificateFiles {
                    certificate_file: path.to_owned(),
                    password_env: password_env(place),
                    ..CertificateFiles::default()
                },
            );
            let chain = Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN;
            let send_x5c = place.flag(chain, "certificate.send_x5c")?;
            let certificate = Self {
                signed: SignedAssertion::of(ENVIRONMENT_IDENTITY, send_x5c),
                bound: None,
            };
            certificate.need(&place.inside("certificate"));
            Ok(Credential::Certificate(certificate))
        },
    });

    fn check(
        document: &CertificateFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let is_bound = document.use_bound_credential;
        if !is_bound && document.mode != BoundMode::default() {
            return Err(ConfigError::new(
                place.at("mode"),
                "is set, but the certificate is not on the connection",
            )
            .hint("set use_bound_credential to true, or leave mode out"));
        }
        let text = CertificateText {
            name: &document.name,
            algorithm: document.algorithm,
            send_x5c: document.send_x5c.unwrap_or(is_bound),
            audience: document.audience.as_deref(),
            bound: is_bound.then_some(document.mode),
        };
        Self::of(&text, place, client)
    }

    fn describe(&self) -> String {
        let name = &self.signed.certificate;
        match self.bound {
            None => format!("certificate {name}, {}", self.signed.algorithm.name()),
            Some(_) => format!("certificate {name} on the connection (mTLS)"),
        }
    }

    fn name(&self) -> Option<&str> {
        Some(&self.signed.certificate)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { signed, bound } = self;
        out.add(match bound {
            None => "",
            Some(BoundMode::CertificateOnly) => "certificate-only",
            Some(BoundMode::WithAssertion) => "with-assertion",
        });
        signed.distinguish(out);
    }
}

impl Authenticate for Certificate {
    fn certificate(&self) -> Option<&str> {
        self.bound.map(|_| self.signed.certificate.as_str())
    }

    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        let signs = self.bound != Some(BoundMode::CertificateOnly);
        let connects = self.bound.is_some();
        self.signed.gather(io, purpose, signs, connects).await
    }
}

impl Certificate {
    pub(crate) fn of(
        text: &CertificateText<'_>,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let certificate = Self {
            signed: SignedAssertion::check(
                SignedText {
                    name: text.name,
                    algorithm: text.algorithm,
                    key: KeyName::Thumbprint {
                        send_x5c: text.send_x5c,
                    },
                    audience: text.audience,
                },
                place,
                client,
            )?,
            bound: text.bound,
        };
        certificate.need(place);
        // an endpoint that has to be found is looked at when it is found
        let is_known = text.bound.is_some();
        #[cfg(feature = "every-credential")]
        let is_known = is_known && !client.authority.is_discovered();
        if is_known {
            client
                .token_endpoint(client.tenant.as_deref(), true)
                .map_err(|error| ConfigError::from_error(place.path(), &error))?;
        }
        Ok(certificate)
    }

    fn need(&self, place: &Place<'_>) {
        self.signed.need_certificate(place);
        if self.bound != Some(BoundMode::CertificateOnly) {
            self.signed.need_signature(place);
        }
    }
}

/// The variable with the password of the environment's certificate, if it is set.
#[cfg(feature = "every-credential")]
fn password_env(place: &Place<'_>) -> Option<String> {
    const PASSWORD: &str = Environment::AZURE_CLIENT_CERTIFICATE_PASSWORD;
    place
        .variable_of_the_host(PASSWORD, ENVIRONMENT_IDENTITY, "password_env")
        .then(|| PASSWORD.to_owned())
}

/// A proxy opens no key with a password.
#[cfg(not(feature = "every-credential"))]
fn password_env(_: &Place<'_>) -> Option<String> {
    None
}
