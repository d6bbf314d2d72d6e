//! Which requests a rule is for.

use edgepass_core::config::envoy::EnvoyMatchFile;
use edgepass_core::matching::{RequestPath, host_fits};

/// The properties of the request at hand. Each is asked for only when a rule looks at it: every question is a call into
/// the proxy.
pub trait Properties {
    /// A text in the metadata of the route.
    fn route_metadata(&self, filter: &str, key: &str) -> Option<String>;
    /// The cluster that the route leads to.
    fn cluster(&self) -> Option<String>;
    /// `:authority`.
    fn host(&self) -> Option<String>;
    /// `:path`.
    fn path(&self) -> Option<String>;
}

/// Whether everything that the rule names fits the request. `None` if that depends on how its path is read. `path` is
/// filled in when a rule looks at it for the first time.
pub(crate) fn fits(
    matching: &EnvoyMatchFile,
    request: &impl Properties,
    path: &mut Option<RequestPath>,
) -> Option<bool> {
    let host = matching.host.as_deref();
    let cluster = matching.cluster.as_deref();
    let metadata = matching.route_metadata.as_ref();
    if let Some(prefix) = matching.path_prefix.as_deref() {
        let path = path.get_or_insert_with(|| RequestPath::of(request.path()));
        if !path.begins_with(prefix)? {
            return Some(false);
        }
    }
    let rest = host.is_none_or(|host| {
        request
            .host()
            .is_some_and(|actual| host_fits(host, &actual))
    }) && cluster
        .is_none_or(|cluster| request.cluster().is_some_and(|actual| actual == cluster))
        && metadata.is_none_or(|wanted| {
            request
                .route_metadata(&wanted.filter, &wanted.key)
                .is_some_and(|value| value == wanted.value)
        });
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgepass_core::config::envoy::EnvoyMetadataFile;

    struct Request;

    impl Properties for Request {
        fn route_metadata(&self, filter: &str, key: &str) -> Option<String> {
            (filter == "edgepass" && key == "rule").then(|| "graph".to_owned())
        }
        fn cluster(&self) -> Option<String> {
            Some("api".to_owned())
        }
        fn host(&self) -> Option<String> {
            Some("Graph.Example:8443".to_owned())
        }
        fn path(&self) -> Option<String> {
            Some("/v1.0/me".to_owned())
        }
    }

    fn fits(matching: &EnvoyMatchFile) -> bool {
        super::fits(matching, &Request, &mut None).unwrap()
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let metadata = |value: &str| {
            Some(EnvoyMetadataFile {
                filter: "edgepass".to_owned(),
                key: "rule".to_owned(),
                value: value.to_owned(),
            })
        };
        let whole = EnvoyMatchFile {
            route_metadata: metadata("graph"),
            cluster: Some("api".to_owned()),
            host: Some("*.example".to_owned()),
            path_prefix: Some("/v1.0/".to_owned()),
        };
        assert!(fits(&EnvoyMatchFile::default()));
        assert!(fits(&whole));
        for wrong in [
            EnvoyMatchFile {
                route_metadata: metadata("vault"),
                ..whole.clone()
            },
            EnvoyMatchFile {
                cluster: Some("ap".to_owned()),
                ..whole.clone()
            },
            EnvoyMatchFile {
                host: Some("example".to_owned()),
                ..whole.clone()
            },
            EnvoyMatchFile {
                path_prefix: Some("/v2".to_owned()),
                ..whole
            },
        ] {
            assert!(!fits(&wrong), "{wrong:?}");
        }
    }
}
