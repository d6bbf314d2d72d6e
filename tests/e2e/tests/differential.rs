//! Acceptance: the same credential, the same emulator, and the real SDKs beside edgepass. What each puts on the wire is
//! taken apart and compared field by field. A difference is either written down here with its reason, or the test fails;
//! one that is written down and is gone fails it as well.
//!
//! Another kind of credential is a row of [`ROWS`], another SDK one of [`SDKS`].

#[path = "differential/environments.rs"]
mod environments;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use edgepass::TokenRequest;
use edgepass_e2e::{Command, GRAPH, Lab, peers_node, peers_python, peers_rust, peers_script};
use edgepass_emulator::JournalEntry;
use serde_json::{Map, Value, json};

/// One credential, as each configures it.
struct Row {
    name: &'static str,
    /// The kind's object of edgepass.
    credential: fn() -> Value,
    /// Its entry of `certificates`.
    certificate: fn(&Material) -> Value,
    /// What the scripts of the SDKs are told.
    arguments: fn(&Material) -> Vec<String>,
    /// The SDKs that have the like.
    sdks: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        name: "certificate, PEM",
        credential: || json!({ "certificate": { "name": "c" } }),
        certificate: |material| json!({ "certificate_file": material.pem }),
        arguments: |material| vec![shown(&material.pem)],
        sdks: &["azure-identity", "msal", "@azure/identity"],
    },
    Row {
        name: "certificate, PEM, with its chain",
        credential: || json!({ "certificate": { "name": "c", "send_x5c": true } }),
        certificate: |material| json!({ "certificate_file": material.pem }),
        arguments: |material| vec![shown(&material.pem), "--chain".into()],
        sdks: &["azure-identity", "msal", "@azure/identity"],
    },
    Row {
        name: "certificate, PKCS#12",
        credential: || json!({ "certificate": { "name": "c" } }),
        certificate: |material| json!({ "certificate_file": material.store, "password_file": material.password }),
        arguments: |material| vec![shown(&material.store), "--password".into(), PASSWORD.into()],
        sdks: &["azure-identity", "msal", "azure_identity"],
    },
    Row {
        name: "certificate, PKCS#12, with its chain",
        credential: || json!({ "certificate": { "name": "c", "send_x5c": true } }),
        certificate: |material| json!({ "certificate_file": material.store, "password_file": material.password }),
        arguments: |material| {
            let store = shown(&material.store);
            vec![
                store,
                "--chain".into(),
                "--password".into(),
                PASSWORD.into(),
            ]
        },
        // azure_identity for Rust puts base64 of PEM into `x5c` where RFC 7515 section 4.1.6 has DER, and gets no token
        sdks: &["azure-identity", "msal"],
    },
];

/// An SDK, how its script is run, and in what it is known to differ.
struct Sdk {
    name: &'static str,
    command: fn(&Lab) -> Result<Command<'_>>,
    /// By row (all of them if empty), what is different, and why that is right.
    differences: &'static [(&'static [&'static str], &'static str, &'static str)],
}

const PEM_ROWS: &[&str] = &["certificate, PEM", "certificate, PEM, with its chain"];
const STORE_ROWS: &[&str] = &[
    "certificate, PKCS#12",
    "certificate, PKCS#12, with its chain",
];
const EVERY_ROW: &[&str] = &[];

const FRACTIONS: &str =
    "claim exp: 10 minutes later, with a fraction in the place of 10 minutes later";
const NO_BEGINNING: &str = "claim nbf: none in the place of a number";
const RS256: &str = "header alg: \"RS256\" in the place of \"PS256\"";
const NO_SHA256: &str = "header x5t#S256: none in the place of a thumbprint of 32 bytes, base64url";
const PADDED_SHA1: &str =
    "header x5t: a thumbprint of 20 bytes, base64url with padding in the place of none";

const PYTHON_CLOCK: &str =
    "Python's clock has fractions, and a NumericDate may (RFC 7519 section 2)";
const OPTIONAL: &str =
    "optional in RFC 7523 section 3; Microsoft's page of certificate credentials names it";
const OLDER_FORM: &str =
    "the form before PS256, which Entra ID takes as well and Microsoft's page no longer names";
const PADDING: &str = "RFC 7515 section 2 says without padding; Entra ID takes both";

const SDKS: &[Sdk] = &[
    Sdk {
        name: "azure-identity",
        command: |lab| {
            let script = shown(&peers_script("certificate_token.py")?);
            Ok(Command::other(lab, &peers_python()?)
                .arg(script)
                .arg("azure-identity")
                .arg(GRAPH))
        },
        differences: &[
            (EVERY_ROW, FRACTIONS, PYTHON_CLOCK),
            (EVERY_ROW, NO_BEGINNING, OPTIONAL),
            (EVERY_ROW, RS256, OLDER_FORM),
            (EVERY_ROW, NO_SHA256, OLDER_FORM),
            (EVERY_ROW, PADDED_SHA1, PADDING),
        ],
    },
    Sdk {
        name: "msal",
        command: |lab| {
            let script = shown(&peers_script("certificate_token.py")?);
            Ok(Command::other(lab, &peers_python()?)
                .arg(script)
                .arg("msal")
                .arg(GRAPH))
        },
        differences: &[
            (EVERY_ROW, FRACTIONS, PYTHON_CLOCK),
            (EVERY_ROW, NO_BEGINNING, OPTIONAL),
            // it is told the SHA-1 thumbprint of a PEM file, as its documentation does, and looks into PKCS#12 itself
            (PEM_ROWS, RS256, OLDER_FORM),
            (PEM_ROWS, NO_SHA256, OLDER_FORM),
            (PEM_ROWS, PADDED_SHA1, PADDING),
            (
                STORE_ROWS,
                "header x5t#S256: a thumbprint of 32 bytes, base64url with padding in the place of a thumbprint of 32 bytes, base64url",
                PADDING,
            ),
            (
                &["certificate, PEM, with its chain"],
                "header x5c: 2 certificates, with line breaks inside in the place of 2 certificates",
                "RFC 7515 section 4.1.6 says base64; Entra ID overlooks the line breaks of PEM",
            ),
            (
                &["certificate, PKCS#12, with its chain"],
                "header x5c: 1 certificates, with line breaks inside in the place of 2 certificates",
                "of a PKCS#12 file it sends the leaf alone, and the line breaks of PEM",
            ),
        ],
    },
    Sdk {
        name: "@azure/identity",
        command: |lab| {
            let script = shown(&peers_script("certificate_token.mjs")?);
            Ok(Command::other(lab, Path::new("node"))
                .arg(script)
                .arg(shown(&peers_node()?))
                .arg(GRAPH))
        },
        // not one
        differences: &[],
    },
    Sdk {
        name: "azure_identity",
        command: |lab| Ok(Command::other(lab, &peers_rust()?).arg(GRAPH)),
        differences: &[
            (EVERY_ROW, RS256, OLDER_FORM),
            (EVERY_ROW, NO_SHA256, OLDER_FORM),
            (EVERY_ROW, PADDED_SHA1, PADDING),
            (
                EVERY_ROW,
                "claim iat: none in the place of a number",
                OPTIONAL,
            ),
            (
                EVERY_ROW,
                "claim exp: 5 minutes later in the place of 10 minutes later",
                "Microsoft's page advises 5 to 10 minutes",
            ),
        ],
    },
];

/// Of the files in `host/tests/pkcs12`, which `make.sh` there has made.
const PASSWORD: &str = "correct horse";

/// What says who asks and not what for.
const TELEMETRY: &[&str] = &[
    "x-client-SKU",
    "x-client-VER",
    "x-client-Ver",
    "x-client-OS",
    "x-client-os",
    "x-client-sku",
    "x-client-ver",
    "x-client-CPU",
    "x-client-cpu",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
    "x-ms-lib-capability",
    "client-request-id",
    "client_info",
    "return-client-request-id",
    "return-client-info",
];

/// One certificate in the forms that the rows name.
struct Material {
    pem: PathBuf,
    store: PathBuf,
    password: PathBuf,
}

impl Material {
    fn new(lab: &Lab) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/tests/pkcs12");
        let read = |name: &str| {
            std::fs::read_to_string(folder.join(name)).with_context(|| format!("no {name}"))
        };
        let (chain, key) = (read("chain.pem")?, read("plain.key")?);
        let mut pair = lab.emulator.client_certificate().clone();
        pair.certificate_pem.clone_from(&chain);
        lab.emulator
            .set_certificate(lab.emulator.client_id(), &pair)?;
        Ok(Self {
            pem: lab.write("both.pem", format!("{key}{chain}"))?,
            store: folder.join("openssl-3.p12"),
            password: lab.write("password", PASSWORD)?,
        })
    }
}

#[tokio::test]
async fn the_sdks_send_the_same_but_for_what_is_written_here() -> Result<()> {
    let lab = Lab::new("differential")?;
    let material = Material::new(&lab)?;
    let mut wrong = Vec::new();
    for row in ROWS {
        let ours = ours(&lab, row, &material).await?;
        for sdk in SDKS.iter().filter(|sdk| row.sdks.contains(&sdk.name)) {
            let theirs = theirs(&lab, row, sdk, &material)?;
            let found = differences(&ours, &theirs);
            let known: BTreeSet<String> = sdk
                .differences
                .iter()
                .filter(|(rows, ..)| rows.is_empty() || rows.contains(&row.name))
                .map(|(_, difference, _)| (*difference).to_owned())
                .collect();
            for difference in found.symmetric_difference(&known) {
                let is_new = if known.contains(difference) {
                    "gone"
                } else {
                    "new"
                };
                wrong.push(format!(
                    "{}, {}: {is_new}: {difference}",
                    sdk.name, row.name
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn ours(lab: &Lab, row: &Row, material: &Material) -> Result<BTreeMap<String, String>> {
    let certificates = json!({ "c": (row.certificate)(material) });
    let mut config = lab.config_with(&(row.credential)(), certificates);
    // the SDKs are told this name of it
    if let Some(host) = config.pointer_mut("/identities/app/authority_host") {
        *host = json!(lab.emulator.authority());
    }
    lab.emulator.clear_journal();
    let provider = lab.configured(&config).build().await?;
    let token = provider.get_token(&TokenRequest::for_scopes([GRAPH])).await;
    lab.issued(&token.with_context(|| row.name)?);
    let request = sent(lab)?;
    ensure!(
        request.nonconforming.is_empty(),
        "ours: {:?}",
        request.nonconforming
    );
    taken_apart(&request)
}

fn theirs(
    lab: &Lab,
    row: &Row,
    sdk: &Sdk,
    material: &Material,
) -> Result<BTreeMap<String, String>> {
    lab.emulator.clear_journal();
    let mut command = (sdk.command)(lab)?;
    for argument in (row.arguments)(material) {
        command = command.arg(argument);
    }
    let ran = command.run()?;
    ensure!(
        ran.code == Some(0),
        "{}, {}: {}",
        sdk.name,
        row.name,
        ran.stderr
    );
    taken_apart(&sent(lab)?)
}

/// The one token request, which was granted.
fn sent(lab: &Lab) -> Result<JournalEntry> {
    let requests = lab.emulator.token_requests();
    let [request] = requests.as_slice() else {
        anyhow::bail!("{} requests", requests.len());
    };
    ensure!(request.status == Some(200), "refused: {:?}", request.aadsts);
    Ok(request.clone())
}

/// What of a request is the credential's, in words: form, header and claims of the assertion.
fn taken_apart(request: &JournalEntry) -> Result<BTreeMap<String, String>> {
    let mut parts = BTreeMap::new();
    parts.insert("path".to_owned(), request.path.clone());
    for (name, value) in request.form() {
        if name == "client_assertion" {
            let mut jws = value.split('.');
            let header = object(jws.next())?;
            let claims = object(jws.next())?;
            for (name, value) in &header {
                parts.insert(format!("header {name}"), of_header(name, value)?);
            }
            let begin = ["iat", "nbf"].iter().find_map(|name| number(&claims, name));
            let is_whole = claims.get("exp").is_some_and(|exp| exp.is_i64());
            for (name, value) in &claims {
                let value = match (name.as_str(), begin, number(&claims, "exp")) {
                    ("exp", Some(begin), Some(end)) => {
                        let fraction = if is_whole { "" } else { ", with a fraction" };
                        format!("{:.0} minutes later{fraction}", (end - begin) / 60.0)
                    }
                    ("iat" | "nbf", ..) if value.is_number() => "a number".to_owned(),
                    ("iat" | "nbf", ..) => "no number".to_owned(),
                    ("jti", ..) => "new".to_owned(),
                    _ => value.to_string(),
                };
                parts.insert(format!("claim {name}"), value);
            }
        } else if !TELEMETRY.contains(&name.as_str()) {
            parts.insert(format!("form {name}"), value);
        }
    }
    Ok(parts)
}

/// A header parameter: thumbprints and certificates by what they mean and how they are written.
fn of_header(name: &str, value: &Value) -> Result<String> {
    Ok(match (name, value) {
        ("x5t" | "x5t#S256", Value::String(text)) => {
            let form = match (URL_SAFE_NO_PAD.decode(text), URL_SAFE.decode(text)) {
                (Ok(bytes), _) => format!("{} bytes, base64url", bytes.len()),
                (_, Ok(bytes)) => format!("{} bytes, base64url with padding", bytes.len()),
                _ => format!("{} bytes, base64", STANDARD.decode(text)?.len()),
            };
            format!("a thumbprint of {form}")
        }
        ("x5c", Value::Array(chain)) => {
            let texts: Vec<&str> = chain.iter().filter_map(Value::as_str).collect();
            let has_breaks = texts.iter().any(|text| text.contains('\n'));
            let breaks = if has_breaks {
                ", with line breaks inside"
            } else {
                ""
            };
            format!("{} certificates{breaks}", texts.len())
        }
        ("x5c", Value::String(_)) => "one text".to_owned(),
        _ => value.to_string(),
    })
}

fn number(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    claims.get(name)?.as_f64()
}

fn object(part: Option<&str>) -> Result<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(
        part.context("a part of the assertion")?
            .trim_end_matches('='),
    )?;
    match serde_json::from_slice(&bytes)? {
        Value::Object(object) => Ok(object),
        other => anyhow::bail!("{other} is no object"),
    }
}

fn differences(
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let of = |side: &BTreeMap<String, String>, name| {
        side.get(name)
            .map_or_else(|| "none".to_owned(), Clone::clone)
    };
    names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| {
            format!(
                "{name}: {} in the place of {}",
                of(theirs, name),
                of(ours, name)
            )
        })
        .collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
