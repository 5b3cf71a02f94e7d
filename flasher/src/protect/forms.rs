//! Which register write instructions bring a part from one state to another.

use spi_nor::part::{BitKind, Part, RegisterName, StatusWrite};

use super::registers::Registers;
use crate::status::StatusForm;

/// One register's change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RegisterChange {
    /// The register.
    pub register: RegisterName,
    /// Value as read.
    pub old: u8,
    /// Value to write.
    pub new: u8,
}

/// Register writes that change what is to change and keep everything else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WritePlan {
    /// What changes; empty if nothing does.
    pub changes: Vec<RegisterChange>,
    /// Instructions in order; empty if nothing changes.
    pub forms: Vec<StatusForm>,
}

/// A change that no register write can make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// One-time programmed bits would have to go back to 0.
    #[error("one-time programmed bits cannot be cleared: {}", .bits.join(", "))]
    OneTime {
        /// Their names.
        bits: Vec<String>,
    },
    /// The plan would burn one-time bits, which this program never does.
    #[error("that would burn one-time programmable bits: {}", .bits.join(", "))]
    WouldBurn {
        /// Their names.
        bits: Vec<String>,
    },
    /// No instruction of the part reaches a register without clearing bits that are to stay.
    #[error("no register write of {part} reaches {register:?} and keeps the other bits")]
    NoForm {
        /// The part.
        part: String,
        /// The register.
        register: RegisterName,
    },
    /// The registers are locked until the next power cycle, or for good (QUIRKS Q21).
    #[error("the registers are locked{}", if *.for_ever { " for good" } else { " until the next power cycle" })]
    Locked {
        /// SRP0 and SRP1 are both set, on a part or lot where that cannot be undone.
        for_ever: bool,
    },
    /// A register that decides was not read.
    #[error("a register that decides cannot be read safely on this part")]
    NotRead,
}

/// Plans the way from `now` to `wanted` on `part`. A form that has another meaning or a side
/// effect on one of `candidates`, which share the id, is not used.
///
/// # Errors
///
/// [`PlanError`].
pub fn plan_write(
    part: &Part,
    candidates: &[Part],
    now: &Registers,
    wanted: &Registers,
) -> Result<WritePlan, PlanError> {
    let mut changes = Vec::new();
    for (register, new) in wanted.iter() {
        let old = now.get(register).ok_or(PlanError::NotRead)?;
        let mask = part.write_mask(register);
        if (old ^ new) & mask == 0 {
            continue;
        }
        check_one_time(part, register, old, new)?;
        changes.push(RegisterChange { register, old, new: new & mask });
    }
    if changes.is_empty() {
        return Ok(WritePlan { changes, forms: Vec::new() });
    }
    if let Some(for_ever) = locked(part, now) {
        return Err(PlanError::Locked { for_ever });
    }
    let forms = choose(part, candidates, now, &changes)?;
    Ok(WritePlan { changes, forms })
}

/// The registers are locked by SRP1, and whether that is for good.
#[must_use]
pub fn locked(part: &Part, now: &Registers) -> Option<bool> {
    let is_set =
        |name: &Option<String>| name.as_deref().is_some_and(|name| now.bit(part, name) == Some(1));
    let lock = &part.status_lock;
    // Both bits set are for good on special lots of parts whose data says otherwise: assume it.
    is_set(&lock.power_lock_bit).then(|| is_set(&lock.wp_enable_bit))
}

/// SRP0 alone is set: the registers take writes only while WP# of the flash is high, and the wire
/// does not show that pin (QUIRKS Q21).
#[must_use]
pub fn obeys_pin(part: &Part, now: &Registers) -> bool {
    let lock = &part.status_lock;
    let is_set = |name: Option<&str>| name.is_some_and(|name| now.bit(part, name) == Some(1));
    is_set(lock.wp_enable_bit.as_deref()) && !is_set(lock.power_lock_bit.as_deref())
}

fn check_one_time(part: &Part, register: RegisterName, old: u8, new: u8) -> Result<(), PlanError> {
    let names = |mask: u8| -> Vec<String> {
        let bits = part.bits().filter(|(at, bit)| {
            at.register == register && at.mask() & mask != 0 && bit.kind == BitKind::Otp
        });
        bits.map(|(_, bit)| bit.name.clone()).collect()
    };
    let stuck = names(old & !new);
    if !stuck.is_empty() {
        return Err(PlanError::OneTime { bits: stuck });
    }
    let burnt = names(!old & new);
    if burnt.is_empty() { Ok(()) } else { Err(PlanError::WouldBurn { bits: burnt }) }
}

fn choose(
    part: &Part,
    candidates: &[Part],
    now: &Registers,
    changes: &[RegisterChange],
) -> Result<Vec<StatusForm>, PlanError> {
    let value = |register| {
        changes.iter().find(|change| change.register == register).map_or_else(
            || now.get(register).map(|value| value & part.write_mask(register)),
            |change| Some(change.new),
        )
    };
    let fill = |write: &StatusWrite| {
        let data: Option<Vec<u8>> =
            write.to.iter().map(|to| to.register().map_or(Some(0), value)).collect();
        Some(StatusForm { opcode: write.opcode, data: data? })
    };
    let reaches =
        |write: &StatusWrite, register| write.to.iter().any(|to| to.register() == Some(register));
    let mut usable: Vec<&StatusWrite> = part
        .status_write
        .iter()
        .filter(|write| is_harmless(write, part, candidates, now))
        .collect();
    usable.sort_by_key(|write| write.to.len());
    // One instruction for everything is best: no moment with half of the change done.
    let whole = usable
        .iter()
        .filter(|write| changes.iter().all(|change| reaches(write, change.register)))
        .find_map(|write| fill(write));
    if let Some(form) = whole {
        return Ok(vec![form]);
    }
    changes
        .iter()
        .map(|change| {
            let forms = usable.iter().filter(|write| reaches(write, change.register));
            forms.clone().find_map(|write| fill(write)).ok_or_else(|| PlanError::NoForm {
                part: part.name.clone(),
                register: change.register,
            })
        })
        .collect()
}

/// Clears nothing that is set, and means the same on every candidate that takes it.
fn is_harmless(write: &StatusWrite, part: &Part, candidates: &[Part], now: &Registers) -> bool {
    let clears = |part: &Part, form: &StatusWrite| {
        form.clears.iter().any(|name| now.bit(part, name) != Some(0))
    };
    if clears(part, write) {
        return false;
    }
    candidates.iter().all(|other| {
        let mut same = other
            .status_write
            .iter()
            .filter(|form| form.opcode == write.opcode && form.to.len() == write.to.len());
        same.all(|form| form.to == write.to && !clears(other, form))
    })
}
