//! What the types that manage a part of a file have in common: one file, one edit, one text that it puts in.
//!
//! The rest of the file keeps every byte, its owner and its mode. What an edit does to a text is told in `vigo-edit`.

use crate::ownership::{self, Owners};
use crate::place;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;
use vigo_base::{AbsolutePath, Mode, Pieces};
use vigo_edit::{Edit, Pattern};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Comparison, Context, DiffLine, Entry,
    EntryKind, Failure, Host, Kind, Outcome, Ownership, Placement, Plan, Resource, TypeInfo, Validation,
};

/// How long a command that judges a candidate may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) const TARGET: AttributeInfo =
    AttributeInfo::new("target_path", Kind::Path, "The file.").identity();
pub(crate) const CREATE: AttributeInfo =
    AttributeInfo::new("create", Kind::Boolean, "Make the file when it is missing.").default("false");
pub(crate) const MODE: AttributeInfo = AttributeInfo::new("mode", Kind::Mode, "Permission bits of the file.")
    .default("0644 at creation, then left alone; 0600 with a secret");
pub(crate) const OWNER: AttributeInfo = ownership::OWNER;
pub(crate) const GROUP: AttributeInfo = ownership::GROUP;
pub(crate) const BACKUP: AttributeInfo = AttributeInfo::new(
    "backup",
    Kind::Boolean,
    "Keep the file as it was beside it as `NAME.bak`; never for what holds a secret.",
)
.default("false");
pub(crate) const VALIDATE: AttributeInfo = AttributeInfo::new(
    "validate",
    Kind::Text,
    "A command that must succeed before the file takes its place; `%` is the candidate.",
);

/// A type that manages a part of a file: what it says of itself, and the edit that its attributes are.
pub trait Part: fmt::Debug + 'static {
    /// The type.
    const INFO: &'static TypeInfo;

    /// Takes what is its own: the edit, `None` where a problem was noted, and the text that it puts in.
    fn edit(attributes: &mut Attributes) -> (Option<Edit>, Option<Pieces>);
}

/// The resource of such a type.
#[derive(Debug)]
pub struct PartOf<P>(Edited, PhantomData<P>);

impl<P: Part> Resource for PartOf<P> {
    type Steps = Steps;
    const INFO: &'static TypeInfo = P::INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let (edit, text) = P::edit(&mut attributes);
        let part = Edited::take(&mut attributes, edit, text).map(|edited| Self(edited, PhantomData));
        attributes.finish(part)
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        self.0.plan(host, context)
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        self.0.apply(host, context, steps)
    }
}

/// A part of a file as the policy wants it.
#[derive(Debug)]
struct Edited {
    target: AbsolutePath,
    edit: Edit,
    text: Pieces,
    create: bool,
    mode: Option<Mode>,
    owners: Owners,
    backup: bool,
    validate: Option<String>,
    absent: bool,
}

/// What is to be done to a file.
#[derive(Debug)]
pub enum Steps {
    /// Put the edited file in its place.
    Edit {
        /// Where and how.
        placement: Placement,
        /// Where the file as it is goes first.
        backup: Option<Placement>,
    },
    /// Set what says who may read it.
    Adjust {
        /// Owner and group.
        ownership: Ownership,
        /// Mode.
        mode: Option<Mode>,
    },
}

impl Edited {
    /// Takes what these types have in common and puts it together with the edit. `create` and the others are looked for only where the type
    /// has them.
    fn take(attributes: &mut Attributes, edit: Option<Edit>, text: Option<Pieces>) -> Option<Self> {
        let target = attributes.path("target_path");
        let absent = attributes.state() == "absent";
        let create = attributes.knows("create") && attributes.boolean("create");
        let mode = attributes.mode("mode");
        let owners = Owners::take(attributes);
        let backup = attributes.boolean("backup");
        let validate = attributes.text("validate");
        if validate.as_ref().is_some_and(|command| !Validation::names_candidate(command)) {
            attributes.problem(
                AttributeProblem::new("validate", "does not name the file it is to check")
                    .help("write `%` where the path of the candidate is to stand"),
            );
        }
        if backup && text.as_ref().is_some_and(Pieces::has_secret) {
            attributes.problem(
                AttributeProblem::new("backup", "what holds a secret is never copied")
                    .help("remove `backup`"),
            );
        }
        let (target, edit, text) = (target?, edit?, text.unwrap_or_default());
        Some(Self { target, edit, text, create, mode, owners, backup, validate, absent })
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        place::refuse_guarded(host, &self.target)?;
        let Some(entry) = host.entry(&self.target)? else { return self.plan_creation(host, context) };
        place::require_kind(&self.target, &entry, EntryKind::File)?;
        let wanted = self.owners.resolve(host)?;
        let successor = if self.text.has_secret() && !self.absent {
            ownership::kept_for_secret(host, &self.target, wanted, &entry)?
        } else {
            ownership::kept(wanted, Some(&entry))
        };
        let ownership = ownership::difference(wanted, &entry);
        let mode = self.wanted_mode().filter(|mode| *mode != entry.mode);
        let mut lines = Vec::new();
        ownership::describe(ownership, &entry, &mut lines);
        lines.extend(mode.map(|mode| format!("mode {} -> {mode}", entry.mode)));
        match host.compare_edit(&self.target, &self.edit, &self.text, context)? {
            Comparison::Missing => self.plan_creation(host, context),
            Comparison::Same if lines.is_empty() => Ok(Plan::unchanged()),
            Comparison::Same => Ok(self.updated(&lines, Vec::new(), None, Steps::Adjust { ownership, mode })),
            Comparison::Different { diff } => {
                let steps = self.replacement(host, context, &entry, successor)?;
                let what = if self.absent { "remove from it" } else { "content" };
                Ok(self.updated(&lines, diff, Some(what), steps))
            }
        }
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        match steps {
            Steps::Edit { placement, backup } => {
                if let Some(backup) = backup {
                    host.copy_file(&backup, &self.target, context)?;
                }
                host.edit_file(&placement, &self.edit, &self.text, context)?;
            }
            Steps::Adjust { ownership, mode } => {
                // chown(2) clears the set-id bits, so the mode comes last.
                if !ownership.is_empty() {
                    host.set_owner(&self.target, ownership)?;
                }
                if let Some(mode) = mode {
                    host.set_mode(&self.target, mode)?;
                }
            }
        }
        Ok(Applied::default())
    }

    fn plan_creation(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        if self.absent {
            return Ok(Plan::unchanged());
        }
        if !self.create {
            return Err(Failure::failed(format!("cannot edit `{}`: it does not exist", self.target))
                .help("add a resource of type `file` for it, or write `create: true` if it is to be made"));
        }
        place::require_parent(host, &self.target)?;
        if self.text.has_secret() {
            context.require_secrets()?;
        }
        let mode = self.wanted_mode().unwrap_or(Mode::FILE);
        let ownership = self.owners.resolve(host)?;
        let placement = self.placement(mode, ownership, context);
        let diff = match context.edited(&self.target, &self.edit, b"", &self.text)? {
            Some(text) if context.diff => crate::content::as_new(&Pieces::literal(text), context),
            _ => Vec::new(),
        };
        let lines = vec![format!("create `{}` with mode {mode}", self.target)];
        let steps = Steps::Edit { placement, backup: None };
        Ok(Plan::Change { outcome: Outcome::Created, change: Change { lines, diff }, steps })
    }

    fn replacement(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        entry: &Entry,
        ownership: Ownership,
    ) -> Result<Steps, Failure> {
        if entry.links > 1 {
            return Err(Failure::failed(format!(
                "cannot replace `{}`: it has {} names, and only one would get the new content",
                self.target, entry.links
            )));
        }
        let backup = if self.backup { Some(place::backup(host, &self.target, entry)?) } else { None };
        let mode = self.wanted_mode().unwrap_or(entry.mode);
        Ok(Steps::Edit { placement: self.placement(mode, ownership, context), backup })
    }

    fn updated(
        &self,
        lines: &[String],
        diff: Vec<DiffLine>,
        first: Option<&str>,
        steps: Steps,
    ) -> Plan<Steps> {
        let parts: Vec<&str> = first.into_iter().chain(lines.iter().map(String::as_str)).collect();
        let lines = vec![format!("update `{}`: {}", self.target, parts.join(", "))];
        let outcome = if self.absent { Outcome::Deleted } else { Outcome::Updated };
        Plan::Change { outcome, change: Change { lines, diff }, steps }
    }

    /// The mode that has to hold; `None` leaves it alone.
    fn wanted_mode(&self) -> Option<Mode> {
        self.mode.or_else(|| self.text.has_secret().then_some(Mode::SECRET))
    }

    fn placement(&self, mode: Mode, ownership: Ownership, context: &Context<'_>) -> Placement {
        let validation = self
            .validate
            .as_ref()
            .map(|command| Validation { command: command.clone(), timeout: context.timeout });
        Placement { path: self.target.clone(), mode, ownership, in_place: false, validation }
    }
}

/// A regular expression in an attribute.
pub(crate) fn pattern(attributes: &mut Attributes, name: &'static str) -> Option<Pattern> {
    let source = attributes.text(name)?;
    compiled(attributes, name, &source)
}

/// A regular expression that was found in an attribute.
pub(crate) fn compiled(attributes: &mut Attributes, name: &'static str, source: &str) -> Option<Pattern> {
    Pattern::new(source)
        .map_err(|error| attributes.problem(AttributeProblem::new(name, error.to_string())))
        .ok()
}
