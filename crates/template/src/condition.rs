//! Conditions (`when`): expressions that may also look at the machine.
//!
//! The engine calls no one. A question without an answer ends the evaluation, the caller's [`Probe`] answers it, and the expression is evaluated anew with what is known: it is pure but for these answers.

use crate::error::{At, Fault, FaultKind, TemplateError};
use crate::value::text_of;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, State, Value};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Answers questions about the machine.
pub trait Probe {
    /// A file (not a directory) is at that path.
    fn file_exists(&self, path: &str) -> bool;
    /// A directory is at that path.
    fn dir_exists(&self, path: &str) -> bool;
    /// A process of that name runs.
    fn process_running(&self, name: &str) -> bool;
    /// The command ends with 0. It must only look.
    fn command_succeeds(&self, command: &str) -> bool;
    /// Someone listens on that TCP port.
    fn port_listening(&self, port: u16) -> bool;
    /// What the clock on the wall shows.
    fn now(&self) -> WallClock;
    /// Something that notifies this resource changed, or a notification is owed.
    fn changed(&self) -> bool;
}

/// Local time, as far as conditions ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// Day of the month, from 1.
    pub day: u8,
    /// Day of the week: 0 is Monday, 6 is Sunday.
    pub weekday: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
}

/// Functions of conditions, in the order of the manual.
pub const FUNCTIONS: [&str; 16] = [
    "file_exists",
    "dir_exists",
    "process_running",
    "command_succeeds",
    "port_listening",
    "hour_range",
    "minute_range",
    "day_of_week",
    "day_of_month",
    "local_time",
    "os_family",
    "distro",
    "arch",
    "version_ge",
    "is_container",
    "has_trait",
];

/// Functions that look at the machine, so they exist in conditions only.
pub const PROBING: [&str; 10] = [
    "file_exists",
    "dir_exists",
    "process_running",
    "command_succeeds",
    "port_listening",
    "hour_range",
    "minute_range",
    "day_of_week",
    "day_of_month",
    "local_time",
];

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A question about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    File(String),
    Directory(String),
    Process(String),
    Command(String),
    Port(u16),
}

/// What is known of the machine while one condition is evaluated.
#[derive(Debug)]
pub struct Answers {
    changed: bool,
}

impl Answers {
    pub fn changed(&self) -> Value {
        Value::from(self.changed)
    }
}

#[derive(Default)]
struct Known {
    open: bool,
    clock: WallClock,
    answers: HashMap<Question, bool>,
    wanted: Option<Question>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// Evaluates with `attempt` until no question is left.
pub fn settle(
    probe: &dyn Probe,
    subject: &str,
    attempt: impl Fn(std::sync::Arc<Answers>) -> Result<bool, TemplateError>,
) -> Result<bool, TemplateError> {
    let answers = std::sync::Arc::new(Answers { changed: probe.changed() });
    KNOWN.set(Known { open: true, clock: probe.now(), ..Known::default() });
    let mut result = attempt(answers.clone());
    for _ in 0..64 {
        let Some(question) = KNOWN.with_borrow_mut(|known| known.wanted.take()) else { break };
        let answer = ask(probe, &question);
        KNOWN.with_borrow_mut(|known| known.answers.insert(question, answer));
        result = attempt(answers.clone());
    }
    let unanswered = KNOWN.take().wanted;
    if unanswered.is_some() {
        let message = "it asks more than 64 questions about the machine".to_owned();
        return Err(TemplateError::Limit { at: At { subject: subject.to_owned(), line: 0 }, message });
    }
    result
}

fn ask(probe: &dyn Probe, question: &Question) -> bool {
    match question {
        Question::File(path) => probe.file_exists(path),
        Question::Directory(path) => probe.dir_exists(path),
        Question::Process(name) => probe.process_running(name),
        Question::Command(command) => probe.command_succeeds(command),
        Question::Port(port) => probe.port_listening(*port),
    }
}

fn fault(message: impl Into<String>) -> Error {
    Fault::new(FaultKind::Other, message).into()
}

fn answer(question: Question) -> Result<bool, Error> {
    KNOWN.with_borrow_mut(|known| {
        if !known.open || crate::session::nesting() > 0 {
            return Err(fault("this function looks at the machine, so it exists in `when` only"));
        }
        if let Some(answer) = known.answers.get(&question) {
            return Ok(*answer);
        }
        known.wanted = Some(question);
        Err(fault("a question about the machine has no answer yet"))
    })
}

fn clock() -> Result<WallClock, Error> {
    KNOWN.with_borrow(|known| {
        if known.open { Ok(known.clock) } else { Err(fault("the clock can be asked in `when` only")) }
    })
}

/// Puts the functions into `environment`.
pub fn install(environment: &mut Environment<'static>) {
    environment.add_function("file_exists", |path: &Value| answer(Question::File(text_of(path)?)));
    environment.add_function("dir_exists", |path: &Value| answer(Question::Directory(text_of(path)?)));
    environment.add_function("process_running", |name: &Value| answer(Question::Process(text_of(name)?)));
    environment
        .add_function("command_succeeds", |command: &Value| answer(Question::Command(text_of(command)?)));
    environment.add_function("port_listening", |port: u16| answer(Question::Port(port)));
    environment
        .add_function("hour_range", |from: u8, to: u8| Ok::<_, Error>(within(clock()?.hour, from, to)));
    environment
        .add_function("minute_range", |from: u8, to: u8| Ok::<_, Error>(within(clock()?.minute, from, to)));
    environment.add_function("day_of_week", day_of_week);
    environment.add_function("day_of_month", |days: Rest<u8>| Ok::<_, Error>(days.contains(&clock()?.day)));
    environment.add_function("local_time", |from: &str, to: &str| {
        let WallClock { hour, minute, .. } = clock()?;
        Ok::<_, Error>(within(u16::from(hour) * 60 + u16::from(minute), minutes(from)?, minutes(to)?))
    });
    environment.add_function("os_family", |state: &State<'_, '_>, names: Rest<String>| {
        one_of(state, "os", "family", &names)
    });
    environment.add_function("distro", |state: &State<'_, '_>, names: Rest<String>| {
        one_of(state, "os", "distro", &names)
    });
    environment.add_function("arch", |state: &State<'_, '_>, names: Rest<String>| {
        one_of(state, "os", "arch", &names)
    });
    environment.add_function("version_ge", |left: &Value, right: &Value| {
        Ok::<_, Error>(compare_versions(&text_of(left)?, &text_of(right)?) != Ordering::Less)
    });
    environment.add_function("is_container", |state: &State<'_, '_>| {
        let container = trait_at(state, &["hardware", "container"])?;
        Ok::<_, Error>(!container.is_none() && !container.is_undefined())
    });
    environment.add_function("has_trait", |state: &State<'_, '_>, path: &str| {
        let steps: Vec<&str> = path.strip_prefix("traits.").unwrap_or(path).split('.').collect();
        let value = trait_at(state, &steps)?;
        Ok::<_, Error>(!value.is_none() && !value.is_undefined())
    });
}

/// True from `from` to `to`, both included; round the clock when `from` is the larger.
fn within<T: PartialOrd>(value: T, from: T, to: T) -> bool {
    if from <= to { from <= value && value <= to } else { value >= from || value <= to }
}

/// `HH:MM` as minutes of the day.
fn minutes(text: &str) -> Result<u16, Error> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    });
    parsed.ok_or_else(|| fault(format!("`{text}` is no time of the day like `08:30`")))
}

fn day_of_week(days: Rest<String>) -> Result<bool, Error> {
    let today = DAYS.get(usize::from(clock()?.weekday)).copied().unwrap_or_default();
    let mut hit = false;
    for day in days.iter() {
        let lower = day.to_ascii_lowercase();
        let known = DAYS.iter().find(|known| **known == lower || known.get(..3) == Some(lower.as_str()));
        let known =
            known.ok_or_else(|| fault(format!("`{day}` is no day of the week like `monday` or `mon`")))?;
        hit |= *known == today;
    }
    Ok(hit)
}

fn trait_at(state: &State<'_, '_>, steps: &[&str]) -> Result<Value, Error> {
    let mut value = state.lookup("traits").unwrap_or(Value::UNDEFINED);
    for step in steps {
        if value.is_undefined() || value.is_none() {
            return Ok(Value::UNDEFINED);
        }
        value = crate::filters::valid(value.get_attr(step)?)?;
    }
    Ok(value)
}

/// Without names the trait itself; with names, whether it is one of them.
fn one_of(state: &State<'_, '_>, group: &str, name: &str, names: &[String]) -> Result<Value, Error> {
    let value = trait_at(state, &[group, name])?;
    if names.is_empty() {
        return Ok(value);
    }
    Ok(Value::from(value.as_str().is_some_and(|value| names.iter().any(|name| name == value))))
}

/// Compares versions part by part: numbers as numbers, `~` before everything, also before the end.
fn compare_versions(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left), parts(right));
    for index in 0..left.len().max(right.len()) {
        let order = match (left.get(index), right.get(index)) {
            (Some(Part::Tilde), Some(Part::Tilde)) | (None, None) => Ordering::Equal,
            (Some(Part::Tilde), _) => Ordering::Less,
            (_, Some(Part::Tilde)) => Ordering::Greater,
            (Some(Part::Number(left)), Some(Part::Number(right))) => left.cmp(right),
            (Some(Part::Word(left)), Some(Part::Word(right))) => left.cmp(right),
            // A number is later than a word: `1.1` after `1.rc`.
            (Some(Part::Number(_)), Some(Part::Word(_))) => Ordering::Greater,
            (Some(Part::Word(_)), Some(Part::Number(_))) => Ordering::Less,
            (Some(Part::Number(0)), None) | (None, Some(Part::Number(0))) => Ordering::Equal,
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

enum Part<'a> {
    Number(u64),
    Word(&'a str),
    Tilde,
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = version.strip_prefix('v').unwrap_or(version);
    while let Some(first) = rest.chars().next() {
        if first == '~' {
            parts.push(Part::Tilde);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let same = |letter: char| {
            if first.is_ascii_digit() { letter.is_ascii_digit() } else { letter.is_alphabetic() }
        };
        let length = rest.find(|letter| !same(letter)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        if first.is_ascii_digit() {
            parts.push(Part::Number(word.parse().unwrap_or(u64::MAX)));
        } else if !word.is_empty() {
            parts.push(Part::Word(word));
        }
        rest = rest.get(length.max(first.len_utf8())..).unwrap_or_default();
    }
    parts
}

/// What a condition came out as: it must be true or false.
pub fn truth(value: &Value, subject: &str) -> Result<bool, TemplateError> {
    if value.kind() == ValueKind::Bool {
        return Ok(value.is_true());
    }
    let message = format!("a condition is true or false, this is {}", value.kind());
    Err(TemplateError::Other { at: At { subject: subject.to_owned(), line: 0 }, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        for (left, right, order) in [
            ("1.10", "1.9", Ordering::Greater),
            ("1.0", "1", Ordering::Equal),
            ("v2", "2.0.0", Ordering::Equal),
            ("1.2~rc1", "1.2", Ordering::Less),
            ("1.2-3", "1.2-10", Ordering::Less),
            ("6.18.0-arch1", "6.18", Ordering::Greater),
            ("", "0", Ordering::Equal),
        ] {
            assert_eq!(compare_versions(left, right), order, "{left} {right}");
            assert_eq!(compare_versions(right, left), order.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn a_range_may_go_round_the_clock() {
        assert!(within(23, 22, 4) && within(3, 22, 4) && !within(12, 22, 4));
        assert!(within(8, 8, 17) && within(17, 8, 17) && !within(18, 8, 17));
    }
}
