//! Registers without behaviour: they read their reset value until they are written.

use std::{collections::BTreeMap, ops::Range};

use super::Identity;

/// Addresses of registers that the model knows by name.
pub mod address {
    /// Chip magic that clients read, in mask ROM.
    pub const CHIP_MAGIC: u32 = 0x4000_1000;
    /// UART0.
    pub const UART0: u32 = 0x3FF4_0000;
    /// SPI1: the general flash controller.
    pub const SPI1: u32 = 0x3FF4_2000;
    /// SPI0: the cache's flash controller.
    pub const SPI0: u32 = 0x3FF4_3000;
    /// Strap pins as sampled at reset.
    pub const GPIO_STRAP: u32 = 0x3FF4_4038;
    /// Flash voltage.
    pub const RTC_SDIO_CONF: u32 = 0x3FF4_8074;
    /// Bit 0 keeps flash-boot messages silent (ROM-FACTS 1.2).
    pub const RTC_STORE4: u32 = 0x3FF4_80B0;
    /// eFuse controller.
    pub const EFUSE: u32 = 0x3FF5_A000;
    /// Flash encryption.
    pub const FLASH_ENCRYPTION: u32 = 0x3FF5_B000;
    /// `DPORT_SLAVE_SPI_CONFIG`: bit 8 puts flash encryption before page programs.
    pub const SLAVE_SPI_CONFIG: u32 = 0x3FF0_00C8;
    /// Timer group 0, slow clock calibration.
    pub const RTCCALICFG1: u32 = 0x3FF5_F06C;
    /// Bit 31 is a revision bit.
    pub const APB_CTRL_DATE: u32 = 0x3FF6_607C;
}

/// Every peripheral on the data bus.
const PERIPHERALS: Range<u32> = 0x3FF0_0000..0x3FF8_0000;
/// The same UART..APB block on the AHB bus, used by older tools (ROM-FACTS 9.3).
const AHB_ALIAS: Range<u32> = 0x6000_0000..0x6004_0000;
const AHB_ALIAS_TARGET: u32 = 0x3FF4_0000;

/// Reset values other than 0 that do not depend on the board (ROM-FACTS 9.3).
const RESET_VALUES: &[(u32, u32)] = &[
    // Calibration count 1932, from which clients compute 40 MHz.
    (address::RTCCALICFG1, 1932 << 7),
    (address::RTC_SDIO_CONF, 0),
];

/// Registers that ignore writes.
const READ_ONLY: &[u32] = &[address::GPIO_STRAP, address::APB_CTRL_DATE];

/// Plain registers.
#[derive(Debug, Clone)]
pub struct RegisterFile {
    values: BTreeMap<u32, u32>,
}

impl RegisterFile {
    /// The registers after a reset that sampled `strap`.
    #[must_use]
    pub fn reset(identity: &Identity, strap: u8) -> Self {
        let mut values: BTreeMap<u32, u32> = RESET_VALUES.iter().copied().collect();
        values.insert(address::GPIO_STRAP, u32::from(strap));
        values.insert(address::APB_CTRL_DATE, identity.apb_date());
        Self { values }
    }

    /// The canonical address of a peripheral register; `None` if there is none.
    #[must_use]
    #[inline]
    pub fn peripheral(address: u32) -> Option<u32> {
        if PERIPHERALS.contains(&address) {
            Some(address)
        } else if AHB_ALIAS.contains(&address) {
            Some(address - AHB_ALIAS.start + AHB_ALIAS_TARGET)
        } else {
            None
        }
    }

    /// Reads a register.
    #[must_use]
    pub fn read(&self, address: u32) -> u32 {
        self.values.get(&address).copied().unwrap_or(0)
    }

    /// Writes a register.
    pub fn write(&mut self, address: u32, value: u32) {
        if !READ_ONLY.contains(&address) {
            self.values.insert(address, value);
        }
    }
}
