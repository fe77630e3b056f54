//! Where the kernel puts cores, for a while: /proc/sys/kernel/core_pattern (core(5)), put back when dropped; by a process that waits for nothing else
//! when the test is killed; and by the next test, from a note, when that is killed too.

use super::{Lock, PREFIX};
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// Ends with its input, that is with the test or before; what kills the test's group or terminal does not kill it.
const KEEPER: &str =
    "trap '' HUP INT QUIT TERM; read -r end; printf %s \"$2\" > \"$1\"; rm -rf \"$3\" \"$4\"";

/// How cores are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The kernel writes a file.
    File,
    /// The kernel starts a program and pipes the core into it, as distributions do.
    Pipe,
}

pub struct CorePattern {
    folder: tempfile::TempDir,
    keeper: Child,
    input: Option<ChildStdin>,
}

impl CorePattern {
    /// Sets it so that cores land in a folder of the test's, or says why this machine does not let it be set.
    pub fn set(way: Way) -> Result<Self, String> {
        let lock = Lock::of("core-pattern");
        let note = std::env::temp_dir().join(format!("{PREFIX}core-pattern.note"));
        put_back_stale(&note)?;
        let wrong = |error: std::io::Error| format!("cannot set {PATTERN}: {error}");
        let old = fs::read_to_string(PATTERN).map_err(wrong)?.trim_end_matches('\n').to_owned();
        // It must be writable before anything is promised: in most containers it is not.
        let pattern = File::options().write(true).open(PATTERN).map_err(wrong)?;
        let folder = super::folder();
        let new = prepare(way, folder.path());
        // 128 bytes with the end: CORENAME_MAX_SIZE.
        assert!(new.len() < 128, "{new}");
        File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&note)
            .and_then(|mut file| file.write_all(old.as_bytes()))
            .map_err(wrong)?;
        // The keeper has the lock as its output, and so longer than we.
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", PATTERN, &old])
            .arg(&note)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(lock.0))
            .process_group(0)
            .spawn()
            .map_err(wrong)?;
        let input = keeper.stdin.take();
        let set = Self { folder, keeper, input };
        (&pattern).write_all(new.as_bytes()).map_err(wrong)?;
        Ok(set)
    }

    /// Takes the core away that this process left. Others' crashes on this machine are no matter of ours.
    pub fn take(&self, process: u32) -> Option<Vec<u8>> {
        let [core, taking] =
            ["cores", "taking"].map(|at| self.folder.path().join(at).join(process.to_string()));
        // A process can be gone before the program has written all that it read of it. That program is under way before: a core is longer than a pipe.
        super::wait("a core is taken", || (!taking.exists()).then_some(()));
        let bytes = fs::read(&core).ok()?;
        fs::remove_file(core).unwrap();
        Some(bytes)
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        drop(self.input.take());
        let _put_back = self.keeper.wait();
    }
}

/// Makes the place for cores, for every user, and gives the pattern.
fn prepare(way: Way, folder: &Path) -> String {
    let [cores, taking] = ["cores", "taking"].map(|name| folder.join(name));
    fs::create_dir(&cores).unwrap();
    fs::create_dir(&taking).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&cores, Permissions::from_mode(0o777)).unwrap();
    if way == Way::File {
        return format!("{}/%p", cores.display());
    }
    let handler = folder.join("take");
    let script = "#!/bin/sh\ncd \"${0%/*}\" && cat > \"taking/$1\"; mv \"taking/$1\" cores/\n";
    fs::write(&handler, script).unwrap();
    fs::set_permissions(&handler, Permissions::from_mode(0o755)).unwrap();
    format!("|{} %p", handler.display())
}

/// What a test wanted to put back that was killed with its keeper. We have the lock.
fn put_back_stale(note: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(note) else { return Ok(()) };
    if !found.is_file() || found.uid() != 0 {
        return Err(format!("{} is not a note of ours", note.display()));
    }
    let wrong = |error: std::io::Error| format!("cannot put {PATTERN} back: {error}");
    println!("{PATTERN} was left by a test that was killed: put back");
    fs::write(PATTERN, fs::read(note).map_err(wrong)?).map_err(wrong)?;
    fs::remove_file(note).map_err(wrong)
}
