//! The identity token of a workload of Google Cloud, which the metadata server makes for any audience: `iss` is
//! `https://accounts.google.com`, `sub` the numeric ID of the service account. The server keeps a token until shortly
//! before its end, so it is asked at each exchange.
//!
//! It answers over http, at an address that leaves the machine for its hypervisor and no further. The header
//! `Metadata-Flavor: Google` shows both ways that neither side is somebody else: a request that was forged has none, and
//! an answer without it is not the metadata server's.
//!
//! Source: "Get an ID token from the metadata server" of Google's documentation, and `_metadata.py` of google-auth.

use crate::config::Client;
use crate::config::error::{ConfigError, check};
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::platform::{self, Question, Server};
use crate::credential::{Failure, Kind, Purpose, Supplied, SupplyAssertion};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::needs::{self, PathPattern};
use crate::{Secret, SecretBytes};

/// The same address on every machine. Its name, `metadata.google.internal`, is for a resolver to answer.
const ADDRESS: &str = "169.254.169.254";

/// What that name is called.
const NAME: &str = "metadata.google.internal";

/// Replaces the address, as in Google's libraries: `host[:port]`.
const VARIABLE: &str = "GCE_METADATA_HOST";

const WHO: &str = "the metadata server of Google Cloud";

const HINT: &str =
    "run on Google Cloud with a service account attached; elsewhere use another credential";

object! {
    /// The identity token of a machine, container or function of Google Cloud.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct GoogleMetadataFile {
        /// The audience that the federated credential expects; that of the identity's cloud by default, in the public
        /// one `api://AzureADTokenExchange`, and for other servers the URL of the token endpoint.
        audience: Option<String> = optional_text,
        /// The e-mail address of a service account that is attached; `default` by default.
        service_account: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct GoogleMetadata {
    audience: String,
    server: Server,
    path: String,
}

impl Kind for GoogleMetadata {
    type Document = GoogleMetadataFile;
    type Of = Client;

    fn check(
        document: &GoogleMetadataFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let audience = platform::audience(document.audience.as_deref(), place, client)?;
        let account = document.service_account.as_deref().unwrap_or("default");
        let setting = place.at("service_account");
        check(&setting, rules::filled_in(account))?;
        let is_account = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        if account.is_empty() || !account.bytes().all(is_account) || account.starts_with('.') {
            return Err(ConfigError::new(
                setting,
                "is not the e-mail address of a service account",
            )
            .hint("write it as NAME@PROJECT.iam.gserviceaccount.com, or leave it out"));
        }
        let host = place.variable_alone(VARIABLE).unwrap_or(ADDRESS);
        let host = if host == NAME { ADDRESS } else { host };
        let server = Server::link_local(host).ok_or_else(|| {
            ConfigError::new(VARIABLE, "is not an address of this machine or its link")
                .hint("unset it for 169.254.169.254, or write for example 127.0.0.1:8080")
        })?;
        let mut path =
            format!("/computeMetadata/v1/instance/service-accounts/{account}/identity?audience=");
        path.extend(form_urlencoded::byte_serialize(audience.as_bytes()));
        path.push_str("&format=full");
        let exact = PathPattern::Exact(path.clone());
        server.need(place, needs::Purpose::Platform, exact);
        Ok(Self {
            audience,
            server,
            path,
        })
    }

    fn describe(&self) -> String {
        format!("Google Cloud identity token for {}", self.audience)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            audience: _,
            server,
            path,
        } = self;
        out.add(&server.authority);
        out.add(path);
    }
}

impl SupplyAssertion for GoogleMetadata {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let question = Question {
            who: WHO,
            server: &self.server,
            purpose: needs::Purpose::Platform,
            path: self.path.clone(),
            headers: vec![("metadata-flavor", Secret::new("Google"))],
            body: SecretBytes::default(),
            secrets: &[],
            correlation_id: purpose.correlation_id,
            hint: HINT,
        };
        let answer = question.ask(io).await.map_err(|failure| {
            // other clouds have a server at that address, too; Google's says 404 where no account is attached
            match failure.error.detail().http_status {
                Some(400..=405) => Failure::not_here(failure.error),
                _ => failure,
            }
        })?;
        if answer.header("metadata-flavor") != Some("Google") {
            return Err(platform::not_here(
                format!("what answers at {} is not {WHO}", self.server.authority),
                HINT,
            ));
        }
        let text = std::str::from_utf8(answer.body.expose()).unwrap_or_default();
        platform::supplied(WHO, Secret::new(text.trim()))
    }
}
