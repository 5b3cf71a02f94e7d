//! Registers: bits, write forms, and how they are locked.

use serde::{Deserialize, Serialize};

use super::Confidence;

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

impl RegisterName {
    /// All names, in order.
    pub const ALL: [Self; 9] = [
        Self::Sr1,
        Self::Sr2,
        Self::Sr3,
        Self::Cr,
        Self::Cr1,
        Self::Cr2,
        Self::Fr,
        Self::Scur,
        Self::Fsr,
    ];
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
