//! The turn of one resource: dependencies, condition, plan, debts, apply, record.

use super::{Machine, Running};
use crate::conditions::{Condition, HostProbe};
use crate::render::{Body, Rendered};
use crate::{AppliedRecord, Exposure, ResourceReport, Secrets, Stamp};
use std::time::Duration;
use vigo_base::{SecretPath, SecretVersion};
use vigo_resource::{
    AnyResource, AnySteps, Change, Context, DiffLine, Failure, Outcome, Plan, SecretChange, SecretsOnDemand,
    Unchanged,
};
use vigo_wire::bundle::Resource;

/// What became of a resource, before it goes into the report.
struct Verdict {
    outcome: Outcome,
    changes: Vec<String>,
    diff: Vec<DiffLine>,
    reason: String,
    help: String,
    /// Its state was looked at or made in this run, secrets included.
    verified: bool,
}

impl Verdict {
    fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            changes: Vec::new(),
            diff: Vec::new(),
            reason: reason.into(),
            help: String::new(),
            verified: false,
        }
    }

    fn failure(failure: Failure) -> Self {
        let outcome = failure.outcome();
        Self { help: failure.help, ..Self::new(outcome, failure.reason) }
    }

    fn unchanged(how: Unchanged) -> Self {
        match how {
            Unchanged::Verified => Self { verified: true, ..Self::new(Outcome::Unchanged, "") },
            Unchanged::Unverified(reason) => Self::new(Outcome::Unchanged, format!("(unverified) {reason}")),
            Unchanged::Guard(reason) => Self::new(Outcome::Unchanged, format!("(guard) {reason}")),
        }
    }
}

/// What a resource has to do with secrets in this run.
#[derive(Default)]
struct SecretState {
    versions: Vec<(SecretPath, SecretVersion)>,
    missing: Option<Failure>,
    /// How the versions are to those that it was last applied with.
    change: SecretChange,
    /// A secret that it subscribes to has another version than at its last success, or there was none.
    subscribed: bool,
    record: Option<AppliedRecord>,
}

impl Running<'_, '_> {
    /// One resource, from its dependencies to its record.
    pub(super) fn turn(&mut self, index: u32) {
        let rendered = self.rendered;
        let bundle = self.input.bundle;
        let at = index as usize;
        let (Some(one), Some(resource)) = (rendered.get(at), bundle.resources.get(at)) else { return };
        let started = self.machine.view().clock();
        let verdict = self.judge(index, one, resource);
        let duration: Duration = self.machine.view().clock().saturating_sub(started);
        self.note_exposures(one);
        self.conclude(
            index,
            ResourceReport {
                id: one.identity.id.clone(),
                kind: resource.r#type.clone(),
                origin: resource.origin.clone(),
                outcome: verdict.outcome,
                changes: verdict.changes,
                diff: verdict.diff,
                reason: verdict.reason,
                help: verdict.help,
                duration,
            },
        );
    }

    /// Notes what was handed over for a resource since the one before.
    fn note_exposures(&mut self, one: &Rendered) {
        for exposed in self.machine.view().take_exposures() {
            let version = self.version_of(&exposed.secret);
            let resource = one.identity.id.clone();
            let (secret, way) = (exposed.secret, exposed.way);
            self.report.exposures.push(Exposure { resource, secret, version, way });
        }
    }

    /// The version of a secret in this run.
    fn version_of(&self, secret: &SecretPath) -> SecretVersion {
        match self.values.get(secret) {
            Some(Ok(version)) => *version,
            _ => self.input.secrets.version(secret).unwrap_or(SecretVersion(0)),
        }
    }

    /// Notes the secrets that stand in a file which nobody touched since they were put there.
    fn note_unverified(&mut self, one: &Rendered, secrets: &SecretState) {
        let (Some(path), Some(record)) = (&one.identity.path, &secrets.record) else { return };
        let way = self.machine.view().file_way(path);
        let used = record.secrets.iter().filter(|(path, _)| one.secrets.contains(path));
        self.report.exposures.extend(used.map(|(secret, version)| Exposure {
            resource: one.identity.id.clone(),
            secret: secret.clone(),
            version: *version,
            way,
        }));
    }

    fn judge(&mut self, index: u32, one: &Rendered, resource: &Resource) -> Verdict {
        let body = match &one.body {
            Body::Skipped => return Verdict::new(Outcome::Skipped, "its `when` is false"),
            Body::Failed(failure) => return Verdict::failure(failure.clone()),
            Body::Ready(body) => body.as_ref(),
            Body::Attributes(_) => {
                return Verdict::new(Outcome::Failed, "it was never parsed; this is a bug in vigo");
            }
        };
        if self.input.options.is_stop_asked.is_some_and(|is_asked| is_asked()) {
            let stopped = Failure::blocked("vigo was asked to stop before this was its turn");
            return Verdict::failure(stopped.help("the next run goes on with it"));
        }
        if let Some(blocked) = self.blocked(index, one) {
            return blocked;
        }
        let secrets = self.secret_state(one, index);
        let changed = secrets.subscribed || self.notified(index, one);
        match self.condition(index, one, changed) {
            Ok(true) => {}
            Ok(false) => return Verdict::new(Outcome::Skipped, "its `when` is false"),
            Err(failure) => return self.doubted(failure, None),
        }
        if let Some(reason) = self.unverified(one, &secrets) {
            self.note_unverified(one, &secrets);
            return Verdict::unchanged(Unchanged::Unverified(reason));
        }
        let verdict = self.carry_out(index, one, resource, body, &secrets);
        if verdict.outcome.satisfies() && !self.machine.is_dry() {
            return self.settle(one, &secrets, verdict);
        }
        verdict
    }

    /// The first thing that had to succeed before and did not.
    fn blocked(&self, index: u32, one: &Rendered) -> Option<Verdict> {
        let bad = |needed: u32| self.outcome(needed).is_some_and(|outcome| !outcome.satisfies());
        let verdict = |needed: u32, word: &str| {
            let outcome = self.outcome(needed).unwrap_or(Outcome::Failed);
            Verdict::new(Outcome::Blocked, format!("{word} `{}`, which is {outcome}", self.id(needed)))
        };
        for original in one.originals(index) {
            let Some(resource) = self.input.bundle.resources.get(original as usize) else { continue };
            if let Some(needed) = resource.requires.iter().copied().find(|needed| bad(*needed)) {
                return Some(verdict(needed, "it depends on"));
            }
            if let Some(notifier) = resource.notified_by.iter().copied().find(|needed| bad(*needed)) {
                return Some(verdict(notifier, "it is notified by"));
            }
        }
        let implied = self.order.implied.get(index as usize).into_iter().flatten().copied();
        if let Some(needed) = implied.into_iter().find(|needed| bad(*needed)) {
            return Some(verdict(needed, "it depends on"));
        }
        let resource = self.input.bundle.resources.get(index as usize)?;
        let own = self.input.bundle.configcrates.get(resource.configcrate as usize);
        let required = own.into_iter().flat_map(|own| &own.requires).chain(&resource.requires_configcrates);
        let failed = required
            .into_iter()
            .find_map(|required| self.crate_failures.get(*required as usize).copied().flatten());
        failed.map(|needed| verdict(needed, "it depends on the configcrate of"))
    }

    /// True if something that notifies it changed in this run, or it is still owed a notification.
    fn notified(&self, index: u32, one: &Rendered) -> bool {
        let notifiers = one
            .originals(index)
            .filter_map(|original| self.input.bundle.resources.get(original as usize))
            .flat_map(|resource| &resource.notified_by);
        notifiers.into_iter().any(|notifier| self.outcome(*notifier).is_some_and(Outcome::is_change))
            || self.input.owed.is_owed(&one.identity.id)
    }

    fn secret_state(&self, one: &Rendered, index: u32) -> SecretState {
        let mut state = SecretState::default();
        if one.digest.is_none() {
            return state;
        }
        state.record = self.input.applied.get(&one.identity.id);
        let applied = |path: &SecretPath| {
            let record = state.record.as_ref()?;
            record.secrets.iter().find(|(applied, _)| applied == path).map(|(_, version)| *version)
        };
        for path in &one.secrets {
            match self.values.get(path) {
                Some(Ok(version)) => state.versions.push((path.clone(), *version)),
                Some(Err(failure)) => {
                    state.missing.get_or_insert_with(|| Failure {
                        reason: format!("cannot get secret `{path}`: {}", failure.reason),
                        ..failure.clone()
                    });
                }
                None => {}
            }
        }
        state.change = match state.versions.iter().find(|(path, version)| applied(path) != Some(*version)) {
            _ if state.record.is_none() => SecretChange::NeverApplied,
            None => SecretChange::Same,
            Some(_) => SecretChange::Rotated,
        };
        let mut subscribed = Vec::new();
        for path in subscriptions(self.input.bundle, one, index) {
            if let Some(version) = self.input.secrets.version(&path) {
                state.subscribed |= applied(&path) != Some(version);
                subscribed.push((path, version));
            }
        }
        for (path, version) in subscribed {
            if !state.versions.iter().any(|(known, _)| *known == path) {
                state.versions.push((path, version));
            }
        }
        state
    }

    fn condition(&self, index: u32, one: &Rendered, changed: bool) -> Result<bool, Failure> {
        match one.condition {
            Condition::Always => return Ok(true),
            Condition::Never => return Ok(false),
            Condition::Ask => {}
        }
        if let Machine::Dry(overlay) = &self.machine {
            overlay.begin();
        }
        for original in one.originals(index) {
            if self.one_condition(original, changed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn one_condition(&self, original: u32, changed: bool) -> Result<bool, Failure> {
        let Some(resource) = self.input.bundle.resources.get(original as usize) else { return Ok(false) };
        let Some(scope) = self.scopes.of(resource) else { return Ok(false) };
        let configcrate = self.input.bundle.configcrates.get(resource.configcrate as usize);
        let of_crate = configcrate.map_or("", |configcrate| configcrate.when.as_str());
        for when in [of_crate, resource.when.as_str()].into_iter().filter(|when| !when.is_empty()) {
            let probe = HostProbe::new(self.machine.view(), changed);
            let holds = self
                .renderer
                .condition(when, &scope, &probe)
                .map_err(|error| Failure::failed(error.to_string()))?;
            if let Some(failure) = probe.failure() {
                return Err(failure);
            }
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Without its secret a file is taken as unchanged if nobody touched it since it was applied with the same attributes and versions.
    fn unverified(&self, one: &Rendered, secrets: &SecretState) -> Option<String> {
        secrets.missing.as_ref().filter(|_| self.input.secrets.is_away())?;
        let record = secrets.record.as_ref().filter(|record| Some(record.attributes) == one.digest)?;
        let current = |path: &SecretPath, applied: SecretVersion| {
            self.input.secrets.version(path).is_none_or(|version| version == applied)
        };
        let known = one.secrets.iter().all(|path| record.secrets.iter().any(|(applied, _)| applied == path));
        if !known || !record.secrets.iter().all(|(path, version)| current(path, *version)) {
            return None;
        }
        let entry = self.machine.view().entry(one.identity.path.as_ref()?).ok()??;
        (record.target == Some(Stamp::of(&entry))).then(|| {
            "its secret cannot be had now, and nobody touched the file since it was applied".to_owned()
        })
    }

    fn carry_out(
        &mut self,
        index: u32,
        one: &Rendered,
        resource: &Resource,
        body: &dyn AnyResource,
        secrets: &SecretState,
    ) -> Verdict {
        let timeout = match (resource.timeout_ms, one.kind) {
            (0, Some(kind)) => kind.info().timeout,
            (milliseconds, _) => Duration::from_millis(milliseconds),
        };
        let on_demand = OnDemand { secrets: self.input.secrets, paths: &one.secrets };
        let context = Context {
            id: &one.identity.id,
            timeout,
            allow_exposure: &resource.allow_exposure,
            diff: self.input.options.diff,
            secret_change: secrets.change,
            versions: &secrets.versions,
            missing_secret: secrets.missing.as_ref(),
            served: self.served,
            on_demand: &on_demand,
            managed: self.managed,
        };
        if let Machine::Dry(overlay) = &self.machine {
            overlay.begin();
        }
        match body.plan(self.machine.view(), &context) {
            Ok(Plan::Unchanged(how)) => Verdict::unchanged(how),
            Ok(Plan::Change { outcome, change, steps }) => {
                self.apply(index, body, &context, outcome, change, steps)
            }
            Err(failure) => self.doubted(failure, secrets.missing.as_ref()),
        }
    }

    /// In a dry run a failure that rests on what is not known yet is no failure.
    fn doubted(&self, failure: Failure, missing_secret: Option<&Failure>) -> Verdict {
        match &self.machine {
            Machine::Dry(overlay) if missing_secret != Some(&failure) => match overlay.doubt() {
                Some(doubt) => Verdict::new(Outcome::Pending, format!("{doubt} ({})", failure.reason)),
                None => Verdict::failure(failure),
            },
            _ => Verdict::failure(failure),
        }
    }

    fn apply(
        &mut self,
        index: u32,
        body: &dyn AnyResource,
        context: &Context<'_>,
        outcome: Outcome,
        change: Change,
        steps: AnySteps,
    ) -> Verdict {
        if !self.machine.is_dry() {
            if let Err(failure) = self.owe(index) {
                return Verdict::failure(failure);
            }
            self.wrote = true;
        }
        let planned = Verdict { changes: change.lines, diff: change.diff, ..Verdict::new(outcome, "") };
        match body.apply(self.machine.change(), context, steps) {
            Ok(applied) => {
                let changes = planned.changes.into_iter().chain(applied.lines).collect();
                Verdict { changes, verified: true, ..planned }
            }
            // The overlay does not know everything that a machine does; the plan stands.
            Err(_) if self.machine.is_dry() => planned,
            Err(failure) => Verdict { diff: planned.diff, ..Verdict::failure(failure) },
        }
    }

    /// Notes the debts of a resource that is about to change, before anything of it is done.
    fn owe(&mut self, index: u32) -> Result<(), Failure> {
        let rendered = self.rendered;
        let id = |index: &u32| rendered.get(*index as usize).map(|one| one.identity.id.as_str());
        let targets: Vec<&str> =
            self.targets.get(index as usize).into_iter().flatten().filter_map(id).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let source = id(&index).unwrap_or_default();
        self.input.owed.add(source, &targets).map_err(|failure| Failure {
            reason: format!(
                "cannot note whom `{source}` has to notify, so it is left as it is: {}",
                failure.reason
            ),
            ..failure
        })
    }

    /// After success: its debt is struck out, and what it was applied with is recorded.
    fn settle(&mut self, one: &Rendered, secrets: &SecretState, verdict: Verdict) -> Verdict {
        let id = &one.identity.id;
        if self.input.owed.is_owed(id)
            && let Err(failure) = self.input.owed.strike(id)
        {
            self.report.problems.push(format!("`{id}` will be notified once more: {}", failure.reason));
        }
        let Some(attributes) = one.digest.filter(|_| verdict.verified && secrets.missing.is_none()) else {
            return verdict;
        };
        let entry = one.identity.path.as_ref().map(|path| self.machine.view().entry(path));
        let target = match entry {
            Some(Ok(entry)) => entry.as_ref().map(Stamp::of),
            Some(Err(_)) | None => None,
        };
        let record = AppliedRecord { secrets: secrets.versions.clone(), attributes, target };
        if secrets.record.as_ref() != Some(&record)
            && let Err(failure) = self.input.applied.put(id, record)
        {
            self.report
                .problems
                .push(format!("cannot record what `{id}` was applied with: {}", failure.reason));
        }
        verdict
    }
}

/// The secrets of one resource, fetched when the first of them is needed.
struct OnDemand<'a> {
    secrets: &'a dyn Secrets,
    paths: &'a [SecretPath],
}

impl SecretsOnDemand for OnDemand<'_> {
    fn is_left_for_later(&self) -> bool {
        self.paths.iter().any(|path| self.secrets.is_left_for_later(path))
    }

    fn hold(&self) -> Result<(), Failure> {
        self.secrets.hold(self.paths)
    }
}

/// The secrets whose new version alone counts as a change.
fn subscriptions(bundle: &vigo_wire::bundle::Bundle, one: &Rendered, index: u32) -> Vec<SecretPath> {
    one.originals(index)
        .filter_map(|original| bundle.resources.get(original as usize))
        .flat_map(|resource| &resource.subscribes_secrets)
        .filter_map(|path| path.parse().ok())
        .collect()
}
