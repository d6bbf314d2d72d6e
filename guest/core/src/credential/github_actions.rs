//! The identity token of a GitHub Actions job: GitHub's token service makes one for any audience to whoever has the job's
//! request token. It lives for five minutes, the request token as long as the job, so a token is asked for at each
//! exchange and kept nowhere.
//!
//! Source: "OpenID Connect" of GitHub's documentation, and `oidc-utils.ts` of its toolkit.

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::credential::platform::{self, JobService, Question};
use crate::credential::{Failure, Kind, Purpose, Supplied, SupplyAssertion};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::needs;
use crate::{Secret, SecretBytes};

/// Where to ask. It has a query already.
const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";

/// What to show there.
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

const WHO: &str = "the token service of GitHub Actions";

const HINT: &str = "give the job `permissions: id-token: write`, and its steps the variables \
                    ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN";

object! {
    /// The identity token of a GitHub Actions job. Where to ask for it is in `ACTIONS_ID_TOKEN_REQUEST_URL` and
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`, which a job with `permissions: id-token: write` has.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct GitHubActionsFile {
        /// The audience that the federated credential expects; that of the identity's cloud by default, in the public
        /// one `api://AzureADTokenExchange`, and for other servers the URL of the token endpoint.
        audience: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct GitHubActions {
    audience: String,
    /// Without it this is no such job.
    service: Option<JobService>,
}

impl Kind for GitHubActions {
    type Document = GitHubActionsFile;
    type Of = Client;

    fn check(
        document: &GitHubActionsFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let audience = platform::audience(document.audience.as_deref(), place, client)?;
        let url = place.variable_alone(URL);
        let token = place.variable_of_platform(TOKEN, true);
        let service = match (url, token) {
            (Some(url), Some(token)) => {
                let audience = form_urlencoded::byte_serialize(audience.as_bytes());
                let query = format!("audience={}", audience.collect::<String>());
                let service = JobService::of((URL, url), &query, (TOKEN, token))?;
                service.need(place, needs::Purpose::Platform);
                Some(service)
            }
            _ => None,
        };
        Ok(Self { audience, service })
    }

    fn describe(&self) -> String {
        format!("GitHub Actions identity token for {}", self.audience)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { audience, service } = self;
        out.add(audience);
        if let Some(service) = service {
            service.distinguish(out);
        }
    }
}

impl SupplyAssertion for GitHubActions {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let Some(service) = &self.service else {
            return Err(platform::not_here(
                format!(
                    "this is no GitHub Actions job that may have identity tokens: {URL} and {TOKEN} are not both set"
                ),
                HINT,
            ));
        };
        let bearer = Secret::new(format!("Bearer {}", service.token.expose()));
        let question = Question {
            who: WHO,
            server: &service.server,
            purpose: needs::Purpose::Platform,
            path: service.path.clone(),
            headers: vec![
                ("accept", Secret::new("application/json")),
                ("authorization", bearer),
            ],
            body: SecretBytes::default(),
            secrets: std::slice::from_ref(&service.token),
            correlation_id: purpose.correlation_id,
            hint: HINT,
        };
        let answer = question.ask(io).await?;
        platform::supplied(WHO, platform::field(WHO, &answer, "value")?)
    }
}
