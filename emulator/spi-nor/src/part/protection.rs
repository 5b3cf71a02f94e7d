//! Protection: rules, individual locks, and what a refusal looks like.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    /// A block protection register, one bit a lock unit of [`super::Part::individual_locks`], locked at
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
