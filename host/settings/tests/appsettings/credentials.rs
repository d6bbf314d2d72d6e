//! Credentials by their `SourceType`, in lists and before there were lists.

use edgepass_core::{Config, Environment};
use serde_json::{Value, json};

use super::{CLIENT, TENANT, document, identity, read, read_both, section};

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

/// The order of `MergedOptions.ComputeFromLegacyClientCredentials`: an old secret that was left there is the last.
#[test]
fn of_what_came_before_lists_the_secret_is_the_last() {
    let secret = json!({ "client_secret": { "env": "AzureAd__ClientSecret" } });
    let certificate = json!({ "certificate": { "name": "AzureAd-0" } });
    let managed = json!({ "managed_identity_assertion": {} });
    let files = json!([{ "SourceType": "Path", "CertificateDiskPath": "/c.pfx" }]);
    let enabled = json!({ "IsEnabled": true });
    for (settings, expected) in [
        (
            json!({ "ClientSecret": "hunter2", "ClientCertificates": files }),
            json!([certificate, secret]),
        ),
        (
            json!({
                "ClientSecret": "hunter2", "ClientCertificates": files,
                "ClientCredentialsUsingManagedIdentity": enabled,
            }),
            json!([managed, certificate, secret]),
        ),
        (
            json!({ "ClientSecret": "hunter2", "ClientCredentialsUsingManagedIdentity": enabled }),
            json!([managed, secret]),
        ),
        (
            json!({ "ClientSecret": "hunter2", "ClientCertificates": [] }),
            secret,
        ),
    ] {
        let (identity, _) = identity(&section(&settings));
        assert_eq!(identity["credential"], expected, "{settings}");
    }
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
