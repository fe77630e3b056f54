//! scrypt (RFC 7914) with r = 8 and p = 1, in as little memory as there is.
//!
//! age asks for 256 MiB where a hand has some of protected pages. Only every so-manieth block of the table is kept and the others are computed
//! again from the one before: the result is the same, and it takes longer. That is a choice of who computes, not one of the file.

use crate::ImportError;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Words of a chunk of Salsa20, and chunks of a block: 128 r bytes.
const WORDS: usize = 16;
const CHUNKS: usize = 16;
/// Bytes of a block.
const BLOCK: usize = 4 * WORDS * CHUNKS;
/// Blocks that are kept at least: with less, it takes for ever.
const FEWEST: usize = 256;

type Chunk = [u32; WORDS];
type Block = [Chunk; CHUNKS];

/// The key of a passphrase, after 2^`work` steps, in a table of at most `memory` bytes.
///
/// # Errors
/// When there is not even memory for the smallest table.
pub(crate) fn derive(
    passphrase: &[u8],
    salt: &[u8],
    work: u32,
    memory: usize,
) -> Result<Zeroizing<[u8; 32]>, ImportError> {
    let mut bytes = Zeroizing::new([0; BLOCK]);
    pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, 1, bytes.as_mut_slice());
    let mut block = Zeroizing::new([[0_u32; WORDS]; CHUNKS]);
    for (word, four) in block.iter_mut().flatten().zip(bytes.chunks_exact(4)) {
        *word = four.try_into().map_or(0, u32::from_le_bytes);
    }
    mix(&mut block, work, memory)?;
    for (word, four) in block.iter().flatten().zip(bytes.chunks_exact_mut(4)) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, bytes.as_slice(), 1, key.as_mut_slice());
    Ok(key)
}

/// scryptROMix of RFC 7914, with every `stride`-th block of its table.
fn mix(block: &mut Block, work: u32, memory: usize) -> Result<(), ImportError> {
    let steps = 1_usize << work.min(crate::age::WORK);
    let (mut table, stride) = table(steps, memory)?;
    let mut other = Zeroizing::new([[0; WORDS]; CHUNKS]);
    for step in 0..steps {
        if step % stride == 0 {
            table.push(*block);
        }
        block_mix(block, &mut other);
    }
    let mut again = Zeroizing::new([[0; WORDS]; CHUNKS]);
    for _ in 0..steps {
        let chosen = block.last().and_then(|chunk| chunk.first()).map_or(0, |word| *word as usize) % steps;
        if let Some(kept) = table.get(chosen / stride) {
            *again = *kept;
        }
        for _ in 0..chosen % stride {
            block_mix(&mut again, &mut other);
        }
        for (word, with) in block.iter_mut().flatten().zip(again.iter().flatten()) {
            *word ^= with;
        }
        block_mix(block, &mut other);
    }
    table.iter_mut().for_each(Zeroize::zeroize);
    Ok(())
}

/// The largest table that there is memory for, and how far apart its blocks are.
fn table(steps: usize, memory: usize) -> Result<(Vec<Block>, usize), ImportError> {
    let mut stride = 1;
    loop {
        let blocks = steps.div_ceil(stride);
        let mut table = Vec::new();
        if blocks * BLOCK <= memory && table.try_reserve_exact(blocks).is_ok() {
            return Ok((table, stride));
        }
        if blocks <= FEWEST {
            return Err(ImportError::NoMemory);
        }
        stride *= 2;
    }
}

/// scryptBlockMix; `out` is where the next block is put together.
fn block_mix(block: &mut Block, out: &mut Block) {
    let mut chunk = block.last().copied().unwrap_or_default();
    let (even, odd) = out.split_at_mut(CHUNKS / 2);
    for (pair, (even, odd)) in block.chunks_exact(2).zip(even.iter_mut().zip(odd)) {
        for (each, to) in pair.iter().zip([even, odd]) {
            for (word, with) in chunk.iter_mut().zip(each) {
                *word ^= with;
            }
            salsa(&mut chunk);
            *to = chunk;
        }
    }
    *block = *out;
}

/// Salsa20/8.
#[allow(clippy::many_single_char_names)]
fn salsa(chunk: &mut Chunk) {
    let mut x = *chunk;
    macro_rules! quarter {
        ($a:literal $b:literal $c:literal $d:literal) => {
            x[$b] ^= x[$a].wrapping_add(x[$d]).rotate_left(7);
            x[$c] ^= x[$b].wrapping_add(x[$a]).rotate_left(9);
            x[$d] ^= x[$c].wrapping_add(x[$b]).rotate_left(13);
            x[$a] ^= x[$d].wrapping_add(x[$c]).rotate_left(18);
        };
    }
    for _ in 0..4 {
        quarter!(0 4 8 12);
        quarter!(5 9 13 1);
        quarter!(10 14 2 6);
        quarter!(15 3 7 11);
        quarter!(0 1 2 3);
        quarter!(5 6 7 4);
        quarter!(10 11 8 9);
        quarter!(15 12 13 14);
    }
    for (word, mixed) in chunk.iter_mut().zip(x) {
        *word = word.wrapping_add(mixed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7914, section 12, has r = 8 and p = 1 in its last two vectors; the first 32 bytes of each.
    const SMALL: [u8; 32] = [
        0x70, 0x23, 0xbd, 0xcb, 0x3a, 0xfd, 0x73, 0x48, 0x46, 0x1c, 0x06, 0xcd, 0x81, 0xfd, 0x38, 0xeb, 0xfd,
        0xa8, 0xfb, 0xba, 0x90, 0x4f, 0x8e, 0x3e, 0xa9, 0xb5, 0x43, 0xf6, 0x54, 0x5d, 0xa1, 0xf2,
    ];

    #[test]
    fn the_vector_of_the_specification_comes_out_in_every_amount_of_memory() {
        for memory in [64 << 20, 16 << 20, 1 << 20, 300 << 10] {
            let key = derive(b"pleaseletmein", b"SodiumChloride", 14, memory).unwrap();
            assert_eq!(*key, SMALL, "{memory}");
        }
    }

    #[test]
    fn too_little_memory_is_said() {
        assert_eq!(derive(b"a", b"b", 14, 100 << 10).err(), Some(ImportError::NoMemory));
    }
}
