//! An enrolment between a node and a server, and every way in which somebody between them can lie.

use super::*;
use crate::sign;
use ed25519_dalek::SigningKey;

const NOW: u64 = 1_763_900_000;

struct Server {
    anchor: SigningKey,
    bundle: [u8; 32],
    session: [u8; 32],
}

impl Server {
    fn new(seed: u8) -> Self {
        Self { anchor: SigningKey::from_bytes(&[seed; 32]), bundle: [seed + 1; 32], session: [seed + 2; 32] }
    }

    fn public(&self) -> [u8; 32] {
        self.anchor.verifying_key().to_bytes()
    }

    fn token(&self) -> Token {
        Token::generate(Digest::of(&self.public())).unwrap()
    }

    fn certify(&self, key: &[u8; 32], purpose: CertifiedPurpose) -> KeyCertificate {
        let mut certificate = sign::new_certificate(key, purpose, NOW, NOW + 100);
        let message = sign::certificate_message(&certificate);
        certificate.signature =
            sign::sign(SignContext::KeyCertificate, &self.anchor, &message).unwrap().to_vec();
        certificate
    }

    fn answer(&self, request: &VerifiedRequest) -> EnrolAnswer {
        let grant = Grant {
            envoy: EnvoyId::from_bytes(&[5; 16]).unwrap(),
            anchor: self.public(),
            chain: vec![vec![0x30, 0]],
            authority: vec![0x30, 0],
            keys: vec![self.certify(&self.bundle, CertifiedPurpose::Bundle)],
            session: self.certify(&self.session, CertifiedPurpose::Session),
            term: 1,
            generation: 2,
            server_time: NOW,
        };
        answer(request, grant)
    }

    fn seal(&self, answer: EnrolAnswer, key: &TokenKey) -> Vec<u8> {
        let signature = sign::sign(SignContext::EnrolAnswer, &self.anchor, &answer_message(&answer)).unwrap();
        seal_answer(answer, &signature, key).unwrap()
    }
}

struct Begun {
    server: Server,
    token: Token,
    key: TokenKey,
    identity: Identity,
    bytes: Vec<u8>,
}

impl Begun {
    fn new() -> Self {
        let server = Server::new(1);
        let token = server.token();
        let identity = Identity::generate().unwrap();
        let bytes = request(&token, &"web-1".parse().unwrap(), &identity, &[0x30, 0]).unwrap();
        Self { key: token.key().unwrap(), server, token, identity, bytes }
    }

    fn verified(&self) -> VerifiedRequest {
        verify_request(&self.bytes, &self.key).unwrap()
    }

    fn open(&self, answer: &[u8]) -> Result<Enrolled, WireError> {
        open_answer(answer, &self.bytes, &self.token, NOW - 1000)
    }

    fn changed(&self, change: impl Fn(&mut EnrolAnswer)) -> Result<Enrolled, WireError> {
        let mut answer = self.server.answer(&self.verified());
        change(&mut answer);
        self.open(&self.server.seal(answer, &self.key))
    }
}

#[test]
fn a_node_and_a_server_come_to_know_each_other() {
    let begun = Begun::new();
    assert_eq!(token_of(&begun.bytes).unwrap(), *begun.token.id());
    let request = begun.verified();
    assert_eq!(request.name.as_str(), "web-1");
    assert_eq!(request.identity, begun.identity.public());
    assert_eq!(request.exchange, *begun.identity.exchange().public());
    assert_eq!(request.digest, Digest::of(&begun.bytes));

    let answer = begun.server.seal(begun.server.answer(&request), &begun.key);
    let enrolled = begun.open(&answer).unwrap();
    assert_eq!(enrolled.envoy, EnvoyId::from_bytes(&[5; 16]).unwrap());
    assert_eq!(enrolled.anchor, begun.server.public());
    assert_eq!(enrolled.session, begun.server.session);
    assert_eq!((enrolled.term, enrolled.generation, enrolled.server_time), (1, 2, NOW));
    // Stored and given again: the same.
    assert_eq!(begun.open(&answer).unwrap().envoy, enrolled.envoy);
}

#[test]
fn the_line_of_a_token_comes_back_and_damage_is_noticed() {
    let token = Server::new(1).token();
    let line = token.line();
    assert!(!line.contains('\n') && line.starts_with("vigo1."));
    let again = Token::parse(&format!("  {}\n", line.as_str())).unwrap();
    assert_eq!(again.id(), token.id());
    assert_eq!(again.anchor(), token.anchor());
    assert_eq!(again.key().unwrap().as_bytes(), token.key().unwrap().as_bytes());

    let parts: Vec<&str> = line.split('.').collect();
    let wrong = [
        String::new(),
        "vigo2".to_owned() + line.strip_prefix("vigo1").unwrap(),
        parts[..3].join("."),
        line.strip_suffix(|_: char| true).unwrap().to_owned(),
        format!("{}.00", line.as_str()),
        line.replace(parts[1], parts[1].strip_prefix(|_: char| true).unwrap()),
        line.replace(parts[2], &parts[2].replace(|_: char| true, "g")),
    ];
    for text in wrong {
        let error = Token::parse(&text).err().unwrap();
        assert!(matches!(error, WireError::Token(_)), "{text}");
        assert!(!error.to_string().contains(parts[2]), "the error repeats the secret");
    }
}

#[test]
fn a_request_by_another_token_or_without_the_identity_key_is_refused() {
    let begun = Begun::new();
    let other = begun.server.token().key().unwrap();
    assert!(matches!(verify_request(&begun.bytes, &other), Err(WireError::Mac { .. })));

    // Somebody who holds the token puts another node's public key in.
    let mut forged = EnrolRequest::decode(begun.bytes.as_slice()).unwrap();
    forged.identity = Identity::generate().unwrap().public().to_vec();
    forged.mac = mac(&begun.key, REQUEST, &request_without_mac(&forged)).unwrap().to_vec();
    let result = verify_request(&forged.encode_to_vec(), &begun.key);
    assert!(matches!(result, Err(WireError::Signature { .. })));
}

#[test]
fn every_changed_bit_of_a_request_is_noticed() {
    let begun = Begun::new();
    for bit in 0..begun.bytes.len() * 8 {
        let mut changed = begun.bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_request(&changed, &begun.key).is_err(), "bit {bit}");
    }
}

#[test]
fn a_request_with_a_field_added_on_the_way_is_refused() {
    let begun = Begun::new();
    let unknown_field = [0xf8, 0x07, 1];
    let longer = [begun.bytes.as_slice(), &unknown_field].concat();
    assert!(matches!(verify_request(&longer, &begun.key), Err(WireError::Malformed { .. })));
}

#[test]
fn every_changed_bit_of_an_answer_is_noticed() {
    let begun = Begun::new();
    let answer = begun.server.seal(begun.server.answer(&begun.verified()), &begun.key);
    for bit in 0..answer.len() * 8 {
        let mut changed = answer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(begun.open(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn another_anchor_is_refused_even_by_somebody_who_holds_the_token() {
    let begun = Begun::new();
    let liar = Server::new(21);
    let answer = liar.seal(liar.answer(&begun.verified()), &begun.key);
    assert!(matches!(begun.open(&answer), Err(WireError::OtherAnchor { .. })));
    // The right anchor named, the liar's signature.
    let mut answer = liar.answer(&begun.verified());
    answer.anchor = begun.server.public().to_vec();
    let answer = liar.seal(answer, &begun.key);
    assert!(matches!(begun.open(&answer), Err(WireError::Signature { .. })));
}

#[test]
fn an_answer_by_the_anchor_without_the_token_is_refused() {
    let begun = Begun::new();
    let other = begun.server.token().key().unwrap();
    let answer = begun.server.seal(begun.server.answer(&begun.verified()), &other);
    assert!(matches!(begun.open(&answer), Err(WireError::Mac { .. })));
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let begun = Begun::new();
    let name = "web-1".parse().unwrap();
    let second = request(&begun.token, &name, &begun.identity, &[0x30, 0]).unwrap();
    assert_ne!(second, begun.bytes);
    let old = begun.server.seal(begun.server.answer(&begun.verified()), &begun.key);
    let result = open_answer(&old, &second, &begun.token, NOW);
    assert!(matches!(result, Err(WireError::Malformed { why: "it answers another request", .. })));
}

#[test]
fn an_answer_with_wrong_content_is_refused() {
    let begun = Begun::new();
    assert!(begun.changed(|_| {}).is_ok());
    let other = Server::new(31);
    type Change<'a> = (&'a str, &'a dyn Fn(&mut EnrolAnswer));
    let changes: [Change<'_>; 12] = [
        ("format", &|answer| answer.format = 2),
        ("nonce", &|answer| answer.nonce = vec![0; 32]),
        ("request", &|answer| answer.request = vec![0; 32]),
        ("id", &|answer| answer.envoy = vec![0; 15]),
        ("name", &|answer| answer.name = "web-2".into()),
        ("no chain", &|answer| answer.chain = vec![]),
        ("long chain", &|answer| answer.chain = vec![vec![0]; 5]),
        ("large certificate", &|answer| answer.authority = vec![0; 16_385]),
        ("no keys", &|answer| answer.keys = vec![]),
        ("key of another anchor", &|answer| {
            answer.keys = vec![other.certify(&[1; 32], CertifiedPurpose::Bundle)]
        }),
        ("no session key", &|answer| answer.session = None),
        ("key of another purpose", &|answer| answer.session = answer.keys.first().cloned()),
    ];
    for (what, change) in changes {
        assert!(begun.changed(change).is_err(), "{what}");
    }
}

#[test]
fn a_refusal_says_whether_the_server_said_it() {
    let begun = Begun::new();
    let text = "the token's use is spent: make another\u{1b}[2J";
    let proven = refuse(RefusalCode::SpentToken, text, &begun.bytes, Some(&begun.key)).unwrap();
    let hint = refuse(RefusalCode::UnknownToken, text, &begun.bytes, None).unwrap();
    let stale = Begun::new();
    let replayed = refuse(RefusalCode::SpentToken, text, &stale.bytes, Some(&begun.key)).unwrap();
    for (bytes, wanted) in [(proven, true), (hint, false), (replayed, false)] {
        match begun.open(&bytes) {
            Err(WireError::Refused { code, message, proven }) => {
                assert!(RefusalCode::by_name(&code).is_some());
                assert!(!message.contains('\u{1b}'), "control characters reach a terminal");
                assert_eq!(proven, wanted);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_clock_far_behind_does_not_hinder_and_one_far_ahead_does() {
    let begun = Begun::new();
    let answer = begun.server.seal(begun.server.answer(&begun.verified()), &begun.key);
    assert!(open_answer(&answer, &begun.bytes, &begun.token, 0).is_ok());
    let result = open_answer(&answer, &begun.bytes, &begun.token, NOW + 101);
    assert!(matches!(result, Err(WireError::CertificateTime { .. })));
}
