//! The ways in which a value leaves the hand on its node: the closed list of words that policies, reports and the console share.

use std::fmt;
use std::str::FromStr;

/// A way in which a value was handed over. Ordered from the one that fewest can see to the one that everybody can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExposureWay {
    /// Standard input of a command: nobody else sees it.
    Stdin,
    /// A file that only the command's descriptor leads to: the command, and who may trace it.
    Credentials,
    /// A target on a file system that is not swapped: who may read that file.
    File,
    /// A target in memory that the kernel may write to a swap device: who may read that file, and who reads the device.
    FileOnSwap,
    /// The environment of a command: the same user, root, and the command's children.
    Environment,
    /// The command line: everybody on the machine.
    Argv,
}

impl ExposureWay {
    /// Every way.
    pub const ALL: [Self; 6] =
        [Self::Stdin, Self::Credentials, Self::File, Self::FileOnSwap, Self::Environment, Self::Argv];

    /// The word in policies, reports and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Credentials => "credentials",
            Self::File => "file",
            Self::FileOnSwap => "file_on_swap",
            Self::Environment => "environment",
            Self::Argv => "argv",
        }
    }

    /// True if somebody sees the value by it whom the policy did not name as its consumer: these are counted as exposures.
    #[must_use]
    pub const fn is_exposure(self) -> bool {
        match self {
            Self::Stdin | Self::Credentials | Self::File => false,
            Self::FileOnSwap | Self::Environment | Self::Argv => true,
        }
    }
}

impl fmt::Display for ExposureWay {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// It is none of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWay;

impl FromStr for ExposureWay {
    type Err = UnknownWay;

    fn from_str(word: &str) -> Result<Self, UnknownWay> {
        Self::ALL.into_iter().find(|way| way.as_str() == word).ok_or(UnknownWay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_found_by_its_word_and_no_other_word_is_one() {
        for way in ExposureWay::ALL {
            assert_eq!(way.as_str().parse(), Ok(way));
        }
        assert_eq!("".parse::<ExposureWay>(), Err(UnknownWay));
        assert_eq!("Argv".parse::<ExposureWay>(), Err(UnknownWay));
    }

    #[test]
    fn what_others_than_the_consumer_see_counts_as_an_exposure() {
        let counted: Vec<_> = ExposureWay::ALL.into_iter().filter(|way| way.is_exposure()).collect();
        assert_eq!(counted, [ExposureWay::FileOnSwap, ExposureWay::Environment, ExposureWay::Argv]);
    }
}
