//! The control socket of a running agent: who may ask, what it answers, and that nothing it is sent stops it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod world;
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use world::{World, binary, canary, run};

const FIRST: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/token"
    content: "secret:app/token"
"#;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

fn enrolled() -> World {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", FIRST);
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token"], canary().as_bytes()).expect(0);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world
}

fn start(mut command: Command) -> Daemon {
    Daemon(command.stdout(Stdio::null()).spawn().unwrap())
}

/// Looks until `found` finds something.
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

fn status(world: &World) -> Value {
    serde_json::from_str(&world.vigo(&["status", "--json"]).expect(0).out).unwrap()
}

/// What the other end says before it closes.
fn tell(mut client: UnixStream, bytes: &[u8]) -> Vec<u8> {
    let _closed_early = client.write_all(bytes);
    let mut answer = Vec::new();
    // A reset is what a client gets whose bytes were not all read.
    let _reset = client.read_to_end(&mut answer);
    answer
}

#[test]
fn a_running_agent_says_what_it_is_and_outlives_what_it_is_sent() {
    let world = enrolled();
    assert_eq!(status(&world)["agent"], Value::Null);
    let mut daemon = start(world.vigo_command(&["daemon", "--interval", "1h"]));
    let socket = world.path("agent/control");
    wait("the first run", || world.root().join("token").exists().then_some(()));
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let said = wait("an answer", || Some(status(&world)).filter(|said| !said["agent"].is_null()));
    let agent = &said["agent"];
    assert_eq!(agent["process"], daemon.0.id());
    assert_eq!(agent["held_secrets"], 1);
    assert!(agent["hand"].is_u64() && agent["last_check_in"].is_u64() && agent["last_error"].is_null());
    assert!(said["protection"]["level"].is_string());
    world.vigo(&["status"]).expect(0).says(&["running for", "holds 1 secrets"]);

    for bytes in [&u32::MAX.to_le_bytes()[..], &[1, 0, 0, 0, 0xff], &[9, 0, 0, 0, 1], b"GET / HTTP/1.1\r\n"] {
        tell(UnixStream::connect(&socket).unwrap(), bytes);
    }
    assert_eq!(status(&world)["agent"]["process"], daemon.0.id(), "it went on");

    world.vigo(&["daemon"]).expect(2).says(&["another `vigo daemon`"]);
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    assert!(socket.exists(), "a killed agent leaves its socket");
    assert_eq!(status(&world)["agent"], Value::Null);
    let again = start(world.vigo_command(&["daemon", "--interval", "1h"]));
    let process = again.0.id();
    wait("an answer of the next", || (status(&world)["agent"]["process"] == process).then_some(()));
}

/// Every file and folder below, whose it is, and what is in it as far as its time says.
fn listing(folder: &Path) -> Vec<(PathBuf, u32, i64)> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, meta.uid(), meta.mtime_nsec()));
    }
    found.sort();
    found
}

#[test]
fn where_no_hand_can_be_started_the_status_says_that() {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_strace {
        return println!("no strace(1): nothing kept a hand from starting");
    }
    let world = World::new();
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-q",
        "-e",
        "signal=none",
        "-e",
        "trace=execveat",
        "-e",
        "inject=execveat:error=EACCES",
        "-o",
    ]);
    command.arg(world.path("trace")).arg(binary("vigo")).arg("--state-dir").arg(world.path("agent"));
    command.args(["status", "--json"]);
    let ended = run(command, b"").expect(0);
    let status: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(status["protection"]["level"], "insecure", "{status}");
    assert!(status["protection"]["reasons"].to_string().contains("secrets cannot be used"), "{status}");
    // The control: nothing stands in the way.
    let status: Value = serde_json::from_str(&world.vigo(&["status", "--json"]).expect(0).out).unwrap();
    assert!(!status["protection"]["reasons"].to_string().contains("secrets cannot be used"), "{status}");
}

#[test]
fn another_user_is_refused_by_the_socket_even_where_the_modes_let_it_in() {
    if !rustix::process::geteuid().is_root() {
        return println!("not root: no process of another user was made, the refusal was not seen");
    }
    let world = enrolled();
    let other = world.folder.path();
    fs::set_permissions(other, fs::Permissions::from_mode(0o755)).unwrap();
    // The whole agent as a user without rights.
    let mut chown = Command::new("chown");
    chown.args(["-R", "65534:65534"]).arg(world.path("agent")).arg(world.root());
    assert!(chown.status().unwrap().success());
    // A copy of the program, where that user can get at it.
    let program = world.path("vigo");
    fs::copy(binary("vigo"), &program).unwrap();
    let mut command = Command::new(&program);
    command.arg("--state-dir").arg(world.path("agent")).args(["daemon", "--interval", "1h"]);
    command.stdin(Stdio::null()).uid(65_534).gid(65_534);
    let _daemon = start(command);
    let socket = world.path("agent/control");
    wait("the socket", || socket.exists().then_some(()));
    // Root looks at it, and changes nothing in its folder.
    let looked = wait("a look between two runs", || {
        let before = listing(&world.path("agent"));
        let ended = world.vigo(&["doctor", "--json"]);
        let is_as_before = listing(&world.path("agent")) == before && world.path("agent/last-run").exists();
        serde_json::from_str::<Value>(&ended.out).ok().filter(|_| is_as_before)
    });
    assert_eq!(looked["examined"]["is_running"], true);
    for check in looked["checks"].as_array().unwrap() {
        let name = check["name"].as_str().unwrap();
        let own = [
            "identity",
            "state-folder",
            "intents",
            "not-dumpable-agent",
            "core-limit-agent",
            "not-traced-agent",
        ];
        assert!(!own.contains(&name) || check["verdict"] == "ok", "{check}");
        assert!(!check["evidence"].as_str().unwrap().contains("as root"), "{check}");
    }
    world.vigo(&["doctor", "--attack"]).expect(2).says(&["as that user"]);
    world.vigo(&["status"]).expect(1).says(&["belongs to user 65534", "run this as that user"]);
    let as_user = |user: u32| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.send(bytes([2,0,0,0,10,0]))\nd=b''\nwhile True:\n  p=s.recv(65536)\n  if not p: break\n  d+=p\nsys.stdout.buffer.write(d)";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&socket).uid(user).gid(user);
        command.output().unwrap()
    };
    let said = |user: u32| String::from_utf8_lossy(&as_user(user).stdout).into_owned();
    // By the modes first.
    assert!(said(1234).is_empty());
    fs::set_permissions(world.path("agent"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    for allowed in [65_534, 0] {
        wait("an answer", || Some(said(allowed)).filter(|said| said.contains("state_dir")));
    }
    let output = as_user(1234);
    assert!(output.stdout.is_empty() && !output.status.success(), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("reset") || error.contains("Broken pipe"), "it got in and was sent away: {error}");
}
