//! Acceptance: servers other than Entra ID, here the certified `oidc-provider`: registered keys (`private_key_jwt`) of
//! every algorithm, mutual TLS (RFC 8705) with a certificate of an authority and with one that signs itself, endpoints by its
//! metadata (RFC 8414) with those for mutual TLS, resource indicators (RFC 8707) and `audience`. The server checks audience
//! and replay; nothing of it is ours.

use anyhow::{Context as _, Result, ensure};
use edgepass::{ErrorClass, Refresh, TokenRequest};
use edgepass_e2e::{GRAPH, Idp, Lab, authority};
use edgepass_emulator::Fault;
use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};

const ALGORITHMS: [(&str, &SignatureAlgorithm); 5] = [
    ("RS256", &PKCS_RSA_SHA256),
    ("PS256", &PKCS_RSA_SHA256),
    ("ES256", &PKCS_ECDSA_P256_SHA256),
    ("ES384", &PKCS_ECDSA_P384_SHA384),
    ("EdDSA", &PKCS_ED25519),
];

#[tokio::test]
async fn a_registered_key_of_every_algorithm_gets_a_token() -> Result<()> {
    let lab = Lab::new("other_servers_keys")?;
    let mut clients = Vec::new();
    let mut keys = Vec::new();
    for (algorithm, signs) in ALGORITHMS {
        for kid in [None, Some(format!("key of {algorithm}"))] {
            let key = KeyPair::generate_for(signs)?;
            let client_id = format!("{algorithm}-{}", kid.is_some());
            clients.push(json!({
                "client_id": client_id,
                "method": "private_key_jwt",
                "algorithm": algorithm,
                "public_key": key.public_key_pem(),
                "kid": kid,
            }));
            let file = lab.write(&format!("{client_id}.key"), key.serialize_pem())?;
            keys.push((client_id, algorithm, kid, file));
        }
    }
    let idp = Idp::start(&lab, "", &json!(clients))?;
    for (client_id, algorithm, kid, file) in keys {
        for audience in [idp.issuer.clone(), idp.token_endpoint()] {
            let credential = json!({ "private_key_jwt": {
                "name": "key", "kid": kid, "algorithm": algorithm, "audience": audience,
            } });
            let certificates = json!({ "key": { "private_key_file": file } });
            let config = idp.config(&client_id, &credential, &certificates);
            let provider = idp.provider(&config).await?;
            let token = provider.get_token(&TokenRequest::for_scopes(["api"])).await;
            lab.issued(
                &token.with_context(|| format!("{client_id} {audience}: {:?}", idp.told()))?,
            );
            assert_eq!(idp.told()?["granted"], json!(client_id));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_audience_a_wrong_key_and_a_replay_are_refused() -> Result<()> {
    let lab = Lab::new("other_servers_refusals")?;
    let [own, other] = [KeyPair::generate()?, KeyPair::generate()?];
    let client = json!([{
        "client_id": "app", "method": "private_key_jwt", "algorithm": "ES256",
        "public_key": own.public_key_pem(), "kid": "one",
    }]);
    let idp = Idp::start(&lab, "", &client)?;
    let files = [
        lab.write("own.key", own.serialize_pem())?,
        lab.write("other.key", other.serialize_pem())?,
    ];
    let request = TokenRequest::for_scopes(["api"]);
    let configured = |file, kid: &str, audience: &str| {
        let credential = json!({ "private_key_jwt": {
            "name": "key", "kid": kid, "algorithm": "ES256", "audience": audience,
        } });
        idp.config(
            "app",
            &credential,
            &json!({ "key": { "private_key_file": file } }),
        )
    };
    for (file, kid, audience, why) in [
        (&files[0], "one", "https://elsewhere.example", "audience"),
        (&files[1], "one", idp.issuer.as_str(), "signature"),
    ] {
        let provider = idp.provider(&configured(file, kid, audience)).await?;
        let error = provider.get_token(&request).await.err();
        let error = error.with_context(|| format!("{why} is not checked"))?;
        assert_eq!(error.class(), ErrorClass::CredentialRejected, "{error}");
        let told = idp.told()?;
        assert_eq!(told["refused"], "invalid_client", "{told}");
        lab.evidence.saw_error(why, &error);
    }
    // the same assertion, sent twice
    let provider = idp
        .provider(&configured(&files[0], "one", &idp.issuer))
        .await?;
    let assertion = provider.client_assertion(None, None).await?;
    lab.evidence
        .secret("client assertion", assertion.assertion.expose());
    let ca = reqwest::Certificate::from_pem(idp.ca_pem.as_bytes())?;
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .no_proxy()
        .build()?;
    for expected in [200, 401] {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", "app")
            .append_pair("client_assertion_type", &assertion.assertion_type)
            .append_pair("client_assertion", assertion.assertion.expose())
            .finish();
        let response = client
            .post(idp.token_endpoint())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await?;
        assert_eq!(response.status().as_u16(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn mutual_tls_authenticates_a_client_and_binds_its_tokens() -> Result<()> {
    let lab = Lab::new("other_servers_mtls")?;
    let ca = authority("clients CA")?;
    let issued = |name: &str| -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &ca)?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let self_signed = |name: &str| -> Result<(String, String)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let (pki, own) = (issued("pki")?, self_signed("own")?);
    let (stranger, strange) = (issued("stranger")?, self_signed("own")?);
    let clients = json!([
        { "client_id": "pki", "method": "tls_client_auth", "subject": "CN=pki" },
        { "client_id": "own", "method": "self_signed_tls_client_auth", "certificate": own.0 },
    ]);
    let idp = Idp::start(&lab, &ca.pem(), &clients)?;
    let request = TokenRequest::for_scopes(["api"]);
    for (client_id, (certificate, key), is_granted) in [
        ("pki", &pki, true),
        ("own", &own, true),
        // of the same authority, and another one's name
        ("pki", &stranger, false),
        // the same name, and another key
        ("own", &strange, false),
        // of no authority
        ("pki", &own, false),
    ] {
        let certificates = json!({ "mine": {
            "certificate_file": lab.write("certificate.pem", certificate)?,
            "private_key_file": lab.write("certificate.key", key)?,
        } });
        let bound = json!({ "name": "mine", "mode": "certificate-only" });
        let mut with_flag = bound.clone();
        with_flag["use_bound_credential"] = json!(true);
        for credential in [
            json!({ "bound_certificate": bound }),
            json!({ "certificate": with_flag }),
        ] {
            let config = idp.config(client_id, &credential, &certificates);
            let token = idp.provider(&config).await?.get_token(&request).await;
            let told = idp.told()?;
            if is_granted {
                lab.issued(&token.with_context(|| format!("{client_id}: {told}"))?);
                assert_eq!(told["granted"], json!(client_id), "{told}");
                assert_eq!(told["bound_to"], json!(thumbprint(certificate)?), "{told}");
            } else {
                let error = token.err().context("a stranger gets a token")?;
                ensure!(
                    error.class() == ErrorClass::CredentialRejected,
                    "{error}: {told}"
                );
                assert_eq!(told["refused"], "invalid_client", "{told}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_is_all_that_has_to_be_known() -> Result<()> {
    let lab = Lab::new("other_servers_issuer")?;
    let key = KeyPair::generate()?;
    let (certificate, bound_key) = {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "own");
        (params.self_signed(&key)?.pem(), key.serialize_pem())
    };
    let clients = json!([
        { "client_id": "key", "method": "private_key_jwt", "algorithm": "ES256", "public_key": key.public_key_pem() },
        { "client_id": "own", "method": "self_signed_tls_client_auth", "certificate": certificate },
    ]);
    let idp = Idp::start(&lab, "", &clients)?;
    let certificates = json!({
        "key": { "private_key_file": lab.write("key.pem", key.serialize_pem())? },
        "mine": {
            "certificate_file": lab.write("certificate.pem", &certificate)?,
            "private_key_file": lab.write("certificate.key", &bound_key)?,
        },
    });
    let request = TokenRequest::for_scopes(["api"]);
    for audience in ["issuer", "token_endpoint"] {
        let credential = json!({ "private_key_jwt": {
            "name": "key", "algorithm": "ES256", "audience": audience,
        } });
        let config = idp.by_issuer("key", &credential, &certificates);
        let token = idp.provider(&config).await?.get_token(&request).await;
        lab.issued(&token.with_context(|| format!("{audience}: {:?}", idp.told()))?);
        let told = idp.told()?;
        assert_eq!(
            (&told["granted"], &told["by_alias"]),
            (&json!("key"), &json!(false))
        );
    }
    let bound = json!({ "bound_certificate": { "name": "mine", "mode": "certificate-only" } });
    let mut config = idp.by_issuer("own", &bound, &certificates);
    let token = idp.provider(&config).await?.get_token(&request).await;
    lab.issued(&token.with_context(|| format!("{:?}", idp.told()))?);
    let told = idp.told()?;
    assert_eq!(told["by_alias"], json!(true), "{told}");
    assert_eq!(told["bound_to"], json!(thumbprint(&certificate)?), "{told}");
    // and not to a host that nobody has named, whatever the metadata say
    config["authority_hosts"] = json!([idp.issuer.trim_start_matches("https://")]);
    let error = idp.provider(&config).await?.get_token(&request).await.err();
    let error = error.context("a stranger's host")?;
    assert_eq!(error.class(), ErrorClass::Configuration, "{error}");
    assert!(error.to_string().contains(&idp.alias), "{error}");
    // the identifier is the whole of it
    config["identities"]["app"]["issuer"] = json!(format!("{}/", idp.issuer));
    let error = idp.provider(&config).await?.get_token(&request).await.err();
    let error = error.context("another issuer")?;
    assert_eq!(error.class(), ErrorClass::InvalidResponse, "{error}");
    assert!(error.to_string().contains("another issuer"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_token_is_for_the_resource_or_the_audience_that_is_asked_for() -> Result<()> {
    const A: &str = "https://a.example/api";
    const B: &str = "urn:example:b";
    let lab = Lab::new("other_servers_resources")?;
    let secret = "wQ8 both of them know it, nobody else wZ3";
    lab.evidence.secret("client secret", secret);
    let clients = json!([{ "client_id": "app", "method": "client_secret_post", "secret": secret }]);
    let idp = Idp::start_with(&lab, &json!({ "clients": clients, "resources": [A, B] }))?;
    let credential = json!({ "client_secret": { "value": secret } });
    let request = TokenRequest::for_scopes(["api"]);
    for (more, expected) in [
        (json!({ "resources": [A] }), A),
        (json!({ "resources": [B] }), B),
        (json!({ "additional_parameters": { "audience": A } }), A),
        (
            json!({ "additional_parameters": { "audience": [B], "whatever": ["1", "2"] } }),
            B,
        ),
    ] {
        let mut config = idp.by_issuer("app", &credential, &json!({}));
        let app = config["identities"]["app"].as_object_mut();
        app.context("it")?
            .extend(more.as_object().context("an object")?.clone());
        let token = idp.provider(&config).await?.get_token(&request).await;
        lab.issued(&token.with_context(|| format!("{more}: {:?}", idp.told()))?);
        let told = idp.told()?;
        assert_eq!(told["for"], json!(expected), "{more} {told}");
    }
    // it takes one at a time for this grant, and says so when it has read both
    for (resources, read) in [
        (vec![A, B], vec![A, B]),
        (vec!["https://c.example"], vec!["https://c.example"]),
    ] {
        let mut config = idp.by_issuer("app", &credential, &json!({}));
        config["identities"]["app"]["resources"] = json!(resources);
        let error = idp.provider(&config).await?.get_token(&request).await.err();
        let error = error.context("a token for both")?;
        assert_eq!(
            error.detail().oauth_error.as_deref(),
            Some("invalid_target"),
            "{error}"
        );
        let told = idp.told()?;
        assert_eq!(told["resources"], json!(read), "{told}");
    }
    Ok(())
}

/// The emulator as a server of which its issuer is known, and nothing else.
fn by_issuer(lab: &Lab, credential: &Value) -> (String, Value) {
    let mut config = lab.config(credential);
    let issuer = format!(
        "{}/{}/v2.0",
        lab.emulator.authority(),
        lab.emulator.tenant()
    );
    if let Some(app) = config.pointer_mut("/identities/app") {
        *app = json!({
            "issuer": issuer,
            "client_id": lab.emulator.client_id(),
            "credential": credential,
        });
    }
    (issuer, config)
}

#[tokio::test]
async fn metadata_of_openid_connect_name_the_endpoints_too() -> Result<()> {
    let lab = Lab::new("other_servers_openid")?;
    let request = TokenRequest::for_scopes([GRAPH]);
    for (credential, proof, host) in [
        (
            json!({ "client_secret": { "value": lab.emulator.client_secret() } }),
            "secret",
            "localhost",
        ),
        (
            json!({ "bound_certificate": { "name": "demo" } }),
            "bound-assertion",
            "mtlsauth.localhost",
        ),
    ] {
        let (_, config) = by_issuer(&lab, &credential);
        let token = lab
            .configured(&config)
            .build()
            .await?
            .get_token(&request)
            .await?;
        lab.issued(&token);
        let asked = lab.emulator.token_requests().pop().context("a request")?;
        assert_eq!(asked.method_of_proof.as_deref(), Some(proof));
        let at = asked.header("host").unwrap_or_default();
        assert_eq!(at, format!("{host}:{}", lab.emulator.port()));
    }
    Ok(())
}

#[tokio::test]
async fn metadata_that_are_no_good_lead_nowhere() -> Result<()> {
    let lab = Lab::new("other_servers_hostile")?;
    let secret = json!({ "client_secret": { "value": lab.emulator.client_secret() } });
    let (issuer, config) = by_issuer(&lab, &secret);
    let here = lab.emulator.token_endpoint(lab.emulator.tenant());
    let says = |issuer: &str, endpoint: &str| Fault {
        status: Some(200),
        body: Some(json!({ "issuer": issuer, "token_endpoint": endpoint }).to_string()),
        ..Fault::default()
    };
    let request = TokenRequest::for_scopes([GRAPH]);
    let elsewhere = "https://evil.example/token";
    let plain = here.replace("https://", "http://");
    let invalid = ErrorClass::InvalidResponse;
    for (what, fault, class, expected) in [
        (
            "another issuer",
            says(&format!("{issuer}/"), &here),
            invalid,
            "another issuer",
        ),
        (
            "plain http",
            says(&issuer, &plain),
            invalid,
            "scheme `http`",
        ),
        (
            "another host",
            says(&issuer, elsewhere),
            ErrorClass::Configuration,
            "`evil.example`",
        ),
        (
            "no endpoint",
            says(&issuer, ""),
            invalid,
            "names no token_endpoint",
        ),
        ("too large", Fault::oversize(1_100_000), invalid, "bytes"),
        ("a page", Fault::html(200), invalid, "is no JSON"),
        (
            "a redirect",
            Fault::redirect(302, elsewhere),
            invalid,
            "HTTP 302",
        ),
        ("nothing there", Fault::status(404), invalid, "HTTP 404"),
        (
            "out of order",
            Fault::status(503),
            ErrorClass::Server,
            "HTTP 503",
        ),
    ] {
        lab.emulator
            .faults()
            .push(fault.on(".well-known").forever());
        let provider = lab.configured(&config).build().await?;
        let error = provider.get_token(&request).await.err().context(what)?;
        assert_eq!(error.class(), class, "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("issuer {issuer}")), "{what}: {text}");
        assert!(text.contains(expected), "{what}: {text}");
        lab.evidence.saw_error(what, &error);
        assert_eq!(lab.emulator.token_requests().len(), 0, "{what}");
        // what does not last is looked at again
        lab.emulator.faults().clear();
        let anew = request.clone().with_refresh(Refresh::Force);
        lab.issued(&provider.get_token(&anew).await.context(what)?);
        lab.emulator.clear_journal();
    }
    // slow, cut off, torn down: time cures it within the call
    for fault in [Fault::hang(), Fault::reset(), Fault::truncate()] {
        lab.emulator.faults().push(fault.on(".well-known"));
        let provider = lab.configured(&config).build().await?;
        lab.issued(&provider.get_token(&request).await?);
    }
    Ok(())
}

/// `x5t#S256` of a certificate.
fn thumbprint(pem: &str) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use sha2::Digest as _;

    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body.trim())?;
    Ok(URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(der)))
}
