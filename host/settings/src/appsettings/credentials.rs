//! How a client proves who it is: its `ClientCredentials`, `ClientCertificates` and `ClientSecret`.

use std::path::Path;

use edgepass_core::{ConfigError, Environment};

use super::authority::Client;
use super::source::Source;
use super::{DEFAULT_SCOPE, Reader};
use crate::draft::{Node, Object};
use crate::layers::Setting;

/// Where a pod has its token if no variable says it (Azure Workload Identity's usual place in Microsoft's own sidecar).
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// What an assertion of a workload is made for, unless something else is said.
const EXCHANGE: &str = "api://AzureADTokenExchange";

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

impl<'a> Reader<'a> {
    /// How a client proves who it is: its list, without those entries that cannot be used here.
    pub(super) fn credential(
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
            0 => self.no_credential(section, client),
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
        // the order of `MergedOptions.ComputeFromLegacyClientCredentials` of Microsoft.Identity.Web
        if self.settings.has(&managed) {
            older.push(managed);
        }
        older.extend(of("ClientCertificates")?);
        if self.settings.get(&secret).is_some() {
            older.push(secret);
        }
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
