//! What a worker may do to the answers of the server: change them, give others, keep them.

use crate::Test;
use crate::origin::Stage;
use crate::worker::{Attacker, Deed, Way, honest, said};
use crate::world::{World, contains, stopped_at};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use vigo_base::{Digest, EnvoyId, Exit};
use vigo_wire::identity::ExchangeKey;
use vigo_wire::inner::{Ask, CheckInReply, Refused, Reply};
use vigo_wire::session::{Initiator, SessionContext, respond};
use vigo_wire::worker::{Asked, Exchange};

pub const TESTS: &[Test] = &[
    ("through_an_honest_worker_everything_is_applied", through_an_honest_worker_everything_is_applied),
    ("a_worker_sees_no_value_no_policy_no_trait_and_no_key", a_worker_sees_no_value),
    ("an_answer_that_was_changed_is_not_taken", an_answer_that_was_changed_is_not_taken),
    ("an_answer_to_another_request_is_not_taken", an_answer_to_another_request_is_not_taken),
    ("an_answer_of_an_earlier_session_is_not_taken", an_answer_of_an_earlier_session_is_not_taken),
    ("an_answer_without_a_session_is_not_taken", an_answer_without_a_session_is_not_taken),
    ("a_session_with_the_workers_own_key_is_none", a_session_with_the_workers_own_key_is_none),
];

fn through_an_honest_worker_everything_is_applied() {
    let mut world = World::settled();
    assert_eq!(world.run(honest()).unwrap(), Exit::Success);
    assert!(!world.was_offline());
    world.assert_applied(2);
    assert_eq!((world.waiting(), world.reports().len()), (0, 2));
    assert_eq!(world.origin().refused, 0);
}

fn a_worker_sees_no_value() {
    let mut world = World::new();
    let token = world.origin().token();
    let line = token.line().to_string();
    world.enroll(&token, honest()).unwrap();
    world.publish(1);
    assert_eq!(world.run(honest()).unwrap(), Exit::Success);
    world.assert_applied(1);

    let seen = &world.transcript;
    assert!(contains(seen, b"server.example:1530"), "the control: it sees where the server is");
    let secret = line.split('.').nth(2).unwrap();
    let raw: Vec<u8> =
        (0..secret.len()).step_by(2).map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap()).collect();
    let identity = std::fs::read(world.state("identity/identity.key")).unwrap();
    let traits = world.origin().seen.iter().find_map(|ask| match ask {
        Ask::CheckIn(check_in) => check_in.traits.as_ref().map(prost::Message::encode_to_vec),
        _ => None,
    });
    let traits = traits.unwrap();
    let hidden: [(&str, &[u8]); 9] = [
        ("a value", world.canary().as_bytes()),
        ("the path of a secret", b"web/token"),
        ("a path of the policy", b"/motd"),
        ("a literal of the policy", b"generation 1"),
        ("traits", &traits[..32]),
        ("the token's secret as text", secret.as_bytes()),
        ("the token's secret", &raw),
        ("the key that signs as the node", &identity[8..40]),
        ("the key that the node is in a session", &identity[40..72]),
    ];
    for (what, bytes) in hidden {
        assert!(bytes.len() >= 5 && !contains(seen, bytes), "the worker saw {what}");
    }
}

/// What is made of an answer, and of all before it.
type Change = fn(Vec<u8>, &Way) -> Vec<u8>;

/// Changes every answer of one stage.
fn changing(stage: Stage, change: Change) -> Attacker {
    Box::new(move |asked, way| match asked {
        Asked::Exchange(frame) => match way.exchange(frame) {
            (Some(found), Ok(answer)) if found == stage => Deed::relayed(change(answer, way)),
            (_, answer) => said(answer),
        },
        _ => way.honestly(asked),
    })
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

/// The frame that the agent sent last.
fn last_request(way: &Way) -> &Exchange {
    way.up.last().unwrap()
}

const CHANGES: [Change; 10] = [
    |bytes, _| flipped(bytes, 0),
    |bytes, _| {
        let middle = bytes.len() / 2;
        flipped(bytes, middle)
    },
    |bytes, _| {
        let last = bytes.len() - 1;
        flipped(bytes, last)
    },
    |_, _| Vec::new(),
    |bytes, _| bytes[..bytes.len() - 1].to_vec(),
    |bytes, _| bytes[..bytes.len() / 2].to_vec(),
    |bytes, _| [&bytes[..], &[0]].concat(),
    |bytes, _| [&bytes[..], &bytes[..]].concat(),
    |bytes, _| vec![0; bytes.len()],
    |_, way| last_request(way).payload.clone(),
];

fn an_answer_that_was_changed_is_not_taken() {
    for stage in Stage::RUN {
        stopped_at(stage, || CHANGES.iter().map(|change| changing(stage, *change)).collect());
    }
}

fn an_answer_to_another_request_is_not_taken() {
    const OTHERS: [Change; 2] = [|_, way| way.down[way.down.len() - 2].clone(), |_, way| way.down[0].clone()];
    for stage in [Stage::CheckIn, Stage::Bundle, Stage::Secrets, Stage::Report] {
        stopped_at(stage, || OTHERS.iter().map(|change| changing(stage, *change)).collect());
    }
}

/// What the server answered, by what it was about.
type Recorded = Arc<Mutex<Vec<(Stage, Vec<u8>)>>>;

fn an_answer_of_an_earlier_session_is_not_taken() {
    let recorded: Recorded = Arc::default();
    let mut world = World::enrolled();
    world.publish(1);
    let record = Arc::clone(&recorded);
    let recorder: Attacker = Box::new(move |asked, way| match asked {
        Asked::Exchange(frame) => {
            let (stage, answer) = way.exchange(frame);
            record.lock().unwrap().push((stage.unwrap(), answer.clone().unwrap()));
            said(answer)
        }
        _ => way.honestly(asked),
    });
    assert_eq!(world.run(recorder).unwrap(), Exit::Success);
    assert_eq!(recorded.lock().unwrap().iter().map(|(stage, _)| *stage).collect::<Vec<_>>(), Stage::RUN);
    world.publish(2);
    for stage in Stage::RUN {
        let old = recorded.lock().unwrap().iter().find(|(found, _)| *found == stage).unwrap().1.clone();
        let replayer: Attacker = Box::new(move |asked, way| match asked {
            Asked::Exchange(frame) => match way.exchange(frame) {
                (Some(found), Ok(_)) if found == stage => Deed::relayed(old.clone()),
                (_, answer) => said(answer),
            },
            _ => way.honestly(asked),
        });
        let kept = world.kept();
        let ran = world.run(replayer);
        world.assert_stopped_settled(stage, ran, &kept);
    }
    world.assert_recovers(2);
}

/// In the clear, as the server would say it inside.
fn an_answer_without_a_session_is_not_taken() {
    const FORGED: [Change; 2] = [
        |_, _| plain(vigo_wire::inner::Answer::CheckIn(CheckInReply::default())),
        |_, _| {
            let refused = Refused { code: "revoked".to_owned(), message: "go away".to_owned() };
            plain(vigo_wire::inner::Answer::Refused(refused))
        },
    ];
    for stage in Stage::RUN {
        stopped_at(stage, || FORGED.iter().map(|change| changing(stage, *change)).collect());
    }
}

fn plain(answer: vigo_wire::inner::Answer) -> Vec<u8> {
    Reply { answer: Some(answer) }.encode_to_vec()
}

/// The worker is the server as far as it can: with every public key, and a private key of its own.
fn a_session_with_the_workers_own_key_is_none() {
    let impostor = |with_real_ids: bool| -> Attacker {
        Box::new(move |asked, way| {
            let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
            let (own, node) = (ExchangeKey::generate().unwrap(), ExchangeKey::generate().unwrap());
            let envoy = if with_real_ids {
                EnvoyId::from_bytes(&frame.envoy).unwrap()
            } else {
                EnvoyId::from_bytes(&[7; 16]).unwrap()
            };
            let context = SessionContext { anchor: Digest::of(b"anchor"), envoy };
            assert!(respond(&own, node.public(), &context, &frame.payload, 0).is_err());
            // A second message of a handshake as it should be, only with another first one.
            let (_, first) = Initiator::begin(&node, own.public(), &context).unwrap();
            Deed::relayed(respond(&own, node.public(), &context, &first, 0).unwrap().1)
        })
    };
    stopped_at(Stage::Handshake, || vec![impostor(true), impostor(false)]);
}
