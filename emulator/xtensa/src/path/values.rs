//! What is known of the registers along a path, so that copies and constants cost nothing until
//! somebody needs them.

use super::step::{Do, Micro, Value};

/// Values and storage of the 64 physical registers at one place of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    value: [Value; 64],
    /// Registers whose storage is behind their value, one bit each.
    unwritten: u64,
    /// Bits that may be set.
    bits: [u32; 64],
    /// The shift amount, if the path has set it.
    pub(super) sar: Option<u32>,
}

impl Values {
    /// Nothing is known.
    pub(super) fn unknown() -> Self {
        Self { value: [Value::Unknown; 64], unwritten: 0, bits: [u32::MAX; 64], sar: None }
    }

    fn is_unwritten(&self, register: u8) -> bool {
        self.unwritten >> (register & 63) & 1 != 0
    }

    fn value(&self, register: u8) -> Value {
        self.value[usize::from(register & 63)]
    }

    /// The number that `register` holds, if it is known.
    pub(super) fn number(&self, register: u8) -> Option<u32> {
        match self.value(register) {
            Value::Const(number) => Some(number),
            Value::Unknown | Value::Sum(..) => None,
        }
    }

    /// Bits of `register` that may be set.
    pub(super) fn bits(&self, register: u8) -> u32 {
        match self.value(register) {
            Value::Const(number) => number,
            Value::Sum(source, 0) => self.bits[usize::from(source & 63)],
            Value::Sum(..) => u32::MAX,
            Value::Unknown => self.bits[usize::from(register & 63)],
        }
    }

    /// A register whose storage holds what `register` does.
    pub(super) fn place(&mut self, register: u8, ops: &mut Vec<Micro>) -> u8 {
        match self.value(register) {
            Value::Sum(source, 0) => source,
            Value::Const(_) | Value::Sum(..) => {
                self.write(register, ops);
                register & 63
            }
            Value::Unknown => register & 63,
        }
    }

    /// A register whose storage plus a number is what `register` holds, if that is not a number.
    pub(super) fn sum(&self, register: u8) -> (u8, u32) {
        match self.value(register) {
            Value::Sum(source, number) => (source, number),
            Value::Const(_) | Value::Unknown => (register & 63, 0),
        }
    }

    /// Brings the storage of `register` up to its value.
    pub(super) fn write(&mut self, register: u8, ops: &mut Vec<Micro>) {
        if !self.is_unwritten(register) {
            return;
        }
        self.unwritten &= !(1 << (register & 63));
        let op = Micro { op: Do::Const, d: register & 63, a: 0, b: 0, imm: 0, x: 0, y: 0 };
        match self.value(register) {
            Value::Const(imm) => ops.push(Micro { imm, ..op }),
            Value::Sum(a, 0) => ops.push(Micro { op: Do::Mov, a, ..op }),
            Value::Sum(a, imm) => ops.push(Micro { op: Do::AddI, a, imm, ..op }),
            Value::Unknown => {}
        }
    }

    /// The storage of `register` is about to change: what leans on it is written first.
    fn release(&mut self, register: u8, ops: &mut Vec<Micro>) {
        let register = register & 63;
        let mut first = None;
        for other in 0..64 {
            let Value::Sum(source, number) = self.value(other) else { continue };
            if source != register {
                continue;
            }
            // One is written; the others lean on it from now on.
            if let Some((place, its)) = first {
                self.value[usize::from(other)] = Value::Sum(place, number.wrapping_sub(its));
                continue;
            }
            self.write(other, ops);
            self.bits[usize::from(other)] = self.bits(other);
            self.value[usize::from(other)] = Value::Unknown;
            first = Some((other, number));
        }
    }

    /// The next operation writes `register`, with nothing but `bits` set.
    pub(super) fn define(&mut self, register: u8, bits: u32, ops: &mut Vec<Micro>) {
        self.release(register, ops);
        self.value[usize::from(register & 63)] = Value::Unknown;
        self.bits[usize::from(register & 63)] = bits;
        self.unwritten &= !(1 << (register & 63));
    }

    /// `register` now holds `number`, in no storage yet.
    pub(super) fn define_number(&mut self, register: u8, number: u32, ops: &mut Vec<Micro>) {
        if self.value(register) == Value::Const(number) {
            return;
        }
        self.release(register, ops);
        self.value[usize::from(register & 63)] = Value::Const(number);
        self.unwritten |= 1 << (register & 63);
    }

    /// `register` now holds what `source` does plus `number`.
    pub(super) fn define_sum(
        &mut self,
        register: u8,
        source: u8,
        number: u32,
        ops: &mut Vec<Micro>,
    ) {
        let register = register & 63;
        let (root, sum) = match self.value(source) {
            Value::Const(known) => {
                return self.define_number(register, known.wrapping_add(number), ops);
            }
            Value::Sum(root, more) => (root, number.wrapping_add(more)),
            Value::Unknown => (source & 63, number),
        };
        if root == register {
            if sum != 0 {
                self.define(register, u32::MAX, ops);
                let add = Micro { op: Do::AddI, d: register, a: root, b: 0, imm: sum, x: 0, y: 0 };
                ops.push(add);
            }
        } else if self.value(register) != Value::Sum(root, sum) {
            self.release(register, ops);
            self.value[usize::from(register)] = Value::Sum(root, sum);
            self.unwritten |= 1 << register;
        }
    }

    /// What must be written where the path is left here.
    pub(super) fn writes(&self) -> Box<[(u8, Value)]> {
        (0..64).filter(|n| self.is_unwritten(*n)).map(|n| (n, self.value(n))).collect()
    }

    /// Registers of which more is known than of those of `other`, or something else.
    pub(super) fn beyond(&self, other: &Self) -> u64 {
        let differs = |n: &u8| {
            let at = usize::from(*n);
            self.value[at] != other.value[at]
                || self.is_unwritten(*n) != other.is_unwritten(*n)
                || self.bits[at] & !other.bits[at] != 0
        };
        (0..64_u8).filter(differs).fold(0, |mask, n| mask | 1 << n)
    }

    /// Writes and forgets the registers of `mask`.
    pub(super) fn forget(&mut self, mask: u64, ops: &mut Vec<Micro>) {
        for register in (0..64_u8).filter(|n| mask >> n & 1 != 0) {
            self.release(register, ops);
            self.write(register, ops);
            self.value[usize::from(register)] = Value::Unknown;
            self.bits[usize::from(register)] = u32::MAX;
        }
    }
}
