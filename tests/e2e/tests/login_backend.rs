//! `examples/login-backend` beside the emulator: a browser signs in, the back end calls on behalf of the user, tokens are renewed
//! and replaced, and what a browser should not be able to do it cannot.

#[path = "../../../examples/login-backend/src/backend.rs"]
mod backend;
#[path = "../../../examples/login-backend/src/sessions.rs"]
mod sessions;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use edgepass_e2e::Lab;
use serde_json::Value;
use tower_service::Service as _;

use crate::backend::{Backend, Settings};

/// Where browsers find the back end.
const PUBLIC_URL: &str = "https://app.example";

/// What the API of the user's is asked for.
const DOWNSTREAM: &str = "https://graph.microsoft.com/.default";

/// Bytes of an answer: all are short.
const ANSWER: usize = 64 * 1024;

/// A back end, the server beside it, and the way between the two.
struct World {
    lab: Lab,
    router: Router,
    server: reqwest::Client,
}

impl World {
    async fn new(lab: Lab) -> Result<Self> {
        let mut app = lab
            .emulator
            .app(lab.emulator.client_id())
            .context("the application")?;
        app.redirect_uris.push(format!("{PUBLIC_URL}/callback"));
        lab.emulator.register_app(app);
        let provider = lab.provider().build().await?;
        let settings = Settings {
            public_url: PUBLIC_URL.to_owned(),
            own_scope: format!("{}/.default", lab.emulator.own_resource()),
            downstream_scope: DOWNSTREAM.to_owned(),
        };
        let ca = reqwest::Certificate::from_pem(lab.emulator.ca_pem().as_bytes())?;
        let server = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            router: Backend::new(provider, settings)?.router(),
            lab,
            server,
        })
    }

    /// Where the server sends a browser that goes to that address and signs in as that user.
    async fn signs_in(&self, url: &str, user: &str) -> Result<String> {
        let answer = self
            .server
            .get(format!("{url}&login_hint={user}"))
            .send()
            .await?;
        let to = answer.headers().get("location");
        let to = to.context("the server sends the browser nowhere")?;
        let to = to.to_str()?.strip_prefix(PUBLIC_URL);
        Ok(to.context("it sends it to somebody else")?.to_owned())
    }
}

/// One browser, with its cookies.
#[derive(Clone)]
struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
}

/// What a browser sees.
struct Seen {
    status: StatusCode,
    location: String,
    body: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        Self {
            router: world.router.clone(),
            cookies: BTreeMap::new(),
        }
    }

    async fn get(&mut self, path: &str) -> Result<Seen> {
        self.send(Method::GET, path).await
    }

    async fn send(&mut self, method: Method, path: &str) -> Result<Seen> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookies.join("; "))
            .body(Body::empty())?;
        let response = self.router.call(request).await?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let mut parts = cookie.to_str()?.split("; ");
            let (name, value) = parts
                .next()
                .and_then(|pair| pair.split_once('='))
                .context("a cookie")?;
            let attributes: Vec<_> = parts.collect();
            for needed in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                ensure!(attributes.contains(&needed), "{name}: no {needed}");
            }
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(header::LOCATION);
        Ok(Seen {
            status: response.status(),
            location: location
                .map(|to| to.to_str())
                .transpose()?
                .unwrap_or_default()
                .to_owned(),
            body: String::from_utf8(to_bytes(response.into_body(), ANSWER).await?.to_vec())?,
        })
    }

    /// Signs in, and says with which path it has come back.
    async fn sign_in(&mut self, world: &World, user: &str) -> Result<String> {
        let begun = self.get("/login").await?;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.body);
        let back = world.signs_in(&begun.location, user).await?;
        let ended = self.get(&back).await?;
        assert_eq!(
            (ended.status, ended.location.as_str()),
            (StatusCode::SEE_OTHER, "/me"),
            "{}",
            ended.body
        );
        Ok(back)
    }
}

impl Seen {
    fn json(&self) -> Result<Value> {
        ensure!(
            self.status == StatusCode::OK,
            "{}: {}",
            self.status,
            self.body
        );
        Ok(serde_json::from_str(&self.body)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_and_is_acted_for() -> Result<()> {
    let world = World::new(Lab::new("login_backend")?).await?;
    let alice = world.lab.emulator.username();
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/me").await?.status, StatusCode::UNAUTHORIZED);
    browser.sign_in(&world, alice).await?;

    let me = browser.get("/me").await?;
    let name = &world.lab.emulator.user(alice).context("alice")?.name;
    assert_eq!(&me.json()?["name"], name);
    let call = browser.get("/call").await?;
    assert_eq!(&call.json()?["on_behalf_of"], name);

    // twice, and the second time out of the cache
    let before = world.lab.emulator.token_requests().len();
    browser.get("/call").await?.json()?;
    assert_eq!(world.lab.emulator.token_requests().len(), before);

    // what the browser has is two random names
    for seen in [&me, &call] {
        assert!(!seen.body.contains("eyJ"), "{}", seen.body);
    }
    assert!(browser.cookies.values().all(|value| value.len() == 43));

    browser.send(Method::POST, "/logout").await?;
    assert_eq!(browser.get("/me").await?.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_of_one_browser_and_counts_once() -> Result<()> {
    let world = World::new(Lab::new("login_backend_browsers")?).await?;
    let alice = world.lab.emulator.username();
    let (mut victim, mut other) = (Browser::new(&world), Browser::new(&world));
    let begun = victim.get("/login").await?;
    let back = world.signs_in(&begun.location, alice).await?;
    other.get("/login").await?;
    world.lab.emulator.clear_journal();

    // the code is brought by a browser with a sign-in of its own, and by one without
    for browser in [&mut other, &mut Browser::new(&world)] {
        assert_eq!(browser.get(&back).await?.status, StatusCode::BAD_REQUEST);
        assert_eq!(browser.get("/me").await?.status, StatusCode::UNAUTHORIZED);
    }
    // with another state, without a code, and with the server's error
    for wrong in [
        back.replace("state=", "state=x"),
        back.replace("state=", "stat="),
        back.replace("code=", "error=access_denied&cod="),
    ] {
        let mut browser = Browser::new(&world);
        browser.get("/login").await?;
        assert_eq!(browser.get(&wrong).await?.status, StatusCode::BAD_REQUEST);
    }
    assert!(
        world.lab.emulator.token_requests().is_empty(),
        "nothing was sent"
    );

    // who has begun it ends it, once
    assert_eq!(victim.get(&back).await?.status, StatusCode::SEE_OTHER);
    assert_eq!(victim.get(&back).await?.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_and_replaced() -> Result<()> {
    // less than what the back end wants an access token to be good for, so that each request renews it
    let builder = edgepass_emulator::Emulator::builder().access_token_lifetime(60);
    let world = World::new(Lab::of("login_backend_renewal", builder)?).await?;
    world.lab.emulator.set_refresh_once(true);
    let alice = world.lab.emulator.username();
    let mut browser = Browser::new(&world);
    browser.sign_in(&world, alice).await?;
    world.lab.emulator.clear_journal();

    // at once: none sends a refresh token that another has sent already
    let requests = (0..8).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { browser.get("/me").await })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await??.json()?;
    }
    assert_eq!(world.lab.emulator.token_requests().len(), 8);

    world.lab.emulator.revoke_user(alice)?;
    let after = browser.get("/me").await?;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED, "{}", after.body);
    Ok(())
}
