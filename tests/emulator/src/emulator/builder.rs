//! How an emulator is started.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};

use super::seed::{AUDIENCE, CLIENT_ID, SUBJECT, TENANT, seed};
use super::{Emulator, Shared};
use crate::clock::Clock;
use crate::encoding::{base64url, guid, random};
use crate::faults::FaultQueue;
use crate::issuer::WorkloadIssuer;
use crate::jose::SigningKey;
use crate::journal::Journal;
use crate::keys::TokenKeys;
use crate::metadata::IssuedTokens;
use crate::pki::{CertificateOptions, KeySlot, Pki, process_key};
use crate::platforms::Secrets;
use crate::proxy::Proxy;
use crate::routes::ISSUER_PATH;
use crate::server::{self, Door};
use crate::services::TokenServices;
use crate::sessions::Sessions;
use crate::vault::Vault;
use crate::world::{Identity, OpenConnections, Replays, Settings, World};

/// Enough to answer while a key is being made; the machine has other work.
const WORKERS: usize = 2;

static SIGNER_KEY: KeySlot = KeySlot::new();

static ISSUER_KEY: KeySlot = KeySlot::new();

static CLIENT_KEY: KeySlot = KeySlot::new();

/// What can be decided before the start.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    port: u16,
    metadata_port: Option<u16>,
    token_proxy: bool,
    host_names: Vec<String>,
    access_token_lifetime: Option<i64>,
    refresh_in: Option<i64>,
    workload_token_lifetime: Option<i64>,
    log: bool,
}

impl Builder {
    /// Listens on this port; a free one otherwise.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Serves a metadata service too, by http on this port; on a free one if
    /// it is 0.
    #[must_use]
    pub fn metadata_port(mut self, port: u16) -> Self {
        self.metadata_port = Some(port);
        self
    }

    /// Serves a token proxy as well, on a free port.
    #[must_use]
    pub fn token_proxy(mut self) -> Self {
        self.token_proxy = true;
        self
    }

    /// A further DNS name for the server certificate.
    #[must_use]
    pub fn host_name(mut self, name: &str) -> Self {
        self.host_names.push(name.to_owned());
        self
    }

    /// The life of access tokens in seconds.
    #[must_use]
    pub fn access_token_lifetime(mut self, seconds: i64) -> Self {
        self.access_token_lifetime = Some(seconds);
        self
    }

    /// The `refresh_in` of token responses.
    #[must_use]
    pub fn refresh_in(mut self, seconds: i64) -> Self {
        self.refresh_in = Some(seconds);
        self
    }

    /// The life of the workload issuer's tokens in seconds.
    #[must_use]
    pub fn workload_token_lifetime(mut self, seconds: i64) -> Self {
        self.workload_token_lifetime = Some(seconds);
        self
    }

    /// One line per request on standard error.
    #[must_use]
    pub fn log(mut self, log: bool) -> Self {
        self.log = log;
        self
    }

    /// Starts the emulator, on threads of its own.
    pub async fn start(self) -> Result<Emulator> {
        // Making keys takes a while: not on the caller's executor.
        tokio::task::spawn_blocking(|| self.start_blocking())
            .await
            .context("the emulator's start was interrupted")?
    }

    /// Starts the emulator from a program without an executor.
    pub fn start_blocking(self) -> Result<Emulator> {
        let listener = bind(self.port)?;
        let mtls_listener = bind(0)?;
        let metadata_listener = self.metadata_port.map(bind).transpose()?;
        let metadata_port = match &metadata_listener {
            Some(listener) => Some(listener.local_addr()?.port()),
            None => None,
        };
        let proxy_listener = self.token_proxy.then(|| bind(0)).transpose()?;
        let proxy_port = match &proxy_listener {
            Some(listener) => Some(listener.local_addr()?.port()),
            None => None,
        };
        let secret = format!("{}~+&=%_8Q", base64url(&random::<18>()));
        let identity = Identity {
            port: listener.local_addr()?.port(),
            mtls_port: mtls_listener.local_addr()?.port(),
            metadata_port,
            proxy_port,
            tenant: TENANT.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: secret,
        };

        let clock = Arc::new(Clock::default());
        let pki = Pki::generate()?;
        let [open, strict] = pki.server_configs(&self.host_names)?;
        let issuer_url = format!("{}/{ISSUER_PATH}", identity.authority());
        let issuer_key = SigningKey::new(&issuer_url, &process_key(&ISSUER_KEY)?)?;
        let issuer = WorkloadIssuer::new(
            &issuer_url,
            SUBJECT,
            AUDIENCE,
            Arc::clone(&clock),
            issuer_key,
        );
        if let Some(seconds) = self.workload_token_lifetime {
            issuer.set_lifetime(seconds);
        }
        let certificate = pki.certify(
            &process_key(&CLIENT_KEY)?,
            "edgepass-demo",
            &CertificateOptions::default(),
        )?;
        let mut registry = seed(&identity, &issuer_url, &certificate)?;
        let platform_key = process_key(&ISSUER_KEY)?;
        let services = TokenServices::new(
            &clock,
            &|issuer| SigningKey::new(issuer, &platform_key),
            &mut registry,
        )?;
        let mut settings = Settings {
            refresh_in: self.refresh_in,
            ..Settings::default()
        };
        if let Some(seconds) = self.access_token_lifetime {
            settings.access_token_lifetime = seconds;
        }
        let scratch = std::env::temp_dir().join(format!("edgepass-emulator-{}", guid()));
        let (mut fabric, mut fabric_door) = (None, None);
        if metadata_listener.is_some() {
            let listener = bind(0)?;
            let (tls, thumbprint) = Pki::fabric_config()?;
            fabric = Some((listener.local_addr()?.port(), thumbprint));
            fabric_door = Some((listener, Door::Fabric(tls.into())));
        }
        let world = Arc::new(World {
            clock,
            pki,
            keys: TokenKeys::new(SigningKey::new(
                "edgepass-emulator token signing",
                &process_key(&SIGNER_KEY)?,
            )?),
            issuer,
            registry: Mutex::new(registry),
            settings: Mutex::new(settings),
            journal: Journal::default(),
            faults: FaultQueue::default(),
            replays: Replays::default(),
            sessions: Sessions::default(),
            metadata_tokens: IssuedTokens::default(),
            platforms: Secrets::new(&scratch),
            fabric,
            services,
            vault: Vault::default(),
            proxy: self.token_proxy.then(Proxy::new).transpose()?,
            directory: Mutex::new(None),
            identity,
            log: AtomicBool::new(self.log),
            open: OpenConnections::default(),
        });

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("edgepass-emulator")
            .enable_all()
            .build()?;
        let counter = Arc::new(AtomicU64::new(0));
        let doors = [
            (Some(listener), Door::Entra(open.into())),
            (Some(mtls_listener), Door::StrictEntra(strict.into())),
            (metadata_listener, Door::Metadata),
            (proxy_listener, Door::Proxy),
        ];
        let fabric_door = fabric_door.map(|(listener, door)| (Some(listener), door));
        for (listener, door) in doors.into_iter().chain(fabric_door) {
            let Some(listener) = listener else {
                continue;
            };
            let _inside = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (world, counter) = (Arc::clone(&world), Arc::clone(&counter));
            runtime.spawn(server::serve(listener, door, world, counter));
        }
        Ok(Emulator {
            shared: Shared(world),
            certificate,
            scratch,
            runtime: Some(runtime),
        })
    }
}

fn bind(port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}; is the port in use?"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
