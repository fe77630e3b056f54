//! Reads the whole tree: which file is what, and in which order their match blocks are tried.

use crate::model::{Configcrate, Policy};
use crate::reader::Reader;
use crate::{blocks, configcrate, templates};
use std::collections::HashMap;
use vigo_base::{Position, Span};
use vigo_resource::Registry;
use vigo_syntax::{Code, Diagnostic, Kind, Node, Parsed, Tree, TreeFile, parse};

/// What a file of the tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Configcrates,
    Usercrate,
    Template,
    Common,
    Environments,
    Roles,
    Blocks,
    /// Not ours: a README, a hidden file.
    Other,
}

fn file_kind(path: &str) -> FileKind {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let top = path.split_once('/').map(|(top, _)| top);
    if path.split('/').any(|part| part.starts_with('.')) {
        return FileKind::Other;
    }
    match (top, name) {
        (Some("templates"), _) => FileKind::Template,
        (_, name) if !name.ends_with(".vgo") => FileKind::Other,
        (Some("configcrates"), _) => FileKind::Configcrates,
        (Some("usercrates"), _) => FileKind::Usercrate,
        (_, "common.vgo") => FileKind::Common,
        (_, "environments.vgo") => FileKind::Environments,
        (_, "roles.vgo") => FileKind::Roles,
        _ => FileKind::Blocks,
    }
}

/// What was read, before the parts are compared with each other.
pub(crate) struct Stacks {
    pub policy: Policy,
    /// False when a file could not be read to its end: what is missing may stand there.
    pub complete: bool,
}

/// Reads every file. `alone` is the path of a file of configcrates that is applied by itself.
pub(crate) fn read(
    tree: &Tree,
    registry: &Registry,
    alone: Option<&str>,
    out: &mut Vec<Diagnostic>,
) -> Stacks {
    let mut policy = Policy { alone: alone.is_some(), ..Policy::default() };
    let mut complete = true;
    let mut with_blocks = Vec::new();
    let mut with_configcrates = Vec::new();
    for file in tree.files() {
        policy.paths.push(file.path.to_owned());
        let kind = match alone {
            Some(path) if file.path == path => FileKind::Configcrates,
            Some(_) if file_kind(file.path) != FileKind::Template => continue,
            _ => file_kind(file.path),
        };
        match kind {
            FileKind::Template => complete &= templates::read(file, &mut policy, out),
            FileKind::Other => out.extend(misnamed(&file)),
            FileKind::Blocks => with_blocks.push(file),
            // They need nothing of the others; templates are read by then or need not be.
            FileKind::Configcrates => with_configcrates.push(file),
            kind => complete &= read_file(file, kind, registry, &mut policy, out),
        }
    }
    for file in with_configcrates {
        complete &= read_file(file, FileKind::Configcrates, registry, &mut policy, out);
    }
    with_blocks.sort_by(|one, other| order(one.path).cmp(&order(other.path)));
    for file in with_blocks {
        complete &= read_file(file, FileKind::Blocks, registry, &mut policy, out);
    }
    policy.commons.sort_by_key(|common| depth(&common.folder));
    policy.environments.sort_by_key(|environment| depth(&environment.folder));
    index_configcrates(&mut policy, out);
    Stacks { policy, complete }
}

/// YAML under another name, where `.vgo` files stand.
fn misnamed(file: &TreeFile<'_>) -> Option<Diagnostic> {
    let crates = file.path.starts_with("configcrates/") || file.path.starts_with("usercrates/");
    let yaml = file.path.ends_with(".yml") || file.path.ends_with(".yaml");
    (crates && yaml).then(|| {
        let span = Span { file: file.number, ..Span::default() };
        Diagnostic::new(Code::UnknownFile, span, "nothing reads this file: its name does not end with `.vgo`")
            .help("rename it, or move it out of the folder")
    })
}

fn depth(folder: &str) -> usize {
    if folder.is_empty() { 0 } else { 1 + folder.matches('/').count() }
}

/// Subfolders before their folder, names in byte order, `envoys.vgo` last in its folder: a key by which paths sort that way.
fn order(path: &str) -> Vec<(u8, &str)> {
    let mut parts: Vec<(u8, &str)> = path.split('/').map(|part| (0, part)).collect();
    if let Some(last) = parts.last_mut() {
        last.0 = if last.1 == "envoys.vgo" { 2 } else { 1 };
    }
    parts
}

fn read_file(
    file: TreeFile<'_>,
    kind: FileKind,
    registry: &Registry,
    policy: &mut Policy,
    out: &mut Vec<Diagnostic>,
) -> bool {
    let Parsed { root, diagnostics, complete } = parse(file.number, file.bytes);
    out.extend(diagnostics);
    let Ok(source) = std::str::from_utf8(file.bytes) else { return complete };
    let mut reader = Reader { path: file.path, source, user: kind == FileKind::Usercrate, out };
    if root.kind == Kind::Invalid {
        return false;
    }
    if root.kind == Kind::Null {
        let start = Span { file: file.number, start: 0, end: 0, position: Position { line: 1, column: 1 } };
        let help = match kind {
            FileKind::Configcrates | FileKind::Usercrate => {
                "write `configcrate: NAME` and `resources:`, or remove the file"
            }
            _ => "write its keys, or remove the file",
        };
        // An empty common.vgo and the like say nothing, and that is something one can mean.
        if matches!(kind, FileKind::Configcrates | FileKind::Usercrate) {
            reader.report(Code::MissingKey, start, "the file is empty", help);
        }
        return complete;
    }
    match kind {
        FileKind::Configcrates => read_configcrates(&mut reader, &root, registry, policy),
        FileKind::Usercrate => configcrate::read_usercrate(&mut reader, &root, registry),
        FileKind::Common => policy.commons.extend(blocks::read_common(&mut reader, &root)),
        FileKind::Environments => policy.environments.extend(blocks::read_environments(&mut reader, &root)),
        FileKind::Roles => read_roles(&mut reader, &root, policy),
        FileKind::Blocks => policy.blocks.extend(blocks::read_blocks(&mut reader, &root)),
        FileKind::Template | FileKind::Other => {}
    }
    complete
}

fn read_configcrates(reader: &mut Reader<'_>, root: &Node, registry: &Registry, policy: &mut Policy) {
    let one = std::slice::from_ref(root);
    let nodes = if let Kind::List(items) = &root.kind { items.as_slice() } else { one };
    policy.configcrates.extend(nodes.iter().filter_map(|node| configcrate::read(reader, node, registry)));
}

fn read_roles(reader: &mut Reader<'_>, root: &Node, policy: &mut Policy) {
    if !reader.folder().is_empty() {
        let help = "move its roles to the `roles.vgo` in the root of the stacks";
        reader.report(Code::UnknownFile, root.span, "roles are read in the root of the stacks only", help);
        return;
    }
    for role in blocks::read_roles(reader, root) {
        if let Some(first) = policy.roles.get(&role.name.name) {
            let message = format!("there are two roles `{}`", role.name.name);
            let first = first.name.span;
            reader.out.push(
                Diagnostic::new(Code::DuplicateName, role.name.span, message).related(first, "the first one"),
            );
            continue;
        }
        policy.roles.insert(role.name.name.clone(), role);
    }
}

fn index_configcrates(policy: &mut Policy, out: &mut Vec<Diagnostic>) {
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let all: Vec<Configcrate> = std::mem::take(&mut policy.configcrates);
    for configcrate in all {
        let name = configcrate.name.clone();
        if let Some(first) = by_name.get(&name.name).and_then(|index| policy.configcrates.get(*index)) {
            let message = format!("there are two configcrates `{}`", name.name);
            let help = "configcrates are found by name: give one of them another";
            out.push(
                Diagnostic::new(Code::DuplicateName, name.span, message)
                    .related(first.name.span, "the first one")
                    .help(help),
            );
            continue;
        }
        by_name.insert(name.name, policy.configcrates.len());
        policy.configcrates.push(configcrate);
    }
    policy.by_name = by_name;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfolders_come_first_and_envoys_vgo_last() {
        let mut paths = ["envoys.vgo", "a.vgo", "z/b.vgo", "z/envoys.vgo", "z/y/c.vgo", "b/x.vgo", "zz.vgo"];
        paths.sort_by(|one, other| order(one).cmp(&order(other)));
        assert_eq!(
            paths,
            ["b/x.vgo", "z/y/c.vgo", "z/b.vgo", "z/envoys.vgo", "a.vgo", "zz.vgo", "envoys.vgo"]
        );
    }
}
