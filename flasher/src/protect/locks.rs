//! The block protection register of parts whose individual locks are all in one register (QUIRKS
//! Q15), and opening all locks of others by one instruction.
//!
//! Its bytes come most significant first: a pair for each 8 KiB block (read lock, write lock), then
//! one bit for each 32 KiB block, then for each 64 KiB block, the highest address first in each
//! group.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};
use spi_nor::part::{BitKind, Part, Protection};

use super::change::ChangeError;
use crate::{
    session::{Session, SessionError},
    spi::{DATA_BYTES_MAX, Instruction, opcode},
    status::StatusForm,
};

/// Blocks up to this size have a read lock in front of their write lock.
const READ_LOCK_BYTES_MAX: u32 = 0x2000;
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// The register as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockLocks(pub Vec<u8>);

/// One lock unit and its bit, counted from the most significant one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    range: Range<u32>,
    bit: usize,
}

/// All locks of `part` are in one register.
#[must_use]
pub fn has_block_register(part: &Part) -> bool {
    opcodes(part).is_some()
}

/// The opcodes that read and write it.
fn opcodes(part: &Part) -> Option<(u8, u8)> {
    match part.protection {
        Protection::BlockProtectionRegister { read, write, .. } => Some((read, write)),
        _ => None,
    }
}

/// The instruction that writes it.
pub(super) fn form(part: &Part, locks: &BlockLocks) -> Option<StatusForm> {
    let (_, opcode) = opcodes(part)?;
    Some(StatusForm { opcode, data: locks.0.clone() })
}

/// Write locks in the order of their bits, and the number of bits.
fn units(part: &Part) -> (Vec<Unit>, usize) {
    let regions = part.individual_locks.iter().flat_map(|locks| &locks.regions);
    let mut ranges: Vec<Range<u32>> = regions
        .flat_map(|region| {
            let step = region.unit_bytes.max(1);
            let starts = (region.start..region.end).step_by(step as usize);
            starts.map(move |start| start..start.saturating_add(step).min(region.end))
        })
        .collect();
    ranges.sort_by_key(|range| (range.end - range.start, std::cmp::Reverse(range.start)));
    let mut bit = 0;
    let mut found = Vec::new();
    for range in ranges {
        bit += usize::from(range.end - range.start <= READ_LOCK_BYTES_MAX);
        found.push(Unit { range, bit });
        bit += 1;
    }
    (found, bit)
}

impl BlockLocks {
    fn is_set(&self, bit: usize) -> bool {
        self.0.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0)
    }

    fn set(&mut self, bit: usize, locked: bool) {
        if let Some(byte) = self.0.get_mut(bit / 8) {
            let mask = 0x80 >> (bit % 8);
            *byte = if locked { *byte | mask } else { *byte & !mask };
        }
    }

    /// What the write locks protect, in order of addresses.
    #[must_use]
    pub fn locked_ranges(&self, part: &Part) -> Vec<Range<u32>> {
        let (units, _) = units(part);
        let mut locked: Vec<Range<u32>> =
            units.into_iter().filter(|unit| self.is_set(unit.bit)).map(|unit| unit.range).collect();
        locked.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u32>> = Vec::new();
        for range in locked {
            match merged.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The same register with exactly `range` write-locked; read locks stay. `None` if the range
    /// does not begin and end on lock units.
    #[must_use]
    pub fn protecting(&self, part: &Part, range: &Range<u32>) -> Option<Self> {
        let mut wanted = self.clone();
        for unit in units(part).0 {
            let inside = range.start <= unit.range.start && unit.range.end <= range.end;
            let touches = range.start < unit.range.end && unit.range.start < range.end;
            if touches && !inside && !range.is_empty() {
                return None;
            }
            wanted.set(unit.bit, inside);
        }
        Some(wanted)
    }
}

impl Session {
    /// Reads the block protection register; empty on a part without it.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_block_locks(&mut self, part: &Part) -> Result<BlockLocks, SessionError> {
        let Some((read, _)) = opcodes(part) else { return Ok(BlockLocks(Vec::new())) };
        let bytes = units(part).1.div_ceil(8).min(DATA_BYTES_MAX);
        Ok(BlockLocks(self.spi(&Instruction::new(read).reading(bytes))?))
    }

    /// Writes the block protection register and reads it back.
    ///
    /// # Errors
    ///
    /// [`ChangeError::LocksFrozen`] if it does not take the value.
    pub fn write_block_locks(
        &mut self,
        part: &Part,
        wanted: &BlockLocks,
    ) -> Result<(), ChangeError> {
        let Some((_, write)) = opcodes(part) else { return Err(ChangeError::UnknownPart) };
        self.repeat::<(), SessionError>(|session| {
            session.write_enable()?;
            session.spi_proven(&Instruction::new(write).writing(&wanted.0))?;
            session.wait_flash_ready(WRITE_LIMIT)?;
            session.spi(&Instruction::new(opcode::WRITE_DISABLE)).map(drop)
        })?;
        let read = self.look_twice(|session| session.read_block_locks(part))?;
        let differs = units(part).0.iter().any(|u| read.is_set(u.bit) != wanted.is_set(u.bit));
        if differs { Err(ChangeError::LocksFrozen) } else { Ok(()) }
    }

    /// Opens all individual locks by the part's own instruction.
    ///
    /// # Errors
    ///
    /// [`ChangeError::LocksFrozen`] if they stay closed.
    pub(super) fn open_all_locks(&mut self, part: &Part, unlock: u8) -> Result<(), ChangeError> {
        self.repeat::<(), SessionError>(|session| {
            session.write_enable()?;
            session.spi_proven(&Instruction::new(unlock))?;
            session.wait_flash_ready(WRITE_LIMIT)?;
            session.spi(&Instruction::new(opcode::WRITE_DISABLE)).map(drop)
        })?;
        if self.look_twice(|session| session.any_lock_is_set(part))? == Some(true) {
            return Err(ChangeError::LocksFrozen);
        }
        Ok(())
    }

    /// Some write lock is set, as far as locks can be read: all of them, or that of address 0.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn any_lock_is_set(&mut self, part: &Part) -> Result<Option<bool>, SessionError> {
        if has_block_register(part) {
            return Ok(Some(!self.read_block_locks(part)?.locked_ranges(part).is_empty()));
        }
        self.read_lock(part, 0)
    }
}

/// The opcode that opens all locks, on a part where no register write switches them off.
pub(super) fn lock_opener(part: &Part) -> Option<u8> {
    let locks = part.individual_locks.as_ref()?;
    let reachable =
        locks.select_bit.as_deref().and_then(|name| part.find_bit(name)).is_some_and(|at| {
            part.bits().any(|(place, bit)| place == at && bit.kind != BitKind::Otp)
                && part
                    .status_write
                    .iter()
                    .any(|form| form.to.iter().any(|to| to.register() == Some(at.register)))
        });
    if reachable { None } else { locks.global_unlock.first().copied() }
}

#[cfg(test)]
mod tests {
    use spi_nor::catalog;

    use super::*;

    fn part() -> Part {
        catalog::part("SST26VF032B").unwrap()
    }

    #[test]
    fn bits_of_the_32_mbit_part() {
        // 80 bits: 79 and 78 are the pair of the highest 8 KiB block, 63 and 62 the two 32 KiB
        // blocks (upper, lower), 61 the highest 64 KiB block, 0 the lowest.
        let (units, bits) = units(&part());
        assert_eq!(bits, 80);
        let of = |number: usize| units.iter().find(|unit| unit.bit == 79 - number).unwrap();
        assert_eq!(of(78).range, 0x3f_e000..0x40_0000);
        assert_eq!(of(64).range, 0..0x2000);
        assert_eq!(of(63).range, 0x3f_0000..0x3f_8000);
        assert_eq!(of(62).range, 0x8000..0x1_0000);
        assert_eq!(of(61).range, 0x3e_0000..0x3f_0000);
        assert_eq!(of(0).range, 0x1_0000..0x2_0000);
        assert!(units.iter().all(|unit| unit.bit != 79 - 79));
    }

    #[test]
    fn ranges_go_in_and_come_out() {
        let (part, none) = (part(), BlockLocks(vec![0; 10]));
        for range in [0..0x2000, 0x8000..0x2_0000, 0x3e_0000..0x40_0000, 0..0x40_0000] {
            let locks = none.protecting(&part, &range).unwrap();
            assert_eq!(locks.locked_ranges(&part), [range]);
        }
        assert_eq!(none.protecting(&part, &(0..0)).unwrap(), none);
        assert_eq!(none.protecting(&part, &(0..0x1000)), None, "half a unit");
        assert_eq!(none.protecting(&part, &(0x1_8000..0x3_0000)), None);
    }

    #[test]
    fn read_locks_are_kept() {
        let (part, old) = (part(), BlockLocks(vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
        let wanted = old.protecting(&part, &(0..0x2000)).unwrap();
        assert_eq!(wanted.0[0] & 0x80, 0x80);
        assert_eq!(wanted.locked_ranges(&part).first(), Some(&(0..0x2000)));
    }
}
