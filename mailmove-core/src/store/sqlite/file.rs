//! The file of a ledger: made for this user alone, locked, and of a format we know.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::error::{damaged, exposed, file_error, foreign, newer, store_error};
use crate::error::Result;

/// The format that this version writes, kept in `user_version`.
const VERSION: i64 = 4;
/// "mvlg", kept in `application_id`: tells a ledger from any other database.
const APPLICATION: i64 = 0x6d76_6c67;
const SCHEMA: &str = include_str!("schema.sql");
/// What makes a ledger of an older format one of the next, from format 1 on.
const STEPS: [&str; 3] = [
    include_str!("from-1.sql"),
    include_str!("from-2.sql"),
    include_str!("from-3.sql"),
];

/// Makes the directory, if need be, for this user alone.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| file_error(path, "the state directory cannot be made", error))?;
    check_directory(path)
}

/// Where anybody may make files, anybody may put others in the place of ours: a ledger of his own, or
/// a link to a file that we then write to.
#[cfg(unix)]
fn check_directory(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error| file_error(path, "the state directory cannot be read", error);
    let mode = path.metadata().map_err(failed)?.permissions().mode();
    match mode & 0o002 {
        0 => Ok(()),
        _ => Err(exposed(path)),
    }
}

#[cfg(not(unix))]
fn check_directory(_: &Path) -> Result<()> {
    Ok(())
}

/// Opens a file for reading and writing; a new one is this user's alone.
fn open_private(path: &Path) -> std::io::Result<File> {
    // A link may lead to any file of this user's.
    if path
        .symlink_metadata()
        .is_ok_and(|found| found.is_symlink())
    {
        return Err(std::io::Error::other("it is a symbolic link"));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Locks the job for this process. The kernel lets go of it when the process ends, however it ends,
/// so the file is never removed: its name must always lead to the same lock.
pub(super) fn lock(path: &Path) -> Result<File> {
    let failed = |error| file_error(path, "the lock of the ledger cannot be had", error);
    let mut file = open_private(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only a help for the reader of the message.
            let _ = file.take(32).read_to_string(&mut holder);
            let holder = Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty());
            return Err(super::super::locked(path.display().to_string(), holder));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Who holds it, for people; the lock does not depend on it.
    let _ = file.set_len(0).and_then(|()| {
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    });
    Ok(file)
}

/// Bytes of a ledger that is checked each time it is opened: some 20,000 messages. A second does for
/// some 100,000.
const CHECKED_ALWAYS: u64 = 4 << 20;

/// Opens the file for writing, makes the tables if it is new, and refuses what is not ours, or not
/// whole any more.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let failed = |error| store_error(path, error);
    let check = wants_check(path);
    drop(open_private(path).map_err(|error| file_error(path, "the ledger cannot be made", error))?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection).map_err(failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(failed)?;
    let version = pragma("user_version").map_err(failed)?;
    match (tables, application, version) {
        (0, 0, 0) => create(&mut connection).map_err(failed)?,
        (_, APPLICATION, VERSION) => {}
        (_, APPLICATION, version) if version > VERSION => {
            return Err(newer(path, version, VERSION));
        }
        (_, APPLICATION, version) if version > 0 => {
            upgrade(&mut connection, version).map_err(failed)?;
        }
        _ => return Err(foreign(path)),
    }
    if check {
        check_whole(&connection, path)?;
    }
    Ok(connection)
}

/// Whoever had the ledger last did not close it, or it is small enough to be looked at in any case.
pub(super) fn wants_check(path: &Path) -> bool {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    size(Path::new(&log)) > 0 || size(path) <= CHECKED_ALWAYS
}

/// A page that was lost is told before anybody counts on what is left: an index that misses an entry
/// would have a message sent twice.
fn check_whole(connection: &Connection, path: &Path) -> Result<()> {
    let found = connection.query_row("PRAGMA integrity_check(1)", [], |row| {
        row.get::<_, String>(0)
    });
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(damaged(path, found)),
        Err(error) => Err(store_error(path, error)),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // An operator may look into the file while we work.
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A power loss must not take away what was answered.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is kept of a page while a statement may still fail goes to no file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Negative: KiB. More does not make it faster, since most rows are written once, in order.
    connection.pragma_update(None, "cache_size", -2048)?;
    // Each folding-in writes what most commits change anew, and waits for the disk twice.
    connection.pragma_update(None, "wal_autocheckpoint", (16 << 20) / 4096)?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Brings a ledger of an older format up to date: all of it, or nothing.
fn upgrade(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (version, step) in (1..).zip(STEPS) {
        if version >= from {
            transaction.execute_batch(step)?;
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// A second connection that can only read, so that reading never waits for a commit.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "cache_size", -1024)?;
        Ok(connection)
    };
    open().map_err(|error| store_error(path, error))
}
