//! How the process starts, and what ends it.

use crate::Test;
use crate::parts::{absolute, hold, node, pieces, placement, spawner, start};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use vigo_hand::{Hand, HandError, Role, StartOptions};
use vigo_sys::arena::{Choice, Kind};
use vigo_sys::spawn::{Child, Core, Program, Spec, Status};
use vigo_wire::frame;

pub const TESTS: &[Test] = &[
    ("process::a_started_hand_is_protected_and_says_so", is_protected),
    ("process::each_kind_of_arena_can_be_had", each_kind_of_arena),
    (
        "process::whatever_may_be_locked_it_starts_and_holds_a_value",
        whatever_may_be_locked_it_starts_and_holds_a_value,
    ),
    (
        "process::all_of_its_threads_but_the_one_that_starts_children_have_the_filter",
        all_of_its_threads_but_the_one_that_starts_children_have_the_filter,
    ),
    ("process::it_is_named_and_has_its_descriptors_only", is_named),
    ("process::a_request_of_another_role_ends_it", another_role),
    ("process::garbage_ends_it", garbage),
    ("process::it_ends_when_the_handle_is_dropped", dropped),
    ("process::it_ends_when_its_parent_is_killed", parent_killed),
    ("process::a_killed_hand_is_a_clear_error_and_stays_one", killed),
    ("process::started_by_hand_it_says_what_it_is", started_by_hand),
];

fn is_protected() {
    for role in [Role::Node, Role::Operator, Role::Server] {
        let mut hand = start(role);
        let status = hand.status().unwrap();
        assert_eq!(status.arena.kind, Kind::Secret, "{:?}", status.arena.reasons);
        assert!(status.arena.reasons.is_empty(), "{:?}", status.arena.reasons);
        assert!(!status.dumpable);
        assert_eq!(status.core_limit, (Some(1), Some(1)));
        assert_eq!((status.tracer, status.open_arena_descriptors, status.values), (None, 0, 0));
        assert!(status.network_denied);
        assert!(status.warnings.is_empty(), "{:?}", status.warnings);
        assert_eq!(status.process, hand.process());
    }
}

fn each_kind_of_arena() {
    for (arena, kind) in
        [(Choice::Auto, Kind::Secret), (Choice::Mlock, Kind::Locked), (Choice::Plain, Kind::Plain)]
    {
        let mut hand =
            Hand::start(spawner(), &StartOptions { arena, ..StartOptions::new(Role::Node) }).unwrap();
        hold(&mut hand, "a", b"value");
        assert_eq!(hand.status().unwrap().arena.kind, kind);
    }
}

/// With RLIMIT_MEMLOCK of so many KiB, and no right to pass it.
pub fn limited(limit: &str) -> ExitCode {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (rustix::process::Uid::from_raw(65_534), rustix::process::Gid::from_raw(65_534));
        // There is one thread yet.
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    }
    let bytes = Some(limit.parse::<u64>().unwrap() << 10);
    let limit = rustix::process::Rlimit { current: bytes, maximum: bytes };
    rustix::process::setrlimit(rustix::process::Resource::Memlock, limit).unwrap();
    let (mut hand, folder) = node();
    hold(&mut hand, "a", &[b'x'; 1000]);
    hand.write(&placement(&folder.path().join("f")), &pieces("{a}"), "r").unwrap();
    assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), [b'x'; 1000]);
    let status = hand.status().unwrap();
    println!("{:?} {}", status.arena.kind, status.arena.reasons.len());
    ExitCode::SUCCESS
}

fn whatever_may_be_locked_it_starts_and_holds_a_value() {
    let has_secret = vigo_sys::arena::probe(Choice::Auto).0 == Kind::Secret;
    for limit in [
        0, 64, 256, 300, 520, 639, 640, 647, 648, 700, 784, 850, 1024, 1032, 1100, 1300, 1500, 2048, 2060,
        2100,
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["limited", &limit.to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{limit} KiB: {}", String::from_utf8_lossy(&output.stderr));
        let (kind, reasons) = said.trim_end().split_once(' ').unwrap();
        // 640 KiB are the least, and memfd_secret's guard pages count.
        match (kind, has_secret) {
            ("Plain", _) => assert!(limit < 640 && reasons != "0", "{limit} KiB: {said}"),
            ("Locked", true) => assert!((640..648).contains(&limit) && reasons != "0", "{limit} KiB: {said}"),
            ("Secret", true) => assert!(limit >= 648, "{limit} KiB: {said}"),
            ("Locked", false) => assert!(limit >= 640, "{limit} KiB: {said}"),
            _ => panic!("{limit} KiB: {said}"),
        }
    }
}

fn all_of_its_threads_but_the_one_that_starts_children_have_the_filter() {
    let (mut hand, _folder) = node();
    // It worked and started a child, so that all of its threads are there and have their names.
    hold(&mut hand, "a", b"value");
    hand.run(&crate::run::shell("true")).unwrap();
    let tasks = format!("/proc/{}/task", hand.process());
    let mut threads: Vec<(String, String)> = std::fs::read_dir(tasks)
        .unwrap()
        .map(|task| {
            let task = task.unwrap().path();
            let status = std::fs::read_to_string(task.join("status")).unwrap();
            let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).unwrap().trim();
            (std::fs::read_to_string(task.join("comm")).unwrap().trim().to_owned(), mode.to_owned())
        })
        .collect();
    threads.sort();
    let expected = [("spawner", "0"), ("vigo-hand", "2"), ("vigo-hand", "2")];
    assert_eq!(threads, expected.map(|(name, mode)| (name.to_owned(), mode.to_owned())));
}

fn is_named() {
    let hand = start(Role::Node);
    let about = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", hand.process())).unwrap();
    assert_eq!(about("comm").trim_end(), "vigo-hand");
    assert_eq!(about("cmdline").replace('\0', " ").trim_end(), "vigo-hand --arena auto --arena-max 16777216");
    let environment = std::fs::read(format!("/proc/{}/environ", hand.process()));
    if !rustix::process::geteuid().is_root() {
        // It is not dumpable, so its own user may not look.
        assert_eq!(environment.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        return;
    }
    assert!(environment.unwrap().is_empty());
    let folder = format!("/proc/{}/fd", hand.process());
    let mut open: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    open.retain(|target| target != "/dev/null" && !target.starts_with("socket:"));
    // Standard error, as it is here, and the binary itself, to start children from.
    let own = std::fs::read_link("/proc/self/fd/2").unwrap().display().to_string();
    open.retain(|target| *target != own);
    assert!(open.iter().all(|target| target.contains("/hand-")), "{open:?}");
}

fn another_role() {
    let mut operator = start(Role::Operator);
    let target = absolute(std::path::Path::new("/etc/hostname"));
    ends(operator.compare(&target, &pieces("x"), "r").err());
    ends(start(Role::Operator).held().err());
    ends(start(Role::Server).held().err());
    ends(start(Role::Server).one_time_key().err());
    ends(
        start(Role::Node)
            .sign(vigo_hand::KeyPurpose::Anchor, vigo_wire::sign::SignContext::AuditHead, b"x")
            .err(),
    );
    ends(start(Role::Node).create_master_key(std::path::Path::new("/none")).err());
    ends(start(Role::Operator).new_key(vigo_hand::KeyPurpose::Anchor).err());
}

#[track_caller]
fn ends(error: Option<HandError>) {
    let error = error.expect("it should have failed");
    assert!(error.is_gone(), "{error}");
    assert!(error.to_string().contains("it was asked what it does not answer"), "{error}");
}

/// A hand without its handle.
struct Raw {
    socket: OwnedFd,
    child: Child,
}

impl Raw {
    fn start() -> Self {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let spec = Spec {
            program: Program::Myself,
            arguments: &[c"vigo-hand"],
            descriptors: &[(theirs.as_fd(), 3)],
            core: Core::One,
            ..Spec::default()
        };
        Self { socket, child: spawner().spawn(&spec).unwrap() }
    }

    /// With the first frame behind it.
    fn greeted() -> Self {
        let raw = Self::start();
        // Format 1, role node: protobuf, by hand.
        raw.send(&[1, 8, 1, 16, 1]);
        let answer = frame::read(&raw.socket, 1 << 20, None).unwrap().unwrap();
        assert_eq!(answer[0], 0);
        raw
    }

    fn send(&self, bytes: &[u8]) {
        frame::write(&self.socket, bytes, usize::MAX, None).unwrap();
    }

    #[track_caller]
    fn has_ended_by_itself(mut self) {
        let status = self.child.wait_until(Instant::now() + Duration::from_secs(20)).unwrap();
        assert_eq!(status, Some(Status::Exited(76)));
    }
}

fn garbage() {
    for frame in [&[][..], &[0], &[255], &[2], &[4, 1], &[1, 255, 255]] {
        let raw = Raw::start();
        raw.send(frame);
        raw.has_ended_by_itself();
    }
    // A second first frame; a request that does not decode; one with bytes it does not take; one without its descriptor.
    for frame in [&[1, 8, 1, 16, 1][..], &[4, 255, 255, 255], &[2, 8, 1], &[11, 10, 1, 47, 18, 0]] {
        let raw = Raw::greeted();
        raw.send(frame);
        raw.has_ended_by_itself();
    }
    let raw = Raw::greeted();
    frame::write_with(&raw.socket, &[2], &[raw.socket.as_fd()], 100, None).unwrap();
    raw.has_ended_by_itself();
    // An announced length that is too large, of which nothing follows; and a known request that is too large for its kind.
    let raw = Raw::greeted();
    rustix::io::write(&raw.socket, &u32::MAX.to_le_bytes()).unwrap();
    raw.has_ended_by_itself();
    let raw = Raw::greeted();
    let mut take = vec![7];
    take.resize(10_000, 0);
    raw.send(&take);
    raw.has_ended_by_itself();
}

fn dropped() {
    let hand = start(Role::Node);
    let watched = watch(hand.process());
    drop(hand);
    assert!(has_ended(&watched));
}

fn watch(process: u32) -> OwnedFd {
    let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

/// Waits for the end of a process that need not be our child.
fn has_ended(watched: &OwnedFd) -> bool {
    let within = Timespec { tv_sec: 20, tv_nsec: 0 };
    poll(&mut [PollFd::new(watched, PollFlags::IN)], Some(&within)).unwrap() == 1
}

/// Starts a hand, says its process id, and waits for ever.
pub fn be_a_parent() -> ExitCode {
    let hand = start(Role::Node);
    println!("{}", hand.process());
    let _ = std::io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

fn parent_killed() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .arg("be-a-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let watched = watch(line.trim().parse().unwrap());
    assert_eq!(
        poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&Timespec::default())),
        Ok(0),
        "it runs"
    );
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(has_ended(&watched));
}

fn killed() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"value");
    kill_process(Pid::from_raw(hand.process().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    let target = absolute(&folder.path().join("target"));
    for _ in 0..2 {
        let error = hand.compare(&target, &pieces("{a}"), "r").unwrap_err();
        assert_eq!(error.to_string(), "cannot Compare: `vigo-hand` ended (by signal 9)");
        assert!(error.is_gone());
    }
}

fn started_by_hand() {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.arg0("vigo-hand").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it is started by vigo, vigosrv and vigocli only"), "{text}");
}
