//! A compressed write to the ROM, beside what the real ROM did with a plain one
//! (`fixtures/transcripts/deflate.jsonl`).

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use esp_protocol::slip::Decoder;
use esp32_flasher::{
    port::virtual_board::{VirtualPort, factory_board},
    reset::ResetStrategy,
    session::Session,
    write::{Digest, Image, Prepared},
};
use serde_json::Value;

const OFFSET: u32 = 0x1_0000;
const WINDOW_BYTES: u32 = 0x8000;
/// Header of a payload, and the four words before the data of a block.
const BLOCK_HEAD_BYTES: usize = 8 + 16;
const FLASH_DEFL_DATA: u8 = 0x11;

fn case(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/transcripts/deflate.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    cases.find(|case| case["name"] == name).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The image that the case sends: its blocks, inflated.
fn image(case: &Value) -> Vec<u8> {
    let pre = case["pre"].as_array().unwrap().iter().map(|hex| bytes(hex.as_str().unwrap()));
    let sent = pre.filter(|payload| payload[1] == FLASH_DEFL_DATA);
    let stream: Vec<u8> = sent.flat_map(|payload| payload[BLOCK_HEAD_BYTES..].to_vec()).collect();
    miniz_oxide::inflate::decompress_to_vec_zlib(&stream).unwrap()
}

/// Addresses of page programs in a recorded bus trace: `02 01ffe0 +32B ->`.
fn programmed(case: &Value) -> Vec<u32> {
    let lines = case["spi"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let programs = lines.filter_map(|line| line.strip_prefix("02 "));
    programs.map(|rest| u32::from_str_radix(&rest[..6], 16).unwrap()).collect()
}

#[test]
fn the_real_rom_programs_a_window_behind_a_plain_compressed_image() {
    let recorded = programmed(&case("exact_32k_last_reply"));
    assert!(recorded.iter().any(|at| *at >= OFFSET + WINDOW_BYTES));
}

#[test]
fn ours_programs_the_image_and_nothing_behind_it() {
    let case = case("exact_32k_md5");
    let data = image(&case);
    assert_eq!(data.len(), WINDOW_BYTES as usize);
    let board = Arc::new(Mutex::new(factory_board("W25Q32JV").unwrap()));
    let mut session = Session::new(Box::new(VirtualPort::new("virtual", Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    session.attach_flash().unwrap();
    board.lock().unwrap().trace_mut().record_spi();
    // The image of the case does not compress: another of its length goes the compressed way.
    let flat = vec![0x42; data.len()];
    for data in [data.clone(), flat] {
        let image = Image { name: "image".into(), offset: OFFSET, data };
        let prepared = Prepared::new(&image, session.dialect(), true);
        session.write(&prepared, &mut |_| {}).unwrap();
        session.verify(&prepared).unwrap();
        let sent = board.lock().unwrap().trace_mut().take_spi();
        let programs = sent.iter().filter(|record| record.mosi[0] == 0x02);
        let address = |mosi: &[u8]| u32::from_be_bytes([0, mosi[1], mosi[2], mosi[3]]);
        let touched: Vec<u32> = programs.map(|record| address(&record.mosi)).collect();
        assert_eq!(touched.first(), Some(&OFFSET));
        assert!(touched.iter().all(|at| (OFFSET..OFFSET + WINDOW_BYTES).contains(at)));
    }
    // The digest that the real ROM gave for this image.
    let wire = bytes(case["recv"].as_str().unwrap());
    let frame = Decoder::new(0x1000).next_frame(&mut wire.as_slice()).unwrap().unwrap();
    let text = Digest::of(&data).to_string();
    assert_eq!(&frame[8..40], text.as_bytes());
}
