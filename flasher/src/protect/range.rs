//! The protected range by the register bits.

use std::{fmt, ops::Range};

use spi_nor::part::{Part, Protection, ProtectionRow};

use super::registers::Registers;
use crate::status::StatusRegisters;

const SECTOR_RULE_UNIT_BYTES: u32 = 0x1000;
const SECTOR_RULE_BYTES_MAX: u32 = 0x8000;

/// What the registers say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protected {
    /// These addresses; an empty range is no protection.
    Range(Range<u32>),
    /// Individual locks are in force; the register bits do not matter.
    ByLocks,
    /// A register that would decide was not read, or the rule is not known here.
    Unknown,
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) if range.is_empty() => f.write_str("nothing"),
            Self::Range(range) => write!(f, "{:#08x} to {:#08x}", range.start, range.end),
            Self::ByLocks => f.write_str("by individual locks"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Decodes `status` by the rules of `part`.
#[must_use]
pub fn protected(part: &Part, status: &StatusRegisters) -> Protected {
    decode(part, &Registers::from_status(part, status))
}

/// Decodes the registers of `part` by its rules.
#[must_use]
pub fn decode(part: &Part, registers: &Registers) -> Protected {
    let bit = |name: &str| registers.bit(part, name).map(u32::from);
    if let Some(locks) = &part.individual_locks {
        match &locks.select_bit {
            None => return Protected::ByLocks,
            Some(name) => match bit(name) {
                Some(0) => {}
                Some(_) => return Protected::ByLocks,
                None => return Protected::Unknown,
            },
        }
    }
    by_rule(part, &bit).map_or(Protected::Unknown, Protected::Range)
}

/// The range of the register bits alone.
fn by_rule(part: &Part, bit: &dyn Fn(&str) -> Option<u32>) -> Option<Range<u32>> {
    let capacity = part.capacity_bytes;
    let optional = |name: &Option<String>| name.as_deref().map_or(Some(0), bit);
    if let Some(range) = row(rows(&part.protection), bit)? {
        return Some(range);
    }
    let range = match &part.protection {
        Protection::None {} | Protection::Table { .. } => 0..0,
        Protection::BlockProtectionRegister { .. } => return None,
        Protection::BlockProtect {
            bp, tb, sec, cmp, cmp_inverts_bp, first_bp, unit_bytes, ..
        } => {
            let inverted = optional(cmp)? == 1;
            let highest = (1 << bp.len()) - 1;
            let read = number(bp, bit)?;
            let value = if inverted && *cmp_inverts_bp { highest - read } else { read };
            let sectors = optional(sec)? == 1;
            let len = match value.checked_sub(u32::from(*first_bp)) {
                None => 0,
                Some(_) if value == highest => capacity,
                Some(step) if sectors => {
                    SECTOR_RULE_UNIT_BYTES.checked_shl(step)?.min(SECTOR_RULE_BYTES_MAX)
                }
                Some(step) => doubled(*unit_bytes, step, capacity),
            };
            end_of(capacity, len, optional(tb)? == 1, inverted)
        }
        Protection::InverseBlockProtect { bp, tb, unit_bytes, .. } => {
            let value = number(bp, bit)?;
            let writable = match value.checked_sub(1) {
                None => capacity,
                Some(_) if value == (1 << bp.len()) - 1 => 0,
                Some(step) => doubled(*unit_bytes, step, capacity),
            };
            let at_top = optional(tb)? == 1;
            if at_top { writable..capacity } else { 0..capacity - writable }
        }
        Protection::SymmetricBlockProtect { bp, tb, unit_bytes, .. } => {
            let len = symmetric(number(bp, bit)?, *unit_bytes, capacity);
            end_of(capacity, len, optional(tb)? == 1, false)
        }
    };
    Some(if range.is_empty() { 0..0 } else { range })
}

/// The rows that win over the formula.
fn rows(protection: &Protection) -> &[ProtectionRow] {
    match protection {
        Protection::Table { rows } => rows,
        Protection::BlockProtect { exceptions, .. }
        | Protection::InverseBlockProtect { exceptions, .. }
        | Protection::SymmetricBlockProtect { exceptions, .. } => exceptions,
        Protection::BlockProtectionRegister { .. } | Protection::None {} => &[],
    }
}

/// `len` bytes at one end, or all but these.
fn end_of(capacity: u32, len: u32, at_bottom: bool, complement: bool) -> Range<u32> {
    match (at_bottom, complement) {
        (true, false) => 0..len,
        (false, false) => capacity - len..capacity,
        (true, true) => len..capacity,
        (false, true) => 0..capacity - len,
    }
}

/// Doubles up to one half; from there what stays writable halves until it is less than a unit.
fn symmetric(value: u32, unit_bytes: u32, capacity: u32) -> u32 {
    let Some(step) = value.checked_sub(1) else { return 0 };
    let steps_to_half = (capacity / 2 / unit_bytes.max(1)).max(1).ilog2();
    match step.checked_sub(steps_to_half) {
        None => doubled(unit_bytes, step, capacity),
        Some(beyond) => {
            let writable = (capacity / 2).checked_shr(beyond).unwrap_or(0);
            if writable < unit_bytes { capacity } else { capacity - writable }
        }
    }
}

/// Value of the BP bits, the first name being the least significant.
fn number(names: &[String], bit: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
    names.iter().rev().try_fold(0, |value, name| Some((value << 1) | bit(name)?))
}

fn doubled(unit_bytes: u32, step: u32, capacity: u32) -> u32 {
    let bytes = u64::from(unit_bytes).checked_shl(step).unwrap_or(u64::MAX);
    u32::try_from(bytes).unwrap_or(capacity).min(capacity)
}

/// The first row that matches. Outer `None`: a bit that decides is not known.
#[expect(clippy::option_option, reason = "unknown and no such row are different answers")]
fn row(rows: &[ProtectionRow], bit: &dyn Fn(&str) -> Option<u32>) -> Option<Option<Range<u32>>> {
    for row in rows {
        let mut matches = true;
        for (name, value) in &row.bits {
            matches &= bit(name)? == u32::from(*value);
        }
        if matches {
            return Some(Some(row.start..row.end));
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use spi_nor::catalog;

    use super::*;

    fn decode(part: &str, values: [u8; 3]) -> Protected {
        let part = catalog::part(part).unwrap();
        protected(&part, &StatusRegisters { values: values.map(Some) })
    }

    #[test]
    fn rows_of_the_w25q128fv_datasheet() {
        // Datasheet 7.1.14 to 7.1.16: SEC TB BP2..0, then CMP.
        for (values, range) in [
            ([0x00, 0x02, 0], 0..0),
            ([0x04, 0x02, 0], 0xfc_0000..0x100_0000),
            ([0x24, 0x02, 0], 0..0x04_0000),
            ([0x18, 0x00, 0], 0x80_0000..0x100_0000),
            ([0x1c, 0x00, 0], 0..0x100_0000),
            ([0x44, 0x00, 0], 0xff_f000..0x100_0000),
            ([0x70, 0x00, 0], 0..0x8000),
            ([0x04, 0x40, 0], 0..0xfc_0000),
            ([0x24, 0x40, 0], 0x04_0000..0x100_0000),
            ([0x00, 0x40, 0], 0..0x100_0000),
            ([0x1c, 0x40, 0], 0..0),
        ] {
            assert_eq!(decode("W25Q128FV", values), Protected::Range(range), "{values:02x?}");
        }
    }

    #[test]
    fn the_field_case_of_the_by25q64as() {
        assert_eq!(decode("BY25Q64AS", [0, 0x40, 0]), Protected::Range(0..0x80_0000));
        assert_eq!(decode("BY25Q64AS", [0, 0x02, 0]), Protected::Range(0..0));
    }

    #[test]
    fn individual_locks_take_over() {
        assert_eq!(decode("W25Q128FV", [0x00, 0x02, 0x04]), Protected::ByLocks);
    }

    #[test]
    fn a_register_that_was_not_read_leaves_it_open() {
        let part = catalog::part("W25Q128FV").unwrap();
        let status = StatusRegisters { values: [Some(0), None, Some(0)] };
        assert_eq!(protected(&part, &status), Protected::Unknown);
    }
}
