//! Who asks, and where: authorities, regions, capabilities and parameters.

use edgepass_core::{Config, Environment};
use serde_json::{Value, json};

use super::{CLIENT, TENANT, document, identity, read, section};

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
            json!({ "Instance": null, "TenantId": null, "Authority": format!("https://{TENANT}.ciamlogin.com/") }),
            entra(&format!("{TENANT}.ciamlogin.com")),
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
                "Instance": "https://fabrikam.b2clogin.com", "TenantId": null, "Domain": "fabrikam.onmicrosoft.com",
            }),
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
        // as templates of .NET once wrote it
        (
            json!({
                "Instance": null, "TenantId": null,
                "Authority": "https://fabrikam.b2clogin.comfabrikam.onmicrosoft.com/B2C_1_signin",
            }),
            [
                "AzureAd:Authority (appsettings.json, line 1): has no / behind its host",
                "write it as https://fabrikam.b2clogin.com/TENANT/v2.0",
            ],
        ),
        (
            json!({ "Instance": format!("https://login.microsoftonline.com{TENANT}") }),
            [
                "AzureAd:Instance (appsettings.json, line 1): has no / behind its host",
                "write it as https://login.microsoftonline.com/",
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
        // the host is the tenant's own, and is not guessed; the tenant's ID is not its name
        (
            json!({ "Instance": null, "SignUpSignInPolicyId": "B2C_1_susi" }),
            [
                "AzureAd:Instance (appsettings.json): is not set, and AzureAd:SignUpSignInPolicyId (appsettings.json, line 1)",
                "https://NAME.b2clogin.com/",
            ],
        ),
        (
            json!({ "Instance": "", "DefaultUserFlow": "B2C_1_susi", "Domain": "fabrikam.onmicrosoft.com" }),
            [
                "AzureAd:Instance (appsettings.json): is not set, and AzureAd:DefaultUserFlow",
                "https://NAME.b2clogin.com/",
            ],
        ),
        // what is beside it is said where it is not read
        (
            json!({
                "TenantId": null, "Authority": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            }),
            [
                "AzureAd:TenantId (appsettings.json): is not set; AzureAd:Authority (appsettings.json, line 1) is not read",
                "unset Instance if Authority is meant",
            ],
        ),
        (
            json!({
                "Instance": "https://fabrikam.b2clogin.com",
                "Authority": "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_susi/v2.0",
            }),
            [
                "host of Azure AD B2C; AzureAd:Authority (appsettings.json, line 1) is not read",
                "or unset Instance and TenantId if Authority names it",
            ],
        ),
        (
            json!({ "TenantId": null, "Tenant": "hunter2.example" }),
            [
                "AzureAd:TenantId (appsettings.json): is not set",
                "name it TenantId: AzureAd:Tenant (appsettings.json, line 1) is not read",
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

/// The clouds by the names and numbers that MSAL.NET has for them: what is not read is not left out in silence.
#[test]
fn clouds_by_their_names_lead_to_their_hosts() {
    for (key, value, expected) in [
        (
            "AzureCloudInstance",
            json!("AzureUsGovernment"),
            Some("https://login.microsoftonline.us/"),
        ),
        (
            "AzureCloudInstance",
            json!("azureusgovernment"),
            Some("https://login.microsoftonline.us/"),
        ),
        (
            "AzureCloudInstance",
            json!(4),
            Some("https://login.microsoftonline.us/"),
        ),
        (
            "AzureCloudInstance",
            json!("AzureChina"),
            Some("https://login.partner.microsoftonline.cn/"),
        ),
        (
            "AzureCloudInstance",
            json!(2),
            Some("https://login.partner.microsoftonline.cn/"),
        ),
        ("AzureCloudInstance", json!("AzurePublic"), None),
        ("AzureCloudInstance", json!(1), None),
        ("AzureCloudInstance", json!("None"), None),
        (
            "Instance",
            json!("AzureUsGovernment"),
            Some("https://login.microsoftonline.us/"),
        ),
        (
            "Instance",
            json!("AzureChina"),
            Some("https://login.partner.microsoftonline.cn/"),
        ),
        (
            "Instance",
            json!("AzurePublic"),
            Some("https://login.microsoftonline.com/"),
        ),
        (
            "Instance",
            json!("login.example"),
            Some("https://login.microsoftonline.com/"),
        ),
    ] {
        let mut settings = json!({ "AzureAd": {
            "TenantId": TENANT, "ClientId": CLIENT,
            "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }],
        } });
        settings["AzureAd"][key] = value.clone();
        let read = read(&settings.to_string(), None, None, &[]);
        match (read, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(host)) => {
                assert!(error.starts_with(&format!("AzureAd:{key} (")), "{error}");
                assert!(error.contains(host), "{key}={value}: {error}");
            }
            (read, _) => assert_eq!(read.err(), None, "{key}={value}"),
        }
    }
    // beside an Instance it says nothing
    let settings = json!({ "AzureAd": {
        "Instance": "https://login.microsoftonline.us/", "AzureCloudInstance": "AzureUsGovernment",
        "TenantId": TENANT, "ClientId": CLIENT,
        "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }],
    } });
    assert!(read(&settings.to_string(), None, None, &[]).is_ok());
}
