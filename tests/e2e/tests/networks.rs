//! Acceptance: the networks that people have. Proxies, a small one and tinyproxy, with certificates on the connection too;
//! firewalls that end connections; certification authorities that are replaced.

// tells the lints that helpers are test code too
#![cfg(test)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use edgepass::{Builder, Environment, ErrorClass, Provider, TokenRequest};
use edgepass_e2e::{GRAPH, Lab, forced, graph, tinyproxy, until};
use edgepass_emulator::{BrokenServer, ConnectProxy, Emulator, Manner, Platform, Stage};
use serde_json::{Value, json};

/// The variables in which a proxy can be named, those of plain http as well.
const NAMES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// An emulator that is an authority of the internet: nothing but a proxy knows its name.
fn far_away(test: &str) -> Result<Lab> {
    let builder = Emulator::builder()
        .host_name("login.example")
        .host_name("mtlsauth.example");
    Lab::of(test, builder)
}

fn address(lab: &Lab) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, lab.emulator.port()))
}

/// A proxy that knows the way to it.
fn proxy_to(lab: &Lab) -> Result<ConnectProxy> {
    let proxy = ConnectProxy::start()?;
    for host in ["login.example:443", "mtlsauth.example:443"] {
        proxy.route(host, address(lab));
    }
    Ok(proxy)
}

fn config(lab: &Lab, credential: &Value) -> Value {
    let mut config = lab.config(credential);
    config["authority_hosts"] = json!(["login.example", "mtlsauth.example"]);
    config["identities"]["app"]["authority_host"] = json!("https://login.example");
    config
}

fn secret(lab: &Lab) -> Value {
    json!({ "client_secret": { "value": lab.emulator.client_secret() } })
}

fn bound() -> Value {
    json!({ "bound_certificate": { "name": "demo" } })
}

fn within(lab: &Lab, config: &Value, variables: &[(&str, &str)]) -> Builder {
    lab.configured(config)
        .environment(Environment::from_pairs(variables.iter().copied()))
}

async fn refused(provider: &Provider, lab: &Lab) -> Result<edgepass::Error> {
    let error = provider.get_token(&graph()).await.err();
    let error = error.context("there is a token")?;
    lab.evidence
        .saw("an error through a proxy", &format!("{error:#} {error:?}"));
    Ok(error)
}

#[tokio::test]
async fn tokens_come_through_a_proxy_on_connections_with_and_without_a_certificate() -> Result<()> {
    let lab = far_away("networks_proxy")?;
    lab.evidence.secret("proxy password", "hunter2-of-a-proxy");
    for (credential, host) in [(secret(&lab), "login"), (bound(), "mtlsauth")] {
        for (credentials, expected) in [
            ("", None),
            ("user:hunter2-of-a-proxy@", Some("user:hunter2-of-a-proxy")),
        ] {
            let proxy = proxy_to(&lab)?;
            proxy.require(expected);
            lab.emulator.clear_journal();
            let url = format!("http://{credentials}{}", proxy.place());
            let provider = within(&lab, &config(&lab, &credential), &[("https_proxy", &url)]);
            let provider = provider.build().await?;
            lab.issued(&provider.get_token(&graph()).await?);
            lab.issued(&provider.get_token(&forced()).await?);
            let requests = proxy.requests();
            assert_eq!(requests.len(), 1, "one tunnel, used again");
            assert_eq!(requests[0].target, format!("{host}.example:443"));
            let found = requests[0].credentials.as_deref();
            assert_eq!(found, expected.map(str::as_bytes));
            let journal = lab.emulator.token_requests();
            assert_eq!(journal.len(), 2);
            for entry in journal {
                assert_eq!(entry.host, format!("{host}.example"));
                assert!(
                    entry.header("proxy-authorization").is_none(),
                    "that is the proxy's"
                );
            }
        }
    }
    Ok(())
}

/// The setting goes before the variables, and what it says is seen.
#[tokio::test]
async fn the_setting_names_a_proxy_or_none() -> Result<()> {
    let lab = far_away("networks_setting")?;
    let (named, other) = (proxy_to(&lab)?, proxy_to(&lab)?);
    let mut config = config(&lab, &secret(&lab));
    config["host"] = json!({ "proxy": named.url() });
    let variables = [("HTTPS_PROXY", other.url())];
    let variables = variables
        .each_ref()
        .map(|(name, url)| (*name, url.as_str()));
    let provider = within(&lab, &config, &variables).build().await?;
    lab.issued(&provider.get_token(&graph()).await?);
    assert_eq!((named.requests().len(), other.requests().len()), (1, 0));

    // directly there is no such name
    config["host"] = json!({ "proxy": "none" });
    let provider = within(&lab, &config, &variables).build().await?;
    let error = refused(&provider, &lab).await?;
    assert!(error.to_string().contains("does not resolve"), "{error}");
    assert_eq!(other.connections(), 0);

    for (wrong, says) in [
        (
            "http://user:hunter2@proxy.example:3128",
            "has credentials in it",
        ),
        ("socks5://proxy.example:1080", "SOCKS is not supported"),
        ("ftp://proxy.example", "is not the URL of an HTTP proxy"),
    ] {
        config["host"] = json!({ "proxy": wrong });
        let error = within(&lab, &config, &[]).build().await.err();
        let said = format!("{:#}", error.context("built")?);
        assert!(said.contains("host.proxy") && said.contains(says), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    Ok(())
}

/// A proxy that is down is waited for; one that refuses is not, and nothing reaches the server.
#[tokio::test]
async fn what_a_proxy_refuses_is_told_and_what_passes_is_tried_again() -> Result<()> {
    let lab = far_away("networks_refused")?;
    for (answer, says, hint, is_passing) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "(403)",
            "have the proxy permit",
            false,
        ),
        (
            "HTTP/1.1 407 x\r\n\r\n",
            "asks for credentials (407)",
            "write them into ALL_PROXY",
            false,
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "(502)",
            "NO_PROXY",
            true,
        ),
        (
            "",
            "closed the connection",
            "check host and port in ALL_PROXY",
            true,
        ),
    ] {
        let proxy = proxy_to(&lab)?;
        proxy.behave(Manner::Answer(answer.to_owned()));
        let provider = within(
            &lab,
            &config(&lab, &secret(&lab)),
            &[("ALL_PROXY", &proxy.url())],
        );
        let error = refused(&provider.build().await?, &lab).await?;
        assert_eq!(error.class(), ErrorClass::Network, "{error:?}");
        assert!(
            error
                .to_string()
                .starts_with("no connection to login.example: the proxy 127.0.0.1:")
                && error.to_string().contains(says),
            "{error}"
        );
        let said = error.detail().hint.clone().unwrap_or_default();
        assert!(said.contains(hint), "{said}");
        assert_eq!(error.detail().retryable, is_passing, "{error}");
        assert_eq!(proxy.requests().len() > 1, is_passing, "{error}");
    }
    assert!(lab.emulator.journal().is_empty());
    Ok(())
}

/// Whatever variables say: another machine's metadata service would give another machine's tokens.
#[tokio::test]
async fn metadata_services_are_never_asked_through_a_proxy() -> Result<()> {
    let lab = Lab::with_metadata("networks_metadata")?;
    let proxy = ConnectProxy::start()?;
    let url = proxy.url();
    let imds = vec![(
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        lab.metadata_authority()?,
    )];
    let platforms = [
        Platform::AppService,
        Platform::AzureMl,
        Platform::CloudShell,
        Platform::ServiceFabric,
    ];
    let platforms = platforms.map(|platform| lab.emulator.platform_env(platform));
    for machine in std::iter::once(imds).chain(platforms) {
        lab.emulator.clear_journal();
        let variables = machine.iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<_> = variables
            .chain(NAMES.map(|name| (name, url.as_str())))
            .collect();
        let mut config =
            json!({ "identities": { "app": { "credential": { "managed_identity": {} } } } });
        for setting in [None, Some(&url)] {
            if let Some(url) = setting {
                config["host"] = json!({ "proxy": url });
            }
            let provider = within(&lab, &config, &variables).build().await?;
            lab.issued(&provider.get_token(&graph()).await?);
        }
        assert!(!lab.emulator.metadata_requests().is_empty(), "{machine:?}");
        assert_eq!(proxy.connections(), 0, "{machine:?}");
    }
    Ok(())
}

/// As the Azure SDKs have it: the token proxy of a cluster is a server like others, which `NO_PROXY` names where it is in the
/// cluster's own network.
#[tokio::test]
async fn the_token_proxy_of_a_cluster_is_reached_as_the_environment_says() -> Result<()> {
    let lab = Lab::of("networks_token_proxy", Emulator::builder().token_proxy())?;
    let mut variables = lab.emulator.env();
    variables.extend(lab.emulator.token_proxy_variables());
    let ca = lab.emulator.token_proxy_ca_pem().context("no proxy")?;
    variables.push(("AZURE_KUBERNETES_CA_DATA", ca));
    let url = variables
        .iter_mut()
        .find(|(name, _)| *name == "AZURE_KUBERNETES_TOKEN_PROXY");
    let (_, url) = url.context("no URL")?;
    let (host, path) = url
        .trim_start_matches("https://")
        .split_once('/')
        .context("no path")?;
    let (_, port) = host.rsplit_once(':').context("no port")?;
    let proxy = ConnectProxy::start()?;
    let target = format!("10.0.0.1:{port}");
    proxy.route(
        &target,
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?)),
    );
    *url = format!("https://{target}/{path}");
    variables.push(("HTTPS_PROXY", proxy.url()));
    let builder = Provider::builder()
        .environment(Environment::from_pairs(variables))
        .ca_file(lab.files.ca_file());
    let provider = builder.build().await?;
    lab.issued(&provider.get_token(&graph()).await?);
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, target);
    Ok(())
}

/// A host for connections with a certificate is another one, which a firewall may keep from being reached, in any way. The
/// next credential is tried where no request can have been received, and nowhere else.
#[tokio::test]
async fn a_firewall_before_the_host_for_certificates_leaves_the_other_credential() -> Result<()> {
    let lab = Lab::new("networks_firewall")?;
    // of what is silent after the handshake each attempt is waited for; that no request is lost there is the host's own test
    let stages = Stage::ALL.into_iter();
    let stages = Vec::from_iter(stages.filter(|stage| *stage != Stage::SilenceAfterRequest));
    let tried = stages.iter().map(async |&stage| -> Result<()> {
        let server = BrokenServer::start(stage, "mtls.localhost")?;
        let own = lab.emulator.ca_pem();
        let name = format!("{stage:?}").to_lowercase();
        let mut config = lab.config(&json!([bound(), secret(&lab)]));
        let mut identity = config["identities"]["app"].take();
        let port = server.address().port();
        let endpoint = lab.emulator.token_endpoint(lab.emulator.tenant());
        identity = json!({
            "token_endpoint": endpoint,
            "mtls_token_endpoint": format!("https://127.0.0.1:{port}/token"),
            "client_id": identity["client_id"].take(),
            "credential": identity["credential"].take(),
        });
        config["identities"] = json!({ name.as_str(): identity });
        config["authority_hosts"] = json!([
            format!("localhost:{}", lab.emulator.port()),
            format!("127.0.0.1:{port}"),
        ]);
        let provider = Provider::builder()
            .config_json(config.to_string())
            .ca_pem(format!("{own}{}", server.ca_pem()))
            .build()
            .await?;
        let token = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
        if stage.has_request() {
            let error = token.err().with_context(|| format!("{stage:?}: a token"))?;
            ensure!(
                matches!(error.class(), ErrorClass::Network | ErrorClass::Timeout),
                "{stage:?}: {error:?}"
            );
            ensure!(server.requests() > 0, "{stage:?}");
        } else {
            lab.issued(&token.with_context(|| format!("{stage:?}"))?);
            ensure!(server.requests() == 0, "{stage:?}");
            ensure!(
                stage == Stage::Refused || server.connections() > 0,
                "{stage:?}"
            );
        }
        Ok(())
    });
    let tried = futures::future::join_all(tried).await;
    tried.into_iter().collect::<Result<()>>()?;
    // each of those that gave way once, and of the others none
    let gave_way = stages.iter().filter(|stage| !stage.has_request());
    assert_eq!(lab.emulator.token_requests().len(), gave_way.count());
    Ok(())
}

/// Somebody replaces the authorities while a program runs.
#[tokio::test]
async fn authorities_that_are_replaced_are_used_without_a_restart() -> Result<()> {
    let lab = Lab::new("networks_authorities")?;
    let other = Emulator::builder().start().await?.ca_pem();
    let own = lab.emulator.ca_pem();
    for (setting, credential) in [
        ("ca_file", secret(&lab)),
        ("extra_ca_file", secret(&lab)),
        ("ca_file", bound()),
        ("extra_ca_file", bound()),
    ] {
        let path = lab.write("authorities.pem", &other)?;
        let replace = |content: &str| -> Result<()> {
            let new = lab.write("new.pem", content)?;
            Ok(fs::rename(new, &path)?)
        };
        let mut config = lab.config(&credential);
        config["host"] = json!({ setting: path });
        let mut builder = Provider::builder().config_json(config.to_string());
        if setting == "extra_ca_file" {
            builder = builder.ca_pem(other.as_str());
        }
        let provider = builder.build().await?;
        let error = refused(&provider, &lab).await?;
        assert!(
            error.to_string().contains("is not trusted"),
            "{setting}: {error}"
        );
        let hint = error.detail().hint.clone().unwrap_or_default();
        assert!(hint.contains("host.extra_ca_file"), "{hint}");

        replace(&own)?;
        lab.emulator.clear_journal();
        lab.issued(&provider.get_token(&forced()).await?);
        // a file that is being written
        replace("")?;
        lab.issued(&provider.get_token(&forced()).await?);
        replace(&format!("{other}{own}"))?;
        lab.issued(&provider.get_token(&forced()).await?);
        let connections: Vec<_> = lab
            .emulator
            .token_requests()
            .iter()
            .map(|r| r.connection)
            .collect();
        assert_eq!(connections.len(), 3, "{setting}");
        assert_eq!(
            connections[0], connections[1],
            "the same authorities, the same connection"
        );
        assert_ne!(
            connections[1], connections[2],
            "connections end with their authorities"
        );

        replace(&other)?;
        let error = provider
            .get_token(&forced())
            .await
            .err()
            .context("a token")?;
        assert!(
            error.to_string().contains("is not trusted"),
            "{setting}: {error}"
        );
    }
    Ok(())
}

/// tinyproxy, before a proxy that knows the emulator's name.
struct Tinyproxy {
    child: Child,
    place: String,
}

impl Tinyproxy {
    async fn start(lab: &Lab, behind: &str, more: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let settings = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 30\nLogLevel Connect\nUpstream http {behind}\nConnectPort 443\n{more}\n"
        );
        let path = lab.write(&format!("tinyproxy-{port}.conf"), settings)?;
        let child = std::process::Command::new(tinyproxy()?)
            .args(["-d", "-c"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("tinyproxy does not start")?;
        let place = format!("127.0.0.1:{port}");
        let started = Self { child, place };
        until("tinyproxy listens", || {
            TcpStream::connect(&started.place).ok()
        })
        .await?;
        Ok(started)
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn tokens_come_through_tinyproxy() -> Result<()> {
    let lab = far_away("networks_tinyproxy")?;
    lab.evidence
        .secret("proxy password", "hunter2-of-tinyproxy");
    let behind = proxy_to(&lab)?;
    let open = Tinyproxy::start(&lab, &behind.place(), "").await?;
    let asking =
        Tinyproxy::start(&lab, &behind.place(), "BasicAuth user hunter2-of-tinyproxy").await?;
    let with = format!("http://user:hunter2-of-tinyproxy@{}", asking.place);
    for (name, url) in [
        ("HTTPS_PROXY", format!("http://{}", open.place)),
        ("https_proxy", with),
    ] {
        for credential in [secret(&lab), bound()] {
            let before = behind.requests().len();
            let provider = within(&lab, &config(&lab, &credential), &[(name, &url)]);
            lab.issued(&provider.build().await?.get_token(&graph()).await?);
            assert_eq!(behind.requests().len(), before + 1, "{name}");
        }
    }
    assert_eq!(lab.emulator.token_requests().len(), 4);

    let with_other = format!("http://user:hunter3@{}", asking.place);
    let without = format!("http://{}", asking.place);
    let nowhere = Tinyproxy::start(&lab, "127.0.0.1:1", "").await?;
    let nowhere = format!("http://{}", nowhere.place);
    let closed = Tinyproxy::start(&lab, &behind.place(), "ConnectPort 8443").await?;
    let mut other_port = config(&lab, &secret(&lab));
    other_port["identities"]["app"]["authority_host"] = json!("https://login.example:9443");
    other_port["authority_hosts"] = json!(["login.example:9443"]);
    let usual = config(&lab, &secret(&lab));
    let closed = format!("http://{}", closed.place);
    for (config, url, says) in [
        (&usual, &without, "asks for credentials (407)"),
        (&usual, &with_other, "(40"),
        (&usual, &nowhere, "did not reach login.example:443 (50"),
        (
            &other_port,
            &closed,
            "opens no way to login.example:9443 (403)",
        ),
    ] {
        let provider = within(&lab, config, &[("HTTPS_PROXY", url)])
            .build()
            .await?;
        let error = refused(&provider, &lab).await?;
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert!(format!("{error:#}").contains("HTTPS_PROXY"), "{error:#}");
    }
    assert_eq!(lab.emulator.token_requests().len(), 4);
    Ok(())
}
