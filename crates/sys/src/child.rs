//! What happens between clone(2) and execve(2).
//!
//! On Linux the child shares our memory until it executes (CLONE_VM), because after a fork the arena would be gone or a
//! copy: so the child only makes raw system calls, allocates nothing, takes no lock and writes nothing but its verdict.
//! `setresuid` of the C library would change every thread of ours; raw calls also keep its cached ids out of the way.
//! Elsewhere the same steps run after fork(2).

use crate::spawn::{Core, Credentials, Program, Spec};
use rustix::process::Pid;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The steps of the child, in their order; the verdict names one.
#[derive(Clone, Copy)]
enum Step {
    Group = 1,
    Core,
    Descriptors,
    Credentials,
    Dumpable,
    Parent,
    Folder,
    Privileges,
    Execute,
}

const STEP_NAMES: [(Step, &str); 9] = [
    (Step::Group, "cannot give the child a process group"),
    (Step::Core, "cannot set the core limit of the child"),
    (Step::Descriptors, "cannot place the descriptors of the child"),
    (Step::Credentials, "cannot change user and groups of the child"),
    (Step::Dumpable, "cannot make the child undumpable"),
    (Step::Parent, "cannot tie the child to its parent"),
    (Step::Folder, "cannot enter the folder of the child"),
    (Step::Privileges, "cannot set no_new_privs in the child"),
    (Step::Execute, "cannot execute"),
];

/// What every child needs, opened before any sandbox.
pub(crate) struct Launch {
    myself: Myself,
    null: OwnedFd,
    #[cfg(target_os = "linux")]
    stack: linux::ChildStack,
    #[cfg(target_os = "linux")]
    was_dumpable: bool,
}

#[cfg(target_os = "linux")]
type Myself = OwnedFd;
#[cfg(not(target_os = "linux"))]
type Myself = std::ffi::CString;

impl Launch {
    pub(crate) fn prepare() -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags, open};
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        #[cfg(target_os = "linux")]
        let myself = open(c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        #[cfg(not(target_os = "linux"))]
        let myself = {
            use std::os::unix::ffi::OsStrExt;
            std::ffi::CString::new(std::env::current_exe()?.as_os_str().as_bytes())?
        };
        Ok(Self {
            myself,
            null,
            #[cfg(target_os = "linux")]
            stack: linux::ChildStack::new()?,
            #[cfg(target_os = "linux")]
            was_dumpable: false,
        })
    }
}

/// All that the child reads, as plain pointers and numbers, and where it leaves its verdict.
pub(crate) struct Plan {
    path: *const libc::c_char,
    #[cfg(target_os = "linux")]
    binary: i32,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    folder: *const libc::c_char,
    credentials: Option<(u32, u32, *const u32, usize)>,
    umask: u32,
    moves: Vec<Move>,
    /// The first number above all that the child is to have.
    above: i32,
    core: [libc::rlimit; 2],
    parent: i32,
    dies_with_parent: bool,
    own_group: bool,
    no_new_privileges: bool,
    step: AtomicI32,
    errno: AtomicI32,
}

struct Move {
    from: i32,
    to: i32,
    raised: i32,
}

impl Plan {
    /// Lays everything out. The plan points into `launch` and `spec`: both must outlive the child's start.
    pub(crate) fn new(launch: &Launch, spec: &Spec<'_>) -> io::Result<Self> {
        let mut moves: Vec<Move> = spec
            .descriptors
            .iter()
            .map(|(from, to)| Move { from: from.as_raw_fd(), to: *to, raised: -1 })
            .collect();
        for standard in 0..3 {
            if !moves.iter().any(|each| each.to == standard) {
                moves.push(Move { from: launch.null.as_raw_fd(), to: standard, raised: -1 });
            }
        }
        let twice = moves
            .iter()
            .enumerate()
            .any(|(at, each)| moves.iter().skip(at + 1).any(|next| next.to == each.to));
        let above = moves.iter().map(|each| each.to).max().unwrap_or(2).saturating_add(1);
        if twice || moves.iter().any(|each| !(0..=HIGHEST).contains(&each.to)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "descriptors of a child: a number twice or too high",
            ));
        }
        Ok(Self {
            path: match spec.program {
                Program::Path(path) => path.as_ptr(),
                #[cfg(target_os = "linux")]
                Program::Myself => std::ptr::null(),
                #[cfg(not(target_os = "linux"))]
                Program::Myself => launch.myself.as_ptr(),
            },
            #[cfg(target_os = "linux")]
            binary: launch.myself.as_raw_fd(),
            arguments: pointers(spec.arguments),
            environment: pointers(spec.environment),
            folder: spec.folder.as_ptr(),
            credentials: spec
                .credentials
                .map(|Credentials { uid, gid, groups }| (uid, gid, groups.as_ptr(), groups.len())),
            umask: spec.umask & 0o777,
            moves,
            above,
            core: core_limits(spec.core),
            parent: i32::try_from(std::process::id()).unwrap_or(0),
            dies_with_parent: spec.dies_with_parent,
            own_group: spec.own_group,
            no_new_privileges: spec.no_new_privileges,
            step: AtomicI32::new(0),
            errno: AtomicI32::new(0),
        })
    }

    /// Why the child did not get as far as its program.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        let step = self.step.load(Ordering::Acquire);
        let cause = io::Error::from_raw_os_error(self.errno.load(Ordering::Acquire));
        let (step, text) = STEP_NAMES.into_iter().find(|(each, _)| *each as i32 == step)?;
        Some(match step {
            Step::Execute => cause,
            _ => io::Error::new(cause.kind(), format!("{text}: {cause}")),
        })
    }
}

/// The highest descriptor number that a child may be given.
const HIGHEST: i32 = 255;

fn pointers(strings: &[&CStr]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// The limit that is wanted, and the one to take where the hard limit does not allow it.
fn core_limits(core: Core) -> [libc::rlimit; 2] {
    let raw = |limit: Option<u64>| limit.map_or(libc::RLIM_INFINITY, |limit| limit as libc::rlim_t);
    let pair = |soft, hard| libc::rlimit { rlim_cur: raw(soft), rlim_max: raw(hard) };
    let start = crate::harden::core_limit_at_start();
    let hard = crate::harden::core_limit().hard;
    match core {
        Core::One => [pair(Some(1), Some(1)), pair(Some(0), Some(0))],
        Core::AsStarted => {
            let capped = start.soft.map_or(hard, |soft| Some(hard.map_or(soft, |hard| soft.min(hard))));
            [pair(start.soft, start.hard), pair(capped, hard)]
        }
    }
}

/// Runs in the child. Returns only the step that failed.
///
/// # Safety
/// Only in a child that shares no signal handlers, descriptors or working directory with this process, with every signal
/// blocked; all that `plan` points to must be alive.
unsafe fn become_program(plan: &mut Plan) -> Step {
    // SAFETY: the contract of this function is what each of the calls below needs: they change the child only, and the
    // pointers in `plan` are those that `Plan::new` took from data that outlives the child's start.
    unsafe {
        raw::reset_signals();
        if plan.own_group && raw::own_group() != 0 {
            return Step::Group;
        }
        let [wanted, else_this] = &plan.core;
        if raw::limit_core(wanted) != 0 && raw::limit_core(else_this) != 0 {
            return Step::Core;
        }
        if !place_descriptors(plan) {
            return Step::Descriptors;
        }
        if let Some((uid, gid, groups, count)) = plan.credentials
            && raw::change_user(uid, gid, groups, count) != 0
        {
            return Step::Credentials;
        }
        // Directly after the change of user: that has set the flag of the memory we share to fs.suid_dumpable.
        if raw::make_undumpable() != 0 {
            return Step::Dumpable;
        }
        // After the change of user, which clears it.
        if plan.dies_with_parent && raw::die_with_parent(plan.parent) != 0 {
            return Step::Parent;
        }
        raw::mask(plan.umask);
        if raw::enter(plan.folder) != 0 {
            return Step::Folder;
        }
        if plan.no_new_privileges && raw::no_new_privileges() != 0 {
            return Step::Privileges;
        }
        raw::unblock_signals();
        raw::execute(plan);
    }
    Step::Execute
}

/// Puts each descriptor at its number: first all of them above the highest, so that none is overwritten before it is
/// copied, then down. Everything else is closed by the execution.
///
/// # Safety
/// As [`become_program`].
unsafe fn place_descriptors(plan: &mut Plan) -> bool {
    // SAFETY: fcntl(2) and dup2(2) on the child's own descriptor table; numbers only.
    unsafe {
        raw::close_on_execute();
        for each in &mut plan.moves {
            each.raised = raw::duplicate_above(each.from, plan.above);
            if each.raised < 0 {
                return false;
            }
        }
        #[cfg(target_os = "linux")]
        {
            plan.binary = raw::duplicate_above(plan.binary, plan.above);
            if plan.binary < 0 {
                return false;
            }
        }
        plan.moves.iter().all(|each| raw::duplicate_to(each.raised, each.to) >= 0)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! clone(2) with our memory and on a stack of its own.

    use super::{Launch, Ordering, OwnedFd, Pid, Plan, become_program, io, raw};
    use crate::{arena, harden, pages};
    use std::os::fd::FromRawFd;
    use std::ptr::NonNull;

    const STACK: usize = 64 << 10;

    /// The stack on which children run until they execute. One is enough: our thread sleeps meanwhile (CLONE_VFORK).
    pub(super) struct ChildStack {
        start: NonNull<u8>,
        length: usize,
    }

    // SAFETY: plain pages that belong to this value alone; moving it to another thread moves nothing in them.
    unsafe impl Send for ChildStack {}

    impl ChildStack {
        /// In the arena if there is one. Never given back: the spawner's thread lives as long as the process.
        pub(super) fn new() -> io::Result<Self> {
            if let Some(arena::Stack { start, length, .. }) = arena::Stack::new(STACK) {
                return Ok(Self { start, length });
            }
            if arena::is_active() {
                return Err(io::Error::from(io::ErrorKind::OutOfMemory));
            }
            let length = pages::round_up(STACK);
            let start = pages::map(pages::Kind::Plain, length)
                .map_err(|refused| io::Error::from_raw_os_error(refused.errno))?;
            Ok(Self { start, length })
        }
    }

    impl Launch {
        /// Starts the child and returns when it executes or has failed; which of the two, the plan knows.
        pub(crate) fn start(&mut self, plan: &mut Plan) -> io::Result<(Pid, Option<OwnedFd>)> {
            self.was_dumpable = harden::is_dumpable();
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
            let mut pidfd: libc::c_int = -1;
            // SAFETY: the mask is put back below, on the same thread.
            let old = unsafe { raw::block_signals() };
            // SAFETY: the child runs on `STACK` bytes of its own (the top is page-aligned), with CLONE_VFORK: our thread
            // sleeps until the child has executed or ended, so that `plan`, the stack and what `plan` points to outlive
            // the sharing, and nobody else touches them. Every signal is blocked, so that no handler runs in the child
            // on our memory. It shares neither descriptors (no CLONE_FILES), nor handlers, nor folder and mask.
            let pid = unsafe {
                let top = self.stack.start.as_ptr().add(self.stack.length);
                libc::clone(run, top.cast(), flags, std::ptr::from_mut(plan).cast(), &raw mut pidfd)
            };
            let error = io::Error::last_os_error();
            // SAFETY: the mask that was in force above.
            unsafe { raw::set_mask(&old) };
            let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(error)?;
            // SAFETY: where it is not negative the kernel has just made it for us (CLONE_PIDFD; older kernels ignore it).
            Ok((pid, (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) })))
        }

        /// A child that changed its user has changed the flag of the memory that we share: put it back.
        pub(crate) fn restore_dumpable(&self) -> io::Result<()> {
            if self.was_dumpable {
                return harden::set_dumpable(true);
            }
            harden::reassert_undumpable()
        }
    }

    extern "C" fn run(plan: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the pointer to the plan that `start` passed; its thread sleeps, so this is the only user.
        let plan = unsafe { &mut *plan.cast::<Plan>() };
        // SAFETY: `start` made this child as the contract asks: own handlers, descriptors and folder, signals blocked.
        let step = unsafe { become_program(plan) };
        plan.errno.store(io::Error::last_os_error().raw_os_error().unwrap_or(0), Ordering::Release);
        plan.step.store(step as i32, Ordering::Release);
        // SAFETY: ends this child only, running no handlers of the C library on the memory of the parent.
        unsafe { libc::syscall(libc::SYS_exit_group, 127) };
        127
    }
}

#[cfg(target_os = "linux")]
mod raw {
    //! The system calls of the child, none of them through a wrapper that knows about threads.
    //!
    //! Every function is `unsafe` for one reason: it acts on the calling process as a whole, which must be the child.
    #![expect(unsafe_op_in_unsafe_fn, reason = "each body is one or two system calls and nothing else")]

    use super::Plan;
    use libc::{c_long, syscall};

    const SIGNALS: c_long = 64;
    /// Bytes of the kernel's signal set: 64 bits wherever Vigo runs.
    const SET: usize = 8;

    #[cfg(target_pointer_width = "32")]
    compile_error!("on 32-bit systems the kernel has 16-bit setresuid and setgroups under these names");

    pub(super) unsafe fn block_signals() -> u64 {
        let (all, mut old) = (u64::MAX, 0_u64);
        syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut old, SET);
        old
    }

    pub(super) unsafe fn set_mask(mask: &u64) {
        syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, std::ptr::from_ref(mask), 0, SET);
    }

    pub(super) unsafe fn unblock_signals() {
        set_mask(&0);
    }

    /// SIG_DFL for all of them: a handler must not run in the child, and an ignored signal would stay ignored.
    pub(super) unsafe fn reset_signals() {
        // The kernel's struct sigaction, all zero: SIG_DFL, no flags, empty mask, whatever the order of its fields.
        let default = [0_u64; 4];
        for signal in 1..=SIGNALS {
            // EINVAL for SIGKILL and SIGSTOP, which have no other disposition.
            syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, SET);
        }
    }

    pub(super) unsafe fn own_group() -> c_long {
        syscall(libc::SYS_setpgid, 0, 0)
    }

    pub(super) unsafe fn limit_core(limit: &libc::rlimit) -> c_long {
        let limit: *const libc::rlimit = limit;
        syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE, limit, 0)
    }

    /// Marks all above 2; those that stay are duplicated afterwards, which clears the mark.
    pub(super) unsafe fn close_on_execute() {
        if syscall(libc::SYS_close_range, 3, u32::MAX, 1 << 2 /* CLOSE_RANGE_CLOEXEC, since 5.11 */) == 0 {
            return;
        }
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, 0, &raw mut limit);
        for number in 3..limit.rlim_cur.clamp(1024, 1 << 20) {
            syscall(libc::SYS_fcntl, number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }

    pub(super) unsafe fn duplicate_above(from: i32, above: i32) -> i32 {
        i32::try_from(syscall(libc::SYS_fcntl, from, libc::F_DUPFD_CLOEXEC, above)).unwrap_or(-1)
    }

    pub(super) unsafe fn duplicate_to(from: i32, to: i32) -> c_long {
        syscall(libc::SYS_dup3, from, to, 0)
    }

    /// A user that is not root also loses what capabilities(7) would let it keep: inheritable and ambient ones.
    pub(super) unsafe fn change_user(uid: u32, gid: u32, groups: *const u32, count: usize) -> c_long {
        if syscall(libc::SYS_setgroups, count, groups) != 0
            || syscall(libc::SYS_setresgid, gid, gid, gid) != 0
            || syscall(libc::SYS_setresuid, uid, uid, uid) != 0
        {
            return -1;
        }
        if uid == 0 {
            return 0;
        }
        // _LINUX_CAPABILITY_VERSION_3 for this process, and three empty sets of 64 bits (capset(2)).
        let (header, none) = ([0x2008_0522_u32, 0], [0_u32; 6]);
        // EINVAL where there are no ambient capabilities (before 4.3).
        syscall(libc::SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr())
    }

    pub(super) unsafe fn make_undumpable() -> c_long {
        syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    }

    pub(super) unsafe fn die_with_parent(parent: i32) -> c_long {
        let asked = syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        // The parent may have ended before it was asked: then we belong to another process already.
        if asked == 0 && syscall(libc::SYS_getppid) != c_long::from(parent) {
            *libc::__errno_location() = libc::ESRCH;
            return -1;
        }
        asked
    }

    pub(super) unsafe fn mask(umask: u32) {
        syscall(libc::SYS_umask, umask);
    }

    pub(super) unsafe fn enter(folder: *const libc::c_char) -> c_long {
        syscall(libc::SYS_chdir, folder)
    }

    pub(super) unsafe fn no_new_privileges() -> c_long {
        syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    }

    pub(super) unsafe fn execute(plan: &Plan) {
        let (arguments, environment) = (plan.arguments.as_ptr(), plan.environment.as_ptr());
        if plan.path.is_null() {
            let here = c"".as_ptr();
            syscall(libc::SYS_execveat, plan.binary, here, arguments, environment, libc::AT_EMPTY_PATH);
        } else {
            syscall(libc::SYS_execve, plan.path, arguments, environment);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod fork {
    //! The same steps after fork(2), with a pipe for the verdict: the memory is not shared.

    use super::{Launch, Ordering, OwnedFd, Pid, Plan, become_program, io};
    use crate::thread::SignalMask;
    use std::os::fd::AsRawFd;

    impl Launch {
        /// Starts the child and returns when it executes or has failed; which of the two, the plan knows.
        pub(crate) fn start(&mut self, plan: &mut Plan) -> io::Result<(Pid, Option<OwnedFd>)> {
            let (reader, writer) = rustix::pipe::pipe()?;
            rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::CLOEXEC)?;
            // The child raises the number above those it places, so that the verdict can still be written.
            let writer = rustix::io::fcntl_dupfd_cloexec(&writer, plan.above + 64)?;
            let old = SignalMask::block_all();
            // SAFETY: the child calls async-signal-safe functions only (`raw` below and write(2)) until it executes.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // SAFETY: in the forked child, which has its own copy of everything, signals blocked by `block_all`.
                let step = unsafe { become_program(plan) };
                let verdict = [step as i32, io::Error::last_os_error().raw_os_error().unwrap_or(0)];
                // SAFETY: eight bytes of an array of our own to our own pipe; then the end of this child.
                unsafe {
                    libc::write(writer.as_raw_fd(), verdict.as_ptr().cast(), 8);
                    libc::_exit(127)
                }
            }
            let error = io::Error::last_os_error();
            old.restore();
            drop(writer);
            let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(error)?;
            let mut verdict = [0_u8; 8];
            if rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut verdict))? == 8 {
                let [a, b, c, d, errno @ ..] = verdict;
                plan.step.store(i32::from_ne_bytes([a, b, c, d]), Ordering::Release);
                plan.errno.store(i32::from_ne_bytes(errno), Ordering::Release);
            }
            Ok((pid, None))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod raw {
    //! The steps of the child in async-signal-safe calls of the C library (sigaction(2) lists them).
    #![expect(unsafe_op_in_unsafe_fn, reason = "each body is a few system calls and nothing else")]

    use super::Plan;
    use std::mem::MaybeUninit;

    pub(super) unsafe fn reset_signals() {
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }

    pub(super) unsafe fn unblock_signals() {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }

    pub(super) unsafe fn own_group() -> i32 {
        libc::setpgid(0, 0)
    }

    pub(super) unsafe fn limit_core(limit: &libc::rlimit) -> i32 {
        libc::setrlimit(libc::RLIMIT_CORE, limit)
    }

    pub(super) unsafe fn close_on_execute() {
        for number in 3..libc::getdtablesize() {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }

    pub(super) unsafe fn duplicate_above(from: i32, above: i32) -> i32 {
        libc::fcntl(from, libc::F_DUPFD_CLOEXEC, above)
    }

    pub(super) unsafe fn duplicate_to(from: i32, to: i32) -> i32 {
        libc::dup2(from, to)
    }

    pub(super) unsafe fn change_user(uid: u32, gid: u32, groups: *const u32, count: usize) -> i32 {
        let Ok(count) = count.try_into() else { return -1 };
        // For root, setgid(2) and setuid(2) set the real, effective and saved id.
        if libc::setgroups(count, groups) != 0 || libc::setgid(gid) != 0 { -1 } else { libc::setuid(uid) }
    }

    /// The flag of procctl(2) is per process and does not come back by a change of user.
    pub(super) unsafe fn make_undumpable() -> i32 {
        0
    }

    pub(super) unsafe fn die_with_parent(parent: i32) -> i32 {
        #[cfg(target_os = "freebsd")]
        {
            let mut signal = libc::SIGKILL;
            if libc::procctl(libc::P_PID, 0, libc::PROC_PDEATHSIG_CTL, (&raw mut signal).cast()) != 0 {
                return -1;
            }
        }
        if libc::getppid() == parent { 0 } else { -1 }
    }

    pub(super) unsafe fn mask(umask: u32) {
        libc::umask(umask as libc::mode_t);
    }

    pub(super) unsafe fn enter(folder: *const libc::c_char) -> i32 {
        libc::chdir(folder)
    }

    pub(super) unsafe fn no_new_privileges() -> i32 {
        0
    }

    pub(super) unsafe fn execute(plan: &Plan) {
        libc::execve(plan.path, plan.arguments.as_ptr(), plan.environment.as_ptr());
    }
}
