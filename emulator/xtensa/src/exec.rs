//! The interpreter's loop.

use crate::access::Side;
use crate::bus::{Bus, Width};
use crate::cpu::{Cpu, HISTORY};
use crate::exception::{Cause, Trap};
use crate::insn::{B4CONST, B4CONSTU, Op};
use crate::observe::Observer;
use crate::run::Stop;

impl Cpu {
    /// Loads through plain memory or the bus.
    #[inline]
    pub(crate) fn load<B: Bus>(
        &mut self,
        bus: &mut B,
        addr: u32,
        width: Width,
    ) -> Result<u32, Trap> {
        let fast = match width {
            Width::Byte => self.mem.byte(addr),
            Width::Half => self.mem.half(addr),
            Width::Word => self.mem.word(addr),
        };
        fast.map_or_else(|| self.load_slow(bus, addr, width), Ok)
    }

    /// Loads that plain memory does not answer at once: the bus, unaligned and refused ones.
    #[inline(never)]
    fn load_slow<B: Bus>(&mut self, bus: &mut B, addr: u32, width: Width) -> Result<u32, Trap> {
        self.mem.load_slow(bus, addr, width)
    }

    /// Stores through plain memory or the bus.
    #[inline]
    pub(crate) fn store<B: Bus>(
        &mut self,
        bus: &mut B,
        addr: u32,
        width: Width,
        value: u32,
    ) -> Result<(), Trap> {
        let done = match width {
            Width::Byte => self.mem.set_byte(addr, value),
            Width::Half => self.mem.set_half(addr, value),
            Width::Word => self.mem.set_word(addr, value),
        };
        if done { Ok(()) } else { self.store_slow(bus, addr, width, value) }
    }

    #[inline(never)]
    fn store_slow<B: Bus>(
        &mut self,
        bus: &mut B,
        addr: u32,
        width: Width,
        value: u32,
    ) -> Result<(), Trap> {
        let mut side = Side { effects: &mut self.effects, attention: &mut self.attention };
        self.mem.store_slow(bus, &mut side, addr, width, value)
    }

    /// The end of a loop's body is reached in sequence: back to LBEG. XTENSA 3.2, last paragraph.
    #[cold]
    fn loop_back(&mut self) -> u32 {
        self.lcount = self.lcount.wrapping_sub(1);
        self.update_loop();
        self.lbeg
    }

    /// The loop itself: `n` counts up to `end`. Gives the pc to go on at.
    #[expect(clippy::too_many_lines, reason = "one arm an operation, in one jump table")]
    #[expect(clippy::cast_possible_truncation, reason = "registers are cut to bytes on purpose")]
    pub(crate) fn interpret<B: Bus, O: Observer>(
        &mut self,
        bus: &mut B,
        observer: &mut O,
        n: &mut u32,
        end: u32,
    ) -> (u32, Option<Stop>, bool) {
        let mut pc = self.pc;
        let mut arrived = false;
        let before = self.executed;
        let start = *n;
        let mut count = *n;
        let stop = 'run: loop {
            if count == end {
                break None;
            }
            let slot = pc.wrapping_sub(self.mem.code_base) as usize;
            let insn = match self.mem.code.get(slot) {
                Some(insn) if insn.op != Op::Undecoded => *insn,
                _ => match self.mem.fetch(pc) {
                    Some(insn) => insn,
                    None => break Some(Stop::OutsideRam { pc }),
                },
            };
            if O::ACTIVE {
                self.pc = pc;
                self.executed = before + u64::from(count.wrapping_sub(start));
                if !observer.before(self, pc, insn) {
                    break Some(Stop::Observer { pc });
                }
            }
            self.history[count as usize % HISTORY] = pc;
            count = count.wrapping_add(1);
            let mut next = pc.wrapping_add(insn.len());
            let base = self.base;

            macro_rules! reg {
                ($field:expr) => {
                    self.ar[usize::from(base.wrapping_add($field) & 63)]
                };
            }
            macro_rules! r {
                ($value:expr) => {{
                    let value = $value;
                    reg!(insn.len_r) = value;
                }};
            }
            macro_rules! s {
                () => {
                    reg!(insn.s)
                };
            }
            macro_rules! t {
                () => {
                    reg!(insn.t)
                };
            }
            macro_rules! set_t {
                ($value:expr) => {{
                    let value = $value;
                    reg!(insn.t) = value;
                }};
            }
            macro_rules! check {
                ($result:expr) => {
                    match $result {
                        Ok(value) => value,
                        Err(trap) => match self.raise(pc, trap) {
                            Ok(vector) => {
                                pc = vector;
                                continue 'run;
                            }
                            Err(exception) => break 'run Some(Stop::Exception(exception)),
                        },
                    }
                };
            }
            // On to another place, where a path may begin.
            macro_rules! go {
                ($target:expr) => {{
                    pc = $target;
                    if !O::ACTIVE && self.paths.arrive(pc.wrapping_sub(self.mem.code_base)) {
                        arrived = true;
                        break 'run None;
                    }
                    continue 'run;
                }};
            }
            macro_rules! branch {
                ($condition:expr) => {
                    if $condition {
                        // Most circles close with a branch backwards.
                        if insn.imm < pc {
                            go!(insn.imm);
                        }
                        pc = insn.imm;
                        continue 'run;
                    }
                };
            }
            macro_rules! load {
                ($fast:ident, $width:expr) => {{
                    let addr = s!().wrapping_add(insn.imm);
                    match self.mem.$fast(addr) {
                        Some(value) => value,
                        None => check!(self.load_slow(bus, addr, $width)),
                    }
                }};
            }
            macro_rules! store {
                ($fast:ident, $width:expr) => {{
                    let (addr, value) = (s!().wrapping_add(insn.imm), t!());
                    if !self.mem.$fast(addr, value) {
                        check!(self.store_slow(bus, addr, $width, value));
                        if self.attention && next != self.loop_end {
                            pc = next;
                            break 'run None;
                        }
                    }
                }};
            }
            macro_rules! call {
                ($increment:expr, $target:expr) => {{
                    let target = $target;
                    self.link($increment, next);
                    if O::ACTIVE {
                        observer.enter(pc, target);
                    }
                    go!(target);
                }};
            }
            macro_rules! divide {
                (|$a:ident, $b:ident| $value:expr) => {{
                    let ($a, $b) = (s!(), t!());
                    if $b == 0 {
                        check!(Err(Trap::new(Cause::IntegerDivideByZero)));
                    }
                    r!($value);
                }};
            }

            match insn.op {
                Op::And => r!(s!() & t!()),
                Op::Or => r!(s!() | t!()),
                Op::Xor => r!(s!() ^ t!()),
                Op::Add => r!(s!().wrapping_add(t!())),
                Op::Addx2 => r!((s!() << 1).wrapping_add(t!())),
                Op::Addx4 => r!((s!() << 2).wrapping_add(t!())),
                Op::Addx8 => r!((s!() << 3).wrapping_add(t!())),
                Op::Sub => r!(s!().wrapping_sub(t!())),
                Op::Subx2 => r!((s!() << 1).wrapping_sub(t!())),
                Op::Subx4 => r!((s!() << 2).wrapping_sub(t!())),
                Op::Subx8 => r!((s!() << 3).wrapping_sub(t!())),
                Op::Neg => r!(t!().wrapping_neg()),
                Op::Abs => r!(t!().cast_signed().unsigned_abs()),
                Op::Mov => r!(s!()),
                Op::Ssr => self.sar = s!() & 31,
                Op::Ssl => self.sar = 32 - (s!() & 31),
                Op::Ssa8l => self.sar = (s!() & 3) * 8,
                Op::Ssa8b => self.sar = 32 - (s!() & 3) * 8,
                Op::Ssai => self.sar = insn.imm,
                Op::Nsa => {
                    let value = s!().cast_signed();
                    set_t!(
                        (value ^ (value >> 31)).cast_unsigned().leading_zeros().saturating_sub(1)
                    );
                }
                Op::Nsau => set_t!(s!().leading_zeros()),
                Op::Slli => r!(s!().checked_shl(insn.imm).unwrap_or(0)),
                Op::Srai => r!((t!().cast_signed() >> (insn.imm & 31)).cast_unsigned()),
                Op::Srli => r!(t!() >> (insn.imm & 31)),
                Op::Src => {
                    let pair = u64::from(s!()) << 32 | u64::from(t!());
                    r!((pair >> (self.sar & 63)) as u32);
                }
                Op::Srl => r!((u64::from(t!()) >> (self.sar & 63)) as u32),
                Op::Sll => r!(((u64::from(s!()) << 32) >> (self.sar & 63)) as u32),
                Op::Sra => {
                    let wide = i64::from(t!().cast_signed());
                    r!((wide >> (self.sar & 63)).cast_unsigned() as u32);
                }
                Op::Extui => r!(t!() >> (insn.s & 31) & insn.imm),
                Op::Mul16u => r!((s!() & 0xffff).wrapping_mul(t!() & 0xffff)),
                Op::Mul16s => {
                    let product = i32::from((s!() as u16).cast_signed())
                        * i32::from((t!() as u16).cast_signed());
                    r!(product.cast_unsigned());
                }
                Op::Mull => r!(s!().wrapping_mul(t!())),
                Op::Muluh => r!(((u64::from(s!()) * u64::from(t!())) >> 32) as u32),
                Op::Mulsh => {
                    let product = i64::from(s!().cast_signed()) * i64::from(t!().cast_signed());
                    r!((product >> 32).cast_unsigned() as u32);
                }
                Op::Quou => divide!(|a, b| a / b),
                Op::Remu => divide!(|a, b| a % b),
                Op::Quos => {
                    divide!(|a, b| a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned());
                }
                Op::Rems => {
                    divide!(|a, b| a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned());
                }
                Op::Sext => {
                    let shift = 31 - (insn.imm & 31);
                    r!(((s!() << shift).cast_signed() >> shift).cast_unsigned());
                }
                Op::Clamps => {
                    let limit = 1_i32 << (insn.imm & 31);
                    r!(s!().cast_signed().clamp(-limit, limit - 1).cast_unsigned());
                }
                Op::Min => r!(s!().cast_signed().min(t!().cast_signed()).cast_unsigned()),
                Op::Max => r!(s!().cast_signed().max(t!().cast_signed()).cast_unsigned()),
                Op::Minu => r!(s!().min(t!())),
                Op::Maxu => r!(s!().max(t!())),
                Op::Moveqz => {
                    if t!() == 0 {
                        r!(s!());
                    }
                }
                Op::Movnez => {
                    if t!() != 0 {
                        r!(s!());
                    }
                }
                Op::Movltz => {
                    if t!().cast_signed() < 0 {
                        r!(s!());
                    }
                }
                Op::Movgez => {
                    if t!().cast_signed() >= 0 {
                        r!(s!());
                    }
                }

                Op::L8ui => set_t!(load!(byte, Width::Byte)),
                Op::L16ui => set_t!(load!(half, Width::Half)),
                Op::L16si => {
                    let value = load!(half, Width::Half);
                    set_t!(i32::from((value as u16).cast_signed()).cast_unsigned());
                }
                Op::L32i | Op::L32ai => set_t!(load!(word, Width::Word)),
                Op::S8i => store!(set_byte, Width::Byte),
                Op::S16i => store!(set_half, Width::Half),
                Op::S32i | Op::S32ri => store!(set_word, Width::Word),
                Op::L32r => {
                    let value = match self.mem.word(insn.imm) {
                        Some(value) => value,
                        None => check!(self.load_slow(bus, insn.imm, Width::Word)),
                    };
                    set_t!(value);
                }
                Op::Movi => set_t!(insn.imm),
                Op::Addi | Op::Addmi => set_t!(s!().wrapping_add(insn.imm)),

                Op::Beqz => branch!(s!() == 0),
                Op::Bnez => branch!(s!() != 0),
                Op::Bltz => branch!(s!().cast_signed() < 0),
                Op::Bgez => branch!(s!().cast_signed() >= 0),
                Op::Beqi => branch!(s!().cast_signed() == B4CONST[usize::from(insn.r())]),
                Op::Bnei => branch!(s!().cast_signed() != B4CONST[usize::from(insn.r())]),
                Op::Blti => branch!(s!().cast_signed() < B4CONST[usize::from(insn.r())]),
                Op::Bgei => branch!(s!().cast_signed() >= B4CONST[usize::from(insn.r())]),
                Op::Bltui => branch!(s!() < B4CONSTU[usize::from(insn.r())]),
                Op::Bgeui => branch!(s!() >= B4CONSTU[usize::from(insn.r())]),
                Op::Bnone => branch!(s!() & t!() == 0),
                Op::Bany => branch!(s!() & t!() != 0),
                Op::Ball => branch!(!s!() & t!() == 0),
                Op::Bnall => branch!(!s!() & t!() != 0),
                Op::Beq => branch!(s!() == t!()),
                Op::Bne => branch!(s!() != t!()),
                Op::Blt => branch!(s!().cast_signed() < t!().cast_signed()),
                Op::Bge => branch!(s!().cast_signed() >= t!().cast_signed()),
                Op::Bltu => branch!(s!() < t!()),
                Op::Bgeu => branch!(s!() >= t!()),
                Op::Bbc => branch!(s!() >> (t!() & 31) & 1 == 0),
                Op::Bbs => branch!(s!() >> (t!() & 31) & 1 != 0),
                Op::Bbci => branch!(s!() >> (insn.t & 31) & 1 == 0),
                Op::Bbsi => branch!(s!() >> (insn.t & 31) & 1 != 0),

                Op::J => branch!(true),
                Op::Jx => go!(s!()),
                Op::Call0 | Op::Callx0 => {
                    let target = if insn.op == Op::Call0 { insn.imm } else { s!() };
                    reg!(0) = next;
                    self.call_increment = 0;
                    if O::ACTIVE {
                        observer.enter(pc, target);
                    }
                    go!(target);
                }
                Op::Call8 => call!(2, insn.imm),
                Op::Callx8 => call!(2, s!()),
                Op::Call4 => call!(1, insn.imm),
                Op::Callx4 => call!(1, s!()),
                Op::Call12 => call!(3, insn.imm),
                Op::Callx12 => call!(3, s!()),
                Op::Ret | Op::Retw => {
                    let target = if insn.op == Op::Ret {
                        reg!(0)
                    } else {
                        check!(self.return_windowed(bus, pc))
                    };
                    if O::ACTIVE {
                        observer.leave(pc, target);
                    }
                    go!(target);
                }
                Op::Entry => check!(self.entry(bus, insn.s, insn.imm)),
                Op::Loop | Op::Loopnez | Op::Loopgtz => {
                    let times = s!();
                    self.lbeg = next;
                    self.lend = insn.imm;
                    self.lcount = times.wrapping_sub(1);
                    self.update_loop();
                    let skip = match insn.op {
                        Op::Loopnez => times == 0,
                        Op::Loopgtz => times.cast_signed() <= 0,
                        _ => false,
                    };
                    branch!(skip);
                }
                op if op.does_nothing() => {}
                _ => {
                    // The clock that the instruction reads does not count itself.
                    self.executed = before + u64::from(count.wrapping_sub(start)) - 1;
                    match check!(self.rare(bus, pc, insn)) {
                        Flow::Next => {}
                        Flow::Jump(target) => {
                            pc = target;
                            if self.attention {
                                break None;
                            }
                            continue;
                        }
                        Flow::Stop(stop) => {
                            pc = next;
                            break Some(stop);
                        }
                        Flow::Break(stop) => break Some(stop),
                    }
                    if self.attention && next != self.loop_end {
                        pc = next;
                        break None;
                    }
                }
            }
            if next == self.loop_end {
                next = self.loop_back();
            }
            pc = next;
        };
        *n = count;
        (pc, stop, arrived)
    }
}

/// How execution goes on after a rare instruction.
pub(crate) enum Flow {
    /// With the next instruction.
    Next,
    /// At another address.
    Jump(u32),
    /// Not at once: stop behind the instruction.
    Stop(Stop),
    /// Not at once: stop at the instruction.
    Break(Stop),
}
