//! A server that is known by its issuer identifier (RFC 8414): where its metadata are, and where what they say may lead.
//! Nothing is asked here, and no metadata are read.

use crate::authority::endpoint::Endpoint;
use crate::authority::trust::TrustedHosts;
use crate::authority::{ADFS, Authority};
use crate::refusal::Refusal;

/// A server that is known by its issuer identifier.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Issuer {
    /// Its identifier to the letter (RFC 8414 section 2).
    pub identifier: String,
    /// Its metadata, in the order in which they are asked for.
    pub documents: [Endpoint; 2],
    /// The hosts that its endpoints may be at, its own first.
    pub hosts: Vec<String>,
}

impl Authority {
    /// The server of that issuer, whose endpoints may be at its own host and at those that are named as trusted.
    pub(crate) fn discovered(identifier: &str, trusted: &TrustedHosts) -> Result<Self, Refusal> {
        let Endpoint { authority, path } = issuer(identifier)?;
        trusted.check(&authority)?;
        let path = path.trim_end_matches('/');
        let documents = [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ];
        let documents = documents.map(|path| Endpoint {
            authority: authority.clone(),
            path,
        });
        let mut hosts = vec![authority];
        for host in trusted.0.keys() {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        Ok(Self::Discovered(Issuer {
            identifier: identifier.to_owned(),
            documents,
            hosts,
        }))
    }

    /// The issuer that stands behind a token endpoint: the one that is named, or that of AD FS, which has its own name for
    /// itself. `None` if none is known, or its host is neither that of the endpoint nor named as trusted.
    pub(crate) fn described(&self, named: Option<&str>, trusted: &TrustedHosts) -> Option<Issuer> {
        let endpoint = match self {
            Self::Discovered(issuer) => return Some(issuer.clone()),
            Self::Generic { token_endpoint, .. } => token_endpoint,
            Self::Entra { .. } => return None,
        };
        let own = &endpoint.authority;
        let adfs = self.is_adfs().then(|| format!("https://{own}/{ADFS}"));
        let mut trusted = trusted.clone();
        trusted.0.insert(own.clone(), ());
        let identifier = named.map(str::to_owned).or(adfs)?;
        match Self::discovered(&identifier, &trusted) {
            Ok(Self::Discovered(mut issuer)) => {
                // the one of OpenID Connect has what is wanted of it
                issuer.documents.reverse();
                Some(issuer)
            }
            _ => None,
        }
    }
}

/// Takes an issuer identifier apart: an https URL without query and fragment (RFC 8414 section 2).
pub(crate) fn issuer(identifier: &str) -> Result<Endpoint, Refusal> {
    const FORM: &str = "write it as the server names it in its metadata";
    if identifier.contains(['?', '#']) {
        return Err(Refusal::new(
            "has a query or fragment, which an issuer may not have (RFC 8414 section 2)",
            FORM,
        ));
    }
    if identifier.contains("/.well-known/") {
        return Err(Refusal::new("is the URL of its metadata", FORM));
    }
    Endpoint::parse(identifier)
}
