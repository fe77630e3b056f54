//! What a check or an attack came to, and how it is shown: lines for 80 columns, or JSON.

use crate::output::FORMAT;
use serde::Serialize;
use std::fmt::Write as _;
use vigo_base::Exit;
use vigo_wire::control::Setting;

/// What a look from outside came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is as it should be.
    Ok,
    /// It is not.
    Bad,
    /// What was seen proves neither here; the evidence says why.
    NotConclusive,
}

/// What an attack came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Won {
    /// The kernel refused it, and let it be done to the unprotected process.
    Refused,
    /// It was done.
    Succeeded,
    /// It proves nothing on this machine; the text says why.
    NotConclusive,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A fixed name, for scripts.
    pub name: String,
    /// What it means when it is ok.
    pub about: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was seen, and where.
    pub evidence: String,
    /// What to do about it; empty when nothing is to be done.
    pub mend: String,
}

/// One attack.
#[derive(Clone, Debug, Serialize)]
pub struct Attack {
    /// A fixed name, for scripts.
    pub name: String,
    /// Against what.
    pub target: String,
    /// What it came to.
    pub verdict: Won,
    /// What the kernel said, or why it proves nothing.
    pub why: String,
    /// What the same attack came to against an unprotected process of the doctor's own.
    pub control: String,
}

/// What was examined.
#[derive(Clone, Debug, Serialize)]
pub struct Examined {
    /// True if it is the running agent; else processes that were started for this.
    pub is_running: bool,
    /// The agent's process id.
    pub agent: u32,
    /// The hand's.
    pub hand: Option<u32>,
    /// The worker's, while one runs.
    pub worker: Option<u32>,
}

/// A setting with its source.
#[derive(Clone, Debug, Serialize)]
struct ShownSetting {
    name: String,
    value: String,
    source: String,
}

/// How many came to what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Summary {
    ok: usize,
    bad: usize,
    not_conclusive: usize,
    refused: usize,
    succeeded: usize,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    format: u32,
    version: &'static str,
    examined: Examined,
    level: String,
    reasons: Vec<String>,
    settings: Vec<ShownSetting>,
    checks: Vec<Check>,
    attacks: Vec<Attack>,
    summary: Summary,
}

impl Findings {
    /// Puts it together.
    #[must_use]
    pub fn new(
        examined: Examined,
        (level, reasons): (String, Vec<String>),
        settings: Vec<Setting>,
        checks: Vec<Check>,
        attacks: Vec<Attack>,
    ) -> Self {
        let verdicts = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let won = |won| attacks.iter().filter(|attack| attack.verdict == won).count();
        let summary = Summary {
            ok: verdicts(Verdict::Ok),
            bad: verdicts(Verdict::Bad),
            not_conclusive: verdicts(Verdict::NotConclusive) + won(Won::NotConclusive),
            refused: won(Won::Refused),
            succeeded: won(Won::Succeeded),
        };
        let settings = settings.into_iter();
        let shown = |Setting { name, value, source }| ShownSetting { name, value, source };
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            examined,
            level,
            reasons,
            settings: settings.map(shown).collect(),
            checks,
            attacks,
            summary,
        }
    }

    /// Bad when a check is, or an attack succeeded.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        if self.summary.bad + self.summary.succeeded == 0 { Exit::Success } else { Exit::Bad }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let examined = &self.examined;
        let who = if examined.is_running {
            format!("the running agent, process {}", examined.agent)
        } else {
            "no agent runs: a hand and a worker that were started for this".to_owned()
        };
        let mut line = |head: &str, text: &str| wrapped(&mut out, head, text);
        line("examined", &who);
        line("level", &self.level);
        self.reasons.iter().for_each(|reason| line("", reason));
        for setting in &self.settings {
            line("setting", &format!("{} = {} ({})", setting.name, setting.value, setting.source));
        }
        for check in &self.checks {
            let word = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Bad => "BAD",
                Verdict::NotConclusive => "not conclusive",
            };
            line(word, &format!("{}: {}", check.name, check.about));
            line("", &check.evidence);
            if !check.mend.is_empty() {
                line("", &format!("mend: {}", check.mend));
            }
        }
        for attack in &self.attacks {
            let word = match attack.verdict {
                Won::Refused => "refused",
                Won::Succeeded => "SUCCEEDED",
                Won::NotConclusive => "not conclusive",
            };
            line(word, &format!("{} against {}", attack.name, attack.target));
            line("", &attack.why);
            line("", &format!("control: {}", attack.control));
        }
        let Summary { ok, bad, not_conclusive, refused, succeeded } = self.summary;
        // Writing to a String cannot fail.
        let _ = write!(out, "{ok} ok, {bad} bad, {not_conclusive} not conclusive");
        if !self.attacks.is_empty() {
            let _ = write!(out, "; attacks: {refused} refused, {succeeded} succeeded");
        }
        out.push('\n');
        out
    }
}

/// Columns of a line, and those before its text.
const COLUMNS: usize = 80;
const INDENT: usize = 16;

/// A head and a text that is broken between words, so that it fits a terminal. Control characters become spaces.
fn wrapped(out: &mut String, head: &str, text: &str) {
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let (mut head, mut column) = (head, 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if column == 0 || column + 1 + width > COLUMNS {
            if column != 0 {
                out.push('\n');
            }
            let _ = write!(out, "{head:<INDENT$}{word}");
            (head, column) = ("", INDENT + width);
        } else {
            out.push(' ');
            out.push_str(word);
            column += 1 + width;
        }
    }
    if column != 0 {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(verdict: Verdict, won: Won) -> Findings {
        let check = Check {
            name: "pages".into(),
            about: "values lie in protected pages",
            verdict,
            evidence: "long ".repeat(60),
            mend: "do it".into(),
        };
        let attack = Attack {
            name: "read-memory".into(),
            target: "the hand".into(),
            verdict: won,
            why: "EACCES\u{1b}[31m".into(),
            control: "succeeded".into(),
        };
        let examined = Examined { is_running: true, agent: 1, hand: None, worker: None };
        Findings::new(examined, ("weak".into(), vec!["why".into()]), Vec::new(), vec![check], vec![attack])
    }

    #[test]
    fn what_is_bad_or_succeeded_decides_the_exit_code_and_what_proves_nothing_does_not() {
        assert_eq!(findings(Verdict::Ok, Won::Refused).exit(), Exit::Success);
        assert_eq!(findings(Verdict::NotConclusive, Won::NotConclusive).exit(), Exit::Success);
        assert_eq!(findings(Verdict::Bad, Won::Refused).exit(), Exit::Bad);
        assert_eq!(findings(Verdict::Ok, Won::Succeeded).exit(), Exit::Bad);
    }

    #[test]
    fn the_text_fits_eighty_columns_and_has_no_control_characters() {
        let text = findings(Verdict::Bad, Won::Refused).text();
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
            assert!(!line.contains('\u{1b}'));
        }
        for said in ["BAD", "pages", "mend: do it", "refused", "control: succeeded", "1 bad"] {
            assert!(text.contains(said), "`{said}` is not in:\n{text}");
        }
    }
}
