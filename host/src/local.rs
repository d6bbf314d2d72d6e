//! Whether reading a file can be trusted to end soon: one of this machine's own file systems, and not one that somebody
//! serves, over a network (NFS, CIFS, 9p) or in another process (FUSE). A thread that waits for a server that is gone
//! waits for ever, and cannot be stopped.
//!
//! So the question itself must ask no server. `statfs` would, and so would opening the path. The kernel's `openat2`
//! resolves one from its memory alone (`RESOLVE_CACHED`) and gives a handle that opens nothing (`O_PATH`); `statx` of
//! that says, again from memory (`AT_STATX_DONT_SYNC`), which mount it is on; and what kind of file system that is
//! stands in `/proc/self/mountinfo`. Whatever cannot be found out so counts as served.

use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::{Mutex, PoisonError};

/// Kinds of file systems that this machine reads by itself, as `/proc/filesystems` names them. One on a disk may be
/// slow, which is milliseconds. The disk itself may be a server's (iSCSI, RBD), which cannot be seen from here: when such a
/// one hangs, whatever reads it hangs. What stands on another one (an overlay's layers, a loop device's file) is where
/// the machine's own programs are, so nothing here runs without it.
#[cfg(target_os = "linux")]
const KINDS: &[&str] = &[
    "bcachefs", "btrfs", "devtmpfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs",
    "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// Mounts that are remembered. A configuration names a few files, and all are on one or two.
#[cfg(target_os = "linux")]
const REMEMBERED: usize = 16;

/// What is known of mounts.
#[derive(Default)]
pub(crate) struct Mounts {
    #[cfg(target_os = "linux")]
    known: Mutex<Vec<(u64, bool)>>,
}

/// One mount.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
struct Mount {
    /// Its number in `mountinfo`, which the next mount may get when it is gone, and its device's number with it.
    id: u64,
    /// A number that no other mount ever has. Linux has it from 6.8 on.
    unique: Option<u64>,
}

/// `STATX_MNT_ID_UNIQUE` of `linux/stat.h`.
#[cfg(target_os = "linux")]
const UNIQUE: rustix::fs::StatxFlags = rustix::fs::StatxFlags::from_bits_retain(0x4000);

impl Mounts {
    /// Whether this is a regular file on a file system of this machine. Asks nobody, so it does not block.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_local(&self, path: &Path) -> bool {
        let Some(mount) = mount_of(path) else {
            return false;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = known
            .iter()
            .find(|(unique, _)| Some(*unique) == mount.unique);
        if let Some((_, is_local)) = remembered {
            return *is_local;
        }
        let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
            return false;
        };
        let is_local = kind_of(&mounts, mount.id).is_some_and(|kind| KINDS.contains(&kind));
        if let Some(unique) = mount.unique {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.push((unique, is_local));
        }
        is_local
    }

    /// Other systems cannot be asked so.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_local(&self, _: &Path) -> bool {
        false
    }
}

/// The mount of a regular file, as far as the kernel knows it without asking anybody.
#[cfg(target_os = "linux")]
fn mount_of(path: &Path) -> Option<Mount> {
    use rustix::fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx,
    };

    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let from_memory = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::MNT_ID;
    let found = statx(&file, c"", from_memory, wanted).ok()?;
    let is_file = FileType::from_raw_mode(found.stx_mode.into()) == FileType::RegularFile;
    if !is_file || !StatxFlags::from_bits_retain(found.stx_mask).contains(wanted) {
        return None;
    }
    let unique = statx(&file, c"", from_memory, UNIQUE)
        .ok()
        .filter(|found| StatxFlags::from_bits_retain(found.stx_mask).contains(UNIQUE));
    Some(Mount {
        id: found.stx_mnt_id,
        unique: unique.map(|found| found.stx_mnt_id),
    })
}

/// The kind of a mount by its number: `36 35 98:0 /root /point rw shared:1 - ext4 /dev/sda rw` (proc_pid_mountinfo(5);
/// blanks in paths are escaped there).
#[cfg(target_os = "linux")]
fn kind_of(mounts: &str, id: u64) -> Option<&str> {
    let line = mounts
        .lines()
        .find(|line| line.split(' ').next().and_then(|n| n.parse().ok()) == Some(id))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_somebody_serves_are_not_local() {
        for (kind, expected) in [
            ("tmpfs", true),
            ("ext4", true),
            ("xfs", true),
            ("btrfs", true),
            ("overlay", true),
            ("nfs", false),
            ("nfs4", false),
            ("cifs", false),
            ("smb3", false),
            ("9p", false),
            ("virtiofs", false),
            ("fuse", false),
            ("fuseblk", false),
            ("fuse.sshfs", false),
            ("ceph", false),
            ("afs", false),
            ("autofs", false),
            ("proc", false),
            ("nobody knows", false),
        ] {
            let mounts = format!(
                "1 0 0:1 / / rw shared:1 - rootfs rootfs rw\n\
                 36 1 0:2 / /a\\040-\\040b rw,noatime master:1 propagate_from:2 - {} server:/x rw\n\
                 360 1 0:3 / /c rw - proc proc rw\n",
                kind.replace(' ', "_")
            );
            let found = kind_of(&mounts, 36).unwrap();
            assert_eq!(KINDS.contains(&found), expected, "{kind}: {found}");
        }
        for (mounts, id) in [("", 1), ("1 0 0:1 / / rw - tmpfs x rw\n", 2), ("1 cut", 1)] {
            assert_eq!(kind_of(mounts, id), None, "{mounts:?}");
        }
    }

    /// The kernel answers from its memory as far as that goes: what has left it, or a symbolic link whose time of access
    /// is due to be written, needs an ordinary look first, as the first one who reads the file takes.
    fn found_local(mounts: &Mounts, path: &Path) -> bool {
        (0..500).any(|_| {
            let local = mounts.is_local(path);
            if !local {
                let _ = std::fs::read_link(path);
                let _ = std::fs::metadata(path);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            local
        })
    }

    #[test]
    fn files_of_this_machine_are_local_and_nothing_else_is() {
        let mounts = Mounts::default();
        let folder = std::env::temp_dir().join(format!("edgepass-local-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("file");
        std::fs::write(&file, "x").unwrap();
        let link = folder.join("link");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("file", &link).unwrap();
        // the second time it is remembered
        for path in [&file, &link, &file, &link] {
            assert!(found_local(&mounts, path), "{}", path.display());
        }
        for path in [
            folder.as_path(),
            &folder.join("missing"),
            "/proc/self/status".as_ref(),
            "/dev/zero".as_ref(),
        ] {
            for _ in 0..2 {
                let _ = std::fs::metadata(path);
                assert!(!mounts.is_local(path), "{}", path.display());
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
