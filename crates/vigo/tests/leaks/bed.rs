//! What all cells share: the values, a vault with the first and one with the second version of each, the scanner, a memory cgroup.

use crate::world::{binary, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vigo_resource::SecretRule;
use vigo_testkit::scan::{Canary, Kind, Scanner};

/// Bytes that a process and its hand may have in the cgroup: less than they take together, so that their pages are pushed out all the time.
const LIMIT: &str = "12M";
/// The longest value for an environment or a command line: the kernel takes 128 KiB a word, and a policy may have more around it.
const LONGEST_WORD: usize = 8 << 10;

pub struct Bed {
    folder: tempfile::TempDir,
    pub canaries: Vec<Canary>,
    pub scanner: Scanner,
    pub cgroup: Option<Cgroup>,
}

impl Bed {
    pub fn new() -> Self {
        let mut canaries = Vec::new();
        for group in 0..GROUPS.len() {
            for kind in Kind::ALL {
                for _ in 0..2 {
                    let canary = Canary::fresh(kind).unwrap();
                    let is_word = kind == Kind::Longest && group > 0;
                    canaries.push(if is_word {
                        Canary::of(kind, &canary.plain()[..LONGEST_WORD])
                    } else {
                        canary
                    });
                }
            }
        }
        let scanner = Scanner::of(&canaries);
        let bed = Self { folder: tempfile::tempdir().unwrap(), canaries, scanner, cgroup: Cgroup::new() };
        if bed.cgroup.is_none() {
            println!("no memory cgroup can be made here: the cells under swap pressure were without it");
        }
        bed.fill();
        bed
    }

    /// The vault of each version, by the real tool.
    fn fill(&self) {
        for version in 0..2 {
            if version == 1 {
                let mut copy = Command::new("cp");
                copy.arg("-a").arg(self.vault(0)).arg(self.vault(1));
                run(copy, b"").expect(0);
            }
            for number in (0..self.canaries.len()).filter(|number| number % 2 == version) {
                let mut set = Command::new(binary("vigocli"));
                set.args(["secrets", "--vault"]).arg(self.vault(version)).args([
                    "set",
                    "--exact",
                    &path(number / 2),
                ]);
                run(set, &self.canaries[number].plain()).expect(0);
            }
        }
    }

    pub fn vault(&self, version: usize) -> PathBuf {
        self.folder.path().join(format!("vault{version}"))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Who may see values of each group besides the target.
pub const GROUPS: [SecretRule; 3] = [SecretRule::Unexposed, SecretRule::Environment, SecretRule::Argv];

/// The value of that kind for an attribute with that rule; its versions have twice this number and the one after.
pub fn value_of(rule: SecretRule, kind: Kind) -> usize {
    let group = GROUPS.iter().position(|each| *each == rule).unwrap();
    let kind = Kind::ALL.iter().position(|each| *each == kind).unwrap();
    group * Kind::ALL.len() + kind
}

/// The group of a canary.
pub fn rule_of(canary: usize) -> SecretRule {
    GROUPS[canary / (2 * Kind::ALL.len())]
}

/// The secret's path.
pub fn path(value: usize) -> String {
    format!("matrix/v{value}")
}

/// A memory cgroup of this test, removed with it.
pub struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Option<Self> {
        let name = format!("vigo-leaks-{}", std::process::id());
        // cgroups(7): version 1 has a hierarchy a controller, version 2 one for all.
        for (base, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let folder = Path::new(base).join(&name);
            if fs::create_dir(&folder).is_ok() {
                let cgroup = Self(folder);
                if fs::write(cgroup.0.join(limit), LIMIT).is_ok() {
                    return Some(cgroup);
                }
            }
        }
        None
    }

    /// Where a process writes 0 to be in it.
    pub fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _still_in_use = fs::remove_dir(&self.0);
    }
}
