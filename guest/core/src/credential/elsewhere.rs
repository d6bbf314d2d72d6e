//! In the place of what this build does without: the kinds that no proxy can serve, of which whoever uses one is told so, and
//! the token proxy of AKS. One that is wanted is refused, because the authority would be asked in its place.

use crate::authority::Endpoint;
use crate::config::error::ConfigError;
use crate::config::parse::{ForEveryBuild, object};
use crate::config::place::Place;
use crate::config::{Client, Environment};
use crate::credential::{Authenticate, ClientAuth, Failure, Kind, Purpose};
use crate::distinction::Distinction;
use crate::effect::HttpErrorKind;
use crate::flow::Io;
use crate::{Error, ErrorClass};

object! {
    /// Which kind it is.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ElsewhereFile {
        /// Its name.
        kind: String = text,
    }
}

/// A kind that this build has not.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    setting: String,
}

impl Kind for Elsewhere {
    type Document = ElsewhereFile;
    type Of = Client;

    fn check(document: &ElsewhereFile, place: &Place<'_>, _: &Client) -> Result<Self, ConfigError> {
        let list = place.path().strip_suffix("elsewhere").unwrap_or_default();
        let setting = format!("{list}{}", document.kind);
        place.need(|needs| needs.every_credential.push(setting.clone()));
        Ok(Self { setting })
    }

    fn describe(&self) -> String {
        format!("{}, which is not available in Envoy", self.setting)
    }

    fn distinguish(&self, out: &mut Distinction) {
        out.add(&self.setting);
    }
}

impl Authenticate for Elsewhere {
    async fn authenticate(&self, _: &Io, _: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        Err(Error::new(ErrorClass::Unsupported, self.describe()).into())
    }
}

/// Not looked at.
pub(crate) type TokenProxyFile = ();

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum TokenProxy {}

impl TokenProxy {
    pub(super) fn check(
        written: &ForEveryBuild<TokenProxyFile>,
        place: &Place<'_>,
        is_entra: bool,
    ) -> Result<Option<Self>, ConfigError> {
        const VARIABLE: &str = Environment::AZURE_KUBERNETES_TOKEN_PROXY;
        let refused = if written.is_some() {
            place.at("token_proxy")
        } else if is_entra && place.variable_alone(VARIABLE).is_some() {
            VARIABLE.to_owned()
        } else {
            return Ok(None);
        };
        Err(ConfigError::new(refused, "is not available in Envoy"))
    }

    pub(crate) fn authority(&self) -> &str {
        match *self {}
    }

    pub(crate) fn path(&self) -> &str {
        match *self {}
    }

    pub(crate) fn hint(&self, _: HttpErrorKind) -> Option<&'static str> {
        match *self {}
    }

    pub(crate) fn endpoint(&self, _: &Endpoint) -> Endpoint {
        match *self {}
    }

    pub(super) fn distinguish(&self, _: &mut Distinction) {
        match *self {}
    }
}
