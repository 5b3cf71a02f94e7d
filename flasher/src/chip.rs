//! Which chip answers: magic value, revision, package, crystal, MAC (ROM-FACTS 9.3).

use std::fmt;

use serde::Serialize;

use crate::session::{Session, SessionError};

const MAGIC_ADDRESS: u32 = 0x4000_1000;
const EFUSE_WORD0: u32 = 0x3ff5_a000;
const APB_DATE: u32 = 0x3ff6_607c;
const UART0_CLOCK: u32 = 0x3ff4_0014;
const STRAP: u32 = 0x3ff4_4038;
/// Magic value of the ESP32's ROM.
pub const ESP32_MAGIC: u32 = 0x00f0_1d83;

/// A chip family by its magic value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// ESP32.
    Esp32,
    /// ESP8266.
    Esp8266,
    /// ESP32-S2.
    Esp32S2,
    /// ESP32-S3.
    Esp32S3,
    /// ESP32-C3.
    Esp32C3,
    /// No known magic value.
    Unknown,
}

impl Family {
    /// By the value at 0x40001000.
    #[must_use]
    pub const fn from_magic(magic: u32) -> Self {
        match magic {
            ESP32_MAGIC => Self::Esp32,
            0xfff0_c101 => Self::Esp8266,
            0x0000_07c6 => Self::Esp32S2,
            0x0000_0009 => Self::Esp32S3,
            0x6921_506f | 0x1b31_506f | 0x4881_606f | 0x4361_606f => Self::Esp32C3,
            _ => Self::Unknown,
        }
    }
}

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the registers tell about an ESP32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, read from separate bits")]
pub struct Chip {
    /// The magic value.
    pub magic: u32,
    /// Family that it means.
    pub family: Family,
    /// Package, as printed on the chip.
    pub package: &'static str,
    /// Major revision.
    pub revision_major: u8,
    /// Minor revision.
    pub revision_minor: u8,
    /// One core only.
    pub single_core: bool,
    /// Crystal in MHz, as the UART's divider tells.
    pub crystal_mhz: u8,
    /// Factory MAC.
    pub mac: Mac,
    /// The CRC of the MAC in the eFuses is right.
    pub mac_crc_ok: bool,
    /// Straps sampled at reset.
    pub strap: u8,
    /// Strap MTDI (GPIO12) was high: the flash supply is set to 1.8 V, unless eFuses override it.
    pub strap_vdd_1v8: bool,
    /// Flash encryption is on: an odd number of bits in its counter.
    pub flash_encrypted: bool,
}

/// The chip cannot be read, or is not one that this program flashes.
#[derive(Debug, thiserror::Error)]
pub enum ChipError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Another family answers.
    #[error("this is no ESP32: magic value {magic:#010x} ({family:?})")]
    Family {
        /// The value at 0x40001000.
        magic: u32,
        /// Family that it means.
        family: Family,
    },
}

impl Chip {
    /// Reads magic, eFuses, straps and clock.
    ///
    /// # Errors
    ///
    /// [`ChipError::Family`] before any register of another chip is touched.
    pub fn read(session: &mut Session) -> Result<Self, ChipError> {
        let magic = session.read_register(MAGIC_ADDRESS)?;
        let family = Family::from_magic(magic);
        if family != Family::Esp32 {
            return Err(ChipError::Family { magic, family });
        }
        let mut efuse = [0; 6];
        let words = (EFUSE_WORD0..).step_by(4).take(efuse.len());
        let others = [APB_DATE, UART0_CLOCK, STRAP];
        let values = session.read_words(&words.chain(others).collect::<Vec<_>>())?;
        let (words, others) = values.split_at(efuse.len());
        efuse.copy_from_slice(words);
        Ok(Self::decode(magic, &efuse, others[0], others[1], others[2]))
    }

    fn decode(magic: u32, efuse: &[u32; 6], date: u32, clock: u32, strap: u32) -> Self {
        let bit = |word: u32, at: u32| u8::from((word >> at) & 1 != 0);
        let revision_bits = (bit(date, 31) << 2) | (bit(efuse[5], 20) << 1) | bit(efuse[3], 15);
        let low = efuse[1].to_be_bytes();
        let [_, crc, high @ ..] = efuse[2].to_be_bytes();
        let mac = Mac([high[0], high[1], low[0], low[1], low[2], low[3]]);
        let package_code = ((efuse[3] >> 9) & 7) | (((efuse[3] >> 2) & 1) << 3);
        let strap = u8::try_from(strap & 0x3f).unwrap_or_default();
        let revision_major = match revision_bits {
            1 => 1,
            3 => 2,
            7 => 3,
            _ => 0,
        };
        let single_core = efuse[3] & 1 != 0;
        Self {
            magic,
            family: Family::from_magic(magic),
            package: package_name(package_code, revision_major == 3, single_core),
            revision_major,
            revision_minor: u8::try_from((efuse[5] >> 24) & 3).unwrap_or_default(),
            single_core,
            crystal_mhz: if u64::from(clock & 0xf_ffff) * 115_200 > 33_000_000 { 40 } else { 26 },
            mac,
            mac_crc_ok: crc8(&mac.0) == crc,
            strap,
            strap_vdd_1v8: strap & 0x20 != 0,
            flash_encrypted: ((efuse[0] >> 20) & 0x7f).count_ones() % 2 == 1,
        }
    }
}

/// The name as Espressif prints it: chips of revision v3.x carry a V3.
fn package_name(code: u32, is_v3: bool, single_core: bool) -> &'static str {
    match (code, single_core, is_v3) {
        (0, true, _) => "ESP32-S0WDQ6",
        (0, false, true) => "ESP32-D0WDQ6-V3",
        (0, false, false) => "ESP32-D0WDQ6",
        (1, true, _) => "ESP32-S0WD",
        (1, false, true) => "ESP32-D0WD-V3",
        (1, false, false) => "ESP32-D0WD",
        (2, ..) => "ESP32-D2WD",
        (4, ..) => "ESP32-U4WDH",
        (5, _, true) => "ESP32-PICO-V3",
        (5, _, false) => "ESP32-PICO-D4",
        (6, ..) => "ESP32-PICO-V3-02",
        (7, ..) => "ESP32-D0WDR2-V3",
        _ => "ESP32 in an unknown package",
    }
}

/// Dallas CRC-8, as the eFuses keep it over the MAC.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 1 != 0 { (crc >> 1) ^ 0x8c } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The board of esptool issue 915 (ROM-FACTS 9.3).
    const EFUSE: [u32; 6] = [0, 0x8624_8b9c, 0x004f_94e6, 0x0000_a200, 0x0000_1135, 0x0010_0000];

    #[test]
    fn the_board_of_issue_915() {
        let chip = Chip::decode(ESP32_MAGIC, &EFUSE, 0x9604_2000, 0x15b, 0x03);
        assert_eq!(chip.mac.to_string(), "94:e6:86:24:8b:9c");
        assert!(chip.mac_crc_ok);
        assert_eq!((chip.package, chip.revision_major), ("ESP32-D0WD-V3", 3));
        assert_eq!(chip.crystal_mhz, 40);
        assert!(!chip.single_core && !chip.flash_encrypted && !chip.strap_vdd_1v8);
    }

    #[test]
    fn a_26_mhz_crystal_and_a_1v8_strap() {
        let chip = Chip::decode(ESP32_MAGIC, &EFUSE, 0, 0xe1, 0x23);
        assert_eq!(chip.crystal_mhz, 26);
        assert!(chip.strap_vdd_1v8);
    }

    #[test]
    fn names_of_packages() {
        let name = |code, is_v3| package_name(code, is_v3, false);
        assert_eq!([name(0, false), name(0, true)], ["ESP32-D0WDQ6", "ESP32-D0WDQ6-V3"]);
        assert_eq!([name(1, false), name(1, true)], ["ESP32-D0WD", "ESP32-D0WD-V3"]);
        assert_eq!([name(5, false), name(5, true)], ["ESP32-PICO-D4", "ESP32-PICO-V3"]);
        assert_eq!([name(4, true), name(7, true)], ["ESP32-U4WDH", "ESP32-D0WDR2-V3"]);
        assert_eq!(package_name(1, true, true), "ESP32-S0WD");
    }
}
