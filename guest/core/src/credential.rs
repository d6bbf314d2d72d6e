//! How an identity gets its tokens: the table of the kinds of credentials, one module each.
//!
//! A module has all that its kind is: what users write, its checks, the variable that stands for it, what it needs of
//! the driver (noted while it is checked), a line about it for people, and its flow. A new kind is a module and a row in
//! [`kinds!`]; drivers see [`Needs`](crate::Needs) and no kinds.
//!
//! There are two routes to a token. An *exchange* authenticates the client and posts a grant to a token endpoint; some
//! of its kinds only supply an assertion, and what is done with that is the same for all of them. A *direct* kind asks
//! the platform in a dialect of its own, and has neither client nor tenant.

#[cfg(feature = "every-credential")]
mod assertion_source;
mod availability;
#[cfg(feature = "every-credential")]
mod aws_web_identity;
#[cfg(feature = "every-credential")]
mod azure_pipelines;
mod bound_certificate;
mod certificate;
mod client_assertion;
mod client_secret;
#[cfg(feature = "every-credential")]
pub(crate) mod discovery;
#[cfg(not(feature = "every-credential"))]
mod elsewhere;
#[cfg(feature = "every-credential")]
mod executable;
mod federated_token_file;
#[cfg(feature = "every-credential")]
mod github_actions;
#[cfg(feature = "every-credential")]
mod google_metadata;
#[cfg(feature = "every-credential")]
mod kept;
#[cfg(feature = "every-credential")]
pub(crate) mod keyset;
mod list;
mod managed_identity;
mod managed_identity_assertion;
#[cfg(feature = "every-credential")]
mod oidc_federation;
#[cfg(feature = "every-credential")]
mod platform;
#[cfg(feature = "every-credential")]
mod private_key_jwt;
mod secret_value;
mod signed_assertion;
#[cfg(feature = "every-credential")]
mod silence;
#[cfg(feature = "every-credential")]
mod spiffe;
#[cfg(feature = "every-credential")]
mod token_proxy;

use std::pin::Pin;
use std::rc::Rc;

#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::authority::Endpoint;
use crate::config::error::{ConfigError, check};
use crate::config::parse::{Object, object};
use crate::config::place::Place;
use crate::config::{Client, rules};
use crate::distinction::Distinction;
use crate::effect::{HttpErrorKind, ReadError, Via};
use crate::exchange::{Form, Granted};
use crate::flow::{Io, OpenCertificate};
use crate::inspect::JwtSummary;
#[cfg(not(feature = "every-credential"))]
use crate::json::Json;
use crate::text::bytes_without_byte_order_mark;
use crate::{ClientAssertion, CredentialRef, Error, ErrorClass, Secret};

pub(crate) use availability::{Availability, Failure};
pub use list::CredentialTrial;
pub(crate) use list::{Credentials, Standings};
pub(crate) use managed_identity::ManagedIdentityFile;

#[cfg(feature = "every-credential")]
pub(crate) use kept::Shelf;
#[cfg(feature = "every-credential")]
use kept::{Fresh, kept};
#[cfg(feature = "every-credential")]
pub(crate) use oidc_federation::OidcFederation;
#[cfg(feature = "every-credential")]
pub(crate) use signed_assertion::x5t_s256;
pub(crate) use token_proxy::TokenProxy;

#[cfg(not(feature = "every-credential"))]
use elsewhere as token_proxy;

/// `client_assertion_type` of a JWT (RFC 7523 section 2.2).
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The same of an assertion that is bound to the certificate of the connection.
#[cfg(feature = "every-credential")]
pub(crate) const JWT_POP: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-pop";

/// Makes of the table what is the same for all kinds: the object that users write, and the choice of the module.
macro_rules! kinds {
    (
        exchange { $($(#[$doc:meta])* $name:ident: $Kind:ident,)* }
        direct { $($(#[$direct_doc:meta])* $direct_name:ident: $DirectKind:ident,)* }
    ) => {
        object! {
            /// Exactly one of the kinds.
            #[derive(Clone, Debug, Default)]
            #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1, "maxProperties" = 1)))]
            pub(crate) struct CredentialFile {
                $($(#[$doc])* $name: Option<<$name::$Kind as Kind>::Document> = optional_object,)*
                $(
                    $(#[$direct_doc])*
                    $direct_name: Option<<$direct_name::$DirectKind as Kind>::Document> = optional_object,
                )*
            }
        }

        impl CredentialFile {
            /// The kinds that are set.
            pub(crate) fn present(&self) -> Vec<&'static str> {
                let mut present = Vec::new();
                $(if self.$name.is_some() {
                    present.push(stringify!($name));
                })*
                $(if self.$direct_name.is_some() {
                    present.push(stringify!($direct_name));
                })*
                present
            }
        }

        /// A credential of a client.
        #[derive(Clone, Debug)]
        pub(crate) enum Credential {
            $($Kind($name::$Kind),)*
        }

        /// A credential that is a route of its own.
        #[derive(Clone, Debug)]
        pub(crate) enum Direct {
            $($DirectKind($direct_name::$DirectKind),)*
        }

        /// The variables of which each stands for a whole credential.
        pub(crate) const SHORTCUTS: &[Option<Shortcut>] = &[$(<$name::$Kind as Kind>::SHORTCUT),*];

        impl Credential {
            /// The kind that is written, unless that is a direct one. There is exactly one.
            pub(crate) fn check(
                file: &CredentialFile,
                place: &Place<'_>,
                client: &Client,
            ) -> Result<Option<Self>, ConfigError> {
                $(
                    if let Some(document) = &file.$name {
                        let place = place.inside(stringify!($name));
                        if HANDED_IN.contains(&stringify!($name)) {
                            place.need(|needs| needs.every_credential.push(place.path().to_owned()));
                        }
                        return Kind::check(document, &place, client)
                            .map(|kind| Some(Self::$Kind(kind)));
                    }
                )*
                Ok(None)
            }

            /// The certificate that authenticates the connection of its requests.
            pub(crate) fn certificate(&self) -> Option<&str> {
                match self {
                    $(Self::$Kind(kind) => Authenticate::certificate(kind),)*
                }
            }

            /// The proxy that its requests go to in place of the authority.
            pub(crate) fn proxy(&self) -> Option<&TokenProxy> {
                match self {
                    $(Self::$Kind(kind) => Authenticate::proxy(kind),)*
                }
            }

            /// Gathers one attempt's client authentication.
            pub(crate) async fn authenticate(
                &self,
                io: &Io,
                purpose: &Purpose<'_>,
            ) -> Result<ClientAuth, Failure> {
                let gathered: Pin<Box<dyn Future<Output = Result<ClientAuth, Failure>> + '_>> = match self {
                    $(Self::$Kind(kind) => Box::pin(kind.authenticate(io, purpose)),)*
                };
                gathered.await
            }

            /// One line about it, for people.
            pub(crate) fn describe(&self) -> String {
                match self {
                    $(Self::$Kind(kind) => kind.describe(),)*
                }
            }

            /// What errors call it.
            pub(crate) fn reference(&self) -> CredentialRef {
                match self {
                    $(Self::$Kind(kind) => reference(stringify!($name), kind.name()),)*
                }
            }

            pub(crate) fn distinguish(&self, out: &mut Distinction) {
                match self {
                    $(Self::$Kind(kind) => {
                        out.add(stringify!($name));
                        kind.distinguish(out);
                    })*
                }
            }

            /// Whether it proves the same in the same way, however the two are written: a certificate on the connection
            /// has two kinds.
            #[cfg(feature = "every-credential")]
            pub(crate) fn is_same(&self, other: &Self) -> bool {
                let whole = |credential: &Self| {
                    let mut out = Distinction::default();
                    match credential {
                        $(Self::$Kind(kind) => {
                            let is_bound = Authenticate::certificate(kind).is_some();
                            out.add(if is_bound { "" } else { stringify!($name) });
                            kind.distinguish(&mut out);
                        })*
                    }
                    out.into_secret()
                };
                whole(self) == whole(other)
            }
        }

        impl Direct {
            /// The kind that is written, if it is a direct one.
            pub(crate) fn check(
                file: &CredentialFile,
                place: &Place<'_>,
            ) -> Result<Option<Self>, ConfigError> {
                $(
                    if let Some(document) = &file.$direct_name {
                        let place = place.inside(stringify!($direct_name));
                        return Kind::check(document, &place, &())
                            .map(|kind| Some(Self::$DirectKind(kind)));
                    }
                )*
                Ok(None)
            }

            /// Asks for one token.
            pub(crate) async fn token(
                &self,
                io: &Io,
                request: &DirectRequest<'_>,
            ) -> Result<Granted, Failure> {
                match *self {
                    $(Self::$DirectKind(ref kind) => kind.token(io, request).await,)*
                }
            }

            /// The server that it asks, for messages.
            pub(crate) fn server(&self) -> &str {
                match *self {
                    $(Self::$DirectKind(ref kind) => kind.server(),)*
                }
            }

            /// One line about it, for people.
            pub(crate) fn describe(&self) -> String {
                match *self {
                    $(Self::$DirectKind(ref kind) => kind.describe(),)*
                }
            }

            /// What errors call it.
            pub(crate) fn reference(&self) -> CredentialRef {
                match *self {
                    $(Self::$DirectKind(ref kind) => reference(stringify!($direct_name), kind.name()),)*
                }
            }

            pub(crate) fn distinguish(&self, out: &mut Distinction) {
                match *self {
                    $(Self::$DirectKind(ref kind) => {
                        out.add(stringify!($direct_name));
                        kind.distinguish(out);
                    })*
                }
            }
        }
    };
}

/// The table: the kinds that are in every build, and those that are handed in.
macro_rules! kinds_and {
    ($($more:tt)*) => {
        kinds! {
            exchange {
                /// A token that the platform rotates in a file, for example a Kubernetes projected service-account token.
                federated_token_file: FederatedToken,
                /// An assertion that somebody else built.
                client_assertion: PrebuiltAssertion,
                /// A client secret.
                client_secret: ClientSecret,
                /// An assertion signed with a certificate's key, which the host keeps.
                certificate: Certificate,
                /// A certificate that authenticates the TLS connection to the authority's mTLS endpoint.
                bound_certificate: BoundCertificate,
                /// An assertion that is the token of a managed identity of this machine.
                managed_identity_assertion: ManagedIdentityAssertion,
                $($more)*
            }
            direct {
                /// The managed identity of this machine, without a client of its own.
                managed_identity: ManagedIdentity,
            }
        }
    };
}

/// The kinds that are handed in where the driver can serve them: a filter for Envoy, whose size counts, knows their names.
macro_rules! every_kind {
    ($then:ident) => {
        $then! {
            /// An assertion from the host's or a component's assertion source.
            assertion_source: AssertionSource,
            /// An assertion signed with a private key that the server knows by itself (a registered JWK), which the host
            /// keeps.
            private_key_jwt: PrivateKeyJwt,
            /// An assertion that is the identity token of a GitHub Actions job.
            github_actions: GitHubActions,
            /// An assertion that is the identity token of an Azure Pipelines job.
            azure_pipelines: AzurePipelines,
            /// An assertion that is the identity token of a machine, container or function of Google Cloud.
            google_metadata: GoogleMetadata,
            /// An assertion that AWS gives a role (`sts:GetWebIdentityToken`).
            aws_web_identity: AwsWebIdentity,
            /// An assertion that a command prints.
            executable: Executable,
            /// An assertion that another issuer gives a client of its own (two exchanges).
            oidc_federation: OidcFederation,
            /// A JWT-SVID from the SPIFFE Workload API.
            spiffe: Spiffe,
        }
    };
}

#[cfg(feature = "every-credential")]
every_kind!(kinds_and);

#[cfg(not(feature = "every-credential"))]
kinds_and! {
    /// One of the kinds that other builds have.
    elsewhere: Elsewhere,
}

macro_rules! names_of {
    ($($(#[$doc:meta])* $name:ident: $Kind:ident,)*) => {
        /// The kinds that are not in every build.
        const HANDED_IN: &[&str] = &[$(stringify!($name)),*];
    };
}

every_kind!(names_of);

/// Makes of a kind that other builds have the one kind that stands for all of them here: whoever uses such an identity is
/// told so, and an identity that nobody uses is nobody's fault.
#[cfg(not(feature = "every-credential"))]
pub(crate) fn set_elsewhere(fields: &mut [(String, Json)], known: &[&str]) {
    const NAME: &str = "elsewhere";

    if !known.contains(&NAME) {
        return;
    }
    for (name, value) in fields {
        if HANDED_IN.contains(&name.as_str()) {
            let kind = std::mem::replace(name, NAME.to_owned());
            *value = Json::Object(vec![("kind".to_owned(), Json::Text(Secret::new(kind)))]);
        }
    }
}

/// What every kind says of itself.
pub(crate) trait Kind: Sized {
    /// What users write.
    type Document: Object;

    /// Whose credential it is: a [`Client`]'s, or nobody's in particular.
    type Of;

    /// The environment variable that stands for the whole of it.
    const SHORTCUT: Option<Shortcut> = None;

    /// Checks what is written, and notes what it needs.
    fn check(
        document: &Self::Document,
        place: &Place<'_>,
        of: &Self::Of,
    ) -> Result<Self, ConfigError>;

    /// One line about it, for people. Never a secret.
    fn describe(&self) -> String;

    /// Its name, where it has one: that of its certificate.
    fn name(&self) -> Option<&str> {
        None
    }

    /// All by which it differs from another of its kind.
    fn distinguish(&self, out: &mut Distinction);
}

/// A variable that stands for a credential.
pub(crate) struct Shortcut {
    pub(crate) variable: &'static str,
    /// The field below `credential` that it stands for.
    field: &'static str,
    is_secret: bool,
    /// Only for an identity of which nothing is written down.
    pub(crate) environment_only: bool,
    /// Makes the credential of its value; the place is that of the credential.
    check: fn(&str, &Place<'_>) -> Result<Credential, ConfigError>,
}

impl Shortcut {
    /// The credential, if the variable is set.
    pub(crate) fn credential(&self, place: &Place<'_>) -> Result<Option<Credential>, ConfigError> {
        let value = place.variable(self.variable, self.field, self.is_secret);
        value.map(|value| (self.check)(value, place)).transpose()
    }
}

/// A kind that authenticates a client.
pub(crate) trait Authenticate: Kind<Of = Client> {
    /// The certificate that authenticates the connection.
    fn certificate(&self) -> Option<&str> {
        None
    }

    /// The proxy that its requests go to in place of the authority.
    fn proxy(&self) -> Option<&TokenProxy> {
        None
    }

    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure>;
}

/// A kind that brings an assertion from somewhere and does no more.
pub(crate) trait SupplyAssertion: Kind<Of = Client> {
    /// The certificate that its assertions are bound to, and that authenticates the connection.
    fn certificate(&self) -> Option<&str> {
        None
    }

    /// The proxy that the exchange goes to in place of the authority.
    fn proxy(&self) -> Option<&TokenProxy> {
        None
    }

    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure>;
}

impl<T: SupplyAssertion> Authenticate for T {
    fn certificate(&self) -> Option<&str> {
        SupplyAssertion::certificate(self)
    }

    fn proxy(&self) -> Option<&TokenProxy> {
        SupplyAssertion::proxy(self)
    }

    /// A caller's audience goes no further: whoever supplies assertions gives those of the configuration. A platform that
    /// took the caller's would give him tokens for anything.
    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        if purpose.audience.is_some() {
            return Err(no_say(purpose, &self.describe()));
        }
        self.assertion(io, purpose).await.map(ClientAuth::from)
    }
}

/// Of a caller who names an audience.
fn no_say(purpose: &Purpose<'_>, credential: &str) -> Failure {
    Error::new(
        ErrorClass::InvalidRequest,
        format!(
            "identity `{}` has no say in the audience of its assertion: {credential}",
            purpose.identity
        ),
    )
    .hint("ask without an audience; a caller's counts where the assertion is signed with a certificate")
    .into()
}

impl From<Supplied> for ClientAuth {
    // one function, whichever kind has supplied it
    #[inline(never)]
    fn from(supplied: Supplied) -> Self {
        #[cfg(feature = "every-credential")]
        let (connection, generation) = match supplied.binding {
            Some(binding) => (Some(binding.certificate), Some(binding.thumbprint)),
            None => (None, None),
        };
        Self {
            read: Some(supplied.assertion.assertion.clone()),
            assertion: Some(supplied.assertion),
            presented: supplied.presented,
            echoes: supplied.shown,
            #[cfg(feature = "every-credential")]
            generation,
            #[cfg(feature = "every-credential")]
            connection,
            ..Self::default()
        }
    }
}

/// A kind that asks the platform for tokens without an exchange.
pub(crate) trait AskDirectly: Kind<Of = ()> {
    /// The server that it asks, for messages.
    fn server(&self) -> &str;

    async fn token(&self, io: &Io, request: &DirectRequest<'_>) -> Result<Granted, Failure>;
}

/// The token that a direct kind is asked for.
pub(crate) struct DirectRequest<'a> {
    /// One, `<resource>/.default` or the resource alone.
    pub(crate) scopes: &'a [String],
    pub(crate) correlation_id: &'a str,
    /// How long it may take.
    pub(crate) timeout_ms: u64,
}

/// What credentials may know of the exchange they are for.
pub(crate) struct Purpose<'a> {
    pub(crate) identity: &'a str,
    pub(crate) client_id: &'a str,
    #[cfg_attr(
        not(feature = "every-credential"),
        expect(dead_code, reason = "read by kinds that this build does without")
    )]
    pub(crate) tenant: Option<&'a str>,
    pub(crate) endpoint: &'a Endpoint,
    /// The caller's, in place of the configured `aud` of an assertion built here. No supplier sees one.
    pub(crate) audience: Option<&'a str>,
    #[cfg_attr(
        not(feature = "every-credential"),
        expect(dead_code, reason = "read by kinds that this build does without")
    )]
    pub(crate) claims: Option<&'a str>,
    pub(crate) correlation_id: &'a str,
}

/// An assertion from somewhere else.
pub(crate) struct Supplied {
    assertion: ClientAssertion,
    /// What it says of itself, for hints.
    presented: Option<Rc<JwtSummary>>,
    /// What was shown to others to get it: the server may be the same, and say it again.
    shown: Vec<Secret>,
    /// The certificate that it is bound to.
    #[cfg(feature = "every-credential")]
    binding: Option<Box<Binding>>,
}

/// A certificate that an assertion is bound to.
#[cfg(feature = "every-credential")]
pub(crate) struct Binding {
    pub(crate) certificate: OpenCertificate,
    pub(crate) thumbprint: String,
}

impl Supplied {
    pub(crate) fn new(
        assertion: Secret,
        assertion_type: &str,
        presented: Option<Rc<JwtSummary>>,
    ) -> Self {
        Self {
            assertion: ClientAssertion {
                assertion,
                assertion_type: assertion_type.to_owned(),
                expires_on: presented.as_ref().and_then(|summary| summary.exp),
            },
            presented,
            shown: Vec::new(),
            #[cfg(feature = "every-credential")]
            binding: None,
        }
    }

    /// Of an assertion that counts on a connection with that certificate alone.
    #[cfg(feature = "every-credential")]
    pub(crate) fn bound_to(self, binding: Binding) -> Self {
        Self {
            binding: Some(Box::new(binding)),
            ..self
        }
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn showing(self, shown: Vec<Secret>) -> Self {
        Self { shown, ..self }
    }
}

/// One attempt's client authentication.
#[derive(Debug, Default)]
pub(crate) struct ClientAuth {
    /// The assertion, if there is one.
    pub(crate) assertion: Option<ClientAssertion>,
    /// `client_secret` of the form.
    pub(crate) secret: Option<Secret>,
    /// The `Authorization` header.
    pub(crate) authorization: Option<Secret>,
    /// What stands for the secret beside what is sent: a server may answer with any of it.
    pub(crate) echoes: Vec<Secret>,
    /// The certificate that authenticates the connection.
    pub(crate) connection: Option<OpenCertificate>,
    /// What a federated assertion says of itself, for hints.
    pub(crate) presented: Option<Rc<JwtSummary>>,
    /// Names this state of a credential that can rotate: tokens got with another are not served.
    pub(crate) generation: Option<String>,
    /// `token_type` of the form.
    #[cfg(feature = "every-credential")]
    pub(crate) token_type: Option<&'static str>,
    /// What stands for an agent that acts as a user.
    #[cfg(feature = "every-credential")]
    pub(crate) for_user: Option<Secret>,
    /// Material that was only read: presenting the same again would be refused again.
    pub(crate) read: Option<Secret>,
}

impl ClientAuth {
    pub(crate) fn via(&self) -> Via {
        self.connection
            .as_ref()
            .map_or(Via::Public, |opened| Via::Certificate(opened.handle))
    }

    /// For a token that is bound to the certificate on the connection. Entra ID wants to be told, and takes the certificate
    /// alone then, unless that proves nothing without the assertion that is bound to it; other servers bind what they issue
    /// to it by the client's registration (RFC 8705 section 3.4).
    #[cfg(feature = "every-credential")]
    pub(crate) fn for_a_bound_token(mut self, authority: &Authority) -> Self {
        if authority.is_entra() {
            self.assertion.take_if(|own| own.assertion_type != JWT_POP);
            self.token_type = Some(crate::exchange::MTLS_POP);
        }
        self
    }

    /// Whether a handshake that was refused is worth another one: the platform issues another certificate then.
    pub(crate) fn is_issued_anew(&self, kind: HttpErrorKind) -> bool {
        #[cfg(feature = "every-credential")]
        {
            let connection = self.connection.as_ref();
            connection.is_some_and(|opened| opened.issuance.is_some()) && kind.is_of_a_handshake()
        }
        #[cfg(not(feature = "every-credential"))]
        {
            let _ = kind;
            false
        }
    }

    /// One method a request (RFC 6749 section 2.3).
    pub(crate) fn add_to<'a>(&'a self, form: &mut Form<'a>) {
        if let Some(assertion) = &self.assertion {
            let is_plain = self.presented.as_ref().is_some_and(|jwt| jwt.is_plain);
            form.put(
                "client_assertion",
                assertion.assertion.expose().into(),
                is_plain,
            );
            form.add("client_assertion_type", assertion.assertion_type.as_str());
        }
        if let Some(secret) = &self.secret {
            form.add("client_secret", secret.expose());
        }
        #[cfg(feature = "every-credential")]
        if let Some(token_type) = self.token_type {
            form.add("token_type", token_type);
        }
        #[cfg(feature = "every-credential")]
        if let Some(token) = &self.for_user {
            form.add("user_federated_identity_credential", token.expose());
        }
    }

    /// Whether its assertion says times that were taken from a clock here: one that was built is never the same twice.
    pub(crate) fn is_built_by_clock(&self) -> bool {
        self.assertion.is_some() && self.read.is_none()
    }

    /// What is remembered of material that was refused.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.read.as_ref().map(Secret::sha256_hex)
    }

    /// Everything in it that must not come back in a message.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let all = self
            .assertion
            .iter()
            .map(|a| a.assertion.clone())
            .chain(self.secret.clone())
            .chain(self.authorization.clone())
            .chain(self.echoes.iter().cloned());
        #[cfg(feature = "every-credential")]
        let all = all.chain(self.for_user.clone());
        all.collect()
    }
}

impl Credential {
    /// Where a client that proves itself with it asks for a token of that tenant.
    pub(crate) fn token_endpoint(
        &self,
        client: &Client,
        tenant: Option<&str>,
    ) -> Result<Endpoint, Error> {
        let endpoint = client.token_endpoint(tenant, self.certificate().is_some())?;
        Ok(match self.proxy() {
            Some(proxy) => proxy.endpoint(&endpoint),
            None => endpoint,
        })
    }
}

impl Credential {
    /// The same, where the server's metadata may have to be asked for it.
    ///
    /// Boxed, so that there is one such flow for all who need it.
    #[cfg(feature = "every-credential")]
    pub(crate) fn find_token_endpoint<'a>(
        &'a self,
        io: &'a Io,
        client: &'a Client,
        tenant: Option<&'a str>,
        correlation_id: &'a str,
        secrets: &'a [Secret],
    ) -> Pin<Box<dyn Future<Output = Result<Endpoint, Error>> + 'a>> {
        Box::pin(async move {
            let Authority::Discovered(issuer) = &client.authority else {
                return self.token_endpoint(client, tenant);
            };
            let mtls = self.certificate().is_some();
            let found =
                discovery::token_endpoint(io, issuer, mtls, correlation_id, secrets).await?;
            Ok(match self.proxy() {
                Some(proxy) => proxy.endpoint(&found),
                None => found,
            })
        })
    }

    /// The same: here it is always known.
    #[cfg(not(feature = "every-credential"))]
    pub(crate) async fn find_token_endpoint(
        &self,
        _: &Io,
        client: &Client,
        tenant: Option<&str>,
        _: &str,
        _: &[Secret],
    ) -> Result<Endpoint, Error> {
        self.token_endpoint(client, tenant)
    }

    /// A transport failure of its exchange: where a proxy stands in for the authority, other settings help.
    pub(crate) fn explain(&self, error: Error, kind: HttpErrorKind) -> Error {
        match self.proxy().and_then(|proxy| proxy.hint(kind)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

#[cfg(feature = "key-vault")]
impl Direct {
    /// A managed identity for tokens of that resource alone.
    pub(crate) fn managed_identity(
        document: &ManagedIdentityFile,
        resource: &str,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let identity = managed_identity::ManagedIdentity::of(document, Some(resource), place);
        identity.map(Self::ManagedIdentity)
    }
}

/// Those of an environment that describes them.
#[cfg(feature = "every-credential")]
impl CredentialFile {
    pub(crate) fn of_github_actions() -> Self {
        Self {
            github_actions: Some(Default::default()),
            ..Self::default()
        }
    }

    pub(crate) fn of_azure_pipelines() -> Self {
        Self {
            azure_pipelines: Some(Default::default()),
            ..Self::default()
        }
    }

    pub(crate) fn of_managed_identity(client_id: Option<&str>) -> Self {
        let document = ManagedIdentityFile::of(client_id);
        Self {
            managed_identity: Some(document),
            ..Self::default()
        }
    }
}

impl CredentialFile {
    /// That it has one kind.
    pub(crate) fn check_one(&self, place: &Place<'_>) -> Result<(), ConfigError> {
        let present = self.present();
        match present.as_slice() {
            [_] => Ok(()),
            [] => Err(
                ConfigError::new(place.path(), "names no kind").hint(format!(
                    "set exactly one of {}",
                    <Self as Object>::FIELDS.join(", ")
                )),
            ),
            _ => Err(ConfigError::new(
                place.path(),
                format!("has {} kinds: {}", present.len(), present.join(", ")),
            )
            .hint("keep one; several that may stand in for each other go into a list, each in an object of its own")),
        }
    }
}

fn reference(kind: &str, name: Option<&str>) -> CredentialRef {
    CredentialRef {
        kind: kind.to_owned(),
        name: name.map(str::to_owned),
    }
}

/// `client_assertion_type` as configured, or that of a JWT.
fn assertion_type(place: &Place<'_>, configured: Option<&str>) -> Result<String, ConfigError> {
    if let Some(uri) = configured {
        check(&place.at("assertion_type"), rules::assertion_type(uri))?;
    }
    Ok(configured.unwrap_or(JWT_BEARER).to_owned())
}

/// A small text file that is read at each exchange.
pub(crate) struct TextFile {
    /// What errors call it.
    pub(crate) what: &'static str,
    /// Who may have its path wrong.
    pub(crate) setting: &'static str,
    pub(crate) max_bytes: usize,
}

impl TextFile {
    /// The text as people mean it: without a byte order mark, and without blanks and line ends around it.
    async fn read(&self, io: &Io, path: &str) -> Result<Secret, Failure> {
        let Self {
            what,
            setting,
            max_bytes,
        } = self;
        let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
        let too_large = |limit: u64| {
            unavailable(format!("{what} {path} is larger than {limit} bytes"))
                .hint("this is not such a file")
        };
        let bytes = io.read_file(path).await.map_err(|error| match error {
            ReadError::NotFound => {
                Failure::not_here(unavailable(format!("{what} {path} does not exist")).hint(
                    format!("check the path ({setting}) and that the volume is mounted"),
                ))
            }
            ReadError::Denied(reason) => unavailable(format!(
                "{what} {path} may not be read: {reason}"
            ))
            .hint("check the file's owner and mode, and that the configuration names this path")
            .into(),
            ReadError::TooLarge(limit) => too_large(limit).into(),
            ReadError::Other(reason) => {
                unavailable(format!("{what} {path} cannot be read: {reason}"))
                    .retryable()
                    .into()
            }
        })?;
        let bytes = bytes_without_byte_order_mark(bytes.expose());
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
            return Err(
                unavailable(format!("{what} {path} is UTF-16, or no text at all"))
                    .hint("write it as UTF-8; `>` of Windows PowerShell writes UTF-16")
                    .into(),
            );
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| unavailable(format!("{what} {path} is not text (UTF-8)")))?
            .trim();
        if text.len() > *max_bytes {
            return Err(too_large(*max_bytes as u64).into());
        }
        if text.is_empty() {
            // in a moment it may not be: a file that is written in place has nothing in it at first
            return Err(unavailable(format!("{what} {path} is empty"))
                .retryable()
                .hint(
                    "whoever writes it has not done so yet, or writes it in place instead of swapping it",
                )
                .into());
        }
        Ok(Secret::new(text))
    }
}
