//! Variables that describe an identity to another program and not to edgepass. Where they are all that there is, whoever set
//! them means that identity, and gets a token of the machine's.

use edgepass_core::{Config, Environment};

/// What another program reads.
struct Program {
    /// The variables by which it is known; one that ends in `__` or `:` is what names begin with, whose case does not count.
    names: &'static [&'static str],
    /// What follows "are not used: ".
    what_to_do: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        names: &["AzureAd__", "AzureAd:", "AzureAdB2C__", "AzureAdB2C:"],
        what_to_do: "they are settings of a .NET program, and say who asks with the file that they belong to, which may be \
                     `{}`: --appsettings FILE, with --section where it is not AzureAd",
    },
    Program {
        names: &[
            "ARM_CLIENT_ID",
            "ARM_TENANT_ID",
            "ARM_CLIENT_SECRET",
            "ARM_USE_OIDC",
            "ARM_OIDC_TOKEN_FILE_PATH",
        ],
        what_to_do: "they are Terraform's; set AZURE_CLIENT_ID and AZURE_TENANT_ID to the same, and a secret or token file as \
                     AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE",
    },
    Program {
        names: &["servicePrincipalId", "servicePrincipalKey", "idToken"],
        what_to_do: "they are those of the task AzureCLI@2 (addSpnToEnvironment); set AZURE_CLIENT_ID to servicePrincipalId and \
                     AZURE_TENANT_ID to tenantId, and AZURE_CLIENT_SECRET to servicePrincipalKey or give the step `env: \
                     SYSTEM_ACCESSTOKEN: $(System.AccessToken)`",
    },
];

/// A line for each program whose variables are set and not used, where nothing says who asks. Values are not in it.
pub fn of_other_programs(environment: &Environment) -> Vec<String> {
    if environment.get(Environment::AZURE_CLIENT_ID).is_some() {
        return Vec::new();
    }
    let lines = PROGRAMS.iter().filter_map(|program| {
        let is_of = |name: &str| {
            program.names.iter().any(|known| {
                let start = name.get(..known.len());
                match known.ends_with(['_', ':']) {
                    true => start.is_some_and(|start| start.eq_ignore_ascii_case(known)),
                    false => name == *known,
                }
            })
        };
        let set = environment
            .pairs()
            .filter(|(_, value)| !value.trim().is_empty());
        let set: Vec<&str> = set
            .map(|(name, _)| name)
            .filter(|name| is_of(name))
            .collect();
        let verb = if set.len() == 1 { "is" } else { "are" };
        (!set.is_empty())
            .then(|| format!("{} {verb} not used: {}", set.join(", "), program.what_to_do))
    });
    lines.collect()
}

/// What to say of an environment that is all the configuration there is, and of which the engine has made that.
pub fn warnings(config: &Config, environment: &Environment) -> Vec<String> {
    let mut identities = config.identities.values();
    let is_of_machine =
        identities.any(|identity| identity.kinds().contains(&"managed_identity".to_owned()));
    if !is_of_machine {
        return Vec::new();
    }
    of_other_programs(environment)
}

#[cfg(test)]
mod tests {
    use edgepass_core::{Config, Environment};

    use super::{of_other_programs, warnings};

    const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000");

    const TENANT: (&str, &str) = ("AZURE_TENANT_ID", "contoso.example");

    #[test]
    fn what_another_program_reads_is_named_where_nothing_else_says_who_asks() {
        for (pairs, parts) in [
            (
                &[
                    ("AzureAd__ClientId", "hunter2"),
                    ("AzureAd__TenantId", "hunter2"),
                ][..],
                &[
                    "AzureAd__ClientId, AzureAd__TenantId are not used",
                    "--appsettings",
                ][..],
            ),
            (
                &[("AZUREAD__CLIENTCREDENTIALS__0__SOURCETYPE", "hunter2")],
                &[
                    "AZUREAD__CLIENTCREDENTIALS__0__SOURCETYPE is not used",
                    "--appsettings",
                ],
            ),
            (
                &[("AzureAd:ClientId", "hunter2")],
                &["AzureAd:ClientId is not used"],
            ),
            (&[("AzureAdB2C__ClientId", "hunter2")], &["--section"]),
            (
                &[("ARM_CLIENT_ID", "hunter2"), ("ARM_USE_OIDC", "true")],
                &[
                    "ARM_CLIENT_ID, ARM_USE_OIDC are not used",
                    "AZURE_CLIENT_ID",
                ],
            ),
            (
                &[("servicePrincipalId", "hunter2"), ("tenantId", "hunter2")],
                &["servicePrincipalId is not used", "addSpnToEnvironment"],
            ),
        ] {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let config = Config::load(None, &environment).unwrap();
            let lines = warnings(&config, &environment);
            let [line] = lines.as_slice() else {
                panic!("{pairs:?}: {lines:?}");
            };
            assert!(parts.iter().all(|part| line.contains(part)), "{line}");
            assert!(!line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn nothing_is_said_beside_an_identity_or_of_other_names() {
        for pairs in [
            &[][..],
            &[("AzureAd__ClientId", "")],
            &[
                ("ARM_SUBSCRIPTION_ID", "s"),
                ("tenantId", "t"),
                ("AzureAdmin", "x"),
            ],
            &[CLIENT, ("AzureAd__ClientId", "c"), ("ARM_CLIENT_ID", "c")],
            &[CLIENT, ("GITHUB_ACTIONS", "true")],
            // of a job without its token the engine says so
            &[CLIENT, TENANT, ("GITHUB_ACTIONS", "true")],
            &[
                CLIENT,
                TENANT,
                ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
                ("AzureAd__ClientId", "c"),
            ],
        ] {
            let environment = Environment::from_pairs(pairs.iter().copied());
            let config = Config::load(None, &environment).unwrap();
            assert_eq!(warnings(&config, &environment), [""; 0], "{pairs:?}");
        }
        assert_eq!(
            of_other_programs(&Environment::from_pairs([("x", "y")])),
            [""; 0]
        );
    }
}
