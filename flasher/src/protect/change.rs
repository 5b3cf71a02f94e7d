//! Carrying out a change of the protection, so that no step makes anything worse.
//!
//! Order: old values to the journal; a volatile trial, proven in a blank sector, where the part
//! has 50h; then the non-volatile writes, each read back. Nothing is written that changes nothing.

use std::{io, ops::Range};

use serde::{Deserialize, Serialize};
use spi_nor::part::{BitKind, Part, RegisterName};

use super::{
    forms::{PlanError, RegisterChange, WritePlan, plan_write},
    plan::cleared,
    range::{Protected, decode},
    registers::{Registers, register_label},
};
use crate::{
    flash::{ReadError, SECTOR_BYTES},
    identity::Identity,
    session::{Session, SessionError},
    spi::{Instruction, opcode},
    status::{Persistence, StatusForm},
    write::Digest,
};

/// Blank sectors are looked for in so many places.
const BLANK_TRIES: u32 = 16;

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

/// What is kept of the state before a change: enough to go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Version of this form: 1.
    pub version: u32,
    /// JEDEC id of the flash.
    pub jedec: [u8; 3],
    /// The part by whose rules the change was planned.
    pub part: String,
    /// Values before.
    pub before: Registers,
    /// Values that were to be written.
    pub wanted: Registers,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeReport {
    /// The part by whose rules it was planned.
    pub part: String,
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
    /// Protected now.
    pub protected: Protected,
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
    /// 98h did not open the locks: they are frozen until the next power cycle, or for good.
    #[error("the individual locks stay closed after 98h: they are frozen")]
    LocksFrozen,
    /// The part is not in the catalogue, or its registers cannot be read safely.
    #[error("the rules of this part are not known")]
    UnknownPart,
}

/// Takes the journal before the first write.
pub type KeepJournal<'a> = &'a mut dyn FnMut(&Journal) -> io::Result<()>;

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
            let now = self.read_registers(identity, part)?;
            let state = decode(part, &now);
            if state == Protected::Range(0..0) {
                open = true;
                continue;
            }
            if state == Protected::ByLocks
                && let Some(unlock) = lock_opener(part)
            {
                if self.read_lock(part, 0)? == Some(false) {
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
        let before = self.read_registers(identity, part)?;
        let plan = plan_write(part, &identity.candidates, &before, wanted)?;
        let mut report = ChangeReport {
            part: part.name.clone(),
            before: before.clone(),
            after: before.clone(),
            changes: plan.changes.clone(),
            sent: Vec::new(),
            trial: TrialOutcome::Skipped,
            locks_opened: false,
            protected: decode(part, &before),
        };
        if plan.forms.is_empty() {
            return Ok(report);
        }
        keep(identity, part, &before, wanted, journal)?;
        report.trial = self.try_out(identity, part, &plan, (&before, wanted), trial)?;
        for form in &plan.forms {
            self.send_status_form(form, Persistence::NonVolatile)?;
            report.sent.push(form.clone());
        }
        report.after = self.read_registers(identity, part)?;
        report.protected = decode(part, &report.after);
        taken(part, &plan, &report.after, false)?;
        Ok(report)
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
        for form in &plan.forms {
            self.send_status_form(form, Persistence::Volatile)?;
        }
        let outcome = self.prove(identity, part, plan, (before, wanted), trial);
        if outcome.is_err() {
            let now = self.read_registers(identity, part)?;
            // Bits that the volatile write does not reach have not changed.
            let back = plan_write(part, &identity.candidates, &now, before);
            for form in back.map(|plan| plan.forms).unwrap_or_default() {
                self.send_status_form(&form, Persistence::Volatile)?;
            }
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
        let now = self.read_registers(identity, part)?;
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
        let erased = Digest::of_erased(SECTOR_BYTES);
        let count = (old.end - old.start) / SECTOR_BYTES;
        // Images begin at the bottom: the end is more likely blank.
        for index in (0..count).rev().take(BLANK_TRIES as usize) {
            let sector = old.start + index * SECTOR_BYTES;
            if !new.contains(&sector) && Digest(self.flash_md5(sector, SECTOR_BYTES)?) == erased {
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
        keep(identity, part, now, now, journal)?;
        self.write_enable()?;
        self.spi(&Instruction::new(unlock))?;
        self.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
        if self.read_lock(part, 0)? == Some(true) {
            return Err(ChangeError::LocksFrozen);
        }
        Ok(ChangeReport {
            part: part.name.clone(),
            before: now.clone(),
            after: now.clone(),
            changes: Vec::new(),
            sent: vec![StatusForm { opcode: unlock, data: Vec::new() }],
            trial: TrialOutcome::Skipped,
            locks_opened: true,
            protected: Protected::Range(0..0),
        })
    }

    /// Puts the registers of a journal back, by the rules of its part or of another part with the
    /// same id, whichever the flash obeys.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; [`ChangeError::UnknownPart`] if the journal is of another flash.
    pub fn restore_registers(
        &mut self,
        identity: &Identity,
        kept: &Journal,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        let mut failure = ChangeError::UnknownPart;
        if identity.id.jedec != kept.jedec {
            return Err(failure);
        }
        let (named, others): (Vec<&Part>, Vec<&Part>) =
            identity.candidates.iter().partition(|part| part.name == kept.part);
        for part in named.into_iter().chain(others) {
            match self.change_registers(identity, part, &kept.before, Trial::Skip, journal) {
                Err(error @ (ChangeError::Plan(_) | ChangeError::NotTaken { .. })) => {
                    failure = error;
                }
                other => return other,
            }
        }
        Err(failure)
    }
}

/// The opcode that opens all locks, on a part where no register write switches them off.
fn lock_opener(part: &Part) -> Option<u8> {
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

/// 50h reaches every bit that changes.
fn is_volatile(part: &Part, plan: &WritePlan) -> bool {
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
            return Err(ChangeError::NotTaken { register, wanted, got, trial });
        }
    }
    Ok(())
}

fn keep(
    identity: &Identity,
    part: &Part,
    before: &Registers,
    wanted: &Registers,
    journal: KeepJournal<'_>,
) -> Result<(), ChangeError> {
    let entry = Journal {
        version: 1,
        jedec: identity.id.jedec,
        part: part.name.clone(),
        before: before.clone(),
        wanted: wanted.clone(),
    };
    journal(&entry).map_err(ChangeError::Journal)
}
