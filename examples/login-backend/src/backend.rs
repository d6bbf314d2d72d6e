//! The routes: /login, /callback, /me, /call, /logout.
//!
//! Each sign-in has a cookie of its own, by its state, so that two tabs of a browser do not take each other's. A sign-in knows
//! where it came from: who was at /call and has to prove more (a second factor) is back there when it is done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass::{
    AuthorizationOptions, AuthorizationRequest, Error, ErrorClass, Grant, Provider, Secret, Token,
    TokenRequest,
};
use serde_json::{Value, json};

use crate::sessions::Kept;

/// How long somebody may take to sign in.
const SIGN_IN: Duration = Duration::from_secs(10 * 60);

/// How long a session lives, whatever the server's tokens do.
const SESSION: Duration = Duration::from_secs(8 * 60 * 60);

/// An access token is renewed when it is good for less than this.
const MARGIN: Duration = Duration::from_secs(2 * 60);

/// How soon the same demand again says that signing in does not meet it. A browser would go round and round.
const AGAIN: Duration = Duration::from_secs(60);

/// Sign-ins of one browser at once. Its cookies come with each request, so there is an end to them.
const MOST_AT_ONCE: usize = 8;

/// Where a sign-in may lead back to, the usual one first. Nothing else: an address that comes from outside would send users
/// anywhere.
const PAGES: [&str; 2] = ["/me", "/call"];

/// Browsers take cookies with this prefix only over https (and from localhost), for this host alone (RFC 6265bis). The sign-in's
/// has a part of its state behind it.
const SIGN_IN_COOKIE: &str = "__Host-sign-in-";
const SESSION_COOKIE: &str = "__Host-session";

/// What the back end has to know of itself.
pub(crate) struct Settings {
    /// Where browsers find it: `https://app.example`.
    pub(crate) public_url: String,
    /// A scope of the application's own API: the access token of a sign-in is for the application itself, because only such a
    /// one can be exchanged on behalf of the user.
    pub(crate) own_scope: String,
    /// The scope of the API that is called.
    pub(crate) downstream_scope: String,
}

/// Tokens, sign-ins under way, and sessions. The browser gets nothing but two random names.
pub(crate) struct Backend {
    provider: Provider,
    redirect_uri: String,
    scopes: Vec<String>,
    downstream: TokenRequest,
    sign_ins: Kept<SignIn>,
    sessions: Kept<Session>,
}

/// A sign-in under way.
struct SignIn {
    request: AuthorizationRequest,
    /// Where the browser was.
    page: &'static str,
    /// Whose session has to prove more, and what was demanded.
    step_up: Option<(String, Demand)>,
}

/// What a server demands of a user before it gives a token: claims (OpenID Connect Core section 5.5), if it says which.
#[derive(Clone, PartialEq)]
struct Demand(Option<String>);

/// Somebody who is signed in.
struct Session {
    name: String,
    subject: String,
    /// Who that is, for the next sign-in.
    login_hint: Option<String>,
    /// What this sign-in was for, and when.
    met: Option<(Demand, Instant)>,
    /// What the next sign-in is for.
    demanded: Mutex<Option<Demand>>,
    /// Locked while it is renewed: a refresh token may count once, so two requests must not send the same.
    tokens: tokio::sync::Mutex<Tokens>,
}

struct Tokens {
    access: Token,
    refresh: Option<Secret>,
}

impl Backend {
    pub(crate) fn new(provider: Provider, settings: Settings) -> anyhow::Result<Arc<Self>> {
        let public_url = settings.public_url.trim_end_matches('/');
        anyhow::ensure!(
            public_url.starts_with("https://") || public_url.starts_with("http://localhost:"),
            "PUBLIC_URL is not https, so browsers would send the cookie of a session to anybody"
        );
        let mut scopes: Vec<String> = ["openid", "profile", "offline_access"]
            .map(str::to_owned)
            .into();
        scopes.push(settings.own_scope);
        Ok(Arc::new(Self {
            provider,
            redirect_uri: format!("{public_url}/callback"),
            scopes,
            downstream: TokenRequest::for_scopes([settings.downstream_scope]),
            sign_ins: Kept::new(SIGN_IN),
            sessions: Kept::new(SESSION),
        }))
    }

    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/login", get(login))
            .route("/callback", get(callback))
            .route("/me", get(me))
            .route("/call", get(call))
            .route("/logout", post(logout))
            .with_state(self)
    }

    fn session(&self, headers: &HeaderMap) -> Option<Arc<Session>> {
        self.sessions.get(cookie(headers, SESSION_COOKIE)?)
    }

    /// The answer of a page to a browser that has to sign in for it.
    async fn page(
        &self,
        page: &'static str,
        headers: &HeaderMap,
        ask: impl AsyncFnOnce(Arc<Session>) -> Result<Response, Error>,
    ) -> Result<Response, Answer> {
        let to = Answer::SignIn {
            page,
            is_opened: is_opened(headers),
        };
        let Some(session) = self.session(headers) else {
            return Err(to);
        };
        match ask(Arc::clone(&session)).await {
            Err(error) if error.class() == ErrorClass::InteractionRequired => {
                eprintln!("{error:#}");
                let demand = Demand(error.detail().claims.clone());
                if session.has_just_met(&demand) {
                    return Err(Answer::Denied);
                }
                *session.demanded() = Some(demand);
                Err(to)
            }
            other => Ok(other?),
        }
    }

    fn request(&self, grant: impl Into<Grant>) -> TokenRequest {
        TokenRequest::for_scopes(self.scopes.iter().cloned()).with_grant(grant)
    }

    /// The session's access token, renewed if it is about to end.
    async fn access_token(&self, session: &Session) -> Result<Token, Error> {
        let mut tokens = session.tokens.lock().await;
        if tokens.access.expires_in() > MARGIN {
            return Ok(tokens.access.clone());
        }
        let refresh = tokens.refresh.as_ref().ok_or_else(|| {
            Error::new(ErrorClass::InteractionRequired, "there is no refresh token")
        })?;
        let request = self.request(Grant::refresh_token(refresh.expose()));
        let renewed = self.provider.get_token(&request).await?;
        // a server that replaces it takes the old one no more
        if let Some(next) = &renewed.refresh_token {
            tokens.refresh = Some(next.clone());
        }
        tokens.access = renewed.clone();
        Ok(renewed)
    }
}

impl Session {
    /// Whether it was begun for that, a moment ago.
    fn has_just_met(&self, demand: &Demand) -> bool {
        let met = self.met.as_ref();
        met.is_some_and(|(met, since)| met == demand && since.elapsed() < AGAIN)
    }

    fn demanded(&self) -> std::sync::MutexGuard<'_, Option<Demand>> {
        self.demanded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the browser to the server, and remembers with what. `?page=/call` is where it comes back to.
async fn login(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Answer> {
    let query = query.unwrap_or_default();
    let wanted = parameter(&query, "page").unwrap_or_default();
    let mut pages = PAGES.into_iter();
    let page = pages.find(|page| *page == wanted).unwrap_or(PAGES[0]);
    let session = backend.session(&headers);
    // not taken away: whoever goes back and tries again has to prove the same
    let demand = session
        .as_ref()
        .and_then(|session| session.demanded().clone());
    let step_up = session.zip(demand);
    let options = AuthorizationOptions {
        redirect_uri: backend.redirect_uri.clone(),
        scopes: backend.scopes.clone(),
        claims: step_up.as_ref().and_then(|(_, demand)| demand.0.clone()),
        login_hint: step_up
            .as_ref()
            .and_then(|(session, _)| session.login_hint.clone()),
        ..AuthorizationOptions::default()
    };
    let request = backend
        .provider
        .authorization_request(None, options)
        .await?;
    let url = request.url.clone();
    let cookie_name = sign_in_cookie(request.state.expose());
    let name = backend.sign_ins.put(SignIn {
        request,
        page,
        step_up: step_up.map(|(session, demand)| (session.subject.clone(), demand)),
    })?;
    let mut cookies = vec![set(&cookie_name, &name, SIGN_IN)];
    let others = begun(&headers);
    if others.len() >= MOST_AT_ONCE {
        // tabs that nobody comes back to
        for (other, name) in others {
            backend.sign_ins.take(name);
            cookies.push(set(other, "", Duration::ZERO));
        }
    }
    Ok(redirect(&url, cookies))
}

/// The server sends the browser back. Only the browser that has begun the sign-in can end it, and only once.
async fn callback(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Answer> {
    let query = query.unwrap_or_default();
    let cookie_name = sign_in_cookie(parameter(&query, "state").unwrap_or_default());
    let begun = cookie(&headers, &cookie_name).and_then(|name| backend.sign_ins.take(name));
    let begun = begun.ok_or(Answer::Refused(
        "this browser has not begun that sign-in, or it took too long, or it is done: begin anew at /login",
    ))?;
    let SignIn {
        request,
        page,
        step_up,
    } = &*begun;
    // state and issuer are compared, and what the server says in the place of a code is an error
    let code = request.code(&query).map_err(|error| {
        eprintln!("{error:#}");
        Answer::Refused("the server has not signed you in")
    })?;
    let mut grant = Grant::authorization_code(code, &backend.redirect_uri)
        .with_code_verifier(request.code_verifier.clone());
    if let Some(nonce) = &request.nonce {
        grant = grant.with_nonce(nonce.clone());
    }
    // the ID token in it is validated
    let tokens = backend.provider.get_token(&backend.request(grant)).await?;
    let claims = tokens.id_token.as_ref().and_then(claims);
    let claims = claims.ok_or(Answer::Refused("the server has not said who you are"))?;
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str).map(str::to_owned);
    let subject = text("sub").unwrap_or_default();
    // somebody else has not proved what was demanded of the one before, and does not want that one's page
    let step_up = step_up.as_ref().filter(|(whose, _)| *whose == subject);
    let page = match (&begun.step_up, step_up) {
        (Some(_), None) => PAGES[0],
        _ => *page,
    };
    let session = Session {
        name: text("name").unwrap_or_default(),
        subject,
        login_hint: text("preferred_username"),
        met: step_up.map(|(_, demand)| (demand.clone(), Instant::now())),
        demanded: Mutex::default(),
        tokens: tokio::sync::Mutex::new(Tokens {
            refresh: tokens.refresh_token.clone(),
            access: tokens,
        }),
    };
    // the session of before, if there is one, is over
    if let Some(name) = cookie(&headers, SESSION_COOKIE) {
        backend.sessions.take(name);
    }
    let name = backend.sessions.put(session)?;
    let cookies = vec![
        set(SESSION_COOKIE, &name, SESSION),
        set(&cookie_name, "", Duration::ZERO),
    ];
    Ok(redirect(page, cookies))
}

async fn me(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Result<Response, Answer> {
    let ask = async |session: Arc<Session>| -> Result<Response, Error> {
        let access = backend.access_token(&session).await?;
        Ok(answer(&json!({
            "name": session.name, "subject": session.subject, "expires_on": access.expires_on,
        })))
    };
    backend.page("/me", &headers, ask).await
}

/// Calls the other API on behalf of the user.
async fn call(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Result<Response, Answer> {
    let ask = async |session: Arc<Session>| -> Result<Response, Error> {
        let own = backend.access_token(&session).await?;
        let grant = Grant::on_behalf_of(own.token.expose());
        let request = backend.downstream.clone().with_grant(grant);
        // kept by the provider, for this user alone
        let token = backend.provider.get_token(&request).await?;
        let _authorization = token.authorization()?;
        // send the request here, with this header. If the API answers 401 with a claims challenge, give it to
        // `Provider::report_rejection` and get a token once more: what the user has to do comes as the error from there
        Ok(answer(&json!({
            "on_behalf_of": session.name, "scope": token.scope, "expires_on": token.expires_on,
        })))
    };
    backend.page("/call", &headers, ask).await
}

async fn logout(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Response {
    if let Some(name) = cookie(&headers, SESSION_COOKIE) {
        backend.sessions.take(name);
    }
    redirect("/me", vec![set(SESSION_COOKIE, "", Duration::ZERO)])
}

/// Why a request is not answered as asked.
enum Answer {
    /// Nobody is signed in, or the user has to do something. A page that a person has opened goes there by itself; a script is
    /// told.
    SignIn {
        page: &'static str,
        is_opened: bool,
    },
    /// The user has done what was demanded, and the server demands it again.
    Denied,
    Refused(&'static str),
    /// No token, or something of our own.
    Failed(String),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<anyhow::Error> for Answer {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let page = |status, error: &str| (status, Json(json!({ "error": error }))).into_response();
        match self {
            Self::SignIn { page, is_opened } => {
                let login = format!("/login?page={page}");
                if is_opened {
                    return redirect(&login, Vec::new());
                }
                let body = json!({ "error": "sign in", "login": login });
                (StatusCode::UNAUTHORIZED, Json(body)).into_response()
            }
            Self::Denied => page(
                StatusCode::FORBIDDEN,
                "the server still demands more of you than you could prove; the log says what",
            ),
            Self::Refused(why) => page(StatusCode::BAD_REQUEST, why),
            Self::Failed(why) => {
                // for whoever runs this, and nobody else
                eprintln!("{why}");
                page(StatusCode::BAD_GATEWAY, "no token; the log says why")
            }
        }
    }
}

/// The claims of an ID token that is validated already.
fn claims(id_token: &Secret) -> Option<Value> {
    let payload = id_token.expose().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn answer(value: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

fn redirect(to: &str, cookies: Vec<String>) -> Response {
    let mut headers = HeaderMap::new();
    let fields = cookies
        .into_iter()
        .map(|cookie| (header::SET_COOKIE, cookie));
    let fields = fields.chain([
        (header::LOCATION, to.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ]);
    for (name, value) in fields {
        match value.parse() {
            Ok(value) => headers.append(name, value),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// `Lax`: the cookie comes with the navigation that the server sends, and with no request that another site makes.
fn set(name: &str, value: &str, life: Duration) -> String {
    let seconds = life.as_secs();
    format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    cookies(headers).find_map(|(known, value)| (known == name).then_some(value))
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let headers = headers.get_all(header::COOKIE).iter();
    let pairs = headers.filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split("; "));
    pairs.filter_map(|pair| pair.split_once('='))
}

/// The cookies of the sign-ins that this browser has begun.
fn begun(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let cookies = cookies(headers);
    cookies
        .filter(|(name, _)| name.starts_with(SIGN_IN_COOKIE))
        .collect()
}

/// The name of the cookie of the sign-in with that state. A part of the state is enough to tell a browser's tabs apart.
fn sign_in_cookie(state: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let part: String = state.chars().take_while(is_plain).take(16).collect();
    format!("{SIGN_IN_COOKIE}{part}")
}

/// A parameter of a query. The state and the pages need no decoding.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(known, value)| (known == name).then_some(value))
}

/// Whether a person has opened a page, and no script asks: only then does a redirect to a sign-in lead anywhere.
fn is_opened(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => text("accept").is_some_and(|accept| accept.contains("text/html")),
    }
}
