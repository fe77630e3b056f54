//! Cores, for real: everything of ours, and what it starts, is crashed while it holds secrets, under a core_pattern that writes files and one that pipes
//! into a program, started with core limits of 0, 1 and none. Nothing of ours may leave a core, nor a command that got a secret; a command that got none
//! leaves the core that it would leave without us. The control, an ordinary process under the same pattern, leaves a core in which its value is found.
//!
//! core_pattern is one for the whole machine: no namespace has its own. It is set all the same, because the clause is about what the kernel does, and
//! the only other place that has a kernel of its own, an emulated machine, takes minutes and is not to be had on every machine that builds this. For
//! those seconds cores of others land in a folder of the test's and go with it. How it is put back, whatever happens, stands in `host::core_pattern`;
//! where it cannot be set (not root, a container), the test says so.
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
use host::core_pattern::{CorePattern, Way};
use host::gate::{Gate, Running};
use host::holder::Holder;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use vigo_testkit::memory::processes_below;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};
use world::World;

/// What a crash can look like. All of them leave a core if they may (signal(7)).
const CRASHES: [Signal; 3] = [Signal::SEGV, Signal::ABORT, Signal::QUIT];
/// Soft limits that programs are started with (getrlimit(2)).
const LIMITS: [&str; 3] = ["0", "1", "unlimited"];
const VALUES: usize = 3;
/// Crashes at points that nobody chose, for each signal and limit.
const ANYWHERE: u64 = 2;

#[test]
fn no_crash_of_ours_leaves_a_core_file() {
    crash_everything(Way::File);
}

#[test]
fn no_crash_of_ours_is_piped_into_a_program() {
    crash_everything(Way::Pipe);
}

fn crash_everything(way: Way) {
    let left_out = "nothing was crashed";
    if !host::is_root(left_out) {
        return;
    }
    if let Some(hard) = getrlimit(Resource::Core).maximum {
        println!("{left_out}: this test may have no core of more than {hard} bytes");
        return;
    }
    let pattern = match CorePattern::set(way) {
        Ok(pattern) => pattern,
        Err(why) => return println!("{left_out}: {why}"),
    };
    if !an_ordinary_process_leaves_a_core(&pattern, "unlimited") {
        // The kernel starts the program where it has its own root, which in a container is not ours.
        assert!(way == Way::Pipe && !is_where_the_kernel_is(), "no core was left: this test could not fail");
        return println!("{left_out}: the program that takes cores cannot be reached from here");
    }
    for limit in LIMITS {
        Round::new(&pattern, way, limit).go();
    }
}

/// Whether it left one; in that its value must be found.
fn an_ordinary_process_leaves_a_core(pattern: &CorePattern, limit: &str) -> bool {
    let control = Canary::fresh(Kind::SixtyFour).unwrap();
    let mut holder = Holder::of(&started_with(limit), &control.plain());
    send(holder.id(), Signal::SEGV);
    let _ended = holder.ended();
    let Some(core) = pattern.take(holder.id()) else { return false };
    let scanner = Scanner::of([&Canary::fresh(Kind::Plain).unwrap()]);
    scanner.bytes(Sink::Core, "an ordinary core", &core, &control).unwrap().expect_nothing("a fresh canary");
    true
}

fn is_where_the_kernel_is() -> bool {
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let is_the_kernels = fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd");
    is_the_kernels && mounts("2") == mounts("self")
}

/// Words before a command that give it this soft limit on cores.
fn started_with(limit: &str) -> Vec<String> {
    vec!["prlimit".to_owned(), format!("--core={limit}:"), "--".to_owned()]
}

/// A world whose programs were all started with one limit.
struct Round<'a> {
    pattern: &'a CorePattern,
    world: World,
    way: Way,
    limit: &'a str,
    /// By what everything is crashed at the moment.
    crash: Signal,
    /// Whether an ordinary process that was started so leaves a core.
    ordinary_leaves_one: bool,
    with_secret: Gate,
    without_secret: Gate,
    /// What the command without a secret has in its memory.
    plain: Canary,
    values: Vec<Canary>,
    scanner: Scanner,
}

impl<'a> Round<'a> {
    fn new(pattern: &'a CorePattern, way: Way, limit: &'a str) -> Self {
        let mut world = World::new();
        world.started_by = started_with(limit);
        let (with_secret, without_secret) = (world.path("with"), world.path("without"));
        let plain = Canary::fresh(Kind::SixtyFour).unwrap();
        fs::write(world.path("plain"), [plain.plain(), b"\n".to_vec()].concat()).unwrap();
        let policy = policy(&world);
        world.stack("configcrates/first.vgo", &policy);
        let values: Vec<Canary> = (0..VALUES).map(|_| Canary::fresh(Kind::SixtyFour).unwrap()).collect();
        let scanner = Scanner::of(&values);
        // core(5): a limit of 0 stops a file and not a program; 1 stops both.
        let ordinary_leaves_one = match (way, limit) {
            (_, "unlimited") | (Way::Pipe, "0") => true,
            (_, _) => false,
        };
        assert_eq!(an_ordinary_process_leaves_a_core(pattern, limit), ordinary_leaves_one, "{way:?} {limit}");
        Self {
            pattern,
            world,
            way,
            limit,
            crash: Signal::SEGV,
            ordinary_leaves_one,
            with_secret: Gate::new(with_secret),
            without_secret: Gate::new(without_secret),
            plain,
            values,
            scanner,
        }
    }

    fn go(mut self) {
        self.world.start_server();
        for (number, value) in self.values.iter().enumerate() {
            let path = format!("app/v{number}");
            self.world.cli_with_input(&["secrets", "set", &path, "--exact"], &value.plain()).expect(0);
        }
        self.world.publish().expect(0);
        self.world.enroll("web-1").expect(0);
        for (number, crash) in (0..).zip(CRASHES) {
            println!("{:?}, started with a limit of {}, crashed by {crash:?}", self.way, self.limit);
            self.crash = crash;
            self.crash_the_operator();
            self.crash_the_commands();
            self.crash_the_agent();
            for anywhere in 0..ANYWHERE {
                self.crash_the_agent_anywhere(ANYWHERE * number + anywhere);
            }
            let server = self.world.server_pid();
            let crashed = self.crash_all("the server", server, self.crash);
            assert_eq!(crashed, ["vigo-hand", "vigosrv"]);
            self.world.kill_server();
            // As after any crash: it has what it acknowledged, and serves the next signal.
            if number + 1 < CRASHES.len() as u64 {
                self.world.start_server();
            }
        }
    }

    /// While its hand has a value and waits for its end.
    fn crash_the_operator(&self) {
        let mut command = self.world.cli_command(&["secrets", "set", "app/v0", "--exact"]);
        let mut operator =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = operator.stdin.take().unwrap();
        input.write_all(&self.values[0].plain()).unwrap();
        host::wait("the hand reads the value", || {
            (rustix::io::ioctl_fionread(&input).unwrap() == 0).then_some(())
        });
        let crashed = self.crash_all("the operator", operator.id(), self.crash);
        assert_eq!(crashed, ["vigo-hand", "vigocli"]);
        let _reaped = operator.wait();
    }

    /// Each while it holds what it was given; the agent lives on.
    fn crash_the_commands(&self) {
        let mut run = self.run();
        let at = self.with_secret.reached(&mut run);
        let command = self.command(&run);
        assert_eq!(limits(command), ["1", "1"], "a command with a secret");
        send(command, self.crash);
        drop(at);
        let at = self.without_secret.reached(&mut run);
        assert!(self.pattern.take(command).is_none(), "a command with a secret left a core");
        let command = self.command(&run);
        assert_eq!(limits(command), [self.limit, "unlimited"], "a command without a secret");
        send(command, self.crash);
        drop(at);
        let code = run.ended().code();
        assert_eq!(code, Some(5), "both commands failed and the run goes on:\n{}", run.said());
        let core = self.pattern.take(command);
        assert_eq!(core.is_some(), self.ordinary_leaves_one, "a command without a secret");
        if let Some(core) = core {
            let what = "the core of a command without a secret";
            self.scanner.bytes(Sink::Core, what, &core, &self.plain).unwrap().expect_nothing(what);
        }
    }

    fn crash_the_agent(&self) {
        let mut run = self.run();
        let at = self.with_secret.reached(&mut run);
        let command = self.command(&run);
        let crashed = self.crash_all("the agent", run.id(), self.crash);
        assert_eq!(crashed, ["vigo", "vigo-hand", "vigo-net"]);
        send(command, Signal::KILL);
        drop(at);
    }

    /// Somewhere between the start of the hand and the first gate.
    fn crash_the_agent_anywhere(&self, number: u64) {
        let mut run = self.run();
        host::wait("the hand starts", || {
            let ended = run.child.try_wait().unwrap();
            assert_eq!(ended, None, "{}", run.said());
            let below = processes_below(run.id()).unwrap();
            below.into_iter().find(|process| is_named(*process, "vigo-hand"))
        });
        // Spread over the milliseconds that this takes, the same at every run of the test.
        let nanoseconds = i64::try_from(number * 7_919 % 41 * 1_000_000).unwrap();
        let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: nanoseconds });
        // Not SIGSEGV, which takes two of them: the first would interrupt what it is to be crashed in.
        let crash = if self.crash == Signal::SEGV { Signal::ABORT } else { self.crash };
        let crashed = self.crash_all("the agent somewhere", run.id(), crash);
        assert!(!crashed.is_empty());
    }

    fn run(&self) -> Running {
        Running::start(self.world.vigo_command(&["run"]), self.world.path("agent.log"))
    }

    /// The command that stands at a gate.
    fn command(&self, run: &Running) -> u32 {
        let below = processes_below(run.id()).unwrap();
        below.into_iter().find(|process| is_named(*process, "sh")).expect("no command runs")
    }

    /// Crashes this one and all of ours below it, each while the others stand still: none can end another before its turn. Where the kernel lets
    /// them, they may have cores again: then only that they are not dumpable is in the way.
    fn crash_all(&self, what: &str, first: u32, crash: Signal) -> Vec<String> {
        if crash == Signal::SEGV {
            ours_below(first).into_iter().chain([first]).for_each(give_up_handler);
        }
        send(first, Signal::STOP);
        let mut ours = ours_below(first);
        ours.iter().for_each(|process| send(*process, Signal::STOP));
        ours.push(first);
        let mut crashed = Vec::new();
        for process in ours {
            let name = host::status(process, "Name:").unwrap_or_default();
            if self.limit == "unlimited" {
                let words = ["--core=unlimited:", "--pid", &process.to_string()];
                let _refused_for_hands = std::process::Command::new("prlimit").args(words).output();
            }
            send(process, crash);
            send(process, Signal::CONT);
            let ended = host::wait("a process crashes", || ended(process));
            // One that had just ended by itself is none.
            if let Some((signal, left_a_core)) = ended.filter(|(signal, _)| *signal == crash.as_raw()) {
                assert!(!left_a_core, "{what}: {name} left a core of {signal}");
                assert!(self.pattern.take(process).is_none(), "{what}: {name} left a core");
                crashed.push(name);
            }
        }
        crashed.sort();
        println!("{what}: crashed {crashed:?}");
        crashed
    }
}

/// A file with the values; a command that has one in its heap and one in its environment; one that has something else in its heap.
fn policy(world: &World) -> String {
    let mut lines = String::new();
    for number in 0..VALUES {
        writeln!(lines, "      secret:app/v{number}").unwrap();
    }
    let [plain, with, without] =
        ["plain", "with", "without"].map(|name| world.path(name).display().to_string());
    format!(
        r#"configcrate: first
resources:
  - name: target
    type: file
    target_path: "{{{{ vars.root }}}}/all"
    content: |
{lines}
  - name: with
    type: exec
    command: "IFS= read -r held; read -r end < {with}"
    creates: "{{{{ vars.root }}}}/never"
    stdin: |
{lines}
    environment: {{TOKEN: "secret:app/v1"}}
  - name: without
    type: exec
    command: "IFS= read -r held < {plain}; read -r end < {without}"
    creates: "{{{{ vars.root }}}}/never"
"#
    )
}

fn send(process: u32, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let _gone = kill_process(process, signal);
}

fn ours_below(process: u32) -> Vec<u32> {
    let mut below = processes_below(process).unwrap();
    below.retain(|process| host::status(*process, "Name:").is_some_and(|name| name.starts_with("vigo")));
    below
}

/// Rust's handler looks whether a stack overflowed; where none did it takes itself away and goes on, and only the next SIGSEGV is one.
fn give_up_handler(process: u32) {
    host::wait("a process gives up its handler", || {
        let caught = u64::from_str_radix(&host::status(process, "SigCgt:")?, 16).unwrap();
        let still = caught >> (Signal::SEGV.as_raw() - 1) & 1 == 1;
        if still {
            send(process, Signal::SEGV);
        }
        (!still).then_some(())
    });
}

fn is_named(process: u32, name: &str) -> bool {
    host::status(process, "Name:").as_deref() == Some(name)
}

/// The soft and the hard limit on cores.
fn limits(process: u32) -> [String; 2] {
    let text = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

/// None while it runs. By which signal it ended and whether it left a core, while nobody has reaped it (wait(2)); nothing if somebody has.
#[allow(clippy::option_option, reason = "not yet, and never again")]
fn ended(process: u32) -> Option<Option<(i32, bool)>> {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return Some(None) };
    // proc_pid_stat(5): the third field is the state, the last one the status as waitpid(2) gives it.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let status: i32 = fields.split_whitespace().last().unwrap().parse().unwrap();
    fields.starts_with('Z').then_some(Some((status & 0x7f, status & 0x80 != 0)))
}
