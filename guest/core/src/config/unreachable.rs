//! Rules that no request comes to: an earlier one is for all that they are for, and the first that fits counts.

use super::Config;
use super::envoy::EnvoyMatchFile;
use super::http::HttpMatchFile;
use crate::matching::{canonical, host_fits};

/// What their user should know of them.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let http = config.http.iter().flat_map(|http| {
        let all: Vec<&HttpMatchFile> = http.rules.iter().map(|rule| &rule.matching).collect();
        hidden("http", &all, is_all_of_http)
    });
    let envoy = config.envoy.iter().flat_map(|envoy| {
        let all: Vec<&EnvoyMatchFile> = envoy.rules.iter().map(|rule| &rule.matching).collect();
        hidden("envoy", &all, is_all_of_envoy)
    });
    http.chain(envoy).collect()
}

fn hidden<M>(section: &str, all: &[&M], is_all_of: impl Fn(&M, &M) -> bool) -> Vec<String> {
    let rules = all.iter().enumerate();
    let found = rules.filter_map(|(place, rule)| {
        let earlier = all.iter().take(place);
        let first = earlier.clone().position(|one| is_all_of(one, rule))?;
        Some(format!(
            "{section}.rules[{place}] is for no request: {section}.rules[{first}], which comes before it, is for all of them, and the first that fits counts; put it before that one"
        ))
    });
    found.collect()
}

/// Whether every request of the later rule is one of the earlier.
fn is_all_of_http(earlier: &HttpMatchFile, later: &HttpMatchFile) -> bool {
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty()
            && later
                .methods
                .iter()
                .all(|one| earlier.methods.contains(one)));
    let path = earlier.path_prefix.as_deref().is_none_or(|earlier| {
        let later = later.path_prefix.as_deref().unwrap_or("/");
        later
            .strip_prefix(earlier)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || earlier.ends_with('/'))
    });
    // without one it is that of the request's scheme
    let port = earlier.port == later.port;
    methods && path && port && is_host_within(&earlier.host, &later.host)
}

fn is_all_of_envoy(earlier: &EnvoyMatchFile, later: &EnvoyMatchFile) -> bool {
    fn is_same<T: PartialEq>(earlier: Option<&T>, later: Option<&T>) -> bool {
        earlier.is_none() || earlier == later
    }

    let host = earlier.host.as_deref().is_none_or(|earlier| {
        let later = later.host.as_deref();
        later.is_some_and(|later| is_host_within(earlier, later))
    });
    let path = earlier.path_prefix.as_deref().is_none_or(|earlier| {
        let later = later.path_prefix.as_deref().unwrap_or("/");
        later.starts_with(earlier)
    });
    host && path
        && is_same(earlier.cluster.as_ref(), later.cluster.as_ref())
        && is_same(
            earlier.route_metadata.as_ref(),
            later.route_metadata.as_ref(),
        )
}

/// Of two hosts of rules, either of which may stand for all below a domain.
fn is_host_within(pattern: &str, host: &str) -> bool {
    // who wrote none is told so
    !pattern.is_empty() && host_fits(&canonical(pattern), &canonical(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    fn of(section: &str, rules: &str) -> Vec<String> {
        let json = format!(
            r#"{{"identities": {{"app": {{"tenant_id": "t.example", "client_id": "c", "scopes": ["a/.default"],
            "credential": {{"client_secret": {{"value": "s"}}}}}}}}, "{section}": {{"rules": {rules}}}}}"#
        );
        warnings(&Config::load(Some(&json), &Environment::default()).unwrap())
    }

    #[test]
    fn a_rule_behind_one_that_takes_all_of_it_is_named() {
        for (rules, is_named) in [
            (
                r#"[{"match": {"host": "a.example"}}, {"match": {"host": "a.example", "path_prefix": "/admin"}, "disabled": true}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "a.example", "path_prefix": "/admin"}, "disabled": true}, {"match": {"host": "a.example"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "*.example"}}, {"match": {"host": "A.Example."}}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "*.example"}}, {"match": {"host": "*.a.example"}}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "*.a.example"}}, {"match": {"host": "*.example"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "*.example"}}, {"match": {"host": "example"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "a.example"}}, {"match": {"host": "a.example", "port": 8443}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "a.example", "port": 1}}, {"match": {"host": "a.example", "port": 1}}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "a.example", "methods": ["GET"]}}, {"match": {"host": "a.example"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "a.example", "methods": ["GET", "PUT"]}}, {"match": {"host": "a.example", "methods": ["PUT"]}}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "a.example", "path_prefix": "/v1"}}, {"match": {"host": "a.example", "path_prefix": "/v10"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "a.example", "path_prefix": "/v1"}}, {"match": {"host": "a.example", "path_prefix": "/v1/x"}}]"#,
                true,
            ),
            (
                r#"[{"match": {"host": "a.example", "path_prefix": "/v1/"}}, {"match": {"host": "a.example", "path_prefix": "/v1"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"host": "a.example", "path_prefix": "/"}}, {"match": {"host": "a.example"}}]"#,
                true,
            ),
            (r#"[{}, {"match": {"host": "a.example"}}]"#, false),
        ] {
            let said = of("http", rules);
            assert_eq!(said.len(), usize::from(is_named), "{rules}: {said:?}");
            assert!(
                said.iter()
                    .all(|line| line.starts_with("http.rules[1] is for no request: http.rules[0]")),
                "{said:?}"
            );
        }
    }

    #[test]
    fn the_same_of_a_proxy_s_rules() {
        for (rules, is_named) in [
            (r#"[{}, {"match": {"host": "a.example"}}]"#, true),
            (r#"[{"match": {"host": "a.example"}}, {}]"#, false),
            (
                r#"[{"match": {"cluster": "a"}}, {"match": {"cluster": "a", "path_prefix": "/v1"}}]"#,
                true,
            ),
            (
                r#"[{"match": {"cluster": "a"}}, {"match": {"cluster": "b"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"cluster": "a"}}, {"match": {"host": "a.example"}}]"#,
                false,
            ),
            (
                r#"[{"match": {"path_prefix": "/v1"}}, {"match": {"path_prefix": "/v10"}}]"#,
                true,
            ),
            (
                r#"[{"match": {"path_prefix": "/v1/"}}, {"match": {"path_prefix": "/v1"}}]"#,
                false,
            ),
        ] {
            let said = of("envoy", rules);
            assert_eq!(said.len(), usize::from(is_named), "{rules}: {said:?}");
        }
    }
}
