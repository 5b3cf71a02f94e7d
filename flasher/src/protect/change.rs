//! Carrying out a change of the protection, so that no step makes anything worse.
//!
//! Order: old values to the journal; a volatile trial, proven in a blank sector, where the part
//! has 50h; then the non-volatile writes, each read back. Nothing is written that changes nothing.

use std::{io, ops::Range, time::Duration};

use serde::Serialize;
use spi_nor::part::{BitKind, Part, RegisterName};

use super::{
    forms::{PlanError, RegisterChange, WritePlan, obeys_pin, plan_write},
    journal::{Journal, KeepJournal, LockChange},
    locks::{has_block_register, lock_opener},
    plan::cleared,
    range::{Protected, decode},
    registers::{Registers, register_label},
};
use crate::{
    flash::{ReadError, SECTOR_BYTES},
    identity::Identity,
    session::{Session, SessionError},
    spi::Instruction,
    status::{Persistence, StatusForm},
    write::Digest,
};

/// Blank sectors are looked for in so many places.
const BLANK_TRIES: u32 = 16;

/// Rounds of putting stored registers right on a bad line.
const SETTLE_ROUNDS: u32 = 3;
const SETTLE_TIME: Duration = Duration::from_mins(2);
/// A flash is back from its software reset by then (30 us on most parts).
const RESET_TIME: Duration = Duration::from_millis(1);

/// Whether to try a change in the volatile registers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trial {
    /// In a blank sector of the range that is to be opened, if there is one.
    #[default]
    Auto,
    /// In this sector, whose content is put back.
    Sector(u32),
    /// Not at all.
    Skip,
}

/// How the trial went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// It was not asked for.
    Skipped,
    /// The part has no volatile write of these bits.
    NotPossible,
    /// The volatile registers took the value; no sector was there to try a write.
    RegistersOnly,
    /// The sector at this address could be erased and programmed.
    Proven(u32),
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeReport {
    /// The part by whose rules it was planned; none if it is not in the catalogue.
    pub part: Option<String>,
    /// Registers before.
    pub before: Registers,
    /// Registers after, as read.
    pub after: Registers,
    /// What changed.
    pub changes: Vec<RegisterChange>,
    /// Non-volatile writes that were sent.
    pub sent: Vec<StatusForm>,
    /// The trial before them.
    pub trial: TrialOutcome,
    /// All individual locks were opened by 98h; they close again at the next flash reset.
    pub locks_opened: bool,
    /// The block protection register, on a part that has one.
    pub locks: Option<LockChange>,
    /// Protected now.
    pub protected: Protected,
}

impl ChangeReport {
    /// Nothing was written.
    pub(super) fn unchanged(part: &Part, now: &Registers) -> Self {
        Self {
            part: Some(part.name.clone()),
            before: now.clone(),
            after: now.clone(),
            changes: Vec::new(),
            sent: Vec::new(),
            trial: TrialOutcome::Skipped,
            locks_opened: false,
            locks: None,
            protected: decode(part, now),
        }
    }
}

/// A change failed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The trial's sector could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no way.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The journal cannot be written; nothing was changed.
    #[error("cannot write the journal, so nothing was changed: {0}")]
    Journal(io::Error),
    /// A register did not take its value.
    #[error(
        "{} reads {got:#04x} after the write of {wanted:#04x}{}",
        register_label(*.register),
        if *.trial { " (in the volatile trial; the stored value was not touched)" } else { "" }
    )]
    NotTaken {
        /// The register.
        register: RegisterName,
        /// Value written.
        wanted: u8,
        /// Value read back.
        got: u8,
        /// Only the volatile trial was made.
        trial: bool,
        /// SRP0 is set: WP# low locks the registers.
        obeys_pin: bool,
    },
    /// The registers took the value in the trial, and the array still refuses: something else
    /// protects it. The old values are back.
    #[error(
        "the registers took the value, but sector {sector:#x} still refuses writes; old values are back"
    )]
    TrialRefused {
        /// The sector that was tried.
        sector: u32,
    },
    /// A sector fails in another way than a protected one does.
    #[error("sector {sector:#x} is not refused, and yet does not hold what is written to it")]
    NotRefused {
        /// The sector that was tried.
        sector: u32,
    },
    /// No status bit protects a sector that refuses writes.
    #[error(
        "sector {sector:#x} refuses writes, and clearing set status bits ({tried} tried) does not \
         change that; old values are back"
    )]
    NothingFound {
        /// The sector that was tried.
        sector: u32,
        /// Bits that were cleared for a try.
        tried: usize,
    },
    /// 98h did not open the locks: they are frozen until the next power cycle, or for good.
    #[error("the individual locks stay closed after 98h: they are frozen")]
    LocksFrozen,
    /// The journal is of another flash.
    #[error("the journal is of a flash with id {journal:02x?}, and this one is {found:02x?}")]
    OtherFlash {
        /// Id in the journal.
        journal: [u8; 3],
        /// Id that answers.
        found: [u8; 3],
    },
    /// The part is not in the catalogue, or its registers cannot be read safely.
    #[error("the rules of this part are not known")]
    UnknownPart,
}

impl Session {
    /// Lifts every protection that registers or individual locks put on the array. Keeps QE and
    /// all other bits. `None`: nothing is protected, and nothing was written.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]. [`ChangeError::Plan`] names states that cannot be changed.
    pub fn clear_protection(
        &mut self,
        identity: &Identity,
        trial: Trial,
        journal: KeepJournal<'_>,
    ) -> Result<Option<ChangeReport>, ChangeError> {
        let mut failure = ChangeError::UnknownPart;
        let mut open = false;
        for part in &identity.candidates {
            let now = self.look_twice(|session| session.read_registers(identity, part))?;
            let state = decode(part, &now);
            if state == Protected::Range(0..0) {
                open = true;
                continue;
            }
            if state == Protected::ByLocks
                && let Some(unlock) = lock_opener(part)
            {
                if self.look_twice(|session| session.any_lock_is_set(part))? == Some(false) {
                    open = true;
                    continue;
                }
                return self.open_locks(identity, part, &now, unlock, journal).map(Some);
            }
            let result = match cleared(part, &now) {
                Ok(wanted) => self.change_registers(identity, part, &wanted, trial, journal),
                Err(error) => Err(error.into()),
            };
            match result {
                // Another part with this id may know a way, or take another form.
                Err(error @ (ChangeError::Plan(_) | ChangeError::NotTaken { .. })) => {
                    failure = error;
                }
                other => return other.map(Some),
            }
        }
        if open { Ok(None) } else { Err(failure) }
    }

    /// Brings the registers of `part` to `wanted`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; after an error in the trial the old values are back.
    pub fn change_registers(
        &mut self,
        identity: &Identity,
        part: &Part,
        wanted: &Registers,
        trial: Trial,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        let before = self.look_twice(|session| session.read_registers(identity, part))?;
        let plan = plan_write(part, &identity.candidates, &before, wanted)?;
        let mut report = ChangeReport::unchanged(part, &before);
        report.changes.clone_from(&plan.changes);
        if plan.forms.is_empty() {
            return Ok(report);
        }
        let entry = Journal::of_part(identity, part, &before, wanted);
        journal(&entry).map_err(ChangeError::Journal)?;
        report.trial = self.try_out(identity, part, &plan, (&before, wanted), trial)?;
        for form in &plan.forms {
            self.send_surely(form, Persistence::NonVolatile)?;
            report.sent.push(form.clone());
        }
        self.settle(identity, part, wanted)?;
        report.after = self.look_twice(|session| session.read_registers(identity, part))?;
        report.protected = decode(part, &report.after);
        taken(part, &plan, &report.after, false)?;
        Ok(report)
    }

    /// On a line that was bad, brings the stored registers to `wanted`, whatever happened to them.
    ///
    /// A damaged request can make the ROM write the registers: the MD5 command (13h) and the one
    /// that protects the whole chip (12h) differ in one bit (ROM-FACTS 5.5). Volatile values hide
    /// what is stored, so the flash's software reset loads that first.
    pub(crate) fn settle(
        &mut self,
        identity: &Identity,
        part: &Part,
        wanted: &Registers,
    ) -> Result<(), ChangeError> {
        if !self.line_was_bad() {
            return Ok(());
        }
        self.with_time(SETTLE_TIME, |session| session.settle_in_rounds(identity, part, wanted))
    }

    fn settle_in_rounds(
        &mut self,
        identity: &Identity,
        part: &Part,
        wanted: &Registers,
    ) -> Result<(), ChangeError> {
        for _ in 0..SETTLE_ROUNDS {
            let reset = part.instructions.reset_enable.iter().zip(&part.instructions.reset);
            if let Some((enable, reset)) = reset.into_iter().next() {
                self.spi(&Instruction::new(*enable))?;
                self.spi(&Instruction::new(*reset))?;
                self.port().wait(RESET_TIME);
            }
            let now = self.look_twice(|session| session.read_registers(identity, part))?;
            let plan = plan_write(part, &identity.candidates, &now, wanted)?;
            if plan.forms.is_empty() {
                break;
            }
            for form in &plan.forms {
                self.send_surely(form, Persistence::NonVolatile)?;
            }
        }
        Ok(())
    }

    /// The volatile trial.
    fn try_out(
        &mut self,
        identity: &Identity,
        part: &Part,
        plan: &WritePlan,
        (before, wanted): (&Registers, &Registers),
        trial: Trial,
    ) -> Result<TrialOutcome, ChangeError> {
        if trial == Trial::Skip {
            return Ok(TrialOutcome::Skipped);
        }
        if !is_volatile(part, plan) {
            return Ok(TrialOutcome::NotPossible);
        }
        let mut sent = Ok(());
        for form in &plan.forms {
            sent = sent.and_then(|()| self.send_surely(form, Persistence::Volatile));
        }
        let outcome = sent
            .map_err(ChangeError::from)
            .and_then(|()| self.prove(identity, part, plan, (before, wanted), trial));
        if outcome.is_err() {
            let now = self.look_twice(|session| session.read_registers(identity, part))?;
            // Bits that the volatile write does not reach have not changed.
            let back = plan_write(part, &identity.candidates, &now, before);
            for form in back.map(|plan| plan.forms).unwrap_or_default() {
                self.send_surely(&form, Persistence::Volatile)?;
            }
            self.settle(identity, part, before)?;
        }
        outcome
    }

    fn prove(
        &mut self,
        identity: &Identity,
        part: &Part,
        plan: &WritePlan,
        (before, wanted): (&Registers, &Registers),
        trial: Trial,
    ) -> Result<TrialOutcome, ChangeError> {
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        taken(part, plan, &now, true)?;
        let sector = match trial {
            Trial::Sector(sector) => Some(sector / SECTOR_BYTES * SECTOR_BYTES),
            _ => match (decode(part, before), decode(part, wanted)) {
                (Protected::Range(old), Protected::Range(new)) => self.find_blank(&old, &new)?,
                _ => None,
            },
        };
        let Some(sector) = sector else { return Ok(TrialOutcome::RegistersOnly) };
        if self.try_sector(sector)?.works() {
            Ok(TrialOutcome::Proven(sector))
        } else {
            Err(ChangeError::TrialRefused { sector })
        }
    }

    /// A blank sector that is protected by `old` and not by `new`.
    fn find_blank(
        &mut self,
        old: &Range<u32>,
        new: &Range<u32>,
    ) -> Result<Option<u32>, SessionError> {
        // A controller whose set-up was damaged reads 0xFF where there is data.
        self.prove_loader_reads()?;
        let erased = Digest::of_erased(SECTOR_BYTES);
        let count = (old.end - old.start) / SECTOR_BYTES;
        // Images begin at the bottom: the end is more likely blank.
        for index in (0..count).rev().take(BLANK_TRIES as usize) {
            let sector = old.start + index * SECTOR_BYTES;
            if new.contains(&sector) {
                continue;
            }
            let digest = self.look_twice(|session| session.flash_md5(sector, SECTOR_BYTES))?;
            if Digest(digest) == erased {
                return Ok(Some(sector));
            }
        }
        Ok(None)
    }

    fn open_locks(
        &mut self,
        identity: &Identity,
        part: &Part,
        now: &Registers,
        unlock: u8,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        let mut entry = Journal::of_part(identity, part, now, now);
        let mut report = ChangeReport::unchanged(part, now);
        if has_block_register(part) {
            let old = self.look_twice(|session| session.read_block_locks(part))?;
            let before = old.locked_ranges(part);
            report.locks = Some(LockChange { before, after: Vec::new() });
            entry.locks = Some(old);
        }
        journal(&entry).map_err(ChangeError::Journal)?;
        self.open_all_locks(part, unlock)?;
        report.sent = vec![StatusForm { opcode: unlock, data: Vec::new() }];
        report.locks_opened = true;
        report.protected = Protected::Range(0..0);
        Ok(report)
    }
}

/// 50h reaches every bit that changes.
pub(crate) fn is_volatile(part: &Part, plan: &WritePlan) -> bool {
    !part.instructions.write_enable_volatile.is_empty()
        && plan.changes.iter().all(|change| {
            let volatile = part.mask_where(change.register, |bit| bit.kind == BitKind::NvVolatile);
            (change.old ^ change.new) & part.write_mask(change.register) & !volatile == 0
        })
}

fn taken(part: &Part, plan: &WritePlan, read: &Registers, trial: bool) -> Result<(), ChangeError> {
    for RegisterChange { register, new, .. } in &plan.changes {
        let got = read.get(*register).unwrap_or_default();
        if (got ^ new) & part.write_mask(*register) != 0 {
            let (register, wanted) = (*register, *new);
            let obeys_pin = obeys_pin(part, read);
            return Err(ChangeError::NotTaken { register, wanted, got, trial, obeys_pin });
        }
    }
    Ok(())
}
