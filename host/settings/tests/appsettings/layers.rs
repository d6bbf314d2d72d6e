//! The file as .NET takes it, the file of the environment, and variables.

use std::path::Path;

use edgepass_core::{Config, Environment};
use edgepass_settings::appsettings;
use serde_json::{Value, json};

use super::{CLIENT, document, file, identity, read, read_both, section};

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
