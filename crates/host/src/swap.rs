//! Swap of the real machine: what is in use and what could be, and the steps that change it. Which steps, the resource decides.

use crate::host::RealHost;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};
use vigo_base::{AbsolutePath, Pieces, SwapClass};
use vigo_resource::{
    CommandLine, CommandRequest, Erase, Failure, Finished, Output, OutputRule, Storage, StorageContent,
    SwapArea, SwapState, SwapStep,
};
use vigo_swap::Files;

/// Files and links of this machine.
struct Here;

impl Files for Here {
    fn text(&self, path: &str) -> Option<String> {
        use io::Read as _;
        let mut text = Vec::new();
        File::open(path).ok()?.take(4 << 20).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().take(4096).filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    fn link(&self, path: &str) -> Option<String> {
        std::fs::read_link(path).ok()?.into_os_string().into_string().ok()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).symlink_metadata().is_ok()
    }
}

/// Zeroes are written, and looked for, in steps of this.
const STEP: usize = 1 << 20;
/// So much of the beginning is looked at to see whether anything stands there.
const LOOKED_AT: usize = 128 << 10;
/// A mapping, a module: how long the tool for it may take.
const TOOL: Duration = Duration::from_secs(60);
/// CAP_SYS_ADMIN is bit 21 (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The number of the first user namespace (PROC_USER_INIT_INO in include/linux/proc_ns.h).
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
/// Where the tools for mappings are, best first.
const CRYPT_TOOLS: [&str; 5] = [
    "/usr/sbin/cryptsetup",
    "/sbin/cryptsetup",
    "/usr/bin/systemd-cryptsetup",
    "/usr/lib/systemd/systemd-cryptsetup",
    "/lib/systemd/systemd-cryptsetup",
];

/// What is in use, and what this process may do.
pub fn state() -> Result<SwapState, Failure> {
    let table = match std::fs::read_to_string("/proc/swaps") {
        Ok(table) => table,
        // A kernel without swap has no table (proc_swaps(5)), but it has the rest of /proc.
        Err(error) if error.kind() == io::ErrorKind::NotFound && Here.exists("/proc/meminfo") => {
            String::new()
        }
        Err(error) => return Err(Failure::failed(format!("cannot read `/proc/swaps`: {error}"))),
    };
    let mut areas = Vec::new();
    for line in vigo_swap::swap_table(&table) {
        let storage = storage(&line.name)?.unwrap_or_else(|| unseen(&line));
        areas.push(SwapArea { storage, used: line.used_bytes, priority: line.priority });
    }
    let memory = Here.text("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    Ok(SwapState {
        areas,
        memory_available: kib("MemAvailable").saturating_mul(1024),
        memory_total: kib("MemTotal").saturating_mul(1024),
        refused: refused(),
        is_etc_read_only: rustix::fs::statvfs("/etc")
            .is_ok_and(|facts| facts.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY)),
        has_zram: has_zram(),
        crypt_tool: CRYPT_TOOLS.into_iter().find(|path| Here.exists(path)).map(str::to_owned),
    })
}

/// An area that is in use and cannot be looked at from here: of another mount namespace, or removed since.
fn unseen(line: &vigo_swap::SwapLine) -> Storage {
    Storage {
        path: line.name.clone(),
        aliases: Vec::new(),
        is_file: line.is_file,
        size: line.total_bytes,
        class: SwapClass::Plain,
        content: StorageContent::Unknown,
        discards: false,
        mapping: None,
    }
}

/// swapon(2) wants CAP_SYS_ADMIN, and in the first user namespace: swap belongs to the whole machine.
fn refused() -> Option<String> {
    let status = Here.text("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if mask & CAP_SYS_ADMIN == 0 {
        return Some("this process has no CAP_SYS_ADMIN (it is not root, or in a container)".to_owned());
    }
    match std::fs::metadata("/proc/self/ns/user") {
        Ok(namespace) if namespace.ino() != FIRST_USER_NAMESPACE => {
            Some("this process is in a user namespace of its own".to_owned())
        }
        _ => None,
    }
}

fn has_zram() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let modules = ["/lib/modules", "/usr/lib/modules"];
    Here.exists("/sys/class/zram-control")
        || Here.exists("/sys/block/zram0")
        || modules.iter().any(|folder| {
            let listed = |name: &str| Here.text(&format!("{folder}/{release}/{name}")).unwrap_or_default();
            Here.exists(&format!("{folder}/{release}/kernel/drivers/block/zram"))
                || listed("modules.builtin").contains("/zram.ko")
        })
}

/// What a path, `UUID=...` or the like leads to.
pub fn storage(name: &str) -> Result<Option<Storage>, Failure> {
    let Some(path) = vigo_swap::spec_path(name) else { return Ok(None) };
    let path = match std::fs::canonicalize(&path) {
        Ok(path) => path,
        // Without udev there are no links: the headers themselves are asked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match by_header(name) {
            Some(path) => path.into(),
            None => return Ok(None),
        },
        Err(error) => return Err(Failure::failed(format!("cannot look at `{path}`: {error}"))),
    };
    let cannot = |error: io::Error| Failure::failed(format!("cannot look at `{}`: {error}", path.display()));
    let told = path.metadata().map_err(cannot)?;
    let given = path.to_string_lossy().into_owned();
    if told.is_file() {
        let (content, header) = look_inside(&given);
        return Ok(Some(Storage {
            class: vigo_swap::class_of_file(&Here, &given),
            aliases: names_of(header.as_ref(), Vec::new()),
            path: given,
            is_file: true,
            size: told.len(),
            content,
            discards: false,
            mapping: None,
        }));
    }
    if !told.file_type().is_block_device() {
        return Ok(None);
    }
    Ok(Some(device(&given, told.rdev())))
}

fn device(given: &str, number: u64) -> Storage {
    let numbers = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let link = Here.link(&format!("/sys/dev/block/{numbers}")).unwrap_or_default();
    let kernel = link.rsplit('/').next().filter(|name| !name.is_empty());
    let path = kernel.map_or_else(|| given.to_owned(), |kernel| format!("/dev/{}", kernel.replace('!', "/")));
    let (content, header) = look_inside(given);
    let mut links = links_to(number);
    if given != path {
        links.push(given.to_owned());
    }
    let sys = format!("/sys/dev/block/{numbers}");
    let limit = |file: &str| Here.line(&format!("{sys}/{file}"));
    let discards = limit("queue/discard_max_bytes").or_else(|| limit("../queue/discard_max_bytes"));
    Storage {
        class: vigo_swap::class_of_device(&Here, &path),
        aliases: names_of(header.as_ref(), links),
        is_file: false,
        size: File::open(given).and_then(|mut file| file.seek(SeekFrom::End(0))).unwrap_or(0),
        content,
        discards: discards.is_some_and(|limit| limit != "0"),
        mapping: limit("dm/name"),
        path,
    }
}

/// The links that udev keeps for a device.
fn links_to(number: u64) -> Vec<String> {
    let disks = Here.names("/dev/disk").into_iter().map(|name| format!("/dev/disk/{name}"));
    let folders = disks.chain(["/dev/mapper".to_owned(), "/dev/md".to_owned()]);
    let mut links = Vec::new();
    for folder in folders {
        for name in Here.names(&folder) {
            let link = format!("{folder}/{name}");
            let is_it = std::fs::metadata(&link)
                .is_ok_and(|told| told.file_type().is_block_device() && told.rdev() == number);
            if is_it {
                links.push(link);
            }
        }
    }
    links
}

fn names_of(header: Option<&vigo_swap::Header>, mut links: Vec<String>) -> Vec<String> {
    if let Some(header) = header {
        links.push(format!("UUID={}", header.uuid));
        if !header.label.is_empty() {
            links.push(format!("LABEL={}", header.label));
        }
    }
    links
}

/// The device whose header has that `UUID=` or `LABEL=`.
fn by_header(name: &str) -> Option<String> {
    let wanted = |header: &vigo_swap::Header| match name.split_once('=')? {
        ("UUID", uuid) => (header.uuid.eq_ignore_ascii_case(uuid)).then_some(()),
        ("LABEL", label) => (header.label == label).then_some(()),
        _ => None,
    };
    let devices = Here.names("/sys/class/block").into_iter().map(|name| format!("/dev/{name}"));
    name.contains('=').then_some(())?;
    devices.take(256).find(|path| look_inside(path).1.as_ref().and_then(wanted).is_some())
}

/// What stands at the beginning. Behind the header of a swap area stand pages of programs: those are not read.
fn look_inside(path: &str) -> (StorageContent, Option<vigo_swap::Header>) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(file) = open(path, flags, Mode::empty()).map(File::from) else {
        return (StorageContent::Unknown, None);
    };
    for page in [4_usize << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10] {
        let mut end = [0; vigo_swap::SIGNATURE.len()];
        let at = page.saturating_sub(end.len()) as u64;
        if file.read_exact_at(&mut end, at).is_ok() && end == vigo_swap::SIGNATURE {
            let mut first = vec![0; page];
            // Only the facts and the signature: with large pages all of it is header.
            let read = file.read_exact_at(&mut first, 0).ok().and_then(|()| vigo_swap::read_header(&first));
            return (StorageContent::Swap, read);
        }
    }
    let mut start = vec![0; LOOKED_AT];
    let content = match file.read_at(&mut start, 0) {
        Ok(read) if start.iter().take(read).all(|byte| *byte == 0) => StorageContent::Nothing,
        Ok(_) => StorageContent::Other,
        Err(_) => StorageContent::Unknown,
    };
    start.fill(0);
    (content, None)
}

/// Does one step.
pub fn change(host: &RealHost<'_>, step: &SwapStep) -> Result<(), Failure> {
    let done = match step {
        SwapStep::On { path, priority } => {
            return name(path)
                .and_then(|name| vigo_sys::swap::on(&name, *priority))
                .map_err(|error| on_failure(path, &error));
        }
        SwapStep::Off { path } => {
            return name(path)
                .and_then(|name| vigo_sys::swap::off(&name))
                .map_err(|error| off_failure(path, &error));
        }
        SwapStep::Make { path, size } => make(path, *size),
        SwapStep::Erase { path, how, timeout } => erase(path, *how, *timeout),
        SwapStep::AddZram { size, priority } => return add_zram(host, *size, *priority),
        SwapStep::RemoveZram { path } => {
            change(host, &SwapStep::Off { path: path.clone() })?;
            // Empty it holds no memory. Who else has it open may keep it.
            let _ = remove_zram(path);
            return Ok(());
        }
        SwapStep::Map { name, path, bits } => return map(host, name, path, *bits),
        SwapStep::Unmap { name } => return unmap(host, name),
    };
    done.map_err(|error| Failure::failed(format!("cannot {step}: {error}")))
}

fn name(path: &str) -> io::Result<CString> {
    CString::new(path).map_err(io::Error::other)
}

fn on_failure(path: &str, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot use `{path}` as swap: {error}"));
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL) => failure.help("the kernel takes no file with holes, and none on a network, memory or overlay file system; on btrfs it must be neither compressed nor copied on write"),
        Some(Errno::PERM) => failure.help("swap belongs to the whole machine: it takes CAP_SYS_ADMIN outside of containers"),
        Some(Errno::BUSY) => failure.help("something else uses it: `lsblk` and `/proc/swaps` say what"),
        _ => failure,
    }
}

fn off_failure(path: &str, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot switch off swap on `{path}`: {error}"));
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOMEM) => failure.help(
            "what is in it does not fit in memory: stop something, or do it after a restart of the machine",
        ),
        Some(Errno::PERM) => {
            failure.help("swap belongs to the whole machine: it takes CAP_SYS_ADMIN outside of containers")
        }
        _ => failure,
    }
}

/// Writes a header; makes the file first where a size is given.
fn make(path: &str, size: Option<u64>) -> io::Result<()> {
    let Some(size) = size else {
        // EXCL on a block device: refused while anything uses it (open(2)).
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let device = match open(path, flags, Mode::empty()) {
            // `/dev/mapper/x` is a link.
            Err(Errno::LOOP) => open(std::fs::canonicalize(path)?, flags, Mode::empty())?,
            other => other?,
        };
        let mut device = File::from(device);
        let length = device.seek(SeekFrom::End(0))?;
        return write_header(&device, length);
    };
    let whole: AbsolutePath = path.parse().map_err(io::Error::other)?;
    let parent = whole.parent().ok_or_else(|| io::Error::other("it is the root"))?;
    let folder = vigo_sys::walk::open_folder(parent.as_path())?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let is_new =
        rustix::fs::statat(&folder, whole.file_name(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err();
    let file = File::from(rustix::fs::openat(&folder, whole.file_name(), flags, Mode::RUSR | Mode::WUSR)?);
    let made = fill(&file, size).and_then(|()| write_header(&file, size));
    if made.is_err() && is_new {
        let _ = rustix::fs::unlinkat(&folder, whole.file_name(), rustix::fs::AtFlags::empty());
    }
    made
}

/// A file without holes, for its owner alone.
fn fill(file: &File, size: u64) -> io::Result<()> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("something else than a file stands there"));
    }
    rustix::fs::fchmod(file, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::ftruncate(file, 0)?;
    #[cfg(target_os = "linux")]
    if let Ok(flags) = rustix::fs::ioctl_getflags(file) {
        // btrfs swaps to files that are not copied on write only (btrfs(5)); the others refuse the flag, which is no harm.
        let _ = rustix::fs::ioctl_setflags(file, flags | rustix::fs::IFlags::NOCOW);
    }
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            zeroes(file, size, Instant::now() + Duration::from_secs(1800))
        }
        Err(errno) => Err(errno.into()),
    }
}

fn write_header(file: &File, length: u64) -> io::Result<()> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(io::Error::other)?;
    // Version 4, the random one (RFC 9562).
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut uuid;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let header = vigo_swap::header(rustix::param::page_size(), length, uuid).ok_or_else(|| {
        io::Error::other(format!("a swap area of {length} bytes is too small, or too large"))
    })?;
    file.write_all_at(&header, 0)?;
    file.sync_all()
}

/// Zeroes from the end to the beginning: the header goes last, so that what was interrupted is still seen to be swap.
fn zeroes(file: &File, size: u64, deadline: Instant) -> io::Result<()> {
    let zeroes = vec![0; STEP];
    let (mut left, mut steps) = (size, 0_u32);
    while left > 0 {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{left} of {size} bytes were left when its time was over; write a longer `timeout`"),
            ));
        }
        let part = zeroes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= part as u64;
        file.write_all_at(zeroes.get(..part).unwrap_or_default(), left)?;
        // What is written would otherwise fill the memory that swap was to make room in.
        steps += 1;
        if steps.is_multiple_of(64) {
            file.sync_data()?;
        }
    }
    file.sync_all()
}

fn erase(path: &str, how: Erase, timeout: Duration) -> io::Result<()> {
    let deadline = Instant::now() + timeout;
    let path = std::fs::canonicalize(path)?;
    let told = path.metadata()?;
    let exclusive = if told.file_type().is_block_device() { OFlags::EXCL } else { OFlags::empty() };
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | exclusive;
    let (content, _) = look_inside(&path.to_string_lossy());
    if content != StorageContent::Swap {
        return Err(io::Error::other("it has no header of a swap area any more, so it is left as it is"));
    }
    let mut file = File::from(open(&path, flags, Mode::empty())?);
    let size = file.seek(SeekFrom::End(0))?;
    match how {
        Erase::Discard if !told.is_file() => {
            vigo_sys::swap::discard(file.as_fd(), 0, size)?;
            // What a device answers after that is its own affair; the header must be gone in any case.
            zeroes(&file, size.min(LOOKED_AT as u64), deadline)
        }
        Erase::Discard | Erase::Overwrite => zeroes(&file, size, deadline),
    }
}

fn add_zram(host: &RealHost<'_>, size: u64, priority: i32) -> Result<(), Failure> {
    let wrong = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Failure::failed(format!("cannot {what}: {error}"))
    };
    if !Here.exists("/sys/class/zram-control") && !Here.exists("/sys/block/zram0") {
        let loaded = tool(host, &["modprobe", "zram"])?;
        if !loaded.succeeded() {
            return Err(Failure::blocked("cannot load the kernel's module `zram`")
                .help("load it before Vigo runs, or choose another policy"));
        }
    }
    let free = Here.names("/sys/block").into_iter().find(|name| {
        vigo_swap::is_zram_name(name)
            && Here.line(&format!("/sys/block/{name}/disksize")).as_deref() == Some("0")
    });
    let name = match free {
        Some(name) => name,
        // Reading the file makes a device (Documentation/admin-guide/blockdev/zram.rst).
        None => std::fs::read_to_string("/sys/class/zram-control/hot_add")
            .map(|number| format!("zram{}", number.trim()))
            .map_err(wrong("make a compressed device"))?,
    };
    let path = format!("/dev/{name}");
    let used = std::fs::write(format!("/sys/block/{name}/disksize"), size.to_string())
        .map_err(wrong("give the compressed device its size"))
        .and_then(|()| wait_for(&path))
        .and_then(|()| make(&path, None).map_err(wrong("make the compressed device a swap area")))
        .and_then(|()| change(host, &SwapStep::On { path: path.clone(), priority: Some(priority) }));
    if used.is_err() {
        let _ = remove_zram(&path);
    }
    used
}

/// The node of a device appears a moment after the device.
fn wait_for(path: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Here.exists(path) {
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("cannot use `{path}`: it did not appear")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn remove_zram(path: &str) -> io::Result<()> {
    let Some(number) = path.strip_prefix("/dev/zram") else {
        return Err(io::Error::other("it is no compressed device"));
    };
    std::fs::write(format!("/sys/block/zram{number}/reset"), "1")?;
    match std::fs::File::options().write(true).open("/sys/class/zram-control/hot_remove") {
        Ok(mut remove) => remove.write_all(number.as_bytes()),
        // Without that file devices come and go with the module; it is empty now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn crypt_tool() -> Result<(&'static str, bool), Failure> {
    let found = CRYPT_TOOLS.into_iter().find(|path| Here.exists(path));
    let path = found.ok_or_else(|| {
        Failure::blocked("cannot make an encrypted mapping: there is no cryptsetup on this machine")
            .help("install the package `cryptsetup` (Debian: `cryptsetup-bin` is enough)")
    })?;
    Ok((path, path.ends_with("/cryptsetup")))
}

/// The key comes from the kernel's random numbers and is nowhere but in the mapping (cryptsetup-open(8), plain mode).
fn map(host: &RealHost<'_>, name: &str, path: &str, bits: u32) -> Result<(), Failure> {
    let (program, is_cryptsetup) = crypt_tool()?;
    let bits = bits.to_string();
    let options = format!("swap,cipher=aes-xts-plain64,size={bits}");
    let words: Vec<&str> = if is_cryptsetup {
        let mut words =
            vec![program, "open", "--batch-mode", "--type", "plain", "--cipher", "aes-xts-plain64"];
        words.extend(["--key-size", &bits, "--key-file", "/dev/urandom", path, name]);
        words
    } else {
        vec![program, "attach", name, path, "/dev/urandom", &options]
    };
    let finished = tool(host, &words)?;
    if !finished.succeeded() {
        return Err(tool_failure(&format!("make the mapping `{name}` over `{path}`"), &finished));
    }
    wait_for(&format!("/dev/mapper/{name}"))
}

fn unmap(host: &RealHost<'_>, name: &str) -> Result<(), Failure> {
    let (program, is_cryptsetup) = crypt_tool()?;
    let finished = tool(host, &[program, if is_cryptsetup { "close" } else { "detach" }, name])?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(tool_failure(&format!("take the mapping `{name}` away"), &finished))
}

fn tool_failure(what: &str, finished: &Finished) -> Failure {
    let said = match &finished.output {
        Output::Kept { stderr, .. } => stderr.trim().lines().next_back().unwrap_or_default().to_owned(),
        Output::Dropped { why, .. } => why.clone(),
    };
    Failure::failed(format!("cannot {what}: {:?} {said}", finished.end))
}

fn tool(host: &RealHost<'_>, words: &[&str]) -> Result<Finished, Failure> {
    host.run_command(&CommandRequest {
        line: CommandLine::Arguments(words.iter().map(|word| Pieces::literal(*word)).collect()),
        user: None,
        group: None,
        folder: crate::map::root()?,
        environment: Vec::new(),
        stdin: None,
        allow_argv: false,
        credentials: Vec::new(),
        umask: 0o077,
        timeout: TOOL,
        output: OutputRule::Automatic,
        resource: String::new(),
    })
}
