//! `when`: what can be said before anything is looked at, and the answers of a host to what it asks.

use std::cell::RefCell;
use std::time::Duration;
use vigo_base::{AbsolutePath, Pieces};
use vigo_resource::{CommandLine, CommandRequest, EntryKind, Failure, Host, OutputRule};
use vigo_template::{PROBING, Probe, Renderer, Scope, TemplateError, WallClock};

/// How long a command in a condition may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

/// A condition as far as it can be told without looking at the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// True, or none is written.
    Always,
    /// False whatever the machine looks like.
    Never,
    /// It has to be asked when its turn has come.
    Ask,
}

/// What can be told of a condition from variables and traits alone.
pub(crate) fn fixed(renderer: &Renderer, when: &str, scope: &Scope) -> Result<Condition, TemplateError> {
    if when.is_empty() {
        return Ok(Condition::Always);
    }
    // A name that merely occurs in a text asks too often, never too seldom.
    if when.contains("changed") || PROBING.iter().any(|name| when.contains(name)) {
        return Ok(Condition::Ask);
    }
    let holds = renderer.condition(when, scope, &Nobody)?;
    Ok(if holds { Condition::Always } else { Condition::Never })
}

/// Who answers where nothing is asked.
struct Nobody;

impl Probe for Nobody {
    fn file_exists(&self, _path: &str) -> bool {
        false
    }
    fn dir_exists(&self, _path: &str) -> bool {
        false
    }
    fn process_running(&self, _name: &str) -> bool {
        false
    }
    fn command_succeeds(&self, _command: &str) -> bool {
        false
    }
    fn port_listening(&self, _port: u16) -> bool {
        false
    }
    fn now(&self) -> WallClock {
        WallClock::default()
    }
    fn changed(&self) -> bool {
        false
    }
}

/// A host that answers what conditions ask.
pub(crate) struct HostProbe<'a> {
    host: &'a dyn Host,
    changed: bool,
    failure: RefCell<Option<Failure>>,
}

impl<'a> HostProbe<'a> {
    pub(crate) const fn new(host: &'a dyn Host, changed: bool) -> Self {
        Self { host, changed, failure: RefCell::new(None) }
    }

    /// The first question that had no answer.
    pub(crate) fn failure(self) -> Option<Failure> {
        self.failure.into_inner()
    }

    fn answer(&self, answer: Result<bool, Failure>) -> bool {
        answer.unwrap_or_else(|failure| {
            self.failure.borrow_mut().get_or_insert(failure);
            false
        })
    }

    fn kind(&self, path: &str) -> Result<Option<EntryKind>, Failure> {
        let path: AbsolutePath =
            path.parse().map_err(|error: vigo_base::PathError| Failure::failed(error.to_string()))?;
        Ok(self.host.entry(&path)?.map(|entry| entry.kind))
    }

    fn succeeds(&self, command: &str) -> Result<bool, Failure> {
        let path =
            |text: &str| text.parse::<AbsolutePath>().map_err(|error| Failure::failed(error.to_string()));
        let request = CommandRequest {
            line: CommandLine::Shell { shell: path("/bin/sh")?, text: Pieces::literal(command) },
            user: None,
            group: None,
            folder: path("/")?,
            environment: Vec::new(),
            allow_argv: false,
            credentials: Vec::new(),
            stdin: None,
            umask: 0o022,
            timeout: COMMAND_TIMEOUT,
            output: OutputRule::Drop,
            resource: String::new(),
        };
        Ok(self.host.probe(&request)?.succeeded())
    }
}

impl Probe for HostProbe<'_> {
    fn file_exists(&self, path: &str) -> bool {
        self.answer(self.kind(path).map(|kind| kind.is_some_and(|kind| kind != EntryKind::Folder)))
    }

    fn dir_exists(&self, path: &str) -> bool {
        self.answer(self.kind(path).map(|kind| kind == Some(EntryKind::Folder)))
    }

    fn process_running(&self, name: &str) -> bool {
        self.answer(self.host.process_running(name))
    }

    fn command_succeeds(&self, command: &str) -> bool {
        self.answer(self.succeeds(command))
    }

    fn port_listening(&self, port: u16) -> bool {
        self.answer(self.host.port_listening(port))
    }

    fn now(&self) -> WallClock {
        wall_clock(self.host.now().seconds + i64::from(self.host.utc_offset_seconds()))
    }

    fn changed(&self) -> bool {
        self.changed
    }
}

/// Day, hour and minute of local seconds since 1970.
fn wall_clock(seconds: i64) -> WallClock {
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let small = |number: i64| u8::try_from(number).unwrap_or_default();
    WallClock {
        day: small(day_of_month(days)),
        // 1970-01-01 was a Thursday, and Monday counts as 0.
        weekday: small((days + 3).rem_euclid(7)),
        hour: small(second / 3_600),
        minute: small(second / 60 % 60),
    }
}

/// The day of the month, from days since 1970: years are counted from March, so that the odd day comes last.
fn day_of_month(days: i64) -> i64 {
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_knows_leap_days_and_weekdays() {
        for (seconds, day, weekday, hour, minute) in [
            (0, 1, 3, 0, 0),
            (951_782_400, 29, 1, 0, 0),
            (1_709_251_199, 29, 3, 23, 59),
            (1_709_251_200, 1, 4, 0, 0),
            (-1, 31, 2, 23, 59),
        ] {
            assert_eq!(wall_clock(seconds), WallClock { day, weekday, hour, minute }, "{seconds}");
        }
    }
}
