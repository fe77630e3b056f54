//! Files that the real tools wrote (`tests/fixtures/make.sh`), as they are, changed, cut off, and with other keys.

use super::*;

const PHRASE: &[u8] = b"correct horse battery";

fn fixture(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(path).unwrap()
}

fn identity(name: &str) -> Keys {
    Keys { identities: age::identities(&fixture(name)).unwrap(), ..Keys::default() }
}

fn phrase(phrase: &[u8]) -> Keys {
    Keys { passphrase: Some(Zeroizing::new(phrase.to_vec())), memory: 32 << 20, ..Keys::default() }
}

fn keys(needs: Needs) -> Keys {
    match needs {
        Needs::Nothing => Keys::default(),
        Needs::Identity => identity("identity.txt"),
        Needs::Passphrase => phrase(PHRASE),
    }
}

fn open_bytes(bytes: &[u8], keys: &Keys, content: Content, only: &[&str]) -> Result<Opened, ImportError> {
    let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
    let file = File::read(Zeroizing::new(bytes.to_vec()), None)?;
    file.needs()?;
    file.open(keys, content, &only)
}

/// Names and values, and the names of what was left out.
type Shown = (Vec<(String, String)>, Vec<(String, LeftOut)>);

fn shown(opened: Opened) -> Shown {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    (
        opened.values.iter().map(|named| (named.key.join("/"), text(&named.value))).collect(),
        opened.left_out.iter().map(|(key, why)| (key.join("/"), *why)).collect(),
    )
}

fn open(name: &str, content: Content) -> Shown {
    let bytes = fixture(name);
    let needs = File::read(Zeroizing::new(bytes.clone()), None).unwrap().needs().unwrap();
    shown(open_bytes(&bytes, &keys(needs), content, &[]).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn refused(bytes: &[u8], keys: &Keys) -> String {
    match open_bytes(bytes, keys, Content::Whole, &[]) {
        Ok(opened) => panic!("{:?}", shown(opened)),
        Err(error) => error.to_string(),
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The tree that `make.sh` encrypts.
const TREE: [(&str, &str); 12] = [
    ("db/password", "hunter22hunter22"),
    ("db/port", "5432"),
    ("db/ratio", "0.25"),
    ("db/on", "true"),
    ("db/users/0/name", "alice"),
    ("db/users/0/key", "alice-key-1"),
    ("db/users/1/name", "bob"),
    ("db/users/1/key", "bob-key-2"),
    ("web/cert", "-----BEGIN-----\nabc\n-----END-----\n"),
    ("web/since", "2026-01-02"),
    ("last", "äöü"),
    ("", ""),
];

fn tree() -> Vec<(String, String)> {
    pairs(&TREE[..11])
}

#[test]
fn age_files_open_with_the_identity_that_they_were_encrypted_to() {
    for name in ["one.age", "armored.age", "two.age"] {
        assert_eq!(open(name, Content::Whole).0, pairs(&[("", "age keeps this value\n")]), "{name}");
    }
}

#[test]
fn a_large_age_file_of_several_chunks_opens_whole() {
    let bytes = fixture("large.age");
    let plain = age::open(&bytes, &identity("identity.txt")).unwrap();
    assert!(plain.len() > 2 * (64 << 10) && plain.starts_with(b"KEY_0000=value number 0 of many\n"));
    // Cut off behind a whole chunk, it ends too early.
    for cut in [1, 17, plain.len() % (64 << 10) + 16, plain.len()] {
        let error = refused(&bytes[..bytes.len() - cut], &identity("identity.txt"));
        assert!(error.contains("changed or cut off"), "{cut}: {error}");
    }
    // More values than are taken.
    let error = open_bytes(&bytes, &identity("identity.txt"), Content::Env, &[]).err().unwrap();
    assert_eq!(error, ImportError::Limit { what: "values", most: VALUES });
}

#[test]
fn age_files_open_with_the_passphrase_that_age_asked_for() {
    // 2^18 steps take a while: the right one of one file and the wrong one of the other.
    assert_eq!(open("passphrase.age", Content::Whole).0, pairs(&[("", "age keeps this value\n")]));
    let error = refused(&fixture("passphrase-armored.age"), &phrase(b"another"));
    assert!(error.contains("the passphrase is another"), "{error}");
}

#[test]
fn an_age_file_can_hold_several_values_if_that_is_said() {
    let wanted = pairs(&[
        ("DB_PASSWORD", "p4ss word"),
        ("API_TOKEN", "tok$en#1"),
        ("PLAIN", "unquoted value"),
        ("MULTI", "line one\nline two"),
    ]);
    assert_eq!(open("env.age", Content::Env), (wanted.clone(), vec![("EMPTY".into(), LeftOut::Empty)]));
    assert_eq!(open("plain.env", Content::Whole).0, wanted, "the same file in the clear");
}

#[test]
fn age_files_say_why_they_do_not_open() {
    let (one, mine) = (fixture("one.age"), identity("identity.txt"));
    for (wrong, keys, why) in [
        (one.clone(), identity("other.txt"), "none of the identities given"),
        (one.clone(), Keys::default(), "--identity-file"),
        (fixture("passphrase.age"), Keys::default(), "without its passphrase"),
        (fixture("ssh.age"), identity("identity.txt"), "encrypted to ssh-ed25519"),
        (fixture("empty.age"), identity("identity.txt"), "no value that is a secret"),
        (one[..60].to_vec(), identity("identity.txt"), "cut off"),
        (fixture("armored.age")[..200].to_vec(), identity("identity.txt"), "armor is damaged or cut off"),
    ] {
        let error = refused(&wrong, &keys);
        assert!(error.contains(why), "{why}: {error}");
    }
    let huge =
        String::from_utf8_lossy(&fixture("passphrase.age")[..90]).replace(" 18\n", " 63\n").into_bytes();
    let huge = [&huge, &fixture("passphrase.age")[90..]].concat();
    let started = std::time::Instant::now();
    assert!(refused(&huge, &phrase(PHRASE)).contains("2^63 steps of scrypt"), "a huge work factor");
    assert!(started.elapsed().as_secs() < 2, "nothing was computed");
    for place in 0..one.len() {
        let mut changed = one.clone();
        changed[place] ^= 1;
        let opened = File::read(Zeroizing::new(changed), Some(Format::Age))
            .and_then(|file| file.open(&mine, Content::Whole, &[]));
        assert!(opened.is_err(), "byte {place} was changed");
    }
}

#[test]
fn an_identity_file_is_read_strictly() {
    let right = String::from_utf8(fixture("identity.txt")).unwrap();
    assert_eq!(age::identities(right.as_bytes()).map(|list| list.len()), Ok(1));
    let key = right.lines().find(|line| !line.starts_with('#')).unwrap();
    let changed = [&key[..20], if &key[20..21] == "Q" { "P" } else { "Q" }, &key[21..]].concat();
    for (wrong, why) in [
        (changed.as_str(), "checksum does not fit (line 1)"),
        (&key[..70], "wrong length"),
        ("# nothing\n", "there is none"),
        ("\nage1xyz", "no line `AGE-SECRET-KEY-1..` (line 2)"),
        ("AGE-SECRET-KEY-PQ-1AAAA", "not X25519"),
        ("age-encryption.org/v1\n-> X", "itself encrypted"),
    ] {
        let error = age::identities(wrong.as_bytes()).err().unwrap().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert!(!error.contains(&key[20..]), "the identity is in no message");
    }
}

#[test]
fn sops_files_of_every_store_open() {
    let left_out = [("db/nothing".to_owned(), LeftOut::Empty), ("db/empty".to_owned(), LeftOut::Empty)];
    let mut wanted = tree();
    // sops reads a day as a moment.
    wanted[9].1 = "2026-01-02T00:00:00Z".into();
    assert_eq!(open("sops.yaml", Content::Whole), (wanted, left_out.to_vec()));
    let json = pairs(&[
        ("db/password", "hunter22hunter22"),
        ("db/port", "5432"),
        ("db/ratio", "0.25"),
        ("db/on", "true"),
        ("db/users/0", "alice"),
        ("db/users/1/name", "bob"),
        ("last", "äöü <&> \"q\" 😀"),
    ]);
    assert_eq!(open("sops.json", Content::Whole), (json, left_out.to_vec()));
    let env = pairs(&[
        ("DB_PASSWORD", "hunter22hunter22"),
        ("CERT", "line one\nline two"),
        ("NOTE", "a \"quoted\" text"),
    ]);
    assert_eq!(open("sops.env", Content::Whole), (env, vec![("EMPTY".into(), LeftOut::Empty)]));
    assert_eq!(open("sops-binary.json", Content::Whole).0, pairs(&[("data", "age keeps this value\n")]));
}

#[test]
fn what_a_sops_file_has_in_the_clear_is_authenticated_and_left_out() {
    let secret = ["db/password", "db/users/0/key", "db/users/1/key", "web/cert"];
    for name in ["sops-regex.yaml", "sops-mac-only.yaml"] {
        let (values, left_out) = open(name, Content::Whole);
        assert_eq!(values.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), secret, "{name}");
        assert!(left_out.contains(&("db/port".into(), LeftOut::Clear)), "{left_out:?}");
    }
    let (values, left_out) = open("sops-suffix.yaml", Content::Whole);
    assert!(values.len() == 10 && left_out.contains(&("db/port".into(), LeftOut::Clear)));
    let (values, left_out) = open("sops-regex.json", Content::Whole);
    assert_eq!(values.len(), 3);
    assert!(left_out.contains(&("db/ratio".into(), LeftOut::Clear)), "{left_out:?}");

    let mine = identity("identity.txt");
    let change = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8(fixture(name)).unwrap();
        assert!(text.contains(from), "{name}");
        refused(text.replacen(from, to, 1).as_bytes(), &mine)
    };
    assert!(change("sops-regex.yaml", "port: 5432", "port: 5433").contains("changed or cut off"));
    // A value cannot be added, taken out or moved.
    assert!(change("sops.yaml", "nothing: null", "nothing: planted").contains("changed or cut off"));
    assert!(change("sops.json", "\"password\"", "\"passw0rd\"").contains("moved to another place"));
    assert!(change("sops.env", "DB_PASSWORD", "DB_PASSWORT").contains("moved to another place"));
    assert!(change("sops.yaml", "lastmodified: \"2", "lastmodified: \"1").contains("changed or cut off"));
    let text = String::from_utf8(fixture("sops-mac-only.yaml")).unwrap();
    let start = text.find("    password: ENC").unwrap();
    let end = start + text[start..].find('\n').unwrap();
    let without = [&text[..start], "    password: planted", &text[end..]].concat();
    assert!(refused(without.as_bytes(), &mine).contains("changed or cut off"));
}

#[test]
fn sops_files_under_other_keys_say_which() {
    let mine = identity("identity.txt");
    assert!(refused(&fixture("sops-kms.yaml"), &mine).contains("its data key is under AWS KMS"));
    assert!(refused(&fixture("sops-shamir.yaml"), &mine).contains("several key groups"));
    assert!(refused(&fixture("sops.yaml"), &identity("other.txt")).contains("none of the identities given"));
    assert!(refused(&fixture("sops.yaml"), &Keys::default()).contains("--identity-file"));
    for name in ["sops.yaml", "sops.json", "sops.env"] {
        let text = fixture(name);
        // Whatever is lost at the end: sops itself stands there.
        for length in [text.len() / 4, text.len() / 2, text.len() - 200] {
            let opened = open_bytes(&text[..length], &mine, Content::Whole, &[]);
            assert!(opened.is_err(), "{name} of {length} bytes");
        }
    }
}

#[test]
fn ansible_vault_files_and_values_open() {
    let left_out = [("db/nothing".to_owned(), LeftOut::Empty), ("db/empty".to_owned(), LeftOut::Empty)];
    assert_eq!(open("whole.vault", Content::Yaml), (tree(), left_out.to_vec()));
    assert_eq!(open("label.vault", Content::Whole).0, pairs(&[("", "age keeps this value\n")]));
    let values = pairs(&[("password", "hunter22hunter22"), ("nested/list/0", "7-otters-Kx9Qm")]);
    assert_eq!(open("inline.yaml", Content::Whole), (values, vec![("user".into(), LeftOut::Clear)]));
    let error = refused(&fixture("inline.yaml"), &phrase(b"another"));
    assert!(error.contains("passphrase is another, or the file was changed (`password`)"), "{error}");
    let error = refused(&fixture("label.vault"), &phrase(b"another"));
    assert!(error.ends_with("(`dev`)"), "{error}");
}

#[test]
fn a_vault_that_was_changed_cut_off_or_is_of_another_kind_does_not_open() {
    let text = String::from_utf8(fixture("label.vault")).unwrap();
    for (from, to, why) in [
        (";1.2;", ";1.0;", "version other than"),
        ("AES256", "AES", "cipher other than AES256"),
        (&text[60..62], "zz", "damaged or cut off"),
        (&text[text.len() - 40..], "", "damaged or cut off"),
    ] {
        let error = refused(text.replacen(from, to, 1).as_bytes(), &phrase(PHRASE));
        assert!(error.contains(why), "{why}: {error}");
    }
    let digits = text.find('\n').unwrap() + 1;
    for place in [digits + 1, digits + 150, text.len() - 3] {
        let mut changed = text.clone().into_bytes();
        changed[place] = if changed[place] == b'3' { b'4' } else { b'3' };
        assert!(open_bytes(&changed, &phrase(PHRASE), Content::Whole, &[]).is_err(), "{place}");
    }
}

#[test]
fn only_what_is_named_is_taken() {
    let keys = identity("identity.txt");
    let only = |names: &[&str]| open_bytes(&fixture("sops.yaml"), &keys, Content::Whole, names).map(shown);
    let names = |names: &[&str]| -> Vec<String> {
        only(names).unwrap_or_else(|error| panic!("{error}")).0.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&["last", "db/users/1"]), ["db/users/1/name", "db/users/1/key", "last"]);
    assert_eq!(only(&["db/pass"]).err(), Some(ImportError::NoSuchKey("db/pass".into())));
    // A value under another passphrase is not tried when it is not wanted.
    let text = String::from_utf8(fixture("inline.yaml")).unwrap().replacen("33", "44", 1);
    let opened = open_bytes(text.as_bytes(), &phrase(PHRASE), Content::Whole, &["nested"]).map(shown);
    assert_eq!(opened.unwrap_or_else(|error| panic!("{error}")).0.len(), 1);
}

fn tried(text: &str, content: Content) -> Result<Shown, ImportError> {
    let leaves = inside(&Zeroizing::new(text.as_bytes().to_vec()), content)?;
    Ok(shown(sort(select(leaves, &[])?, |leaf| Ok(leaf.text))?))
}

#[test]
fn names_that_stand_twice_are_refused_in_every_content() {
    for (text, content, key) in [
        ("A=1\nB=2\nA=3\n", Content::Env, "A"),
        ("{\"a\": {\"b\": 1, \"b\": 2}}", Content::Json, "a/b"),
        ("a:\n  b: 1\n  b: 2\n", Content::Yaml, "a/b"),
        ("a/b: 1\na:\n  b: 2\n", Content::Yaml, "a/b"),
    ] {
        assert_eq!(tried(text, content).err(), Some(ImportError::Duplicate { key: key.into() }), "{text}");
    }
}

#[test]
fn what_is_nested_too_deeply_aliased_or_no_mapping_is_refused_with_its_line() {
    let deep = "a: ".to_owned() + &"[".repeat(40) + &"]".repeat(40);
    for (text, content, why) in [
        ("a: &x 1\nb: *x\n", Content::Yaml, "an alias"),
        ("a: 1\n---\nb: 2\n", Content::Yaml, "a second document"),
        ("<<: {a: 1}\n", Content::Yaml, "`<<`"),
        ("a: !secret x\n", Content::Yaml, "this tag is not known here (line 1)"),
        ("a: !vault x\n", Content::Yaml, "encrypted once more"),
        ("just a text", Content::Yaml, "it is no mapping"),
        ("- a\n", Content::Yaml, "it is no mapping"),
        ("? [a]\n: b\n", Content::Yaml, "a name that is a map or a list"),
        ("a: \"b", Content::Yaml, "it is no YAML"),
        (&deep, Content::Yaml, ""),
        (&deep.replacen("a: ", "{\"a\": ", 1), Content::Json, "16 levels"),
        ("[1]", Content::Json, "it is no object"),
        ("{\"a\": 01}", Content::Json, "no value"),
        ("{\"a\": \"\\ud800\"}", Content::Json, "half of a character"),
        ("{\"a\": \"\n\"}", Content::Json, "control character"),
        ("{\"a\": 1} x", Content::Json, "something behind its end (line 1)"),
        ("A=1\nB C\n", Content::Env, "no `NAME=value` (line 2)"),
        ("A=\"1\n2\n", Content::Env, "a quote that does not end (line 1)"),
        ("A='1' 2\n", Content::Env, "behind the closing quote"),
        ("c2VjcmV0c2VjcmV0==\n", Content::Env, "no name has a value"),
        ("", Content::Env, "no name has a value"),
    ] {
        let error = tried(text, content).err().unwrap_or_else(|| panic!("{text}")).to_string();
        assert!(error.contains(why), "{text}: {error}");
        assert!(!error.contains("c2Vj"), "{error}");
    }
}

#[test]
fn env_files_are_read_as_they_are_written() {
    let text = "\u{feff}# c\n\n A = 1 \nexport B='$x `y` # \"'# c\nC=\"a\\tb\\\\\\\"\\q\" # c\r\nD=x#y #z\nE=#\nF=a=b\nG=\"1\n2\"\nH=7";
    let (values, left_out) = tried(text, Content::Env).unwrap_or_else(|error| panic!("{error}"));
    let wanted = pairs(&[
        ("A", "1"),
        ("B", "$x `y` # \""),
        ("C", "a\tb\\\"\\q"),
        ("D", "x#y"),
        ("F", "a=b"),
        ("G", "1\n2"),
        ("H", "7"),
    ]);
    assert_eq!((values, left_out), (wanted, vec![("E".into(), LeftOut::Empty)]));
}

#[test]
fn scalars_of_yaml_are_taken_as_they_are_written() {
    let text = "a: 0600\nb: 1_000\nc: yes\nd: !!str 12\ne: \"\\u00e4\\n\"\nf: ~\ng: >-\n  x\n  y\n1: n\n";
    let (values, left_out) = tried(text, Content::Yaml).unwrap_or_else(|error| panic!("{error}"));
    let wanted =
        [("a", "0600"), ("b", "1_000"), ("c", "yes"), ("d", "12"), ("e", "ä\n"), ("g", "x y"), ("1", "n")];
    assert_eq!((values, left_out), (pairs(&wanted), vec![("f".into(), LeftOut::Empty)]));
}

#[test]
fn what_is_none_of_these_files_is_not_guessed_at() {
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (b"\xff\xfe\x00", "it is no text"),
        (b"-----BEGIN PRIVATE KEY-----\nMIIB\n", "none of the kinds"),
        (b"{\"a\": 1}", "none of the kinds"),
        (b"hunter22", "none of the kinds"),
        (b"a: b\n", "none of the kinds"),
    ] {
        let error = File::read(Zeroizing::new(bytes.to_vec()), None).err().unwrap().to_string();
        assert!(error.contains(why) && error.contains("--format"), "{error}");
    }
    let too_long = File::read(Zeroizing::new(vec![b'a'; FILE + 1]), None).err();
    assert_eq!(too_long, Some(ImportError::Limit { what: "bytes in a file", most: FILE }));
}
