//! What Noise is made of here: X25519, ChaCha20-Poly1305, SHA-256 and the kernel's random bytes, all from the one generation of crates
//! that the rest of Vigo uses. Keys are wiped when dropped.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce};
use sha2::{Digest as _, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Length of a Poly1305 tag.
const TAG: usize = 16;

/// Knows the primitives of our one protocol and no others.
pub(super) struct Primitives;

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Kernel))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha256Hash::default()) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly::default()) as Box<dyn Cipher>)
    }
}

/// The kernel's random bytes.
struct Kernel;

impl Random for Kernel {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), snow::Error> {
        getrandom::fill(bytes).map_err(|_| snow::Error::Rng)
    }
}

/// X25519 (RFC 7748). A shared secret of zeros, which a public key of small order gives, is refused.
#[derive(Default)]
struct X25519 {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519 {
    fn derive_public(&mut self) {
        self.public = PublicKey::from(&StaticSecret::from(*self.private)).to_bytes();
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    /// Of a wrong length nothing is taken: the zero key that stays gives a handshake that fails.
    fn set(&mut self, private: &[u8]) {
        if let Ok(private) = private.try_into() {
            self.private = Zeroizing::new(private);
            self.derive_public();
        }
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        random.try_fill_bytes(self.private.as_mut_slice())?;
        self.derive_public();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.private.as_slice()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public: [u8; 32] =
            public.get(..32).and_then(|public| public.try_into().ok()).ok_or(snow::Error::Dh)?;
        let shared = StaticSecret::from(*self.private).diffie_hellman(&PublicKey::from(public));
        if !shared.was_contributory() {
            return Err(snow::Error::Dh);
        }
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

/// SHA-256 (FIPS 180-4).
#[derive(Default)]
struct Sha256Hash(Sha256);

impl Hash for Sha256Hash {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = self.0.finalize_reset();
        out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    }
}

/// ChaCha20-Poly1305 (RFC 8439) with the nonce of Noise: four zero bytes, then the counter, little-endian.
#[derive(Default)]
struct ChaChaPoly {
    key: Zeroizing<[u8; 32]>,
}

impl ChaChaPoly {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.key).into())
    }

    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        if let Some(tail) = nonce.last_chunk_mut() {
            *tail = counter.to_le_bytes();
        }
        nonce.into()
    }

    fn seal(&self, counter: u64, associated: &[u8], plaintext: &[u8], out: &mut [u8]) -> Option<usize> {
        let (body, tail) = out.split_at_mut_checked(plaintext.len())?;
        let buffer = InOutBuf::new(plaintext, body).ok()?;
        let tag = self.cipher().encrypt_inout_detached(&Self::nonce(counter), associated, buffer).ok()?;
        tail.first_chunk_mut::<TAG>()?.copy_from_slice(&tag);
        Some(plaintext.len() + TAG)
    }

    fn open(&self, counter: u64, associated: &[u8], sealed: &[u8], out: &mut [u8]) -> Option<usize> {
        let (body, tag) = sealed.split_last_chunk::<TAG>()?;
        let buffer = InOutBuf::new(body, out.get_mut(..body.len())?).ok()?;
        self.cipher()
            .decrypt_inout_detached(&Self::nonce(counter), associated, buffer, &(*tag).into())
            .ok()?;
        Some(body.len())
    }
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = Zeroizing::new(*key);
    }

    /// Zero when the buffer is too small: the session checks the length of every message that it seals.
    fn encrypt(&self, counter: u64, associated: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        self.seal(counter, associated, plaintext, out).unwrap_or(0)
    }

    fn decrypt(
        &self,
        counter: u64,
        associated: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        self.open(counter, associated, sealed, out).ok_or(snow::Error::Decrypt)
    }
}
