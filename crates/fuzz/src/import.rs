//! Files of other tools, as the hand of an operator reads them. Opened with an identity only: what a passphrase costs is no matter of bytes.

use crate::Target;
use std::path::Path;
use vigo_import::{Content, File, Format, Keys, age, ansible, trial};
use zeroize::Zeroizing;

pub const TARGETS: &[Target] = &[
    Target { name: "import_file", run: file, seeds: file_seeds },
    Target { name: "import_identities", run: identities, seeds: identity_seeds },
    Target { name: "import_ansible", run: vault, seeds: vault_seeds },
    Target { name: "import_yaml", run: yaml, seeds: yaml_seeds },
    Target { name: "import_json", run: json, seeds: json_seeds },
    Target { name: "import_env", run: env, seeds: env_seeds },
];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/fixtures");
    std::fs::read(folder.join(name)).unwrap_or_default()
}

/// Whatever it is: what opens was encrypted so, as everything is authenticated.
fn file(bytes: &[u8]) {
    let bytes = Zeroizing::new(bytes.to_vec());
    for format in [None, Some(Format::Age), Some(Format::Sops)] {
        let Ok(file) = File::read(bytes.clone(), format) else { continue };
        if file.needs().is_err() || file.kind() == vigo_import::Kind::Env {
            continue;
        }
        let keys = Keys { identities: age::identities(IDENTITY).unwrap_or_default(), ..Keys::default() };
        if let Ok(opened) = file.open(&keys, Content::Whole, &[]) {
            for named in opened.values {
                let known = KNOWN.iter().any(|known| named.value.as_slice() == known.as_bytes());
                assert!(known, "a value that nobody encrypted");
            }
        }
    }
}

/// That of the fixtures.
const IDENTITY: &[u8] = include_bytes!("../../import/tests/fixtures/identity.txt");
/// What the seeds hold.
const KNOWN: [&str; 6] =
    ["age keeps this value\n", "hunter22hunter22", "line one\nline two", "a \"quoted\" text", "alice", "bob"];

fn file_seeds() -> Vec<Vec<u8>> {
    let names =
        ["one.age", "armored.age", "two.age", "ssh.age", "sops-binary.json", "sops-regex.json", "sops.env"];
    names.into_iter().map(fixture).collect()
}

fn identities(bytes: &[u8]) {
    if let Ok(identities) = age::identities(bytes) {
        assert!(!identities.is_empty(), "no identity and no error");
    }
}

fn identity_seeds() -> Vec<Vec<u8>> {
    vec![IDENTITY.to_vec()]
}

fn vault(bytes: &[u8]) {
    let _ = ansible::Envelope::parse(bytes);
}

fn vault_seeds() -> Vec<Vec<u8>> {
    vec![fixture("label.vault"), fixture("whole.vault")]
}

fn yaml(bytes: &[u8]) {
    bounded(trial::yaml(bytes), bytes);
}

fn yaml_seeds() -> Vec<Vec<u8>> {
    vec![fixture("sops-regex.yaml"), fixture("inline.yaml"), b"a: [1, {b: c}]\nd: |\n  e\n".to_vec()]
}

fn json(bytes: &[u8]) {
    bounded(trial::json(bytes), bytes);
}

fn json_seeds() -> Vec<Vec<u8>> {
    vec![fixture("sops.json"), br#"{"a": [1.5e3, "\ud83d\ude00", null, true, {}], "b": {"c": ""}}"#.to_vec()]
}

fn env(bytes: &[u8]) {
    bounded(trial::env(bytes), bytes);
}

fn env_seeds() -> Vec<Vec<u8>> {
    vec![fixture("plain.env"), b"export A='b\nc' # d\r\nE=\"\\n\"".to_vec()]
}

/// No more values than there are bytes to write them with.
fn bounded(values: Option<usize>, bytes: &[u8]) {
    assert!(values.unwrap_or(0) <= bytes.len(), "values out of nothing");
}
