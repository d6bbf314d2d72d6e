//! Which managed identity is meant.

use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::distinction::Distinction;
use crate::refusal::Refusal;

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
        for (field, id, rule) in [
            ("client_id", client_id, guid as Rule),
            ("object_id", object_id, guid),
            ("resource_id", resource_id, resource),
        ] {
            let Some(id) = id else { continue };
            let setting = place.at(field);
            check(&setting, rules::filled_in(id))?;
            check(&setting, rule(id))?;
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

type Rule = fn(&str) -> Result<(), Refusal>;

/// Client and object IDs of managed identities are GUIDs, whatever those of other servers' clients are.
fn guid(id: &str) -> Result<(), Refusal> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && id.split('-').all(digits) {
        return Ok(());
    }
    Err(Refusal::new(
        "is not a GUID",
        "write the client ID or the object (principal) ID of the managed identity as its overview in the portal shows it",
    ))
}

/// A resource, characters: more than a name of each of its segments may have.
const MAX_RESOURCE_CHARS: usize = 2048;

/// Azure compares resource IDs without regard to case. Names of resource groups may have letters of any script.
fn resource(id: &str) -> Result<(), Refusal> {
    let named = id
        .to_ascii_lowercase()
        .split_once("/microsoft.managedidentity/userassignedidentities/")
        .is_some_and(|(before, name)| {
            before.starts_with("/subscriptions/") && !name.is_empty() && !name.contains('/')
        });
    if named
        && id.len() <= MAX_RESOURCE_CHARS
        && !id.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Ok(());
    }
    Err(Refusal::new(
        "is not the resource ID of a managed identity",
        "write /subscriptions/…/Microsoft.ManagedIdentity/userAssignedIdentities/… as its properties in the portal show it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_a_rule_of_its_own() {
        const GUID: &str = "99999999-aaaa-bbbb-CCCC-dddddddddddd";
        const RESOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/";
        let of = |name: &str| format!("{RESOURCE}{name}");
        let elsewhere = format!("https://management.azure.com{}", of("id"));
        for (rule, id, good) in [
            (guid as Rule, GUID, true),
            (guid, "", false),
            (guid, "app", false),
            (guid, "99999999aaaabbbbccccdddddddddddd", false),
            (guid, "99999999-aaaa-bbbb-cccc-ddddddddddd", false),
            (guid, "99999999-aaaa-bbbb-cccc-ddddddddddddd", false),
            (guid, "99999999-aaaa-bbbb-cccc-dddddddddddg", false),
            (guid, "{99999999-aaaa-bbbb-cccc-dddddddddddd}", false),
            (guid, "99999999-aaaa-bbbb-cccc-dddddddddddd ", false),
            (guid, of("id").as_str(), false),
            (resource, of("id").as_str(), true),
            (resource, of("id").to_uppercase().as_str(), true),
            (
                resource,
                of("id").replace("/g/", "/größe_(1)/").as_str(),
                true,
            ),
            (resource, "", false),
            (resource, "/", false),
            (resource, GUID, false),
            (resource, RESOURCE, false),
            (resource, of("id/x").as_str(), false),
            (resource, of("i d").as_str(), false),
            (resource, of("id\n").as_str(), false),
            (resource, elsewhere.as_str(), false),
            (resource, of(&"x".repeat(2048)).as_str(), false),
            (
                resource,
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm",
                false,
            ),
        ] {
            assert_eq!(rule(id).is_ok(), good, "{id:?}");
        }
    }
}
