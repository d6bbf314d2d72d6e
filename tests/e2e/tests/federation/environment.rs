//! What platforms set, and no configuration: each gives a token, by the library and by the command.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Environment, Provider};
use edgepass_e2e::{Command, GRAPH, Lab};
use edgepass_emulator::{App, Emulator, Platform, TokenService};
use serde_json::{Value, json};

use crate::{EXCHANGE, TRUSTING, claim, graph};

type Variables = Vec<(&'static str, String)>;

/// A platform: what it sets, the claim that says whose token comes of it, and what the log calls the credential.
struct On {
    name: &'static str,
    variables: Variables,
    whose: (&'static str, String),
    credential: &'static str,
}

fn lab(test: &str) -> Result<Lab> {
    let lab = Lab::of(test, Emulator::builder().metadata_port(0).token_proxy())?;
    for secret in lab.emulator.token_service_secrets() {
        lab.evidence.secret("what a platform is shown", &secret);
    }
    Ok(lab)
}

/// Where the emulator is, which on a machine of the real Entra ID nobody needs to say.
fn world(lab: &Lab) -> Variables {
    let mut usual = lab.emulator.env();
    usual.retain(|(name, _)| {
        [
            "AZURE_AUTHORITY_HOST",
            "EDGEPASS_AUTHORITY_HOSTS",
            "SSL_CERT_FILE",
        ]
        .contains(name)
    });
    usual
}

fn client(lab: &Lab, client_id: &str) -> Variables {
    vec![
        ("AZURE_TENANT_ID", lab.emulator.tenant().to_owned()),
        ("AZURE_CLIENT_ID", client_id.to_owned()),
    ]
}

fn platforms(lab: &Lab) -> Result<Vec<On>> {
    let emulator = &lab.emulator;
    let mut webhook = client(lab, emulator.client_id());
    webhook.push((
        "AZURE_FEDERATED_TOKEN_FILE",
        lab.files.token_file().display().to_string(),
    ));
    let pem = emulator.token_proxy_ca_pem().context("no proxy")?;
    let mut binding = webhook.clone();
    binding.extend(emulator.token_proxy_variables());
    binding.push((
        "AZURE_KUBERNETES_CA_FILE",
        lab.write("proxy.crt", pem)?.display().to_string(),
    ));
    let jobs = [TokenService::GitHub, TokenService::Pipelines];
    emulator.register_app(jobs.iter().fold(App::new(TRUSTING), |app, job| {
        app.federated(job.issuer(), job.subject(), EXCHANGE)
    }));
    let of_application = |id: &str| ("appid", id.to_owned());
    let of_job =
        |service, client: Variables| [client, emulator.token_service_variables(service)].concat();
    let connection = vec![
        ("AZURESUBSCRIPTION_TENANT_ID", emulator.tenant().to_owned()),
        ("AZURESUBSCRIPTION_CLIENT_ID", TRUSTING.to_owned()),
    ];
    let identities = emulator.managed_identities();
    let find = |is_assigned| {
        let mut found = identities.iter();
        found
            .find(|identity| identity.resource_id.is_some() == is_assigned)
            .context("no such identity")
    };
    let (own, assigned) = (find(false)?, find(true)?);
    let app_service = emulator.platform_env(Platform::AppService);
    let mut container_app = app_service.clone();
    container_app.push(("AZURE_CLIENT_ID", assigned.client_id.clone()));
    let machine = vec![(
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        lab.metadata_authority()?,
    )];
    let of_identity = |id: &str| ("oid", id.to_owned());
    let on = |name, variables, whose, credential| On {
        name,
        variables,
        whose,
        credential,
    };
    let pod = of_application(emulator.client_id());
    let job = of_application(TRUSTING);
    Ok(vec![
        on("a pod", webhook, pod.clone(), "federated token file"),
        on(
            "a pod with an identity binding",
            binding,
            pod,
            "by the token proxy",
        ),
        on(
            "GitHub Actions",
            of_job(TokenService::GitHub, client(lab, TRUSTING)),
            job.clone(),
            "GitHub Actions identity token",
        ),
        on(
            "Azure Pipelines",
            of_job(TokenService::Pipelines, client(lab, TRUSTING)),
            job.clone(),
            "Azure Pipelines identity token",
        ),
        on(
            "a task of Azure Pipelines",
            of_job(TokenService::Pipelines, connection),
            job,
            "Azure Pipelines identity token",
        ),
        on(
            "App Service",
            app_service,
            of_identity(&own.object_id),
            "system-assigned managed identity of App Service",
        ),
        on(
            "a container app",
            container_app,
            of_identity(&assigned.object_id),
            "managed identity with client_id",
        ),
        on(
            "a virtual machine",
            machine,
            of_identity(&own.object_id),
            "system-assigned managed identity",
        ),
    ])
}

fn command<'l>(lab: &'l Lab, arguments: &[&str], variables: &Variables) -> Result<Command<'l>> {
    let mut command = lab.edgepass(arguments)?.bare();
    for (name, value) in world(lab).iter().chain(variables) {
        command = command.env(name, value.clone());
    }
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_platform_gives_a_token_and_nothing_is_configured() -> Result<()> {
    let lab = lab("federation_environment")?;
    for On {
        name,
        variables,
        whose: (what, id),
        credential,
    } in platforms(&lab)?
    {
        let all = [world(&lab), variables.clone()].concat();
        let provider = Provider::builder()
            .environment(Environment::from_pairs(all))
            .ca_file(lab.files.ca_file())
            .build()
            .await?;
        let token = provider.get_token(&graph()).await;
        let token = token.with_context(|| name)?;
        assert_eq!(claim(&lab.issued(&token), what)?, json!(id), "{name}");

        let ran = tokio::task::block_in_place(|| {
            command(&lab, &["token", "--scope", GRAPH, "-v"], &variables)?.run()
        })?;
        let printed = ran.token().with_context(|| name)?;
        let token = printed["access_token"].as_str().context(name)?;
        assert_eq!(claim(token, what)?, json!(id), "{name}");
        assert_eq!(printed["identity"], "default");
        ensure!(ran.stderr.contains(credential), "{name}: {}", ran.stderr);
        ensure!(
            ran.stderr.contains(": brought the token"),
            "{name}: {}",
            ran.stderr
        );
    }
    Ok(())
}

/// What platforms set only together, one by one left out: that one is named, and nobody is asked.
#[test]
fn a_platform_that_is_half_there_is_a_mistake() -> Result<()> {
    let lab = lab("federation_environment_half")?;
    let mut left_out = 0;
    for On {
        name, variables, ..
    } in platforms(&lab)?
    {
        for (missing, _) in &variables {
            let is_meant = missing.ends_with("_FILE") && !missing.contains("KUBERNETES")
                || missing.starts_with("ACTIONS_")
                || missing.starts_with("SYSTEM_")
                || missing.starts_with("IDENTITY_")
                || missing.starts_with("AZURESUBSCRIPTION_")
                || *missing == "AZURE_KUBERNETES_TOKEN_PROXY"
                || *missing == "AZURE_TENANT_ID";
            // with a client and nothing else it is a managed identity
            if !is_meant || name == "a pod" && missing.ends_with("_FILE") {
                continue;
            }
            let mut half = variables.clone();
            half.retain(|(name, _)| name != missing);
            let ran = command(&lab, &["token", "--scope", GRAPH], &half)?;
            let (code, error) = ran
                .run()?
                .error()
                .with_context(|| format!("{name} {missing}"))?;
            assert_eq!(
                (code, &error["class"]),
                (2, &json!("configuration")),
                "{error}"
            );
            let said = format!("{} {}", error["setting"], error["message"]);
            assert!(said.contains(missing), "{name} without {missing}: {said}");
            assert!(error["hint"].is_string(), "{error}");
            left_out += 1;
        }
    }
    assert!(left_out >= 15, "{left_out}");
    assert!(lab.emulator.journal().is_empty());
    Ok(())
}

/// Nothing is set, and nobody is at the metadata service's address, or somebody who says nothing.
#[test]
fn where_nothing_is_set_it_is_said_what_was_looked_for() -> Result<()> {
    let lab = Lab::new("federation_environment_nothing")?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    for (address, says) in [
        (
            "http://127.0.0.1:1".to_owned(),
            "no metadata service answers at 127.0.0.1:1",
        ),
        (
            format!("http://{}", silent.local_addr()?),
            "nobody has answered there",
        ),
    ] {
        let variables = vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", address)];
        let ran = command(&lab, &["token", "--scope", GRAPH], &variables)?;
        let (_, error) = ran.run()?.error()?;
        assert_eq!(error["class"], "credential-unavailable");
        assert_eq!(error["retryable"], false);
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{error}");
        let attempts = error["attempts"].as_array().context("none")?;
        let kinds: Vec<&Value> = attempts
            .iter()
            .map(|tried| &tried["credential"]["kind"])
            .collect();
        assert_eq!(
            kinds,
            [
                "client_secret",
                "certificate",
                "federated_token_file",
                "github_actions",
                "azure_pipelines"
            ]
        );
        let hint = error["hint"].as_str().unwrap_or_default();
        for name in ["AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "--config"] {
            assert!(hint.contains(name), "{hint}");
        }
    }
    Ok(())
}

/// Of a list the first hangs: what `--timeout` gives is shared, and the second has its part.
#[test]
fn a_list_shares_the_time_of_the_command() -> Result<()> {
    let lab = Lab::new("federation_environment_timeout")?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let config = lab.config(&json!([
        { "github_actions": {} },
        { "client_secret": { "value": lab.emulator.client_secret() } },
    ]));
    let port = silent.local_addr()?.port();
    let ran = lab
        .edgepass(&["token", "--scope", GRAPH, "--timeout", "10"])?
        .config(&config)?
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("https://localhost:{port}/?v=1"),
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
        .run()?;
    ran.token()?;
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}
