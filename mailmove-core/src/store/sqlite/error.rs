//! What SQLite's errors mean to the user.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

const KEEP_OR_RESTORE: &str = "Restore the file from a backup, or move it and its -wal file away: \
     the next run then looks at what is at the destination and copies only what is missing.";

/// A failure of the file at `path`.
pub(super) fn store_error(path: &Path, error: rusqlite::Error) -> Error {
    describe(path, meaning(&error), error)
}

/// A value that this version does not understand is damage too.
pub(super) fn meaning(error: &rusqlite::Error) -> Option<ErrorCode> {
    use rusqlite::Error as E;
    match error {
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => Some(ErrorCode::DatabaseCorrupt),
        _ => error.sqlite_error_code(),
    }
}

/// The same failure for several commits of one transaction: errors cannot be cloned.
pub(super) fn shared_error(path: &Path, code: Option<ErrorCode>, text: &str) -> Error {
    describe(path, code, text.to_owned())
}

/// SQLite's own check found the file damaged.
pub(super) fn damaged(path: &Path, found: String) -> Error {
    describe(path, Some(ErrorCode::DatabaseCorrupt), found)
}

fn describe(
    path: &Path,
    code: Option<ErrorCode>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let (code, message, remedy) = match code {
        Some(ErrorCode::DiskFull) => (
            "store/full",
            "the disk of the state directory is full",
            "Free some space and run again; nothing is lost.",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
            "store/read-only",
            "the ledger cannot be opened or written",
            "Make the state directory and the files in it writable for this user, or choose \
             another directory.",
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            ("store/corrupt", "the ledger is damaged", KEEP_OR_RESTORE)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            "store/busy",
            "another program is writing to the ledger",
            "Close programs that have the file open for writing (for example the sqlite3 tool) and \
             run again.",
        ),
        Some(ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed) => (
            "store/io",
            "reading or writing the ledger failed",
            "Check that the state directory has space, that no limit on the size of files holds, and \
             that its disk and file system, which should be a local one, are well; and run again.",
        ),
        _ => (
            "store",
            "the ledger failed",
            "Run again; if it stays, report it.",
        ),
    };
    Error::new(ErrorKind::Store, message)
        .with_code(code)
        .with_remedy(remedy)
        .with_context("file", path.display().to_string())
        .with_source(source)
}

/// A failure of the file system around the ledger.
pub(super) fn file_error(path: &Path, what: &'static str, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (code, remedy) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ("store/full", "Free some space and run again."),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            "store/read-only",
            "Make the state directory writable for this user, or choose another one.",
        ),
        Io::NotADirectory | Io::AlreadyExists => (
            "store/io",
            "Something else has that name; choose another state directory.",
        ),
        _ => (
            "store/io",
            "Choose a state directory on a local file system.",
        ),
    };
    Error::new(ErrorKind::Store, what)
        .with_code(code)
        .with_remedy(remedy)
        .with_context("file", path.display().to_string())
        .with_source(error)
}

/// The file was written by a newer version.
pub(super) fn newer(path: &Path, found: i64, known: i64) -> Error {
    Error::new(
        ErrorKind::Store,
        "the ledger was written by a newer version of mailmove",
    )
    .with_code("store/newer")
    .with_remedy("Use that version, or a newer one, to go on with this migration.")
    .with_context("file", path.display().to_string())
    .with_context("format", found.to_string())
    .with_context("known up to", known.to_string())
}

/// The file is a database, but none of ours.
pub(super) fn foreign(path: &Path) -> Error {
    Error::new(ErrorKind::Store, "the file is not a ledger of mailmove")
        .with_code("store/foreign")
        .with_remedy("Choose another state directory.")
        .with_context("file", path.display().to_string())
}

/// Every user of the machine may make files where the ledger is to be.
#[cfg_attr(
    not(unix),
    allow(dead_code, reason = "what is asked for is known on Unix alone")
)]
pub(super) fn exposed(path: &Path) -> Error {
    Error::new(
        ErrorKind::Store,
        "every user of this machine may make files in the state directory",
    )
    .with_code("store/exposed")
    .with_remedy("Choose a directory of your own, or take that right away (chmod o-w).")
    .with_context("directory", path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_code_and_a_remedy() {
        for (raw, code) in [
            (rusqlite::ffi::SQLITE_FULL, "store/full"),
            (rusqlite::ffi::SQLITE_READONLY, "store/read-only"),
            (rusqlite::ffi::SQLITE_CANTOPEN, "store/read-only"),
            (rusqlite::ffi::SQLITE_CORRUPT, "store/corrupt"),
            (rusqlite::ffi::SQLITE_NOTADB, "store/corrupt"),
            (rusqlite::ffi::SQLITE_BUSY, "store/busy"),
            (rusqlite::ffi::SQLITE_IOERR_FSYNC, "store/io"),
            (rusqlite::ffi::SQLITE_ERROR, "store"),
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(raw), None);
            let error = store_error(Path::new("x.sqlite3"), error);
            assert_eq!((error.kind(), error.code()), (ErrorKind::Store, code));
            assert!(error.remedy().is_some() && error.to_string().contains("x.sqlite3"));
        }
    }

    #[test]
    fn each_failure_of_the_file_system_has_a_code_and_its_remedy() {
        use std::io::ErrorKind as Io;
        for (kind, code, remedy) in [
            (Io::StorageFull, "store/full", "Free some space"),
            (Io::QuotaExceeded, "store/full", "Free some space"),
            (Io::PermissionDenied, "store/read-only", "writable"),
            (Io::ReadOnlyFilesystem, "store/read-only", "writable"),
            (Io::NotADirectory, "store/io", "Something else"),
            (Io::AlreadyExists, "store/io", "Something else"),
            (Io::Unsupported, "store/io", "local file system"),
        ] {
            let error = file_error(Path::new("x.lock"), "it failed", kind.into());
            assert_eq!((error.kind(), error.code()), (ErrorKind::Store, code));
            assert!(error.remedy().unwrap().contains(remedy), "{error}");
            assert!(error.to_string().contains("x.lock"));
        }
    }
}
