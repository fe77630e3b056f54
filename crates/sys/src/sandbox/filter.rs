//! The two filters of system calls, and their translation into the kernel's filter machine (seccomp(2)).
//!
//! Written by hand because the filter crates always set no_new_privs and let the x32 numbers of x86_64 through, under
//! which every call could be made a second time. Both are lists of what is refused: a list of what is allowed would have
//! to follow every release of two C libraries. Refused is EPERM; calls that take their flags in memory, which a
//! filter cannot read, answer ENOSYS, so that the C library falls back to those that it can.

use libc::{c_long, sock_filter};
use std::io;

/// A call and when it is refused.
pub(super) struct Rule {
    call: c_long,
    when: When,
}

enum When {
    /// Whatever its arguments.
    Always,
    /// Whatever its arguments, as if the kernel did not have it.
    Unknown,
    /// Unless the first argument is one of these.
    Unless(&'static [u32]),
    /// Unless the first argument has this bit.
    Without(u32),
}

/// Not named by libc for every target.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: c_long = 294;

/// Calls by which one process looks into another, or reaches the kernel around a filter. (`io_uring` makes sockets.)
const INTRUSIVE: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// What the worker never does: other programs, other users, mounts, namespaces, keys.
const NOT_FOR_THE_WORKER: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
];

const UNIX_ONLY: &[u32] = &[libc::AF_UNIX as u32];
const INTERNET: &[u32] =
    &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];

/// The hand's filter.
pub(super) fn without_network() -> Vec<Rule> {
    let mut rules = always(INTRUSIVE);
    rules.push(Rule { call: libc::SYS_socket, when: When::Unless(UNIX_ONLY) });
    rules
}

/// The worker's filter. Netlink stays: the C library asks it for addresses when it sorts what a name resolved to.
pub(super) fn worker() -> Vec<Rule> {
    let mut rules = always(INTRUSIVE);
    rules.extend(always(NOT_FOR_THE_WORKER));
    rules.push(Rule { call: libc::SYS_socket, when: When::Unless(INTERNET) });
    rules.push(Rule { call: libc::SYS_clone, when: When::Without(libc::CLONE_THREAD as u32) });
    rules.push(Rule { call: libc::SYS_clone3, when: When::Unknown });
    rules
}

fn always(calls: &[c_long]) -> Vec<Rule> {
    calls.iter().map(|&call| Rule { call, when: When::Always }).collect()
}

/// Installs the filter on the calling thread: without no_new_privs if the kernel allows that (CAP_SYS_ADMIN).
pub(super) fn install(rules: &[Rule]) -> io::Result<()> {
    let mut program = assemble(rules);
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let apply = || {
        // SAFETY: SECCOMP_SET_MODE_FILTER reads `len` instructions through `filter`, which is what `program` holds; it
        // lives until the call returns, and the kernel keeps a copy (seccomp(2)).
        let code =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    match apply() {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            super::no_new_privileges()?;
            apply()
        }
        other => other,
    }
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xC000_00F3;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
compile_error!("name this architecture's AUDIT_ARCH value from linux/audit.h here");

/// struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
#[cfg(target_endian = "little")]
const FIRST_ARGUMENT_AT: u32 = 16;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const HAS_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Numbers from here on are x32's on x86_64; no other architecture has calls there.
const X32: u32 = 0x4000_0000;

fn assemble(rules: &[Rule]) -> Vec<sock_filter> {
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let step = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let skip = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let mut program = vec![
        step(LOAD, ARCHITECTURE_AT),
        skip(EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD, NUMBER_AT),
        skip(AT_LEAST, X32, 0, 1),
        step(RETURN, REFUSED),
    ];
    for Rule { call, when } in rules {
        let Ok(number) = u32::try_from(*call) else { continue };
        match when {
            When::Always => program.extend([skip(EQUAL, number, 0, 1), step(RETURN, REFUSED)]),
            When::Unknown => program.extend([skip(EQUAL, number, 0, 1), step(RETURN, UNKNOWN)]),
            When::Without(bit) => program.extend([
                skip(EQUAL, number, 0, 4),
                step(LOAD, FIRST_ARGUMENT_AT),
                skip(HAS_BIT, *bit, 1, 0),
                step(RETURN, REFUSED),
                step(RETURN, libc::SECCOMP_RET_ALLOW),
            ]),
            When::Unless(allowed) => {
                // The families fit into a byte's worth of jumps: there are four at most.
                let count = u8::try_from(allowed.len()).unwrap_or(0);
                program
                    .extend([skip(EQUAL, number, 0, count.saturating_add(3)), step(LOAD, FIRST_ARGUMENT_AT)]);
                let jumps = (1..=count).rev();
                program.extend(allowed.iter().zip(jumps).map(|(value, far)| skip(EQUAL, *value, far, 0)));
                program.extend([step(RETURN, REFUSED), step(RETURN, libc::SECCOMP_RET_ALLOW)]);
            }
        }
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW));
    program
}
