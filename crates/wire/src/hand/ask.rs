//! What may be asked of a hand: names and numbers. Who may ask what stands in the table of `vigo-hand`.

macro_rules! asks {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What may be asked of a hand. Numbers are never used twice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Ask { $($(#[$doc])* $name = $number,)* }

        impl Ask {
            /// Every request.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name, for messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The request of that number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

asks! {
    /// The first frame, and only the first: [`Hello`] -> [`Status`].
    Hello = 1,
    /// [`Nothing`] -> [`Status`].
    Status = 2,
    /// [`Nothing`] -> [`PublicKey`].
    OneTimeKey = 3,
    /// [`Open`] -> [`Nothing`].
    Open = 4,
    /// [`File`] (and the descriptor of a passphrase, where the key is under one) -> [`VaultId`].
    UnlockVault = 5,
    /// [`Record`] -> [`Nothing`].
    OpenRecord = 6,
    /// [`Take`] (and a descriptor, if it names no file) -> [`Nothing`].
    Take = 7,
    /// [`Paths`] -> [`Nothing`].
    Forget = 8,
    /// [`Nothing`] -> [`Versions`].
    Held = 9,
    /// [`Nothing`] -> [`Nothing`].
    NewRun = 10,
    /// [`Compare`] and the content's descriptor -> [`Compared`].
    Compare = 11,
    /// [`Write`] and the content's descriptor -> [`Stamp`].
    Write = 12,
    /// [`Run`] (and the content of standard input) -> [`Finished`].
    Run = 13,
    /// [`Bytes`] -> [`Bytes`].
    Scrub = 14,
    /// [`ReadAndSeal`] and the input's descriptor -> [`Entered`].
    ReadAndSeal = 15,
    /// [`ReadIntoRecord`] and the input's descriptor -> [`Entered`].
    ReadIntoRecord = 16,
    /// [`Open`] with one item, and the output's descriptor -> [`Nothing`].
    Show = 17,
    /// [`Record`] and the output's descriptor -> [`Nothing`].
    ShowRecord = 18,
    /// [`File`] -> [`VaultId`].
    CreateMasterKey = 19,
    /// [`Key`] -> [`NewKey`].
    NewKey = 20,
    /// [`Key`] -> [`PublicKey`].
    LoadKey = 21,
    /// [`Sign`] -> [`Bytes`].
    Sign = 22,
    /// [`Put`] -> [`Bytes`], the record.
    Put = 23,
    /// [`Generate`] -> [`Bytes`], the record.
    Generate = 24,
    /// [`Reseal`] -> [`SealedItems`].
    Reseal = 25,
    /// [`Labelled`] -> [`Bytes`].
    Wrap = 26,
    /// [`Labelled`] -> [`Bytes`].
    Unwrap = 27,
    /// [`Labelled`] -> [`Bytes`], 32 of them.
    Mac = 28,
    /// [`Write`] and the content's descriptor -> [`File`], the candidate.
    Stage = 29,
    /// [`Nothing`] -> [`Stamp`].
    Commit = 30,
    /// [`Nothing`] -> [`Nothing`].
    Discard = 31,
    /// [`File`] -> [`KeyInfo`].
    LookAtKey = 45,
    /// [`PrepareMasterKey`] -> [`VaultId`].
    PrepareMasterKey = 46,
    /// [`StoreMasterKey`] (and the descriptor of a passphrase) -> [`VaultId`].
    StoreMasterKey = 47,
    /// [`Rekey`] -> [`Rekeyed`].
    Rekey = 48,
    /// [`Nothing`] -> [`VaultId`].
    AdoptMasterKey = 49,
    /// [`Nothing`] and the output's descriptor -> [`Nothing`].
    ShowNewMasterKey = 50,
    /// [`Verify`] and the content's descriptor -> [`Verified`].
    Verify = 55,
    /// [`Nothing`] -> [`Versions`].
    Covered = 56,
    /// [`Paths`] -> [`Nothing`].
    Uses = 57,
    /// [`ReadImport`] and the file's descriptor -> [`ImportKind`].
    ReadImport = 65,
    /// [`OpenImport`] (and the descriptor of identities or of a passphrase) -> [`Imported`].
    OpenImport = 66,
    /// [`SealImport`] -> [`Entered`].
    SealImport = 67,
    /// [`RecordImport`] -> [`Bytes`], the record.
    RecordImport = 68,
    /// [`Versions`] -> [`Versions`], those of them that are not held.
    Missing = 85,
    /// [`Listen`], the read ends of standard output and standard error, and that of a pipe that is closed when the command has ended -> [`Heard`].
    Listen = 86,
    /// [`WrapMasterKey`] and the connection -> [`VaultId`].
    WrapMasterKey = 70,
    /// [`UnwrapMasterKey`] and the connection -> [`VaultId`].
    UnwrapMasterKey = 71,
}
