//! Published versions. Trees, tables and bundles are stored once per digest, however many versions share them.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::page::{Listing, Page};
use crate::publish::{Git, NewPublish, Publish};
use rusqlite::{Row, Transaction, params};
use vigo_base::{Digest, limits};

/// An operator's message, a name, a commit.
const TEXT: usize = 4096;
/// An encoded tree is its files and a little more.
const ENCODED_TREE: usize = limits::TREE.saturating_add(limits::TREE_FILES.saturating_mul(512));

impl SqliteStore {
    pub(super) fn write_publish(&self, new: &NewPublish<'_>, audit: &[NewAudit]) -> Result<u64, StoreError> {
        self.write_audited("publish", audit, |transaction| {
            let current = current(transaction)?.map_or(0, |publish| publish.version);
            if let Some(base) = new.base
                && base != current
            {
                return Err(StoreError::StaleBase { base, current }.into());
            }
            insert(transaction, new)
        })
    }

    pub(super) fn read_current(&self) -> Result<Option<Publish>, StoreError> {
        self.read("read the current version", current)
    }

    pub(super) fn read_publish(&self, version: u64) -> Result<Option<Publish>, StoreError> {
        let Some(version) = rows::version(version) else { return Ok(None) };
        self.read("read a version", |transaction| {
            let statement = transaction.prepare_cached("SELECT * FROM publishes WHERE version = ?1")?;
            rows::first(statement, [version], publish)
        })
    }

    pub(super) fn list_publishes(&self, page: Page<'_>) -> Result<Listing<Publish>, StoreError> {
        let limit = page.bounded();
        self.read("list the versions", |transaction| {
            let before = rows::number(page.cursor)?.unwrap_or(i64::MAX.unsigned_abs());
            let statement = transaction.prepare_cached(
                "SELECT * FROM publishes WHERE version < ?1 ORDER BY version DESC LIMIT ?2",
            )?;
            let items = rows::all(statement, params![before, rows::rows_wanted(limit)], publish)?;
            Ok(Listing::cut(items, limit, |publish| publish.version.to_string()))
        })
    }

    pub(super) fn read_tree(&self, version: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(version) = rows::version(version) else { return Ok(None) };
        self.read("read a tree", |transaction| {
            blob(
                transaction,
                "SELECT b.* FROM publishes p JOIN blobs b ON b.digest = p.tree WHERE p.version = ?1",
                version,
            )
        })
    }

    pub(super) fn read_index(&self, version: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(version) = rows::version(version) else { return Ok(None) };
        self.read("read a version's table", |transaction| {
            blob(
                transaction,
                "SELECT b.* FROM publishes p JOIN blobs b ON b.digest = p.lookup WHERE p.version = ?1",
                version,
            )
        })
    }

    pub(super) fn list_bundles(&self, version: u64) -> Result<Vec<Digest>, StoreError> {
        self.read("list a version's bundles", |transaction| {
            let statement = transaction
                .prepare_cached("SELECT digest FROM publish_bundles WHERE version = ?1 ORDER BY digest")?;
            rows::all(statement, [version], |row| rows::digest(row, "digest"))
        })
    }

    pub(super) fn read_bundle(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read a bundle", |transaction| {
            let sql = "SELECT * FROM blobs WHERE digest = ?1 AND EXISTS (SELECT 1 FROM publish_bundles b WHERE b.digest = ?1)";
            blob(transaction, sql, digest.as_bytes())
        })
    }
}

fn current(transaction: &Transaction<'_>) -> Result<Option<Publish>, Fault> {
    let statement = transaction.prepare_cached("SELECT * FROM publishes ORDER BY version DESC LIMIT 1")?;
    rows::first(statement, [], publish)
}

fn insert(transaction: &Transaction<'_>, new: &NewPublish<'_>) -> Result<u64, Fault> {
    rows::bounded("tree", new.tree.len(), ENCODED_TREE)?;
    rows::bounded("version's table", new.index.len(), limits::BUNDLE)?;
    rows::bounded("message", new.message.len(), TEXT)?;
    rows::bounded("name", new.by.len(), TEXT)?;
    rows::bounded("commit", new.git.map_or(0, |git| git.commit.len()), TEXT)?;
    let tree = put_blob(transaction, Digest::of(new.tree), new.tree)?;
    let index = put_blob(transaction, Digest::of(new.index), new.index)?;
    transaction
        .prepare_cached("INSERT INTO publishes (at, by, message, git_commit, git_dirty, tree, lookup) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            new.at,
            new.by,
            new.message,
            new.git.map(|git| git.commit.as_str()),
            new.git.map(|git| git.dirty),
            tree.as_bytes(),
            index.as_bytes()
        ])?;
    let version = u64::try_from(transaction.last_insert_rowid()).map_err(|_| rows::malformed("version"))?;
    let mut link = transaction.prepare_cached(
        "INSERT INTO publish_bundles (version, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for bundle in new.bundles {
        rows::bounded("bundle", bundle.bytes.len(), limits::BUNDLE)?;
        if Digest::of(bundle.bytes) != bundle.digest {
            return Err(rows::malformed("bundle: its digest is another"));
        }
        put_blob(transaction, bundle.digest, bundle.bytes)?;
        link.execute(params![version, bundle.digest.as_bytes()])?;
    }
    Ok(version)
}

fn put_blob(transaction: &Transaction<'_>, digest: Digest, bytes: &[u8]) -> Result<Digest, Fault> {
    transaction
        .prepare_cached("INSERT INTO blobs (digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![digest.as_bytes(), bytes])?;
    Ok(digest)
}

/// A blob whose bytes are still those that its digest names.
fn blob(
    transaction: &Transaction<'_>,
    sql: &str,
    key: impl rusqlite::ToSql,
) -> Result<Option<Vec<u8>>, Fault> {
    rows::first(transaction.prepare_cached(sql)?, [key], |row| {
        let bytes: Vec<u8> = row.get("bytes")?;
        if Digest::of(&bytes) == rows::digest(row, "digest")? {
            Ok(bytes)
        } else {
            Err(rows::malformed("blob"))
        }
    })
}

fn publish(row: &Row<'_>) -> Result<Publish, Fault> {
    let commit: Option<String> = row.get("git_commit")?;
    let dirty: Option<bool> = row.get("git_dirty")?;
    Ok(Publish {
        version: row.get("version")?,
        at: row.get("at")?,
        by: row.get("by")?,
        message: row.get("message")?,
        git: commit.map(|commit| Git { commit, dirty: dirty.unwrap_or(false) }),
        tree: rows::digest(row, "tree")?,
    })
}
