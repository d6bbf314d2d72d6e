//! Acceptance: servers other than Entra ID, here the certified `oidc-provider`: registered keys (`private_key_jwt`) of
//! every algorithm, and mutual TLS (RFC 8705) with a certificate of an authority and with one that signs itself. The
//! server checks audience and replay; nothing of it is ours.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context as _, Result, ensure};
use edgepass::{ErrorClass, Provider, TokenRequest};
use edgepass_e2e::{Lab, PATIENCE, peers_node, peers_script};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use serde_json::{Value, json};

/// One server with its clients.
struct Idp {
    issuer: String,
    ca_pem: String,
    lines: Receiver<Value>,
    child: Child,
    // the server ends with it
    _stdin: ChildStdin,
}

impl Idp {
    fn start(lab: &Lab, authorities: &str, clients: &Value) -> Result<Self> {
        let (ca, certificate, key) = server_certificate()?;
        let config = json!({
            "key": key,
            "certificate": certificate,
            "authorities": authorities,
            "clients": clients,
        });
        let config = lab.write("oidc-provider.json", config.to_string())?;
        let mut child = Command::new("node")
            .arg(peers_script("oidc_provider.mjs")?)
            .arg(peers_node()?)
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node: install Node.js")?;
        let stdin = child.stdin.take().context("standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("standard output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let told = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(told).is_err() {
                    break;
                }
            }
        });
        let mut idp = Self {
            issuer: String::new(),
            ca_pem: ca,
            lines,
            child,
            _stdin: stdin,
        };
        while idp.issuer.is_empty() {
            let told = idp.told()?;
            let issuer = told.get("issuer").and_then(Value::as_str);
            issuer.unwrap_or_default().clone_into(&mut idp.issuer);
        }
        Ok(idp)
    }

    /// The next thing that it says.
    fn told(&self) -> Result<Value> {
        let told = self.lines.recv_timeout(PATIENCE);
        told.context("oidc-provider says nothing more; see its standard error")
    }

    fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer)
    }

    fn config(&self, client_id: &str, credential: &Value, certificates: &Value) -> Value {
        let host = self.issuer.trim_start_matches("https://");
        json!({
            "authority_hosts": [host],
            "identities": { "app": {
                "client_id": client_id,
                "token_endpoint": self.token_endpoint(),
                "scopes": ["api"],
                "credential": credential,
            } },
            "certificates": certificates,
        })
    }

    async fn provider(&self, config: &Value) -> Result<Provider> {
        let builder = Provider::builder().config_json(config.to_string());
        Ok(builder.ca_pem(self.ca_pem.as_str()).build().await?)
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority's certificate, and that of `localhost` with its key.
fn server_certificate() -> Result<(String, String, String)> {
    let ca = authority("oidc-provider CA")?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &ca)?;
    Ok((ca.pem(), certificate.pem(), key.serialize_pem()))
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

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

/// `x5t#S256` of a certificate.
fn thumbprint(pem: &str) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use sha2::Digest as _;

    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body.trim())?;
    Ok(URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(der)))
}
