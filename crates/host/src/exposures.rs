//! What was handed over in which way, noted when it happens; and in which way a value that stands in a file can be seen.

use rustix::fs::{fstat, fstatfs, major, minor};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use vigo_base::{AbsolutePath, ExposureWay, SecretPath, SwapClass};
use vigo_resource::Exposed;

/// `f_type` of a file system whose pages the kernel may write to swap (statfs(2), tmpfs(5)); that of ramfs is another, it never does.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// The class of the machine's swap; `None` when it cannot be found out.
pub type SwapProbe = fn() -> Option<SwapClass>;

/// What was handed over since it was last asked, and which secrets stand in which files as far as this run knows.
#[derive(Debug, Default)]
pub struct Exposures {
    noted: RefCell<Vec<Exposed>>,
    files: RefCell<BTreeMap<AbsolutePath, BTreeSet<SecretPath>>>,
}

impl Exposures {
    /// Notes what was handed over.
    pub fn note(&self, exposed: impl IntoIterator<Item = Exposed>) {
        self.noted.borrow_mut().extend(exposed);
    }

    /// Notes that these secrets, and no others, stand in that file.
    pub fn note_file(&self, path: &AbsolutePath, secrets: BTreeSet<SecretPath>, way: ExposureWay) {
        self.note(secrets.iter().map(|secret| Exposed { secret: secret.clone(), way }));
        self.files.borrow_mut().insert(path.clone(), secrets);
    }

    /// Notes that a file holds what another does. Of a file that no resource of this run wrote or found as it should be, nobody knows which secrets those are.
    pub fn note_copy(&self, path: &AbsolutePath, source: &AbsolutePath, way: ExposureWay) {
        let secrets = self.files.borrow().get(source).cloned();
        if let Some(secrets) = secrets {
            self.note_file(path, secrets, way);
        }
    }

    /// What was noted, each once; it is forgotten by that.
    pub fn take(&self) -> Vec<Exposed> {
        let mut noted = std::mem::take(&mut *self.noted.borrow_mut());
        noted.sort();
        noted.dedup();
        noted
    }
}

/// In which way a value can be seen that stands in a file of that folder. What cannot be found out counts as the worse.
pub fn way_of_files_in(folder: &OwnedFd, swap: SwapProbe) -> ExposureWay {
    match is_swappable(folder) {
        Ok(false) => ExposureWay::File,
        Ok(true) | Err(_) if !swap().is_some_and(SwapClass::is_closed) => ExposureWay::FileOnSwap,
        Ok(true) | Err(_) => ExposureWay::File,
    }
}

fn is_swappable(folder: &OwnedFd) -> Result<bool, Errno> {
    // The type of the field differs from platform to platform; the number is of 32 bits on all.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let kind = fstatfs(folder)?.f_type as u64 & 0xffff_ffff;
    if kind != TMPFS_MAGIC {
        return Ok(false);
    }
    let device = fstat(folder)?.st_dev;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    Ok(!has_option(&mounts, &format!("{}:{}", major(device), minor(device)), "noswap"))
}

/// True if the file system of that device has the option (proc_pid_mountinfo(5): field 3 is the device, the last the super options).
fn has_option(mounts: &str, device: &str, option: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ');
        fields.nth(2) == Some(device)
            && fields.next_back().is_some_and(|options| options.split(',').any(|one| one == option))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 0:21 / / rw,relatime - ext4 /dev/vda rw\n\
        30 22 0:31 / /run rw shared:5 - tmpfs tmpfs rw,size=1k\n\
        31 22 0:32 / /run/keys rw shared:6 - tmpfs tmpfs rw,size=1k,noswap\n";

    #[test]
    fn a_tmpfs_that_is_kept_out_of_swap_says_so_in_its_own_options() {
        assert!(has_option(MOUNTS, "0:32", "noswap"));
        assert!(!has_option(MOUNTS, "0:31", "noswap"));
        assert!(!has_option(MOUNTS, "0:33", "noswap"));
    }

    #[test]
    fn a_file_on_tmpfs_counts_where_swap_is_open_and_one_on_a_disk_never() {
        let (memory, disk) = ("/dev/shm", "/proc");
        let open = |path: &str| OwnedFd::from(std::fs::File::open(path).unwrap());
        assert_eq!(way_of_files_in(&open(disk), || Some(SwapClass::Plain)), ExposureWay::File);
        assert!(is_swappable(&open(memory)).unwrap(), "`{memory}` of this machine is no tmpfs");
        let way = |swap: SwapProbe| way_of_files_in(&open(memory), swap);
        assert_eq!(way(|| Some(SwapClass::Plain)), ExposureWay::FileOnSwap);
        assert_eq!(way(|| None), ExposureWay::FileOnSwap);
        assert_eq!(way(|| Some(SwapClass::EncryptedPersistent)), ExposureWay::File);
        assert_eq!(way(|| Some(SwapClass::None)), ExposureWay::File);
    }
}
