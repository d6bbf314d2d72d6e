//! Bound managed identity: the metadata service issues a certificate for a key that the host makes and keeps (its
//! credential protocol, version 2), and with that on the connection the cloud's token service issues tokens that count on
//! such connections alone.
//!
//! The host does what takes the key: it asks the service, and keeps the certificate until it is time for the next. What is
//! posted on the connection is the engine's, as with any other certificate.

use std::pin::Pin;

use super::beside::Beside;
use super::imds;
use super::selector::Selector;
use super::source::SourceName;
use crate::authority::{Authority, Endpoint};
use crate::config::error::ConfigError;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::{self, Binding, Failure, Fresh, JWT_POP, Supplied, kept};
use crate::distinction::Distinction;
use crate::effect::{CertificateError, Issuance, Via};
use crate::exchange::{self, Asked, Form, Granted, MTLS_POP, Wanted, learn_clock};
use crate::flow::Io;
use crate::limits::HTTP_TIMEOUT_MS;
use crate::needs::{Connection, IssuedCertificateNeed, PathPattern, Permission, Purpose, Scheme};
use crate::{Error, ErrorClass, TokenType};

/// The version of the protocol that is known.
const CRED_API_VERSION: &str = "2.0";

/// What follows the tenant in the URL of the token service.
const TOKEN_PATH: &str = "/oauth2/v2.0/token";

/// What no configuration calls a certificate of its own: names have no colon.
const PREFIX: &str = "issued:";

/// How often an assertion is asked for because the certificate was replaced meanwhile. It lives for a week: twice within a
/// call is somebody's fault.
const MAX_ROUNDS: usize = 3;

/// Characters of an answer that is not used, and of what is said of it.
const MAX_SHOWN_CHARS: usize = 600;

/// Where the same machine gets tokens without a certificate of its own.
const WITHOUT: &str =
    "leave use_bound_credential out, or list the same entry without it after this one";

/// A managed identity that has a certificate.
#[derive(Clone, Debug)]
pub(in crate::credential) struct Bound {
    selector: Selector,
    /// The metadata service.
    authority: String,
    /// The host's name of the certificate.
    certificate: String,
    /// The token service of the cloud: this host, or a region's below it.
    token_host: String,
}

/// The certificate as it is now.
struct Opened {
    binding: Binding,
    client_id: String,
    endpoint: Endpoint,
}

type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened, Failure>> + 'a>>;

impl Bound {
    /// One whose tokens are for that client's cloud.
    pub(in crate::credential) fn check(
        source: SourceName,
        selector: Selector,
        authority: &Authority,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let setting = place.at("use_bound_credential");
        let beside = match source {
            SourceName::Imds => false,
            SourceName::Detect => Beside::detect(selector.clone(), None, place)?.is_some(),
            _ => true,
        };
        if beside {
            return Err(ConfigError::new(
                setting,
                "is set, but this source of managed identities issues no certificates",
            )
            .hint("leave it out: only the metadata service of virtual machines (imds) has a protocol for them"));
        }
        if !authority.is_entra() {
            return Err(ConfigError::new(
                setting,
                "is set, but the token endpoint is not Entra ID's",
            )
            .hint("leave it out: other servers take no assertions that are bound so"));
        }
        let token_host = authority
            .mtls_host()
            .map_err(|error| ConfigError::from_error(&setting, &error))?;
        let bound = Self {
            authority: imds::authority(place)?,
            certificate: format!("{PREFIX}{}", place.path()),
            selector,
            token_host,
        };
        let connection = |authority: String| Connection {
            permission: Permission {
                scheme: Scheme::Https,
                authority,
                path: PathPattern::AnySegment {
                    before: "/".to_owned(),
                    after: TOKEN_PATH.to_owned(),
                },
                purpose: Purpose::TokenEndpoint,
            },
            certificate: Some(bound.certificate.clone()),
            server_thumbprint: None,
        };
        place.need(|needs| {
            let host = &bound.token_host;
            needs.connections.push(connection(host.clone()));
            needs.connections.push(connection(format!("*.{host}")));
            needs.issued_certificates.push(IssuedCertificateNeed {
                setting: place.path().to_owned(),
                name: bound.certificate.clone(),
                authority: bound.authority.clone(),
                query: bound.query(),
            });
            needs.every_credential.push(setting);
        });
        Ok(bound)
    }

    pub(in crate::credential) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(in crate::credential) fn describe(&self) -> String {
        format!(
            "{} with a certificate of the metadata service on the connection (mTLS)",
            self.selector.describe()
        )
    }

    pub(in crate::credential) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            selector,
            authority,
            certificate,
            token_host,
        } = self;
        selector.distinguish(out);
        out.add(authority);
        out.add(certificate);
        out.add(token_host);
    }

    /// Its token for that audience, which is an assertion on a connection with the certificate that comes with it.
    pub(in crate::credential) async fn assertion(
        &self,
        io: &Io,
        key: &str,
        audience: &str,
        purpose: &credential::Purpose<'_>,
    ) -> Result<Supplied, Failure> {
        for _ in 0..MAX_ROUNDS {
            let ask = self.token(io, audience, purpose.correlation_id);
            let ask = Box::pin(async { ask.await.map(Fresh::from) });
            let kept = kept(io, key, Some(purpose.identity), ask).await?;
            let opened = self.open(io).await?;
            // the server compares, so both are of one generation or nothing is presented
            if kept.bound_to.as_ref() == Some(&opened.binding.thumbprint) {
                let supplied = Supplied::new(kept.token, JWT_POP, kept.presented);
                return Ok(supplied.bound_to(opened.binding));
            }
            io.forget_assertion(&kept.token);
        }
        Err(Error::new(
            ErrorClass::CredentialUnavailable,
            format!(
                "the certificate of the {} was replaced while it was used",
                self.selector.describe()
            ),
        )
        .retryable()
        .into())
    }

    /// Whose certificate it is, as the service reads it.
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("cred-api-version", CRED_API_VERSION);
        if let Some((name, id)) = imds::parameter(&self.selector) {
            query.append_pair(name, id);
        }
        query.finish()
    }

    /// One token, asked for on a connection with the certificate. A handshake that is refused is worth one with another
    /// certificate, if the host has got one meanwhile.
    async fn token(
        &self,
        io: &Io,
        audience: &str,
        correlation_id: &str,
    ) -> Result<Granted, Failure> {
        let mut refused: Option<(String, Failure)> = None;
        loop {
            let opened = self.open(io).await;
            if let Some((before, failure)) = &refused
                && opened
                    .as_ref()
                    .is_ok_and(|opened| opened.binding.thumbprint == *before)
            {
                return Err(failure.clone());
            }
            let opened = opened?;
            match self.ask(io, &opened, audience, correlation_id).await {
                Ok(granted) => return Ok(granted),
                Err((failure, is_refusal)) if is_refusal && refused.is_none() => {
                    refused = Some((opened.binding.thumbprint, failure));
                }
                Err((failure, _)) => return Err(failure),
            }
        }
    }

    /// One request for it; of a failure, whether another certificate may be what is wanted.
    async fn ask(
        &self,
        io: &Io,
        opened: &Opened,
        audience: &str,
        correlation_id: &str,
    ) -> Result<Granted, (Failure, bool)> {
        let Opened {
            binding:
                Binding {
                    certificate,
                    thumbprint,
                },
            client_id,
            endpoint,
        } = opened;
        let mut form = Form::default();
        form.add("client_id", client_id.as_str());
        form.add("grant_type", "client_credentials");
        form.add("scope", format!("{audience}{}", rules::DEFAULT_SCOPE));
        form.add("token_type", MTLS_POP);
        let request = exchange::request(endpoint, form, None, correlation_id, HTTP_TIMEOUT_MS);
        let result = io.http(request, Via::Certificate(certificate.handle)).await;
        let host = &endpoint.authority;
        let asked = Asked {
            endpoint,
            server_unix_s: io.server_clock(host).estimate_ms(io.now()) / 1000,
            correlation_id,
            presented: None,
            wanted: Wanted {
                token_type: TokenType::MtlsPop,
                token_exchange: false,
                has_subject: false,
                certificate_thumbprint: Some(thumbprint),
            },
            is_entra: true,
            secrets: &[],
        };
        let granted = match &result {
            Ok(response) => exchange::response(&asked, response),
            Err(error) => Err(exchange::no_response(&asked, error)),
        };
        learn_clock(io, host, result.as_ref().ok(), None, granted.as_ref().err());
        granted.map_err(|error| {
            let error = error.edit(|detail| {
                detail.message = format!(
                    "the token of the {}: {}",
                    self.selector.describe(),
                    detail.message
                );
            });
            let is_refusal = result.is_err_and(|error| error.kind.is_of_a_handshake());
            (error.into(), is_refusal)
        })
    }

    /// Boxed, so that there is one such flow: two await it.
    fn open<'a>(&'a self, io: &'a Io) -> Opening<'a> {
        Box::pin(async {
            let opened = io.open_certificate(&self.certificate).await;
            let certificate = opened.map_err(|error| self.unavailable(&error))?;
            let Some(issuance) = certificate.issuance.clone() else {
                return Err(self.unavailable(&CertificateError::NotFound));
            };
            Ok(Opened {
                endpoint: self.endpoint(&issuance)?,
                binding: Binding {
                    thumbprint: certificate.thumbprint(),
                    certificate,
                },
                client_id: issuance.client_id,
            })
        })
    }

    /// Where the service says that the certificate is taken, if that is the token service of the cloud.
    fn endpoint(&self, issuance: &Issuance) -> Result<Endpoint, Failure> {
        let Issuance {
            client_id,
            tenant_id,
            token_service,
        } = issuance;
        let endpoint = Endpoint::parse(token_service).ok().filter(|endpoint| {
            let region = endpoint.authority.split_once('.');
            let is_of_cloud = endpoint.authority == self.token_host
                || region.is_some_and(|(_, host)| host == self.token_host);
            is_of_cloud
                && endpoint.path == "/"
                && rules::tenant(tenant_id).is_ok()
                && rules::client_id(client_id).is_ok()
        });
        match endpoint {
            Some(endpoint) => Ok(Endpoint {
                path: format!("/{tenant_id}{TOKEN_PATH}"),
                ..endpoint
            }),
            None => Err(Error::new(
                ErrorClass::InvalidResponse,
                format!(
                    "the metadata service at {} names {token_service} for client {client_id} of tenant {tenant_id}, which is not of {}",
                    self.authority, self.token_host
                ),
            )
            .hint("its answer is not used: it may be of another cloud than authority_host, or no metadata service")
            .edit(|detail| detail.message = crate::printable(&detail.message, MAX_SHOWN_CHARS))
            .into()),
        }
    }

    fn unavailable(&self, error: &CertificateError) -> Failure {
        let (reason, is_here, retryable) = match error {
            CertificateError::NotFound | CertificateError::UnsupportedAlgorithm => {
                ("this host gets none", false, false)
            }
            CertificateError::Unavailable(reason) => (reason.as_str(), false, false),
            CertificateError::Other(reason) => (reason.as_str(), true, true),
        };
        let error = Error::new(
            ErrorClass::CredentialUnavailable,
            format!(
                "no certificate for the {}: {reason}",
                self.selector.describe()
            ),
        )
        .hint(WITHOUT)
        .edit(|detail| detail.retryable = retryable);
        match is_here {
            true => error.into(),
            false => Failure::not_here(error),
        }
    }
}
