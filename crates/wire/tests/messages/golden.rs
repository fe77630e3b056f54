//! The bytes of every message, as they were when it was released: numbers are never used twice and encodings never change.
//!
//! `UPDATE=1` writes new files; a changed one is a broken promise unless nothing was released with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use crate::samples;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_message_is_encoded_as_it_always_was() {
    let folder = golden();
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for sample in samples::all() {
        assert!(sample.is_stable, "`{}` does not decode to what was encoded", sample.name);
        let file = folder.join(format!("{}.hex", sample.name));
        let text = lines_of_hex(&sample.bytes);
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, text).unwrap();
        } else if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            wrong.push(sample.name);
        }
    }
    assert!(wrong.is_empty(), "changed, or new without a golden file (UPDATE=1 writes it): {wrong:?}");
}

#[test]
fn every_golden_file_has_its_sample() {
    let names: BTreeSet<String> =
        samples::all().iter().map(|sample| format!("{}.hex", sample.name)).collect();
    for entry in fs::read_dir(golden()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name), "`{name}` stays until the message is gone for good: keep its sample");
    }
}

#[test]
fn every_field_of_every_message_stands_in_a_golden_file() {
    let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for sample in samples::all() {
        let message = sample.name.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        seen.entry(message).or_default().extend(fields_in(&sample.bytes));
    }
    let declared = declared_messages();
    assert!(declared.len() > 40, "the messages in the source were not found");
    for (message, fields) in &declared {
        let shown = seen.get(message).unwrap_or_else(|| panic!("`{message}` has no golden file"));
        assert_eq!(
            shown, fields,
            "fields of `{message}` in its golden files (left) and in the source (right)"
        );
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn lines_of_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| vigo_base::encode_hex(line) + "\n").collect()
}

/// Field numbers at the top level of an encoded message (protobuf wire format).
fn fields_in(mut bytes: &[u8]) -> BTreeSet<u64> {
    let mut fields = BTreeSet::new();
    while !bytes.is_empty() {
        let tag = prost::encoding::decode_varint(&mut bytes).unwrap();
        fields.insert(tag >> 3);
        let skipped = match tag & 7 {
            0 => prost::encoding::decode_varint(&mut bytes).map(|_| 0).unwrap(),
            1 => 8,
            2 => usize::try_from(prost::encoding::decode_varint(&mut bytes).unwrap()).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        bytes = &bytes[skipped..];
    }
    fields
}

/// `module.Message` and its field numbers, from the source.
fn declared_messages() -> BTreeMap<String, BTreeSet<u64>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut messages = BTreeMap::new();
    for file in ["assignment.rs", "bundle.rs", "control.rs", "hand.rs", "inner.rs", "node.rs", "outer.rs"] {
        read_messages(&source.join(file), file.trim_end_matches(".rs"), &mut messages);
    }
    for folder in ["enrol", "worker"] {
        read_messages(&source.join(folder).join("message.rs"), folder, &mut messages);
    }
    let known = ["assignment", "bundle", "control", "enrol", "hand", "inner", "node", "outer", "worker"];
    for entry in fs::read_dir(&source).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        let text = fs::read_to_string(source.join(&name)).unwrap_or_default();
        assert!(!text.contains("prost::Message)") || known.contains(&module), "`{name}` has messages, too");
    }
    messages
}

fn read_messages(file: &Path, module: &str, messages: &mut BTreeMap<String, BTreeSet<u64>>) {
    let text = fs::read_to_string(file).unwrap();
    let mut is_message = false;
    let mut current = None;
    for line in text.lines() {
        if line.starts_with("#[derive(") {
            is_message = line.contains("prost::Message)");
        } else if let Some(rest) = line.strip_prefix("pub struct ").filter(|_| is_message) {
            let name = format!("{module}.{}", rest.split([' ', '{']).next().unwrap());
            messages.insert(name.clone(), BTreeSet::new());
            current = Some(name).filter(|_| !rest.ends_with("{}"));
        } else if line == "}" {
            current = None;
        } else if let Some(name) = &current {
            let numbers = line.split_once("tag = \"").or_else(|| line.split_once("tags = \""));
            for number in numbers.iter().flat_map(|(_, rest)| rest.split('"').next().unwrap().split(',')) {
                messages.get_mut(name).unwrap().insert(number.trim().parse().unwrap());
            }
        }
    }
}
