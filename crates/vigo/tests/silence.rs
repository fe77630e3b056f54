//! A daemon and a network that says nothing: a connection that died without a word is noticed and made anew, with pauses; and a daemon that is
//! asked to stop while nobody answers it, while it is held or while it applies, ends with all its processes at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod host;
mod world;
use host::gate::{Gate, Running};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vigo_testkit::memory::processes_below;
use world::{World, binary, canary};

/// Within this a daemon and its processes are gone.
const STOPPED: Duration = Duration::from_secs(2);

const POLICY: &str = r#"configcrate: first
resources:
  - name: token
    type: file
    target_path: "{{ vars.root }}/token"
    content: "secret:app/token"
"#;

/// Stands between agent and server; it can swallow everything without a word to either side.
struct Between {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    is_silent: Arc<AtomicBool>,
    /// Every socket, so that none is closed before its time.
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Between {
    fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server: SocketAddr = server.parse().unwrap();
        let between =
            Self { address, connections: Arc::default(), is_silent: Arc::default(), sockets: Arc::default() };
        let (connections, is_silent) = (Arc::clone(&between.connections), Arc::clone(&between.is_silent));
        let sockets = Arc::clone(&between.sockets);
        // Both kinds of threads end with the test's process.
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                sockets.lock().unwrap().push(near.try_clone().unwrap());
                connections.fetch_add(1, Ordering::SeqCst);
                if is_silent.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(server).unwrap();
                sockets.lock().unwrap().push(far.try_clone().unwrap());
                let ways = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
                // What was made silent stays so, whatever later connections do.
                let dead = Arc::new(AtomicBool::new(false));
                for (from, to) in ways {
                    let (is_silent, dead) = (Arc::clone(&is_silent), Arc::clone(&dead));
                    std::thread::spawn(move || carry(from, to, &is_silent, &dead));
                }
            }
        });
        between
    }

    fn silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _gone = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool, dead: &AtomicBool) {
    let mut bytes = [0; 16 << 10];
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    loop {
        dead.fetch_or(is_silent.load(Ordering::SeqCst), Ordering::SeqCst);
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) if !dead.load(Ordering::SeqCst) => {
                if to.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // On a silent line nobody hears of an end either.
    if !dead.load(Ordering::SeqCst) {
        let _gone = to.shutdown(std::net::Shutdown::Both);
    }
}

/// A daemon whose next run by itself is an hour away.
struct Daemon(Running);

impl Daemon {
    fn start(world: &World) -> Self {
        let mut command = Command::new(binary("vigo"));
        command.arg("--config").arg(world.path("agent.yaml")).arg("--state-dir").arg(world.path("agent"));
        command.args(["--log-level", "debug", "daemon", "--interval", "1h"]).stdin(Stdio::null());
        Self(Running::start(command, world.path("daemon.log")))
    }

    fn says(&self, words: &str, times: usize) {
        host::wait(words, || (self.0.said().matches(words).count() >= times).then_some(()));
    }

    fn is_held(&self, times: usize) {
        self.says("the server may hold this check-in", times);
    }

    fn processes(&self) -> Vec<u32> {
        let mut all = processes_below(self.0.id()).unwrap();
        all.push(self.0.id());
        all
    }

    /// Asks it to stop; gives how long it and all of these processes took once `meanwhile` was done.
    fn stopped(&mut self, all: &[u32], meanwhile: impl FnOnce()) -> Duration {
        kill_process(Pid::from_child(&self.0.child), Signal::TERM).unwrap();
        meanwhile();
        let began = Instant::now();
        let status = self.0.ended();
        assert_eq!(status.code(), Some(0), "{}", self.0.said());
        for process in all {
            let gone = || (!Path::new(&format!("/proc/{process}")).exists()).then_some(());
            host::wait("all of its processes end", gone);
        }
        began.elapsed()
    }
}

/// A server, an envoy enrolled through what stands between, a secret.
fn world(policy: &str) -> (World, Between) {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", policy);
    fs::write(world.path("agent.yaml"), "keep_alive: 1s\n").unwrap();
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token"], canary().as_bytes()).expect(0);
    world.publish().expect(0);
    let between = Between::before(&world.grpc);
    let (token, grpc) = (world.token(&[]), between.address.to_string());
    let words = ["enroll", &grpc, "--token-file", token.to_str().unwrap(), "--name", "web-1"];
    world.vigo(&words).expect(0);
    (world, between)
}

#[test]
fn a_connection_that_dies_without_a_word_is_noticed_and_made_anew_with_pauses() {
    let (world, between) = world(POLICY);
    let daemon = Daemon::start(&world);
    daemon.is_held(1);
    let before = between.connections();
    let began = Instant::now();
    between.silent(true);
    daemon.says("the server holds no check-in of this machine", 1);
    let noticed = began.elapsed();
    println!("noticed after {noticed:?}");
    assert!(noticed < Duration::from_secs(6), "{noticed:?} for a connection that is asked after 1 s");
    // It is tried again, not without pause: between two tries there is one that grows, and each connection that hangs has its ten seconds.
    host::wait("it is tried again", || (between.connections() > before).then_some(()));
    assert!(between.connections() - before <= 2, "{} connections", between.connections() - before);
    assert!(began.elapsed() - noticed >= Duration::from_millis(900), "it came back without a pause");
    between.silent(false);
    let new = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], new.as_bytes()).expect(0);
    host::wait("the new version", || (world.target("token") == new).then_some(()));
    daemon.is_held(3);
}

#[test]
fn a_daemon_stops_at_once_while_nobody_answers_while_it_is_held_and_after_the_resource_at_hand() {
    let gates = tempfile::tempdir().unwrap();
    let gate = gates.path().join("gate");
    let at_hand = format!(
        "  - name: at-hand\n    type: exec\n    command: \"cat; read -r go < {}; echo done > {{{{ vars.root }}}}/at-hand\"\n    stdin: \"secret:app/token\"\n    creates: \"{{{{ vars.root }}}}/at-hand\"\n  - name: after\n    type: file\n    target_path: \"{{{{ vars.root }}}}/after\"\n    content: x\n    depends_on: at-hand\n",
        gate.display()
    );
    let (world, between) = world(&format!("{POLICY}{at_hand}"));
    // While it connects to somebody who accepts and never says a word.
    between.silent(true);
    let before = between.connections();
    let mut daemon = Daemon::start(&world);
    host::wait("it connects", || (between.connections() > before).then_some(()));
    let all = daemon.processes();
    assert!(all.len() >= 2, "no worker: {all:?}");
    let took = daemon.stopped(&all, || {});
    println!("connecting: {took:?}");
    assert!(took < STOPPED, "connecting: {took:?}");
    assert!(!world.root().join("token").exists());

    // In the middle of an apply: after the resource at hand, whose command got a secret.
    between.silent(false);
    let gate = Gate::new(gate);
    let mut daemon = Daemon::start(&world);
    let at = gate.reached(&mut daemon.0);
    let all = daemon.processes();
    assert!(all.len() >= 4, "agent, worker, hand and command: {all:?}");
    let took = daemon.stopped(&all, || drop(at));
    println!("applying: {took:?}");
    assert!(took < STOPPED, "applying: {took:?}");
    assert_eq!(world.target("at-hand"), "done\n", "the resource at hand was broken off");
    assert!(!world.root().join("after").exists(), "something was begun after it was asked to stop");

    // What it left is whole: the next start goes on with it. While it is held.
    let mut daemon = Daemon::start(&world);
    daemon.is_held(1);
    assert_eq!(world.target("after"), "x");
    let all = daemon.processes();
    assert!(all.len() >= 3, "agent, worker and hand: {all:?}");
    let took = daemon.stopped(&all, || {});
    println!("held: {took:?}");
    assert!(took < STOPPED, "held: {took:?}");
}
