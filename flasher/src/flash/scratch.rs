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
/// Rounds of putting the content back on a bad line.
const RESTORES_MAX: u32 = 4;
const DATA_BYTES_BAD_LINE: usize = 16;
const WORD_BYTES: u32 = 4;
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
    /// Of an erase that took no time and left what was there.
    #[must_use]
    pub const fn refused_erase(sector: u32, latch_kept: bool) -> Self {
        Self {
            sector,
            was_blank: false,
            erase_busy: Duration::ZERO,
            latch_kept,
            erased: false,
            programmed: None,
            word: None,
            restored: true,
        }
    }

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
    /// Programs up to one page's bytes by page program; blank bytes are left out. On a bad line a
    /// program is sent again: the same bytes over the same bytes change nothing.
    ///
    /// # Errors
    ///
    /// As [`Session::write_enable`] and [`Session::wait_flash_ready`].
    pub fn program_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), SessionError> {
        // Short requests have a better chance on a bad line.
        let step = if self.line_was_bad() { DATA_BYTES_BAD_LINE } else { DATA_BYTES_MAX };
        for (at, part) in (address..).step_by(step).zip(bytes.chunks(step)) {
            if part.iter().all(|byte| *byte == 0xff) {
                continue;
            }
            let program = Instruction::new(opcode::PAGE_PROGRAM).at(at).writing(part);
            self.repeat::<(), SessionError>(|session| {
                session.write_enable()?;
                session.spi_careful(&program)?;
                session.wait_flash_ready(PROGRAM_LIMIT).map(drop)
            })?;
        }
        Ok(())
    }

    /// Erases `sector`, programs a word, and puts the old content back. Programs nothing if the
    /// erase was refused.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if its content cannot be read for certain, so that it could not be put
    /// back: nothing was changed then. After another error the sector may be blank.
    pub fn try_sector(&mut self, sector: u32) -> Result<ScratchReport, ReadError> {
        let old = self.read_proven(sector, SECTOR_BYTES)?;
        let was_blank = is_blank(&old);
        let erase_busy = self.erase_sector(sector)?;
        let status = self.look(|session| session.read_flash_register(opcode::READ_STATUS))?;
        let latch_kept = status & STATUS_WEL != 0;
        let erased = is_blank(&self.read_carefully(sector, SECTOR_BYTES)?);
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
            self.repeat(|session| session.spi(&Instruction::new(opcode::WRITE_DISABLE)))?;
            return Ok(report);
        }
        if erased {
            self.program_bytes(sector, &TEST_PATTERN)?;
            let word = self.read_carefully(sector, WORD_BYTES)?.try_into().unwrap_or_default();
            report.word = Some(word);
            report.programmed = Some(word == TEST_PATTERN);
        }
        for _ in 0..RESTORES_MAX {
            self.erase_sector(sector)?;
            self.program_bytes(sector, &old)?;
            report.restored = self.read_carefully(sector, SECTOR_BYTES)? == old;
            if report.restored || !self.line_was_bad() {
                break;
            }
        }
        Ok(report)
    }

    fn erase_sector(&mut self, sector: u32) -> Result<Duration, SessionError> {
        self.erase_surely(&Instruction::new(opcode::ERASE_SECTOR).at(sector), ERASE_LIMIT)
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}
