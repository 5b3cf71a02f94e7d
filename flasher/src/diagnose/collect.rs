//! Collecting evidence without changing anything, except in a scratch sector that was offered.

use std::ops::Range;

use spi_nor::part::{BitKind, Part};

use super::Evidence;
use crate::{
    chip::Chip,
    flash::{BLOCK_BYTES, ReadError},
    identity::Identity,
    preflight::{Changer, Preflight},
    protect::{
        ChangeError, Protected, Registers, cleared, decode, is_volatile, locked, obeys_pin,
        plan_write,
    },
    session::{Session, SessionError},
    status::Persistence,
};

/// Digests of one range that have to be equal.
const READINGS: u32 = 3;

/// How an attempt of a cure in the volatile registers went.
struct Cure {
    /// A sector erased and programmed.
    works: bool,
    /// A register changed.
    taken: bool,
    /// SRP0 was set, so WP# decides about that.
    obeys_pin: bool,
}

impl Session {
    /// Looks at straps, registers, latch and reads. With `probe`, erases and programs that sector
    /// and puts its content back.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn examine(
        &mut self,
        chip: &Chip,
        identity: &Identity,
        written: Option<Range<u32>>,
        probe: Option<u32>,
    ) -> Result<Evidence, ReadError> {
        let all = 0..self.flash_bytes();
        let first = self.repeat(|session| {
            session.preflight(identity, std::slice::from_ref(&all), Changer::AsItIs)
        })?;
        let before = identity.candidates.first().zip(first.parts.first().cloned());
        let found = self.examine_from(first, chip, identity, written, probe);
        if let Some((part, state)) = before {
            // A request that the line damaged may have made the ROM write the registers.
            let settled = self.settle(identity, part, &state.registers);
            if found.is_ok()
                && let Err(ChangeError::Session(error)) = settled
            {
                return Err(error.into());
            }
        }
        found
    }

    fn examine_from(
        &mut self,
        mut first: Preflight,
        chip: &Chip,
        identity: &Identity,
        written: Option<Range<u32>>,
        probe: Option<u32>,
    ) -> Result<Evidence, ReadError> {
        let all = 0..self.flash_bytes();
        let look = |session: &mut Self| {
            session.repeat(|session| {
                session.preflight(identity, std::slice::from_ref(&all), Changer::AsItIs)
            })
        };
        let stored = |found: &Preflight| -> Vec<Vec<u8>> {
            let states = identity.candidates.iter().zip(&found.parts);
            states.map(|(part, state)| stored_bits(part, &state.registers)).collect()
        };
        let mut second = look(self)?;
        let mut registers_vary = stored(&first) != stored(&second);
        if registers_vary && self.line_was_bad() {
            // Answers carry no checksum: what varies because of the line does not do so again.
            (first, second) = (look(self)?, look(self)?);
            registers_vary = stored(&first) != stored(&second);
        }
        let at = written.as_ref().map_or(0, |range| range.start);
        let mut reads_vary = self.reads_vary(at)?;
        let mut registers_locked = None;
        for (part, state) in identity.candidates.iter().zip(&first.parts) {
            registers_locked = registers_locked.or(locked(part, &state.registers));
        }
        let write_enable = first.write_enable && second.write_enable;
        let registers_writable = match (probe, &written) {
            (None, None) => None,
            _ => self.registers_take_writes(identity)?,
        };
        let scratch = match probe.map(|sector| (write_enable && !reads_vary, sector)) {
            Some((true, sector)) => match self.try_sector(sector) {
                // What cannot be read for certain cannot be put back: it was left alone.
                Err(ReadError::Damaged) => {
                    reads_vary = true;
                    None
                }
                other => Some(other?),
            },
            _ => None,
        };
        let tried = match &scratch {
            Some(scratch) if scratch.refused() => self.try_cure(identity, scratch.sector)?,
            _ => None,
        };
        let pin = |tried: &Cure| tried.obeys_pin.then_some(!tried.taken);
        Ok(Evidence {
            strap_vdd_1v8: chip.strap_vdd_1v8,
            supply_min_mv: identity.candidates.iter().map(|part| part.supply_mv[0]).min(),
            registers_writable,
            candidates: identity.candidates.iter().map(|part| part.name.clone()).collect(),
            byte_program: identity.candidates.iter().any(|part| part.program.max_bytes == 1),
            parts: first.parts,
            status: first.status,
            registers_locked,
            write_enable,
            rom_enters_qpi: first.rom_enters_qpi,
            registers_vary,
            reads_vary,
            differences: None,
            written,
            scratch,
            cure: tried.as_ref().map(|tried| tried.works),
            pin_refused: tried.as_ref().and_then(pin),
        })
    }

    /// Lifts what the register bits protect in the volatile registers, tries `sector`, and puts the
    /// registers back. Nothing stored changes.
    fn try_cure(&mut self, identity: &Identity, sector: u32) -> Result<Option<Cure>, ReadError> {
        for part in &identity.candidates {
            let now = self.look_twice(|session| session.read_registers(identity, part))?;
            let covers = match decode(part, &now) {
                Protected::Range(range) => range.contains(&sector),
                Protected::ByLocks | Protected::Unknown => false,
            };
            let plan = cleared(part, &now)
                .and_then(|wanted| plan_write(part, &identity.candidates, &now, &wanted));
            let Some(plan) = plan.ok().filter(|plan| covers && is_volatile(part, plan)) else {
                continue;
            };
            let mut sent = Ok(());
            for form in &plan.forms {
                sent = sent.and_then(|()| self.send_surely(form, Persistence::Volatile));
            }
            let tried = sent.map_err(ReadError::from).and_then(|()| self.try_sector(sector));
            let changed = self.look_twice(|session| session.read_registers(identity, part))?;
            let taken = plan.changes.iter().any(|change| {
                let (old, new) = (now.get(change.register), changed.get(change.register));
                old.zip(new)
                    .is_some_and(|(old, new)| (old ^ new) & part.write_mask(change.register) != 0)
            });
            let back = plan_write(part, &identity.candidates, &changed, &now);
            for form in back.map(|plan| plan.forms).unwrap_or_default() {
                self.send_surely(&form, Persistence::Volatile)?;
            }
            let obeys_pin = obeys_pin(part, &now);
            return tried.map(|scratch| Some(Cure { works: scratch.works(), taken, obeys_pin }));
        }
        Ok(None)
    }

    /// Changes one BP bit in the volatile register and back. Nothing stored changes.
    fn registers_take_writes(&mut self, identity: &Identity) -> Result<Option<bool>, SessionError> {
        let Some(part) = identity.candidates.first() else { return Ok(None) };
        let volatile = !part.instructions.write_enable_volatile.is_empty();
        let Some(at) = part.block_protect_bits().first().copied().filter(|_| volatile) else {
            return Ok(None);
        };
        let mask = part.mask_where(at.register, |bit| bit.kind == BitKind::NvVolatile);
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        let obeys_pin = part.status_lock.wp_enable_bit.as_deref();
        if obeys_pin.is_some_and(|name| now.bit(part, name) == Some(1)) {
            // WP# may be low: a refusal would say nothing about the rest.
            return Ok(None);
        }
        let Some(old) = now.get(at.register).filter(|_| mask & at.mask() != 0) else {
            return Ok(None);
        };
        let mut wanted = now.clone();
        wanted.set(at.register, old ^ at.mask());
        let Ok(plan) = plan_write(part, &identity.candidates, &now, &wanted) else {
            return Ok(None);
        };
        let mut sent = Ok(());
        for form in &plan.forms {
            sent = sent.and_then(|()| self.send_surely(form, Persistence::Volatile));
        }
        let changed = self.look_twice(|session| session.read_registers(identity, part))?;
        let taken = changed.get(at.register).is_some_and(|value| (value ^ old) & at.mask() != 0);
        let back = plan_write(part, &identity.candidates, &changed, &now);
        for form in back.map(|plan| plan.forms).unwrap_or_default() {
            self.send_surely(&form, Persistence::Volatile)?;
        }
        sent?;
        Ok(Some(taken))
    }

    fn reads_vary(&mut self, at: u32) -> Result<bool, SessionError> {
        let len = BLOCK_BYTES.min(self.flash_bytes().saturating_sub(at));
        let read = |session: &mut Self| session.look(|session| session.flash_md5(at, len));
        let first = read(self)?;
        for _ in 1..READINGS {
            if read(self)? != first {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is stored, without the latches and flags that come and go.
fn stored_bits(part: &Part, registers: &Registers) -> Vec<u8> {
    registers.iter().map(|(name, value)| value & part.write_mask(name)).collect()
}
