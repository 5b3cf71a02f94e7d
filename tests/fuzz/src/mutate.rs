//! Seeded mutation, for runs without libFuzzer.

use fastrand::Rng;

/// Longest input that is made.
const BYTES_MAX: usize = 4096;
/// Bytes that mean something in some of the formats.
const SPECIAL: [u8; 12] = [0x00, 0x01, 0x7F, 0x80, 0xC0, 0xDB, 0xDC, 0xFF, 0xFA, 0xF0, b'\n', b'"'];

/// Changes `input` in one to eight places; `other` is what pieces are taken from.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    for _ in 0..random.u8(1..=8) {
        let at = random.usize(0..=input.len());
        match random.u8(0..8) {
            0 => input.insert(at, random.u8(..)),
            1 => input.insert(at, SPECIAL[random.usize(0..SPECIAL.len())]),
            2 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            3 if at < input.len() => input[at] = SPECIAL[random.usize(0..SPECIAL.len())],
            4 if at < input.len() => input[at] = input[at].wrapping_add(random.u8(0..16)),
            5 => drop(input.drain(at..(at + random.usize(0..16)).min(input.len()))),
            6 if !other.is_empty() => {
                let from = random.usize(0..other.len());
                let to = (from + random.usize(1..64)).min(other.len());
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let piece: Vec<u8> =
                    input[at..].iter().copied().take(random.usize(1..32)).collect();
                input.splice(at..at, piece);
            }
        }
    }
    input.truncate(BYTES_MAX);
}
