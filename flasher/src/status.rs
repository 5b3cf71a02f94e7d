//! The status registers of the flash, read and written one instruction at a time.

use std::{fmt, time::Duration};

use serde::Serialize;

use spi_nor::part::Part;

use crate::{
    identity::Identity,
    protect::{PlanError, Registers, plan_write},
    session::{Session, SessionError},
    spi::{Instruction, opcode},
};

/// A status write takes so long at most (220 ms on the slowest parts).
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// Read opcodes of status registers 1 to 3.
pub const READ_OPCODES: [u8; 3] = [opcode::READ_STATUS, 0x35, 0x15];

/// Registers 1 to 3 as read; those that were not read are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StatusRegisters {
    /// Values of the answers to 05h, 35h and 15h.
    pub values: [Option<u8>; 3],
}

impl StatusRegisters {
    /// As `read_flash_status` of esptool prints them: register 1 in the low byte.
    #[must_use]
    pub fn combined(&self) -> u32 {
        let [first, second, third] = self.values.map(|value| u32::from(value.unwrap_or_default()));
        first | (second << 8) | (third << 16)
    }
}

impl fmt::Display for StatusRegisters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = 2 * self.values.iter().rposition(Option::is_some).map_or(1, |last| last + 1);
        write!(f, "0x{:0digits$x}", self.combined())
    }
}

/// One register write instruction: opcode and data bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusForm {
    /// 01h, 31h, 11h, ….
    pub opcode: u8,
    /// Data bytes in order.
    pub data: Vec<u8>,
}

impl fmt::Display for StatusForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}h", self.opcode)?;
        self.data.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

/// Whether a register write is to survive a power cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// After 06h: survives.
    NonVolatile,
    /// After 50h: until the next power cycle or flash reset.
    Volatile,
}

/// What a status write did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// Before.
    pub before: StatusRegisters,
    /// After.
    pub after: StatusRegisters,
    /// Instructions that were sent.
    pub sent: Vec<StatusForm>,
    /// The registers hold what was asked for.
    pub reached: bool,
}

/// A status write failed.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No register write of the part can do it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The registers read back another value.
    #[error("the registers read {} after the write and not 0x{wanted:0width$x}", .report.after, width = 2 * .count)]
    NotReached {
        /// What was asked for, register 1 in the low byte.
        wanted: u32,
        /// Registers asked for.
        count: usize,
        /// What was done.
        report: Box<StatusReport>,
    },
}

impl Session {
    /// Reads the first `count` status registers, at most three.
    ///
    /// 35h and 15h mean something else on some parts (QUIRKS Q17): ask for them only where they
    /// are known to be reads.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_status(&mut self, count: usize) -> Result<StatusRegisters, SessionError> {
        let mut values = [None; 3];
        for (value, opcode) in values.iter_mut().zip(READ_OPCODES).take(count) {
            *value = Some(self.read_flash_register(opcode)?);
        }
        Ok(StatusRegisters { values })
    }

    /// Sends one register write and waits until the flash is ready.
    ///
    /// # Errors
    ///
    /// As [`Session::write_enable`] and [`Session::wait_flash_ready`].
    pub fn send_status_form(
        &mut self,
        form: &StatusForm,
        persistence: Persistence,
    ) -> Result<(), SessionError> {
        match persistence {
            Persistence::NonVolatile => self.write_enable()?,
            // 50h sets no latch that could be seen (QUIRKS Q19).
            Persistence::Volatile => {
                self.spi(&Instruction::new(opcode::WRITE_ENABLE_VOLATILE))?;
            }
        }
        self.spi_proven(&Instruction::new(form.opcode).writing(&form.data))?;
        self.wait_flash_ready(WRITE_LIMIT)?;
        // A refused write may leave the latch set.
        self.spi(&Instruction::new(opcode::WRITE_DISABLE)).map(drop)
    }

    /// As [`Self::send_status_form`], over a line that may be bad: the same value may be written
    /// again.
    ///
    /// # Errors
    ///
    /// As [`Self::send_status_form`].
    pub fn send_surely(
        &mut self,
        form: &StatusForm,
        persistence: Persistence,
    ) -> Result<(), SessionError> {
        self.repeat(|session| session.send_status_form(form, persistence))
    }

    /// Brings the first `values.len()` registers to `values` by the instructions that the part's
    /// data gives, or, on a part that is not in the catalogue, as [`Session::write_status`] does.
    ///
    /// No instruction is used that clears another bit by the way on any part with this id (QUIRKS
    /// Q5), nothing is sent if the registers hold the values already, and one-time programmable
    /// bits are never set.
    ///
    /// # Errors
    ///
    /// [`StatusError`]; [`StatusError::NotReached`] if the registers read back something else.
    pub fn write_status_of(
        &mut self,
        identity: &Identity,
        values: &[u8],
        persistence: Persistence,
    ) -> Result<StatusReport, StatusError> {
        let count = values.len().min(3);
        let values = &values[..count];
        let report = if identity.candidates.is_empty() {
            self.write_status(values, persistence)?
        } else {
            self.write_status_by_part(identity, values, persistence)?
        };
        if report.reached {
            return Ok(report);
        }
        let wanted = values.iter().rev().fold(0, |all, value| all << 8 | u32::from(*value));
        Err(StatusError::NotReached { wanted, count, report: Box::new(report) })
    }

    fn write_status_by_part(
        &mut self,
        identity: &Identity,
        values: &[u8],
        persistence: Persistence,
    ) -> Result<StatusReport, StatusError> {
        let before = self.look(|session| session.read_known_status(identity))?;
        let mut report = StatusReport { before, after: before, sent: Vec::new(), reached: false };
        let mut refused = None;
        for part in &identity.candidates {
            let now = Registers::from_status(part, &report.after);
            let wanted = match wanted(part, &now, values) {
                Ok(wanted) => wanted,
                Err(error) => {
                    refused.get_or_insert(error);
                    continue;
                }
            };
            let plan = match plan_write(part, &identity.candidates, &now, &wanted) {
                Ok(plan) => plan,
                Err(error) => {
                    refused.get_or_insert(error);
                    continue;
                }
            };
            for form in plan.forms {
                if report.sent.contains(&form) {
                    continue;
                }
                self.send_surely(&form, persistence)?;
                report.sent.push(form);
                report.after = self.look(|session| session.read_known_status(identity))?;
            }
            let mask = |opcode| part.reads(opcode).map_or(0, |name| part.write_mask(name));
            report.reached = holds_under(report.after, values, READ_OPCODES.map(mask));
            if report.reached {
                return Ok(report);
            }
        }
        match refused {
            Some(error) if report.sent.is_empty() => Err(error.into()),
            _ => Ok(report),
        }
    }

    /// Sends exactly what `write_flash_status` of esptool sends, with no wait between the writes
    /// (QUIRKS Q6): for two registers 01h with two bytes, 01h with one, 31h with one, then 04h.
    ///
    /// For playing what people did. It may lose QE, and a slow part ignores the later writes.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn write_status_burst(
        &mut self,
        values: &[u8],
        persistence: Persistence,
    ) -> Result<StatusReport, SessionError> {
        let count = values.len().min(3);
        let values = &values[..count];
        let before = self.read_status(count)?;
        let enable = match persistence {
            Persistence::NonVolatile => opcode::WRITE_ENABLE,
            Persistence::Volatile => opcode::WRITE_ENABLE_VOLATILE,
        };
        let sent = burst(values);
        for form in &sent {
            self.spi(&Instruction::new(enable))?;
            self.spi(&Instruction::new(form.opcode).writing(&form.data))?;
        }
        self.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
        let after = self.read_status(count)?;
        Ok(StatusReport { before, after, sent, reached: holds(after, values) })
    }

    /// Brings the first `values.len()` registers to `values`, trying the forms that parts differ in
    /// until they read back so: first 01h with two bytes, then single registers. Sends nothing if
    /// they already do (FIELD-CASES `puya-7bfc`).
    ///
    /// # Errors
    ///
    /// As [`Session::send_status_form`].
    pub fn write_status(
        &mut self,
        values: &[u8],
        persistence: Persistence,
    ) -> Result<StatusReport, SessionError> {
        let count = values.len().min(3);
        let values = &values[..count];
        let before = self.look(|session| session.read_status(count))?;
        let mut report = StatusReport { before, after: before, sent: Vec::new(), reached: false };
        for round in rounds(values) {
            for form in round {
                if holds(report.after, values) {
                    break;
                }
                self.send_surely(&form, persistence)?;
                report.sent.push(form);
                report.after = self.look(|session| session.read_status(count))?;
            }
        }
        report.reached = holds(report.after, values);
        Ok(report)
    }
}

/// The part's registers with the answers to 05h, 35h and 15h as `values` have them.
fn wanted(part: &Part, now: &Registers, values: &[u8]) -> Result<Registers, PlanError> {
    let mut wanted = Registers::default();
    for (opcode, value) in READ_OPCODES.into_iter().zip(values) {
        let register = part.reads(opcode).ok_or(PlanError::NotRead)?;
        now.get(register).ok_or(PlanError::NotRead)?;
        wanted.set(register, *value);
    }
    Ok(wanted)
}

/// The writes of `write_flash_status` in order.
fn burst(values: &[u8]) -> Vec<StatusForm> {
    let double = match values {
        [first, second] => Some(StatusForm { opcode: 0x01, data: vec![*first, *second] }),
        _ => None,
    };
    let single = [0x01, 0x31, 0x11].into_iter().zip(values);
    let single = single.map(|(opcode, value)| StatusForm { opcode, data: vec![*value] });
    double.into_iter().chain(single).collect()
}

/// Forms to try, the likelier first.
fn rounds(values: &[u8]) -> Vec<Vec<StatusForm>> {
    let single = [0x01, 0x31, 0x11].into_iter().zip(values);
    let single = single.map(|(opcode, value)| StatusForm { opcode, data: vec![*value] }).collect();
    match values {
        [first, second, ..] => {
            let double = StatusForm { opcode: 0x01, data: vec![*first, *second] };
            vec![vec![double], single]
        }
        _ => vec![single],
    }
}

/// WIP and WEL come and go by themselves; the rest must be equal.
fn holds(registers: StatusRegisters, wanted: &[u8]) -> bool {
    holds_under(registers, wanted, [0xfc, 0xff, 0xff])
}

fn holds_under(registers: StatusRegisters, wanted: &[u8], masks: [u8; 3]) -> bool {
    registers
        .values
        .iter()
        .zip(wanted)
        .zip(masks)
        .all(|((value, wanted), mask)| value.is_some_and(|value| (value ^ wanted) & mask == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_print_as_esptool_does() {
        let two = StatusRegisters { values: [Some(0), Some(2), None] };
        assert_eq!(two.to_string(), "0x0200");
        let three = StatusRegisters { values: [Some(0xfc), Some(0x7b), Some(0xe3)] };
        assert_eq!(three.to_string(), "0xe37bfc");
        assert_eq!(StatusRegisters { values: [Some(0x1c), None, None] }.to_string(), "0x1c");
    }

    #[test]
    fn latches_do_not_count_as_a_difference() {
        let read = StatusRegisters { values: [Some(0x03), Some(0x02), None] };
        assert!(holds(read, &[0x00, 0x02]));
        assert!(!holds(read, &[0x1c, 0x02]));
        assert!(!holds(read, &[0x00, 0x02, 0x00]), "the third was not read");
    }

    #[test]
    fn the_burst_is_that_of_esptool() {
        let forms =
            |values| -> Vec<String> { burst(values).iter().map(ToString::to_string).collect() };
        assert_eq!(forms(&[0]), ["01h 00"]);
        assert_eq!(forms(&[0, 2]), ["01h 00 02", "01h 00", "31h 02"]);
        assert_eq!(forms(&[0, 2, 3]), ["01h 00", "31h 02", "11h 03"]);
    }

    #[test]
    fn the_two_byte_form_comes_first() {
        let forms: Vec<_> =
            rounds(&[0, 2, 0x60]).concat().iter().map(ToString::to_string).collect();
        assert_eq!(forms, ["01h 00 02", "01h 00", "31h 02", "11h 60"]);
    }
}
