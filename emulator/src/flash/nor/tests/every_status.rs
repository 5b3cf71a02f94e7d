//! Every opcode in every mode under every value of the status bits that decide anything, at the
//! edges of what they protect: a cell changes if and only if the one rule permits it.

use spi_nor::{Meaning, part::BitKind};

use super::{
    every_opcode::{MODES, Mode, assert_only_reported},
    *,
};
use crate::flash::{permit::Request, registers::BitAt};

/// What is in the cells that the sweep looks at: every program and every erase changes it.
const CONTENT: u8 = 0xA5;
/// What programs send.
const DATA: u8 = 0x0F;

/// Those of the named bits that a register write can change.
fn writable<'a>(flash: &NorFlash, names: impl Iterator<Item = &'a str>) -> Vec<BitAt> {
    let part = flash.part();
    let is_writable = |name: &str| {
        let kind = part.bits().find(|(_, bit)| bit.name == name).map(|(_, bit)| bit.kind);
        !matches!(kind, Some(BitKind::Reserved | BitKind::Status) | None)
    };
    let mut names: Vec<_> = names.filter(|name| is_writable(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(|name| flash.map.find(name)).collect()
}

/// Bits that decide whether a cell may change: those of the range, the choice of the locks.
fn range_bits(flash: &NorFlash) -> Vec<BitAt> {
    let part = flash.part();
    let select = part.individual_locks.iter().filter_map(|locks| locks.select_bit.as_deref());
    writable(flash, part.protection.bit_names().into_iter().chain(select))
}

/// Bits that lock the registers.
fn lock_bits(flash: &NorFlash) -> Vec<BitAt> {
    let lock = &flash.part().status_lock;
    let names = [lock.wp_enable_bit.as_deref(), lock.power_lock_bit.as_deref()];
    writable(flash, names.into_iter().flatten())
}

/// The ends of the array and both sides of both ends of the protected range.
fn grid(flash: &NorFlash) -> Vec<u32> {
    let capacity = flash.part().capacity_bytes;
    let range = flash.protected();
    let mut grid = vec![0, capacity / 2, capacity - 1];
    for edge in [range.start, range.end] {
        grid.extend([edge.checked_sub(1), Some(edge)].into_iter().flatten());
    }
    grid.retain(|at| *at < capacity);
    grid.sort_unstable();
    grid.dedup();
    grid
}

/// What the instruction asks of the rule, if it changes cells.
fn request(flash: &NorFlash, meaning: Meaning, address: u32) -> Option<Request> {
    let part = flash.part();
    match meaning {
        Meaning::PageProgram | Meaning::QuadPageProgram => {
            Some(Request::Program(address..address + 1))
        }
        Meaning::Erase(number) => {
            let bytes = part.erase[number].bytes;
            let start = address & !(bytes - 1);
            Some(Request::Erase(start..start + bytes))
        }
        Meaning::ChipErase => Some(Request::ChipErase(0..part.capacity_bytes)),
        _ => None,
    }
}

/// Bytes of the instruction as a host sends it.
fn instruction(flash: &NorFlash, opcode: u8, meaning: Meaning, address: u32) -> Vec<u8> {
    let bytes = address.to_be_bytes();
    let address = if flash.four_byte { &bytes[..] } else { &bytes[1..] };
    match meaning {
        Meaning::ChipErase | Meaning::Ignored => vec![opcode],
        Meaning::WriteRegister => {
            let form = flash.part().status_write.iter().find(|form| form.opcode == opcode);
            [opcode]
                .into_iter()
                .chain(form.into_iter().flat_map(|it| &it.to).map(|_| DATA))
                .collect()
        }
        Meaning::PageProgram | Meaning::QuadPageProgram => [&[opcode], address, &[DATA]].concat(),
        _ => [&[opcode], address].concat(),
    }
}

/// One part with what it is put back to between two instructions.
struct Sweep {
    bench: Bench,
    pristine: FlashState,
    /// Sectors that hold something.
    used: Vec<u32>,
    /// Registers of the combination, and what follows from them.
    live: Bytes,
    derived: Derived,
    /// Instructions that changed a cell, and that were refused for a protection.
    changed: u64,
    refused: u64,
}

impl Sweep {
    fn new(part: Part) -> Self {
        let mut bench = Bench::of(part);
        let capacity = bench.flash.part().capacity_bytes;
        // Only the sectors at edges hold anything: an erase of a blank array changes nothing.
        for power in 12..=capacity.ilog2() {
            for edge in [1_u32 << power, capacity - (1 << power)] {
                for sector in [edge.wrapping_sub(4096), edge] {
                    if sector < capacity {
                        bench.flash.load_image(sector, &[CONTENT; 4096]);
                    }
                }
            }
        }
        bench.flash.load_image(0, &[CONTENT; 4096]);
        let pristine = bench.flash.state.clone();
        let used = pristine.cells.used_sectors().collect();
        let (live, derived) = (bench.flash.live, bench.flash.derived.clone());
        Self { bench, pristine, used, live, derived, changed: 0, refused: 0 }
    }

    /// Sets bits by the number of their combination, all others as shipped.
    fn set(&mut self, bits: &[BitAt], combination: u32) {
        let mut live = self.bench.flash.map.factory;
        for (number, bit) in bits.iter().enumerate() {
            live[bit.register] &= !bit.mask;
            if combination >> number & 1 != 0 {
                live[bit.register] |= bit.mask;
            }
        }
        self.bench.flash.live = live;
        self.bench.flash.end_everything();
        self.bench.flash.derive();
        self.live = live;
        self.derived = self.bench.flash.derived.clone();
    }

    fn cells_changed(&self, sector: u32) -> bool {
        let (old, new) = (&self.pristine.cells, &self.bench.flash.state.cells);
        let differs = |number: u32| match (old.sector(number), new.sector(number)) {
            (Some(old), Some(new)) => !std::ptr::eq(old, new) && old != new,
            _ => false,
        };
        self.used.iter().copied().chain([sector]).any(differs)
    }

    /// Whether all that the request would erase is blank already.
    fn is_blank(&self, request: Option<&Request>) -> bool {
        let Some(Request::Erase(range) | Request::ChipErase(range)) = request else {
            return false;
        };
        !self.used.iter().any(|number| range.contains(&(number * 4096)))
    }

    /// One instruction in one mode; the part is as before afterwards.
    fn step(&mut self, mode: Mode, opcode: u8, address: u32) {
        self.bench.enter(mode, true);
        let flash = &mut self.bench.flash;
        // Three address bytes reach 16 MiB.
        let address = if flash.four_byte { address } else { address & 0x00FF_FFFF };
        let meaning = flash.table.meaning(opcode);
        let lines = if mode == Mode::Qpi { CommandLines::Four } else { CommandLines::One };
        let mosi = instruction(flash, opcode, meaning, address);
        let wants = request(flash, meaning, address).filter(|_| mode != Mode::Otp);
        let permitted = wants.as_ref().map(|request| flash.permitted(lines, request).is_ok());
        let mut miso = [0; 2];
        let mut transaction = Transaction { mosi: &mosi, miso: &mut miso, command_lines: lines };
        flash.transfer(self.bench.now, &mut transaction, &mut self.bench.trace);
        let at = || format!("{} {opcode:02x} {address:x} {mode:?}", self.bench.flash.part.name);
        let changed = self.cells_changed(address / 4096);
        if changed {
            assert_eq!(permitted, Some(true), "{}", at());
            assert_only_reported(&self.pristine, &self.bench.flash.state, &self.bench.trace);
            self.changed += 1;
        } else {
            assert!(permitted != Some(true) || self.is_blank(wants.as_ref()), "{}", at());
            self.refused += u64::from(permitted == Some(false));
        }
        let (state, old) = (&mut self.bench.flash.state, &self.pristine);
        if changed || state.nv != old.nv || state.otp_lock != old.otp_lock {
            state.clone_from(old);
        }
        state.locked_for_ever.clear();
        self.bench.flash.live = self.live;
        self.bench.flash.derived.clone_from(&self.derived);
        self.bench.flash.end_everything();
        self.bench.trace = Trace::default();
    }
}

impl NorFlash {
    /// Ends what an instruction of the sweep began; the registers stay.
    fn end_everything(&mut self) {
        self.running = None;
        self.suspended = None;
        self.before.clear(&mut self.spare);
        self.suspended_before.clear(&mut self.spare);
        self.armed = Armed::No;
        self.powered_down = false;
        self.ultra_power_down = UltraPowerDown::No;
        self.four_line_mode = false;
        self.otp_mode = false;
        self.four_byte = false;
        self.reset_enabled = false;
        self.locks_frozen = false;
        let locked = self.part.individual_locks.as_ref().is_some_and(|it| it.locked_at_power_up);
        if let Some(locks) = &mut self.locks {
            locks.load_for_ever(&[]);
            locks.set_all(locked);
        }
    }
}

/// The grid is that of cells: instructions that change them run in every mode at every address,
/// all others in one mode after the other (`every_opcode` runs them in all).
#[test]
fn every_opcode_under_every_status_at_every_edge_changes_cells_only_as_the_rule_permits() {
    let (mut changed, mut refused, mut combinations) = (0, 0, 0);
    for part in catalog::parse_all().unwrap() {
        let mut sweep = Sweep::new(part);
        let bits = range_bits(&sweep.bench.flash);
        for combination in 0..1_u32 << bits.len() {
            combinations += 1;
            sweep.set(&bits, combination);
            let grid = grid(&sweep.bench.flash);
            let turn = MODES[combination as usize % MODES.len()];
            for opcode in 0..=u8::MAX {
                let meaning = sweep.bench.flash.table.meaning(opcode);
                let by_address = request(&sweep.bench.flash, meaning, 0).is_some();
                let modes = if by_address { &MODES[..] } else { std::slice::from_ref(&turn) };
                let places = if by_address { &grid[..] } else { &grid[..1] };
                for &mode in modes {
                    for &address in places {
                        sweep.step(mode, opcode, address);
                    }
                }
            }
            // Also where nothing is protected: not every mode lets an instruction through.
            assert!(sweep.refused > 0, "{} refuses nothing", sweep.bench.flash.part.name);
        }
        changed += sweep.changed;
        refused += sweep.refused;
    }
    println!("{combinations} status values, {changed} changes, {refused} refusals");
    assert!(combinations > 3_000 && changed > 50_000 && refused > 50_000);
}

#[test]
fn every_opcode_under_every_lock_of_the_registers_leaves_them_alone_where_they_are_locked() {
    for part in catalog::parse_all().unwrap() {
        let mut sweep = Sweep::new(part);
        let bits = lock_bits(&sweep.bench.flash);
        for combination in 0..1_u32 << bits.len() {
            sweep.set(&bits, combination);
            for opcode in 0..=u8::MAX {
                for mode in MODES {
                    sweep.step(mode, opcode, 0);
                }
            }
            // A register write in every form that the part takes.
            let flash = &mut sweep.bench.flash;
            let form = flash.part().status_write.first().map(|form| (form.opcode, form.to.len()));
            let Some((opcode, bytes)) = form else { continue };
            let mosi: Vec<u8> = [opcode].into_iter().chain((0..bytes).map(|_| DATA)).collect();
            let request = Request::StatusWrite { bytes, accepted: true };
            flash.wel = true;
            let permitted = flash.permitted(CommandLines::One, &request).is_ok();
            sweep.bench.spi(&mosi, 0);
            let wrote =
                |entry: &crate::trace::Entry| matches!(entry.event, Event::StatusWrite { .. });
            let written = sweep.bench.trace.entries().any(wrote);
            assert_eq!(written, permitted, "{} {combination:b}", sweep.bench.flash.part.name);
        }
    }
}
