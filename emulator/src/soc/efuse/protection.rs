//! Which eFuses can still be programmed and which software can read (ESP32 TRM, "Structure of
//! eFuse"; field table of espefuse).

use super::{BLOCKS, EfuseCells, WORDS};

/// Bits of block 0 that a bit of `WR_DIS` protects: its number, word, mask.
const WRITE_PROTECTION: &[(u32, usize, u32)] = &[
    (0, 0, 0x000F_0000),  // RD_DIS
    (1, 0, 0x0000_FFFF),  // WR_DIS
    (2, 0, 0x0FF0_0000),  // FLASH_CRYPT_CNT, UART_DOWNLOAD_DIS
    (3, 1, u32::MAX),     // MAC
    (3, 2, u32::MAX),     // MAC, its CRC
    (3, 3, 0xFFFF_BFFF),  // features, package, SPI_PAD_CONFIG_HD, revision
    (5, 4, 0x0001_C000),  // XPD_SDIO
    (6, 5, 0x0FFF_FFFF),  // SPI_PAD_CONFIG, revision
    (10, 3, 0x0000_4000), // BLK3_PART_RESERVE
    (10, 5, 0xF000_0000), // FLASH_CRYPT_CONFIG
    (10, 6, 0x0000_0403), // CODING_SCHEME, KEY_STATUS
    (12, 6, 0x0000_0010), // ABS_DONE_0
    (13, 6, 0x0000_0020), // ABS_DONE_1
    (14, 6, 0x0000_0040), // JTAG_DISABLE
    (15, 6, 0x0000_0384), // CONSOLE_DEBUG_DISABLE, DISABLE_DL_*
];
/// The bit of `WR_DIS` that protects block 1; those of blocks 2 and 3 follow.
const WRITE_PROTECTION_BLOCK1: u32 = 7;
/// Bits of block 0 that bit 3 of `RD_DIS` hides; bits 0 to 2 hide blocks 1 to 3.
const READ_PROTECTION: &[(usize, u32)] = &[(3, 0x0000_4000), (5, 0xF000_0000), (6, 0x0000_0403)];
const READ_PROTECTION_BLOCK0: u32 = 3;

/// The bits that the write protection in `latched` leaves open.
pub(super) fn writable(latched: &EfuseCells) -> EfuseCells {
    let protects = |bit: u32| latched.word(0, 0) >> bit & 1 == 1;
    let mut open = all();
    for &(bit, word, mask) in WRITE_PROTECTION {
        if protects(bit) {
            open.set_word(0, word, open.word(0, word) & !mask);
        }
    }
    hide_blocks(&mut open, |block| protects(WRITE_PROTECTION_BLOCK1 + block));
    open
}

/// The bits that the read protection in `latched` lets software see.
pub(super) fn readable(latched: &EfuseCells) -> EfuseCells {
    let protects = |bit: u32| latched.word(0, 0) >> (16 + bit) & 1 == 1;
    let mut open = all();
    if protects(READ_PROTECTION_BLOCK0) {
        for &(word, mask) in READ_PROTECTION {
            open.set_word(0, word, open.word(0, word) & !mask);
        }
    }
    hide_blocks(&mut open, protects);
    open
}

/// Clears the blocks from 1 on that `is_hidden`, counted from 0, names.
fn hide_blocks(open: &mut EfuseCells, is_hidden: impl Fn(u32) -> bool) {
    for (block, number) in (1..BLOCKS).zip(0..) {
        if is_hidden(number) {
            *open.block_mut(block) = [0; WORDS];
        }
    }
}

fn all() -> EfuseCells {
    let mut all = EfuseCells::BLANK;
    for block in 0..BLOCKS {
        *all.block_mut(block) = [u32::MAX; WORDS];
    }
    all
}
