//! A small two-pass assembler for test programs.
//!
//! It takes the notation of [`crate::disasm`]: one instruction a line, `label:` on its own or in
//! front, `#` or `//` comments, and the directives `.word`, `.byte`, `.align N` and `.space N`.
//! `mov` is accepted for `or`; nothing else is rewritten, relaxed or put into a literal pool.

mod arithmetic;
mod coprocessor;
mod jumps;
mod mac16;

use std::collections::BTreeMap;

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
            Self::mac16,
        ] {
            if let Some((word, operands)) = group(self, name)? {
                self.only(operands)?;
                return Ok(word);
            }
        }
        Err(Reason::Mnemonic(name.to_owned()))
    }
}
