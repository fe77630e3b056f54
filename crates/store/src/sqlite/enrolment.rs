//! Enrolment: the use of a token is spent in the transaction that stores the envoy.

use super::rows::{self, Fault};
use super::{SqliteStore, envoys, tokens};
use crate::audit::NewAudit;
use crate::envoy::Envoy;
use crate::error::StoreError;
use crate::token::{Enrolled, Enrolment, Token};
use rusqlite::{Transaction, params};
use vigo_base::{EnvoyId, limits};

/// Unseen for that long, an envoy no longer keeps its name from another that has a token for it.
const NAME_KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;

impl SqliteStore {
    pub(super) fn write_enrolment(
        &self,
        enrolment: &Enrolment<'_>,
        audit: &[NewAudit],
    ) -> Result<Enrolled, StoreError> {
        self.write("enrol", |transaction| {
            if let Some(answer) = tokens::answer(transaction, enrolment.token, &enrolment.request)? {
                return Ok(Enrolled::Again(answer));
            }
            rows::bounded("enrolment's answer", enrolment.answer.len(), limits::ENROL_MESSAGE)?;
            let token = usable(transaction, enrolment)?;
            let replaced = free_name(transaction, enrolment, &token)?;
            envoys::insert(transaction, enrolment.envoy, enrolment.at)?;
            if let Some(assignment) = enrolment.assignment {
                envoys::store_assignment(transaction, assignment)?;
            }
            spend(transaction, enrolment)?;
            super::audit::append(transaction, audit)?;
            if let (Some(replaced), Some(first)) = (&replaced, audit.first()) {
                super::audit::append(transaction, &[revocation(replaced, first)])?;
            }
            Ok(Enrolled::New { replaced })
        })
    }
}

/// That the holder of the name was revoked stands in the log as any other revocation does.
fn revocation(replaced: &EnvoyId, enrolled: &NewAudit) -> NewAudit {
    NewAudit {
        action: "envoys.write".into(),
        detail: format!("revoked {replaced}: its name was enrolled again"),
        ..enrolled.clone()
    }
}

fn usable(transaction: &Transaction<'_>, enrolment: &Enrolment<'_>) -> Result<Token, Fault> {
    let token = tokens::find(transaction, enrolment.token)?.ok_or(StoreError::TokenUnknown)?;
    if enrolment.at >= token.expires_at {
        return Err(StoreError::TokenExpired.into());
    }
    if token.uses_left == 0 {
        return Err(StoreError::TokenSpent.into());
    }
    Ok(token)
}

/// Makes the name free, or says who has it.
fn free_name(
    transaction: &Transaction<'_>,
    enrolment: &Enrolment<'_>,
    token: &Token,
) -> Result<Option<EnvoyId>, Fault> {
    let name = &enrolment.envoy.name;
    let Some(holder) = envoys::living(transaction, name.as_str())? else { return Ok(None) };
    if !token.replace && !unseen(&holder, enrolment.at) {
        let holder = holder.identity.id.to_string();
        return Err(StoreError::NameTaken { name: name.to_string(), holder }.into());
    }
    transaction
        .prepare_cached("UPDATE envoys SET state = 'revoked' WHERE id = ?1")?
        .execute([holder.identity.id.as_bytes()])?;
    Ok(Some(holder.identity.id))
}

fn unseen(envoy: &Envoy, now: u64) -> bool {
    now.saturating_sub(envoy.last_seen.unwrap_or(0).max(envoy.enrolled_at)) >= NAME_KEPT_SECONDS
}

fn spend(transaction: &Transaction<'_>, enrolment: &Enrolment<'_>) -> Result<(), Fault> {
    let token = enrolment.token.as_bytes();
    transaction
        .prepare_cached("UPDATE tokens SET uses_left = uses_left - 1 WHERE id = ?1")?
        .execute([token])?;
    transaction
        .prepare_cached("INSERT INTO token_answers (token, request, answer) VALUES (?1, ?2, ?3)")?
        .execute(params![token, enrolment.request.as_bytes(), enrolment.answer])?;
    Ok(())
}
