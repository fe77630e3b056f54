//! Credentials of commands: who can read them, and until when.

use crate::Test;
use crate::parts::{fails_with, hold, node, pieces, spawner};
use crate::run::{shell, text};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use vigo_hand::{Command, Credentials, End, FailureCode, Finished, Hand, HandError, Output};
use vigo_sys::spawn::{Program, Spec};

pub const TESTS: &[Test] = &[
    (
        "credentials::a_command_and_what_it_starts_read_them_by_name",
        a_command_and_what_it_starts_read_them_by_name,
    ),
    (
        "credentials::they_are_in_no_table_of_mounts_and_nobody_puts_anything_beside_them",
        they_are_in_no_table_of_mounts_and_nobody_puts_anything_beside_them,
    ),
    (
        "credentials::they_are_gone_with_the_last_who_has_them_open",
        they_are_gone_with_the_last_who_has_them_open,
    ),
    ("credentials::they_are_gone_when_the_hand_is_killed", they_are_gone_when_the_hand_is_killed),
    (
        "credentials::they_are_open_to_who_may_trace_the_command_and_to_nobody_else",
        they_are_open_to_who_may_trace_the_command_and_to_nobody_else,
    ),
    (
        "credentials::without_the_right_to_mount_they_are_unavailable",
        without_the_right_to_mount_they_are_unavailable,
    ),
    ("credentials::names_that_lead_elsewhere_are_refused", names_that_lead_elsewhere_are_refused),
];

const VALUE: &[u8] = b"a secret value";

fn hand() -> (Hand, tempfile::TempDir) {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", VALUE);
    (hand, folder)
}

/// Says aloud that a test is left out where nobody can mount.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("left out: {test}: only root may make a ramfs");
    }
    root
}

fn with_credentials(script: &str) -> Command {
    let mut command = shell(script);
    command.credential_files =
        vec![("token".into(), pieces("user:{a}\n")), ("plain.conf".into(), pieces("host=x\n"))];
    command
}

fn a_command_and_what_it_starts_read_them_by_name() {
    if !is_root("a_command_and_what_it_starts_read_them_by_name") {
        return;
    }
    let (mut hand, folder) = hand();
    let seen = folder.path().join("seen");
    let script = format!(
        "echo $CREDENTIALS_DIRECTORY; stat -L -c '%a %u' $CREDENTIALS_DIRECTORY $CREDENTIALS_DIRECTORY/*; \
         cat $CREDENTIALS_DIRECTORY/token; \
         sh -c 'sh -c \"cat \\$CREDENTIALS_DIRECTORY/token \\$CREDENTIALS_DIRECTORY/plain.conf\"' > {}",
        seen.display()
    );
    let finished = hand.run(&with_credentials(&script)).unwrap();
    let expected = "/proc/self/fd/3\n500 0\n400 0\n400 0\nuser:‹secret›\n";
    assert_eq!(text(&finished), expected);
    assert_eq!(fs::read_to_string(&seen).unwrap(), "user:a secret value\nhost=x\n");
    let mut other = with_credentials(
        "stat -L -c '%a %u:%g' $CREDENTIALS_DIRECTORY/token; cat $CREDENTIALS_DIRECTORY/token",
    );
    other.credentials = Some(Credentials { uid: 65_533, gid: 65_532, groups: vec![] });
    assert_eq!(text(&hand.run(&other).unwrap()), "400 65533:65532\nuser:‹secret›\n");
    // One command's are not the next one's.
    let finished = hand.run(&shell("echo [$CREDENTIALS_DIRECTORY]; ls /proc/self/fd | wc -l")).unwrap();
    assert_eq!(text(&finished), "[]\n4\n");
}

fn they_are_in_no_table_of_mounts_and_nobody_puts_anything_beside_them() {
    if !is_root("they_are_in_no_table_of_mounts_and_nobody_puts_anything_beside_them") {
        return;
    }
    let (mut hand, _folder) = hand();
    let script = "stat -f -L -c %t $CREDENTIALS_DIRECTORY; stat -L -c %d $CREDENTIALS_DIRECTORY /proc; \
                  stat -c %a $CREDENTIALS_DIRECTORY/token; \
                  echo x > $CREDENTIALS_DIRECTORY/more; chmod 700 $CREDENTIALS_DIRECTORY; \
                  ls -m $CREDENTIALS_DIRECTORY; cat /proc/self/mountinfo";
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let finished = hand.run(&with_credentials(script)).unwrap();
    let said = text(&finished);
    let lines: Vec<&str> = said.lines().collect();
    // The number of ramfs (statfs(2)).
    assert_eq!((lines[0], lines[3], lines[4]), ("858458f6", "400", "plain.conf, token"));
    let is_mounted = |device: &str| {
        let device: u64 = device.parse().unwrap();
        let field = format!(" {}:{} ", rustix::fs::major(device), rustix::fs::minor(device));
        lines[5..].iter().any(|line| line.contains(&field))
    };
    assert!(is_mounted(lines[2]), "/proc, which shows that the table names what is mounted: {said}");
    assert!(!is_mounted(lines[1]), "{said}");
    let complaints = String::from_utf8_lossy(&finished.stderr);
    assert_eq!(complaints.matches("ead-only file system").count(), 2, "{complaints}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

/// A command that runs until it is told to go on, in a thread of its own, and the number of the file system of its credentials.
struct Running {
    folder: PathBuf,
    process: u32,
    device: u64,
    ended: JoinHandle<Result<Finished, HandError>>,
}

impl Running {
    fn start(mut hand: Hand, folder: &Path, script: &str, credentials: Option<Credentials>) -> Self {
        for name in ["ready", "go"] {
            let made =
                std::process::Command::new("mkfifo").args(["-m", "666"]).arg(folder.join(name)).status();
            assert!(made.unwrap().success());
        }
        let path = folder.display();
        let script = format!(
            "{script}echo $$ $(stat -L -c %d $CREDENTIALS_DIRECTORY) > {path}/ready; read -r x < {path}/go; \
             wc -c < $CREDENTIALS_DIRECTORY/token"
        );
        let mut command = with_credentials(&script);
        command.credentials = credentials;
        let ended = std::thread::spawn(move || hand.run(&command));
        let said = fs::read_to_string(folder.join("ready")).unwrap();
        let (process, device) = said.trim().split_once(' ').unwrap();
        Self {
            folder: folder.to_owned(),
            process: process.parse().unwrap(),
            device: device.parse().unwrap(),
            ended,
        }
    }

    fn go_on(&self) {
        fs::OpenOptions::new().write(true).open(self.folder.join("go")).unwrap().write_all(b"x\n").unwrap();
    }
}

/// The processes that have something of that file system open.
fn holders(device: u64) -> Vec<u32> {
    let mut holders = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(number) = process.file_name().to_string_lossy().parse() else { continue };
        let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if open.into_iter().any(|fd| fs::metadata(fd.path()).is_ok_and(|found| found.dev() == device)) {
            holders.push(number);
        }
    }
    holders
}

fn world_readable() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn they_are_gone_with_the_last_who_has_them_open() {
    if !is_root("they_are_gone_with_the_last_who_has_them_open") {
        return;
    }
    let (hand, _kept) = hand();
    let folder = world_readable();
    let left = folder.path().join("left");
    assert!(std::process::Command::new("mkfifo").arg(&left).status().unwrap().success());
    let seen = folder.path().join("seen");
    // Something it leaves running has them open as long as it runs, and no longer.
    let script = format!(
        "(read -r x < {0}; cat $CREDENTIALS_DIRECTORY/token > {1}; echo done > {0}) & ",
        left.display(),
        seen.display()
    );
    let running = Running::start(hand, folder.path(), &script, None);
    let (device, process) = (running.device, running.process);
    let found = holders(device);
    assert!(
        found.contains(&process) && found.len() == 2,
        "{found:?}: the command and what it left, not the hand"
    );
    running.go_on();
    assert_eq!(running.ended.join().unwrap().unwrap().end, End::Exited(0));
    assert_eq!(holders(device).len(), 1, "what it left running");
    fs::write(&left, "x\n").unwrap();
    assert_eq!(fs::read_to_string(&left).unwrap(), "done\n");
    assert_eq!(fs::read_to_string(&seen).unwrap(), "user:a secret value\n");
    until_nobody_holds(device);
}

/// What ends by itself or by a signal is gone a moment later.
fn until_nobody_holds(device: u64) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !holders(device).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?} still hold them", holders(device));
        std::thread::yield_now();
    }
}

fn they_are_gone_when_the_hand_is_killed() {
    if !is_root("they_are_gone_when_the_hand_is_killed") {
        return;
    }
    let (mut hand, _kept) = hand();
    let process = hand.status().unwrap().process;
    let folder = world_readable();
    let running = Running::start(hand, folder.path(), "", None);
    assert_eq!(holders(running.device), [running.process]);
    let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    assert!(running.ended.join().unwrap().unwrap_err().is_gone());
    until_nobody_holds(running.device);
}

fn they_are_open_to_who_may_trace_the_command_and_to_nobody_else() {
    if !is_root("they_are_open_to_who_may_trace_the_command_and_to_nobody_else") {
        return;
    }
    let (hand, _kept) = hand();
    let folder = world_readable();
    let owner = Credentials { uid: 65_533, gid: 65_533, groups: vec![] };
    let running = Running::start(hand, folder.path(), "", Some(owner));
    let base = format!("/proc/{}", running.process);
    let can_read = |user: u32, what: &str| {
        let cat =
            std::process::Command::new("cat").arg(format!("{base}/{what}")).uid(user).gid(user).output();
        cat.unwrap().status.success()
    };
    assert!(can_read(0, "fd/3/token"), "root, which shows that this way leads there");
    assert!(!can_read(65_531, "fd/3/token"), "another user");
    // PTRACE_MODE_READ of ptrace(2): a process of the same user that is not kept from it, as for the environment. The guide says so.
    assert_eq!(can_read(65_533, "fd/3/token"), can_read(65_533, "environ"));
    running.go_on();
    assert_eq!(text(&running.ended.join().unwrap().unwrap()), "20\n");
}

fn without_the_right_to_mount_they_are_unavailable() {
    if !is_root("without_the_right_to_mount_they_are_unavailable") {
        fails_with(hand().0.run(&with_credentials("true")), FailureCode::Unavailable, "CAP_SYS_ADMIN");
        return;
    }
    let nobody = vigo_sys::spawn::Credentials { uid: 65_534, gid: 65_534, groups: &[] };
    let spec = Spec {
        program: Program::Myself,
        arguments: &[c"hand", c"without-mount"],
        credentials: Some(nobody),
        ..Spec::default()
    };
    assert!(spawner().spawn(&spec).unwrap().wait().unwrap().success());
}

/// Of a process that may not mount: nothing is started, and what it gets otherwise works.
pub fn without_mount() -> ExitCode {
    let (mut hand, folder) = hand();
    let mark = folder.path().join("started");
    let mut touch = with_credentials(&format!("touch {}", mark.display()));
    fails_with(hand.run(&touch), FailureCode::Unavailable, "CAP_SYS_ADMIN");
    assert!(!mark.exists());
    touch.credential_files.clear();
    hand.run(&touch).unwrap();
    assert!(mark.exists());
    ExitCode::SUCCESS
}

fn names_that_lead_elsewhere_are_refused() {
    let (mut hand, _folder) = hand();
    if !is_root("names_that_lead_elsewhere_are_refused") {
        return;
    }
    for name in ["", "..", "a/b", "/etc/x"] {
        let mut command = with_credentials("true");
        command.credential_files = vec![(name.into(), pieces("x"))];
        fails_with(hand.run(&command), FailureCode::Author, "cannot name a credential");
    }
    let mut twice = with_credentials("true");
    twice.credential_files = vec![("a".into(), pieces("x")), ("a".into(), pieces("y"))];
    fails_with(hand.run(&twice), FailureCode::Machine, "File exists");
    twice.credential_files = vec![("a".into(), pieces("{none}"))];
    fails_with(hand.run(&twice), FailureCode::NotHeld, "`none`");
    twice.credential_files = vec![("a".into(), pieces("x"))];
    twice.output = Output::Drop;
    assert_eq!(hand.run(&twice).unwrap().end, End::Exited(0));
}
