//! What Entra ID's other forms have that its clouds have not: regions, the tenants of External ID and B2C, AD FS and dSTS.

use super::document::IdentityFile;
use super::error::{ConfigError, check};
use super::place::{Place, Setting};
use super::{Environment, rules};
use crate::authority::{ADFS, Authority};

/// The authority and the tenant of an identity; the variable is what names the tenant if nothing is written.
pub(super) fn with_tenant(
    place: &Place<'_>,
    file: &IdentityFile,
    mut authority: Authority,
    tenant: Option<&Setting<'_>>,
    variable: Option<&'static str>,
) -> Result<(Authority, Option<String>), ConfigError> {
    // what is written down is not moved from outside
    let of_region = place
        .is_environment_only()
        .then_some(Environment::AZURE_REGIONAL_AUTHORITY_NAME);
    if let Some(region) = place.optional("region", file.region.as_deref(), of_region) {
        region.check(rules::region)?;
        place.need_every_credential(region.name().to_owned());
        check(region.name(), authority.set_region(region.value))?;
    }
    let policy = file.policy.as_deref();
    if let Some(policy) = policy {
        check(&place.at("policy"), rules::policy(policy))?;
        place.need_every_credential(place.at("policy"));
    }
    if let Err(refusal) = authority.set_policy(policy) {
        // no variable names one
        return match place.is_environment_only() {
            true => Err(ConfigError::new(
                Environment::AZURE_AUTHORITY_HOST,
                "is a host of Azure AD B2C, whose tokens are those of a user flow or custom policy",
            )
            .hint("write a configuration whose identity has policy, such as B2C_1_signin, and name it by EDGEPASS_CONFIG")),
            false => check(&place.at("policy"), Err(refusal)),
        };
    }
    if let Some(tenant) = tenant {
        tenant.check(rules::tenant)?;
    }
    let is_adfs = |tenant: &&Setting<'_>| tenant.value.eq_ignore_ascii_case(ADFS);
    let can_be_adfs = authority.is_entra() && authority.cloud().is_none();
    if can_be_adfs && tenant.as_ref().is_some_and(is_adfs) {
        authority = Authority::adfs(authority.network_host());
    }
    let usual = authority.tenant_of_host().filter(|_| tenant.is_none());
    if usual.is_some() || authority.has_path_of_its_own() {
        place.need_every_credential(place.setting("authority_host"));
    }
    if authority.is_entra() {
        let tenant = tenant.map(|tenant| tenant.value.to_owned());
        return match tenant.or(usual) {
            None => Err(place.missing("tenant_id", variable)),
            tenant => Ok((authority, tenant)),
        };
    }
    if let Some(tenant) = tenant.filter(|tenant| !is_adfs(tenant)) {
        return Err(ConfigError::new(
            tenant.name(),
            "names a tenant, and the authority host is that of AD FS, which has none",
        )
        .hint("leave it out, or write adfs"));
    }
    check_adfs(place, file)?;
    Ok((authority, None))
}

/// What AD FS has not.
fn check_adfs(place: &Place<'_>, file: &IdentityFile) -> Result<(), ConfigError> {
    const NONE: &[&str] = &[
        "endpoint_version",
        "region",
        "policy",
        "additionally_allowed_tenants",
    ];
    let mut fields = file.client_fields().into_iter();
    if let Some(field) = fields.find(|field| NONE.contains(field)) {
        return Err(ConfigError::new(
            place.at(field),
            "is for Entra ID, but the authority host is that of AD FS",
        )
        .hint(format!("leave {field} out")));
    }
    let variable = Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS;
    if place.is_environment_only() && place.has_variable(variable) {
        return Err(
            ConfigError::new(variable, "is set, and AD FS has no tenants").hint("unset it"),
        );
    }
    Ok(())
}
