//! Records, seals, key files and the scrubber.

use crate::Target;
use std::sync::LazyLock;
use vigo_base::{Sealed, SecretPath, SecretVersion};
use vigo_secret::{
    KeyPair, MasterKey, SHORTEST_SCRUBBED, Scrubber, SealBinding, SealPurpose, open, open_record, seal,
    seal_record,
};

pub const TARGETS: &[Target] = &[
    Target { name: "record", run: record, seeds: record_seeds },
    Target { name: "sealed", run: sealed, seeds: sealed_seeds },
    Target { name: "key_file", run: key_file, seeds: key_file_seeds },
    Target { name: "scrubber", run: scrubber, seeds: scrubber_seeds },
];

const VERSION: SecretVersion = SecretVersion(3);
static MASTER: LazyLock<Option<MasterKey>> = LazyLock::new(|| MasterKey::generate().ok());
static PAIR: LazyLock<Option<KeyPair>> = LazyLock::new(|| KeyPair::from_private(&[7; 32]).ok());

fn path() -> SecretPath {
    "web/token".parse().unwrap_or_else(|_| unreachable!())
}

fn record(bytes: &[u8]) {
    let Some(master) = &*MASTER else { return };
    let Ok(value) = open_record(master, &path(), VERSION, bytes) else { return };
    assert_eq!(value.expose(), b"a value", "a record that nobody sealed");
}

fn record_seeds() -> Vec<Vec<u8>> {
    let Some(master) = &*MASTER else { return Vec::new() };
    seal_record(master, &path(), VERSION, b"a value").into_iter().collect()
}

fn binding(path: &SecretPath) -> SealBinding<'_> {
    let (party, request) = (&[1; 16], &[2; 16]);
    SealBinding { purpose: SealPurpose::Delivery, party, path, version: VERSION, epoch: 4, request }
}

fn sealed(bytes: &[u8]) {
    let Some(pair) = &*PAIR else { return };
    let (encapsulated, ciphertext) = bytes.split_at(bytes.len().min(32));
    let sealed = Sealed { encapsulated: encapsulated.to_vec(), ciphertext: ciphertext.to_vec() };
    let path = path();
    let Ok(value) = open(pair, &binding(&path), &sealed) else { return };
    assert_eq!(value.expose(), b"a value", "a seal that nobody made");
}

fn sealed_seeds() -> Vec<Vec<u8>> {
    let Some(pair) = &*PAIR else { return Vec::new() };
    let path = path();
    let sealed = seal(pair.public(), &binding(&path), b"a value");
    sealed.into_iter().map(|sealed| [sealed.encapsulated, sealed.ciphertext].concat()).collect()
}

fn key_file(bytes: &[u8]) {
    let _ = MasterKey::parse(bytes);
}

fn key_file_seeds() -> Vec<Vec<u8>> {
    let zeros = "0".repeat(64);
    vec![
        format!("vigo-master-key 1 {} {zeros}\n", "0".repeat(32)).into_bytes(),
        b"vigo-master-key 2".to_vec(),
    ]
}

/// The first byte is the length of a value, the second that of a chunk; the rest is output with that value in it.
fn scrubber(bytes: &[u8]) {
    let Some(([length, chunk], rest)) = bytes.split_first_chunk::<2>() else { return };
    let (value, output) = rest.split_at(usize::from(*length).min(rest.len()));
    let output = [output, value, output].concat();
    let Ok(mut whole) = Scrubber::new([value]) else { return };
    let at_once = whole.scrub(&output);
    let (mut scrubber, mut pieces) = (Scrubber::new([value]).ok(), Vec::new());
    let Some(scrubber) = &mut scrubber else { return };
    for chunk in output.chunks(usize::from(*chunk).max(1)) {
        scrubber.feed(chunk, &mut pieces);
    }
    scrubber.finish(&mut pieces);
    assert_eq!(at_once, pieces, "the result depends on the chunks");
    if value.len() >= SHORTEST_SCRUBBED {
        let stays = at_once.windows(value.len()).any(|window| window == value);
        assert!(!stays, "the value stands in the result");
    } else {
        assert_eq!(at_once, output, "a value that is too short was looked for");
    }
}

fn scrubber_seeds() -> Vec<Vec<u8>> {
    vec![
        [&[8, 3][..], b"hunter22", b"password is hunter22, aHVudGVyMjI= 68756e7465723232"].concat(),
        [&[9, 1][..], b"abababab\n", b"ababababababab\nabab"].concat(),
        [&[3, 1][..], b"abc", b"abcabc"].concat(),
    ]
}
