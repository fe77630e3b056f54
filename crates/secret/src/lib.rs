//! What is done to the bytes of a secret: wiped buffers, filters, sealing, vault records, MACs, scrubbing.
//!
//! Layer 2, no I/O but the kernel's random bytes. Everything takes and gives ordinary buffers: that they lie in protected pages is the
//! business of the hand, whose allocator has no others. Who may ask for what is the hand's business too.
#![forbid(unsafe_code)]

mod buffer;
mod derive;
mod drift;
mod envelope;
mod error;
mod filter;
mod forms;
mod passphrase;
mod random;
mod scrub;
mod seal;
mod wrapped;

pub use buffer::SecretBuf;
pub use derive::{MacLabel, MasterKey, WrapLabel};
pub use drift::{DriftKey, DriftMac};
pub use envelope::{RECORD_FORMAT, open_record, seal_record};
pub use error::SecretError;
pub use filter::{Salt, apply, apply_all};
pub use passphrase::{Cost, LockedKey, PASSPHRASE};
pub use random::{Alphabet, fill_random, generate, random_array};
pub use scrub::{MASK, SHORTEST_SCRUBBED, Scrubber};
pub use seal::{KEY, KeyPair, PublicKey, SealBinding, SealPurpose, open, seal};
pub use wrapped::{WrappedKey, is_mount, is_name};
