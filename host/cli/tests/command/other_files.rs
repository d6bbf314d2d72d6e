//! Files in the place of others, and settings without a file.

use super::{command, edgepass, text};
use crate::support::Lab;

const CONFIGURATION: &str =
    "{\"identities\": {\"app\": {\"credential\": {\"managed_identity\": {}}}}}";
const YAML: &str = "identities:\n  app:\n    credential: {managed_identity: {}}\n";
const APPSETTINGS: &str = "{\n  \"Logging\": {},\n  \"AzureAd\": {\n    \"TenantId\": \"t.example\", \"ClientId\": \"c\",\n\
     \"ClientCredentials\": [{ \"SourceType\": \"ClientSecret\", \"ClientSecret\": \"hunter2\" }] } }";
const SETTINGS: &str = "import os\n\nSOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_KEY = 'k'\n\
     SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_TENANT_ID = 't'\nSOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_SECRET = 'hunter2'\n";
const MODULE: &str = "import os\nfrom pathlib import Path\nDEBUG = True\n";
const ENVOY: &str = "static_resources:\n  listeners: []\n";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIhunter2\n-----END CERTIFICATE-----\n";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.aHVudGVyMg\n";
const ENCODED: &str = "eyJpZGVudGl0aWVzIjp7fX0=\n";
const MANIFEST: &str =
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  edgepass.json: '{\"identities\": {}}'\n";
const PRINCIPAL: &str =
    "{\"appId\": \"a\", \"displayName\": \"d\", \"password\": \"hunter2\", \"tenant\": \"t\"}";
const VARIABLES: &str =
    "AZURE_TENANT_ID=t.example\nAZURE_CLIENT_ID=c\nAZURE_CLIENT_SECRET=hunter2\n";
const ENVOY_JSON: &str = "{\"static_resources\": {\"listeners\": []}}";

/// Each file with each option: what it looks like, and which option takes it.
#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let lab = Lab::new();
    let commented = format!("// of the program\n{APPSETTINGS}");
    for (option, name, content, looks, fix) in [
        ("--config", "a.json", APPSETTINGS, ".NET", "--appsettings"),
        ("--config", "a.json", &commented, ".NET", "--appsettings"),
        (
            "--config",
            "a.json",
            SETTINGS,
            "python-social-auth",
            "--social-auth",
        ),
        (
            "--config",
            "settings.py",
            SETTINGS,
            "python-social-auth",
            "--social-auth",
        ),
        (
            "--config",
            "settings.py",
            MODULE,
            "in Python",
            "--social-auth",
        ),
        ("--config", "a.json", ENVOY_JSON, "of Envoy", "envoy-config"),
        ("--config", "a.yaml", ENVOY, "of Envoy", "envoy-config"),
        ("--config", "a.json", ENVOY, "of Envoy", "envoy-config"),
        ("--config", "a.json", YAML, "YAML", ".yaml"),
        (
            "--config",
            "client.pem",
            PEM,
            "a PEM file",
            "certificate_file",
        ),
        (
            "--config",
            "token",
            TOKEN,
            "like a token",
            "federated_token_file",
        ),
        ("--config", "a.json", ENCODED, "base64", "base64 -d"),
        ("--config", "a.yaml", MANIFEST, "of Kubernetes", "`data`"),
        ("--config", "sp.json", PRINCIPAL, "Azure CLI", "config init"),
        (
            "--config",
            ".env",
            VARIABLES,
            "of an environment",
            "set them",
        ),
        (
            "--appsettings",
            "sp.json",
            PRINCIPAL,
            "Azure CLI",
            "config init",
        ),
        (
            "--social-auth",
            ".env",
            VARIABLES,
            "of an environment",
            "set them",
        ),
        (
            "--appsettings",
            "a.json",
            CONFIGURATION,
            "of edgepass",
            "--config",
        ),
        ("--appsettings", "a.yaml", YAML, "of edgepass", "--config"),
        (
            "--appsettings",
            "settings.py",
            SETTINGS,
            "python-social-auth",
            "--social-auth",
        ),
        (
            "--appsettings",
            "settings.py",
            MODULE,
            "in Python",
            "--social-auth",
        ),
        ("--appsettings", "a.yaml", ENVOY, "of Envoy", "envoy-config"),
        (
            "--social-auth",
            "a.json",
            CONFIGURATION,
            "of edgepass",
            "--config",
        ),
        ("--social-auth", "a.yaml", YAML, "of edgepass", "--config"),
        (
            "--social-auth",
            "appsettings.json",
            APPSETTINGS,
            ".NET",
            "--appsettings",
        ),
        ("--social-auth", "a.yaml", ENVOY, "of Envoy", "envoy-config"),
    ] {
        let path = lab.write(name, content);
        let path = path.to_str().unwrap();
        for arguments in [
            &["config", "check", option, path][..],
            &["config", "convert", option, path],
            &["token", "--error-format", "text", option, path],
        ] {
            let output = edgepass(&lab, arguments);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            for part in [looks, fix] {
                assert!(said.contains(part), "{arguments:?}: {part}: {said}");
            }
            let errors = said.matches("error: ").count();
            assert!(
                errors == 1 && !said.contains("hunter2"),
                "{arguments:?}: {said}"
            );
        }
    }
}

/// Editors of Windows write such files, and .NET reads them.
#[test]
fn the_settings_of_a_dotnet_program_may_be_utf_16() {
    let lab = Lab::new();
    let settings = format!("\u{feff}{APPSETTINGS}");
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let content: Vec<u8> = settings.encode_utf16().flat_map(bytes).collect();
        let path = lab.write("appsettings.json", content);
        let path = path.to_str().unwrap();
        let output = edgepass(&lab, &["config", "convert", "--appsettings", path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(text(&output.stdout).contains("t.example"));
        let output = edgepass(&lab, &["config", "check", "--config", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("UTF-16"));
    }
}

/// Where variables of python-social-auth say who it is, a template would say something else.
#[test]
fn variables_of_python_social_auth_are_converted_and_begin_nothing() {
    let lab = Lab::new();
    let own = "SOCIAL_AUTH_AZUREAD_V2_TENANT_OAUTH2_";
    let set = [("KEY", "k"), ("TENANT_ID", "t"), ("SECRET", "hunter2")];
    let run = |arguments: &[&str], set: &[(&str, &str)]| {
        let mut command = command(&lab, arguments);
        command.env_clear();
        for (name, value) in set {
            command.env(format!("{own}{name}"), value);
        }
        command.output().unwrap()
    };
    let output = run(&["config", "init"], &set);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        output.stdout.is_empty() && said.contains("edgepass config convert -o yaml"),
        "{said}"
    );
    let converted = run(&["config", "convert", "-o", "yaml"], &set);
    assert_eq!(
        converted.status.code(),
        Some(0),
        "{}",
        text(&converted.stderr)
    );
    let yaml = text(&converted.stdout);
    assert!(
        yaml.contains("azuread-v2-tenant-oauth2") && !yaml.contains("hunter2"),
        "{yaml}"
    );
    // half of them is a mistake, as for a token
    let output = run(&["config", "init"], &[("KEY", "k")]);
    let said = text(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains(own),
        "{said}"
    );
}
