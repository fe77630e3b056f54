//! `vigocli secrets --vault DIR` with a real hand: what is stored, what is told apart, what a crash leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_types,
    missing_docs
)]

use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const VALUE: &str = "canary-7c3e9a1d5f2b8640";

struct Place {
    folder: TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn vault(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    fn secrets(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vigocli"))
            .args(["secrets", "--vault", self.vault().to_str().unwrap()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever does not read it has closed it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn set(&self, path: &str, value: &str) {
        let ran = self.secrets(&["set", path], value);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    fn get(&self, path: &str) -> Ran {
        self.secrets(&["get", path, "--stdout"], "")
    }

    /// Every file of the vault with its bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        walk(&self.vault(), &mut files);
        files
    }
}

fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
}

#[test]
fn a_vault_is_made_by_the_first_secret_and_gives_it_back() {
    let place = Place::new();
    let ran = place.secrets(&["set", "web/upstream-token"], VALUE);
    assert_eq!((ran.code, ran.out.as_str()), (0, "set web/upstream-token v1\n"), "{}", ran.err);
    assert_eq!(place.get("web/upstream-token").out, VALUE);
    place.set("web/upstream-token", "another one");
    assert_eq!(place.get("web/upstream-token").out, "another one");
    let list: Value = serde_json::from_str(&place.secrets(&["list", "--json"], "").out).unwrap();
    assert_eq!((&list["format"], &list["items"][0]["version"]), (&1.into(), &2.into()));
    let history = place.secrets(&["history", "web/upstream-token"], "").out;
    assert!(history.contains("current") && history.contains("kept"), "{history}");
}

#[test]
fn no_file_of_a_vault_holds_a_value_and_all_are_the_owners_alone() {
    let place = Place::new();
    place.set("web/upstream-token", VALUE);
    let files = place.files();
    assert!(files.len() >= 5, "{files:?}");
    let holds = |bytes: &[u8]| bytes.windows(16).any(|window| window == &VALUE.as_bytes()[..16]);
    assert!(holds(VALUE.as_bytes()), "the search must be able to find");
    for (path, bytes) in files {
        assert!(!holds(&bytes), "{path:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600, "{path:?}");
    }
    for folder in [place.vault(), place.vault().join("keys"), place.vault().join("secrets/web")] {
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o7777, 0o700);
    }
}

#[test]
fn a_rotated_value_is_of_the_length_and_letters_asked_for() {
    let place = Place::new();
    place.set("a", VALUE);
    let ran = place.secrets(&["rotate", "a", "--length", "40", "--alphabet", "xyz"], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, "rotated a v2\n"), "{}", ran.err);
    let value = place.get("a").out;
    assert_eq!(value.len(), 40);
    assert!(value.bytes().all(|byte| b"xyz".contains(&byte)));
}

#[test]
fn a_removed_secret_is_gone_with_its_records_and_its_numbers_are_not_used_again() {
    let place = Place::new();
    place.set("a", VALUE);
    place.set("b", VALUE);
    assert_eq!(place.secrets(&["rm", "a"], "").out, "removed a\n");
    assert!(!place.vault().join("secrets/a").exists());
    assert_eq!(place.get("a").code, 2);
    assert_eq!(place.secrets(&["rm", "a"], "").code, 2);
    assert_eq!(place.secrets(&["set", "a"], VALUE).out, "set a v2\n");
    assert_eq!(place.get("b").out, VALUE);
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_made() {
    let place = Place::new();
    for command in [&["list"][..], &["rm", "a"], &["rotate", "a"], &["get", "a", "--stdout"]] {
        let ran = place.secrets(command, "");
        assert_eq!(ran.code, 2, "{command:?}");
        assert!(ran.err.contains("there is none"), "{}", ran.err);
        assert!(!place.vault().exists(), "{command:?}");
    }
    fs::create_dir(place.vault()).unwrap();
    fs::set_permissions(place.vault(), Permissions::from_mode(0o700)).unwrap();
    fs::write(place.vault().join("letter"), "dear").unwrap();
    assert_eq!(place.secrets(&["set", "a"], VALUE).code, 2, "another folder is no vault");
    assert_eq!(fs::read_dir(place.vault()).unwrap().count(), 1);
}

#[test]
fn a_refused_value_leaves_the_vault_as_it_was() {
    let place = Place::new();
    place.set("a", VALUE);
    let before = place.files();
    for wrong in ["", "\n", &"x".repeat((64 << 10) + 1)] {
        assert_eq!(place.secrets(&["set", "a"], wrong).code, 2);
    }
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&before).len(), names(&place.files()).len());
    assert_eq!(place.get("a").out, VALUE);
}

#[test]
fn an_edited_vault_does_not_open() {
    let place = Place::new();
    place.set("a", VALUE);
    place.set("b", "other");
    let record = |path: &str| place.vault().join("secrets").join(path).join("@1.sealed");
    let edits: [(&str, PathBuf); 4] = [
        ("manifest", place.vault().join("manifest")),
        ("witness", place.vault().join("keys/witness")),
        ("record", record("a")),
        ("master key", place.vault().join("keys/master.key")),
    ];
    for (name, path) in edits {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] = if bad[at] == b'1' { b'2' } else { b'1' };
        fs::write(&path, &bad).unwrap();
        let ran = place.get("a");
        assert_ne!(ran.code, 0, "{name}");
        assert_eq!(ran.out, "", "{name}");
        fs::write(&path, &good).unwrap();
        assert_eq!(place.get("a").out, VALUE, "{name} was put back");
    }
    // A record in another's place.
    let (one, other) = (fs::read(record("a")).unwrap(), fs::read(record("b")).unwrap());
    fs::write(record("a"), &other).unwrap();
    assert!(place.get("a").err.contains("is not the record that was stored"));
    fs::write(record("a"), one).unwrap();
    well_made_edits_are_refused(&place);
    fs::remove_file(place.vault().join("manifest")).unwrap();
    assert_ne!(place.get("a").code, 0);
    assert_ne!(place.secrets(&["set", "c"], "x").code, 0, "a lost manifest is not taken for an empty vault");
    assert!(record("a").exists());
}

/// Edits by one who knows the format: counters, digests and records fit each other, and the MAC alone tells.
fn well_made_edits_are_refused(place: &Place) {
    let (manifest, witness) = (place.vault().join("manifest"), place.vault().join("keys/witness"));
    place.set("d", "old");
    let old_manifest = fs::read(&manifest).unwrap();
    place.set("d", VALUE);
    let (good_manifest, good_witness) = (fs::read(&manifest).unwrap(), fs::read(&witness).unwrap());
    let refused = |what: &str| {
        let ran = place.get("d");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{what}");
        assert!(ran.err.contains("was edited"), "{what}: {}", ran.err);
    };
    // One change newer than the witness, in which the older value is the current one.
    let newer = edited(&good_manifest, |body| {
        body["counter"] = (body["counter"].as_u64().unwrap() + 1).into();
        body["secrets"]["d"][0]["state"] = "current".into();
        body["secrets"]["d"][1]["state"] = "kept".into();
    });
    fs::write(&manifest, newer).unwrap();
    refused("a manifest");
    // An older manifest as it was, and a witness that has seen none newer.
    let older = edited(&good_witness, |body| {
        body["counter"] = (body["counter"].as_u64().unwrap() - 2).into();
    });
    fs::write(&manifest, old_manifest).unwrap();
    fs::write(&witness, older).unwrap();
    refused("a witness");
    fs::write(&manifest, good_manifest).unwrap();
    fs::write(&witness, good_witness).unwrap();
    assert_eq!(place.get("d").out, VALUE, "both were put back");
}

/// A text of a vault with another body and the MAC that it had.
fn edited(text: &[u8], edit: impl FnOnce(&mut Value)) -> String {
    let text = std::str::from_utf8(text).unwrap();
    let (body, mac) = text.split_once('\n').unwrap();
    let mut body: Value = serde_json::from_str(body).unwrap();
    edit(&mut body);
    format!("{body}\n{mac}")
}

#[test]
fn an_older_copy_of_the_records_is_a_rollback() {
    let place = Place::new();
    place.set("a", "first");
    let manifest = place.vault().join("manifest");
    let old = fs::read(&manifest).unwrap();
    place.set("a", VALUE);
    place.set("a", "third");
    fs::write(&manifest, old).unwrap();
    let ran = place.get("a");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("older copy was put back"), "{}", ran.err);
}

#[test]
fn what_a_crash_leaves_is_finished_or_cleared_away() {
    let place = Place::new();
    place.set("a", "first");
    let witness = place.vault().join("keys/witness");
    let before = fs::read(&witness).unwrap();
    place.set("a", VALUE);
    // Between the manifest and its witness.
    fs::write(&witness, before).unwrap();
    assert_eq!(place.get("a").out, VALUE, "to read it, nothing has to be finished");
    // Between a record and the manifest that would name it.
    let stray = place.vault().join("secrets/a/@3.sealed");
    fs::write(&stray, "interrupted").unwrap();
    fs::write(place.vault().join("secrets/a/.vigo-0011"), "candidate").unwrap();
    let ran = place.secrets(&["set", "a"], "third");
    assert_eq!((ran.code, ran.out.as_str()), (0, "set a v3\n"), "{}", ran.err);
    assert_eq!(place.get("a").out, "third");
    assert!(place.files().iter().all(|(path, _)| !path.to_string_lossy().contains(".vigo-")));
}

#[test]
fn a_vault_that_others_may_read_is_refused_with_the_command() {
    let place = Place::new();
    place.set("a", VALUE);
    for path in [place.vault(), place.vault().join("keys"), place.vault().join("manifest")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::set_permissions(&path, Permissions::from_mode(mode | 0o044)).unwrap();
        let ran = place.get("a");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{path:?}");
        assert!(ran.err.contains("chmod"), "{}", ran.err);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(place.get("a").out, VALUE);
}

#[test]
fn many_at_once_lose_nothing() {
    let place = Place::new();
    place.set("seed", VALUE);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let place = &place;
            scope.spawn(move || place.set(&format!("many/s{number}"), VALUE));
        }
    });
    let list: Value = serde_json::from_str(&place.secrets(&["list", "many/", "--json"], "").out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
}

#[test]
fn a_missing_secret_is_found_by_the_offline_check() {
    let place = Place::new();
    place.set("web/token", VALUE);
    let stacks = place.folder.path().join("stacks");
    fs::create_dir_all(stacks.join("configcrates")).unwrap();
    fs::write(stacks.join("envoys.vgo"), "envoys:\n  - match: \"*\"\n    configcrates: [site]\n").unwrap();
    let crate_with = |secret: &str| {
        format!(
            "configcrate: site\nresources:\n  - type: file\n    target_path: /tmp/vigo-none\n    content: \"secret:{secret}\"\n"
        )
    };
    for (secret, code) in [("web/token", 0), ("web/missing", 5)] {
        fs::write(stacks.join("configcrates/site.vgo"), crate_with(secret)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_vigocli"))
            .args(["config", "validate", "--stacks", stacks.to_str().unwrap()])
            .args(["--vault", place.vault().to_str().unwrap()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert_eq!(err.contains("web/missing"), code == 5, "{err}");
    }
}

const PHRASE: &str = "seven words that nobody else would take";

impl Place {
    /// A file with a passphrase in it.
    fn phrase(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn key_text(&self) -> String {
        fs::read_to_string(self.vault().join("keys/master.key")).unwrap()
    }

    /// Names of everything in the vault that belongs to a rekey which is not over.
    fn unfinished(&self) -> Vec<PathBuf> {
        let next = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "next");
        self.files().into_iter().map(|(path, _)| path).filter(next).collect()
    }
}

#[test]
fn a_rekey_changes_the_key_and_every_record_and_no_value() {
    let place = Place::new();
    for (path, value) in [("a", "first"), ("a", VALUE), ("web/b", "another"), ("gone", "x")] {
        place.set(path, value);
    }
    assert_eq!(place.secrets(&["rm", "gone"], "").code, 0);
    let (key, before) = (place.key_text(), place.files());
    let ran = place.secrets(&["rekey"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_ne!(place.key_text(), key);
    for (path, bytes) in place.files() {
        let same = before.iter().any(|(_, before)| *before == bytes);
        assert!(!same || path.ends_with("lock"), "{path:?} is as it was");
    }
    assert_eq!(place.files().len(), before.len());
    assert_eq!(place.get("a").out, VALUE);
    assert_eq!(place.get("web/b").out, "another");
    place.set("a", "third");
    let log = place.secrets(&["log"], "").out;
    assert!(log.contains("rekeyed"), "{log}");
}

#[test]
fn a_vault_under_a_passphrase_opens_with_it_and_with_no_other() {
    let place = Place::new();
    place.set("a", VALUE);
    let (right, wrong) = (place.phrase("right", PHRASE), place.phrase("wrong", "another passphrase"));
    let ran = place.secrets(&["rekey", "--to", "passphrase", "--new-passphrase-file", &right], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(place.key_text().starts_with("vigo-master-key-passphrase 1 "), "parameters stand with the vault");
    let ran = place.secrets(&["get", "a", "--stdout", "--passphrase-file", &right], "");
    assert_eq!(ran.out, VALUE, "{}", ran.err);
    let ran = place.secrets(&["get", "a", "--stdout", "--passphrase-file", &wrong], "");
    assert!(ran.code != 0 && ran.out.is_empty());
    assert!(ran.err.contains("passphrase is not the one"), "{}", ran.err);
    assert!(!ran.err.contains("another passphrase"), "{}", ran.err);
    for (_, bytes) in place.files() {
        assert!(!bytes.windows(PHRASE.len()).any(|part| part == PHRASE.as_bytes()));
    }
    // As the old key was kept, so is the new one, under a passphrase of its own; and back into a file.
    let new = place.phrase("new", "quite another passphrase\n");
    let words = ["rekey", "--passphrase-file", &right, "--new-passphrase-file", &new];
    assert_eq!(place.secrets(&words, "").code, 0);
    assert_eq!(place.secrets(&["get", "a", "--stdout", "--passphrase-file", &right], "").code, 2);
    assert_eq!(place.secrets(&["rekey", "--to", "file", "--passphrase-file", &new], "").code, 0);
    assert_eq!(place.get("a").out, VALUE);
}

#[test]
fn a_short_passphrase_is_refused_and_the_vault_is_as_it_was() {
    let place = Place::new();
    place.set("a", VALUE);
    let key = place.key_text();
    let short = place.phrase("short", "short\n");
    let ran = place.secrets(&["rekey", "--to", "passphrase", "--new-passphrase-file", &short], "");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("fewer than 12 bytes"), "{}", ran.err);
    assert_eq!((place.key_text(), place.get("a").out.as_str()), (key, VALUE));
    assert!(place.unfinished().is_empty());
}

#[test]
fn an_older_copy_is_accepted_on_purpose_only_and_that_is_noted() {
    let place = Place::new();
    place.set("a", "first");
    let ran = place.secrets(&["accept-rollback"], "");
    assert_ne!(ran.code, 0, "there is nothing to accept");
    let manifest = place.vault().join("manifest");
    let record = place.vault().join("secrets/a/@1.sealed");
    let old = [&manifest, &record].map(|path| fs::read(path).unwrap());
    place.set("a", "second");
    place.set("a", "third");
    fs::write(&manifest, &old[0]).unwrap();
    fs::write(&record, &old[1]).unwrap();
    let ran = place.get("a");
    assert!(ran.code != 0 && ran.err.contains("accept-rollback"), "{}", ran.err);
    let ran = place.secrets(&["accept-rollback"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(place.get("a").out, "first");
    let ran = place.secrets(&["set", "a"], "fourth");
    assert_eq!(ran.out, "set a v4\n", "v2 and v3 were given before: {}", ran.err);
    let log = place.secrets(&["log"], "").out;
    assert!(log.contains("older copy accepted: change 1, 3 was seen"), "{log}");
}

#[test]
fn an_older_copy_from_before_a_rekey_does_not_open() {
    let place = Place::new();
    place.set("a", VALUE);
    let manifest = place.vault().join("manifest");
    let old = fs::read(&manifest).unwrap();
    assert_eq!(place.secrets(&["rekey"], "").code, 0);
    fs::write(&manifest, old).unwrap();
    let ran = place.get("a");
    assert!(ran.code != 0 && ran.err.contains("another master key"), "{}", ran.err);
}

/// Runs a command of which the n-th call of a kind, in every thread, is a kill. Gives whether there was such a call.
fn killed_at(place: &Place, words: &[&str], call: &str, number: usize) -> bool {
    let trace = place.folder.path().join("trace");
    let vault = place.vault();
    let ended = Command::new("strace")
        .args(["-f", "-q", "-e", "signal=none", "-e", &format!("trace={call}"), "-o"])
        .arg(&trace)
        .arg(format!("--inject={call}:signal=KILL:when={number}"))
        .arg(env!("CARGO_BIN_EXE_vigocli"))
        .args(["secrets", "--vault", vault.to_str().unwrap()])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // A call that never came back.
    let text = fs::read_to_string(&trace).unwrap();
    let hit = text.contains("= ?") || text.contains("<unfinished");
    assert!(hit || ended.status.success(), "{call} {number}: {}", String::from_utf8_lossy(&ended.stderr));
    hit
}

#[test]
fn a_rekey_that_is_killed_at_any_step_leaves_a_vault_that_opens() {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_strace || !rustix::process::geteuid().is_root() {
        println!("nothing was killed: that takes strace(1), and root");
        return;
    }
    let mut kills = 0;
    for call in ["fsync", "rename", "unlink", "linkat", "mkdir", "write", "sendmsg"] {
        for number in 1.. {
            let place = Place::new();
            place.set("a", "first");
            place.set("a", VALUE);
            place.set("web/b", "another");
            if !killed_at(&place, &["rekey"], call, number) {
                break;
            }
            kills += 1;
            let step = format!("{call} {number}");
            for (path, value) in [("a", VALUE), ("web/b", "another")] {
                let ran = place.get(path);
                assert_eq!((ran.code, ran.out.as_str()), (0, value), "{step}: {}", ran.err);
            }
            place.set("web/b", "set after the kill");
            assert_eq!(place.unfinished(), Vec::<PathBuf>::new(), "{step}");
            assert_eq!(place.get("a").out, VALUE, "{step}");
            assert_eq!(place.secrets(&["rekey"], "").code, 0, "{step}");
            assert_eq!(place.get("web/b").out, "set after the kill", "{step}");
        }
    }
    assert!(kills > 15, "only {kills} steps were found");
}
