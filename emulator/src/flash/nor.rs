//! The part on the bus: modes, latches, and which instruction does what.

mod answers;
mod changes;
mod derived;
mod in_flight;
mod instructions;
mod lock_writes;
mod power;
mod register_writes;
mod runs;

use std::{ops::Range, sync::Arc};

use spi_nor::{
    InstructionTable,
    part::{Part, RegisterName},
};

use self::{
    derived::Derived,
    in_flight::{Before, Operation},
    register_writes::Form,
};
use super::{
    Dirty, FlashState,
    cells::Sector,
    dirty::DirtyLog,
    locks::Locks,
    permit::Request,
    registers::{Bytes, RegisterMap, index},
};
use crate::{
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::Trace,
};

pub use in_flight::Interrupted;
pub(crate) use runs::ProgramRun;

/// A part that cannot be modelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The page is not a power of two between 1 and 4096 bytes.
    #[error("page of {bytes} bytes is not a power of two up to 4096")]
    Page {
        /// Page size in the part's data.
        bytes: u32,
    },
    /// The array is not a power of two of at least one 64 KiB block.
    #[error("capacity of {bytes} bytes is not a power of two of at least 65536")]
    Capacity {
        /// Capacity in the part's data.
        bytes: u32,
    },
    /// An erase size is not a power of two.
    #[error("erase {opcode:02x}h of {bytes} bytes is not a power of two")]
    Erase {
        /// Opcode of the erase.
        opcode: u8,
        /// Size in the part's data.
        bytes: u32,
    },
    /// The state belongs to a part of another size.
    #[error("the state holds {state_bytes} bytes, the part {part_bytes}")]
    State {
        /// Size of the state's array.
        state_bytes: u32,
        /// Size of the part's array.
        part_bytes: u32,
    },
}

/// Levels of the two inputs that QE turns into data lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pins {
    /// WP# is high.
    pub wp_high: bool,
    /// HOLD# is high.
    pub hold_high: bool,
}

/// Which instruction armed the next register write besides WREN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
    No,
    /// 50h: the write changes the volatile copy only.
    Volatile,
    /// EWSR of the SST25 family.
    Status,
}

/// The ultra-deep power-down on top of the ordinary one (QUIRKS Q33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UltraPowerDown {
    No,
    /// Nothing but `FFh` is heard.
    Asleep,
    /// `FFh` came; the release is heard from then on.
    WakesAt(Instant),
}

/// A SPI NOR flash part.
#[expect(clippy::struct_excessive_bools, reason = "each is one latch, mode or input of the part")]
#[derive(Debug, Clone)]
pub struct NorFlash {
    /// What never changes is shared by the copies of a part.
    part: Arc<Part>,
    table: Arc<InstructionTable>,
    map: Arc<RegisterMap>,
    forms: Arc<[Form]>,
    program_flags: Bytes,
    erase_flags: Bytes,
    /// Busy time of a program by its number of bytes.
    program_times: Arc<[Duration]>,
    state: FlashState,
    /// Values in force: volatile copies over non-volatile ones.
    live: Bytes,
    /// What the register reads show, but for WEL and the busy bits.
    shown: Bytes,
    dirty: DirtyLog,
    wel: bool,
    armed: Armed,
    running: Option<Operation>,
    suspended: Option<Operation>,
    /// What the running operation found, for a power cut.
    before: Before,
    /// The same of the suspended one.
    suspended_before: Before,
    /// Sectors of finished erases, to be used again.
    spare: Vec<Arc<Sector>>,
    powered_down: bool,
    ultra_power_down: UltraPowerDown,
    four_line_mode: bool,
    otp_mode: bool,
    four_byte: bool,
    reset_enabled: bool,
    locks: Option<Locks>,
    locks_frozen: bool,
    pins: Pins,
    supply_mv: u16,
    /// The supply is too low for any answer.
    unpowered: bool,
    pull: u8,
    derived: Derived,
}

impl NorFlash {
    /// Powers `part` up with what it holds.
    ///
    /// # Errors
    ///
    /// If the part's sizes make no sense or `state` is of another part.
    pub fn new(part: Part, state: FlashState) -> Result<Self, ModelError> {
        check(&part, &state)?;
        let map = RegisterMap::new(&part);
        let forms = part.status_write.iter().map(|form| Form::new(form, &map)).collect();
        let sector_count = state.cells.sectors().len();
        let mut flash = Self {
            table: Arc::new(part.instruction_table()),
            forms,
            program_times: changes::program_times(&part).into(),
            program_flags: map.masks(&part.refused.program_flags),
            erase_flags: map.masks(&part.refused.erase_flags),
            live: map.factory,
            shown: map.factory,
            dirty: DirtyLog::new(sector_count),
            wel: false,
            armed: Armed::No,
            running: None,
            suspended: None,
            before: Before::default(),
            suspended_before: Before::default(),
            spare: Vec::new(),
            powered_down: false,
            ultra_power_down: UltraPowerDown::No,
            four_line_mode: false,
            otp_mode: false,
            four_byte: false,
            reset_enabled: false,
            locks: part
                .individual_locks
                .as_ref()
                .map(|locks| Locks::new(locks, part.capacity_bytes)),
            locks_frozen: false,
            pins: Pins { wp_high: true, hold_high: true },
            supply_mv: part.supply_mv[0].midpoint(part.supply_mv[1]),
            unpowered: false,
            pull: 0xFF,
            derived: Derived::new(&part, &map),
            part: Arc::new(part),
            map: Arc::new(map),
            state,
        };
        flash.power_up();
        Ok(flash)
    }

    /// The part's data.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// What the part holds without power.
    #[must_use]
    pub fn state(&self) -> &FlashState {
        &self.state
    }

    /// A copy of what the part holds without power; sectors are shared, so it is cheap.
    #[must_use]
    pub fn snapshot(&self) -> FlashState {
        self.state.clone()
    }

    /// Replaces what the part holds and cycles its power. Everything counts as changed.
    ///
    /// # Errors
    ///
    /// If `state` is of another part.
    pub fn restore(&mut self, state: FlashState, now: Instant) -> Result<(), ModelError> {
        check(&self.part, &state)?;
        for number in self.state.cells.used_sectors().chain(state.cells.used_sectors()) {
            self.dirty.sector(number);
        }
        self.dirty.registers();
        self.state = state;
        self.power_cycle(now);
        Ok(())
    }

    /// It takes the place of `before`, which whoever keeps the part on a disk has stored: all that
    /// differs counts as changed, and so does what was not stored yet.
    pub fn replaces(&mut self, before: &Self) {
        let sectors = self.state.cells.sectors().zip(before.state.cells.sectors());
        for ((sector, old), number) in sectors.zip(0..) {
            // Shared sectors are equal without a look inside.
            if !std::ptr::eq(sector, old) && sector != old {
                self.dirty.sector(number);
            }
        }
        for number in before.dirty.sectors() {
            self.dirty.sector(*number);
        }
        self.dirty.registers();
    }

    /// Reads cells as a programmer with clips on the chip would, whatever the part is doing.
    pub fn read_cells(&self, address: u32, into: &mut [u8]) {
        self.state.cells.read(address, into);
    }

    /// Puts `data` into the array without permission, as a board file or an image does.
    pub fn load_image(&mut self, offset: u32, data: &[u8]) {
        self.state.cells.load(offset, data);
    }

    /// Changes since the last call; the list is emptied.
    pub fn take_dirty(&mut self) -> Dirty {
        self.dirty.take()
    }

    /// Value of a register as its read instruction would answer now.
    #[must_use]
    pub fn register(&self, name: RegisterName) -> u8 {
        self.register_value(index(name))
    }

    /// Sets the volatile copy of a register without permission, as a board file does.
    pub fn set_volatile(&mut self, name: RegisterName, value: u8) {
        self.live[index(name)] = value;
        self.derive();
    }

    /// Addresses that the register bits protect; they do not count while individual locks do.
    #[must_use]
    pub fn protected(&self) -> Range<u32> {
        self.derived.protected.clone()
    }

    /// Whether an individual lock covers `address`, if individual locks count now.
    #[must_use]
    pub fn individually_locked(&self, address: u32) -> Option<bool> {
        self.counting_locks().map(|locks| locks.is_locked(address))
    }

    /// `value` with the bits of a register that no write and no board can set as they are now.
    pub(crate) fn settable(&self, name: RegisterName, value: u8) -> u8 {
        let mask = self.part.write_mask(name);
        self.live[index(name)] & !mask | value & mask
    }

    /// Whether a program of `range` would be carried out now.
    pub(crate) fn permits_program(&self, range: &Range<u32>) -> bool {
        self.permitted(CommandLines::One, &Request::Program(range.clone())).is_ok()
    }

    /// Sets all individual locks without permission, as a board file does.
    pub fn set_individual_locks(&mut self, locked: bool) {
        if let Some(locks) = &mut self.locks {
            locks.set_all(locked);
        }
    }

    /// Sets the individual lock of the unit that holds `address` without permission, as a board
    /// file does; `false` if the part has no such unit.
    pub fn set_individual_lock(&mut self, address: u32, locked: bool) -> bool {
        self.locks.as_mut().is_some_and(|locks| locks.set(address, locked))
    }

    /// Damages the non-volatile status row or repairs it (QUIRKS part 3, H2).
    pub fn set_damaged_row(&mut self, damaged: bool) {
        self.state.damaged_row = damaged.then_some(0..self.part.capacity_bytes);
        self.dirty.registers();
    }

    /// Clears bits of a register, stored and in force, without permission (QUIRKS part 3, H3).
    pub fn clear_bits(&mut self, name: RegisterName, mask: u8) {
        self.state.nv[index(name)] &= !mask;
        self.live[index(name)] &= !mask;
        self.dirty.registers();
        self.derive();
    }

    /// Whether the write enable latch is set.
    #[must_use]
    pub fn write_enable_latch(&self) -> bool {
        self.wel
    }

    /// Levels of WP# and HOLD# (QUIRKS Q24). HOLD# resets the part where a register bit makes it
    /// RESET#.
    pub fn set_pins(&mut self, pins: Pins) {
        let falls = self.pins.hold_high && !pins.hold_high;
        self.pins = pins;
        let is_reset = self.derived.bits.hold_is_reset.is_some_and(|bit| bit.get(&self.live));
        if falls && is_reset && !self.quad_enabled() {
            self.soft_reset();
        }
        self.derive();
    }

    /// Supply in millivolts (QUIRKS Q25): below the write-inhibit level nothing is written, below
    /// [`Part::read_minimum_mv`] the part does not answer, and powers up anew after that.
    pub fn set_supply_mv(&mut self, supply_mv: u16) {
        let minimum = self.part.read_minimum_mv.min(self.part.write_inhibit_mv);
        let was_unpowered = self.unpowered;
        self.supply_mv = supply_mv;
        self.unpowered = supply_mv < minimum;
        if was_unpowered && !self.unpowered {
            self.release_power_lock();
            self.power_up();
        }
    }

    /// Supply in millivolts.
    #[must_use]
    pub fn supply_mv(&self) -> u16 {
        self.supply_mv
    }

    /// Level that the host reads where the part does not drive MISO: 0xFF or 0x00 (QUIRKS Q29).
    pub fn set_pull_level(&mut self, level: u8) {
        self.pull = level;
    }

    /// Takes the supply away and back (QUIRKS Q35): volatile copies, latches, modes, individual
    /// locks and the lock until power cycle are gone. An operation that ran is taken as finished;
    /// [`Self::power_cut`] leaves it half done.
    pub fn power_cycle(&mut self, _now: Instant) {
        self.release_power_lock();
        self.power_up();
    }

    /// The host was reset. The part does not notice: it has no reset line here (QUIRKS Q35).
    pub fn host_reset(&mut self, _now: Instant) {}

    fn quad_enabled(&self) -> bool {
        self.map.quad_enable.is_some_and(|bit| bit.get(&self.live))
    }
}

impl SpiDevice for NorFlash {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        self.settle(now);
        let denied = self.execute(now, transaction, trace).is_err();
        trace.spi(transaction, denied);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }

    fn undisturbed(&mut self) -> Option<&mut NorFlash> {
        Some(self)
    }

    fn power_cycle(&mut self, now: Instant) {
        Self::power_cycle(self, now);
    }

    fn power_cut(&mut self, now: Instant, seed: u64) {
        Self::power_cut(self, now, seed);
    }
}

/// Refuses parts whose sizes the model cannot work with.
fn check(part: &Part, state: &FlashState) -> Result<(), ModelError> {
    if !part.page_bytes.is_power_of_two() || part.page_bytes > 4096 {
        return Err(ModelError::Page { bytes: part.page_bytes });
    }
    if !part.capacity_bytes.is_power_of_two() || part.capacity_bytes < 65_536 {
        return Err(ModelError::Capacity { bytes: part.capacity_bytes });
    }
    if let Some(erase) = part.erase.iter().find(|erase| !erase.bytes.is_power_of_two()) {
        return Err(ModelError::Erase { opcode: erase.opcode, bytes: erase.bytes });
    }
    if state.cells.capacity_bytes() != part.capacity_bytes {
        return Err(ModelError::State {
            state_bytes: state.cells.capacity_bytes(),
            part_bytes: part.capacity_bytes,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
