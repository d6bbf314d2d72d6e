//! An assertion from the assertion source: the host's code, or another component. Asked for at each attempt.

use std::rc::Rc;

use crate::config::error::{ConfigError, check};
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::credential::{Failure, Kind, Purpose, Supplied, SupplyAssertion, assertion_type};
use crate::distinction::Distinction;
use crate::effect::{AssertionError, AssertionOptions};
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::text::{Needles, clean};
use crate::{Error, ErrorClass};

object! {
    /// An assertion from the assertion source.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct AssertionSourceFile {
        /// The audience to ask for.
        audience: Option<String> = optional_text,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
        assertion_type: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct AssertionSource {
    audience: Option<String>,
    assertion_type: String,
}

impl Kind for AssertionSource {
    type Document = AssertionSourceFile;
    type Of = Client;

    fn check(
        document: &AssertionSourceFile,
        place: &Place<'_>,
        _: &Client,
    ) -> Result<Self, ConfigError> {
        if let Some(audience) = &document.audience {
            check(&place.at("audience"), rules::audience(audience))?;
        }
        place.need(|needs| needs.assertion_source = Some(place.path().to_owned()));
        Ok(Self {
            audience: document.audience.clone(),
            assertion_type: assertion_type(place, document.assertion_type.as_deref())?,
        })
    }

    fn describe(&self) -> String {
        "client assertion from the embedding program".to_owned()
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            audience,
            assertion_type,
        } = self;
        out.add_optional(audience.as_deref());
        out.add(assertion_type);
    }
}

impl SupplyAssertion for AssertionSource {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
        let options = AssertionOptions {
            identity: purpose.identity.to_owned(),
            client_id: purpose.client_id.to_owned(),
            tenant: purpose.tenant.map(str::to_owned),
            token_endpoint: purpose.endpoint.url(),
            audience: self.audience.clone(),
            claims: purpose.claims.map(str::to_owned),
            correlation_id: purpose.correlation_id.to_owned(),
        };
        let supplied = io.assertion(options).await.map_err(|error| match error {
            AssertionError::NotConfigured => Failure::not_here(
                unavailable(format!(
                    "identity `{}` wants an assertion source, and the host has none",
                    purpose.identity
                ))
                .hint("give the host one, or compose the component with one"),
            ),
            AssertionError::Temporary(reason) => unavailable(format!(
                "the assertion source has none now: {}",
                said(&reason)
            ))
            .retryable()
            .into(),
            AssertionError::Other(reason) => {
                unavailable(format!("the assertion source failed: {}", said(&reason))).into()
            }
        })?;
        let text = supplied.token.expose();
        if text.is_empty()
            || text.len() > MAX_ASSERTION_BYTES
            || text.bytes().any(|byte| byte.is_ascii_whitespace())
        {
            return Err(unavailable(format!(
                "the assertion source gave {} bytes that are not an assertion",
                text.len()
            ))
            .into());
        }
        let presented = inspect_jwt(text).map(Rc::new);
        Ok(Supplied::new(
            supplied.token,
            &self.assertion_type,
            presented,
        ))
    }
}

/// A source may be somebody else's component, and its reasons texts that it was given.
fn said(reason: &str) -> String {
    clean(reason, &Needles::default())
}
