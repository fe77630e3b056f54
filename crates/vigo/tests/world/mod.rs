//! A server, an envoy and an operator on this machine, in one folder, with the real binaries.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code, shared by several test programs"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a command printed and how it ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Asserts the exit code, showing everything that was printed when it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts that the text for people says each of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let text = format!("{}\n{}", self.out, self.err);
        for word in words {
            assert!(text.contains(word), "`{word}` is not said in:\n{text}");
        }
        self
    }
}

/// The folder with everything in it, and the server while it runs.
pub struct World {
    pub folder: tempfile::TempDir,
    server: Option<Child>,
    pub grpc: String,
    pub api: String,
    /// What the server and the agent get beside this test's environment.
    pub environment: Vec<(&'static str, String)>,
    /// The words of a command that starts the programs: one that sets limits, say, or enters a cgroup. Usually none.
    pub started_by: Vec<String>,
}

/// A value no one else has.
pub fn canary() -> String {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    format!("tok-{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The program of that name, as it was built.
pub fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace` first", path.display());
    path
}

impl World {
    /// A folder with stacks in it; no server yet.
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// The same in a folder that is there.
    pub fn in_folder(folder: tempfile::TempDir) -> Self {
        fs::create_dir(folder.path().join("root")).unwrap();
        let (grpc, api) = ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned());
        let mut world =
            Self { folder, server: None, grpc, api, environment: Vec::new(), started_by: Vec::new() };
        world.stack("common.vgo", &format!("vars: {{root: \"{}\"}}\n", world.root().display()));
        world.stack("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [first]\n");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that starts that program of ours, by what is to start it.
    fn program(&self, name: &str) -> Command {
        let Some((first, rest)) = self.started_by.split_first() else { return Command::new(binary(name)) };
        let mut command = Command::new(first);
        command.args(rest).arg(binary(name));
        command
    }

    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// Writes one file of the stacks.
    pub fn stack(&mut self, name: &str, text: &str) {
        let path = self.path("stacks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Starts the server; on the same ports when it ran before.
    pub fn start_server(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        let ready = self.path("ready");
        let _absent_at_first = fs::remove_file(&ready);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("srv.log")).unwrap();
        let child = self
            .server_command()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        let text = loop {
            match fs::read_to_string(&ready) {
                Ok(text) if !text.is_empty() => break text,
                _ => {}
            }
            let log = || fs::read_to_string(self.folder.path().join("srv.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the server did not come up:\n{}", log());
            if let Some(status) = self.server.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", log());
            }
            std::thread::yield_now();
            let _interrupted =
                rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
        };
        let address = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        self.grpc = address("grpc=");
        self.api = address("api=");
    }

    /// A command that starts the server, which writes its addresses into `ready`.
    pub fn server_command(&self) -> Command {
        let mut command = self.program("vigosrv");
        command
            .arg("--data-dir")
            .arg(self.path("srv"))
            .args(["--grpc-listen", &self.grpc, "--api-listen", &self.api])
            .arg("--ready-file")
            .arg(self.path("ready"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The server's process id.
    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().unwrap().id()
    }

    /// Ends the server as a power cut would.
    pub fn kill_server(&mut self) {
        let mut server = self.server.take().expect("no server runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Ends the server at once and starts it again.
    pub fn restart_server(&mut self) {
        self.kill_server();
        self.start_server();
    }

    /// Runs `vigocli` against the server with the admin token.
    pub fn cli(&self, words: &[&str]) -> Ended {
        self.cli_with_input(words, b"")
    }

    /// The same with something on standard input.
    pub fn cli_with_input(&self, words: &[&str], input: &[u8]) -> Ended {
        run(self.cli_command(words), input)
    }

    /// A command that runs `vigocli` against the server with the admin token, not yet started.
    pub fn cli_command(&self, words: &[&str]) -> Command {
        let mut command = self.program("vigocli");
        command
            .arg("--server")
            .arg(format!("https://{}", self.api))
            .arg("--ca-file")
            .arg(self.path("srv/ca.pem"))
            .arg("--token-file")
            .arg(self.path("srv/admin.token"))
            .args(words);
        command
    }

    /// Runs `vigo` with the state folder `agent`.
    pub fn vigo(&self, words: &[&str]) -> Ended {
        self.vigo_as("agent", words)
    }

    /// Runs `vigo` with a state folder of that name.
    pub fn vigo_as(&self, state: &str, words: &[&str]) -> Ended {
        let mut command = Command::new(binary("vigo"));
        command.arg("--state-dir").arg(self.path(state)).args(words);
        run(command, b"")
    }

    /// A command that runs `vigo` with the state folder `agent`, not yet started.
    pub fn vigo_command(&self, words: &[&str]) -> Command {
        let mut command = self.program("vigo");
        command.arg("--state-dir").arg(self.path("agent")).args(words).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Publishes the stacks.
    pub fn publish(&self) -> Ended {
        let stacks = self.path("stacks");
        self.cli(&["config", "publish", stacks.to_str().unwrap(), "-m", "test", "--yes"])
    }

    /// Makes a token and stores it in the file `token`.
    pub fn token(&self, words: &[&str]) -> PathBuf {
        let mut all = vec!["token", "create", "--match", "*"];
        all.extend(words);
        let token = self.cli(&all).expect(0).out;
        let path = self.path("token");
        fs::write(&path, token).unwrap();
        path
    }

    /// Enrols the envoy of that name with a fresh token, in the state folder `agent`.
    pub fn enroll(&self, name: &str) -> Ended {
        let token = self.token(&[]);
        self.enroll_with("agent", name, &token)
    }

    /// Enrols with the token in a file.
    pub fn enroll_with(&self, state: &str, name: &str, token: &Path) -> Ended {
        let token = token.to_str().unwrap();
        self.vigo_as(state, &["enroll", &self.grpc, "--token-file", token, "--name", name])
    }

    /// The content of a file under the target root.
    pub fn target(&self, name: &str) -> String {
        fs::read_to_string(self.root().join(name)).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _gone = server.kill();
            let _reaped = server.wait();
        }
    }
}

/// Runs a command to its end, at most two minutes.
pub fn run(mut command: Command, input: &[u8]) -> Ended {
    use std::io::Write;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input closes it first: that is no fault of the test.
    let _closed_early = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}
