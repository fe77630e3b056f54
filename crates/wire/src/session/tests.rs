//! The session against the published vector, and against everything a worker can do to its frames.

use super::*;

fn context() -> SessionContext {
    SessionContext { anchor: Digest::of(b"anchor"), envoy: EnvoyId::from_bytes(&[7; 16]).unwrap() }
}

fn pair() -> (Session, Session) {
    let (node, server) = (ExchangeKey::generate().unwrap(), ExchangeKey::generate().unwrap());
    let (begun, first) = Initiator::begin(&node, server.public(), &context()).unwrap();
    let (there, second) = respond(&server, node.public(), &context(), &first, 0).unwrap();
    (begun.finish(&second, 0).unwrap(), there)
}

fn hex(text: &str) -> Vec<u8> {
    vigo_base::decode_hex(text).unwrap()
}

fn key(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

/// The vector for this protocol from the `cacophony` set, which the Noise community shares.
#[test]
fn our_primitives_speak_the_published_vector() {
    let prologue = hex("4a6f686e2047616c74");
    let statics = [
        key("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"),
        key("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"),
    ];
    let ephemerals = [
        key("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"),
        key("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"),
    ];
    let keys = statics.map(|private| ExchangeKey::from_bytes(&private));
    assert_eq!(*keys[0].public(), key("6bc3822a2aa7f4e6981d6538692b3cdf3e6df9eea6ed269eb41d93c22757b75a"));
    let build = |own: usize, other: usize| {
        builder(&keys[own], keys[other].public(), &prologue)
            .unwrap()
            .fixed_ephemeral_key_for_testing_only(&ephemerals[own])
    };
    let mut node = build(0, 1).build_initiator().unwrap();
    let mut server = build(1, 0).build_responder().unwrap();
    let mut out = vec![0; NOISE_MESSAGE];
    let mut back = vec![0; NOISE_MESSAGE];

    for (payload, wanted) in [
        (
            "4c756477696720766f6e204d69736573",
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79440177015efc1fe7a37c629af7120a96274e6ab7afcc9261901d0e09ae32a5bb96",
        ),
        (
            "4d757272617920526f746862617264",
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843b274d3429adc47ca093ba63ef90f8da89fda108db471dccfa4894aa7b00003",
        ),
    ] {
        let payload = hex(payload);
        let length = node.write_message(&payload, &mut out).unwrap();
        assert_eq!(out[..length], hex(wanted));
        let length = server.read_message(&out[..length], &mut back).unwrap();
        assert_eq!(back[..length], payload);
        std::mem::swap(&mut node, &mut server);
    }
    assert_eq!(
        node.get_handshake_hash(),
        hex("24c6b51ecb76277140ca018b5985bc9f03de321dae2d34dcae433dafef0131d9")
    );
    let mut node = node.into_transport_mode().unwrap();
    let length = node.write_message(&hex("462e20412e20486179656b"), &mut out).unwrap();
    assert_eq!(out[..length], hex("966b05bc69ec01b8454d3160a214e6f24a3d884eb31ec2408af63f"));
}

#[test]
fn messages_of_every_length_around_a_chunk_arrive_whole_both_ways() {
    let (mut node, mut server) = pair();
    let edge = CHUNK - TOTAL;
    for length in [0, 1, edge - 1, edge, edge + 1, edge + CHUNK - 1, edge + CHUNK, edge + CHUNK + 1, 300_000]
    {
        let message: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
        let sealed = node.send(&message, 0).unwrap();
        assert_eq!(server.receive(&sealed, 0).unwrap(), message, "{length} up");
        let sealed = server.send(&message, 0).unwrap();
        assert!(sealed.len() <= SEALED_LIMIT);
        assert_eq!(node.receive(&sealed, 0).unwrap(), message, "{length} down");
    }
}

#[test]
fn a_replayed_frame_ends_the_session() {
    let (mut node, mut server) = pair();
    let sealed = node.send(b"once", 0).unwrap();
    server.receive(&sealed, 0).unwrap();
    assert!(matches!(server.receive(&sealed, 0), Err(WireError::Frame)));
    assert!(server.is_poisoned());
    assert!(matches!(server.send(b"more", 0), Err(WireError::Poisoned)));
    assert!(matches!(server.receive(&node.send(b"next", 0).unwrap(), 0), Err(WireError::Poisoned)));
}

#[test]
fn a_lost_or_reordered_frame_ends_the_session() {
    let (mut node, mut server) = pair();
    let _lost = node.send(b"one", 0).unwrap();
    let two = node.send(b"two", 0).unwrap();
    assert!(matches!(server.receive(&two, 0), Err(WireError::Frame)));
    assert!(server.is_poisoned());
}

#[test]
fn a_frame_sent_back_to_its_sender_ends_the_session() {
    let (mut node, _server) = pair();
    let sealed = node.send(b"mirror", 0).unwrap();
    assert!(matches!(node.receive(&sealed, 0), Err(WireError::Frame)));
}

#[test]
fn a_cut_lengthened_or_joined_frame_ends_the_session() {
    let long = vec![1; 200_000];
    for cut in [1, 2, 3, 17, CHUNK, 150_000] {
        let (mut node, mut server) = pair();
        let sealed = node.send(&long, 0).unwrap();
        assert!(server.receive(&sealed[..sealed.len() - cut], 0).is_err(), "{cut}");
        assert!(server.is_poisoned());
    }
    let (mut node, mut server) = pair();
    let longer = [node.send(b"message", 0).unwrap(), vec![0]].concat();
    assert!(server.receive(&longer, 0).is_err());
    let (mut node, mut server) = pair();
    let joined = [node.send(b"one", 0).unwrap(), node.send(b"two", 0).unwrap()].concat();
    assert!(server.receive(&joined, 0).is_err());
    // The chunks of one message in another order.
    let (mut node, mut server) = pair();
    let sealed = node.send(&vec![1; CHUNK - TOTAL + CHUNK], 0).unwrap();
    let (first, second) = sealed.split_at(2 + NOISE_MESSAGE);
    assert!(server.receive(&[second, first].concat(), 0).is_err());
}

#[test]
fn every_changed_bit_of_a_frame_is_noticed() {
    let length = pair().0.send(b"m", 0).unwrap().len();
    for bit in 0..length * 8 {
        let (mut node, mut server) = pair();
        let mut sealed = node.send(b"m", 0).unwrap();
        sealed[bit / 8] ^= 1 << (bit % 8);
        assert!(server.receive(&sealed, 0).is_err(), "bit {bit}");
        assert!(server.is_poisoned());
    }
}

#[test]
fn both_sides_must_agree_on_keys_anchor_and_envoy() {
    let (node, server, liar) = (
        ExchangeKey::generate().unwrap(),
        ExchangeKey::generate().unwrap(),
        ExchangeKey::generate().unwrap(),
    );
    let (begun, first) = Initiator::begin(&node, server.public(), &context()).unwrap();
    let other_anchor = SessionContext { anchor: Digest::of(b"other"), ..context() };
    let other_envoy = SessionContext { envoy: EnvoyId::from_bytes(&[8; 16]).unwrap(), ..context() };
    for wrong in [other_anchor, other_envoy] {
        assert!(matches!(respond(&server, node.public(), &wrong, &first, 0), Err(WireError::Handshake)));
    }
    // A server that does not hold the key, and a server that expects another node.
    assert!(respond(&liar, node.public(), &context(), &first, 0).is_err());
    assert!(respond(&server, liar.public(), &context(), &first, 0).is_err());
    // A liar that answers with a handshake of its own.
    let (_, other_first) = Initiator::begin(&node, liar.public(), &context()).unwrap();
    let (_, answer) = respond(&liar, node.public(), &context(), &other_first, 0).unwrap();
    assert!(matches!(begun.finish(&answer, 0), Err(WireError::Handshake)));
}

#[test]
fn a_replayed_handshake_gives_a_session_that_opens_nothing() {
    let (node, server) = (ExchangeKey::generate().unwrap(), ExchangeKey::generate().unwrap());
    let (begun, first) = Initiator::begin(&node, server.public(), &context()).unwrap();
    let (_, second) = respond(&server, node.public(), &context(), &first, 0).unwrap();
    let mut there = begun.finish(&second, 0).unwrap();
    let (mut replayed, _) = respond(&server, node.public(), &context(), &first, 0).unwrap();
    assert!(replayed.receive(&there.send(b"for the first one", 0).unwrap(), 0).is_err());
}

#[test]
fn public_keys_of_small_order_are_refused() {
    let node = ExchangeKey::generate().unwrap();
    assert!(Initiator::begin(&node, &[0; 32], &context()).is_err());
    let mut one = [0; 32];
    one[0] = 1;
    assert!(Initiator::begin(&node, &one, &context()).is_err());
}

#[test]
fn a_session_ages_out_and_an_exchange_that_began_in_time_may_end() {
    let (mut node, mut server) = pair();
    assert!(!node.is_due(LIFE_S - 1) && node.is_due(LIFE_S));
    let sealed = node.send(b"late", LIFE_S).unwrap();
    assert_eq!(server.receive(&sealed, LIFE_S + GRACE_S).unwrap(), b"late");
    let answer = server.send(b"later", LIFE_S + GRACE_S).unwrap();
    assert_eq!(node.receive(&answer, LIFE_S + GRACE_S).unwrap(), b"later");
    assert!(matches!(node.send(b"too late", LIFE_S + 1), Err(WireError::Expired { .. })));
    assert!(node.is_poisoned());
    assert!(!server.is_over(LIFE_S + GRACE_S) && server.is_over(LIFE_S + GRACE_S + 1));
    let result = server.send(b"too late", LIFE_S + GRACE_S + 1);
    assert!(matches!(result, Err(WireError::Expired { .. })));
}

#[test]
fn a_message_above_the_limit_is_refused_and_the_session_goes_on() {
    let (mut node, mut server) = pair();
    let large = vec![0; limits::INNER_MESSAGE + 1];
    assert!(matches!(node.send(&large, 0), Err(WireError::TooLarge { .. })));
    drop(large);
    let sealed = node.send(b"small", 0).unwrap();
    assert_eq!(server.receive(&sealed, 0).unwrap(), b"small");
    // An announced length above the limit, by a peer that holds the keys.
    let state = node.state.as_mut().unwrap();
    let mut noise = vec![0; 64];
    let length = state.write_message(&u32::MAX.to_le_bytes(), &mut noise).unwrap();
    let forged = [&(length as u16).to_le_bytes(), &noise[..length]].concat();
    assert!(matches!(server.receive(&forged, 0), Err(WireError::TooLarge { .. })));
    assert!(server.is_poisoned());
}
