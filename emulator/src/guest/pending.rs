//! Native functions that take time: interrupts come while they are at work, as they do in the ROM's
//! own code.
//!
//! What a function does to memory and flash is done at once, when it is called; its time then
//! passes before it returns. A received byte that the program has an interrupt for is given to it
//! in that time: at its own moment where the function only waits (`ets_delay_us`), and in the
//! order of arrival but at the function's end where it works on the flash. The core stands at the
//! function's address meanwhile, so that the handler goes back into it.

use xtensa::ps;

use super::{Guest, bus::UART0_MATRIX, line::COALESCING};
use crate::{
    soc::Machine,
    time::{Duration, Instant},
};

/// Functions under way at once: one for each interrupt that came into another, and those that a
/// program left without returning, of which the oldest are forgotten.
const PENDING_MAX: usize = 8;

/// A native function that has done its work and not returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// Its address.
    pc: u32,
    /// Its caller's stack pointer, which tells the calls of one function apart.
    stack: u32,
    /// Window increment of the call, which a handler's own calls change.
    increment: u8,
    /// What it returns.
    value: u64,
    /// Whether that is two words.
    is_wide: bool,
    /// When it returns.
    until: Instant,
    /// How far behind the clock the interrupt is that came into it last: the function's work was
    /// done at once.
    lag: Duration,
}

impl Guest {
    /// The function at `pc` returns `value` at `until`, or when its time has passed.
    pub(super) fn return_at<F>(
        &mut self,
        machine: &mut Machine<F>,
        pc: u32,
        (value, is_wide): (u64, bool),
        until: Instant,
        turn_end: Instant,
    ) {
        // The short way of nearly all calls.
        let arrives = self.line.next_due().is_some_and(|due| due < until);
        if until <= machine.now && until < turn_end && !arrives {
            return self.hand_back(value, is_wide);
        }
        if self.pending.len() == PENDING_MAX {
            self.pending.remove(0);
        }
        let (stack, increment) = (self.cpu.a(1), self.cpu.call_increment());
        let lag = Duration::ZERO;
        self.pending.push(Pending { pc, stack, increment, value, is_wide, until, lag });
        self.continue_native(machine, pc, turn_end);
    }

    /// Goes on with the function at `pc` if it is under way. Returns false if it is not.
    pub(super) fn continue_native<F>(
        &mut self,
        machine: &mut Machine<F>,
        pc: u32,
        turn_end: Instant,
    ) -> bool {
        let stack = self.cpu.a(1);
        let is_here = |pending: &Pending| (pending.pc, pending.stack) == (pc, stack);
        let Some(place) = self.pending.iter().rposition(is_here) else { return false };
        let Pending { value, is_wide, until, increment, .. } = self.pending[place];
        self.cpu.set_call_increment(increment);
        if until > machine.now {
            // Time decides what happens next, so the core is not idle.
            self.cpu.note_effect();
        }
        if self.takes_receive_interrupt(machine)
            && let Some(due) = self.next_group(machine).filter(|due| *due < until)
            && due < turn_end.max(machine.now)
        {
            // The interrupt is taken before the next instruction, which is this function again.
            self.pass(machine, due);
            self.take_until(machine, due);
            self.pending[place].lag = machine.now.since(due);
            return true;
        }
        if until > machine.now {
            self.pass(machine, until.min(turn_end));
        }
        if until <= machine.now && until < turn_end {
            self.pending.remove(place);
            self.hand_back(value, is_wide);
        }
        true
    }

    /// Whether a function is under way whose interrupts come one after the other.
    pub(super) fn is_in_native(&self) -> bool {
        let Some(pending) = self.pending.last() else { return false };
        self.cpu.handler_running().is_some() || self.cpu.pc == pending.pc
    }

    /// Up to when the line has been heard at `now`: a handler inside a native function hears what
    /// came up to its own moment, and the function itself what it is given.
    pub(super) fn heard_until(&self, now: Instant) -> Instant {
        match self.pending.last() {
            Some(pending) if self.cpu.handler_running().is_some() => {
                Instant::ZERO + (now.since(Instant::ZERO) - pending.lag)
            }
            Some(pending) if self.cpu.pc == pending.pc => Instant::ZERO,
            _ => now,
        }
    }

    fn hand_back(&mut self, value: u64, is_wide: bool) {
        if is_wide {
            self.return_wide(value);
        } else {
            self.cpu.return_from_native(u32::try_from(value).unwrap_or(0));
        }
    }

    /// Whether a received byte would interrupt the core now.
    fn takes_receive_interrupt<F>(&self, machine: &Machine<F>) -> bool {
        let line = machine.soc.registers.read(UART0_MATRIX);
        let bit = 1_u32.checked_shl(line).unwrap_or(0);
        self.cpu.interrupts_enabled() & bit != 0
            && machine.soc.uart.receive_interrupt_enabled()
            && self.cpu.ps() & (ps::INTLEVEL | ps::EXCM) == 0
            && self.cpu.handler_running().is_none()
    }

    /// When the next group of bytes is noticed by a core that only waits.
    fn next_group<F>(&self, machine: &Machine<F>) -> Option<Instant> {
        self.next_burst_of(machine, |threshold| {
            if threshold == 1 { self.coalescing.min(COALESCING) } else { threshold }
        })
    }
}
