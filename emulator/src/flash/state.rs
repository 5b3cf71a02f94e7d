//! What a part keeps without power.

use std::ops::Range;

use spi_nor::part::{Part, RegisterName};

use super::{
    cells::Cells,
    registers::{Bytes, RegisterMap, index},
};

/// Bytes of address space that the security registers use (three at 0x1000, 0x2000, 0x3000).
const SECURITY_BYTES: u32 = 0x4000;

/// Everything that survives a power cycle, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlashState {
    pub(crate) nv: Bytes,
    /// The array.
    pub cells: Cells,
    /// The security registers, at their own addresses.
    pub security: Cells,
    /// The OTP sector that 3Ah opens (QUIRKS Q32).
    pub otp_sector: Cells,
    /// Lock bits of the OTP sector; bits only go from 0 to 1.
    pub otp_lock: u8,
    /// Answer of 4Bh.
    pub unique_id: [u8; 8],
    /// A damaged configuration row protects this range although no readable bit says so, until a
    /// register write that changes a non-volatile value rewrites the row (QUIRKS part 3, H2).
    pub damaged_row: Option<Range<u32>>,
    /// Individual locks that E8h made permanent, one for every lock unit in address order; shorter
    /// or empty where the rest is free (QUIRKS Q15).
    pub locked_for_ever: Vec<bool>,
}

impl FlashState {
    /// A part as shipped: factory register values, blank array.
    #[must_use]
    pub fn factory(part: &Part) -> Self {
        let map = RegisterMap::new(part);
        let mut nv = map.factory;
        for ((value, nv_mask), otp) in nv.iter_mut().zip(map.nv).zip(map.otp) {
            *value &= nv_mask | otp;
        }
        Self {
            nv,
            cells: Cells::blank(part.capacity_bytes),
            security: Cells::blank(SECURITY_BYTES),
            otp_sector: Cells::blank(4096),
            otp_lock: 0,
            unique_id: *b"\xD1\x64\xC0\x91\x5E\x2B\x37\x0A",
            damaged_row: None,
            locked_for_ever: Vec::new(),
        }
    }

    /// Non-volatile copy of a register.
    #[must_use]
    pub fn register(&self, name: RegisterName) -> u8 {
        self.nv[index(name)]
    }

    /// Sets the non-volatile copy of a register, as a board file does. Bits without a
    /// non-volatile cell are ignored when the part is powered.
    pub fn set_register(&mut self, name: RegisterName, value: u8) {
        self.nv[index(name)] = value;
    }
}
