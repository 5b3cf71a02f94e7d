//! Images for the plays: the same for the same seed, bootable, and compressible like code.

/// Bytes of the image header, the extended header and one segment header.
const HEADER_BYTES: usize = 32;
/// Bytes of the one segment.
const SEGMENT_BYTES: usize = 15;

/// A pseudo-random image of `bytes` bytes that the ROM can boot, if it is long enough for a header.
#[must_use]
pub fn bootable(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut image: Vec<u8> = header(&mut random);
    while image.len() < bytes {
        let word = random.u64(..).to_le_bytes();
        image.extend(word);
        // About a third repeats: what a deflater finds in firmware.
        let repeat = image.len().saturating_sub(64);
        let again: Vec<u8> = image.iter().skip(repeat).take(4).copied().collect();
        image.extend(again);
    }
    image.truncate(bytes);
    image
}

/// Headers, one short segment in IRAM, and its checksum in the last byte of a 16-byte line.
fn header(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut image = vec![0xe9, 1, 2, 0x4f];
    image.extend(0x4008_0400_u32.to_le_bytes());
    image.extend([0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    image.extend(0x4008_0400_u32.to_le_bytes());
    image.extend(12_u32.to_le_bytes());
    let data: Vec<u8> = (0..12).map(|_| random.u8(..)).collect();
    let checksum = data.iter().fold(0xef, |sum, byte| sum ^ byte);
    image.extend(data);
    image.resize(HEADER_BYTES + SEGMENT_BYTES, 0);
    image.push(checksum);
    image
}
