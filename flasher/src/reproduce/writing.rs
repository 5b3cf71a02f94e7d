//! Write steps: the ROM loader, and tools that go around it.

use std::time::Duration;

use esp_protocol::{command::Request, response::Dialect};
use esp32_emulator::case::{self, Session as Writer, WriteOutcome, WriteStep};

use super::{
    Observation, ReproduceError, StepReport,
    play::{FLASH_BAUD, Play},
};
use crate::{
    progress::{Observer, Phase, Progress},
    session::{COMMAND_TIMEOUT, Session, SessionError},
    spi::{DATA_BYTES_MAX, Instruction, opcode},
    write::{Digest, Image, Prepared, WriteError},
};

const SECTOR_BYTES: usize = 4096;
const ERASE_LIMIT: Duration = Duration::from_secs(3);
const PROGRAM_LIMIT: Duration = Duration::from_secs(1);
/// Bit 9 of the status: what the legacy stub's unlock keeps (QUIRKS Q2).
const KEPT_BY_LEGACY_STUB: u8 = 0x02;
const PAGE_PROGRAM: u8 = 0x02;
const WRITE_STATUS: u8 = 0x01;
const READ_STATUS_2: u8 = 0x35;

impl Play {
    pub(super) fn write(
        &mut self,
        step: &WriteStep,
        report: &mut StepReport,
        observer: Observer<'_>,
    ) -> Result<(), ReproduceError> {
        let mut data = case::bootable(step.seed, step.bytes as usize);
        let mut name_of_image = format!("image {}", step.seed);
        if let Some(byte) = step.changed_byte.and_then(|at| data.get_mut(at as usize)) {
            *byte ^= 0x01;
            name_of_image.push_str(" with one changed byte");
        }
        let image = Image { name: name_of_image, offset: step.at, data };
        // FLASH_END wants to see every declared block of a raw write (ROM-FACTS 5.4).
        let prepared = Prepared::new(&image, Dialect::Rom, !step.flash_end);
        report.done = format!(
            "flash {} ({} bytes, {} on the line) at {:#x} through {}",
            image.name,
            step.bytes,
            prepared.wire_bytes(),
            step.at,
            name(step.session)
        );
        let mut session = self.connect(FLASH_BAUD)?;
        let old = Digest(session.flash_md5(step.at, step.bytes)?);
        match step.session {
            Writer::Rom => match session.write(&prepared, observer) {
                Ok(done) => report.said.push(format!("wrote {} bytes, no error", done.bytes)),
                // The XOR over what was read back differed (ROM-FACTS 5.3): the first sign that the
                // ROM gives, and only for data that is sent raw.
                Err(WriteError::NotTaken { offset }) => report.said.push(format!(
                    "the loader's read-back differs from {offset:#x} on (error 0x08)"
                )),
                Err(error) => return Err(error.into()),
            },
            Writer::LegacyStub => {
                unlock_like_legacy_stub(&mut session)?;
                write_by_instructions(&mut session, &image, observer)?;
                report.said.push(format!("wrote {} bytes, no error", step.bytes));
            }
            Writer::NoUnlock => {
                write_by_instructions(&mut session, &image, observer)?;
                report.said.push(format!("wrote {} bytes, no error", step.bytes));
            }
        }
        let found = verify(&mut session, &prepared, old, report)?;
        report.observations.push(found.observation(step.expect));
        if step.flash_end {
            session.command(&Request::FlashEnd { action: 0 }, COMMAND_TIMEOUT)?;
            report.said.push("ended the session with FLASH_END".to_owned());
        }
        Ok(())
    }
}

/// Verifies, says what a flashing tool prints, and classifies by digests alone.
fn verify(
    session: &mut Session,
    prepared: &Prepared,
    old: Digest,
    report: &mut StepReport,
) -> Result<Found, ReproduceError> {
    let mismatch = match session.verify(prepared) {
        Ok(()) => {
            report.said.push("Hash of data verified.".to_owned());
            return Ok(Found { verifies: true, varies: false, old: false, blank: false });
        }
        Err(WriteError::Mismatch(mismatch)) => mismatch,
        Err(error) => return Err(error.into()),
    };
    let again = Digest(session.flash_md5(mismatch.offset, mismatch.len)?);
    report.said.push(format!("File  md5: {}", mismatch.file));
    report.said.push(format!("Flash md5: {}", mismatch.flash));
    report.said.push(format!("MD5 of 0xFF is {}", mismatch.erased));
    report.said.push("MD5 of file does not match data in flash!".to_owned());
    report.mismatch = Some(mismatch);
    Ok(Found {
        verifies: false,
        varies: again != mismatch.flash,
        old: mismatch.flash == old,
        blank: mismatch.is_blank(),
    })
}

/// What the flash holds after a write, by digests alone.
#[expect(clippy::struct_excessive_bools, reason = "independent findings, not one state")]
struct Found {
    verifies: bool,
    varies: bool,
    old: bool,
    blank: bool,
}

impl Found {
    /// Whether this is `outcome`. Old content that was blank is both.
    fn is(&self, outcome: WriteOutcome) -> bool {
        match outcome {
            WriteOutcome::Verifies => self.verifies,
            WriteOutcome::Mismatch => !self.verifies,
            WriteOutcome::Varies => self.varies,
            WriteOutcome::OldContent => self.old && !self.varies && !self.verifies,
            WriteOutcome::Blank => self.blank && !self.varies,
            WriteOutcome::OtherContent => !(self.verifies || self.varies || self.old || self.blank),
        }
    }

    fn observation(&self, expected: WriteOutcome) -> Observation {
        let agrees = self.is(expected);
        let all = [
            WriteOutcome::Verifies,
            WriteOutcome::Varies,
            WriteOutcome::OldContent,
            WriteOutcome::Blank,
            WriteOutcome::OtherContent,
        ];
        let seen = if agrees { Some(expected) } else { all.into_iter().find(|it| self.is(*it)) };
        Observation {
            what: "verification".to_owned(),
            expected: text(expected).to_owned(),
            seen: seen.map_or("", text).to_owned(),
            agrees,
        }
    }
}

const fn text(outcome: WriteOutcome) -> &'static str {
    match outcome {
        WriteOutcome::Verifies => "the MD5 is the file's",
        WriteOutcome::OldContent => "MD5 mismatch: the flash holds what it held before",
        WriteOutcome::Blank => "MD5 mismatch: the flash is all 0xFF",
        WriteOutcome::Varies => "MD5 mismatch: another MD5 at every reading",
        WriteOutcome::OtherContent => "MD5 mismatch: another content, the same at every reading",
        WriteOutcome::Mismatch => "MD5 mismatch",
    }
}

const fn name(writer: Writer) -> &'static str {
    match writer {
        Writer::Rom => "the ROM loader",
        Writer::LegacyStub => "the steps of the legacy stub (keeps status bit 9)",
        Writer::NoUnlock => "plain flash instructions, no unlock",
    }
}

/// 35h; 06h; 01h with SR1 = 0 and of SR2 only bit 1. The result is not looked at.
fn unlock_like_legacy_stub(session: &mut Session) -> Result<(), SessionError> {
    let second = session.read_flash_register(READ_STATUS_2)?;
    session.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
    let data = [0, second & KEPT_BY_LEGACY_STUB];
    session.spi(&Instruction::new(WRITE_STATUS).writing(&data))?;
    session.wait_flash_ready(PROGRAM_LIMIT).map(drop)
}

/// Erases the sectors and programs, by 20h and 02h, looking at nothing but WIP.
fn write_by_instructions(
    session: &mut Session,
    image: &Image,
    observer: Observer<'_>,
) -> Result<(), SessionError> {
    let total = image.data.len() as u64;
    let mut at = image.offset;
    for sector in image.data.chunks(SECTOR_BYTES) {
        let erase = Instruction::new(opcode::ERASE_SECTOR).at(at);
        act(session, &erase, ERASE_LIMIT)?;
        for chunk in sector.chunks(DATA_BYTES_MAX) {
            act(session, &Instruction::new(PAGE_PROGRAM).at(at).writing(chunk), PROGRAM_LIMIT)?;
            at += u32::try_from(chunk.len()).unwrap_or_default();
        }
        let done = u64::from(at - image.offset);
        observer(Progress { phase: Phase::Write, offset: image.offset, done, total });
    }
    Ok(())
}

fn act(
    session: &mut Session,
    instruction: &Instruction<'_>,
    limit: Duration,
) -> Result<(), SessionError> {
    session.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
    session.spi(instruction)?;
    session.wait_flash_ready(limit).map(drop)
}
