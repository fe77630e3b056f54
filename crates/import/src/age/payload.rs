//! The payload of an age file: STREAM with ChaCha20-Poly1305 in chunks of 64 KiB. Nothing is given out before the last chunk fits.

use super::{FileKey, TAG, derive, header};
use crate::{FILE, ImportError};
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};
use zeroize::Zeroizing;

const NONCE: usize = 16;
const CHUNK: usize = 64 << 10;

pub(super) fn open(file_key: &FileKey, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let damaged = ImportError::Damaged("age");
    let (nonce, sealed) = body.split_first_chunk::<NONCE>().ok_or(header::malformed("it is cut off"))?;
    if sealed.len() > FILE {
        return Err(ImportError::Limit { what: "bytes in a file", most: FILE });
    }
    let mut key = Zeroizing::new([0; 32]);
    derive(file_key.as_slice(), nonce, b"payload", &mut key)?;
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let count = sealed.len().div_ceil(CHUNK + TAG);
    if count == 0 {
        return Err(damaged);
    }
    for (number, chunk) in sealed.chunks(CHUNK + TAG).enumerate() {
        let is_last = number + 1 == count;
        let (text, tag) = chunk.split_last_chunk::<TAG>().ok_or(damaged.clone())?;
        // Only a file that holds nothing ends with an empty chunk.
        if text.is_empty() && number > 0 {
            return Err(damaged);
        }
        let start = plain.len();
        plain.extend_from_slice(text);
        let mut nonce = [0; 12];
        // 11 bytes of counter, the greatest first, and whether it is the last; there are no more than 17 chunks in the longest file.
        nonce[10] = u8::try_from(number).map_err(|_| damaged.clone())?;
        nonce[11] = u8::from(is_last);
        let place = plain.get_mut(start..).unwrap_or_default();
        cipher
            .decrypt_inout_detached(&nonce.into(), b"", place.into(), &(*tag).into())
            .map_err(|_| damaged.clone())?;
    }
    Ok(plain)
}
