//! Hands out secrets: decided by what the store says in one transaction, audited before anything leaves, sealed by the hand.
//!
//! No value passes through here: records go into the hand, values sealed to the asking hand's one-time key come out.

use crate::assign::{Assigned, BEFORE_SECONDS};
use crate::dispatch::{REVOKED, refused};
use crate::fleet::Member;
use crate::rest::call::record;
use crate::secret_policy::{self, Facts, Refusal};
use crate::state::Server;
use crate::{ServerError, assign, checkin, clock, entitle};
use vigo_base::{SecretPath, limits};
use vigo_hand::{Binding, FailureCode, SealedItem, VaultRecord};
use vigo_store::{Entitled, EnvoyState, NewAudit, Posture, SecretPolicies, SecretRecord};
use vigo_wire::inner::{Answer, SecretItem, SecretReply, SecretRequest};

const ACTION: &str = "secrets.resolve";

/// A request whose fields have the right form.
struct Wanted {
    paths: Vec<SecretPath>,
    key: [u8; 32],
    request: [u8; 16],
    term: u64,
    generation: u64,
}

/// What is decided for one path.
enum Decision {
    Granted(SecretRecord),
    Refused(Refusal),
}

impl Decision {
    fn refused(code: &'static str, why: String, help: impl Into<String>) -> Self {
        Self::Refused(Refusal { code, why, help: help.into() })
    }
}

/// There is nothing to give: no denial, though nothing is given.
const NO_SECRET: &str = "no-secret";

/// Answers a request for secrets. Blocks.
///
/// # Errors
/// When the store or the hand cannot; then nothing leaves.
pub fn answer(server: &Server, member: &Member, asked: &SecretRequest) -> Result<Answer, ServerError> {
    let wanted = match read(asked) {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(*refusal),
    };
    // What was published since counts from now on, also for one that avoids to check in: else it would keep what it lost.
    assign::current(server, member)?;
    let Some(entitled) = server.store.entitled(&member.id(), &wanted.paths)? else {
        return Ok(refused("unknown-envoy", "the server does not know this envoy"));
    };
    if entitled.envoy.identity != member.identity {
        return Err(ServerError::Forged { what: "envoy", name: member.id().to_string() });
    }
    member.note_state(entitled.envoy.state);
    let closed = match entitled.envoy.state {
        EnvoyState::Active => None,
        EnvoyState::Revoked => Some(("revoked", REVOKED)),
        EnvoyState::Quarantined => {
            Some(("quarantined", "this envoy looks like a clone: an operator has to approve it"))
        }
    };
    if let Some((code, message)) = closed {
        deny_all(server, member, &wanted, code)?;
        return Ok(refused(code, message));
    }
    match secret_policy::verify(server, &entitled.policies) {
        Ok(()) => {}
        Err(error @ ServerError::Forged { .. }) => {
            tracing::error!("{error}");
            deny_all(server, member, &wanted, "the stored policies of secrets are not this server's")?;
            return Ok(refused(
                "untrusted-policy",
                "the server's policies of secrets were changed past the server: its operator has to look (`vigocli secrets policy list`)",
            ));
        }
        Err(error) => return Err(error),
    }
    let Some(assigned) = assignment(server, &wanted, entitled.assignments.clone())? else {
        return Ok(refused("stale-bundle", "the assignment is no longer the current one: check in again"));
    };
    if let Some(posture) = &asked.posture {
        member.note_posture(checkin::posture(posture));
        server.fleet.touch(member.id());
    }
    let posture = member.live().posture.clone();
    let decisions = decide(server, member, &wanted, &assigned, entitled, &posture)?;
    server.append_audit(&audit(member, &wanted, &decisions, &posture))?;
    seal(server, member, &wanted, &assigned, decisions)
}

fn read(asked: &SecretRequest) -> Result<Wanted, Box<Answer>> {
    let malformed = |why: &str| Box::new(refused("malformed", why));
    if asked.paths.len() > limits::SECRET_BATCH {
        let most = limits::SECRET_BATCH;
        return Err(Box::new(refused("too-large", format!("more than {most} secrets in one request"))));
    }
    let paths: Result<Vec<SecretPath>, _> = asked.paths.iter().map(|path| path.parse()).collect();
    Ok(Wanted {
        paths: paths.map_err(|_| malformed("a path is no secret path"))?,
        key: asked.key.as_slice().try_into().map_err(|_| malformed("the key has not 32 bytes"))?,
        request: asked
            .request
            .as_slice()
            .try_into()
            .map_err(|_| malformed("the request has not 16 bytes"))?,
        term: asked.term,
        generation: asked.generation,
    })
}

/// The assignment that the request names: the current one, or the one before as long as a run may still be at it.
fn assignment(
    server: &Server,
    wanted: &Wanted,
    stored: Vec<vigo_store::StoredAssignment>,
) -> Result<Option<Assigned>, ServerError> {
    let replaced_at = stored.first().map_or(0, |current| current.issued_at);
    let in_time = clock::now().saturating_sub(replaced_at) <= BEFORE_SECONDS;
    let named = stored.into_iter().take(2).enumerate().find(|(at, one)| {
        (one.term, one.generation) == (wanted.term, wanted.generation) && (*at == 0 || in_time)
    });
    named.map(|(_, stored)| Assigned::read(server, stored)).transpose()
}

fn decide(
    server: &Server,
    member: &Member,
    wanted: &Wanted,
    assigned: &Assigned,
    entitled: Entitled,
    posture: &Posture,
) -> Result<Vec<Decision>, ServerError> {
    let stored = &assigned.stored;
    let references = entitle::by_digest(server, &stored.bundle, &member.identity, &stored.environment)?;
    let withheld = server.published().withheld(&stored.bundle);
    let facts = Facts {
        name: member.identity.name.as_str(),
        environment: &stored.environment,
        labels: &member.identity.labels,
    };
    let Entitled { records, policies, .. } = entitled;
    let records = records.into_iter().chain(std::iter::repeat(None));
    let decisions = wanted.paths.iter().zip(records).map(|(path, record)| match (record, &withheld) {
        (_, Some(origin)) if !references.contains(path) => Decision::refused(
            "by-traits",
            format!("`{path}` stands in a match block that is chosen by traits ({origin}), and what a machine says of itself entitles to nothing"),
            "choose this envoy by name (`match:`)",
        ),
        (_, None) if !references.contains(path) => Decision::refused(
            "not-in-bundle",
            format!("`{path}` does not stand in the bundle of this envoy"),
            "",
        ),
        (None, _) => Decision::refused(
            NO_SECRET,
            format!("there is no secret `{path}`: set it with `vigocli secrets set {path}`"),
            "",
        ),
        (Some(record), _) => match judge(&policies, path, &facts, posture) {
            Ok(()) => Decision::Granted(record),
            Err(refusal) => Decision::Refused(refusal),
        },
    });
    Ok(decisions.collect())
}

fn judge(
    policies: &SecretPolicies,
    path: &SecretPath,
    facts: &Facts<'_>,
    posture: &Posture,
) -> Result<(), Refusal> {
    secret_policy::allows(policies, path, facts)?;
    secret_policy::gate(policies, path, posture)
}

/// Records that nothing of it is given; the same denial of the same secret once an hour.
fn deny_all(server: &Server, member: &Member, wanted: &Wanted, why: &str) -> Result<(), ServerError> {
    let news = wanted.paths.iter().filter(|path| member.is_news(path, why));
    let denials: Vec<_> = news.map(|path| denial(member, path, why)).collect();
    if denials.is_empty() { Ok(()) } else { server.append_audit(&denials) }
}

fn denial(member: &Member, path: &SecretPath, why: &str) -> NewAudit {
    record(&member.actor(), ACTION, path.as_str(), "denied", why)
}

/// What goes to the log: every value that is given, with how badly the machine is protected; a refusal that repeats itself once an hour.
fn audit(member: &Member, wanted: &Wanted, decisions: &[Decision], posture: &Posture) -> Vec<NewAudit> {
    let shortfall = secret_policy::shortfall(posture);
    let one = |(path, decision): (&SecretPath, &Decision)| match decision {
        Decision::Granted(granted) => {
            member.was_granted(path);
            let version = granted.version;
            let detail = match &shortfall {
                None => version.to_string(),
                Some(shortfall) => format!("{version}, {shortfall}"),
            };
            Some(record(&member.actor(), ACTION, path.as_str(), "allowed", &detail))
        }
        Decision::Refused(refusal) if !member.is_news(path, &refusal.why) => None,
        Decision::Refused(refusal) if refusal.code == NO_SECRET => {
            Some(record(&member.actor(), ACTION, path.as_str(), "failed", &refusal.why))
        }
        Decision::Refused(refusal) => {
            tracing::warn!(
                name = member.identity.name.as_str(),
                secret = path.as_str(),
                code = refusal.code,
                why = refusal.why,
                "a secret is refused"
            );
            Some(denial(member, path, &refusal.why))
        }
    };
    wanted.paths.iter().zip(decisions).filter_map(one).collect()
}

/// Seals all records, or, where one of them does not open, each by itself: a broken one is `None` and takes no other with it.
fn reseal(
    server: &Server,
    member: &Member,
    records: &[VaultRecord],
    wanted: &Wanted,
    binding: &Binding,
) -> Result<Vec<Option<SealedItem>>, ServerError> {
    let is_broken = |error: &ServerError| match error {
        ServerError::Hand(error) => error
            .code()
            .is_some_and(|code| !matches!(code, FailureCode::Room | FailureCode::Locked | FailureCode::Bug)),
        _ => false,
    };
    match server.keys.reseal(records, &wanted.key, binding) {
        Ok(sealed) => return Ok(sealed.into_iter().map(Some).collect()),
        Err(error) if is_broken(&error) => {}
        Err(error) => return Err(error),
    }
    let mut sealed = Vec::with_capacity(records.len());
    for record in records {
        match server.keys.reseal(std::slice::from_ref(record), &wanted.key, binding) {
            Ok(one) => sealed.push(one.into_iter().next()),
            Err(error) if is_broken(&error) => {
                let why = vigo_base::chain(&error);
                tracing::error!(path = record.path.as_str(), error = why, "a stored secret does not open");
                let actor = member.actor();
                server.append_audit(&[self::record(&actor, ACTION, record.path.as_str(), "failed", &why)])?;
                sealed.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sealed)
}

fn seal(
    server: &Server,
    member: &Member,
    wanted: &Wanted,
    assigned: &Assigned,
    decisions: Vec<Decision>,
) -> Result<Answer, ServerError> {
    let epoch = assigned.assignment.secrets_epoch;
    let granted = |(path, decision): (&SecretPath, &Decision)| match decision {
        Decision::Granted(SecretRecord { version, record }) => {
            Some(VaultRecord { path: path.clone(), version: *version, record: record.clone() })
        }
        Decision::Refused(_) => None,
    };
    let granted: Vec<VaultRecord> = wanted.paths.iter().zip(&decisions).filter_map(granted).collect();
    let binding = Binding { party: *member.id().as_bytes(), epoch, request: wanted.request };
    let mut sealed = reseal(server, member, &granted, wanted, &binding)?.into_iter();
    let mut items = Vec::with_capacity(decisions.len());
    for (path, decision) in wanted.paths.iter().zip(decisions) {
        let mut item = SecretItem { path: path.to_string(), ..SecretItem::default() };
        match decision {
            Decision::Refused(Refusal { code, why, help }) => {
                item.refused = why;
                item.code = code.into();
                item.help = help;
            }
            Decision::Granted(record) => {
                let sealed =
                    sealed.next().ok_or(ServerError::Bug("the hand sealed fewer values than asked"))?;
                match sealed {
                    Some(sealed) => {
                        server.note_secret_use(path, &member.actor(), record.version);
                        item.version = record.version.0;
                        item.encapsulated = sealed.sealed.encapsulated;
                        item.ciphertext = sealed.sealed.ciphertext;
                        server.metrics.secrets_sealed.inc();
                    }
                    None => {
                        item.code = "broken".into();
                        item.refused = format!(
                            "what the server has stored of `{path}` does not open: set it anew with `vigocli secrets set {path}`"
                        );
                    }
                }
            }
        }
        items.push(item);
    }
    Ok(Answer::Secrets(SecretReply { items, epoch }))
}
