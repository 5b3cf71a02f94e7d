//! Steps on identity, status registers and erases.

use std::time::Duration;

use esp32_emulator::case::{
    EraseOutcome, EraseStep, FlashIdStep, ReadFlashStep, ReadStatusStep, WriteStatusStep,
};

use super::{Observation, ReproduceError, StepReport, play::Play};
use crate::{
    session::{Session, SessionError},
    spi::{Instruction, opcode},
    status::Persistence,
    write::Digest,
};

const CHIP_ERASE_LIMIT: Duration = Duration::from_secs(400);
const WRITE_LIMIT: Duration = Duration::from_secs(2);

impl Play {
    pub(super) fn flash_id(
        &mut self,
        step: &FlashIdStep,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        "read the flash id".clone_into(&mut report.done);
        let id = self.connect_slowly()?.flash_id()?;
        report.observations.push(Observation {
            what: "JEDEC id".to_owned(),
            expected: format!("{:02x?}", step.expect.0),
            seen: format!("{:02x?}", id.jedec),
            agrees: step.expect.0 == id.jedec,
        });
        Ok(())
    }

    pub(super) fn read_flash(
        &mut self,
        step: &ReadFlashStep,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        let wanted = &step.expect.0;
        report.done = format!("read {} bytes at {:#x}", wanted.len(), step.at);
        let mut session = self.connect_slowly()?;
        let instruction = Instruction::new(opcode::READ).at(step.at).reading(wanted.len());
        let bytes = session.spi(&instruction)?;
        report.observations.push(Observation {
            what: "flash content".to_owned(),
            expected: format!("{wanted:02x?}"),
            seen: format!("{bytes:02x?}"),
            agrees: bytes == *wanted,
        });
        Ok(())
    }

    pub(super) fn read_status(
        &mut self,
        step: ReadStatusStep,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        report.done = format!("read_flash_status --bytes {}", step.bytes);
        let status = self.connect_slowly()?.read_status(step.bytes.into())?.combined();
        let digits = usize::from(step.bytes) * 2 + 2;
        let show = |value: u32| format!("{value:#0digits$x}");
        report.said.push(format!("Status value: {}", show(status)));
        let kept = !step.ignore;
        let expected = match step.ignore {
            0 => show(step.expect),
            ignore => format!("{} (bits {} not compared)", show(step.expect), show(ignore)),
        };
        report.observations.push(Observation {
            what: "status registers".to_owned(),
            expected,
            seen: show(status),
            agrees: status & kept == step.expect & kept,
        });
        Ok(())
    }

    /// `write_flash_status`: every form that a part may take, one after the other, without looking
    /// whether the part is still busy (QUIRKS Q6).
    pub(super) fn write_status(
        &mut self,
        step: WriteStatusStep,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        let digits = usize::from(step.bytes) * 2 + 2;
        report.done = format!(
            "write_flash_status --bytes {}{} {:#0digits$x}",
            step.bytes,
            if step.non_volatile { " --non-volatile" } else { "" },
            step.value
        );
        let mut session = self.connect_slowly()?;
        let values = step.value.to_le_bytes();
        let values = values.get(..usize::from(step.bytes)).unwrap_or(&values);
        let persistence =
            if step.non_volatile { Persistence::NonVolatile } else { Persistence::Volatile };
        session.write_status_burst(values, persistence)?;
        // The command reads the registers back and so gives the part its time.
        session.wait_flash_ready(WRITE_LIMIT)?;
        Ok(())
    }

    pub(super) fn erase_chip(
        &mut self,
        step: EraseStep,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        "erase the chip".clone_into(&mut report.done);
        let mut session = self.connect_slowly()?;
        session.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
        session.spi(&Instruction::new(opcode::ERASE_CHIP))?;
        let begin = self.board_now()?;
        let (polled, _) = session.wait_flash_ready(CHIP_ERASE_LIMIT)?;
        // Ready at the first look: refused (FIELD-CASES, discriminator d). What passed by then is
        // the host's time, not the chip's.
        let busy = if polled.is_zero() { polled } else { self.board_now()?.since(begin).into() };
        report.said.push(format!("Chip erase completed in {:.1} s.", busy.as_secs_f64()));
        let expected = match step.expect {
            EraseOutcome::NoTime => "returns in no time: refused",
            EraseOutcome::Erases => "takes its time, and the flash is blank",
        };
        let (seen, agrees) = if busy.is_zero() {
            ("returns in no time: refused", step.expect == EraseOutcome::NoTime)
        } else if is_blank(&mut session)? {
            ("takes its time, and the flash is blank", step.expect == EraseOutcome::Erases)
        } else {
            ("takes its time, and the flash is not blank", false)
        };
        report.observations.push(Observation {
            what: "chip erase".to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
            agrees,
        });
        if let Some(seconds) = step.seconds {
            let wanted = Duration::from_secs(seconds.into());
            report.observations.push(Observation {
                what: "time of the erase".to_owned(),
                expected: format!("about {seconds} s"),
                seen: format!("{:.1} s", busy.as_secs_f64()),
                agrees: busy.abs_diff(wanted) <= wanted / 4,
            });
        }
        Ok(())
    }

    pub(super) fn instruction(
        &mut self,
        opcode: u8,
        report: &mut StepReport,
    ) -> Result<(), ReproduceError> {
        report.done = format!("send 06h, {opcode:02X}h");
        let mut session = self.connect_slowly()?;
        session.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
        session.spi(&Instruction::new(opcode))?;
        session.wait_flash_ready(WRITE_LIMIT)?;
        Ok(())
    }
}

fn is_blank(session: &mut Session) -> Result<bool, SessionError> {
    let bytes = session.flash_bytes();
    Ok(Digest(session.flash_md5(0, bytes)?) == Digest::of_erased(bytes))
}
