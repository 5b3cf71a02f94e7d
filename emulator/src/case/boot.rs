//! Boot personality: what firmware does to the flash when the board boots, as data.
//!
//! The second stage bootloader and the drivers of ESP-IDF rewrite the status registers at start-up,
//! each flavour in its own way (QUIRKS Q8). A flavour is a list of register writes; this module
//! plays them as chip selects on a bus, so that the part's own rules decide what comes of it.

use serde::Deserialize;
use spi_nor::part::HexBytes;

use super::values::SupplyMillivolts;

/// What happens when the board boots from flash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Boot {
    /// Register writes of a known bootloader.
    pub flavour: Flavour,
    /// Further register writes, after those of the flavour.
    pub register_writes: Vec<RegisterWrite>,
    /// Chip selects that the firmware sends after its register writes, as hex: a mode that it does
    /// not leave (QUIRKS Q17, Q32, Q34).
    pub instructions: Vec<HexBytes>,
    /// The supply that the firmware leaves (GPIO12 driven high, `VDD_SDIO` reprogrammed).
    pub supply_mv: Option<SupplyMillivolts>,
    /// A brown-out hits the part while the boot writes a register ([`super::HiddenLock::StatusRow`]).
    pub damages_status_row: bool,
    /// Lines that the application prints, 115200 baud.
    pub output: Vec<String>,
    /// Programs that the application tries, such as NVS entries.
    pub app_writes: Vec<AppWrite>,
}

/// A program that the application tries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AppWrite {
    /// First address; the sector is erased before.
    pub at: u32,
    /// The bytes as hex digits.
    pub hex: HexBytes,
}

/// Status register code of ESP-IDF by flash vendor and flash mode (QUIRKS Q8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// Leaves the registers alone.
    #[default]
    None,
    /// Unlock of most vendors: one 01h with two bytes that keeps S9.
    IdfUnlock,
    /// Unlock of `GigaDevice` parts: 01h, then 31h, one byte each.
    IdfUnlockGd,
    /// Unlock of ISSI and Macronix parts: 01h with one byte that keeps bit 6.
    IdfUnlockMacronix,
    /// [`Flavour::IdfUnlock`], then QE by one 01h with two bytes (QIO, Winbond `EF40xx`).
    IdfQio16Bit,
    /// [`Flavour::IdfUnlock`], then QE by 31h (QIO, most vendors).
    IdfQio31h,
    /// [`Flavour::IdfUnlockGd`], then QE by 31h (QIO).
    IdfQioGd,
    /// [`Flavour::IdfUnlockMacronix`], then QE in SR1 bit 6 (QIO).
    IdfQioMacronix,
}

/// One register write of a boot: read, change, write if the value differs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegisterWrite {
    /// Write enable instruction: 06h, or 50h for the volatile copy.
    #[serde(default = "write_enable")]
    pub enable: u8,
    /// Opcode of the write.
    pub opcode: u8,
    /// Data bytes in order.
    pub bytes: Vec<ByteRule>,
    /// Skip the write when no byte would change.
    #[serde(default = "yes")]
    pub only_if_changed: bool,
}

/// One data byte: what was read, masked, with bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ByteRule {
    /// Opcode that reads the old value.
    pub read: u8,
    /// Bits to keep.
    #[serde(default = "all_bits")]
    pub keep: u8,
    /// Bits to set.
    #[serde(default)]
    pub set: u8,
}

const fn write_enable() -> u8 {
    0x06
}

const fn yes() -> bool {
    true
}

const fn all_bits() -> u8 {
    0xff
}

/// Bit 1 of SR2: QE on most parts.
const QE_SR2: u8 = 0x02;
/// Bit 6 of SR1: QE on Macronix and ISSI parts.
const QE_SR1: u8 = 0x40;

impl Flavour {
    /// What ESP-IDF does to a part with this JEDEC id, in a quad mode or not (QUIRKS Q8).
    #[must_use]
    pub fn of_idf(jedec_id: [u8; 3], quad: bool) -> Self {
        match (jedec_id, quad) {
            ([0xc8, 0x40, 0x16..=0xff], false) => Self::IdfUnlockGd,
            ([0xc8, 0x40, 0x16..=0xff], true) => Self::IdfQioGd,
            ([0xc2 | 0x9d, ..], false) => Self::IdfUnlockMacronix,
            ([0xc2 | 0x9d, ..], true) => Self::IdfQioMacronix,
            (_, false) => Self::IdfUnlock,
            ([0xef, 0x40, _] | [0xc8, 0x60, _], true) => Self::IdfQio16Bit,
            (_, true) => Self::IdfQio31h,
        }
    }

    /// The flavour's register writes, in order.
    #[must_use]
    pub fn register_writes(self) -> Vec<RegisterWrite> {
        let sr1 = |keep, set| ByteRule { read: 0x05, keep, set };
        let sr2 = |keep, set| ByteRule { read: 0x35, keep, set };
        let write =
            |opcode, bytes| RegisterWrite { enable: 0x06, opcode, bytes, only_if_changed: true };
        let unlock = || write(0x01, vec![sr1(0, 0), sr2(QE_SR2, 0)]);
        let unlock_gd = || [write(0x01, vec![sr1(0, 0)]), write(0x31, vec![sr2(QE_SR2, 0)])];
        let unlock_macronix = || write(0x01, vec![sr1(QE_SR1, 0)]);
        let quad_31h = || write(0x31, vec![sr2(0xff, QE_SR2)]);
        match self {
            Self::None => Vec::new(),
            Self::IdfUnlock => vec![unlock()],
            Self::IdfUnlockGd => unlock_gd().into(),
            Self::IdfUnlockMacronix => vec![unlock_macronix()],
            Self::IdfQio16Bit => {
                vec![unlock(), write(0x01, vec![sr1(0xfc, 0), sr2(0xff, QE_SR2)])]
            }
            Self::IdfQio31h => vec![unlock(), quad_31h()],
            Self::IdfQioGd => unlock_gd().into_iter().chain([quad_31h()]).collect(),
            Self::IdfQioMacronix => vec![unlock_macronix(), write(0x01, vec![sr1(0xfc, QE_SR1)])],
        }
    }
}

impl Boot {
    /// All register writes of this boot, in order.
    #[must_use]
    pub fn all_register_writes(&self) -> Vec<RegisterWrite> {
        let mut writes = self.flavour.register_writes();
        writes.extend(self.register_writes.iter().cloned());
        writes
    }
}

impl RegisterWrite {
    /// Reads through `select` (bytes to send, room for the answer), and writes where the value
    /// differs. Returns whether it wrote; the caller waits for the part.
    pub fn play(&self, mut select: impl FnMut(&[u8], &mut [u8])) -> bool {
        let mut changed = false;
        let mut mosi = vec![self.opcode];
        for rule in &self.bytes {
            let mut old = [0xff];
            select(&[rule.read], &mut old);
            let [old] = old;
            let new = (old & rule.keep) | rule.set;
            changed |= old != new;
            mosi.push(new);
        }
        let writes = changed || !self.only_if_changed;
        if writes {
            select(&[self.enable], &mut []);
            select(&mosi, &mut []);
        }
        writes
    }
}
