//! A small two-pass assembler for test programs.
//!
//! It takes the notation of [`crate::disasm`]: one instruction a line, `label:` on its own or in
//! front, `#` or `//` comments, and the directives `.word`, `.byte`, `.align N` and `.space N`.
//! `mov` is accepted for `or`; nothing else is rewritten, relaxed or put into a literal pool.

use std::collections::BTreeMap;

use crate::insn::{B4CONST, B4CONSTU};
use crate::special::sr_number;

/// Why a program was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct AsmError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such instruction or directive.
    #[error("unknown instruction {0:?}")]
    Mnemonic(String),
    /// An operand is missing, of the wrong kind, or no known label.
    #[error("bad operand {0:?}")]
    Operand(String),
    /// A number or distance does not fit its field.
    #[error("{0} does not fit")]
    Range(i64),
    /// A label is defined twice.
    #[error("label {0:?} is defined twice")]
    Twice(String),
}

/// Assembles `source` for address `base`.
///
/// # Errors
///
/// [`AsmError`] with the first line that does not assemble.
pub fn assemble(base: u32, source: &str) -> Result<Vec<u8>, AsmError> {
    assemble_with_labels(base, source).map(|(bytes, _)| bytes)
}

/// [`assemble`], with the address of every label.
///
/// # Errors
///
/// [`AsmError`] with the first line that does not assemble.
pub fn assemble_with_labels(
    base: u32,
    source: &str,
) -> Result<(Vec<u8>, BTreeMap<String, u32>), AsmError> {
    let mut labels = BTreeMap::new();
    let mut lines = Vec::new();
    let mut pc = base;
    for (index, text) in source.lines().enumerate() {
        let line = index + 1;
        let error = |reason| AsmError { line, reason };
        let text = text.split('#').next().unwrap_or("");
        let mut text = text.split("//").next().unwrap_or("").trim();
        while let Some((label, rest)) = text.split_once(':') {
            let label = label.trim().to_owned();
            if labels.insert(label.clone(), pc).is_some() {
                return Err(error(Reason::Twice(label)));
            }
            text = rest.trim();
        }
        if text.is_empty() {
            continue;
        }
        let (name, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let operands: Vec<&str> =
            operands.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let bytes = size(pc, name, &operands).map_err(error)?;
        lines.push((line, pc, name, operands));
        pc = pc.wrapping_add(bytes);
    }
    let mut image = Vec::new();
    for (line, pc, name, operands) in lines {
        let context = Context { pc, name, operands: &operands, labels: &labels };
        let bytes = context.bytes().map_err(|reason| AsmError { line, reason })?;
        image.extend(bytes);
    }
    Ok((image, labels))
}

/// How many bytes a line takes.
fn size(pc: u32, name: &str, operands: &[&str]) -> Result<u32, Reason> {
    let count = u32::try_from(operands.len()).unwrap_or(0);
    match name {
        ".word" => Ok(count * 4),
        ".byte" => Ok(count),
        ".space" => number(operands.first().copied().unwrap_or("")).and_then(to_u32),
        ".align" => {
            let unit = number(operands.first().copied().unwrap_or("")).and_then(to_u32)?;
            Ok(pc.checked_next_multiple_of(unit).map_or(0, |next| next - pc))
        }
        _ if name.strip_suffix(".n").is_some() => Ok(2),
        _ => Ok(3),
    }
}

fn to_u32(value: i64) -> Result<u32, Reason> {
    u32::try_from(value).map_err(|_| Reason::Range(value))
}

/// A decimal or hexadecimal number, with sign.
fn number(text: &str) -> Result<i64, Reason> {
    let bad = || Reason::Operand(text.to_owned());
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    let value = value.map_err(|_| bad())?;
    Ok(if negative { -value } else { value })
}

/// A signed number in the low `bits` bits.
fn signed(value: i64, bits: u32) -> Result<u32, Reason> {
    let limit = 1_i64 << (bits - 1);
    if !(-limit..limit).contains(&value) {
        return Err(Reason::Range(value));
    }
    to_u32(value & ((1 << bits) - 1))
}

/// An unsigned number of at most `bits` bits, a multiple of `unit`, divided by it.
fn unsigned(value: i64, bits: u32, unit: i64) -> Result<u32, Reason> {
    if value < 0 || value % unit != 0 || value / unit >= 1 << bits {
        return Err(Reason::Range(value));
    }
    to_u32(value / unit)
}

/// The fixed part of an RRR word.
const fn rrr(op2: u32, op1: u32, op0: u32) -> u32 {
    op2 << 20 | op1 << 16 | op0
}

/// Instructions without operands.
fn plain(name: &str) -> Option<u32> {
    let word = match name {
        "ill" => 0,
        "ret" => 0x80,
        "retw" => 0x90,
        "isync" => 0x2000,
        "rsync" => 0x2010,
        "esync" => 0x2020,
        "dsync" => 0x2030,
        "excw" => 0x2080,
        "memw" => 0x20c0,
        "extw" => 0x20d0,
        "nop" => 0x20f0,
        "rfe" => 0x3000,
        "rfde" => 0x3200,
        "rfwo" => 0x3400,
        "rfwu" => 0x3500,
        "syscall" => 0x5000,
        "simcall" => 0x5100,
        _ => return None,
    };
    Some(word)
}

struct Context<'a> {
    pc: u32,
    name: &'a str,
    operands: &'a [&'a str],
    labels: &'a BTreeMap<String, u32>,
}

impl Context<'_> {
    fn text(&self, index: usize) -> Result<&str, Reason> {
        self.operands.get(index).copied().ok_or_else(|| Reason::Operand(String::new()))
    }

    /// A register operand of the file `file` (a, b or f).
    fn register(&self, index: usize, file: char) -> Result<u32, Reason> {
        let text = self.text(index)?;
        let number = text.strip_prefix(file).and_then(|digits| digits.parse::<u32>().ok());
        number.filter(|number| *number < 16).ok_or_else(|| Reason::Operand(text.to_owned()))
    }

    fn a(&self, index: usize) -> Result<u32, Reason> {
        self.register(index, 'a')
    }

    /// A number or a label's address.
    fn value(&self, index: usize) -> Result<i64, Reason> {
        let text = self.text(index)?;
        match self.labels.get(text) {
            Some(address) => Ok(i64::from(*address)),
            None => number(text),
        }
    }

    /// Distance from the usual base of branches.
    fn distance(&self, index: usize) -> Result<i64, Reason> {
        Ok(self.value(index)? - i64::from(self.pc) - 4)
    }

    /// Fails if there are more operands than `count`.
    fn only(&self, count: usize) -> Result<(), Reason> {
        match self.operands.get(count) {
            Some(extra) => Err(Reason::Operand((*extra).to_owned())),
            None => Ok(()),
        }
    }

    fn bytes(&self) -> Result<Vec<u8>, Reason> {
        let mut out = Vec::new();
        match self.name {
            ".word" => {
                for index in 0..self.operands.len() {
                    let value = self.value(index)?;
                    let word = if value < 0 { signed(value, 32)? } else { to_u32(value)? };
                    out.extend(word.to_le_bytes());
                }
            }
            ".byte" => {
                for index in 0..self.operands.len() {
                    let value = self.value(index)?;
                    out.push(u8::try_from(value).map_err(|_| Reason::Range(value))?);
                }
            }
            ".space" | ".align" => {
                out.resize(size(self.pc, self.name, self.operands)? as usize, 0);
            }
            name => match name.strip_suffix(".n") {
                Some(short) => out.extend(&self.narrow(short)?.to_le_bytes()[..2]),
                None => out.extend(&self.wide(name)?.to_le_bytes()[..3]),
            },
        }
        Ok(out)
    }

    fn narrow(&self, name: &str) -> Result<u32, Reason> {
        let (word, count) = match name {
            "l32i" | "s32i" => {
                let op0 = if name == "l32i" { 8 } else { 9 };
                let offset = unsigned(self.value(2)?, 4, 4)?;
                (offset << 12 | self.a(1)? << 8 | self.a(0)? << 4 | op0, 3)
            }
            "add" => (self.a(0)? << 12 | self.a(1)? << 8 | self.a(2)? << 4 | 0xa, 3),
            "addi" => {
                let value = self.value(2)?;
                let t = if value == -1 { 0 } else { unsigned(value, 4, 1)? };
                if value == 0 {
                    return Err(Reason::Range(value));
                }
                (self.a(0)? << 12 | self.a(1)? << 8 | t << 4 | 0xb, 3)
            }
            "movi" => {
                let value = self.value(1)?;
                if !(-32..96).contains(&value) {
                    return Err(Reason::Range(value));
                }
                let bits = to_u32(value & 127)?;
                ((bits & 15) << 12 | self.a(0)? << 8 | (bits >> 4) << 4 | 0xc, 2)
            }
            "beqz" | "bnez" => {
                let offset = unsigned(self.distance(1)?, 6, 1)?;
                let high = offset >> 4 | if name == "beqz" { 8 } else { 12 };
                ((offset & 15) << 12 | self.a(0)? << 8 | high << 4 | 0xc, 2)
            }
            "mov" => (self.a(1)? << 8 | self.a(0)? << 4 | 0xd, 2),
            "ret" => (0xf00d, 0),
            "retw" => (0xf01d, 0),
            "break" => (unsigned(self.value(0)?, 4, 1)? << 8 | 0xf02d, 1),
            "nop" => (0xf03d, 0),
            "ill" => (0xf06d, 0),
            _ => return Err(Reason::Mnemonic(self.name.to_owned())),
        };
        self.only(count)?;
        Ok(word)
    }

    fn wide(&self, name: &str) -> Result<u32, Reason> {
        if let Some(word) = plain(name) {
            self.only(0)?;
            return Ok(word);
        }
        for group in [
            Self::three_registers,
            Self::two_registers,
            Self::shifts,
            Self::state,
            Self::memory,
            Self::jumps,
            Self::branches,
            Self::coprocessor,
        ] {
            if let Some((word, operands)) = group(self, name)? {
                self.only(operands)?;
                return Ok(word);
            }
        }
        Err(Reason::Mnemonic(name.to_owned()))
    }

    /// `ar, as, at`
    fn three_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let word = match name {
            "and" => rrr(1, 0, 0),
            "or" => rrr(2, 0, 0),
            "xor" => rrr(3, 0, 0),
            "add" => rrr(8, 0, 0),
            "addx2" => rrr(9, 0, 0),
            "addx4" => rrr(10, 0, 0),
            "addx8" => rrr(11, 0, 0),
            "sub" => rrr(12, 0, 0),
            "subx2" => rrr(13, 0, 0),
            "subx4" => rrr(14, 0, 0),
            "subx8" => rrr(15, 0, 0),
            "src" => rrr(8, 1, 0),
            "mul16u" => rrr(12, 1, 0),
            "mul16s" => rrr(13, 1, 0),
            "mull" => rrr(8, 2, 0),
            "muluh" => rrr(10, 2, 0),
            "mulsh" => rrr(11, 2, 0),
            "quou" => rrr(12, 2, 0),
            "quos" => rrr(13, 2, 0),
            "remu" => rrr(14, 2, 0),
            "rems" => rrr(15, 2, 0),
            "min" => rrr(4, 3, 0),
            "max" => rrr(5, 3, 0),
            "minu" => rrr(6, 3, 0),
            "maxu" => rrr(7, 3, 0),
            "moveqz" => rrr(8, 3, 0),
            "movnez" => rrr(9, 3, 0),
            "movltz" => rrr(10, 3, 0),
            "movgez" => rrr(11, 3, 0),
            _ => return Ok(None),
        };
        Ok(Some((word | self.a(0)? << 12 | self.a(1)? << 8 | self.a(2)? << 4, 3)))
    }

    /// Two registers or one.
    fn two_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        // Which nibble (bit number) each operand goes to.
        let (word, places): (u32, &[u32]) = match name {
            "neg" => (0x0060_0000, &[12, 4]),
            "abs" => (0x0060_0100, &[12, 4]),
            "srl" => (rrr(9, 1, 0), &[12, 4]),
            "sra" => (rrr(11, 1, 0), &[12, 4]),
            "sll" => (rrr(10, 1, 0), &[12, 8]),
            "nsa" => (0x0040_e000, &[4, 8]),
            "nsau" => (0x0040_f000, &[4, 8]),
            "rer" => (0x0040_6000, &[4, 8]),
            "wer" => (0x0040_7000, &[4, 8]),
            "movsp" => (0x1000, &[4, 8]),
            "ritlb0" => (0x0050_3000, &[4, 8]),
            "iitlb" => (0x0050_4000, &[8]),
            "pitlb" => (0x0050_5000, &[4, 8]),
            "witlb" => (0x0050_6000, &[4, 8]),
            "ritlb1" => (0x0050_7000, &[4, 8]),
            "rdtlb0" => (0x0050_b000, &[4, 8]),
            "idtlb" => (0x0050_c000, &[8]),
            "pdtlb" => (0x0050_d000, &[4, 8]),
            "wdtlb" => (0x0050_e000, &[4, 8]),
            "rdtlb1" => (0x0050_f000, &[4, 8]),
            "ssr" => (0x0040_0000, &[8]),
            "ssl" => (0x0040_1000, &[8]),
            "ssa8l" => (0x0040_2000, &[8]),
            "ssa8b" => (0x0040_3000, &[8]),
            "jx" => (0xa0, &[8]),
            "callx0" => (0xc0, &[8]),
            "callx4" => (0xd0, &[8]),
            "callx8" => (0xe0, &[8]),
            "callx12" => (0xf0, &[8]),
            "mov" => {
                let s = self.a(1)?;
                return Ok(Some((rrr(2, 0, 0) | self.a(0)? << 12 | s << 8 | s << 4, 2)));
            }
            _ => return Ok(None),
        };
        let mut word = word;
        for (index, place) in places.iter().enumerate() {
            word |= self.a(index)? << place;
        }
        Ok(Some((word, places.len())))
    }

    /// Shifts and fields with immediates.
    fn shifts(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let word = match name {
            "slli" => {
                let by = 32 - self.value(2)?;
                let by = unsigned(by, 5, 1)?;
                rrr(by >> 4, 1, 0) | self.a(0)? << 12 | self.a(1)? << 8 | (by & 15) << 4
            }
            "srai" => {
                let by = unsigned(self.value(2)?, 5, 1)?;
                rrr(2 | by >> 4, 1, 0) | self.a(0)? << 12 | (by & 15) << 8 | self.a(1)? << 4
            }
            "srli" => {
                let by = unsigned(self.value(2)?, 4, 1)?;
                rrr(4, 1, 0) | self.a(0)? << 12 | by << 8 | self.a(1)? << 4
            }
            "extui" => {
                let by = unsigned(self.value(2)?, 5, 1)?;
                let bits = unsigned(self.value(3)? - 1, 4, 1)?;
                let word = rrr(bits, 4 | by >> 4, 0) | (by & 15) << 8;
                return Ok(Some((word | self.a(0)? << 12 | self.a(1)? << 4, 4)));
            }
            "sext" | "clamps" => {
                let op2 = if name == "sext" { 2 } else { 3 };
                let bit = unsigned(self.value(2)? - 7, 4, 1)?;
                rrr(op2, 3, 0) | self.a(0)? << 12 | self.a(1)? << 8 | bit << 4
            }
            _ => return Ok(None),
        };
        Ok(Some((word, 3)))
    }

    /// Special registers, levels, breaks.
    fn state(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let special = || -> Result<u32, Reason> {
            let text = self.text(1)?;
            let known = match text {
                "threadptr" => Some(231),
                "fcr" => Some(232),
                "fsr" => Some(233),
                _ if name.ends_with("sr") => sr_number(text),
                _ => None,
            };
            known.map_or_else(|| unsigned(number(text)?, 8, 1), Ok)
        };
        let small = |index| unsigned(self.value(index)?, 4, 1);
        let (word, operands) = match name {
            "rsr" => (rrr(0, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "wsr" => (rrr(1, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "xsr" => (rrr(6, 1, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "rur" => (rrr(14, 3, 0) | self.a(0)? << 12 | special()? << 4, 2),
            "wur" => (rrr(15, 3, 0) | special()? << 8 | self.a(0)? << 4, 2),
            "ssai" => {
                let by = unsigned(self.value(0)?, 5, 1)?;
                (0x0040_4000 | (by & 15) << 8 | (by >> 4) << 4, 1)
            }
            "rotw" => (0x0040_8000 | signed(self.value(0)?, 4)? << 4, 1),
            "rfi" => (0x3010 | small(0)? << 8, 1),
            "rsil" => (0x6000 | small(1)? << 8 | self.a(0)? << 4, 2),
            "waiti" => (0x7000 | small(0)? << 8, 1),
            "break" => (0x4000 | small(0)? << 8 | small(1)? << 4, 2),
            _ => return Ok(None),
        };
        Ok(Some((word, operands)))
    }

    /// Loads, stores, immediates.
    fn memory(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let (r, unit) = match name {
            "l8ui" => (0, 1),
            "l16ui" => (1, 2),
            "l32i" => (2, 4),
            "s8i" => (4, 1),
            "s16i" => (5, 2),
            "s32i" => (6, 4),
            "l16si" => (9, 2),
            "l32ai" => (11, 4),
            "s32c1i" => (14, 4),
            "s32ri" => (15, 4),
            "movi" => {
                let imm = signed(self.value(1)?, 12)?;
                let word = (imm & 0xff) << 16 | 0xa000 | (imm >> 8) << 8;
                return Ok(Some((word | self.a(0)? << 4 | 2, 2)));
            }
            "addi" | "addmi" => {
                let value = self.value(2)?;
                let (r, imm) = match name {
                    "addi" => (12, signed(value, 8)?),
                    _ if value % 256 == 0 => (13, signed(value / 256, 8)?),
                    _ => return Err(Reason::Range(value)),
                };
                let word = imm << 16 | r << 12 | self.a(1)? << 8 | self.a(0)? << 4 | 2;
                return Ok(Some((word, 3)));
            }
            "l32e" | "s32e" => {
                let r = unsigned(self.value(2)? + 64, 4, 4)?;
                let op2 = if name == "l32e" { 0 } else { 4 };
                let word = rrr(op2, 9, 0) | r << 12 | self.a(1)? << 8 | self.a(0)? << 4;
                return Ok(Some((word, 3)));
            }
            "l32r" => {
                let base = i64::from(self.pc.wrapping_add(3) & !3);
                let distance = self.value(1)? - base;
                if distance % 4 != 0 || !(-0x4_0000..0).contains(&distance) {
                    return Err(Reason::Range(distance));
                }
                let imm = to_u32((distance / 4) & 0xffff)?;
                return Ok(Some((imm << 8 | self.a(0)? << 4 | 1, 2)));
            }
            _ => return Ok(None),
        };
        let imm = unsigned(self.value(2)?, 8, unit)?;
        Ok(Some((imm << 16 | r << 12 | self.a(1)? << 8 | self.a(0)? << 4 | 2, 3)))
    }

    /// Jumps, calls, `ENTRY`.
    fn jumps(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let n = match name {
            "j" => {
                return Ok(Some((signed(self.distance(0)?, 18)? << 6 | 6, 1)));
            }
            "entry" => {
                let bytes = unsigned(self.value(1)?, 12, 8)?;
                return Ok(Some((bytes << 12 | self.a(0)? << 8 | 0x36, 2)));
            }
            "call0" => 0,
            "call4" => 1,
            "call8" => 2,
            "call12" => 3,
            _ => return Ok(None),
        };
        let distance = self.value(0)? - i64::from(self.pc & !3) - 4;
        if distance % 4 != 0 {
            return Err(Reason::Range(distance));
        }
        Ok(Some((signed(distance / 4, 18)? << 6 | n << 4 | 5, 1)))
    }

    /// Branches and loops.
    fn branches(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let compare = |r: u32| -> Result<_, Reason> {
            let offset = signed(self.distance(2)?, 8)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | self.a(1)? << 4 | 7, 3))
        };
        let zero = |m: u32| -> Result<_, Reason> {
            let offset = signed(self.distance(1)?, 12)?;
            Ok((offset << 12 | self.a(0)? << 8 | m << 6 | 0x16, 2))
        };
        let constant = |place: Option<usize>, low: u32| -> Result<_, Reason> {
            let bad = Reason::Range(self.value(1)?);
            let r = place.and_then(|place| u32::try_from(place).ok()).ok_or(bad)?;
            let offset = signed(self.distance(2)?, 8)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | low, 3))
        };
        let b4 = |m: u32| {
            let value = self.value(1)?;
            constant(B4CONST.iter().position(|c| i64::from(*c) == value), m << 6 | 0x26)
        };
        let b4u = |m: u32| {
            let value = self.value(1)?;
            constant(B4CONSTU.iter().position(|c| i64::from(*c) == value), m << 6 | 0x36)
        };
        let bit = |r: u32| -> Result<_, Reason> {
            let bit = unsigned(self.value(1)?, 5, 1)?;
            let offset = signed(self.distance(2)?, 8)?;
            let word = offset << 16 | (r | bit >> 4) << 12 | self.a(0)? << 8;
            Ok((word | (bit & 15) << 4 | 7, 3))
        };
        let count = |r: u32| -> Result<_, Reason> {
            let offset = unsigned(self.distance(1)?, 8, 1)?;
            Ok((offset << 16 | r << 12 | self.a(0)? << 8 | 0x76, 2))
        };
        let encoded = match name {
            "bnone" => compare(0),
            "beq" => compare(1),
            "blt" => compare(2),
            "bltu" => compare(3),
            "ball" => compare(4),
            "bbc" => compare(5),
            "bany" => compare(8),
            "bne" => compare(9),
            "bge" => compare(10),
            "bgeu" => compare(11),
            "bnall" => compare(12),
            "bbs" => compare(13),
            "bbci" => bit(6),
            "bbsi" => bit(14),
            "beqz" => zero(0),
            "bnez" => zero(1),
            "bltz" => zero(2),
            "bgez" => zero(3),
            "beqi" => b4(0),
            "bnei" => b4(1),
            "blti" => b4(2),
            "bgei" => b4(3),
            "bltui" => b4u(2),
            "bgeui" => b4u(3),
            "loop" => count(8),
            "loopnez" => count(9),
            "loopgtz" => count(10),
            _ => return Ok(None),
        };
        encoded.map(Some)
    }

    /// Booleans and floating point.
    fn coprocessor(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        // Files of the operands and the nibble (bit number) each goes to.
        let (word, operands): (u32, &[(char, u32)]) = match name {
            "andb" => (rrr(0, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "andbc" => (rrr(1, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "orb" => (rrr(2, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "orbc" => (rrr(3, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "xorb" => (rrr(4, 2, 0), &[('b', 12), ('b', 8), ('b', 4)]),
            "any4" => (0x8000, &[('b', 4), ('b', 8)]),
            "all4" => (0x9000, &[('b', 4), ('b', 8)]),
            "any8" => (0xa000, &[('b', 4), ('b', 8)]),
            "all8" => (0xb000, &[('b', 4), ('b', 8)]),
            "movf" => (rrr(12, 3, 0), &[('a', 12), ('a', 8), ('b', 4)]),
            "movt" => (rrr(13, 3, 0), &[('a', 12), ('a', 8), ('b', 4)]),
            "bf" | "bt" => {
                let r = u32::from(name == "bt");
                let offset = signed(self.distance(1)?, 8)?;
                let word = offset << 16 | r << 12 | self.register(0, 'b')? << 8 | 0x76;
                return Ok(Some((word, 2)));
            }
            _ => return self.float(name),
        };
        let mut word = word;
        for (index, (file, place)) in operands.iter().enumerate() {
            word |= self.register(index, *file)? << place;
        }
        Ok(Some((word, operands.len())))
    }

    fn float(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let scaled = |op2: u32, to: char, from: char| -> Result<_, Reason> {
            let scale = unsigned(self.value(2)?, 4, 1)?;
            let registers = self.register(0, to)? << 12 | self.register(1, from)? << 8;
            Ok(Some((rrr(op2, 10, 0) | registers | scale << 4, 3)))
        };
        let (word, operands): (u32, &[(char, u32)]) = match name {
            "round.s" => return scaled(8, 'a', 'f'),
            "trunc.s" => return scaled(9, 'a', 'f'),
            "floor.s" => return scaled(10, 'a', 'f'),
            "ceil.s" => return scaled(11, 'a', 'f'),
            "float.s" => return scaled(12, 'f', 'a'),
            "ufloat.s" => return scaled(13, 'f', 'a'),
            "utrunc.s" => return scaled(14, 'a', 'f'),
            "lsi" | "ssi" | "lsiu" | "ssiu" => {
                let r = match name {
                    "lsi" => 0,
                    "ssi" => 4,
                    "lsiu" => 8,
                    _ => 12,
                };
                let imm = unsigned(self.value(2)?, 8, 4)?;
                let registers = self.a(1)? << 8 | self.register(0, 'f')? << 4;
                return Ok(Some((imm << 16 | r << 12 | registers | 3, 3)));
            }
            "mov.s" => (rrr(15, 10, 0), &[('f', 12), ('f', 8)]),
            "abs.s" => (rrr(15, 10, 0) | 0x10, &[('f', 12), ('f', 8)]),
            "rfr" => (rrr(15, 10, 0) | 0x40, &[('a', 12), ('f', 8)]),
            "wfr" => (rrr(15, 10, 0) | 0x50, &[('f', 12), ('a', 8)]),
            "neg.s" => (rrr(15, 10, 0) | 0x60, &[('f', 12), ('f', 8)]),
            "lsx" => (rrr(0, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "lsxu" => (rrr(1, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "ssx" => (rrr(4, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            "ssxu" => (rrr(5, 8, 0), &[('f', 12), ('a', 8), ('a', 4)]),
            _ => return self.float_registers(name),
        };
        let mut word = word;
        for (index, (file, place)) in operands.iter().enumerate() {
            word |= self.register(index, *file)? << place;
        }
        Ok(Some((word, operands.len())))
    }

    /// Floating-point instructions of three registers.
    fn float_registers(&self, name: &str) -> Result<Option<(u32, usize)>, Reason> {
        let (word, to, last) = match name {
            "add.s" => (rrr(0, 10, 0), 'f', 'f'),
            "sub.s" => (rrr(1, 10, 0), 'f', 'f'),
            "mul.s" => (rrr(2, 10, 0), 'f', 'f'),
            "madd.s" => (rrr(4, 10, 0), 'f', 'f'),
            "msub.s" => (rrr(5, 10, 0), 'f', 'f'),
            "un.s" => (rrr(1, 11, 0), 'b', 'f'),
            "oeq.s" => (rrr(2, 11, 0), 'b', 'f'),
            "ueq.s" => (rrr(3, 11, 0), 'b', 'f'),
            "olt.s" => (rrr(4, 11, 0), 'b', 'f'),
            "ult.s" => (rrr(5, 11, 0), 'b', 'f'),
            "ole.s" => (rrr(6, 11, 0), 'b', 'f'),
            "ule.s" => (rrr(7, 11, 0), 'b', 'f'),
            "moveqz.s" => (rrr(8, 11, 0), 'f', 'a'),
            "movnez.s" => (rrr(9, 11, 0), 'f', 'a'),
            "movltz.s" => (rrr(10, 11, 0), 'f', 'a'),
            "movgez.s" => (rrr(11, 11, 0), 'f', 'a'),
            "movf.s" => (rrr(12, 11, 0), 'f', 'b'),
            "movt.s" => (rrr(13, 11, 0), 'f', 'b'),
            _ => return Ok(None),
        };
        let registers = self.register(0, to)? << 12 | self.register(1, 'f')? << 8;
        Ok(Some((word | registers | self.register(2, last)? << 4, 3)))
    }
}
