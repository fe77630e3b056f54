//! The audit chain. Calls that come together share one commit: who gets the writer first writes for all that wait.

use super::rows::{self, Fault};
use super::{SqliteStore, alive};
use crate::audit::{AUDIT_FIELD, AuditHead, AuditRecord, AuditVerdict, NewAudit};
use crate::error::StoreError;
use crate::page::{Listing, Page};
use rusqlite::{Row, Transaction, params};
use std::sync::{Arc, Mutex};

/// Appends that wait for a commit.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<Arc<Pending>>>);

struct Pending {
    entries: Vec<NewAudit>,
    /// `None` until somebody tried to write them; `Some(None)` when that failed.
    outcome: Mutex<Option<Option<AuditHead>>>,
}

/// Appends within a transaction; gives the new head.
pub(super) fn append(transaction: &Transaction<'_>, entries: &[NewAudit]) -> Result<AuditHead, Fault> {
    check(entries)?;
    let mut head = head(transaction)?;
    if entries.is_empty() {
        return Ok(head);
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO audit (sequence, at_ms, actor, action, object, outcome, detail, previous, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for entry in entries {
        let record = AuditRecord::follow(&head, entry.clone());
        insert.execute(params![
            record.sequence,
            record.entry.at_ms,
            record.entry.actor,
            record.entry.action,
            record.entry.object,
            record.entry.outcome,
            record.entry.detail,
            record.previous.as_bytes(),
            record.digest.as_bytes()
        ])?;
        head = record.head();
    }
    transaction
        .prepare_cached("INSERT INTO audit_head (one, sequence, digest) VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest")?
        .execute(params![head.sequence, head.digest.as_bytes()])?;
    Ok(head)
}

fn head(transaction: &Transaction<'_>) -> Result<AuditHead, Fault> {
    let statement = transaction.prepare_cached("SELECT sequence, digest FROM audit_head")?;
    let head = rows::first(statement, [], |row| {
        Ok(AuditHead { sequence: row.get("sequence")?, digest: rows::digest(row, "digest")? })
    })?;
    Ok(head.unwrap_or_else(AuditHead::empty))
}

fn record(row: &Row<'_>) -> Result<AuditRecord, Fault> {
    Ok(AuditRecord {
        sequence: row.get("sequence")?,
        entry: NewAudit {
            at_ms: row.get("at_ms")?,
            actor: row.get("actor")?,
            action: row.get("action")?,
            object: row.get("object")?,
            outcome: row.get("outcome")?,
            detail: row.get("detail")?,
        },
        previous: rows::digest(row, "previous")?,
        digest: rows::digest(row, "digest")?,
    })
}

/// Refuses what is too long before anybody waits for it.
fn check(entries: &[NewAudit]) -> Result<(), Fault> {
    for entry in entries {
        for field in [&entry.actor, &entry.action, &entry.object, &entry.outcome, &entry.detail] {
            rows::bounded("audit record", field.len(), AUDIT_FIELD)?;
        }
    }
    Ok(())
}

impl SqliteStore {
    pub(super) fn append_together(&self, entries: &[NewAudit]) -> Result<AuditHead, StoreError> {
        const DOING: &str = "append to the audit";
        check(entries).map_err(|fault| fault.while_doing(DOING))?;
        let mine = Arc::new(Pending { entries: entries.to_vec(), outcome: Mutex::new(None) });
        alive(&self.waiting.0).push(Arc::clone(&mine));
        let mut writer = alive(&self.writer);
        match alive(&mine.outcome).take() {
            Some(Some(head)) => return Ok(head),
            // Whoever wrote for me could not; tried alone it either works or gives an error of my own.
            Some(None) => {
                return self
                    .commit(&mut writer, |transaction| append(transaction, entries))
                    .map_err(|fault| fault.while_doing(DOING));
            }
            None => {}
        }
        // Only who holds the writer takes from the queue, so mine is in here.
        let batch = std::mem::take(&mut *alive(&self.waiting.0));
        let heads = self.commit(&mut writer, |transaction| {
            batch.iter().map(|pending| append(transaction, &pending.entries)).collect::<Result<Vec<_>, _>>()
        });
        match heads {
            Ok(heads) => {
                for (pending, head) in batch.iter().zip(heads) {
                    *alive(&pending.outcome) = Some(Some(head));
                }
            }
            Err(fault) => {
                for pending in &batch {
                    *alive(&pending.outcome) = Some(None);
                }
                return Err(fault.while_doing(DOING));
            }
        }
        alive(&mine.outcome).take().flatten().ok_or(StoreError::Malformed { what: "audit head" })
    }

    pub(super) fn list_audit(&self, page: Page<'_>) -> Result<Listing<AuditRecord>, StoreError> {
        let limit = page.bounded();
        self.read("list the audit", |transaction| {
            let before = rows::number(page.cursor)?.unwrap_or(i64::MAX.unsigned_abs());
            let statement = transaction
                .prepare_cached("SELECT * FROM audit WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2")?;
            let records = rows::all(statement, params![before, rows::rows_wanted(limit)], record)?;
            Ok(Listing::cut(records, limit, |record| record.sequence.to_string()))
        })
    }

    pub(super) fn read_audit_head(&self) -> Result<AuditHead, StoreError> {
        self.read("read the audit's head", head)
    }

    pub(super) fn walk_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.read("verify the audit", |transaction| {
            let mut statement = transaction.prepare_cached("SELECT * FROM audit ORDER BY sequence")?;
            let mut rows = statement.query([])?;
            let mut walked = AuditHead::empty();
            while let Some(row) = rows.next()? {
                let Ok(record) = record(row) else {
                    return Ok(verdict(walked, Some("the record cannot be read")));
                };
                if !record.follows(&walked) {
                    return Ok(verdict(walked, Some("the record does not follow the one before it")));
                }
                walked = record.head();
            }
            let broken = (head(transaction)? != walked).then_some("records are missing at the end");
            Ok(verdict(walked, broken))
        })
    }
}

fn verdict(head: AuditHead, broken: Option<&'static str>) -> AuditVerdict {
    let broken = broken.map(|reason| (head.sequence.saturating_add(1), reason));
    AuditVerdict { records: head.sequence, head, broken }
}
