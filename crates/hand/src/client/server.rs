//! What `vigosrv` asks its hand; what concerns a vault also serves `vigocli --vault` and `vigo apply --secrets`.

use super::{Hand, message};
use crate::HandError;
use crate::types::{Binding, MacLabel, SealedItem, VaultRecord, WrapLabel};
use vigo_base::{Sealed, SecretPath, SecretVersion};
use vigo_wire::hand::{self as wire, Ask, KeyPurpose};
use vigo_wire::sign::SignContext;

impl Hand {
    /// Makes a key. Gives its public half, and its private half wrapped under the master key. It is loaded as well.
    ///
    /// # Errors
    /// `Locked` without a master key.
    pub fn new_key(&mut self, purpose: KeyPurpose) -> Result<([u8; 32], Vec<u8>), HandError> {
        let request = wire::Key { purpose: purpose.into(), wrapped: Vec::new() };
        let answer: wire::NewKey = self.ask(Ask::NewKey, &request)?;
        Ok((message::array(Ask::NewKey.name(), &answer.public)?, answer.wrapped))
    }

    /// Loads a key that [`Hand::new_key`] made; gives its public half. Signing takes the one loaded last; values sealed to any of the last
    /// four entry keys open.
    ///
    /// # Errors
    /// `Machine` when it does not unwrap for that purpose; `Locked` without a master key.
    pub fn load_key(&mut self, purpose: KeyPurpose, wrapped: &[u8]) -> Result<[u8; 32], HandError> {
        let request = wire::Key { purpose: purpose.into(), wrapped: wrapped.to_vec() };
        let answer: wire::PublicKey = self.ask(Ask::LoadKey, &request)?;
        message::array(Ask::LoadKey.name(), &answer.key)
    }

    /// Signs a message in a fixed context with the key that this context takes.
    ///
    /// # Errors
    /// `Locked` when that key is not loaded; `Bug` when the context takes another key or the message is none of its kind.
    pub fn sign(
        &mut self,
        purpose: KeyPurpose,
        context: SignContext,
        message: &[u8],
    ) -> Result<[u8; 64], HandError> {
        let request =
            wire::Sign { purpose: purpose.into(), context: context.text().into(), message: message.to_vec() };
        let answer: wire::Bytes = self.ask(Ask::Sign, &request)?;
        message::array(Ask::Sign.name(), &answer.bytes)
    }

    /// Opens a value that an operator sealed to the entry key, and makes the record of that path and version of it.
    ///
    /// # Errors
    /// `Sealed` when it does not open; `Input` when it is empty or too long.
    pub fn put(
        &mut self,
        path: &SecretPath,
        version: SecretVersion,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, HandError> {
        let request = wire::Put {
            path: path.to_string(),
            version: version.0,
            encapsulated: sealed.encapsulated.clone(),
            ciphertext: sealed.ciphertext.clone(),
        };
        self.ask(Ask::Put, &request).map(|answer: wire::Bytes| answer.bytes)
    }

    /// Makes a value of `length` characters of `alphabet` (letters and digits if `None`), and the record of it. Nobody sees it.
    ///
    /// # Errors
    /// `Input` when no value is made of these.
    pub fn generate(
        &mut self,
        path: &SecretPath,
        version: SecretVersion,
        length: u32,
        alphabet: Option<&str>,
    ) -> Result<Vec<u8>, HandError> {
        let alphabet = alphabet.unwrap_or(vigo_secret::Alphabet::DEFAULT).into();
        let request = wire::Generate { path: path.to_string(), version: version.0, length, alphabet };
        self.ask(Ask::Generate, &request).map(|answer: wire::Bytes| answer.bytes)
    }

    /// Opens records and seals their values to somebody's one-time key, in that order. At most [`vigo_base::limits::SECRET_BATCH`] of them, and 4 MiB.
    ///
    /// # Errors
    /// `Machine` when one does not open, `Sealed` when the key is none: then there is none of them.
    pub fn reseal(
        &mut self,
        records: &[VaultRecord],
        to: &[u8; 32],
        binding: &Binding,
    ) -> Result<Vec<SealedItem>, HandError> {
        let records: Vec<wire::Record> = records.iter().map(message::record).collect();
        let asked: Vec<(String, u64)> = records.iter().map(|one| (one.path.clone(), one.version)).collect();
        let request = wire::Reseal { records, to: to.to_vec(), binding: message::binding(binding) };
        let answer: wire::SealedItems = self.ask(Ask::Reseal, &request)?;
        let what = Ask::Reseal.name();
        if !answer
            .items
            .iter()
            .map(|item| (&item.path, item.version))
            .eq(asked.iter().map(|(path, version)| (path, *version)))
        {
            return Err(HandError::Answer { what });
        }
        let item = |item: wire::SealedItem| {
            let path = item.path.parse().map_err(|_| HandError::Answer { what })?;
            Ok(SealedItem { path, version: SecretVersion(item.version), sealed: message::sealed(item) })
        };
        answer.items.into_iter().map(item).collect()
    }

    /// Encrypts bytes of the server itself (its session key, its TLS key) under the master key.
    ///
    /// # Errors
    /// `Locked` without a master key; `Bug` for the labels of keys that never leave the hand.
    pub fn wrap(&mut self, label: WrapLabel, bytes: &[u8]) -> Result<Vec<u8>, HandError> {
        self.labelled(Ask::Wrap, label.name(), bytes)
    }

    /// Decrypts what [`Hand::wrap`] made.
    ///
    /// # Errors
    /// As there; `Machine` when it does not open.
    pub fn unwrap(&mut self, label: WrapLabel, wrapped: &[u8]) -> Result<Vec<u8>, HandError> {
        self.labelled(Ask::Unwrap, label.name(), wrapped)
    }

    /// A MAC under the master key. To verify, compute it again and compare in constant time.
    ///
    /// # Errors
    /// `Locked` without a master key.
    pub fn mac(&mut self, label: MacLabel, bytes: &[u8]) -> Result<[u8; 32], HandError> {
        message::array(Ask::Mac.name(), &self.labelled(Ask::Mac, label.name(), bytes)?)
    }

    fn labelled(&mut self, ask: Ask, label: &str, bytes: &[u8]) -> Result<Vec<u8>, HandError> {
        let request = wire::Labelled { label: label.into(), bytes: bytes.to_vec() };
        self.ask(ask, &request).map(|answer: wire::Bytes| answer.bytes)
    }
}
