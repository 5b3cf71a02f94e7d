//! Code that the client uploaded: an Xtensa core on the machine, with the ROM's functions native.
//!
//! XTENSA sections 1, 3 and 4 have the measured facts.

mod bus;
mod clock;
mod entry;
mod line;
mod md5;
mod memory;
mod native;
mod pending;
mod printf;
mod probe;
mod profile;
mod rom_image;
mod stop;
mod tinfl;

pub use probe::{InstructionSink, Pause, Probe, Watch, Watchpoint};
pub use profile::{FunctionCount, Profile};
pub use rom_image::{RomImage, RomImageError};

use std::cell::Cell;

use xtensa::{Cpu, Stop};

use self::{
    bus::GuestBus,
    line::{COALESCING, Conditions, Line},
    memory::Fault,
    native::{Call, Exit, Flow, RomState},
    pending::Pending,
};
use crate::{
    soc::Machine,
    spi::SpiDevice,
    time::{Duration, Instant},
    trace::{Event, Hang},
};

/// Where the entry function returns to (XTENSA 4.2).
const ENTRY_RETURN: u32 = 0x4000_7C18;
/// Where an interrupt handler returns to (XTENSA 1.3).
const HANDLER_RETURN: u32 = 0x4000_08A9;
/// Longest time that one turn runs.
const TURN: Duration = Duration::from_millis(1);
/// Later than anything that happens.
const NEVER: Instant = Instant::from_nanos(u64::MAX);
/// A native function costs about this many instructions in the ROM.
const NATIVE_CYCLES: u64 = 20;

/// A running program.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    cpu: Box<Cpu>,
    /// The ROM's own code runs, and nothing natively.
    has_rom: bool,
    rom: RomState,
    state: State,
    line: Line,
    /// Native functions that have not returned.
    pending: Vec<Pending>,
    /// What [`Self::next_burst`] found last, and under which conditions.
    burst: Cell<Option<(Conditions, Option<Instant>)>>,
    /// Received bytes that are noticed at once where the FIFO's threshold is a single one.
    coalescing: usize,
    /// The same for a program that waits.
    group: usize,
    lost_bytes: u64,
    instructions: u64,
    effects: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Instructions are executed.
    Running,
    /// Only a received byte changes anything.
    Waiting,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestEnd {
    /// The entry function returned.
    Returned,
    /// It resets the chip, with this cause as the ROM prints it.
    Reset {
        /// Reset cause.
        cause: u8,
    },
    /// It stopped for good.
    Stopped(Hang),
}

/// Whether the code at `entry` is an empty function: flash boot calls it then. Applications need
/// more of the chip than there is; a board's personality stands in for them.
pub(crate) fn returns_at_once<F>(machine: &Machine<F>, entry: u32) -> bool {
    const ENTRY: u8 = 0x36;
    const RETW_N: [u8; 2] = [0x1D, 0xF0];
    const RETW: [u8; 3] = [0x90, 0x00, 0x00];
    match machine.soc.memory.bytes(entry, 6) {
        Some([ENTRY, _, _, rest @ ..]) => rest.starts_with(&RETW_N) || rest.starts_with(&RETW),
        _ => false,
    }
}

impl Guest {
    /// Calls `entry` as the ROM does.
    pub(crate) fn start<F: SpiDevice>(
        machine: &mut Machine<F>,
        rom: Option<&RomImage>,
        entry: u32,
        reset_cause: u8,
    ) -> Self {
        let what = format!("code at {entry:#010x} is called");
        machine.trace.push(machine.now, Event::Guest { what });
        let cpu = entry::core(machine, rom, entry);
        Self::with_core(machine, cpu, rom.is_some(), reset_cause)
    }

    /// A dump of the ROM at its reset vector.
    pub(crate) fn reset<F: SpiDevice>(
        machine: &mut Machine<F>,
        rom: &RomImage,
        reset_cause: u8,
    ) -> Self {
        let cpu = entry::at_reset(machine, rom, reset_cause);
        Self::with_core(machine, cpu, true, reset_cause)
    }

    fn with_core<F>(machine: &Machine<F>, cpu: Cpu, has_rom: bool, reset_cause: u8) -> Self {
        Self {
            cpu: Box::new(cpu),
            has_rom,
            rom: RomState::new(machine.soc.crystal.hertz(), reset_cause),
            state: State::Running,
            line: Line::default(),
            pending: Vec::new(),
            burst: Cell::new(None),
            coalescing: COALESCING,
            group: COALESCING,
            lost_bytes: 0,
            instructions: 0,
            effects: 0,
        }
    }

    /// When the program does something next by itself.
    pub(crate) fn next_event<F>(
        &self,
        machine: &Machine<F>,
        probe: Option<&Probe>,
    ) -> Option<Instant> {
        if is_paused(probe) {
            return None;
        }
        match self.state {
            State::Running => Some(machine.now),
            State::Waiting => self.next_burst(machine),
        }
    }

    /// Instructions executed so far.
    pub(crate) fn instructions(&self) -> u64 {
        self.instructions
    }

    /// Runs one turn: up to a millisecond, or to the next bytes that the program is to notice at once,
    /// or the next native function that takes longer. `Some` if it was the last.
    pub(crate) fn turn<F: SpiDevice>(
        &mut self,
        machine: &mut Machine<F>,
        mut probe: Option<&mut Probe>,
    ) -> Option<GuestEnd> {
        let mut heard = self.heard_until(machine.now);
        if self.state == State::Waiting {
            let due = self.next_burst(machine)?;
            self.pass(machine, due);
            self.state = State::Running;
            heard = heard.max(due);
        }
        // What arrives while a native function is at work is given to it in its order.
        let in_native = self.is_in_native();
        self.take_arrived(machine, heard);
        // At least a little, also where the next bytes are due already.
        let least = machine.now + Duration::from_nanos(1);
        // An answer that is under way is not held up by what the program does behind it.
        let sent_at = Some(machine.soc.uart.sent_at()).filter(|sent_at| *sent_at > machine.now);
        let limit = sent_at.map_or(machine.now + TURN, |sent_at| sent_at.min(machine.now + TURN));
        while self.state == State::Running
            && !is_paused(probe.as_deref())
            && self.is_in_native() == in_native
        {
            let end = if in_native { limit } else { self.hear_until(machine, limit) };
            let end = end.max(least);
            if machine.now >= end {
                break;
            }
            if let Some(last) = self.run_until(machine, probe.as_deref_mut(), end) {
                return Some(last);
            }
        }
        None
    }

    /// The core's clock follows the machine's to `due`.
    fn pass<F>(&mut self, machine: &mut Machine<F>, due: Instant) {
        let span = due.since(machine.now);
        let cycles = clock::cycles(span, clock::cpu_hz(machine));
        self.cpu.advance_clock(u32::try_from(cycles & 0xFFFF_FFFF).unwrap_or(0));
        machine.now = machine.now.max(due);
    }

    /// Runs instructions up to `end`, or to the next stop, which it deals with.
    fn run_until<F: SpiDevice>(
        &mut self,
        machine: &mut Machine<F>,
        mut probe: Option<&mut Probe>,
        end: Instant,
    ) -> Option<GuestEnd> {
        let hz = clock::cpu_hz(machine);
        let budget = clock::cycles(end.since(machine.now), hz).max(1);
        let jump_limit = self.next_burst(machine).unwrap_or(NEVER);
        let mut bus = GuestBus::new(machine, &mut self.effects, jump_limit);
        let outcome = match probe.as_deref_mut().filter(|probe| probe.is_active()) {
            None => self.cpu.run(&mut bus, budget),
            Some(probe) => self.cpu.run_observed(&mut bus, probe, budget),
        };
        machine.now += clock::span(outcome.instructions, hz);
        self.instructions += outcome.instructions;
        match outcome.stop {
            Stop::Budget | Stop::Simcall { .. } | Stop::Observer { .. } => None,
            Stop::Idle { .. } => {
                self.state = State::Waiting;
                if let Some(probe) = probe {
                    probe.waits();
                }
                None
            }
            Stop::OutsideRam { pc: ENTRY_RETURN } if self.cpu.handler_running().is_none() => {
                Some(self.returned(machine))
            }
            Stop::OutsideRam { pc: HANDLER_RETURN } if self.cpu.leave_level1_handler() => {
                self.handler_left(machine, probe);
                None
            }
            Stop::OutsideRam { pc } if self.continue_native(machine, pc, end) => None,
            Stop::OutsideRam { pc } => self.call_rom(machine, probe, pc, end),
            Stop::Interrupt { lines, .. } => self.interrupt(machine, probe, lines),
            Stop::Exception(exception) => {
                let held = probe.is_some_and(|probe| probe.hold(stop::as_pause(exception)));
                (!held).then(|| stop::exception(machine, &self.cpu, exception))
            }
            Stop::Break { pc, .. } => {
                let held = probe.is_some_and(|probe| probe.hold(Pause::Break));
                (!held).then(|| stop::breakpoint(machine, &self.cpu, pc))
            }
        }
    }

    /// Behind a handler the program may wait on as before: with all bytes that have come read, it takes
    /// the next group as one that never did anything else.
    fn handler_left<F>(&mut self, machine: &Machine<F>, probe: Option<&mut Probe>) {
        let rests =
            self.coalescing > 1 && machine.soc.uart.interrupt_status() == 0 && self.cpu.rests();
        self.group_taken(rests);
        if !rests {
            return self.cpu.expect_idle();
        }
        self.state = State::Waiting;
        if let Some(probe) = probe {
            probe.waits();
        }
    }

    fn returned<F>(&self, machine: &mut Machine<F>) -> GuestEnd {
        let what = format!("code returned after {} instructions", self.instructions);
        machine.trace.push(machine.now, Event::Guest { what });
        GuestEnd::Returned
    }

    /// Runs the ROM function at `pc`.
    fn call_rom<F: SpiDevice>(
        &mut self,
        machine: &mut Machine<F>,
        mut probe: Option<&mut Probe>,
        pc: u32,
        turn_end: Instant,
    ) -> Option<GuestEnd> {
        if probe.as_deref_mut().is_some_and(|probe| probe.pauses_at_native(pc)) {
            return None;
        }
        let row = native::find::<F>(pc).filter(|_| !self.has_rom);
        let Some(run) = row.and_then(|row| row.run) else {
            let symbol = row.map(|row| row.symbol);
            if probe.is_some_and(|probe| probe.hold(stop::unknown_as_pause(pc, symbol))) {
                return None;
            }
            return Some(stop::unknown_function(machine, &self.cpu, pc, symbol));
        };
        let watched = probe.as_deref().map(|probe| probe.watched(&self.cpu)).unwrap_or_default();
        let before = machine.now;
        let mut call = Call { cpu: &mut self.cpu, machine, rom: &mut self.rom };
        let flow = run(&mut call);
        machine.now += clock::span(NATIVE_CYCLES, clock::cpu_hz(machine));
        let cycles = clock::cycles(machine.now.since(before), clock::cpu_hz(machine));
        self.cpu.advance_clock(u32::try_from(cycles & 0xFFFF_FFFF).unwrap_or(0));
        if let Some(probe) = probe.as_deref_mut() {
            probe.native_returned(&self.cpu, &watched);
        }
        match flow {
            Ok(Flow::Return(value)) => {
                self.return_at(machine, pc, (value.into(), false), machine.now, turn_end);
                None
            }
            Ok(Flow::ReturnWide(value)) => {
                self.return_at(machine, pc, (value, true), machine.now, turn_end);
                None
            }
            Ok(Flow::ReturnAt(value, until)) => {
                self.return_at(machine, pc, (value.into(), false), until, turn_end);
                None
            }
            Ok(Flow::Jumped) => {
                // Whatever was under way on the frames that were left never returns.
                self.pending.clear();
                None
            }
            Ok(Flow::WaitForInput) => {
                self.state = State::Waiting;
                None
            }
            Ok(Flow::Exit(Exit::Reset { cause })) => Some(GuestEnd::Reset { cause }),
            Ok(Flow::Exit(Exit::Hang(why))) => Some(GuestEnd::Stopped(why)),
            Err(Fault { cause, address }) => {
                let exception = xtensa::Exception { cause, pc, vaddr: address };
                let held = probe.is_some_and(|probe| probe.hold(stop::as_pause(exception)));
                (!held).then(|| stop::exception(machine, &self.cpu, exception))
            }
        }
    }

    fn return_wide(&mut self, value: u64) {
        let [low, high] = [value & 0xFFFF_FFFF, value >> 32];
        // The second result register is the one behind the first.
        let increment = (self.cpu.ps() >> 16 & 3) as u8;
        self.cpu.set_a(increment * 4 + 3, u32::try_from(high).unwrap_or(0));
        self.cpu.return_from_native(u32::try_from(low).unwrap_or(0));
    }

    /// An interrupt whose vector is the ROM's: its dispatcher calls the attached handler.
    fn interrupt<F>(
        &mut self,
        machine: &mut Machine<F>,
        probe: Option<&mut Probe>,
        lines: u32,
    ) -> Option<GuestEnd> {
        let number = lines.trailing_zeros();
        let handler = self.rom.handlers.get(number as usize).copied().flatten();
        let entered = handler.is_some_and(|(function, argument)| {
            self.cpu.enter_level1_handler(function, argument, HANDLER_RETURN)
        });
        let profile = probe.and_then(|probe| probe.profile.as_mut());
        if let (true, Some((function, _)), Some(profile)) = (entered, handler, profile) {
            profile.call(function);
        }
        if !entered {
            // The ROM's own handler would empty the FIFO into a ring that nobody reads.
            let enabled = self.cpu.interrupts_enabled();
            self.cpu.set_interrupts_enabled(enabled & !1_u32.checked_shl(number).unwrap_or(0));
            let what = format!("interrupt {number} without a handler is masked");
            machine.trace.push(machine.now, Event::Guest { what });
        }
        None
    }

    /// The core, to look at.
    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The core, to change.
    pub(crate) fn cpu_mut(&mut self) -> &mut Cpu {
        // What was idle may not be so any more.
        self.state = State::Running;
        self.cpu.note_effect();
        &mut self.cpu
    }

    /// Goes on behind the `BREAK` at the program counter.
    pub(crate) fn skip_break(&mut self) {
        let mut bytes = [0; 3];
        let pc = self.cpu.pc;
        if self.cpu.mem.read(pc, &mut bytes).is_ok() {
            self.cpu.pc = pc.wrapping_add(xtensa::decode(pc, bytes).len());
        }
    }

    /// Puts RAM back to the machine, where the loader finds it after a reset.
    pub(crate) fn release<F>(&self, machine: &mut Machine<F>) {
        entry::copy_back(machine, &self.cpu.mem);
    }
}

fn is_paused(probe: Option<&Probe>) -> bool {
    probe.is_some_and(|probe| probe.pause().is_some())
}

/// The name of the ROM function that starts at `address`.
pub(crate) fn rom_symbol<F: SpiDevice>(address: u32) -> Option<&'static str> {
    native::find::<F>(address).map(|row| row.symbol)
}

#[cfg(test)]
mod tests;
