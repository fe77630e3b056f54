//! What switches swap on at the next boot, and whether memory is written to a disk when the machine sleeps.

use crate::files::Files;
use crate::fstab::Fstab;

/// Folders of units that people and packages fill, strongest first (systemd.unit(5)).
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// Units that a generator found by itself, by the types of partitions (systemd-gpt-auto-generator(8)).
const FOUND: &str = "/run/systemd/generator.late";
/// Where zram-generator(8) is told what to make.
const ZRAM_CONFIG: [&str; 4] = [
    "/etc/systemd/zram-generator.conf",
    "/run/systemd/zram-generator.conf",
    "/usr/local/lib/systemd/zram-generator.conf",
    "/usr/lib/systemd/zram-generator.conf",
];
/// Services of distributions that make swap when they are enabled.
const SERVICES: [(&str, bool); 5] = [
    ("zramswap.service", true),
    ("zram-config.service", true),
    ("armbian-zram-config.service", true),
    ("vigo-zram.service", true),
    ("dphys-swapfile.service", false),
];

/// Something that switches swap on at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootSource {
    /// A line of fstab: its device.
    Fstab(String),
    /// A unit of systemd: its name, what it switches on if it says so, and whether that is compressed memory.
    Unit {
        /// Its name.
        name: String,
        /// What it switches on; empty when it does not say.
        what: String,
        /// True for compressed memory.
        is_zram: bool,
    },
    /// zram-generator: its configuration, and whether pages go on to a device as they are.
    ZramGenerator {
        /// The file.
        path: String,
        /// The device that pages go on to; empty for none.
        writes_to: String,
    },
}

impl BootSource {
    /// As the trait and messages name it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Fstab(spec) => spec,
            Self::Unit { name, .. } => name,
            Self::ZramGenerator { .. } => "zram-generator",
        }
    }

    /// True if what it makes stays in memory.
    #[must_use]
    pub fn is_zram(&self) -> bool {
        match self {
            Self::Fstab(spec) => is_zram_name(spec),
            Self::Unit { is_zram, .. } => *is_zram,
            Self::ZramGenerator { writes_to, .. } => writes_to.is_empty(),
        }
    }
}

/// True for the name of a zram device, also below `/dev`.
#[must_use]
pub fn is_zram_name(name: &str) -> bool {
    let number = name.strip_prefix("/dev/").unwrap_or(name).strip_prefix("zram");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Everything that switches swap on at the next boot.
#[must_use]
pub fn boot_sources(files: &dyn Files) -> Vec<BootSource> {
    let fstab = Fstab::new(&files.text("/etc/fstab").unwrap_or_default());
    let lines = fstab.swaps().into_iter().filter(|entry| entry.is_automatic());
    let mut found: Vec<BootSource> = lines.map(|entry| BootSource::Fstab(entry.spec)).collect();
    found.extend(units(files));
    found.extend(zram_generator(files));
    found.truncate(64);
    found
}

fn units(files: &dyn Files) -> Vec<BootSource> {
    let mut enabled: Vec<String> = Vec::new();
    for folder in UNITS {
        for wants in files.names(folder).into_iter().filter(|name| {
            name.ends_with(".wants") || name.ends_with(".requires") || name.ends_with(".upholds")
        }) {
            enabled.extend(files.names(&format!("{folder}/{wants}")));
        }
    }
    let is_swap = |name: &str| name.ends_with(".swap") || SERVICES.iter().any(|(known, _)| *known == name);
    let found = files.names(FOUND).into_iter().filter(|name| name.ends_with(".swap"));
    let mut names: Vec<String> = enabled.into_iter().filter(|name| is_swap(name)).chain(found).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(|name| unit(files, name)).collect()
}

/// `None` for a unit that is masked, closed by a condition of Vigo's, or not there.
fn unit(files: &dyn Files, name: String) -> Option<BootSource> {
    if files.exists(&closing_drop_in(&name)) {
        return None;
    }
    let paths = UNITS.iter().map(|folder| format!("{folder}/{name}"));
    let path = paths.chain([format!("{FOUND}/{name}")]).find(|path| files.exists(path))?;
    if files.link(&path).as_deref() == Some("/dev/null") {
        return None;
    }
    let text = files.text(&path).unwrap_or_default();
    let what =
        text.lines().find_map(|line| line.trim().strip_prefix("What=")).unwrap_or_default().trim().to_owned();
    let known = SERVICES.iter().find(|(known, _)| *known == name);
    let is_zram = known.map_or_else(|| is_zram_name(&what), |(_, is_zram)| *is_zram);
    Some(BootSource::Unit { name, what, is_zram })
}

/// The file by which a unit is kept from starting: a condition that never holds. It works for every kind of unit, also one that a generator makes, and is taken back by removing it.
#[must_use]
pub fn closing_drop_in(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}.d/50-vigo-closed.conf")
}

fn zram_generator(files: &dyn Files) -> Option<BootSource> {
    let generators = [
        "/usr/lib/systemd/system-generators/zram-generator",
        "/lib/systemd/system-generators/zram-generator",
    ];
    let path = ZRAM_CONFIG.into_iter().find(|path| files.exists(path))?;
    // An empty file, or a link to nowhere, switches it off.
    let text = files.text(path)?;
    let sections = text.lines().any(|line| line.trim().starts_with("[zram"));
    if !sections || !generators.iter().any(|path| files.exists(path)) {
        return None;
    }
    let writes_to = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "writeback-device").then(|| value.trim().to_owned())
    });
    Some(BootSource::ZramGenerator { path: path.to_owned(), writes_to: writes_to.unwrap_or_default() })
}

/// True if the kernel can write its memory to a disk and is set up for it (Documentation/admin-guide/pm/sleep-states.rst, initramfs-tools(7)).
#[must_use]
pub fn hibernates(files: &dyn Files) -> bool {
    let words = |path: &str| files.line(path).unwrap_or_default();
    let able = words("/sys/power/state").split_ascii_whitespace().any(|state| state == "disk")
        && !words("/sys/power/disk").contains("[disabled]");
    let named = words("/proc/cmdline").split_ascii_whitespace().any(|word| word.starts_with("resume="));
    let device = files.line("/sys/power/resume").is_some_and(|device| device != "0:0");
    let early = files.text("/etc/initramfs-tools/conf.d/resume").unwrap_or_default();
    let early = early
        .lines()
        .filter_map(|line| line.trim().strip_prefix("RESUME="))
        .any(|value| !matches!(value.trim_matches('"'), "" | "none" | "auto"));
    able && (named || device || early)
}
