//! Values: none is taken that was not sealed by the server, to the one-time key of this hand, for this envoy, path, version, epoch and request.
//! The worker comes no further than the session; what stands behind it is tried by answers that are changed inside.

use crate::Test;
use crate::origin::{Stage, Twist, sealed_item};
use crate::worker::{Attacker, Deed, said};
use crate::world::{World, stopped_at, twisted_at};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use vigo_base::{EnvoyId, SecretPath, SecretVersion};
use vigo_secret::KeyPair;
use vigo_wire::inner::{Answer, Ask, Reply, SecretItem, SecretReply, SecretRequest};
use vigo_wire::worker::Asked;

pub const TESTS: &[Test] = &[
    ("values_that_the_worker_sealed_itself_are_not_taken", values_that_the_worker_sealed_itself),
    ("a_value_for_another_key_is_not_taken", a_value_for_another_key),
    ("a_value_for_another_envoy_is_not_taken", a_value_for_another_envoy),
    ("a_value_of_another_path_is_not_taken", a_value_of_another_path),
    ("a_value_of_another_version_is_not_taken", a_value_of_another_version),
    ("a_value_of_another_epoch_is_not_taken", a_value_of_another_epoch),
    ("a_value_for_another_request_is_not_taken", a_value_for_another_request),
    ("a_value_that_was_changed_is_not_taken", a_value_that_was_changed),
    ("one_bad_value_rejects_the_whole_batch", one_bad_value_rejects_the_whole_batch),
    ("more_or_fewer_values_than_asked_for_are_not_taken", more_or_fewer_values),
    ("values_in_the_clear_are_not_taken", values_in_the_clear),
];

const PATHS: [&str; 2] = ["web/token", "web/key"];

fn path(text: &str) -> SecretPath {
    text.parse().unwrap()
}

/// The worker even knows the one-time key, the request and everything else that a value is bound to: it has no session to say it in.
fn values_that_the_worker_sealed_itself() {
    let mut world = World::settled();
    let origin = Arc::clone(&world.origin);
    let known: Arc<Mutex<usize>> = Arc::default();
    let count = Arc::clone(&known);
    let sealer: Attacker = Box::new(move |asked, way| {
        let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
        let (stage, answer) = way.exchange(frame);
        if stage != Some(Stage::Secrets) {
            return said(answer);
        }
        *count.lock().unwrap() += 1;
        let wanted = origin.lock().unwrap().seen.iter().rev().find_map(|ask| match ask {
            Ask::Secrets(wanted) => Some(wanted.clone()),
            _ => None,
        });
        let wanted: SecretRequest = wanted.unwrap();
        let envoy = EnvoyId::from_bytes(&frame.envoy).unwrap();
        let item = |path: &String| {
            let bound = (&path.parse().unwrap(), SecretVersion(2), 2);
            sealed_item(&wanted, envoy.as_bytes(), bound, "of the worker")
        };
        let items = wanted.paths.iter().map(item).collect();
        let reply = Reply { answer: Some(Answer::Secrets(SecretReply { items, epoch: 2 })) };
        Deed::relayed(reply.encode_to_vec())
    });
    let kept = world.kept();
    let ran = world.run(sealer);
    world.assert_stopped_settled(Stage::Secrets, ran, &kept);
    assert!(*known.lock().unwrap() > 0, "it was never asked for secrets");
    world.assert_recovers(2);
    // Relayed as they are, but to another request: the one before.
    stopped_at(Stage::Secrets, || {
        let mut first: Option<Vec<u8>> = None;
        vec![Box::new(move |asked, way| {
            let Asked::Exchange(frame) = asked else { return way.honestly(asked) };
            match way.exchange(frame) {
                (Some(Stage::Secrets), Ok(answer)) => {
                    let old = first.replace(answer);
                    old.map_or_else(
                        || Deed::error(vigo_wire::worker::Kind::UnknownOutcome, ""),
                        Deed::relayed,
                    )
                }
                (_, answer) => said(answer),
            }
        })]
    });
}

/// What a seal is made for, and its item.
struct Bound<'a> {
    wanted: SecretRequest,
    party: [u8; 16],
    path: SecretPath,
    version: SecretVersion,
    epoch: u64,
    item: &'a SecretItem,
}

/// Seals each value anew, bound to something else; the items say what they said.
fn bound_to(envoy: EnvoyId, change: fn(&mut Bound<'_>)) -> Twist {
    Box::new(move |ask, answer, _| match (ask, answer) {
        (Ask::Secrets(wanted), Answer::Secrets(mut reply)) => {
            for item in &mut reply.items {
                let mut bound = Bound {
                    wanted: wanted.clone(),
                    party: *envoy.as_bytes(),
                    path: path(&item.path),
                    version: SecretVersion(item.version),
                    epoch: reply.epoch,
                    item,
                };
                change(&mut bound);
                let Bound { wanted, party, path, version, epoch, .. } = bound;
                let sealed = sealed_item(&wanted, &party, (&path, version, epoch), "of somebody else");
                item.encapsulated = sealed.encapsulated;
                item.ciphertext = sealed.ciphertext;
            }
            Answer::Secrets(reply)
        }
        (_, answer) => answer,
    })
}

/// The control, too: bound as it should be, the value of somebody else is taken, so that only the binding keeps the others out.
fn rejected(change: fn(&mut Bound<'_>)) {
    let mut world = World::enrolled();
    world.publish(1);
    let envoy = EnvoyId::from_bytes(&world.origin().assignment().envoy).unwrap();
    world.origin().twist = Some(bound_to(envoy, change));
    let ran = world.run(crate::worker::honest());
    world.assert_stopped_fresh(Stage::Secrets, ran);
    world.origin().twist = Some(bound_to(envoy, |_| {}));
    assert_eq!(world.run(crate::worker::honest()).unwrap(), vigo_base::Exit::Success);
    assert_eq!(world.content("token").unwrap(), "of somebody else and of somebody else");

    let mut world = World::settled();
    let envoy = EnvoyId::from_bytes(&world.origin().assignment().envoy).unwrap();
    let kept = world.kept();
    world.origin().twist = Some(bound_to(envoy, change));
    let ran = world.run(crate::worker::honest());
    world.assert_stopped_settled(Stage::Secrets, ran, &kept);
    world.assert_recovers(2);
}

fn a_value_for_another_key() {
    rejected(|bound| bound.wanted.key = KeyPair::generate().unwrap().public().to_vec());
}

fn a_value_for_another_envoy() {
    rejected(|bound| bound.party = [5; 16]);
}

fn a_value_of_another_path() {
    rejected(|bound| bound.path = path(PATHS[usize::from(bound.item.path == PATHS[0])]));
    // The item says so, too.
    twisted_at(Stage::Secrets, || {
        let swapped: Twist = changing(|reply| reply.items.swap(0, 1));
        let renamed: Twist = changing(|reply| {
            let other = reply.items[1].path.clone();
            reply.items[0].path = other;
        });
        vec![swapped, renamed]
    });
}

fn a_value_of_another_version() {
    rejected(|bound| bound.version = SecretVersion(bound.version.0 + 1));
}

fn a_value_of_another_epoch() {
    rejected(|bound| bound.epoch += 1);
}

fn a_value_for_another_request() {
    rejected(|bound| bound.wanted.request = vec![9; 16]);
}

/// Changes the answer to a request for secrets.
fn changing(change: fn(&mut SecretReply)) -> Twist {
    Box::new(move |_, answer, _| match answer {
        Answer::Secrets(mut reply) => {
            change(&mut reply);
            Answer::Secrets(reply)
        }
        other => other,
    })
}

fn a_value_that_was_changed() {
    twisted_at(Stage::Secrets, || {
        let changes: [fn(&mut SecretReply); 7] = [
            |reply| reply.items[0].ciphertext[0] ^= 1,
            |reply| reply.items[0].ciphertext.truncate(5),
            |reply| reply.items[0].ciphertext.clear(),
            |reply| reply.items[0].encapsulated[0] ^= 1,
            |reply| reply.items[0].encapsulated.clear(),
            |reply| reply.items[0].version += 1,
            |reply| reply.epoch += 1,
        ];
        changes.map(changing).into_iter().collect()
    });
}

fn one_bad_value_rejects_the_whole_batch() {
    twisted_at(Stage::Secrets, || {
        let changes: [fn(&mut SecretReply); 3] = [
            |reply| reply.items[1].ciphertext[0] ^= 1,
            |reply| reply.items[1].path = "web/other".to_owned(),
            |reply| reply.items[1].encapsulated.clear(),
        ];
        changes.map(changing).into_iter().collect()
    });
}

fn more_or_fewer_values() {
    twisted_at(Stage::Secrets, || {
        let changes: [fn(&mut SecretReply); 3] = [
            |reply| drop(reply.items.pop()),
            |reply| reply.items.clear(),
            |reply| {
                let again = reply.items[0].clone();
                reply.items.push(again);
            },
        ];
        changes.map(changing).into_iter().collect()
    });
}

fn values_in_the_clear() {
    twisted_at(Stage::Secrets, || {
        vec![changing(|reply| {
            for item in &mut reply.items {
                item.encapsulated.clear();
                item.ciphertext = b"hello".to_vec();
            }
        })]
    });
}
