//! Requests that wait for their turn, and clients that do not.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::Lab;

use super::late::{Client, Upstream, VERSIONS};
use super::service::serve;
use crate::Serving;

/// Who waits in vain is told so, and the log says for what: the bound that there is to raise.
#[test]
fn who_waits_in_vain_is_told_and_the_log_says_for_what() -> Result<()> {
    for (bound, version) in [
        ("--max-requests", "0-2"),
        ("--max-requests", "0-3"),
        ("--max-instances", "0-2"),
    ] {
        let lab = Lab::new(&format!("serve-in-vain-{version}"))?;
        let upstream = Upstream::start()?;
        let options = [bound, "1", "--request-timeout", "2"];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::piped())?;
        let mut child = Serving(child);
        let first = Client::ask(&address, &upstream.url)?;
        let mut going_on = upstream.asked()?;
        going_on.begin(1000)?;
        let is_told = AtomicBool::new(false);
        let (status, ..) = std::thread::scope(|scope| {
            scope.spawn(|| {
                // in the middle of its answer as long as the other one waits
                while !is_told.load(Ordering::Relaxed) && going_on.write("x").is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
            let second = Client::ask(&address, &upstream.url)?.answer();
            is_told.store(true, Ordering::Relaxed);
            second
        })?;
        ensure!(status == 503, "{bound}, {version}: {status}");
        drop(first);
        child.0.kill()?;
        let said = child.0.stderr.take().context("no log")?;
        let said = std::io::read_to_string(said)?;
        ensure!(
            said.contains(bound) && said.contains("--request-timeout"),
            "{bound}, {version}: {said}"
        );
    }
    Ok(())
}

/// A client that ends its side of the connection gives its request up, with its place.
#[test]
fn a_client_that_ends_its_side_gives_its_request_up() -> Result<()> {
    for version in VERSIONS {
        let lab = Lab::new(&format!("serve-half-closed-{version}"))?;
        let upstream = Upstream::start()?;
        let options = [
            "--max-requests",
            "1",
            "--max-instances",
            "2",
            "--request-timeout",
            "600",
        ];
        let (child, address) = serve(&lab, upstream.port, version, &options, Stdio::inherit())?;
        let _serving = Serving(child);
        let mut gone = TcpStream::connect(&address)?;
        let url = &upstream.url;
        write!(gone, "GET /?{url} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
        let _silent = upstream.asked()?;
        gone.shutdown(Shutdown::Write)?;
        let mut got = Vec::new();
        gone.read_to_end(&mut got)?;
        ensure!(
            got.is_empty(),
            "{version}: {}",
            String::from_utf8_lossy(&got)
        );
        let next = Client::ask(&address, &upstream.url)?;
        upstream.asked()?.answer("welcome")?;
        ensure!(next.answer()?.0 == 200, "{version}: the next one");
    }
    Ok(())
}
