//! Rules for what single requests ask of an identity. The configuration's own scopes pass the same ones.

use super::client::Client;
use super::rules;
use crate::authority::{Authority, EndpointVersion};
use crate::refusal::Refusal;
use crate::{Error, ErrorClass, GrantKind};

/// Checks the scopes of a client-credentials request and gives them without repetitions, in their order.
///
/// Entra ID takes exactly one `<resource>/.default`; its v1 endpoint, which is sent the resource alone, may be given
/// just that. Other servers take any number of scope tokens, also none.
pub(super) fn check_scopes(authority: &Authority, scopes: &[String]) -> Result<Vec<String>, Error> {
    match authority {
        Authority::Entra { version, .. } => {
            let out = each_once(scopes)?;
            one_resource(&out, *version)?;
            Ok(out)
        }
        _ => each_once(scopes),
    }
}

/// The same for tokens that the platform gives: for one resource, with or without `/.default`.
pub(super) fn check_direct_scopes(scopes: &[String]) -> Result<Vec<String>, Error> {
    let out = each_once(scopes)?;
    one_resource(&out, EndpointVersion::V1)?;
    Ok(out)
}

/// Checks the scopes of a request for a user. Those of OpenID Connect ask for no access to a resource; of the others Entra
/// ID takes what is of one resource (AADSTS28000), and `.default` by itself (AADSTS70011).
pub(super) fn check_delegated_scopes(
    authority: &Authority,
    grant: GrantKind,
    scopes: &[String],
) -> Result<Vec<String>, Error> {
    let out = each_once(scopes)?;
    let Authority::Entra { version, .. } = authority else {
        return Ok(out);
    };
    let error =
        |message: String, hint: &str| Error::new(ErrorClass::InvalidRequest, message).hint(hint);
    let (own, others): (Vec<&String>, Vec<&String>) = out
        .iter()
        .partition(|scope| rules::OIDC_SCOPES.contains(&scope.as_str()));
    // a code and a refresh token stand for scopes that a person has agreed to
    let may_be_none = matches!(
        grant,
        GrantKind::AuthorizationCode | GrantKind::RefreshToken
    );
    if others.is_empty() && !may_be_none {
        return Err(error(
            "no scope of a resource: neither the request nor the identity names one".to_owned(),
            "give a scope such as https://graph.microsoft.com/User.Read, or set the identity's scopes",
        ));
    }
    if *version == EndpointVersion::V1 {
        let out = match own.first() {
            None => out,
            // the user has agreed to those where the code came from, which the v1 endpoint is not told again
            Some(_) if may_be_none => {
                let resources = others
                    .into_iter()
                    .filter(|scope| rules::names_resource(scope));
                resources.cloned().collect()
            }
            Some(scope) => {
                return Err(error(
                    format!(
                        "scope `{scope}` is none of a resource, and the v1 endpoint takes a resource alone"
                    ),
                    "leave it out, or set endpoint_version to v2.0",
                ));
            }
        };
        if out.len() > 1 {
            one_resource(&out, *version)?;
        }
        return Ok(out);
    }
    let mut resources = others.iter().map(|scope| resource_of(scope));
    if let Some(first) = resources.next()
        && let Some(other) = resources.find(|other| !other.eq_ignore_ascii_case(first))
    {
        let name = |resource: &str| match resource {
            "" => "Microsoft Graph".to_owned(),
            resource => format!("`{resource}`"),
        };
        return Err(error(
            format!(
                "scopes of two resources, but Entra ID gives a token for one at a time ({} and {})",
                name(first),
                name(other)
            ),
            "ask once for each resource",
        ));
    }
    let is_default = |scope: &&&String| scope.ends_with(rules::DEFAULT_SCOPE);
    if others.len() > 1
        && let Some(scope) = others.iter().find(is_default)
    {
        return Err(error(
            format!(
                "scope `{scope}` stands for all that was agreed to, and there are others beside it"
            ),
            "ask for either that alone, or for the others",
        ));
    }
    Ok(out)
}

/// What a scope is of: all before its last `/`. One without is Microsoft Graph's.
fn resource_of(scope: &str) -> &str {
    const GRAPH: &str = "https://graph.microsoft.com";
    let resource = scope.rsplit_once('/').map_or("", |(resource, _)| resource);
    if resource.eq_ignore_ascii_case(GRAPH) {
        return "";
    }
    resource
}

fn each_once(scopes: &[String]) -> Result<Vec<String>, Error> {
    let mut out: Vec<String> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        rules::scope(scope).map_err(|refusal| invalid("scope", &refusal))?;
        if !out.contains(scope) {
            out.push(scope.clone());
        }
    }
    Ok(out)
}

/// Checks the tenant of a request against the identity's allow-list and gives the one to use; `None` for a generic
/// token endpoint. `signs_in`: it is about somebody who signs in, who may be of any of many.
pub(super) fn check_tenant(
    identity: &str,
    client: Option<&Client>,
    requested: Option<&str>,
    signs_in: bool,
) -> Result<Option<String>, Error> {
    let own = client.and_then(|client| client.tenant.as_ref());
    let Some(requested) = requested else {
        return Ok(own.cloned());
    };
    let (Some(client), Some(own)) = (client, own) else {
        let instead = match client {
            Some(_) => "has no tenants",
            None => "gets its tokens from the platform",
        };
        return Err(Error::new(
            ErrorClass::InvalidRequest,
            format!("the request names a tenant, but identity `{identity}` {instead}"),
        )
        .hint("leave the tenant out"));
    };
    let takes_any = || {
        let mut listed = client.additionally_allowed_tenants.iter();
        listed.any(|known| known == "*")
    };
    if !(signs_in && rules::is_many_tenants(requested) && takes_any()) {
        rules::tenant(requested).map_err(|refusal| invalid("tenant", &refusal))?;
    }
    let listed = client.additionally_allowed_tenants.iter();
    // one spelling per tenant, so that two spellings do not make two tokens
    if let Some(known) = std::iter::once(own)
        .chain(listed)
        .find(|known| known.eq_ignore_ascii_case(requested))
    {
        return Ok(Some(known.clone()));
    }
    if takes_any() {
        return Ok(Some(requested.to_ascii_lowercase()));
    }
    Err(Error::new(
        ErrorClass::InvalidRequest,
        format!("identity `{identity}` may not ask for tokens of tenant `{requested}`"),
    )
    .hint(format!(
        "add it to identities.{identity}.additionally_allowed_tenants, or \"*\" for any tenant"
    )))
}

fn one_resource(scopes: &[String], version: EndpointVersion) -> Result<(), Error> {
    let error =
        |message: String, hint: String| Error::new(ErrorClass::InvalidRequest, message).hint(hint);
    let scope = match scopes {
        [scope] => scope,
        [] => {
            return Err(error(
                "no scope: neither the request nor the identity names one".to_owned(),
                "give a scope such as https://graph.microsoft.com/.default, or set the identity's scopes".to_owned(),
            ));
        }
        [first, second, ..] => {
            return Err(error(
                format!(
                    "{} scopes, but Entra ID gives a token for one resource at a time (`{first}`, `{second}`)",
                    scopes.len()
                ),
                "ask once for each resource, with its <resource>/.default alone".to_owned(),
            ));
        }
    };
    match (scope.strip_suffix(rules::DEFAULT_SCOPE), version) {
        (Some(""), _) => Err(error(
            format!("scope `{scope}` names no resource"),
            DEFAULT_FORM.to_owned(),
        )),
        (Some(_), _) | (None, EndpointVersion::V1) => Ok(()),
        (None, EndpointVersion::V2) => Err(error(
            format!(
                "scope `{scope}` does not end in /.default, as client credentials need it (AADSTS1002012)"
            ),
            default_of(scope),
        )),
    }
}

const DEFAULT_FORM: &str =
    "write <resource>/.default, for example https://graph.microsoft.com/.default";

/// What to write in the place of a scope without `/.default`. It may be a permission of users, by itself or behind its
/// resource; the filter for Envoy does without that, because the command has read its configuration before.
fn default_of(scope: &str) -> String {
    if cfg!(feature = "every-credential") {
        // neither is a list, nor what has a password or a signature in it
        if !rules::names_resource(scope) || scope.contains(['?', '@', ',', '&', '#']) {
            return DEFAULT_FORM.to_owned();
        }
        let parts = scope.rsplit_once('/');
        // the slashes before a host are none between a resource and a permission
        if let Some((resource, permission)) = parts
            && !resource.ends_with('/')
            && !permission.is_empty()
        {
            return format!(
                "if {permission} is a permission, write `{resource}{}`, and if it is of the resource, `{scope}{}`",
                rules::DEFAULT_SCOPE,
                rules::DEFAULT_SCOPE
            );
        }
    }
    format!(
        "if it is the resource, write `{scope}{}`",
        rules::DEFAULT_SCOPE
    )
}

fn invalid(what: &str, refusal: &Refusal) -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        format!("{what} {}", refusal.message),
    )
    .hint(&refusal.hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Endpoint;
    use crate::config::IdentityConfig;
    use crate::{Config, Environment};

    fn entra(version: EndpointVersion) -> Authority {
        Authority::entra("https://login.microsoftonline.com", version).unwrap()
    }

    fn generic() -> Authority {
        Authority::Generic {
            token_endpoint: Endpoint {
                authority: "idp.example".into(),
                path: "/token".into(),
            },
            mtls_token_endpoint: None,
        }
    }

    fn scopes(authority: &Authority, scopes: &[&str]) -> Result<Vec<String>, String> {
        let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        check_scopes(authority, &scopes).map_err(|error| {
            assert_eq!(error.class(), ErrorClass::InvalidRequest);
            format!(
                "{error}; {}",
                error.detail().hint.clone().unwrap_or_default()
            )
        })
    }

    #[test]
    fn entra_takes_one_resource() {
        let v2 = entra(EndpointVersion::V2);
        for good in [
            "https://graph.microsoft.com/.default",
            "https://vault.azure.net//.default",
            "api://a-b/.default",
            "https://a.example/*/.default",
            "https://a.example/%2e/.default",
            "https://a.example/(x)~a@b,c;d!e'f&g=h+i/.default",
        ] {
            assert_eq!(scopes(&v2, &[good, good]).unwrap(), [good]);
        }
        for (bad, expected) in [
            (&[][..], "no scope"),
            (
                &["https://a.example/.default", "https://b.example/.default"][..],
                "one resource at a time",
            ),
            (
                &["https://a.example/.default", "openid"][..],
                "ask once for each resource",
            ),
            (
                &["https://a.example"][..],
                "write `https://a.example/.default`",
            ),
            (
                &["https://a.example/"][..],
                "write `https://a.example//.default`",
            ),
            // permissions of users
            (&["User.Read"][..], "write <resource>/.default, for"),
            (&["user_impersonation"][..], "write <resource>/.default"),
            (
                &["https://graph.microsoft.com/User.Read"][..],
                "write `https://graph.microsoft.com/.default`",
            ),
            (
                &["api://orders/access_as_user"][..],
                "write `api://orders/.default`, and if it is of the resource, `api://orders/access_as_user/.default`",
            ),
            (
                &["11111111-2222-3333-4444-555555555555/User.Read"][..],
                "write `11111111-2222-3333-4444-555555555555/.default`",
            ),
            (
                &["11111111-2222-3333-4444-555555555555"][..],
                "if it is the resource, write `11111111-2222-3333-4444-555555555555/.default`",
            ),
            (&["api://orders"][..], "write `api://orders/.default`"),
            (&["/.default"][..], "names no resource"),
            (
                &["https://a.example/.default https://b.example/.default"][..],
                "a blank in it",
            ),
            (&["https://a.example/.default\n"][..], "may not have"),
            (&["https://a.example/\\/.default"][..], "may not have"),
            (&["https://$HOST/.default"][..], "never filled in"),
            (&["'https://a.example/.default'"][..], "in quotes"),
            (&[""][..], "scope is empty"),
        ] {
            let error = scopes(&v2, bad).unwrap_err();
            assert!(error.contains(expected), "{bad:?}: {error}");
        }
    }

    #[test]
    fn version_one_takes_the_bare_resource_too() {
        let v1 = entra(EndpointVersion::V1);
        assert_eq!(
            scopes(&v1, &["https://a.example/"]).unwrap(),
            ["https://a.example/"]
        );
        assert_eq!(
            scopes(&v1, &["https://a.example//.default"]).unwrap(),
            ["https://a.example//.default"]
        );
        assert!(scopes(&v1, &["https://a.example", "https://b.example"]).is_err());
        assert!(scopes(&v1, &[]).is_err());
    }

    #[test]
    fn other_servers_take_any_scope_tokens() {
        assert_eq!(
            scopes(&generic(), &["write", "read", "write"]).unwrap(),
            ["write", "read"]
        );
        assert_eq!(scopes(&generic(), &[]).unwrap(), [""; 0]);
        assert!(
            scopes(&generic(), &["read write"])
                .unwrap_err()
                .contains("give each scope by itself")
        );
        assert!(
            scopes(&generic(), &["a\"b"])
                .unwrap_err()
                .contains("RFC 6749")
        );
    }

    fn identity(allowed: &str) -> std::sync::Arc<IdentityConfig> {
        let json = format!(
            r#"{{"identities":{{"app":{{"tenant_id":"Own.example","client_id":"c","additionally_allowed_tenants":{allowed},
                "credential":{{"client_secret":{{"value":"s"}}}}}}}}}}"#
        );
        Config::load(Some(&json), &Environment::default())
            .unwrap()
            .identities
            .get("app")
            .unwrap()
            .clone()
    }

    #[test]
    fn tenants_of_requests_are_allow_listed() {
        let listed = identity(r#"["Other.example"]"#);
        let ask = |tenant| {
            listed.check_tenant(tenant).map_err(|error| {
                assert_eq!(error.class(), ErrorClass::InvalidRequest);
                format!(
                    "{error}; {}",
                    error.detail().hint.clone().unwrap_or_default()
                )
            })
        };
        assert_eq!(ask(None).unwrap().as_deref(), Some("Own.example"));
        assert_eq!(
            ask(Some("own.EXAMPLE")).unwrap().as_deref(),
            Some("Own.example")
        );
        assert_eq!(
            ask(Some("other.example")).unwrap().as_deref(),
            Some("Other.example")
        );
        let refused = ask(Some("third.example")).unwrap_err();
        assert!(
            refused.contains("`third.example`")
                && refused.contains("identities.app.additionally_allowed_tenants"),
            "{refused}"
        );
        for bad in ["a/b", "..", "common", ""] {
            assert!(ask(Some(bad)).unwrap_err().starts_with("tenant "), "{bad}");
        }
        let any = identity(r#"["*"]"#);
        assert_eq!(
            any.check_tenant(Some("Third.example")).unwrap().as_deref(),
            Some("third.example")
        );
        assert!(
            any.check_tenant(Some("organizations")).is_err(),
            "`*` is any one tenant"
        );
        // but for people, who are each of one
        for (identity, many, is_taken) in [
            (&any, "organizations", true),
            (&any, "Common", true),
            (&any, "consumers", true),
            (&any, "a/b", false),
            (&listed, "organizations", false),
        ] {
            let tenant = identity.check_tenant_of_sign_in(Some(many));
            let expected = is_taken.then(|| Some(many.to_ascii_lowercase()));
            assert_eq!(tenant.ok(), expected, "{many}");
        }
    }

    #[test]
    fn a_generic_endpoint_has_no_tenants() {
        let json = r#"{"authority_hosts":["idp.example"],"identities":{"app":{"token_endpoint":"https://idp.example/t","client_id":"c",
            "credential":{"client_secret":{"value":"s"}}}}}"#;
        let identity = Config::load(Some(json), &Environment::default())
            .unwrap()
            .identities
            .get("app")
            .unwrap()
            .clone();
        assert_eq!(identity.check_tenant(None).unwrap(), None);
        assert!(
            identity
                .check_tenant(Some("t"))
                .unwrap_err()
                .to_string()
                .contains("has no tenants")
        );
    }
}
