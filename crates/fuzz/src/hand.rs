//! The pipe between a program and its hand.

use crate::Target;
use crate::wire::{decodes, golden};
use vigo_hand::trial::Trial;
use vigo_wire::hand as wire;

pub const TARGETS: &[Target] = &[
    Target { name: "hand_requests", run: requests, seeds: request_seeds },
    Target { name: "hand_messages", run: messages, seeds: || golden("hand.") },
];

/// Several frames one after the other: each a length of two bytes and so many bytes.
fn requests(mut bytes: &[u8]) {
    let Ok(mut hand) = Trial::start() else { return };
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        bytes = rest;
        match hand.answer(frame) {
            Some(answer) => assert!(!answer.is_empty(), "an answer that does not say what it is"),
            None => return,
        }
    }
}

fn request_seeds() -> Vec<Vec<u8>> {
    use prost::Message as _;
    use wire::{Ask, KeyPurpose, Role};
    let frame = |ask: Ask, body: Vec<u8>| {
        let length = u16::try_from(body.len() + 1).unwrap_or(u16::MAX).to_le_bytes();
        [&length[..], &[ask as u8], &body].concat()
    };
    let hello = |role: Role| {
        let hello = wire::Hello { format: wire::FORMAT, role: role.into(), ..wire::Hello::default() };
        frame(Ask::Hello, hello.encode_to_vec())
    };
    let key = |purpose: KeyPurpose| {
        frame(Ask::NewKey, wire::Key { purpose: purpose.into(), wrapped: Vec::new() }.encode_to_vec())
    };
    let generate = wire::Generate { path: "a/b".into(), version: 1, length: 24, alphabet: String::new() };
    let labelled = wire::Labelled { label: "session key".into(), bytes: vec![1; 32] };
    let scrub = wire::Bytes { bytes: b"some output".to_vec() };
    let binding = wire::Binding { party: vec![0; 16], epoch: 0, request: vec![0; 16] };
    let open = wire::Open { binding: binding.clone(), items: Vec::new() };
    let sign = wire::Sign {
        purpose: KeyPurpose::Bundle.into(),
        context: vigo_wire::sign::SignContext::Assignment.text().into(),
        message: b"message".to_vec(),
    };
    vec![
        [hello(Role::Node), frame(Ask::Status, Vec::new()), frame(Ask::OneTimeKey, Vec::new())].concat(),
        [hello(Role::Node), frame(Ask::OneTimeKey, Vec::new()), frame(Ask::Open, open.encode_to_vec())]
            .concat(),
        [hello(Role::Node), frame(Ask::Scrub, scrub.encode_to_vec()), frame(Ask::Held, Vec::new())].concat(),
        [hello(Role::Operator), frame(Ask::Generate, generate.encode_to_vec())].concat(),
        [hello(Role::Server), key(KeyPurpose::Bundle), frame(Ask::Sign, sign.encode_to_vec())].concat(),
        [hello(Role::Server), frame(Ask::Wrap, labelled.encode_to_vec())].concat(),
        [hello(Role::Server), key(KeyPurpose::Entry), frame(Ask::Put, wire::Put::default().encode_to_vec())]
            .concat(),
    ]
}

/// Every message of the pipe, whichever it was meant to be.
fn messages(bytes: &[u8]) {
    macro_rules! each {
        ($($message:ident)*) => { $(decodes::<wire::$message>(bytes);)* };
    }
    each!(Hello Status PublicKey Open File VaultId Record Take Paths Versions Text Content Compare Compared Stamp);
    each!(Write Run Finished Bytes ReadAndSeal ReadIntoRecord Entered Key NewKey Sign Put Generate Reseal Labelled);
    each!(Failure SealedItems TransitService WrapMasterKey UnwrapMasterKey);
    each!(ReadImport ImportKind OpenImport ImportName Imported SealImport RecordImport);
}
