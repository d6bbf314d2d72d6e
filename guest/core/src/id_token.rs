//! ID tokens are validated before anybody gets them (OpenID Connect Core 1.0, section 3.1.3.7): what they say, against what
//! was asked and whom, and their signature, by the keys that the server publishes.
//!
//! A server is asked for its metadata and its keys once in a while; what it says of where its keys are is followed only to
//! hosts that the configuration trusts, like endpoints. The mathematics are the driver's ([`Effect::Verify`](crate::Effect)).
//!
//! Errors say what was expected and what the token says instead. Claims about the user are personal data and are in none.

mod keys;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::authority::{TENANT_ID, is_guid};
use crate::authorization_request::is_same_in_constant_time;
use crate::config::Client;
use crate::credential::discovery::{self, Metadata};
use crate::credential::keyset::{self, Tries};
use crate::effect::Algorithm;
use crate::flow::Io;
use crate::inspect::seconds;
use crate::json::Json;
use crate::limits::{ID_TOKEN_SKEW_S, MAX_ID_TOKEN_BYTES};
use crate::text::{Needles, clean, duration};
use crate::{Error, ErrorClass, Grant, Secret};

/// The algorithms that are taken (RFC 7518 section 3.1, RFC 8037). `none` is no signature, and of the HS… family the key is
/// the client's secret: who can check such a signature can make it.
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

/// What to do where nothing more is known.
const INVALID: &str = "nothing of the answer is handed out: sign in again; if it stays so, it is the server's registration of the client, or somebody between";

/// Entra ID's first endpoint signs the ID tokens of some applications, and of others not.
const UNSIGNED: &str = "the v1.0 endpoint does not sign it: set endpoint_version to v2.0, or ask without a nonce and the scope openid";

/// What an ID token has to fit.
pub(crate) struct Expected<'a> {
    pub(crate) client: &'a Client,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) grant: &'a Grant,
    /// The access token that came with it.
    pub(crate) access_token: &'a Secret,
    /// Who issued it, and by whose clock it is judged.
    pub(crate) host: &'a str,
    pub(crate) correlation_id: &'a str,
    /// What the server was sent or has issued,
    pub(crate) secrets: &'a [Secret],
    /// and the same to be taken out of what it says.
    pub(crate) known: &'a Needles,
}

/// Has at hand what an ID token of that server is validated by, before what brings one is spent.
///
/// # Errors
///
/// When the server's issuer is not known, or its metadata or keys cannot be had.
pub(crate) async fn prepare(
    io: &Io,
    client: &Client,
    tenant: Option<&str>,
    correlation_id: &str,
    secrets: &[Secret],
) -> Result<(), Error> {
    let description = client.description(tenant);
    let description = description.ok_or_else(|| no_issuer(client))?;
    let metadata = discovery::metadata(io, &description, correlation_id, secrets).await?;
    let endpoint = keys::endpoint(&description, &metadata, secrets)?;
    // it is tried again with all the rest
    let kept = keyset::kept(io, &endpoint, correlation_id, secrets, Tries::One).await;
    kept.map(drop)
}

/// Whether an answer may be without an ID token.
///
/// # Errors
///
/// When the authorization request had a nonce, which is there to be found in one (OpenID Connect Core section 3.1.2.1).
pub(crate) fn check_present(host: &str, grant: &Grant) -> Result<(), Error> {
    match grant {
        Grant::AuthorizationCode { nonce: Some(_), .. } => Err(Error::new(
            ErrorClass::InvalidResponse,
            format!("the token response of {host} has no `id_token`, and the authorization request had a nonce"),
        )
        .hint("ask for the scope openid in the authorization request, or hand no nonce in")),
        _ => Ok(()),
    }
}

/// Validates the ID token of an answer.
///
/// # Errors
///
/// Of the class [`InvalidResponse`](ErrorClass::InvalidResponse) where it is not valid; others where metadata and keys cannot
/// be had.
pub(crate) async fn validate(
    io: &Io,
    expected: &Expected<'_>,
    token: &Secret,
) -> Result<(), Error> {
    let checked = checked(io, expected, token).await;
    checked.map_err(|error| {
        error.edit(|detail| detail.correlation_id = Some(expected.correlation_id.to_owned()))
    })
}

async fn checked(io: &Io, expected: &Expected<'_>, token: &Secret) -> Result<(), Error> {
    let token = Parsed::read(token.expose()).map_err(|what| expected.invalid(&what))?;
    let now_s = io.server_clock(expected.host).estimate_ms(io.now()) / 1000;
    let algorithm = token.algorithm(expected.known).map_err(|what| {
        let error = expected.invalid(&what);
        match expected.client.authority.is_version_1() && token.header_text("alg") == Some("none") {
            true => error.hint(UNSIGNED),
            false => error,
        }
    })?;
    expected.check(&token, algorithm, now_s)?;
    let description = expected.client.description(expected.tenant);
    let description = description.ok_or_else(|| no_issuer(expected.client))?;
    let (correlation_id, secrets) = (expected.correlation_id, expected.secrets);
    let metadata = discovery::metadata(io, &description, correlation_id, secrets).await?;
    let issuer = expected.issuer(&token, &metadata)?;
    let keys = keys::KeySet {
        description: &description,
        metadata: &metadata,
        correlation_id,
        secrets,
    };
    let wanted = keys::Wanted {
        algorithm,
        kid: token.header_text("kid"),
        issuer: &issuer,
        known: expected.known,
    };
    let is_signed = keys
        .verify(io, &wanted, token.input, &token.signature)
        .await
        .map_err(|error| expected.about(error))?;
    match is_signed {
        true => Ok(()),
        false => Err(expected.invalid("has a signature that its key did not make")),
    }
}

/// The client has an ID token, and nobody knows whose.
fn no_issuer(client: &Client) -> Error {
    let (what, hint) = match &client.issuer {
        Some(issuer) => (
            format!(
                "cannot be validated: the host of the issuer {} is not trusted",
                clean(issuer, &Needles::of(&[]))
            ),
            "add it to authority_hosts or EDGEPASS_AUTHORITY_HOSTS, if it is meant",
        ),
        None => (
            "cannot be validated: the server is known by its token_endpoint alone".to_owned(),
            "set issuer of the identity beside token_endpoint, or ask without the scope openid",
        ),
    };
    Error::new(ErrorClass::Configuration, format!("an id_token {what}")).hint(hint)
}

/// A compact JWS, taken apart.
struct Parsed<'a> {
    header: Json,
    claims: Json,
    /// What is signed.
    input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parsed<'a> {
    fn read(token: &'a str) -> Result<Self, String> {
        if token.len() > MAX_ID_TOKEN_BYTES {
            return Err(format!(
                "has {} bytes, and {MAX_ID_TOKEN_BYTES} are taken",
                token.len()
            ));
        }
        let not_a_jws = || "is no compact JWS of three parts in base64url".to_owned();
        let (input, signature) = token.rsplit_once('.').ok_or_else(not_a_jws)?;
        let (header, claims) = input.split_once('.').ok_or_else(not_a_jws)?;
        if claims.split('.').count() == 3 {
            return Err("is encrypted (JWE), for which there is no key".to_owned());
        }
        let object = |part: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
            let json = Json::parse(&decoded).ok()?;
            matches!(json, Json::Object(_)).then_some(json)
        };
        Ok(Self {
            header: object(header).ok_or_else(not_a_jws)?,
            claims: object(claims).ok_or_else(not_a_jws)?,
            input,
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| not_a_jws())?,
        })
    }

    fn header_text(&self, name: &str) -> Option<&str> {
        Some(self.header.get(name)?.text()?.expose())
    }

    fn text(&self, name: &str) -> Option<&str> {
        Some(self.claims.get(name)?.text()?.expose())
    }

    fn seconds(&self, name: &str) -> Option<u64> {
        seconds(self.claims.get(name))
    }

    /// The audiences: one, or several in a list.
    fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Json::Text(one)) => vec![one.expose()],
            Some(Json::List(several)) => {
                let texts = several.iter().filter_map(Json::text);
                texts.map(Secret::expose).collect()
            }
            _ => Vec::new(),
        }
    }

    fn algorithm(&self, known: &Needles) -> Result<Algorithm, String> {
        let alg = self.header_text("alg").unwrap_or_default();
        // RFC 9864 names the curve in the place of EdDSA
        let name = if alg == "Ed25519" { "EdDSA" } else { alg };
        let algorithm = ALGORITHMS.into_iter().find(|known| known.name() == name);
        let algorithm = algorithm.ok_or_else(|| {
            let taken = ALGORITHMS.map(Algorithm::name).join(", ");
            match alg {
                "" => format!("names no alg, where one of {taken} is expected"),
                _ => format!(
                    "has the alg {}, where one of {taken} is expected",
                    shown(alg, known)
                ),
            }
        })?;
        // RFC 7515 section 4.1.11: what is in it has to be understood, and nothing of that kind is
        if self.header.get("crit").is_some() {
            return Err("has a crit in its header, and no extension is known".to_owned());
        }
        // RFC 8725 section 3.11: a token of another kind is none of this, whoever signed it
        match self.header_text("typ") {
            Some(typ) if typ.to_ascii_lowercase().ends_with("+jwt") => Err(format!(
                "has the typ {}, where JWT is expected",
                shown(typ, known)
            )),
            _ => Ok(algorithm),
        }
    }
}

impl Expected<'_> {
    fn invalid(&self, what: &str) -> Error {
        Error::new(
            ErrorClass::InvalidResponse,
            format!("the id_token of {} {what}", self.host),
        )
        .hint(INVALID)
    }

    fn about(&self, error: Error) -> Error {
        error.edit(|detail| {
            detail.message = format!("the id_token of {}: {}", self.host, detail.message);
            detail.hint.get_or_insert_with(|| INVALID.to_owned());
        })
    }

    /// Whom it has to be for: the client that asked.
    fn audience(&self) -> &str {
        match self.grant {
            Grant::AgentUser { agent, .. } => agent,
            _ => &self.client.client_id,
        }
    }

    /// What needs neither metadata nor key.
    fn check(&self, token: &Parsed<'_>, algorithm: Algorithm, now_s: u64) -> Result<(), Error> {
        let failed = |what: String| Err(self.invalid(&what));
        if token.text("sub").is_none_or(str::is_empty) {
            return failed("has no sub".to_owned());
        }
        let client = self.audience();
        let audiences = token.audiences();
        if !audiences.contains(&client) {
            let said = audiences.iter().take(4).map(|aud| shown(aud, self.known));
            let said: Vec<String> = said.collect();
            return failed(format!(
                "is for {} (aud), and not for the client `{client}`",
                if said.is_empty() {
                    "nobody".to_owned()
                } else {
                    said.join(", ")
                }
            ));
        }
        match token
            .claims
            .get("azp")
            .map(|azp| azp.text().map(Secret::expose))
        {
            Some(Some(azp)) if azp == client => {}
            None if audiences.len() == 1 => {}
            Some(azp) => {
                return failed(format!(
                    "was issued to {} (azp), and not to the client `{client}`",
                    azp.map_or_else(|| "nobody".to_owned(), |azp| shown(azp, self.known))
                ));
            }
            None => {
                return failed(format!(
                    "is for {} audiences, and has no azp that names the client `{client}`",
                    audiences.len()
                ));
            }
        }
        self.check_times(token, now_s)?;
        if let Grant::AuthorizationCode {
            nonce: Some(nonce), ..
        } = self.grant
        {
            match token.text("nonce") {
                Some(said) if is_same_in_constant_time(said, nonce.expose()) => {}
                Some(_) => {
                    return failed("has another nonce than the authorization request".to_owned());
                }
                None => {
                    return failed(
                        "has no nonce, and the authorization request had one".to_owned(),
                    );
                }
            }
        }
        let hash = token
            .claims
            .get("at_hash")
            .map(|hash| hash.text().map(Secret::expose));
        match hash {
            Some(hash) if hash != Some(&half_hash(algorithm, self.access_token.expose())) => {
                failed("is not for the access token that came with it (at_hash)".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self, token: &Parsed<'_>, now_s: u64) -> Result<(), Error> {
        let failed = |what: String| {
            let hint =
                "look at the clocks of this machine and of the server: five minutes are allowed";
            Err(self.invalid(&what).hint(hint))
        };
        let Some(exp) = token.seconds("exp") else {
            return failed("has no exp, or one that is no number of seconds".to_owned());
        };
        if exp.saturating_add(ID_TOKEN_SKEW_S) <= now_s {
            let ago = duration(now_s - exp);
            return failed(format!("expired {ago} ago (exp)"));
        }
        for (name, is_required) in [("nbf", false), ("iat", true)] {
            match (token.claims.get(name), token.seconds(name)) {
                (None, _) if !is_required => {}
                (_, None) => {
                    return failed(format!(
                        "has no {name}, or one that is no number of seconds"
                    ));
                }
                (_, Some(from)) if from > now_s.saturating_add(ID_TOKEN_SKEW_S) => {
                    let left = duration(from - now_s);
                    return failed(format!("is not valid for another {left} ({name})"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who issued it, if that is the server: its issuer, in which `{tenantid}` stands for a tenant that the identity may ask.
    fn issuer(&self, token: &Parsed<'_>, metadata: &Metadata) -> Result<String, Error> {
        let mut wanted = metadata.issuer.clone();
        if wanted.contains(TENANT_ID) {
            let Some(tid) = token.text("tid").filter(|tid| is_guid(tid)) else {
                let message = "names no tenant (tid), and its issuer is that of any";
                return Err(self.invalid(message));
            };
            let allowed = self.client.additionally_allowed_tenants.iter();
            let mut allowed = allowed.map(String::as_str).chain(self.tenant);
            if !allowed.any(|known| known == "*" || known.eq_ignore_ascii_case(tid)) {
                let message = format!(
                    "is of the tenant {} (tid), for which the identity is not",
                    shown(tid, self.known)
                );
                let hint = "if users of that tenant are to sign in, add it to additionally_allowed_tenants, or \"*\" for any tenant";
                return Err(self.invalid(&message).hint(hint));
            }
            wanted = wanted.replace(TENANT_ID, tid);
        }
        match token.text("iss") {
            Some(said) if said == wanted => Ok(wanted),
            said => {
                let shown = |text: &str| shown(text, self.known);
                let said = said.map_or_else(|| "nobody".to_owned(), shown);
                let message = format!("was issued by {said} (iss), and not by {}", shown(&wanted));
                Err(self.invalid(&message))
            }
        }
    }
}

/// What a token says, fit to be shown.
fn shown(text: &str, known: &Needles) -> String {
    format!("`{}`", clean(text, known))
}

/// The left half of the digest that goes with the algorithm, base64url (OpenID Connect Core section 3.1.3.6).
fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let digest = match algorithm {
        Algorithm::Es384 => Sha384::digest(text).to_vec(),
        Algorithm::EdDsa => Sha512::digest(text).to_vec(),
        _ => Sha256::digest(text).to_vec(),
    };
    let (left, _) = digest
        .split_at_checked(digest.len() / 2)
        .unwrap_or_default();
    URL_SAFE_NO_PAD.encode(left)
}
