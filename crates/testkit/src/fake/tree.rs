//! The file system of the machine in memory. Hard links share a file; everything else is a plain map of paths.

use std::collections::BTreeMap;
use vigo_base::{AbsolutePath, Mode};
use vigo_resource::{Entry, EntryKind, Failure, Ownership, Timestamp};

/// Something that stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its mode.
    pub mode: Mode,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
}

/// What something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A file with that text.
    File(String),
    /// A folder.
    Folder,
    /// A symbolic link with that text.
    Symlink(String),
}

#[derive(Debug)]
pub(super) struct Tree {
    names: BTreeMap<AbsolutePath, u64>,
    nodes: BTreeMap<u64, (Node, i64)>,
    next: u64,
    clock: i64,
}

type Done = Result<(), Failure>;

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self { names: BTreeMap::new(), nodes: BTreeMap::new(), next: 1, clock: 1 };
        if let Ok(root) = "/".parse() {
            tree.insert(&root, folder(Mode::DIRECTORY, (0, 0)));
        }
        tree
    }
}

impl Tree {
    pub(super) fn put(&mut self, path: &AbsolutePath, node: Node) {
        if let Some(parent) = path.parent()
            && self.get(&parent).is_none()
        {
            self.put(&parent, folder(Mode::DIRECTORY, (0, 0)));
        }
        self.insert(path, node);
    }

    pub(super) fn get(&self, path: &AbsolutePath) -> Option<&Node> {
        self.names.get(path).and_then(|inode| self.nodes.get(inode)).map(|(node, _)| node)
    }

    pub(super) fn file(&self, path: &AbsolutePath) -> Option<&str> {
        match &self.get(path)?.kind {
            NodeKind::File(text) => Some(text),
            NodeKind::Folder | NodeKind::Symlink(_) => None,
        }
    }

    pub(super) fn entry(&self, path: &AbsolutePath) -> Option<Entry> {
        let inode = *self.names.get(path)?;
        let (node, changed) = self.nodes.get(&inode)?;
        let (kind, size, link_target) = match &node.kind {
            NodeKind::File(text) => (EntryKind::File, text.len(), None),
            NodeKind::Folder => (EntryKind::Folder, 0, None),
            NodeKind::Symlink(to) => (EntryKind::Symlink, to.len(), Some(to.clone())),
        };
        Some(Entry {
            kind,
            mode: node.mode,
            owner: node.owner,
            group: node.group,
            size: size as u64,
            device: 1,
            inode,
            links: self.names.values().filter(|other| **other == inode).count() as u64,
            changed_at: Timestamp { seconds: *changed, nanoseconds: 0 },
            link_target,
        })
    }

    pub(super) fn names(&self, folder: &AbsolutePath) -> Result<Vec<String>, Failure> {
        match self.get(folder).map(|node| &node.kind) {
            Some(NodeKind::Folder) => Ok(self
                .names
                .keys()
                .filter(|path| path.parent().as_ref() == Some(folder))
                .map(|path| path.file_name().to_owned())
                .collect()),
            _ => Err(Failure::failed(format!("cannot list `{folder}`: no such folder"))),
        }
    }

    pub(super) fn place(
        &mut self,
        path: &AbsolutePath,
        text: String,
        mode: Mode,
        owner: (u32, u32),
        in_place: bool,
    ) -> Done {
        self.require_parent(path)?;
        let node = Node { kind: NodeKind::File(text), mode, owner: owner.0, group: owner.1 };
        match (self.get(path).map(|node| &node.kind), in_place) {
            (Some(NodeKind::Folder), _) => Err(Failure::failed(format!("cannot write `{path}`: a folder"))),
            (Some(NodeKind::File(_)), true) => self.edit(path, |old| *old = node),
            _ => {
                self.unname(path);
                self.insert(path, node);
                Ok(())
            }
        }
    }

    pub(super) fn make_folder(&mut self, path: &AbsolutePath, mode: Mode, owner: (u32, u32)) -> Done {
        self.require_parent(path)?;
        if self.get(path).is_some() {
            return Err(Failure::failed(format!("cannot make `{path}`: it exists")));
        }
        self.insert(path, folder(mode, owner));
        Ok(())
    }

    pub(super) fn soft_link(&mut self, path: &AbsolutePath, to: &str, owner: (u32, u32)) -> Done {
        self.make_room(path)?;
        let kind = NodeKind::Symlink(to.into());
        self.insert(path, Node { kind, mode: Mode::from_bits(0o777), owner: owner.0, group: owner.1 });
        Ok(())
    }

    pub(super) fn hard_link(&mut self, path: &AbsolutePath, to: &AbsolutePath) -> Done {
        let inode = *self.names.get(to).ok_or_else(|| missing(to))?;
        self.make_room(path)?;
        self.names.insert(path.clone(), inode);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &AbsolutePath, folder: bool) -> Done {
        match self.get(path).map(|node| node.kind == NodeKind::Folder) {
            None => return Err(missing(path)),
            Some(is_folder) if is_folder != folder => {
                return Err(Failure::failed(format!("cannot remove `{path}`: of another kind")));
            }
            Some(true) if !self.names(path)?.is_empty() => {
                return Err(Failure::failed(format!("cannot remove `{path}`: it is not empty")));
            }
            Some(_) => {}
        }
        self.unname(path);
        Ok(())
    }

    pub(super) fn set_mode(&mut self, path: &AbsolutePath, mode: Mode) -> Done {
        self.edit(path, |node| node.mode = mode)
    }

    pub(super) fn set_owner(&mut self, path: &AbsolutePath, ownership: Ownership) -> Done {
        self.edit(path, |node| {
            node.owner = ownership.owner.unwrap_or(node.owner);
            node.group = ownership.group.unwrap_or(node.group);
        })
    }

    pub(super) fn snapshot(&self) -> String {
        let mut text = String::new();
        for path in self.names.keys() {
            if let Some(node) = self.get(path) {
                text.push_str(&format!(
                    "{path} {} {}:{} {:?}\n",
                    node.mode, node.owner, node.group, node.kind
                ));
            }
        }
        text
    }

    fn edit(&mut self, path: &AbsolutePath, change: impl FnOnce(&mut Node)) -> Done {
        self.clock += 1;
        let clock = self.clock;
        let inode = *self.names.get(path).ok_or_else(|| missing(path))?;
        let (node, changed) = self.nodes.get_mut(&inode).ok_or_else(|| missing(path))?;
        change(node);
        *changed = clock;
        Ok(())
    }

    fn insert(&mut self, path: &AbsolutePath, node: Node) {
        self.clock += 1;
        self.nodes.insert(self.next, (node, self.clock));
        self.names.insert(path.clone(), self.next);
        self.next += 1;
    }

    fn make_room(&mut self, path: &AbsolutePath) -> Done {
        self.require_parent(path)?;
        match self.get(path).map(|node| &node.kind) {
            Some(NodeKind::Folder) => Err(Failure::failed(format!("cannot link `{path}`: a folder"))),
            _ => {
                self.unname(path);
                Ok(())
            }
        }
    }

    fn unname(&mut self, path: &AbsolutePath) {
        if let Some(inode) = self.names.remove(path)
            && !self.names.values().any(|other| *other == inode)
        {
            self.nodes.remove(&inode);
        }
    }

    fn require_parent(&self, path: &AbsolutePath) -> Done {
        let parent = path.parent().ok_or_else(|| Failure::failed("cannot write `/`"))?;
        match self.get(&parent).map(|node| &node.kind) {
            Some(NodeKind::Folder) => Ok(()),
            _ => Err(Failure::failed(format!("cannot write `{path}`: no folder `{parent}`"))),
        }
    }
}

fn folder(mode: Mode, owner: (u32, u32)) -> Node {
    Node { kind: NodeKind::Folder, mode, owner: owner.0, group: owner.1 }
}

fn missing(path: &AbsolutePath) -> Failure {
    Failure::failed(format!("cannot find `{path}`"))
}
