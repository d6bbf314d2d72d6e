//! Where a change of a file is seen. Envoy watches one folder for each file, not the links on the way to it.
//!
//! The kubelet keeps the files of a volume in a folder of its own, with a new name for each state. A link `..data` at the
//! root of the volume leads to it, and the files' names, or the first part of their paths, are links behind that one. A
//! rotation replaces `..data`, so it is seen at the root of the volume and nowhere else.

use std::path::Path;

/// The link that the kubelet replaces.
const DATA: &str = "..data";

/// Where the Azure Workload Identity webhook mounts its volume, from 1.6 on: the token is in a folder of it, `token`.
const WEBHOOK: &str = "/var/run/secrets/azure/wi";

/// The folder to watch for a file. `volumes` are mount points that are known; the file may be on another machine.
pub(super) fn watched_folder(path: &str, volumes: &[String]) -> String {
    let volumes = volumes.iter().map(String::as_str).chain([WEBHOOK]);
    let known = volumes
        .map(|volume| volume.trim_end_matches('/'))
        .filter(|volume| {
            let rest = path.strip_prefix(volume);
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
        .max_by_key(|volume| volume.len());
    let own = || match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    };
    known
        .map(|volume| if volume.is_empty() { "/" } else { volume }.to_owned())
        .or_else(|| found(Path::new(path)))
        .unwrap_or_else(own)
}

/// The root of the volume that holds the file, if both are on this machine.
fn found(path: &Path) -> Option<String> {
    let is_root = |folder: &&Path| folder.join(DATA).symlink_metadata().is_ok();
    let above = path.ancestors().skip(1).find(is_root).map(Path::to_owned);
    let root = above.or_else(|| {
        // a link from elsewhere into a volume
        let file = path.canonicalize().ok()?;
        let state = file.ancestors().find(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(".."))
        })?;
        let root = state.parent()?;
        is_root(&root).then(|| root.to_owned())
    })?;
    root.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_volume_is_watched_at_its_root() {
        let webhook = "/var/run/secrets/azure/wi/token/azure-identity-token";
        let volumes = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        for (path, list, expected) in [
            (webhook, &[][..], "/var/run/secrets/azure/wi"),
            (
                "/var/run/secrets/azure/wix/t",
                &[],
                "/var/run/secrets/azure/wix",
            ),
            ("/absent/t", &[], "/absent"),
            ("/absent-at-the-root", &[], "/"),
            ("/absent/a/b/t", &["/absent"], "/absent"),
            (
                "/absent/a/b/t",
                &["/absent/", "/absent/a/", "/other"],
                "/absent/a",
            ),
            ("/absent/a/b/t", &["/abs", "/absent/a/b/t"], "/absent/a/b"),
            ("/absent/a/t", &["/"], "/"),
        ] {
            assert_eq!(
                watched_folder(path, &volumes(list)),
                expected,
                "{path} {list:?}"
            );
        }
    }

    #[test]
    fn a_volume_that_is_there_is_found_by_any_number_of_links() {
        let dir = std::env::temp_dir().join(format!("edgepass-volume-{}", std::process::id()));
        let dir = {
            fs::create_dir_all(&dir).unwrap();
            dir.canonicalize().unwrap()
        };
        let volume = dir.join("volume");
        let state = volume.join("..2026_11_26_10_00_00.1");
        fs::create_dir_all(state.join("token/deep")).unwrap();
        fs::write(state.join("token/deep/file"), "t").unwrap();
        fs::write(state.join("flat"), "t").unwrap();
        symlink("..2026_11_26_10_00_00.1", volume.join(DATA)).unwrap();
        symlink("..data/token", volume.join("token")).unwrap();
        symlink("..data/flat", volume.join("flat")).unwrap();
        fs::create_dir(dir.join("plain")).unwrap();
        fs::write(dir.join("plain/file"), "t").unwrap();
        symlink(volume.join("token/deep/file"), dir.join("plain/link")).unwrap();
        symlink("plain/link", dir.join("again")).unwrap();
        for (path, expected) in [
            ("volume/flat", "volume"),
            ("volume/token/deep/file", "volume"),
            ("plain/link", "volume"),
            ("again", "volume"),
            ("plain/file", "plain"),
            ("plain/absent", "plain"),
        ] {
            let path = dir.join(path);
            let folder = watched_folder(path.to_str().unwrap(), &[]);
            assert_eq!(Path::new(&folder), dir.join(expected), "{}", path.display());
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
