//! Answers what came out of an inner session: decode, refuse who may not, hand on to the one that knows.
//!
//! The session proved who asks. What is still open is whether this one may, and that is asked of the store where it matters.

use crate::fleet::Member;
use crate::state::Server;
use crate::tls::Transport;
use crate::{ServerError, checkin, renew, report, secrets};
use prost::Message as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vigo_base::limits;
use vigo_store::EnvoyState;
use vigo_wire::WireError;
use vigo_wire::inner::{Answer, Ask, BundleReply, BundleRequest, Refused, Reply, Request};

/// A request of an envoy has at most so many bytes: the largest is a report.
pub const REQUEST_LIMIT: usize = limits::REPORT + limits::TRAITS + 4096;

/// No, and why. The words are those of [`Refused::code`].
pub fn refused(code: &'static str, message: impl Into<String>) -> Answer {
    Answer::Refused(Refused { code: code.into(), message: message.into() })
}

/// Answers one request of `member`, who is connected by `transport`. Never fails: what goes wrong here is a refusal there.
pub async fn answer(
    server: &Arc<Server>,
    member: &Arc<Member>,
    transport: Transport,
    request: &[u8],
) -> Vec<u8> {
    let began = Instant::now();
    let (what, answer) = match read(request) {
        Ok(ask) => (word(&ask), decide(server, member, transport, ask).await),
        Err(refusal) => ("unknown", *refusal),
    };
    let outcome = match &answer {
        Answer::Refused(refused) => known_code(&refused.code),
        _ => "done",
    };
    server.metrics.count(what, outcome);
    if what == "check-in" {
        server.metrics.check_in_seconds.observe(began.elapsed().as_secs_f64());
    }
    Reply { answer: Some(answer) }.encode_to_vec()
}

/// Decodes a request, measured first: what it costs in memory is bounded before it is taken.
fn read(request: &[u8]) -> Result<Ask, Box<Answer>> {
    match vigo_wire::measure::check_request(request) {
        Ok(()) => {}
        Err(error @ WireError::TooLarge { .. }) => {
            return Err(Box::new(refused("too-large", error.to_string())));
        }
        Err(_) => return Err(Box::new(unreadable())),
    }
    let ask = Request::decode(request).ok().and_then(|request| request.ask);
    ask.ok_or_else(|| Box::new(unreadable()))
}

fn unreadable() -> Answer {
    refused("malformed", "the request cannot be read; is the agent newer than the server?")
}

const fn word(ask: &Ask) -> &'static str {
    match ask {
        Ask::CheckIn(check_in) if check_in.hold_s > 0 => "held-check-in",
        Ask::CheckIn(_) => "check-in",
        Ask::Bundle(_) => "bundle",
        Ask::Secrets(_) => "secrets",
        Ask::Report(_) => "report",
        Ask::Renew(_) => "renew",
    }
}

fn known_code(code: &str) -> &'static str {
    let known = [
        "revoked",
        "unknown-envoy",
        "stale-bundle",
        "malformed",
        "too-large",
        "busy",
        "too-many",
        "quarantined",
        "untrusted-policy",
    ];
    known.into_iter().find(|one| *one == code).unwrap_or("expired")
}

async fn decide(server: &Arc<Server>, member: &Arc<Member>, transport: Transport, ask: Ask) -> Answer {
    if transport.expired() && !matches!(ask, Ask::Renew(_)) {
        return refused("expired", "the transport certificate is over its time: renew it first");
    }
    // As of memory, where a revocation stands at once; secrets and renewal ask the store again.
    if member.live().state == EnvoyState::Revoked {
        let server = Arc::clone(server);
        let record = crate::rest::call::record(&member.actor(), word(&ask), "", "denied", "revoked");
        let _logged = tokio::task::spawn_blocking(move || server.note_denial(record)).await;
        return refused("revoked", REVOKED);
    }
    match ask {
        Ask::CheckIn(check_in) => checkin::answer(server, member, check_in).await,
        Ask::Bundle(wanted) => {
            blocking(server, member, move |server, member| bundle(server, member, &wanted)).await
        }
        Ask::Secrets(wanted) => {
            if let Err(wait) = member.rates.secrets() {
                return too_many("requests for secrets", wait);
            }
            blocking(server, member, move |server, member| secrets::answer(server, member, &wanted)).await
        }
        Ask::Report(report) => {
            if let Err(wait) = member.rates.report() {
                return too_many("reports", wait);
            }
            blocking(server, member, move |server, member| report::answer(server, member, report)).await
        }
        Ask::Renew(wanted) => {
            blocking(server, member, move |server, member| renew::answer(server, member, &wanted)).await
        }
    }
}

fn too_many(what: &str, wait: Duration) -> Answer {
    let seconds = wait.as_secs() + 1;
    refused("too-many", format!("this envoy sends too many {what}: the next one in {seconds} s"))
}

/// What a revoked envoy is told.
pub const REVOKED: &str = "this envoy is revoked: enrol the machine again under a new token";

/// Runs what blocks on a thread of its own; a failure is logged here and told as `busy`: the envoy goes on with what it has.
pub async fn blocking(
    server: &Arc<Server>,
    member: &Arc<Member>,
    work: impl FnOnce(&Server, &Member) -> Result<Answer, ServerError> + Send + 'static,
) -> Answer {
    let (server, member) = (Arc::clone(server), Arc::clone(member));
    let done = tokio::task::spawn_blocking(move || {
        work(&server, &member).unwrap_or_else(|error| {
            tracing::error!(envoy = %member.id(), error = vigo_base::chain(&error), "cannot answer an envoy");
            refused("busy", "the server cannot answer now; its log says why")
        })
    });
    done.await.unwrap_or_else(|_| refused("busy", "the server hit a fault of its own; its log says which"))
}

/// The bundle of the assignment that this envoy has, or had before; nobody else's.
fn bundle(server: &Server, member: &Member, wanted: &BundleRequest) -> Result<Answer, ServerError> {
    let assignments = server.store.assignments(&member.id())?;
    let Some(assigned) = assignments.iter().find(|one| wanted.digest == one.bundle.as_bytes()) else {
        return Ok(refused("stale-bundle", "this bundle is not assigned to this envoy: check in again"));
    };
    let bundle = server.bundles.get(server, &assigned.bundle)?;
    Ok(Answer::Bundle(BundleReply { bundle: bundle.bytes.clone() }))
}
