//! The APIs that a program calls, and the scopes that it asks for.

use edgepass_core::ConfigError;

use super::{APIS, DEFAULT_SCOPE, EXTRA_QUERY, Reader};
use crate::draft::unset;
use crate::layers::Setting;

/// One of the APIs that a program calls.
pub(super) struct Api {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    /// Where the scopes stand.
    pub(super) from: String,
    pub(super) tenant: Option<Setting>,
    /// The section of the client that asks.
    pub(super) section: Option<String>,
    /// Tokens are those of a managed identity, by its client ID if it is user-assigned.
    pub(super) managed_identity: Option<Option<Setting>>,
    /// The path of what is added to the URL of a token request.
    pub(super) query: String,
}

impl Reader<'_> {
    /// The API of that name, or the one that there is.
    pub(super) fn api(&mut self, name: Option<&str>) -> Result<Option<Api>, ConfigError> {
        let listed = self.settings.children(APIS);
        let Some(name) = name else {
            let apis = listed.iter().map(|name| format!("{APIS}:{name}"));
            let apis = apis.filter_map(|path| {
                let scopes = self.scopes(&path)?;
                let is_of_app = |scope: &String| scope.ends_with(DEFAULT_SCOPE);
                scopes.0.iter().all(is_of_app).then_some(path)
            });
            let apis: Vec<String> = apis.collect();
            return match apis.as_slice() {
                [path] => self.read_api(path).map(Some),
                several => {
                    let names = several.iter().filter_map(|path| path.strip_prefix(APIS));
                    let names = names.map(|name| format!("`{}`", name.trim_start_matches(':')));
                    self.draft.apis = names.collect();
                    Ok(None)
                }
            };
        };
        let path = format!("{APIS}:{name}");
        // older programs have a section of its own for each
        if let Some(path) = [path.as_str(), name]
            .into_iter()
            .find(|path| self.settings.has(path))
        {
            return self.read_api(path).map(Some);
        }
        let names: Vec<String> = listed.iter().map(|name| format!("`{name}`")).collect();
        let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        Err(
            ConfigError::new(self.settings.missing(APIS), format!("has no API `{name}`")).hint(
                match names.as_slice() {
                    [_, ..] if listed.iter().all(is_number) => format!(
                        "it is a list: write an object of APIs by their names, \"{APIS}\": {{ \"NAME\": {{ \"Scopes\": [ … ] }} }}"
                    ),
                    [] => format!("write it under {APIS}, with its Scopes"),
                    names => format!("name one of: {}", names.join(", ")),
                },
            ),
        )
    }

    fn read_api(&mut self, path: &str) -> Result<Api, ConfigError> {
        let get = |key: &str| self.settings.get(&format!("{path}:{key}"));
        let managed = format!("{path}:AcquireTokenOptions:ManagedIdentity");
        let is_managed = self.settings.has(&managed);
        let (scopes, from) = self.scopes(path).ok_or_else(|| {
            let scopes = format!("{path}:Scopes");
            unset(
                self.settings.missing(&scopes),
                format!(
                    "set it to a list with the resource's scope, [\"api://…{DEFAULT_SCOPE}\"], or {}__0 in the environment",
                    scopes.replace(':', "__")
                ),
            )
        })?;
        let mut notes = Vec::new();
        if let Some(setting) = get("RequestAppToken")
            && !self.settings.flag(&format!("{path}:RequestAppToken"))?
        {
            notes.push(format!(
                "{} is false: the program asks for its users there, and this token is the program's own",
                setting.from
            ));
        }
        if let Some(scheme) = get("ProtocolScheme")
            && !scheme.text().eq_ignore_ascii_case("bearer")
        {
            let note = "is not used: the token is a bearer token";
            notes.push(format!("{} {note}", scheme.from));
        }
        let query = format!("{path}:AcquireTokenOptions:{EXTRA_QUERY}");
        if is_managed && self.settings.has(&query) {
            let query = self.settings.missing(&query);
            notes.push(format!(
                "{query} is not used: by .NET neither, of a managed identity's token"
            ));
        }
        for option in ["FmiPath", "Claims", "PopPublicKey"] {
            let option = format!("{path}:AcquireTokenOptions:{option}");
            if self.settings.has(&option) {
                let option = self.settings.missing(&option);
                notes.push(format!("{option} is not used"));
            }
        }
        let api = Api {
            name: path.rsplit(':').next().unwrap_or(path).to_owned(),
            scopes,
            from,
            tenant: get("AcquireTokenOptions:Tenant").cloned(),
            section: get("AcquireTokenOptions:AuthenticationOptionsName")
                .map(|setting| setting.text().to_owned()),
            managed_identity: is_managed.then(|| {
                let id = format!("{managed}:UserAssignedClientId");
                self.settings.get(&id).cloned()
            }),
            query,
        };
        self.draft.notes.append(&mut notes);
        Ok(api)
    }

    /// The scopes of an API and where they stand: a list, or a text with blanks between them.
    fn scopes(&self, path: &str) -> Option<(Vec<String>, String)> {
        let path = format!("{path}:Scopes");
        let items = self.settings.children(&path).into_iter();
        let items = items.filter_map(|item| self.settings.get(&format!("{path}:{item}")));
        let settings: Vec<&Setting> = match self.settings.get(&path) {
            Some(text) => vec![text],
            None => items.collect(),
        };
        let from = settings.first()?.from.clone();
        let texts = settings.into_iter().map(Setting::text);
        let scopes = texts.flat_map(str::split_whitespace).map(str::to_owned);
        Some((scopes.collect(), from))
    }
}

/// Scopes of people's tokens are no scopes of an app's.
pub(super) fn scopes_of_app(api: &Api) -> Result<(), ConfigError> {
    let Some(scope) = api.scopes.iter().find(|s| !s.ends_with(DEFAULT_SCOPE)) else {
        return Ok(());
    };
    let resource = match scope.rsplit_once('/') {
        Some((resource, _)) if resource.contains("://") && !resource.ends_with('/') => resource,
        _ => "https://graph.microsoft.com",
    };
    Err(ConfigError::new(
        &api.from,
        format!("has `{scope}`, which is a scope of people's tokens: an app's token is for all that it was granted at a resource"),
    )
    .hint(format!(
        "for a user, ask with --grant on-behalf-of or another grant of users; for the app, write the resource with \
         {DEFAULT_SCOPE}, for example {resource}{DEFAULT_SCOPE}, and \"RequestAppToken\": true"
    )))
}
