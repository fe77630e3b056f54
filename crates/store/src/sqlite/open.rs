//! Opening: files of the right mode, a lock, the connection's settings, a whole database, its schema brought forward.

use crate::error::StoreError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::FlockOperation;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "Vigo", so that the file of another program is told apart (<https://www.sqlite.org/fileformat.html#application_id>).
const APPLICATION: i64 = 0x5669_676f;
/// Every schema since the first, in order: the n-th brings a store from n-1 to n.
const SCHEMAS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];
/// How long a statement waits for a lock. Nobody else writes, so this is for a person's `sqlite3`.
const BUSY: Duration = Duration::from_secs(5);
/// How far the write-ahead log may stay grown after a large publish.
const LOG_KEPT: i64 = 64 << 20;
/// Prepared statements kept per connection: more than there are.
const STATEMENTS: usize = 128;

/// Makes folder and file where they are missing, refuses what others may read, and takes the lock that the returned file holds.
pub(super) fn prepare_files(path: &Path) -> Result<File, StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| cannot_open(folder, source))?;
    private(folder)?;
    let lock = private_file(&beside(path, ".lock"))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse { path: path.into() }),
        Err(errno) => return Err(cannot_open(path, io::Error::from(errno))),
    }
    // SQLite gives the log and its index the mode of the database file, so this one decides for all three.
    private_file(path)?;
    Ok(lock)
}

fn private_file(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
        .map_err(|source| cannot_open(path, source))?;
    private(path)?;
    Ok(file)
}

/// `O_NOFOLLOW`: a link in the place of the file is not the store.
fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

fn private(path: &Path) -> Result<(), StoreError> {
    let mode =
        std::fs::metadata(path).map_err(|source| cannot_open(path, source))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(StoreError::Exposed { path: path.into(), mode }) }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    path.with_file_name(name)
}

fn cannot_open(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Open { path: path.into(), source: source.into() }
}

/// The connection that writes; the database is whole and of the newest schema when this returns.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |source: rusqlite::Error| damaged_or(path, source);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    settings(&connection).map_err(failed)?;
    let application = number(&connection, "application_id").map_err(failed)?;
    let schema = number(&connection, "user_version").map_err(failed)?;
    let fresh = application == 0 && schema == 0 && is_bare(&connection).map_err(failed)?;
    if !fresh && application != APPLICATION {
        return Err(StoreError::Foreign { path: path.into() });
    }
    let known = i64::try_from(SCHEMAS.len()).unwrap_or(i64::MAX);
    if schema > known {
        return Err(StoreError::Newer { path: path.into(), found: schema, known });
    }
    for (setting, value) in [("journal_mode", "wal"), ("synchronous", "full")] {
        connection
            .pragma_update_and_check(None, setting, value, |_| Ok(()))
            .or_else(|error| if is_no_row(&error) { Ok(()) } else { Err(error) })
            .map_err(failed)?;
    }
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(())).map_err(failed)?;
    whole(path, &connection)?;
    bring_forward(&mut connection, schema).map_err(failed)?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        settings(&connection)?;
        Ok(connection)
    };
    open().map_err(|source: rusqlite::Error| cannot_open(path, source))
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is overwritten: a sealed record that was removed is gone from the file too.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))
}

fn bring_forward(connection: &mut Connection, schema: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(schema).unwrap_or(0);
    for (index, statements) in SCHEMAS.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(statements)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(
            None,
            "user_version",
            i64::try_from(index).unwrap_or(0).saturating_add(1),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses a damaged file now rather than in the middle of an answer.
fn whole(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let detail: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| damaged_or(path, source))?;
    if detail == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.into(), detail }) }
}

fn damaged_or(path: &Path, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => StoreError::Foreign { path: path.into() },
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.into(), detail: source.to_string() }
        }
        _ => cannot_open(path, source),
    }
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn is_bare(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn is_no_row(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::QueryReturnedNoRows)
}
