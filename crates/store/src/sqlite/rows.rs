//! From rows to types: what is malformed is an error, never a default.

use crate::error::StoreError;
use rusqlite::{CachedStatement, Params, Row};
use std::collections::BTreeMap;
use vigo_base::{Digest, EnvoyId, EnvoyName, SecretPath, SecretScope};

/// What stopped a transaction.
pub(super) enum Fault {
    /// SQLite.
    Sql(rusqlite::Error),
    /// A rule of the store.
    Rule(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Rule(error)
    }
}

impl Fault {
    pub(super) fn while_doing(self, doing: &'static str) -> StoreError {
        match self {
            Self::Sql(source) => StoreError::Database { doing, source },
            Self::Rule(error) => error,
        }
    }
}

/// Every row of a query.
pub(super) fn all<T>(
    mut statement: CachedStatement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(items)
}

/// The first row of a query, if there is one.
pub(super) fn first<T>(
    mut statement: CachedStatement<'_>,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut rows = statement.query(params)?;
    match rows.next()? {
        Some(row) => read(row).map(Some),
        None => Ok(None),
    }
}

pub(super) fn malformed(what: &'static str) -> Fault {
    Fault::Rule(StoreError::Malformed { what })
}

/// Refuses what is larger than `limit` before it is bound to a statement.
pub(super) fn bounded(what: &'static str, length: usize, limit: usize) -> Result<(), Fault> {
    if length > limit { Err(Fault::Rule(StoreError::TooLarge { what, limit })) } else { Ok(()) }
}

pub(super) fn array<const N: usize>(
    row: &Row<'_>,
    column: &str,
    what: &'static str,
) -> Result<[u8; N], Fault> {
    row.get::<_, Vec<u8>>(column)?.try_into().map_err(|_| malformed(what))
}

pub(super) fn digest(row: &Row<'_>, column: &str) -> Result<Digest, Fault> {
    Digest::from_bytes(&row.get::<_, Vec<u8>>(column)?).ok_or_else(|| malformed("digest"))
}

pub(super) fn envoy_id(row: &Row<'_>, column: &str) -> Result<EnvoyId, Fault> {
    EnvoyId::from_bytes(&row.get::<_, Vec<u8>>(column)?).ok_or_else(|| malformed("envoy id"))
}

pub(super) fn envoy_name(row: &Row<'_>, column: &str) -> Result<EnvoyName, Fault> {
    row.get::<_, String>(column)?.parse().map_err(|_| malformed("envoy name"))
}

pub(super) fn secret_path(row: &Row<'_>, column: &str) -> Result<SecretPath, Fault> {
    row.get::<_, String>(column)?.parse().map_err(|_| malformed("secret path"))
}

pub(super) fn secret_scope(row: &Row<'_>, column: &str) -> Result<SecretScope, Fault> {
    row.get::<_, String>(column)?.parse().map_err(|_| malformed("scope of a policy"))
}

pub(super) fn texts(row: &Row<'_>, column: &str) -> Result<Vec<String>, Fault> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|_| malformed("list"))
}

pub(super) fn labels(row: &Row<'_>, column: &str) -> Result<BTreeMap<String, String>, Fault> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|_| malformed("labels"))
}

/// A list or map of texts as JSON.
pub(super) fn json<T: Into<serde_json::Value>>(value: T) -> String {
    value.into().to_string()
}

/// A map of texts as JSON.
pub(super) fn json_map(map: &BTreeMap<String, String>) -> String {
    let entries = map.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    serde_json::Value::Object(entries.collect()).to_string()
}

/// A cursor that is a number.
pub(super) fn number(cursor: Option<&str>) -> Result<Option<u64>, Fault> {
    let number = |text: &str| text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    cursor.map(|text| number(text).ok_or(Fault::Rule(StoreError::Cursor))).transpose()
}

/// A version as a number of SQLite; `None` for one that no row can have.
pub(super) fn version(version: u64) -> Option<i64> {
    i64::try_from(version).ok()
}

/// How many rows to ask for: one more than the page takes says that there is a next page.
pub(super) fn rows_wanted(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// The least text that is greater than every text beginning with `prefix`, so that a prefix is a range of an index. `None`: there is no such bound.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let next = (u32::from(last).saturating_add(1)..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}
