//! A configuration document that is being written, with where each part of it comes from.

use edgepass_core::{ConfigError, Secret};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use zeroize::Zeroizing;

use crate::names::{Kind, Names};
use crate::{Imported, OfUsers};

/// What stands in a document.
#[derive(Clone)]
pub(crate) enum Node {
    Text(Secret),
    Flag(bool),
    List(Vec<Node>),
    Object(Object),
}

/// Fields in their order.
pub(crate) type Object = Vec<(String, Node)>;

impl Node {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(Secret::new(text))
    }

    /// An object with one field.
    pub(crate) fn of(name: &str, node: Self) -> Self {
        Self::Object(vec![(name.to_owned(), node)])
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text.expose()),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, node) in fields {
                    map.serialize_entry(name, node)?;
                }
                map.end()
            }
        }
    }
}

/// The document so far.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) authority_hosts: Vec<String>,
    pub(crate) identities: Object,
    pub(crate) certificates: Object,
    pub(crate) notes: Vec<String>,
    variables: Vec<(String, Secret)>,
    places: Vec<(String, String)>,
    pub(crate) of_users: Option<OfUsers>,
    /// APIs of which one has to be named for its scopes.
    pub(crate) apis: Vec<String>,
}

impl Draft {
    /// Notes where a part of the document comes from.
    pub(crate) fn place(&mut self, path: impl Into<String>, from: impl Into<String>) {
        self.places.push((path.into(), from.into()));
    }

    /// Gives places that were noted below one part of the document to another part.
    pub(crate) fn move_places(&mut self, before: &str, after: &str) {
        for (path, _) in &mut self.places {
            if let Some(rest) = path.strip_prefix(before) {
                *path = format!("{after}{rest}");
            }
        }
    }

    /// A value that the document names instead of having it.
    pub(crate) fn variable(&mut self, name: &str, value: Secret, from: &str) {
        self.variables.push((name.to_owned(), value));
        self.place(name, from);
    }

    /// A host of Microsoft's own that the engine need not know by name.
    pub(crate) fn trust_microsoft(&mut self, authority: &str) {
        let is_known = self.authority_hosts.iter().any(|known| known == authority);
        if !is_known && is_microsofts(authority) {
            self.authority_hosts.push(authority.to_owned());
        }
    }

    /// The whole document.
    pub(crate) fn finish(self, kind: Kind, source: String) -> Result<Imported, ConfigError> {
        let mut fields: Object = vec![("identities".to_owned(), Node::Object(self.identities))];
        if !self.certificates.is_empty() {
            fields.push(("certificates".to_owned(), Node::Object(self.certificates)));
        }
        if !self.authority_hosts.is_empty() {
            let hosts = self.authority_hosts.into_iter().map(Node::text);
            fields.push(("authority_hosts".to_owned(), Node::List(hosts.collect())));
        }
        let document = serde_json::to_string(&Node::Object(fields));
        let document = document.map_err(|error| {
            ConfigError::new("configuration", format!("cannot be written: {error}"))
        })?;
        Ok(Imported {
            document: Zeroizing::new(document),
            notes: self.notes,
            source,
            variables: self.variables,
            names: Names::new(kind, self.places).with_apis(self.apis),
            of_users: self.of_users,
        })
    }
}

/// How the hosts of External ID (CIAM) and of Azure AD B2C end, each of which is one tenant's.
pub(crate) const OF_TENANTS: [&str; 2] = [".ciamlogin.com", ".b2clogin.com"];

/// Whether a tenant's own host is below a domain that is Microsoft's.
pub(crate) fn is_microsofts(authority: &str) -> bool {
    OF_TENANTS.iter().any(|domain| {
        let tenant = authority.strip_suffix(domain).unwrap_or_default();
        let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !tenant.is_empty() && tenant.chars().all(is_label)
    })
}

/// An error about a setting that is not there.
pub(crate) fn unset(setting: impl Into<String>, hint: impl Into<String>) -> ConfigError {
    ConfigError::new(setting, "is not set").hint(hint)
}

/// A name that identities and certificates may have: other characters become `-`.
pub(crate) fn name_of(text: &str) -> String {
    let is_usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let usable = |c| if is_usable(c) { c } else { '-' };
    text.chars().map(usable).collect()
}
