//! A workload issuer: the stand-in for a cluster's service-account issuer.
//! It signs projected tokens and writes them to files like the kubelet does.

use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::encoding::guid;
use crate::files::Volume;
use crate::jose::SigningKey;
use crate::lock;

/// What Kubernetes gives a projected token when the pod asks for nothing else.
pub const DEFAULT_LIFETIME: i64 = 3_600;

/// The namespace and name every token's `kubernetes.io` claim tells of; the
/// default subject is made of the same.
const NAMESPACE: &str = "default";
const SERVICE_ACCOUNT: &str = "edgepass-demo";

/// Signs workload tokens for one issuer URL. Clones share the keys.
#[derive(Clone)]
pub struct WorkloadIssuer {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    clock: Arc<Clock>,
    defaults: Defaults,
    /// Newest last. Older keys stay published, as in a cluster that rotated.
    keys: Mutex<Vec<SigningKey>>,
    lifetime: Mutex<i64>,
}

struct Defaults {
    subject: String,
    audience: String,
}

impl WorkloadIssuer {
    pub(crate) fn new(
        url: &str,
        subject: &str,
        audience: &str,
        clock: Arc<Clock>,
        key: SigningKey,
    ) -> Self {
        let defaults = Defaults {
            subject: subject.to_owned(),
            audience: audience.to_owned(),
        };
        Self {
            inner: Arc::new(Inner {
                url: url.to_owned(),
                clock,
                defaults,
                keys: Mutex::new(vec![key]),
                lifetime: Mutex::new(DEFAULT_LIFETIME),
            }),
        }
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The life of tokens that do not ask for another.
    pub fn set_lifetime(&self, seconds: i64) {
        *lock(&self.inner.lifetime) = seconds;
    }

    /// A token as a pod of the default service account would find it.
    pub fn token(&self) -> Result<String> {
        self.mint(&Mint::new())
    }

    /// A token that differs from the default as `mint` says.
    pub fn mint(&self, mint: &Mint) -> Result<String> {
        let now = self.inner.clock.now();
        let life = mint.expires_in.unwrap_or(*lock(&self.inner.lifetime));
        let mut claims = Map::new();
        let audience = mint
            .audience
            .clone()
            .unwrap_or(json!([self.inner.defaults.audience]));
        claims.insert("aud".into(), audience);
        claims.insert("exp".into(), json!(now.saturating_add(life)));
        claims.insert("iat".into(), json!(now.saturating_add(mint.issued_in)));
        claims.insert(
            "iss".into(),
            json!(mint.issuer.as_deref().unwrap_or(self.url())),
        );
        claims.insert("jti".into(), json!(guid()));
        claims.insert(
            "kubernetes.io".into(),
            json!({
                "namespace": NAMESPACE,
                "serviceaccount": { "name": SERVICE_ACCOUNT, "uid": guid() },
            }),
        );
        claims.insert("nbf".into(), json!(now.saturating_add(mint.not_before_in)));
        claims.insert(
            "sub".into(),
            json!(
                mint.subject
                    .as_deref()
                    .unwrap_or(&self.inner.defaults.subject)
            ),
        );
        claims.extend(mint.claims.clone());
        for name in &mint.omit {
            claims.remove(name);
        }

        let stranger = mint
            .foreign_key
            .then(|| SigningKey::generate("stranger"))
            .transpose()?;
        let keys = lock(&self.inner.keys);
        let newest = keys.last().context("the issuer has no signing key")?;
        // A foreign key lies about its name: only the signature betrays it.
        let kid = mint.kid.clone().unwrap_or_else(|| newest.kid().to_owned());
        let mut header = Map::new();
        header.insert("alg".into(), json!("RS256"));
        header.insert("kid".into(), json!(kid));
        header.extend(mint.header.clone());
        let key = stranger.as_ref().unwrap_or(newest);
        key.sign(&Value::Object(header), &Value::Object(claims))
    }

    /// Signs with a new key from now on; the old one stays published.
    pub fn rotate_key(&self) -> Result<()> {
        let key = SigningKey::generate(self.url())?;
        lock(&self.inner.keys).push(key);
        Ok(())
    }

    /// The published keys.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = lock(&self.inner.keys).iter().map(SigningKey::jwk).collect();
        json!({ "keys": keys })
    }

    /// The newest key, public half, PEM.
    pub fn public_key_pem(&self) -> Result<String> {
        let keys = lock(&self.inner.keys);
        let newest = keys.last().context("the issuer has no signing key")?;
        Ok(newest.public_key_pem().to_owned())
    }

    /// The issuer's discovery document.
    #[must_use]
    pub fn discovery(&self) -> Value {
        json!({
            "issuer": self.url(),
            "jwks_uri": format!("{}/openid/v1/jwks", self.url()),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    }

    /// Puts a fresh default token where `path` says, in the kubelet's layout:
    /// the file's directory becomes (or is) a volume swapped in one rename.
    pub fn write_token_file(&self, path: &Path) -> Result<()> {
        self.write_file(path, &self.token()?)
    }

    /// Puts any text there the same way, for tests of bad content.
    pub fn write_file(&self, path: &Path, content: &str) -> Result<()> {
        let dir = path.parent().context("a token file needs a directory")?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.context("a token file needs a name in UTF-8")?;
        Volume::open(dir)?.write(&[(name, content.as_bytes())])
    }
}

impl std::fmt::Debug for WorkloadIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadIssuer")
            .field("url", &self.inner.url)
            .finish_non_exhaustive()
    }
}

/// How a token differs from the default one.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mint {
    /// Another `iss`.
    pub issuer: Option<String>,
    /// Another `sub`.
    pub subject: Option<String>,
    /// Another `aud`: a string or an array of them.
    pub audience: Option<Value>,
    /// Seconds from now to `exp`; negative for a token already expired.
    pub expires_in: Option<i64>,
    /// Seconds from now to `nbf`.
    pub not_before_in: i64,
    /// Seconds from now to `iat`.
    pub issued_in: i64,
    /// Another `kid` in the header.
    pub kid: Option<String>,
    /// Signed by a key that the issuer does not publish.
    pub foreign_key: bool,
    /// Claims left out.
    pub omit: Vec<String>,
    /// Claims added or replaced as they are.
    pub claims: Map<String, Value>,
    /// Header parameters added or replaced as they are.
    pub header: Map<String, Value>,
}

impl Mint {
    /// A token like the default one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With another `iss`.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = Some(issuer.to_owned());
        self
    }

    /// With another `sub`.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// With another `aud`, as a single string.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = Some(json!(audience));
        self
    }

    /// With `exp` so many seconds from now.
    #[must_use]
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = Some(seconds);
        self
    }

    /// With `nbf` so many seconds from now.
    #[must_use]
    pub fn not_before_in(mut self, seconds: i64) -> Self {
        self.not_before_in = seconds;
        self
    }

    /// With `iat` so many seconds from now.
    #[must_use]
    pub fn issued_in(mut self, seconds: i64) -> Self {
        self.issued_in = seconds;
        self
    }

    /// With another `kid`.
    #[must_use]
    pub fn kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// Signed by an unpublished key, under the published `kid`.
    #[must_use]
    pub fn foreign_key(mut self) -> Self {
        self.foreign_key = true;
        self
    }

    /// Without the claim `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.omit.push(name.to_owned());
        self
    }

    /// With the claim `name` set to `value`.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// With the header parameter `name` set to `value`.
    #[must_use]
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }
}
