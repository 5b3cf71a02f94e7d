//! The schema of one flash part's TOML file.
//!
//! One file describes one part completely. Code never names a part: everything that differs
//! between parts is a field here. Word use is the datasheets': *sector* = 4 KiB, *block* = 32 or
//! 64 KiB, *page* = 256 bytes. Reading and checking a file is [`Part::parse`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Array size in bytes.
    pub capacity_bytes: u32,
    /// Program page in bytes; programming wraps inside it.
    pub page_bytes: u32,
    /// Operating supply range in millivolts.
    pub supply_mv: [u16; 2],
    /// Write-inhibit voltage VWI in millivolts: below it every write-class instruction is ignored.
    pub write_inhibit_mv: u16,
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

/// Name of a register.
///
/// `Ord` is the order of the status bytes as tools show them: SR1 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegisterName {
    /// Status register 1.
    Sr1,
    /// Status register 2.
    Sr2,
    /// Status register 3.
    Sr3,
    /// Configuration register (Macronix CR, SST26 CR).
    Cr,
    /// Configuration register 1 (S25FL-L).
    Cr1,
    /// Configuration register 2 (S25FL-L).
    Cr2,
    /// Function register (ISSI).
    Fr,
    /// Security register (Macronix SCUR).
    Scur,
    /// Flag status register (Micron).
    Fsr,
}

/// One register.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Register {
    /// Opcode that reads it; more than one where the part has several; none if it cannot be read.
    #[serde(default)]
    pub read: Vec<u8>,
    /// Its eight bits, most significant first.
    pub bits: Vec<Bit>,
}

/// One register bit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bit {
    /// Position, 7..=0.
    pub bit: u8,
    /// The datasheet's name: WIP, WEL, BP0.., TB, SEC, CMP, SRP0, SRP1, QE, WPS, LB1.., SUS, …
    /// Unique over all registers; only `R` (reserved) and [`BitKind::Status`] bits, which a part
    /// may mirror, repeat.
    pub name: String,
    /// How it is stored and written.
    pub kind: BitKind,
    /// Value when shipped.
    pub factory: u8,
}

/// How a register bit is stored and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BitKind {
    /// Non-volatile, written after 06h.
    Nv,
    /// Non-volatile, and writable as a volatile copy after 50h.
    NvVolatile,
    /// Volatile only: returns to its factory value at power-up and reset.
    Volatile,
    /// One-time programmable: 0 to 1 only.
    Otp,
    /// Read only, driven by the part.
    Status,
    /// Ignores writes; reads its factory value.
    Reserved,
}

/// One accepted form of a register write instruction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusWrite {
    /// Opcode (01h, 31h, 11h, 42h, …).
    pub opcode: u8,
    /// Where each data byte goes, in order. The form is taken only if chip select rises after
    /// exactly this many data bytes. `"ignored"` drops a byte.
    pub to: Vec<WriteTarget>,
    /// Bits of other registers that this form clears as a side effect (QUIRKS Q5), by name.
    #[serde(default)]
    pub clears: Vec<String>,
    /// How sure this form is.
    #[serde(default)]
    pub confidence: Option<Confidence>,
}

/// Where one data byte of a register write goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteTarget {
    /// Status register 1.
    Sr1,
    /// Status register 2.
    Sr2,
    /// Status register 3.
    Sr3,
    /// Configuration register.
    Cr,
    /// Configuration register 1.
    Cr1,
    /// Configuration register 2.
    Cr2,
    /// Function register.
    Fr,
    /// Security register.
    Scur,
    /// The byte is taken and dropped.
    Ignored,
}

/// How the status registers themselves are locked (QUIRKS Q21).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StatusLock {
    /// Bit that makes the registers obey WP#: SRP0, SRP, SRWD, BPL, WPEN; empty if there is none.
    #[serde(default)]
    pub wp_enable_bit: Option<String>,
    /// Bit that locks the registers until the next power cycle (SRP1), if there is one.
    #[serde(default)]
    pub power_lock_bit: Option<String>,
    /// What SRP1 = SRP0 = 1 means on this part.
    #[serde(default)]
    pub both: BothLockBits,
    /// WP# is ignored while the quad enable bit is 1, because the pin is IO2 then (QUIRKS Q24).
    pub wp_pin_ignored_when_qe: bool,
}

/// What SRP1 = SRP0 = 1 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BothLockBits {
    /// Locked for ever.
    #[default]
    OneTimeProgram,
    /// Locked until the next power cycle, as SRP1 alone (parts where the OTP form is by order only).
    PowerLock,
}

/// Which addresses the register bits protect.
///
/// Rule families. Every bit is named as the part's own registers name it: on the `GD25Q` parts
/// the bit that acts as TB is called BP3.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "rule", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Protection {
    /// BP selects a share of the array that doubles with every step, TB the end, SEC sectors
    /// instead of blocks, CMP the complement.
    #[serde(rename_all = "kebab-case")]
    BlockProtect {
        /// Names of the BP bits, least significant first.
        bp: Vec<String>,
        /// Bit that moves the range to the bottom.
        #[serde(default)]
        tb: Option<String>,
        /// Bit that selects 4 KiB sectors, at most 32 KiB of them.
        #[serde(default)]
        sec: Option<String>,
        /// Bit that protects the complement.
        #[serde(default)]
        cmp: Option<String>,
        /// CMP inverts the BP bits as well (MX25L3206E), so its ranges grow with BP.
        #[serde(default)]
        cmp_inverts_bp: bool,
        /// Smallest value of BP that protects anything; 1 unless the part says otherwise
        /// (QUIRKS Q27).
        #[serde(default = "one")]
        first_bp: u8,
        /// Share that `first_bp` selects, in bytes.
        unit_bytes: u32,
        /// Rows where the part departs from the rule; they win.
        #[serde(default)]
        exceptions: Vec<ProtectionRow>,
    },
    /// BP says how much stays writable (QUIRKS Q26).
    #[serde(rename_all = "kebab-case")]
    InverseBlockProtect {
        /// Names of the BP bits, least significant first.
        bp: Vec<String>,
        /// Bit that moves the protected range to the top: the writable share is then at the bottom.
        #[serde(default)]
        tb: Option<String>,
        /// Share that BP = 1 leaves writable, in bytes.
        unit_bytes: u32,
        /// Rows where the part departs from the rule; they win.
        #[serde(default)]
        exceptions: Vec<ProtectionRow>,
    },
    /// BP doubles the protected share up to one half of the array, then halves what is left
    /// writable (Eon QH-A/B and its derivatives).
    #[serde(rename_all = "kebab-case")]
    SymmetricBlockProtect {
        /// Names of the BP bits, least significant first.
        bp: Vec<String>,
        /// Bit that moves the range to the bottom.
        #[serde(default)]
        tb: Option<String>,
        /// Share that BP = 1 selects, in bytes.
        unit_bytes: u32,
        /// Rows where the part departs from the rule; they win.
        #[serde(default)]
        exceptions: Vec<ProtectionRow>,
    },
    /// The part's printed table, row by row; the first row that matches wins.
    #[serde(rename_all = "kebab-case")]
    Table {
        /// Rows of the table.
        rows: Vec<ProtectionRow>,
    },
    /// A block protection register, one bit a lock unit of [`Part::individual_locks`], locked at
    /// power-up (SST26; QUIRKS Q15).
    #[serde(rename_all = "kebab-case")]
    BlockProtectionRegister {
        /// Opcode that reads it.
        read: u8,
        /// Opcode that writes it.
        write: u8,
        /// Opcode that freezes it until the next power cycle.
        lock_down: u8,
        /// Opcode that makes its locks permanent.
        lock_for_ever: u8,
    },
    /// The part has no protection.
    None {},
}

/// Default of [`Protection::BlockProtect::first_bp`].
fn one() -> u8 {
    1
}

/// One row of a protection table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProtectionRow {
    /// Bit values by name; a bit that is not named does not matter.
    pub bits: BTreeMap<String, u8>,
    /// First protected byte.
    pub start: u32,
    /// One past the last protected byte; equal to `start` for none.
    pub end: u32,
}

/// Individual sector and block locks (QUIRKS Q14).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IndividualLocks {
    /// Name of the bit that selects the scheme (WPS, WPSEL); none if it is always on.
    #[serde(default)]
    pub select_bit: Option<String>,
    /// Opcodes that set that bit where a register write does not reach it (WPSEL, 68h).
    #[serde(default)]
    pub select: Vec<u8>,
    /// Regions with their lock unit.
    pub regions: Vec<LockRegion>,
    /// Locks are 1 after power-up and after a software reset.
    pub locked_at_power_up: bool,
    /// Lock one unit.
    pub lock: Vec<u8>,
    /// Unlock one unit.
    pub unlock: Vec<u8>,
    /// Read one unit's lock.
    pub read: Vec<u8>,
    /// Lock all.
    pub global_lock: Vec<u8>,
    /// Unlock all.
    pub global_unlock: Vec<u8>,
}

/// A run of equal lock units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockRegion {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Size of one unit.
    pub unit_bytes: u32,
}

/// What the part shows after it refused a program or an erase (QUIRKS Q10, Q30).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refused {
    /// The write enable latch afterwards.
    pub write_enable_latch: AfterRefusal,
    /// The write enable latch after a register write that the status lock refused.
    #[serde(default)]
    pub status_write_enable_latch: AfterRefusal,
    /// Names of the bits that a refused program sets.
    #[serde(default)]
    pub program_flags: Vec<String>,
    /// Names of the bits that a refused erase sets.
    #[serde(default)]
    pub erase_flags: Vec<String>,
}

/// The write enable latch after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterRefusal {
    /// Cleared, as after success.
    Clear,
    /// Kept.
    #[default]
    Keep,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grade {
    /// How sure.
    pub level: Confidence,
    /// Short ids in [`Part::sources`].
    pub sources: Vec<String>,
}

/// How sure a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
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
