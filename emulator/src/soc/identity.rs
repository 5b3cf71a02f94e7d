//! Who this chip is: what the factory burns into eFuse block 0, the crystal, and the registers
//! derived from them (ROM-FACTS 9.3).

use serde::Deserialize;

use super::EfuseCells;

/// Identity of one chip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// Base MAC address, most significant byte first.
    pub mac: [u8; 6],
    /// Chip revision, major part (0..=3 with the three revision bits).
    pub revision_major: u8,
    /// Chip revision, minor part (0..=3).
    pub revision_minor: u8,
    /// Package: 0 = D0WDQ6, 1 = D0WD, 2 = D2WD, 5 = PICO-D4.
    pub package: u8,
    /// Main crystal.
    pub crystal: Crystal,
    /// Console debugging (the BASIC interpreter) is disabled, as on boards that are sold.
    pub console_debug_disabled: bool,
    /// UART download mode is disabled.
    pub download_disabled: bool,
}

/// Main crystal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Crystal {
    /// 26 MHz.
    #[serde(rename = "26MHz")]
    Mhz26,
    /// 40 MHz.
    #[default]
    #[serde(rename = "40MHz")]
    Mhz40,
}

impl Crystal {
    /// Frequency in hertz.
    #[must_use]
    pub const fn hertz(self) -> u32 {
        match self {
            Self::Mhz26 => 26_000_000,
            Self::Mhz40 => 40_000_000,
        }
    }
}

impl Default for Identity {
    /// The ESP32-D0WD-V3 of esptool issue 915 (ROM-FACTS 9.3).
    fn default() -> Self {
        Self {
            mac: [0x94, 0xE6, 0x86, 0x24, 0x8B, 0x9C],
            revision_major: 3,
            revision_minor: 0,
            package: 1,
            crystal: Crystal::Mhz40,
            console_debug_disabled: true,
            download_disabled: false,
        }
    }
}

/// CPU rating programmed, BLK3 kept, as in the word of ROM-FACTS 9.3 (bit 13).
const WORD3_FIXED: u32 = 0x0000_2000;
/// CK8M calibration 35h and ADC reference 11h of ROM-FACTS 9.3.
const WORD4: u32 = 0x0000_1135;

impl Identity {
    /// Words 0..=6 of eFuse block 0 as the factory leaves them.
    #[must_use]
    pub fn block0(&self) -> [u32; 7] {
        let [m0, m1, m2, m3, m4, m5] = self.mac;
        let package = u32::from(self.package);
        let revision_bit0 = u32::from(self.revision_major >= 1);
        let revision_bit1 = u32::from(self.revision_major >= 2);
        [
            u32::from(self.download_disabled) << 27,
            u32::from_be_bytes([m2, m3, m4, m5]),
            u32::from(mac_crc(&self.mac)) << 16 | u32::from_be_bytes([0, 0, m0, m1]),
            WORD3_FIXED | (package & 7) << 9 | (package >> 3 & 1) << 2 | revision_bit0 << 15,
            WORD4,
            revision_bit1 << 20 | u32::from(self.revision_minor & 3) << 24,
            u32::from(self.console_debug_disabled) << 2,
        ]
    }

    /// All eFuses as the factory leaves them: only block 0 is burned.
    #[must_use]
    pub fn cells(&self) -> EfuseCells {
        let mut cells = EfuseCells::BLANK;
        for (index, word) in self.block0().into_iter().enumerate() {
            cells.set_word(0, index, word);
        }
        cells
    }

    /// `APB_CTRL_DATE`: bit 31 is revision bit 2.
    #[must_use]
    pub fn apb_date(&self) -> u32 {
        0x1604_2000 | u32::from(self.revision_major >= 3) << 31
    }
}

/// CRC-8 of the MAC: Dallas/Maxim (reflected polynomial 8Ch), most significant byte first.
#[must_use]
pub fn mac_crc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8C } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_board_of_issue_915() {
        let identity = Identity::default();
        assert_eq!(
            identity.block0(),
            [0, 0x8624_8B9C, 0x004F_94E6, 0x0000_A200, 0x0000_1135, 0x0010_0000, 0x0000_0004]
        );
        assert_eq!(identity.apb_date(), 0x9604_2000);
    }
}
