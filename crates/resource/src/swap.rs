//! Swap as a resource sees it: what is in use, what a device or file is, and the single steps by which that changes.
//!
//! [`SwapModel`] carries steps out in memory: for dry runs, and for machines that tests make up. The kernel's own ways are in `host`.

use std::fmt;
use std::time::Duration;
use vigo_base::SwapClass;
use vigo_swap::show_size;

/// All swap of a machine, and what this process may do to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapState {
    /// What is in use.
    pub areas: Vec<SwapArea>,
    /// What new programs could get without swapping, in bytes.
    pub memory_available: u64,
    /// All memory, in bytes.
    pub memory_total: u64,
    /// Why this process may not switch swap on and off; `None` if it may.
    pub refused: Option<String>,
    /// True if `/etc` cannot be written to.
    pub is_etc_read_only: bool,
    /// True if the kernel has compressed memory as a device, or a module for it.
    pub has_zram: bool,
    /// What can make an encrypted mapping; `None` when nothing here can.
    pub crypt_tool: Option<String>,
}

/// Something that is in use as swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapArea {
    /// What it is.
    pub storage: Storage,
    /// What of it is used, in bytes.
    pub used: u64,
    /// Higher ones are used first; negative when nobody chose one.
    pub priority: i32,
}

/// A device or file that is swap or could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// As the kernel names it.
    pub path: String,
    /// Other names: links below `/dev`, and `UUID=...`, `LABEL=...` of its header.
    pub aliases: Vec<String>,
    /// True for a file.
    pub is_file: bool,
    /// Its size in bytes.
    pub size: u64,
    /// What it stands on.
    pub class: SwapClass,
    /// What it begins with.
    pub content: StorageContent,
    /// True if it can be told to forget what stands on it.
    pub discards: bool,
    /// The name of the device mapping that it is.
    pub mapping: Option<String>,
}

impl Storage {
    /// True if that is a name of it.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.path == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// What a device or file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageContent {
    /// The header of a swap area.
    Swap,
    /// Zeroes.
    Nothing,
    /// Something else, which somebody may need.
    Other,
    /// It could not be read.
    Unknown,
}

/// How what was swapped out is made unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// The device is told to forget it.
    Discard,
    /// Zeroes are written over it.
    Overwrite,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapStep {
    /// Use it as swap.
    On {
        /// What.
        path: String,
        /// With which priority; `None` leaves it to the kernel.
        priority: Option<i32>,
    },
    /// Use it no longer. What is in it comes back into memory first.
    Off {
        /// What.
        path: String,
    },
    /// Write the header of a swap area.
    Make {
        /// Where.
        path: String,
        /// Make the file first, of that size; `None` takes what is there.
        size: Option<u64>,
    },
    /// Make what stands on it unreadable.
    Erase {
        /// Where.
        path: String,
        /// How.
        how: Erase,
        /// How long it may take.
        timeout: Duration,
    },
    /// Make a compressed device in memory and use it.
    AddZram {
        /// How much it can take, uncompressed.
        size: u64,
        /// With which priority.
        priority: i32,
    },
    /// Use a compressed device no longer, and take it away.
    RemoveZram {
        /// Which.
        path: String,
    },
    /// Make an encrypted mapping with a new random key that nobody keeps.
    Map {
        /// Its name below `/dev/mapper`.
        name: String,
        /// What is below it.
        path: String,
        /// The size of the key in bits.
        bits: u32,
    },
    /// Take a mapping away.
    Unmap {
        /// Its name.
        name: String,
    },
}

impl SwapStep {
    /// The device or file that it is about, if there is one before it.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::On { path, .. }
            | Self::Off { path }
            | Self::Make { path, .. }
            | Self::Erase { path, .. }
            | Self::RemoveZram { path }
            | Self::Map { path, .. } => Some(path),
            Self::AddZram { .. } | Self::Unmap { .. } => None,
        }
    }
}

impl fmt::Display for SwapStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On { path, priority: Some(priority) } => {
                write!(out, "use `{path}` as swap with priority {priority}")
            }
            Self::On { path, priority: None } => write!(out, "use `{path}` as swap"),
            Self::Off { path } => write!(out, "switch off swap on `{path}`"),
            Self::Make { path, size: Some(size) } => {
                write!(out, "make the swap file `{path}` of {}", show_size(*size))
            }
            Self::Make { path, size: None } => write!(out, "make `{path}` a swap area"),
            Self::Erase { path, how: Erase::Discard, .. } => {
                write!(out, "let `{path}` forget what was swapped out (discard)")
            }
            Self::Erase { path, how: Erase::Overwrite, .. } => write!(out, "overwrite `{path}` with zeroes"),
            Self::AddZram { size, .. } => {
                write!(out, "make a compressed device in memory for {} and use it as swap", show_size(*size))
            }
            Self::RemoveZram { path } => {
                write!(out, "switch off swap on the compressed device `{path}` and take it away")
            }
            Self::Map { name, path, .. } => {
                write!(
                    out,
                    "make the mapping `/dev/mapper/{name}` over `{path}`, encrypted with a random key"
                )
            }
            Self::Unmap { name } => write!(out, "take the mapping `/dev/mapper/{name}` away"),
        }
    }
}

/// A machine's swap in memory.
#[derive(Clone, Debug, Default)]
pub struct SwapModel {
    /// What is in use.
    pub state: SwapState,
    /// Devices and files that are there.
    pub storages: Vec<Storage>,
    /// Names of devices that were taken away.
    pub gone: Vec<String>,
}

impl SwapModel {
    /// What is called so.
    #[must_use]
    pub fn storage(&self, name: &str) -> Option<&Storage> {
        let path = vigo_swap::spec_path(name);
        let is_it = |storage: &&Storage| {
            storage.is_called(name) || path.as_ref().is_some_and(|path| storage.is_called(path))
        };
        self.storages.iter().find(is_it)
    }

    /// Does a step as the kernel would.
    ///
    /// # Errors
    /// Why the kernel would not.
    pub fn carry_out(&mut self, step: &SwapStep) -> Result<(), String> {
        match step {
            SwapStep::On { path, priority } => {
                let storage = self.there(path)?.clone();
                if storage.content != StorageContent::Swap {
                    return Err(format!("`{path}` has no header of a swap area"));
                }
                if self.area(&storage.path).is_some() {
                    return Err(format!("`{path}` is in use"));
                }
                self.state.areas.push(SwapArea { storage, used: 0, priority: priority.unwrap_or(-2) });
            }
            SwapStep::Off { path } => {
                let place = self.there(path)?.path.clone();
                let at = self.area(&place).ok_or_else(|| format!("`{path}` is not in use"))?;
                self.state.areas.remove(at);
            }
            SwapStep::Make { path, size } => {
                if let Some(size) = size
                    && self.storage(path).is_none()
                {
                    self.storages.push(storage(path, *size, SwapClass::Plain, true));
                }
                let made = self.change(path)?;
                made.size = size.unwrap_or(made.size);
                made.content = StorageContent::Swap;
            }
            SwapStep::Erase { path, .. } => self.change(path)?.content = StorageContent::Nothing,
            SwapStep::AddZram { size, priority } => {
                let free = (0..).map(|number| format!("/dev/zram{number}"));
                let path = free.into_iter().find(|path| self.storage(path).is_none()).unwrap_or_default();
                let mut made = storage(&path, *size, SwapClass::Zram, false);
                made.content = StorageContent::Swap;
                self.storages.push(made.clone());
                self.state.areas.push(SwapArea { storage: made, used: 0, priority: *priority });
            }
            SwapStep::RemoveZram { path } => {
                let place = self.there(path)?.path.clone();
                self.state.areas.retain(|area| area.storage.path != place);
                self.storages.retain(|storage| storage.path != place);
                self.gone.push(place);
            }
            SwapStep::Map { name, path, .. } => {
                let below = self.change(path)?;
                below.content = StorageContent::Other;
                let size = below.size;
                let mut made =
                    storage(&format!("/dev/mapper/{name}"), size, SwapClass::EncryptedEphemeral, false);
                made.mapping = Some(name.clone());
                made.content = StorageContent::Other;
                self.storages.push(made);
            }
            SwapStep::Unmap { name } => {
                self.storages.retain(|storage| storage.mapping.as_ref() != Some(name));
                self.gone.push(format!("/dev/mapper/{name}"));
            }
        }
        Ok(())
    }

    fn area(&self, path: &str) -> Option<usize> {
        self.state.areas.iter().position(|area| area.storage.path == path)
    }

    fn there(&self, path: &str) -> Result<&Storage, String> {
        self.storage(path).ok_or_else(|| format!("there is no `{path}`"))
    }

    fn change(&mut self, path: &str) -> Result<&mut Storage, String> {
        let found = self.storages.iter_mut().find(|storage| storage.is_called(path));
        found.ok_or_else(|| format!("there is no `{path}`"))
    }
}

fn storage(path: &str, size: u64, class: SwapClass, is_file: bool) -> Storage {
    Storage {
        path: path.to_owned(),
        aliases: Vec::new(),
        is_file,
        size,
        class,
        content: StorageContent::Nothing,
        discards: false,
        mapping: None,
    }
}
