//! Random bytes from the kernel, and nowhere else.

use crate::WireError;
use zeroize::Zeroizing;

/// Fills `bytes` with random ones (getrandom(2) on Linux and FreeBSD).
///
/// # Errors
/// When the kernel gives none; there is no other source to fall back on.
pub fn fill(bytes: &mut [u8]) -> Result<(), WireError> {
    getrandom::fill(bytes).map_err(|error| WireError::Random(error.to_string()))
}

/// Random bytes that may be known: an id, a nonce.
///
/// # Errors
/// When the kernel gives none.
pub fn array<const N: usize>() -> Result<[u8; N], WireError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Random bytes that nobody else may know: wiped when dropped.
pub(crate) fn secret() -> Result<Zeroizing<[u8; 32]>, WireError> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut_slice())?;
    Ok(bytes)
}
