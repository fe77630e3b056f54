//! Secrets: names, versions, sealed records, and the sequence of their changes.

use super::rows::{self, Fault};
use super::{SqliteStore, envoys, secret_policies};
use crate::audit::NewAudit;
use crate::envoy::Entitled;
use crate::error::StoreError;
use crate::page::{Listing, PAGE_MAX, Page};
use crate::secret::{NewSecret, Secret, SecretChange, SecretHistory, SecretRecord, VersionState};
use rusqlite::{Row, Transaction, params};
use vigo_base::{EnvoyId, SecretPath, SecretVersion, limits};

/// A record: the value, its wrapped data key, nonces and tags.
const RECORD: usize = limits::SECRET_VALUE.saturating_add(4096);

impl SqliteStore {
    pub(super) fn read_next_version(&self, path: &SecretPath) -> Result<SecretVersion, StoreError> {
        self.read("read a secret's versions", |transaction| next(transaction, path))
    }

    pub(super) fn read_highest_version(&self) -> Result<SecretVersion, StoreError> {
        self.read("read the highest version of a secret", |transaction| {
            let sql = "SELECT max(coalesce((SELECT max(version) FROM secret_versions), 0), coalesce((SELECT version_floor FROM deployment), 0)) AS version";
            let highest = rows::first(transaction.prepare_cached(sql)?, [], |row| Ok(row.get("version")?))?;
            Ok(SecretVersion(highest.unwrap_or(0)))
        })
    }

    pub(super) fn write_secret(&self, new: &NewSecret<'_>, audit: &[NewAudit]) -> Result<u64, StoreError> {
        self.write_audited("store a secret", audit, |transaction| {
            rows::bounded("secret's record", new.record.len(), RECORD)?;
            let next = next(transaction, new.path)?;
            if next != new.version {
                return Err(StoreError::SecretVersion {
                    path: new.path.to_string(),
                    given: new.version.0,
                    next: next.0,
                }
                .into());
            }
            transaction
                .prepare_cached(
                    "UPDATE secret_versions SET state = 'kept' WHERE path = ?1 AND state = 'current'",
                )?
                .execute([new.path.as_str()])?;
            transaction
                .prepare_cached("INSERT INTO secret_versions (path, version, at, by, state, record) VALUES (?1, ?2, ?3, ?4, 'current', ?5)")?
                .execute(params![new.path.as_str(), new.version.0, new.at, new.by, new.record])?;
            change(transaction, new.path, Some(new.version))
        })
    }

    pub(super) fn read_secret(&self, path: &SecretPath) -> Result<Option<Secret>, StoreError> {
        self.read("read a secret's versions", |transaction| {
            let sql = format!("{SECRETS} AND c.path = ?1");
            rows::first(transaction.prepare_cached(&sql)?, [path.as_str()], secret)
        })
    }

    pub(super) fn read_record(
        &self,
        path: &SecretPath,
        version: Option<SecretVersion>,
    ) -> Result<Option<SecretRecord>, StoreError> {
        self.read("read a secret's record", |transaction| record(transaction, path, version))
    }

    pub(super) fn list_secrets(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Secret>, StoreError> {
        let limit = page.bounded();
        self.read("list the secrets", |transaction| {
            let sql = format!(
                "{SECRETS} AND c.path > ?1 AND c.path >= ?2 AND (?3 IS NULL OR c.path < ?3) ORDER BY c.path LIMIT ?4"
            );
            let after = page.cursor.unwrap_or_default();
            let wanted = params![after, prefix, rows::after_prefix(prefix), rows::rows_wanted(limit)];
            let items = rows::all(transaction.prepare_cached(&sql)?, wanted, secret)?;
            Ok(Listing::cut(items, limit, |secret| secret.path.to_string()))
        })
    }

    pub(super) fn list_history(
        &self,
        path: &SecretPath,
        page: Page<'_>,
    ) -> Result<Listing<SecretHistory>, StoreError> {
        let limit = page.bounded();
        self.read("list a secret's versions", |transaction| {
            let before = rows::number(page.cursor)?.unwrap_or(i64::MAX.unsigned_abs());
            let statement = transaction.prepare_cached(
                "SELECT version, at, by, state FROM secret_versions WHERE path = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3",
            )?;
            let wanted = params![path.as_str(), before, rows::rows_wanted(limit)];
            let items = rows::all(statement, wanted, |row| {
                Ok(SecretHistory {
                    version: SecretVersion(row.get("version")?),
                    at: row.get("at")?,
                    by: row.get("by")?,
                    state: VersionState::parse(&row.get::<_, String>("state")?)
                        .ok_or_else(|| rows::malformed("version state"))?,
                })
            })?;
            Ok(Listing::cut(items, limit, |item| item.version.0.to_string()))
        })
    }

    pub(super) fn delete_secret(
        &self,
        path: &SecretPath,
        at: u64,
        by: &str,
        audit: &[NewAudit],
    ) -> Result<u64, StoreError> {
        self.write_audited("remove a secret", audit, |transaction| {
            // When and by whom it was removed stands on the version that was current.
            let current = transaction
                .prepare_cached(
                    "UPDATE secret_versions SET at = ?2, by = ?3 WHERE path = ?1 AND state = 'current'",
                )?
                .execute(params![path.as_str(), at, by])?;
            if current == 0 {
                return Err(StoreError::NotFound { what: "secret", name: path.to_string() }.into());
            }
            transaction
                .prepare_cached(
                    "UPDATE secret_versions SET state = 'removed', record = NULL WHERE path = ?1",
                )?
                .execute([path.as_str()])?;
            change(transaction, path, None)
        })
    }

    pub(super) fn read_last_change(&self) -> Result<u64, StoreError> {
        self.read("read the secrets' changes", |transaction| {
            let statement = transaction
                .prepare_cached("SELECT coalesce(max(change), 0) AS change FROM secret_changes")?;
            Ok(rows::first(statement, [], |row| Ok(row.get("change")?))?.unwrap_or(0))
        })
    }

    pub(super) fn list_changes(&self, since: u64, limit: usize) -> Result<Vec<SecretChange>, StoreError> {
        self.read("read the secrets' changes", |transaction| {
            let limit = i64::try_from(limit.clamp(1, PAGE_MAX)).unwrap_or(1);
            let statement = transaction
                .prepare_cached("SELECT * FROM secret_changes WHERE change > ?1 ORDER BY change LIMIT ?2")?;
            rows::all(statement, params![since, limit], |row| {
                let version: Option<u64> = row.get("version")?;
                Ok(SecretChange {
                    change: row.get("change")?,
                    path: rows::secret_path(row, "path")?,
                    version: version.map(SecretVersion),
                })
            })
        })
    }

    pub(super) fn read_entitled(
        &self,
        id: &EnvoyId,
        paths: &[SecretPath],
    ) -> Result<Option<Entitled>, StoreError> {
        self.read("read what an envoy is entitled to", |transaction| {
            let Some(envoy) = envoys::find(transaction, id)? else { return Ok(None) };
            if paths.len() > limits::SECRET_BATCH {
                return Err(
                    StoreError::TooLarge { what: "list of secrets", limit: limits::SECRET_BATCH }.into()
                );
            }
            let assignments = envoys::assignments(transaction, id)?;
            let records =
                paths.iter().map(|path| record(transaction, path, None)).collect::<Result<_, _>>()?;
            let policies = secret_policies::all(transaction)?;
            Ok(Some(Entitled { envoy, assignments, records, policies }))
        })
    }
}

/// Secrets that have a current version, with how many are kept.
const SECRETS: &str = "SELECT c.path, c.version, c.at, c.by, (SELECT count(*) FROM secret_versions k WHERE k.path = c.path AND k.state <> 'removed') AS versions, (SELECT max(u.at) FROM secret_uses u WHERE u.path = c.path) AS used_at FROM secret_versions c WHERE c.state = 'current'";

fn secret(row: &Row<'_>) -> Result<Secret, Fault> {
    Ok(Secret {
        path: rows::secret_path(row, "path")?,
        version: SecretVersion(row.get("version")?),
        versions: row.get("versions")?,
        updated_at: row.get("at")?,
        updated_by: row.get("by")?,
        used_at: row.get("used_at")?,
    })
}

fn next(transaction: &Transaction<'_>, path: &SecretPath) -> Result<SecretVersion, Fault> {
    let statement = transaction.prepare_cached(
        "SELECT max(coalesce((SELECT max(version) FROM secret_versions WHERE path = ?1), 0), coalesce((SELECT version_floor FROM deployment), 0)) + 1 AS version",
    )?;
    let next = rows::first(statement, [path.as_str()], |row| Ok(row.get("version")?))?;
    Ok(SecretVersion(next.unwrap_or(1)))
}

fn change(
    transaction: &Transaction<'_>,
    path: &SecretPath,
    version: Option<SecretVersion>,
) -> Result<u64, Fault> {
    transaction
        .prepare_cached("INSERT INTO secret_changes (path, version) VALUES (?1, ?2)")?
        .execute(params![path.as_str(), version.map(|version| version.0)])?;
    u64::try_from(transaction.last_insert_rowid()).map_err(|_| rows::malformed("change"))
}

fn record(
    transaction: &Transaction<'_>,
    path: &SecretPath,
    version: Option<SecretVersion>,
) -> Result<Option<SecretRecord>, Fault> {
    let version = match version {
        Some(SecretVersion(version)) => match rows::version(version) {
            Some(version) => Some(version),
            None => return Ok(None),
        },
        None => None,
    };
    let statement = transaction.prepare_cached(
        "SELECT version, record FROM secret_versions WHERE path = ?1 AND CASE WHEN ?2 IS NULL THEN state = 'current' ELSE version = ?2 AND state <> 'removed' END",
    )?;
    rows::first(statement, params![path.as_str(), version], |row| {
        Ok(SecretRecord { version: SecretVersion(row.get("version")?), record: row.get("record")? })
    })
}
