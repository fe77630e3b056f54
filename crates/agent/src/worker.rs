//! Starts the network worker `vigo-net`: this binary again, under a user id of its own where that is possible.

use crate::error::AgentError;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use vigo_sys::spawn::{Child, Core, Credentials, Program, Spawner, Spec};
use vigo_wire::worker::{Client, DESCRIPTOR, NAME};

/// Numbers that systemd leaves to dynamic users (Users, Groups, UIDs and GIDs on systemd Systems): nobody has an account there, and which of them a
/// running process has is looked up.
const FREE_IDS: std::ops::RangeInclusive<u32> = 61_184..=65_519;
/// Files of accounts are read up to this size.
const ACCOUNTS_LIMIT: usize = 16 << 20;

/// A running worker. It ends when its pipe closes, however this process ends.
pub struct Worker {
    child: Child,
}

impl Worker {
    /// Starts it; the client is what it can be asked by.
    ///
    /// # Errors
    /// When the pipe cannot be made or the program does not start.
    pub fn start(spawner: &Spawner) -> Result<(Self, Client), AgentError> {
        let start = |source| AgentError::Start { process: "vigo-net", source };
        let (ours, theirs) = pipe().map_err(start)?;
        let descriptors = [(theirs.as_fd(), DESCRIPTOR)];
        let spec = |credentials| Spec {
            program: Program::Myself,
            arguments: &[NAME],
            environment: &[],
            folder: c"/",
            credentials,
            umask: 0o077,
            descriptors: &descriptors,
            core: Core::One,
            dies_with_parent: true,
            own_group: true,
            no_new_privileges: true,
        };
        let user = rustix::process::geteuid().is_root().then(free_user);
        let child = match user {
            Some(id) => {
                let own = Credentials { uid: id, gid: id, groups: &[] };
                // A root without CAP_SETUID, or in a user namespace without that number, cannot give it another user. It says so by its level.
                spawner.spawn(&spec(Some(own))).or_else(|error| {
                    tracing::warn!("the worker cannot get a user of its own ({error}): it runs as this one");
                    spawner.spawn(&spec(None))
                })
            }
            None => spawner.spawn(&spec(None)),
        };
        let child = child.map_err(start)?;
        Ok((Self { child }, Client::new(ours)))
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.pid()
    }
}

impl Drop for Worker {
    /// Its pipe is closed already or about to be; a worker that does not end by that is ended here.
    fn drop(&mut self) {
        let _gone_already = self.child.kill_group();
        let _reaped = self.child.wait();
    }
}

fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// The user that the package made for the worker, else a number that no account has and no process. No name service is asked.
fn free_user() -> u32 {
    let text = read_bounded("/etc/passwd");
    let mut taken = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let name = fields.next();
        let id: Option<u32> = fields.nth(1).and_then(|id| id.parse().ok());
        match (name, id) {
            (Some("vigo-net"), Some(id)) if id != 0 => return id,
            (_, Some(id)) => taken.push(id),
            _ => {}
        }
    }
    taken.extend(running_users(Path::new("/proc")));
    FREE_IDS.into_iter().find(|id| !taken.contains(id)).unwrap_or(*FREE_IDS.start())
}

/// The users that running processes have, real, effective, saved and of the file system (proc_pid_status(5)); none where there is no such folder.
fn running_users(proc: &Path) -> BTreeSet<u32> {
    let processes = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let statuses = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    statuses
        .filter_map(|status| status.lines().find_map(|line| line.strip_prefix("Uid:")).map(str::to_owned))
        .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn read_bounded(path: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) if bytes.len() <= ACCOUNTS_LIMIT => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "test code")]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_number_that_a_process_has_is_not_taken() {
        if !rustix::process::geteuid().is_root() {
            return println!("not root: no process of another user was made");
        }
        let first = free_user();
        let mut other = Command::new("cat");
        let mut other = other.uid(first).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let second = free_user();
        drop(other.stdin.take());
        other.wait().unwrap();
        assert_ne!(second, first);
        assert!(FREE_IDS.contains(&second) || second == first);
    }
}
