//! The buffer that holds a value: wiped when dropped, and without every trait by which values get out.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

/// The bytes of a secret. It has no `Clone`, `Debug`, `Display`, `PartialEq`, `Serialize`, and nothing that turns it into text:
/// who wants the bytes asks for them by name ([`SecretBuf::expose`]), so that a reader finds every such place.
///
/// ```compile_fail
/// let value = vigo_secret::SecretBuf::copy_of(b"x");
/// println!("{value:?}");
/// ```
/// ```compile_fail
/// let value = vigo_secret::SecretBuf::copy_of(b"x");
/// println!("{value}");
/// ```
/// ```compile_fail
/// let value = vigo_secret::SecretBuf::copy_of(b"x");
/// let second = value.clone();
/// ```
/// ```compile_fail
/// let (one, two) = (vigo_secret::SecretBuf::copy_of(b"x"), vigo_secret::SecretBuf::copy_of(b"x"));
/// let same = one == two;
/// ```
/// ```compile_fail
/// let value = vigo_secret::SecretBuf::copy_of(b"x");
/// let bytes: Vec<u8> = value.into();
/// ```
/// The last line of each is what does not compile; this does:
/// ```
/// let (one, two) = (vigo_secret::SecretBuf::copy_of(b"x"), vigo_secret::SecretBuf::copy_of(b"x"));
/// assert!(one.equals(&two));
/// ```
pub struct SecretBuf(Vec<u8>);

impl SecretBuf {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// A buffer of `length` zero bytes, to be read into.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self(vec![0; length])
    }

    /// Takes bytes over without copying them.
    #[must_use]
    pub const fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// A copy of `bytes`; the original is left to who has it.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes. Every call is a place to look at.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be written over.
    #[must_use]
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True if it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends bytes. If there is no room, the old buffer is wiped after its bytes were moved: `Vec` would leave them behind.
    pub fn append(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Keeps the first `length` bytes and wipes the others.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.0.get_mut(length..) {
            rest.zeroize();
        }
        self.0.truncate(length);
    }

    /// Compares in a time that depends on the lengths only.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.equals_bytes(&other.0)
    }

    /// Compares in a time that depends on the lengths only.
    #[must_use]
    pub fn equals_bytes(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl Drop for SecretBuf {
    fn drop(&mut self) {
        // Wipes the whole capacity, not only what is in use (zeroize's documentation of `Vec`).
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_shrinks_and_compares() {
        let mut value = SecretBuf::with_capacity(2);
        for part in [b"ab".as_slice(), b"", b"cdefgh", b"i"] {
            value.append(part);
        }
        assert!(value.equals_bytes(b"abcdefghi"));
        value.truncate(3);
        value.truncate(9);
        assert!(value.equals(&SecretBuf::copy_of(b"abc")));
        assert!(!value.equals_bytes(b"abd"));
        assert!(!value.equals_bytes(b"abcd"));
        assert!(SecretBuf::zeroed(0).is_empty());
    }
}
