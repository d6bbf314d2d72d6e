//! Assertions of this machine's own, each from what the configuration names, by the setting of its credential.

use std::collections::BTreeMap;

use edgepass_core::needs::{HostSource, HostSourceNeed, WorkloadApiNeed};
use edgepass_core::{AssertionError, Environment, SuppliedAssertion};

use crate::executable::Executable;
#[cfg(unix)]
use crate::workload_api;

/// All of them, by setting.
pub(crate) struct Sources(BTreeMap<String, Source>);

enum Source {
    Executable(Executable),
    WorkloadApi(WorkloadApiNeed),
    /// Of a kind that this host does not know.
    Unknown,
}

impl Sources {
    pub(crate) fn new(needs: Vec<HostSourceNeed>, environment: &Environment) -> Self {
        let source = |need: HostSourceNeed| {
            let source = match need.source {
                HostSource::Executable(need) => {
                    Source::Executable(Executable::new(need, environment))
                }
                HostSource::WorkloadApi(need) => Source::WorkloadApi(need),
                _ => Source::Unknown,
            };
            (need.setting, source)
        };
        Self(needs.into_iter().map(source).collect())
    }

    /// What is named for one and is not there now, in words.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(setting, source)| {
            let path = match source {
                Source::Executable(executable) => executable.command(),
                Source::WorkloadApi(need) => &need.socket,
                Source::Unknown => return None,
            };
            let problem = std::fs::metadata(path).err()?;
            Some(format!("{path} of {setting} cannot be used now: {problem}"))
        })
    }

    /// An assertion from that one, made now.
    pub(crate) async fn assertion(
        &self,
        setting: &str,
    ) -> Result<SuppliedAssertion, AssertionError> {
        match self.0.get(setting) {
            Some(Source::Executable(executable)) => executable.assertion().await,
            #[cfg(unix)]
            Some(Source::WorkloadApi(need)) => workload_api::assertion(need).await,
            #[cfg(not(unix))]
            Some(Source::WorkloadApi(_)) => Err(AssertionError::NotConfigured),
            Some(Source::Unknown) | None => {
                log::warn!("assertion denied: {setting:?} is no source of the configuration");
                Err(AssertionError::NotConfigured)
            }
        }
    }
}
