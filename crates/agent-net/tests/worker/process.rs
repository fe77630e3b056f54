//! Starts this binary as the worker, as the agent does, and looks at it from outside.

use crate::authority::{Authority, Leaf};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use vigo_base::EnvoyId;
use vigo_sys::spawn::{Child, Core, Credentials, Program, Spawner, Spec};
use vigo_wire::WireError;
use vigo_wire::worker::{Client, Configure, DESCRIPTOR, Failure, NAME};

/// The user of the worker where the test runs as root.
pub const USER: u32 = 61_184;
/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);

/// A running worker.
pub struct Worker {
    pub client: Client,
    pub child: Child,
}

pub fn spawner() -> &'static Spawner {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    SPAWNER.get_or_init(|| Spawner::start().unwrap())
}

pub fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts the worker over `pipe`.
pub fn spawn(pipe: &OwnedFd) -> Child {
    let credentials = is_root().then_some(Credentials { uid: USER, gid: USER, groups: &[] });
    let spec = Spec {
        program: Program::Myself,
        arguments: &[NAME],
        environment: &[],
        folder: c"/",
        credentials,
        umask: 0o077,
        descriptors: &[(pipe.as_fd(), DESCRIPTOR)],
        core: Core::One,
        dies_with_parent: true,
        own_group: true,
        no_new_privileges: true,
    };
    spawner().spawn(&spec).unwrap()
}

impl Worker {
    pub fn start() -> Self {
        let (ours, theirs) = pair();
        let child = spawn(&theirs);
        Self { client: Client::new(ours), child }
    }

    /// Started, and told of a server with a good certificate.
    pub fn configured(server: &str, authority: &Authority) -> Self {
        let worker = Self::start();
        worker.client.configure(configuration(server, authority, &authority.client())).unwrap();
        worker
    }

    pub fn exchange(&self, payload: &[u8], time: Duration) -> Result<Vec<u8>, Failure> {
        let envoy = EnvoyId::from_bytes(&[7; 16]).unwrap();
        match self.client.exchange(&[3; 16], &envoy, payload.to_vec(), time) {
            Ok(answer) => Ok(answer),
            Err(WireError::Worker(failure)) => Err(failure),
            Err(other) => panic!("the pipe failed: {other}"),
        }
    }

    /// A line of its `/proc/PID/status` (proc_pid_status(5)).
    pub fn status(&self, key: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no `{key}` in its status")).trim().to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill_group();
        let _ = self.child.wait();
    }
}

pub fn configuration(server: &str, authority: &Authority, leaf: &Leaf) -> Configure {
    Configure {
        server: server.into(),
        authority: authority.certificate.clone(),
        key: leaf.key.clone(),
        chain: vec![leaf.certificate.clone()],
        connect_timeout_ms: 0,
        idle_timeout_ms: 0,
        server_time: 0,
        keep_alive_ms: 0,
    }
}

pub fn soon() -> Instant {
    Instant::now().checked_add(LONG).unwrap()
}

// --- a parent that can be killed

const PARENT: &std::ffi::CStr = c"worker-parent";

/// If this process was started as the parent: starts a worker, tells its id, and waits to be killed.
pub fn enter_parent() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if name.as_encoded_bytes() != PARENT.to_bytes() {
        return None;
    }
    let mut told = UnixStream::from(vigo_sys::peer::take_pipe().unwrap());
    // The pipe of the worker is leaked on purpose: only the death of this process closes it.
    let (ours, theirs) = pair();
    let child = spawn(&theirs);
    drop(theirs);
    Client::new(ours.try_clone().unwrap()).make_transport_key().unwrap();
    told.write_all(&child.pid().to_le_bytes()).unwrap();
    let _ = told.read(&mut [0]);
    drop(ours);
    Some(ExitCode::SUCCESS)
}

/// Starts such a parent; gives it, the pipe on which it told, and the worker's process id.
pub fn start_parent() -> (Child, UnixStream, u32) {
    let (ours, theirs) = pair();
    let spec = Spec { arguments: &[PARENT], descriptors: &[(theirs.as_fd(), DESCRIPTOR)], ..Spec::default() };
    let child = spawner().spawn(&spec).unwrap();
    drop(theirs);
    let mut told = UnixStream::from(ours);
    let mut pid = [0; 4];
    told.read_exact(&mut pid).unwrap();
    (child, told, u32::from_le_bytes(pid))
}
