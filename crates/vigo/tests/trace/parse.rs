//! Reads what `strace -f -v -y` wrote: calls, put together where they were interrupted, by process and by the program that it was then.

use std::collections::HashMap;

/// A finished call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The thread that made it.
    pub task: u32,
    /// The lines of the trace on which it began and ended.
    pub began: usize,
    pub ended: usize,
    pub name: String,
    pub arguments: String,
    pub result: String,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        !self.result.starts_with("-1") && !self.result.starts_with('?')
    }

    /// As it stood in the trace, shortened.
    pub fn line(&self) -> String {
        let arguments: String = self.arguments.chars().take(300).collect();
        format!("line {}: {} {}({arguments}) = {}", self.began, self.task, self.name, self.result)
    }

    /// True if one of these texts, or most of its base64 form, stands in it.
    pub fn shows(&self, texts: &[String]) -> bool {
        let has = |text: &str| self.arguments.contains(text) || self.result.contains(text);
        texts.iter().any(|text| has(text) || has(&base64_start(text)))
    }
}

/// The base64 form of all bytes of which it is certain whatever follows.
fn base64_start(text: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks_exact(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        encoded.extend([18, 12, 6, 0].map(|shift| char::from(digits[(bits >> shift & 63) as usize])));
    }
    encoded
}

/// A process from one execve(2) to the next.
#[derive(Debug)]
pub struct Image {
    /// The name it was started by, without folders; of a process that never executed anything, its parent's.
    pub program: String,
    /// The program of the process that started it; empty for the first one.
    pub parent: String,
    /// What was done before its execve: as its parent's child in the first image, as another program in a later one. With that execve.
    pub prelude: Vec<Call>,
    pub calls: Vec<Call>,
}

#[derive(Debug)]
pub struct Trace {
    pub images: Vec<Image>,
}

impl Trace {
    pub fn parse(text: &str) -> Self {
        let calls = calls(text);
        // Who started which thread: (starter, whether they are one process, when).
        let mut starts: HashMap<u32, (u32, bool, usize)> = HashMap::new();
        for call in
            calls.iter().filter(|call| ["clone", "clone3", "fork", "vfork"].contains(&call.name.as_str()))
        {
            if let Some(child) = leading_number(&call.result) {
                starts.insert(child, (call.task, call.arguments.contains("CLONE_THREAD"), call.began));
            }
        }
        let process_of = |mut task: u32| {
            while let Some((starter, true, _)) = starts.get(&task) {
                task = *starter;
            }
            task
        };
        let mut by_process: Vec<(u32, Vec<Call>)> = Vec::new();
        for call in calls {
            let process = process_of(call.task);
            match by_process.iter_mut().find(|(each, _)| *each == process) {
                Some((_, calls)) => calls.push(call),
                None => by_process.push((process, vec![call])),
            }
        }
        let split: HashMap<u32, Vec<(String, Vec<Call>)>> =
            by_process.iter().map(|(process, calls)| (*process, split(calls))).collect();
        let program_at = |process: u32, line: usize| {
            let images = split.get(&process).map(Vec::as_slice).unwrap_or_default();
            let then =
                |(_, calls): &&(String, Vec<Call>)| calls.first().is_some_and(|call| call.began <= line);
            images.iter().rfind(then).map(|(program, _)| program.clone()).unwrap_or_default()
        };
        let mut images = Vec::new();
        for (process, _) in &by_process {
            let start = starts.get(process);
            let parent =
                start.map(|(task, _, line)| program_at(process_of(*task), *line)).unwrap_or_default();
            images.extend(images_of(&split[process], parent));
        }
        Self { images }
    }
}

/// The parts of a process's calls between its execve(2)s, each ending with one, by the program's name; the first has none.
fn split(calls: &[Call]) -> Vec<(String, Vec<Call>)> {
    let mut parts = vec![(String::new(), Vec::new())];
    for call in calls {
        let last = parts.last_mut().unwrap();
        last.1.push(call.clone());
        if ["execve", "execveat"].contains(&call.name.as_str()) && call.succeeded() {
            let argument = call.arguments.split("[\"").nth(1).and_then(|rest| rest.split('"').next());
            // Arguments that cannot be read stand in protected pages.
            let name = argument.unwrap_or("(hidden)");
            parts.push((name.rsplit('/').next().unwrap_or_default().to_owned(), Vec::new()));
        }
    }
    parts
}

fn images_of(parts: &[(String, Vec<Call>)], parent: String) -> Vec<Image> {
    let [first, rest @ ..] = parts else { return Vec::new() };
    if rest.is_empty() {
        return vec![Image { program: parent.clone(), parent, prelude: Vec::new(), calls: first.1.clone() }];
    }
    let mut images = Vec::new();
    let (mut before, mut started_by) = (first.1.clone(), parent);
    for (program, calls) in rest {
        images.push(Image {
            program: program.clone(),
            parent: started_by,
            prelude: before,
            calls: calls.clone(),
        });
        (before, started_by) = (Vec::new(), program.clone());
    }
    images
}

fn calls(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<u32, Call> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some(task) = leading_number(line) else { continue };
        let rest = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            let Some((name, arguments)) = begun.split_once('(') else { continue };
            let (name, arguments) = (name.to_owned(), arguments.trim_end().to_owned());
            unfinished
                .insert(task, Call { task, began: at, ended: at, name, arguments, result: String::new() });
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (Some(mut call), Some((_, more))) =
                (unfinished.remove(&task), resumed.split_once("resumed>"))
            else {
                continue;
            };
            let (arguments, result) = ended(more);
            call.arguments.push_str(arguments);
            (call.ended, call.result) = (at, result.to_owned());
            calls.push(call);
        } else if let Some((name, more)) = rest.split_once('(') {
            let (arguments, result) = ended(more);
            let (name, arguments, result) = (name.to_owned(), arguments.to_owned(), result.to_owned());
            calls.push(Call { task, began: at, ended: at, name, arguments, result });
        }
    }
    calls.sort_by_key(|call| call.began);
    calls
}

/// `arguments) = result`.
fn ended(text: &str) -> (&str, &str) {
    let (arguments, result) = text.rsplit_once(" = ").unwrap_or((text, "?"));
    let arguments = arguments.trim_end();
    (arguments.strip_suffix(')').unwrap_or(arguments), result)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}
