//! What is nearly a setting: a blank that nobody sees, a section that is not there, a list in the place of an object.

use edgepass_core::{Error, ErrorClass};
use serde_json::json;

use super::{CLIENT, TENANT, identity, read, section};

/// Microsoft.Identity.Web's own documentation has had one of these names with a blank at its end.
#[test]
fn a_blank_at_the_end_of_a_name_is_said() {
    for (entry, expected) in [
        (
            json!({ "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath ": "/run/token" }),
            Some(
                "AzureAd:ClientCredentials:0:SignedAssertionFileDiskPath  (appsettings.json, line 1)",
            ),
        ),
        (
            json!({ "SourceType": "SignedAssertionFilePath", " SignedAssertionFileDiskPath": "/run/token" }),
            Some(
                "AzureAd:ClientCredentials:0: SignedAssertionFileDiskPath (appsettings.json, line 1)",
            ),
        ),
        (
            json!({ "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": "/run/token " }),
            None,
        ),
    ] {
        let (_, imported) = identity(&section(&json!({ "ClientCredentials": [entry] })));
        let expected = expected.map(|from| {
            format!("{from} is not used: its name has a blank at its beginning or end")
        });
        assert_eq!(imported.notes, Vec::from_iter(expected));
    }
    let of_the_client = section(&json!({
        "AzureRegion ": "westus2", "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }],
    }));
    let (made, imported) = identity(&of_the_client);
    assert_eq!(made.get("region"), None);
    assert_eq!(
        imported.notes,
        [
            "AzureAd:AzureRegion  (appsettings.json, line 1) is not used: its name has a blank at its beginning or end"
        ]
    );
}

#[test]
fn settings_without_a_section_are_told_so() {
    for (settings, says) in [
        (
            json!({ "ClientId": CLIENT, "TenantId": TENANT, "ClientSecret": "hunter2" }),
            "ClientId (appsettings.json, line 1) is in no section: write \"AzureAd\": { … } around the client's settings",
        ),
        (
            json!({ "Entra": { "ClientId": CLIENT } }),
            "name its section: `Entra`",
        ),
        (
            json!({ "Logging": {} , "x": 1 }),
            "give the file that has ClientId, with --section where its section has another name",
        ),
    ] {
        let error = read(&settings.to_string(), None, None, &[]).unwrap_err();
        assert!(error.contains("has no section `AzureAd`"), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Whoever asks without a scope, and has two APIs to choose from, is told of both.
#[test]
fn apis_that_could_be_meant_are_named() {
    let api = json!({ "Scopes": ["api://one/.default"] });
    let of_users = json!({ "Scopes": ["User.Read"] });
    for (apis, says) in [
        (
            json!({ "One": api, "Two": api, "Graph": of_users }),
            "or name an API that has Scopes: `One` or `Two`",
        ),
        (json!({}), "or name an API that has Scopes"),
    ] {
        let mut settings = section(&json!({ "ClientSecret": "s" }));
        settings["DownstreamApis"] = apis;
        let imported = read(&settings.to_string(), None, None, &[]).unwrap();
        let hint = "name a scope, or set the identity's scopes";
        let error = Error::new(ErrorClass::InvalidRequest, "no scopes").hint(hint);
        let said = imported
            .names()
            .explain(error)
            .detail()
            .hint
            .clone()
            .unwrap();
        assert_eq!(said.split_once(", ").unwrap().1, says);
    }
}

#[test]
fn apis_have_names() {
    let api = json!({ "Scopes": ["api://one/.default"] });
    for (apis, says) in [
        (
            json!([api, api]),
            "it is a list: write an object of APIs by their names, \"DownstreamApis\": { \"NAME\": { \"Scopes\": [ … ] } }",
        ),
        (
            json!({ "One": api, "Two": api }),
            "name one of: `One`, `Two`",
        ),
        (json!({}), "write it under DownstreamApis, with its Scopes"),
    ] {
        let mut settings = section(&json!({ "ClientSecret": "s" }));
        settings["DownstreamApis"] = apis;
        let error = read(&settings.to_string(), None, Some("Three"), &[]).unwrap_err();
        assert!(error.contains("has no API `Three`"), "{error}");
        assert!(error.contains(says), "{error}");
    }
}
