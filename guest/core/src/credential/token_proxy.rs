//! The token proxy of AKS identity bindings: a server of the cluster that takes the place of Entra ID's token endpoint.
//! One managed identity then serves any number of clusters, where it can have twenty federated credentials.
//!
//! The rules are those of the Azure SDKs (`internal/customtokenproxy` of azidentity, `_internal/token_binding_…` of
//! azure-identity): an https URL without user, query and fragment; the path of the token endpoint comes after its path;
//! a name for the handshake (SNI); certification authorities as a file or as text, which take the place of all others.
//! What is different: once a proxy is set, nothing asks Entra ID, and nobody has to opt in.

use crate::authority::Endpoint;
use crate::config::error::{ConfigError, check};
use crate::config::parse::{ForEveryBuild, object};
use crate::config::place::Place;
use crate::config::{Environment, rules};
use crate::distinction::Distinction;
use crate::effect::HttpErrorKind;
use crate::needs::{Authorities, ServerNeed};

object! {
    /// The token proxy of AKS identity bindings, which is asked in place of the authority.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct TokenProxyFile {
        /// Its `https://` URL; `AZURE_KUBERNETES_TOKEN_PROXY` if there is no `token_proxy` at all, as the others.
        url: Option<String> = optional_text,
        /// The name to ask for in the TLS handshake (SNI) and to find in its certificate; that of the URL by default.
        /// `AZURE_KUBERNETES_SNI_NAME`.
        server_name: Option<String> = optional_text,
        /// PEM file of the certification authorities that alone may vouch for it, read again when it changes; those of
        /// the host by default. `AZURE_KUBERNETES_CA_FILE`.
        ca_file: Option<String> = optional_text,
        /// The same, PEM in place of a file. `AZURE_KUBERNETES_CA_DATA`.
        ca_data: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct TokenProxy {
    authority: String,
    /// Without a slash at its end.
    path: String,
}

const URL: &str = Environment::AZURE_KUBERNETES_TOKEN_PROXY;
const SERVER_NAME: &str = Environment::AZURE_KUBERNETES_SNI_NAME;
const CA_FILE: &str = Environment::AZURE_KUBERNETES_CA_FILE;
const CA_DATA: &str = Environment::AZURE_KUBERNETES_CA_DATA;

/// A text and the name of its place.
type Named<'a> = (String, &'a str);

impl TokenProxy {
    /// The one that is written or else, for a client of Entra ID, the one of the variables.
    pub(super) fn check<'a>(
        written: &'a ForEveryBuild<TokenProxyFile>,
        place: &Place<'_>,
        is_entra: bool,
    ) -> Result<Option<Self>, ConfigError> {
        let place = place.inside("token_proxy");
        match written {
            Some(TokenProxyFile {
                url,
                server_name,
                ca_file,
                ca_data,
            }) => {
                let at = |field: &str, text: Option<&'a String>| {
                    text.map(|text| (place.at(field), text.as_str()))
                };
                let url = at("url", url.as_ref()).ok_or_else(|| {
                    ConfigError::new(place.at("url"), "is not set")
                        .hint("write the https:// URL of the token proxy, or leave token_proxy out")
                })?;
                let proxy = Self::of(
                    &place,
                    url,
                    at("server_name", server_name.as_ref()),
                    at("ca_file", ca_file.as_ref()),
                    at("ca_data", ca_data.as_ref()),
                )?;
                place.need(|needs| needs.every_credential.push(place.path().to_owned()));
                Ok(Some(proxy))
            }
            None if is_entra => {
                let variable = |name: &str| {
                    let value = place.variable_alone(name)?;
                    Some((name.to_owned(), value))
                };
                let others = [SERVER_NAME, CA_FILE, CA_DATA].map(variable);
                let Some(url) = variable(URL) else {
                    return match others.into_iter().flatten().next() {
                        None => Ok(None),
                        Some((name, _)) => Err(ConfigError::new(
                            name,
                            format!("is set for a token proxy, and {URL} is not"),
                        )
                        .hint(format!(
                            "set {URL} as well, or unset all variables AZURE_KUBERNETES_…"
                        ))),
                    };
                };
                let [server_name, ca_file, ca_data] = others;
                let proxy = Self::of(&place, url, server_name, ca_file, ca_data)?;
                place.need(|needs| needs.every_credential.push(URL.to_owned()));
                Ok(Some(proxy))
            }
            None => Ok(None),
        }
    }

    fn of(
        place: &Place<'_>,
        (setting, url): Named<'_>,
        server_name: Option<Named<'_>>,
        ca_file: Option<Named<'_>>,
        ca_data: Option<Named<'_>>,
    ) -> Result<Self, ConfigError> {
        check(&setting, rules::filled_in(url))?;
        let Endpoint { authority, path } = check(&setting, Endpoint::parse(url))?;
        if path.contains('?') {
            return Err(ConfigError::new(setting, "has a query")
                .hint("write it without the `?` and what follows: the token endpoint's path comes after it"));
        }
        if let Some((name, server_name)) = &server_name {
            check(name, rules::server_name(server_name))?;
        }
        let authorities = match (ca_file, ca_data) {
            (Some((file, _)), Some((data, _))) => {
                return Err(ConfigError::new(data, format!("is set, and so is {file}"))
                    .hint("keep one of the two"));
            }
            (Some((name, path)), None) => {
                check(&name, rules::path(path))?;
                Some(Authorities::File(path.to_owned()))
            }
            (None, Some((name, pem))) => {
                if !pem.contains("-----BEGIN CERTIFICATE-----") {
                    return Err(ConfigError::new(name, "has no certificate in it").hint(
                        "write the PEM text itself, with -----BEGIN CERTIFICATE----- and its line breaks",
                    ));
                }
                Some(Authorities::Pem(pem.to_owned()))
            }
            (None, None) => None,
        };
        place.need(|needs| {
            needs.servers.push(ServerNeed {
                setting,
                authority: authority.clone(),
                server_name: server_name.map(|(_, name)| name.to_owned()),
                authorities,
            });
        });
        Ok(Self {
            authority,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What to do where its connection fails.
    pub(crate) fn hint(&self, kind: HttpErrorKind) -> Option<&'static str> {
        Some(match kind {
            HttpErrorKind::ServerCertificate | HttpErrorKind::NoAuthorities => {
                "the token proxy is checked with the authorities of AZURE_KUBERNETES_CA_FILE or AZURE_KUBERNETES_CA_DATA \
                 (token_proxy.ca_file, ca_data) alone: name those that signed its certificate"
            }
            HttpErrorKind::ServerName | HttpErrorKind::Tls => {
                "check AZURE_KUBERNETES_SNI_NAME (token_proxy.server_name): it is the name that the token proxy's \
                 certificate is for"
            }
            HttpErrorKind::Dns | HttpErrorKind::Connect => {
                "check AZURE_KUBERNETES_TOKEN_PROXY (token_proxy.url): this token proxy is asked in place of Entra ID"
            }
            _ => return None,
        })
    }

    /// Where the requests for that endpoint go.
    pub(crate) fn endpoint(&self, endpoint: &Endpoint) -> Endpoint {
        Endpoint {
            authority: self.authority.clone(),
            path: format!("{}{}", self.path, endpoint.path),
        }
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        let Self { authority, path } = self;
        out.add(authority);
        out.add(path);
    }
}
