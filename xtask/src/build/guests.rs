//! What is made of which guest, and what is composed of them.

/// What becomes of a guest crate's core module.
pub(super) struct Guest {
    pub(super) package: &'static str,
    pub(super) batch: Batch,
    pub(super) output: Output,
}

/// Guests that one run of cargo compiles: they have a profile and flags of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Batch {
    Components,
    Filter,
    /// The filter with everything. Its features are of dependencies too, so it is no part of another batch.
    FullFilter,
}

impl Batch {
    pub(crate) const ALL: [Self; 3] = [Self::Components, Self::Filter, Self::FullFilter];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Components => "the components",
            Self::Filter => "the Envoy filter",
            Self::FullFilter => "the Envoy filter with every credential",
        }
    }

    pub(super) fn profile(self) -> &'static str {
        match self {
            Self::Components => "release",
            Self::Filter | Self::FullFilter => "filter",
        }
    }

    pub(super) fn features(self) -> &'static [&'static str] {
        match self {
            Self::Components | Self::Filter => &[],
            Self::FullFilter => &["--features", "every-credential"],
        }
    }

    /// For the compiler, beside those of every guest.
    pub(super) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Components => &[],
            // SHA-256 as a loop instead of unrolled: 7 kB less for Envoy to compile at its start, and the filter digests
            // some kilobytes an hour
            Self::Filter | Self::FullFilter => &["--cfg", "sha2_backend_soft=\"compact\""],
        }
    }
}

/// Where a guest ends.
pub(super) enum Output {
    /// A component that users get.
    Component(&'static str),
    /// A part of a component that users get.
    Part(&'static str),
    /// A component that only tests use.
    TestComponent(&'static str),
    /// A plain module that users get.
    Filter(&'static str),
}

/// Every wasm artifact.
pub(super) const GUESTS: &[Guest] = &[
    Guest {
        package: "edgepass-provider",
        batch: Batch::Components,
        output: Output::Component("credential-provider.wasm"),
    },
    Guest {
        package: "edgepass-provider-p2",
        batch: Batch::Components,
        output: Output::Component(PROVIDER_P2),
    },
    Guest {
        package: "edgepass-keyvalue",
        batch: Batch::Components,
        output: Output::Component(KEYVALUE),
    },
    Guest {
        package: "edgepass-secrets",
        batch: Batch::Components,
        output: Output::Component(SECRETS),
    },
    Guest {
        package: "secrets-app",
        batch: Batch::Components,
        output: Output::TestComponent("secrets-app.wasm"),
    },
    Guest {
        package: "consumer",
        batch: Batch::Components,
        output: Output::TestComponent("consumer.wasm"),
    },
    Guest {
        package: "consumer-p2",
        batch: Batch::Components,
        output: Output::TestComponent("consumer-p2.wasm"),
    },
    Guest {
        package: "hostile",
        batch: Batch::Components,
        output: Output::TestComponent("hostile.wasm"),
    },
    Guest {
        package: "edgepass-standalone-adapters",
        batch: Batch::Components,
        output: Output::Part(ADAPTERS),
    },
    Guest {
        package: "edgepass-standalone-command",
        batch: Batch::Components,
        output: Output::Part(STANDALONE_COMMAND),
    },
    Guest {
        package: "asks-0-2",
        batch: Batch::Components,
        output: Output::TestComponent("asks-0-2.wasm"),
    },
    Guest {
        package: "hostile-0-2",
        batch: Batch::Components,
        output: Output::TestComponent("hostile-0-2.wasm"),
    },
    Guest {
        package: "hostile-app",
        batch: Batch::Components,
        output: Output::TestComponent("hostile-app.wasm"),
    },
    Guest {
        package: "edgepass-http",
        batch: Batch::Components,
        output: Output::Component(HTTP_FILTER),
    },
    Guest {
        package: "plain-app",
        batch: Batch::Components,
        output: Output::TestComponent("plain-app.wasm"),
    },
    Guest {
        package: "plain-0-2",
        batch: Batch::Components,
        output: Output::TestComponent("plain-0-2.wasm"),
    },
    Guest {
        package: "plain-0-3",
        batch: Batch::Components,
        output: Output::TestComponent("plain-0-3.wasm"),
    },
    Guest {
        package: "to-plain-http",
        batch: Batch::Components,
        output: Output::TestComponent("to-plain-http.wasm"),
    },
    Guest {
        package: "edgepass-envoy",
        batch: Batch::Filter,
        output: Output::Filter("edgepass-envoy.wasm"),
    },
    Guest {
        package: "edgepass-envoy",
        batch: Batch::FullFilter,
        output: Output::Filter("edgepass-envoy-full.wasm"),
    },
];

/// A test component that another component is plugged into.
pub(super) struct Composition {
    pub(super) consumer: &'static str,
    pub(super) provider: &'static str,
    pub(super) result: &'static str,
    /// Whether the HTTP filter is between it and the network.
    pub(super) has_filter: bool,
    /// Whether the provider has the token store over `wasi:keyvalue`.
    pub(super) has_store: bool,
    /// What the consumer may share with the provider.
    pub(super) allowed: &'static [&'static str],
}

pub(super) const COMPOSED: &[Composition] = &[
    Composition {
        consumer: "consumer.wasm",
        provider: PROVIDER,
        result: "consumer-composed.wasm",
        has_filter: false,
        has_store: false,
        allowed: &[],
    },
    Composition {
        consumer: "consumer.wasm",
        provider: PROVIDER,
        result: "consumer-keyvalue.wasm",
        has_filter: false,
        has_store: true,
        allowed: &[],
    },
    Composition {
        consumer: "consumer-p2.wasm",
        provider: PROVIDER_P2,
        result: "consumer-p2-composed.wasm",
        has_filter: false,
        has_store: false,
        allowed: &[],
    },
    Composition {
        consumer: "plain-app.wasm",
        provider: PROVIDER,
        result: "plain-app-composed.wasm",
        has_filter: true,
        has_store: false,
        allowed: &[],
    },
    Composition {
        consumer: "hostile-app.wasm",
        provider: PROVIDER,
        result: "hostile-app-composed.wasm",
        has_filter: true,
        has_store: false,
        allowed: &[],
    },
    Composition {
        consumer: "hostile.wasm",
        provider: PROVIDER,
        result: "hostile-composed.wasm",
        has_filter: false,
        has_store: false,
        allowed: &[
            "edgepass:credentials/assertion-source",
            "edgepass:credentials/host-certificates",
            "edgepass:credentials/token-file",
            "wasi:cli/environment",
            "wasi:http/client",
        ],
    },
];

/// The component that the host embeds.
pub(super) const PROVIDER: &str = "credential-provider.wasm";

/// The same engine over WASI 0.2.
pub(crate) const PROVIDER_P2: &str = "credential-provider-p2.wasm";

/// Tokens as secrets of wasmCloud, in front of that one.
pub(crate) const SECRETS: &str = "edgepass-secrets.wasm";

/// The store that a provider is given over `wasi:keyvalue`.
pub(crate) const KEYVALUE: &str = "token-store-keyvalue.wasm";

/// The provider with all that it needs of a host but WASI, and a command.
pub(crate) const STANDALONE: &str = "edgepass-standalone.wasm";

/// Its parts beside the provider.
pub(super) const ADAPTERS: &str = "standalone-adapters.wasm";

pub(super) const STANDALONE_COMMAND: &str = "standalone-command.wasm";

/// The HTTP filter for components.
pub(super) const HTTP_FILTER: &str = "edgepass-http.wasm";
