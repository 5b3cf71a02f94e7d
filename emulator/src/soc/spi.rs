//! The flash controller at register level (ROM-FACTS 9.1 and 9.2).
//!
//! A command register write runs one chip select at once. Phases are composed into the bytes that
//! really go out, so a missing command phase makes the first address byte the opcode.

use crate::{
    spi::{CommandLines, SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};

/// Register offsets.
pub mod offset {
    /// Command bits.
    pub const CMD: u32 = 0x00;
    /// Address; for the fixed page program also the length in bits 31..24.
    pub const ADDR: u32 = 0x04;
    /// Read mode, WRSR width.
    pub const CTRL: u32 = 0x08;
    /// Status read by RDSR and written by WRSR.
    pub const RD_STATUS: u32 = 0x10;
    /// Clock divider.
    pub const CLOCK: u32 = 0x18;
    /// Phases of a user command.
    pub const USER: u32 = 0x1C;
    /// Address and dummy lengths.
    pub const USER1: u32 = 0x20;
    /// Command length and value.
    pub const USER2: u32 = 0x24;
    /// Bits to send, minus 1.
    pub const MOSI_DLEN: u32 = 0x28;
    /// Bits to receive, minus 1.
    pub const MISO_DLEN: u32 = 0x2C;
    /// First of the sixteen data words.
    pub const W0: u32 = 0x80;
    /// State machine; 0 = idle.
    pub const EXT2: u32 = 0xF8;
}

/// `CTRL` bits.
pub mod ctrl {
    /// WRSR sends two bytes.
    pub const WRSR_2B: u32 = 1 << 22;
    /// Reads use 0Bh and a dummy byte.
    pub const FAST_READ: u32 = 1 << 13;
}

/// `USER` bits.
pub mod user {
    /// Command phase.
    pub const COMMAND: u32 = 1 << 31;
    /// Address phase.
    pub const ADDR: u32 = 1 << 30;
    /// Dummy phase.
    pub const DUMMY: u32 = 1 << 29;
    /// Receive phase.
    pub const MISO: u32 = 1 << 28;
    /// Send phase.
    pub const MOSI: u32 = 1 << 27;
    /// Data to send starts at W8.
    pub const MOSI_HIGHPART: u32 = 1 << 25;
    /// Received data goes to W8 on.
    pub const MISO_HIGHPART: u32 = 1 << 24;
}

/// `CMD` bits.
pub mod cmd {
    /// Write enable.
    pub const WREN: u32 = 1 << 30;
    /// Read status.
    pub const RDSR: u32 = 1 << 27;
    /// Write status.
    pub const WRSR: u32 = 1 << 26;
    /// Page program.
    pub const PP: u32 = 1 << 25;
    /// Release from power-down.
    pub const RES: u32 = 1 << 20;
    /// User command.
    pub const USR: u32 = 1 << 18;
}

/// Reset values other than 0 (measured; ROM-FACTS 9.1).
const RESET_VALUES: &[(u32, u32)] = &[
    (offset::CTRL, 0x0020_A400),
    (0x0C, 0x5FFF_0000),
    (0x14, 0x0000_0011),
    (offset::CLOCK, 0x8000_3043),
    (offset::USER, 0x8000_0040),
    (offset::USER1, 0x5C00_0007),
    (offset::USER2, 0x7000_0000),
    (0x34, 0x0000_0006),
];

/// What a fixed command bit puts on the bus.
struct Fixed {
    bit: u8,
    opcode: u8,
    out: FixedOut,
    into: FixedIn,
}

/// Bytes behind the opcode.
enum FixedOut {
    Nothing,
    Address,
    AddressAndData,
    Status,
    Zeros,
}

/// Where the answer goes.
enum FixedIn {
    Nothing,
    Status,
    Id,
    Dropped,
}

/// Fixed commands, highest bit first: that is the order in which they run.
const FIXED: &[Fixed] = &[
    Fixed { bit: 30, opcode: 0x06, out: FixedOut::Nothing, into: FixedIn::Nothing },
    Fixed { bit: 29, opcode: 0x04, out: FixedOut::Nothing, into: FixedIn::Nothing },
    Fixed { bit: 28, opcode: 0x9F, out: FixedOut::Nothing, into: FixedIn::Id },
    Fixed { bit: 27, opcode: 0x05, out: FixedOut::Nothing, into: FixedIn::Status },
    Fixed { bit: 26, opcode: 0x01, out: FixedOut::Status, into: FixedIn::Nothing },
    Fixed { bit: 25, opcode: 0x02, out: FixedOut::AddressAndData, into: FixedIn::Nothing },
    Fixed { bit: 24, opcode: 0x20, out: FixedOut::Address, into: FixedIn::Nothing },
    Fixed { bit: 23, opcode: 0xD8, out: FixedOut::Address, into: FixedIn::Nothing },
    Fixed { bit: 22, opcode: 0x60, out: FixedOut::Nothing, into: FixedIn::Nothing },
    Fixed { bit: 21, opcode: 0xB9, out: FixedOut::Nothing, into: FixedIn::Nothing },
    Fixed { bit: 20, opcode: 0xAB, out: FixedOut::Zeros, into: FixedIn::Dropped },
    Fixed { bit: 19, opcode: 0xA3, out: FixedOut::Zeros, into: FixedIn::Nothing },
    Fixed { bit: 17, opcode: 0x75, out: FixedOut::Nothing, into: FixedIn::Nothing },
    Fixed { bit: 16, opcode: 0x7A, out: FixedOut::Nothing, into: FixedIn::Nothing },
];

/// Command 2, address 8, dummy 32 and data 64 bytes at most.
const MOSI_MAX: usize = 112;
/// The data buffer.
const DATA_BYTES: usize = 64;

/// One flash controller.
#[derive(Debug, Clone)]
pub struct SpiController {
    words: [u32; 64],
}

impl SpiController {
    /// The controller after reset.
    #[must_use]
    pub fn reset() -> Self {
        let mut controller = Self { words: [0; 64] };
        for &(offset, value) in RESET_VALUES {
            controller.set(offset, value);
        }
        controller
    }

    /// Reads a register. The controller is always idle between accesses.
    #[must_use]
    #[inline]
    pub fn get(&self, offset: u32) -> u32 {
        match offset {
            offset::CMD | offset::EXT2 => 0,
            _ => self.words.get((offset / 4) as usize).copied().unwrap_or(0),
        }
    }

    /// Stores a register without any effect on the bus.
    #[inline]
    pub fn set(&mut self, offset: u32, value: u32) {
        if let Some(word) = self.words.get_mut((offset / 4) as usize) {
            *word = value;
        }
    }

    /// Copies the data buffer from W0 (or W8) on to `bytes`.
    fn load_data(&self, high: bool, bytes: &mut [u8]) {
        let first = (offset::W0 / 4) as usize + if high { 8 } else { 0 };
        let words = self.words.get(first..48).unwrap_or_default();
        for (chunk, word) in bytes.chunks_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }

    /// Stores `bytes` into the data buffer from W0 (or W8) on; the rest of the last word stays.
    pub fn store_data(&mut self, high: bool, bytes: &[u8]) {
        let first = (offset::W0 / 4) as usize + if high { 8 } else { 0 };
        let words = self.words.get_mut(first..48).unwrap_or_default();
        for (chunk, word) in bytes.chunks(4).zip(words) {
            let mut new = word.to_le_bytes();
            new[..chunk.len()].copy_from_slice(chunk);
            *word = u32::from_le_bytes(new);
        }
    }

    /// Runs the chip selects that `command` (a value written to `CMD`) asks for; gives the number
    /// of bytes that went over the bus.
    pub fn execute<F: SpiDevice>(
        &mut self,
        command: u32,
        now: Instant,
        flash: &mut F,
        trace: &mut Trace,
    ) -> usize {
        let mut count = 0;
        for fixed in FIXED.iter().filter(|fixed| command >> fixed.bit & 1 == 1) {
            count += self.execute_fixed(fixed, now, flash, trace);
        }
        if command & cmd::USR != 0 {
            count += self.execute_user(now, flash, trace);
        }
        count
    }

    fn execute_fixed<F: SpiDevice>(
        &mut self,
        fixed: &Fixed,
        now: Instant,
        flash: &mut F,
        trace: &mut Trace,
    ) -> usize {
        let mut mosi = [0; 4 + DATA_BYTES];
        mosi[0] = fixed.opcode;
        let address = self.get(offset::ADDR);
        mosi[1..4].copy_from_slice(&address.to_be_bytes()[1..]);
        let sent = match fixed.out {
            FixedOut::Nothing => 1,
            FixedOut::Address => 4,
            FixedOut::AddressAndData => {
                let len = ((address >> 24) as usize).min(DATA_BYTES);
                self.load_data(false, &mut mosi[4..4 + len]);
                4 + len
            }
            FixedOut::Status => {
                let status = self.get(offset::RD_STATUS).to_le_bytes();
                mosi[1..3].copy_from_slice(&status[..2]);
                if self.get(offset::CTRL) & ctrl::WRSR_2B == 0 { 2 } else { 3 }
            }
            FixedOut::Zeros => {
                mosi[1..4].fill(0);
                4
            }
        };
        let mut miso = [0; 3];
        let received = match fixed.into {
            FixedIn::Nothing => 0,
            FixedIn::Status | FixedIn::Dropped => 1,
            FixedIn::Id => 3,
        };
        transfer(now, flash, trace, &mosi[..sent], &mut miso[..received]);
        match fixed.into {
            FixedIn::Nothing | FixedIn::Dropped => {}
            FixedIn::Status => {
                let kept = self.get(offset::RD_STATUS) & !0xFF;
                self.set(offset::RD_STATUS, kept | u32::from(miso[0]));
            }
            FixedIn::Id => self.set(offset::W0, u32::from_le_bytes([miso[0], miso[1], miso[2], 0])),
        }
        sent + received
    }

    fn execute_user<F: SpiDevice>(
        &mut self,
        now: Instant,
        flash: &mut F,
        trace: &mut Trace,
    ) -> usize {
        let user = self.get(offset::USER);
        let mut bits = Bits::default();
        if user & user::COMMAND != 0 {
            let user2 = self.get(offset::USER2);
            // The low byte goes first, each byte from its highest bit.
            bits.push(&user2.to_le_bytes()[..2], (user2 >> 28) as usize + 1);
        }
        if user & user::ADDR != 0 {
            let count = (self.get(offset::USER1) >> 26) as usize + 1;
            bits.push(&self.get(offset::ADDR).to_be_bytes(), count);
        }
        if user & user::DUMMY != 0 {
            bits.push(&[], (self.get(offset::USER1) & 0xFF) as usize + 1);
        }
        if user & user::MOSI != 0 {
            let mut data = [0; DATA_BYTES];
            self.load_data(user & user::MOSI_HIGHPART != 0, &mut data);
            let count = (self.get(offset::MOSI_DLEN) & 0x1FF) as usize + 1;
            bits.push(&data, count);
        }
        let mut miso = [0; DATA_BYTES];
        let received = if user & user::MISO == 0 {
            0
        } else {
            ((self.get(offset::MISO_DLEN) & 0x1FF) as usize + 1).div_ceil(8)
        };
        let mosi = bits.bytes();
        if mosi.is_empty() && received == 0 {
            return 0;
        }
        transfer(now, flash, trace, mosi, &mut miso[..received]);
        self.store_data(user & user::MISO_HIGHPART != 0, &miso[..received]);
        mosi.len() + received
    }
}

/// Bits to send, most significant first, padded with zeros to whole bytes.
struct Bits {
    bytes: [u8; MOSI_MAX],
    count: usize,
}

impl Default for Bits {
    fn default() -> Self {
        Self { bytes: [0; MOSI_MAX], count: 0 }
    }
}

impl Bits {
    /// Appends `count` bits of `source`, zeros behind its end.
    fn push(&mut self, source: &[u8], count: usize) {
        for index in 0..count {
            let byte = source.get(index / 8).copied().unwrap_or(0);
            let bit = byte >> (7 - index % 8) & 1;
            if let Some(target) = self.bytes.get_mut(self.count / 8) {
                *target |= bit << (7 - self.count % 8);
                self.count += 1;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.count.div_ceil(8)]
    }
}

/// One chip select on one line.
#[inline]
pub(crate) fn transfer<F: SpiDevice>(
    now: Instant,
    flash: &mut F,
    trace: &mut Trace,
    mosi: &[u8],
    miso: &mut [u8],
) {
    let mut transaction = Transaction { mosi, miso, command_lines: CommandLines::One };
    flash.transfer(now, &mut transaction, trace);
}

#[cfg(test)]
mod tests;
