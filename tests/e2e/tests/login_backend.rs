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
        let hint = match url.contains("&login_hint=") {
            true => String::new(),
            false => format!("&login_hint={user}"),
        };
        let answer = self.server.get(format!("{url}{hint}")).send().await?;
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

    /// Opens a page as a person does, and goes where it leads: at the server as that user.
    async fn open(&mut self, world: &World, path: &str, user: &str) -> Result<(Seen, Vec<String>)> {
        let mut way = vec![path.to_owned()];
        for _ in 0..8 {
            let Some(last) = way.last().cloned() else {
                break;
            };
            let next = if last.starts_with('/') {
                let seen = self.navigate(&last).await?;
                if seen.status != StatusCode::SEE_OTHER {
                    return Ok((seen, way));
                }
                seen.location
            } else {
                world.signs_in(&last, user).await?
            };
            way.push(next);
        }
        anyhow::bail!("round and round: {way:?}")
    }

    async fn navigate(&mut self, path: &str) -> Result<Seen> {
        self.send_as(Method::GET, path, "text/html,application/xhtml+xml")
            .await
    }

    async fn send(&mut self, method: Method, path: &str) -> Result<Seen> {
        self.send_as(method, path, "*/*").await
    }

    async fn send_as(&mut self, method: Method, path: &str, accept: &str) -> Result<Seen> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::ACCEPT, accept)
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

/// Two tabs of one browser begin a sign-in each, and each ends its own, whichever comes first; none of them counts twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_sign_in_at_once() -> Result<()> {
    let world = World::new(Lab::new("login_backend_tabs")?).await?;
    let alice = world.lab.emulator.username();
    for first in [0, 1] {
        let mut browser = Browser::new(&world);
        let mut tabs = Vec::new();
        for page in ["/me", "/call"] {
            let begun = browser.get(&format!("/login?page={page}")).await?;
            tabs.push((world.signs_in(&begun.location, alice).await?, page));
        }
        assert_eq!(browser.cookies.len(), 2);
        for at in [first, 1 - first] {
            let (back, page) = &tabs[at];
            let ended = browser.get(back).await?;
            assert_eq!(
                (ended.status, ended.location.as_str()),
                (StatusCode::SEE_OTHER, *page)
            );
            browser.get(page).await?.json()?;
            // one that is done says so, and leaves the session as it is
            let again = browser.get(back).await?;
            ensure!(
                again.status == StatusCode::BAD_REQUEST && again.body.contains("begin anew"),
                "{}",
                again.body
            );
            browser.get("/me").await?.json()?;
        }
        // nothing but the session is left
        assert_eq!(browser.cookies.len(), 1);
    }
    // tabs that nobody comes back to are not kept for ever
    let mut browser = Browser::new(&world);
    for _ in 0..20 {
        browser.get("/login").await?;
        ensure!(browser.cookies.len() <= 9, "{}", browser.cookies.len());
    }
    browser.sign_in(&world, alice).await?;
    Ok(())
}

/// A page that somebody opens who is not signed in is there when he is, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_leads_back_to_where_it_was_begun() -> Result<()> {
    let world = World::new(Lab::new("login_backend_back")?).await?;
    let alice = world.lab.emulator.username();
    for (opened, ends) in [
        ("/me", "/me"),
        ("/call", "/call"),
        ("/login", "/me"),
        ("/login?page=/call", "/call"),
        ("/login?page=https://evil.example/", "/me"),
        ("/login?page=//evil.example/", "/me"),
        ("/login?page=/logout", "/me"),
    ] {
        let (seen, way) = Browser::new(&world).open(&world, opened, alice).await?;
        seen.json().with_context(|| format!("{way:?}"))?;
        assert_eq!(way.last().map(String::as_str), Some(ends), "{way:?}");
    }
    // a script is told, and sent nowhere
    let told = Browser::new(&world).get("/call").await?;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    ensure!(told.body.contains("/login?page=/call"), "{}", told.body);
    Ok(())
}

/// The API demands a second factor: the user signs in again with it, as himself, and is back at the call.
#[tokio::test(flavor = "multi_thread")]
async fn more_is_proved_where_more_is_demanded() -> Result<()> {
    const GRAPH: &str = "https://graph.microsoft.com";

    let world = World::new(Lab::new("login_backend_step_up")?).await?;
    let emulator = &world.lab.emulator;
    let alice = emulator.username();
    let user = emulator.user(alice).context("alice")?;
    let mut browser = Browser::new(&world);
    browser.sign_in(&world, alice).await?;
    emulator.register_user(user.second_factor_for(GRAPH));

    // a script is told where
    let told = browser.get("/call").await?;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{}", told.body);
    ensure!(!told.body.contains("capolids"), "{}", told.body);
    // a person is led there and back
    let (seen, way) = browser.open(&world, "/call", alice).await?;
    seen.json().with_context(|| format!("{way:?}"))?;
    let paths: Vec<&str> = way
        .iter()
        .filter(|url| url.starts_with('/'))
        .filter_map(|url| url.split('?').next())
        .collect();
    assert_eq!(paths, ["/call", "/login", "/callback", "/call"]);
    let asked = way.iter().find(|url| url.starts_with("https://"));
    let asked = asked.context("it was not sent to the server")?;
    ensure!(
        asked.contains("&claims=") && asked.contains("capolids"),
        "{asked}"
    );
    ensure!(asked.contains("&login_hint="), "{asked}");
    // and needs not do it again
    browser.get("/call").await?.json()?;
    browser.get("/me").await?.json()?;
    Ok(())
}

/// What signing in does not cure is an answer, and not a browser that goes round and round.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_demanded_again_is_refused() -> Result<()> {
    let world = World::new(Lab::new("login_backend_circle")?).await?;
    let emulator = &world.lab.emulator;
    let alice = emulator.username();
    let mut browser = Browser::new(&world);
    browser.sign_in(&world, alice).await?;
    // before the sign-in and after it, whose code is redeemed
    for passed in [0, 1] {
        let refusal = edgepass_emulator::Fault::aadsts(50_076).on("/token");
        emulator.faults().push(refusal.after(passed).times(1));
    }
    let (seen, way) = browser.open(&world, "/call", alice).await?;
    assert_eq!(seen.status, StatusCode::FORBIDDEN, "{way:?}: {}", seen.body);
    // what needs no more is there all the same
    browser.get("/me").await?.json()?;
    Ok(())
}
