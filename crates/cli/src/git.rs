//! Which commit a folder is at, and whether it differs from it: read from git's own files, without running git.
//!
//! "Differs" errs on the safe side: it is false only where every tracked file of the folder is as the index has it by size and time, nothing
//! that would be published is untracked, and nothing is staged. Whoever touched a file without changing it gets `dirty`.

mod index;

use crate::files::read_bounded;
use index::Index;
use std::fs;
use std::path::{Path, PathBuf};

/// `HEAD` and a reference are one line.
const LINE: usize = 4096;
/// All references of a large repository.
const PACKED: usize = 64 << 20;
/// The index of a large repository.
const INDEX: usize = 256 << 20;

/// Which commit, and whether the folder differs from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In hexadecimal.
    pub commit: String,
    /// Whether it differs, or may.
    pub dirty: bool,
}

/// The state of the repository that `folder` stands in; `None` when there is none, or no commit yet, or it cannot be read.
#[must_use]
pub fn state(folder: &Path) -> Option<State> {
    let folder = fs::canonicalize(folder).ok()?;
    let (top, git) = folder.ancestors().find_map(|top| Some((top, repository(top)?)))?;
    let commit = head(&git)?;
    let prefix = folder.strip_prefix(top).ok()?.to_str()?;
    let bytes = read_bounded(&git.join("index"), INDEX).ok();
    let index = bytes.and_then(|bytes| Index::parse(&bytes, commit.len() / 2));
    let dirty = index.is_none_or(|index| index.differs(top, prefix, &folder));
    Some(State { commit, dirty })
}

/// The repository whose working tree begins at `top` (gitrepository-layout(5)): `.git`, or where a file of that name leads.
fn repository(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = line(&git)?;
    let target = top.join(text.strip_prefix("gitdir: ")?);
    target.is_dir().then_some(target)
}

fn head(git: &Path) -> Option<String> {
    let mut text = line(&git.join("HEAD"))?;
    // A reference may name another one; five are more than git itself follows without complaint.
    for _ in 0..5 {
        let Some(name) = text.strip_prefix("ref: ") else { return is_id(&text).then_some(text) };
        text = reference(git, name)?;
    }
    None
}

fn reference(git: &Path, name: &str) -> Option<String> {
    if name.split('/').any(|part| part.is_empty() || part == "..") {
        return None;
    }
    // A linked working tree has its own HEAD and shares the rest.
    let shared = line(&git.join("commondir")).map(|text| git.join(text));
    for place in [Some(git.to_owned()), shared].into_iter().flatten() {
        if let Some(text) = line(&place.join(name)) {
            return Some(text);
        }
        let packed = read_bounded(&place.join("packed-refs"), PACKED).ok();
        let packed = packed.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let found =
            packed.lines().find_map(|line| line.split_once(' ').filter(|(_, packed)| *packed == name));
        if let Some((id, _)) = found {
            return Some(id.to_owned());
        }
    }
    None
}

fn line(path: &Path) -> Option<String> {
    let text = String::from_utf8(read_bounded(path, LINE).ok()?).ok()?;
    Some(text.trim_end().to_owned())
}

/// SHA-1 or SHA-256 in hexadecimal.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
