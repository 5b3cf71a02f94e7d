//! Writing by plain flash instructions, around the loader's own write.
//!
//! Every `FLASH_BEGIN` of the ROM sends 35h (ROM-FACTS 6.3 a). On parts that enter the four-line
//! mode by it the loader then waits for ever, and only a power cycle helps (QUIRKS Q17). Here
//! nothing is sent but erase and page program. One request programs 64 bytes: write enable,
//! program, and the first look at the status, with the controller's time as delays in between.

use std::time::Duration;

use super::WriteError;
use crate::{
    flash::{EraseError, ReadError, SECTOR_BYTES},
    progress::{Observer, Phase, Progress},
    session::{Session, SessionError},
    spi::{Instruction, STATUS_WIP, opcode},
};

/// What the controller's buffer holds.
const CHUNK_BYTES: u32 = 64;
const PROGRAM_LIMIT: Duration = Duration::from_secs(1);
/// 68 bytes at the controller's 20 MHz, and room to spare.
const TRANSFER_US: u32 = 60;
/// A page program of 64 bytes is over by then on most parts.
const PROGRAM_US: u32 = 800;

impl Session {
    /// Erases the sectors from `offset` on and programs `data`; returns the bytes that went over the line as
    /// data. Compare afterwards.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotTaken`] if an erase was refused, and those of [`Session::spi`].
    pub fn write_plainly(
        &mut self,
        offset: u32,
        data: &[u8],
        observer: Observer<'_>,
    ) -> Result<u64, WriteError> {
        let total = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let erase = total.next_multiple_of(SECTOR_BYTES);
        self.erase_region(offset, erase, &mut |_| {}).map_err(|error| match error {
            EraseError::Session(error) => error.into(),
            EraseError::Refused { offset, .. } => WriteError::NotTaken { offset },
            EraseError::Unaligned { offset, len } | EraseError::Range { offset, len, .. } => {
                let flash_bytes = self.flash_bytes();
                ReadError::Range { offset, len, flash_bytes }.into()
            }
        })?;
        let mut sent = 0;
        let mut at = offset;
        let end = offset.saturating_add(total);
        while at < end {
            // Chunks end on multiples of their size, so none crosses a page.
            let next = (at / CHUNK_BYTES + 1).saturating_mul(CHUNK_BYTES).min(end);
            let bytes =
                data.get((at - offset) as usize..(next - offset) as usize).unwrap_or_default();
            if bytes.iter().any(|byte| *byte != 0xff) {
                self.repeat(|session| session.program_chunk(at, bytes))?;
                sent += bytes.len() as u64;
            }
            at = next;
            let (done, total) = (u64::from(at - offset), u64::from(total));
            observer(Progress { phase: Phase::Write, offset, done, total });
        }
        Ok(sent)
    }

    /// Programs up to 64 bytes of one page and waits for the flash.
    fn program_chunk(&mut self, address: u32, bytes: &[u8]) -> Result<(), SessionError> {
        if self.line_was_bad() {
            // A long request has little chance, and a damaged pause could last half an hour.
            return self.program_bytes(address, bytes);
        }
        let status = self.spi_batch(&[
            (Instruction::new(opcode::WRITE_ENABLE), TRANSFER_US),
            (Instruction::new(opcode::PAGE_PROGRAM).at(address).writing(bytes), PROGRAM_US),
            (Instruction::new(opcode::READ_STATUS).reading(1), TRANSFER_US),
        ])?;
        if status & STATUS_WIP != 0 {
            self.wait_flash_ready(PROGRAM_LIMIT)?;
        }
        Ok(())
    }
}
