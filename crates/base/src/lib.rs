//! Words everyone shares: names, digests, paths, modes, values with secret slots, limits, exit codes.
//!
//! Layer 0: no I/O, no clock, no unsafe. A type is here when two crates that do not know each other must agree on it.
#![forbid(unsafe_code)]

mod chain;
mod digest;
mod duration;
mod exit;
mod exposure;
mod hex;
mod level;
pub mod limits;
mod mode;
mod name;
mod nearest;
mod path;
mod sealed;
mod secret_path;
mod secret_scope;
mod span;
mod value;

pub use chain::chain;
pub use digest::Digest;
pub use duration::parse_duration;
pub use exit::{Blame, Exit};
pub use exposure::{ExposureWay, UnknownWay};
pub use hex::{decode as decode_hex, encode as encode_hex};
pub use level::{ProtectionLevel, SwapClass};
pub use mode::{Mode, ModeError};
pub use name::{CREDENTIALS_DIRECTORY, EnvoyId, EnvoyName, NameError, is_credential_name};
pub use nearest::nearest;
pub use path::{AbsolutePath, PathError};
pub use sealed::Sealed;
pub use secret_path::{SecretPath, SecretPathError, SecretVersion};
pub use secret_scope::{SecretScope, SecretScopeError};
pub use span::{Position, Span};
pub use value::{Filter, Piece, Pieces, Slot, Value};
