//! What many tests start from.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;
use vigo_base::{AbsolutePath, Filter, Mode, Pieces, SecretPath, SecretVersion, Slot};
use vigo_hand::target::{Durability, Placement};
use vigo_hand::{
    Binding, FailureCode, Hand, HandError, KeyPurpose, Role, SealedItem, StartOptions, VaultRecord,
};
use vigo_sys::spawn::Spawner;

pub fn spawner() -> &'static Spawner {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    SPAWNER.get_or_init(|| Spawner::start().unwrap())
}

pub fn start(role: Role) -> Hand {
    Hand::start(spawner(), &StartOptions::new(role)).unwrap()
}

/// A node's hand that may write files, in a folder of its own.
pub fn node() -> (Hand, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let intents = Some(folder.path().join("intents"));
    let options = StartOptions { intents, salt_seed: Some([3; 32]), ..StartOptions::new(Role::Node) };
    (Hand::start(spawner(), &options).unwrap(), folder)
}

/// Puts a value into a node's hand, version 1.
pub fn hold(hand: &mut Hand, path: &str, value: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(value).unwrap();
    hand.take_from_file(&secret(path), file.path()).unwrap();
}

pub fn secret(path: &str) -> SecretPath {
    path.parse().unwrap()
}

/// Text in which `{path}` and `{path|filter|..}` are slots.
pub fn pieces(text: &str) -> Pieces {
    let mut pieces = Pieces::default();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (slot, behind) = behind.split_once('}').unwrap();
        let mut words = slot.split('|');
        let path = secret(words.next().unwrap());
        pieces.push_literal(before);
        pieces.push_slot(Slot { path, filters: words.map(|word| Filter::by_name(word).unwrap()).collect() });
        rest = behind;
    }
    pieces.push_literal(rest);
    pieces
}

pub fn absolute(path: &Path) -> AbsolutePath {
    path.to_str().unwrap().parse().unwrap()
}

pub fn placement(path: &Path) -> Placement {
    let (mode, durability) = (Mode::SECRET, Durability::Each);
    Placement {
        path: absolute(path),
        mode,
        owner: None,
        group: None,
        in_place: false,
        closed: false,
        durability,
    }
}

#[track_caller]
pub fn fails_with<T>(result: Result<T, HandError>, code: FailureCode, part: &str) {
    let error = result.err().expect("it should have failed");
    assert_eq!(error.code(), Some(code), "{error}");
    assert!(error.to_string().contains(part), "`{part}` is not in `{error}`");
}

/// A server with its keys, and an operator.
pub struct Server {
    pub hand: Hand,
    pub operator: Hand,
    pub folder: TempDir,
    pub entry: [u8; 32],
}

pub const REQUEST: [u8; 16] = [5; 16];

impl Server {
    pub fn new() -> Self {
        Self::with(&StartOptions::new(Role::Server))
    }

    pub fn with(options: &StartOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut hand = Hand::start(spawner(), options).unwrap();
        hand.create_master_key(&folder.path().join("master.key")).unwrap();
        let (entry, _) = hand.new_key(KeyPurpose::Entry).unwrap();
        let operator =
            Hand::start(spawner(), &StartOptions { role: Role::Operator, ..options.clone() }).unwrap();
        Self { hand, operator, folder, entry }
    }

    /// The way in: from a file through the operator's hand and the server's into a record.
    pub fn set(&mut self, path: &str, input: &File) -> VaultRecord {
        let (path, version) = (secret(path), SecretVersion(1));
        let (sealed, _) = self.operator.read_and_seal(input.as_fd(), false, &self.entry, &path).unwrap();
        let record = self.hand.put(&path, version, &sealed).unwrap();
        VaultRecord { path, version, record }
    }

    /// The way out: records into a node's hand.
    pub fn deliver(&mut self, records: &[VaultRecord], node: &mut Hand) {
        let key = node.one_time_key().unwrap();
        let items = self.reseal(records, &key);
        node.open(&BINDING, &items).unwrap();
    }

    pub fn reseal(&mut self, records: &[VaultRecord], key: &[u8; 32]) -> Vec<SealedItem> {
        self.hand.reseal(records, key, &BINDING).unwrap()
    }
}

pub const BINDING: Binding = Binding { party: [1; 16], epoch: 7, request: REQUEST };

/// A file with this content, open at its start.
pub fn file_with(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// Both ends of a pipe, reading end first.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}
