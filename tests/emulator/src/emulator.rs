//! The emulator as a value: started, asked, told, and stopped.

mod builder;
mod seed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::control::{self, WantedToken};
use crate::credentials::MachineKeys;
use crate::directory::Directory;
use crate::faults::{Fault, FaultQueue};
use crate::files::make_private_dir;
use crate::issuer::{Mint, WorkloadIssuer};
use crate::jose::SigningKey;
use crate::journal::JournalEntry;
use crate::lock;
use crate::pki::{CertificateOptions, ClientCertificate};
use crate::platforms::{self, Platform};
use crate::proxy::{self, Proxy};
use crate::registry::{App, Certificate, ManagedIdentity, Resource, Tenant};
use crate::services::TokenService;
use crate::users::User;
use crate::vault::VaultKey;
use crate::world::World;

pub use builder::Builder;
use seed::{AUDIENCE, SUBJECT, TENANT_DOMAIN, USERNAME};

/// A running emulator. Dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    shared: Shared,
    certificate: ClientCertificate,
    scratch: PathBuf,
    runtime: Option<Runtime>,
}

struct Shared(Arc<World>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.identity.authority())
    }
}

impl Emulator {
    /// An emulator about to be configured; the defaults need no configuring.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `https://localhost:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.world().identity.authority()
    }

    /// `https://login.localhost:PORT`, whose mTLS host Entra's rule finds.
    #[must_use]
    pub fn login_authority(&self) -> String {
        format!("https://login.localhost:{}", self.port())
    }

    /// `https://mtlsauth.localhost:PORT`: a token request there must come on
    /// a connection with a client certificate.
    #[must_use]
    pub fn mtls_authority(&self) -> String {
        self.world().identity.mtls_authority()
    }

    /// Another port, where a TLS handshake without a client certificate fails.
    #[must_use]
    pub fn strict_mtls_authority(&self) -> String {
        self.world().identity.strict_mtls_authority()
    }

    /// The port of [`Self::authority`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.world().identity.port
    }

    /// The tenant that is there from the start.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.world().identity.tenant
    }

    /// A verified domain of that tenant.
    #[must_use]
    pub fn tenant_domain(&self) -> &'static str {
        TENANT_DOMAIN
    }

    /// The application that is there from the start.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.world().identity.client_id
    }

    /// Its secret, made at start with characters that need form-encoding.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.world().identity.client_secret
    }

    /// Its certificate, made at start.
    #[must_use]
    pub fn client_certificate(&self) -> &ClientCertificate {
        &self.certificate
    }

    /// The v2 token endpoint of a tenant.
    #[must_use]
    pub fn token_endpoint(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.authority())
    }

    /// The CA that clients must trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.world().pki.ca_pem()
    }

    /// A file with the CA; it goes when the emulator does.
    pub fn ca_file(&self) -> Result<PathBuf> {
        make_private_dir(&self.scratch)?;
        let path = self.scratch.join("ca.pem");
        std::fs::write(&path, self.ca_pem())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Writes the directory of the command: CA, token file, certificate, `env`.
    pub fn write_dir(&self, dir: &Path) -> Result<Directory> {
        let directory = Directory::create(dir, self.world(), &self.certificate)?;
        *lock(&self.world().directory) = Some(directory.clone());
        Ok(directory)
    }

    /// Swaps in a new token file in the written directory.
    pub fn rotate_token(&self) -> Result<()> {
        let directory = lock(&self.world().directory);
        let directory = directory
            .as_ref()
            .context("write_dir comes before rotation")?;
        directory.rotate_token(self.world(), &Mint::new())
    }

    /// Makes, registers and swaps in a new certificate in the written
    /// directory; the result is its thumbprint.
    pub fn rotate_certificate(&self) -> Result<String> {
        let directory = lock(&self.world().directory);
        let directory = directory
            .as_ref()
            .context("write_dir comes before rotation")?;
        directory.rotate_certificate(self.world())
    }

    /// URLs, names and, once written, paths: the ready line of the command.
    #[must_use]
    pub fn about(&self) -> Value {
        let mut about = control::about(self.world());
        let paths = lock(&self.world().directory).as_ref().map(Directory::about);
        if let (Some(fields), Some(Value::Object(paths))) = (about.as_object_mut(), paths) {
            fields.extend(paths);
        }
        about
    }

    /// The variables of the written directory's `env` file.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let directory = lock(&self.world().directory);
        directory
            .as_ref()
            .map(|directory| directory.env(self.world()))
            .unwrap_or_default()
    }

    /// The workload issuer that the first application trusts.
    #[must_use]
    pub fn issuer(&self) -> &WorkloadIssuer {
        &self.world().issuer
    }

    /// Another issuer, with keys of its own, at a URL that is not served. It
    /// is unknown to the emulator until [`Self::trust_issuer`].
    pub fn outside_issuer(&self, url: &str) -> Result<WorkloadIssuer> {
        let key = SigningKey::generate(url)?;
        Ok(WorkloadIssuer::new(
            url,
            SUBJECT,
            AUDIENCE,
            Arc::clone(&self.world().clock),
            key,
        ))
    }

    /// Makes an outside issuer's keys known, as if they could be fetched.
    pub fn trust_issuer(&self, issuer: &WorkloadIssuer) {
        lock(&self.world().registry).put_issuer(issuer.url(), issuer.jwks());
    }

    /// Registers an application, or replaces the one with its client ID.
    pub fn register_app(&self, app: App) {
        lock(&self.world().registry).put_app(app);
    }

    /// The application as registered now.
    #[must_use]
    pub fn app(&self, client_id: &str) -> Option<App> {
        lock(&self.world().registry).app_mut(client_id).cloned()
    }

    /// Makes a tenant known.
    pub fn register_tenant(&self, tenant: Tenant) {
        lock(&self.world().registry).put_tenant(tenant);
    }

    /// Makes a resource known.
    pub fn register_resource(&self, resource: Resource) {
        lock(&self.world().registry).put_resource(resource);
    }

    /// Registers a user, or replaces the one with their object ID.
    pub fn register_user(&self, user: User) {
        lock(&self.world().registry).put_user(user);
    }

    /// The user as registered now, by object ID or user principal name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<User> {
        lock(&self.world().registry).user(name)
    }

    /// The user principal name of the user that is there from the start, who
    /// has consented to what the first application may ask for.
    #[must_use]
    pub fn username(&self) -> &'static str {
        USERNAME
    }

    /// The name under which the first application is a resource: what a user's
    /// token is for that comes with a request to it.
    #[must_use]
    pub fn own_resource(&self) -> String {
        seed::own_resource(self.client_id())
    }

    /// An access token of a user's for that resource, as a client of the first
    /// application's would have it, that differs from an ordinary one as `mint`
    /// says.
    pub fn user_token(&self, username: &str, resource: &str, mint: &Mint) -> Result<String> {
        let wanted = WantedToken {
            client_id: None,
            resource: resource.to_owned(),
            scopes: Vec::new(),
            second_factor: false,
            mint: mint.clone(),
        };
        control::user_token(self.world(), username, &wanted)
    }

    /// The same of somebody who has shown a second factor.
    pub fn user_token_with_second_factor(&self, username: &str, resource: &str) -> Result<String> {
        let wanted = WantedToken {
            client_id: None,
            resource: resource.to_owned(),
            scopes: Vec::new(),
            second_factor: true,
            mint: Mint::new(),
        };
        control::user_token(self.world(), username, &wanted)
    }

    /// Makes void what that user has granted until now.
    pub fn revoke_user(&self, username: &str) -> Result<()> {
        control::revoke_user(self.world(), username)
    }

    /// Revokes one refresh token; false when there is no such.
    #[must_use]
    pub fn revoke_refresh_token(&self, token: &str) -> bool {
        self.world().sessions.revoke(token)
    }

    /// Signs tokens with a new key from now on; `retire` says that the others
    /// are not published any more.
    pub fn rotate_signing_key(&self, retire: bool) -> Result<()> {
        self.world().keys.rotate(retire)
    }

    /// Who sits before every browser, and signs in without a page.
    pub fn set_signed_in(&self, username: Option<&str>) {
        lock(&self.world().settings).signed_in = username.map(ToOwned::to_owned);
    }

    /// Whether users consent to what they are asked for (they do, by default).
    pub fn set_users_consent(&self, consent: bool) {
        lock(&self.world().settings).users_consent = consent;
    }

    /// Whether a refresh token counts once.
    pub fn set_refresh_once(&self, once: bool) {
        lock(&self.world().settings).refresh_once = once;
    }

    /// The issuer of the token server that is not Entra.
    #[must_use]
    pub fn generic_issuer(&self) -> String {
        crate::generic::issuer(self.world())
    }

    /// Replaces an application's certificates by this one.
    pub fn set_certificate(&self, client_id: &str, certificate: &ClientCertificate) -> Result<()> {
        self.change_certificates(client_id, certificate, true)
    }

    /// Adds a certificate to an application's.
    pub fn add_certificate(&self, client_id: &str, certificate: &ClientCertificate) -> Result<()> {
        self.change_certificates(client_id, certificate, false)
    }

    /// Makes a client certificate and key; registering it is another matter.
    pub fn create_client_certificate(
        &self,
        common_name: &str,
        options: &CertificateOptions,
    ) -> Result<ClientCertificate> {
        self.world().pki.client_certificate(common_name, options)
    }

    /// Misbehaviour on demand.
    #[must_use]
    pub fn faults(&self) -> Faults<'_> {
        Faults {
            queue: &self.world().faults,
        }
    }

    /// What was asked so far and how it was answered, oldest first. Control
    /// requests are not in it. This waits for the answers under way, so that
    /// nothing in it changes any more.
    ///
    /// # Panics
    ///
    /// When an answer stays away for half a minute.
    #[must_use]
    pub fn journal(&self) -> Vec<JournalEntry> {
        match self.world().journal.settled_entries() {
            Ok(entries) => entries,
            #[expect(
                clippy::panic,
                reason = "for tests, which have nothing else to do about it"
            )]
            Err(error) => panic!("the emulator's journal does not settle: {error}"),
        }
    }

    /// The token requests of [`Self::journal`].
    #[must_use]
    pub fn token_requests(&self) -> Vec<JournalEntry> {
        let mut journal = self.journal();
        journal.retain(JournalEntry::is_token_request);
        journal
    }

    /// The client certificates of the connections that are open now: an
    /// `x5t#S256` for each connection that has one.
    #[must_use]
    pub fn open_connections(&self) -> Vec<String> {
        self.world().open.thumbprints()
    }

    /// How many token requests have arrived so far, answered or not: for
    /// tests of what happens while an answer is under way.
    #[must_use]
    pub fn token_requests_begun(&self) -> usize {
        let entries = self.world().journal.entries();
        entries
            .iter()
            .filter(|entry| entry.is_token_request())
            .count()
    }

    /// Forgets what was asked so far.
    pub fn clear_journal(&self) {
        self.world().journal.clear();
    }

    /// The life of access tokens from now on, and `refresh_in`.
    pub fn set_token_lifetime(&self, seconds: i64, refresh_in: Option<i64>) {
        let mut settings = lock(&self.world().settings);
        settings.access_token_lifetime = seconds;
        settings.refresh_in = refresh_in;
    }

    /// Whether an assertion's second use is refused (it is, by default).
    pub fn refuse_replay(&self, refuse: bool) {
        lock(&self.world().settings).refuse_replay = refuse;
    }

    /// Puts the emulator's clock ahead of the machine's, or behind.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.world().clock.set_skew(seconds);
    }

    /// `http://127.0.0.1:PORT` of the metadata service, whose path
    /// `/metadata/identity/oauth2/token` gives tokens of managed identities;
    /// none unless [`Builder::metadata_port`] asked for it.
    #[must_use]
    pub fn metadata_authority(&self) -> Option<String> {
        self.world().identity.metadata_authority()
    }

    /// The variables by which a platform leads the processes that it starts to
    /// its tokens of managed identities; none unless
    /// [`Builder::metadata_port`] asked for them. Azure Arc's keys are in the
    /// folder that Windows has for them, below the `ProgramData` that is among
    /// the variables.
    #[must_use]
    pub fn platform_env(&self, platform: Platform) -> Vec<(&'static str, String)> {
        platforms::env(self.world(), platform)
    }

    /// The identities of the machine that the metadata service runs on: its
    /// own and one that is user-assigned, from the start.
    #[must_use]
    pub fn managed_identities(&self) -> Vec<ManagedIdentity> {
        lock(&self.world().registry).managed_identities().to_vec()
    }

    /// Assigns these identities to the machine, and no others.
    pub fn set_managed_identities(&self, identities: Vec<ManagedIdentity>) {
        self.world().metadata_tokens.clear();
        lock(&self.world().registry).set_managed_identities(identities);
    }

    /// The life of the tokens of managed identities from now on; those
    /// handed out until now are not handed out again.
    pub fn set_managed_identity_token_lifetime(&self, seconds: i64) {
        lock(&self.world().settings).managed_identity_token_lifetime = seconds;
        self.world().metadata_tokens.clear();
    }

    /// For which keys the metadata service issues certificates.
    pub fn set_machine_keys(&self, keys: MachineKeys) {
        self.world().pki.credentials.set_keys(keys);
    }

    /// The life of the certificates that it issues from now on, seconds.
    pub fn set_issued_certificate_lifetime(&self, seconds: i64) {
        self.world().pki.credentials.set_lifetime(seconds);
    }

    /// Refuses that many of the certificates that it issues next, in every
    /// handshake.
    pub fn refuse_issued_certificates(&self, count: usize) {
        self.world().pki.credentials.refuse_next(count);
    }

    /// `x5t#S256` of the certificates that it has issued, the first one first.
    #[must_use]
    pub fn issued_certificates(&self) -> Vec<String> {
        self.world().pki.credentials.issued()
    }

    /// What the federated credential of an application names as issuer that
    /// trusts a managed identity; the subject is the identity's object ID.
    #[must_use]
    pub fn tenant_issuer(&self) -> String {
        self.world().identity.tenant_issuer()
    }

    /// The requests to the metadata service and the other places of platforms
    /// in [`Self::journal`].
    #[must_use]
    pub fn metadata_requests(&self) -> Vec<JournalEntry> {
        let mut journal = self.journal();
        journal.retain(JournalEntry::is_metadata_request);
        journal
    }

    /// The variables of a workload on that platform: where to ask, and what to
    /// show there.
    #[must_use]
    pub fn token_service_variables(&self, of: TokenService) -> Vec<(&'static str, String)> {
        self.world().services.variables(of, self.world())
    }

    /// What workloads show to the services of platforms, and the keys of AWS's
    /// role: it must be seen nowhere.
    #[must_use]
    pub fn token_service_secrets(&self) -> Vec<String> {
        self.world().services.secrets()
    }

    /// The variables by which AKS names its token proxy, but for the one of its
    /// certification authority; none unless [`Builder::token_proxy`] asked for
    /// it.
    #[must_use]
    pub fn token_proxy_variables(&self) -> Vec<(&'static str, String)> {
        let Some(port) = self.world().identity.proxy_port else {
            return Vec::new();
        };
        vec![
            (
                "AZURE_KUBERNETES_TOKEN_PROXY",
                format!("https://127.0.0.1:{port}{}", proxy::PATH),
            ),
            ("AZURE_KUBERNETES_SNI_NAME", proxy::NAME.to_owned()),
        ]
    }

    /// The certification authority of the token proxy, PEM.
    #[must_use]
    pub fn token_proxy_ca_pem(&self) -> Option<String> {
        self.world().proxy.as_ref().map(Proxy::ca_pem)
    }

    /// Gives the token proxy a new certification authority.
    pub fn rotate_token_proxy(&self) -> Result<()> {
        let proxy = self.world().proxy.as_ref();
        proxy.context("there is no token proxy")?.rotate()
    }

    /// Serves the SPIFFE Workload API on a Unix socket at that path, to whoever
    /// connects: JWT-SVIDs of two identities, of which [`TokenService::Spiffe`] has
    /// the default one.
    ///
    /// It has X.509-SVIDs of the same identities from the first call of
    /// [`Self::rotate_svids`] on.
    pub fn serve_workload_api(&self, path: &Path) -> Result<()> {
        let runtime = self.runtime.as_ref().context("it has stopped")?;
        crate::services::workload_api::serve(path, &self.shared.0, runtime)
    }

    /// Makes new X.509-SVIDs, and sends them to whoever listens at the Workload
    /// API; that of the default identity comes back.
    pub fn rotate_svids(&self) -> Result<ClientCertificate> {
        self.world().services.svids.rotate(&self.world().pki)
    }

    /// Has no X.509-SVID for the workload any more.
    pub fn withdraw_svids(&self) {
        self.world().services.svids.withdraw();
    }

    /// `https://vault.localhost:PORT`: a Key Vault, which takes tokens for `https://vault.azure.net`.
    #[must_use]
    pub fn vault_url(&self) -> String {
        format!("https://vault.localhost:{}", self.port())
    }

    /// Puts a version of a certificate into the Key Vault, the newest one from now on, and says which it is.
    pub fn put_vault_certificate(
        &self,
        name: &str,
        certificate: &ClientCertificate,
        key: VaultKey,
    ) -> String {
        self.world().vault.put(name, certificate, key)
    }

    /// Disables the newest version of a certificate in the Key Vault.
    pub fn disable_vault_certificate(&self, name: &str) {
        self.world().vault.disable(name);
    }

    /// Deletes a certificate of the Key Vault, with all its versions.
    pub fn delete_vault_certificate(&self, name: &str) {
        self.world().vault.delete(name);
    }

    /// Whether an identity, by its object ID, may read what is in the Key Vault (all may, by default).
    pub fn permit_vault_reader(&self, object_id: &str, may_read: bool) {
        self.world().vault.permit(object_id, may_read);
    }

    /// The requests to the Key Vault in [`Self::journal`].
    #[must_use]
    pub fn vault_requests(&self) -> Vec<JournalEntry> {
        let mut journal = self.journal();
        journal.retain(|entry| crate::vault::is_vault(&entry.host));
        journal
    }

    /// Stops listening and drops every connection.
    pub fn shutdown(self) {
        drop(self);
    }

    fn world(&self) -> &World {
        &self.shared.0
    }

    fn change_certificates(
        &self,
        client_id: &str,
        certificate: &ClientCertificate,
        replace: bool,
    ) -> Result<()> {
        let certificate = Certificate::from_pem(&certificate.certificate_pem)?;
        let mut registry = lock(&self.world().registry);
        let app = registry
            .app_mut(client_id)
            .with_context(|| format!("no app {client_id} is registered"))?;
        if replace {
            app.certificates.clear();
        }
        app.certificates.push(certificate);
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not the waiting kind: the drop may happen inside a runtime.
            runtime.shutdown_background();
        }
        // Absent unless ca_file() was called.
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// The faults of a running emulator.
#[derive(Clone, Copy)]
pub struct Faults<'a> {
    queue: &'a FaultQueue,
}

impl Faults<'_> {
    /// Queues a fault behind those waiting.
    pub fn push(&self, fault: Fault) {
        self.queue.push(fault);
    }

    /// Lets every request go on that [`Fault::hold`] keeps back, and forgets
    /// the faults of that kind that nothing has met yet.
    pub fn release(&self) {
        self.queue.release();
    }

    /// Forgets every fault. What is held stays so.
    pub fn clear(&self) {
        self.queue.clear();
    }

    /// The faults not used up.
    #[must_use]
    pub fn waiting(&self) -> Vec<Fault> {
        self.queue.waiting()
    }
}

impl std::fmt::Debug for Faults<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.waiting()).finish()
    }
}
