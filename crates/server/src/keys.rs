//! The server's keys: all private halves but the inner session's live in the hand; here are their public halves and what the hand does with them.
//!
//! Calls go to the hand one at a time and block. Nothing here ever holds a value of a secret.

use crate::ca::AnchorKey;
use crate::master::{Keeping, Kept};
use crate::offline::is_exported;
use crate::{ServerError, clock, witness};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use vigo_base::chain;
use vigo_base::{Digest, Sealed, SecretPath, SecretVersion, encode_hex, limits};
use vigo_hand::{
    Binding, Hand, HandError, HandStatus, KeyPurpose, MacLabel, SealedItem, StartOptions, VaultRecord,
    WrapLabel,
};
use vigo_store::{Deployment, NewAudit, ServerKey, Store};
use vigo_sys::spawn::Spawner;
use vigo_wire::assignment::KeyCertificate;
use vigo_wire::enrol::TokenKey;
use vigo_wire::identity::ExchangeKey;
use vigo_wire::sign::{CertifiedPurpose, SignContext, certificate_message, new_certificate};

const DAY: u64 = 86_400;
/// How long a key certificate is good; it is made anew at each start and daily.
const CERTIFICATE_SECONDS: u64 = 365 * DAY;
/// A machine whose clock is a little behind must not find a certificate of tomorrow.
const SKEW_SECONDS: u64 = DAY;
/// The inner session's key in the store.
const SESSION: &str = "session";

/// What the anchor certified, as it is handed out.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The bundle key.
    pub bundle: KeyCertificate,
    /// The entry key.
    pub entry: KeyCertificate,
    /// The inner session's key.
    pub session: KeyCertificate,
}

/// The keys. Holding one proves that the master key is the one the store was founded with.
pub struct Keys {
    hand: Mutex<Hand>,
    starter: Starter,
    anchor: [u8; 32],
    bundle: [u8; 32],
    entry: [u8; 32],
    session: ExchangeKey,
    term: u64,
    kept: KeyKept,
    certificates: RwLock<Arc<Certificates>>,
}

/// What there is to say of the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyKept {
    /// How it is kept.
    pub kept: Keeping,
    /// How the settings say that it is to be kept.
    pub wanted: Keeping,
    /// Whether it was exported, or is kept outside of the server anyway.
    pub is_safe: bool,
}

/// Starts a hand, again if one ended, and gives it what it needs.
struct Starter {
    spawner: Spawner,
    options: StartOptions,
    kept: Kept,
    master_key: PathBuf,
    /// Wrapped keys, in the order in which they are loaded.
    wrapped: Vec<(KeyPurpose, Vec<u8>)>,
}

impl Starter {
    fn start(&self) -> Result<Hand, ServerError> {
        self.kept.transit.may_try()?;
        let mut hand = Hand::start(&self.spawner, &self.options)?;
        self.kept.open(&mut hand, &self.master_key)?;
        for (purpose, wrapped) in &self.wrapped {
            hand.load_key(*purpose, wrapped)?;
        }
        Ok(hand)
    }
}

impl Keys {
    /// Makes every key on an empty store, or loads the ones it was founded with. The hand is started before a key file is touched. Blocks.
    ///
    /// # Errors
    /// When the store is not empty and its master key is missing or another: a new one is never made for an old store.
    pub fn open(
        spawner: Spawner,
        options: StartOptions,
        store: &dyn Store,
        kept: Kept,
        keys_folder: &Path,
    ) -> Result<Self, ServerError> {
        let mut hand = Hand::start(&spawner, &options)?;
        let deployment = match store.deployment()? {
            Some(deployment) => deployment,
            None if !store.is_empty()? => {
                return Err(ServerError::MasterKeyMissing { path: keys_folder.to_path_buf() });
            }
            None => found(&mut hand, store, &kept, keys_folder)?,
        };
        let master_key = kept.unlock(&mut hand, &deployment.master_key)?;
        witness::settle(keys_folder, &mut hand)?;
        let seen = witness::read(&witness::file(keys_folder), &mut hand)?;
        if let Some(doubt) = witness::doubt(store, seen.as_ref())? {
            return Err(ServerError::RolledBack { path: keys_folder.to_path_buf(), doubt });
        }
        let mut wrapped = Vec::new();
        let mut load = |hand: &mut Hand, purpose| load(hand, store, purpose, &mut wrapped);
        let anchor = load(&mut hand, KeyPurpose::Anchor)?;
        let bundle = load(&mut hand, KeyPurpose::Bundle)?;
        let entry = load(&mut hand, KeyPurpose::Entry)?;
        if anchor != deployment.anchor {
            return Err(ServerError::Deployment { what: "anchor" });
        }
        let private = hand.unwrap(WrapLabel::SessionKey, &newest(store, SESSION)?.wrapped)?;
        let private =
            private.as_slice().try_into().map_err(|_| ServerError::Deployment { what: "session key" })?;
        let session = ExchangeKey::from_bytes(&private);
        let is = kept.keeping_of(&mut hand, &master_key)?;
        let is_safe = is == Keeping::Credential || is_exported(keys_folder, &deployment.master_key);
        let key_kept = KeyKept { kept: is, wanted: kept.keeping, is_safe };
        let certificates = RwLock::new(Arc::new(certify(&mut hand, &bundle, &entry, session.public())?));
        // What is asked for again later is asked of nobody: the terminal may be somebody else's by then.
        let (mut kept, mut options) = (kept, options);
        (kept.asks, options.reads_terminal) = (false, false);
        kept.transit = kept.transit.that_does_not_wait();
        let (hand, starter) = (Mutex::new(hand), Starter { spawner, options, kept, master_key, wrapped });
        let term = deployment.term;
        Ok(Self { hand, starter, anchor, bundle, entry, session, term, kept: key_kept, certificates })
    }

    /// The trust anchor's public key.
    #[must_use]
    pub const fn anchor(&self) -> &[u8; 32] {
        &self.anchor
    }

    /// The entry key: values are sealed to it on their way in.
    #[must_use]
    pub const fn entry(&self) -> &[u8; 32] {
        &self.entry
    }

    /// Names the entry key.
    #[must_use]
    pub fn entry_id(&self) -> String {
        encode_hex(Digest::of(&self.entry).as_bytes().get(..8).unwrap_or_default())
    }

    /// The key of the inner session.
    #[must_use]
    pub const fn session(&self) -> &ExchangeKey {
        &self.session
    }

    /// The term: assignments of a higher one win over all of a lower one.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// What the anchor certified.
    #[must_use]
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Certifies the keys anew, so that a server that runs for long never hands out an old certificate. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn certify_again(&self) -> Result<(), ServerError> {
        let new = self.ask(|hand| certify(hand, &self.bundle, &self.entry, self.session.public()))?;
        *self.certificates.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    /// The bundle key of that public half, if it is this server's.
    #[must_use]
    pub fn bundle_key(&self, public: &[u8]) -> Option<[u8; 32]> {
        (public == self.bundle).then_some(self.bundle)
    }

    /// Signs an assignment; gives the key's public half, too. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn sign_assignment(&self, message: &[u8]) -> Result<([u8; 32], [u8; 64]), ServerError> {
        let signature = self.ask(|hand| hand.sign(KeyPurpose::Bundle, SignContext::Assignment, message))?;
        Ok((self.bundle, signature))
    }

    /// Signs with the anchor. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn sign_as_anchor(&self, context: SignContext, message: &[u8]) -> Result<[u8; 64], ServerError> {
        self.ask(|hand| hand.sign(KeyPurpose::Anchor, context, message))
    }

    /// Makes a vault record of a value that was sealed to the entry key. Blocks.
    ///
    /// # Errors
    /// When it does not open, or the hand cannot.
    pub fn put(
        &self,
        path: &SecretPath,
        version: SecretVersion,
        sealed: &Sealed,
    ) -> Result<Vec<u8>, ServerError> {
        self.ask(|hand| hand.put(path, version, sealed))
    }

    /// Makes a vault record of a value that nobody sees. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn generate(
        &self,
        path: &SecretPath,
        version: SecretVersion,
        length: u32,
        alphabet: Option<&str>,
    ) -> Result<Vec<u8>, ServerError> {
        self.ask(|hand| hand.generate(path, version, length, alphabet))
    }

    /// Opens vault records in the hand and seals their values to `to`, in that order. Blocks.
    ///
    /// # Errors
    /// When a record does not open, or the hand cannot.
    pub fn reseal(
        &self,
        records: &[VaultRecord],
        to: &[u8; 32],
        binding: &Binding,
    ) -> Result<Vec<SealedItem>, ServerError> {
        /// What the hand takes at once, less what stands around the records.
        const AT_ONCE: usize = 3 << 20;
        let mut sealed = Vec::with_capacity(records.len());
        let mut rest = records;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |record: &&VaultRecord| {
                size += record.record.len() + 2 * limits::SECRET_PATH;
                size <= AT_ONCE
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            sealed.extend(self.ask(|hand| hand.reseal(now, to, binding))?);
            rest = later;
        }
        Ok(sealed)
    }

    /// The MAC of a row that grants something; the row's bytes say what kind it is. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn mac(&self, row: &[u8]) -> Result<[u8; 32], ServerError> {
        self.ask(|hand| hand.mac(MacLabel::GrantingRow, row))
    }

    /// Checks the MAC of a row that grants something. Blocks.
    ///
    /// # Errors
    /// When it is not this server's.
    pub fn check_mac(
        &self,
        what: &'static str,
        name: &impl Display,
        row: &[u8],
        mac: &[u8],
    ) -> Result<(), ServerError> {
        use subtle::ConstantTimeEq as _;
        if bool::from(self.mac(row)?.ct_eq(mac)) {
            return Ok(());
        }
        Err(ServerError::Forged { what, name: name.to_string() })
    }

    /// A token's key as it is stored. Blocks.
    ///
    /// # Errors
    /// When the hand cannot.
    pub fn wrap_token_key(&self, key: &TokenKey) -> Result<Vec<u8>, ServerError> {
        self.ask(|hand| hand.wrap(WrapLabel::TokenKey, key.as_bytes()))
    }

    /// What [`Keys::wrap_token_key`] wrapped. Blocks.
    ///
    /// # Errors
    /// When it does not open.
    pub fn unwrap_token_key(&self, wrapped: &[u8]) -> Result<TokenKey, ServerError> {
        let bytes = self.ask(|hand| hand.unwrap(WrapLabel::TokenKey, wrapped))?;
        let bytes = bytes.as_slice().try_into().map_err(|_| ServerError::Deployment { what: "token" })?;
        Ok(TokenKey::from_bytes(&bytes))
    }

    /// How the master key is kept. It is only ever changed while the server does not run.
    #[must_use]
    pub const fn kept(&self) -> KeyKept {
        self.kept
    }

    /// What the hand says of itself. Blocks.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> Result<HandStatus, ServerError> {
        self.ask(Hand::status)
    }

    /// Asks the hand; if it has ended, starts another one and asks that. Once: a request that ends hands must not go on doing so.
    fn ask<T>(&self, ask: impl Fn(&mut Hand) -> Result<T, HandError>) -> Result<T, ServerError> {
        // A panic while it was held left the pipe between two frames at worst: the next answer then fits no question, and the hand is replaced.
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        match ask(&mut hand) {
            Err(error) if error.is_gone() => {
                tracing::error!(error = chain(&error), "the hand ended; starting another one");
                *hand = self.starter.start()?;
                Ok(ask(&mut hand)?)
            }
            answer => Ok(answer?),
        }
    }
}

impl AnchorKey for Keys {
    fn public(&self) -> &[u8; 32] {
        &self.anchor
    }

    fn sign_certificate(&self, bytes: &[u8]) -> Result<[u8; 64], ServerError> {
        self.sign_as_anchor(SignContext::TransportCertificate, bytes)
    }
}

/// The first start: the master key, then every key under it, then the deployment in one transaction.
fn found(
    hand: &mut Hand,
    store: &dyn Store,
    kept: &Kept,
    keys_folder: &Path,
) -> Result<Deployment, ServerError> {
    let master_key = kept.create(hand)?;
    let file = witness::file(keys_folder);
    if let Some(seen) = witness::read(&file, hand)?.filter(|seen| seen.head.sequence > 0) {
        let doubt = witness::Doubt::Older { seen: seen.head.sequence, found: 0 };
        return Err(ServerError::RolledBack { path: keys_folder.to_path_buf(), doubt });
    }
    // Before the store has anything: from its first record on, an older one is known as such.
    witness::write(&file, &witness::Seen::of(store)?, hand)?;
    let now = clock::now();
    let mut keys = Vec::new();
    let mut anchor = [0; 32];
    for purpose in [KeyPurpose::Anchor, KeyPurpose::Bundle, KeyPurpose::Entry] {
        let (public, wrapped) = hand.new_key(purpose)?;
        if purpose == KeyPurpose::Anchor {
            anchor = public;
        }
        keys.push(row(word(purpose), &public, wrapped, now));
    }
    let session = ExchangeKey::generate()?;
    keys.push(row(SESSION, session.public(), hand.wrap(WrapLabel::SessionKey, session.private())?, now));
    let deployment = Deployment { anchor, master_key, term: 1, founded_at: now };
    let detail = format!("anchor {}", Digest::of(&anchor));
    let audit: NewAudit = crate::rest::call::record("vigosrv", "deployment.found", "", "allowed", &detail);
    store.found(&deployment, &keys, &[audit])?;
    Ok(deployment)
}

fn row(purpose: &str, public: &[u8; 32], wrapped: Vec<u8>, now: u64) -> ServerKey {
    ServerKey {
        purpose: purpose.into(),
        public: public.to_vec(),
        wrapped,
        certificate: Vec::new(),
        created_at: now,
        retired_at: None,
    }
}

const fn word(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::Anchor => "anchor",
        KeyPurpose::Bundle => "bundle",
        KeyPurpose::Entry => "entry",
        KeyPurpose::Unknown => "unknown",
    }
}

fn newest(store: &dyn Store, purpose: &'static str) -> Result<ServerKey, ServerError> {
    store.keys(purpose)?.into_iter().next().ok_or(ServerError::Deployment { what: purpose })
}

/// Loads the newest key of a purpose into the hand. That the wrapped key and the public half in the store belong together is checked.
fn load(
    hand: &mut Hand,
    store: &dyn Store,
    purpose: KeyPurpose,
    loaded: &mut Vec<(KeyPurpose, Vec<u8>)>,
) -> Result<[u8; 32], ServerError> {
    let key = newest(store, word(purpose))?;
    let public = hand.load_key(purpose, &key.wrapped)?;
    if public.as_slice() != key.public {
        return Err(ServerError::Deployment { what: word(purpose) });
    }
    loaded.push((purpose, key.wrapped));
    Ok(public)
}

fn certify(
    hand: &mut Hand,
    bundle: &[u8; 32],
    entry: &[u8; 32],
    session: &[u8; 32],
) -> Result<Certificates, HandError> {
    let now = clock::now();
    let mut one = |key: &[u8; 32], purpose| -> Result<KeyCertificate, HandError> {
        let mut certificate = new_certificate(
            key,
            purpose,
            now.saturating_sub(SKEW_SECONDS),
            now.saturating_add(CERTIFICATE_SECONDS),
        );
        let message = certificate_message(&certificate);
        certificate.signature =
            hand.sign(KeyPurpose::Anchor, SignContext::KeyCertificate, &message)?.to_vec();
        Ok(certificate)
    };
    Ok(Certificates {
        bundle: one(bundle, CertifiedPurpose::Bundle)?,
        entry: one(entry, CertifiedPurpose::Entry)?,
        session: one(session, CertifiedPurpose::Session)?,
    })
}
