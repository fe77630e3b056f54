//! What a worker may do to the requests of the agent: the server sees what the agent said, or nothing.

use crate::Test;
use crate::origin::{NAME, Stage};
use crate::worker::{Attacker, Deed, Way, honest, said};
use crate::world::World;
use prost::Message as _;
use std::sync::{Arc, Mutex};
use vigo_base::{Digest, EnvoyId, Exit};
use vigo_secret::KeyPair;
use vigo_wire::identity::ExchangeKey;
use vigo_wire::inner::{Ask, CheckIn, Renew, Report, Request, SecretRequest};
use vigo_wire::node::Node;
use vigo_wire::session::{HANDSHAKE, Initiator, SessionContext};
use vigo_wire::worker::{Asked, Exchange};

pub const TESTS: &[Test] = &[
    ("a_request_that_was_changed_does_not_reach_the_server", a_request_that_was_changed),
    ("a_request_of_the_workers_own_does_not_reach_the_server", a_request_of_the_workers_own),
    ("a_request_that_is_sent_twice_is_done_once", a_request_that_is_sent_twice_is_done_once),
    ("a_request_that_is_kept_for_later_is_not_done", a_request_that_is_kept_for_later_is_not_done),
    ("a_worker_cannot_be_the_envoy", a_worker_cannot_be_the_envoy),
    ("frames_under_another_id_or_session_reach_nobody", frames_under_another_id_or_session),
];

/// Changes frame `number` of a run and all after it; a new handshake is let through, so that the frame comes again.
fn changing(number: usize, change: impl Fn(Exchange) -> Exchange + Send + 'static) -> Attacker {
    let mut count = 0;
    Box::new(move |asked, way| {
        let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
        let frame = frame.clone();
        let is_spared = count < number || (number > 0 && frame.payload.len() == HANDSHAKE);
        count += 1;
        said(way.exchange(&if is_spared { frame } else { change(frame) }).1)
    })
}

/// In the order of a first run, what came out of sessions before `stage`.
fn assert_only_before(world: &World, stage: Stage) {
    let origin = world.origin();
    let is_of = |ask: &Ask| match ask {
        Ask::CheckIn(_) => Stage::CheckIn,
        Ask::Bundle(_) => Stage::Bundle,
        Ask::Secrets(_) => Stage::Secrets,
        Ask::Report(_) => Stage::Report,
        Ask::Renew(_) => Stage::Renew,
    };
    let expected: Vec<Stage> = Stage::RUN.into_iter().skip(1).take_while(|before| *before != stage).collect();
    let expected = if stage == Stage::Handshake { Vec::new() } else { expected };
    assert_eq!(origin.seen.iter().map(is_of).collect::<Vec<_>>(), expected, "something else came through");
    assert!(origin.refused > 0);
}

fn denied_from(stage: Stage, change: impl Fn(Exchange) -> Exchange + Send + Clone + 'static) {
    let number = Stage::RUN.iter().position(|one| *one == stage).unwrap();
    let mut world = World::enrolled();
    world.publish(1);
    let ran = world.run(changing(number, change));
    world.assert_stopped_fresh(stage, ran);
    assert_only_before(&world, stage);
    world.assert_recovers(1);
}

fn a_request_that_was_changed() {
    type Change = fn(Exchange) -> Exchange;
    const CHANGES: [Change; 4] = [
        |mut frame| {
            let middle = frame.payload.len() / 2;
            frame.payload[middle] ^= 0x80;
            frame
        },
        |mut frame| {
            frame.payload.pop();
            frame
        },
        |mut frame| {
            frame.payload.push(0);
            frame
        },
        |mut frame| {
            frame.payload = frame.payload.repeat(2);
            frame
        },
    ];
    for stage in Stage::RUN {
        for change in CHANGES {
            denied_from(stage, change);
        }
    }
}

fn own_key() -> Vec<u8> {
    KeyPair::generate().unwrap().public().to_vec()
}

/// Traits that it invented, values for a key of its own, a report that never was, a certificate for its own key.
fn a_request_of_the_workers_own() {
    fn forged(stage: Stage) -> Ask {
        match stage {
            Stage::Handshake | Stage::CheckIn => Ask::CheckIn(CheckIn {
                traits: Some(Node::map([("role".to_owned(), Node::literal("database"))])),
                traits_digest: vec![1; 32],
                ..CheckIn::default()
            }),
            Stage::Bundle | Stage::Renew => Ask::Renew(Renew { request: b"mine".to_vec() }),
            Stage::Secrets => Ask::Secrets(SecretRequest {
                request: vec![1; 16],
                key: own_key(),
                term: 1,
                generation: 1,
                paths: vec!["web/token".to_owned(), "web/key".to_owned()],
                posture: None,
            }),
            Stage::Report => Ask::Report(Report { run: vec![1; 16], ..Report::default() }),
        }
    }
    for stage in Stage::RUN {
        let plain = move || Request { ask: Some(forged(stage)) }.encode_to_vec();
        denied_from(stage, move |frame| Exchange { payload: plain(), ..frame });
        // Sealed, in a session that it began with keys of its own.
        denied_from(stage, move |frame| {
            let (node, server) = (ExchangeKey::generate().unwrap(), ExchangeKey::generate().unwrap());
            let envoy = EnvoyId::from_bytes(&frame.envoy).unwrap();
            let context = SessionContext { anchor: Digest::of(b"anchor"), envoy };
            let (initiator, first) = Initiator::begin(&node, server.public(), &context).unwrap();
            let answer = vigo_wire::session::respond(&server, node.public(), &context, &first, 0).unwrap().1;
            let payload = initiator.finish(&answer, 0).unwrap().send(&plain(), 0).unwrap();
            Exchange { payload, ..frame }
        });
    }
}

fn a_request_that_is_sent_twice_is_done_once() {
    let mut world = World::enrolled();
    world.publish(1);
    let twice: Attacker = Box::new(|asked, way| {
        let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
        let (_, answer) = way.exchange(frame);
        if frame.payload.len() != HANDSHAKE {
            assert_eq!(way.exchange(frame).0, None, "a replayed frame was opened");
        }
        said(answer)
    });
    assert_eq!(world.run(twice).unwrap(), Exit::Success);
    world.assert_applied(1);
    let origin = world.origin();
    assert_eq!(origin.seen.len(), 4, "check-in, bundle, secrets, report: once each");
    assert!(origin.refused >= 4);
}

fn a_request_that_is_kept_for_later_is_not_done() {
    let mut world = World::enrolled();
    world.publish(1);
    let kept: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let keeper: Attacker = Box::new(move |asked, way| {
        if let Asked::Exchange(frame) = asked {
            keep.lock().unwrap().push(frame.clone());
        }
        way.honestly(asked)
    });
    assert_eq!(world.run(keeper).unwrap(), Exit::Success);
    let frames = kept.lock().unwrap().clone();
    assert_eq!(frames.len(), Stage::RUN.len());
    let seen = world.origin().seen.len();
    for _ in 0..2 {
        for frame in &frames {
            // A first message of a handshake may come again: what is answered to it helps nobody.
            let (stage, _) = world.origin().exchange(frame);
            assert!(matches!(stage, None | Some(Stage::Handshake)), "{stage:?}");
        }
    }
    assert_eq!(world.origin().seen.len(), seen);
    world.publish(2);
    world.assert_recovers(2);
}

fn a_worker_cannot_be_the_envoy() {
    let mut world = World::settled();
    let seen = world.origin().seen.len();
    let session = *world.origin().keys.session_public();
    let anchor = Digest::of(&world.origin().keys.anchor());
    let impostor: Attacker = Box::new(move |asked, way: &mut Way| {
        let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
        let context = SessionContext { anchor, envoy: EnvoyId::from_bytes(&frame.envoy).unwrap() };
        let (_, first) = Initiator::begin(&ExchangeKey::generate().unwrap(), &session, &context).unwrap();
        let (stage, answer) = way.exchange(&Exchange { payload: first, ..frame.clone() });
        assert_eq!(stage, None, "{NAME} is who holds its key");
        said(answer)
    });
    let kept = world.kept();
    let ran = world.run(impostor);
    world.assert_went_on(ran, &kept);
    assert_eq!(world.origin().seen.len(), seen);
    world.assert_recovers(2);
}

fn frames_under_another_id_or_session() {
    for stage in [Stage::CheckIn, Stage::Secrets] {
        denied_from(stage, |frame| Exchange { session: vec![9; 16], ..frame });
    }
    let mut world = World::enrolled();
    world.publish(1);
    let misdirecting: Attacker = Box::new(|asked, way| {
        let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
        let (stage, answer) = way.exchange(&Exchange { envoy: vec![3; 16], ..frame.clone() });
        assert_eq!(stage, None);
        said(answer)
    });
    let ran = world.run(misdirecting);
    world.assert_denied(ran);
    assert!(world.origin().seen.is_empty());
    assert!(
        matches!(world.run(Box::new(|_, _| Deed::Leave)), Err(error) if error.blame() == vigo_base::Blame::Peer)
    );
    assert_eq!(world.run(honest()).unwrap(), Exit::Success);
}
