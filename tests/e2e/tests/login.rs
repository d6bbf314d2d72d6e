//! Acceptance: the real python-social-auth signs a user in against the emulator, with the assertion of a token file in the
//! place of a secret, by every kind of endpoint that it has, and renews the tokens with it. The browser is ours, and the
//! checks are python-social-auth's own: state, signature, issuer and audience of the ID token, tenant, user flow. With the
//! same settings edgepass sends the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use edgepass::{AuthorizationOptions, Environment, Grant, Provider, Secret, TokenRequest};
use edgepass_e2e::{Browser, Lab, Page, peers_python, peers_script};
use edgepass_emulator::{Fault, JournalEntry, Mint, Tenant};
use serde_json::{Map, Value, json};

/// A backend of python-social-auth, what its settings begin with, and the path of its token endpoint.
struct Backend {
    name: &'static str,
    prefix: &'static str,
    path: &'static str,
}

const BACKENDS: &[Backend] = &[
    Backend {
        name: "azuread-oauth2",
        prefix: "AZUREAD_OAUTH2",
        path: "/common/oauth2/token",
    },
    Backend {
        name: "azuread-oauth2-v2",
        prefix: "AZUREAD_OAUTH2_V2",
        path: "/common/oauth2/v2.0/token",
    },
    Backend {
        name: "azuread-tenant-oauth2",
        prefix: "AZUREAD_TENANT_OAUTH2",
        path: "/{tenant}/oauth2/token",
    },
    Backend {
        name: "azuread-v2-tenant-oauth2",
        prefix: "AZUREAD_V2_TENANT_OAUTH2",
        path: "/{tenant}/oauth2/v2.0/token",
    },
    Backend {
        name: "azuread-b2c-oauth2",
        prefix: "AZUREAD_B2C_OAUTH2",
        path: "/fabrikam.onmicrosoft.com/oauth2/v2.0/token",
    },
];

/// What the assertion is in a form.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The application with python-social-auth, running.
struct Site {
    url: String,
    child: Child,
    // it ends with it
    _stdin: ChildStdin,
}

impl Site {
    fn start(lab: &Lab) -> Result<Self> {
        Self::start_with(lab, &settings(lab))
    }

    /// Starts it, and registers where it wants its users back.
    fn start_with(lab: &Lab, settings: &Value) -> Result<Self> {
        lab.emulator.register_tenant(Tenant {
            id: lab.emulator.tenant().to_owned(),
            domains: vec![
                lab.emulator.tenant_domain().to_owned(),
                "fabrikam.onmicrosoft.com".to_owned(),
            ],
        });
        let settings = lab.write("social_auth.json", settings.to_string())?;
        let mut child = Command::new(peers_python()?)
            .arg(peers_script("social_auth_app.py")?)
            .arg(settings)
            .env_clear()
            .env("REQUESTS_CA_BUNDLE", lab.files.ca_file())
            .env("AZURE_FEDERATED_TOKEN_FILE", lab.files.token_file())
            .env("NO_PROXY", "localhost,127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run Python")?;
        let stdin = child.stdin.take().context("standard input")?;
        let mut stdout = BufReader::new(child.stdout.take().context("standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)
            .with_context(|| format!("the application does not start: {line}"))?;
        let url = ready
            .pointer("/url")
            .and_then(Value::as_str)
            .context("no address")?
            .to_owned();
        let app = lab.emulator.app(lab.emulator.client_id());
        let mut app = app.context("no application")?;
        for backend in BACKENDS {
            app = app.redirect_uri(&format!("{url}/complete/{}/", backend.name));
        }
        lab.emulator.register_app(app);
        Ok(Self {
            url,
            child,
            _stdin: stdin,
        })
    }

    fn login(&self, backend: &Backend) -> String {
        format!("{}/login/{}/", self.url, backend.name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The settings as a deployment has them: no secret, for the token file is in the environment.
fn settings(lab: &Lab) -> Value {
    let mut settings = Map::new();
    for backend in BACKENDS {
        let mut set = |name: &str, value: Value| {
            settings.insert(format!("SOCIAL_AUTH_{}_{name}", backend.prefix), value);
        };
        set("KEY", json!(lab.emulator.client_id()));
        set(
            "AUTHORITY_HOST",
            json!(format!("localhost:{}", lab.emulator.port())),
        );
        set("TENANT_ID", json!(lab.emulator.tenant()));
        set("TENANT_NAME", json!("fabrikam"));
        set("POLICY", json!("b2c_1_signin"));
        set(
            "AUTH_EXTRA_ARGUMENTS",
            json!({ "login_hint": lab.emulator.username() }),
        );
        // for a refresh token; a user flow has an access token only for an API
        let more = match backend.name {
            "azuread-b2c-oauth2" => json!([lab.emulator.client_id(), "offline_access"]),
            _ => json!(["offline_access"]),
        };
        set("SCOPE", more);
    }
    Value::Object(settings)
}

/// What the application says of whoever is signed in.
fn said(page: &Page) -> Result<Value> {
    ensure!(page.status == 200, "{}: {}", page.status, page.text);
    Ok(serde_json::from_str(&page.text)?)
}

fn fields(request: &JournalEntry) -> Vec<String> {
    request.form().into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn python_social_auth_signs_users_in_with_a_token_file() -> Result<()> {
    let lab = Lab::new("login")?;
    let site = Site::start(&lab)?;
    for backend in BACKENDS {
        lab.emulator.clear_journal();
        let browser = Browser::new(&lab)?;
        let page = browser.open(&site.login(backend)).await?;
        let me = said(&page).context(backend.name)?;
        assert_eq!(page.url.path(), "/me", "{}", backend.name);
        assert_eq!(me["backend"], backend.name);
        assert_eq!(me["email"], lab.emulator.username(), "{me}");
        for token in ["access_token", "refresh_token", "id_token", "uid"] {
            ensure!(me[token].is_string(), "{}: no {token}: {me}", backend.name);
        }
        // the assertion is read when it is needed
        lab.rotate_token(&Mint::new())?;
        let renewed = said(&browser.open(&format!("{}/refresh", site.url)).await?)?;
        ensure!(renewed["access_token"] != me["access_token"], "{renewed}");
        ensure!(renewed["refresh_token"] != me["refresh_token"], "{renewed}");
        assert_eq!(renewed["uid"], me["uid"]);

        let requests = lab.emulator.token_requests();
        let [code, refresh] = requests.as_slice() else {
            anyhow::bail!("{}: {} requests", backend.name, requests.len());
        };
        let path = backend.path.replace("{tenant}", lab.emulator.tenant());
        for request in [code, refresh] {
            assert_eq!(request.path, path);
            assert_eq!(request.status, Some(200), "{:?}", request.aadsts);
            assert_eq!(request.method_of_proof.as_deref(), Some("federated"));
            assert_eq!(
                request.field("client_assertion_type").as_deref(),
                Some(JWT_BEARER)
            );
            assert_eq!(request.field("client_secret"), None);
            let is_b2c = backend.name.contains("b2c");
            assert_eq!(request.query, if is_b2c { "p=b2c_1_signin" } else { "" });
        }
        ensure!(code.field("client_assertion") != refresh.field("client_assertion"));
        assert_eq!(
            fields(code),
            [
                "grant_type",
                "code",
                "redirect_uri",
                "client_id",
                "client_assertion_type",
                "client_assertion",
            ]
        );
        assert_eq!(
            fields(refresh),
            [
                "client_id",
                "refresh_token",
                "grant_type",
                "client_assertion_type",
                "client_assertion",
            ]
        );
    }
    Ok(())
}

#[tokio::test]
async fn with_pkce_too() -> Result<()> {
    let lab = Lab::new("login_pkce")?;
    let mut with_pkce = settings(&lab);
    for backend in BACKENDS {
        with_pkce[format!("SOCIAL_AUTH_{}_USE_PKCE", backend.prefix)] = json!(true);
    }
    let site = Site::start_with(&lab, &with_pkce)?;
    for backend in BACKENDS {
        lab.emulator.clear_journal();
        let browser = Browser::new(&lab)?;
        said(&browser.open(&site.login(backend)).await?).context(backend.name)?;
        let requests = lab.emulator.token_requests();
        let [code] = requests.as_slice() else {
            anyhow::bail!("{}: {} requests", backend.name, requests.len());
        };
        ensure!(code.field("code_verifier").is_some(), "{}", backend.name);
    }
    Ok(())
}

/// What goes wrong is said by the application, and nothing is sent for it that should not be.
#[tokio::test]
async fn a_sign_in_that_fails_says_why() -> Result<()> {
    let lab = Lab::new("login_failures")?;
    let site = Site::start(&lab)?;
    let backend = &BACKENDS[3];
    let refused = |page: &Page, error: &str| -> Result<()> {
        ensure!(page.status == 403, "{}: {}", page.status, page.text);
        let said: Value = serde_json::from_str(&page.text)?;
        ensure!(said["error"] == error, "{said}");
        Ok(())
    };

    // a state that is not the browser's own
    let (_, next) = Browser::new(&lab)?.look(&site.login(backend)).await?;
    let authorization = next.context("no redirect")?;
    let page = Browser::new(&lab)?.open(authorization.as_str()).await?;
    refused(&page, "AuthSessionError")?;
    // a callback that comes twice
    let browser = Browser::new(&lab)?;
    let page = browser.open(&site.login(backend)).await?;
    let callback = page
        .way
        .iter()
        .find(|url| url.path().starts_with("/complete/"));
    let again = browser
        .open(callback.context("no callback")?.as_str())
        .await?;
    refused(&again, "AuthSessionError")?;
    assert_eq!(lab.emulator.token_requests().len(), 1);

    // a token of another workload in the file
    lab.rotate_token(&Mint::new().subject("system:serviceaccount:default:other"))?;
    lab.emulator.clear_journal();
    let page = Browser::new(&lab)?.open(&site.login(backend)).await?;
    ensure!(page.status == 403, "{}", page.text);
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].aadsts, Some(700_213));
    lab.rotate_token(&Mint::new())?;

    // an ID token by a key that nobody has published
    lab.emulator
        .faults()
        .push(Fault::id_token(Mint::new().foreign_key().kid("unknown")).on("/token"));
    let page = Browser::new(&lab)?.open(&site.login(backend)).await?;
    refused(&page, "AuthResponseError")?;
    // a rotation of keys is no fault
    lab.emulator.rotate_signing_key(false)?;
    said(&Browser::new(&lab)?.open(&site.login(backend)).await?)?;

    // a user who does not consent
    let mut user = lab
        .emulator
        .user(lab.emulator.username())
        .context("no user")?;
    user.consents.clear();
    lab.emulator.register_user(user);
    lab.emulator.set_users_consent(false);
    lab.emulator.clear_journal();
    let v2 = &BACKENDS[1];
    let page = Browser::new(&lab)?.open(&site.login(v2)).await?;
    refused(&page, "AuthCanceled")?;
    assert!(lab.emulator.token_requests().is_empty());
    lab.emulator.set_users_consent(true);

    // a refresh token that was revoked
    let browser = Browser::new(&lab)?;
    said(&browser.open(&site.login(backend)).await?)?;
    lab.emulator.revoke_user(lab.emulator.username())?;
    let page = browser.open(&format!("{}/refresh", site.url)).await?;
    ensure!(page.status == 403, "{}", page.text);
    let last = lab.emulator.token_requests().pop().context("no request")?;
    assert_eq!(last.aadsts, Some(50_173));
    Ok(())
}

/// A provider with a backend's settings, as edgepass reads them.
async fn provider(lab: &Lab, backend: &Backend) -> Result<Provider> {
    let Value::Object(mut own) = settings(lab) else {
        anyhow::bail!("settings are an object");
    };
    let prefix = format!("SOCIAL_AUTH_{}_", backend.prefix);
    let kept = [
        "KEY",
        "AUTHORITY_HOST",
        "TENANT_ID",
        "TENANT_NAME",
        "POLICY",
    ];
    own.retain(|name, _| {
        let name = name.strip_prefix(&prefix);
        name.is_some_and(|name| kept.contains(&name))
    });
    let path = format!("{}.json", backend.name);
    let path = lab.write(&path, Value::Object(own).to_string())?;
    let mut variables = lab.env();
    variables.retain(|name, _| {
        ["EDGEPASS_AUTHORITY_HOSTS", "AZURE_FEDERATED_TOKEN_FILE"].contains(&name.as_str())
    });
    let builder = Provider::builder().social_auth(path);
    let builder = builder.environment(Environment::from_pairs(variables));
    Ok(builder.ca_file(lab.files.ca_file()).build().await?)
}

/// The pairs of a form as they are written, whatever their order; codes and refresh tokens are new each time.
fn pairs(request: &JournalEntry) -> Result<BTreeSet<String>> {
    let body = std::str::from_utf8(&request.body).context("a form is ASCII")?;
    let pairs = body.split('&').map(|pair| match pair.split_once('=') {
        Some((name @ ("code" | "refresh_token"), _)) => format!("{name}=new"),
        _ => pair.to_owned(),
    });
    Ok(pairs.collect())
}

/// The same exchange with the same settings: what is sent for a code, and for a refresh token.
#[tokio::test]
async fn edgepass_redeems_with_the_same_bytes() -> Result<()> {
    let lab = Lab::new("login_bytes")?;
    let site = Site::start(&lab)?;
    for backend in BACKENDS {
        lab.emulator.clear_journal();
        let browser = Browser::new(&lab)?;
        said(&browser.open(&site.login(backend)).await?).context(backend.name)?;
        said(&browser.open(&format!("{}/refresh", site.url)).await?)?;
        let theirs = lab.emulator.token_requests();
        ensure!(theirs.len() == 2, "{}", theirs.len());

        // a sign-in of another browser, whose code does not go to the application
        let browser = Browser::new(&lab)?;
        let back = format!("{}/complete/{}/", site.url, backend.name);
        let arrived = browser.until(&site.login(backend), &back).await?;
        let code = arrived.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.with_context(|| arrived.to_string())?;
        lab.emulator.clear_journal();
        let provider = provider(&lab, backend).await?;
        let nothing: [&str; 0] = [];
        let request = TokenRequest::for_scopes(nothing);
        let redemption = Grant::AuthorizationCode {
            code: Secret::new(code),
            redirect_uri: back,
            code_verifier: None,
            nonce: None,
        };
        let token = provider
            .get_token(&request.clone().with_grant(redemption))
            .await;
        let token = token.context(backend.name)?;
        lab.issued(&token);
        ensure!(token.id_token.is_some(), "{}: no ID token", backend.name);
        let refresh_token = token.refresh_token.clone().context("no refresh token")?;
        let renewed = Grant::RefreshToken(refresh_token);
        let renewed = provider.get_token(&request.with_grant(renewed)).await;
        lab.issued(&renewed.context(backend.name)?);
        let ours = lab.emulator.token_requests();
        ensure!(ours.len() == 2, "{}", ours.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            same(&lab, ours, theirs).context(backend.name)?;
        }
    }
    Ok(())
}

/// A sign-in by edgepass with the same settings begins where python-social-auth's begins, with the same parameters and those of
/// PKCE besides; its ID token is validated by what describes the server, and renewed.
#[tokio::test]
async fn edgepass_signs_in_at_the_same_place() -> Result<()> {
    let lab = Lab::new("login_begins")?;
    let site = Site::start(&lab)?;
    for backend in BACKENDS {
        let (_, theirs) = Browser::new(&lab)?.look(&site.login(backend)).await?;
        let theirs = theirs.context("no redirect")?;
        let of = |url: &reqwest::Url| {
            BTreeMap::<String, String>::from_iter(url.query_pairs().into_owned())
        };
        let their_parameters = of(&theirs);
        let scope = their_parameters.get("scope").context("no scope")?;
        let provider = provider(&lab, backend).await?;
        let back = format!("{}/complete/{}/", site.url, backend.name);
        let options = AuthorizationOptions {
            redirect_uri: back.clone(),
            scopes: scope.split(' ').map(str::to_owned).collect(),
            login_hint: Some(lab.emulator.username().to_owned()),
            ..AuthorizationOptions::default()
        };
        let ours = provider.authorization_request(None, options).await;
        let ours = ours.context(backend.name)?;
        let url: reqwest::Url = ours.url.parse()?;
        let path = theirs
            .path()
            .replace("/common/", &format!("/{}/", lab.emulator.tenant()));
        assert_eq!(
            (url.host_str(), url.port(), url.path()),
            (theirs.host_str(), theirs.port(), path.as_str())
        );
        let our_parameters = of(&url);
        for (name, value) in &their_parameters {
            match name.as_str() {
                "state" | "nonce" => ensure!(our_parameters.contains_key(name), "no {name}"),
                // of Entra's first version the resource is a parameter of its own
                "scope" if our_parameters.contains_key("resource") => {}
                // theirs names some twice
                "scope" => {
                    let words =
                        |scope: &str| scope.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
                    let ours = our_parameters.get(name).map(|scope| words(scope));
                    assert_eq!(ours, Some(words(value)), "{}", backend.name);
                }
                _ => assert_eq!(
                    our_parameters.get(name),
                    Some(value),
                    "{name} of {}",
                    backend.name
                ),
            }
        }
        let is_b2c = backend.name.contains("b2c");
        assert_eq!(our_parameters.contains_key("p"), is_b2c);
        let more = our_parameters
            .keys()
            .filter(|name| !their_parameters.contains_key(*name));
        let more: Vec<&str> = more.map(String::as_str).collect();
        for name in more {
            ensure!(
                [
                    "code_challenge",
                    "code_challenge_method",
                    "nonce",
                    "resource"
                ]
                .contains(&name),
                "{name}"
            );
        }

        lab.emulator.clear_journal();
        let arrived = Browser::new(&lab)?.until(&ours.url, &back).await?;
        let code = ours.code(arrived.query().unwrap_or_default())?;
        let nonce = ours.nonce.as_ref().context("no nonce")?;
        let redemption = Grant::authorization_code(code, &back)
            .with_code_verifier(ours.code_verifier.clone())
            .with_nonce(nonce.expose());
        let nothing: [&str; 0] = [];
        let request = TokenRequest::for_scopes(nothing);
        let token = provider
            .get_token(&request.clone().with_grant(redemption))
            .await;
        let token = token.context(backend.name)?;
        lab.issued(&token);
        ensure!(token.id_token.is_some(), "{}: no ID token", backend.name);
        let renewed = Grant::RefreshToken(token.refresh_token.clone().context("no refresh token")?);
        lab.issued(
            &provider
                .get_token(&request.with_grant(renewed))
                .await
                .context(backend.name)?,
        );
        // the metadata of the user flow, where python-social-auth asks for it as well
        if is_b2c {
            let asked = lab.emulator.journal();
            let metadata = asked
                .iter()
                .find(|entry| entry.path.ends_with("/openid-configuration"));
            let metadata = metadata.context("no metadata were asked for")?;
            assert_eq!(
                metadata.path,
                "/fabrikam.onmicrosoft.com/v2.0/.well-known/openid-configuration"
            );
            assert_eq!(metadata.query, "p=b2c_1_signin");
        }
    }
    Ok(())
}

/// An ID token of a user flow that another issuer has issued, or another key has signed, is none.
#[tokio::test]
async fn an_id_token_of_another_issuer_is_none_of_the_user_flow() -> Result<()> {
    let lab = Lab::new("login_b2c_forged")?;
    let site = Site::start(&lab)?;
    let backend = BACKENDS.last().context("B2C is the last")?;
    let provider = provider(&lab, backend).await?;
    let back = format!("{}/complete/{}/", site.url, backend.name);
    for (wrong, says) in [
        (
            Mint::new().issuer("https://fabrikam.b2clogin.com/other/v2.0/"),
            "(iss), and not by",
        ),
        (Mint::new().foreign_key(), "signature"),
    ] {
        let options = AuthorizationOptions {
            redirect_uri: back.clone(),
            scopes: ["openid", lab.emulator.client_id()]
                .map(str::to_owned)
                .into(),
            login_hint: Some(lab.emulator.username().to_owned()),
            ..AuthorizationOptions::default()
        };
        let begun = provider.authorization_request(None, options).await?;
        let arrived = Browser::new(&lab)?.until(&begun.url, &back).await?;
        let code = begun.code(arrived.query().unwrap_or_default())?;
        lab.emulator
            .faults()
            .push(Fault::id_token(wrong).on("/token"));
        let nonce = begun.nonce.as_ref().context("no nonce")?;
        let redemption = Grant::authorization_code(code, &back)
            .with_code_verifier(begun.code_verifier.clone())
            .with_nonce(nonce.clone());
        let nothing: [&str; 0] = [];
        let request = TokenRequest::for_scopes(nothing).with_grant(redemption);
        let error = provider.get_token(&request).await.err();
        let said = format!("{:#}", error.context("it is taken")?);
        ensure!(said.contains(says), "{says}: {said}");
    }
    Ok(())
}

/// That two requests are the same but for where they go: whoever has one tenant asks there, and not for all of them.
fn same(lab: &Lab, ours: &JournalEntry, theirs: &JournalEntry) -> Result<()> {
    assert_eq!(pairs(ours)?, pairs(theirs)?);
    let path = theirs
        .path
        .replace("/common/", &format!("/{}/", lab.emulator.tenant()));
    assert_eq!(ours.path, path);
    assert_eq!(ours.query, theirs.query);
    for header in ["content-type", "accept"] {
        assert_eq!(ours.header(header), theirs.header(header), "{header}");
    }
    Ok(())
}
