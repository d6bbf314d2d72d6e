//! What `DownstreamApis` say of scopes.

use serde_json::{Value, json};

use super::{CLIENT, document, read, section};

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
