//! The client of an identity: whom it asks, as whom, and for which tenants. How it proves itself is not looked at here.

use super::Loader;
use crate::authority::{Authority, Endpoint, PUBLIC_HOST};
use crate::config::document::IdentityFile;
use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::{Client, Environment, rules};
#[cfg(feature = "every-credential")]
use crate::config::{entra, parameters};
use crate::refusal::Reason;

/// The settings of clients of every server.
const CLIENT_FIELDS: &[&str] = &[
    "client_id",
    "token_endpoint",
    "mtls_token_endpoint",
    "issuer",
    "resources",
    "additional_parameters",
];

impl Loader {
    pub(super) fn client(
        &self,
        place: &Place<'_>,
        file: &IdentityFile,
    ) -> Result<Client, ConfigError> {
        let (authority, tenant) = match file.is_of_another_server() {
            true => (self.other(place, file)?, None),
            false => self.entra(place, file)?,
        };
        let variable = (!file.is_of_another_server()).then_some(self.variables().client_id);
        let client_id = place.required("client_id", file.client_id.as_deref(), variable)?;
        client_id.check(rules::client_id)?;
        if variable.is_some() {
            client_id.check(rules::no_secret_of_entra)?;
        }
        Ok(Client {
            #[cfg(feature = "every-credential")]
            parameters: parameters::of_identity(place, file, &authority)?,
            #[cfg(feature = "every-credential")]
            described: authority.described(file.issuer.as_deref(), &self.trusted),
            #[cfg(feature = "every-credential")]
            capabilities: parameters::capabilities(place, file)?,
            #[cfg(feature = "every-credential")]
            issuer: file.issuer.clone(),
            authority,
            client_id: client_id.value.to_owned(),
            tenant,
            additionally_allowed_tenants: further_tenants(place, file)?,
        })
    }

    /// A rule makes the name of the mTLS host, so it may be somebody else's: outside of the built-in clouds it is
    /// trusted only if somebody has named it too.
    pub(super) fn check_twin(
        &self,
        place: &Place<'_>,
        client: &Client,
        setting: &str,
    ) -> Result<(), ConfigError> {
        #[cfg(feature = "every-credential")]
        if client.authority.is_discovered() {
            // looked at when it is found
            return Ok(());
        }
        if client.authority.cloud().is_some() {
            // of a region's host every build takes the name alone
            #[cfg(feature = "every-credential")]
            if client.authority.is_regional()
                && let Ok(twin) = client.token_endpoint(client.tenant.as_deref(), true)
            {
                self.trust(place, setting, &twin.authority)?;
            }
            return Ok(());
        }
        let endpoint = client
            .token_endpoint(client.tenant.as_deref(), true)
            .map_err(|error| ConfigError::from_error(setting, &error))?;
        #[cfg(not(feature = "every-credential"))]
        let _ = place;
        self.trusted.check(&endpoint.authority).map_err(|refusal| {
            let Reason { message, hint } = refusal.into_reason();
            let message =
                format!("authenticates connections to the authority's mTLS host, and {message}");
            ConfigError::new(setting, message).hint(hint)
        })
    }

    fn entra(
        &self,
        place: &Place<'_>,
        file: &IdentityFile,
    ) -> Result<(Authority, Option<String>), ConfigError> {
        if file.mtls_token_endpoint.is_some() {
            return Err(
                ConfigError::new(place.at("mtls_token_endpoint"), "needs token_endpoint").hint(
                    "leave it out for Entra ID, whose mTLS host is known, or set token_endpoint",
                ),
            );
        }
        let variable = Some(self.variables().tenant_id);
        let tenant = place.optional("tenant_id", file.tenant_id.as_deref(), variable);
        let host = place.optional(
            "authority_host",
            file.authority_host.as_deref(),
            Some(Environment::AZURE_AUTHORITY_HOST),
        );
        let public = format!("https://{PUBLIC_HOST}");
        let (name, host) = host
            .as_ref()
            .map_or(("", public.as_str()), |host| (host.name(), host.value));
        check(name, rules::filled_in(host))?;
        // who names a host as trusted means that host
        #[cfg(feature = "every-credential")]
        if !self.trusted.names(host) {
            check(name, crate::authority::no_name_of_a_cloud(host))?;
        }
        // the SDKs take the variable without the scheme as well
        #[cfg(feature = "every-credential")]
        let with_scheme = match name {
            Environment::AZURE_AUTHORITY_HOST if !host.contains("://") => {
                place.need_every_credential(name.to_owned());
                format!("https://{host}")
            }
            _ => host.to_owned(),
        };
        #[cfg(feature = "every-credential")]
        let host = with_scheme.as_str();
        let authority = check(name, Authority::entra(host, file.endpoint_version))?;
        #[cfg(feature = "every-credential")]
        let (authority, tenant) =
            entra::with_tenant(place, file, authority, tenant.as_ref(), variable)?;
        #[cfg(not(feature = "every-credential"))]
        let tenant = {
            let tenant = tenant.ok_or_else(|| place.missing("tenant_id", variable))?;
            tenant.check(rules::tenant)?;
            Some(tenant.value.to_owned())
        };
        // without a host of its own it is a region that leads elsewhere
        #[cfg(feature = "every-credential")]
        let of_region = place.at("region");
        #[cfg(feature = "every-credential")]
        let name = if name.is_empty() { &of_region } else { name };
        self.trust(place, name, &authority.network_host())?;
        Ok((authority, tenant))
    }

    /// That credentials may be sent there. What a build without every credential trusts only by its name is noted.
    fn trust(&self, place: &Place<'_>, setting: &str, host: &str) -> Result<(), ConfigError> {
        #[cfg(feature = "every-credential")]
        if !self.trusted.has(host) {
            place.need_every_credential(setting.to_owned());
        }
        #[cfg(not(feature = "every-credential"))]
        let _ = place;
        check(setting, self.trusted.check(host))
    }

    /// A server other than Entra ID, by its token endpoint or by its issuer.
    pub(super) fn other(
        &self,
        place: &Place<'_>,
        file: &IdentityFile,
    ) -> Result<Authority, ConfigError> {
        let by = match file.token_endpoint {
            Some(_) => "token_endpoint",
            None => "issuer",
        };
        let entra_only = |field: &&str| !CLIENT_FIELDS.contains(field);
        if let Some(field) = file.client_fields().into_iter().find(entra_only) {
            return Err(ConfigError::new(
                place.at(field),
                format!("is for Entra ID, but the identity has {by}"),
            )
            .hint(format!("keep either {field} or {by}")));
        }
        #[cfg(feature = "every-credential")]
        if let Some(issuer) = &file.issuer {
            let setting = place.at("issuer");
            check(&setting, rules::filled_in(issuer))?;
            check(&setting, crate::authority::issuer(issuer))?;
            place.need_every_credential(setting);
        }
        #[cfg(feature = "every-credential")]
        let Some(url) = &file.token_endpoint else {
            return self.discovered(place, file);
        };
        // the issuer alone has been refused
        #[cfg(not(feature = "every-credential"))]
        let url = file.token_endpoint.as_deref().unwrap_or_default();
        let token_endpoint = self.endpoint(place, "token_endpoint", url)?;
        let mtls_token_endpoint = file
            .mtls_token_endpoint
            .as_ref()
            .map(|url| self.endpoint(place, "mtls_token_endpoint", url))
            .transpose()?;
        Ok(Authority::Generic {
            token_endpoint,
            mtls_token_endpoint,
        })
    }

    #[cfg(feature = "every-credential")]
    fn discovered(&self, place: &Place<'_>, file: &IdentityFile) -> Result<Authority, ConfigError> {
        if file.mtls_token_endpoint.is_some() {
            return Err(
                ConfigError::new(place.at("mtls_token_endpoint"), "needs token_endpoint")
                    .hint("leave it out: the issuer's metadata have it, or set token_endpoint"),
            );
        }
        let setting = place.at("issuer");
        let issuer = file.issuer.as_deref().unwrap_or_default();
        check(&setting, Authority::discovered(issuer, &self.trusted))
    }

    pub(super) fn endpoint(
        &self,
        place: &Place<'_>,
        field: &str,
        url: &str,
    ) -> Result<Endpoint, ConfigError> {
        let setting = place.at(field);
        check(&setting, rules::filled_in(url))?;
        let endpoint = check(&setting, Endpoint::parse(url))?;
        self.trust(place, &setting, &endpoint.authority)?;
        Ok(endpoint)
    }
}

/// The tenants of the document, or of an identity that only the environment describes those of the variable: what
/// widens an identity that is written down is written there.
fn further_tenants(place: &Place<'_>, file: &IdentityFile) -> Result<Vec<String>, ConfigError> {
    const FIELD: &str = "additionally_allowed_tenants";
    const VARIABLE: &str = Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS;

    let one = |setting: &str, tenant: &str| match tenant {
        "*" => Ok(()),
        tenant => check(setting, rules::tenant(tenant)),
    };
    if place.is_environment_only() {
        let listed = place.variable(VARIABLE, FIELD, false).unwrap_or_default();
        #[cfg(feature = "every-credential")]
        if listed.contains(',') {
            return Err(ConfigError::new(VARIABLE, "has a comma in it")
                .hint("write `;` between tenants, as for the Azure SDKs"));
        }
        let tenants = listed.split(';').map(str::trim).filter(|t| !t.is_empty());
        return tenants
            .map(|tenant| one(VARIABLE, tenant).map(|()| tenant.to_owned()))
            .collect();
    }
    for (index, tenant) in file.additionally_allowed_tenants.iter().enumerate() {
        one(&place.at(&format!("{FIELD}[{index}]")), tenant)?;
    }
    Ok(file.additionally_allowed_tenants.clone())
}
