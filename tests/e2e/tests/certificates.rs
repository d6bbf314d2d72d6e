//! Acceptance: certificates and bound certificates, also while they rotate under load; the key never enters the
//! sandbox; and what is wrong with one is said clearly, with nothing sent anywhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass::{CertificateSource, ErrorClass, Provider, Refresh, TokenRequest};
use edgepass_e2e::{GRAPH, Lab, artifact, jwt, memory};
use edgepass_emulator::{CertificateOptions, Emulator, JournalEntry};
use serde_json::{Value, json};

/// Resources of the emulator: requests for different ones do not share an exchange.
const SCOPES: [&str; 4] = [
    GRAPH,
    "https://vault.azure.net/.default",
    "https://storage.azure.com/.default",
    "https://management.azure.com/.default",
];

/// Rotations under load.
const ROTATIONS: usize = 12;

/// An identity's name, to know its guest's memory by.
const MARKER: &str = "known-by-this-name-alone";

/// The shortest run of a private number that may not be in the guest's memory, bytes: 128 bits.
const RUN: usize = 16;

#[test]
fn the_command_takes_every_kind_of_certificate_credential() -> Result<()> {
    let lab = Lab::new("certificates_command")?;
    for (credential, proof, alg) in [
        (
            json!({ "certificate": { "name": "demo" } }),
            "certificate",
            Some("PS256"),
        ),
        (
            json!({ "certificate": { "name": "demo", "send_x5c": true } }),
            "certificate",
            Some("PS256"),
        ),
        (
            json!({ "certificate": { "name": "demo", "algorithm": "RS256" } }),
            "certificate",
            Some("RS256"),
        ),
        (
            json!({ "bound_certificate": { "name": "demo" } }),
            "bound-assertion",
            Some("PS256"),
        ),
        (
            json!({ "bound_certificate": { "name": "demo", "mode": "certificate-only" } }),
            "tls-certificate",
            None,
        ),
    ] {
        lab.emulator.clear_journal();
        let ran = lab
            .edgepass(&["-v", "token", "--scope", GRAPH])?
            .config(&lab.config(&credential))?
            .run()?;
        let token = ran.token().with_context(|| credential.to_string())?;
        assert_eq!(token["identity"], "app");
        let requests = lab.emulator.token_requests();
        let [request] = requests.as_slice() else {
            anyhow::bail!("{credential}: {requests:?}")
        };
        assert_eq!(
            request.method_of_proof.as_deref(),
            Some(proof),
            "{credential}"
        );
        assert_eq!(request.nonconforming, Vec::<String>::new(), "{credential}");
        let bound = credential.get("bound_certificate").is_some();
        assert_eq!(
            request.host.starts_with("mtlsauth.localhost:"),
            bound,
            "{credential}: {}",
            request.host
        );
        let thumbprint = lab.emulator.client_certificate().thumbprint.as_str();
        assert_eq!(
            request.client_certificate.as_deref(),
            bound.then_some(thumbprint),
            "{credential}"
        );
        let header = assertion_header(request)?;
        assert_eq!(
            header.get("alg").and_then(Value::as_str),
            alg,
            "{credential}"
        );
        match alg {
            Some("PS256") => assert_eq!(header["x5t#S256"], thumbprint),
            Some(_) => assert!(
                header["x5t"].is_string() && header["x5t#S256"].is_null(),
                "{header}"
            ),
            None => assert_eq!(request.field("client_assertion_type"), None),
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_library_takes_certificates_from_files_and_from_memory() -> Result<()> {
    let lab = Lab::new("certificates_library")?;
    let certificate = lab.emulator.client_certificate();
    for source in [
        CertificateSource::files(
            lab.files.certificate_file(),
            Some(lab.files.private_key_file()),
        ),
        CertificateSource::pem_pair(
            certificate.certificate_pem.clone(),
            certificate.private_key_pem.clone(),
        ),
        CertificateSource::pem(format!(
            "{}{}",
            certificate.private_key_pem, certificate.certificate_pem
        )),
    ] {
        for kind in ["certificate", "bound_certificate"] {
            let mut config = lab.config(&json!({ kind: { "name": "mine" } }));
            config["certificates"] = json!({});
            let provider = lab
                .configured(&config)
                .certificate("mine", source.clone())
                .build()
                .await?;
            lab.issued(
                &provider
                    .get_token(&TokenRequest::for_scopes([GRAPH]))
                    .await?,
            );
        }
    }
    assert_eq!(lab.emulator.token_requests().len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_rotate_under_load() -> Result<()> {
    rotate_under_load(
        "certificates_rotation",
        &json!({ "certificate": { "name": "demo" } }),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_certificates_rotate_under_load() -> Result<()> {
    let lab = "certificates_rotation_bound";
    rotate_under_load(
        lab,
        &json!({ "bound_certificate": { "name": "demo", "send_x5c": false } }),
    )
    .await
}

/// Callers ask without a pause while certificate and key are swapped again and again: every call succeeds, and no
/// request is signed by one key on a connection of the other.
async fn rotate_under_load(name: &str, credential: &Value) -> Result<()> {
    let bound = credential.get("bound_certificate").is_some();
    let lab = Lab::new(name)?;
    let provider = lab.configured(&lab.config(credential)).build().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = SCOPES
        .iter()
        .map(|scope| tokio::spawn(ask_until(provider.clone(), scope, Arc::clone(&stop))))
        .collect();
    let mut thumbprints = BTreeSet::from([lab.emulator.client_certificate().thumbprint.clone()]);
    for _ in 0..ROTATIONS {
        // making a key takes a while, in which the callers ask on
        let fresh = tokio::task::block_in_place(|| lab.rotate_certificate())?;
        let seen = || {
            lab.emulator
                .token_requests()
                .iter()
                .any(|entry| thumbprint(entry).is_ok_and(|t| t == fresh))
        };
        edgepass_e2e::until("the new certificate is used", || seen().then_some(())).await?;
        thumbprints.insert(fresh);
    }
    stop.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await??;
    }
    let requests = lab.emulator.token_requests();
    let mut used = BTreeSet::new();
    for request in &requests {
        ensure!(
            request.status == Some(200),
            "refused with {:?}",
            request.aadsts
        );
        let signed_by = thumbprint(request)?;
        ensure!(
            thumbprints.contains(&signed_by),
            "signed by a key that nobody made"
        );
        let connection = request.client_certificate.as_deref();
        ensure!(
            connection == bound.then_some(signed_by.as_str()),
            "signed by {signed_by} on {connection:?}"
        );
        used.insert(signed_by);
    }
    lab.evidence.saw(
        "load",
        &format!(
            "{calls} calls, {} requests, {} certificates",
            requests.len(),
            used.len()
        ),
    );
    assert_eq!(used.len(), ROTATIONS + 1);
    assert!(calls >= ROTATIONS * SCOPES.len(), "only {calls} calls");
    assert_eq!(provider.stats().restarts, 0);
    Ok(())
}

async fn ask_until(provider: Provider, scope: &str, stop: Arc<AtomicBool>) -> Result<usize> {
    let request = TokenRequest {
        refresh: Refresh::Force,
        ..TokenRequest::for_scopes([scope])
    };
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        provider.get_token(&request).await?;
        calls += 1;
    }
    Ok(calls)
}

#[tokio::test]
async fn the_private_key_never_enters_the_sandbox() -> Result<()> {
    let lab = Lab::new("certificates_memory")?;
    let mut config = lab.config(&json!({ "certificate": { "name": "demo" } }));
    // a name that stands in no other memory of this process's guests
    config["identities"][MARKER] = config["identities"]["app"].clone();
    config["identities"][MARKER]["credential"] = json!({ "bound_certificate": { "name": "demo" } });
    // the file, not the embedded copy: its constants tell where the memory is
    let component = artifact("dist/credential-provider.wasm")?;
    let provider = lab
        .configured(&config)
        .component(std::fs::read(&component)?)
        .build()
        .await?;
    for identity in ["app", MARKER] {
        for scope in SCOPES {
            let request = TokenRequest {
                identity: Some(identity.into()),
                ..TokenRequest::for_scopes([scope])
            };
            lab.issued(&provider.get_token(&request).await?);
        }
    }

    let memories = memory::of_component(&component)?;
    ensure!(
        memories
            .iter()
            .any(|memory| find(memory, MARKER.as_bytes())),
        "{} linear memories were found, and none has the configuration: the search is blind",
        memories.len()
    );
    let certificate = lab.emulator.client_certificate();
    let leaf = certificate.chain.first().context("a chain")?;

    let pem: String = certificate
        .private_key_pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let key = RsaKey::from_pkcs8(&STANDARD.decode(&pem)?)?;
    ensure!(
        find(leaf, key.modulus()),
        "the numbers are read wrongly: the certificate has another modulus"
    );
    let mut runs: BTreeSet<&[u8]> = pem.as_bytes().windows(2 * RUN).collect();
    // the key's file holds the modulus too, which the certificate in the guest shows to everybody, perhaps in the same
    // alignment
    for start in 0..3 {
        let shown = STANDARD.encode(leaf.get(start..).context("a certificate")?);
        for window in shown.as_bytes().windows(2 * RUN) {
            runs.remove(window);
        }
    }
    ensure!(
        runs.len() > pem.len() / 2,
        "most of the key's file is left to search for"
    );
    for (name, number) in &key.private {
        ensure!(number.len() >= 64, "{name} has {} bytes", number.len());
        runs.extend(number.windows(RUN));
    }
    for memory in &memories {
        for length in [RUN, 2 * RUN] {
            let found = memory
                .windows(length)
                .position(|window| runs.contains(window));
            assert_eq!(
                found, None,
                "a part of the private key is in the guest's memory"
            );
        }
    }
    Ok(())
}

#[test]
fn a_missing_key_is_named_and_nothing_is_sent() -> Result<()> {
    let lab = Lab::new("certificates_no_key")?;
    let other = lab
        .emulator
        .create_client_certificate("other", &CertificateOptions::default())?;
    let foreign = lab.write("other.key", &other.private_key_pem)?;
    let garbage = lab.write(
        "garbage.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )?;
    for kind in ["certificate", "bound_certificate"] {
        for (key, part) in [
            (lab.scratch().join("nowhere.key"), "nowhere.key"),
            (foreign.clone(), "other.key"),
            (garbage.clone(), "garbage.key"),
        ] {
            let mut config = lab.config(&json!({ kind: { "name": "demo" } }));
            config["certificates"]["demo"]["private_key_file"] = json!(key);
            let (code, error) = lab
                .edgepass(&["token", "--scope", GRAPH])?
                .config(&config)?
                .run()?
                .error()?;
            assert_eq!(
                (code, &error["class"]),
                (1, &json!("credential-unavailable")),
                "{error}"
            );
            let message = error["message"].as_str().unwrap_or_default();
            assert!(
                message.contains("`demo`") && message.contains(part),
                "{kind}: {message}"
            );
        }
    }
    assert_eq!(lab.emulator.journal().len(), 0);
    Ok(())
}

#[test]
fn a_certificate_that_is_not_registered_is_refused_with_a_hint() -> Result<()> {
    let lab = Lab::new("certificates_unregistered")?;
    let stranger = lab
        .emulator
        .create_client_certificate("stranger", &CertificateOptions::default())?;
    let (certificate, key) = (
        lab.scratch().join("stranger.pem"),
        lab.scratch().join("stranger.key"),
    );
    stranger.write(&certificate, &key)?;
    for credential in [
        json!({ "certificate": { "name": "demo" } }),
        json!({ "bound_certificate": { "name": "demo" } }),
        json!({ "bound_certificate": { "name": "demo", "mode": "certificate-only" } }),
    ] {
        lab.emulator.clear_journal();
        let mut config = lab.config(&credential);
        config["certificates"]["demo"] =
            json!({ "certificate_file": certificate, "private_key_file": key });
        let (code, error) = lab
            .edgepass(&["token", "--scope", GRAPH])?
            .config(&config)?
            .run()?
            .error()?;
        assert_eq!(
            (code, &error["class"]),
            (1, &json!("credential-rejected")),
            "{error}"
        );
        assert_eq!(error["oauth_error"], "invalid_client");
        assert!(
            error["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("certificate")),
            "{error}"
        );
        let bound = credential.get("bound_certificate").is_some();
        for request in lab.emulator.journal() {
            assert_eq!(
                request.host.starts_with("mtlsauth."),
                bound,
                "sent elsewhere: {}",
                request.host
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bound_request_goes_to_no_other_host() -> Result<()> {
    let lab = Lab::new("certificates_wrong_host")?;
    let request = TokenRequest::for_scopes([GRAPH]);

    // an authority without an mTLS twin: nothing is guessed
    let mut config = lab.config(&json!({ "bound_certificate": { "name": "demo" } }));
    config["identities"]["app"]["authority_host"] = json!(lab.emulator.authority());
    let error = lab
        .configured(&config)
        .build()
        .await
        .err()
        .context("localhost has no mTLS twin")?;
    lab.evidence.saw_error("no twin", &error);
    assert!(
        error
            .to_string()
            .contains("identities.app.credential.bound_certificate"),
        "{error}"
    );

    // a host of that name that another authority vouches for: no certificate is shown to it, no assertion sent
    let impostor = Emulator::builder().start_blocking()?;
    let mut config = lab.config(&json!({ "bound_certificate": { "name": "demo" } }));
    let port = impostor.port();
    config["authority_hosts"] = json!([format!("login.localhost:{port}")]);
    config["identities"]["app"]["authority_host"] = json!(impostor.login_authority());
    let error = lab.configured(&config).build().await.err();
    let error = error.context("nobody has named the mTLS host")?;
    lab.evidence.saw_error("twin not named", &error);
    assert!(
        error
            .to_string()
            .contains(&format!("mtlsauth.localhost:{port}")),
        "{error}"
    );
    config["authority_hosts"] = json!([
        format!("login.localhost:{port}"),
        format!("mtlsauth.localhost:{port}")
    ]);
    let provider = lab.configured(&config).build().await?;
    let error = provider
        .get_token(&request)
        .await
        .err()
        .context("the impostor is trusted")?;
    lab.evidence.saw_error("impostor", &error);
    assert_eq!(error.class(), ErrorClass::Network);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(
        error
            .detail()
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("ca_file")),
        "{error:?}"
    );
    assert_eq!(impostor.journal().len(), 0);
    assert_eq!(lab.emulator.journal().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_in_the_handshake_gets_it() -> Result<()> {
    let lab = Lab::new("certificates_strict")?;
    let strict = lab.emulator.strict_mtls_authority();
    let host = strict.trim_start_matches("https://").to_owned();
    let endpoint =
        |authority: &str| format!("{authority}/{}/oauth2/v2.0/token", lab.emulator.tenant());
    let mut config = lab.config(&json!({ "bound_certificate": { "name": "demo" } }));
    let identity = &mut config["identities"]["app"];
    identity["token_endpoint"] = json!(endpoint(&lab.emulator.authority()));
    identity["mtls_token_endpoint"] = json!(endpoint(&strict));
    for field in ["tenant_id", "authority_host"] {
        identity.as_object_mut().context("an object")?.remove(field);
    }
    config["authority_hosts"]
        .as_array_mut()
        .context("an array")?
        .push(json!(host));
    let provider = lab.configured(&config).build().await?;
    lab.issued(
        &provider
            .get_token(&TokenRequest::for_scopes([GRAPH]))
            .await?,
    );

    // the same endpoint without a certificate on the connection
    let mut config = lab.config(&json!({ "certificate": { "name": "demo" } }));
    config["identities"]["app"] = json!({
        "client_id": lab.emulator.client_id(),
        "token_endpoint": endpoint(&strict),
        "credential": { "certificate": { "name": "demo" } },
    });
    config["authority_hosts"]
        .as_array_mut()
        .context("an array")?
        .push(json!(host));
    let provider = lab.configured(&config).build().await?;
    let answer = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
    let error = answer
        .err()
        .context("the handshake succeeded without a certificate")?;
    lab.evidence.saw_error("no certificate", &error);
    // with TLS 1.3 the refusal comes after the handshake, and the closed connection may be noticed first
    let classes = [ErrorClass::CredentialUnavailable, ErrorClass::Network];
    assert!(classes.contains(&error.class()), "{error:?}");
    assert!(error.to_string().contains(&host), "{error}");
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// `x5t#S256` of the assertion.
fn thumbprint(request: &JournalEntry) -> Result<String> {
    jwt::thumbprint(&request.field("client_assertion").context("no assertion")?)
}

fn assertion_header(request: &JournalEntry) -> Result<Value> {
    let Some(assertion) = request.field("client_assertion") else {
        return Ok(Value::Null);
    };
    jwt::header(&assertion)
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// The numbers of an RSA key (RFC 8017 appendix A.1.2).
struct RsaKey {
    public: Vec<u8>,
    private: Vec<(&'static str, Vec<u8>)>,
}

impl RsaKey {
    /// Out of PKCS#8 (RFC 5958): version, algorithm, and the key as an octet string.
    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let (_, outer, _) = element(der)?;
        let (_, _version, rest) = element(outer)?;
        let (_, _algorithm, rest) = element(rest)?;
        let (_, inner, _) = element(rest)?;
        let (_, mut rest, _) = element(inner)?;
        let mut numbers = Vec::new();
        for name in [
            "version",
            "n",
            "e",
            "d",
            "p",
            "q",
            "d mod p-1",
            "d mod q-1",
            "q inverse",
        ] {
            let (tag, value, next) = element(rest)?;
            ensure!(tag == 2, "{name} is no INTEGER");
            // the sign byte of a large number is not part of it
            numbers.push((name, value.strip_prefix(&[0]).unwrap_or(value).to_vec()));
            rest = next;
        }
        let private = numbers.split_off(3);
        let (_, public) = numbers.swap_remove(1);
        Ok(Self { public, private })
    }

    fn modulus(&self) -> &[u8] {
        &self.public
    }
}

/// The first DER element: tag, content, and what follows.
fn element(der: &[u8]) -> Result<(u8, &[u8], &[u8])> {
    let (header, rest) = der.split_at_checked(2).context("DER ends too early")?;
    let [tag, first] = header else {
        anyhow::bail!("DER ends too early")
    };
    let (length, rest) = match first {
        0..0x80 => (usize::from(*first), rest),
        many => {
            let (bytes, rest) = rest
                .split_at_checked(usize::from(many & 0x7f))
                .context("DER ends too early")?;
            (
                bytes
                    .iter()
                    .fold(0, |length, byte| (length << 8) | usize::from(*byte)),
                rest,
            )
        }
    };
    let (content, rest) = rest
        .split_at_checked(length)
        .context("DER ends too early")?;
    Ok((*tag, content, rest))
}

#[tokio::test]
async fn a_token_that_is_bound_to_the_certificate_names_it() -> Result<()> {
    let lab = Lab::new("certificates_mtls_pop")?;
    let request = TokenRequest::for_scopes([GRAPH]).with_token_type(edgepass::TokenType::MtlsPop);
    for mode in ["with-assertion", "certificate-only"] {
        lab.emulator.clear_journal();
        let bound = json!({ "name": "demo", "use_bound_credential": true, "mode": mode });
        let config = lab.config(&json!({ "certificate": bound }));
        let provider = lab.configured(&config).build().await?;
        let token = provider.get_token(&request).await?;
        lab.issued(&token);
        let thumbprint = lab.emulator.client_certificate().thumbprint.as_str();
        assert_eq!(token.token_type, "mtls_pop");
        assert_eq!(token.certificate_thumbprint.as_deref(), Some(thumbprint));
        let requests = lab.emulator.token_requests();
        let [sent] = requests.as_slice() else {
            anyhow::bail!("{requests:?}")
        };
        assert_eq!(sent.field("token_type").as_deref(), Some("mtls_pop"));
        assert_eq!(sent.field("client_assertion"), None);
        assert_eq!(sent.client_certificate.as_deref(), Some(thumbprint));
        // a bearer token of the same connection is another one
        let bearer = provider
            .get_token(&TokenRequest::for_scopes([GRAPH]))
            .await?;
        lab.issued(&bearer);
        assert_eq!(bearer.token_type, "Bearer");
        assert_ne!(bearer.token, token.token);
    }
    lab.emulator.clear_journal();
    let plain = lab.config(&json!({ "certificate": { "name": "demo" } }));
    let provider = lab.configured(&plain).build().await?;
    let error = provider.get_token(&request).await.err();
    let error = error.context("nothing is bound to a connection without a certificate")?;
    assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
    assert_eq!(lab.emulator.journal().len(), 0);
    Ok(())
}
