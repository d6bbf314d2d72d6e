//! The authorization endpoint (RFC 6749 section 3.1), without the pages that a
//! person would see: `login_hint` says who signs in, or the setting
//! `signed_in`, or the cookie of an earlier sign-in. Consent is given, if the
//! setting `users_consent` says so, and a second factor where one is demanded.

use http::header::{LOCATION, SET_COOKIE};
use http::{Method, StatusCode};

use crate::errors::Refusal;
use crate::grant::{Place, is_shared, tenant_named};
use crate::id_token::issuer;
use crate::journal::Findings;
use crate::lock;
use crate::registry::{App, Tenant};
use crate::reply::Reply;
use crate::request::{Call, Form, Version};
use crate::scopes::{GRAPH, Wanted};
use crate::sessions::{Challenge, Code, Granted};
use crate::users::{Consent, DEFAULT_SCOPE, User};
use crate::world::World;

/// The cookie of somebody who is signed in.
const COOKIE: &str = "ESTSAUTHPERSISTENT";

/// RFC 7636 section 4.2.
const CHALLENGE_LENGTH: std::ops::RangeInclusive<usize> = 43..=128;

/// Answers a request of a browser.
pub(crate) fn answer(world: &World, call: &Call, place: Place<'_>, found: &mut Findings) -> Reply {
    let parameters = match call.method {
        Method::GET => Form::parse(call.query.as_bytes()),
        Method::POST => Form::parse(&call.body),
        _ => Err(Refusal::new(
            900_561,
            "The endpoint only accepts POST, GET requests.",
        )),
    };
    let outcome = parameters.and_then(|parameters| {
        // whoever is not known is sent nowhere
        let target = Target::of(world, place, &parameters)?;
        Ok((decide(world, call, &target, &parameters), target))
    });
    match outcome {
        Ok((Ok(signed_in), target)) => target.redirect(world, call, Ok(signed_in)),
        Ok((Err(Stop::Page(refusal)), _)) | Err(refusal) => page(call, &refusal, found),
        Ok((Err(Stop::Tell(refusal)), target)) => {
            found.aadsts = Some(refusal.code);
            target.redirect(world, call, Err(refusal))
        }
    }
}

/// Why nobody signs in.
enum Stop {
    /// The application is told.
    Tell(Refusal),
    /// The person is.
    Page(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Tell(refusal)
    }
}

/// Who asks, and where the answer goes.
struct Target<'a> {
    place: Place<'a>,
    app: App,
    redirect_uri: String,
    state: Option<String>,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Query,
    Fragment,
    FormPost,
}

/// A code, and who has signed in.
struct SignedIn {
    code: String,
    user: User,
    tenant: String,
}

impl<'a> Target<'a> {
    /// The place to send the answer to, once it is sure that it is the
    /// application's.
    fn of(world: &World, place: Place<'a>, parameters: &Form) -> Result<Self, Refusal> {
        let client_id = parameters.require("client_id")?;
        let tenant = known_tenant(world, place.tenant)?;
        let registry = lock(&world.registry);
        let app = match &tenant {
            Some(tenant) => registry.app_in(client_id, &tenant.id),
            None => registry
                .apps()
                .find(|app| app.client_id.eq_ignore_ascii_case(client_id)),
        };
        let app = app.cloned().ok_or_else(|| {
            Refusal::new(
                700_016,
                format!(
                    "Application with identifier '{client_id}' was not found in the directory '{}'.",
                    place.tenant
                ),
            )
        })?;
        drop(registry);
        if app.disabled {
            return Err(Refusal::plain(7_000_112));
        }
        let redirect_uri = match (parameters.get("redirect_uri"), app.redirect_uris.as_slice()) {
            (Some(uri), _) => uri.to_owned(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(Refusal::plain(900_971)),
        };
        // byte for byte: RFC 9700 section 4.1.3
        if !app.redirect_uris.contains(&redirect_uri) {
            return Err(Refusal::new(
                50_011,
                format!(
                    "The redirect URI '{redirect_uri}' specified in the request does not match the \
                     redirect URIs configured for the application '{client_id}'. Make sure the \
                     redirect URI sent in the request matches one added to your application in the \
                     Azure portal."
                ),
            ));
        }
        let mode = match parameters.get("response_mode") {
            None | Some("query") => Mode::Query,
            Some("fragment") => Mode::Fragment,
            Some("form_post") => Mode::FormPost,
            Some(other) => {
                return Err(Refusal::new(
                    70_007,
                    format!(
                        "'{other}' is not a supported value of 'response_mode' when requesting a code."
                    ),
                ));
            }
        };
        Ok(Self {
            place,
            app,
            redirect_uri,
            state: parameters.get("state").map(ToOwned::to_owned),
            mode,
        })
    }

    /// The answer as the application is to have it.
    fn redirect(&self, world: &World, call: &Call, outcome: Result<SignedIn, Refusal>) -> Reply {
        let mut fields: Vec<(&str, String)> = Vec::new();
        let mut cookie = None;
        match outcome {
            Ok(signed_in) => {
                let from = issuer(
                    call,
                    &signed_in.tenant,
                    self.place.version,
                    self.place.policy,
                );
                fields.push(("code", signed_in.code));
                fields.push(("iss", from));
                cookie = Some(world.sessions.sign_in(&signed_in.user.object_id));
            }
            Err(refusal) => {
                let text = refusal.description(&call.trace_id, &call.correlation_id, call.now);
                fields.push(("error", refusal.name().to_owned()));
                fields.push(("error_description", text));
                let authority = world.identity.authority();
                fields.push((
                    "error_uri",
                    format!("{authority}/error?code={}", refusal.code),
                ));
            }
        }
        if let Some(state) = &self.state {
            fields.push(("state", state.clone()));
        }
        let mut reply = match self.mode {
            Mode::FormPost => form_post(&self.redirect_uri, &fields),
            Mode::Query | Mode::Fragment => {
                let encoded = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(&fields)
                    .finish();
                let mark = match self.mode {
                    Mode::Fragment => '#',
                    _ if self.redirect_uri.contains('?') => '&',
                    _ => '?',
                };
                let mut reply = Reply::text(StatusCode::FOUND, "text/html; charset=utf-8", "");
                reply.set(LOCATION, &format!("{}{mark}{encoded}", self.redirect_uri));
                reply
            }
        };
        if let Some(cookie) = cookie {
            let cookie = format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=None");
            reply.set(SET_COOKIE, &cookie);
        }
        reply
    }
}

/// Decides whether the application gets a code.
fn decide(
    world: &World,
    call: &Call,
    target: &Target<'_>,
    parameters: &Form,
) -> Result<SignedIn, Stop> {
    match parameters.require("response_type")? {
        "code" => {}
        other => {
            return Err(Stop::Tell(Refusal::new(
                70_005,
                format!("response_type '{other}' is not supported for the application."),
            )));
        }
    }
    let challenge = challenge(parameters)?;
    let tenant = known_tenant(world, target.place.tenant)?;
    let tenant_id = tenant.as_ref().map(|tenant| tenant.id.clone());
    let of_resources = tenant_id.clone().unwrap_or_default();
    let client_id = &target.app.client_id;
    let mut wanted = match target.place.version {
        Version::V2 => {
            let text = parameters.require("scope")?;
            Wanted::parse(world, &of_resources, client_id, text)?
        }
        // the first version looks at nothing but these
        Version::V1 => {
            let scope = parameters.get("scope").unwrap_or_default();
            let mut wanted = Wanted::default();
            for one in scope.split_ascii_whitespace() {
                wanted.oidc.openid |= one == "openid";
                wanted.oidc.profile |= one == "profile";
                wanted.oidc.email |= one == "email";
            }
            if let Some(name) = parameters.get("resource") {
                wanted
                    .asked
                    .push(Wanted::of_resource(world, &of_resources, name)?);
            }
            wanted
        }
    };
    if target.place.version == Version::V2 && parameters.get("resource").is_some() {
        return Err(Stop::Tell(Refusal::plain(901_002)));
    }
    let mut user = who(world, call, parameters)?;
    let home = user.tenant.clone();
    let home = home.unwrap_or_else(|| world.identity.tenant.clone());
    if tenant_id.is_some_and(|id| !id.eq_ignore_ascii_case(&home)) {
        return Err(Stop::Page(Refusal::plain(50_020)));
    }
    if user.disabled {
        return Err(Stop::Page(Refusal::plain(50_057)));
    }
    if target.place.version == Version::V1 && wanted.asked.is_empty() {
        wanted.asked.push(Wanted::of_resource(world, &home, GRAPH)?);
    }
    consent(world, target, parameters, &wanted, &mut user)?;
    // whoever sits before the browser has the second factor at hand
    let demanded = wanted.asked.iter();
    let demanded = demanded.map(|asked| &asked.resource);
    let second_factor = demanded
        .into_iter()
        .any(|resource| user.needs_second_factor(resource))
        || parameters
            .get("claims")
            .is_some_and(|claims| claims.contains("capolids"));
    let granted = Granted {
        client_id: client_id.clone(),
        user: user.object_id.clone(),
        tenant: home.clone(),
        asked: wanted.asked,
        oidc: wanted.oidc,
        nonce: parameters.get("nonce").map(ToOwned::to_owned),
        policy: target.place.policy.map(ToOwned::to_owned),
        second_factor,
        at: call.now,
    };
    let code = world.sessions.put_code(Code {
        granted,
        redirect_uri: target.redirect_uri.clone(),
        challenge,
        issued: call.now,
        redeemed: false,
    });
    Ok(SignedIn {
        code,
        user,
        tenant: home,
    })
}

/// The challenge of RFC 7636. Entra takes `plain` too, and without a method it
/// is that.
fn challenge(parameters: &Form) -> Result<Option<Challenge>, Refusal> {
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.get("code_challenge") else {
        return match method {
            None => Ok(None),
            Some(_) => Err(Refusal::plain(50_147)),
        };
    };
    if !CHALLENGE_LENGTH.contains(&challenge.len()) {
        return Err(Refusal::plain(501_491));
    }
    let challenge = challenge.to_owned();
    match method {
        None | Some("plain") => Ok(Some(Challenge::Plain(challenge))),
        Some("S256") => Ok(Some(Challenge::S256(challenge))),
        Some(_) => Err(Refusal::plain(50_149)),
    }
}

/// Who signs in.
fn who(world: &World, call: &Call, parameters: &Form) -> Result<User, Stop> {
    let hint = parameters.get("login_hint").map(ToOwned::to_owned);
    let prompt = parameters.get("prompt").unwrap_or_default();
    let remembered = || {
        let cookies = call.header("cookie")?.split("; ");
        let mut pairs = cookies.filter_map(|cookie| cookie.split_once('='));
        let (_, cookie) = pairs.find(|(name, _)| *name == COOKIE)?;
        world.sessions.signed_in(cookie)
    };
    let at_hand = || lock(&world.settings).signed_in.clone();
    let name = match prompt {
        // no page: who is signed in already, or nobody
        "none" => remembered().or_else(at_hand),
        "login" => hint.or_else(at_hand),
        _ => hint.or_else(remembered).or_else(at_hand),
    };
    let Some(name) = name else {
        let refusal = Refusal::plain(50_058);
        return Err(if prompt == "none" {
            Stop::Tell(refusal)
        } else {
            Stop::Page(refusal)
        });
    };
    let user = lock(&world.registry).user(&name);
    user.ok_or_else(|| {
        Stop::Page(Refusal::new(
            50_034,
            format!("The user account {name} does not exist in the directory."),
        ))
    })
}

/// Has the user consent to what is not consented to yet.
fn consent(
    world: &World,
    target: &Target<'_>,
    parameters: &Form,
    wanted: &Wanted,
    user: &mut User,
) -> Result<(), Refusal> {
    let client_id = &target.app.client_id;
    let mut missing = Vec::new();
    for asked in &wanted.asked {
        if asked.resource.app_id.eq_ignore_ascii_case(client_id) {
            continue;
        }
        let granted = user.granted(client_id, &asked.resource);
        let everything = asked.scopes.iter().any(|scope| scope == DEFAULT_SCOPE);
        let scopes: Vec<String> = if everything && granted.is_empty() {
            asked.resource.scopes.clone()
        } else {
            let is_missing = |scope: &&String| {
                *scope != DEFAULT_SCOPE
                    && !granted.iter().any(|one| one.eq_ignore_ascii_case(scope))
            };
            asked.scopes.iter().filter(is_missing).cloned().collect()
        };
        if !scopes.is_empty() {
            missing.push(Consent {
                client_id: client_id.clone(),
                resource: asked.resource.app_id.clone(),
                scopes,
            });
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    if parameters.get("prompt") == Some("none") {
        return Err(Refusal::plain(65_001).error("consent_required"));
    }
    if !lock(&world.settings).users_consent {
        return Err(Refusal::plain(65_004));
    }
    user.consents.extend(missing);
    lock(&world.registry).put_user(user.clone());
    Ok(())
}

/// The tenant of the path; none if that is several.
fn known_tenant(world: &World, name: &str) -> Result<Option<Tenant>, Refusal> {
    if is_shared(name) {
        return Ok(None);
    }
    tenant_named(world, name).map(Some)
}

/// A page that says to a person why there is no sign-in.
fn page(call: &Call, refusal: &Refusal, found: &mut Findings) -> Reply {
    found.aadsts = Some(refusal.code);
    let text = refusal.description(&call.trace_id, &call.correlation_id, call.now);
    let body = format!(
        "<!DOCTYPE html>\n<html><head><title>Sign in to your account</title></head><body><h1>Sorry, \
         but we’re having trouble signing you in.</h1><p>{}</p></body></html>\n",
        escape(&text)
    );
    Reply::text(refusal.status(), "text/html; charset=utf-8", body)
}

/// A page that posts the answer, once it is seen by a browser.
fn form_post(action: &str, fields: &[(&str, String)]) -> Reply {
    let inputs: String = fields
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{name}\" value=\"{}\" />",
                escape(value)
            )
        })
        .collect();
    let body = format!(
        "<html><head><title>Working...</title></head><body><form method=\"POST\" name=\"hiddenform\" \
         action=\"{}\">{inputs}<noscript><input type=\"submit\" value=\"Submit\" /></noscript></form>\
         <script language=\"javascript\">document.forms[0].submit();</script></body></html>",
        escape(action)
    );
    Reply::text(StatusCode::OK, "text/html; charset=utf-8", body)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
