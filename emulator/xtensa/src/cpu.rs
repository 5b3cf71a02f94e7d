//! The state of the core.

use crate::idle::{Rest, Watch};
use crate::interrupt::Interrupted;
use crate::memory::Memory;
use crate::path::Paths;

/// Fields of the processor state register.
pub mod ps {
    /// Interrupt level, 0..=15.
    pub const INTLEVEL: u32 = 0xf;
    /// Exception mode: window checks, loops and low interrupts are off.
    pub const EXCM: u32 = 1 << 4;
    /// User vector mode.
    pub const UM: u32 = 1 << 5;
    /// Window base before a window exception.
    pub const OWB: u32 = 0xf << 8;
    /// Window increment of the last windowed call, times 2^16.
    pub const CALLINC: u32 = 3 << 16;
    /// Windowing on.
    pub const WOE: u32 = 1 << 18;
    /// The bits that exist on the ESP32.
    pub const ALL: u32 = INTLEVEL | EXCM | UM | 3 << 6 | OWB | CALLINC | WOE;
}

/// How many executed instructions [`Cpu::history`] remembers.
pub(crate) const HISTORY: usize = 32;

/// Special registers that the interpreter's fast path does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Special {
    pub(crate) br: u32,
    pub(crate) litbase: u32,
    pub(crate) scompare1: u32,
    pub(crate) acc: [u32; 2],
    pub(crate) mr: [u32; 4],
    pub(crate) ibreakenable: u32,
    pub(crate) memctl: u32,
    pub(crate) atomctl: u32,
    pub(crate) ddr: u32,
    pub(crate) ibreaka: [u32; 2],
    pub(crate) dbreaka: [u32; 2],
    pub(crate) dbreakc: [u32; 2],
    /// EPC1..EPC7 at 1..=7; 0 is DEPC.
    pub(crate) epc: [u32; 8],
    /// EPS2..EPS7 at 2..=7.
    pub(crate) eps: [u32; 8],
    /// EXCSAVE1..EXCSAVE7 at 1..=7.
    pub(crate) excsave: [u32; 8],
    pub(crate) cpenable: u32,
    /// Latched interrupts: software, edge and timer.
    pub(crate) latched: u32,
    /// Level-sensitive inputs as last given.
    pub(crate) lines: u32,
    pub(crate) intenable: u32,
    pub(crate) vecbase: u32,
    pub(crate) exccause: u32,
    pub(crate) debugcause: u32,
    pub(crate) prid: u32,
    pub(crate) icount: u32,
    pub(crate) icountlevel: u32,
    pub(crate) excvaddr: u32,
    pub(crate) ccompare: [u32; 3],
    pub(crate) misc: [u32; 4],
    pub(crate) threadptr: u32,
    pub(crate) fcr: u32,
    pub(crate) fsr: u32,
    pub(crate) f64: [u32; 3],
    /// Region attributes of the instruction and data TLB, one a 512 MiB region.
    pub(crate) attributes: [[u32; 8]; 2],
}

impl Special {
    fn new() -> Self {
        Self {
            br: 0,
            litbase: 0,
            scompare1: 0,
            acc: [0; 2],
            mr: [0; 4],
            ibreakenable: 0,
            memctl: 0,
            atomctl: 0x28,
            ddr: 0,
            ibreaka: [0; 2],
            dbreaka: [0; 2],
            dbreakc: [0; 2],
            epc: [0; 8],
            eps: [0; 8],
            excsave: [0; 8],
            cpenable: 0,
            latched: 0,
            lines: 0,
            intenable: 0,
            vecbase: 0x4000_0000,
            exccause: 0,
            debugcause: 0,
            // Core 0 of the ESP32; core 1 reads 0xabab.
            prid: 0xcdcd,
            icount: 0,
            icountlevel: 0,
            excvaddr: 0,
            ccompare: [0; 3],
            misc: [0; 4],
            threadptr: 0,
            fcr: 0,
            fsr: 0,
            f64: [0; 3],
            attributes: [[2; 8]; 2],
        }
    }
}

/// One Xtensa LX6 core with its plain memory.
///
/// The register windows are spilled at `ENTRY` and reloaded at `RETW` by the interpreter, in the
/// memory layout that hardware's window handlers produce (XTENSA 3.3), so no window exception is
/// ever taken.
#[derive(Debug, Clone)]
pub struct Cpu {
    /// Plain memory.
    pub mem: Memory,
    /// Address of the next instruction.
    pub pc: u32,
    pub(crate) ar: [u32; 64],
    /// Index of a0 in `ar`: `WindowBase` times 4.
    pub(crate) base: u8,
    pub(crate) window_start: u16,
    /// Window increment of the last call, 0 for `CALL0`, which leaves PS.CALLINC alone.
    pub(crate) call_increment: u8,
    pub(crate) ps: u32,
    pub(crate) sar: u32,
    pub(crate) lbeg: u32,
    pub(crate) lend: u32,
    pub(crate) lcount: u32,
    /// LEND while a loop can jump back (LCOUNT not 0 and PS.EXCM clear), else all ones.
    pub(crate) loop_end: u32,
    pub(crate) fr: [u32; 16],
    pub(crate) sr: Special,
    /// Instructions executed since the core was made.
    pub(crate) executed: u64,
    /// CCOUNT minus the low word of `executed`.
    pub(crate) clock_offset: u32,
    /// CCOUNT up to which the timers were looked at.
    pub(crate) timer_mark: u32,
    /// Effects other than changed memory: bus stores, clock reads, native functions.
    pub(crate) effects: u64,
    pub(crate) waiting: bool,
    /// Set by instructions after which the run loop must look at interrupts.
    pub(crate) attention: bool,
    pub(crate) history: [u32; HISTORY],
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) watch_effects: u64,
    pub(crate) watch_next: u64,
    pub(crate) watch_soon: bool,
    pub(crate) watch_attempts: u32,
    pub(crate) rest: Option<Box<Rest>>,
    pub(crate) interrupted: Option<Box<Interrupted>>,
    pub(crate) paths: Paths,
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// A core without memory, windows on, interrupts off at the source, stack pointer 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mem: Memory::new(),
            pc: 0,
            ar: [0; 64],
            base: 0,
            window_start: 1,
            call_increment: 0,
            ps: ps::WOE | ps::UM,
            sar: 0,
            lbeg: 0,
            lend: 0,
            lcount: 0,
            loop_end: u32::MAX,
            fr: [0; 16],
            sr: Special::new(),
            executed: 0,
            clock_offset: 0,
            timer_mark: 0,
            effects: 0,
            waiting: false,
            attention: false,
            history: [0; HISTORY],
            watch: None,
            watch_effects: 0,
            watch_next: 0,
            watch_soon: false,
            watch_attempts: 0,
            rest: None,
            interrupted: None,
            paths: Paths::default(),
        }
    }

    /// Register `a0`..`a15` of the current window.
    #[must_use]
    pub fn a(&self, n: u8) -> u32 {
        self.ar[usize::from(self.base.wrapping_add(n) & 63)]
    }

    /// Writes register `a0`..`a15` of the current window.
    pub fn set_a(&mut self, n: u8, value: u32) {
        self.ar[usize::from(self.base.wrapping_add(n) & 63)] = value;
    }

    /// All 64 physical registers.
    #[must_use]
    pub fn physical(&self) -> &[u32; 64] {
        &self.ar
    }

    /// Writes a physical register, `index` modulo 64.
    pub fn set_physical(&mut self, index: u8, value: u32) {
        self.ar[usize::from(index & 63)] = value;
    }

    /// `WindowBase`, 0..=15.
    #[must_use]
    pub fn window_base(&self) -> u8 {
        self.base >> 2
    }

    /// `WindowStart`, one bit a group of four registers.
    #[must_use]
    pub fn window_start(&self) -> u16 {
        self.window_start
    }

    /// Sets `WindowBase` (modulo 16) and `WindowStart`.
    pub fn set_window(&mut self, base: u8, start: u16) {
        self.base = (base & 15) << 2;
        self.window_start = start;
    }

    /// The processor state register; see [`ps`].
    #[must_use]
    pub fn ps(&self) -> u32 {
        self.ps
    }

    /// Sets the processor state register.
    pub fn set_ps(&mut self, value: u32) {
        self.ps = value & ps::ALL;
        self.attention = true;
        self.update_loop();
    }

    /// A floating-point register's bits.
    #[must_use]
    pub fn f(&self, n: u8) -> u32 {
        self.fr[usize::from(n & 15)]
    }

    /// Writes a floating-point register's bits.
    pub fn set_f(&mut self, n: u8, bits: u32) {
        self.fr[usize::from(n & 15)] = bits;
    }

    /// Shift amount register.
    #[must_use]
    pub fn sar(&self) -> u32 {
        self.sar
    }

    /// Instructions executed since the core was made.
    #[must_use]
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// The cycle counter: one a instruction plus what [`Self::advance_clock`] added.
    #[must_use]
    pub fn ccount(&self) -> u32 {
        low(self.executed).wrapping_add(self.clock_offset)
    }

    /// Moves the cycle counter on, for time in which no instruction ran (a native function, a
    /// wait). Timer interrupts whose moment is passed become pending.
    pub fn advance_clock(&mut self, cycles: u32) {
        self.update_timers();
        self.clock_offset = self.clock_offset.wrapping_add(cycles);
        self.update_timers();
    }

    /// Tells idle detection that something outside memory changed, for instance that a native
    /// function had an effect.
    pub fn note_effect(&mut self) {
        self.effects = self.effects.wrapping_add(1);
    }

    /// The last 32 executed instructions' addresses, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<u32> {
        let count = usize::try_from(self.executed).unwrap_or(usize::MAX).min(HISTORY);
        let next = low(self.executed) as usize;
        (0..count).map(|back| self.history[next.wrapping_sub(count - back) % HISTORY]).collect()
    }

    /// The history as text, one `address: instruction` a line, oldest first.
    #[must_use]
    pub fn history_text(&self) -> Vec<String> {
        let line = |pc: &u32| {
            let text = match self.mem.code_bytes(*pc) {
                Some(bytes) => crate::disasm(*pc, bytes),
                None => "(no memory)".to_owned(),
            };
            format!("{pc:#010x}: {text}")
        };
        self.history().iter().map(line).collect()
    }

    /// Recomputes where the fast path must look for a loop's end.
    pub(crate) fn update_loop(&mut self) {
        let active = self.lcount != 0 && self.ps & ps::EXCM == 0;
        self.loop_end = if active { self.lend } else { u32::MAX };
    }
}

/// The low word of a counter.
#[expect(clippy::cast_possible_truncation, reason = "the low word is wanted")]
pub(crate) fn low(value: u64) -> u32 {
    value as u32
}
