//! The protected range by the register bits.

use std::ops::Range;

use spi_nor::part::{Part, Protection, ProtectionRow};

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

/// Decodes `status` by the rules of `part`.
#[must_use]
pub fn protected(part: &Part, status: &StatusRegisters) -> Protected {
    let bit = |name: &str| {
        let position = part.find_bit(name)?;
        status.of(part, position.register).map(|value| u32::from(position.of(value)))
    };
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

fn by_rule(part: &Part, bit: &dyn Fn(&str) -> Option<u32>) -> Option<Range<u32>> {
    let capacity = part.capacity_bytes;
    let optional = |name: &Option<String>| name.as_deref().map_or(Some(0), bit);
    match &part.protection {
        Protection::None {} => Some(0..0),
        Protection::Table { rows } => row(rows, bit)?,
        Protection::BlockProtect {
            bp,
            tb,
            sec,
            cmp,
            cmp_inverts_bp: false,
            first_bp,
            unit_bytes,
            exceptions,
        } => {
            if let Some(range) = row(exceptions, bit)? {
                return Some(range);
            }
            let value = number(bp, bit)?;
            let sectors = optional(sec)? == 1;
            let len = match value.checked_sub(u32::from(*first_bp)) {
                None => 0,
                Some(_) if value == (1 << bp.len()) - 1 => capacity,
                Some(step) if sectors => {
                    SECTOR_RULE_UNIT_BYTES.checked_shl(step)?.min(SECTOR_RULE_BYTES_MAX)
                }
                Some(step) => doubled(*unit_bytes, step, capacity),
            };
            let at_bottom = optional(tb)? == 1;
            Some(match (at_bottom, optional(cmp)? == 1) {
                (true, false) => 0..len,
                (false, false) => capacity - len..capacity,
                (true, true) => len..capacity,
                (false, true) => 0..capacity - len,
            })
            .map(|range| if range.is_empty() { 0..0 } else { range })
        }
        Protection::InverseBlockProtect { bp, tb, unit_bytes, exceptions } => {
            if let Some(range) = row(exceptions, bit)? {
                return Some(range);
            }
            let value = number(bp, bit)?;
            let writable = match value.checked_sub(1) {
                None => capacity,
                Some(_) if value == (1 << bp.len()) - 1 => 0,
                Some(step) => doubled(*unit_bytes, step, capacity),
            };
            let at_top = optional(tb)? == 1;
            let range = if at_top { writable..capacity } else { 0..capacity - writable };
            Some(if range.is_empty() { 0..0 } else { range })
        }
        _ => None,
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
