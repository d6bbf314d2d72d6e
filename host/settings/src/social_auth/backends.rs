//! The backends of python-social-auth, and which names are settings of theirs.

use edgepass_core::ConfigError;

/// What names of settings begin with.
pub(super) const PREFIX: &str = "SOCIAL_AUTH_";

/// What names of settings of Azure backends begin with.
pub(super) const PREFIX_OF_AZURE: &str = "SOCIAL_AUTH_AZUREAD_";

/// The settings that count for tokens of the program itself.
pub(super) const SETTINGS: &[&str] = &[
    "KEY",
    "SECRET",
    "TENANT_ID",
    "AUTHORITY_HOST",
    "AUTHORITY_URL",
    "CLIENT_ASSERTION",
    "CLIENT_ASSERTION_TYPE",
    "FEDERATED_TOKEN_FILE",
    "RESOURCE",
    "TENANT_NAME",
    "POLICY",
];

/// A backend of python-social-auth.
pub(super) struct Backend {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) kind: Kind,
    /// The token endpoint is that of version 2.
    pub(super) v2: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Kind {
    /// People of all tenants sign in.
    Common,
    Tenant,
    B2c,
}

pub(super) const BACKENDS: &[Backend] = &[
    Backend {
        name: "azuread-oauth2",
        class: "social_core.backends.azuread.AzureADOAuth2",
        kind: Kind::Common,
        v2: false,
    },
    Backend {
        name: "azuread-oauth2-v2",
        class: "social_core.backends.azuread.AzureADOAuth2V2",
        kind: Kind::Common,
        v2: true,
    },
    Backend {
        name: "azuread-tenant-oauth2",
        class: "social_core.backends.azuread_tenant.AzureADTenantOAuth2",
        kind: Kind::Tenant,
        v2: false,
    },
    Backend {
        name: "azuread-v2-tenant-oauth2",
        class: "social_core.backends.azuread_tenant.AzureADV2TenantOAuth2",
        kind: Kind::Tenant,
        v2: true,
    },
    Backend {
        name: "azuread-b2c-oauth2",
        class: "social_core.backends.azuread_b2c.AzureADB2COAuth2",
        kind: Kind::B2c,
        v2: true,
    },
];

impl Backend {
    /// A setting of its own.
    pub(super) fn own(&self, setting: &str) -> String {
        let name = self.name.to_uppercase().replace('-', "_");
        format!("{PREFIX}{name}_{setting}")
    }

    /// Whether a setting of that name is its own. Of those that have no part in getting tokens (`…_ID_KEY`) any is, but what
    /// goes on like the name of a backend is another's.
    pub(super) fn has(&self, name: &str) -> bool {
        let Some(setting) = name.strip_prefix(&self.own("")) else {
            return false;
        };
        let first = setting.split('_').next().unwrap_or_default();
        let mut words = BACKENDS.iter().flat_map(|backend| backend.name.split('-'));
        SETTINGS.contains(&setting) || !words.any(|word| word.eq_ignore_ascii_case(first))
    }
}

/// That these names, if they look like settings of an Azure backend, are those of one: python-social-auth reads no others,
/// and without them somebody else would get the token. `place` is what people call a name.
pub(super) fn check_names<'n>(
    mut names: impl Iterator<Item = &'n str>,
    place: impl FnOnce(&str) -> String,
) -> Result<(), ConfigError> {
    let is_setting = |rest: &str| {
        SETTINGS.iter().any(|setting| {
            let before = rest.strip_suffix(setting);
            before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
        })
    };
    let is_of_none = |name: &&str| {
        let rest = name.strip_prefix(PREFIX_OF_AZURE);
        rest.is_some_and(is_setting) && !BACKENDS.iter().any(|backend| backend.has(name))
    };
    let Some(name) = names.find(is_of_none) else {
        return Ok(());
    };
    let error = ConfigError::new(
        place(name),
        "belongs to none of python-social-auth's Azure backends",
    );
    let prefixes: Vec<String> = BACKENDS.iter().map(|backend| backend.own("…")).collect();
    Err(error.hint(format!(
        "begin it as the settings of the backend that is meant: {}",
        prefixes.join(", ")
    )))
}
