//! What is under the master key, read and replaced as a whole.

use super::rows::{self, Fault};
use super::{SqliteStore, api_tokens, deployment, envoys, secret_policies, tokens};
use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::keyed::Keyed;
use crate::secret::SecretRecord;
use rusqlite::{Params, Transaction, params};
use vigo_base::SecretVersion;

/// Every column that holds something under the master key. A test holds the schema against it: a new one that is not here would not survive a
/// change of the key.
#[cfg(test)]
const COLUMNS: [(&str, &str); 7] = [
    ("api_tokens", "mac"),
    ("envoys", "mac"),
    ("secret_policy_set", "mac"),
    ("secret_versions", "record"),
    ("server_keys", "wrapped"),
    ("tokens", "key"),
    ("tokens", "mac"),
];

impl SqliteStore {
    pub(super) fn read_keyed(&self) -> Result<Keyed, StoreError> {
        self.read("read what is under the master key", read)
    }

    pub(super) fn write_keyed(
        &self,
        master_key: &[u8; 16],
        keyed: &Keyed,
        audit: &[NewAudit],
    ) -> Result<(), StoreError> {
        self.write_audited("put everything under another master key", audit, |transaction| {
            let is = read(transaction)?;
            let counts = |keyed: &Keyed| {
                let Keyed { records, keys, tokens, envoys, api_tokens, policies } = keyed;
                let lengths = [records.len(), keys.len(), tokens.len(), envoys.len(), api_tokens.len()];
                (lengths, policies.revision)
            };
            if counts(&is) != counts(keyed) {
                return Err(StoreError::Changed.into());
            }
            one(transaction, "UPDATE deployment SET master_key = ?1", params![master_key])?;
            write(transaction, keyed)
        })
    }
}

fn read(transaction: &Transaction<'_>) -> Result<Keyed, Fault> {
    let records = transaction.prepare_cached(
        "SELECT path, version, record FROM secret_versions WHERE record IS NOT NULL ORDER BY path, version",
    )?;
    let records = rows::all(records, [], |row| {
        let record = SecretRecord { version: SecretVersion(row.get("version")?), record: row.get("record")? };
        Ok((rows::secret_path(row, "path")?, record))
    })?;
    Ok(Keyed {
        records,
        keys: rows::all(transaction.prepare_cached("SELECT * FROM server_keys")?, [], deployment::key)?,
        tokens: rows::all(transaction.prepare_cached("SELECT * FROM tokens")?, [], tokens::token)?,
        envoys: rows::all(transaction.prepare_cached("SELECT * FROM envoys")?, [], envoys::identity)?,
        api_tokens: rows::all(
            transaction.prepare_cached("SELECT * FROM api_tokens")?,
            [],
            api_tokens::token,
        )?,
        policies: secret_policies::all(transaction)?,
    })
}

fn write(transaction: &Transaction<'_>, keyed: &Keyed) -> Result<(), Fault> {
    for (path, SecretRecord { version, record }) in &keyed.records {
        let sql = "UPDATE secret_versions SET record = ?3 WHERE path = ?1 AND version = ?2";
        one(transaction, sql, params![path.as_str(), version.0, record])?;
    }
    for key in &keyed.keys {
        let sql = "UPDATE server_keys SET wrapped = ?3 WHERE purpose = ?1 AND public = ?2";
        one(transaction, sql, params![key.purpose, key.public, key.wrapped])?;
    }
    for token in &keyed.tokens {
        let sql = "UPDATE tokens SET key = ?2, mac = ?3 WHERE id = ?1";
        one(transaction, sql, params![token.id.as_bytes(), token.key, token.mac])?;
    }
    for envoy in &keyed.envoys {
        one(
            transaction,
            "UPDATE envoys SET mac = ?2 WHERE id = ?1",
            params![envoy.id.as_bytes(), envoy.mac],
        )?;
    }
    for token in &keyed.api_tokens {
        let sql = "UPDATE api_tokens SET mac = ?2 WHERE id = ?1";
        one(transaction, sql, params![token.id.as_bytes(), token.mac])?;
    }
    if keyed.policies.revision > 0 {
        one(transaction, "UPDATE secret_policy_set SET mac = ?1", params![keyed.policies.mac])?;
    }
    Ok(())
}

/// Changes exactly one row.
fn one(transaction: &Transaction<'_>, sql: &str, values: impl Params) -> Result<(), Fault> {
    match transaction.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::Changed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_under_the_master_key_is_in_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("private/store.db")).unwrap();
        let sql = "SELECT t.name AS name, c.name AS field FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
                   WHERE t.type = 'table' AND c.name IN ('mac', 'wrapped', 'record', 'key', 'sealed') ORDER BY 1, 2";
        let found: Vec<(String, String)> = store
            .read("look", |transaction| {
                rows::all(transaction.prepare_cached(sql)?, [], |row| {
                    Ok((row.get("name")?, row.get("field")?))
                })
            })
            .unwrap();
        let listed: Vec<(String, String)> =
            COLUMNS.iter().map(|(table, column)| ((*table).to_owned(), (*column).to_owned())).collect();
        assert_eq!(found, listed);
    }
}
