//! From bytes to [`Insn`]. XTENSA 3.1 and 3.2; ISA reference manual, chapter 7.

use crate::insn::{Insn, Op};
use crate::mac16;

/// The fields of a 24-bit word.
#[derive(Clone, Copy)]
struct Fields {
    pc: u32,
    word: u32,
    t: u8,
    s: u8,
    r: u8,
    op1: u8,
    op2: u8,
}

/// A nibble of the word.
fn nibble(word: u32, bit: u32) -> u8 {
    ((word >> bit) & 15) as u8
}

/// Sign-extends the low `bits` bits.
fn sext(value: u32, bits: u32) -> u32 {
    let shift = 32 - bits;
    ((value << shift).cast_signed() >> shift).cast_unsigned()
}

impl Fields {
    fn new(pc: u32, word: u32) -> Self {
        Self {
            pc,
            word,
            t: nibble(word, 4),
            s: nibble(word, 8),
            r: nibble(word, 12),
            op1: nibble(word, 16),
            op2: nibble(word, 20),
        }
    }

    /// A wide instruction with the register fields as they stand.
    fn wide(self, op: Op, imm: u32) -> Insn {
        Insn { op, len_r: 3 << 6 | self.r, s: self.s, t: self.t, imm }
    }

    fn plain(self, op: Op) -> Insn {
        self.wide(op, 0)
    }

    fn narrow(self, op: Op, imm: u32) -> Insn {
        Insn { op, len_r: 2 << 6 | self.r, s: self.s, t: self.t, imm }
    }

    fn unknown(self) -> Insn {
        self.plain(Op::Unknown)
    }

    fn imm8(self) -> u32 {
        self.word >> 16 & 0xff
    }

    /// The target of a branch `offset` bytes from the usual base.
    fn target(self, offset: u32) -> u32 {
        self.pc.wrapping_add(4).wrapping_add(offset)
    }

    fn branch8(self, op: Op) -> Insn {
        self.wide(op, self.target(sext(self.imm8(), 8)))
    }

    fn branch12(self, op: Op) -> Insn {
        self.wide(op, self.target(sext(self.word >> 12 & 0xfff, 12)))
    }
}

/// Decodes the instruction that starts with `bytes` at address `pc`. Of a narrow instruction only
/// the first two bytes count. What is no instruction gives [`Op::Unknown`].
#[must_use]
pub fn decode(pc: u32, bytes: [u8; 3]) -> Insn {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    let f = Fields::new(pc, word);
    match word & 15 {
        0 => qrst(f),
        1 => {
            let offset = (0xffff_0000 | (word >> 8)) << 2;
            f.wide(Op::L32r, (pc.wrapping_add(3) & !3).wrapping_add(offset))
        }
        2 => lsai(f),
        3 => lsci(f),
        5 => {
            let op = [Op::Call0, Op::Call4, Op::Call8, Op::Call12][usize::from(f.t & 3)];
            let offset = sext(word >> 6, 18) << 2;
            f.wide(op, (pc & !3).wrapping_add(4).wrapping_add(offset))
        }
        6 => si(f),
        7 => branches(f),
        8..=13 => narrow(f),
        4 => mac16::decode(f.op2, f.op1, [f.r, f.s, f.t])
            .map_or_else(|| f.unknown(), |(op, halves)| f.wide(op, halves)),
        // 14 and 15 are unused on the ESP32.
        _ => f.unknown(),
    }
}

fn qrst(f: Fields) -> Insn {
    match f.op1 {
        0 => rst0(f),
        1 => rst1(f),
        2 => rst2(f),
        3 => rst3(f),
        4 | 5 => {
            let mask = (1_u32 << (f.op2 + 1)) - 1;
            Insn { s: f.s | (f.op1 & 1) << 4, ..f.wide(Op::Extui, mask) }
        }
        8 => {
            let op = match f.op2 {
                0 => Op::Lsx,
                1 => Op::Lsxu,
                4 => Op::Ssx,
                5 => Op::Ssxu,
                _ => Op::Unknown,
            };
            f.plain(op)
        }
        9 => {
            let op = match f.op2 {
                0 => Op::L32e,
                4 => Op::S32e,
                _ => Op::Unknown,
            };
            f.wide(op, (u32::from(f.r) << 2).wrapping_sub(64))
        }
        10 => fp0(f),
        11 => fp1(f),
        _ => f.unknown(),
    }
}

fn rst0(f: Fields) -> Insn {
    let op = match f.op2 {
        0 => return snm0_st0(f),
        1 => Op::And,
        2 => Op::Or,
        3 => Op::Xor,
        4 => return st1(f),
        5 => return tlb(f),
        6 => match f.s {
            0 => Op::Neg,
            1 => Op::Abs,
            _ => Op::Unknown,
        },
        8 => Op::Add,
        9 => Op::Addx2,
        10 => Op::Addx4,
        11 => Op::Addx8,
        12 => Op::Sub,
        13 => Op::Subx2,
        14 => Op::Subx4,
        15 => Op::Subx8,
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn snm0_st0(f: Fields) -> Insn {
    let op = match (f.r, f.s, f.t) {
        (0, 0, 0) => Op::Ill,
        (0, 0, 8) => Op::Ret,
        (0, 0, 9) => Op::Retw,
        (0, _, 10) => Op::Jx,
        (0, _, 12) => Op::Callx0,
        (0, _, 13) => Op::Callx4,
        (0, _, 14) => Op::Callx8,
        (0, _, 15) => Op::Callx12,
        (1, _, _) => Op::Movsp,
        (2, 0, 0) => Op::Isync,
        (2, 0, 1) => Op::Rsync,
        (2, 0, 2) => Op::Esync,
        (2, 0, 3) => Op::Dsync,
        (2, 0, 8) => Op::Excw,
        (2, 0, 12) => Op::Memw,
        (2, 0, 13) => Op::Extw,
        (2, 0, 15) => Op::Nop,
        (3, 0, 0) => Op::Rfe,
        (3, 2, 0) => Op::Rfde,
        (3, 4, 0) => Op::Rfwo,
        (3, 5, 0) => Op::Rfwu,
        (3, level, 1) => return f.wide(Op::Rfi, level.into()),
        (4, _, _) => Op::Break,
        (5, 0, 0) => Op::Syscall,
        (5, 1, 0) => Op::Simcall,
        (6, level, _) => return f.wide(Op::Rsil, level.into()),
        (7, level, 0) => return f.wide(Op::Waiti, level.into()),
        (8, _, _) => Op::Any4,
        (9, _, _) => Op::All4,
        (10, _, _) => Op::Any8,
        (11, _, _) => Op::All8,
        _ => Op::Unknown,
    };
    match op {
        Op::Any4 | Op::All4 if !f.s.is_multiple_of(4) => f.unknown(),
        Op::Any8 | Op::All8 if !f.s.is_multiple_of(8) => f.unknown(),
        _ => f.plain(op),
    }
}

fn st1(f: Fields) -> Insn {
    let op = match (f.r, f.t) {
        (0, 0) => Op::Ssr,
        (1, 0) => Op::Ssl,
        (2, 0) => Op::Ssa8l,
        (3, 0) => Op::Ssa8b,
        (4, 0 | 1) => return f.wide(Op::Ssai, u32::from(f.t) << 4 | u32::from(f.s)),
        (6, _) => Op::Rer,
        (7, _) => Op::Wer,
        (8, _) if f.s == 0 => return f.wide(Op::Rotw, sext(f.t.into(), 4)),
        (14, _) => Op::Nsa,
        (15, _) => Op::Nsau,
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn tlb(f: Fields) -> Insn {
    let op = match (f.r, f.t) {
        (3, _) => Op::Ritlb0,
        (4, 0) => Op::Iitlb,
        (5, _) => Op::Pitlb,
        (6, _) => Op::Witlb,
        (7, _) => Op::Ritlb1,
        (11, _) => Op::Rdtlb0,
        (12, 0) => Op::Idtlb,
        (13, _) => Op::Pdtlb,
        (14, _) => Op::Wdtlb,
        (15, _) => Op::Rdtlb1,
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn rst1(f: Fields) -> Insn {
    let (s, t) = (u32::from(f.s), u32::from(f.t));
    match f.op2 {
        0 | 1 => f.wide(Op::Slli, 32 - (u32::from(f.op2 & 1) << 4 | t)),
        2 | 3 => f.wide(Op::Srai, u32::from(f.op2 & 1) << 4 | s),
        4 => f.wide(Op::Srli, s),
        6 => f.wide(Op::Xsr, u32::from(f.r) << 4 | s),
        8 => f.plain(Op::Src),
        9 if f.s == 0 => f.plain(Op::Srl),
        10 if f.t == 0 => f.plain(Op::Sll),
        11 if f.s == 0 => f.plain(Op::Sra),
        12 => f.plain(Op::Mul16u),
        13 => f.plain(Op::Mul16s),
        _ => f.unknown(),
    }
}

fn rst2(f: Fields) -> Insn {
    let op = match f.op2 {
        0 => Op::Andb,
        1 => Op::Andbc,
        2 => Op::Orb,
        3 => Op::Orbc,
        4 => Op::Xorb,
        8 => Op::Mull,
        10 => Op::Muluh,
        11 => Op::Mulsh,
        12 => Op::Quou,
        13 => Op::Quos,
        14 => Op::Remu,
        15 => Op::Rems,
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn rst3(f: Fields) -> Insn {
    let register = u32::from(f.r) << 4 | u32::from(f.s);
    let op = match f.op2 {
        0 => return f.wide(Op::Rsr, register),
        1 => return f.wide(Op::Wsr, register),
        2 => return f.wide(Op::Sext, u32::from(f.t) + 7),
        3 => return f.wide(Op::Clamps, u32::from(f.t) + 7),
        4 => Op::Min,
        5 => Op::Max,
        6 => Op::Minu,
        7 => Op::Maxu,
        8 => Op::Moveqz,
        9 => Op::Movnez,
        10 => Op::Movltz,
        11 => Op::Movgez,
        12 => Op::Movf,
        13 => Op::Movt,
        // RUR names its register with s and t, and its result is ar; WUR is like WSR.
        14 => {
            let number = u32::from(f.s) << 4 | u32::from(f.t);
            return Insn { t: f.r, ..f.wide(Op::Rur, number) };
        }
        _ => return f.wide(Op::Wur, register),
    };
    f.plain(op)
}

fn fp0(f: Fields) -> Insn {
    let scale = u32::from(f.t);
    let op = match f.op2 {
        0 => Op::AddS,
        1 => Op::SubS,
        2 => Op::MulS,
        4 => Op::MaddS,
        5 => Op::MsubS,
        8 => return f.wide(Op::RoundS, scale),
        9 => return f.wide(Op::TruncS, scale),
        10 => return f.wide(Op::FloorS, scale),
        11 => return f.wide(Op::CeilS, scale),
        12 => return f.wide(Op::FloatS, scale),
        13 => return f.wide(Op::UfloatS, scale),
        14 => return f.wide(Op::UtruncS, scale),
        15 => match f.t {
            0 => Op::MovS,
            1 => Op::AbsS,
            4 => Op::Rfr,
            5 => Op::Wfr,
            6 => Op::NegS,
            _ => Op::Unknown,
        },
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn fp1(f: Fields) -> Insn {
    let op = match f.op2 {
        1 => Op::UnS,
        2 => Op::OeqS,
        3 => Op::UeqS,
        4 => Op::OltS,
        5 => Op::UltS,
        6 => Op::OleS,
        7 => Op::UleS,
        8 => Op::MoveqzS,
        9 => Op::MovnezS,
        10 => Op::MovltzS,
        11 => Op::MovgezS,
        12 => Op::MovfS,
        13 => Op::MovtS,
        _ => Op::Unknown,
    };
    f.plain(op)
}

fn lsai(f: Fields) -> Insn {
    let imm = f.imm8();
    match f.r {
        0 => f.wide(Op::L8ui, imm),
        1 => f.wide(Op::L16ui, imm << 1),
        2 => f.wide(Op::L32i, imm << 2),
        4 => f.wide(Op::S8i, imm),
        5 => f.wide(Op::S16i, imm << 1),
        6 => f.wide(Op::S32i, imm << 2),
        9 => f.wide(Op::L16si, imm << 1),
        10 => f.wide(Op::Movi, sext(u32::from(f.s) << 8 | imm, 12)),
        11 => f.wide(Op::L32ai, imm << 2),
        12 => f.wide(Op::Addi, sext(imm, 8)),
        13 => f.wide(Op::Addmi, sext(imm, 8) << 8),
        14 => f.wide(Op::S32c1i, imm << 2),
        15 => f.wide(Op::S32ri, imm << 2),
        _ => f.unknown(),
    }
}

fn lsci(f: Fields) -> Insn {
    let op = match f.r {
        0 => Op::Lsi,
        4 => Op::Ssi,
        8 => Op::Lsiu,
        12 => Op::Ssiu,
        _ => Op::Unknown,
    };
    f.wide(op, f.imm8() << 2)
}

fn si(f: Fields) -> Insn {
    let m = usize::from(f.t >> 2);
    match f.t & 3 {
        0 => f.wide(Op::J, f.target(sext(f.word >> 6, 18))),
        1 => f.branch12([Op::Beqz, Op::Bnez, Op::Bltz, Op::Bgez][m]),
        2 => f.branch8([Op::Beqi, Op::Bnei, Op::Blti, Op::Bgei][m]),
        _ => match (m, f.r) {
            (0, _) if f.s < 4 => f.wide(Op::Entry, (f.word >> 12 & 0xfff) << 3),
            (1, 0) => f.branch8(Op::Bf),
            (1, 1) => f.branch8(Op::Bt),
            (1, 8) => f.wide(Op::Loop, f.target(f.imm8())),
            (1, 9) => f.wide(Op::Loopnez, f.target(f.imm8())),
            (1, 10) => f.wide(Op::Loopgtz, f.target(f.imm8())),
            (2, _) => f.branch8(Op::Bltui),
            (3, _) => f.branch8(Op::Bgeui),
            _ => f.unknown(),
        },
    }
}

fn branches(f: Fields) -> Insn {
    let op = match f.r {
        0 => Op::Bnone,
        1 => Op::Beq,
        2 => Op::Blt,
        3 => Op::Bltu,
        4 => Op::Ball,
        5 => Op::Bbc,
        6 | 7 => Op::Bbci,
        8 => Op::Bany,
        9 => Op::Bne,
        10 => Op::Bge,
        11 => Op::Bgeu,
        12 => Op::Bnall,
        13 => Op::Bbs,
        _ => Op::Bbsi,
    };
    let insn = f.branch8(op);
    match op {
        Op::Bbci | Op::Bbsi => Insn { t: f.t | (f.r & 1) << 4, ..insn },
        _ => insn,
    }
}

fn narrow(f: Fields) -> Insn {
    let (r, t) = (u32::from(f.r), u32::from(f.t));
    match f.word & 15 {
        8 => f.narrow(Op::L32i, r << 2),
        9 => f.narrow(Op::S32i, r << 2),
        10 => f.narrow(Op::Add, 0),
        // ADDI writes the register in its t field; ADDI.N the one in r.
        11 => {
            let imm = if t == 0 { u32::MAX } else { t };
            Insn { t: f.r, ..f.narrow(Op::Addi, imm) }
        }
        12 => match f.t {
            0..8 => {
                let value = (t & 7) << 4 | r;
                let value = if value >= 96 { value.wrapping_sub(128) } else { value };
                Insn { t: f.s, ..f.narrow(Op::Movi, value) }
            }
            8..12 => f.narrow(Op::Beqz, f.target((t & 3) << 4 | r)),
            _ => f.narrow(Op::Bnez, f.target((t & 3) << 4 | r)),
        },
        _ => match (f.r, f.t, f.s) {
            (0, target, _) => Insn { len_r: 2 << 6 | target, ..f.narrow(Op::Mov, 0) },
            (15, 0, 0) => f.narrow(Op::Ret, 0),
            (15, 1, 0) => f.narrow(Op::Retw, 0),
            (15, 2, _) => Insn { t: 0, ..f.narrow(Op::Break, 0) },
            (15, 3, 0) => f.narrow(Op::Nop, 0),
            (15, 6, 0) => f.narrow(Op::Ill, 0),
            _ => f.narrow(Op::Unknown, 0),
        },
    }
}
