//! Assignments: what one envoy is given, made when it asks and signed by the hand. Stored, with a generation of its own, before it is handed out.

use crate::fleet::Member;
use crate::secret_policy::{self, Facts};
use crate::state::Server;
use crate::{ServerError, clock, entitle};
use prost::Message as _;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use vigo_base::{Digest, SecretPath};
use vigo_store::StoredAssignment;
use vigo_wire::assignment::{Assignment, FORMAT, Label, SignedAssignment};
use vigo_wire::inner::SecretState;
use vigo_wire::sign::{SignContext, verify};

/// So long after it was replaced, the assignment before still entitles to secrets: a run that began with it may end.
pub const BEFORE_SECONDS: u64 = 900;

/// What an assignment was made from: while it is the same, nothing has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The publish.
    pub publish: u64,
    /// The last change of any secret.
    pub secret_change: u64,
    /// The envoy's traits as they were last sent whole.
    pub traits: Option<Digest>,
}

impl Stamp {
    /// As it is now.
    #[must_use]
    pub fn now(server: &Server, member: &Member) -> Self {
        let secret_change = server.secrets.snapshot().change;
        Self { publish: server.published().version, secret_change, traits: member.live().traits }
    }
}

/// What an envoy has, and what would make it something else.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its assignment.
    pub assigned: Arc<Assigned>,
    /// What that was made from, or was found to be still right with.
    pub stamp: Stamp,
    /// The secrets whose change concerns this envoy.
    pub watched: Arc<BTreeSet<SecretPath>>,
}

/// A signed assignment of one envoy.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// As it is stored.
    pub stored: StoredAssignment,
    /// What was signed, decoded.
    pub assignment: Assignment,
    /// As it goes to the envoy.
    pub signed: SignedAssignment,
}

impl Assigned {
    /// Reads a stored one. That this server signed it is checked: who can write to the database alone cannot assign.
    ///
    /// # Errors
    /// When it cannot be read or was signed by another.
    pub fn read(server: &Server, stored: StoredAssignment) -> Result<Self, ServerError> {
        let forged = || ServerError::Forged { what: "assignment", name: stored.envoy.to_string() };
        let signed = SignedAssignment::decode(stored.bytes.as_slice()).map_err(|_| forged())?;
        let key = server.keys.bundle_key(&signed.key).ok_or_else(forged)?;
        verify(SignContext::Assignment, &key, &signed.assignment, &signed.signature).map_err(|_| forged())?;
        let assignment = Assignment::decode(signed.assignment.as_slice()).map_err(|_| forged())?;
        let same = assignment.envoy == stored.envoy.as_bytes()
            && (assignment.term, assignment.generation) == (stored.term, stored.generation)
            && assignment.bundle == stored.bundle.as_bytes();
        if same { Ok(Self { stored, assignment, signed }) } else { Err(forged()) }
    }
}

/// The current assignment of `member`: the one it has if nothing it is made from changed, else a new one. Blocks.
///
/// # Errors
/// When the store or the hand cannot.
pub fn current(server: &Server, member: &Member) -> Result<Current, ServerError> {
    let _turn = member.assigning.lock().unwrap_or_else(PoisonError::into_inner);
    let published = server.published();
    let secrets = server.secrets.snapshot();
    let stamp =
        Stamp { publish: published.version, secret_change: secrets.change, traits: member.live().traits };
    let held = match member.live().assigned.clone() {
        Some(current) if current.stamp == stamp => return Ok(current),
        Some(current) => Some(current.assigned),
        None => None,
    };
    let held = match held {
        Some(assigned) => Some(assigned),
        None => newest(server, member)?.map(Arc::new),
    };
    let (assigned, watched) = match held {
        Some(held) if published.frozen => {
            let watched = watched(server, member, &held.stored)?;
            (held, watched)
        }
        held => {
            let (wanted, watched) = wanted(server, member, &published, &secrets, held.as_deref())?;
            match held {
                Some(held) if says_the_same(&held.assignment, &wanted) => (held, watched),
                _ => (Arc::new(issue(server, member, wanted)?), watched),
            }
        }
    };
    let current = Current { assigned, stamp, watched: Arc::new(watched) };
    member.live().assigned = Some(current.clone());
    Ok(current)
}

/// The secrets that concern the envoy by what is assigned to it.
fn watched(
    server: &Server,
    member: &Member,
    stored: &StoredAssignment,
) -> Result<BTreeSet<SecretPath>, ServerError> {
    entitle::watched(server, &stored.bundle, &member.identity, &stored.environment)
}

/// True if what was published, or a secret that changed, makes another assignment of the one that this envoy has. Reads no store but for an
/// envoy whose match block depends on its traits.
///
/// # Errors
/// When the store cannot be read.
pub fn is_outdated(server: &Server, member: &Member, current: &Current) -> Result<bool, ServerError> {
    let assignment = &current.assigned.assignment;
    let secrets = server.secrets.snapshot();
    if current.watched.iter().any(|path| secrets.changed_at(path) > assignment.secrets_epoch) {
        return Ok(true);
    }
    let published = server.published();
    if published.frozen || published.version == current.stamp.publish {
        return Ok(false);
    }
    let traits = if published.wants_traits(&member.identity) { server.traits(&member.id())? } else { None };
    let choice = published.choose(&member.identity, traits.as_ref());
    Ok(assignment.bundle != choice.block.digest.as_bytes()
        || assignment.environment != choice.block.environment
        || assignment.unmatched != choice.unmatched)
}

fn newest(server: &Server, member: &Member) -> Result<Option<Assigned>, ServerError> {
    let stored = server.store.assignments(&member.id())?.into_iter().next();
    stored.map(|stored| Assigned::read(server, stored)).transpose()
}

/// What the assignment should say now, with the generation it would have if it has to be a new one.
fn wanted(
    server: &Server,
    member: &Member,
    published: &crate::published::Published,
    secrets: &crate::secret_index::Snapshot,
    held: Option<&Assigned>,
) -> Result<(Assignment, BTreeSet<SecretPath>), ServerError> {
    let traits = if published.wants_traits(&member.identity) { server.traits(&member.id())? } else { None };
    let choice = published.choose(&member.identity, traits.as_ref());
    let (bundle, environment) = (choice.block.digest, choice.block.environment.clone());
    let watched = entitle::watched(server, &bundle, &member.identity, &environment)?;
    let newest_change = watched.iter().map(|path| secrets.changed_at(path)).max().unwrap_or(0);
    let labels = member.identity.labels.iter();
    let assignment = Assignment {
        format: FORMAT,
        anchor: Digest::of(server.keys.anchor()).as_bytes().to_vec(),
        envoy: member.id().as_bytes().to_vec(),
        name: member.identity.name.as_str().into(),
        environment,
        labels: labels.map(|(name, value)| Label { name: name.clone(), value: value.clone() }).collect(),
        parameters: Vec::new(),
        term: server.keys.term(),
        generation: held.map_or(0, |held| held.assignment.generation).saturating_add(1),
        bundle: bundle.as_bytes().to_vec(),
        publish: published.version,
        secrets_epoch: newest_change.max(held.map_or(0, |held| held.assignment.secrets_epoch)),
        issued_at: clock::now(),
        unmatched: choice.unmatched,
    };
    Ok((assignment, watched))
}

/// A publish that changes nothing for this envoy is no new assignment.
fn says_the_same(held: &Assignment, wanted: &Assignment) -> bool {
    let Assignment { generation, publish, issued_at, .. } = *held;
    *held == Assignment { generation, publish, issued_at, ..wanted.clone() }
}

fn issue(server: &Server, member: &Member, assignment: Assignment) -> Result<Assigned, ServerError> {
    let message = assignment.encode_to_vec();
    let (key, signature) = server.keys.sign_assignment(&message)?;
    let signed = SignedAssignment { assignment: message, key: key.to_vec(), signature: signature.to_vec() };
    let bundle = Digest::from_bytes(&assignment.bundle).ok_or(ServerError::Bug("a bundle has no digest"))?;
    let stored = StoredAssignment {
        envoy: member.id(),
        term: assignment.term,
        generation: assignment.generation,
        bundle,
        publish: assignment.publish,
        secrets_epoch: assignment.secrets_epoch,
        environment: assignment.environment.clone(),
        issued_at: assignment.issued_at,
        bytes: signed.encode_to_vec(),
    };
    server.store.set_assignments(std::slice::from_ref(&stored))?;
    Ok(Assigned { stored, assignment, signed })
}

/// Current versions of what the assignment entitles to. What a policy would refuse now is left out: a hand that holds it drops it. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn secret_states(
    server: &Server,
    member: &Member,
    environment: &str,
    paths: &BTreeSet<SecretPath>,
) -> Result<Vec<SecretState>, ServerError> {
    let secrets = server.secrets.snapshot();
    let policies = server.store.secret_policies()?;
    let posture = member.live().posture.clone();
    let identity = &member.identity;
    let facts = Facts { name: identity.name.as_str(), environment, labels: &identity.labels };
    let may = |path: &&SecretPath| {
        secret_policy::allows(&policies, path, &facts).is_ok()
            && secret_policy::gate(&policies, path, &posture).is_ok()
    };
    let state = |path: &SecretPath| SecretState { path: path.to_string(), version: secrets.version(path) };
    Ok(paths.iter().filter(may).map(state).collect())
}
