//! Vault records: a value at rest, under a data key of its own, which stands beside it under the master key.
//!
//! A record is: format (1 byte), id of the master key (16), the data key under the master key (24 + 32 + 16), the value under the data key
//! (24 + length + 16). Path, version, format and master key are bound into both, so no record can stand in for another.

use crate::derive::{KEY, NONCE, TAG, decrypt, encrypt};
use crate::{MasterKey, SecretBuf, SecretError, fill_random};
use vigo_base::{SecretPath, SecretVersion};
use zeroize::Zeroizing;

/// The format that this build writes.
pub const RECORD_FORMAT: u8 = 1;
/// Bytes of the data key under the master key.
const WRAPPED: usize = NONCE + KEY + TAG;

/// Makes the record of a value.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn seal_record(
    master: &MasterKey,
    path: &SecretPath,
    version: SecretVersion,
    value: &[u8],
) -> Result<Vec<u8>, SecretError> {
    let aad = binding(RECORD_FORMAT, master.id(), path, version);
    let mut data_key = Zeroizing::new([0; KEY]);
    fill_random(data_key.as_mut_slice())?;
    let wrapped = encrypt(&master.derive("vault", "data-key"), &aad, data_key.as_slice())?;
    let sealed = encrypt(&data_key, &aad, value)?;
    let mut record = Vec::with_capacity(1 + 16 + wrapped.len() + sealed.len());
    record.push(RECORD_FORMAT);
    record.extend_from_slice(master.id());
    record.extend_from_slice(&wrapped);
    record.extend_from_slice(&sealed);
    Ok(record)
}

/// Opens the record of that path and version.
///
/// # Errors
/// When it is another's, was changed, or is of a newer format.
pub fn open_record(
    master: &MasterKey,
    path: &SecretPath,
    version: SecretVersion,
    record: &[u8],
) -> Result<SecretBuf, SecretError> {
    let (format, rest) = record.split_first().ok_or(SecretError::Record)?;
    if *format != RECORD_FORMAT {
        return Err(SecretError::RecordFormat(*format));
    }
    let (id, rest) = rest.split_first_chunk::<16>().ok_or(SecretError::Record)?;
    let (wrapped, sealed) = rest.split_at_checked(WRAPPED).ok_or(SecretError::Record)?;
    let aad = binding(*format, id, path, version);
    let data_key = decrypt(&master.derive("vault", "data-key"), &aad, wrapped).ok_or(SecretError::Record)?;
    let data_key = Zeroizing::new(<[u8; KEY]>::try_from(data_key.expose()).map_err(|_| SecretError::Record)?);
    decrypt(&data_key, &aad, sealed).ok_or(SecretError::Record)
}

fn binding(format: u8, master: &[u8; 16], path: &SecretPath, version: SecretVersion) -> Vec<u8> {
    let path = path.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(64 + path.len());
    bytes.extend_from_slice(b"vigo vault record");
    bytes.push(format);
    bytes.extend_from_slice(master);
    bytes.extend_from_slice(&version.0.to_le_bytes());
    // The path comes last, so its length need not be said.
    bytes.extend_from_slice(path);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_under_its_key_path_and_version_only() {
        let (master, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let (path, elsewhere): (SecretPath, SecretPath) = ("a/b".parse().unwrap(), "a/c".parse().unwrap());
        let record = seal_record(&master, &path, SecretVersion(1), b"value").unwrap();
        assert!(open_record(&master, &path, SecretVersion(1), &record).unwrap().equals_bytes(b"value"));
        assert!(open_record(&other, &path, SecretVersion(1), &record).is_err());
        assert!(open_record(&master, &elsewhere, SecretVersion(1), &record).is_err());
        assert!(open_record(&master, &path, SecretVersion(2), &record).is_err());
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let master = MasterKey::generate().unwrap();
        let path: SecretPath = "a".parse().unwrap();
        let record = seal_record(&master, &path, SecretVersion(1), b"value").unwrap();
        for position in 0..record.len() {
            let mut changed = record.clone();
            changed[position] ^= 0x80;
            assert!(open_record(&master, &path, SecretVersion(1), &changed).is_err(), "{position}");
            assert!(
                open_record(&master, &path, SecretVersion(1), &record[..position]).is_err(),
                "{position}"
            );
        }
        let mut newer = record;
        newer[0] = 2;
        let error = open_record(&master, &path, SecretVersion(1), &newer).err().unwrap();
        assert_eq!(error, SecretError::RecordFormat(2));
    }

    #[test]
    fn two_records_of_one_value_have_nothing_in_common_but_their_head() {
        let master = MasterKey::generate().unwrap();
        let path: SecretPath = "a".parse().unwrap();
        let one = seal_record(&master, &path, SecretVersion(1), &[0; 64]).unwrap();
        let two = seal_record(&master, &path, SecretVersion(1), &[0; 64]).unwrap();
        assert_eq!(one[..17], two[..17]);
        assert!(!one[17..].windows(8).any(|window| two[17..].windows(8).any(|other| window == other)));
    }
}
