//! Acceptance: several instances share their tokens by a real Redis or Valkey. What the store does not do, because it is
//! dead, slow, full or locked, costs an exchange and no request; and nobody reads a token there.

// tells the lints that helpers are test code too
#![cfg(test)]

mod access;
mod faults;
mod outages;

use std::fs;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use edgepass::{Builder, Provider, TokenRequest, TokenSource};
use edgepass_e2e::{GRAPH, Lab, RedisServer as Store, forced, free_port, graph, until, warnings};
use serde_json::{Value, json};

use outages::Wire;

const KEY_ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

const PASSWORD: &str = "hunter2-of-the-store";

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1793491200"}}}"#;

/// A configuration with that section.
fn config(lab: &Lab, credential: &Value, store: &Value) -> Value {
    let mut config = lab.config(credential);
    config["host"] = json!({ "token_store": store });
    config
}

fn secret(lab: &Lab) -> Value {
    json!({ "client_secret": { "value": lab.emulator.client_secret() } })
}

/// The section, with a file of these keys.
fn section(lab: &Lab, url: &str, name: &str, keys: &[&str]) -> Result<Value> {
    let file = lab.write(name, keys.join("\n"))?;
    for key in keys {
        let (_, key) = key.split_once(' ').context("an id and a key")?;
        lab.evidence.secret("key of the store", key);
    }
    Ok(json!({ "url": url, "encryption_keys_file": file }))
}

fn instance(lab: &Lab, store: &Value) -> Builder {
    lab.configured(&config(lab, &secret(lab), store))
}

async fn counters(provider: &Provider) -> Result<edgepass::Counters> {
    let status = provider.status().await?;
    Ok(status.first().context("an identity")?.counters)
}

/// Whether that is anywhere in there, as it is or encoded.
fn is_in(bytes: &[u8], text: &str) -> bool {
    let forms = [
        text.as_bytes().to_vec(),
        STANDARD.encode(text).into_bytes(),
        STANDARD_NO_PAD.encode(text).into_bytes(),
        URL_SAFE_NO_PAD.encode(text).into_bytes(),
    ];
    let found = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form);
    forms.iter().any(found)
}

/// The second host's first call is no exchange; and what is in the store and on its wire says nothing to who reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_takes_the_token_and_nobody_else_can() -> Result<()> {
    let lab = Lab::new("token_store_two")?;
    let store = Store::start(&[]).await?;
    let wire = Wire::to(&store)?;
    let section = section(&lab, &wire.url(), "keys", &[KEY_ONE])?;
    let token_file = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let certificate = json!({ "certificate": { "name": "demo" } });
    let mut hidden = vec![
        lab.emulator.client_secret().to_owned(),
        lab.emulator.client_id().to_owned(),
        lab.emulator.tenant().to_owned(),
        GRAPH.to_owned(),
        "essential".to_owned(),
        fs::read_to_string(lab.files.token_file())?
            .trim()
            .to_owned(),
    ];
    for credential in [secret(&lab), token_file, certificate] {
        store.ask(&["FLUSHALL"])?;
        lab.emulator.clear_journal();
        let config = config(&lab, &credential, &section);
        let first = lab.configured(&config).build().await?;
        let token = first.get_token(&graph()).await?;
        assert_eq!(token.source, TokenSource::Exchange);
        let second = lab.configured(&config).build().await?;
        let shared = second.get_token(&graph()).await?;
        assert_eq!(shared.source, TokenSource::Cache);
        assert_eq!(lab.issued(&shared), lab.issued(&token));
        assert_eq!(shared.expires_on, token.expires_on);
        assert_eq!(shared.scope, token.scope);
        assert_eq!(lab.emulator.token_requests().len(), 1);
        let counted = counters(&second).await?;
        assert_eq!((counted.exchanges, counted.store_hits), (0, 1));

        // a challenge is satisfied by the server, and its token takes the place of the other
        let claimed = first.get_token(&graph().with_claims(CLAIMS)).await?;
        let third = lab.configured(&config).build().await?;
        let shared = third.get_token(&graph()).await?;
        assert_eq!(lab.issued(&shared), lab.issued(&claimed));
        assert_ne!(shared.token, token.token);
        for entry in lab.emulator.token_requests() {
            hidden.extend(entry.field("client_assertion"));
            hidden.extend(entry.field("claims"));
        }
        for token in [&token, &claimed] {
            // of a token that is taken apart, too
            let parts = token.token.expose().split('.').map(str::to_owned);
            hidden.extend(parts.filter(|part| part.len() > 8));
            hidden.push(token.token.expose().to_owned());
        }
        let content = store.content()?;
        assert!(
            content.len() > token.token.expose().len(),
            "an entry is there"
        );
        for hidden in &hidden {
            assert!(!is_in(&content, hidden), "{hidden} is in the store");
        }
        for key in store.keys()? {
            let digest = key.strip_prefix("{edgepass}:").context("the prefix")?;
            assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
    let seen = wire.seen();
    assert!(is_in(&seen, "GETRANGE"), "the wire is watched");
    for hidden in &hidden {
        assert!(!is_in(&seen, hidden), "{hidden} is on the wire");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_instances_that_start_together_ask_once() -> Result<()> {
    let lab = Lab::new("token_store_fifty")?;
    let store = Store::start(&[]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let mut instances = Vec::new();
    for _ in 0..50 {
        instances.push(instance(&lab, &section).build().await?);
    }
    let calls: Vec<_> = instances
        .iter()
        .map(|provider| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.get_token(&graph()).await })
        })
        .collect();
    let mut tokens = Vec::new();
    for call in calls {
        tokens.push(lab.issued(&call.await??));
    }
    tokens.dedup();
    assert_eq!((tokens.len(), lab.emulator.token_requests().len()), (1, 1));
    Ok(())
}

/// Each key of the file opens what it has sealed; what none of them opens is as if it were not there, and said once.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_a_wrong_one_is_said() -> Result<()> {
    let lab = Lab::new("token_store_keys")?;
    let store = Store::start(&[]).await?;
    let of = |name: &str, keys: &[&str]| section(&lab, &store.url(), name, keys);
    let ask = async |section: &Value| -> Result<TokenSource> {
        let provider = instance(&lab, section).build().await?;
        let token = provider.get_token(&graph()).await?;
        lab.issued(&token);
        Ok(token.source)
    };
    assert_eq!(ask(&of("one", &[KEY_ONE])?).await?, TokenSource::Exchange);
    assert_eq!(
        ask(&of("both", &[KEY_TWO, KEY_ONE])?).await?,
        TokenSource::Cache
    );
    // who has not got the key asks, and puts his own there
    for (name, keys, says) in [
        ("two", KEY_TWO.to_owned(), "id is not in the file of keys"),
        (
            "false",
            KEY_ONE.replace("one", "two"),
            "another key than that of its id",
        ),
    ] {
        let section = of(name, &[&keys])?;
        assert_eq!(ask(&section).await?, TokenSource::Exchange, "{name}");
        assert_eq!(ask(&section).await?, TokenSource::Cache, "{name}");
        assert_eq!(warnings(says).len(), 1, "{name}");
    }
    // a running one takes the new key with the file
    let file = lab.write("running", KEY_ONE)?;
    let section = json!({ "url": store.url(), "encryption_keys_file": file });
    let running = instance(&lab, &section).build().await?;
    running.get_token(&graph()).await?;
    fs::write(&file, format!("{KEY_TWO}\n{KEY_ONE}\n"))?;
    running.get_token(&forced()).await?;
    assert_eq!(ask(&of("two", &[KEY_TWO])?).await?, TokenSource::Cache);
    Ok(())
}

/// Several scopes at once are several tokens of one store.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_told_apart() -> Result<()> {
    const VAULT: &str = "https://vault.azure.net/.default";
    let lab = Lab::new("token_store_apart")?;
    let store = Store::start(&[]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let first = instance(&lab, &section).build().await?;
    let second = instance(&lab, &section).build().await?;
    for scope in [GRAPH, VAULT] {
        let request = TokenRequest::for_scopes([scope]);
        let token = first.get_token(&request).await?;
        assert_eq!(token.source, TokenSource::Exchange);
        assert_eq!(second.get_token(&request).await?.token, token.token);
    }
    assert_eq!(
        (store.keys()?.len(), lab.emulator.token_requests().len()),
        (2, 2)
    );
    Ok(())
}

/// A node of a cluster says which one has the keys, and that one is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_asked_by_any_of_its_nodes() -> Result<()> {
    let lab = Lab::new("token_store_cluster")?;
    let folder = |name: &str| -> Result<String> {
        let folder = lab.scratch().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder.display().to_string())
    };
    let node = async |name: &str| -> Result<(Store, String)> {
        // by which nodes talk to each other
        let bus = free_port()?.to_string();
        let options = ["--cluster-enabled", "yes", "--dir", &folder(name)?];
        let store = Store::start(&[&options[..], &["--cluster-port", &bus]].concat()).await?;
        Ok((store, bus))
    };
    let (with, bus) = node("with").await?;
    let (without, _) = node("without").await?;
    with.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
    let port = with.port.to_string();
    without.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
    until("the cluster is made", || {
        let info = without.ask(&["CLUSTER", "INFO"]).ok()?.concat();
        is_in(&info, "cluster_state:ok").then_some(())
    })
    .await?;
    let mut tokens = Vec::new();
    for node in [&without, &with, &without] {
        let section = section(&lab, &node.url(), "keys", &[KEY_ONE])?;
        let provider = instance(&lab, &section).build().await?;
        for scope in [GRAPH, "https://vault.azure.net/.default"] {
            let token = provider
                .get_token(&TokenRequest::for_scopes([scope]))
                .await?;
            tokens.push(lab.issued(&token));
        }
        assert_eq!(counters(&provider).await?.store_failures, 0);
    }
    assert_eq!(lab.emulator.token_requests().len(), 2);
    tokens.sort();
    tokens.dedup();
    assert_eq!((tokens.len(), with.keys()?.len()), (2, 2));
    Ok(())
}
