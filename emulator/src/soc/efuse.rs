//! The eFuse controller at register level (ESP32 TRM, "eFuse Controller").
//!
//! Bits are programmed from 0 to 1 and stay so. The read registers show what was burned when the
//! chip was reset or told to read last, decoded as the coding scheme says, with zeros where the
//! read protection hides it. The rest of the chip always sees what is hidden from software.

mod cells;
mod coding;
mod protection;

pub use cells::{BLOCKS, EfuseCells, WORDS};
pub use coding::{CodingScheme, three_quarters};

use crate::spi::SpiPins;

/// Words of block 0; the others have [`WORDS`].
const BLOCK0_WORDS: usize = 7;

/// Register offsets.
pub mod offset {
    /// First read register of each block.
    pub const READ: [u32; 4] = [0x00, 0x38, 0x58, 0x78];
    /// First write register of each block.
    pub const WRITE: [u32; 4] = [0x1C, 0x98, 0xB8, 0xD8];
    /// Clock selection for programming.
    pub const CLK: u32 = 0xF8;
    /// Operation code.
    pub const CONF: u32 = 0xFC;
    /// Bit 0 reads, bit 1 programs; reads 0 when done.
    pub const CMD: u32 = 0x104;
    /// Interrupt bits: 0 = read done, 1 = programmed.
    pub const INT_RAW: u32 = 0x108;
    /// Those that are enabled.
    pub const INT_ST: u32 = 0x10C;
    /// Which are enabled.
    pub const INT_ENA: u32 = 0x110;
    /// Clears them.
    pub const INT_CLR: u32 = 0x114;
    /// Divider of the programming voltage's clock.
    pub const DAC_CONF: u32 = 0x118;
    /// Coding errors: four bits each for blocks 1 to 3.
    pub const DEC_STATUS: u32 = 0x11C;
    /// Version of the controller.
    pub const DATE: u32 = 0x1FC;
}

/// `CONF` before a program command.
const OP_PROGRAM: u32 = 0x5A5A;
/// `CONF` before a read command.
const OP_READ: u32 = 0x5AA5;
const CMD_READ: u32 = 1 << 0;
const CMD_PROGRAM: u32 = 1 << 1;
const VERSION: u32 = 0x1604_2600;
const CLK_RESET: u32 = 0x4052;
const DAC_CONF_RESET: u32 = 0x28;
/// `CLK` and `DAC_CONF` for APB clocks of 26, 40 and 80 MHz (TRM, "Timing Configuration").
const TIMINGS: [(u32, u32); 3] = [(0xFFFA, 52), (0xFFA0, 80), (0x8050, 100)];

/// What a command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// No command, or one without its operation code.
    None,
    /// The read registers are filled anew.
    Read,
    /// Bits were programmed.
    Program {
        /// Bits that were burned, in all blocks.
        burned: u32,
        /// Bits that the write protection kept at 0.
        refused: u32,
        /// The clocks are those that the manual wants for one of the APB frequencies.
        in_time: bool,
    },
}

/// The controller and its bits.
#[derive(Debug, Clone)]
pub struct Efuse {
    cells: EfuseCells,
    /// What the chip goes by: the cells as they were read last.
    latched: EfuseCells,
    shown: EfuseCells,
    write: EfuseCells,
    coding_errors: u32,
    clock: u32,
    conf: u32,
    dac: u32,
    interrupts: u32,
    interrupts_enabled: u32,
    unsaved: bool,
}

impl Efuse {
    /// The controller after a reset with these bits burned.
    #[must_use]
    pub fn with_cells(cells: EfuseCells) -> Self {
        let mut efuse = Self {
            cells,
            latched: EfuseCells::BLANK,
            shown: EfuseCells::BLANK,
            write: EfuseCells::BLANK,
            coding_errors: 0,
            clock: CLK_RESET,
            conf: 0,
            dac: DAC_CONF_RESET,
            interrupts: 0,
            interrupts_enabled: 0,
            unsaved: false,
        };
        efuse.read_cells();
        efuse
    }

    /// Resets the registers; what is burned stays, and takes effect now.
    pub fn reset(&mut self) {
        let unsaved = self.unsaved;
        *self = Self { unsaved, ..Self::with_cells(self.cells) };
    }

    /// What is burned.
    #[must_use]
    pub fn cells(&self) -> &EfuseCells {
        &self.cells
    }

    /// Whether bits were burned since the last call.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// It takes the place of `before`; where that differs, or was not saved, it is to be saved.
    pub fn replaces(&mut self, before: &Self) {
        self.unsaved |= before.unsaved || self.cells != before.cells;
    }

    /// Reads a register.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        if let Some((block, word)) = place(&offset::READ, offset) {
            return self.shown.word(block, word);
        }
        if let Some((block, word)) = place(&offset::WRITE, offset) {
            return self.write.word(block, word);
        }
        match offset {
            offset::CLK => self.clock,
            offset::CONF => self.conf,
            offset::INT_RAW => self.interrupts,
            offset::INT_ST => self.interrupts & self.interrupts_enabled,
            offset::INT_ENA => self.interrupts_enabled,
            offset::DAC_CONF => self.dac,
            offset::DEC_STATUS => self.coding_errors,
            offset::DATE => VERSION,
            _ => 0,
        }
    }

    /// Writes a register; a command is done at once.
    pub fn set(&mut self, offset: u32, value: u32) -> Operation {
        if let Some((block, word)) = place(&offset::WRITE, offset) {
            self.write.set_word(block, word, value);
            return Operation::None;
        }
        match offset {
            offset::CLK => self.clock = value & 0xFFFF,
            offset::CONF => self.conf = value & 0xFFFF,
            offset::INT_ENA => self.interrupts_enabled = value & 3,
            offset::INT_CLR => self.interrupts &= !value,
            offset::DAC_CONF => self.dac = value & 0x1FF,
            offset::CMD => return self.command(value),
            _ => {}
        }
        Operation::None
    }

    fn command(&mut self, command: u32) -> Operation {
        if command & CMD_PROGRAM != 0 && self.conf == OP_PROGRAM {
            self.interrupts |= CMD_PROGRAM;
            return self.program();
        }
        if command & CMD_READ != 0 && self.conf == OP_READ {
            self.interrupts |= CMD_READ;
            self.read_cells();
            return Operation::Read;
        }
        Operation::None
    }

    fn program(&mut self) -> Operation {
        let writable = protection::writable(&self.latched);
        let wanted = self.write.without(&self.cells);
        let burned = wanted.masked(&writable);
        self.cells = self.cells.burned_with(&burned);
        self.unsaved |= burned.count() > 0;
        Operation::Program {
            burned: burned.count(),
            refused: wanted.without(&writable).count(),
            in_time: TIMINGS.contains(&(self.clock, self.dac & 0xFF)),
        }
    }

    /// Latches what is burned, and shows of it what software may see.
    fn read_cells(&mut self) {
        self.latched = self.cells;
        let (decoded, errors) = self.decoded();
        self.shown = decoded.masked(&protection::readable(&self.latched));
        self.coding_errors = errors;
    }

    /// The latched bits, blocks 1 to 3 decoded; with the coding errors.
    fn decoded(&self) -> (EfuseCells, u32) {
        let scheme = CodingScheme::of(&self.latched);
        let mut decoded = self.latched;
        let mut errors = 0;
        for block in 1..BLOCKS {
            let (words, block_errors) = scheme.decode(*self.latched.block(block));
            *decoded.block_mut(block) = words;
            errors |= block_errors << (4 * (block - 1));
        }
        (decoded, errors)
    }
}

/// What the chip itself takes from the eFuses.
impl Efuse {
    /// UART download mode is off (revision v3 and later).
    #[must_use]
    pub fn download_disabled(&self) -> bool {
        self.bit(0, 27)
    }

    /// The BASIC interpreter is off.
    #[must_use]
    pub fn console_debug_disabled(&self) -> bool {
        self.bit(6, 2)
    }

    /// Flash encryption does not work in download mode.
    #[must_use]
    pub fn download_encryption_disabled(&self) -> bool {
        self.bit(6, 7)
    }

    /// The cache decrypts: an odd number of bits in `FLASH_CRYPT_CNT`.
    #[must_use]
    pub fn decrypts_flash(&self) -> bool {
        (self.latched.word(0, 0) >> 20 & 0x7F).count_ones() % 2 == 1
    }

    /// `FLASH_CRYPT_CONFIG`: which parts of the key the address changes.
    #[must_use]
    pub fn flash_crypt_config(&self) -> u8 {
        (self.latched.word(0, 5) >> 28 & 0xF) as u8
    }

    /// The pins of the flash where `SPI_PAD_CONFIG` says any; `None` = the usual ones. Five bits hold
    /// 32 and 33 as 30 and 31.
    #[must_use]
    pub fn flash_pins(&self) -> Option<SpiPins> {
        let pin = |word: usize, shift: u32| {
            let number = (self.latched.word(0, word) >> shift & 0x1F) as u8;
            if number >= 30 { number + 2 } else { number }
        };
        let pins =
            SpiPins { clk: pin(5, 0), q: pin(5, 5), d: pin(5, 10), hd: pin(3, 4), cs: pin(5, 15) };
        let blank = SpiPins { clk: 0, q: 0, d: 0, hd: 0, cs: 0 };
        (pins != blank).then_some(pins)
    }

    /// The flash encryption key as key files have it: block 1 from its last byte to its first. 192
    /// bits are filled up with their bytes 8 to 15, as espsecure does; what 128 bits become is not
    /// known, here they are taken twice.
    #[must_use]
    pub fn flash_encryption_key(&self) -> [u8; 32] {
        let scheme = CodingScheme::of(&self.latched);
        let (words, _) = scheme.decode(*self.latched.block(1));
        let mut key = [0; 32];
        let bytes = scheme.data_bytes();
        let stored = words.iter().flat_map(|word| word.to_le_bytes());
        for (index, byte) in stored.take(bytes).enumerate() {
            key[bytes - 1 - index] = byte;
        }
        let from = if scheme == CodingScheme::ThreeQuarters { 8 } else { 0 };
        key.copy_within(from..from + (32 - bytes), bytes);
        key
    }

    fn bit(&self, word: usize, bit: u32) -> bool {
        self.latched.word(0, word) >> bit & 1 == 1
    }
}

/// Which block and word a data register is, given the first register of each block.
fn place(firsts: &[u32; 4], offset: u32) -> Option<(usize, usize)> {
    firsts.iter().enumerate().find_map(|(block, first)| {
        let word = (offset.checked_sub(*first)? / 4) as usize;
        let words = if block == 0 { BLOCK0_WORDS } else { WORDS };
        (word < words).then_some((block, word))
    })
}

#[cfg(test)]
mod tests;
