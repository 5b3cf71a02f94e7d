//! eFuses of a board file: what is burned besides the factory's words.

use serde::Deserialize;
use spi_nor::part::HexBytes;

use crate::soc::{EfuseCells, efuse::CodingScheme};

use super::values::MacAddress;

/// eFuses that are burned besides those that `[chip]` says; all blank if nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EfuseSetup {
    /// How blocks 1 to 3 are stored.
    pub coding_scheme: Coding,
    /// `WR_DIS`: a set bit protects fields against programming.
    pub write_disable: u16,
    /// `RD_DIS`: bits 0 to 2 hide blocks 1 to 3.
    pub read_disable: u8,
    /// `FLASH_CRYPT_CNT`, seven bits: an odd number of them decrypts the flash.
    pub flash_crypt_count: u8,
    /// `FLASH_CRYPT_CONFIG`, four bits.
    pub flash_crypt_config: u8,
    /// Block 1 as `espefuse burn_key flash_encryption` takes it: last byte first.
    pub flash_encryption_key: Option<HexBytes>,
    /// Block 2 as `espefuse burn_key secure_boot_v1` takes it: last byte first.
    pub secure_boot_key: Option<HexBytes>,
    /// MAC in block 3, with its CRC and version.
    pub custom_mac: Option<MacAddress>,
    /// Block 1 as `espefuse burn_block_data` takes it: first byte first.
    pub block1: Option<HexBytes>,
    /// Block 2 likewise.
    pub block2: Option<HexBytes>,
    /// Block 3 likewise.
    pub block3: Option<HexBytes>,
    /// More bits of block 0, word by word.
    pub block0: Vec<u32>,
}

/// Coding scheme of blocks 1 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coding {
    /// 256 bits each.
    #[default]
    None,
    /// 192 bits each, with check bits.
    ThreeQuarters,
    /// 128 bits each, twice.
    Repeat,
}

impl From<Coding> for CodingScheme {
    fn from(coding: Coding) -> Self {
        match coding {
            Coding::None => Self::None,
            Coding::ThreeQuarters => Self::ThreeQuarters,
            Coding::Repeat => Self::Repeat,
        }
    }
}

impl EfuseSetup {
    /// The first key whose bytes do not fit, with the bytes that do.
    pub(super) fn too_long(&self) -> Option<(&'static str, usize)> {
        let most = CodingScheme::from(self.coding_scheme).data_bytes();
        let blocks = [
            ("efuse.flash-encryption-key", &self.flash_encryption_key),
            ("efuse.secure-boot-key", &self.secure_boot_key),
            ("efuse.block1", &self.block1),
            ("efuse.block2", &self.block2),
            ("efuse.block3", &self.block3),
        ];
        let long = |bytes: &Option<HexBytes>| bytes.as_ref().is_some_and(|it| it.0.len() > most);
        blocks.into_iter().find(|(_, bytes)| long(bytes)).map(|(key, _)| (key, most))
    }

    /// The burned bits.
    #[must_use]
    pub fn cells(&self) -> EfuseCells {
        let scheme = CodingScheme::from(self.coding_scheme);
        let mut cells = EfuseCells::BLANK;
        for (index, word) in self.block0.iter().enumerate().take(7) {
            cells.set_word(0, index, *word);
        }
        let mut add = |index: usize, bits: u32| {
            cells.set_word(0, index, cells.word(0, index) | bits);
        };
        add(0, u32::from(self.write_disable));
        add(0, u32::from(self.read_disable & 0xF) << 16);
        add(0, u32::from(self.flash_crypt_count & 0x7F) << 20);
        add(5, u32::from(self.flash_crypt_config & 0xF) << 28);
        add(6, scheme.bits());
        let reversed = |key: &Option<HexBytes>| {
            key.as_ref().map(|key| key.0.iter().rev().copied().collect::<Vec<u8>>())
        };
        let plain = |block: &Option<HexBytes>| block.as_ref().map(|block| block.0.clone());
        let blocks = [
            (1, reversed(&self.flash_encryption_key).or(plain(&self.block1))),
            (2, reversed(&self.secure_boot_key).or(plain(&self.block2))),
            (3, self.custom_mac.map(custom_mac).or(plain(&self.block3))),
        ];
        for (block, data) in blocks {
            let words = scheme.encode(&data.unwrap_or_default());
            for (index, word) in words.into_iter().enumerate() {
                cells.set_word(block, index, word);
            }
        }
        cells
    }
}

/// Block 3 with a MAC: its CRC, its bytes, version 1 in byte 23.
fn custom_mac(mac: MacAddress) -> Vec<u8> {
    let mut block = vec![0; 24];
    block[0] = crate::soc::mac_crc(&mac.0);
    block[1..7].copy_from_slice(&mac.0);
    block[23] = 1;
    block
}
