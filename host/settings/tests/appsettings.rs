//! Microsoft.Identity.Web's settings and what is made of them.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use std::path::Path;

use edgepass_core::{Config, Environment};
use edgepass_settings::{File, Imported, appsettings};
use serde_json::{Value, json};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";

fn file<'a>(text: &'a str, name: &'a str) -> File<'a> {
    File {
        text,
        name,
        folder: Path::new("/app"),
    }
}

fn read(
    text: &str,
    section: Option<&str>,
    api: Option<&str>,
    environment: &[(&str, &str)],
) -> Result<Imported, String> {
    let file = file(text, "appsettings.json");
    let environment = Environment::from_pairs(environment.iter().copied());
    let imported = appsettings::import(&file, None, section, api, &environment);
    imported.map_err(|error| error.to_string())
}

/// With a file over it.
fn read_both(text: &str, over: &str, environment: &[(&str, &str)]) -> Result<Imported, String> {
    let over = file(over, "appsettings.Production.json");
    let file = file(text, "appsettings.json");
    let environment = Environment::from_pairs(environment.iter().copied());
    let imported = appsettings::import(&file, Some(&over), None, None, &environment);
    imported.map_err(|error| error.to_string())
}

fn document(imported: &Imported) -> Value {
    serde_json::from_str(&imported.document).unwrap()
}

/// A section of a client with these settings besides.
fn section(more: &Value) -> Value {
    let mut section = json!({
        "Instance": "https://login.microsoftonline.com/",
        "TenantId": TENANT,
        "ClientId": CLIENT,
    });
    for (name, value) in more.as_object().unwrap() {
        section[name] = value.clone();
    }
    json!({ "AzureAd": section })
}

/// The one identity of what is made of settings.
fn identity(settings: &Value) -> (Value, Imported) {
    let imported = read(&settings.to_string(), None, None, &[]).unwrap();
    let document = document(&imported);
    (document["identities"]["AzureAd"].clone(), imported)
}

#[test]
fn every_source_type_becomes_a_credential_or_says_what_to_use() {
    for (entry, expected) in [
        (
            json!({ "SourceType": "ClientSecret", "ClientSecret": "hunter2" }),
            Ok(
                json!({ "client_secret": { "env": "AzureAd__ClientCredentials__0__ClientSecret" } }),
            ),
        ),
        (
            json!({ "SourceType": "SignedAssertionFilePath" }),
            Ok(
                json!({ "federated_token_file": { "path": "/var/run/secrets/azure/tokens/azure-identity-token" } }),
            ),
        ),
        (
            json!({ "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": "/run/token" }),
            Ok(json!({ "federated_token_file": { "path": "/run/token" } })),
        ),
        // as the sidecar's own page has it
        (
            json!({ "SourceType": "SignedAssertionFilePath", "SignedAssertionFilePath": "/run/token" }),
            Ok(json!({ "federated_token_file": { "path": "/run/token" } })),
        ),
        (
            json!({ "SourceType": "SignedAssertionFromManagedIdentity" }),
            Ok(json!({ "managed_identity_assertion": {} })),
        ),
        (
            json!({
                "SourceType": "signedassertionfrommanagedidentity", "ManagedIdentityClientId": CLIENT,
                "TokenExchangeUrl": "api://AzureADTokenExchangeUSGov/.default",
            }),
            Ok(json!({ "managed_identity_assertion": {
                "client_id": CLIENT, "audience": "api://AzureADTokenExchangeUSGov",
            } })),
        ),
        (
            json!({ "SourceType": "Path", "CertificateDiskPath": "certs/app.pfx" }),
            Ok(json!({ "certificate": { "name": "AzureAd-0" } })),
        ),
        (
            json!({ "SourceType": 3, "CertificateDiskPath": "/app.pfx", "UseBoundCredential": true }),
            Ok(json!({ "certificate": { "name": "AzureAd-0", "use_bound_credential": true } })),
        ),
        (
            json!({ "SourceType": "Base64Encoded", "Base64EncodedValue": "aHVudGVyMg==" }),
            Ok(json!({ "certificate": { "name": "AzureAd-0" } })),
        ),
        // by the names that .NET's older programs use for all kinds
        (
            json!({ "SourceType": "Path", "Container": "/app.pfx", "ReferenceOrValue": "hunter2" }),
            Ok(json!({ "certificate": { "name": "AzureAd-0" } })),
        ),
        (
            json!({ "SourceType": "ClientSecret", "ReferenceOrValue": "hunter2" }),
            Ok(
                json!({ "client_secret": { "env": "AzureAd__ClientCredentials__0__ReferenceOrValue" } }),
            ),
        ),
        (
            json!({
                "SourceType": "KeyVault", "KeyVaultUrl": "https://v.vault.azure.net", "KeyVaultCertificateName": "c",
            }),
            Ok(json!({ "certificate": { "name": "AzureAd-0" } })),
        ),
        (
            json!({ "SourceType": "StoreWithThumbprint", "CertificateThumbprint": "AB", "CertificateStorePath": "CurrentUser/My" }),
            Err(["certificate store", "use Path"]),
        ),
        (
            json!({ "SourceType": "StoreWithDistinguishedName", "CertificateDistinguishedName": "CN=x" }),
            Err(["certificate store", "use Path"]),
        ),
        (
            json!({ "SourceType": "StoreWithSubjectName" }),
            Err(["certificate store", "use Path"]),
        ),
        (
            json!({ "SourceType": "Certificate" }),
            Err(["code", "Base64Encoded"]),
        ),
        (
            json!({ "SourceType": "SignedAssertionFromVault" }),
            Err(["in Key Vault", "SignedAssertionFilePath"]),
        ),
        (
            json!({ "SourceType": "AutoDecryptKeys" }),
            Err(["decryption", "TokenDecryptionCredentials"]),
        ),
        (
            json!({ "SourceType": "ManagedCertificate" }),
            Err(["Azure gives", "SignedAssertionFromManagedIdentity"]),
        ),
        (
            json!({ "SourceType": "CustomSignedAssertion", "CustomSignedAssertionProviderName": "Mine" }),
            Err(["code of the .NET program", "executable"]),
        ),
        (
            json!({ "SourceType": "Secret" }),
            Err(["no source type", "ClientSecret"]),
        ),
        (
            json!({ "SourceType": 14 }),
            Err(["no source type", "ClientSecret"]),
        ),
        (
            json!({ "ClientSecret": "hunter2" }),
            Err(["SourceType", "is not set"]),
        ),
        (
            json!({ "SourceType": "ClientSecret" }),
            Err(["ClientCredentials:0:ClientSecret", "is not set"]),
        ),
        (
            json!({ "SourceType": "Path" }),
            Err(["CertificateDiskPath", "is not set"]),
        ),
        (
            json!({ "SourceType": "Base64Encoded" }),
            Err(["Base64EncodedValue", "is not set"]),
        ),
        (
            json!({ "SourceType": "Path", "CertificateDiskPath": "/c", "UseBoundCredential": "yes" }),
            Err(["UseBoundCredential", "true or false"]),
        ),
        (
            json!({ "SourceType": "ClientSecret", "Skip": true }),
            Err(["only entries with Skip", "Skip"]),
        ),
    ] {
        let settings = section(&json!({ "ClientCredentials": [entry] }));
        let read = read(&settings.to_string(), None, None, &[]);
        match (read, expected) {
            (Ok(imported), Ok(expected)) => {
                let document = document(&imported);
                assert_eq!(document["identities"]["AzureAd"]["credential"], expected);
                let text = imported.document.as_str();
                assert!(!text.contains("hunter2"), "{text}");
                assert!(!format!("{imported:?}").contains("hunter2"));
                let environment = imported.environment(Environment::default());
                let loaded = Config::load(Some(text), &environment);
                loaded.unwrap_or_else(|error| panic!("{error}: {text}"));
            }
            (Err(error), Err(parts)) => {
                let place = "AzureAd:ClientCredentials";
                assert!(
                    error.starts_with(place) && error.contains("appsettings.json"),
                    "{error}"
                );
                assert!(parts.iter().all(|part| error.contains(part)), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
            }
            (Ok(imported), Err(parts)) => panic!("{parts:?}: {}", *imported.document),
            (Err(error), Ok(expected)) => panic!("{expected}: {error}"),
        }
    }
}

/// What each setting of an entry becomes, whichever way it is written.
#[test]
fn a_certificate_of_a_key_vault_is_read_by_the_host() {
    const URL: &str = "https://contoso.vault.azure.net";
    const READER: &str = "77777777-8888-9999-aaaa-bbbbbbbbbbbb";

    let plain = json!({ "url": URL, "certificate": "app" });
    for (entry, vault, credential) in [
        (
            json!({ "SourceType": "KeyVault", "KeyVaultUrl": URL, "KeyVaultCertificateName": "app" }),
            plain.clone(),
            json!({ "name": "AzureAd-0" }),
        ),
        // as a number of .NET's enumeration, and by the names that its older programs use for all kinds
        (
            json!({ "SourceType": 1, "Container": URL, "ReferenceOrValue": "app" }),
            plain,
            json!({ "name": "AzureAd-0" }),
        ),
        (
            json!({
                "SourceType": "keyvault", "KeyVaultUrl": URL, "KeyVaultCertificateName": "app",
                "ManagedIdentityClientId": READER, "UseBoundCredential": true,
            }),
            json!({ "url": URL, "certificate": "app", "identity": { "client_id": READER } }),
            json!({ "name": "AzureAd-0", "use_bound_credential": true }),
        ),
    ] {
        let (found, imported) = identity(&section(&json!({ "ClientCredentials": [entry] })));
        assert_eq!(found["credential"], json!({ "certificate": credential }));
        assert_eq!(
            document(&imported)["certificates"],
            json!({ "AzureAd-0": { "key_vault": vault } })
        );
        let config = Config::load(Some(&imported.document), &Environment::default()).unwrap();
        let certificate = config.certificates.get("AzureAd-0").unwrap();
        let server = certificate.key_vault.as_ref().unwrap().server();
        assert_eq!(
            server,
            (
                "contoso.vault.azure.net".into(),
                "https://vault.azure.net".into()
            )
        );
    }
}

/// Whose managed identity reads a vault: the entry's, or the program's, or that of the variable, in this order.
#[test]
fn a_vault_is_read_by_the_identity_that_dotnet_would_take() {
    const IDS: [&str; 3] = [
        "77777777-8888-9999-aaaa-000000000000",
        "77777777-8888-9999-aaaa-000000000001",
        "77777777-8888-9999-aaaa-000000000002",
    ];
    for set in 0..8_u32 {
        let is_set = |at: usize| set >> at & 1 == 1;
        let mut entry = json!({
            "SourceType": "KeyVault", "KeyVaultUrl": "https://c.vault.azure.net", "KeyVaultCertificateName": "app",
        });
        if is_set(0) {
            entry["ManagedIdentityClientId"] = json!(IDS[0]);
        }
        let mut client = json!({ "ClientCredentials": [entry] });
        if is_set(1) {
            client["UserAssignedManagedIdentityClientId"] = json!(IDS[1]);
        }
        let variables: &[(&str, &str)] = match is_set(2) {
            true => &[("AZURE_CLIENT_ID", IDS[2])],
            false => &[],
        };
        let settings = section(&client).to_string();
        let imported = read_both(&settings, "{}", variables).unwrap();
        let vault = &document(&imported)["certificates"]["AzureAd-0"]["key_vault"];
        let expected = (0..3).find(|at| is_set(*at)).map(|at| IDS[at]);
        assert_eq!(vault["identity"]["client_id"].as_str(), expected, "{set}");
    }
    // a mistake in it is one of where it stands
    let entry = json!({
        "SourceType": "KeyVault", "KeyVaultUrl": "https://c.vault.azure.net", "KeyVaultCertificateName": "app",
    });
    let settings = section(&json!({ "ClientCredentials": [entry] })).to_string();
    let variables = [("AZURE_CLIENT_ID", "hunter2")];
    let imported = read_both(&settings, "{}", &variables).unwrap();
    let loaded = Config::load(Some(&imported.document), &Environment::default());
    let error = imported.explain(loaded.unwrap_err());
    assert_eq!(error.setting, "AZURE_CLIENT_ID", "{error}");
}

#[test]
fn what_is_wrong_with_a_key_vault_is_said_of_its_setting() {
    let entry = |more: &str| {
        format!(
            "{{ \"AzureAd\": {{\n\"TenantId\": \"{TENANT}\",\n\"ClientId\": \"{CLIENT}\",\n\"ClientCredentials\": [\n\
             {{ \"SourceType\": \"KeyVault\",\n{more}\n}}\n] }} }}"
        )
    };
    let at = "AzureAd:ClientCredentials:0";
    for (more, over, place, says) in [
        (
            "\"KeyVaultCertificateName\": \"app\"",
            "{}",
            format!("{at}:KeyVaultUrl ("),
            "is not set",
        ),
        (
            "\"KeyVaultUrl\": \"https://c.vault.azure.net\"",
            "{}",
            format!("{at}:KeyVaultCertificateName ("),
            "is not set",
        ),
        (
            "\"KeyVaultUrl\": \"https://hunter2.example\", \"KeyVaultCertificateName\": \"app\"",
            "{}",
            format!("{at}:KeyVaultUrl (appsettings.json, line 6): "),
            "is in no domain of Azure's vaults",
        ),
        (
            "\"KeyVaultUrl\": \"https://vault/\", \"KeyVaultCertificateName\": \"app\"",
            "{}",
            format!("{at}:KeyVaultUrl (appsettings.json, line 6): "),
            "write https://NAME.vault.azure.net",
        ),
        (
            "\"KeyVaultUrl\": \"https://c.vault.azure.net\", \"KeyVaultCertificateName\": \"app\"",
            "{ \"AzureAd\": { \"ClientCredentials\": [ {\n\"KeyVaultCertificateName\": \"hunter2/1\" } ] } }",
            format!("{at}:KeyVaultCertificateName (appsettings.Production.json, line 2): "),
            "is not the name of an object in a vault",
        ),
        (
            "\"KeyVaultUrl\": \"https://c.vault.azure.net\", \"KeyVaultCertificateName\": \"app\",\n\
             \"ManagedIdentityClientId\": \"hunter2\"",
            "{}",
            format!("{at}:ManagedIdentityClientId (appsettings.json, line 7): "),
            "is not a GUID",
        ),
    ] {
        let error = match read_both(&entry(more), over, &[]) {
            Err(error) => error,
            Ok(imported) => {
                let loaded = Config::load(Some(&imported.document), &Environment::default());
                imported.explain(loaded.unwrap_err()).to_string()
            }
        };
        assert!(error.starts_with(&place), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains("audience"),
            "{error}"
        );
    }
}

/// Where an entry is one that cannot be used, and nothing else is there, the error says where it stands.
#[test]
fn of_entries_that_cannot_be_used_the_first_is_named() {
    const WHY: &str = "is a certificate of a certificate store";

    let named = format!(
        "{{ \"AzureAd\": {{\n\"TenantId\": \"{TENANT}\",\n\"ClientId\": \"{CLIENT}\",\n\"ClientCredentials\": [\n\
         {{ \"CertificateThumbprint\": \"hunter2\",\n\"SourceType\": \"StoreWithThumbprint\" }}\n] }} }}"
    );
    let variable = "AzureAd__ClientCredentials__0__SourceType";
    let place = "AzureAd:ClientCredentials:0:SourceType";
    for (over, variables, begins) in [
        (
            "{}",
            &[][..],
            format!("{place} (appsettings.json, line 6): {WHY}"),
        ),
        (
            "{\n\"AzureAd\": { \"ClientCredentials\": [ {\n\"SourceType\": \"4\" } ] } }",
            &[],
            format!("{place} (appsettings.Production.json, line 3): {WHY}"),
        ),
        (
            "{}",
            &[(variable, "StoreWithSubjectName")],
            format!("{variable}: {WHY}"),
        ),
        // with another one that cannot be used either, and one that is skipped
        (
            "{ \"AzureAd\": { \"ClientCredentials\": { \"1\": { \"SourceType\": \"Certificate\" }, \
             \"2\": { \"SourceType\": \"ClientSecret\", \"Skip\": true } } } }",
            &[],
            format!("{place} (appsettings.json, line 6): {WHY}"),
        ),
    ] {
        let error = read_both(&named, over, variables).unwrap_err();
        assert!(error.starts_with(&begins), "{error}");
        let has_other = error.contains("and the other entry cannot be used either");
        assert_eq!(has_other, over.contains("Skip"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // what the page on Key Vault has for a pod without a managed identity
    let path = json!({ "AzureAd": { "ClientCredentials": [
        { "SourceType": "Path", "CertificateDiskPath": "/mnt/vault/app.pem" },
    ] } });
    let imported = read_both(&named, &path.to_string(), &[]).unwrap();
    assert_eq!(
        document(&imported)["certificates"],
        json!({ "AzureAd-0": { "certificate_file": "/mnt/vault/app.pem" } })
    );
    Config::load(Some(&imported.document), &Environment::default()).unwrap();
}

#[test]
fn the_rest_of_a_list_is_used_where_an_entry_cannot_be() {
    let settings = section(&json!({ "SendX5C": true, "ClientCredentials": [
        { "SourceType": "StoreWithThumbprint", "CertificateThumbprint": "AB" },
        { "SourceType": "Path", "CertificateDiskPath": "app.pfx", "CertificatePassword": "hunter2" },
        { "SourceType": "SignedAssertionFilePath", "Skip": true },
        { "SourceType": "ClientSecret", "ClientSecret": "hunter2", "UseBoundCredential": true },
    ], "ClientSecret": "hunter2" }));
    let (identity, imported) = identity(&settings);
    assert_eq!(
        identity["credential"],
        json!([
            { "certificate": { "name": "AzureAd-0", "send_x5c": true } },
            { "client_secret": { "env": "AzureAd__ClientCredentials__3__ClientSecret" } },
        ])
    );
    assert_eq!(
        document(&imported)["certificates"],
        json!({ "AzureAd-0": {
            "certificate_file": "/app/app.pfx",
            "password_env": "AzureAd__ClientCredentials__1__CertificatePassword",
        } })
    );
    let environment = imported.environment(Environment::default());
    assert_eq!(
        environment.get("AzureAd__ClientCredentials__1__CertificatePassword"),
        Some("hunter2")
    );
    let [older, bound, store] = imported.notes.as_slice() else {
        panic!("{:?}", imported.notes);
    };
    assert!(
        store.starts_with(
            "AzureAd:ClientCredentials:0:SourceType (appsettings.json, line 1) is left out"
        ),
        "{store}"
    );
    assert!(
        bound.starts_with("AzureAd:ClientCredentials:3:UseBoundCredential")
            && bound.contains("ClientSecret"),
        "{bound}"
    );
    assert!(
        older.starts_with("AzureAd:ClientSecret")
            && older.contains("ClientCredentials goes before it"),
        "{older}"
    );
}

#[test]
fn authorities_are_as_microsofts_libraries_read_them() {
    let entra =
        |host: &str| json!({ "authority_host": format!("https://{host}"), "tenant_id": TENANT });
    let endpoint = |url: &str| json!({ "token_endpoint": url });
    let public = "login.microsoftonline.com";
    for (settings, expected) in [
        (json!({}), entra(public)),
        (
            json!({ "Instance": "https://login.microsoftonline.us" }),
            entra("login.microsoftonline.us"),
        ),
        (json!({ "Instance": null }), entra(public)),
        (
            json!({ "Instance": "https://contoso.ciamlogin.com/" }),
            entra("contoso.ciamlogin.com"),
        ),
        (
            json!({ "TenantId": "organizations", "AppHomeTenantId": TENANT }),
            entra(public),
        ),
        (
            json!({ "Instance": "", "TenantId": "", "Authority": format!("https://{public}/{TENANT}/v2.0") }),
            entra(public),
        ),
        (
            json!({ "Instance": null, "TenantId": null, "Authority": "https://contoso.ciamlogin.com/" }),
            json!({ "authority_host": "https://contoso.ciamlogin.com", "tenant_id": "contoso.onmicrosoft.com" }),
        ),
        (
            json!({
                "Instance": "https://fabrikam.b2clogin.com/tfp/", "Domain": "fabrikam.onmicrosoft.com",
                "SignUpSignInPolicyId": "b2c_1_susi",
            }),
            endpoint(
                "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/b2c_1_susi/oauth2/v2.0/token",
            ),
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_susi/v2.0",
            }),
            endpoint(
                "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_susi/oauth2/v2.0/token",
            ),
        ),
        (
            json!({ "Instance": null, "TenantId": null, "Authority": format!("https://{public}/{TENANT}/") }),
            entra(public),
        ),
        // a region's servers
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://westus2.login.microsoft.com/{TENANT}/v2.0"),
            }),
            entra("westus2.login.microsoft.com"),
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://contoso.ciamlogin.com/{TENANT}/v2.0/"),
            }),
            entra("contoso.ciamlogin.com"),
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": "https://login.microsoftonline.com/tfp/fabrikam.onmicrosoft.com/B2C_1_susi/v2.0",
            }),
            endpoint(
                "https://login.microsoftonline.com/tfp/fabrikam.onmicrosoft.com/B2C_1_susi/oauth2/v2.0/token",
            ),
        ),
        // what is in the paths of others is their own
        (
            json!({ "Instance": null, "TenantId": null, "Authority": "https://adfs.contoso.example/realms/one/v2.0" }),
            endpoint("https://adfs.contoso.example/realms/one/oauth2/v2.0/token"),
        ),
        (
            json!({ "Instance": "https://adfs.contoso.example/", "TenantId": "adfs" }),
            endpoint("https://adfs.contoso.example/adfs/oauth2/token"),
        ),
        (
            json!({ "Instance": "https://x.dsts.core.example/dstsv2/", "TenantId": "7a433bfc" }),
            endpoint("https://x.dsts.core.example/dstsv2/7a433bfc/oauth2/v2.0/token"),
        ),
    ] {
        let mut more = settings.clone();
        more["ClientCredentials"] = json!([{ "SourceType": "SignedAssertionFromManagedIdentity" }]);
        let (mut identity, imported) = identity(&section(&more));
        let own = "adfs.contoso.example,x.dsts.core.example";
        let environment = Environment::from_pairs([("EDGEPASS_AUTHORITY_HOSTS", own)]);
        Config::load(Some(&imported.document), &environment)
            .unwrap_or_else(|error| panic!("{error}: {}", *imported.document));
        let fields = identity.as_object_mut().unwrap();
        assert_eq!(fields.remove("client_id"), Some(json!(CLIENT)));
        fields.remove("credential");
        assert_eq!(identity, expected, "{settings}");
    }
    for (settings, parts) in [
        (
            json!({ "TenantId": "common" }),
            ["AzureAd:TenantId", "AppHomeTenantId"],
        ),
        (
            json!({ "TenantId": null }),
            ["AzureAd:TenantId", "AzureAd__TenantId"],
        ),
        (
            json!({ "ClientId": " " }),
            ["AzureAd:ClientId", "AzureAd__ClientId"],
        ),
        (
            json!({ "Instance": "login.microsoftonline.com" }),
            ["AzureAd:Instance (appsettings.json, line 1)", "https://"],
        ),
        (
            json!({ "Instance": null, "TenantId": null, "Authority": "https://idp.example/" }),
            ["AzureAd:Authority", "token_endpoint"],
        ),
        // Azure AD B2C issues tokens by a user flow alone
        (
            json!({ "Instance": "https://fabrikam.b2clogin.com/" }),
            [
                "AzureAd:SignUpSignInPolicyId (appsettings.json): is not set, and Instance",
                "such as B2C_1_signin",
            ],
        ),
        (
            json!({ "Instance": "https://fabrikam.b2clogin.com/tfp/", "Domain": "fabrikam.onmicrosoft.com" }),
            [
                "AzureAd:SignUpSignInPolicyId (appsettings.json): is not set",
                "set it to",
            ],
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/v2.0",
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): names no user flow",
                "TENANT/B2C_1_signin/v2.0",
            ],
        ),
        // a host of Microsoft's has a tenant in its path, and nothing else of an endpoint
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"),
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has more in its path than a tenant",
                "write it as https://login.microsoftonline.com/TENANT/v2.0",
            ],
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://Login.microsoftonline.us:443/{TENANT}/v2.0/.well-known/openid-configuration"),
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has more in its path than a tenant",
                "write it as https://login.microsoftonline.us:443/TENANT/v2.0",
            ],
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://westus2.login.microsoft.com/v2.0/{TENANT}"),
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has more in its path than a tenant",
                "write it as https://westus2.login.microsoft.com/TENANT/v2.0",
            ],
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": format!("https://contoso.ciamlogin.com/{TENANT}/v2.0?appid=x"),
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has more in its path than a tenant",
                "write it as https://contoso.ciamlogin.com/TENANT/v2.0",
            ],
        ),
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_susi/oauth2/v2.0/token",
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has more in its path than a tenant",
                "write it as https://fabrikam.b2clogin.com/TENANT/B2C_1_signin/v2.0",
            ],
        ),
        (
            json!({ "Instance": format!("https://login.microsoftonline.com/{TENANT}") }),
            [
                "AzureAd:Instance (appsettings.json, line 1): has more than a host",
                "write it as https://login.microsoftonline.com/, and the tenant as TenantId",
            ],
        ),
        (
            json!({ "Instance": "https://login.windows.net/tfp/common/", "TenantId": null }),
            [
                "AzureAd:Instance (appsettings.json, line 1): has more than a host",
                "write it as https://login.windows.net/, and the tenant as TenantId",
            ],
        ),
        (
            json!({ "Instance": "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0" }),
            [
                "AzureAd:Instance (appsettings.json, line 1): has more than a host",
                "write it as https://contoso.ciamlogin.com/, and the tenant as TenantId",
            ],
        ),
        // the tenant would be asked for at another cloud
        (
            json!({ "Instance": null, "Authority": "https://login.microsoftonline.us/x/v2.0" }),
            [
                "AzureAd:Instance (appsettings.json): is not set",
                "https://login.microsoftonline.us/",
            ],
        ),
    ] {
        let mut more = settings.clone();
        more["ClientCredentials"] = json!([{ "SourceType": "SignedAssertionFromManagedIdentity" }]);
        let error = read(&section(&more).to_string(), None, None, &[]).unwrap_err();
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{settings}: {error}"
        );
    }
}

#[test]
fn regions_and_what_has_no_effect() {
    for (region, variables, expected, notes) in [
        ("westeurope", &[][..], json!("westeurope"), 0),
        (
            "TryAutoDetect",
            &[("REGION_NAME", "West Europe")],
            json!("westeurope"),
            0,
        ),
        ("TryAutoDetect", &[], Value::Null, 1),
    ] {
        let settings = section(&json!({
            "AzureRegion": region,
            "ClientCredentials": [{ "SourceType": "SignedAssertionFromManagedIdentity" }],
        }));
        let imported = read(&settings.to_string(), None, None, variables).unwrap();
        assert_eq!(
            document(&imported)["identities"]["AzureAd"]["region"],
            expected
        );
        assert_eq!(imported.notes.len(), notes, "{:?}", imported.notes);
    }
    let (_, imported) = identity(&section(&json!({
        "ClientCredentials": [{ "SourceType": "SignedAssertionFromManagedIdentity" }],
        // of the signing in of people
        "CallbackPath": "/signin-oidc", "Domain": "contoso.example", "Audience": "api://x",
    })));
    assert_eq!(imported.notes, Vec::<String>::new());
}

#[test]
fn parameters_of_the_url_are_said_with_what_to_write() {
    let of_client = "AzureAd:ExtraQueryParameters (appsettings.json) is not used: nothing is added";
    let of_api = "DownstreamApis:a:AcquireTokenOptions:ExtraQueryParameters (appsettings.json) is not used: ";
    let entra = |host: &str, query: &str| {
        format!(
            "\"token_endpoint\": \"https://{host}/TENANT/oauth2/v2.0/token?{query}\" in the place of"
        )
    };
    let public = "login.microsoftonline.com";
    for (client, options, expected) in [
        (
            json!({ "ExtraQueryParameters": { "dc": "hunter2" } }),
            json!({}),
            vec![(of_client, entra(public, "dc=…"))],
        ),
        (
            json!({ "ExtraQueryParameters": { "slice": "hunter2", "dc": "hunter2" } }),
            json!({ "ExtraQueryParameters": { "x": "hunter2" } }),
            vec![
                (of_client, entra(public, "dc=…&slice=…")),
                (of_api, entra(public, "x=…")),
            ],
        ),
        (
            json!({ "Instance": "https://login.microsoftonline.us/" }),
            json!({ "ExtraQueryParameters": { "d c": "hunter2" } }),
            vec![(of_api, entra("login.microsoftonline.us", "…"))],
        ),
        (
            json!({
                "Instance": "https://fabrikam.b2clogin.com/", "Domain": "fabrikam.onmicrosoft.com",
                "SignUpSignInPolicyId": "b2c_1_susi", "ExtraQueryParameters": "hunter2",
            }),
            json!({}),
            vec![(of_client, "?… at the end of its token_endpoint".to_owned())],
        ),
        // a managed identity's request has none in .NET either
        (
            json!({ "ExtraQueryParameters": { "dc": "hunter2" } }),
            json!({ "ManagedIdentity": { "UserAssignedClientId": CLIENT }, "ExtraQueryParameters": { "x": "hunter2" } }),
            vec![(of_api, "by .NET neither".to_owned())],
        ),
    ] {
        let mut more = client.clone();
        more["ClientCredentials"] = json!([{ "SourceType": "SignedAssertionFilePath" }]);
        let mut settings = section(&more);
        settings["DownstreamApis"] = json!({ "a": {
            "Scopes": ["api://a/.default"], "AcquireTokenOptions": options,
        } });
        let imported = read(&settings.to_string(), None, None, &[]).unwrap();
        let notes = &imported.notes;
        assert_eq!(notes.len(), expected.len(), "{notes:?}");
        for (begins, has) in expected {
            let is_said = |note: &String| note.starts_with(begins) && note.contains(&has);
            assert!(notes.iter().any(is_said), "{begins} {has}: {notes:?}");
        }
        assert!(!format!("{notes:?}{}", *imported.document).contains("hunter2"));
    }
    // what it says to write is a configuration
    let written = json!({ "identities": { "AzureAd": {
        "token_endpoint": format!("https://{public}/{TENANT}/oauth2/v2.0/token?dc=x&slice=y"),
        "client_id": CLIENT, "credential": { "federated_token_file": { "path": "/run/token" } },
    } } });
    Config::load(Some(&written.to_string()), &Environment::default()).unwrap();
}

#[test]
fn capabilities_are_those_of_the_identity() {
    let none = Value::Null;
    let adfs = json!({ "Instance": "https://adfs.contoso.example/", "TenantId": "adfs" });
    for (more, variables, expected, note) in [
        (json!({}), &[][..], &none, None),
        (json!({ "ClientCapabilities": [] }), &[], &none, None),
        (
            json!({ "ClientCapabilities": ["cp1"] }),
            &[],
            &json!(["cp1"]),
            None,
        ),
        (
            json!({ "clientcapabilities": ["cp1", "", "cp2"] }),
            &[],
            &json!(["cp1", "cp2"]),
            None,
        ),
        (
            json!({ "ClientCapabilities": ["cp2"] }),
            &[("AzureAd__ClientCapabilities__0", "cp1")],
            &json!(["cp1"]),
            None,
        ),
        (
            json!({}),
            &[("AzureAd__ClientCapabilities__0", "cp1")],
            &json!(["cp1"]),
            None,
        ),
        (
            json!({ "ClientCapabilities": "cp1" }),
            &[],
            &none,
            Some("AzureAd:ClientCapabilities (appsettings.json, line 1) is not used: it is a list"),
        ),
        (
            json!({ "ClientCapabilities": ["cp1"], "Instance": adfs["Instance"], "TenantId": adfs["TenantId"] }),
            &[],
            &none,
            Some("AzureAd:ClientCapabilities (appsettings.json) is not used: only Entra ID"),
        ),
    ] {
        let mut settings = section(&json!({
            "ClientCredentials": [{ "SourceType": "SignedAssertionFromManagedIdentity" }],
        }));
        for (name, value) in more.as_object().unwrap() {
            settings["AzureAd"][name] = value.clone();
        }
        let imported = read(&settings.to_string(), None, None, variables).unwrap();
        let document = document(&imported);
        let found = &document["identities"]["AzureAd"]["client_capabilities"];
        assert_eq!(found, expected, "{more}");
        let notes: Vec<&str> = imported.notes.iter().map(String::as_str).collect();
        match note {
            None => assert!(notes.is_empty(), "{more}: {notes:?}"),
            Some(note) => assert!(
                notes.len() == 1 && notes[0].starts_with(note),
                "{more}: {notes:?}"
            ),
        }
        if note.is_none() {
            let environment = Environment::from_pairs(variables.iter().copied());
            Config::load(Some(&imported.document), &environment).unwrap();
        }
    }
}

#[test]
fn one_entry_is_no_list() {
    for list in ["ClientCredentials", "ClientCertificates"] {
        let settings = section(&json!({ list: { "sourcetype": "SignedAssertionFilePath" } }));
        let error = read(&settings.to_string(), None, None, &[]).unwrap_err();
        let place = format!("AzureAd:{list}:sourcetype (appsettings.json, line 1)");
        assert!(
            error.starts_with(&place) && error.contains("is a list"),
            "{error}"
        );
    }
}

#[test]
fn what_came_before_lists_is_read() {
    let (secret, _) = identity(&section(&json!({ "ClientSecret": "hunter2" })));
    assert_eq!(
        secret["credential"],
        json!({ "client_secret": { "env": "AzureAd__ClientSecret" } })
    );
    let (certificates, _) = identity(&section(&json!({
        "ClientCredentialsUsingManagedIdentity": { "IsEnabled": false },
        "ClientCertificates": [{ "SourceType": "Path", "CertificateDiskPath": "/c.pfx" }],
    })));
    assert_eq!(
        certificates["credential"],
        json!({ "certificate": { "name": "AzureAd-0" } })
    );
    let (managed, _) = identity(&section(&json!({
        "ClientCredentialsUsingManagedIdentity": { "IsEnabled": true, "ManagedIdentityClientId": CLIENT },
    })));
    assert_eq!(
        managed["credential"],
        json!({ "managed_identity_assertion": { "client_id": CLIENT } })
    );
}

#[test]
fn another_clients_token_is_an_assertion() {
    let outer = json!({ "ClientCredentials": [{
        "SourceType": "CustomSignedAssertion", "CustomSignedAssertionProviderName": "OidcIdpSignedAssertion",
        "CustomSignedAssertionProviderData": { "ConfigurationSection": "Inner" },
    }] });
    let with = |inner: Value| {
        let mut settings = section(&outer);
        settings["Inner"] = inner;
        settings
    };
    let (found, imported) = identity(&with(json!({
        "Instance": "https://login.microsoftonline.com/", "TenantId": "fabrikam.example", "ClientId": "inner",
        "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "/c.pfx", "UseBoundCredential": true },
            { "SourceType": "ClientSecret", "ClientSecret": "hunter2" },
        ],
    })));
    assert_eq!(
        found["credential"],
        json!({ "oidc_federation": {
            "authority_host": "https://login.microsoftonline.com", "tenant_id": "fabrikam.example",
            "client_id": "inner",
            "credential": { "client_secret": { "env": "Inner__ClientCredentials__1__ClientSecret" } },
        } })
    );
    let environment = imported.environment(Environment::default());
    Config::load(Some(&imported.document), &environment).unwrap();
    // what the engine says of the inner one is said of the inner section
    let (_, imported) = identity(&with(json!({
        "TenantId": "fabrikam..example", "ClientId": "inner", "ClientSecret": "hunter2",
    })));
    let environment = imported.environment(Environment::default());
    let error = Config::load(Some(&imported.document), &environment).unwrap_err();
    let error = imported.explain(error).to_string();
    assert!(
        error.starts_with("Inner:TenantId (appsettings.json, line 1): "),
        "{error}"
    );
    // one that cannot be used is none, and the rest of the list is
    let store = json!([{ "SourceType": "StoreWithThumbprint" }, { "SourceType": "Certificate" }]);
    let mut settings =
        with(json!({ "TenantId": TENANT, "ClientId": "inner", "ClientCredentials": store }));
    let error = read(&settings.to_string(), None, None, &[]).unwrap_err();
    let parts = [
        "AzureAd:ClientCredentials:0:SourceType",
        "is proved by Inner:ClientCredentials:0:SourceType",
        "which is Windows', and the other entry cannot be used either",
    ];
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let list = settings["AzureAd"]["ClientCredentials"]
        .as_array_mut()
        .unwrap();
    list.push(json!({ "SourceType": "SignedAssertionFromManagedIdentity" }));
    let (rest, imported) = identity(&settings);
    assert_eq!(
        rest["credential"],
        json!({ "managed_identity_assertion": {} })
    );
    assert!(
        imported.notes[0].contains("is left out: it is proved by Inner"),
        "{:?}",
        imported.notes
    );
    for (inner, part) in [
        (
            json!({ "TenantId": TENANT, "ClientId": "inner", "ClientCredentials": outer["ClientCredentials"] }),
            "in turn",
        ),
        (
            json!({ "TenantId": TENANT, "ClientId": "inner" }),
            "Inner:ClientCredentials",
        ),
        (json!({ "TenantId": TENANT }), "Inner:ClientId"),
        (json!({}), "which is not there"),
    ] {
        let error = read(&with(inner).to_string(), None, None, &[]).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_file_is_json_as_dotnet_takes_it() {
    let text = "\u{feff}// a comment\n{ /* another */\n  \"AzureAd:Instance\": \"https://login.microsoftonline.us/\",\n  \
                \"azuread\": {\n    \"TENANTID\": \"contoso.example\",\n    \"ClientId\": \"c\",\n    \
                \"ClientCredentials\": [ { \"SourceType\": \"SignedAssertionFilePath\", }, ],\n  },\n}\n";
    let imported = read(text, None, None, &[]).unwrap();
    assert_eq!(
        document(&imported)["identities"]["AzureAd"],
        json!({
            "authority_host": "https://login.microsoftonline.us", "tenant_id": "contoso.example", "client_id": "c",
            "credential": { "federated_token_file": { "path": "/var/run/secrets/azure/tokens/azure-identity-token" } },
        })
    );
    for (text, parts) in [
        ("", ["appsettings.json", "JSON object"]),
        ("[]", ["appsettings.json", "JSON object"]),
        ("{ \"AzureAd\": ", ["not JSON", "line 1"]),
        ("{\n 'AzureAd': 1 }", ["not JSON", "line 2"]),
        (
            "{\n \"AzureAd\": { \"ClientId\": \"hunter2\" \"TenantId\": 1 } }",
            ["not JSON", "line 2"],
        ),
        ("{ AzureAd: 1 }", ["not JSON", "line 1"]),
        ("{ \"a\": 1 } { }", ["not JSON", "line 1"]),
        (
            "{ \"AzureAd\": { \"ClientId\": \"x\",\n\"clientid\": \"y\" } }",
            [
                "AzureAd:clientid (appsettings.json, line 2)",
                "twice: AzureAd:ClientId (appsettings.json, line 1)",
            ],
        ),
        (
            "{ \"Other\": { \"ClientId\": \"x\" } }",
            ["no section `AzureAd`", "name its section: `Other`"],
        ),
        (
            "{ \"Logging\": { \"x\": 1 } }",
            ["no section `AzureAd`", "has ClientId"],
        ),
    ] {
        let error = read(text, None, None, &[]).unwrap_err();
        assert!(
            parts.iter().all(|part| error.contains(part)),
            "{text}: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    assert!(read(&deep, None, None, &[]).is_err());
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(20_000));
    assert!(
        read(&many, None, None, &[])
            .unwrap_err()
            .contains("more than 10000 settings")
    );
    let long = format!("{{\"{}\":1}}", "a".repeat(2000));
    assert!(
        read(&long, None, None, &[])
            .unwrap_err()
            .contains("longer than 1024")
    );
}

#[test]
fn variables_go_before_the_file() {
    let settings = section(&json!({ "ClientCredentials": [
        { "SourceType": "ClientSecret", "ClientSecret": "hunter2" },
    ] }));
    let variables = [
        ("AzureAd__TenantId", "contoso.example"),
        ("AZUREAD__CLIENTID", "other"),
        ("AzureAd__Instance", " "),
        (
            "azuread__clientcredentials__0__sourcetype",
            "SignedAssertionFilePath",
        ),
        ("AZURE_FEDERATED_TOKEN_FILE", "/run/token"),
        ("AzureAd:ClientCredentials:1:SourceType", "ClientSecret"),
        ("AzureAd__ClientCredentials__1__ClientSecret", "hunter3"),
    ];
    let imported = read(&settings.to_string(), None, None, &variables).unwrap();
    assert_eq!(
        document(&imported)["identities"]["AzureAd"],
        json!({
            "authority_host": "https://login.microsoftonline.com", "tenant_id": "contoso.example",
            "client_id": "other",
            "credential": [
                { "federated_token_file": {} },
                { "client_secret": { "env": "AzureAd__ClientCredentials__1__ClientSecret" } },
            ],
        })
    );
    // a program's settings may be variables alone
    let all = [
        ("AzureAd__TenantId", "contoso.example"),
        ("AzureAd__ClientId", "c"),
        (
            "AzureAd__ClientCredentials__10__SourceType",
            "SignedAssertionFromManagedIdentity",
        ),
        (
            "AzureAd__ClientCredentials__2__SourceType",
            "SignedAssertionFilePath",
        ),
    ];
    let imported = read("{}", None, None, &all).unwrap();
    let credential = &document(&imported)["identities"]["AzureAd"]["credential"];
    let kinds: Vec<_> = credential
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|c| c.as_object().unwrap().keys())
        .collect();
    assert_eq!(
        kinds,
        ["federated_token_file", "managed_identity_assertion"]
    );
    // what is none of these sections is nothing to them
    let others = [("OTHER__A", "a"), ("other__a", "b")];
    read(&settings.to_string(), None, None, &others).unwrap();
    let twice = [("AzureAd__ClientId", "a"), ("AZUREAD__CLIENTID", "b")];
    let error = read(&settings.to_string(), None, None, &twice).unwrap_err();
    assert!(
        error.contains("AzureAd__ClientId") && error.contains("AZUREAD__CLIENTID"),
        "{error}"
    );
    // an error is about the variable
    let wrong = [("AzureAd__ClientCredentials__0__SourceType", "Secret")];
    let error = read(&settings.to_string(), None, None, &wrong).unwrap_err();
    assert!(
        error.starts_with("AzureAd__ClientCredentials__0__SourceType: "),
        "{error}"
    );
}

#[test]
fn the_file_of_the_environment_is_named_as_dotnet_names_it() {
    let dotnet = "DOTNET_ENVIRONMENT";
    let aspnet = "ASPNETCORE_ENVIRONMENT";
    for (path, variables, expected) in [
        (
            "/app/appsettings.json",
            &[][..],
            Ok(Some("/app/appsettings.Production.json")),
        ),
        (
            "appsettings.json",
            &[],
            Ok(Some("appsettings.Production.json")),
        ),
        (
            "appsettings.json",
            &[(dotnet, " "), (aspnet, "")],
            Ok(Some("appsettings.Production.json")),
        ),
        (
            "appsettings.json",
            &[(aspnet, "Staging")],
            Ok(Some("appsettings.Staging.json")),
        ),
        (
            "appsettings.json",
            &[(dotnet, "Staging")],
            Ok(Some("appsettings.Staging.json")),
        ),
        (
            "appsettings.json",
            &[(aspnet, "Staging"), (dotnet, "eu.west")],
            Ok(Some("appsettings.eu.west.json")),
        ),
        // which letters are large counts where files are
        (
            "appsettings.json",
            &[(dotnet, "production")],
            Ok(Some("appsettings.production.json")),
        ),
        (
            "/app/AppSettings.json",
            &[],
            Ok(Some("/app/AppSettings.Production.json")),
        ),
        ("appsettings.Development.json", &[], Ok(None)),
        ("/app/settings.json", &[(dotnet, "../x")], Ok(None)),
        ("/appsettings.json/other", &[], Ok(None)),
        ("-", &[], Ok(None)),
        ("..", &[], Ok(None)),
        ("", &[], Ok(None)),
        (
            "appsettings.json",
            &[(dotnet, "../../etc/x")],
            Err("DOTNET_ENVIRONMENT: "),
        ),
        (
            "appsettings.json",
            &[(aspnet, "a\\b")],
            Err("ASPNETCORE_ENVIRONMENT: "),
        ),
        (
            "appsettings.json",
            &[(dotnet, "a\0b")],
            Err("DOTNET_ENVIRONMENT: "),
        ),
    ] {
        let environment = Environment::from_pairs(variables.iter().copied());
        let over = appsettings::over(Path::new(path), &environment);
        match (over.map_err(|error| error.to_string()), expected) {
            (Ok(over), Ok(expected)) => {
                assert_eq!(
                    over.as_deref(),
                    expected.map(Path::new),
                    "{path} {variables:?}"
                );
            }
            (Err(error), Err(part)) => {
                assert!(
                    error.starts_with(part) && error.contains("such as Production"),
                    "{error}"
                );
            }
            (over, expected) => panic!("{path} {variables:?}: {over:?}, not {expected:?}"),
        }
    }
}

/// What .NET's configuration does with two JSON files, one added after the other.
#[test]
fn the_file_of_the_environment_goes_over_the_other() {
    let both = json!([
        { "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": "/a" },
        { "SourceType": "SignedAssertionFromManagedIdentity" },
    ]);
    let below = json!({ "AzureAd": {
        "TenantId": "below.example", "ClientId": CLIENT, "AzureRegion": "westeurope", "ClientCredentials": both,
    } });
    let file = |path: &str| json!({ "federated_token_file": { "path": path } });
    let managed = json!({ "managed_identity_assertion": {} });
    let fields = |tenant: &str, credential: Value| {
        json!({
            "authority_host": "https://login.microsoftonline.com", "tenant_id": tenant, "client_id": CLIENT,
            "region": "westeurope", "credential": credential,
        })
    };
    for (over, variables, expected) in [
        (
            json!({}),
            &[][..],
            fields("below.example", json!([file("/a"), managed])),
        ),
        (
            json!({ "AzureAd": { "TenantId": "over.example" } }),
            &[],
            fields("over.example", json!([file("/a"), managed])),
        ),
        // whatever their case, and flat ones as well
        (
            json!({ "azuread": { "TENANTID": "over.example" } }),
            &[],
            fields("over.example", json!([file("/a"), managed])),
        ),
        (
            json!({ "AzureAd:TenantId": "over.example" }),
            &[],
            fields("over.example", json!([file("/a"), managed])),
        ),
        // a variable before both
        (
            json!({ "AzureAd": { "TenantId": "over.example" } }),
            &[("AzureAd__TenantId", "variable.example")],
            fields("variable.example", json!([file("/a"), managed])),
        ),
        // the entries of lists by their numbers, and in these by their names
        (
            json!({ "AzureAd": { "ClientCredentials": [{ "SignedAssertionFileDiskPath": "/b" }] } }),
            &[],
            fields("below.example", json!([file("/b"), managed])),
        ),
        (
            json!({ "AzureAd": { "ClientCredentials": [{ "Skip": true }] } }),
            &[],
            fields("below.example", managed.clone()),
        ),
        (
            json!({ "AzureAd": { "ClientCredentials": { "2": { "SourceType": "ClientSecret", "ClientSecret": "hunter2" } } } }),
            &[],
            fields(
                "below.example",
                json!([
                    file("/a"), managed, { "client_secret": { "env": "AzureAd__ClientCredentials__2__ClientSecret" } },
                ]),
            ),
        ),
        // an empty list takes nothing away
        (
            json!({ "AzureAd": { "ClientCredentials": [] } }),
            &[],
            fields("below.example", json!([file("/a"), managed])),
        ),
    ] {
        let imported = read_both(&below.to_string(), &over.to_string(), variables);
        let imported = imported.unwrap_or_else(|error| panic!("{over}: {error}"));
        assert_eq!(
            document(&imported)["identities"]["AzureAd"],
            expected,
            "{over}"
        );
        assert_eq!(imported.notes, Vec::<String>::new());
        assert_eq!(
            imported.source,
            "appsettings.json and appsettings.Production.json, section AzureAd"
        );
        let environment = imported.environment(Environment::default());
        Config::load(Some(&imported.document), &environment).unwrap();
    }
    // null and an empty text take a setting away
    for none in [json!(null), json!("")] {
        let over = json!({ "AzureAd": { "AzureRegion": none } });
        let imported = read_both(&below.to_string(), &over.to_string(), &[]).unwrap();
        assert_eq!(
            document(&imported)["identities"]["AzureAd"]["region"],
            Value::Null
        );
    }
    // a section may be in one of them alone
    let over = below.to_string();
    assert!(read_both("{}", &over, &[]).is_ok());
}

/// Each error says which of the files has the value, and the line there.
#[test]
fn of_two_files_errors_name_the_one_that_has_the_value() {
    let below = "{\n\"AzureAd\": {\n\"TenantId\": \"t\",\n\"ClientId\": \"c\",\n\"ClientCredentials\": [ {\n\
                 \"SourceType\": \"StoreWithThumbprint\"\n} ] } }";
    for (over, part) in [
        (
            "{}",
            "AzureAd:ClientCredentials:0:SourceType (appsettings.json, line 6)",
        ),
        (
            "{ \"AzureAd\": { \"ClientCredentials\": [\n{ \"SourceType\": \"Certificate\" } ] } }",
            "AzureAd:ClientCredentials:0:SourceType (appsettings.Production.json, line 2)",
        ),
        (
            "{ \"AzureAd\": {\n\"tenantId\": \"common\" } }",
            "AzureAd:tenantId (appsettings.Production.json, line 2)",
        ),
        (
            "{ \"AzureAd\": { \"ClientId\": null } }",
            "AzureAd:ClientId (appsettings.json and appsettings.Production.json): is not set",
        ),
        (
            "{ \"a\": hunter2 }",
            "appsettings.Production.json: not JSON",
        ),
        ("[]", "appsettings.Production.json: is no JSON object"),
        (
            "{ \"a\": \"hunter2\",\n\"A\": 1 }",
            "A (appsettings.Production.json, line 2): is there twice: a (appsettings.Production.json, line 1)",
        ),
    ] {
        let error = read_both(below, over, &[]).unwrap_err();
        assert!(error.contains(part), "{over}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    // what the engine refuses
    let imported = read_both(
        &section(&json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }] }))
            .to_string(),
        "{ \"AzureAd\":\n{ \"TenantId\": \"a..b\" } }",
        &[],
    )
    .unwrap();
    let error = Config::load(Some(&imported.document), &Environment::default()).unwrap_err();
    let error = imported.explain(error).to_string();
    let place = "AzureAd:TenantId (appsettings.Production.json, line 2): ";
    assert!(error.starts_with(place), "{error}");
}

#[test]
fn two_environments_are_said() {
    let settings =
        section(&json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }] }));
    let notes = |name: &str, variables: &[(&str, &str)]| {
        let text = settings.to_string();
        let environment = Environment::from_pairs(variables.iter().copied());
        let imported = appsettings::import(&file(&text, name), None, None, None, &environment);
        imported.unwrap().notes
    };
    let differ = [
        ("DOTNET_ENVIRONMENT", "Staging"),
        ("ASPNETCORE_ENVIRONMENT", "Production"),
    ];
    let said = notes("/app/appsettings.json", &differ);
    let [note] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(
        note.starts_with("ASPNETCORE_ENVIRONMENT is not used: DOTNET_ENVIRONMENT names another"),
        "{note}"
    );
    let same = [
        ("DOTNET_ENVIRONMENT", "Staging"),
        ("ASPNETCORE_ENVIRONMENT", "Staging"),
    ];
    for (name, variables) in [
        ("/app/appsettings.json", &same[..]),
        ("/app/appsettings.json", &differ[..1]),
        ("/app/appsettings.json", &differ[1..]),
        ("/app/settings.json", &differ),
        ("standard input", &differ),
    ] {
        assert_eq!(notes(name, variables), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_api_gives_the_scopes() {
    let mut settings = section(
        &json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFromManagedIdentity" }] }),
    );
    settings["Entra"] = settings["AzureAd"].clone();
    settings["Entra"]["TenantId"] = json!("contoso.example");
    settings["DownstreamApis"] = json!({
        "Graph": { "BaseUrl": "https://graph.microsoft.com/v1.0", "RequestAppToken": true,
            "Scopes": ["https://graph.microsoft.com/.default"] },
        "Text": { "Scopes": "api://one/.default", "AcquireTokenOptions": {
            "Tenant": "fabrikam.example", "AuthenticationOptionsName": "Entra" } },
        "People": { "Scopes": ["User.Read"], "RequestAppToken": false },
        "None": { "BaseUrl": "https://x.example" },
        "Managed": { "Scopes": ["https://vault.azure.net/.default"], "ProtocolScheme": "MTLS_POP",
            "AcquireTokenOptions": { "ManagedIdentity": { "UserAssignedClientId": CLIENT } } },
    });
    settings["Older"] = json!({ "Scopes": ["api://older/.default"] });
    let text = settings.to_string();
    let of = |api: &str, variables: &[(&str, &str)]| {
        let imported = read(&text, None, Some(api), variables).unwrap();
        let document = document(&imported);
        let identities = document["identities"].as_object().unwrap();
        let (name, identity) = identities.iter().next().unwrap();
        (name.clone(), identity.clone(), imported)
    };
    let (name, graph, imported) = of("graph", &[]);
    assert_eq!(
        (name.as_str(), &graph["scopes"]),
        ("AzureAd", &json!(["https://graph.microsoft.com/.default"]))
    );
    assert_eq!(
        imported.source,
        "appsettings.json, section AzureAd, API graph"
    );
    let (_, graph, _) = of(
        "Graph",
        &[("DownstreamApis__graph__Scopes__0", "api://other/.default")],
    );
    assert_eq!(graph["scopes"], json!(["api://other/.default"]));
    let (name, text_api, _) = of("Text", &[]);
    assert_eq!(
        (name.as_str(), &text_api["tenant_id"]),
        ("Entra", &json!("fabrikam.example"))
    );
    assert_eq!(text_api["scopes"], json!(["api://one/.default"]));
    let (_, older, _) = of("Older", &[]);
    assert_eq!(older["scopes"], json!(["api://older/.default"]));
    let (_, managed, imported) = of("Managed", &[]);
    assert_eq!(
        managed,
        json!({
            "credential": { "managed_identity": { "client_id": CLIENT } },
            "scopes": ["https://vault.azure.net/.default"],
        })
    );
    assert!(
        imported.notes[0].contains("ProtocolScheme"),
        "{:?}",
        imported.notes
    );
    for (api, parts) in [
        (
            "None",
            [
                "DownstreamApis:None:Scopes",
                "DownstreamApis__None__Scopes__0",
            ],
        ),
        (
            "Graf",
            [
                "DownstreamApis (appsettings.json): has no API `Graf`",
                "`Graph`",
            ],
        ),
    ] {
        let error = read(&text, None, Some(api), &[]).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    // those of users are for requests of users alone, in every form that they have
    for scopes in [
        json!(["User.Read"]),
        json!("User.Read Mail.Send"),
        json!(["api://x/access_as_user"]),
        json!(["https://graph.microsoft.com/User.Read", "offline_access"]),
        json!(["https://graph.microsoft.com/.default", "openid"]),
    ] {
        let mut settings = settings.clone();
        settings["DownstreamApis"]["People"]["Scopes"] = scopes.clone();
        let imported = read(&settings.to_string(), None, Some("People"), &[]).unwrap();
        assert!(
            document(&imported)["identities"]["AzureAd"]
                .get("scopes")
                .is_none()
        );
        let expected = match &scopes {
            Value::String(text) => text.clone(),
            list => {
                Vec::from_iter(list.as_array().unwrap().iter().filter_map(Value::as_str)).join(" ")
            }
        };
        assert_eq!(imported.scopes_of_users().join(" "), expected);
        let refused = imported.check_scopes_of_app().unwrap_err().to_string();
        assert!(
            refused.contains("DownstreamApis:People:Scopes") && refused.contains("people's tokens"),
            "{refused}"
        );
    }
    assert!(imported.scopes_of_users().is_empty() && imported.check_scopes_of_app().is_ok());
    // the only one need not be named
    assert!(
        document(&read(&text, None, None, &[]).unwrap())["identities"]["AzureAd"]
            .get("scopes")
            .is_none()
    );
    settings["DownstreamApis"] = json!({
        "Graph": { "Scopes": ["https://graph.microsoft.com/.default"] }, "People": { "Scopes": ["User.Read"] },
    });
    let imported = read(&settings.to_string(), None, None, &[]).unwrap();
    let only = document(&imported);
    assert_eq!(
        only["identities"]["AzureAd"]["scopes"],
        json!(["https://graph.microsoft.com/.default"])
    );
    // another section
    let imported = read(&settings.to_string(), Some("entra"), None, &[]).unwrap();
    assert_eq!(
        document(&imported)["identities"]["entra"]["tenant_id"],
        json!("contoso.example")
    );
}

#[test]
fn what_the_engine_refuses_is_said_of_the_setting() {
    let credentials = json!([{ "SourceType": "SignedAssertionFromManagedIdentity", "ManagedIdentityClientId": "x" }]);
    for (settings, place) in [
        (
            json!({ "TenantId": "a..b" }),
            "AzureAd:TenantId (appsettings.json, line 1): ",
        ),
        (
            json!({ "ClientId": "<your client>" }),
            "AzureAd:ClientId (appsettings.json, line 1): ",
        ),
        (
            json!({ "ClientCapabilities": ["cp1", "c p"] }),
            "AzureAd:ClientCapabilities:1 (appsettings.json, line 1): ",
        ),
        (
            json!({ "Instance": "https://login.example/" }),
            "AzureAd:Instance (appsettings.json, line 1): ",
        ),
        (
            json!({ "ClientCredentials": credentials }),
            "AzureAd:ClientCredentials:0:ManagedIdentityClientId (appsettings.json, line 1): ",
        ),
    ] {
        let mut more = settings.clone();
        if more.get("ClientCredentials").is_none() {
            more["ClientCredentials"] = json!([{ "SourceType": "SignedAssertionFilePath" }]);
        }
        let (_, imported) = identity(&section(&more));
        let environment = imported.environment(Environment::default());
        let error = Config::load(Some(&imported.document), &environment).unwrap_err();
        let error = imported.explain(error).to_string();
        assert!(error.starts_with(place), "{error}");
        // which is no setting of these
        assert!(!error.contains("authority_hosts"), "{error}");
        let is_of_the_host = place.contains("Instance");
        let names_variable = error.ends_with("add \"login.example\" to EDGEPASS_AUTHORITY_HOSTS");
        assert_eq!(names_variable, is_of_the_host, "{error}");
    }
}

/// Whatever is cut off or missing, there is an answer, and it repeats no value.
#[test]
fn nothing_is_repeated_of_a_file_that_is_broken_anywhere() {
    let settings = section(&json!({ "ClientCredentials": [
        { "SourceType": "ClientSecret", "ClientSecret": "hunter2" },
        { "SourceType": "Path", "CertificateDiskPath": "/é", "CertificatePassword": "hunter2" },
    ], "Authority": null, "SendX5C": true }));
    let text = format!("// é\n{settings:#}");
    for (at, _) in text.char_indices() {
        let (before, rest) = text.split_at(at);
        let mut after = rest.chars();
        after.next();
        for broken in [
            before.to_owned(),
            format!("{before}{}", after.as_str()),
            format!("{before}\\{rest}"),
        ] {
            for said in [
                read(&broken, None, None, &[]),
                read_both("{}", &broken, &[]),
                read_both(&broken, &text, &[]),
            ] {
                let said = match said {
                    Ok(imported) => format!("{}{:?}", *imported.document, imported.notes),
                    Err(error) => error,
                };
                assert!(!said.contains("hunter2"), "{said}");
            }
        }
    }
}
