//! Changes to inputs, by chance but the same ones each time: enough for a test that runs on every change. libFuzzer, which sees what the
//! code does with an input, goes deeper.

/// Makes new inputs of old ones.
pub struct Mutator(u64);

/// Values that decoders trip over: ends of ranges, lengths that are too long, signs.
const ODD: [u8; 9] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'{', b':', b'"'];
/// Larger inputs add nothing that a small one does not show.
const LARGEST: usize = 64 << 10;

impl Mutator {
    /// Two of the same seed make the same changes.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (SplitMix64, Steele and others 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// A changed copy of one of the inputs; sometimes with a piece of another.
    pub fn change(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let pick = self.below(inputs.len());
        let mut bytes = inputs.get(pick).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => self.flip(&mut bytes, at),
                1 => bytes.truncate(at),
                2 => bytes.insert(at, ODD.get(self.below(ODD.len())).copied().unwrap_or(0)),
                3 => drop(bytes.drain(at..(at + self.below(8)).min(bytes.len()))),
                4 => {
                    let piece = bytes.get(at..(at + self.below(32)).min(bytes.len())).unwrap_or_default();
                    let piece = piece.to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let other = self.below(inputs.len());
                    let other = inputs.get(other).map_or(&[][..], Vec::as_slice);
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    bytes.splice(at..at, other.get(from..to).unwrap_or_default().to_vec());
                }
            }
        }
        bytes.truncate(LARGEST);
        bytes
    }

    fn flip(&mut self, bytes: &mut [u8], at: usize) {
        let odd = ODD.get(self.below(ODD.len())).copied().unwrap_or(0);
        let bit = 1_u8 << self.below(8);
        let replace = self.below(2) == 0;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = if replace { odd } else { *byte ^ bit };
        }
    }
}
