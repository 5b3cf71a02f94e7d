use spi_nor::catalog;

use super::*;
use esp32_emulator::{
    flash::{FlashState, NorFlash},
    spi::CommandLines,
};

/// A part behind faults, with a clock that skips busy times.
struct Bench {
    flash: FaultyFlash<NorFlash>,
    now: Instant,
    trace: Trace,
}

impl Bench {
    fn new(faults: FlashFaults) -> Self {
        let part = catalog::part("GD25Q32B").unwrap();
        let nor = NorFlash::new(part.clone(), FlashState::factory(&part)).unwrap();
        let mut trace = Trace::default();
        trace.record_spi();
        Self { flash: FaultyFlash::new(nor, &part, faults), now: Instant::ZERO, trace }
    }

    fn spi(&mut self, mosi: &[u8], count: usize) -> Vec<u8> {
        let mut miso = vec![0x5A; count];
        let command_lines = CommandLines::One;
        let mut transaction = Transaction { mosi, miso: &mut miso, command_lines };
        self.flash.transfer(self.now, &mut transaction, &mut self.trace);
        miso
    }

    fn change(&mut self, mosi: &[u8]) {
        self.spi(&[0x06], 0);
        self.spi(mosi, 0);
        self.now = self.flash.busy_until().unwrap_or(self.now);
    }

    fn cell(&self, address: u32) -> u8 {
        let mut byte = [0];
        self.flash.inner().read_cells(address, &mut byte);
        byte[0]
    }
}

#[test]
fn without_faults_nothing_is_counted_and_everything_passes() {
    let mut bench = Bench::new(FlashFaults::default());
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0x12);
    assert_eq!(bench.spi(&[0x9F], 3), [0xC8, 0x40, 0x16]);
    assert_eq!(bench.flash.counts(), FaultCounts::default());
}

#[test]
fn no_chip_answers_every_chip_select_with_the_level_of_the_line() {
    let mut bench = Bench::new(FlashFaults { no_chip: Some(0xFF), ..FlashFaults::default() });
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    assert_eq!(bench.spi(&[0x05], 1), [0xFF]);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0xFF);
    assert_eq!(bench.flash.counts(), FaultCounts { unanswered: 4, ..FaultCounts::default() });
}

#[test]
fn q01_only_the_chosen_reads_of_sr2_are_wrong() {
    let forced = ForcedAnswer { value: 0x42, first: 1, count: Some(2) };
    let mut bench = Bench::new(FlashFaults { sr2_forced: Some(forced), ..FlashFaults::default() });
    let answers: Vec<u8> = (0..4).map(|_| bench.spi(&[0x35], 1)[0]).collect();
    assert_eq!(answers, [0x00, 0x42, 0x42, 0x00]);
    assert_eq!(bench.spi(&[0x05], 1), [0]);
    assert_eq!(bench.flash.counts(), FaultCounts { sr2_forced: 2, ..FaultCounts::default() });
}

#[test]
fn swallowed_write_enables_leave_the_latch_at_0() {
    let faults = FlashFaults { no_write_enable: true, ..FlashFaults::default() };
    let mut bench = Bench::new(faults);
    bench.spi(&[0x06], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0]);
    bench.change(&[0x20, 0, 0, 0]);
    assert_eq!(bench.flash.counts(), FaultCounts { write_enables: 2, ..FaultCounts::default() });
}

#[test]
fn a_read_only_range_drops_what_touches_it_and_lets_the_latch_fall() {
    let faults = FlashFaults { read_only: Some(0x1000..0x2000), ..FlashFaults::default() };
    let mut bench = Bench::new(faults);
    bench.change(&[0x02, 0, 0x10, 0, 0x12]);
    assert_eq!((bench.cell(0x1000), bench.spi(&[0x05], 1)[0]), (0xFF, 0));
    bench.change(&[0xC7]);
    bench.change(&[0xD8, 0, 0, 0]);
    bench.change(&[0x02, 0, 0x20, 0, 0x12]);
    assert_eq!(bench.cell(0x2000), 0x12);
    assert_eq!(bench.flash.counts(), FaultCounts { dropped: 3, ..FaultCounts::default() });
    let denied = |entry: &esp32_emulator::trace::Entry| matches!(entry.event, Event::Denied { .. });
    assert_eq!(bench.trace.entries().filter(|entry| denied(entry)).count(), 3);
}

#[test]
fn stuck_bits_cannot_be_cleared_although_the_bus_shows_the_data() {
    let mut bench = Bench::new(FlashFaults { stuck_bits: 0x81, ..FlashFaults::default() });
    bench.change(&[0x02, 0, 0, 0, 0x00, 0x3C]);
    assert_eq!([bench.cell(0), bench.cell(1)], [0x81, 0xBD]);
    assert_eq!(bench.trace.take_spi()[1].mosi, [0x02, 0, 0, 0, 0x00, 0x3C]);
    assert_eq!(bench.flash.counts(), FaultCounts { stuck: 1, ..FaultCounts::default() });
}

#[test]
fn q22_status_data_stuck_high_locks_the_part_for_ever() {
    let faults = FlashFaults { status_data_stuck_high: true, ..FlashFaults::default() };
    let mut bench = Bench::new(faults);
    bench.change(&[0x01, 0x00, 0x00]);
    let [sr1, sr2] = [bench.spi(&[0x05], 1)[0], bench.spi(&[0x35], 1)[0]];
    // 0x7BFC of the thread: every bit but WIP, WEL, SUS and the reserved one.
    assert_eq!((sr1 & 0xFC, sr2 & 0x43), (0xFC, 0x43));
    bench.change(&[0x01, 0x00, 0x00]);
    assert_eq!(bench.spi(&[0x05], 1)[0] & 0xFC, 0xFC);
    let counts = FaultCounts { status_writes_high: 2, ..FaultCounts::default() };
    assert_eq!(bench.flash.counts(), counts);
    let refused = bench.trace.entries().next_back().unwrap();
    assert!(matches!(refused.event, Event::Denied { why: Denial::StatusOneTimeProgram, .. }));
}

#[test]
fn power_cycles_and_cuts_reach_the_part() {
    let mut bench = Bench::new(FlashFaults { stuck_bits: 0x01, ..FlashFaults::default() });
    bench.spi(&[0x06], 0);
    bench.flash.power_cycle(bench.now);
    assert!(!bench.flash.inner().write_enable_latch());
    bench.spi(&[0x06], 0);
    bench.spi(&[0x02, 0, 0, 0, 0, 0, 0, 0], 0);
    bench.flash.power_cut(bench.now, 1);
    assert_eq!(bench.flash.busy_until(), None);
    // Cut at its beginning, the program has cleared nothing.
    assert_eq!([bench.cell(0), bench.cell(1)], [0xFF; 2]);
}
