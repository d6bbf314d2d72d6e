//! Acceptance: what AWS is asked is signed as botocore signs it. Each request of the table is taken from the wire, and signed
//! once more by botocore, with the same keys and at the same time.

use anyhow::{Context as _, Result, ensure};
use edgepass::{Environment, TokenRequest};
use edgepass_e2e::{Command, GRAPH, Lab, peers_python, peers_script};
use serde_json::json;

/// Keys, region and audience of a request.
struct Row {
    access_key: &'static str,
    secret_key: &'static str,
    session_token: Option<&'static str>,
    region: &'static str,
    audience: &'static str,
}

/// Keys are of base64, session tokens as well and long; whatever is in them goes through the same hands. Audiences are of
/// any letters.
const ROWS: &[Row] = &[
    Row {
        access_key: "AKIAIOSFODNN7EXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        session_token: None,
        region: "us-east-1",
        audience: "api://AzureADTokenExchange",
    },
    Row {
        access_key: "ASIAIOSFODNN7EXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        session_token: Some("IQoJb3JpZ2luX2VjEXAMPLE/+=="),
        region: "eu-central-1",
        audience: "api://AzureADTokenExchange",
    },
    Row {
        access_key: "ASIAIOSFODNN7EXAMPLE",
        // more than a block of SHA-256, which HMAC digests first
        secret_key: "0123456789012345678901234567890123456789012345678901234567890123456789",
        session_token: Some("short"),
        region: "cn-north-1",
        audience: "https://login.partner.example/token?a=b&c=d%20e+f",
    },
    Row {
        access_key: "ASIAIOSFODNN7EXAMPLE",
        secret_key: "k",
        session_token: None,
        region: "us-gov-west-1",
        audience: "urn:münchen:~*'()!",
    },
];

#[tokio::test]
async fn a_request_to_aws_is_signed_as_botocore_signs_it() -> Result<()> {
    let lab = Lab::new("aws_signature")?;
    for row in ROWS {
        let Row {
            access_key,
            secret_key,
            session_token,
            region,
            audience,
        } = row;
        let config = json!({
            "authority_hosts": [format!("localhost:{}", lab.emulator.port())],
            "identities": { "app": {
                "tenant_id": lab.emulator.tenant(),
                "client_id": lab.emulator.client_id(),
                "authority_host": lab.emulator.authority(),
                "credential": { "aws_web_identity": { "audience": audience } },
            } },
        });
        let mut variables = vec![
            ("AWS_REGION", (*region).to_owned()),
            ("AWS_ENDPOINT_URL_STS", lab.emulator.authority()),
            ("AWS_ACCESS_KEY_ID", (*access_key).to_owned()),
            ("AWS_SECRET_ACCESS_KEY", (*secret_key).to_owned()),
        ];
        variables.extend(session_token.map(|token| ("AWS_SESSION_TOKEN", token.to_owned())));
        let builder = lab
            .configured(&config)
            .environment(Environment::from_pairs(variables));
        lab.emulator.clear_journal();
        // the emulator knows other keys: it is the request that counts
        let answer = builder.build().await?;
        let answer = answer.get_token(&TokenRequest::for_scopes([GRAPH])).await;
        ensure!(
            answer.is_err(),
            "the emulator took these keys: {access_key}"
        );
        let journal = lab.emulator.journal();
        let asked = journal.first().context("nothing was asked")?;
        let header = |name: &str| asked.header(name).unwrap_or_default().to_owned();
        let argument = json!({
            "url": format!("{}{}", lab.emulator.authority(), asked.path),
            "content_type": header("content-type"),
            "body": String::from_utf8(asked.body.clone())?,
            "time": header("x-amz-date"),
            "region": region,
            "access_key": access_key,
            "secret_key": secret_key,
            "session_token": session_token,
        });
        let script = peers_script("aws_signature.py")?;
        let ran = Command::other(&lab, &peers_python()?)
            .arg(script.display().to_string())
            .arg(argument.to_string())
            .run()?;
        ensure!(ran.code == Some(0), "{region}: {}", ran.stderr);
        assert_eq!(header("authorization"), ran.stdout.trim(), "{region}");
        assert_eq!(header("x-amz-security-token"), session_token.unwrap_or(""));
    }
    Ok(())
}
