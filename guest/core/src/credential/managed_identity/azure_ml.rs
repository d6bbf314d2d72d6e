//! Azure Machine Learning: the older interface of App Service (`2017-09-01`), whose parameter is `clientid`.

use super::beside::{MSI_ENDPOINT, Platform};
use super::source::SourceName;
use crate::needs::{Purpose, Scheme};

pub(super) const SECRET: &str = "MSI_SECRET";

pub(super) const PLATFORM: Platform = Platform {
    name: SourceName::AzureMl,
    title: "Azure Machine Learning",
    endpoint: MSI_ENDPOINT,
    usual_endpoint: None,
    scheme: Scheme::LinkLocalHttp,
    purpose: Purpose::ManagedIdentity,
    api_version: Some("2017-09-01"),
    metadata: false,
    secret: Some((SECRET, "secret")),
    ids: &[("client_id", "clientid")],
    usual_client_id: Some("DEFAULT_IDENTITY_CLIENT_ID"),
    limits: "knows user-assigned identities by their client_id alone",
    thumbprint: None,
    challenges: false,
    stranger: "MSI_SECRET is the compute's own: restart this process with the variables that it has now",
};
