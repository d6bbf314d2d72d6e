//! Where a process runs that could have a token of its own and was not given what it is asked for with. Nothing is decided by
//! it: a runner or a node may well mean the managed identity of its machine. It is said where that is not there either.

use crate::config::place::Place;

/// What says where this runs.
struct Surroundings {
    variable: &'static str,
    /// What it is then; any value where there is none.
    value: Option<&'static str>,
    /// What this is, and what to do for a token of its own.
    hint: &'static str,
}

/// A job before the container that it may run in. Sources: "Variables" of GitHub's documentation, "Predefined variables" of
/// Azure Pipelines and of GitLab CI/CD, "Access Services from Pods" of Kubernetes.
const ALL: [Surroundings; 4] = [
    Surroundings {
        variable: "GITHUB_ACTIONS",
        value: Some("true"),
        hint: "this is a job of GitHub Actions that may have no identity token: give it `permissions: id-token: write` \
               (a pull request from a fork gets none), and a container in it both variables ACTIONS_ID_TOKEN_REQUEST_…",
    },
    Surroundings {
        variable: "TF_BUILD",
        value: Some("true"),
        hint: "this is a job of Azure Pipelines without its token: give the step `env: SYSTEM_ACCESSTOKEN: \
               $(System.AccessToken)`, with SYSTEM_OIDCREQUESTURI and AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
    },
    Surroundings {
        variable: "GITLAB_CI",
        value: Some("true"),
        hint: "this is a job of GitLab: write the token of its `id_tokens:` (aud: api://AzureADTokenExchange) to a file, and \
               name that in AZURE_FEDERATED_TOKEN_FILE",
    },
    Surroundings {
        variable: "KUBERNETES_SERVICE_HOST",
        value: None,
        hint: "this is a pod that the webhook of workload identity has given no token: it needs the label \
               azure.workload.identity/use: \"true\" when it is created",
    },
];

/// With these a platform of managed identities says that it is one, whatever it runs its containers on.
const PLATFORMS: [&str; 2] = ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"];

/// What to do where this runs.
pub(super) fn hint(place: &Place<'_>) -> Option<&'static str> {
    if PLATFORMS.iter().any(|name| place.has_variable(name)) {
        return None;
    }
    let is_here = |one: &&Surroundings| {
        // what is set and is nothing of it is told to nobody
        place.has_variable(one.variable)
            && place.variable_alone(one.variable).is_some_and(|value| {
                one.value
                    .is_none_or(|expected| expected.eq_ignore_ascii_case(value.trim()))
            })
    };
    ALL.iter().find(is_here).map(|one| one.hint)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};
    use crate::{Error, ErrorClass};

    const TENANT: (&str, &str) = ("AZURE_TENANT_ID", "contoso.example");
    const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000");
    const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");
    const PIPELINES: (&str, &str) = ("TF_BUILD", "True");
    const POD: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");

    /// What is said where the managed identity is not there, and what of the variables that have no effect.
    fn said(pairs: &[(&str, &str)]) -> (String, Vec<String>) {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let config = Config::load(None, &environment).unwrap();
        let told = config.needs().variables;
        let told = pairs
            .iter()
            .filter(|(name, _)| told.iter().any(|variable| variable.name == *name));
        // a component knows what it is told
        let inside = Config::load(None, &Environment::from_pairs(told.copied())).unwrap();
        let [said, as_inside] = [&config, &inside].map(|config| {
            let identity = config.identities.values().next().unwrap();
            let error = Error::new(ErrorClass::CredentialUnavailable, "not here").hint("elsewhere");
            identity.nothing_there(error).detail().hint.clone().unwrap()
        });
        assert_eq!(said, as_inside, "{pairs:?}");
        (said, config.warnings(&environment))
    }

    #[test]
    fn who_could_have_a_token_is_told_what_is_missing() {
        for (pairs, says) in [
            (vec![GITHUB], "`permissions: id-token: write`"),
            (
                vec![GITHUB, TENANT, CLIENT],
                "`permissions: id-token: write`",
            ),
            (vec![GITHUB, POD], "`permissions: id-token: write`"),
            (
                vec![PIPELINES, TENANT, CLIENT],
                "`env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`",
            ),
            (vec![("GITLAB_CI", "true"), POD], "`id_tokens:`"),
            (
                vec![POD, TENANT, CLIENT],
                "the label azure.workload.identity/use: \"true\"",
            ),
        ] {
            let (hint, warnings) = said(&pairs);
            assert!(hint.starts_with("this is a "), "{pairs:?}: {hint}");
            assert!(hint.contains(says), "{pairs:?}: {hint}");
            assert!(
                hint.contains("; or elsewhere; or set AZURE_TENANT_ID, "),
                "{pairs:?}: {hint}"
            );
            let of_the_tenant = warnings.iter().find(|line| line.starts_with(TENANT.0));
            assert_eq!(
                of_the_tenant.is_some(),
                pairs.contains(&TENANT),
                "{pairs:?}"
            );
            if let Some(line) = of_the_tenant {
                assert!(line.contains(says), "{pairs:?}: {line}");
            }
        }
        for pairs in [
            vec![],
            vec![("GITHUB_ACTIONS", "false")],
            vec![("TF_BUILD", " ")],
            // a container app
            vec![
                POD,
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:1/t"),
                ("IDENTITY_HEADER", "h"),
            ],
            // it is meant
            vec![
                GITHUB,
                ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"),
            ],
        ] {
            let (hint, _) = said(&pairs);
            assert!(
                hint.starts_with("elsewhere; or set AZURE_TENANT_ID, "),
                "{pairs:?}: {hint}"
            );
        }
    }

    #[test]
    fn a_tenant_alone_is_told_the_same() {
        for (pairs, says) in [
            (vec![TENANT], "; or unset AZURE_TENANT_ID"),
            (vec![TENANT, GITHUB], "this is a job of GitHub Actions"),
            (vec![TENANT, POD], "this is a pod"),
        ] {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let error = Config::load(None, &environment).unwrap_err();
            assert_eq!(error.setting, CLIENT.0, "{pairs:?}");
            let hint = error.hint.as_deref().unwrap();
            assert!(hint.contains(says), "{pairs:?}: {hint}");
        }
    }
}
