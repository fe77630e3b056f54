//! `demo`: the main job on this machine, in one folder, without root: server, secret, publish, enrolment, plan, run, what came of it.
//!
//! With `--once` it ends by itself and leaves nothing. Without, the server goes on running and the last lines say what is left and how to end it.

use crate::process::{self, Failure, cargo, output, stage};
use crate::real::copy_folder;
use crate::tree;
use std::fs::{DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The secret's path in the example stack.
const SECRET: &str = "web/upstream-token";
/// How long the server may take to come up.
const START: Duration = Duration::from_secs(30);
/// `vigo run --dry-run` ends so when it found changes.
const CHANGES_PENDING: i32 = 3;

pub fn run(once: bool) -> Result<(), Failure> {
    stage("build");
    process::run(cargo().args(["build", "--workspace", "--bins", "--locked", "--quiet"]))?;
    let mut demo = Demo::begin(tree::target()?.join("debug"))?;
    demo.story()?;
    if once {
        return Ok(());
    }
    demo.keep()
}

/// The folder and the server; both go with it unless they are to be kept.
struct Demo {
    binaries: PathBuf,
    folder: PathBuf,
    server: Option<Child>,
    api: String,
    grpc: String,
    kept: bool,
}

impl Demo {
    fn begin(binaries: PathBuf) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("vigo-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|cause| wrong(&folder, &cause))?;
        let mut demo =
            Self { binaries, folder, server: None, api: String::new(), grpc: String::new(), kept: false };
        let stacks = demo.path("stacks");
        copy_folder(&tree::root().join("examples/first-stack"), &stacks)
            .map_err(|cause| wrong(&stacks, &cause))?;
        let common = format!("vars: {{root: \"{}\"}}\n", demo.path("root").display());
        std::fs::write(stacks.join("common.vgo"), common).map_err(|cause| wrong(&stacks, &cause))?;
        std::fs::create_dir(demo.path("root")).map_err(|cause| wrong(&stacks, &cause))?;
        demo.start_server()?;
        Ok(demo)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn start_server(&mut self) -> Result<(), Failure> {
        stage("a server, on free ports of the loopback");
        let (log, ready) = (self.path("server.log"), self.path("ready"));
        let file =
            || File::options().create(true).append(true).open(&log).map_err(|cause| wrong(&log, &cause));
        let mut command = Command::new(self.binaries.join("vigosrv"));
        command.arg("--data-dir").arg(self.path("server")).args([
            "--grpc-listen",
            "127.0.0.1:0",
            "--api-listen",
            "127.0.0.1:0",
            "--ready-file",
        ]);
        // A group of its own: it outlives this program and the terminal's interrupt.
        command.arg(&ready).stdin(Stdio::null()).stdout(file()?).stderr(file()?).process_group(0);
        self.server = Some(
            command.spawn().map_err(|cause| Failure::Found(format!("cannot start `vigosrv`: {cause}")))?,
        );
        let begun = Instant::now();
        loop {
            let text = std::fs::read_to_string(&ready).unwrap_or_default();
            let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(grpc), Some(api)) = (value("grpc="), value("api=")) {
                (self.grpc, self.api) = (grpc, api);
                println!("agents: {}   operators: https://{}", self.grpc, self.api);
                return Ok(());
            }
            let ended = self.server.as_mut().is_some_and(|server| !matches!(server.try_wait(), Ok(None)));
            if ended || begun.elapsed() > START {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::Found(format!("the server did not come up:\n{said}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn cli(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join("vigocli"));
        command
            .args(["--server", &format!("https://{}", self.api), "--ca-file"])
            .arg(self.path("server/ca.pem"));
        command.arg("--token-file").arg(self.path("server/admin.token")).args(words).stdin(Stdio::null());
        command
    }

    fn vigo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join("vigo"));
        command.arg("--state-dir").arg(self.path("agent")).args(words).stdin(Stdio::null());
        command
    }

    fn story(&self) -> Result<(), Failure> {
        let stacks = self.path("stacks");
        let stacks = stacks.to_string_lossy();
        stage("a secret, from standard input; it is sealed before it leaves vigocli");
        let value = random_hex()?;
        feed(&mut self.cli(&["secrets", "set", SECRET]), &value)?;
        stage("check and publish the stack");
        process::run(&mut self.cli(&["config", "validate", &stacks]))?;
        process::run(&mut self.cli(&["config", "publish", &stacks, "-m", "the first stack"]))?;
        stage("enrol this machine as web-1");
        let token = self.path("token");
        std::fs::write(&token, output(&mut self.cli(&["token", "create", "--match", "web-*"]))?)
            .map_err(|cause| wrong(&token, &cause))?;
        let enrolled =
            process::run(self.vigo(&["enroll", &self.grpc, "--name", "web-1", "--token-file"]).arg(&token));
        let _ = std::fs::remove_file(&token);
        enrolled?;
        stage("what would change (nothing is touched)");
        let status = self.vigo(&["run", "--dry-run", "--diff"]).status();
        let code = status.map_err(|cause| Failure::Found(format!("cannot start `vigo`: {cause}")))?.code();
        if code != Some(CHANGES_PENDING) {
            return Err(Failure::Found(format!(
                "the dry run ended with {code:?}, {CHANGES_PENDING} (changes pending) was expected"
            )));
        }
        stage("run");
        process::run(&mut self.vigo(&["run"]))?;
        self.show_file(&value)?;
        stage("its runs, as the operator sees them");
        process::run(&mut self.cli(&["runs", "list"]))?;
        stage("how well this machine protects secrets");
        process::run(&mut self.vigo(&["status"]))
    }

    /// The converged file, with the value covered: this program knows it, because it made it up.
    fn show_file(&self, value: &str) -> Result<(), Failure> {
        let place = self.path("root/etc/upstream.conf");
        stage(&format!("{} (the secret covered here, not there)", place.display()));
        let text = std::fs::read_to_string(&place).map_err(|cause| wrong(&place, &cause))?;
        if !text.contains(value) {
            return Err(Failure::Found("the secret is not where the policy wants it".into()));
        }
        text.lines().for_each(|line| println!("{}", cover(line, value)));
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Failure> {
        let server = self.server.as_ref().map_or(0, Child::id);
        let folder = self.folder.display();
        println!("\nLeft: the server (process {server}) and {folder}.");
        println!("Go on with:\n  {}", line(&self.cli(&["envoys", "list"])));
        println!("  {}", line(&self.vigo(&["run", "--dry-run", "--diff"])));
        println!("End it with:\n  kill {server}; rm -r {folder}");
        self.kept = true;
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The line with what must not be shown covered: the value, and its base64 as far as it is that of the value alone.
fn cover(line: &str, value: &str) -> String {
    let open = line.replace(value, "‹secret›");
    match open.split_once("Basic ") {
        Some((before, _)) => format!("{before}Basic ‹secret, in base64›\";"),
        None => open,
    }
}

/// A value nobody has seen: 24 random bytes in hexadecimal.
fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0_u8; 24];
    let place = Path::new("/dev/urandom");
    File::open(place)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| wrong(place, &cause))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn feed(command: &mut Command, text: &str) -> Result<(), Failure> {
    let spawned = command.stdin(Stdio::piped()).spawn();
    let mut child =
        spawned.map_err(|cause| Failure::Found(format!("cannot run `{}`: {cause}", line(command))))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(text.as_bytes())
            .map_err(|cause| Failure::Found(format!("cannot write the secret: {cause}")))?;
    }
    let status = child.wait().map_err(|cause| Failure::Found(cause.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Found(format!("`vigocli secrets set` ended with {status}")))
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn wrong(place: &Path, cause: &std::io::Error) -> Failure {
    Failure::Found(format!("cannot use `{}`: {cause}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_covered_in_every_form_it_has_in_the_file() {
        assert_eq!(cover("X-Token \"abc\";", "abc"), "X-Token \"‹secret›\";");
        assert_eq!(
            cover("Authorization \"Basic YWJj\";", "abc"),
            "Authorization \"Basic ‹secret, in base64›\";"
        );
        assert_eq!(cover("listen 80;", "abc"), "listen 80;");
    }

    #[test]
    fn two_values_are_not_the_same() {
        let (one, other) = (random_hex().unwrap(), random_hex().unwrap());
        assert_eq!(one.len(), 48);
        assert_ne!(one, other);
    }
}
