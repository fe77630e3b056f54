//! A sealed value: bytes that only the holder of one key can open.

/// A value sealed by HPKE (RFC 9180). Harmless to store, log or send: it is ciphertext. Who may open it, and for what, was bound in by who sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The encapsulated key.
    pub encapsulated: Vec<u8>,
    /// The ciphertext with its tag.
    pub ciphertext: Vec<u8>,
}
