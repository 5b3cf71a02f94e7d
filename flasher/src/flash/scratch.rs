//! One sector as a scratch: does it erase, does it program, and back to what it was.

use std::time::Duration;

use serde::Serialize;

use super::{SECTOR_BYTES, read::ReadError};
use crate::{
    session::{Session, SessionError},
    spi::{DATA_BYTES_MAX, Instruction, STATUS_WEL, opcode},
};

const ERASE_LIMIT: Duration = Duration::from_secs(3);
const PROGRAM_LIMIT: Duration = Duration::from_secs(1);
/// Every bit line both ways.
const TEST_PATTERN: [u8; 4] = [0x5a, 0xa5, 0x0f, 0xf0];

/// What a scratch sector did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
pub struct ScratchReport {
    /// The sector's address.
    pub sector: u32,
    /// It was blank before.
    pub was_blank: bool,
    /// Busy time of the erase; zero if the flash was ready at the first look.
    #[serde(rename = "erase_busy_s", serialize_with = "crate::progress::seconds")]
    pub erase_busy: Duration,
    /// The write enable latch was still set after the erase: it was not executed.
    pub latch_kept: bool,
    /// The sector is blank after the erase.
    pub erased: bool,
    /// A word programmed and read back right; none if that was not tried because the erase failed.
    pub programmed: Option<bool>,
    /// What the word read after the program.
    pub word: Option<[u8; 4]>,
    /// The sector holds again what it held.
    pub restored: bool,
}

impl ScratchReport {
    /// Erase and program both work.
    #[must_use]
    pub fn works(&self) -> bool {
        self.erased && self.programmed == Some(true)
    }

    /// The erase was refused: no busy time, and cells or latch show that nothing happened. On a
    /// blank sector of a part that drops the latch, only that the program does nothing either.
    #[must_use]
    pub fn refused(&self) -> bool {
        let nothing_programmed = self.was_blank && self.word == Some([0xff; 4]);
        self.erase_busy.is_zero() && (self.latch_kept || !self.erased || nothing_programmed)
    }
}

impl Session {
    /// Programs up to one page's bytes by page program; blank bytes are left out.
    ///
    /// # Errors
    ///
    /// As [`Session::write_enable`] and [`Session::wait_flash_ready`].
    pub fn program_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), SessionError> {
        for (at, part) in (address..).step_by(DATA_BYTES_MAX).zip(bytes.chunks(DATA_BYTES_MAX)) {
            if part.iter().all(|byte| *byte == 0xff) {
                continue;
            }
            self.write_enable()?;
            self.spi(&Instruction::new(opcode::PAGE_PROGRAM).at(at).writing(part))?;
            self.wait_flash_ready(PROGRAM_LIMIT)?;
        }
        Ok(())
    }

    /// Erases `sector`, programs a word, and puts the old content back. Programs nothing if the
    /// erase was refused.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the sector may then be blank.
    pub fn try_sector(&mut self, sector: u32) -> Result<ScratchReport, ReadError> {
        let old = self.read_flash(sector, SECTOR_BYTES, &mut |_| {})?;
        let was_blank = is_blank(&old);
        let erase = Instruction::new(opcode::ERASE_SECTOR).at(sector);
        let erase_busy = self.erase_instruction(&erase, ERASE_LIMIT)?;
        let status = self.read_flash_register(opcode::READ_STATUS)?;
        let latch_kept = status & STATUS_WEL != 0;
        let erased = is_blank(&self.read_flash(sector, SECTOR_BYTES, &mut |_| {})?);
        let refused = erase_busy.is_zero() && (latch_kept || !erased);
        let mut report = ScratchReport {
            sector,
            was_blank,
            erase_busy,
            latch_kept,
            erased,
            programmed: None,
            word: None,
            restored: refused,
        };
        if refused {
            self.spi(&Instruction::new(opcode::WRITE_DISABLE))?;
            return Ok(report);
        }
        if erased {
            self.program_bytes(sector, &TEST_PATTERN)?;
            let word: [u8; 4] =
                self.read_flash(sector, 4, &mut |_| {})?.try_into().unwrap_or_default();
            report.word = Some(word);
            report.programmed = Some(word == TEST_PATTERN);
        }
        self.erase_instruction(&erase, ERASE_LIMIT)?;
        self.program_bytes(sector, &old)?;
        report.restored = self.read_flash(sector, SECTOR_BYTES, &mut |_| {})? == old;
        Ok(report)
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}
