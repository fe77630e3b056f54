//! `vigocli config init`: a first small configuration that is right as it stands.

use crate::error::CliError;
use crate::output::Output;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use vigo_base::Exit;

/// What is made: path and text.
pub(super) const FILES: &[(&str, &str)] = &[
    ("envoys.vgo", include_str!("first/envoys.vgo")),
    ("configcrates/hello.vgo", include_str!("first/configcrates/hello.vgo")),
    ("templates/hello.j2", include_str!("first/templates/hello.j2")),
];

pub fn make(output: Output, dir: &Path) -> Result<Exit, CliError> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CliError::usage(
            format!("cannot make a configuration in `{}`: the folder is not empty", dir.display()),
            "name a folder that does not exist yet",
        ));
    }
    for (path, text) in FILES {
        let path = dir.join(path);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(text.as_bytes())
        };
        write().map_err(|source| CliError::File { doing: "write", path: path.clone(), source })?;
    }
    let files: Vec<_> = FILES.iter().map(|(path, _)| *path).collect();
    let answer = json!({"format": 1, "folder": dir.to_string_lossy(), "files": files});
    output.object(&answer, |_| {
        let dir = dir.display();
        let files: String = FILES.iter().map(|(path, _)| format!("{dir}/{path}\n")).collect();
        format!("{files}next: vigocli config validate {dir}, then vigocli config publish {dir}")
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn what_is_made_is_right_as_it_stands() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("stacks");
        for (path, text) in FILES {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), text).unwrap();
        }
        let tree = tree::read(&dir).unwrap();
        assert_eq!(tree.len(), FILES.len());
        let report = super::super::offline::checked(&tree, None);
        assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
    }
}
