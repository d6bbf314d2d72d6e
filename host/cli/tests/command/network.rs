//! Proxies, certification authorities, and servers that are silent.

use std::process::{Command, Stdio};

use edgepass_emulator::{ConnectProxy, Fault};
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use super::in_a_container;
use super::{command, text};
use crate::support::{GRAPH, Lab};

#[test]
fn a_server_that_hangs_is_given_the_time_that_is_said() {
    let lab = Lab::new();
    lab.emulator
        .faults()
        .push(Fault::hang().on("/token").forever());
    let output = command(&lab, &["token", "-s", GRAPH, "--timeout", "0.3"])
        .env("HTTP_PROXY", "http://proxy.example:3128")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["error"]["class"], "timeout", "{said}");
    assert_eq!(
        said["error"]["message"],
        "no token in 0.3 s, which is what --timeout gives it"
    );
    assert!(
        said["error"]["hint"]
            .as_str()
            .unwrap()
            .starts_with("HTTP_PROXY is for plain http and not used"),
        "{said}"
    );
}

#[test]
fn the_proxy_of_plain_http_is_named_where_nothing_gets_through() {
    let lab = Lab::new();
    // an authority that has not signed the emulator's certificate
    let other = lab.files.certificate_file();
    let run = |proxies: &[(&str, &str)], arguments: &[&str]| {
        let output = command(&lab, &[&["token", "-o", "token"], arguments].concat())
            .envs(proxies.iter().copied())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0));
        text(&output.stderr).to_owned()
    };
    let untrusted = ["-s", GRAPH, "--ca-file", other.to_str().unwrap()];
    for name in ["HTTP_PROXY", "http_proxy"] {
        let said = run(
            &[(name, "http://user:hunter2@proxy.example:3128")],
            &untrusted,
        );
        assert!(said.contains("class: network"), "{said}");
        assert!(
            said.contains(&format!("hint: {name} is for plain http and not used")),
            "{said}"
        );
        assert!(
            said.contains("; give the authority that signed it"),
            "the other hint stays: {said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    for proxies in [
        &[][..],
        &[("HTTP_PROXY", " ")],
        &[("HTTP_PROXY", "http://x:1"), ("https_proxy", "http://x:1")],
    ] {
        let said = run(proxies, &untrusted);
        assert!(!said.contains("PROXY"), "{said}");
        assert!(
            said.contains("by --ca-file (") && said.contains(") or host.extra_ca_file"),
            "{said}"
        );
    }
    let said = run(&[("HTTP_PROXY", "http://x")], &["-s", "a b"]);
    assert!(
        !said.contains("PROXY"),
        "no way to any server has to do with it: {said}"
    );
}

/// What names authorities, and what then has an effect beside it: nothing else is worth trying.
#[test]
fn a_hint_at_authorities_names_what_has_an_effect() {
    let (lab, other) = (Lab::new(), Lab::new());
    let wrong = other.files.ca_file();
    let wrong = wrong.to_str().unwrap();
    let token = lab.files.token_file();
    let mut config = lab.config(&json!({ "federated_token_file": { "path": token } }));
    let plain = lab.write("plain.json", config.to_string());
    config["host"] = json!({ "ca_file": wrong });
    let with_ca = lab.write("with-ca.json", config.to_string());
    for (config, option, says) in [
        (
            &plain,
            Some(wrong),
            format!("by --ca-file ({wrong}) or host.extra_ca_file"),
        ),
        (
            &with_ca,
            None,
            format!("by --ca-file, host.ca_file ({wrong}) or host.extra_ca_file"),
        ),
        (
            &plain,
            None,
            format!("by SSL_CERT_FILE ({wrong}) or host.extra_ca_file"),
        ),
    ] {
        let mut command = command(&lab, &["token", "--scope", GRAPH, "--config"]);
        command.arg(config).env("SSL_CERT_FILE", wrong);
        if let Some(option) = option {
            command.args(["--ca-file", option]);
        }
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("is not trusted"), "{said}");
        assert!(said.contains(&says), "{says}: {said}");
    }
}

/// A pod of an emulator whose name only a proxy knows.
fn behind_a_proxy() -> (Lab, ConnectProxy, String) {
    let lab = Lab::new();
    let proxy = ConnectProxy::start().unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], lab.emulator.port()));
    proxy.route("login.example:443", to);
    let config = lab.write(
        "behind.json",
        json!({
            "authority_hosts": ["login.example"],
            "identities": { "app": {
                "tenant_id": lab.emulator.tenant(),
                "client_id": lab.emulator.client_id(),
                "authority_host": "https://login.example",
                "credential": { "client_secret": { "env": "APP_SECRET" } },
            } },
            "host": { "extra_ca_file": lab.files.ca_file() },
        })
        .to_string(),
    );
    let config = config.to_str().unwrap().to_owned();
    (lab, proxy, config)
}

#[test]
fn a_token_comes_through_a_proxy_that_is_named_and_its_password_is_not() {
    let (lab, proxy, config) = behind_a_proxy();
    proxy.require(Some("user:hunter2"));
    let secret = lab.emulator.client_secret().to_owned();
    let named = format!("http://user:hunter2@{}", proxy.place());
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_edgepass"))
            .args(arguments)
            .env_clear()
            .env("APP_SECRET", &secret)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!all.contains("hunter2"), "{all}");
        (output.status.code(), all)
    };
    let place = proxy.place();
    let token = ["token", "--config", &config, "-s", GRAPH, "-v"];
    let (code, said) = run(&token, &[("HTTPS_PROXY", &named)]);
    assert_eq!(code, Some(0), "{said}");
    let through = format!("info: https goes through the proxy {place} (HTTPS_PROXY)");
    assert!(said.contains(&through), "{said}");
    assert_eq!(proxy.requests().len(), 1);

    let check = ["config", "check", &config];
    let (code, said) = run(&check, &[("https_proxy", &named)]);
    assert_eq!(code, Some(0), "{said}");
    let through = format!("https goes through the proxy {place} (https_proxy)\n");
    assert!(said.contains(&through), "{said}");
    let past = [("https_proxy", named.as_str()), ("NO_PROXY", ".example")];
    let (_, said) = run(&check, &past);
    let directly = format!("https goes directly, and not through the proxy {place}");
    assert!(said.contains(&directly), "{said}");
    let (_, said) = run(&check, &[]);
    assert!(!said.contains("https goes"), "{said}");

    // without its credentials, and with others
    let plain = proxy.url();
    let (code, said) = run(&token, &[("ALL_PROXY", &plain)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "the proxy {place} (ALL_PROXY) asks for credentials (407)"
        )) && said.contains("write them into ALL_PROXY: http://USER:PASSWORD@"),
        "{said}"
    );
    let wrong = format!("http://user:hunter2x@{place}");
    let (_, said) = run(&token, &[("ALL_PROXY", &wrong)]);
    assert!(
        said.contains("does not take its credentials (407)"),
        "{said}"
    );
    assert_eq!(proxy.requests().len(), 3, "none of it is tried again");

    for (url, says) in [
        ("socks5://user:hunter2@p:1080", "is a SOCKS proxy"),
        ("http://user:hunter2@p:x", "is not the URL of an HTTP proxy"),
        ("http://user:hun/hunter2@p:1", "percent-encode"),
    ] {
        for arguments in [&token[..], &check[..]] {
            let (code, said) = run(arguments, &[("all_proxy", url)]);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("all_proxy") && said.contains(says), "{said}");
        }
        // where nothing needs it, it is nobody's mistake
        let past = [("all_proxy", url), ("no_proxy", "*")];
        let (code, said) = run(&check, &past);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_certification_authorities_is_told_so_once() {
    let lab = Lab::new();
    // everywhere where systems have them
    let script = "for folder in /etc/ssl /etc/pki /usr/lib/ssl /usr/share/ssl /usr/local/ssl /etc/openssl /etc/certs; do
        [ ! -d $folder ] || mount -t tmpfs none $folder
    done; exec \"$@\"";
    let Some(mut container) = in_a_container(&["--mount"]) else {
        return;
    };
    let output = container
        .args(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_edgepass")])
        .args(["-vv", "token", "-s", GRAPH, "-o", "token"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(lab.emulator.env())
        .env_remove("SSL_CERT_FILE")
        .output()
        .expect("unshare of util-linux runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "class: configuration",
        "no certification authorities",
        "hint: install the system's CA certificates, or name a file with them by --ca-file, host.ca_file or SSL_CERT_FILE",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(
        said.matches("error: certification authorities").count(),
        1,
        "asked once: {said}"
    );
    assert!(lab.emulator.token_requests().is_empty());
}
