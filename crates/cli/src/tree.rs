//! The stacks folder as a tree: `.vgo` files and everything under `templates/`, within limits, and nothing from outside the folder.

use crate::error::CliError;
use crate::files;
use serde_json::{Value, json};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use vigo_base::limits;
use vigo_syntax::Tree;

/// The folder whose files are all taken.
const TEMPLATES: &str = "templates";
/// Folders in folders.
const DEPTH: usize = 32;
/// Entries of all kinds that are looked at: a folder that holds far more than a policy is the wrong one.
const ENTRIES: usize = 200_000;

/// Reads a stacks folder.
///
/// # Errors
/// When it cannot be read, holds no `.vgo` file, is too large, or leads out of itself.
pub fn read(folder: &Path) -> Result<Tree, CliError> {
    let root = fs::canonicalize(folder).map_err(|source| failed(folder, source))?;
    if !root.is_dir() {
        return Err(failed(folder, io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let mut reader = Reader { root: root.clone(), tree: Tree::default(), entries: 0 };
    reader.folder(&root, "", 0)?;
    if !reader.tree.files().any(|file| file.path.ends_with(".vgo")) {
        let what = format!("cannot find a `.vgo` file in `{}`", folder.display());
        return Err(CliError::usage(
            what,
            "name the stacks folder; `vigocli config init DIR` makes a first one",
        ));
    }
    Ok(reader.tree)
}

/// The tree as the server takes it.
///
/// # Errors
/// When a file is no UTF-8.
pub fn archive(tree: &Tree) -> Result<Value, CliError> {
    let mut files = Vec::with_capacity(tree.len());
    for file in tree.files() {
        let content = std::str::from_utf8(file.bytes).map_err(|_| refused(file.path, "it is no UTF-8"))?;
        files.push(json!({"path": file.path, "content": content}));
    }
    Ok(json!({ "files": files }))
}

struct Reader {
    root: PathBuf,
    tree: Tree,
    entries: usize,
}

impl Reader {
    fn folder(&mut self, folder: &Path, path: &str, depth: usize) -> Result<(), CliError> {
        if depth > DEPTH {
            return Err(refused(path, "folders stand too deep in each other"));
        }
        let read = || fs::read_dir(folder)?.collect::<io::Result<Vec<DirEntry>>>();
        let mut entries = read().map_err(|source| failed(folder, source))?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            self.entries += 1;
            if self.entries > ENTRIES {
                return Err(refused(path, "the folder holds far more than a policy; is it the right one?"));
            }
            self.entry(&entry, path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, folder: &str, depth: usize) -> Result<(), CliError> {
        let name = entry.file_name();
        // `.git`, and what editors leave.
        if name.as_encoded_bytes().first() == Some(&b'.') {
            return Ok(());
        }
        let in_templates = folder == TEMPLATES || folder.starts_with("templates/");
        let kind = entry.file_type().map_err(|source| failed(&entry.path(), source))?;
        let wanted = in_templates || name.as_encoded_bytes().ends_with(b".vgo");
        if !kind.is_dir() && !wanted && !(kind.is_symlink() && folder.is_empty() && name == TEMPLATES) {
            return Ok(());
        }
        let Some(name) = name.to_str() else {
            return Err(refused(&entry.path().to_string_lossy(), "its name is no UTF-8"));
        };
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        if kind.is_dir() {
            return self.folder(&entry.path(), &path, depth + 1);
        }
        let file = if kind.is_symlink() { self.inside(&entry.path(), &path)? } else { entry.path() };
        if !fs::metadata(&file).map_err(|source| failed(&file, source))?.is_file() {
            return Err(refused(&path, "it is no ordinary file"));
        }
        let limit = if in_templates { limits::TEMPLATE_FILE } else { limits::POLICY_FILE };
        let bytes = files::read_bounded(&file, limit)?;
        self.tree.insert(path.clone(), bytes).map_err(|error| refused(&path, &error.to_string()))
    }

    /// Where a link leads, if that is a file of this folder. A publish must not carry off what somebody linked in.
    fn inside(&self, link: &Path, path: &str) -> Result<PathBuf, CliError> {
        let target = fs::canonicalize(link).map_err(|source| failed(link, source))?;
        if !target.starts_with(&self.root) {
            return Err(refused(path, "it is a link that leads out of the folder"));
        }
        if target.is_dir() {
            return Err(refused(path, "it is a link to a folder"));
        }
        Ok(target)
    }
}

fn failed(path: &Path, source: io::Error) -> CliError {
    CliError::File { doing: "read", path: path.into(), source }
}

fn refused(path: &str, why: &str) -> CliError {
    CliError::Tree { path: path.into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn paths(folder: &TempDir) -> Vec<String> {
        read(folder.path()).unwrap().files().map(|file| file.path.to_owned()).collect()
    }

    #[test]
    fn policy_files_and_templates_are_taken_and_nothing_else() {
        let folder = folder(&[
            ("envoys.vgo", "a"),
            ("sub/common.vgo", "b"),
            ("templates/site.conf.j2", "c"),
            ("templates/deep/x", "d"),
            ("README.md", "no"),
            ("sub/id_rsa", "no"),
            (".git/x.vgo", "no"),
            (".envoys.vgo.swp", "no"),
            ("templates/.site.swp", "no"),
            ("sub/templates/y", "no"),
        ]);
        assert_eq!(
            paths(&folder),
            ["envoys.vgo", "sub/common.vgo", "templates/deep/x", "templates/site.conf.j2"]
        );
    }

    #[test]
    fn a_folder_without_policy_is_refused_with_what_to_do() {
        let error = read(folder(&[("a.txt", "")]).path()).unwrap_err();
        assert!(error.help().unwrap().contains("config init"), "{error}");
        assert!(read(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn links_stay_inside_the_folder() {
        let outside = folder(&[("secret.vgo", "x")]);
        let inside = folder(&[("a.vgo", "a"), ("sub/b.vgo", "b")]);
        symlink("sub/b.vgo", inside.path().join("c.vgo")).unwrap();
        assert_eq!(paths(&inside), ["a.vgo", "c.vgo", "sub/b.vgo"]);
        let links: [(PathBuf, &str); 4] = [
            (outside.path().join("secret.vgo"), "x.vgo"),
            ("/etc/hostname".into(), "x.vgo"),
            ("sub".into(), "x.vgo"),
            (outside.path().into(), "templates"),
        ];
        for (target, name) in links {
            let link = inside.path().join(name);
            symlink(&target, &link).unwrap();
            assert!(matches!(read(inside.path()), Err(CliError::Tree { .. })), "{target:?}");
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused_by_name() {
        let large = folder(&[("a.vgo", &"x".repeat(limits::POLICY_FILE + 1))]);
        assert!(read(large.path()).unwrap_err().report().contains("a.vgo"));
        let folder = folder(&[("a.vgo", "")]);
        fs::write(folder.path().join("a.vgo"), b"\xff").unwrap();
        let error = archive(&read(folder.path()).unwrap()).unwrap_err();
        assert!(error.report().contains("`a.vgo`") && error.report().contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_tree_has_a_bounded_depth() {
        let deep = format!("{}a.vgo", "d/".repeat(DEPTH + 2));
        assert!(matches!(read(folder(&[(&deep, "")]).path()), Err(CliError::Tree { .. })));
    }

    #[test]
    fn an_archive_has_every_file_as_text() {
        let folder = folder(&[("a.vgo", "ä\n"), ("templates/t", "")]);
        let archive = archive(&read(folder.path()).unwrap()).unwrap();
        assert_eq!(
            archive,
            json!({"files": [{"path": "a.vgo", "content": "ä\n"}, {"path": "templates/t", "content": ""}]})
        );
    }
}
