//! What is SQLite's own: files and their modes, the lock, damage, tampering, what a crash leaves, older schemas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vigo_base::{EnvoyId, SecretVersion};
use vigo_store::{NewAudit, NewSecret, Page, SqliteStore, Store, StoreError, TokenId};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("srv/store.db")
    }

    fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.file())
    }

    /// The error with which it does not open.
    fn refusal(&self) -> StoreError {
        self.open().err().unwrap()
    }

    /// Changes the file as an attacker or a bug might, with the triggers out of the way.
    fn tamper(&self, sql: &str) {
        let raw = Connection::open(self.file()).unwrap();
        raw.execute_batch(sql).unwrap();
    }
}

fn entry(object: &str) -> NewAudit {
    NewAudit {
        at_ms: 1,
        actor: "admin".into(),
        action: "test".into(),
        object: object.into(),
        outcome: "allowed".into(),
        detail: String::new(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_file_is_the_owners_alone() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.append_audit(&[entry("a")]).unwrap();
    assert_eq!(mode(place.file().parent().unwrap()), 0o700);
    let files: Vec<_> = fs::read_dir(place.file().parent().unwrap()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 4, "database, log, its index, lock");
    for file in files {
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.path());
    }
}

#[test]
fn a_file_or_folder_that_others_may_read_is_refused_with_the_command() {
    let place = Place::new();
    drop(place.open().unwrap());
    for (path, open, closed) in
        [(place.file(), 0o640, 0o600), (place.file().parent().unwrap().into(), 0o711, 0o700)]
    {
        fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let refusal = place.refusal();
        assert!(matches!(refusal, StoreError::Exposed { .. }));
        assert!(refusal.to_string().contains("chmod go="), "{refusal}");
        fs::set_permissions(&path, Permissions::from_mode(closed)).unwrap();
    }
    place.open().unwrap();
}

#[test]
fn a_store_is_open_once() {
    let place = Place::new();
    let first = place.open().unwrap();
    assert!(matches!(place.refusal(), StoreError::InUse { .. }));
    drop(first);
    place.open().unwrap();
}

#[test]
fn a_link_in_the_place_of_the_file_is_refused() {
    let place = Place::new();
    drop(place.open().unwrap());
    let elsewhere = place.folder.path().join("elsewhere.db");
    fs::rename(place.file(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.file()).unwrap();
    assert!(matches!(place.refusal(), StoreError::Open { .. }));
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let place = Place::new();
    drop(place.open().unwrap());
    fs::write(
        place.file(),
        b"this is a letter, not a database, and it is longer than the header of one ....",
    )
    .unwrap();
    assert!(matches!(place.refusal(), StoreError::Foreign { .. }));
    fs::write(place.file(), b"").unwrap();
    place.tamper("CREATE TABLE cats (name TEXT)");
    assert!(matches!(place.refusal(), StoreError::Foreign { .. }));
}

#[test]
fn a_store_of_a_newer_schema_is_left_alone() {
    let place = Place::new();
    drop(place.open().unwrap());
    place.tamper("PRAGMA user_version = 99");
    assert!(matches!(place.refusal(), StoreError::Newer { found: 99, .. }));
}

#[test]
fn a_damaged_file_does_not_open() {
    let place = Place::new();
    drop(place.open().unwrap());
    let mut bytes = fs::read(place.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    fs::write(place.file(), bytes).unwrap();
    assert!(matches!(place.refusal(), StoreError::Damaged { .. }), "{}", place.refusal());
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let place = Place::new();
    let store = place.open().unwrap();
    let path = "web/token".parse().unwrap();
    let secret = NewSecret { path: &path, version: SecretVersion(1), record: b"sealed", at: 1, by: "admin" };
    store.put_secret(&secret, &[entry("set")]).unwrap();
    // The files as a crash would leave them: nothing was closed, the log not folded in.
    let other = Place::new();
    fs::create_dir(other.file().parent().unwrap()).unwrap();
    fs::set_permissions(other.file().parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    for ending in ["", "-wal"] {
        let name = format!("store.db{ending}");
        fs::copy(place.file().with_file_name(&name), other.file().with_file_name(&name)).unwrap();
    }
    let after = other.open().unwrap();
    assert_eq!(after.secret_record(&path, None).unwrap().unwrap().record, b"sealed");
    assert_eq!(after.verify_audit().unwrap().records, 1);
}

#[test]
fn a_removed_record_is_gone_from_the_files() {
    let place = Place::new();
    let path = "web/token".parse().unwrap();
    let record = b"record-0123456789-record";
    {
        let store = place.open().unwrap();
        let secret = NewSecret { path: &path, version: SecretVersion(1), record, at: 1, by: "admin" };
        store.put_secret(&secret, &[]).unwrap();
        assert!(holds(&place, record), "the search must be able to find");
        store.remove_secret(&path, 2, "admin", &[]).unwrap();
    }
    drop(place.open().unwrap());
    assert!(!holds(&place, record));
}

fn holds(place: &Place, wanted: &[u8]) -> bool {
    fs::read_dir(place.file().parent().unwrap()).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(wanted.len()).any(|window| window == wanted)
    })
}

#[test]
fn audit_records_cannot_be_changed_or_removed_through_the_database() {
    let place = Place::new();
    place.open().unwrap().append_audit(&[entry("a"), entry("b")]).unwrap();
    let raw = Connection::open(place.file()).unwrap();
    for sql in
        ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit WHERE sequence = 2", "DELETE FROM audit_head"]
    {
        let error = raw.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
}

#[test]
fn a_tampered_audit_is_found_at_the_record() {
    let without = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_shortened;";
    for (sql, at) in [
        ("UPDATE audit SET actor = 'eve' WHERE sequence = 2", 2),
        ("UPDATE audit SET digest = zeroblob(32) WHERE sequence = 3", 3),
        ("DELETE FROM audit WHERE sequence = 1", 1),
        ("DELETE FROM audit WHERE sequence = 2", 2),
        ("DELETE FROM audit WHERE sequence = 4", 4),
    ] {
        let place = Place::new();
        place.open().unwrap().append_audit(&["a", "b", "c", "d"].map(entry)).unwrap();
        place.tamper(&format!("{without} {sql}"));
        let verdict = place.open().unwrap().verify_audit().unwrap();
        assert_eq!(verdict.broken.map(|(sequence, _)| sequence), Some(at), "{sql}");
        assert_eq!(verdict.records, at - 1);
    }
}

#[test]
fn what_is_malformed_is_an_error_and_no_default() {
    let place = Place::new();
    drop(place.open().unwrap());
    place.tamper(
        "INSERT INTO envoy_ids VALUES (zeroblob(16));
         INSERT INTO envoys (id, name, identity_key, session_key, labels, mac, state, enrolled_at)
         VALUES (zeroblob(16), 'NOT A NAME', zeroblob(32), zeroblob(32), '{', x'', 'active', 1)",
    );
    let store = place.open().unwrap();
    let id = EnvoyId::from_bytes(&[0; 16]).unwrap();
    assert!(matches!(store.envoy(&id), Err(StoreError::Malformed { .. })));
    store.ping().unwrap();
}

#[test]
fn a_store_of_schema_1_opens_and_holds_what_it_held() {
    let place = Place::new();
    fs::create_dir(place.file().parent().unwrap()).unwrap();
    fs::set_permissions(place.file().parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    place.tamper(include_str!("released/schema_1.sql"));
    fs::set_permissions(place.file(), Permissions::from_mode(0o600)).unwrap();
    let store = place.open().unwrap();
    assert_eq!(store.deployment().unwrap().unwrap().term, 3);
    assert_eq!(store.keys("bundle").unwrap().len(), 1);
    assert_eq!(store.tree(1).unwrap().unwrap(), b"tree");
    assert_eq!(store.bundles_of(1).unwrap().len(), 1);
    let envoy = store.envoy_named("web-1").unwrap().unwrap();
    assert_eq!((envoy.environment.as_str(), envoy.last_run.unwrap().summary.blocked), ("production", 4));
    assert_eq!(store.assignments(&envoy.identity.id).unwrap()[0].generation, 7);
    assert_eq!(store.token(&TokenId::from_bytes(&[10]).unwrap()).unwrap().unwrap().uses_left, 2);
    let path = "web/token".parse().unwrap();
    assert_eq!(store.secret_record(&path, None).unwrap().unwrap().record, [0x11]);
    assert_eq!(store.last_secret_change().unwrap(), 2);
    assert_eq!(store.runs(None, Page::first(9)).unwrap().items.len(), 1);
    assert_eq!(store.run(&[0; 16]).unwrap().unwrap().1.run, [0; 16]);
    assert_eq!(store.verify_audit().unwrap().broken, None);
}

#[test]
fn a_store_brought_forward_has_the_schema_of_a_new_one() {
    let schema = |place: &Place| {
        let raw = Connection::open(place.file()).unwrap();
        let mut statement =
            raw.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let lines = statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
        lines.collect::<Vec<_>>()
    };
    let (new, old) = (Place::new(), Place::new());
    drop(new.open().unwrap());
    fs::create_dir(old.file().parent().unwrap()).unwrap();
    fs::set_permissions(old.file().parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
    old.tamper(include_str!("released/schema_1.sql"));
    fs::set_permissions(old.file(), Permissions::from_mode(0o600)).unwrap();
    drop(old.open().unwrap());
    assert_eq!(schema(&old), schema(&new));
}
