//! The schema of one flash part's TOML file.
//!
//! One file describes one part completely. Code never names a part: everything that differs
//! between parts is a field here. Word use is the datasheets': *sector* = 4 KiB, *block* = 32 or
//! 64 KiB, *page* = 256 bytes. Reading and checking a file is [`Part::parse`].

mod protection;
mod registers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use protection::{
    AfterRefusal, IndividualLocks, LockRegion, Protection, ProtectionRow, Refused,
};
pub use registers::{
    Bit, BitKind, BothLockBits, Register, RegisterName, StatusLock, StatusWrite, WriteTarget,
};

/// One SPI NOR part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Part {
    /// Part number as on the datasheet's first page.
    pub name: String,
    /// Manufacturer.
    pub vendor: String,
    /// Answer of 9Fh: manufacturer, memory type, capacity; six hex digits.
    pub jedec_id: JedecId,
    /// Device id of the answers to `ABh` and `90h`; by default the capacity byte of `9Fh` less
    /// one, as most makers have it.
    #[serde(default)]
    pub device_id: Option<u8>,
    /// Array size in bytes.
    pub capacity_bytes: u32,
    /// Program page in bytes; programming wraps inside it.
    pub page_bytes: u32,
    /// Operating supply range in millivolts.
    pub supply_mv: [u16; 2],
    /// Write-inhibit voltage VWI in millivolts: below it every write-class instruction is ignored.
    pub write_inhibit_mv: u16,
    /// Below this supply in millivolts the part does not answer at all: the lowest write-inhibit
    /// voltage that any datasheet gives (QUIRKS Q25), unless the file says otherwise.
    #[serde(default = "read_minimum")]
    pub read_minimum_mv: u16,
    /// SFDP table as hex from address 0, if the part answers 5Ah.
    #[serde(default)]
    pub sfdp: Option<HexBytes>,
    /// Page program limits and time.
    pub program: Program,
    /// Sector and block erases, one entry per opcode.
    pub erase: Vec<Erase>,
    /// Chip erase.
    pub chip_erase: ChipErase,
    /// Time of a non-volatile status register write.
    pub status_write_time: Span,
    /// Name of the quad enable bit, if the part has one (QUIRKS Q18).
    #[serde(default)]
    pub quad_enable_bit: Option<String>,
    /// Register bits that put further dummy bytes into a fast read (QUIRKS Q22).
    #[serde(default)]
    pub extra_dummy: Vec<ExtraDummy>,
    /// Opcodes that do not depend on a register, by meaning.
    pub instructions: Instructions,
    /// Status and configuration registers with their read opcodes and bits.
    pub registers: BTreeMap<RegisterName, Register>,
    /// Accepted forms of the register write instructions. A form that is not listed is ignored by
    /// the part, write enable latch kept.
    pub status_write: Vec<StatusWrite>,
    /// How the status registers themselves are locked.
    pub status_lock: StatusLock,
    /// Which addresses the register bits protect.
    pub protection: Protection,
    /// Individual sector or block locks, if the part has them.
    #[serde(default)]
    pub individual_locks: Option<IndividualLocks>,
    /// What the part shows after it refused a program or an erase.
    pub refused: Refused,
    /// Sources of the facts in this file, by short id.
    pub sources: BTreeMap<String, String>,
    /// Facts worth knowing, each with its source and confidence.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// Where each group of fields comes from and how sure it is.
    pub confidence: BTreeMap<FieldGroup, Grade>,
}

/// Default of [`Part::read_minimum_mv`].
const fn read_minimum() -> u16 {
    1000
}

/// Further dummy bytes of a fast read while register bits have these values.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtraDummy {
    /// Bit values by name.
    pub bits: BTreeMap<String, u8>,
    /// Bytes that pass before the data.
    pub bytes: u8,
}

/// JEDEC manufacturer and device id, as 9Fh answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct JedecId(pub [u8; 3]);

/// Bytes written as a hex string.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HexBytes(pub Vec<u8>);

/// A duration in microseconds as datasheets give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Span {
    /// Typical time; the model's clock advances by it.
    pub typical_us: u32,
    /// Maximum time; fault plans may ask for it.
    pub maximum_us: u32,
}

/// Page program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// Opcodes of single-line page program are in [`Instructions`]; this is the largest number of
    /// data bytes that one instruction programs (256, or 1 on byte-program parts).
    pub max_bytes: u16,
    /// Time for a full page.
    pub typical_us: u32,
    /// Maximum time for a full page.
    pub maximum_us: u32,
}

/// One sector or block erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Erase {
    /// Opcode.
    pub opcode: u8,
    /// Erased size in bytes, a power of two.
    pub bytes: u32,
    /// Typical time.
    pub typical_us: u32,
    /// Maximum time.
    pub maximum_us: u32,
}

/// Chip erase.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChipErase {
    /// Opcodes, usually 60h and C7h.
    pub opcodes: Vec<u8>,
    /// Typical time.
    pub typical_us: u32,
    /// Maximum time.
    pub maximum_us: u32,
    /// When the part refuses it.
    pub rule: ChipEraseRule,
}

/// When a chip erase is refused (QUIRKS Q11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChipEraseRule {
    /// Refused if any byte is protected.
    NothingProtected,
    /// Refused if any BP bit is 1, even where the range that they select is empty.
    BpAllZero,
}

/// Opcodes by meaning. An opcode that a part does not list is ignored by it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Instructions {
    /// WREN.
    pub write_enable: Vec<u8>,
    /// WREN for the next register write only, which then is volatile (50h on most parts).
    pub write_enable_volatile: Vec<u8>,
    /// EWSR of the SST25 family: arms a status write.
    pub enable_status_write: Vec<u8>,
    /// WRDI.
    pub write_disable: Vec<u8>,
    /// READ, no dummy.
    pub read: Vec<u8>,
    /// FAST READ, 8 dummy cycles.
    pub fast_read: Vec<u8>,
    /// Single-line page program.
    pub page_program: Vec<u8>,
    /// Quad-input page program: address on one line, data on four.
    pub quad_page_program: Vec<u8>,
    /// Read JEDEC id.
    pub read_id: Vec<u8>,
    /// Read SFDP.
    pub read_sfdp: Vec<u8>,
    /// Read unique id.
    pub read_unique_id: Vec<u8>,
    /// Read manufacturer and device id (90h).
    pub read_manufacturer: Vec<u8>,
    /// First half of the software reset.
    pub reset_enable: Vec<u8>,
    /// Second half of the software reset.
    pub reset: Vec<u8>,
    /// Deep power-down.
    pub power_down: Vec<u8>,
    /// Release from deep power-down, with the device id.
    pub release_power_down: Vec<u8>,
    /// Second half of the ultra-deep power-down, after [`Self::power_down`]: then only `FFh`, 2 ms
    /// and a release wake the part (QUIRKS Q33).
    pub ultra_power_down: Vec<u8>,
    /// Suspend a program or erase.
    pub suspend: Vec<u8>,
    /// Resume it.
    pub resume: Vec<u8>,
    /// Enter the four-line command mode.
    pub enter_qpi: Vec<u8>,
    /// [`Self::enter_qpi`] works only while the quad enable bit is 1 (QUIRKS Q17).
    pub enter_qpi_needs_quad_enable: bool,
    /// Leave the four-line command mode.
    pub exit_qpi: Vec<u8>,
    /// Enter the mode in which 05h/01h and array instructions act on the OTP sector (3Ah).
    pub enter_otp: Vec<u8>,
    /// Clear the failure flags (50h on Micron, 30h on S25FL-L).
    pub clear_flags: Vec<u8>,
    /// Erase, program and read of security registers.
    pub security_erase: Vec<u8>,
    /// Program a security register.
    pub security_program: Vec<u8>,
    /// Read a security register.
    pub security_read: Vec<u8>,
    /// Enter four-byte addressing.
    pub enter_4_byte: Vec<u8>,
    /// Leave four-byte addressing.
    pub exit_4_byte: Vec<u8>,
}

/// A sourced statement about the part.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fact {
    /// The statement.
    pub fact: String,
    /// Short ids in [`Part::sources`].
    pub sources: Vec<String>,
    /// Section or remark inside the source.
    #[serde(default)]
    pub place: Option<String>,
    /// How sure.
    pub confidence: Confidence,
}

/// A group of fields that share their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldGroup {
    /// `name`, `vendor`, `jedec-id`, `capacity-bytes`, `page-bytes`.
    Identity,
    /// `supply-mv`, `write-inhibit-mv`.
    Supply,
    /// `sfdp`.
    Sfdp,
    /// `program`, `erase`, `chip-erase`, `status-write-time`: the figures.
    Timing,
    /// `instructions` and the erase opcodes.
    Instructions,
    /// `registers`.
    Registers,
    /// `status-write`; an entry may carry its own confidence.
    StatusWrite,
    /// `status-lock`.
    StatusLock,
    /// `protection` and the chip erase rule.
    Protection,
    /// `individual-locks`.
    IndividualLocks,
    /// `refused`.
    Refused,
}

/// Where a group of fields comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grade {
    /// How sure.
    pub level: Confidence,
    /// Short ids in [`Part::sources`].
    pub sources: Vec<String>,
}

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Read in the vendor's datasheet.
    Datasheet,
    /// Read in a secondary source.
    Secondary,
    /// Recalled; a board file can flip it.
    Recalled,
}

impl TryFrom<String> for HexBytes {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                Ok(Self(digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()))
            }
            _ => Err(NotHex(text)),
        }
    }
}

impl TryFrom<String> for JedecId {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = HexBytes::try_from(text.clone())?.0;
        bytes.try_into().map(Self).map_err(|_| NotHex(text))
    }
}

/// A string that should hold pairs of hex digits (three pairs for a JEDEC id).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a string of hex digit pairs of the right length")]
pub struct NotHex(pub String);
