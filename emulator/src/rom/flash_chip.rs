//! What the ROM believes of the flash: the record that `SPI_SET_PARAMS` fills.

use crate::soc::Machine;

/// `g_rom_flashchip` in the ROM's data (XTENSA 4.2).
const FLASHCHIP: u32 = 0x3FFA_E270;

/// The ROM's idea of the flash (`SPI_SET_PARAMS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashChip {
    /// JEDEC id; nothing looks at it.
    pub device_id: u32,
    /// Size in bytes: the limit of every access.
    pub chip_bytes: u32,
    /// Block size in bytes.
    pub block_bytes: u32,
    /// Sector size in bytes.
    pub sector_bytes: u32,
    /// Page size in bytes.
    pub page_bytes: u32,
    /// Mask on the status register.
    pub status_mask: u32,
}

impl FlashChip {
    /// What the ROM assumes before `SPI_SET_PARAMS` (ROM-FACTS 5.7).
    pub const DEFAULT: Self = Self {
        device_id: 0x0015_40EF,
        chip_bytes: 0x0020_0000,
        block_bytes: 0x0001_0000,
        sector_bytes: 0x1000,
        page_bytes: 0x100,
        status_mask: 0xFFFF,
    };

    /// Reads the record from RAM.
    #[must_use]
    pub fn load<F>(machine: &Machine<F>) -> Self {
        let word = |index: u32| machine.soc.memory.word(FLASHCHIP + 4 * index).unwrap_or(0);
        Self {
            device_id: word(0),
            chip_bytes: word(1),
            block_bytes: word(2),
            sector_bytes: word(3),
            page_bytes: word(4),
            status_mask: word(5),
        }
    }

    /// Writes the record to RAM.
    pub fn store<F>(&self, machine: &mut Machine<F>) {
        let words = [
            self.device_id,
            self.chip_bytes,
            self.block_bytes,
            self.sector_bytes,
            self.page_bytes,
            self.status_mask,
        ];
        for (index, word) in (0..).zip(words) {
            machine.soc.memory.set_word(FLASHCHIP + 4 * index, word);
        }
    }
}
