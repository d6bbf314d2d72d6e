//! In the place of the token proxy of AKS, which this build does without: one that is wanted is refused, because the
//! authority would be asked in its place.

use crate::authority::Endpoint;
use crate::config::Environment;
use crate::config::error::ConfigError;
use crate::config::parse::ForEveryBuild;
use crate::config::place::Place;
use crate::distinction::Distinction;
use crate::effect::HttpErrorKind;

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
