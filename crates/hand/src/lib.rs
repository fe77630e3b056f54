//! The hand: the small process that touches plaintext, the handle by which others ask it, and the placing of files ([`target`]).
//!
//! All memory of the process is an arena of protected pages, stacks included, so whatever the libraries in it copy stays there. It has no
//! network, opens no configuration and renders no template. It is started by [`Hand::start`] (the same binary, executed anew as
//! `vigo-hand`, see [`enter`]) and ends when its parent does, however that ends.
//!
//! # How it starts
//! Names itself; hardens (core limit 1:1, not dumpable); arena; the thread that starts children; on a thread with its stack in the arena:
//! sandbox without network, then the first frame on descriptor 3. Kind and size of the arena are needed before all else, so they are
//! arguments (`--arena`, `--arena-max`); everything else comes in the first frame, whose answer is what the process reads back of itself.
//!
//! # What it answers
//! One table (`process/table.rs`, as in OpenSSH's monitor.c); a test holds this one against it. Any other request, a request of another
//! role, a frame that is too large or does not decode, a missing or surplus descriptor: the process ends.
//!
//! | request | roles | what it does |
//! | --- | --- | --- |
//! | `Hello` | node, operator, server | the first frame, and only the first: role, intents, seed of the salts |
//! | `Status` | node, operator, server | how well it is protected, read back now |
//! | `OneTimeKey` | node, operator | makes an X25519 key, good for one `Open` or `Show` |
//! | `Open` | node | opens sealed values, all or none, and keeps them |
//! | `OpenRecord` | node | opens a record of the vault and keeps the value |
//! | `Take` | node | reads a value from a file or a descriptor and keeps it |
//! | `Forget` | node | drops and wipes values |
//! | `Held` | node | paths and versions of what it keeps |
//! | `NewRun` | node | values that nobody used since may be dropped for room |
//! | `Uses` | node | values that this run uses: they are not dropped for room |
//! | `Compare` | node | compares a target with a content; a diff that shows policy text only |
//! | `Write` | node | puts a content in its place |
//! | `Stage` | node | makes a candidate beside its place, for a command to look at |
//! | `Commit` | node | puts it in its place |
//! | `Discard` | node | throws it away |
//! | `Run` | node | runs a command that gets secrets |
//! | `Listen` | node | reads what a command says that its caller starts, and gives the end of it, scrubbed |
//! | `Missing` | node | which of some values it does not hold in that version |
//! | `Verify` | node | whether a target is what it was, without its values |
//! | `Covered` | node | paths and versions that `Verify` may know |
//! | `Scrub` | node | replaces every form of every value in some bytes |
//! | `ReadAndSeal` | operator | reads a value and seals it to the server's entry key |
//! | `ReadIntoRecord` | operator | reads a value into a record of the vault |
//! | `ReadImport` | operator | reads a file of another tool: age, sops, Ansible Vault, `.env` |
//! | `OpenImport` | operator | opens it, and says the names in it |
//! | `SealImport` | operator | seals one of its values to the server's entry key |
//! | `RecordImport` | operator | makes a record of the vault of one of its values |
//! | `Show` | operator | opens a sealed value and writes it to a descriptor |
//! | `ShowRecord` | operator | opens a record and writes the value to a descriptor |
//! | `CreateMasterKey` | operator, server | a new master key in a new file |
//! | `UnlockVault` | node, operator, server | reads the master key from its file, with its passphrase where it is under one |
//! | `LookAtKey` | node, operator, server | which key a file holds, and whether it is under a passphrase |
//! | `PrepareMasterKey` | operator, server | makes or reads the master key that is to take the place of the one in use |
//! | `StoreMasterKey` | operator, server | writes a master key into a new file, plain or under a passphrase |
//! | `Rekey` | operator, server | puts records, wrapped keys and MACs under the next master key |
//! | `WrapMasterKey` | operator, server | has a master key wrapped by a key service, over a connection that comes along, into a new file |
//! | `UnwrapMasterKey` | operator, server | has it unwrapped again |
//! | `ShowNewMasterKey` | operator | writes a new master key that nothing is under yet to a descriptor |
//! | `AdoptMasterKey` | operator, server | the next master key is the one in use |
//! | `Generate` | operator, server | a random value that nobody sees, as a record |
//! | `Mac` | node, operator, server | a MAC of a fixed kind under the master key |
//! | `NewKey` | server | makes a key of the server: anchor, bundle, entry |
//! | `LoadKey` | server | loads one |
//! | `Sign` | server | signs a message of the fixed list of contexts |
//! | `Put` | server | makes a record of what was sealed to the entry key |
//! | `Reseal` | server | seals records to a one-time key |
//! | `Wrap` | server | encrypts the server's session or TLS key under the master key |
//! | `Unwrap` | server | decrypts it |
//!
//! # What crosses the pipe
//! No message has a field for a value. Streams that the caller has (standard input, standard output, a pipe) come as descriptors with the
//! frame (`SCM_RIGHTS`); what has a path the hand opens itself, with the same rights as its caller. Texts that may be long (a file's content,
//! a command's standard input) come as an anonymous file of literals and slots, which is read through a window as often as needed.
//!
//! # When it is full or fails
//! Before a frame is read, and again where a request shows what it needs, there must be room: values that this run has not used are dropped
//! first, then the request fails with need and free in the text. A panic unwinds, prints its place and nothing else, and fails the
//! request as a bug; three in a row end the process. Whoever waits for a process that ended gets [`HandError::Ended`] and has lost the
//! values, which can be fetched again.
#![forbid(unsafe_code)]

mod child;
mod client;
mod content;
mod error;
mod process;
pub mod target;
#[doc(hidden)]
pub mod trial;
mod types;

pub use child::{Environment, PATH, VariableProblem};
pub use client::{Hand, NewPassphrase};
pub use content::Wanted;
pub use error::HandError;
pub use process::service::{KeyService, ServiceCall, ServiceError};
pub use process::{enter, enter_with};
pub use types::{
    Account, Authenticated, Binding, Command, Comparison, Credentials, DiffLine, End, FailureCode, Finished,
    HandStatus, Heard, ImportKey, ImportKind, ImportName, Imported, KeyForm, KeyInfo, KeyPurpose, MacLabel,
    Output, Placed, ReadNote, Rekeyed, Role, SealedItem, StartOptions, TransitService, VaultRecord,
    WrapLabel,
};
