//! The store in one SQLite file: write-ahead log, one writer, several readers that never wait for it.
//!
//! `synchronous=FULL`: what a call acknowledges survives a power cut (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
//! One process has it open, which a lock file sees to.

mod api_tokens;
mod audit;
mod deployment;
mod enrolment;
mod envoys;
mod keyed;
mod open;
mod publishes;
mod rows;
mod runs;
mod secret_policies;
mod secret_uses;
mod secrets;
mod store;
mod tokens;

use crate::audit::NewAudit;
use crate::contract::Transactions;
use crate::error::StoreError;
use rows::Fault;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections that are kept for reading when nobody reads.
const READERS_KEPT: usize = 4;

/// The store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    waiting: audit::Waiting,
    begun: Begun,
    // Held for as long as the store is open; its lock goes with it.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes it (0600) in its folder (made 0700). Checks that nobody else may read it or has it open, that it is whole,
    /// and brings an older schema forward.
    ///
    /// # Errors
    /// See [`StoreError`]: exposed, in use, damaged, foreign, newer.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = open::prepare_files(path)?;
        let writer = open::writer(path)?;
        Ok(Self {
            path: path.into(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            waiting: audit::Waiting::default(),
            begun: Begun::default(),
            _lock: lock,
        })
    }

    /// Runs `change` in one transaction; it is on disk when this returns.
    fn write<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.commit(&mut alive(&self.writer), change).map_err(|fault| fault.while_doing(doing))
    }

    /// As [`Self::write`], with audit records in the same transaction.
    fn write_audited<T>(
        &self,
        doing: &'static str,
        entries: &[NewAudit],
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.write(doing, |transaction| {
            let done = change(transaction)?;
            audit::append(transaction, entries)?;
            Ok(done)
        })
    }

    /// Runs `look` on one state of the store.
    fn read<T>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.begun.reads.fetch_add(1, Ordering::Relaxed);
        let kept = alive(&self.readers).pop();
        let mut reader = match kept {
            Some(reader) => reader,
            None => open::reader(&self.path)?,
        };
        let seen = {
            let run = || {
                let transaction = reader.transaction_with_behavior(TransactionBehavior::Deferred)?;
                look(&transaction)
            };
            run().map_err(|fault: Fault| fault.while_doing(doing))
        };
        let mut readers = alive(&self.readers);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        seen
    }

    /// One transaction on the connection that writes.
    fn commit<T>(
        &self,
        writer: &mut Connection,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begun.writes.fetch_add(1, Ordering::Relaxed);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// Transactions since it was opened.
#[derive(Default)]
struct Begun {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Begun {
    fn count(&self) -> Transactions {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Transactions { reads: of(&self.reads), writes: of(&self.writes) }
    }
}

/// The content of a mutex, also after a panic of who held it: a transaction that was not committed is rolled back when it is dropped, so nothing half-done is seen.
fn alive<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
