//! Files of secrets that other tools wrote: age, sops (with age keys), Ansible Vault and `.env`. Bytes in, named values out.
//!
//! Layer 2 and pure: no file, no terminal, no clock, no random bytes. Everything takes and gives ordinary buffers, which are wiped when dropped;
//! that they lie in protected pages is the business of the hand, the only process that calls this with something that is not a test. What a
//! name becomes in Vigo, and whether a secret is there already, is the business of who imports.
//!
//! Every input is bounded ([`FILE`], [`VALUES`], [`DEPTH`], [`age::WORK`]) and nothing is given out before all of it is authenticated. No error
//! holds a byte of a value; the names of values are told, as they are in every file of these kinds but a `.env` that is encrypted whole.
#![forbid(unsafe_code)]

pub mod age;
pub mod ansible;
mod env;
mod error;
mod json;
mod leaf;
mod scrypt;
mod sops;
mod yaml;

pub use error::ImportError;
use leaf::{Leaf, Sort};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// The longest file.
pub const FILE: usize = 1 << 20;
/// Values in one file.
pub const VALUES: usize = 1000;
/// How deep maps and lists may be nested.
pub const DEPTH: usize = 16;
/// The longest name of a value, all its parts together.
pub const NAME: usize = 512;

/// What kind of file the operator says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// age-encryption.org/v1.
    Age,
    /// sops, with its YAML, JSON or dotenv store.
    Sops,
    /// Ansible Vault: a whole file, or `!vault` values in a YAML file.
    Ansible,
    /// Lines of `NAME=value`, in the clear.
    Env,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Age, Self::Sops, Self::Ansible, Self::Env];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Sops => "sops",
            Self::Ansible => "ansible",
            Self::Env => "env",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What stands in a file that was encrypted as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One value: all of it.
    Whole,
    /// A YAML mapping.
    Yaml,
    /// A JSON object.
    Json,
    /// Lines of `NAME=value`.
    Env,
}

impl Content {
    /// Every content.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Yaml, Self::Json, Self::Env];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Env => "env",
        }
    }

    /// The content of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content| content.name() == name)
    }
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An age file.
    Age,
    /// sops, YAML store.
    SopsYaml,
    /// sops, JSON store (and what sops calls binary).
    SopsJson,
    /// sops, dotenv store.
    SopsEnv,
    /// A file that Ansible Vault encrypted as a whole.
    AnsibleFile,
    /// A YAML file with `!vault` values.
    AnsibleValues,
    /// A plain `.env`.
    Env,
}

impl Kind {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::SopsYaml => "sops (YAML)",
            Self::SopsJson => "sops (JSON)",
            Self::SopsEnv => "sops (dotenv)",
            Self::AnsibleFile => "Ansible Vault",
            Self::AnsibleValues => "Ansible Vault (values)",
            Self::Env => ".env",
        }
    }

    /// Encrypted as a whole: what stands in it has to be said.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Age | Self::AnsibleFile)
    }
}

/// With what a file opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It is in the clear.
    Nothing,
    /// An age identity.
    Identity,
    /// A passphrase.
    Passphrase,
}

/// With what it is tried.
#[derive(Default)]
pub struct Keys {
    /// age identities.
    pub identities: Vec<age::Identity>,
    /// A passphrase.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// Bytes of memory that scrypt may take; with less than it wants it takes longer.
    pub memory: usize,
}

impl Keys {
    fn passphrase(&self) -> Result<&[u8], ImportError> {
        Ok(self.passphrase.as_deref().ok_or(ImportError::NoPassphrase)?.as_slice())
    }
}

/// A value and the way to it. Without `Debug`, as everything that holds a value.
pub struct Named {
    /// Names of maps and numbers in lists, from the outside; empty for a file that is one value.
    pub key: Vec<String>,
    /// The value.
    pub value: Zeroizing<Vec<u8>>,
}

/// Why something in a file is not among its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is empty, or null.
    Empty,
    /// It stands in the clear in a file that encrypts its secrets.
    Clear,
}

impl LeftOut {
    /// For people.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Clear => "not encrypted in the file",
        }
    }
}

/// What a file holds.
pub struct Opened {
    /// The values, in the order of the file.
    pub values: Vec<Named>,
    /// What was not taken.
    pub left_out: Vec<(Vec<String>, LeftOut)>,
}

/// A file, read but not opened.
pub struct File {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
}

impl File {
    /// Looks at what it is. `format`: what it is said to be.
    ///
    /// # Errors
    /// When it is too long, nothing that is known here, or not what it is said to be.
    pub fn read(bytes: Zeroizing<Vec<u8>>, format: Option<Format>) -> Result<Self, ImportError> {
        if bytes.len() > FILE {
            return Err(ImportError::Limit { what: "bytes in a file", most: FILE });
        }
        if bytes.is_empty() {
            return Err(ImportError::Unknown("it is empty"));
        }
        let kind = match format {
            None => recognise(&bytes)?,
            Some(Format::Age) => Kind::Age,
            Some(Format::Env) => Kind::Env,
            Some(Format::Ansible) if ansible::is_file(&bytes) => Kind::AnsibleFile,
            Some(Format::Ansible) => Kind::AnsibleValues,
            Some(Format::Sops) => sops::store(&bytes).ok_or(ImportError::NotThis("sops"))?,
        };
        Ok(Self { kind, bytes })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// With what it opens.
    ///
    /// # Errors
    /// When its head is not well-formed, or it is under keys that cannot be used here.
    pub fn needs(&self) -> Result<Needs, ImportError> {
        Ok(match self.kind {
            Kind::Env => Needs::Nothing,
            Kind::AnsibleFile | Kind::AnsibleValues => Needs::Passphrase,
            Kind::SopsYaml | Kind::SopsJson | Kind::SopsEnv => {
                sops::check_keys(&sops::read(self.kind, &self.bytes)?)?;
                Needs::Identity
            }
            Kind::Age => age::needs(&self.bytes)?,
        })
    }

    /// Opens it. `content` is for files that were encrypted as a whole; `only` names the values that are wanted, or what they are in (all if none
    /// is named).
    ///
    /// # Errors
    /// When the key is another, the file was changed or is cut off, something is not well-formed, or there is more than is taken.
    pub fn open(&self, keys: &Keys, content: Content, only: &[String]) -> Result<Opened, ImportError> {
        let leaves = match self.kind {
            Kind::Age => inside(&age::open(&self.bytes, keys)?, content)?,
            Kind::AnsibleFile => inside(&ansible::open(&self.bytes, keys.passphrase()?)?, content)?,
            Kind::SopsYaml | Kind::SopsJson | Kind::SopsEnv => sops::open(self.kind, &self.bytes, keys)?,
            Kind::AnsibleValues => {
                return ansible_values(select(yaml::read(text(&self.bytes)?)?, only)?, keys.passphrase()?);
            }
            Kind::Env => env::read(text(&self.bytes)?)?,
        };
        sort(select(leaves, only)?, |leaf| Ok(leaf.text))
    }
}

/// What bytes are, by how they begin or what every such file has.
fn recognise(bytes: &[u8]) -> Result<Kind, ImportError> {
    if age::is_one(bytes) {
        return Ok(Kind::Age);
    }
    if ansible::is_file(bytes) {
        return Ok(Kind::AnsibleFile);
    }
    if let Some(store) = sops::store(bytes) {
        return Ok(store);
    }
    let text = text(bytes)?;
    if text.lines().any(|line| line.contains("!vault")) {
        return Ok(Kind::AnsibleValues);
    }
    match env::read(text) {
        // What is wrong with it is told when it is read.
        Ok(_) | Err(ImportError::Duplicate { .. } | ImportError::Limit { .. }) => Ok(Kind::Env),
        Err(_) => Err(ImportError::Unknown("it looks like none of the kinds that are known")),
    }
}

/// The values of what was encrypted as a whole.
fn inside(bytes: &Zeroizing<Vec<u8>>, content: Content) -> Result<Vec<Leaf>, ImportError> {
    match content {
        Content::Whole => {
            Ok(vec![Leaf { at: Vec::new(), sort: Sort::Text, text: Zeroizing::new(bytes.to_vec()) }])
        }
        Content::Yaml => {
            let leaves = yaml::read(text(bytes)?)?;
            match leaves.iter().find(|leaf| leaf.sort == Sort::Vault) {
                Some(leaf) => Err(ImportError::Value { key: leaf.name(), why: "it is encrypted once more" }),
                None => Ok(leaves),
            }
        }
        Content::Json => json::read(bytes),
        Content::Env => env::read(text(bytes)?),
    }
}

fn text(bytes: &[u8]) -> Result<&str, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|_| ImportError::Unknown("it is no text"))
}

/// Those that `only` names, or that are in what it names. Also checks how many there are.
fn select(leaves: Vec<Leaf>, only: &[String]) -> Result<Vec<Leaf>, ImportError> {
    let mut missing: HashSet<&str> = only.iter().map(String::as_str).collect();
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for leaf in leaves {
        let name = leaf.name();
        if !seen.insert(name.clone()) {
            return Err(ImportError::Duplicate { key: name });
        }
        let is_wanted = |wanted: &String| {
            name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let wanted = only.iter().filter(|wanted| is_wanted(wanted)).inspect(|wanted| {
            missing.remove(wanted.as_str());
        });
        if only.is_empty() || wanted.count() > 0 {
            kept.push(leaf);
        }
    }
    match only.iter().find(|name| missing.contains(name.as_str())) {
        Some(missing) => Err(ImportError::NoSuchKey(missing.clone())),
        None if kept.len() > VALUES => Err(ImportError::Limit { what: "values", most: VALUES }),
        None => Ok(kept),
    }
}

/// Values by `value`; what is empty or in the clear is left out.
fn sort(
    leaves: Vec<Leaf>,
    value: impl Fn(Leaf) -> Result<Zeroizing<Vec<u8>>, ImportError>,
) -> Result<Opened, ImportError> {
    let mut opened = Opened { values: Vec::new(), left_out: Vec::new() };
    for leaf in leaves {
        let (key, name) = (leaf.key(), leaf.name());
        match leaf.sort {
            Sort::Clear => opened.left_out.push((key, LeftOut::Clear)),
            Sort::Null => opened.left_out.push((key, LeftOut::Empty)),
            Sort::Text | Sort::Bare | Sort::Vault => {
                let value = value(leaf)?;
                if value.is_empty() {
                    opened.left_out.push((key, LeftOut::Empty));
                } else if value.starts_with(sops::ENCRYPTED) {
                    let why = "it is a value of sops, but the part of the file that sops wrote for itself is missing";
                    return Err(ImportError::Value { key: name, why });
                } else if value.len() > vigo_base::limits::SECRET_VALUE {
                    return Err(ImportError::Value { key: name, why: "it is longer than 65536 bytes" });
                } else {
                    opened.values.push(Named { key, value });
                }
            }
        }
    }
    if opened.values.is_empty() {
        return Err(ImportError::NoValues);
    }
    Ok(opened)
}

/// Opens the `!vault` values; what stands beside them in the clear is left out.
fn ansible_values(leaves: Vec<Leaf>, passphrase: &[u8]) -> Result<Opened, ImportError> {
    let clear = |mut leaf: Leaf| {
        if matches!(leaf.sort, Sort::Text | Sort::Bare) {
            leaf.sort = Sort::Clear;
        }
        leaf
    };
    sort(leaves.into_iter().map(clear).collect(), |leaf| {
        ansible::open(&leaf.text, passphrase).map_err(|error| error.about(&leaf.name()))
    })
}

/// The decoders by themselves, for trials with arbitrary bytes. What they find is thrown away.
#[doc(hidden)]
pub mod trial {
    /// Reads YAML.
    pub fn yaml(bytes: &[u8]) -> Option<usize> {
        super::yaml::read(super::text(bytes).ok()?).ok().map(|leaves| leaves.len())
    }

    /// Reads JSON.
    pub fn json(bytes: &[u8]) -> Option<usize> {
        super::json::read(bytes).ok().map(|leaves| leaves.len())
    }

    /// Reads `.env`.
    pub fn env(bytes: &[u8]) -> Option<usize> {
        super::env::read(super::text(bytes).ok()?).ok().map(|leaves| leaves.len())
    }
}

#[cfg(test)]
#[allow(clippy::string_slice)]
mod tests;
