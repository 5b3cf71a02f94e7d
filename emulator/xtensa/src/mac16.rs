//! The MAC16 option: 16-bit multiplications into a 40-bit accumulator, with loads on the side.
//! ISA reference manual, 4.3.7 and chapter 6.
//!
//! An operand is half of an address register (`A`) or of a MAC16 register (`D`): m0 or m1 first,
//! m2 or m3 second. Which halves is in [`Insn::imm`], so that all four share one operation.

use crate::bus::{Bus, Width};
use crate::cpu::Cpu;
use crate::exception::Trap;
use crate::insn::{Insn, Op};

/// Bit of `imm`: the first operand's high half.
const FIRST_HIGH: u32 = 1;
/// Bit of `imm`: the second operand's high half.
const SECOND_HIGH: u32 = 2;
/// The four choices of halves, by the two bits.
pub(crate) const HALVES: [&str; 4] = ["ll", "hl", "lh", "hh"];
/// Bits of the accumulator.
const ACC_BITS: u32 = 40;

/// Where an instruction takes its operands, and what it does on the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `as, at`
    Aa,
    /// `as, my`
    Ad,
    /// `mx, at`
    Da,
    /// `mx, my`
    Dd,
    /// `mw, as, mx, at`
    DaLoad,
    /// `mw, as, mx, my`
    DdLoad,
    /// `mw, as`
    Load,
}

/// Every operation with its form, its `op2` field and the upper half of its `op1` field.
pub(crate) const TABLE: &[(Op, Form, u8, u8)] = &[
    (Op::UmulAa, Form::Aa, 7, 0),
    (Op::MulAa, Form::Aa, 7, 1),
    (Op::MulaAa, Form::Aa, 7, 2),
    (Op::MulsAa, Form::Aa, 7, 3),
    (Op::MulAd, Form::Ad, 3, 1),
    (Op::MulaAd, Form::Ad, 3, 2),
    (Op::MulsAd, Form::Ad, 3, 3),
    (Op::MulDa, Form::Da, 6, 1),
    (Op::MulaDa, Form::Da, 6, 2),
    (Op::MulsDa, Form::Da, 6, 3),
    (Op::MulDd, Form::Dd, 2, 1),
    (Op::MulaDd, Form::Dd, 2, 2),
    (Op::MulsDd, Form::Dd, 2, 3),
    (Op::MulaDdLdinc, Form::DdLoad, 0, 2),
    (Op::MulaDdLddec, Form::DdLoad, 1, 2),
    (Op::MulaDaLdinc, Form::DaLoad, 4, 2),
    (Op::MulaDaLddec, Form::DaLoad, 5, 2),
    (Op::Ldinc, Form::Load, 8, 0),
    (Op::Lddec, Form::Load, 9, 0),
];

impl Form {
    /// Bits that must be 0 in the fields r, s and t.
    fn reserved(self) -> [u8; 3] {
        match self {
            Self::Aa => [15, 0, 0],
            Self::Ad => [15, 0, 11],
            Self::Da => [11, 15, 0],
            Self::Dd => [11, 15, 11],
            Self::DaLoad => [8, 0, 0],
            Self::DdLoad => [8, 0, 11],
            Self::Load => [12, 0, 15],
        }
    }

    /// Its operands, as text.
    fn operands(self, insn: Insn) -> String {
        let (first, second) = (first_mr(insn), second_mr(insn));
        let (s, t, target) = (insn.s, insn.t, loaded(insn));
        match self {
            Self::Aa => format!("a{s}, a{t}"),
            Self::Ad => format!("a{s}, m{second}"),
            Self::Da => format!("m{first}, a{t}"),
            Self::Dd => format!("m{first}, m{second}"),
            Self::DaLoad => format!("m{target}, a{s}, m{first}, a{t}"),
            Self::DdLoad => format!("m{target}, a{s}, m{first}, m{second}"),
            Self::Load => format!("m{target}, a{s}"),
        }
    }
}

/// The MAC16 register that is loaded.
fn loaded(insn: Insn) -> usize {
    usize::from(insn.r() & 3)
}

/// The MAC16 register of the first operand, 0 or 1.
fn first_mr(insn: Insn) -> usize {
    usize::from(insn.r() >> 2 & 1)
}

/// The MAC16 register of the second operand, 2 or 3.
fn second_mr(insn: Insn) -> usize {
    usize::from(2 | insn.t >> 2 & 1)
}

/// The operation and its halves, of a word whose op0 is 4, with its register fields.
pub(crate) fn decode(op2: u8, op1: u8, [r, s, t]: [u8; 3]) -> Option<(Op, u32)> {
    let (kind, halves) = (op1 >> 2, op1 & 3);
    let row = TABLE.iter().find(|(_, _, known, row_kind)| *known == op2 && *row_kind == kind);
    let &(op, form, ..) = row?;
    let reserved =
        form.reserved().into_iter().zip([r, s, t]).any(|(mask, field)| field & mask != 0);
    let no_halves = form == Form::Load && halves != 0;
    (!reserved && !no_halves).then_some((op, halves.into()))
}

/// Mnemonic and operands.
pub(crate) fn disasm(insn: Insn) -> Option<String> {
    let (op, form, ..) = TABLE.iter().find(|(op, ..)| *op == insn.op)?;
    let operands = form.operands(insn);
    let name = op.name();
    let halves = HALVES.get((insn.imm & 3) as usize)?;
    Some(match (form, name.rsplit_once('.')) {
        (Form::Load, _) => format!("{name} {operands}"),
        // mula.da.ldinc is written with the halves before the last part.
        (Form::DaLoad | Form::DdLoad, Some((head, tail))) => {
            format!("{head}.{halves}.{tail} {operands}")
        }
        _ => format!("{name}.{halves} {operands}"),
    })
}

/// What ACCHI reads as when `value` was written: it holds eight bits, with their sign above.
pub(crate) fn acchi(value: u32) -> u32 {
    ((value << 24).cast_signed() >> 24).cast_unsigned()
}

/// Half of a word, signed.
fn half(word: u32, high: bool) -> i64 {
    let word = if high { word } else { word << 16 };
    i64::from(word.cast_signed() >> 16)
}

impl Cpu {
    /// The accumulator, sign-extended from its 40 bits.
    fn accumulator(&self) -> i64 {
        let [low, high] = self.sr.acc;
        let bits = u64::from(high) << 32 | u64::from(low);
        (bits << (64 - ACC_BITS)).cast_signed() >> (64 - ACC_BITS)
    }

    fn set_accumulator(&mut self, value: i64) {
        let bits = value.cast_unsigned();
        let word = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(0);
        self.sr.acc = [word(bits), acchi(word(bits >> 32))];
    }

    /// Executes one MAC16 instruction. A load that fails leaves everything as it was.
    #[inline(never)]
    pub(crate) fn mac16<B: Bus>(&mut self, bus: &mut B, insn: Insn) -> Result<(), Trap> {
        let row = TABLE.iter().find(|(op, ..)| *op == insn.op);
        let Some(&(_, form, _, kind)) = row else { return Ok(()) };
        let load = match insn.op {
            Op::Ldinc | Op::MulaDaLdinc | Op::MulaDdLdinc => Some(4_u32),
            Op::Lddec | Op::MulaDaLddec | Op::MulaDdLddec => Some(4_u32.wrapping_neg()),
            _ => None,
        };
        let arrives = match load {
            None => None,
            Some(step) => {
                let addr = self.a(insn.s).wrapping_add(step);
                Some((addr, self.load(bus, addr, Width::Word)?))
            }
        };
        if form != Form::Load {
            self.multiply(insn, form, kind);
        }
        if let Some((addr, value)) = arrives {
            self.set_a(insn.s, addr);
            self.sr.mr[loaded(insn)] = value;
        }
        Ok(())
    }

    fn multiply(&mut self, insn: Insn, form: Form, kind: u8) {
        let first = match form {
            Form::Aa | Form::Ad => self.a(insn.s),
            _ => self.sr.mr[first_mr(insn)],
        };
        let second = match form {
            Form::Aa | Form::Da | Form::DaLoad => self.a(insn.t),
            _ => self.sr.mr[second_mr(insn)],
        };
        let (first_high, second_high) = (insn.imm & FIRST_HIGH != 0, insn.imm & SECOND_HIGH != 0);
        let product = if kind == 0 {
            (half(first, first_high) & 0xffff) * (half(second, second_high) & 0xffff)
        } else {
            half(first, first_high) * half(second, second_high)
        };
        let result = match kind {
            2 => self.accumulator() + product,
            3 => self.accumulator() - product,
            _ => product,
        };
        self.set_accumulator(result);
    }
}
