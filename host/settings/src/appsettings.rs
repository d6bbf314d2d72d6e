//! Microsoft.Identity.Web's settings: the section `AzureAd` (or another one) of a .NET program's `appsettings.json`, and
//! one of its `DownstreamApis`.
//!
//! The sources are Microsoft.Identity.Abstractions (`CredentialDescription`, `CredentialSource`, `DownstreamApiOptions`) and
//! Microsoft.Identity.Web (`MergedOptions`, `CredentialsProvider`, `OidcIdpSignedAssertionLoader`). What concerns the
//! signing in of people and the tokens that a web API is sent has no part in getting tokens for the program itself, and is
//! left alone.

mod api;
mod authority;
mod credentials;
mod mistakes;
mod source;

use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};

use self::api::{Api, scopes_of_app};
use self::authority::{Client, ClientAuthority, Url, no_other_cloud, of_authority};
use self::mistakes::not_read_beside;
use crate::draft::{Draft, Node, Object, name_of, unset};
use crate::layers::{Layers, Setting};
use crate::names::Kind;
use crate::{File, Imported, OfUsers};

/// The section that Microsoft's templates use.
pub const SECTION: &str = "AzureAd";

/// Where a program's APIs are.
const APIS: &str = "DownstreamApis";

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
    if section.is_some_and(|section| section.trim().is_empty()) {
        return Err(ConfigError::new("--section", "is blank")
            .hint("name the section that has ClientId, or leave the option away"));
    }
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
    reader.note_blanks(&sections);
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
        if let (None, None, Some(cloud)) = (instance, authority, get("AzureCloudInstance")) {
            no_other_cloud(cloud, section)?;
        }
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
                    let meant = Url::of(authority, "")?.authority;
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
                // of B2C it is the tenant's own host, which Microsoft.Identity.Web does not guess either
                if let (None, Some(policy)) = (instance, policy) {
                    let instance = self.settings.missing(&format!("{section}:Instance"));
                    let message = format!("is not set, and {} is of Azure AD B2C", policy.from);
                    let hint = "set it to the tenant's own host, https://NAME.b2clogin.com/";
                    return Err(ConfigError::new(instance, message).hint(hint));
                }
                if let Some(ignored) = ignored {
                    let note = "is not used: Instance and TenantId go before it";
                    self.draft.notes.push(format!("{} {note}", ignored.from));
                }
                let url = match instance {
                    Some(instance) => Url::of_instance(instance)?,
                    None => Url::public(self.settings.missing(&format!("{section}:Instance"))),
                };
                // with a policy the tenant is that of the domain
                if policy.is_none() && url.is_b2c() {
                    let setting = format!("{section}:SignUpSignInPolicyId");
                    let mut message =
                        "is not set, and Instance is a host of Azure AD B2C".to_owned();
                    let mut hint =
                        "set it to the user flow or custom policy, such as B2C_1_signin".to_owned();
                    if let Some(ignored) = ignored {
                        message.push_str(&not_read_beside(ignored));
                        hint.push_str(", or unset Instance and TenantId if Authority names it");
                    }
                    return Err(
                        ConfigError::new(self.settings.missing(&setting), message).hint(hint)
                    );
                }
                let domain = get("Domain").filter(|_| policy.is_some());
                let tenant = match domain.or(tenant) {
                    Some(tenant) => tenant,
                    None => return Err(self.no_tenant(section, ignored)),
                };
                ClientAuthority {
                    url,
                    tenant: tenant.text().to_owned(),
                    tenant_from: tenant.from.clone(),
                    policy: policy.map(|policy| policy.text().to_owned()),
                }
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
}
