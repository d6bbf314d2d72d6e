/// Which of the filter's modules a configuration is for. What Envoy compiles at its start is start-up time and memory, so
/// the module that most want does without what few need.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Module {
    /// `edgepass-envoy.wasm`.
    #[default]
    Default,
    /// `edgepass-envoy-full.wasm`, with every credential that Envoy can serve and with PS256.
    Full,
}

/// Whether this build has the tokens of callers: the full module, the command, and tests.
pub(crate) const HAS_CALLERS: bool = cfg!(any(feature = "callers", not(target_family = "wasm")));

impl Module {
    /// Whether it gets tokens for callers.
    pub(crate) fn has_callers(self) -> bool {
        HAS_CALLERS && self == Self::Full
    }

    /// Whether it has what is not in every build of the engine.
    pub(crate) fn has(self, setting: &str) -> bool {
        self == Self::Full && is_for_full(setting)
    }
}

/// Whether the full module has that. Of the kinds of credentials that are not in every build it has the ones that ask a
/// platform by plain requests, for which a cluster of Envoy is enough; and of settings of a client those that change what is
/// posted, or where, and need no more of Envoy.
pub(crate) fn is_for_full(setting: &str) -> bool {
    const THERE: [&str; 9] = [
        ".azure_pipelines",
        ".github_actions",
        ".google_metadata",
        ".additional_parameters",
        ".authority_host",
        ".policy",
        ".region",
        ".resources",
        "AZURE_REGIONAL_AUTHORITY_NAME",
    ];
    THERE.iter().any(|there| setting.ends_with(there))
}
