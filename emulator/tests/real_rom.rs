//! The native ROM against a user's own dump of the real one: `ESP32_ROM=FILE cargo test`.

#![expect(clippy::expect_used, reason = "helpers of tests")]
use std::{env, fs};

use esp_protocol::{
    command::{Begin, Data, Request},
    slip,
};
use esp32_emulator::{
    board::RomImage,
    case::{CaseBoard, LoadedBoard},
    time::Duration,
};

/// `SYNC`, `SPI_ATTACH`, one block into the flash, and its digest.
fn requests(block: &[u8]) -> Vec<Vec<u8>> {
    let len = u32::try_from(block.len()).expect("one block");
    let begin = Begin { size: len, blocks: 1, block_size: len, offset: 0x1000, encrypted: None };
    [
        Request::Sync,
        Request::SpiAttach { pins: 0, legacy: Some(0) },
        Request::FlashBegin(begin),
        Request::FlashData(Data { sequence: 0, bytes: block.into() }),
        Request::SpiFlashMd5 { offset: 0x1000, len },
    ]
    .iter()
    .map(Request::emit)
    .collect()
}

/// What the board answers to each request, from its first frame on.
fn answers(board: &mut CaseBoard) -> Vec<Vec<u8>> {
    board.transmit(board.now() + Duration::from_millis(1000), &mut Vec::new());
    let block: Vec<u8> = (0..=255).cycle().take(1024).collect();
    let mut answers = Vec::new();
    for request in requests(&block) {
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

#[test]
fn the_native_rom_answers_as_the_real_one() {
    let board = || LoadedBoard::with_part("W25Q32JV").into_board().expect("a sound board");
    let native = answers(&mut board());
    assert!(native.iter().all(|answer| answer.len() > 2), "{native:02x?}");
    let Some(path) = env::var_os("ESP32_ROM") else {
        eprintln!("SKIPPED: set ESP32_ROM to your dump of the ESP32's mask ROM to compare with it");
        return;
    };
    let rom = RomImage::parse(&fs::read(path).expect("a readable file")).expect("a dump");
    let mut real = board();
    real.insert_rom(real.now(), rom);
    assert_eq!(answers(&mut real), native);
}
