//! Certificates of a Key Vault.

use edgepass_core::{Config, Environment};
use serde_json::json;

use super::{CLIENT, TENANT, document, identity, read_both, section};

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
