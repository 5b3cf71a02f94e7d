//! Planning how to clear or set the protection bits, and nothing else.

use std::ops::Range;

use spi_nor::part::Part;

use super::{
    forms::{PlanError, RegisterChange, WritePlan, plan_write},
    range::{Protected, decode},
    registers::Registers,
};
use crate::status::{StatusForm, StatusRegisters};

/// How to clear the range bits of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearPlan {
    /// Nothing is protected: write nothing (FIELD-CASES `puya-7bfc`).
    Nothing,
    /// Send these register writes, in order.
    Write {
        /// What changes.
        changes: Vec<RegisterChange>,
        /// Instructions.
        forms: Vec<StatusForm>,
    },
    /// Some bits cannot be cleared by any register write: one-time programmed.
    Otp {
        /// Names of the bits.
        bits: Vec<String>,
    },
    /// SRP1 is set: the registers are locked until the next power cycle, or for good.
    StatusLocked,
    /// A register that would have to be written was not read, or no form reaches it.
    Unknown,
}

/// Plans to clear every range bit of `part`. Keeps QE and all other bits; never writes a register
/// that does not change, unless a form carries it along with its present value.
#[must_use]
pub fn clear_plan(part: &Part, status: &StatusRegisters) -> ClearPlan {
    let now = Registers::from_status(part, status);
    if decode(part, &now) == Protected::Range(0..0) {
        return ClearPlan::Nothing;
    }
    match cleared(part, &now).and_then(|wanted| plan_write(part, &[], &now, &wanted)) {
        Ok(WritePlan { changes, .. }) if changes.is_empty() => ClearPlan::Nothing,
        Ok(WritePlan { changes, forms }) => ClearPlan::Write { changes, forms },
        Err(PlanError::OneTime { bits }) => ClearPlan::Otp { bits },
        Err(PlanError::Locked { .. }) => ClearPlan::StatusLocked,
        Err(_) => ClearPlan::Unknown,
    }
}

/// The registers with no range bit set and individual locks switched off, as far as that can be
/// written; bits that are one-time programmed stay if the rest suffices.
///
/// # Errors
///
/// [`PlanError::NotRead`], or [`PlanError::OneTime`] if the stuck bits alone protect something.
pub fn cleared(part: &Part, now: &Registers) -> Result<Registers, PlanError> {
    let mut wanted = now.clone();
    let mut stuck = Vec::new();
    let select = part.individual_locks.as_ref().and_then(|locks| locks.select_bit.as_deref());
    for name in part.protection.bit_names().into_iter().chain(select) {
        let value = now.bit(part, name).ok_or(PlanError::NotRead)?;
        if value == 0 {
            continue;
        }
        if is_one_time(part, name) {
            stuck.push(name.to_owned());
        } else {
            wanted.set_bit(part, name, false);
        }
    }
    match decode(part, &wanted) {
        Protected::Range(range) if range.is_empty() => Ok(wanted),
        _ if stuck.is_empty() => Err(PlanError::NotRead),
        _ => Err(PlanError::OneTime { bits: stuck }),
    }
}

fn is_one_time(part: &Part, name: &str) -> bool {
    use spi_nor::part::BitKind;
    part.find_bit(name)
        .is_some_and(|at| part.bits().any(|(place, bit)| place == at && bit.kind == BitKind::Otp))
}

/// One range that a part can protect.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Choice {
    /// The addresses; empty for none.
    pub range: Range<u32>,
    /// The bits that are 1, by name.
    pub bits: Vec<String>,
    /// Those of them that can be set once and never cleared: this program never sets them.
    pub one_time: Vec<String>,
}

/// A run of individual lock units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LockUnits {
    /// First address.
    pub start: u32,
    /// One past the last.
    pub end: u32,
    /// Size of each unit in bytes.
    pub unit_bytes: u32,
}

/// What parts can protect that share id and rules.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PartChoices {
    /// The parts.
    pub parts: Vec<String>,
    /// Ranges by register bits.
    pub choices: Vec<Choice>,
    /// Units that can be locked one by one.
    pub lock_units: Vec<LockUnits>,
    /// The register bit that puts individual locks in force; none if they always are, or the part
    /// has none.
    pub lock_select: Option<String>,
}

/// What each of `parts` can protect; parts with the same answer come together.
#[must_use]
pub fn choices_of_all(parts: &[Part]) -> Vec<PartChoices> {
    let mut all: Vec<PartChoices> = Vec::new();
    for part in parts {
        let locks = part.individual_locks.as_ref();
        let regions = locks.into_iter().flat_map(|locks| &locks.regions);
        let lock_units =
            regions.map(|r| LockUnits { start: r.start, end: r.end, unit_bytes: r.unit_bytes });
        let found = PartChoices {
            parts: vec![part.name.clone()],
            choices: choices(part),
            lock_units: lock_units.collect(),
            lock_select: locks.and_then(|locks| locks.select_bit.clone()),
        };
        let same = |known: &&mut PartChoices| {
            known.choices == found.choices
                && known.lock_units == found.lock_units
                && known.lock_select == found.lock_select
        };
        match all.iter_mut().find(same) {
            Some(known) => known.parts.extend(found.parts),
            None => all.push(found),
        }
    }
    all
}

/// Bits tried at most: more would be no table of a person's.
const RANGE_BITS_MAX: usize = 10;

/// Every range that the register bits of `part` can protect, smallest first; of several settings
/// with one range that with the fewest bits set.
#[must_use]
pub fn choices(part: &Part) -> Vec<Choice> {
    let names = part.protection.bit_names();
    if names.len() > RANGE_BITS_MAX {
        return Vec::new();
    }
    let mut found: Vec<Choice> = Vec::new();
    for setting in 0..1_u32 << names.len() {
        let on: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| setting >> at & 1 == 1)
            .map(|(_, n)| *n)
            .collect();
        let Some(range) = range_with(part, &on) else { continue };
        let bits: Vec<String> = on.into_iter().map(str::to_owned).collect();
        match found.iter_mut().find(|choice| choice.range == range) {
            Some(known) if known.bits.len() > bits.len() => known.bits = bits,
            Some(_) => {}
            None => found.push(Choice { range, bits, one_time: Vec::new() }),
        }
    }
    for choice in &mut found {
        let one_time = choice.bits.iter().filter(|name| is_one_time(part, name));
        choice.one_time = one_time.cloned().collect();
    }
    found.sort_by_key(|choice| (choice.range.len(), choice.range.start));
    found
}

/// The range with exactly these bits set.
fn range_with(part: &Part, on: &[&str]) -> Option<Range<u32>> {
    let mut registers = Registers::default();
    for register in part.registers.keys() {
        registers.set(*register, 0);
    }
    for name in on {
        registers.set_bit(part, name, true);
    }
    match decode(part, &registers) {
        Protected::Range(range) => Some(range),
        Protected::ByLocks | Protected::Unknown => None,
    }
}

/// `now` with the range bits as `choice` has them.
#[must_use]
pub fn with_choice(part: &Part, now: &Registers, choice: &Choice) -> Registers {
    let mut wanted = now.clone();
    for name in part.protection.bit_names() {
        wanted.set_bit(part, name, choice.bits.iter().any(|bit| bit == name));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use spi_nor::{catalog, part::RegisterName};

    use super::*;

    fn plan(part: &str, values: [u8; 3]) -> ClearPlan {
        let part = catalog::part(part).unwrap();
        clear_plan(&part, &StatusRegisters { values: values.map(Some) })
    }

    #[test]
    fn clear_bits_are_left_alone() {
        assert_eq!(plan("W25Q128FV", [0x00, 0x02, 0x60]), ClearPlan::Nothing);
        // FIELD-CASES `srp-locked`: CMP inverts BP = 111, nothing is protected.
        assert_eq!(plan("W25Q32JV", [0xfc, 0x7b, 0x60]), ClearPlan::Nothing);
    }

    #[test]
    fn qe_stays() {
        for part in ["W25Q128FV", "GD25Q128E", "BY25Q64AS", "W25Q32JV", "GD25Q32C"] {
            let ClearPlan::Write { changes, forms } = plan(part, [0x0c, 0x42, 0x00]) else {
                panic!("{part}")
            };
            let second = changes.iter().find(|change| change.register == RegisterName::Sr2);
            assert_eq!(second.unwrap().new & 0x42, 0x02, "{part}");
            assert!(!forms.is_empty());
        }
    }

    #[test]
    fn a_locked_register_is_no_work_for_a_plan() {
        assert_eq!(plan("W25Q128FV", [0x1c, 0x01, 0x00]), ClearPlan::StatusLocked);
    }

    #[test]
    fn a_short_write_that_clears_qe_is_avoided() {
        // GD25Q32B: 01h with one byte clears CMP, QE and SRP1 (QUIRKS Q5).
        let ClearPlan::Write { forms, .. } = plan("GD25Q32B", [0x1c, 0x02, 0x00]) else { panic!() };
        assert_eq!(forms, [StatusForm { opcode: 0x01, data: vec![0x00, 0x02] }]);
    }

    #[test]
    fn every_choice_is_what_its_bits_protect() {
        for part in catalog::parse_all().unwrap() {
            for choice in choices(&part) {
                let on: Vec<&str> = choice.bits.iter().map(String::as_str).collect();
                assert_eq!(range_with(&part, &on), Some(choice.range), "{}", part.name);
            }
        }
    }
}
