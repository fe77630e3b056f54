//! Enrolment tokens.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::page::{Listing, Page};
use crate::token::{Token, TokenId};
use rusqlite::{Row, Transaction, params};
use vigo_base::Digest;

/// Globs or labels of one token, as JSON.
const LISTS: usize = 64 << 10;

impl SqliteStore {
    pub(super) fn write_token(&self, token: &Token, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("store a token", audit, |transaction| {
            let (globs, labels) = (rows::json(token.globs.clone()), rows::json_map(&token.labels));
            for (what, length) in [("token's globs", globs.len()), ("token's labels", labels.len())] {
                rows::bounded(what, length, LISTS)?;
            }
            rows::bounded("token's key", token.key.len(), 1024)?;
            transaction
                .prepare_cached("INSERT INTO tokens (id, key, globs, uses_left, expires_at, labels, replaces, created_by, created_at, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
                .execute(params![
                    token.id.as_bytes(),
                    token.key,
                    globs,
                    token.uses_left,
                    token.expires_at,
                    labels,
                    token.replace,
                    token.created_by,
                    token.created_at,
                    token.mac
                ])?;
            Ok(())
        })
    }

    pub(super) fn read_token(&self, id: &TokenId) -> Result<Option<Token>, StoreError> {
        self.read("read a token", |transaction| find(transaction, id))
    }

    pub(super) fn list_tokens(&self, page: Page<'_>) -> Result<Listing<Token>, StoreError> {
        let limit = page.bounded();
        self.read("list the tokens", |transaction| {
            let after = match page.cursor {
                Some(cursor) => TokenId::parse(cursor).ok_or(StoreError::Cursor)?.as_bytes().to_vec(),
                None => Vec::new(),
            };
            let statement =
                transaction.prepare_cached("SELECT * FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let items = rows::all(statement, params![after, rows::rows_wanted(limit)], token)?;
            Ok(Listing::cut(items, limit, |token| token.id.to_string()))
        })
    }

    pub(super) fn delete_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("remove a token", audit, |transaction| {
            let removed =
                transaction.prepare_cached("DELETE FROM tokens WHERE id = ?1")?.execute([id.as_bytes()])?;
            if removed == 1 {
                return Ok(());
            }
            Err(StoreError::NotFound { what: "token", name: id.to_string() }.into())
        })
    }

    pub(super) fn delete_expired_tokens(&self, before: u64) -> Result<u64, StoreError> {
        self.write("remove expired tokens", |transaction| {
            let removed =
                transaction.prepare_cached("DELETE FROM tokens WHERE expires_at < ?1")?.execute([before])?;
            Ok(u64::try_from(removed).unwrap_or(u64::MAX))
        })
    }

    pub(super) fn read_answer(&self, id: &TokenId, request: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read an enrolment's answer", |transaction| answer(transaction, id, request))
    }
}

pub(super) fn find(transaction: &Transaction<'_>, id: &TokenId) -> Result<Option<Token>, Fault> {
    rows::first(transaction.prepare_cached("SELECT * FROM tokens WHERE id = ?1")?, [id.as_bytes()], token)
}

pub(super) fn answer(
    transaction: &Transaction<'_>,
    id: &TokenId,
    request: &Digest,
) -> Result<Option<Vec<u8>>, Fault> {
    let statement =
        transaction.prepare_cached("SELECT answer FROM token_answers WHERE token = ?1 AND request = ?2")?;
    rows::first(statement, params![id.as_bytes(), request.as_bytes()], |row| Ok(row.get("answer")?))
}

pub(super) fn token(row: &Row<'_>) -> Result<Token, Fault> {
    Ok(Token {
        id: TokenId::from_bytes(&row.get::<_, Vec<u8>>("id")?).ok_or_else(|| rows::malformed("token id"))?,
        key: row.get("key")?,
        globs: rows::texts(row, "globs")?,
        uses_left: row.get("uses_left")?,
        expires_at: row.get("expires_at")?,
        labels: rows::labels(row, "labels")?,
        replace: row.get("replaces")?,
        created_by: row.get("created_by")?,
        created_at: row.get("created_at")?,
        mac: row.get("mac")?,
    })
}
