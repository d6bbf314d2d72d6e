//! Acceptance: several credentials of one identity, through the real component and the command: a bound one before an
//! unbound one, revoked and restored while it is in use; a broken one costs one warning; and how people see which is used.

// tells the lints that helpers are test code too
#![cfg(test)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edgepass::{CredentialState, Provider, Refresh, TokenRequest};
use edgepass_e2e::{GRAPH, Lab, warnings};
use serde_json::{Value, json};

/// Longer than a credential is left aside after one failure, whatever else the machine does.
const COMES_BACK: Duration = Duration::from_secs(60);

/// A configuration whose identity has another name, so that its warnings are told from those of other tests.
fn named(mut config: Value, name: &str) -> Value {
    let identity = config["identities"]["app"].take();
    config["identities"] = json!({ name: identity });
    config
}

fn forced(scope: &str) -> TokenRequest {
    TokenRequest {
        refresh: Refresh::Force,
        ..TokenRequest::for_scopes([scope])
    }
}

fn last_proof(lab: &Lab) -> Option<String> {
    lab.emulator.token_requests().pop()?.method_of_proof
}

async fn state(provider: &Provider, at: usize) -> Result<CredentialState> {
    let mut status = provider.status().await?;
    let mut identity = status.pop().context("one identity")?;
    Ok(identity.credentials.swap_remove(at).state)
}

#[tokio::test]
async fn a_bound_certificate_that_is_revoked_gives_way_and_comes_back() -> Result<()> {
    let lab = Lab::new("list_revoked")?;
    let credential = json!([
        { "bound_certificate": { "name": "demo" } },
        { "client_secret": { "value": lab.emulator.client_secret() } },
    ]);
    let config = named(lab.config(&credential), "revoked");
    let provider = lab.configured(&config).build().await?;
    let first = provider
        .get_token(&TokenRequest::for_scopes([GRAPH]))
        .await?;
    lab.issued(&first);
    assert_eq!(last_proof(&lab).as_deref(), Some("bound-assertion"));

    // revoked: the call that finds out gets its token all the same
    let client = lab.emulator.client_id().to_owned();
    let app = lab.emulator.app(&client).context("the app")?;
    let mut without = app.clone();
    without.certificates.clear();
    lab.emulator.register_app(without);
    lab.emulator.clear_journal();
    lab.issued(&provider.get_token(&forced(GRAPH)).await?);
    let requests = lab.emulator.token_requests();
    let proofs: Vec<_> = requests
        .iter()
        .map(|r| (r.status, r.host.starts_with("mtlsauth.")))
        .collect();
    assert_eq!(
        proofs,
        [(Some(401), true), (Some(401), true), (Some(200), false)],
        "tried, read anew and tried, then the next"
    );
    assert!(matches!(
        state(&provider, 0).await?,
        CredentialState::Aside { .. }
    ));
    assert!(matches!(
        state(&provider, 1).await?,
        CredentialState::Good(_)
    ));
    // and it is not tried with every call
    lab.emulator.clear_journal();
    lab.issued(&provider.get_token(&forced(GRAPH)).await?);
    assert_eq!(lab.emulator.token_requests().len(), 1);

    // restored: it is used again by itself
    lab.emulator.register_app(app);
    let begun = Instant::now();
    while last_proof(&lab).as_deref() != Some("bound-assertion") {
        ensure!(begun.elapsed() < COMES_BACK, "it is not used again");
        tokio::time::sleep(Duration::from_millis(200)).await;
        provider.get_token(&forced(GRAPH)).await?;
    }
    let said = warnings("identity `revoked`:");
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said[0].contains("bound_certificate `demo` is left aside"),
        "{said:#?}"
    );
    assert!(
        said[1].contains("bound_certificate `demo` works again"),
        "{said:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_broken_first_one_costs_one_warning_and_not_one_a_call() -> Result<()> {
    let lab = Lab::new("list_broken")?;
    let credential = json!([
        { "federated_token_file": { "path": "/nowhere/token" } },
        { "certificate": { "name": "demo" } },
    ]);
    let config = named(lab.config(&credential), "broken");
    let provider = lab.configured(&config).build().await?;
    for _ in 0..20 {
        lab.issued(&provider.get_token(&forced(GRAPH)).await?);
    }
    assert_eq!(
        lab.emulator.token_requests().len(),
        20,
        "no exchange was lost on it"
    );
    let said = warnings("identity `broken`:");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("/nowhere/token"), "{said:#?}");

    let trials = provider.try_credentials(None).await?;
    let ready: Vec<_> = trials
        .iter()
        .map(|trial| (trial.credential.to_string(), trial.problem.is_none()))
        .collect();
    let expected = [
        ("federated_token_file `credential[0]`".to_owned(), false),
        ("certificate `demo`".to_owned(), true),
    ];
    assert_eq!(ready, expected);
    assert_eq!(
        lab.emulator.token_requests().len(),
        20,
        "a trial makes no exchange"
    );
    Ok(())
}

#[test]
fn the_command_says_which_one_was_used_and_why_others_were_not() -> Result<()> {
    let lab = Lab::new("list_command")?;
    let secret = lab.emulator.client_secret();
    let good = json!([
        { "federated_token_file": { "path": "/nowhere/token" } },
        { "client_secret": { "value": secret } },
    ]);
    let ran = lab
        .edgepass(&["-v", "token", "--scope", GRAPH])?
        .config(&lab.config(&good))?
        .run()?;
    ran.token()?;
    for line in [
        "credential federated_token_file `credential[0]`: gave none: the federated token file /nowhere/token does not exist",
        "credential client_secret `credential[1]`: brought the token",
    ] {
        assert!(ran.stderr.contains(line), "{}\n{line}", ran.stderr);
    }

    let bad = json!([
        { "federated_token_file": { "path": "/nowhere/token" } },
        { "client_secret": { "value": "wrong-secret-of-a-test" } },
    ]);
    let ran = lab
        .edgepass(&["token", "--scope", GRAPH])?
        .config(&lab.config(&bad))?
        .run()?;
    let (_, error) = ran.error()?;
    assert_eq!(error["credential"]["kind"], "client_secret", "{error}");
    assert_eq!(
        error["attempts"][0]["credential"]["kind"],
        "federated_token_file"
    );
    assert!(!ran.stderr.contains("wrong-secret-of-a-test"));

    for (credential, code, expected) in [
        (&good, 0, "client_secret `credential[1]` is ready"),
        (
            &good,
            0,
            "federated_token_file `credential[0]` is not ready",
        ),
        (
            &json!([{ "federated_token_file": { "path": "/nowhere/token" } }]),
            2,
            "is not ready",
        ),
    ] {
        let ran = lab
            .edgepass(&["config", "check", "--try"])?
            .config(&lab.config(credential))?
            .run()?;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(expected), "{said}");
    }
    let exchanges = lab.emulator.token_requests();
    assert_eq!(exchanges.len(), 2, "trials make none");
    Ok(())
}
