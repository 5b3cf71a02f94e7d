//! Why the flash refused an instruction.

use std::ops::Range;

/// Why an instruction changed nothing. On the wire every one of these is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// WEL was 0.
    WriteEnableLatch,
    /// WIP was 1 (QUIRKS Q20).
    Busy,
    /// The register bits protect part of the range.
    BlockProtect {
        /// What they protect.
        protected: Range<u32>,
    },
    /// An individual sector or block lock covers part of the range (QUIRKS Q14).
    IndividualLock {
        /// The first locked unit that the range touches.
        unit: Range<u32>,
    },
    /// Chip erase with something protected, or with a BP bit set (QUIRKS Q11).
    ChipErase,
    /// The status registers are locked: SRP0 with WP# low.
    StatusWriteProtectPin,
    /// The status registers are locked until the next power cycle.
    StatusPowerLock,
    /// The status registers are locked for ever.
    StatusOneTimeProgram,
    /// The part takes this instruction only with another number of data bytes (QUIRKS Q3).
    DataLength {
        /// Data bytes that came.
        bytes: usize,
    },
    /// The supply is below the write-inhibit voltage (QUIRKS Q25).
    WriteInhibit {
        /// Supply in millivolts.
        supply_mv: u16,
    },
    /// The supply is so low that the part does not answer at all (QUIRKS Q25).
    Unpowered {
        /// Supply in millivolts.
        supply_mv: u16,
    },
    /// The part is in deep power-down.
    PowerDown,
    /// An erase or program is suspended (QUIRKS Q34).
    Suspended,
    /// The part is in four-line mode and does not understand single-line commands, or the other
    /// way round (QUIRKS Q17).
    WrongLines,
    /// HOLD# is low (QUIRKS Q24).
    Hold,
    /// The address phase was cut short.
    AddressMissing,
}
