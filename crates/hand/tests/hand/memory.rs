//! Where a value is found in memory: every mapping of the hands and of their parent, read from outside by a third process.
//!
//! The values are made by one process and looked for by another, which knows them only in a changed form, so that the parent, which is this
//! test, never has them. The control has its arena in plain pages, where the scanner must find every value.

use crate::Test;
use crate::parts::{Server, absolute, pieces, placement, secret, spawner, start};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use vigo_hand::{Account, End, Hand, Output, Role, StartOptions, VaultRecord};
use vigo_sys::arena::Choice;

pub const TESTS: &[Test] = &[
    ("memory::no_value_is_found_outside_the_arena", nothing_is_found),
    ("memory::the_control_in_plain_pages_is_found", control_is_found),
];

/// By which the scanner's needles differ from the values.
const CHANGED: u8 = 0x55;
/// Fragments of this length count.
const FRAGMENT: usize = 16;

/// Writes so many values of a length into files `0`, `1` .. of a folder, and their changed form into `needles`.
pub fn write_values(arguments: &[String]) -> ExitCode {
    let (folder, count, length) =
        (Path::new(&arguments[0]), arguments[1].parse().unwrap(), arguments[2].parse::<usize>().unwrap());
    let mut needles = Vec::new();
    for number in 0..count {
        let mut value = Vec::new();
        while value.len() < length {
            let random = vigo_secret::random_array::<32>().unwrap();
            value.extend_from_slice(vigo_base::encode_hex(&random).as_bytes());
        }
        value.truncate(length);
        std::fs::write(folder.join(u32::to_string(&number)), &value).unwrap();
        value.iter_mut().for_each(|byte| *byte ^= CHANGED);
        needles.extend_from_slice(&value);
    }
    std::fs::write(folder.join("needles"), needles).unwrap();
    ExitCode::SUCCESS
}

/// Looks for fragments in every mapping of processes: `scan NEEDLES LENGTH PID..`. Prints a line for each mapping that has some.
pub fn scan(arguments: &[String]) -> ExitCode {
    let needles = std::fs::read(&arguments[0]).unwrap();
    let length: usize = arguments[1].parse().unwrap();
    // Of long values every sixteenth fragment: whoever holds 31 bytes of one in a row is found.
    let step = if length > 1000 { FRAGMENT } else { 1 };
    let mut fragments: HashSet<&[u8]> = HashSet::new();
    let mut starts = vec![false; 1 << 16];
    for needle in needles.chunks(length) {
        for fragment in needle.windows(FRAGMENT).step_by(step) {
            fragments.insert(fragment);
            starts[usize::from(fragment[0]) << 8 | usize::from(fragment[1])] = true;
        }
    }
    for process in &arguments[2..] {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
        let memory = File::open(format!("/proc/{process}/mem")).unwrap();
        for line in maps.lines() {
            let found = scan_mapping(line, &memory, &fragments, &starts);
            if found > 0 {
                println!("{process} {found} {line}");
            }
        }
    }
    ExitCode::SUCCESS
}

fn scan_mapping(line: &str, memory: &File, fragments: &HashSet<&[u8]>, starts: &[bool]) -> usize {
    let words: Vec<&str> = line.split_whitespace().collect();
    // Address space without pages; and what is mapped from a file and was never writable, so that it holds the file and nothing else.
    if words[1].starts_with("---")
        || (words[1].ends_with("-xp") && words.len() > 5 && words[5].starts_with('/'))
    {
        return 0;
    }
    let (from, to) = words[0].split_once('-').unwrap();
    let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
    let (mut found, mut run) = (0, Vec::new());
    let mut page = [0; 4096];
    for at in (from..to).step_by(page.len()) {
        // Protected pages, [vvar] and the like cannot be read: EIO. No fragment has a byte in an empty page.
        let is_read = memory.read_exact_at(&mut page, at).is_ok();
        if is_read && page != [0; 4096] {
            run.extend(page.iter().map(|byte| byte ^ CHANGED));
            continue;
        }
        found += count(&run, fragments, starts);
        run.clear();
    }
    found + count(&run, fragments, starts)
}

fn count(bytes: &[u8], fragments: &HashSet<&[u8]>, starts: &[bool]) -> usize {
    let is_start = |place: &[u8]| starts[usize::from(place[0]) << 8 | usize::from(place[1])];
    bytes.windows(FRAGMENT).filter(|window| is_start(window) && fragments.contains(*window)).count()
}

/// Values in files, which only hands read.
struct Values {
    folder: tempfile::TempDir,
    count: usize,
    length: usize,
}

impl Values {
    fn new(count: usize, length: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let words =
            ["write-values", folder.path().to_str().unwrap(), &count.to_string(), &length.to_string()];
        assert!(Command::new(std::env::current_exe().unwrap()).args(words).status().unwrap().success());
        Self { folder, count, length }
    }

    /// The lines of the scanner for this process and these.
    fn scan(&self, hands: &[&Hand]) -> Vec<String> {
        let needles = self.folder.path().join("needles");
        let mut scanner = Command::new(std::env::current_exe().unwrap());
        scanner.arg("scan").arg(needles).arg(self.length.to_string()).arg(std::process::id().to_string());
        scanner.args(hands.iter().map(|hand| hand.process().to_string()));
        let mut scanner = scanner.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(scanner.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(scanner.wait().unwrap().success(), "the scanner needs root, or at least leave to trace");
        lines
    }

    /// The whole way of every value: entered, stored, sealed, opened, held, used in a file, an environment and an input, dropped.
    /// Gives what the scanner found: after entering, held, used, dropped.
    fn go_all_the_way(&self, arena: Choice) -> [Vec<String>; 4] {
        let options = StartOptions { arena, ..StartOptions::new(Role::Server) };
        let mut server = Server::with(&options);
        let folder = tempfile::tempdir().unwrap();
        let intents = Some(folder.path().join("intents"));
        let options = StartOptions { role: Role::Node, intents, detect_drift: true, ..options };
        let mut node = Hand::start(spawner(), &options).unwrap();
        let path = |number: usize| format!("a/{number}");
        let records: Vec<VaultRecord> = (0..self.count)
            .map(|number| {
                let file = File::open(self.folder.path().join(number.to_string())).unwrap();
                server.set(&path(number), &file)
            })
            .collect();
        let entered = self.scan(&[&server.hand, &server.operator, &node]);
        server.deliver(&records, &mut node);
        let held = self.scan(&[&server.hand, &server.operator, &node]);
        self.use_all(&mut node, folder.path());
        let used = self.scan(&[&server.hand, &server.operator, &node]);
        node.forget(&(0..self.count).map(|number| secret(&path(number))).collect::<Vec<_>>()).unwrap();
        let dropped = self.scan(&[&server.hand, &server.operator, &node]);
        [entered, held, used, dropped]
    }

    fn use_all(&self, node: &mut Hand, folder: &Path) {
        let slots: String =
            (0..self.count).map(|number| format!("x {{a/{number}}}\n{{a/{number}|b64encode}}\n")).collect();
        let (target, content) = (folder.join("target"), pieces(&slots));
        node.compare(&absolute(&target), &content, "r").unwrap();
        node.write(&placement(&target), &content, "r").unwrap();
        node.compare(&absolute(&target), &content, "r").unwrap();
        std::fs::write(&target, "something else\n").unwrap();
        node.compare(&absolute(&target), &content, "r").unwrap();
        let command = vigo_hand::Command {
            program: "/bin/cat".parse().unwrap(),
            arguments: Vec::new(),
            allow_argv: false,
            environment: vec![("TOKEN".into(), pieces("{a/0}"))],
            credential_files: if rustix::process::geteuid().is_root() {
                vec![("a".into(), pieces("{a/0}"))]
            } else {
                Vec::new()
            },
            stdin: Some(content),
            folder: "/".parse().unwrap(),
            credentials: None,
            account: Account { home: "/".into(), name: "x".into(), shell: "/bin/sh".into() },
            umask: 0o022,
            timeout: std::time::Duration::from_secs(60),
            output: Output::Scrub,
            required: Vec::new(),
            resource: "r".into(),
        };
        assert_eq!(node.run(&command).unwrap().end, End::Exited(0));
        assert_eq!(node.scrub(b"some text").unwrap(), b"some text");
    }
}

/// Who is not root cannot scan: then that is what is tested, a process of the same user being refused.
fn may_scan() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let hand = start(Role::Node);
    let refused = File::open(format!("/proc/{}/mem", hand.process())).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    false
}

fn nothing_is_found() {
    if !may_scan() {
        return;
    }
    for (count, length) in [(1, 64), (100, 64), (3, 65_536)] {
        let values = Values::new(count, length);
        let phases = values.go_all_the_way(Choice::Auto);
        for (phase, lines) in ["entered", "held", "used", "dropped"].iter().zip(&phases) {
            assert!(lines.is_empty(), "{count} of {length} bytes, {phase}: {lines:#?}");
        }
    }
}

fn control_is_found() {
    if !may_scan() {
        return;
    }
    for (count, length) in [(1, 64), (100, 64), (3, 65_536)] {
        let values = Values::new(count, length);
        let [_, held, used, dropped] = values.go_all_the_way(Choice::Plain);
        // Wiped, not only out of sight: what the hand remembers of targets by then holds no value.
        assert!(dropped.is_empty(), "{count} of {length} bytes, dropped: {dropped:#?}");
        for (phase, lines) in [("held", held), ("used", used)] {
            let fragments: usize =
                lines.iter().map(|line| line.split(' ').nth(1).unwrap().parse::<usize>().unwrap()).sum();
            let whole = if length > 1000 { length / FRAGMENT - 1 } else { length - FRAGMENT + 1 };
            assert!(
                fragments >= count * whole,
                "{count} of {length} bytes, {phase}: {fragments} of {}",
                count * whole
            );
            let own = std::process::id().to_string();
            assert!(!lines.iter().any(|line| line.starts_with(&format!("{own} "))), "{phase}: {lines:#?}");
        }
    }
}
