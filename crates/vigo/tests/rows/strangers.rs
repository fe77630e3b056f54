//! Files that somebody else put where a secret is to go, and what others did to one afterwards.

use crate::node::{Node, canaries};
use rustix::fs::{XattrFlags, chown, lgetxattr_query, setxattr};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use vigo_testkit::scan::Kind;

const STRANGER: u32 = 61_001;
const LIST: &str = "system.posix_acl_access";

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("{test}: NOT tried, only root makes files of others");
    }
    is_root
}

/// acl(5) as xattr(7) holds it: version 2; user rw-, the stranger r--, group ---, mask r--, other ---.
fn list() -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, STRANGER), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

fn file(more: &str) -> String {
    format!(
        "  - type: file\n    target_path: \"{{{{ vars.root }}}}/app.conf\"\n    content: \"token = secret:app/token\\n\"\n{more}"
    )
}

#[test]
fn an_access_list_on_a_file_with_a_secret_is_drift_and_goes() {
    if !is_root("an_access_list_on_a_file_with_a_secret_is_drift_and_goes") {
        return;
    }
    let mut node = Node::new();
    let [value, _] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    node.policy("", &file(""));
    assert_eq!(node.apply(&[]).code, 0);
    let path = node.world.root().join("app.conf");
    assert_eq!(node.apply(&["--detailed-exit-code"]).code, 0);
    setxattr(&path, LIST, &list(), XattrFlags::empty()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(lgetxattr_query(&path, LIST).is_ok(), "the control");
    let ended = node.apply(&["--detailed-exit-code"]);
    assert_eq!(ended.code, 6, "{} {}", ended.out, ended.err);
    assert!(ended.out.contains("take away its access list"), "{}", ended.out);
    assert!(lgetxattr_query(&path, LIST).is_err());
    assert_eq!(node.apply(&["--detailed-exit-code"]).code, 0);
}

#[test]
fn a_file_of_a_stranger_gets_no_secret_unless_the_policy_names_its_owner() {
    if !is_root("a_file_of_a_stranger_gets_no_secret_unless_the_policy_names_its_owner") {
        return;
    }
    let mut node = Node::new();
    let [value, _] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    let path = node.world.root().join("app.conf");
    let user = |number| Some(rustix::process::Uid::from_raw(number));
    let plant = || {
        fs::write(&path, "mine").unwrap();
        let group = Some(rustix::process::Gid::from_raw(STRANGER));
        chown(&path, user(STRANGER), group).unwrap();
    };
    plant();
    node.policy("", &file(""));
    let ended = node.apply(&[]);
    assert_eq!(ended.code, 5, "{} {}", ended.out, ended.err);
    assert!(ended.out.contains("whom the policy does not name"), "{}", ended.out);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    node.policy("", &file("    owner: 0\n    mode: \"0640\"\n"));
    let ended = node.apply(&[]);
    assert_eq!(ended.code, 0, "{} {}", ended.out, ended.err);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o640));
}

#[test]
fn a_file_that_others_could_read_gets_no_secret_in_place() {
    let mut node = Node::new();
    let [value, _] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    let path = node.world.root().join("app.conf");
    node.policy("", &file("    in_place: true\n"));
    for (mode, code) in [(0o644, 5), (0o600, 0)] {
        fs::write(&path, "open").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let ended = node.apply(&[]);
        assert_eq!(ended.code, code, "{mode:o}: {} {}", ended.out, ended.err);
        assert_eq!(fs::read(&path).unwrap() == b"open", code != 0);
        assert_eq!(ended.out.contains("others could read it"), code != 0, "{}", ended.out);
    }
}
