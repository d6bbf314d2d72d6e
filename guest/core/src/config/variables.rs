//! The environment variables of the Azure SDKs (azure-identity of Python, .NET, Go, JavaScript, Java and Rust): each is
//! read, or people are told what to do instead. None is ignored in silence where the environment describes an identity.
//!
//! The sources are the SDKs' own lists, `_constants.py` of azure-identity for example, and their pages of environment
//! variables.

use super::{Config, Environment};

/// Variables of which the same is to be said.
#[derive(Clone, Copy, Debug)]
pub struct KnownVariables {
    /// Their names.
    pub names: &'static [&'static str],
    /// What becomes of them.
    pub reading: Reading,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// It is read; this is what for.
    Read(&'static str),
    /// It is read by one kind of credential, and is nothing to the others.
    ReadPlatform(&'static str),
    /// It is not read; this is what to do. It is said whenever the environment describes an identity.
    Unread(&'static str),
}

use Reading::{Read, ReadPlatform, Unread};

/// All that are known.
pub const VARIABLES: &[KnownVariables] = &[
    KnownVariables {
        names: &[Environment::AZURE_TENANT_ID],
        reading: Read("the tenant, `tenant_id`"),
    },
    KnownVariables {
        names: &[Environment::AZURE_CLIENT_ID],
        reading: Read("the application (client) ID, `client_id`"),
    },
    KnownVariables {
        names: &[Environment::AZURE_AUTHORITY_HOST],
        reading: Read("the cloud's `https://` host, `authority_host`"),
    },
    KnownVariables {
        names: &[Environment::AZURE_FEDERATED_TOKEN_FILE],
        reading: Read("the path of a federated token, `credential.federated_token_file.path`"),
    },
    KnownVariables {
        names: &[Environment::AZURE_CLIENT_SECRET],
        reading: Read("a client secret, `credential.client_secret`"),
    },
    KnownVariables {
        names: &[Environment::AZURE_CLIENT_CERTIFICATE_PATH],
        reading: Read(
            "a PEM or PKCS#12 file with certificate and key, `certificates` and `credential.certificate`; only without a configuration",
        ),
    },
    KnownVariables {
        names: &[Environment::AZURE_CLIENT_SEND_CERTIFICATE_CHAIN],
        reading: Read(
            "whether the assertion shows the chain, `credential.certificate.send_x5c`; only without a configuration",
        ),
    },
    KnownVariables {
        names: &[Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS],
        reading: Read(
            "further tenants with `;` between them, `additionally_allowed_tenants`; only without a configuration",
        ),
    },
    KnownVariables {
        names: &["AZURE_POD_IDENTITY_AUTHORITY_HOST"],
        reading: ReadPlatform("the metadata service's `http://` address, for managed identities"),
    },
    KnownVariables {
        names: &[Environment::AZURE_CLIENT_CERTIFICATE_PASSWORD],
        reading: Read(
            "the password of that file, `certificates.NAME.password_env`; only without a configuration",
        ),
    },
    KnownVariables {
        names: &["AZURE_USERNAME", "AZURE_PASSWORD"],
        reading: Unread(
            "people's passwords are not used: give the application a credential of its own, a federated one if it can be",
        ),
    },
    KnownVariables {
        names: &[Environment::AZURE_REGIONAL_AUTHORITY_NAME],
        reading: Read(
            "the region whose servers are asked in place of the cloud's global ones, `region`; only without a configuration",
        ),
    },
    KnownVariables {
        names: &[Environment::AZURE_TOKEN_CREDENTIALS],
        reading: Read(
            "which credentials count: `prod` for all, `EnvironmentCredential`, `WorkloadIdentityCredential` or \
             `ManagedIdentityCredential` for one; only without a configuration",
        ),
    },
    KnownVariables {
        names: &["AZURE_IDENTITY_DISABLE_MULTITENANTAUTH"],
        reading: Unread(
            "other tenants are refused unless AZURE_ADDITIONALLY_ALLOWED_TENANTS or additionally_allowed_tenants name \
             them: unset it",
        ),
    },
    KnownVariables {
        names: &["AZURE_IDENTITY_DISABLE_CP1"],
        reading: Unread(
            "the client capability CP1 is sent where client_capabilities names it and nowhere else, so there is nothing to \
             disable: unset it",
        ),
    },
    KnownVariables {
        names: &[
            "AZURE_KUBERNETES_TOKEN_PROXY",
            "AZURE_KUBERNETES_SNI_NAME",
            "AZURE_KUBERNETES_CA_FILE",
            "AZURE_KUBERNETES_CA_DATA",
        ],
        reading: Read(
            "the token proxy of AKS identity bindings, `credential.federated_token_file.token_proxy`: it is asked in \
             place of Entra ID",
        ),
    },
    KnownVariables {
        names: &[
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
            "IDENTITY_SERVER_THUMBPRINT",
            "IMDS_ENDPOINT",
            "MSI_ENDPOINT",
            "MSI_SECRET",
            "DEFAULT_IDENTITY_CLIENT_ID",
        ],
        reading: ReadPlatform(
            "where App Service, Functions, Container Apps, Arc, Service Fabric, Cloud Shell and Machine Learning give \
             tokens of managed identities, `credential.managed_identity.source`",
        ),
    },
    KnownVariables {
        names: &[
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            "SYSTEM_ACCESSTOKEN",
            "SYSTEM_OIDCREQUESTURI",
        ],
        reading: ReadPlatform(
            "the service connection and the token service of an Azure Pipelines job, `credential.azure_pipelines`",
        ),
    },
    KnownVariables {
        names: &["AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID"],
        reading: ReadPlatform(
            "the client of that service connection, where neither AZURE_CLIENT_ID nor AZURE_TENANT_ID is set; only without a \
             configuration",
        ),
    },
    KnownVariables {
        names: &[
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        ],
        reading: ReadPlatform(
            "the token service of a GitHub Actions job, `credential.github_actions`",
        ),
    },
];

impl Environment {
    /// A line for each group of variables that are set and never read, with what to do. Values are not in it.
    pub fn unread(&self) -> Vec<String> {
        self.lines(|reading| match reading {
            Read(_) | ReadPlatform(_) => None,
            Unread(what_to_do) => Some(what_to_do),
        })
    }

    fn lines(&self, text: impl Fn(Reading) -> Option<&'static str>) -> Vec<String> {
        let mut lines = Vec::new();
        for known in VARIABLES {
            let set = known.names.iter().filter(|name| self.get(name).is_some());
            let set: Vec<&str> = set.copied().collect();
            if let Some(text) = text(known.reading).filter(|_| !set.is_empty()) {
                let verb = if set.len() == 1 { "is" } else { "are" };
                lines.push(format!("{} {verb} not used: {text}", set.join(", ")));
            }
        }
        lines
    }
}

impl Config {
    /// What people should be told of that environment, from which it was loaded: the variables that are set, belong to
    /// what it was asked to do, and have no effect. Nothing if it takes nothing from the SDKs' variables.
    pub fn warnings(&self, environment: &Environment) -> Vec<String> {
        let needs = self.needs();
        let is_used = |name: &str| needs.variables.iter().any(|variable| variable.name == name);
        let describes = self.environment_only
            || VARIABLES
                .iter()
                .any(|known| known.names.iter().any(|name| is_used(name)));
        let mut lines = environment.lines(|reading| match reading {
            Unread(what_to_do) => describes.then_some(what_to_do),
            Read(_) | ReadPlatform(_) => None,
        });
        // with a document it is the document that says which variables count
        if self.environment_only {
            let has_client = self.identities.values().any(|one| one.client().is_some());
            let mut likely = self.identities.values().filter_map(|one| one.likely());
            let meant = likely
                .next()
                .map(|likely| format!("a managed identity has no use for it; {likely}"));
            let why = if environment.get("AZURE_TOKEN_CREDENTIALS").is_some() {
                "the credential that AZURE_TOKEN_CREDENTIALS leaves has no use for it; unset one of the two"
            } else if has_client {
                "the credential that the other variables describe has no use for it; unset it"
            } else {
                meant.as_deref().unwrap_or(
                    "a managed identity has no use for it; unset it, or set AZURE_CLIENT_SECRET, \
                     AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE as well",
                )
            };
            for known in VARIABLES {
                for name in known.names {
                    if matches!(known.reading, Read(_))
                        && environment.get(name).is_some()
                        && !is_used(name)
                    {
                        lines.push(format!("{name} is not used: {why}"));
                    }
                }
            }
        }
        #[cfg(all(feature = "every-credential", not(target_family = "wasm")))]
        lines.extend(super::unreachable::warnings(self));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBHOOK: [(&str, &str); 4] = [
        ("AZURE_TENANT_ID", "contoso.example"),
        ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ];

    const MANAGED: &str = r#"{"identities": {"vm": {"credential": {"managed_identity": {}}}}}"#;

    const SECRET: &str = r#"{"identities": {"app": {"tenant_id": "t", "client_id": "c",
        "credential": {"client_secret": {"value": "hunter2"}}}}}"#;

    fn warnings(json: Option<&str>, pairs: &[(&str, &str)]) -> Vec<String> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let config = Config::load(json, &environment).unwrap();
        config.warnings(&environment)
    }

    #[test]
    fn what_the_webhook_sets_needs_no_warning() {
        assert_eq!(warnings(None, &WEBHOOK), [""; 0]);
        assert_eq!(warnings(Some(SECRET), &WEBHOOK), [""; 0]);
    }

    #[test]
    fn every_variable_is_read_or_named() {
        for known in VARIABLES {
            for name in known.names {
                // one that another would contradict
                let is_credential =
                    ["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"].contains(name);
                let mut pairs: Vec<(&str, &str)> = WEBHOOK.to_vec();
                pairs.retain(|(known, _)| known != name);
                if is_credential {
                    pairs.retain(|(known, _)| *known != "AZURE_FEDERATED_TOKEN_FILE");
                }
                let value = WEBHOOK.iter().find(|(known, _)| known == name);
                pairs.push((name, value.map_or("/hunter2", |(_, value)| value)));
                let warnings = match *name {
                    // each has a form of its own, and is for one kind of credential
                    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"
                    | "AZURE_CLIENT_CERTIFICATE_PASSWORD"
                    | "AZURE_ADDITIONALLY_ALLOWED_TENANTS"
                    | "AZURE_REGIONAL_AUTHORITY_NAME"
                    | "AZURE_TOKEN_CREDENTIALS" => continue,
                    // none of them counts alone
                    name if name.starts_with("AZURE_KUBERNETES_") => continue,
                    _ => warnings(None, &pairs),
                };
                match known.reading {
                    Read(_) | ReadPlatform(_) => assert_eq!(warnings, [""; 0], "{name}"),
                    Unread(what_to_do) => {
                        assert_eq!(warnings, [format!("{name} is not used: {what_to_do}")]);
                    }
                }
                assert!(!format!("{warnings:?}").contains("hunter2"), "{warnings:?}");
            }
        }
    }

    #[test]
    fn what_only_another_credential_reads_is_named() {
        let name = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
        let with = |value| [&WEBHOOK[..], &[(name, value)]].concat();
        let [line] = warnings(None, &with("true")).try_into().unwrap();
        assert!(line.starts_with(&format!("{name} is not used: ")), "{line}");
        assert_eq!(warnings(Some(SECRET), &with("true")), [""; 0]);
        assert_eq!(warnings(None, &with(" ")), [""; 0], "blank is unset");
    }

    #[test]
    fn those_of_the_token_proxy_are_read_together() {
        let proxy = [
            ("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.example"),
            ("AZURE_KUBERNETES_SNI_NAME", "proxy.internal"),
            ("AZURE_KUBERNETES_CA_FILE", "/ca.crt"),
        ];
        assert_eq!(warnings(None, &[&WEBHOOK[..], &proxy].concat()), [""; 0]);
    }

    #[test]
    fn those_of_one_kind_make_one_line() {
        let pairs = [
            &WEBHOOK[..],
            &[("AZURE_USERNAME", "u"), ("AZURE_PASSWORD", "hunter2")],
        ]
        .concat();
        let [line] = warnings(None, &pairs).try_into().unwrap();
        assert!(
            line.starts_with("AZURE_USERNAME, AZURE_PASSWORD are not used: people's"),
            "{line}"
        );
    }

    #[test]
    fn a_platform_s_own_endpoint_is_read_by_who_uses_a_managed_identity() {
        let app_service = [
            ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"),
            ("IDENTITY_HEADER", "hunter2"),
        ];
        for json in [MANAGED, SECRET] {
            assert_eq!(warnings(Some(json), &app_service), [""; 0]);
        }
        assert_eq!(warnings(Some(MANAGED), &[("AZURE_USERNAME", "u")]), [""; 0]);
    }

    #[test]
    fn no_name_is_there_twice() {
        let mut names: Vec<&str> = VARIABLES
            .iter()
            .flat_map(|known| known.names)
            .copied()
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
