//! Erasing through the SPI registers, with the time that the flash really took.

use std::{ops::Range, time::Duration};

use esp_protocol::{command::Request, response::Dialect};
use serde::Serialize;

use super::{BLOCK_BYTES, SECTOR_BYTES};
use crate::{
    progress::{Observer, Phase, Progress},
    session::{COMMAND_TIMEOUT, Session, SessionError},
    spi::{Instruction, STATUS_WEL, opcode},
    write::Digest,
};

const SECTOR_LIMIT: Duration = Duration::from_secs(3);
const BLOCK_LIMIT: Duration = Duration::from_secs(6);
/// Chip erase takes up to 25 s a MiB on slow parts.
const CHIP_LIMIT_PER_MIB: Duration = Duration::from_secs(25);

/// Ranges that took no time and are looked into.
const SUSPECTS_MAX: usize = 16;
/// Places looked at in a large range, and bytes at each.
const SAMPLES: u32 = 64;
const SAMPLE_BYTES: u32 = 64;

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
    /// The flash refused: it was not busy, and the cells still hold something.
    #[error("the flash refused to erase {offset:#x}+{len:#x}: it was never busy and is not blank")]
    Refused {
        /// First byte of the first refused unit.
        offset: u32,
        /// Bytes of that unit.
        len: u32,
        /// Erase instructions after which the flash was not busy.
        not_busy: u32,
        /// The write enable latch is still set: the instruction was not executed.
        latch_kept: bool,
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
    /// [`EraseError::Session`]; [`EraseError::Refused`] if it took no time and cells that were
    /// looked at are not 0xFF.
    pub fn erase_chip(&mut self) -> Result<EraseReport, EraseError> {
        let limit = CHIP_LIMIT_PER_MIB * (self.flash_bytes() >> 20).max(1);
        let busy = self.erase_surely(&Instruction::new(opcode::ERASE_CHIP), limit)?;
        let not_busy = u32::from(busy.is_zero());
        let report = EraseReport { instructions: 1, not_busy, busy };
        let latch_kept = self.latch_is_set()?;
        if busy.is_zero() {
            let all = 0..self.flash_bytes();
            self.see_blank(&[all], &report, latch_kept)?;
        }
        Ok(report)
    }

    /// Erases whole sectors, by blocks of 64 KiB where the range holds them.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; [`EraseError::Refused`] if an instruction took no time and its range is not
    /// blank afterwards. Nothing is sent for a range that is not whole sectors of the
    /// flash.
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
        let mut suspects = Vec::new();
        let mut latch_kept = false;
        let mut at = offset;
        while at < end {
            let (code, bytes, limit) = step(at, end);
            let busy = self.erase_surely(&Instruction::new(code).at(at), limit)?;
            report.instructions += 1;
            report.not_busy += u32::from(busy.is_zero());
            report.busy += busy;
            if busy.is_zero() {
                latch_kept |= suspects.is_empty() && self.latch_is_set()?;
                suspects.push(at..at + bytes);
            }
            at += bytes;
            let (done, total) = (u64::from(at - offset), u64::from(len));
            observer(Progress { phase: Phase::Erase, offset, done, total });
        }
        self.see_blank(&suspects, &report, latch_kept)?;
        Ok(report)
    }

    fn latch_is_set(&mut self) -> Result<bool, SessionError> {
        let status = self.look(|session| session.read_flash_register(opcode::READ_STATUS))?;
        Ok(status & STATUS_WEL != 0)
    }

    /// Looks into ranges whose erase took no time: the line may have been slower than the flash.
    fn see_blank(
        &mut self,
        suspects: &[Range<u32>],
        report: &EraseReport,
        latch_kept: bool,
    ) -> Result<(), EraseError> {
        if !suspects.is_empty() {
            self.prove_loader_reads()?;
        }
        for range in suspects.iter().take(SUSPECTS_MAX) {
            if !self.looks_blank(range)? {
                return Err(EraseError::Refused {
                    offset: range.start,
                    len: range.end - range.start,
                    not_busy: report.not_busy,
                    latch_kept,
                });
            }
        }
        Ok(())
    }

    /// All of a small range by its digest, a few words in each part of a large one.
    fn looks_blank(&mut self, range: &Range<u32>) -> Result<bool, SessionError> {
        let len = range.end - range.start;
        if len <= BLOCK_BYTES {
            let digest = Digest(self.look(|session| session.flash_md5(range.start, len))?);
            return Ok(digest == Digest::of_erased(len));
        }
        // Bootloader, partition table, NVS and application begin in the first 64 KiB.
        let usual = [0, 0x1000, 0x8000, 0x9000].into_iter();
        let spread = (0..SAMPLES).map(|index| len / SAMPLES * index);
        for at in usual.chain(spread).filter(|at| *at < len) {
            let request = Request::ReadFlashSlow { offset: range.start + at, len: SAMPLE_BYTES };
            let blank = if self.dialect() == Dialect::Rom {
                let response = self.repeat(|session| session.command(&request, COMMAND_TIMEOUT))?;
                response.payload.iter().take(SAMPLE_BYTES as usize).all(|byte| *byte == 0xff)
            } else {
                let digest =
                    Digest(self.look(|session| session.flash_md5(range.start + at, SECTOR_BYTES))?);
                digest == Digest::of_erased(SECTOR_BYTES)
            };
            if !blank {
                return Ok(false);
            }
        }
        Ok(true)
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
