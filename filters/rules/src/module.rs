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

    /// Whether it has a kind of credential that is not in every build of the engine.
    pub(crate) fn has_kind(self, setting: &str) -> bool {
        self == Self::Full && is_for_full(setting)
    }
}

/// Whether the full module has that kind. Of those that are not in every build it has the ones that ask a platform by
/// plain requests, for which a cluster of Envoy is enough.
pub(crate) fn is_for_full(setting: &str) -> bool {
    const KINDS: [&str; 3] = [".azure_pipelines", ".github_actions", ".google_metadata"];
    KINDS.iter().any(|kind| setting.ends_with(kind))
}
