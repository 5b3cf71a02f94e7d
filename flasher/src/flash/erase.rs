//! Erasing through the SPI registers, with the time that the flash really took.

use std::time::Duration;

use serde::Serialize;

use super::{BLOCK_BYTES, SECTOR_BYTES};
use crate::{
    progress::{Observer, Phase, Progress},
    session::{Session, SessionError},
    spi::{Instruction, opcode},
};

const SECTOR_LIMIT: Duration = Duration::from_secs(3);
const BLOCK_LIMIT: Duration = Duration::from_secs(6);
/// Chip erase takes up to 25 s a MiB on slow parts.
const CHIP_LIMIT_PER_MIB: Duration = Duration::from_secs(25);

/// What an erase did, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EraseReport {
    /// Erase instructions sent.
    pub instructions: u32,
    /// Instructions after which the flash was not busy at the first look: it refused them, or it
    /// was faster than the line.
    pub not_busy: u32,
    /// Time in which the flash was busy.
    #[serde(rename = "busy_s", serialize_with = "crate::progress::seconds")]
    pub busy: Duration,
}

/// Erasing failed.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The range does not begin and end on sectors.
    #[error("the range {offset:#x}+{len:#x} is not made of whole sectors of 0x1000 bytes")]
    Unaligned {
        /// First byte.
        offset: u32,
        /// Bytes.
        len: u32,
    },
    /// The range ends behind the flash.
    #[error("the range {offset:#x}+{len:#x} ends behind the flash of {flash_bytes:#x} bytes")]
    Range {
        /// First byte.
        offset: u32,
        /// Bytes.
        len: u32,
        /// Size of the flash in bytes.
        flash_bytes: u32,
    },
}

impl Session {
    /// Erases the whole chip by C7h.
    ///
    /// # Errors
    ///
    /// [`EraseError::Session`].
    pub fn erase_chip(&mut self) -> Result<EraseReport, EraseError> {
        let limit = CHIP_LIMIT_PER_MIB * (self.flash_bytes() >> 20).max(1);
        let busy = self.erase_instruction(&Instruction::new(opcode::ERASE_CHIP), limit)?;
        let not_busy = u32::from(busy.is_zero());
        Ok(EraseReport { instructions: 1, not_busy, busy })
    }

    /// Erases whole sectors, by blocks of 64 KiB where the range holds them.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; nothing is sent for a range that is not whole sectors of the flash.
    pub fn erase_region(
        &mut self,
        offset: u32,
        len: u32,
        observer: Observer<'_>,
    ) -> Result<EraseReport, EraseError> {
        let flash_bytes = self.flash_bytes();
        if !offset.is_multiple_of(SECTOR_BYTES) || !len.is_multiple_of(SECTOR_BYTES) {
            return Err(EraseError::Unaligned { offset, len });
        }
        let end = offset.checked_add(len).filter(|end| *end <= flash_bytes);
        let end = end.ok_or(EraseError::Range { offset, len, flash_bytes })?;
        let mut report = EraseReport { instructions: 0, not_busy: 0, busy: Duration::ZERO };
        let mut at = offset;
        while at < end {
            let (code, bytes, limit) = step(at, end);
            let busy = self.erase_instruction(&Instruction::new(code).at(at), limit)?;
            report.instructions += 1;
            report.not_busy += u32::from(busy.is_zero());
            report.busy += busy;
            at += bytes;
            let (done, total) = (u64::from(at - offset), u64::from(len));
            observer(Progress { phase: Phase::Erase, offset, done, total });
        }
        Ok(report)
    }
}

/// The largest erase that fits at `at`.
fn step(at: u32, end: u32) -> (u8, u32, Duration) {
    if at.is_multiple_of(BLOCK_BYTES) && end - at >= BLOCK_BYTES {
        (opcode::ERASE_BLOCK, BLOCK_BYTES, BLOCK_LIMIT)
    } else {
        (opcode::ERASE_SECTOR, SECTOR_BYTES, SECTOR_LIMIT)
    }
}
