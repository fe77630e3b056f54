//! What a device or file really stands on. A device mapper device is not by itself encrypted; the weakest part decides.

use crate::crypttab::Crypttab;
use crate::files::Files;
use crate::fstab::unescape;
use vigo_base::SwapClass;

/// How deep devices may stand on one another.
const DEPTH: usize = 8;

/// What a device is, by its path below `/dev`.
#[must_use]
pub fn class_of_device(files: &dyn Files, path: &str) -> SwapClass {
    Looking::new(files).device(path, DEPTH)
}

/// What a file is: what its file system stands on.
#[must_use]
pub fn class_of_file(files: &dyn Files, path: &str) -> SwapClass {
    Looking::new(files).file(path, DEPTH)
}

struct Looking<'a> {
    files: &'a dyn Files,
    crypttab: Crypttab,
    /// There is a crypttab, and this process may not read it.
    is_crypttab_hidden: bool,
}

impl<'a> Looking<'a> {
    fn new(files: &'a dyn Files) -> Self {
        let text = files.text("/etc/crypttab");
        let is_crypttab_hidden = text.is_none() && files.exists("/etc/crypttab");
        Self { files, crypttab: Crypttab::new(&text.unwrap_or_default()), is_crypttab_hidden }
    }

    fn device(&self, path: &str, depth: usize) -> SwapClass {
        match self.block_name(path) {
            Some(name) if depth > 0 && !name.contains('/') => self.block(&name, depth),
            _ => SwapClass::Plain,
        }
    }

    fn block(&self, name: &str, depth: usize) -> SwapClass {
        let sys = format!("/sys/block/{name}");
        if name.starts_with("zram") {
            // Documentation/admin-guide/blockdev/zram.rst: pages go on to the backing device as they are.
            let backing = self.files.line(&format!("{sys}/backing_dev")).filter(|backing| backing != "none");
            return backing
                .map_or(SwapClass::Zram, |backing| self.device(&backing, depth - 1).max(SwapClass::Zram));
        }
        if let Some(uuid) =
            self.files.line(&format!("{sys}/dm/uuid")).filter(|uuid| uuid.starts_with("CRYPT-"))
        {
            let mapped = self.files.line(&format!("{sys}/dm/name")).unwrap_or_default();
            return self.crypt(&uuid, &mapped);
        }
        if let Some(file) = self.files.line(&format!("{sys}/loop/backing_file")) {
            return self.file(&file, depth - 1);
        }
        let below = self.files.names(&format!("{sys}/slaves"));
        let classes = below.iter().map(|slave| self.device(&format!("/dev/{slave}"), depth - 1));
        classes.max().or_else(|| self.whole(name, depth)).unwrap_or(SwapClass::Plain)
    }

    /// A partition is what its whole device is: a loop device or an array may have some.
    fn whole(&self, name: &str, depth: usize) -> Option<SwapClass> {
        let link = self.files.link(&format!("/sys/class/block/{name}"))?;
        let mut parts = link.rsplit('/').skip(1);
        let parent = parts.next().filter(|parent| *parent != "block" && parts.next() == Some("block"))?;
        Some(self.device(&format!("/dev/{parent}"), depth - 1))
    }

    /// The kernel's name of a device: `/dev/mapper/x` is the `dm-N` that has this name.
    fn block_name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix("/dev/")?;
        let Some(mapped) = name.strip_prefix("mapper/") else { return Some(name.to_owned()) };
        let mut devices = self.files.names("/sys/block").into_iter().filter(|name| name.starts_with("dm-"));
        devices.find(|device| {
            self.files.line(&format!("/sys/block/{device}/dm/name")).as_deref() == Some(mapped)
        })
    }

    /// crypttab(5): a key from a random device, or the option `swap`, means a key that is made anew at each boot. Without an entry, a plain
    /// mapping has no header that could keep a key; LUKS has one.
    fn crypt(&self, uuid: &str, mapped: &str) -> SwapClass {
        match self.crypttab.entry(mapped) {
            Some(entry) if entry.is_null() => SwapClass::Plain,
            Some(entry) if entry.is_ephemeral() => SwapClass::EncryptedEphemeral,
            // Who may not read the table does not know of a key that is kept.
            None if uuid.starts_with("CRYPT-PLAIN-") && !self.is_crypttab_hidden => {
                SwapClass::EncryptedEphemeral
            }
            Some(_) | None => SwapClass::EncryptedPersistent,
        }
    }

    /// A file is what its file system stands on; without a device of its own (a network or memory file system) it counts as plain.
    fn file(&self, path: &str, depth: usize) -> SwapClass {
        let mounts = self.files.text("/proc/self/mountinfo").unwrap_or_default();
        // proc_pid_mountinfo(5): the fifth field is the mount point, the third the device's numbers, after ` - ` come type and source. Later lines cover earlier ones.
        let mount = |line: &str| {
            let (place, device) = line.split_once(" - ")?;
            let mut fields = place.split(' ').skip(2);
            let (numbers, point) = (fields.next()?, unescape(fields.nth(1)?));
            let below =
                point == "/" || path.strip_prefix(point.as_str()).is_some_and(|rest| rest.starts_with('/'));
            below.then(|| {
                (point.len(), numbers.to_owned(), unescape(device.split(' ').nth(1).unwrap_or_default()))
            })
        };
        let longest = mounts.lines().filter_map(mount).max_by_key(|(length, ..)| *length);
        match longest {
            Some((_, numbers, source)) if depth > 0 => {
                // The source is what mount(2) was told, `/dev/root` say; the numbers are the kernel's. Some file systems have numbers of no device.
                let link = self.files.link(&format!("/sys/dev/block/{numbers}"));
                match link.as_deref().and_then(|link| link.rsplit('/').next()) {
                    Some(name) => self.device(&format!("/dev/{name}"), depth - 1),
                    None if source.starts_with("/dev/") => self.device(&source, depth - 1),
                    None => SwapClass::Plain,
                }
            }
            _ => SwapClass::Plain,
        }
    }
}
