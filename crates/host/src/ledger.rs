//! The taint ledger: which files ever got a secret, until they are gone, and which secrets. Names only: never a value, nor a digest of one.
//!
//! A file is known by its path without links on the way and by its [`Identity`], so that neither a rename, nor another name, nor another way
//! to its folder hides it. Whatever stands at a path of the ledger counts as tainted, because what replaces such a file is most often made of
//! it. A path is forgotten when the file there is removed, or replaced by what holds no secret; a file that was moved away, when it is removed
//! or replaced under one of its names, or when another file turns up under its inode. An inode alone taints nothing where the file system
//! says when a file was made: what was made later is another file. Where it does not say, such a file stays tainted: the diff of a wrong file
//! is hidden, and that of a right one not shown.

use crate::folder::Folder;
use crate::identity::{self, Identity, Standing};
use crate::map::folder_failure;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use vigo_base::{AbsolutePath, SecretPath, SecretVersion};
use vigo_hand::target::Placed;
use vigo_resource::{CommandLine, CommandRequest, Failure};

/// The format of the file that this build writes. It reads 1, too, which had paths only.
const FORMAT: u32 = 2;
/// The name of the file in the state folder.
const NAME: &str = "ledger";
/// What became different since that file was written, a line each: a run with many targets does not write it anew for each of them.
const SINCE: &str = "ledger.since";
/// So many words of a command are looked at as paths.
const MOST_WORDS: usize = 256;
/// A ledger of this size has some 200,000 entries.
const LIMIT: usize = 64 << 20;
/// Of so many files that stood at one path the latest are remembered.
const KEPT: usize = 64;
/// Stands for the path of files of which only the inode is known.
const NOWHERE: &str = "";

/// Which secrets, and which versions of them.
pub type Secrets = BTreeSet<(SecretPath, SecretVersion)>;

/// The ledger as it is remembered and as it stands in the file.
#[derive(Debug)]
pub struct Ledger {
    folder: Folder,
    targets: BTreeMap<String, Vec<Tainted>>,
    /// The paths of the files with an inode.
    inodes: HashMap<u64, BTreeSet<String>>,
    /// How many paths end with a name.
    names: HashMap<String, usize>,
    /// A line could not be added whole: the next change writes the file anew.
    is_torn: bool,
}

/// A file at a path of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tainted {
    /// Which one; `None`: one that is about to be made, or the one there, which nobody has looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Identity>,
    /// What stands in it; `None`: not known, since it was written down in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secrets: Option<BTreeSet<(String, u64)>>,
}

impl Tainted {
    /// For the index; no file has the inode 0.
    fn inode(&self) -> u64 {
        self.file.map_or(0, |file| file.inode)
    }
}

/// A line of [`SINCE`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Since {
    /// Of format 1.
    Taint(String),
    Files(String, Vec<Tainted>),
    Forget(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    #[serde(default)]
    targets: BTreeSet<String>,
    #[serde(default)]
    files: BTreeMap<String, Vec<Tainted>>,
}

/// What stands in tainted files, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The secrets.
    pub secrets: Secrets,
    /// False if there are files of which nothing is known: a version that did not write it down put something there.
    pub is_whole: bool,
}

/// A file that is about to be written: what [`Ledger::settle`] has to know of the time before. To be taken before the first byte.
#[derive(Debug)]
#[must_use]
pub struct Before {
    path: AbsolutePath,
    old: Option<Standing>,
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
        let file = read(&folder, &cannot)?;
        let mut ledger = Self {
            folder,
            targets: BTreeMap::new(),
            inodes: HashMap::new(),
            names: HashMap::new(),
            is_torn: false,
        };
        let of_format_1 = |path| (path, vec![Tainted { file: None, secrets: None }]);
        let is_old = !file.targets.is_empty();
        for (path, files) in file.files.into_iter().chain(file.targets.into_iter().map(of_format_1)) {
            ledger.put(&path, files);
        }
        let (lines, is_there) = ledger.folder.lines(SINCE, LIMIT).map_err(|error| folder_failure(&error))?;
        for line in lines {
            match serde_json::from_slice(&line).map_err(|error| cannot(error.to_string()))? {
                Since::Taint(path) => ledger.put(&path, of_format_1(String::new()).1),
                Since::Files(path, files) => ledger.put(&path, files),
                Since::Forget(path) => ledger.put(&path, Vec::new()),
            }
        }
        ledger.look_for_unknown();
        if is_there || is_old {
            ledger.save()?;
        }
        Ok(ledger)
    }

    /// True if no file holds a secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// True if the file there ever got a secret, under this name or another, or one stood there that did. A link at its end is not followed.
    #[must_use]
    pub fn holds(&self, path: &AbsolutePath) -> bool {
        !self.is_empty()
            && (self.targets.contains_key(path.as_str())
                || self.knows(identity::standing_at(path, false))
                || (self.names.contains_key(path.file_name())
                    && self.targets.contains_key(identity::in_real_folder(path).as_str())))
    }

    /// The secrets in all tainted files: what a command may come across.
    #[must_use]
    pub fn secrets(&self) -> Put {
        let files = self.targets.values().flatten();
        files.fold(Put { is_whole: true, ..Put::default() }, Put::with)
    }

    /// The secrets in the file there.
    #[must_use]
    pub fn secrets_at(&self, path: &AbsolutePath) -> Put {
        let at = self.targets.get(identity::in_real_folder(path).as_str()).into_iter().flatten();
        let same = identity::standing_at(path, false).map(|standing| self.same_as(standing.identity));
        at.chain(same.into_iter().flatten()).fold(Put { is_whole: true, ..Put::default() }, Put::with)
    }

    /// True if a command names a file that ever got a secret, in its text, environment, input or working folder: by its path, or by its
    /// name where its folder is named as well, whatever links lead there.
    #[must_use]
    pub fn is_named_by(&self, request: &CommandRequest) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut text = text_of(request);
        for path in paths_named(request).iter().chain([&request.folder]) {
            if self.knows(identity::standing_at(path, true)) {
                return true;
            }
            if let Some(real) = identity::real(path).filter(|real| real != path) {
                text.push('\n');
                text.push_str(real.as_str());
            }
        }
        self.targets.keys().filter(|path| *path != NOWHERE).any(|path| {
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            text.contains(path.as_str()) || (text.contains(folder) && has_word(&text, name))
        })
    }

    /// Looks at what stands at a path that is about to be written.
    pub fn before(path: &AbsolutePath) -> Before {
        let path = identity::in_real_folder(path);
        Before { old: identity::standing_at(&path, false), path }
    }

    /// Remembers, before the first byte of a secret is written there: until [`Ledger::settle`] both what is there and what comes.
    ///
    /// # Errors
    /// When it cannot be made durable; then the secret must not be written.
    pub fn taint(&mut self, path: &AbsolutePath, secrets: &Put) -> Result<Before, Failure> {
        let before = Self::before(path);
        let mut files = self.targets.get(before.path.as_str()).cloned().unwrap_or_default();
        if let Some(old) = before.old {
            // What is to come is another file.
            files.iter_mut().for_each(|file| file.file = file.file.or(Some(old.identity)));
        }
        let coming = Tainted { file: None, secrets: secrets.written() };
        if !files.contains(&coming) {
            files.push(coming);
            self.change(before.path.as_str(), files, true)?;
        }
        Ok(before)
    }

    /// Remembers the file that was put there, and forgets what it replaced and what got its inode from. `placed` is what its
    /// writer says that it wrote; `secrets` is what stands in it.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn settle(&mut self, before: &Before, placed: &Placed, secrets: &Put) -> Result<(), Failure> {
        let bare = Identity { device: placed.device, inode: placed.inode, born: None };
        let there = identity::standing_at(&before.path, false).map(|standing| standing.identity);
        // Somebody else may have put another there since.
        let new = there.filter(|there| there.is(&bare)).unwrap_or(bare);
        let mut files = self.without_replaced(before, new)?;
        files.retain(|file| file.file.is_some());
        files.push(Tainted { file: Some(new), secrets: secrets.written() });
        let spare = files.len().saturating_sub(KEPT);
        files.drain(..spare);
        self.change(before.path.as_str(), files, false)
    }

    /// The same for a file in which no secret stands.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn settle_plain(&mut self, before: &Before, placed: &Placed) -> Result<(), Failure> {
        if self.is_empty() {
            return Ok(());
        }
        let new = Identity { device: placed.device, inode: placed.inode, born: None };
        let files = self.without_replaced(before, new)?;
        self.leave(&before.path, files)
    }

    /// Remembers that the file there was found to hold these secrets.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn found(&mut self, path: &AbsolutePath, secrets: &Put) -> Result<(), Failure> {
        let before = Self::before(path);
        let Some(old) = before.old else { return Ok(()) };
        let mut files = self.targets.get(before.path.as_str()).cloned().unwrap_or_default();
        let found = Tainted { file: Some(old.identity), secrets: secrets.written() };
        if files.contains(&found) {
            return Ok(());
        }
        files.retain(|file| file.file.is_some_and(|file| !file.is(&old.identity)));
        files.push(found);
        self.change(before.path.as_str(), files, true)
    }

    /// Forgets the name of a file that was removed, and the file, if that was its only one.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn forget(&mut self, before: &Before) -> Result<(), Failure> {
        if self.is_empty() {
            return Ok(());
        }
        let files = match before.old {
            Some(old) if old.links == 1 => {
                self.without(before, [Some(old.identity.inode), None], |file| file.is(&old.identity))?
            }
            _ => self.targets.get(before.path.as_str()).cloned().unwrap_or_default(),
        };
        self.leave(&before.path, files)
    }

    /// The files that stood at a path and are known to stand elsewhere, after a change there; the path itself is forgotten.
    fn leave(&mut self, path: &AbsolutePath, mut files: Vec<Tainted>) -> Result<(), Failure> {
        if !self.targets.contains_key(path.as_str()) {
            return Ok(());
        }
        files.retain(|file| file.file.is_some());
        if !files.is_empty() {
            let mut moved = self.targets.get(NOWHERE).cloned().unwrap_or_default();
            files.retain(|file| !moved.contains(file));
            moved.extend(files);
            self.change(NOWHERE, moved, false)?;
        }
        self.change(path.as_str(), Vec::new(), true)
    }

    /// What remains at a path after a file was written there: not what it replaced if that had no other name, nor what had its inode.
    fn without_replaced(&mut self, before: &Before, new: Identity) -> Result<Vec<Tainted>, Failure> {
        let replaced = before.old.filter(|old| old.links == 1).map(|old| old.identity);
        self.without(before, [Some(new.inode), replaced.map(|old| old.inode)], |file| {
            file.is(&new) || file.was_followed_by(&new) || replaced.is_some_and(|old| file.is(&old))
        })
    }

    /// The files at a path without those with these inodes that are gone; under other paths they are forgotten.
    fn without(
        &mut self,
        before: &Before,
        inodes: [Option<u64>; 2],
        is_gone: impl Fn(&Identity) -> bool,
    ) -> Result<Vec<Tainted>, Failure> {
        let stays = |file: &Tainted| !file.file.as_ref().is_some_and(&is_gone);
        let gone = inodes.into_iter().flatten();
        let paths = gone.filter_map(|inode| self.inodes.get(&inode)).flatten();
        let paths: BTreeSet<String> = paths.filter(|path| *path != before.path.as_str()).cloned().collect();
        for path in paths {
            let files = self.targets.get(&path).into_iter().flatten();
            let files = files.filter(|file| stays(file)).cloned().collect();
            self.change(&path, files, false)?;
        }
        let here = self.targets.get(before.path.as_str()).into_iter().flatten();
        Ok(here.filter(|file| stays(file)).cloned().collect())
    }

    /// True if this file is one of the ledger.
    fn knows(&self, standing: Option<Standing>) -> bool {
        standing.is_some_and(|standing| self.same_as(standing.identity).next().is_some())
    }

    /// The entries of a file.
    fn same_as(&self, identity: Identity) -> impl Iterator<Item = &Tainted> {
        let paths = self.inodes.get(&identity.inode).into_iter().flatten();
        let files = paths.filter_map(|path| self.targets.get(path)).flatten();
        files.filter(move |file| file.file.is_some_and(|file| file.is(&identity)))
    }

    /// Looks at the files of which only the path is known: those of format 1, and those of a run that was killed.
    fn look_for_unknown(&mut self) {
        let is_unknown = |files: &Vec<Tainted>| files.iter().any(|file| file.file.is_none());
        let unknown: Vec<String> = self
            .targets
            .iter()
            .filter(|(_, files)| is_unknown(files))
            .map(|(path, _)| path.clone())
            .collect();
        for path in unknown {
            let Ok(parsed) = path.parse::<AbsolutePath>() else { continue };
            let mut files = self.targets.get(&path).cloned().unwrap_or_default();
            self.put(&path, Vec::new());
            let before = Self::before(&parsed);
            if let Some(old) = before.old {
                files.iter_mut().for_each(|file| file.file = file.file.or(Some(old.identity)));
            }
            let known = self.targets.get(before.path.as_str()).cloned().unwrap_or_default();
            files.retain(|file| !known.contains(file));
            self.put(before.path.as_str(), known.into_iter().chain(files).collect());
        }
    }

    /// Sets what is known at a path, in memory.
    fn put(&mut self, path: &str, files: Vec<Tainted>) {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        for file in self.targets.remove(path).into_iter().flatten() {
            if let Entry::Occupied(mut paths) = self.inodes.entry(file.inode()) {
                paths.get_mut().remove(path);
                if paths.get().is_empty() {
                    paths.remove();
                }
            }
            if let Entry::Occupied(mut count) = self.names.entry(name.to_owned()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        for file in &files {
            self.inodes.entry(file.inode()).or_default().insert(path.to_owned());
            *self.names.entry(name.to_owned()).or_default() += 1;
        }
        if !files.is_empty() {
            self.targets.insert(path.to_owned(), files);
        }
    }

    /// Sets what is known at a path, durably or at least before what is changed next. What cannot be written down is not remembered either:
    /// the next try must not take it for written.
    fn change(&mut self, path: &str, files: Vec<Tainted>, is_durable: bool) -> Result<(), Failure> {
        let before = self.targets.get(path).cloned().unwrap_or_default();
        if before == files {
            return Ok(());
        }
        let since = if files.is_empty() {
            Since::Forget(path.to_owned())
        } else {
            Since::Files(path.to_owned(), files.clone())
        };
        self.put(path, files);
        let saved = self.add(&since, is_durable);
        if saved.is_err() {
            self.put(path, before);
        }
        saved
    }

    /// Writes one change down, by a line.
    fn add(&mut self, since: &Since, is_durable: bool) -> Result<(), Failure> {
        if self.is_torn {
            return self.save();
        }
        let added = self.folder.append(SINCE, &encode(since)?, is_durable);
        self.is_torn = added.is_err();
        added.map_err(|error| folder_failure(&error))
    }

    /// Writes the whole of it; the lines since are then none.
    fn save(&mut self) -> Result<(), Failure> {
        let file =
            File { format: FORMAT, targets: BTreeSet::new(), files: std::mem::take(&mut self.targets) };
        let bytes = encode(&file);
        self.targets = file.files;
        self.folder.write(NAME, &bytes?).map_err(|error| folder_failure(&error))?;
        // A crash before this leaves lines that say what the file says already.
        self.folder.remove(SINCE).map_err(|error| folder_failure(&error))?;
        self.is_torn = false;
        Ok(())
    }
}

impl Put {
    #[cfg(test)]
    const fn of(secrets: Secrets) -> Self {
        Self { secrets, is_whole: true }
    }

    /// These secrets and those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.secrets.extend(other.secrets);
        self.is_whole &= other.is_whole;
        self
    }

    fn with(mut self, file: &Tainted) -> Self {
        self.is_whole &= file.secrets.is_some();
        for (path, version) in file.secrets.iter().flatten() {
            match path.parse() {
                Ok(path) => {
                    self.secrets.insert((path, SecretVersion(*version)));
                }
                Err(_) => self.is_whole = false,
            }
        }
        self
    }

    fn written(&self) -> Option<BTreeSet<(String, u64)>> {
        let secrets = self.secrets.iter().map(|(path, version)| (path.to_string(), version.0));
        self.is_whole.then(|| secrets.collect())
    }
}

/// What is in the file.
fn read(folder: &Folder, cannot: &dyn Fn(String) -> Failure) -> Result<File, Failure> {
    let Some(bytes) = folder.read(NAME, LIMIT).map_err(|error| folder_failure(&error))? else {
        return Ok(File { format: FORMAT, targets: BTreeSet::new(), files: BTreeMap::new() });
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| {
        cannot(error.to_string())
            .help("restore the file from a backup; without it Vigo does not know which files hold secrets")
    })?;
    if file.format > FORMAT {
        return Err(
            cannot("a later version of Vigo wrote it".to_owned()).help("upgrade this version of Vigo")
        );
    }
    Ok(file)
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
mod tests;
