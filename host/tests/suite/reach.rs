//! What the component may read: the files that the configuration names, the variables that it names, the assertions
//! that the program supplies.

use edgepass::{
    AssertionError, AssertionOptions, Environment, ErrorClass, Provider, Secret, SuppliedAssertion,
};
use edgepass_emulator::Mint;
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

#[tokio::test]
async fn an_assertion_comes_from_the_program() {
    let lab = Lab::new();
    let issuer = lab.emulator.issuer().clone();
    let provider = lab
        .configured(&json!({ "assertion_source": { "audience": "api://AzureADTokenExchange" } }))
        .assertion_source(move |options: AssertionOptions| {
            assert_eq!(options.identity, "app");
            let token = issuer
                .mint(&Mint::new())
                .map_err(|e| AssertionError::Other(e.to_string()));
            async move {
                Ok(SuppliedAssertion {
                    token: Secret::new(token?),
                })
            }
        })
        .build()
        .await
        .unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert_eq!(
        lab.emulator.token_requests()[0].method_of_proof.as_deref(),
        Some("federated")
    );
}

#[tokio::test]
async fn an_assertion_source_that_is_missing_or_fails_is_told_by_its_class() {
    let lab = Lab::new();
    let provider = lab
        .configured(&json!({ "assertion_source": {} }))
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
    let failing = lab
        .configured(&json!({ "assertion_source": {} }))
        .assertion_source(async |_: AssertionOptions| {
            Err(AssertionError::Temporary("the broker restarts".to_owned()))
        })
        .build()
        .await
        .unwrap();
    let error = failing.get_token(&graph()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialUnavailable);
    assert!(
        error.to_string().contains("the broker restarts") && error.detail().retryable,
        "{error}"
    );
}

#[tokio::test]
async fn a_secret_comes_from_the_variable_that_is_named_and_no_other_variable_does() {
    let lab = Lab::new();
    let config = lab
        .config(&json!({ "client_secret": { "env": "MY_SECRET" } }))
        .to_string();
    let environment = |name: &str| {
        Environment::from_pairs([(name.to_owned(), lab.emulator.client_secret().to_owned())])
    };
    let builder = |environment| {
        Provider::builder()
            .config_json(config.clone())
            .ca_file(lab.files.ca_file())
            .environment(environment)
    };
    let provider = builder(environment("MY_SECRET")).build().await.unwrap();
    provider.get_token(&graph()).await.unwrap();
    assert_eq!(
        lab.emulator.token_requests()[0].method_of_proof.as_deref(),
        Some("secret")
    );
    let error = builder(environment("OTHER")).build().await.unwrap_err();
    assert!(error.to_string().contains("MY_SECRET"), "{error}");
}

#[tokio::test]
async fn token_files_that_cannot_be_used_are_named() {
    let lab = Lab::new();
    for (path, says) in [
        (lab.root().join("missing"), "no"),
        (lab.write("empty", "  \n"), "empty"),
        (lab.write("big", vec![b'x'; 80 << 10]), "larger"),
        (lab.root().to_owned(), "it is a folder"),
    ] {
        let credential = json!({ "federated_token_file": { "path": path } });
        let provider = lab.configured(&credential).build().await.unwrap();
        let error = provider.get_token(&graph()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::CredentialUnavailable, "{error}");
        let text = format!("{error} {:?}", error.detail().hint);
        assert!(
            text.contains(&*path.to_string_lossy()) && text.contains(says),
            "{text}"
        );
    }
    assert!(lab.emulator.token_requests().is_empty());
}

#[test]
fn a_host_tells_what_it_cannot_use_now() {
    let lab = Lab::new();
    let mut config =
        lab.config(&json!({ "federated_token_file": { "path": lab.root().join("missing") } }));
    config["certificates"]["broken"] = json!({ "certificate_file": lab.write("broken.pem", "x") });
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["identities"]["other"]["credential"] = json!({ "certificate": { "name": "broken" } });
    let host = Provider::builder()
        .config_json(config.to_string())
        .ca_file(lab.files.ca_file())
        .build_host()
        .unwrap();
    let problems = host.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems[0].contains("missing")
            && problems[1].contains("broken.pem")
            && problems[2].contains("demo is used by no credential"),
        "{problems:?}"
    );
}
