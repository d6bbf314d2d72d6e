//! The routes: /login, /callback, /me, /call, /logout.

use std::sync::Arc;
use std::time::Duration;

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

/// Browsers take cookies with this prefix only over https (and from localhost), for this host alone (RFC 6265bis).
const SIGN_IN_COOKIE: &str = "__Host-sign-in";
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
    sign_ins: Kept<AuthorizationRequest>,
    sessions: Kept<Session>,
}

/// Somebody who is signed in.
struct Session {
    name: String,
    subject: String,
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

    fn session(&self, headers: &HeaderMap) -> Result<Arc<Session>, Answer> {
        let name = cookie(headers, SESSION_COOKIE).ok_or(Answer::SignIn)?;
        self.sessions.get(name).ok_or(Answer::SignIn)
    }

    fn request(&self, grant: impl Into<Grant>) -> TokenRequest {
        TokenRequest::for_scopes(self.scopes.iter().cloned()).with_grant(grant)
    }

    /// The session's access token, renewed if it is about to end.
    async fn access_token(&self, session: &Session) -> Result<Token, Answer> {
        let mut tokens = session.tokens.lock().await;
        if tokens.access.expires_in() > MARGIN {
            return Ok(tokens.access.clone());
        }
        let refresh = tokens.refresh.as_ref().ok_or(Answer::SignIn)?;
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

/// Sends the browser to the server, and remembers with what.
async fn login(State(backend): State<Arc<Backend>>) -> Result<Response, Answer> {
    let options = AuthorizationOptions {
        redirect_uri: backend.redirect_uri.clone(),
        scopes: backend.scopes.clone(),
        ..AuthorizationOptions::default()
    };
    let request = backend
        .provider
        .authorization_request(None, options)
        .await?;
    let url = request.url.clone();
    let name = backend.sign_ins.put(request)?;
    let cookies = [set(SIGN_IN_COOKIE, &name, SIGN_IN)];
    Ok(redirect(&url, cookies))
}

/// The server sends the browser back. Only the browser that has begun the sign-in can end it, and only once.
async fn callback(
    State(backend): State<Arc<Backend>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Answer> {
    let begun = cookie(&headers, SIGN_IN_COOKIE).and_then(|name| backend.sign_ins.take(name));
    let begun = begun.ok_or(Answer::Refused("this browser has begun no sign-in"))?;
    // state and issuer are compared, and what the server says in the place of a code is an error
    let code = begun.code(&query.unwrap_or_default()).map_err(|error| {
        eprintln!("{error:#}");
        Answer::Refused("the server has not signed you in")
    })?;
    let mut grant = Grant::authorization_code(code, &backend.redirect_uri)
        .with_code_verifier(begun.code_verifier.clone());
    if let Some(nonce) = &begun.nonce {
        grant = grant.with_nonce(nonce.clone());
    }
    // the ID token in it is validated
    let tokens = backend.provider.get_token(&backend.request(grant)).await?;
    let claims = tokens.id_token.as_ref().and_then(claims);
    let claims = claims.ok_or(Answer::Refused("the server has not said who you are"))?;
    let text = |claim: &str| {
        let value = claims.get(claim).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let session = Session {
        name: text("name"),
        subject: text("sub"),
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
    let cookies = [
        set(SESSION_COOKIE, &name, SESSION),
        set(SIGN_IN_COOKIE, "", Duration::ZERO),
    ];
    Ok(redirect("/me", cookies))
}

async fn me(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Result<Response, Answer> {
    let session = backend.session(&headers)?;
    let access = backend.access_token(&session).await?;
    Ok(answer(&json!({
        "name": session.name, "subject": session.subject, "expires_on": access.expires_on,
    })))
}

/// Calls the other API on behalf of the user.
async fn call(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Result<Response, Answer> {
    let session = backend.session(&headers)?;
    let own = backend.access_token(&session).await?;
    let grant = Grant::on_behalf_of(own.token.expose());
    let request = backend.downstream.clone().with_grant(grant);
    // kept by the provider, for this user alone
    let token = backend.provider.get_token(&request).await?;
    let _authorization = token.authorization()?;
    // send the request here, with this header
    Ok(answer(&json!({
        "on_behalf_of": session.name, "scope": token.scope, "expires_on": token.expires_on,
    })))
}

async fn logout(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Response {
    if let Some(name) = cookie(&headers, SESSION_COOKIE) {
        backend.sessions.take(name);
    }
    redirect("/me", [set(SESSION_COOKIE, "", Duration::ZERO)])
}

/// Why a request is not answered as asked.
enum Answer {
    /// Nobody is signed in, or the user has to do something.
    SignIn,
    Refused(&'static str),
    /// No token, or something of our own.
    Failed(String),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        if error.class() == ErrorClass::InteractionRequired {
            return Self::SignIn;
        }
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
            Self::SignIn => page(StatusCode::UNAUTHORIZED, "sign in at /login"),
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

fn redirect<const N: usize>(to: &str, cookies: [String; N]) -> Response {
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
    let headers = headers.get_all(header::COOKIE).iter();
    let pairs = headers.filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split("; "));
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
