use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use edgepass_emulator::{Certificate, Emulator, Mint};

use crate::support::*;

/// A directory that goes when its test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!(
            "edgepass-emulator-test-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_token_file_has_the_kubelets_layout() {
    let scratch = Scratch::new("layout");
    let file = scratch.path().join("token").join("azure-identity-token");
    shared().issuer().write_token_file(&file).unwrap();
    let data = file.parent().unwrap().join("..data");
    assert_eq!(
        fs::read_link(&file).unwrap(),
        Path::new("..data/azure-identity-token")
    );
    let first = fs::read_link(&data).unwrap();
    let name = first.to_str().unwrap();
    assert!(
        name.starts_with("..20") && name.len() == "..2026_11_23_01_02_03.123456789".len(),
        "{name}"
    );
    assert_eq!(mode(&file), 0o600);
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!(claims_of(&token)["sub"], SUBJECT);

    shared().issuer().write_token_file(&file).unwrap();
    let second = fs::read_link(&data).unwrap();
    assert_ne!(first, second);
    assert!(
        !file.parent().unwrap().join(&first).exists(),
        "the old generation is gone"
    );
    assert_ne!(fs::read_to_string(&file).unwrap(), token);
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 3, "{left:?}");

    shared().issuer().write_file(&file, "not a token").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a token");
}

#[test]
fn readers_never_see_half_a_token() {
    let scratch = Scratch::new("swap");
    let file = scratch.path().join("token");
    let issuer = shared().issuer();
    let tokens: Vec<String> = (1..=2)
        .map(|hours| issuer.mint(&Mint::new().expires_in(3_600 * hours)).unwrap())
        .collect();
    issuer.write_file(&file, &tokens[0]).unwrap();
    let done = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0_u32;
            while !done.load(Ordering::Relaxed) {
                // Opening resolves the links in two steps; between them the
                // old generation may go, as on a real node.
                if let Ok(text) = fs::read_to_string(&file) {
                    assert!(tokens.contains(&text), "{text}");
                    seen += 1;
                }
            }
            seen
        });
        for round in 0..200 {
            issuer.write_file(&file, &tokens[round % 2]).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(read > 0);
}

#[tokio::test]
async fn a_written_directory_is_complete_and_rotates() {
    let scratch = Scratch::new("dir");
    let emulator = Emulator::builder().start().await.unwrap();
    assert!(emulator.rotate_token().is_err());
    let directory = emulator.write_dir(scratch.path()).unwrap();

    assert_eq!(
        fs::read_to_string(directory.ca_file()).unwrap(),
        emulator.ca_pem()
    );
    assert_eq!(
        fs::read_to_string(directory.secret_file()).unwrap(),
        emulator.client_secret()
    );
    let private = [
        directory.token_file(),
        directory.private_key_file(),
        directory.secret_file(),
    ];
    for path in private {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let token = fs::read_to_string(directory.token_file()).unwrap();
    post_assertion(&emulator, emulator.client_id(), &token)
        .await
        .token_claims();
    emulator.rotate_token().unwrap();
    let next = fs::read_to_string(directory.token_file()).unwrap();
    assert_ne!(token, next);
    post_assertion(&emulator, emulator.client_id(), &next)
        .await
        .token_claims();

    let before = Certificate::from_pem(&fs::read_to_string(directory.certificate_file()).unwrap());
    assert_eq!(
        before.unwrap().thumbprint(),
        emulator.client_certificate().thumbprint
    );
    let thumbprint = emulator.rotate_certificate().unwrap();
    let pem = fs::read_to_string(directory.certificate_file()).unwrap();
    assert_eq!(
        Certificate::from_pem(&pem).unwrap().thumbprint(),
        thumbprint
    );
    let registered = emulator.app(emulator.client_id()).unwrap().certificates;
    let registered: Vec<&str> = registered.iter().map(Certificate::thumbprint).collect();
    assert_eq!(
        registered,
        [&emulator.client_certificate().thumbprint, &thumbprint]
    );
    // Certificate and key belong together and change by one rename.
    let key = fs::read_to_string(directory.private_key_file()).unwrap();
    assert_ne!(key, emulator.client_certificate().private_key_pem);
    for path in [directory.certificate_file(), directory.private_key_file()] {
        let link = fs::read_link(&path).unwrap();
        assert!(link.starts_with("identity"), "{}", link.display());
    }
}

#[tokio::test]
async fn the_env_file_names_everything() {
    let scratch = Scratch::new("env file's");
    let emulator = Emulator::builder().start().await.unwrap();
    let directory = emulator.write_dir(scratch.path()).unwrap();
    let script = format!(
        ". '{}' && env",
        directory
            .env_file()
            .display()
            .to_string()
            .replace('\'', r"'\''")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let ca = directory.ca_file().display().to_string();
    // other programs of that shell go on trusting whom they trusted
    let bundle = directory.bundle_file().display().to_string();
    let port = emulator.port();
    for (name, value) in [
        ("AZURE_TENANT_ID", emulator.tenant()),
        ("AZURE_CLIENT_ID", emulator.client_id()),
        (
            "AZURE_FEDERATED_TOKEN_FILE",
            &directory.token_file().display().to_string(),
        ),
        (
            "AZURE_AUTHORITY_HOST",
            &format!("https://localhost:{port}/"),
        ),
        (
            "EDGEPASS_AUTHORITY_HOSTS",
            &format!("localhost:{port},login.localhost:{port},mtlsauth.localhost:{port}"),
        ),
        ("SSL_CERT_FILE", &bundle),
        ("REQUESTS_CA_BUNDLE", &bundle),
        ("CURL_CA_BUNDLE", &bundle),
        ("NODE_EXTRA_CA_CERTS", &ca),
    ] {
        let line = format!("{name}={value}");
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line} is not in {printed}"
        );
    }
    assert_eq!(emulator.env().len(), 11);
}

#[test]
fn a_volume_whose_generation_was_removed_goes_on() {
    let scratch = Scratch::new("removed");
    let file = scratch.path().join("token");
    shared().issuer().write_token_file(&file).unwrap();
    let generation = fs::read_link(scratch.path().join("..data")).unwrap();
    fs::remove_dir_all(scratch.path().join(generation)).unwrap();
    assert!(!file.exists());
    shared().issuer().write_token_file(&file).unwrap();
    assert!(file.exists());
}

#[test]
fn a_certificate_writes_its_pair_of_files() {
    let scratch = Scratch::new("pair");
    let (pem, key) = (scratch.path().join("c.pem"), scratch.path().join("c.key"));
    let made = certificate(0);
    made.write(&pem, &key).unwrap();
    let written = Certificate::from_pem(&fs::read_to_string(&pem).unwrap()).unwrap();
    assert_eq!(written.thumbprint(), made.thumbprint);
    assert_eq!(fs::read_to_string(&key).unwrap(), made.private_key_pem);
    assert_eq!(mode(&key), 0o600);
}

#[test]
fn the_ca_file_goes_with_the_emulator() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let file = emulator.ca_file().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), emulator.ca_pem());
    drop(emulator);
    assert!(!file.exists());
}

#[test]
fn debug_output_has_no_secrets() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let app = emulator.app(emulator.client_id()).unwrap();
    let printed = format!(
        "{emulator:?} {app:?} {:?} {:?}",
        app.secrets,
        emulator.client_certificate()
    );
    assert!(!printed.contains(emulator.client_secret()), "{printed}");
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
}
