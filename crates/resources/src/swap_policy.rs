//! `swap_policy`: what swap this machine may have at all, now and after each boot.
//!
//! Everything is found out first, then the steps are put in one order that can be cut off anywhere: tables first, so that a boot in
//! between already has them; then what is new; then what goes; erased before it is mapped anew. A later run sees what is left to do
//! from the machine alone: a device that was closed and not erased still has its header.

mod boot;
mod encrypted;

use crate::swap::{ERASE, TIMEOUT, erase, require_discard, size};
use crate::swap_tables::{self as tables, CRYPTTAB, FSTAB, FileChange, HostFiles, Line, Table};
use crate::swap_tables::{require_rights, require_room};
use vigo_base::{Pieces, SwapClass};
use vigo_resource::{
    Applied, AttributeInfo, Attributes, Change, CommandLine, CommandRequest, Context, Erase, Example,
    Failure, Host, Kind, Outcome, OutputRule, Plan, Provides, Resource, Storage, StorageContent, SwapArea,
    SwapState, SwapStep, TypeInfo,
};
use vigo_swap::{BootSource, Crypttab, Fstab, boot_sources, hibernates};

/// What the names of our mappings begin with.
const OURS: &str = "vigo-swap";
/// Compressed memory comes before anything on a disk.
const ZRAM_PRIORITY: i32 = 100;
/// Without `size`: half of the memory, at most this.
const ZRAM_MOST: u64 = 4 << 30;

static INFO: TypeInfo = TypeInfo {
    name: "swap_policy",
    doc: "What swap a machine may have: none, in compressed memory only, or encrypted with a key that nobody keeps. One of these a machine. There is no `state: absent`: what was closed stays closed when the policy goes; lines of fstab that were commented out begin with `#vigo:swap#`, and whoever wants them back takes that away.",
    attributes: &[
        AttributeInfo::new(
            "swap_policy",
            Kind::Choice(&["off", "zram", "encrypted"]),
            "`off`: none. `zram`: one compressed device in memory, nothing on a disk. `encrypted`: what is on a disk in the clear gets a new random key at each boot; compressed memory and what is encrypted already may stay.",
        )
        .identity(),
        ERASE,
        AttributeInfo::new("size", Kind::Text, "How much the compressed device takes, uncompressed, as `2G`.")
            .default("half of the memory, at most 4G"),
        AttributeInfo::new(
            "key_bits",
            Kind::Choice(&["256", "512"]),
            "Bits of the key of aes-xts-plain64: AES-128 or AES-256.",
        )
        .default("512"),
    ],
    states: &[],
    later: &[],
    exclusive: &[],
    provides: Provides::OnlyOne,
    timeout: TIMEOUT,
    examples: &[
        Example {
            title: "Swap whose key ends with the boot; what was written in the clear before is overwritten",
            policy: "type: swap_policy\nswap_policy: encrypted\nerase: overwrite\n",
        },
        Example {
            title: "Swap in compressed memory only",
            policy: "type: swap_policy\nswap_policy: zram\nsize: 2G\n",
        },
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Off,
    Zram,
    Encrypted,
}

/// The policy as it is written.
#[derive(Debug)]
pub struct SwapPolicy {
    wanted: Wanted,
    erase: Option<Erase>,
    size: Option<u64>,
    key_bits: u32,
}

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub struct Steps {
    files: Vec<FileChange>,
    /// systemd is to read its units anew.
    reloads: bool,
    kernel: Vec<SwapStep>,
}

/// What was found out.
struct Facts {
    state: SwapState,
    lines: Vec<Line>,
    fstab: Table,
    crypttab: Table,
    boot: Vec<BootSource>,
    has_systemd: bool,
    has_zram_generator: bool,
    can_encrypt_at_boot: bool,
    hibernates: bool,
}

impl Resource for SwapPolicy {
    type Steps = Steps;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<vigo_resource::AttributeProblem>> {
        let wanted = match attributes.choice("swap_policy") {
            Some("off") => Some(Wanted::Off),
            Some("zram") => Some(Wanted::Zram),
            Some(_) => Some(Wanted::Encrypted),
            None => None,
        };
        let erase = erase(&mut attributes);
        let size = size(&mut attributes);
        let key_bits = if attributes.choice("key_bits") == Some("256") { 256 } else { 512 };
        attributes.finish(wanted.map(|wanted| Self { wanted, erase, size, key_bits }))
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        let facts = Facts::look(host)?;
        let mut planned = Planned::new(&facts);
        self.close_lines(&facts, &mut planned);
        boot::close(host, self.wanted, &facts, &mut planned)?;
        match self.wanted {
            Wanted::Off => boot::end_zram(host, &mut planned)?,
            Wanted::Zram => {
                boot::keep_zram(host, &facts, self.zram_size(&facts.state), &mut planned)?;
                if !facts.state.areas.iter().any(is_zram) {
                    if !facts.state.has_zram {
                        return Err(Failure::blocked(
                            "cannot swap to compressed memory: this kernel has no zram",
                        )
                        .help("choose `off` or `encrypted`, or a kernel with CONFIG_ZRAM"));
                    }
                    let size = self.zram_size(&facts.state);
                    planned.first.push(SwapStep::AddZram { size, priority: ZRAM_PRIORITY });
                }
            }
            Wanted::Encrypted => {}
        }
        self.close_areas(host, &facts, &mut planned)?;
        self.erase(host, &facts, context, &mut planned)?;
        if self.wanted == Wanted::Encrypted {
            encrypted::convert(host, &facts, self.key_bits, &mut planned)?;
        }
        planned.end(&facts, context, self.erase.is_some())
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        steps.files.iter().try_for_each(|change| change.carry_out(host, context))?;
        if steps.reloads {
            reload(host, context)?;
        }
        steps.kernel.iter().try_for_each(|step| tables::carry_out(host, step))?;
        Ok(Applied::default())
    }
}

fn is_zram(area: &SwapArea) -> bool {
    area.storage.class == SwapClass::Zram
}

fn is_ours(storage: &Storage) -> bool {
    storage.mapping.as_ref().is_some_and(|name| name.starts_with(OURS))
}

/// systemd reads fstab and units when it is told to; until then it holds what it read at boot.
fn reload(host: &mut dyn Host, context: &Context<'_>) -> Result<(), Failure> {
    let finished = host.run(&CommandRequest {
        line: CommandLine::Arguments(vec![Pieces::literal("systemctl"), Pieces::literal("daemon-reload")]),
        user: None,
        group: None,
        folder: crate::place::root()?,
        environment: Vec::new(),
        stdin: None,
        allow_argv: false,
        credentials: Vec::new(),
        umask: 0o022,
        timeout: context.timeout,
        output: OutputRule::Automatic,
        resource: context.id.to_owned(),
    })?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(Failure::failed("cannot let systemd read its units anew: `systemctl daemon-reload` failed")
        .help("nothing was switched off; the next run begins anew"))
}

/// The plan while it comes together.
struct Planned<'a> {
    fstab: Fstab,
    crypttab: Crypttab,
    files: Vec<FileChange>,
    /// What is new and does not need what goes.
    first: Vec<SwapStep>,
    off: Vec<SwapStep>,
    erase: Vec<SwapStep>,
    last: Vec<SwapStep>,
    /// Swap that could be read and is closed.
    closed: Vec<&'a Storage>,
    notes: Vec<String>,
}

impl<'a> Planned<'a> {
    fn new(facts: &Facts) -> Self {
        Self {
            fstab: Fstab::new(facts.fstab.text()),
            crypttab: Crypttab::new(facts.crypttab.text()),
            files: Vec::new(),
            first: Vec::new(),
            off: Vec::new(),
            erase: Vec::new(),
            last: Vec::new(),
            closed: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// True if that is switched off by this plan.
    fn closes(&self, path: &str) -> bool {
        self.off.iter().any(|step| matches!(step, SwapStep::Off { path: off } if off == path))
    }

    fn end(mut self, facts: &Facts, context: &Context<'_>, is_erased: bool) -> Result<Plan<Steps>, Failure> {
        let tables = [facts.crypttab.change(self.crypttab.text()), facts.fstab.change(self.fstab.text())];
        // The key of a line in fstab first: a boot in between finds both or neither in use.
        self.files.splice(0..0, tables.into_iter().flatten());
        let off: Vec<&str> = self
            .off
            .iter()
            .filter_map(|step| match step {
                SwapStep::Off { path } | SwapStep::RemoveZram { path } => Some(path.as_str()),
                _ => None,
            })
            .collect();
        require_room(&facts.state, &off)?;
        let kernel: Vec<SwapStep> =
            [self.first, self.off, self.erase, self.last].into_iter().flatten().collect();
        require_rights(&facts.state, !kernel.is_empty(), !self.files.is_empty())?;
        if kernel.is_empty() && self.files.is_empty() {
            return Ok(Plan::unchanged());
        }
        let mut lines: Vec<String> = self.files.iter().flat_map(FileChange::describe).collect();
        lines.extend(kernel.iter().map(ToString::to_string));
        lines.extend(self.notes);
        if facts.hibernates && !self.closed.is_empty() {
            lines.push(
                "this machine is set up to hibernate: it will find no place to write its memory to"
                    .to_owned(),
            );
        }
        lines.extend(tables::after_care(context, &self.closed, is_erased));
        let reloads = facts.has_systemd && !self.files.is_empty();
        let steps = Steps { files: self.files, reloads, kernel };
        Ok(Plan::Change { outcome: Outcome::Updated, change: Change { lines, diff: Vec::new() }, steps })
    }
}

impl Facts {
    fn look(host: &dyn Host) -> Result<Self, Failure> {
        let state = host.swap_state()?;
        let fstab = Table::read(host, FSTAB)?;
        let crypttab = Table::read(host, CRYPTTAB)?;
        let lines = tables::lines(host, &Fstab::new(fstab.text()), &state)?;
        let files = HostFiles::new(host);
        let boot = boot_sources(&files);
        let hibernates = hibernates(&files);
        let is_there = |names: &[&str]| {
            names.iter().try_fold(false, |found, name| {
                Ok::<_, Failure>(found || host.entry(&tables::path(name)?)?.is_some())
            })
        };
        let generator = |name: &str| {
            let folders = ["/usr/lib/systemd/system-generators", "/lib/systemd/system-generators"];
            let paths: Vec<String> = folders.iter().map(|folder| format!("{folder}/{name}")).collect();
            is_there(&paths.iter().map(String::as_str).collect::<Vec<_>>())
        };
        Ok(Self {
            has_systemd: is_there(&["/run/systemd/system"])?,
            has_zram_generator: generator("zram-generator")?,
            can_encrypt_at_boot: generator("systemd-cryptsetup-generator")?
                || is_there(&["/etc/init.d/cryptdisks", "/etc/init.d/dmcrypt"])?,
            state,
            lines,
            fstab,
            crypttab,
            boot,
            hibernates: files.end(hibernates)?,
        })
    }
}

impl SwapPolicy {
    fn zram_size(&self, state: &SwapState) -> u64 {
        self.size.unwrap_or_else(|| (state.memory_total / 2).min(ZRAM_MOST) & !0xffff).max(1 << 20)
    }

    /// True if what stands there may be swap under this policy.
    fn allows(&self, storage: &Storage) -> bool {
        match self.wanted {
            Wanted::Off => false,
            Wanted::Zram => storage.class == SwapClass::Zram,
            Wanted::Encrypted => storage.class < SwapClass::Plain,
        }
    }

    /// Lines of fstab that the policy does not allow: ours go, others are commented out.
    fn close_lines(&self, facts: &Facts, planned: &mut Planned<'_>) {
        let crypttab = Crypttab::new(facts.crypttab.text());
        for line in facts.lines.iter().filter(|line| line.entry.is_automatic()) {
            let mapping = tables::ephemeral(&line.entry, &crypttab);
            let ours = line.entry.spec.strip_prefix("/dev/mapper/").filter(|name| name.starts_with(OURS));
            let is_allowed = match (&line.storage, mapping) {
                // Made at boot with a new key, whether it is there now or not.
                (_, Some(_)) => self.wanted == Wanted::Encrypted,
                (Some(storage), None) => self.allows(storage),
                (None, None) => vigo_swap::is_zram_name(&line.entry.spec) && self.wanted != Wanted::Off,
            };
            if is_allowed {
                continue;
            }
            match ours {
                Some(_) => planned.fstab.remove(line.entry.number),
                None => planned.fstab.comment_out(line.entry.number),
            }
        }
        if self.wanted != Wanted::Encrypted {
            let ours = crypttab.entries().into_iter().filter(|entry| entry.name.starts_with(OURS));
            ours.for_each(|entry| planned.crypttab.remove(entry.number));
        }
    }

    /// Areas in use that the policy does not allow.
    fn close_areas<'a>(
        &self,
        host: &dyn Host,
        facts: &'a Facts,
        planned: &mut Planned<'a>,
    ) -> Result<(), Failure> {
        for area in facts.state.areas.iter().filter(|area| !self.allows(&area.storage)) {
            let storage = &area.storage;
            let path = storage.path.clone();
            planned.off.push(match vigo_swap::is_zram_name(&storage.path) {
                true => SwapStep::RemoveZram { path },
                false => SwapStep::Off { path },
            });
            if storage.class > SwapClass::EncryptedEphemeral {
                planned.closed.push(storage);
            }
        }
        if self.wanted == Wanted::Encrypted {
            return Ok(());
        }
        // Our mappings go with their lines, also those that an earlier run left behind.
        let entries = Crypttab::new(facts.crypttab.text()).entries().into_iter().map(|entry| entry.name);
        let used = facts.state.areas.iter().map(|area| &area.storage).filter(|storage| is_ours(storage));
        let mut names: Vec<String> = entries
            .filter(|name| name.starts_with(OURS))
            .chain(used.filter_map(|storage| storage.mapping.clone()))
            .collect();
        let folder = tables::path("/dev/mapper")?;
        if host.entry(&folder)?.is_some() {
            names.extend(host.list_folder(&folder)?.into_iter().filter(|name| name.starts_with(OURS)));
        }
        names.sort();
        names.dedup();
        for name in names {
            if host.storage(&format!("/dev/mapper/{name}"))?.is_some() {
                planned.off.push(SwapStep::Unmap { name });
            }
        }
        Ok(())
    }

    /// What is closed by this plan, or was by an earlier one, and still has its header.
    fn erase(
        &self,
        host: &dyn Host,
        facts: &Facts,
        context: &Context<'_>,
        planned: &mut Planned<'_>,
    ) -> Result<(), Failure> {
        let Some(how) = self.erase else { return Ok(()) };
        let stays = |storage: &Storage| {
            facts.state.areas.iter().any(|area| area.storage.path == storage.path)
                && !planned.closes(&storage.path)
        };
        let marked: Vec<usize> =
            planned.fstab.swaps().iter().filter(|entry| entry.marked).map(|entry| entry.number).collect();
        let earlier = facts.lines.iter().filter(|line| marked.contains(&line.entry.number));
        let all = planned.closed.iter().copied().chain(earlier.filter_map(|line| line.storage.as_ref()));
        let mut erased: Vec<&Storage> = Vec::new();
        for storage in all {
            let is_known = erased.iter().any(|other| other.path == storage.path);
            let is_left =
                storage.class > SwapClass::EncryptedEphemeral && storage.content == StorageContent::Swap;
            if !is_left || is_known || stays(storage) || vigo_swap::is_zram_name(&storage.path) {
                continue;
            }
            // Under a mapping that is there the old header may still show through: it goes with the first use.
            if let Some(name) = encrypted::entry_over(host, facts, storage)?
                && host.storage(&format!("/dev/mapper/{name}"))?.is_some()
            {
                continue;
            }
            erased.push(storage);
        }
        for storage in erased {
            require_discard(storage, how)?;
            let path = storage.path.clone();
            planned.erase.push(SwapStep::Erase { path, how, timeout: context.timeout });
        }
        Ok(())
    }
}
