//! Secrets at rest in a folder, without a server: `vigocli secrets --vault DIR` writes it, `vigo apply --secrets DIR` reads it.
//!
//! ```text
//! DIR/                       0700
//!   keys/master.key          made and read by the hand alone; plain, or under a passphrase
//!   keys/witness             how far the manifest had come: tells an older one
//!   manifest                 every version with the digest of its record, under a MAC
//!   secrets/web/token/@1.sealed
//!   lock
//! ```
//! While a rekey runs, and after one that was interrupted, `master.key.next`, `witness.next` and `@1.sealed.next` stand beside those.
//!
//! Every record is sealed by the hand, with path and version bound in; what is written here cannot be read without it. `@` stands in no secret
//! path, so no record can be in the way of another secret. A vault that was edited or put back to an older state does not open.
#![forbid(unsafe_code)]

mod error;
mod folder;
mod manifest;
mod vault;

pub use error::VaultError;
pub use manifest::{Event, History, Secret, VersionState};
pub use vault::{AskPassphrase, Origin, Vault, WritableVault, no_passphrase};
