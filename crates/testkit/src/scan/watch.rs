//! Watches command lines, environments and open files in /proc while something runs, at a high rate, with the eyes of root, of the same user without
//! rights, or of another user. Each pair of eyes is a process of its own: the test program executed once more, which calls [`watch_from_stdin`].
//!
//! What is watched are the processes below one, found through /proc/PID/task/TID/children (proc_pid_task(5)), so that a round takes well under a
//! millisecond. The control is a process with a canary in its command line, its environment and a deleted open file; the watcher must have seen
//! what its eyes can see of it.
#![allow(clippy::disallowed_types, reason = "tests start ordinary processes")]

use super::files::nameless;
use super::{Blind, Canary, Kind, Needles, Sink};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where in /proc something was seen.
const PLACES: [&str; 4] = ["cmdline", "environ", "fd", "open file"];

/// With whose eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// Root, who sees everything.
    Root,
    /// The user of the processes, without any capability.
    SameUser,
    /// Another user.
    AnotherUser,
}

impl Eyes {
    /// Between two rounds. Root sees all that the others see, and looks most often: the shortest life of a child with a secret is two or three of these.
    const fn pause(self) -> Duration {
        match self {
            Self::Root => Duration::from_millis(1),
            Self::SameUser | Self::AnotherUser => Duration::from_millis(4),
        }
    }

    /// What of an ordinary process these see (proc_pid_environ(5), proc_pid_fd(5)).
    const fn sees(self) -> &'static [&'static str] {
        match self {
            Self::Root => &PLACES,
            Self::SameUser => &["cmdline", "environ", "fd"],
            Self::AnotherUser => &["cmdline"],
        }
    }
}

/// A canary that was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// Which, in the order in which they were given.
    pub canary: usize,
    /// `cmdline`, `environ`, `fd` (the name of an open file) or `open file` (the content of one without a name).
    pub place: String,
    /// The name of the process, and what it had open.
    pub process: String,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Canaries.
    pub sightings: BTreeSet<Sighting>,
    /// How often all processes were looked at.
    pub rounds: u64,
    /// How many processes were seen at all.
    pub processes: u64,
}

/// A watcher that runs.
pub struct Watcher {
    eyes: Eyes,
    child: Child,
    control: Child,
    canaries: usize,
}

impl Watcher {
    /// Starts watching all processes below `root`. `program` has to call [`watch_from_stdin`] as the user whose eyes these are; `holder` is a
    /// command that runs what follows as whom these eyes watch, or nothing.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        eyes: Eyes,
        mut program: Command,
        holder: &[&str],
        root: u32,
        canaries: &[Canary],
    ) -> io::Result<Self> {
        let control_canary = Canary::fresh(Kind::Plain)?;
        let control = hold(holder, &control_canary)?;
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut text = format!("{root} {}\n", eyes.pause().as_millis());
        for canary in canaries.iter().chain([&control_canary]) {
            let hex: String = canary.masked.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!(
                "{} {hex}\n",
                Kind::ALL.iter().position(|kind| *kind == canary.kind()).unwrap_or(0)
            ));
        }
        text.push_str("go\n");
        let input = child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(text.as_bytes())?;
        Ok(Self { eyes, child, control, canaries: canaries.len() })
    }

    /// Ends it, and says what it saw.
    ///
    /// # Errors
    /// If it did not see its control in every place that its eyes can see.
    pub fn finish(mut self) -> Result<Watched, Blind> {
        let source = format!("/proc with the eyes of {:?}", self.eyes);
        let failed = |cause| Blind::Unreadable { sink: Sink::ProcessTables, source: source.clone(), cause };
        drop(self.child.stdin.take());
        let mut text = String::new();
        let output = self.child.stdout.as_mut().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        output.read_to_string(&mut text).map_err(failed)?;
        let mut watched = Watched::default();
        let mut controls = BTreeSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                [.., "seen", canary, place, process] => {
                    let canary = canary.parse().unwrap_or(0);
                    if canary == self.canaries {
                        controls.insert((*place).to_owned());
                    } else {
                        let (place, process) = ((*place).to_owned(), (*process).to_owned());
                        watched.sightings.insert(Sighting { canary, place, process });
                    }
                }
                [.., "rounds", rounds, processes] => {
                    watched.rounds = rounds.parse().unwrap_or(0);
                    watched.processes = processes.parse().unwrap_or(0);
                }
                _ => {}
            }
        }
        if !self.eyes.sees().iter().all(|place| controls.contains(*place)) {
            let source = format!("{source}: of its control it saw {controls:?}; it said: {text}");
            return Err(Blind::ControlNotFound { sink: Sink::ProcessTables, source, read: watched.rounds });
        }
        Ok(watched)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for child in [&mut self.child, &mut self.control] {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// A process with the control in its command line, its environment, the name of an open file and the content of a deleted one.
fn hold(before: &[&str], control: &Canary) -> io::Result<Child> {
    let plain = control.plain();
    let text = String::from_utf8_lossy(&plain);
    let script = r#"folder=$(mktemp -d); exec 8>"$folder/$CONTROL"; exec 9>"$folder/deleted"; printf %s "$CONTROL" >&9
                    rm -r "$folder"; read -r end"#;
    let words: Vec<&str> = before.iter().copied().chain(["sh", "-c", script, "control", &text]).collect();
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Command::new(program).args(arguments).env("CONTROL", &*text).stdin(Stdio::piped()).spawn()
}

/// The watcher's side: reads what to look for from standard input, looks until that ends, and prints what it saw.
///
/// # Errors
/// If what it reads is not what [`Watcher::start`] writes.
#[allow(clippy::print_stdout, reason = "what it says is read by the one who started it")]
pub fn watch_from_stdin() -> io::Result<()> {
    let next = || {
        let mut line = String::new();
        match io::stdin().read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line),
        }
    };
    let line = next()?;
    let (root, pause) = line.trim().split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
    let root: u32 = root.parse().map_err(io::Error::other)?;
    let pause = Duration::from_millis(pause.parse().map_err(io::Error::other)?);
    let mut canaries = Vec::new();
    loop {
        let line = next()?;
        let Some((kind, hex)) = line.trim().split_once(' ') else { break };
        let kind = kind.parse().ok().and_then(|at: usize| Kind::ALL.get(at)).copied().unwrap_or(Kind::Plain);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        canaries.push(Canary { kind, masked: hex.as_bytes().chunks(2).filter_map(byte).collect() });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _end = io::stdin().lock().skip_until(0);
        told.store(true, Ordering::Relaxed);
    });
    let mut eyes =
        Looking { needles: Needles::of(&canaries), seen: HashSet::new(), processes: HashSet::new() };
    let mut rounds = 0_u64;
    let own = std::process::id();
    // One round more after the end was told, so that what came last is seen.
    loop {
        let last = stop.load(Ordering::Relaxed);
        below(root, &mut |pid| {
            if pid != own {
                eyes.look(pid);
            }
        });
        rounds += 1;
        if last {
            break;
        }
        std::thread::sleep(pause);
    }
    println!("\nrounds\t{rounds}\t{}", eyes.processes.len());
    Ok(())
}

/// Every process below one, itself not.
fn below(root: u32, each: &mut dyn FnMut(u32)) {
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_ascii_whitespace().filter_map(|word| word.parse().ok()) {
                each(child);
                todo.push(child);
            }
        }
    }
}

struct Looking {
    needles: Needles,
    /// What was searched already.
    seen: HashSet<u64>,
    processes: HashSet<u32>,
}

impl Looking {
    fn look(&mut self, pid: u32) {
        self.processes.insert(pid);
        for place in ["cmdline", "environ"] {
            if let Ok(bytes) = fs::read(format!("/proc/{pid}/{place}")) {
                self.search(pid, place, "", &bytes);
            }
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(link) = fs::read_link(&path) else { continue };
            let link = link.to_string_lossy().into_owned();
            self.search(pid, "fd", "", link.as_bytes());
            if nameless(&path).is_some() {
                self.search_content(pid, &path, &link);
            }
        }
    }

    fn search_content(&mut self, pid: u32, path: &Path, link: &str) {
        let mut content = Vec::new();
        let opened = fs::File::open(path).and_then(|file| file.take(4 << 20).read_to_end(&mut content));
        if opened.is_ok() {
            self.search(pid, "open file", link, &content);
        }
    }

    #[allow(clippy::print_stdout, reason = "what it says is read by the one who started it")]
    fn search(&mut self, pid: u32, place: &str, what: &str, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        (place, what, bytes).hash(&mut hasher);
        if bytes.is_empty() || !self.seen.insert(hasher.finish()) {
            return;
        }
        let found: BTreeSet<usize> =
            self.needles.find_in_text(bytes).into_iter().map(|hit| hit.canary).collect();
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        for canary in found {
            println!("\nseen\t{canary}\t{place}\t{} {what}", name.trim());
        }
    }
}
