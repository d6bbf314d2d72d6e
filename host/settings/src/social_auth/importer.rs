//! What becomes of each backend: an identity.

use edgepass_core::authority::{PUBLIC_HOST, host_of_cloud};
use edgepass_core::{ConfigError, Environment, Secret};

use super::backends::{BACKENDS, Backend, Kind, PREFIX};
use super::source::{Setting, Settings, set_or_write};
use crate::draft::{Draft, Node, Object, unset};
use crate::python::Value;
use crate::{Imported, cloud, names};

const DEFAULT_SCOPE: &str = "/.default";

/// Variables that go before the setting `FEDERATED_TOKEN_FILE`, the first before the second.
pub(super) const TOKEN_FILES: [&str; 2] = [
    "OAUTH2_FEDERATED_TOKEN_FILE",
    Environment::AZURE_FEDERATED_TOKEN_FILE,
];

pub(super) struct Importer<'a> {
    pub(super) settings: &'a Settings<'a>,
    pub(super) environment: &'a Environment,
    pub(super) draft: Draft,
}

impl<'a> Importer<'a> {
    pub(super) fn new(settings: &'a Settings<'a>, environment: &'a Environment) -> Self {
        Self {
            settings,
            environment,
            draft: Draft::default(),
        }
    }

    /// An identity for each backend. Those that can get no tokens are left out if there are others.
    pub(super) fn import(
        mut self,
        backends: &[&Backend],
        source: String,
    ) -> Result<Imported, ConfigError> {
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

    /// Of a setting that the file has, and that has no value: where it stands, why, and what to do if it is a variable's.
    fn empty(&self, backend: &Backend, setting: &str) -> Option<(String, String, Option<String>)> {
        let Settings::File { file, names, .. } = self.settings else {
            return None;
        };
        let mut known = self.names(backend, setting);
        let (name, assigned) = known.find_map(|name| names.get(&name).map(|a| (name, a)))?;
        let from = format!("{name} ({}, line {})", file.name, assigned.line);
        let variable = match &assigned.value {
            Ok(
                Value::Unset(variable)
                | Value::Text {
                    variable: Some(variable),
                    ..
                },
            ) => Some(variable),
            Ok(value) if !value.is_true() => None,
            _ => return None,
        };
        Some(match variable {
            Some(variable) => (
                from,
                format!("takes the variable {variable}, which is not set"),
                Some(set_or_write(variable)),
            ),
            None => {
                let is_text = matches!(&assigned.value, Ok(Value::Text { .. }));
                let why = if is_text { "is empty" } else { "is not set" };
                (from, why.to_owned(), None)
            }
        })
    }

    /// Of a setting that takes a variable which is not set, that.
    fn unset_variable(&self, backend: &Backend, setting: &str) -> Option<ConfigError> {
        let (from, message, hint) = self.empty(backend, setting)?;
        Some(ConfigError::new(from, message).hint(hint?))
    }

    fn required(&self, backend: &Backend, setting: &str) -> Result<Setting, ConfigError> {
        let found = self.get(backend, setting)?;
        found.ok_or_else(|| {
            let meant = match setting {
                "KEY" => "the application (client) ID",
                "TENANT_NAME" => "the tenant's name, without .onmicrosoft.com",
                "POLICY" => "the user flow, b2c_…",
                _ => "its value",
            };
            let other = self.of_another(backend, setting);
            let meant = format!("set it to {meant}{other}");
            match self.empty(backend, setting) {
                Some((from, message, hint)) => {
                    ConfigError::new(from, message).hint(hint.unwrap_or(meant))
                }
                None => unset(self.place(&backend.own(setting)), meant),
            }
        })
    }

    /// Of a setting that is not there: that it is there of another backend, whose name looks alike.
    fn of_another(&self, backend: &Backend, setting: &str) -> String {
        let others = BACKENDS.iter().filter(|other| other.name != backend.name);
        let mut found = others.filter_map(|other| {
            // what is wrong with it is said where it is used
            let found = self.settings.named(&other.own(setting)).ok()??;
            Some(format!(
                "; {} is that of the backend {}, which this one does not look at",
                found.from, other.name
            ))
        });
        found.next().unwrap_or_default()
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
        if let Some(host) = &host {
            check_host(host)?;
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
            let other = self.of_another(backend, "TENANT_ID");
            let hint = format!("set {own} to the tenant that the app's tokens are for{other}");
            let (from, why, hint) = match self.empty(backend, "TENANT_ID") {
                Some((from, why, of_variable)) => (from, why, of_variable.unwrap_or(hint)),
                None => (self.place(&own), "is not set".to_owned(), hint),
            };
            let message = format!(
                "{why}: {many}, and an app gets its tokens from one tenant (AADSTS9001023)"
            );
            Problem::NoTenant(ConfigError::new(from, message).hint(hint))
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
        let policy = self.required(backend, "POLICY")?;
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
            let message = match self.without_text(backend, &own)?.as_slice() {
                [] => "names no credential".to_owned(),
                empty => format!("names no credential: {} is empty", empty.join(", ")),
            };
            let mut others = own.iter().map(|name| self.of_another(backend, name));
            return Err(
                ConfigError::new(self.place(&backend.own("…")), message).hint(format!(
                    "set {}, {} or {}; in a pod with workload identity {} is set{}",
                    setting("FEDERATED_TOKEN_FILE"),
                    setting("CLIENT_ASSERTION"),
                    setting("SECRET"),
                    TOKEN_FILES[1],
                    others.find(|other| !other.is_empty()).unwrap_or_default()
                )),
            );
        };
        self.draft.place(&at, &file.from);
        fields.push(("path".to_owned(), Node::text(file.text())));
        Ok(Node::of(kind, Node::Object(fields)))
    }

    /// Those of the settings that are there and have no value.
    fn without_text(
        &self,
        backend: &Backend,
        settings: &[&str],
    ) -> Result<Vec<String>, ConfigError> {
        let mut empty = Vec::new();
        for setting in settings {
            for name in self.names(backend, setting) {
                if let Some(found) = self.settings.named(&name)? {
                    empty.extend(found.text().is_empty().then_some(found.from));
                    break;
                }
            }
        }
        Ok(empty)
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
    pub(super) fn check_conflicts(
        &self,
        backends: &[&Backend],
    ) -> Result<Vec<&'static str>, ConfigError> {
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
                .hint(format!(
                    "unset one of the two (`env -u {variable} …` where the platform sets it), or give the settings as a file \
                     with --social-auth, which is not compared with it"
                )));
            }
            said.push(variable);
        }
        Ok(said)
    }
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
        .hint(format!(
            "write it as https://{}/TENANT",
            cloud::meant(setting.text())
                .as_deref()
                .unwrap_or(PUBLIC_HOST)
        )));
    }
    if let Some(host) = cloud::without_slash(authority) {
        let error = ConfigError::new(&setting.from, "has no / behind its host");
        return Err(error.hint(format!("write it as https://{host}/TENANT")));
    }
    if cloud::is_known(&authority.to_lowercase()) && !is_of_a_tenant(path) {
        return Err(
            ConfigError::new(&setting.from, "has more in its path than a tenant").hint(format!(
                "write it as https://{authority}/TENANT: python-social-auth puts the rest behind it"
            )),
        );
    }
    Ok((authority, path))
}

/// Whether a path of Microsoft's is a tenant, or of Azure AD B2C a tenant with its user flow: `tfp/TENANT/B2C_1_signin`.
fn is_of_a_tenant(path: &str) -> bool {
    let is = |part: &str, all: &[&str]| all.iter().any(|known| part.eq_ignore_ascii_case(known));
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 {
        parts.pop_if(|part| part.to_ascii_lowercase().starts_with("b2c_"));
    }
    match parts.as_slice() {
        [tenant] => !is(tenant, &["v2.0"]),
        [before, _] => is(before, &["tfp", "te"]),
        _ => false,
    }
}

/// That `AUTHORITY_HOST` is no URL and no name of a cloud. Either leads to the host that was meant, as python-social-auth takes
/// it.
fn check_host(host: &Setting) -> Result<(), ConfigError> {
    let message = if host_of_cloud(host.text()).is_some() {
        "is the name of a cloud, and not its host"
    } else if host.text().contains("://") {
        "is a URL, and python-social-auth expects a host there"
    } else {
        return Ok(());
    };
    let hint = match cloud::meant(host.text()) {
        Some(host) => format!("write {host}"),
        None => format!("write the host alone, without https://, for example {PUBLIC_HOST}"),
    };
    Err(ConfigError::new(&host.from, message).hint(hint))
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
