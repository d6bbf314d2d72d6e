//! A Key Vault with certificates, as strict as the real one: it takes tokens of managed identities for itself alone, of those
//! who may read there, and knows versions, and keys that do not leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use jsonwebtoken::Algorithm;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value, json};

use crate::encoding::{base64, base64url, from_base64url, guid, sha1_url};
use crate::jose::{Jws, find_key};
use crate::lock;
use crate::pki::ClientCertificate;
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;

/// How the host names of vaults begin here, and end in Azure.
const HOST: (&str, &str) = ("vault.", ".vault.azure.net");

/// What its tokens are for.
pub(crate) const RESOURCE: &str = "https://vault.azure.net";

/// The versions of the interface that are known.
const VERSIONS: [&str; 8] = [
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-07-01",
];

/// How a vault has the key of a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VaultKey {
    /// It gives it out in PEM (`application/x-pem-file`).
    Pem,
    /// It gives it out in this PKCS#12 file without a password (`application/x-pkcs12`).
    Pkcs12(Vec<u8>),
    /// It signs with it and does not give it out.
    Kept,
}

/// Its certificates, and who may read them.
#[derive(Default)]
pub(crate) struct Vault {
    certificates: Mutex<BTreeMap<String, Vec<Version>>>,
    /// The object IDs of who may not: all others may.
    strangers: Mutex<BTreeSet<String>>,
}

struct Version {
    id: String,
    certificate: ClientCertificate,
    key: VaultKey,
    enabled: bool,
}

impl Vault {
    /// Makes it the newest version of the certificate of that name, and says which that is.
    pub(crate) fn put(&self, name: &str, certificate: &ClientCertificate, key: VaultKey) -> String {
        let id = guid().replace('-', "");
        let mut certificates = lock(&self.certificates);
        let versions = certificates.entry(name.to_owned()).or_default();
        versions.push(Version {
            id: id.clone(),
            certificate: certificate.clone(),
            key,
            enabled: true,
        });
        id
    }

    pub(crate) fn delete(&self, name: &str) {
        lock(&self.certificates).remove(name);
    }

    pub(crate) fn disable(&self, name: &str) {
        let mut certificates = lock(&self.certificates);
        let newest = certificates.get_mut(name).and_then(|all| all.last_mut());
        if let Some(newest) = newest {
            newest.enabled = false;
        }
    }

    pub(crate) fn permit(&self, object_id: &str, may_read: bool) {
        let mut strangers = lock(&self.strangers);
        match may_read {
            true => strangers.remove(object_id),
            false => strangers.insert(object_id.to_owned()),
        };
    }
}

/// Whether that host is a vault.
pub(crate) fn is_vault(host: &str) -> bool {
    host.starts_with(HOST.0) || host.ends_with(HOST.1)
}

/// Answers a request to the vault.
pub(crate) fn answer(world: &World, call: &Call) -> Reply {
    object(world, call).unwrap_or_else(|refusal| *refusal)
}

type Refused = Box<Reply>;

fn refuse(status: StatusCode, code: &str, inner: Option<&str>, message: &str) -> Refused {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(inner), Some(fields)) = (inner, error.as_object_mut()) {
        fields.insert("innererror".into(), json!({ "code": inner }));
    }
    Box::new(Reply::json(status, &json!({ "error": error })))
}

fn bad(message: &str) -> Refused {
    refuse(StatusCode::BAD_REQUEST, "BadParameter", None, message)
}

/// Who asks, by a token for vaults.
fn caller(world: &World, call: &Call) -> Result<String, Refused> {
    let unauthorized = |message: &str| {
        let mut refusal = refuse(StatusCode::UNAUTHORIZED, "Unauthorized", None, message);
        let issuer = format!("{}/{}", world.identity.authority(), world.identity.tenant);
        let challenge = format!("Bearer authorization=\"{issuer}\", resource=\"{RESOURCE}\"");
        refusal.set(WWW_AUTHENTICATE, &challenge);
        refusal
    };
    let mut values = call.headers.get_all(AUTHORIZATION).iter();
    let bearer = values.next().and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let (Some(token), None) = (token, values.next()) else {
        return Err(unauthorized(
            "AKV10000: Request is missing a Bearer or PoP token.",
        ));
    };
    let jws = Jws::parse(token).ok_or_else(|| unauthorized("AKV10001: Invalid JWT."))?;
    let key = jws
        .parameter("kid")
        .and_then(|kid| find_key(&world.keys.jwks(None), kid));
    if !key.is_some_and(|key| jws.verify(&key, Algorithm::RS256)) {
        return Err(unauthorized("AKV10001: The signature is invalid."));
    }
    let issuer = format!("{}/{}/", world.identity.authority(), world.identity.tenant);
    if jws.claim("iss") != Some(&issuer) {
        return Err(unauthorized("AKV10032: Invalid issuer."));
    }
    if jws.audiences() != [RESOURCE] {
        return Err(unauthorized("AKV10022: Invalid audience."));
    }
    let time = |name: &str| jws.claims.get(name).and_then(Value::as_i64);
    let is_alive = time("nbf").is_some_and(|from| from <= call.now)
        && time("exp").is_some_and(|to| call.now < to);
    if !is_alive {
        return Err(unauthorized("AKV10002: The token has expired."));
    }
    let object_id = jws.claim("oid").map(ToOwned::to_owned);
    object_id.ok_or_else(|| unauthorized("AKV10046: The token has no oid."))
}

fn object(world: &World, call: &Call) -> Result<Reply, Refused> {
    let caller = caller(world, call)?;
    let query: Vec<(String, String)> = url::form_urlencoded::parse(call.query.as_bytes())
        .into_owned()
        .collect();
    match query.as_slice() {
        [(name, version)] if name == "api-version" && VERSIONS.contains(&version.as_str()) => {}
        [(name, _)] if name == "api-version" => {
            return Err(bad("The specified version is not recognized."));
        }
        _ => return Err(bad("api-version must be specified, once and alone.")),
    }
    if lock(&world.vault.strangers).contains(&caller) {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "Forbidden",
            Some("ForbiddenByRbac"),
            &format!(
                "Caller is not authorized to perform action on resource.\r\nCaller: oid={caller}"
            ),
        ));
    }
    let segments = call.segments();
    let (kind, name, version, then) = match segments.as_slice() {
        [kind, name] | [kind, name, ""] => (*kind, *name, None, None),
        [kind, name, version] => (*kind, *name, Some(*version), None),
        [kind, name, version, then] => (*kind, *name, Some(*version), Some(*then)),
        _ => return Err(bad("no such path")),
    };
    let method = match then {
        None => Method::GET,
        Some(_) => Method::POST,
    };
    if call.method != method {
        return Err(refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "BadParameter",
            None,
            "The HTTP method is not allowed.",
        ));
    }
    let certificates = lock(&world.vault.certificates);
    let versions = certificates.get(name);
    let found = versions.and_then(|versions| match version {
        Some(version) => versions.iter().find(|known| known.id == version),
        None => versions.last(),
    });
    let not_found = |code: &str| {
        let message =
            format!("A {kind} object with (name/id) {name} was not found in this key vault.");
        refuse(StatusCode::NOT_FOUND, code, None, &message)
    };
    let value = match (kind, then) {
        ("certificates", None) => {
            let found = found.ok_or_else(|| not_found("CertificateNotFound"))?;
            certificate(call, name, found)
        }
        ("secrets", None) => {
            let found = found.ok_or_else(|| not_found("SecretNotFound"))?;
            secret(call, name, found)?
        }
        ("keys", Some("sign")) => {
            let found = found.ok_or_else(|| not_found("KeyNotFound"))?;
            sign(call, name, found)?
        }
        _ => return Err(bad("no such path")),
    };
    Ok(Reply::json(StatusCode::OK, &value))
}

fn attributes(version: &Version) -> Value {
    json!({ "enabled": version.enabled, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90 })
}

fn content_type(version: &Version) -> &'static str {
    match version.key {
        VaultKey::Pem => "application/x-pem-file",
        VaultKey::Pkcs12(_) | VaultKey::Kept => "application/x-pkcs12",
    }
}

fn certificate(call: &Call, name: &str, version: &Version) -> Value {
    let id = |kind: &str| format!("{}/{kind}/{name}/{}", call.origin(), version.id);
    let der = leaf(version);
    json!({
        "id": id("certificates"),
        "kid": id("keys"),
        "sid": id("secrets"),
        "x5t": sha1_url(&der),
        "cer": base64(&der),
        "contentType": content_type(version),
        "attributes": attributes(version),
        "policy": {
            "id": format!("{}/certificates/{name}/policy", call.origin()),
            "key_props": {
                "exportable": !matches!(version.key, VaultKey::Kept),
                "kty": "RSA", "key_size": 2048, "reuse_key": false,
            },
            "secret_props": { "contentType": content_type(version) },
        },
    })
}

/// The certificate alone: what is in the PEM counts, whoever has put it there.
fn leaf(version: &Version) -> Vec<u8> {
    let pem = version.certificate.certificate_pem.as_bytes();
    CertificateDer::from_pem_slice(pem)
        .map(|der| der.to_vec())
        .unwrap_or_default()
}

fn disabled(version: &Version, inner: &str) -> Result<(), Refused> {
    if version.enabled {
        return Ok(());
    }
    Err(refuse(
        StatusCode::FORBIDDEN,
        "Forbidden",
        Some(inner),
        "Operation get is not allowed on a disabled object.",
    ))
}

fn secret(call: &Call, name: &str, version: &Version) -> Result<Value, Refused> {
    disabled(version, "SecretDisabled")?;
    let ClientCertificate {
        certificate_pem,
        private_key_pem,
        ..
    } = &version.certificate;
    let value = match &version.key {
        VaultKey::Pem => format!("{private_key_pem}{certificate_pem}"),
        VaultKey::Pkcs12(bytes) => base64(bytes),
        // a store without the key
        VaultKey::Kept => certificate_pem.clone(),
    };
    Ok(json!({
        "value": value,
        "contentType": content_type(version),
        "id": format!("{}/secrets/{name}/{}", call.origin(), version.id),
        "kid": format!("{}/keys/{name}/{}", call.origin(), version.id),
        "managed": true,
        "attributes": attributes(version),
    }))
}

/// Signs a digest.
fn sign(call: &Call, name: &str, version: &Version) -> Result<Value, Refused> {
    disabled(version, "KeyDisabled")?;
    let is_json = call
        .header(CONTENT_TYPE.as_str())
        .is_some_and(|value| value.starts_with("application/json"));
    let body: Map<String, Value> = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let (Some(algorithm), Some(digest), true, 2) =
        (text("alg"), text("value"), is_json, body.len())
    else {
        return Err(bad("The request body must be JSON with alg and value."));
    };
    let padding: &'static dyn RsaEncoding = match algorithm {
        "PS256" => &RSA_PSS_SHA256,
        "RS256" => &RSA_PKCS1_SHA256,
        _ => return Err(bad("The algorithm is not one of the key's.")),
    };
    let digest = from_base64url(digest)
        .and_then(|bytes| Digest::import_less_safe(&bytes, &SHA256).ok())
        .ok_or_else(|| bad("The value is not a digest of the algorithm's length."))?;
    let broken = |_| bad("The key cannot sign.");
    let key = PrivatePkcs8KeyDer::from_pem_slice(version.certificate.private_key_pem.as_bytes());
    let key = key.map_err(|_| bad("There is no key."))?;
    let key =
        RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| bad("There is no key."))?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign_digest(padding, &digest, &mut signature)
        .map_err(broken)?;
    Ok(json!({
        "kid": format!("{}/keys/{name}/{}", call.origin(), version.id),
        "value": base64url(&signature),
    }))
}
