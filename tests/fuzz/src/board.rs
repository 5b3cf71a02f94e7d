//! The board and the flash.

use std::sync::OnceLock;

use esp_protocol::{command::Request, slip};
use esp32_emulator::{
    board::{Board, BoardSetup},
    case::{BoardFlash, LoadedBoard},
    control::Control,
    fault::board::ServedBoard,
    flash::{FlashState, NorFlash, SECTOR_BYTES},
    gdb::Session,
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
};
use spi_nor::{catalog, part::Part};

/// Between two requests: what an uploaded program may run for.
const STEP: Duration = Duration::from_micros(200);
/// Requests of one run.
const REQUESTS_MAX: usize = 64;
/// Virtual time of one run. `SPI_SET_PARAMS` can make one erase command an hour's work.
const BOARD_TIME_MAX: Duration = Duration::from_millis(600_000);

fn flash() -> BoardFlash {
    static FLASH: OnceLock<BoardFlash> = OnceLock::new();
    FLASH
        .get_or_init(|| LoadedBoard::with_part(catalog::names().next().unwrap()).flash().unwrap())
        .clone()
}

fn board() -> Board<BoardFlash> {
    Board::power_on(BoardSetup::default(), flash())
}

fn say(board: &mut Board<BoardFlash>, now: &mut Instant, wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    board.receive(*now, wire);
    *now = board.sent_at().max(*now) + STEP;
    board.transmit(*now, &mut out);
    out
}

/// Any frames, and bytes between them, in download mode; the last byte of the input says where one
/// more cut is made, which changes nothing.
pub(crate) fn rom(data: &[u8]) {
    let mut one = board();
    let mut other = board();
    let (mut now, mut same) = (Instant::ZERO + Duration::from_millis(100), Vec::new());
    let mut sync = Vec::new();
    slip::encode(&Request::Sync.emit(), &mut sync);
    say(&mut one, &mut now.clone(), &sync);
    say(&mut other, &mut now, &sync);
    let cut = usize::from(data.last().copied().unwrap_or(0));
    for record in crate::records(data).take(REQUESTS_MAX) {
        if now > Instant::ZERO + BOARD_TIME_MAX {
            break;
        }
        let mut wire = Vec::new();
        match record.split_first() {
            Some((0xFF, raw)) => wire.extend_from_slice(raw),
            _ => slip::encode(record, &mut wire),
        }
        let mut later = now;
        let answer = say(&mut one, &mut now, &wire);
        let (front, back) = wire.split_at(cut.min(wire.len()));
        other.receive(later, front);
        same.clear();
        same.extend(say(&mut other, &mut later, back));
        assert_eq!(answer, same, "cut at {cut}");
        assert_eq!(one.mode(), other.mode());
    }
    assert!(one.trace().entries().eq(other.trace().entries()));
    assert!(one.flash().nor().state() == other.flash().nor().state());
}

/// Chip selects of any kind on any part: what is protected stays, and the part gets ready.
pub(crate) fn spi(data: &[u8]) {
    static PARTS: OnceLock<Vec<NorFlash>> = OnceLock::new();
    let parts = PARTS.get_or_init(|| {
        let all = catalog::names().filter_map(catalog::part);
        all.map(loaded).collect()
    });
    let Some((&which, data)) = data.split_first() else { return };
    let mut flash = parts[usize::from(which) % parts.len()].clone();
    let (mut now, mut trace) = (Instant::ZERO, Trace::default());
    for record in crate::records(data) {
        let Some((&control, mosi)) = record.split_first() else { continue };
        let before = (control & 0x40 == 0).then(|| guarded(&flash)).flatten();
        let mut miso = vec![0; usize::from(control & 0x1F)];
        let command_lines =
            if control & 0x20 == 0 { CommandLines::One } else { CommandLines::Four };
        let mut transaction = Transaction { mosi, miso: &mut miso, command_lines };
        flash.transfer(now, &mut transaction, &mut trace);
        if let Some((protected, sectors)) = before {
            for (number, cells) in sectors {
                let still = flash.state().cells.sector(number).unwrap();
                assert!(*still == cells, "sector {number} of {protected:x?} by {mosi:02x?}");
            }
        }
        if control & 0x80 != 0 {
            now = flash.busy_until().unwrap_or(now).max(now);
        }
        now += Duration::from_nanos(400);
    }
}

/// Old content in the first and the last sector of each block that a rule may begin or end at.
fn loaded(part: Part) -> NorFlash {
    let mut state = FlashState::factory(&part);
    let sectors = part.capacity_bytes / 4096;
    for number in [0, 1, 15, sectors / 2, sectors - 1] {
        state.cells.load(number * 4096, &[0x5A; SECTOR_BYTES]);
    }
    NorFlash::new(part, state).unwrap()
}

type Guarded = (std::ops::Range<u32>, Vec<(u32, [u8; SECTOR_BYTES])>);

/// Used sectors that the register bits protect; `None` where individual locks count.
fn guarded(flash: &NorFlash) -> Option<Guarded> {
    let protected = flash.protected();
    if protected.is_empty() || flash.individually_locked(0).is_some() {
        return None;
    }
    let cells = &flash.state().cells;
    let inside = |number: &u32| {
        let start = number * 4096;
        protected.start <= start && start + 4096 <= protected.end
    };
    let kept = cells.used_sectors().filter(inside).take(4);
    let kept = kept.map(|number| (number, *cells.sector(number).unwrap())).collect();
    Some((protected, kept))
}

/// Lines for the control socket.
pub(crate) fn control(data: &[u8]) {
    let mut board = ServedBoard::new(board());
    let mut control = Control::default();
    for line in data.split(|byte| *byte == b'\n').take(REQUESTS_MAX) {
        let now = board.now();
        let answer = control.answer(&mut board, now, &String::from_utf8_lossy(line));
        assert!(!answer.contains('\n'));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let ok = answer["ok"].as_bool().unwrap();
        assert_eq!(ok, answer["error"].is_null());
    }
}

/// Packets of a debugger on a program that runs.
pub(crate) fn gdb(data: &[u8]) {
    // j . (the program waits in one place)
    const LOOP: [u8; 3] = [0x06, 0xFF, 0xFF];
    const ENTRY: u32 = 0x4008_0000;
    let mut board = board();
    let now = board.now() + Duration::from_millis(1);
    board.run_program(now, [(ENTRY, LOOP.as_slice())], ENTRY).unwrap();
    let mut session = Session::start(&mut board);
    let mut out = Vec::new();
    for (step, chunk) in (1..).zip(data.chunks(64)).take(REQUESTS_MAX) {
        session.receive(chunk, &mut board, &mut out);
        board.advance(now + Duration::from_micros(20 * step));
        session.poll(&board, &mut out);
        assert!(out.len() <= 64 * 0x1_0000, "an answer to each byte at most");
        out.clear();
    }
    session.end(&mut board);
}
