//! The copy of the tree in which `mutate` changes things: where it is, how it is built, how one test of it is run.

use crate::mutations::{Mutation, Test};
use crate::process::{Failure, output};
use crate::tree;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A test of those that are named takes no longer; one that is stuck is as red as one that fails.
const TEST_LIMIT: Duration = Duration::from_secs(240);
/// How often is looked whether a test has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The copy, and what is built of it.
pub struct Scratch {
    tree: PathBuf,
    build: PathBuf,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Green,
    /// It failed.
    Red,
    /// It did not end.
    Endless,
    /// There is none of that name.
    Missing,
}

impl Verdict {
    /// As it is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Endless => "endless",
            Self::Missing => "missing",
        }
    }
}

/// The programs of the tests, by package and target.
pub type Built = BTreeMap<(String, String), PathBuf>;

impl Scratch {
    /// Makes the copy, or brings it up to date: only what differs is written, so that only that is built anew.
    pub fn make() -> Result<Self, Failure> {
        let target = tree::target()?;
        let folder = target.join("mutate");
        let scratch = Self { tree: folder.join("tree"), build: folder.join("build") };
        if !scratch.build.is_dir() {
            seed(&target.join("debug"), &scratch.build.join("debug"))?;
        }
        scratch.restore_all()?;
        Ok(scratch)
    }

    /// Everything as it is in the tree.
    fn restore_all(&self) -> Result<(), Failure> {
        let names: BTreeSet<String> = tree::files()?.into_iter().collect();
        for name in &names {
            self.restore(name)?;
        }
        remove_others(&self.tree, &self.tree, &names)
    }

    /// One file as it is in the tree.
    fn restore(&self, name: &str) -> Result<(), Failure> {
        let (from, to) = (tree::root().join(name), self.tree.join(name));
        let wrong = |cause: std::io::Error| Failure::Found(format!("cannot copy `{name}`: {cause}"));
        let bytes = std::fs::read(&from).map_err(wrong)?;
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(wrong)?;
        }
        std::fs::copy(&from, &to).map(drop).map_err(wrong)
    }

    /// Switches one protection off. Gives the file as it was, for [`Self::put_back`]: whoever edits the tree meanwhile changes nothing here.
    pub fn mutate(&self, one: &Mutation) -> Result<String, Failure> {
        let path = self.tree.join(one.file);
        let wrong = |cause: std::io::Error| Failure::Found(format!("cannot change `{}`: {cause}", one.file));
        let text = std::fs::read_to_string(&path).map_err(wrong)?;
        let changed = one.applied(&text).map_err(Failure::Found)?;
        std::fs::write(&path, changed).map_err(wrong)?;
        Ok(text)
    }

    /// The file as it was.
    pub fn put_back(&self, one: &Mutation, text: &str) -> Result<(), Failure> {
        let wrong =
            |cause: std::io::Error| Failure::Found(format!("cannot put `{}` back: {cause}", one.file));
        std::fs::write(self.tree.join(one.file), text).map_err(wrong)
    }

    /// Builds what these tests need: their programs, and the three binaries if they run those. What the compiler says, if it refuses.
    pub fn build<'a>(&self, tests: impl Iterator<Item = &'a Test>) -> Result<Built, String> {
        let tests: Vec<&Test> = tests.collect();
        if tests.iter().any(|test| test.runs_binaries()) {
            let mut command = self.cargo();
            command.args(["build", "--workspace", "--locked", "--quiet"]);
            for name in crate::real::BINARIES {
                command.args(["--bin", name]);
            }
            output(&mut command).map_err(|failure| failure.to_string())?;
        }
        // The whole workspace is named and the targets are chosen: so its dependencies are built with one set of features, once.
        let mut command = self.cargo();
        command.args(["test", "--workspace", "--locked", "--no-run", "--quiet"]);
        command.arg("--message-format=json-render-diagnostics");
        let targets: BTreeSet<&str> = tests.iter().map(|test| test.target).collect();
        for target in targets {
            match target {
                "lib" => command.arg("--lib"),
                name => command.args(["--test", name]),
            };
        }
        let said = output(&mut command).map_err(|failure| failure.to_string())?;
        Ok(said.lines().filter_map(program).collect())
    }

    fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.tree).stdin(Stdio::null()).env("CARGO_TARGET_DIR", &self.build);
        command
    }

    /// Runs one test, in a process of its own and in a process group of its own, as nextest does.
    pub fn test(&self, built: &Built, test: &Test) -> Result<Verdict, Failure> {
        let Some(program) = built.get(&(test.package.to_owned(), test.target.to_owned())) else {
            return Ok(Verdict::Missing);
        };
        let wrong = |cause: std::io::Error| Failure::Found(format!("cannot run the test `{test}`: {cause}"));
        let folder = self.tree.join(test.folder());
        let said = self.build.join("said");
        let out = std::fs::File::create(&said).map_err(wrong)?;
        let errors = out.try_clone().map_err(wrong)?;
        let mut child = Command::new(program)
            .args([test.name, "--exact"])
            .current_dir(&folder)
            .env("CARGO_MANIFEST_DIR", &folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(wrong)?;
        let deadline = Instant::now() + TEST_LIMIT;
        let status = loop {
            match child.try_wait().map_err(wrong)? {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::sleep(LOOK),
            }
        };
        let Some(status) = status else {
            // The group is the child's own, and the child was not waited for: the number is still its.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
            return Ok(Verdict::Endless);
        };
        let said = String::from_utf8_lossy(&std::fs::read(&said).map_err(wrong)?).into_owned();
        // Every harness of ours says it as the usual one does.
        let passed = said.contains(&format!("test {} ... ok", test.name));
        Ok(match (status.success(), passed) {
            (true, true) => Verdict::Green,
            (true, false) => Verdict::Missing,
            (false, _) => Verdict::Red,
        })
    }
}

/// The program of a test, from a line of cargo's: `{"reason":"compiler-artifact","package_id":..,"target":{"kind":["test"],"name":..},"profile":{"test":true},"executable":..}`.
fn program(line: &str) -> Option<((String, String), PathBuf)> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value.get("profile")?.get("test")? != true {
        return None;
    }
    let executable = PathBuf::from(value.get("executable")?.as_str()?);
    let folder = Path::new(value.get("manifest_path")?.as_str()?).parent()?.file_name()?.to_str()?;
    let target = value.get("target")?;
    let kind = target.get("kind")?.get(0)?.as_str()?;
    let name = if kind == "test" { target.get("name")?.as_str()? } else { "lib" };
    Some(((crate::mutations::package_in(folder), name.to_owned()), executable))
}

/// Begins with what cargo built of the dependencies: the same bytes, by hard links. What is ours is built anew.
fn seed(from: &Path, to: &Path) -> Result<(), Failure> {
    let wrong = |cause: std::io::Error| Failure::Found(format!("cannot make `{}`: {cause}", to.display()));
    for name in ["deps", "build", ".fingerprint"] {
        let folder = from.join(name);
        std::fs::create_dir_all(to.join(name)).map_err(wrong)?;
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| is_of_others(&entry.file_name(), name == "deps")) {
            // What goes away meanwhile is built anew.
            let _ = link(&entry.path(), &to.join(name).join(entry.file_name()));
        }
    }
    Ok(())
}

/// A package of ours begins with `vigo`; our tests are programs without an ending, which a library of others never is.
fn is_of_others(name: &OsStr, in_deps: bool) -> bool {
    let name = name.to_string_lossy();
    let ours = name.starts_with("vigo") || name.starts_with("libvigo");
    !ours && (!in_deps || name.contains('.'))
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return std::fs::hard_link(from, to);
    }
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        link(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Removes what is not in the tree any more.
fn remove_others(root: &Path, folder: &Path, names: &BTreeSet<String>) -> Result<(), Failure> {
    let wrong =
        |cause: std::io::Error| Failure::Found(format!("cannot clear `{}`: {cause}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let path = entry.path();
        if entry.file_type().map_err(wrong)?.is_dir() {
            remove_others(root, &path, names)?;
        } else if !path.strip_prefix(root).is_ok_and(|name| names.contains(name.to_string_lossy().as_ref())) {
            std::fs::remove_file(&path).map_err(wrong)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_test_is_told_from_others() {
        let line = |kind: &str, name: &str, test: bool| {
            format!(
                r#"{{"manifest_path":"/t/crates/sys/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":"/b/x-1"}}"#
            )
        };
        let key = |target: &str| Some((("vigo-sys".to_owned(), target.to_owned()), PathBuf::from("/b/x-1")));
        assert_eq!(program(&line("test", "process", true)), key("process"));
        assert_eq!(program(&line("lib", "vigo_sys", true)), key("lib"));
        assert_eq!(program(&line("bin", "vigo", false)), None);
        assert_eq!(program(r#"{"reason":"build-finished","success":true}"#), None);
    }

    #[test]
    fn the_copy_begins_with_what_is_of_others_and_nothing_of_ours() {
        for (name, in_deps, want) in [
            ("libserde-1.rlib", true, true),
            ("libvigo_sys-1.rlib", true, false),
            ("vigo_sys-1.d", true, false),
            ("process-1", true, false),
            ("serde-1", false, true),
            ("vigo-sys-1", false, false),
        ] {
            assert_eq!(is_of_others(OsStr::new(name), in_deps), want, "{name}");
        }
    }
}
