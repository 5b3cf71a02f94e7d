//! Running with a budget, and why a run ends.

use crate::bus::Bus;
use crate::cpu::Cpu;
use crate::exception::Exception;
use crate::interrupt::Delivery;
use crate::observe::Observer;
use crate::path::Followed;

/// Instructions between two looks at the interrupt lines.
const SLICE: u32 = 8192;

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

    /// Executes up to `count` instructions. `None` if all were executed or an instruction asked
    /// for attention; the pc and the count are written back in any case.
    pub(crate) fn burst<B: Bus, O: Observer>(
        &mut self,
        bus: &mut B,
        observer: &mut O,
        count: u32,
    ) -> Option<Stop> {
        let end = self.executed + u64::from(count);
        // Single steps and observers see each instruction.
        let stop = if O::ACTIVE || count == 1 {
            self.interpret_until(bus, observer, end).0
        } else {
            self.run_until(bus, end)
        };
        self.update_timers();
        stop
    }

    /// Along compiled paths where there are any, else one instruction at a time.
    fn run_until<B: Bus>(&mut self, bus: &mut B, end: u64) -> Option<Stop> {
        let mut arrived = true;
        loop {
            if arrived {
                match self.follow(bus, end) {
                    Followed::No => {}
                    Followed::Along => {
                        if self.executed == end {
                            return None;
                        }
                        continue;
                    }
                    Followed::Attention => return None,
                    Followed::Stop(stop) => return Some(stop),
                }
            }
            let stop;
            (stop, arrived) = self.interpret_until(bus, &mut (), end);
            if !arrived || self.executed == end {
                return stop;
            }
        }
    }

    /// Interprets until `executed` is `end`, something stops it, or a path may begin (the second
    /// value).
    pub(crate) fn interpret_until<B: Bus, O: Observer>(
        &mut self,
        bus: &mut B,
        observer: &mut O,
        end: u64,
    ) -> (Option<Stop>, bool) {
        let (start, before) = (crate::cpu::low(self.executed), self.executed);
        let mut n = start;
        let (pc, stop, arrived) = self.interpret(bus, observer, &mut n, crate::cpu::low(end));
        self.executed = before + u64::from(n.wrapping_sub(start));
        self.pc = pc;
        (stop, arrived)
    }
}
