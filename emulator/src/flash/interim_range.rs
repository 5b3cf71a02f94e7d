//! Interim range decoder: tables and plain block protect.

use std::ops::Range;

use spi_nor::part::{Part, Protection, ProtectionRow};

/// The range that the register bits protect; empty for none.
pub(super) fn protected_range(part: &Part, bit: &dyn Fn(&str) -> u8) -> Range<u32> {
    let row = |rows: &[ProtectionRow]| {
        rows.iter()
            .find(|row| row.bits.iter().all(|(name, &value)| bit(name) == value))
            .map(|row| row.start..row.end)
    };
    match &part.protection {
        Protection::Table { rows } => row(rows).unwrap_or(0..0),
        Protection::BlockProtect { bp, tb, sec, cmp, unit_bytes, exceptions, .. } => {
            let named = |name: &Option<String>| name.as_deref().map_or(0, bit);
            let value = bp.iter().rev().fold(0, |v, name| (v << 1) | u32::from(bit(name)));
            let all = (1 << bp.len()) - 1;
            let modes = (named(tb) != 0, named(sec) != 0, named(cmp) != 0);
            row(exceptions)
                .unwrap_or_else(|| plain(part.capacity_bytes, *unit_bytes, value, all, modes))
        }
        _ => 0..0,
    }
}

fn plain(
    capacity: u32,
    unit: u32,
    bp: u32,
    all: u32,
    (low, sec, cmp): (bool, bool, bool),
) -> Range<u32> {
    let size = if bp == 0 {
        0
    } else if bp == all {
        capacity
    } else if sec {
        4096 << (bp - 1).min(3)
    } else {
        unit.checked_shl(bp - 1).unwrap_or(capacity).min(capacity)
    };
    match (low, cmp) {
        (false, false) => capacity - size..capacity,
        (true, false) => 0..size,
        (false, true) => 0..capacity - size,
        (true, true) => size..capacity,
    }
}
