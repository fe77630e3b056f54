//! Sandboxes: what they refuse, each with the control that it was possible before, and what they leave.

use crate::running::{become_ordinary, field, is_root, output_of, refuse_call, root_or_skip, say};
use crate::{Named, named};
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use vigo_sys::{peer, sandbox};

pub const TESTS: &[Named] = named![
    without_network_only_unix_sockets_are_left,
    without_network_other_processes_and_the_kernel_are_out_of_reach,
    root_keeps_the_right_to_setuid_programs_and_an_ordinary_user_loses_it,
    a_worker_reads_what_is_listed_and_talks_to_the_network_and_nothing_else,
    a_worker_on_a_kernel_without_landlock_says_so_and_keeps_the_rest,
    a_worker_that_has_threads_already_says_so,
    a_peer_is_who_made_the_socket,
];

pub const CHILDREN: &[Named] = named![offline, blind, privileges, worker, no_landlock, threaded, peers];

fn refused<T>(result: io::Result<T>) -> bool {
    result.err().and_then(|error| error.raw_os_error()) == Some(libc::EPERM)
}

/// A system call without pointers, to see whether it is let through.
fn call(number: libc::c_long, arguments: [libc::c_long; 3]) -> io::Result<libc::c_long> {
    let [a, b, c] = arguments;
    // SAFETY: the calls made here get null pointers or numbers only, and the kernel answers EFAULT or EINVAL.
    match unsafe { libc::syscall(number, a, b, c) } {
        -1 => Err(io::Error::last_os_error()),
        other => Ok(other),
    }
}

fn socket(family: i32) -> io::Result<libc::c_long> {
    let opened = call(libc::SYS_socket, [family.into(), libc::SOCK_DGRAM.into(), 0])?;
    call(libc::SYS_close, [opened, 0, 0])
}

/// Child.
fn offline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(TcpStream::connect(address).unwrap());
    sandbox::deny_network().unwrap();
    assert!(refused(TcpStream::connect(address)));
    for family in
        [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_VSOCK, libc::AF_NETLINK, libc::AF_ALG]
    {
        assert!(refused(socket(family)), "{family}");
    }
    assert!(refused(std::thread::spawn(move || TcpStream::connect(address)).join().unwrap()));
    socket(libc::AF_UNIX).unwrap();
    UnixStream::pair().unwrap();
    // The numbers of x32, under which each call exists a second time.
    #[cfg(target_arch = "x86_64")]
    assert!(refused(call(
        0x4000_0000 + libc::SYS_socket,
        [libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0]
    )));
    std::fs::write("/dev/null", "x").unwrap();
    say("done");
}

fn without_network_only_unix_sockets_are_left() {
    assert_eq!(output_of("offline"), "done\n");
}

const INTRUSIVE: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_io_uring_setup,
];

/// Child. Arguments of -1 mean nothing to any of them.
fn blind() {
    let nonsense = [-1, -1, -1];
    let before: Vec<_> = INTRUSIVE.iter().filter(|number| refused(call(**number, nonsense))).collect();
    sandbox::deny_network().unwrap();
    assert!(INTRUSIVE.iter().all(|number| refused(call(*number, nonsense))));
    say(&format!("{}", before.len()));
}

fn without_network_other_processes_and_the_kernel_are_out_of_reach() {
    let before: usize = output_of("blind").trim().parse().unwrap();
    // The control: an ordinary user is refused some of them by the kernel itself, but never all.
    assert!(before < INTRUSIVE.len() / 2 + 3, "{before}");
}

/// Child: as it was started, then as an ordinary user, on a thread of its own.
fn privileges() {
    let flag = || field(&std::fs::read_to_string("/proc/thread-self/status").unwrap(), "NoNewPrivs:");
    let first = std::thread::spawn(move || {
        sandbox::deny_network().unwrap();
        flag()
    });
    let first = first.join().unwrap();
    become_ordinary();
    assert_eq!(flag(), "0");
    sandbox::deny_network().unwrap();
    say(&format!("{first} {}", flag()));
}

fn root_keeps_the_right_to_setuid_programs_and_an_ordinary_user_loses_it() {
    root_or_skip("that root's filter is installed without no_new_privs");
    let first = if is_root() { "0" } else { "1" };
    assert_eq!(output_of("privileges"), format!("{first} 1\n"));
}

/// Child.
fn worker() {
    let folder = std::env::temp_dir().join(format!("vigo-sys-worker-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (listed, hidden) = (folder.join("listed"), folder.join("hidden"));
    std::fs::create_dir(&listed).unwrap();
    std::fs::write(listed.join("file"), "content").unwrap();
    std::fs::write(&hidden, "content").unwrap();
    let (parent, listener) = (rustix::process::getppid().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    rustix::process::test_kill_process(parent).unwrap();

    let read_only = [listed.as_path(), Path::new("/etc"), Path::new("/usr/lib"), Path::new("/nowhere")];
    let held = sandbox::worker(&read_only);
    assert!(held.complete(), "{held:?}");
    assert_eq!(held.unreadable.len(), 1, "{held:?}");
    assert!(*held.landlock.as_ref().unwrap() >= 1);

    assert_eq!(std::fs::read_to_string(listed.join("file")).unwrap(), "content");
    assert_eq!(std::fs::read_dir(&listed).unwrap().count(), 1);
    for result in [
        std::fs::read_to_string(&hidden).map(drop),
        std::fs::read_to_string("/proc/self/status").map(drop),
        std::fs::write(listed.join("file"), "x"),
        std::fs::write(listed.join("new"), "x"),
        std::fs::remove_file(listed.join("file")),
        std::fs::write(folder.join("new"), "x"),
    ] {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EACCES));
    }
    TcpStream::connect(address).unwrap();
    assert!(std::thread::spawn(move || TcpStream::connect(address).is_ok()).join().unwrap());
    ("localhost", 1).to_socket_addrs().unwrap();
    for family in [libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_KEY] {
        assert!(refused(socket(family)), "{family}");
    }
    for number in
        [libc::SYS_execve, libc::SYS_execveat, libc::SYS_mount, libc::SYS_setresuid, libc::SYS_unshare]
    {
        assert!(refused(call(number, [0, 0, 0])), "{number}");
    }
    assert!(INTRUSIVE.iter().all(|number| refused(call(*number, [-1, -1, -1]))));
    // SAFETY: refused; if it were not, the forked child would end at once.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    assert_eq!((forked, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
    if *held.landlock.as_ref().unwrap() >= 6 {
        assert_eq!(rustix::process::test_kill_process(parent), Err(rustix::io::Errno::PERM));
    }
    assert!(rustix::thread::no_new_privs().unwrap());
    let sets = rustix::thread::capabilities(None).unwrap();
    assert!(sets.effective.is_empty() && sets.permitted.is_empty() && sets.inheritable.is_empty());
    assert!(rustix::thread::no_new_privs().unwrap());
    say(folder.to_str().unwrap());
}

fn a_worker_reads_what_is_listed_and_talks_to_the_network_and_nothing_else() {
    let folder = output_of("worker");
    std::fs::remove_dir_all(folder.trim()).unwrap();
}

/// Child.
fn no_landlock() {
    refuse_call(libc::SYS_landlock_create_ruleset, libc::ENOSYS);
    let held = sandbox::worker(&[]);
    assert!(!held.complete() && held.seccomp.is_ok() && held.capabilities.is_ok() && held.alone.is_ok());
    assert!(refused(call(libc::SYS_execve, [0, 0, 0])));
    say(&held.landlock.unwrap_err());
}

fn a_worker_on_a_kernel_without_landlock_says_so_and_keeps_the_rest() {
    assert!(output_of("no_landlock").starts_with("this kernel has no landlock: "));
}

/// Child.
fn threaded() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let other = std::thread::spawn(move || rustix::io::read(&reader, &mut [0_u8; 1]));
    let held = sandbox::worker(&[]);
    drop(writer);
    other.join().unwrap().unwrap();
    assert!(!held.complete());
    say(&held.alone.unwrap_err());
}

fn a_worker_that_has_threads_already_says_so() {
    assert!(output_of("threaded").starts_with("2 threads run already"));
}

/// Child.
fn peers() {
    let (one, _other) = UnixStream::pair().unwrap();
    let found = peer::credentials(one.as_fd()).unwrap();
    assert_eq!(found.pid, Some(std::process::id()));
    assert_eq!(found.uid, rustix::process::geteuid().as_raw());
    assert_eq!(found.gid, rustix::process::getegid().as_raw());
    assert!(peer::credentials(UnixDatagram::unbound().unwrap().as_fd()).is_err());
    assert!(peer::credentials(std::fs::File::open("/dev/null").unwrap().as_fd()).is_err());
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs();
    peer::die_with_parent(parent).unwrap();
    assert!(peer::die_with_parent(parent + 1).is_err());
    assert!(one.as_raw_fd() > 2);
    say("done");
}

fn a_peer_is_who_made_the_socket() {
    assert_eq!(output_of("peers"), "done\n");
}
