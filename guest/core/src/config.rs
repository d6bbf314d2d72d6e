//! The configuration: what users write ([`mod@file`]), the environment contract, and the validated form that the engine
//! runs on. Every error names the setting and the fix.

pub mod envoy;
pub mod file;

mod environment;
mod parse;
mod request;
mod rules;
#[cfg(feature = "schema")]
mod schema;
mod validate;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::authority::Authority;
use crate::needs::{Connection, Needs, PathPattern, Permission, Purpose, Scheme};
use crate::{Algorithm, Secret, Table};

pub use environment::Environment;
pub use request::{check_scopes, check_tenant};
pub use validate::{ConfigError, ENVIRONMENT_IDENTITY};

/// A configuration that has been checked whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The identity of requests that name none. `None` if there are several and none is marked.
    pub default_identity: Option<String>,
    /// The identities by name.
    pub identities: Table<String, Arc<IdentityConfig>>,
    /// Where the host finds certificates and their keys, by the name that credentials use.
    pub certificates: Table<String, file::CertificateFiles>,
    /// Settings of the native host alone.
    pub host: file::HostFile,
    /// Settings of the Envoy filter alone.
    pub envoy: Option<envoy::EnvoyFile>,
    /// The settings that hold a secret in the document itself. A driver whose configuration is shown to others, as
    /// Envoy's is, refuses them.
    pub secrets_in_document: Vec<String>,
    /// What it needs besides its identities.
    needs: Needs,
}

/// One identity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdentityConfig {
    /// Its name.
    pub name: String,
    /// Who issues its tokens.
    pub authority: Authority,
    /// `client_id`.
    pub client_id: String,
    /// Its own tenant; `None` for a generic token endpoint.
    pub tenant: Option<String>,
    /// Tenants besides its own that a request may name. `*` allows any.
    pub additionally_allowed_tenants: Vec<String>,
    /// Scopes of requests that name none.
    pub scopes: Vec<String>,
    /// How it proves who it is.
    pub credential: Credential,
    needs: Needs,
}

/// How an identity proves who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A token that the platform rotates in a file (RFC 7523 section 2.2).
    FederatedTokenFile {
        /// Its path.
        path: String,
        /// `client_assertion_type`.
        assertion_type: String,
    },
    /// An assertion that somebody else built.
    ClientAssertion {
        /// The compact JWS.
        value: SecretValue,
        /// `client_assertion_type`.
        assertion_type: String,
    },
    /// An assertion from the assertion source, asked for at each exchange.
    AssertionSource {
        /// `client_assertion_type`.
        assertion_type: String,
        /// The audience to ask for.
        audience: Option<String>,
    },
    /// A client secret (RFC 6749 section 2.3.1).
    ClientSecret {
        /// The secret.
        value: SecretValue,
        /// How it is sent.
        method: file::SecretMethod,
    },
    /// An assertion that is built here and signed by the host.
    Certificate(CertificateCredential),
    /// A certificate that authenticates the connection, with an assertion beside it or without.
    BoundCertificate {
        /// The certificate and how the assertion is built.
        certificate: CertificateCredential,
        /// Whether an assertion goes with it.
        mode: file::BoundMode,
    },
}

/// How an assertion is built with a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateCredential {
    /// The host's name of the certificate.
    pub name: String,
    /// `alg`.
    pub algorithm: Algorithm,
    /// Whether the chain goes into the header (`x5c`).
    pub send_x5c: bool,
    /// `aud`.
    pub audience: Audience,
}

/// `aud` of an assertion built here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Audience {
    /// The URL that it is posted to (Entra ID; RFC 7523 section 3 allows it).
    TokenEndpoint,
    /// This text, for example the issuer identifier that RFC 7523bis and FAPI 2.0 ask for.
    Literal(String),
}

/// A secret and where it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SecretValue {
    /// Here.
    Inline(Secret),
    /// In a file that is read at each exchange.
    File(String),
}

impl Config {
    /// What a driver must be able to do for any of its identities.
    pub fn needs(&self) -> Needs {
        let mut needs = self.needs.clone();
        for identity in self.identities.values() {
            needs.add(identity.needs());
        }
        needs
    }

    /// Every `host[:port]` that a token request may ever go to: the least that an egress policy has to allow.
    pub fn token_hosts(&self) -> BTreeSet<String> {
        self.needs().hosts(Purpose::TokenEndpoint)
    }

    /// Every file that the engine may ask its driver to read and whose path is known beforehand.
    pub fn file_paths(&self) -> BTreeSet<String> {
        let needs = self.needs();
        let files = needs.files.iter();
        files
            .filter_map(|file| file.path.exact())
            .map(str::to_owned)
            .collect()
    }

    /// Names of certificates that credentials use and `certificates` does not have. The embedding host may know them
    /// otherwise, so this is for the host to judge.
    pub fn unresolved_certificates(&self) -> BTreeSet<String> {
        self.needs()
            .certificates
            .into_iter()
            .map(|certificate| certificate.name)
            .filter(|name| !self.certificates.contains_key(name))
            .collect()
    }
}

impl IdentityConfig {
    /// What a driver must be able to do for it.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// A text that two identities have in common only if they get the same tokens. It holds whatever secret stands in
    /// the configuration itself, so it is for digests, not for people.
    pub fn distinction(&self) -> Secret {
        // all by name, so that a new setting is not forgotten here
        let Self {
            name,
            authority,
            client_id,
            tenant,
            additionally_allowed_tenants,
            scopes,
            credential,
            // follows from the others
            needs: _,
        } = self;
        let mut out = Distinction(String::new());
        out.add(name);
        match authority {
            Authority::Entra { host, version } => {
                out.add("entra");
                out.add(host);
                out.add(match version {
                    file::EndpointVersion::V1 => "1",
                    file::EndpointVersion::V2 => "2",
                });
            }
            Authority::Generic {
                token_endpoint,
                mtls_token_endpoint,
            } => {
                out.add("generic");
                for endpoint in [Some(token_endpoint), mtls_token_endpoint.as_ref()] {
                    out.add(endpoint.map_or("", |endpoint| &endpoint.authority));
                    out.add(endpoint.map_or("", |endpoint| &endpoint.path));
                }
            }
        }
        out.add(client_id);
        out.add(tenant.as_deref().unwrap_or_default());
        out.add_all(additionally_allowed_tenants);
        out.add_all(scopes);
        credential.distinguish(&mut out);
        Secret::new(out.0)
    }

    /// The token endpoints of all tenants that a request may name, the own one first.
    fn connections(&self) -> Vec<Connection> {
        let (plain, certificate) = match &self.credential {
            Credential::BoundCertificate { certificate, .. } => {
                (false, Some(Some(certificate.name.as_str())))
            }
            // the source may name the certificate that its assertion is bound to
            Credential::AssertionSource { .. } => (true, Some(None)),
            _ => (true, None),
        };
        let mut out = Vec::new();
        if plain {
            self.add_connections(false, None, &mut out);
        }
        if let Some(certificate) = certificate {
            self.add_connections(true, certificate, &mut out);
        }
        out
    }

    fn add_connections(&self, mtls: bool, certificate: Option<&str>, out: &mut Vec<Connection>) {
        let tenants = self.additionally_allowed_tenants.iter();
        for tenant in
            std::iter::once(self.tenant.as_deref()).chain(tenants.map(|t| Some(t.as_str())))
        {
            let Ok(endpoint) = self.authority.token_endpoint(tenant, mtls) else {
                continue;
            };
            let path = match (tenant, endpoint.path.strip_prefix("/*")) {
                (Some("*"), Some(after)) => PathPattern::AnySegment {
                    before: "/".to_owned(),
                    after: after.to_owned(),
                },
                _ => PathPattern::Exact(endpoint.path),
            };
            out.push(Connection {
                permission: Permission {
                    scheme: Scheme::Https,
                    authority: endpoint.authority,
                    path,
                    purpose: Purpose::TokenEndpoint,
                },
                certificate: certificate.map(str::to_owned),
            });
        }
    }
}

/// Texts one after the other, each with its length, so that no two lists of them look the same.
struct Distinction(String);

impl Distinction {
    fn add(&mut self, text: &str) {
        self.0.push_str(&text.len().to_string());
        self.0.push(':');
        self.0.push_str(text);
    }

    fn add_all(&mut self, texts: &[String]) {
        self.add(&texts.len().to_string());
        texts.iter().for_each(|text| self.add(text));
    }

    fn add_secret(&mut self, value: &SecretValue) {
        match value {
            SecretValue::Inline(secret) => {
                self.add("inline");
                self.add(secret.expose());
            }
            SecretValue::File(path) => {
                self.add("file");
                self.add(path);
            }
        }
    }

    fn add_certificate(&mut self, certificate: &CertificateCredential) {
        let CertificateCredential {
            name,
            algorithm,
            send_x5c,
            audience,
        } = certificate;
        self.add(name);
        self.add(algorithm.name());
        self.add(if *send_x5c { "x5c" } else { "" });
        match audience {
            Audience::TokenEndpoint => self.add(""),
            Audience::Literal(audience) => self.add(audience),
        }
    }
}

impl Credential {
    fn distinguish(&self, out: &mut Distinction) {
        match self {
            Self::FederatedTokenFile {
                path,
                assertion_type,
            } => {
                out.add("federated_token_file");
                out.add(path);
                out.add(assertion_type);
            }
            Self::ClientAssertion {
                value,
                assertion_type,
            } => {
                out.add("client_assertion");
                out.add_secret(value);
                out.add(assertion_type);
            }
            Self::AssertionSource {
                assertion_type,
                audience,
            } => {
                out.add("assertion_source");
                out.add(assertion_type);
                out.add(audience.as_deref().unwrap_or_default());
            }
            Self::ClientSecret { value, method } => {
                out.add("client_secret");
                out.add_secret(value);
                out.add(match method {
                    file::SecretMethod::Basic => "basic",
                    file::SecretMethod::Post => "post",
                });
            }
            Self::Certificate(certificate) => {
                out.add("certificate");
                out.add_certificate(certificate);
            }
            Self::BoundCertificate { certificate, mode } => {
                out.add(match mode {
                    file::BoundMode::CertificateOnly => "certificate-only",
                    file::BoundMode::WithAssertion => "with-assertion",
                });
                out.add_certificate(certificate);
            }
        }
    }

    /// The file that it is read from, if it is in one.
    pub fn file_path(&self) -> Option<&str> {
        match self {
            Self::FederatedTokenFile { path, .. } => Some(path),
            Self::ClientAssertion { value, .. } | Self::ClientSecret { value, .. } => match value {
                SecretValue::File(path) => Some(path),
                SecretValue::Inline(_) => None,
            },
            Self::AssertionSource { .. } | Self::Certificate(_) | Self::BoundCertificate { .. } => {
                None
            }
        }
    }

    /// The certificate that it uses, if it uses one.
    pub fn certificate(&self) -> Option<&CertificateCredential> {
        match self {
            Self::Certificate(certificate) | Self::BoundCertificate { certificate, .. } => {
                Some(certificate)
            }
            _ => None,
        }
    }
}
