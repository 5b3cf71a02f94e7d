//! A ROM that runs as code against the native one: a user's own dump of the real one
//! (`ESP32_ROM=FILE cargo test`), and always a stand-in of our own.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod stand_in;

use std::{
    env, fs,
    io::{self, Write},
};

use esp_protocol::{
    command::{Begin, Data, Request},
    slip,
};
use esp32_emulator::{
    board::RomImage,
    case::{CaseBoard, LoadedBoard},
    time::Duration,
};

/// Rate of the host.
const BAUD: u32 = 115_200;
/// The block that is written.
const BLOCK_BYTES: usize = 1024;
const OFFSET: u32 = 0x1000;

fn block() -> Vec<u8> {
    (0..=255).cycle().take(BLOCK_BYTES).collect()
}

/// `SYNC`, `SPI_ATTACH`, one block into the flash, and its digest.
fn requests(block: &[u8]) -> Vec<Vec<u8>> {
    let len = u32::try_from(block.len()).expect("one block");
    let begin = Begin { size: len, blocks: 1, block_size: len, offset: OFFSET, encrypted: None };
    [
        Request::Sync,
        Request::SpiAttach { pins: 0, legacy: Some(0) },
        Request::FlashBegin(begin),
        Request::FlashData(Data { sequence: 0, bytes: block.into() }),
        Request::SpiFlashMd5 { offset: OFFSET, len },
    ]
    .iter()
    .map(Request::emit)
    .collect()
}

/// What the board answers to each request, from its first frame on.
fn answers(board: &mut CaseBoard) -> Vec<Vec<u8>> {
    board.set_host_baud(board.now(), Some(BAUD));
    board.transmit(board.now() + Duration::from_millis(1000), &mut Vec::new());
    // The ROM measures the rate first; what comes meanwhile is lost.
    board.receive(board.now(), &[0x55; 32]);
    board.advance(board.now() + Duration::from_millis(100));
    let mut answers = Vec::new();
    for request in requests(&block()) {
        let mut wire = Vec::new();
        slip::encode(&request, &mut wire);
        board.receive(board.now(), &wire);
        let mut out = Vec::new();
        board.transmit(board.now() + Duration::from_millis(5000), &mut out);
        let start = out.iter().position(|byte| *byte == 0xc0).unwrap_or(out.len());
        answers.push(out.split_off(start));
    }
    answers
}

fn board() -> CaseBoard {
    LoadedBoard::with_part("W25Q32JV").into_board().expect("a sound board")
}

fn with_rom(dump: &[u8]) -> CaseBoard {
    let mut board = board();
    board.insert_rom(board.now(), RomImage::parse(dump).expect("a dump"));
    board
}

fn word(board: &mut CaseBoard, address: u32) -> u32 {
    let mut bytes = [0; 4];
    assert!(board.peek(address, &mut bytes), "{address:#x}");
    u32::from_le_bytes(bytes)
}

#[test]
fn the_native_rom_answers_as_the_real_one() {
    let native = answers(&mut board());
    assert!(native.iter().all(|answer| answer.len() > 2), "{native:02x?}");
    let Some(path) = env::var_os("ESP32_ROM") else {
        // Past the capture of the test's output: nobody shall take this for a check.
        let _ = writeln!(
            io::stderr(),
            "\n*** not run: no dump given: the native ROM against the real one\n*** Set ESP32_ROM \
             to your own dump of the ESP32's mask ROM to compare with it.\n"
        );
        return;
    };
    let mut real = with_rom(&fs::read(path).expect("a readable file"));
    assert_eq!(answers(&mut real), native);
}

#[test]
fn a_rom_of_code_answers_over_the_registers_as_the_native_one() {
    let mut native = board();
    let expected = answers(&mut native);
    let mut board = with_rom(&stand_in::image());
    assert_eq!(answers(&mut board), expected);
    for board in [&native, &board] {
        let mut cells = vec![0; BLOCK_BYTES];
        board.flash().nor().read_cells(OFFSET, &mut cells);
        assert_eq!(cells, block());
    }
    // What it found on its way: straps, the cause of the reset, the divider of the host's rate.
    let strap = word(&mut board, stand_in::NOTES);
    assert_eq!(strap & 0x10, 0, "GPIO0 is low in download mode: {strap:#x}");
    let causes = word(&mut board, stand_in::NOTES + 4);
    assert_eq!((causes & 0x3f, causes >> 6 & 0x3f), (1, 1), "power-on");
    let sixteenths = word(&mut board, stand_in::NOTES + 8) >> 16;
    assert!(sixteenths < 0x10_0000);
}

#[test]
fn a_rom_of_code_measures_other_rates_than_115200() {
    let mut board = with_rom(&stand_in::image());
    for rate in [57_600, 230_400, 460_800] {
        board.set_host_baud(board.now(), Some(rate));
        board.host_reset(board.now());
        board.receive(board.now(), &[0x55; 64]);
        board.advance(board.now() + Duration::from_millis(100));
        assert!(board.baud().abs_diff(rate) * 50 < rate, "{rate}: {}", board.baud());
        let mut wire = Vec::new();
        slip::encode(&Request::Sync.emit(), &mut wire);
        board.receive(board.now(), &wire);
        let mut out = Vec::new();
        board.transmit(board.now() + Duration::from_millis(1000), &mut out);
        // Eight answers, with a delimiter on each side.
        assert_eq!(out.split(|byte| *byte == 0xc0).count(), 17, "{rate}: {out:02x?}");
    }
}
