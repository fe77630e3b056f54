//! `swap`: one file or device that is used as swap, now and after each boot.

use crate::place;
use crate::swap_tables::{self as tables, FSTAB, FileChange, Table, require_rights, require_room};
use std::time::Duration;
use vigo_base::AbsolutePath;
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Context, EntryKind, Erase, Example,
    Failure, Host, Kind, Outcome, Plan, Provides, Resource, Storage, StorageContent, SwapState, SwapStep,
    TypeInfo, Unchanged,
};
use vigo_swap::{Fstab, parse_size};

pub(crate) const ERASE: AttributeInfo = AttributeInfo::new(
    "erase",
    Kind::Choice(&["no", "discard", "overwrite"]),
    "What becomes of what was swapped out to a device that is closed: the device is told to forget it, or zeroes are written over it. A file is overwritten either way.",
)
.default("no");

/// Overwriting a large disk takes its time.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3600);

static INFO: TypeInfo = TypeInfo {
    name: "swap",
    doc: "A file or a device that is used as swap, now and after each boot.",
    attributes: &[
        AttributeInfo::new("path", Kind::Path, "The swap file. Either this or `device`.").identifying(),
        AttributeInfo::new(
            "device",
            Kind::Text,
            "The device: a path, `UUID=...`, `LABEL=...`, `PARTUUID=...`. One that holds something else is left alone.",
        )
        .identifying(),
        AttributeInfo::new("size", Kind::Text, "Size of the file, as `512M` or `2G`. A file needs it."),
        AttributeInfo::new(
            "priority",
            Kind::Integer { least: 0, most: 32_767 },
            "Areas with a higher one are used first.",
        )
        .default("what the kernel chooses"),
        ERASE,
    ],
    states: &["present", "absent"],
    later: &[],
    exclusive: &[&["path", "device"], &["device", "size"]],
    provides: Provides::Path("path"),
    timeout: TIMEOUT,
    examples: &[
        Example {
            title: "A swap file. What programs hold can then be read on that disk: see `swap_policy`",
            policy: "type: swap\npath: /swapfile\nsize: 2G\n",
        },
        Example {
            title: "A device that is used no longer, and overwritten",
            policy: "type: swap\ndevice: /dev/disk/by-partlabel/swap\nstate: absent\nerase: overwrite\n",
        },
    ],
};

/// How the word of `erase` is meant.
pub(crate) fn erase(attributes: &mut Attributes) -> Option<Erase> {
    match attributes.choice("erase") {
        Some("discard") => Some(Erase::Discard),
        Some("overwrite") => Some(Erase::Overwrite),
        _ => None,
    }
}

/// A size as it is written; what is none is noted.
pub(crate) fn size(attributes: &mut Attributes) -> Option<u64> {
    let written = attributes.text("size")?;
    let size = parse_size(&written).filter(|size| *size >= 1 << 20);
    if size.is_none() {
        attributes.problem(
            AttributeProblem::new("size", format!("`{written}` is no size of swap"))
                .help("write a number with `M` or `G`, as `512M`; 1M is the least"),
        );
    }
    // Whole pages of every page size.
    size.map(|size| size & !0xffff)
}

/// Swap as the policy wants it.
#[derive(Debug)]
pub struct Swap {
    /// The file or device, as written.
    name: String,
    /// The path of a file, and its size where one is wanted.
    file: Option<(AbsolutePath, Option<u64>)>,
    priority: Option<i32>,
    is_absent: bool,
    erase: Option<Erase>,
}

/// What is to be done.
#[derive(Debug)]
pub struct Steps {
    files_first: Option<FileChange>,
    kernel: Vec<SwapStep>,
    files_last: Option<FileChange>,
}

impl Resource for Swap {
    type Steps = Steps;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let is_absent = attributes.state() == "absent";
        let written = attributes.has("path") || attributes.has("device");
        let has_size = attributes.has("size");
        let (path, device) = (attributes.path("path"), attributes.text("device"));
        let size = size(&mut attributes);
        let priority = attributes.integer("priority").and_then(|priority| i32::try_from(priority).ok());
        let erase = erase(&mut attributes);
        if !written {
            attributes.problem(
                AttributeProblem::new("path", "`swap` needs a file or a device")
                    .help("write `path` with `size`, or `device`"),
            );
        }
        if path.is_some() && !has_size && !is_absent {
            attributes.problem(
                AttributeProblem::new("size", "a swap file needs its size").help("write it as `2G`"),
            );
        }
        if let Some(device) = &device
            && vigo_swap::spec_path(device).is_none()
        {
            attributes.problem(
                AttributeProblem::new("device", format!("`{device}` names no device"))
                    .help("write a path below `/dev`, or `UUID=...`"),
            );
        }
        let resource = match (path, device) {
            (Some(path), _) => Some((path.to_string(), Some((path, size)))),
            (None, Some(device)) => Some((device, None)),
            (None, None) => None,
        };
        attributes.finish(resource.map(|(name, file)| Self { name, file, priority, is_absent, erase }))
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        if let Some((path, _)) = &self.file {
            place::refuse_guarded(host, path)?;
        }
        let state = host.swap_state()?;
        let storage = tables::find(host, &state, &self.name)?;
        let table = Table::read(host, FSTAB)?;
        if self.is_absent {
            return self.plan_absence(host, context, &state, storage, &table);
        }
        if self.is_closed(host, &state, storage.as_ref(), &table)? {
            return Ok(Plan::Unchanged(Unchanged::Guard(format!(
                "`swap_policy` has closed `{}`, or put it below an encrypted mapping",
                self.name
            ))));
        }
        self.plan_presence(host, &state, storage, &table)
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        if let Some(change) = &steps.files_first {
            change.carry_out(host, context)?;
        }
        steps.kernel.iter().try_for_each(|step| tables::carry_out(host, step))?;
        if let Some(change) = &steps.files_last {
            change.carry_out(host, context)?;
        }
        Ok(Applied::default())
    }
}

impl Swap {
    fn plan_presence(
        &self,
        host: &dyn Host,
        state: &SwapState,
        storage: Option<Storage>,
        table: &Table,
    ) -> Result<Plan<Steps>, Failure> {
        let area = storage
            .as_ref()
            .and_then(|storage| state.areas.iter().find(|area| area.storage.path == storage.path));
        let make = match &self.file {
            Some((path, size)) => self.make_file(host, path, *size, storage.as_ref())?,
            None => self.make_device(storage.as_ref())?,
        };
        // By the kernel's own name where there is one: a link may lead elsewhere tomorrow, and `UUID=` is none to the kernel.
        let path = storage.as_ref().map_or_else(|| self.name.clone(), |storage| storage.path.clone());
        let on = SwapStep::On { path: path.clone(), priority: self.priority };
        let mut kernel = Vec::new();
        match area {
            None => {
                kernel.extend(make);
                kernel.push(on);
            }
            Some(area) => {
                let other = self.priority.is_some_and(|priority| priority != area.priority);
                if make.is_some() || other {
                    kernel.push(SwapStep::Off { path: path.clone() });
                    kernel.extend(make);
                    kernel.push(on);
                    require_room(state, &[&path])?;
                }
            }
        }
        let change = self.fstab_presence(host, state, storage.as_ref(), table)?;
        require_rights(state, !kernel.is_empty(), change.is_some())?;
        let outcome = if area.is_none() { Outcome::Created } else { Outcome::Updated };
        Ok(plan(outcome, Vec::new(), Steps { files_first: None, kernel, files_last: change }))
    }

    /// `None` when the file is there as it should be.
    fn make_file(
        &self,
        host: &dyn Host,
        path: &AbsolutePath,
        size: Option<u64>,
        storage: Option<&Storage>,
    ) -> Result<Option<SwapStep>, Failure> {
        let make = || Ok(Some(SwapStep::Make { path: path.to_string(), size }));
        let Some(entry) = host.entry(path)? else {
            place::require_parent(host, path)?;
            return make();
        };
        place::require_kind(path, &entry, EntryKind::File)?;
        let Some(storage) = storage else { return make() };
        match storage.content {
            StorageContent::Swap if Some(storage.size) == size && entry.mode.bits() & 0o077 == 0 => Ok(None),
            StorageContent::Swap | StorageContent::Nothing => make(),
            StorageContent::Other | StorageContent::Unknown => {
                Err(Failure::failed(format!("cannot make `{path}` a swap file: it holds something else"))
                    .help("remove it first, or name another path"))
            }
        }
    }

    /// `None` when the device has its header.
    fn make_device(&self, storage: Option<&Storage>) -> Result<Option<SwapStep>, Failure> {
        let Some(storage) = storage else {
            return Err(Failure::blocked(format!("cannot find the device `{}` on this machine", self.name))
                .help("correct the name; `lsblk -o NAME,UUID,LABEL,PARTUUID` lists what is there"));
        };
        match storage.content {
            _ if storage.is_file => Err(Failure::failed(format!("cannot use `{}`: it is a file", self.name))
                .help("write `path` instead of `device`")),
            StorageContent::Swap => Ok(None),
            StorageContent::Nothing => Ok(Some(SwapStep::Make { path: storage.path.clone(), size: None })),
            StorageContent::Unknown => Err(Failure::blocked(format!(
                "cannot look at the device `{}`: this process may not read it",
                self.name
            ))
            .help("run Vigo as root")),
            StorageContent::Other => Err(Failure::failed(format!(
                "cannot make `{}` a swap area: something else stands on it",
                self.name
            ))
            .help(format!("if nobody needs it, clear it by hand: `wipefs -a {}`", storage.path))),
        }
    }

    fn fstab_presence(
        &self,
        host: &dyn Host,
        state: &SwapState,
        storage: Option<&Storage>,
        table: &Table,
    ) -> Result<Option<FileChange>, Failure> {
        let mut fstab = Fstab::new(table.text());
        let own = self.own_lines(host, state, storage, &fstab)?;
        let right = |line: &&tables::Line| {
            line.entry.is_automatic()
                && self.priority.is_none_or(|wanted| line.entry.priority() == Some(wanted))
        };
        if own.iter().any(|line| right(&line)) {
            return Ok(None);
        }
        let wanted = Fstab::line(&self.name, self.priority);
        match own.iter().find(|line| line.entry.is_automatic()) {
            Some(line) => fstab.replace(line.entry.number, &wanted),
            None => fstab.add(&wanted),
        }
        Ok(table.change(fstab.text()))
    }

    /// True if a `swap_policy` of this machine took it out of use: it has the last word, else both would undo each other's work in every run.
    fn is_closed(
        &self,
        host: &dyn Host,
        state: &SwapState,
        storage: Option<&Storage>,
        table: &Table,
    ) -> Result<bool, Failure> {
        let lines = tables::lines(host, &Fstab::new(table.text()), state)?;
        Ok(lines.iter().filter(|line| line.entry.marked).any(|line| {
            let same = line.storage.as_ref().zip(storage).is_some_and(|(one, other)| one.path == other.path);
            same || line.entry.spec == self.name
        }))
    }

    /// The lines of fstab that are about this file or device.
    fn own_lines(
        &self,
        host: &dyn Host,
        state: &SwapState,
        storage: Option<&Storage>,
        fstab: &Fstab,
    ) -> Result<Vec<tables::Line>, Failure> {
        let mut lines = tables::lines(host, fstab, state)?;
        lines.retain(|line| {
            let same = line.storage.as_ref().zip(storage).is_some_and(|(one, other)| one.path == other.path);
            !line.entry.marked && (same || line.entry.spec == self.name)
        });
        Ok(lines)
    }

    fn plan_absence(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        state: &SwapState,
        storage: Option<Storage>,
        table: &Table,
    ) -> Result<Plan<Steps>, Failure> {
        let mut fstab = Fstab::new(table.text());
        for line in self.own_lines(host, state, storage.as_ref(), &fstab)? {
            fstab.remove(line.entry.number);
        }
        let files_first = table.change(fstab.text());
        let mut kernel = Vec::new();
        let mut lines = Vec::new();
        if let Some(storage) = &storage {
            let is_on = state.areas.iter().any(|area| area.storage.path == storage.path);
            if is_on {
                require_room(state, &[&storage.path])?;
                kernel.push(SwapStep::Off { path: storage.path.clone() });
            }
            let is_swap = storage.content == StorageContent::Swap;
            if let Some(how) = self.erase.filter(|_| is_swap) {
                require_discard(storage, how)?;
                let path = storage.path.clone();
                kernel.push(SwapStep::Erase { path, how, timeout: context.timeout });
            }
            if is_on && storage.class > vigo_base::SwapClass::EncryptedEphemeral {
                lines.extend(tables::after_care(context, &[storage], self.erase.is_some()));
            }
        }
        let files_last = match &self.file {
            Some((path, _)) => match host.entry(path)? {
                Some(entry) => {
                    place::require_kind(path, &entry, EntryKind::File)?;
                    Some(FileChange::Remove { path: path.to_string() })
                }
                None => None,
            },
            None => None,
        };
        require_rights(state, !kernel.is_empty(), files_first.is_some())?;
        Ok(plan(Outcome::Deleted, lines, Steps { files_first, kernel, files_last }))
    }
}

/// Says no when the device cannot be told to forget.
pub(crate) fn require_discard(storage: &Storage, how: Erase) -> Result<(), Failure> {
    if how == Erase::Discard && !storage.discards && !storage.is_file {
        return Err(Failure::blocked(format!(
            "cannot let `{}` forget what was swapped out: the device does not know how to discard",
            storage.path
        ))
        .help("write `erase: overwrite`; nothing was changed"));
    }
    Ok(())
}

fn plan(outcome: Outcome, more: Vec<String>, steps: Steps) -> Plan<Steps> {
    let mut lines: Vec<String> = steps.files_first.iter().flat_map(FileChange::describe).collect();
    lines.extend(steps.kernel.iter().map(ToString::to_string));
    lines.extend(steps.files_last.iter().flat_map(FileChange::describe));
    if lines.is_empty() {
        return Plan::unchanged();
    }
    lines.extend(more);
    Plan::Change { outcome, change: Change { lines, diff: Vec::new() }, steps }
}
