//! The attacker: this program again as `vigo-attack`, not hardened, outside of the agent's sandbox, and what it tries.
//!
//! It starts an unprotected process and a hand of its own, each with a canary, and tries everything on them and on the running agent. Of the
//! running agent it never takes more than a byte, lets go at once of whatever it could take, and says only that it could.

use super::process::Process;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use vigo_base::SecretPath;
use vigo_hand::{Hand, Role, StartOptions};
use vigo_sys::arena::Choice;
use vigo_sys::harden::name_process;
use vigo_sys::intrude;
use vigo_sys::spawn::Spawner;

use super::holder::{self, Holder};
use super::{cores, swapped};

/// The name by which it is started.
pub const NAME: &std::ffi::CStr = c"vigo-attack";
/// The variable with the canary that the throw-away hand gets.
pub const CANARY: &str = "VIGO_CANARY";
/// Descriptors that are tried when they cannot be listed.
const DESCRIPTORS: i32 = 64;
/// An address that is nobody's: who may not look is told so before it is looked at (process_vm_readv(2)).
const NOWHERE: u64 = 0x1000;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The kernel said no.
    Refused,
    /// It was done.
    Succeeded,
    /// It says nothing.
    Unclear,
}

/// One try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// Which attack.
    pub name: String,
    /// Against what; `control` is the unprotected process.
    pub target: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What the kernel said.
    pub why: String,
}

/// What such a refusal does not show.
const OUTRANKED: &str = "; its capabilities alone would refuse it, the throw-away hand has none either and is refused all the same";

/// The target of the control.
pub const CONTROL: &str = "control";

/// Runs the attacker if this process was started as one. Before anything is hardened: it is to be as weak as any program.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    if words.next()?.as_encoded_bytes() != NAME.to_bytes() {
        return None;
    }
    name_process(NAME);
    let words: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let tried = match words.as_slice() {
        ["hold", how] => return Some(holder::hold(how)),
        ["look", agent, hand, address, arena] => look(agent, hand, address, arena),
        ["core", folder] => cores::attack(folder),
        ["swap", arena] => swapped::attack(arena),
        _ => Err(io::Error::other("it is started by `vigo doctor --attack` only")),
    };
    Some(match tried.and_then(|tried| serde_json::to_string(&tried).map_err(io::Error::other)) {
        Ok(text) => crate::output::print(&text).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Err(error) => {
            crate::output::print_error(&format!("vigo-attack: {error}\n"));
            ExitCode::FAILURE
        }
    })
}

/// The kind of pages that the settings ask for.
pub fn choice(word: &str) -> Choice {
    match word {
        "mlock" => Choice::Mlock,
        "plain" => Choice::Plain,
        _ => Choice::Auto,
    }
}

/// A hand of the attacker's own that holds the canary of the environment.
pub fn throw_away_hand(spawner: &Spawner, arena: &str) -> io::Result<Hand> {
    let options = StartOptions { arena: choice(arena), ..StartOptions::new(Role::Node) };
    let other = |error: vigo_hand::HandError| io::Error::other(vigo_base::chain(&error));
    let mut hand = Hand::start(spawner, &options).map_err(other)?;
    let path: SecretPath = "doctor/canary".parse().map_err(|_| io::Error::other("no path"))?;
    hand.take_from_environment(&path, CANARY).map_err(other)?;
    Ok(hand)
}

/// Looks into processes as one of the same user without any capability.
fn look(agent: &str, hand: &str, address: &str, arena: &str) -> io::Result<Vec<Tried>> {
    if rustix::process::geteuid().is_root() {
        // Also out of the bounding set, so that what is started from here has none either: then being root makes no difference.
        vigo_sys::sandbox::drop_capabilities()?;
    }
    let spawner = Spawner::start()?;
    let control = Holder::start(&spawner, "plain", c"/")?;
    let own_hand = throw_away_hand(&spawner, arena);
    let mut targets = vec![(CONTROL, control.process(), Some(control.address))];
    if let Ok(hand) = &own_hand {
        targets.push(("a throw-away hand", hand.process(), None));
    }
    let number = |word: &str| word.parse().ok().filter(|&number: &u32| number != 0);
    targets.extend(number(agent).map(|pid| ("the running agent", pid, None)));
    let address = u64::from_str_radix(address, 16).ok().filter(|&address| address != 0);
    targets.extend(number(hand).map(|pid| ("the running hand", pid, address)));
    let mut tried = Vec::new();
    for (target, pid, address) in targets {
        let canary = (target == CONTROL).then_some(control.canary.as_bytes());
        let note = if target.starts_with("the running") && outranks(pid) { OUTRANKED } else { "" };
        let add = |name: &str, (outcome, why): (Outcome, String)| Tried {
            name: name.to_owned(),
            target: target.to_owned(),
            outcome,
            why: why + note,
        };
        let address = address.or_else(|| address_of(pid));
        tried.push(add("read-mem", read_mem(pid, address, canary)));
        tried.push(add("process-vm-readv", read_remote(pid, address, canary)));
        tried.push(add("ptrace", trace(pid)));
        tried.push(add("pidfd-getfd", take_descriptors(pid)));
    }
    if let Err(error) = own_hand {
        let (name, target) = ("read-mem".to_owned(), "a throw-away hand".to_owned());
        let why = format!("it does not start without capabilities: {error}");
        tried.push(Tried { name, target, outcome: Outcome::Unclear, why });
    }
    Ok(tried)
}

/// True if it has capabilities: then who has none is refused whatever the process does for itself (ptrace(2)).
fn outranks(pid: u32) -> bool {
    let none = |set: String| set.bytes().all(|digit| digit == b'0');
    Process(pid).status("CapPrm:").is_ok_and(|set| !none(set))
}

/// Where the protected pages are, as far as an attacker can see that.
fn address_of(pid: u32) -> Option<u64> {
    let mappings = Process(pid).mappings().ok()?;
    mappings.iter().find(|mapping| mapping.is_writable && mapping.has("lo")).map(|mapping| mapping.start)
}

fn refused(call: &str, error: &io::Error) -> (Outcome, String) {
    let outcome = match error.kind() {
        io::ErrorKind::PermissionDenied => Outcome::Refused,
        _ => Outcome::Unclear,
    };
    (outcome, format!("{call}: {error}"))
}

/// What was read: a byte of another's, the whole canary of our own.
fn judge(call: &str, read: io::Result<usize>, bytes: &[u8], canary: Option<&[u8]>) -> (Outcome, String) {
    match (read, canary) {
        (Ok(count), Some(canary)) if count == canary.len() && bytes == canary => {
            (Outcome::Succeeded, format!("{call}: the canary was read"))
        }
        (Ok(count), None) if count > 0 => (Outcome::Succeeded, format!("{call}: its memory can be read")),
        (Ok(_), _) => (Outcome::Unclear, format!("{call}: something else was read")),
        // EFAULT, EIO: who may not look is told so before it is looked at. That nothing can be read at this place is of no use to the rest.
        (Err(error), None) if matches!(error.raw_os_error(), Some(14 | 5)) => {
            (Outcome::Succeeded, format!("{call}: allowed; those pages alone cannot be read ({error})"))
        }
        (Err(error), _) => refused(call, &error),
    }
}

fn read_mem(pid: u32, address: Option<u64>, canary: Option<&[u8]>) -> (Outcome, String) {
    let path = format!("/proc/{pid}/mem");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) => return refused(&format!("open {path}"), &error),
    };
    let Some(address) = address else {
        return (Outcome::Succeeded, format!("open {path}: its memory is open"));
    };
    let mut bytes = vec![0; canary.map_or(1, <[u8]>::len)];
    let read = file.read_at(&mut bytes, address);
    judge(&format!("read {path}"), read, &bytes, canary)
}

fn read_remote(pid: u32, address: Option<u64>, canary: Option<&[u8]>) -> (Outcome, String) {
    let Some(process) = process(pid) else { return gone() };
    let mut bytes = vec![0; canary.map_or(1, <[u8]>::len)];
    let read = intrude::read_memory(process, address.unwrap_or(NOWHERE), &mut bytes);
    judge("process_vm_readv", read, &bytes, canary)
}

fn trace(pid: u32) -> (Outcome, String) {
    let Some(process) = process(pid) else { return gone() };
    match intrude::attach(process) {
        // Dropped at once, which lets go of it.
        Ok(_traced) => (Outcome::Succeeded, "PTRACE_SEIZE: attached, and let go".to_owned()),
        Err(error) => refused("PTRACE_SEIZE", &error),
    }
}

fn take_descriptors(pid: u32) -> (Outcome, String) {
    let Some(process) = process(pid) else { return gone() };
    let pidfd = match pidfd_open(process, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(errno) => return refused("pidfd_open", &errno.into()),
    };
    let mut last = None;
    for number in 0..DESCRIPTORS {
        match pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) {
            // Dropped at once.
            Ok(_taken) => {
                return (Outcome::Succeeded, format!("pidfd_getfd: descriptor {number} was taken"));
            }
            Err(rustix::io::Errno::BADF) => {}
            Err(errno) => last = Some(errno),
        }
    }
    match last {
        Some(errno) => refused(&format!("pidfd_getfd of 0 to {}", DESCRIPTORS - 1), &errno.into()),
        None => (Outcome::Succeeded, "pidfd_getfd: allowed; there is no descriptor to take".to_owned()),
    }
}

fn process(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn gone() -> (Outcome, String) {
    (Outcome::Unclear, "there is no such process".to_owned())
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "test code")]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn access_that_is_granted_has_succeeded_though_there_is_nothing_to_read() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let remote = read_remote(child.id(), Some(NOWHERE), None);
        let mem = read_mem(child.id(), Some(NOWHERE), None);
        // It ends when its input does.
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(remote.0, Outcome::Succeeded, "{remote:?}");
        assert_eq!(mem.0, Outcome::Succeeded, "{mem:?}");
        let ended = read_remote(child.id(), Some(NOWHERE), None);
        assert_ne!(ended.0, Outcome::Succeeded, "{ended:?}");
    }
}
