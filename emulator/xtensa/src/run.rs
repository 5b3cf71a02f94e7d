//! Running with a budget, and why a run ends.

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::exception::Exception;
use crate::interrupt::Delivery;
use crate::observe::Observer;

/// Instructions between two looks at the interrupt lines.
const SLICE: u32 = 256;

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The budget is used up.
    Budget,
    /// The next instruction is not in executable memory: a native function, a magic return
    /// address, or a wild jump. Nothing at `pc` was executed.
    OutsideRam {
        /// The address.
        pc: u32,
    },
    /// The code waits: it repeats without any effect until an interrupt, input or time changes
    /// something (proved by an equal state, XTENSA 3.6), or executed `WAITI`.
    Idle {
        /// Where.
        pc: u32,
    },
    /// An enabled interrupt is pending and its vector is not in memory. Run the handler with
    /// [`Cpu::enter_level1_handler`], or clear the cause; running on without either stops again.
    Interrupt {
        /// Its level, 1..=7.
        level: u8,
        /// The pending enabled interrupts of that level, one bit a number.
        lines: u32,
    },
    /// An exception that no code in memory handles; `Cpu::pc` is the instruction that took it.
    Exception(Exception),
    /// `BREAK s, t`, and no debug vector in memory; `Cpu::pc` is its address.
    Break {
        /// Its address.
        pc: u32,
        /// First number.
        s: u8,
        /// Second number.
        t: u8,
    },
    /// `SIMCALL`; `Cpu::pc` is behind it.
    Simcall {
        /// Its address.
        pc: u32,
    },
    /// The observer asked for it; the instruction at `pc` was not executed.
    Observer {
        /// Its address.
        pc: u32,
    },
}

/// How a run went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended.
    pub stop: Stop,
    /// Instructions executed.
    pub instructions: u64,
}

impl Cpu {
    /// Runs until `budget` instructions are executed or something else ends the run.
    pub fn run<B: Bus>(&mut self, bus: &mut B, budget: u64) -> Outcome {
        self.run_observed(bus, &mut (), budget)
    }

    /// [`Self::run`] with an observer that sees every instruction.
    pub fn run_observed<B: Bus, O: Observer>(
        &mut self,
        bus: &mut B,
        observer: &mut O,
        budget: u64,
    ) -> Outcome {
        let start = self.executed;
        let stop = loop {
            let left = budget - (self.executed - start);
            if let Some(stop) = self.run_slice(bus, observer, left) {
                break stop;
            }
        };
        Outcome { stop, instructions: self.executed - start }
    }

    /// One slice: interrupts first, then up to `left` instructions.
    fn run_slice<B: Bus, O: Observer>(
        &mut self,
        bus: &mut B,
        observer: &mut O,
        left: u64,
    ) -> Option<Stop> {
        self.attention = false;
        self.sr.lines = bus.interrupt_lines();
        match self.deliver() {
            Delivery::None => {}
            Delivery::Taken => self.waiting = false,
            Delivery::Host { level, lines } => {
                self.waiting = false;
                return Some(Stop::Interrupt { level, lines });
            }
        }
        if self.waiting {
            return Some(Stop::Idle { pc: self.pc });
        }
        if left == 0 {
            return Some(Stop::Budget);
        }
        if self.watching(bus) {
            if self.watch_recurs(bus) {
                return Some(Stop::Idle { pc: self.pc });
            }
            let stop = self.burst(bus, observer, 1);
            return match stop {
                None => None,
                // A native function may follow; the attempt goes on behind it.
                Some(Stop::OutsideRam { .. }) => stop,
                Some(_) => {
                    self.watch = None;
                    stop
                }
            };
        }
        let slice = SLICE.min(u32::try_from(left).unwrap_or(SLICE)).min(self.timer_distance());
        self.burst(bus, observer, slice)
    }
}
