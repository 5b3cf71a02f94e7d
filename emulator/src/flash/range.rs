//! Which addresses the register bits protect.
//!
//! The part's rule is data ([`Protection`]); the arithmetic of each rule family is here, once.

use std::ops::Range;

use spi_nor::part::{Part, Protection, ProtectionRow};

/// No address.
const NONE: Range<u32> = 0..0;
/// Most that SEC = 1 protects: eight 4 KiB sectors.
const LARGEST_SECTOR_SHARE: u32 = 32 * 1024;
/// One sector.
const SECTOR: u32 = 4096;

/// The addresses that the register bits of `part` protect; `0..0` for none.
///
/// `bit` gives the present value (0 or 1) of a register bit by the name that the part gives it. It
/// is asked only for names in [`Protection::bit_names`]. Individual locks and block protection
/// registers are not a range and not in here.
pub fn protected_range(part: &Part, bit: &dyn Fn(&str) -> u8) -> Range<u32> {
    let capacity = part.capacity_bytes;
    let optional = |name: &Option<String>| name.as_deref().is_some_and(|name| bit(name) != 0);
    let (range, exceptions) = match &part.protection {
        Protection::None {} | Protection::BlockProtectionRegister { .. } => return NONE,
        Protection::Table { rows } => return matching_row(rows, bit).unwrap_or(NONE),
        Protection::BlockProtect {
            bp,
            tb,
            sec,
            cmp,
            cmp_inverts_bp,
            first_bp,
            unit_bytes,
            exceptions,
        } => {
            let share = Share {
                capacity,
                level: number(bp, bit),
                largest: largest(bp),
                first: u32::from(*first_bp),
                unit: if optional(sec) { SECTOR } else { *unit_bytes },
                cap: if optional(sec) { LARGEST_SECTOR_SHARE } else { capacity },
            };
            let complement = optional(cmp);
            let share =
                if complement && *cmp_inverts_bp { share.with_inverted_level() } else { share };
            let range = at_end(share.doubling(), capacity, optional(tb));
            (if complement { outside(range, capacity) } else { range }, exceptions)
        }
        Protection::InverseBlockProtect { bp, tb, unit_bytes, exceptions } => {
            let writable = Share::of_blocks(capacity, bp, *unit_bytes, bit);
            // TB set leaves the bottom writable, so the protected part is at the top.
            (at_end(writable.rest(), capacity, !optional(tb)), exceptions)
        }
        Protection::SymmetricBlockProtect { bp, tb, unit_bytes, exceptions } => {
            let share = Share::of_blocks(capacity, bp, *unit_bytes, bit);
            (at_end(share.symmetric(), capacity, optional(tb)), exceptions)
        }
    };
    matching_row(exceptions, bit).unwrap_or(range)
}

/// What the BP bits ask for, before it is placed at an end of the array.
#[derive(Debug, Clone, Copy)]
struct Share {
    /// Array size.
    capacity: u32,
    /// Value of the BP bits.
    level: u32,
    /// Largest value that they can have.
    largest: u32,
    /// Smallest value that selects anything.
    first: u32,
    /// Bytes that `first` selects.
    unit: u32,
    /// Most that any value but `largest` selects.
    cap: u32,
}

impl Share {
    /// A share counted in blocks, every value of BP in use.
    fn of_blocks(capacity: u32, bp: &[String], unit: u32, bit: &dyn Fn(&str) -> u8) -> Self {
        let (level, largest) = (number(bp, bit), largest(bp));
        Self { capacity, level, largest, first: 1, unit, cap: capacity }
    }

    /// The same with every BP bit the other way round.
    fn with_inverted_level(self) -> Self {
        Self { level: self.largest - self.level, ..self }
    }

    /// `unit`, twice that, four times that, … and everything for the largest value.
    fn doubling(self) -> u32 {
        if self.level < self.first {
            0
        } else if self.level == self.largest {
            self.capacity
        } else {
            doubled(self.unit, self.level - self.first).min(self.cap).min(self.capacity)
        }
    }

    /// Everything except a doubling share; nothing for 0, everything for the largest value.
    fn rest(self) -> u32 {
        if self.level == 0 {
            0
        } else if self.level == self.largest {
            self.capacity
        } else {
            self.capacity.saturating_sub(doubled(self.unit, self.level - 1))
        }
    }

    /// Doubling up to one half, then everything except one quarter, one eighth, … one unit, then
    /// everything.
    fn symmetric(self) -> u32 {
        let steps = (self.capacity / self.unit.max(1)).max(1).ilog2();
        if self.level == 0 {
            0
        } else if self.level <= steps {
            doubled(self.unit, self.level - 1)
        } else if self.level < 2 * steps {
            self.capacity - (self.capacity >> (self.level - steps + 1))
        } else {
            self.capacity
        }
    }
}

/// `unit` times 2 to the power of `times`, at most `u32::MAX`.
fn doubled(unit: u32, times: u32) -> u32 {
    1u32.checked_shl(times).unwrap_or(u32::MAX).saturating_mul(unit)
}

/// Value of the named bits, the first least significant.
fn number(names: &[String], bit: &dyn Fn(&str) -> u8) -> u32 {
    names.iter().rev().fold(0, |number, name| number << 1 | u32::from(bit(name) != 0))
}

/// Largest value of the named bits.
fn largest(names: &[String]) -> u32 {
    names.iter().fold(0, |number, _| number << 1 | 1)
}

/// `bytes` at the bottom or at the top of the array.
fn at_end(bytes: u32, capacity: u32, bottom: bool) -> Range<u32> {
    match bytes.min(capacity) {
        0 => NONE,
        bytes if bottom => 0..bytes,
        bytes => capacity - bytes..capacity,
    }
}

/// What a range that touches an end of the array leaves over.
fn outside(range: Range<u32>, capacity: u32) -> Range<u32> {
    if range.is_empty() {
        0..capacity
    } else if range.start == 0 {
        at_end(capacity - range.end, capacity, false)
    } else {
        at_end(range.start, capacity, true)
    }
}

/// The range of the first row whose bits all have the values that it asks for.
fn matching_row(rows: &[ProtectionRow], bit: &dyn Fn(&str) -> u8) -> Option<Range<u32>> {
    let matches = |row: &&ProtectionRow| row.bits.iter().all(|(name, value)| bit(name) == *value);
    let row = rows.iter().find(matches)?;
    Some(if row.start == row.end { NONE } else { row.start..row.end })
}
