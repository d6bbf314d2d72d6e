//! An assertion from another issuer, in two exchanges: a client of that issuer asks it for a token (client credentials),
//! and the token is the assertion with which the identity's own client authenticates. It is what
//! Microsoft.Identity.Web's `CustomSignedAssertion` with its OpenID Connect provider does: an application of one tenant,
//! or of another identity provider, stands in for one of this tenant, without a secret there.
//!
//! The first token lives for about an hour, so it is kept until shortly before its end.

use std::cell::RefCell;

use crate::authority::{Authority, Endpoint, EndpointVersion, PUBLIC_HOST};
use crate::config::error::{ConfigError, check};
use crate::config::parameters;
use crate::config::parse::{Parameters, object};
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::credential::{
    ClientAuth, Credential, CredentialFile, Failure, Fresh, JWT_BEARER, Kind, Purpose, Supplied,
    SupplyAssertion, kept,
};
use crate::credential::{discovery, platform};
use crate::distinction::Distinction;
use crate::exchange::{self, Asked, Form, Granted, Wanted, learn_clock};
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::HTTP_TIMEOUT_MS;
use crate::{Error, ErrorClass, Secret};

/// The kinds whose own token an inner client cannot be: they have no secret of their own to authenticate with there.
const NOT_INSIDE: &[&str] = &["oidc_federation", "bound_certificate"];

object! {
    /// An assertion that another issuer gives a client of its own: `tenant_id`, or `token_endpoint` of a server that is
    /// not Entra ID, with the client there and how that proves itself.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct OidcFederationFile {
        /// Entra tenant of the inner client.
        tenant_id: Option<String> = optional_text,
        /// `https://host[:port]` of its Entra cloud; the public cloud by default.
        authority_host: Option<String> = optional_text,
        /// Token endpoint URL of any other OAuth 2.0 server, instead of `tenant_id` and `authority_host`.
        token_endpoint: Option<String> = optional_text,
        /// Issuer identifier of any other OAuth 2.0 server, in whose metadata the token endpoint is found.
        issuer: Option<String> = optional_text,
        /// ID of the inner client.
        client_id: Option<String> = optional_text,
        /// The scope to ask for; at Entra ID that of token exchanges by default,
        /// `api://AzureADTokenExchange/.default`.
        scope: Option<String> = optional_text,
        /// Further parameters of its token request, such as `fmi_path`: a text, or a list of texts for one that is repeated.
        #[cfg_attr(feature = "schema", schemars(default))]
        additional_parameters: Parameters = parameters_for_every_build,
        /// How the inner client proves who it is: exactly one kind, none that is bound.
        credential: Option<Box<CredentialFile>> = boxed_object,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct OidcFederation {
    client: Box<Client>,
    scope: Option<String>,
    credential: Box<Credential>,
    /// Names it among those whose tokens are kept.
    key: String,
}

impl Kind for OidcFederation {
    type Document = OidcFederationFile;
    type Of = Client;

    fn check(
        document: &OidcFederationFile,
        place: &Place<'_>,
        _: &Client,
    ) -> Result<Self, ConfigError> {
        let authority = authority(document, place)?;
        let tenant = document.tenant_id.as_deref();
        let tenant = tenant.filter(|_| authority.is_entra()).map(str::to_owned);
        let client_id = place.required_alone("client_id", document.client_id.as_deref())?;
        client_id.check(rules::client_id)?;
        let client = Client {
            // no user signs in there
            described: None,
            client_id: client_id.value.to_owned(),
            tenant,
            additionally_allowed_tenants: Vec::new(),
            issuer: document.issuer.clone(),
            capabilities: Vec::new(),
            parameters: parameters::additional(place, &document.additional_parameters)?,
            authority,
        };
        let inside = place.inside("credential");
        let missing = || {
            ConfigError::new(inside.path(), "is not set")
                .hint("write the one kind by which the inner client proves who it is")
        };
        let written = document.credential.as_deref().ok_or_else(missing)?;
        written.check_one(&inside)?;
        if let Some(kind) = written
            .present()
            .iter()
            .find(|kind| NOT_INSIDE.contains(kind))
        {
            return Err(ConfigError::new(
                inside.path(),
                format!("is {kind}, which cannot be inside of oidc_federation"),
            )
            .hint("use a secret, a certificate, a token file or an assertion of another kind"));
        }
        let credential = Credential::check(written, &inside, &client)?.ok_or_else(|| {
            ConfigError::new(inside.path(), "is no credential of a client")
                .hint("use managed_identity_assertion in place of managed_identity")
        })?;
        // by whatever name: nothing here would let a connection with a certificate out
        if credential.certificate().is_some() {
            return Err(ConfigError::new(
                inside.path(),
                "shows its certificate on the connection, which cannot be inside of oidc_federation",
            )
            .hint("leave use_bound_credential out: the certificate signs an assertion then"));
        }
        place.need(|needs| client.need_connections(None, credential.proxy(), needs));
        let scope = match &document.scope {
            Some(scope) => {
                check(&place.at("scope"), rules::scope(scope))?;
                Some(scope.clone())
            }
            None if client.authority.is_entra() => {
                let audience = platform::audience(None, place, &client)?;
                Some(format!("{audience}{}", rules::DEFAULT_SCOPE))
            }
            None => None,
        };
        let mut kind = Self {
            client: Box::new(client),
            scope,
            credential: Box::new(credential),
            key: String::new(),
        };
        let mut distinction = Distinction::default();
        kind.distinguish(&mut distinction);
        kind.key = distinction.sha256_hex();
        Ok(kind)
    }

    fn describe(&self) -> String {
        format!(
            "assertion of the client {} by its {}",
            self.client.client_id,
            self.credential.describe()
        )
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            client,
            scope,
            credential,
            key: _,
        } = self;
        client.distinguish(out);
        out.add_optional(scope.as_deref());
        credential.distinguish(out);
    }
}

impl SupplyAssertion for OidcFederation {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let shown = RefCell::default();
        let ask = Box::pin(async {
            let granted = self.granted(io, purpose, &shown).await;
            granted.map(Fresh::from)
        });
        let kept = kept(io, &self.key, Some(purpose.identity), ask).await;
        let shown = shown.into_inner();
        match kept {
            Ok(kept) => Ok(Supplied::new(kept.token, JWT_BEARER, kept.presented).showing(shown)),
            Err(failure) => Err(Failure { shown, ..failure }),
        }
    }
}

impl OidcFederation {
    /// Of a client that is not written down: a grant makes it. What is kept of it is under a key that begins so.
    pub(crate) fn of(client: Client, scope: &str, credential: Credential, prefix: &str) -> Self {
        let mut made = Self {
            client: Box::new(client),
            scope: Some(scope.to_owned()),
            credential: Box::new(credential),
            key: String::new(),
        };
        let mut distinction = Distinction::default();
        made.distinguish(&mut distinction);
        made.key = format!("{prefix}{}", distinction.sha256_hex());
        made
    }

    /// Makes room for what is kept of it among `most` with such a key.
    pub(crate) fn make_room(&self, io: &Io, prefix: &str, most: usize) {
        io.bound_shelves(prefix, &self.key, most);
    }

    /// Gathers one attempt's client authentication.
    pub(crate) async fn client_auth(
        &self,
        io: &Io,
        purpose: &Purpose<'_>,
    ) -> Result<ClientAuth, Failure> {
        self.assertion(io, purpose).await.map(ClientAuth::from)
    }

    /// The first of the two exchanges. Its own assertion is built by the issuer's clock, as that of the second is by the
    /// server's.
    async fn granted(
        &self,
        io: &Io,
        purpose: &Purpose<'_>,
        shown: &RefCell<Vec<Secret>>,
    ) -> Result<Granted, Failure> {
        let tenant = self.client.tenant.as_deref();
        let endpoint = self
            .credential
            .find_token_endpoint(io, &self.client, tenant, purpose.correlation_id, &[])
            .await?;
        let mut again = true;
        let granted = loop {
            match self.exchanged(io, purpose, &endpoint, shown).await {
                Err((_, true)) if again => again = false,
                Ok(granted) => break granted,
                Err((failure, _)) => return Err(failure),
            }
        };
        if inspect_jwt(granted.token.expose()).is_none() {
            return Err(Error::new(
                ErrorClass::InvalidResponse,
                format!(
                    "the token that {} gave client {} is not a JWT, so it cannot be an assertion",
                    endpoint.authority, self.client.client_id
                ),
            )
            .hint("ask for a scope whose tokens are JWTs, at Entra ID api://AzureADTokenExchange/.default")
            .into());
        }
        Ok(granted)
    }

    /// One request for it; of a failure, whether the next would say other times.
    async fn exchanged(
        &self,
        io: &Io,
        purpose: &Purpose<'_>,
        endpoint: &Endpoint,
        shown: &RefCell<Vec<Secret>>,
    ) -> Result<Granted, (Failure, bool)> {
        let inner = Purpose {
            identity: purpose.identity,
            client_id: &self.client.client_id,
            tenant: self.client.tenant.as_deref(),
            endpoint,
            audience: None,
            claims: None,
            correlation_id: purpose.correlation_id,
        };
        let auth = self.credential.authenticate(io, &inner).await;
        let auth = auth.map_err(|failure| (failure, false))?;
        let host = &endpoint.authority;
        let clock_before = io.server_clock(host).estimate_ms(io.now());
        let mut form = Form::default();
        form.add("client_id", self.client.client_id.as_str());
        form.add("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.add("scope", scope.as_str());
        }
        self.client.add_parameters(&mut form);
        auth.add_to(&mut form);
        let request = exchange::request(
            endpoint,
            form,
            auth.authorization.clone(),
            purpose.correlation_id,
            HTTP_TIMEOUT_MS,
        );
        let result = io.http(request, auth.via()).await;
        let mut secrets = shown.borrow().clone();
        secrets.extend(auth.secrets());
        shown.borrow_mut().clone_from(&secrets);
        let asked = Asked {
            endpoint,
            server_unix_s: io.server_clock(host).estimate_ms(io.now()) / 1000,
            correlation_id: purpose.correlation_id,
            presented: auth.presented.as_deref(),
            wanted: Wanted::default(),
            is_entra: self.client.authority.has_numbers_of_entra(),
            secrets: &secrets,
        };
        let granted = match &result {
            Ok(response) => exchange::response(&asked, response),
            Err(error) => {
                let failure = exchange::no_response(&asked, error);
                Err(self.credential.explain(failure, error.kind))
            }
        };
        let other_clock = learn_clock(
            io,
            host,
            result.as_ref().ok(),
            auth.is_built_by_clock().then_some(clock_before),
            granted.as_ref().err(),
        );
        if let (Err(error), Authority::Discovered(issuer)) = (&granted, &self.client.authority)
            && error.detail().oauth_error.is_none()
        {
            discovery::renew(io, issuer);
        }
        // the inner credential may be one that is kept, too
        if let (Err(error), Some(read)) = (&granted, &auth.read)
            && exchange::is_refusal(error)
        {
            io.forget_assertion(read);
        }
        granted.map_err(|error| {
            let error = error.edit(|detail| {
                detail.message = format!(
                    "the assertion of client {}: {}",
                    self.client.client_id, detail.message
                );
            });
            (error.into(), other_clock)
        })
    }
}

/// Who issues the first token.
fn authority(document: &OidcFederationFile, place: &Place<'_>) -> Result<Authority, ConfigError> {
    let OidcFederationFile {
        tenant_id,
        authority_host,
        token_endpoint,
        issuer,
        ..
    } = document;
    let other = [("token_endpoint", token_endpoint), ("issuer", issuer)];
    if let Some((by, _)) = other.iter().find(|(_, value)| value.is_some()) {
        for (field, value) in [("tenant_id", tenant_id), ("authority_host", authority_host)] {
            if value.is_some() {
                return Err(ConfigError::new(
                    place.at(field),
                    format!("is for Entra ID, but there is {by}"),
                )
                .hint(format!("keep either {field} or {by}")));
            }
        }
    }
    if let Some(identifier) = issuer {
        let setting = place.at("issuer");
        check(&setting, rules::filled_in(identifier))?;
        if token_endpoint.is_none() {
            return check(&setting, place.discovered(identifier));
        }
        check(&setting, crate::authority::issuer(identifier))?;
    }
    if let Some(url) = token_endpoint {
        let setting = place.at("token_endpoint");
        check(&setting, rules::filled_in(url))?;
        let token_endpoint = check(&setting, Endpoint::parse(url))?;
        check(&setting, place.trusts(&token_endpoint.authority))?;
        return Ok(Authority::Generic {
            token_endpoint,
            mtls_token_endpoint: None,
        });
    }
    let tenant = place.required_alone("tenant_id", tenant_id.as_deref())?;
    tenant.check(rules::tenant)?;
    let setting = place.at("authority_host");
    let public = format!("https://{PUBLIC_HOST}");
    let host = authority_host.as_deref().unwrap_or(&public);
    check(&setting, rules::filled_in(host))?;
    let authority = check(&setting, Authority::entra(host, EndpointVersion::V2))?;
    if let Authority::Entra { host, .. } = &authority {
        check(&setting, place.trusts(host))?;
    }
    Ok(authority)
}
