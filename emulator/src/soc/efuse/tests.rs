use super::*;
use crate::soc::Identity;

/// Burns words given as block, word, value.
fn burn(efuse: &mut Efuse, bits: &[(usize, usize, u32)]) -> Operation {
    for (first, words) in offset::WRITE.into_iter().zip([7, 8, 8, 8]) {
        for word in 0..words {
            efuse.set(first + 4 * word, 0);
        }
    }
    for &(block, word, value) in bits {
        let at = u32::try_from(word).expect("small") * 4;
        assert_eq!(efuse.set(offset::WRITE[block] + at, value), Operation::None);
    }
    efuse.set(offset::CLK, 0xFFA0);
    efuse.set(offset::DAC_CONF, 80);
    efuse.set(offset::CONF, OP_PROGRAM);
    efuse.set(offset::CMD, CMD_PROGRAM)
}

fn read(efuse: &mut Efuse) -> Operation {
    efuse.set(offset::CONF, OP_READ);
    efuse.set(offset::CMD, CMD_READ)
}

fn word(efuse: &Efuse, block: usize, word: u32) -> u32 {
    efuse.get(offset::READ[block] + 4 * word)
}

#[test]
fn the_factory_words_are_shown() {
    let efuse = Efuse::with_cells(Identity::default().cells());
    let shown: Vec<u32> = (0..7).map(|index| word(&efuse, 0, index)).collect();
    assert_eq!(shown, Identity::default().block0());
    assert_eq!(efuse.get(offset::DATE), VERSION);
}

#[test]
fn bits_only_rise_and_show_after_a_read() {
    let mut efuse = Efuse::with_cells(EfuseCells::BLANK);
    let done = burn(&mut efuse, &[(3, 0, 0xF0)]);
    assert_eq!(done, Operation::Program { burned: 4, refused: 0, in_time: true });
    assert_eq!(word(&efuse, 3, 0), 0, "not read yet");
    assert_eq!(read(&mut efuse), Operation::Read);
    assert_eq!(word(&efuse, 3, 0), 0xF0);
    assert!(efuse.take_unsaved() && !efuse.take_unsaved());
    let done = burn(&mut efuse, &[(3, 0, 0x18)]);
    assert_eq!(done, Operation::Program { burned: 1, refused: 0, in_time: true });
    efuse.reset();
    assert_eq!(word(&efuse, 3, 0), 0xF8);
    assert!(efuse.take_unsaved());
}

#[test]
fn commands_need_their_operation_code() {
    let mut efuse = Efuse::with_cells(EfuseCells::BLANK);
    efuse.set(offset::WRITE[1], 1);
    assert_eq!(efuse.set(offset::CMD, CMD_PROGRAM), Operation::None);
    efuse.set(offset::CONF, OP_READ);
    assert_eq!(efuse.set(offset::CMD, CMD_PROGRAM), Operation::None);
    assert_eq!(*efuse.cells(), EfuseCells::BLANK);
    efuse.set(offset::CONF, OP_PROGRAM);
    let wrong_clock = Operation::Program { burned: 1, refused: 0, in_time: false };
    assert_eq!(efuse.set(offset::CMD, CMD_PROGRAM), wrong_clock);
    assert_eq!(efuse.get(offset::CMD), 0);
    assert_eq!(efuse.get(offset::INT_RAW), 2);
    efuse.set(offset::INT_CLR, 2);
    assert_eq!(efuse.get(offset::INT_RAW), 0);
}

#[test]
fn every_write_protection_bit_protects_its_fields() {
    for bit in 0..16 {
        let mut efuse = Efuse::with_cells(EfuseCells::BLANK);
        burn(&mut efuse, &[(0, 0, 1 << bit)]);
        read(&mut efuse);
        let all: Vec<_> =
            (0..7).map(|word| (0, word, u32::MAX)).chain([1, 2, 3].map(|b| (b, 0, 1))).collect();
        let Operation::Program { refused, .. } = burn(&mut efuse, &all) else { panic!("{bit}") };
        // WR_DIS itself has one bit set already.
        let expected = match bit {
            0 | 15 => 4,
            1 => 15,
            2 | 10 => 8,
            3 => 32 + 32 + 31,
            5 => 3,
            6 => 28,
            7..=9 | 12..=14 => 1,
            _ => 0,
        };
        assert_eq!(refused, expected, "WR_DIS bit {bit}");
    }
}

#[test]
fn a_hidden_key_reads_zero_and_still_works() {
    let mut efuse = Efuse::with_cells(EfuseCells::BLANK);
    burn(&mut efuse, &[(1, 0, 0x0403_0201), (2, 0, 5), (3, 0, 6), (0, 5, 0xF000_0000)]);
    // RD_DIS for block 1 and for FLASH_CRYPT_CONFIG.
    burn(&mut efuse, &[(0, 0, 0b1001 << 16)]);
    read(&mut efuse);
    assert_eq!((word(&efuse, 1, 0), word(&efuse, 0, 5)), (0, 0));
    assert_eq!((word(&efuse, 2, 0), word(&efuse, 3, 0)), (5, 6));
    assert_eq!(efuse.flash_crypt_config(), 0xF);
    assert_eq!(efuse.flash_encryption_key()[28..], [4, 3, 2, 1]);
}

#[test]
fn three_quarters_coding_corrects_one_bit_and_reports_it() {
    let data: Vec<u8> = (10..34).collect();
    let mut encoded = CodingScheme::ThreeQuarters.encode(&data);
    let shown = |encoded: [u32; 8]| {
        let mut cells = EfuseCells::BLANK;
        cells.set_word(0, 6, 1);
        for (index, word) in encoded.into_iter().enumerate() {
            cells.set_word(2, index, word);
        }
        let efuse = Efuse::with_cells(cells);
        let words: Vec<u8> = (0..8).flat_map(|at| word(&efuse, 2, at).to_le_bytes()).collect();
        (words, efuse.get(offset::DEC_STATUS))
    };
    let padded: Vec<u8> = data.iter().copied().chain([0; 8]).collect();
    assert_eq!(shown(encoded), (padded.clone(), 0));
    encoded[2] ^= 0x10;
    assert_eq!(shown(encoded), (padded, 1 << 5), "group 1 of block 2");
    encoded[2] ^= 0x0202_0000;
    let (words, errors) = shown(encoded);
    assert_eq!(errors, 1 << 5);
    assert_ne!(words[6..12], data[6..12]);
}

#[test]
fn repeat_coding_takes_a_missing_bit_from_its_copy() {
    let encoded = CodingScheme::Repeat.encode(&[0xAB; 16]);
    assert_eq!(encoded, [0xABAB_ABAB; 8]);
    let mut damaged = encoded;
    damaged[1] &= !1;
    let (words, errors) = CodingScheme::Repeat.decode(damaged);
    assert_eq!(words, [0xABAB_ABAB, 0xABAB_ABAB, 0xABAB_ABAB, 0xABAB_ABAB, 0, 0, 0, 0]);
    assert_eq!(errors, 1 << 1);
}

/// Two check bytes by hand: XOR of the bytes; bits of the first once, of the second twice, ...
#[test]
fn check_bytes() {
    assert_eq!(three_quarters(&[0xFF, 0, 0, 0, 0, 0x01]), [0xFE, 8 + 6]);
    assert_eq!(three_quarters(&[0; 6]), [0, 0]);
}

#[test]
fn an_odd_count_decrypts() {
    let mut efuse = Efuse::with_cells(EfuseCells::BLANK);
    for (bits, decrypts) in [(1, true), (3, false), (7, true), (0x7F, true)] {
        burn(&mut efuse, &[(0, 0, bits << 20)]);
        efuse.reset();
        assert_eq!(efuse.decrypts_flash(), decrypts, "{bits:#x}");
    }
    assert!(!efuse.download_disabled());
    burn(&mut efuse, &[(0, 0, 1 << 27), (0, 6, 0x84)]);
    assert!(!efuse.download_disabled(), "from the next reset on");
    efuse.reset();
    assert!(efuse.download_disabled() && efuse.console_debug_disabled());
    assert!(efuse.download_encryption_disabled());
}
