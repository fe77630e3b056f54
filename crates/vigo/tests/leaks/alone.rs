//! Where a value is found in memory while there is no server: `vigo apply --secrets DIR` while it holds and uses a value, and `vigocli secrets rotate`
//! while it makes one. Nothing may be found but in pages of the hand that nobody can read. The controls have pages that can be read.

use crate::world::{World, binary, run};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use vigo_sys::arena::{self, Choice, Kind as Pages};
use vigo_testkit::memory::processes_below;
use vigo_testkit::scan::{Canary, Hit, Kind, PATIENCE, Scanned, Scanner};

#[test]
fn an_apply_with_a_vault_holds_its_secrets_in_the_pages_of_its_hand_alone() {
    let Some((canaries, world)) = prepared() else { return };
    let (scanned, hand) = scanned_while_applying(&world, &canaries);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    if secret_pages() {
        scanned.expect_nothing("pages that nobody can read were read");
        let is_secret =
            |place: &String| place.contains("secretmem") && place.contains(&format!("process {hand}:"));
        assert!(scanned.unreadable.iter().any(is_secret), "{:?}", scanned.unreadable);
    }
}

#[test]
fn the_control_of_apply_whose_pages_can_be_read_finds_every_secret_in_its_hand() {
    let Some((canaries, mut world)) = prepared() else { return };
    fs::write(world.path("agent.yaml"), "arena: mlock\n").unwrap();
    world.environment = vec![("VIGO_CONFIG", world.path("agent.yaml").to_str().unwrap().to_owned())];
    let (scanned, hand) = scanned_while_applying(&world, &canaries);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    for (number, canary) in canaries.iter().enumerate() {
        let whole = |hit: &&Hit| hit.canary == number && hit.length == canary.length();
        assert!(
            scanned.hits.iter().any(|hit| whole(&hit)),
            "{:?} was not seen: {:?}",
            canary.kind(),
            scanned.hits
        );
    }
}

#[test]
fn a_value_that_rotate_makes_is_in_the_pages_of_its_hand_alone_while_it_is_sealed() {
    let Some((_, world)) = prepared() else { return };
    let (scanned, hand) = scanned_while_rotating(&world, &[]);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    if secret_pages() {
        scanned.expect_nothing("pages that nobody can read were read");
    }
}

#[test]
fn the_control_of_rotate_whose_pages_can_be_read_finds_the_value_in_its_hand() {
    let Some((_, world)) = prepared() else { return };
    let (scanned, hand) = scanned_while_rotating(&world, &PLAIN_PAGES);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    assert!(!scanned.hits.is_empty(), "the value was not seen, though it could be read");
}

#[test]
fn values_that_are_imported_are_in_the_pages_of_their_hand_alone_while_they_are_sealed() {
    let Some(world) = importing() else { return };
    let (scanned, hand) = scanned_while_importing(&world, &[]);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    if secret_pages() {
        scanned.expect_nothing("pages that nobody can read were read");
    }
}

#[test]
fn the_control_of_import_whose_pages_can_be_read_finds_every_value_in_its_hand() {
    let Some(world) = importing() else { return };
    let (scanned, hand) = scanned_while_importing(&world, &PLAIN_PAGES);
    assert_eq!(outside(&scanned, hand), [] as [&Hit; 0]);
    let found = |value: usize| scanned.hits.iter().any(|hit| hit.canary == value);
    assert!(
        (0..INLINE.len()).all(found),
        "the values were not seen, though they could be read: {:?}",
        scanned.hits
    );
}

#[test]
fn a_passphrase_and_an_identity_on_their_way_in_are_in_the_pages_of_the_hand_alone() {
    let Some(world) = importing() else { return };
    for (option, file) in [("--source-passphrase-file", "inline.yaml"), ("--identity-file", "sops.yaml")] {
        let canary = Canary::fresh(Kind::SixtyFour).unwrap();
        for (before, readable) in [(&[][..], false), (&PLAIN_PAGES[..], true)] {
            let (scanned, hand) = scanned_while_reading(&world, option, file, &canary, before);
            assert_eq!(outside(&scanned, hand), [] as [&Hit; 0], "{option}");
            if readable {
                assert!(!scanned.hits.is_empty(), "{option} was not seen, though it could be read");
            } else if secret_pages() {
                scanned.expect_nothing("pages that nobody can read were read");
            }
        }
    }
}

/// The values of `inline.yaml`, which Ansible Vault has encrypted.
const INLINE: [&[u8]; 2] = [b"hunter22hunter22", b"7-otters-Kx9Qm"];

/// A world without a vault. Only root may look into processes that are not dumpable.
fn importing() -> Option<World> {
    if rustix::process::geteuid().is_root() {
        return Some(World::new());
    }
    println!("not root: no process was scanned");
    None
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/fixtures").join(name)
}

/// Imports into a new vault, and stops the hand when it seals the second value: both stand there in the clear.
fn scanned_while_importing(world: &World, before: &[&str]) -> (Scanned, u32) {
    let mut usual = vault(world, &["import"]);
    usual.arg(fixture("inline.yaml")).arg("--source-passphrase-file").arg(fixture("phrase"));
    // The vault's own key has taken random bytes once, the first value twice.
    let (kept, hand) = stopped(world, &usual, before, 4);
    let canaries = INLINE.map(|value| Canary::of(Kind::Plain, value));
    (kept.search_all(&canaries), hand)
}

/// Imports, and leaves the hand reading what opens the file: a pipe that gives it, and does not end.
fn scanned_while_reading(
    world: &World,
    option: &str,
    file: &str,
    canary: &Canary,
    before: &[&str],
) -> (Scanned, u32) {
    use std::io::Write as _;
    let pipe = world.path("pipe");
    let _before = fs::remove_file(&pipe);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut usual = vault(world, &["import"]);
    usual.arg(fixture(file)).arg(option).arg(&pipe);
    let all = before.iter().map(std::ffi::OsStr::new).chain([usual.get_program()]).chain(usual.get_args());
    let all: Vec<_> = all.collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).stdout(Stdio::null());
    let log = world.path("import.log");
    command.stderr(File::create(&log).unwrap());
    let mut importer = Ended(command.spawn().unwrap());
    let mut held = reached(&pipe, &mut importer.0, &log);
    held.write_all(&canary.plain()).unwrap();
    // It has taken everything when nothing is left in the pipe (FIONREAD, pipe(7)).
    let deadline = Instant::now() + PATIENCE;
    while rustix::io::ioctl_fionread(&held).unwrap() > 0 {
        assert!(Instant::now() < deadline, "the hand did not read");
        pause();
    }
    let ours = ours(importer.0.id());
    let processes: Vec<u32> = ours.iter().map(|(process, _)| *process).collect();
    assert_eq!(processes.len(), 2, "the operator's tool and its hand: {ours:?}");
    (Scanner::of([canary]).memory(&processes).unwrap(), hand_of(&ours))
}

/// Makes what follows lock no memory, so that its hand has plain pages.
const PLAIN_PAGES: [&str; 6] =
    ["prlimit", "--memlock=0:0", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "--"];

fn secret_pages() -> bool {
    let has = arena::probe(Choice::Auto).0 == Pages::Secret;
    if !has {
        println!("no memfd_secret pages here; what hands hold in others was not held against them");
    }
    has
}

/// A vault with three values, and a policy that uses them. Only root may look into processes that are not dumpable.
fn prepared() -> Option<(Vec<Canary>, World)> {
    if !rustix::process::geteuid().is_root() {
        println!("not root: no process was scanned");
        return None;
    }
    let canaries = [Kind::Plain, Kind::SixtyFour, Kind::Longest].map(|kind| Canary::fresh(kind).unwrap());
    let mut world = World::new();
    for (number, canary) in canaries.iter().enumerate() {
        let mut set = vault(&world, &["set", &format!("app/v{number}")]);
        set.arg("--exact");
        run(set, &canary.plain()).expect(0);
    }
    world.stack("configcrates/first.vgo", POLICY);
    Some((canaries.into(), world))
}

/// The content is used first; the command waits at its gate with all three on its input.
const POLICY: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/all"
    content: |
      0 secret:app/v0
      1 {{ secret("app/v1") | b64encode }}
      2 secret:app/v2
  - type: exec
    command: "cat > /dev/null; exec cat {{ vars.root }}/../gate"
    creates: "{{ vars.root }}/never"
    stdin: "secret:app/v0 secret:app/v1 secret:app/v2"
"#;

fn vault(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(binary("vigocli"));
    command.args(["secrets", "--vault"]).arg(world.path("vault")).args(words);
    command
}

/// Ended with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Scans `vigo apply` and all of ours below it while its command stands at the gate. Also says which process is the hand.
fn scanned_while_applying(world: &World, canaries: &[Canary]) -> (Scanned, u32) {
    let gate = world.path("gate");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let [stacks, secrets] = ["stacks", "vault"].map(|name| world.path(name).to_str().unwrap().to_owned());
    let log = File::create(world.path("agent.log")).unwrap();
    let mut command = world.vigo_command(&["apply", &stacks, "--name", "web-1", "--secrets", &secrets]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut agent = Ended(command.spawn().unwrap());
    let held = reached(&gate, &mut agent.0, &world.path("agent.log"));
    let ours = ours(agent.0.id());
    assert_eq!(ours.len(), 2, "the agent and its hand: {ours:?}");
    let processes: Vec<u32> = ours.iter().map(|(process, _)| *process).collect();
    let scanned = Scanner::of(canaries).memory(&processes).unwrap();
    drop(held);
    assert!(agent.0.wait().unwrap().success(), "{}", fs::read_to_string(world.path("agent.log")).unwrap());
    (scanned, hand_of(&ours))
}

/// Waits until a command reads from the gate; it stands there as long as what this gives is not dropped. fifo(7): ENXIO without a reader.
fn reached(gate: &Path, agent: &mut Child, log: &Path) -> File {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(file) = fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(gate) {
            return file;
        }
        let ended = agent.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "{ended:?}: {}",
            fs::read_to_string(log).unwrap()
        );
        pause();
    }
}

/// Rotates, and stops the hand amid it: the thread that works has asked for random bytes for the value and for the key that seals it, and asks for
/// those of the nonce. What memory holds then is kept, and searched when the value is known.
fn scanned_while_rotating(world: &World, before: &[&str]) -> (Scanned, u32) {
    let usual = vault(world, &["rotate", "app/v1"]);
    let (kept, hand) = stopped(world, &usual, before, 4);
    let value = run(vault(world, &["get", "app/v1", "--stdout"]), b"").expect(0).out;
    assert!(value.len() >= 20, "too short to be looked for");
    (kept.search_all(&[Canary::of(Kind::Plain, value.as_bytes())]), hand)
}

/// Runs what an operator runs, stops its hand when a thread asks for random bytes for the so-manieth time, keeps what memory holds then, and lets it
/// go on to its end. Also says which process is the hand.
fn stopped(world: &World, usual: &Command, before: &[&str], at: u32) -> (Kept, u32) {
    let mut strace = Command::new("strace");
    let trace = world.path("trace");
    strace.arg("-f").arg("-o").arg(&trace).args(["-e", "trace=getrandom"]);
    strace.arg(format!("--inject=getrandom:signal=STOP:when={at}")).args(before);
    strace.arg(usual.get_program()).args(usual.get_args()).stdout(Stdio::null());
    let mut strace = Ended(strace.spawn().unwrap());
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&trace).is_ok_and(|text| text.contains("stopped by SIGSTOP")) {
        assert!(Instant::now() < deadline && strace.0.try_wait().unwrap().is_none(), "it was not stopped");
        pause();
    }
    let ours = ours(strace.0.id());
    let processes: Vec<u32> = ours.iter().map(|(process, _)| *process).collect();
    assert_eq!(processes.len(), 2, "the operator's tool and its hand: {ours:?}");
    let kept = Kept::of(&processes, &world.path("memory"));
    // Every thread of them stops once at that call.
    let ended = loop {
        if let Some(ended) = strace.0.try_wait().unwrap() {
            break ended;
        }
        assert!(Instant::now() < deadline, "it did not go on");
        for process in &processes {
            let pid = rustix::process::Pid::from_raw(i32::try_from(*process).unwrap()).unwrap();
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        }
        pause();
    };
    assert!(ended.success(), "{ended} {:?}", ended.signal());
    (kept, hand_of(&ours))
}

/// Copies of the memory of processes, a file for each mapping.
struct Kept {
    folder: PathBuf,
    mappings: Vec<String>,
    unreadable: Vec<String>,
    control: Canary,
}

impl Kept {
    fn of(processes: &[u32], folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let control = Canary::fresh(Kind::Plain).unwrap();
        let holder = vigo_testkit::scan::Holder::of(&control).unwrap();
        let (mut mappings, mut unreadable) = (Vec::new(), Vec::new());
        for pid in processes.iter().copied().chain([holder.id()]) {
            vigo_testkit::memory::each_block(pid, 0, |mapping, _, block| {
                use std::io::Write as _;
                let place = format!("process {pid}: {mapping}");
                let Some(block) = block else { return unreadable.push(place) };
                if mappings.last() != Some(&place) {
                    mappings.push(place);
                }
                let path = folder.join((mappings.len() - 1).to_string());
                File::options().create(true).append(true).open(path).unwrap().write_all(block).unwrap();
            })
            .unwrap();
        }
        Self { folder: folder.to_owned(), mappings, unreadable, control }
    }

    fn search_all(self, canaries: &[Canary]) -> Scanned {
        let read = |look: &mut vigo_testkit::scan::Look<'_>| {
            self.mappings.iter().enumerate().try_for_each(|(number, place)| {
                look.reader(place, File::open(self.folder.join(number.to_string()))?)
            })
        };
        let sink = vigo_testkit::scan::Sink::Memory;
        let mut scanned = Scanner::of(canaries).scan(sink, "kept memory", &self.control, read).unwrap();
        scanned.unreadable = self.unreadable;
        scanned
    }
}

/// Those below a process that are ours, by name.
fn ours(root: u32) -> Vec<(u32, String)> {
    let name = |process: u32| {
        fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default().trim().to_owned()
    };
    let all = processes_below(root).unwrap().into_iter().chain([root]);
    all.map(|process| (process, name(process))).filter(|(_, name)| name.starts_with("vigo")).collect()
}

fn hand_of(ours: &[(u32, String)]) -> u32 {
    ours.iter().find(|(_, name)| name == "vigo-hand").expect("no hand").0
}

/// The hits that are not in the hand.
fn outside(scanned: &Scanned, hand: u32) -> Vec<&Hit> {
    scanned.hits.iter().filter(|hit| !hit.place.starts_with(&format!("process {hand}:"))).collect()
}

fn pause() {
    let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 2_000_000 });
}
