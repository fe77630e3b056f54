//! First start, restart, and starts that must not happen.

use crate::support::{Vigosrv, plain_tree, tree_with_secret};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

#[tokio::test]
async fn the_first_start_makes_a_folder_for_one_and_a_token_for_this_start() {
    let server = Vigosrv::new();
    let mode = |name: &str| server.data().join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("keys"), 0o700);
    assert_eq!(mode("keys/master.key"), 0o600);
    assert_eq!(mode("admin.token"), 0o600);
    let status = server.admin().get("/api/v1/status").await.ok();
    assert_eq!(status["format"], 1);
    assert_eq!(status["term"], 1);
    assert!(status["publish"].is_null());
    assert_eq!(server.admin().audit().await, ["vigosrv deployment.found  allowed"]);

    let before = std::fs::read(server.data().join("admin.token")).unwrap();
    let (data, authority) = (server.data(), server.authority.clone());
    let server = server.restarted();
    assert_ne!(std::fs::read(data.join("admin.token")).unwrap(), before);
    assert_eq!(server.authority, authority);
    let old = server.with_token(std::str::from_utf8(&before).unwrap());
    assert_eq!(old.get("/api/v1/status").await.code(), "not-logged-in");
}

#[tokio::test]
async fn the_token_is_gone_after_an_orderly_end() {
    let server = Vigosrv::new();
    let (data, home) = (server.data(), server.keep_home());
    let token = std::fs::read_to_string(data.join("admin.token")).unwrap();
    let (status, log) = server.stop();
    assert!(status.success());
    assert!(!data.join("admin.token").exists());
    assert!(data.join("ca.pem").exists());
    assert!(!log.contains(token.trim()), "the token stands in the log");
    drop(home);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"hello").await.ok();
    admin.publish(tree_with_secret()).await;
    admin.publish(plain_tree("two")).await;
    let before = admin.get("/api/v1/status").await.ok();
    let server = server.killed_and_restarted();
    let admin = server.admin();
    let after = admin.get("/api/v1/status").await.ok();
    assert_eq!(after["publish"], before["publish"]);
    assert_eq!(after["publish"]["version"], 2);
    assert_eq!(after["anchor"], before["anchor"]);
    assert_eq!(after["term"], before["term"]);
    let secrets = admin.get("/api/v1/secrets").await.ok();
    assert_eq!(secrets["items"][0]["path"], "web/token");
    let verdict = admin.get("/api/v1/audit/verify").await.ok();
    assert_eq!(verdict["intact"], true);
}

fn fails(command: &mut std::process::Command) -> (i32, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code().unwrap(), text)
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let server = Vigosrv::new();
    let (code, text) = fails(&mut Vigosrv::command(server.home()));
    assert_eq!(code, 1);
    assert!(text.contains("another vigosrv uses it"), "{text}");
}

#[test]
fn paths_may_be_bare_names() {
    let home = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vigosrv"));
    command.env_clear().current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command.args(["--grpc-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
    command.args(["--data-dir", "srv", "--ready-file", "ready"]);
    let mut server = command.spawn().unwrap();
    let ended = loop {
        if home.path().join("ready").exists() {
            break None;
        }
        if let Some(ended) = server.try_wait().unwrap() {
            break Some(ended);
        }
        std::thread::yield_now();
    };
    // It is there before its folder was brought to disk: what happens then is seen by how it ends.
    if ended.is_none() {
        let process = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }
    let ended = ended.unwrap_or_else(|| server.wait().unwrap());
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_new_master_key_is_never_made_for_an_old_store() {
    let server = Vigosrv::new();
    let (key, home) = (server.data().join("keys/master.key"), server.keep_home());
    server.stop();
    std::fs::remove_file(&key).unwrap();
    let (code, text) = fails(&mut Vigosrv::command(home.path()));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("keys/master.key") && text.contains("put it back"), "{text}");
    assert!(!key.exists());

    let other = Vigosrv::new();
    std::fs::copy(other.data().join("keys/master.key"), &key).unwrap();
    let (code, text) = fails(&mut Vigosrv::command(home.path()));
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("not the one that it is under"), "{text}");
}

#[test]
fn wrong_settings_are_shown_with_their_place() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("server.yaml");
    std::fs::write(&file, "api_lsiten: x\n").unwrap();
    let (code, text) = fails(Vigosrv::command(home.path()).arg("--config").arg(&file));
    assert_eq!(code, 2);
    assert!(text.contains("unknown key `api_lsiten`"), "{text}");
    let (code, _) = fails(Vigosrv::command(home.path()).arg("--nonsense"));
    assert_eq!(code, 2);
    assert!(!home.path().join("srv").exists());
}

#[tokio::test]
async fn the_hand_is_started_again_when_it_ends() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"hello").await.ok();
    // The thread that starts children is their parent, whichever thread that is.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.process())).unwrap();
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap()
    };
    let children: String = tasks.map(of).collect();
    let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 1);
    let hand = rustix::process::Pid::from_raw(children[0]).unwrap();
    rustix::process::kill_process(hand, rustix::process::Signal::KILL).unwrap();
    admin.set_secret("web/token", b"again").await.ok();
    assert_eq!(admin.get("/readyz").await.status, 200);
}
