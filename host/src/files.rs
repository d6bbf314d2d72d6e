//! Reading small files: opened once, checked on what was opened, never more than a bound.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use edgepass_core::needs::FilePattern;
use edgepass_core::{NOT_A_FILE, Secret, without_byte_order_mark};
use zeroize::Zeroizing;

use crate::limits;
use crate::local::Mounts;

/// Reads a password. Line ends at its end are no part of it, nor is a byte order mark at its beginning. The error says why it
/// cannot be read.
pub(crate) fn read_password(path: &Path) -> Result<Secret, String> {
    let bytes = read_bounded(path, limits::PASSWORD_FILE_BYTES).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    let text = without_byte_order_mark(text);
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// Reads a whole regular file of at most `limit` bytes.
///
/// Symbolic links are followed: Kubernetes swaps the content of a volume by one. What is checked is the opened file
/// and not the path, which may mean another file a moment later.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_opened(open(path)?, limit)
}

fn read_opened(file: File, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let metadata = file.metadata().map_err(FileError::from)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile);
    }
    if metadata.len() > limit {
        return Err(FileError::TooLarge { limit });
    }
    // one allocation, so that growing leaves no copies behind that are not wiped
    let room = usize::try_from(limit.min(metadata.len() + 4096)).unwrap_or(usize::MAX);
    let mut content = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(FileError::from)?;
    if content.len() as u64 > limit {
        return Err(FileError::TooLarge { limit });
    }
    Ok(content)
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum FileError {
    /// Nothing there.
    NotFound,
    /// The operating system refuses.
    Denied,
    /// A folder, a pipe, a device.
    NotAFile,
    /// Somebody else may have put it there.
    Foreign(&'static str),
    /// More than that many bytes.
    TooLarge { limit: u64 },
    /// Anything else.
    Io(io::Error),
}

impl FileError {
    /// What to do about it.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::NotFound => {
                "check the path: a relative one begins at the folder that the program runs in"
            }
            Self::Denied => {
                "let the user that the program runs as read it, and look into the folders that it is in"
            }
            Self::NotAFile => "name a file: no folder, pipe or device",
            Self::Foreign(_) => "see to it that nobody else may put files there",
            Self::TooLarge { .. } => "name the file that is meant",
            Self::Io(_) => "name a file that can be read",
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file"),
            Self::Denied => f.write_str("permission denied"),
            Self::NotAFile => write!(f, "{NOT_A_FILE}; name one"),
            Self::Foreign(reason) => f.write_str(reason),
            Self::TooLarge { limit } => write!(f, "it is larger than {limit} bytes"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

/// What tells a replaced file from the one before.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
    /// When the file itself was last touched, which no program can set: seconds and nanoseconds. A copy in place may have
    /// the length and the date of what it replaces.
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        #[cfg(unix)]
        let (inode, changed) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let (inode, changed) = (0, (0, 0));
        Ok(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode,
            changed,
        })
    }
}

/// The files that the component may read: those that the configuration names, and no other.
pub(crate) struct TokenFiles {
    /// Each with the setting that names it.
    files: Vec<(FilePattern, String)>,
    mounts: Mounts,
}

impl TokenFiles {
    pub(crate) fn new(files: impl IntoIterator<Item = (FilePattern, String)>) -> Self {
        let mut files: Vec<(FilePattern, String)> = files.into_iter().collect();
        files.sort();
        files.dedup_by(|(one, _), (other, _)| one == other);
        Self {
            files,
            mounts: Mounts::default(),
        }
    }

    /// Whether the configuration names this file, letter for letter, or the folder that it is in.
    pub(crate) fn permits(&self, path: &str) -> bool {
        self.files.iter().any(|(file, _)| file.matches(path))
    }

    /// The setting that names this file.
    pub(crate) fn setting(&self, path: &str) -> Option<&str> {
        let mut files = self.files.iter();
        let (_, setting) = files.find(|(file, _)| file.matches(path))?;
        Some(setting)
    }

    /// Those that are known beforehand, and the setting of each.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.filter_map(|(file, setting)| Some((file.exact()?, setting.as_str())))
    }

    /// The content now, without blocking the thread for longer than a disk may take: what a server gives is read on a
    /// thread of its own, which waits for as long as the server does.
    pub(crate) async fn fetch(&self, path: String) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut files = self.files.iter();
        let directory = files.find_map(|(file, _)| match file {
            FilePattern::Directory { directory, .. } if file.matches(&path) => {
                Some(directory.clone())
            }
            _ => None,
        });
        let is_local = self.mounts.is_local(Path::new(&path));
        let read = move || match directory {
            Some(directory) => read_own(Path::new(&directory), Path::new(&path)),
            None => Self::read(&path),
        };
        if is_local {
            return read();
        }
        let read = tokio::task::spawn_blocking(read);
        read.await
            .unwrap_or_else(|e| Err(FileError::Io(io::Error::other(e))))
    }

    /// The content now. Call it where blocking is allowed.
    pub(crate) fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, FileError> {
        read_bounded(Path::new(path), limits::TOKEN_FILE_BYTES)
    }
}

/// Reads a file of which a server's answer has said the name, from a folder that the platform keeps. A file that somebody
/// else could have put there is not read: who answers may want to see what this process may read and he may not.
#[cfg(unix)]
fn read_own(directory: &Path, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    /// Others may write.
    const OTHERS_WRITE: u32 = 0o002;

    let folder = std::fs::symlink_metadata(directory)?;
    if !folder.is_dir() {
        return Err(FileError::Foreign("its folder is a link, or none"));
    }
    if folder.permissions().mode() & OTHERS_WRITE != 0 {
        return Err(FileError::Foreign("anybody may write to its folder"));
    }
    let file = open_without_link(path)?;
    let owner = file.metadata()?.uid();
    if owner != 0 && owner != folder.uid() {
        return Err(FileError::Foreign(
            "its owner is neither that of its folder nor root",
        ));
    }
    read_opened(file, limits::CHALLENGE_FILE_BYTES)
}

/// The folder's own permissions are all that can be asked for here.
#[cfg(not(unix))]
fn read_own(_: &Path, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read_bounded(path, limits::CHALLENGE_FILE_BYTES)
}

/// A link is refused: where it leads is not what the answer named.
#[cfg(unix)]
fn open_without_link(path: &Path) -> Result<File, FileError> {
    use rustix::fs::OFlags;

    let opened = open_with(path, OFlags::NONBLOCK | OFlags::NOFOLLOW);
    opened.map_err(|error| match error {
        FileError::Io(error)
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
        {
            FileError::Foreign("it is a link")
        }
        error => error,
    })
}

/// Opening a pipe would wait for a writer; this does not.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, FileError> {
    // it has no meaning for regular files
    open_with(path, rustix::fs::OFlags::NONBLOCK)
}

#[cfg(unix)]
fn open_with(path: &Path, flags: rustix::fs::OFlags) -> Result<File, FileError> {
    use std::os::unix::fs::OpenOptionsExt;

    File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(FileError::from)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(FileError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("edgepass-files-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_bound_is_exact() {
        let dir = Dir::new("bound");
        let path = dir.0.join("f");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_bounded(&path, 100).unwrap().len(), 100);
        assert!(matches!(
            read_bounded(&path, 99),
            Err(FileError::TooLarge { limit: 99 })
        ));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = Dir::new("kind");
        assert!(matches!(
            read_bounded(&dir.0, 100),
            Err(FileError::NotAFile)
        ));
        assert!(matches!(
            read_bounded(&dir.0.join("none"), 100),
            Err(FileError::NotFound)
        ));
        assert!(matches!(
            read_bounded(Path::new("/dev/zero"), 100),
            Err(FileError::NotAFile)
        ));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let dir = Dir::new("link");
        std::fs::write(dir.0.join("data"), "x").unwrap();
        std::os::unix::fs::symlink("data", dir.0.join("token")).unwrap();
        assert_eq!(
            read_bounded(&dir.0.join("token"), 10).unwrap().as_slice(),
            b"x"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_an_answer_names_is_the_platform_s_own() {
        use std::os::unix::fs::PermissionsExt;

        let dir = Dir::new("own");
        let write = |name: &str, bytes: usize| {
            let path = dir.0.join(name);
            std::fs::write(&path, vec![b'k'; bytes]).unwrap();
            path
        };
        let mode = |mode: u32| {
            std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let read = |path: &Path| read_own(&dir.0, path);
        mode(0o750);
        let (good, large) = (write("good.key", 4096), write("large.key", 4097));
        assert_eq!(read(&good).unwrap().len(), 4096);
        assert!(matches!(
            read(&large),
            Err(FileError::TooLarge { limit: 4096 })
        ));
        let link = dir.0.join("link.key");
        std::os::unix::fs::symlink(&good, &link).unwrap();
        assert!(matches!(
            read(&link),
            Err(FileError::Foreign("it is a link"))
        ));
        assert!(matches!(
            read(&dir.0.join("none.key")),
            Err(FileError::NotFound)
        ));
        mode(0o757);
        assert!(matches!(
            read(&good),
            Err(FileError::Foreign("anybody may write to its folder"))
        ));
        mode(0o750);
        // whoever may give files away: others are refused before there is anything to check
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&good, Some(65_534), None).unwrap();
            assert!(matches!(read(&good), Err(FileError::Foreign(_))));
        }
    }

    #[tokio::test]
    async fn a_folder_s_files_are_read_by_the_rules_for_it() {
        let dir = Dir::new("folder");
        let directory = dir.0.to_str().unwrap().to_owned();
        std::fs::write(dir.0.join("a.key"), [b'k'; 5000]).unwrap();
        let path = format!("{directory}/a.key");
        let named = TokenFiles::new([(FilePattern::Exact(path.clone()), String::new())]);
        assert_eq!(named.fetch(path.clone()).await.unwrap().len(), 5000);
        let suffix = ".key".to_owned();
        let folder =
            TokenFiles::new([(FilePattern::Directory { directory, suffix }, String::new())]);
        assert!(folder.permits(&path) && folder.named().next().is_none());
        assert!(matches!(
            folder.fetch(path).await,
            Err(FileError::TooLarge { limit: 4096 })
        ));
    }

    #[test]
    fn only_named_files_are_permitted() {
        let files = TokenFiles::new([(FilePattern::Exact("/a/token".to_owned()), String::new())]);
        assert!(files.permits("/a/token"));
        for other in ["/a/../a/token", "/a/token/", "/a", "/etc/passwd", ""] {
            assert!(!files.permits(other), "{other}");
        }
    }
}
