//! Interim range decoder: tables and plain block protect.

use std::ops::Range;

use spi_nor::part::{Part, Protection, ProtectionRow};

/// The range that the register bits protect; empty for none.
pub fn protected_range(part: &Part, bit: &dyn Fn(&str) -> u8) -> Range<u32> {
    let row = |rows: &[ProtectionRow]| {
        rows.iter()
            .find(|row| row.bits.iter().all(|(name, &value)| bit(name) == value))
            .map(|row| row.start..row.end)
    };
    match &part.protection {
        Protection::Table { rows } => row(rows).unwrap_or(0..0),
        Protection::BlockProtect { unit_bytes, exceptions } => {
            row(exceptions).unwrap_or_else(|| plain(part.capacity_bytes, *unit_bytes, bit))
        }
        _ => 0..0,
    }
}

fn plain(capacity: u32, unit: u32, bit: &dyn Fn(&str) -> u8) -> Range<u32> {
    let bp = u32::from(bit("BP0") | (bit("BP1") << 1) | (bit("BP2") << 2));
    let size = match bp {
        0 => 0,
        7 => capacity,
        _ if bit("SEC") != 0 => 4096 << (bp - 1).min(3),
        _ => unit.checked_shl(bp - 1).unwrap_or(capacity),
    }
    .min(capacity);
    let (low, cmp) = (bit("TB") != 0, bit("CMP") != 0);
    match (low, cmp) {
        (false, false) => capacity - size..capacity,
        (true, false) => 0..size,
        (false, true) => 0..capacity - size,
        (true, true) => size..capacity,
    }
}
