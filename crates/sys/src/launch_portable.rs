//! Children on systems without clone(2): the same order of steps, between fork(2) and execve(2) of the standard library.
//!
//! The child has a copy of our memory, the arena too, until it executes; arguments and environment are copied inside the
//! arena before.

use crate::harden;
use crate::spawn::{Core, Credentials, Program, Spec};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::Pid;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// What every child needs, taken before any sandbox.
pub(crate) struct Launch {
    myself: PathBuf,
    null: OwnedFd,
}

impl Launch {
    pub(crate) fn prepare() -> io::Result<Self> {
        let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { myself: std::env::current_exe()?, null })
    }

    /// Starts the child and returns once it executes its program.
    pub(crate) fn start(&mut self, spec: &Spec<'_>) -> io::Result<(Pid, Option<OwnedFd>)> {
        let text = |string: &CStr| OsStr::from_bytes(string.to_bytes()).to_owned();
        let program = match spec.program {
            Program::Path(path) => text(path),
            Program::Myself => self.myself.clone().into_os_string(),
        };
        #[expect(clippy::disallowed_types, reason = "this is the spawner, where there is no clone(2)")]
        let mut command = std::process::Command::new(program);
        if let [name, arguments @ ..] = spec.arguments {
            command.arg0(text(name)).args(arguments.iter().map(|each| text(each)));
        }
        command.env_clear();
        for pair in spec.environment {
            let mut parts = pair.to_bytes().splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                command.env(name, value);
            }
        }
        let mut steps = Steps::new(spec, &self.null)?;
        // Every number that the child is to have is taken, so that the pipe through which the standard library reports
        // lies above them.
        let mut taken = Vec::new();
        while taken.last().is_none_or(|last: &OwnedFd| last.as_raw_fd() < steps.above) {
            taken.push(rustix::io::fcntl_dupfd_cloexec(&self.null, 3)?);
        }
        // SAFETY: `Steps::take` calls async-signal-safe functions only (sigaction(2) lists them) and allocates nothing; the
        // descriptors it names are open until this function returns.
        unsafe { command.pre_exec(move || steps.take()) };
        let pid = i32::try_from(command.spawn()?.id()).ok().and_then(Pid::from_raw);
        Ok((pid.ok_or(io::ErrorKind::InvalidData)?, None))
    }
}

/// What the child does before it executes.
struct Steps {
    /// From which number, to which, and the one above all targets in between.
    moves: Vec<(i32, i32, i32)>,
    above: i32,
    core: u64,
    credentials: Option<(u32, u32, Vec<u32>)>,
    folder: std::ffi::CString,
    umask: u32,
    own_group: bool,
    parent: Option<u32>,
}

impl Steps {
    fn new(spec: &Spec<'_>, null: &OwnedFd) -> io::Result<Self> {
        if spec.no_new_privileges {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let moves: Vec<_> = spec.placed(null)?.iter().map(|(from, to)| (from.as_raw_fd(), *to, -1)).collect();
        Ok(Self {
            above: moves.iter().map(|each| each.1).max().unwrap_or(2) + 1,
            moves,
            core: match spec.core {
                Core::One => 0,
                Core::AsStarted => harden::core_limit_at_start().soft.unwrap_or(u64::MAX),
            },
            credentials: spec.credentials.map(|Credentials { uid, gid, groups }| (uid, gid, groups.to_vec())),
            folder: spec.folder.to_owned(),
            umask: spec.umask & 0o777,
            own_group: spec.own_group,
            parent: spec.dies_with_parent.then(std::process::id),
        })
    }

    fn take(&mut self) -> io::Result<()> {
        let step = |code: i32| if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) };
        // SAFETY: in the forked child, which has its own copy of everything; numbers, and pointers into `self`. The standard
        // library has emptied the signal mask before.
        unsafe {
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_DFL);
            }
            if self.own_group {
                // A session and not only a group: who still has our terminal could push input into it (TIOCSTI).
                step(libc::setsid())?;
            }
            let hard = harden::core_limit().hard;
            let limit = rustix::process::Rlimit {
                current: Some(self.core.min(hard.unwrap_or(u64::MAX))),
                maximum: hard,
            };
            rustix::process::setrlimit(rustix::process::Resource::Core, limit)?;
            for number in 3..libc::getdtablesize() {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            // All of them up first, so that none is overwritten before it is copied; the execution closes the copies.
            for (from, _, raised) in &mut self.moves {
                *raised = step(libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, self.above))?;
            }
            for (_, to, raised) in &self.moves {
                step(libc::dup2(*raised, *to))?;
            }
            if let Some((uid, gid, groups)) = &self.credentials {
                let count = groups.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
                // For root, setgid(2) and setuid(2) set the real, effective and saved id.
                step(libc::setgroups(count, groups.as_ptr()))?;
                step(libc::setgid(*gid))?;
                step(libc::setuid(*uid))?;
            }
            if let Some(parent) = self.parent {
                crate::peer::die_with_parent(parent)?;
            }
            libc::umask(self.umask as libc::mode_t);
            step(libc::chdir(self.folder.as_ptr()))?;
        }
        Ok(())
    }
}
