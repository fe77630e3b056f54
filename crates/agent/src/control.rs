//! The control socket: where a command on this machine asks the running daemon.
//!
//! `/run/vigo/control` for the system's agent, else `control` in the state folder; mode 0600 in a folder that is private, and the kernel is
//! asked who is at the other end: the agent's own user or root. Served by the daemon while it waits, one request a connection. What is
//! answered is put together in `about`.

use crate::error::AgentError;
use crate::state::State;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigo_host::Folder;
use vigo_sys::peer::{self, Peer};
use vigo_wire::control::{Answered, Asked, ControlAnswer, ControlRequest, LIMIT};
use vigo_wire::{WireError, frame};

/// The folder of the system's agent (Filesystem Hierarchy Standard, `/run`).
const SYSTEM_FOLDER: &str = "/run/vigo";
/// The state folder whose agent is the system's.
const SYSTEM_STATE: &str = "/var/lib/vigo";
/// The socket's name.
const NAME: &str = "control";
/// Longer paths do not fit into an address (unix(7)): then the way over the open folder is taken.
const LONGEST: usize = 100;
/// How long a client may take to send its request, or to take the answer. The daemon does nothing else meanwhile, and serves no further one when its time
/// has come.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);
/// Connections that may wait.
const BACKLOG: i32 = 16;

/// Where the control socket of the agent with this state folder is.
#[must_use]
pub fn path(state: &Path) -> PathBuf {
    let is_root = rustix::process::geteuid().is_root() && !State::is_anothers(state);
    let system = is_root && state == Path::new(SYSTEM_STATE);
    if system { Path::new(SYSTEM_FOLDER).join(NAME) } else { state.join(NAME) }
}

/// The listening end. Dropping it removes the socket.
#[derive(Debug)]
pub struct Control {
    listener: OwnedFd,
    path: PathBuf,
}

impl Control {
    /// Listens. A socket that a killed daemon left is replaced; one that answers is another daemon's.
    ///
    /// # Errors
    /// When another daemon listens there, or the socket cannot be made.
    pub fn open(state: &Path) -> Result<Self, AgentError> {
        let path = path(state);
        let call =
            |verb, errno: Errno| AgentError::Control { verb, path: path.clone(), source: errno.into() };
        let folder = Folder::open(path.parent().unwrap_or(Path::new("/")))?;
        let address = address(&folder, &path).map_err(|errno| call("name", errno))?;
        match connect_to(&address) {
            Ok(_answers) => return Err(AgentError::DaemonRuns { path }),
            // Full: somebody serves it, and is busy.
            Err(Errno::AGAIN) => return Err(AgentError::DaemonRuns { path }),
            Err(Errno::NOENT | Errno::CONNREFUSED) => {}
            Err(errno) => return Err(call("look at", errno)),
        }
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(call("remove the old", errno)),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|errno| call("make", errno))?;
        bind(&listener, &address).map_err(|errno| call("make", errno))?;
        // Nobody else can get into the folder, so that the moment before this is harmless.
        rustix::fs::chmod(&path, Mode::RUSR | Mode::WUSR).map_err(|errno| call("close", errno))?;
        listen(&listener, BACKLOG).map_err(|errno| call("listen at", errno))?;
        Ok(Self { listener, path })
    }

    /// Answers one client that waits, if one does. What goes wrong with a client is said in the log and ends its connection.
    pub fn serve(&self, answer: impl FnOnce(Asked) -> Answered) {
        let client = match accept_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok(client) => client,
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return,
            Err(errno) => return tracing::warn!("a client of the control socket was not taken: {errno}"),
        };
        if let Err(error) = converse(&client, answer) {
            tracing::warn!("a client of the control socket got no answer: {}", vigo_base::chain(&error));
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _removed_by_somebody = rustix::fs::unlink(&self.path);
    }
}

fn converse(client: &OwnedFd, answer: impl FnOnce(Asked) -> Answered) -> Result<(), WireError> {
    let pipe = |source| WireError::Pipe { action: "ask who the client is", source };
    let who = peer::credentials(client.as_fd()).map_err(pipe)?;
    if !may_ask(who, rustix::process::geteuid().as_raw()) {
        // Not a byte is read of it, and none written.
        tracing::warn!(uid = who.uid, process = who.pid, "a client of the control socket was refused");
        return Ok(());
    }
    let deadline = Some(Instant::now() + CLIENT_PATIENCE);
    let Some(request) = frame::read(client, LIMIT, deadline)? else { return Ok(()) };
    let answered = match ControlRequest::read(&request) {
        Ok(asked) => answer(asked),
        Err(error) => Answered::Refused(vigo_base::chain(&error)),
    };
    frame::write(client, &ControlAnswer::write(answered), LIMIT, deadline)
}

/// The agent's own user and root.
const fn may_ask(peer: Peer, own: u32) -> bool {
    peer.uid == own || peer.uid == 0
}

/// Asks the daemon of this state folder; `None` when none runs. It answers between two runs: `patience` is how long to wait for that.
///
/// # Errors
/// When one runs and does not answer, or answers with a refusal.
pub fn ask(state: &Path, asked: Asked, patience: Duration) -> Result<Option<Answered>, AgentError> {
    let path = path(state);
    let call = |verb, errno: Errno| AgentError::Control { verb, path: path.clone(), source: errno.into() };
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        return Ok(None);
    }
    let is_anothers = State::is_anothers(folder);
    let folder = if is_anothers { Folder::look(folder)? } else { Folder::open(folder)? };
    let address = address(&folder, &path).map_err(|errno| call("name", errno))?;
    let socket = match connect_to(&address) {
        Ok(socket) => socket,
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        Err(errno) => return Err(call("connect to", errno)),
    };
    let server = peer::credentials(socket.as_fd());
    // Root that looks at another's agent is answered by that one.
    let own = match rustix::fs::fstat(&folder) {
        Ok(stat) if is_anothers => stat.st_uid,
        _ => rustix::process::geteuid().as_raw(),
    };
    if !server.as_ref().is_ok_and(|server| may_ask(*server, own)) {
        return Err(AgentError::Run(format!("`{}` is served by another user", path.display())));
    }
    let deadline = Some(Instant::now() + patience);
    frame::write(&socket, &ControlRequest::write(asked), LIMIT, deadline)?;
    let answer = frame::read(&socket, LIMIT, deadline).map_err(|error| match error {
        WireError::Timeout { .. } => AgentError::DaemonBusy,
        other => AgentError::Wire(other),
    })?;
    let answer = answer.ok_or(WireError::Closed { what: "the running agent" })?;
    match ControlAnswer::read(&answer)? {
        Answered::Refused(why) => Err(AgentError::Run(format!("the running agent refuses: {why}"))),
        answered => Ok(Some(answered)),
    }
}

fn connect_to(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, address)?;
    Ok(socket)
}

/// The address of a socket in a folder, short enough whatever the folder's path (proc_pid_fd(5)).
fn address(folder: &Folder, path: &Path) -> Result<SocketAddrUnix, Errno> {
    if path.as_os_str().len() <= LONGEST {
        return SocketAddrUnix::new(path);
    }
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", folder.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::first_readable;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    use vigo_wire::control::{AgentStatus, StatusRequest};

    const STATUS: Asked = Asked::Status(StatusRequest {});
    const PATIENCE: Duration = Duration::from_secs(60);

    fn status(_: Asked) -> Answered {
        Answered::Status(Box::new(AgentStatus { version: "1".into(), ..AgentStatus::default() }))
    }

    /// Serves so many clients.
    fn served(control: Control, clients: usize) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            for _ in 0..clients {
                let deadline = Instant::now() + Duration::from_secs(60);
                first_readable(&[control.as_fd()], deadline).unwrap().expect("no client came");
                control.serve(status);
            }
        })
    }

    #[test]
    fn a_command_asks_the_daemon_of_its_state_folder_however_long_its_path() {
        let place = tempfile::tempdir().unwrap();
        for length in [1, 150] {
            let state = place.path().join("s".repeat(length));
            assert!(ask(&state, STATUS, PATIENCE).unwrap().is_none(), "nobody is there yet");
            let control = Control::open(&state).unwrap();
            let mode = std::fs::metadata(&control.path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);
            assert!(matches!(Control::open(&state), Err(AgentError::DaemonRuns { .. })));
            // The look of the second daemon is a client that says nothing.
            let there = served(control, 2);
            let Some(Answered::Status(answer)) = ask(&state, STATUS, PATIENCE).unwrap() else {
                panic!("no status")
            };
            assert_eq!(answer.version, "1");
            there.join().unwrap();
            assert!(ask(&state, STATUS, PATIENCE).unwrap().is_none(), "the socket is gone");
        }
    }

    #[test]
    fn a_socket_that_a_killed_daemon_left_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let control = Control::open(&state).unwrap();
        let (listener, path) = (control.listener.try_clone().unwrap(), control.path.clone());
        std::mem::forget(control);
        drop(listener);
        assert!(path.exists());
        // The descriptor of the forgotten one is open still: what a killed process never has.
        assert!(matches!(Control::open(&state), Err(AgentError::DaemonRuns { .. })));
        std::fs::remove_file(&path).unwrap();
        let bound = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists(), "a closed listener leaves its name");
        Control::open(&state).unwrap();
    }

    #[test]
    fn what_is_too_large_or_no_request_gets_no_status() {
        let place = tempfile::tempdir().unwrap();
        let control = Control::open(&place.path().join("state")).unwrap();
        let path = control.path.clone();
        let there = served(control, 3);
        let tell = |bytes: &[u8]| {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            // A reset is what a client gets that sent more than was read.
            let _reset = client.read_to_end(&mut answer);
            answer
        };
        let too_large = u32::try_from(LIMIT + 1).unwrap().to_le_bytes();
        assert!(tell(&too_large).is_empty());
        for bytes in [&[1, 0, 0, 0, 0xff][..], &[0, 0, 0, 0]] {
            let answer = ControlAnswer::read(tell(bytes).get(4..).unwrap()).unwrap();
            assert!(matches!(answer, Answered::Refused(_)), "{answer:?}");
        }
        there.join().unwrap();
    }

    #[test]
    fn the_socket_answers_its_own_user_and_root() {
        let peer = |uid| Peer { pid: None, uid, gid: 0 };
        assert!(may_ask(peer(7), 7) && may_ask(peer(0), 7));
        assert!(!may_ask(peer(8), 7) && !may_ask(peer(7), 0) && !may_ask(peer(65_534), 0));
    }
}
