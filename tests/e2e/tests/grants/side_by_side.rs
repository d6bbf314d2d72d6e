//! The requests of MSAL for Python, MSAL for Node and python-social-auth beside ours, field by field. A difference is either
//! written down here with its reason, or the test fails; one that is written down and is gone fails it as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use edgepass::{Grant, Secret};
use edgepass_e2e::{Command, peers_node, peers_python, peers_script};
use edgepass_emulator::{JournalEntry, Mint};
use serde_json::{Value, json};

use crate::{READ, REDIRECT, VERIFIER, World, asking, on_behalf_of};

/// What says who asks and not what for.
const TELEMETRY: &[&str] = &[
    "x-client-SKU",
    "x-client-VER",
    "x-client-OS",
    "x-client-CPU",
    "x-client-current-telemetry",
    "x-client-last-telemetry",
    "x-ms-lib-capability",
    "client-request-id",
    "client_info",
];

/// What differs from one request to the next.
const NEW_EACH_TIME: &[&str] = &["code"];

const GRANTS: [&str; 3] = ["on-behalf-of", "authorization-code", "refresh-token"];

/// Who, which grant (all of them if empty), what is different, and why that is right.
const DIFFERENCES: &[(&str, &[&str], &str, &str)] = &[(
    "@azure/msal-node",
    &["authorization-code", "refresh-token"],
    "claims: {\"id_token\":{\"signin_state\":{\"essential\":false},\"login_hint\":{\"essential\":false},\"tenant_region_sub_scope\":{\"essential\":false}}} in the place of none",
    "it asks for claims that its cache of accounts has a use for; none of them is essential",
)];

#[tokio::test]
async fn msal_sends_the_same_but_for_what_is_written_here() -> Result<()> {
    let world = World::new("grants_msal")?;
    let config = world.lab.config(&world.secret());
    let provider = world.provider(&config).await?;
    let (user_token, refresh_token) = (
        world.user_token(&Mint::new())?,
        world.refresh_token(&provider).await?,
    );
    let mut wrong = Vec::new();
    let assertion = world.emulator().issuer().token()?;
    for (credential, member, value) in [
        (world.secret(), "secret", world.emulator().client_secret()),
        (
            json!({ "federated_token_file": { "path": world.lab.write("assertion", &assertion)? } }),
            "assertion",
            &assertion,
        ),
    ] {
        let config = world.lab.config(&credential);
        let provider = world.provider(&config).await?;
        let mut ours = Vec::new();
        for grant in GRANTS {
            world.emulator().clear_journal();
            let grant = match grant {
                "on-behalf-of" => on_behalf_of(user_token.clone()),
                "refresh-token" => Grant::RefreshToken(refresh_token.clone()),
                _ => World::redemption(
                    world
                        .code(&format!("openid profile offline_access {READ}"))
                        .await?,
                ),
            };
            let scopes = [READ, "offline_access", "openid", "profile"];
            let token = provider.get_token(&asking(&scopes, grant)).await?;
            world.lab.issued(&token);
            ours.push(one(&world.emulator().token_requests())?);
        }
        for sdk in ["msal", "@azure/msal-node"] {
            let jobs = jobs(&world, member, value, &user_token, &refresh_token).await?;
            let theirs = theirs(&world, sdk, &jobs)?;
            for ((grant, ours), theirs) in GRANTS.iter().zip(&ours).zip(&theirs) {
                let found = differences(ours, theirs);
                let known: BTreeSet<String> = DIFFERENCES
                    .iter()
                    .filter(|(who, grants, ..)| {
                        *who == sdk && (grants.is_empty() || grants.contains(grant))
                    })
                    .map(|(_, _, what, _)| (*what).to_owned())
                    .collect();
                for what in found.symmetric_difference(&known) {
                    let is_new = if known.contains(what) { "gone" } else { "new" };
                    wrong.push(format!("{sdk}, {grant}, by {member}: {is_new}: {what}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The same three grants for a script.
async fn jobs(
    world: &World,
    member: &str,
    value: &str,
    user_token: &Secret,
    refresh_token: &Secret,
) -> Result<Value> {
    let mut jobs = Vec::new();
    for grant in GRANTS {
        let scope = format!("openid profile offline_access {READ}");
        // the scripts know of none
        let code = world.code_with(&scope, None).await?;
        jobs.push(json!({
            "grant": grant,
            "authority": format!("{}/{}", world.emulator().authority(), world.emulator().tenant()),
            "client_id": world.emulator().client_id(),
            member: value,
            "scopes": [READ],
            "user_token": user_token.expose(),
            "refresh_token": refresh_token.expose(),
            "code": code.expose(),
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        }));
    }
    Ok(Value::Array(jobs))
}

/// What an SDK sends for them.
fn theirs(world: &World, sdk: &str, jobs: &Value) -> Result<Vec<BTreeMap<String, String>>> {
    let jobs = world.lab.write("jobs.json", jobs.to_string())?;
    world.emulator().clear_journal();
    let script = |name: &str| Ok::<_, anyhow::Error>(peers_script(name)?.display().to_string());
    let command = if sdk == "msal" {
        Command::other(&world.lab, &peers_python()?).arg(script("msal_grants.py")?)
    } else {
        Command::other(&world.lab, Path::new("node"))
            .arg(script("msal_grants.mjs")?)
            .arg(peers_node()?.display().to_string())
    };
    let ran = command.arg(jobs.display().to_string()).run()?;
    ensure!(ran.code == Some(0), "{sdk}: {}", ran.stderr);
    let answers: Vec<Value> = serde_json::from_str(&ran.stdout)?;
    ensure!(
        answers.len() == GRANTS.len() && answers.iter().all(|answer| answer["sha256"].is_string()),
        "{sdk}: {answers:?}"
    );
    let requests = world.emulator().token_requests();
    ensure!(requests.len() == GRANTS.len(), "{sdk}: {}", requests.len());
    Ok(requests.iter().map(taken_apart).collect())
}

/// The one request, which was granted.
fn one(requests: &[JournalEntry]) -> Result<BTreeMap<String, String>> {
    let [request] = requests else {
        anyhow::bail!("{} requests", requests.len());
    };
    ensure!(request.status == Some(200), "{:?}", request.aadsts);
    Ok(taken_apart(request))
}

/// What a request asks for. The order of scopes means nothing (RFC 6749 section 3.3).
fn taken_apart(request: &JournalEntry) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    parts.insert("path".to_owned(), request.path.clone());
    for (name, value) in request.form() {
        if TELEMETRY.contains(&name.as_str()) {
            continue;
        }
        let value = match name.as_str() {
            "scope" => {
                let mut scopes: Vec<&str> = value.split(' ').collect();
                scopes.sort_unstable();
                scopes.join(" ")
            }
            name if NEW_EACH_TIME.contains(&name) => "new".to_owned(),
            _ => value,
        };
        parts.insert(name, value);
    }
    parts
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
    let differ = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name));
    differ
        .map(|name| {
            format!(
                "{name}: {} in the place of {}",
                of(theirs, name),
                of(ours, name)
            )
        })
        .collect()
}

#[test]
fn a_difference_is_found_on_both_sides() {
    let one: BTreeMap<String, String> = [("a".to_owned(), "1".to_owned())].into();
    let other: BTreeMap<String, String> = [("b".to_owned(), "1".to_owned())].into();
    assert_eq!(differences(&one, &other).len(), 2);
    assert!(differences(&one, &one).is_empty());
}
