//! A `vigosrv` process.

use super::Operator;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;

/// A server that serves.
pub struct Vigosrv {
    child: Child,
    home: Arc<TempDir>,
    log: Option<JoinHandle<String>>,
    /// Where envoys connect.
    pub grpc: SocketAddr,
    /// Where operators connect.
    pub api: SocketAddr,
    /// `ca.pem`.
    pub authority: CertificateDer<'static>,
}

impl Vigosrv {
    /// On an empty folder.
    pub fn new() -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// On a folder that is there already.
    pub fn on(home: Arc<TempDir>) -> Self {
        Self::with(home, &[])
    }

    /// On that folder, with these options.
    pub fn with(home: Arc<TempDir>, words: &[&str]) -> Self {
        Self::watched(home, words, |_| {})
    }

    /// The same, with a look at each line of its log until it serves.
    pub fn watched(home: Arc<TempDir>, words: &[&str], mut look: impl FnMut(&str)) -> Self {
        let ready = home.path().join("ready");
        let _not_there_yet = std::fs::remove_file(&ready);
        let mut child = Self::command(home.path()).args(words).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("serving") {
            let before = seen.len();
            lines.read_line(&mut seen).unwrap();
            assert!(seen.len() > before, "the server did not come up: {seen}");
            look(&seen[before..]);
        }
        let addresses = std::fs::read_to_string(&ready).unwrap();
        let of = |name: &str| {
            let line = addresses.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.parse::<SocketAddr>().unwrap()
        };
        let pem = std::fs::read(home.path().join("srv/ca.pem")).unwrap();
        let authority = CertificateDer::from_pem_slice(&pem).unwrap();
        let log = std::thread::spawn(move || rest_of(seen, lines));
        Self { child, log: Some(log), grpc: of("grpc="), api: of("api="), authority, home }
    }

    /// The command that serves on that home.
    pub fn command(home: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigosrv"));
        command.env_clear().args(["--grpc-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(home.join("srv")).arg("--ready-file").arg(home.join("ready"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("srv")
    }

    /// The folder in which data and ready file stand.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Keeps the folder beyond the server's end.
    pub fn keep_home(&self) -> Arc<TempDir> {
        Arc::clone(&self.home)
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The administrator, with the token as it stands in the folder now.
    pub fn admin(&self) -> Operator {
        let token = std::fs::read_to_string(self.data().join("admin.token")).unwrap();
        Operator::new(self.api, self.authority.clone(), Some(token))
    }

    /// Somebody without a token.
    pub fn nobody(&self) -> Operator {
        Operator::new(self.api, self.authority.clone(), None)
    }

    /// Somebody with that token.
    pub fn with_token(&self, token: &str) -> Operator {
        Operator::new(self.api, self.authority.clone(), Some(token.into()))
    }

    /// Kills it as a power cut would, and starts another one on the same folder.
    pub fn killed_and_restarted(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::on(Arc::clone(&self.home))
    }

    /// Ends it by SIGTERM; gives how it ended and its log.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }

    /// Ends it by SIGTERM and starts another one on the same folder.
    pub fn restarted(self) -> Self {
        let home = Arc::clone(&self.home);
        assert!(self.stop().0.success());
        Self::on(home)
    }
}

impl Drop for Vigosrv {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _waited_before = self.child.wait();
    }
}

fn rest_of(mut seen: String, mut lines: BufReader<ChildStderr>) -> String {
    let _what_there_is = lines.read_to_string(&mut seen);
    seen
}
