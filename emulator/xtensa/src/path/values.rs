//! What is known of the registers along a path, so that copies and constants cost nothing until
//! somebody needs them.

use super::step::{Do, Micro, Value};

/// Physical registers.
const REGISTERS: u8 = 64;
/// The physical registers, and behind them what the path keeps of words in memory.
pub(super) const SLOTS: usize = 128;
/// Of an index into the slots.
pub(super) const SLOT_MASK: u8 = 127;

/// A place in memory of which a slot holds a copy. Stores change both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    /// Place in the backing bytes.
    pub(super) at: u32,
    /// The load that it is the result of.
    pub(super) load: Do,
    pub(super) slot: u8,
}

/// Values and storage of the slots at one place of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values {
    value: [Value; SLOTS],
    /// Slots whose storage is behind their value, one bit each.
    unwritten: u128,
    /// Bits that may be set.
    bits: [u32; SLOTS],
    /// The shift amount, if the path has set it.
    pub(super) sar: Option<u32>,
    /// What is known of memory.
    cells: Vec<Cell>,
}

impl Cell {
    fn bytes(self) -> u32 {
        match self.load {
            Do::Load8At => 1,
            Do::Load16At | Do::Load16SignedAt => 2,
            _ => 4,
        }
    }

    /// Whether it has any of the `bytes` bytes at `at`.
    fn overlaps(self, at: u32, bytes: u32) -> bool {
        self.at < at.saturating_add(bytes) && at < self.at.saturating_add(self.bytes())
    }
}

impl Values {
    /// Nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            value: [Value::Unknown; SLOTS],
            unwritten: 0,
            bits: [u32::MAX; SLOTS],
            sar: None,
            cells: Vec::new(),
        }
    }

    fn is_unwritten(&self, register: u8) -> bool {
        self.unwritten >> (register & SLOT_MASK) & 1 != 0
    }

    fn value(&self, register: u8) -> Value {
        self.value[usize::from(register & SLOT_MASK)]
    }

    /// The number that `register` holds, if it is known.
    pub(super) fn number(&self, register: u8) -> Option<u32> {
        match self.value(register) {
            Value::Const(number) => Some(number),
            Value::Unknown | Value::Sum(..) => None,
        }
    }

    /// A branch has found that the storage of `slot` holds `number`.
    pub(super) fn learn(&mut self, slot: u8, number: u32) {
        for other in 0..=SLOT_MASK {
            if let Value::Sum(source, more) = self.value(other)
                && source == slot
            {
                self.value[usize::from(other)] = Value::Const(number.wrapping_add(more));
            }
        }
        self.value[usize::from(slot & SLOT_MASK)] = Value::Const(number);
    }

    /// The slot that holds what `load` gives at `at`.
    pub(super) fn cell(&self, load: Do, at: u32) -> Option<u8> {
        self.cells.iter().find(|cell| (cell.at, cell.load) == (at, load)).map(|cell| cell.slot)
    }

    /// A free slot for what `load` gives at `at`.
    pub(super) fn add_cell(&mut self, load: Do, at: u32) -> Option<u8> {
        let slot = (REGISTERS..=SLOT_MASK).find(|slot| self.is_free(*slot))?;
        self.cells.push(Cell { at, load, slot });
        Some(slot)
    }

    /// Forgets the cells that a store of `bytes` bytes at `at` changes, but for the one of `load`.
    pub(super) fn drop_cells(&mut self, at: u32, bytes: u32, load: Option<Do>) {
        self.retain_cells(|cell| {
            !cell.overlaps(at, bytes) || cell.at == at && Some(cell.load) == load
        });
    }

    pub(super) fn retain_cells(&mut self, mut stays: impl FnMut(&Cell) -> bool) {
        let cells = std::mem::take(&mut self.cells);
        let (kept, dropped): (Vec<_>, Vec<_>) = cells.into_iter().partition(|cell| stays(cell));
        self.cells = kept;
        for cell in dropped {
            // Nobody leans on storage that is behind.
            if self.is_unwritten(cell.slot) {
                self.unwritten &= !(1 << cell.slot);
                self.value[usize::from(cell.slot)] = Value::Unknown;
                self.bits[usize::from(cell.slot)] = u32::MAX;
            }
        }
    }

    /// Makes slots that hold nothing any more look alike.
    pub(super) fn tidy(&mut self) {
        for slot in REGISTERS..=SLOT_MASK {
            if self.is_free(slot) {
                self.value[usize::from(slot)] = Value::Unknown;
                self.bits[usize::from(slot)] = u32::MAX;
                self.unwritten &= !(1 << slot);
            }
        }
    }

    /// Whether `slot` is no cell, and no value leans on it.
    fn is_free(&self, slot: u8) -> bool {
        let leans = |value: &Value| matches!(value, Value::Sum(source, _) if *source == slot);
        self.cells.iter().all(|cell| cell.slot != slot) && !self.value.iter().any(leans)
    }

    /// Cells that `other` does not have in the same slot.
    pub(super) fn cells_beyond(&self, other: &Self) -> Vec<Cell> {
        self.cells.iter().filter(|cell| !other.cells.contains(cell)).copied().collect()
    }

    /// The widest span of backing bytes within `first..end` around `at` that has no cell.
    pub(super) fn span(&self, at: u32, [first, end]: [u32; 2]) -> [u32; 2] {
        self.cells.iter().fold([first, end], |[first, end], cell| {
            if cell.at > at {
                [first, end.min(cell.at)]
            } else {
                [first.max(cell.at.saturating_add(cell.bytes())), end]
            }
        })
    }

    /// Bits of `register` that may be set.
    pub(super) fn bits(&self, register: u8) -> u32 {
        match self.value(register) {
            Value::Const(number) => number,
            Value::Sum(source, 0) => self.bits[usize::from(source & SLOT_MASK)],
            Value::Sum(..) => u32::MAX,
            Value::Unknown => self.bits[usize::from(register & SLOT_MASK)],
        }
    }

    /// A register whose storage holds what `register` does.
    pub(super) fn place(&mut self, register: u8, ops: &mut Vec<Micro>) -> u8 {
        match self.value(register) {
            Value::Sum(source, 0) => source,
            Value::Const(_) | Value::Sum(..) => {
                self.write(register, ops);
                register & SLOT_MASK
            }
            Value::Unknown => register & SLOT_MASK,
        }
    }

    /// A register whose storage plus a number is what `register` holds, if that is not a number.
    pub(super) fn sum(&self, register: u8) -> (u8, u32) {
        match self.value(register) {
            Value::Sum(source, number) => (source, number),
            Value::Const(_) | Value::Unknown => (register & SLOT_MASK, 0),
        }
    }

    /// Brings the storage of `register` up to its value.
    pub(super) fn write(&mut self, register: u8, ops: &mut Vec<Micro>) {
        if !self.is_unwritten(register) {
            return;
        }
        self.unwritten &= !(1 << (register & SLOT_MASK));
        let op = Micro { op: Do::Const, d: register & SLOT_MASK, a: 0, b: 0, imm: 0, x: 0, y: 0 };
        match self.value(register) {
            Value::Const(imm) => ops.push(Micro { imm, ..op }),
            Value::Sum(a, 0) => ops.push(Micro { op: Do::Mov, a, ..op }),
            Value::Sum(a, imm) => ops.push(Micro { op: Do::AddI, a, imm, ..op }),
            Value::Unknown => {}
        }
    }

    /// The storage of `register` is about to change: what leans on it is written first.
    fn release(&mut self, register: u8, ops: &mut Vec<Micro>) {
        let register = register & SLOT_MASK;
        let mut first = None;
        for other in 0..=SLOT_MASK {
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
        self.value[usize::from(register & SLOT_MASK)] = Value::Unknown;
        self.bits[usize::from(register & SLOT_MASK)] = bits;
        self.unwritten &= !(1 << (register & SLOT_MASK));
    }

    /// `register` now holds `number`, in no storage yet.
    pub(super) fn define_number(&mut self, register: u8, number: u32, ops: &mut Vec<Micro>) {
        if self.value(register) == Value::Const(number) {
            return;
        }
        self.release(register, ops);
        self.value[usize::from(register & SLOT_MASK)] = Value::Const(number);
        self.unwritten |= 1 << (register & SLOT_MASK);
    }

    /// `register` now holds what `source` does plus `number`.
    pub(super) fn define_sum(
        &mut self,
        register: u8,
        source: u8,
        number: u32,
        ops: &mut Vec<Micro>,
    ) {
        let register = register & SLOT_MASK;
        let (root, sum) = match self.value(source) {
            Value::Const(known) => {
                return self.define_number(register, known.wrapping_add(number), ops);
            }
            Value::Sum(root, more) => (root, number.wrapping_add(more)),
            Value::Unknown => (source & SLOT_MASK, number),
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
        (0..REGISTERS).filter(|n| self.is_unwritten(*n)).map(|n| (n, self.value(n))).collect()
    }

    /// Registers of which more is known than of those of `other`, or something else.
    pub(super) fn beyond(&self, other: &Self) -> u128 {
        let differs = |n: &u8| {
            let at = usize::from(*n);
            self.value[at] != other.value[at]
                || self.is_unwritten(*n) != other.is_unwritten(*n)
                || self.bits[at] & !other.bits[at] != 0
        };
        (0..=SLOT_MASK).filter(differs).fold(0, |mask, n| mask | 1 << n)
    }

    /// Writes and forgets the registers of `mask`.
    pub(super) fn forget(&mut self, mask: u128, ops: &mut Vec<Micro>) {
        for register in (0..=SLOT_MASK).filter(|n| mask >> n & 1 != 0) {
            self.release(register, ops);
            self.write(register, ops);
            self.value[usize::from(register)] = Value::Unknown;
            self.bits[usize::from(register)] = u32::MAX;
        }
    }
}
