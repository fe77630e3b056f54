//! Who got which secret, and where it can be seen since.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::error::StoreError;
use crate::page::PAGE_MAX;
use crate::secret_use::{SecretUse, SeenExposure};
use rusqlite::{Row, params};
use vigo_base::{EnvoyId, SecretPath, SecretVersion};

/// An actor, a resource's id or a way.
const TEXT: usize = 4096;

impl SqliteStore {
    pub(super) fn write_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        self.write("store who got secrets", |transaction| {
            let mut insert = transaction.prepare_cached("INSERT INTO secret_uses (path, actor, version, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (path, actor) DO UPDATE SET version = excluded.version, at = max(at, excluded.at)")?;
            for one in uses {
                rows::bounded("name of who got a secret", one.actor.len(), TEXT)?;
                insert.execute(params![one.path.as_str(), one.actor, one.version.0, one.at])?;
            }
            Ok(())
        })
    }

    pub(super) fn list_secret_uses(&self, path: &SecretPath) -> Result<Vec<SecretUse>, StoreError> {
        self.read("read who got a secret", |transaction| {
            let statement = transaction.prepare_cached(
                "SELECT * FROM secret_uses WHERE path = ?1 ORDER BY at DESC, actor LIMIT ?2",
            )?;
            rows::all(statement, params![path.as_str(), most()], used)
        })
    }

    pub(super) fn list_uses_of(&self, actor: &str) -> Result<Vec<SecretUse>, StoreError> {
        self.read("read which secrets somebody got", |transaction| {
            let statement = transaction
                .prepare_cached("SELECT * FROM secret_uses WHERE actor = ?1 ORDER BY path LIMIT ?2")?;
            rows::all(statement, params![actor, most()], used)
        })
    }

    pub(super) fn write_exposures(&self, seen: &[SeenExposure]) -> Result<(), StoreError> {
        self.write("store where secrets can be seen", |transaction| {
            let mut insert = transaction.prepare_cached("INSERT INTO secret_exposures (envoy, resource, path, way, version, at) SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM envoys WHERE id = ?1) ON CONFLICT (envoy, resource, path, way) DO UPDATE SET version = excluded.version, at = max(at, excluded.at)")?;
            for one in seen {
                rows::bounded("resource's id", one.resource.len(), TEXT)?;
                rows::bounded("way of a secret", one.way.len(), TEXT)?;
                insert.execute(params![
                    one.envoy.as_bytes(),
                    one.resource,
                    one.path.as_str(),
                    one.way,
                    one.version.0,
                    one.at
                ])?;
            }
            Ok(())
        })
    }

    pub(super) fn list_exposures(&self, envoy: &EnvoyId) -> Result<Vec<SeenExposure>, StoreError> {
        self.read("read where secrets can be seen", |transaction| {
            let statement = transaction.prepare_cached(
                "SELECT * FROM secret_exposures WHERE envoy = ?1 ORDER BY resource, path, way LIMIT ?2",
            )?;
            rows::all(statement, params![envoy.as_bytes(), most()], |row| {
                Ok(SeenExposure {
                    envoy: rows::envoy_id(row, "envoy")?,
                    resource: row.get("resource")?,
                    path: rows::secret_path(row, "path")?,
                    way: row.get("way")?,
                    version: SecretVersion(row.get("version")?),
                    at: row.get("at")?,
                })
            })
        })
    }
}

/// The most rows of one answer: these lists are bounded by what one bundle, or one fleet, has.
fn most() -> i64 {
    i64::try_from(PAGE_MAX).unwrap_or(i64::MAX).saturating_mul(10)
}

fn used(row: &Row<'_>) -> Result<SecretUse, Fault> {
    Ok(SecretUse {
        path: rows::secret_path(row, "path")?,
        actor: row.get("actor")?,
        version: SecretVersion(row.get("version")?),
        at: row.get("at")?,
    })
}
