//! `swap` on this kernel, and the example that closes the swap of a fleet. The machine's own `/etc/fstab` is covered by another in a mount namespace;
//! swap itself belongs to the whole machine, so that only an area of the test's own is touched, and taken away again. `swap_policy` is tried on a machine of its own: `cargo xtask bed`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const VIGO: &str = env!("CARGO_BIN_EXE_vigo");

/// Switches the area off when the test ends, however it ends.
struct Area(String);

impl Drop for Area {
    fn drop(&mut self) {
        let _ = Command::new("swapoff").arg(&self.0).output();
    }
}

fn in_use(path: &str) -> bool {
    let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
    table.lines().any(|line| line.starts_with(&path.replace(' ', "\\040")))
}

/// `vigo apply` where `/etc` is another folder, with what it said.
fn apply(etc: &Path, state: &Path, policy: &Path, more: &[&str]) -> Output {
    let script = "mount --bind \"$0\" /etc && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(etc).arg("x").arg(VIGO).arg("--state-dir").arg(state);
    command.arg("apply").arg(policy).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_swap_file_is_made_used_overwritten_and_taken_away_here() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let file = root.join("swap file").to_str().unwrap().to_owned();
    let etc = root.join("etc");
    fs::create_dir(&etc).unwrap();
    let before = "# kept\r\nUUID=1 / ext4 defaults 0 1\n";
    fs::write(etc.join("fstab"), before).unwrap();
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    let policy = |name: &str, rest: &str| {
        let path = root.join(name);
        let text =
            format!("configcrate: swap\nresources:\n  - type: swap\n    path: \"{file}\"\n    {rest}\n");
        fs::write(&path, text).unwrap();
        path
    };
    let there = policy("there.vgo", "size: 16M\n    priority: 3");
    let gone = policy("gone.vgo", "state: absent\n    erase: overwrite");
    let state = root.join("state");
    let dry = apply(&etc, &state, &there, &["--dry-run"]);
    if dry.status.code() != Some(3) {
        let text = said(&dry);
        let may_not = ["CAP_SYS_ADMIN", "Operation not permitted", "user namespace"];
        assert!(may_not.iter().any(|word| text.contains(word)), "{text}");
        println!("this process may not mount or swap here: `swap` on this kernel was NOT tried");
        return;
    }
    assert!(!Path::new(&file).exists() && fs::read_to_string(etc.join("fstab")).unwrap() == before);
    let area = Area(file.clone());
    let made = apply(&etc, &state, &there, &[]);
    let text = said(&made);
    if text.contains("the kernel takes no file with holes") {
        println!("{} is on a file system that cannot hold swap: it was NOT tried", root.display());
        return;
    }
    assert_eq!(made.status.code(), Some(0), "{text}");
    assert!(in_use(&file));
    let line = format!("{} none swap sw,pri=3 0 0\n", file.replace(' ', "\\040"));
    assert_eq!(fs::read_to_string(etc.join("fstab")).unwrap(), format!("{before}{line}"));
    let again = apply(&etc, &state, &there, &["--detailed-exit-code"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let went = apply(&etc, &state, &gone, &[]);
    assert_eq!(went.status.code(), Some(0), "{}", said(&went));
    assert!(said(&went).contains("with zeroes"), "{}", said(&went));
    assert!(!in_use(&file) && !Path::new(&file).exists());
    assert_eq!(fs::read_to_string(etc.join("fstab")).unwrap(), before);
    drop(area);
}

#[test]
fn the_example_that_closes_swap_is_a_policy_for_every_machine() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/close-swap");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().canonicalize().unwrap().join("state");
    for (name, configcrate) in
        [("canary-1", "encrypted"), ("db-7", "off"), ("laptop-x", "encrypted"), ("web-1", "zram")]
    {
        // Only looked at: what would be done depends on the machine, that it can be read does not.
        let output = Command::new(VIGO)
            .arg("--state-dir")
            .arg(&state)
            .arg("apply")
            .arg(&example)
            .args(["--name", name, "--dry-run", "--verbose"])
            .output()
            .unwrap();
        let text = said(&output);
        assert!(matches!(output.status.code(), Some(0 | 3 | 5)), "{name}: {text}");
        let id = format!("swap-{configcrate}:swap_policy/{configcrate}");
        assert!(text.contains(&id) && !text.contains("failed swap"), "{name}: {text}");
    }
}
