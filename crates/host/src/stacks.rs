//! Reads a folder of stacks from the disk: the `.vgo` files anywhere below it, and everything below `templates/`. Nothing outside the folder, whatever links say.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use vigo_base::limits;
use vigo_syntax::{Tree, TreeError};

/// Folders nested deeper than this are refused: a loop of mounts, not stacks.
const DEPTH: usize = 32;

/// Why a folder of stacks cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StacksError {
    /// A call to the kernel failed.
    #[error("cannot read `{path}`")]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A name that is no text.
    #[error("cannot read `{path}`: its name is not UTF-8; rename it")]
    Name {
        /// Which file or folder.
        path: PathBuf,
    },
    /// Nested too deep.
    #[error("cannot read `{path}`: folders are nested more than 32 deep")]
    Depth {
        /// Which folder.
        path: PathBuf,
    },
    /// More than a tree may hold.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Reads the folder. Hidden files and folders, and links, are passed over.
///
/// # Errors
/// When something in it cannot be read, or it is more than a tree may hold.
pub fn read_folder(path: &Path) -> Result<Tree, StacksError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(read_error(path))?;
    let mut tree = Tree::default();
    add_folder(&mut tree, &folder, path, "", 0)?;
    Ok(tree)
}

fn read_error(path: &Path) -> impl Fn(rustix::io::Errno) -> StacksError + '_ {
    move |errno| StacksError::Read { path: path.to_owned(), source: errno.into() }
}

fn add_folder(
    tree: &mut Tree,
    folder: &OwnedFd,
    path: &Path,
    inside: &str,
    depth: usize,
) -> Result<(), StacksError> {
    if depth == DEPTH {
        return Err(StacksError::Depth { path: path.to_owned() });
    }
    for entry in rustix::fs::Dir::read_from(folder).map_err(read_error(path))? {
        let entry = entry.map_err(read_error(path))?;
        let name = entry.file_name().to_string_lossy();
        let below = path.join(&*name);
        if name.starts_with('.') {
            continue;
        }
        let inner = if inside.is_empty() { name.to_string() } else { format!("{inside}/{name}") };
        let is_template = inner.starts_with("templates/");
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match entry.file_type() {
            FileType::Directory => {
                let opened =
                    rustix::fs::openat(folder, entry.file_name(), flags | OFlags::DIRECTORY, Mode::empty())
                        .map_err(read_error(&below))?;
                add_folder(tree, &opened, &below, &inner, depth + 1)?;
            }
            FileType::RegularFile if is_template || inner.ends_with(".vgo") => {
                if entry.file_name().to_str().is_err() {
                    return Err(StacksError::Name { path: below });
                }
                let opened = rustix::fs::openat(folder, entry.file_name(), flags, Mode::empty())
                    .map_err(read_error(&below))?;
                tree.insert(inner, read_file(opened, &below)?)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads one byte more than any file may have, so that the check that follows can say that it is too large.
fn read_file(file: OwnedFd, path: &Path) -> Result<Vec<u8>, StacksError> {
    let mut bytes = Vec::new();
    let bound =
        u64::try_from(limits::POLICY_FILE.max(limits::TEMPLATE_FILE)).unwrap_or(u64::MAX).saturating_add(1);
    File::from(file)
        .take(bound)
        .read_to_end(&mut bytes)
        .map_err(|source| StacksError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Reads one policy file and, if there is one, the nearest `templates/` folder beside or above it.
/// The file's name in the tree is its path below the folder in which `templates/` stands, so that messages name it as the operator did as far as possible.
///
/// # Errors
/// As [`read_folder`].
pub fn read_single(path: &Path) -> Result<(Tree, String), StacksError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(read_error(path))?;
    let bytes = read_file(file, path)?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| StacksError::Name { path: path.to_owned() })?;
    let mut tree = Tree::default();
    let whole =
        std::path::absolute(path).map_err(|source| StacksError::Read { path: path.to_owned(), source })?;
    if let Some(templates) =
        whole.ancestors().skip(1).map(|folder| folder.join("templates")).find(|path| path.is_dir())
    {
        let folder = rustix::fs::open(&templates, flags | OFlags::DIRECTORY, Mode::empty())
            .map_err(read_error(&templates))?;
        add_folder(&mut tree, &folder, &templates, "templates", 1)?;
    }
    tree.insert(name, bytes)?;
    Ok((tree, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_gives_policies_and_templates_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("envoys.vgo", "a");
        write("configcrates/web/site.vgo", "b");
        write("templates/site.conf.j2", "c");
        write("README.md", "not read");
        write(".git/config.vgo", "not read");
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("templates/link")).unwrap();
        let tree = read_folder(place.path()).unwrap();
        let paths: Vec<&str> = tree.files().map(|file| file.path).collect();
        assert_eq!(paths, ["configcrates/web/site.vgo", "envoys.vgo", "templates/site.conf.j2"]);

        let (tree, name) = read_single(&place.path().join("configcrates/web/site.vgo")).unwrap();
        assert_eq!(name, "site.vgo");
        assert_eq!(tree.get("templates/site.conf.j2"), Some(&b"c"[..]));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = read_folder(Path::new("/nonexistent/stacks")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/stacks"));
    }
}
