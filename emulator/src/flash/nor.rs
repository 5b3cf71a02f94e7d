//! The part on the bus: modes, latches, and which instruction does what.

use std::ops::Range;

use spi_nor::{
    InstructionTable, Meaning,
    part::{AfterRefusal, BothLockBits, ChipEraseRule, Part, RegisterName},
};

use super::{
    Denial, Dirty, FlashState,
    dirty::DirtyLog,
    locks::Locks,
    permit::{Request, Situation, StatusLockState, Suspended, permit},
    range::protected_range,
    registers::{BitAt, Bytes, NAMES, RegisterMap, index},
};
use crate::{
    spi::{CommandLines, SpiDevice, Transaction},
    time::{Duration, Instant},
    trace::{Event, Trace},
};

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

/// What runs inside the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Erase,
    Status,
}

/// An operation that runs or is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operation {
    kind: Kind,
    range: Range<u32>,
    /// End of a running operation.
    until: Instant,
    /// What is left of a suspended one.
    left: Duration,
}

/// A SPI NOR flash part.
#[expect(clippy::struct_excessive_bools, reason = "each is one latch, mode or input of the part")]
#[derive(Debug, Clone)]
pub struct NorFlash {
    pub(super) part: Part,
    table: Box<InstructionTable>,
    pub(super) map: RegisterMap,
    pub(super) forms: Vec<Form>,
    program_flags: Bytes,
    erase_flags: Bytes,
    pub(super) state: FlashState,
    /// Values in force: volatile copies over non-volatile ones.
    pub(super) live: Bytes,
    pub(super) dirty: DirtyLog,
    wel: bool,
    armed: Armed,
    running: Option<Operation>,
    suspended: Option<Operation>,
    powered_down: bool,
    four_line_mode: bool,
    pub(super) otp_mode: bool,
    four_byte: bool,
    reset_enabled: bool,
    locks: Option<Locks>,
    locks_frozen: bool,
    pins: Pins,
    supply_mv: u16,
    pull: u8,
    derived: Derived,
}

/// One accepted register write.
#[derive(Debug, Clone)]
pub(super) struct Form {
    opcode: u8,
    pub(super) to: Vec<Option<usize>>,
    pub(super) clears: Bytes,
}

/// Bits that matter for locking, found once.
#[derive(Debug, Clone, Copy)]
struct LockBits {
    wp_enable: Option<BitAt>,
    power_lock: Option<BitAt>,
    lock_select: Option<BitAt>,
    hold_is_reset: Option<BitAt>,
}

/// What follows from the register values; computed when one changes.
#[derive(Debug, Clone)]
struct Derived {
    bits: LockBits,
    protected: Range<u32>,
    any_block_protect: bool,
    locks_count: bool,
    held: bool,
    status_lock: StatusLockState,
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
        let find = |name: &Option<String>| name.as_deref().and_then(|name| map.find(name));
        let bits = LockBits {
            wp_enable: find(&part.status_lock.wp_enable_bit),
            power_lock: find(&part.status_lock.power_lock_bit),
            lock_select: part.individual_locks.as_ref().and_then(|locks| find(&locks.select_bit)),
            hold_is_reset: map.find("HOLD/RST"),
        };
        let forms = part.status_write.iter().map(|form| Form {
            opcode: form.opcode,
            to: form.to.iter().map(|&to| to.register().map(index)).collect(),
            clears: map.masks(&form.clears),
        });
        let forms = forms.collect();
        let sector_count = state.cells.sectors().len();
        let mut flash = Self {
            table: Box::new(part.instruction_table()),
            forms,
            program_flags: map.masks(&part.refused.program_flags),
            erase_flags: map.masks(&part.refused.erase_flags),
            live: map.factory,
            dirty: DirtyLog::new(sector_count),
            wel: false,
            armed: Armed::No,
            running: None,
            suspended: None,
            powered_down: false,
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
            pull: 0xFF,
            derived: Derived::new(bits, part.status_lock.both),
            part,
            map,
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

    /// Sets all individual locks without permission, as a board file does.
    pub fn set_individual_locks(&mut self, locked: bool) {
        if let Some(locks) = &mut self.locks {
            locks.set_all(locked);
        }
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

    /// Supply in millivolts (QUIRKS Q25).
    pub fn set_supply_mv(&mut self, supply_mv: u16) {
        self.supply_mv = supply_mv;
    }

    /// Level that the host reads where the part does not drive MISO: 0xFF or 0x00 (QUIRKS Q29).
    pub fn set_pull_level(&mut self, level: u8) {
        self.pull = level;
    }

    /// Takes the supply away and back (QUIRKS Q35): volatile copies, latches, modes, individual
    /// locks and the lock until power cycle are gone. An operation that ran is taken as finished.
    pub fn power_cycle(&mut self, _now: Instant) {
        self.release_power_lock();
        self.power_up();
    }

    /// The host was reset. The part does not notice: it has no reset line here (QUIRKS Q35).
    pub fn host_reset(&mut self, _now: Instant) {}

    /// The lock until power cycle ends: both lock bits read 0 then (QUIRKS Q21).
    fn release_power_lock(&mut self) {
        let bits = self.derived.bits;
        let Some(power_lock) = bits.power_lock else { return };
        let nv = &mut self.state.nv;
        let both = bits.wp_enable.is_some_and(|bit| bit.get(nv));
        let for_ever = both && self.part.status_lock.both == BothLockBits::OneTimeProgram;
        if !power_lock.get(nv) || for_ever {
            return;
        }
        nv[power_lock.register] &= !power_lock.mask;
        if let Some(bit) = bits.wp_enable {
            nv[bit.register] &= !bit.mask;
        }
        self.dirty.registers();
    }

    fn power_up(&mut self) {
        self.locks_frozen = false;
        self.powered_down = false;
        self.live = Bytes::default();
        self.soft_reset();
    }

    /// What 66h, 99h do: volatile copies and modes go, a lock until power cycle stays.
    fn soft_reset(&mut self) {
        let stays = self.derived.bits.power_lock.filter(|bit| bit.get(&self.live));
        for register in 0..NAMES.len() {
            let stored = self.map.nv[register] | self.map.otp[register];
            self.live[register] =
                (self.map.factory[register] & !stored) | (self.state.nv[register] & stored);
        }
        if let Some(bit) = stays {
            self.live[bit.register] |= bit.mask;
        }
        self.wel = false;
        self.armed = Armed::No;
        self.running = None;
        self.suspended = None;
        self.four_line_mode = false;
        self.otp_mode = false;
        self.four_byte = false;
        self.reset_enabled = false;
        if let (Some(locks), Some(data)) = (&mut self.locks, &self.part.individual_locks) {
            locks.set_all(data.locked_at_power_up);
        }
        self.derive();
    }

    fn quad_enabled(&self) -> bool {
        self.map.quad_enable.is_some_and(|bit| bit.get(&self.live))
    }

    /// Recomputes what follows from registers and pins.
    pub(super) fn derive(&mut self) {
        let (map, live) = (&self.map, &self.live);
        let bit = |name: &str| map.find(name).map_or(0, |at| u8::from(at.get(live)));
        let protected = protected_range(&self.part, &bit);
        let is_set = |bit: Option<BitAt>| bit.is_some_and(|bit| bit.get(live));
        let quad = is_set(map.quad_enable);
        let derived = &mut self.derived;
        let bits = derived.bits;
        derived.protected = protected;
        derived.any_block_protect =
            map.block_protect.iter().zip(live).any(|(mask, value)| mask & value != 0);
        derived.locks_count = self
            .part
            .individual_locks
            .as_ref()
            .is_some_and(|locks| locks.select_bit.is_none() || is_set(bits.lock_select));
        derived.held = !self.pins.hold_high && !quad;
        derived.status_lock.wp_enabled = is_set(bits.wp_enable);
        derived.status_lock.power_lock = is_set(bits.power_lock);
        derived.status_lock.wp_low =
            !(self.pins.wp_high || quad && self.part.status_lock.wp_pin_ignored_when_qe);
    }

    fn counting_locks(&self) -> Option<&Locks> {
        self.locks.as_ref().filter(|_| self.derived.locks_count)
    }

    /// Register value with the bits that the part drives.
    fn register_value(&self, register: usize) -> u8 {
        let map = &self.map;
        let mut value = self.live[register];
        if self.otp_mode && register == index(RegisterName::Sr1) {
            let driven = map.write_enable_latch[register] | map.busy[register];
            value = (value & driven) | (self.state.otp_lock & !driven);
        }
        let mut drive = |mask: u8, on: bool| {
            value = if on { value | mask } else { value & !mask };
        };
        drive(map.write_enable_latch[register], self.wel);
        drive(map.busy[register], self.running.is_some());
        drive(map.ready[register], self.running.is_none());
        let suspended = self.suspended.as_ref().map(|operation| operation.kind);
        let erase = map.erase_suspended[register];
        let program = map.program_suspended[register];
        drive(erase | program, false);
        match suspended {
            Some(Kind::Erase) => drive(erase, true),
            Some(_) => drive(program, true),
            None => {}
        }
        value
    }
}

// Instructions.
impl NorFlash {
    /// Ends the running operation if its time is over.
    fn settle(&mut self, now: Instant) {
        if self.running.as_ref().is_some_and(|running| running.until <= now) {
            self.running = None;
            self.wel = false;
        }
    }

    pub(super) fn permitted(&self, lines: CommandLines, request: &Request) -> Result<(), Denial> {
        let armed = self.armed != Armed::No && matches!(request, Request::StatusWrite { .. });
        let situation = Situation {
            lines,
            four_line_mode: self.four_line_mode,
            held: self.derived.held,
            powered_down: self.powered_down,
            busy: self.running.is_some(),
            suspended: self.suspended.as_ref().map(|operation| match operation.kind {
                Kind::Erase => Suspended::Erase(&operation.range),
                Kind::Program | Kind::Status => Suspended::Program,
            }),
            write_enabled: self.wel || armed,
            supply_mv: self.supply_mv,
            write_inhibit_mv: self.part.write_inhibit_mv,
            protected: &self.derived.protected,
            hidden: self.state.damaged_row.as_ref(),
            locks: self.counting_locks(),
            block_protect_forbids_chip_erase: self.derived.any_block_protect
                && self.part.chip_erase.rule == ChipEraseRule::BpAllZero,
            status_lock: self.derived.status_lock,
        };
        permit(request, &situation)
    }

    /// Carries out one instruction. `Err` says that it wanted a change and was refused.
    fn execute(
        &mut self,
        now: Instant,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let Some((&opcode, rest)) = transaction.mosi.split_first() else { return Ok(()) };
        let op = self.table.meaning(opcode);
        let reset_enabled = std::mem::take(&mut self.reset_enabled);
        match op {
            Meaning::PageProgram | Meaning::QuadPageProgram => {
                self.page_program(now, transaction, trace)
            }
            Meaning::Erase(number) => self.erase(now, number, transaction, trace),
            Meaning::ChipErase => self.chip_erase(now, transaction, trace),
            Meaning::WriteRegister => self.write_registers(now, transaction, trace),
            Meaning::SecurityErase | Meaning::SecurityProgram => {
                self.security(now, op, transaction, trace)
            }
            Meaning::LockUnit
            | Meaning::UnlockUnit
            | Meaning::GlobalLock
            | Meaning::GlobalUnlock
            | Meaning::WriteBlockProtection
            | Meaning::LockDownBlockProtection => self.write_locks(now, op, transaction, trace),
            _ => {
                let request = Request::Other {
                    while_busy: matches!(
                        op,
                        Meaning::ReadRegister(_)
                            | Meaning::Suspend
                            | Meaning::ResetEnable
                            | Meaning::Reset
                    ),
                    wakes: op == Meaning::ReleasePowerDown,
                };
                match self.permitted(transaction.command_lines, &request) {
                    Ok(()) => self.simple(now, op, rest.len(), reset_enabled, transaction, trace),
                    Err(why) => {
                        trace.push(now, Event::Denied { opcode, range: 0..0, why, count: 1 });
                    }
                }
                Ok(())
            }
        }
    }

    /// Instructions that change no cell and no register: latches, modes, reads.
    fn simple(
        &mut self,
        now: Instant,
        op: Meaning,
        sent: usize,
        reset_enabled: bool,
        transaction: &mut Transaction<'_>,
        trace: &mut Trace,
    ) {
        let alone = sent == 0;
        match op {
            Meaning::ReadRegister(register) => {
                transaction.miso.fill(self.register_value(index(register)));
            }
            Meaning::WriteEnable if alone => {
                self.wel = self.supply_mv >= self.part.write_inhibit_mv;
                self.armed = Armed::No;
            }
            Meaning::WriteEnableVolatile if alone => self.armed = Armed::Volatile,
            Meaning::EnableStatusWrite if alone => self.armed = Armed::Status,
            Meaning::WriteDisable if alone => {
                self.wel = false;
                self.armed = Armed::No;
                self.otp_mode = false;
            }
            Meaning::ResetEnable if alone => self.reset_enabled = true,
            Meaning::Reset if alone && reset_enabled => {
                self.soft_reset();
                trace.push(now, Event::FlashReset);
            }
            Meaning::PowerDown if alone => self.powered_down = true,
            Meaning::Suspend if alone => self.suspend(now),
            Meaning::Resume if alone => self.resume(now),
            Meaning::EnterQpi if alone => {
                let free = !self.part.instructions.enter_qpi_needs_quad_enable;
                self.four_line_mode = free || self.quad_enabled();
            }
            Meaning::ExitQpi if alone => self.four_line_mode = false,
            Meaning::EnterOtp if alone => self.otp_mode = true,
            Meaning::ClearFlags if alone => self.clear_flags(),
            Meaning::Enter4Byte if alone => self.four_byte = true,
            Meaning::Exit4Byte if alone => self.four_byte = false,
            Meaning::ReleasePowerDown => {
                self.powered_down = false;
                self.answer(op, transaction);
            }
            _ => self.answer(op, transaction),
        }
    }

    pub(super) fn clear_flags(&mut self) {
        for (register, value) in self.live.iter_mut().enumerate() {
            *value &= !(self.program_flags[register] | self.erase_flags[register]);
        }
    }

    fn suspend(&mut self, now: Instant) {
        if self.suspended.is_some() {
            return;
        }
        match self.running.take() {
            Some(mut operation) if operation.kind != Kind::Status => {
                operation.left = operation.until.since(now);
                self.wel = false;
                self.suspended = Some(operation);
            }
            other => self.running = other,
        }
    }

    fn resume(&mut self, now: Instant) {
        if let Some(mut operation) = self.suspended.take() {
            operation.until = now + operation.left;
            self.running = Some(operation);
        }
    }

    /// Number of address bytes.
    pub(super) fn address_bytes(&self) -> usize {
        if self.four_byte { 4 } else { 3 }
    }

    /// The address phase, modulo the capacity; `None` if it was cut short.
    pub(super) fn address(&self, mosi: &[u8]) -> Option<u32> {
        let bytes = mosi.get(1..=self.address_bytes())?;
        let address = bytes.iter().fold(0u32, |address, &byte| (address << 8) | u32::from(byte));
        Some(address % self.part.capacity_bytes)
    }

    /// Read instructions.
    fn answer(&self, op: Meaning, transaction: &mut Transaction<'_>) {
        let mosi = transaction.mosi;
        let address_bytes = self.address_bytes();
        let header = match op {
            Meaning::ReadId | Meaning::ReadBlockProtection => 1,
            Meaning::Read | Meaning::ReadLock => 1 + address_bytes,
            Meaning::FastRead | Meaning::SecurityRead => 2 + address_bytes,
            Meaning::ReadManufacturer | Meaning::ReleasePowerDown => 4,
            Meaning::ReadSfdp | Meaning::ReadUniqueId => 5,
            _ => return,
        };
        // Dummy bytes that the host did not shift out pass while it already samples; bytes that it
        // shifted out behind the header cost it that much of the answer.
        let miso = &mut *transaction.miso;
        let (late, skipped) =
            (header.saturating_sub(mosi.len()), mosi.len().saturating_sub(header));
        let Some(miso) = miso.get_mut(late..) else { return };
        let cycle = |bytes: &[u8], from: usize, miso: &mut [u8]| {
            for (answer, &byte) in miso.iter_mut().zip(bytes.iter().cycle().skip(from)) {
                *answer = byte;
            }
        };
        let device_id = self.part.jedec_id.0[2].wrapping_sub(1);
        let maker = self.part.jedec_id.0[0];
        match op {
            Meaning::ReadId => cycle(&self.part.jedec_id.0, skipped, miso),
            Meaning::ReleasePowerDown => miso.fill(device_id),
            Meaning::ReadManufacturer => {
                let swapped = usize::from(mosi.get(3).copied().unwrap_or(0) & 1);
                cycle(&[maker, device_id], skipped + swapped, miso);
            }
            Meaning::ReadUniqueId => cycle(&self.state.unique_id, skipped, miso),
            Meaning::ReadBlockProtection => {
                if let Some(locks) = &self.locks {
                    cycle(&locks.to_register(), skipped, miso);
                }
            }
            _ => self.answer_at(op, mosi, skipped, miso),
        }
    }

    /// Read instructions with an address.
    fn answer_at(&self, op: Meaning, mosi: &[u8], skipped: usize, miso: &mut [u8]) {
        // `skipped` is the length of a transaction and the sum wraps inside the array anyway.
        let skipped = u32::try_from(skipped).unwrap_or(0);
        if op == Meaning::ReadSfdp {
            let Some(&[_, high, mid, low]) = mosi.get(..4) else { return };
            let Some(table) = &self.part.sfdp else { return };
            let from = u32::from_be_bytes([0, high, mid, low]).saturating_add(skipped) as usize;
            miso.fill(0xFF);
            for (answer, &byte) in miso.iter_mut().zip(table.0.get(from..).unwrap_or_default()) {
                *answer = byte;
            }
            return;
        }
        let Some(address) = self.address(mosi) else { return };
        match op {
            Meaning::ReadLock => {
                if let Some(locks) = &self.locks {
                    miso.fill(u8::from(locks.is_locked(address)));
                }
            }
            Meaning::SecurityRead => self.state.security.read(address.wrapping_add(skipped), miso),
            _ if self.otp_mode => self.state.otp_sector.read(address.wrapping_add(skipped), miso),
            _ => self.state.cells.read(address.wrapping_add(skipped), miso),
        }
    }

    /// Notes a refusal: event, latch, fail flags (QUIRKS Q10, Q30).
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        opcode: u8,
        request: &Request,
        why: Denial,
        trace: &mut Trace,
    ) -> Denial {
        let range = match request {
            Request::Program(range) | Request::Erase(range) | Request::ChipErase(range) => {
                range.clone()
            }
            _ => 0..0,
        };
        let latch = match why {
            Denial::BlockProtect { .. } | Denial::IndividualLock { .. } | Denial::ChipErase => {
                Some(self.part.refused.write_enable_latch)
            }
            Denial::StatusWriteProtectPin
            | Denial::StatusPowerLock
            | Denial::StatusOneTimeProgram => Some(self.part.refused.status_write_enable_latch),
            _ => None,
        };
        if let Some(latch) = latch {
            if latch == AfterRefusal::Clear {
                self.wel = false;
            }
            let flags = match request {
                Request::Program(_) => self.program_flags,
                Request::Erase(_) | Request::ChipErase(_) => self.erase_flags,
                _ => Bytes::default(),
            };
            for (value, flag) in self.live.iter_mut().zip(flags) {
                *value |= flag;
            }
        }
        trace.push(now, Event::Denied { opcode, range, why: why.clone(), count: 1 });
        why
    }

    /// Starts an operation; one that takes no time is over at once.
    pub(super) fn start(&mut self, now: Instant, kind: Kind, range: Range<u32>, busy: Duration) {
        if busy == Duration::ZERO {
            self.wel = false;
            return;
        }
        self.running = Some(Operation { kind, range, until: now + busy, left: Duration::ZERO });
    }

    /// Takes the latch of 50h: whether the register write that consumes it is volatile.
    pub(super) fn take_armed_volatile(&mut self) -> bool {
        std::mem::replace(&mut self.armed, Armed::No) == Armed::Volatile
    }

    /// The accepted form with this opcode and data length.
    pub(super) fn form(&self, opcode: u8, bytes: usize) -> Option<&Form> {
        self.forms.iter().find(|form| form.opcode == opcode && form.to.len() == bytes)
    }

    /// Individual locks and the block protection register.
    fn write_locks(
        &mut self,
        now: Instant,
        op: Meaning,
        transaction: &Transaction<'_>,
        trace: &mut Trace,
    ) -> Result<(), Denial> {
        let request = Request::LockWrite { frozen: self.locks_frozen };
        if let Err(why) = self.permitted(transaction.command_lines, &request) {
            return Err(self.refuse(now, transaction.mosi[0], &request, why, trace));
        }
        let address = self.address(transaction.mosi);
        let Some(locks) = &mut self.locks else { return Ok(()) };
        let done = match (op, address) {
            (Meaning::LockUnit | Meaning::UnlockUnit, Some(address)) => {
                locks.set(address, op == Meaning::LockUnit);
                true
            }
            (Meaning::GlobalLock, _) => {
                locks.set_all(true);
                true
            }
            (Meaning::GlobalUnlock, _) => {
                locks.set_all(false);
                true
            }
            (Meaning::WriteBlockProtection, _) => {
                locks.set_register(transaction.mosi.get(1..).unwrap_or_default())
            }
            (Meaning::LockDownBlockProtection, _) => {
                self.locks_frozen = true;
                true
            }
            _ => false,
        };
        if done {
            self.wel = false;
        }
        Ok(())
    }
}

impl SpiDevice for NorFlash {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        self.settle(now);
        transaction.miso.fill(self.pull);
        let denied = self.execute(now, transaction, trace).is_err();
        trace.spi(transaction, denied);
    }

    fn busy_until(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.until)
    }

    fn power_cycle(&mut self, now: Instant) {
        Self::power_cycle(self, now);
    }
}

impl Derived {
    fn new(bits: LockBits, both: BothLockBits) -> Self {
        Self {
            bits,
            protected: 0..0,
            any_block_protect: false,
            locks_count: false,
            held: false,
            status_lock: StatusLockState {
                wp_enabled: false,
                power_lock: false,
                wp_low: false,
                both,
            },
        }
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
