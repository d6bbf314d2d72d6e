//! Which managed identity is meant.

use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::distinction::Distinction;

/// Which of the identities that are assigned to the machine: the one that the system has assigned, or the one with that
/// ID in that field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::credential) struct Selector(Option<(&'static str, String)>);

impl Selector {
    pub(in crate::credential) fn check(
        place: &Place<'_>,
        client_id: &Option<String>,
        object_id: &Option<String>,
        resource_id: &Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut chosen = None;
        for (field, id) in [
            ("client_id", client_id),
            ("object_id", object_id),
            ("resource_id", resource_id),
        ] {
            let Some(id) = id else { continue };
            let setting = place.at(field);
            check(&setting, rules::client_id(id))?;
            if field == "resource_id" && !id.starts_with('/') {
                return Err(ConfigError::new(setting, "is not a resource ID").hint(
                    "write /subscriptions/…/userAssignedIdentities/… as the portal shows it",
                ));
            }
            if chosen.replace((field, id.clone())).is_some() {
                return Err(ConfigError::new(
                    place.path(),
                    "has more than one of client_id, object_id and resource_id",
                )
                .hint("keep one of them: each names a user-assigned identity by itself"));
            }
        }
        Ok(Self(chosen))
    }

    /// The field and the ID.
    pub(super) fn id(&self) -> Option<(&'static str, &str)> {
        let (field, id) = self.0.as_ref()?;
        Some((field, id))
    }

    pub(in crate::credential) fn describe(&self) -> String {
        match self.id() {
            None => "system-assigned managed identity".to_owned(),
            Some((field, id)) => format!("managed identity with {field} {id}"),
        }
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        let (field, id) = self.id().unwrap_or_default();
        out.add(field);
        out.add(id);
    }
}
