//! The leak matrix: every attribute that takes a secret x every kind of value x what is asked x what is shown x what happens meanwhile. In CI 400 cells
//! that hold every pair of two of these, from a seed; with `VIGO_LEAK_MATRIX=full` every cell, with `VIGO_LEAK_MATRIX=3/64` the third of 64 parts of them. Watched from outside as it runs, by root, by the same
//! user without rights and by another user.

use crate::axes::Circumstance;
use crate::axes::{Cell, all, sampled, sizes, slice};
use crate::bed::{Bed, Pressure, recipe_of};
use crate::cell::{self, Tally};
use crate::host::descendants::Descendants;
use crate::world::binary;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use vigo_resource::SecretRule;
use vigo_testkit::scan::{Eyes, Sighting, Watched, Watcher};

/// Cells in CI.
const CELLS: usize = 400;
/// The seed when the environment says none: any would do, this one is the same every time.
const SEED: u64 = 20_251;
/// Cells that run at once, at least: they wait more than they work.
const AT_ONCE: usize = 2;
/// After so many cells it is said how far it is.
const STRIDE: usize = 100;

#[test]
fn no_cell_of_the_leak_matrix_leaves_a_value_anywhere_but_in_its_target() {
    let has_strace = Command::new("strace").arg("-V").output().is_ok();
    if !rustix::process::geteuid().is_root() || !has_strace {
        println!("the leak matrix was not run: it takes root, and strace(1)");
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("VIGO_LEAK_SEED").unwrap_or(SEED);
    let count = number("VIGO_LEAK_CELLS").map_or(CELLS, |count| usize::try_from(count).unwrap());
    let cells = match std::env::var("VIGO_LEAK_MATRIX") {
        Ok(text) if text == "full" => all(seed, sizes()),
        Ok(part) => slice(all(seed, sizes()), &part),
        Err(_) => sampled(seed, sizes(), count),
    };
    println!("{} cells, VIGO_LEAK_SEED={seed}", cells.len());

    let begun = SystemTime::now();
    let descendants = Descendants::adopt();
    let mut bed = Bed::new();
    let watchers = Watchers::start(&bed);
    let (pressed, others): (Vec<Cell>, Vec<Cell>) =
        cells.iter().copied().partition(|cell| cell.circumstance() == Circumstance::SwapPressure);
    let mut tally = run_all(&bed, &others);
    // Together, and at the end: other tests wait for the swap area.
    let pressure =
        Pressure::on(bed.path()).map_err(|why| println!("no swap pressure in those cells: {why}")).ok();
    bed.entering = pressure.as_ref().map(Pressure::entering).unwrap_or_default();
    for (what, how) in run_all(&bed, &pressed) {
        *tally.entry(what).or_default() += how;
    }
    if let Some(pressure) = &pressure {
        pressure.judge(&bed.scanner);
    }
    drop(pressure);
    watchers.judge();
    descendants.expect_none();
    println!("{tally:#?}");
    // What never happened was not tested.
    for (what, least) in [
        ("a value in its target", cells.len() / 10),
        ("ended well", cells.len() / 10),
        ("failed or blocked", cells.len() / 20),
        ("killed", 5),
        ("a panic", 3),
        ("no space", 3),
        ("no memory", 3),
        ("an injected failure", 3),
    ] {
        assert!(tally.get(what).copied().unwrap_or(0) >= least.min(cells.len() / 80), "{what}: {tally:?}");
    }
    nothing_elsewhere(&bed, begun);
}

/// Runs the cells, and fails with all that leaked.
fn run_all(bed: &Bed, cells: &[Cell]) -> Tally {
    let (next, failed, tally) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Tally::new()));
    let all_begun = std::time::Instant::now();
    // Pressure is for two at a time.
    let cores =
        if bed.entering.is_empty() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    std::thread::scope(|scope| {
        for _ in 0..cores.max(AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    if at > 0 && at.is_multiple_of(STRIDE) {
                        println!("{at} of {} cells after {} s", cells.len(), all_begun.elapsed().as_secs());
                    }
                    let begun = std::time::Instant::now();
                    let result = cell::run(bed, cell, at);
                    if std::env::var_os("VIGO_LEAK_SAY").is_some() {
                        println!("{at} {:?} {}", begun.elapsed(), cell.name());
                    }
                    match result {
                        Ok(happened) => {
                            let mut tally = tally.lock().unwrap();
                            happened
                                .into_iter()
                                .for_each(|(what, how)| *tally.entry(what).or_default() += how);
                        }
                        Err(wrong) => failed.lock().unwrap().push(format!("{}: {wrong}", cell.name())),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cells:\n{}", failed.len(), cells.len(), failed.join("\n\n"));
    tally.into_inner().unwrap()
}

/// The usual places for what a program forgets, outside its own folders.
fn nothing_elsewhere(bed: &Bed, begun: SystemTime) {
    for folder in ["/var/tmp", "/dev/shm", "/run", "/var/log", "/var/lib/vigo", "/etc/vigo", "/var/crash"] {
        if Path::new(folder).is_dir() {
            match bed.scanner.folder(Path::new(folder), begun) {
                Ok(scanned) => scanned.expect_nothing(folder),
                Err(blind) => println!("{folder} was not scanned: {blind}"),
            }
        }
    }
}

/// The three pairs of eyes.
struct Watchers {
    watching: Vec<(Eyes, Watcher)>,
    folder: tempfile::TempDir,
}

/// Runs what follows as root without rights.
const WITHOUT_RIGHTS: [&str; 4] = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
const AS_ANOTHER: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

impl Watchers {
    fn start(bed: &Bed) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        // Another user can reach neither the folder of the build nor a private one.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("watcher");
        std::fs::copy(binary("vigo-eyes"), &program).unwrap();
        let start = |eyes: Eyes, before: &[&str], holder: &[&str]| {
            let mut words: Vec<&str> = before.to_vec();
            words.extend([program.to_str().unwrap(), "watch"]);
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).current_dir("/");
            (eyes, Watcher::start(eyes, command, holder, std::process::id(), &bed.canaries).unwrap())
        };
        let watching = vec![
            start(Eyes::Root, &[], &[]),
            start(Eyes::SameUser, &WITHOUT_RIGHTS, &WITHOUT_RIGHTS),
            start(Eyes::AnotherUser, &AS_ANOTHER, &[]),
        ];
        Self { watching, folder }
    }

    fn judge(self) {
        for (eyes, watcher) in self.watching {
            let seen = watcher.finish().unwrap_or_else(|blind| panic!("{blind}"));
            println!("{eyes:?}: {} rounds, {} processes", seen.rounds, seen.processes);
            let leaks: Vec<&Sighting> = seen.sightings.iter().filter(|one| !permitted(eyes, one)).collect();
            assert!(leaks.is_empty(), "{eyes:?}: {leaks:#?}");
            if eyes == Eyes::Root {
                saw_what_was_permitted(&seen);
            }
        }
        self.folder.close().unwrap();
    }
}

/// A value that the policy puts into an environment or a command line stands there, and a candidate without a name in its target's folder.
fn permitted(eyes: Eyes, one: &Sighting) -> bool {
    match (one.place.as_str(), recipe_of(one.canary).rule) {
        ("cmdline", SecretRule::Argv) => true,
        ("environ", SecretRule::Environment) => eyes != Eyes::AnotherUser,
        ("open file", SecretRule::Unexposed) => eyes == Eyes::Root && one.process.contains("/disk/root/"),
        _ => false,
    }
}

/// Children with a value live for a millisecond or two: who saw none of them was too slow to prove anything.
fn saw_what_was_permitted(seen: &Watched) {
    for (place, rule) in [("cmdline", SecretRule::Argv), ("environ", SecretRule::Environment)] {
        let saw = seen.sightings.iter().any(|one| one.place == place && recipe_of(one.canary).rule == rule);
        assert!(saw, "no value was seen in any {place}, though the policy put some there: {seen:?}");
    }
}
