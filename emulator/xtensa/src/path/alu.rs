//! Instructions that make one register of others, as a function.

use crate::insn::{Insn, Op};

/// What `insn` makes of the values of its registers s and t, and of SAR.
#[expect(clippy::cast_possible_truncation, reason = "registers are cut to bits on purpose")]
pub(super) fn alu(insn: Insn, s: u32, t: u32, sar: u32) -> u32 {
    let sar = sar & 63;
    match insn.op {
        Op::Neg => t.wrapping_neg(),
        Op::Abs => t.cast_signed().unsigned_abs(),
        Op::Subx2 => (s << 1).wrapping_sub(t),
        Op::Subx4 => (s << 2).wrapping_sub(t),
        Op::Subx8 => (s << 3).wrapping_sub(t),
        Op::Nsa => {
            let value = s.cast_signed();
            (value ^ (value >> 31)).cast_unsigned().leading_zeros().saturating_sub(1)
        }
        Op::Nsau => s.leading_zeros(),
        Op::Src => ((u64::from(s) << 32 | u64::from(t)) >> sar) as u32,
        Op::Srl => (u64::from(t) >> sar) as u32,
        Op::Sll => ((u64::from(s) << 32) >> sar) as u32,
        Op::Sra => (i64::from(t.cast_signed()) >> sar).cast_unsigned() as u32,
        Op::Mul16u => (s & 0xffff).wrapping_mul(t & 0xffff),
        Op::Mul16s => {
            let product = i32::from((s as u16).cast_signed()) * i32::from((t as u16).cast_signed());
            product.cast_unsigned()
        }
        Op::Mull => s.wrapping_mul(t),
        Op::Muluh => ((u64::from(s) * u64::from(t)) >> 32) as u32,
        Op::Mulsh => {
            let product = i64::from(s.cast_signed()) * i64::from(t.cast_signed());
            (product >> 32).cast_unsigned() as u32
        }
        Op::Clamps => {
            let limit = 1_i32 << (insn.imm & 31);
            s.cast_signed().clamp(-limit, limit - 1).cast_unsigned()
        }
        Op::Min => s.cast_signed().min(t.cast_signed()).cast_unsigned(),
        Op::Max => s.cast_signed().max(t.cast_signed()).cast_unsigned(),
        Op::Minu => s.min(t),
        Op::Maxu => s.max(t),
        _ => 0,
    }
}

/// Whether [`alu`] knows the instruction.
pub(super) fn is_known(op: Op) -> bool {
    matches!(
        op,
        Op::Neg
            | Op::Abs
            | Op::Subx2
            | Op::Subx4
            | Op::Subx8
            | Op::Nsa
            | Op::Nsau
            | Op::Src
            | Op::Srl
            | Op::Sll
            | Op::Sra
            | Op::Mul16u
            | Op::Mul16s
            | Op::Mull
            | Op::Muluh
            | Op::Mulsh
            | Op::Clamps
            | Op::Min
            | Op::Max
            | Op::Minu
            | Op::Maxu
    )
}

/// What a shift amount instruction makes of register s.
pub(super) fn shift_amount(op: Op, s: u32) -> u32 {
    match op {
        Op::Ssr => s & 31,
        Op::Ssl => 32 - (s & 31),
        Op::Ssa8l => (s & 3) * 8,
        _ => 32 - (s & 3) * 8,
    }
}
