//! The stacks folder as a tree on its way to the server. Which files belong to it is decided where `vigo apply` decides it too.

use crate::error::CliError;
use serde_json::{Value, json};
use std::path::Path;
use vigo_host::{StacksError, read_folder};
use vigo_syntax::Tree;

/// Reads a stacks folder: `.vgo` files and everything under `templates/`, within limits, and nothing from outside the folder.
///
/// # Errors
/// When it cannot be read, holds no `.vgo` file, or is too large.
pub fn read(folder: &Path) -> Result<Tree, CliError> {
    let tree = read_folder(folder).map_err(|error| match error {
        StacksError::Read { path, source } => CliError::File { doing: "read", path, source },
        other => CliError::Stacks(other),
    })?;
    if !tree.files().any(|file| file.path.ends_with(".vgo")) {
        let what = format!("cannot find a `.vgo` file in `{}`", folder.display());
        return Err(CliError::usage(
            what,
            "name the stacks folder; `vigocli config init DIR` makes a first one",
        ));
    }
    Ok(tree)
}

/// The tree as the server takes it.
///
/// # Errors
/// When a file is no UTF-8.
pub fn archive(tree: &Tree) -> Result<Value, CliError> {
    let mut files = Vec::with_capacity(tree.len());
    for file in tree.files() {
        let refused = |_| CliError::usage(format!("cannot send `{}`: it is no UTF-8", file.path), "");
        let content = std::str::from_utf8(file.bytes).map_err(refused)?;
        files.push(json!({"path": file.path, "content": content}));
    }
    Ok(json!({ "files": files }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;
    use vigo_base::limits;

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
    fn links_carry_nothing_in_from_outside() {
        let outside = folder(&[("secret.vgo", "x")]);
        let inside = folder(&[("a.vgo", "a"), ("templates/b", "b")]);
        for (target, name) in [
            (outside.path().join("secret.vgo"), "x.vgo"),
            ("/etc/hostname".into(), "templates/x"),
            (outside.path().into(), "sub"),
        ] {
            symlink(&target, inside.path().join(name)).unwrap();
        }
        assert_eq!(paths(&inside), ["a.vgo", "templates/b"]);
    }

    #[test]
    fn what_is_too_large_or_no_text_is_refused_by_name() {
        let large = "x".repeat(3 << 20);
        let error = read(folder(&[("a.vgo", ""), ("templates/a", &large), ("templates/b", &large)]).path());
        // No file may be larger than a mebibyte, so what was read of these two is small; the check says the rest.
        assert!(error.unwrap().files().all(|file| file.bytes.len() <= limits::POLICY_FILE + 1));
        let folder = folder(&[("a.vgo", "")]);
        fs::write(folder.path().join("a.vgo"), b"\xff").unwrap();
        let error = archive(&read(folder.path()).unwrap()).unwrap_err();
        assert!(error.report().contains("`a.vgo`") && error.report().contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_tree_has_a_bounded_depth() {
        let deep = format!("{}a.vgo", "d/".repeat(40));
        let error = read(folder(&[(&deep, "")]).path()).unwrap_err();
        assert!(error.to_string().contains("deep"), "{error}");
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
