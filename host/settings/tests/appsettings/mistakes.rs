//! Settings that are not where they are looked for, and what is said of them.

use serde_json::{Value, json};

use super::{CLIENT, TENANT, read, section};

fn refused(settings: &Value, name: Option<&str>) -> String {
    let error = read(&settings.to_string(), name, None, &[]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[test]
fn a_section_that_is_not_there_is_looked_for() {
    let client = json!({ "TenantId": TENANT, "ClientId": CLIENT, "ClientSecret": "hunter2" });
    for (settings, section, part) in [
        (
            client.clone(),
            None,
            "ClientId (appsettings.json, line 1) is in no section: write \"AzureAd\": { … }",
        ),
        (
            json!({ "Auth": { "EntraExternalId": client } }),
            None,
            "name its section: `Auth:EntraExternalId`",
        ),
        (
            json!({ "AzureAd": client }),
            Some("Entra"),
            "name its section: `AzureAd`",
        ),
        (
            // another provider's is none where one has a tenant
            json!({ "Google": { "ClientId": "g" }, "Entra": client }),
            None,
            "name its section: `Entra`",
        ),
        (
            json!({ "Google": { "ClientId": "g" } }),
            None,
            "name its section: `Google`",
        ),
        (
            json!({ "One": client, "Two": client }),
            None,
            "`One` or `Two`",
        ),
        (
            json!({ "AzureKeyVault": {
                "Scopes": ["https://vault.azure.net/.default"],
                "AcquireTokenOptions": { "ManagedIdentity": { "UserAssignedClientId": CLIENT } },
            } }),
            None,
            "--api AzureKeyVault",
        ),
        (
            json!({ "Values": { "AzureAd:ClientId": CLIENT, "AzureAd:ClientSecret": "hunter2" } }),
            None,
            "Values:AzureAd:ClientId (appsettings.json, line 1) is a variable of the program's environment",
        ),
        (
            json!({ "Values": { "AzureAd__ClientId": CLIENT } }),
            None,
            "Values:AzureAd__ClientId (appsettings.json, line 1) is a variable",
        ),
        (
            json!({ "profiles": { "http": { "environmentVariables": { "AzureAd__ClientId": CLIENT } } } }),
            None,
            "is a variable of the program's environment",
        ),
        (
            json!({ "AzureAd--ClientId": CLIENT, "AzureAd--ClientSecret": "hunter2" }),
            None,
            "AzureAd--ClientId (appsettings.json, line 1) has the name of a secret in a Key Vault: in a file write `:`",
        ),
        (
            json!({ "Logging": {} }),
            None,
            "give the file that has ClientId",
        ),
        (
            json!({ "AzureAd": client }),
            Some(" "),
            "--section: is blank",
        ),
    ] {
        let error = refused(&settings, section);
        assert!(error.contains(part), "{settings}: {error}");
    }
}

#[test]
fn a_client_without_a_credential_is_told_what_is_there() {
    for (settings, parts) in [
        (
            json!({ "ClientSecret": "" }),
            [
                "AzureAd:ClientSecret (appsettings.json, line 1): is empty",
                "AzureAd__ClientSecret in the environment",
            ],
        ),
        (
            json!({}),
            [
                "AzureAd:ClientCredentials (appsettings.json): is not set; write one: { \"SourceType\": \"SignedAssertionFilePath\" }",
                "user secrets comes as AzureAd__ClientSecret",
            ],
        ),
        (
            // which takes no assertion of a workload
            json!({ "Instance": "https://fabrikam.b2clogin.com", "SignUpSignInPolicyId": "B2C_1_susi" }),
            [
                "AzureAd:ClientCredentials (appsettings.json): is not set; write one, { \"SourceType\": \"Path\"",
                "user secrets comes as AzureAd__ClientSecret",
            ],
        ),
    ] {
        let error = refused(&section(&settings), None);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn a_name_with_a_blank_around_it_is_said() {
    for (name, is_said) in [
        ("ClientSecret ", true),
        (" Authority", true),
        ("ClientSecret", false),
    ] {
        let settings = section(&json!({
            "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }], name: "hunter2",
        }));
        let notes = read(&settings.to_string(), None, None, &[])
            .unwrap()
            .notes
            .join("\n");
        assert_eq!(notes.contains("its name has a blank"), is_said, "{notes}");
        assert!(!notes.contains("hunter2"), "{notes}");
    }
    let mut other =
        section(&json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }] }));
    other["My Settings "] = json!({ "A ": "b" });
    assert_eq!(
        read(&other.to_string(), None, None, &[]).unwrap().notes,
        [""; 0]
    );
}
