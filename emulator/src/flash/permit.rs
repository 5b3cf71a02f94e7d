//! The one place that decides whether a cell or a register may change.
//!
//! Everything that protects (latch, busy, ranges, locks, pins, supply, modes) is an input, so that
//! the rule can be read, tested and exhausted on its own. No other code refuses a change.

use std::ops::Range;

use spi_nor::part::BothLockBits;

use super::{Denial, locks::Locks};
use crate::spi::CommandLines;

/// What an instruction wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Clear bits of cells.
    Program(Range<u32>),
    /// Set cells to 0xFF.
    Erase(Range<u32>),
    /// Set all cells to 0xFF.
    ChipErase(Range<u32>),
    /// Program or erase a security register or the OTP sector, frozen by a one-time bit or not.
    OneTimeArea {
        /// The lock bit of the area is set.
        frozen: bool,
    },
    /// Write status or configuration registers with this many data bytes.
    StatusWrite {
        /// Data bytes that came.
        bytes: usize,
        /// The part takes this opcode with that many.
        accepted: bool,
    },
    /// A program or erase whose address was cut short, or with a wrong number of data bytes.
    Cut {
        /// The address is incomplete.
        address: bool,
        /// Data bytes that came.
        bytes: usize,
    },
    /// Change individual locks.
    LockWrite {
        /// The lock register is frozen until a power cycle.
        frozen: bool,
    },
    /// Anything that changes neither: read, latch, mode.
    Other {
        /// The part takes it while busy (status reads, suspend, reset).
        while_busy: bool,
        /// It ends deep power-down.
        wakes: bool,
    },
}

/// Everything that can forbid a change.
#[expect(clippy::struct_excessive_bools, reason = "each is one latch, mode or input of the part")]
#[derive(Debug, Clone)]
pub(crate) struct Situation<'a> {
    /// Lines that the host used.
    pub(crate) lines: CommandLines,
    /// The part is in four-line command mode.
    pub(crate) four_line_mode: bool,
    /// The supply is below what the part needs to answer.
    pub(crate) unpowered: bool,
    /// HOLD# is low and works as HOLD#.
    pub(crate) held: bool,
    /// The part is in deep power-down.
    pub(crate) powered_down: bool,
    /// An operation runs.
    pub(crate) busy: bool,
    /// A program or erase is suspended.
    pub(crate) suspended: Option<Suspended<'a>>,
    /// Write enable latch, or for a register write also the latch of 50h.
    pub(crate) write_enabled: bool,
    /// Supply in millivolts.
    pub(crate) supply_mv: u16,
    /// Below this supply nothing is written.
    pub(crate) write_inhibit_mv: u16,
    /// What the register bits protect; empty for nothing.
    pub(crate) protected: &'a Range<u32>,
    /// Hidden protection of a damaged configuration row.
    pub(crate) hidden: Option<&'a Range<u32>>,
    /// Individual locks, if they are what counts now; `protected` does not count then.
    pub(crate) locks: Option<&'a Locks>,
    /// The part's rule forbids chip erase because a BP bit is 1.
    pub(crate) block_protect_forbids_chip_erase: bool,
    /// Lock of the status registers.
    pub(crate) status_lock: StatusLockState,
}

/// A suspended operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspended<'a> {
    /// A program: nothing may be changed.
    Program,
    /// An erase of this range: programs elsewhere are allowed.
    Erase(&'a Range<u32>),
}

/// What locks the status registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusLockState {
    /// SRP0 or its kin is 1.
    pub(crate) wp_enabled: bool,
    /// SRP1 is 1.
    pub(crate) power_lock: bool,
    /// WP# is low and works as WP#.
    pub(crate) wp_low: bool,
    /// What both bits together mean.
    pub(crate) both: BothLockBits,
}

/// Decides whether `request` may be carried out.
///
/// # Errors
///
/// The reason of the refusal. The order of the checks is the order in which a part meets them:
/// does it hear at all, may it write at all, is the form right, is the target protected.
#[expect(clippy::inline_always, reason = "a status read needs four of the inputs")]
#[inline(always)]
pub(crate) fn permit(request: &Request, now: &Situation<'_>) -> Result<(), Denial> {
    hears(request, now)?;
    if matches!(request, Request::Other { .. }) {
        return Ok(());
    }
    changes(request, now)
}

/// Whether a part that hears `request` carries it out.
fn changes(request: &Request, now: &Situation<'_>) -> Result<(), Denial> {
    suspended(request, now)?;
    if !now.write_enabled {
        return Err(Denial::WriteEnableLatch);
    }
    if now.supply_mv < now.write_inhibit_mv {
        return Err(Denial::WriteInhibit { supply_mv: now.supply_mv });
    }
    match request {
        Request::Program(range) | Request::Erase(range) => cells(range, now),
        Request::ChipErase(range) => {
            if now.block_protect_forbids_chip_erase {
                return Err(Denial::ChipErase);
            }
            cells(range, now).map_err(|_| Denial::ChipErase)
        }
        Request::Cut { address: true, .. } => Err(Denial::AddressMissing),
        Request::Cut { bytes, .. } | Request::StatusWrite { bytes, accepted: false } => {
            Err(Denial::DataLength { bytes: *bytes })
        }
        Request::OneTimeArea { frozen: true } => Err(Denial::StatusOneTimeProgram),
        Request::LockWrite { frozen: true } => Err(Denial::StatusPowerLock),
        Request::StatusWrite { accepted: true, .. } => status(now.status_lock),
        Request::OneTimeArea { .. } | Request::LockWrite { .. } | Request::Other { .. } => Ok(()),
    }
}

/// Whether the part takes the instruction at all in its mode.
#[inline]
fn hears(request: &Request, now: &Situation<'_>) -> Result<(), Denial> {
    if now.unpowered {
        return Err(Denial::Unpowered { supply_mv: now.supply_mv });
    }
    if now.held {
        return Err(Denial::Hold);
    }
    if now.four_line_mode != (now.lines == CommandLines::Four) {
        return Err(Denial::WrongLines);
    }
    if now.powered_down && !matches!(request, Request::Other { wakes: true, .. }) {
        return Err(Denial::PowerDown);
    }
    if now.busy && !matches!(request, Request::Other { while_busy: true, .. }) {
        return Err(Denial::Busy);
    }
    Ok(())
}

/// What a suspended operation forbids (QUIRKS Q34).
fn suspended(request: &Request, now: &Situation<'_>) -> Result<(), Denial> {
    match (now.suspended, request) {
        (None, _) => Ok(()),
        (Some(Suspended::Erase(erasing)), Request::Program(range)) if !overlaps(erasing, range) => {
            Ok(())
        }
        (Some(_), _) => Err(Denial::Suspended),
    }
}

/// Whether no byte of `range` is protected (QUIRKS Q12, Q13, Q14).
fn cells(range: &Range<u32>, now: &Situation<'_>) -> Result<(), Denial> {
    if let Some(hidden) = now.hidden
        && overlaps(hidden, range)
    {
        return Err(Denial::BlockProtect { protected: hidden.clone() });
    }
    if let Some(locks) = now.locks {
        return match locks.first_locked(range) {
            Some(unit) => Err(Denial::IndividualLock { unit }),
            None => Ok(()),
        };
    }
    if overlaps(now.protected, range) {
        return Err(Denial::BlockProtect { protected: now.protected.clone() });
    }
    Ok(())
}

/// Whether the status registers may be written (QUIRKS Q21, Q24).
fn status(lock: StatusLockState) -> Result<(), Denial> {
    match (lock.power_lock, lock.wp_enabled) {
        (true, true) if lock.both == BothLockBits::OneTimeProgram => {
            Err(Denial::StatusOneTimeProgram)
        }
        (true, _) => Err(Denial::StatusPowerLock),
        (false, true) if lock.wp_low => Err(Denial::StatusWriteProtectPin),
        (false, _) => Ok(()),
    }
}

/// Whether two ranges share a byte.
pub(crate) fn overlaps(one: &Range<u32>, other: &Range<u32>) -> bool {
    one.start < other.end && other.start < one.end && one.start < one.end && other.start < other.end
}

#[cfg(test)]
mod tests;
