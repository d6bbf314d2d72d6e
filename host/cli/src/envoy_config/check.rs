//! Whether a configuration of Envoy that is there fits: what the filter needs of it is what the command would print, so
//! that is looked for in it. What stands there besides is its owner's.

use std::collections::BTreeSet;

use edgepass::Environment;
use serde_json::{Value, json};

use super::plan::{Given, Plan, TokenCluster};
use super::{bootstrap, manifests, plan};
use crate::arguments::EnvoyConfigArguments;
use crate::failure::Failure;
use crate::repeat;

/// The module's type, and that of a configuration that arrives as it is.
const WASM: &str = ".wasm.v3.Wasm";
const STRING_VALUE: &str = "google.protobuf.StringValue";

/// Characters of a value that a message repeats.
const VALUE_CHARS: usize = 200;

/// What is wrong with it, each with what to do.
struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, at: &str, what: &str, fix: &str) {
        let line = format!("{at}: {what}\n  hint: {fix}");
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }
}

/// Compares it, and says all that does not fit; nothing if it does.
pub(super) fn findings(
    json: &str,
    environment: &Environment,
    arguments: &EnvoyConfigArguments,
    text: &str,
) -> Result<Vec<String>, Failure> {
    let actual = read(text)?;
    let mut out = Findings(Vec::new());
    let plugins = plugins(&actual);
    if plugins.is_empty() {
        out.add(
            "http_filters",
            "there is no Wasm filter with a configuration of edgepass",
            "add what `edgepass envoy-config --only filter` prints, before envoy.filters.http.router",
        );
    }
    let given = Given {
        upstreams: &arguments.upstream,
        naming: plan::Naming::Own,
        module: manifests::module(arguments),
        as_upstream_filter: arguments.upstream_filter,
    };
    let mut expected = Plan::of(json, environment, given)?;
    for (at, plugin) in &plugins {
        let Some(own) = own_configuration(at, plugin, &mut out) else {
            continue;
        };
        // how clusters are called is the file's business where the configuration does not say it
        let named = with_names_of(json, &own);
        match Plan::of(&named, environment, given) {
            Ok(plan) => expected = plan,
            Err(Failure::Setup {
                setting,
                message,
                hint,
            }) => out.add(
                &setting.unwrap_or_else(|| at.clone()),
                &message,
                &hint.unwrap_or_default(),
            ),
            Err(other) => return Err(other),
        }
        let wanted: Value = serde_json::from_str(&expected.plugin).unwrap_or_default();
        same("", &wanted, &own, &mut out);
        let printed = printed_plugin(&expected, arguments)?;
        part_of(at, &printed, plugin, &mut out);
    }
    clusters(&expected, &actual, arguments, &mut out)?;
    files(&expected, &actual, arguments, &mut out)?;
    routes(&expected, &actual, &mut out);
    Ok(out.0)
}

fn read(text: &str) -> Result<Value, Failure> {
    // Envoy has no merge keys: for it `<<` is a field, which nothing has
    let as_envoy = serde_saphyr::options! {
        merge_keys: serde_saphyr::options::MergeKeyPolicy::AsOrdinary,
    };
    serde_saphyr::from_str_with_options(text, as_envoy).map_err(|error| {
        // no line of it is repeated: there may be a secret in it
        let place = error.location().map_or_else(String::new, |at| {
            format!(" at line {}, column {}", at.line(), at.column())
        });
        Failure::setting(
            "--check",
            format!("is neither YAML nor JSON{place}, or larger or deeper than any configuration"),
            "give the file that Envoy is started with",
        )
    })
}

/// What is at that place, or null.
fn get<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The field of that name, or null.
fn of<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The filters of that type that are ours, with where they are.
fn plugins(actual: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    walk("", actual, &mut |at, value| {
        let of_type = get(value, "/@type")
            .as_str()
            .is_some_and(|url| url.ends_with(WASM));
        let config = get(value, "/config");
        let is_ours = || {
            let given = get(config, "/configuration").to_string();
            get(config, "/name") == "edgepass" || given.contains("identities")
        };
        if of_type && is_ours() {
            found.push((format!("{at}.config"), config));
        }
    });
    found
}

/// Calls it for all that is in a document, from the outside to the inside. Named items are called by their names.
fn walk<'v>(at: &str, value: &'v Value, look: &mut impl FnMut(&str, &'v Value)) {
    look(at, value);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if at.is_empty() { "" } else { "." };
                walk(&format!("{at}{dot}{name}"), value, look);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let index = index.to_string();
                let name = get(item, "/name").as_str().unwrap_or(&index);
                walk(&format!("{at}[{name}]"), item, look);
            }
        }
        _ => {}
    }
}

/// The configuration that the file has for the filter.
fn own_configuration(at: &str, plugin: &Value, out: &mut Findings) -> Option<Value> {
    let at = format!("{at}.configuration");
    let given = get(plugin, "/configuration");
    let is_text = get(given, "/@type")
        .as_str()
        .is_some_and(|url| url.ends_with(STRING_VALUE));
    if !is_text {
        out.add(
            &at,
            "is not a StringValue: Envoy gives the filter everything else as protobuf",
            "write \"@type\": type.googleapis.com/google.protobuf.StringValue, and the JSON text as value",
        );
        return None;
    }
    let own = get(given, "/value")
        .as_str()
        .map(serde_json::from_str::<Value>);
    let Some(Ok(own)) = own else {
        out.add(
            &format!("{at}.value"),
            "is not JSON text",
            "put what `edgepass envoy-config --only filter` prints there",
        );
        return None;
    };
    Some(own)
}

/// The configuration, with the names of clusters that it leaves open.
fn with_names_of(json: &str, own: &Value) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(json) else {
        return json.to_owned();
    };
    let Some(fields) = document.as_object_mut() else {
        return json.to_owned();
    };
    let section = fields.entry("envoy").or_insert(json!({}));
    for name in ["token_clusters", "files"] {
        let given = of(get(own, "/envoy"), name);
        if let Some(section) = section.as_object_mut()
            && section.get(name).is_none_or(Value::is_null)
            && !given.is_null()
        {
            section.insert(name.to_owned(), given.clone());
        }
    }
    document.to_string()
}

/// The configuration of the filter and nothing else. Its values are not repeated: there may be a secret among them.
fn same(at: &str, wanted: &Value, own: &Value, out: &mut Findings) {
    const FIX: &str = "the file is older than the configuration, or was changed: put what `edgepass envoy-config --only filter` prints there";
    let name = |field: &str| match at {
        "" => field.to_owned(),
        at => format!("{at}.{field}"),
    };
    match (wanted, own) {
        (Value::Object(wanted), Value::Object(own)) => {
            let names: BTreeSet<&String> = wanted.keys().chain(own.keys()).collect();
            for field in names {
                let (wanted, own) = (wanted.get(field), own.get(field));
                let there = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
                match (there(wanted), there(own)) {
                    (true, false) => out.add(
                        &name(field),
                        "the filter's configuration does not have it",
                        FIX,
                    ),
                    (false, true) => out.add(
                        &name(field),
                        "is in the filter's configuration and nowhere else",
                        FIX,
                    ),
                    (false, false) => {}
                    (true, true) => same(
                        &name(field),
                        wanted.unwrap_or(&Value::Null),
                        own.unwrap_or(&Value::Null),
                        out,
                    ),
                }
            }
        }
        (Value::Array(wanted), Value::Array(own)) if wanted.len() == own.len() => {
            for (index, (wanted, own)) in wanted.iter().zip(own).enumerate() {
                same(&format!("{at}[{index}]"), wanted, own, out);
            }
        }
        _ if wanted == own => {}
        _ => out.add(at, "is something else in the filter's configuration", FIX),
    }
}

/// What the command would print for the filter, but for its configuration.
fn printed_plugin(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<Value, Failure> {
    let printed = read(&bootstrap::filter_alone(plan, arguments)?)?;
    let mut config = get(&printed, "/0/typed_config/config").clone();
    if let Some(fields) = config.as_object_mut() {
        fields.remove("configuration");
        fields.remove("reload_config");
        fields.remove("name");
    }
    Ok(config)
}

/// Looks for all of `wanted` in what is there.
fn part_of(at: &str, wanted: &Value, actual: &Value, out: &mut Findings) {
    match (wanted, actual) {
        (Value::Object(wanted), Value::Object(actual)) => {
            for (field, wanted) in wanted {
                let at = format!("{at}.{field}");
                match actual.get(field) {
                    Some(actual) => part_of(&at, wanted, actual, out),
                    None => out.add(
                        &at,
                        &format!("is missing{}", shown(", and should be ", wanted)),
                        fix(&at),
                    ),
                }
            }
        }
        (Value::Array(wanted), Value::Array(actual)) => {
            for (index, wanted) in wanted.iter().enumerate() {
                let named = |item: &&Value| {
                    !get(item, "/name").is_null() && get(item, "/name") == get(wanted, "/name")
                };
                let found = actual.iter().find(named).or_else(|| actual.get(index));
                let at = format!("{at}[{index}]");
                match found {
                    Some(actual) => part_of(&at, wanted, actual, out),
                    None => out.add(&at, "is missing", fix(&at)),
                }
            }
        }
        _ if text(wanted) == text(actual) => {}
        _ => out.add(
            at,
            &format!(
                "is not what it should be{}{}",
                shown(": it is ", actual),
                shown(", should be ", wanted)
            ),
            fix(at),
        ),
    }
}

/// Scalars as YAML and JSON write them alike.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value for people, if it has one that may be shown.
fn shown(before: &str, value: &Value) -> String {
    let text = text(value);
    let harmless = match value {
        Value::String(_) => text.len() <= VALUE_CHARS && repeat::is_harmless(&text),
        other => other.is_number() || other.is_boolean(),
    };
    if harmless {
        format!("{before}{text}")
    } else {
        String::new()
    }
}

/// What to do about a field, by its name.
fn fix(at: &str) -> &'static str {
    const FIXES: &[(&str, &str)] = &[
        (
            ".allowed_capabilities",
            "add it with an empty message, `NAME: {}`: the filter makes that call; or leave the whole capability_restriction_config out, and give --no-capability-restriction here as well",
        ),
        (
            ".capability_restriction_config",
            "add it, or give --no-capability-restriction: it keeps the filter from what it does not need",
        ),
        (
            ".vm_id",
            "give the filter a vm_id that no other module has, and the same with --vm-id: who shares it can read the tokens",
        ),
        (
            ".code",
            "give the module's path on Envoy's machine in the file and with --wasm",
        ),
        (
            ".failure_policy",
            "set FAIL_RELOAD: without it a fault in the filter means 503 until Envoy is restarted",
        ),
        (
            ".host_env_keys",
            "pass the variables on that the configuration leaves things to",
        ),
        (
            ".sni",
            "write the server's host: by it the server chooses its certificate",
        ),
        (
            ".match_typed_subject_alt_names",
            "write the server's host: without it Envoy sends tokens to whoever has any certificate",
        ),
        (
            ".trusted_ca",
            "name the same CA bundle in the file and with --ca-file: without it Envoy sends tokens to whoever answers",
        ),
        (
            ".transport_socket",
            "add it: tokens would go over the wire as they are",
        ),
        (
            ".max_requests_per_connection",
            "set it to 1: a kept connection would be stale, or have an old certificate",
        ),
        (
            ".tls_certificate_sds_secret_configs",
            "add it: the token endpoint asks for the client certificate",
        ),
        (
            ".watched_directory",
            "name the folder in which a rotation is seen (--volume): otherwise Envoy reads the file once",
        ),
        (
            ".address",
            "write the host and port that the configuration names",
        ),
    ];
    let found = FIXES.iter().find(|(field, _)| at.contains(field));
    found.map_or(
        "compare it with what `edgepass envoy-config` prints",
        |(_, fix)| fix,
    )
}

/// The cluster of that name.
fn cluster<'v>(actual: &'v Value, name: &str) -> Option<&'v Value> {
    let clusters = get(actual, "/static_resources/clusters").as_array()?;
    clusters
        .iter()
        .find(|cluster| get(cluster, "/name") == name)
}

/// Where the one endpoint of a cluster is.
fn address(cluster: &Value) -> &Value {
    get(
        cluster,
        "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address",
    )
}

fn clusters(
    plan: &Plan,
    actual: &Value,
    arguments: &EnvoyConfigArguments,
    out: &mut Findings,
) -> Result<(), Failure> {
    let printed = read(&bootstrap::write(plan, arguments)?)?;
    for token in &plan.token_clusters {
        let at = format!("clusters[{}]", token.name);
        let Some(found) = cluster(actual, &token.name) else {
            let other = elsewhere(token, actual);
            let (what, fix) = match &other {
                Some(other) => (
                    format!("there is no such cluster, but `{other}` is for the same host"),
                    format!(
                        "write that name under envoy.token_clusters for {}",
                        token.host
                    ),
                ),
                None => (
                    format!(
                        "there is no such cluster, and identities get their tokens from {}",
                        token.host
                    ),
                    "add what `edgepass envoy-config --only token-clusters` prints".to_owned(),
                ),
            };
            out.add(&at, &what, &fix);
            continue;
        };
        let wanted = cluster(&printed, &token.name).cloned().unwrap_or_default();
        for field in ["transport_socket", "typed_extension_protocol_options"] {
            let wanted = of(&wanted, field);
            if !wanted.is_null() {
                let there = json!({field: of(found, field)});
                let there = if of(found, field).is_null() {
                    json!({})
                } else {
                    there
                };
                part_of(&at, &json!({field: wanted}), &there, out);
            }
        }
        part_of(
            &format!("{at}.address"),
            address(&wanted),
            address(found),
            out,
        );
    }
    for upstream in plan.upstreams.iter().filter(|upstream| upstream.server.tls) {
        let wanted = cluster(&printed, &upstream.cluster)
            .cloned()
            .unwrap_or_default();
        let found = cluster(actual, &upstream.cluster);
        if let Some(found) = found.filter(|_| !get(&wanted, "/transport_socket").is_null()) {
            let at = format!("clusters[{}].transport_socket", upstream.cluster);
            part_of(
                &at,
                get(&wanted, "/transport_socket"),
                get(found, "/transport_socket"),
                out,
            );
        }
    }
    Ok(())
}

/// Another cluster for that host.
fn elsewhere(token: &TokenCluster, actual: &Value) -> Option<String> {
    let clusters = get(actual, "/static_resources/clusters").as_array()?;
    let found = clusters.iter().find(|cluster| {
        let socket = &address(cluster)["socket_address"];
        get(socket, "/address") == token.host.as_str() && get(socket, "/port_value") == token.port
    })?;
    get(found, "/name").as_str().map(str::to_owned)
}

fn files(
    plan: &Plan,
    actual: &Value,
    arguments: &EnvoyConfigArguments,
    out: &mut Findings,
) -> Result<(), Failure> {
    let Some(files) = &plan.files else {
        return Ok(());
    };
    let at = format!("clusters[{}]", files.cluster);
    let Some(found) = cluster(actual, &files.cluster) else {
        out.add(
            &at,
            "there is no such cluster, and envoy.files.cluster names it",
            "add what `edgepass envoy-config --only token-clusters` prints, or write the name of the one that there is under envoy.files.cluster",
        );
        return Ok(());
    };
    let listeners = get(actual, "/static_resources/listeners").as_array();
    let path = |address: &Value| get(address, "/pipe/path").clone();
    let socket = path(address(found));
    let serves = |listener: &&Value| {
        let own = get(listener, "/address");
        match &socket {
            Value::Null => get(own, "/socket_address") == get(address(found), "/socket_address"),
            socket => path(own) == *socket,
        }
    };
    let Some(listener) = listeners.into_iter().flatten().find(serves) else {
        out.add(
            &at,
            &format!("no listener is at its address{}", shown(": ", &socket)),
            "give the listener of the files and its cluster the same socket, or add what `edgepass envoy-config --only listener` prints",
        );
        return Ok(());
    };
    let name = get(listener, "/name").as_str().unwrap_or_default();
    let at = format!("listeners[{name}]");
    if socket.is_null() {
        out.add(
            &at,
            "is at a port, where every process of the machine gets the files",
            "let it listen at a pipe with mode 384 (0600)",
        );
    } else if get(listener, "/address/pipe/mode") != 0o600 {
        out.add(
            &format!("{at}.address.pipe.mode"),
            "is not 384 (0600): other users of the machine get the files",
            "set it to 384",
        );
    }
    let mut by_path: Vec<(&Value, &Value)> = Vec::new();
    let mut limit = false;
    let mut server = false;
    walk("", listener, &mut |_, value| {
        if get(value, "/match").is_object() {
            by_path.push((
                get(value, "/match/path"),
                get(value, "/direct_response/body"),
            ));
        }
        limit |= get(value, "/max_direct_response_body_size_bytes").is_number();
        server |= get(value, "/path_mappings").is_array();
    });
    if server {
        return Ok(());
    }
    if !limit {
        out.add(
            &format!("{at}.max_direct_response_body_size_bytes"),
            "is missing: Envoy does not start with a token file of more than 4096 bytes",
            "set it to 65536 in the route configuration",
        );
    }
    for file in &files.served {
        let at = format!("{at}: {}", file.request_path);
        let Some((_, body)) = by_path
            .iter()
            .find(|(path, _)| **path == file.request_path.as_str())
        else {
            out.add(
                &at,
                "there is no route for this path, by which the filter asks for the file",
                "add what `edgepass envoy-config --only listener` prints, or mend envoy.files.strip_prefix and add_prefix",
            );
            continue;
        };
        let wanted = bootstrap::served(file, arguments);
        let watched = get(body, "/watched_directory");
        if get(body, "/filename") != file.path.as_str() {
            let there = shown(": it is ", get(body, "/filename"));
            out.add(
                &format!("{at}.filename"),
                &format!("is not the file that the configuration names{there}"),
                "name the same file in both",
            );
        }
        if watched.is_null() {
            out.add(
                &format!("{at}.watched_directory"),
                "is missing",
                fix(".watched_directory"),
            );
        } else if get(watched, "/path") != wanted.as_str() {
            out.add(
                &format!("{at}.watched_directory.path"),
                &format!(
                    "is not {wanted}{}",
                    shown(": it is ", get(watched, "/path"))
                ),
                fix(".watched_directory"),
            );
        }
        if arguments.no_watch_modify && !get(watched, "/watch_modify").is_null() {
            out.add(
                &format!("{at}.watched_directory.watch_modify"),
                "is there, and Envoy before 1.39 does not know it (--no-watch-modify)",
                "take it out",
            );
        }
    }
    Ok(())
}

fn routes(plan: &Plan, actual: &Value, out: &mut Findings) {
    let mut chosen_by_callers = Vec::new();
    let mut managers = Vec::new();
    walk("", actual, &mut |at, value| {
        if !get(value, "/cluster_header").is_null() {
            chosen_by_callers.push(at.to_owned());
        }
        if get(value, "/http_filters").is_array()
            && !plugins(get(value, "/http_filters")).is_empty()
        {
            managers.push((at.to_owned(), value));
        }
    });
    for at in chosen_by_callers {
        out.add(
            &format!("{at}.cluster_header"),
            "lets callers choose the cluster, the one of the token files as well",
            "name the cluster in the route",
        );
    }
    let rules = plan::rules(&plan.plugin);
    let by_path = rules
        .iter()
        .any(|rule| !get(rule, "/match/path_prefix").is_null());
    for (at, manager) in managers {
        for (field, wanted) in [
            ("normalize_path", json!(true)),
            ("merge_slashes", json!(true)),
            ("path_with_escaped_slashes_action", json!("REJECT_REQUEST")),
        ] {
            if by_path && *of(manager, field) != wanted {
                out.add(
                    &format!("{at}.{field}"),
                    &format!("is not {wanted}, and there are rules with path_prefix"),
                    "set it: otherwise more requests are refused for their path",
                );
            }
        }
    }
    for (index, rule) in rules.iter().enumerate() {
        let Some(name) = get(rule, "/match/cluster").as_str() else {
            continue;
        };
        if cluster(actual, name).is_none() {
            out.add(
                &format!("envoy.rules[{index}].match.cluster"),
                "names no cluster of the file, so the rule is for nothing",
                "write the name of the cluster that the requests go to",
            );
        }
    }
}

#[cfg(test)]
mod tests;
