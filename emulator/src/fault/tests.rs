use spi_nor::catalog;

use super::{
    board::FaultyBoard,
    counts::{FaultCounts, FaultKind},
    plan::{FaultPlan, PlanError},
    seat::{FaultSeat, FaultTarget, FaultyBus},
};
use crate::{
    board::{Board, BoardSetup, Mode},
    flash::{FlashState, NorFlash},
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
    transport::device::SerialDevice,
};

fn nor() -> NorFlash {
    let part = catalog::part("GD25Q32C").unwrap();
    let state = FlashState::factory(&part);
    NorFlash::new(part, state).unwrap()
}

fn plan(text: &str) -> FaultPlan {
    FaultPlan::parse("test", text).unwrap()
}

/// A part behind a plan, with a clock that skips busy times.
struct Bench {
    flash: FaultyBus<NorFlash>,
    now: Instant,
    trace: Trace,
}

impl Bench {
    fn new(text: &str) -> Self {
        let flash = FaultyBus::new(nor(), &plan(text)).unwrap();
        Self { flash, now: Instant::ZERO, trace: Trace::default() }
    }

    fn spi(&mut self, mosi: &[u8], count: usize) -> Vec<u8> {
        let mut miso = vec![0x5A; count];
        let command_lines = CommandLines::One;
        let mut transaction = Transaction { mosi, miso: &mut miso, command_lines };
        self.flash.transfer(self.now, &mut transaction, &mut self.trace);
        miso
    }

    /// WREN, a change, and polls until it is over.
    fn change(&mut self, mosi: &[u8]) {
        self.spi(&[0x06], 0);
        self.spi(mosi, 0);
        while let Some(until) = self.flash.busy_until().filter(|until| *until > self.now) {
            self.now = until;
            self.spi(&[0x05], 1);
        }
    }

    fn cells(&self, address: u32, count: usize) -> Vec<u8> {
        let mut cells = vec![0; count];
        self.flash.inner().read_cells(address, &mut cells);
        cells
    }

    fn counts(&mut self) -> FaultCounts {
        self.flash.injector().unwrap().counts()
    }

    fn count(&mut self, kind: FaultKind) -> u64 {
        assert_eq!(self.counts().total(), self.counts().of(kind), "only {kind}");
        self.counts().of(kind)
    }
}

#[test]
fn an_empty_plan_changes_and_counts_nothing() {
    let mut bench = Bench::new("");
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cells(0, 1), [0x12]);
    assert_eq!(bench.spi(&[0x9F], 3), [0xC8, 0x40, 0x16]);
    assert_eq!(bench.counts(), FaultCounts::default());
}

#[test]
fn a_stuck_miso_answers_its_level_in_its_window() {
    let mut bench = Bench::new(
        "[[bus]]\nfault = \"miso-stuck\"\nlevel = \"high\"\nat = { on = \"read-status\", skip = 1, count = 2 }",
    );
    let reads: Vec<u8> = (0..4).map(|_| bench.spi(&[0x05], 1)[0]).collect();
    assert_eq!(reads, [0, 0xFF, 0xFF, 0]);
    assert_eq!(bench.spi(&[0x9F], 3), [0xC8, 0x40, 0x16], "another class");
    assert_eq!(bench.count(FaultKind::MisoStuck), 2);
}

#[test]
fn a_stuck_mosi_changes_what_the_part_hears() {
    let mut bench = Bench::new(
        "[[bus]]\nfault = \"mosi-stuck\"\nlevel = \"low\"\nfrom-byte = 5\nat = { on = \"program\" }",
    );
    bench.change(&[0x02, 0, 0, 0, 0x12, 0x34]);
    assert_eq!(bench.cells(0, 2), [0x12, 0x00]);
    assert_eq!(bench.count(FaultKind::MosiStuck), 1);
}

#[test]
fn a_lost_chip_select_reads_the_pull_up_and_does_nothing() {
    let mut bench =
        Bench::new("[[bus]]\nfault = \"chip-select-lost\"\nat = { on = \"any\", count = 2 }");
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    bench.spi(&[0x06], 0);
    assert!(!bench.flash.inner().write_enable_latch());
    assert_eq!(bench.count(FaultKind::ChipSelectLost), 2);
}

#[test]
fn a_glitch_flips_bits_of_one_register() {
    let mut bench = Bench::new(
        "[[bus]]\nfault = \"register-glitch\"\nregister = \"sr2\"\nflip = 0x02\nat = { skip = 1, count = 1 }",
    );
    let reads: Vec<u8> = (0..3).map(|_| bench.spi(&[0x35], 1)[0]).collect();
    assert_eq!(reads[0] ^ reads[1], 0x02);
    assert_eq!(reads[0], reads[2]);
    assert_eq!(bench.count(FaultKind::RegisterGlitch), 1);
}

#[test]
fn a_lying_write_ends_as_if_it_had_been_done() {
    let mut bench =
        Bench::new("[[bus]]\nfault = \"lying-write\"\nat = { on = \"program\", count = 1 }");
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cells(0, 1), [0xFF]);
    assert_eq!(bench.spi(&[0x05], 1), [0], "the latch has fallen");
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cells(0, 1), [0x12]);
    assert_eq!(bench.count(FaultKind::LyingWrite), 1);
}

#[test]
fn a_stuck_bit_follows_neither_program_nor_erase() {
    for (level, programmed, erased) in [("high", 0x01, 0xFF), ("low", 0x00, 0xFE)] {
        let mut bench = Bench::new(&format!(
            "[[cells]]\nfault = \"stuck-bit\"\naddress = 0x1001\nbit = 0\nlevel = \"{level}\""
        ));
        bench.change(&[0x02, 0, 0x10, 0, 0, 0, 0]);
        assert_eq!(bench.cells(0x1000, 3), [0, programmed, 0]);
        bench.change(&[0x20, 0, 0x10, 0]);
        assert_eq!(bench.cells(0x1000, 3), [0xFF, erased, 0xFF]);
        assert_eq!(bench.count(FaultKind::StuckBit), 1);
    }
}

#[test]
fn a_weak_sector_leaves_one_bit_behind() {
    let mut bench =
        Bench::new("[[cells]]\nfault = \"weak-sector\"\naddress = 0x1800\npercent = 100");
    let ones = |cells: Vec<u8>| cells.iter().map(|cell| cell.count_ones()).sum::<u32>();
    bench.change(&[0x02, 0, 0x10, 0, 0, 0, 0]);
    assert_eq!(ones(bench.cells(0x1000, 3)), 1);
    bench.change(&[0x20, 0, 0x10, 0]);
    assert_eq!(ones(bench.cells(0x1000, 4096)), 8 * 4096 - 1);
    bench.change(&[0x02, 0, 0x20, 0, 0]);
    assert_eq!(bench.cells(0x2000, 1), [0], "another sector");
    assert_eq!(bench.count(FaultKind::WeakSector), 2);
}

#[test]
fn a_brown_out_denies_changes_while_it_lasts() {
    let mut bench = Bench::new(
        "[[supply]]\nfault = \"brown-out\"\nmv = 1500\nat = { on = \"program\", count = 1 }",
    );
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cells(0, 1), [0xFF]);
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cells(0, 1), [0]);
    assert_eq!(bench.count(FaultKind::BrownOut), 1);
}

#[test]
fn a_cut_in_an_erase_leaves_cells_between_and_the_part_deaf_until_power_is_back() {
    let text = "seed = 5\n[[supply]]\nfault = \"cut-in\"\noperation = \"erase\"\npercent = 50";
    let run = || {
        let mut bench = Bench::new(text);
        bench.flash.inner_mut().load_image(0x1000, &[0x33; 4096]);
        bench.change(&[0x20, 0, 0x10, 0]);
        bench
    };
    let mut bench = run();
    let cells = bench.cells(0x1000, 4096);
    assert!(cells != [0x33; 4096] && cells != [0xFF; 4096]);
    assert_eq!(cells, run().cells(0x1000, 4096), "the seed decides");
    assert_eq!(bench.count(FaultKind::PowerCutErase), 1);
    assert_eq!(bench.spi(&[0x9F], 3), [0; 3], "the chip is gone as well");
    bench.flash.injector().unwrap().end_outage();
    assert_eq!(bench.spi(&[0x9F], 3), [0xC8, 0x40, 0x16]);
}

#[test]
fn a_cut_of_the_flash_alone_forgets_the_latch() {
    let mut bench =
        Bench::new("[[supply]]\nfault = \"cut-after\"\ntransactions = 1\nscope = \"flash\"");
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cells(0, 1), [0xFF], "WREN came before the cut, the program after it");
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cells(0, 1), [0]);
    assert_eq!(bench.count(FaultKind::PowerCut), 1);
}

fn board(text: &str) -> FaultyBoard<FaultyBus<NorFlash>> {
    let plan = plan(text);
    let flash = FaultyBus::new(nor(), &plan).unwrap();
    FaultyBoard::new(Board::power_on(BoardSetup::default(), flash)).with_line(&plan)
}

/// Everything that the board says until `end`, looked at every `step`.
fn listen(board: &mut FaultyBoard<FaultyBus<NorFlash>>, step: u64, end: u64) -> String {
    let mut out = Vec::new();
    for ms in (0..end).step_by(usize::try_from(step).unwrap()) {
        board.transmit(Instant::ZERO + Duration::from_millis(ms), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn resets_come_at_their_time_with_their_cause_and_straps() {
    let mut board = board(
        "[[board]]\nfault = \"reset\"\nafter = { micros = 20_000 }\n\
         [[board]]\nfault = \"watchdog\"\nafter = { micros = 50_000 }\nstrap = 0x13",
    );
    let text = listen(&mut board, 1, 200);
    let causes: Vec<_> = text.matches("rst:0x").collect();
    assert_eq!(causes.len(), 3, "{text}");
    assert!(text.contains("rst:0x10 (RTCWDT_RTC_RESET),boot:0x13"), "{text}");
    assert_eq!(board.mode(), Mode::BootRetry);
    let counts = board.counts();
    assert_eq!((counts.of(FaultKind::Reset), counts.of(FaultKind::Watchdog)), (1, 1));
}

#[test]
fn how_often_the_host_looks_changes_nothing() {
    let text = "seed = 9\n[link.from-chip]\nflips-per-million = 20_000\ndrops-per-million = 20_000\n\
                wrong-rates-per-million = 5_000\nwrong-rate-max-us = 2_000\n\
                [[board]]\nfault = \"reset\"\nafter = { micros = 30_000 }";
    let (mut one, mut other) = (board(text), board(text));
    let heard = listen(&mut one, 1, 400);
    assert_eq!(heard, listen(&mut other, 133, 400));
    assert_eq!(one.counts(), other.counts());
    assert!(one.counts().of(FaultKind::LinkFlip) > 0);
}

#[test]
fn without_a_plan_the_board_is_itself() {
    let mut plain = Board::power_on(BoardSetup::default(), nor());
    let mut faulty = board("");
    let later = Instant::ZERO + Duration::from_millis(100);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    plain.transmit(later, &mut one);
    SerialDevice::transmit(&mut faulty, later, &mut other);
    assert_eq!(one, other);
    assert_eq!(faulty.counts(), FaultCounts::default());
}

#[test]
fn plans_are_checked_and_survive_their_text() {
    for (text, said) in [
        ("nonsense = 1", "unknown field"),
        ("[link.to-chip]\nflips-per-million = 2_000_000", "flips-per-million"),
        ("[[cells]]\nfault = \"stuck-bit\"\naddress = 0\nbit = 8\nlevel = \"low\"", "bit"),
        ("[[bus]]\nfault = \"no-such\"", "unknown variant"),
        ("[[board]]\nfault = \"reset\"\nafter = { micros = 1 }\nstrap = 64", "strap"),
    ] {
        let error = FaultPlan::parse("file", text).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let far = plan("[[cells]]\nfault = \"weak-sector\"\naddress = 0x400000\npercent = 1");
    assert!(matches!(FaultyBus::new(nor(), &far), Err(PlanError::Part { .. })));
    let full = plan(
        "title = \"t\"\nseed = 3\n[link.to-chip]\ndelays-per-million = 5\ndelay-max-us = 7\n\
         [[bus]]\nfault = \"register-glitch\"\nregister = \"sr2\"\nflip = 1\n\
         [[supply]]\nfault = \"cut-in\"\noperation = \"status-write\"\npercent = 1\n\
         [[board]]\nfault = \"watchdog\"\nafter = { transactions = 4 }",
    );
    assert_eq!(plan(&full.to_text()), full);
    assert_eq!(nor().nor().supply_mv(), 3150);
}
