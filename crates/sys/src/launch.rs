//! What happens between clone(2) and execve(2).
//!
//! The child shares our memory until it executes (CLONE_VM), because after a fork the arena would be gone or a copy: so it
//! only makes raw system calls, allocates nothing, takes no lock and writes nothing but its verdict. `setresuid` of the C
//! library would change every thread of ours; the raw call changes the child.

use crate::spawn::{Core, Credentials, Program, Spec};
use crate::{arena, harden, pages};
use libc::{c_char, c_long, syscall};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

#[cfg(target_pointer_width = "32")]
compile_error!("on 32-bit systems the kernel has 16-bit setresuid and setgroups under these names");

/// What every child needs, taken before any sandbox.
pub(crate) struct Launch {
    /// An O_PATH descriptor of the running binary.
    myself: OwnedFd,
    null: OwnedFd,
    stack: ChildStack,
}

/// The stack on which children run until they execute. One is enough: our thread sleeps meanwhile (CLONE_VFORK).
struct ChildStack {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: plain pages that belong to this value alone; moving it to another thread moves nothing in them.
unsafe impl Send for ChildStack {}

impl ChildStack {
    const LENGTH: usize = 64 << 10;

    /// In the arena if there is one. Never given back: the spawner's thread lives as long as the process.
    fn new() -> io::Result<Self> {
        if let Some(arena::Stack { start, length, .. }) = arena::Stack::new(Self::LENGTH) {
            return Ok(Self { start, length });
        }
        if arena::is_active() {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        let length = pages::round_up(Self::LENGTH);
        match pages::map(pages::Kind::Plain, length) {
            Ok(start) => Ok(Self { start, length }),
            Err(refused) => Err(io::Error::from_raw_os_error(refused.errno)),
        }
    }
}

impl Launch {
    pub(crate) fn prepare() -> io::Result<Self> {
        let myself = open(c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { myself, null, stack: ChildStack::new()? })
    }

    /// Starts the child and returns once it executes its program.
    pub(crate) fn start(&mut self, spec: &Spec<'_>) -> io::Result<(Pid, Option<OwnedFd>)> {
        let mut plan = Plan::new(self, spec)?;
        let dumpable = harden::is_dumpable();
        let cloned = self.clone_into(&mut plan);
        // A child that changed its user has changed the flag of the memory that we share: put it back.
        let restored = if dumpable { harden::set_dumpable(true) } else { harden::reassert_undumpable() };
        let (pid, pidfd) = cloned?;
        let failure = match plan.verdict {
            Some((EXECUTE, errno)) => io::Error::from_raw_os_error(errno),
            Some((step, errno)) => {
                let cause = io::Error::from_raw_os_error(errno);
                io::Error::new(cause.kind(), format!("{step}: {cause}"))
            }
            None => match restored {
                Ok(()) => return Ok((pid, pidfd)),
                Err(error) => error,
            },
        };
        // Ended already, unless it is our own flag that failed: then we must not go on, and neither must it.
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()))?;
        Err(failure)
    }

    fn clone_into(&mut self, plan: &mut Plan) -> io::Result<(Pid, Option<OwnedFd>)> {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let mut pidfd: libc::c_int = -1;
        // SAFETY: the first and the last call change this thread's mask and put it back. The child runs on pages of its
        // own (the top is page-aligned), with CLONE_VFORK: our thread sleeps until the child has executed or ended, so
        // that `plan`, the stack and what `plan` points to outlive the sharing, and nobody else touches them. Every
        // signal is blocked, so that no handler runs in the child on our memory. It shares neither descriptors (no
        // CLONE_FILES), nor handlers, nor folder and mask.
        let (pid, error) = unsafe {
            let old = set_mask(u64::MAX);
            let top = self.stack.start.as_ptr().add(self.stack.length);
            let pid = libc::clone(run, top.cast(), flags, ptr::from_mut(plan).cast(), &raw mut pidfd);
            let error = io::Error::last_os_error();
            set_mask(old);
            (pid, error)
        };
        let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(error)?;
        // SAFETY: where it is not negative the kernel has just made it for us (CLONE_PIDFD; before 5.2 it is ignored).
        Ok((pid, (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) })))
    }
}

/// All that the child reads, as plain pointers and numbers, and where it leaves its verdict.
struct Plan {
    /// Null for the running binary.
    path: *const c_char,
    binary: i32,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    folder: *const c_char,
    credentials: Option<(u32, u32, *const u32, usize)>,
    umask: u32,
    moves: Vec<Move>,
    /// The first number above all that the child is to have.
    above: i32,
    core: [libc::rlimit; 2],
    parent: u32,
    dies_with_parent: bool,
    own_group: bool,
    no_new_privileges: bool,
    /// The step that failed and its errno.
    verdict: Option<(&'static str, i32)>,
}

const EXECUTE: &str = "cannot execute";

struct Move {
    from: i32,
    to: i32,
    raised: i32,
}

impl Plan {
    /// Lays everything out. The plan points into `launch` and `spec`: both must outlive the child's start.
    fn new(launch: &Launch, spec: &Spec<'_>) -> io::Result<Self> {
        let moves = spec.placed(&launch.null)?;
        let moves: Vec<Move> =
            moves.iter().map(|(from, to)| Move { from: from.as_raw_fd(), to: *to, raised: -1 }).collect();
        Ok(Self {
            path: match spec.program {
                Program::Path(path) => path.as_ptr(),
                Program::Myself => ptr::null(),
            },
            binary: launch.myself.as_raw_fd(),
            arguments: pointers(spec.arguments),
            environment: pointers(spec.environment),
            folder: spec.folder.as_ptr(),
            credentials: spec
                .credentials
                .map(|Credentials { uid, gid, groups }| (uid, gid, groups.as_ptr(), groups.len())),
            umask: spec.umask & 0o777,
            above: moves.iter().map(|each| each.to).max().unwrap_or(2) + 1,
            moves,
            core: core_limits(spec.core),
            parent: std::process::id(),
            dies_with_parent: spec.dies_with_parent,
            own_group: spec.own_group,
            no_new_privileges: spec.no_new_privileges,
            verdict: None,
        })
    }
}

fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The limit that is wanted, and the one to take where the hard limit does not allow it.
fn core_limits(core: Core) -> [libc::rlimit; 2] {
    let raw = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
    let pair = |soft, hard| libc::rlimit { rlim_cur: raw(soft), rlim_max: raw(hard) };
    let (start, hard) = (harden::core_limit_at_start(), harden::core_limit().hard);
    match core {
        Core::One => [pair(Some(1), Some(1)), pair(Some(0), Some(0))],
        Core::AsStarted => {
            let capped = raw(start.soft).min(raw(hard));
            [pair(start.soft, start.hard), libc::rlimit { rlim_cur: capped, rlim_max: raw(hard) }]
        }
    }
}

extern "C" fn run(plan: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the pointer to the plan that `clone_into` passed; its thread sleeps, so this is the only user.
    let plan = unsafe { &mut *plan.cast::<Plan>() };
    // SAFETY: `clone_into` made this child as the contract asks: own handlers, descriptors and folder, signals blocked.
    let Err(step) = unsafe { become_program(plan) };
    plan.verdict = Some((step, io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    // SAFETY: ends this child only, running no handlers of the C library on the memory of the parent.
    unsafe { syscall(libc::SYS_exit_group, 127) };
    127
}

/// A step of the child: its text, if it failed.
type Step = Result<(), &'static str>;

fn step(code: c_long, text: &'static str) -> Step {
    if code == 0 { Ok(()) } else { Err(text) }
}

/// Runs in the child. Returns only the step that failed.
///
/// # Safety
/// Only in a child that shares no signal handlers, descriptors or working directory with this process, with every signal
/// blocked; all that `plan` points to must be alive. The functions below have the same contract.
unsafe fn become_program(plan: &mut Plan) -> Result<std::convert::Infallible, &'static str> {
    // SAFETY: the contract of this function is what each of the calls needs: they change the child only, and the pointers
    // in `plan` are those that `Plan::new` took from data that outlives the child's start.
    unsafe {
        reset_signals();
        if plan.own_group {
            // A session and not only a group: who still has our terminal could push input into it (TIOCSTI), as another user too.
            let session = syscall(libc::SYS_setsid);
            step(session.min(0), "cannot give the child a session")?;
        }
        let limit = |limit: *const libc::rlimit| syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, limit, 0);
        let [wanted, else_this] = &plan.core;
        if limit(wanted) != 0 {
            step(limit(else_this), "cannot set the core limit of the child")?;
        }
        place_descriptors(plan).map_err(|()| "cannot place the descriptors of the child")?;
        change_user(plan)?;
        if plan.dies_with_parent {
            die_with_parent(plan.parent)?;
        }
        syscall(libc::SYS_umask, plan.umask);
        step(syscall(libc::SYS_chdir, plan.folder), "cannot enter the folder of the child")?;
        if plan.no_new_privileges {
            step(prctl(libc::PR_SET_NO_NEW_PRIVS, 1), "cannot set no_new_privs in the child")?;
        }
        set_mask(0);
        let (arguments, environment) = (plan.arguments.as_ptr(), plan.environment.as_ptr());
        if plan.path.is_null() {
            let here = c"".as_ptr();
            syscall(libc::SYS_execveat, plan.binary, here, arguments, environment, libc::AT_EMPTY_PATH);
        } else {
            syscall(libc::SYS_execve, plan.path, arguments, environment);
        }
    }
    Err(EXECUTE)
}

/// Bytes of the kernel's signal set: 64 bits wherever Vigo runs.
const SIGNAL_SET: usize = 8;

/// Sets the calling thread's signal mask, also those signals that the C library keeps for itself; returns the old one.
unsafe fn set_mask(mask: u64) -> u64 {
    let mut old = 0_u64;
    // SAFETY: reads one signal set and writes one, both of the size given (rt_sigprocmask(2)).
    unsafe {
        syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, &raw mut old, SIGNAL_SET)
    };
    old
}

/// SIG_DFL for all of them: a handler must not run in the child, and an ignored signal would stay ignored.
unsafe fn reset_signals() {
    // The kernel's struct sigaction, all zero: SIG_DFL, no flags, empty mask, whatever the order of its fields.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: reads one struct sigaction, which is not longer. EINVAL for SIGKILL and SIGSTOP, which have no other.
        unsafe { syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, SIGNAL_SET) };
    }
}

unsafe fn prctl(option: i32, value: i32) -> c_long {
    // SAFETY: only called with options that take a number (prctl(2)).
    unsafe { syscall(libc::SYS_prctl, option, value, 0, 0, 0) }
}

/// Puts each descriptor at its number: first all of them above the highest, so that none is overwritten before it is
/// copied, then down, which clears their mark. Everything else is marked and closed by the execution.
unsafe fn place_descriptors(plan: &mut Plan) -> Result<(), ()> {
    // SAFETY: close_range(2), fcntl(2) and dup3(2) on the child's own descriptor table; numbers only.
    let raise = |from: i32| match unsafe { syscall(libc::SYS_fcntl, from, libc::F_DUPFD_CLOEXEC, plan.above) }
    {
        -1 => Err(()),
        raised => i32::try_from(raised).map_err(drop),
    };
    // SAFETY: as above; the limit is written to a struct of our own.
    unsafe {
        // CLOSE_RANGE_CLOEXEC is 4 and there since 5.11; before, each number that can be open is marked.
        if syscall(libc::SYS_close_range, 3, u32::MAX, 4) != 0 {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &raw mut limit);
            for number in 3..limit.rlim_cur.clamp(1024, 1 << 20) {
                syscall(libc::SYS_fcntl, number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
    for each in &mut plan.moves {
        each.raised = raise(each.from)?;
    }
    plan.binary = raise(plan.binary)?;
    // SAFETY: as above.
    let down = |each: &Move| unsafe { syscall(libc::SYS_dup3, each.raised, each.to, 0) };
    if plan.moves.iter().all(|each| down(each) >= 0) { Ok(()) } else { Err(()) }
}

/// Another user that is not root also loses what capabilities(7) would let it keep: inheritable and ambient ones. Then
/// the flag of the memory we share is set: the change of user has made it what fs.suid_dumpable says.
unsafe fn change_user(plan: &Plan) -> Step {
    // SAFETY: the pointer and length of the groups are those of a slice that outlives the child's start; the two arrays of
    // capset(2) have the sizes of _LINUX_CAPABILITY_VERSION_3. All act on the child.
    unsafe {
        if let Some((uid, gid, groups, count)) = plan.credentials {
            let text = "cannot change user and groups of the child";
            step(syscall(libc::SYS_setgroups, count, groups), text)?;
            step(syscall(libc::SYS_setresgid, gid, gid, gid), text)?;
            step(syscall(libc::SYS_setresuid, uid, uid, uid), text)?;
            if uid != 0 {
                let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
                // EINVAL where there are no ambient capabilities (before 4.3).
                prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL);
                step(syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()), text)?;
            }
        }
        step(prctl(libc::PR_SET_DUMPABLE, 0), "cannot make the child undumpable")
    }
}

/// After the change of user, which clears it.
unsafe fn die_with_parent(parent: u32) -> Step {
    let text = "cannot tie the child to its parent";
    // SAFETY: numbers only; the errno is this thread's, which sleeps in the parent.
    unsafe {
        step(prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), text)?;
        // The parent may have ended before it was asked: then we belong to another process already.
        if syscall(libc::SYS_getppid) == c_long::from(parent) {
            return Ok(());
        }
        *libc::__errno_location() = libc::ESRCH;
    }
    Err(text)
}
