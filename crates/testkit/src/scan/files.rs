//! What a run left on disk: every file below a folder that was made or changed since it began, by name and content, and files without a name that a
//! process still has open.

use super::{Blind, Canary, Kind, Look, Scanned, Scanner, Sink};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Files below a folder whose content, or whose name, mode or owner, changed since then; links are not followed.
///
/// # Errors
/// If a folder cannot be read.
pub fn changed_below(folder: &Path, since: SystemTime) -> io::Result<Vec<PathBuf>> {
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut folders = vec![folder.to_owned()];
    let mut changed = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else if u64::try_from(metadata.mtime().max(metadata.ctime())).is_ok_and(|time| time >= since) {
                changed.push(path);
            }
        }
    }
    changed.sort();
    Ok(changed)
}

impl Look<'_> {
    /// Searches what [`changed_below`] names: names, targets of links, content.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn changed(&mut self, folder: &Path, since: SystemTime) -> io::Result<()> {
        for path in changed_below(folder, since)? {
            let name = path.display().to_string();
            self.bytes(&format!("the name of {name}"), path.as_os_str().as_bytes());
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_symlink() {
                self.bytes(&name, fs::read_link(&path)?.as_os_str().as_bytes());
            } else if metadata.is_file() {
                match self.file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Searches the regular files without a name that a process has open: deleted ones, those of O_TMPFILE, memfds.
    ///
    /// # Errors
    /// If the process is gone or may not be looked at.
    pub fn open_files(&mut self, pid: u32) -> io::Result<()> {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            let path = entry?.path();
            if let Some(link) = nameless(&path) {
                // It may be closed meanwhile.
                let _ = self.open_file(&path, &format!("process {pid}: {link}"));
            }
        }
        Ok(())
    }

    pub(super) fn open_file(&mut self, path: &Path, place: &str) -> io::Result<()> {
        // Opened anew through /proc, so that the place to which the owner has read does not move (proc_pid_fd(5)).
        self.reader(place, File::open(path)?)
    }
}

/// What /proc calls the file behind a descriptor, if it is a regular one without a name.
pub(super) fn nameless(descriptor: &Path) -> Option<String> {
    let link = fs::read_link(descriptor).ok()?.to_string_lossy().into_owned();
    let is_regular = || fs::metadata(descriptor).is_ok_and(|metadata| metadata.is_file());
    (link.ends_with(" (deleted)") && is_regular()).then_some(link)
}

impl Scanner {
    /// Scans all that was made or changed below a folder. Plants its control there, and removes it.
    ///
    /// # Errors
    /// As [`Scanner::scan`], or if the control cannot be planted.
    pub fn folder(&self, folder: &Path, since: SystemTime) -> Result<Scanned, Blind> {
        let source = folder.display().to_string();
        let failed = |cause| Blind::Unreadable { sink: Sink::Files, source: source.clone(), cause };
        let control = Canary::fresh(Kind::Plain).map_err(failed)?;
        let planted = Planted::below(folder, &control).map_err(failed)?;
        let scanned = self.scan(Sink::Files, &source, &control, |look| look.changed(folder, since));
        planted.remove().map_err(failed)?;
        scanned
    }

    /// Scans the files without a name that these processes have open. Plants its control as such a file of this process.
    ///
    /// # Errors
    /// As [`Scanner::scan`], or if the control cannot be planted.
    pub fn open_files(&self, processes: &[u32]) -> Result<Scanned, Blind> {
        let source = format!("processes {processes:?}");
        let failed = |cause| Blind::Unreadable { sink: Sink::OpenFiles, source: source.clone(), cause };
        let control = Canary::fresh(Kind::Plain).map_err(failed)?;
        let planted = Planted::below(&std::env::temp_dir(), &control).map_err(failed)?;
        let held = planted.file.try_clone().map_err(failed)?;
        planted.remove().map_err(failed)?;
        self.scan(Sink::OpenFiles, &source, &control, |look| {
            let own = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
            if let Some(link) = nameless(&own) {
                look.open_file(&own, &link)?;
            }
            processes.iter().try_for_each(|pid| look.open_files(*pid))
        })
    }
}

/// A file with the control in a folder of its own.
struct Planted {
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl Planted {
    fn below(folder: &Path, control: &Canary) -> io::Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = folder.join(format!("control-{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        let path = folder.join("planted");
        let mut file = File::options().create_new(true).read(true).write(true).open(&path)?;
        file.write_all(b"before ")?;
        file.write_all(&control.plain())?;
        file.write_all(b" after\n")?;
        Ok(Self { folder, path, file })
    }

    fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        fs::remove_dir(&self.folder)
    }
}
