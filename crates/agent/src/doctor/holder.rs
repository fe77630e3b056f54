//! A process that holds a canary in ordinary memory, hardened or not: what an attack must be able to read, and what must leave no core.

use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use vigo_sys::harden::{Hold, harden_process_memory};
use vigo_sys::spawn::{Child, Core, Spawner, Spec};

use super::attacker::NAME;

/// Digits of a canary.
const LENGTH: usize = 64;

/// A running one; it ends when this is dropped.
pub struct Holder {
    child: Child,
    _input: File,
    /// What it holds.
    pub canary: String,
    /// Where.
    pub address: u64,
}

/// A text that stands nowhere else.
pub fn canary() -> io::Result<String> {
    let bytes = vigo_wire::random::array::<{ LENGTH / 2 }>().map_err(io::Error::other)?;
    Ok(vigo_base::encode_hex(&bytes))
}

impl Holder {
    /// Starts one: `plain` is not protected, `agent` and `hand` harden themselves as these do. A core of it lands in `folder`, if anywhere.
    pub fn start(spawner: &Spawner, how: &str, folder: &CStr) -> io::Result<Self> {
        let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        let (answer, said) = pipe_with(PipeFlags::CLOEXEC)?;
        let how = CString::new(how)?;
        let spec = Spec {
            arguments: &[NAME, c"hold", &how],
            folder,
            core: Core::AsStarted,
            descriptors: &[(theirs.as_fd(), 0), (said.as_fd(), 1)],
            ..Spec::default()
        };
        let child = spawner.spawn(&spec)?;
        drop((theirs, said));
        let canary = canary()?;
        let mut input = File::from(ours);
        input.write_all(format!("{canary}\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(File::from(answer).take(64)).read_line(&mut line)?;
        let address = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        Ok(Self { child, _input: input, canary, address })
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.pid()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone_already = self.child.kill_group();
        let _reaped_already = self.child.wait();
    }
}

/// The process itself.
pub fn hold(how: &str) -> ExitCode {
    match how {
        "agent" => drop(harden_process_memory(Hold::Agent)),
        "hand" => drop(harden_process_memory(Hold::Hand)),
        _ => {}
    }
    let mut line = String::new();
    let mut input = BufReader::new(io::stdin());
    if input.read_line(&mut line).is_err() {
        return ExitCode::FAILURE;
    }
    let held = line.trim().as_bytes().to_vec();
    if crate::output::print(&format!("{:x}\n", held.as_ptr().addr())).is_err() {
        return ExitCode::FAILURE;
    }
    // Until the other end closes.
    let _closed = input.read_line(&mut line);
    std::hint::black_box(&held);
    ExitCode::SUCCESS
}
