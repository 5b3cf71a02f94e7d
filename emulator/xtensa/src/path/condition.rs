//! What branches decide by.

use super::step::Do;
use crate::insn::{B4CONST, B4CONSTU, Insn, Op};

/// The condition of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Eq,
    Ne,
    Lt,
    Ge,
    Ltu,
    Geu,
    Any,
    None,
    All,
    NotAll,
    BitSet,
    BitClear,
}

impl Condition {
    /// The condition of a branch, and its second operand if that is a number.
    pub(super) fn of(insn: Insn) -> Option<(Self, Option<u32>)> {
        let constant = || Some(B4CONST[usize::from(insn.r())].cast_unsigned());
        let unsigned = || Some(B4CONSTU[usize::from(insn.r())]);
        let bit = || Some(1 << (insn.t & 31));
        Some(match insn.op {
            Op::Beqz => (Self::Eq, Some(0)),
            Op::Bnez => (Self::Ne, Some(0)),
            Op::Bltz => (Self::Lt, Some(0)),
            Op::Bgez => (Self::Ge, Some(0)),
            Op::Beqi => (Self::Eq, constant()),
            Op::Bnei => (Self::Ne, constant()),
            Op::Blti => (Self::Lt, constant()),
            Op::Bgei => (Self::Ge, constant()),
            Op::Bltui => (Self::Ltu, unsigned()),
            Op::Bgeui => (Self::Geu, unsigned()),
            Op::Bnone => (Self::None, None),
            Op::Bany => (Self::Any, None),
            Op::Ball => (Self::All, None),
            Op::Bnall => (Self::NotAll, None),
            Op::Beq => (Self::Eq, None),
            Op::Bne => (Self::Ne, None),
            Op::Blt => (Self::Lt, None),
            Op::Bge => (Self::Ge, None),
            Op::Bltu => (Self::Ltu, None),
            Op::Bgeu => (Self::Geu, None),
            Op::Bbc => (Self::BitClear, None),
            Op::Bbs => (Self::BitSet, None),
            Op::Bbci => (Self::None, bit()),
            Op::Bbsi => (Self::Any, bit()),
            _ => return None,
        })
    }

    /// Whether its operands may be exchanged.
    pub(super) fn is_symmetric(self) -> bool {
        matches!(self, Self::Eq | Self::Ne | Self::Any | Self::None)
    }

    /// What holds where it does not.
    pub(super) fn inverse(self) -> Self {
        match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Ge => Self::Lt,
            Self::Ltu => Self::Geu,
            Self::Geu => Self::Ltu,
            Self::Any => Self::None,
            Self::None => Self::Any,
            Self::All => Self::NotAll,
            Self::NotAll => Self::All,
            Self::BitSet => Self::BitClear,
            Self::BitClear => Self::BitSet,
        }
    }

    /// Whether it holds for two numbers.
    pub(super) fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Eq => a == b,
            Self::Ne => a != b,
            Self::Lt => a.cast_signed() < b.cast_signed(),
            Self::Ge => a.cast_signed() >= b.cast_signed(),
            Self::Ltu => a < b,
            Self::Geu => a >= b,
            Self::Any => a & b != 0,
            Self::None => a & b == 0,
            Self::All => !a & b == 0,
            Self::NotAll => !a & b != 0,
            Self::BitSet => a >> (b & 31) & 1 != 0,
            Self::BitClear => a >> (b & 31) & 1 == 0,
        }
    }

    /// Whether it holds for every value with nothing but `bits` set.
    pub(super) fn always(self, bits: u32, number: u32) -> bool {
        match self {
            Self::Ge => number == 0 && bits.cast_signed() >= 0,
            Self::None => bits & number == 0,
            Self::Ne => number & !bits != 0,
            _ => false,
        }
    }

    /// The operation that goes on where it holds for two registers.
    pub(super) fn direct(self) -> Do {
        match self {
            Self::Eq => Do::IfEq,
            Self::Ne => Do::IfNe,
            Self::Lt => Do::IfLt,
            Self::Ge => Do::IfGe,
            Self::Ltu => Do::IfLtu,
            Self::Geu => Do::IfGeu,
            Self::Any => Do::IfAny,
            Self::None => Do::IfNone,
            Self::All => Do::IfAll,
            Self::NotAll => Do::IfNotAll,
            Self::BitSet => Do::IfBitSet,
            Self::BitClear => Do::IfBitClear,
        }
    }

    /// The same for a register and a number.
    pub(super) fn immediate(self) -> Option<Do> {
        Some(match self {
            Self::Eq => Do::IfEqI,
            Self::Ne => Do::IfNeI,
            Self::Lt => Do::IfLtI,
            Self::Ge => Do::IfGeI,
            Self::Ltu => Do::IfLtuI,
            Self::Geu => Do::IfGeuI,
            Self::Any => Do::IfAnyI,
            Self::None => Do::IfNoneI,
            Self::All | Self::NotAll | Self::BitSet | Self::BitClear => return None,
        })
    }
}
