//! Why nothing is composed.

/// Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Of no kind of WebAssembly.
    #[error("{0} is neither a WebAssembly component nor a module in the binary format")]
    NotWebAssembly(String),
    /// A module, of which no component can be made.
    #[error(
        "{0} is a module that does not say which world it is of, and not a component: compile for wasm32-wasip2, or call wit_bindgen::generate! and export! in it and do not let a tool strip its custom sections"
    )]
    ModuleWithoutWorld(String),
    /// The same, though it says its world.
    #[error(
        "{name} cannot become a component: a module that imports more than its world has (wasm32-wasip1) needs an adapter; build for wasm32-unknown-unknown or wasm32-wasip2: {reason}"
    )]
    ModuleOfAnotherWorld {
        /// What it is called.
        name: String,
        /// The encoder's words.
        reason: String,
    },
    /// The bytes of a component are damaged, or of a later version of the format.
    #[error("{name} is not a valid component: {reason}")]
    Invalid {
        /// What it is called.
        name: String,
        /// The validator's words.
        reason: String,
    },
    /// What is to be composed has a provider in it.
    #[error(
        "{0} is composed already: it imports what a provider imports (edgepass:credentials/token-file and others), and asks none for tokens. Compose the application that it was made of"
    )]
    ComposedAlready(String),
    /// A provider in the place of the application.
    #[error(
        "{0} is a provider itself: it exports edgepass:credentials/credential-provider, and the application comes first"
    )]
    IsProvider(String),
    /// None of its imports is answered.
    #[error("{application} imports nothing that {exporter} exports ({}){}", .exported.join(", "), in_words(*.hint))]
    NothingToPlug {
        /// What the application is called.
        application: String,
        /// What the provider, or the filter, is called.
        exporter: String,
        /// What that exports.
        exported: Vec<String>,
        /// What would help.
        hint: Option<&'static str>,
    },
    /// Interfaces of the two versions of WASI are different ones.
    #[error(
        "{application} imports {import}, over WASI {version}, and {exporter} is of WASI {other}: {hint}"
    )]
    OtherVersion {
        /// What the application, or the filter, is called.
        application: String,
        /// What it imports.
        import: String,
        /// The version of that.
        version: &'static str,
        /// What the provider, or the filter, is called.
        exporter: String,
        /// The version that it has.
        other: &'static str,
        /// What helps.
        hint: &'static str,
    },
    /// It would trap at its first call.
    #[error(
        "{application} exports {export}, whose functions cannot wait for the asynchronous {import}: it would trap at the first call. Export the interface of WASI 0.3, or ask by `cached-token`, which does not wait, or run the application by `edgepass run`, where its requests get tokens without asking"
    )]
    CannotWait {
        /// What the application is called.
        application: String,
        /// What it exports.
        export: String,
        /// What it imports.
        import: String,
    },
    /// Imports that are the provider's to use.
    #[error(
        "the application imports {}: take the import out of its world, or say that it may have what the provider has: `{}`",
        .refused.join("; and "), .flags.join(" ")
    )]
    Reaching {
        /// Each with the reason.
        refused: Vec<String>,
        /// The options that allow them.
        flags: Vec<String>,
    },
    /// What is allowed is not asked for.
    #[error("the application does not import {allowed}: {fix}")]
    NotImported {
        /// What was said of it.
        allowed: String,
        /// What to do about it.
        fix: String,
    },
    /// What is allowed would be so without a word.
    #[error("{import} {reason}: leave `--allow {allowed}` out")]
    Free {
        /// What the application imports.
        import: String,
        /// What was said of it.
        allowed: String,
        /// Why nothing need be said.
        reason: &'static str,
    },
    /// The token store that is named is none.
    #[error(
        "{store} exports no edgepass:credentials/token-store of the version that {provider} imports: {reason}"
    )]
    NoTokenStore {
        /// What it is called.
        store: String,
        /// What the provider is called.
        provider: String,
        /// The words of what plugs.
        reason: String,
    },
    /// The same name, and another type.
    #[error("{import} of {application} is not as {exporter} exports it: {reason}")]
    OtherType {
        /// What is imported.
        import: String,
        /// What the application is called.
        application: String,
        /// What the other is called.
        exporter: String,
        /// Where they differ.
        reason: String,
    },
    /// What was composed cannot be written: the parts contradict each other.
    #[error("{name} cannot be composed: {reason}")]
    Encoding {
        /// What the application is called.
        name: String,
        /// The encoder's words.
        reason: String,
    },
}

fn in_words(hint: Option<&str>) -> String {
    hint.map(|hint| format!(": {hint}")).unwrap_or_default()
}
