//! Looking for the bit that protects the array although no rule of the part says so.
//!
//! The boards of esptool issue 915 refuse every write, their registers look clean, and a write of 0
//! cures them: some bit does not mean what its name says, or the stored row is not what it reads
//! (QUIRKS part 3, H1 and H2). Which one is found by clearing the set bits one by one. Each is
//! cleared in the volatile registers first, so that a bit that makes the flash fall silent (QE with
//! HOLD# low, QUIRKS Q24) costs a power cycle and no more.

use serde::Serialize;
use spi_nor::{
    BitPosition,
    part::{Bit, BitKind, Part, RegisterName},
};

use super::{
    change::{ChangeError, is_volatile},
    forms::{WritePlan, plan_write},
    journal::{Journal, KeepJournal},
    registers::{Registers, register_label},
};
use crate::{
    flash::SECTOR_BYTES,
    identity::Identity,
    session::Session,
    status::{Persistence, StatusForm},
};

/// A bit that was set, and that may protect the array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// Its register.
    pub register: RegisterName,
    /// Its place, 0 to 7.
    pub bit: u8,
    /// What the part's data calls it.
    pub name: String,
}

impl std::fmt::Display for Suspect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bit {} ({})", register_label(self.register), self.bit, self.name)
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The sector takes writes: nothing protects it.
    Open,
    /// This bit protects the array. It is clear now; all others are as they were.
    Bit(Suspect),
    /// Storing the register of this bit anew lifted the protection; all bits are as they were.
    Row(Suspect),
}

/// What a search did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SearchReport {
    /// The sector that was tried; it holds what it held.
    pub sector: u32,
    /// What was found.
    pub found: Found,
    /// The bits that were cleared for a try, in order.
    pub tried: Vec<Suspect>,
    /// Registers before.
    pub before: Registers,
    /// Registers after, as read.
    pub after: Registers,
    /// Non-volatile writes that were sent.
    pub sent: Vec<StatusForm>,
}

/// One bit of one part, and the way to clear it.
struct Attempt<'a> {
    identity: &'a Identity,
    part: &'a Part,
    before: Registers,
    wanted: Registers,
    plan: WritePlan,
    suspect: Suspect,
    sector: u32,
}

impl Session {
    /// Finds the status bit that protects the sector at `sector` although no rule of the part says
    /// so, and clears it. The sector is erased, programmed and put back at every try.
    ///
    /// Never touches one-time bits and those that lock the registers. QE is cleared in the stored
    /// registers only after the flash has answered with it clear in the volatile ones.
    ///
    /// # Errors
    ///
    /// [`ChangeError::NotRefused`] if the sector fails in another way than by refusing;
    /// [`ChangeError::NothingFound`] if no bit opens it. The old values are back then.
    pub fn search_protection(
        &mut self,
        identity: &Identity,
        sector: u32,
        journal: KeepJournal<'_>,
    ) -> Result<SearchReport, ChangeError> {
        let sector = sector / SECTOR_BYTES * SECTOR_BYTES;
        let first = identity.candidates.first().ok_or(ChangeError::UnknownPart)?;
        let before = self.look_twice(|session| session.read_registers(identity, first))?;
        let after = before.clone();
        let (tried, sent) = (Vec::new(), Vec::new());
        let mut report = SearchReport { sector, found: Found::Open, tried, before, after, sent };
        let looked = self.try_sector(sector)?;
        if looked.works() {
            return Ok(report);
        }
        if !looked.refused() {
            return Err(ChangeError::NotRefused { sector });
        }
        for stored in [false, true] {
            for attempt in self.attempts(identity, sector)? {
                if let Some(found) = self.attempt(&attempt, stored, &mut report, journal)? {
                    report.found = found;
                    report.after =
                        self.look_twice(|session| session.read_registers(identity, first))?;
                    return Ok(report);
                }
            }
        }
        Err(ChangeError::NothingFound { sector, tried: report.tried.len() })
    }

    /// The set bits that can be cleared, by the rules of each part that the flash can be.
    fn attempts<'a>(
        &mut self,
        identity: &'a Identity,
        sector: u32,
    ) -> Result<Vec<Attempt<'a>>, ChangeError> {
        let mut attempts: Vec<Attempt<'a>> = Vec::new();
        for part in &identity.candidates {
            let before = self.look_twice(|session| session.read_registers(identity, part))?;
            for suspect in suspects(part, &before) {
                let mut wanted = before.clone();
                wanted.set_bit(part, &suspect.name, false);
                let Ok(plan) = plan_write(part, &identity.candidates, &before, &wanted) else {
                    continue;
                };
                // Parts with one id mostly agree.
                if plan.forms.is_empty() || attempts.iter().any(|it| it.plan.forms == plan.forms) {
                    continue;
                }
                let before = before.clone();
                let attempt = Attempt { identity, part, before, wanted, plan, suspect, sector };
                attempts.push(attempt);
            }
        }
        Ok(attempts)
    }

    /// One bit: in the volatile registers, and in the stored ones if that opened the sector, or if
    /// `stored` asks for it.
    fn attempt(
        &mut self,
        attempt: &Attempt<'_>,
        stored: bool,
        report: &mut SearchReport,
        journal: KeepJournal<'_>,
    ) -> Result<Option<Found>, ChangeError> {
        let volatile = is_volatile(attempt.part, &attempt.plan);
        let is_quad_enable =
            attempt.part.quad_enable_bit.as_deref() == Some(attempt.suspect.name.as_str());
        if !stored {
            let opens = volatile && {
                report.tried.push(attempt.suspect.clone());
                self.opens_for_now(attempt)?
            };
            if !opens {
                return Ok(None);
            }
        } else if is_quad_enable && !volatile {
            return Ok(None);
        } else if !volatile {
            report.tried.push(attempt.suspect.clone());
        }
        let Attempt { identity, part, before, wanted, .. } = attempt;
        journal(&Journal::of_part(identity, part, before, wanted)).map_err(ChangeError::Journal)?;
        self.opens_for_good(attempt, report)
    }

    /// Whether the sector takes writes with the bit clear in the volatile registers; it is set again
    /// afterwards.
    fn opens_for_now(&mut self, attempt: &Attempt<'_>) -> Result<bool, ChangeError> {
        let Attempt { identity, part, before, wanted, plan, sector, .. } = attempt;
        let mut sent = Ok(());
        for form in &plan.forms {
            sent = sent.and_then(|()| self.send_surely(form, Persistence::Volatile));
        }
        let opens = match sent {
            Ok(()) => self.opens(identity, part, wanted, *sector),
            Err(error) => Err(error.into()),
        };
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        let back = plan_write(part, &identity.candidates, &now, before)?;
        for form in &back.forms {
            self.send_surely(form, Persistence::Volatile)?;
        }
        self.settle(identity, part, before)?;
        opens
    }

    /// Clears the stored bit, and sets it again unless that closes the sector.
    fn opens_for_good(
        &mut self,
        attempt: &Attempt<'_>,
        report: &mut SearchReport,
    ) -> Result<Option<Found>, ChangeError> {
        let Attempt { identity, part, before, wanted, suspect, sector, .. } = attempt;
        self.store(attempt, wanted, report)?;
        let opens = self.opens(identity, part, wanted, *sector);
        self.store(attempt, before, report)?;
        if !opens? {
            return Ok(None);
        }
        if self.opens(identity, part, before, *sector)? {
            return Ok(Some(Found::Row(suspect.clone())));
        }
        self.store(attempt, wanted, report)?;
        if self.opens(identity, part, wanted, *sector)? {
            return Ok(Some(Found::Bit(suspect.clone())));
        }
        self.store(attempt, before, report)?;
        Ok(None)
    }

    fn store(
        &mut self,
        attempt: &Attempt<'_>,
        registers: &Registers,
        report: &mut SearchReport,
    ) -> Result<(), ChangeError> {
        let Attempt { identity, part, .. } = attempt;
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        for form in plan_write(part, &identity.candidates, &now, registers)?.forms {
            self.send_surely(&form, Persistence::NonVolatile)?;
            report.sent.push(form);
        }
        self.settle(identity, part, registers)
    }

    /// The registers hold `expected` and the sector takes writes.
    fn opens(
        &mut self,
        identity: &Identity,
        part: &Part,
        expected: &Registers,
        sector: u32,
    ) -> Result<bool, ChangeError> {
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        if !plan_write(part, &identity.candidates, &now, expected)?.changes.is_empty() {
            // The flash did not take the value, or has fallen silent.
            return Ok(false);
        }
        Ok(self.try_sector(sector)?.works())
    }
}

/// The set bits of `part` that can be cleared and do not lock the registers.
fn suspects(part: &Part, now: &Registers) -> Vec<Suspect> {
    let lock = &part.status_lock;
    let locks = [&lock.wp_enable_bit, &lock.power_lock_bit];
    let can_protect = |(at, bit): &(BitPosition, &Bit)| {
        matches!(bit.kind, BitKind::Nv | BitKind::NvVolatile)
            && now.get(at.register).is_some_and(|value| value & at.mask() != 0)
            && !locks.iter().any(|name| name.as_deref() == Some(bit.name.as_str()))
    };
    let suspect = |(at, bit): (BitPosition, &Bit)| Suspect {
        register: at.register,
        bit: u8::try_from(at.mask().trailing_zeros()).unwrap_or_default(),
        name: bit.name.clone(),
    };
    part.bits().filter(can_protect).map(suspect).collect()
}
