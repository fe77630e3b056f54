//! What all cells share: the values, a vault with the first and one with the second version of each, the scanner; and, for some, pressure on their memory.

use crate::host::cgroup::Cgroup;
use crate::host::holder::Holder;
use crate::host::patiently;
use crate::host::swap::Swap;
use crate::recipes::{Recipe, recipes};
use crate::world::{binary, run};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

/// Bytes that the processes of two cells and their hands may have in memory: less than they take, so that their pages are pushed out all the time.
const LIMIT: u64 = 4 << 20;
/// The longest value for an environment or a command line: the kernel takes 128 KiB a word, and a policy may have more around it.
const LONGEST_WORD: usize = 8 << 10;

pub struct Bed {
    folder: tempfile::TempDir,
    pub canaries: Vec<Canary>,
    pub scanner: Scanner,
    /// What puts a command under pressure, while there is any.
    pub entering: Vec<String>,
}

impl Bed {
    pub fn new() -> Self {
        let mut canaries = Vec::new();
        for group in 0..recipes().len() {
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
        let bed = Self { folder: crate::host::folder(), canaries, scanner, entering: Vec::new() };
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

/// The value of that kind for that recipe; its versions have twice this number and the one after.
pub fn value_of(recipe: usize, kind: usize) -> usize {
    recipe * Kind::ALL.len() + kind
}

/// What a canary is for.
pub fn recipe_of(canary: usize) -> Recipe {
    recipes()[canary / (2 * Kind::ALL.len())]
}

/// The secret's path.
pub fn path(value: usize) -> String {
    format!("matrix/v{value}")
}

/// A swap area and a memory cgroup whose processes are pushed out into it.
pub struct Pressure {
    // In the order in which they go: first all processes with their cgroup, then swap.
    cgroup: Cgroup,
    swap: Swap,
}

impl Pressure {
    /// Or why there is none here.
    pub fn on(folder: &Path) -> Result<Self, String> {
        let swap = Swap::on(folder)?;
        let cgroup = Cgroup::new()?;
        cgroup.squeeze(LIMIT);
        Ok(Self { cgroup, swap })
    }

    /// Words before a command that put it under pressure.
    pub fn entering(&self) -> Vec<String> {
        self.cgroup.entering()
    }

    /// Searches all that was pushed out. The control is an ordinary process that is pushed out, too. Values that a command was given may be there:
    /// what it does with them is not for us to say.
    pub fn judge(&self, scanner: &Scanner) {
        // The area is a file with holes: what was never written takes no room. One page is its head (mkswap(8)).
        let written = std::fs::metadata(self.swap.file()).unwrap().blocks() * 512;
        println!("{} KiB were written to swap", written >> 10);
        assert!(written > 64 << 10, "nothing was pushed out");
        let control = Canary::fresh(Kind::SixtyFour).unwrap();
        let holder = Holder::of(&self.cgroup.entering(), &control.plain());
        let scanned = patiently(|| {
            self.cgroup.push_out();
            scanner.file(Sink::Swap, self.swap.file(), &control)
        });
        let scanned = scanned.unwrap_or_else(|blind| panic!("{blind}"));
        let leaks: Vec<_> = scanned.hits.iter().filter(|hit| !recipe_of(hit.canary).handed).collect();
        assert!(leaks.is_empty(), "in swap: {leaks:#?}");
        drop(holder);
    }
}
