//! The chip of a board file: eFuses, flash encryption, the pins of the flash.

use esp_protocol::{
    command::{RegisterWrite, Request},
    slip,
};

use super::*;
use crate::{
    soc::FlashCipher,
    spi::{CommandLines, SpiConnection, SpiPins, Transaction},
    time::Duration,
};

fn board(text: &str) -> CaseBoard {
    let loaded = parse_text(text).unwrap_or_else(|error| panic!("{error}"));
    loaded.into_board().unwrap_or_else(|error| panic!("{error}"))
}

/// The answer to one request: its value field and its payload.
fn ask(board: &mut CaseBoard, request: &Request<'_>) -> (u32, Vec<u8>) {
    let mut wire = Vec::new();
    slip::encode(&request.emit(), &mut wire);
    let later = board.now() + Duration::from_millis(100);
    let mut answer = Vec::new();
    board.transmit(later, &mut answer);
    board.receive(later, &wire);
    answer.clear();
    board.transmit(board.now() + Duration::from_millis(100), &mut answer);
    let mut frame = Vec::new();
    let mut bytes = answer.iter().copied().skip_while(|byte| *byte != slip::END).skip(1);
    while let Some(byte) = bytes.next().filter(|byte| *byte != slip::END) {
        frame.push(match byte {
            0xDB if bytes.next() == Some(0xDC) => slip::END,
            0xDB => 0xDB,
            byte => byte,
        });
    }
    assert!(frame.len() >= 12, "{frame:02x?}");
    let value = u32::from_le_bytes(frame[4..8].try_into().expect("four bytes"));
    (value, frame[8..].to_vec())
}

/// `SPI_ATTACH`'s word for pins.
fn word(pins: SpiPins) -> u32 {
    let places = [pins.clk, pins.q, pins.d, pins.cs, pins.hd];
    (0..).step_by(6).zip(places).map(|(shift, pin)| u32::from(pin) << shift).sum()
}

fn attach(board: &mut CaseBoard, pins: u32) {
    ask(board, &Request::SpiAttach { pins, legacy: Some(0) });
}

fn read(board: &mut CaseBoard) -> Vec<u8> {
    let (_, mut payload) = ask(board, &Request::ReadFlashSlow { offset: 0, len: 4 });
    payload.truncate(4);
    payload
}

const TWO: &str = "[flash]\npart = \"W25Q32JV\"\nimage = { pieces = [{ at = 0, hex = \"01020304\" }] }\n\
                   [second-flash]\npins = { gpio = { clk = 18, q = 19, d = 23, hd = 21, cs = 5 } }\n\
                   flash = { part = \"W25Q32JV\", image = { pieces = [{ at = 0, hex = \"0a0b0c0d\" }] } }\n";

#[test]
fn the_loader_reaches_the_flash_that_it_is_told_to_attach() {
    let mut board = board(TWO);
    ask(&mut board, &Request::Sync);
    assert_eq!(read_word(&mut board), [0xFF; 4], "nothing is attached");
    attach(&mut board, 0);
    assert_eq!(read(&mut board), [1, 2, 3, 4]);
    let pins = word(SpiPins { clk: 18, q: 19, d: 23, hd: 21, cs: 5 });
    attach(&mut board, pins);
    assert_eq!(read(&mut board), [0x0A, 0x0B, 0x0C, 0x0D]);
    // HOLD# does not matter; the pins of the main flash lead to it by their numbers too.
    attach(&mut board, pins & !(0x3F << 24));
    assert_eq!(read(&mut board), [0x0A, 0x0B, 0x0C, 0x0D]);
    attach(&mut board, word(SpiPins::SPI));
    assert_eq!(read(&mut board), [1, 2, 3, 4]);
    let now = board.now();
    board.host_reset(now);
    ask(&mut board, &Request::Sync);
    assert_eq!(read_word(&mut board), [0xFF; 4], "a reset lets the pads go");
}

/// Four bytes by a read instruction through SPI1's registers; the loader's own read would wait for
/// ever for a part that seems busy.
fn read_word(board: &mut CaseBoard) -> [u8; 4] {
    let spi1 = 0x3FF4_2000;
    let writes = [
        (0x1C, 0xD000_0000),
        (0x20, 0x5C00_0007),
        (0x24, 0x7000_0003),
        (0x2C, 31),
        (0x04, 0),
        (0x00, 1 << 18),
    ];
    for (offset, value) in writes {
        assert!(board.poke(spi1 + offset, &u32::to_le_bytes(value)));
    }
    let mut word = [0; 4];
    assert!(board.peek(spi1 + 0x80, &mut word));
    word
}

#[test]
fn a_clip_on_the_flash_needs_no_attach_and_leaves_it_as_it_is() {
    let mut board = board(TWO);
    let mut miso = [0; 4];
    let mut transaction =
        Transaction { mosi: &[0x03, 0, 0, 0], miso: &mut miso, command_lines: CommandLines::One };
    let now = board.now();
    let _ = board.spi_transfer(now, &mut transaction);
    assert_eq!(miso, [1, 2, 3, 4]);
    assert_eq!(read_word(&mut board), [0xFF; 4]);
    assert_eq!(board.flash().second().map(|nor| nor.part().name.clone()), Some("W25Q32JV".into()));
}

#[test]
fn attach_words() {
    assert_eq!(SpiConnection::from_attach_word(0), SpiConnection::Default);
    assert_eq!(SpiConnection::from_attach_word(1), SpiConnection::Pins(SpiPins::HSPI));
    // As esptool packs `6,17,8,11,16`: CLK, Q, D, HD, CS.
    let pins = SpiPins { clk: 6, q: 17, d: 8, hd: 11, cs: 16 };
    assert_eq!(SpiConnection::from_attach_word(0x0B40_8446), SpiConnection::Pins(pins));
    assert_eq!(word(pins), 0x0B40_8446);
    assert_eq!(Package::PicoD4.flash_pins(), pins);
}

#[test]
fn efuses_of_a_board_survive_the_supply_and_reach_the_registers() {
    let mut board = board(
        "[flash]\npart = \"W25Q32JV\"\n[efuse]\ncoding-scheme = \"three-quarters\"\n\
         block3 = \"0102030405\"\nread-disable = 2\n",
    );
    ask(&mut board, &Request::Sync);
    let word = |board: &mut CaseBoard, address| ask(board, &Request::ReadReg { address }).0;
    assert_eq!(word(&mut board, 0x3FF5_A078), 0x0403_0201);
    assert_eq!(word(&mut board, 0x3FF5_A018) & 3, 1);
    let burn = [(0x3FF5_A01C, 1 << 27), (0x3FF5_A0FC, 0x5A5A), (0x3FF5_A104, 2)];
    for (address, value) in burn {
        let write = RegisterWrite { address, value, mask: u32::MAX, delay_us: 0 };
        ask(&mut board, &Request::WriteReg(vec![write]));
    }
    assert_eq!(word(&mut board, 0x3FF5_A000), 2 << 16, "not read anew");
    assert!(board.take_unsaved_efuses());
    let now = board.now();
    board.power_cycle(now);
    let mut said = Vec::new();
    board.transmit(now + Duration::from_millis(200), &mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("Download mode is disabled"), "{said}");
}

#[test]
fn a_page_program_takes_what_the_encryption_block_made() {
    let mut board = board(
        "[flash]\npart = \"W25Q32JV\"\n[efuse]\nflash-crypt-config = 15\n\
         flash-encryption-key = \"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\"\n",
    );
    ask(&mut board, &Request::Sync);
    attach(&mut board, 0);
    let plain: Vec<u8> = (100..132).collect();
    let mut pokes: Vec<(u32, u32)> = (0x3FF5_B000..)
        .step_by(4)
        .zip(plain.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("a word"))))
        .collect();
    pokes.extend([
        (0x3FF5_B024, 0x1240),
        (0x3FF5_B020, 1),
        (0x3FF0_00C8, 1 << 8),
        (0x3FF4_2000, 1 << 30),
        (0x3FF4_2004, 32 << 24 | 0x1240),
        (0x3FF4_2000, 1 << 25),
    ]);
    for (address, value) in pokes {
        assert!(board.poke(address, &value.to_le_bytes()));
    }
    let mut expected = plain;
    let key = std::array::from_fn(|index| u8::try_from(index).expect("small") + 1);
    FlashCipher::new(key, 15).encrypt(0x1240, &mut expected);
    let mut found = [0; 32];
    board.flash().nor().read_cells(0x1240, &mut found);
    assert_eq!(found, *expected);
}

#[test]
fn wrong_efuses_and_pins_are_refused() {
    let long = "[flash]\npart = \"W25Q32JV\"\n[efuse]\ncoding-scheme = \"three-quarters\"\n\
                block1 = \"00000000000000000000000000000000000000000000000000\"\n";
    assert!(problem(long).contains("efuse.block1: more bytes than a block holds"), "{long}");
    let pins = "[flash]\npart = \"W25Q32JV\"\n[second-flash]\npins = \"vspi\"\n\
                flash = { part = \"W25Q32JV\" }\n";
    assert!(problem(pins).contains("vspi"), "{}", problem(pins));
    let none = "[flash]\npart = \"W25Q32JV\"\n[second-flash]\npins = \"hspi\"\nflash = {}\n";
    assert!(problem(none).contains("exactly one of"), "{}", problem(none));
}
