//! Swap, for real: a swap area of this test's own, and all that is ours in a memory cgroup that is pushed out into it while secrets are entered, held,
//! used, rotated and dropped. Nothing may ever have been written there, in no form and not in part; what was written stays, so that looking at the end
//! finds it, too. At every step an ordinary process in the same cgroup has a value in its heap, and it must be found; so must that of a hand whose
//! pages are ordinary ones.
//!
//! Swap belongs to the whole machine. This area is the last in rank, small, on a loop device over a file of its own, and goes when the test ends; where
//! the kernel does not let it be had (not root, a container), the test says so. What is not looked at: the command that the policy gives the values to.
//! It leaves the cgroup before it reads them, because an ordinary program's memory is swapped like any other's, as SECURITY.md says.
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
use host::cgroup::Cgroup;
use host::gate::{Gate, Running};
use host::holder::Holder;
use host::swap::Swap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use vigo_testkit::memory::processes_below;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};
use world::World;

/// Values of the usual size; one more is as long as a value can be.
const SHORT: usize = 20;
/// To so many bytes the group is held while the agent works: less than it and the hog want.
const TIGHT: u64 = 32 << 20;

#[test]
fn nothing_of_an_agent_that_is_pushed_out_is_in_swap() {
    let Some(mut bed) = Bed::new() else { return };
    bed.world.start_server();
    bed.enter(0);
    bed.world.publish().expect(0);
    bed.world.enroll("web-1").expect(0);
    bed.world.started_by = bed.cgroup.entering();
    let mut daemon = bed.daemon();
    let at = bed.handed.reached(&mut daemon);
    bed.look("handed over", &[daemon.id()], &["vigo", "vigo-net"]);
    bed.handed.pass(at);
    let at = bed.gate.reached(&mut daemon);
    bed.look("held and used", &[daemon.id()], &["vigo", "vigo-net"]);
    bed.world.started_by.clear();
    bed.enter(1);
    // From here the agent works under pressure.
    let hog = bed.squeeze();
    bed.gate.pass(at);
    let at = bed.handed.reached(&mut daemon);
    bed.handed.pass(at);
    let at = bed.gate.reached(&mut daemon);
    bed.cgroup.release();
    drop(hog);
    bed.look("rotated", &[daemon.id()], &["vigo", "vigo-net"]);
    bed.remove();
    bed.gate.pass(at);
    let at = bed.gate.reached(&mut daemon);
    bed.look("dropped", &[daemon.id()], &["vigo", "vigo-net"]);
    drop((daemon, at));
    bed.look_at_the_end();
}

#[test]
fn nothing_of_a_server_and_an_operator_that_are_pushed_out_is_in_swap() {
    let Some(mut bed) = Bed::new() else { return };
    bed.world.started_by = bed.cgroup.entering();
    bed.world.start_server();
    let server = bed.world.server_pid();
    bed.enter_slowly(|bed, operator| bed.look("entering", &[server, operator], &["vigosrv"]));
    let hog = bed.squeeze();
    bed.enter(0);
    bed.cgroup.release();
    drop(hog);
    bed.look("entered", &[server], &["vigosrv"]);
    bed.world.publish().expect(0);
    bed.world.enroll("web-1").expect(0);
    bed.world.started_by.clear();
    let mut daemon = bed.daemon();
    let at = bed.handed.reached(&mut daemon);
    bed.look("served", &[server], &["vigosrv"]);
    bed.remove();
    bed.look("removed", &[server], &["vigosrv"]);
    drop((daemon, at));
    bed.world.kill_server();
    bed.look_at_the_end();
}

#[test]
fn the_control_whose_hand_has_ordinary_pages_is_found_in_swap() {
    let Some(mut bed) = Bed::new() else { return };
    bed.world.start_server();
    // Who may lock no memory gets no protected pages.
    let unlocked = "prlimit --memlock=0:0 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock --";
    bed.world.started_by = bed.cgroup.entering();
    bed.world.started_by.extend(unlocked.split(' ').map(str::to_owned));
    let value = bed.values[0].first().unwrap().plain();
    let held = bed.hold_at_input(&value);
    let scanner = Scanner::of([&Canary::fresh(Kind::Plain).unwrap()]);
    let value = Canary::of(Kind::SixtyFour, &value);
    let scanned = host::patiently(|| {
        bed.cgroup.push_out();
        scanner.file(Sink::Swap, bed.swap.file(), &value)
    });
    assert!(scanned.is_ok(), "a hand with ordinary pages: {:?}", scanned.err());
    drop(held);
}

/// A swap area, a cgroup, and a world whose programs are started into it.
struct Bed {
    // In the order in which they go: first all processes with their cgroup, then swap, at last the folder with its file.
    cgroup: Cgroup,
    swap: Swap,
    /// Where a command stands that was handed values and has not read them.
    handed: Gate,
    /// Where one stands that was handed none.
    gate: Gate,
    world: World,
    /// The values at first, and after rotation.
    values: [Vec<Canary>; 2],
    scanner: Scanner,
}

impl Bed {
    fn new() -> Option<Self> {
        let left_out = "nothing was pushed into swap";
        if !host::is_root(left_out) {
            return None;
        }
        let world = World::in_folder(host::folder());
        let made = Swap::on(world.folder.path()).and_then(|swap| Ok((swap, Cgroup::new()?)));
        let (swap, cgroup) = made.map_err(|why| println!("{left_out}: {why}")).ok()?;
        println!("pressure by a memory cgroup of version {:?}", cgroup.version());
        let values = [values(), values()];
        let scanner = Scanner::of(values.iter().flatten());
        let [handed, gate] = ["handed", "gate"].map(|name| Gate::new(world.path(name)));
        let mut bed = Self { cgroup, swap, handed, gate, world, values, scanner };
        let policy = bed.policy();
        bed.world.stack("configcrates/first.vgo", &policy);
        Some(bed)
    }

    /// Every value in a file, plain and in base64, and on a standard input; two that wait to be read; then the gate.
    fn policy(&self) -> String {
        let (mut lines, mut encoded) = (String::new(), String::new());
        for number in 0..=SHORT {
            writeln!(lines, "      {number} secret:app/v{number}").unwrap();
            writeln!(encoded, "      {{{{ secret(\"app/v{number}\") | b64encode }}}}").unwrap();
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
    command: "{leave}; exec cat > /dev/null"
    creates: "{{{{ vars.root }}}}/never"
    stdin: |
{lines}
  - name: handed
    type: exec
    command: "exec cat {handed}"
    creates: "{{{{ vars.root }}}}/never"
    stdin: secret:app/v0
    credentials: {{key: "secret:app/v1"}}
  - name: gate
    type: exec
    command: "exec cat {gate}"
    creates: "{{{{ vars.root }}}}/never"
"#,
            leave = self.cgroup.leaving(),
            handed = self.handed.path().display(),
            gate = self.gate.path().display(),
        )
    }

    fn daemon(&self) -> Running {
        let command = self.world.vigo_command(&["daemon", "--interval", "1s"]);
        Running::start(command, self.world.path("agent.log"))
    }

    /// Sets every secret to its value of that generation.
    fn enter(&self, generation: usize) {
        for (number, value) in self.values[generation].iter().enumerate() {
            let path = format!("app/v{number}");
            self.world.cli_with_input(&["secrets", "set", &path, "--exact"], &value.plain()).expect(0);
        }
    }

    /// Sets the first, and does something while the operator's hand has all of it but its end.
    fn enter_slowly(&mut self, meanwhile: impl FnOnce(&mut Self, u32)) {
        let value = self.values[0].first().unwrap().plain();
        let mut operator = self.hold_at_input(&value);
        meanwhile(self, operator.0.id());
        drop(operator.0.stdin.take());
        assert!(operator.0.wait().unwrap().success());
    }

    /// An operator whose hand holds the value and waits for the end of its input.
    fn hold_at_input(&self, value: &[u8]) -> Ends {
        let mut command = self.world.cli_command(&["secrets", "set", "app/v0", "--exact"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut operator = Ends(command.spawn().unwrap());
        let input = operator.0.stdin.as_mut().unwrap();
        input.write_all(value).unwrap();
        host::wait("the hand reads the value", || {
            (rustix::io::ioctl_fionread(&*input).unwrap() == 0).then_some(())
        });
        operator
    }

    fn remove(&self) {
        for number in 0..=SHORT {
            self.world.cli(&["secrets", "rm", &format!("app/v{number}"), "--force"]).expect(0);
        }
    }

    /// A program that wants more memory than there is, and goes on wanting it.
    fn squeeze(&self) -> Ends {
        let mut words = self.cgroup.entering();
        let hog = "while :; do head -c 48000000 /dev/zero | tail -c 40000000 > /dev/null; done";
        words.extend(["sh", "-c", hog].map(str::to_owned));
        self.cgroup.squeeze(TIGHT);
        Ends(Command::new(&words[0]).args(&words[1..]).spawn().unwrap())
    }

    /// Pushes out all that can be, sees that these and an ordinary process were, and looks for values.
    fn look(&mut self, phase: &str, roots: &[u32], swapped: &[&str]) {
        let control = Canary::fresh(Kind::SixtyFour).unwrap();
        let holder = Holder::of(&self.cgroup.entering(), &control.plain());
        self.cgroup.push_out();
        let mut ours = roots.to_vec();
        roots.iter().for_each(|root| ours.extend(processes_below(*root).unwrap()));
        for name in swapped {
            let of_that_name =
                ours.iter().filter(|process| host::status(**process, "Name:").as_deref() == Some(name));
            let out: Vec<u64> = of_that_name.map(|process| kibibytes(*process, "VmSwap:")).collect();
            println!("{phase}: KiB of {name} in swap: {out:?}");
            assert!(out.iter().any(|kibibytes| *kibibytes > 0), "{phase}: nothing of {name} was pushed out");
        }
        self.scan(phase, &control);
        drop(holder);
    }

    /// When all have ended, and when the area is out of use: what was once written is there still.
    fn look_at_the_end(&mut self) {
        let control = Canary::fresh(Kind::SixtyFour).unwrap();
        let holder = Holder::of(&self.cgroup.entering(), &control.plain());
        self.scan("ended", &control);
        drop(holder);
        self.swap.off();
        self.scan("swapped off", &control);
    }

    fn scan(&self, phase: &str, control: &Canary) {
        // Which pages go is the kernel's choice, and they may still be on their way.
        let scanned = host::patiently(|| {
            self.cgroup.push_out();
            self.scanner.file(Sink::Swap, self.swap.file(), control)
        });
        let scanned = scanned.unwrap_or_else(|blind| panic!("{phase}: {blind}"));
        println!("{phase}: {} MB in use, {} MB looked at", self.swap.used() >> 20, scanned.read >> 20);
        scanned.expect_nothing(phase);
    }
}

/// A process that goes with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn values() -> Vec<Canary> {
    let kinds = [Kind::SixtyFour; SHORT].into_iter().chain([Kind::Longest]);
    kinds.map(|kind| Canary::fresh(kind).unwrap()).collect()
}

fn kibibytes(process: u32, key: &str) -> u64 {
    let line = host::status(process, key).unwrap_or_default();
    line.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
