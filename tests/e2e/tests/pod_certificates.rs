//! Acceptance: certificates as Kubernetes delivers them to pods (`podCertificate` of a projected volume, generally
//! available in 1.37; the folder of SPIFFE's draft for delivery by files). The kubelet swaps the whole volume by one
//! link, and removes what was in it before.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Provider, Refresh, TokenRequest};
use edgepass_e2e::jwt::thumbprint;
use edgepass_e2e::{GRAPH, Lab, until};
use edgepass_emulator::{CertificateOptions, ClientCertificate};
use serde_json::{Value, json};

/// How often the volume is swapped, so that swaps meet exchanges in every phase. No assertion depends on it.
const SWAP_INTERVAL: Duration = Duration::from_millis(200);

/// Swaps in all.
const SWAPS: usize = 25;

/// Certificates that take turns: making a key takes longer than the interval.
const GENERATIONS: usize = 4;

/// Resources of the emulator: requests for different ones do not share an exchange.
const SCOPES: [&str; 4] = [
    GRAPH,
    "https://vault.azure.net/.default",
    "https://storage.azure.com/.default",
    "https://management.azure.com/.default",
];

/// One of the ways in which the volume is laid out.
struct Layout {
    name: &'static str,
    /// The files of a generation.
    files: fn(&ClientCertificate) -> Vec<(&'static str, String)>,
    /// How a configuration names them.
    configured: fn(&Path) -> Value,
}

const LAYOUTS: [Layout; 3] = [
    Layout {
        name: "credential bundle",
        files: |pair| vec![("credentialbundle.pem", bundle(pair))],
        configured: |volume| json!({ "certificate_file": volume.join("credentialbundle.pem") }),
    },
    Layout {
        name: "SPIFFE folder",
        files: |pair| {
            vec![
                ("credential-bundle.private-key.pem", bundle(pair)),
                (
                    "example.org.spiffe-trust-bundle.pem",
                    pair.certificate_pem.clone(),
                ),
            ]
        },
        configured: |volume| json!({ "certificate_file": volume.join("credential-bundle.private-key.pem") }),
    },
    Layout {
        name: "two files",
        files: |pair| {
            vec![
                ("tls.crt", pair.certificate_pem.clone()),
                ("tls.key", pair.private_key_pem.clone()),
            ]
        },
        configured: |volume| {
            json!({
                "certificate_file": volume.join("tls.crt"),
                "private_key_file": volume.join("tls.key"),
            })
        },
    },
];

/// The key first, and the chain after it.
fn bundle(pair: &ClientCertificate) -> String {
    format!("{}{}", pair.private_key_pem, pair.certificate_pem)
}

/// A volume as the kubelet keeps it.
struct Volume {
    folder: PathBuf,
    written: usize,
}

impl Volume {
    fn swap(&mut self, files: &[(&str, String)]) -> Result<()> {
        self.written += 1;
        let generation = format!("..generation_{}", self.written);
        let inside = self.folder.join(&generation);
        fs::create_dir_all(&inside)?;
        for (name, content) in files {
            fs::write(inside.join(name), content)?;
            let visible = self.folder.join(name);
            if fs::symlink_metadata(&visible).is_err() {
                symlink(Path::new("..data").join(name), visible)?;
            }
        }
        let (data, staged) = (self.folder.join("..data"), self.folder.join("..data_tmp"));
        let before = fs::read_link(&data).ok();
        symlink(&generation, &staged)?;
        fs::rename(&staged, &data)?;
        if let Some(before) = before {
            fs::remove_dir_all(self.folder.join(before))?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_certificates_rotate_under_load_in_every_layout() -> Result<()> {
    for (index, layout) in LAYOUTS.iter().enumerate() {
        for is_bound in [false, true] {
            let lab = Lab::new(&format!("pod_certificates_{index}_{is_bound}"))?;
            rotate(&lab, layout, is_bound)
                .await
                .with_context(|| format!("{}, bound: {is_bound}", layout.name))?;
        }
    }
    Ok(())
}

async fn rotate(lab: &Lab, layout: &Layout, is_bound: bool) -> Result<()> {
    let options = CertificateOptions {
        issued_by_ca: true,
        ..CertificateOptions::default()
    };
    let mut pairs = Vec::new();
    for generation in 0..GENERATIONS {
        let name = format!("generation {generation}");
        let pair = lab.emulator.create_client_certificate(&name, &options)?;
        lab.emulator
            .add_certificate(lab.emulator.client_id(), &pair)?;
        pairs.push(pair);
    }
    let mut volume = Volume {
        folder: lab.scratch().join("volume"),
        written: 0,
    };
    let first = pairs.first().context("a pair")?;
    volume.swap(&(layout.files)(first))?;
    let credential = json!({ "certificate": {
        "name": "pod", "use_bound_credential": is_bound, "send_x5c": false,
    } });
    let certificates = json!({ "pod": (layout.configured)(&volume.folder) });
    let config = lab.config_with(&credential, certificates);
    let provider = lab.configured(&config).build().await?;

    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = SCOPES
        .iter()
        .map(|scope| {
            let (provider, stop, calls) = (provider.clone(), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(&provider, scope).await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let mut ticks = tokio::time::interval(SWAP_INTERVAL);
    for pair in pairs.iter().cycle().skip(1).take(SWAPS) {
        ticks.tick().await;
        volume.swap(&(layout.files)(pair))?;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }

    let known: BTreeSet<&str> = pairs.iter().map(|pair| pair.thumbprint.as_str()).collect();
    let requests = lab.emulator.token_requests();
    let mut used = BTreeSet::new();
    for request in &requests {
        ensure!(
            request.status == Some(200),
            "refused with {:?}",
            request.aadsts
        );
        let assertion = request.field("client_assertion").context("an assertion")?;
        let signed_by = thumbprint(&assertion)?;
        ensure!(
            known.contains(signed_by.as_str()),
            "a key that nobody delivered"
        );
        let connection = request.client_certificate.as_deref();
        ensure!(
            connection == is_bound.then_some(signed_by.as_str()),
            "signed by {signed_by} on {connection:?}"
        );
        used.insert(signed_by);
    }
    ensure!(
        used.len() > 1,
        "no rotation was seen in {} requests",
        requests.len()
    );
    lab.evidence.saw(
        "load",
        &format!(
            "{}: {} calls, {} requests, {SWAPS} swaps, {} certificates",
            layout.name,
            calls.load(Ordering::Relaxed),
            requests.len(),
            used.len()
        ),
    );

    // one more exchange with what is there now: the connections of all others end
    ask(&provider, GRAPH).await?;
    let last = lab.emulator.token_requests().pop().context("a request")?;
    let now = pairs
        .iter()
        .cycle()
        .nth(SWAPS)
        .context("the last of them")?;
    let signed_by = thumbprint(&last.field("client_assertion").context("an assertion")?)?;
    assert_eq!(signed_by, now.thumbprint);
    until("the old connections are gone", || {
        let mut open = lab.emulator.open_connections();
        open.retain(|thumbprint| *thumbprint != now.thumbprint);
        open.is_empty().then_some(())
    })
    .await?;
    assert_eq!(provider.stats().restarts, 0);
    Ok(())
}

async fn ask(provider: &Provider, scope: &str) -> Result<()> {
    let request = TokenRequest {
        refresh: Refresh::Force,
        ..TokenRequest::for_scopes([scope])
    };
    provider.get_token(&request).await?;
    Ok(())
}
