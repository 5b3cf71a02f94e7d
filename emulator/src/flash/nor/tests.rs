use spi_nor::{catalog, part::RegisterName};

use super::*;
use crate::{flash::Denial, spi::CommandLines, time::Duration, trace::Event};

/// A part with a clock: every chip select a microsecond, busy times skipped on demand.
struct Bench {
    flash: NorFlash,
    now: Instant,
    trace: Trace,
}

impl Bench {
    fn new(name: &str) -> Self {
        Self::of(catalog::part(name).unwrap())
    }

    fn of(part: Part) -> Self {
        let state = FlashState::factory(&part);
        let flash = NorFlash::new(part, state).unwrap();
        Self { flash, now: Instant::ZERO, trace: Trace::default() }
    }

    fn spi(&mut self, mosi: &[u8], count: usize) -> Vec<u8> {
        let mut miso = vec![0x5A; count];
        let command_lines = CommandLines::One;
        let mut transaction = Transaction { mosi, miso: &mut miso, command_lines };
        self.flash.transfer(self.now, &mut transaction, &mut self.trace);
        self.now += Duration::from_micros(1);
        miso
    }

    fn wait(&mut self) {
        if let Some(until) = self.flash.busy_until() {
            self.now = self.now.max(until);
        }
    }

    /// WREN, the instruction, and its busy time.
    fn change(&mut self, mosi: &[u8]) {
        self.spi(&[0x06], 0);
        self.spi(mosi, 0);
        self.wait();
    }

    fn status(&mut self) -> [u8; 2] {
        [self.spi(&[0x05], 1)[0], self.spi(&[0x35], 1)[0]]
    }

    fn cell(&self, address: u32) -> u8 {
        let mut byte = [0];
        self.flash.read_cells(address, &mut byte);
        byte[0]
    }

    fn denials(&self) -> Vec<Denial> {
        let entries = self.trace.entries();
        entries
            .filter_map(|entry| match &entry.event {
                Event::Denied { why, .. } => Some(why.clone()),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn write_enable_latch_and_busy_bit_as_the_rom_sees_them() {
    let mut bench = Bench::new("W25Q32JV");
    assert_eq!(bench.spi(&[0x05], 3), [0, 0, 0]);
    bench.spi(&[0x06], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0x02]);
    bench.spi(&[0x01, 0x1C, 0x00], 0);
    assert_eq!(bench.spi(&[0x05], 1), [0x1F]);
    bench.wait();
    assert_eq!(bench.spi(&[0x05], 1), [0x1C]);
}

#[test]
fn q03_sixteen_bit_status_write_is_not_executed_and_keeps_the_latch() {
    let mut bench = Bench::new("GD25Q128E");
    bench.change(&[0x01, 0x1C]);
    bench.change(&[0x01, 0x00, 0x00]);
    assert_eq!(bench.status()[0], 0x1E);
    assert_eq!(bench.denials(), [Denial::DataLength { bytes: 2 }]);
}

#[test]
fn q05_one_byte_wrsr_clears_the_bits_that_the_part_names() {
    let mut part = catalog::part("W25Q128FV").unwrap();
    for form in part.status_write.iter_mut().filter(|form| form.to.len() == 1) {
        if form.opcode == 0x01 {
            form.clears = vec!["CMP".to_owned(), "QE".to_owned()];
        }
    }
    let mut bench = Bench::of(part);
    bench.change(&[0x01, 0x00, 0x42]);
    assert_eq!(bench.status(), [0x00, 0x42]);
    bench.trace = Trace::default();
    bench.change(&[0x01, 0x04]);
    assert_eq!(bench.status(), [0x04, 0x00]);
    // The trace tells of the register that was cleared by the way, and of no other.
    let told: Vec<_> = bench
        .trace
        .entries()
        .filter_map(|entry| match entry.event {
            Event::StatusWrite { register, old, new, volatile } => {
                Some((register, old, new, volatile))
            }
            _ => None,
        })
        .collect();
    let (sr1, sr2) = (RegisterName::Sr1, RegisterName::Sr2);
    assert_eq!(told, [(sr1, 0x00, 0x04, false), (sr2, 0x42, 0x00, false)]);
}

#[test]
fn q11_one_locked_block_stops_a_chip_erase_but_not_a_sector_erase() {
    let mut bench = Bench::new("W25Q128FV");
    bench.flash.load_image(0, &[0; 8192]);
    bench.change(&[0x01, 0x04]);
    assert!(!bench.flash.protected().is_empty());
    bench.change(&[0xC7]);
    assert_eq!(bench.denials(), [Denial::ChipErase]);
    assert_eq!(bench.cell(0), 0);
    bench.spi(&[0x04], 0);
    bench.change(&[0x20, 0x00, 0x0F, 0xFF]);
    assert_eq!((bench.cell(0), bench.cell(4095), bench.cell(4096)), (0xFF, 0xFF, 0));
}

#[test]
fn q14_wps_locks_everything_at_power_up_until_98h() {
    let mut bench = Bench::new("W25Q128FV");
    bench.change(&[0x11, 0x04]);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status()[0], 0);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0xFF);
    bench.change(&[0x98]);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0x12);
}

#[test]
fn q16_byte_program_parts_drop_the_bytes_after_the_first() {
    let mut bench = Bench::new("SST25VF032B");
    bench.spi(&[0x50], 0);
    bench.spi(&[0x01, 0x00], 0);
    bench.wait();
    bench.change(&[0x02, 0, 0, 0, 1, 2, 3]);
    assert_eq!([bench.cell(0), bench.cell(1)], [1, 0xFF]);
}

#[test]
fn q19_volatile_write_sets_no_latch_takes_no_time_and_ends_with_power() {
    let mut bench = Bench::new("W25Q128FV");
    bench.spi(&[0x50], 0);
    assert_eq!(bench.status()[0], 0);
    bench.spi(&[0x01, 0x1C], 0);
    assert_eq!(bench.status()[0], 0x1C);
    bench.flash.host_reset(bench.now);
    assert_eq!(bench.status()[0], 0x1C);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status()[0], 0);
}

#[test]
fn q21_power_lock_ends_with_a_power_cycle_only() {
    let mut bench = Bench::new("W25Q128FV");
    bench.change(&[0x01, 0x1C, 0x01]);
    bench.change(&[0x01, 0x00, 0x00]);
    assert_eq!(bench.denials(), [Denial::StatusPowerLock]);
    bench.spi(&[0x66], 0);
    bench.spi(&[0x99], 0);
    assert_eq!(bench.status(), [0x1C, 0x01]);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.status(), [0x1C, 0x00]);
    bench.change(&[0x01, 0x00, 0x00]);
    assert_eq!(bench.status(), [0x00, 0x00]);
}

#[test]
fn q25_below_write_inhibit_nothing_is_written_and_reads_work() {
    let mut bench = Bench::new("GD25Q128E");
    bench.flash.set_supply_mv(1_800);
    bench.change(&[0x02, 0, 0, 0, 0]);
    assert_eq!(bench.cell(0), 0xFF);
    assert_eq!(bench.denials(), [Denial::WriteInhibit { supply_mv: 1_800 }]);
    assert_eq!(bench.spi(&[0x9F], 3), [0xC8, 0x40, 0x18]);
}

#[test]
fn q35_software_reset_needs_its_two_halves_in_a_row() {
    let mut bench = Bench::new("W25Q128FV");
    bench.spi(&[0x06], 0);
    bench.spi(&[0x66], 0);
    bench.spi(&[0x05], 1);
    bench.spi(&[0x99], 0);
    assert!(bench.flash.write_enable_latch());
    bench.spi(&[0x66], 0);
    bench.spi(&[0x99], 0);
    assert!(!bench.flash.write_enable_latch());
}

#[test]
fn q36_program_is_and_and_wraps_inside_the_page() {
    let mut bench = Bench::new("W25Q32JV");
    bench.change(&[0x02, 0x00, 0x01, 0xFE, 1, 2, 3]);
    let cells = [0x1FE, 0x1FF, 0x100, 0x200].map(|address| bench.cell(address));
    assert_eq!(cells, [1, 2, 3, 0xFF]);
    bench.change(&[0x02, 0x00, 0x01, 0x00, 6]);
    assert_eq!(bench.cell(0x100), 2);
}

#[test]
fn q15_sst26_is_locked_at_power_up_until_98h() {
    let mut bench = Bench::new("SST26VF032B");
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0xFF);
    bench.change(&[0x98]);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0x12);
    assert!(bench.spi(&[0x72], 10).iter().all(|&byte| byte == 0));
}

#[test]
fn q17_enter_qpi_by_a_status_probe_deafens_single_line_commands() {
    let mut bench = Bench::new("IS25LP128");
    bench.spi(&[0x35], 1);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    bench.spi(&[0xF5], 0);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    bench.flash.host_reset(bench.now);
    assert_eq!(bench.spi(&[0x9F], 3), [0xFF; 3]);
    let (mosi, mut miso) = ([0xF5], []);
    let command_lines = CommandLines::Four;
    let mut transaction = Transaction { mosi: &mosi, miso: &mut miso, command_lines };
    bench.flash.transfer(bench.now, &mut transaction, &mut bench.trace);
    assert_eq!(bench.spi(&[0x9F], 1), [0x9D]);
    bench.spi(&[0x35], 1);
    bench.flash.power_cycle(bench.now);
    assert_eq!(bench.spi(&[0x9F], 1), [0x9D]);
}

#[test]
fn h1_a_part_override_makes_quad_enable_protect() {
    use spi_nor::part::{Protection, ProtectionRow};
    let mut part = catalog::part("XM25QH128C").unwrap();
    let Protection::BlockProtect { exceptions, .. } = &mut part.protection else { panic!() };
    let bits = [("QE".to_owned(), 1)].into();
    exceptions.insert(0, ProtectionRow { bits, start: 0, end: 0x0100_0000 });
    let mut bench = Bench::of(part);
    bench.change(&[0x01, 0x00, 0x02]);
    bench.change(&[0xC7]);
    assert_eq!(bench.denials(), [Denial::ChipErase]);
    bench.change(&[0x01, 0x00, 0x00]);
    assert!(bench.flash.protected().is_empty());
}

#[test]
fn h2_damaged_row_is_cured_only_by_a_changed_value() {
    let mut bench = Bench::new("XM25QH128C");
    bench.change(&[0x01, 0x00, 0x02]);
    let mut state = bench.flash.snapshot();
    state.damaged_row = Some(0..0x0100_0000);
    bench.flash.restore(state, bench.now).unwrap();
    bench.change(&[0x01, 0x00, 0x02]);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0xFF);
    bench.change(&[0x01, 0x00, 0x00]);
    bench.change(&[0x02, 0, 0, 0, 0x12]);
    assert_eq!(bench.cell(0), 0x12);
}

mod every_opcode;
mod every_status;
mod locks;
mod power_cut;
mod quirks;
mod quirks_power;
mod reference;
