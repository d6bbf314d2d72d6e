//! The table of the kinds, and what is the same for all of them: the object that users write, the choice of the module, the
//! endpoint that is asked, and what is done with a supplied assertion. What a kind does is not known here.

use std::pin::Pin;

#[cfg(feature = "every-credential")]
use super::ManagedIdentityFile;
use super::client_auth::ClientAuth;
#[cfg(feature = "every-credential")]
use super::discovery;
use super::kind::{
    AskDirectly, Authenticate, DirectRequest, Kind, Purpose, Shortcut, SupplyAssertion,
};
use super::{Failure, TokenProxy};
#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::authority::Endpoint;
use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::{Object, object};
use crate::config::place::Place;
use crate::distinction::Distinction;
use crate::effect::HttpErrorKind;
use crate::exchange::Granted;
use crate::flow::Io;
#[cfg(not(feature = "every-credential"))]
use crate::json::Json;
use crate::{CredentialRef, Error, ErrorClass, Secret};

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
                $($(#[$doc])* $name: Option<<super::$name::$Kind as Kind>::Document> = optional_object,)*
                $(
                    $(#[$direct_doc])*
                    $direct_name: Option<<super::$direct_name::$DirectKind as Kind>::Document> = optional_object,
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
            $($Kind(super::$name::$Kind),)*
        }

        /// A credential that is a route of its own.
        #[derive(Clone, Debug)]
        pub(crate) enum Direct {
            $($DirectKind(super::$direct_name::$DirectKind),)*
        }

        /// The variables of which each stands for a whole credential.
        pub(crate) const SHORTCUTS: &[Option<Shortcut>] = &[$(<super::$name::$Kind as Kind>::SHORTCUT),*];

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

pub(super) fn reference(kind: &str, name: Option<&str>) -> CredentialRef {
    CredentialRef {
        kind: kind.to_owned(),
        name: name.map(str::to_owned),
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
