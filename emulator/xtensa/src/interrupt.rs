//! Interrupts: which are pending, how they reach a vector in memory, and how an embedder without
//! the mask ROM runs a handler the way the ROM does. XTENSA 1.3 and 3.4.

use crate::bus::{Bus, Width};
use crate::cpu::{Cpu, ps};
use crate::exception::{Exception, vector};
use crate::run::Stop;

/// Interrupts of each level 1..=7 on the ESP32, one bit a number.
const LEVELS: [(u8, u32); 6] = [
    (7, 0x0000_4000),
    (5, 0x8401_0000),
    (4, 0x5300_0000),
    (3, 0x28c0_8800),
    (2, 0x0038_0000),
    (1, 0x0006_37ff),
];
/// Interrupts that software sets with INTSET: 7 and 29.
const SOFTWARE: u32 = 1 << 7 | 1 << 29;
/// Interrupts that latch an edge: 10, 22, 28 and 30.
const EDGE: u32 = 1 << 10 | 1 << 22 | 1 << 28 | 1 << 30;
/// Interrupts of CCOMPARE0..=2.
const TIMERS: [u32; 3] = [1 << 6, 1 << 15, 1 << 16];
/// The ROM's frame under the interrupted stack pointer, bytes.
const HANDLER_FRAME_BYTES: u32 = 0x100;
/// PS in the handler: level 0, user mode, windows on, CALLINC 3 (XTENSA 1.3).
const HANDLER_PS: u32 = 0x0007_0020;

/// What became of the pending interrupts.
pub(crate) enum Delivery {
    None,
    Taken,
    Host { level: u8, lines: u32 },
}

/// The interrupted state, kept while a handler runs that the embedder entered.
#[derive(Debug, Clone)]
pub(crate) struct Interrupted {
    pc: u32,
    ar: [u32; 64],
    base: u8,
    window_start: u16,
    ps: u32,
    sar: u32,
    loops: [u32; 3],
    acc: [u32; 2],
    call_increment: u8,
    magic: u32,
}

impl Cpu {
    /// INTERRUPT: pending interrupts whether enabled or not.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.sr.latched | (self.sr.lines & !(SOFTWARE | TIMERS[0] | TIMERS[1] | TIMERS[2]))
    }

    /// INTENABLE.
    #[must_use]
    pub fn interrupts_enabled(&self) -> u32 {
        self.sr.intenable
    }

    /// Sets INTENABLE, as the ROM's `ets_isr_mask` and `ets_isr_unmask` do.
    pub fn set_interrupts_enabled(&mut self, bits: u32) {
        self.sr.intenable = bits;
        self.attention = true;
    }

    /// WSR INTSET: latches software interrupts.
    pub(crate) fn set_software(&mut self, bits: u32) {
        self.sr.latched |= bits & (SOFTWARE | EDGE);
        self.attention = true;
    }

    /// WSR INTCLEAR: clears software and edge interrupts.
    pub(crate) fn clear_latched(&mut self, bits: u32) {
        self.sr.latched &= !(bits & (SOFTWARE | EDGE));
    }

    /// `WSR CCOMPAREn`: sets the moment and clears the interrupt.
    pub(crate) fn set_compare(&mut self, index: usize, value: u32) {
        self.update_timers();
        self.sr.ccompare[index] = value;
        self.sr.latched &= !TIMERS[index];
        self.attention = true;
    }

    /// Instructions until the next enabled timer fires, at least 1.
    pub(crate) fn timer_distance(&self) -> u32 {
        let now = self.ccount();
        let timers = self.sr.ccompare.iter().zip(TIMERS);
        let enabled = timers.filter(|(_, bit)| self.sr.intenable & bit != 0);
        let distances = enabled.map(|(compare, _)| compare.wrapping_sub(now).wrapping_sub(1));
        distances.min().map_or(u32::MAX, |distance| distance.saturating_add(1)).max(1)
    }

    /// Cycles until the next enabled timer interrupt, for embedders that skip idle time.
    #[must_use]
    pub fn cycles_to_timer(&self) -> Option<u32> {
        let distance = self.timer_distance();
        (distance != u32::MAX).then_some(distance)
    }

    /// Latches the timers whose moment passed since the last call.
    pub(crate) fn update_timers(&mut self) {
        let now = self.ccount();
        let cycles = now.wrapping_sub(self.timer_mark);
        for (compare, bit) in self.sr.ccompare.iter().zip(TIMERS) {
            if compare.wrapping_sub(self.timer_mark).wrapping_sub(1) < cycles {
                self.sr.latched |= bit;
            }
        }
        self.timer_mark = now;
    }

    /// `WSR CCOUNT`: sets the cycle counter.
    pub fn set_ccount(&mut self, value: u32) {
        self.update_timers();
        self.clock_offset = value.wrapping_sub(crate::cpu::low(self.executed));
        self.timer_mark = value;
        self.attention = true;
    }

    /// Takes the highest pending interrupt that PS lets through.
    #[inline]
    pub(crate) fn deliver(&mut self) -> Delivery {
        let active = self.pending() & self.sr.intenable;
        if active == 0 { Delivery::None } else { self.deliver_active(active) }
    }

    fn deliver_active(&mut self, active: u32) -> Delivery {
        let level_now = (self.ps & ps::INTLEVEL) as u8;
        // Exception mode masks all but debug and NMI as if the level were 3 (EXCMLEVEL).
        let mask = if self.ps & ps::EXCM != 0 { level_now.max(3) } else { level_now };
        let found = LEVELS.iter().find(|(level, bits)| *level > mask && active & bits != 0);
        let Some(&(level, bits)) = found else { return Delivery::None };
        let lines = active & bits;
        let offset = match level {
            1 if self.ps & ps::UM != 0 => vector::USER,
            1 => vector::KERNEL,
            _ => vector::LEVEL2 + (u32::from(level) - 2) * 0x40,
        };
        let vector = self.sr.vecbase.wrapping_add(offset);
        if !self.mem.is_code(vector) {
            // A handler that the embedder runs is never interrupted (XTENSA 3.4: no nesting).
            if self.interrupted.is_some() {
                return Delivery::None;
            }
            return Delivery::Host { level, lines };
        }
        let place = usize::from(level);
        self.sr.epc[place] = self.pc;
        if level == 1 {
            self.sr.exccause = 4;
            self.ps |= ps::EXCM;
        } else {
            self.sr.eps[place] = self.ps;
            self.ps = self.ps & !ps::INTLEVEL | ps::EXCM | u32::from(level);
        }
        self.update_loop();
        self.pc = vector;
        Delivery::Taken
    }

    /// Enters an interrupt handler as the ROM's dispatcher does: on a frame 256 bytes under the
    /// interrupted stack pointer, called with `CALLX12`, its argument in the callee's a2, its
    /// return address `return_magic` (in the same 1 GiB region as the handler and not in memory).
    ///
    /// When the run stops with `OutsideRam` at `return_magic`, call
    /// [`Self::leave_level1_handler`]. False if a handler is running already, or the stack has no
    /// memory: nothing is changed then.
    pub fn enter_level1_handler(&mut self, handler: u32, arg: u32, return_magic: u32) -> bool {
        let stack = self.a(1).wrapping_sub(HANDLER_FRAME_BYTES);
        // If the handler's calls spill the interrupted frame, registers 4 to 11 of it go under
        // this stack pointer, inside the 256 bytes.
        let link = stack.wrapping_sub(12);
        if self.interrupted.is_some() || self.mem.write_word(link, self.a(1)).is_err() {
            return false;
        }
        self.interrupted = Some(Box::new(Interrupted {
            pc: self.pc,
            ar: self.ar,
            base: self.base,
            window_start: self.window_start,
            ps: self.ps,
            sar: self.sar,
            loops: [self.lbeg, self.lend, self.lcount],
            acc: self.sr.acc,
            call_increment: self.call_increment,
            magic: return_magic,
        }));
        self.window_start = 1 << (self.base >> 2);
        self.ps = HANDLER_PS;
        self.lcount = 0;
        self.update_loop();
        self.set_a(1, stack);
        self.set_a(12, 3 << 30 | return_magic & 0x3fff_ffff);
        self.set_a(14, arg);
        self.pc = handler;
        self.watch = None;
        self.note_effect();
        true
    }

    /// Restores the interrupted code's state. False if no handler is running.
    pub fn leave_level1_handler(&mut self) -> bool {
        let Some(saved) = self.interrupted.take() else { return false };
        self.pc = saved.pc;
        self.ar = saved.ar;
        self.base = saved.base;
        self.window_start = saved.window_start;
        self.ps = saved.ps;
        self.sar = saved.sar;
        [self.lbeg, self.lend, self.lcount] = saved.loops;
        self.sr.acc = saved.acc;
        self.call_increment = saved.call_increment;
        self.update_loop();
        self.note_effect();
        true
    }

    /// The return address of the handler that is running, if the embedder entered one.
    #[must_use]
    pub fn handler_running(&self) -> Option<u32> {
        self.interrupted.as_ref().map(|saved| saved.magic)
    }

    /// Writes the live register windows to the stack, as a debugger that walks the stack needs.
    ///
    /// # Errors
    ///
    /// The exception of the first store that failed.
    pub fn flush_windows<B: Bus>(&mut self, bus: &mut B) -> Result<(), Exception> {
        let pc = self.pc;
        self.spill_all(bus).map_err(|trap| Exception {
            cause: trap.cause,
            pc,
            vaddr: trap.vaddr.unwrap_or(0),
        })
    }

    /// `BREAK`: the debug vector if it is in memory.
    pub(crate) fn debug_break(&mut self, pc: u32, s: u8, t: u8) -> Result<u32, Stop> {
        let vector = self.sr.vecbase.wrapping_add(vector::LEVEL2 + 4 * 0x40);
        if self.ps & ps::INTLEVEL >= 6 || !self.mem.is_code(vector) {
            return Err(Stop::Break { pc, s, t });
        }
        self.sr.debugcause = 1 << 3;
        self.sr.epc[6] = pc;
        self.sr.eps[6] = self.ps;
        self.ps = self.ps & !ps::INTLEVEL | ps::EXCM | 6;
        self.update_loop();
        Ok(vector)
    }

    /// Loads a word as the core would, for embedders that follow stacks.
    #[must_use]
    pub fn peek<B: Bus>(&mut self, bus: &mut B, addr: u32) -> Option<u32> {
        self.load(bus, addr, Width::Word).ok()
    }
}
