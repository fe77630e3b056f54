//! Protection level and swap class: what a machine says of the protection it can give.

use std::fmt;

/// How well this agent's memory is protected. It is what the agent says of itself: good against mistakes, not against a root that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtectionLevel {
    /// No protected pages, traced, or dumpable.
    Insecure,
    /// Protected pages, but something less than everything.
    Weak,
    /// Every mechanism holds and was read back.
    Secure,
}

impl ProtectionLevel {
    /// The word in logs, reports and traits.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insecure => "insecure",
            Self::Weak => "weak",
            Self::Secure => "secure",
        }
    }

    /// The level of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Insecure, Self::Weak, Self::Secure].into_iter().find(|level| level.as_str() == word)
    }
}

impl fmt::Display for ProtectionLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What kind of swap the machine has: its weakest device counts. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SwapClass {
    /// No swap is active.
    None,
    /// Compressed memory without a backing device.
    Zram,
    /// dm-crypt with a key that is made anew at each boot.
    EncryptedEphemeral,
    /// dm-crypt or LUKS with a key that outlives the boot.
    EncryptedPersistent,
    /// Readable by whoever holds the disk.
    Plain,
}

impl SwapClass {
    /// The word in logs, reports and traits.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zram => "zram",
            Self::EncryptedEphemeral => "encrypted-ephemeral",
            Self::EncryptedPersistent => "encrypted-persistent",
            Self::Plain => "plain",
        }
    }

    /// The class of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::None, Self::Zram, Self::EncryptedEphemeral, Self::EncryptedPersistent, Self::Plain];
        all.into_iter().find(|class| class.as_str() == word)
    }

    /// True if what is swapped out is not to be read from a disk without a key.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

impl fmt::Display for SwapClass {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
