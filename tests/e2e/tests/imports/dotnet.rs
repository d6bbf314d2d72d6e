//! Settings of .NET programs with Microsoft.Identity.Web.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass::TokenRequest;
use edgepass_e2e::GRAPH;
use edgepass_emulator::{App, JournalEntry, Mint};
use serde_json::{Value, json};

use super::{EXCHANGE, INNER, Settings, TRUSTING, lab, refused, section};

/// As Microsoft.Identity.Web's pages have them, written anew: each in a program with one API.
#[tokio::test]
async fn settings_of_dotnet_programs_give_tokens() -> Result<()> {
    let lab = lab("imports_appsettings")?;
    let certificate = lab.emulator.client_certificate();
    let both = format!(
        "{}{}",
        certificate.private_key_pem, certificate.certificate_pem
    );
    lab.write("both.pem", &both)?;
    lab.evidence
        .secret("certificate, base64", &STANDARD.encode(&both));
    let user = lab.user_assigned()?;
    let trusting =
        App::new(TRUSTING).federated(&lab.emulator.tenant_issuer(), &user.object_id, EXCHANGE);
    lab.emulator.register_app(trusting);
    let secret = lab.emulator.client_secret();
    let file = lab.files.token_file().display().to_string();
    let metadata = (
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        lab.metadata_authority()?,
    );
    let token_file = ("AZURE_FEDERATED_TOKEN_FILE", file.clone());
    let mtls = "mtlsauth.localhost";
    for (name, client, variables, proof, host) in [
        (
            "a secret in the list",
            json!({ "ClientCredentials": [
            { "SourceType": "ClientSecret", "ClientSecret": secret },
        ] }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a secret, as older programs have it",
            json!({ "ClientSecret": secret }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a secret by its variable",
            json!({ "ClientCredentials": [{ "SourceType": "ClientSecret" }] }),
            vec![(
                "AzureAd__ClientCredentials__0__ClientSecret",
                secret.to_owned(),
            )],
            Some("secret"),
            "",
        ),
        (
            "a certificate beside the program",
            json!({ "SendX5C": true, "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "both.pem" },
        ] }),
            vec![],
            Some("certificate"),
            "",
        ),
        (
            "a certificate in base64",
            json!({ "ClientCredentials": [
            { "SourceType": "Base64Encoded", "Base64EncodedValue": STANDARD.encode(&both) },
        ] }),
            vec![],
            Some("certificate"),
            "",
        ),
        (
            "a bound certificate",
            json!({ "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "both.pem", "UseBoundCredential": true },
        ] }),
            vec![],
            Some("bound-assertion"),
            mtls,
        ),
        (
            "a pod, by its variable",
            json!({ "ClientCredentials": [{ "SourceType": "SignedAssertionFilePath" }] }),
            vec![token_file.clone()],
            Some("federated"),
            "",
        ),
        (
            "a pod, by its path",
            json!({ "ClientCredentials": [
            { "SourceType": "SignedAssertionFilePath", "SignedAssertionFileDiskPath": file },
        ] }),
            vec![],
            Some("federated"),
            "",
        ),
        (
            "a managed identity that is trusted",
            json!({ "ClientId": TRUSTING, "ClientCredentials": [
            { "SourceType": "SignedAssertionFromManagedIdentity", "ManagedIdentityClientId": user.client_id },
        ] }),
            vec![metadata.clone()],
            Some("federated"),
            "",
        ),
        (
            "a list whose first entry is of Windows",
            json!({ "ClientCredentials": [
            { "SourceType": "StoreWithThumbprint", "CertificateStorePath": "CurrentUser/My", "CertificateThumbprint": "AB" },
            { "SourceType": "SignedAssertionFilePath" },
        ] }),
            vec![token_file.clone()],
            Some("federated"),
            "",
        ),
        (
            "a list whose first entry is not there",
            json!({ "ClientCredentials": [
            { "SourceType": "Path", "CertificateDiskPath": "none.pem" },
            { "SourceType": "ClientSecret", "ClientSecret": secret },
        ] }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "everything from variables",
            json!({ "TenantId": "", "ClientId": "" }),
            vec![
                ("AZUREAD__TENANTID", lab.emulator.tenant().to_owned()),
                ("AzureAd__ClientId", lab.emulator.client_id().to_owned()),
                (
                    "AzureAd__ClientCredentials__0__SourceType",
                    "SignedAssertionFilePath".to_owned(),
                ),
                token_file.clone(),
            ],
            Some("federated"),
            "",
        ),
        (
            "an authority",
            json!({
                "Instance": null, "TenantId": null, "ClientSecret": secret,
                "Authority": format!("{}/{}/v2.0", lab.emulator.authority(), lab.emulator.tenant()),
            }),
            vec![],
            Some("secret"),
            "",
        ),
        (
            "a user flow of B2C",
            json!({
                "Instance": lab.emulator.authority(), "Domain": "fabrikam.onmicrosoft.com",
                "SignUpSignInPolicyId": "b2c_1_susi", "ClientSecret": secret,
            }),
            vec![],
            Some("secret"),
            "",
        ),
    ] {
        let settings = json!({
            "AzureAd": section(&lab, &client),
            "DownstreamApis": { "MicrosoftGraph": {
                "BaseUrl": "https://graph.microsoft.com/v1.0/", "Scopes": [GRAPH], "RequestAppToken": true,
            } },
            "Logging": { "LogLevel": { "Default": "Information" } },
        });
        // as people write it
        let text = format!("\u{feff}// {name}\n{settings:#}").replace("\n}", ",\n}");
        let settings = Settings::appsettings(&lab, &text)?.with(variables);
        let requests = settings.token(&lab).await.context(name)?;
        let last = requests.last().context("a request")?;
        assert_eq!(last.status, Some(200), "{name}");
        assert_eq!(last.method_of_proof.as_deref(), proof, "{name}");
        assert_eq!(last.nonconforming, Vec::<String>::new(), "{name}");
        assert_eq!(last.field("scope").as_deref(), Some(GRAPH), "{name}");
        assert!(last.host.starts_with(host), "{name}: {}", last.host);
    }
    Ok(())
}

/// A client of another section proves the first one (Microsoft.Identity.Web.OidcFIC), and an API of a managed identity.
#[tokio::test]
async fn settings_with_more_than_one_client_give_tokens() -> Result<()> {
    let lab = lab("imports_appsettings_more")?;
    const SECRET: &str = "Xq7-inner+&=Zk2vW9pLmB4tR8sN";
    lab.evidence.secret("inner secret", SECRET);
    lab.emulator.register_app(App::new(INNER).secret(SECRET));
    let inner = section(
        &lab,
        &json!({
            "Instance": lab.emulator.authority(), "ClientId": INNER,
            "ClientCredentials": [{ "SourceType": "ClientSecret", "ClientSecret": SECRET }],
        }),
    );
    // what its token says of itself is what is trusted
    let alone = json!({ "AzureAd": inner }).to_string();
    let provider = Settings::appsettings(&lab, &alone)?
        .builder(&lab)
        .build()
        .await?;
    let exchange = format!("{EXCHANGE}/.default");
    let token = lab.issued(
        &provider
            .get_token(&TokenRequest::for_scopes([exchange]))
            .await?,
    );
    let claims = edgepass_core::inspect_jwt(&token).context("a JWT")?;
    let (issuer, subject) = (claims.iss.context("iss")?, claims.sub.context("sub")?);
    let audience = claims.aud.first().cloned().context("aud")?;
    lab.emulator
        .register_app(App::new(TRUSTING).federated(&issuer, &subject, &audience));
    let user = lab.user_assigned()?;
    let text = json!({
        "Entra": section(&lab, &json!({
            "Instance": lab.emulator.authority(), "ClientId": TRUSTING, "ClientCredentials": [{
                "SourceType": "CustomSignedAssertion", "CustomSignedAssertionProviderName": "OidcIdpSignedAssertion",
                "CustomSignedAssertionProviderData": { "ConfigurationSection": "Inner" },
            }],
        })),
        "Inner": inner,
        "DownstreamApis": { "vault": {
            "Scopes": [GRAPH], "AcquireTokenOptions": { "ManagedIdentity": { "UserAssignedClientId": user.client_id } },
        } },
    });
    let settings = Settings {
        section: Some("Entra"),
        scope: Some(GRAPH),
        ..Settings::appsettings(&lab, &text.to_string())?
    };
    // the API is a managed identity's, and is not meant here
    let text = text.to_string().replace("DownstreamApis", "Apis");
    let mut apart = settings.clone();
    apart.file = Settings::appsettings(&lab, &text)?.file;
    let requests = apart.token(&lab).await?;
    let clients: Vec<_> = requests
        .iter()
        .filter_map(|request| request.field("client_id"))
        .collect();
    assert_eq!(clients, [INNER, TRUSTING]);

    let text = text.replace("\"Apis\"", "\"DownstreamApis\"");
    let mut managed = Settings::appsettings(&lab, &text)?;
    managed.api = Some("vault");
    let metadata = lab.metadata_authority()?;
    let managed = managed.with([("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata)]);
    let requests = managed.token(&lab).await?;
    assert!(requests.iter().all(JournalEntry::is_metadata_request) && requests.len() == 1);
    let query = &requests[0].query;
    assert!(query.contains(&user.client_id), "{query}");
    Ok(())
}

/// Scopes of users are those of the grants of users and of the address where they sign in, and of no app.
#[test]
fn an_api_of_users_is_asked_for_its_users() -> Result<()> {
    const READ: &str = "https://graph.microsoft.com/User.Read";

    let lab = lab("imports_users")?;
    let own = "api://edgepass-demo/user_impersonation".to_owned();
    let settings = |scopes: Value| -> Result<Settings> {
        let secret = json!({ "ClientSecret": lab.emulator.client_secret() });
        let text = json!({
            "AzureAd": section(&lab, &secret),
            "DownstreamApis": { "Profile": { "Scopes": scopes } },
        });
        Ok(Settings {
            api: Some("Profile"),
            ..Settings::appsettings(&lab, &text.to_string())?
        })
    };
    let users_token = lab.emulator.user_token(
        lab.emulator.username(),
        &lab.emulator.own_resource(),
        &Mint::new(),
    )?;
    lab.evidence.secret("user's token", &users_token);
    let file = lab.write("users-token", users_token)?;
    let file = file.display().to_string();
    for (scopes, asked) in [
        (json!(["User.Read"]), "User.Read"),
        (json!("User.Read"), "User.Read"),
        (json!([READ]), READ),
        (json!([own]), own.as_str()),
    ] {
        lab.emulator.clear_journal();
        let settings = settings(scopes)?;
        let on_behalf_of = ["--grant", "on-behalf-of", "--assertion-file", &file];
        let command = settings.command(&lab, &[&["token"][..], &on_behalf_of].concat())?;
        command.run()?.token().context(asked.to_owned())?;
        let requests = lab.emulator.token_requests();
        let sent = requests.first().and_then(|sent| sent.field("scope"));
        assert_eq!(sent.as_deref(), Some(asked));

        let url = [
            "authorization-url",
            "--redirect-uri",
            "https://app.example/",
        ];
        let begun = settings.command(&lab, &url)?.run()?.token()?;
        let url = begun["url"].as_str().context("no URL")?;
        let encoded = asked.replace(':', "%3A").replace('/', "%2F");
        ensure!(url.contains(&format!("&scope={encoded}&")), "{url}");

        // the app itself has none of them, and one that it is told
        let command = settings.command(&lab, &["token", "--error-format", "json"])?;
        let (code, error) = command.run()?.error()?;
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(
            code == 2 && message.contains("DownstreamApis:Profile:Scopes"),
            "{error}"
        );
        settings
            .command(&lab, &["token", "--scope", GRAPH])?
            .run()?
            .token()?;
        let checked = settings.command(&lab, &["config", "check"])?.run()?;
        ensure!(
            checked.stdout.contains(asked),
            "{}{}",
            checked.stdout,
            checked.stderr
        );
    }
    Ok(())
}

/// As a program of .NET has it: by the name of its environment, which is Production if nothing says so.
#[tokio::test]
async fn the_file_of_the_environment_goes_over_the_other() -> Result<()> {
    let lab = lab("imports_environment")?;
    let below = json!({
        "AzureAd": section(&lab, &json!({ "ClientCredentials": [{ "SourceType": "StoreWithThumbprint" }] })),
        "DownstreamApis": { "graph": { "Scopes": [GRAPH] } },
    });
    let below = format!("{below:#}");
    let settings = Settings::appsettings(&lab, &below)?;
    let of_below = [
        "AzureAd:ClientCredentials:0:SourceType (",
        "appsettings.json, line ",
        "is a certificate of a certificate store",
    ];
    refused(&lab, &settings, &of_below)?;
    let over = json!({ "azuread": { "clientCredentials": [
        { "SourceType": "ClientSecret", "ClientSecret": lab.emulator.client_secret() },
    ] } });
    lab.write("appsettings.Production.json", over.to_string())?;
    lab.write("appsettings.Staging.json", over.to_string())?;
    lab.write("appsettings.Broken.json", "{\n\"AzureAd\": hunter2 }")?;
    let dotnet = |name: &str| ("DOTNET_ENVIRONMENT", name.to_owned());
    let aspnet = |name: &str| ("ASPNETCORE_ENVIRONMENT", name.to_owned());
    for (what, variables) in [
        ("nothing says so", vec![]),
        ("it says so", vec![dotnet("Production")]),
        ("of the web alone", vec![aspnet("Staging")]),
        (
            "the one before the other",
            vec![dotnet("Staging"), aspnet("Development")],
        ),
    ] {
        let settings = settings.clone().with(variables);
        let sent = settings.token(&lab).await.context(what)?;
        assert!(!sent.is_empty(), "{what}");
    }
    let ran = settings.command(&lab, &["-v", "token"])?.run()?;
    ran.token()?;
    let both = ran.stderr.contains("appsettings.json and ")
        && ran
            .stderr
            .contains("appsettings.Production.json, section AzureAd");
    assert!(both, "{}", ran.stderr);

    for (variables, says) in [
        // there is none, as in most programs
        (vec![dotnet("Development")], of_below),
        (vec![dotnet("Development"), aspnet("Production")], of_below),
        (
            vec![dotnet("Broken")],
            ["appsettings.Broken.json", "not JSON", "line 2"],
        ),
        (
            vec![dotnet("../Production")],
            [
                "DOTNET_ENVIRONMENT",
                "no name of an environment",
                "such as Production",
            ],
        ),
    ] {
        refused(&lab, &settings.clone().with(variables), &says)?;
    }
    // a file of another name, and standard input, are read alone
    let path = lab.write("settings.json", &below)?;
    let other = Settings {
        file: Some(("--appsettings", path)),
        ..Settings::default()
    };
    refused(
        &lab,
        &other,
        &["settings.json, line ", "certificate store", "Path"],
    )?;
    let piped = lab.edgepass(&["token", "--appsettings", "-"])?.bare();
    let ran = piped.input(&below).run()?;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("standard input, line "),
        "{}",
        ran.stderr
    );
    // one that cannot be read is no missing one
    std::fs::create_dir(
        lab.write("folder", "")?
            .with_file_name("appsettings.Folder.json"),
    )?;
    let folder = settings.with([dotnet("Folder")]);
    let (code, error) = folder
        .command(&lab, &["token", "--error-format", "json"])?
        .run()?
        .error()?;
    assert_eq!(code, 2);
    assert!(
        error.to_string().contains("appsettings.Folder.json"),
        "{error}"
    );
    let Err(error) = folder.builder(&lab).build_blocking() else {
        anyhow::bail!("a folder is taken for a file");
    };
    assert!(
        error.to_string().contains("appsettings.Folder.json"),
        "{error}"
    );
    Ok(())
}
