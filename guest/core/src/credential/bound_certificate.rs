//! A certificate that authenticates the connection (RFC 8705), with an assertion of the same key beside it or without.

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::{Choice, object};
use crate::config::place::Place;
use crate::credential::signed_assertion::{AssertionAlgorithm, SignedAssertion, SignedText};
use crate::credential::{Authenticate, ClientAuth, Failure, Kind, Purpose};
use crate::distinction::Distinction;
use crate::flow::Io;

object! {
    /// A certificate that authenticates the TLS connection.
    #[derive(Clone, Debug)]
    pub(crate) struct BoundCertificateFile {
        /// A name out of `certificates`, or one that the embedding host knows.
        name: String = text,
        /// What goes into the form beside the certificate on the connection.
        #[cfg_attr(feature = "schema", schemars(default))]
        mode: BoundMode = choice,
        /// As in `certificate`.
        #[cfg_attr(feature = "schema", schemars(default))]
        algorithm: AssertionAlgorithm = choice,
        /// As in `certificate`; on by default, because Entra ID wants the chain in this mode.
        #[cfg_attr(feature = "schema", schemars(default = "yes"))]
        send_x5c: bool = flag(true),
        /// As in `certificate`.
        audience: Option<String> = optional_text,
    }
}

#[cfg(feature = "schema")]
fn yes() -> bool {
    true
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
pub(crate) struct BoundCertificate {
    signed: SignedAssertion,
    mode: BoundMode,
}

impl Kind for BoundCertificate {
    type Document = BoundCertificateFile;
    type Of = Client;

    fn check(
        document: &BoundCertificateFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let text = SignedText {
            name: &document.name,
            algorithm: document.algorithm,
            send_x5c: document.send_x5c,
            audience: document.audience.as_deref(),
        };
        let signed = SignedAssertion::check(&text, place, client)?;
        signed.need_certificate(place);
        if document.mode == BoundMode::WithAssertion {
            signed.need_signature(place);
        }
        client
            .token_endpoint(client.tenant.as_deref(), true)
            .map_err(|error| ConfigError::from_error(place.path(), &error))?;
        Ok(Self {
            signed,
            mode: document.mode,
        })
    }

    fn describe(&self) -> String {
        format!(
            "certificate {} on the connection (mTLS)",
            self.signed.certificate
        )
    }

    fn name(&self) -> Option<&str> {
        Some(&self.signed.certificate)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { signed, mode } = self;
        out.add(match mode {
            BoundMode::CertificateOnly => "certificate-only",
            BoundMode::WithAssertion => "with-assertion",
        });
        signed.distinguish(out);
    }
}

impl Authenticate for BoundCertificate {
    fn certificate(&self) -> Option<&str> {
        Some(&self.signed.certificate)
    }

    /// Signature and connection use one opened certificate, so a rotation between the two cannot make an assertion of
    /// one key travel on a connection of the other.
    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        let opened = self.signed.open(io).await?;
        let assertion = match self.mode {
            BoundMode::CertificateOnly => None,
            BoundMode::WithAssertion => Some(self.signed.sign(io, &opened, purpose).await?),
        };
        Ok(ClientAuth {
            assertion,
            generation: SignedAssertion::generation(&opened),
            connection: Some(opened),
            ..ClientAuth::default()
        })
    }
}
