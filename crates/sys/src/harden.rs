//! What a process does to itself first: no core, not dumpable, a name. Best effort, a refusal is a warning.
//!
//! No mlockall, ever: the arena is what must not be swapped, not a whole agent. Sandboxes are in `sandbox`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

/// What the process is going to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// References and slots, never a value: soft core limit 0.
    Agent,
    /// Plaintext: core limit 1:1 on Linux, because 0 does not stop a piped core_pattern (core(5)) and 1 does.
    Hand,
}

/// RLIMIT_CORE; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLimit {
    /// The limit in force.
    pub soft: Option<u64>,
    /// The limit up to which it may be raised.
    pub hard: Option<u64>,
}

/// What hardening came to.
#[derive(Clone, Debug)]
pub struct Hardened {
    /// What was refused, each with its errno.
    pub warnings: Vec<String>,
    /// The core limits that the process was started with; children without secrets get them back.
    pub core_limit_at_start: CoreLimit,
}

static CORE_LIMIT_AT_START: OnceLock<CoreLimit> = OnceLock::new();

/// Takes cores and tracers away from this process. Call it first in `main`, and again after a change of user.
#[must_use]
pub fn harden_process_memory(hold: Hold) -> Hardened {
    let core_limit_at_start = core_limit_at_start();
    let mut warnings = Vec::new();
    if let Err(error) = limit_cores(hold, core_limit().hard, &mut warnings) {
        warnings.push(format!("cannot limit cores: {error}"));
    }
    if let Err(error) = reassert_undumpable() {
        warnings.push(format!("cannot make this process undumpable: {error}"));
        // Where the flag cannot be had, a limit of 1 still keeps a piped core_pattern from starting.
        if cfg!(target_os = "linux") && set_core(Some(1), Some(1)).is_err() {
            warnings.push("cannot limit cores to one byte either".to_owned());
        }
    }
    Hardened { warnings, core_limit_at_start }
}

/// The core limits of the process as it was started (as it was first asked for them).
#[must_use]
pub fn core_limit_at_start() -> CoreLimit {
    *CORE_LIMIT_AT_START.get_or_init(core_limit)
}

/// The core limits in force.
#[must_use]
pub fn core_limit() -> CoreLimit {
    let Rlimit { current: soft, maximum: hard } = getrlimit(Resource::Core);
    CoreLimit { soft, hard }
}

fn set_core(soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: soft, maximum: hard }).map_err(io::Error::from)
}

fn limit_cores(hold: Hold, hard: Option<u64>, warnings: &mut Vec<String>) -> io::Result<()> {
    let no_byte = hard == Some(0);
    let linux = cfg!(target_os = "linux");
    match hold {
        Hold::Hand if linux => {
            if let Err(error) = set_core(Some(1), Some(1)) {
                warnings.push(format!(
                    "cannot set the core limit to 1 (a piped core_pattern ignores 0): {error}"
                ));
                set_core(Some(0), hard)?;
            }
        }
        Hold::Agent if linux && may_raise_limits() => set_core(Some(0), Some(1))?,
        Hold::Agent | Hold::Hand => {
            set_core(Some(0), hard)?;
            if linux && no_byte {
                warnings.push(
                    "the hard core limit is 0: children with secrets get 0 instead of 1, which a piped core_pattern \
                     ignores"
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// Whether a hard limit that is lowered can be raised again for a child (CAP_SYS_RESOURCE, setrlimit(2)).
#[cfg(target_os = "linux")]
fn may_raise_limits() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE))
}

#[cfg(not(target_os = "linux"))]
fn may_raise_limits() -> bool {
    false
}

/// Makes the process undumpable (again): no core, and its files in /proc belong to root.
///
/// # Errors
/// The system's, or `Unsupported` where there is no such thing.
#[cfg(target_os = "linux")]
pub fn reassert_undumpable() -> io::Result<()> {
    set_dumpable(false)?;
    if is_dumpable() { Err(io::Error::other("the flag was set and reads back as dumpable")) } else { Ok(()) }
}

/// Whether the process can leave a core and be read by others of its user.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_dumpable() -> bool {
    // SAFETY: PR_GET_DUMPABLE(2const) takes no pointers.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 }
}

/// PR_SET_DUMPABLE for the whole process (it is a flag of its memory).
#[cfg(target_os = "linux")]
pub(crate) fn set_dumpable(dumpable: bool) -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE(2const) takes an integer, 0 or 1.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes tracing and cores away: procctl(2) on FreeBSD, ptrace(2) on macOS.
///
/// # Errors
/// The system's, or `Unsupported` where there is no such thing.
#[cfg(not(target_os = "linux"))]
pub fn reassert_undumpable() -> io::Result<()> {
    #[cfg(target_os = "freebsd")]
    {
        let mut how = libc::PROC_TRACE_CTL_DISABLE;
        // SAFETY: PROC_TRACE_CTL reads one int through the pointer (procctl(2)); `how` lives until the call returns.
        let code = unsafe {
            libc::procctl(libc::P_PID, libc::getpid().into(), libc::PROC_TRACE_CTL, (&raw mut how).cast())
        };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(target_os = "macos")]
    {
        // SAFETY: PT_DENY_ATTACH uses none of the other arguments (ptrace(2)).
        let code = unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(not(any(target_os = "freebsd", target_os = "macos")))]
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Whether the process can be traced, as far as this system tells.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn is_dumpable() -> bool {
    #[cfg(target_os = "freebsd")]
    {
        let mut tracer: libc::c_int = 0;
        // SAFETY: PROC_TRACE_STATUS writes one int through the pointer (procctl(2)).
        let code = unsafe {
            libc::procctl(
                libc::P_PID,
                libc::getpid().into(),
                libc::PROC_TRACE_STATUS,
                (&raw mut tracer).cast(),
            )
        };
        code != 0 || tracer != -1
    }
    #[cfg(not(target_os = "freebsd"))]
    true
}

/// The process that traces this one.
#[must_use]
pub fn tracer() -> Option<u32> {
    status_line("TracerPid:").and_then(|value| value.parse().ok()).filter(|&pid| pid != 0)
}

/// A value of /proc/self/status.
pub(crate) fn status_line(key: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

/// Names the calling thread; called by the main thread, this is what `pgrep -x` and `ps` see. 15 bytes at most count.
pub fn name_process(name: &CStr) {
    #[cfg(target_os = "linux")]
    // SAFETY: PR_SET_NAME(2const) reads at most 16 bytes of the terminated string, which lives until the call returns.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
    }
    #[cfg(target_os = "freebsd")]
    // SAFETY: pthread_set_name_np(3) copies the terminated string; the thread is the calling one.
    unsafe {
        libc::pthread_set_name_np(libc::pthread_self(), name.as_ptr());
    }
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let _ = name;
}
