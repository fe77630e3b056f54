//! What runs and what listens on this machine, from /proc (proc(5)); nothing is started to find out.

use std::path::Path;
use vigo_resource::{Failure, Timestamp};

/// The state number of a listening socket in /proc/net/tcp (include/net/tcp_states.h).
const LISTEN: &str = "0A";

/// True if a process of that name runs: the kernel's name of it, or the last part of the path of its program.
pub fn process_running(name: &str) -> Result<bool, Failure> {
    let entries = std::fs::read_dir("/proc")
        .map_err(|error| Failure::failed(format!("cannot list `/proc`: {error}")))?;
    // A process may end while it is looked at: what cannot be read any more does not run.
    Ok(entries.flatten().any(|entry| {
        let is_process =
            entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        is_process && runs(&entry.path(), name)
    }))
}

fn runs(process: &Path, name: &str) -> bool {
    let comm = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    // The kernel cuts the name to 15 bytes (PR_SET_NAME), so a longer one is compared by its program.
    comm.trim_end() == name
        || std::fs::read_link(process.join("exe"))
            .is_ok_and(|program| program.file_name().is_some_and(|file| file == name))
}

/// True if something listens on that TCP port, on any address.
pub fn port_listening(port: u16) -> Result<bool, Failure> {
    let wanted = format!(":{port:04X}");
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(table) {
            Ok(text) if listens(&text, &wanted) => return Ok(true),
            Ok(_) => {}
            // A kernel without IPv6 has no such table.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::failed(format!("cannot read `{table}`: {error}"))),
        }
    }
    Ok(false)
}

fn listens(table: &str, wanted: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1).unwrap_or_default();
        let state = fields.nth(1).unwrap_or_default();
        local.ends_with(wanted) && state == LISTEN
    })
}

/// The wall clock.
pub fn now() -> Timestamp {
    let now = jiff::Timestamp::now();
    Timestamp { seconds: now.as_second(), nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0) }
}

/// How far local time is ahead of UTC now, in seconds.
pub fn utc_offset_seconds() -> i32 {
    jiff::tz::TimeZone::system().to_offset(jiff::Timestamp::now()).seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_a_made_up_one_does_not() {
        let program = std::env::current_exe().unwrap();
        assert!(process_running(program.file_name().unwrap().to_str().unwrap()).unwrap());
        assert!(!process_running("no-such-process-name").unwrap());
    }

    #[test]
    fn a_port_listens_while_somebody_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(port_listening(port).unwrap());
        drop(listener);
        assert!(!port_listening(port).unwrap());
    }
}
