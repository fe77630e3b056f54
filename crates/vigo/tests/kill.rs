//! kill -9 at every step that changes a file, from end to end: of `apply` with a vault, in `vigo` and in its hand; of `enroll`; of a server that
//! publishes and takes secrets. Then a plain start, after which everything is as if nothing had happened. The kills are strace(1)'s, which stops a
//! thread at its n-th call of a kind, before the call is made.
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
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vigo_testkit::memory::processes_below;
use world::{World, canary};

/// Calls that change what is on disk. An `open` that creates is seen by the call that comes after it.
const CHANGES: &str = "write,writev,pwrite64,pwritev,ftruncate,fallocate,fchmod,fchown,fchmodat,fchownat,link,linkat,\
                       rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,symlink,symlinkat,fsync,fdatasync,syncfs";
/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stopping others' threads takes strace(1), and root because ours are not dumpable.
fn may_kill() -> bool {
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
    let may = has_strace && rustix::process::geteuid().is_root();
    if !may {
        println!("nothing was killed: that takes strace(1), and root");
    }
    may
}

/// The n-th call of a kind that a thread makes.
#[derive(Clone, Debug)]
struct Step {
    call: String,
    number: usize,
}

/// Every step in what strace wrote.
fn steps_in(trace: &Path) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        // With several threads each line begins with one's number.
        let text = line.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let Some((call, _)) = text.split_once('(') else { continue };
        if CHANGES.split(',').any(|each| each == call) {
            let number = 1 + steps.iter().filter(|step| step.call == call).count();
            steps.push(Step { call: call.to_owned(), number });
        }
    }
    steps
}

/// strace that writes all changes into a file, or kills at one of them.
fn strace(at: Result<&Step, &Path>) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-e", "signal=none"]);
    match at {
        Ok(Step { call, number }) => {
            strace.args(["-o", "/dev/null", "-e", &format!("trace={call}")]);
            strace.arg(format!("--inject={call}:signal=KILL:when={number}"));
        }
        Err(into) => {
            strace.arg("-o").arg(into).args(["-e", &format!("trace={CHANGES}")]);
        }
    }
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    strace
}

/// Runs the command with its first thread traced. True if it was killed.
fn run_traced(command: &Command, at: Result<&Step, &Path>) -> bool {
    let mut strace = strace(at);
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = strace.output().unwrap();
    // strace ends as what it traced did.
    let killed = ended.status.signal() == Some(9);
    assert!(killed || ended.status.success(), "{at:?}: {}", String::from_utf8_lossy(&ended.stderr));
    killed
}

/// Every step at which the command changes something.
fn steps_of(command: &Command) -> Vec<Step> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    assert!(!run_traced(command, Err(trace.path())));
    steps_in(trace.path())
}

/// strace on threads that run already. Ended, and the threads let go, when dropped.
struct Attached(Child);

impl Attached {
    fn to(threads: &[u32], at: Result<&Step, &Path>, and_new_ones: bool) -> Self {
        let mut strace = strace(at);
        strace.args(threads.iter().flat_map(|thread| ["-p".to_owned(), thread.to_string()]));
        if and_new_ones {
            strace.arg("-f");
        }
        Self::of(strace, threads.len())
    }

    /// Waits until so many processes or threads are held.
    fn of(mut strace: Command, threads: usize) -> Self {
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = strace.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        for _ in 0..threads {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            assert!(line.contains("attached"), "{line}");
        }
        // What else it says is of no interest, but it must not wait for a reader.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Self(child)
    }

    /// Waits until all that it traced has ended.
    fn ended(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it took too long");
            pause();
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // Not by a signal on which it lets go of them one by one: it would wait for those that are just being killed.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn pause() {
    let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 2_000_000 });
}

fn threads_of(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if !kind.is_fifo() {
            files.push(entry.path());
        }
    }
    files
}

/// Which files hold this, plain or in base64.
fn holding(folder: &Path, value: &str) -> BTreeSet<PathBuf> {
    let forms = [value.as_bytes().to_vec(), base64(value.as_bytes())];
    let has = |path: &PathBuf| {
        let content = fs::read(path).unwrap();
        forms.iter().any(|form| content.windows(form.len()).any(|part| part == form.as_slice()))
    };
    files_below(folder).into_iter().filter(has).collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in bytes.chunks_exact(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        text.extend([18, 12, 6, 0].map(|shift| digits[(bits >> shift & 63) as usize]));
    }
    text
}

/// What a policy makes of a machine on which it was applied before: a new file with a secret, one that is replaced, an ordinary one that is replaced,
/// and a command that is notified of all three. A command at a gate comes first, with a secret, so that there is a hand to be attached to.
struct Machine {
    world: World,
    old: String,
    new: String,
}

const FILES: [(&str, u32); 3] = [("token", 0o600), ("fresh", 0o640), ("motd", 0o604)];

impl Machine {
    fn new() -> Self {
        let mut world = World::new();
        // Of different lengths: what the notified command saw is then told from its size.
        let (old, new) = (canary(), format!("{}{}", canary(), canary()));
        world.stack("configcrates/first.vgo", &policy("", "good morning"));
        let machine = Self { world, old, new };
        machine.set(&machine.old);
        machine.world.vigo(&machine.apply()).expect(0);
        let mut machine = machine;
        let fresh = "  - {type: file, target_path: \"{{ vars.root }}/fresh\", content: \"x={{ secret('app/token') | b64encode }}\\n\", mode: \"0640\", notify: mark}\n";
        machine.world.stack("configcrates/first.vgo", &policy(fresh, "good evening"));
        machine.set(&machine.new);
        for name in ["root", "agent"] {
            copy(&machine.world.path(name), &machine.world.path(&format!("{name}.saved")));
        }
        machine
    }

    fn set(&self, value: &str) {
        let vault = self.world.path("vault");
        let words = ["secrets", "--vault", vault.to_str().unwrap(), "set", "app/token"];
        self.world.cli_with_input(&words, value.as_bytes()).expect(0);
    }

    fn apply(&self) -> Vec<&'static str> {
        // Leaked, a few bytes a test: the words live as long as what is run with them.
        let own = |path: PathBuf| -> &'static str { String::leak(path.to_str().unwrap().to_owned()) };
        vec![
            "apply",
            own(self.world.path("stacks")),
            "--name",
            "web-1",
            "--secrets",
            own(self.world.path("vault")),
        ]
    }

    fn restore(&self) {
        for name in ["root", "agent"] {
            fs::remove_dir_all(self.world.path(name)).unwrap();
            copy(&self.world.path(&format!("{name}.saved")), &self.world.path(name));
        }
    }

    /// Right after a kill: the value stands in targets, or in one file of a target's mode beside them.
    fn nothing_is_open(&self, step: &Step) {
        let mut beside = 0;
        for path in self.outside_the_vault(&self.new) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let metadata = fs::metadata(&path).unwrap();
            let is_target =
                FILES.iter().any(|(each, mode)| *each == name && metadata.mode() & 0o7777 == *mode);
            if !is_target {
                assert!(
                    name.starts_with(".vigo-") && path.starts_with(self.world.root()),
                    "{step:?}: {path:?}"
                );
                assert_eq!(metadata.mode() & 0o7777, 0o600, "{step:?}: {path:?}");
                beside += 1;
            }
        }
        assert!(beside <= 1, "{step:?}: {beside} files beside the target");
    }

    /// A plain start after a kill at that step, and what it must come to.
    fn recovers(&self, step: &Step) {
        let mut words = self.apply();
        // A child that the killed agent was about to start has the lock for a moment longer.
        words.extend(["--wait", "10s"]);
        let ended = self.world.vigo(&words);
        assert_eq!(ended.code, 0, "{step:?}:\n{}\n{}", ended.out, ended.err);
        let root = self.world.root();
        let names: BTreeSet<String> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, ["fresh", "marked", "motd", "token"].map(str::to_owned).into(), "{step:?}");
        let content = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(content("token"), format!("token={}\n", self.new), "{step:?}");
        assert_eq!(content("motd"), "good evening\n", "{step:?}");
        assert!(content("fresh").starts_with("x="), "{step:?}");
        for (name, mode) in FILES {
            assert_eq!(fs::metadata(root.join(name)).unwrap().mode() & 0o7777, mode, "{step:?}: {name}");
        }
        let sizes = ["token", "fresh"].map(|name| content(name).len());
        let seen = format!("good evening\n{}\n{}\n", sizes[0], sizes[1]);
        assert_eq!(
            content("marked"),
            seen,
            "{step:?}: the notification was not delivered after the last change"
        );
        assert_eq!(fs::read_dir(self.world.path("agent/intents")).unwrap().count(), 0, "{step:?}");
        assert_eq!(
            self.outside_the_vault(&self.new),
            [root.join("fresh"), root.join("token")].into(),
            "{step:?}"
        );
        assert_eq!(self.outside_the_vault(&self.old), BTreeSet::new(), "{step:?}");
        let again = self.world.vigo(&[words.as_slice(), &["--detailed-exit-code"]].concat());
        assert_eq!(
            again.code, 0,
            "{step:?}: the second start changed something:\n{}\n{}",
            again.out, again.err
        );
    }

    /// Which files hold it, but for what was saved before the kills. (The vault holds no value either.)
    fn outside_the_vault(&self, value: &str) -> BTreeSet<PathBuf> {
        let saved = |path: &PathBuf| {
            path.components().any(|part| part.as_os_str().to_str().unwrap().ends_with(".saved"))
        };
        holding(self.world.folder.path(), value).into_iter().filter(|path| !saved(path)).collect()
    }

    /// `vigo apply` held at the gate with a running hand: the agent, its hand, and what lets it go.
    fn start_to_the_gate(&self) -> (Child, u32, File) {
        let gate = self.world.path("gate");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let mut command = self.world.vigo_command(&self.apply());
        let mut agent = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let held = loop {
            // fifo(7): ENXIO as long as nobody reads.
            if let Ok(held) = fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(&gate) {
                break held;
            }
            assert!(
                agent.try_wait().unwrap().is_none() && Instant::now() < deadline,
                "it did not come to the gate"
            );
            pause();
        };
        fs::remove_file(gate).unwrap();
        let is_hand = |process: &u32| {
            fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name == "vigo-hand\n")
        };
        let hand = processes_below(agent.id()).unwrap().into_iter().find(is_hand).unwrap();
        (agent, hand, held)
    }
}

impl Machine {
    /// True if it succeeded.
    fn apply_with_its_hand_traced(&self, at: Result<&Step, &Path>, and_kill_the_agent: bool) -> bool {
        self.restore();
        let (mut agent, hand, held) = self.start_to_the_gate();
        let mut attached = Attached::to(&threads_of(hand), at, false);
        drop(held);
        attached.ended();
        if and_kill_the_agent {
            agent.kill().unwrap();
        }
        agent.wait().unwrap().success()
    }
}

fn policy(fresh: &str, greeting: &str) -> String {
    format!(
        r#"configcrate: first
resources:
  - name: gate
    type: exec
    command: "cat > /dev/null; exec cat {{{{ vars.root }}}}/../gate"
    stdin: "secret:app/token"
    onlyif: "test -p {{{{ vars.root }}}}/../gate"
  - {{type: file, target_path: "{{{{ vars.root }}}}/token", content: "token=secret:app/token\n", notify: mark}}
{fresh}  - {{type: file, target_path: "{{{{ vars.root }}}}/motd", content: "{greeting}\n", mode: "0604", notify: mark}}
  - name: mark
    type: exec
    command: "cd {{{{ vars.root }}}}; {{ cat motd; wc -c < token; test ! -e fresh || wc -c < fresh; }} > marked"
    when: changed
"#
    )
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn an_apply_that_is_killed_at_any_step_is_put_right_by_the_next() {
    if !may_kill() {
        return;
    }
    let machine = Machine::new();
    let command = machine.world.vigo_command(&machine.apply());
    machine.restore();
    let steps = steps_of(&command);
    let mut killed = 0;
    for step in &steps {
        machine.restore();
        killed += usize::from(run_traced(&command, Ok(step)));
        machine.nothing_is_open(step);
        machine.recovers(step);
    }
    println!("killed at {killed} of {} steps", steps.len());
    assert!(killed == steps.len() && killed > 40, "killed at {killed} of {} steps", steps.len());
}

#[test]
fn a_hand_that_is_killed_at_any_step_is_put_right_by_the_next_start() {
    if !may_kill() {
        return;
    }
    let machine = Machine::new();
    let trace = tempfile::NamedTempFile::new().unwrap();
    assert!(machine.apply_with_its_hand_traced(Err(trace.path()), false));
    let steps = steps_in(trace.path());
    for step in &steps {
        // Its agent goes on, and says that something failed; or nobody goes on, as when the machine fails.
        for with_its_agent in [false, true] {
            assert!(
                !machine.apply_with_its_hand_traced(Ok(step), with_its_agent),
                "{step:?}: it was not killed"
            );
            machine.nothing_is_open(step);
            machine.recovers(step);
        }
    }
    println!("killed at {} steps", steps.len());
    assert!(steps.len() > 12, "{steps:?}");
}

#[test]
fn an_enrolment_that_is_killed_at_any_step_succeeds_with_the_same_token() {
    if !may_kill() {
        return;
    }
    let mut world = World::new();
    world.stack("configcrates/first.vgo", "configcrate: first\nresources:\n  - {type: file, target_path: \"{{ vars.root }}/{{ envoy.name }}\", content: \"here\\n\"}\n");
    world.start_server();
    world.publish().expect(0);
    let command = |name: &str| {
        let token = world.token(&[]);
        let words = ["enroll", &world.grpc, "--token-file", token.to_str().unwrap(), "--name", name];
        world.vigo_command(&words)
    };
    let steps = steps_of(&command("web-0"));
    let mut killed = 0;
    for (number, step) in steps.iter().enumerate() {
        fs::remove_dir_all(world.path("agent")).unwrap();
        let name = format!("web-{}", number + 1);
        killed += usize::from(run_traced(&command(&name), Ok(step)));
        let token = world.path("token");
        let again = world.enroll_with("agent", &name, &token);
        // Killed after its last file was in place, it is enrolled.
        let is_enrolled =
            again.code == 2 && again.err.contains(&format!("the identity of the envoy `{name}` already"));
        assert!(again.code == 0 || is_enrolled, "{step:?}:\n{}\n{}", again.out, again.err);
        // The use is spent, once: nobody else gets in with it, and the server has one envoy more.
        let other = world.enroll_with("other", "db-1", &token);
        assert_eq!(other.code, 4, "{step:?}: the token is good for another:\n{}\n{}", other.out, other.err);
        let envoys: serde_json::Value =
            serde_json::from_str(&world.cli(&["envoys", "list", "--json"]).expect(0).out).unwrap();
        let named = envoys["items"].as_array().unwrap().iter().filter(|envoy| envoy["name"] == name.as_str());
        assert_eq!(named.count(), 1, "{step:?}: {envoys}");
        world.vigo(&["run"]).expect(0);
        assert_eq!(world.target(&name), "here\n");
        let token = fs::read_to_string(token).unwrap();
        let secret = token.trim().split('.').nth(2).unwrap();
        assert_eq!(holding(&world.path("agent"), secret), BTreeSet::new(), "{step:?}");
        let left: Vec<PathBuf> = files_below(&world.path("agent"))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "new"))
            .collect();
        assert!(left.is_empty(), "{step:?} left {left:?}");
    }
    println!("killed at {killed} of {} steps", steps.len());
    assert!(killed == steps.len() && killed > 10, "{steps:?}");
}

/// Calls of the server at which it is killed: what makes a change last, and what comes before.
const OF_A_SERVER: [&str; 8] =
    ["fsync", "fdatasync", "pwrite64", "write", "rename", "unlink", "ftruncate", "mkdir"];

/// A server that is killed while an operator publishes and sets secrets, and what it acknowledged.
struct Kept {
    world: World,
    /// The secret's version and value, and the policy's: acknowledged, and perhaps one more.
    secret: (u64, String),
    publish: (u64, String),
    unanswered_secret: Option<String>,
    unanswered_publish: Option<String>,
    count: usize,
}

impl Kept {
    fn new() -> Self {
        let mut world = World::new();
        world.start_server();
        let none = || (0, String::new());
        let (secret, publish) = (none(), none());
        let mut kept =
            Self { world, secret, publish, unanswered_secret: None, unanswered_publish: None, count: 0 };
        assert!(kept.set_secret() && kept.publish());
        kept.world.enroll("web-1").expect(0);
        kept
    }

    /// True if it was acknowledged.
    fn set_secret(&mut self) -> bool {
        let value = canary();
        let done = self.world.cli_with_input(&["secrets", "set", "app/token"], value.as_bytes()).code == 0;
        if done {
            self.secret = (self.secret.0 + 1, value);
        } else {
            self.unanswered_secret = Some(value);
        }
        done
    }

    /// True if it was acknowledged.
    fn publish(&mut self) -> bool {
        self.count += 1;
        let greeting = format!("greeting {}", self.count);
        self.world.stack(
            "configcrates/first.vgo",
            &format!("configcrate: first\nresources:\n  - {{type: file, target_path: \"{{{{ vars.root }}}}/token\", content: \"secret:app/token\"}}\n  - {{type: file, target_path: \"{{{{ vars.root }}}}/motd\", content: \"{greeting}\"}}\n"),
        );
        let done = self.world.publish().code == 0;
        if done {
            self.publish = (self.publish.0 + 1, greeting);
        } else {
            self.unanswered_publish = Some(greeting);
        }
        done
    }

    /// Lets the operator work until the server is killed at that step. False if that never came.
    fn work_until_killed(&mut self, step: &Step, secret_first: bool) -> bool {
        let server = self.world.server_pid();
        let mut attached = Attached::to(&[server], Ok(step), true);
        let lives = (0..6)
            .all(|turn| if (turn % 2 == 0) == secret_first { self.set_secret() } else { self.publish() });
        if lives {
            drop(attached);
        } else {
            attached.ended();
        }
        !lives
    }

    /// Starts the server again: what was acknowledged is there, what was not is there whole or not at all.
    fn comes_back(&mut self, step: &Step) {
        self.world.restart_server();
        let newest = |words: &[&str]| {
            let list: serde_json::Value = serde_json::from_str(&self.world.cli(words).expect(0).out).unwrap();
            list["items"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|item| item["version"].as_u64())
                .max()
                .unwrap_or(0)
        };
        let secret = newest(&["secrets", "history", "app/token", "--json"]);
        let publish = newest(&["config", "history", "--json"]);
        let settle = |acknowledged: &mut (u64, String), unanswered: Option<String>, now: u64| match unanswered
        {
            Some(value) if now == acknowledged.0 + 1 => *acknowledged = (now, value),
            _ => assert_eq!(now, acknowledged.0, "{step:?}: {}", acknowledged.1),
        };
        settle(&mut self.secret, self.unanswered_secret.take(), secret);
        settle(&mut self.publish, self.unanswered_publish.take(), publish);
        self.world.cli(&["audit", "verify"]).expect(0);
        let run = self.world.vigo(&["run"]);
        assert_eq!(run.code, 0, "{step:?}:\n{}\n{}", run.out, run.err);
        assert_eq!(self.world.target("token"), self.secret.1, "{step:?}");
        assert_eq!(self.world.target("motd"), self.publish.1, "{step:?}");
        for path in files_below(&self.world.path("srv")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(!name.ends_with(".new") && !name.starts_with(".vigo-"), "{step:?} left {path:?}");
        }
        assert_eq!(holding(&self.world.path("srv"), &self.secret.1), BTreeSet::new(), "{step:?}");
    }
}

#[test]
fn a_server_that_is_killed_at_any_step_has_what_it_acknowledged() {
    if !may_kill() {
        return;
    }
    let mut kept = Kept::new();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let attached = {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-p", &kept.world.server_pid().to_string(), "-e", "signal=none", "-o"])
            .arg(trace.path());
        strace.arg("-e").arg(format!("trace={}", OF_A_SERVER.join(",")));
        Attached::of(strace, 1)
    };
    assert!(kept.set_secret() && kept.publish());
    drop(attached);
    let all = steps_in(trace.path());
    let mut killed = 0;
    for (number, step) in all.iter().enumerate() {
        // Counted by thread when it kills, over all threads here: some steps come later than in this list, or never.
        killed += usize::from(kept.work_until_killed(step, number % 2 == 0));
        kept.comes_back(step);
    }
    println!("killed at {killed} of {} steps", all.len());
    assert!(killed > 20 && killed * 2 > all.len(), "killed at {killed} of {} steps", all.len());
}

/// Who has something of that file system open.
fn holders(device: u64) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let has_it = |process: &u32| {
        let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|fd| fs::metadata(fd.path()).is_ok_and(|found| found.dev() == device))
    };
    numbers.filter(has_it).collect()
}

#[test]
fn credentials_of_a_command_are_gone_when_the_agent_is_killed_and_nothing_of_them_is_mounted_or_on_disk() {
    if !host::is_root("credentials take the right to mount") {
        return;
    }
    let begun = std::time::SystemTime::now();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mut world = World::new();
    let gate = Gate::new(world.path("gate"));
    let policy = format!(
        "configcrate: first\nresources:\n  - name: signs\n    type: exec\n    command: \"read -r go < {}; cat $CREDENTIALS_DIRECTORY/key > /dev/null\"\n    credentials: {{key: \"secret:app/key\"}}\n    creates: \"{{{{ vars.root }}}}/never\"\n",
        gate.path().display()
    );
    world.stack("configcrates/first.vgo", &policy);
    world.start_server();
    let value = vigo_testkit::scan::Canary::fresh(vigo_testkit::scan::Kind::SixtyFour).unwrap();
    world.cli_with_input(&["secrets", "set", "app/key", "--exact"], &value.plain()).expect(0);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    let mut run = Running::start(world.vigo_command(&["run"]), world.path("agent.log"));
    let at = gate.reached(&mut run);
    let below = processes_below(run.id()).unwrap();
    let is_command = |process: &&u32| host::status(**process, "Name:").as_deref() == Some("sh");
    let command = *below.iter().find(is_command).expect("no command runs");
    // The control: by its descriptor, which root may follow, the value is found, and by that it is known who holds it.
    let file = PathBuf::from(format!("/proc/{command}/fd/3/key"));
    assert_eq!(fs::read(&file).unwrap(), value.plain(), "the control finds nothing");
    let device = fs::metadata(&file).unwrap().dev();
    // The hand lets go of them as soon as it has started the command.
    host::wait("the command alone holds them", || (holders(device) == [command]).then_some(()));

    run.child.kill().unwrap();
    run.ended();
    host::wait("nobody holds them", || holders(device).is_empty().then_some(()));
    drop(at);
    for process in below {
        host::wait("all of its processes end", || {
            (!Path::new(&format!("/proc/{process}")).exists()).then_some(())
        });
    }
    let of_ours = |table: &str| {
        let is_ramfs = |line: &&str| line.contains(" - ramfs ");
        table.lines().filter(is_ramfs).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(of_ours(&mounts()), of_ours(&before), "a ramfs is mounted");
    world.kill_server();
    let scanner = vigo_testkit::scan::Scanner::of([&value]);
    let scanned = scanner.folder(world.folder.path(), begun).unwrap();
    scanned.expect_nothing("an agent that was killed while a command held credentials");
}
