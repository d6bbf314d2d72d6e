//! A token that the platform rotates in a file: a Kubernetes projected service-account token, for example.
//!
//! The file is read at every exchange, so a rotation is seen at once and no watcher is needed. While a new token is
//! being written, or if something else stands there, the last good one serves on until it expires.

use std::rc::Rc;

use crate::config::error::{ConfigError, check};
use crate::config::parse::{ForEveryBuild, object};
use crate::config::place::Place;
use crate::config::{Client, Environment, rules};
use crate::credential::token_proxy::{TokenProxy, TokenProxyFile};
use crate::credential::{
    Credential, Failure, Kind, Purpose, Shortcut, Supplied, SupplyAssertion, TextFile,
    assertion_type,
};
use crate::distinction::Distinction;
use crate::flow::{GoodFile, Io};
use crate::inspect::{JwtSummary, inspect_jwt};
use crate::limits::{EXPIRED_ASSERTION_GRACE_MS, MAX_ASSERTION_BYTES};
use crate::text::duration;
use crate::{Error, ErrorClass};

const WHAT: &str = "the federated token file";

const FILE: TextFile = TextFile {
    what: WHAT,
    setting: "AZURE_FEDERATED_TOKEN_FILE, or federated_token_file.path in the configuration",
    max_bytes: MAX_ASSERTION_BYTES,
};

object! {
    /// A token that the platform rotates in a file.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct FederatedTokenFile {
        /// Absolute path; `AZURE_FEDERATED_TOKEN_FILE` if left out.
        path: Option<String> = optional_text,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
        assertion_type: Option<String> = optional_text,
        /// The token proxy of AKS identity bindings. Without it the variables `AZURE_KUBERNETES_…` that AKS sets count,
        /// unless the identity has a `token_endpoint`.
        token_proxy: ForEveryBuild<TokenProxyFile> = object_for_every_build,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct FederatedToken {
    path: String,
    assertion_type: String,
    proxy: Option<TokenProxy>,
}

impl Kind for FederatedToken {
    type Document = FederatedTokenFile;
    type Of = Client;

    const SHORTCUT: Option<Shortcut> = Some(Shortcut {
        variable: Environment::AZURE_FEDERATED_TOKEN_FILE,
        field: "federated_token_file.path",
        is_secret: false,
        environment_only: false,
        check: |path, place| {
            check(Environment::AZURE_FEDERATED_TOKEN_FILE, rules::path(path))?;
            let place = place.inside("federated_token_file");
            let proxy = TokenProxy::check(&None, &place, true)?;
            Self::new(path, None, proxy, &place).map(Credential::FederatedToken)
        },
    });

    fn check(
        document: &FederatedTokenFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let is_entra = client.authority.is_entra();
        let variable = is_entra.then_some(Environment::AZURE_FEDERATED_TOKEN_FILE);
        let path = place.required("path", document.path.as_deref(), variable)?;
        path.check(rules::path)?;
        let proxy = TokenProxy::check(&document.token_proxy, place, is_entra)?;
        #[cfg(feature = "every-credential")]
        if let (Some(proxy), Some(path), None) = (&proxy, &document.path, &document.token_proxy) {
            check_named_by_variable(proxy, path, place)?;
        }
        Self::new(path.value, document.assertion_type.as_deref(), proxy, place)
    }

    fn describe(&self) -> String {
        match &self.proxy {
            None => format!("federated token file {}", self.path),
            Some(proxy) => format!(
                "federated token file {}, by the token proxy {}",
                self.path,
                proxy.authority()
            ),
        }
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            path,
            assertion_type,
            proxy,
        } = self;
        out.add(path);
        out.add(assertion_type);
        if let Some(proxy) = proxy {
            proxy.distinguish(out);
        }
    }
}

impl SupplyAssertion for FederatedToken {
    fn proxy(&self) -> Option<&TokenProxy> {
        self.proxy.as_ref()
    }

    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let (assertion, summary) = match read(io, &self.path, purpose).await {
            Ok(good) => good,
            Err(failure) => last_good(io, &self.path, purpose).ok_or(failure)?,
        };
        Ok(Supplied::new(
            assertion,
            &self.assertion_type,
            Some(summary),
        ))
    }
}

/// What widens where a token that is written down may go is written down as well, unless the platform has said both: the file
/// and the proxy.
#[cfg(feature = "every-credential")]
fn check_named_by_variable(
    proxy: &TokenProxy,
    path: &str,
    place: &Place<'_>,
) -> Result<(), ConfigError> {
    const PROXY: &str = Environment::AZURE_KUBERNETES_TOKEN_PROXY;

    if place.variable_alone(Environment::AZURE_FEDERATED_TOKEN_FILE) == Some(path)
        || place.trusts(proxy.authority()).is_ok()
    {
        return Ok(());
    }
    let message = format!(
        "names the token proxy {}, and {} has another file than AZURE_FEDERATED_TOKEN_FILE: its token would go there",
        proxy.authority(),
        place.path()
    );
    Err(ConfigError::new(PROXY, message).hint(format!(
        "leave {} out, write {} there, or name the proxy in authority_hosts; where it is not meant, unset the variable",
        place.at("path"),
        place.at("token_proxy")
    )))
}

impl FederatedToken {
    fn new(
        path: &str,
        uri: Option<&str>,
        proxy: Option<TokenProxy>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let assertion_type = assertion_type(place, uri)?;
        place.need(|needs| needs.add_file(place.setting("path"), path));
        Ok(Self {
            path: path.to_owned(),
            assertion_type,
            proxy,
        })
    }
}

async fn read(io: &Io, path: &str, purpose: &Purpose<'_>) -> Result<GoodFile, Failure> {
    let text = FILE.read(io, path).await?;
    // mostly the file is what it was, and says what it said
    let known = io.last_good_file(path).filter(|(known, _)| *known == text);
    let is_new = known.is_none();
    let inspected = || inspect_jwt(text.expose()).map(Rc::new);
    let Some(summary) = known.map(|(_, summary)| summary).or_else(inspected) else {
        let error = Error::new(
            ErrorClass::CredentialUnavailable,
            format!("{WHAT} {path} does not hold a JWT"),
        )
        .hint("three base64url parts with dots between are expected, as Kubernetes writes them");
        // the beginning of one: whoever writes it in place has not finished
        let is_cut_off = text.expose().starts_with("eyJ");
        return Err(if is_cut_off { error.retryable() } else { error }.into());
    };
    if let Some(ago_s) = expired_for_s(io, &summary, purpose)
        && ago_s.saturating_mul(1000) > EXPIRED_ASSERTION_GRACE_MS
    {
        return Err(Error::new(
            ErrorClass::CredentialUnavailable,
            format!(
                "the token in {path} expired {} ago and nobody has rotated it",
                duration(ago_s)
            ),
        )
        .hint("the kubelet, or whoever writes it, has stopped; or this machine's clock is wrong")
        .into());
    }
    let good = (text, summary);
    if is_new {
        io.keep_good_file(path, &good);
    }
    Ok(good)
}

/// How many seconds ago it expired, by the local clock and by what the server has told of its own. Nothing is sent for
/// an expired one, so no statement from outside may bring that about: it could never be corrected.
fn expired_for_s(io: &Io, summary: &JwtSummary, purpose: &Purpose<'_>) -> Option<u64> {
    let clock = io.server_clock(&purpose.endpoint.authority);
    let unix_s = clock.earliest_ms(io.now()) / 1000;
    summary
        .exp
        .filter(|exp| *exp <= unix_s)
        .map(|exp| unix_s - exp)
}

fn last_good(io: &Io, path: &str, purpose: &Purpose<'_>) -> Option<GoodFile> {
    let good = io.last_good_file(path)?;
    expired_for_s(io, &good.1, purpose)
        .is_none()
        .then_some(good)
}
