//! What is left on a disk, and who could open it meanwhile.

use crate::node::{Node, canaries};
use crate::world::{binary, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

const TOKEN: &str = "  - name: token\n    type: file\n    target_path: \"{{ vars.root }}/token\"\n    content: \"secret:app/token\"\n";
/// Another user than ours.
const NOBODY: u32 = 65_534;

#[test]
fn a_file_that_was_replaced_twice_has_no_second_copy_and_no_digest_anywhere() {
    let mut node = Node::new();
    let values: [Canary; 3] = canaries(Kind::SixtyFour);
    node.policy("", TOKEN);
    for value in &values {
        node.set("app/token", &value.plain());
        node.apply(&[]).expect(0);
        node.apply(&["--dry-run", "--diff"]).expect(0);
    }
    let mut holding = Vec::new();
    for path in files_below(node.world.folder.path()) {
        let bytes = fs::read(&path).unwrap();
        let scanned = node.scan(
            Sink::Files,
            "a file",
            &[bytes.clone(), node.control.plain()].concat(),
            &values.each_ref(),
        );
        holding.extend(scanned.hits.iter().map(|hit| (hit.canary, path.clone())));
        // What could be tried out on a short value: its digest, as text or as it is.
        for value in values.iter().filter(|_| !path.starts_with(node.vault())) {
            for digest in digests(&value.plain()) {
                let has = |form: &[u8]| bytes.windows(form.len()).any(|part| part == form);
                assert!(
                    !has(digest.as_bytes()) && !has(&unhex(&digest)),
                    "a digest stands in {}",
                    path.display()
                );
            }
        }
    }
    // The last one in its target, and that is also the control.
    assert_eq!(holding, [(2, node.at("token"))]);
}

#[test]
fn no_file_of_ours_is_open_to_others_whatever_the_umask_is() {
    let mut node = Node::new();
    let [value] = canaries(Kind::SixtyFour);
    let open = |command: Command| {
        let mut words = Command::new("sh");
        words
            .args(["-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args());
        words.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        words
    };
    node.policy("", TOKEN);
    let vault = node.vault();
    let set = node.world.cli_command(&["secrets", "--vault", &vault, "set", "app/token"]);
    run(open(set), &value.plain()).expect(0);
    run(open(node.command(&[])), b"").expect(0);
    let ours = [node.world.path("agent"), node.world.path("vault"), node.at("token")];
    let mut seen = 0;
    for path in
        ours.iter().flat_map(|path| if path.is_dir() { everything_below(path) } else { vec![path.clone()] })
    {
        let metadata = fs::symlink_metadata(&path).unwrap();
        // A folder that nobody else may enter keeps what is in it.
        let closed = path.ancestors().take_while(|above| *above != node.world.folder.path());
        let closed = closed.into_iter().any(|above| fs::metadata(above).unwrap().mode() & 0o077 == 0);
        assert!(closed, "{} has mode {:o}", path.display(), metadata.mode() & 0o7777);
        seen += 1;
    }
    assert!(seen > 5, "{seen} files");
}

#[test]
fn nobody_else_can_open_a_file_with_a_secret_at_any_moment_of_its_replacement() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody watched with another user's eyes");
        return;
    }
    let mut node = Node::new();
    let values: [Canary; 12] = canaries(Kind::SixtyFour);
    let open = String::from_utf8(Canary::fresh(Kind::SixtyFour).unwrap().plain()).unwrap();
    // The folder of the target is open to everybody; so is the file with the control in it, which is replaced in the same way.
    fs::set_permissions(node.world.folder.path(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(node.world.root(), Permissions::from_mode(0o755)).unwrap();
    node.policy("", &format!("{TOKEN}    mode: \"0600\"\n  - name: open\n    type: file\n    target_path: \"{{{{ vars.root }}}}/open\"\n    content: \"{open}\"\n"));
    let program = node.world.path("watch");
    fs::copy(binary("vigo-eyes"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let seen = node.world.path("seen");
    let mut watcher = Command::new(&program)
        .arg("open")
        .arg(node.world.root())
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&seen).unwrap())
        .spawn()
        .unwrap();
    for value in &values {
        node.set("app/token", &value.plain());
        node.apply(&[]).expect(0);
    }
    drop(watcher.stdin.take());
    assert!(watcher.wait().unwrap().success());
    let control = Canary::of(Kind::SixtyFour, open.as_bytes());
    let scanned = Scanner::of(&values).file(Sink::Files, &seen, &control).unwrap();
    scanned.expect_nothing("what another user could open");
}

#[test]
fn a_link_or_a_way_back_on_the_path_of_a_target_leads_nowhere() {
    let mut node = Node::new();
    let [value] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    let (root, elsewhere) = (node.world.root(), node.world.path("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("victim"), "as it was").unwrap();
    // The target itself is a link.
    symlink(elsewhere.join("victim"), root.join("token")).unwrap();
    node.policy("", TOKEN);
    let ended = node.apply(&[]);
    assert_eq!(fs::read_to_string(elsewhere.join("victim")).unwrap(), "as it was", "{}", ended.out);
    let _the_link = fs::remove_file(root.join("token"));
    // A folder on the way is a link that somebody else put there.
    if rustix::process::geteuid().is_root() {
        let theirs = root.join("theirs");
        fs::create_dir(&theirs).unwrap();
        symlink(&elsewhere, theirs.join("way")).unwrap();
        std::os::unix::fs::lchown(theirs.join("way"), Some(NOBODY), Some(NOBODY)).unwrap();
        std::os::unix::fs::chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
        node.policy("", &TOKEN.replace("}}/token", "}}/theirs/way/token"));
        node.apply(&[]).expect(5);
    } else {
        println!("not root: no link of another user was tried");
    }
    // The way back.
    node.policy("", &TOKEN.replace("}}/token", "}}/../elsewhere/token"));
    let ended = node.apply(&[]);
    assert!(ended.code != 0 || !elsewhere.join("token").exists(), "{}", ended.out);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "something was written elsewhere");
}

fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { everything_below(&path) } else { vec![path] });
    }
    all
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    everything_below(folder).into_iter().filter(|path| path.is_file()).collect()
}

/// In hexadecimal, by the programs that everybody has.
fn digests(value: &[u8]) -> Vec<String> {
    ["md5sum", "sha1sum", "sha256sum", "sha512sum"]
        .map(|program| run(Command::new(program), value).expect(0).out.split(' ').next().unwrap().to_owned())
        .to_vec()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |letter: &u8| u8::try_from(char::from(*letter).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks_exact(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}
