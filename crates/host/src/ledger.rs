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
/// A ledger of this size has some 500,000 entries.
const LIMIT: usize = 64 << 20;

/// The ledger as it is remembered and as it stands in the file.
#[derive(Debug)]
pub struct Ledger {
    folder: Folder,
    targets: BTreeSet<String>,
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
        let Some(bytes) = folder.read(NAME, LIMIT).map_err(|error| folder_failure(&error))? else {
            return Ok(Self { folder, targets: BTreeSet::new() });
        };
        let cannot =
            |why: String| Failure::failed(format!("cannot read `{}/{NAME}`: {why}", state.display()));
        let file: File = serde_json::from_slice(&bytes).map_err(|error| {
            cannot(error.to_string()).help(
                "restore the file from a backup; without it Vigo does not know which files hold secrets",
            )
        })?;
        if file.format != FORMAT {
            return Err(
                cannot("a later version of Vigo wrote it".to_owned()).help("upgrade this version of Vigo")
            );
        }
        Ok(Self { folder, targets: file.targets })
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
        let saved = self.save();
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
        if self.targets.remove(path.as_str()) { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), Failure> {
        let file = File { format: FORMAT, targets: std::mem::take(&mut self.targets) };
        let bytes = serde_json::to_vec(&file);
        self.targets = file.targets;
        let bytes = bytes.map_err(|error| Failure::failed(format!("cannot write the ledger: {error}")))?;
        self.folder.write(NAME, &bytes).map_err(|error| folder_failure(&error))
    }
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
        std::fs::remove_dir(&state).unwrap();
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
    fn a_ledger_of_a_later_version_stops_everything() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let folder = Folder::open(&state).unwrap();
        folder.write("ledger", b"{\"format\":2,\"targets\":[]}").unwrap();
        assert!(Ledger::open(&state).unwrap_err().help.contains("upgrade"));
    }
}
