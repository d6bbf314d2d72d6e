//! What an exchange costs with each kind of credential, beside the Azure SDK for Python where that has the kind. What a kind
//! adds to the exchange is the reading, the signature or the question to a platform that it takes.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::emulator::{Emulator, without_identity};
use crate::measure::Effort;
use crate::peers::{Peer, Programs, Who};
use crate::stats::Samples;

/// A kind: what it is called here, its credential, whether its endpoint is the mTLS one, and what the SDK is told.
struct Kind {
    name: &'static str,
    credential: Value,
    sdk: Option<(&'static str, String)>,
}

fn kinds(emulator: &Emulator) -> Result<Vec<Kind>> {
    let secret = emulator.said("secret_file")?;
    let token = emulator.said("token_file")?;
    let pair = emulator.certificate_and_key()?;
    let certificate = |more: Value| {
        let mut object = json!({ "name": "demo" });
        if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
            object.extend(more);
        }
        object
    };
    Ok(vec![
        Kind {
            name: "`client_secret`",
            credential: json!({ "client_secret": { "file": secret } }),
            sdk: Some(("secret", secret.clone())),
        },
        Kind {
            name: "`federated_token_file`",
            credential: json!({ "federated_token_file": { "path": token } }),
            sdk: Some(("federated", String::new())),
        },
        Kind {
            name: "`certificate`, PS256",
            credential: json!({ "certificate": certificate(json!({})) }),
            sdk: Some(("certificate", pair)),
        },
        Kind {
            name: "`certificate`, RS256",
            credential: json!({ "certificate": certificate(json!({ "algorithm": "RS256" })) }),
            sdk: None,
        },
        Kind {
            name: "`certificate`, PS256, with the chain",
            credential: json!({ "certificate": certificate(json!({ "send_x5c": true })) }),
            sdk: None,
        },
        Kind {
            name: "`bound_certificate`, with-assertion",
            credential: json!({ "bound_certificate": certificate(json!({})) }),
            sdk: None,
        },
        Kind {
            name: "`bound_certificate`, certificate-only",
            credential: json!({ "bound_certificate": certificate(json!({ "mode": "certificate-only" })) }),
            sdk: None,
        },
        Kind {
            name: "`managed_identity` (no exchange)",
            credential: json!({ "managed_identity": {} }),
            sdk: Some(("managed_identity", String::new())),
        },
        Kind {
            name: "`managed_identity_assertion`",
            credential: json!({ "managed_identity_assertion": {} }),
            sdk: None,
        },
        Kind {
            name: "a list whose first is not here",
            credential: json!([
                { "federated_token_file": { "path": "/nowhere/token" } },
                { "client_secret": { "file": secret } },
            ]),
            sdk: None,
        },
    ])
}

/// The table, measured in turns.
pub(crate) fn table(programs: &Programs, emulator: &Emulator, effort: Effort) -> Result<String> {
    let mut rows = Vec::new();
    for kind in kinds(emulator)? {
        let own = peer(programs, emulator, &kind)?;
        let sdk = match &kind.sdk {
            Some((name, file)) => Some(sdk(programs, emulator, name, file)?),
            None => None,
        };
        rows.push((kind.name, own, sdk, Samples::default(), Samples::default()));
    }
    let question = format!("exchange {}", effort.exchanges);
    for round in 0..effort.rounds {
        for (_, own, sdk, own_times, sdk_times) in &mut rows {
            own_times.add(round, own.times(&question)?);
            if let Some(sdk) = sdk {
                sdk_times.add(round, sdk.times(&question)?);
            }
        }
    }
    let mut out =
        String::from("| kind | edgepass, library | azure-identity (Python) |\n|---|---|---|\n");
    for (name, _, _, own, sdk) in &rows {
        let shown = |sample: &Samples| {
            let median = sample.median();
            median.map_or_else(|| "–".to_owned(), |ns| format!("{:.2} ms", ns / 1e6))
        };
        writeln!(out, "| {name} | {} | {} |", shown(own), shown(sdk))?;
    }
    Ok(out)
}

fn peer(programs: &Programs, emulator: &Emulator, kind: &Kind) -> Result<Peer> {
    let port = |field| -> Result<String> {
        let url = emulator.said(field)?;
        Ok(url.trim_start_matches("https://").to_owned())
    };
    let mut identity = json!({ "credential": kind.credential });
    if !kind.name.starts_with("`managed_identity`") {
        identity = json!({
            "tenant_id": emulator.said("tenant")?,
            "client_id": emulator.said("client_id")?,
            "authority_host": emulator.said("login_authority")?,
            "credential": kind.credential,
        });
    }
    let config = json!({
        "identities": { "app": identity },
        "authority_hosts": [port("login_authority")?, port("mtls_authority")?],
        "certificates": { "demo": {
            "certificate_file": emulator.said("certificate_file")?,
            "private_key_file": emulator.said("private_key_file")?,
        } },
    });
    let name: String = kind
        .name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let file = Path::new(&emulator.said("dir")?).join(format!("{name}.json"));
    std::fs::write(&file, config.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = programs.command(Who::Edgepass, emulator);
    without_identity(&mut command).env("EDGEPASS_CONFIG", &file);
    Peer::of(Who::Edgepass, command)
}

fn sdk(programs: &Programs, emulator: &Emulator, kind: &str, file: &str) -> Result<Peer> {
    let mut command = programs.command(Who::Python, emulator);
    command
        .env("EDGEPASS_BENCH_KIND", kind)
        .env("EDGEPASS_BENCH_FILE", file);
    Peer::of(Who::Python, command)
}
