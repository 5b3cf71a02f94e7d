//! An ESP RAM image made by hand.

/// Where the program is.
const BASE: u32 = 0x4008_0400;
/// What it prints for ever.
pub(crate) const PRINTED: u8 = b'R';

/// The program: a literal, then `entry a1, 32`; `movi a10, 'R'`; `l32r a8, literal`; `callx8 a8`;
/// and a jump back to the `movi`.
const PROGRAM: [u8; 20] = [
    0x00, 0x92, 0x00, 0x40, // uart_tx_one_char
    0x36, 0x41, 0x00, // entry
    0xA2, 0xA0, PRINTED, // movi
    0x81, 0xFD, 0xFF, // l32r
    0xE0, 0x08, 0x00, // callx8
    0xC6, 0xFC, 0xFF, // j
    0x00,
];

/// The image in esptool's format: header, extended header, one segment, checksum.
pub(crate) fn prints_for_ever() -> Vec<u8> {
    let mut image = vec![0xE9, 1, 2, 0x20];
    image.extend((BASE + 4).to_le_bytes());
    image.extend([0xEE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    image.extend(BASE.to_le_bytes());
    image.extend(20_u32.to_le_bytes());
    image.extend(PROGRAM);
    image.resize(image.len().next_multiple_of(16) - 1, 0);
    image.push(PROGRAM.iter().fold(0xEF, |sum, byte| sum ^ byte));
    image
}
