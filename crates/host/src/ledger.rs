//! The taint ledger: the path of every file that ever got a secret, until it is gone. Never a value, nor a digest of one.

use crate::folder::Folder;
use crate::map::folder_failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use vigo_base::AbsolutePath;
use vigo_resource::{CommandLine, CommandRequest, Failure};

/// The format of the file that this build reads and writes.
const FORMAT: u32 = 1;
/// The name of the file in the state folder.
const NAME: &str = "ledger";
/// What became different since that file was written, a line each: a run with many targets does not write it anew for each of them.
const SINCE: &str = "ledger.since";
/// So many words of a command are looked at as paths.
const MOST_WORDS: usize = 256;
/// A ledger of this size has some 500,000 entries.
const LIMIT: usize = 64 << 20;

/// The ledger as it is remembered and as it stands in the file.
#[derive(Debug)]
pub struct Ledger {
    folder: Folder,
    targets: BTreeSet<String>,
    /// A line could not be added whole: the next change writes the file anew.
    is_torn: bool,
}

/// A line of [`SINCE`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Since {
    Taint(String),
    Forget(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    targets: BTreeSet<String>,
}

impl Ledger {
    /// Opens the ledger of that state folder.
    ///
    /// # Errors
    /// When it cannot be read or is of a later format: then nothing may be written either, since what is tainted is not known.
    pub fn open(state: &Path) -> Result<Self, Failure> {
        let folder = Folder::open(state).map_err(|error| folder_failure(&error))?;
        let cannot =
            |why: String| Failure::failed(format!("cannot read `{}/{NAME}`: {why}", state.display()));
        let mut ledger = Self { targets: read(&folder, &cannot)?, folder, is_torn: false };
        let (lines, is_there) = ledger.folder.lines(SINCE, LIMIT).map_err(|error| folder_failure(&error))?;
        for line in lines {
            match serde_json::from_slice(&line).map_err(|error| cannot(error.to_string()))? {
                Since::Taint(path) => ledger.targets.insert(path),
                Since::Forget(path) => ledger.targets.remove(&path),
            };
        }
        if is_there {
            ledger.save()?;
        }
        Ok(ledger)
    }

    /// True if the file there ever got a secret.
    #[must_use]
    pub fn holds(&self, path: &AbsolutePath) -> bool {
        self.targets.contains(path.as_str())
    }

    /// True if a command names a file that ever got a secret, in its text, environment, input or working folder: by its path, or by its
    /// name where its folder is named as well.
    #[must_use]
    pub fn is_named_by(&self, request: &CommandRequest) -> bool {
        if self.targets.is_empty() {
            return false;
        }
        let text = text_of(request);
        self.targets.iter().any(|path| {
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            text.contains(path.as_str()) || (text.contains(folder) && has_word(&text, name))
        })
    }

    /// Remembers, before the first byte of a secret is written there.
    ///
    /// # Errors
    /// When it cannot be made durable; then the secret must not be written.
    pub fn taint(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if !self.targets.insert(path.as_str().to_owned()) {
            return Ok(());
        }
        // What is not in the file is not remembered: the next try must not take it for written.
        let saved = self.add(&Since::Taint(path.as_str().to_owned()));
        if saved.is_err() {
            self.targets.remove(path.as_str());
        }
        saved
    }

    /// Forgets a file that is gone.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn forget(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if self.targets.remove(path.as_str()) {
            self.add(&Since::Forget(path.as_str().to_owned()))
        } else {
            Ok(())
        }
    }

    /// Makes one change durable, by a line.
    fn add(&mut self, since: &Since) -> Result<(), Failure> {
        if self.is_torn {
            return self.save();
        }
        let added = self.folder.append(SINCE, &encode(since)?);
        self.is_torn = added.is_err();
        added.map_err(|error| folder_failure(&error))
    }

    /// Writes the whole of it; the lines since are then none.
    fn save(&mut self) -> Result<(), Failure> {
        let file = File { format: FORMAT, targets: std::mem::take(&mut self.targets) };
        let bytes = encode(&file);
        self.targets = file.targets;
        self.folder.write(NAME, &bytes?).map_err(|error| folder_failure(&error))?;
        // A crash before this leaves lines that say what the file says already.
        self.folder.remove(SINCE).map_err(|error| folder_failure(&error))?;
        self.is_torn = false;
        Ok(())
    }
}

/// The targets in the file.
fn read(folder: &Folder, cannot: &dyn Fn(String) -> Failure) -> Result<BTreeSet<String>, Failure> {
    let Some(bytes) = folder.read(NAME, LIMIT).map_err(|error| folder_failure(&error))? else {
        return Ok(BTreeSet::new());
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| {
        cannot(error.to_string())
            .help("restore the file from a backup; without it Vigo does not know which files hold secrets")
    })?;
    if file.format != FORMAT {
        return Err(
            cannot("a later version of Vigo wrote it".to_owned()).help("upgrade this version of Vigo")
        );
    }
    Ok(file.targets)
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(|error| Failure::failed(format!("cannot write the ledger: {error}")))
}

/// All that a command is told: working folder, words, environment, input.
fn text_of(request: &CommandRequest) -> String {
    let words = match &request.line {
        CommandLine::Shell { text, .. } => std::slice::from_ref(text),
        CommandLine::Arguments(words) => words.as_slice(),
    };
    let environment = request.environment.iter().map(|(_, value)| value);
    let mut text = request.folder.to_string();
    for pieces in words.iter().chain(environment).chain(&request.stdin) {
        text.push('\n');
        text.push_str(&pieces.to_string());
    }
    text
}

/// The paths that a command is told: whole ones, and what may be a name in its working folder. The first of them only.
pub fn paths_named(request: &CommandRequest) -> Vec<AbsolutePath> {
    let text = text_of(request);
    let is_path = |letter: char| letter.is_alphanumeric() || "/._-+@%~".contains(letter);
    let words = text.split(|letter| !is_path(letter)).filter(|word| !word.is_empty());
    let path = |word: &str| match word.find('/') {
        Some(0) => word.parse().ok(),
        _ => format!("{}/{word}", request.folder.as_str().trim_end_matches('/')).parse().ok(),
    };
    let mut paths: Vec<AbsolutePath> = words.take(MOST_WORDS).filter_map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// True if `word` stands in `text` and not as a part of a longer file name.
fn has_word(text: &str, word: &str) -> bool {
    let goes_on = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vigo_base::Pieces;
    use vigo_resource::OutputRule;

    fn command(text: &str, folder: &str, variable: &str, stdin: Option<&str>) -> CommandRequest {
        CommandRequest {
            line: CommandLine::Shell { shell: "/bin/sh".parse().unwrap(), text: Pieces::literal(text) },
            user: None,
            group: None,
            folder: folder.parse().unwrap(),
            environment: vec![("FILE".to_owned(), Pieces::literal(variable))],
            allow_argv: false,
            credentials: Vec::new(),
            stdin: stdin.map(Pieces::literal),
            umask: 0o022,
            timeout: Duration::from_secs(20),
            output: OutputRule::Automatic,
            resource: "test:a".to_owned(),
        }
    }

    #[test]
    fn a_command_names_a_file_by_its_path_or_by_folder_and_name_wherever_they_stand() {
        let place = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&place.path().join("state")).unwrap();
        ledger.taint(&"/etc/web/token".parse().unwrap()).unwrap();
        let names =
            |text, folder, variable, stdin| ledger.is_named_by(&command(text, folder, variable, stdin));
        assert!(names("grep x /etc/web/token | wc", "/", "", None));
        assert!(names("cat $FILE", "/", "/etc/web/token", None));
        assert!(names("xargs cat", "/", "", Some("/etc/web/token\n")));
        assert!(names("cat token", "/etc/web", "", None));
        assert!(names("cd /etc/web && cat ./token", "/", "", None));
        assert!(names("cat /etc/web//token", "/", "", None));
        assert!(!names("cat /etc/motd", "/", "", None));
        assert!(!names("/etc/web/reload --token-file x", "/", "", None));
        assert!(!names("cat token", "/srv", "", None));
    }

    #[test]
    fn what_could_not_be_written_down_is_no_taint() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let mut ledger = Ledger::open(&state).unwrap();
        std::fs::remove_dir_all(&state).unwrap();
        let path = "/etc/token".parse().unwrap();
        for _ in 0..2 {
            assert!(ledger.taint(&path).is_err(), "the second try must not take the first for done");
        }
    }

    #[test]
    fn a_target_stays_tainted_over_a_restart_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let path: AbsolutePath = "/etc/token".parse().unwrap();
        Ledger::open(&state).unwrap().taint(&path).unwrap();
        let mut ledger = Ledger::open(&state).unwrap();
        assert!(ledger.holds(&path));
        ledger.forget(&path).unwrap();
        assert!(!Ledger::open(&state).unwrap().holds(&path));
    }

    #[test]
    fn a_target_is_added_by_a_line_and_what_a_crash_left_of_one_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let path = |name: usize| -> AbsolutePath { format!("/etc/{name}").parse().unwrap() };
        let mut ledger = Ledger::open(&state).unwrap();
        (0..100).for_each(|number| ledger.taint(&path(number)).unwrap());
        ledger.forget(&path(7)).unwrap();
        assert!(!state.join("ledger").exists(), "it is not written anew for each");
        let since = state.join("ledger.since");
        let mut lines = std::fs::read(&since).unwrap();
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 101);
        lines.extend_from_slice(b"{\"taint\":\"/etc/hal");
        std::fs::write(&since, lines).unwrap();
        let ledger = Ledger::open(&state).unwrap();
        assert!(ledger.holds(&path(99)) && !ledger.holds(&path(7)));
        assert!(!since.exists() && state.join("ledger").exists(), "put together once, at the start");
        assert!(Ledger::open(&state).unwrap().holds(&path(0)));
    }

    #[test]
    fn a_ledger_of_a_later_version_stops_everything() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let folder = Folder::open(&state).unwrap();
        folder.write("ledger", b"{\"format\":2,\"targets\":[]}").unwrap();
        assert!(Ledger::open(&state).unwrap_err().help.contains("upgrade"));
    }
}
