use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use edgepass_emulator::Emulator;

#[cfg(all(unix, not(target_os = "macos")))]
use super::system::load_from;
use super::*;

/// A folder of the test's own, and a certification authority.
struct Lab {
    folder: PathBuf,
    ca: String,
}

impl Lab {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("edgepass-roots-{}-{count}", std::process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let emulator = Emulator::builder().start_blocking().unwrap();
        let ca = emulator.ca_pem();
        Self { folder, ca }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn count(roots: &Roots) -> usize {
    let state = roots.state.try_lock().unwrap();
    let current = state.current.as_ref();
    current.map_or(0, |current| current.store.len())
}

fn broken() -> String {
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()
}

#[test]
fn a_bundle_gives_what_can_be_used_and_counts_the_rest() {
    let lab = Lab::new();
    let no_base64 = broken().replace("AAAA", "?!");
    for (content, unusable) in [
        (lab.ca.clone(), 0),
        (format!("\u{feff}{}", lab.ca.replace('\n', "\r\n")), 0),
        (format!("# My CA\n{}{}", lab.ca, lab.ca), 0),
        (format!("{}{}", broken(), lab.ca), 1),
        (format!("{}{}{no_base64}", lab.ca, broken()), 2),
        (
            format!(
                "{}{}",
                lab.ca,
                no_base64.replace("CERTIFICATE", "PRIVATE KEY")
            ),
            0,
        ),
    ] {
        let path = lab.write("ca.pem", content);
        let mut warnings = Vec::new();
        let roots = Roots::file(&path, CA_FILE, None, &mut warnings).unwrap();
        assert_eq!(count(&roots), 1);
        if unusable == 0 {
            assert_eq!(warnings, [""; 0]);
        } else {
            let [warning] = warnings.try_into().unwrap();
            assert!(
                warning.contains(&*path.to_string_lossy())
                    && warning.contains(&format!(": {unusable} certificate")),
                "{warning}"
            );
        }
    }
}

#[test]
fn a_file_without_any_is_called_what_it_is() {
    let lab = Lab::new();
    for (content, says) in [
        (broken(), "the certificate in it cannot be used"),
        (
            broken().repeat(2).replacen("AAAA", "AAAB", 1),
            "none of the 2 certificates",
        ),
        (String::new(), "it is empty"),
        ("hello".to_owned(), "there is no certificate in it"),
        (
            lab.ca.replace("CERTIFICATE", "PRIVATE KEY"),
            "it is a private key",
        ),
        (lab.ca.replace("CERTIFICATE", "PKCS7"), "openssl pkcs7"),
    ] {
        let path = lab.write("ca.pem", content);
        let error = Roots::file(&path, CA_FILE, None, &mut Vec::new())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_kept_while_they_cannot_be() {
    let (lab, own, other) = (Lab::new(), Lab::new().ca.clone(), Lab::new().ca.clone());
    let variables = |path: &Path, roots: &mut Option<Roots>| {
        let path = path.as_os_str().to_owned();
        let variable = |name: &str| (name == CERT_FILE).then(|| path.clone());
        *roots = Some(Roots::variables(&variable, None, &mut Vec::new()).unwrap());
    };
    // each with the authorities that are there besides
    for (what, more) in [("file", 0), ("variable", 0), ("extra", 1)] {
        let path = lab.write("ca.pem", &own);
        // as a volume of Kubernetes, and whoever is careful, replaces one
        let replace = |content: &str| {
            let new = lab.write("new.pem", content);
            fs::rename(new, &path).unwrap();
        };
        let mut roots = None;
        match what {
            "file" => roots = Some(Roots::file(&path, CA_FILE, None, &mut Vec::new()).unwrap()),
            "variable" => variables(&path, &mut roots),
            _ => {
                let given = lab.ca.as_bytes();
                roots = Some(Roots::pem(given, Some(&path), &mut Vec::new()).unwrap());
            }
        }
        let roots = roots.unwrap();
        let first = roots.load().await.unwrap();
        assert_eq!(first.len(), 1 + more, "{what}");
        // the same again is the same, with its connections
        replace(&own);
        assert!(Arc::ptr_eq(&first, &roots.load().await.unwrap()), "{what}");
        replace(&format!("{own}{other}"));
        let second = roots.load().await.unwrap();
        assert_eq!(second.len(), 2 + more, "{what}");
        for wrong in ["", "hello", &broken()] {
            replace(wrong);
            assert!(
                Arc::ptr_eq(&second, &roots.load().await.unwrap()),
                "{what}: {wrong}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(Arc::ptr_eq(&second, &roots.load().await.unwrap()), "{what}");
        replace(&other);
        let third = roots.load().await.unwrap();
        assert_eq!(third.len(), 1 + more, "{what}");
        assert!(
            third.roots != first.roots && third.roots != second.roots,
            "{what}"
        );
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
#[tokio::test]
async fn further_authorities_stand_beside_those_of_the_system() {
    let lab = Lab::new();
    let extra = lab.write("extra.pem", &lab.ca);
    let nothing = |_: &str| None;
    let roots = Roots::variables(&nothing, Some(&extra), &mut Vec::new()).unwrap();
    let own = store(lab.ca.as_bytes()).unwrap();
    match (load_system(), roots.load().await) {
        (Ok(system), Ok(both)) => {
            let expected = [&*system.roots, &*own.roots].concat();
            assert_eq!(both.roots, expected);
        }
        // a machine without any: further ones take no place of the first
        (Err(_), Err(error)) => assert!(error.to_string().contains("the system has none")),
        (system, both) => panic!("{:?} {:?}", system.map(|s| s.len()), both.map(|s| s.len())),
    }
    let missing = lab.folder.join("missing.pem");
    let error = Roots::variables(&nothing, Some(&missing), &mut Vec::new());
    let error = error.err().unwrap().to_string();
    assert!(
        error.starts_with("host.extra_ca_file: the CA file ")
            && error.contains("missing.pem cannot be read"),
        "{error}"
    );
}

#[test]
fn blank_variables_are_unset_and_wrong_ones_are_named() {
    let lab = Lab::new();
    let ca = lab.write("ca.pem", &lab.ca);
    let text = lab.write("text", "hello");
    let missing = lab.folder.join("missing");
    let (file, folder) = (ca.as_os_str(), lab.folder.as_os_str());
    let text = text.as_os_str();
    let missing = missing.as_os_str();
    let zero = std::ffi::OsStr::new("/dev/zero");
    let [empty, blank] = ["", " "].map(std::ffi::OsStr::new);
    let load = |file: Option<&std::ffi::OsStr>, folder: Option<&std::ffi::OsStr>| {
        let mut warnings = Vec::new();
        let variable = |name: &str| match name {
            CERT_FILE => file.map(ToOwned::to_owned),
            _ => folder.map(ToOwned::to_owned),
        };
        let roots = Roots::variables(&variable, None, &mut warnings);
        roots.map(|roots| (count(&roots), warnings.len()))
    };
    for (one, other, expected) in [
        (None, None, (0, 0)),
        (Some(empty), None, (0, 0)),
        (Some(blank), Some(empty), (0, 0)),
        (Some(file), None, (1, 0)),
        (Some(file), Some(empty), (1, 0)),
        (Some(empty), Some(folder), (1, 0)),
        (Some(file), Some(folder), (1, 0)),
        (Some(missing), Some(folder), (1, 1)),
        (Some(file), Some(missing), (1, 1)),
    ] {
        assert_eq!(load(one, other).unwrap(), expected, "{one:?} {other:?}");
    }
    let nothing = lab.folder.join("empty");
    fs::create_dir(&nothing).unwrap();
    let nothing = nothing.as_os_str();
    for (one, other, says) in [
        (Some(missing), None, "SSL_CERT_FILE"),
        (Some(folder), None, "it is a folder"),
        (Some(zero), None, "not a regular file"),
        (Some(text), None, "there is no certificate in it"),
        (None, Some(missing), "SSL_CERT_DIR"),
        (None, Some(file), "SSL_CERT_DIR"),
        (None, Some(nothing), "SSL_CERT_DIR"),
    ] {
        let error = load(one, other).unwrap_err().to_string();
        assert!(
            error.starts_with("SSL_CERT_") && error.contains(says),
            "{error}"
        );
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
#[test]
fn the_systems_folders_are_read_where_its_bundle_gives_nothing() {
    let lab = Lab::new();
    let other = Lab::new();
    let bundle = lab.write("bundle.pem", &lab.ca);
    let wrong = lab.write("wrong.pem", broken());
    let text = lab.write("text.pem", "hello");
    let missing = lab.folder.join("missing");
    let folder = lab.folder.join("folder");
    let empty = lab.folder.join("empty");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(folder.join("a.0"), &lab.ca).unwrap();
    std::os::unix::fs::symlink("a.0", folder.join("a.pem")).unwrap();
    fs::write(folder.join("b.0"), &other.ca).unwrap();
    for (file, folders, expected) in [
        // the bundle alone
        (Some(&bundle), &[&folder][..], Some(1)),
        (Some(&bundle), &[&missing], Some(1)),
        (Some(&bundle), &[], Some(1)),
        // each file of a folder once
        (Some(&missing), &[&folder], Some(2)),
        (Some(&wrong), &[&folder], Some(2)),
        (Some(&text), &[&folder], Some(2)),
        (Some(&folder), &[&folder], Some(2)),
        (None, &[&folder], Some(2)),
        (None, &[&missing, &folder], Some(2)),
        // nothing
        (None, &[&empty], None),
        (None, &[], None),
        (Some(&text), &[&empty], None),
        (Some(&missing), &[&missing], None),
    ] {
        let folders: Vec<PathBuf> = folders.iter().map(|&folder| folder.clone()).collect();
        let loaded = load_from(file.map(PathBuf::as_path), &folders);
        match (loaded, expected) {
            (Ok(store), Some(count)) => assert_eq!(store.len(), count, "{file:?} {folders:?}"),
            (Err(error), None) => {
                let error = error.to_string();
                let named = file.is_none_or(|file| error.contains(&*file.to_string_lossy()));
                assert!(named && error.contains("SSL_CERT_FILE"), "{error}");
            }
            (loaded, _) => panic!("{file:?} {folders:?}: {:?}", loaded.map(|s| s.len())),
        }
    }
}
