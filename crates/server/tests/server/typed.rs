//! The passphrase of the master key, typed at the terminal at which a server is started. script(1) is the terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use vigo_sys::arena::{self, Choice, Kind};
use vigo_testkit::memory::{Canary, look, processes_below};

const FIRST: &str = "kestrel-Wv7n-3Yq8zR5c";
const SECOND: &str = " over the harbour wall";
const PATIENCE: Duration = Duration::from_secs(60);
/// What a line ends with that is not at its end yet: the terminal hands over what there is (termios(3), VEOF).
const HAND_OVER: &str = "\u{4}";

/// A server at a terminal; ended with the test, however that ends.
struct Typed {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Typed {
    fn start(home: &Path, words: &str) -> Self {
        let line = format!(
            "exec '{}' --data-dir '{}' --grpc-listen 127.0.0.1:0 --api-listen 127.0.0.1:0 --master-key passphrase {words}",
            env!("CARGO_BIN_EXE_vigosrv"),
            home.join("srv").display()
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (keyboard, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keyboard, screen, shown: String::new() }
    }

    fn sees(&mut self, part: &str) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut buffer = [0; 4096];
        while !self.shown.contains(part) {
            let wait = Timespec { tv_sec: 60, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.screen, PollFlags::IN)], Some(&wait)).unwrap();
            assert!(ready > 0, "`{part}` is not shown: {}", self.shown);
            let read = self.screen.read(&mut buffer).unwrap();
            assert!(read > 0, "`{part}` was not shown: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).and_then(|()| self.keyboard.flush()).unwrap();
    }

    /// The server and its hand.
    fn processes(&self) -> (u32, u32) {
        let below = processes_below(self.child.id()).unwrap();
        let named = |name: &str| {
            let is_it = |process: &&u32| {
                fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim() == name)
            };
            *below.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"))
        };
        (named("vigosrv"), named("vigo-hand"))
    }

    /// Ends the server as a break at the terminal would, and waits for that; gives the exit code.
    fn ends(mut self, key: &str) -> i32 {
        self.types(key);
        let mut rest = String::new();
        let _closed = self.screen.read_to_string(&mut rest);
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _waited_before = self.child.wait();
    }
}

/// So many bytes a process has read (proc_pid_io(5)).
fn bytes_read(process: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

fn session(process: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn a_passphrase_that_is_typed_is_not_shown_and_is_in_the_pages_of_the_hand_alone() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("nothing was typed: that takes script(1)");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let phrase = format!("{FIRST}{SECOND}");
    // The first start makes the key: the passphrase is asked for twice.
    let mut server = Typed::start(home.path(), "");
    server.sees("twice, each ended with Enter");
    server.types(&format!("{phrase}\n{phrase}\n"));
    server.sees("serving");
    assert!(!server.shown.contains(FIRST), "{}", server.shown);
    assert_eq!(server.ends("\u{3}"), 0);
    let text = fs::read_to_string(home.path().join("srv/keys/master.key")).unwrap();
    assert!(text.starts_with("vigo-master-key-passphrase 1 "));

    let is_root = rustix::process::geteuid().is_root();
    for pages in ["auto", "plain"] {
        let mut server = Typed::start(home.path(), &format!("--arena {pages}"));
        server.sees("passphrase of the master key (not shown):");
        let (process, hand) = server.processes();
        if is_root {
            let before = bytes_read(hand);
            server.types(&format!("{FIRST}{HAND_OVER}"));
            let deadline = Instant::now() + PATIENCE;
            while bytes_read(hand) < before + FIRST.len() as u64 {
                assert!(Instant::now() < deadline, "the hand does not read");
                std::thread::yield_now();
            }
            let canary = Canary::new(FIRST.as_bytes());
            let found = |process: u32| look(process, &canary).unwrap();
            assert!(found(process).read > 0 && found(process).hits.is_empty(), "in vigosrv");
            let in_hand = found(hand).hits.len();
            if pages == "plain" {
                assert!(in_hand > 0, "the control did not find it");
            } else if arena::probe(Choice::Auto).0 == Kind::Secret {
                assert_eq!(in_hand, 0, "in pages that can be read");
            } else {
                println!("no memfd_secret pages here; what the hand holds in others was not held against it");
            }
            server.types(&format!("{SECOND}\n"));
        } else {
            println!("not root: no process was scanned");
            server.types(&format!("{phrase}\n"));
        }
        server.sees("serving");
        assert!(!server.shown.contains(FIRST) && !server.shown.contains(SECOND), "{}", server.shown);
        assert_eq!(session(hand), hand, "the hand has left the terminal");
        assert_eq!(server.ends("\u{3}"), 0);
    }
    let mut server = Typed::start(home.path(), "");
    server.sees("(not shown):");
    server.types("another passphrase\n");
    server.sees("passphrase is not the one");
    assert_eq!(server.ends(""), 2);
    // A break at the question.
    let mut server = Typed::start(home.path(), "");
    server.sees("(not shown):");
    assert_eq!(server.ends("\u{3}"), 130);
}
