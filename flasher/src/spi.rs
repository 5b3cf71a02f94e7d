//! Flash instructions through the SPI controller's registers (ROM-FACTS 9.1, 9.2).
//!
//! One instruction is one chip select. It costs three turns of the line: set up and start, poll and
//! fetch the answer, restore. The registers are put back to what the ROM relies on (ROM-FACTS 6.3 e).

use std::time::Duration;

use esp_protocol::{
    command::{RegisterWrite, Request},
    response::Dialect,
};

use crate::session::{COMMAND_TIMEOUT, Cause, Session, SessionError, Step};

/// SPI1 of the ESP32.
const BASE: u32 = 0x3ff4_2000;
const CMD: u32 = BASE;
const ADDR: u32 = BASE + 0x04;
const USER: u32 = BASE + 0x1c;
const USER1: u32 = BASE + 0x20;
const USER2: u32 = BASE + 0x24;
const MOSI_DLEN: u32 = BASE + 0x28;
const MISO_DLEN: u32 = BASE + 0x2c;
const W0: u32 = BASE + 0x80;

const CMD_USR: u32 = 1 << 18;
const USER_COMMAND: u32 = 1 << 31;
const USER_ADDR: u32 = 1 << 30;
const USER_DUMMY: u32 = 1 << 29;
const USER_MISO: u32 = 1 << 28;
const USER_MOSI: u32 = 1 << 27;
/// Eight command bits.
const USER2_COMMAND_LEN: u32 = 7 << 28;
/// 24 address bits.
const USER1_ADDR_LEN: u32 = 23 << 26;

/// What a read sets by itself in `USER`, and the only part of `USER2` that it does not set.
const USER_OF_READ: u32 = USER_ADDR | USER_DUMMY | USER_MISO | USER_MOSI;
const USER2_LEN: u32 = 0xf000_0000;
/// What the ROM's read relies on and does not set: values of the reset (ROM-FACTS 6.3 e).
const RESET_VALUES: IdleRegisters =
    IdleRegisters { user: 0x8000_0040, user1: 0x5c00_0007, user2: 0x7000_0000 };
/// Times that registers found wrong are put right before the line counts as the trouble.
const RESTORES_MAX: u32 = 3;

/// Bytes that the data buffer holds.
pub const DATA_BYTES_MAX: usize = 64;
/// Polls of the controller before it counts as stuck.
const POLLS_MAX: u32 = 100;
/// Write enables before the flash counts as deaf.
const WRITE_ENABLES_MAX: u32 = 3;
/// A limit counts only after so many looks: bringing a loader back takes time too.
const BUSY_LOOKS_MIN: u32 = 8;
/// Pause between two polls of a busy flash, at first; it doubles.
const BUSY_POLL_MIN: Duration = Duration::from_millis(1);
const BUSY_POLL_MAX: Duration = Duration::from_millis(50);

/// Status register 1, write in progress.
pub const STATUS_WIP: u8 = 1 << 0;
/// Status register 1, write enable latch.
pub const STATUS_WEL: u8 = 1 << 1;

/// Opcodes that practically all parts share.
pub mod opcode {
    /// Write enable.
    pub const WRITE_ENABLE: u8 = 0x06;
    /// Write enable for a volatile status write.
    pub const WRITE_ENABLE_VOLATILE: u8 = 0x50;
    /// Write disable.
    pub const WRITE_DISABLE: u8 = 0x04;
    /// Read status register 1.
    pub const READ_STATUS: u8 = 0x05;
    /// Read the JEDEC id.
    pub const READ_ID: u8 = 0x9f;
    /// Read SFDP; 24-bit address and eight dummy cycles.
    pub const READ_SFDP: u8 = 0x5a;
    /// Read data.
    pub const READ: u8 = 0x03;
    /// Page program.
    pub const PAGE_PROGRAM: u8 = 0x02;
    /// Erase 4 KiB.
    pub const ERASE_SECTOR: u8 = 0x20;
    /// Erase 64 KiB.
    pub const ERASE_BLOCK: u8 = 0xd8;
    /// Erase the whole array.
    pub const ERASE_CHIP: u8 = 0xc7;
}

/// One chip select.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction<'a> {
    /// Opcode.
    pub opcode: u8,
    /// 24-bit address, if the instruction has one.
    pub address: Option<u32>,
    /// Dummy cycles between address and data.
    pub dummy_cycles: u8,
    /// Data to the flash, at most [`DATA_BYTES_MAX`] bytes.
    pub write: &'a [u8],
    /// Bytes to read back, at most [`DATA_BYTES_MAX`].
    pub read_bytes: usize,
}

impl<'a> Instruction<'a> {
    /// An opcode alone.
    #[must_use]
    pub const fn new(opcode: u8) -> Self {
        Self { opcode, address: None, dummy_cycles: 0, write: &[], read_bytes: 0 }
    }

    /// With a 24-bit address.
    #[must_use]
    pub const fn at(self, address: u32) -> Self {
        Self { address: Some(address), ..self }
    }

    /// With dummy cycles.
    #[must_use]
    pub const fn dummy(self, dummy_cycles: u8) -> Self {
        Self { dummy_cycles, ..self }
    }

    /// With data to the flash; the controller sends at most [`DATA_BYTES_MAX`] bytes.
    #[must_use]
    pub const fn writing(self, write: &'a [u8]) -> Self {
        Self { write, ..self }
    }

    /// With data from the flash; the controller fetches at most [`DATA_BYTES_MAX`] bytes.
    #[must_use]
    pub const fn reading(self, read_bytes: usize) -> Self {
        Self { read_bytes, ..self }
    }

    /// Register writes that set the instruction up and start it.
    fn set_up(&self) -> Vec<(u32, u32)> {
        let write = &self.write[..self.write.len().min(DATA_BYTES_MAX)];
        let mut user = USER_COMMAND;
        let mut user1 = USER1_ADDR_LEN;
        let mut writes = Vec::with_capacity(8 + DATA_BYTES_MAX / 4);
        if let Some(address) = self.address {
            user |= USER_ADDR;
            writes.push((ADDR, address << 8));
        }
        if let Some(dummy) = self.dummy_cycles.checked_sub(1) {
            user |= USER_DUMMY;
            user1 |= u32::from(dummy);
        }
        if !write.is_empty() {
            user |= USER_MOSI;
            writes.push((MOSI_DLEN, bits(write.len()) - 1));
        }
        if self.read_bytes > 0 {
            user |= USER_MISO;
            writes.push((MISO_DLEN, bits(self.read_bytes) - 1));
            // What the controller does not fill must not look like an answer.
            writes.push((W0, 0));
        }
        writes.extend((W0..).step_by(4).zip(write.chunks(4).map(word)));
        writes.push((USER, user));
        writes.push((USER1, user1));
        writes.push((USER2, USER2_COMMAND_LEN | u32::from(self.opcode)));
        writes.push((CMD, CMD_USR));
        writes
    }
}

fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes.min(DATA_BYTES_MAX) * 8).unwrap_or(8)
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| (word << 8) | u32::from(byte))
}

/// What the ROM left in the registers that an instruction changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdleRegisters {
    user: u32,
    user1: u32,
    user2: u32,
}

impl IdleRegisters {
    const fn writes(self) -> [(u32, u32); 3] {
        [(USER, self.user), (USER1, self.user1), (USER2, self.user2)]
    }

    /// Whether a read with these registers is one with `other`.
    const fn reads_like(self, other: Self) -> bool {
        (self.user ^ other.user) & !USER_OF_READ == 0 && (self.user2 ^ other.user2) & USER2_LEN == 0
    }
}

impl Session {
    /// Runs one flash instruction and returns the bytes read. On a bad line it is run again, so it
    /// must be one that may be: reads, latches, the same program or erase once more.
    ///
    /// # Errors
    ///
    /// [`Cause::SpiBusy`] if the controller does not finish, and those of [`Session::command`].
    pub fn spi(&mut self, instruction: &Instruction<'_>) -> Result<Vec<u8>, SessionError> {
        self.repeat(|session| session.spi_once(instruction))
    }

    fn spi_once(&mut self, instruction: &Instruction<'_>) -> Result<Vec<u8>, SessionError> {
        let idle = self.spi_idle()?;
        self.write_registers(&instruction.set_up())?;
        let read_bytes = instruction.read_bytes.min(DATA_BYTES_MAX);
        let mut addresses = vec![CMD];
        addresses.extend((W0..).step_by(4).take(read_bytes.div_ceil(4)));
        let mut found = self.read_words(&addresses)?;
        if found[0] & CMD_USR != 0 {
            self.wait_controller(instruction.opcode)?;
            found = self.read_words(&addresses)?;
        }
        let words = found.iter().skip(1).flat_map(|word| word.to_le_bytes());
        let answer = words.take(read_bytes).collect();
        self.write_registers(&idle.writes())?;
        Ok(answer)
    }

    /// Runs one flash instruction that must not go wrong: what was set up is read back before it is
    /// started, because register writes carry no checksum.
    ///
    /// # Errors
    ///
    /// [`Cause::SetUpDamaged`] if the line damages every attempt, and those of [`Session::spi`].
    pub fn spi_proven(&mut self, instruction: &Instruction<'_>) -> Result<(), SessionError> {
        self.repeat(|session| session.spi_proven_once(instruction))
    }

    fn spi_proven_once(&mut self, instruction: &Instruction<'_>) -> Result<(), SessionError> {
        let step = Step::Spi { opcode: instruction.opcode };
        let idle = self.spi_idle()?;
        let mut set_up = instruction.set_up();
        let start = set_up.pop();
        self.write_registers(&set_up)?;
        for (address, value) in set_up {
            if self.read_register(address)? != value {
                return Err(SessionError { step, cause: Cause::SetUpDamaged });
            }
        }
        self.write_registers(&start.map_or_else(Vec::new, |start| vec![start]))?;
        self.wait_controller(instruction.opcode)?;
        self.write_registers(&idle.writes())
    }

    /// Runs one flash instruction that changes cells: with a proven set-up where the line was bad,
    /// else without that cost.
    ///
    /// # Errors
    ///
    /// As [`Session::spi_proven`].
    pub(crate) fn spi_careful(
        &mut self,
        instruction: &Instruction<'_>,
    ) -> Result<(), SessionError> {
        if self.line_was_bad() {
            return self.spi_proven(instruction);
        }
        self.spi(instruction).map(drop)
    }

    /// Runs instructions one after the other by one request, each followed by a pause in
    /// microseconds; the first byte that the last one read.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub(crate) fn spi_batch(
        &mut self,
        instructions: &[(Instruction<'_>, u32)],
    ) -> Result<u8, SessionError> {
        let idle = self.spi_idle()?;
        let mut entries = Vec::new();
        let mut pause_us = 0;
        let plain =
            |(address, value), delay_us| RegisterWrite { address, value, mask: u32::MAX, delay_us };
        for (instruction, after_us) in instructions {
            for write in instruction.set_up() {
                entries.push(plain(write, std::mem::take(&mut pause_us)));
            }
            pause_us = *after_us;
        }
        for write in idle.writes() {
            entries.push(plain(write, std::mem::take(&mut pause_us)));
        }
        self.command(&Request::WriteReg(entries), COMMAND_TIMEOUT)?;
        Ok(self.read_register(W0)?.to_le_bytes()[0])
    }

    fn spi_idle(&mut self) -> Result<IdleRegisters, SessionError> {
        if let Some(idle) = self.spi_idle {
            return Ok(idle);
        }
        let found = self.read_idle()?;
        // A damaged request may have left something else there, which must not be kept.
        let spoilt = self.dialect() == Dialect::Rom && !found.reads_like(RESET_VALUES);
        let idle = if spoilt { RESET_VALUES } else { found };
        self.spi_idle = Some(idle);
        Ok(idle)
    }

    fn read_idle(&mut self) -> Result<IdleRegisters, SessionError> {
        let found = self.read_words(&[USER, USER1, USER2])?;
        Ok(IdleRegisters { user: found[0], user1: found[1], user2: found[2] })
    }

    /// Sees that the controller's registers hold what the loader's own reads rely on, and puts them
    /// right. Without the command phase, which a damaged request can switch off, all of them read
    /// `FFh`, while [`Session::spi`] works, because it sets these registers itself.
    ///
    /// # Errors
    ///
    /// [`Cause::SetUpDamaged`] if they never do, and those of [`Session::repeat`].
    pub(crate) fn prove_loader_reads(&mut self) -> Result<(), SessionError> {
        self.repeat(|session| {
            let idle = session.spi_idle()?;
            for _ in 0..RESTORES_MAX {
                if session.read_idle()?.reads_like(idle) {
                    return Ok(());
                }
                session.write_registers(&idle.writes())?;
            }
            let step = Step::Spi { opcode: opcode::READ };
            Err(SessionError { step, cause: Cause::SetUpDamaged })
        })
    }

    fn wait_controller(&mut self, opcode: u8) -> Result<(), SessionError> {
        for _ in 0..POLLS_MAX {
            if self.read_register(CMD)? & CMD_USR == 0 {
                return Ok(());
            }
        }
        Err(SessionError { step: Step::Spi { opcode }, cause: Cause::SpiBusy })
    }

    /// Reads one status or configuration register.
    ///
    /// # Errors
    ///
    /// As [`Session::spi`].
    pub fn read_flash_register(&mut self, opcode: u8) -> Result<u8, SessionError> {
        let bytes = self.spi(&Instruction::new(opcode).reading(1))?;
        Ok(bytes.first().copied().unwrap_or_default())
    }

    /// Sends write enable and sees that the latch is set.
    ///
    /// # Errors
    ///
    /// [`Cause::NotWriteEnabled`], and those of [`Session::spi`].
    pub fn write_enable(&mut self) -> Result<(), SessionError> {
        let mut status = 0;
        // A damaged request may have been something else.
        for _ in 0..WRITE_ENABLES_MAX {
            self.spi(&Instruction::new(opcode::WRITE_ENABLE))?;
            status = self.read_flash_register(opcode::READ_STATUS)?;
            if status & STATUS_WEL != 0 {
                return Ok(());
            }
        }
        let step = Step::Spi { opcode: opcode::WRITE_ENABLE };
        Err(SessionError { step, cause: Cause::NotWriteEnabled { status } })
    }

    /// Polls status register 1 until write-in-progress is clear; returns how long that took as
    /// seen from here, zero if the flash was ready at the first look, and the last status.
    ///
    /// # Errors
    ///
    /// [`Cause::FlashBusy`] after `limit`, and those of [`Session::spi`].
    pub fn wait_flash_ready(&mut self, limit: Duration) -> Result<(Duration, u8), SessionError> {
        let start = self.port().now();
        let mut pause = BUSY_POLL_MIN;
        let mut looks = 0;
        loop {
            looks += 1;
            let status = self.read_flash_register(opcode::READ_STATUS)?;
            let elapsed = self.port().now().saturating_sub(start);
            if status & STATUS_WIP == 0 {
                // Ready at the first look: the time that passed is the line's, not the flash's.
                let was_busy = pause > BUSY_POLL_MIN;
                return Ok((if was_busy { elapsed } else { Duration::ZERO }, status));
            }
            if elapsed >= limit && looks >= BUSY_LOOKS_MIN {
                let step = Step::Spi { opcode: opcode::READ_STATUS };
                return Err(SessionError { step, cause: Cause::FlashBusy(limit) });
            }
            self.port().wait(pause);
            pause = (pause * 2).min(BUSY_POLL_MAX);
        }
    }

    /// Write enable, one erase instruction, wait. Returns how long the flash was busy: a refused
    /// erase takes no time.
    ///
    /// # Errors
    ///
    /// As [`Session::write_enable`] and [`Session::wait_flash_ready`].
    pub fn erase_instruction(
        &mut self,
        instruction: &Instruction<'_>,
        limit: Duration,
    ) -> Result<Duration, SessionError> {
        self.write_enable()?;
        self.spi_careful(instruction)?;
        Ok(self.wait_flash_ready(limit)?.0)
    }

    /// As [`Self::erase_instruction`], over a line that may be bad: erased again if an answer got
    /// lost, once the flash is ready.
    ///
    /// # Errors
    ///
    /// As [`Self::erase_instruction`].
    pub fn erase_surely(
        &mut self,
        instruction: &Instruction<'_>,
        limit: Duration,
    ) -> Result<Duration, SessionError> {
        let mut again = false;
        self.repeat(|session| {
            if std::mem::replace(&mut again, true) {
                session.wait_flash_ready(limit)?;
            }
            session.erase_instruction(instruction, limit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_instruction_sets_the_registers_of_the_recorded_sequence() {
        // ROM-FACTS 9.4: MISO_DLEN=17, USER=90000000, USER2=7000009F, W0=0, CMD=00040000.
        let writes = Instruction::new(opcode::READ_ID).reading(3).set_up();
        for expected in [
            (0x3ff4_202c, 0x17),
            (0x3ff4_201c, 0x9000_0000),
            (0x3ff4_2024, 0x7000_009f),
            (0x3ff4_2080, 0),
            (0x3ff4_2000, 0x0004_0000),
        ] {
            assert!(writes.contains(&expected), "{expected:x?}");
        }
        assert_eq!(writes.last(), Some(&(0x3ff4_2000, 0x0004_0000)));
    }

    #[test]
    fn the_sfdp_instruction_has_address_and_dummy() {
        // ROM-FACTS 9.4: USER1=5C000007, USER=F0000000, ADDR = address << 8.
        let writes = Instruction::new(opcode::READ_SFDP).at(0x10).dummy(8).reading(4).set_up();
        for expected in
            [(0x3ff4_2020, 0x5c00_0007), (0x3ff4_201c, 0xf000_0000), (0x3ff4_2004, 0x1000)]
        {
            assert!(writes.contains(&expected), "{expected:x?}");
        }
    }

    #[test]
    fn data_to_the_flash_goes_into_the_buffer_low_byte_first() {
        let writes = Instruction::new(0x01).writing(&[0x1c, 0x02]).set_up();
        for expected in [(0x3ff4_2028, 15), (0x3ff4_201c, 0x8800_0000), (0x3ff4_2080, 0x0000_021c)]
        {
            assert!(writes.contains(&expected), "{expected:x?}");
        }
    }

    #[test]
    fn too_long_data_is_cut_at_the_buffer() {
        let writes = Instruction::new(0x02).writing(&[0; 100]).reading(200).set_up();
        assert!(writes.contains(&(0x3ff4_2028, 511)) && writes.contains(&(0x3ff4_202c, 511)));
        assert!(writes.iter().all(|(address, _)| *address <= 0x3ff4_20bc));
    }
}
