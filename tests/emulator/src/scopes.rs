//! The `scope` of requests for a user's token.

use crate::errors::Refusal;
use crate::lock;
use crate::registry::Resource;
use crate::sessions::{Asked, Oidc};
use crate::users::DEFAULT_SCOPE;
use crate::world::World;

/// The resource of scopes that name none.
pub(crate) const GRAPH: &str = "https://graph.microsoft.com";

/// What a `scope` asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) asked: Vec<Asked>,
    pub(crate) oidc: Oidc,
}

impl Wanted {
    /// Reads a `scope` parameter of the second version.
    pub(crate) fn parse(
        world: &World,
        tenant: &str,
        client_id: &str,
        text: &str,
    ) -> Result<Self, Refusal> {
        check_characters(text)?;
        let mut wanted = Self::default();
        for scope in text.split_ascii_whitespace() {
            match scope {
                "openid" => wanted.oidc.openid = true,
                "profile" => wanted.oidc.profile = true,
                "email" => wanted.oidc.email = true,
                "offline_access" => wanted.oidc.offline_access = true,
                _ => wanted.add(world, tenant, client_id, scope)?,
            }
        }
        for asked in &wanted.asked {
            let has_default = asked.scopes.iter().any(|scope| scope == DEFAULT_SCOPE);
            if has_default && asked.scopes.len() > 1 {
                return Err(Refusal::new(
                    70_011,
                    format!(
                        "The provided value for the input parameter 'scope' is not valid. .default \
                         scope can't be combined with resource-specific scopes. The scope {text} is \
                         not valid."
                    ),
                ));
            }
        }
        Ok(wanted)
    }

    /// A `resource` parameter of the first version: all that is consented to.
    pub(crate) fn of_resource(world: &World, tenant: &str, name: &str) -> Result<Asked, Refusal> {
        Ok(Asked {
            name: name.to_owned(),
            resource: find_resource(world, tenant, name)?,
            scopes: vec![DEFAULT_SCOPE.to_owned()],
        })
    }

    /// The one resource that an access token can be for.
    pub(crate) fn one(&self, text: &str) -> Result<Option<&Asked>, Refusal> {
        match self.asked.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Refusal::new(
                28_000,
                format!(
                    "Provided value for the input parameter scope is not valid because it contains \
                     more than one resource. Scope {text} is not valid."
                ),
            )),
        }
    }

    fn add(
        &mut self,
        world: &World,
        tenant: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<(), Refusal> {
        // an application's own ID as scope, as Azure AD B2C has it
        let (name, scope) = if scope.eq_ignore_ascii_case(client_id) {
            (scope, DEFAULT_SCOPE)
        } else {
            scope.rsplit_once('/').unwrap_or((GRAPH, scope))
        };
        let resource = find_resource(world, tenant, name)?;
        let mut known = resource.scopes.iter();
        let known = known.find(|known| known.eq_ignore_ascii_case(scope));
        let scope = match known {
            Some(known) => known.clone(),
            None if scope == DEFAULT_SCOPE => scope.to_owned(),
            None => {
                return Err(Refusal::new(
                    650_053,
                    format!(
                        "The application '{client_id}' asked for scope '{scope}' that doesn't exist \
                         on the resource '{}'. Contact the app vendor.",
                        resource.app_id
                    ),
                ));
            }
        };
        let same = |asked: &&mut Asked| asked.resource.app_id == resource.app_id;
        match self.asked.iter_mut().find(same) {
            Some(asked) if asked.scopes.contains(&scope) => {}
            Some(asked) => asked.scopes.push(scope),
            None => self.asked.push(Asked {
                name: name.to_owned(),
                resource,
                scopes: vec![scope],
            }),
        }
        Ok(())
    }
}

/// Refuses what no scope of Entra has.
pub(crate) fn check_characters(scope: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .-_:/".contains(c);
    if scope.chars().all(plain) {
        return Ok(());
    }
    Err(Refusal::new(
        28_002,
        format!(
            "Provided value for the input parameter scope '{scope}' is not valid when requesting an \
             access token. Please specify a valid scope."
        ),
    ))
}

/// The resource of that name.
pub(crate) fn find_resource(
    world: &World,
    tenant: &str,
    requested: &str,
) -> Result<Resource, Refusal> {
    let known = lock(&world.registry).resource(requested).cloned();
    known.ok_or_else(|| {
        Refusal::new(
            500_011,
            format!(
                "The resource principal named {requested} was not found in the tenant named \
                 {tenant}. This can happen if the application has not been installed by the \
                 administrator of the tenant or consented to by any user in the tenant. You might \
                 have sent your authentication request to the wrong tenant."
            ),
        )
    })
}
