//! What the machine and the state folder are like: where memory may be written to, who may look at processes, who may read the state.

use super::checks::check;
use super::report::{Check, Verdict};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use vigo_base::SwapClass;
use vigo_swap::Files;
use vigo_traits::Source;

/// Entries of the state folder that are looked at.
const ENTRIES: usize = 100_000;
/// Of what is wrong, so many are named.
const NAMED: usize = 5;

/// The checks of the machine whose files are below `root`. `pages` is the kind of the hand's pages.
#[must_use]
pub fn machine(root: &Path, pages: &str) -> Vec<Check> {
    // Each look has a budget of its own.
    let source = || Source::below(root);
    let (swap, zswap) = (swap(&source()), zswap(&source()));
    vec![
        swap,
        zswap,
        hibernation(&source(), pages),
        crash_kernel(&source()),
        core_pattern(&source()),
        yama(&source()),
    ]
}

fn swap(source: &Source) -> Check {
    let about = "what a service swaps out is not readable on a disk";
    let (verdict, evidence) = match vigo_traits::swap_posture(source) {
        Ok(posture) => {
            let devices: Vec<String> =
                posture.devices.iter().map(|device| format!("{} is {}", device.name, device.class)).collect();
            let of = if devices.is_empty() { String::new() } else { format!(": {}", devices.join(", ")) };
            let verdict = if posture.class.is_closed() { Verdict::Ok } else { Verdict::Bad };
            (verdict, format!("class {}{of} (/proc/swaps, each device resolved)", posture.class))
        }
        Err(error) => (Verdict::NotConclusive, vigo_base::chain(&error)),
    };
    let mend = "close it: `swapoff -a` and take it out of /etc/fstab, or zram, or dm-crypt with a key from /dev/urandom; see \
                docs/guide/harden-an-envoy.md. Rotate what this machine was given: old pages stay on the disk";
    check("swap".to_owned(), about, verdict, evidence, mend)
}

fn zswap(source: &Source) -> Check {
    let on = source.line("/sys/module/zswap/parameters/enabled").as_deref() == Some("Y");
    let class = vigo_traits::swap_posture(source).map_or(SwapClass::Plain, |posture| posture.class);
    let evidence = match on {
        true => {
            format!("on: it compresses in memory and writes on to swap all the same, which is class {class}")
        }
        false => "off".to_owned(),
    };
    let verdict = if on && !class.is_closed() { Verdict::Bad } else { Verdict::Ok };
    let mend = "close swap: switching zswap off alone does not keep pages from the disk";
    check("zswap".to_owned(), "no one takes it for protection", verdict, evidence, mend)
}

fn hibernation(source: &Source, pages: &str) -> Check {
    let about = "memory with values is not written to a disk";
    let (verdict, evidence) = match (vigo_swap::hibernates(source), pages) {
        (false, _) => (Verdict::Ok, "not set up (/sys/power, resume=)"),
        (true, "secret") => {
            (Verdict::Ok, "set up, but the kernel refuses it while memfd_secret pages are held")
        }
        (true, _) => (Verdict::Bad, "set up, and locked pages are written with all the rest"),
    };
    let mend =
        "`systemctl mask hibernate.target hybrid-sleep.target`, or use memfd_secret pages, which block it";
    check("hibernation".to_owned(), about, verdict, evidence.to_owned(), mend)
}

/// A crash kernel saves memory when the kernel panics; makedumpfile(8) with `-d 31` leaves out pages of processes.
fn crash_kernel(source: &Source) -> Check {
    let loaded = source.line("/sys/kernel/kexec_crash_loaded").as_deref() == Some("1");
    let places = ["/etc/kdump.conf", "/etc/default/kdump-tools", "/etc/sysconfig/kdump"];
    let leaves_out = places.iter().any(|path| {
        source
            .text(path)
            .unwrap_or_default()
            .lines()
            .any(|line| !line.trim_start().starts_with('#') && line.contains("-d 31"))
    });
    let (verdict, evidence) = match (loaded, leaves_out) {
        (false, _) => (Verdict::Ok, "no crash kernel is loaded (/sys/kernel/kexec_crash_loaded)"),
        (true, true) => {
            (Verdict::Ok, "loaded, and its settings say `-d 31`, which leaves out pages of processes")
        }
        (true, false) => {
            (Verdict::Bad, "loaded, and no settings say `-d 31`: the memory of processes is saved")
        }
    };
    let mend = "say `core_collector makedumpfile -l -d 31` in /etc/kdump.conf (MAKEDUMP_ARGS=\"-c -d 31\" in /etc/default/kdump-tools)";
    check(
        "crash-kernel".to_owned(),
        "a crash of the kernel saves no values",
        verdict,
        evidence.to_owned(),
        mend,
    )
}

fn core_pattern(source: &Source) -> Check {
    let (verdict, evidence) = match source.line("/proc/sys/kernel/core_pattern") {
        Some(pattern) if pattern.starts_with('|') => (
            Verdict::Ok,
            format!(
                "`{pattern}`: a pipe, which a core limit of 0 does not stop; a limit of 1 and not being dumpable do"
            ),
        ),
        Some(pattern) => (Verdict::Ok, format!("`{pattern}`: a file, which the core limit stops")),
        None => (Verdict::NotConclusive, "/proc/sys/kernel/core_pattern cannot be read".to_owned()),
    };
    check("core-pattern".to_owned(), "cores of values cannot arise by it", verdict, evidence, "")
}

fn yama(source: &Source) -> Check {
    let evidence = match source.line("/proc/sys/kernel/yama/ptrace_scope").as_deref() {
        Some("0") => {
            "0: processes of a user may trace each other; the agent does not rely on it, other services may"
        }
        Some("1") => "1: a process may trace its own children only",
        Some("2") => "2: only who has CAP_SYS_PTRACE may trace",
        Some("3") => "3: nobody may trace",
        _ => "this kernel has no yama; the agent does not rely on it",
    };
    check("yama".to_owned(), "who may trace whom, beside the agent", Verdict::Ok, evidence.to_owned(), "")
}

/// The checks of the state folder. `busy`: a run goes on.
#[must_use]
pub fn state(folder: &Path, busy: bool) -> Vec<Check> {
    // Root may look at another user's; whose it is was found good when it was opened.
    let user = rustix::process::geteuid();
    let owner = fs::symlink_metadata(folder).map(|meta| meta.uid()).ok().filter(|_| user.is_root());
    let owner = owner.unwrap_or(user.as_raw());
    vec![identity(folder, owner), modes(folder, owner), intents(folder, busy)]
}

/// What is open to others below a folder, at most [`NAMED`] of them, and how many were looked at.
fn open_to_others(folder: &Path, own: u32) -> std::io::Result<(Vec<String>, usize)> {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = fs::symlink_metadata(&path)?;
        seen += 1;
        if (meta.mode() & 0o077 != 0 && !meta.is_symlink()) || meta.uid() != own {
            wrong.push(format!("{} ({:o}, user {})", path.display(), meta.mode() & 0o7777, meta.uid()));
        }
        if meta.is_dir() && seen < ENTRIES {
            waiting.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        }
    }
    wrong.sort();
    wrong.truncate(NAMED);
    Ok((wrong, seen))
}

fn identity(folder: &Path, owner: u32) -> Check {
    let folder = folder.join("identity");
    let (verdict, evidence) = match open_to_others(&folder, owner) {
        Ok((wrong, seen)) if wrong.is_empty() => {
            (Verdict::Ok, format!("{}: {seen} looked at", folder.display()))
        }
        Ok((wrong, _)) => (Verdict::Bad, wrong.join("; ")),
        Err(error) => (Verdict::NotConclusive, format!("{}: {error}", folder.display())),
    };
    let mend = format!(
        "`chmod -R go= {}`; who read it can be this node: `vigocli envoys revoke`, then enrol anew",
        folder.display()
    );
    check("identity".to_owned(), "only the agent's user can be this node", verdict, evidence, &mend)
}

fn modes(folder: &Path, owner: u32) -> Check {
    let (verdict, evidence) = match open_to_others(folder, owner) {
        Ok((wrong, seen)) if wrong.is_empty() => {
            (Verdict::Ok, format!("{}: {seen} looked at", folder.display()))
        }
        Ok((wrong, _)) => (Verdict::Bad, wrong.join("; ")),
        // What a running agent removes while it is looked at.
        Err(error) => (Verdict::NotConclusive, format!("{}: {error}", folder.display())),
    };
    let mend = format!("`chmod -R go= {0}` and `chown -R` it to the agent's user", folder.display());
    check("state-folder".to_owned(), "others cannot look into what is remembered", verdict, evidence, &mend)
}

fn intents(folder: &Path, busy: bool) -> Check {
    let folder = folder.join("intents");
    let left = fs::read_dir(&folder).map_or(0, |entries| entries.flatten().count());
    let (verdict, evidence) = match (left, busy) {
        (0, _) => (Verdict::Ok, format!("none in {}", folder.display())),
        (left, true) => (Verdict::NotConclusive, format!("{left}, but a run goes on")),
        (left, false) => (
            Verdict::Bad,
            format!("{left} in {}: files with values may stand beside their targets", folder.display()),
        ),
    };
    let mend = "`vigo run`, or restart the daemon: each start first removes what an interrupted run left";
    check("intents".to_owned(), "no interrupted write left a file", verdict, evidence, mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A machine laid out of these files, and what a check of it came to.
    fn verdict(files: &[(&str, &str)], name: &str, pages: &str) -> Verdict {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = machine(root.path(), pages);
        found.into_iter().find(|check| check.name == name).unwrap().verdict
    }

    const SWAPS: (&str, &str) =
        ("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1024 0 -2\n");
    const NO_SWAP: (&str, &str) = ("/proc/swaps", "Filename Type Size Used Priority\n");

    #[test]
    fn each_check_of_the_machine_can_be_bad() {
        assert_eq!(verdict(&[NO_SWAP], "swap", "secret"), Verdict::Ok);
        assert_eq!(verdict(&[SWAPS], "swap", "secret"), Verdict::Bad);
        assert_eq!(verdict(&[], "swap", "secret"), Verdict::NotConclusive, "nothing is known");
        let zswap = ("/sys/module/zswap/parameters/enabled", "Y\n");
        assert_eq!(verdict(&[NO_SWAP, zswap], "zswap", "secret"), Verdict::Ok);
        assert_eq!(verdict(&[SWAPS, zswap], "zswap", "secret"), Verdict::Bad);
        let disk = [
            ("/sys/power/state", "mem disk\n"),
            ("/sys/power/disk", "[platform]\n"),
            ("/sys/power/resume", "8:2\n"),
        ];
        assert_eq!(verdict(&disk, "hibernation", "secret"), Verdict::Ok);
        assert_eq!(verdict(&disk, "hibernation", "locked"), Verdict::Bad);
        let loaded = ("/sys/kernel/kexec_crash_loaded", "1\n");
        assert_eq!(verdict(&[], "crash-kernel", "secret"), Verdict::Ok);
        assert_eq!(verdict(&[loaded], "crash-kernel", "secret"), Verdict::Bad);
        let level = ("/etc/kdump.conf", "core_collector makedumpfile -l -d 31\n");
        assert_eq!(verdict(&[loaded, level], "crash-kernel", "secret"), Verdict::Ok);
        let comment = ("/etc/kdump.conf", "# core_collector makedumpfile -l -d 31\n");
        assert_eq!(verdict(&[loaded, comment], "crash-kernel", "secret"), Verdict::Bad);
    }

    #[test]
    fn each_check_of_the_state_folder_can_be_bad() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let verdicts =
            |busy| -> Vec<Verdict> { state(folder, busy).into_iter().map(|check| check.verdict).collect() };
        set(folder, 0o700);
        for name in ["identity", "intents"] {
            fs::create_dir(folder.join(name)).unwrap();
            set(&folder.join(name), 0o700);
        }
        let key = folder.join("identity/node.key");
        fs::write(&key, "k").unwrap();
        set(&key, 0o600);
        assert_eq!(verdicts(false), [Verdict::Ok; 3]);
        set(&key, 0o644);
        assert_eq!(verdicts(false), [Verdict::Bad, Verdict::Bad, Verdict::Ok]);
        set(&key, 0o600);
        let intent = folder.join("intents/1");
        fs::write(&intent, "i").unwrap();
        set(&intent, 0o600);
        assert_eq!(verdicts(false), [Verdict::Ok, Verdict::Ok, Verdict::Bad]);
        assert_eq!(verdicts(true), [Verdict::Ok, Verdict::Ok, Verdict::NotConclusive]);
    }
}
