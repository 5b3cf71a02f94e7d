//! Everything that can be put on the bus of every part of the catalogue: no panic, and no cell or
//! register changes unless the trace says so.

use spi_nor::part::{Protection, RegisterName};

use super::*;
use crate::flash::{nor::in_flight::Kind, registers::BitAt};

/// Room enough for every erase size, and quick to compare.
const SMALL_CAPACITY: u32 = 0x2_0000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Single,
    Qpi,
    Otp,
    PowerDown,
    ProgramSuspended,
    EraseSuspended,
    FourByte,
    Busy,
}

pub(super) const MODES: [Mode; 8] = [
    Mode::Single,
    Mode::Qpi,
    Mode::Otp,
    Mode::PowerDown,
    Mode::ProgramSuspended,
    Mode::EraseSuspended,
    Mode::FourByte,
    Mode::Busy,
];

impl Bench {
    /// Puts the part into a mode, whether it has an instruction for that or not.
    pub(super) fn enter(&mut self, mode: Mode, write_enable_latch: bool) {
        let operation = |kind| {
            let (left, until) = (Duration::ZERO, self.now + Duration::from_millis(1));
            Some(Operation { kind, range: 0..0x1000, until, left, whole: left })
        };
        match mode {
            Mode::Single => {}
            Mode::Qpi => self.flash.four_line_mode = true,
            Mode::Otp => self.flash.otp_mode = true,
            Mode::PowerDown => self.flash.powered_down = true,
            Mode::ProgramSuspended => self.flash.suspended = operation(Kind::Program),
            Mode::EraseSuspended => self.flash.suspended = operation(Kind::Erase),
            Mode::FourByte => self.flash.four_byte = true,
            Mode::Busy => self.flash.running = operation(Kind::Erase),
        }
        self.flash.wel = write_enable_latch;
        self.flash.show();
    }
}

/// Ranges of cells that the trace says were programmed or erased.
fn reported(trace: &Trace) -> Vec<(Range<u32>, bool)> {
    let entries = trace.entries();
    entries
        .filter_map(|entry| match &entry.event {
            Event::Programmed { range } => Some((range.clone(), true)),
            Event::Erased { range, .. } => Some((range.clone(), false)),
            _ => None,
        })
        .collect()
}

/// Checks every cell that differs between two states against what the trace reports.
pub(super) fn assert_only_reported(old: &FlashState, new: &FlashState, trace: &Trace) {
    let reported = reported(trace);
    for number in 0..old.cells.capacity_bytes() / 4096 {
        let (old, new) = (old.cells.sector(number).unwrap(), new.cells.sector(number).unwrap());
        if std::ptr::eq(old, new) {
            continue;
        }
        for (address, (&old, &new)) in (number * 4096..).zip(old.iter().zip(new)) {
            let allowed = |(range, program): &(Range<u32>, bool)| {
                range.contains(&address) && if *program { new & !old == 0 } else { new == 0xFF }
            };
            assert!(old == new || reported.iter().any(allowed), "{address:x}: {old:x} {new:x}");
        }
    }
    let wrote = |entry: &crate::trace::Entry| matches!(entry.event, Event::StatusWrite { .. });
    assert!(old.nv == new.nv || trace.entries().any(wrote), "{:x?} {:x?}", old.nv, new.nv);
}

#[test]
fn every_opcode_in_every_mode_on_every_part_changes_only_what_the_trace_says() {
    let mut changes = 0_u64;
    for mut part in catalog::parse_all().unwrap() {
        part.capacity_bytes = SMALL_CAPACITY;
        let mut bench = Bench::of(part);
        bench.flash.load_image(0, &vec![0xA5; SMALL_CAPACITY as usize]);
        let pristine = bench.flash.clone();
        let lines = [CommandLines::One, CommandLines::Four];
        for mode in MODES {
            for (latch, bytes) in [false, true]
                .into_iter()
                .flat_map(|latch| [1, 3, 4, 5, 6, 270].into_iter().map(move |bytes| (latch, bytes)))
            {
                for opcode in 0..=u8::MAX {
                    bench.flash.state = pristine.state.clone();
                    bench.flash.live = pristine.live;
                    bench.flash.soft_reset();
                    bench.flash.powered_down = false;
                    bench.enter(mode, latch);
                    bench.trace = Trace::default();
                    let mut mosi = vec![0x5A; bytes];
                    mosi[0] = opcode;
                    let mut miso = [0; 4];
                    let command_lines = lines[usize::from(mode == Mode::Qpi)];
                    let mut transaction =
                        Transaction { mosi: &mosi, miso: &mut miso, command_lines };
                    bench.flash.transfer(bench.now, &mut transaction, &mut bench.trace);
                    changes += u64::from(bench.flash.state != pristine.state);
                    assert_only_reported(&pristine.state, &bench.flash.state, &bench.trace);
                    if !latch {
                        assert_eq!(bench.flash.state, pristine.state, "{opcode:02x} {mode:?}");
                    }
                }
            }
        }
    }
    assert!(changes > 3_000, "the sweep must reach changes: {changes}");
}

/// Addresses on both sides of every edge that a range can have.
fn grid(capacity: u32) -> Vec<u32> {
    let edges = (12..=capacity.ilog2()).flat_map(|power| {
        let size = 1 << power;
        [size, capacity - size]
    });
    let mut grid: Vec<u32> =
        edges.flat_map(|edge| [edge.wrapping_sub(1), edge]).filter(|&at| at < capacity).collect();
    grid.push(capacity - 1);
    grid.sort_unstable();
    grid.dedup();
    grid
}

#[test]
fn every_protection_value_of_every_part_decides_every_edge_as_its_range_says() {
    for part in catalog::parse_all().unwrap() {
        if matches!(part.protection, Protection::BlockProtectionRegister { .. }) {
            continue;
        }
        let mut bench = Bench::of(part);
        let part = bench.flash.part().clone();
        let names = part.protection.bit_names();
        let mut bits: Vec<BitAt> =
            names.iter().map(|name| bench.flash.map.find(name).unwrap()).collect();
        bits.extend(bench.flash.derived.bits.lock_select);
        let grid = grid(part.capacity_bytes);
        let registers: Vec<RegisterName> = part.registers.keys().copied().collect();
        for combination in 0..1_u32 << bits.len() {
            let mut live = bench.flash.map.factory;
            for (number, bit) in bits.iter().enumerate() {
                live[bit.register] &= !bit.mask;
                if combination >> number & 1 != 0 {
                    live[bit.register] |= bit.mask;
                }
            }
            for &name in &registers {
                bench.flash.set_volatile(name, live[index(name)]);
            }
            bench.check_grid(&grid);
        }
    }
}

impl Bench {
    /// Programs one byte at each address and compares with the range and the locks.
    fn check_grid(&mut self, grid: &[u32]) {
        let protected = self.flash.protected();
        for &address in grid {
            let locked = self.flash.individually_locked(address);
            let free = !locked.unwrap_or_else(|| protected.contains(&address));
            let [_, high, middle, low] = address.to_be_bytes();
            self.trace = Trace::default();
            self.flash.four_byte = address > 0x00FF_FFFF;
            let mosi = [0x02, address.to_be_bytes()[0], high, middle, low, 0];
            let mosi =
                if self.flash.four_byte { mosi.to_vec() } else { [&[0x02], &mosi[2..]].concat() };
            self.change(&mosi);
            let name = &self.flash.part.name;
            assert_eq!(self.cell(address) == 0, free, "{name} {address:x} {protected:x?}");
            assert_eq!(self.denials().is_empty(), free, "{name} {address:x}");
            self.flash.load_image(address, &[0xFF]);
            self.flash.wel = false;
        }
    }
}
