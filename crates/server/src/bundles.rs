//! Bundles in memory, by digest: the bytes that go out and what they say, decoded once for all envoys that share one.

use crate::ServerError;
use crate::state::Server;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use vigo_base::Digest;
use vigo_wire::bundle::{Bundle, FORMAT};
use vigo_wire::{check_bundle, encode_bundle};

/// Bytes of bundles in memory at most; then all are forgotten and read again when they are asked for.
const BYTES: usize = 256 << 20;

/// A bundle that can be handed out.
pub struct Loaded {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say.
    pub bundle: Bundle,
}

/// The bundles.
#[derive(Default)]
pub struct Bundles {
    by_digest: RwLock<(usize, HashMap<Digest, Arc<Loaded>>)>,
}

/// What an envoy gets that no match block fits, and everybody before the first publish: nothing.
#[must_use]
pub fn empty() -> (Vec<u8>, Digest) {
    encode_bundle(&Bundle { format: FORMAT, ..Bundle::default() })
}

impl Bundles {
    /// The bundle of that digest. Blocks when it is not in memory.
    ///
    /// # Errors
    /// When the store cannot be read, has no such bundle, or holds other bytes under its name.
    pub fn get(&self, server: &Server, digest: &Digest) -> Result<Arc<Loaded>, ServerError> {
        let known = self.by_digest.read().unwrap_or_else(PoisonError::into_inner).1.get(digest).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (bytes, empty) = empty();
        let bytes = if *digest == empty {
            bytes
        } else {
            server.store.bundle(digest)?.ok_or(ServerError::Deployment { what: "bundle" })?
        };
        let bundle = check_bundle(&bytes, digest)?;
        let loaded = Arc::new(Loaded { bytes, bundle });
        let mut all = self.by_digest.write().unwrap_or_else(PoisonError::into_inner);
        let (size, by_digest) = &mut *all;
        if *size > BYTES {
            by_digest.clear();
            *size = 0;
        }
        *size += loaded.bytes.len();
        by_digest.insert(*digest, Arc::clone(&loaded));
        Ok(loaded)
    }
}
