//! An assertion that is built here and signed with the key of a certificate, which the host keeps.

use crate::config::error::{ConfigError, check};
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::{CertificateFiles, Client, ENVIRONMENT_IDENTITY, Environment, rules};
use crate::credential::signed_assertion::{AssertionAlgorithm, SignedAssertion, SignedText};
use crate::credential::{Authenticate, ClientAuth, Credential, Failure, Kind, Purpose, Shortcut};
use crate::distinction::Distinction;
use crate::flow::Io;

object! {
    /// An assertion signed with a certificate's key.
    #[derive(Clone, Debug)]
    pub(crate) struct CertificateFile {
        /// A name out of `certificates`, or one that the embedding host knows.
        name: String = text,
        /// `PS256` with `x5t#S256` (Entra ID), or `RS256` with `x5t` (AD FS and older servers), or `ES256`.
        #[cfg_attr(feature = "schema", schemars(default))]
        algorithm: AssertionAlgorithm = choice,
        /// Put the certificate chain into the header, for subject-name-and-issuer apps.
        #[cfg_attr(feature = "schema", schemars(default))]
        send_x5c: bool = flag(false),
        /// `aud`; the token endpoint by default.
        audience: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Certificate(SignedAssertion);

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
                    private_key_file: None,
                },
            );
            let chain = Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN;
            let send_x5c = place.flag(chain, "certificate.send_x5c")?;
            let certificate = Self(SignedAssertion::of(ENVIRONMENT_IDENTITY, send_x5c));
            certificate.need(&place.inside("certificate"));
            Ok(Credential::Certificate(certificate))
        },
    });

    fn check(
        document: &CertificateFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let text = SignedText {
            name: &document.name,
            algorithm: document.algorithm,
            send_x5c: document.send_x5c,
            audience: document.audience.as_deref(),
        };
        let certificate = Self(SignedAssertion::check(&text, place, client)?);
        certificate.need(place);
        Ok(certificate)
    }

    fn describe(&self) -> String {
        let Self(signed) = self;
        format!(
            "certificate {}, {}",
            signed.certificate,
            signed.algorithm.name()
        )
    }

    fn name(&self) -> Option<&str> {
        Some(&self.0.certificate)
    }

    fn distinguish(&self, out: &mut Distinction) {
        self.0.distinguish(out);
    }
}

impl Authenticate for Certificate {
    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        let Self(signed) = self;
        let opened = signed.open(io).await?;
        Ok(ClientAuth {
            assertion: Some(signed.sign(io, &opened, purpose).await?),
            generation: SignedAssertion::generation(&opened),
            ..ClientAuth::default()
        })
    }
}

impl Certificate {
    fn need(&self, place: &Place<'_>) {
        self.0.need_certificate(place);
        self.0.need_signature(place);
    }
}
