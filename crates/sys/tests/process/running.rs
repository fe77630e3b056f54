//! A process under test and a way to talk with it, line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A started process under test; killed when dropped.
pub struct Running {
    pub process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub fn start(name: &str) -> Self {
        Self::start_with(name, |_| {})
    }

    /// Starts it with arguments or an environment of its own.
    pub fn start_with(name: &str, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_program(&std::env::current_exe().unwrap(), name, change)
    }

    pub fn start_program(program: &std::path::Path, name: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        command.args(["child", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        change(&mut command);
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line it says.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the process ended: {:?}", self.process.wait());
        line.trim_end().to_owned()
    }

    /// Bytes for its standard input.
    pub fn tell(&mut self, bytes: &[u8]) {
        self.process.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Closes its standard input and waits; all that it still said, and how it ended.
    pub fn end(mut self) -> (String, ExitStatus) {
        drop(self.process.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, self.process.wait().unwrap())
    }

    /// Whether its output ends, with nothing more said, within the time that a busy machine may need.
    pub fn falls_silent(&mut self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut watched = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        let ready = poll(&mut watched, Some(&patience)).unwrap();
        ready == 1 && self.output.read(&mut [0_u8; 1]).unwrap() == 0
    }

    /// As `end`, for one that must end well.
    pub fn finish(self) -> String {
        let (said, status) = self.end();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// A file of its folder in /proc.
    pub fn proc(&self, file: &str) -> String {
        proc_file(self.pid(), file)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A whole child in one go: what it said.
pub fn output_of(name: &str) -> String {
    Running::start(name).finish()
}

pub fn proc_file(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

/// The value of a line `key: value` in such a file.
pub fn field(text: &str, key: &str) -> String {
    let line =
        text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key} in {text}"));
    line[key.len()..].trim().to_owned()
}

/// For the child: waits for the next byte from the test.
pub fn wait_for_the_test() {
    let mut byte = [0_u8; 1];
    rustix::io::read(rustix::stdio::stdin(), &mut byte).unwrap();
}

/// For the child: fills the buffer from standard input by read(2) alone.
pub fn read_exactly(buffer: &mut [u8]) {
    let mut at = 0;
    while at < buffer.len() {
        let count = rustix::io::read(rustix::stdio::stdin(), &mut buffer[at..]).unwrap();
        assert!(count > 0);
        at += count;
    }
}

/// For the child: one line by write(2) alone, straight from where it lies.
pub fn say(line: &str) {
    rustix::io::write(rustix::stdio::stdout(), format!("{line}\n").as_bytes()).unwrap();
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// True as root; else says what is left out.
pub fn root_or_skip(what: &str) -> bool {
    if !is_root() {
        println!("  left out, needs root: {what}");
    }
    is_root()
}

/// The user that stands for an ordinary one.
pub const ORDINARY: u32 = 65_534;

/// For the child: becomes an ordinary user, without capabilities.
pub fn become_ordinary() {
    if is_root() {
        // SAFETY: plain system calls of this process, which has one thread.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(ORDINARY, ORDINARY, ORDINARY), 0);
            assert_eq!(libc::setresuid(ORDINARY, ORDINARY, ORDINARY), 0);
        }
    }
}

/// For the child: makes one system call answer `errno` from now on, on this thread and those it starts.
pub fn refuse_call(call: libc::c_long, errno: i32) {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, u32::try_from(call).unwrap()),
        step(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: reads the four instructions above; seccomp(2).
    let code =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) };
    assert_eq!(code, 0);
}
