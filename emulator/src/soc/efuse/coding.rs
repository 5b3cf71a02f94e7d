//! How blocks 1 to 3 are stored (ESP32 TRM, "Coding Scheme").

use super::{EfuseCells, WORDS};

/// Bytes of data in a group of the 3/4 scheme; two check bytes follow them.
const GROUP_DATA: usize = 6;
const GROUP: usize = 8;
/// Groups of a block.
const GROUPS: usize = 4;

/// Coding scheme of blocks 1 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodingScheme {
    /// 256 bits, unprotected.
    #[default]
    None,
    /// 192 bits: each six bytes with their XOR and the sum of their weights.
    ThreeQuarters,
    /// 128 bits, twice.
    Repeat,
}

impl CodingScheme {
    /// The scheme that block 0 asks for.
    #[must_use]
    pub fn of(cells: &EfuseCells) -> Self {
        match cells.word(0, 6) & 3 {
            1 => Self::ThreeQuarters,
            2 => Self::Repeat,
            _ => Self::None,
        }
    }

    /// Its value in block 0.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::None => 0,
            Self::ThreeQuarters => 1,
            Self::Repeat => 2,
        }
    }

    /// Bytes that a block holds.
    #[must_use]
    pub const fn data_bytes(self) -> usize {
        match self {
            Self::None => 32,
            Self::ThreeQuarters => 24,
            Self::Repeat => 16,
        }
    }

    /// The words to burn for `data`, which is filled up with zeros.
    #[must_use]
    pub fn encode(self, data: &[u8]) -> [u32; WORDS] {
        let mut padded = [0; 32];
        let length = data.len().min(self.data_bytes());
        padded[..length].copy_from_slice(&data[..length]);
        match self {
            Self::None => words(&padded),
            Self::ThreeQuarters => {
                let mut stored = [0; 32];
                for (group, data) in stored.chunks_mut(GROUP).zip(padded.chunks(GROUP_DATA)) {
                    group[..GROUP_DATA].copy_from_slice(data);
                    group[GROUP_DATA..].copy_from_slice(&three_quarters(data));
                }
                words(&stored)
            }
            Self::Repeat => {
                padded.copy_within(..16, 16);
                words(&padded)
            }
        }
    }

    /// The words that the read registers show for stored `words`, and one bit for each group in
    /// which an error was found, corrected or not.
    #[must_use]
    pub(super) fn decode(self, stored: [u32; WORDS]) -> ([u32; WORDS], u32) {
        match self {
            Self::None => (stored, 0),
            Self::ThreeQuarters => decode_groups(stored),
            Self::Repeat => {
                let mut decoded = [0; WORDS];
                let mut errors = 0;
                for index in 0..4 {
                    // A bit that was not burned is the likelier failure.
                    decoded[index] = stored[index] | stored[index + 4];
                    errors |= u32::from(stored[index] != stored[index + 4]) << index;
                }
                (decoded, errors)
            }
        }
    }
}

/// The two check bytes of six data bytes: their XOR, and the sum of set bits in each, times its
/// place from 1.
#[must_use]
pub fn three_quarters(data: &[u8]) -> [u8; 2] {
    let xor = data.iter().fold(0, |sum, byte| sum ^ byte);
    let weights = (1_u32..).zip(data).map(|(place, byte)| place * byte.count_ones());
    [xor, weights.sum::<u32>().to_le_bytes()[0]]
}

fn decode_groups(stored: [u32; WORDS]) -> ([u32; WORDS], u32) {
    let bytes = bytes(stored);
    let mut decoded = [0; 32];
    let mut errors = 0;
    for index in 0..GROUPS {
        let mut group = [0; GROUP];
        group.copy_from_slice(&bytes[GROUP * index..][..GROUP]);
        if !is_consistent(group) {
            errors |= 1 << index;
            group = corrected(group).unwrap_or(group);
        }
        decoded[GROUP_DATA * index..][..GROUP_DATA].copy_from_slice(&group[..GROUP_DATA]);
    }
    (words(&decoded), errors)
}

fn is_consistent(group: [u8; GROUP]) -> bool {
    let (data, check) = group.split_at(GROUP_DATA);
    three_quarters(data) == check
}

/// The group with the one bit flipped that makes it consistent, if there is one.
fn corrected(group: [u8; GROUP]) -> Option<[u8; GROUP]> {
    (0..8 * GROUP).find_map(|bit| {
        let mut changed = group;
        changed[bit / 8] ^= 1 << (bit % 8);
        is_consistent(changed).then_some(changed)
    })
}

fn bytes(words: [u32; WORDS]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, word) in bytes.chunks_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn words(bytes: &[u8; 32]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    }
    words
}
