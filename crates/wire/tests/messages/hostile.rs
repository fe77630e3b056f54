//! What a taken worker or a liar on the network can bring: everything it may change, and bytes that mean nothing at all.

use crate::samples;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use prost::Message;
use vigo_base::{Digest, EnvoyId};
use vigo_wire::assignment::{Assignment, KeyCertificate, SignedAssignment};
use vigo_wire::bundle::{Bundle, Configcrate, Resource};
use vigo_wire::enrol::{self, Token, TokenKey};
use vigo_wire::generation::{Decision, Refusal, Standing, accept};
use vigo_wire::identity::{ExchangeKey, Identity};
use vigo_wire::node::{DEPTH, Entry, Node};
use vigo_wire::session::{self, Initiator, SessionContext};
use vigo_wire::sign::{self, CertifiedPurpose, SignContext};
use vigo_wire::{WireError, check_bundle, encode_bundle, verify_assignment, worker};

const NOW: u64 = 1_763_900_000;

struct Server {
    anchor: SigningKey,
    bundle: SigningKey,
    certificate: KeyCertificate,
}

impl Server {
    fn new(seed: u8) -> Self {
        let anchor = SigningKey::from_bytes(&[seed; 32]);
        let bundle = SigningKey::from_bytes(&[seed + 1; 32]);
        let certificate = certify(&anchor, &bundle, CertifiedPurpose::Bundle);
        Self { anchor, bundle, certificate }
    }

    fn anchor(&self) -> [u8; 32] {
        self.anchor.verifying_key().to_bytes()
    }

    fn assignment(&self) -> Assignment {
        Assignment {
            format: 1,
            anchor: Digest::of(&self.anchor()).as_bytes().to_vec(),
            envoy: envoy().as_bytes().to_vec(),
            name: "web-1".into(),
            term: 1,
            generation: 7,
            bundle: vec![9; 32],
            issued_at: NOW,
            ..Assignment::default()
        }
    }

    fn sign(&self, assignment: &Assignment) -> SignedAssignment {
        let bytes = assignment.encode_to_vec();
        let signature = sign::sign(SignContext::Assignment, &self.bundle, &bytes).unwrap();
        let key = self.bundle.verifying_key().to_bytes().to_vec();
        SignedAssignment { assignment: bytes, key, signature: signature.to_vec() }
    }

    fn check(&self, signed: &SignedAssignment) -> Result<vigo_wire::VerifiedAssignment, WireError> {
        verify_assignment(signed, std::slice::from_ref(&self.certificate), &self.anchor(), &envoy(), NOW)
    }
}

fn certify(anchor: &SigningKey, key: &SigningKey, purpose: CertifiedPurpose) -> KeyCertificate {
    let mut certificate = sign::new_certificate(&key.verifying_key().to_bytes(), purpose, NOW - 10, NOW + 10);
    let message = sign::certificate_message(&certificate);
    certificate.signature = sign::sign(SignContext::KeyCertificate, anchor, &message).unwrap().to_vec();
    certificate
}

fn envoy() -> EnvoyId {
    EnvoyId::from_bytes(&[2; 16]).unwrap()
}

#[test]
fn the_assignment_of_the_server_is_taken_with_the_bytes_that_were_signed() {
    let server = Server::new(1);
    let signed = server.sign(&server.assignment());
    let verified = server.check(&signed).unwrap();
    assert_eq!(verified.assignment(), &server.assignment());
    assert_eq!(verified.bytes(), signed.assignment);
    assert_eq!(verified.name().as_str(), "web-1");
    assert_eq!(accept(None, &verified.standing()), Decision::Accept);
}

#[test]
fn an_assignment_by_a_key_without_a_certificate_of_the_anchor_is_refused() {
    let (server, liar) = (Server::new(1), Server::new(11));
    let signed = liar.sign(&server.assignment());
    assert!(matches!(server.check(&signed), Err(WireError::Uncertified { .. })));
    // The liar's own certificate does not help.
    let keys = [server.certificate.clone(), liar.certificate.clone()];
    let result = verify_assignment(&signed, &keys, &server.anchor(), &envoy(), NOW);
    assert!(matches!(result, Err(WireError::Signature { what: "the key certificate" })));
}

#[test]
fn a_key_certified_for_something_else_signs_no_assignment() {
    let server = Server::new(1);
    for purpose in [CertifiedPurpose::Entry, CertifiedPurpose::Session] {
        let keys = [certify(&server.anchor, &server.bundle, purpose)];
        let result =
            verify_assignment(&server.sign(&server.assignment()), &keys, &server.anchor(), &envoy(), NOW);
        assert!(matches!(result, Err(WireError::Uncertified { .. })), "{purpose:?}");
    }
    // Its purpose rewritten: the anchor's signature does not fit any more.
    let mut certificate = certify(&server.anchor, &server.bundle, CertifiedPurpose::Entry);
    certificate.purpose = "bundle".into();
    let signed = server.sign(&server.assignment());
    let result = verify_assignment(&signed, &[certificate], &server.anchor(), &envoy(), NOW);
    assert!(matches!(result, Err(WireError::Signature { .. })));
}

#[test]
fn a_certificate_is_good_in_its_time_only_and_both_ends_belong_to_it() {
    let server = Server::new(1);
    let signed = server.sign(&server.assignment());
    for (time, is_good) in [(NOW - 11, false), (NOW - 10, true), (NOW + 10, true), (NOW + 11, false)] {
        let keys = std::slice::from_ref(&server.certificate);
        let result = verify_assignment(&signed, keys, &server.anchor(), &envoy(), time);
        assert_eq!(result.is_ok(), is_good, "{time}");
    }
}

#[test]
fn an_assignment_of_another_anchor_envoy_or_format_is_refused() {
    let server = Server::new(1);
    let other_anchor = Assignment { anchor: vec![1; 32], ..server.assignment() };
    assert!(matches!(server.check(&server.sign(&other_anchor)), Err(WireError::OtherAnchor { .. })));
    let other_envoy = Assignment { envoy: vec![3; 16], ..server.assignment() };
    assert!(matches!(server.check(&server.sign(&other_envoy)), Err(WireError::OtherEnvoy { .. })));
    for format in [0, 2] {
        let other_format = Assignment { format, ..server.assignment() };
        assert!(matches!(server.check(&server.sign(&other_format)), Err(WireError::Format { .. })));
    }
    let no_digest = Assignment { bundle: vec![1; 31], ..server.assignment() };
    assert!(matches!(server.check(&server.sign(&no_digest)), Err(WireError::Malformed { .. })));
}

#[test]
fn a_signature_for_one_thing_is_none_for_another() {
    let server = Server::new(1);
    let key = &server.anchor;
    let tbs = [0x30, 3, 1, 2, 3];
    for made in SignContext::ALL {
        let signature = sign::sign(made, key, &tbs).unwrap();
        for read in SignContext::ALL {
            let result = sign::verify(read, &server.anchor(), &tbs, &signature);
            assert_eq!(result.is_ok(), made == read, "{made:?} as {read:?}");
        }
    }
}

#[test]
fn contexts_are_short_distinct_and_cannot_begin_a_certificate() {
    for context in SignContext::ALL {
        assert!(context.text().len() < 0x30);
        let twins = SignContext::ALL.iter().filter(|other| other.text() == context.text());
        assert_eq!(twins.count(), 1);
    }
    // So the anchor cannot be made to sign another context's message as a certificate.
    let prepared = SignContext::KeyCertificate.prepare(b"any").unwrap();
    assert!(SignContext::TransportCertificate.prepare(&prepared).is_err());
    for wrong in [&[][..], &[0x30], &[0x30, 2, 0], &[0x30, 1, 0, 0], &[0x31, 0], &[0x30, 0x83, 0, 0, 0]] {
        assert!(SignContext::TransportCertificate.prepare(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_changed_bit_of_a_signed_assignment_is_noticed() {
    let server = Server::new(1);
    let signed = server.sign(&server.assignment());
    for bit in 0..signed.assignment.len() * 8 {
        let mut changed = signed.clone();
        changed.assignment[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(server.check(&changed), Err(WireError::Signature { .. })), "bit {bit}");
    }
    for bit in 0..64 * 8 {
        let mut changed = signed.clone();
        changed.signature[bit / 8] ^= 1 << (bit % 8);
        assert!(server.check(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn lower_generations_and_two_of_one_number_are_refused() {
    let server = Server::new(1);
    let held = Standing::of(&server.assignment());
    let with = |term, generation, bundle: u8| {
        Standing::of(&Assignment { term, generation, bundle: vec![bundle; 32], ..server.assignment() })
    };
    assert_eq!(accept(Some(&held), &with(1, 8, 1)), Decision::Accept);
    assert_eq!(accept(Some(&held), &with(2, 1, 1)), Decision::Accept);
    assert_eq!(accept(Some(&held), &with(1, 6, 9)), Decision::Refused(Refusal::Lower));
    assert_eq!(accept(Some(&held), &with(0, 99, 9)), Decision::Refused(Refusal::Lower));
    assert_eq!(accept(Some(&held), &with(1, 7, 1)), Decision::Refused(Refusal::Equivocation));
    assert_eq!(accept(Some(&held), &with(1, 7, 9)), Decision::Same);
    // Signed again later: still the same.
    let later = Standing::of(&Assignment { issued_at: NOW + 99, ..server.assignment() });
    assert_eq!(accept(Some(&held), &later), Decision::Same);
    // The same bundle with other parameters is not the same.
    let epoch = Standing::of(&Assignment { secrets_epoch: 4, ..server.assignment() });
    assert_eq!(accept(Some(&held), &epoch), Decision::Refused(Refusal::Equivocation));
    assert_eq!(Standing::decode(&held.encode()).unwrap(), held);
}

fn bundle() -> Bundle {
    let resource = Resource { requires: vec![0], r#type: "file".into(), ..Resource::default() };
    Bundle {
        format: 1,
        configcrates: vec![Configcrate { name: "motd".into(), ..Configcrate::default() }],
        resources: vec![Resource { requires: vec![], ..resource.clone() }, resource],
        ..Bundle::default()
    }
}

#[test]
fn a_bundle_is_taken_by_its_digest_only() {
    let (bytes, digest) = encode_bundle(&bundle());
    assert_eq!(check_bundle(&bytes, &digest).unwrap(), bundle());
    let result = check_bundle(&[&bytes[..], &[0]].concat(), &digest);
    assert!(matches!(result, Err(WireError::BundleDigest { .. })));
    // Even bytes that are no bundle are first held against the digest.
    assert!(matches!(check_bundle(&[0xff; 4], &digest), Err(WireError::BundleDigest { .. })));
    assert!(matches!(check_bundle(&[0xff; 4], &Digest::of(&[0xff; 4])), Err(WireError::Decode { .. })));
}

#[test]
fn a_bundle_whose_indices_point_nowhere_or_of_a_newer_format_is_refused() {
    let breaks: [fn(&mut Bundle); 6] = [
        |bundle| bundle.resources[1].requires = vec![2],
        |bundle| bundle.resources[1].notified_by = vec![u32::MAX],
        |bundle| bundle.resources[0].configcrate = 1,
        |bundle| bundle.resources[0].requires_configcrates = vec![1],
        |bundle| bundle.configcrates[0].requires = vec![1],
        |bundle| bundle.secrets = vec![vigo_wire::bundle::SecretUse { resource: 2, ..Default::default() }],
    ];
    for break_it in breaks {
        let mut broken = bundle();
        break_it(&mut broken);
        let (bytes, digest) = encode_bundle(&broken);
        assert!(matches!(check_bundle(&bytes, &digest), Err(WireError::Malformed { .. })));
    }
    let (bytes, digest) = encode_bundle(&Bundle { format: 2, ..bundle() });
    assert!(matches!(check_bundle(&bytes, &digest), Err(WireError::Format { found: 2, .. })));
}

#[test]
fn an_identity_comes_back_from_its_file_and_a_damaged_one_does_not() {
    let identity = Identity::generate().unwrap();
    let bytes = identity.encode();
    let again = Identity::decode(&bytes).unwrap();
    assert_eq!(again.public(), identity.public());
    assert_eq!(again.exchange().public(), identity.exchange().public());
    assert_eq!(again.fingerprint(), identity.fingerprint());
    for byte in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[byte] ^= 0x10;
        assert!(matches!(Identity::decode(&damaged), Err(WireError::Identity(_))), "byte {byte}");
    }
    assert!(Identity::decode(&bytes[..135]).is_err());
}

/// Compiles only while none of the types has the trait: with it, the method below would be ambiguous.
macro_rules! none_has {
    ($trait:path: $($type:ty),*) => {{
        struct Invalid;
        trait AmbiguousIf<A> {
            fn is_absent() -> bool {
                true
            }
        }
        impl<T: ?Sized> AmbiguousIf<()> for T {}
        impl<T: ?Sized + $trait> AmbiguousIf<Invalid> for T {}
        $(assert!(<$type as AmbiguousIf<_>>::is_absent());)*
    }};
}

#[test]
fn what_holds_a_key_can_be_neither_shown_nor_copied() {
    none_has!(std::fmt::Debug: Identity, ExchangeKey, Token, TokenKey, session::Session, Initiator);
    none_has!(std::fmt::Display: Identity, ExchangeKey, Token, TokenKey, session::Session, Initiator);
    none_has!(Clone: Identity, ExchangeKey, Token, TokenKey, session::Session, Initiator);
}

#[test]
fn a_node_signs_as_a_node_and_nothing_else() {
    let identity = Identity::generate().unwrap();
    for context in SignContext::ALL {
        let is_node = context == SignContext::EnrolRequest;
        assert_eq!(identity.sign(context, &[0x30, 0]).is_ok(), is_node, "{context:?}");
    }
}

/// Feeds `bytes` to everything that reads what another process wrote.
fn read_everything(bytes: &[u8]) {
    use vigo_wire::{inner, node, outer};
    let server = Server::new(1);
    let _ = inner::Request::decode(bytes);
    let _ = inner::Reply::decode(bytes);
    let _ = node::Node::decode(bytes).is_ok_and(|node| node.is_data());
    let _ = outer::Frame::decode(bytes);
    let _ = outer::Bytes::decode(bytes);
    let _ = worker::WorkerRequest::decode(bytes);
    let _ = worker::WorkerAnswer::decode(bytes);
    let _ = check_bundle(bytes, &Digest::of(bytes));
    let _ = SignedAssignment::decode(bytes).map(|signed| server.check(&signed));
    let _ = KeyCertificate::decode(bytes).map(|certificate| {
        sign::verify_certificate(&certificate, &server.anchor(), CertifiedPurpose::Bundle, NOW)
    });
    let mut signed = server.sign(&server.assignment());
    signed.assignment = bytes.to_vec();
    signed.signature = sign::sign(SignContext::Assignment, &server.bundle, bytes).unwrap().to_vec();
    let _ = server.check(&signed);
    let _ = Standing::decode(bytes);
    let _ = Identity::decode(bytes);
    let _ = enrol::token_of(bytes);
    let _ = enrol::verify_request(bytes, &TokenKey::from_bytes(&[1; 32]));
    let token = Token::generate(Digest::of(b"anchor")).unwrap();
    let _ = enrol::open_answer(bytes, bytes, &token, NOW);
    let _ = Token::parse(&String::from_utf8_lossy(bytes));
    let (own, other) = (ExchangeKey::from_bytes(&[1; 32]), ExchangeKey::from_bytes(&[2; 32]));
    let context = SessionContext { anchor: Digest::of(b"anchor"), envoy: envoy() };
    assert!(session::respond(&own, other.public(), &context, bytes, 0).is_err());
    let (begun, _) = Initiator::begin(&own, other.public(), &context).unwrap();
    assert!(begun.finish(bytes, 0).is_err());
    for context in SignContext::ALL {
        let _ = context.prepare(bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A quarter of the usual number, as they take long; PROPTEST_CASES counts here, too.
        cases: ProptestConfig::default().cases.div_ceil(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_reader_panics_on_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_reader_panics_on_damaged_messages(
        which in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let samples = samples::all();
        let mut bytes = samples[which.index(samples.len())].bytes.clone();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        read_everything(&bytes);
    }
}

#[test]
fn values_of_the_allowed_depth_survive_in_the_deepest_place_and_deeper_ones_do_not() {
    let nested =
        |levels| (0..levels).fold(Node::literal("core"), |inner, _| Node::map([("key".to_owned(), inner)]));
    let with = |levels| {
        let entry = Entry { name: "deep".into(), value: Some(nested(levels)) };
        let mut bundle = bundle();
        bundle.resources[0].branches =
            vec![vigo_wire::bundle::Branch { value: "x".into(), attributes: vec![entry] }];
        let (bytes, digest) = encode_bundle(&bundle);
        check_bundle(&bytes, &digest).is_ok()
    };
    assert_eq!(nested(DEPTH).depth(), DEPTH);
    assert!(with(DEPTH));
    assert!(!with(DEPTH + 5), "the limit can be raised");
}

#[test]
fn messages_nested_without_end_are_refused_and_no_stack_overflows() {
    // Node.list(8) -> List.items(1) -> Node ...
    let mut bytes = Vec::new();
    for _ in 0..20_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.extend_from_slice(&bytes);
        bytes = vec![0x42];
        prost::encoding::encode_varint(outer.len() as u64, &mut bytes);
        bytes.extend_from_slice(&outer);
        if bytes.len() > 60_000 {
            break;
        }
    }
    assert!(vigo_wire::node::Node::decode(bytes.as_slice()).is_err());
}
