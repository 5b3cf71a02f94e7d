//! Planning how to clear the protection bits, and nothing else.

use spi_nor::part::{BitKind, Part, RegisterName, StatusWrite};

use crate::status::{StatusForm, StatusRegisters};

/// One register's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterChange {
    /// The register.
    pub register: RegisterName,
    /// Value as read.
    pub old: u8,
    /// Value to write.
    pub new: u8,
}

/// How to clear the range bits of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearPlan {
    /// The bits are clear already: write nothing (FIELD-CASES `puya-7bfc`).
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
    let value = |register| status.of(part, register);
    let is_set = |name: &str| {
        part.find_bit(name).is_some_and(|at| value(at.register).is_some_and(|v| at.of(v) == 1))
    };
    if part.status_lock.power_lock_bit.as_deref().is_some_and(is_set) {
        return ClearPlan::StatusLocked;
    }
    let mut changes: Vec<RegisterChange> = Vec::new();
    let mut stuck = Vec::new();
    for name in part.protection.bit_names() {
        let Some(at) = part.find_bit(name) else { continue };
        let Some(old) = value(at.register) else { return ClearPlan::Unknown };
        if at.of(old) == 0 {
            continue;
        }
        if part.bits().any(|(place, bit)| place == at && bit.kind == BitKind::Otp) {
            stuck.push(name.to_owned());
            continue;
        }
        if let Some(change) = changes.iter_mut().find(|change| change.register == at.register) {
            change.new &= !at.mask();
        } else {
            let new = old & part.write_mask(at.register) & !at.mask();
            changes.push(RegisterChange { register: at.register, old, new });
        }
    }
    // A direction bit alone protects nothing, so one that is stuck only matters if it is all.
    match (changes.is_empty(), stuck.is_empty()) {
        (true, true) => ClearPlan::Nothing,
        (true, false) => ClearPlan::Otp { bits: stuck },
        _ => forms(part, *status, &changes)
            .map_or(ClearPlan::Unknown, |forms| ClearPlan::Write { changes, forms }),
    }
}

fn forms(
    part: &Part,
    status: StatusRegisters,
    changes: &[RegisterChange],
) -> Option<Vec<StatusForm>> {
    let wanted = |register| {
        changes.iter().find(|change| change.register == register).map_or_else(
            || status.of(part, register).map(|value| value & part.write_mask(register)),
            |change| Some(change.new),
        )
    };
    let fill = |write: &StatusWrite| {
        let data: Option<Vec<u8>> =
            write.to.iter().map(|to| to.register().map_or(Some(0), wanted)).collect();
        Some(StatusForm { opcode: write.opcode, data: data? })
    };
    let reaches =
        |write: &StatusWrite, register| write.to.iter().any(|to| to.register() == Some(register));
    let all = |write: &&StatusWrite| changes.iter().all(|c| reaches(write, c.register));
    let harmless = |write: &&StatusWrite| write.clears.is_empty();
    // One instruction for everything is best: no moment with half of the change done.
    let mut whole: Vec<&StatusWrite> =
        part.status_write.iter().filter(all).filter(harmless).collect();
    whole.sort_by_key(|write| write.to.len());
    if let Some(form) = whole.into_iter().find_map(fill) {
        return Some(vec![form]);
    }
    changes
        .iter()
        .map(|change| {
            let mut forms: Vec<&StatusWrite> = part
                .status_write
                .iter()
                .filter(|write| reaches(write, change.register))
                .filter(harmless)
                .collect();
            forms.sort_by_key(|write| write.to.len());
            forms.into_iter().find_map(fill)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use spi_nor::catalog;

    use super::*;

    fn plan(part: &str, values: [u8; 3]) -> ClearPlan {
        let part = catalog::part(part).unwrap();
        clear_plan(&part, &StatusRegisters { values: values.map(Some) })
    }

    #[test]
    fn clear_bits_are_left_alone() {
        assert_eq!(plan("W25Q128FV", [0x00, 0x02, 0x60]), ClearPlan::Nothing);
    }

    #[test]
    fn qe_stays() {
        for part in ["W25Q128FV", "GD25Q128E", "BY25Q64AS", "W25Q32JV", "GD25Q32C"] {
            let ClearPlan::Write { changes, forms } = plan(part, [0x1c, 0x42, 0x00]) else {
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
}
