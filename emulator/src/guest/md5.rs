//! The ROM's MD5 functions on a context that lives in the program's memory.
//!
//! The context is `{u32 state[4], u32 bits[2], u8 input[64]}`, 88 bytes (XTENSA 1.4). A program
//! may copy it, so nothing of it is kept outside.

/// Length of a context.
pub(crate) const CONTEXT_BYTES: usize = 88;

const BLOCK_BYTES: usize = 64;
const BITS_AT: usize = 16;
const INPUT_AT: usize = 24;

/// Left rotations of the four rounds (RFC 1321).
const ROTATIONS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The table T of RFC 1321: the integer part of 2^32 times |sin(i + 1)|.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// A context copied out of memory.
pub(crate) struct Context {
    bytes: [u8; CONTEXT_BYTES],
}

impl Context {
    /// `MD5Init`.
    pub(crate) fn new() -> Self {
        let mut context = Self { bytes: [0; CONTEXT_BYTES] };
        context.set_state([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]);
        context
    }

    /// The context as it lies in memory.
    pub(crate) fn from_bytes(bytes: [u8; CONTEXT_BYTES]) -> Self {
        Self { bytes }
    }

    /// The bytes to put back into memory.
    pub(crate) fn bytes(&self) -> &[u8; CONTEXT_BYTES] {
        &self.bytes
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes[at..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
    }

    fn set_word(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn state(&self) -> [u32; 4] {
        [self.word(0), self.word(4), self.word(8), self.word(12)]
    }

    fn set_state(&mut self, state: [u32; 4]) {
        for (index, word) in state.into_iter().enumerate() {
            self.set_word(index * 4, word);
        }
    }

    fn bit_count(&self) -> u64 {
        u64::from(self.word(BITS_AT)) | u64::from(self.word(BITS_AT + 4)) << 32
    }

    /// `MD5Update`.
    pub(crate) fn update(&mut self, data: &[u8]) {
        let before = self.bit_count();
        let after = before.wrapping_add((data.len() as u64) << 3);
        self.bytes[BITS_AT..INPUT_AT].copy_from_slice(&after.to_le_bytes());
        let filled = usize::try_from(before >> 3 & 63).unwrap_or(0);
        let mut data = data;
        if filled != 0 {
            let (head, rest) = data.split_at(data.len().min(BLOCK_BYTES - filled));
            self.bytes[INPUT_AT + filled..INPUT_AT + filled + head.len()].copy_from_slice(head);
            if filled + head.len() < BLOCK_BYTES {
                return;
            }
            self.transform_input();
            data = rest;
        }
        let mut state = self.state();
        let mut blocks = data.chunks_exact(BLOCK_BYTES);
        for block in blocks.by_ref() {
            transform(&mut state, block);
        }
        self.set_state(state);
        let rest = blocks.remainder();
        self.bytes[INPUT_AT..INPUT_AT + rest.len()].copy_from_slice(rest);
    }

    /// `MD5Final`: the digest; the context is wiped.
    pub(crate) fn finish(&mut self) -> [u8; 16] {
        let bits = self.bit_count();
        let filled = usize::try_from(bits >> 3 & 63).unwrap_or(0);
        self.bytes[INPUT_AT + filled] = 0x80;
        self.bytes[INPUT_AT + filled + 1..].fill(0);
        if filled + 1 > BLOCK_BYTES - 8 {
            self.transform_input();
            self.bytes[INPUT_AT..].fill(0);
        }
        self.bytes[CONTEXT_BYTES - 8..].copy_from_slice(&bits.to_le_bytes());
        self.transform_input();
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.bytes[..16]);
        self.bytes = [0; CONTEXT_BYTES];
        digest
    }

    fn transform_input(&mut self) {
        let mut state = self.state();
        transform(&mut state, &self.bytes[INPUT_AT..]);
        self.set_state(state);
    }
}

/// One block of 64 bytes.
fn transform(state: &mut [u32; 4], block: &[u8]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    }
    let [mut a, mut b, mut c, mut d] = *state;
    for step in 0..64 {
        let (mix, index) = match step / 16 {
            0 => (b & c | !b & d, step),
            1 => (d & b | !d & c, 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let sum = a.wrapping_add(mix).wrapping_add(SINES[step]).wrapping_add(words[index % 16]);
        a = d;
        d = c;
        c = b;
        b = b.wrapping_add(sum.rotate_left(ROTATIONS[step / 16][step % 4]));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_digest_of_an_independent_implementation() {
        for len in (0..300).chain([4096, 5000]) {
            let data: Vec<u8> =
                (0..len).map(|index: u32| (index * 7 + 3).to_le_bytes()[0]).collect();
            for split in [0, 1, 55, 56, 63, 64, 65, 128, data.len()] {
                let split = split.min(data.len());
                let mut context = Context::new();
                context.update(&data[..split]);
                // The context travels through memory between calls.
                let mut context = Context::from_bytes(*context.bytes());
                context.update(&data[split..]);
                assert_eq!(context.finish(), md5::compute(&data).0, "{len} at {split}");
                assert_eq!(context.bytes(), &[0; CONTEXT_BYTES]);
            }
        }
    }
}
