//! Children, started straight from protected memory by a thread of their own.
//!
//! The [`Spawner`]'s thread is made before any sandbox, so that children inherit neither a seccomp filter nor
//! no_new_privs, and it lives as long as the process, so that `dies_with_parent` means the process (prctl(2) means the
//! thread). What a child does between clone(2) and execve(2) stands in `launch`. What to run, with which environment and
//! for how long is decided by the callers.

use crate::launch::Launch;
use crate::{arena, harden, thread};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What to execute.
#[derive(Clone, Copy)]
pub enum Program<'a> {
    /// A file, by its path; PATH is not searched.
    Path(&'a CStr),
    /// The running binary itself, by the descriptor taken when the spawner started: also after an upgrade has replaced
    /// the file.
    Myself,
}

/// Whose rights the child gets. All three are set, real, effective and saved.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The user. With another one than root the child has no capabilities at all.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The supplementary groups; all others are dropped.
    pub groups: &'a [u32],
}

/// The child's core limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// What this process was started with: for children that see no secret.
    AsStarted,
    /// 1:1, which leaves no core, not even through a piped core_pattern. Where the hard limit is 0 it stays 0.
    One,
}

/// Everything about a child. Neither `Debug` nor owned: arguments and environment are read where they lie, which may be
/// the arena.
#[derive(Clone, Copy)]
pub struct Spec<'a> {
    /// What to execute.
    pub program: Program<'a>,
    /// The arguments, the program's name first.
    pub arguments: &'a [&'a CStr],
    /// The whole environment, each `NAME=value`.
    pub environment: &'a [&'a CStr],
    /// The working directory, entered with the child's rights.
    pub folder: &'a CStr,
    /// Whose rights it gets; `None` keeps ours.
    pub credentials: Option<Credentials<'a>>,
    /// The file mode creation mask.
    pub umask: u32,
    /// What is open in the child, and as which number. All else is closed; 0, 1 and 2 are /dev/null unless named.
    pub descriptors: &'a [(BorrowedFd<'a>, i32)],
    /// The core limit.
    pub core: Core,
    /// Killed when this process ends, however it ends.
    pub dies_with_parent: bool,
    /// In a session and process group of its own: without our terminal, and `kill_group` ends it as a whole.
    pub own_group: bool,
    /// Sets no_new_privs: setuid programs below it gain nothing.
    pub no_new_privileges: bool,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            program: Program::Myself,
            arguments: &[],
            environment: &[],
            folder: c"/",
            credentials: None,
            umask: 0o022,
            descriptors: &[],
            core: Core::AsStarted,
            dies_with_parent: true,
            own_group: true,
            no_new_privileges: false,
        }
    }
}

impl<'a> Spec<'a> {
    /// The descriptors with /dev/null at those of 0, 1 and 2 that are not named.
    pub(crate) fn placed(&self, null: &'a OwnedFd) -> io::Result<Vec<(BorrowedFd<'a>, i32)>> {
        let mut placed = self.descriptors.to_vec();
        let named =
            |placed: &[(BorrowedFd<'_>, i32)], number| placed.iter().filter(|each| each.1 == number).count();
        for number in 0..3 {
            if named(&placed, number) == 0 {
                placed.push((null.as_fd(), number));
            }
        }
        if placed.iter().all(|each| (0..=HIGHEST).contains(&each.1) && named(&placed, each.1) == 1) {
            return Ok(placed);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "descriptors of a child: a number twice or out of range",
        ))
    }
}

/// The highest descriptor number that a child may be given.
const HIGHEST: i32 = 255;

/// The thread that starts children.
pub struct Spawner {
    requests: mpsc::Sender<Request>,
}

struct Request {
    spec: Borrowed,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

struct Borrowed(*const Spec<'static>);

// SAFETY: the `Spec` behind the pointer is only read, by the spawner's thread, while `Spawner::spawn`, which borrows it,
// waits for the reply; all that a `Spec` holds are shared references to data that does not change meanwhile.
unsafe impl Send for Borrowed {}

impl Spawner {
    /// Starts the thread: after the arena (its stack lies there if there is one), before any sandbox.
    ///
    /// Also makes sure that ended children can be waited for: a SIGCHLD ignored by whoever started us would reap them.
    ///
    /// # Errors
    /// If there is no thread, no memory, or /dev/null or the running binary cannot be opened.
    pub fn start() -> io::Result<Self> {
        let _ = harden::core_limit_at_start();
        // SAFETY: signal(2) with SIG_DFL installs no handler. SIGCHLD's default is to be ignored without reaping.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let mut launch = Launch::prepare()?;
        let (requests, inbox) = mpsc::channel::<Request>();
        let serve = move || {
            harden::name_process(NAME);
            for Request { spec, reply } in inbox {
                // SAFETY: `Spawner::spawn` keeps the `Spec` borrowed until it has the reply, which is sent below.
                let spec = unsafe { &*spec.0 };
                // The other end waits (see above), so that a failure to send can only mean that it panicked.
                let started = launch.start(spec);
                let _ = reply.send(started.map(|(pid, pidfd)| Child {
                    pid,
                    pidfd,
                    own_group: spec.own_group,
                    status: None,
                }));
            }
            // A thread that ended would take the children that die with their parent with it.
            thread::park();
        };
        if arena::is_active() {
            thread::run_protected(STACK, Box::new(serve))?;
        } else {
            std::thread::Builder::new().name(NAME.to_string_lossy().into_owned()).spawn(serve)?;
        }
        Ok(Self { requests })
    }

    /// Starts a child and returns once it executes the program.
    ///
    /// # Errors
    /// What the kernel said to execve(2), as it is (`raw_os_error`); a step before that, with the step in the text.
    pub fn spawn(&self, spec: &Spec<'_>) -> io::Result<Child> {
        let (reply, answer) = mpsc::sync_channel(1);
        let spec = Borrowed(std::ptr::from_ref(spec).cast());
        let gone = |_| io::Error::other("the thread that starts children has ended");
        self.requests.send(Request { spec, reply }).map_err(|_| gone(mpsc::RecvError))?;
        answer.recv().map_err(gone)?
    }
}

/// What its thread is called.
const NAME: &CStr = c"spawner";

/// Stack of the spawner's thread.
const STACK: usize = 128 << 10;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

impl Status {
    /// Exit code 0.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

/// A started child. Dropping it neither ends it nor waits for it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    own_group: bool,
    status: Option<Status>,
}

impl Child {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A descriptor that is readable once it has ended (pidfd_open(2)), where the kernel gives one.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If the kernel does not know the child (any more).
    pub fn wait(&mut self) -> io::Result<Status> {
        loop {
            if let Some(status) = self.look(WaitOptions::empty())? {
                return Ok(status);
            }
        }
    }

    /// Waits until it has ended, or until the deadline: then `None`, and the child goes on.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<Status>> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.look(WaitOptions::NOHANG)? {
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if !self.pidfd.as_ref().is_some_and(|pidfd| wait_readable(pidfd, left)) {
                // No descriptor to wait on (Linux before 5.2, other systems): look again, soon at first.
                std::thread::sleep(pause.min(left));
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
    }

    /// Kills the child and, if it has a process group of its own, all of that. Call it before the child was waited for:
    /// afterwards its number may be another's, so that nothing is sent.
    ///
    /// # Errors
    /// The kernel's; none if all of them have ended.
    pub fn kill_group(&self) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        // Not yet waited for, so that the number is still this child's.
        let sent = if self.own_group {
            kill_process_group(self.pid, Signal::KILL)
        } else {
            kill_process(self.pid, Signal::KILL)
        };
        match sent {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn look(&mut self, options: WaitOptions) -> io::Result<Option<Status>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        match waitpid(Some(self.pid), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(Some((_, status))) => {
                let exited = status.exit_status().map(Status::Exited);
                self.status = exited.or_else(|| status.terminating_signal().map(Status::Signalled));
                Ok(self.status)
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already leaves no zombie; one that runs is the kernel's to reap when we end.
        let _ = self.look(WaitOptions::NOHANG);
    }
}

/// Waits on the descriptor; false if it cannot be waited on.
fn wait_readable(pidfd: &OwnedFd, left: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // A day at most at a time; the caller looks at its deadline again.
    let Ok(timeout) = Timespec::try_from(left.min(Duration::from_secs(86_400))) else { return false };
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    matches!(poll(&mut watched, Some(&timeout)), Ok(_) | Err(rustix::io::Errno::INTR))
}
