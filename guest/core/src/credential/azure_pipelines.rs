//! The identity token of an Azure Pipelines job, which Azure DevOps makes for a service connection of the kind workload
//! identity federation. Issuer, subject and audience follow from the service connection. It lives for minutes, so it is
//! asked for at each exchange and kept nowhere.
//!
//! Source: `azure_pipelines_credential.rs` of the Azure SDK for Rust, and its twins in the other languages.

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::platform::{self, JobService, Question};
use crate::credential::{Failure, Kind, Purpose, Supplied, SupplyAssertion};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::needs;
use crate::{Secret, SecretBytes};

/// Where to ask.
const URL: &str = "SYSTEM_OIDCREQUESTURI";

/// What to show there: the job's access token, which a step has to be given.
const TOKEN: &str = "SYSTEM_ACCESSTOKEN";

/// The service connection of a task, as `AzureCLI@2` gives it.
const CONNECTION: &str = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";

/// The version of the interface that all SDKs ask for.
const API_VERSION: &str = "7.1";

const WHO: &str = "the token service of Azure Pipelines";

const HINT: &str = "give the step `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`, and name a service connection of \
                    the kind workload identity federation that the pipeline may use";

object! {
    /// The identity token of an Azure Pipelines job. Where to ask for it is in `SYSTEM_OIDCREQUESTURI`, which a job has,
    /// and `SYSTEM_ACCESSTOKEN`, which a step has to be given.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct AzurePipelinesFile {
        /// ID of the service connection, a GUID: `resourceId` in the address of its page;
        /// `AZURESUBSCRIPTION_SERVICE_CONNECTION_ID` by default.
        service_connection_id: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct AzurePipelines {
    connection: Option<String>,
    /// Without it this is no such job.
    service: Option<JobService>,
}

impl Kind for AzurePipelines {
    type Document = AzurePipelinesFile;
    type Of = Client;

    fn check(
        document: &AzurePipelinesFile,
        place: &Place<'_>,
        _: &Client,
    ) -> Result<Self, ConfigError> {
        let connection = place.optional(
            "service_connection_id",
            document.service_connection_id.as_deref(),
            Some(CONNECTION),
        );
        if let Some(connection) = &connection {
            connection.check(rules::filled_in)?;
            connection.check(rules::guid)?;
        }
        let url = place.variable_alone(URL);
        let token = place.variable_of_platform(TOKEN, true);
        let connection = connection.map(|connection| connection.value.to_owned());
        let service = match (url, token, &connection) {
            (Some(url), Some(token), Some(connection)) => {
                let query = format!("api-version={API_VERSION}&serviceConnectionId={connection}");
                let service = JobService::of((URL, url), &query, (TOKEN, token))?;
                service.need(place, needs::Purpose::PlatformPost);
                Some(service)
            }
            _ => None,
        };
        Ok(Self {
            connection,
            service,
        })
    }

    fn describe(&self) -> String {
        let connection = self.connection.as_deref().unwrap_or("that is not named");
        format!("Azure Pipelines identity token of the service connection {connection}")
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            connection,
            service,
        } = self;
        out.add_optional(connection.as_deref());
        if let Some(service) = service {
            service.distinguish(out);
        }
    }
}

impl SupplyAssertion for AzurePipelines {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let Some(service) = &self.service else {
            let missing = match &self.connection {
                None => format!("service_connection_id and {CONNECTION} are not set"),
                Some(_) => format!("{URL} and {TOKEN} are not both set"),
            };
            return Err(platform::not_here(
                format!(
                    "this is no step of Azure Pipelines that may have identity tokens: {missing}"
                ),
                HINT,
            ));
        };
        let bearer = Secret::new(format!("Bearer {}", service.token.expose()));
        let question = Question {
            who: WHO,
            server: &service.server,
            purpose: needs::Purpose::PlatformPost,
            path: service.path.clone(),
            headers: vec![
                ("accept", Secret::new("application/json")),
                ("authorization", bearer),
                ("content-type", Secret::new("application/json")),
                // a token that is not valid is answered with 401 and not with a redirect to a page
                ("x-tfs-fedauthredirect", Secret::new("Suppress")),
            ],
            body: SecretBytes::default(),
            secrets: std::slice::from_ref(&service.token),
            correlation_id: purpose.correlation_id,
            hint: HINT,
        };
        let answer = question.ask(io).await?;
        platform::supplied(WHO, platform::field(WHO, &answer, "oidcToken")?)
    }
}
