//! CPU seconds of stages, against `ci/budget.toml`.

use std::collections::BTreeMap;

/// CPU seconds that the children of this process have used so far; `None` where the system does not say.
pub fn children_cpu_s() -> Option<f64> {
    // proc_pid_stat(5): after the name in brackets, fields 16 and 17 are the time of waited-for children, in ticks of which a second has 100.
    let line = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = line.rsplit(')').next()?.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok().map(f64::from);
    Some((ticks(13)? + ticks(14)?) / 100.0)
}

/// Lines `stage = seconds`; others are headings and notes.
pub fn parse(text: &str) -> BTreeMap<String, f64> {
    let entry = |line: &str| {
        let (name, value) = line.split('#').next()?.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// What was used, stage by stage.
#[derive(Default)]
pub struct Account {
    stages: Vec<(&'static str, f64)>,
}

impl Account {
    /// Runs a stage and writes down what it used.
    pub fn stage<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let before = children_cpu_s();
        let result = work();
        if let (Some(before), Some(after)) = (before, children_cpu_s()) {
            self.stages.push((name, after - before));
        }
        result
    }

    /// A line for each stage and one for all.
    pub fn lines(&self, budget: &BTreeMap<String, f64>) -> Vec<String> {
        let total: f64 = self.stages.iter().map(|(_, used)| used).sum();
        let all = self.stages.iter().copied().chain([("all", total)]);
        let line = |(name, used): (&'static str, f64)| match budget.get(name) {
            Some(budget) if used > *budget => {
                format!("{name}: {used:.0} CPU seconds, over its budget of {budget:.0}")
            }
            Some(budget) => format!("{name}: {used:.0} CPU seconds of {budget:.0}"),
            None => format!("{name}: {used:.0} CPU seconds"),
        };
        all.map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_beside_their_budget() {
        let budget = parse("# note\n[stages]\ncheck = 240\ntest = 10 # minutes? no\nall = x\n");
        assert_eq!(budget.len(), 2);
        let account = Account { stages: vec![("check", 12.4), ("test", 11.0)] };
        assert_eq!(
            account.lines(&budget),
            [
                "check: 12 CPU seconds of 240",
                "test: 11 CPU seconds, over its budget of 10",
                "all: 23 CPU seconds"
            ]
        );
    }

    #[test]
    fn work_of_children_is_counted() {
        if let Some(before) = children_cpu_s() {
            let spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
            assert!(std::process::Command::new("sh").args(["-c", spin]).status().unwrap().success());
            assert!(children_cpu_s().unwrap() >= before);
        }
    }
}
