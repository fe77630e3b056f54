//! Values: in, kept, out; the vault; the server's keys.

use crate::Test;
use crate::parts::{
    BINDING, Server, fails_with, file_with, hold, node, pieces, pipe, secret, spawner, start,
};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use vigo_base::SecretVersion;
use vigo_hand::{
    Binding, FailureCode, Hand, KeyPurpose, MacLabel, ReadNote, Role, StartOptions, VaultRecord, WrapLabel,
};
use vigo_wire::sign::{SignContext, verify};

pub const TESTS: &[Test] = &[
    ("values::a_value_goes_from_the_operator_through_the_server_to_the_node", whole_way),
    ("values::a_batch_is_opened_as_a_whole_or_not_at_all", all_or_none),
    ("values::a_one_time_key_is_good_for_one_batch", one_time),
    ("values::an_operator_gets_a_value_shown", shown),
    ("values::one_final_newline_is_dropped_unless_exact", newline),
    ("values::empty_and_long_values_are_refused", refused),
    ("values::a_vault_without_a_server_works_for_operator_and_node", vault_folder),
    ("values::a_master_key_is_never_written_over_and_must_be_private", master_key),
    ("values::keys_of_the_server_sign_their_contexts_only", signing),
    ("values::what_is_sealed_to_an_older_entry_key_still_opens", entry_keys),
    ("values::wrapping_is_for_the_servers_own_keys", wrapping),
    ("values::generated_values_are_what_was_asked_for", generated),
    ("values::values_come_from_the_environment", environment),
    ("values::forgotten_values_are_gone", forgotten),
    ("values::a_full_arena_drops_what_the_run_has_not_used_and_then_says_so", full),
    ("values::output_is_scrubbed_against_what_is_held", scrubbed),
];

fn whole_way() {
    let mut server = Server::new();
    let (mut node, _folder) = node();
    let records: Vec<VaultRecord> = (0..20)
        .map(|n| server.set(&format!("a/{n}"), &file_with(format!("a value {n}\n").as_bytes())))
        .collect();
    server.deliver(&records, &mut node);
    assert_eq!(node.held().unwrap().len(), 20);
    assert_eq!(node.status().unwrap().values, 20);
    assert_eq!(node.scrub(b"[a value 1] [a value 13]").unwrap(), "[‹secret›] [‹secret›]".as_bytes());
    // A path or a version that is not the record's own.
    let mut wrong = records[0].clone();
    wrong.version = SecretVersion(2);
    fails_with(server.hand.reseal(&[wrong], &[9; 32], &BINDING), FailureCode::Machine, "a/0");
    let mut wrong = records[0].clone();
    wrong.path = records[1].path.clone();
    fails_with(server.hand.reseal(&[wrong], &[9; 32], &BINDING), FailureCode::Machine, "a/1");
}

fn all_or_none() {
    let mut server = Server::new();
    let mut node = start(Role::Node);
    let records: Vec<VaultRecord> =
        (0..3).map(|n| server.set(&format!("a/{n}"), &file_with(b"some value"))).collect();
    for spoil in 0..6 {
        let key = node.one_time_key().unwrap();
        let mut items = server.reseal(&records, &key);
        let mut binding = BINDING;
        match spoil {
            0 => items[2].sealed.ciphertext[3] ^= 1,
            1 => items.swap(0, 1),
            2 => binding.epoch += 1,
            3 => binding.party[0] ^= 1,
            4 => items[1].version = SecretVersion(items[1].version.0 + 1),
            _ => binding.request[0] ^= 1,
        }
        if spoil == 1 {
            // The same values under one another's names.
            let path = items[0].path.clone();
            items[0].path = items[1].path.clone();
            items[1].path = path;
        }
        fails_with(node.open(&binding, &items), FailureCode::Sealed, "cannot open a sealed value");
        assert!(node.held().unwrap().is_empty(), "{spoil}");
    }
}

fn one_time() {
    let mut server = Server::new();
    let mut node = start(Role::Node);
    let records = [server.set("a", &file_with(b"some value"))];
    let key = node.one_time_key().unwrap();
    let items = server.reseal(&records, &key);
    node.open(&BINDING, &items).unwrap();
    fails_with(node.open(&BINDING, &items), FailureCode::Bug, "one-time key");
    // A new key does not open what was sealed to the old one, and is spent by that.
    assert_ne!(node.one_time_key().unwrap(), key);
    fails_with(node.open(&BINDING, &items), FailureCode::Sealed, "(`a`)");
    fails_with(node.open(&BINDING, &items), FailureCode::Bug, "one-time key");
}

fn shown() {
    let mut server = Server::new();
    let record = server.set("a", &file_with(b"line\nline\n"));
    let key = server.operator.one_time_key().unwrap();
    let binding = Binding { party: Binding::OPERATOR, epoch: 0, request: [2; 16] };
    let items = server.hand.reseal(&[record], &key, &binding).unwrap();
    let (mut reader, writer) = pipe();
    server.operator.show(writer.as_fd(), &binding, &items[0]).unwrap();
    drop(writer);
    assert_eq!(read_all(&mut reader), b"line\nline\n");
}

fn read_all(reader: &mut std::os::fd::OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::from(reader.try_clone().unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// What a record holds, through a node's hand and a command.
fn value_of(record: &VaultRecord, key_file: &std::path::Path) -> Vec<u8> {
    let mut operator = start(Role::Operator);
    operator.unlock_vault(key_file).unwrap();
    let (mut reader, writer) = pipe();
    operator.show_record(writer.as_fd(), record).unwrap();
    drop(writer);
    read_all(&mut reader)
}

fn newline() {
    let mut operator = start(Role::Operator);
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    operator.create_master_key(&key_file).unwrap();
    let cases: [(&[u8], bool, &[u8], bool); 6] = [
        (b"value\n", false, b"value", true),
        (b"value\n", true, b"value\n", false),
        (b"value", false, b"value", false),
        (b"one\ntwo\n", false, b"one\ntwo\n", false),
        (b"value\n\n", false, b"value\n\n", false),
        (b"long enough\n", false, b"long enough", true),
    ];
    for (input, exact, kept, dropped_newline) in cases {
        let (path, version) = (secret("a"), SecretVersion(1));
        let (record, note) =
            operator.read_into_record(file_with(input).as_fd(), exact, &path, version).unwrap();
        assert_eq!(note, ReadNote { dropped_newline, short: kept.len() < 8 });
        assert_eq!(value_of(&VaultRecord { path, version, record }, &key_file), kept);
    }
}

fn refused() {
    let mut server = Server::new();
    let mut read = |input: &[u8]| {
        let (path, entry) = (secret("a"), server.entry);
        server.operator.read_and_seal(file_with(input).as_fd(), false, &entry, &path).map(|_| ())
    };
    fails_with(read(b""), FailureCode::Input, "empty");
    fails_with(read(b"\n"), FailureCode::Input, "empty");
    fails_with(read(&[b'x'; 65_537]), FailureCode::Input, "65536");
    fails_with(read(&[b'x'; 200_000]), FailureCode::Input, "65536");
    read(&[b'x'; 65_536]).unwrap();
    let full_line = [&[b'x'; 65_536][..], b"\n"].concat();
    read(&full_line).unwrap();
}

fn vault_folder() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    let mut operator = start(Role::Operator);
    let (path, version) = (secret("web/token"), SecretVersion(4));
    fails_with(
        operator.read_into_record(file_with(b"x").as_fd(), false, &path, version),
        FailureCode::Locked,
        "unlocked",
    );
    let id = operator.create_master_key(&key_file).unwrap();
    let (record, _) =
        operator.read_into_record(file_with(b"a long value").as_fd(), false, &path, version).unwrap();
    let record = VaultRecord { path: path.clone(), version, record };
    let (mut node, _folder) = node();
    fails_with(node.open_record(&record), FailureCode::Locked, "unlocked");
    assert_eq!(node.unlock_vault(&key_file).unwrap(), id);
    node.open_record(&record).unwrap();
    assert_eq!(node.held().unwrap(), [(path, version)]);
    assert_eq!(node.scrub(b"a long value").unwrap(), "‹secret›".as_bytes());
    let manifest = operator.mac(MacLabel::VaultManifest, b"list").unwrap();
    assert_eq!(node.mac(MacLabel::VaultManifest, b"list").unwrap(), manifest);
}

fn master_key() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    let mut hand = start(Role::Server);
    let id = hand.create_master_key(&key_file).unwrap();
    let mode = |mode| std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o7777, 0o600);
    fails_with(hand.create_master_key(&key_file), FailureCode::KeyFile, "no key is ever written over");
    assert_eq!(hand.unlock_vault(&key_file).unwrap(), id);
    mode(0o640);
    fails_with(hand.unlock_vault(&key_file), FailureCode::KeyFile, "chmod 600");
    mode(0o600);
    let text = std::fs::read_to_string(&key_file).unwrap();
    std::fs::write(&key_file, &text[..text.len() / 2]).unwrap();
    fails_with(hand.unlock_vault(&key_file), FailureCode::KeyFile, "hexadecimal");
    fails_with(hand.unlock_vault(&folder.path().join("none")), FailureCode::KeyFile, "No such file");
    fails_with(hand.unlock_vault(folder.path()), FailureCode::KeyFile, "not a file");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn signing() {
    let mut server = Server::new();
    let (message, hand) = (b"message".as_slice(), &mut server.hand);
    let audit = SignContext::AuditHead;
    fails_with(hand.sign(KeyPurpose::Anchor, audit, message), FailureCode::Locked, "key is loaded");
    let (anchor, wrapped) = hand.new_key(KeyPurpose::Anchor).unwrap();
    let (bundle, _) = hand.new_key(KeyPurpose::Bundle).unwrap();
    let signature = hand.sign(KeyPurpose::Anchor, audit, message).unwrap();
    verify(audit, &anchor, message, &signature).unwrap();
    verify(SignContext::KeyCertificate, &anchor, message, &signature).unwrap_err();
    let signature = hand.sign(KeyPurpose::Bundle, SignContext::Assignment, message).unwrap();
    verify(SignContext::Assignment, &bundle, message, &signature).unwrap();
    fails_with(hand.sign(KeyPurpose::Bundle, audit, message), FailureCode::Bug, "of that purpose");
    fails_with(
        hand.sign(KeyPurpose::Anchor, SignContext::Assignment, message),
        FailureCode::Bug,
        "of that purpose",
    );
    fails_with(
        hand.sign(KeyPurpose::Anchor, SignContext::EnrolRequest, message),
        FailureCode::Bug,
        "identity",
    );
    fails_with(
        hand.sign(KeyPurpose::Anchor, SignContext::TransportCertificate, message),
        FailureCode::Bug,
        "DER",
    );

    let mut again = start(Role::Server);
    fails_with(again.load_key(KeyPurpose::Anchor, &wrapped), FailureCode::Locked, "unlocked");
    again.unlock_vault(&server.folder.path().join("master.key")).unwrap();
    assert_eq!(again.load_key(KeyPurpose::Anchor, &wrapped).unwrap(), anchor);
    fails_with(again.load_key(KeyPurpose::Bundle, &wrapped), FailureCode::Machine, "cannot unwrap");
    let signature = again.sign(KeyPurpose::Anchor, audit, message).unwrap();
    verify(audit, &anchor, message, &signature).unwrap();
}

fn entry_keys() {
    let mut server = Server::new();
    let (path, version) = (secret("a"), SecretVersion(1));
    let first = server.entry;
    let (sealed, _) =
        server.operator.read_and_seal(file_with(b"value").as_fd(), false, &first, &path).unwrap();
    for _ in 0..3 {
        server.hand.new_key(KeyPurpose::Entry).unwrap();
        server.hand.put(&path, version, &sealed).unwrap();
    }
    server.hand.new_key(KeyPurpose::Entry).unwrap();
    fails_with(server.hand.put(&path, version, &sealed), FailureCode::Sealed, "(`a`)");
    fails_with(server.hand.put(&secret("b"), version, &sealed), FailureCode::Sealed, "(`b`)");
}

fn wrapping() {
    let mut server = Server::new();
    let hand = &mut server.hand;
    let (_, wrapped_key) = hand.new_key(KeyPurpose::Anchor).unwrap();
    let wrapped = hand.wrap(WrapLabel::SessionKey, b"session key").unwrap();
    assert_eq!(hand.unwrap(WrapLabel::SessionKey, &wrapped).unwrap(), b"session key");
    fails_with(hand.unwrap(WrapLabel::TlsKey, &wrapped), FailureCode::Machine, "cannot unwrap");
    fails_with(hand.unwrap(WrapLabel::AnchorKey, &wrapped_key), FailureCode::Bug, "for that purpose");
    fails_with(hand.wrap(WrapLabel::EntryKey, b"x"), FailureCode::Bug, "for that purpose");
}

fn generated() {
    let mut server = Server::new();
    let key_file = server.folder.path().join("master.key");
    let (path, version) = (secret("a"), SecretVersion(1));
    let record = server.hand.generate(&path, version, 40, Some("01")).unwrap();
    let value = value_of(&VaultRecord { path: path.clone(), version, record }, &key_file);
    assert_eq!(value.len(), 40);
    assert!(value.iter().all(|byte| b"01".contains(byte)));
    let record = server.hand.generate(&path, version, 24, None).unwrap();
    let value = value_of(&VaultRecord { path: path.clone(), version, record }, &key_file);
    assert!(value.len() == 24 && value.iter().all(u8::is_ascii_alphanumeric));
    fails_with(server.hand.generate(&path, version, 0, None), FailureCode::Input, "length");
    fails_with(server.hand.generate(&path, version, 9, Some("aa")), FailureCode::Input, "twice");
}

fn environment() {
    let mut node = start(Role::Node);
    // PATH is in every environment that cargo gives to a test.
    let value = std::env::var("PATH").unwrap();
    assert!(node.take_from_environment(&secret("a"), "PATH").unwrap());
    assert!(!node.take_from_environment(&secret("b"), "VIGO_SECRET_that_nobody_sets").unwrap());
    assert_eq!(node.scrub(format!("[{value}]").as_bytes()).unwrap(), "[‹secret›]".as_bytes());
    assert_eq!(node.held().unwrap(), [(secret("a"), SecretVersion(1))]);
}

fn forgotten() {
    let mut node = start(Role::Node);
    for path in ["a", "b", "c"] {
        hold(&mut node, path, b"value of all");
    }
    node.forget(&[secret("a"), secret("c"), secret("none")]).unwrap();
    assert_eq!(node.held().unwrap(), [(secret("b"), SecretVersion(1))]);
}

fn full() {
    let options = StartOptions { arena_max: 2 << 20, ..StartOptions::new(Role::Node) };
    let mut hand = Hand::start(spawner(), &options).unwrap();
    let value = vec![b'x'; 65_536];
    let mut path = 0;
    let mut fill = |hand: &mut Hand| {
        for _ in 0..100 {
            path += 1;
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &value).unwrap();
            hand.take_from_file(&secret(&format!("a{path}")), file.path())?;
        }
        Ok::<(), vigo_hand::HandError>(())
    };
    fails_with(fill(&mut hand), FailureCode::Room, "are free");
    let held = hand.held().unwrap().len();
    assert!(held > 3, "{held}");
    fails_with(fill(&mut hand), FailureCode::Room, "arena_max");
    assert_eq!(hand.held().unwrap().len(), held, "what this run has used is kept");
    hand.new_run().unwrap();
    // What is asked for stays, however little room there is; what else is not used goes.
    let nowhere = "/nonexistent/file".parse().unwrap();
    hand.compare(&nowhere, &pieces("{a1}"), "r").unwrap();
    assert_eq!(hand.held().unwrap(), [(secret("a1"), SecretVersion(1))]);
    hand.new_run().unwrap();

    let _ = fill(&mut hand);
    hand.new_run().unwrap();
    hold(&mut hand, "new", b"another value");
    assert_eq!(hand.held().unwrap(), [(secret("new"), SecretVersion(1))]);
    // A frame for which there is no room is thrown away, and the next one is answered.
    fails_with(hand.scrub(&vec![b'x'; 1_000_000]), FailureCode::Room, "protected memory");
    assert_eq!(hand.scrub(b"another value").unwrap(), "‹secret›".as_bytes());
}

fn scrubbed() {
    let mut node = start(Role::Node);
    hold(&mut node, "a", b"p@ss w'rd/1");
    hold(&mut node, "short", b"true");
    let text = "true p@ss w'rd/1 cEBzcyB3J3JkLzE= 7040737320772772642f31 p%40ss%20w%27rd%2F1 p@ss w'\\''rd/1";
    let expected = "true ‹secret› ‹secret›= ‹secret› ‹secret› ‹secret›";
    assert_eq!(String::from_utf8(node.scrub(text.as_bytes()).unwrap()).unwrap(), expected);
}
