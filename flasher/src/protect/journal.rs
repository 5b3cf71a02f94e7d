//! The state before a change, kept in a file, and the way back.

use std::{io, ops::Range};

use serde::{Deserialize, Serialize};
use spi_nor::part::{Part, RegisterName};

use super::{
    change::{ChangeError, ChangeReport, Trial, TrialOutcome},
    locks::{self, BlockLocks, has_block_register},
    range::{Protected, decode},
    registers::Registers,
};
use crate::{
    identity::Identity,
    session::Session,
    status::{Persistence, StatusError, StatusRegisters},
};

/// The registers of a part without rules, in the order of their read opcodes.
const GENERIC: [RegisterName; 3] = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];

/// What is kept of the state before a change: enough to go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Version of this form: 1.
    pub version: u32,
    /// JEDEC id of the flash.
    pub jedec: [u8; 3],
    /// The part by whose rules the change was planned; none if it is not in the catalogue, where
    /// `sr1` to `sr3` are the answers to 05h, 35h and 15h.
    #[serde(default)]
    pub part: Option<String>,
    /// Values before.
    pub before: Registers,
    /// Values that were to be written.
    pub wanted: Registers,
    /// The block protection register before, on a part that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<BlockLocks>,
}

impl Journal {
    /// Of registers that are planned to change by the rules of `part`.
    #[must_use]
    pub fn of_part(
        identity: &Identity,
        part: &Part,
        before: &Registers,
        wanted: &Registers,
    ) -> Self {
        Self {
            version: 1,
            jedec: identity.id.jedec,
            part: Some(part.name.clone()),
            before: before.clone(),
            wanted: wanted.clone(),
            locks: None,
        }
    }

    /// Of status registers as 05h, 35h and 15h read them, whatever the part.
    #[must_use]
    pub fn of_status(identity: &Identity, before: StatusRegisters, wanted: &[u8]) -> Self {
        let (mut old, mut new) = (Registers::default(), Registers::default());
        for (at, name) in GENERIC.into_iter().enumerate().take(wanted.len()) {
            new.set(name, wanted[at]);
            if let Some(value) = before.values[at] {
                old.set(name, value);
            }
        }
        let (version, jedec) = (1, identity.id.jedec);
        Self { version, jedec, part: None, before: old, wanted: new, locks: None }
    }
}

/// What happened to a block protection register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockChange {
    /// Protected before.
    pub before: Vec<Range<u32>>,
    /// Protected now.
    pub after: Vec<Range<u32>>,
}

/// Takes the journal before the first write.
pub type KeepJournal<'a> = &'a mut dyn FnMut(&Journal) -> io::Result<()>;

impl Session {
    /// Puts the registers and locks of a journal back, by the rules of its part or of another part
    /// with the same id, whichever the flash obeys; on a part that is not in the catalogue by the
    /// forms that most parts take.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; [`ChangeError::OtherFlash`] if the journal is of a flash with another id.
    pub fn restore_registers(
        &mut self,
        identity: &Identity,
        kept: &Journal,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        if identity.id.jedec != kept.jedec {
            let (journal, found) = (kept.jedec, identity.id.jedec);
            return Err(ChangeError::OtherFlash { journal, found });
        }
        if kept.part.is_none() || identity.candidates.is_empty() {
            return self.restore_status(identity, kept, journal);
        }
        let mut failure = ChangeError::UnknownPart;
        let (named, others): (Vec<&Part>, Vec<&Part>) =
            identity.candidates.iter().partition(|part| Some(&part.name) == kept.part.as_ref());
        for part in named.into_iter().chain(others) {
            if let Some(locks) = kept.locks.as_ref().filter(|_| has_block_register(part)) {
                return self.change_block_locks(identity, part, locks, journal);
            }
            match self.change_registers(identity, part, &kept.before, Trial::Skip, journal) {
                Err(error @ (ChangeError::Plan(_) | ChangeError::NotTaken { .. })) => {
                    failure = error;
                }
                other => return other,
            }
        }
        Err(failure)
    }

    /// Registers of a part without rules.
    fn restore_status(
        &mut self,
        identity: &Identity,
        kept: &Journal,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        let values: Vec<u8> = GENERIC.iter().map_while(|name| kept.before.get(*name)).collect();
        if values.is_empty() {
            return Err(ChangeError::UnknownPart);
        }
        let now = self.look_twice(|session| session.read_status(values.len()))?;
        journal(&Journal::of_status(identity, now, &values)).map_err(ChangeError::Journal)?;
        let status = match self.write_status_of(identity, &values, Persistence::NonVolatile) {
            Ok(report) => report,
            Err(StatusError::Session(error)) => return Err(error.into()),
            Err(StatusError::Plan(error)) => return Err(error.into()),
            Err(StatusError::NotReached { report, .. }) => {
                let differs =
                    |(at, value): &(usize, &u8)| report.after.values[*at] != Some(**value);
                let (at, wanted) = values.iter().enumerate().find(differs).unwrap_or((0, &0));
                let got = report.after.values[at].unwrap_or_default();
                let register = GENERIC[at];
                let wanted = *wanted;
                let (trial, obeys_pin) = (false, false);
                return Err(ChangeError::NotTaken { register, wanted, got, trial, obeys_pin });
            }
        };
        let as_registers = |status: StatusRegisters| Journal::of_status(identity, status, &values);
        Ok(ChangeReport {
            part: None,
            before: as_registers(status.before).before,
            after: as_registers(status.after).before,
            changes: Vec::new(),
            sent: status.sent,
            trial: TrialOutcome::Skipped,
            locks_opened: false,
            locks: None,
            protected: Protected::Unknown,
        })
    }

    /// Brings the block protection register of `part` to `wanted`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; [`ChangeError::LocksFrozen`] if the register does not take the value.
    pub fn change_block_locks(
        &mut self,
        identity: &Identity,
        part: &Part,
        wanted: &BlockLocks,
        journal: KeepJournal<'_>,
    ) -> Result<ChangeReport, ChangeError> {
        let now = self.look_twice(|session| session.read_registers(identity, part))?;
        let old = self.look_twice(|session| session.read_block_locks(part))?;
        let mut report = ChangeReport::unchanged(part, &now);
        let before = old.locked_ranges(part);
        report.locks = Some(LockChange { before: before.clone(), after: before });
        if old == *wanted {
            return Ok(report);
        }
        let entry = Journal { locks: Some(old), ..Journal::of_part(identity, part, &now, &now) };
        journal(&entry).map_err(ChangeError::Journal)?;
        self.write_block_locks(part, wanted)?;
        report.sent = locks::form(part, wanted).into_iter().collect();
        let after = self.look_twice(|session| session.read_block_locks(part))?;
        report.locks_opened = after.locked_ranges(part).is_empty();
        report.protected = decode(part, &now);
        if let Some(locks) = &mut report.locks {
            locks.after = after.locked_ranges(part);
        }
        Ok(report)
    }
}
