//! Check-in: anything new? The common answer is no, and is given from memory: at once, or when the time is over for which the envoy lets it be held.

use crate::assign::{self, Assigned, Current, Stamp};
use crate::dispatch::{REVOKED, blocking, refused};
use crate::fleet::Member;
use crate::held::{Place, Wake};
use crate::rest::call;
use crate::state::Server;
use crate::{ServerError, clock};
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use vigo_base::{Digest, limits};
use vigo_store::{EnvoyState, Posture, StoredTraits};
use vigo_wire::inner::{Answer, CheckIn, CheckInReply, HOLD_MOST_S};

/// An agent's version, a reason of its protection level and such: text of a peer, cut to a length.
const TEXT_LIMIT: usize = 200;
/// A clock further off than this is said to be wrong.
const SKEW_SECONDS: u64 = 300;
/// Reasons kept.
const REASONS: usize = 20;

/// Answers a check-in.
pub async fn answer(server: &Arc<Server>, member: &Arc<Member>, check_in: CheckIn) -> Answer {
    note(server, member, &check_in);
    if check_in.hold_s > 0 {
        return held(server, member, check_in).await;
    }
    let in_memory = in_memory(server, member);
    let is_common = check_in.traits.is_none();
    if let Some(current) = in_memory.filter(|one| is_common && holds(&check_in, &one.assigned)) {
        return Answer::CheckIn(nothing_new(member, &check_in, &current.assigned));
    }
    blocking(server, member, move |server, member| something_new(server, member, check_in)).await
}

/// What it has, if it was looked at since anything changed.
fn in_memory(server: &Server, member: &Member) -> Option<Current> {
    let stamp = Stamp::now(server, member);
    member.live().assigned.clone().filter(|current| current.stamp == stamp)
}

/// Answers when there is something new, or the time is over. Waiting takes a place in memory and nothing else.
async fn held(server: &Arc<Server>, member: &Arc<Member>, mut check_in: CheckIn) -> Answer {
    let until = Instant::now() + Duration::from_secs(u64::from(check_in.hold_s.min(HOLD_MOST_S)));
    loop {
        let state_changed = member.state_changed.notified();
        if member.live().state == EnvoyState::Revoked {
            return refused("revoked", REVOKED);
        }
        let in_memory = in_memory(server, member).filter(|_| check_in.traits.is_none());
        let Some(current) = in_memory.filter(|current| holds(&check_in, &current.assigned)) else {
            let asked = check_in.clone();
            let looked =
                blocking(server, member, move |server, member| something_new(server, member, asked)).await;
            match looked {
                Answer::CheckIn(CheckInReply { assignment: None, want_traits: false, .. })
                    if Instant::now() < until =>
                {
                    // Its traits are stored, and what it has is right: from now on in memory.
                    check_in.traits = None;
                    continue;
                }
                answer => return answer,
            }
        };
        let reply = nothing_new(member, &check_in, &current.assigned);
        if reply.want_traits {
            return Answer::CheckIn(reply);
        }
        // First the place, then another look: what is published in between finds it there.
        let mut place = Place::take(server, member, current);
        if self::in_memory(server, member).is_none() {
            continue;
        }
        tokio::select! {
            wake = place.woken() => match wake {
                Wake::News(after) => tokio::time::sleep_until((Instant::now() + after).min(until)).await,
                Wake::Replaced => return refused("busy", "this envoy has another check-in held by now"),
                Wake::Stopping => return refused("busy", "the server is stopping: come back"),
            },
            () = state_changed => {}
            () = tokio::time::sleep_until(until) => {
                return Answer::CheckIn(CheckInReply { server_time: clock::now(), ..reply });
            }
        }
    }
}

/// What a machine says of itself; written to the store with the next batch.
fn note(server: &Server, member: &Member, check_in: &CheckIn) {
    let now = clock::now();
    let mut live = member.live();
    live.last_seen = now;
    cut(&check_in.agent_version).clone_into(&mut live.agent_version);
    let is_wrong = check_in.clock != 0 && check_in.clock.abs_diff(now) > SKEW_SECONDS;
    let is_news = is_wrong && !live.clock_is_wrong;
    live.clock_is_wrong = is_wrong;
    drop(live);
    if let Some(posture) = &check_in.posture {
        member.note_posture(self::posture(posture));
    }
    server.fleet.touch(member.id());
    if is_news {
        let (name, seconds) = (member.identity.name.as_str(), check_in.clock.abs_diff(now));
        tracing::warn!(name, seconds, "the clock of an envoy is wrong; it is served all the same");
    }
}

/// A posture as it is kept.
#[must_use]
pub fn posture(said: &vigo_wire::inner::Posture) -> Posture {
    Posture {
        level: cut(&said.level).into(),
        reasons: said.reasons.iter().take(REASONS).map(|reason| cut(reason).into()).collect(),
        swap: cut(&said.swap).into(),
    }
}

fn cut(text: &str) -> &str {
    call::cut(text, TEXT_LIMIT)
}

fn holds(check_in: &CheckIn, assigned: &Assigned) -> bool {
    let assignment = &assigned.assignment;
    (check_in.term, check_in.generation) == (assignment.term, assignment.generation)
}

fn nothing_new(member: &Member, check_in: &CheckIn, assigned: &Assigned) -> CheckInReply {
    let known = member.live().traits.is_some_and(|digest| check_in.traits_digest == digest.as_bytes());
    let assignment = &assigned.assignment;
    if (check_in.term, check_in.generation) > (assignment.term, assignment.generation) {
        tracing::warn!(
            envoy = %member.id(),
            "an envoy holds a newer assignment than this server ever gave: was the store restored without raising the term?"
        );
    }
    CheckInReply { server_time: clock::now(), want_traits: !known, ..CheckInReply::default() }
}

fn something_new(server: &Server, member: &Member, check_in: CheckIn) -> Result<Answer, ServerError> {
    if let Some(traits) = &check_in.traits {
        let bytes = traits.encode_to_vec();
        if bytes.len() > limits::TRAITS {
            return Ok(refused("too-large", format!("the traits have more than {} bytes", limits::TRAITS)));
        }
        let Some(digest) = Digest::from_bytes(&check_in.traits_digest) else {
            return Ok(refused("malformed", "traits came without their digest"));
        };
        server.store.set_traits(&member.id(), &StoredTraits { digest, bytes })?;
        member.live().traits = Some(digest);
    }
    let Current { assigned, watched, .. } = assign::current(server, member)?;
    let mut reply = nothing_new(member, &check_in, &assigned);
    if !holds(&check_in, &assigned) {
        reply.assignment = Some(assigned.signed.clone());
        reply.keys = vec![server.keys.certificates().bundle.clone()];
        reply.secrets = assign::secret_states(server, member, &assigned.stored.environment, &watched)?;
    }
    Ok(Answer::CheckIn(reply))
}
