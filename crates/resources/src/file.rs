//! `file`: a regular file with its content, mode and owner.
//!
//! How a file is replaced in one step, and who reads a secret, is the host's business.

use crate::content;
use crate::ownership::{self, GROUP, OWNER, Owners};
use crate::place;
use std::time::Duration;
use vigo_base::{AbsolutePath, Mode, Pieces};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Comparison, Context, DiffLine, Entry,
    EntryKind, Example, Failure, Host, Kind, Outcome, Ownership, Placement, Plan, Provides, Resource,
    SecretRule, TypeInfo, Validation,
};

static INFO: TypeInfo = TypeInfo {
    name: "file",
    doc: "A regular file: its content, mode and owner.",
    attributes: &[
        AttributeInfo::new("target_path", Kind::Path, "The file.").identity(),
        AttributeInfo::new("content", Kind::Text, "What stands in it.").secrets(SecretRule::Unexposed),
        AttributeInfo::new("source", Kind::Text, "What stands in it: a file under `templates/`, rendered.")
            .secrets(SecretRule::Unexposed),
        AttributeInfo::new("copy_from", Kind::Path, "What stands in it: a copy of that file of the envoy."),
        AttributeInfo::new("mode", Kind::Mode, "Permission bits.")
            .default("0644 at creation, then left alone; 0600 with a secret"),
        OWNER,
        GROUP,
        AttributeInfo::new(
            "backup",
            Kind::Boolean,
            "Keep what it replaces beside it as `NAME.bak`; never for what holds a secret.",
        )
        .default("false"),
        AttributeInfo::new(
            "validate",
            Kind::Text,
            "A command that must succeed before the file takes its place; `%` is the candidate.",
        ),
        AttributeInfo::new(
            "baseindent",
            Kind::Integer { least: 0, most: 200 },
            "Blanks before every line that is not empty.",
        )
        .default("0"),
        AttributeInfo::new(
            "in_place",
            Kind::Boolean,
            "Write into the file instead of replacing it: for mount points and files with several names. Refused for a secret where others could read the file before: who has it open would read on.",
        )
        .default("false"),
    ],
    states: &["present", "absent"],
    later: &["secontext"],
    exclusive: &[&["content", "source", "copy_from"], &["validate", "in_place"]],
    provides: Provides::Path("target_path"),
    timeout: Duration::from_secs(60),
    examples: &[
        Example {
            title: "A message of the day",
            policy: "type: file\ntarget_path: /etc/motd\ncontent: |\n  Managed. Do not edit by hand.\nmode: \"0644\"\n",
        },
        Example {
            title: "A configuration with a secret, checked before it takes its place",
            policy: "type: file\ntarget_path: /etc/nginx/conf.d/upstream.conf\ncontent: |\n  proxy_set_header X-Token \"secret:web/upstream-token\";\nmode: \"0640\"\ngroup: www-data\nvalidate: nginx -t -c %\n",
        },
    ],
};

/// A file as the policy wants it.
#[derive(Debug)]
pub struct File {
    target: AbsolutePath,
    body: Body,
    mode: Option<Mode>,
    owners: Owners,
    backup: bool,
    validate: Option<String>,
    in_place: bool,
    absent: bool,
}

#[derive(Debug)]
enum Body {
    /// Whatever is in it.
    Any,
    Text(Pieces),
    Copy(AbsolutePath),
}

/// What is to be done to a file.
#[derive(Debug)]
pub enum Steps {
    /// Remove it.
    Remove,
    /// Put content there.
    Place {
        /// Where and how.
        placement: Placement,
        /// Where the content that is there goes first.
        backup: Option<Placement>,
    },
    /// Set owner and mode.
    Adjust {
        /// The owner and group to set.
        ownership: Ownership,
        /// The mode to set.
        mode: Option<Mode>,
    },
}

impl Resource for File {
    type Steps = Steps;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let target = attributes.path("target_path");
        let absent = attributes.state() == "absent";
        let text = attributes.pieces("content");
        let text = attributes.pieces("source").or(text);
        let copy = attributes.path("copy_from");
        let columns = attributes.integer("baseindent").and_then(|columns| usize::try_from(columns).ok());
        let body = match (text, copy) {
            (Some(text), _) => Body::Text(content::indent(text, columns.unwrap_or_default())),
            (None, Some(from)) => Body::Copy(from),
            (None, None) => Body::Any,
        };
        let backup = attributes.boolean("backup");
        if let Some(problem) = backup_problem(backup, &body) {
            attributes.problem(problem);
        }
        let validate = attributes.text("validate");
        if validate.as_ref().is_some_and(|command| !Validation::names_candidate(command)) {
            attributes.problem(
                AttributeProblem::new("validate", "does not name the file it is to check")
                    .help("write `%` where the path of the candidate is to stand"),
            );
        }
        let mode = attributes.mode("mode");
        let owners = Owners::take(&mut attributes);
        let in_place = attributes.boolean("in_place");
        let file =
            target.map(|target| Self { target, body, mode, owners, backup, validate, in_place, absent });
        attributes.finish(file)
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        place::refuse_guarded(host, &self.target)?;
        let entry = host.entry(&self.target)?;
        if let Some(entry) = &entry {
            place::require_kind(&self.target, entry, EntryKind::File)?;
        }
        match (self.absent, entry) {
            (true, None) => Ok(Plan::unchanged()),
            (true, Some(_)) => Ok(Plan::Change {
                outcome: Outcome::Deleted,
                change: Change::line(format!("remove `{}`", self.target)),
                steps: Steps::Remove,
            }),
            (false, None) => self.plan_creation(host, context),
            (false, Some(entry)) => self.plan_update(host, context, &entry),
        }
    }

    fn apply(&self, host: &mut dyn Host, context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        match steps {
            Steps::Remove => host.remove_file(&self.target)?,
            Steps::Place { placement, backup } => {
                if let Some(backup) = backup {
                    host.copy_file(&backup, &self.target, context)?;
                }
                match &self.body {
                    Body::Text(text) => host.write_text(&placement, text, context)?,
                    Body::Copy(from) => host.copy_file(&placement, from, context)?,
                    Body::Any => host.write_text(&placement, &Pieces::default(), context)?,
                }
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
}

impl File {
    fn plan_creation(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        place::require_parent(host, &self.target)?;
        let diff = match &self.body {
            Body::Text(text) => {
                self.require_secrets(context)?;
                content::as_new(text, context)
            }
            // Asked for its source only: a copy of nothing is a failure that the plan can already see.
            Body::Copy(from) => {
                host.compare_copy(&self.target, from, context)?;
                Vec::new()
            }
            Body::Any => Vec::new(),
        };
        let mode = self.wanted_mode(host)?.unwrap_or(Mode::FILE);
        let lines = vec![format!("create `{}` with mode {mode}", self.target)];
        let ownership = self.owners.resolve(host)?;
        let steps = Steps::Place { placement: self.placement(mode, ownership, context), backup: None };
        Ok(Plan::Change { outcome: Outcome::Created, change: Change { lines, diff }, steps })
    }

    fn plan_update(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        entry: &Entry,
    ) -> Result<Plan<Steps>, Failure> {
        let ownership = self.owners.resolve(host)?;
        let holds_secret = self.holds_secret(host)?;
        let successor = if holds_secret {
            ownership::kept_for_secret(host, &self.target, ownership, entry)?
        } else {
            ownership::kept(ownership, Some(entry))
        };
        let wanted_mode = self.wanted_mode(host)?;
        let mode = wanted_mode.filter(|mode| *mode != entry.mode);
        let mut lines = Vec::new();
        let difference = ownership::difference(ownership, entry);
        ownership::describe(difference, entry, &mut lines);
        lines.extend(mode.map(|mode| format!("mode {} -> {mode}", entry.mode)));
        let is_listed = holds_secret && host.has_access_list(&self.target);
        if is_listed {
            lines.push("take away its access list".to_owned());
        }
        let steps = match self.compare(host, context)? {
            Comparison::Same if lines.is_empty() => return Ok(Plan::unchanged()),
            // What is written anew has none.
            Comparison::Same if is_listed => {
                self.replacement(host, context, entry, wanted_mode, successor)?
            }
            Comparison::Same => Steps::Adjust { ownership: difference, mode },
            Comparison::Missing => return self.plan_creation(host, context),
            Comparison::Different { diff } => {
                let steps = self.replacement(host, context, entry, wanted_mode, successor)?;
                return Ok(self.updated(lines, diff, Some("content"), steps));
            }
        };
        Ok(self.updated(lines, Vec::new(), None, steps))
    }

    fn compare(&self, host: &dyn Host, context: &Context<'_>) -> Result<Comparison, Failure> {
        match &self.body {
            Body::Any => Ok(Comparison::Same),
            Body::Copy(from) => host.compare_copy(&self.target, from, context),
            Body::Text(text) => {
                // The host asks for the values, if it cannot tell without them.
                if text.has_secret() {
                    context.refuse_missing()?;
                }
                host.compare_text(&self.target, text, context)
            }
        }
    }

    fn replacement(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        entry: &Entry,
        mode: Option<Mode>,
        ownership: Ownership,
    ) -> Result<Steps, Failure> {
        if entry.links > 1 && !self.in_place {
            return Err(Failure::failed(format!(
                "cannot replace `{}`: it has {} names, and only one would get the new content",
                self.target, entry.links
            ))
            .help("write `in_place: true` to write into the file that all names share"));
        }
        let backup = if self.backup { Some(place::backup(host, &self.target, entry)?) } else { None };
        let placement = self.placement(mode.unwrap_or(entry.mode), ownership, context);
        Ok(Steps::Place { placement, backup })
    }

    fn updated(
        &self,
        parts: Vec<String>,
        diff: Vec<DiffLine>,
        first: Option<&str>,
        steps: Steps,
    ) -> Plan<Steps> {
        let parts: Vec<&str> = first.into_iter().chain(parts.iter().map(String::as_str)).collect();
        let lines = vec![format!("update `{}`: {}", self.target, parts.join(", "))];
        Plan::Change { outcome: Outcome::Updated, change: Change { lines, diff }, steps }
    }

    /// The mode that has to hold; `None` leaves it alone.
    fn wanted_mode(&self, host: &dyn Host) -> Result<Option<Mode>, Failure> {
        match self.mode {
            Some(mode) => Ok(Some(mode)),
            None => Ok(self.holds_secret(host)?.then_some(Mode::SECRET)),
        }
    }

    /// True if what is to stand there holds a secret, or comes from a file that does.
    fn holds_secret(&self, host: &dyn Host) -> Result<bool, Failure> {
        match &self.body {
            Body::Text(text) => Ok(text.has_secret()),
            Body::Copy(from) => host.is_tainted(from),
            Body::Any => Ok(false),
        }
    }

    fn require_secrets(&self, context: &Context<'_>) -> Result<(), Failure> {
        match &self.body {
            Body::Text(text) if text.has_secret() => context.require_secrets(),
            _ => Ok(()),
        }
    }

    fn placement(&self, mode: Mode, ownership: Ownership, context: &Context<'_>) -> Placement {
        let validation = self
            .validate
            .as_ref()
            .map(|command| Validation { command: command.clone(), timeout: context.timeout });
        Placement { path: self.target.clone(), mode, ownership, in_place: self.in_place, validation }
    }
}

fn backup_problem(backup: bool, body: &Body) -> Option<AttributeProblem> {
    match body {
        Body::Text(text) if backup && text.has_secret() => Some(
            AttributeProblem::new("backup", "what holds a secret is never copied")
                .help("remove `backup`, or take the secret out of the content"),
        ),
        _ => None,
    }
}
