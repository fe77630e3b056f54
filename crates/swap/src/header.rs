//! The header of a swap area: its first page (mkswap(8), union swap_header in include/linux/swap.h).

use vigo_base::encode_hex;

/// Stands at the end of the first page.
pub const SIGNATURE: &[u8] = b"SWAPSPACE2";
/// Where version, number of the last page, number of bad pages, uuid and label stand, as 32-bit words, 16 bytes and 16 bytes.
const FACTS: usize = 1024;
/// Page sizes that Linux has.
const PAGES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The page size that it was made for.
    pub page: usize,
    /// As blkid(8) writes it.
    pub uuid: String,
    /// Empty for none.
    pub label: String,
}

/// The first page of a new swap area of so many bytes; `None` when there is no room for ten pages, which the kernel wants, or for more than it can number.
#[must_use]
pub fn header(page: usize, bytes: u64, uuid: [u8; 16]) -> Option<Vec<u8>> {
    let pages = bytes / u64::try_from(page).ok()?;
    let last = u32::try_from(pages.checked_sub(1)?).ok().filter(|last| *last >= 10)?;
    let mut text = vec![0; page];
    let mut put = |at: usize, bytes: &[u8]| -> Option<()> {
        text.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    };
    put(FACTS, &1_u32.to_ne_bytes())?;
    put(FACTS + 4, &last.to_ne_bytes())?;
    put(FACTS + 12, &uuid)?;
    put(page.checked_sub(SIGNATURE.len())?, SIGNATURE)?;
    Some(text)
}

/// What the beginning of a device or file says, if it is a swap area. 64 KiB are enough.
#[must_use]
pub fn read_header(start: &[u8]) -> Option<Header> {
    let page = PAGES.into_iter().find(|page| start.get(page - SIGNATURE.len()..*page) == Some(SIGNATURE))?;
    let uuid = encode_hex(start.get(FACTS + 12..FACTS + 28)?);
    let part = |from, to| uuid.get(from..to).unwrap_or_default();
    let shown = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    let label = start.get(FACTS + 28..FACTS + 44)?;
    let label = label.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Header { page, uuid: shown, label: String::from_utf8_lossy(label).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_was_made_is_read_back() {
        let made = header(4096, 1 << 20, *b"0123456789abcdef").unwrap();
        assert_eq!(made.len(), 4096);
        let read = read_header(&made).unwrap();
        assert_eq!(read.page, 4096);
        assert_eq!(read.uuid, "30313233-3435-3637-3839-616263646566");
        assert_eq!(read.label, "");
        assert_eq!(made.get(1028..1032), Some(&255_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn what_is_too_small_gets_no_header_and_what_has_none_is_no_swap() {
        assert_eq!(header(4096, 10 * 4096, [0; 16]), None);
        assert_eq!(read_header(&[0; 70_000]), None);
        assert_eq!(read_header(b"SWAPSPACE2"), None);
    }
}
