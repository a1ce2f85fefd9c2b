//! Where servers live, and as whom they run.

use std::fs::{DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, process, workspace};

/// The longest path that still leaves room for Dovecot's socket names: a socket's address holds
/// 107 bytes.
const LONGEST: usize = 107 - "/run/expired/base/login/ipc-proxy-and-more".len();

/// The directory of packages, configuration, state and mail: `target/servers` where that works.
///
/// It does not work below a directory that only root may enter (root runs the servers as an
/// unprivileged user), nor where socket names would get too long; then a directory below /var/tmp
/// is used that is bound to this checkout.
pub(crate) fn servers_dir() -> Result<PathBuf> {
    let wanted = workspace::target()?.join("servers");
    std::fs::create_dir_all(&wanted)?;
    if wanted.as_os_str().len() <= LONGEST && (euid()? != 0 || enterable_by_all(&wanted)) {
        return Ok(wanted);
    }
    let mut hasher = DefaultHasher::new();
    wanted.hash(&mut hasher);
    let name = format!("mailmove-{}-{:016x}", euid()?, hasher.finish());
    let fallback = Path::new("/var/tmp").join(name);
    own_directory(&fallback)?;
    Ok(fallback)
}

fn enterable_by_all(dir: &Path) -> bool {
    dir.ancestors().all(|dir| {
        dir.metadata()
            .is_ok_and(|meta| meta.mode() & 0o005 == 0o005)
    })
}

/// A directory in memory that belongs to this place, for a server that waits for the disk at each
/// step. None where memory is no file system, or a small one.
pub(crate) fn in_memory(place: &Path) -> Option<PathBuf> {
    let dir = memory_of(place);
    let mut df = Command::new("df");
    let free = process::capture(df.args(["-k", "--output=avail"]).arg(MEMORY)).ok()?;
    let free: u64 = free.lines().nth(1)?.trim().parse().ok()?;
    (free >= ENOUGH_KB).then_some(())?;
    own_directory(&dir).ok()?;
    Some(dir)
}

const MEMORY: &str = "/dev/shm";
const ENOUGH_KB: u64 = 4 << 20;

fn memory_of(place: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    Path::new(MEMORY).join(format!("mailmove-{:016x}", hasher.finish()))
}

/// Removes what was in memory for this place.
pub(crate) fn forget_memory(place: &Path) -> Result<()> {
    match std::fs::remove_dir_all(memory_of(place)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Creates a directory below one that everybody may write to, and makes sure that it is ours.
fn own_directory(dir: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let meta = dir.symlink_metadata()?;
    if !meta.is_dir() || meta.uid() != euid()? || meta.mode() & 0o022 != 0 {
        return Err(format!(
            "{} exists and is not a directory that only you can write to; remove it and try again",
            dir.display()
        )
        .into());
    }
    Ok(())
}

/// The user whose rights this process has.
pub(crate) fn euid() -> Result<u32> {
    Ok(std::fs::metadata("/proc/self")?.uid())
}

/// The user and group that the servers run as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether the starting process has to change to it.
    pub(crate) change: bool,
}

impl Account {
    /// The current user; for root, who may not own mail, Debian's `nobody`.
    pub(crate) fn of_servers() -> Result<Self> {
        let change = euid()? == 0;
        let ask = |flag: &str| -> Result<String> {
            let mut id = Command::new("id");
            id.arg(flag);
            if change {
                id.arg("nobody");
            }
            let said = process::capture(&mut id).map_err(|error| {
                format!("{error}\nDovecot needs a user that has a name in /etc/passwd")
            })?;
            Ok(said.trim().to_owned())
        };
        Ok(Self {
            user: ask("-un")?,
            group: ask("-gn")?,
            uid: ask("-u")?.parse()?,
            gid: ask("-g")?.parse()?,
            change,
        })
    }

    /// Creates a directory that the servers can write to, and only they and root can read.
    pub(crate) fn create_dir(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        if self.change {
            std::os::unix::fs::chown(dir, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}
