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
use crate::{Error, ErrorClass, Secret};

object! {
    /// An assertion from the assertion source.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct AssertionSourceFile {
        /// The audience to ask for.
        audience: Option<String> = optional_text,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
        assertion_type: Option<String> = optional_text,
        /// What the client can do (`xms_cc`), for the source to put into its assertion: `cp1` for claims challenges.
        #[cfg_attr(feature = "schema", schemars(default))]
        client_capabilities: Vec<String> = texts,
        /// The path of a federated managed identity, for the source.
        fmi_path: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct AssertionSource {
    audience: Option<String>,
    assertion_type: String,
    client_capabilities: Vec<String>,
    fmi_path: Option<String>,
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
        for (index, capability) in document.client_capabilities.iter().enumerate() {
            let setting = place.at(&format!("client_capabilities[{index}]"));
            check(&setting, rules::audience(capability))?;
        }
        if let Some(path) = &document.fmi_path {
            check(&place.at("fmi_path"), rules::audience(path))?;
        }
        place.need(|needs| needs.assertion_source = Some(place.path().to_owned()));
        Ok(Self {
            audience: document.audience.clone(),
            assertion_type: assertion_type(place, document.assertion_type.as_deref())?,
            client_capabilities: document.client_capabilities.clone(),
            fmi_path: document.fmi_path.clone(),
        })
    }

    fn describe(&self) -> String {
        "client assertion from the embedding program".to_owned()
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            audience,
            assertion_type,
            client_capabilities,
            fmi_path,
        } = self;
        out.add_optional(audience.as_deref());
        out.add(assertion_type);
        out.add_all(client_capabilities);
        out.add_optional(fmi_path.as_deref());
    }
}

impl SupplyAssertion for AssertionSource {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let options = AssertionOptions {
            client_capabilities: self.client_capabilities.clone(),
            fmi_path: self.fmi_path.clone(),
            ..purpose.assertion_options(self.audience.as_deref(), None)
        };
        let token = ask_source(io, options, "the assertion source").await?;
        let presented = inspect_jwt(token.expose()).map(Rc::new);
        Ok(Supplied::new(token, &self.assertion_type, presented))
    }
}

impl Purpose<'_> {
    /// What an assertion is asked for with.
    pub(super) fn assertion_options(
        &self,
        audience: Option<&str>,
        source: Option<&str>,
    ) -> AssertionOptions {
        AssertionOptions {
            identity: self.identity.to_owned(),
            client_id: self.client_id.to_owned(),
            tenant: self.tenant.map(str::to_owned),
            token_endpoint: self.endpoint.url(),
            audience: audience.map(str::to_owned),
            claims: self.claims.map(str::to_owned),
            correlation_id: self.correlation_id.to_owned(),
            client_capabilities: Vec::new(),
            fmi_path: None,
            source: source.map(str::to_owned),
        }
    }
}

/// An assertion from the assertion source, or from one of the host's own; `who` is what messages call it.
pub(super) async fn ask_source(
    io: &Io,
    options: AssertionOptions,
    who: &str,
) -> Result<Secret, Failure> {
    let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
    let identity = options.identity.clone();
    let is_own = options.source.is_some();
    let supplied = io.assertion(options).await.map_err(|error| match error {
        AssertionError::NotConfigured if is_own => Failure::not_here(
            unavailable(format!(
                "{who} is not there, or the host has no such source"
            ))
            .hint("look at its path, and run it by the edgepass command or library"),
        ),
        AssertionError::NotConfigured => Failure::not_here(
            unavailable(format!(
                "identity `{identity}` wants an assertion source, and the host has none"
            ))
            .hint("give the host one, or compose the component with one"),
        ),
        AssertionError::Temporary(reason) => {
            unavailable(format!("{who} has none now: {}", said(&reason)))
                .retryable()
                .into()
        }
        AssertionError::Other(reason) => {
            unavailable(format!("{who} failed: {}", said(&reason))).into()
        }
    })?;
    let text = supplied.token.expose();
    if text.is_empty()
        || text.len() > MAX_ASSERTION_BYTES
        || text.bytes().any(|byte| byte.is_ascii_whitespace())
    {
        return Err(unavailable(format!(
            "{who} gave {} bytes that are not an assertion",
            text.len()
        ))
        .into());
    }
    Ok(supplied.token)
}

/// A source may be somebody else's component, and its reasons texts that it was given.
fn said(reason: &str) -> String {
    clean(reason, &Needles::default())
}
