//! sops files whose data key is under age: the YAML, JSON and dotenv stores. Every value is bound to its place by its own tag, and all of them
//! together by the MAC of the file, which is checked before anything is given out.
//!
//! What stands in the clear beside encrypted values is no secret and is left out; with `mac_only_encrypted` it is not even authenticated.

use crate::leaf::{Leaf, Sort, Step};
use crate::{ImportError, Keys, Kind, Needs, age, json, text, yaml};
use aes_gcm::aead::consts::U32;
use aes_gcm::{AeadInOut as _, AesGcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// sops takes nonces of 32 bytes.
type Cipher = AesGcm<aes::Aes256, U32>;
const TAG: usize = 16;
const NONCE: usize = 32;
/// What begins an encrypted value.
pub(crate) const ENCRYPTED: &[u8] = b"ENC[AES256_GCM,";
/// As many recipients as are tried.
const RECIPIENTS: usize = 256;
/// What the MAC begins with where it covers encrypted values only (sops, `MACOnlyEncryptedInitialization`).
const MAC_ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];
/// Key services that are not known here: their name in a file, and for people.
const SERVICES: [(&str, &str); 5] = [
    ("kms", "AWS KMS"),
    ("gcp_kms", "GCP KMS"),
    ("azure_kv", "Azure Key Vault"),
    ("hc_vault", "Vault transit"),
    ("pgp", "PGP"),
];

/// Which store a file is of, if it is one of sops.
pub(crate) fn store(bytes: &[u8]) -> Option<Kind> {
    let lines = || bytes.split(|byte| *byte == b'\n');
    let begins = |with: &'static [u8]| lines().any(|line| line.starts_with(with));
    if bytes.trim_ascii_start().starts_with(b"{") {
        return bytes.windows(6).any(|window| window == b"\"sops\"").then_some(Kind::SopsJson);
    }
    if begins(b"sops:") {
        return Some(Kind::SopsYaml);
    }
    (begins(b"sops_mac=") || begins(b"sops_version=")).then_some(Kind::SopsEnv)
}

/// A file: what it holds, and what sops says of itself.
pub(crate) struct Document {
    leaves: Vec<Leaf>,
    /// By the way to it below `sops`, divided by `/`.
    about: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Document {
    fn about(&self, name: &str) -> Option<&[u8]> {
        self.about.iter().find(|(each, _)| each == name).map(|(_, text)| text.as_slice())
    }

    fn has(&self, top: &str) -> bool {
        self.about.iter().any(|(name, _)| name.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The data key under each age recipient.
    fn under_age(&self) -> impl Iterator<Item = &[u8]> {
        let is_key = |name: &str| name.starts_with("age/") && name.ends_with("/enc");
        self.about.iter().filter(move |(name, _)| is_key(name)).map(|(_, text)| text.as_slice())
    }
}

/// Reads a file of that store. Nothing in it is secret.
pub(crate) fn read(kind: Kind, bytes: &[u8]) -> Result<Document, ImportError> {
    let (leaves, about) = match kind {
        Kind::SopsEnv => dotenv(text(bytes)?)?,
        kind => {
            let leaves = if kind == Kind::SopsJson { json::read(bytes)? } else { yaml::read(text(bytes)?)? };
            let (about, leaves): (Vec<Leaf>, Vec<Leaf>) =
                leaves.into_iter().partition(|leaf| leaf.is_in("sops"));
            let below = |leaf: Leaf| (leaf.key().get(1..).unwrap_or_default().join("/"), leaf.text);
            (leaves, about.into_iter().map(below).collect())
        }
    };
    let document = Document { leaves, about };
    for needed in ["mac", "lastmodified"] {
        if document.about(needed).is_none() {
            return Err(ImportError::NotThis("sops"));
        }
    }
    Ok(document)
}

/// What sops says of itself, by its way.
type About = Vec<(String, Zeroizing<Vec<u8>>)>;

/// The dotenv store: lines that begin with a name and `=`; `\n` is a newline.
fn dotenv(text: &str) -> Result<(Vec<Leaf>, About), ImportError> {
    let (mut leaves, mut about): (Vec<Leaf>, About) = (Vec::new(), Vec::new());
    for (number, line) in text.split('\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        if leaves.len() + about.len() > 4 * crate::VALUES {
            return Err(ImportError::Limit { what: "values", most: crate::VALUES });
        }
        if line.starts_with('#') {
            continue;
        }
        let wrong =
            ImportError::Malformed { format: "sops (dotenv)", line: number + 1, why: "no `NAME=value`" };
        let (name, value) = line.split_once('=').ok_or(wrong)?;
        let value = Zeroizing::new(value.replace("\\n", "\n").into_bytes());
        match name.strip_prefix("sops_") {
            Some(name) => about.push((name.replace("__list_", "/").replace("__map_", "/"), value)),
            None => leaves.push(Leaf::new(vec![Step::Name(name.into())], Sort::Text, &value)?),
        }
    }
    Ok((leaves, about))
}

/// Whether its data key is under age at all.
pub(crate) fn check_keys(document: &Document) -> Result<(), ImportError> {
    if document.has("key_groups") {
        return Err(ImportError::Service("several key groups (Shamir's secret sharing)".into()));
    }
    if document.under_age().next().is_some() {
        return Ok(());
    }
    let services: Vec<&str> =
        SERVICES.iter().filter(|(name, _)| document.has(name)).map(|(_, name)| *name).collect();
    let services = if services.is_empty() { "no key service".into() } else { services.join(", ") };
    Err(ImportError::Service(services))
}

/// The data key.
fn data_key(document: &Document, keys: &Keys) -> Result<Zeroizing<[u8; 32]>, ImportError> {
    check_keys(document)?;
    let mut last = ImportError::OtherIdentity(document.under_age().count());
    for sealed in document.under_age().take(RECIPIENTS) {
        if age::needs(sealed)? != Needs::Identity {
            continue;
        }
        match age::open(sealed, keys) {
            Ok(key) => {
                let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| ImportError::Damaged("sops"))?;
                return Ok(Zeroizing::new(key));
            }
            Err(ImportError::OtherIdentity(_)) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Opens a file: its values, and with [`Sort::Clear`] what is none.
///
/// # Errors
/// When no identity fits, or anything in it was changed.
pub(crate) fn open(kind: Kind, bytes: &[u8], keys: &Keys) -> Result<Vec<Leaf>, ImportError> {
    let document = read(kind, bytes)?;
    let cipher = Cipher::new(&(*data_key(&document, keys)?).into());
    let only_encrypted = document.about("mac_only_encrypted") == Some(b"true".as_slice());
    let mac = mac_of(&document, &cipher)?;
    let mut hash = Sha512::new();
    if only_encrypted {
        hash.update(MAC_ONLY_ENCRYPTED);
    }
    let (mut opened, mut comments) = (Vec::with_capacity(document.leaves.len()), Vec::new());
    for mut leaf in document.leaves {
        match opened_text(&cipher, &leaf)? {
            // A comment in a list; sops has no comment in its MAC.
            Some((kind, _)) if kind == "comment" => {
                comments.push(leaf.at);
                continue;
            }
            Some((kind, plain)) => {
                hash.update(plain.as_slice());
                leaf.sort = Sort::Text;
                leaf.text = if kind == "bool" { Zeroizing::new(plain.to_ascii_lowercase()) } else { plain };
            }
            None => {
                if !only_encrypted {
                    hash.update(as_hashed(&leaf));
                }
                if matches!(leaf.sort, Sort::Text | Sort::Bare) {
                    leaf.sort = if leaf.text.is_empty() { Sort::Null } else { Sort::Clear };
                }
            }
        }
        without(&comments, &mut leaf.at);
        opened.push(leaf);
    }
    let found = Zeroizing::new(hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect::<String>());
    if !bool::from(found.as_bytes().ct_eq(&mac)) {
        return Err(ImportError::Damaged("sops"));
    }
    Ok(opened)
}

/// The way to a leaf as if the comments in lists, which come before it, were none of their items.
fn without(comments: &[Vec<Step>], at: &mut [Step]) {
    let before = at.to_vec();
    for comment in comments {
        let Some((Step::Index(place), list)) = comment.split_last() else { continue };
        if let Some(Step::Index(index)) = before.strip_prefix(list).and_then(<[Step]>::first)
            && place < index
            && let Some(Step::Index(index)) = at.get_mut(list.len())
        {
            *index -= 1;
        }
    }
}

/// The MAC that the file has, opened.
fn mac_of(document: &Document, cipher: &Cipher) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let (mac, at) = (document.about("mac"), document.about("lastmodified"));
    let sealed = mac.and_then(Sealed::parse).ok_or(ImportError::Damaged("sops"))?;
    sealed.open(cipher, at.unwrap_or_default()).ok_or(ImportError::Damaged("sops"))
}

/// The type of an encrypted leaf, and its text.
type Typed = (String, Zeroizing<Vec<u8>>);

/// An encrypted leaf, opened; `None` if it is in the clear.
fn opened_text(cipher: &Cipher, leaf: &Leaf) -> Result<Option<Typed>, ImportError> {
    if !leaf.text.starts_with(ENCRYPTED) || matches!(leaf.sort, Sort::Null | Sort::Vault) {
        return Ok(None);
    }
    let damaged = || ImportError::DamagedValue { key: leaf.name() };
    let sealed = Sealed::parse(&leaf.text).ok_or_else(damaged)?;
    let names: Vec<&str> = leaf
        .at
        .iter()
        .filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let place = names.join(":") + ":";
    let plain = sealed.open(cipher, place.as_bytes());
    Ok(Some((sealed.kind, plain.ok_or_else(damaged)?)))
}

/// `ENC[AES256_GCM,data:..,iv:..,tag:..,type:..]`
struct Sealed {
    kind: String,
    data: Vec<u8>,
    nonce: [u8; NONCE],
    tag: [u8; TAG],
}

impl Sealed {
    fn parse(text: &[u8]) -> Option<Self> {
        let fields = std::str::from_utf8(text.strip_prefix(ENCRYPTED)?).ok()?.strip_suffix(']')?;
        let mut fields = fields.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix(':');
        let (data, nonce, tag, kind) = (field("data")?, field("iv")?, field("tag")?, field("type")?);
        Some(Self {
            kind: kind.into(),
            data: STANDARD.decode(data).ok()?,
            nonce: STANDARD.decode(nonce).ok()?.try_into().ok()?,
            tag: STANDARD.decode(tag).ok()?.try_into().ok()?,
        })
    }

    fn open(&self, cipher: &Cipher, place: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(self.data.clone());
        let opened = cipher.decrypt_inout_detached(
            &self.nonce.into(),
            place,
            plain.as_mut_slice().into(),
            &self.tag.into(),
        );
        opened.ok().map(|()| plain)
    }
}

/// A value in the clear as sops hashes it: as Go writes what YAML or JSON mean by it.
fn as_hashed(leaf: &Leaf) -> Vec<u8> {
    let text = std::str::from_utf8(&leaf.text).unwrap_or_default();
    match leaf.sort {
        Sort::Null => Vec::new(),
        Sort::Bare => match text {
            "true" | "True" | "TRUE" => b"True".to_vec(),
            "false" | "False" | "FALSE" => b"False".to_vec(),
            _ => integer(text)
                .or_else(|| float(text))
                .or_else(|| date(text))
                .unwrap_or_else(|| text.into())
                .into_bytes(),
        },
        _ => leaf.text.to_vec(),
    }
}

/// Go's `strconv.ParseInt` with base 0, and back.
fn integer(text: &str) -> Option<String> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let based = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let based = based.into_iter().find_map(|(prefix, base)| Some((digits.strip_prefix(prefix)?, base)));
    let octal = digits.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|rest| (rest, 8));
    let (digits, base) = based.or(octal).unwrap_or((digits, 10));
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok().map(|number| number.to_string())
}

/// Go's `FormatFloat(.., 'f', -1, 64)`, which is how Rust shows a number.
fn float(text: &str) -> Option<String> {
    let is_number =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|_| is_number).map(|number| number.to_string())
}

/// A day is the moment at which it begins.
fn date(text: &str) -> Option<String> {
    let is_day = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_day.then(|| format!("{text}T00:00:00Z"))
}
