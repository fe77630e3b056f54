//! Files in their place, and what a kill leaves at every step.

#![allow(clippy::disallowed_types)]

use super::step::hook;
use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the child of the kill test works; without it that test is a test like others.
const FOLDER: &str = "VIGO_TEST_PLACE_FOLDER";
const OLD: &str = "the old content";
const NEW: &str = "the new content, which is longer";

struct Place {
    folder: tempfile::TempDir,
    intents: Intents,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let intents = Intents::open(&folder.path().join("intents")).unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        Self { folder, intents }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("etc").join(name)
    }

    fn placement(&self, name: &str) -> Placement {
        placement(&self.path(name))
    }

    fn place(&self, placement: &Placement) -> Result<Placed, TargetError> {
        place(&self.intents, placement, &mut |out| out.write_all(NEW.as_bytes()))
    }

    fn names(&self) -> Vec<String> {
        names(&self.folder.path().join("etc"))
    }
}

fn placement(path: &Path) -> Placement {
    Placement {
        path: path.to_str().unwrap().parse().unwrap(),
        mode: Mode::from_bits(0o640),
        owner: None,
        group: None,
        in_place: false,
        closed: false,
        durability: Durability::Each,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_is_created_replaced_and_written_in_place() {
    let place = Place::new();
    let path = place.path("a");
    let created = place.place(&place.placement("a")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
    assert_eq!(mode(&path), 0o640);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (created.device, created.inode, created.size),
        (metadata.dev(), metadata.ino(), metadata.len())
    );
    assert_eq!(created.changed, (metadata.ctime(), metadata.ctime_nsec()));

    fs::write(&path, format!("{OLD}{OLD}{OLD}{OLD}")).unwrap();
    let replaced = place.place(&Placement { mode: Mode::SECRET, ..place.placement("a") }).unwrap();
    assert_ne!(replaced.inode, created.inode);
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (NEW, 0o600));

    fs::write(&path, format!("{OLD}{OLD}{OLD}{OLD}")).unwrap();
    let in_place = place.place(&Placement { in_place: true, ..place.placement("a") }).unwrap();
    assert_eq!(in_place.inode, replaced.inode);
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (NEW, 0o640));
    assert_eq!(place.names(), ["a"]);
    assert!(names(&place.folder.path().join("intents")).is_empty());
}

#[test]
fn the_candidate_has_its_mode_before_its_first_byte_and_no_name() {
    let place = Place::new();
    fs::write(place.path("a"), OLD).unwrap();
    for name in ["a", "b"] {
        let before = place.names();
        let mut seen = false;
        super::place(&place.intents, &place.placement(name), &mut |out| {
            assert_eq!(place.names(), before);
            for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
                let Ok(link) = fs::read_link(entry.path()) else { continue };
                if link.starts_with(place.folder.path()) && link.to_str().unwrap().ends_with("(deleted)") {
                    let metadata = fs::metadata(entry.path()).unwrap();
                    assert_eq!((metadata.mode() & 0o7777, metadata.len()), (0o640, 0));
                    seen = true;
                }
            }
            out.write_all(b"x")
        })
        .unwrap();
        assert!(seen, "{name}: no candidate was found");
    }
}

#[test]
fn what_is_no_plain_file_is_refused_and_untouched() {
    let place = Place::new();
    fs::write(place.path("real"), OLD).unwrap();
    symlink("real", place.path("link")).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("one"), OLD).unwrap();
    fs::hard_link(place.path("one"), place.path("two")).unwrap();
    assert!(matches!(place.place(&place.placement("link")), Err(TargetError::Link(_))));
    assert!(matches!(place.place(&place.placement("folder")), Err(TargetError::NotAFile(_))));
    let linked = place.place(&place.placement("one")).unwrap_err();
    assert!(matches!(linked, TargetError::Linked { links: 2, .. }));
    assert!(linked.to_string().contains("in_place: true"), "{linked}");
    assert_eq!(linked.blame(), Blame::Author);
    assert!(matches!(place.place(&place.placement("none/a")), Err(TargetError::Folder { .. })));
    for name in ["real", "one"] {
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), OLD);
    }
    place.place(&Placement { in_place: true, ..place.placement("one") }).unwrap();
    assert_eq!(fs::read_to_string(place.path("two")).unwrap(), NEW);
    assert_eq!(place.names(), ["folder", "link", "one", "real", "two"]);
}

#[test]
fn a_bind_mounted_file_is_refused_unless_in_place() {
    let place = Place::new();
    fs::write(place.path("source"), OLD).unwrap();
    fs::write(place.path("target"), OLD).unwrap();
    let child = |folder: &Path| {
        let own = std::env::current_exe().unwrap();
        format!(
            "mount --bind {0}/etc/source {0}/etc/target && exec {1} --exact target::tests::child_in_a_mount_namespace --nocapture",
            folder.display(),
            own.display()
        )
    };
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &child(place.folder.path())])
        .env(FOLDER, place.folder.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(place.path("source")).unwrap(), NEW, "written in place, through the mount");
    assert_eq!(fs::read_to_string(place.path("target")).unwrap(), OLD);
    assert_eq!(place.names(), ["source", "target"]);
}

#[test]
fn child_in_a_mount_namespace() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let intents = Intents::open(&folder.join("intents")).unwrap();
    let target = folder.join("etc/target");
    let write = |placement: &Placement| place(&intents, placement, &mut |out| out.write_all(NEW.as_bytes()));
    assert!(matches!(write(&placement(&target)), Err(TargetError::Mounted(_))));
    write(&Placement { in_place: true, ..placement(&target) }).unwrap();
}

#[test]
fn a_failing_content_leaves_the_old_file_and_nothing_beside_it() {
    let place = Place::new();
    fs::write(place.path("a"), OLD).unwrap();
    for name in ["a", "b"] {
        let result = super::place(&place.intents, &place.placement(name), &mut |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(matches!(result, Err(TargetError::Step { action: "write", .. })));
    }
    assert_eq!(place.names(), ["a"]);
    assert_eq!(fs::read_to_string(place.path("a")).unwrap(), OLD);
    assert!(names(&place.folder.path().join("intents")).is_empty());
}

/// acl(5) as xattr(7) holds it: version 2; user rw-, users from 12345 on r--, group r--, mask r--, other ---.
fn access_list(users: u32) -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    let named = (12_345..12_345 + users).map(|user| (2_u16, 4_u16, user));
    let own = std::iter::once((1, 6, u32::MAX));
    let rest = [(4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    for (tag, permissions, id) in own.chain(named).chain(rest) {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn the_access_list_goes_over_to_the_successor() {
    the_list_goes_over(&access_list(1));
}

#[test]
fn an_access_list_of_more_than_a_page_goes_over_to_the_successor() {
    the_list_goes_over(&access_list(1000));
}

fn the_list_goes_over(list: &[u8]) {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let place = Place::new();
    let path = place.path("a");
    fs::write(&path, OLD).unwrap();
    if let Err(errno) = setxattr(&path, "system.posix_acl_access", list, XattrFlags::empty()) {
        // ext4 has room for a block.
        assert!(list.len() > 4000, "{errno}");
        eprintln!("left out: the file system takes no access list of {} bytes: {errno}", list.len());
        return;
    }
    place.place(&place.placement("a")).unwrap();
    let mut found = vec![0; 64 << 10];
    let length = getxattr(&path, "system.posix_acl_access", found.as_mut_slice()).unwrap();
    assert_eq!(&found[..length], list);
    assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
}

#[test]
fn a_closed_file_has_no_access_list_of_the_old_file_or_of_its_folder() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let place = Place::new();
    let listed = |path: &Path| {
        let mut found = vec![0; 64 << 10];
        getxattr(path, "system.posix_acl_access", found.as_mut_slice()).is_ok()
    };
    let folder = place.folder.path().join("etc");
    for name in ["a", "c"] {
        fs::write(place.path(name), OLD).unwrap();
        setxattr(place.path(name), "system.posix_acl_access", &access_list(1), XattrFlags::empty()).unwrap();
    }
    setxattr(&folder, "system.posix_acl_default", &access_list(1), XattrFlags::empty()).unwrap();
    // The control is the ordinary file, which keeps its list, or gets that of its folder.
    let cases =
        [(false, "a", false), (false, "b", false), (true, "a", false), (true, "d", false), (true, "c", true)];
    for (closed, name, in_place) in cases {
        let placement = Placement { closed, in_place, ..place.placement(name) };
        let mut looked_at = 0;
        super::place(&place.intents, &placement, &mut |out| {
            for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
                let Ok(link) = fs::read_link(entry.path()) else { continue };
                let is_below = link.starts_with(&folder) && link != folder;
                if is_below && fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
                    assert_eq!(listed(&entry.path()), !closed, "{name}: before its first byte");
                    looked_at += 1;
                }
            }
            out.write_all(NEW.as_bytes())
        })
        .unwrap();
        assert!(looked_at > 0, "{name}: no candidate was found");
        assert_eq!(listed(&place.path(name)), !closed, "{name}");
        assert_eq!(mode(&place.path(name)), 0o640);
    }
}

#[test]
fn an_access_list_that_a_stranger_set_does_not_go_over() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root gives files away");
        return;
    }
    let place = Place::new();
    for (owner, wanted, stays) in [(61_001, 0, false), (61_001, 61_001, true), (0, 0, true)] {
        let path = place.path("a");
        fs::write(&path, OLD).unwrap();
        setxattr(&path, "system.posix_acl_access", &access_list(1), XattrFlags::empty()).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        place.place(&Placement { owner: Some(wanted), ..place.placement("a") }).unwrap();
        let mut found = vec![0; 64 << 10];
        let listed = getxattr(&path, "system.posix_acl_access", found.as_mut_slice()).is_ok();
        assert_eq!(listed, stays, "{owner} {wanted}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_staged_file_stands_beside_its_target_until_it_takes_its_place_or_is_thrown_away() {
    let place = Place::new();
    let stage = |name: &str| {
        super::stage(&place.intents, &place.placement(name), &mut |out| out.write_all(NEW.as_bytes()))
    };
    fs::write(place.path("a"), OLD).unwrap();
    for name in ["a", "b"] {
        let staged = stage(name).unwrap();
        assert_eq!(fs::read_to_string(staged.path()).unwrap(), NEW);
        assert_eq!(mode(&staged.path()), 0o640);
        staged.discard(&place.intents).unwrap();
        assert_eq!(place.names(), ["a"]);
        assert_eq!(fs::read_to_string(place.path("a")).unwrap(), OLD);
    }
    for name in ["a", "b"] {
        let placed = stage(name).unwrap().commit(&place.intents).unwrap();
        assert_eq!(placed.inode, fs::metadata(place.path(name)).unwrap().ino());
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), NEW);
    }
    assert_eq!(place.names(), ["a", "b"]);
    assert!(names(&place.folder.path().join("intents")).is_empty());
    // A new name that somebody takes meanwhile stays theirs.
    let staged = stage("c").unwrap();
    fs::write(place.path("c"), OLD).unwrap();
    assert!(matches!(staged.commit(&place.intents), Err(TargetError::Appeared(_))));
    assert_eq!(fs::read_to_string(place.path("c")).unwrap(), OLD);
    // One that is forgotten is removed by the next start.
    drop(stage("a").unwrap());
    assert_eq!(place.names().len(), 4);
    place.intents.recover().unwrap();
    assert_eq!(place.names(), ["a", "b", "c"]);
    let in_place = Placement { in_place: true, ..place.placement("a") };
    assert!(matches!(super::stage(&place.intents, &in_place, &mut |_| Ok(())), Err(TargetError::InPlace(_))));
}

#[test]
fn set_user_bits_survive_the_content() {
    let place = Place::new();
    place.place(&Placement { mode: Mode::from_bits(0o4750), ..place.placement("a") }).unwrap();
    assert_eq!(mode(&place.path("a")), 0o4750);
}

#[test]
fn a_key_is_never_written_over() {
    let place = Place::new();
    let write = || create(&place.placement("key"), &mut |out| out.write_all(NEW.as_bytes()));
    write().unwrap();
    assert!(matches!(write(), Err(TargetError::Appeared(_))));
    assert_eq!(fs::read_to_string(place.path("key")).unwrap(), NEW);
}

#[test]
fn recovery_removes_only_what_an_intent_names_and_what_is_still_the_same_file() {
    let place = Place::new();
    let folder = place.folder.path().join("etc");
    let name = |number: u8| format!(".vigo-{:032x}", number);
    let own = |number: u8| folder.join(name(number));
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).unwrap();
    for number in 1..=4 {
        fs::write(own(number), "x").unwrap();
    }
    let forget = |result: Result<super::intents::Intent, TargetError>| drop(result.unwrap());
    forget(place.intents.record(&folder, &name(1), Some(identity(&own(1))), true));
    forget(place.intents.record(&folder, &name(2), None, true));
    // Another file has taken this name, and this one is named by nobody.
    forget(place.intents.record(&folder, &name(3), Some((1, 1)), true));
    forget(place.intents.record(&folder.join("gone"), &name(5), None, true));
    fs::write(place.folder.path().join("intents/torn"), "vigo-intent 1\0").unwrap();
    fs::write(place.folder.path().join("intents/bad"), "vigo-intent 1\x000\x000\0passwd\0/etc\0end").unwrap();
    let recovered = place.intents.recover().unwrap();
    assert!(recovered.problems.is_empty(), "{:?}", recovered.problems);
    let mut removed = recovered.removed;
    removed.sort();
    assert_eq!(removed, [own(1), own(2)]);
    assert_eq!(place.names(), [name(3), name(4)]);
    assert!(names(&place.folder.path().join("intents")).is_empty());
}

#[test]
fn a_folder_of_intents_that_others_may_write_to_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Intents::open(folder.path()), Err(TargetError::Intent { .. })));
}

/// The child: places a file and is killed at the step that its environment names.
#[test]
fn child_of_the_kill_test() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    if std::env::var_os(hook::VARIABLE).is_none() {
        return;
    }
    let intents = Intents::open(&folder.join("intents")).unwrap();
    place(&intents, &placement(&folder.join("etc/a")), &mut |out| out.write_all(NEW.as_bytes())).unwrap();
}

/// Kills a process that places a file at step 1, 2, 3 and so on, until one gets through; gives the number of steps.
fn kill_at_every_step(old: Option<&str>, without_nameless: bool) -> usize {
    for step in 1.. {
        let place = Place::new();
        let path = place.path("a");
        if let Some(old) = old {
            fs::write(&path, old).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "target::tests::child_of_the_kill_test", "--nocapture"]);
        child.env(FOLDER, place.folder.path()).env(hook::VARIABLE, step.to_string());
        if without_nameless {
            child.env(hook::WITHOUT_NAMELESS, "1");
        }
        let output = child.output().unwrap();
        let at = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.signal() != Some(9) {
            assert!(output.status.success(), "{at}");
            assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
            assert_eq!(place.names(), ["a"]);
            return step - 1;
        }
        // The old one, or the new one, and whole; beside it at most one file of the same mode.
        match fs::read_to_string(&path) {
            Ok(found) => assert!(Some(found.as_str()) == old || found == NEW, "{at}: {found}"),
            Err(_) => assert!(old.is_none(), "{at}: it is gone"),
        }
        let beside: Vec<String> = place.names().into_iter().filter(|name| name != "a").collect();
        assert!(beside.len() <= 1, "{at}: {beside:?}");
        for name in &beside {
            let content = fs::read_to_string(place.path(name)).unwrap();
            assert!(
                content.is_empty() || mode(&place.path(name)) == 0o640,
                "{at}: mode {:o}",
                mode(&place.path(name))
            );
        }
        let recovered = place.intents.recover().unwrap();
        assert!(recovered.problems.is_empty(), "{at}: {:?}", recovered.problems);
        let left: Vec<String> = place.names().into_iter().filter(|name| name != "a").collect();
        assert!(left.is_empty(), "{at}: {left:?} is left");
        assert!(names(&place.folder.path().join("intents")).is_empty(), "{at}: an intent is left");
    }
    0
}

#[test]
fn a_kill_at_any_step_leaves_the_old_file_or_the_new_one_and_nothing_else_after_recovery() {
    assert!(kill_at_every_step(None, false) >= 8, "a new file");
    assert!(kill_at_every_step(Some(OLD), false) >= 14, "a file that is replaced");
    assert!(kill_at_every_step(None, true) >= 10, "a new file, without nameless files");
    assert!(kill_at_every_step(Some(OLD), true) >= 10, "a replaced file, without nameless files");
}
