//! Against git itself, which makes the repositories.
#![allow(clippy::disallowed_types)]

use super::*;
use std::process::Command;
use tempfile::TempDir;

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with a stacks folder in it, committed.
fn repository() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    git(place.path(), &["init", "-q", "-b", "main"]);
    fs::create_dir_all(place.path().join("stacks/templates")).unwrap();
    fs::write(place.path().join("stacks/envoys.vgo"), "envoys: []\n").unwrap();
    fs::write(place.path().join("stacks/templates/a.j2"), "a\n").unwrap();
    fs::write(place.path().join("README"), "r\n").unwrap();
    git(place.path(), &["add", "."]);
    git(place.path(), &["commit", "-qm", "first"]);
    place
}

fn stacks(place: &TempDir) -> PathBuf {
    place.path().join("stacks")
}

#[test]
fn a_committed_folder_is_at_its_commit_and_clean() {
    let place = repository();
    let commit = git(place.path(), &["rev-parse", "HEAD"]);
    assert_eq!(state(&stacks(&place)), Some(State { commit: commit.clone(), dirty: false }));
    git(place.path(), &["pack-refs", "--all"]);
    assert_eq!(state(&stacks(&place)).unwrap().commit, commit, "in packed references too");
    git(place.path(), &["checkout", "-q", "--detach"]);
    assert_eq!(state(&stacks(&place)), Some(State { commit, dirty: false }), "without a branch too");
}

#[test]
fn every_kind_of_change_makes_it_dirty() {
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 5] = [
        ("edited", |top| fs::write(top.join("stacks/envoys.vgo"), "envoys: [ ]\n").unwrap()),
        ("removed", |top| fs::remove_file(top.join("stacks/templates/a.j2")).unwrap()),
        ("untracked", |top| fs::write(top.join("stacks/roles.vgo"), "roles: []\n").unwrap()),
        ("staged", |top| {
            fs::write(top.join("stacks/envoys.vgo"), "envoys: [  ]\n").unwrap();
            git(top, &["add", "stacks/envoys.vgo"]);
        }),
        ("removed from the index", |top| {
            git(top, &["rm", "-q", "--cached", "stacks/envoys.vgo"]);
        }),
    ];
    for (name, change) in changes {
        let place = repository();
        change(place.path());
        assert!(state(&stacks(&place)).unwrap().dirty, "{name}");
    }
}

#[test]
fn what_lies_beside_the_folder_does_not_make_it_dirty() {
    let place = repository();
    fs::write(place.path().join("README"), "changed").unwrap();
    fs::write(stacks(&place).join("notes.txt"), "not published").unwrap();
    assert!(!state(&stacks(&place)).unwrap().dirty);
}

#[test]
fn every_version_of_the_index_is_read() {
    for version in ["2", "3", "4"] {
        let place = repository();
        git(place.path(), &["update-index", "--index-version", version]);
        assert!(!state(&stacks(&place)).unwrap().dirty, "version {version}");
        fs::write(stacks(&place).join("envoys.vgo"), "x").unwrap();
        assert!(state(&stacks(&place)).unwrap().dirty, "version {version}");
    }
}

#[test]
fn a_linked_working_tree_is_read_too() {
    let place = repository();
    let linked = place.path().join("linked");
    git(place.path(), &["worktree", "add", "-q", "-b", "other", linked.to_str().unwrap()]);
    let commit = git(place.path(), &["rev-parse", "HEAD"]);
    assert_eq!(state(&linked.join("stacks")), Some(State { commit, dirty: false }));
}

#[test]
fn a_folder_outside_git_and_a_repository_without_commits_have_no_state() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(state(place.path()), None);
    git(place.path(), &["init", "-q"]);
    assert_eq!(state(place.path()), None);
}

#[test]
fn a_damaged_index_is_dirty_and_a_reference_that_leads_out_is_nothing() {
    let place = repository();
    let index = place.path().join(".git/index");
    let bytes = fs::read(&index).unwrap();
    for length in [0, 3, 11, 40, bytes.len() - 30] {
        fs::write(&index, &bytes[..length]).unwrap();
        assert!(state(&stacks(&place)).unwrap().dirty, "{length} bytes");
    }
    fs::write(place.path().join(".git/HEAD"), "ref: ../../../etc/hostname\n").unwrap();
    assert_eq!(state(&stacks(&place)), None);
}
