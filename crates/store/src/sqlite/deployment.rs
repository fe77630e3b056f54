//! The deployment and the server's keys.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::audit::NewAudit;
use crate::deployment::{Deployment, ServerKey};
use crate::error::StoreError;
use rusqlite::{Row, Transaction, params};

/// A wrapped key or a certificate.
const KEY_BYTES: usize = 64 << 10;
/// Tables that are filled only by a founded deployment.
const TABLES: [&str; 9] = [
    "deployment",
    "server_keys",
    "publishes",
    "tokens",
    "envoy_ids",
    "secret_versions",
    "secret_policy_set",
    "api_tokens",
    "audit",
];

impl SqliteStore {
    pub(super) fn read_deployment(&self) -> Result<Option<Deployment>, StoreError> {
        self.read("read the deployment", |transaction| {
            let statement = transaction.prepare_cached("SELECT * FROM deployment")?;
            rows::first(statement, [], |row| {
                Ok(Deployment {
                    anchor: rows::array(row, "anchor", "anchor")?,
                    master_key: rows::array(row, "master_key", "master key id")?,
                    term: row.get("term")?,
                    founded_at: row.get("founded_at")?,
                })
            })
        })
    }

    pub(super) fn holds_nothing(&self) -> Result<bool, StoreError> {
        self.read("look into the store", bare)
    }

    pub(super) fn write_deployment(
        &self,
        deployment: &Deployment,
        keys: &[ServerKey],
        audit: &[NewAudit],
    ) -> Result<(), StoreError> {
        self.write_audited("found the deployment", audit, |transaction| {
            if !bare(transaction)? {
                return Err(StoreError::NotEmpty.into());
            }
            transaction
                .prepare_cached("INSERT INTO deployment (one, anchor, master_key, term, founded_at) VALUES (1, ?1, ?2, ?3, ?4)")?
                .execute(params![deployment.anchor, deployment.master_key, deployment.term, deployment.founded_at])?;
            keys.iter().try_for_each(|key| insert_key(transaction, key))
        })
    }

    pub(super) fn write_term(&self, version_floor: u64, audit: &[NewAudit]) -> Result<u64, StoreError> {
        self.write_audited("raise the term", audit, |transaction| {
            let statement = transaction.prepare_cached(
                "UPDATE deployment SET term = term + 1, version_floor = max(version_floor, ?1) RETURNING term",
            )?;
            rows::first(statement, [version_floor], |row| Ok(row.get("term")?))?.ok_or_else(|| {
                StoreError::NotFound { what: "deployment", name: "of this store".into() }.into()
            })
        })
    }

    pub(super) fn write_key(&self, key: &ServerKey, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("store a server key", audit, |transaction| insert_key(transaction, key))
    }

    pub(super) fn read_keys(&self, purpose: &str) -> Result<Vec<ServerKey>, StoreError> {
        self.read("read the server keys", |transaction| {
            let statement = transaction.prepare_cached(
                "SELECT * FROM server_keys WHERE purpose = ?1 ORDER BY retired_at IS NOT NULL, created_at DESC, public",
            )?;
            rows::all(statement, [purpose], key)
        })
    }

    pub(super) fn write_retirement(
        &self,
        purpose: &str,
        public: &[u8],
        at: u64,
        audit: &[NewAudit],
    ) -> Result<(), StoreError> {
        self.write_audited("retire a server key", audit, |transaction| {
            let changed = transaction
                .prepare_cached("UPDATE server_keys SET retired_at = ?3 WHERE purpose = ?1 AND public = ?2 AND retired_at IS NULL")?
                .execute(params![purpose, public, at])?;
            if changed == 1 {
                return Ok(());
            }
            Err(StoreError::NotFound { what: "server key", name: vigo_base::encode_hex(public) }.into())
        })
    }
}

fn bare(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    for table in TABLES {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        if transaction.prepare_cached(&sql)?.query_row([], |row| row.get::<_, bool>(0))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn insert_key(transaction: &Transaction<'_>, key: &ServerKey) -> Result<(), Fault> {
    rows::bounded("key's purpose", key.purpose.len(), 64)?;
    rows::bounded("wrapped key", key.wrapped.len(), KEY_BYTES)?;
    rows::bounded("key's certificate", key.certificate.len(), KEY_BYTES)?;
    transaction
        .prepare_cached("INSERT INTO server_keys (purpose, public, wrapped, certificate, created_at, retired_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![key.purpose, key.public, key.wrapped, key.certificate, key.created_at, key.retired_at])?;
    Ok(())
}

pub(super) fn key(row: &Row<'_>) -> Result<ServerKey, Fault> {
    Ok(ServerKey {
        purpose: row.get("purpose")?,
        public: row.get("public")?,
        wrapped: row.get("wrapped")?,
        certificate: row.get("certificate")?,
        created_at: row.get("created_at")?,
        retired_at: row.get("retired_at")?,
    })
}
