//! Enrolment through a worker: the machine becomes an envoy of the token's server, or of none.

use crate::Test;
use crate::origin::Origin;
use crate::worker::{Attacker, Deed, honest};
use crate::world::{World, text};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use vigo_agent::AgentError;
use vigo_base::Blame;
use vigo_wire::enrol::{self, EnrolRequest, RefusalCode, Token};
use vigo_wire::identity::Identity;
use vigo_wire::sign::SignContext;
use vigo_wire::worker::{Answered, Asked, Kind, TransportKey};

pub const TESTS: &[Test] = &[
    ("a_server_with_another_anchor_than_the_tokens_is_none", a_server_with_another_anchor),
    ("a_server_that_only_claims_the_tokens_anchor_is_none", a_server_that_only_claims_the_anchor),
    ("an_enrolment_whose_answer_was_changed_is_none", an_enrolment_whose_answer_was_changed),
    ("an_answer_to_another_enrolment_is_none", an_answer_to_another_enrolment),
    ("a_request_that_the_worker_changed_enrols_nobody", a_request_that_the_worker_changed),
    ("a_worker_cannot_spend_a_token_by_denying", a_worker_cannot_spend_a_token_by_denying),
    ("only_a_refusal_for_good_is_the_end_of_a_request", only_a_refusal_for_good_ends_a_request),
    ("a_transport_key_that_is_too_large_is_not_stored", a_transport_key_that_is_too_large),
    ("a_worker_that_denies_an_enrolment_is_no_refusal", a_worker_that_denies_an_enrolment),
];

/// Nothing of a server is kept.
#[track_caller]
fn assert_nobody(world: &World, outcome: Result<(), AgentError>) -> AgentError {
    let error = outcome.expect_err("it is enrolled");
    assert!(!world.state("identity/enrolment").exists(), "something of that server is kept");
    error
}

fn token_line(world: &World) -> String {
    world.origin().token().line().to_string()
}

fn parse(line: &str) -> Token {
    Token::parse(line).unwrap()
}

fn a_server_with_another_anchor() {
    let mut world = World::new();
    let token = parse(&token_line(&world));
    // It even knows the token.
    let mut other = Origin::new();
    other.admit(&token);
    let elsewhere: Attacker = Box::new(move |asked, way| match asked {
        Asked::Enrol(enrol) => Deed::relayed(other.enrol(&enrol.bytes)),
        _ => way.honestly(asked),
    });
    let outcome = world.enroll(&token, elsewhere);
    let error = assert_nobody(&world, outcome);
    assert_eq!(error.blame(), Blame::Peer);
    assert!(text(&error).contains("anchor"), "{}", text(&error));
    assert_eq!(world.origin().uses(), 0);
    world.enroll(&token, honest()).unwrap();
}

/// It knows the token and everything public of the token's server, and signs with a key of its own.
fn a_server_that_only_claims_the_anchor() {
    let mut world = World::new();
    let token = parse(&token_line(&world));
    let mut other = Origin::new();
    other.admit(&token);
    {
        let keys = &world.origin().keys;
        other.keys.claimed = Some((keys.anchor(), keys.session_certificate()));
        other.keys.certificate = keys.certificate.clone();
    }
    let elsewhere: Attacker = Box::new(move |asked, way| match asked {
        Asked::Enrol(enrol) => Deed::relayed(other.enrol(&enrol.bytes)),
        _ => way.honestly(asked),
    });
    let outcome = world.enroll(&token, elsewhere);
    let error = assert_nobody(&world, outcome);
    assert_eq!(error.blame(), Blame::Peer);
    assert!(text(&error).contains("signature of the enrolment answer"), "{}", text(&error));
    world.enroll(&token, honest()).unwrap();
}

/// Relays the request, and gives what is made of the answer.
fn changing(change: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static) -> Attacker {
    Box::new(move |asked, way| match asked {
        Asked::Enrol(enrol) => Deed::relayed(change(way.enrol(&enrol.bytes))),
        _ => way.honestly(asked),
    })
}

fn an_enrolment_whose_answer_was_changed() {
    let mut world = World::new();
    let token = parse(&token_line(&world));
    for part in 0..40 {
        let flip = changing(move |mut bytes| {
            let at = (bytes.len() - 1) * part / 39;
            bytes[at] ^= 1;
            bytes
        });
        let outcome = world.enroll(&token, flip);
        assert_nobody(&world, outcome);
    }
    let changes: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| bytes.repeat(2),
        |bytes| vec![0xff; bytes.len()],
        |_| vec![0; 1 << 20],
    ];
    for change in changes {
        let outcome = world.enroll(&token, changing(change));
        assert_nobody(&world, outcome);
    }
    world.enroll(&token, honest()).unwrap();
    assert_eq!(world.origin().uses(), 1, "one token, one use, however often it was denied");
    world.publish(1);
    world.assert_recovers(1);
}

/// Of another machine with the same token; of this one, with another token.
fn an_answer_to_another_enrolment() {
    let mut world = World::new();
    let line = token_line(&world);
    let other_token = parse(&token_line(&world));
    let recorded: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    {
        let identity = Identity::generate().unwrap();
        for token in [parse(&line), other_token] {
            let request = enrol::request(&token, &"web-1".parse().unwrap(), &identity, b"request").unwrap();
            recorded.lock().unwrap().push(world.origin().enrol(&request));
        }
    }
    for old in recorded.lock().unwrap().clone() {
        let outcome = world.enroll(&parse(&line), changing(move |_| old.clone()));
        let error = assert_nobody(&world, outcome);
        assert_eq!(error.blame(), Blame::Peer, "{}", text(&error));
    }
    world.enroll(&parse(&line), honest()).unwrap();
}

fn a_request_that_the_worker_changed() {
    type Change = Box<dyn Fn(&mut EnrolRequest) + Send>;
    let own = Identity::generate().unwrap();
    let other = Identity::generate().unwrap();
    let changes: [Change; 5] = [
        // All its own, and well signed; only without the token.
        Box::new(move |request| {
            request.identity = other.public().to_vec();
            request.exchange = other.exchange().public().to_vec();
            let bare = EnrolRequest { signature: vec![], mac: vec![], ..request.clone() };
            let signature = other.sign(SignContext::EnrolRequest, &bare.encode_to_vec()).unwrap();
            request.signature = signature.to_vec();
        }),
        Box::new(move |request| request.exchange = own.exchange().public().to_vec()),
        Box::new(|request| request.identity = vec![7; 32]),
        Box::new(|request| request.name = "db-1".to_owned()),
        Box::new(|request| request.certificate_request = b"mine".to_vec()),
    ];
    let mut world = World::new();
    let line = token_line(&world);
    for change in changes {
        let changing: Attacker = Box::new(move |asked, way| match asked {
            Asked::Enrol(enrol) => {
                let mut request = EnrolRequest::decode(enrol.bytes.as_slice()).unwrap();
                change(&mut request);
                Deed::relayed(way.enrol(&request.encode_to_vec()))
            }
            _ => way.honestly(asked),
        });
        let outcome = world.enroll(&parse(&line), changing);
        assert_nobody(&world, outcome);
        assert_eq!(world.origin().uses(), 0, "somebody was enrolled");
    }
    world.enroll(&parse(&line), honest()).unwrap();
}

/// The answer is lost, or a refusal stands in its place: the same request is sent again.
fn a_worker_cannot_spend_a_token_by_denying() {
    let mut world = World::new();
    let line = token_line(&world);
    let swallow: Attacker = Box::new(|asked, way| match asked {
        Asked::Enrol(enrol) => {
            way.enrol(&enrol.bytes);
            Deed::error(Kind::UnknownOutcome, "lost")
        }
        _ => way.honestly(asked),
    });
    let leave: Attacker = Box::new(|asked, way| match asked {
        Asked::Enrol(enrol) => {
            way.enrol(&enrol.bytes);
            Deed::Leave
        }
        _ => way.honestly(asked),
    });
    let refuse: Attacker = Box::new(|asked, way| match asked {
        Asked::Enrol(enrol) => {
            way.enrol(&enrol.bytes);
            let said = enrol::refuse(RefusalCode::SpentToken, "a\u{1b}[2Jb", &enrol.bytes, None);
            Deed::relayed(said.unwrap())
        }
        _ => way.honestly(asked),
    });
    for attacker in [swallow, leave, refuse] {
        let outcome = world.enroll(&parse(&line), attacker);
        let error = assert_nobody(&world, outcome);
        assert!(!text(&error).contains('\u{1b}'));
    }
    world.enroll(&parse(&line), honest()).unwrap();
    assert_eq!(world.origin().uses(), 1);
}

/// Requests as the server gets them.
fn recording(requests: &Arc<Mutex<Vec<Vec<u8>>>>) -> Attacker {
    let requests = Arc::clone(requests);
    Box::new(move |asked, way| {
        if let Asked::Enrol(enrol) = asked {
            requests.lock().unwrap().push(enrol.bytes.clone());
        }
        way.honestly(asked)
    })
}

fn only_a_refusal_for_good_ends_a_request() {
    for code in RefusalCode::ALL {
        let mut world = World::new();
        let line = token_line(&world);
        let requests: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        world.origin().closed = Some(code);
        let outcome = world.enroll(&parse(&line), recording(&requests));
        let error = assert_nobody(&world, outcome);
        assert_eq!(error.blame(), Blame::Permission);
        world.origin().closed = None;
        world.enroll(&parse(&line), recording(&requests)).unwrap();
        let requests = requests.lock().unwrap();
        let is_same = requests[0] == requests[1];
        assert_eq!(is_same, matches!(code, RefusalCode::Pending | RefusalCode::Busy), "{code:?}");
    }
}

fn a_transport_key_that_is_too_large() {
    let mut world = World::new();
    let line = token_line(&world);
    for (key, request) in [(5000, 10), (10, 17 << 10), (1 << 20, 10)] {
        let huge: Attacker = Box::new(move |asked, way| match asked {
            Asked::MakeTransportKey(_) => {
                let key = TransportKey { key: vec![1; key], certificate_request: vec![1; request] };
                Deed::Say(Answered::TransportKey(key))
            }
            _ => way.honestly(asked),
        });
        let outcome = world.enroll(&parse(&line), huge);
        assert_nobody(&world, outcome);
        assert!(!world.state("identity/pending.transport").exists());
    }
    world.enroll(&parse(&line), honest()).unwrap();
}

fn a_worker_that_denies_an_enrolment() {
    let mut world = World::new();
    let line = token_line(&world);
    for kind in [Kind::Refused, Kind::Bug, Kind::Tls, Kind::Timeout] {
        let deny: Attacker = Box::new(move |asked, way| match asked {
            Asked::Enrol(_) => Deed::error(kind, "no such token"),
            _ => way.honestly(asked),
        });
        let outcome = world.enroll(&parse(&line), deny);
        let error = assert_nobody(&world, outcome);
        assert_eq!(error.blame(), Blame::Peer);
    }
    for raw in [vec![0xff; 8], crate::worker::framed(b"garbage, and not one message"), vec![]] {
        let deny: Attacker = Box::new(move |asked, way| match asked {
            Asked::Enrol(_) if raw.is_empty() => Deed::Leave,
            Asked::Enrol(_) => Deed::Raw(raw.clone()),
            _ => way.honestly(asked),
        });
        let outcome = world.enroll(&parse(&line), deny);
        let error = assert_nobody(&world, outcome);
        assert_eq!(error.blame(), Blame::Peer, "{}", text(&error));
    }
    world.enroll(&parse(&line), honest()).unwrap();
    assert_eq!(world.origin().uses(), 1);
}
