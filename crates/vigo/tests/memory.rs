//! Where a value is found in memory, from end to end: every mapping of every process of ours, read from outside, while secrets are entered, held,
//! used, rotated and dropped. Nothing may be found anywhere: the pages of the hands cannot be read even by root. The control, in which they can be,
//! must find every value, in hands and nowhere else.
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
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vigo_sys::arena::{self, Choice, Kind};
use vigo_testkit::memory::{Canary, look, processes_below};
use world::World;

/// Digits of values: base64's, so that a value can be a line of text and looks like nothing else.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn one_short_secret_stays_in_the_hands() {
    nothing_is_found(1, 64);
}

#[test]
fn a_hundred_short_secrets_stay_in_the_hands() {
    nothing_is_found(100, 64);
}

#[test]
fn three_large_secrets_stay_in_the_hands() {
    nothing_is_found(3, 65_536);
}

#[test]
fn the_control_whose_pages_can_be_read_finds_one_short_secret() {
    all_is_found(1, 64);
}

#[test]
fn the_control_whose_pages_can_be_read_finds_a_hundred_short_secrets() {
    all_is_found(100, 64);
}

#[test]
fn the_control_whose_pages_can_be_read_finds_three_large_secrets() {
    all_is_found(3, 65_536);
}

fn nothing_is_found(count: usize, length: usize) {
    if !may_scan() {
        return;
    }
    for (phase, found) in Way::new(count, length, Pages::Protected).go() {
        assert!(found.read > 0, "{phase}: nothing was read");
        assert!(found.elsewhere.is_empty(), "{phase}, outside the hands: {:#?}", found.elsewhere);
        // Where this machine gives pages that nobody can read, every hand has to have them, and nothing is found in those.
        if arena::probe(Choice::Auto).0 == Kind::Secret {
            assert!(found.every_hand_is_secret, "{phase}: a hand without memfd_secret pages");
            assert!(found.in_hands.is_empty(), "{phase}, in hands: {:#?}", found.in_hands);
        } else {
            println!(
                "{phase}: no memfd_secret pages here; what hands hold in others was not held against them"
            );
        }
    }
}

fn all_is_found(count: usize, length: usize) {
    if !may_scan() {
        return;
    }
    let phases = Way::new(count, length, Pages::Readable).go();
    for (phase, found) in &phases {
        assert!(!found.every_hand_is_secret, "{phase}: this is no control");
        assert!(found.elsewhere.is_empty(), "{phase}, outside the hands: {:#?}", found.elsewhere);
        let copies = |generation: usize| {
            let whole = |hit: &&Copy| hit.generation == generation && hit.length >= length;
            found.in_hands.iter().filter(whole).count()
        };
        println!("{phase}: {} whole copies of old values, {} of new ones", copies(0), copies(1));
        match *phase {
            "entering" => assert!(copies(0) >= 1, "the value that is entered was not seen"),
            "used by a run" | "used by the daemon" => assert!(copies(0) >= count, "not all was seen"),
            "rotated" => {
                assert!(copies(1) >= count, "not all was seen");
                assert_eq!(copies(0), 0, "an old value was not wiped: {:#?}", found.in_hands);
            }
            // The node's hand is a new one. In the server's the stack of the thread that works still has what it worked on last.
            "removed" => {
                let in_the_nodes: Vec<&Copy> =
                    found.in_hands.iter().filter(|hit| !hit.in_the_servers).collect();
                assert!(in_the_nodes.is_empty(), "{in_the_nodes:#?}");
            }
            _ => {}
        }
    }
}

/// Only root may look into a process that is not dumpable. Others are told what was not done; that they are refused is tested with the hand.
fn may_scan() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("not root: no process was scanned");
    }
    is_root
}

/// What the pages of the hands are in this round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// The best there are.
    Protected,
    /// Such as root can read: locked ones for the node's, plain ones for the server's and the operator's.
    Readable,
}

/// A copy of a value or of sixteen bytes and more of it.
#[derive(Debug)]
#[allow(dead_code, reason = "printed when a test fails")]
struct Copy {
    process: String,
    in_the_servers: bool,
    mapping: String,
    generation: usize,
    offset: u64,
    length: usize,
}

/// What one scan of all processes found.
#[derive(Default)]
struct Found {
    in_hands: Vec<Copy>,
    elsewhere: Vec<Copy>,
    read: u64,
    every_hand_is_secret: bool,
}

/// Values, and what to look for.
struct Values {
    plain: Vec<Vec<u8>>,
    /// The values themselves, in base64 and in hex.
    canary: Canary,
}

impl Values {
    fn new(count: usize, length: usize) -> Self {
        let plain: Vec<Vec<u8>> = (0..count).map(|_| random_text(length)).collect();
        let mut all = Vec::new();
        for value in &plain {
            all.extend_from_slice(value);
            all.extend(base64(value));
            all.extend(value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
        }
        Self { plain, canary: Canary::new(&all) }
    }
}

fn random_text(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes)).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = DIGITS[usize::from(*byte % 64)]);
    bytes
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in bytes.chunks_exact(3) {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        text.extend([18, 12, 6, 0].map(|shift| digits[(bits >> shift & 63) as usize]));
    }
    text
}

/// A named pipe on which a command of the policy waits, and the run with it, until the test lets it go.
struct Gate(PathBuf);

impl Gate {
    fn new(path: PathBuf) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        Self(path)
    }

    /// Waits until a command stands at the gate; it stands there as long as what this gives is not dropped.
    fn reached(&self, run: &mut Running) -> File {
        let log = || fs::read_to_string(&run.log).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(file) = self.open() {
                return file;
            }
            if let Some(status) = run.child.try_wait().unwrap() {
                panic!("it ended with {status} before {}:\n{}", self.0.display(), log());
            }
            assert!(Instant::now() < deadline, "{} was not reached:\n{}", self.0.display(), log());
            pause();
        }
    }

    /// Lets it go, and waits until it is gone.
    fn pass(&self, held: File) {
        drop(held);
        wait(|| self.open().is_none().then_some(()));
    }

    /// fifo(7): without a reader this is ENXIO.
    fn open(&self) -> Option<File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        fs::OpenOptions::new().write(true).custom_flags(flags).open(&self.0).ok()
    }
}

fn wait<T>(mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "it took too long");
        pause();
    }
}

fn pause() {
    let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
}

/// An agent that runs, and what it says; it is ended with the test, however that ends.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Every value's whole way, with a scan at every stage.
struct Way {
    world: World,
    pages: Pages,
    /// The values at first, and after rotation.
    generations: [Values; 2],
    used: Gate,
    end: Gate,
    found: Vec<(&'static str, Found)>,
}

impl Way {
    fn new(count: usize, length: usize, pages: Pages) -> Self {
        let mut world = World::new();
        let (used, end) = (world.path("used"), world.path("end"));
        world.stack("configcrates/first.vgo", &policy(count, &used, &end));
        if pages == Pages::Readable {
            fs::write(world.path("agent.yaml"), "arena: mlock\n").unwrap();
            world.environment = vec![("VIGO_CONFIG", world.path("agent.yaml").to_str().unwrap().to_owned())];
        }
        let generations = [Values::new(count, length), Values::new(count, length)];
        Self { world, pages, generations, used: Gate::new(used), end: Gate::new(end), found: Vec::new() }
    }

    fn go(mut self) -> Vec<(&'static str, Found)> {
        self.start_server();
        self.enter(0, true);
        self.world.publish().expect(0);
        self.world.enroll("web-1").expect(0);
        let mut run = self.start(&["run"]);
        let at = self.used.reached(&mut run);
        self.scan("used by a run", &[run.child.id()], 5);
        self.used.pass(at);
        let at = self.end.reached(&mut run);
        self.scan("written by a run", &[run.child.id()], 5);
        self.end.pass(at);
        assert!(run.child.wait().unwrap().success(), "{}", fs::read_to_string(&run.log).unwrap());
        self.scan("after a run", &[], 2);
        self.go_on_with_the_daemon();
        self.found
    }

    fn go_on_with_the_daemon(&mut self) {
        let mut daemon = self.start(&["daemon", "--interval", "1s"]);
        let at = self.used.reached(&mut daemon);
        self.scan("used by the daemon", &[daemon.child.id()], 5);
        self.enter(1, false);
        self.used.pass(at);
        let at = self.end.reached(&mut daemon);
        self.end.pass(at);
        // The next run finds the new versions.
        let at = self.used.reached(&mut daemon);
        self.scan("rotated", &[daemon.child.id()], 5);
        for number in 0..self.generations[0].plain.len() {
            self.world.cli(&["secrets", "rm", &path(number), "--force"]).expect(0);
        }
        self.used.pass(at);
        let at = self.end.reached(&mut daemon);
        self.end.pass(at);
        // The run after it has no secret any more: what needs one is blocked, the end is reached.
        let at = self.end.reached(&mut daemon);
        self.scan("removed", &[daemon.child.id()], 5);
        drop((daemon, at));
    }

    fn start_server(&mut self) {
        if self.pages == Pages::Readable {
            let own = std::mem::take(&mut self.world.environment);
            self.world.environment.push(("VIGO_ARENA", "plain".to_owned()));
            self.world.start_server();
            self.world.environment = own;
        } else {
            self.world.start_server();
        }
    }

    /// Starts the agent, which writes to a file: a pipe that nobody reads could hold it.
    fn start(&self, words: &[&str]) -> Running {
        let log = self.world.path("agent.log");
        let file = File::create(&log).unwrap();
        let child =
            self.world.vigo_command(words).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    /// Sets every secret; the last one is held at its input when it has all but its end, and looked for there.
    fn enter(&mut self, generation: usize, looking: bool) {
        let plain = std::mem::take(&mut self.generations[generation].plain);
        let last = plain.len() - 1;
        for (number, value) in plain.iter().enumerate() {
            let mut entering = self.operator(&["secrets", "set", &path(number)]);
            let mut input = entering.stdin.take().unwrap();
            input.write_all(value).unwrap();
            if looking && number == last {
                // Nothing is left in the pipe: the hand has it all and waits for the end.
                wait(|| (rustix::io::ioctl_fionread(&input).unwrap() == 0).then_some(()));
                self.scan("entering", &[entering.id()], 4);
            }
            drop(input);
            let ended = entering.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        self.generations[generation].plain = plain;
        if looking {
            self.scan("entered", &[], 2);
        }
    }

    /// Starts `vigocli`. In the control it may lock no memory, so that its hand has plain pages.
    fn operator(&self, words: &[&str]) -> Child {
        let usual = self.world.cli_command(words);
        let mut command = Command::new(usual.get_program());
        if self.pages == Pages::Readable {
            command = Command::new("prlimit");
            command.args([
                "--memlock=0:0",
                "setpriv",
                "--bounding-set=-ipc_lock",
                "--inh-caps=-ipc_lock",
                "--",
            ]);
            command.arg(usual.get_program());
        }
        command.args(usual.get_args()).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
        command.spawn().unwrap()
    }

    /// Looks for both generations in the server, in these, and in all of ours that they started. There must be so many at least.
    fn scan(&mut self, phase: &'static str, roots: &[u32], processes: usize) {
        let started = Instant::now();
        let mut found = Found { every_hand_is_secret: true, ..Found::default() };
        let server = self.world.server_pid();
        let ours = ours(&[roots, &[server]].concat());
        let servers = processes_below(server).unwrap();
        let mut looked_at = 0;
        for (process, name) in &ours {
            let process = *process;
            let is_hand = *name == "vigo-hand";
            for (generation, values) in self.generations.iter().enumerate() {
                // The daemon may be amid a run: a worker that ends while it is looked at holds nothing any more.
                let scan = match look(process, &values.canary) {
                    Ok(scan) => scan,
                    Err(_) if !std::path::Path::new(&format!("/proc/{process}")).exists() => break,
                    Err(error) => panic!("{phase}: cannot look at {name} {process}: {error}"),
                };
                looked_at += usize::from(generation == 0);
                found.read += scan.read;
                let is_secret = scan.unreadable.iter().any(|line| line.contains("secretmem"));
                found.every_hand_is_secret &= !is_hand || is_secret;
                let list = if is_hand { &mut found.in_hands } else { &mut found.elsewhere };
                list.extend(scan.hits.into_iter().map(|hit| Copy {
                    process: format!("{name} {process}"),
                    in_the_servers: servers.contains(&process),
                    mapping: hit.mapping,
                    generation,
                    offset: hit.offset,
                    length: hit.length,
                }));
            }
        }
        assert!(looked_at >= processes, "{phase}: {looked_at} of {processes} processes, {ours:?}");
        println!("{phase}: {} MB in {:?}", found.read >> 20, started.elapsed());
        self.found.push((phase, found));
    }
}

/// Those of these processes and of all below them that are ours. What a policy starts is not: it was given its value.
fn ours(roots: &[u32]) -> Vec<(u32, String)> {
    let mut all: BTreeSet<u32> = roots.iter().copied().collect();
    roots.iter().for_each(|root| all.extend(processes_below(*root).unwrap()));
    let name =
        |process: &u32| Some(fs::read_to_string(format!("/proc/{process}/comm")).ok()?.trim().to_owned());
    all.into_iter()
        .filter_map(|process| Some((process, name(&process)?)))
        .filter(|(_, name)| name.starts_with("vigo"))
        .collect()
}

fn path(number: usize) -> String {
    format!("app/v{number}")
}

/// Every value in a file, plain and in base64; all on a standard input; the first in an environment, at the first gate. At the second, none.
fn policy(count: usize, used: &Path, end: &Path) -> String {
    let (mut lines, mut encoded) = (String::new(), String::new());
    for number in 0..count {
        writeln!(lines, "      {number} secret:{}", path(number)).unwrap();
        writeln!(encoded, "      {{{{ secret(\"{}\") | b64encode }}}}", path(number)).unwrap();
    }
    format!(
        r#"configcrate: first
resources:
  - name: target
    type: file
    target_path: "{{{{ vars.root }}}}/all"
    content: |
{lines}{encoded}
  - name: used
    type: exec
    command: "cat > /dev/null; exec cat {}"
    creates: "{{{{ vars.root }}}}/never"
    stdin: |
{lines}
    environment: {{TOKEN: "secret:{}"}}
  - name: end
    type: exec
    command: "exec cat {}"
    creates: "{{{{ vars.root }}}}/never"
"#,
        used.display(),
        path(0),
        end.display(),
    )
}
