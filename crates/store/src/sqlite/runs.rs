//! Reports of runs: the last [`RUNS_KEPT`] of each envoy.

use super::rows::{self, Fault};
use super::{SqliteStore, envoys};
use crate::error::StoreError;
use crate::page::{Listing, Page};
use crate::run::{NewRun, RUNS_KEPT, Run, Summary};
use prost::Message as _;
use rusqlite::{Row, Transaction, params};
use vigo_base::{EnvoyId, limits};
use vigo_wire::inner::Report;

impl SqliteStore {
    pub(super) fn write_run(&self, new: &NewRun<'_>) -> Result<bool, StoreError> {
        let report = new.report;
        self.write("store a report", |transaction| {
            let run = <[u8; 16]>::try_from(report.run.as_slice()).map_err(|_| rows::malformed("run id"))?;
            rows::bounded("report", report.encoded_len(), limits::REPORT)?;
            let envoy = envoys::find(transaction, &new.envoy)?.ok_or_else(|| StoreError::NotFound {
                what: "envoy",
                name: new.envoy.to_string(),
            })?;
            let summary = Summary::of(&report.resources);
            let fresh = transaction
                .prepare_cached("INSERT INTO runs (run, envoy, name, received_at, started_at, duration_ms, dry_run, offline, publish, generation, unchanged, changed, failed, blocked, skipped) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT (run) DO NOTHING")?
                .execute(params![
                    run,
                    new.envoy.as_bytes(),
                    envoy.identity.name.as_str(),
                    new.received_at,
                    report.started_at,
                    report.duration_ms,
                    report.dry_run,
                    report.offline,
                    report.publish,
                    report.generation,
                    summary.unchanged,
                    summary.changed,
                    summary.failed,
                    summary.blocked,
                    summary.skipped
                ])?;
            if fresh == 0 {
                return Ok(false);
            }
            transaction
                .prepare_cached("INSERT INTO run_reports (number, report) VALUES (?1, ?2)")?
                .execute(params![transaction.last_insert_rowid(), report.encode_to_vec()])?;
            if !report.dry_run {
                // By the machine's clock, but never later than now: a clock that ran ahead once would hide all later runs.
                remember(transaction, &new.envoy, report.started_at.min(new.received_at), summary)?;
            }
            forget_oldest(transaction, &new.envoy)?;
            Ok(true)
        })
    }

    pub(super) fn list_runs(
        &self,
        envoy: Option<&EnvoyId>,
        page: Page<'_>,
    ) -> Result<Listing<Run>, StoreError> {
        let limit = page.bounded();
        self.read("list the runs", |transaction| {
            let before = rows::number(page.cursor)?.unwrap_or(i64::MAX.unsigned_abs());
            let wanted = rows::rows_wanted(limit);
            let items = match envoy {
                Some(envoy) => rows::all(
                    transaction.prepare_cached(
                        "SELECT * FROM runs WHERE envoy = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
                    )?,
                    params![envoy.as_bytes(), before, wanted],
                    numbered,
                )?,
                None => rows::all(
                    transaction.prepare_cached(
                        "SELECT * FROM runs WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
                    )?,
                    params![before, wanted],
                    numbered,
                )?,
            };
            let listing = Listing::cut(items, limit, |(number, _)| number.to_string());
            Ok(Listing { items: listing.items.into_iter().map(|(_, run)| run).collect(), next: listing.next })
        })
    }

    pub(super) fn read_run(&self, id: &[u8; 16]) -> Result<Option<(Run, Report)>, StoreError> {
        self.read("read a run", |transaction| {
            let statement = transaction
                .prepare_cached("SELECT * FROM runs JOIN run_reports USING (number) WHERE run = ?1")?;
            rows::first(statement, [id], |row| {
                let report = Report::decode(row.get::<_, Vec<u8>>("report")?.as_slice())
                    .map_err(|_| rows::malformed("report"))?;
                Ok((run(row)?, report))
            })
        })
    }
}

fn remember(transaction: &Transaction<'_>, envoy: &EnvoyId, at: u64, summary: Summary) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE envoys SET run_at = ?2, run_unchanged = ?3, run_changed = ?4, run_failed = ?5, run_blocked = ?6, run_skipped = ?7 WHERE id = ?1 AND coalesce(run_at, 0) <= ?2")?
        .execute(params![
            envoy.as_bytes(),
            at,
            summary.unchanged,
            summary.changed,
            summary.failed,
            summary.blocked,
            summary.skipped
        ])?;
    Ok(())
}

fn forget_oldest(transaction: &Transaction<'_>, envoy: &EnvoyId) -> Result<(), Fault> {
    let kept = i64::try_from(RUNS_KEPT).unwrap_or(i64::MAX);
    transaction
        .prepare_cached("DELETE FROM runs WHERE envoy = ?1 AND number <= (SELECT number FROM runs WHERE envoy = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)")?
        .execute(params![envoy.as_bytes(), kept])?;
    Ok(())
}

fn numbered(row: &Row<'_>) -> Result<(u64, Run), Fault> {
    Ok((row.get("number")?, run(row)?))
}

fn run(row: &Row<'_>) -> Result<Run, Fault> {
    Ok(Run {
        run: rows::array(row, "run", "run id")?,
        envoy: rows::envoy_id(row, "envoy")?,
        name: rows::envoy_name(row, "name")?,
        received_at: row.get("received_at")?,
        started_at: row.get("started_at")?,
        duration_ms: row.get("duration_ms")?,
        dry_run: row.get("dry_run")?,
        offline: row.get("offline")?,
        publish: row.get("publish")?,
        generation: row.get("generation")?,
        summary: envoys::summary(row, "")?,
    })
}
