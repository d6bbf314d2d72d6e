//! In the place of [`private_key_jwt`] where it is not built: it is refused by name.

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::{Fields, Object};
use crate::config::place::Place;
use crate::credential::{Authenticate, ClientAuth, Failure, Kind, Purpose};
use crate::distinction::Distinction;
use crate::flow::Io;

/// Not looked at: the command has read it.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PrivateKeyJwtFile;

impl Object for PrivateKeyJwtFile {
    const FIELDS: &[&str] = &["name", "kid", "algorithm", "audience"];

    fn read(_: &mut Fields) -> Self {
        Self
    }
}

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum PrivateKeyJwt {}

impl Kind for PrivateKeyJwt {
    type Document = PrivateKeyJwtFile;
    type Of = Client;

    fn check(_: &PrivateKeyJwtFile, place: &Place<'_>, _: &Client) -> Result<Self, ConfigError> {
        Err(
            ConfigError::new(place.path(), "is not available in Envoy").hint(
                "use the certificate kind, if the server knows the key by its certificate",
            ),
        )
    }

    fn describe(&self) -> String {
        match *self {}
    }

    fn distinguish(&self, _: &mut Distinction) {
        match *self {}
    }
}

impl Authenticate for PrivateKeyJwt {
    async fn authenticate(&self, _: &Io, _: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        match *self {}
    }
}
