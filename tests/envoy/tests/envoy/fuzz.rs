//! Configurations that are broken in some way nobody thought of: taken or refused in words, but nothing else.
//!
//! A seed gives one document, always the same but for ports and folders. `EDGEPASS_FUZZ_SEEDS=1000` tries so many of them, and
//! `EDGEPASS_FUZZ_SEED=n` that one again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use edgepass_envoy_tests::{Lab, Setup, filter_path, validation};
use serde_json::{Map, Value, json};

/// Documents that every run tries. Each is a start of Envoy.
const SEEDS: u64 = 20;

/// The first ones are of documents that nothing was done to.
const UNCHANGED: u64 = 2;

/// Starts at once: what takes time is V8, which has threads of its own.
const AT_ONCE: usize = 2;

/// What Envoy or the module would say of a fault, as opposed to a refusal.
const FAULTS: [&str; 8] = [
    "panicked",
    "unreachable",
    "RuntimeError",
    "in-VM backtrace",
    "Function: proxy_on",
    "Caught ",
    "ASSERT",
    "out of memory",
];

/// Stands where secrets may, and must not be seen again.
const SECRET: &str = "hunter2-is-no-secret-now";

const PAGE: &str = include_str!("../../../../docs/envoy.md");

#[test]
fn whatever_the_configuration_is_the_answer_is_yes_or_a_reason() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
    let lab = Lab::start().unwrap();
    if let Some(seed) = number("EDGEPASS_FUZZ_SEED") {
        let seed = seed.unwrap();
        println!("{}", document(&lab, seed));
        println!("{}", said(&lab, seed));
        return;
    }
    let seeds = number("EDGEPASS_FUZZ_SEEDS").map_or(SEEDS, Result::unwrap);
    let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let reason = said(&lab, seed);
                    if !reason.is_empty() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(seed >= UNCHANGED || reason.is_empty(), "{seed}: {reason}");
                }
            });
        }
    });
    let refused = refused.into_inner();
    println!("{refused} of {seeds} were refused");
    assert!(refused > seeds / 2, "most changes are for the worse");
}

/// The reason why a document was refused, empty if it was not.
fn said(lab: &Lab, seed: u64) -> String {
    let plugin = document(lab, seed);
    let setup = Setup {
        plugin: plugin.clone(),
        ..lab.setup(&Value::Null, 1)
    };
    let wasm = filter_path().unwrap();
    let (code, text) = validation(|dir| setup.write(dir, &wasm)).unwrap();
    let shown: String = plugin.chars().take(3_000).collect();
    let context = format!("EDGEPASS_FUZZ_SEED={seed}\n{shown}\n{text}");
    for fault in FAULTS {
        assert!(!text.contains(fault), "{fault}: {context}");
    }
    assert!(!text.contains(SECRET), "a secret is shown: {context}");
    match code {
        Some(0) => String::new(),
        Some(1) => {
            let reason = text
                .lines()
                .filter(|line| line.contains("wasm log"))
                .find_map(|line| line.split_once(" edgepass: "))
                .map(|(_, reason)| reason.to_owned())
                .unwrap_or_default();
            let named = reason.split_once(": ");
            assert!(
                named.is_some_and(|(setting, why)| !setting.is_empty() && !why.is_empty()),
                "no setting is named: {context}"
            );
            // a log line of this length is not read any more
            assert!(reason.chars().count() < 2_000, "{context}");
            reason
        }
        other => panic!("ended with {other:?}: {context}"),
    }
}

/// The document of a seed.
fn document(lab: &Lab, seed: u64) -> String {
    match seed {
        0 => return documented().to_string(),
        1 => return rich(lab).to_string(),
        _ => {}
    }
    let mut random = Random(seed);
    let mut document = match random.below(4) {
        0 => with_secret(lab),
        1 => documented(),
        _ => rich(lab),
    };
    for _ in 0..=random.below(2) {
        mutate(&mut document, &mut random);
    }
    let mut text = document.to_string();
    if random.below(4) == 0 {
        garble(&mut text, &mut random);
    }
    text
}

/// The example of the documentation.
fn documented() -> Value {
    // a comment may follow the sign
    let (_, rest) = PAGE.split_once("value: |").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let mut documents = serde_json::Deserializer::from_str(rest).into_iter();
    documents.next().unwrap().unwrap()
}

/// One with every setting.
fn rich(lab: &Lab) -> Value {
    let mut plugin = lab.plugin(json!({
    "request_deadline_ms": 5_000,
    "fail_open": false,
    "inbound_authorization": "keep-as:x-caller",
    "sharing": "per-process",
    "refresh_on_401": true,
    "skip_preflight": false,
    "rules": [
        {"match": {"path_prefix": "/open"}, "disabled": true},
        {"match": {"route_metadata": {"filter": "edgepass", "key": "rule", "value": "vault"}},
         "scopes": ["https://vault.azure.net/.default"], "identity": "app"},
        {"match": {"cluster": "other", "host": "*.graph.test"},
         "header": "X-Token", "format": "token={token};"},
    ]}));
    let mut second = plugin["identities"]["app"].clone();
    second["credential"] = json!({"client_secret": {
        "file": lab.token_file(), "method": "client_secret_basic"}});
    plugin["identities"]["second"] = second;
    let mut signer = plugin["identities"]["app"].clone();
    signer["credential"] = json!({"certificate": {"name": "client", "algorithm": "RS256"}});
    plugin["identities"]["signer"] = signer;
    plugin["certificates"] = json!({"client": {
        "certificate_file": lab.token_file(), "private_key_file": lab.token_file()}});
    plugin["default_identity"] = json!("app");
    plugin
}

/// One with a secret where it must not be.
fn with_secret(lab: &Lab) -> Value {
    let mut plugin = rich(lab);
    plugin["identities"]["second"]["credential"] = json!({"client_secret": {"value": SECRET}});
    plugin["identities"]["third"] = json!({
        "tenant_id": lab.emulator.tenant(), "client_id": lab.emulator.client_id(),
        "credential": {"client_assertion": {"value": SECRET}}});
    plugin
}

/// Changes one place of a document.
fn mutate(document: &mut Value, random: &mut Random) {
    let places = count(document);
    let place = random.below(places);
    let mut left = place;
    let chosen = nth(document, &mut left).expect("there are so many");
    match chosen {
        Value::Object(fields) if !fields.is_empty() && random.below(3) > 0 => {
            change_field(fields, random);
        }
        Value::Array(items) if !items.is_empty() && random.below(2) == 0 => {
            let item = items[random.below(items.len())].clone();
            let times = [1, 3, 300][random.below(3)];
            items.extend(std::iter::repeat_n(item, times));
        }
        _ => *chosen = other(chosen, random),
    }
}

fn change_field(fields: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let name = &names[random.below(names.len())];
    match random.below(4) {
        0 => {
            fields.remove(name);
        }
        1 => {
            let value = fields.remove(name).unwrap();
            let new = match random.below(4) {
                0 => name.to_uppercase(),
                1 => format!("{name}s"),
                2 => format!("{name}\u{202e}\u{0}\n"),
                _ => strange_text(random),
            };
            fields.insert(new, value);
        }
        2 => {
            let copy = fields[name].clone();
            fields.insert(format!("{name} 2"), copy);
        }
        _ => {
            let from = fields[name].clone();
            let to = &names[random.below(names.len())];
            fields.insert(to.clone(), from);
        }
    }
}

/// A value of another kind, or the same kind and wrong.
fn other(value: &Value, random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!([0, 1, 60_000, 60_001, u64::MAX][random.below(5)]),
        3 => json!([-1, i64::MIN][random.below(2)]),
        4 => json!([0.5, 1e300, -0.0][random.below(3)]),
        5 => json!([value]),
        6 => json!({"value": value}),
        7 => json!([]),
        8 => json!({}),
        9 => (0..[5, 60, 120][random.below(3)]).fold(value.clone(), |inner, _| json!([inner])),
        _ => json!(strange_text(random)),
    }
}

fn strange_text(random: &mut Random) -> String {
    let texts = [
        "",
        " ",
        "\u{0}",
        "a\nb\tc",
        "{token}{token}",
        "{token",
        "..%2f../",
        "/../../etc/passwd",
        "https://",
        "http://localhost",
        "https://user:password@host:99999/path?query#fragment",
        "https://[::1",
        "\u{1f511}\u{202e}",
        "'\"\\;--",
        "%s%n%x",
        "keep-as:",
        "keep-as:host",
        "*.*",
        "00000000-0000-0000-0000-000000000000",
    ];
    match random.below(texts.len() + 2) {
        n if n < texts.len() => texts[n].to_owned(),
        n if n == texts.len() => "x".repeat(100_000),
        _ => "\u{1f511}".repeat(100),
    }
}

/// Makes the text something else than JSON, or other JSON than a document can be.
fn garble(text: &mut String, random: &mut Random) {
    let boundary = |text: &str, random: &mut Random| {
        let mut at = random.below(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    match random.below(7) {
        0 => {
            let at = boundary(text, random);
            text.truncate(at);
        }
        1 => {
            let at = boundary(text, random);
            text.insert(at, ['{', '"', ',', '\\', '\u{0}', '}'][random.below(6)]);
        }
        2 => text.push_str(&text.clone()),
        3 => *text = text.replacen('{', "{\"envoy\": {}, \"envoy\": {},", 1),
        4 => *text = text.replace("5000", "1e999"),
        5 => *text = format!("{}{text}", "[".repeat(100_000)),
        _ => text.push_str(&" ".repeat(300_000)),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value that comes so many places after this one.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

/// Steele, Lea and Flood's SplitMix64: good for any seed, small ones too.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }
}
