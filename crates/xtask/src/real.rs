//! `test --real`: the first acceptance from outside, as root and as an ordinary user, on binaries built like the shipped ones but without link-time optimisation.

use crate::process::{self, Failure, cargo, is_root, stage};
use crate::test::Count;
use crate::tree;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `nobody`, on every Linux: a user that owns nothing.
const NOBODY: u32 = 65_534;
/// The binaries that the acceptance drives.
pub const BINARIES: [&str; 3] = ["vigo", "vigosrv", "vigocli"];

pub fn run(count: &mut Count) -> Result<(), Failure> {
    stage("build (profile ci)");
    process::run(cargo().args(["build", "--profile", "ci", "--workspace", "--locked", "--quiet"]))?;
    let Some(shared) = tree::shared() else {
        println!("../shared is not there: the first acceptance (quickstart.sh) was NOT run");
        return Ok(());
    };
    let built = tree::target()?.join("ci");
    let copy = Copy::make(&built, &shared.join("acceptance"))?;
    if is_root() {
        count.add(quickstart(&copy, "quickstart as root", None)?);
        count.add(quickstart(&copy, "quickstart as an ordinary user", Some(NOBODY))?);
    } else {
        count.add(quickstart(&copy, "quickstart as this user", None)?);
        println!("not root: the quickstart as root was NOT run");
    }
    Ok(())
}

fn quickstart(copy: &Copy, name: &str, user: Option<u32>) -> Result<bool, Failure> {
    stage(name);
    let mut command = Command::new("sh");
    command.arg(copy.0.join("acceptance/quickstart.sh")).current_dir(&copy.0).stdin(Stdio::null());
    command.env("BIN", copy.0.join("bin")).env("HOME", &copy.0);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let status =
        command.status().map_err(|cause| Failure::Found(format!("cannot start the quickstart: {cause}")))?;
    if !status.success() {
        eprintln!("{name}: {status}");
    }
    Ok(status.success())
}

/// Binaries and acceptance in a folder that every user can reach, which goes when this goes.
struct Copy(PathBuf);

impl Copy {
    fn make(built: &Path, acceptance: &Path) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("vigo-real-{}", std::process::id()));
        let wrong =
            |cause: std::io::Error| Failure::Found(format!("cannot prepare `{}`: {cause}", folder.display()));
        let copy = Self(folder.clone());
        std::fs::create_dir(&folder).map_err(wrong)?;
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).map_err(wrong)?;
        std::fs::create_dir(folder.join("bin")).map_err(wrong)?;
        for name in BINARIES {
            std::fs::copy(built.join(name), folder.join("bin").join(name)).map_err(wrong)?;
        }
        copy_folder(acceptance, &folder.join("acceptance")).map_err(wrong)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies a folder, readable for all and writable for the owner, whatever the original is.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            std::fs::write(&place, std::fs::read(entry.path())?)?;
            std::fs::set_permissions(&place, Permissions::from_mode(0o644))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_folder_is_readable_for_all_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        std::fs::create_dir_all(from.join("a")).unwrap();
        std::fs::write(from.join("a/b"), "x").unwrap();
        std::fs::set_permissions(from.join("a/b"), Permissions::from_mode(0o400)).unwrap();
        let to = folder.path().join("to");
        copy_folder(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("a/b")).unwrap(), "x");
        assert_eq!(to.join("a/b").metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
}
