//! What people bring from other programs and write where edgepass has a word of its own: each is refused with that word.
#![cfg(feature = "every-credential")]

use edgepass_core::authority::host_of_cloud;
use edgepass_core::{Config, Environment};

const CLIENT: [(&str, &str); 3] = [
    ("AZURE_TENANT_ID", "contoso.example"),
    ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000"),
    ("AZURE_CLIENT_SECRET", "a-secret"),
];

/// Loads what variables alone say; the error in one sentence.
fn of_variables(more: &[(&str, &str)]) -> Result<(), String> {
    let mut pairs: Vec<(&str, &str)> = CLIENT.to_vec();
    pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    pairs.extend(more);
    let loaded = Config::load(None, &Environment::from_pairs(pairs));
    loaded.map(|_| ()).map_err(|error| error.to_string())
}

/// Loads an identity with these fields besides.
fn of_document(fields: &str) -> Result<(), String> {
    let document = format!(
        "{{\"identities\": {{\"app\": {{\"tenant_id\": \"contoso.example\", \"client_id\": \"c\", {fields}, \
         \"credential\": {{\"client_secret\": {{\"value\": \"a-secret\"}}}}}}}}}}"
    );
    let nothing = Environment::from_pairs::<&str, &str>([]);
    let loaded = Config::load(Some(&document), &nothing);
    loaded.map(|_| ()).map_err(|error| error.to_string())
}

/// The names that tools have for the clouds lead to the hosts of those, and nothing that may be a host is taken for one.
#[test]
fn names_of_clouds_are_told_from_hosts() {
    const PUBLIC: Option<&str> = Some("login.microsoftonline.com");
    const CHINA: Option<&str> = Some("login.partner.microsoftonline.cn");
    const GOVERNMENT: Option<&str> = Some("login.microsoftonline.us");
    const GERMANY: Option<&str> = Some("login.microsoftonline.de");

    for (name, host) in [
        // go-autorest, the webhook and Dapr
        ("AzurePublicCloud", PUBLIC),
        ("AZUREPUBLICCLOUD", PUBLIC),
        ("AzureChinaCloud", CHINA),
        ("AzureUSGovernmentCloud", GOVERNMENT),
        ("AzureUSGovernment", GOVERNMENT),
        ("AzureGermanCloud", GERMANY),
        // the Azure CLI
        ("AzureCloud", PUBLIC),
        // MSAL.NET
        ("AzurePublic", PUBLIC),
        ("AzureChina", CHINA),
        ("AzureUsGovernment", GOVERNMENT),
        ("AzureGermany", GERMANY),
        // azure-identity
        ("AzureGovernment", GOVERNMENT),
        ("AZURE_PUBLIC_CLOUD", PUBLIC),
        ("AZURE_CHINA", CHINA),
        ("AZURE_GOVERNMENT", GOVERNMENT),
        ("AZURE_GERMANY", GERMANY),
        // Terraform
        ("public", PUBLIC),
        ("usgovernment", GOVERNMENT),
        ("china", CHINA),
        // as a URL
        ("https://AzurePublicCloud/", PUBLIC),
        // hosts, and no names
        ("https://", None),
        ("login.microsoftonline.com", None),
        ("https://login.microsoftonline.us", None),
        ("https://china.example", None),
        ("http://AzurePublicCloud", None),
        ("login", None),
        ("adfs", None),
        ("localhost:8443", None),
        ("https://public:8443", None),
        ("https://cloud", None),
        ("https://public", None),
        ("https://china/", None),
        ("cloud", None),
        ("azureazurecloud", None),
    ] {
        assert_eq!(host_of_cloud(name), host, "{name}");
        let Some(host) = host else {
            continue;
        };
        let says = format!(": is the name of a cloud, and not its host; write https://{host}");
        let of_variable = of_variables(&[("AZURE_AUTHORITY_HOST", name)]);
        assert_eq!(
            of_variable.err(),
            Some(format!("AZURE_AUTHORITY_HOST{says}"))
        );
        let error = of_document(&format!("\"authority_host\": \"{name}\"")).unwrap_err();
        assert!(
            error.starts_with("identities.app.authority_host: is the name of a cloud"),
            "{error}"
        );
        // and what it says to write is taken
        assert!(of_variables(&[("AZURE_AUTHORITY_HOST", host)]).is_ok());
    }
}

/// A host that somebody has named as one to trust is no name, whatever it is called.
#[test]
fn a_host_that_is_named_is_no_name_of_a_cloud() {
    for (named, host, is_good) in [
        ("azurecloud", "https://azurecloud", true),
        ("AzureCloud", "https://azurecloud/", true),
        ("azurecloud:443", "https://AzureCloud", true),
        ("china", "china", true),
        ("azurecloud:8443", "https://azurecloud", false),
        ("azurecloud:8443", "https://azurecloud:8443", true),
        ("login.example", "https://azurecloud", false),
    ] {
        let result = of_variables(&[
            ("EDGEPASS_AUTHORITY_HOSTS", named),
            ("AZURE_AUTHORITY_HOST", host),
        ]);
        let is_name = result
            .as_ref()
            .is_err_and(|error| error.contains("is the name of a cloud"));
        assert_eq!(
            (result.is_ok(), is_name),
            (is_good, !is_good),
            "{named} {host}"
        );
    }
}

/// Values that the SDKs, App Service and shells give another meaning than a value has here.
#[test]
fn values_of_other_programs_are_refused_with_what_to_write() {
    for (name, value, says) in [
        (
            "AZURE_REGIONAL_AUTHORITY_NAME",
            "AutoDiscoverRegion",
            "find the region out",
        ),
        (
            "AZURE_REGIONAL_AUTHORITY_NAME",
            "TryAutoDetect",
            "find the region out",
        ),
        (
            "AZURE_REGIONAL_AUTHORITY_NAME",
            "true",
            "find the region out",
        ),
        (
            "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
            "a.example,b.example",
            "write `;` between tenants",
        ),
    ] {
        let error = of_variables(&[(name, value)]).unwrap_err();
        assert!(error.starts_with(&format!("{name}: ")), "{error}");
        assert!(error.contains(says), "{name}={value}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    for (name, value) in [
        ("AZURE_REGIONAL_AUTHORITY_NAME", "westus2"),
        ("AZURE_ADDITIONALLY_ALLOWED_TENANTS", "a.example;b.example"),
    ] {
        assert_eq!(of_variables(&[(name, value)]).err(), None, "{name}={value}");
    }
}

/// What App Service leaves where it may not read the vault is told from the value, whatever it stands for.
#[test]
fn references_to_a_vault_are_no_values() {
    const REFERENCE: &str =
        "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/hunter2)";
    const SAYS: &str = "is a reference to a secret in a Key Vault";
    const FILE: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem");

    for (name, beside) in [
        ("AZURE_CLIENT_SECRET", None),
        ("AZURE_TENANT_ID", None),
        ("AZURE_CLIENT_ID", None),
        ("AZURE_AUTHORITY_HOST", None),
        ("EDGEPASS_AUTHORITY_HOSTS", None),
        ("AZURE_CLIENT_CERTIFICATE_PASSWORD", Some(FILE)),
    ] {
        let mut pairs = vec![(name, REFERENCE)];
        if let Some(beside) = beside {
            pairs.extend([beside, ("AZURE_CLIENT_SECRET", "")]);
        }
        let error = of_variables(&pairs).unwrap_err();
        assert!(error.starts_with(&format!("{name}: {SAYS}")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let environment = Environment::from_pairs([("V", REFERENCE)]);
    for (section, setting) in [
        (
            r#""certificates": {"c": {"certificate_file": "/c.pem", "password_env": "V"}}"#,
            "certificates.c.password_env",
        ),
        (
            r#""certificates": {"c": {"certificate_base64": "@Microsoft.KeyVault(VaultName=v;SecretName=hunter2)"}}"#,
            "certificates.c.certificate_base64",
        ),
        (
            r#""host": {"token_store": {"url": "rediss://s.example", "encryption_keys_file": "/k", "password_env": "V"}}"#,
            "host.token_store.password_env",
        ),
    ] {
        let document = format!(
            r#"{{"identities": {{"app": {{"tenant_id": "t", "client_id": "c", "credential": {{"client_secret": {{"value": "s"}}}}}}}}, {section}}}"#
        );
        let error = Config::load(Some(&document), &environment)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&format!("{setting}: {SAYS}")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(
        of_variables(&[("AZURE_CLIENT_SECRET", "@Microsoft")]).err(),
        None
    );
}

/// Names that other programs have for the same, in whatever spelling.
#[test]
fn names_of_other_programs_lead_to_ours() {
    for (written, part) in [
        ("token_url", "`token_endpoint`"),
        ("tokenUrl", "`token_endpoint`"),
        ("token-uri", "`token_endpoint`"),
        ("issuer-uri", "`issuer`"),
        ("issuer_url", "`issuer`"),
        ("oidc_issuer_url", "`issuer`"),
        ("audience", "`additional_parameters`"),
        ("cloud", "`authority_host`"),
        ("environment", "`authority_host`"),
        ("azureEnvironment", "`authority_host`"),
        ("AzureCloudInstance", "`authority_host`"),
    ] {
        let error = of_document(&format!("\"{written}\": \"x\"")).unwrap_err();
        // behind the names that are known, which end in this one
        let (known, hint) = error.split_once("`credential`").unwrap();
        assert!(known.contains("unknown field"), "{error}");
        assert!(hint.contains(part), "{written}: {error}");
    }
}
