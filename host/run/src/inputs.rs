//! Files that the program reads, and folders of such files. What it writes must be none of them: records in a file of keys, or a component over the one that
//! it was made of, would be the end of that file.

use std::fs;
use std::path::{Path, PathBuf};

use edgepass::NamedFile;

use crate::failure::Failure;
use crate::read;

/// Files that are read, each with the option or the setting that names it.
#[derive(Default)]
pub(crate) struct Inputs(Vec<(String, PathBuf)>);

impl Inputs {
    pub(crate) fn add(&mut self, named_by: impl Into<String>, path: &Path) {
        self.0.push((named_by.into(), path.to_owned()));
    }

    pub(crate) fn add_all(&mut self, files: &[NamedFile]) {
        for file in files {
            self.add(file.setting.as_str(), &file.path);
        }
    }

    /// Those in a folder or below it, by where they really are.
    pub(crate) fn below<'i>(&'i self, folder: &Path) -> impl Iterator<Item = (&'i str, &'i Path)> {
        let folder = fs::canonicalize(folder).ok();
        self.0.iter().filter_map(move |(named_by, input)| {
            let file = fs::canonicalize(input).ok()?;
            let is_below = file.starts_with(folder.as_ref()?);
            is_below.then_some((named_by.as_str(), input.as_path()))
        })
    }

    /// Refuses a file to write that is one of them, by whichever of its names.
    pub(crate) fn check(&self, option: &str, output: &Path) -> Result<(), Failure> {
        let Some(written) = FileId::of(output) else {
            return Ok(());
        };
        let folder = folder_of(&followed(output));
        let is_in = |input: &Path| input.is_dir() && fs::canonicalize(input).ok() == folder;
        let is_same = |input: &Path| FileId::of(input).is_some_and(|read| read == written);
        let found = self.0.iter().find_map(|(named_by, input)| {
            let how = match (is_same(input), is_in(input)) {
                (true, _) => "is the same file as",
                (false, true) => "is in the folder",
                (false, false) => return None,
            };
            Some((named_by, input, how))
        });
        match found {
            None => Ok(()),
            Some((named_by, input, how)) => Err(Failure::setup(format!(
                "{option}: {} {how} {} ({named_by}), which is read and must not be written to",
                read::shown(output),
                read::shown(input),
            ))
            .hint(format!("name another file by {option}"))),
        }
    }
}

/// What tells a file apart, whichever of its names it is given by.
#[derive(PartialEq)]
enum FileId {
    #[cfg(unix)]
    Inode(u64, u64),
    /// Of one that is not there yet, by the folder that it will be in.
    Name(PathBuf),
}

impl FileId {
    /// Of a regular file, or of one that is still to be made: of what else there is nothing is lost.
    fn of(path: &Path) -> Option<Self> {
        let Ok(metadata) = fs::metadata(path) else {
            let path = followed(path);
            return Some(Self::Name(folder_of(&path)?.join(path.file_name()?)));
        };
        if !metadata.is_file() {
            return None;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Some(Self::Inode(metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        fs::canonicalize(path).ok().map(Self::Name)
    }
}

/// Where the folder of a file really is.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    fs::canonicalize(folder).ok()
}

/// Where links lead whose file is not there: who opens them to write makes it there.
fn followed(path: &Path) -> PathBuf {
    /// As many as Linux follows.
    const MOST: usize = 40;

    let mut path = path.to_owned();
    for _ in 0..MOST {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = match path.parent() {
            Some(folder) => folder.join(target),
            None => target,
        };
    }
    path
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_is_read_is_known_by_each_of_its_names() {
        let folder = std::env::temp_dir().join(format!("edgepass-inputs-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).unwrap();
        let at = |name: &str| folder.join(name);
        fs::write(at("key.pem"), "k").unwrap();
        fs::write(at("other"), "o").unwrap();
        fs::hard_link(at("key.pem"), at("hard")).unwrap();
        symlink("key.pem", at("soft")).unwrap();
        symlink("soft", at("softer")).unwrap();
        symlink(&folder, at("sub/up")).unwrap();
        symlink("later", at("to-later")).unwrap();
        symlink("round", at("round")).unwrap();
        let mut inputs = Inputs::default();
        inputs.add("certificates.c.private_key_file", &at("key.pem"));
        inputs.add("--config", &at("later"));
        fs::create_dir_all(at("keys/below")).unwrap();
        symlink("keys", at("to-keys")).unwrap();
        symlink("keys/new.key", at("to-key")).unwrap();
        inputs.add("managed_identity", &at("keys"));
        for (output, named_by) in [
            ("key.pem", Some("private_key_file")),
            ("./sub/../key.pem", Some("private_key_file")),
            ("hard", Some("private_key_file")),
            ("soft", Some("private_key_file")),
            ("softer", Some("private_key_file")),
            ("sub/up/key.pem", Some("private_key_file")),
            // of one that is not there yet
            ("later", Some("--config")),
            ("to-later", Some("--config")),
            ("sub/up/to-later", Some("--config")),
            // of files whose names nobody knows yet
            ("keys/new.key", Some("managed_identity")),
            ("to-keys/new.key", Some("managed_identity")),
            ("to-key", Some("managed_identity")),
            ("keys/below/new.key", None),
            ("keys", None),
            ("other", None),
            ("new", None),
            ("sub/later", None),
            ("round", None),
            ("nowhere/key.pem", None),
            ("sub", None),
        ] {
            let checked = inputs.check("--audit", &at(output));
            let said = checked.err().map(|failure| format!("{failure:?}"));
            match named_by {
                None => assert_eq!(said, None, "{output}"),
                Some(named_by) => {
                    let said = said.unwrap_or_default();
                    for word in [named_by, "--audit", output] {
                        assert!(said.contains(word), "{output}: {said}");
                    }
                }
            }
        }
        assert!(inputs.check("--audit", Path::new("/dev/null")).is_ok());
        fs::remove_dir_all(&folder).unwrap();
    }
}
