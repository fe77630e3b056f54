//! Envoys, what they said, what they were given.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::audit::NewAudit;
use crate::envoy::{Envoy, EnvoyState, LastRun, NewEnvoy, Posture, Sighting, StoredAssignment, StoredTraits};
use crate::error::StoreError;
use crate::page::{Listing, Page};
use crate::run::Summary;
use rusqlite::{Row, Transaction, params};
use vigo_base::{Digest, EnvoyId, limits};

/// Labels of one envoy, or reasons of its posture, as JSON.
const LISTS: usize = 64 << 10;
/// A continuity value.
const CONTINUITY: usize = 64;
/// How many assignments of an envoy are kept: the current one and the one before.
const ASSIGNMENTS_KEPT: i64 = 2;

impl SqliteStore {
    pub(super) fn read_envoy(&self, id: &EnvoyId) -> Result<Option<Envoy>, StoreError> {
        self.read("read an envoy", |transaction| find(transaction, id))
    }

    pub(super) fn read_envoy_named(&self, name: &str) -> Result<Option<Envoy>, StoreError> {
        self.read("read an envoy", |transaction| {
            let statement = transaction.prepare_cached(
                "SELECT * FROM envoys WHERE name = ?1 ORDER BY state = 'revoked', enrolled_at DESC, id LIMIT 1",
            )?;
            rows::first(statement, [name], envoy)
        })
    }

    pub(super) fn list_envoys(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Envoy>, StoreError> {
        let limit = page.bounded();
        self.read("list the envoys", |transaction| {
            let (name, id) = match page.cursor {
                Some(cursor) => {
                    let (name, id) = cursor.split_once(' ').ok_or(StoreError::Cursor)?;
                    (name, id.parse::<EnvoyId>().map_err(|()| StoreError::Cursor)?.as_bytes().to_vec())
                }
                None => ("", Vec::new()),
            };
            let statement = transaction.prepare_cached(
                "SELECT * FROM envoys WHERE (name, id) > (?1, ?2) AND name >= ?3 AND (?4 IS NULL OR name < ?4) ORDER BY name, id LIMIT ?5",
            )?;
            let bound = rows::after_prefix(prefix);
            let items =
                rows::all(statement, params![name, id, prefix, bound, rows::rows_wanted(limit)], envoy)?;
            Ok(Listing::cut(items, limit, |envoy| format!("{} {}", envoy.identity.name, envoy.identity.id)))
        })
    }

    pub(super) fn write_sightings(&self, sightings: &[Sighting]) -> Result<(), StoreError> {
        self.write("store check-ins", |transaction| {
            let mut update = transaction.prepare_cached(
                "UPDATE envoys SET last_seen = max(coalesce(last_seen, 0), ?2), agent_version = ?3, level = ?4, reasons = ?5, swap = ?6 WHERE id = ?1",
            )?;
            for sighting in sightings {
                let reasons = rows::json(sighting.posture.reasons.clone());
                rows::bounded("posture", reasons.len(), LISTS)?;
                update.execute(params![
                    sighting.envoy.as_bytes(),
                    sighting.at,
                    sighting.agent_version,
                    sighting.posture.level,
                    reasons,
                    sighting.posture.swap
                ])?;
            }
            Ok(())
        })
    }

    pub(super) fn write_traits(&self, envoy: &EnvoyId, traits: &StoredTraits) -> Result<(), StoreError> {
        self.write("store traits", |transaction| {
            rows::bounded("traits", traits.bytes.len(), limits::TRAITS)?;
            let changed = transaction
                .prepare_cached("UPDATE envoys SET traits_digest = ?2 WHERE id = ?1")?
                .execute(params![envoy.as_bytes(), traits.digest.as_bytes()])?;
            known(changed, envoy)?;
            transaction
                .prepare_cached("INSERT INTO envoy_traits (envoy, digest, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (envoy) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes")?
                .execute(params![envoy.as_bytes(), traits.digest.as_bytes(), traits.bytes])?;
            Ok(())
        })
    }

    pub(super) fn read_traits(&self, envoy: &EnvoyId) -> Result<Option<StoredTraits>, StoreError> {
        self.read("read traits", |transaction| {
            let statement = transaction.prepare_cached("SELECT * FROM envoy_traits WHERE envoy = ?1")?;
            rows::first(statement, [envoy.as_bytes()], |row| {
                Ok(StoredTraits { digest: rows::digest(row, "digest")?, bytes: row.get("bytes")? })
            })
        })
    }

    pub(super) fn write_assignments(&self, assignments: &[StoredAssignment]) -> Result<(), StoreError> {
        self.write("store assignments", |transaction| {
            assignments.iter().try_for_each(|assignment| store_assignment(transaction, assignment))
        })
    }

    pub(super) fn read_assignments(&self, envoy: &EnvoyId) -> Result<Vec<StoredAssignment>, StoreError> {
        self.read("read assignments", |transaction| assignments(transaction, envoy))
    }

    pub(super) fn write_continuity(&self, envoy: &EnvoyId, value: &[u8]) -> Result<(), StoreError> {
        self.write("store a continuity value", |transaction| {
            rows::bounded("continuity value", value.len(), CONTINUITY)?;
            let changed = transaction
                .prepare_cached(
                    "UPDATE envoys SET continuity_before = continuity, continuity = ?2 WHERE id = ?1",
                )?
                .execute(params![envoy.as_bytes(), value])?;
            known(changed, envoy)
        })
    }

    pub(super) fn write_envoy_state(
        &self,
        id: &EnvoyId,
        state: EnvoyState,
        audit: &[NewAudit],
    ) -> Result<(), StoreError> {
        self.write_audited("change an envoy's state", audit, |transaction| {
            let envoy = find(transaction, id)?.ok_or_else(|| unknown(id))?;
            if envoy.state == EnvoyState::Revoked && state != EnvoyState::Revoked {
                return Err(StoreError::Revoked { name: envoy.identity.name.to_string() }.into());
            }
            transaction
                .prepare_cached("UPDATE envoys SET state = ?2 WHERE id = ?1")?
                .execute(params![id.as_bytes(), state.as_str()])?;
            Ok(())
        })
    }

    pub(super) fn delete_envoy(&self, id: &EnvoyId, audit: &[NewAudit]) -> Result<(), StoreError> {
        self.write_audited("remove an envoy", audit, |transaction| {
            let envoy = find(transaction, id)?.ok_or_else(|| unknown(id))?;
            if envoy.state != EnvoyState::Revoked {
                return Err(StoreError::NotRevoked { name: envoy.identity.name.to_string() }.into());
            }
            transaction.prepare_cached("DELETE FROM envoys WHERE id = ?1")?.execute([id.as_bytes()])?;
            Ok(())
        })
    }
}

pub(super) fn find(transaction: &Transaction<'_>, id: &EnvoyId) -> Result<Option<Envoy>, Fault> {
    rows::first(transaction.prepare_cached("SELECT * FROM envoys WHERE id = ?1")?, [id.as_bytes()], envoy)
}

/// The one that has the name and is not revoked.
pub(super) fn living(transaction: &Transaction<'_>, name: &str) -> Result<Option<Envoy>, Fault> {
    let statement =
        transaction.prepare_cached("SELECT * FROM envoys WHERE name = ?1 AND state <> 'revoked'")?;
    rows::first(statement, [name], envoy)
}

pub(super) fn insert(transaction: &Transaction<'_>, new: &NewEnvoy, at: u64) -> Result<(), Fault> {
    let labels = rows::json_map(&new.labels);
    rows::bounded("labels", labels.len(), LISTS)?;
    let fresh = transaction
        .prepare_cached("INSERT INTO envoy_ids (id) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([new.id.as_bytes()])?;
    if fresh == 0 {
        return Err(StoreError::IdUsed { id: new.id.to_string() }.into());
    }
    transaction
        .prepare_cached("INSERT INTO envoys (id, name, identity_key, session_key, labels, mac, state, enrolled_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'active', ?7)")?
        .execute(params![
            new.id.as_bytes(),
            new.name.as_str(),
            new.identity_key,
            new.session_key,
            labels,
            new.mac,
            at
        ])?;
    Ok(())
}

pub(super) fn store_assignment(transaction: &Transaction<'_>, new: &StoredAssignment) -> Result<(), Fault> {
    rows::bounded("assignment", new.bytes.len(), limits::FRAME)?;
    let current = assignments(transaction, &new.envoy)?;
    if let Some(held) = current.first()
        && (new.term, new.generation) <= (held.term, held.generation)
    {
        return Err(StoreError::Generation {
            envoy: new.envoy.to_string(),
            given_term: new.term,
            given: new.generation,
            term: held.term,
            generation: held.generation,
        }
        .into());
    }
    let changed = transaction
        .prepare_cached("UPDATE envoys SET environment = ?2 WHERE id = ?1")?
        .execute(params![new.envoy.as_bytes(), new.environment])?;
    known(changed, &new.envoy)?;
    transaction
        .prepare_cached("INSERT INTO assignments (envoy, term, generation, bundle, publish, secrets_epoch, environment, issued_at, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            new.envoy.as_bytes(),
            new.term,
            new.generation,
            new.bundle.as_bytes(),
            new.publish,
            new.secrets_epoch,
            new.environment,
            new.issued_at,
            new.bytes
        ])?;
    transaction
        .prepare_cached("DELETE FROM assignments WHERE envoy = ?1 AND rowid NOT IN (SELECT rowid FROM assignments WHERE envoy = ?1 ORDER BY term DESC, generation DESC LIMIT ?2)")?
        .execute(params![new.envoy.as_bytes(), ASSIGNMENTS_KEPT])?;
    Ok(())
}

pub(super) fn assignments(
    transaction: &Transaction<'_>,
    envoy: &EnvoyId,
) -> Result<Vec<StoredAssignment>, Fault> {
    let statement = transaction.prepare_cached(
        "SELECT * FROM assignments WHERE envoy = ?1 ORDER BY term DESC, generation DESC LIMIT ?2",
    )?;
    rows::all(statement, params![envoy.as_bytes(), ASSIGNMENTS_KEPT], |row| {
        Ok(StoredAssignment {
            envoy: rows::envoy_id(row, "envoy")?,
            term: row.get("term")?,
            generation: row.get("generation")?,
            bundle: rows::digest(row, "bundle")?,
            publish: row.get("publish")?,
            secrets_epoch: row.get("secrets_epoch")?,
            environment: row.get("environment")?,
            issued_at: row.get("issued_at")?,
            bytes: row.get("bytes")?,
        })
    })
}

fn unknown(id: &EnvoyId) -> StoreError {
    StoreError::NotFound { what: "envoy", name: id.to_string() }
}

fn known(changed: usize, id: &EnvoyId) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(unknown(id).into()) }
}

pub(super) fn identity(row: &Row<'_>) -> Result<NewEnvoy, Fault> {
    Ok(NewEnvoy {
        id: rows::envoy_id(row, "id")?,
        name: rows::envoy_name(row, "name")?,
        identity_key: rows::array(row, "identity_key", "identity key")?,
        session_key: rows::array(row, "session_key", "session key")?,
        labels: rows::labels(row, "labels")?,
        mac: row.get("mac")?,
    })
}

fn envoy(row: &Row<'_>) -> Result<Envoy, Fault> {
    let traits: Option<Vec<u8>> = row.get("traits_digest")?;
    let run_at: Option<u64> = row.get("run_at")?;
    Ok(Envoy {
        identity: identity(row)?,
        state: EnvoyState::parse(&row.get::<_, String>("state")?)
            .ok_or_else(|| rows::malformed("envoy state"))?,
        enrolled_at: row.get("enrolled_at")?,
        environment: row.get("environment")?,
        last_seen: row.get("last_seen")?,
        agent_version: row.get("agent_version")?,
        posture: Posture {
            level: row.get("level")?,
            reasons: rows::texts(row, "reasons")?,
            swap: row.get("swap")?,
        },
        traits_digest: traits
            .map(|bytes| Digest::from_bytes(&bytes).ok_or_else(|| rows::malformed("digest")))
            .transpose()?,
        continuity: row.get("continuity")?,
        continuity_before: row.get("continuity_before")?,
        last_run: match run_at {
            Some(at) => Some(LastRun { at, summary: summary(row, "run_")? }),
            None => None,
        },
    })
}

/// The five counts of a run, in columns that begin with `prefix`.
pub(super) fn summary(row: &Row<'_>, prefix: &str) -> Result<Summary, Fault> {
    let count = |name: &str| row.get::<_, u64>(format!("{prefix}{name}").as_str());
    Ok(Summary {
        unchanged: count("unchanged")?,
        changed: count("changed")?,
        failed: count("failed")?,
        blocked: count("blocked")?,
        skipped: count("skipped")?,
    })
}
