//! Files of other programs that edgepass reads nothing of, but that people have at hand where it wants a configuration.

/// A file of another program, and what to do with what is in it.
#[derive(Debug, Eq, PartialEq)]
pub struct Foreign {
    /// What it is called, with its article.
    pub(super) name: &'static str,
    /// How it is known.
    looks: &'static [Look],
    /// What to do.
    pub(super) remedy: &'static str,
}

/// How a file is known.
#[derive(Debug, Eq, PartialEq)]
enum Look {
    /// It has all of these fields.
    Fields(&'static [&'static str]),
    /// One of its lines begins so.
    Line(&'static str),
    /// It begins so.
    Start(&'static str),
}

use Look::{Fields, Line, Start};

impl Foreign {
    /// By its look. `has` says whether there is a field of that name.
    pub(super) fn of(text: &str, has: impl Fn(&str) -> bool) -> Option<&'static Self> {
        let is = |look: &Look| match look {
            Fields(fields) => fields.iter().all(|field| has(field)),
            Line(start) => text.lines().any(|line| line.starts_with(start)),
            Start(start) => text.trim_start().starts_with(start),
        };
        FILES.iter().find(|file| file.looks.iter().any(is))
    }
}

/// All that are known. What has fields in common stands in the order in which it is told apart.
const FILES: &[Foreign] = &[
    Foreign {
        name: "a configuration of Spring",
        looks: &[
            Line("spring:"),
            Line("spring.cloud.azure."),
            Line("spring.security.oauth2."),
        ],
        remedy: "write its tenant as `tenant_id` (or its token-uri as `token_endpoint`), its client-id as `client_id`, and its secret as a credential: `edgepass config init` makes a configuration to begin with",
    },
    Foreign {
        name: "a configuration of oauth2-proxy",
        looks: &[Fields(&["oidc_issuer_url"])],
        remedy: "write its oidc_issuer_url as `issuer`, or the tenant in it as `tenant_id` where it is Entra ID's, its client_id, and its client_secret as a credential",
    },
    Foreign {
        name: "a workflow of GitHub Actions",
        looks: &[Fields(&["jobs", "runs-on"])],
        remedy: "a job needs no configuration: set AZURE_TENANT_ID and AZURE_CLIENT_ID in its `env`, and give it `permissions: id-token: write`",
    },
    Foreign {
        name: "a file of Docker Compose",
        looks: &[
            Fields(&["services", "image"]),
            Fields(&["services", "environment"]),
        ],
        remedy: "give the configuration that its containers get, by itself",
    },
    Foreign {
        name: "a configuration of Terraform",
        looks: &[
            Line("terraform {"),
            Line("provider \""),
            Line("resource \""),
            Line("variable \""),
        ],
        remedy: "write its tenant_id and client_id into a configuration: `edgepass config init` makes one to begin with",
    },
    Foreign {
        name: "credentials of Google Cloud",
        looks: &[
            Fields(&["subject_token_type", "credential_source"]),
            Fields(&["private_key", "client_email"]),
            Fields(&["client_secret", "refresh_token", "type"]),
        ],
        remedy: "they are for Google's own servers; a workload on Google Cloud proves itself by the credential google_metadata",
    },
    Foreign {
        name: "a federated credential of an application in Entra ID",
        looks: &[Fields(&["issuer", "subject", "audiences"])],
        remedy: "it belongs into Entra ID (`az ad app federated-credential create`); a configuration says who asks for tokens: `edgepass config init` makes one to begin with",
    },
    Foreign {
        name: "the metadata of a token server",
        looks: &[Fields(&["jwks_uri"])],
        remedy: "write its `issuer` into an identity of a configuration, with a client ID and a credential",
    },
    Foreign {
        name: "keys as JSON (JWK)",
        looks: &[Fields(&["kty"])],
        remedy: "write the key as PEM, and name that file under `certificates` of a configuration",
    },
    Foreign {
        name: "an answer with a token",
        looks: &[Fields(&["access_token"]), Fields(&["accessToken"])],
        remedy: "a configuration says who asks for tokens: `edgepass config init` makes one to begin with",
    },
    Foreign {
        name: "parameters of a program with MSAL",
        looks: &[
            Fields(&["authority", "client_id"]),
            Fields(&["authority", "clientId"]),
        ],
        remedy: "write the tenant at the end of its authority as `tenant_id`, its client ID as `client_id`, and its secret or certificate as a credential: `edgepass config init` makes a configuration to begin with",
    },
    Foreign {
        name: "XML",
        looks: &[Start("<")],
        remedy: "write the settings as JSON, YAML or TOML: `edgepass config init` makes a configuration to begin with",
    },
];
