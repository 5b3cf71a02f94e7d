//! A look at the protection before anything is erased.
//!
//! At most eight flash instructions beyond what a write needs anyway: the registers that decide,
//! one individual lock if locks rule, and write enable with a look at its latch.
//!
//! ```
//! use esp32_flasher::{
//!     identity::Identity, port, preflight::Changer, reset::ResetStrategy, session::Session,
//! };
//!
//! let mut session = Session::new(port::open("virtual:gd-16bit-wrsr", 115_200)?);
//! session.connect(&[ResetStrategy::classic()], 7)?;
//! let identity = Identity::of(session.attach_flash()?);
//! let wanted = 0x1_0000..0x2_0000;
//! let found = session.preflight(&identity, &[wanted.clone()], Changer::RomLoader)?;
//! let state = found.obstacle().ok_or("nothing is in the way")?;
//! assert_eq!(state.bits, ["BP0", "BP1", "BP2"]);
//! assert_eq!(state.overlaps, [wanted]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::Range;

use serde::Serialize;
use spi_nor::part::Part;

use crate::{
    identity::{Identity, ROM_READS_SECOND},
    protect::{
        Protected, Registers, after_rom_unlock, decode, has_block_register, locked, obeys_pin,
    },
    session::{Cause, Session, SessionError},
    spi::{Instruction, STATUS_WEL, opcode},
};

/// Who is going to change cells, and what that does to the registers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changer {
    /// `FLASH_BEGIN` of the ROM loader, which clears what it can (ROM-FACTS 6.3).
    RomLoader,
    /// Erase instructions of our own, or a stub of which it is not known whether it unlocks.
    AsItIs,
}

/// What one part, which this flash can be, protects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartState {
    /// The part.
    pub part: String,
    /// Its registers that bear on protection.
    pub registers: Registers,
    /// Protected now.
    pub now: Protected,
    /// Protected when cells are changed.
    pub then: Protected,
    /// Individual locks rule, and the one of the first address is set; where all can be read, any
    /// over the ranges.
    pub locked_unit: Option<bool>,
    /// What individual locks protect, where they can all be read at once.
    pub locked_ranges: Vec<Range<u32>>,
    /// SRP1 is set, so the registers are locked; true: SRP0 as well, which is for good.
    pub registers_locked: Option<bool>,
    /// SRP0 alone is set: the registers take writes only while WP# is high, which nothing shows.
    pub lock_obeys_pin: bool,
    /// Bits that decide and are 1, by name.
    pub bits: Vec<String>,
    /// The ranges to be changed that are protected then.
    pub overlaps: Vec<Range<u32>>,
}

/// What the look found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// One for each candidate; none if the part is not in the catalogue.
    pub parts: Vec<PartState>,
    /// Register 1, for a part that is not in the catalogue.
    pub status: Option<u8>,
    /// The flash sets its write enable latch.
    pub write_enable: bool,
    /// Who is going to change cells.
    pub changer: Changer,
    /// A part on which 35h, which every `FLASH_BEGIN` of the ROM sends, enters the four-line mode:
    /// the ROM would wait for ever (QUIRKS Q17). Only if that is so on every candidate.
    pub rom_enters_qpi: Option<String>,
    /// The same, where some candidates do and others do not.
    pub rom_may_enter_qpi: Option<String>,
}

impl Preflight {
    /// The part on which the most is in the way, if anything is on any.
    #[must_use]
    pub fn obstacle(&self) -> Option<&PartState> {
        let blocked = |state: &&PartState| !state.overlaps.is_empty();
        self.parts.iter().filter(blocked).max_by_key(|state| {
            state.overlaps.iter().map(|range| u64::from(range.end - range.start)).sum::<u64>()
        })
    }

    /// The loader will lift a protection by itself; the part and what it protects now.
    #[must_use]
    pub fn lifted(&self) -> Option<&PartState> {
        if self.obstacle().is_some() {
            return None;
        }
        let covers = |state: &&PartState| {
            matches!(&state.now, Protected::Range(range) if !range.is_empty())
                && state.then != state.now
        };
        self.parts.iter().find(covers)
    }
}

impl Session {
    /// Finds out whether `ranges` can be changed by `changer`. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn preflight(
        &mut self,
        identity: &Identity,
        ranges: &[Range<u32>],
        changer: Changer,
    ) -> Result<Preflight, SessionError> {
        let mut parts = Vec::new();
        let mut status = None;
        // Parts with one id mostly read alike: a register is read once for all of them.
        let mut cache: Vec<(u8, u8)> = Vec::new();
        for part in &identity.candidates {
            let registers = self.read_registers_cached(identity, part, &mut cache)?;
            parts.push(self.part_state(part, registers, ranges, changer)?);
        }
        if parts.is_empty() {
            status = Some(self.read_flash_register(opcode::READ_STATUS)?);
        }
        let write_enable = self.takes_write_enable()?;
        let entering: Vec<String> = identity
            .candidates
            .iter()
            .zip(&parts)
            .filter(|(part, state)| {
                part.instructions.enter_qpi.contains(&ROM_READS_SECOND)
                    && !(part.instructions.enter_qpi_needs_quad_enable && quad_is_off(part, state))
            })
            .map(|(part, _)| part.name.clone())
            .collect();
        let certain = entering.len() == parts.len();
        let first = entering.into_iter().next();
        let (rom_enters_qpi, rom_may_enter_qpi) =
            if certain { (first, None) } else { (None, first) };
        Ok(Preflight { parts, status, write_enable, changer, rom_enters_qpi, rom_may_enter_qpi })
    }

    /// Write enable, a look at the latch, write disable.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn takes_write_enable(&mut self) -> Result<bool, SessionError> {
        if self.line_was_bad() {
            // It tries more than once.
            let taken = self.write_enable();
            self.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
            return match taken {
                Err(SessionError { cause: Cause::NotWriteEnabled { .. }, .. }) => Ok(false),
                other => other.map(|()| true),
            };
        }
        self.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
        let latch = self.read_flash_register(opcode::READ_STATUS)? & STATUS_WEL;
        self.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
        Ok(latch != 0)
    }

    fn part_state(
        &mut self,
        part: &Part,
        registers: Registers,
        ranges: &[Range<u32>],
        changer: Changer,
    ) -> Result<PartState, SessionError> {
        let now = decode(part, &registers);
        let then = match changer {
            Changer::RomLoader => decode(part, &after_rom_unlock(part, &registers)),
            Changer::AsItIs => now.clone(),
        };
        let first = ranges.first().map_or(0, |range| range.start);
        let mut locked_ranges = Vec::new();
        let locked_unit = match &then {
            Protected::ByLocks if has_block_register(part) => {
                locked_ranges = self.read_block_locks(part)?.locked_ranges(part);
                Some(overlaps(ranges, &locked_ranges).next().is_some())
            }
            Protected::ByLocks => self.read_lock(part, first)?,
            _ => None,
        };
        let in_the_way = match &then {
            Protected::Range(protected) => {
                overlaps(ranges, std::slice::from_ref(protected)).collect()
            }
            Protected::ByLocks if has_block_register(part) => {
                overlaps(ranges, &locked_ranges).collect()
            }
            Protected::ByLocks if locked_unit != Some(false) => ranges.to_vec(),
            Protected::ByLocks | Protected::Unknown => Vec::new(),
        };
        Ok(PartState {
            part: part.name.clone(),
            registers_locked: locked(part, &registers),
            lock_obeys_pin: obeys_pin(part, &registers),
            bits: deciding_bits(part, &registers),
            registers,
            now,
            then,
            locked_unit,
            locked_ranges,
            overlaps: in_the_way,
        })
    }

    /// The lock over `address`, if the part lets it be read.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_lock(&mut self, part: &Part, address: u32) -> Result<Option<bool>, SessionError> {
        let Some(opcode) = part.individual_locks.as_ref().and_then(|locks| locks.read.first())
        else {
            return Ok(None);
        };
        let answer = self.spi(&Instruction::new(*opcode).at(address).reading(1))?;
        Ok(answer.first().map(|byte| byte & 1 != 0))
    }
}

fn quad_is_off(part: &Part, state: &PartState) -> bool {
    let quad = part.quad_enable_bit.as_deref();
    quad.is_some_and(|name| state.registers.bit(part, name) == Some(0))
}

/// Protection bits and the selection of locks that are 1.
#[must_use]
pub fn deciding_bits(part: &Part, registers: &Registers) -> Vec<String> {
    let select = part.individual_locks.as_ref().and_then(|locks| locks.select_bit.as_deref());
    let lock = &part.status_lock;
    let names = part.protection.bit_names().into_iter().chain(select);
    let names = names.chain(lock.wp_enable_bit.as_deref()).chain(lock.power_lock_bit.as_deref());
    names.filter(|name| registers.bit(part, name) == Some(1)).map(str::to_owned).collect()
}

/// What each of `ranges` has in common with each of `others`.
fn overlaps<'a>(
    ranges: &'a [Range<u32>],
    others: &'a [Range<u32>],
) -> impl Iterator<Item = Range<u32>> + 'a {
    ranges
        .iter()
        .flat_map(move |range| others.iter().filter_map(move |other| intersection(range, other)))
}

/// What both ranges have.
#[must_use]
pub fn intersection(a: &Range<u32>, b: &Range<u32>) -> Option<Range<u32>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_or_not() {
        assert_eq!(intersection(&(0..10), &(5..20)), Some(5..10));
        assert_eq!(intersection(&(0..5), &(5..20)), None);
        assert_eq!(intersection(&(0..5), &(0..0)), None);
    }
}
