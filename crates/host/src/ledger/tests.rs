//! What the ledger remembers, over names, folders, restarts and kills.

use super::*;
use std::time::Duration;
use vigo_base::Pieces;
use vigo_resource::OutputRule;

fn command(text: &str, folder: &str, variable: &str, stdin: Option<&str>) -> CommandRequest {
    CommandRequest {
        line: CommandLine::Shell { shell: "/bin/sh".parse().unwrap(), text: Pieces::literal(text) },
        user: None,
        group: None,
        folder: folder.parse().unwrap(),
        environment: vec![("FILE".to_owned(), Pieces::literal(variable))],
        allow_argv: false,
        credentials: Vec::new(),
        stdin: stdin.map(Pieces::literal),
        umask: 0o022,
        timeout: Duration::from_secs(20),
        output: OutputRule::Automatic,
        resource: "test:a".to_owned(),
    }
}

#[test]
fn a_command_names_a_file_by_its_path_or_by_folder_and_name_wherever_they_stand() {
    let place = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&place.path().join("state")).unwrap();
    let _ = ledger.taint(&"/etc/web/token".parse().unwrap(), &put(1)).unwrap();
    let names = |text, folder, variable, stdin| ledger.is_named_by(&command(text, folder, variable, stdin));
    assert!(names("grep x /etc/web/token | wc", "/", "", None));
    assert!(names("cat $FILE", "/", "/etc/web/token", None));
    assert!(names("xargs cat", "/", "", Some("/etc/web/token\n")));
    assert!(names("cat token", "/etc/web", "", None));
    assert!(names("cd /etc/web && cat ./token", "/", "", None));
    assert!(names("cat /etc/web//token", "/", "", None));
    assert!(!names("cat /etc/motd", "/", "", None));
    assert!(!names("/etc/web/reload --token-file x", "/", "", None));
    assert!(!names("cat token", "/srv", "", None));
}

fn put(version: u64) -> Put {
    Put::of([("web/token".parse().unwrap(), SecretVersion(version))].into())
}

/// A folder with a ledger beside it.
struct Files {
    place: tempfile::TempDir,
    ledger: Ledger,
}

impl Files {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("web")).unwrap();
        std::os::unix::fs::symlink("web", place.path().join("link")).unwrap();
        let ledger = Ledger::open(&place.path().join("state")).unwrap();
        Self { place, ledger }
    }

    fn path(&self, name: &str) -> AbsolutePath {
        self.place.path().join(name).to_str().unwrap().parse().unwrap()
    }

    fn reopen(&mut self) {
        self.ledger = Ledger::open(&self.place.path().join("state")).unwrap();
    }

    /// Puts a file there as the hand does: another one, which takes the place.
    fn put(&mut self, name: &str, secrets: Option<&Put>) {
        let path = self.path(name);
        let before = match secrets {
            Some(secrets) => self.ledger.taint(&path, secrets).unwrap(),
            None => Ledger::before(&path),
        };
        let candidate = self.path("candidate");
        std::fs::write(candidate.as_path(), "content").unwrap();
        std::fs::rename(candidate.as_path(), path.as_path()).unwrap();
        let Identity { device, inode, .. } = identity::standing_at(&path, false).unwrap().identity;
        let placed = Placed { device, inode, size: 7, changed: (0, 0) };
        match secrets {
            Some(secrets) => self.ledger.settle(&before, &placed, secrets).unwrap(),
            None => self.ledger.settle_plain(&before, &placed).unwrap(),
        }
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from).as_path(), self.path(to).as_path()).unwrap();
    }

    fn holds(&self, name: &str) -> bool {
        self.ledger.holds(&self.path(name))
    }

    fn versions(&self) -> Vec<u64> {
        let put = self.ledger.secrets();
        assert!(put.is_whole);
        put.secrets.into_iter().map(|(_, version)| version.0).collect()
    }
}

#[test]
fn a_file_is_tainted_under_every_name_and_by_every_way_to_its_folder() {
    let mut files = Files::new();
    files.put("link/token", Some(&put(1)));
    std::fs::write(files.path("web/other").as_path(), "x").unwrap();
    std::fs::hard_link(files.path("web/token").as_path(), files.path("name").as_path()).unwrap();
    for reopened in [false, true] {
        assert!(files.holds("web/token") && files.holds("link/token") && files.holds("name"));
        assert!(!files.holds("web/other") && !files.holds("link/other"), "reopened: {reopened}");
        files.reopen();
    }
    files.rename("web/token", "moved");
    assert!(files.holds("moved") && files.holds("name"));
    assert!(files.holds("link/token"), "what comes there next may be made of it");
    assert_eq!(files.versions(), [1]);
    assert_eq!(files.ledger.secrets_at(&files.path("moved")), put(1));
}

#[test]
fn a_command_names_a_file_also_through_a_link_and_after_it_was_moved() {
    let mut files = Files::new();
    files.put("web/token", Some(&put(1)));
    std::os::unix::fs::symlink("web/token", files.path("short").as_path()).unwrap();
    let link = files.path("link");
    let names =
        |files: &Files, text: &str, folder: &str| files.ledger.is_named_by(&command(text, folder, "", None));
    assert!(names(&files, &format!("cat {link}/token"), "/"));
    assert!(names(&files, "cat ./token", link.as_str()));
    assert!(names(&files, &format!("cd {link} && cat token"), "/"));
    assert!(names(&files, &format!("cat {}", files.path("short")), "/"));
    files.rename("web/token", "moved");
    assert!(names(&files, &format!("cat {}", files.path("moved")), "/"));
    assert!(!names(&files, &format!("cat {}", files.path("candidate")), "/"));
}

#[test]
fn what_was_replaced_is_forgotten_and_what_was_moved_away_is_not() {
    let mut files = Files::new();
    files.put("web/token", Some(&put(1)));
    files.put("web/token", Some(&put(2)));
    assert_eq!(files.versions(), [2], "the first is nowhere any more");
    files.rename("web/token", "old");
    files.put("link/token", Some(&put(3)));
    assert_eq!(files.versions(), [2, 3]);
    assert!(files.holds("old") && files.holds("web/token"));
    files.reopen();
    files.put("old", None);
    assert_eq!(files.versions(), [3], "replaced under the name that it was given");
    assert!(!files.holds("old"));
    files.put("web/token", None);
    assert!(files.ledger.is_empty() && !files.holds("web/token"));
    files.reopen();
    assert!(files.ledger.is_empty());
}

#[test]
fn a_removed_file_is_forgotten_when_it_had_no_other_name() {
    let mut files = Files::new();
    files.put("web/token", Some(&put(1)));
    std::fs::hard_link(files.path("web/token").as_path(), files.path("name").as_path()).unwrap();
    for (name, left) in [("web/token", 1), ("name", 0)] {
        let before = Ledger::before(&files.path(name));
        std::fs::remove_file(files.path(name).as_path()).unwrap();
        files.ledger.forget(&before).unwrap();
        assert_eq!((files.holds("name"), files.versions().len()), (left == 1, left), "{name}");
        std::fs::write(files.path("web/token").as_path(), "another").unwrap();
        assert!(!files.holds("web/token"));
        files.reopen();
    }
    assert!(files.ledger.is_empty());
}

#[test]
fn an_inode_that_another_file_has_by_now_taints_nothing() {
    let mut files = Files::new();
    files.put("web/token", Some(&put(1)));
    let token = files.path("web/token");
    let real = identity::standing_at(&token, false).unwrap().identity;
    assert!(real.born.is_some(), "this file system does not say when a file was made");
    let path = identity::in_real_folder(&token).to_string();
    let secrets = put(1).written();
    let another = Identity { born: Some((1, 1)), ..real };
    files.ledger.put(&path, vec![Tainted { file: Some(another), secrets }]);
    files.rename("web/token", "reused");
    assert!(!files.holds("reused"));
    files.put("web/token", Some(&put(2)));
    files.rename("reused", "web/token");
    files.put("web/token", Some(&put(3)));
    assert!(files.holds("web/token"));
}

#[test]
fn what_a_killed_run_was_about_to_write_is_tainted_whatever_stands_there() {
    let mut files = Files::new();
    files.put("web/token", Some(&put(1)));
    let _ = files.ledger.taint(&files.path("link/token"), &put(2)).unwrap();
    files.reopen();
    assert_eq!(files.versions(), [1, 2]);
    files.rename("web/token", "moved");
    assert!(files.holds("moved"));
    files.put("moved", Some(&put(3)));
    assert_eq!(files.versions(), [3], "it is one file");
}

#[test]
fn a_ledger_of_format_1_is_read_and_its_files_are_looked_at() {
    let mut files = Files::new();
    std::fs::write(files.path("web/token").as_path(), "x").unwrap();
    let folder = Folder::open(&files.place.path().join("state")).unwrap();
    let (token, gone) = (files.path("link/token"), files.path("web/gone"));
    folder.write("ledger", format!("{{\"format\":1,\"targets\":[\"{token}\"]}}").as_bytes()).unwrap();
    folder.append("ledger.since", format!("{{\"taint\":\"{gone}\"}}").as_bytes(), true).unwrap();
    for _ in 0..2 {
        files.reopen();
        assert!(files.holds("web/token") && files.holds("link/token") && files.holds("web/gone"));
        assert!(!files.ledger.secrets().is_whole, "it did not say what stands there");
    }
    files.ledger.found(&token, &put(4)).unwrap();
    files.ledger.forget(&Ledger::before(&gone)).unwrap();
    assert_eq!(files.versions(), [4]);
    files.rename("web/token", "moved");
    assert!(files.holds("moved"));
}

#[test]
fn what_could_not_be_written_down_is_no_taint() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let mut ledger = Ledger::open(&state).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    let path = "/etc/token".parse().unwrap();
    for _ in 0..2 {
        assert!(ledger.taint(&path, &put(1)).is_err(), "the second try must not take the first for done");
    }
}

#[test]
fn a_target_stays_tainted_over_a_restart_until_it_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let path: AbsolutePath = "/etc/token".parse().unwrap();
    let _ = Ledger::open(&state).unwrap().taint(&path, &put(1)).unwrap();
    let mut ledger = Ledger::open(&state).unwrap();
    assert!(ledger.holds(&path));
    ledger.forget(&Ledger::before(&path)).unwrap();
    assert!(!Ledger::open(&state).unwrap().holds(&path));
}

#[test]
fn a_target_is_added_by_a_line_and_what_a_crash_left_of_one_is_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let path = |name: usize| -> AbsolutePath { format!("/etc/{name}").parse().unwrap() };
    let mut ledger = Ledger::open(&state).unwrap();
    (0..100).for_each(|number| drop(ledger.taint(&path(number), &put(1)).unwrap()));
    ledger.forget(&Ledger::before(&path(7))).unwrap();
    assert!(!state.join("ledger").exists(), "it is not written anew for each");
    let since = state.join("ledger.since");
    let mut lines = std::fs::read(&since).unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 101);
    lines.extend_from_slice(b"{\"taint\":\"/etc/hal");
    std::fs::write(&since, lines).unwrap();
    let ledger = Ledger::open(&state).unwrap();
    assert!(ledger.holds(&path(99)) && !ledger.holds(&path(7)));
    assert!(!since.exists() && state.join("ledger").exists(), "put together once, at the start");
    assert!(Ledger::open(&state).unwrap().holds(&path(0)));
}

#[test]
fn a_ledger_of_a_later_version_stops_everything() {
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let folder = Folder::open(&state).unwrap();
    folder.write("ledger", b"{\"format\":3,\"targets\":[]}").unwrap();
    assert!(Ledger::open(&state).unwrap_err().help.contains("upgrade"));
}
