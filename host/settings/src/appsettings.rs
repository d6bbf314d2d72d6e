//! Microsoft.Identity.Web's settings: the section `AzureAd` (or another one) of a .NET program's `appsettings.json`, and
//! one of its `DownstreamApis`.
//!
//! The sources are Microsoft.Identity.Abstractions (`CredentialDescription`, `CredentialSource`, `DownstreamApiOptions`) and
//! Microsoft.Identity.Web (`MergedOptions`, `CredentialsProvider`, `OidcIdpSignedAssertionLoader`). What concerns the
//! signing in of people and the tokens that a web API is sent has no part in getting tokens for the program itself, and is
//! left alone.

mod api;
mod authority;
mod source;

use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};

use self::api::{Api, scopes_of_app};
use self::authority::{Client, Place, Url, of_authority};
use self::source::Source;
use crate::draft::{Draft, Node, Object, name_of, unset};
use crate::layers::{Layers, Setting};
use crate::names::Kind;
use crate::{File, Imported, OfUsers};

/// The section that Microsoft's templates use.
pub const SECTION: &str = "AzureAd";

/// Where a program's APIs are.
const APIS: &str = "DownstreamApis";

/// Where a pod has its token if no variable says it (Azure Workload Identity's usual place in Microsoft's own sidecar).
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// What an assertion of a workload is made for, unless something else is said.
const EXCHANGE: &str = "api://AzureADTokenExchange";

const DEFAULT_SCOPE: &str = "/.default";

/// What MSAL adds to the query of each token request (`WithExtraQueryParameters`): of a client, and of an API's options.
const EXTRA_QUERY: &str = "ExtraQueryParameters";

/// Names that mean many tenants.
const META_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// The file that .NET calls a program's settings.
const FILE: &str = "appsettings.json";

/// What names a program's environment, the first before the second: so does `WebApplication.CreateBuilder` since .NET 7
/// (<https://learn.microsoft.com/dotnet/core/compatibility/aspnet-core/7.0/environment-variable-precedence>), and the
/// hosts of programs that serve no web have the first alone.
const ENVIRONMENTS: [&str; 2] = ["DOTNET_ENVIRONMENT", "ASPNETCORE_ENVIRONMENT"];

/// The environment of a program for which no variable names one.
const PRODUCTION: &str = "Production";

/// The file whose settings go over those of a program's `appsettings.json` if it is there: `appsettings.Production.json`
/// beside it, or that of the environment which `DOTNET_ENVIRONMENT` or else `ASPNETCORE_ENVIRONMENT` names. `None` for a
/// file of another name, which is read alone.
///
/// # Errors
///
/// With the variable, if what it says is no part of a file's name.
pub fn over(file: &Path, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|name| is_layered(name)) else {
        return Ok(None);
    };
    let of_program = match named_environments(environment).next() {
        // a file of another folder would be read
        Some((variable, named)) if named.contains(['/', '\\', '\0']) => {
            return Err(
                ConfigError::new(variable, "is no name of an environment: it is part of a path")
                    .hint(format!(
                        "set it to a name such as {PRODUCTION}: the settings in appsettings.{PRODUCTION}.json are read then"
                    )),
            );
        }
        Some((_, named)) => named,
        None => PRODUCTION,
    };
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, "json"));
    Ok(Some(
        file.with_file_name(format!("{stem}.{of_program}.{ending}")),
    ))
}

/// Whether a file of that name has others over it. Nobody calls one so who means something else.
fn is_layered(name: &str) -> bool {
    name.eq_ignore_ascii_case(FILE)
}

/// The variables that name the program's environment, that which counts first.
fn named_environments(environment: &Environment) -> impl Iterator<Item = (&'static str, &str)> {
    let named = ENVIRONMENTS.into_iter();
    named.filter_map(|variable| Some((variable, environment.get(variable)?)))
}

/// Makes a configuration of the settings of a .NET program: the file, that which goes over it ([`over`]), and the variables
/// of .NET's that go before both (`AzureAd__ClientId`). `section` is [`SECTION`] if it is left out. `api` names one of the `DownstreamApis`, whose scopes
/// become those of requests that name none; with a single one that has an app's scopes it may be left out. Scopes of users
/// (`User.Read`) become [those of requests for users](Imported::scopes_of_users).
///
/// # Errors
///
/// With the first setting that is wrong, by its path, file and line, or by its variable.
pub fn import(
    file: &File<'_>,
    over: Option<&File<'_>>,
    section: Option<&str>,
    api: Option<&str>,
    environment: &Environment,
) -> Result<Imported, ConfigError> {
    let sections = [Some(section.unwrap_or(SECTION)), api, Some(APIS)];
    let sections = Vec::from_iter(sections.into_iter().flatten());
    let settings = Layers::read(file, over, &sections, environment)?;
    let mut reader = Reader {
        settings: &settings,
        folder: file.folder,
        environment,
        draft: Draft::default(),
    };
    reader.note_environments(file);
    let api = reader.api(api)?;
    let section = section
        .or(api.as_ref().and_then(|api| api.section.as_deref()))
        .unwrap_or(SECTION);
    let name = name_of(section.rsplit(':').next().unwrap_or(section));
    let at = format!("identities.{name}");
    let mut identity = match &api {
        Some(Api {
            managed_identity: Some(selected),
            ..
        }) => reader.managed_identity(&at, selected.as_ref()),
        _ => reader.identity(section, &name, &at, api.as_ref())?,
    };
    let mut source = format!("{}, section {section}", settings.name());
    if let Some(api) = api {
        if reader.draft.of_users.is_none() {
            let scopes = api.scopes.iter().map(|scope| Node::text(scope.as_str()));
            identity.push(("scopes".to_owned(), Node::List(scopes.collect())));
            reader.draft.place(format!("{at}.scopes"), api.from);
        }
        source.push_str(&format!(", API {}", api.name));
    }
    let mut draft = reader.draft;
    draft.identities.push((name, Node::Object(identity)));
    draft.finish(Kind::AppSettings, source)
}

/// A kind of credential and its fields.
struct Credential {
    kind: &'static str,
    fields: Object,
    /// Where fields come from.
    places: Vec<(&'static str, String)>,
}

/// One of a client's list that can be used.
struct Usable {
    /// The path of its entry.
    path: String,
    /// Where that stands.
    from: String,
    credential: Credential,
}

/// One that cannot be used here.
struct Unusable {
    /// Where its entry stands.
    from: String,
    /// Continues that.
    why: String,
    /// What to use in its place.
    instead: String,
}

/// Where a certificate comes from.
struct Certificate<'a> {
    files: Object,
    /// Where fields come from.
    places: Vec<(&'static str, &'a str)>,
    password: Option<&'a Setting>,
}

impl<'a> Certificate<'a> {
    fn of(
        field: &'static str,
        value: Node,
        from: &'a Setting,
        password: Option<&'a Setting>,
    ) -> Self {
        Self {
            files: vec![(field.to_owned(), value)],
            places: vec![(field, &from.from)],
            password,
        }
    }

    /// As `KeyVaultCertificateLoader` of Microsoft.Identity.Web has it, but by a managed identity alone: its client, and
    /// where that comes from.
    fn of_a_vault(
        url: &'a Setting,
        certificate: &'a Setting,
        identity: Option<(&'a str, &'a str)>,
    ) -> Self {
        let mut vault: Object = vec![
            ("url".to_owned(), Node::text(url.text())),
            ("certificate".to_owned(), Node::text(certificate.text())),
        ];
        let mut places = vec![
            ("key_vault.url", url.from.as_str()),
            ("key_vault.certificate", certificate.from.as_str()),
        ];
        if let Some((client, from)) = identity {
            let id = vec![("client_id".to_owned(), Node::text(client))];
            vault.push(("identity".to_owned(), Node::Object(id)));
            places.push(("key_vault.identity.client_id", from));
        }
        Self {
            files: vec![("key_vault".to_owned(), Node::Object(vault))],
            places,
            password: None,
        }
    }
}

/// What becomes of an entry of `ClientCredentials`.
enum Entry {
    Credential(Credential),
    /// It is not for this program to use: why, and what to use instead.
    Unusable(String, String),
    /// It says itself that it is not to be used.
    Skipped,
}

struct Reader<'a> {
    settings: &'a Layers,
    folder: &'a Path,
    environment: &'a Environment,
    draft: Draft,
}

impl<'a> Reader<'a> {
    fn identity(
        &mut self,
        section: &str,
        name: &str,
        at: &str,
        api: Option<&Api>,
    ) -> Result<Object, ConfigError> {
        if !self.settings.has(section) {
            return Err(self.no_section(section));
        }
        self.draft.place(at, self.settings.missing(section));
        let tenant = api.and_then(|api| api.tenant.as_ref());
        let mut client = self.client(section, at, tenant)?;
        self.capabilities(section, at, &mut client);
        if let Some(api) = api.filter(|_| client.is_entra)
            && let Err(refusal) = scopes_of_app(api)
        {
            self.draft.of_users = Some(OfUsers {
                scopes: api.scopes.clone(),
                refusal,
            });
        }
        let credential = self.credential(section, name, at, &client)?;
        self.note_query(&format!("{section}:{EXTRA_QUERY}"), &client);
        if let Some(api) = api {
            self.note_query(&api.query, &client);
        }
        let mut fields = client.fields;
        fields.push(("credential".to_owned(), credential));
        Ok(fields)
    }

    /// Says which file's settings count where two variables name two environments: .NET's hosts do not agree on it.
    fn note_environments(&mut self, file: &File<'_>) {
        let name = Path::new(file.name).file_name();
        if !name.and_then(|name| name.to_str()).is_some_and(is_layered) {
            return;
        }
        let mut named = named_environments(self.environment);
        if let (Some((first, one)), Some((second, other))) = (named.next(), named.next())
            && one != other
        {
            self.draft.notes.push(format!(
                "{second} is not used: {first} names another environment and goes before it, as in \
                 WebApplication.CreateBuilder since .NET 7"
            ));
        }
    }

    /// A client's own identity on this machine.
    fn managed_identity(&mut self, at: &str, selected: Option<&Setting>) -> Object {
        let mut fields = Object::new();
        if let Some(selected) = selected {
            fields.push(("client_id".to_owned(), Node::text(selected.text())));
            let place = format!("{at}.credential.managed_identity");
            self.draft.place(place, &selected.from);
        }
        let kind = Node::of("managed_identity", Node::Object(fields));
        vec![("credential".to_owned(), kind)]
    }

    fn no_section(&self, section: &str) -> ConfigError {
        let is_client = |name: &String| {
            let has = |key| self.settings.get(&format!("{name}:{key}")).is_some();
            has("ClientId") || has("ClientCredentials:0:SourceType")
        };
        let sections: Vec<String> = self.settings.children("");
        let clients = sections.into_iter().filter(is_client);
        let clients: Vec<String> = clients.map(|name| format!("`{name}`")).collect();
        let error = ConfigError::new(
            self.settings.name(),
            format!("has no section `{section}`, and no variable {section}__… is set"),
        );
        error.hint(match clients.as_slice() {
            [] => "name the section that has ClientId and ClientCredentials".to_owned(),
            clients => format!("name its section: {}", clients.join(" or ")),
        })
    }

    fn required(&self, path: &str) -> Result<&'a Setting, ConfigError> {
        let found = self.settings.get(path);
        found.ok_or_else(|| {
            let variable = path.replace(':', "__");
            unset(
                self.settings.missing(path),
                format!("set it, or {variable} in the environment"),
            )
        })
    }

    /// Who asks, and where.
    fn client(
        &mut self,
        section: &str,
        at: &str,
        tenant_of_api: Option<&Setting>,
    ) -> Result<Client, ConfigError> {
        let get = |key: &str| self.settings.get(&format!("{section}:{key}"));
        let (instance, tenant) = (get("Instance"), get("TenantId"));
        let authority = get("Authority");
        let policy = get("SignUpSignInPolicyId").or_else(|| get("DefaultUserFlow"));
        let client_id = self.required(&format!("{section}:ClientId"))?;
        let mut place = match (authority, instance.or(tenant)) {
            (Some(authority), None) => {
                let place = of_authority(authority)?;
                if place.lacks_policy() {
                    return Err(ConfigError::new(
                        &authority.from,
                        "names no user flow, and its host is one of Azure AD B2C",
                    )
                    .hint("write it as https://NAME.b2clogin.com/TENANT/B2C_1_signin/v2.0"));
                }
                place
            }
            (ignored, _) => {
                if let (Some(authority), None) = (ignored, instance) {
                    // Microsoft.Identity.Web reads it where neither of the two is set, and fails without the one
                    let meant = Url::of(authority)?.authority;
                    let public = Url::public(String::new()).authority;
                    if meant != public {
                        let instance = self.settings.missing(&format!("{section}:Instance"));
                        let message = format!(
                            "is not set, and {} is read only where TenantId is not set either",
                            authority.from
                        );
                        let hint = format!("set it to https://{meant}/, or unset TenantId");
                        return Err(ConfigError::new(instance, message).hint(hint));
                    }
                }
                if let Some(ignored) = ignored {
                    let note = "is not used: Instance and TenantId go before it";
                    self.draft.notes.push(format!("{} {note}", ignored.from));
                }
                let url = match instance {
                    Some(instance) => Url::of(instance)?,
                    None => Url::public(self.settings.missing(&format!("{section}:Instance"))),
                };
                let domain = get("Domain").filter(|_| policy.is_some());
                let tenant = match domain.or(tenant) {
                    Some(tenant) => tenant,
                    None => self.required(&format!("{section}:TenantId"))?,
                };
                let place = Place {
                    url,
                    tenant: tenant.text().to_owned(),
                    tenant_from: tenant.from.clone(),
                    policy: policy.map(|policy| policy.text().to_owned()),
                };
                if place.lacks_policy() {
                    let setting = format!("{section}:SignUpSignInPolicyId");
                    return Err(ConfigError::new(
                        self.settings.missing(&setting),
                        "is not set, and Instance is a host of Azure AD B2C",
                    )
                    .hint("set it to the user flow or custom policy, such as B2C_1_signin"));
                }
                place
            }
        };
        let mut meta = META_TENANTS.iter();
        let is_meta = meta.any(|meta| meta.eq_ignore_ascii_case(&place.tenant));
        if let Some(tenant) = tenant_of_api {
            place.tenant = tenant.text().to_owned();
            place.tenant_from.clone_from(&tenant.from);
        } else if is_meta {
            let home = format!("{section}:AppHomeTenantId");
            let home = self.settings.get(&home).ok_or_else(|| {
                ConfigError::new(
                    &place.tenant_from,
                    format!(
                        "is `{}`, but an app gets its tokens from one tenant (AADSTS9001023)",
                        place.tenant
                    ),
                )
                .hint(format!(
                    "set {home} to the tenant that the app is registered in, or {} in the environment",
                    home.replace(':', "__")
                ))
            })?;
            place.tenant = home.text().to_owned();
            place.tenant_from.clone_from(&home.from);
        }
        let mut client = place.client(at, &mut self.draft);
        let id = ("client_id".to_owned(), Node::text(client_id.text()));
        client.fields.push(id);
        self.draft.place(format!("{at}.client_id"), &client_id.from);
        if client.is_entra {
            self.region(section, at, &mut client.fields);
        }
        Ok(client)
    }

    /// `AzureRegion`, which may say that the region is to be found: MSAL.NET looks at `REGION_NAME` first.
    fn region(&mut self, section: &str, at: &str, fields: &mut Object) {
        let Some(setting) = self.settings.get(&format!("{section}:AzureRegion")) else {
            return;
        };
        let is_found = setting.text().eq_ignore_ascii_case("TryAutoDetect");
        let region = match self.environment.get("REGION_NAME") {
            _ if !is_found => setting.text().to_owned(),
            Some(name) => name.trim().replace(' ', "").to_lowercase(),
            None => {
                self.draft.notes.push(format!(
                    "{} is not used: the region is not looked for, and REGION_NAME is not set; the cloud's global \
                     endpoint is asked",
                    setting.from
                ));
                return;
            }
        };
        fields.push(("region".to_owned(), Node::text(region)));
        self.draft.place(format!("{at}.region"), &setting.from);
    }

    /// `ClientCapabilities`, which Entra ID alone knows.
    fn capabilities(&mut self, section: &str, at: &str, client: &mut Client) {
        let path = format!("{section}:ClientCapabilities");
        if !client.is_entra {
            if self.settings.has(&path) {
                let from = self.settings.missing(&path);
                let note = "is not used: only Entra ID knows capabilities";
                self.draft.notes.push(format!("{from} {note}"));
            }
            return;
        }
        let mut capabilities = Vec::new();
        // .NET takes a text for no list, which is what a variable without its number is as well
        if let Some(text) = self.settings.get(&path) {
            let variable = path.replace(':', "__");
            let note = format!(
                "is not used: it is a list, [\"cp1\"], or {variable}__0 in the environment"
            );
            self.draft.notes.push(format!("{} {note}", text.from));
        }
        for child in self.settings.children(&path) {
            let Some(setting) = self.settings.get(&format!("{path}:{child}")) else {
                continue;
            };
            let index = capabilities.len();
            let place = format!("{at}.client_capabilities[{index}]");
            self.draft.place(place, &setting.from);
            capabilities.push(Node::text(setting.text()));
        }
        if !capabilities.is_empty() {
            let place = format!("{at}.client_capabilities");
            self.draft.place(place, self.settings.missing(&path));
            let field = ("client_capabilities".to_owned(), Node::List(capabilities));
            client.fields.push(field);
        }
    }

    /// Says what to write in the place of parameters of the URL, which have no effect: a server looks for those that MSAL
    /// adds there (`dc`, `slice`) in the URL alone, so that `additional_parameters`, of the body, would not do.
    fn note_query(&mut self, path: &str, client: &Client) {
        if !self.settings.has(path) {
            return;
        }
        let names = self.settings.children(path).into_iter();
        let is_plain = |name: &String| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        };
        // what they are set to is the program's own business
        let named: Vec<String> = names
            .filter(is_plain)
            .map(|name| format!("{name}=…"))
            .collect();
        let query = match named.as_slice() {
            [] => "…".to_owned(),
            named => named.join("&"),
        };
        let write = if client.is_entra {
            format!(
                "\"token_endpoint\": \"https://{}/TENANT/oauth2/v2.0/token?{query}\" in the place of authority_host and \
                 tenant_id",
                client.host
            )
        } else {
            format!("?{query} at the end of its token_endpoint")
        };
        let path = self.settings.missing(path);
        self.draft.notes.push(format!(
            "{path} is not used: nothing is added to the URL of a token request; if the server needs it, write a \
             configuration with {write} (docs/from-appsettings.md#parameters-of-the-url)"
        ));
    }

    /// How a client proves who it is: its list, without those entries that cannot be used here.
    fn credential(
        &mut self,
        section: &str,
        name: &str,
        at: &str,
        client: &Client,
    ) -> Result<Node, ConfigError> {
        let found = self.usable(section, name, client)?;
        let found = found.map_err(|unusable| {
            let Unusable { from, why, instead } = unusable;
            ConfigError::new(from, why).hint(instead)
        })?;
        let is_list = found.len() > 1;
        let mut nodes = Vec::new();
        for (index, usable) in found.into_iter().enumerate() {
            let at = match is_list {
                true => format!("{at}.credential[{index}]"),
                false => format!("{at}.credential"),
            };
            nodes.push(self.placed(&at, usable));
        }
        match nodes.as_slice() {
            [one] => Ok(one.clone()),
            _ => Ok(Node::List(nodes)),
        }
    }

    /// A credential as it stands in the document, at that place.
    fn placed(&mut self, at: &str, usable: Usable) -> Node {
        let Usable {
            path,
            from,
            credential:
                Credential {
                    kind,
                    fields,
                    places,
                },
        } = usable;
        for (field, from) in places {
            self.draft.place(format!("{at}.{kind}.{field}"), from);
        }
        self.draft.place(at, from);
        self.draft
            .move_places(&inner(&path), &format!("{at}.{kind}"));
        Node::of(kind, Node::Object(fields))
    }

    /// The entries that can be used, at least one.
    fn usable(
        &mut self,
        section: &str,
        name: &str,
        client: &Client,
    ) -> Result<Result<Vec<Usable>, Unusable>, ConfigError> {
        let mut found = Vec::new();
        let mut unusable = Vec::new();
        let mut entries = 0_usize;
        for path in self.entries(section)? {
            entries += 1;
            let from = self.from(&path);
            match self.entry(section, &path, name, client)? {
                Entry::Credential(credential) => found.push(Usable {
                    path,
                    from,
                    credential,
                }),
                Entry::Unusable(why, instead) => unusable.push(Unusable { from, why, instead }),
                Entry::Skipped => {}
            }
        }
        if !found.is_empty() {
            let notes = unusable.into_iter().map(|unusable| {
                let Unusable { from, why, instead } = unusable;
                format!("{from} is left out: it {why}; {instead}")
            });
            self.draft.notes.extend(notes);
            return Ok(Ok(found));
        }
        let others = unusable.len().saturating_sub(1);
        if let Some(mut first) = unusable.into_iter().next() {
            match others {
                0 => {}
                1 => first
                    .why
                    .push_str(", and the other entry cannot be used either"),
                more => {
                    let more = format!(", and the {more} other entries cannot be used either");
                    first.why.push_str(&more);
                }
            }
            return Ok(Err(first));
        }
        let list = self
            .settings
            .missing(&format!("{section}:ClientCredentials"));
        Err(match entries {
            1.. => ConfigError::new(list, "has only entries with Skip")
                .hint("take Skip out of the one that is to be used"),
            0 => unset(
                list,
                "write one: { \"SourceType\": \"SignedAssertionFilePath\" } in a pod with workload identity",
            ),
        })
    }

    /// The paths of a client's credentials: its list, or else what came before there was one.
    fn entries(&mut self, section: &str) -> Result<Vec<String>, ConfigError> {
        let of = |list: &str| -> Result<Vec<String>, ConfigError> {
            let path = format!("{section}:{list}");
            let children = self.settings.children(&path);
            if children
                .iter()
                .any(|child| child.eq_ignore_ascii_case("SourceType"))
            {
                let one = self.from(&path);
                return Err(ConfigError::new(
                    one,
                    format!("is that of one entry, and {list} is a list"),
                )
                .hint(format!(
                    "write \"{list}\": [ {{ … }} ], or {}__0__SourceType",
                    path.replace(':', "__")
                )));
            }
            let children = children.into_iter();
            Ok(children.map(|child| format!("{path}:{child}")).collect())
        };
        let listed = of("ClientCredentials")?;
        let managed = format!("{section}:ClientCredentialsUsingManagedIdentity");
        let secret = format!("{section}:ClientSecret");
        let mut older = Vec::new();
        if self.settings.has(&managed) {
            older.push(managed);
        }
        if self.settings.get(&secret).is_some() {
            older.push(secret);
        }
        older.extend(of("ClientCertificates")?);
        if listed.is_empty() {
            return Ok(older);
        }
        for path in older {
            let from = self.from(&path);
            let note = "is not used: ClientCredentials goes before it";
            self.draft.notes.push(format!("{from} {note}"));
        }
        Ok(listed)
    }

    /// Where an entry stands: the setting that says what it is.
    fn from(&self, path: &str) -> String {
        let source = format!("{path}:SourceType");
        let found = self.settings.get(&source);
        let found = found.or_else(|| self.settings.get(path));
        found.map_or_else(
            || self.settings.missing(path),
            |setting| setting.from.clone(),
        )
    }

    fn entry(
        &mut self,
        section: &str,
        path: &str,
        name: &str,
        client: &Client,
    ) -> Result<Entry, ConfigError> {
        if self.settings.flag(&format!("{path}:Skip"))? {
            return Ok(Entry::Skipped);
        }
        let is = |key: &str| path.eq_ignore_ascii_case(&format!("{section}:{key}"));
        let source = if is("ClientSecret") {
            return Ok(self.secret(&self.required(path)?.clone()));
        } else if is("ClientCredentialsUsingManagedIdentity") {
            if !self.settings.flag(&format!("{path}:IsEnabled"))? {
                return Ok(Entry::Skipped);
            }
            Source::SignedAssertionFromManagedIdentity
        } else {
            let setting = self.required(&format!("{path}:SourceType"))?;
            Source::parse(setting)?
        };
        let bound = self.settings.flag(&format!("{path}:UseBoundCredential"))?;
        if bound && !source.is_certificate() {
            let setting = self.required(&format!("{path}:UseBoundCredential"))?;
            self.draft.notes.push(format!(
                "{} is not used: only a certificate is shown on the connection, so nothing binds {}",
                setting.from,
                source.name()
            ));
        }
        let value = |keys: &[&str]| {
            let paths = keys.iter().map(|key| format!("{path}:{key}"));
            paths.filter_map(|path| self.settings.get(&path)).next()
        };
        Ok(match source {
            Source::ClientSecret => {
                let found = value(&["ClientSecret", "ReferenceOrValue"]);
                let setting = match found {
                    Some(setting) => setting,
                    None => self.required(&format!("{path}:ClientSecret"))?,
                };
                self.secret(&setting.clone())
            }
            Source::SignedAssertionFilePath => {
                let file = value(&[
                    "SignedAssertionFileDiskPath",
                    "SignedAssertionFilePath",
                    "Container",
                ]);
                self.token_file(file)
            }
            Source::SignedAssertionFromManagedIdentity => {
                let mut fields = Object::new();
                let mut places = Vec::new();
                if let Some(id) = value(&["ManagedIdentityClientId", "ReferenceOrValue"]) {
                    fields.push(("client_id".to_owned(), Node::text(id.text())));
                    places.push(("client_id", id.from.clone()));
                }
                if let Some(url) = value(&["TokenExchangeUrl"]) {
                    let audience = url.text().trim_end_matches(DEFAULT_SCOPE);
                    fields.push(("audience".to_owned(), Node::text(audience)));
                    places.push(("audience", url.from.clone()));
                }
                Entry::Credential(Credential {
                    kind: "managed_identity_assertion",
                    fields,
                    places,
                })
            }
            Source::Path => {
                let found = value(&["CertificateDiskPath", "Container"]);
                let file = match found {
                    Some(setting) => setting,
                    None => self.required(&format!("{path}:CertificateDiskPath"))?,
                };
                let password = value(&["CertificatePassword", "ReferenceOrValue"]);
                let field = Node::text(self.absolute(file.text()));
                let files = Certificate::of("certificate_file", field, file, password);
                self.certificate(section, path, name, client, bound, files)?
            }
            Source::Base64Encoded => {
                let found = value(&["Base64EncodedValue", "ReferenceOrValue"]);
                let text = match found {
                    Some(setting) => setting,
                    None => self.required(&format!("{path}:Base64EncodedValue"))?,
                };
                let password = value(&["CertificatePassword", "Container"]);
                let value = Node::Text(text.value.clone());
                let files = Certificate::of("certificate_base64", value, text, password);
                self.certificate(section, path, name, client, bound, files)?
            }
            Source::KeyVault => {
                let required = |keys: [&str; 2], key: &str| match value(&keys) {
                    Some(setting) => Ok(setting),
                    None => self.required(&format!("{path}:{key}")),
                };
                let url = required(["KeyVaultUrl", "Container"], "KeyVaultUrl")?;
                let certificate = required(
                    ["KeyVaultCertificateName", "ReferenceOrValue"],
                    "KeyVaultCertificateName",
                )?;
                let identity = self.identity_of_a_vault(section, path);
                let vault = Certificate::of_a_vault(url, certificate, identity);
                self.certificate(section, path, name, client, bound, vault)?
            }
            Source::CustomSignedAssertion => self.custom(path, name)?,
            other => {
                let (why, instead) = other.instead();
                Entry::Unusable(why.to_owned(), instead.to_owned())
            }
        })
    }

    /// The managed identity that may read a vault, and where it is named: that of the entry, or of the program, or of the
    /// variable (`KeyVaultCertificateLoader` of Microsoft.Identity.Web). With none of them it is the machine's own.
    fn identity_of_a_vault(&self, section: &str, path: &str) -> Option<(&'a str, &'a str)> {
        let mut settings = [
            format!("{path}:ManagedIdentityClientId"),
            format!("{section}:UserAssignedManagedIdentityClientId"),
        ]
        .into_iter()
        .filter_map(|path| self.settings.get(&path));
        let named = settings.next();
        let named = named.map(|setting| (setting.text(), setting.from.as_str()));
        named.or_else(|| {
            const VARIABLE: &str = Environment::AZURE_CLIENT_ID;
            Some((self.environment.get(VARIABLE)?.trim(), VARIABLE))
        })
    }

    fn secret(&mut self, setting: &Setting) -> Entry {
        let variable = setting.variable.as_str();
        self.draft
            .variable(variable, setting.value.clone(), &setting.from);
        Entry::Credential(Credential {
            kind: "client_secret",
            fields: vec![("env".to_owned(), Node::text(variable))],
            places: vec![("env", setting.from.clone())],
        })
    }

    fn token_file(&self, file: Option<&Setting>) -> Entry {
        let mut fields = Object::new();
        let mut places = Vec::new();
        match file {
            Some(file) => {
                let path = Node::text(self.absolute(file.text()));
                fields.push(("path".to_owned(), path));
                places.push(("path", file.from.clone()));
            }
            // the engine takes that of the variable
            None if self
                .environment
                .get(Environment::AZURE_FEDERATED_TOKEN_FILE)
                .is_some() => {}
            None => fields.push(("path".to_owned(), Node::text(TOKEN_FILE))),
        }
        Entry::Credential(Credential {
            kind: "federated_token_file",
            fields,
            places,
        })
    }

    fn certificate(
        &mut self,
        section: &str,
        path: &str,
        name: &str,
        client: &Client,
        bound: bool,
        certificate: Certificate<'_>,
    ) -> Result<Entry, ConfigError> {
        let Certificate {
            mut files,
            places,
            password,
        } = certificate;
        let name = format!("{name}-{}", self.draft.certificates.len());
        let place = format!("certificates.{name}");
        for (field, from) in places {
            self.draft.place(format!("{place}.{field}"), from);
        }
        self.draft.place(&place, self.from(path));
        if let Some(password) = password {
            let variable = password.variable.as_str();
            files.push(("password_env".to_owned(), Node::text(variable)));
            self.draft
                .variable(variable, password.value.clone(), &password.from);
            let place = format!("{place}.password_env");
            self.draft.place(place, &password.from);
        }
        let files = (name.clone(), Node::Object(files));
        self.draft.certificates.push(files);
        let mut fields: Object = vec![("name".to_owned(), Node::text(name))];
        if client.is_adfs {
            fields.push(("algorithm".to_owned(), Node::text("RS256")));
        }
        if self.settings.flag(&format!("{section}:SendX5C"))? {
            fields.push(("send_x5c".to_owned(), Node::Flag(true)));
        }
        let mut places = Vec::new();
        if bound {
            fields.push(("use_bound_credential".to_owned(), Node::Flag(true)));
            let setting = self.required(&format!("{path}:UseBoundCredential"))?;
            places.push(("use_bound_credential", setting.from.clone()));
        }
        Ok(Entry::Credential(Credential {
            kind: "certificate",
            fields,
            places,
        }))
    }

    /// An assertion by code of the program, of which Microsoft.Identity.Web brings one: that of Microsoft.Identity.Web.OidcFIC,
    /// by which another client's token is the assertion.
    fn custom(&mut self, path: &str, name: &str) -> Result<Entry, ConfigError> {
        const PROVIDER: &str = "OidcIdpSignedAssertion";

        let provider = self.required(&format!("{path}:CustomSignedAssertionProviderName"))?;
        if !provider.text().eq_ignore_ascii_case(PROVIDER) {
            return Ok(Entry::Unusable(
                "is an assertion by code of the .NET program".to_owned(),
                format!(
                    "write a configuration with the credential kind executable or assertion_source, or use {PROVIDER}, \
                     SignedAssertionFilePath or SignedAssertionFromManagedIdentity"
                ),
            ));
        }
        let data = format!("{path}:CustomSignedAssertionProviderData:ConfigurationSection");
        let section = self.required(&data)?;
        if !self.settings.has(section.text()) {
            let message = format!("names the section `{}`, which is not there", section.text());
            return Err(ConfigError::new(&section.from, message)
                .hint("write that section, or mend its name"));
        }
        let at = inner(path);
        let client = self.client(section.text(), &at, None)?;
        for entry in self.entries(section.text())? {
            let source = self.settings.get(&format!("{entry}:SourceType"));
            let source = source.map(Source::parse).transpose()?;
            if source == Some(Source::CustomSignedAssertion) {
                return Ok(Entry::Unusable(
                    format!(
                        "is proved by {}, which is proved by another one in turn",
                        self.from(&entry)
                    ),
                    "give the inner section a credential of its own".to_owned(),
                ));
            }
        }
        let is_bound = |usable: &Usable| {
            let mut fields = usable.credential.fields.iter();
            fields.any(|(name, _)| name == "use_bound_credential")
        };
        let usable = match self.usable(section.text(), name, &client)? {
            Ok(usable) => usable,
            Err(Unusable { from, why, instead }) => {
                return Ok(Entry::Unusable(
                    format!("is proved by {from}, which {why}"),
                    instead,
                ));
            }
        };
        let (bound, plain): (Vec<Usable>, Vec<Usable>) = usable.into_iter().partition(is_bound);
        let mut plain = plain.into_iter();
        let Some(first) = plain.next() else {
            return Ok(Entry::Unusable(
                "is proved by bound credentials alone".to_owned(),
                "give the inner section one without UseBoundCredential".to_owned(),
            ));
        };
        for Usable { from, .. } in plain.chain(bound) {
            let note = "is left out: of the inner section one credential is used, the first that is not bound";
            self.draft.notes.push(format!("{from} {note}"));
        }
        let mut fields = client.fields;
        // the inner client is asked where the cloud says
        fields.retain(|(name, _)| name != "region");
        let exchange = self.settings.get(&format!("{path}:TokenExchangeUrl"));
        let mut places = Vec::new();
        if exchange.is_some() || !client.is_entra {
            let url = exchange.map_or(EXCHANGE, Setting::text);
            let scope = match url.ends_with(DEFAULT_SCOPE) {
                true => url.to_owned(),
                false => format!("{url}{DEFAULT_SCOPE}"),
            };
            fields.push(("scope".to_owned(), Node::text(scope)));
            places.extend(exchange.map(|exchange| ("scope", exchange.from.clone())));
        }
        let credential = self.placed(&format!("{at}.credential"), first);
        fields.push(("credential".to_owned(), credential));
        Ok(Entry::Credential(Credential {
            kind: "oidc_federation",
            fields,
            places,
        }))
    }

    /// As .NET has it where the file is in the program's folder.
    fn absolute(&self, path: &str) -> String {
        // what a file holds in the place of its path: the engine refuses it, and does not repeat it
        let is_content =
            path.starts_with("eyJ") || path.starts_with("-----BEGIN") || path.len() > 255;
        if is_content || path.starts_with('/') || Path::new(path).is_absolute() {
            return path.to_owned();
        }
        self.folder.join(path).to_string_lossy().into_owned()
    }
}

/// What the place of an inner client is called until its outer one has a place.
fn inner(entry: &str) -> String {
    format!("inner@{entry}")
}
