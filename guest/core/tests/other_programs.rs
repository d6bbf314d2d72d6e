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
        (
            "AZURE_CLIENT_SECRET",
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/hunter2)",
            "is a reference to a secret in a Key Vault",
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
        ("AZURE_CLIENT_SECRET", "@Microsoft"),
    ] {
        assert_eq!(of_variables(&[(name, value)]).err(), None, "{name}={value}");
    }
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
