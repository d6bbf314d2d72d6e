use edgepass_core::{Config, Environment};
use serde_json::{Value, json};

use super::*;

fn read(text: &str, format: Format) -> Document {
    Document::read(text, format, Some("f")).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(text: &str, format: Format) -> Value {
    serde_json::from_str(read(text, format).json()).unwrap()
}

/// The setting, the place and the whole of what is said.
fn refused(text: &str, format: Format) -> (String, String, String) {
    let error = Document::read(text, format, Some("f")).unwrap_err();
    let place = error.place.clone().unwrap_or_default();
    (error.setting.clone(), place, error.to_string())
}

const JSON: &str = r#"{
  "default_identity": "app.prod",
  "identities": {
    "app.prod": {
      "tenant_id": "t",
      "client_id": "12345",
      "scopes": ["https://graph.microsoft.com/.default"],
      "credential": [
        {"certificate": {"name": "k", "send_x5c": true}},
        {"client_secret": {"file": "/s"}}
      ]
    }
  },
  "certificates": {"k": {"certificate_file": "/k \"ü\\\n.pem"}},
  "envoy": {"request_deadline_ms": 2000}
}"#;

const YAML: &str = r#"# how it is usually written
default_identity: app.prod
identities:
  app.prod:
    tenant_id: t
    client_id: "12345"   # digits need quotes
    scopes:
      - https://graph.microsoft.com/.default
    credential:
      - certificate: {name: k, send_x5c: true}
      - client_secret:
          file: /s
certificates:
  k:
    certificate_file: "/k \"ü\\\n.pem"
envoy: {request_deadline_ms: 2000}
"#;

const TOML: &str = r#"
default_identity = "app.prod"

[identities."app.prod"]
tenant_id = "t"
client_id = "12345"
scopes = ["https://graph.microsoft.com/.default"]

[[identities."app.prod".credential]]
certificate = { name = "k", send_x5c = true }

[[identities."app.prod".credential]]
client_secret.file = "/s"

[certificates.k]
certificate_file = "/k \"ü\\\n.pem"

[envoy]
request_deadline_ms = 2_000
"#;

#[test]
fn the_same_document_in_each_format() {
    let expected: Value = serde_json::from_str(JSON).unwrap();
    assert_eq!(value(JSON, Format::Json), expected);
    assert_eq!(value(YAML, Format::Yaml), expected);
    assert_eq!(value(TOML, Format::Toml), expected);
    assert_eq!(value(JSON, Format::Yaml), expected, "JSON is YAML");
    let windows = YAML.replace('\n', "\r\n");
    assert_eq!(value(&windows, Format::Yaml), expected);
    assert_eq!(value(&TOML.replace('\n', "\r\n"), Format::Toml), expected);
    for (text, format) in [
        (YAML, Format::Yaml),
        (TOML, Format::Toml),
        (JSON, Format::Json),
    ] {
        assert_eq!(value(&format!("\u{feff}{text}"), format), expected);
        assert_eq!(
            Format::guess(text),
            Some(format).filter(|f| *f != Format::Json)
        );
    }
}

#[test]
fn settings_are_found_again_in_the_text() {
    for (setting, json, yaml, toml) in [
        ("default_identity", "2:3", "2:1", "2:1"),
        ("identities", "3:3", "3:1", "4:2"),
        ("identities.app.prod", "4:5", "4:3", "4:13"),
        ("identities.app.prod.client_id", "6:7", "6:5", "6:1"),
        ("identities.app.prod.scopes[0]", "7:18", "8:9", "7:11"),
        ("identities.app.prod.credential[0]", "9:9", "10:9", "9:1"),
        (
            "identities.app.prod.credential[0].certificate.send_x5c",
            "9:39",
            "10:32",
            "10:29",
        ),
        (
            "identities.app.prod.credential[1].client_secret.file",
            "10:28",
            "12:11",
            "13:15",
        ),
        ("envoy.request_deadline_ms", "15:13", "16:9", "19:1"),
        // what is not there is where it would be
        ("identities.app.prod.authority_host", "4:5", "4:3", "4:13"),
        (
            "identities.app.prod.credential[7].client_secret",
            "8:7",
            "9:5",
            "9:25",
        ),
        ("identities.other", "3:3", "3:1", "4:2"),
        // and what is no setting of the document is nowhere
        ("AZURE_TENANT_ID", "", "", ""),
        ("host.ca_file", "", "", ""),
    ] {
        let found = |text, format| read(text, format).place(setting).unwrap_or_default();
        let expected = [json, yaml, toml].map(|place| match place {
            "" => String::new(),
            place => format!("f:{place}"),
        });
        let found = [
            found(JSON, Format::Json),
            found(YAML, Format::Yaml),
            found(TOML, Format::Toml),
        ];
        assert_eq!(found, expected, "{setting}");
    }
}

/// Every value of a document, however it is formatted, is found where it stands.
#[test]
fn every_place_of_a_json_document_is_right() {
    fn paths(path: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        out.push((path.to_owned(), value.clone()));
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    paths(&inside(path, name), value, out);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    paths(&format!("{path}[{at}]"), item, out);
                }
            }
            _ => {}
        }
    }

    let document = json!({
        "a": {"b.c": [1, -2.5e3, true, null, "x,}]\"\\"], "b": {"c": {}}, "": {"z": []}},
        "a.d": [[], [[{"e": "\u{1f511}"}]], {}], "ä\n\"": {"f": false},
    });
    let mut all = Vec::new();
    paths("", &document, &mut all);
    for text in [
        document.to_string(),
        serde_json::to_string_pretty(&document).unwrap(),
        serde_json::to_string_pretty(&document)
            .unwrap()
            .replace("  ", "\t"),
    ] {
        let read = read(&text, Format::Json);
        for (path, value) in all.iter().filter(|(path, _)| !path.is_empty()) {
            // the name of that field is printed otherwise than it is
            if path.starts_with('ä') || path.contains("..") || path.ends_with('.') {
                continue;
            }
            let place = read.place(path).unwrap();
            let mut parts = place
                .rsplit(':')
                .map(|n| n.parse::<usize>().unwrap_or_default());
            let (column, line) = (parts.next().unwrap(), parts.next().unwrap());
            let line = text.lines().nth(line - 1).unwrap();
            let rest: String = line.chars().skip(column - 1).collect();
            let expected = match path.ends_with(']') {
                true => value.to_string().chars().next().unwrap().to_string(),
                false => format!("\"{}\"", all_after(path, &document)),
            };
            assert!(rest.starts_with(&expected), "{path}: {rest}");
        }
    }
}

/// The name at the end of a path.
fn all_after(path: &str, document: &Value) -> String {
    let mut names = Vec::new();
    fn collect(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    out.push(name.clone());
                    collect(value, out);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
            _ => {}
        }
    }
    collect(document, &mut names);
    let ends = |name: &&String| {
        path == name.as_str()
            || path
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
    };
    names
        .iter()
        .filter(ends)
        .max_by_key(|name| name.len())
        .unwrap()
        .clone()
}

#[test]
fn what_yaml_reads() {
    for (text, expected) in [
        ("a: b", json!("b")),
        ("a: 'it''s'", json!("it's")),
        ("a: \"x\\ty\"", json!("x\ty")),
        ("a: |\n  x\n  y\n", json!("x\ny\n")),
        ("a: >-\n  x\n  y\n", json!("x y")),
        ("a: true", json!(true)),
        ("a: False", json!(false)),
        ("a: 12", json!(12)),
        ("a: +12", json!(12)),
        ("a: -12", json!(-12)),
        ("a: 1.5", json!(1.5)),
        ("a: 1e3", json!(1000.0)),
        ("a:", json!(null)),
        ("a: ~", json!(null)),
        ("a: null", json!(null)),
        ("a: 'null'", json!("null")),
        ("a: '0123'", json!("0123")),
        ("a: \"no\"", json!("no")),
        ("a: nobody", json!("nobody")),
        (
            "a: 11111111-2222-3333-4444-555555555555",
            json!("11111111-2222-3333-4444-555555555555"),
        ),
        ("a: 0a1b", json!("0a1b")),
        ("a: 1.2.3.4", json!("1.2.3.4")),
        ("a: idp.example:8443", json!("idp.example:8443")),
        ("a: v2.0", json!("v2.0")),
        ("a: C:\\keys\\token", json!("C:\\keys\\token")),
        ("a: [x, {b: c}]", json!(["x", {"b": "c"}])),
        ("a: {}", json!({})),
        ("---\na: b\n...\n", json!("b")),
        ("%YAML 1.2\n---\na: b\n", json!("b")),
        ("b: &x [1, 2]\na: *x\n", json!([1, 2])),
        ("b: &x {c: &y d}\na: [*x, *y]\n", json!([{"c": "d"}, "d"])),
    ] {
        let found = value(text, Format::Yaml);
        assert_eq!(found["a"], expected, "{text}");
    }
}

#[test]
fn what_means_two_things_in_yaml_is_refused() {
    for scalar in [
        "yes",
        "Yes",
        "NO",
        "no",
        "on",
        "Off",
        "y",
        "N",
        "0123",
        "-017",
        "0x1F",
        "0o17",
        "0b1",
        "1_000",
        "12:30",
        "1:20:30",
        ".inf",
        "-.INF",
        ".NaN",
        "2026-11-26",
        "00",
    ] {
        for (text, setting, place) in [
            (format!("a:\n  b: {scalar}\n"), "a.b", "f:2:6"),
            (format!("a:\n- {scalar}\n"), "a[0]", "f:2:3"),
        ] {
            let (found, at, said) = refused(&text, Format::Yaml);
            assert_eq!(
                (found.as_str(), at.as_str()),
                (setting, place),
                "{text}: {said}"
            );
            assert!(said.contains("put it into quotes"), "{said}");
        }
        for quoted in [format!("a: '{scalar}'"), format!("a: \"{scalar}\"")] {
            assert_eq!(value(&quoted, Format::Yaml)["a"], json!(scalar));
        }
        // names are texts whatever they look like
        let name = format!("{scalar}: x");
        assert_eq!(value(&name, Format::Yaml)[scalar], json!("x"));
    }
}

#[test]
fn what_is_refused_says_where() {
    let many = format!("a: [{}]", "1,".repeat(MAX_VALUES));
    let deep = format!(
        "a: {}{}",
        "[".repeat(MAX_DEPTH + 1),
        "]".repeat(MAX_DEPTH + 1)
    );
    let deep_toml = format!(
        "a = {}{}",
        "[".repeat(MAX_DEPTH + 1),
        "]".repeat(MAX_DEPTH + 1)
    );
    let long = format!("a: {}", "x".repeat(MAX_CONFIG_BYTES));
    for (format, text, place, says) in [
        (Format::Yaml, "", "f:", "empty"),
        (Format::Yaml, "# nothing\n", "f:", "empty"),
        (Format::Yaml, "---\n", "f:", "empty"),
        (
            Format::Yaml,
            "a: b\n---\nc: d\n",
            "f:2:1",
            "more than one document",
        ),
        (
            Format::Yaml,
            "a: b\na: c\n",
            "f:2:1",
            "configuration: duplicate name `a`",
        ),
        (
            Format::Yaml,
            "x:\n  a: b\n  'a': c\n",
            "f:3:3",
            "x: duplicate name `a`",
        ),
        (Format::Yaml, "a: !!str 5\n", "f:1:", "a: has a tag"),
        (Format::Yaml, "a: !x {b: c}\n", "f:1:", "a: has a tag"),
        (
            Format::Yaml,
            "a: !!binary aHVudGVyMg==\n",
            "f:1:",
            "a: has a tag",
        ),
        (Format::Yaml, "a: [!x b]\n", "f:1:", "a[0]: has a tag"),
        (
            Format::Yaml,
            "a: &x {b: c}\nd:\n  <<: *x\n",
            "f:3:3",
            "d: has a merge key",
        ),
        (
            Format::Yaml,
            "? [a]\n: b\n",
            "f:1:3",
            "a name that is no text",
        ),
        (Format::Yaml, "a: {{NAME}}\n", "f:1:", "no text"),
        (
            Format::Yaml,
            "a: &x [*x]\n",
            "f:1:",
            "alias of something that it stands in",
        ),
        (Format::Yaml, "a: *hunter2\n", "f:1:", "begins with * or &"),
        (Format::Yaml, "a: b\n c: d\n", "f:2:", "not YAML"),
        (Format::Yaml, "a:\n\tb: c\n", "f:2:", "not YAML"),
        (Format::Yaml, "a: [b\n", "f:1:", "not YAML"),
        (Format::Yaml, "a: \"b\n", "f:", "not YAML"),
        (Format::Yaml, "a: 1e999\n", "f:1:4", "a: is no number"),
        (Format::Yaml, &many, "f:1:", "more than 32768 values"),
        (Format::Yaml, &deep, "f:1:", "nested deeper than 32"),
        (Format::Yaml, &long, "f", "longer than 262144 bytes"),
        (Format::Toml, "a = b\n", "f:1:5", "not TOML"),
        (Format::Toml, "a = \"hunter2\nb = 1\n", "f:1:", "not TOML"),
        (
            Format::Toml,
            "a = 1\na = 2\n",
            "f:2:1",
            "not TOML: duplicate key",
        ),
        (
            Format::Toml,
            "[a]\nb = 2026-11-26\n",
            "f:2:5",
            "a.b: is a date or time",
        ),
        (
            Format::Toml,
            "a = [12:30:00]\n",
            "f:1:6",
            "a[0]: is a date or time",
        ),
        (Format::Toml, "a = inf\n", "f:1:5", "a: is no number"),
        (
            Format::Toml,
            "a = 99999999999999999999999\n",
            "f:1:5",
            "a: is a number that is too large",
        ),
        (Format::Toml, &deep_toml, "f:1:", "nested deeper than 32"),
        (Format::Toml, "a: b\n", "f:1:", "not TOML"),
    ] {
        let (_, at, said) = refused(text, format);
        let shown = text.get(..60).unwrap_or(text);
        assert!(
            at == place || place.ends_with(':') && at.starts_with(place),
            "{shown}: {at}"
        );
        assert!(said.contains(says), "{shown}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn aliases_of_aliases_are_counted_before_they_are_written_out() {
    // nine times nine times …: ten lines that stand for a thousand million values
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let inner = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{inner}]\n"));
    }
    let (_, _, said) = refused(&bomb, Format::Yaml);
    assert!(said.contains("values, aliases written out"), "{said}");
    let mut long = format!("a: &a {}\nb:\n", "x".repeat(1000));
    long.push_str(&"  - *a\n".repeat(300));
    let (_, _, said) = refused(&long, Format::Yaml);
    assert!(said.contains("bytes, aliases written out"), "{said}");
    let mut deep = "a0: &a0 [[[[[[[[[x]]]]]]]]]\n".to_owned();
    for n in 1..6 {
        deep.push_str(&format!("a{n}: &a{n} [[[[[*a{}]]]]]\n", n - 1));
    }
    let (_, _, said) = refused(&deep, Format::Yaml);
    assert!(said.contains("nested deeper"), "{said}");
}

#[test]
fn errors_of_the_engine_have_their_place_and_a_hint_of_the_format() {
    let explained = |text: &str, format| {
        let document = read(text, format);
        let error = Config::load(Some(document.json()), &Environment::default()).unwrap_err();
        document.explain(error).to_string()
    };
    for (format, text, parts) in [
        (
            Format::Yaml,
            "identities:\n  app:\n    tenant_id: t\n    client_id: 12345\n",
            [
                "identities.app.client_id: expected a string, not a number (f:4:5)",
                "put it into quotes",
            ],
        ),
        (
            Format::Yaml,
            "identities:\n  app:\n    tenant_id: 1e3\n",
            [
                "identities.app.tenant_id: expected a string, not a number (f:3:5)",
                "put it into quotes",
            ],
        ),
        (
            Format::Yaml,
            "consumers:\n  client_assertions: 'true'\n",
            ["(f:2:3)", "write true or false, without quotes"],
        ),
        (
            Format::Toml,
            "[identities.app]\ntenant_id = \"t\"\nclient_id = 5\n",
            [
                "identities.app.client_id: expected a string, not a number (f:3:1)",
                "put it into quotes",
            ],
        ),
        (
            Format::Json,
            "{\"identities\":\n {\"app\": {\"tenant_id\": \"t\", \"clientId\": \"c\"}}}",
            [
                "identities.app.clientId: unknown field",
                "(f:2:29); did you mean `client_id`?",
            ],
        ),
        (
            Format::Toml,
            "[identities.app]\ntenant_id = \"t\"\n",
            [
                "identities.app.client_id: is not set (f:1:13)",
                "set it, or AZURE_CLIENT_ID",
            ],
        ),
        (
            Format::Toml,
            "[http.rules]\nmatch = { host = \"a\" }\n",
            [
                "http.rules: expected a list, not an object",
                "[[http.rules]]",
            ],
        ),
        (
            Format::Yaml,
            "http:\n  rules:\n    match: {host: a}\n",
            ["http.rules: expected a list, not an object", "`- `"],
        ),
        (
            Format::Json,
            "{\"http\": {\"rules\": {}}}",
            ["http.rules: expected a list, not an object", "[{ … }]"],
        ),
        (
            Format::Toml,
            "[http]\nrules = \"a\"\n",
            ["http.rules: expected a list, not a string", "brackets"],
        ),
        (
            Format::Json,
            "// mine\n{}",
            ["configuration: not JSON: ", "JSON has no comments"],
        ),
        (
            Format::Json,
            "{\n  \"identities\": {}, // mine\n  \"http\": {}}",
            ["configuration: not JSON: ", "JSON has no comments"],
        ),
        (
            Format::Json,
            "{\n  /* mine */ \"identities\": {}}",
            ["configuration: not JSON: ", "JSON has no comments"],
        ),
        (
            Format::Json,
            "{\"identities\": {},}",
            [
                "configuration: not JSON: trailing comma at line 1 column 19 (f:1:19)",
                "mind commas",
            ],
        ),
    ] {
        let said = explained(text, format);
        for part in parts {
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}

#[test]
fn which_format_a_file_has() {
    for (path, format) in [
        ("edgepass.json", Format::Json),
        ("edgepass.yaml", Format::Yaml),
        ("/etc/edgepass.YML", Format::Yaml),
        ("a.yaml.toml", Format::Toml),
        ("edgepass", Format::Json),
        ("/etc/edgepass.yaml/config", Format::Json),
        (".yaml", Format::Json),
        ("-", Format::Json),
    ] {
        assert_eq!(Format::of_path(Path::new(path)), format, "{path}");
    }
    for (text, format) in [
        ("identities:\n  app:\n", Some(Format::Yaml)),
        ("---\nidentities: {}\n", Some(Format::Yaml)),
        ("# a comment\n\ndefault_identity: app\n", Some(Format::Yaml)),
        ("%YAML 1.2\n---\n", Some(Format::Yaml)),
        ("$schema: x\n", Some(Format::Yaml)),
        ("[identities.app]\n", Some(Format::Toml)),
        (
            "# c\n[[identities.\"a.b\".credential]]\n",
            Some(Format::Toml),
        ),
        ("default_identity = \"app\"\n", Some(Format::Toml)),
        ("{\"identities\": {},}", None),
        ("\"identities\": {}", None),
        ("{identities: {}}", None),
        ("[{\"a\": 1}]", None),
        ("[]", None),
        ("identities", None),
        ("https://host/x", None),
        ("", None),
        ("# only a comment", None),
    ] {
        assert_eq!(Format::guess(text), format, "{text}");
    }
}

/// Whether it is found when it is read or when the engine has refused it.
#[test]
fn what_is_no_configuration_is_called_what_it_is() {
    for (format, name, text, setting, words) in [
        (
            Format::Json,
            Some("a.json"),
            "{\"AzureAd\": {}}",
            "a.json",
            "looks like the settings of a .NET program",
        ),
        (
            Format::Yaml,
            Some("a.yaml"),
            "static_resources: [",
            "a.yaml",
            "looks like a configuration of Envoy",
        ),
        (
            Format::Json,
            None,
            "-----BEGIN CERTIFICATE-----\n",
            WHOLE,
            "looks like a PEM file",
        ),
        (
            Format::Json,
            Some("a.json"),
            "identities:\n  app: {}\n",
            "a.json",
            "is YAML by its look",
        ),
        (
            Format::Json,
            Some("EDGEPASS_CONFIG_JSON"),
            "[identities.app]\n",
            "EDGEPASS_CONFIG_JSON",
            "is TOML by its look",
        ),
        // wrong by itself
        (Format::Json, Some("a.json"), "{", WHOLE, "not JSON"),
        (
            Format::Json,
            Some("a.json"),
            "{\"identites\": {}}",
            "identites",
            "unknown field",
        ),
    ] {
        let error = match Document::read(text, format, name) {
            Err(error) => error,
            Ok(document) => {
                let environment = Environment::default();
                let refused = Config::load(Some(document.json()), &environment);
                document.explain(refused.unwrap_err())
            }
        };
        let said = format!("{error:#}");
        assert_eq!(error.setting, setting, "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn nothing_of_a_document_is_printed() {
    for format in [Format::Json, Format::Yaml, Format::Toml] {
        let text = match format {
            Format::Toml => "a = \"hunter2\"",
            _ => "{\"a\": \"hunter2\"}",
        };
        assert!(!format!("{:?}", read(text, format)).contains("hunter2"));
    }
}

/// Whatever stands there, there is an answer, and never a panic.
#[test]
fn damaged_texts_have_an_answer() {
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        ",",
        "\"",
        "'",
        "\n",
        "\n  ",
        "- ",
        "&a ",
        "*a",
        "!x ",
        "#",
        "|",
        ">",
        "%",
        "\\",
        "=",
        ".",
        "0",
        "é",
        "\t",
        "---\n",
        "? ",
        "\u{feff}",
        "\u{1f511}",
        "no",
        "<<: ",
    ];
    let (mut good, mut bad) = (0, 0);
    for (text, format) in [
        (YAML, Format::Yaml),
        (TOML, Format::Toml),
        (JSON, Format::Json),
        (JSON, Format::Yaml),
    ] {
        for _ in 0..1500 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=next(3) {
                let at = next(chars.len());
                let end = (at + next(4)).min(chars.len());
                chars.splice(at..end, PIECES[next(PIECES.len())].chars());
            }
            let damaged: String = chars.into_iter().collect();
            match Document::read(&damaged, format, None) {
                Ok(document) => {
                    good += 1;
                    document.place("identities.app.prod.credential[1].client_secret.file");
                    if format != Format::Json {
                        let json = document.json();
                        assert!(
                            serde_json::from_str::<Value>(json).is_ok(),
                            "{damaged}\n{json}"
                        );
                    }
                }
                Err(_) => bad += 1,
            }
        }
    }
    assert!(good > 500 && bad > 500, "{good} {bad}");
}
