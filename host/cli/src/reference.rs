//! The reference of the configuration for people, made from its schema: `docs/configuration.md`. What a schema has no
//! place for, the order, who looks at what, and an example, is here.

use std::fmt::Write as _;

use edgepass::Config;
use serde_json::Value;

use super::failure::Failure;
use super::output;

/// Prints it.
pub(crate) fn print() -> Result<(), Failure> {
    output::write(page(&Config::schema()).as_bytes())
}

/// A section of the page: one object of the schema.
struct Section {
    /// The object's name in the schema; none for the document itself.
    object: &'static str,
    heading: &'static str,
    /// Where it stands in a document.
    place: &'static str,
    /// Who looks at it.
    used_by: &'static str,
    /// Fields that others look at.
    exceptions: &'static [(&'static str, &'static str)],
    /// What else is to be said.
    note: &'static str,
    /// A whole document.
    example: &'static str,
}

const ALL: &str = "command, library, Envoy";

const NATIVE: &str = "command, library";

const ENVOY: &str = "Envoy";

/// What the rules of the section are read by.
const HTTP: &str = "edgepass-run, library, HTTP filter";

const HTTP_FILTER: &str = "HTTP filter";

const IN_FULL_MODULE: &str = "command, library, Envoy (full module)";

/// In the order of the page.
const SECTIONS: &[Section] = &[
    Section {
        object: "",
        heading: "The document",
        place: "",
        used_by: ALL,
        exceptions: &[
            ("$schema", "editors"),
            ("consumers", "components"),
            ("envoy", ENVOY),
            ("http", HTTP),
            ("host", NATIVE),
        ],
        note: "Without `identities`, or without a document, the variables of the Azure SDKs describe the one identity that there \
               is, `default`: see [environment.md](environment.md).",
        example: r#"{
  "$schema": "./edgepass.schema.json",
  "default_identity": "app",
  "identities": {
    "app": {
      "tenant_id": "11111111-2222-3333-4444-555555555555",
      "client_id": "66666666-7777-8888-9999-000000000000",
      "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
    },
    "vm": { "credential": { "managed_identity": {} } }
  }
}"#,
    },
    Section {
        object: "IdentityFile",
        heading: "An identity",
        place: "identities.NAME",
        used_by: ALL,
        exceptions: &[
            ("additional_parameters", IN_FULL_MODULE),
            ("client_capabilities", NATIVE),
            ("issuer", NATIVE),
            ("policy", IN_FULL_MODULE),
            ("region", IN_FULL_MODULE),
            ("resources", IN_FULL_MODULE),
        ],
        note: "An identity of another server than Entra ID has a `token_endpoint` or an `issuer`: then it takes nothing from \
               the variables, needs `client_id` and `credential`, and has neither tenant nor cloud. [servers.md](servers.md) has \
               an example of each kind of server. One with `managed_identity` has nothing but \
               `scopes` beside it.",
        example: r#"{
  "identities": {
    "app": {
      "tenant_id": "contoso.example",
      "client_id": "66666666-7777-8888-9999-000000000000",
      "scopes": ["https://graph.microsoft.com/.default"],
      "additionally_allowed_tenants": ["fabrikam.example"],
      "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
    },
    "partner": {
      "token_endpoint": "https://login.partner.example/oauth/token",
      "client_id": "edge-7",
      "credential": { "client_secret": { "file": "/etc/partner/secret", "method": "client_secret_basic" } }
    }
  },
  "authority_hosts": ["login.partner.example"]
}"#,
    },
    Section {
        object: "CredentialFile",
        heading: "A credential",
        place: "identities.NAME.credential",
        used_by: ALL,
        exceptions: &[
            ("assertion_source", "library"),
            ("aws_web_identity", NATIVE),
            ("azure_pipelines", IN_FULL_MODULE),
            ("executable", NATIVE),
            ("github_actions", IN_FULL_MODULE),
            ("google_metadata", IN_FULL_MODULE),
            ("oidc_federation", NATIVE),
            ("private_key_jwt", NATIVE),
            ("spiffe", NATIVE),
        ],
        note: "If it is left out, the variables have it: a token file, a secret or a certificate.",
        example: "",
    },
    Section {
        object: "FederatedTokenFile",
        heading: "federated_token_file",
        place: "identities.NAME.credential.federated_token_file",
        used_by: ALL,
        exceptions: &[("token_proxy", NATIVE)],
        note: "",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
  } }
}"#,
    },
    Section {
        object: "TokenProxyFile",
        heading: "The token proxy of AKS",
        place: "identities.NAME.credential.federated_token_file.token_proxy",
        used_by: NATIVE,
        exceptions: &[],
        note: "A pod with an identity binding needs none of it: its variables say the same. Once a proxy is set, Entra ID is \
               not asked. One of `ca_file` and `ca_data`.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": {
      "path": "/var/run/secrets/azure/wi/token/azure-identity-token",
      "token_proxy": { "url": "https://10.0.0.1:9443", "server_name": "proxy.aks.internal", "ca_file": "/var/run/secrets/proxy/ca.crt" }
    } }
  } }
}"#,
    },
    Section {
        object: "ClientAssertionFile",
        heading: "client_assertion",
        place: "identities.NAME.credential.client_assertion",
        used_by: ALL,
        exceptions: &[("value", NATIVE), ("env", NATIVE)],
        note: "Envoy would show a secret that stands in its configuration, so there only `file` is taken.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "client_assertion": { "file": "/run/app/assertion" } }
  } }
}"#,
    },
    Section {
        object: "AssertionSourceFile",
        heading: "assertion_source",
        place: "identities.NAME.credential.assertion_source",
        used_by: "library",
        exceptions: &[],
        note: "The program that embeds the library, or another component, is the source.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "assertion_source": { "audience": "api://AzureADTokenExchange" } }
  } }
}"#,
    },
    Section {
        object: "ClientSecretFile",
        heading: "client_secret",
        place: "identities.NAME.credential.client_secret",
        used_by: ALL,
        exceptions: &[("value", NATIVE), ("env", NATIVE)],
        note: "Envoy would show a secret that stands in its configuration, so there only `file` is taken.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "client_secret": { "file": "/run/app/secret" } }
  } }
}"#,
    },
    Section {
        object: "CertificateFile",
        heading: "certificate",
        place: "identities.NAME.credential.certificate",
        used_by: ALL,
        exceptions: &[],
        note: "Envoy has no function for `PS256`: there set `RS256`, which Entra ID takes as well, or `ES256`, or load \
               [the full module](envoy.md#the-full-module).",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "certificate": { "name": "app-cert", "send_x5c": true } }
  } },
  "certificates": { "app-cert": { "certificate_file": "/etc/app/tls.crt", "private_key_file": "/etc/app/tls.key" } }
}"#,
    },
    Section {
        object: "BoundCertificateFile",
        heading: "bound_certificate",
        place: "identities.NAME.credential.bound_certificate",
        used_by: ALL,
        exceptions: &[],
        note: "In Envoy the cluster of the token endpoint has the certificate on its connections, and `with-assertion` needs another \
               `algorithm` than `PS256`, or [the full module](envoy.md#the-full-module).",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "bound_certificate": { "name": "app-cert", "mode": "with-assertion" } }
  } },
  "certificates": { "app-cert": { "certificate_file": "/etc/app/tls.crt", "private_key_file": "/etc/app/tls.key" } }
}"#,
    },
    Section {
        object: "PrivateKeyJwtFile",
        heading: "private_key_jwt",
        place: "identities.NAME.credential.private_key_jwt",
        used_by: NATIVE,
        exceptions: &[],
        note: "Not for Entra ID, which knows keys by their certificates.",
        example: r#"{
  "identities": { "app": {
    "client_id": "app",
    "token_endpoint": "https://idp.example/token",
    "credential": { "private_key_jwt": { "name": "app-key", "kid": "2026-11", "algorithm": "ES256", "audience": "https://idp.example" } }
  } },
  "authority_hosts": ["idp.example"],
  "certificates": { "app-key": { "private_key_file": "/etc/app/key.pem" } }
}"#,
    },
    Section {
        object: "ManagedIdentityFile",
        heading: "managed_identity",
        place: "identities.NAME.credential.managed_identity",
        used_by: ALL,
        exceptions: &[],
        note: "At most one of the three IDs, and of those what the source knows: Azure Arc, Cloud Shell and Service Fabric know none, \
               Machine Learning `client_id` alone. A source that is named on another platform says so at the first token. In Envoy \
               there is `imds` alone.",
        example: r#"{
  "identities": {
    "vm": { "credential": { "managed_identity": {} } },
    "assigned": { "credential": { "managed_identity": { "client_id": "66666666-7777-8888-9999-000000000000" } } },
    "server": { "credential": { "managed_identity": { "source": "azure_arc" } } }
  }
}"#,
    },
    Section {
        object: "ManagedIdentityAssertionFile",
        heading: "managed_identity_assertion",
        place: "identities.NAME.credential.managed_identity_assertion",
        used_by: ALL,
        exceptions: &[("use_bound_credential", NATIVE)],
        note: "`source` and the three IDs are as in `managed_identity`. The assertion is kept to near its end, and asked for once however \
               many exchanges need it. With `use_bound_credential` it is asked for on a connection with a certificate that the machine is \
               issued, and counts on such connections alone.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "managed_identity_assertion": { "object_id": "77777777-8888-9999-aaaa-bbbbbbbbbbbb" } }
  } }
}"#,
    },
    Section {
        object: "GitHubActionsFile",
        heading: "github_actions",
        place: "identities.NAME.credential.github_actions",
        used_by: IN_FULL_MODULE,
        exceptions: &[],
        note: "The job needs `permissions: id-token: write`. A token is asked for at each exchange.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "github_actions": {} }
  } }
}"#,
    },
    Section {
        object: "AzurePipelinesFile",
        heading: "azure_pipelines",
        place: "identities.NAME.credential.azure_pipelines",
        used_by: IN_FULL_MODULE,
        exceptions: &[],
        note: "The step needs `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`. A token is asked for at each exchange.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "azure_pipelines": { "service_connection_id": "99999999-aaaa-bbbb-cccc-dddddddddddd" } }
  } }
}"#,
    },
    Section {
        object: "GoogleMetadataFile",
        heading: "google_metadata",
        place: "identities.NAME.credential.google_metadata",
        used_by: IN_FULL_MODULE,
        exceptions: &[],
        note: "The federated credential names `https://accounts.google.com` and the numeric ID of the service account. \
               `GCE_METADATA_HOST` replaces the address of the metadata server.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "google_metadata": {} }
  } }
}"#,
    },
    Section {
        object: "AwsWebIdentityFile",
        heading: "aws_web_identity",
        place: "identities.NAME.credential.aws_web_identity",
        used_by: NATIVE,
        exceptions: &[],
        note: "The keys of the role come from `AWS_ACCESS_KEY_ID` and its companions, from the container \
               (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `_FULL_URI`) or from the machine (IMDSv2), in this order.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "aws_web_identity": { "region": "eu-central-1" } }
  } }
}"#,
    },
    Section {
        object: "ExecutableFile",
        heading: "executable",
        place: "identities.NAME.credential.executable",
        used_by: NATIVE,
        exceptions: &[],
        note: "The contract is that of Google's executable-sourced credentials (AIP-4117): the audience is in \
               `GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE`, and the command prints `{\"version\": 1, \"success\": true, \"token_type\": \
               \"urn:ietf:params:oauth:token-type:jwt\", \"id_token\": …}`.",
        example: "",
    },
    Section {
        object: "OidcFederationFile",
        heading: "oidc_federation",
        place: "identities.NAME.credential.oidc_federation",
        used_by: NATIVE,
        exceptions: &[],
        note: "The host of a `token_endpoint` has to be among `authority_hosts`. The first token is kept until shortly before \
               its end.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "oidc_federation": {
      "tenant_id": "fabrikam.example",
      "client_id": "77777777-8888-9999-aaaa-bbbbbbbbbbbb",
      "credential": { "client_secret": { "file": "/run/app/secret" } }
    } }
  } }
}"#,
    },
    Section {
        object: "SpiffeFile",
        heading: "spiffe",
        place: "identities.NAME.credential.spiffe",
        used_by: NATIVE,
        exceptions: &[],
        note: "A token is asked for at each exchange. Entra ID takes those of issuers that sign with RS256 alone.",
        example: r#"{
  "identities": { "app": {
    "token_endpoint": "https://idp.example/token",
    "client_id": "spiffe://edgepass.example/checkout",
    "credential": { "spiffe": {
      "socket": "unix:///run/spire/sockets/agent.sock",
      "audience": "https://idp.example",
      "assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
    } }
  } },
  "authority_hosts": ["idp.example"]
}"#,
    },
    Section {
        object: "CertificateFiles",
        heading: "A certificate of the host",
        place: "certificates.NAME",
        used_by: ALL,
        exceptions: &[
            ("certificate_base64", NATIVE),
            ("password_file", NATIVE),
            ("password_env", NATIVE),
            ("spiffe_socket", NATIVE),
            ("spiffe_id", NATIVE),
            ("key_vault", NATIVE),
        ],
        note: "Key and password stay in the host: a component is shown neither. In Envoy, which reads PEM alone, the filter reads a key that it signs with as one of its files, and a certificate on connections is the \
               cluster's: `edgepass envoy-config` writes both.",
        example: "",
    },
    Section {
        object: "KeyVaultFile",
        heading: "A certificate in Azure Key Vault",
        place: "certificates.NAME.key_vault",
        used_by: NATIVE,
        exceptions: &[],
        note: "[credentials/key-vault.md](credentials/key-vault.md) says what it takes. Its `identity` has the settings of [`managed_identity`](#managed_identity).",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "certificate": { "name": "app-cert" } }
  } },
  "certificates": { "app-cert": { "key_vault": { "url": "https://contoso-vault.vault.azure.net", "certificate": "app" } } }
}"#,
    },
    Section {
        object: "HostFile",
        heading: "The host",
        place: "host",
        used_by: NATIVE,
        exceptions: &[],
        note: "`--ca-file` goes before `ca_file`, and that before `SSL_CERT_FILE` and `SSL_CERT_DIR`. [networks.md](networks.md) has the whole. In Envoy the clusters check servers.",
        example: r#"{
  "identities": { "vm": { "credential": { "managed_identity": {} } } },
  "host": { "ca_file": "/etc/ssl/certs/ca-certificates.crt" }
}"#,
    },
    Section {
        object: "TokenStoreFile",
        heading: "The token store",
        place: "host.token_store",
        used_by: NATIVE,
        exceptions: &[],
        note: "[shared-cache.md](shared-cache.md) says what is kept there, and what becomes of it when it fails.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
  } },
  "host": { "token_store": {
    "url": "rediss://cache.example:6379",
    "password_file": "/etc/edgepass/store-password",
    "encryption_keys_file": "/etc/edgepass/encryption-keys"
  } }
}"#,
    },
    Section {
        object: "ConsumersFile",
        heading: "Consumers",
        place: "consumers",
        used_by: "components",
        exceptions: &[],
        note: "",
        example: r#"{
  "identities": { "vm": { "credential": { "managed_identity": {} } } },
  "consumers": { "client_assertions": false }
}"#,
    },
    Section {
        object: "EnvoyFile",
        heading: "Envoy",
        place: "envoy",
        used_by: ENVOY,
        exceptions: &[],
        note: "What `edgepass envoy-config` can know (`token_clusters`, `files`) it adds. [envoy.md](envoy.md) says how all of it \
               works together.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
  } },
  "envoy": {
    "token_clusters": { "login.microsoftonline.com": "entra" },
    "files": { "cluster": "token_files" },
    "request_deadline_ms": 2000,
    "inbound_authorization": "keep-as:x-caller",
    "rules": [
      { "match": { "cluster": "graph" }, "scopes": ["https://graph.microsoft.com/.default"] },
      { "match": { "host": "*.vault.azure.net" }, "scopes": ["https://vault.azure.net/.default"] },
      { "disabled": true }
    ]
  }
}"#,
    },
    Section {
        object: "EnvoyUpstreamFile",
        heading: "An upstream",
        place: "envoy.upstreams[]",
        used_by: ENVOY,
        exceptions: &[],
        note: "Read by `edgepass envoy-config`: [several upstreams](envoy.md#several-upstreams) says what it makes of them.",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
  } },
  "envoy": { "upstreams": [
    { "path_prefix": "/graph/", "url": "https://graph.microsoft.com/", "scopes": ["https://graph.microsoft.com/.default"] },
    { "url": "http://plain.internal:8080", "disabled": true }
  ] }
}"#,
    },
    Section {
        object: "EnvoyFilesFile",
        heading: "Token files in Envoy",
        place: "envoy.files",
        used_by: ENVOY,
        exceptions: &[],
        note: "",
        example: "",
    },
    Section {
        object: "EnvoyRuleFile",
        heading: "A rule",
        place: "envoy.rules[]",
        used_by: ENVOY,
        exceptions: &[],
        note: "",
        example: "",
    },
    Section {
        object: "EnvoyTokenExchangeFile",
        heading: "A token exchange",
        place: "envoy.rules[].token_exchange",
        used_by: ENVOY,
        exceptions: &[],
        note: "[Tokens of callers](envoy.md#tokens-of-callers) says what becomes of it.",
        example: "",
    },
    Section {
        object: "EnvoyMatchFile",
        heading: "What a rule is for",
        place: "envoy.rules[].match",
        used_by: ENVOY,
        exceptions: &[],
        note: "",
        example: "",
    },
    Section {
        object: "EnvoyMetadataFile",
        heading: "Metadata of a route",
        place: "envoy.rules[].match.route_metadata",
        used_by: ENVOY,
        exceptions: &[],
        note: "",
        example: "",
    },
    Section {
        object: "HttpFile",
        heading: "Requests of applications",
        place: "http",
        used_by: HTTP,
        exceptions: &[
            ("audit_as", HTTP_FILTER),
            ("replay_body_bytes", HTTP_FILTER),
        ],
        note: "For `edgepass run` and `serve-http` ([applications.md](applications.md)), for programs with the library \
               ([downstream.md](downstream.md)), and for the filter that stands in front of a component's own requests: \
               [components.md](components.md#in-front-of-an-unmodified-component).",
        example: r#"{
  "identities": { "app": {
    "tenant_id": "contoso.example",
    "client_id": "66666666-7777-8888-9999-000000000000",
    "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/wi/token/azure-identity-token" } }
  } },
  "http": { "rules": [
    { "match": { "host": "graph.microsoft.com", "path_prefix": "/v1.0" }, "scopes": ["https://graph.microsoft.com/.default"] },
    { "match": { "host": "*.vault.azure.net", "methods": ["GET"] }, "scopes": ["https://vault.azure.net/.default"] }
  ] }
}"#,
    },
    Section {
        object: "HttpRuleFile",
        heading: "A rule for requests of applications",
        place: "http.rules[]",
        used_by: HTTP,
        exceptions: &[],
        note: "",
        example: "",
    },
    Section {
        object: "HttpMatchFile",
        heading: "What a rule for requests of applications is for",
        place: "http.rules[].match",
        used_by: HTTP,
        exceptions: &[],
        note: "",
        example: "",
    },
];

const BEGINNING: &str = "\
# Configuration

The configuration is one document, JSON here; [formats.md](formats.md) has it in YAML and TOML. `edgepass config init` writes one
to begin with, `edgepass config check FILE` says all that is wrong with one, and
`edgepass config schema > edgepass.schema.json` prints what an editor needs to help while one is written (`\"$schema\"` names it
to the editor). Fields that are not known are mistakes, and so are two of one name; `null` is as good as leaving a field out.
Paths are absolute.

The command takes it by `--config`, from the file that `EDGEPASS_CONFIG` names, or as text in `EDGEPASS_CONFIG_JSON`. A
program takes it by the library's builder: `Builder::from_process` looks at both variables, `config_file`, `config_json`,
`config_yaml` and `config_toml` say it themselves. A component takes `EDGEPASS_CONFIG_JSON` only. Envoy takes it as the plugin's configuration, where
`edgepass envoy-config` prints all around it. One document may serve all of them: who looks at a setting is in its last
column. [environment.md](environment.md) has the variables.

This page is made from the schema: `edgepass config reference > docs/configuration.md`.
";

fn page(schema: &Value) -> String {
    let mut out = BEGINNING.to_owned();
    for section in SECTIONS {
        let Some(object) = object(schema, section.object) else {
            continue;
        };
        let _ = write!(out, "\n## {}\n\n", section.heading);
        if !section.place.is_empty() {
            let _ = writeln!(out, "`{}`: {}", section.place, described(object));
        }
        if !section.note.is_empty() {
            let gap = if section.place.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{}", section.note);
        }
        out.push_str("\n| setting | value | if left out | | used by |\n|---|---|---|---|---|\n");
        let fields = object.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let exception = section.exceptions.iter().find(|(known, _)| known == name);
            let used_by = exception.map_or(section.used_by, |(_, used_by)| *used_by);
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | {} | {used_by} |",
                value(schema, field),
                left_out(object, name, field),
                described(field),
            );
        }
        if !section.example.is_empty() {
            let _ = write!(out, "\n```json\n{}\n```\n", section.example);
        }
    }
    out
}

fn object<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    if name.is_empty() {
        return Some(schema);
    }
    schema.get("$defs")?.get(name)
}

/// The object that a schema refers to, with its name.
fn referred<'s>(schema: &'s Value, field: &'s Value) -> Option<(&'s str, &'s Value)> {
    let name = field.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
    Some((name, object(schema, name)?))
}

/// A description on one line of a table.
fn described(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// What may stand there.
fn value(schema: &Value, field: &Value) -> String {
    if let Some((name, object)) = referred(schema, field) {
        return match choices(object) {
            Some(choices) => choices,
            None => link(name),
        };
    }
    if let Some(comment) = field.get("$comment").and_then(Value::as_str) {
        return comment.to_owned();
    }
    if let Some(alternatives) = field.get("anyOf").and_then(Value::as_array) {
        let alternatives = alternatives.iter().map(|one| value(schema, one));
        return Vec::from_iter(alternatives).join(", or ");
    }
    if let Some(items) = field.get("items") {
        return format!("list: {}", value(schema, items));
    }
    if let Some(named) = field
        .get("additionalProperties")
        .filter(|named| named.is_object())
    {
        return format!("by name: {}", value(schema, named));
    }
    match field.get("type").and_then(Value::as_str) {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => "number".to_owned(),
        _ => "text".to_owned(),
    }
}

/// The words of a choice.
fn choices(object: &Value) -> Option<String> {
    let words = object.get("oneOf")?.as_array()?.iter();
    let words: Option<Vec<String>> = words
        .map(|one| Some(format!("`{}`", one.get("const")?.as_str()?)))
        .collect();
    words.map(|words| words.join(", "))
}

fn link(object: &str) -> String {
    let section = SECTIONS.iter().find(|section| section.object == object);
    let heading = section.map_or(object, |section| section.heading);
    let anchor = heading.to_lowercase().replace(' ', "-");
    format!("[{}](#{anchor})", heading.to_lowercase())
}

/// What counts if the field is not there.
fn left_out(object: &Value, name: &str, field: &Value) -> String {
    let required = object.get("required").and_then(Value::as_array);
    if required.is_some_and(|required| required.iter().any(|known| known == name)) {
        return "**required**".to_owned();
    }
    match field.get("default") {
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Bool(flag)) => format!("`{flag}`"),
        Some(Value::Number(number)) => format!("`{number}`"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_its_section_and_every_section_its_object() {
        let schema = Config::schema();
        let definitions = schema["$defs"].as_object().unwrap();
        for (name, object) in definitions {
            let has = SECTIONS.iter().any(|section| section.object == name);
            assert_eq!(has, object.get("properties").is_some(), "{name}");
        }
        for section in SECTIONS {
            let object = object(&schema, section.object);
            let fields =
                object.unwrap_or_else(|| panic!("no {}", section.object))["properties"].clone();
            for (field, _) in section.exceptions {
                assert!(fields.get(field).is_some(), "{}: {field}", section.object);
            }
        }
    }

    #[test]
    fn values_are_told() {
        let page = page(&Config::schema());
        for line in [
            "| `tenant_id` | GUID or domain |  | Entra tenant: a GUID or a verified domain. | command, library, Envoy |",
            "| `name` | text | **required** | A name out of `certificates`, or one that the embedding host knows. | command, library, Envoy |",
            "| `algorithm` | `ES256`, `ES384`, `EdDSA`, `PS256`, `RS256` | `PS256` |",
            "| `request_deadline_ms` | milliseconds, 1 to 60000 | `5000` |",
            "| `identities` | by name: [an identity](#an-identity) |",
            "| `scopes` | list: scope, for Entra ID `<resource>/.default` |",
            "| `fail_open` | `true` or `false` | `false` |",
            "| `assertion_source` | [assertion_source](#assertion_source) |  | An assertion from the host's or a component's assertion source. | library |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
