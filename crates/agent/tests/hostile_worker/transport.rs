//! The transport certificate is all that a worker owns. Renewed with whatever key, it changes nothing of who the envoy is.

use crate::Test;
use crate::origin::{Stage, now};
use crate::worker::{Attacker, Deed, honest, said};
use crate::world::World;
use prost::Message as _;
use std::sync::{Arc, Mutex};
use vigo_agent::Record;
use vigo_base::Exit;
use vigo_wire::inner::Ask;
use vigo_wire::worker::{Answered, Asked, TransportKey};

pub const TESTS: &[Test] = &[
    (
        "a_renewal_with_the_workers_own_key_changes_nothing_but_the_transport",
        a_renewal_with_the_workers_own_key,
    ),
    ("a_key_that_is_too_large_is_not_stored", a_key_that_is_too_large_is_not_stored),
    ("a_renewal_that_is_denied_takes_nothing_away", a_renewal_that_is_denied_takes_nothing_away),
    ("a_new_transport_key_is_made_before_the_worker_touches_the_network", a_new_transport_key_is_made_first),
];

const DAY: u64 = 86_400;

fn record(world: &World) -> Record {
    Record::decode(std::fs::read(world.state("identity/enrolment")).unwrap().as_slice()).unwrap()
}

/// Everything of it that is not of the transport, or the time.
fn lasting(record: Record) -> Record {
    Record { transport_key: vec![], transport_chain: vec![], transport_since: 0, server_time: 0, ..record }
}

fn making(key: Vec<u8>, certificate_request: Vec<u8>) -> Attacker {
    Box::new(move |asked, way| match asked {
        Asked::MakeTransportKey(_) => {
            let (key, certificate_request) = (key.clone(), certificate_request.clone());
            Deed::Say(Answered::TransportKey(TransportKey { key, certificate_request }))
        }
        _ => way.honestly(asked),
    })
}

/// A settled world whose server is three weeks ahead.
fn three_weeks_later() -> World {
    let world = World::settled();
    world.origin().ahead = 21 * DAY;
    let certificate = world
        .origin()
        .keys
        .certificate_for(vigo_wire::sign::CertifiedPurpose::Bundle, (now() - 60, now() + 60 * DAY));
    world.origin().keys.certificate = certificate;
    world
}

fn renewals(world: &World) -> usize {
    world.origin().seen.iter().filter(|ask| matches!(ask, Ask::Renew(_))).count()
}

fn a_renewal_with_the_workers_own_key() {
    let mut world = three_weeks_later();
    let before = record(&world);
    let identity = std::fs::read(world.state("identity/identity.key")).unwrap();
    assert_eq!(world.run(making(b"mine".to_vec(), b"my request".to_vec())).unwrap(), Exit::Success);
    world.assert_applied(2);
    assert_eq!(renewals(&world), 1);
    let after = record(&world);
    assert_eq!(after.transport_key, b"mine");
    assert_eq!(after.transport_chain, [b"certificate for my request".to_vec()]);
    assert!(lasting(after) == lasting(before), "a renewal changed who the envoy is");
    assert_eq!(std::fs::read(world.state("identity/identity.key")).unwrap(), identity);
    // The inner session does not care.
    world.publish(3);
    world.assert_recovers(3);
    assert_eq!(renewals(&world), 1, "renewed once");
}

fn a_key_that_is_too_large_is_not_stored() {
    for (key, request) in [(5000, 10), (10, 17 << 10), (1 << 20, 1 << 20)] {
        let mut world = three_weeks_later();
        let before = record(&world);
        let kept = world.kept();
        // A worker that gives what cannot be is not asked again in that run.
        let ran = world.run(making(vec![1; key], vec![1; request]));
        world.assert_stopped_settled(Stage::Secrets, ran, &kept);
        assert!(record(&world) == before);
        assert_eq!(renewals(&world), 0);
        world.assert_recovers(2);
        assert_eq!(renewals(&world), 1);
    }
}

fn a_renewal_that_is_denied_takes_nothing_away() {
    let mut world = three_weeks_later();
    let before = record(&world);
    let denying: Attacker = Box::new(|asked, way| match asked {
        Asked::Exchange(frame) => match way.exchange(frame) {
            (Some(Stage::Renew), Ok(mut answer)) => {
                answer[9] ^= 1;
                Deed::relayed(answer)
            }
            (_, answer) => said(answer),
        },
        _ => way.honestly(asked),
    });
    assert_eq!(world.run(denying).unwrap(), Exit::Success);
    assert!(!world.was_offline());
    world.assert_applied(2);
    assert!(record(&world) == before);
    world.assert_recovers(2);
    assert!(record(&world) != before);
}

/// So that a worker that was taken over the network cannot spoil the key of the next one.
fn a_new_transport_key_is_made_first() {
    let mut world = World::settled();
    let mut old = record(&world);
    old.transport_since = now() - 21 * DAY;
    std::fs::write(world.state("identity/enrolment"), old.encode_to_vec()).unwrap();
    let order: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let list = Arc::clone(&order);
    let listing: Attacker = Box::new(move |asked, way| {
        list.lock().unwrap().push(match asked {
            Asked::Configure(_) => "configure",
            Asked::MakeTransportKey(_) => "key",
            Asked::Enrol(_) => "enrol",
            Asked::Exchange(_) => "exchange",
        });
        way.honestly(asked)
    });
    assert_eq!(world.run(listing).unwrap(), Exit::Success);
    let order = order.lock().unwrap().clone();
    assert_eq!(order[..3], ["key", "configure", "exchange"]);
    assert_eq!(order.iter().filter(|one| **one == "key").count(), 1);
    assert_eq!(renewals(&world), 1);
    world.assert_applied(2);
    assert_eq!(world.run(honest()).unwrap(), Exit::Success);
    assert_eq!(renewals(&world), 1);
}
