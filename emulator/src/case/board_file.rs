//! The schema of a board file: one virtual board as TOML.
//!
//! Every table may be left out; the default is the board of most threads: an ESP32-D0WD-V3 v3.0
//! with a 40 MHz crystal and a blank flash at 3.3 V. Constrained values have their own types, so
//! that a wrong one is reported by the parser with file, line and what was allowed.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use spi_nor::part::{AfterRefusal, BothLockBits, ChipEraseRule, HexBytes, RegisterName};

use crate::{board::Wiring, spi::SpiPins};

use super::{
    boot::Boot,
    efuse::EfuseSetup,
    story::Story,
    values::{MacAddress, Percent, StrapValue, SupplyMillivolts},
};

/// One board.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoardFile {
    /// The public report that this board plays, if it plays one.
    pub case: Option<Story>,
    /// The flash part and what is in it at power-on.
    pub flash: FlashSetup,
    /// A second part on other pins, which `SPI_ATTACH` reaches.
    pub second_flash: Option<SecondFlash>,
    /// Supply of the flash.
    pub power: Power,
    /// Levels on the pins of the flash.
    pub pins: Pins,
    /// The ESP32 itself.
    pub chip: Chip,
    /// eFuses that are burned besides the factory's.
    pub efuse: EfuseSetup,
    /// How DTR and RTS reach EN and GPIO0.
    pub wiring: Wiring,
    /// What the firmware does when the board boots from flash.
    pub boot: Boot,
    /// Faults to inject.
    pub faults: Faults,
    /// Alternative mechanisms by short name. Each replaces whole tables of the board.
    pub hypotheses: BTreeMap<String, Hypothesis>,
}

/// One way to explain the same observations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hypothesis {
    /// One line.
    pub title: String,
    /// What speaks for it, what against it, and what has to be assumed.
    pub notes: String,
    /// It contradicts something that the thread reports; in words.
    #[serde(default)]
    pub contradicts: Option<String>,
    /// Replaces `[flash]`.
    #[serde(default)]
    pub flash: Option<FlashSetup>,
    /// Replaces `[power]`.
    #[serde(default)]
    pub power: Option<Power>,
    /// Replaces `[pins]`.
    #[serde(default)]
    pub pins: Option<Pins>,
    /// Replaces `[boot]`.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// Replaces `[faults]`.
    #[serde(default)]
    pub faults: Option<Faults>,
    /// Replaces `case.play`.
    #[serde(default)]
    pub play: Option<Vec<super::story::Step>>,
}

/// The flash part and what is in it at power-on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlashSetup {
    /// Part number of the catalogue.
    pub part: Option<String>,
    /// A part file of the user's own, relative to the board file.
    pub part_file: Option<PathBuf>,
    /// Non-volatile register values; what is left out has its factory value.
    pub registers: BTreeMap<RegisterName, u8>,
    /// Volatile register copies where they differ from the non-volatile ones.
    pub volatile_registers: BTreeMap<RegisterName, u8>,
    /// Individual locks that differ from their power-up state.
    pub locks: Vec<Lock>,
    /// Array content.
    pub image: Image,
    /// Facts of the part that are switches: recalled ones, and those that differ between lots.
    pub overrides: PartOverrides,
    /// Protection that no status register shows.
    pub hidden: Option<HiddenLock>,
}

/// A second flash.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecondFlash {
    /// Where it is.
    pub pins: FlashPins,
    /// The part and what is in it, as in `[flash]`; hidden protection is not for it.
    pub flash: FlashSetup,
}

/// Pins of a second flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlashPins {
    /// The pins of HSPI: CLK 14, Q 12, D 13, HD 4, CS 15.
    Hspi,
    /// GPIO numbers.
    Gpio(SpiPins),
}

/// One individual lock bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// Any address inside the unit.
    pub at: u32,
    /// Locked or not.
    pub locked: bool,
}

/// Array content; blank where nothing is said. Pattern, file and pieces are laid down in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// Pseudo-random old content, the same for the same seed.
    pub pattern: Option<Pattern>,
    /// A raw image file, relative to the board file.
    pub file: Option<ImageFile>,
    /// Bytes in place.
    pub pieces: Vec<Piece>,
}

/// Pseudo-random content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pattern {
    /// First address.
    pub at: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// Seed.
    pub seed: u64,
}

/// A raw image file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageFile {
    /// Path, relative to the board file.
    pub path: PathBuf,
    /// First address.
    #[serde(default)]
    pub at: u32,
}

/// Bytes in place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Piece {
    /// First address.
    pub at: u32,
    /// The bytes as hex digits.
    pub hex: HexBytes,
}

/// Facts of the part that a board may flip; what is left out stays as the part file has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartOverrides {
    /// Write enable latch after a refused operation (QUIRKS Q10).
    pub write_enable_latch_after_refusal: Option<AfterRefusal>,
    /// Write enable latch after a register write that the status lock refused (QUIRKS Q21).
    pub write_enable_latch_after_refused_status_write: Option<AfterRefusal>,
    /// When chip erase is refused (QUIRKS Q11).
    pub chip_erase_rule: Option<ChipEraseRule>,
    /// What SRP1 = SRP0 = 1 means (QUIRKS Q21).
    pub both_lock_bits: Option<BothLockBits>,
    /// Data byte counts that 01h takes; 1, 2 or 3 (QUIRKS Q3).
    pub status_write_01h_bytes: Option<Vec<u8>>,
    /// Bits of other registers that a one-byte 01h clears, by name (QUIRKS Q5).
    pub one_byte_01h_clears: Option<Vec<String>>,
    /// The part enters the four-line mode. `false`: it ignores 35h or 38h; `true`: it takes 38h
    /// and `FFh`, or 35h and F5h where 35h reads no register (QUIRKS Q17).
    pub has_qpi: Option<bool>,
    /// The part takes 31h, one byte for SR2.
    pub has_31h: Option<bool>,
    /// Write-inhibit voltage in millivolts (QUIRKS Q25).
    pub write_inhibit_mv: Option<SupplyMillivolts>,
    /// Supply in millivolts below which the part does not answer (QUIRKS Q25).
    pub read_minimum_mv: Option<SupplyMillivolts>,
    /// Register bits that this lot has fixed at their value: masks of bits that ignore writes.
    pub fixed_bits: BTreeMap<RegisterName, u8>,
    /// SFDP table as hex, where lots with one id differ (QUIRKS Q28).
    pub sfdp: Option<HexBytes>,
    /// Any other field of the part file, under the keys that it has there: tables are merged, all
    /// else is replaced, and the result is checked as a part file is.
    pub fields: toml::Table,
}

/// Protection that no status register shows (QUIRKS part 3). Nothing here is in a datasheet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HiddenLock {
    /// H1: one register bit, taken for QE by every tool, protects the whole array while it is 1.
    RegisterBit {
        /// Register.
        register: RegisterName,
        /// Bit position.
        bit: u8,
        /// Write forms that clear it as a side effect, where its own register is not written (H4).
        #[serde(default)]
        cleared_by: Vec<WriteForm>,
    },
    /// H2: the non-volatile status row was damaged, and hidden protection bits in it read as 1.
    /// `[boot] damages-status-row` damages it. A register write that changes the stored value
    /// programs the row anew; one that would store the same value is skipped by the part.
    StatusRow {
        /// Damaged from the start, before any boot.
        damaged: bool,
        /// Opcodes whose register write programs the row anew.
        repaired_by: Vec<u8>,
    },
    /// H3: WPS in a register that the tools do not read, cleared as a side effect of other
    /// register writes.
    SideEffect {
        /// Name of the bit.
        bit: String,
        /// Write forms that clear it.
        cleared_by: Vec<WriteForm>,
    },
}

/// One form of a register write: opcode and number of data bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WriteForm {
    /// Opcode.
    pub opcode: u8,
    /// Data bytes.
    pub bytes: u8,
}

/// Supply of the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Power {
    /// Supply in millivolts. 1800 is what GPIO12 high at reset gives (QUIRKS Q25).
    pub supply_mv: SupplyMillivolts,
}

/// Levels on the pins of the flash, which matter while QE is 0 (QUIRKS Q24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pins {
    /// WP#.
    pub wp: Level,
    /// HOLD#.
    pub hold: Level,
    /// The data line while nobody drives it: what an unknown register reads (QUIRKS Q29).
    pub data_pull: Level,
}

/// Level of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// 0: active for WP# and HOLD#.
    Low,
    /// 1.
    #[default]
    High,
}

/// The ESP32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chip {
    /// Value of `GPIO_STRAP` that power-on samples: 0x03 download, 0x13 flash boot (ROM-FACTS 1.1).
    pub strap: StrapValue,
    /// Base MAC address.
    pub mac: MacAddress,
    /// Chip revision.
    pub revision: Revision,
    /// Package.
    pub package: Package,
    /// Crystal.
    pub crystal: Crystal,
    /// eFuse: the BASIC console is off, as on every module sold.
    pub console_debug_disabled: bool,
    /// eFuse: the UART download mode is off.
    pub download_disabled: bool,
}

/// Chip revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Revision {
    /// v1.0.
    #[serde(rename = "v1.0")]
    V1_0,
    /// v1.1.
    #[serde(rename = "v1.1")]
    V1_1,
    /// v3.0.
    #[default]
    #[serde(rename = "v3.0")]
    V3_0,
    /// v3.1.
    #[serde(rename = "v3.1")]
    V3_1,
}

/// Package of the ESP32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Package {
    /// ESP32-D0WDQ6.
    D0wdq6,
    /// ESP32-D0WD, and D0WD-V3 from revision v3.0 on.
    #[default]
    D0wd,
    /// ESP32-D2WD.
    D2wd,
    /// ESP32-U4WDH.
    U4wdh,
    /// ESP32-PICO-D4.
    PicoD4,
    /// ESP32-PICO-V3-02.
    PicoV302,
    /// ESP32-D0WDR2-V3.
    D0wdr2,
}

/// Crystal frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Crystal {
    /// 40 MHz.
    #[default]
    #[serde(rename = "40 MHz")]
    Mhz40,
    /// 26 MHz.
    #[serde(rename = "26 MHz")]
    Mhz26,
}

/// Faults to inject. Everything is deterministic: counts and seeds, no chance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Faults {
    /// Wrong answers of a register read (QUIRKS Q1).
    pub register_reads: Vec<RegisterReadFault>,
    /// MOSI stuck high during register writes: every data byte arrives as 0xFF (QUIRKS Q22).
    pub register_write_stuck_high: bool,
    /// The part does not see the data of a page program; erases work (a data line that only
    /// program uses is not connected).
    pub program_lost: bool,
    /// Bit errors in read data.
    pub read_noise: Option<ReadNoise>,
    /// Worn or broken cells.
    pub dead_cells: Option<DeadCells>,
}

/// Cells whose bits stay 1 whatever is programmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeadCells {
    /// First address.
    pub at: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// Bits of each byte that stay 1.
    pub stuck_bits: u8,
}

/// Wrong answers of one register read opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegisterReadFault {
    /// Opcode of the read.
    pub opcode: u8,
    /// What is answered instead.
    pub value: u8,
    /// The first wrong answer, counted from 1.
    #[serde(default = "one")]
    pub from: u32,
    /// How many answers are wrong; all from there on if left out.
    #[serde(default)]
    pub count: Option<u32>,
}

const fn one() -> u32 {
    1
}

/// Bit errors in array reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadNoise {
    /// Seed.
    pub seed: u64,
    /// Share of read instructions with one wrong bit.
    pub reads: Percent,
}

impl Package {
    /// Where the main flash is: inside of the package for the last four.
    #[must_use]
    pub const fn flash_pins(self) -> SpiPins {
        match self {
            Self::D0wdq6 | Self::D0wd | Self::D0wdr2 => SpiPins::SPI,
            Self::D2wd | Self::U4wdh | Self::PicoD4 | Self::PicoV302 => {
                SpiPins { clk: 6, q: 17, d: 8, hd: 11, cs: 16 }
            }
        }
    }
}

impl Default for Power {
    fn default() -> Self {
        Self { supply_mv: SupplyMillivolts::NOMINAL }
    }
}

impl Default for Chip {
    fn default() -> Self {
        Self {
            strap: StrapValue::DOWNLOAD,
            mac: MacAddress([0x24, 0x0a, 0xc4, 0x00, 0x00, 0x01]),
            revision: Revision::default(),
            package: Package::default(),
            crystal: Crystal::default(),
            console_debug_disabled: true,
            download_disabled: false,
        }
    }
}
