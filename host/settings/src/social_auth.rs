//! python-social-auth's settings for Microsoft's identity platform (social-core 7.0.0): as variables, or as a settings
//! file, which is JSON or a module in Python of plain assignments, as Django has it.
//!
//! The sources are `azuread.py`, `azuread_tenant.py`, `azuread_b2c.py` and `strategy.py` of social-core. Each backend that
//! has settings becomes an identity of the backend's name. What concerns the signing in of people has no part in getting
//! tokens for the program itself, and is left alone.

use std::collections::BTreeMap;

use edgepass_core::{Config, ConfigError, Environment, Secret, without_byte_order_mark};

use crate::draft::{Draft, Node, Object, unset};
use crate::python::{self, Assigned, Value};
use crate::{File, Imported, json, names};

/// What names of settings begin with.
const PREFIX: &str = "SOCIAL_AUTH_";

/// What names of settings of Azure backends begin with.
const PREFIX_OF_AZURE: &str = "SOCIAL_AUTH_AZUREAD_";

/// The list of a program's backends, by their classes.
const BACKENDS_SETTING: &str = "AUTHENTICATION_BACKENDS";

const PUBLIC_HOST: &str = "login.microsoftonline.com";

const DEFAULT_SCOPE: &str = "/.default";

/// The settings that count for tokens of the program itself.
const SETTINGS: &[&str] = &[
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

/// Variables that go before the setting `FEDERATED_TOKEN_FILE`, the first before the second.
const TOKEN_FILES: [&str; 2] = [
    "OAUTH2_FEDERATED_TOKEN_FILE",
    Environment::AZURE_FEDERATED_TOKEN_FILE,
];

/// The variables of the Azure SDKs that describe who asks, and where. That of a token file is not among them: it is one of
/// [`TOKEN_FILES`], and is said with those.
const OF_SDKS: [&str; 19] = [
    Environment::AZURE_CLIENT_ID,
    Environment::AZURE_TENANT_ID,
    Environment::AZURE_AUTHORITY_HOST,
    Environment::AZURE_CLIENT_SECRET,
    Environment::AZURE_CLIENT_CERTIFICATE_PATH,
    Environment::AZURE_CLIENT_CERTIFICATE_PASSWORD,
    Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN,
    Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS,
    Environment::AZURE_REGIONAL_AUTHORITY_NAME,
    Environment::AZURE_TOKEN_CREDENTIALS,
    Environment::AZURE_KUBERNETES_TOKEN_PROXY,
    Environment::AZURE_KUBERNETES_SNI_NAME,
    Environment::AZURE_KUBERNETES_CA_FILE,
    Environment::AZURE_KUBERNETES_CA_DATA,
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_IDENTITY_DISABLE_MULTITENANTAUTH",
    "AZURE_IDENTITY_DISABLE_CP1",
];

/// A backend of python-social-auth.
struct Backend {
    name: &'static str,
    class: &'static str,
    kind: Kind,
    /// The token endpoint is that of version 2.
    v2: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    /// People of all tenants sign in.
    Common,
    Tenant,
    B2c,
}

const BACKENDS: &[Backend] = &[
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
    fn own(&self, setting: &str) -> String {
        let name = self.name.to_uppercase().replace('-', "_");
        format!("{PREFIX}{name}_{setting}")
    }

    /// Whether a setting of that name is its own. Of those that have no part in getting tokens (`…_ID_KEY`) any is, but what
    /// goes on like the name of a backend is another's.
    fn has(&self, name: &str) -> bool {
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
fn check_names<'n>(
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

/// Makes a configuration of the variables alone; `None` if none of a backend is set.
///
/// # Errors
///
/// With the first setting that is wrong, that is no backend's (`SOCIAL_AUTH_AZUREAD_TENANT_V2_OAUTH2_KEY`), or that the
/// variables of the Azure SDKs name differently.
pub fn import_environment(environment: &Environment) -> Result<Option<Imported>, ConfigError> {
    check_names(environment.pairs().map(|(name, _)| name), str::to_owned)?;
    let is_set = |backend: &&Backend| {
        let mut names = SETTINGS.iter().map(|setting| backend.own(setting));
        names.any(|name| environment.get(&name).is_some())
    };
    let backends: Vec<&Backend> = BACKENDS.iter().filter(is_set).collect();
    if backends.is_empty() {
        return Ok(None);
    }
    let settings = Settings::Variables(environment);
    let importer = Importer::new(&settings, environment);
    let said = importer.check_conflicts(&backends)?;
    let names = backends.iter().map(|backend| backend.name);
    let source = format!(
        "the variables {PREFIX}… of python-social-auth ({})",
        Vec::from_iter(names).join(", ")
    );
    let mut imported = importer.import(&backends, source)?;
    let note = note_unused(&imported, environment, &said);
    imported.notes.extend(note);
    Ok(Some(imported))
}

/// Names the variables of the SDKs that are set and have no effect: alone they would describe an identity, and whoever set
/// them may mean that one. Not those that settings have said as well.
fn note_unused(imported: &Imported, environment: &Environment, said: &[&str]) -> Option<String> {
    let whole = imported.environment(environment.clone());
    // what is wrong with it is said where it is loaded for use
    let config = Config::load(Some(&imported.document), &whole).ok()?;
    let needs = config.needs();
    let is_used = |name: &str| needs.variables.iter().any(|variable| variable.name == name);
    let unused = OF_SDKS
        .into_iter()
        .filter(|name| environment.get(name).is_some() && !said.contains(name) && !is_used(name));
    let unused: Vec<&str> = unused.collect();
    let (verb, them) = match unused.as_slice() {
        [] => return None,
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    Some(format!(
        "{} {verb} not used: the variables {PREFIX}… describe who asks; unset {them}, or the others if the Azure SDKs' are meant",
        unused.join(", ")
    ))
}

/// Makes a configuration of a settings file: JSON, or a module in Python, which is read and never run.
///
/// # Errors
///
/// With the first setting that is wrong, or that is no backend's, by its name, file and line; also where a variable of the
/// same name says something else.
pub fn import(file: &File<'_>, environment: &Environment) -> Result<Imported, ConfigError> {
    let (names, star_imports) = if is_json(file) {
        (of_json(file)?, Vec::new())
    } else {
        of_python(file, environment)?
    };
    check_names(names.keys().map(String::as_str), |name| {
        let line = names.get(name).map_or(1, |assigned| assigned.line);
        format!("{name} ({}, line {line})", file.name)
    })?;
    let settings = Settings::File { file, names };
    let backends = settings.backends();
    if backends.is_empty() {
        let error = ConfigError::new(
            file.name,
            "has no settings of python-social-auth's Azure backends (SOCIAL_AUTH_AZUREAD_…)",
        );
        return Err(error.hint(match star_imports.first() {
            Some(line) => format!(
                "line {line} imports all names of another module, which is not looked at: give the file that has them"
            ),
            None => "give the file that has them".to_owned(),
        }));
    }
    settings.check_variables(environment)?;
    let names = backends.iter().map(|backend| backend.name);
    let source = format!(
        "{}, python-social-auth ({})",
        file.name,
        Vec::from_iter(names).join(", ")
    );
    Importer::new(&settings, environment).import(&backends, source)
}

fn is_json(file: &File<'_>) -> bool {
    let text = without_byte_order_mark(file.text).trim_start();
    // a module of nothing but a dictionary assigns nothing
    file.name.ends_with(".json") || text.starts_with('{')
}

fn of_json(file: &File<'_>) -> Result<BTreeMap<String, Assigned>, ConfigError> {
    let mut names: BTreeMap<String, Assigned> = BTreeMap::new();
    for leaf in json::leaves(file)? {
        let line = leaf.line;
        let value = match leaf.value {
            None => Value::None,
            Some(text) if leaf.is_text => Value::Text {
                text,
                variable: None,
            },
            Some(text) if text.expose() == "true" => Value::Flag(true),
            Some(text) if text.expose() == "false" => Value::Flag(false),
            Some(_) => Value::Number,
        };
        match leaf.path.as_slice() {
            [name] => {
                let value = Ok(value);
                if names
                    .insert(name.clone(), Assigned { line, value })
                    .is_some()
                {
                    return Err(ConfigError::new(
                        format!("{name} ({}, line {line})", file.name),
                        "is there twice",
                    )
                    .hint("keep one of the two"));
                }
            }
            [name, ..] => {
                let list = names.entry(name.clone()).or_insert(Assigned {
                    line,
                    value: Ok(Value::List(Vec::new())),
                });
                if let Ok(Value::List(items)) = &mut list.value {
                    items.push(value);
                }
            }
            [] => {}
        }
    }
    Ok(names)
}

type Names = BTreeMap<String, Assigned>;

fn of_python(
    file: &File<'_>,
    environment: &Environment,
) -> Result<(Names, Vec<usize>), ConfigError> {
    let module = python::read(file.text, environment).map_err(|(line, reason)| {
        ConfigError::new(format!("{}, line {line}", file.name), reason)
            .hint("give a settings module in Python, or the settings as JSON")
    })?;
    Ok((module.names, module.star_imports))
}

/// Where settings are looked up.
enum Settings<'a> {
    Variables(&'a Environment),
    File { file: &'a File<'a>, names: Names },
}

/// A setting that is there and is text.
struct Setting {
    text: Secret,
    /// For people: its name with file and line, or its variable.
    from: String,
    /// The variable that has it, or the one that would.
    variable: String,
}

impl Setting {
    fn text(&self) -> &str {
        self.text.expose().trim()
    }
}

impl Settings<'_> {
    /// The value of a name; `None` if there is no such name. What Python takes for false is an empty text.
    fn named(&self, name: &str) -> Result<Option<Setting>, ConfigError> {
        match self {
            Self::Variables(environment) => Ok(environment.get(name).map(|value| Setting {
                text: Secret::new(value),
                from: name.to_owned(),
                variable: name.to_owned(),
            })),
            Self::File { file, names } => {
                let Some(Assigned { line, value }) = names.get(name) else {
                    return Ok(None);
                };
                let from = format!("{name} ({}, line {line})", file.name);
                let value = value.as_ref().map_err(|reason| {
                    ConfigError::new(&from, reason).hint(match variable_not_set(reason) {
                        Some(variable) => set_or_write(variable),
                        None => "write the value itself there, or os.environ[\"NAME\"]".to_owned(),
                    })
                })?;
                let setting = |text, variable: &Option<String>| Setting {
                    text,
                    from: match variable {
                        Some(variable) => format!("{from}, from the variable {variable}"),
                        None => from.clone(),
                    },
                    variable: variable.clone().unwrap_or_else(|| name.to_owned()),
                };
                match value {
                    Value::Text { text, variable } => Ok(Some(setting(text.clone(), variable))),
                    value if !value.is_true() => Ok(Some(setting(Secret::new(""), &None))),
                    other => Err(ConfigError::new(
                        &from,
                        format!("is {}, and not a string", other.kind()),
                    )
                    .hint("write it as a string")),
                }
            }
        }
    }

    /// The backends that it is about: those of the program's list, or those that have settings of their own.
    fn backends(&self) -> Vec<&'static Backend> {
        let Self::File { names, .. } = self else {
            return Vec::new();
        };
        let listed = names.get(BACKENDS_SETTING);
        let listed = match listed.map(|listed| &listed.value) {
            Some(Ok(Value::List(items))) => items.as_slice(),
            _ => &[],
        };
        let is_listed = |backend: &&Backend| {
            listed.iter().any(
                |item| matches!(item, Value::Text { text, .. } if text.expose() == backend.class),
            )
        };
        let of_list: Vec<_> = BACKENDS.iter().filter(is_listed).collect();
        if !of_list.is_empty() {
            return of_list;
        }
        let has_own = |backend: &&Backend| {
            let mut own = SETTINGS.iter().map(|setting| backend.own(setting));
            own.any(|name| names.contains_key(&name))
        };
        BACKENDS.iter().filter(has_own).collect()
    }

    /// That no variable says something else than the file.
    fn check_variables(&self, environment: &Environment) -> Result<(), ConfigError> {
        let Self::File { names, .. } = self else {
            return Ok(());
        };
        for backend in BACKENDS {
            for setting in SETTINGS {
                let name = backend.own(setting);
                let Some(variable) = environment.get(&name).filter(|_| names.contains_key(&name))
                else {
                    continue;
                };
                if let Ok(Some(setting)) = self.named(&name)
                    && setting.text() != variable.trim()
                {
                    return Err(ConfigError::new(
                        setting.from,
                        format!("says something else than the variable {name}"),
                    )
                    .hint("unset the variable, or have the module take it: os.environ[…]"));
                }
            }
        }
        Ok(())
    }
}

struct Importer<'a> {
    settings: &'a Settings<'a>,
    environment: &'a Environment,
    draft: Draft,
}

impl<'a> Importer<'a> {
    fn new(settings: &'a Settings<'a>, environment: &'a Environment) -> Self {
        Self {
            settings,
            environment,
            draft: Draft::default(),
        }
    }

    /// An identity for each backend. Those that can get no tokens are left out if there are others.
    fn import(mut self, backends: &[&Backend], source: String) -> Result<Imported, ConfigError> {
        let mut first = None;
        for backend in backends {
            match self.identity(backend) {
                Ok(identity) => {
                    let identity = (backend.name.to_owned(), Node::Object(identity));
                    self.draft.identities.push(identity);
                }
                Err(Problem::NoTenant(error)) => {
                    let note = format!("{} is left out: {error}", backend.name);
                    self.draft.notes.push(note);
                    first.get_or_insert(error);
                }
                Err(Problem::Wrong(error)) => return Err(error),
            }
        }
        match first {
            Some(error) if self.draft.identities.is_empty() => Err(error),
            _ => self.draft.finish(names::Kind::SocialAuth, source),
        }
    }

    /// Looked up as social-core does it: the backend's own, then that of all backends, and in a file the bare name. The
    /// first that is there counts, also if it is empty; then there is no value.
    fn get(&self, backend: &Backend, setting: &str) -> Result<Option<Setting>, ConfigError> {
        for name in self.names(backend, setting) {
            if let Some(found) = self.settings.named(&name)? {
                return Ok(Some(found).filter(|found| !found.text().is_empty()));
            }
        }
        Ok(None)
    }

    /// The names of a setting, the first that is there counts.
    fn names(&self, backend: &Backend, setting: &str) -> impl Iterator<Item = String> {
        let names = [
            backend.own(setting),
            format!("{PREFIX}{setting}"),
            setting.to_owned(),
        ];
        // bare names mean something else in most environments
        let bare = matches!(self.settings, Settings::File { .. });
        names.into_iter().take(if bare { 3 } else { 2 })
    }

    /// Of a setting that takes a variable which is not set, that.
    fn unset_variable(&self, backend: &Backend, setting: &str) -> Option<ConfigError> {
        let Settings::File { file, names } = self.settings else {
            return None;
        };
        let mut known = self.names(backend, setting);
        let (name, assigned) = known.find_map(|name| names.get(&name).map(|a| (name, a)))?;
        let Ok(Value::Unset(variable)) = &assigned.value else {
            return None;
        };
        let from = format!("{name} ({}, line {})", file.name, assigned.line);
        let error = ConfigError::new(
            from,
            format!("takes the variable {variable}, which is not set"),
        );
        Some(error.hint(set_or_write(variable)))
    }

    fn required(&self, backend: &Backend, setting: &str) -> Result<Setting, ConfigError> {
        let found = self.get(backend, setting)?;
        found.ok_or_else(|| {
            if let Some(error) = self.unset_variable(backend, setting) {
                return error;
            }
            let own = backend.own(setting);
            let meant = match setting {
                "KEY" => "the application (client) ID",
                "TENANT_NAME" => "the tenant's name, without .onmicrosoft.com",
                _ => "its value",
            };
            unset(self.place(&own), format!("set it to {meant}"))
        })
    }

    /// A name for a setting that is not there.
    fn place(&self, name: &str) -> String {
        match self.settings {
            Settings::Variables(_) => name.to_owned(),
            Settings::File { file, .. } => format!("{name} ({})", file.name),
        }
    }

    fn identity(&mut self, backend: &Backend) -> Result<Object, Problem> {
        let at = format!("identities.{}", backend.name);
        self.draft.place(&at, self.place(&backend.own("…")));
        let mut fields = self.authority(backend, &at)?;
        let key = self.required(backend, "KEY")?;
        fields.push(("client_id".to_owned(), Node::text(key.text())));
        self.draft.place(format!("{at}.client_id"), key.from);
        if let Some(resource) = self.get(backend, "RESOURCE")? {
            let scope = Node::text(format!("{}{DEFAULT_SCOPE}", resource.text()));
            fields.push(("scopes".to_owned(), Node::List(vec![scope])));
            self.draft.place(format!("{at}.scopes"), resource.from);
        }
        let credential = self.credential(backend, &at)?;
        fields.push(("credential".to_owned(), credential));
        Ok(fields)
    }

    /// Where the backend asks for tokens.
    fn authority(&mut self, backend: &Backend, at: &str) -> Result<Object, Problem> {
        let policy = match backend.kind {
            Kind::B2c => Some(self.policy(backend)?),
            _ => None,
        };
        let text = |name: &str, value: String| (name.to_owned(), Node::text(value));
        if let Some(url) = self.get(backend, "AUTHORITY_URL")? {
            let (authority, path) = authority_url(&url)?;
            self.draft.trust_microsoft(authority);
            if policy.is_none() && !path.contains('/') {
                self.draft.place(at, &url.from);
                check_tenant(path, &url.from, || {
                    format!("write the app's own tenant in its place: https://{authority}/TENANT")
                })?;
                let mut fields = vec![
                    text("authority_host", format!("https://{authority}")),
                    text("tenant_id", path.to_owned()),
                ];
                fields.extend(version(backend));
                return Ok(fields);
            }
            let place = format!("{at}.token_endpoint");
            self.draft.place(place, &url.from);
            return Ok(vec![text(
                "token_endpoint",
                endpoint(backend, &format!("{authority}/{path}"), policy.as_deref()),
            )]);
        }
        let host = self.get(backend, "AUTHORITY_HOST")?;
        if let Some(host) = &host
            && host.text().contains("://")
        {
            let error = ConfigError::new(
                &host.from,
                "is a URL, and python-social-auth expects a host there",
            );
            let hint = format!("write it without https://, for example {PUBLIC_HOST}");
            return Err(error.hint(hint).into());
        }
        let named = host.as_ref().map(|host| host.text().trim_end_matches('/'));
        if let Some(policy) = policy {
            const DOMAIN: &str = ".onmicrosoft.com";
            let tenant = self.required(backend, "TENANT_NAME")?;
            if tenant.text().contains('.') {
                let error = ConfigError::new(
                    &tenant.from,
                    format!("has a dot, and python-social-auth puts {DOMAIN} behind it"),
                );
                return Err(error.hint("write the tenant's name alone").into());
            }
            let usual = format!("{}.b2clogin.com", tenant.text().to_lowercase());
            let authority = named.unwrap_or(&usual);
            self.draft.trust_microsoft(authority);
            let base = format!("{authority}/{}{DOMAIN}", tenant.text());
            let from = host.as_ref().map_or(&tenant.from, |host| &host.from);
            self.draft.place(format!("{at}.token_endpoint"), from);
            return Ok(vec![text(
                "token_endpoint",
                endpoint(backend, &base, Some(&policy)),
            )]);
        }
        let own = backend.own("TENANT_ID");
        let tenant = self.get(backend, "TENANT_ID")?.ok_or_else(|| {
            let many = match backend.kind {
                Kind::Common => "the backend signs in people of all tenants (common)",
                _ => "without it people of all tenants sign in (common)",
            };
            let message = format!(
                "is not set: {many}, and an app gets its tokens from one tenant (AADSTS9001023)"
            );
            let error = ConfigError::new(self.place(&own), message);
            let hint = format!("set {own} to the tenant that the app's tokens are for");
            Problem::NoTenant(error.hint(hint))
        })?;
        check_tenant(tenant.text(), &tenant.from, || {
            "set it to the tenant that the app's tokens are for".to_owned()
        })?;
        let authority = named.unwrap_or(PUBLIC_HOST);
        self.draft.trust_microsoft(authority);
        if let Some(host) = &host {
            let place = format!("{at}.authority_host");
            self.draft.place(place, &host.from);
        }
        self.draft.place(format!("{at}.tenant_id"), &tenant.from);
        let mut fields = vec![
            text("authority_host", format!("https://{authority}")),
            text("tenant_id", tenant.text().to_owned()),
        ];
        fields.extend(version(backend));
        Ok(fields)
    }

    /// The user flow of B2C.
    fn policy(&self, backend: &Backend) -> Result<String, ConfigError> {
        let policy = self.required(backend, "POLICY");
        let policy = policy.map_err(|error| error.hint("set it to the user flow, b2c_…"))?;
        if !policy.text().to_lowercase().starts_with("b2c_") {
            return Err(ConfigError::new(
                policy.from,
                "does not begin with `b2c_`, which python-social-auth expects of a user flow",
            )
            .hint("set it to the name of the user flow, for example b2c_1_signin"));
        }
        Ok(policy.text().to_owned())
    }

    /// A secret goes before an assertion, and that before the file of one.
    fn credential(&mut self, backend: &Backend, at: &str) -> Result<Node, ConfigError> {
        let at = format!("{at}.credential");
        let secret = self.get(backend, "SECRET")?;
        let assertion = self.get(backend, "CLIENT_ASSERTION")?;
        let file = self.token_file(backend)?;
        let beside = |used: &Setting, unused: &[&Option<Setting>]| -> Vec<String> {
            let unused = unused.iter().filter_map(|unused| unused.as_ref());
            let note = |unused: &Setting| {
                format!("{} is not used: {} goes before it", unused.from, used.from)
            };
            unused.map(note).collect()
        };
        if let Some(secret) = &secret {
            self.draft
                .notes
                .extend(beside(secret, &[&assertion, &file]));
            return Ok(self.held("client_secret", &at, secret, Object::new()));
        }
        let mut fields = Object::new();
        let kind = match assertion.is_some() {
            true => "client_assertion",
            false => "federated_token_file",
        };
        if let Some(kind_of) = self.get(backend, "CLIENT_ASSERTION_TYPE")? {
            fields.push(("assertion_type".to_owned(), Node::text(kind_of.text())));
            let place = format!("{at}.{kind}.assertion_type");
            self.draft.place(place, kind_of.from);
        }
        if let Some(assertion) = &assertion {
            self.draft.notes.extend(beside(assertion, &[&file]));
            return Ok(self.held(kind, &at, assertion, fields));
        }
        let Some(file) = file else {
            let own = ["FEDERATED_TOKEN_FILE", "CLIENT_ASSERTION", "SECRET"];
            let mut unset = own
                .iter()
                .filter_map(|name| self.unset_variable(backend, name));
            if let Some(error) = unset.next() {
                return Err(error);
            }
            let setting = |name: &str| backend.own(name);
            return Err(
                ConfigError::new(self.place(&backend.own("…")), "names no credential").hint(
                    format!(
                        "set {}, {} or {}; in a pod with workload identity {} is set",
                        setting("FEDERATED_TOKEN_FILE"),
                        setting("CLIENT_ASSERTION"),
                        setting("SECRET"),
                        TOKEN_FILES[1]
                    ),
                ),
            );
        };
        self.draft.place(&at, &file.from);
        fields.push(("path".to_owned(), Node::text(file.text())));
        Ok(Node::of(kind, Node::Object(fields)))
    }

    /// A credential whose value the document names.
    fn held(&mut self, kind: &str, at: &str, setting: &Setting, mut fields: Object) -> Node {
        let variable = setting.variable.as_str();
        self.draft
            .variable(variable, setting.text.clone(), &setting.from);
        self.draft.place(at, &setting.from);
        fields.push(("env".to_owned(), Node::text(variable)));
        Node::of(kind, Node::Object(fields))
    }

    /// The file of an assertion: that of the variables goes before that of the setting.
    fn token_file(&mut self, backend: &Backend) -> Result<Option<Setting>, ConfigError> {
        let of_setting = self.get(backend, "FEDERATED_TOKEN_FILE")?;
        let variables = TOKEN_FILES.iter().filter_map(|name| {
            let value = self.environment.get(name)?;
            Some(Setting {
                text: Secret::new(value),
                from: (*name).to_owned(),
                variable: (*name).to_owned(),
            })
        });
        let mut all = variables.chain(of_setting);
        let Some(first) = all.next() else {
            return Ok(None);
        };
        let notes: Vec<String> = all
            .filter(|other| other.text() != first.text())
            .map(|other| {
                let python = "python-social-auth takes that variable first";
                format!(
                    "{} is not used: {} is set, and {python}",
                    other.from, first.from
                )
            })
            .collect();
        self.draft.notes.extend(notes);
        Ok(Some(first))
    }

    /// What a backend ends up with: another setting may say it, or social-core's default.
    fn meant(&self, backend: &Backend, setting: &str) -> Result<Option<Setting>, ConfigError> {
        let is_place = ["AUTHORITY_HOST", "TENANT_ID"].contains(&setting);
        let url = match is_place {
            true => self.get(backend, "AUTHORITY_URL")?,
            false => None,
        };
        let part = |text: &str, from: String| Setting {
            text: Secret::new(text),
            from,
            variable: String::new(),
        };
        match (url, setting) {
            (Some(url), "AUTHORITY_HOST") => {
                let host = authority_url(&url)?.0;
                Ok(Some(part(host, url.from.clone())))
            }
            (Some(url), _) => {
                let path = authority_url(&url)?.1;
                let is_tenant = !path.contains('/');
                Ok(is_tenant.then(|| part(path, url.from.clone())))
            }
            (None, "AUTHORITY_HOST") => Ok(self.get(backend, setting)?.or_else(|| {
                // of B2C it is made of the tenant's name, which no variable of the SDKs has
                let is_usual = !matches!(backend.kind, Kind::B2c);
                is_usual.then(|| part(PUBLIC_HOST, self.place(&backend.own(setting))))
            })),
            (None, _) => self.get(backend, setting),
        }
    }

    /// That the variables of the Azure SDKs, which describe an identity by themselves, do not mean another one. Those of
    /// them that a setting says as well.
    fn check_conflicts(&self, backends: &[&Backend]) -> Result<Vec<&'static str>, ConfigError> {
        let mut said = Vec::new();
        for (setting, variable, what) in [
            ("KEY", Environment::AZURE_CLIENT_ID, "client"),
            ("TENANT_ID", Environment::AZURE_TENANT_ID, "tenant"),
            ("SECRET", Environment::AZURE_CLIENT_SECRET, "secret"),
            (
                "AUTHORITY_HOST",
                Environment::AZURE_AUTHORITY_HOST,
                "authority",
            ),
        ] {
            let Some(other) = self.environment.get(variable) else {
                continue;
            };
            let plain = |text: &str| {
                let text = text.trim().trim_end_matches('/');
                text.trim_start_matches("https://").to_owned()
            };
            let of_backends = backends.iter().map(|backend| self.meant(backend, setting));
            let settings: Vec<Setting> = of_backends
                .collect::<Result<Vec<_>, _>>()?
                .into_iter()
                .flatten()
                .collect();
            let is_same = |setting: &Setting| match what {
                "secret" => setting.text() == other.trim(),
                _ => plain(setting.text()).eq_ignore_ascii_case(&plain(other)),
            };
            let Some(first) = settings.first() else {
                continue;
            };
            if !settings.iter().any(is_same) {
                return Err(ConfigError::new(
                    &first.from,
                    format!("names another {what} than {variable}: only one of them can be meant"),
                )
                .hint("unset one of the two, or give a configuration of its own"));
            }
            said.push(variable);
        }
        Ok(said)
    }
}

/// The variable that a value is taken from, where that is why there is none.
fn variable_not_set(reason: &str) -> Option<&str> {
    let variable = reason.strip_prefix("is taken from the variable ")?;
    variable.strip_suffix(", which is not set")
}

fn set_or_write(variable: &str) -> String {
    format!("set the variable {variable}, or write the value itself there")
}

/// Why there is no identity for a backend.
enum Problem {
    /// It is for people of many tenants, who are none of this program's business.
    NoTenant(ConfigError),
    /// Something is wrong.
    Wrong(ConfigError),
}

impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error)
    }
}

/// The version of Entra's endpoint, if it is not the usual one.
fn version(backend: &Backend) -> Option<(String, Node)> {
    (!backend.v2).then(|| ("endpoint_version".to_owned(), Node::text("v1.0")))
}

fn endpoint(backend: &Backend, base: &str, policy: Option<&str>) -> String {
    let path = match backend.v2 {
        true => "oauth2/v2.0/token",
        false => "oauth2/token",
    };
    let policy = policy.map_or_else(String::new, |policy| format!("?p={policy}"));
    format!("https://{base}/{path}{policy}")
}

/// Host and path of `AUTHORITY_URL`, by social-core's own rules.
fn authority_url(setting: &Setting) -> Result<(&str, &str), ConfigError> {
    let url = setting.text().strip_prefix("https://").unwrap_or_default();
    let (authority, path) = url.split_once('/').unwrap_or_default();
    let path = path.trim_matches('/');
    let is_wrong = authority.is_empty()
        || path.is_empty()
        || authority.contains('@')
        || url.contains(|c: char| c.is_whitespace() || c == '?' || c == '#');
    if is_wrong {
        return Err(ConfigError::new(
            &setting.from,
            "is no https:// URL with a path, without query and fragment",
        )
        .hint(format!("write it as https://{PUBLIC_HOST}/TENANT")));
    }
    Ok((authority, path))
}

/// That a tenant is one and not many.
fn check_tenant(tenant: &str, from: &str, hint: impl FnOnce() -> String) -> Result<(), Problem> {
    let is = |many: &&str| many.eq_ignore_ascii_case(tenant);
    if ["common", "organizations", "consumers"].iter().any(is) {
        let message =
            format!("is `{tenant}`, and an app gets its tokens from one tenant (AADSTS9001023)");
        return Err(Problem::NoTenant(
            ConfigError::new(from, message).hint(hint()),
        ));
    }
    Ok(())
}
