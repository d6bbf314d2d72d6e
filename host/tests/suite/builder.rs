//! How a program comes to a provider: by a file, by its own environment, on the wrong runtime, without any.

use std::process::Command;
use std::time::Duration;

use edgepass::{Builder, Environment, Provider, TokenRequest, TokenSource};
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

fn token_file(lab: &Lab) -> serde_json::Value {
    json!({ "federated_token_file": { "path": lab.files.token_file() } })
}

#[tokio::test]
async fn a_configuration_file_is_read_when_the_provider_is_built() {
    let lab = Lab::new();
    let config = lab.config(&token_file(&lab)).to_string();
    for text in [config.clone(), format!("\u{feff}{config}\n")] {
        let path = lab.write("edgepass.json", text);
        let builder = Provider::builder()
            .config_file(&path)
            .ca_file(lab.files.ca_file());
        std::fs::write(&path, &config).unwrap();
        let provider = builder.build().await.unwrap();
        let token = provider.get_token(&graph()).await.unwrap();
        assert!(token.expires_in() > Duration::from_secs(60));
        assert!(token.expires_at() > token.refresh_at());
    }
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_named_with_the_remedy() {
    let lab = Lab::new();
    let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, content, says) in [
        (
            "missing.json",
            None,
            "cannot be read: there is no such file; check the path",
        ),
        (
            "utf16.json",
            Some(utf_16),
            "is UTF-16, and not UTF-8 text; write it as UTF-8",
        ),
        (
            "latin1.json",
            Some(b"{\"\xe9\":1}".to_vec()),
            "is not UTF-8 text; write it as UTF-8",
        ),
        (
            "large.json",
            Some(vec![b' '; (1 << 20) + 1]),
            "cannot be read: it is larger than 1 MiB; name the file that is meant",
        ),
    ] {
        let path = lab.root().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let built = Provider::builder().config_file(&path).build().await;
        let said = format!("{:#}", built.unwrap_err());
        let expected = format!("configuration: {} {says}", path.display());
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[tokio::test]
async fn a_configuration_may_be_yaml_or_toml() {
    let lab = Lab::new();
    let config = lab.config(&token_file(&lab));
    // JSON is YAML, and so is this
    let yaml = format!("# ours\n{}", serde_json::to_string_pretty(&config).unwrap());
    let app = &config["identities"]["app"];
    let file = &app["credential"]["federated_token_file"]["path"];
    let toml = format!(
        "authority_hosts = {}\n[identities.app]\ntenant_id = {}\nclient_id = {}\nauthority_host = {}\n\
         credential.federated_token_file.path = {file}\n",
        config["authority_hosts"], app["tenant_id"], app["client_id"], app["authority_host"],
    );
    let (as_yaml, as_toml) = (lab.write("a.yaml", &yaml), lab.write("a.toml", &toml));
    for builder in [
        Provider::builder().config_yaml(yaml),
        Provider::builder().config_toml(toml),
        Provider::builder().config_file(as_yaml),
        Provider::builder().config_file(as_toml),
    ] {
        let provider = builder.ca_file(lab.files.ca_file()).build().await.unwrap();
        let token = provider.get_token(&graph()).await.unwrap();
        assert!(token.expires_in() > Duration::from_secs(60));
    }
}

#[tokio::test]
async fn errors_of_a_configuration_have_their_place() {
    let lab = Lab::new();
    let yaml = "identities:\n  app:\n    tenant_id: t\n    client_id: 5\n";
    let toml = "[identities.app]\ntenant_id = \"t\"\nclientId = \"c\"\n";
    let json = "{\"identities\": {\n  \"app\": {}}, \"x\": 1}";
    let file = lab.write("edgepass.yml", yaml);
    let shown = file.display();
    for (builder, says) in [
        (
            Provider::builder().config_yaml(yaml),
            "identities.app.client_id: expected a string, not a number (line 4, column 5); put it into quotes".to_owned(),
        ),
        (
            Provider::builder().config_file(&file),
            format!("identities.app.client_id: expected a string, not a number ({shown}:4:5)"),
        ),
        (
            Provider::builder().config_toml(toml),
            "(line 3, column 1); did you mean `client_id`?".to_owned(),
        ),
        (
            Provider::builder().config_json(json),
            "x: unknown field `x`, expected one of".to_owned(),
        ),
        (
            Provider::builder().config_json(json),
            "(line 2, column 15)".to_owned(),
        ),
        (
            Provider::builder().config_yaml("a: b\na: c\n"),
            "configuration: duplicate name `a` (line 2, column 1)".to_owned(),
        ),
    ] {
        let said = format!("{:#}", builder.build().await.unwrap_err());
        assert!(said.contains(&says), "{said}");
    }
}

/// Set in a process that is to play the program of the test below.
const PLAYER: &str = "EDGEPASS_TEST_PLAYER";

/// The environment of a test cannot be changed while others run, so this runs itself with another.
#[test]
fn from_process_takes_what_the_command_takes() {
    if std::env::var_os(PLAYER).is_some() {
        let said = match Builder::from_process().build_blocking() {
            Ok(provider) => match provider.get_token(&graph()) {
                Ok(token) => format!("identity {}", token.identity),
                Err(e) => format!("no token {e:#}"),
            },
            Err(e) => format!("error {e:#}"),
        };
        println!("player: {said}");
        return;
    }
    let lab = Lab::new();
    let config = lab.config(&token_file(&lab)).to_string();
    let path = lab.write("edgepass.json", &config);
    let variables = lab.emulator.env();
    let ca = lab.files.ca_file();
    let play_with = |name: &str, config: Option<&str>, variables: &[(&str, String)]| {
        let mut player = Command::new(std::env::current_exe().unwrap());
        player
            .args([
                "--exact",
                "builder::from_process_takes_what_the_command_takes",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env_clear()
            .env(PLAYER, "1")
            .env("SSL_CERT_FILE", &ca)
            .envs(variables.iter().map(|(name, value)| (name, value)));
        if let Some(config) = config {
            player.env(name, config);
        }
        let out = player.output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let said = text.lines().find_map(|line| line.split_once("player: "));
        said.unwrap_or_else(|| panic!("{text}")).1.to_owned()
    };
    let play = |config, variables: &_| play_with("EDGEPASS_CONFIG", config, variables);
    let play_json = |config, variables: &_| play_with("EDGEPASS_CONFIG_JSON", config, variables);
    let path = path.display().to_string();
    assert_eq!(play(Some(&path), &[]), "identity app");
    assert_eq!(play_json(Some(&config), &[]), "identity app");
    assert_eq!(play_json(Some(" "), &variables), "identity default");
    let said = play_json(
        Some(&config),
        &[("EDGEPASS_CONFIG", "edgepass.json".to_owned())],
    );
    assert!(
        said.starts_with("error EDGEPASS_CONFIG_JSON: is set, and so is EDGEPASS_CONFIG"),
        "{said}"
    );
    assert_eq!(play(None, &variables), "identity default");
    // as unset
    assert_eq!(play(Some("  "), &variables), "identity default");
    let said = play(Some("/nowhere/edgepass.json"), &variables);
    assert!(
        said.starts_with("error EDGEPASS_CONFIG: /nowhere/edgepass.json cannot be read"),
        "{said}"
    );
    // text is for another variable, and may hold a secret
    let said = play(Some(&config), &variables);
    assert!(
        said.starts_with("error EDGEPASS_CONFIG: is not a path"),
        "{said}"
    );
    assert!(!said.contains(lab.emulator.client_id()), "{said}");
    // nor is a secret that somebody has put there, whatever it looks like
    for secret in [
        "h8Q~unguessable",
        "ewogICJpZGVudGl0aWVzIjoge30KfQ==",
        "relative/path",
    ] {
        let said = play(Some(secret), &variables);
        assert!(
            said.starts_with("error EDGEPASS_CONFIG: what it names cannot be read")
                && !said.contains(secret),
            "{said}"
        );
    }
    // a pipe that nobody writes to would be waited for
    let pipe = lab.root().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let pipe = pipe.display().to_string();
    let said = play(Some(&pipe), &variables);
    assert!(
        said.ends_with("it is a pipe; write what comes by it to a file, and name that"),
        "{said}"
    );
    let nobody = "http://127.0.0.1:1".to_owned();
    let said = play(None, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody)]);
    assert!(
        said.starts_with("no token no metadata service answers"),
        "{said}"
    );
    assert!(said.contains("EDGEPASS_CONFIG"), "{said}");
}

#[tokio::test]
async fn a_program_that_does_not_read_the_variable_is_told_so() {
    const UNREAD: &str = "is set, but this program does not read it";

    for name in ["EDGEPASS_CONFIG", "EDGEPASS_CONFIG_JSON"] {
        let set = [(name, "/etc/edgepass.json")];
        let build = |more: &[(&'static str, &'static str)]| {
            let environment = Environment::from_pairs([&set, more].concat());
            Provider::builder().environment(environment).build()
        };
        // nor is it a managed identity that is meant
        let client = ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000");
        for more in [&[][..], &[client]] {
            let said = format!("{:#}", build(more).await.unwrap_err());
            assert!(
                said.starts_with(&format!("{name}: {UNREAD}")) && said.contains("from_process"),
                "{said}"
            );
        }
        // the remedy of another mistake would otherwise be to set what is set, and may be the right one
        for (client_id, remedy) in [("", "set it"), ("\"client\"", "without")] {
            let more = [
                ("AZURE_TENANT_ID", "contoso.example"),
                ("AZURE_CLIENT_ID", client_id),
            ];
            let said = format!("{:#}", build(&more).await.unwrap_err());
            assert!(
                said.starts_with("AZURE_CLIENT_ID: ")
                    && said.contains(remedy)
                    && said.contains(&format!(
                        "; {name} {UNREAD}: begin with Builder::from_process()"
                    )),
                "{said}"
            );
        }
    }
}

#[test]
fn a_runtime_that_lacks_something_is_an_error_and_not_a_panic_later() {
    let lab = Lab::new();
    let build = || lab.federated().build();
    let mut only_io = tokio::runtime::Builder::new_current_thread();
    let mut only_time = tokio::runtime::Builder::new_current_thread();
    for (what, built) in [
        ("no tokio runtime", futures::executor::block_on(build())),
        (
            "no timers",
            only_io.enable_io().build().unwrap().block_on(build()),
        ),
        (
            "no I/O",
            only_time.enable_time().build().unwrap().block_on(build()),
        ),
    ] {
        let said = built.unwrap_err().to_string();
        assert!(said.contains(what) && said.contains("call "), "{said}");
    }
    let whole = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    whole.block_on(build()).unwrap();
}

#[test]
fn threads_without_a_runtime_share_an_exchange() {
    let lab = Lab::new();
    let provider = lab.federated().build_blocking().unwrap();
    let sources: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| provider.get_token(&graph()).unwrap().source))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let exchanges = |source: &&TokenSource| **source == TokenSource::Exchange;
    assert_eq!(sources.iter().filter(exchanges).count(), 1, "{sources:?}");
    assert_eq!(lab.emulator.token_requests().len(), 1);

    let (name, value) = provider.get_header(&graph()).unwrap();
    assert_eq!(name, "authorization");
    assert!(value.expose().starts_with("Bearer "));
    let token = provider.cached_token(&graph()).unwrap();
    assert!(provider.warnings().is_empty());
    assert_eq!(provider.status().unwrap().len(), 1);
    provider
        .report_rejection(&graph(), &token.token, None)
        .unwrap();
    provider.client_assertion(None, None).unwrap();
    assert!(provider.stats().calls >= 3);
    assert_eq!(provider.drop_cached(None).unwrap(), 1);
    assert!(provider.cached_token(&graph()).is_none());
    let request = TokenRequest::for_scopes(["api://edgepass-demo/.default"]).with_identity("none");
    let error = provider.get_token(&request).unwrap_err();
    assert!(
        format!("{error:#}").len() > error.to_string().len(),
        "{error:#}"
    );
}

#[test]
fn a_thread_of_a_runtime_may_wait_as_well() {
    let lab = Lab::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let provider = lab.federated().build_blocking().unwrap();
    let again = provider.clone();
    // inside asynchronous code it is not advisable, and works
    runtime.block_on(async move { again.get_token(&graph()).unwrap() });
    let inner = provider.inner().clone();
    assert_eq!(inner.stats().calls, 1);
    drop(provider);
    // its thread is gone with the last handle
    let fails = runtime.block_on(async {
        inner
            .get_token(&TokenRequest::for_scopes(["api://edgepass-demo/.default"]))
            .await
    });
    assert!(fails.is_err());
}
