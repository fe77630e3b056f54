//! API tokens.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::api_token::ApiToken;
use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::page::{Listing, Page};
use crate::token::TokenId;
use rusqlite::{Row, params};

/// Permissions or scopes of one token, as JSON.
const LISTS: usize = 16 << 10;

impl SqliteStore {
    pub(super) fn write_api_token(&self, token: &ApiToken, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("store an API token", audit, |transaction| {
            let permissions = rows::json(token.permissions.clone());
            let paths = rows::json(token.paths.iter().map(ToString::to_string).collect::<Vec<_>>());
            for (what, list) in [("API token's permissions", &permissions), ("API token's paths", &paths)] {
                rows::bounded(what, list.len(), LISTS)?;
            }
            transaction
                .prepare_cached("INSERT INTO api_tokens (id, hash, user, permissions, paths, expires_at, created_by, created_at, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
                .execute(params![
                    token.id.as_bytes(),
                    token.hash,
                    token.user,
                    permissions,
                    paths,
                    token.expires_at,
                    token.created_by,
                    token.created_at,
                    token.mac
                ])?;
            Ok(())
        })
    }

    pub(super) fn read_api_token(&self, id: &TokenId) -> Result<Option<ApiToken>, StoreError> {
        self.read("read an API token", |transaction| {
            let statement = transaction.prepare_cached("SELECT * FROM api_tokens WHERE id = ?1")?;
            rows::first(statement, [id.as_bytes()], token)
        })
    }

    pub(super) fn list_api_tokens(&self, page: Page<'_>) -> Result<Listing<ApiToken>, StoreError> {
        let limit = page.bounded();
        self.read("list the API tokens", |transaction| {
            let after = match page.cursor {
                Some(cursor) => TokenId::parse(cursor).ok_or(StoreError::Cursor)?.as_bytes().to_vec(),
                None => Vec::new(),
            };
            let statement =
                transaction.prepare_cached("SELECT * FROM api_tokens WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let items = rows::all(statement, params![after, rows::rows_wanted(limit)], token)?;
            Ok(Listing::cut(items, limit, |token| token.id.to_string()))
        })
    }

    pub(super) fn delete_api_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("remove an API token", audit, |transaction| {
            let removed = transaction
                .prepare_cached("DELETE FROM api_tokens WHERE id = ?1")?
                .execute([id.as_bytes()])?;
            if removed == 1 {
                return Ok(());
            }
            Err(StoreError::NotFound { what: "API token", name: id.to_string() }.into())
        })
    }

    pub(super) fn delete_expired_api_tokens(&self, before: u64) -> Result<u64, StoreError> {
        self.write("remove expired API tokens", |transaction| {
            let removed = transaction
                .prepare_cached("DELETE FROM api_tokens WHERE expires_at < ?1")?
                .execute([before])?;
            Ok(u64::try_from(removed).unwrap_or(u64::MAX))
        })
    }
}

pub(super) fn token(row: &Row<'_>) -> Result<ApiToken, Fault> {
    let paths = rows::texts(row, "paths")?;
    let paths: Result<_, _> = paths.iter().map(|scope| scope.parse()).collect();
    Ok(ApiToken {
        id: TokenId::from_bytes(&row.get::<_, Vec<u8>>("id")?)
            .ok_or_else(|| rows::malformed("API token's id"))?,
        hash: rows::array(row, "hash", "API token's hash")?,
        user: row.get("user")?,
        permissions: rows::texts(row, "permissions")?,
        paths: paths.map_err(|_| rows::malformed("API token's paths"))?,
        expires_at: row.get("expires_at")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        mac: row.get("mac")?,
    })
}
