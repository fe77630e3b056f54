//! `secrets import` of files that the real tools wrote (`crates/import/tests/fixtures`): into a vault, and onto the way to a server.

use crate::harness::{Answer, Asked, Ran, run, text};
use crate::secrets::{opened_at, right_with};
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/fixtures");
    text(&folder.join(name)).to_owned()
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn vault(&self) -> PathBuf {
        self.0.path().join("vault")
    }

    fn secrets(&self, words: &[&str]) -> Ran {
        let vault = self.vault();
        let words = [&["secrets", "--vault", text(&vault)], words].concat();
        run(&words.into_iter().map(str::to_owned).collect::<Vec<_>>(), b"")
    }

    /// Imports a fixture with what opens it.
    fn import(&self, name: &str, words: &[&str]) -> Ran {
        let (file, identity, phrase) = (fixture(name), fixture("identity.txt"), fixture("phrase"));
        let keys = ["--identity-file", &identity, "--source-passphrase-file", &phrase];
        self.secrets(&[&["import", &file], keys.as_slice(), words].concat())
    }

    fn get(&self, path: &str) -> String {
        let ran = self.secrets(&["get", path, "--stdout"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_owned()
    }
}

#[test]
fn a_file_of_each_kind_becomes_secrets_of_a_vault() {
    let place = Place::new();
    for (name, words, path, value) in [
        ("one.age", &["--path", "age/one"][..], "age/one", "age keeps this value"),
        ("armored.age", &["--path", "age/exact", "--exact"], "age/exact", "age keeps this value\n"),
        ("env.age", &["--content", "env", "--prefix", "env/"], "env/API_TOKEN", "tok$en#1"),
        ("sops.yaml", &["--prefix", "yaml"], "yaml/db/users/1/key", "bob-key-2"),
        ("sops.json", &["--prefix", "json"], "json/db/port", "5432"),
        ("sops.env", &["--prefix", "dotenv"], "dotenv/CERT", "line one\nline two"),
        ("whole.vault", &["--content", "yaml", "--prefix", "whole"], "whole/db/password", "hunter22hunter22"),
        ("inline.yaml", &["--prefix", "inline"], "inline/nested/list/0", "7-otters-Kx9Qm"),
        ("plain.env", &["--prefix", "plain"], "plain/MULTI", "line one\nline two"),
    ] {
        let ran = place.import(name, words);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        assert!(!ran.out.contains(value) && !ran.err.contains(value), "{name}: {} {}", ran.out, ran.err);
        assert_eq!(place.get(path), value, "{name}");
        let is_clear = ran.err.contains("still holds the values in the clear");
        assert_eq!(is_clear, name == "plain.env", "{name}: {}", ran.err);
    }
    let listed = place.secrets(&["list", "whole/", "--json"]).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 11, "{listed}");
}

#[test]
fn what_is_there_already_is_replaced_only_if_that_is_said_and_else_nothing_is_set() {
    let place = Place::new();
    assert_eq!(place.import("plain.env", &["--only", "PLAIN"]).code, 0);
    let ran = place.import("plain.env", &[]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("`PLAIN` are there already, and nothing was set"), "{}", ran.err);
    assert_eq!(place.secrets(&["list", "--json"]).json()["items"].as_array().unwrap().len(), 1);
    let dry = place.import("plain.env", &["--replace", "--dry-run", "--json"]).json();
    assert_eq!((&dry["dry_run"], &dry["items"][2]["replaced"]), (&json!(true), &json!(true)), "{dry}");
    assert_eq!(dry["items"][0]["version"], json!(null));
    assert_eq!(place.secrets(&["list", "--json"]).json()["items"].as_array().unwrap().len(), 1);
    let all = place.import("plain.env", &["--replace", "--json"]).json();
    let versions: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| &item["version"]).collect();
    assert_eq!(versions, [1, 1, 2, 1]);
    assert_eq!(all["left_out"], json!([{"name": "EMPTY", "why": "empty"}]));
    // A dry run makes no vault either.
    let place = Place::new();
    assert_eq!(place.import("plain.env", &["--dry-run"]).code, 0);
    assert!(!place.vault().exists());
}

#[test]
fn names_that_are_no_paths_are_refused_or_renamed() {
    let place = Place::new();
    let env = place.write(".env", b"A=one value\nB-=another value\n");
    let ran = place.secrets(&["import", &env, "--prefix", "web"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("`B-` would be `web/B-`, which is no secret path"), "{}", ran.err);
    assert!(ran.err.contains("--rename NAME=PATH"), "{}", ran.err);
    assert!(!place.vault().exists(), "nothing was made");
    let ran = place.secrets(&["import", &env, "--prefix", "web", "--rename", "B-=web/b"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!((place.get("web/A").as_str(), place.get("web/b").as_str()), ("one value", "another value"));
}

#[test]
fn a_wrong_key_a_changed_file_and_one_that_asks_too_much_end_with_two_and_say_so() {
    let place = Place::new();
    let (one, other, wrong) =
        (fixture("one.age"), fixture("other.txt"), place.write("wrong", b"wrong phrase\n"));
    let changed = |name: &str, at: usize| {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        let at = bytes.len() - at;
        bytes[at] ^= 1;
        place.write(&format!("changed-{name}"), &bytes)
    };
    let cut = place.write("cut.age", &std::fs::read(&one).unwrap()[..200]);
    let twice = place.write("twice.env", b"A=1234567890\nA=1234567890\n");
    let huge = std::fs::read(fixture("passphrase.age")).unwrap();
    let at = huge.windows(4).position(|window| window == b" 18\n").unwrap();
    let huge = place.write("huge.age", &[&huge[..at], b" 30\n", &huge[at + 4..]].concat());
    let (identity, phrase) = (fixture("identity.txt"), fixture("phrase"));
    let (changed_age, changed_vault) = (changed("one.age", 3), changed("label.vault", 8));
    for (words, why) in [
        (&["import", &one, "--path", "a", "--identity-file", &other][..], "none of the identities given"),
        (&["import", &one, "--path", "a"], "without an age identity"),
        (&["import", &one, "--identity-file", &identity], "--path PATH"),
        (&["import", &changed_age, "--path", "a", "--identity-file", &identity], "changed or cut off"),
        (&["import", &cut, "--path", "a", "--identity-file", &identity], "changed or cut off"),
        (&["import", &huge, "--path", "a", "--source-passphrase-file", &phrase], "2^30 steps of scrypt"),
        (
            &["import", &fixture("label.vault"), "--path", "a", "--source-passphrase-file", &wrong],
            "the passphrase is another, or the file was changed",
        ),
        (
            &["import", &changed_vault, "--path", "a", "--source-passphrase-file", &phrase],
            "the passphrase is another, or the file was changed",
        ),
        (&["import", &fixture("sops-kms.yaml"), "--identity-file", &identity], "AWS KMS"),
        (&["import", &twice], "has `A` twice"),
        (&["import", &phrase], "cannot tell what kind of file this is"),
        (
            &["import", &fixture("sops.yaml"), "--identity-file", &identity, "--only", "nobody"],
            "cannot find `nobody`",
        ),
    ] {
        let ran = place.secrets(words);
        assert!(ran.code == 2 && ran.err.contains(why), "{words:?}: {} {}", ran.code, ran.err);
        assert!(!place.vault().exists(), "{words:?} made a vault");
    }
}

#[test]
fn every_value_is_sealed_before_the_first_is_sent_and_none_stands_in_what_is_sent() {
    let (server, entry) = right_with(|asked: &Asked| match asked.method.as_str() {
        "GET" => Answer::Json(200, json!({"format": 1, "items": [], "next": null})),
        _ => Answer::Json(200, json!({"format": 1, "path": "x", "version": 1})),
    });
    let ran = server.cli(&[
        "secrets",
        "import",
        &fixture("inline.yaml"),
        "--prefix",
        "web",
        "--source-passphrase-file",
        &fixture("phrase"),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let asked = server.asked();
    let put: Vec<&Asked> = asked.iter().filter(|asked| asked.method == "PUT").collect();
    let paths: Vec<&str> = put.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/api/v1/secrets/web%2Fpassword?new=true", "/api/v1/secrets/web%2Fnested%2Flist%2F0?new=true"]
    );
    assert_eq!(opened_at(put[0], &entry, "web/password"), b"hunter22hunter22");
    assert_eq!(opened_at(put[1], &entry, "web/nested/list/0"), b"7-otters-Kx9Qm");
    for value in ["hunter22hunter22", "7-otters-Kx9Qm", "correct horse"] {
        let found = |text: &[u8]| text.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(asked.iter().all(|asked| !found(&asked.body) && !found(asked.path.as_bytes())));
        assert!(!found(ran.out.as_bytes()) && !found(ran.err.as_bytes()));
    }
}

#[test]
fn a_server_that_has_one_of_the_secrets_gets_none_and_one_that_breaks_off_is_told_of() {
    let there = |asked: &Asked| match asked.method.as_str() {
        "GET" if asked.path.ends_with("API_TOKEN") => {
            Answer::Json(200, json!({"format": 1, "items": [{"path": "API_TOKEN"}], "next": null}))
        }
        "GET" => Answer::Json(200, json!({"format": 1, "items": [{"path": "PLAIN/other"}], "next": null})),
        _ if asked.path.contains("PLAIN") => Answer::Problem(409, json!({"detail": "it is there already"})),
        _ => Answer::Json(200, json!({"format": 1, "path": "x", "version": 4})),
    };
    let (server, _) = right_with(there);
    let ran = server.cli(&["secrets", "import", &fixture("plain.env")]);
    assert!(ran.code == 2 && ran.err.contains("`API_TOKEN` are there already"), "{}", ran.err);
    assert!(server.asked().iter().all(|asked| asked.method != "PUT"));
    let (server, _) = right_with(there);
    let ran = server.cli(&["secrets", "import", &fixture("plain.env"), "--replace"]);
    assert!(
        ran.code == 1 && ran.err.contains("2 of 4 secrets were set: DB_PASSWORD, API_TOKEN"),
        "{}",
        ran.err
    );
    assert!(server.asked().iter().any(|asked| asked.path.ends_with("API_TOKEN")), "a new version of it");
}
