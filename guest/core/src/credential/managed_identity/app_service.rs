//! App Service, Functions, Container Apps and Automation (REST endpoint reference, `2019-08-01`).

use super::beside::{IDENTITY_ENDPOINT, IDENTITY_HEADER, Platform};
use super::source::SourceName;
use crate::needs::{Purpose, Scheme};

pub(super) const PLATFORM: Platform = Platform {
    name: SourceName::AppService,
    title: "App Service",
    endpoint: IDENTITY_ENDPOINT,
    usual_endpoint: None,
    scheme: Scheme::LinkLocalHttp,
    purpose: Purpose::ManagedIdentity,
    api_version: Some("2019-08-01"),
    // App Service does without; Automation, which sets the same variables, does not
    metadata: true,
    secret: Some((IDENTITY_HEADER, "x-identity-header")),
    ids: &[
        ("client_id", "client_id"),
        ("object_id", "object_id"),
        ("resource_id", "mi_res_id"),
    ],
    usual_client_id: None,
    limits: "",
    thumbprint: None,
    challenges: false,
    stranger: "IDENTITY_HEADER is new with every start of the app: restart this process with the variables that it has now",
};
