//! Which identities the components of a store may ask for.

use std::collections::BTreeSet;
use std::sync::Arc;

use edgepass_core::{Error, ErrorClass};

use crate::provider::Provider;

/// By what whoever runs components permits identities.
const PERMITTED_BY: &str = "by `--allow-identity NAME` of `edgepass run` and `serve-http`, or `ProviderView::permitted` of the library";

/// The identities whose tokens components of a store may ask for.
#[derive(Clone, Debug)]
pub struct Permitted(Option<Arc<BTreeSet<String>>>);

impl Permitted {
    /// All that are configured.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those of a list, in which `None` is the default identity.
    pub fn of<'i>(
        provider: &Provider,
        identities: impl IntoIterator<Item = Option<&'i str>>,
    ) -> Self {
        let named = |identity: Option<&'i str>| identity.or_else(|| provider.default_identity());
        let names = identities.into_iter().filter_map(named);
        Self(Some(Arc::new(names.map(str::to_owned).collect())))
    }

    /// # Errors
    ///
    /// Of the class [`Configuration`](ErrorClass::Configuration), for an identity that is not among these, whether or not there
    /// is one of that name.
    pub(super) fn check(&self, provider: &Provider, identity: Option<&str>) -> Result<(), Error> {
        let (Some(permitted), Some(name)) =
            (&self.0, identity.or_else(|| provider.default_identity()))
        else {
            return Ok(());
        };
        if permitted.contains(name) {
            return Ok(());
        }
        // the same of one that is not there: which others there are is not for components to know
        let known = Vec::from_iter(permitted.iter().map(String::as_str)).join(", ");
        Err(Error::new(
            ErrorClass::Configuration,
            "components may not ask for tokens of that identity here",
        )
        .hint(match known.is_empty() {
            true => format!("have one permitted, {PERMITTED_BY}"),
            false => format!("ask for one of: {known}; or have it permitted, {PERMITTED_BY}"),
        }))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let names = self.0.as_ref();
        names.is_none_or(|names| names.contains(name))
    }

    /// The names, if not all are permitted.
    pub(super) fn names(&self) -> Option<impl Iterator<Item = &str>> {
        let names = self.0.as_ref()?;
        Some(names.iter().map(String::as_str))
    }
}
