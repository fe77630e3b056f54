//! Starting other programs: cargo, git, what was built.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Why a task ends badly.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong.
    Usage,
    /// Something that was found, or could not be done.
    Found(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => out.write_str("wrong usage"),
            Self::Found(what) => out.write_str(what),
        }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Found(what)
    }
}

/// Says which stage begins.
pub fn stage(name: &str) {
    println!("== {name}");
}

/// The command for cargo, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::tree::root()).stdin(Stdio::null());
    command
}

/// Runs a command that speaks for itself; failure names it.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let line = shown(command);
    let status =
        command.status().map_err(|cause| Failure::Found(format!("cannot start `{line}`: {cause}")))?;
    if status.success() { Ok(()) } else { Err(Failure::Found(format!("`{line}` ended with {status}"))) }
}

/// Runs a command and takes what it prints.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let line = shown(command);
    let output =
        command.output().map_err(|cause| Failure::Found(format!("cannot start `{line}`: {cause}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Found(format!("`{line}` ended with {}: {}", output.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command, shows what it prints while it does, and gives its lines to `look`. True if it succeeded.
pub fn watch(command: &mut Command, look: &mut (dyn FnMut(&str) + Send)) -> Result<bool, Failure> {
    let line = shown(command);
    let wrong = |cause: std::io::Error| Failure::Found(format!("cannot run `{line}`: {cause}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(wrong)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let look = std::sync::Mutex::new(look);
    std::thread::scope(|scope| {
        scope.spawn(|| follow(out, &look, |line| println!("{line}")));
        follow(err, &look, |line| eprintln!("{line}"));
    });
    child.wait().map(|status| status.success()).map_err(wrong)
}

type Look<'a, 'b> = std::sync::Mutex<&'a mut (dyn FnMut(&str) + Send + 'b)>;

fn follow(pipe: Option<impl Read>, look: &Look<'_, '_>, echo: impl Fn(&str)) {
    let Some(pipe) = pipe else { return };
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        echo(&line);
        if let Ok(mut look) = look.lock() {
            look(&line);
        }
    }
}

/// True if a program of that name is in PATH.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// True for root. `/proc/self` belongs to the effective user (proc(5)).
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
