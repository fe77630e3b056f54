//! What a child of a real run has, looked at from inside and from /proc: with a secret, where the hand starts it, and without, where the
//! agent does. Both are the same but for the core limit and the descriptor of the credentials.
//!
//! Without the usual harness, because this program is also the hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types
)]

mod place;

use place::{Place, Test, VALUE, command, secret};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use vigo_base::Pieces;
use vigo_resource::{CommandRequest, End, FailureKind, Host, Output, OutputRule};
use vigo_sys::spawn::Spawner;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

const TESTS: &[(&str, Test)] = &[
    (
        "a_child_without_a_secret_has_what_is_said_and_the_limits_of_the_start",
        a_child_without_a_secret_has_what_is_said_and_the_limits_of_the_start,
    ),
    (
        "a_child_with_a_secret_has_what_is_said_and_nothing_else",
        a_child_with_a_secret_has_what_is_said_and_nothing_else,
    ),
    (
        "a_secret_in_an_argument_takes_the_word_of_the_policy",
        a_secret_in_an_argument_takes_the_word_of_the_policy,
    ),
    (
        "credentials_that_cannot_be_had_block_and_say_what_else_there_is",
        credentials_that_cannot_be_had_block_and_say_what_else_there_is,
    ),
];

/// What /proc says of a child.
struct Looked {
    environment: Vec<String>,
    descriptors: BTreeMap<i32, String>,
    limits: String,
    status: BTreeMap<String, String>,
    folder: String,
    arguments: String,
}

/// Runs this program as a command, which writes down what /proc has of it.
fn look(place: &mut Place, request: impl FnOnce(&mut CommandRequest)) -> Looked {
    let seen = place.path("seen");
    fs::create_dir(seen.as_path()).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut wanted = command(&[program.to_str().unwrap(), "look", seen.as_str()]);
    wanted.output = OutputRule::Automatic;
    request(&mut wanted);
    let finished = place.host.run(&wanted).unwrap();
    assert_eq!(finished.end, End::Exited(0), "{finished:?}");
    let read = |name: &str| fs::read_to_string(seen.as_path().join(name)).unwrap();
    let pair = |line: &str, by: char| {
        let (name, value) = line.split_once(by).unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    let looked = Looked {
        environment: read("environ").split_terminator('\0').map(str::to_owned).collect(),
        descriptors: read("fd")
            .lines()
            .map(|line| pair(line, ' '))
            .map(|(fd, to)| (fd.parse().unwrap(), to))
            .collect(),
        limits: read("limits"),
        status: read("status").lines().map(|line| pair(line, ':')).collect(),
        folder: read("cwd"),
        arguments: read("cmdline"),
    };
    fs::remove_dir_all(seen.as_path()).unwrap();
    looked
}

/// The command: what /proc says of it, into files of that folder.
fn looked(folder: &Path) -> ExitCode {
    let own = fs::read_dir("/proc/self/fd").unwrap().flatten();
    // The one that reads the list is gone when its target is asked for.
    let open = own.map(|fd| (fd.file_name(), fd.path())).collect::<Vec<_>>();
    let line = |(number, path): &(OsString, PathBuf)| {
        Some(format!("{} {}\n", number.to_str()?, fs::read_link(path).ok()?.display()))
    };
    let descriptors: String = open.iter().filter_map(line).collect();
    let texts = ["environ", "limits", "status", "cmdline"]
        .map(|name| (name, fs::read(format!("/proc/self/{name}")).unwrap()));
    for (name, text) in texts {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::write(folder.join("fd"), descriptors).unwrap();
    let current = fs::read_link("/proc/self/cwd").unwrap();
    fs::write(folder.join("cwd"), current.to_str().unwrap()).unwrap();
    ExitCode::SUCCESS
}

fn core_limit(limits: &str) -> (String, String) {
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[4].to_owned(), words[5].to_owned())
}

/// What holds for both: the fixed variables first, in a process that nobody traces and that ignores or blocks no signal of ours.
fn is_as_said(looked: &Looked, more: &[&str]) {
    let mine = rustix::process::geteuid().as_raw().to_string();
    let fixed = ["PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL"];
    let names: Vec<&str> = looked.environment.iter().map(|word| word.split_once('=').unwrap().0).collect();
    assert_eq!(names, [&fixed, more].concat());
    assert_eq!(looked.environment[0], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    assert_eq!(looked.environment[1], "LANG=C.UTF-8");
    assert_eq!(looked.folder, "/");
    assert_eq!(looked.status["Umask"], "0022");
    assert_eq!(looked.status["TracerPid"], "0");
    assert_eq!(looked.status["NoNewPrivs"], "0");
    assert_eq!(
        looked.status["Seccomp"],
        fs::read_to_string("/proc/self/status").map(|own| seccomp(&own)).unwrap()
    );
    assert!(looked.status["Uid"].split_whitespace().all(|number| number == mine));
    assert_eq!(looked.status["SigBlk"], "0".repeat(16));
    // The standard library of this program ignores SIGPIPE, and that alone.
    assert_eq!(looked.status["SigIgn"], format!("{:016x}", 1 << 12));
}

/// The program under test is as free as whatever started it; its hand is not.
fn seccomp(status: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).unwrap();
    line.trim().to_owned()
}

fn a_child_without_a_secret_has_what_is_said_and_the_limits_of_the_start(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let looked = look(&mut place, |request| {
        request.environment = vec![("MINE".to_owned(), Pieces::literal("x"))];
    });
    is_as_said(&looked, &["MINE"]);
    assert_eq!(looked.descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(looked.descriptors[&0], "/dev/null");
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    assert_eq!(looked.limits.lines().count(), own.lines().count());
    assert_eq!(core_limit(&looked.limits), core_limit(&own), "as this program was started");
}

fn a_child_with_a_secret_has_what_is_said_and_nothing_else(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("left out: the descriptor of credentials: only root may make a ramfs");
    }
    let looked = look(&mut place, |request| {
        request.environment = vec![("MINE".to_owned(), secret())];
        request.stdin = Some(secret());
        if is_root {
            request.credentials = vec![("token".to_owned(), secret())];
        }
    });
    let more: &[&str] = if is_root { &["MINE", "CREDENTIALS_DIRECTORY"] } else { &["MINE"] };
    is_as_said(&looked, more);
    assert_eq!(looked.environment[6], format!("MINE={VALUE}"), "which shows that /proc tells what was given");
    let numbers: &[i32] = if is_root { &[0, 1, 2, 3] } else { &[0, 1, 2] };
    assert_eq!(looked.descriptors.keys().copied().collect::<Vec<_>>(), numbers);
    // Pipes of the hand, which nobody else reads.
    assert!(
        [0, 1, 2].iter().all(|number| looked.descriptors[number].starts_with("pipe:")),
        "{:?}",
        looked.descriptors
    );
    let core = core_limit(&looked.limits);
    assert!(
        ["1", "0"].contains(&core.1.as_str()),
        "one byte, which stops a piped core pattern too: {core:?}"
    );
    assert_eq!(core.0, core.1);
    assert!(!looked.arguments.contains(VALUE));
}

fn a_secret_in_an_argument_takes_the_word_of_the_policy(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let mut request = command(&["/bin/echo"]);
    if let vigo_resource::CommandLine::Arguments(words) = &mut request.line {
        words.push(secret());
    }
    let refused = place.host.run(&request).unwrap_err();
    assert!(refused.reason.contains("allow_exposure: [argv]"), "{refused}");
    place.host.take_exposures();
    request.allow_argv = true;
    assert_eq!(place.host.run(&request).unwrap().end, End::Exited(0));
    let exposed = place.host.take_exposures();
    assert_eq!(exposed.iter().map(|one| one.way.as_str()).collect::<Vec<_>>(), ["argv"]);
}

fn credentials_that_cannot_be_had_block_and_say_what_else_there_is(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    place.host.take_exposures();
    let mut request = command(&["/bin/sh", "-c", "cat $CREDENTIALS_DIRECTORY/token"]);
    request.credentials = vec![("token".to_owned(), secret())];
    match place.host.run(&request) {
        Ok(finished) if rustix::process::geteuid().is_root() => {
            let Output::Kept { stdout, .. } = finished.output else { panic!("{finished:?}") };
            assert_eq!(stdout, "‹secret›");
            assert_eq!(place.host.take_exposures()[0].way, vigo_base::ExposureWay::Credentials);
        }
        Ok(finished) => panic!("who is not root made a ramfs: {finished:?}"),
        Err(failure) => {
            assert!(!rustix::process::geteuid().is_root(), "{failure}");
            assert_eq!(failure.kind, FailureKind::Blocked);
            assert!(failure.help.contains("`stdin`"), "{}", failure.help);
            assert!(place.host.take_exposures().is_empty());
        }
    }
}

fn main() -> ExitCode {
    if let [_, word, folder] = std::env::args().collect::<Vec<_>>().as_slice()
        && word == "look"
    {
        return looked(Path::new(folder));
    }
    place::run(TESTS)
}
