//! Why a file cannot be read and what to do about it, in the same words wherever a file is named: by a configuration, a
//! variable or an option of a program over the library.

use std::path::Path;
use std::{fmt, fs, io};

use edgepass_core::NOT_A_FILE;

/// A megabyte, as bounds count it.
const MIB: u64 = 1024 * 1024;

/// Why a file was not read. Its text continues a name and `cannot be read: `.
#[derive(Debug)]
pub enum FileError {
    /// Nothing there.
    NotFound,
    /// A link whose target is not there.
    DeadLink,
    /// The operating system refuses.
    Denied,
    /// A folder.
    Folder,
    /// A pipe, of which who opens it first takes the content.
    Pipe,
    /// A device, a socket.
    NotAFile,
    /// Somebody else may have put it there: why that is so.
    Foreign(&'static str),
    /// More than that many bytes.
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// Anything else.
    Io(io::Error),
}

impl FileError {
    /// What kept that path from being opened or read.
    pub fn of(path: &Path, error: io::Error) -> Self {
        // a socket
        #[cfg(unix)]
        if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
            return Self::NotAFile;
        }
        match error.kind() {
            // a path that goes on behind a file leads to nothing, too
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if !path.exists() => {
                let link = fs::symlink_metadata(path);
                match link.is_ok_and(|metadata| metadata.is_symlink()) {
                    true => Self::DeadLink,
                    false => Self::NotFound,
                }
            }
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::IsADirectory => Self::Folder,
            _ => Self::Io(error),
        }
    }

    /// What keeps anything of that kind from being read; `None` for a regular file.
    pub(crate) fn of_kind(kind: fs::FileType) -> Option<Self> {
        #[cfg(unix)]
        let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
        #[cfg(not(unix))]
        let is_pipe = false;
        match (kind.is_file(), kind.is_dir(), is_pipe) {
            (true, ..) => None,
            (_, true, _) => Some(Self::Folder),
            (_, _, true) => Some(Self::Pipe),
            _ => Some(Self::NotAFile),
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotFound => {
                "check the path: a relative one begins at the folder that the program runs in"
            }
            Self::DeadLink => "put the file where the link leads, or name another",
            Self::Denied => {
                "let the user that the program runs as read it, and look into the folders that it is in"
            }
            Self::Folder => "name a file, which may be in it",
            Self::Pipe => "write what comes by it to a file, and name that",
            Self::NotAFile => "name a file: no device or socket",
            Self::Foreign(_) => "see to it that nobody else may put files there",
            Self::TooLarge { .. } => "name the file that is meant",
            Self::Io(_) => "name a file that can be read",
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file"),
            Self::DeadLink => f.write_str("it is a link to a file that is not there"),
            Self::Denied => f.write_str("permission denied"),
            Self::Folder => f.write_str("it is a folder"),
            Self::Pipe => f.write_str("it is a pipe"),
            Self::NotAFile => f.write_str(NOT_A_FILE),
            Self::Foreign(reason) => f.write_str(reason),
            Self::TooLarge { limit } if limit % MIB == 0 => {
                write!(f, "it is larger than {} MiB", limit / MIB)
            }
            Self::TooLarge { limit } => write!(f, "it is larger than {limit} bytes"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::files::{check, read_bounded};

    struct Dir(PathBuf);

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Whatever may be at the end of a path, read, looked at, and opened by somebody else.
    #[test]
    fn each_path_has_its_reason_and_its_fix() {
        let name = format!("edgepass-unreadable-{}", std::process::id());
        let dir = Dir(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&dir.0);
        fs::create_dir_all(dir.0.join("folder")).unwrap();
        fs::write(dir.0.join("good"), "x").unwrap();
        fs::write(dir.0.join("large"), vec![b'x'; 11]).unwrap();
        fs::write(dir.0.join("closed"), "x").unwrap();
        fs::set_permissions(dir.0.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        mkfifoat(CWD, dir.0.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        for (target, link) in [
            ("good", "to-good"),
            ("nothing", "to-nothing"),
            ("folder", "to-folder"),
            ("itself", "itself"),
        ] {
            symlink(target, dir.0.join(link)).unwrap();
        }
        let _socket = UnixListener::bind(dir.0.join("socket")).unwrap();
        // whom no permission keeps out reads it
        let closed = match rustix::process::geteuid().is_root() {
            true => ("", ""),
            false => ("permission denied", "let the user"),
        };
        for (path, (reason, fix)) in [
            ("good", ("", "")),
            ("to-good", ("", "")),
            ("missing", ("there is no such file", "check the path")),
            ("good/inside", ("there is no such file", "check the path")),
            (
                "to-nothing",
                (
                    "it is a link to a file that is not there",
                    "where the link leads",
                ),
            ),
            ("folder", ("it is a folder", "name a file")),
            ("to-folder", ("it is a folder", "name a file")),
            ("pipe", ("it is a pipe", "write what comes by it to a file")),
            ("/dev/null", ("it is not a regular file", "no device")),
            ("socket", ("it is not a regular file", "no device")),
            ("itself", ("symbolic link", "name a file that can be read")),
            (
                "large",
                ("it is larger than 10 bytes", "name the file that is meant"),
            ),
            ("closed", closed),
        ] {
            let at = dir.0.join(path);
            let read = read_bounded(&at, 10).map(|_| ());
            let mut found = vec![read];
            if path != "large" {
                found.push(check(&at));
            }
            for found in found {
                match found {
                    Ok(()) => assert_eq!(reason, "", "{path} is read"),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(
                            !reason.is_empty() && text.contains(reason),
                            "{path}: {text}"
                        );
                        assert!(error.fix().contains(fix), "{path}: {}", error.fix());
                    }
                }
            }
        }
    }

    #[test]
    fn a_bound_of_whole_megabytes_is_said_in_them() {
        for (limit, says) in [
            (4096, "it is larger than 4096 bytes"),
            (MIB, "it is larger than 1 MiB"),
            (512 * MIB, "it is larger than 512 MiB"),
            (MIB + 1, "it is larger than 1048577 bytes"),
        ] {
            assert_eq!(FileError::TooLarge { limit }.to_string(), says);
        }
    }
}
