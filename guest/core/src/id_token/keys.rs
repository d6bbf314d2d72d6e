//! The keys of a server (RFC 7517): got from where its metadata say, kept for a while, and chosen by what a token names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::shown;
use crate::authority::{Description, Endpoint, TENANT_ID};
use crate::credential::discovery::{self, Metadata};
use crate::credential::keyset::{self, Tries};
use crate::effect::{Algorithm, PublicKey};
use crate::flow::Io;
use crate::json::Json;
use crate::limits::{MAX_RSA_BITS, MIN_RSA_BITS};
use crate::text::Needles;
use crate::{Error, ErrorClass, Secret};

/// Keys of one id that are tried. There is one; a server that has two of an id means either.
const MAX_CANDIDATES: usize = 4;

/// Where a server's keys are.
pub(super) struct KeySet<'a> {
    pub(super) description: &'a Description,
    pub(super) metadata: &'a Metadata,
    pub(super) correlation_id: &'a str,
    /// What the server was sent or has issued.
    pub(super) secrets: &'a [Secret],
}

/// Where they are, if they may be asked for there.
pub(super) fn endpoint(
    description: &Description,
    metadata: &Metadata,
    secrets: &[Secret],
) -> Result<Endpoint, Error> {
    discovery::permitted(description, "jwks_uri", &metadata.jwks_uri, secrets)
}

/// Which key a token needs.
pub(super) struct Wanted<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<&'a str>,
    /// Who issued the token. At Entra ID a key may be for one issuer alone.
    pub(super) issuer: &'a str,
    /// What is not shown of what the server says.
    pub(super) known: &'a Needles,
}

impl KeySet<'_> {
    /// Whether one of the keys that the token names has made the signature.
    pub(super) async fn verify(
        &self,
        io: &Io,
        wanted: &Wanted<'_>,
        input: &str,
        signature: &[u8],
    ) -> Result<bool, Error> {
        let (correlation_id, secrets) = (self.correlation_id, self.secrets);
        let endpoint = endpoint(self.description, self.metadata, secrets)?;
        let text = keyset::kept(io, &endpoint, correlation_id, secrets, Tries::Several).await?;
        let candidates = match wanted.among(&endpoint, &text)? {
            candidates if candidates.is_empty() => {
                // it may have been added since
                match keyset::kept_anew(io, &endpoint, correlation_id, secrets).await {
                    Some(text) => wanted.among(&endpoint, &text?)?,
                    None => candidates,
                }
            }
            candidates => candidates,
        };
        if candidates.is_empty() {
            return Err(wanted.not_found(&endpoint));
        }
        let mut unusable = None;
        for key in candidates {
            let verified = io.verify(
                wanted.algorithm,
                key,
                input.as_bytes().to_vec(),
                signature.to_vec(),
            );
            match verified.await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(why) => unusable = unusable.or(Some(why)),
            }
        }
        match unusable {
            None => Ok(false),
            Some(why) => {
                let what = format!("cannot be used: {}", shown(&why, wanted.known));
                Err(wanted.broken(&endpoint, &what))
            }
        }
    }
}

impl Wanted<'_> {
    /// The keys of that set that may have signed it.
    fn among(&self, endpoint: &Endpoint, text: &Secret) -> Result<Vec<PublicKey>, Error> {
        let parsed = Json::parse_answer(text.expose().as_bytes()).unwrap_or(Json::Null);
        let Some(Json::List(keys)) = parsed.get("keys") else {
            return Ok(Vec::new());
        };
        let fitting = keys.iter().filter(|key| self.fits(key));
        let read = fitting.map(|key| self.public_key(key));
        // one that is broken keeps nobody from those that are not
        let (mut good, mut broken) = (Vec::new(), None);
        for key in read {
            match key {
                Ok(key) => good.push(key),
                Err(what) => broken = broken.or(Some(what)),
            }
        }
        if self.kid.is_none() && good.len() > 1 {
            // OpenID Connect Core section 10.1
            let message = format!(
                "names no kid, and {}{} has {} keys for {}",
                endpoint.authority,
                endpoint.path,
                good.len(),
                self.algorithm.name()
            );
            return Err(Error::new(ErrorClass::InvalidResponse, message));
        }
        match broken {
            Some(what) if good.is_empty() => Err(self.broken(endpoint, &what)),
            _ => {
                good.truncate(MAX_CANDIDATES);
                Ok(good)
            }
        }
    }

    /// The key is there, and is no good.
    fn broken(&self, endpoint: &Endpoint, what: &str) -> Error {
        let Endpoint { authority, path } = endpoint;
        let message = format!("the key {} of {authority}{path} {what}", self.name());
        Error::new(ErrorClass::InvalidResponse, message)
            .hint("it is the server's: have its keys mended")
    }

    /// Whether the key is named, is for signatures, and is of the kind that the algorithm takes (RFC 7517 section 4).
    fn fits(&self, key: &Json) -> bool {
        let text = |name: &str| key.get(name).map(|value| value.text().map(Secret::expose));
        let is_or_absent = |name: &str, wanted: &[&str]| {
            text(name).is_none_or(|said| said.is_some_and(|said| wanted.contains(&said)))
        };
        let is_for_verifying = match key.get("key_ops") {
            None => true,
            Some(Json::List(operations)) => operations
                .iter()
                .filter_map(Json::text)
                .any(|operation| operation.expose() == "verify"),
            Some(_) => false,
        };
        let (kty, crv) = kind(self.algorithm);
        let algorithms: &[&str] = match self.algorithm {
            Algorithm::EdDsa => &["EdDSA", "Ed25519"],
            other => &[other.name()],
        };
        let is_of_issuer = match key.get("issuer") {
            None => true,
            Some(issuer) => issuer
                .text()
                .is_some_and(|issuer| is_issuer(issuer.expose(), self.issuer)),
        };
        text("kty") == Some(Some(kty))
            && crv.is_none_or(|crv| text("crv") == Some(Some(crv)))
            && self.kid.is_none_or(|kid| text("kid") == Some(Some(kid)))
            && is_or_absent("use", &["sig"])
            && is_or_absent("alg", algorithms)
            && is_for_verifying
            && is_of_issuer
    }

    /// Its members, decoded.
    fn public_key(&self, key: &Json) -> Result<PublicKey, String> {
        let member = |name: &str| {
            let text = key.get(name).and_then(Json::text);
            let bytes = text.and_then(|text| {
                // some servers write it as other encodings of base64 have it: it means the same
                let text = text.expose().trim_end_matches('=');
                let text = text.replace('+', "-").replace('/', "_");
                URL_SAFE_NO_PAD.decode(text).ok()
            });
            bytes.ok_or_else(|| format!("has no {name} in base64url"))
        };
        let number = |name: &str| {
            let mut bytes = member(name)?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes.drain(..zeros);
            Ok::<_, String>(bytes)
        };
        let of_length = |name: &str, wanted: usize| {
            let bytes = member(name)?;
            match bytes.len() {
                length if length == wanted => Ok(bytes),
                length => Err(format!(
                    "has {length} bytes of {name}, where the curve has {wanted}"
                )),
            }
        };
        match self.algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let (n, e) = (number("n")?, number("e")?);
                if e.is_empty() {
                    return Err("has no e in base64url".to_owned());
                }
                let spare = n.first().map_or(0, |first| first.leading_zeros() as usize);
                let bits = (8 * n.len()).saturating_sub(spare);
                if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                    return Err(format!(
                        "is RSA of {bits} bits, where {MIN_RSA_BITS} to {MAX_RSA_BITS} are expected (RFC 7518 section 3.3)"
                    ));
                }
                Ok(PublicKey::Rsa { n, e })
            }
            Algorithm::Es256 => Ok(PublicKey::Ec {
                x: of_length("x", 32)?,
                y: of_length("y", 32)?,
            }),
            Algorithm::Es384 => Ok(PublicKey::Ec {
                x: of_length("x", 48)?,
                y: of_length("y", 48)?,
            }),
            Algorithm::EdDsa => Ok(PublicKey::Ed25519 {
                x: of_length("x", 32)?,
            }),
        }
    }

    /// The key, for messages.
    fn name(&self) -> String {
        self.kid
            .map_or_else(|| "without kid".to_owned(), |kid| shown(kid, self.known))
    }

    fn not_found(&self, endpoint: &Endpoint) -> Error {
        let Endpoint { authority, path } = endpoint;
        let message = format!(
            "it is signed with the key {} ({}), and {authority}{path} has none of that name that is for signatures of that kind",
            self.name(),
            self.algorithm.name()
        );
        Error::new(ErrorClass::InvalidResponse, message).hint(
            "it was made by somebody else, or the server has not published its new key yet; keys are asked for again at most once a minute",
        )
    }
}

/// `kty` and `crv` of the keys of an algorithm.
fn kind(algorithm: Algorithm) -> (&'static str, Option<&'static str>) {
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => ("RSA", None),
        Algorithm::Es256 => ("EC", Some("P-256")),
        Algorithm::Es384 => ("EC", Some("P-384")),
        Algorithm::EdDsa => ("OKP", Some("Ed25519")),
    }
}

/// Whether a key of that issuer is for tokens of this one. Where keys are those of many tenants, a template stands for each.
fn is_issuer(of_key: &str, of_token: &str) -> bool {
    match of_key.split_once(TENANT_ID) {
        None => of_key == of_token,
        Some((before, after)) => of_token
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(crate::authority::is_guid),
    }
}
