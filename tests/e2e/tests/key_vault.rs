//! Acceptance: a certificate that Azure Key Vault keeps, read by a managed identity of the machine, as proof of an
//! application; what is wrong with vault, identity or certificate is said with what to do; and the key is nowhere but in the
//! host, or in the vault.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass::{AppSettings, Environment, Error, ErrorClass, Provider};
use edgepass_e2e::{GRAPH, Lab, PATIENCE, forced, graph, jwt, output_root};
use edgepass_emulator::{
    CertificateOptions, ClientCertificate, ConnectProxy, Fault, JournalEntry, VaultKey,
};
use serde_json::{Value, json};

/// What tokens for vaults are for.
const AUDIENCE: &str = "https://vault.azure.net";

/// The base of the metadata service, in a variable as the Azure SDKs have it.
const METADATA: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// A new certificate that the application has, and that the vault has as `app`.
fn kept(lab: &Lab, key: VaultKey) -> Result<ClientCertificate> {
    let certificate = lab
        .emulator
        .create_client_certificate("in a vault", &CertificateOptions::default())?;
    put(lab, &certificate, key)?;
    Ok(certificate)
}

fn put(lab: &Lab, certificate: &ClientCertificate, key: VaultKey) -> Result<String> {
    lab.emulator
        .add_certificate(lab.emulator.client_id(), certificate)?;
    record(lab, certificate);
    Ok(lab.emulator.put_vault_certificate("app", certificate, key))
}

/// The key is a secret wherever it is seen.
fn record(lab: &Lab, certificate: &ClientCertificate) {
    let lines = certificate.private_key_pem.lines();
    let body: String = lines.filter(|line| !line.starts_with('-')).collect();
    lab.evidence.secret("key of a vault", &body);
}

/// A certificate of the emulator's vault, with these settings besides or in the place of the usual ones.
fn vault(lab: &Lab, more: &Value) -> Value {
    let mut vault = json!({
        "url": lab.emulator.vault_url(), "certificate": "app", "audience": AUDIENCE,
    });
    if let (Some(vault), Some(more)) = (vault.as_object_mut(), more.as_object()) {
        vault.extend(more.clone());
    }
    json!({ "vaulted": { "key_vault": vault } })
}

fn config(lab: &Lab, credential: &Value, more: &Value) -> Value {
    lab.config_with(credential, vault(lab, more))
}

async fn provider(lab: &Lab, credential: &Value, more: &Value) -> Result<Provider> {
    let builder = lab.on_the_machine(&config(lab, credential, more))?;
    Ok(builder.build().await?)
}

/// The usual credential.
fn signing() -> Value {
    json!({ "certificate": { "name": "vaulted" } })
}

async fn refused(lab: &Lab, provider: &Provider) -> Result<Error> {
    let error = provider.get_token(&forced()).await.err();
    let error = error.context("a token in place of an error")?;
    lab.evidence.saw_error("refused", &error);
    Ok(error)
}

/// By which certificate the last assertion was signed.
fn signed_by(lab: &Lab) -> Result<String> {
    let last = lab.emulator.token_requests().pop().context("none")?;
    let assertion = last.field("client_assertion").context("no assertion")?;
    jwt::thumbprint(&assertion)
}

/// Method and path of what the vault was asked.
fn asked(requests: &[JournalEntry]) -> Vec<(&str, &str)> {
    let requests = requests.iter();
    requests
        .map(|request| (request.method.as_str(), request.path.as_str()))
        .collect()
}

#[tokio::test]
async fn a_certificate_of_a_vault_proves_an_application() -> Result<()> {
    let lab = Lab::with_metadata("key_vault")?;
    let reader = lab.user_assigned()?;
    let identity = json!({ "identity": { "client_id": reader.client_id } });
    for (credential, proof) in [
        (signing(), "certificate"),
        (
            json!({ "certificate": { "name": "vaulted", "use_bound_credential": true } }),
            "bound-assertion",
        ),
        (
            json!({ "bound_certificate": { "name": "vaulted", "mode": "certificate-only" } }),
            "tls-certificate",
        ),
    ] {
        let certificate = kept(&lab, VaultKey::Pem)?;
        for more in [&json!({}), &identity] {
            lab.emulator.clear_journal();
            let provider = provider(&lab, &credential, more).await?;
            lab.issued(&provider.get_token(&graph()).await?);
            let journal = lab.emulator.token_requests();
            let [request] = journal.as_slice() else {
                anyhow::bail!("{journal:?}");
            };
            assert_eq!(request.method_of_proof.as_deref(), Some(proof));
            if proof != "tls-certificate" {
                assert_eq!(signed_by(&lab)?, certificate.thumbprint);
            }
            let shown = request.client_certificate.as_deref();
            let expected = (proof != "certificate").then_some(certificate.thumbprint.as_str());
            assert_eq!(shown, expected);
            // the machine is asked for a token for vaults and no other
            let metadata = lab.emulator.metadata_requests();
            let [token] = metadata.as_slice() else {
                anyhow::bail!("{metadata:?}");
            };
            assert!(
                token
                    .query
                    .contains("resource=https%3A%2F%2Fvault.azure.net")
            );
            assert_eq!(
                token.query.contains(&reader.client_id),
                more.get("identity").is_some()
            );
            for request in lab.emulator.vault_requests() {
                assert_eq!(request.status, Some(200));
                assert_eq!(request.query, "api-version=7.4");
                assert!(request.client_certificate.is_none());
            }
            // nothing is asked again while the certificate is there
            lab.emulator.clear_journal();
            lab.issued(&provider.get_token(&forced()).await?);
            assert!(lab.emulator.vault_requests().is_empty());
            assert!(lab.emulator.metadata_requests().is_empty());
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_key_is_read_in_each_form_that_a_vault_has() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_forms")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/tests/pkcs12");
    let mut of_files = lab.emulator.client_certificate().clone();
    of_files.certificate_pem = fs::read_to_string(folder.join("chain.pem"))?;
    lab.emulator
        .set_certificate(lab.emulator.client_id(), &of_files)?;
    for file in ["empty-password.p12", "empty-password-1.1.p12"] {
        let bytes = fs::read(folder.join(file))?;
        lab.evidence.secret("PKCS#12", &STANDARD.encode(&bytes));
        let version = lab
            .emulator
            .put_vault_certificate("app", &of_files, VaultKey::Pkcs12(bytes));
        lab.emulator.clear_journal();
        let provider = provider(&lab, &signing(), &json!({})).await?;
        let token = provider.get_token(&graph()).await;
        lab.issued(&token.with_context(|| file.to_owned())?);
        assert_eq!(
            asked(&lab.emulator.vault_requests()),
            [
                ("GET", "/certificates/app"),
                ("GET", format!("/secrets/app/{version}").as_str())
            ]
        );
    }
    // one of two versions, by its name
    let first = kept(&lab, VaultKey::Pem)?;
    let version = lab
        .emulator
        .put_vault_certificate("app", &first, VaultKey::Pem);
    kept(&lab, VaultKey::Pem)?;
    let pinned = provider(&lab, &signing(), &json!({ "version": version })).await?;
    lab.issued(&pinned.get_token(&graph()).await?);
    assert_eq!(signed_by(&lab)?, first.thumbprint);
    Ok(())
}

/// A policy that says `exportable: false`: the vault gets digests, and nobody the key.
#[tokio::test]
async fn a_key_that_does_not_leave_its_vault_signs_there() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_kept")?;
    let certificate = kept(&lab, VaultKey::Kept)?;
    let version = put(&lab, &certificate, VaultKey::Kept)?;
    let keys = format!("/keys/app/{version}/sign");
    for algorithm in ["PS256", "RS256"] {
        let credential = json!({ "certificate": { "name": "vaulted", "algorithm": algorithm } });
        let provider = provider(&lab, &credential, &json!({})).await?;
        lab.emulator.clear_journal();
        lab.issued(&provider.get_token(&forced()).await?);
        lab.issued(&provider.get_token(&forced()).await?);
        assert_eq!(
            asked(&lab.emulator.vault_requests()),
            [
                ("GET", "/certificates/app"),
                ("POST", keys.as_str()),
                ("POST", keys.as_str())
            ]
        );
        for request in lab.emulator.vault_requests().iter().skip(1) {
            let body: Value = serde_json::from_slice(&request.body)?;
            assert_eq!(body["alg"], algorithm);
            let digest = body["value"].as_str().context("no value")?;
            assert_eq!(URL_SAFE_NO_PAD.decode(digest)?.len(), 32);
        }
    }
    // no connection can be authenticated so
    let bound = json!({ "bound_certificate": { "name": "vaulted" } });
    let bound = provider(&lab, &bound, &json!({})).await?;
    let error = refused(&lab, &bound).await?;
    assert!(
        format!("{error:#}").contains("does not leave its Key Vault"),
        "{error:#}"
    );
    // who may read may not sign for that
    let provider = provider(&lab, &signing(), &json!({})).await?;
    let forbidden = json!({ "error": { "code": "Forbidden", "message": "no", "innererror": { "code": "ForbiddenByRbac" } } });
    lab.emulator
        .faults()
        .push(Fault::status(403).body(&forbidden.to_string()).on("/keys/"));
    let error = refused(&lab, &provider).await?;
    for part in ["key of the certificate", "Key Vault Crypto User", "`sign`"] {
        assert!(format!("{error:#}").contains(part), "{error:#}");
    }
    lab.issued(&provider.get_token(&forced()).await?);
    Ok(())
}

#[tokio::test]
async fn the_next_version_is_used_when_the_vault_has_it_and_no_call_fails() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_rotation")?;
    let short = CertificateOptions {
        not_after_in: 40,
        ..CertificateOptions::default()
    };
    let first = lab.emulator.create_client_certificate("first", &short)?;
    put(&lab, &first, VaultKey::Pem)?;
    let provider = provider(&lab, &signing(), &json!({})).await?;
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!(signed_by(&lab)?, first.thumbprint);
    let next = kept(&lab, VaultKey::Pem)?;
    let begun = Instant::now();
    loop {
        lab.issued(&provider.get_token(&forced()).await?);
        let used = signed_by(&lab)?;
        if used == next.thumbprint {
            break;
        }
        assert_eq!(used, first.thumbprint);
        ensure!(begun.elapsed() < PATIENCE, "it was not asked for");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    // the vault was asked for the next once, and for the secret of each
    let asked = lab.emulator.vault_requests();
    let secrets = asked.iter().filter(|one| one.path.starts_with("/secrets/"));
    assert_eq!(secrets.count(), 2);
    Ok(())
}

/// What a vault says once is no reason to be without a certificate that is there.
#[tokio::test]
async fn an_outage_of_the_vault_is_not_felt_by_who_has_the_certificate() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_outage")?;
    let short = CertificateOptions {
        // looked at again after five seconds
        not_after_in: 90,
        not_before_in: -100,
        ..CertificateOptions::default()
    };
    let certificate = lab.emulator.create_client_certificate("short", &short)?;
    put(&lab, &certificate, VaultKey::Pem)?;
    let provider = provider(&lab, &signing(), &json!({})).await?;
    // what passes by itself is waited for
    for fault in [
        Fault::status(503).times(2),
        Fault::reset(),
        Fault::status(429),
    ] {
        let provider = self::provider(&lab, &signing(), &json!({})).await?;
        lab.emulator.faults().push(fault.on("/certificates/"));
        lab.issued(&provider.get_token(&forced()).await?);
    }
    lab.issued(&provider.get_token(&forced()).await?);
    lab.emulator
        .faults()
        .push(Fault::status(500).forever().on("/certificates/"));
    lab.emulator.clear_journal();
    let begun = Instant::now();
    while lab.emulator.vault_requests().is_empty() {
        lab.issued(&provider.get_token(&forced()).await?);
        ensure!(begun.elapsed() < PATIENCE, "it was not asked");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    lab.issued(&provider.get_token(&forced()).await?);
    Ok(())
}

/// What is wrong, how it comes about, and what the error says.
struct Row {
    what: &'static str,
    more: Value,
    fault: Option<Fault>,
    says: &'static [&'static str],
}

impl Row {
    fn of(what: &'static str, more: Value, says: &'static [&'static str]) -> Self {
        Self {
            what,
            more,
            fault: None,
            says,
        }
    }

    fn with(what: &'static str, fault: Fault, says: &'static [&'static str]) -> Self {
        Self {
            fault: Some(fault),
            ..Self::of(what, json!({}), says)
        }
    }
}

#[tokio::test]
async fn each_failure_says_what_to_do() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_failures")?;
    let certificate = kept(&lab, VaultKey::Pem)?;
    let other = lab
        .emulator
        .create_client_certificate("other", &CertificateOptions::default())?;
    record(&lab, &other);
    let vault_error = |inner: &str, message: &str| {
        json!({ "error": { "code": "Forbidden", "message": message, "innererror": { "code": inner } } })
            .to_string()
    };
    let secret = |value: &str, content_type: &str| {
        json!({ "value": value, "contentType": content_type }).to_string()
    };
    let pem_of_other = format!("{}{}", other.private_key_pem, other.certificate_pem);
    let rows = [
        Row::of(
            "no such certificate",
            json!({ "certificate": "none" }),
            &[
                "has no certificate `none`",
                "certificates.vaulted.key_vault.certificate",
            ],
        ),
        Row::of(
            "no such version",
            json!({ "version": "00000000000000000000000000000000" }),
            &["in version 0000", "404"],
        ),
        Row::of(
            "no such identity",
            json!({ "identity": { "client_id": "00000000-0000-0000-0000-000000000001" } }),
            &[
                "no token for the Key Vault vault.localhost",
                "certificates.vaulted.key_vault.identity",
                "Identity not found",
            ],
        ),
        Row::of(
            "tokens for something else",
            json!({ "audience": "https://storage.azure.com" }),
            &[
                "wants tokens for https://vault.azure.net",
                "none but for https://storage.azure.com",
                "key_vault.audience",
            ],
        ),
        Row::of(
            "no such host",
            json!({ "url": "https://vault.invalid" }),
            &["has no address", "certificates.vaulted.key_vault.url"],
        ),
        Row::with(
            "an access policy",
            Fault::status(403)
                .body(&vault_error(
                    "AccessDenied",
                    "The user does not have secrets get permission",
                ))
                .on("/secrets/"),
            &[
                "have the secret of the certificate",
                "Key Vault Certificate User",
                "secrets get permission",
            ],
        ),
        Row::with(
            "the firewall",
            Fault::status(403)
                .body(&vault_error(
                    "ForbiddenByFirewall",
                    "Client address is not authorized",
                ))
                .on("/certificates/"),
            &["network rules", "keep this machine out", "private endpoint"],
        ),
        Row::with(
            "a secret that is disabled",
            Fault::status(403)
                .body(&vault_error(
                    "SecretDisabled",
                    "Operation get is not allowed",
                ))
                .on("/secrets/"),
            &["has disabled the secret"],
        ),
        Row::with(
            "a token that is not taken, whatever it is",
            Fault::status(401).times(4).on("/certificates/"),
            &["does not take the token", "HTTP 401"],
        ),
        Row::with(
            "throttling",
            Fault::status(429).retry_after("3000").on("/certificates/"),
            &["asks to be left alone", "429"],
        ),
        Row::with(
            "an outage",
            Fault::status(503).times(40).on("/certificates/"),
            &["failed (HTTP 503)"],
        ),
        Row::with(
            "a redirect",
            Fault::redirect(302, "https://login.localhost/").on("/certificates/"),
            &["redirect (HTTP 302)", "none is followed"],
        ),
        Row::with(
            "a page of somebody else",
            Fault::html(200).on("/certificates/"),
            &["is no Key Vault"],
        ),
        Row::with(
            "another refusal",
            Fault::status(400)
                .body(r#"{"error": {"code": "BadParameter", "message": "odd"}}"#)
                .on("/certificates/"),
            &["HTTP 400, BadParameter", "odd"],
        ),
        Row::with(
            "no end",
            Fault::oversize(4_000_000).on("/secrets/"),
            &["larger than a certificate"],
        ),
        Row::with(
            "an answer without a certificate",
            Fault::status(200).body("{}").on("/certificates/"),
            &["has no `id`"],
        ),
        Row::with(
            "a secret that is no file",
            Fault::status(200)
                .body(&secret("no base64!", "application/x-pkcs12"))
                .on("/secrets/"),
            &["has no `value`"],
        ),
        Row::with(
            "a secret that is no PKCS#12",
            Fault::status(200)
                .body(&secret("MIIBAAAA", "application/x-pkcs12"))
                .on("/secrets/"),
            &["the secret app of the Key Vault vault.localhost"],
        ),
        Row::with(
            "a secret without a key",
            Fault::status(200)
                .body(&secret(
                    &certificate.certificate_pem,
                    "application/x-pem-file",
                ))
                .on("/secrets/"),
            &["no PEM private key in the secret app"],
        ),
        Row::with(
            "the secret of another certificate",
            Fault::status(200)
                .body(&secret(&pem_of_other, "application/x-pem-file"))
                .on("/secrets/"),
            &["has another certificate"],
        ),
    ];
    for Row {
        what,
        more,
        fault,
        says,
    } in rows
    {
        lab.emulator.faults().clear();
        let provider = provider(&lab, &signing(), &more).await?;
        lab.emulator.clear_journal();
        if let Some(fault) = fault {
            lab.emulator.faults().push(fault);
        }
        let error = refused(&lab, &provider).await.context(what)?;
        assert_eq!(
            error.class(),
            ErrorClass::CredentialUnavailable,
            "{what}: {error}"
        );
        let text = format!("{error:#}");
        assert!(text.contains("`vaulted`"), "{what}: {text}");
        for part in says {
            assert!(text.contains(part), "{what}: {part}: {text}");
        }
        assert!(lab.emulator.token_requests().is_empty(), "{what}");
        if what == "throttling" {
            // it is left alone, and that costs nobody time
            let before = lab.emulator.vault_requests().len();
            refused(&lab, &provider).await?;
            assert_eq!(lab.emulator.vault_requests().len(), before);
        }
    }
    lab.emulator.faults().clear();

    // who may not read it, and may then
    let machine = lab.emulator.managed_identities();
    let own = machine.iter().find(|one| one.resource_id.is_none());
    let own = own.context("the machine has none")?;
    lab.emulator.permit_vault_reader(&own.object_id, false);
    let provider = provider(&lab, &signing(), &json!({})).await?;
    let error = refused(&lab, &provider).await?;
    for part in [
        "does not let the managed identity of certificates.vaulted.key_vault.identity",
        "Key Vault Certificate User",
        "Caller is not authorized",
    ] {
        assert!(format!("{error:#}").contains(part), "{error:#}");
    }
    let ran = lab
        .edgepass(&["token", "--scope", GRAPH, "--error-format", "json"])?
        .config(&config(&lab, &signing(), &json!({})))?
        .env(METADATA, lab.metadata_authority()?)
        .run()?;
    let (code, error) = ran.error()?;
    assert_ne!(code, 2, "{error}");
    assert_eq!(error["class"], "credential-unavailable");
    lab.emulator.permit_vault_reader(&own.object_id, true);
    let begun = Instant::now();
    while let Err(error) = provider.get_token(&forced()).await {
        ensure!(begun.elapsed() < PATIENCE, "{error:#}");
    }
    // a vault that disables it has the last word for who asks anew
    lab.emulator.disable_vault_certificate("app");
    let anew = self::provider(&lab, &signing(), &json!({})).await?;
    let error = refused(&lab, &anew).await?;
    assert!(
        format!("{error:#}").contains("has disabled version"),
        "{error:#}"
    );
    lab.emulator.delete_vault_certificate("app");
    let anew = self::provider(&lab, &signing(), &json!({})).await?;
    let error = refused(&lab, &anew).await?;
    assert!(
        format!("{error:#}").contains("has no certificate"),
        "{error:#}"
    );
    Ok(())
}

#[tokio::test]
async fn the_command_reads_the_vault_and_shows_no_key() -> Result<()> {
    let lab = Lab::with_metadata("key_vault_command")?;
    let certificate = kept(&lab, VaultKey::Pem)?;
    let config = config(&lab, &signing(), &json!({}));
    let metadata = lab.metadata_authority()?;
    let ran = lab
        .edgepass(&["-v", "token", "--scope", GRAPH])?
        .config(&config)?
        .env(METADATA, &metadata)
        .run()?;
    ran.token()?;
    assert_eq!(signed_by(&lab)?, certificate.thumbprint);
    let tried = lab
        .edgepass(&["config", "check", "--try"])?
        .config(&config)?
        .env(METADATA, &metadata)
        .run()?;
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    let provider = lab.on_the_machine(&config)?.build().await?;
    let trials = provider.try_credentials(None).await?;
    assert!(trials.iter().all(|trial| trial.problem.is_none()));
    lab.issued(&provider.get_token(&graph()).await?);

    // the token for the vault is nobody's who asks the provider
    let theirs = edgepass::TokenRequest {
        identity: Some("key_vault:vaulted".to_owned()),
        ..forced()
    };
    let error = provider.get_token(&theirs).await.err().context("a token")?;
    assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
    let names: Vec<String> = provider
        .status()
        .await?
        .into_iter()
        .map(|one| one.identity)
        .collect();
    assert_eq!(names, ["app"]);
    let lines: Vec<&str> = certificate
        .private_key_pem
        .lines()
        .filter(|line| line.len() > 40)
        .collect();
    assert!(lines.len() > 10);
    let log = fs::read_to_string(output_root().join("key_vault.log"))?;
    assert!(
        log.contains("certificate vaulted: "),
        "the log is another's"
    );
    for text in [&log, &ran.stderr, &tried.stdout, &tried.stderr] {
        assert!(!lines.iter().any(|line| text.contains(line)));
    }
    Ok(())
}

/// Where the vault is one of Azure's by its name, which a proxy leads to the emulator.
#[tokio::test]
async fn appsettings_with_a_key_vault_need_no_other_configuration() -> Result<()> {
    const HOST: &str = "contoso.vault.azure.net";

    let builder = edgepass_emulator::Emulator::builder();
    let lab = Lab::of(
        "key_vault_appsettings",
        builder.metadata_port(0).host_name(HOST),
    )?;
    let proxy = ConnectProxy::start()?;
    let here = SocketAddr::from(([127, 0, 0, 1], lab.emulator.port()));
    proxy.route(&format!("{HOST}:443"), here);
    let reader = lab.user_assigned()?;
    for (more, proof) in [
        (json!({}), "certificate"),
        (json!({ "UseBoundCredential": true }), "bound-assertion"),
        (
            json!({ "ManagedIdentityClientId": reader.client_id }),
            "certificate",
        ),
    ] {
        let certificate = kept(&lab, VaultKey::Pem)?;
        let mut entry = json!({
            "SourceType": "KeyVault", "KeyVaultUrl": format!("https://{HOST}"),
            "KeyVaultCertificateName": "app",
        });
        if let (Some(entry), Some(more)) = (entry.as_object_mut(), more.as_object()) {
            entry.extend(more.clone());
        }
        let settings = json!({
            "AzureAd": {
                "Instance": lab.emulator.login_authority(), "TenantId": lab.emulator.tenant(),
                "ClientId": lab.emulator.client_id(), "ClientCredentials": [entry],
            },
            "DownstreamApis": { "graph": { "Scopes": [GRAPH] } },
        });
        let path = lab.write("appsettings.json", settings.to_string())?;
        let hosts = ["localhost", "login.localhost", "mtlsauth.localhost"]
            .map(|host| format!("{host}:{}", lab.emulator.port()));
        let variables = [
            ("EDGEPASS_AUTHORITY_HOSTS", hosts.join(",")),
            ("HTTPS_PROXY", proxy.url()),
            ("NO_PROXY", "localhost,.localhost".to_owned()),
            (METADATA, lab.metadata_authority()?),
        ];
        let mut command = lab.edgepass(&["token", "--appsettings"])?;
        command = command.arg(path.display().to_string()).without_azure();
        for (name, value) in &variables {
            command = command.env(name, value);
        }
        lab.emulator.clear_journal();
        command.run()?.token()?;
        let library = Provider::builder()
            .environment(Environment::from_pairs(variables))
            .ca_file(lab.files.ca_file())
            .appsettings(AppSettings::file(&path))
            .build()
            .await?;
        lab.issued(&library.get_token(&graph()).await?);
        let requests = lab.emulator.token_requests();
        assert_eq!(requests.len(), 2);
        for request in requests {
            assert_eq!(request.method_of_proof.as_deref(), Some(proof));
        }
        assert_eq!(signed_by(&lab)?, certificate.thumbprint);
        let selects = lab.emulator.metadata_requests();
        assert!(selects.iter().all(|one| {
            one.query.contains(&reader.client_id) == more.get("ManagedIdentityClientId").is_some()
        }));
    }
    assert!(!proxy.requests().is_empty());
    Ok(())
}
