//! The protections that are switched off one at a time, each with the change of the code that does it and the tests that must notice.
//!
//! The lists are in two files: what a machine does with values, and what crosses borders. Running them is left to [`crate::mutate`]; that each
//! entry still fits the tree, and that each row of SECURITY.md names one, is checked here by `tidy`.

mod border;
mod machine;

use crate::process::{Failure, stage};
use crate::tree;
use std::collections::BTreeMap;
use std::fmt;

/// A protection and how it is switched off.
#[derive(Debug)]
pub struct Mutation {
    /// Its name, as SECURITY.md has it.
    pub name: &'static str,
    /// What is switched off.
    pub protection: &'static str,
    /// The file, from the root of the tree.
    pub file: &'static str,
    /// What is replaced. It stands in the file exactly once.
    pub find: &'static str,
    /// By what.
    pub replace: &'static str,
    /// The tests of which one must turn red.
    pub tests: &'static [Test],
}

impl Mutation {
    /// The text of the file with the protection switched off.
    ///
    /// # Errors
    /// When what is to be replaced is not there exactly once.
    pub fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(self.find).count() {
            1 => Ok(text.replacen(self.find, self.replace, 1)),
            count => Err(format!(
                "`{}`: what it replaces stands {count} times in `{}`, and has to stand there once",
                self.name, self.file
            )),
        }
    }
}

/// A test: its package, the target in it (`lib` for those inside the library), its full name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    pub package: &'static str,
    pub target: &'static str,
    pub name: &'static str,
}

impl Test {
    /// The folder of its package.
    pub fn folder(&self) -> String {
        format!("crates/{}", self.package.strip_prefix("vigo-").unwrap_or(self.package))
    }

    /// True if it drives the three binaries.
    pub fn runs_binaries(&self) -> bool {
        self.package == "vigo"
    }

    /// The function, or the word by which it is told from its neighbours.
    fn last_word(&self) -> &'static str {
        self.name.rsplit("::").next().unwrap_or(self.name)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}::{} {}", self.package, self.target, self.name)
    }
}

/// The package in that folder of `crates`.
pub fn package_in(folder: &str) -> String {
    if folder == "vigo" { folder.to_owned() } else { format!("vigo-{folder}") }
}

/// A target of a package, as the lists write it.
#[derive(Clone, Copy)]
struct Target(&'static str, &'static str);

impl Target {
    const fn test(self, name: &'static str) -> Test {
        Test { package: self.0, target: self.1, name }
    }
}

/// An entry as the lists write it: name, protection, file, what is replaced, by what, tests.
const fn one(
    name: &'static str,
    protection: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    tests: &'static [Test],
) -> Mutation {
    Mutation { name, protection, file, find, replace, tests }
}

/// All of them, those of one crate after the other, so that as little as possible is built anew.
pub fn all() -> impl Iterator<Item = &'static Mutation> {
    machine::MUTATIONS.iter().chain(border::MUTATIONS)
}

/// The page whose table names them.
const PAGE: &str = "SECURITY.md";

/// `tidy`, fourth part: every entry fits the tree.
pub fn check() -> Result<(), Failure> {
    stage("mutations");
    let root = tree::root();
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name))
            .map_err(|cause| Failure::Found(format!("cannot read `{name}`: {cause}")))
    };
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for name in tree::files()?.iter().filter(|name| name.ends_with(".rs")) {
        if let Some(folder) = name.strip_prefix("crates/").and_then(|rest| rest.split('/').next()) {
            sources.entry(format!("crates/{folder}")).or_default().push_str(&read(name)?);
        }
    }
    let mut found = Vec::new();
    for one in all() {
        if all().filter(|other| other.name == one.name).count() != 1 {
            found.push(format!("`{}`: two mutations have this name", one.name));
        }
        found.extend(one.applied(&read(one.file)?).err());
        let is_missing = |test: &&Test| sources.get(&test.folder()).is_none_or(|text| !names(text, test));
        found.extend(
            one.tests
                .iter()
                .filter(is_missing)
                .map(|test| format!("`{}`: there is no test `{test}`", one.name)),
        );
        found.extend(one.tests.is_empty().then(|| format!("`{}`: it names no test", one.name)));
    }
    let page = read(PAGE)?;
    found.extend(
        all()
            .filter(|one| !page.contains(&format!("`{}`", one.name)))
            .map(|one| format!("`{}`: no row of {PAGE} names it", one.name)),
    );
    if found.is_empty() {
        return Ok(());
    }
    found.iter().for_each(|line| eprintln!("mutations: {line}"));
    Err(Failure::Found(format!("mutations: {} places to mend", found.len())))
}

/// True if the test stands in the sources of its package, as a function or as a name in a list of such.
fn names(sources: &str, test: &Test) -> bool {
    let word = test.last_word();
    [format!("fn {word}("), format!("\"{word}\""), format!("::{word}\"")]
        .iter()
        .any(|form| sources.contains(form))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_stands_there_exactly_once() {
        let mutation = one("a", "b", "c", "x", "y", &[]);
        assert_eq!(mutation.applied("1x2").unwrap(), "1y2");
        assert!(mutation.applied("12").unwrap_err().contains("0 times"));
        assert!(mutation.applied("xx").unwrap_err().contains("2 times"));
    }

    #[test]
    fn a_test_is_found_as_a_function_or_in_a_list() {
        let test = Target("vigo-x", "lib").test("a::tests::works");
        assert_eq!(test.folder(), "crates/x");
        for text in ["fn works() {}", "(\"works\", f)", "(\"a::works\", f)"] {
            assert!(names(text, &test), "{text}");
        }
        assert!(!names("fn works_too() {}", &test));
    }
}
