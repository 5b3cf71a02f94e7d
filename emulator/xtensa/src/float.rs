//! The single-precision floating-point coprocessor. ISA reference manual, 4.3.11.

use crate::bus::{Bus, Width};
use crate::cpu::Cpu;
use crate::exception::{Cause, Trap};
use crate::insn::{Insn, Op};

impl Cpu {
    fn float_on(&self) -> Result<(), Trap> {
        if self.sr.cpenable & 1 == 0 {
            return Err(Trap::new(Cause::Coprocessor0Disabled));
        }
        Ok(())
    }

    fn fp(&self, n: u8) -> f32 {
        f32::from_bits(self.f(n))
    }

    fn set_fp(&mut self, n: u8, value: f32) {
        self.set_f(n, value.to_bits());
    }

    /// `LSI`, `SSI`, `LSX`, `SSX` and their updating forms.
    pub(crate) fn float_memory<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<(), Trap> {
        self.float_on()?;
        let base = self.a(insn.s);
        let (addr, register) = match insn.op {
            Op::Lsx | Op::Lsxu | Op::Ssx | Op::Ssxu => {
                (base.wrapping_add(self.a(insn.t)), insn.r())
            }
            _ => (base.wrapping_add(insn.imm), insn.t),
        };
        if matches!(insn.op, Op::Lsi | Op::Lsiu | Op::Lsx | Op::Lsxu) {
            let value = self.load(bus, addr, Width::Word)?;
            self.set_f(register, value);
        } else {
            self.store(bus, addr, Width::Word, self.f(register))?;
        }
        if matches!(insn.op, Op::Lsiu | Op::Ssiu | Op::Lsxu | Op::Ssxu) {
            self.set_a(insn.s, addr);
        }
        Ok(())
    }

    /// Everything else of the coprocessor. Rounding is to nearest.
    pub(crate) fn float(&mut self, insn: Insn) -> Result<(), Trap> {
        self.float_on()?;
        let r = insn.r();
        let (s, t) = (self.fp(insn.s), self.fp(insn.t));
        match insn.op {
            Op::AddS => self.set_fp(r, s + t),
            Op::SubS => self.set_fp(r, s - t),
            Op::MulS => self.set_fp(r, s * t),
            Op::MaddS => self.set_fp(r, s.mul_add(t, self.fp(r))),
            Op::MsubS => self.set_fp(r, (-s).mul_add(t, self.fp(r))),
            Op::MovS => self.set_f(r, self.f(insn.s)),
            Op::AbsS => self.set_f(r, self.f(insn.s) & 0x7fff_ffff),
            Op::NegS => self.set_f(r, self.f(insn.s) ^ 0x8000_0000),
            Op::Rfr => self.set_a(r, self.f(insn.s)),
            Op::Wfr => self.set_f(r, self.a(insn.s)),
            Op::RoundS | Op::TruncS | Op::FloorS | Op::CeilS | Op::UtruncS => {
                self.set_a(r, to_integer(insn, s));
            }
            Op::FloatS | Op::UfloatS => {
                let value = self.a(insn.s);
                self.set_fp(r, from_integer(insn, value));
            }
            Op::UnS | Op::OeqS | Op::UeqS | Op::OltS | Op::UltS | Op::OleS | Op::UleS => {
                self.set_bit(r, compare(insn.op, s, t));
            }
            _ => self.float_move(insn),
        }
        Ok(())
    }

    /// `MOVEQZ.S` and the other conditional moves.
    fn float_move(&mut self, insn: Insn) {
        let test = self.a(insn.t).cast_signed();
        let moves = match insn.op {
            Op::MoveqzS => test == 0,
            Op::MovnezS => test != 0,
            Op::MovltzS => test < 0,
            Op::MovgezS => test >= 0,
            Op::MovfS => !self.bit(insn.t),
            _ => self.bit(insn.t),
        };
        if moves {
            self.set_f(insn.r(), self.f(insn.s));
        }
    }
}

fn compare(op: Op, s: f32, t: f32) -> bool {
    let unordered = s.is_nan() || t.is_nan();
    match op {
        Op::UnS => unordered,
        #[expect(clippy::float_cmp, reason = "the instruction compares exactly")]
        Op::OeqS => s == t,
        #[expect(clippy::float_cmp, reason = "the instruction compares exactly")]
        Op::UeqS => unordered || s == t,
        Op::OltS => s < t,
        Op::UltS => unordered || s < t,
        Op::OleS => s <= t,
        _ => unordered || s <= t,
    }
}

/// `ROUND.S` and the others: scaled by 2^imm, saturating; a NaN gives the largest value.
#[expect(clippy::cast_possible_truncation, reason = "saturates as the instruction does")]
#[expect(clippy::cast_sign_loss, reason = "UTRUNC.S of a negative wraps as the manual says")]
fn to_integer(insn: Insn, value: f32) -> u32 {
    if value.is_nan() {
        return if insn.op == Op::UtruncS { u32::MAX } else { 0x7fff_ffff };
    }
    let scaled = f64::from(value) * f64::from(1_u32 << (insn.imm & 15));
    let whole = match insn.op {
        Op::RoundS => scaled.round_ties_even(),
        Op::FloorS => scaled.floor(),
        Op::CeilS => scaled.ceil(),
        _ => scaled.trunc(),
    };
    if insn.op == Op::UtruncS && whole >= 0.0 {
        whole as u32
    } else {
        (whole as i32).cast_unsigned()
    }
}

/// `FLOAT.S` and `UFLOAT.S`: divided by 2^imm.
#[expect(clippy::cast_possible_truncation, reason = "rounded to single as the instruction does")]
fn from_integer(insn: Insn, value: u32) -> f32 {
    let wide =
        if insn.op == Op::FloatS { f64::from(value.cast_signed()) } else { f64::from(value) };
    (wide / f64::from(1_u32 << (insn.imm & 15))) as f32
}
