//! Stubs that esptool uploads, executed by the board: replies, bus traffic and status registers
//! as captured from the same stub code on the real mask ROM (fixtures/README.md).

use std::{fmt::Write as _, fs};

use esp32_emulator::time::Instant;
use serde::Deserialize;

use crate::{
    clients::{ESPTOOL_5, skip},
    transcripts::{
        case::{TestBoard, answers, slip},
        cases,
    },
};

/// esptool's form of a stub.
#[derive(Debug, Deserialize)]
pub(crate) struct StubImage {
    entry: u32,
    text: String,
    text_start: u32,
    #[serde(default)]
    data: String,
    #[serde(default)]
    data_start: u32,
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte);
    let digits: Vec<usize> = text.bytes().filter_map(digit).collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let word = group.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - group.len()));
        out.extend(&u32::try_from(word).unwrap().to_be_bytes()[1..group.len()]);
    }
    out
}

fn command(op: u8, checksum: u32, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len()).unwrap().to_le_bytes();
    let mut payload = vec![0, op, size[0], size[1]];
    payload.extend(checksum.to_le_bytes());
    payload.extend(body);
    payload
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn ask(board: &mut TestBoard, payload: &[u8]) -> Vec<u8> {
    let now: Instant = board.now();
    board.receive(now, &slip(payload));
    let answer = answers(board, usize::MAX);
    assert!(answer.len() >= 14, "no reply to {:02x?}", &payload[..8]);
    answer
}

fn load(board: &mut TestBoard, start: u32, data: &[u8]) {
    const BLOCK: usize = 0x1800;
    let len = u32::try_from(data.len()).unwrap();
    let blocks = u32::try_from(data.len().div_ceil(BLOCK)).unwrap();
    ask(board, &command(0x05, 0, &words(&[len, blocks, 0x1800, start])));
    for (seq, block) in (0..).zip(data.chunks(BLOCK)) {
        let mut body = words(&[u32::try_from(block.len()).unwrap(), seq, 0, 0]);
        body.extend(block);
        let checksum = block.iter().fold(0xEF, |sum, byte| sum ^ byte);
        ask(board, &command(0x07, checksum.into(), &body));
    }
}

/// Uploads and starts a stub; its greeting comes.
pub(crate) fn upload(board: &mut TestBoard, stub: &StubImage) {
    ask(board, &[&command(0x08, 0, &[7, 7, 0x12, 0x20])[..], &[0x55; 32]].concat());
    load(board, stub.text_start, &base64(&stub.text));
    let data = base64(&stub.data);
    if !data.is_empty() {
        load(board, stub.data_start, &data);
    }
    let answer = ask(board, &command(0x06, 0, &words(&[0, stub.entry])));
    assert!(answer.ends_with(b"\xC0OHAI\xC0"), "{}", String::from_utf8_lossy(&answer));
}

pub(crate) fn stub(generation: u8) -> Option<StubImage> {
    let (_, path) = ESPTOOL_5.stubs()?.into_iter().find(|(found, _)| *found == generation)?;
    Some(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

fn replay_topic(topic: &str, generation: u8) {
    let Some(stub) = stub(generation) else { return skip(topic, "no stub") };
    let mut report = String::new();
    let cases = cases(topic);
    assert_eq!(cases.len(), 100);
    for mut case in cases {
        case.spans_operations = true;
        for difference in case.replay_behind(|board| upload(board, &stub)) {
            let _ = writeln!(report, "{}: {difference:.500}", case.name);
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn stub_1_answers_as_captured() {
    replay_topic("stub_v1", 1);
}

#[test]
fn stub_2_answers_as_captured() {
    replay_topic("stub_v2", 2);
}
