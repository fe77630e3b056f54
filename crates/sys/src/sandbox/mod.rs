//! What a process takes away from itself: the network (hand), nearly everything (worker).
//!
//! Both act on the calling thread and on what it starts later, so they are applied before other threads run; the
//! spawner's thread, made earlier, keeps its rights for the children. What to do where something does not hold is
//! decided by the callers. Other systems than Linux: all answers say so.

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod landlock;

use std::io;
use std::path::Path;

/// What held of [`worker`], and why the rest did not.
#[derive(Clone, Debug)]
pub struct Sandboxed {
    /// no_new_privs is set.
    pub no_new_privileges: Result<(), String>,
    /// All capabilities are gone from every set that can be changed.
    pub capabilities: Result<(), String>,
    /// The filter of system calls is in force.
    pub seccomp: Result<(), String>,
    /// Landlock is in force, with this version of its interface.
    pub landlock: Result<u32, String>,
    /// It was applied before other threads were started.
    pub alone: Result<(), String>,
    /// Paths that were not opened up, because they cannot be.
    pub unreadable: Vec<String>,
}

impl Sandboxed {
    /// Whether all of it held.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.no_new_privileges.is_ok()
            && self.capabilities.is_ok()
            && self.seccomp.is_ok()
            && self.landlock.is_ok()
            && self.alone.is_ok()
    }
}

/// For the hand: no sockets but Unix ones, no tracing of others, no kernel interfaces that reach around either.
///
/// With CAP_SYS_ADMIN without no_new_privs, because what the hand does as root may need setuid programs; else with it.
///
/// # Errors
/// If the kernel does not take the filter.
#[cfg(target_os = "linux")]
pub fn deny_network() -> io::Result<()> {
    filter::install(&filter::without_network())
}

/// For the worker: no new programs or processes, no mounts, no other users, sockets for the network only, and of the
/// files nothing but reading `read_only` and what is below.
#[cfg(target_os = "linux")]
#[must_use]
pub fn worker(read_only: &[&Path]) -> Sandboxed {
    let threads = crate::harden::status_line("Threads:");
    let alone = match threads.as_deref() {
        Some("1") => Ok(()),
        Some(count) => Err(format!("{count} threads run already: the others are not in the sandbox")),
        None => Err("cannot count the threads in /proc/thread-self/status".to_owned()),
    };
    let no_new_privileges = no_new_privileges().map_err(|error| format!("cannot set no_new_privs: {error}"));
    let mut unreadable = Vec::new();
    let landlock = landlock::restrict(read_only, &mut unreadable);
    let capabilities = drop_capabilities().map_err(|error| format!("cannot drop the capabilities: {error}"));
    let seccomp =
        filter::install(&filter::worker()).map_err(|error| format!("cannot install the filter: {error}"));
    Sandboxed { no_new_privileges, capabilities, seccomp, landlock, alone, unreadable }
}

/// Sets no_new_privs on the calling thread: what it executes gains no rights.
///
/// # Errors
/// The kernel's.
#[cfg(target_os = "linux")]
pub fn no_new_privileges() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Empties every capability set of the calling thread; the bounding set as far as it may (capabilities(7)).
///
/// # Errors
/// The kernel's.
#[cfg(target_os = "linux")]
pub fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities};
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // EINVAL beyond the last one, EPERM without CAP_SETPCAP: then nothing of the bounding set can be gained anyway,
        // because no_new_privs is set.
        if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            break;
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// For the hand; not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn deny_network() -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// For the worker; not on this system, and the answer says so.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn worker(read_only: &[&Path]) -> Sandboxed {
    let no = || "not on this system".to_owned();
    Sandboxed {
        no_new_privileges: Err(no()),
        capabilities: Err(no()),
        seccomp: Err(no()),
        landlock: Err(no()),
        alone: Err(no()),
        unreadable: read_only.iter().map(|path| path.display().to_string()).collect(),
    }
}

/// no_new_privs; not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn no_new_privileges() -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
