//! Stubs that esptool uploads, executed by the board: replies, bus traffic and status registers
//! as captured from the same stub code on the real mask ROM (fixtures/README.md).

use std::{fs, path::Path};

use esp32_emulator::{
    board::{Board, BoardSetup},
    time::{Duration, Instant},
};
use serde::Deserialize;

use crate::{
    clients::{ESPTOOL_5, skip},
    instrument::{Instrument, Setup, bytes, hex},
};

/// One case of a transcript.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    strap: u8,
    flash: Setup,
    pre: Vec<String>,
    send: String,
    recv: String,
    pre_recv: Vec<String>,
    spi: Vec<String>,
    sr_after: [u8; 3],
}

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

/// A board with its own time.
pub(crate) struct Bench {
    pub(crate) board: Board<Instrument>,
    pub(crate) now: Instant,
}

pub(crate) fn slip(payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![0xC0];
    for &byte in payload {
        match byte {
            0xC0 => wire.extend([0xDB, 0xDC]),
            0xDB => wire.extend([0xDB, 0xDD]),
            byte => wire.push(byte),
        }
    }
    wire.push(0xC0);
    wire
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

impl Bench {
    fn start(flash: &Setup, strap: u8) -> Self {
        let setup = BoardSetup { strap, ..BoardSetup::default() };
        let board = Board::power_on(setup, Instrument::new(flash));
        let mut bench = Self { board, now: Instant::ZERO };
        bench.exchange(&[], Duration::from_millis(100));
        bench
    }

    /// Sends bytes and gives what comes back within `span`.
    pub(crate) fn exchange(&mut self, wire: &[u8], span: Duration) -> Vec<u8> {
        self.board.receive(self.now, wire);
        self.now = self.now.max(self.board.now()) + span;
        let mut out = Vec::new();
        self.board.transmit(self.now, &mut out);
        out
    }

    fn ask(&mut self, payload: &[u8]) -> Vec<u8> {
        // A block of 6 KiB takes half a second at 115200.
        let answer = self.exchange(&slip(payload), Duration::from_millis(1500));
        assert!(answer.len() >= 14, "no reply to {}", hex(&payload[..8]));
        answer
    }

    fn load(&mut self, start: u32, data: &[u8]) {
        const BLOCK: usize = 0x1800;
        let len = u32::try_from(data.len()).unwrap();
        let blocks = u32::try_from(data.len().div_ceil(BLOCK)).unwrap();
        self.ask(&command(0x05, 0, &words(&[len, blocks, 0x1800, start])));
        for (seq, block) in (0..).zip(data.chunks(BLOCK)) {
            let mut body = words(&[u32::try_from(block.len()).unwrap(), seq, 0, 0]);
            body.extend(block);
            let checksum = block.iter().fold(0xEF, |sum, byte| sum ^ byte);
            self.ask(&command(0x07, checksum.into(), &body));
        }
    }

    /// Uploads and starts a stub; its greeting comes.
    pub(crate) fn upload(&mut self, stub: &StubImage) {
        self.ask(&[&command(0x08, 0, &[7, 7, 0x12, 0x20])[..], &[0x55; 32]].concat());
        self.load(stub.text_start, &base64(&stub.text));
        let data = base64(&stub.data);
        if !data.is_empty() {
            self.load(stub.data_start, &data);
        }
        let answer = self.ask(&command(0x06, 0, &words(&[0, stub.entry])));
        assert!(answer.ends_with(b"\xC0OHAI\xC0"), "{}", String::from_utf8_lossy(&answer));
    }
}

pub(crate) fn stub(generation: u8) -> Option<StubImage> {
    let (_, path) = ESPTOOL_5.stubs()?.into_iter().find(|(found, _)| *found == generation)?;
    Some(serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
}

/// What differs between a case and the board; `None` if nothing.
fn replay(case: &Case, stub: &StubImage) -> Option<String> {
    let mut bench = Bench::start(&case.flash, case.strap);
    bench.upload(stub);
    for (payload, expected) in case.pre.iter().zip(&case.pre_recv) {
        let answer = bench.exchange(&slip(&bytes(payload)), Duration::from_millis(2500));
        if hex(&answer) != *expected {
            return Some(format!("pre_recv {} instead of {expected}", hex(&answer)));
        }
    }
    bench.board.flash_mut().take_log();
    let answer = bench.exchange(&bytes(&case.send), Duration::from_millis(6000));
    if hex(&answer) != case.recv {
        return Some(format!("recv {} instead of {}", hex(&answer), case.recv));
    }
    let normal = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = case.spi.iter().map(normal).collect();
    let log = bench.board.flash_mut().take_log();
    if log != expected {
        let at = log.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        let line = |log: &[String]| log.get(at).cloned().unwrap_or("(end)".into());
        return Some(format!("bus line {at}: {} instead of {}", line(&log), line(&expected)));
    }
    let registers = bench.board.flash().registers();
    (registers != case.sr_after).then(|| format!("registers {registers:02x?}"))
}

fn replay_topic(topic: &str, generation: u8) {
    let Some(stub) = stub(generation) else { return skip(topic, "no stub") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/transcripts/{topic}.jsonl"));
    let text = fs::read_to_string(path).unwrap();
    let mut differing = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        count += 1;
        differing.extend(replay(&case, &stub).map(|what| format!("{}: {what:.400}", case.name)));
    }
    assert_eq!(count, 100);
    assert!(differing.is_empty(), "{} cases differ:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn stub_1_answers_as_captured() {
    replay_topic("stub_v1", 1);
}

#[test]
fn stub_2_answers_as_captured() {
    replay_topic("stub_v2", 2);
}
