//! The master key: kept in other ways, replaced by another, exported and imported; and a store that was put back.

use crate::support::{Candidate, Envoy, Vigosrv, tree_with_secret};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use vigo_wire::inner::Ask;

const CANARY: &[u8] = b"canary-5d6c7b8a9e0f";
const PHRASE: &str = "seven words that nobody else would take";

/// `vigosrv` that does something else than serve, on the folder of that home.
fn offline(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigosrv"));
    command.env_clear().arg("--data-dir").arg(home.join("srv")).args(words);
    command.stdin(Stdio::null()).output().unwrap()
}

fn done(home: &Path, words: &[&str]) {
    let output = offline(home, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn refused(home: &Path, words: &[&str], part: &str) {
    let output = offline(home, words);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(part), "{words:?}: {text}");
}

/// What a server does not start with.
fn does_not_start(home: &Path, part: &str) {
    let mut command = Command::new("timeout");
    let server = Vigosrv::command(home);
    command.env_clear().arg("60").arg(server.get_program()).args(server.get_args());
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(part), "{text}");
}

fn file(home: &Path, name: &str, content: &str) -> String {
    let path = home.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().into()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The store of a copy, in the place of the one that is there.
fn put_back(copy: &Path, data: &Path) {
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        let _not_there = fs::remove_file(data.join(name));
        if copy.join(name).exists() {
            fs::copy(copy.join(name), data.join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn after_a_rekey_everything_under_the_old_key_is_under_the_new_one() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"an older one").await.ok();
    admin.set_secret("web/token", CANARY).await.ok();
    admin.publish(tree_with_secret()).await;
    let mut before = Envoy::enrolled(&server, "web-1").await;
    let body = json!({ "match": ["*"], "ttl_seconds": 3600, "uses": 1, "labels": {}, "replace": false });
    let token = admin.post("/api/v1/tokens", &body).await.ok()["token"].as_str().unwrap().to_owned();
    let (home, data) = (server.keep_home(), server.data());
    refused(home.path(), &["rekey"], "another vigosrv uses it");
    server.stop();
    let key = fs::read(data.join("keys/master.key")).unwrap();
    done(home.path(), &["rekey"]);
    assert_ne!(fs::read(data.join("keys/master.key")).unwrap(), key);
    assert!(!data.join("keys/master.key.next").exists() && !data.join("keys/witness.next").exists());

    let server = Vigosrv::on(home);
    before.reconnect(&server);
    before.check_in().await;
    let items = before.secrets(&["web/token"]).await;
    assert_eq!(items, [("web/token".into(), 2, Ok(CANARY.to_vec()))], "an envoy that was enrolled before");
    let mut after = Candidate::new(&token, "web-2").enrol(&server).await;
    after.check_in().await;
    assert_eq!(after.secrets(&["web/token"]).await[0].2, Ok(CANARY.to_vec()), "by a token made before");
    let audit = server.admin().audit().await;
    assert!(audit.contains(&"vigosrv master-key.rekey  allowed".to_owned()), "{audit:?}");
    assert_eq!(server.admin().get("/api/v1/audit/verify").await.ok()["intact"], true);
    // The old key is good for nothing any more.
    let home = server.keep_home();
    server.stop();
    fs::write(data.join("keys/master.key"), key).unwrap();
    does_not_start(home.path(), "not the one that it is under");
}

#[tokio::test]
async fn a_key_under_a_passphrase_is_opened_with_it_and_with_no_other() {
    let home = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let right = file(home.path(), "right", PHRASE);
    let wrong = file(home.path(), "wrong", "another passphrase");
    let words = ["--master-key", "passphrase", "--passphrase-file", &right];
    let server = Vigosrv::on(std::sync::Arc::clone(&home));
    server.admin().set_secret("web/token", CANARY).await.ok();
    let data = server.data();
    server.stop();
    done(home.path(), &[words.as_slice(), &["rekey"]].concat());
    let text = fs::read_to_string(data.join("keys/master.key")).unwrap();
    assert!(text.starts_with("vigo-master-key-passphrase 1 "));
    does_not_start(home.path(), "--passphrase-file");
    let mut command = Vigosrv::command(home.path());
    let output = command.args(["--passphrase-file", &wrong]).stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("passphrase is not the one"), "{text}");
    // And back.
    done(home.path(), &["--passphrase-file", &right, "--master-key", "file", "rekey"]);
    let server = Vigosrv::on(home);
    assert_eq!(server.admin().get("/api/v1/secrets").await.ok()["items"][0]["path"], "web/token");
}

#[test]
fn a_key_that_is_a_systemd_credential_is_in_no_file_of_the_server() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("credentials");
    fs::create_dir(&folder).unwrap();
    let credential = |name: &str| {
        let made = offline(home.path(), &["key", "new"]);
        assert!(made.status.success());
        let path = folder.join(name);
        fs::write(&path, made.stdout).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    };
    let with = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigosrv"));
        command
            .env_clear()
            .env("CREDENTIALS_DIRECTORY", &folder)
            .arg("--data-dir")
            .arg(home.path().join("srv"));
        command.args(["--master-key", "credential"]).args(words).stdin(Stdio::null()).output().unwrap()
    };
    // A store that is founded with a key in a file.
    let server = Vigosrv::on(std::sync::Arc::new(tempfile::tempdir_in(home.path()).unwrap()));
    let data = server.data();
    let kept = server.keep_home();
    server.stop();
    fs::rename(&data, home.path().join("srv")).unwrap();
    let text = String::from_utf8(with(&["rekey"]).stderr).unwrap();
    assert!(text.contains("systemd-creds encrypt --name=vigo-master-key"), "{text}");
    credential("vigo-master-key");
    assert!(with(&["rekey"]).status.success());
    let keys = home.path().join("srv/keys");
    assert!(!keys.join("master.key").exists() && !keys.join("master.key.next").exists());
    does_not_start(home.path(), "put it back");
    // The next one, which then takes the place of the first.
    assert!(!with(&["rekey"]).status.success());
    credential("vigo-master-key-next");
    assert!(with(&["rekey"]).status.success());
    fs::rename(folder.join("vigo-master-key-next"), folder.join("vigo-master-key")).unwrap();
    let phrase = file(home.path(), "phrase", PHRASE);
    let exported = home.path().join("exported");
    let words = ["key", "export", exported.to_str().unwrap(), "--new-passphrase-file", &phrase];
    assert!(with(&words).status.success());
    drop(kept);
}

#[tokio::test]
async fn an_older_store_is_not_served_until_it_is_accepted() {
    let server = Vigosrv::new();
    server.admin().set_secret("web/token", b"one").await.ok();
    let home = server.keep_home();
    let data = server.data();
    server.stop();
    let backup = home.path().join("backup");
    copy(&data, &backup);
    refused(home.path(), &["accept-rollback"], "the one that was written last");

    let server = Vigosrv::on(std::sync::Arc::clone(&home));
    server.admin().set_secret("web/token", b"two").await.ok();
    // No orderly end: the change itself is what is remembered.
    let server = server.killed_and_restarted();
    server.stop();
    put_back(&backup, &data);
    does_not_start(home.path(), "an older copy was put back");
    does_not_start(home.path(), "vigosrv accept-rollback");
    refused(home.path(), &["rekey"], "an older copy was put back");
    put_back(&home.path().join("nothing"), &data);
    does_not_start(home.path(), "an older copy was put back");
    put_back(&backup, &data);
    done(home.path(), &["accept-rollback"]);

    let server = Vigosrv::on(home);
    let status = server.admin().get("/api/v1/status").await.ok();
    assert_eq!(status["term"], 2, "envoys take what it says over what they had");
    let audit = server.admin().audit().await;
    assert!(audit.contains(&"vigosrv store.rollback-accepted  allowed".to_owned()), "{audit:?}");
}

#[tokio::test]
async fn a_store_with_another_past_and_one_without_a_witness_are_not_served() {
    let server = Vigosrv::new();
    let (home, data) = (server.keep_home(), server.data());
    server.stop();
    let backup = home.path().join("backup");
    copy(&data, &backup);
    for value in [b"one".as_slice(), b"two"] {
        let server = Vigosrv::on(std::sync::Arc::clone(&home));
        server.admin().set_secret(if value == b"one" { "a" } else { "b" }, value).await.ok();
        server.admin().set_secret("c", value).await.ok();
        server.stop();
        if value == b"one" {
            fs::copy(data.join("keys/witness"), home.path().join("witness")).unwrap();
            put_back(&backup, &data);
            done(home.path(), &["accept-rollback"]);
        }
    }
    let own = fs::read(data.join("keys/witness")).unwrap();
    fs::copy(home.path().join("witness"), data.join("keys/witness")).unwrap();
    does_not_start(home.path(), "another copy was put back");
    fs::remove_file(data.join("keys/witness")).unwrap();
    does_not_start(home.path(), "witness");
    let mut forged = own.clone();
    forged[16] ^= 1;
    fs::write(data.join("keys/witness"), forged).unwrap();
    does_not_start(home.path(), "witness");
    fs::write(data.join("keys/witness"), own).unwrap();
    Vigosrv::on(home).stop();
}

#[tokio::test]
async fn an_exported_key_opens_a_restored_store_on_another_machine() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", CANARY).await.ok();
    admin.publish(tree_with_secret()).await;
    let (home, data) = (server.keep_home(), server.data());
    let (_, log) = server.stop();
    assert!(log.contains("vigosrv key export"), "a server whose key was not exported says so: {log}");
    let phrase = file(home.path(), "phrase", PHRASE);
    let exported = home.path().join("exported");
    let name = exported.to_str().unwrap();
    done(home.path(), &["key", "export", name, "--new-passphrase-file", &phrase]);
    refused(home.path(), &["key", "export", name, "--new-passphrase-file", &phrase], "is there already");
    let (_, log) = Vigosrv::on(std::sync::Arc::clone(&home)).stop();
    assert!(!log.contains("key export"), "{log}");

    // A backup leaves `keys` out.
    let other = std::sync::Arc::new(tempfile::tempdir().unwrap());
    copy(&data, &other.path().join("srv"));
    fs::set_permissions(other.path().join("srv"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    does_not_start(other.path(), "vigosrv key import");
    let wrong = file(other.path(), "wrong", "quite another one");
    refused(other.path(), &["key", "import", name, "--export-passphrase-file", &wrong], "passphrase");
    done(other.path(), &["key", "import", name, "--export-passphrase-file", &phrase]);
    let server = Vigosrv::on(other);
    assert_eq!(server.admin().get("/api/v1/status").await.ok()["term"], 2);
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    envoy.check_in().await;
    assert_eq!(envoy.secrets(&["web/token"]).await[0].2, Ok(CANARY.to_vec()));
    let asked = envoy.secret_request(&["web/token"]);
    let _answered = envoy.ask(Ask::Secrets(asked)).await;
}

/// What lies where a key may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    Nothing,
    /// The key that the store is under.
    Right,
    Another,
}

/// Puts it there, opens the store with it, and gives what lies in the two files afterwards.
fn left_of(home: &Path, keeping: &str, lies: [Lies; 3], texts: [&[u8]; 2]) -> Vec<Lies> {
    let credentials = home.join("credentials");
    let keys = home.join("srv/keys");
    let paths = [keys.join("master.key"), keys.join("master.key.next"), credentials.join("vigo-master-key")];
    for (path, lies) in paths.iter().zip(lies) {
        let _not_there = fs::remove_file(path);
        let text = match lies {
            Lies::Nothing => continue,
            Lies::Right => texts[0],
            Lies::Another => texts[1],
        };
        fs::write(path, text).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigosrv"));
    command.env_clear().env("CREDENTIALS_DIRECTORY", &credentials);
    command.arg("--data-dir").arg(home.join("srv")).args(["--master-key", keeping, "accept-rollback"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is the one that was written last"), "{keeping} {lies:?}: {text}");
    let said = text.contains("WARN") && text.contains("master.key");
    let after: Vec<Lies> = paths[..2]
        .iter()
        .map(|path| match fs::read(path) {
            Ok(text) if text == texts[0] => Lies::Right,
            Ok(_) => Lies::Another,
            Err(_) => Lies::Nothing,
        })
        .collect();
    let spare = after[1] != Lies::Nothing
        || (after[0] != Lies::Nothing && lies[2] == Lies::Right && keeping == "credential");
    assert!(said || !spare, "{keeping} {lies:?}: nothing was said of what is left over: {text}");
    after
}

#[test]
fn no_start_takes_away_the_last_copy_of_a_key() {
    use Lies::{Another, Nothing, Right};
    let server = Vigosrv::new();
    let (home, data) = (server.keep_home(), server.data());
    server.stop();
    let right = fs::read(data.join("keys/master.key")).unwrap();
    let another = offline(home.path(), &["key", "new"]).stdout;
    fs::create_dir(home.path().join("credentials")).unwrap();
    let all = [Nothing, Right, Another];
    for keeping in ["file", "passphrase", "credential", "transit"] {
        for file in all {
            for next in all {
                for credential in [Nothing, Right] {
                    let lies = [file, next, credential];
                    if !lies.contains(&Right) {
                        continue;
                    }
                    let after = left_of(home.path(), keeping, lies, [&right, &another]);
                    let by_credential =
                        credential == Right && (keeping == "credential" || !lies[..2].contains(&Right));
                    let expected = match (by_credential, file, next) {
                        // A change to a credential that was killed before its last step ends here.
                        (true, Another, next) if keeping == "credential" => [Nothing, next],
                        (true, file, next) => [file, next],
                        // A change of the file that was killed before its last step ends here.
                        (false, Nothing | Another, Right) => [Right, Nothing],
                        (false, file, next) => [file, next],
                    };
                    assert_eq!(after, expected, "{keeping} {lies:?}");
                }
            }
        }
    }
}

fn killed_at(home: &Path, call: &str, number: usize) -> bool {
    let trace = home.join("trace");
    let ended = Command::new("strace")
        .args(["-f", "-q", "-e", "signal=none", "-e", &format!("trace={call}"), "-o"])
        .arg(&trace)
        .arg(format!("--inject={call}:signal=KILL:when={number}"))
        .arg(env!("CARGO_BIN_EXE_vigosrv"))
        .arg("--data-dir")
        .arg(home.join("srv"))
        .arg("rekey")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // A call that never came back.
    let text = fs::read_to_string(&trace).unwrap();
    let hit = text.contains("= ?") || text.contains("<unfinished");
    assert!(hit || ended.status.success(), "{call} {number}: {}", String::from_utf8_lossy(&ended.stderr));
    hit
}

#[tokio::test]
async fn a_rekey_of_the_server_that_is_killed_at_any_step_leaves_one_that_starts() {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_strace || !rustix::process::geteuid().is_root() {
        println!("nothing was killed: that takes strace(1), and root");
        return;
    }
    let mut server = Vigosrv::new();
    let home = server.keep_home();
    server.admin().set_secret("web/token", CANARY).await.ok();
    server.admin().publish(tree_with_secret()).await;
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let keys: PathBuf = server.data().join("keys");
    let mut kills = 0;
    for call in ["fsync", "rename", "unlink", "linkat", "pwrite64", "fdatasync"] {
        for number in 1.. {
            server.stop();
            let hit = killed_at(home.path(), call, number);
            server = Vigosrv::on(std::sync::Arc::clone(&home));
            envoy.reconnect(&server);
            envoy.forget_session();
            envoy.check_in().await;
            let items = envoy.secrets(&["web/token"]).await;
            assert_eq!(items[0].2, Ok(CANARY.to_vec()), "{call} {number}");
            let left = |name: &str| keys.join(name).exists();
            assert!(!left("witness.next"), "{call} {number}");
            if !hit {
                // What those before it left, too: no start takes a key away, and a change of the key does.
                assert!(!left("master.key.next"), "{call} {number}");
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 8, "only {kills} steps were found");
}
