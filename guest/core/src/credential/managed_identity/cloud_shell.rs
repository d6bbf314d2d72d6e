//! Cloud Shell: a form posted to a process of the shell, which answers with a token of the person who is signed in.

use super::beside::{MSI_ENDPOINT, Platform};
use super::source::SourceName;
use crate::needs::{Purpose, Scheme};

pub(super) const PLATFORM: Platform = Platform {
    name: SourceName::CloudShell,
    title: "Cloud Shell",
    endpoint: MSI_ENDPOINT,
    usual_endpoint: None,
    scheme: Scheme::LinkLocalHttp,
    purpose: Purpose::ManagedIdentityForm,
    api_version: None,
    metadata: true,
    secret: None,
    ids: &[],
    usual_client_id: None,
    limits: "gives tokens of whoever is signed in to it, and of nobody else",
    thumbprint: None,
    challenges: false,
    stranger: "sign in to Cloud Shell again",
};
