//! One cell: what came before, the run itself under its circumstance, a scan of everything it left, and what may stand where.

use crate::axes::{Cell, Circumstance, Operation, Step};
use crate::bed::{Bed, path, value_of};
use crate::host::descendants::{end_orphans, end_with_all_below};
use crate::recipes::template;
use crate::world::binary;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};
use vigo_testkit::scan::{Canary, Hit, Kind, PATIENCE, Sink};

/// Calls that change what is on disk.
const CHANGES: &str = "write,writev,pwrite64,ftruncate,fchmod,fchown,fchmodat,fchownat,linkat,renameat,renameat2,rename,\
                       unlinkat,unlink,mkdir,mkdirat,fsync,fdatasync";
const MEMORY: &str = "mmap,mremap,brk";
/// What a small disk holds.
const DISK: &str = "size=1m,mode=0700";

/// How often something happened, by name: the matrix proves nothing of what never happened.
pub type Tally = BTreeMap<&'static str, usize>;

struct Place<'a> {
    bed: &'a Bed,
    cell: &'a Cell,
    folder: PathBuf,
    disk: Option<Disk>,
    begun: SystemTime,
    log: PathBuf,
    control: Canary,
}

/// Runs a cell and looks at what it left. What is wrong, or what happened.
pub fn run(bed: &Bed, cell: &Cell, number: usize) -> Result<Tally, String> {
    let place = Place::new(bed, cell, number);
    place.prepare()?;
    let ended = place.measured()?;
    let mut tally = Tally::new();
    place.judge(&ended, &mut tally)?;
    let folder = place.folder.clone();
    drop(place);
    fs::remove_dir_all(folder).unwrap();
    Ok(tally)
}

impl<'a> Place<'a> {
    fn new(bed: &'a Bed, cell: &'a Cell, number: usize) -> Self {
        let folder = bed.path().join(format!("cell{number}"));
        let begun = SystemTime::now();
        ["disk", "home", "templates"].iter().for_each(|name| fs::create_dir_all(folder.join(name)).unwrap());
        let small = cell.circumstance() == Circumstance::DiskFull
            || cell.operation() == Operation::Fails(Step::ReadOnly);
        let disk = small.then(|| Disk::mount(&folder.join("disk")));
        let control = Canary::fresh(Kind::Plain).unwrap();
        let log = folder.join("out.log");
        let place = Self { bed, cell, folder, disk, begun, log, control };
        fs::create_dir(place.root()).unwrap();
        fs::write(place.folder.join("templates/made.j2"), template(&path(place.value()))).unwrap();
        fs::write(&place.log, [&place.control.plain()[..], b"\n"].concat()).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.folder.join("disk/root")
    }

    fn state(&self) -> PathBuf {
        let on_the_small_disk = self.cell.circumstance() == Circumstance::DiskFull && self.bit(0);
        self.folder.join(if on_the_small_disk { "disk/state" } else { "state" })
    }

    fn value(&self) -> usize {
        value_of(self.cell.at[0], self.cell.at[1])
    }

    fn bit(&self, number: u32) -> bool {
        self.cell.random >> number & 1 == 1
    }

    /// A number from one on, from its own part of the cell's random bits.
    fn nth(&self, from: u32, bound: u64) -> u64 {
        1 + (self.cell.random >> from) % bound
    }

    fn write_policy(&self, operation: Operation) {
        // What a command reads of the target may be in its memory when that is pushed out.
        let alone = self.cell.circumstance() == Circumstance::SwapPressure;
        let body = (self.cell.recipe().policy)(&path(self.value()), operation, alone);
        let text =
            format!("configcrate: cell\nvars: {{root: \"{}\"}}\nresources:\n{body}", self.root().display());
        fs::write(self.folder.join("cell.vgo"), text).unwrap();
    }

    /// What was there before.
    fn prepare(&self) -> Result<(), String> {
        let operation = self.cell.operation();
        if !matches!(operation, Operation::Create | Operation::Fails(Step::NoFolder | Step::OtherKind)) {
            self.write_policy(Operation::Create);
            self.plainly(0)?;
            if operation == Operation::Rollback {
                self.plainly(1)?;
            }
        }
        match operation {
            Operation::Fails(Step::OtherKind) => fs::create_dir(self.root().join("folder")).unwrap(),
            Operation::Fails(Step::ReadOnly) => self.disk.as_ref().unwrap().close(),
            _ => {}
        }
        if self.cell.circumstance() == Circumstance::DiskFull && operation != Operation::Fails(Step::ReadOnly)
        {
            self.disk.as_ref().unwrap().fill(self.nth(8, 6) - 1);
        }
        self.write_policy(operation);
        Ok(())
    }

    fn plainly(&self, version: usize) -> Result<(), String> {
        let ended = self.run(Command::new(binary("vigo")), version, &[])?;
        match ended.code() {
            Some(0) => Ok(()),
            _ => Err(format!("it could not be prepared, {ended}: {}", self.said())),
        }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// The version that the run applies.
    const fn version(&self) -> usize {
        match self.cell.operation() {
            Operation::Create | Operation::NoChange | Operation::Delete | Operation::Rollback => 0,
            _ => 1,
        }
    }

    /// The run that this cell is about.
    fn measured(&self) -> Result<ExitStatus, String> {
        let mut words = self.cell.speech().options().to_vec();
        match self.cell.operation() {
            Operation::DryRun => words.push("--dry-run"),
            Operation::Diff if !words.contains(&"--diff") => words.push("--diff"),
            _ => {}
        }
        self.run_struck(self.under_circumstance(), self.version(), &words, self.blow())
    }

    /// By strace(1), which is slow; the others are killed at some moment. Every step is met by the tests of kills alone.
    fn kills_at_a_step(&self) -> bool {
        self.cell.circumstance() == Circumstance::Killed && self.cell.random.is_multiple_of(3)
    }

    /// The signal that ends the run or its hand at some moment, and when.
    fn blow(&self) -> Option<(rustix::process::Signal, Duration)> {
        let signal = match self.cell.circumstance() {
            Circumstance::Killed if !self.kills_at_a_step() => rustix::process::Signal::KILL,
            Circumstance::Panic if !self.bit(1) => rustix::process::Signal::ABORT,
            _ => return None,
        };
        // Later where there is a hand: it is what holds values.
        Some((signal, Duration::from_micros(self.nth(32, if self.bit(2) { 20_000 } else { 60_000 }))))
    }

    /// Sends it: to the agent, or to its hand as soon as there is one.
    fn strike(&self, agent: u32, signal: rustix::process::Signal) -> bool {
        let is_hand = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "vigo-hand\n")
        };
        let whom = match self.bit(2) {
            true => vigo_testkit::memory::processes_below(agent).unwrap().into_iter().find(is_hand),
            false => Some(agent),
        };
        let pid = whom.and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
        pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
    }

    /// A command that runs what follows under the circumstance of this cell, up to the name of the program.
    fn under_circumstance(&self) -> Command {
        let mut words: Vec<String> = Vec::new();
        let mut inject: Vec<String> = Vec::new();
        let nth = self.nth(16, 6);
        if self.cell.operation() == Operation::Fails(Step::Call) {
            inject.push(format!("{CHANGES}:error=EIO:when={}", self.nth(24, 5)));
        }
        let mut limit = None;
        match self.cell.circumstance() {
            Circumstance::Normal | Circumstance::DiskFull => {}
            Circumstance::Killed if self.kills_at_a_step() => {
                inject.push(format!("{CHANGES}:signal=KILL:when={nth}"))
            }
            // At some moment: by `Place::run`.
            Circumstance::Killed => {}
            // The standard library panics when it gets no random bytes; an abort ends a process as a panic in a drop would.
            Circumstance::Panic if self.bit(1) => {
                inject.push(format!("getrandom:error=EIO:when={}+", nth.min(5)))
            }
            Circumstance::Panic => inject.push(format!("{CHANGES}:signal=ABRT:when={nth}")),
            Circumstance::OutOfMemory if self.bit(1) => {
                inject.push(format!("{MEMORY}:error=ENOMEM:when={}+", 8 + self.nth(16, 20)));
            }
            Circumstance::OutOfMemory => limit = Some(24 + self.nth(16, 60)),
            Circumstance::SwapPressure => {
                words.clone_from(&self.bed.entering);
            }
        }
        if !inject.is_empty() {
            words.extend(["strace", "-f", "-o", "/dev/null", "-e", "signal=none"].map(str::to_owned));
            // With a filter of the kernel only the calls that are named stop at strace; it injects errors then, but no signals.
            if !self.kills_at_a_step() {
                words.push("--seccomp-bpf".to_owned());
            }
            words.push("-e".to_owned());
            words.push(format!("trace={CHANGES},{MEMORY},getrandom"));
            words.extend(inject.into_iter().map(|each| format!("--inject={each}")));
        }
        if let Some(megabytes) = limit {
            words.extend(["prlimit".to_owned(), format!("--as={}", megabytes << 20)]);
        }
        words.push(binary("vigo").to_str().unwrap().to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    fn run(&self, command: Command, version: usize, words: &[&str]) -> Result<ExitStatus, String> {
        self.run_struck(command, version, words, None)
    }

    /// Runs it to its end, which may come by a signal; all it says goes into the log.
    fn run_struck(
        &self,
        mut command: Command,
        version: usize,
        words: &[&str],
        mut blow: Option<(rustix::process::Signal, Duration)>,
    ) -> Result<ExitStatus, String> {
        let log = File::options().append(true).open(&self.log).unwrap();
        command.arg("--state-dir").arg(self.state()).arg("apply").arg(self.folder.join("cell.vgo"));
        command.arg("--secrets").arg(self.bed.vault(version)).args(["--name", "web-1"]).args(words);
        let home = self.folder.join("home");
        command.current_dir(&home).env("HOME", &home).env("TMPDIR", &home).env("RUST_LOG", "trace");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(ended) = child.try_wait().unwrap() {
                if command.get_program() == "strace" {
                    end_orphans("strace ", &format!("{}/", self.folder.display()));
                }
                return Ok(ended);
            }
            if begun.elapsed() > PATIENCE {
                let below = vigo_testkit::memory::processes_below(child.id()).unwrap();
                // What strace stops does not end with it.
                end_with_all_below(child.id());
                let _reaped = child.wait();
                return Err(format!("it does not end, {below:?}: {}", self.said()));
            }
            if let Some((signal, when)) = blow
                && begun.elapsed() >= when
                && self.strike(child.id(), signal)
            {
                blow = None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Looks at everything that is there now.
    fn judge(&self, ended: &ExitStatus, tally: &mut Tally) -> Result<(), String> {
        let shown = |hits: &[&Hit]| format!("{hits:#?}\n{ended}; it said:\n{}", self.said());
        self.count(ended, tally);
        if self.cell.random.is_multiple_of(8) {
            self.ask_the_state();
        }
        let said = self.bed.scanner.file(Sink::Output, &self.log, &self.control).unwrap();
        let mut hits = self.bed.scanner.folder(&self.folder, self.begun).unwrap().hits;
        hits.extend(said.hits);
        let in_target = |hit: &&Hit| self.is_target(&hit.place) && hit.canary / 2 == self.value();
        *tally.entry("a value in its target").or_default() +=
            usize::from(hits.iter().any(|hit| in_target(&hit)));
        let candidates: Vec<&Hit> = hits.iter().filter(|hit| self.is_candidate(&hit.place)).collect();
        let leaks: Vec<&Hit> =
            hits.iter().filter(|hit| !in_target(hit) && !self.is_candidate(&hit.place)).collect();
        if !leaks.is_empty() {
            return Err(format!("a leak: {}", shown(&leaks)));
        }
        if ended.success() && self.cell.circumstance() == Circumstance::Normal {
            let other = 2 * self.value() + 1 - self.version();
            let old: Vec<&Hit> = hits.iter().filter(|hit| hit.canary == other).collect();
            if !old.is_empty() && self.cell.operation() != Operation::DryRun {
                return Err(format!("the other version is still there: {}", shown(&old)));
            }
        }
        self.judge_candidates(&candidates, tally).map_err(|what| format!("{what}: {}", shown(&candidates)))
    }

    fn is_target(&self, place: &str) -> bool {
        ["target", "copy"].iter().any(|name| Path::new(place) == self.root().join(name))
    }

    /// A file beside the target that a kill during its replacement left.
    fn is_candidate(&self, place: &str) -> bool {
        let path = Path::new(place);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.parent() == Some(&self.root()) && name.starts_with(".vigo-")
    }

    /// There is at most one, only where the run was broken off, of the target's mode, and the next start removes it.
    fn judge_candidates(&self, hits: &[&Hit], tally: &mut Tally) -> Result<(), String> {
        let files: std::collections::BTreeSet<&str> = hits.iter().map(|hit| hit.place.as_str()).collect();
        let Some(file) = files.first() else { return Ok(()) };
        *tally.entry("a file beside the target").or_default() += 1;
        let circumstance = self.cell.circumstance();
        let broken_off = !matches!(circumstance, Circumstance::Normal | Circumstance::DiskFull)
            || self.cell.operation() == Operation::Fails(Step::Call);
        if !broken_off || files.len() > 1 {
            return Err("a file beside the target".into());
        }
        let mode = fs::metadata(file).unwrap().mode() & 0o7777;
        if mode != 0o600 {
            return Err(format!("a file of mode {mode:o} beside the target"));
        }
        // What the disk was is no matter here: it was not full.
        self.write_policy(Operation::Create);
        let ended = self.run(Command::new(binary("vigo")), 1, &[])?;
        if Path::new(file).exists() {
            return Err(format!("the next start ({ended}) left it there"));
        }
        Ok(())
    }

    fn count(&self, ended: &ExitStatus, tally: &mut Tally) {
        let said = self.said();
        let mut add = |what: &'static str, how: bool| *tally.entry(what).or_default() += usize::from(how);
        add("ended well", ended.success());
        add("failed or blocked", ended.code() == Some(5));
        add("could not run", ended.code() == Some(1));
        let by =
            |number: i32| ended.signal() == Some(number) || said.contains(&format!("by signal {number}"));
        add("killed", by(9));
        add("aborted", by(6));
        add("a panic", said.contains("panicked at") || said.contains("panic at"));
        add("no space", said.contains("No space left"));
        add("no memory", said.contains("Cannot allocate memory") || said.contains("memory allocation"));
        add("an injected failure", said.contains("Input/output error"));
    }

    /// What the commands that only show say of such a run.
    fn ask_the_state(&self) {
        for words in [["status", "--json"], ["doctor", "--json"], ["traits", "--json"]] {
            let log = File::options().append(true).open(&self.log).unwrap();
            let mut command = Command::new(binary("vigo"));
            command.arg("--state-dir").arg(self.state()).args(words).args(["--log-level", "trace"]);
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let _whatever_it_says = command.status().unwrap();
        }
    }
}

/// A small disk in memory of its own, gone with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        Self::ask(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "vigo-leaks"]).arg(at));
        Self(at.to_owned())
    }

    /// Leaves so many pages free.
    fn fill(&self, pages: u64) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        let page = [0_u8; 4096];
        while file.write_all(&page).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(pages * 4096)).unwrap();
    }

    fn close(&self) {
        Self::ask(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0));
    }

    fn ask(command: &mut Command) {
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
