//! What this envoy holds: the last assignment that it accepted, with its bundle. It is what a run without the server applies.

use crate::enrolment::Enrolment;
use crate::error::AgentError;
use prost::Message;
use vigo_base::{Digest, limits};
use vigo_host::Folder;
use vigo_wire::assignment::{KeyCertificate, SignedAssignment};
use vigo_wire::bundle::Bundle;
use vigo_wire::generation::{Decision, Refusal, Standing, accept};
use vigo_wire::inner::{CheckInReply, SecretState};
use vigo_wire::{VerifiedAssignment, check_bundle, verify_assignment};

const FORMAT: u32 = 1;
const NAME: &str = "held";
const LIMIT: usize = 8 << 20;

/// The record in the state folder. Its signature is checked again each time it is read.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    signed: Option<SignedAssignment>,
    #[prost(message, repeated, tag = "3")]
    keys: Vec<KeyCertificate>,
    #[prost(message, repeated, tag = "4")]
    secrets: Vec<SecretState>,
    /// The time for which the keys were good, seconds since 1970.
    #[prost(uint64, tag = "5")]
    accepted_at: u64,
}

/// An accepted assignment with its bundle. Holding one proves that both were verified.
pub struct Held {
    /// The assignment.
    pub assignment: VerifiedAssignment,
    /// The versions of its secrets, as the server last said.
    pub secrets: Vec<SecretState>,
    /// The bundle.
    pub bundle: Bundle,
    /// When it was accepted, seconds since 1970.
    pub accepted_at: u64,
}

impl Held {
    /// What is held; `None` before the first assignment.
    ///
    /// # Errors
    /// When what stands there cannot be read or is not what was verified when it was written.
    pub fn load(folder: &Folder, enrolment: &Enrolment) -> Result<Option<Self>, AgentError> {
        let Some(bytes) = folder.read(NAME, LIMIT)? else { return Ok(None) };
        let wrong = |why: String| AgentError::Stored { path: folder.path().join(NAME), why };
        let record = Record::decode(bytes.as_slice()).map_err(|error| wrong(error.to_string()))?;
        if record.format != FORMAT {
            return Err(wrong("a later version of Vigo wrote it; upgrade this one".to_owned()));
        }
        let signed = record.signed.ok_or_else(|| wrong("the assignment is missing".to_owned()))?;
        let assignment = verify_assignment(
            &signed,
            &record.keys,
            &enrolment.anchor,
            &enrolment.envoy,
            record.accepted_at,
        )?;
        let name = bundle_name(assignment.bundle());
        let bundle = folder
            .read(&name, limits::BUNDLE)?
            .ok_or_else(|| wrong(format!("the bundle `{name}` beside it is missing")))?;
        let bundle = check_bundle(&bundle, assignment.bundle())?;
        Ok(Some(Self { assignment, secrets: record.secrets, bundle, accepted_at: record.accepted_at }))
    }

    /// Term and generation; zeroes before the first assignment.
    #[must_use]
    pub fn standing(held: Option<&Self>) -> (u64, u64) {
        held.map_or((0, 0), |held| {
            let assignment = held.assignment.assignment();
            (assignment.term, assignment.generation)
        })
    }
}

fn bundle_name(digest: &Digest) -> String {
    format!("bundle.{digest}")
}

/// Takes the assignment of a check-in, if it may be taken: verified, not lower than what was ever accepted, its bundle fetched and checked.
/// Bundle first, then the record: a kill in between leaves the old assignment with its bundle.
///
/// # Errors
/// When it does not verify or may not be taken, its bundle cannot be had, or it cannot be stored.
pub fn take(
    folder: &Folder,
    enrolment: &Enrolment,
    held: Option<&Held>,
    reply: CheckInReply,
    time: u64,
    fetch: impl FnOnce(&Digest) -> Result<Vec<u8>, AgentError>,
) -> Result<Option<Held>, AgentError> {
    let Some(signed) = reply.assignment else { return Ok(None) };
    let assignment = verify_assignment(&signed, &reply.keys, &enrolment.anchor, &enrolment.envoy, time)?;
    let standing = assignment.standing();
    let first = (enrolment.record.term, enrolment.record.generation);
    if (standing.term, standing.generation) < first {
        return Err(AgentError::Assignment("it is older than the enrolment of this machine"));
    }
    let before: Option<Standing> = held.map(|held| held.assignment.standing());
    match accept(before.as_ref(), &standing) {
        Decision::Accept | Decision::Same => {}
        Decision::Refused(Refusal::Lower) => {
            return Err(AgentError::Assignment(
                "it is older than the one that is held; if the server was restored from a backup, its term has to be raised",
            ));
        }
        Decision::Refused(Refusal::Equivocation) => {
            return Err(AgentError::Assignment(
                "it contradicts the one that is held with the same number: somebody signed twice",
            ));
        }
    }
    let name = bundle_name(assignment.bundle());
    let stored =
        folder.read(&name, limits::BUNDLE)?.filter(|bytes| Digest::of(bytes) == *assignment.bundle());
    let bundle = match stored {
        Some(bytes) => check_bundle(&bytes, assignment.bundle())?,
        None => {
            let bytes = fetch(assignment.bundle())?;
            let bundle = check_bundle(&bytes, assignment.bundle())?;
            folder.write(&name, &bytes)?;
            bundle
        }
    };
    let record = Record {
        format: FORMAT,
        signed: Some(signed),
        keys: reply.keys,
        secrets: reply.secrets.clone(),
        accepted_at: time,
    };
    folder.write(NAME, &record.encode_to_vec())?;
    for other in folder.names()? {
        if other.starts_with("bundle.") && other != name {
            folder.remove(&other)?;
        }
    }
    Ok(Some(Held { assignment, secrets: reply.secrets, bundle, accepted_at: time }))
}
