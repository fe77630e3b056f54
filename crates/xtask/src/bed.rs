//! The swap of a whole machine, in a virtual one: device mapper, systemd, starts in between. The tools for it lie beside the tree on some machines.

use crate::process::{self, Failure, cargo, is_installed, is_root, stage};
use crate::tree;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// What the machine does at each start.
const PAYLOAD: &str = include_str!("../beds/close-swap.sh");
/// Starts of the machine: plain to encrypted, encrypted to zram, zram to off, a logical volume and a file to encrypted, the file to off with a discard, off.
const STARTS: u32 = 6;
/// Of the disk that is swap.
const DISK_BYTES: u64 = 256 << 20;
/// One start with its payload, on a machine without virtualisation in hardware and with other work to do.
const LIMIT_S: &str = "900";

/// Builds the machine if it is not there, and closes its swap in every way.
pub fn run() -> Result<(), Failure> {
    stage("swap closed on a machine of its own");
    let Some(beds) = tree::shared().map(|shared| shared.join("beds")).filter(|beds| beds.is_dir()) else {
        println!("../shared/beds is not there: swap on a machine of its own was NOT tried");
        return Ok(());
    };
    let needed = ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "busybox"];
    let missing: Vec<&str> = needed.into_iter().filter(|program| !is_installed(program)).collect();
    if !missing.is_empty() || !is_root() {
        println!(
            "root and {} are needed (not there: {}): swap on a machine of its own was NOT tried",
            needed.join(", "),
            missing.join(", ")
        );
        return Ok(());
    }
    process::run(cargo().args(["build", "--profile", "ci", "--locked", "--quiet", "--package", "vigo"]))?;
    let target = tree::target()?;
    let bed = target.join("bed");
    build(&beds, &bed)?;
    swap_is_closed_on_a_machine_of_its_own(&beds, &bed, &target.join("ci/vigo"))
}

/// The image of the machine; it depends on the packages of its distribution only, so it is kept.
fn build(beds: &Path, bed: &Path) -> Result<(), Failure> {
    let image = bed.join("rootfs.ext4");
    if image.is_file() {
        return Ok(());
    }
    let make = || process::run(Command::new(beds.join("mk-vm.sh")).arg(bed));
    let archive = bed.join("rootfs-bookworm.tar");
    if make().is_ok() && image.is_file() {
        return Ok(());
    }
    // Older mmdebstrap goes by the ending of a name, and makes a folder of what is to be an archive.
    if !archive.is_dir() {
        return Err(Failure::Found(format!("cannot make the machine: see `{}`", bed.display())));
    }
    let folder = bed.join("rootfs.folder");
    std::fs::rename(&archive, &folder).map_err(|cause| wrong(&archive, &cause))?;
    process::run(Command::new("tar").arg("-C").arg(&folder).arg("-cpf").arg(&archive).arg("."))?;
    std::fs::remove_dir_all(&folder).map_err(|cause| wrong(&folder, &cause))?;
    make()
}

/// Each start begins where the one before ended; what each says goes on.
fn swap_is_closed_on_a_machine_of_its_own(beds: &Path, bed: &Path, vigo: &Path) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("vigo-bed-{}", std::process::id()));
    let payload = folder.join("payload");
    std::fs::create_dir_all(&payload).map_err(|cause| wrong(&payload, &cause))?;
    let tried = starts(beds, bed, vigo, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    tried
}

fn starts(beds: &Path, bed: &Path, vigo: &Path, folder: &Path) -> Result<(), Failure> {
    let (script, disk) = (folder.join("payload/run.sh"), folder.join("swap.img"));
    std::fs::copy(vigo, folder.join("payload/vigo")).map_err(|cause| wrong(vigo, &cause))?;
    std::fs::write(&script, PAYLOAD).map_err(|cause| wrong(&script, &cause))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .map_err(|cause| wrong(&script, &cause))?;
    let file = std::fs::File::create(&disk).map_err(|cause| wrong(&disk, &cause))?;
    file.set_len(DISK_BYTES).map_err(|cause| wrong(&disk, &cause))?;
    let drive = format!(
        "-drive id=swap,if=none,file={},format=raw,cache=unsafe,discard=unmap -device virtio-blk-pci,drive=swap,serial=SWAP",
        disk.display()
    );
    for number in 0..STARTS {
        let out = folder.join(format!("out{number}"));
        let mut command = Command::new(beds.join("run-vm.sh"));
        command.arg(bed).arg(folder.join("payload")).arg(&out).arg(LIMIT_S);
        command.env("EXTRA", &drive).env("PERSIST", folder.join("root.qcow2")).env("MEM", "768");
        let ended = process::run(&mut command);
        let said = std::fs::read_to_string(out.join("log")).unwrap_or_default();
        println!("{said}");
        ended?;
        if !said.contains(&format!("== stage {number}")) || said.contains("WRONG") {
            return Err(Failure::Found(format!("start {number} did not do what it should")));
        }
    }
    Ok(())
}

fn wrong(path: &Path, cause: &std::io::Error) -> Failure {
    Failure::Found(format!("cannot use `{}`: {cause}", path.display()))
}
