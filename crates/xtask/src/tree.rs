//! The tree: where it is, which files are in it, what cargo says of it.

use crate::process::{Failure, cargo, output};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// What lies beside the tree on some machines: the first acceptance.
pub fn shared() -> Option<PathBuf> {
    let shared = root().parent()?.join("shared");
    shared.join("acceptance/quickstart.sh").is_file().then_some(shared)
}

/// Files that are in the tree or about to be, relative to it.
pub fn files() -> Result<Vec<String>, Failure> {
    let listed = output(Command::new("git").arg("-C").arg(root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let there = |name: &&str| root().join(name).is_file();
    Ok(listed.lines().filter(there).map(str::to_owned).collect())
}

/// `cargo metadata`.
pub fn metadata() -> Result<Value, Failure> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    serde_json::from_str(&text)
        .map_err(|cause| Failure::Found(format!("cannot read `cargo metadata`: {cause}")))
}

/// Where cargo builds to.
pub fn target() -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(root().join(folder));
    }
    let text = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let value: Value = serde_json::from_str(&text).map_err(|cause| Failure::Found(cause.to_string()))?;
    let folder = value.get("target_directory").and_then(Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| Failure::Found("`cargo metadata` names no target folder".into()))
}
