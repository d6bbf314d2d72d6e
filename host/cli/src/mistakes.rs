//! All that is wrong with a configuration. The engine stops at the first mistake, because everything that it checks
//! would have to go on without what was wrong, also in a filter that every byte makes slower to start. So the mistake is
//! put right here, with a stand-in, and the engine is asked again.

mod variables;

use std::fmt;

use edgepass::{Config, ConfigError, Environment};
use edgepass_settings::place::is_within;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

/// More than anybody mends at once; and every round reads the document some twenty times.
const MAX_MISTAKES: usize = 50;

/// What stands for the document as a whole in errors.
const WHOLE: &str = "configuration";

/// A name that no document has.
const STAND_IN: &str = "edgepass-stand-in";

/// What is in the names that stand in for others: one that was good enough beside another mistake may be none alone, and
/// is put right once more without a word.
const STANDS_IN: &str = "stand-in";

/// What is wrong, in the engine's order; at least one thing if anything is.
pub(crate) fn all(json: Option<&str>, environment: &Environment) -> Vec<ConfigError> {
    let Err(error) = Config::load(json, environment) else {
        return Vec::new();
    };
    let Some(text) = json else {
        return variables::all(error, environment);
    };
    // one that is no JSON has no second mistake
    let Ok(Tree {
        mut value,
        repeated,
    }) = serde_json::from_str(text)
    else {
        return vec![error];
    };
    // of two of one name the tree has one, so that the engine says no more of it
    let repetition = |(path, name): (String, String)| {
        let path = if path.is_empty() {
            WHOLE.to_owned()
        } else {
            path
        };
        ConfigError::new(path, format!("duplicate name `{name}`")).hint("keep one of the two")
    };
    let mut found: Vec<ConfigError> = repeated.into_iter().map(repetition).collect();
    let load = |value: &Value| Config::load(Some(&value.to_string()), environment).err();
    let Some(mut error) = load(&value) else {
        return found;
    };
    loop {
        let mended = mend(&value, &error, &load);
        let is_of_a_stand_in = !found.is_empty() && error.message.contains(STANDS_IN);
        if !is_of_a_stand_in && !found.iter().any(|known| is_same(known, &error)) {
            found.push(error);
        }
        match mended {
            Some((better, Some(next))) if found.len() < MAX_MISTAKES => {
                value = better;
                error = next;
            }
            _ => return found,
        }
    }
}

fn is_same(a: &ConfigError, b: &ConfigError) -> bool {
    a.setting == b.setting && a.message == b.message
}

/// The document without that mistake, and the next one. `None` if no stand-in would do.
fn mend(
    value: &Value,
    error: &ConfigError,
    load: &dyn Fn(&Value) -> Option<ConfigError>,
) -> Option<(Value, Option<ConfigError>)> {
    let steps = steps(value, &error.setting)?;
    let mut second_best = None;
    for candidate in candidates(value, &steps) {
        match load(&candidate) {
            None => return Some((candidate, None)),
            Some(next) if is_elsewhere(&next.setting, &error.setting) => {
                second_best.get_or_insert((candidate, Some(next)));
            }
            Some(_) => {}
        }
    }
    second_best.or_else(|| {
        let other = another_identity(value, &steps)?;
        let next = load(&other);
        let is_mended = next
            .as_ref()
            .is_none_or(|next| is_elsewhere(&next.setting, &error.setting));
        is_mended.then_some((other, next))
    })
}

/// Whether an error about one place is about something else than one about the other: neither is inside the other, and
/// it is not what the stand-in has done.
fn is_elsewhere(next: &str, before: &str) -> bool {
    let contains = |outer: &str, inner: &str| outer == WHOLE || is_within(inner, outer);
    !contains(next, before) && !contains(before, next) && !next.contains(STAND_IN)
}

/// The document with something else in that place, the best first.
fn candidates(value: &Value, steps: &[Step]) -> Vec<Value> {
    let stand_ins = [
        json!("/edgepass-stand-in"),
        json!("stand-in.example"),
        // a server that nobody else asks, and one that is trusted
        json!("https://stand-in.example"),
        json!("https://login.microsoftonline.com"),
        json!("https://login.microsoftonline.com/stand-in/token"),
        json!("rediss://stand-in.example"),
        json!("a.b.c"),
        json!("urn:stand:in"),
        json!("11111111-2222-3333-4444-555555555555"),
        json!("x-stand-in"),
        json!(["https://stand-in.example/.default"]),
        json!(1000),
        json!(true),
        json!([]),
        json!({}),
        json!({"federated_token_file": {"path": "/edgepass-stand-in"}}),
    ];
    // fields that an object must have
    let fields = [
        json!({"name": STAND_IN}),
        json!({"path": "/edgepass-stand-in"}),
        json!({"certificate_file": "/edgepass-stand-in"}),
        json!({"file": "/edgepass-stand-in"}),
        json!({"cluster": STAND_IN}),
        json!({"url": "rediss://stand-in.example"}),
        json!({"encryption_keys_file": "/edgepass-stand-in"}),
        json!({"filter": STAND_IN}),
        json!({"key": STAND_IN}),
        json!({"value": STAND_IN}),
        json!({"match": {"host": "stand-in.example"}}),
        json!({"host": "stand-in.example"}),
    ];
    let mut out = Vec::new();
    let mut change = |change: &dyn Fn(&mut Value)| {
        let mut copy = value.clone();
        if let Some(place) = place(&mut copy, steps) {
            change(place);
            out.push(copy);
        }
    };
    for more in &fields {
        change(&|place| {
            if let (Value::Object(place), Value::Object(more)) = (place, more) {
                place.extend(more.clone());
            }
        });
    }
    for stand_in in stand_ins.iter().chain(&fields) {
        change(&|place| *place = stand_in.clone());
    }
    // without it, or under a name that is good
    if let Some((Step::Name(last), outer)) = steps.split_last() {
        let mut without = value.clone();
        if let Some(Value::Object(fields)) = place(&mut without, outer) {
            let taken = fields.remove(last);
            out.push(without.clone());
            if let (Some(taken), Some(Value::Object(fields))) = (taken, place(&mut without, outer))
            {
                fields.insert(STAND_IN.to_owned(), taken);
                out.push(without);
            }
        }
    }
    out
}

/// At the worst, the document with another identity in the place of the whole one that has that setting.
fn another_identity(value: &Value, steps: &[Step]) -> Option<Value> {
    let [Step::Name(section), Step::Name(_), ..] = steps else {
        return None;
    };
    let mut copy = value.clone();
    let identity = place(&mut copy, steps.get(..2)?).filter(|_| section == "identities")?;
    *identity = json!({"credential": {"managed_identity": {}}});
    Some(copy)
}

/// One step into a document.
enum Step {
    Name(String),
    Index(usize),
}

/// The steps to a setting. Names may have dots in them, so the document is asked which there are; what is not there is
/// one name. `None` of a variable, which is in no document, and of the document itself.
fn steps(value: &Value, setting: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut value = Some(value);
    let mut rest = setting;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            let index = index.parse().ok()?;
            value = value.and_then(|value| value.get(index));
            steps.push(Step::Index(index));
            rest = after;
            continue;
        }
        let path = rest.strip_prefix('.').unwrap_or(rest);
        let fields = value.and_then(Value::as_object);
        let is_next = |name: &&String| is_within(path, name);
        let known = fields.and_then(|fields| fields.keys().filter(is_next).max_by_key(|n| n.len()));
        match known {
            Some(name) => {
                value = value.and_then(|value| value.get(name));
                steps.push(Step::Name(name.clone()));
                rest = path.strip_prefix(name.as_str())?;
            }
            // a field that is not there, below something that is
            None if !steps.is_empty() => {
                steps.push(Step::Name(path.to_owned()));
                rest = "";
            }
            None => return None,
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// The place in a document; a field that is not there is made.
fn place<'v>(value: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    let mut value = value;
    for step in steps {
        value = match (step, value) {
            (Step::Name(name), Value::Object(fields)) => fields.entry(name).or_insert(Value::Null),
            (Step::Index(index), Value::Array(items)) => items.get_mut(*index)?,
            _ => return None,
        };
    }
    Some(value)
}

/// A document, and the names that were there twice: the object that has them, and the name.
struct Tree {
    value: Value,
    repeated: Vec<(String, String)>,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Value::Null.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        let mut repeated = Vec::new();
        while let Some(tree) = items.next_element::<Tree>()? {
            let index = format!("[{}]", values.len());
            repeated.extend(inside(&index, tree.repeated));
            values.push(tree.value);
        }
        Ok(Tree {
            value: Value::Array(values),
            repeated,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Tree, A::Error> {
        let mut values = Map::new();
        let mut repeated = Vec::new();
        while let Some((name, tree)) = fields.next_entry::<String, Tree>()? {
            repeated.extend(inside(&name, tree.repeated));
            if values.insert(name.clone(), tree.value).is_some() {
                repeated.push((String::new(), name));
            }
        }
        Ok(Tree {
            value: Value::Object(values),
            repeated,
        })
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Self {
            value,
            repeated: Vec::new(),
        }
    }
}

/// The same paths as seen from outside of that step.
fn inside(
    step: &str,
    repeated: Vec<(String, String)>,
) -> impl Iterator<Item = (String, String)> + use<'_> {
    repeated.into_iter().map(move |(path, name)| {
        let path = match path.as_str() {
            "" => step.to_owned(),
            index if index.starts_with('[') => format!("{step}{index}"),
            path => format!("{step}.{path}"),
        };
        (path, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Vec<String> {
        let nothing = Environment::default();
        let found = all(Some(json), &nothing);
        found
            .into_iter()
            .map(|error| error.setting.clone())
            .collect()
    }

    /// Identities with one mistake each: their fields, and the setting that is wrong.
    const WRONG: &[(&str, &str)] = &[
        (r#""tenant_id": "common""#, "tenant_id"),
        (r#""tenent_id": "t""#, "tenent_id"),
        (r#""client_id": "a b""#, "client_id"),
        (r#""client_id": 5"#, "client_id"),
        (r#""authority_host": "http://x""#, "authority_host"),
        (r#""endpoint_version": "v3""#, "endpoint_version"),
        (r#""scopes": ["a b"]"#, "scopes"),
        (r#""scopes": "x""#, "scopes"),
        (
            r#""additionally_allowed_tenants": ["a/b"]"#,
            "additionally_allowed_tenants[0]",
        ),
        (
            r#""mtls_token_endpoint": "https://x/t""#,
            "mtls_token_endpoint",
        ),
        (r#""credential": {}"#, "credential"),
        (
            r#""credential": {"certificate": {}}"#,
            "credential.certificate",
        ),
        (
            r#""credential": {"federated_token_file": {"path": "relative"}}"#,
            "credential.federated_token_file.path",
        ),
        (
            r#""credential": {"client_secret": {}}"#,
            "credential.client_secret",
        ),
        (
            r#""credential": {"client_secret": {"file": "/x", "value": "hunter2"}}"#,
            "credential.client_secret",
        ),
        (
            r#""credential": {"client_secret": {"file": "/x", "method": "y"}}"#,
            "credential.client_secret.method",
        ),
        (
            r#""credential": {"client_secret": {"value": ["hunter2"]}}"#,
            "credential.client_secret.value",
        ),
        (
            r#""credential": {"assertion_source": {"audience": "a b"}}"#,
            "credential.assertion_source.audience",
        ),
        (
            r#""credential": {"assertion_source": {"assertion_type": "x"}}"#,
            "credential.assertion_source.assertion_type",
        ),
        (
            r#""credential": {"managed_identity_assertion": {"client_id": "x"}}"#,
            "credential.managed_identity_assertion.client_id",
        ),
        (
            r#""credential": {"github_actions": {"audience": "a b"}}"#,
            "credential.github_actions.audience",
        ),
        (
            r#""credential": {"aws_web_identity": {"duration_s": 1}}"#,
            "credential.aws_web_identity.duration_s",
        ),
        (
            r#""credential": {"executable": {"command": "x"}}"#,
            "credential.executable.command",
        ),
        (
            r#""credential": {"federated_token_file": {"path": "/x", "token_proxy": {"url": "http://x"}}}"#,
            "credential.federated_token_file.token_proxy.url",
        ),
    ];

    /// An identity that is good but for those fields.
    fn identity(fields: &[&str]) -> String {
        let usual = [
            r#""tenant_id": "t.example""#,
            r#""client_id": "c""#,
            r#""credential": {"assertion_source": {}}"#,
        ];
        let name = |field: &str| field.split('"').nth(1).map(str::to_owned);
        let is_given = |usual: &&&str| fields.iter().any(|field| name(field) == name(usual));
        let usual = usual.iter().filter(|usual| !is_given(usual)).copied();
        let all: Vec<&str> = fields.iter().copied().chain(usual).collect();
        format!("{{{}}}", all.join(", "))
    }

    #[test]
    fn each_mistake_alone_is_the_only_one() {
        for (field, setting) in WRONG {
            let json = format!(r#"{{"identities": {{"app.x": {}}}}}"#, identity(&[field]));
            assert_eq!(
                settings(&json),
                [format!("identities.app.x.{setting}")],
                "{json}"
            );
        }
    }

    #[test]
    fn every_two_mistakes_of_two_identities_are_found() {
        for (a, of_a) in WRONG {
            for (b, of_b) in WRONG {
                let (one, other) = (identity(&[a]), identity(&[b]));
                let json = format!(r#"{{"identities": {{"a": {one}, "b": {other}}}}}"#);
                let mut found = settings(&json);
                found.sort();
                let expected = [
                    format!("identities.a.{of_a}"),
                    format!("identities.b.{of_b}"),
                ];
                assert_eq!(found, expected, "{json}");
            }
        }
    }

    #[test]
    fn every_two_mistakes_of_one_identity_are_found() {
        for (a, of_a) in WRONG {
            for (b, of_b) in WRONG {
                // two of one field are another mistake, and the endpoint's is never looked at beside a wrong kind
                let field = |text: &str| text.split('.').next().map(str::to_owned);
                if field(of_a.trim_end_matches("[0]")) == field(of_b.trim_end_matches("[0]")) {
                    continue;
                }
                let json = format!(r#"{{"identities": {{"app": {}}}}}"#, identity(&[a, b]));
                let mut found = settings(&json);
                found.sort();
                let mut expected = [
                    format!("identities.app.{of_a}"),
                    format!("identities.app.{of_b}"),
                ];
                expected.sort();
                assert_eq!(found, expected, "{json}");
            }
        }
    }

    #[test]
    fn mistakes_all_over_the_document() {
        let json = r#"{
            "default_identity": "nobody", "surprise": 1,
            "authority_hosts": ["https://x", "good.example"],
            "host": {"ca_file": "ca.pem", "token_store": {
                "url": "redis://u:hunter2@x", "encryption_keys_file": "keys", "key_prefix": "{x}"}},
            "certificates": {"k": {}, "a b": {"certificate_file": "/x"}},
            "identities": {"app": {"tenant_id": "t", "client_id": "c", "credential": {"assertion_source": {}}}},
            "envoy": {"files": {}, "sharing": "x", "request_deadline_ms": "1", "rules": [{"scopes": 1}, {"matches": {}}]}
        }"#;
        let mut found = settings(json);
        found.sort();
        let expected = [
            "authority_hosts[0]",
            "certificates.a b",
            "certificates.k",
            "default_identity",
            "envoy.files",
            "envoy.request_deadline_ms",
            "envoy.rules[0].scopes",
            "envoy.rules[1].matches",
            "envoy.sharing",
            "host.ca_file",
            "host.token_store.encryption_keys_file",
            "host.token_store.key_prefix",
            "host.token_store.url",
            "surprise",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_that_are_there_twice_are_found_beside_others() {
        let good = identity(&[]);
        let json = format!(
            r#"{{"x": 1, "identities": {{"a": {good}, "a": {good}}}, "envoy": {{"rules": [{{"format": "x", "format": "y"}}]}}}}"#
        );
        let mut found = settings(&json);
        found.sort();
        assert_eq!(found, ["envoy.rules[0]", "identities", "x"]);
        let alone = format!(r#"{{"identities": {{"a": {good}, "a": {good}}}}}"#);
        assert_eq!(settings(&alone), ["identities"]);
        assert_eq!(settings(r#"{"x": 1, "x": 2}"#), ["configuration", "x"]);
    }

    #[test]
    fn what_is_good_or_no_document_has_no_list() {
        assert_eq!(
            settings(&format!(r#"{{"identities": {{"a": {}}}}}"#, identity(&[]))),
            [""; 0]
        );
        for broken in ["", "{", "[]", "5", "{},"] {
            assert_eq!(settings(broken), ["configuration"], "{broken}");
        }
    }

    #[test]
    fn variables_are_named_together() {
        let environment = |pairs: &[(&str, &str)]| Environment::from_pairs(pairs.iter().copied());
        for (pairs, expected) in [
            (
                &[("AZURE_CLIENT_ID", "c")][..],
                // a managed identity's, and no ID
                &["AZURE_CLIENT_ID"][..],
            ),
            (
                &[
                    ("AZURE_TENANT_ID", "common"),
                    ("AZURE_FEDERATED_TOKEN_FILE", "x"),
                ],
                &[
                    "AZURE_CLIENT_ID",
                    "AZURE_TENANT_ID",
                    "AZURE_FEDERATED_TOKEN_FILE",
                ],
            ),
            // the managed identity of the machine
            (&[], &[]),
        ] {
            let found = all(None, &environment(pairs));
            let found: Vec<&str> = found.iter().map(|error| error.setting.as_str()).collect();
            assert_eq!(found, expected, "{pairs:?}");
        }
    }
}
