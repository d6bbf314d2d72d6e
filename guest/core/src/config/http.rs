//! The part of the configuration that says which requests of an application get tokens. It is parsed with the rest, so that one document
//! serves every driver; what its texts must look like is for `edgepass-rules` to say, whose checks the filter and the
//! command share.

use super::parse::object;

object! {
    /// Which of an application's requests get a token: for `edgepass-run`, the library and the HTTP filter for components.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct HttpFile {
        /// Which requests get which token; the first rule that fits counts. A request that none fits is left as it is.
        pub rules: Vec<HttpRuleFile> = objects,
        /// For the HTTP filter alone: how much of a request's body is kept, bytes, so that the request can be sent once more with another token. One
        /// with a larger body is sent once.
        pub replay_body_bytes: Option<u64> = optional_number,
        /// For the HTTP filter alone: the application's name. With it, the filter writes a record to standard error of each request that gets a
        /// token or is refused one.
        pub audit_as: Option<String> = optional_text,
    }
}

object! {
    /// Which requests get which token.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct HttpRuleFile {
        /// The requests it is for.
        pub matching: HttpMatchFile = object_or_default as "match",
        /// The identity; the default one if left out.
        pub identity: Option<String> = optional_text,
        /// The scopes; the identity's if left out.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub scopes: Vec<String> = texts,
        /// The request header that carries the token, with the token's scheme before it; `authorization` if left out.
        pub header: Option<String> = optional_text,
        /// A request that has the header already keeps it, and gets no token.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub keep_existing: bool = flag(false),
        /// Over plain http too, where the host is this machine by its name (`localhost`, names below it, 127.0.0.0/8,
        /// `[::1]`).
        #[cfg_attr(feature = "schema", schemars(default))]
        pub http_on_loopback: bool = flag(false),
        /// Leave these requests as they are.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub disabled: bool = flag(false),
    }
}

object! {
    /// The requests that a rule is for: all that is given must fit.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct HttpMatchFile {
        /// The request's host, or `*.` and a domain for every host below it.
        pub host: String = text,
        /// Its port; the one of the request's scheme (443, or 80 over plain http) if left out.
        pub port: Option<u64> = optional_number,
        /// The path that the request's is, or is below, by whole segments: `/v1` has `/v1/x` below it, and not `/v10`.
        pub path_prefix: Option<String> = optional_text,
        /// Its methods; all of them if left out.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub methods: Vec<String> = texts,
    }
}
