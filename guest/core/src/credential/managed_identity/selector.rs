//! Which managed identity is meant.

use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::distinction::Distinction;

/// Which of the identities that are assigned to the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::credential) enum Selector {
    System,
    ClientId(String),
    ObjectId(String),
    ResourceId(String),
}

impl Selector {
    pub(in crate::credential) fn check(
        place: &Place<'_>,
        client_id: Option<&str>,
        object_id: Option<&str>,
        resource_id: Option<&str>,
    ) -> Result<Self, ConfigError> {
        match (client_id, object_id, resource_id) {
            (None, None, None) => Ok(Self::System),
            (Some(id), None, None) => {
                check(&place.at("client_id"), rules::client_id(id))?;
                Ok(Self::ClientId(id.to_owned()))
            }
            (None, Some(id), None) => {
                check(&place.at("object_id"), rules::client_id(id))?;
                Ok(Self::ObjectId(id.to_owned()))
            }
            (None, None, Some(id)) => {
                let setting = place.at("resource_id");
                check(&setting, rules::client_id(id))?;
                if !id.starts_with('/') {
                    return Err(ConfigError::new(setting, "is not a resource ID").hint(
                        "write /subscriptions/…/userAssignedIdentities/… as the portal shows it",
                    ));
                }
                Ok(Self::ResourceId(id.to_owned()))
            }
            _ => Err(ConfigError::new(
                place.path(),
                "has more than one of client_id, object_id and resource_id",
            )
            .hint("keep one of them: each names a user-assigned identity by itself")),
        }
    }

    pub(in crate::credential) fn describe(&self) -> String {
        match self {
            Self::System => "system-assigned managed identity".to_owned(),
            Self::ClientId(id) => format!("managed identity with client ID {id}"),
            Self::ObjectId(id) => format!("managed identity with object ID {id}"),
            Self::ResourceId(id) => format!("managed identity {id}"),
        }
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        let (kind, id) = match self {
            Self::System => ("system", ""),
            Self::ClientId(id) => ("client_id", id.as_str()),
            Self::ObjectId(id) => ("object_id", id.as_str()),
            Self::ResourceId(id) => ("resource_id", id.as_str()),
        };
        out.add(kind);
        out.add(id);
    }
}
