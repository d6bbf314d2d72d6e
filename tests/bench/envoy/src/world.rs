//! All that the variants need: the token server, the upstream, and the token that the fixed ones are given.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use edgepass_envoy_tests::{Lab, Setup, filter_path, get};
use serde_json::json;

use crate::proxy::{Proxy, UNDER_TEST};
use crate::upstream::{Answerer, RECORDED};
use crate::variant::{Native, Variant};

/// The resource of [`Lab::plugin`].
pub(crate) const SCOPE: &str = "api://edgepass-demo/.default";

/// The cluster of the token server in [`Setup`].
pub(crate) const TOKEN_CLUSTER: &str = "entra";

/// Roles in the access token, for it to be as long as Entra's are: about 1,600 bytes.
const ROLES: usize = 18;

/// How long a variant may take to get its token. Envoy's own filter asks again after two seconds.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How much longer or shorter one's token may be than another's.
const TOKEN_LENGTHS_DIFFER: usize = 16;

pub(crate) struct World {
    lab: Lab,
    upstream: Answerer,
    setup: Setup,
    wasm: PathBuf,
    /// The header's value of the fixed variants.
    header: String,
}

impl World {
    pub(crate) fn start() -> Result<Self> {
        let wasm = filter_path()?;
        let lab = Lab::start()?;
        let mut app = lab
            .emulator
            .app(lab.emulator.client_id())
            .context("the emulator has no application")?;
        app.roles = (0..ROLES)
            .map(|n| format!("Orders.ReadWrite.{n:02}"))
            .collect();
        lab.emulator.register_app(app);
        let upstream = Answerer::start()?;
        let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
        let mut world = Self {
            lab,
            upstream,
            setup,
            wasm,
            header: String::new(),
        };
        let first = world.proxy(Variant::Edgepass)?;
        world.header = world.token_of(&first)?;
        Ok(world)
    }

    /// A new Envoy of that variant, ready but perhaps still without a token.
    pub(crate) fn proxy(&self, variant: Variant) -> Result<Proxy> {
        let emulator = &self.lab.emulator;
        let native = Native {
            header: &self.header,
            token_endpoint: &emulator.token_endpoint(emulator.tenant()),
            client_id: emulator.client_id(),
            client_secret: emulator.client_secret(),
        };
        Proxy::start(UNDER_TEST, |dir| {
            variant.config(&self.setup, dir, &self.wasm, &native)
        })
        .with_context(|| format!("cannot start: {}", variant.name()))
    }

    /// Sees that the upstream gets from a variant what it is there for, and waits for that.
    pub(crate) fn check(&self, variant: Variant, proxy: &Proxy) -> Result<()> {
        let checked = if variant.injects() {
            self.token_of(proxy)
                .and_then(|header| self.is_right(variant, &header))
        } else {
            self.sent(proxy).and_then(|header| match header {
                None => Ok(()),
                Some(_) => bail!("the upstream gets a token"),
            })
        };
        checked.with_context(|| format!("{}: {}", variant.name(), proxy.log()))
    }

    /// The length of the header's value.
    pub(crate) fn header_length(&self) -> usize {
        self.header.len()
    }

    /// The module.
    pub(crate) fn wasm(&self) -> &Path {
        &self.wasm
    }

    fn is_right(&self, variant: Variant, header: &str) -> Result<()> {
        if variant.is_fixed() && header != self.header {
            bail!("the upstream gets another token than the one given");
        }
        if header.len().abs_diff(self.header.len()) > TOKEN_LENGTHS_DIFFER {
            bail!(
                "its token has {} bytes, that of the others {}",
                header.len(),
                self.header.len()
            );
        }
        Ok(())
    }

    fn token_of(&self, proxy: &Proxy) -> Result<String> {
        let began = Instant::now();
        loop {
            if let Some(header) = self.sent(proxy)?
                && header.starts_with("Bearer ")
            {
                return Ok(header);
            }
            if began.elapsed() > TOKEN_TIMEOUT {
                bail!("the upstream got no token in {TOKEN_TIMEOUT:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The `authorization` that the upstream got with a request; nothing if it got no request either.
    fn sent(&self, proxy: &Proxy) -> Result<Option<String>> {
        let answer = get(proxy.port(), RECORDED)?;
        Ok((answer.status == 200)
            .then(|| self.upstream.last_authorization())
            .flatten())
    }
}
