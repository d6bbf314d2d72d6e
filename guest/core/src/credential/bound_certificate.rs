//! The certificate kind that is bound by its name: `certificate` with `use_bound_credential`.

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::credential::certificate::{BoundMode, Certificate, CertificateText};
use crate::credential::signed_assertion::AssertionAlgorithm;
use crate::credential::{Authenticate, ClientAuth, Failure, Kind, Purpose};
use crate::distinction::Distinction;
use crate::flow::Io;

object! {
    /// A certificate that authenticates the TLS connection: another way to write `certificate` with
    /// `use_bound_credential`.
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

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct BoundCertificate(Certificate);

impl Kind for BoundCertificate {
    type Document = BoundCertificateFile;
    type Of = Client;

    fn check(
        document: &BoundCertificateFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let text = CertificateText {
            name: &document.name,
            algorithm: document.algorithm,
            send_x5c: document.send_x5c,
            audience: document.audience.as_deref(),
            bound: Some(document.mode),
        };
        Certificate::of(&text, place, client).map(Self)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn name(&self) -> Option<&str> {
        self.0.name()
    }

    fn distinguish(&self, out: &mut Distinction) {
        self.0.distinguish(out);
    }
}

impl Authenticate for BoundCertificate {
    fn certificate(&self) -> Option<&str> {
        self.0.certificate()
    }

    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        self.0.authenticate(io, purpose).await
    }
}
