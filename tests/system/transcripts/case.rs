//! One case: the board it needs, its replay, and the comparison.

use esp32_emulator::{
    board::{Board, BoardSetup},
    flash::{FlashState, NorFlash},
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
};
use serde::Deserialize;
use spi_nor::part::{JedecId, Part, Protection, RegisterName};

use super::{
    faulty_flash::{FaultyFlash, FlashFaults, ForcedAnswer},
    spi_text,
};

/// Longest wait for an answer, in virtual time.
const QUIET: Duration = Duration::from_millis(60_000);

#[expect(clippy::struct_excessive_bools, reason = "keys of a transcript")]
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    strap: u8,
    #[serde(default)]
    boot: bool,
    flash: FlashSetup,
    pre: Vec<String>,
    #[serde(default)]
    pre_recv: Vec<String>,
    send: String,
    recv: String,
    spi: Vec<String>,
    sr_after: Option<[u8; 3]>,
    #[serde(default)]
    endless: bool,
    recv_min: Option<usize>,
    #[serde(default)]
    timing_sensitive: bool,
    /// Set by tests: the code that runs polls the flash itself.
    #[serde(skip)]
    pub(crate) spans_operations: bool,
}

#[derive(Debug, Deserialize)]
struct FlashSetup {
    size: u32,
    jedec: String,
    #[serde(default)]
    image: Vec<(u32, String)>,
    sr: Option<[u8; 3]>,
    protect: Option<[u32; 2]>,
    #[serde(default)]
    faults: Faults,
}

#[expect(clippy::struct_excessive_bools, reason = "keys of a transcript")]
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Faults {
    bp_mode: bool,
    no_wel: bool,
    miso_low: bool,
    miso_high: bool,
    sr2_forced: Option<u8>,
    srp_lock: bool,
    prog_or: u8,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

pub(crate) fn slip(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xC0];
    for &byte in payload {
        match byte {
            0xC0 => out.extend([0xDB, 0xDC]),
            0xDB => out.extend([0xDB, 0xDD]),
            plain => out.push(plain),
        }
    }
    out.push(0xC0);
    out
}

const STATUS: [RegisterName; 3] = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];

impl FlashSetup {
    fn build(&self) -> FaultyFlash<NorFlash> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/parts/transcript-nor.toml");
        let text = std::fs::read_to_string(path).expect("fixture is there");
        let mut part = Part::parse(&text, path).expect("a part");
        part.capacity_bytes = self.size;
        part.jedec_id = JedecId::try_from(self.jedec.clone()).expect("an id");
        if !self.faults.bp_mode {
            part.protection = Protection::None {};
        }
        part.status_lock.wp_enable_bit = None;
        if !self.faults.srp_lock {
            part.status_lock.power_lock_bit = None;
        }
        let mut state = FlashState::factory(&part);
        for (name, value) in STATUS.into_iter().zip(self.sr.unwrap_or_default()) {
            state.set_register(name, value);
        }
        for (offset, data) in &self.image {
            state.cells.load(*offset, &unhex(data));
        }
        let faults = FlashFaults {
            no_chip: (self.faults.miso_low || self.faults.miso_high)
                .then_some(if self.faults.miso_high { 0xFF } else { 0x00 }),
            sr2_forced: self.faults.sr2_forced.map(|value| ForcedAnswer {
                value,
                first: 0,
                count: None,
            }),
            no_write_enable: self.faults.no_wel,
            read_only: self.protect.map(|[start, end]| start..end),
            stuck_bits: self.faults.prog_or,
            ..FlashFaults::default()
        };
        let flash = NorFlash::new(part.clone(), state).expect("a flash");
        FaultyFlash::new(flash, &part, faults)
    }
}

pub(crate) type TestBoard = Board<FaultyFlash<NorFlash>>;

/// Everything that comes until nothing more is due, or until `enough` bytes are there.
pub(crate) fn answers(board: &mut TestBoard, enough: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let deadline = board.now() + QUIET;
    while let Some(due) = board.next_event()
        && due < deadline
        && out.len() < enough
    {
        board.transmit(due, &mut out);
    }
    out
}

/// The frames in any order.
fn sorted_frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames: Vec<_> = bytes.split(|&byte| byte == 0xC0).collect();
    frames.sort_unstable();
    frames
}

impl Case {
    /// Replays the case; gives what differs.
    pub(super) fn replay(&self) -> Vec<String> {
        if self.boot { self.replay_boot() } else { self.replay_behind(|_| ()) }
    }

    /// Replays the case on a board that `prepare` has brought into its state.
    pub(crate) fn replay_behind(&self, prepare: impl FnOnce(&mut TestBoard)) -> Vec<String> {
        let setup = BoardSetup { strap: self.strap, ..BoardSetup::default() };
        let mut board = Board::power_on(setup, self.flash.build());
        let mut differences = Vec::new();
        answers(&mut board, usize::MAX);
        prepare(&mut board);
        for (index, (payload, expected)) in self.pre.iter().zip(&self.pre_recv).enumerate() {
            let now: Instant = board.now();
            board.receive(now, &slip(&unhex(payload)));
            let got = answers(&mut board, usize::MAX);
            if got != unhex(expected) {
                differences.push(format!("pre {index}: got {got:02x?}, not {expected}"));
            }
        }
        board.trace_mut().record_spi();
        board.trace_mut().take_spi();
        let now = board.now();
        board.receive(now, &unhex(&self.send));
        let got = answers(&mut board, usize::MAX);
        self.compare_answer(&got, &mut differences);
        self.compare_spi(&mut board, &mut differences);
        if self.spans_operations {
            let later = board.now() + QUIET;
            board.advance(later);
            let (mosi, mut miso) = ([0x05], [0]);
            let mut poll =
                Transaction { mosi: &mosi, miso: &mut miso, command_lines: CommandLines::One };
            board.flash_mut().transfer(later, &mut poll, &mut Trace::default());
        }
        let flash = board.flash().inner();
        let status = STATUS.map(|name| flash.register(name));
        if self.sr_after.is_some_and(|expected| expected != status) {
            differences.push(format!("SR {status:02x?}, not {:02x?}", self.sr_after));
        }
        differences
    }

    fn replay_boot(&self) -> Vec<String> {
        // The test mode leaves the bus alone, so recording is on before the boot looked at.
        const STRAP_TEST_MODE: u8 = 0x0E;
        let setup = BoardSetup { strap: STRAP_TEST_MODE, ..BoardSetup::default() };
        let mut board = Board::power_on(setup, self.flash.build());
        board.trace_mut().record_spi();
        board.set_strap(self.strap);
        let mut differences = Vec::new();
        board.power_cycle(Instant::ZERO);
        let enough = if self.endless { unhex(&self.recv).len() } else { usize::MAX };
        let got = answers(&mut board, enough);
        self.compare_answer(&got, &mut differences);
        self.compare_spi(&mut board, &mut differences);
        differences
    }

    fn compare_answer(&self, got: &[u8], differences: &mut Vec<String>) {
        let expected = unhex(&self.recv);
        let same = if self.name.starts_with("read_rom_") {
            // The value is the vendor's code.
            got.len() == expected.len() && got[..5] == expected[..5] && got[9..] == expected[9..]
        } else if self.endless {
            let enough = self.recv_min.unwrap_or(expected.len()).min(expected.len());
            got.len() >= enough && expected.starts_with(&got[..got.len().min(expected.len())])
        } else if self.timing_sensitive {
            sorted_frames(got) == sorted_frames(&expected)
        } else {
            got == expected
        };
        if !same {
            let text = String::from_utf8_lossy(got);
            differences.push(format!("got {got:02x?} {text:?}, not {}", self.recv));
        }
    }

    fn compare_spi(&self, board: &mut TestBoard, differences: &mut Vec<String>) {
        let no_chip = self.flash.faults.miso_low || self.flash.faults.miso_high;
        let refusal = if self.flash.faults.no_wel { "no-WEL" } else { "PROTECTED" };
        let mut got = spi_text::lines(&board.trace_mut().take_spi(), no_chip, refusal);
        let mut expected = self.spi.clone();
        if self.spans_operations {
            // The instrument's flash is busy for one poll, this one for its time.
            for lines in [&mut got, &mut expected] {
                lines.retain(|line| {
                    !line.starts_with("05  -> 03") && !line.starts_with("05  -> 1f")
                });
            }
        }
        if self.is_hang() {
            // The count of the last poll means nothing.
            for lines in [&mut got, &mut expected] {
                if let Some(last) = lines.last_mut()
                    && let Some(at) = last.rfind(" x")
                {
                    last.truncate(at);
                }
            }
        }
        if got != expected {
            let at = got.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            differences.push(format!(
                "chip select {at}: got {:?}, not {:?}",
                got.get(at..got.len().min(at + 6)),
                expected.get(at..expected.len().min(at + 6))
            ));
        }
    }

    fn is_hang(&self) -> bool {
        let count = self.spi.last().and_then(|last| last.rsplit_once(" x"));
        self.recv.is_empty()
            && count.and_then(|(_, n)| n.parse::<u32>().ok()).is_some_and(|n| n > 1000)
    }
}
