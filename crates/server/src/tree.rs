//! A tree of policy files as it is stored, and the table of what its match blocks came to.

use crate::published::Published;
use prost::Message as _;
use vigo_policy::Tree;

/// The format that this build writes.
const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredTree {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, repeated, tag = "2")]
    files: Vec<StoredFile>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredFile {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

/// Which match block came to which bundle, in order: for people who look at the store; the server compiles again.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredIndex {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, repeated, tag = "2")]
    blocks: Vec<StoredBlock>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredBlock {
    #[prost(string, tag = "1")]
    origin: String,
    #[prost(string, tag = "2")]
    environment: String,
    #[prost(bytes = "vec", tag = "3")]
    bundle: Vec<u8>,
}

/// The bytes of a tree: equal trees have equal ones.
#[must_use]
pub fn encode(tree: &Tree) -> Vec<u8> {
    let file =
        |file: vigo_syntax::TreeFile<'_>| StoredFile { path: file.path.into(), content: file.bytes.into() };
    StoredTree { format: FORMAT, files: tree.files().map(file).collect() }.encode_to_vec()
}

/// Reads what [`encode`] wrote; `None` if it is something else.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Tree> {
    let stored = StoredTree::decode(bytes).ok().filter(|stored| stored.format == FORMAT)?;
    let mut tree = Tree::default();
    for file in stored.files {
        tree.insert(file.path, file.content).ok()?;
    }
    Some(tree)
}

/// The bytes of the table.
#[must_use]
pub fn encode_index(published: &Published) -> Vec<u8> {
    let block = |block: &crate::published::Block| StoredBlock {
        origin: block.origin.clone(),
        environment: block.environment.clone(),
        bundle: block.digest.as_bytes().to_vec(),
    };
    StoredIndex { format: FORMAT, blocks: published.blocks().iter().map(block).collect() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_tree_reads_back_as_itself() {
        let mut tree = Tree::default();
        tree.insert("envoys.vgo", "envoys: []\n").unwrap();
        tree.insert("templates/a.j2", "ä\0").unwrap();
        assert_eq!(decode(&encode(&tree)), Some(tree));
        assert_eq!(decode(b"garbage"), None);
        assert_eq!(decode(&StoredTree { format: 2, files: vec![] }.encode_to_vec()), None);
    }
}
