//! Witness: `espsecure.py encrypt_flash_data` of esptool 4.5.1, with the key, data and address
//! below.

use super::*;
use crate::soc::efuse::EfuseCells;

const ADDRESS: u32 = 0x003A_5FE0;

fn key() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).expect("small") + 1)
}

/// 96 bytes, across a boundary where many address bits change.
fn plain() -> Vec<u8> {
    (0..96_u8).map(|index| index.wrapping_mul(7).wrapping_add(3)).collect()
}

#[test]
fn every_part_of_the_tweak_as_espsecure_has_it() {
    for (config, digest) in [
        (0, "a5c3824ab8591dc6ddf60b6d25d75c09"),
        (1, "43288a6e5e710070e83e639b61ba016e"),
        (2, "ee267d3dd8023f7f22f77443c97d6db1"),
        (4, "7ce4ba9db0fe3894b22329f0a4f558a6"),
        (8, "42001ae6a326b8f9748c9d4d490295b9"),
        (15, "9b59a776de94f7159b58e0302471f5ae"),
    ] {
        let cipher = FlashCipher::new(key(), config);
        let mut data = plain();
        cipher.encrypt(ADDRESS, &mut data);
        assert_eq!(format!("{:x}", md5::compute(&data)), digest, "config {config}");
        cipher.decrypt(ADDRESS, &mut data);
        assert_eq!(data, plain(), "config {config}");
    }
}

#[test]
fn pieces_give_what_the_whole_gives() {
    let cipher = FlashCipher::new(key(), 15);
    let mut whole = plain();
    cipher.encrypt(ADDRESS, &mut whole);
    let mut pieces = plain();
    for (at, piece) in (ADDRESS..).step_by(16).zip(pieces.chunks_mut(16)) {
        cipher.encrypt(at, piece);
    }
    assert_eq!(whole, pieces);
}

/// A chip with the key in block 1, as espefuse burns it: last byte first.
fn chip(key: &[u8], scheme: u32, encoded: [u32; 8]) -> Efuse {
    let mut cells = EfuseCells::BLANK;
    cells.set_word(0, 5, 0xF000_0000);
    cells.set_word(0, 6, scheme);
    for (index, word) in encoded.into_iter().enumerate() {
        cells.set_word(1, index, word);
    }
    let efuse = Efuse::with_cells(cells);
    assert_eq!(efuse.flash_encryption_key()[..key.len()], *key);
    efuse
}

#[test]
fn the_key_of_a_chip_with_three_quarters_coding() {
    use crate::soc::efuse::CodingScheme;
    let key: Vec<u8> = (1..=24).collect();
    let stored: Vec<u8> = key.iter().rev().copied().collect();
    let efuse = chip(&key, 1, CodingScheme::ThreeQuarters.encode(&stored));
    let mut block = FlashEncryption::default();
    let data: [u8; 32] = plain()[..32].try_into().expect("32 bytes");
    let result = block.run(0x10000, data, &efuse);
    assert_eq!(result[..8], [0x0C, 0xA2, 0x79, 0x40, 0xBA, 0x61, 0x6D, 0xC2]);
    assert_eq!(result[16..20], [0xE4, 0x12, 0x3A, 0xBC]);
}

#[test]
fn the_registers_encrypt_what_they_are_given() {
    use crate::soc::efuse::CodingScheme;
    let stored: Vec<u8> = key().iter().rev().copied().collect();
    let efuse = chip(&key(), 0, CodingScheme::None.encode(&stored));
    let mut block = FlashEncryption::default();
    for (offset, word) in (0..).step_by(4).zip(plain()[..32].chunks(4)) {
        block.set(offset, u32::from_le_bytes(word.try_into().expect("a word")), &efuse);
    }
    block.set(offset::ADDRESS, ADDRESS, &efuse);
    assert_eq!(block.get(offset::DONE), 0);
    block.set(offset::START, 1, &efuse);
    assert_eq!(block.get(offset::DONE), 1);
    assert_eq!(block.get(0), 0, "the plain text cannot be read back");
    assert_eq!(block.result()[..8], [0x68, 0x9A, 0x6B, 0x72, 0xF5, 0x44, 0x2C, 0x11]);
}
