//! What one who sits in the session, but holds neither anchor nor bundle key, may put into the answer to a check-in. No worker comes so far;
//! this is what stands behind the session.

use crate::Test;
use crate::origin::{Keys, Stage, Twist, now};
use crate::worker::honest;
use crate::world::{World, twisted_at};
use ed25519_dalek::Signer as _;
use prost::Message as _;
use vigo_base::Digest;
use vigo_wire::assignment::{Assignment, SignedAssignment};
use vigo_wire::bundle::Bundle;
use vigo_wire::inner::{Answer, Ask, BundleReply, CheckInReply};
use vigo_wire::sign::{CertifiedPurpose, SignContext, sign};

pub const TESTS: &[Test] = &[
    ("answers_that_are_left_as_they_are_are_taken", answers_that_are_left_as_they_are),
    ("an_assignment_of_another_envoy_is_not_taken", an_assignment_of_another_envoy),
    ("an_assignment_of_another_anchor_is_not_taken", an_assignment_of_another_anchor),
    ("an_older_assignment_is_not_taken", an_older_assignment_is_not_taken),
    ("an_assignment_from_before_the_enrolment_is_not_taken", an_assignment_from_before_the_enrolment),
    ("another_assignment_of_the_same_number_is_not_taken", another_assignment_of_the_same_number),
    ("an_assignment_that_was_changed_is_not_taken", an_assignment_that_was_changed),
    (
        "an_assignment_by_a_key_that_is_not_certified_is_not_taken",
        an_assignment_by_a_key_that_is_not_certified,
    ),
    ("an_assignment_of_a_newer_format_is_not_taken", an_assignment_of_a_newer_format),
    ("a_bundle_of_another_digest_is_not_taken", a_bundle_of_another_digest),
    ("a_bundle_that_is_signed_and_makes_no_sense_is_not_taken", a_bundle_that_makes_no_sense),
    ("an_answer_of_another_kind_is_not_taken", an_answer_of_another_kind),
];

/// Changes the assignment in the answer to a check-in.
fn assigning(
    mut change: impl FnMut(&mut CheckInReply, SignedAssignment, Assignment, &Keys) + Send + 'static,
) -> Twist {
    Box::new(move |ask, answer, keys| match (ask, answer) {
        (Ask::CheckIn(_), Answer::CheckIn(mut reply)) => {
            if let Some(signed) = reply.assignment.take() {
                let assignment = Assignment::decode(signed.assignment.as_slice()).unwrap();
                change(&mut reply, signed, assignment, keys);
            }
            Answer::CheckIn(reply)
        }
        (_, answer) => answer,
    })
}

/// Signs it in earnest after `change`.
fn signing(change: fn(&mut Assignment)) -> Twist {
    assigning(move |reply, _, mut assignment, keys| {
        change(&mut assignment);
        reply.assignment = Some(keys.sign(&assignment));
    })
}

fn bundling(change: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static) -> Twist {
    Box::new(move |_, answer, _| match answer {
        Answer::Bundle(reply) => Answer::Bundle(BundleReply { bundle: change(reply.bundle) }),
        other => other,
    })
}

fn answers_that_are_left_as_they_are() {
    let mut world = World::settled();
    world.origin().twist = Some(signing(|_| {}));
    assert_eq!(world.run(honest()).unwrap(), vigo_base::Exit::Success);
    world.assert_applied(2);
    world.publish(3);
    world.origin().twist = Some(bundling(|bytes| bytes));
    assert_eq!(world.run(honest()).unwrap(), vigo_base::Exit::Success);
    world.assert_applied(3);
}

fn an_assignment_of_another_envoy() {
    twisted_at(Stage::CheckIn, || vec![signing(|assignment| assignment.envoy = vec![5; 16])]);
}

fn an_assignment_of_another_anchor() {
    twisted_at(Stage::CheckIn, || {
        vec![signing(|assignment| assignment.anchor = Digest::of(b"another").as_bytes().to_vec())]
    });
}

/// Of an earlier generation, of an earlier term: whatever else stands in it.
fn an_older_assignment_is_not_taken() {
    let mut world = World::settled();
    assert_eq!(world.run(honest()).unwrap(), vigo_base::Exit::Success);
    world.assert_applied(2);
    world.publish(3);
    let kept = world.kept();
    let older: [fn(&mut Assignment); 3] = [
        |assignment| assignment.generation = 1,
        |assignment| (assignment.term, assignment.generation) = (0, 99),
        |assignment| (assignment.term, assignment.generation) = (1, 0),
    ];
    for change in older {
        world.origin().twist = Some(signing(change));
        assert_eq!(world.run(honest()).unwrap(), vigo_base::Exit::Success);
        assert!(world.was_offline());
        assert_eq!(world.kept(), kept);
        assert_eq!(world.content("motd").unwrap(), "generation 2");
    }
    world.assert_recovers(3);
}

fn an_assignment_from_before_the_enrolment() {
    let mut world = World::enrolled();
    world.publish(1);
    let older: [fn(&mut Assignment); 2] = [
        |assignment| assignment.generation = 0,
        |assignment| (assignment.term, assignment.generation) = (0, 7),
    ];
    for change in older {
        world.origin().twist = Some(signing(change));
        let ran = world.run(honest());
        world.assert_denied(ran);
    }
    world.assert_recovers(1);
}

fn another_assignment_of_the_same_number() {
    let mut world = World::settled();
    let changes: [fn(&mut Assignment); 3] = [
        |assignment| assignment.generation = 1,
        |assignment| (assignment.generation, assignment.environment) = (1, "other".to_owned()),
        |assignment| (assignment.generation, assignment.secrets_epoch) = (1, 9),
    ];
    for change in changes {
        std::fs::write(world.target("motd"), "drift").unwrap();
        let kept = world.kept();
        world.origin().twist = Some(signing(change));
        let ran = world.run(honest());
        world.assert_went_on(ran, &kept);
    }
    world.assert_recovers(2);
    let reports = world.reports();
    let told = reports.iter().filter(|report| report.problems.iter().any(|one| one.contains("signed twice")));
    assert_eq!(told.count(), 3, "the server is told each time");
}

fn an_assignment_that_was_changed() {
    twisted_at(Stage::CheckIn, || {
        vec![
            assigning(|reply, mut signed, _, _| {
                let last = signed.assignment.len() - 1;
                signed.assignment[last] ^= 1;
                reply.assignment = Some(signed);
            }),
            assigning(|reply, mut signed, mut assignment, _| {
                assignment.environment = "other".to_owned();
                signed.assignment = assignment.encode_to_vec();
                reply.assignment = Some(signed);
            }),
            assigning(|reply, mut signed, _, _| {
                signed.signature[5] ^= 1;
                reply.assignment = Some(signed);
            }),
            assigning(|reply, mut signed, _, _| {
                signed.signature.clear();
                reply.assignment = Some(signed);
            }),
            assigning(|reply, mut signed, _, keys| {
                // By the right key, as something else.
                signed.signature = keys.sign_as_something_else(&signed.assignment);
                reply.assignment = Some(signed);
            }),
        ]
    });
}

fn an_assignment_by_a_key_that_is_not_certified() {
    twisted_at(Stage::CheckIn, || {
        vec![
            // Without any certificate.
            assigning(|reply, signed, _, _| {
                reply.keys.clear();
                reply.assignment = Some(signed);
            }),
            // By a key of its own, under the certificate of the real one, and under one that names its key.
            assigning(|reply, _, assignment, _| reply.assignment = Some(own_signature(&assignment))),
            assigning(|reply, _, assignment, _| {
                let signed = own_signature(&assignment);
                reply.keys[0].key.clone_from(&signed.key);
                reply.assignment = Some(signed);
            }),
            // By another server, with everything that belongs to it.
            assigning(|reply, _, assignment, _| {
                let other = Keys::new();
                reply.keys = vec![other.certificate.clone()];
                reply.assignment = Some(other.sign(&assignment));
            }),
            // Certified for something else; no longer; not yet.
            assigning(|reply, signed, _, keys| {
                let always = (0, now() + 86_400);
                reply.keys = [CertifiedPurpose::Entry, CertifiedPurpose::Session]
                    .map(|purpose| keys.certificate_for(purpose, always))
                    .to_vec();
                reply.assignment = Some(signed);
            }),
            assigning(|reply, signed, _, keys| {
                let past = (0, now() - 3600);
                reply.keys = vec![keys.certificate_for(CertifiedPurpose::Bundle, past)];
                reply.assignment = Some(signed);
            }),
            assigning(|reply, signed, _, keys| {
                let future = (now() + 3600, now() + 7200);
                reply.keys = vec![keys.certificate_for(CertifiedPurpose::Bundle, future)];
                reply.assignment = Some(signed);
            }),
        ]
    });
}

fn own_signature(assignment: &Assignment) -> SignedAssignment {
    let own = ed25519_dalek::SigningKey::from_bytes(&vigo_wire::random::array().unwrap());
    let assignment = assignment.encode_to_vec();
    let signature = sign(SignContext::Assignment, &own, &assignment).unwrap().to_vec();
    SignedAssignment { assignment, key: own.verifying_key().to_bytes().to_vec(), signature }
}

fn an_assignment_of_a_newer_format() {
    twisted_at(Stage::CheckIn, || {
        vec![signing(|assignment| assignment.format = 99), signing(|assignment| assignment.format = 0)]
    });
}

fn a_bundle_of_another_digest() {
    twisted_at(Stage::Bundle, || {
        vec![
            bundling(|mut bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                bytes
            }),
            bundling(|bytes| bytes[..bytes.len() - 1].to_vec()),
            bundling(|bytes| [&bytes[..], &[0]].concat()),
            bundling(|_| Vec::new()),
            bundling(|_| vec![0; 1 << 20]),
            // With the file of an attacker, and otherwise as it should be.
            bundling(|bytes| {
                let mut bundle = Bundle::decode(bytes.as_slice()).unwrap();
                bundle.resources.truncate(1);
                bundle.encode_to_vec()
            }),
        ]
    });
}

/// The server itself signed the digest of something that is no bundle.
fn a_bundle_that_makes_no_sense() {
    fn signed_over(bytes: Vec<u8>) -> Twist {
        let digest = Digest::of(&bytes);
        let mut assigns = assigning(move |reply, _, mut assignment, keys| {
            assignment.bundle = digest.as_bytes().to_vec();
            reply.assignment = Some(keys.sign(&assignment));
        });
        Box::new(move |ask, answer, keys| match ask {
            Ask::Bundle(_) => Answer::Bundle(BundleReply { bundle: bytes.clone() }),
            _ => assigns(ask, answer, keys),
        })
    }
    let outside = Bundle {
        format: vigo_wire::bundle::FORMAT,
        resources: vec![vigo_wire::bundle::Resource { configcrate: 7, ..Default::default() }],
        ..Bundle::default()
    };
    twisted_at(Stage::Bundle, || {
        vec![
            signed_over(b"garbage, and not one message".to_vec()),
            signed_over(Bundle { format: 99, ..Bundle::default() }.encode_to_vec()),
            signed_over(outside.encode_to_vec()),
        ]
    });
}

fn an_answer_of_another_kind() {
    let of_stage = |ask: &Ask, stage: Stage| match stage {
        Stage::CheckIn => matches!(ask, Ask::CheckIn(_)),
        Stage::Bundle => matches!(ask, Ask::Bundle(_)),
        _ => matches!(ask, Ask::Secrets(_)),
    };
    for stage in [Stage::CheckIn, Stage::Bundle, Stage::Secrets] {
        twisted_at(stage, || {
            let others = [
                Answer::Report(vigo_wire::inner::ReportReply {}),
                Answer::Renew(vigo_wire::inner::RenewReply { chain: vec![vec![1]] }),
            ];
            let twist = |other: Answer| -> Twist {
                Box::new(move |ask, answer, _| if of_stage(ask, stage) { other.clone() } else { answer })
            };
            others.map(twist).into_iter().collect()
        });
    }
}

impl Keys {
    /// The bundle key's signature over the bare bytes, without a context.
    fn sign_as_something_else(&self, bytes: &[u8]) -> Vec<u8> {
        self.bundle.sign(bytes).to_bytes().to_vec()
    }
}
