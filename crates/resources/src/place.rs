//! What every type that manages a path asks about it first.

use crate::ownership;
use vigo_base::AbsolutePath;
use vigo_resource::{Entry, EntryKind, Failure, Host, Ownership, Placement};

/// Says no to what is Vigo's own, and to the root of all.
pub(crate) fn refuse_guarded(host: &dyn Host, path: &AbsolutePath) -> Result<(), Failure> {
    if host.is_guarded(path) {
        return Err(Failure::failed(format!("cannot manage `{path}`: it belongs to vigo itself"))
            .help("policies leave the binaries and folders of vigo alone"));
    }
    Ok(())
}

/// Says which `directory` to add when the folder of a path is missing.
pub(crate) fn require_parent(host: &dyn Host, path: &AbsolutePath) -> Result<(), Failure> {
    let Some(parent) = path.parent() else { return Ok(()) };
    match host.entry(&parent)?.map(|entry| entry.kind) {
        // A link to a folder is the host's to judge when it opens it.
        Some(EntryKind::Folder | EntryKind::Symlink) => Ok(()),
        Some(kind) => Err(Failure::failed(format!(
            "cannot make `{path}`: `{parent}` is {}, not a directory",
            kind.describe()
        ))),
        None => {
            Err(Failure::failed(format!("cannot make `{path}`: its directory `{parent}` does not exist"))
                .help(format!("add a resource of type `directory` with target_path `{parent}`")))
        }
    }
}

/// Says no when something of another kind stands there.
pub(crate) fn require_kind(path: &AbsolutePath, entry: &Entry, wanted: EntryKind) -> Result<(), Failure> {
    if entry.kind == wanted {
        return Ok(());
    }
    let reason = format!("cannot manage `{path}` as {}: it is {}", wanted.describe(), entry.kind.describe());
    Err(match (&entry.link_target, wanted) {
        (Some(to), _) => Failure::failed(format!("{reason} to `{to}`"))
            .help("manage what the link points to, or remove the link with a `symlink` of state absent"),
        (None, _) => Failure::failed(reason).help("remove it first, or correct the path"),
    })
}

/// Where the content that is at a path goes before it is replaced: beside it. Says no where it may hold a secret.
pub(crate) fn backup(host: &dyn Host, target: &AbsolutePath, entry: &Entry) -> Result<Placement, Failure> {
    if host.is_tainted(target)? {
        return Err(Failure::failed(format!(
            "cannot keep a copy of `{target}`: it held a secret, or others may not read it"
        ))
        .help("remove `backup` from this resource"));
    }
    let path: AbsolutePath = format!("{target}.bak")
        .parse()
        .map_err(|error: vigo_base::PathError| Failure::failed(error.to_string()))?;
    refuse_guarded(host, &path)?;
    if let Some(old) = host.entry(&path)? {
        require_kind(&path, &old, EntryKind::File)?;
    }
    let ownership = ownership::kept(Ownership::default(), Some(entry));
    Ok(Placement { path, mode: entry.mode, ownership, in_place: false, validation: None })
}

/// `/`, where commands run that say nothing else.
pub(crate) fn root() -> Result<AbsolutePath, Failure> {
    "/".parse().map_err(|error: vigo_base::PathError| Failure::failed(error.to_string()))
}
